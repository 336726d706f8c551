/* fovea check of networks: the authors' cases through the real binary, and that it can fail. */
#include "support/test.h"
#include "support/vae_model.h"
#include "vk/nn/weights.h"

static const char *const networks[] = {"osp_odvae_v11",    "osp_odvae_v12",  "cvvae",
                                       "cvvae_sd3",        "opensora12_vae", "sd_autoencoderkl",
                                       "opensora12_stdit3", "opensora12_e2e", "t5_encoder", "clip_text_gelu",
                                       "clip_text_quickgelu", "analytic_init", "schedulers", "svdquant",
                                       "nunchaku_pack"};
enum { NETWORKS = sizeof networks / sizeof *networks };

static const char *golden(const char *arch)
{
    char name[128];
    snprintf(name, sizeof name, "golden/nn/%s", arch);
    return test_shared(name);
}

static void hold(const char *options)
{
    size_t ran = 0;
    for (size_t i = 0; i < NETWORKS; i++) {
        char *out;
        const char *dir = golden(networks[i]);
        if (!dir)
            continue;
        int rc = test_fovea(&out, "check --arch %s %s %s", networks[i], dir, options);
        if (rc)
            fail_msg("%s %s: status %d\n%s", networks[i], options, rc, out);
        assert_non_null(strstr(out, " 0 do not"));
        free(out);
        ran++;
    }
    if (!ran)
        skip();
}

/* Cases beside another folder's model. */
static void merging_and_leaps_hold(void **state)
{
    (void)state;
    char *out;
    const char *model = golden("opensora12_stdit3"), *cases = golden("ondevice_sora");
    if (!model || !cases)
        skip();
    assert_int_equal(test_fovea(&out, "check --arch ondevice_sora %s %s/case_*.safetensors --trace", model,
                                cases),
                     0);
    assert_non_null(strstr(out, " 0 do not"));
    free(out);
}

static void networks_hold_in_f32(void **state)
{
    (void)state;
    hold("--trace");
}

static void networks_hold_in_f16(void **state)
{
    (void)state;
    hold("--dtype f16");
}

/* Words and prompts: no network runs. */
static void texts_hold(void **state)
{
    (void)state;
    static const char *const names[] = {"tokenizer_sentencepiece", "tokenizer_clip", "opensora12_text"};
    size_t ran = 0;
    for (size_t i = 0; i < 3; i++) {
        char *out;
        const char *dir = golden(names[i]);
        if (!dir)
            continue;
        int rc = test_fovea(&out, "check --arch %s %s", names[i], dir);
        if (rc)
            fail_msg("%s: status %d\n%s", names[i], rc, out);
        free(out);
        ran++;
    }
    if (!ran)
        skip();
}

/* A case made here with a result that is none. */
static void tells_a_wrong_result(void **state)
{
    static float x[3 * 8 * 8], mean[4], logvar[4] = {1e6f};
    const struct nn_save_tensor list[] = {{"in.x", NN_DATA_F32, 4, {1, 3, 8, 8}, x},
                                          {"out.mean", NN_DATA_F32, 4, {1, 4, 1, 1}, mean},
                                          {"out.logvar", NN_DATA_F32, 4, {1, 4, 1, 1}, logvar},
                                          {"out.more", NN_DATA_F32, 1, {4}, mean}};
    const char *dir = test_vae_folder(TEST_KL), *path = test_tmp_path("case_a.safetensors");
    char *out;
    (void)state;
    assert_ok(nn_safetensors_save(path, list, 4, NULL, 0));
    assert_int_equal(test_fovea(&out, "check --arch sd_autoencoderkl %s %s", dir, path), 1);
    assert_non_null(strstr(out, "first out of tolerance: out.mean"));
    assert_non_null(strstr(out, "was not produced"));
    assert_non_null(strstr(out, "max/rms"));
    free(out);
    assert_int_equal(test_fovea(&out, "check --json --arch sd_autoencoderkl %s %s", dir, path), 1);
    assert_non_null(strstr(out, "\"max_over_rms\""));
    free(out);
}

static void tells_what_a_case_lacks(void **state)
{
    static float x[2 * 8 * 8];
    struct nn_save_tensor t = {"in.x", NN_DATA_F32, 4, {1, 2, 8, 8}, x};
    const char *dir = test_vae_folder(TEST_KL), *path = test_tmp_path("case_b.safetensors");
    char *out;
    (void)state;
    assert_ok(nn_safetensors_save(path, &t, 1, NULL, 0));
    assert_int_equal(test_fovea(&out, "check --arch sd_autoencoderkl %s %s", dir, path), 1);
    assert_non_null(strstr(out, "[B, 3, T, H, W]"));
    free(out);
    t.name = "in.y";
    assert_ok(nn_safetensors_save(path, &t, 1, NULL, 0));
    assert_int_equal(test_fovea(&out, "check --arch sd_autoencoderkl %s %s", dir, path), 1);
    assert_non_null(strstr(out, "neither in.x nor in.z"));
    free(out);
    assert_int_equal(test_fovea(&out, "check --arch sd_autoencoderkl %s", dir), 1);
    assert_non_null(strstr(out, "case_*.safetensors"));
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(networks_hold_in_f32),
        cmocka_unit_test(merging_and_leaps_hold),
        cmocka_unit_test(networks_hold_in_f16),
        cmocka_unit_test(texts_hold),
        cmocka_unit_test(tells_a_wrong_result),
        cmocka_unit_test(tells_what_a_case_lacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
