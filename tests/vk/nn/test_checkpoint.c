/* vk/base/pickle.c, vk/nn/checkpoint_zip.c: PyTorch checkpoints, and pickles that want more than tensors. */
#include "support/scene.h"
#include "support/test.h"
#include "vk/base/zip.h"
#include "vk/nn/weights.h"

/* ---- what tools/make_checkpoints.py wrote ---- */

static struct nn_file *golden(const char *name)
{
    struct nn_file *f;
    char path[64];
    snprintf(path, sizeof path, "tests/golden/weights/%s", name);
    assert_ok(nn_file_open(&f, test_source(path), NULL));
    assert_int_equal(f->kind, NN_FILE_TORCH);
    return f;
}

static void assert_values(const struct nn_file *f, const char *name, const float *expected,
                          size_t n)
{
    const struct nn_file_tensor *t = nn_file_find(f, name);
    float got[64];
    if (!t)
        fail_msg("no tensor %s", name);
    assert_int_equal(t->count, n);
    assert_ok(nn_file_read(t, NN_DATA_F32, 0, n, got));
    for (size_t i = 0; i < n; i++)
        if (got[i] != expected[i])
            fail_msg("%s[%zu] = %g, expected %g", name, i, (double)got[i], (double)expected[i]);
    for (size_t i = 0; i < n; i++) { /* one by one, from the middle */
        assert_ok(nn_file_read(t, NN_DATA_F32, i, 1, got));
        assert_true(got[0] == expected[i]);
    }
}

static void reads_every_type_and_protocol(void **state)
{
    (void)state;
    static const char *const kinds[] = {"Double", "Float", "Half", "BFloat16", "Long",
                                        "Int",    "Short", "Char", "Byte",     "Bool"};
    for (int protocol = 2; protocol <= 5; protocol++) {
        char name[40];
        snprintf(name, sizeof name, "types_protocol%d.pt", protocol);
        struct nn_file *f = golden(name);
        assert_int_equal(f->count, 11);
        for (size_t k = 0; k < 10; k++) {
            float expected[6];
            snprintf(name, sizeof name, "t.%sStorage", kinds[k]);
            for (int i = 0; i < 6; i++)
                expected[i] =
                    k == 9 ? (float)(i % 2) : (float)k + (k < 4 ? (float)i / 8 : (float)i);
            assert_values(f, name, expected, 6);
            assert_int_equal(nn_file_find(f, name)->shape[1], 3);
        }
        assert_values(f, "t.f8", (float[]){1, 2, 4, 8, 1, 2}, 6);
        assert_int_equal(nn_file_find(f, "t.f8")->type, NN_DATA_F8_E5M2);
        nn_file_close(&f);
    }
}

/* Element i of the storage. */
static float at(int i)
{
    return 7 + (float)i / 8;
}

static void makes_views_contiguous(void **state)
{
    (void)state;
    struct nn_file *f = golden("views.pth");
    float v[24], turned[24];
    for (int i = 0; i < 24; i++) {
        v[i] = at(i);
        turned[i] = at(i % 4 * 6 + i / 4);
    }
    assert_int_equal(f->count, 7); /* "module." is gone from the names */
    assert_values(f, "whole", v, 24);
    assert_values(f, "transposed", turned, 24);
    assert_values(f, "slice", (float[]){at(8), at(10), at(12), at(14), at(16), at(18)}, 6);
    assert_values(f, "repeated", (float[]){at(5), at(6), at(5), at(6), at(5), at(6)}, 6);
    assert_values(f, "one", &v[23], 1);
    assert_values(f, "parameter", &v[6], 6);
    assert_int_equal(nn_file_find(f, "one")->rank, 0);
    assert_int_equal(nn_file_find(f, "none")->count, 0);
    assert_true(nn_file_find(f, "whole")->contiguous && nn_file_find(f, "parameter")->contiguous);
    assert_false(nn_file_find(f, "transposed")->contiguous);
    assert_ptr_equal(nn_file_find(f, "whole")->data, nn_file_find(f, "transposed")->data);
    double d[24];
    int32_t i32[1];
    assert_ok(nn_file_read(nn_file_find(f, "transposed"), NN_DATA_F64, 3, 21, d));
    assert_true(d[0] == (double)turned[3] && d[20] == (double)turned[23]);
    assert_fails(nn_file_read(nn_file_find(f, "transposed"), NN_DATA_I32, 0, 1, i32), FV_EINVALID,
                 "as I32");
    nn_file_close(&f);
}

