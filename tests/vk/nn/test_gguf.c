/* vk/nn/gguf.c, dequantize.c: files and blocks as ggml writes and expands them, and damaged ones. */
#include "support/scene.h"
#include "support/test.h"
#include "vk/base/half.h"
#include "vk/nn/weights.h"

/* Expected floats were made by ggml (tools/make_gguf.c). */
static void expands_blocks_as_ggml(void **state)
{
    (void)state;
    struct nn_file *f, *expected;
    assert_ok(nn_file_open(&f, test_source("tests/golden/weights/quantised.gguf"), NULL));
    assert_ok(
        nn_file_open(&expected, test_source("tests/golden/weights/quantised.safetensors"), NULL));
    assert_int_equal(f->kind, NN_FILE_GGUF);
    assert_int_equal(f->count, 27);
    assert_int_equal(expected->count, f->count);
    for (size_t i = 0; i < f->count; i++) {
        const struct nn_file_tensor *t = &f->tensors[i], *e = nn_file_find(expected, t->name);
        float got[512], want[512], part[512];
        uint16_t half[512];
        assert_non_null(e);
        assert_true(t->rank == 2 && t->shape[0] == 2 && t->shape[1] == e->shape[1]);
        assert_ok(nn_file_read(t, NN_DATA_F32, 0, t->count, got));
        assert_ok(nn_file_read(e, NN_DATA_F32, 0, e->count, want));
        if (memcmp(got, want, t->count * 4))
            fail_msg("%s differs", t->name);
        /* any start and length, across blocks */
        for (uint64_t first = 0; first < t->count; first += 37) {
            uint64_t n = t->count - first < 95 ? t->count - first : 95;
            assert_ok(nn_file_read(t, NN_DATA_F32, first, n, part));
            assert_memory_equal(part, want + first, n * 4);
        }
        assert_ok(nn_file_read(t, NN_DATA_F16, 1, t->count - 1, half));
        for (uint64_t k = 1; k < t->count; k++)
            assert_int_equal(half[k - 1], fv_f32_to_f16(want[k]));
        if (nn_data_block(t->type) > 1)
            assert_fails(nn_file_read(t, NN_DATA_I32, 0, 1, part), FV_EINVALID, "as I32");
    }
    assert_int_equal(nn_file_find(f, "q4_K")->bytes, 2 * 144);
    nn_file_close(&f);
    nn_file_close(&expected);
}

static void reads_metadata(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {{"general.architecture", "test"},
                                           {"test.block_count", "7"},
                                           {"test.flag", "true"},
                                           {"test.epsilon", "9.99999997e-07"},
                                           {"test.big", "-1099511627776"},
                                           {"test.few", "[3, 1, 2]"},
                                           {"test.words", "[2 texts]"}};
    struct nn_file *f;
    assert_ok(nn_file_open(&f, test_source("tests/golden/weights/quantised.gguf"), NULL));
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        assert_string_equal(nn_file_meta(f, pairs[i][0]), pairs[i][1]);
    nn_file_close(&f);
}

/* ---- files by hand ---- */

static void put32(struct test_bytes *b, uint32_t v)
{
    test_put(b, &v, 4);
}

static void put64(struct test_bytes *b, uint64_t v)
{
    test_put(b, &v, 8);
}

static void put_string(struct test_bytes *b, const char *text)
{
    put64(b, strlen(text));
    test_put(b, text, strlen(text));
}

struct tensor {
    const char *name;
    uint32_t rank;
    uint64_t dims[4];
    uint32_t type;
    uint64_t offset;
};

struct spec {
    uint32_t version;        /* 0 = 3 */
    uint64_t tensors, pairs; /* 0 = as many as there are */
    const void *extra;       /* one pair as bytes */
    size_t extra_size;
    size_t bytes; /* of data; 0 = 64 */
    const char *magic;
};

static struct test_bytes build(const struct tensor *t, size_t n, const struct spec *s)
{
    struct test_bytes b = {0};
    test_put(&b, s->magic ? s->magic : "GGUF", 4);
    put32(&b, s->version ? s->version : 3);
    put64(&b, s->tensors ? s->tensors : n);
    put64(&b, s->pairs ? s->pairs : s->extra ? 1 : 0);
    test_put(&b, s->extra, s->extra_size);
    for (size_t i = 0; i < n; i++) {
        put_string(&b, t[i].name);
        put32(&b, t[i].rank);
        for (uint32_t d = 0; d < t[i].rank && d < 4; d++)
            put64(&b, t[i].dims[d]);
        put32(&b, t[i].type);
        put64(&b, t[i].offset);
    }
    while (b.size % 32)
        test_put(&b, "", 1);
    for (size_t i = 0; i < (s->bytes ? s->bytes : 64); i++)
        test_put(&b, &(uint8_t){(uint8_t)i}, 1);
    return b;
}

