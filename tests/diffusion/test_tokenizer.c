/* diffusion/tokenizer.c, sentencepiece_model.c, bpe.c: small vocabularies made here; damaged ones. What the
 * authors' tokenizers make of texts is judged by golden cases (app_test_check_nn). */
#include "diffusion/bpe.h"
#include "diffusion/diffusion.h"
#include "diffusion/sentencepiece.h"
#include "support/test.h"

#include <unistd.h>

#define ADDED "\"added_tokens\":[{\"id\":0,\"content\":\"<pad>\"},{\"id\":1,\"content\":\"</s>\"}," \
              "{\"id\":2,\"content\":\"<unk>\"},{\"id\":7,\"content\":\"<extra_id_0>\"}],"
#define METASPACE "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"WhitespaceSplit\"}," \
                  "{\"type\":\"Metaspace\",\"add_prefix_space\":true}]},"
#define VOCABULARY "[\"<pad>\",0],[\"</s>\",0],[\"<unk>\",0],[\"\u2581\",-3],[\"\u2581a\",-1],[\"b\",-2]," \
                   "[\"ab\",-1.5],[\"<extra_id_0>\",0]"
#define MODEL(type, vocabulary, unknown)                                                           \
    "\"model\":{\"type\":\"" type "\",\"unk_id\":" unknown ",\"vocab\":[" vocabulary "]}}"
#define GOOD "{" ADDED METASPACE MODEL("Unigram", VOCABULARY, "2")

static const char *write_text(const char *name, const char *text)
{
    const char *path = test_tmp_path(name);
    test_write_file(path, text, strlen(text));
    return path;
}

static void assert_words(const struct df_tokenizer *t, const char *text, bool special, size_t n,
                         const int32_t *want)
{
    int32_t *ids;
    size_t count;
    assert_ok(df_tokenizer_words(t, text, special, &ids, &count));
    assert_int_equal(count, n);
    for (size_t i = 0; i < n; i++)
        if (ids[i] != want[i])
            fail_msg("\"%s\": word %zu is %d, expected %d", text, i, ids[i], want[i]);
    free(ids);
}

static void assert_small(const struct df_tokenizer *t)
{
    assert_words(t, "", true, 0, NULL);
    assert_words(t, "ab", true, 2, (int32_t[]){4, 5});
    assert_words(t, "  a   bab ", true, 4, (int32_t[]){4, 3, 5, 6});
    assert_words(t, "a xyz", true, 3, (int32_t[]){4, 3, 2}); /* unknown ones are one word */
    assert_words(t, "a </s> a", true, 3, (int32_t[]){4, 1, 4});
    assert_words(t, "<extra_id_0>", true, 1, (int32_t[]){7});
    int32_t ids[4];
    bool mask[4];
    size_t left_out;
    assert_ok(df_tokenizer_encode(t, "a a a a", true, 4, ids, mask, &left_out));
    assert_memory_equal(ids, ((int32_t[]){4, 4, 4, 1}), sizeof ids);
    assert_int_equal(left_out, 1);
    assert_true(mask[3]);
    assert_ok(df_tokenizer_encode(t, "a", true, 4, ids, mask, &left_out));
    assert_memory_equal(ids, ((int32_t[]){4, 1, 0, 0}), sizeof ids);
    assert_true(mask[1] && !mask[2] && !left_out);
    assert_fails(df_tokenizer_encode(t, "a", true, 0, ids, mask, NULL), FV_EINVALID, "no room");
    assert_fails(df_tokenizer_encode(t, "a\xff", true, 4, ids, mask, NULL), FV_EINVALID, "byte 1 is 0xff");
}

static void cuts_texts(void **state)
{
    (void)state;
    struct df_tokenizer *t;
    assert_ok(df_tokenizer_open(&t, write_text("tokenizer.json", GOOD)));
    assert_int_equal(df_tokenizer_info(t)->words, 8);
    assert_int_equal(df_tokenizer_info(t)->begin, -1);
    assert_small(t);
    int32_t *ids;
    size_t count, n = 100000;
    char *text = malloc(n + 1);
    memset(text, 'a', n);
    text[n] = 0;
    assert_ok(df_tokenizer_words(t, text, true, &ids, &count));
    assert_true(count == 2); /* the first, and all the unknown ones */
    free(ids);
    free(text);
    df_tokenizer_close(&t);
}

/* The same as a .model file: what is written for the library is one. */
static void reads_models(void **state)
{
    (void)state;
    struct df_pieces p;
    struct df_tokenizer *t;
    uint8_t *data;
    size_t size;
    const char *path = test_tmp_path("spiece.model");
    assert_ok(df_pieces_read(&p, GOOD, strlen(GOOD), "good", DF_GAPS));
    assert_ok(df_pieces_write(&p, &data, &size));
    df_pieces_finish(&p);
    test_write_file(path, data, size);
    assert_ok(df_tokenizer_open(&t, path));
    assert_small(t);
    assert_int_equal(df_tokenizer_info(t)->words, 8 + 99); /* of 100 for gaps, one is a piece */
    df_tokenizer_close(&t);
    write_text("tokenizer_config.json", "{\"extra_ids\": 0}");
    assert_ok(df_tokenizer_open(&t, path));
    assert_int_equal(df_tokenizer_info(t)->words, 8);
    df_tokenizer_close(&t);
    write_text("tokenizer_config.json", "{\"extra_ids\": \"many\"}");
    assert_fails(df_tokenizer_open(&t, path), FV_EFORMAT, "extra_ids");
    assert_int_equal(unlink(test_tmp_path("tokenizer_config.json")), 0);
    for (size_t cut = 0; cut < size; cut++) { /* any beginning of it: a model or a sentence */
        int rc = df_pieces_read(&p, data, cut, "cut", DF_GAPS);
        assert_true(rc == 0 || *fv_error());
        if (rc == 0)
            df_pieces_finish(&p);
    }
    free(data);
}

