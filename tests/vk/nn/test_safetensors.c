/* vk/nn/safetensors.c, weights_file.c, weights_open.c: what is read, and all that is refused. */
#include "support/scene.h"
#include "support/test.h"
#include "vk/base/half.h"
#include "vk/nn/weights.h"

#include <sys/stat.h>

/* A file of this header and `bytes` bytes 0, 1, 2 ... */
static struct test_bytes build(const char *header, size_t bytes)
{
    struct test_bytes b = {0};
    uint64_t n = strlen(header);
    test_put(&b, &n, 8);
    test_put(&b, header, n);
    for (size_t i = 0; i < bytes; i++)
        test_put(&b, &(uint8_t){(uint8_t)i}, 1);
    return b;
}

static int parse(struct nn_file **f, const struct test_bytes *b)
{
    return nn_file_parse(f, test_bytes_exact(b), b->size, "a.safetensors", NULL);
}

static void refuse(const char *header, size_t bytes, int code, const char *part)
{
    struct test_bytes b = build(header, bytes);
    struct nn_file *f;
    assert_fails(parse(&f, &b), code, part);
    assert_null(f);
    assert_non_null(strstr(fv_error(), "a.safetensors"));
    test_bytes_free(&b);
}

static void reads_names_shapes_and_metadata(void **state)
{
    (void)state;
    struct nn_file *f;
    struct test_bytes b =
        build("{\"__metadata__\":{\"format\":\"pt\",\"note\":\"two\"},"
              "\"b\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[4,28]},"
              "\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
              "\"one\":{\"dtype\":\"I16\",\"shape\":[],\"data_offsets\":[28,30]},"
              "\"none\":{\"dtype\":\"F64\",\"shape\":[0,7],\"data_offsets\":[30,30]}}  ",
              30);
    assert_ok(parse(&f, &b));
    assert_int_equal(f->kind, NN_FILE_SAFETENSORS);
    assert_int_equal(f->count, 4);
    assert_string_equal(f->tensors[0].name, "b"); /* the file's order */
    assert_string_equal(nn_file_meta(f, "note"), "two");
    assert_null(nn_file_meta(f, "absent"));
    const struct nn_file_tensor *t = nn_file_find(f, "b");
    assert_non_null(t);
    assert_int_equal(t->rank, 2);
    assert_int_equal(t->shape[1], 3);
    assert_int_equal(t->stride[0], 3);
    assert_int_equal(t->count, 6);
    assert_int_equal(t->bytes, 24);
    assert_int_equal(t->data[0], 4);
    t = nn_file_find(f, "one");
    assert_int_equal(t->rank, 0);
    assert_int_equal(t->count, 1);
    int32_t v;
    assert_ok(nn_file_read(t, NN_DATA_I32, 0, 1, &v));
    assert_int_equal(v, 28 | 29 << 8);
    assert_int_equal(nn_file_find(f, "none")->count, 0);
    assert_null(nn_file_find(f, "c"));
    nn_file_close(&f);
    test_bytes_free(&b);
}

/* One tensor "t" of n elements given as bytes. */
static struct nn_file *one(const char *type, size_t n, const void *data, size_t bytes,
                           struct test_bytes *b)
{
    char header[160];
    struct nn_file *f;
    snprintf(header, sizeof header,
             "{\"t\":{\"dtype\":\"%s\",\"shape\":[%zu],\"data_offsets\":[0,%zu]}}", type, n, bytes);
    *b = build(header, 0);
    test_put(b, data, bytes);
    assert_ok(parse(&f, b));
    return f;
}

static void converts(const char *type, const void *data, size_t bytes, const float *expected,
                     size_t n)
{
    struct test_bytes b;
    struct nn_file *f = one(type, n, data, bytes, &b);
    float got[16];
    uint16_t half[16];
    double d[16];
    assert_ok(nn_file_read(&f->tensors[0], NN_DATA_F32, 0, n, got));
    assert_ok(nn_file_read(&f->tensors[0], NN_DATA_F64, 0, n, d));
    for (size_t i = 0; i < n; i++) {
        if (isnan(expected[i]))
            assert_true(isnan(got[i]));
        else
            assert_true(got[i] == expected[i] && (float)d[i] == expected[i]);
    }
    assert_ok(nn_file_read(&f->tensors[0], NN_DATA_F16, 1, n - 1, half));
    for (size_t i = 1; i < n; i++)
        assert_int_equal(half[i - 1], fv_f32_to_f16(got[i]));
    assert_ok(nn_file_read(&f->tensors[0], NN_DATA_BF16, 1, n - 1, half));
    for (size_t i = 1; i < n; i++)
        assert_int_equal(half[i - 1], fv_f32_to_bf16(got[i]));
    nn_file_close(&f);
    test_bytes_free(&b);
}

