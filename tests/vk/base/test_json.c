/* JSON with limits and typed getters (vk/base/json.c). */
#include "support/test.h"
#include "vk/base/json.h"

#include <limits.h>

static struct fv_json doc;

static int parse(const char *text)
{
    fv_json_close(&doc);
    return fv_json_parse(&doc, text, strlen(text), "t.json");
}

static int done(void **state)
{
    (void)state;
    fv_json_close(&doc);
    return 0;
}

static void reads_typed_members(void **state)
{
    (void)state;
    assert_ok(parse("\xef\xbb\xbf{\"n\": 1.5, \"i\": -3, \"s\": \"x\\u00e9\", \"b\": true,"
                    " \"a\": [1, [2, 3]], \"o\": {\"k\": 7}}\n"));
    assert_true(fv_json_number(&doc, doc.root, "n") == 1.5);
    assert_int_equal(fv_json_int(&doc, doc.root, "i", -5, 5), -3);
    assert_string_equal(fv_json_string(&doc, doc.root, "s"), "x\xc3\xa9");
    assert_true(fv_json_bool_or(&doc, doc.root, "b", false));
    double v[3];
    fv_json_numbers(&doc, fv_json_array(&doc, doc.root, "a"), v, 3);
    assert_true(v[0] == 1 && v[1] == 2 && v[2] == 3);
    assert_true(fv_json_number(&doc, fv_json_object(&doc, doc.root, "o"), "k") == 7);
    assert_false(doc.failed);
}

static void defaults_are_for_absence_only(void **state)
{
    (void)state;
    assert_ok(parse("{\"n\": \"text\"}"));
    assert_true(fv_json_number_or(&doc, doc.root, "m", 4) == 4);
    assert_string_equal(fv_json_string_or(&doc, doc.root, "m", "d"), "d");
    assert_true(fv_json_bool_or(&doc, doc.root, "m", true));
    assert_false(doc.failed);
    fv_json_number_or(&doc, doc.root, "n", 4);
    assert_true(doc.failed);
}

static void errors_name_file_and_place(void **state)
{
    (void)state;
    assert_ok(parse("{\"frames\": [{\"fl\": 1}, {\"fl\": \"x\"}]}"));
    struct fv_node frames = fv_json_array(&doc, doc.root, "frames");
    for (size_t i = 0; i < fv_node_count(frames); i++)
        fv_json_number(&doc, fv_node_at(frames, i), "fl");
    assert_true(doc.failed);
    assert_string_equal(fv_error(), "t.json: frames[1].fl: expected a number, found text");
    fv_json_number(&doc, doc.root, "other"); /* the first failure stays */
    assert_non_null(strstr(fv_error(), "frames[1].fl"));
}

static void walking_keeps_the_place(void **state)
{
    (void)state;
    assert_ok(
        parse("{\"o\": {\"first.x[0]\": 1, \"second\": 2, \"third\": []}, \"a\": [[], 5, 6]}"));
    struct fv_node n = fv_node_at(fv_node_get(doc.root, "o"), 0);
    assert_string_equal(fv_node_key(n), "first.x[0]");
    n = fv_node_next(n, 1);
    assert_string_equal(n.place, "o.second");
    n = fv_node_next(n, 2);
    assert_string_equal(n.place, "o.third");
    assert_null(fv_node_next(n, 3).item);
    n = fv_node_next(fv_node_at(fv_node_get(doc.root, "a"), 0), 1);
    assert_string_equal(n.place, "a[1]");
    assert_true(fv_node_is_number(n));
    n = fv_node_next(fv_node_next(n, 2), 3);
    assert_null(n.item);
    assert_null(fv_node_next(n, 4).item);
    assert_null(fv_node_at(fv_node_get(doc.root, "a"), 3).item);
}

static void long_places_are_cut(void **state)
{
    char text[2000], key[301];
    (void)state;
    memset(key, 'k', 300);
    key[300] = 0;
    snprintf(text, sizeof text, "{\"%s\": {\"%s\": {\"%s\": 1}}}", key, key, key);
    assert_ok(parse(text));
    struct fv_node n = fv_node_get(fv_node_get(fv_node_get(doc.root, key), key), key);
    assert_true(fv_node_is_number(n));
    assert_true(strlen(n.place) < sizeof n.place);
    fv_node_next(n, 1);
}

