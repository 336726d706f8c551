/* The real viewer: without a window, and in a real one on an X server of its own, with real
 * input by xdotool. What the window shows is compared with the pictures the viewer saves. Skipped where Xvfb or xdotool are not installed. */
#include "gs/gs.h"
#include "support/test.h"
#include "support/xserver.h"
#include "viewer_rig.h"
#include "vk/base/file.h"
#include "vk/base/thread.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *scene(void)
{
    return test_source("tests/golden/01_forward/tiny50_sh3/scene.ply");
}

static const char *cameras(void)
{
    return test_source("tests/golden/01_forward/tiny50_sh3/cameras.json");
}

/* What `view --headless` draws of a camera in the window's size. Each is drawn once. */
static struct image headless(const char *camera, int width, int height)
{
    char name[64];
    snprintf(name, sizeof name, "headless_%s_%dx%d.png", camera, width, height);
    const char *out = test_tmp_path(name);
    if (fv_exists(out))
        return load(out);
    char *text = NULL;
    int status = test_fovea(&text,
                            "view '%s' --cameras '%s' --camera %s --size %dx%d --headless "
                            "--screenshot '%s'",
                            scene(), cameras(), camera, width, height, out);
    if (status)
        fail_msg("status %d: %s", status, text);
    free(text);
    return load(out);
}

/* --- without a window --- */

static void headless_draws_what_render_draws(void **state)
{
    (void)state;
    const char *view = test_tmp_path("view.png"), *render = test_tmp_path("render.png");
    char *text = NULL;
    int status = test_fovea(&text,
                            "view '%s' --cameras '%s' --camera 1 --size 320x240 --headless "
                            "--bg 0.2,0.4,0.6 --sh 2 --mode antialiased --screenshot '%s'",
                            scene(), cameras(), view);
    if (status)
        fail_msg("status %d: %s", status, text);
    free(text);
    status = test_fovea(&text,
                        "render '%s' --cameras '%s' --camera 1 --size 320x240 "
                        "--bg 0.2,0.4,0.6 --sh 2 --mode antialiased -o '%s'",
                        scene(), cameras(), render);
    if (status)
        fail_msg("status %d: %s", status, text);
    free(text);
    struct image a = load(view), b = load(render);
    assert_int_equal(a.width, 320);
    assert_int_equal(a.height, 240);
    assert_true(largest(&a, &b) == 0);
    image_finish(&a);
    image_finish(&b);
}

/* The command fails with this status and a sentence that contains part. */
static void rejects(int wanted, const char *part, const char *args)
{
    char *text = NULL;
    int status = test_fovea(&text, "view %s", args);
    if (status != wanted || !strstr(text, part))
        fail_msg("view %s: status %d, \"%s\"", args, status, text);
    free(text);
}

static void rejects_what_cannot_be_shown(void **state)
{
    (void)state;
    char args[1200];
    const char *bad = test_tmp_path("bad.ply"), *out = test_tmp_path("none.png");
    test_write_file(bad, "ply\nformat", 10);
    rejects(1, "absent.ply: no such file", "absent.ply");
    rejects(2, "needs a scene", "--headless");
    rejects(2, "needs a scene", "--frames 3");
    snprintf(args, sizeof args, "'%s' --headless --screenshot '%s'", bad, out);
    rejects(1, "bad.ply", args);
    assert_false(fv_exists(out));
    snprintf(args, sizeof args, "'%s' --headless --size 0x10", scene());
    rejects(1, "each side", args);
    snprintf(args, sizeof args, "'%s' --headless --cameras '%s' --camera nobody", scene(),
             cameras());
    rejects(1, "nobody", args);
    snprintf(args, sizeof args, "'%s' --headless --cameras '%s'", scene(), bad);
    rejects(1, "bad.ply", args);
    snprintf(args, sizeof args, "'%s' --headless --screenshot /nonexistent/a.png", scene());
    rejects(1, "/nonexistent/a.png", args);
}

static void no_display_is_a_sentence(void **state)
{
    (void)state;
    char *text = NULL, *display = getenv("DISPLAY");
    display = display ? strdup(display) : NULL;
    unsetenv("DISPLAY");
    int status = test_fovea(&text, "view '%s'", scene());
    if (display)
        setenv("DISPLAY", display, 1);
    free(display);
    assert_int_equal(status, 1);
    assert_true(strstr(text, "--headless") != NULL);
    free(text);
}

/* --- in a window --- */