static void converts_every_type(void **state)
{
    (void)state;
    converts("F64", (double[]){1.5, -1e-3, 1e300}, 24, (float[]){1.5f, -1e-3f, INFINITY}, 3);
    converts("F32", (float[]){1.5f, -1e-3f, NAN}, 12, (float[]){1.5f, -1e-3f, NAN}, 3);
    converts("F16", (uint16_t[]){0x3c00, 0xc100, 0x0001}, 6, (float[]){1, -2.5f, 0x1p-24f}, 3);
    converts("BF16", (uint16_t[]){0x3f80, 0xc020, 0x7f80}, 6, (float[]){1, -2.5f, INFINITY}, 3);
    converts("F8_E4M3", (uint8_t[]){0x38, 0xb8, 0x7e, 0x01, 0x08, 0x7f}, 6,
             (float[]){1, -1, 448, 0x1p-9f, 0x1p-6f, NAN}, 6);
    converts("F8_E5M2", (uint8_t[]){0x3c, 0xc4, 0x7b, 0x01, 0x7c}, 5,
             (float[]){1, -4, 57344, 0x1p-16f, INFINITY}, 5);
    converts("I64", (int64_t[]){3, -7}, 16, (float[]){3, -7}, 2);
    converts("I32", (int32_t[]){3, -7}, 8, (float[]){3, -7}, 2);
    converts("I16", (int16_t[]){3, -7}, 4, (float[]){3, -7}, 2);
    converts("I8", (int8_t[]){3, -7}, 2, (float[]){3, -7}, 2);
    converts("U64", (uint64_t[]){3, UINT64_MAX}, 16, (float[]){3, 0x1p64f}, 2);
    converts("U32", (uint32_t[]){3, UINT32_MAX}, 8, (float[]){3, 0x1p32f}, 2);
    converts("U16", (uint16_t[]){3, UINT16_MAX}, 4, (float[]){3, 65535}, 2);
    converts("U8", (uint8_t[]){3, 255}, 2, (float[]){3, 255}, 2);
    converts("BOOL", (uint8_t[]){0, 1, 2}, 3, (float[]){0, 1, 1}, 3);
}

static void refuses_conversions_that_lose(void **state)
{
    (void)state;
    struct test_bytes b;
    struct nn_file *f = one("I64", 2, (int64_t[]){1, 1LL << 40}, 16, &b);
    int32_t v[2];
    int64_t w[2];
    assert_ok(nn_file_read(&f->tensors[0], NN_DATA_I64, 0, 2, w));
    assert_true(w[1] == 1LL << 40);
    assert_ok(nn_file_read(&f->tensors[0], NN_DATA_I32, 0, 1, v));
    assert_fails(nn_file_read(&f->tensors[0], NN_DATA_I32, 0, 2, v), FV_EINVALID, "1099511627776");
    assert_fails(nn_file_read(&f->tensors[0], NN_DATA_U8, 0, 1, v), FV_EINVALID, "as U8");
    assert_fails(nn_file_read(&f->tensors[0], NN_DATA_I64, 1, 2, w), FV_EINVALID, "asked of 2");
    assert_fails(nn_file_read(&f->tensors[0], NN_DATA_I64, 3, 0, w), FV_EINVALID, "asked of 2");
    nn_file_close(&f);
    test_bytes_free(&b);
    f = one("F32", 1, (float[]){1}, 4, &b);
    assert_fails(nn_file_read(&f->tensors[0], NN_DATA_I64, 0, 1, w), FV_EINVALID, "F32");
    nn_file_close(&f);
    test_bytes_free(&b);
}

static void strips_training_wrappers(void **state)
{
    (void)state;
    struct nn_file *f;
    struct test_bytes b =
        build("{\"module.a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
              "\"module._orig_mod.b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
              2);
    assert_ok(parse(&f, &b));
    assert_non_null(nn_file_find(f, "a"));
    assert_non_null(nn_file_find(f, "_orig_mod.b")); /* not before all of them */
    nn_file_close(&f);
    test_bytes_free(&b);
}

