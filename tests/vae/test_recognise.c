/* vae/recognise.c, open.c, plan.c: models by their names, what is wrong with a file, how clips are cut.
 * No device: weights are planned, forward passes run dry. */
#include "support/test.h"
#include "support/vae_model.h"
#include "vae/vae.h"

static struct vae *open_kind(enum test_vae kind)
{
    struct vae *v = NULL;
    assert_ok(vae_open(&v, NULL, test_vae_folder(kind), NULL));
    return v;
}

static void tells_models_by_names(void **state)
{
    static const struct {
        enum test_vae kind;
        const char *arch;
        uint32_t channels, time, window;
        bool carries[2];
    } rows[] = {
        {TEST_KL, "sd_autoencoderkl", 4, 1, 0, {false, false}},
        {TEST_KL_LDM, "sd_autoencoderkl", 4, 1, 0, {false, false}},
        {TEST_ODVAE_11, "osp_odvae_v11", 4, 4, 0, {true, true}},
        {TEST_ODVAE_12, "osp_odvae_v12", 4, 4, 0, {true, true}},
        {TEST_CVVAE, "cvvae", 4, 4, 17, {true, false}},
        {TEST_CVVAE_SD3, "cvvae_sd3", 16, 4, 17, {true, false}},
        {TEST_OPENSORA, "opensora12_vae", 4, 4, 17, {false, false}},
        {TEST_TINY_DIFFUSERS, "taesd", 4, 1, 0, {false, false}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct vae *v = open_kind(rows[i].kind);
        const struct vae_info *info = vae_info(v);
        assert_string_equal(info->arch, rows[i].arch);
        assert_int_equal(info->channels, rows[i].channels);
        assert_int_equal(info->time_factor, rows[i].time);
        assert_int_equal(info->space_factor, 8);
        assert_int_equal(info->window, rows[i].window);
        assert_true(info->has_encoder && info->has_decoder);
        assert_true(info->carries[0] == rows[i].carries[0]);
        assert_true(info->carries[1] == rows[i].carries[1]);
        assert_true(info->weight_bytes > 0);
        vae_close(&v);
    }
}

static void counts_latents(void **state)
{
    (void)state;
    struct vae *v = open_kind(TEST_OPENSORA);
    /* as Open-Sora's get_latent_size */
    static const uint32_t sizes[][2] = {{1, 1},   {5, 2},   {17, 5},  {18, 6},   {34, 10},
                                        {51, 15}, {52, 16}, {68, 20}, {102, 30}, {20, 6}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        assert_int_equal(vae_latent_count(v, sizes[i][0]), sizes[i][1]);
    assert_int_equal(vae_frame_count(v, 15), 51);
    vae_close(&v);
    v = open_kind(TEST_ODVAE_12);
    assert_int_equal(vae_latent_count(v, 9), 3);
    assert_int_equal(vae_latent_count(v, 10), 4);
    assert_int_equal(vae_frame_count(v, 3), 9);
    vae_close(&v);
}

/* ---- bad files --------------------------------------------------------------------------- */

static void expect(const struct test_model *m, int code, const char *part)
{
    struct vae *v = NULL;
    const char *dir = test_tmp_path("bad");
    test_model_write(m, dir);
    assert_fails(vae_open(&v, NULL, dir, NULL), code, part);
    assert_null(v);
}

static void rejects_missing_tensor(void **state)
{
    struct test_model m;
    (void)state;
    test_model_make(&m, TEST_ODVAE_12);
    test_model_drop(&m, "decoder.up.2.block.1.norm2.bias");
    expect(&m, FV_EFORMAT, "decoder.up.2.block.1.norm2.bias");
    test_model_finish(&m);
}

static void rejects_missing_shortcut(void **state)
{
    struct test_model m;
    (void)state;
    test_model_make(&m, TEST_KL);
    test_model_drop(&m, "decoder.up_blocks.2.resnets.0.conv_shortcut.weight");
    expect(&m, FV_EFORMAT, "conv_shortcut.weight");
    test_model_finish(&m);
}

static void rejects_wrong_shape(void **state)
{
    struct test_model m;
    (void)state;
    test_model_make(&m, TEST_CVVAE);
    struct nn_save_tensor *t = test_model_find(&m, "encoder.mid.block_1.conv2.weight");
    t->shape[0] = 8; /* of 16 */
    expect(&m, FV_EFORMAT, "encoder.mid.block_1.conv2.weight");
    assert_non_null(strstr(fv_error(), "[16, 16, 3, 3]"));
    test_model_finish(&m);
}

static void rejects_wrong_kernel(void **state)
{
    struct test_model m;
    (void)state;
    test_model_make(&m, TEST_OPENSORA);
    struct nn_save_tensor *t =
        test_model_find(&m, "temporal_vae.decoder.conv_blocks.1.conv.weight");
    t->shape[2] = 1;
    expect(&m, FV_EFORMAT, "temporal_vae.decoder.conv_blocks.1.conv.weight");
    test_model_finish(&m);
}

static void rejects_no_levels(void **state)
{
    struct test_model m;
    (void)state;
    test_model_make(&m, TEST_ODVAE_11);
    test_model_drop(&m, "encoder.down.0.block.0.conv1.weight");
    expect(&m, FV_EFORMAT, "encoder.down.0.block.0");
    test_model_finish(&m);
}

static void rejects_other_models(void **state)
{
    float zero[4] = {0};
    struct nn_save_tensor t = {"blocks.0.attn.q.weight", NN_DATA_F32, 2, {2, 2}, zero};
    struct test_model m = {.list = &t, .count = 1};
    (void)state;
    expect(&m, FV_EUNSUPPORTED, "blocks.0.attn.q.weight");
}

static void rejects_config_of_text(void **state)
{
    struct vae *v = NULL;
    char path[1024];
    const char *dir = test_vae_folder(TEST_KL);
    (void)state;
    snprintf(path, sizeof path, "%s/config.json", dir);
    test_write_file(path, "{\"norm_num_groups\": -4}", 23);
    assert_fails(vae_open(&v, NULL, dir, NULL), FV_EFORMAT, "norm_num_groups");
}

static void names_groups_that_do_not_fit(void **state)
{
    struct vae *v = NULL;
    struct vae_plan p;
    char path[1024];
    const char *dir = test_vae_folder(TEST_ODVAE_12);
    (void)state;
    snprintf(path, sizeof path, "%s/config.json", dir);
    remove(path); /* 32 groups then, of 8 channels */
    assert_ok(vae_open(&v, NULL, dir, NULL));
    assert_fails(vae_plan_make(&p, v, VAE_ENCODE, 32, 32, NULL), FV_EINVALID, "32");
    vae_close(&v);
}

static void wants_one_of_two_pairs_named(void **state)
{
    struct vae *v = NULL;
    const char *dir = test_tmp_path("pairs");
    static const char *const names[] = {"a_encoder.safetensors", "a_decoder.safetensors",
                                        "b_encoder.safetensors", "b_decoder.safetensors"};
    char path[1024];
    struct test_model m;
    (void)state;
    test_model_make(&m, TEST_TINY_DIFFUSERS);
    test_model_write(&m, dir);
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        assert_ok(nn_safetensors_save(path, m.list, m.count, NULL, 0));
    }
    test_model_finish(&m);
    assert_fails(vae_open(&v, NULL, dir, NULL), FV_EINVALID, "_encoder.safetensors");
    snprintf(path, sizeof path, "%s/b_decoder.safetensors", dir);
    assert_ok(vae_open(&v, NULL, path, NULL));
    assert_true(vae_info(v)->has_encoder && vae_info(v)->has_decoder);
    vae_close(&v);
}

/* ---- plans ------------------------------------------------------------------------------- */

static void plans_by_memory(void **state)
{
    struct vae_plan whole, less, again;
    (void)state;
    struct vae *v = open_kind(TEST_ODVAE_12);
    assert_ok(vae_plan_make(&whole, v, VAE_DECODE, 64, 96, NULL));
    assert_int_equal(whole.window, 5); /* 17 frames */
    assert_int_equal(whole.tiles.size, 0);
    assert_int_equal(whole.passes, 1);
    struct vae_plan_opts o = {.memory = whole.bytes / 2};
    assert_ok(vae_plan_make(&less, v, VAE_DECODE, 64, 96, &o));
    assert_true(less.bytes <= o.memory);
    assert_true(less.window < whole.window || less.tiles.size);
    o.memory = whole.bytes / 8;
    assert_ok(vae_plan_make(&less, v, VAE_DECODE, 64, 96, &o));
    assert_true(less.bytes <= o.memory && less.tiles.size);
    o.memory = 1000;
    assert_fails(vae_plan_make(&less, v, VAE_DECODE, 64, 96, &o), FV_EGPUMEM, "at least");
    o = (struct vae_plan_opts){.memory = whole.bytes};
    assert_ok(vae_plan_make(&again, v, VAE_DECODE, 64, 96, &o));
    assert_int_equal(again.window, whole.window);
    vae_close(&v);
}

static void plans_what_is_asked(void **state)
{
    struct vae_plan p;
    (void)state;
    struct vae *v = open_kind(TEST_ODVAE_12);
    struct vae_plan_opts o = {.window = 9, .tile = 64};
    assert_ok(vae_plan_make(&p, v, VAE_ENCODE, 128, 128, &o));
    assert_int_equal(p.window, 9);
    assert_int_equal(p.tiles.size, 64);
    assert_int_equal(p.tiles.step, 48);
    assert_int_equal(p.tiles.fade, 2);
    assert_int_equal(p.tiles.keep, 6);
    o.tile = 16;
    assert_fails(vae_plan_make(&p, v, VAE_ENCODE, 128, 128, &o), FV_EINVALID, "16");
    o = (struct vae_plan_opts){.carry = true, .tile = 64};
    assert_fails(vae_plan_make(&p, v, VAE_ENCODE, 128, 128, &o), FV_EINVALID, "past");
    assert_fails(vae_plan_make(&p, v, VAE_ENCODE, 127, 128, NULL), FV_EINVALID, "127");
    vae_close(&v);
    v = open_kind(TEST_CVVAE);
    o = (struct vae_plan_opts){.carry = true};
    assert_ok(vae_plan_make(&p, v, VAE_ENCODE, 64, 64, &o));
    assert_fails(vae_plan_make(&p, v, VAE_DECODE, 8, 8, &o), FV_EINVALID, "decoder");
    vae_close(&v);
}

/* The pieces of a clip have a size of their own: nothing depends on its length. */
static void memory_grows_with_the_window_only(void **state)
{
    struct vae_plan small, large;
    (void)state;
    for (enum test_vae kind = TEST_KL; kind <= TEST_TINY_DIFFUSERS; kind++) {
        struct vae *v = open_kind(kind);
        struct vae_plan_opts o = {.window = 5};
        assert_ok(vae_plan_make(&small, v, VAE_DECODE, 8, 8, &o));
        o.window = 17;
        assert_ok(vae_plan_make(&large, v, VAE_DECODE, 8, 8, &o));
        bool windows = vae_info(v)->time_factor > 1 && kind != TEST_OPENSORA;
        assert_true(windows ? large.bytes > small.bytes : large.bytes == small.bytes);
        vae_close(&v);
    }
}

static void authors_tiling(void **state)
{
    struct vae_plan p;
    struct vae_tiling t = {256, 32, 33, 16, 0.125};
    (void)state;
    struct vae *v = open_kind(TEST_ODVAE_12);
    assert_ok(vae_plan_tiled(&p, v, VAE_DECODE, &t));
    assert_int_equal(p.window, 16);
    assert_int_equal(p.tiles.size, 32);
    assert_int_equal(p.tiles.step, 28);
    assert_int_equal(p.tiles.fade, 32);
    assert_int_equal(p.tiles.keep, 224);
    assert_true(p.tiles.rest);
    t.tile_overlap_factor = 1;
    assert_fails(vae_plan_tiled(&p, v, VAE_DECODE, &t), FV_EINVALID, "tile_overlap_factor");
    vae_close(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_models_by_names),
        cmocka_unit_test(counts_latents),
        cmocka_unit_test(rejects_missing_tensor),
        cmocka_unit_test(rejects_missing_shortcut),
        cmocka_unit_test(rejects_wrong_shape),
        cmocka_unit_test(rejects_wrong_kernel),
        cmocka_unit_test(rejects_no_levels),
        cmocka_unit_test(rejects_other_models),
        cmocka_unit_test(rejects_config_of_text),
        cmocka_unit_test(names_groups_that_do_not_fit),
        cmocka_unit_test(wants_one_of_two_pairs_named),
        cmocka_unit_test(plans_by_memory),
        cmocka_unit_test(plans_what_is_asked),
        cmocka_unit_test(memory_grows_with_the_window_only),
        cmocka_unit_test(authors_tiling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