static int start_server(void **state)
{
    (void)state;
    return xserver_start(800, 600);
}

static struct viewer start_with_cameras(void)
{
    const char *extra[] = {"--cameras", cameras(), NULL};
    return start(scene(), extra);
}

/* Presses F12 and returns the n-th picture saved by this viewer's scene. */
static struct image shoot(int n)
{
    char name[64];
    snprintf(name, sizeof name, "scene-%03d.png", n);
    const char *path = test_tmp_path(name);
    remove(path);
    xserver_input("key F12");
    for (double until = fv_now() + 60; !fv_exists(path) && fv_now() < until;)
        usleep(20000);
    struct image i = load(path);
    remove(path); /* so that the next one gets the first name again */
    return i;
}

static struct viewer shared; /* by the tests that begin with this and end by done; pid 0: there is none */
static bool in_use;          /* else its last test left it as it was */
static struct image first;   /* what it shows then */

/* A viewer of the scene at its first camera, panels hidden, mouse in the middle. */
static void bare(void)
{
    if (in_use && shared.pid) { /* the test before has failed */
        kill(shared.pid, SIGKILL);
        waitpid(shared.pid, NULL, 0);
        shared.pid = 0;
    }
    in_use = true;
    xserver_input("mousemove 320 240");
    if (shared.pid)
        return;
    image_finish(&first);
    shared = start_with_cameras();
    first = headless("0", WIDTH, HEIGHT);
    wait_for_scene(&first);
    xserver_input("key Tab");
    shows(&first, "at the first camera");
}

static void done(const char *keys)
{
    xserver_input(keys);
    shows(&first, "as it was before");
    in_use = false;
}

static void window_shows_the_picture_and_saves_it(void **state)
{
    (void)state;
    bare();
    struct image saved = shoot(1);
    assert_true(largest(&saved, &first) == 0);
    image_finish(&saved);
    xserver_input("key k key 2");
    struct image second = headless("1", WIDTH, HEIGHT);
    assert_true(share(&second, &first) > 0.01);
    shows(&second, "at the second camera");
    xserver_input("key k key bracketleft");
    shows(&first, "at the camera before");
    xserver_input("key bracketright");
    shows(&second, "at the next camera");
    xserver_input("key 1");
    shows(&first, "at the first camera again");
    xserver_input("key p");
    shows(&second, "at the end of the path");
    xserver_input("key p");
    shows_not(&second, 0.005, "playing the path again");
    shows(&second, "at its end again");
    image_finish(&second);
    done("key 1 key r");
}

static void drags_scrolls_and_keys_change_the_view(void **state)
{
    (void)state;
    static const char *const actions[][2] = {
        {"mousemove 320 240 mousedown 1 mousemove 380 260 mousemove 420 270 mouseup 1", "turning"},
        {"mousemove 320 240 mousedown 3 mousemove 350 240 mousemove 400 260 mouseup 3", "moving"},
        {"mousemove 320 240 click --repeat 4 --delay 30 4", "scrolling"},
        {"mousemove 320 240 mousedown 2 mousemove 350 240 mousemove 400 260 mouseup 2", "moving by the middle"},
        {"mousemove 320 240 keydown shift mousedown 1 mousemove 350 240 mousemove 400 260 mouseup 1 keyup shift",
         "moving by Shift"},
        {"keydown w sleep 0.3 keyup w", "flying ahead"},
        {"keydown s sleep 0.3 keyup s", "flying back"},
        {"keydown d sleep 0.3 keyup d", "flying aside"},
        {"keydown a sleep 0.3 keyup a", "flying to the other side"},
        {"keydown e sleep 0.3 keyup e", "flying up"},
        {"keydown q sleep 0.3 keyup q", "flying down"},
        {"key f", "framing"},
        {"key v", "showing alpha"},
    };
    bare();
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
        xserver_input(actions[i][0]);
        shows_not(&first, 0.01, actions[i][1]);
        usleep(400000); /* let it come to rest at full size */
        struct image saved = shoot(1);
        assert_int_equal(saved.width, WIDTH);
        assert_true(share(&saved, &first) > 0.01);
        shows(&saved, actions[i][1]);
        image_finish(&saved);
        if (i + 1 < sizeof actions / sizeof *actions) {
            xserver_input("key r");
            shows(&first, "after a reset");
        }
    }
    done("key v key v key r");
}