static void rejects_text_that_is_not_json(void **state)
{
    static const char *const bad[] = {"",        "{",         "[1,",   "{\"a\":}", "{\"a\" 1}",
                                      "nul",     "\"open",    "[1 2]", "{,}",      "]",
                                      "\"\\x\"", "\"\\u12\"", "{}{}",  "[1] x",    "{\"a\":1}}"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (parse(bad[i]) != FV_EFORMAT)
            fail_msg("accepted: %s", bad[i]);
    assert_fails(parse("{\n\n\"a\": ?}"), FV_EFORMAT, "line 3");
}

static void rejects_deep_nesting(void **state)
{
    char text[40001];
    (void)state;
    memset(text, '[', 20000);
    memset(text + 20000, ']', 20000);
    text[40000] = 0;
    assert_fails(parse(text), FV_EFORMAT, "nested");
    memset(text, '[', 64);
    memset(text + 64, ']', 64);
    text[128] = 0;
    assert_ok(parse(text));
    assert_ok(
        parse("\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[\""));
}

static void rejects_more_values_than_allowed(void **state)
{
    size_t n = 10u << 20;
    char *text = malloc(n);
    (void)state;
    for (size_t i = 0; i < n; i++)
        text[i] = i % 2 ? ',' : '0';
    text[0] = '[';
    text[n - 1] = ']';
    fv_json_close(&doc);
    assert_fails(fv_json_parse(&doc, text, n, "t.json"), FV_EFORMAT, "4 million");
    free(text);
}

static void rejects_numbers_that_are_not_finite(void **state)
{
    (void)state;
    assert_ok(parse("{\"a\": 1e999, \"b\": [1, -1e999]}"));
    fv_json_number(&doc, doc.root, "a");
    assert_true(doc.failed);
    assert_ok(parse("{\"b\": [1, -1e999]}"));
    double v[2];
    fv_json_numbers(&doc, fv_json_array(&doc, doc.root, "b"), v, 2);
    assert_true(doc.failed);
    assert_non_null(strstr(fv_error(), "b[1]"));
}

static void rejects_wrong_counts_of_numbers(void **state)
{
    double v[2] = {9, 9};
    (void)state;
    assert_ok(parse("{\"a\": [1, [2, 3]]}"));
    fv_json_numbers(&doc, fv_json_array(&doc, doc.root, "a"), v, 2);
    assert_true(doc.failed);
    assert_non_null(strstr(fv_error(), "expected 2 numbers, found 3"));
}

static void rejects_whole_numbers_out_of_range(void **state)
{
    static const char *const bad[] = {"{\"i\": 1.5}",   "{\"i\": 11}",    "{\"i\": -1}",
                                      "{\"i\": 1e300}", "{\"i\": \"3\"}", "{}"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_ok(parse(bad[i]));
        assert_int_equal(fv_json_int(&doc, doc.root, "i", 0, 10), 0);
        assert_true(doc.failed);
    }
    assert_ok(parse("{\"i\": 9223372036854775807}")); /* a double of 2^63: no long long */
    fv_json_int(&doc, doc.root, "i", LLONG_MIN, LLONG_MAX);
    assert_true(doc.failed);
}

static void getters_of_missing_nodes_are_safe(void **state)
{
    (void)state;
    assert_ok(parse("[]"));
    struct fv_node n = fv_node_get(fv_node_get(doc.root, "a"), "b");
    assert_null(n.item);
    assert_int_equal(fv_node_count(n), 0);
    assert_string_equal(fv_node_key(n), "");
    fv_json_string(&doc, n, "c");
    assert_true(doc.failed);
    assert_non_null(strstr(fv_error(), "found nothing"));
}

static void files_are_named_in_errors(void **state)
{
    (void)state;
    fv_json_close(&doc);
    assert_fails(fv_json_open(&doc, "/no/such.json"), FV_EIO, "/no/such.json");
    test_write_file(test_tmp_path("e.json"), "", 0);
    assert_fails(fv_json_open(&doc, test_tmp_path("e.json")), FV_EFORMAT, "empty file");
    test_write_file(test_tmp_path("b.json"), "{\"a\": 1}\0\0", 10);
    assert_fails(fv_json_open(&doc, test_tmp_path("b.json")), FV_EFORMAT, "b.json");
}

/* Any single byte changed, cut or doubled: an error or a document, never a crash. */
static void survives_mutations(void **state)
{
    static const char good[] = "{\"camera_angle_x\": 0.69, \"frames\": [{\"file_path\": \"./a\\n\","
                               "\"m\": [[1, 0.5e-3, -2], [true, null, false]], \"u\": \"\\ud83d"
                               "\\ude00\"}]}";
    char text[sizeof good];
    (void)state;
    for (size_t at = 0; at < sizeof good - 1; at++)
        for (int value = 0; value < 256; value++) {
            memcpy(text, good, sizeof good);
            text[at] = (char)value;
            fv_json_close(&doc);
            if (fv_json_parse(&doc, text, sizeof good - 1, "m") < 0)
                continue;
            struct fv_node frames = fv_node_get(doc.root, "frames");
            for (size_t i = 0; i < fv_node_count(frames); i++) {
                double v[6];
                fv_json_numbers(&doc, fv_node_get(fv_node_at(frames, i), "m"), v, 6);
            }
        }
    for (size_t n = 0; n < sizeof good - 1; n++) {
        fv_json_close(&doc);
        assert_int_equal(fv_json_parse(&doc, good, n, "m"), FV_EFORMAT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_typed_members),
        cmocka_unit_test(defaults_are_for_absence_only),
        cmocka_unit_test(errors_name_file_and_place),
        cmocka_unit_test(walking_keeps_the_place),
        cmocka_unit_test(long_places_are_cut),
        cmocka_unit_test(rejects_text_that_is_not_json),
        cmocka_unit_test(rejects_deep_nesting),
        cmocka_unit_test(rejects_more_values_than_allowed),
        cmocka_unit_test(rejects_numbers_that_are_not_finite),
        cmocka_unit_test(rejects_wrong_counts_of_numbers),
        cmocka_unit_test(rejects_whole_numbers_out_of_range),
        cmocka_unit_test(getters_of_missing_nodes_are_safe),
        cmocka_unit_test(files_are_named_in_errors),
        cmocka_unit_test(survives_mutations),
    };
    return cmocka_run_group_tests(tests, NULL, done);
}
