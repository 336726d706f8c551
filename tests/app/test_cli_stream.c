/* The real binary: frames to a stream, what it is, and back to pictures. */
#include "support/test.h"
#include "support/json.h"
#include "app/image_io.h"
#include "gs/gs.h"
#include "vk/base/half.h"

#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

static void runs(char **out, const char *args)
{
    char *text;
    int rc = test_fovea(&text, "%s", args);
    if (rc)
        fail_msg("fovea %s: status %d: %s", args, rc, text);
    if (out)
        *out = text;
    else
        free(text);
}

static void fails(const char *args, int status, const char *part)
{
    char *text;
    int rc = test_fovea(&text, "%s", args);
    if (rc != status || !strstr(text, part))
        fail_msg("fovea %s: status %d: %s", args, rc, text);
    free(text);
}

static const char *format(char text[2048], const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static const char *format(char text[2048], const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, 2048, fmt, ap);
    va_end(ap);
    return text;
}

enum { FRAMES = 11 };
static char folder[256], stream[256], args[2048];

/* A golden scene that drifts and turns: frame_2 comes before frame_10. */
static int write_frames(void **state)
{
    (void)state;
    const char *scene = test_golden("01_forward/tiny50_sh3/scene.ply");
    char report[256];
    if (!scene)
        return 0;
    snprintf(folder, sizeof folder, "%s", test_tmp_path("frames"));
    snprintf(stream, sizeof stream, "%s", test_tmp_path("a.fvv"));
    assert_int_equal(mkdir(folder, 0777), 0);
    snprintf(report, sizeof report, "%s", test_tmp_path("report.json"));
    for (int k = 0; k < FRAMES; k++)
        runs(NULL, format(args, "convert '%s' -o '%s/frame_%d.ply' --rotate y:%d --translate %g,0,0 -q",
                          scene, folder, k, 2 * k, 0.01 * k));
    runs(NULL, format(args, "encode '%s' -o '%s' --psnr 44 --gop 4 --fps 10 --report '%s' "
                            "--plot '%s' -q", folder, stream, report, test_tmp_path("plot.png")));
    return 0;
}

static double number(const cJSON *o, const char *key)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
    if (!cJSON_IsNumber(v))
        fail_msg("no number \"%s\"", key);
    return v->valuedouble;
}

/* What `info` says of a file. */
static cJSON *info_of(const char *path)
{
    char *text;
    runs(&text, format(args, "info --json '%s'", path));
    cJSON *info = cJSON_Parse(text);
    free(text);
    assert_non_null(info);
    return info;
}

/* The stream that ships: whole, and its last frame is a head before black. */
static void bundled_head(void **state)
{
    (void)state;
    const char *head = test_source("assets/streams/head.fvv"), *ply = test_tmp_path("head.ply"),
               *npy = test_tmp_path("head.npy");
    cJSON *info = info_of(head);
    assert_near(number(info, "frames"), 973, 0);
    assert_near(number(info, "gaussians"), 20018, 0);
    cJSON_Delete(info);
    runs(NULL, format(args, "convert '%s' --frame 972 -o '%s' -q", head, ply));
    runs(NULL, format(args, "render '%s' --cameras '%s' --frames 1 --size 96x54 -o '%s' -q", ply,
                      test_source("assets/streams/head.path.json"), npy));
    size_t size, lit = 0, n = 96 * 54 * 3;
    char *file = test_read_file(npy, &size);
    assert_true(size > n * sizeof(float));
    for (size_t i = 0; i < n; i++) {
        float v;
        memcpy(&v, file + size - (n - i) * sizeof v, sizeof v);
        lit += v > 0.05f;
    }
    free(file);
    assert_true(lit > n / 12 && lit < n / 2);
}

