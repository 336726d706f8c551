/* The real binary with a Vulkan device: pictures, arrays, videos and streams, Ctrl-C, full
 * disks, check and bench. */
#include "support/test.h"
#include "support/child.h"
#include "app/image_io.h"
#include "app/video.h"
#include "vk/base/file.h"

#include <cjson/cJSON.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static const char *case_file(const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "01_forward/tiny50_sh3/%s", name);
    const char *found = test_golden(path);
    if (!found)
        skip();
    return found;
}

static struct image load(const char *path)
{
    struct image i;
    assert_ok(image_load(&i, path));
    return i;
}

/* Greatest and mean difference of two pictures. */
static double worst(const struct image *a, const struct image *b, double *mean)
{
    double most = 0, sum = 0;
    size_t n = (size_t)a->width * a->height * a->channels;
    assert_int_equal(a->width, b->width);
    assert_int_equal(a->height, b->height);
    assert_int_equal(a->channels, b->channels);
    for (size_t i = 0; i < n; i++) {
        double d = fabs(a->data[i] - b->data[i]);
        most = fmax(most, d);
        sum += d;
    }
    *mean = sum / (double)n;
    return most;
}

static void npy_is_the_reference_picture(void **state)
{
    (void)state;
    static const char *const files[3][2] = {
        {"color", "rgb"}, {"alpha", "alpha"}, {"depth", "depth_ed"}};
    double mean;
    for (int k = 0; k < 3; k++) {
        char name[64];
        snprintf(name, sizeof name, "front_gsplat_classic/%s.npy", files[k][1]);
        struct image want = load(case_file(name));
        TEST_RUNS("render %s -c %s --camera front --mode classic --aov %s -o %s", case_file("scene.ply"),
             case_file("cameras.json"), files[k][0], test_tmp_path("a.npy"));
        struct image got = load(test_tmp_path("a.npy"));
        double most = worst(&got, &want, &mean);
        if (most > 2e-2 || mean > 2e-5)
            fail_msg("%s: max %g mean %g", files[k][0], most, mean);
        image_finish(&got);
        image_finish(&want);
    }
}

static void png_is_the_rounded_array(void **state)
{
    (void)state;
    double mean;
    TEST_RUNS("render %s -c %s --camera inside --exact -o %s", case_file("scene.ply"),
         case_file("cameras.json"), test_tmp_path("b.png"));
    TEST_RUNS("render %s -c %s --camera inside -o %s", case_file("scene.ply"), case_file("cameras.json"),
         test_tmp_path("b.npy"));
    struct image png = load(test_tmp_path("b.png")), npy = load(test_tmp_path("b.npy"));
    for (size_t i = 0; i < (size_t)npy.width * npy.height * 3; i++)
        npy.data[i] = fminf(fmaxf(npy.data[i], 0), 1);
    assert_true(worst(&png, &npy, &mean) <= 0.51 / 255);
    image_finish(&png);
    image_finish(&npy);
}

static void sequences_folders_and_patterns(void **state)
{
    (void)state;
    TEST_RUNS("render %s -c %s -o %s/", case_file("scene.ply"), case_file("cameras.json"),
         test_tmp_path("views"));
    assert_true(fv_exists(test_tmp_path("views/front.png")));
    assert_true(fv_exists(test_tmp_path("views/inside.png")));
    assert_true(fv_exists(test_tmp_path("views/offcentre.png")));
    TEST_RUNS("render %s -n 3 -s 31x17 -o %s", case_file("scene.ply"), test_tmp_path("f_%02d.png"));
    struct image i = load(test_tmp_path("f_02.png"));
    assert_int_equal(i.width, 31);
    assert_int_equal(i.height, 17);
    image_finish(&i);
    assert_false(fv_exists(test_tmp_path("f_03.png")));
}

static void options_change_the_picture(void **state)
{
    (void)state;
    double mean;
    char base[600], other[600]; /* more paths are asked for than the helper keeps */
    snprintf(base, sizeof base, "%s", test_tmp_path("base.png"));
    snprintf(other, sizeof other, "%s", test_tmp_path("other.png"));
    static const char *const options[] = {"--bg ff0000",     "--splat-scale 0.5",
                                          "--sh 0",          "--mode antialiased",
                                          "--supersample 2", "--crop 0,-9,-9,9,9,9"};
    TEST_RUNS("render %s -c %s -o %s", case_file("scene.ply"), case_file("cameras.json"), base);
    struct image a = load(base);
    for (size_t k = 0; k < sizeof options / sizeof *options; k++) {
        TEST_RUNS("render %s -c %s -o %s %s", case_file("scene.ply"), case_file("cameras.json"), other,
             options[k]);
        struct image b = load(other);
        if (worst(&a, &b, &mean) < 0.01)
            fail_msg("%s changes nothing", options[k]);
        image_finish(&b);
    }
    TEST_RUNS("render %s -c %s -o %s --stereo sbs", case_file("scene.ply"), case_file("cameras.json"),
         other);
    struct image b = load(other);
    assert_int_equal(b.width, 2 * a.width);
    image_finish(&a);
    image_finish(&b);
}

