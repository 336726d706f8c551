/* Two files in one view, and two eyes: without a window, and in one on an X server of its own with real input. Each
 * side is what `fovea render` draws of that file. Skipped where Xvfb or xdotool are not installed. */
#include "support/test.h"
#include "support/xserver.h"
#include "viewer_rig.h"
#include "vk/base/thread.h"

#include <unistd.h>

enum { FRAMES = 5, SHORTER = 3, HALF = WIDTH / 2, NEAR = 12 /* columns that the line and its grip may cover */ };
static char turned[256];
static struct image first, second;               /* of the two scenes, WIDTH wide */
static struct image of_a[FRAMES], of_b[SHORTER]; /* frames of two streams */

static const char *scene(void)
{
    return test_source("tests/golden/01_forward/tiny50_sh3/scene.ply");
}

static const char *cameras(void)
{
    return test_source("tests/golden/01_forward/tiny50_sh3/cameras.json");
}

static struct image rendered(const char *file, int width, const char *more)
{
    const char *out = test_tmp_path("rendered.png");
    TEST_RUNS("render '%s' -o '%s' -c '%s' --camera 0 --size %dx%d -q %s", file, out, cameras(), width, HEIGHT, more);
    return load(out);
}

static int make_scenes(void **state)
{
    (void)state;
    snprintf(turned, sizeof turned, "%s", test_tmp_path("turned.ply"));
    TEST_RUNS("convert '%s' -o '%s' --rotate y:8 -q", scene(), turned);
    first = rendered(scene(), WIDTH, "");
    second = rendered(turned, WIDTH, "");
    assert_true(share(&first, &second) > 0.1);
    return 0;
}

static int finish(void **state)
{
    for (int k = 0; k < FRAMES; k++)
        image_finish(&of_a[k]);
    for (int k = 0; k < SHORTER; k++)
        image_finish(&of_b[k]);
    image_finish(&first);
    image_finish(&second);
    return windows_end(state);
}

/* --- without a window --- */

/* Largest difference of `width` columns of a from x on and of b from y on. */
static double columns(const struct image *a, int x, const struct image *b, int y, int width)
{
    double most = 0;
    for (int row = 0; row < HEIGHT; row++)
        for (int i = 0; i < width * 3; i++)
            most = fmax(most, fabs((double)a->data[(row * (int)a->width + x) * 3 + i] -
                                   b->data[(row * (int)b->width + y) * 3 + i]) * 255);
    return most;
}

static struct image viewed(const char *args)
{
    const char *out = test_tmp_path("viewed.png");
    TEST_RUNS("view '%s' -c '%s' --headless --screenshot '%s' -s %dx%d %s", scene(), cameras(), out, WIDTH, HEIGHT, args);
    struct image i = load(out);
    assert_int_equal(i.width, WIDTH);
    return i;
}

static void each_part_is_what_render_draws_of_its_file(void **state)
{
    (void)state;
    char args[400];
    struct image half[2] = {rendered(scene(), HALF, ""), rendered(turned, HALF, "")};
    struct image eyes = rendered(scene(), HALF, "--stereo sbs");
    snprintf(args, sizeof args, "--compare '%s'", turned);
    struct image line = viewed(args);
    snprintf(args, sizeof args, "--compare '%s' --compare-as halves", turned);
    struct image halves = viewed(args);
    snprintf(args, sizeof args, "--compare '%s' --compare-as difference", turned);
    struct image differs = viewed(args);
    snprintf(args, sizeof args, "--compare '%s' --compare-as difference", scene());
    struct image same = viewed(args);
    struct image stereo = viewed("--stereo sbs");

    assert_true(columns(&line, 0, &first, 0, HALF) <= 1);
    assert_true(columns(&line, HALF, &second, HALF, HALF) <= 1);
    assert_true(columns(&halves, 0, &half[0], 0, HALF) <= 1);
    assert_true(columns(&halves, HALF, &half[1], 0, HALF) <= 1);
    assert_true(largest(&stereo, &eyes) <= 1);
    assert_true(columns(&stereo, 0, &stereo, HALF, HALF) > 8);
    double off = 0; /* eightfold, at most white */
    for (int i = 0; i < WIDTH * HEIGHT * 3; i++) {
        double apart = fmin(8 * fabs((double)first.data[i] - second.data[i]) * 255, 255);
        off = fmax(off, fabs(apart - differs.data[i] * 255));
        assert_true(same.data[i] == 0);
    }
    assert_true(off <= 8); /* one step of either */
    struct image *all[] = {&half[0], &half[1], &eyes, &line, &halves, &differs, &same, &stereo};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        image_finish(all[i]);
}

