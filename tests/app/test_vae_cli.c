/* fovea vae on a tiny random model and a clip of pictures: files, metadata, statuses, Ctrl-C. */
#include "support/test.h"
#include "support/vae_model.h"
#include "app/image_io.h"
#include "app/video.h"
#include "vk/base/npy.h"
#include "vk/nn/weights.h"

#include <cjson/cJSON.h>
#include <unistd.h>

enum { W = 20, H = 12 };
static char clip[1024];

static void make_clip(int count)
{
    char path[1100], command[2200];
    uint8_t rgb[W * H * 3];
    snprintf(clip, sizeof clip, "%s", test_tmp_path("clip"));
    snprintf(command, sizeof command, "rm -rf %s && mkdir -p %s", clip, clip);
    assert_int_equal(system(command), 0);
    for (int f = 0; f < count; f++) {
        for (int i = 0; i < W * H * 3; i++)
            rgb[i] = (uint8_t)(i * 3 + f * 5);
        snprintf(path, sizeof path, "%s/f%03d.png", clip, f);
        assert_ok(image_save_png(path, rgb, W, H, 3, NULL));
    }
}

static cJSON *json_of(const char *fmt, const char *a, const char *b, const char *c)
{
    char *out, command[4096];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(command, sizeof command, fmt, a, b, c);
#pragma GCC diagnostic pop
    int rc = test_fovea(&out, "%s", command);
    if (rc)
        fail_msg("fovea %s: status %d: %s", command, rc, out);
    cJSON *doc = cJSON_Parse(strchr(out, '{'));
    assert_non_null(doc);
    free(out);
    return doc;
}

static double number(const cJSON *o, const char *key)
{
    const cJSON *n = cJSON_GetObjectItem(o, key);
    assert_true(cJSON_IsNumber(n));
    return n->valuedouble;
}

static void encodes_and_decodes(void **state)
{
    struct nn_file *f;
    struct video_in *v;
    const char *dir = test_vae_folder(TEST_ODVAE_12), *latents = test_tmp_path("a.safetensors");
    const char *video = test_tmp_path("a.mp4");
    (void)state;
    make_clip(7);
    cJSON *doc = json_of("vae encode %s --json --model %s -o %s -r 25", clip, dir, latents);
    assert_int_equal(number(cJSON_GetObjectItem(doc, "encode"), "frames_in"), 7);
    assert_int_equal(number(cJSON_GetObjectItem(doc, "encode"), "frames_out"), 3);
    assert_non_null(strstr(cJSON_GetObjectItem(doc, "encode_plan")->valuestring, "17 frames"));
    cJSON_Delete(doc);
    assert_ok(nn_file_open(&f, latents, NULL));
    const struct nn_file_tensor *t = nn_file_find(f, "latents");
    static const uint64_t shape[5] = {1, 4, 3, 2, 3};
    assert_memory_equal(t->shape, shape, sizeof shape);
    assert_string_equal(nn_file_meta(f, "model"), "osp_odvae_v12");
    assert_string_equal(nn_file_meta(f, "source_size"), "20x12");
    assert_string_equal(nn_file_meta(f, "source_frames"), "7");
    assert_string_equal(nn_file_meta(f, "fps"), "25/1");
    assert_near(atof(nn_file_meta(f, "scale")), 0.18215, 1e-6);
    assert_string_equal(nn_file_meta(f, "shift"), "0");
    nn_file_close(&f);
    doc = json_of("vae decode %s --json --model %s -o %s", latents, dir, video);
    assert_int_equal(number(cJSON_GetObjectItem(doc, "decode"), "frames_out"), 9);
    cJSON_Delete(doc);
    assert_ok(video_in_open(&v, video));
    assert_int_equal(video_in_info(v)->width, W); /* cut back from 24x16 */
    assert_int_equal(video_in_info(v)->height, H);
    assert_int_equal(video_in_info(v)->frames, 7);
    assert_int_equal(video_in_info(v)->fps_num, 25);
    video_in_close(&v);
}

static void round_trips_report_quality(void **state)
{
    static const enum test_vae kinds[] = {TEST_KL, TEST_OPENSORA, TEST_CVVAE_SD3,
                                          TEST_TINY_DIFFUSERS};
    (void)state;
    make_clip(6);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        cJSON *doc =
            json_of("vae roundtrip %s --json --model %s%s", clip, test_vae_folder(kinds[i]), "");
        assert_int_equal(number(doc, "frames"), 6);
        assert_true(number(doc, "psnr") > 0 && number(doc, "psnr") < 100);
        assert_true(number(doc, "ssim") <= 1);
        assert_true(number(cJSON_GetObjectItem(doc, "decode"), "peak_bytes") > 0);
        assert_true(number(cJSON_GetObjectItem(doc, "latents"), "bits_per_pixel") > 0);
        cJSON_Delete(doc);
    }
}

static void sampling_depends_on_the_seed_alone(void **state)
{
    const char *dir = test_vae_folder(TEST_KL);
    static const char *const options[3] = {"--sample --seed 3", "--sample --seed 3",
                                           "--sample --seed 4"};
    void *bytes[3];
    size_t size[3];
    (void)state;
    make_clip(2);
    for (int i = 0; i < 3; i++) {
        const char *path = test_tmp_path("s.safetensors");
        char *out;
        assert_int_equal(
            test_fovea(&out, "vae encode %s -q %s --model %s -o %s", clip, options[i], dir, path),
            0);
        free(out);
        bytes[i] = test_read_file(path, &size[i]);
    }
    assert_int_equal(size[0], size[1]);
    assert_memory_equal(bytes[0], bytes[1], size[0]);
    assert_true(memcmp(bytes[0], bytes[2], size[0]) != 0);
    for (int i = 0; i < 3; i++)
        free(bytes[i]);
}