static int parse(struct nn_file **f, const struct test_bytes *b)
{
    return nn_file_parse(f, test_bytes_exact(b), b->size, "a.gguf", NULL);
}

static void refuse(struct tensor t, struct spec s, int code, const char *part)
{
    struct nn_file *f;
    struct test_bytes b = build(&t, 1, &s);
    assert_fails(parse(&f, &b), code, part);
    assert_null(f);
    assert_non_null(strstr(fv_error(), "a.gguf"));
    test_bytes_free(&b);
}

static const struct tensor plain = {"t", 2, {4, 3}, 24, 0}; /* I8 */

static void reads_files_by_hand(void **state)
{
    (void)state;
    const struct tensor two[] = {{"t", 2, {4, 3}, 24, 32}, {"u", 1, {8}, 0, 0}};
    for (uint32_t version = 2; version <= 3; version++) {
        struct nn_file *f;
        struct test_bytes b = build(two, 2, &(struct spec){.version = version});
        assert_ok(parse(&f, &b));
        const struct nn_file_tensor *t = nn_file_find(f, "t");
        assert_true(t->shape[0] == 3 && t->shape[1] == 4);
        assert_int_equal(t->data[0], 32);
        assert_int_equal(nn_file_find(f, "u")->data[0], 0);
        nn_file_close(&f);
        test_bytes_free(&b);
    }
}

static void restores_flattened_shapes(void **state)
{
    (void)state;
    for (int fits = 0; fits < 2; fits++) {
        struct test_bytes pair = {0};
        struct nn_file *f;
        put_string(&pair, "comfy.gguf.orig_shape.t");
        put32(&pair, 9);
        put32(&pair, 5);
        put64(&pair, 5);
        for (uint32_t i = 0; i < 5; i++)
            put32(&pair, i == 1 ? 3 : i == 4 ? (fits ? 4 : 5) : 1);
        struct test_bytes b =
            build(&plain, 1, &(struct spec){.extra = pair.data, .extra_size = pair.size});
        assert_ok(parse(&f, &b));
        assert_int_equal(f->tensors[0].rank, fits ? 5 : 2);
        assert_int_equal(f->tensors[0].shape[1], fits ? 3 : 4);
        nn_file_close(&f);
        test_bytes_free(&b);
        test_bytes_free(&pair);
    }
}

static void rejects_every_truncation(void **state)
{
    (void)state;
    struct test_bytes b = build(&plain, 1, &(struct spec){.bytes = 12}), part = b;
    struct nn_file *f;
    for (part.size = 0; part.size < b.size; part.size++)
        assert_int_equal(parse(&f, &part), FV_EFORMAT);
    assert_ok(parse(&f, &b));
    nn_file_close(&f);
    test_bytes_free(&b);
}

static void rejects_versions_and_byte_order(void **state)
{
    (void)state;
    refuse(plain, (struct spec){.version = 1}, FV_EUNSUPPORTED, "version 1");
    refuse(plain, (struct spec){.version = 4}, FV_EUNSUPPORTED, "version 4");
    refuse(plain, (struct spec){.version = 0x03000000}, FV_EUNSUPPORTED, "3 in big-endian");
}

static void rejects_huge_counts(void **state)
{
    (void)state;
    refuse(plain, (struct spec){.tensors = UINT64_MAX}, FV_EFORMAT, "do not fit");
    refuse(plain, (struct spec){.pairs = 1ull << 60}, FV_EFORMAT, "do not fit");
    refuse(plain, (struct spec){.tensors = 2}, FV_EFORMAT, "a tensor has no name");
}