static void a_drag_is_of_the_way_of_moving(void **state)
{
    (void)state;
    static const char turn[] = "mousemove 320 240 mousedown 1 mousemove 380 260 mousemove 420 270 mouseup 1 mousemove 320 240";
    static const char *const ways[] = {"key r", "key m key m"}; /* orbit, beyond turntable: fly */
    struct image turned[2];
    bare();
    for (int i = 0; i < 2; i++) {
        xserver_input(ways[i]);
        xserver_input(turn);
        shows_not(&first, 0.01, ways[i]);
        usleep(400000);
        turned[i] = shoot(1);
        xserver_input("key r");
        shows(&first, "after a reset");
    }
    assert_true(share(&turned[0], &turned[1]) > 0.01);
    done("key m key r");
    image_finish(&turned[0]);
    image_finish(&turned[1]);
}

static void clicks_do_not_move_the_view(void **state)
{
    (void)state;
    bare();
    for (int i = 0; i < 3; i++) {
        /* at once: all of it may come in one round of the loop */
        xserver_input("mousemove 100 100 mousemove 400 300 mousedown 1 mouseup 1 "
                      "mousemove 200 400 click 3 mousemove 320 240");
        usleep(600000);
        shows(&first, "after clicks");
    }
    done("key r");
}

static void turning_around_a_picked_point_keeps_it_in_place(void **state)
{
    (void)state;
    bare();
    xserver_input("mousemove 330 250 click --repeat 2 --delay 60 1");
    usleep(5000000); /* until the notice is gone: picking alone must not move the view */
    shows(&first, "after picking");
    xserver_input("mousemove 500 400 mousedown 1 mousemove 470 390 mousemove 440 380 mouseup 1");
    shows_not(&first, 0.01, "turning around the point");
    done("key r");
}

static void follows_the_windows_size(void **state)
{
    (void)state;
    bare();
    xserver_input("search --name 'scene.ply - fovea' windowsize 500 300");
    struct image small = headless("0", 500, 300);
    shows(&small, "smaller");
    image_finish(&small);
    xserver_input("search --name 'scene.ply - fovea' windowsize 800 560");
    struct image large = headless("0", 800, 560);
    shows(&large, "larger");
    image_finish(&large);
    xserver_input("key F11");
    struct image full = headless("0", 800, 600);
    shows(&full, "full screen");
    image_finish(&full);
    xserver_input("key F11");
    usleep(500000);
    assert_int_equal(quit(&shared), 0); /* so it is the last of them */
    shared.pid = 0;
    image_finish(&first);
}

static void help_and_panels_come_and_go(void **state)
{
    (void)state;
    bare();
    xserver_input("key h");
    shows_not(&first, 0.05, "help");
    xserver_input("key Escape");
    shows(&first, "help closed");
    xserver_input("key F1");
    shows_not(&first, 0.05, "help again");
    xserver_input("key F1");
    shows(&first, "help closed again");
    xserver_input("key Tab");
    shows_not(&first, 0.05, "panels");
    done("key Tab");
}

/* Drops a file on the window like a file manager. False where the tool was not built. */
static bool drop(const char *path)
{
    char command[1200];
#ifdef XDROP
    snprintf(command, sizeof command, "'%s' $(xdotool search --name fovea | head -1) 320 240 '%s'",
             XDROP, path);
    if (system(command))
        fail_msg("%s", command);
    return true;
#else
    (void)command, (void)path;
    return false;
#endif
}

static void files_can_be_dropped_on_the_window(void **state)
{
    (void)state;
    char bad[256], list[256];
    snprintf(bad, sizeof bad, "%s", test_tmp_path("dropped.ply"));
    snprintf(list, sizeof list, "%s", test_tmp_path("dropped.json"));
    bare();
    test_write_file(bad, "ply\nformat", 10);
    if (drop(bad)) {
        shows_not(&first, 0.02, "the error of a bad file"); /* over the old scene */
        xserver_input("key Escape");
        shows(&first, "the old scene after a bad file");

        size_t size;
        char *text = test_read_file(cameras(), &size); /* the list without its first camera */
        char *second = strstr(strchr(text, '}') + 1, "{");
        assert_non_null(second);
        *--second = '[';
        test_write_file(list, second, strlen(second));
        free(text);
        assert_true(drop(list));
        struct image other = headless("1", WIDTH, HEIGHT);
        shows(&other, "the first of the dropped cameras");
        image_finish(&other);

        assert_true(drop(scene())); /* with the cameras beside it */
        shows(&first, "the dropped scene");

        assert_true(drop("")); /* by a program that is gone by the time it is answered */
        usleep(300000);
        xserver_input("key h");
        shows_not(&first, 0.05, "help, after that");
        xserver_input("key h");
    }
    done("key r");
}