static void info_needs_no_device(void **state)
{
    char *out;
    (void)state;
    assert_int_equal(
        test_fovea(&out, "vae info --model %s --size 256x256", test_vae_folder(TEST_CVVAE)), 0);
    assert_non_null(strstr(out, "CV-VAE for SD 2.1"));
    assert_non_null(strstr(out, "decoding 256x256: windows of 5 latents"));
    free(out);
}

#define FAILS(status, part, ...)                                                                   \
    do {                                                                                           \
        char *out_;                                                                                \
        int got_ = test_fovea(&out_, __VA_ARGS__);                                                 \
        if (got_ != (status) || !strstr(out_, part))                                               \
            fail_msg("status %d (expected %d), output \"%s\", expected \"...%s...\"", got_,        \
                     status, out_, part);                                                          \
        free(out_);                                                                                \
    } while (0)

static void says_what_is_wrong(void **state)
{
    const char *dir = test_vae_folder(TEST_KL);
    (void)state;
    make_clip(1);
    FAILS(2, "did you mean decode", "vae decod %s --model %s", clip, dir);
    FAILS(2, "needs --model", "vae encode %s -o a.safetensors", clip);
    FAILS(2, "needs -o", "vae decode %s --model %s", clip, dir);
    FAILS(2, ".safetensors", "vae encode %s --model %s -o a.mp4", clip, dir);
    FAILS(1, "/nowhere", "vae roundtrip /nowhere --model %s", dir);
    FAILS(1, "/nowhere", "vae roundtrip %s --model /nowhere", clip);
    FAILS(1, "at least", "vae roundtrip %s --model %s --memory 10k", clip, dir);
    FAILS(1, "past", "vae roundtrip %s --model %s --carry", clip, dir);
}

static void memory_is_kept_to(void **state)
{
    const char *dir = test_vae_folder(TEST_ODVAE_12);
    (void)state;
    make_clip(5);
    cJSON *doc = json_of("vae roundtrip %s --json --memory 40M --model %s%s", clip, dir, "");
    assert_true(number(cJSON_GetObjectItem(doc, "decode"), "planned_bytes") <= 40e6);
    cJSON_Delete(doc);
}

/* ---- real weights ------------------------------------------------------------------------ */

static void assert_like_npy(const float *got, const char *path, double limit)
{
    struct fv_npy a;
    double most = 0, squares = 0;
    assert_ok(fv_npy_open(&a, path));
    float *want = malloc(a.count * sizeof *want);
    fv_npy_get_f32(&a, want);
    for (size_t i = 0; i < a.count; i++) {
        most = fmax(most, fabs((double)got[i] - (double)want[i]));
        squares += (double)want[i] * (double)want[i];
    }
    double rms = sqrt(squares / (double)a.count);
    if (!(most <= limit * rms))
        fail_msg("%s: %g of the rms", path, most / rms);
    free(want);
    fv_npy_close(&a);
}

/* Latents of a photograph by the trained tiny autoencoders, against another implementation's. */
static void trained_tiny_encoders_match(void **state)
{
    static const char *const models[3][2] = {{"taesd", "taesd-fp16/taesd_encoder.safetensors"},
                                             {"taesd3", "taesd-fp16/taesd3_encoder.safetensors"},
                                             {"taef2", "taef2"}};
    char name[128], picture[1024];
    (void)state;
    const char *found = test_shared("data/weights/golden-taesd-numpy/flower_in.png");
    snprintf(picture, sizeof picture, "%s", found ? found : ""); /* found is one of a few in turn */
    for (int i = 0; i < 3 && *picture; i++) {
        snprintf(name, sizeof name, "data/weights/%s", models[i][1]);
        const char *model = test_shared(name), *out = test_tmp_path("t.safetensors");
        snprintf(name, sizeof name, "data/weights/golden-taesd-numpy/flower_%s_latent.npy",
                 models[i][0]);
        const char *want = test_shared(name);
        char *text;
        struct nn_file *f;
        if (!model || !want)
            continue;
        int rc = test_fovea(&text, "vae encode %s --model %s -o %s", picture, model, out);
        if (rc)
            fail_msg("%s: %s", model, text);
        free(text);
        assert_ok(nn_file_open(&f, out, NULL));
        const struct nn_file_tensor *t = nn_file_find(f, "latents");
        float *got = malloc((size_t)t->count * sizeof *got);
        assert_ok(nn_file_read(t, NN_DATA_F32, 0, t->count, got));
        assert_like_npy(got, want, 1e-4);
        free(got);
        nn_file_close(&f);
    }
    if (!*picture)
        skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encodes_and_decodes),
        cmocka_unit_test(round_trips_report_quality),
        cmocka_unit_test(sampling_depends_on_the_seed_alone),
        cmocka_unit_test(info_needs_no_device),
        cmocka_unit_test(says_what_is_wrong),
        cmocka_unit_test(memory_is_kept_to),
        cmocka_unit_test(trained_tiny_encoders_match),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