/* The same frames as PNG and as video: what the encoder, the colour conversion and the tags do
 * together must be small. */
static void video_shows_the_pictures(void **state)
{
    (void)state;
    static const char *const kinds[][2] = {
        {"v.mp4", "--crf 10"},
        {"v444.mkv", "--crf 10 --pix-fmt yuv444p"},
        {"v10.mkv", "--crf 10 --pix-fmt yuv420p10le --codec hevc"}};
    TEST_RUNS("render %s -n 6 -s 160x96 -o %s/", case_file("scene.ply"), test_tmp_path("v"));
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        char *out;
        TEST_RUNS("render %s -n 6 -s 160x96 -o %s %s", case_file("scene.ply"),
             test_tmp_path(kinds[k][0]), kinds[k][1]);
        if (test_fovea(&out, "compare %s %s --min-psnr %d", test_tmp_path("v"),
                       test_tmp_path(kinds[k][0]), k == 1 ? 40 : 34))
            fail_msg("%s: %s", kinds[k][0], out);
        free(out);
        TEST_RUNS("info %s", test_tmp_path(kinds[k][0]));
    }
    char *out;
    assert_int_equal(test_fovea(&out, "info --json %s", test_tmp_path("v.mp4")), 0);
    assert_non_null(strstr(out, "\"frames\":\t6"));
    assert_non_null(strstr(out, "\"scene\":\t\"scene.ply\""));
    assert_non_null(strstr(out, "\"crf\":\t10"));
    assert_non_null(strstr(out, "\"matrix\":\t\"bt709\""));
    free(out);
}

static void streams_go_into_a_pipe(void **state)
{
    (void)state;
    char command[2048];
    snprintf(command, sizeof command,
             "'%s' render %s -n 4 -s 64x48 -o - -f y4m --pix-fmt yuv444p | ffmpeg -v error -y "
             "-colorspace bt709 -i - "
             "-c:v ffv1 %s",
             FOVEA_BINARY, case_file("scene.ply"), test_tmp_path("pipe.mkv"));
    if (system("command -v ffmpeg >/dev/null") == 0) {
        assert_int_equal(system(command), 0);
        TEST_RUNS("render %s -n 4 -s 64x48 -o %s/", case_file("scene.ply"), test_tmp_path("p"));
        TEST_RUNS("compare %s %s --min-psnr 44", test_tmp_path("p"), test_tmp_path("pipe.mkv"));
    }
    snprintf(command, sizeof command,
             "test $('%s' render %s -n 4 -s 63x47 -o - -f raw --pix-fmt rgba | wc -c) = %d",
             FOVEA_BINARY, case_file("scene.ply"), 4 * 63 * 47 * 4);
    assert_int_equal(system(command), 0);
    /* a reader that goes away is an error, not a crash */
    snprintf(command, sizeof command,
             "('%s' render %s -n 50 -s 256x256 -o - -f y4m; echo $? >%s) 2>%s | head -c 100 "
             ">/dev/null",
             FOVEA_BINARY, case_file("scene.ply"), test_tmp_path("status"), test_tmp_path("err"));
    assert_int_equal(system(command), 0);
    char *status = test_read_file(test_tmp_path("status"), NULL);
    assert_string_equal(status, "1\n");
    free(status);
}

/* ---- Ctrl-C ---- */

static int count_frames(const char *path)
{
    struct video_in *in;
    int n = 0, rc;
    assert_ok(video_in_open(&in, path));
    const struct video_info *i = video_in_info(in);
    float *rgb = malloc((size_t)i->width * i->height * 3 * sizeof *rgb);
    while ((rc = video_in_read(in, rgb)) == 1)
        n++;
    assert_ok(rc);
    free(rgb);
    video_in_close(&in);
    return n;
}

static char **long_render(const char *out)
{
    static char scene[600], target[600];
    static char *argv[] = {"fovea",  "render", scene,     "-o",         target, "-n",
                           "100000", "-s",     "160x120", "--progress", "json", NULL};
    snprintf(scene, sizeof scene, "%s", case_file("scene.ply"));
    snprintf(target, sizeof target, "%s", out);
    return argv;
}

