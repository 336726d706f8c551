/* Bump arena (vk/base/arena.c). */
#include "support/test.h"
#include "vk/base/arena.h"

static void gives_zeroed_aligned_memory(void **state)
{
    struct fv_arena a = {0};
    uint64_t seed = 1;
    (void)state;
    for (int i = 0; i < 2000; i++) {
        size_t n = test_rand(&seed) % 300;
        unsigned char *p = fv_arena_alloc(&a, n);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        for (size_t k = 0; k < n; k++)
            assert_int_equal(p[k], 0);
        memset(p, 0xab, n);
    }
    fv_arena_finish(&a);
}

static void allocations_do_not_overlap(void **state)
{
    enum { N = 500 };
    struct fv_arena a = {0};
    unsigned char *p[N];
    (void)state;
    for (size_t i = 0; i < N; i++) {
        p[i] = fv_arena_alloc(&a, 1 + i * 7 % 5000);
        assert_non_null(p[i]);
        memset(p[i], (int)(i & 255), 1 + i * 7 % 5000);
    }
    for (size_t i = 0; i < N; i++)
        for (size_t k = 0; k < 1 + i * 7 % 5000; k++)
            assert_int_equal(p[i][k], i & 255);
    fv_arena_finish(&a);
}

static void stops_at_the_cap(void **state)
{
    struct fv_arena a = {.cap = 4096};
    (void)state;
    assert_non_null(fv_arena_alloc(&a, 4000));
    assert_null(fv_arena_alloc(&a, 200));
    assert_non_null(strstr(fv_error(), "4096"));
    assert_non_null(fv_arena_alloc(&a, 80));
    assert_true(a.used <= a.cap);
    fv_arena_finish(&a);
    assert_int_equal(a.used, 0);
    assert_non_null(fv_arena_alloc(&a, 4000)); /* again after finish */
    fv_arena_finish(&a);
}

static void rejects_sizes_near_the_end_of_the_address_space(void **state)
{
    struct fv_arena a = {0};
    (void)state;
    for (size_t back = 0; back < 100; back++)
        assert_null(fv_arena_alloc(&a, SIZE_MAX - back));
    assert_null(fv_arena_strndup(&a, "", SIZE_MAX));
    assert_int_equal(a.used, 0);
    fv_arena_finish(&a);
}

static void copies_text(void **state)
{
    struct fv_arena a = {0};
    (void)state;
    assert_string_equal(fv_arena_strndup(&a, "abcdef", 3), "abc");
    assert_string_equal(fv_arena_strndup(&a, "", 0), "");
    fv_arena_finish(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_zeroed_aligned_memory),
        cmocka_unit_test(allocations_do_not_overlap),
        cmocka_unit_test(stops_at_the_cap),
        cmocka_unit_test(rejects_sizes_near_the_end_of_the_address_space),
        cmocka_unit_test(copies_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