/* Many faint balls behind one another: a picture of it takes long on any device. */
static const char *slow_scene(void)
{
    enum { COUNT = 60000 };
    const char *path = test_tmp_path("slow.ply");
    struct gs_scene s;
    uint64_t seed = 3;
    if (fv_exists(path))
        return path;
    assert_ok(gs_scene_alloc(&s, COUNT, 0));
    for (int i = 0; i < COUNT; i++) {
        for (int k = 0; k < 3; k++) {
            s.position[3 * i + k] = (float)test_uniform(&seed, -1, 1);
            s.scale[3 * i + k] = logf(0.5f);
            s.sh[3 * i + k] = (float)test_uniform(&seed, -1, 1);
        }
        memcpy(s.rotation + 4 * i, (float[4]){1, 0, 0, 0}, 16);
        s.opacity[i] = -5;
    }
    assert_ok(gs_scene_save(&s, path, NULL));
    gs_scene_finish(&s);
    return path;
}

/* What one picture takes from nothing, kernels compiled: SwiftShader takes seconds. */
static double seconds_to_draw(const char *path)
{
    double start = fv_now();
    int rc = test_fovea(NULL, "render '%s' -o '%s' --size %dx%d --frames 1 -q", path,
                        test_tmp_path("slow.png"), WIDTH, HEIGHT);
    assert_int_equal(rc, 0);
    return fv_now() - start;
}

/* Flies with the mouse going over the panels. However long a picture takes, no round of the
 * window's loop may wait for one: the viewer itself tells how long they were. */
static void the_window_does_not_wait_for_pictures(void **state)
{
    (void)state;
    const char *extra[] = {"--verbose", NULL};
    double seconds = seconds_to_draw(slow_scene());
    struct viewer v = start(slow_scene(), extra);
    char move[64];
    wait_for_window();
    usleep((useconds_t)(1e6 * (2 + 3 * seconds)));
    for (int i = 0; i < 3; i++) {
        xserver_input("keydown d");
        for (int k = 0; k < 20; k++) {
            snprintf(move, sizeof move, "mousemove %d %d", 40 + 5 * k, 60 + 10 * k);
            xserver_input(move);
        }
        xserver_input("keyup d sleep 0.5"); /* at rest it is drawn at full size */
        usleep((useconds_t)(1e6 * seconds));
    }
    assert_int_equal(quit(&v), 0);
    char *log = test_read_file(v.log, NULL), *at = strstr(log, " pictures, the longest");
    int pictures = 0, images = 0;
    double picture = 0, round = 0;
    while (at && at > log && at[-1] != ' ')
        at--;
    if (!at || sscanf(at,
                      "%d pictures, the longest took %lf ms; %d images of the window, no round of "
                      "input and panels longer than %lf ms",
                      &pictures, &picture, &images, &round) != 4)
        fail_msg("%s", log);
    print_message("%s", at);
    assert_true(pictures > 0 && images > 5);
    /* by far on lavapipe; SwiftShader's devices share their threads */
    if (!(round < 0.75 * picture))
        fail_msg("%s", at);
    free(log);
}

#ifdef FOVEA_HOT_RELOAD

static void replace(const char *file, const char *old, const char *fresh)
{
    char *text = test_read_file(file, NULL), *at = strstr(text, old);
    assert_non_null(at);
    char *out = malloc(strlen(text) + strlen(fresh) + 1);
    sprintf(out, "%.*s%s%s", (int)(at - text), text, fresh, at + strlen(old));
    test_write_file(file, out, strlen(out));
    free(out);
    free(text);
}

