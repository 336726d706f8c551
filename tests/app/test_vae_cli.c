/* fovea vae on a tiny random model and a clip of pictures: files, metadata, statuses, Ctrl-C. */
#include "support/test.h"
#include "support/child.h"
#include "support/vae_model.h"
#include "app/image_io.h"
#include "app/video.h"
#include "vae/vae.h"
#include "vk/base/half.h"
#include "vk/base/npy.h"
#include "vk/nn/weights.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <sys/stat.h>
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

/* Mean and variance of two files of latents, as the diffusion model has them. */
static void moments_of_latents(void **state)
{
    enum { C = 4, T = 2, P = 6, N = C * T * P };
    static float z[2][T][C][P], mean[N];
    const char *dir = test_vae_folder(TEST_ODVAE_12);
    char path[2][1024], out[1024], *said;
    struct nn_file *f;
    struct vae *v;
    double sum = 0, variance;
    (void)state;
    snprintf(out, sizeof out, "%s", test_tmp_path("mean.safetensors"));
    for (int k = 0; k < 2; k++) {
        snprintf(path[k], sizeof path[k], "%s%d.safetensors", test_tmp_path("z"), k);
        for (int i = 0; i < N; i++)
            (&z[k][0][0][0])[i] = (float)(i % 7) + (float)(k * i % 5);
        struct nn_save_tensor t = {"latents", NN_DATA_F32, 4, {T, C, 2, 3}, z[k]};
        assert_ok(nn_safetensors_save(path[k], &t, 1, NULL, 0));
    }
    int rc = test_fovea(&said, "vae moments %s %s --model %s -o %s", path[0], path[1], dir, out);
    if (rc)
        fail_msg("%s", said);
    free(said);
    assert_ok(vae_open(&v, NULL, dir, NULL));
    const struct vae_info *info = vae_info(v);
    assert_int_equal(info->channels, C);
    assert_ok(nn_file_open(&f, out, NULL));
    const struct nn_file_tensor *e = nn_file_find(f, "Expectation_X0");
    const struct nn_file_tensor *tr = nn_file_find(f, "Tr_Cov_d");
    assert_true(e && tr && e->rank == 5 && e->shape[1] == C && e->shape[2] == T);
    assert_ok(nn_file_read(e, NN_DATA_F32, 0, N, mean));
    assert_ok(nn_file_read(tr, NN_DATA_F64, 0, 1, &variance));
    for (int c = 0; c < C; c++)
        for (int t = 0; t < T; t++)
            for (int i = 0; i < P; i++) {
                double a = ((double)z[0][t][c][i] - (double)info->shift[c]) * (double)info->scale[c];
                double b = ((double)z[1][t][c][i] - (double)info->shift[c]) * (double)info->scale[c];
                assert_near(mean[(c * T + t) * P + i], (a + b) / 2, 1e-5);
                sum += (a - b) * (a - b) / 4 / N;
            }
    assert_near(variance / sum, 1, 1e-5);
    nn_file_close(&f);
    vae_close(&v);
    struct nn_save_tensor t = {"latents", NN_DATA_F32, 4, {1, C, 2, 3}, z[0]};
    assert_ok(nn_safetensors_save(path[1], &t, 1, NULL, 0));
    assert_int_equal(test_fovea(&said, "vae moments %s %s --model %s -o %s", path[0], path[1], dir, out), 1);
    assert_non_null(strstr(said, "the first file has 2 of 3x2"));
    free(said);
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

static void says_what_is_wrong(void **state)
{
    const char *dir = test_vae_folder(TEST_KL);
    (void)state;
    make_clip(1);
    TEST_FAILS(2, "did you mean decode", "vae decod %s --model %s", clip, dir);
    TEST_FAILS(2, "needs --model", "vae encode %s -o a.safetensors", clip);
    TEST_FAILS(2, "needs -o", "vae decode %s --model %s", clip, dir);
    TEST_FAILS(2, ".safetensors", "vae encode %s --model %s -o a.mp4", clip, dir);
    TEST_FAILS(1, "/nowhere", "vae roundtrip /nowhere --model %s", dir);
    TEST_FAILS(1, "/nowhere", "vae roundtrip %s --model /nowhere", clip);
    TEST_FAILS(1, "at least", "vae roundtrip %s --model %s --memory 10k", clip, dir);
    TEST_FAILS(1, "past", "vae roundtrip %s --model %s --carry", clip, dir);
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

/* ---- Ctrl-C ---- */

/* The latents are whole: 60 frames of the clip. */
static void assert_whole(const char *path)
{
    struct nn_file *f;
    assert_ok(nn_file_open(&f, path, NULL));
    const struct nn_file_tensor *t = nn_file_find(f, "latents");
    assert_non_null(t);
    assert_int_equal(t->shape[2], 16);
    float *data = malloc((size_t)t->count * sizeof *data);
    assert_ok(nn_file_read(t, NN_DATA_F32, 0, t->count, data));
    free(data);
    nn_file_close(&f);
}

static int files_in(const char *dir)
{
    int n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.' || strlen(e->d_name) > 2;
    closedir(d);
    return n;
}

/* However far it has come: no file, not even a part of one under another name, or the whole; a
 * file that was there stays as it was. */
static void ctrl_c_leaves_whole_latents_or_none(void **state)
{
    static const struct {
        const char *passes;
        double done; /* frames of all passes */
        bool old;    /* there is a file already */
        bool ends;   /* the work ends first: nothing is interrupted */
    } rows[] = {{"200", 17, false, false},
                {"200", 400, true, false},
                {"2", 100, false, true},
                {"2", 1e9, true, true}};
    char model[1024], dir[1024], path[1100], last[1024];
    (void)state;
    make_clip(60);
    snprintf(model, sizeof model, "%s", test_vae_folder(TEST_ODVAE_12));
    snprintf(dir, sizeof dir, "%s", test_tmp_path("stopped"));
    snprintf(path, sizeof path, "%s/z.safetensors", dir);
    assert_int_equal(mkdir(dir, 0777), 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char passes[16];
        size_t size = 0;
        unlink(path);
        if (rows[i].old)
            test_write_file(path, "precious", 8);
        snprintf(passes, sizeof passes, "%s", rows[i].passes);
        struct test_child c = test_child_start(
            (char *[]){"fovea", "vae", "encode", clip, "--model", model, "-o", path, "--passes",
                       passes, "--progress", "json", NULL});
        int status = test_interrupt(&c, "encoding", rows[i].done, last, sizeof last);
        if (!rows[i].ends || status == 130) {
            assert_int_equal(status, 130);
            assert_non_null(strstr(last, "cancelled"));
            assert_int_equal(files_in(dir), rows[i].old);
            if (rows[i].old) {
                free(test_read_file(path, &size));
                assert_int_equal(size, 8);
            }
        } else {
            assert_int_equal(status, 0);
            assert_int_equal(files_in(dir), 1);
            assert_whole(path);
        }
    }
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

/* A picture [H, W, 3] against an array of halfs [3, H, W] as the network gives it, not yet cut to
 * 0 .. 1. */
static void assert_like_halfs(const char *picture, const char *path, double limit)
{
    struct fv_npy a;
    size_t size;
    double most = 0;
    uint8_t *want = test_read_file(path, &size);
    assert_ok(fv_npy_open(&a, picture));
    float *got = malloc(a.count * sizeof *got);
    fv_npy_get_f32(&a, got);
    assert_true(size > 2 * a.count);
    assert_non_null(memmem(want, size - 2 * a.count, "'<f2'", 5));
    size_t plane = a.count / 3;
    for (size_t i = 0; i < a.count; i++) {
        uint16_t h;
        memcpy(&h, want + size - 2 * a.count + 2 * (i % 3 * plane + i / 3), sizeof h);
        most = fmax(most, fabs((double)got[i] - fmin(fmax((double)fv_f16_to_f32(h), 0), 1)));
    }
    if (!(most <= limit))
        fail_msg("%s: %g", path, most);
    free(got);
    free(want);
    fv_npy_close(&a);
}

static const char *const trained[3][3] = {
    {"taesd", "taesd-fp16/taesd_encoder.safetensors", "taesd-fp16/taesd_decoder.safetensors"},
    {"taesd3", "taesd-fp16/taesd3_encoder.safetensors", "taesd-fp16/taesd3_decoder.safetensors"},
    {"taef2", "taef2/taef2_encoder.pth", "taef2/taef2_decoder.pth"}};
static const char *const pictures[2] = {"flower", "mary"};

/* data/weights/... in out; false, and the test is skipped, where there is none. */
static bool shared_weights(char out[1024], const char *fmt, const char *a, const char *b)
{
    char name[256];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(name, sizeof name, fmt, a, b);
#pragma GCC diagnostic pop
    const char *found = test_shared(name);
    snprintf(out, 1024, "%s", found ? found : "");
    return found;
}

/* Latents of photographs by the trained tiny autoencoders, against another implementation's. */
static void trained_tiny_encoders_match(void **state)
{
    char picture[1024], model[1024], want[1024];
    int done = 0;
    (void)state;
    for (int i = 0; i < 6; i++) {
        const char *const *m = trained[i % 3], *p = pictures[i / 3];
        const char *out = test_tmp_path("t.safetensors");
        char *text;
        struct nn_file *f;
        if (!shared_weights(picture, "data/weights/golden-taesd-numpy/%s_in.png%s", p, "") ||
            !shared_weights(model, "data/weights/%s%s", m[1], "") ||
            !shared_weights(want, "data/weights/golden-taesd-numpy/%s_%s_latent.npy", p, m[0]))
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
        done++;
    }
    if (!done)
        skip();
}

/* And its pictures, which it stored as f16: half a step of that below 1 is 2.4e-4. */
static void trained_tiny_decoders_match(void **state)
{
    char latents[1024], model[1024], want[1024];
    int done = 0;
    (void)state;
    for (int i = 0; i < 6; i++) {
        const char *const *m = trained[i % 3], *p = pictures[i / 3], *out = test_tmp_path("t.npy");
        char *text;
        if (!shared_weights(latents, "data/weights/golden-taesd-numpy/%s_%s_latent.npy", p, m[0]) ||
            !shared_weights(model, "data/weights/%s%s", m[2], "") ||
            !shared_weights(want, "data/weights/golden-taesd-numpy/%s_%s_out_f16.npy", p, m[0]))
            continue;
        int rc = test_fovea(&text, "vae decode %s --model %s -o %s", latents, model, out);
        if (rc)
            fail_msg("%s: %s", model, text);
        free(text);
        assert_like_halfs(out, want, 2.6e-4);
        done++;
    }
    if (!done)
        skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encodes_and_decodes),
        cmocka_unit_test(moments_of_latents),
        cmocka_unit_test(round_trips_report_quality),
        cmocka_unit_test(sampling_depends_on_the_seed_alone),
        cmocka_unit_test(info_needs_no_device),
        cmocka_unit_test(says_what_is_wrong),
        cmocka_unit_test(memory_is_kept_to),
        cmocka_unit_test(ctrl_c_leaves_whole_latents_or_none),
        cmocka_unit_test(trained_tiny_encoders_match),
        cmocka_unit_test(trained_tiny_decoders_match),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