static void finds_the_set_of_tensors(void **state)
{
    (void)state;
    struct nn_file *f = golden("nested.ckpt");
    assert_int_equal(f->count, 1);
    assert_values(f, "a.weight", (float[]){2, 2.125f, 2.25f, 2.375f}, 4); /* ema before model */
    assert_string_equal(nn_file_meta(f, "root"), "ema");
    assert_string_equal(nn_file_meta(f, "epoch"), "12");
    assert_string_equal(nn_file_meta(f, "lr"), "0.5");
    assert_string_equal(nn_file_meta(f, "note"), "hello");
    assert_string_equal(nn_file_meta(f, "huge"), "1099511627776");
    assert_null(nn_file_meta(f, "flags"));
    nn_file_close(&f);
    const char *path = test_source("tests/golden/weights/nested.ckpt");
    assert_ok(nn_file_open(&f, path, &(struct nn_file_opts){.root = "model"}));
    assert_values(f, "a.weight", (float[]){1, 1.125f, 1.25f, 1.375f}, 4);
    nn_file_close(&f);
    assert_ok(nn_file_open(&f, path, &(struct nn_file_opts){.root = "optimizer"}));
    assert_values(f, "state.0.exp_avg", (float[]){3, 3.125f}, 2);
    nn_file_close(&f);
    assert_fails(nn_file_open(&f, path, &(struct nn_file_opts){.root = "epoch"}), FV_EINVALID,
                 "no set of tensors 'epoch'");
}

static void reads_torchscript(void **state)
{
    (void)state;
    struct nn_file *f = golden("torchscript.pt");
    assert_int_equal(f->count, 4);
    assert_string_equal(nn_file_meta(f, "format"), "TorchScript");
    assert_values(f, "conv.weight", (float[]){0, .125f, .25f, .375f, .5f, .625f, .75f, .875f}, 8);
    assert_ptr_equal(nn_file_find(f, "layers.0.weight")->data,
                     nn_file_find(f, "conv.weight")->data);
    assert_values(f, "layers.1.weight", (float[]){1, 1.125f}, 2);
    assert_values(f, "CONSTANTS.c0", (float[]){0, 1, 2}, 3);
    nn_file_close(&f);
    f = golden("frozen.pt"); /* all of its tensors have become constants */
    assert_int_equal(f->count, 1);
    assert_values(f, "CONSTANTS.c0", (float[]){0, 1, 2}, 3);
    nn_file_close(&f);
}

static void reads_a_tensor_alone(void **state)
{
    (void)state;
    struct nn_file *f = golden("tensor.pt");
    assert_values(f, "tensor", (float[]){4, 4.125f, 4.25f, 4.375f, 4.5f, 4.625f}, 6);
    nn_file_close(&f);
}