#define T1(dtype, shape, offsets)                                                                  \
    "{\"t\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static void rejects_every_truncation(void **state)
{
    (void)state;
    struct test_bytes b = build(T1("F32", "[2]", "[0,8]"), 8), part = b;
    struct nn_file *f;
    for (part.size = 0; part.size < b.size; part.size++) {
        assert_int_equal(parse(&f, &part), FV_EFORMAT);
        assert_null(f);
    }
    test_bytes_free(&b);
}

static void rejects_extra_bytes(void **state)
{
    (void)state;
    refuse(T1("F32", "[2]", "[0,8]"), 9, FV_EFORMAT, "take 8 of the 9 bytes");
}

static void rejects_huge_header(void **state)
{
    (void)state;
    struct nn_file *f;
    struct test_bytes b = build(T1("F32", "[2]", "[0,8]"), 8);
    memcpy(b.data, &(uint64_t){b.size - 7}, 8);
    assert_fails(parse(&f, &b), FV_EFORMAT, "does not fit");
    memcpy(b.data, &(uint64_t){1ull << 47}, 8);
    assert_fails(parse(&f, &b), FV_EFORMAT, "does not fit");
    memset(b.data, 0xff, 8);
    assert_fails(parse(&f, &b), FV_EFORMAT, "neither a safetensors");
    test_bytes_free(&b);
}

static void rejects_out_of_range(void **state)
{
    (void)state;
    refuse(T1("F32", "[2]", "[8,16]"), 8, FV_EFORMAT, "beyond the end");
    refuse(T1("U8", "[9007199254740992]", "[0,9007199254740992]"), 8, FV_EFORMAT, "beyond the end");
    refuse(T1("F32", "[2]", "[8,0]"), 8, FV_EFORMAT, "do not hold the 8 bytes of F32 [2]");
    refuse(T1("F32", "[2]", "[0,-8]"), 8, FV_EFORMAT, "whole number");
    refuse(T1("F32", "[2]", "[0,1e300]"), 8, FV_EFORMAT, "whole number");
    refuse(T1("F32", "[2]", "[0.5,8.5]"), 8, FV_EFORMAT, "whole number");
}

static void rejects_wrong_sizes(void **state)
{
    (void)state;
    refuse(T1("F32", "[3]", "[0,8]"), 8, FV_EFORMAT, "do not hold the 12 bytes of F32 [3]");
    refuse(T1("F16", "[2,2]", "[0,9]"), 9, FV_EFORMAT, "do not hold the 8 bytes of F16 [2, 2]");
    refuse(T1("F32", "[-1]", "[0,4]"), 4, FV_EFORMAT, "whole number");
    refuse(T1("F32", "[\"1\"]", "[0,4]"), 4, FV_EFORMAT, "whole number");
}

static void rejects_shape_overflow(void **state)
{
    (void)state;
    refuse(T1("F32", "[4294967296,4294967296]", "[0,0]"), 0, FV_EFORMAT, "too large");
    refuse(T1("F64", "[2305843009213693952]", "[0,0]"), 0, FV_EFORMAT, "whole number");
    refuse(T1("F64", "[4503599627370496,512]", "[0,0]"), 0, FV_EFORMAT, "too large");
    refuse(T1("U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]"), 1, FV_EUNSUPPORTED, "9 dimensions");
}

static void rejects_overlap_and_holes(void **state)
{
    (void)state;
    refuse("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
           "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[3,7]}}",
           8, FV_EFORMAT, "'a' and 'b' overlap");
    refuse("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
           "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[5,9]}}",
           9, FV_EFORMAT, "take 8 of the 9");
}

static void rejects_duplicate_names(void **state)
{
    (void)state;
    refuse("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
           "\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,8]}}",
           8, FV_EFORMAT, "two tensors named 'a'");
}

static void rejects_unknown_type(void **state)
{
    (void)state;
    refuse(T1("F4", "[2]", "[0,1]"), 1, FV_EUNSUPPORTED, "'t' is of type F4");
    refuse(T1("Q4_0", "[32]", "[0,18]"), 18, FV_EUNSUPPORTED, "'t' is of type Q4_0");
    refuse("{\"t\":{\"dtype\":4,\"shape\":[],\"data_offsets\":[0,1]}}", 1, FV_EFORMAT,
           "t.dtype: expected text");
}

