/* viewer_functions.md is complete and true: every key of the help sheet and every control the panels' sources make is in
 * a row, and the tests named there are there, with the control's name in them. */
#include "app/viewer.h"
#include "support/test.h"

#include <ctype.h>
#include <glob.h>

struct row {
    char what[96], tests[160];
    bool key, met;
};
static struct row rows[256];
static size_t row_count;
static char *tests; /* sources of all window tests */

static void read_rows(void)
{
    char *text = test_read_file(test_source("tests/app/viewer_functions.md"), NULL);
    bool keys = false;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        struct row *r = &rows[row_count];
        char *colon, what[160];
        keys = strcmp(line, "| key | test |") ? keys && strcmp(line, "| panel: control | test |") : true;
        if (sscanf(line, "| %159[^|] | %159[^|]", what, r->tests) != 2 || !strcmp(r->tests, "test ") || !strncmp(line, "|---", 4))
            continue;
        colon = keys ? NULL : strstr(what, ": ");
        snprintf(r->what, sizeof r->what, "%.95s", colon ? colon + 2 : what);
        for (size_t n = strlen(r->what); n && r->what[n - 1] == ' ';)
            r->what[--n] = 0;
        r->key = keys;
        row_count++;
        assert_true(row_count < sizeof rows / sizeof *rows);
    }
    free(text);
}

static char *read_all(const char *pattern)
{
    glob_t found;
    char *all = NULL;
    size_t size;
    FILE *f = open_memstream(&all, &size);
    assert_non_null(f);
    assert_int_equal(glob(test_source(pattern), 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        char *text = strstr(found.gl_pathv[i], "_functions.c") ? NULL : test_read_file(found.gl_pathv[i], NULL);
        fputs(text ? text : "", f);
        free(text);
    }
    globfree(&found);
    fclose(f);
    return all;
}

static struct row *find_row(const char *what, bool key)
{
    for (size_t i = 0; i < row_count; i++)
        if (rows[i].key == key && !strcmp(rows[i].what, what))
            return &rows[i];
    return NULL;
}

/* One of the row's tests holds the control's name as its widget is called: "Scene/Speed", "Speed", "##loop". */
static bool is_named(const struct row *r, const char *label)
{
    char names[160], shown[96], start[200];
    snprintf(shown, sizeof shown, "%.*s", (int)(*label == '#' ? strlen(label) : strcspn(label, "#")), label);
    snprintf(names, sizeof names, "%s", r->tests);
    for (char *name = strtok(names, ", "); name; name = strtok(NULL, ", ")) {
        snprintf(start, sizeof start, "void %s(", name);
        const char *at = strstr(tests, start), *end = at ? strstr(at, "\n}\n") : NULL;
        for (size_t n = strlen(shown); at && (at = strstr(at, shown)) && at < end; at += n)
            if ((at[-1] == '"' || at[-1] == '/') && (at[n] == '"' || at[n] == '#'))
                return true;
    }
    return false;
}

static void every_key_is_in_a_row(void **state)
{
    (void)state;
    for (int i = 0; viewer_help[i][0]; i++)
        if (!find_row(viewer_help[i][0], true))
            fail_msg("key \"%s\" is in no row of viewer_functions.md", viewer_help[i][0]);
}

static void expect_control(const char *label)
{
    struct row *r = find_row(label, false);
    if (!r)
        fail_msg("control \"%s\" is in no row of viewer_functions.md", label);
    r->met = true;
    if (*r->tests != '(' && !is_named(r, label))
        fail_msg("\"%s\" is in none of the tests of its row: %s", label, r->tests);
}

/* All texts in quotes from here to where one of the characters stands outside of them. */
static int expect_texts(const char *at, const char *until)
{
    int count = 0;
    for (; *at && !strchr(until, *at); at++) {
        char label[96];
        if (*at != '"')
            continue;
        const char *end = strchr(at + 1, '"');
        snprintf(label, sizeof label, "%.*s", (int)(end - at - 1), at + 1);
        at = end;
        if (*label && !strchr(label, '%')) { /* else a format */
            expect_control(label);
            count++;
        }
    }
    return count;
}

static void every_control_is_in_a_row(void **state)
{
    (void)state;
    static const char *const makers[] = {"ui_section(", "ui_button(", "ui_checkbox(", "ui_choice(", "ui_sliders(", "ui_colour(",
        "ui_number(", "ui_input(", "ui_entry(", "ui_hinted(", "ui_lines(", "ui_icon_button(", "ui_knob(", "ui_pick(", "ui_line(",
        "ui_list(", "own_number(", "own_int("};
    static const char array[] = "static const char *const ";
    char *panels = read_all("app/panel*.c");
    int count = 0;
    for (size_t i = 0; i < sizeof makers / sizeof *makers; i++)
        for (const char *at = panels; (at = strstr(at, makers[i])); at += strlen(makers[i]))
            count += expect_texts(at + strlen(makers[i]), ",;");
    for (const char *at = panels; (at = strstr(at, array)); at += sizeof array - 1) /* names of choices */
        if (strncmp(at + sizeof array - 1, "tips[", 5))
            count += expect_texts(strchr(at, '{'), "}");
    assert_true(count > 120); /* they have been found */
    free(panels);
}

static void every_test_named_is_there(void **state)
{
    (void)state;
    char start[200], names[160];
    for (size_t i = 0; i < row_count; i++) {
        snprintf(names, sizeof names, "%s", rows[i].tests);
        for (char *name = strtok(names, ", "); name && *names != '('; name = strtok(NULL, ", ")) {
            snprintf(start, sizeof start, "static void %s(", name);
            if (!strstr(tests, start))
                fail_msg("\"%s\": there is no test %s", rows[i].what, name);
        }
    }
}

int main(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(every_key_is_in_a_row),
        cmocka_unit_test(every_control_is_in_a_row),
        cmocka_unit_test(every_test_named_is_there),
    };
    read_rows();
    tests = read_all("tests/app/test_viewer*.c");
    int rc = cmocka_run_group_tests(all, NULL, NULL);
    free(tests);
    return rc;
}
