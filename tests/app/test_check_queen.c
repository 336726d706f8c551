/* fovea check --arch queen over QUEEN's reference outputs, and over ones that were changed. */
#include "support/test.h"
#include "vk/base/file.h"

#include <sys/stat.h>

static const char *const cases[] = {"decoders", "entropy", "gate", "model_3frames"};

static void all_hold(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[64], *out;
        snprintf(name, sizeof name, "05_queen/%s", cases[i]);
        const char *dir = test_golden(name);
        assert_non_null(dir);
        int rc = test_fovea(&out, "%s check --arch queen '%s'", test_device_option(), dir);
        if (rc || !strstr(out, " 0 do not"))
            fail_msg("%s: %d\n%s", cases[i], rc, out);
        free(out);
    }
}

/* A copy of the golden directory with one byte of a file changed. */
static void finds_changes(void **state)
{
    (void)state;
    static const struct {
        const char *dir, *file, *tensor; /* whose first byte is changed; NULL = not a tensor */
        const char *part;
    } rows[] = {
        {"decoders", "sh2_rest.safetensors", "\"decoded\"", "decoded "},
        {"decoders", "dft_wide_res.safetensors", "\"w.layers.0.scale\"", "FAIL"},
        {"gate", "dynerf.safetensors", "\"gate_eval\"", "gate_eval "},
        {"entropy", "coded_1.safetensors", "\"uncompressed\"", "uncompressed "},
        {"entropy", "coded_0.safetensors", "\"byte_stream\"", "FAIL"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char command[2048], path[512], *out;
        char name[64];
        size_t size;
        snprintf(name, sizeof name, "05_queen/%s", rows[i].dir);
        const char *dir = test_golden(name), *copy = test_tmp_path("changed");
        snprintf(command, sizeof command, "rm -rf '%s' && cp -r '%s' '%s' && chmod -R u+w '%s'",
                 copy, dir, copy, copy);
        assert_int_equal(system(command), 0);
        snprintf(path, sizeof path, "%s/%s", copy, rows[i].file);
        char *bytes = test_read_file(path, &size);
        uint64_t header;
        memcpy(&header, bytes, 8);
        char *entry = strstr(bytes + 8, rows[i].tensor);
        assert_non_null(entry);
        char *offsets = strstr(entry, "data_offsets");
        assert_non_null(offsets);
        size_t at = 8 + header + strtoul(strchr(offsets, '[') + 1, NULL, 10);
        bytes[at + (strstr(rows[i].tensor, "byte_stream") ? 0 : 3)] ^=
            0x3f; /* the exponent of floats */
        test_write_file(path, bytes, size);
        free(bytes);
        int rc = test_fovea(&out, "%s check --arch queen '%s'", test_device_option(), copy);
        if (rc != 1 || !strstr(out, "FAIL") || !strstr(out, rows[i].part))
            fail_msg("%s/%s: %d\n%s", rows[i].dir, rows[i].file, rc, out);
        free(out);
    }
}

static void says_what_is_missing(void **state)
{
    (void)state;
    char *out;
    assert_int_equal(test_fovea(&out, "%s check --arch queen %s", test_device_option(), test_tmp()), 1);
    assert_non_null(strstr(out, "nothing in it to check with --arch queen"));
    free(out);
    const char *dir = test_tmp_path("half");
    mkdir(dir, 0777);
    char path[512];
    snprintf(path, sizeof path, "%s/config.json", dir);
    test_write_file(path, "[{}]", 4);
    assert_int_equal(test_fovea(&out, "%s check --arch queen '%s'", test_device_option(), dir), 1);
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_hold),
        cmocka_unit_test(finds_changes),
        cmocka_unit_test(says_what_is_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
