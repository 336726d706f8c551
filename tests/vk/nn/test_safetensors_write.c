/* vk/nn/safetensors_write.c: what is written is what the reader lists. */
#include "support/test.h"
#include "vk/base/half.h"
#include "vk/nn/safetensors_write.h"

static void reads_back(void **state)
{
    static const float a[6] = {1, -2, 3.5f, 0, 1e-30f, 7};
    static const uint16_t b[2] = {0x3c00, 0xc000};
    static const uint8_t c[1] = {1};
    const struct nn_save_tensor list[] = {{"a.weight", NN_DATA_F32, 3, {1, 2, 3}, a},
                                          {"b", NN_DATA_F16, 1, {2}, b},
                                          {"flag \"x\"\\", NN_DATA_BOOL, 0, {0}, c}};
    const struct nn_file_text meta[] = {{"model", "m"}, {"note", "line\nand \"quotes\""}};
    const char *path = test_tmp_path("a.safetensors");
    struct nn_file *f;
    float got[6];
    (void)state;
    assert_ok(nn_safetensors_save(path, list, 3, meta, 2));
    assert_ok(nn_file_open(&f, path, NULL));
    assert_int_equal(f->count, 3);
    assert_string_equal(nn_file_meta(f, "model"), "m");
    assert_string_equal(nn_file_meta(f, "note"), "line\nand \"quotes\"");
    const struct nn_file_tensor *t = nn_file_find(f, "a.weight");
    assert_non_null(t);
    assert_int_equal(t->rank, 3);
    assert_int_equal(t->shape[2], 3);
    assert_int_equal(f->tensors[0].offset % 64, 0);
    assert_ok(nn_file_read(t, NN_DATA_F32, 0, 6, got));
    assert_memory_equal(got, a, sizeof a);
    assert_ok(nn_file_read(nn_file_find(f, "b"), NN_DATA_F32, 0, 2, got));
    assert_true(got[0] == 1 && got[1] == -2);
    assert_non_null(nn_file_find(f, "flag \"x\"\\"));
    nn_file_close(&f);
    void *bytes, *file;
    size_t size, file_size;
    assert_ok(nn_safetensors_bytes(&bytes, &size, list, 3, meta, 2));
    file = test_read_file(path, &file_size);
    assert_int_equal(size, file_size);
    assert_memory_equal(bytes, file, size);
    free(bytes);
    free(file);
}

static void rejects_blocks_and_doubles(void **state)
{
    static const float a[32] = {0};
    struct nn_save_tensor list[] = {{"a", NN_DATA_F32, 1, {2}, a}, {"a", NN_DATA_F32, 1, {2}, a}};
    const char *path = test_tmp_path("b.safetensors");
    (void)state;
    assert_fails(nn_safetensors_save(path, list, 2, NULL, 0), FV_EINVALID, "two tensors");
    list[0].type = NN_DATA_Q8_0;
    assert_fails(nn_safetensors_save(path, list, 1, NULL, 0), FV_EINVALID, "Q8_0");
    assert_fails(nn_safetensors_save("/nowhere/b.safetensors", &list[1], 1, NULL, 0), FV_EIO,
                 "/nowhere");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reads_back),
                                       cmocka_unit_test(rejects_blocks_and_doubles)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
