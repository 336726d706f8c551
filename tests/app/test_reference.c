/* The committed docs/reference is what the program would write; help of every command fits a screen and
 * begins with an example. */
#include "support/test.h"

#include "app/cmd.h"

static void compare(const char *page, const char *arguments)
{
    char name[128], *out;
    size_t size;
    snprintf(name, sizeof name, "docs/reference/%s.md", page);
    char *was = test_read_file(test_source(name), &size), *text = calloc(1, size + 1);
    assert_non_null(text);
    memcpy(text, was, size);
    assert_int_equal(test_fovea(&out, "%s", arguments), 0);
    if (strcmp(out, text))
        fail_msg("%s is stale: cmake --build build/release --target reference", name);
    free(was);
    free(text);
    free(out);
}

static void pages_are_fresh(void **state)
{
    (void)state;
    char arguments[128];
#ifdef FOVEA_VIEWER /* which the list of commands has */
    compare("README", "help --markdown");
#endif
    for (const struct cmd *const *c = app_commands; *c; c++) {
        snprintf(arguments, sizeof arguments, "help --markdown %s", (*c)->name);
        compare((*c)->name, arguments);
    }
    TEST_FAILS(2, "did you mean fovea render?", "help --markdown rendr");
}

static void every_help_fits_a_screen(void **state)
{
    (void)state;
    int commands = 0;
    char *overview;
    assert_int_equal(test_fovea(&overview, "--help"), 0);
    for (const struct cmd *const *c = app_commands; *c; c++, commands++) {
        char *out, begin[64];
        size_t lines = 0;
        assert_int_equal(test_fovea(&out, "%s --help", (*c)->name), 0);
        for (char *l = out; *l; l = strchr(l, '\n') + 1, lines++)
            if (strcspn(l, "\n") > 80)
                fail_msg("fovea %s --help: \"%.*s\" is longer than 80 columns", (*c)->name, (int)strcspn(l, "\n"), l);
        if (lines > 50)
            fail_msg("fovea %s --help has %zu lines, more than 50", (*c)->name, lines);
        /* the second line, behind the title, is a command to copy */
        snprintf(begin, sizeof begin, "  fovea %s", (*c)->name);
        if (strncmp(strchr(out, '\n') + 2, begin, strlen(begin)))
            fail_msg("fovea %s --help does not begin with an example", (*c)->name);
        free(out);
        snprintf(begin, sizeof begin, "\n  %-10s%.20s", (*c)->name, (*c)->summary);
        if (!strstr(overview, begin))
            fail_msg("fovea --help does not list %s", (*c)->name);
    }
    free(overview);
    assert_true(commands >= 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_are_fresh),
        cmocka_unit_test(every_help_fits_a_screen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