static void rejects_what_cannot_be_compared(void **state)
{
    (void)state;
    const char *bad = test_tmp_path("bad.ply");
    test_write_file(bad, "ply\nformat", 10);
    TEST_FAILS(1, "absent.ply: no such file", "view '%s' --headless --compare absent.ply", scene());
    TEST_FAILS(1, "bad.ply", "view '%s' --headless --compare '%s'", scene(), bad);
    TEST_FAILS(2, "needs a scene", "view --compare '%s'", scene());
    TEST_FAILS(2, "give one of them", "view '%s' --compare '%s' --stereo sbs", scene(), turned);
}

/* --- in a window --- */

static int start_server(void **state)
{
    (void)state;
    return xserver_start(800, 600);
}

/* Opened from the panel, after a name that is none; the line is dragged, the sides exchanged. */
static void a_second_file_is_opened_and_the_line_dragged(void **state)
{
    (void)state;
    int box[4];
    const char *extra[] = {"--cameras", cameras(), NULL};
    struct viewer v = start(scene(), extra);
    wait_for_scene(&first);
    click("View"); /* room for the next one */
    click("Comparison");
    type_into("Second file", test_tmp_path("absent.ply"));
    click("Compare");
    wait_for_widget("Second file", box); /* still: the sentence below it is the answer */
    type_into("Second file", turned);
    xserver_input("key Return");
    wait_for_widget("window/##line", box);
    xserver_input("mousemove 500 300 sleep 0.2 key Tab");
    columns_show(&first, 0, HALF - NEAR, "at the left of the line");
    columns_show(&second, HALF + NEAR, WIDTH, "at the right of the line");
    xserver_input("mousemove 321 250 sleep 0.3 mousedown 1 sleep 0.2 mousemove 400 250 sleep 0.2 mousemove 480 250 "
                  "sleep 0.2 mouseup 1 sleep 0.2 mousemove 560 300");
    columns_show(&first, 0, 480 - NEAR, "at the left of the line that was dragged");
    columns_show(&second, 480 + NEAR, WIDTH, "at its right");
    xserver_input("key x");
    columns_show(&second, 0, 480 - NEAR, "exchanged, at the left");
    columns_show(&first, 480 + NEAR, WIDTH, "exchanged, at the right");
    struct image half = rendered(turned, HALF, "");
    xserver_input("key t");
    columns_show(&half, 0, HALF, "in halves, exchanged");
    image_finish(&half);
    xserver_input("key Tab");
    click("Stop comparing");
    wait_for_widget("Second file", box);
    xserver_input("mousemove 500 300 sleep 0.2 key Tab");
    shows(&first, "alone again");
    half = rendered(scene(), HALF, "--stereo sbs");
    xserver_input("key y");
    shows(&half, "for two eyes");
    image_finish(&half);
    assert_int_equal(quit(&v), 0);
}

static void render_frames(struct image *out, const char *file, int frames)
{
    char name[64];
    TEST_RUNS("render '%s' -o '%s' -c '%s' --camera 0 --frames %d --size %dx%d -q", file, test_tmp_path("r%d.png"),
              cameras(), frames, WIDTH, HEIGHT);
    for (int k = 0; k < frames; k++) {
        snprintf(name, sizeof name, "r%d.png", k);
        out[k] = load(test_tmp_path(name));
    }
}

static int partner(int k)
{
    return k < SHORTER ? k : SHORTER - 1;
}

/* The frame that columns of the window look most like: it may be drawn smaller while it plays. */
static int most_like(const struct image *now, const struct image *frames, int count, int x)
{
    double least = INFINITY;
    int found = 0;
    for (int k = 0; k < count; k++) {
        double sum = 0;
        for (int row = 0; row < HEIGHT; row++)
            for (int i = 0; i < (HALF - NEAR) * 3; i++)
                sum += fabs((double)now->data[(row * WIDTH + x) * 3 + i] - frames[k].data[(row * WIDTH + x) * 3 + i]);
        if (sum < least) {
            least = sum;
            found = k;
        }
    }
    return found;
}

