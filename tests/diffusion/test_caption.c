/* diffusion/caption.c, markup.c, mend.c, pattern.c, unicode.c: captions by rule, prompts, hostile texts. */
#include "diffusion/clean.h"
#include "diffusion/diffusion.h"
#include "diffusion/pattern.h"
#include "support/test.h"

#include <math.h>

static void cleans(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want; /* by the authors' code */
    } rows[] = {
        {"A red BALL", "a red ball"},
        {"see https://a.org/b-c and mail.site.net/x now", "see and now"},
        {"<div class='a>b'>one<br/>two</div> 3 < 4", "onetwo 3 < 4"},
        {"a &lt;b&gt; c", "a <b> c"},
        {"x&#8217;y &#147;z&#148;", "x'y \"z\""},
        {"<script>var a=1;</script>shown", "shown"},
        {"<!-- no -->yes<!doctype html>", "yes"},
        {"#12 #1234 #12345 at 12345 and 123456", "1234 at 12345 and"},
        {"10.0.0.1 host", "host"},
        {"file_name-of_a-thing", "file name of a thing"},
        {"one-two_three", "one-two_three"},
        {"abc12345 a1b 12ab34", ""},
        {"free shipping and worldwide free shipping", "and"},
        {"download free, click on me", ""},
        {"e\xcc\x81 \xef\xac\x83 \xef\xbc\xa1\xef\xbc\x91", "\xc3\xa9 ffi a1"},
        {"\xef\xbe\x8a\xef\xbe\x9f", "\xe3\x83\x91"}, /* halfwidth pa: composed */
        {"a%20b+c%C3%A9", "a b c\xc3\xa9"},
        {"1920x1080 wide, 3.5\xc3\x97""2", "wide,"},
        {"\xce\x91\xce\xa3 \xce\xa3\xce\x91", "\xce\xb1\xcf\x82 \xcf\x83\xce\xb1"}, /* a final sigma */
        {"time : now", "time: now"},
        {"end.Start", "end. start"},
        {"\"quoted\"", "quoted"},
        {".hidden", ""},
        {"tab\x01\x7f\x1b[31mred", "tab 31mred"},
    };
    char *out;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_ok(df_clean_caption(&out, rows[i].text, true));
        if (strcmp(out, rows[i].want))
            fail_msg("\"%s\" became \"%s\", expected \"%s\"", rows[i].text, out, rows[i].want);
        free(out);
    }
    assert_ok(df_plain_caption(&out, "  A <b>B</b>\n"));
    assert_string_equal(out, "a <b>b</b>");
    free(out);
    assert_fails(df_clean_caption(&out, "ab\xed\xa0\x80", false), FV_EINVALID, "byte 2 is 0xed");
    assert_null(out);
}

/* What makes backtracking slow takes no longer here. */
static void long_texts(void **state)
{
    (void)state;
    static const char *const parts[] = {"a", "a.", "<a ", "<", "&", "&#", "\"", "\xcc\x81", "1", "%41", "e\xcc\x81",
                                        " ", "<b>", "</", "<![cdata[", "a-", "<!--", "\xe3\x80\x80"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        size_t one = strlen(parts[i]), n = 100000 / one;
        char *text = malloc(n * one + 1), *out;
        for (size_t k = 0; k < n; k++)
            memcpy(text + k * one, parts[i], one);
        text[n * one] = 0;
        assert_ok(df_clean_caption(&out, text, false));
        free(out);
        free(text);
    }
}

static void patterns(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *with, *text, *want;
    } rows[] = {{"a{2,3}", "x", "a aa aaaaa", "a x xx"},      {"(a|bc)+d", "<\\1>", "abcd d", "<bc> d"},
                {"\\b\\w+$", "", "one two", "one "},          {"^x|y$", "", "xyxy", "yx"},
                {"[^\\d\\s]+", "-", "1 ab 2c", "1 - 2-"},      {"a(?![b])", "x", "ab ac a", "ab xc x"},
                {"(?<=[b])a", "x", "ba aa", "bx aa"},          {"(?:ab?)*c", "_", "abaabc ac", "_ _"},
                {"x*", "-", "xa", "--a-"},                      {"[\\w/-]+", "", "a/b-c d", " "}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct df_chars t = {0};
        assert_ok(df_chars_decode(&t, rows[i].text, strlen(rows[i].text)));
        assert_ok(df_replace(&t, rows[i].pattern, rows[i].with));
        char *out = df_chars_encode(&t);
        if (strcmp(out, rows[i].want))
            fail_msg("%s in \"%s\": \"%s\", expected \"%s\"", rows[i].pattern, rows[i].text, out, rows[i].want);
        free(out);
        df_chars_finish(&t);
    }
    static const char *const bad[] = {"(a", "a)", "[a", "a{3,1}", "((((((((((((((a))))))))))))))"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct df_pattern *p;
        assert_fails(df_pattern_open(&p, bad[i]), FV_EINVALID, "no pattern");
    }
}

static void prompts(void **state)
{
    (void)state;
    char *out, *reference, *strategy;
    struct df_prompt_part *parts;
    struct df_mask_rule *rules;
    size_t n;
    assert_ok(df_append_scores(&out, "a cat, motion score: 1.", &(struct df_scores){6.25, 5, "zoom in"}));
    assert_string_equal(out, "a cat, motion score: 1. aesthetic score: 6.2. camera motion: zoom in.");
    free(out);
    assert_ok(df_append_scores(&out, "a", &(struct df_scores){NAN, 5, NULL}));
    assert_string_equal(out, "a motion score: 5.0.");
    free(out);
    assert_ok(df_split_prompt(&parts, &n, "|0| one |4|two"));
    assert_int_equal(n, 2);
    assert_string_equal(parts[0].text, "one");
    assert_int_equal(parts[1].from, 4);
    df_prompt_parts_free(parts, n);
    assert_ok(df_prompt_of_round(&out, "|0| one |4|two", 3));
    assert_string_equal(out, " one ");
    free(out);
    assert_ok(df_prompt_of_round(&out, "|0| one |4|two", 9));
    assert_string_equal(out, "two");
    free(out);
    assert_fails(df_split_prompt(&parts, &n, "|0|a|b|c"), FV_EINVALID, "|b|c");
    assert_fails(df_split_prompt(&parts, &n, "|0|a|0|c"), FV_EINVALID, "greater");
    assert_ok(df_prompt_json("a {\"mask_strategy\": \"0\"}", &out, &reference, &strategy));
    assert_string_equal(out, "a ");
    assert_null(reference);
    assert_string_equal(strategy, "0");
    free(out);
    free(strategy);
    assert_fails(df_prompt_json("a {\"seed\": 1}", &out, &reference, &strategy), FV_EINVALID, "reference_path");
    assert_fails(df_prompt_json("a {", &out, &reference, &strategy), FV_EFORMAT, "JSON");
    assert_ok(df_parse_mask_strategy(&rules, &n, "0,0,-5,0,5;2,1,0,-1,1,0.25"));
    assert_int_equal(n, 2);
    assert_int_equal(rules[0].from, -5);
    assert_near(rules[1].edit, 0.25, 0);
    free(rules);
    static const char *const bad[] = {",", "a", "1,2,3,4,5,6,7", "0;", "0.5", "1e30"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_fails(df_parse_mask_strategy(&rules, &n, bad[i]), FV_EINVALID, "mask strategy");
    assert_int_equal(df_latents_to_frames(15), 51);
    assert_int_equal(df_latents_to_frames(7), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(cleans), cmocka_unit_test(long_texts),
                                       cmocka_unit_test(patterns), cmocka_unit_test(prompts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
