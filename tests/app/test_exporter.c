/* Exporting a path through the real binary: app/exporter.h. */
#include "app/exporter.h"
#include "app/image_io.h"
#include "support/test.h"
#include "vk/base/thread.h"

#include <sys/stat.h>
#include <unistd.h>

static struct gs_cameras path_of(double seconds)
{
    struct gs_cameras list, path = {.is_path = true, .fps = 10};
    assert_ok(
        gs_cameras_load(&list, test_source("tests/golden/01_forward/tiny50_sh3/cameras.json"), NULL));
    path.items = calloc(2, sizeof *path.items);
    path.count = 2;
    path.items[0] = path.items[1] = list.items[0];
    path.items[1].view[3] += 0.1;
    path.items[1].time = seconds;
    gs_cameras_finish(&list);
    return path;
}

static struct exporter_opts options(const struct gs_cameras *path, const char *scene,
                                    const char *output)
{
    return (struct exporter_opts){.scene = scene,
                                  .output = output,
                                  .device = getenv("FOVEA_DEVICE"),
                                  .program = FOVEA_BINARY,
                                  .path = path,
                                  .width = 64,
                                  .height = 48,
                                  .fps = 10,
                                  .render = {.mode = GS_MODE_CLASSIC,
                                             .sh_bands = 2,
                                             .has_bg = true,
                                             .bg = {0.1f, 0.2f, 0.3f},
                                             .splat_scale = 0.9f,
                                             .has_crop = true,
                                             .crop_min = {-9, -9, -9},
                                             .crop_max = {9, 9, 9}}};
}

static const char *scene(void)
{
    return test_source("tests/golden/01_forward/tiny50_sh3/scene.ply");
}

/* Until it is over, or has drawn `frames` (0: never mind). */
static int wait_for(struct exporter *e, double frames)
{
    double until = fv_now() + 120;
    int rc;
    while ((rc = exporter_poll(e)) == 0 && fv_now() < until && !(frames > 0 && e->done >= frames))
        usleep(5000);
    return rc;
}

static off_t size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? st.st_size : -1;
}

static void writes_a_video_and_counts_its_frames(void **state)
{
    (void)state;
    const char *out = test_tmp_path("a.mp4");
    struct gs_cameras path = path_of(1);
    struct exporter_opts o = options(&path, scene(), out);
    struct exporter *e;
    assert_ok(exporter_start(&e, &o));
    int rc = wait_for(e, 0);
    if (rc != 1)
        fail_msg("%d: %s", rc, fv_error());
    assert_true(e->total >= 10 && e->done == e->total);
    assert_true(size_of(out) > 500);
    assert_int_equal(exporter_poll(e), 1); /* stays so */
    exporter_destroy(&e);
    assert_null(e);
    gs_cameras_finish(&path);
}

