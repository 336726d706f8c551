/* fovea bench quant; fovea bench dit, on a checkpoint with random weights: the same result whether its blocks stay on the
 * device or come from the file in every step. */
#include "support/test.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char model[256];

static int make_model(void **state)
{
    (void)state;
    char command[1200];
    snprintf(model, sizeof model, "%s", test_tmp_path("model"));
    snprintf(command, sizeof command, "'%s' tiny '%s' 2>&1", FOVEA_MAKE_STDIT3, model);
    return system(command);
}

static cJSON *bench(const char *options)
{
    char *out;
    if (test_fovea(&out, "bench dit '%s' --size 64x48 --steps 3 --json %s", model, options))
        fail_msg("%s", out);
    cJSON *doc = cJSON_Parse(out);
    free(out);
    assert_non_null(doc);
    return doc;
}

static double number(const cJSON *doc, const char *name)
{
    const cJSON *n = cJSON_GetObjectItemCaseSensitive(doc, name);
    if (!cJSON_IsNumber(n))
        fail_msg("no number %s", name);
    return n->valuedouble;
}

static void blocks_from_the_file_make_the_same(void **state)
{
    (void)state;
    static const char *const dtypes[] = {"f32", "f16"};
    for (int k = 0; k < 2; k++) {
        char options[80];
        snprintf(options, sizeof options, "--dtype %s", dtypes[k]);
        cJSON *all = bench(options);
        assert_near(number(all, "loaded_pairs"), 0, 0);
        assert_near(number(all, "steps"), 3, 0);
        /* two pairs are always loaded in turn, so this leaves one that stays */
        double pair = number(all, "weight_bytes") / 4;
        snprintf(options, sizeof options, "--dtype %s --memory %.0f", dtypes[k], 3.1 * pair);
        cJSON *some = bench(options);
        assert_near(number(some, "resident_pairs"), 1, 0);
        assert_near(number(some, "parameters"), number(all, "parameters"), 0);
        /* once for keys and values of the caption, and once a step */
        assert_near(number(some, "loaded_pairs"), 3 + 3 * 3, 0);
        assert_true(number(some, "weight_bytes") < number(all, "weight_bytes"));
        assert_string_equal(cJSON_GetObjectItem(some, "digest")->valuestring,
                            cJSON_GetObjectItem(all, "digest")->valuestring);
        cJSON_Delete(all);
        cJSON_Delete(some);
    }
}

static void what_it_cannot_run(void **state)
{
    (void)state;
    static const struct {
        const char *args, *part;
        int status;
    } cases[] = {{"dit", "bench dit MODEL", 2},
                 {"dit '%s' --size 4x4", "4x4", 1},
                 {"dit '%s' --memory 1k", "more than the", 1},
                 {"dit /nowhere", "/nowhere", 1},
                 {"quant 3x5x7", "no size begins with \"3x5x7\"", 1}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        char args[400], *out;
        snprintf(args, sizeof args, cases[k].args, model);
        int status = test_fovea(&out, "bench %s", args);
        if (status != cases[k].status || !strstr(out, cases[k].part))
            fail_msg("%s: %d %s", args, status, out);
        free(out);
    }
}

/* Layers of a size are measured with every kind of weights, against f32. */
static void layers_of_codes(void **state)
{
    (void)state;
    char *out;
    if (test_fovea(&out, "bench quant 640x192x576 --rounds 1 --json"))
        fail_msg("%s", out);
    cJSON *doc = cJSON_Parse(out), *list = cJSON_GetObjectItem(doc, "layers");
    assert_int_equal(cJSON_GetArraySize(list), 5);
    for (int i = 0; i < 5; i++) {
        cJSON *row = cJSON_GetArrayItem(list, i);
        static const char *const weights[] = {"f32", "f16", "int4", "int4 r32", "int4 r32 x8"};
        double ratio = cJSON_GetObjectItem(row, "time_of_f32")->valuedouble;
        assert_string_equal(cJSON_GetObjectItem(row, "weights")->valuestring, weights[i]);
        assert_true(i ? ratio > 0.1 && ratio < 100 : ratio == 1);
    }
    cJSON_Delete(doc);
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_from_the_file_make_the_same),
        cmocka_unit_test(layers_of_codes),
        cmocka_unit_test(what_it_cannot_run),
    };
    return cmocka_run_group_tests(tests, make_model, NULL);
}