static void tells_what_it_is(void **state)
{
    (void)state;
    if (!*stream)
        skip();
    char *text;
    cJSON *info = info_of(stream), *report = test_read_json(test_tmp_path("report.json"));
    assert_near(number(info, "frames"), FRAMES, 0);
    assert_near(number(info, "fps"), 10, 0);
    assert_near(number(info, "gaussians"), 50, 0);
    assert_near(number(info, "sh_degree"), 3, 0);
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(info, "list"), *f;
    double sum = 0;
    assert_int_equal(cJSON_GetArraySize(list), FRAMES);
    cJSON_ArrayForEach(f, list) sum += number(f, "bytes");
    assert_near(sum, number(info, "base_bytes") + number(info, "entry_bytes") +
                         number(info, "residual_bytes"), 0);
    assert_near(number(report, "bytes"), number(info, "bytes"), 0);
    assert_near(number(report, "base_bytes"), number(info, "base_bytes"), 0);
    assert_near(number(report, "frames"), FRAMES, 0);
    assert_near(number(report, "bytes_per_frame"), number(report, "bytes") / FRAMES, 1e-6);
    assert_true(number(report, "psnr_db") > 40 && number(report, "psnr_db_worst") > 38);
    assert_true(number(report, "psnr_db") >= number(report, "psnr_db_worst"));
    double frame_bytes = 0;
    list = cJSON_GetObjectItemCaseSensitive(report, "list");
    assert_int_equal(cJSON_GetArraySize(list), FRAMES);
    cJSON_ArrayForEach(f, list)
    {
        frame_bytes += number(f, "bytes");
        assert_near(number(f, "gaussians"), 50, 0);
        assert_true(number(f, "psnr_db") >= number(report, "psnr_db_worst") - 1e-9);
        assert_true(number(f, "ssim") > 0.8 && number(f, "ssim") <= 1);
    }
    assert_near(frame_bytes, sum, 0);
    struct image plot;
    assert_ok(image_load(&plot, test_tmp_path("plot.png")));
    assert_true(plot.height > 4 * 200);
    image_finish(&plot);
    assert_true(number(info, "bytes") > sum);
    cJSON_Delete(info);
    cJSON_Delete(report);
    runs(&text, format(args, "info '%s'", stream));
    assert_non_null(strstr(text, "Gaussian-splat stream"));
    assert_non_null(strstr(text, "1.100 s"));
    free(text);
}

/* Frame k of the stream looks like the k-th scene, not like another one. */
static void plays_its_frames_in_order(void **state)
{
    (void)state;
    if (!*stream)
        skip();
    char pattern[256], cameras[512];
    snprintf(cameras, sizeof cameras, "%s", test_golden("01_forward/tiny50_sh3/cameras.json"));
    snprintf(pattern, sizeof pattern, "%s", test_tmp_path("s%02d.npy"));
    runs(NULL, format(args, "render '%s' -o '%s' -c '%s' --camera 0 --frames %d -q", stream, pattern,
                      cameras, FRAMES + 1));
    for (int k = 0; k <= FRAMES; k += 5) {
        char name[256], shown[32];
        double psnr[2];
        struct image ours, scene;
        snprintf(shown, sizeof shown, "s%02d.npy", k);
        assert_ok(image_load(&ours, test_tmp_path(shown)));
        for (int other = 0; other < 2; other++) {
            snprintf(name, sizeof name, "%s", test_tmp_path("r.npy"));
            runs(NULL, format(args, "render '%s/frame_%d.ply' -o '%s' -c '%s' --camera 0 -q", folder,
                              (k + 4 * other) % FRAMES, name, cameras));
            assert_ok(image_load(&scene, name));
            double mse = 0;
            size_t n = (size_t)ours.width * ours.height * 3;
            for (size_t i = 0; i < n; i++)
                mse += (ours.data[i] - scene.data[i]) * (ours.data[i] - scene.data[i]) / (double)n;
            psnr[other] = -10 * log10(mse);
            image_finish(&scene);
        }
        image_finish(&ours);
        if (psnr[0] < 36 || psnr[0] < psnr[1] + 6)
            fail_msg("picture %d: %.1f dB to its scene, %.1f dB to another one", k, psnr[0], psnr[1]);
    }
}

