/* Random input for the viewer: keys, clicks on widgets and beside them, drags, scrolls, texts, files dropped,
 * sizes of the window. It must not crash, hang, complain about Vulkan calls, or grow without end.
 *
 *     app_test_viewer_monkey [SECONDS [SEED]]      15 seconds, seed 1
 *
 * What it does is a function of the seed and of the widgets there are. Skipped where Xvfb or xdotool are
 * not installed. */
#include "support/test.h"
#include "support/xserver.h"
#include "viewer_rig.h"
#include "vk/base/file.h"
#include "vk/base/thread.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* MB of memory; and more at the end than after half the time, where that is twenty minutes or longer: by then all is
 * there that stays (docs/VIEWER.md) */
enum { SIDE_X = 1000, SIDE_Y = 640, MOST_BYTES = 1500, MOST_GROWTH = 40, LONG_SECONDS = 1200 };
static uint64_t seed;
static char files[4][256]; /* to open and drop: scene, stream, cameras, nonsense */

static unsigned below(unsigned n)
{
    return test_rand(&seed) % n;
}

static void make_files(void)
{
    const char *scene = test_source("tests/golden/01_forward/tiny50_sh3/scene.ply");
    snprintf(files[0], sizeof *files, "%s", scene);
    snprintf(files[1], sizeof *files, "%s", test_tmp_path("talk.fvv"));
    snprintf(files[2], sizeof *files, "%s", test_source("tests/golden/01_forward/tiny50_sh3/cameras.json"));
    snprintf(files[3], sizeof *files, "%s", test_tmp_path("nonsense.ply"));
    test_write_file(files[3], "ply\nformat", 10);
    make_stream("talk.fvv", scene, 6, 3, 5, 3);
}

/* Middle of a random widget; false: there is none. Nothing that would end what is tested, or leave the folder. */
static bool some_widget(int at[2], char name[64])
{
    char line[500];
    unsigned seen = 0;
    bool found = false;
    FILE *f = fopen(test_tmp_path("widgets"), "r");
    while (f && fgets(line, sizeof line, f)) {
        int box[4], n = 0;
        if (sscanf(line, "%d %d %d %d %n", &box[0], &box[1], &box[2], &box[3], &n) != 4)
            continue;
        if (strstr(line, "Save in") || strstr(line, "Path file") || strstr(line, "Video file"))
            continue;
        if (below(++seen)) /* each is as likely */
            continue;
        at[0] = box[0] + (int)below((unsigned)(box[2] - box[0] + 1));
        at[1] = box[1] + (int)below((unsigned)(box[3] - box[1] + 1));
        snprintf(name, 64, "%.60s", line + n);
        found = true;
    }
    if (f)
        fclose(f);
    return found;
}

static void do_something(char *log, size_t size)
{
    static const char *const keys[] = {"h", "F1", "Tab", "m", "f", "r", "1", "2", "9", "bracketleft", "bracketright",
                                       "b", "k", "p", "space", "v", "c", "Left", "Right", "Home", "End", "minus",
                                       "equal", "l", "g", "Escape", "F11", "F12", "Return", "ctrl+a", "BackSpace", "Delete",
                                       "comma", "period", "shift+w", "x", "o", "t"};
    static const char *const texts[] = {"a red ball", "3", "-1", "0", "999999999999", "1e9", "nan", "../..",
                                        "%s%n##", "64x64", "5"};
    int x = (int)below(SIDE_X), y = (int)below(SIDE_Y), at[2];
    char name[64] = "";
    unsigned what = below(100);
    if (what < 45 && some_widget(at, name))
        snprintf(log, size, "mousemove %d %d sleep 0.02 click %s1", at[0], at[1], below(6) ? "" : "--repeat 2 --delay 60 ");
    else if (what < 60)
        snprintf(log, size, "key %s", keys[below(sizeof keys / sizeof *keys)]);
    else if (what < 68)
        snprintf(log, size, "mousemove %d %d mousedown %u sleep 0.02 mousemove %u %u sleep 0.02 mouseup %u", x, y, 1u,
                 below(SIDE_X), below(SIDE_Y), 1u);
    else if (what < 71 && some_widget(at, name)) /* sliders, timelines */
        snprintf(log, size, "mousemove %d %d mousedown 1 sleep 0.02 mousemove %u %d sleep 0.02 mouseup 1", at[0], at[1],
                 below(SIDE_X), at[1]);
    else if (what < 76)
        snprintf(log, size, "mousemove %d %d mousedown 3 sleep 0.02 mousemove %u %u mouseup 3", x, y, below(SIDE_X),
                 below(SIDE_Y));
    else if (what < 82)
        snprintf(log, size, "mousemove %d %d click --repeat %u --delay 10 %u", x, y, 1 + below(5), 4 + below(2));
    else if (what < 88) { /* never one that stays down: Ctrl + Q would not be seen then */
        char key = "wasdqe"[below(6)];
        snprintf(log, size, "keydown %c sleep 0.1 keyup %c", key, key);
    }
    else if (what < 94)
        snprintf(log, size, "type --delay 2 '%s'", texts[below(sizeof texts / sizeof *texts)]);
    else if (what < 96)
        snprintf(log, size, "search --name fovea windowsize %u %u", 200 + below(SIDE_X - 200), 150 + below(SIDE_Y - 150));
    else if (what < 97)
        snprintf(log, size, "mousemove %d %d click --repeat 9 --delay 1 1", x, y);
    else
        snprintf(log, size, "drop %u", below(4));
}