static void reads_real_checkpoints(void **state)
{
    (void)state;
    static const struct {
        const char *path, *name;
        size_t tensors;
        enum nn_data type;
        uint64_t shape[4];
    } real[] = {
        {"data/weights/taef2/taef2_decoder.pth", "1.weight", 79, NN_DATA_F16, {64, 32, 3, 3}},
        {"data/weights/taef2/taef2_encoder.pth", "0.weight", 79, NN_DATA_F16, {64, 3, 3, 3}},
        {"data/weights/ddpm-mnist/ddm_mnist.pth", "gt.frequencies", 28, NN_DATA_F32, {16}},
        {"data/weights/ddpm-mnist/ddpm_mnist_starter.pth", "beta_t", 29, NN_DATA_F32, {1001}},
        {"data/weights/wan-latents/test_latents_wan.pth",
         "tensor",
         1,
         NN_DATA_BF16,
         {1, 16, 16, 40}},
        {"data/video/golden-frames/nasa_13013.mp4.stream0.frame000000.pt",
         "tensor",
         1,
         NN_DATA_U8,
         {180, 320, 3}},
    };
    for (size_t i = 0; i < sizeof real / sizeof *real; i++) {
        const char *path = test_shared(real[i].path);
        struct nn_file *f;
        if (!path)
            continue;
        assert_true(nn_file_is_weights(path));
        assert_ok(nn_file_open(&f, path, NULL));
        assert_int_equal(f->count, real[i].tensors);
        const struct nn_file_tensor *t = nn_file_find(f, real[i].name);
        assert_non_null(t);
        assert_int_equal(t->type, real[i].type);
        for (int d = 0; d < 4; d++)
            assert_int_equal(t->shape[d], real[i].shape[d]);
        for (size_t k = 0; k < f->count; k++) {
            t = &f->tensors[k];
            float *v = malloc(t->count * sizeof *v);
            assert_ok(nn_file_read(t, NN_DATA_F32, 0, t->count, v));
            for (size_t e = 0; e < t->count; e++)
                assert_true(isfinite(v[e]) && fabsf(v[e]) < 1e4f);
            free(v);
        }
        nn_file_close(&f);
    }
}

static void copy_golden(const char *name)
{
    char path[64];
    size_t size;
    snprintf(path, sizeof path, "tests/golden/weights/%s", name);
    void *data = test_read_file(test_source(path), &size);
    test_write_file(test_tmp_path(name), data, size);
    free(data);
}

static void reads_a_sharded_index(void **state)
{
    (void)state;
    static const char index[] = "{\"weight_map\":{\"t.IntStorage\":\"types_protocol2.pt\","
                                "\"module.slice\":\"views.pth\"}}";
    const char *path = test_tmp_path("pytorch_model.bin.index.json");
    struct nn_file *f;
    copy_golden("types_protocol2.pt");
    copy_golden("views.pth");
    test_write_file(path, index, strlen(index));
    assert_ok(nn_file_open(&f, test_tmp(), NULL)); /* the folder: the index is found in it */
    assert_int_equal(f->count, 2);
    assert_values(f, "t.IntStorage", (float[]){5, 6, 7, 8, 9, 10}, 6);
    assert_int_equal(nn_file_find(f, "module.slice")->part, 1);
    nn_file_close(&f);
}

/* ---- hostile pickles ---- */

#define STORAGE(count)                                                                             \
    "(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0"                                             \
    "0X\3\0\0\0cpuK" count "tQ"
#define REBUILD "ctorch._utils\n_rebuild_tensor_v2\n"
#define TENSOR(count, offset, shape, stride)                                                       \
    REBUILD "(" STORAGE(count) "K" offset shape stride "\x89"                                      \
                               "}tR"
#define NAMED(pickle) "}X\1\0\0\0t" pickle "s"
#define SAVED(p)      ("\x80\2" p "."), sizeof("\x80\2" p ".") - 1