static void videos_have_its_length_and_rate(void **state)
{
    (void)state;
    if (!*stream)
        skip();
    const char *video = test_tmp_path("a.mp4");
    runs(NULL, format(args, "render '%s' -o '%s' --size 96x64 -q", stream, video));
    cJSON *info = info_of(video);
    assert_near(number(info, "frames"), FRAMES, 0);
    assert_near(number(info, "fps"), 10, 1e-6);
    cJSON_Delete(info);
}

static void frames_come_out_as_scenes(void **state)
{
    (void)state;
    if (!*stream)
        skip();
    const char *ply = test_tmp_path("nine.ply");
    runs(NULL, format(args, "convert '%s' --frame 9 --sh 1 -o '%s' -q", stream, ply));
    cJSON *info = info_of(ply);
    assert_near(number(info, "gaussians"), 50, 0);
    assert_near(number(info, "sh_degree"), 1, 0);
    cJSON_Delete(info);
    fails(format(args, "convert '%s' --frame 11 -o '%s'", stream, ply), 1, "frame 11 of 11");
}

static void bench_measures_every_kind(void **state)
{
    (void)state;
    if (!*stream)
        skip();
    char *text;
    runs(&text, format(args, "bench stream '%s' --json --size 64x48", stream));
    cJSON *doc = cJSON_Parse(text);
    free(text);
    assert_non_null(doc);
    const cJSON *residual = cJSON_GetObjectItemCaseSensitive(doc, "residual");
    assert_near(number(residual, "count"), FRAMES - 3, 0); /* a base, two entries */
    assert_true(number(residual, "wall_ms_median") > 0 && number(residual, "bytes_mean") > 10);
    assert_true(number(cJSON_GetObjectItemCaseSensitive(doc, "seek"), "count") > 10);
    assert_true(number(cJSON_GetObjectItemCaseSensitive(doc, "base"), "wall_ms_p95") > 0);
    assert_near(number(cJSON_GetObjectItemCaseSensitive(doc, "picture"), "count"), FRAMES - 1, 0);
    assert_true(number(doc, "residual_percent_of_picture") > 0);
    assert_true(number(doc, "playing_fps") > 0);
    cJSON_Delete(doc);
    fails("bench stream", 2, "needs a file");
}

/* A QUEEN model as it is; its frames come out as scenes, and play. */
static void a_queen_model_becomes_a_stream(void **state)
{
    (void)state;
    char *text, model[512], file[256];
    const char *golden = test_golden("05_queen");
    assert_non_null(golden);
    snprintf(model, sizeof model, "%s", golden);
    snprintf(file, sizeof file, "%s", test_tmp_path("queen.fvv"));
    runs(&text, format(args, "encode '%s' -o '%s' --gop 2", model, file));
    assert_non_null(strstr(text, "3 frames"));
    assert_non_null(strstr(text, "1 whole, all bits kept"));
    free(text);
    cJSON *info = info_of(file);
    assert_near(number(info, "gaussians"), 120, 0);
    assert_near(number(info, "frames"), 3, 0);
    assert_string_equal(cJSON_GetObjectItemCaseSensitive(info, "model")->valuestring, "queen");
    cJSON_Delete(info);
    runs(NULL, format(args, "convert '%s' --frame 2 -o '%s' -q", file, test_tmp_path("two.ply")));
    runs(NULL, format(args, "render '%s' -o '%s' --size 96x64 --frames 3 -q", file,
                      test_tmp_path("q%d.png")));
    runs(&text, format(args, "bench stream '%s' --json --size 64x48", file));
    assert_non_null(strstr(text, "\"entry\""));
    free(text);
    fails(format(args, "encode '%s/frames/0002' -o '%s'", model, file), 1, "holds no scene files");
    fails(format(args, "encode '%s' '%s' -o '%s'", model, model, file), 1, "holds no scene files");
}

