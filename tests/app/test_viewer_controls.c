/* Every control of the viewer's panels, and keys that do the same, by real input in a window on an X server of its
 * own: each changes what a widget tells (viewer_rig.h, `says`) and, where the view is concerned, the picture. What is
 * driven by which test is in viewer_functions.md. Skipped where Xvfb or xdotool are not installed. */
#include "support/neural.h"
#include "support/nginx.h"
#include "support/proxy.h"
#include "support/test.h"
#include "support/tiny_model.h"
#include "support/xserver.h"
#include "viewer_rig.h"
#include "vk/base/file.h"
#include "vk/base/thread.h"

#include <sys/stat.h>
#include <unistd.h>

enum { WIDE = 960, HIGH = 1100 /* all sections have room */, STREAM_WIDE = 1280 };
static char turned[256], stream[256], clip[256];

static const char *scene(void)
{
    return test_source("tests/golden/01_forward/tiny50_sh3/scene.ply");
}

static const char *cameras(void)
{
    return test_source("tests/golden/01_forward/tiny50_sh3/cameras.json");
}

/* Files opened lately and a clip made are there from the beginning. */
static int start_server(void **state)
{
    (void)state;
    char text[900];
    snprintf(text, sizeof text, "cp '%s' '%s'", cameras(), test_tmp_path("cameras.json"));
    assert_int_equal(test_shell(NULL, text), 0);
    snprintf(turned, sizeof turned, "%s", test_tmp_path("turned.ply"));
    snprintf(stream, sizeof stream, "%s", test_tmp_path("talk.fvv"));
    snprintf(clip, sizeof clip, "%s", test_tmp_path("a-red-ball-001.mp4"));
    TEST_RUNS("convert '%s' -o '%s' --rotate y:8 -q", scene(), turned);
    make_stream("talk.fvv", scene(), 6, 3, 2, 3);
    TEST_RUNS("generate 'a red ball' -o '%s' --seed 1 --steps 1 --frames 5 -q", clip);
    mkdir(test_tmp_path("config"), 0777);
    mkdir(test_tmp_path("config/fovea"), 0777);
    snprintf(text, sizeof text, "{\"recent\":[\"%s\"],\"clips\":[\"%s\"],\"models\":[\"%s\"]}", turned, clip, test_tmp());
    test_write_file(test_tmp_path("config/fovea/viewer.json"), text, strlen(text));
    return xserver_start(STREAM_WIDE, HIGH);
}

/* --- what is seen of the scene between the panels --- */

static struct image view(void)
{
    enum { LEFT = 320, RIGHT = 640, TOP = 200, BOTTOM = 800 };
    struct image i = grab(RIGHT, BOTTOM);
    for (int y = TOP; y < BOTTOM; y++)
        memmove(i.data + 3 * (y - TOP) * (RIGHT - LEFT), i.data + 3 * (y * RIGHT + LEFT), sizeof(float) * 3 * (RIGHT - LEFT));
    i.width = RIGHT - LEFT;
    i.height = BOTTOM - TOP;
    return i;
}

static struct image view_at_rest(void)
{
    double until = fv_now() + 60;
    struct image before = view(), now;
    for (double off = 256; off > 0; before = now) {
        usleep(250000);
        now = view();
        off = largest(&before, &now);
        image_finish(&before);
        assert_true(fv_now() < until);
    }
    return before;
}

/* Until what is seen is another, or the same again. */
static void view_becomes(const struct image *picture, bool other, const char *when)
{
    double until = fv_now() + 60;
    for (bool is = other; is != !other;) {
        struct image now = view();
        double off = largest(&now, picture);
        is = other ? off <= 3 : off <= 1;
        image_finish(&now);
        if (fv_now() > until)
            fail_msg("%s: the picture %s", when, other ? "stays as it was" : "does not come back");
        usleep(30000);
    }
}

/* --- one step: a control is used, and tells what it did --- */

enum how { CLICK, PRESS, SLIDE, TYPE };
struct step {
    enum how how;
    const char *what;  /* the widget, or keys */
    const char *with;  /* SLIDE: share of its width; TYPE: the text */
    const char *shows; /* the widget that tells of it */
    const char *wanted;
    bool seen; /* the picture is another then */
};

