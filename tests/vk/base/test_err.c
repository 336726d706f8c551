/* Thread-local error text (vk/base/err.c) and the log sink (vk/base/log.c). */
#include "support/test.h"
#include "vk/base/log.h"

#include <pthread.h>

static void stores_code_and_text(void **state)
{
    (void)state;
    assert_int_equal(fv_fail(FV_EIO, "%s: %d", "a.ply", 7), FV_EIO);
    assert_string_equal(fv_error(), "a.ply: 7");
}

static void wraps_before_the_text(void **state)
{
    (void)state;
    fv_fail(FV_EFORMAT, "bad header");
    assert_int_equal(fv_wrap(FV_EFORMAT, "loading %s: ", "a.ply"), FV_EFORMAT);
    assert_string_equal(fv_error(), "loading a.ply: bad header");
}

static void arguments_may_be_the_message_itself(void **state)
{
    (void)state;
    fv_fail(FV_EIO, "inner");
    fv_fail(FV_EIO, "outer (%s)", fv_error());
    assert_string_equal(fv_error(), "outer (inner)");
    fv_wrap(FV_EIO, "%s, ", fv_error());
    assert_string_equal(fv_error(), "outer (inner), outer (inner)");
}

static void cuts_long_text(void **state)
{
    char big[5000];
    (void)state;
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = 0;
    fv_fail(FV_EIO, "%s", big);
    size_t n = strlen(fv_error());
    assert_in_range(n, 500, 4000);
    fv_wrap(FV_EIO, "%s", big);
    assert_int_equal(strlen(fv_error()), n);
}

static void *other_thread(void *arg)
{
    fv_fail(FV_EIO, "of the other thread");
    return arg;
}

static void each_thread_has_its_own(void **state)
{
    pthread_t t;
    (void)state;
    fv_fail(FV_EIO, "mine");
    assert_int_equal(pthread_create(&t, NULL, other_thread, NULL), 0);
    pthread_join(t, NULL);
    assert_string_equal(fv_error(), "mine");
}

static int fails_in_the_middle(int *after)
{
    FV_TRY(3);
    FV_TRY(fv_fail(FV_EINVALID, "stop"));
    *after = 1;
    return 0;
}

static void try_returns_the_first_failure(void **state)
{
    int after = 0;
    (void)state;
    assert_int_equal(fails_in_the_middle(&after), FV_EINVALID);
    assert_int_equal(after, 0);
}

static void every_code_has_a_name(void **state)
{
    (void)state;
    for (int code = FV_ECANCELLED; code <= 0; code++)
        assert_string_not_equal(fv_code_name(code), "unknown error");
    assert_string_equal(fv_code_name(1), "unknown error");
}

static char logged[256];
static int log_calls;

static void sink(void *ud, enum fv_level level, const char *text)
{
    assert_ptr_equal(ud, &log_calls);
    snprintf(logged, sizeof logged, "%d %s", (int)level, text);
    log_calls++;
}

static void log_goes_to_the_sink_up_to_its_level(void **state)
{
    (void)state;
    fv_log(FV_WARN, "before");
    fv_log_sink(sink, &log_calls, FV_INFO);
    fv_log(FV_DEBUG, "too low");
    assert_int_equal(log_calls, 0);
    fv_log(FV_INFO, "n = %d", 3);
    assert_int_equal(log_calls, 1);
    assert_string_equal(logged, "1 n = 3");
    fv_log_sink(NULL, NULL, FV_DEBUG);
    fv_log(FV_WARN, "after");
    assert_int_equal(log_calls, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stores_code_and_text),
        cmocka_unit_test(wraps_before_the_text),
        cmocka_unit_test(arguments_may_be_the_message_itself),
        cmocka_unit_test(cuts_long_text),
        cmocka_unit_test(each_thread_has_its_own),
        cmocka_unit_test(try_returns_the_first_failure),
        cmocka_unit_test(every_code_has_a_name),
        cmocka_unit_test(log_goes_to_the_sink_up_to_its_level),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