/* The same frames, fitted. */
static void scenes_become_a_stream_of_the_queen_model(void **state)
{
    (void)state;
    if (!*stream)
        skip();
    static const char *const how[] = {"", "--decoders dft", "--latents 2"};
    char file[256], model[512];
    snprintf(file, sizeof file, "%s", test_tmp_path("fitted.fvv"));
    for (int k = 0; k < 3; k++) {
        runs(NULL, format(args, "encode '%s' -o '%s' --psnr 40 --gop 4 --model queen %s --report '%s' -q",
                          folder, file, how[k], test_tmp_path("fit.json")));
        cJSON *info = info_of(file);
        assert_string_equal(cJSON_GetObjectItemCaseSensitive(info, "model")->valuestring, "queen");
        assert_near(number(info, "frames"), FRAMES, 0);
        assert_near(number(info, "gaussians"), 50, 0);
        assert_near(number(info, "sh_degree"), 3, 0);
        cJSON_Delete(info);
        cJSON *report = test_read_json(test_tmp_path("fit.json"));
        assert_near(number(report, "bases") + number(report, "entries") + number(report, "residuals"),
                    FRAMES, 0);
        assert_true(number(report, "residuals") > 0);
        cJSON_Delete(report);
        runs(NULL, format(args, "convert '%s' --frame 9 -o '%s' -q", file, test_tmp_path("nine.spz")));
    }
    snprintf(model, sizeof model, "%s", test_golden("05_queen"));
    fails(format(args, "encode '%s' -o '%s' --model direct", model, file), 2, "takes scenes");
}

static void refuses_with_a_sentence(void **state)
{
    (void)state;
    if (!*stream)
        skip();
    char empty[256];
    snprintf(empty, sizeof empty, "%s", test_tmp_path("empty"));
    assert_int_equal(mkdir(empty, 0777), 0);
    fails(format(args, "encode '%s'", folder), 2, "needs -o OUT");
    fails(format(args, "encode '%s' -o '%s'", empty, test_tmp_path("x.fvv")), 1, "holds no scene files");
    fails(format(args, "encode nowhere.ply -o '%s'", test_tmp_path("x.fvv")), 1, "nowhere.ply");
    fails(format(args, "render '%s/frame_0.ply.fvv' -o '%s'", folder, test_tmp_path("x.mp4")), 1,
          "frame_0.ply.fvv");
    test_write_file(test_tmp_path("x.fvv"), "fvv\x1a\x09\0\0\0", 8);
    fails(format(args, "info '%s'", test_tmp_path("x.fvv")), 1, "version 9");
}

/* A size is asked for, not a quality: more bytes are more decibels. */
static void sizes_that_are_asked_for(void **state)
{
    (void)state;
    if (!*stream)
        skip();
    static const double kb[] = {0.2, 0.6};
    double psnr[2];
    for (int k = 0; k < 2; k++) {
        char report[256];
        snprintf(report, sizeof report, "%s", test_tmp_path("sized.json"));
        runs(NULL, format(args, "encode '%s' -o '%s' --target-kb-per-frame %g --gop 6 --report '%s' -q",
                          folder, test_tmp_path("sized.fvv"), kb[k], report));
        cJSON *doc = test_read_json(report);
        assert_near(number(doc, "target_bytes_per_frame"), 1000 * kb[k], 1e-6);
        assert_near(number(doc, "bytes_per_frame"), 1000 * kb[k], 100 * kb[k]);
        psnr[k] = number(doc, "psnr_db");
        cJSON_Delete(doc);
    }
    assert_true(psnr[1] > psnr[0] + 3);
    fails(format(args, "encode '%s' -o '%s' --target-kb-per-frame 0.01", folder,
                 test_tmp_path("sized.fvv")), 1, "expected at least 64");
}