static void ctrl_c_leaves_a_playable_file(void **state)
{
    (void)state;
    char last[1024];
    const char *path = test_tmp_path("stop.mp4");
    struct test_child c = test_child_start(long_render(path));
    int status = test_interrupt(&c, "rendering", 20, last, sizeof last);
    assert_int_equal(status, 130);
    assert_non_null(strstr(last, "fovea: render: cancelled; the first "));
    assert_non_null(strstr(last, "stop.mp4"));
    assert_in_range(count_frames(path), 20, 99999);
}

static void ctrl_c_keeps_the_old_file(void **state)
{
    (void)state;
    char last[1024];
    size_t size;
    const char *path = test_tmp_path("kept.mp4");
    test_write_file(path, "precious", 8);
    struct test_child c = test_child_start(long_render(path));
    assert_int_equal(test_interrupt(&c, "rendering", 10, last, sizeof last), 130);
    assert_non_null(strstr(last, "kept.partial.mp4"));
    assert_in_range(count_frames(test_tmp_path("kept.partial.mp4")), 10, 99999);
    free(test_read_file(path, &size));
    assert_int_equal(size, 8);
}

static void failures_keep_the_old_file(void **state)
{
    (void)state;
    size_t size;
    char *out;
    const char *path = test_tmp_path("old.mp4");
    static const char *const wrong[] = {"--preset nonsense", "-c none.json", "--device nosuch",
                                        "--codec vp9 --preset 99"};
    test_write_file(path, "precious", 8);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int rc =
            test_fovea(&out, "render %s -n 4 -o %s %s", case_file("scene.ply"), path, wrong[i]);
        if (rc != 1)
            fail_msg("%s: status %d: %s", wrong[i], rc, out);
        free(out);
        free(test_read_file(path, &size));
        assert_int_equal(size, 8);
    }
    assert_int_equal(
        test_fovea(&out, "render %s -n 4 -s 64x64 -o %s", case_file("scene.ply"), path), 0);
    free(out);
    assert_int_equal(count_frames(path), 4);
}

static void full_disk_is_said_and_leaves_what_plays(void **state)
{
    (void)state;
    const char *dir = test_tmp_path("disk");
    char *out = NULL;
    mkdir(dir, 0777);
    if (mount("tmpfs", dir, "tmpfs", 0, "size=2m") < 0) {
        print_message("no right to mount a small disk: skipped\n");
        skip();
    }
    int video = test_fovea(&out, "render %s -n 2000 -s 256x256 --crf 0 -o %s/a.mp4",
                           case_file("scene.ply"), dir);
    int frames =
        fv_exists(test_tmp_path("disk/a.mp4")) ? count_frames(test_tmp_path("disk/a.mp4")) : 0;
    bool said = strstr(out, "disk is full") && strstr(out, "the first ");
    free(out);
    int picture = test_fovea(&out, "render %s -s 2000x2000 --aov color -o %s/b.npy",
                             case_file("scene.ply"), dir);
    bool said_too = strstr(out, "disk is full") != NULL;
    bool none = !fv_exists(test_tmp_path("disk/b.npy"));
    umount(dir);
    rmdir(dir);
    assert_int_equal(video, 1);
    assert_true(said);
    assert_in_range(frames, 5, 1999);
    assert_int_equal(picture, 1);
    if (!said_too)
        fail_msg("%s", out);
    free(out);
    assert_true(none);
}

/* ---- check, bench ---- */

static void check_holds_and_finds_a_change(void **state)
{
    (void)state;
    char command[1200], *out;
    char dir[600];
    snprintf(dir, sizeof dir, "%s", case_file("scene.ply"));
    *strrchr(dir, '/') = 0;
    TEST_RUNS("check --arch splat %s", dir);
    snprintf(command, sizeof command, "cp -r %s %s && chmod -R u+w %s", dir,
             test_tmp_path("changed"), test_tmp_path("changed"));
    assert_int_equal(system(command), 0);
    const char *path = test_tmp_path("changed/front_gsplat_classic/rgb.npy");
    size_t size;
    char *data = test_read_file(path, &size);
    float value = 0.9f;
    memcpy(data + 128 + 4 * 5000, &value, 4);
    test_write_file(path, data, size);
    free(data);
    assert_int_equal(test_fovea(&out, "check --arch splat %s", test_tmp_path("changed")), 1);
    char *fail = strstr(out, "FAIL");
    assert_non_null(fail);
    assert_non_null(strstr(fail, "first [26][8]"));
    assert_non_null(strstr(out, "1 do not"));
    free(out);
}