static void refuses_models(void **state)
{
    (void)state;
    static const struct {
        const char *text, *part;
    } rows[] = {
        {"", "empty"},
        {"{}", "model"},
        {"{" MODEL("WordPiece", VOCABULARY, "2"), "WordPiece"},
        {"{" MODEL("Unigram", "", "0"), "no pieces"},
        {"{" MODEL("Unigram", VOCABULARY, "99"), "unk_id"},
        {"{" MODEL("Unigram", VOCABULARY ",[\"b\",-4]", "2"), "twice"},
        {"{" MODEL("Unigram", VOCABULARY ",[\"\",-4]", "2"), "empty"},
        {"{" MODEL("Unigram", VOCABULARY ",[\"c\",1e999]", "2"), "no number"},
        {"{" MODEL("Unigram", VOCABULARY ",[\"c\"]", "2"), "a piece and its score"},
        {"{\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AAQAAP////8A\"},"
         MODEL("Unigram", VOCABULARY, "2"), "map of characters"},
        {"{\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"?\"},"
         MODEL("Unigram", VOCABULARY, "2"), "base64"},
        {"{\"normalizer\":{\"type\":\"Lowercase\"}," MODEL("Unigram", VOCABULARY, "2"), "Lowercase"},
        {"\x0a\xff\xff\xff", "no SentencePiece model"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct df_tokenizer *t;
        int rc = df_tokenizer_open(&t, write_text("tokenizer.json", rows[i].text));
        if (rc == FV_EFORMAT && !*rows[i].part)
            continue;
        assert_true(rc < 0 && !t);
        if (!strstr(fv_error(), rows[i].part) && i != sizeof rows / sizeof *rows - 1)
            fail_msg("row %zu: \"%s\", expected \"%s\"", i, fv_error(), rows[i].part);
    }
    struct df_pieces p;
    assert_fails(df_pieces_read(&p, "\x0a\xff\xff\xff", 4, "x", DF_GAPS), FV_EFORMAT, "no SentencePiece model");
    struct df_tokenizer *t;
    assert_fails(df_tokenizer_open(&t, test_tmp_path("none")), FV_EIO, "none");
}

/* Bytes as words, then "ab", "abc</w>", the two marks. */
static void make_pairs(char **merges, char **vocabulary)
{
    size_t n = 0;
    *vocabulary = malloc(1 << 16);
    n += (size_t)sprintf(*vocabulary + n, "{");
    unsigned id = 0;
    for (int end = 0; end < 2; end++)
        for (unsigned i = 0, moved = 256; i < 256; i++) {
            bool shown = (i >= '!' && i <= '~') || (i >= 0xA1 && i <= 0xAC) || i >= 0xAE;
            unsigned c = shown ? i : moved++;
            char text[8] = {0};
            if (c < 128)
                snprintf(text, sizeof text, c == '"' || c == '\\' ? "\\%c" : "%c", (int)c);
            else
                snprintf(text, sizeof text, "%c%c", (int)(0xC0 | c >> 6), (int)(0x80 | (c & 63)));
            n += (size_t)sprintf(*vocabulary + n, "\"%s%s\":%u,", text, end ? "</w>" : "", id++);
        }
    sprintf(*vocabulary + n, "\"ab\":512,\"abc</w>\":513,\"<|startoftext|>\":514,\"<|endoftext|>\":515}");
    *merges = strdup("#version: 0.2\na b\nab c</w>\n");
}

static void joins_pairs(void **state)
{
    (void)state;
    struct df_bpe *b;
    char *merges, *vocabulary;
    int32_t *ids;
    size_t n;
    make_pairs(&merges, &vocabulary);
    assert_ok(df_bpe_parse(&b, merges, strlen(merges), "merges.txt", vocabulary, strlen(vocabulary), "vocab.json"));
    assert_int_equal(df_bpe_words(b), 516);
    assert_ok(df_bpe_encode(b, "ABC abab <|endoftext|>", &ids, &n));
    assert_int_equal(n, 5);
    assert_memory_equal(ids, ((int32_t[]){513, 512, 'a', 256 + 'b', 515}), 5 * sizeof *ids);
    free(ids);
    assert_ok(df_bpe_encode(b, " \n ", &ids, &n));
    assert_int_equal(n, 0);
    free(ids);
    assert_fails(df_bpe_encode(b, "\xc0", &ids, &n), FV_EINVALID, "not UTF-8");
    df_bpe_close(&b);
    static const struct {
        const char *merges, *vocabulary, *part;
    } rows[] = {{"a b\nx\n", NULL, "line 2"},
                {"a zz\n", NULL, "no word"},
                {"a b\n", "{}", "no word"},
                {"", "{\"a\":0}", "no word for byte"},
                {"", "{\"a\":-1}", "a number of a word"},
                {"", "[]", "expected {"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *v = rows[i].vocabulary ? rows[i].vocabulary : vocabulary;
        int rc = df_bpe_parse(&b, rows[i].merges, strlen(rows[i].merges), "m", v, strlen(v), "v");
        assert_true(rc < 0 && !b);
        if (!strstr(fv_error(), rows[i].part))
            fail_msg("row %zu: \"%s\", expected \"%s\"", i, fv_error(), rows[i].part);
    }
    free(merges);
    free(vocabulary);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(cuts_texts), cmocka_unit_test(reads_models),
                                       cmocka_unit_test(refuses_models), cmocka_unit_test(joins_pairs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