static void take(const struct step *s)
{
    struct image before = {0};
    char keys[64];
    if (s->seen)
        before = view_at_rest();
    switch (s->how) {
    case CLICK:
        click(s->what);
        break;
    case PRESS: /* where no panel is */
        snprintf(keys, sizeof keys, "mousemove %d 400 key %s", WIDE / 2, s->what);
        xserver_input(keys);
        break;
    case SLIDE:
        slide(s->what, atof(s->with), atof(s->with));
        break;
    case TYPE:
        type_into(s->what, s->with);
        xserver_input("key Return");
        break;
    }
    if (s->shows && s->how == SLIDE)
        says_about(s->shows, atof(s->wanted), fmax(0.2 * fabs(atof(s->wanted)), 0.02));
    else if (s->shows)
        says(s->shows, s->wanted);
    if (s->seen)
        view_becomes(&before, true, s->what);
    image_finish(&before);
}

static void take_all(const struct step *steps, size_t count)
{
    for (size_t i = 0; i < count; i++)
        take(&steps[i]);
}
#define TAKE(steps) take_all(steps, sizeof(steps) / sizeof *(steps))

/* A part of a panel closes and opens. */
static void section(const char *name, const char *inside)
{
    int box[4];
    bool was = find_widget(inside, box);
    for (int i = 0; i < 2; i++) {
        click(name);
        if (was == (i == 0))
            wait_for_no_widget(inside);
        else
            wait_for_widget(inside, box);
    }
}

/* --- a scene --- */

static void the_view_is_as_the_scene_panel_says(void)
{
    static const struct step steps[] = {
        {PRESS, "m", NULL, "Scene/Move", "Turntable", false},
        {PRESS, "m", NULL, "Scene/Move", "Fly", false},
        {CLICK, "Scene/Turntable", NULL, "Scene/Move", "Turntable", false},
        {CLICK, "Scene/Fly", NULL, "Scene/Move", "Fly", false},
        {CLICK, "Scene/Orbit", NULL, "Scene/Move", "Orbit", false},
        {SLIDE, "Scene/Field of view", "0.75", "Scene/Field of view", "92.5", true},
        {CLICK, "Reset view", NULL, NULL, NULL, true},
        {PRESS, "f", NULL, NULL, NULL, true},
        {PRESS, "r", NULL, NULL, NULL, true},
        {CLICK, "Scene/Alpha", NULL, "Scene/Show", "Alpha", true},
        {CLICK, "Scene/Depth", NULL, "Scene/Show", "Depth", true},
        {CLICK, "Scene/Colour", NULL, "Scene/Show", "Colour", true},
        {PRESS, "v", NULL, "Scene/Show", "Alpha", true},
        {PRESS, "v v", NULL, "Scene/Show", "Colour", true},
        {PRESS, "c", NULL, "Scene/Mode", "Classic", false},
        {PRESS, "c", NULL, "Scene/Mode", "AA", true},
        {PRESS, "c", NULL, "Scene/Mode", "Auto", true},
        {CLICK, "Scene/AA", NULL, "Scene/Mode", "AA", true},
        {CLICK, "Scene/Classic", NULL, "Scene/Mode", "Classic", true},
        {CLICK, "Scene/Auto", NULL, "Scene/Mode", "Auto", false},
        {CLICK, "Scene/0", NULL, "Scene/SH degree", "0", true},
        {CLICK, "Scene/1", NULL, "Scene/SH degree", "1", true},
        {CLICK, "Scene/2", NULL, "Scene/SH degree", "2", true},
        {CLICK, "Scene/3", NULL, "Scene/SH degree", "3", true},
        {SLIDE, "Splat scale", "0.2", "Splat scale", "0.44", true},
        {SLIDE, "Splat scale", "0.48", "Splat scale", "1", true},
        {CLICK, "Scene/Two eyes", NULL, "Scene/Two eyes", "on", true},
        {PRESS, "y", NULL, "Scene/Two eyes", "off", true},
        {CLICK, "Adaptive", NULL, "Adaptive", "off", false},
        {CLICK, "Crop box", NULL, "Cut to box", "off", false},
        {SLIDE, "Scene/x", "0.4", "Cut to box", "on", true},
        {CLICK, "Cut to box", NULL, "Cut to box", "off", true},
        {SLIDE, "Scene/y", "0.4", "Cut to box", "on", true},
        {CLICK, "Reset box", NULL, "Cut to box", "off", true},
        {SLIDE, "Scene/z", "0.4", "Cut to box", "on", true},
        {CLICK, "Reset box", NULL, "Cut to box", "off", true},
        {SLIDE, "Scene/Speed", "0.75", "Scene/Speed", "1.78", false},
    };
    TAKE(steps);
    click("Crop box");
    click("Profile");
    tells("Scene/project", "CPU");
    click("Profile");
}

