/* gs/blob.c: the rule for names found in files. */
#include "support/test.h"
#include "gs/blob.h"

static void names_stay_inside(void **state)
{
    (void)state;
    static const char *const good[] = {"a", "a/b.webp", "..a", "a../b", "./a"};
    static const char *const bad[] = {"", "/a", "..", "../a", "a/..", "a/../b", "C:x", "a\\b"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(gs_path_is_inside(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(gs_path_is_inside(bad[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_stay_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
