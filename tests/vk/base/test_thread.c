/* Parallel loop, queue and clocks (vk/base/thread.c). */
#include "support/test.h"
#include "vk/base/thread.h"

#include <unistd.h>

enum { N = 100003 };

struct visits {
    atomic_int count[N];
    size_t fail_at;
    atomic_int calls;
};

static int visit(void *ud, size_t begin, size_t end)
{
    struct visits *v = ud;
    atomic_fetch_add(&v->calls, 1);
    for (size_t i = begin; i < end; i++) {
        if (i == v->fail_at)
            return fv_fail(FV_EFORMAT, "item %zu is bad", i);
        atomic_fetch_add(&v->count[i], 1);
    }
    return 0;
}

static void every_index_is_visited_once(void **state)
{
    static const size_t grains[] = {0, 1, 7, 1000, N - 1, N, N + 1, SIZE_MAX / 2};
    (void)state;
    for (size_t g = 0; g < sizeof grains / sizeof *grains; g++) {
        struct visits *v = calloc(1, sizeof *v);
        v->fail_at = SIZE_MAX;
        assert_ok(fv_parallel(N, grains[g], visit, v));
        for (size_t i = 0; i < N; i++)
            assert_int_equal(atomic_load(&v->count[i]), 1);
        free(v);
    }
}

static void no_items_no_call(void **state)
{
    struct visits *v = calloc(1, sizeof *v);
    (void)state;
    assert_ok(fv_parallel(0, 10, visit, v));
    assert_int_equal(atomic_load(&v->calls), 0);
    free(v);
}

static void a_failure_stops_the_rest_and_moves_its_text(void **state)
{
    struct visits *v = calloc(1, sizeof *v);
    (void)state;
    v->fail_at = 5000;
    assert_fails(fv_parallel(N, 10, visit, v), FV_EFORMAT, "item 5000 is bad");
    assert_true(atomic_load(&v->calls) < N / 10);
    free(v);
}

static int nothing(void *ud, size_t begin, size_t end)
{
    (void)ud, (void)begin, (void)end;
    return 0;
}

static void *producer(void *arg)
{
    for (uintptr_t i = 1; i <= 5000; i++)
        if (!fv_queue_push(arg, (void *)i))
            return (void *)1;
    return NULL;
}

static void queue_keeps_order_and_blocks_when_full(void **state)
{
    struct fv_queue q;
    pthread_t t;
    void *result;
    (void)state;
    assert_ok(fv_queue_init(&q, 3));
    assert_int_equal(pthread_create(&t, NULL, producer, &q), 0);
    for (uintptr_t i = 1; i <= 5000; i++)
        assert_int_equal((uintptr_t)fv_queue_pop(&q), i);
    pthread_join(t, &result);
    assert_null(result);
    assert_null(fv_queue_try_pop(&q));
    fv_queue_finish(&q);
}

static void closing_drains_then_ends(void **state)
{
    struct fv_queue q;
    (void)state;
    assert_ok(fv_queue_init(&q, 2));
    assert_true(fv_queue_push(&q, &q));
    fv_queue_close(&q);
    assert_false(fv_queue_push(&q, &q));
    assert_ptr_equal(fv_queue_pop(&q), &q);
    assert_null(fv_queue_pop(&q));
    fv_queue_finish(&q);
    fv_queue_finish(&q); /* safe twice */
}

static void closing_wakes_a_waiting_producer(void **state)
{
    struct fv_queue q;
    pthread_t t;
    void *result;
    (void)state;
    assert_ok(fv_queue_init(&q, 1));
    assert_int_equal(pthread_create(&t, NULL, producer, &q), 0);
    usleep(20000);
    fv_queue_close(&q);
    pthread_join(t, &result);
    assert_non_null(result);
    fv_queue_finish(&q);
}

static void clocks_tell_waiting_from_working(void **state)
{
    double wall = fv_now(), cpu = fv_cpu_time();
    (void)state;
    usleep(60000);
    double waited = fv_now() - wall, used = fv_cpu_time() - cpu;
    assert_true(waited >= 0.06);
    assert_true(used < 0.03);
    cpu = fv_cpu_time();
    while (fv_cpu_time() - cpu < 0.02)
        assert_ok(fv_parallel(1, 1, nothing, NULL));
    assert_true(fv_now() - wall >= 0.07);
    assert_true(fv_cpu_count() >= 1);
}

static pthread_mutex_t told_lock = PTHREAD_MUTEX_INITIALIZER;

static void *tell(void *ud)
{
    pthread_mutex_lock(&told_lock); /* the other one waits now */
    pthread_cond_signal(ud);
    pthread_mutex_unlock(&told_lock);
    return NULL;
}

static void waiting_ends_by_the_clock_or_when_told(void **state)
{
    (void)state;
    pthread_cond_t c;
    pthread_t other;
    fv_cond_init(&c);
    pthread_mutex_lock(&told_lock);
    double until = fv_now() + 0.02;
    while (fv_cond_wait_until(&c, &told_lock, until))
        ;
    assert_true(fv_now() >= until - 1e-6);
    assert_false(fv_cond_wait_until(&c, &told_lock, until)); /* it has come */
    assert_int_equal(pthread_create(&other, NULL, tell, &c), 0);
    assert_true(fv_cond_wait_until(&c, &told_lock, INFINITY));
    pthread_mutex_unlock(&told_lock);
    pthread_join(other, NULL);
    pthread_cond_destroy(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_index_is_visited_once),
        cmocka_unit_test(no_items_no_call),
        cmocka_unit_test(a_failure_stops_the_rest_and_moves_its_text),
        cmocka_unit_test(queue_keeps_order_and_blocks_when_full),
        cmocka_unit_test(closing_drains_then_ends),
        cmocka_unit_test(closing_wakes_a_waiting_producer),
        cmocka_unit_test(clocks_tell_waiting_from_working),
        cmocka_unit_test(waiting_ends_by_the_clock_or_when_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
