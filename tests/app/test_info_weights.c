/* fovea info on weights, through the real binary. */
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
        cmocka_unit_test(names_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