/* A checkpoint of this pickle and a storage "0" of 8 floats. */
static const char *checkpoint(const void *pickle, size_t size)
{
    static const float values[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    const char *path = test_tmp_path("a.pt");
    struct fv_writer w;
    struct fv_zip_writer z = {.w = &w};
    assert_ok(fv_writer_open(&w, path));
    assert_ok(fv_zip_add(&z, "a/data.pkl", pickle, size));
    assert_ok(fv_zip_add(&z, "a/data/0", values, sizeof values));
    assert_ok(fv_zip_end(&z));
    fv_zip_writer_free(&z);
    assert_ok(fv_writer_commit(&w));
    return path;
}

static void refuse(const void *pickle, size_t size, int code, const char *part)
{
    struct nn_file *f;
    assert_fails(nn_file_open(&f, checkpoint(pickle, size), NULL), code, part);
    assert_null(f);
    assert_non_null(strstr(fv_error(), "a.pt"));
}

static void reads_a_pickle_made_by_hand(void **state)
{
    (void)state;
    struct nn_file *f;
    assert_ok(nn_file_open(
        &f, checkpoint(SAVED(NAMED(TENSOR("\10", "\2", "K\2K\3\x86", "K\3K\1\x86")))), NULL));
    assert_values(f, "t", (float[]){2, 3, 4, 5, 6, 7}, 6);
    nn_file_close(&f);
}

static void refuses_other_classes(void **state)
{
    (void)state;
    refuse(SAVED("cposix\nsystem\nX\2\0\0\0ls\x85R"), FV_EUNSUPPORTED, "asks for posix.system");
    refuse(SAVED("cbuiltins\neval\nX\1\0\0\0"
                 "1\x85R"),
           FV_EUNSUPPORTED, "builtins.eval");
    refuse(SAVED("X\2\0\0\0osX\6\0\0\0system\x93"), FV_EUNSUPPORTED, "os.system");
    refuse(SAVED("c__torch__evil\nA\n)\x81"), FV_EUNSUPPORTED, "__torch__evil.A");
    refuse(SAVED("ctorch.load\nx\n"), FV_EUNSUPPORTED, "torch.load.x");
    refuse(SAVED("ctorch\nQInt8Storage\n"), FV_EUNSUPPORTED, "torch.QInt8Storage");
    refuse(SAVED("(iposix\nsystem\n"), FV_EUNSUPPORTED, "opcode 0x69");
    refuse(SAVED("P0\n"), FV_EUNSUPPORTED, "opcode 0x50");
    refuse(SAVED("\x82\1"), FV_EUNSUPPORTED, "opcode 0x82");
}

static void rejects_bad_tensors(void **state)
{
    (void)state;
    refuse(SAVED(NAMED(TENSOR("\11", "\0", "K\2\x85", "K\1\x85"))), FV_EFORMAT,
           "tensor 't': its storage of 9 F32 is larger than member 'a/data/0' of 32 bytes");
    refuse(SAVED(NAMED(TENSOR("\10", "\0", "K\11\x85", "K\1\x85"))), FV_EFORMAT,
           "tensor 't' of [9] from element 0 on reaches beyond its storage of 8");
    refuse(SAVED(NAMED(TENSOR("\10", "\7", "K\2\x85", "K\1\x85"))), FV_EFORMAT, "beyond its");
    refuse(SAVED(NAMED(TENSOR("\10", "\0", "K\3K\3\x86", "K\3K\1\x86"))), FV_EFORMAT, "beyond its");
    refuse(
        SAVED(NAMED(TENSOR("\10", "\0", "K\2\x85", "\x8a\10\377\377\377\377\377\377\377\177\x85"))),
        FV_EFORMAT, "beyond its");
    refuse(SAVED(NAMED(TENSOR("\10", "\0", "K\2\x85", "J\377\377\377\377\x85"))), FV_EFORMAT,
           "no whole numbers");
    refuse(SAVED(NAMED(TENSOR("\10", "\0", "J\377\377\377\377\x85", "K\1\x85"))), FV_EFORMAT,
           "no whole numbers");
    refuse(SAVED(NAMED(TENSOR("\10", "\0", "K\2\x85", ")"))), FV_EFORMAT, "other strides");
    refuse(SAVED(NAMED(TENSOR("\10", "\0", "(K\1K\1K\1K\1K\1K\1K\1K\1K\1t",
                              "(K\1K\1K\1K\1K\1K\1K\1K\1K\1t"))),
           FV_EFORMAT, "too many dimensions");
    refuse(SAVED(NAMED(TENSOR("\10", "\0", "\x8a\10\0\0\0\0\1\0\0\0\x8a\10\0\0\0\0\1\0\0\0\x86",
                              "K\0K\0\x86"))),
           FV_EFORMAT, "is too large");
    refuse(SAVED(NAMED(TENSOR("\10", "\0", "\x8a\10\0\0\0\0\1\0\0\0\x85", "K\0\x85"))),
           FV_EUNSUPPORTED, "repeats its storage to 4294967296");
}

static void rejects_bad_storages(void **state)
{
    (void)state;
    refuse(SAVED("(X\7\0\0\0storageK\1X\1\0\0\0"
                 "0X\3\0\0\0cpuK\1tQ"),
           FV_EFORMAT, "a storage without type");
    refuse(SAVED("X\1\0\0\0"
                 "0Q"),
           FV_EFORMAT, "a reference that is no storage");
    refuse(SAVED("(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0"
                 "0X\3\0\0\0cpuJ\0\0\0\x80tQ"),
           FV_EFORMAT, "a storage without type, key or size");
    refuse(SAVED(NAMED(REBUILD "((X\7\0\0\0storagectorch\nFloatStorage\nX\4\0\0\0"
                               "../0"
                               "X\3\0\0\0cpuK\1tQK\0K\1\x85K\1\x85\x89}tR")),
           FV_EFORMAT, "member 'a/data/../0', are missing");
}

static void rejects_broken_stacks(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "R",      "0",   "1",   "2",    "a",       "s",    "u",     "e",       "t",       "b",
        "Q",      "q\1", "h\1", "]]s",  "(s",      "(R",   "(2",    "(K",      "K\1K\1R", ")K\1a",
        "}(K\1u", "(]a", "",    "(q\0", "(]K\1]a", "\x85", "(\x85", "K\1\x86", "(",       "\x93"};
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        char pickle[64];
        int n = snprintf(pickle, sizeof pickle, "\x80\2%s.", bodies[i]);
        refuse(pickle, (size_t)n, FV_EFORMAT, "byte");
    }
}

