/* vk/base/pickle.c: what stands in a pickle itself: numpy's arrays, torch's saved storages, objects
 * of the caller's classes. Checkpoints, whose bytes are elsewhere, and broken stacks:
 * tests/vk/nn/test_checkpoint.c. */
#include "support/scene.h"
#include "vk/base/pickle.h"

#define MAGIC  "\x80\2\x8a\x0al\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
#define SYSTEM "\x80\2}(X\15\0\0\0little_endian\x88u."
#define ARRAY(shape, type, order, bytes)                                                           \
    "cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85"                               \
    "C\1b\x87R"                                                                                    \
    "(K\1" shape "cnumpy\ndtype\nX\2\0\0\0" type "\x89\x88\x87R(K\3X\1\0\0\0<NNNJ\xff\xff\xff\xff" \
    "J\xff\xff\xff\xffK\0tb" order bytes "tb"

static const char *const classes[] = {"some.module.Thing", NULL};
static struct fv_arena arena;

static int read_with(const struct fv_pickle_value **v, const void *data, size_t size,
                     const struct fv_pickle_opts *o)
{
    fv_arena_finish(&arena);
    arena.cap = 128 * size + (1 << 16);
    return fv_pickle_read(v, &arena, data, size, "a.pkl", o);
}

static const struct fv_pickle_opts in_band = {.classes = classes, .in_band = true};

#define READ(v, text)                                                                              \
    assert_ok(read_with(&(v), "\x80\2" text ".", sizeof("\x80\2" text ".") - 1, &in_band))
#define REFUSE(code, part, text)                                                                   \
    do {                                                                                           \
        const struct fv_pickle_value *refused_;                                                    \
        assert_fails(                                                                              \
            read_with(&refused_, "\x80\2" text ".", sizeof("\x80\2" text ".") - 1, &in_band),      \
            code, part);                                                                           \
        assert_null(refused_);                                                                     \
    } while (0)

/* torch.save's older form of a storage of these floats, as a byte string that is loaded. */
static void put_storage(struct test_bytes *b, const char *magic, const char *type, uint64_t listed,
                        uint64_t there, const float *values, size_t n)
{
    struct test_bytes in = {0};
    uint8_t four[4];
    test_put(&in, magic, 15);
    test_put(&in, "\x80\2M\xe9\3.", 6);
    test_put(&in, SYSTEM, sizeof SYSTEM - 1);
    test_putf(&in, "%s", "\x80\2(X\7");
    test_put(&in, "\0\0\0storage", 10);
    test_putf(&in, "ctorch\n%s\nX%c", type, 1);
    test_put(&in,
             "\0\0\0"
             "7X\3\0\0\0cpuK",
             13);
    test_put(&in, &listed, 1);
    test_put(&in,
             "NtQ.\x80\2]X\1\0\0\0"
             "7a.",
             15);
    test_put(&in, &there, 8);
    test_put(&in, values, n * 4);
    for (int i = 0; i < 4; i++)
        four[i] = (uint8_t)(in.size >> 8 * i);
    test_put(b, "ctorch.storage\n_load_from_bytes\nB", 33);
    test_put(b, four, 4);
    test_put(b, in.data, in.size);
    test_put(b, "\x85R", 2);
    test_bytes_free(&in);
}

static void reads_numpy_arrays(void **state)
{
    (void)state;
    const struct fv_pickle_value *v;
    READ(v, ARRAY("K\2K\3\x86", "f4", "\x89",
                  "C\30\0\0\0\0\0\0\x80\x3f\0\0\0\x40\0\0\x40\x40\0\0\x80\x40\0\0\xa0\x40"));
    assert_int_equal(v->type, FV_PICKLE_TENSOR);
    assert_int_equal(v->tensor->type, FV_ELEMENT_F32);
    assert_int_equal(v->tensor->rank, 2);
    assert_int_equal(v->tensor->stride[0], 3);
    assert_int_equal(v->tensor->stride[1], 1);
    float f;
    memcpy(&f, v->tensor->storage->data + 20, 4);
    assert_near((double)f, 5, 0);
    READ(v, ARRAY("K\2K\3\x86", "i1", "\x88", "C\6abcdef"));
    assert_int_equal(v->tensor->stride[0], 1);
    assert_int_equal(v->tensor->stride[1], 2);
    READ(v, "cnumpy._core.numeric\n_frombuffer\n(C\4abcdcnumpy\ndtype\nX\2\0\0\0i2\x89\x88\x87R"
            "K\2\x85X\1\0\0\0CtR");
    assert_int_equal(v->tensor->shape[0], 2);
    assert_memory_equal(v->tensor->storage->data, "abcd", 4);
}

