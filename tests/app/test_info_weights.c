/* fovea info on weights, through the real binary. */
#include "support/quantised.h"
#include "support/test.h"

static void assert_says(const char *args, const char *const *parts)
{
    char *out;
    int status = test_fovea(&out, "%s", args);
    if (status)
        fail_msg("fovea %s: %d: %s", args, status, out);
    for (; *parts; parts++)
        if (!strstr(out, *parts))
            fail_msg("fovea %s: no \"%s\" in:\n%s", args, *parts, out);
    free(out);
}

static const char *info(const char *file, const char *more)
{
    static char args[1000];
    snprintf(args, sizeof args, "info '%s' %s", test_source(file), more);
    return args;
}

static void tells_types_and_metadata(void **state)
{
    (void)state;
    assert_says(info("tests/golden/weights/quantised.gguf", ""),
                (const char *[]){"weights, GGUF, 27 tensors", "Q4_K: 2 tensors, 576 bytes",
                                 "test.few = [3, 1, 2]", NULL});
    assert_says(info("tests/golden/weights/nested.ckpt", ""),
                (const char *[]){"weights, PyTorch checkpoint, 1 tensor\n", "epoch = 12",
                                 "root = ema", NULL});
}

static void lists_tensors(void **state)
{
    (void)state;
    assert_says(info("tests/golden/weights/views.pth", "--tensors"),
                (const char *[]){"transposed", "[6, 4]", "96 bytes, a view", "one ", "[] ", NULL});
    assert_says(info("tests/golden/weights/views.pth", "--tensors --json"),
                (const char *[]){"\"kind\":\t\"weights\"", "\"format\":\t\"PyTorch checkpoint\"",
                                 "\"name\":\t\"transposed\"", "\"contiguous\":\tfalse", NULL});
}

static void tells_layers_of_codes(void **state)
{
    (void)state;
    struct test_model m = {.seed = 1};
    char args[1100], dir[1024];
    snprintf(dir, sizeof dir, "%s", test_tmp_path("coded"));
    test_model_add(&m, "blocks.0.a.weight", 2, (uint64_t[]){40, 100});
    test_model_add(&m, "blocks.1.a.weight", 2, (uint64_t[]){40, 100});
    test_model_add(&m, "blocks.2.a.weight", 2, (uint64_t[]){40, 100});
    test_model_add(&m, "blocks.2.a.bias", 1, (uint64_t[]){40});
    test_quantise(&m, "blocks.0.a", &(struct test_codes){NN_CODE_INT4, 8, true});
    test_model_write(&m, dir);
    test_model_finish(&m);
    snprintf(args, sizeof args, "info '%s/model.safetensors'", dir);
    /* 40 x 64 codes, 40 x 2 scales, 100 of smoothing, 8 x 140 of the branch: 2560 + 160 + 400 + 2240 bytes */
    assert_says(args, (const char *[]){"12,040 in", "1 layers, 4,000 weights of 10.72 bits", "branches of 8",
                                       "2 matrices, 8,000 weights of 32.00 bits", "blocks.*.a: 2", NULL});
    snprintf(args, sizeof args, "info '%s/model.safetensors' --json", dir);
    assert_says(args, (const char *[]){"\"quantised\"", "\"layers\":\t1", "\"bits_per_weight\":\t10.72", NULL});
}

static void names_what_is_wrong(void **state)
{
    (void)state;
    char *out;
    const char *path = test_tmp_path("a.safetensors");
    test_write_file(path, "\377\377\377\377\0\0\0\0{", 9);
    assert_int_equal(test_fovea(&out, "info '%s'", path), 1);
    assert_non_null(strstr(out, "a header of 4294967295 bytes does not fit"));
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_types_and_metadata),
        cmocka_unit_test(lists_tensors),
        cmocka_unit_test(tells_layers_of_codes),
        cmocka_unit_test(names_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