static void edited_shaders_take_effect_in_the_window(void **state)
{
    (void)state;
    static const char right[] = "return 0.28209479177387814",
                      wrong[] = "return -0.28209479177387814";
    char command[1200], dir[300], file[400];
    image_finish(&first);
    first = headless("0", WIDTH, HEIGHT);
    snprintf(dir, sizeof dir, "%s", test_tmp_path("shaders"));
    snprintf(file, sizeof file, "%s/lib/sh.glsl", dir);
    snprintf(command, sizeof command, "cp -r '%s' '%s'", test_source("shaders"), dir);
    assert_int_equal(system(command), 0);
    const char *extra[] = {"--cameras", cameras(), "--shader-dir", dir, NULL};
    struct viewer v = start(scene(), extra);
    wait_for_window();
    xserver_input("mousemove 320 240 key Tab"); /* the panels away */
    shows(&first, "with the shaders as they are");
    replace(file, right, wrong);
    shows_not(&first, 0.05, "an edited shader");
    struct image edited = grab(WIDTH, HEIGHT);
    replace(file, wrong, "return nonsense");
    shows_not(&edited, 0.05, "the compiler's message");
    struct image message = grab(WIDTH, HEIGHT);
    double kept = share(&message, &edited);
    if (kept > 0.5) /* the message covers a part; the picture stays */
        fail_msg("an error changed %.2f of the window", kept);
    replace(file, "return nonsense", right);
    shows(&first, "the shader put right");
    image_finish(&message);
    image_finish(&edited);
    image_finish(&first);
    assert_int_equal(quit(&v), 0);
}

#endif

static double cpu_seconds(pid_t pid)
{
    char path[64], text[1024] = "";
    unsigned long user = 0, system_time = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = 0;
    const char *after = strrchr(text, ')');
    assert_non_null(after);
    assert_int_equal(sscanf(after + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                            &system_time),
                     2);
    return (double)(user + system_time) / (double)sysconf(_SC_CLK_TCK);
}

static void rests_when_nothing_changes(void **state)
{
    (void)state;
    bare();
    usleep(1000000);
    double before = cpu_seconds(shared.pid);
    usleep(3000000);
    double used = cpu_seconds(shared.pid) - before;
    if (used > 0.15)
        fail_msg("%.2f s of CPU in 3 s of rest", used);
    done("key r");
}

static void ends_by_itself_after_its_frames(void **state)
{
    (void)state;
    const char *out = test_tmp_path("last.png");
    char *text = NULL;
    int status = test_fovea(&text,
                            "view '%s' --cameras '%s' --size 320x240 --frames 5 "
                            "--screenshot '%s'",
                            scene(), cameras(), out);
    if (status)
        fail_msg("status %d: %s", status, text);
    free(text);
    struct image last = load(out), same = headless("0", 320, 240);
    assert_true(largest(&last, &same) == 0);
    image_finish(&last);
    image_finish(&same);
}

static void a_bad_file_is_told_in_the_window_and_at_the_end(void **state)
{
    (void)state;
    const char *bad = test_tmp_path("broken.ply");
    test_write_file(bad, "ply\nformat", 10);
    struct viewer v = start(bad, NULL);
    xserver_input("mousemove 320 240");
    struct image black = grab(WIDTH, HEIGHT);
    memset(black.data, 0, sizeof(float) * black.width * black.height * black.channels);
    shows_not(&black, 0.5, "opening"); /* not the empty screen any more */
    image_finish(&black);
    usleep(1000000);
    assert_int_equal(quit(&v), 1);
    char *log = test_read_file(v.log, NULL);
    assert_true(strstr(log, "broken.ply") != NULL);
    free(log);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    test_device(); /* skips when there is none */
    test_device_done();
    const struct CMUnitTest plain[] = {
        cmocka_unit_test(headless_draws_what_render_draws),
        cmocka_unit_test(rejects_what_cannot_be_shown),
        cmocka_unit_test(no_display_is_a_sentence),
    };
    const struct CMUnitTest windows[] = {
        cmocka_unit_test(window_shows_the_picture_and_saves_it),
        cmocka_unit_test(drags_scrolls_and_keys_change_the_view),
        cmocka_unit_test(a_drag_is_of_the_way_of_moving),
        cmocka_unit_test(clicks_do_not_move_the_view),
        cmocka_unit_test(turning_around_a_picked_point_keeps_it_in_place),
        cmocka_unit_test(help_and_panels_come_and_go),
        cmocka_unit_test(files_can_be_dropped_on_the_window),
        cmocka_unit_test(rests_when_nothing_changes),
        cmocka_unit_test(follows_the_windows_size),
        cmocka_unit_test(the_window_does_not_wait_for_pictures),
#ifdef FOVEA_HOT_RELOAD
        cmocka_unit_test(edited_shaders_take_effect_in_the_window),
#endif
        cmocka_unit_test(ends_by_itself_after_its_frames),
        cmocka_unit_test(a_bad_file_is_told_in_the_window_and_at_the_end),
    };
    int failed = cmocka_run_group_tests_name("without a window", plain, NULL, NULL);
    if (failed)
        return failed;
    return RUN_IN_WINDOWS(windows, start_server, windows_end);
}