/* Whatever is on the screen while they play is a pair. Returns the first's frame. */
static int a_pair(void)
{
    struct image now = grab(WIDTH, HEIGHT);
    int left = most_like(&now, of_a, FRAMES, 0), right = most_like(&now, of_b, SHORTER, HALF + NEAR);
    if (right != partner(left))
        fail_msg("frame %d of the second beside frame %d of the first", right, left);
    image_finish(&now);
    return left;
}

/* The two streams, and what `render` makes of them. */
static void make_streams(char a[256], char b[256])
{
    snprintf(a, 256, "%s", test_tmp_path("a.fvv"));
    snprintf(b, 256, "%s", test_tmp_path("b.fvv"));
    if (of_a[0].data)
        return;
    make_stream("a.fvv", scene(), FRAMES, 3, 2, 3);
    make_stream("b.fvv", turned, SHORTER, 2, 2, -4);
    render_frames(of_a, a, FRAMES);
    render_frames(of_b, b, SHORTER);
}

static void two_streams_go_in_step(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        int frame;
    } rows[] = {{"key Right", 1}, {"key End", 4}, {"key Left", 3}, {"key Home", 0}, {"key Right Right Right", 3}};
    char a[256], b[256];
    make_streams(a, b);
    const char *extra[] = {"--cameras", cameras(), "--compare", b, "--paused", NULL};
    struct viewer v = start(a, extra);
    xserver_input("mousemove 500 200");
    wait_for_window();
    xserver_input("key Tab");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        xserver_input(rows[i].key);
        columns_show(&of_a[rows[i].frame], 0, HALF - NEAR, rows[i].key);
        columns_show(&of_b[partner(rows[i].frame)], HALF + NEAR, WIDTH, rows[i].key);
    }
    xserver_input("key r key space");
    unsigned seen = 0;
    double until = fv_now() + 60;
    for (int i = 0; i < 5 || !(seen & (seen - 1)); i++) {
        seen |= 1u << a_pair();
        assert_true(fv_now() < until); /* they do not stand still */
        usleep(50000);
    }
    assert_int_equal(quit(&v), 0);
}

/* The second is the stream: keys and the panel move it, the first stands. When the first becomes one, the panel is its. */
static void a_stream_beside_a_scene_has_the_timeline(void **state)
{
    (void)state;
    static const struct {
        const char *click, *key;
        int frame;
    } rows[] = {{NULL, "key Right", 1},        {"stream/##end", NULL, 4}, {"stream/##back", NULL, 3},
                {"stream/##timeline", NULL, 2}, {NULL, "key Home", 0}};
    char a[256], b[256], where[64];
    int box[4];
    make_streams(a, b);
    const char *extra[] = {"--cameras", cameras(), "--compare", a, "--paused", NULL};
    struct viewer v = start(scene(), extra);
    wait_for_widget("stream/##timeline", box);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].click)
            click(rows[i].click);
        else
            xserver_input(rows[i].key);
        snprintf(where, sizeof where, "frame %d of %d", rows[i].frame, FRAMES);
        tells("stream", where);
        snprintf(where, sizeof where, "%s, frame %d", rows[i].click ? rows[i].click : rows[i].key, rows[i].frame);
        xserver_input("mousemove 500 200 sleep 0.1 key Tab");
        columns_show(&first, 0, HALF - NEAR, where);
        columns_show(&of_a[rows[i].frame], HALF + NEAR, WIDTH, where);
        xserver_input("key Tab");
        wait_for_widget("stream/##timeline", box);
    }
    click("stream/##play");
    tells("stream", "frame 2 of 5");
    xserver_input("key space");
    click("Scene/Open");
    type_into("File or URL", b);
    xserver_input("key Return");
    tells("stream", "of 3");
    assert_int_equal(quit(&v), 0);
}

int main(void)
{
    test_device(); /* skips when there is none */
    test_device_done();
    const struct CMUnitTest plain[] = {
        cmocka_unit_test(each_part_is_what_render_draws_of_its_file),
        cmocka_unit_test(rejects_what_cannot_be_compared),
    };
    const struct CMUnitTest windows[] = {
        cmocka_unit_test(a_second_file_is_opened_and_the_line_dragged),
        cmocka_unit_test(two_streams_go_in_step),
        cmocka_unit_test(a_stream_beside_a_scene_has_the_timeline),
    };
    int failed = cmocka_run_group_tests_name("without a window", plain, make_scenes, NULL);
    if (failed)
        return failed;
    return RUN_IN_WINDOWS(windows, start_server, finish);
}