static void rejects_bad_json(void **state)
{
    (void)state;
    refuse("{\"t\":", 0, FV_EFORMAT, "JSON");
    refuse("{\"t\":[]}", 0, FV_EFORMAT, "expected an object with dtype");
    refuse("{\"__metadata__\":{\"a\":1}}", 0, FV_EFORMAT, "metadata must be text");
    refuse(T1("F32", "{}", "[0,4]"), 4, FV_EFORMAT, "shape: expected a list");
    refuse(T1("F32", "[1]", "[0,4,5]"), 4, FV_EFORMAT, "expected two numbers, found 3");
    char deep[400];
    memcpy(deep, "{\"a\":", 5);
    memset(deep + 5, '[', 300);
    deep[305] = 0;
    refuse(deep, 0, FV_EFORMAT, "64 deep");
}

static void rejects_bad_names(void **state)
{
    (void)state;
    char header[800] = "{\"";
    memset(header + 2, 'x', 600);
    strcpy(header + 602, "\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}");
    refuse(header, 1, FV_EFORMAT, "longer than 512");
    refuse("{\"a\\u001bb\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, FV_EFORMAT,
           "control character");
}

static void says_what_other_files_are(void **state)
{
    (void)state;
    struct nn_file *f;
    const char lfs[] = "version https://git-lfs.github.com/spec/v1\noid sha256:00\n";
    const uint8_t old[] = {0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8};
    assert_fails(nn_file_parse(&f, lfs, sizeof lfs, "a", NULL), FV_EFORMAT, "git lfs pull");
    assert_fails(nn_file_parse(&f, old, sizeof old, "a", NULL), FV_EUNSUPPORTED, "before PyTorch");
    assert_fails(nn_file_parse(&f, "hello", 5, "a", NULL), FV_EFORMAT, "neither");
    assert_fails(nn_file_open(&f, "/nowhere/a.safetensors", NULL), FV_EIO, "/nowhere");
}

/* ---- folders and indexes ---- */

static const char *folder(const char *name)
{
    const char *path = test_tmp_path(name);
    mkdir(path, 0777);
    return path;
}

static void put_file(const char *path, const char *header, size_t bytes)
{
    struct test_bytes b = build(header, bytes);
    test_write_file(path, b.data, b.size);
    test_bytes_free(&b);
}

static void put_text(const char *path, const char *text)
{
    test_write_file(path, text, strlen(text));
}

static void reads_a_sharded_index(void **state)
{
    (void)state;
    struct nn_file *f;
    const char *dir = folder("sharded");
    put_file(test_tmp_path("sharded/m-1.safetensors"), T1("F32", "[2]", "[0,8]"), 8);
    put_file(test_tmp_path("sharded/m-2.safetensors"),
             "{\"u\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},"
             "\"unlisted\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[3,4]}}",
             4);
    put_text(test_tmp_path("sharded/model.safetensors.index.json"),
             "{\"metadata\":{\"total_size\":11},"
             "\"weight_map\":{\"t\":\"m-1.safetensors\",\"u\":\"m-2.safetensors\"}}");
    assert_ok(nn_file_open(&f, dir, NULL));
    assert_int_equal(f->count, 2);
    assert_int_equal(f->part_count, 2);
    assert_string_equal(nn_file_meta(f, "total_size"), "11");
    const struct nn_file_tensor *u = nn_file_find(f, "u");
    assert_int_equal(u->part, 1);
    assert_int_equal(u->data[2], 2);
    nn_file_forget(f, u);
    assert_int_equal(u->data[2], 2);
    nn_file_close(&f);
    assert_true(nn_file_is_weights(dir));
}

static void refuse_index(const char *text, int code, const char *part)
{
    struct nn_file *f;
    const char *path = test_tmp_path("bad/x.safetensors.index.json");
    folder("bad");
    put_file(test_tmp_path("bad/m.safetensors"), T1("F32", "[2]", "[0,8]"), 8);
    put_text(path, text);
    assert_fails(nn_file_open(&f, path, NULL), code, part);
    assert_null(f);
}