static void rejects_every_truncation(void **state)
{
    (void)state;
    static const char whole[] = "\x80\2" NAMED(TENSOR("\10", "\2", "K\2K\3\x86", "K\3K\1\x86")) ".";
    for (size_t n = 0; n < sizeof whole - 1; n++)
        refuse(whole, n, FV_EFORMAT, "a.pt");
}

static void rejects_odd_protocols(void **state)
{
    (void)state;
    refuse("\x80\6N.", 4, FV_EUNSUPPORTED, "protocol 6");
    refuse("\x80\1N.", 4, FV_EUNSUPPORTED, "protocol 1");
    refuse("(dp0\n.", 6, FV_EFORMAT, "not a pickle of protocol 2");
}

static void rejects_huge_counts(void **state)
{
    (void)state;
    refuse(SAVED("X\377\377\377\377abc"), FV_EFORMAT, "a text reaches beyond the end");
    refuse(SAVED("\x8d\377\377\377\377\377\377\377\177"
                 "abc"),
           FV_EFORMAT, "a text reaches");
    refuse(SAVED("\x8b\377\377\377\177"
                 "abc"),
           FV_EFORMAT, "an integer of more than 64 bits");
    refuse(SAVED("\x8a\11"
                 "123456789"),
           FV_EFORMAT, "an integer of more than 64 bits");
    refuse(SAVED("Nr\377\377\377\177"), FV_EFORMAT, "a memo number is too large");
}

static void rejects_no_tensors(void **state)
{
    (void)state;
    refuse(SAVED("}"), FV_EFORMAT, "holds no tensors");
    refuse(SAVED("K\1"), FV_EFORMAT, "holds no tensors");
}

