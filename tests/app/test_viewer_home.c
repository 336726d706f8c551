/* `fovea` alone: the empty window, files opened lately, bookmarks and settings, in a window on an X server of
 * its own with real input. Skipped where Xvfb or xdotool are not installed. */
#include "support/test.h"
#include "support/xserver.h"
#include "viewer_rig.h"
#include "vk/base/file.h"
#include "vk/base/thread.h"

#include <unistd.h>

static int start_server(void **state)
{
    (void)state;
    return xserver_start(1280, 720);
}

static const char *scene(void)
{
    return test_source("tests/golden/01_forward/tiny50_sh3/scene.ply");
}

static void without_a_display_it_is_the_overview(void **state)
{
    (void)state;
    char *display = getenv("DISPLAY");
    display = display ? strdup(display) : NULL;
    unsetenv("DISPLAY");
    unsetenv("WAYLAND_DISPLAY");
    char *text;
    int status = test_fovea(&text, " ");
    assert_int_equal(status, 0);
    assert_non_null(strstr(text, "Commands:"));
    free(text);
    if (display)
        setenv("DISPLAY", display, 1);
    free(display);
}

/* An empty window; a file is named in it, bookmarked; the next one knows of both. */
static void what_was_opened_is_there_the_next_time(void **state)
{
    (void)state;
    int box[4];
    struct viewer v = start(NULL, NULL);
    wait_for_widget("welcome/File or URL", box);
    type_into("File or URL", test_tmp_path("absent.ply"));
    xserver_input("key Return");
    click("That did not work/OK");
    wait_for_widget("welcome/File or URL", box);
    type_into("File or URL", scene());
    xserver_input("key Return");
    wait_for_widget("Scene/File", box);
    xserver_input("mousemove 640 360 sleep 0.2 key b");
    click("Bookmarks");
    click("View 1");
    type_into("Name", "the front");
    click("Fly");
    assert_int_equal(quit(&v), 0);
    char *text = test_read_file(test_tmp_path("config/fovea/viewer.json"), NULL);
    assert_non_null(strstr(text, "scene.ply"));
    assert_non_null(strstr(text, "the front"));
    assert_null(strstr(text, "absent.ply"));
    free(text);

    v = start(NULL, NULL);
    click("welcome/scene.ply");
    wait_for_widget("Scene/File", box);
    click("Bookmarks");
    xserver_input("mousemove 640 360 sleep 0.3");
    struct image before = grab(1280, 720);
    xserver_input("keydown d sleep 0.5 keyup d"); /* somewhere else, and back by the bookmark */
    shows_not(&before, 0.01, "flying aside");
    image_finish(&before);
    click("the front");
    click("Delete bookmark");
    wait_for_no_widget("the front");
    assert_int_equal(quit(&v), 0);
    text = test_read_file(test_tmp_path("config/fovea/viewer.json"), NULL);
    assert_null(strstr(text, "the front"));
    assert_non_null(strstr(text, "\"movement\":\t2")); /* it is still flying */
    free(text);
}

static void wait_for_file(const char *path)
{
    for (double until = fv_now() + 120; !fv_exists(path) && fv_now() < until;)
        usleep(50000);
    if (!fv_exists(path))
        fail_msg("%s was not written", path);
}

static void what_is_shown_is_exported_beside_the_window(void **state)
{
    (void)state;
    static const char *const size[] = {"--size=1280x720", NULL};
    int box[4];
    struct viewer v = start(scene(), size);
    wait_for_widget("Scene/File", box);
    xserver_input("mousemove 640 400 sleep 1");
    for (int k = 0; k < 5 && !find_widget("Export/Width", box); k++, usleep(3000000))
        if (find_widget("Camera path/Export", box)) /* a busy machine has lost the first click */
            click("Camera path/Export");
    type_into("Width", "64");
    type_into("Height", "48");
    type_into("Seconds", "0.2");
    xserver_input("key Return");
    type_into("Export/File", "/nonexistent/a.mp4");
    click("Export/Export#1"); /* the tab is the first of this name */
    usleep(1500000);
    type_into("Export/File", test_tmp_path("turn.mp4"));
    click("Export/Export#1");
    wait_for_file(test_tmp_path("turn.mp4"));
    click("Play it here");
    wait_for_widget("clip/##timeline", box);
    click("clip/##close");
    click("Export/Scene");
    type_into("Export/File", test_tmp_path("small.spz"));
    click("Export/Export#1");
    wait_for_file(test_tmp_path("small.spz"));
    assert_int_equal(quit(&v), 0);
}

static void first_times(double out[2], const char *path)
{
    char *text = test_read_file(path, NULL), *at = text;
    for (int i = 0; i < 2; i++) {
        at = strstr(at, "\"time\":");
        if (!at)
            fail_msg("%s has no %d keys: %s", path, i + 1, text);
        out[i] = strtod(at + 7, &at);
    }
    free(text);
}

/* The times of the first two keys, as the path is saved. */
static void saved_times(double out[2])
{
    char path[256];
    snprintf(path, sizeof path, "%s", test_tmp_path("scene-path.json"));
    remove(path);
    click("Save path");
    wait_for_file(path);
    first_times(out, path);
}