static void rejects_bad_indexes(void **state)
{
    (void)state;
    refuse_index("{\"weight_map\":{\"t\":\"../m.safetensors\"}}", FV_EFORMAT, "beside this one");
    refuse_index("{\"weight_map\":{\"t\":\"/etc/passwd\"}}", FV_EFORMAT, "beside this one");
    refuse_index("{\"weight_map\":{\"t\":1}}", FV_EFORMAT, "beside this one");
    refuse_index("{\"weight_map\":{}}", FV_EFORMAT, "names 0 tensors");
    refuse_index("{}", FV_EFORMAT, "weight_map: expected an object");
    refuse_index("{\"weight_map\":{\"t\":\"none.safetensors\"}}", FV_EIO, "none.safetensors");
    refuse_index("{\"weight_map\":{\"v\":\"m.safetensors\"}}", FV_EFORMAT,
                 "'v' is not in m.safetensors");
    refuse_index("{\"weight_map\":{\"t\":\"m.safetensors\",\"t\":\"m.safetensors\"}}", FV_EFORMAT,
                 "'t' twice");
}

static void finds_weights_in_folders(void **state)
{
    (void)state;
    struct nn_file *f;
    const char *dir = folder("model");
    assert_fails(nn_file_open(&f, dir, NULL), FV_EIO, "no weights");
    assert_false(nn_file_is_weights(dir));
    put_file(test_tmp_path("model/any.safetensors"), T1("F32", "[2]", "[0,8]"), 8);
    assert_ok(nn_file_open(&f, dir, NULL));
    assert_string_equal(f->name, test_tmp_path("model/any.safetensors"));
    nn_file_close(&f);
    put_file(test_tmp_path("model/other.safetensors"), T1("F32", "[2]", "[0,8]"), 8);
    assert_fails(nn_file_open(&f, dir, NULL), FV_EINVALID, "2 weight files");
    put_file(test_tmp_path("model/diffusion_pytorch_model.safetensors"), T1("F32", "[1]", "[0,4]"),
             4);
    assert_ok(nn_file_open(&f, dir, NULL));
    assert_int_equal(f->tensors[0].count, 1);
    nn_file_close(&f);
}

static void reads_real_files(void **state)
{
    (void)state;
    static const char *const names[] = {"data/weights/taesd-fp16/taesd_decoder.safetensors",
                                        "data/weights/taesd-fp16/taesd3_encoder.safetensors",
                                        "golden/nn/osp_odvae_v11/case_decode_T1.safetensors",
                                        "golden/nn/osp_odvae_v11",
                                        "golden/nn/wan21_dit_t2v",
                                        "golden/gs/04_scaffold_sags/sags/weights.safetensors"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *path = test_shared(names[i]);
        struct nn_file *f;
        if (!path)
            continue;
        assert_ok(nn_file_open(&f, path, NULL));
        assert_true(f->count > 0);
        for (size_t k = 0; k < f->count; k++) {
            const struct nn_file_tensor *t = &f->tensors[k];
            float *v = malloc((t->count ? t->count : 1) * sizeof *v);
            assert_ok(nn_file_read(t, NN_DATA_F32, 0, t->count, v));
            for (size_t e = 0; e < t->count; e++)
                assert_true(isfinite(v[e]) && fabsf(v[e]) < 1e4f);
            free(v);
            assert_ptr_equal(nn_file_find(f, t->name), t);
        }
        nn_file_close(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_names_shapes_and_metadata),
        cmocka_unit_test(converts_every_type),
        cmocka_unit_test(refuses_conversions_that_lose),
        cmocka_unit_test(strips_training_wrappers),
        cmocka_unit_test(rejects_every_truncation),
        cmocka_unit_test(rejects_extra_bytes),
        cmocka_unit_test(rejects_huge_header),
        cmocka_unit_test(rejects_out_of_range),
        cmocka_unit_test(rejects_wrong_sizes),
        cmocka_unit_test(rejects_shape_overflow),
        cmocka_unit_test(rejects_overlap_and_holes),
        cmocka_unit_test(rejects_duplicate_names),
        cmocka_unit_test(rejects_unknown_type),
        cmocka_unit_test(rejects_bad_json),
        cmocka_unit_test(rejects_bad_names),
        cmocka_unit_test(says_what_other_files_are),
        cmocka_unit_test(reads_a_sharded_index),
        cmocka_unit_test(rejects_bad_indexes),
        cmocka_unit_test(finds_weights_in_folders),
        cmocka_unit_test(reads_real_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