/* A colour is picked from the square that opens, and Escape is not needed to go on. */
static void the_background_gets_a_colour(void)
{
    char input[200];
    int box[4];
    wait_for_widget("Background", box);
    struct image before = view_at_rest();
    snprintf(input, sizeof input, "mousemove %d %d click 1 sleep 0.4 mousemove %d %d sleep 0.2 click 1 sleep 0.2 mousemove 480 900 click 1",
             box[0] + 8, (box[1] + box[3]) / 2, box[0] + 100, box[3] + 60);
    xserver_input(input);
    view_becomes(&before, true, "a background");
    image_finish(&before);
}

static void sections_open_and_close(void)
{
    static const char *const rows[][2] = {{"Scene/File", "value Scene/Format"}, {"Scene/Open", "Scene/File or URL"},
        {"Scene/View", "Adaptive"}, {"Comparison", "Second file"}, {"Crop box", "Cut to box"}, {"Statistics", "Profile"},
        {"Cameras", "##cameras"}, {"Bookmarks", "Add bookmark"}, {"Camera path/Path", "Add key"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        section(rows[i][0], rows[i][1]);
}

static void cameras_are_gone_to(void)
{
    static const struct step steps[] = {
        {PRESS, "3", NULL, "##cameras", "2", false},
        {CLICK, "##cameras", NULL, "##cameras", "1", true}, /* the middle of three */
        {PRESS, "bracketleft", NULL, "##cameras", "0", true},
        {PRESS, "bracketright", NULL, "##cameras", "1", true},
        {PRESS, "1", NULL, "##cameras", "0", true},
    };
    TAKE(steps);
}

/* How far the keys of a path's file are apart. */
static void distances(const char *path, double out[2])
{
    double at[3][3];
    char *text = test_read_file(path, NULL), *c = text;
    for (int i = 0; i < 3; i++) {
        c = strstr(c, "\"position\"");
        assert_non_null(c);
        for (int k = 0; k < 3; k++) {
            c += strcspn(c, "-0123456789");
            at[i][k] = strtod(c, &c);
        }
    }
    free(text);
    for (int i = 0; i < 2; i++)
        out[i] = sqrt(pow(at[i + 1][0] - at[i][0], 2) + pow(at[i + 1][1] - at[i][1], 2) + pow(at[i + 1][2] - at[i][2], 2));
}

/* Held for half a second, alone and with Shift: four times as far, as far as a busy machine can tell. */
static void shift_flies_faster(void)
{
    char path[256];
    double far[2] = {0};
    snprintf(path, sizeof path, "%s", test_tmp_path("flown.json"));
    xserver_input("mousemove 480 400 key k"); /* the file is asked for then */
    for (int i = 0; i < 4 && !(far[1] > 2.5 * far[0] && far[1] < 6 * far[0]); i++) {
        click("Camera path/Clear");
        xserver_input("mousemove 480 400 sleep 0.1 key r sleep 0.1 key k sleep 0.1 keydown d sleep 0.5 keyup d sleep 0.2 key k sleep 0.1 "
                      "keydown shift keydown d sleep 0.5 keyup d keyup shift sleep 0.2 key k");
        tells("Camera path/Key 3 at 4.00 s", "");
        remove(path);
        if (!i)
            type_into("Path file", path);
        click("Save path");
        for (double until = fv_now() + 20; !fv_exists(path) && fv_now() < until;)
            usleep(20000);
        distances(path, far);
    }
    print_message("flown %.3f, with Shift %.3f\n", far[0], far[1]);
    assert_true(far[0] > 0 && far[1] > 2.5 * far[0] && far[1] < 6 * far[0]);
    click("Camera path/Clear");
    wait_for_no_widget("Camera path/Key 1 at 0.00 s");
    xserver_input("mousemove 480 400 key r");
}

static void a_path_is_made_in_the_panel(void)
{
    int box[4];
    static const struct step begin[] = {
        {CLICK, "Add key", NULL, "Camera path/Key 1 at 0.00 s", "picked", false},
        {PRESS, "2", NULL, "##cameras", "1", true},
        {PRESS, "k", NULL, "Camera path/Key 2 at 2.00 s", "picked", false},
        {CLICK, "Key 1 at 0.00 s", NULL, "Camera path/Key 1 at 0.00 s", "picked", true},
        {CLICK, "Key 2 at 2.00 s", NULL, "Camera path/Key 2 at 2.00 s", "picked", true},
        {TYPE, "Time (s)", "1", "Camera path/Key 2 at 1.00 s", "picked", false},
        {CLICK, "Camera path/Up", NULL, NULL, NULL, false},
        {CLICK, "Key 1 at 0.00 s", NULL, "Camera path/Key 1 at 0.00 s", "picked", false}, /* now what was the second */
        {CLICK, "Camera path/Down", NULL, NULL, NULL, false},
        {CLICK, "Key 2 at 1.00 s", NULL, "Camera path/Key 2 at 1.00 s", "picked", false},
        {SLIDE, "Scrub", "0.5", "Scrub", "0.5", true},
        {CLICK, "Camera path/Loop", NULL, "Camera path/Loop", "on", false},
        {CLICK, "Curves", NULL, "Curves", "on", false},
        {CLICK, "Rotation", NULL, "path/##tabs", "Rotation", false},
        {CLICK, "path/Field of view", NULL, "path/##tabs", "Field of view", false},
        {CLICK, "Position", NULL, "path/##tabs", "Position", false},
        {CLICK, "path/Add", NULL, "Camera path/Key 3 at 1.00 s", "not picked", false},
        {CLICK, "path/Undo", NULL, "Camera path/Key 2 at 1.00 s", "not picked", false},
        {PRESS, "ctrl+y", NULL, "Camera path/Key 3 at 1.00 s", "not picked", false},
        {PRESS, "ctrl+z", NULL, "Camera path/Key 2 at 1.00 s", "not picked", false},
        {PRESS, "ctrl+shift+z", NULL, "Camera path/Key 3 at 1.00 s", "not picked", false},
        {CLICK, "path/Delete", NULL, "Camera path/Key 2 at 1.00 s", "not picked", false},
        {CLICK, "Key 1 at 0.00 s", NULL, "Camera path/Key 1 at 0.00 s", "picked", true},
        {PRESS, "3", NULL, "##cameras", "2", true},
        {CLICK, "path/Set", NULL, NULL, NULL, false},
        {CLICK, "Key 2 at 1.00 s", NULL, NULL, NULL, true},
    };
    struct image first = view_at_rest(), third;
    TAKE(begin);
    click("Key 1 at 0.00 s"); /* the third camera has been set there */
    says("Camera path/Key 1 at 0.00 s", "picked");
    third = view_at_rest();
    assert_true(largest(&first, &third) > 3);
    xserver_input("mousemove 480 400 key 1");
    view_becomes(&first, false, "the first camera");
    click("Camera path/Set");
    xserver_input("mousemove 480 400 key 3");
    view_becomes(&third, false, "the third camera");
    click("Key 1 at 0.00 s");
    view_becomes(&first, false, "the key that was set");
    static const char *const plays[][2] = {{"Camera path/Play", "Camera path/Pause"}, {"path/Play", "path/Pause"}};
    for (int i = 0; i < 2; i++) { /* it loops, so it goes on until it is stopped */
        click(plays[i][0]);
        view_becomes(&first, true, plays[i][0]);
        click(plays[i][1]);
        wait_for_widget(plays[i][0], box);
    }
    xserver_input("mousemove 480 400 key space");
    wait_for_widget("Camera path/Pause", box);
    xserver_input("key p");
    wait_for_widget("Camera path/Play", box);
    click("Key 2 at 1.00 s");
    click("Camera path/Delete");
    wait_for_no_widget("Camera path/Key 2 at 1.00 s");
    click("Camera path/Clear");
    wait_for_no_widget("Camera path/Key 1 at 0.00 s");
    click("path/Redo"); /* of nothing: told */
    tells("notice", "nothing to do again");
    xserver_input("mousemove 480 400 key n");
    says("Curves", "off");
    image_finish(&first);
    image_finish(&third);
}

static void bookmarks_and_files(void)
{
    static const struct step steps[] = {
        {PRESS, "1", NULL, "##cameras", "0", false},
        {CLICK, "Bookmarks", NULL, NULL, NULL, false},
        {CLICK, "Add bookmark", NULL, "Camera path/View 1", "not picked", false},
        {PRESS, "2", NULL, "##cameras", "1", true},
        {CLICK, "View 1", NULL, "Camera path/View 1", "picked", true},
        {CLICK, "Bookmarks", NULL, NULL, NULL, false},
        {CLICK, "Comparison", NULL, NULL, NULL, false},
        {CLICK, "Scene/turned.ply", NULL, "Scene/As", "Line", false}, /* opened lately */
        {CLICK, "Halves", NULL, "Scene/As", "Halves", true},
        {CLICK, "Diff", NULL, "Scene/As", "Diff", true},
        {CLICK, "Scene/Line", NULL, "Scene/As", "Line", true},
        {PRESS, "t", NULL, "Scene/As", "Halves", true},
        {CLICK, "Exchange", NULL, "Scene/Right", "scene.ply", true},
        {PRESS, "x", NULL, "Scene/Left", "scene.ply", true},
        {CLICK, "Stop comparing", NULL, "Second file", turned, true},
        {CLICK, "Comparison", NULL, NULL, NULL, false},
        {CLICK, "Scene/Open", NULL, NULL, NULL, false},
        {CLICK, "Scene/turned.ply", NULL, "value Scene/File", NULL, false},
    };
    take_all(steps, sizeof steps / sizeof *steps - 1);
    struct image before = view_at_rest();
    click("Scene/turned.ply");
    says("Scene/turned.ply", "picked");
    says("Scene/File", "turned.ply");
    view_becomes(&before, true, "another file");
    image_finish(&before);
    click("Scene/scene.ply");
    says("Scene/scene.ply", "picked");
    click("Scene/Open");
}

/* Anchors that were trained with four pictures' lights. */
static void an_appearance_is_picked(void)
{
    static const struct step steps[] = {
        {TYPE, "Appearance", "3", "Appearance", "3", true},
        {TYPE, "Appearance", "9", "Appearance", "3", false},
        {TYPE, "Appearance", "0", "Appearance", "0", true},
    };
    click("Scene/Open");
    type_into("File or URL", test_neural("bank", 60));
    xserver_input("key Return");
    says("Appearance", "0");
    click("Scene/Open");
    xserver_input("mousemove 480 400 key f");
    TAKE(steps);
}

static bool there(const char *path)
{
    for (double until = fv_now() + 60; !fv_exists(path) && fv_now() < until;)
        usleep(20000);
    return fv_exists(path);
}

static void pictures_are_exported_for_two_eyes(void)
{
    static const struct step steps[] = {
        {CLICK, "Camera path/Export", NULL, "Export/##tabs", "Export", false},
        {CLICK, "1080p", NULL, "Export/Width", "1920", false},
        {CLICK, "4K", NULL, "Export/Height", "2160", false},
        {CLICK, "720p", NULL, "Export/Width", "1280", false},
        {SLIDE, "Export/Quality", "0.5", "Export/Quality", "25", false},
        {TYPE, "Export/Frames/s", "10", "Export/Frames/s", "10", false},
        {TYPE, "Export/Width", "64", "Export/Width", "64", false},
        {TYPE, "Export/Height", "48", "Export/Height", "48", false},
        {TYPE, "Export/Seconds", "3000", "Export/Seconds", "3000", false},
        {CLICK, "Export/Export#1", NULL, NULL, NULL, false},
        {CLICK, "Cancel export", NULL, NULL, NULL, false},
        {TYPE, "Export/Seconds", "0.2", "Export/Seconds", "0.2", false},
        {CLICK, "Export/Scene", NULL, "Export/What", "Scene", false},
        {CLICK, "Export/Video", NULL, "Export/What", "Video", false},
        {CLICK, "Export/Pictures", NULL, "Export/What", "Pictures", false},
        {CLICK, "Export/Two eyes", NULL, "Export/Two eyes", "on", false},
    };
    TAKE(steps);
    type_into("Export/File", test_tmp_path("turn_%02d.png"));
    click("Export/Export#1");
    assert_true(there(test_tmp_path("turn_01.png")));
    tells("Export", "Saved ");
    struct image both = load(test_tmp_path("turn_01.png"));
    assert_true(both.width == 128 && both.height == 48);
    image_finish(&both);
}

static void every_control_of_a_scene(void **state)
{
    (void)state;
    static const char *const extra[] = {"--cameras", "cameras.json", "--size=960x1100", NULL};
    int box[4];
    struct viewer v = start(scene(), extra);
    wait_for_widget("Scene/File", box);
    the_view_is_as_the_scene_panel_says();
    the_background_gets_a_colour();
    sections_open_and_close();
    cameras_are_gone_to();
    shift_flies_faster();
    a_path_is_made_in_the_panel();
    bookmarks_and_files();
    an_appearance_is_picked();
    pictures_are_exported_for_two_eyes();
    assert_int_equal(quit(&v), 0);
    char *text = test_read_file(test_tmp_path("config/fovea/viewer.json"), NULL);
    assert_non_null(strstr(text, "\"adaptive\":\t0"));
    free(text);
}

/* --- a stream, from a file and from a server --- */

static void every_control_of_a_stream(void **state)
{
    (void)state;
    static const char *const extra[] = {"--cameras", "cameras.json", "--size=1280x1100", "--paused", NULL};
    struct test_nginx server = {.locations = "location /slow/ { alias %s/; limit_rate 2k; }"};
    char url[900];
    int box[4];
    struct viewer v = start(stream, extra);
    wait_for_widget("stream/##timeline", box);
    static const struct {
        const char *click, *tells; /* the line at the right */
    } buttons[] = {{"stream/##on", "frame 1 of 6"}, {"stream/##end", "frame 5 of 6"}, {"stream/##back", "frame 4 of 6"},
                   {"stream/##start", "frame 0 of 6"}, {"stream/##timeline", "frame 3 of 6"}};
    for (size_t i = 0; i < sizeof buttons / sizeof *buttons; i++) {
        click(buttons[i].click);
        tells("stream", buttons[i].tells);
    }
    static const struct step steps[] = {
        {CLICK, "stream/##loop", NULL, "stream/##loop", "not lit", false},
        {PRESS, "l", NULL, "stream/##loop", "lit", false},
        {PRESS, "equal", NULL, "stream/##speed", "2", false},
        {PRESS, "minus minus", NULL, "stream/##speed", "0.5", false},
    };
    static const struct {
        const char *name, *says;
    } levels[] = {{"SH 0", "SH 0"}, {"SH 1", "SH 1"}, {"SH 2", "SH 2"}, {"SH 3", "SH 3"}};
    TAKE(steps);
    slide("stream/##speed", 0.5, 0.98);
    says_about("stream/##speed", 3.8, 0.3);
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        click("stream/##quality");
        click(levels[i].name);
        says("stream/##quality", levels[i].says);
    }
    click("Scene/1");
    says("stream/##quality", "SH 1");
    click("Scene/Auto#1"); /* of the degrees; the first is of the mode */
    says("stream/##quality", "All: SH 3");
    click("stream/##play");
    tells("stream", "frame 4 of 6");
    click("stream/##play");

    if (system("command -v nginx >/dev/null 2>&1")) {
        print_message("nginx is not installed: nothing over the network\n");
        assert_int_equal(quit(&v), 0);
        return;
    }
    test_nginx_start(&server);
    snprintf(url, sizeof url, "cp '%s' '%s'", stream, server.root);
    assert_int_equal(test_shell(NULL, url), 0);
    struct test_proxy hangs = {.to = server.port, .then = PROXY_STALL, .times = 9};
    test_proxy_start(&hangs);
    click("Scene/Open");
    snprintf(url, sizeof url, "http://127.0.0.1:%d/talk.fvv", hangs.port);
    type_into("File or URL", url);
    click("Scene/Open#1"); /* the button */
    click("loading/Cancel");
    wait_for_no_widget("loading/Cancel");
    click("Comparison");
    type_into("Second file", url);
    click("Compare");
    click("Cancel loading");
    wait_for_widget("Second file", box);
    type_into("File or URL", test_nginx_url(&server, "slow/talk.fvv"));
    xserver_input("key Return");
    tells("stream", "all loaded");
    tells("stream", "needed"); /* what comes a second and what has to */
    tells("Scene/Network", "/s, SH degree 3");
    tells("Scene/Buffer", "s loaded");
    assert_int_equal(quit(&v), 0);
    test_proxy_stop(&hangs);
    test_nginx_stop(&server, true);
}

/* --- clips --- */

/* A model that was quantised stands beside it. */
static void four_bits_are_chosen(void)
{
    char *model = test_tiny_model(), quantised[1100];
    if (!model)
        return;
    snprintf(quantised, sizeof quantised, "%s-4bit", model);
    assert_int_equal(symlink(model, quantised), 0);
    const struct step steps[] = {
        {TYPE, "Generate a clip/Folder", model, "Generate a clip/4 bits", "off", false},
        {CLICK, "4 bits", NULL, "Generate a clip/Folder", quantised, false},
        {CLICK, "4 bits", NULL, "Generate a clip/Folder", model, false},
    };
    TAKE(steps);
}

static void every_choice_of_a_clip(void **state)
{
    (void)state;
    int box[4];
    static const char *const size[] = {"--size=1280x1100", NULL};
    struct viewer v = start(NULL, size);
    click("welcome/Generate a clip");
    wait_for_widget("Generate a clip/Merge (TDTM)", box);
    static const struct step steps[] = {
        {TYPE, "Generate a clip/Not", "a cat", "Generate a clip/Not", "a cat", false},
        {TYPE, "First picture", "none.png", "First picture", "none.png", false},
        {TYPE, "First picture", " ", "First picture", " ", false},
        {TYPE, "Generate a clip/Size", "64x64", "Generate a clip/Size", "64x64", false},
        {TYPE, "Generate a clip/Frames", "5", "Generate a clip/Frames", "5", false},
        {TYPE, "Generate a clip/Steps", "2", "Generate a clip/Steps", "2", false},
        {TYPE, "Guidance", "3", "Guidance", "3", false},
        {TYPE, "Memory", "1G", "Memory", "1G", false},
        {TYPE, "Generate a clip/Seed", "7", "Generate a clip/Seed", "7", false},
        {CLICK, "Generate a clip/Any", NULL, "Generate a clip/Seed", "", false},
        {TYPE, "Clips", "2", "Clips", "2", false},
        {CLICK, "Merge (TDTM)", NULL, "Merge (TDTM)", "on", false},
        {CLICK, "Leap (LPL)", NULL, "Leap (LPL)", "on", false},
        {TYPE, "Generate a clip/Folder", "nowhere", "Generate a clip/Folder", "nowhere", false},
    };
    TAKE(steps);
    tells("Generate a clip", "nowhere"); /* what is wrong stands below, so that nothing moves any more */
    click(fv_path_base(test_tmp())); /* a model used lately */
    says("Generate a clip/Folder", test_tmp());
    tells("Generate a clip", "no transformer in it");
    four_bits_are_chosen();
    click("The bundled model");
    says("Generate a clip/Folder", "");
    click("Random seed");
    tells("Generate a clip/Seed", "");
    section("Generate a clip/Clip", "Guidance");
    section("Generate a clip/Model", "Memory");
    section("Clips made", "clip 1");
    click("clip 1");
    click("Play clip");
    wait_for_widget("clip/##timeline", box);
    click("clip/##start");
    tells("clip", "frame 0 of 5");
    click("clip/##timeline");
    tells("clip", "frame 2 of 5");
    xserver_input("key End");
    tells("clip", "frame 4 of 5");
    click("clip/##play");
    tells("clip", "frame 1 of 5");
    click("clip/##close");
    click("Forget");
    wait_for_no_widget("clip 1");
    assert_int_equal(quit(&v), 0);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    test_device(); /* skips when there is none */
    test_device_done();
    setenv("HOME", test_tmp(), 1); /* clips go there */
    const struct CMUnitTest windows[] = {
        cmocka_unit_test(every_control_of_a_scene),
        cmocka_unit_test(every_control_of_a_stream),
        cmocka_unit_test(every_choice_of_a_clip),
    };
    return RUN_IN_WINDOWS(windows, start_server, windows_end);
}