/* Keys are added, one is dragged along the axis, which is undone and done again; the line scrubs the view. */
static void a_path_is_edited_over_time(void **state)
{
    (void)state;
    static const char *const size[] = {"--size=1280x720", NULL};
    int box[4], other[4];
    char input[200];
    double times[2];
    struct viewer v = start(scene(), size);
    wait_for_widget("Scene/File", box);
    xserver_input("mousemove 640 300 sleep 0.5 key n k sleep 0.2 key 2 sleep 0.2 key k sleep 0.2 key 3 sleep 0.2 key k");
    wait_for_widget("path/##key2", box);
    saved_times(times);
    assert_near(times[0], 0, 0);
    assert_near(times[1], 2, 0);
    wait_for_widget("path/##key1", box);
    snprintf(input, sizeof input,
             "mousemove %d %d sleep 0.3 mousedown 1 mousemove_relative 50 0 sleep 0.3 mousemove_relative 50 0 sleep 0.3 "
             "mouseup 1 sleep 0.3",
             (box[0] + box[2]) / 2, (box[1] + box[3]) / 2);
    xserver_input(input);
    do
        wait_for_widget("path/##key1", other);
    while (other[0] < box[0] + 90);
    saved_times(times);
    assert_true(times[1] > 2.3 && times[1] < 2.45); /* 100 of 1240 pixels for 4.6 s */
    xserver_input("mousemove 640 300 sleep 0.2 key ctrl+z");
    do
        wait_for_widget("path/##key1", other);
    while (other[0] > box[0] + 2);
    click("path/Redo");
    saved_times(times);
    assert_true(times[1] > 2.3 && times[1] < 2.45);

    click("Rotation"); /* with the mouse away from the view, which scrubbing then changes */
    usleep(500000);
    struct image before = grab(1280, 720);
    wait_for_widget("path/##axis", box);
    snprintf(input, sizeof input, "mousemove %d %d sleep 0.2 click 1", box[0] + 100, box[3] - 40);
    xserver_input(input);
    shows_not(&before, 0.05, "scrubbing");
    image_finish(&before);
    click("path/##key1");
    click("path/Delete");
    wait_for_no_widget("path/##key2");
    assert_int_equal(quit(&v), 0);
}

/* What the Scene panel changes about the picture is seen at once, and back. */
static void the_scene_is_drawn_as_the_panel_says(void **state)
{
    (void)state;
    static const char *const size[] = {"--size=1280x720", NULL}, *const rows[][2] = {
        {"Depth", "Scene/Colour"}, {"Scene/0", "Scene/3"}, {"AA", "Scene/Auto"}, {"Frame scene", "Reset view"}};
    char drag[200];
    int box[4];
    struct viewer v = start(scene(), size);
    wait_for_widget("Scene/File", box);
    click("Statistics");
    click("Crop box");
    xserver_input("mousemove 640 600 sleep 2");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct image before = grab_still(1280, 720);
        click(rows[i][0]);
        shows_not(&before, 0.002, rows[i][0]);
        click(rows[i][1]);
        image_finish(&before);
    }
    struct image before = grab_still(1280, 720);
    wait_for_widget("Scene/x", box); /* its lower end, to the middle */
    snprintf(drag, sizeof drag, "mousemove %d %d sleep 0.2 mousedown 1 sleep 0.2 mousemove %d %d sleep 0.2 mouseup 1", box[0] + 8,
             (box[1] + box[3]) / 2, box[0] + 45, (box[1] + box[3]) / 2);
    xserver_input(drag);
    shows_not(&before, 0.002, "cut to a box");
    click("Reset box");
    xserver_input("mousemove 640 600 sleep 0.3 key g");
    click("Generate a clip/Generate"); /* of no prompt: refused there */
    xserver_input("mousemove 640 600 sleep 0.3 key g");
    wait_for_widget("Camera path/Add key", box);
    image_finish(&before);
    assert_int_equal(quit(&v), 0);
}

static void damaged_settings_stop_nobody(void **state)
{
    (void)state;
    int box[4];
    const char *file = test_tmp_path("config/fovea/viewer.json");
    test_write_file(file, "{\"recent\":[", 11);
    struct viewer v = start(NULL, NULL);
    wait_for_widget("welcome/File or URL", box);
    assert_true(fv_exists(test_tmp_path("config/fovea/viewer.json.damaged")));
    assert_int_equal(quit(&v), 0);
    assert_true(fv_exists(file));
}

int main(void)
{
    test_device(); /* skips when there is none */
    test_device_done();
    const struct CMUnitTest plain[] = {
        cmocka_unit_test(without_a_display_it_is_the_overview),
    };
    const struct CMUnitTest windows[] = {
        cmocka_unit_test(what_was_opened_is_there_the_next_time),
        cmocka_unit_test(what_is_shown_is_exported_beside_the_window),
        cmocka_unit_test(a_path_is_edited_over_time),
        cmocka_unit_test(the_scene_is_drawn_as_the_panel_says),
        cmocka_unit_test(damaged_settings_stop_nobody),
    };
    int failed = cmocka_run_group_tests_name("without a window", plain, NULL, NULL);
    if (failed)
        return failed;
    return RUN_IN_WINDOWS(windows, start_server, windows_end);
}
