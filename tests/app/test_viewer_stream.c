/* The real viewer with a stream: without a window, and in one on an X server of its own with real
 * input. What it shows of frame k is what `fovea render` draws of it. Skipped where Xvfb or xdotool are not installed. */
#include "gs/gs.h"
#include "support/test.h"
#include "support/xserver.h"
#include "viewer_rig.h"
#include "vk/base/file.h"
#include "vk/base/thread.h"

#include <unistd.h>

enum { FRAMES = 9, GROUP = 3 };
static char stream[256], damaged[256];
static struct image frames[FRAMES]; /* as `render` draws them */

static const char *cameras(void)
{
    return test_source("tests/golden/01_forward/tiny50_sh3/cameras.json");
}

/* The same with a bit turned round in the second frame of the second group. */
static void write_damaged(void)
{
    struct gs_stream *s;
    size_t size;
    assert_ok(gs_stream_open(&s, stream));
    uint64_t at = gs_stream_info(s)->frame[GROUP + 1].offset + 14;
    gs_stream_close(&s);
    uint8_t *bytes = test_read_file(stream, &size);
    bytes[at] ^= 16;
    snprintf(damaged, sizeof damaged, "%s", test_tmp_path("damaged.fvv"));
    test_write_file(damaged, bytes, size);
    free(bytes);
}

/* Turns faster than it would be mistaken for another frame. */
static int write_stream(void **state)
{
    (void)state;
    const char *scene = test_source("tests/golden/01_forward/tiny50_sh3/scene.ply");
    char name[64];
    snprintf(stream, sizeof stream, "%s", test_tmp_path("talk.fvv"));
    make_stream("talk.fvv", scene, FRAMES, GROUP, 2, 3);
    TEST_RUNS("render '%s' -o '%s' -c '%s' --camera 0 --frames %d --size %dx%d -q", stream,
         test_tmp_path("r%d.png"), cameras(), FRAMES, WIDTH, HEIGHT);
    for (int k = 0; k < FRAMES; k++) {
        snprintf(name, sizeof name, "r%d.png", k);
        frames[k] = load(test_tmp_path(name));
        assert_true(!k || share(&frames[k], &frames[k - 1]) > 0.02);
    }
    write_damaged();
    return 0;
}

static int finish(void **state)
{
    (void)state;
    for (int k = 0; k < FRAMES; k++)
        image_finish(&frames[k]);
    return 0;
}

/* --- without a window --- */

static void headless_draws_the_frame_at_a_time(void **state)
{
    (void)state;
    static const struct {
        double at;
        int frame;
    } rows[] = {{0, 0}, {2, 4}, {3.9, 7}, {100, FRAMES - 1}};
    char out[256];
    snprintf(out, sizeof out, "%s", test_tmp_path("view.png"));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        TEST_RUNS("view '%s' -c '%s' --camera 0 --at %g --headless --screenshot '%s' --size %dx%d",
             stream, cameras(), rows[i].at, out, WIDTH, HEIGHT);
        struct image now = load(out);
        if (largest(&now, &frames[rows[i].frame]) > 0)
            fail_msg("at %g s it is not frame %d", rows[i].at, rows[i].frame);
        image_finish(&now);
    }
    char *text;
    int status = test_fovea(&text, "view '%s' --headless --at 2.5 --screenshot '%s'", damaged, out);
    if (status != 1 || !strstr(text, "frame 4"))
        fail_msg("status %d: %s", status, text);
    free(text);
    /* beside another it ends, too */
    status = test_fovea(&text, "view '%s' --headless --at 2.5 --compare '%s' --screenshot '%s'", stream, damaged, out);
    if (status != 1 || !strstr(text, "frame 4"))
        fail_msg("status %d: %s", status, text);
    free(text);
    status = test_fovea(&text, "view '%s' --speed 8", stream);
    if (status != 2 || !strstr(text, "--speed"))
        fail_msg("status %d: %s", status, text);
    free(text);
}

/* --- in a window --- */

static int start_server(void **state)
{
    (void)state;
    return xserver_start(800, 600);
}

static int stop_server(void **state)
{
    windows_end(state);
    return finish(state);
}

/* At the first camera, panels hidden, the mouse in the middle; shows frame k to begin with or, where it
 * plays, soon. */
static struct viewer open_at(const char *file, const char *at, int k, const char *more)
{
    const char *extra[] = {"--cameras", cameras(), "--at", at, more, NULL};
    struct viewer v = start(file, extra);
    xserver_input("mousemove 320 200");
    wait_for_scene(&frames[k]);
    xserver_input("key Tab");
    shows(&frames[k], "where it was opened");
    return v;
}