static void rejects_bad_arrays(void **state)
{
    (void)state;
    REFUSE(FV_EFORMAT, "other size than its bytes", ARRAY("K\2\x85", "f4", "\x89", "C\4abcd"));
    REFUSE(FV_EFORMAT, "other size than its bytes", ARRAY("K\1\x85", "f4", "\x89", "C\5abcde"));
    REFUSE(FV_EFORMAT, "without shape, type", ARRAY("K\1", "i1", "\x89", "C\1a"));
    REFUSE(FV_EFORMAT, "without shape, type", ARRAY("K\1\x85", "i1", "\x89", "N"));
    REFUSE(FV_EFORMAT, "without shape, type", ARRAY("K\1\x85", "i1", "N", "C\1a"));
    REFUSE(FV_EFORMAT, "not numbers", ARRAY("K\1\x85", "O8", "\x89", "C\1a"));
    REFUSE(FV_EFORMAT, "too large",
           ARRAY("\x8a\10\0\0\0\0\1\0\0\0\x8a\10\0\0\0\0\1\0\0\0\x86", "i1", "\x89", "C\1a"));
    REFUSE(FV_EFORMAT, "without shape, type",
           ARRAY("(K\1K\1K\1K\1K\1K\1K\1K\1K\1t", "i1", "\x89", "C\1a"));
    REFUSE(FV_EUNSUPPORTED, "big-endian", "cnumpy\ndtype\nX\2\0\0\0f4\x85R(K\3X\1\0\0\0>tb");
    REFUSE(FV_EFORMAT, "without a byte order",
           "cnumpy\ndtype\nX\2\0\0\0f4\x85RK\3\x85"
           "b");
}

static void reads_saved_storages(void **state)
{
    (void)state;
    const struct fv_pickle_value *v;
    struct test_bytes b = {0};
    const float values[3] = {1, -2, 0.5f};
    test_put(&b, "\x80\4", 2);
    put_storage(&b, MAGIC, "FloatStorage", 3, 3, values, 3);
    test_put(&b, ".", 1);
    assert_ok(read_with(&v, test_bytes_exact(&b), b.size, &in_band));
    assert_int_equal(v->type, FV_PICKLE_STORAGE);
    assert_int_equal(v->storage->count, 3);
    assert_int_equal(v->storage->type, FV_ELEMENT_F32);
    assert_memory_equal(v->storage->data, values, sizeof values);
    for (size_t n = 2; n < b.size; n++) /* every truncation */
        assert_true(read_with(&v, b.data, n, &in_band) < 0);
    test_bytes_free(&b);
}

static void rejects_bad_storages(void **state)
{
    (void)state;
    static const struct {
        const char *magic, *type, *part;
        uint64_t listed, there;
    } rows[] = {
        {MAGIC, "FloatStorage", "cut short", 3, 4},
        {MAGIC, "FloatStorage", "cut short", 4, 4},
        {MAGIC, "FloatStorage", "cut short", 3, UINT64_MAX},
        {"\x80\2\x8a\x0al\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x18.", "FloatStorage", "did not write", 3,
         3},
        {MAGIC, "NoStorage", "asks for torch.NoStorage", 3, 3},
    };
    const float values[3] = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct fv_pickle_value *v;
        struct test_bytes b = {0};
        test_put(&b, "\x80\4", 2);
        put_storage(&b, rows[i].magic, rows[i].type, rows[i].listed, rows[i].there, values, 3);
        test_put(&b, ".", 1);
        int rc = read_with(&v, test_bytes_exact(&b), b.size, &in_band);
        if (rc >= 0 || !strstr(fv_error(), rows[i].part))
            fail_msg("row %zu: %d %s", i, rc, fv_error());
        test_bytes_free(&b);
    }
    REFUSE(FV_EFORMAT, "without bytes", "ctorch.storage\n_load_from_bytes\n)R");
    REFUSE(FV_EFORMAT, "did not write", "ctorch.storage\n_load_from_bytes\nC\3abc\x85R");
}