static void carry_out(const char *what)
{
    char command[1200];
    unsigned file;
    if (sscanf(what, "drop %u", &file) == 1) {
#ifdef XDROP
        snprintf(command, sizeof command, "timeout 5 '%s' $(xdotool search --name fovea | head -1) 320 240 '%s' >/dev/null 2>&1",
                 XDROP, files[file]);
        if (system(command))
            print_message("%s: not dropped\n", what);
#endif
        return;
    }
    snprintf(command, sizeof command, "timeout 20 xdotool %s >/dev/null 2>&1", what);
    if (system(command))
        usleep(1000); /* a window that is not there yet */
}

static double megabytes(pid_t pid)
{
    char path[64];
    unsigned long all = 0, resident = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    FILE *f = fopen(path, "r");
    if (f && fscanf(f, "%lu %lu", &all, &resident) != 2)
        resident = 0;
    if (f)
        fclose(f);
    return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1e6;
}

/* Keys that end it at once are not pressed; so it runs on, or has crashed. */
static void still_runs(struct viewer *v, const char *history)
{
    int status;
    if (waitpid(v->pid, &status, WNOHANG) == 0)
        return;
    char *log = test_read_file(v->log, NULL);
    print_message("%s", history); /* a failure's message is cut */
    fail_msg("it ended with %s %d: %s", WIFSIGNALED(status) ? "signal" : "status",
             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), log);
}

static double seconds;

static void nothing_breaks(void **state)
{
    (void)state;
    char lines[24][200] = {""}, history[24 * 204];
    int count = 0;
    double begin = 0, half = 0, end = 0, most = 0;
    static const char *const extra[] = {"--size=1000x640", NULL};
    struct viewer v = start(NULL, extra);
    int box[4];
    wait_for_widget("welcome/File or URL", box);
    carry_out("drop 0");
    double start = fv_now();
    while (fv_now() < start + seconds) {
        char *line = lines[count % 24];
        do_something(line, sizeof *lines);
        carry_out(line);
        history[0] = 0;
        for (int i = count < 23 ? 0 : count - 23; i <= count; i++)
            snprintf(history + strlen(history), sizeof history - strlen(history), "%s\n", lines[i % 24]);
        still_runs(&v, history);
        if (++count == 40)
            begin = megabytes(v.pid);
        end = megabytes(v.pid);
        half = fv_now() < start + seconds / 2 ? end : half;
        most = fmax(most, end);
        if (most > MOST_BYTES)
            fail_msg("it takes %.0f MB after:\n%s", most, history);
        if (count % 60 == 0) { /* and answers: a key's effect is seen */
            carry_out("key Escape Escape");
            carry_out("search --name fovea windowsize 1000 640");
        }
    }
    print_message("%d inputs in %.0f s; memory %.0f MB at the 40th, %.0f after half the time, %.0f at the end, %.0f at most\n",
                  count, fv_now() - start, begin, half, end, most);
    if (seconds >= LONG_SECONDS && end - half > MOST_GROWTH)
        fail_msg("it grew by %.0f MB in the second half", end - half);
    carry_out("search --name fovea windowsize 1000 640"); /* keys go to the window under the mouse */
    carry_out("mousemove 500 300 sleep 0.5 key Escape");
    assert_int_equal(quit(&v), 0); /* which fails on validation messages, and where it hangs */
}

/* Files opened, the window's size, ways of drawing and pictures saved, again and again: the third time all kernels are
 * made, and what comes after takes no more memory. */
static void what_is_done_again_takes_no_more(void **state)
{
    (void)state;
    static const int sizes[][2] = {{700, 500}, {420, 300}, {940, 610}, {330, 540}, {810, 200}};
    enum { ROUNDS = 6, WARM = 3, SIZES = sizeof sizes / sizeof *sizes, MOST_MORE = 12 };
    static const char *const extra[] = {"--size=1000x640", NULL};
    double warm = 0, now = 0;
    int box[4];
#ifndef XDROP
    skip();
#endif
    unsetenv("FOVEA_TEST_VALIDATION"); /* the layers have a memory of their own */
    struct viewer v = start(NULL, extra);
    wait_for_widget("welcome/File or URL", box);
    for (int round = 0; round < ROUNDS; round++) {
        for (int file = 0; file < 2; file++) {
            char line[200];
            const int *size = sizes[(2 * round + file) % SIZES];
            snprintf(line, sizeof line, "drop %d", file);
            carry_out(line);
            snprintf(line, sizeof line, "sleep 0.35 search --name fovea windowsize %d %d sleep 0.1 mousemove 100 100 key v "
                                        "sleep 0.1 key c sleep 0.1 key End sleep 0.1 key Home Tab sleep 0.1 key Tab", size[0], size[1]);
            carry_out(line);
        }
        carry_out("search --name fovea windowsize 1000 640 sleep 0.2 mousemove 500 300 key F12 sleep 0.3");
        still_runs(&v, "what is done again");
        now = megabytes(v.pid);
        warm = round < WARM ? now : warm;
    }
    print_message("memory %.1f MB after %d rounds, %.1f after %d\n", warm, WARM, now, ROUNDS);
#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__
    if (now > warm + MOST_MORE)
        fail_msg("it grew by %.1f MB", now - warm);
#endif
    carry_out("mousemove 500 300 sleep 0.3 key Escape");
    assert_int_equal(quit(&v), 0);
}

static int start_server(void **state)
{
    (void)state;
    make_files();
    return xserver_start(SIDE_X, SIDE_Y);
}

int main(int argc, char **argv)
{
    test_device(); /* skips when there is none */
    test_device_done();
    seconds = argc > 1 ? atof(argv[1]) : 15;
    seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    printf("seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    setenv("HOME", test_tmp(), 1); /* clips go there */
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_breaks), cmocka_unit_test(what_is_done_again_takes_no_more)};
    return RUN_IN_WINDOWS(tests, start_server, windows_end);
}