static void bench_counts_and_info_estimates(void **state)
{
    (void)state;
    char *out;
    assert_int_equal(
        test_fovea(&out, "bench render %s -n 3 -s 320x180 --json", case_file("scene.ply")), 0);
    cJSON *list = cJSON_Parse(out), *r = cJSON_GetArrayItem(list, 0);
    assert_non_null(r);
    assert_near(cJSON_GetObjectItem(r, "gaussians")->valuedouble, 50, 0);
    assert_near(cJSON_GetObjectItem(r, "frames")->valuedouble, 3, 0);
    assert_true(cJSON_GetObjectItem(r, "wall_ms_min")->valuedouble > 0);
    assert_true(cJSON_GetObjectItem(r, "wall_ms_p95")->valuedouble >=
                cJSON_GetObjectItem(r, "wall_ms_median")->valuedouble);
    assert_true(cJSON_GetObjectItem(r, "blend_cpu_ms")->valuedouble >= 0);
    double used = cJSON_GetObjectItem(r, "working_bytes")->valuedouble;
    double foreseen = cJSON_GetObjectItem(r, "working_bytes_foreseen")->valuedouble;
    assert_near(foreseen, used, 0.1 * used);
    cJSON_Delete(list);
    free(out);
    assert_int_equal(test_fovea(&out, "info --json -s 320x180 %s", case_file("scene.ply")), 0);
    cJSON *info = cJSON_Parse(out);
    double said = cJSON_GetObjectItem(info, "working_bytes")->valuedouble;
    cJSON_Delete(info);
    free(out);
    assert_near(said, used, 0.1 * used);
    assert_int_equal(test_fovea(&out, "info -s 100000x90 %s", case_file("scene.ply")), 1);
    assert_non_null(strstr(out, "100000x90"));
    free(out);
    assert_int_equal(test_fovea(&out, "bench render %s %s -n 1 -s 64x64 --csv",
                                case_file("scene.ply"), case_file("scene.ply")),
                     0);
    size_t rows = 0, commas[3] = {0};
    for (char *c = out; *c; c++) {
        if (*c == '\n')
            rows++;
        else if (*c == ',' && rows < 3)
            commas[rows]++;
    }
    assert_int_equal(rows, 3);
    assert_int_equal(commas[1], commas[2]);
    free(out);
}

static int need_a_device(void **state)
{
    (void)state;
    char *out;
    bool there = test_fovea(&out, "devices") == 0;
    free(out);
    if (!there)
        exit(77);
    return 0;
}

/* fovea with a Vulkan loader that finds no driver. Of the loader's two variables the first wins. */
static int without_drivers(char **out, const char *command)
{
    static const char *const names[] = {"VK_DRIVER_FILES", "VK_ICD_FILENAMES"};
    char *kept[2];
    for (int i = 0; i < 2; i++) {
        const char *value = getenv(names[i]);
        kept[i] = value ? strdup(value) : NULL;
        setenv(names[i], "/nonexistent.json", 1);
    }
    int rc = test_fovea(out, "%s %s", command, case_file("scene.ply"));
    for (int i = 0; i < 2; i++) {
        if (kept[i])
            setenv(names[i], kept[i], 1);
        else
            unsetenv(names[i]);
        free(kept[i]);
    }
    return rc;
}

/* What a scene is can be told on a machine that cannot draw it. */
static void info_needs_no_device(void **state)
{
    (void)state;
    char *out;
    assert_int_equal(test_fovea(&out, "info --device nosuch %s", case_file("scene.ply")), 1);
    assert_non_null(strstr(out, "nosuch"));
    free(out);
    int rc = without_drivers(&out, "info --json");
    assert_int_equal(rc, 0);
    cJSON *info = cJSON_Parse(strchr(out, '{'));
    assert_non_null(info);
    assert_true(cJSON_IsString(cJSON_GetObjectItem(info, "device_error")));
    assert_non_null(cJSON_GetObjectItem(info, "device_bytes"));
    assert_null(cJSON_GetObjectItem(info, "working_bytes"));
    cJSON_Delete(info);
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(npy_is_the_reference_picture),
        cmocka_unit_test(png_is_the_rounded_array),
        cmocka_unit_test(sequences_folders_and_patterns),
        cmocka_unit_test(options_change_the_picture),
        cmocka_unit_test(video_shows_the_pictures),
        cmocka_unit_test(streams_go_into_a_pipe),
        cmocka_unit_test(ctrl_c_leaves_a_playable_file),
        cmocka_unit_test(ctrl_c_keeps_the_old_file),
        cmocka_unit_test(failures_keep_the_old_file),
        cmocka_unit_test(full_disk_is_said_and_leaves_what_plays),
        cmocka_unit_test(check_holds_and_finds_a_change),
        cmocka_unit_test(bench_counts_and_info_estimates),
        cmocka_unit_test(info_needs_no_device),
    };
    return cmocka_run_group_tests(tests, need_a_device, NULL);
}