/* A thousand loads of one byte string would read it a thousand times. */
static void rejects_the_same_bytes_again_and_again(void **state)
{
    (void)state;
    const struct fv_pickle_value *v;
    struct test_bytes b = {0};
    const float values[3] = {0};
    test_put(&b, "\x80\2", 2);
    put_storage(&b, MAGIC, "FloatStorage", 3, 3, values, 3);
    b.size -= 2; /* the bytes alone: memo 1, the function: memo 0 */
    test_put(&b, "q\1", 2);
    test_put(&b, "0", 1);
    for (int i = 0; i < 50; i++)
        test_put(&b, "ctorch.storage\n_load_from_bytes\nh\1\x85R0", 37);
    test_put(&b, "N.", 2);
    int rc = read_with(&v, b.data, b.size, &in_band);
    assert_int_equal(rc, FV_EFORMAT);
    assert_non_null(strstr(fv_error(), "over and over"));
    test_bytes_free(&b);
}

static void takes_only_the_callers_classes(void **state)
{
    (void)state;
    const struct fv_pickle_value *v;
    READ(v, "csome.module\nThing\n)\x81}X\1\0\0\0nK\5sb");
    assert_int_equal(v->type, FV_PICKLE_OBJECT);
    assert_int_equal(fv_pickle_get(v, "n")->integer, 5);
    REFUSE(FV_EUNSUPPORTED, "asks for some.Thing", "csome\nThing\n)\x81");
    REFUSE(FV_EUNSUPPORTED, "asks for some.module.Thin", "csome.module\nThin\n)\x81");
    REFUSE(FV_EUNSUPPORTED, "asks for os.system", "cos\nsystem\nX\2\0\0\0ls\x85R");
    /* nothing in band unless asked for */
    const struct fv_pickle_opts plain = {.advice = "; so save it otherwise"};
    const char array[] = "\x80\2" ARRAY("K\1\x85", "i1", "\x89", "C\1a") ".";
    assert_fails(read_with(&v, array, sizeof array - 1, &plain), FV_EUNSUPPORTED,
                 "numpy.core.multiarray._reconstruct, which is not needed to hold tensors and was "
                 "refused; so save it otherwise");
    const char bytes[] = "\x80\2"
                         "ctorch.storage\n_load_from_bytes\nC\1a\x85R.";
    assert_fails(read_with(&v, bytes, sizeof bytes - 1, &plain), FV_EUNSUPPORTED,
                 "_load_from_bytes");
}

static void measures_tensors(void **state)
{
    (void)state;
    static const struct {
        uint64_t offset, shape[2], stride[2], elements;
        bool inside;
    } rows[] = {
        {0, {2, 3}, {3, 1}, 6, true},           {1, {2, 3}, {3, 1}, 6, false},
        {0, {2, 3}, {3, 1}, 5, false},          {9, {0, 3}, {3, 1}, 0, true},
        {0, {2, 1}, {UINT64_MAX, 1}, 6, false}, {0, {1, 1}, {UINT64_MAX, 1}, 1, true},
        {UINT64_MAX, {2, 1}, {1, 1}, 6, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fv_pickle_tensor t = {.rank = 2, .offset = rows[i].offset};
        memcpy(t.shape, rows[i].shape, sizeof rows[i].shape);
        memcpy(t.stride, rows[i].stride, sizeof rows[i].stride);
        if (fv_pickle_inside(&t, rows[i].elements) != rows[i].inside)
            fail_msg("row %zu", i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_numpy_arrays),
        cmocka_unit_test(rejects_bad_arrays),
        cmocka_unit_test(reads_saved_storages),
        cmocka_unit_test(rejects_bad_storages),
        cmocka_unit_test(rejects_the_same_bytes_again_and_again),
        cmocka_unit_test(takes_only_the_callers_classes),
        cmocka_unit_test(measures_tensors),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    fv_arena_finish(&arena);
    return rc;
}