/* Lists of the same list, doubled again and again: 2^60 values in a few hundred bytes. */
static void rejects_billion_laughs(void **state)
{
    (void)state;
    struct test_bytes b = {0};
    test_put(&b, "\x80\2", 2);
    test_putf(&b, "]q%c", 0x30);
    for (int i = 1; i < 60; i++)
        test_putf(&b, "(h%ch%ctq%c", 0x30 + i - 1, 0x30 + i - 1, 0x30 + i);
    test_putf(&b, ".");
    refuse(b.data, b.size, FV_EFORMAT, "over and over");
    test_bytes_free(&b);
}

static void rejects_cycles_and_depth(void **state)
{
    (void)state;
    struct test_bytes b = {0};
    refuse(SAVED("]q\1h\1a"), FV_EFORMAT, "nested more than 64 deep");
    test_put(&b, "\x80\2", 2);
    for (int i = 0; i < 100000; i++)
        test_putf(&b, "]");
    for (int i = 0; i < 99999; i++)
        test_putf(&b, "a");
    test_putf(&b, ".");
    refuse(b.data, b.size, FV_EFORMAT, "nested more than 64 deep");
    test_bytes_free(&b);
}

static void rejects_long_names(void **state)
{
    (void)state;
    struct test_bytes b = {0};
    test_put(&b, "\x80\2}X\xbc\2\0\0", 8);
    for (int i = 0; i < 700; i++)
        test_putf(&b, "n");
    test_putf(&b, "]s.");
    refuse(b.data, b.size, FV_EFORMAT, "longer than 512");
    test_bytes_free(&b);
    refuse(SAVED("}X\3\0\0\0a\0b]s"), FV_EFORMAT, "control character");
}

/* ---- archives ---- */

static const char *archive(const char *const *names, const char *const *texts, size_t n)
{
    const char *path = test_tmp_path("b.pt");
    struct fv_writer w;
    struct fv_zip_writer z = {.w = &w};
    assert_ok(fv_writer_open(&w, path));
    for (size_t i = 0; i < n; i++)
        assert_ok(fv_zip_add(&z, names[i], texts[i], strlen(texts[i])));
    assert_ok(fv_zip_end(&z));
    fv_zip_writer_free(&z);
    assert_ok(fv_writer_commit(&w));
    return path;
}

static void rejects_other_archives(void **state)
{
    (void)state;
    struct nn_file *f;
    assert_fails(
        nn_file_open(&f, archive((const char *[]){"meta.json"}, (const char *[]){"{}"}, 1), NULL),
        FV_EFORMAT, "without a data.pkl");
    assert_fails(nn_file_open(&f,
                              archive((const char *[]){"a/data.pkl", "a/byteorder"},
                                      (const char *[]){"\x80\2N.", "big"}, 2),
                              NULL),
                 FV_EUNSUPPORTED, "big-endian");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_type_and_protocol),
        cmocka_unit_test(makes_views_contiguous),
        cmocka_unit_test(finds_the_set_of_tensors),
        cmocka_unit_test(reads_torchscript),
        cmocka_unit_test(reads_a_tensor_alone),
        cmocka_unit_test(reads_real_checkpoints),
        cmocka_unit_test(reads_a_sharded_index),
        cmocka_unit_test(reads_a_pickle_made_by_hand),
        cmocka_unit_test(refuses_other_classes),
        cmocka_unit_test(rejects_bad_tensors),
        cmocka_unit_test(rejects_bad_storages),
        cmocka_unit_test(rejects_broken_stacks),
        cmocka_unit_test(rejects_every_truncation),
        cmocka_unit_test(rejects_odd_protocols),
        cmocka_unit_test(rejects_huge_counts),
        cmocka_unit_test(rejects_no_tensors),
        cmocka_unit_test(rejects_billion_laughs),
        cmocka_unit_test(rejects_cycles_and_depth),
        cmocka_unit_test(rejects_long_names),
        cmocka_unit_test(rejects_other_archives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