static void rejects_bad_tensors(void **state)
{
    (void)state;
    const struct spec s = {0};
    refuse((struct tensor){"t", 5, {1, 1, 1, 1}, 24, 0}, s, FV_EFORMAT, "5 dimensions");
    refuse((struct tensor){"t", 1, {64}, 4, 0}, s, FV_EUNSUPPORTED, "'t' is of type unknown (4)");
    refuse((struct tensor){"t", 1, {256}, 16, 0}, s, FV_EUNSUPPORTED, "type IQ2_XXS (16)");
    refuse((struct tensor){"t", 1, {64}, 1000, 0}, s, FV_EUNSUPPORTED, "unknown (1000)");
    refuse((struct tensor){"t", 1, {33}, 2, 0}, s, FV_EFORMAT, "no whole number of Q4_0 blocks");
    refuse((struct tensor){"t", 0, {0}, 2, 0}, s, FV_EFORMAT, "no whole number of Q4_0 blocks");
    refuse((struct tensor){"t", 1, {8}, 24, 4}, s, FV_EFORMAT, "offset 4 is no multiple of 32");
    refuse((struct tensor){"t", 1, {8}, 24, 96}, s, FV_EFORMAT, "beyond the end");
    refuse((struct tensor){"t", 1, {65}, 24, 0}, s, FV_EFORMAT, "beyond the end");
    refuse((struct tensor){"t", 1, {8}, 24, UINT64_MAX - 31}, s, FV_EFORMAT, "beyond the end");
    refuse((struct tensor){"t", 2, {1ull << 40, 1ull << 40}, 24, 0}, s, FV_EFORMAT, "too large");
    refuse((struct tensor){"t", 1, {1ull << 62}, 28, 0}, s, FV_EFORMAT, "too large");
}

static void rejects_overlap_and_duplicates(void **state)
{
    (void)state;
    struct nn_file *f;
    struct test_bytes b = build((struct tensor[]){{"t", 1, {33}, 24, 0}, {"u", 1, {8}, 24, 32}}, 2,
                                &(struct spec){0});
    assert_fails(parse(&f, &b), FV_EFORMAT, "'t' and 'u' overlap");
    test_bytes_free(&b);
    b = build((struct tensor[]){{"t", 1, {8}, 24, 0}, {"t", 1, {8}, 24, 32}}, 2, &(struct spec){0});
    assert_fails(parse(&f, &b), FV_EFORMAT, "two tensors named 't'");
    test_bytes_free(&b);
}

/* One pair with key "k" (or another), of a type and these bytes. */
static void refuse_pair(const char *key, uint32_t type, const void *data, size_t size, int code,
                        const char *part)
{
    struct test_bytes pair = {0};
    put_string(&pair, key);
    put32(&pair, type);
    test_put(&pair, data, size);
    refuse(plain, (struct spec){.extra = pair.data, .extra_size = pair.size}, code, part);
    test_bytes_free(&pair);
}

static void rejects_bad_pairs(void **state)
{
    (void)state;
    refuse_pair("k", 13, "", 0, FV_EFORMAT, "'k' is of type 13");
    refuse_pair("k", 8, "\377\377\377\377\377\377\377\377", 8, FV_EFORMAT, "cut short");
    refuse_pair("k", 9, "\5\0\0\0\377\377\377\377\377\377\377\377", 12, FV_EFORMAT, "cut short");
    refuse_pair("k", 9, "\10\0\0\0\377\377\377\0\0\0\0\0", 12, FV_EFORMAT, "cut short");
    refuse_pair("k", 9, "\11\0\0\0\1\0\0\0\0\0\0\0", 12, FV_EUNSUPPORTED, "array of arrays");
    refuse_pair("general.alignment", 4, "\3\0\0\0", 4, FV_EFORMAT, "alignment is 3");
    refuse_pair("general.alignment", 4, "\0\0\0\0", 4, FV_EFORMAT, "alignment is 0");
    refuse_pair("general.alignment", 8, "\1\0\0\0\0\0\0\0x", 9, FV_EFORMAT, "alignment is x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expands_blocks_as_ggml),
        cmocka_unit_test(reads_metadata),
        cmocka_unit_test(reads_files_by_hand),
        cmocka_unit_test(restores_flattened_shapes),
        cmocka_unit_test(rejects_every_truncation),
        cmocka_unit_test(rejects_versions_and_byte_order),
        cmocka_unit_test(rejects_huge_counts),
        cmocka_unit_test(rejects_bad_tensors),
        cmocka_unit_test(rejects_overlap_and_duplicates),
        cmocka_unit_test(rejects_bad_pairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
