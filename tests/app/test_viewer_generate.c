/* The viewer's Generate panel in a window on an X server of its own, with real input: a clip of the bundled model
 * is made beside the window, played in it, found again. Skipped where Xvfb or xdotool are not installed. */
#include "support/test.h"
#include "support/xserver.h"
#include "viewer_rig.h"
#include "vk/base/file.h"
#include "vk/base/thread.h"

#include <unistd.h>

static int start_server(void **state)
{
    (void)state;
    return xserver_start(1280, 1000);
}

/* What is typed in the panel is what the settings keep. */
static bool kept(const char *part)
{
    const char *file = test_tmp_path("config/fovea/viewer.json");
    bool there = false;
    for (double until = fv_now() + 20; !there && fv_now() < until; usleep(100000)) {
        char *text = fv_exists(file) ? test_read_file(file, NULL) : NULL;
        there = text && strstr(text, part);
        free(text);
    }
    return there;
}

static void a_clip_is_made_played_and_used_again(void **state)
{
    (void)state;
    static const char *const verbose[] = {"--verbose", "--size=1280x1000", NULL};
    char folder[256], clip[300];
    int box[4];
    snprintf(folder, sizeof folder, "%s", test_tmp_path("clips"));
    snprintf(clip, sizeof clip, "%s/a-red-ball-001.mp4", folder);
    struct viewer v = start(NULL, verbose);
    click("welcome/Generate a clip");
    click("Generate a clip/Generate"); /* nothing was written yet: told, nothing is made */
    type_into("##prompt", "a red ball");
    type_into("Frames", "5");
    type_into("Steps", "2");
    xserver_input("key Return");
    type_into("Seed", "7");
    type_into("Save in", folder);
    assert_true(kept("\"steps\":2,"));
    click("Generate a clip/Generate");
    for (double until = fv_now() + 240; !fv_exists(clip) && fv_now() < until; usleep(50000))
        ;
    assert_true(fv_exists(clip));
    wait_for_widget("clip/##timeline", box); /* it plays */
    xserver_input("mousemove 300 300 sleep 0.3 key space sleep 0.3 key Home sleep 0.3 key Tab sleep 5"); /* the notice goes */
    struct image first = grab(1280, 1000);
    xserver_input("key Right Right");
    shows_not(&first, 0.0005, "the third frame");
    xserver_input("key Left Left Right Left");
    shows(&first, "the first frame again");
    image_finish(&first);
    xserver_input("key Escape sleep 0.3 key Tab");
    wait_for_no_widget("clip/##timeline");

    type_into("Seed", "99");
    click("clip 1"); /* of the history */
    click("Reuse settings");
    usleep(500000);
    click_times("clip 1", 2);
    wait_for_widget("clip/##timeline", box);
    click("clip/##close");
    wait_for_no_widget("clip/##timeline");
    assert_int_equal(quit(&v), 0);
    assert_true(kept("\"seed\":7,"));
    char *log = test_read_file(v.log, NULL), *at = strstr(log, "panels longer than ");
    double round = 1e9;
    if (!at || sscanf(at, "panels longer than %lf ms", &round) != 1 || round > 3000)
        fail_msg("the window stood still for %g ms while a clip was made beside it: %s", round, log);
    print_message("no round longer than %.1f ms\n", round);
    free(log);
}

static void wait_for_above(const char *upper, const char *lower)
{
    int high[4], low[4];
    double until = fv_now() + 60;
    do {
        usleep(20000);
        wait_for_widget(upper, high);
        wait_for_widget(lower, low);
        if (fv_now() > until)
            fail_msg("\"%s\" does not get above \"%s\"", upper, lower);
    } while (high[1] >= low[1]);
}

static void clips_wait_are_moved_and_cancelled(void **state)
{
    (void)state;
    static const char *const size[] = {"--size=1280x1000", NULL};
    int box[4];
    struct viewer v = start(NULL, size);
    click("welcome/Generate a clip");
    type_into("Steps", "9000"); /* long enough to be cancelled */
    xserver_input("key Return");
    click("Leap (LPL)"); /* which saves nearly all of them */
    says("Leap (LPL)", "off");
    type_into("Clips", "3");
    xserver_input("key Return");
    click("Generate a clip/Generate");
    wait_for_widget("Cancel clip", box);
    type_into("Clips", "1");
    xserver_input("key Return");
    click("Add to queue");
    wait_for_widget("##remove4", box);
    click("Queue"); /* this part of the panel closes and opens */
    wait_for_no_widget("##remove4");
    click("Queue");
    click("##remove4");
    wait_for_no_widget("##remove4");
    click("##up3");
    wait_for_above("##remove3", "##remove2");
    click("##remove2");
    wait_for_no_widget("##up2");
    click("##remove3");
    click("Cancel clip");
    wait_for_no_widget("Cancel clip");
    assert_int_equal(quit(&v), 0);
}

int main(void)
{
    test_device(); /* skips when there is none */
    test_device_done();
    const struct CMUnitTest windows[] = {
        cmocka_unit_test(a_clip_is_made_played_and_used_again),
        cmocka_unit_test(clips_wait_are_moved_and_cancelled),
    };
    return RUN_IN_WINDOWS(windows, start_server, windows_end);
}