/* A .splatv of 20 Gaussians, half of them there in the first half of its time only. */
static void moving_scenes_of_one_file(void **state)
{
    (void)state;
    enum { ROWS = 20 };
    static struct {
        char head[8], json[32];
        struct {
            float position[3];
            uint16_t half[8];
            uint8_t rgba[4];
            uint16_t motion[16];
        } row[ROWS];
    } f;
    static const char json[] = "[{\"type\":\"splat\",\"size\":1280}]";
    char splatv[256], out[256];
    _Static_assert(sizeof f == 40 + 64 * ROWS, "as in the file");
    memcpy(f.head, "\x4b\x67\0\0\x20\0\0\0", 8);
    memset(f.json, ' ', sizeof f.json);
    memcpy(f.json, json, sizeof json - 1);
    for (int i = 0; i < ROWS; i++) {
        for (int k = 0; k < 3; k++) {
            f.row[i].position[k] = (float)((i * (k + 3) % 7) * 0.2);
            f.row[i].half[4 + k] = fv_f32_to_f16(0.1f);
        }
        f.row[i].half[0] = fv_f32_to_f16(1);
        memcpy(f.row[i].rgba, (const uint8_t[]){200, (uint8_t)(10 * i), 90, 230}, 4);
        f.row[i].motion[0] = fv_f32_to_f16(0.5f);
        f.row[i].motion[14] = fv_f32_to_f16(i % 2 ? 0.5f : 0);
        f.row[i].motion[15] = fv_f32_to_f16(i % 2 ? 4 : 0.25f);
    }
    snprintf(splatv, sizeof splatv, "%s", test_tmp_path("a.splatv"));
    snprintf(out, sizeof out, "%s", test_tmp_path("v.fvv"));
    test_write_file(splatv, &f, sizeof f);
    runs(NULL, format(args, "encode '%s' -o '%s' --seconds 1.2 --fps 10 -q", splatv, out));
    cJSON *info = info_of(out);
    assert_near(number(info, "frames"), 12, 0);
    assert_near(number(info, "gaussians"), ROWS, 0);
    cJSON_Delete(info);
    static const char *const sources[] = {"convert '%s' --time 1 -o '%s' -q", "convert '%s' --frame 11 -o '%s' -q"};
    for (int k = 0; k < 2; k++) { /* from the scene and from the stream */
        char ply[256];
        snprintf(ply, sizeof ply, "%s", test_tmp_path("v.ply"));
        runs(NULL, format(args, sources[k], k ? out : splatv, ply));
        info = info_of(ply);
        assert_near(number(info, "gaussians"), ROWS / 2, 0);
        cJSON_Delete(info);
    }
}

/* ---- damaged, and still being written ---- */

/* A picture of a rendered sequence. */
static struct image shot(const char *pattern, int k)
{
    char name[64];
    struct image i;
    snprintf(name, sizeof name, pattern, k);
    assert_ok(image_load(&i, test_tmp_path(name)));
    return i;
}

static bool same_shot(const char *a, int k, const char *b, int n)
{
    struct image x = shot(a, k), y = shot(b, n);
    bool same = !memcmp(x.data, y.data, sizeof(float) * 3 * x.width * x.height);
    image_finish(&x);
    image_finish(&y);
    return same;
}