/* Numbered pictures of a turn for two eyes, and the scene itself, as the panel asks for them. */
static void other_kinds_are_those_of_their_commands(void **state)
{
    (void)state;
    static const struct {
        enum exporter_kind kind;
        const char *output, *wanted;
    } rows[] = {{EXPORT_PICTURES, "turn_%02d.png", "turn_01.png"}, {EXPORT_SCENE, "other.spz", "other.spz"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct gs_cameras none = {.count = 0};
        struct exporter_opts o = options(&none, scene(), test_tmp_path(rows[i].output));
        o.kind = rows[i].kind;
        o.path = NULL;
        o.seconds = 0.2;
        o.stereo = true;
        struct exporter *e;
        assert_ok(exporter_start(&e, &o));
        int rc = wait_for(e, 0);
        if (rc != 1)
            fail_msg("%d: %s", rc, fv_error());
        exporter_destroy(&e);
        assert_true(size_of(test_tmp_path(rows[i].wanted)) > 100);
    }
    struct image both;
    assert_ok(image_load(&both, test_tmp_path("turn_01.png")));
    assert_true(both.width == 128 && both.height == 48);
    image_finish(&both);
}

static void cancelling_leaves_a_playable_file(void **state)
{
    (void)state;
    const char *out = test_tmp_path("cut.mp4");
    struct gs_cameras path = path_of(100000);
    struct exporter_opts o = options(&path, scene(), out);
    struct exporter *e;
    assert_ok(exporter_start(&e, &o));
    assert_int_equal(wait_for(e, 3), 0);
    exporter_cancel(e);
    assert_int_equal(wait_for(e, 0), FV_ECANCELLED);
    assert_true(strstr(fv_error(), "cancelled") != NULL);
    exporter_destroy(&e);
    gs_cameras_finish(&path);

    char command[600];
    snprintf(command, sizeof command,
             "ffprobe -v error -count_frames -show_entries stream=nb_read_frames -of csv=p=0 '%s'",
             out);
    FILE *p = popen(command, "r");
    int frames = 0;
    assert_int_equal(fscanf(p, "%d", &frames), 1);
    pclose(p);
    assert_true(frames >= 1);
}

static void destroying_ends_a_running_export(void **state)
{
    (void)state;
    struct gs_cameras path = path_of(100000);
    struct exporter_opts o = options(&path, scene(), test_tmp_path("gone.mp4"));
    struct exporter *e;
    assert_ok(exporter_start(&e, &o));
    double start = fv_now();
    exporter_destroy(&e);
    assert_true(fv_now() - start < 10);
    gs_cameras_finish(&path);
}

static void failures_come_with_the_sentence_of_the_command(void **state)
{
    (void)state;
    struct gs_cameras path = path_of(1), empty = {.is_path = true};
    struct exporter *e;
    struct exporter_opts o = options(&path, test_tmp_path("absent.ply"), test_tmp_path("b.mp4"));
    assert_ok(exporter_start(&e, &o));
    assert_int_equal(wait_for(e, 0), FV_EIO);
    assert_true(strstr(fv_error(), "absent.ply") != NULL);
    assert_true(strncmp(fv_error(), "fovea", 5) != 0);
    exporter_destroy(&e);

    o = options(&empty, scene(), test_tmp_path("b.mp4"));
    assert_fails(exporter_start(&e, &o), FV_EINVALID, "no keys");
    assert_null(e);
    o = options(&path, scene(), test_tmp_path("b.mp4"));
    o.program = "/nonexistent/fovea";
    assert_fails(exporter_start(&e, &o), FV_EIO, "cannot start");
    assert_null(e);
    gs_cameras_finish(&path);
}

static struct image picture(const char *pattern, int k)
{
    char name[64];
    struct image i;
    snprintf(name, sizeof name, pattern, k);
    assert_ok(image_load(&i, test_tmp_path(name)));
    return i;
}

static double mean_difference(const struct image *a, const struct image *b)
{
    size_t n = (size_t)a->width * a->height * a->channels;
    double sum = 0;
    assert_true(a->width == b->width && a->height == b->height && a->channels == b->channels);
    for (size_t i = 0; i < n; i++)
        sum += fabs((double)a->data[i] - (double)b->data[i]);
    return sum / (double)n;
}

/* A stream moves on while the camera does: picture k is its frame k, as `render` draws it. */
static void a_stream_moves_in_its_video(void **state)
{
    (void)state;
    enum { FRAMES = 6 };
    char dir[256], stream[256], out[256], cameras[512];
    snprintf(dir, sizeof dir, "%s", test_tmp_path("frames"));
    snprintf(stream, sizeof stream, "%s", test_tmp_path("talk.fvv"));
    snprintf(out, sizeof out, "%s", test_tmp_path("s%d.npy"));
    snprintf(cameras, sizeof cameras, "%s",
             test_source("tests/golden/01_forward/tiny50_sh3/cameras.json"));
    assert_int_equal(mkdir(dir, 0777), 0);
    for (int k = 0; k < FRAMES; k++)
        TEST_RUNS("convert '%s' -o '%s/%d.ply' --rotate y:%d -q", scene(), dir, k, 5 * k);
    TEST_RUNS("encode '%s' -o '%s' --gop 3 --fps 10 -q", dir, stream);
    TEST_RUNS("render '%s' -o '%s' -c '%s' --camera 0 --frames %d --size 64x48 --mode classic --sh 1 "
         "--bg 0.1,0.2,0.3 --splat-scale 0.9 -q",
         stream, test_tmp_path("r%d.npy"), cameras, FRAMES);

    struct gs_cameras path = path_of((FRAMES - 1) / 10.);
    path.items[1].view[3] = path.items[0].view[3]; /* the camera stands still */
    struct exporter_opts o = options(&path, stream, out);
    o.seconds = FRAMES / 10.;
    struct exporter *e;
    assert_ok(exporter_start(&e, &o));
    int rc = wait_for(e, 0);
    if (rc != 1)
        fail_msg("%d: %s", rc, fv_error());
    assert_int_equal((int)e->total, FRAMES);
    exporter_destroy(&e);
    for (int k = 0; k < FRAMES; k++) {
        struct image is = picture("s%d.npy", k), wanted = picture("r%d.npy", k);
        struct image other = picture("r%d.npy", k ? k - 1 : 1);
        double right = mean_difference(&is, &wanted), wrong = mean_difference(&is, &other);
        if (right > 1e-3 || wrong < 10 * right || wrong < 1e-3)
            fail_msg("picture %d: %g to its frame, %g to another", k, right, wrong);
        image_finish(&is);
        image_finish(&wanted);
        image_finish(&other);
    }
    gs_cameras_finish(&path);
}

int main(void)
{
    test_device(); /* skips when there is none */
    test_device_done();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_a_video_and_counts_its_frames),
        cmocka_unit_test(other_kinds_are_those_of_their_commands),
        cmocka_unit_test(a_stream_moves_in_its_video),
        cmocka_unit_test(cancelling_leaves_a_playable_file),
        cmocka_unit_test(destroying_ends_a_running_export),
        cmocka_unit_test(failures_come_with_the_sentence_of_the_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