static void keys_go_from_frame_to_frame(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        int frame;
    } rows[] = {{"key Right", 3},       {"key period", 4}, {"key Left", 3},
                {"key comma", 2},       {"key End", 8},    {"key Right", 0},
                {"key Left", 8},        {"key Home", 0},   {"key Right Right Right Right", 4}};
    struct viewer v = open_at(stream, "1", 2, "--paused");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        xserver_input(rows[i].key);
        shows(&frames[rows[i].frame], rows[i].key);
    }
    const char *saved = test_tmp_path("talk-001.png"); /* the frame that is shown */
    remove(saved);
    xserver_input("key F12");
    for (double until = fv_now() + 60; !fv_exists(saved) && fv_now() < until;)
        usleep(20000);
    struct image shot = load(saved);
    assert_true(largest(&shot, &frames[4]) == 0);
    image_finish(&shot);
    assert_int_equal(quit(&v), 0);
}

static void the_timeline_is_clicked_and_dragged(void **state)
{
    (void)state;
    char input[200];
    struct viewer v = open_at(stream, "0", 0, "--paused");
    for (int i = 0; i < 3; i++) {
        int k = (int[]){6, 1, 8}[i], x = 20 + (2 * k + 1) * 600 / (2 * FRAMES);
        struct image before = grab(WIDTH, HEIGHT);
        xserver_input("key Tab");
        shows_not(&before, 0.05, "the panels");
        if (i < 2)
            snprintf(input, sizeof input, "mousemove %d 440 click 1 mousemove 320 200 key Tab", x);
        else /* pressed at one place, let go at another */
            snprintf(input, sizeof input,
                     "mousemove 100 440 sleep 0.7 mousedown 1 sleep 0.5 mousemove 300 440 sleep 0.5 mousemove "
                     "%d 440 sleep 1.5 mouseup 1 sleep 0.5 mousemove 320 200 key Tab",
                     x);
        xserver_input(input);
        shows(&frames[k], input);
        image_finish(&before);
    }
    assert_int_equal(quit(&v), 0);
}

/* The levels a stream has, from the list beside its speed. */
static void a_quality_is_chosen(void **state)
{
    (void)state;
    char out[256];
    snprintf(out, sizeof out, "%s", test_tmp_path("low.png"));
    TEST_RUNS("view '%s' -c '%s' --camera 0 --at 2 --sh 0 --headless --screenshot '%s' --size %dx%d", stream, cameras(),
              out, WIDTH, HEIGHT);
    struct image low = load(out);
    assert_true(share(&low, &frames[4]) > 0.02);
    struct viewer v = open_at(stream, "2", 4, "--paused");
    static const char *const names[] = {"SH 0", "All"};
    for (int i = 0; i < 2; i++) {
        xserver_input("key Tab");
        click("stream/##quality");
        click(names[i]);
        xserver_input("mousemove 320 200 sleep 0.3 key Tab");
        shows(i ? &frames[4] : &low, names[i]);
    }
    image_finish(&low);
    assert_int_equal(quit(&v), 0);
}

static void plays_pauses_and_ends(void **state)
{
    (void)state;
    struct viewer v = open_at(stream, "2", FRAMES - 1, "--no-loop");
    usleep(800000);
    shows(&frames[FRAMES - 1], "still there");
    xserver_input("key minus minus key space"); /* from its start, two seconds a frame */
    shows(&frames[1], "on its way");
    xserver_input("key space");
    usleep(500000); /* until the key has come */
    struct image stopped = grab(WIDTH, HEIGHT);
    usleep(2200000);
    shows(&stopped, "paused");
    image_finish(&stopped);
    xserver_input("key l key equal equal key space"); /* again and again */
    shows(&frames[7], "in a loop");
    shows(&frames[1], "in its next round");
    assert_int_equal(quit(&v), 0);
}

static void damage_is_told_and_passed(void **state)
{
    (void)state;
    struct viewer v = open_at(damaged, "1.5", 3, "--paused");
    xserver_input("key Right"); /* no frame, so the picture stays */
    usleep(500000);
    shows(&frames[3], "at the damage");
    xserver_input("key Tab"); /* told above the timeline */
    shows_not(&frames[3], 0.05, "the panels");
    struct image told = grab_still(WIDTH, HEIGHT); /* the panels settle first */
    xserver_input("key Left");
    shows_not(&told, 0.01, "the sentence gone");
    xserver_input("key Right key Tab key space key l");
    shows(&frames[FRAMES - 1], "what comes after it");
    image_finish(&told);
    assert_int_equal(quit(&v), 0);
}

int main(void)
{
    test_device(); /* skips when there is none */
    test_device_done();
    const struct CMUnitTest plain[] = {
        cmocka_unit_test(headless_draws_the_frame_at_a_time),
    };
    const struct CMUnitTest windows[] = {
        cmocka_unit_test(keys_go_from_frame_to_frame),
        cmocka_unit_test(the_timeline_is_clicked_and_dragged),
        cmocka_unit_test(a_quality_is_chosen),
        cmocka_unit_test(plays_pauses_and_ends),
        cmocka_unit_test(damage_is_told_and_passed),
    };
    int failed = cmocka_run_group_tests_name("without a window", plain, write_stream, NULL);
    if (failed)
        return failed;
    return RUN_IN_WINDOWS(windows, start_server, stop_server);
}