static void damage_is_told_and_played_over(void **state)
{
    (void)state;
    if (!*stream)
        skip();
    char bad[256], cameras[512], told[96], *text;
    struct gs_stream *s;
    size_t size, damage;
    uint8_t *bytes = test_read_file(stream, &size);
    assert_ok(gs_stream_open(&s, stream));
    assert_int_equal(gs_stream_info(s)->frame[5].entry, 4);
    damage = (size_t)gs_stream_info(s)->frame[5].offset + 30;
    bytes[damage] ^= 4;
    gs_stream_close(&s);
    snprintf(bad, sizeof bad, "%s", test_tmp_path("bad.fvv"));
    test_write_file(bad, bytes, size);
    free(bytes);
    runs(&text, format(args, "info '%s'", bad));
    snprintf(told, sizeof told, "damaged at byte %zu", damage);
    assert_non_null(strstr(text, "frame 5: ")); /* and the section, as gs/test_stream.c tells */
    assert_non_null(strstr(text, told));
    free(text);
    cJSON *info = info_of(bad);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(info, "damage")), 1);
    cJSON_Delete(info);
    snprintf(cameras, sizeof cameras, "%s", test_golden("01_forward/tiny50_sh3/cameras.json"));
    runs(NULL, format(args, "render '%s' -o '%s' -c '%s' --camera 0 --frames 10 -q", stream,
                      test_tmp_path("good%d.npy"), cameras));
    snprintf(told, sizeof told, "damaged at byte %zu; 3 of 10 pictures show an earlier frame", damage);
    fails(format(args, "render '%s' -o '%s' -c '%s' --camera 0 --frames 10", bad,
                 test_tmp_path("bad%d.npy"), cameras),
          1, told);
    for (int k = 0; k < 10; k++) /* 5 to 7 build on what is damaged */
        assert_true(same_shot("bad%d.npy", k, "good%d.npy", k >= 5 && k < 8 ? 4 : k));
    assert_false(same_shot("good%d.npy", 4, "good%d.npy", 7));
}

static struct {
    char path[256];
    uint8_t *bytes;
    size_t at, size;
} live;

static void *append(void *ud)
{
    FILE *f = fopen(live.path, "ab");
    for (size_t n; live.at < live.size; live.at += n) {
        n = live.size - live.at < 300 ? live.size - live.at : 300;
        fwrite(live.bytes + live.at, 1, n, f);
        fflush(f);
        usleep(30000);
    }
    fclose(f);
    return ud;
}

static void a_stream_that_is_still_written(void **state)
{
    (void)state;
    if (!*stream)
        skip();
    char *text;
    pthread_t thread;
    live.bytes = test_read_file(stream, &live.size);
    live.at = live.size / 3;
    snprintf(live.path, sizeof live.path, "%s", test_tmp_path("live.fvv"));
    test_write_file(live.path, live.bytes, live.at);
    assert_int_equal(pthread_create(&thread, NULL, append, NULL), 0);
    runs(NULL, format(args, "render '%s' --live 20 -o '%s' --size 96x64 -q", live.path,
                      test_tmp_path("live.mp4")));
    pthread_join(thread, NULL);
    free(live.bytes);
    cJSON *info = info_of(test_tmp_path("live.mp4"));
    assert_near(number(info, "frames"), FRAMES, 0);
    cJSON_Delete(info);
    /* and what writes such a file */
    runs(NULL, format(args, "encode '%s' -o '%s' --gop 4 --fps 10 --frames 3 --live -q", folder, live.path));
    runs(&text, format(args, "info '%s'", live.path));
    assert_non_null(strstr(text, "frames         3"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bundled_head),
        cmocka_unit_test(tells_what_it_is),
        cmocka_unit_test(plays_its_frames_in_order),
        cmocka_unit_test(videos_have_its_length_and_rate),
        cmocka_unit_test(frames_come_out_as_scenes),
        cmocka_unit_test(sizes_that_are_asked_for),
        cmocka_unit_test(moving_scenes_of_one_file),
        cmocka_unit_test(bench_measures_every_kind),
        cmocka_unit_test(a_queen_model_becomes_a_stream),
        cmocka_unit_test(scenes_become_a_stream_of_the_queen_model),
        cmocka_unit_test(refuses_with_a_sentence),
        cmocka_unit_test(damage_is_told_and_played_over),
        cmocka_unit_test(a_stream_that_is_still_written),
    };
    return cmocka_run_group_tests(tests, write_frames, NULL);
}
