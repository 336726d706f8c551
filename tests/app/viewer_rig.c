/* See viewer_rig.h. */
#include "viewer_rig.h"
#include "support/test.h"
#include "support/xserver.h"
#include "vk/base/file.h"
#include "vk/base/thread.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

double largest(const struct image *a, const struct image *b)
{
    double most = 0;
    if (a->width != b->width || a->height != b->height || a->channels != b->channels)
        return 256;
    for (size_t i = 0; i < (size_t)a->width * a->height * a->channels; i++)
        most = fmax(most, fabs((double)a->data[i] - b->data[i]) * 255);
    return most;
}

double share(const struct image *a, const struct image *b)
{
    size_t count = (size_t)a->width * a->height * a->channels, differ = 0;
    assert_int_equal(a->width, b->width);
    for (size_t i = 0; i < count; i++)
        differ += fabs((double)a->data[i] - b->data[i]) * 255 > 8;
    return (double)differ / (double)count;
}

struct image load(const char *path)
{
    struct image i;
    assert_ok(image_load(&i, path));
    return i;
}

bool windows_available(void)
{
    bool can = xserver_available();
    if (!can)
        fprintf(stderr, "Xvfb or xdotool is not installed: window tests skipped\n");
    return can;
}

int windows_end(void **state)
{
    (void)state;
    xserver_stop();
    return 0;
}

struct viewer start(const char *file, const char *const *extra)
{
    struct viewer v;
    char size[32];
    const char *argv[24] = {"fovea"};
    int argc = 1;
    if (getenv("FOVEA_TEST_VALIDATION"))
        argv[argc++] = "--validation";
    if (file) {
        argv[argc++] = "view";
        argv[argc++] = file;
    }
    snprintf(size, sizeof size, "--size=%dx%d", WIDTH, HEIGHT);
    if (file)
        argv[argc++] = size;
    else if (extra) /* options are of `view` */
        argv[argc++] = "view";
    for (; extra && *extra; extra++)
        argv[argc++] = *extra;
    snprintf(v.log, sizeof v.log, "%s", test_tmp_path("viewer.log"));
    remove(test_tmp_path("widgets")); /* of the viewer before */
    v.pid = fork();
    if (v.pid == 0) {
        int log = open(v.log, O_CREAT | O_TRUNC | O_WRONLY, 0600);
        dup2(log, 1);
        dup2(log, 2);
        setenv("XDG_CONFIG_HOME", test_tmp_path("config"), 1);
        setenv("FOVEA_WIDGETS", test_tmp_path("widgets"), 1);
        if (chdir(test_tmp()) == 0)
            execv(FOVEA_BINARY, (char *const *)argv);
        _exit(127);
    }
    assert_true(v.pid > 0);
    return v;
}

struct image grab(int width, int height)
{
    return load(xserver_grab(width, height));
}

/* Between two looks at the window: the viewer needs the processor, too. */
static void a_moment(void)
{
    usleep(30000);
}

void shows(const struct image *wanted, const char *when)
{
    double until = fv_now() + 60, off = 256;
    for (; off > 1; a_moment()) {
        struct image now = grab((int)wanted->width, (int)wanted->height);
        off = largest(&now, wanted);
        image_finish(&now);
        if (fv_now() > until)
            fail_msg("%s: the window is off by %.0f of 255", when, off);
    }
}

static double columns_off(const struct image *a, const struct image *b, int x0, int x1)
{
    double most = 0;
    for (int y = 0; y < (int)a->height; y++)
        for (int x = x0; x < x1; x++)
            for (int k = 0; k < 3; k++)
                most = fmax(most, fabs((double)a->data[(y * (int)a->width + x) * 3 + k] -
                                       b->data[(y * (int)b->width + x) * 3 + k]) * 255);
    return most;
}

void columns_show(const struct image *wanted, int x0, int x1, const char *when)
{
    double until = fv_now() + 60, off = 256;
    for (; off > 1; a_moment()) {
        struct image now = grab((int)wanted->width, (int)wanted->height);
        assert_int_equal(now.channels, 3);
        assert_int_equal(wanted->channels, 3);
        off = columns_off(&now, wanted, x0, x1);
        image_finish(&now);
        if (fv_now() > until)
            fail_msg("%s: columns %d to %d are off by %.0f of 255", when, x0, x1, off);
    }
}

void make_stream(const char *name, const char *scene, int frames, int group, int fps, int degrees)
{
    char dir[300], path[256];
    snprintf(path, sizeof path, "%s", test_tmp_path(name));
    snprintf(dir, sizeof dir, "%s.frames", path);
    assert_int_equal(mkdir(dir, 0777), 0);
    for (int k = 0; k < frames; k++)
        TEST_RUNS("convert '%s' -o '%s/%d.ply' --rotate y:%d -q", scene, dir, k, degrees * k);
    TEST_RUNS("encode '%s' -o '%s' --psnr 40 --gop %d --fps %d -q", dir, path, group, fps);
}

void shows_not(const struct image *old, double least_share, const char *when)
{
    double until = fv_now() + 60;
    for (double differ = 0; differ < least_share; a_moment()) {
        struct image now = grab((int)old->width, (int)old->height);
        differ = share(&now, old);
        image_finish(&now);
        if (fv_now() > until)
            fail_msg("%s: the window changed in %.4f of its samples only", when, differ);
    }
}

struct image grab_still(int width, int height)
{
    double until = fv_now() + 60;
    struct image before = grab(width, height), now;
    for (double off = 256; off > 0;) {
        usleep(300000);
        now = grab(width, height);
        off = largest(&before, &now);
        image_finish(&before);
        before = now;
        if (fv_now() > until)
            fail_msg("the window does not come to rest: off by %.0f of 255", off);
    }
    return now;
}

int quit(struct viewer *v)
{
    int status;
    xserver_input("key ctrl+q");
    for (double until = fv_now() + 120; waitpid(v->pid, &status, WNOHANG) == 0; usleep(10000)) /* leaks are looked for, too */
        if (fv_now() > until) {
            kill(v->pid, SIGKILL);
            waitpid(v->pid, &status, 0);
            fail_msg("the viewer did not quit");
        }
    char *log = test_read_file(v->log, NULL);
    if (strstr(log, "validation:"))
        fail_msg("%s", log);
    free(log);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void wait_for_window(void)
{
    struct image black = grab(WIDTH, HEIGHT);
    memset(black.data, 0, sizeof(float) * black.width * black.height * black.channels);
    shows_not(&black, 0.2, "opening");
    image_finish(&black);
}

void wait_for_scene(const struct image *picture)
{
    double until = fv_now() + 60;
    wait_for_window();
    for (double differ = 1; differ > 0.75; a_moment()) {
        struct image now = grab((int)picture->width, (int)picture->height);
        differ = share(&now, picture);
        image_finish(&now);
        if (fv_now() > until)
            fail_msg("the window differs from the scene in %.4f of its samples", differ);
    }
}

/* --- widgets --- */

/* Read too often for test_tmp_path's buffers, which hold what callers type. */
static FILE *open_widgets(void)
{
    char path[512];
    snprintf(path, sizeof path, "%s/widgets", test_tmp());
    return fopen(path, "r");
}

/* What is in front of a name, of "panel ", "typing " and "value ": how many bytes. */
static size_t kind_of(const char *line)
{
    static const char *const kinds[] = {"panel ", "typing ", "value "};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strncmp(line, kinds[i], strlen(kinds[i])))
            return strlen(kinds[i]);
    return 0;
}

/* Whether "panel/label" is of this name, size bytes long (viewer_rig.h). */
static bool is_called(const char *label, const char *name, size_t size)
{
    const char *shown = strstr(label, "##"); /* what follows is told only where nothing else is */
    size_t n = shown && shown > label && shown[-1] != '/' ? (size_t)(shown - label) : strlen(label);
    return n == size ? !memcmp(label, name, n)
                     : n > size && label[n - size - 1] == '/' && !memcmp(label + n - size, name, size);
}

bool find_widget(const char *name, int box[4])
{
    char line[500];
    bool found = false;
    const char *number = strstr(name, "#1"); /* the one after the first of its name */
    int skip = number != NULL;
    size_t kind = kind_of(name), size = (number ? (size_t)(number - name) : strlen(name)) - kind;
    FILE *f = open_widgets();
    while (f && !found && fgets(line, sizeof line, f)) {
        int at = 0;
        char *end = strchr(line, '\n'), *label = line + kind_of(line);
        if (end)
            *end = 0;
        if ((size_t)(label - line) != kind || strncmp(line, name, kind) ||
            sscanf(label, "%d %d %d %d %n", &box[0], &box[1], &box[2], &box[3], &at) != 4)
            continue;
        found = is_called(label + at, name + kind, size);
        if (found && skip-- > 0)
            found = false;
    }
    if (f)
        fclose(f);
    return found;
}

/* Beside the message of a test, which is cut. */
static void print_widgets(void)
{
    char *all = test_read_file(test_tmp_path("widgets"), NULL);
    fputs(all, stdout);
    free(all);
}

void wait_for_widget(const char *name, int box[4])
{
    double until = fv_now() + 60;
    while (!find_widget(name, box)) {
        usleep(20000);
        if (fv_now() > until) {
            print_widgets();
            fail_msg("no widget \"%s\" in the window", name);
        }
    }
}

void wait_for_no_widget(const char *name)
{
    int box[4];
    double until = fv_now() + 60;
    while (find_widget(name, box)) {
        usleep(20000);
        if (fv_now() > until) {
            print_widgets();
            fail_msg("the widget \"%s\" stays in the window", name);
        }
    }
}

/* Until it stands still: panels lay themselves out in the draws after a change. */
static void settled_widget(const char *name, int box[4])
{
    int before[4] = {-1};
    for (wait_for_widget(name, box); memcmp(before, box, sizeof before); wait_for_widget(name, box)) {
        memcpy(before, box, sizeof before);
        usleep(150000);
    }
}

/* Clicks that the viewer has taken in so far. */
static unsigned clicks(void)
{
    char line[500];
    unsigned n = 0;
    FILE *f = open_widgets();
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "clicks %u", &n) == 1)
            break;
    if (f)
        fclose(f);
    return n;
}

void click_times(const char *name, int times)
{
    char input[160];
    int box[4];
    settled_widget(name, box);
    unsigned before = clicks();
    snprintf(input, sizeof input, "mousemove %d %d sleep 0.1 click --repeat %d --delay 80 1",
             (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, times);
    xserver_input(input);
    /* what is clicked next may be somewhere else by this one; one that ends the viewer is never told */
    for (double until = fv_now() + 10; clicks() == before && fv_now() < until;)
        usleep(10000);
}

void click(const char *name)
{
    click_times(name, 1);
}

void type_into(const char *name, const char *text)
{
    char input[400], typing[128];
    int box[4];
    click(name);
    snprintf(typing, sizeof typing, "typing %s", name);
    wait_for_widget(typing, box); /* keys would be shortcuts before */
    snprintf(input, sizeof input, "key ctrl+a sleep 0.1 type --delay 20 '%s'", text);
    xserver_input(input);
}

/* --- what they tell --- */

/* The first text of this name that contains part (""; any). */
static bool find_text(const char *name, const char *part, char out[640])
{
    char line[1200];
    bool found = false;
    FILE *f = open_widgets();
    while (f && !found && fgets(line, sizeof line, f)) {
        char *tab = strchr(line, '\t'), *end = strchr(line, '\n');
        if (strncmp(line, "says ", 5) || !tab)
            continue;
        *tab = 0;
        if (end)
            *end = 0;
        found = is_called(line + 5, name, strlen(name)) && strstr(tab + 1, part);
        if (found)
            snprintf(out, 640, "%s", tab + 1);
    }
    if (f)
        fclose(f);
    return found;
}

static _Noreturn void does_not_say(const char *name, const char *wanted)
{
    print_widgets();
    fail_msg("\"%s\" does not say \"%s\"", name, wanted);
    abort();
}

void says(const char *name, const char *wanted)
{
    char text[640] = "";
    for (double until = fv_now() + 60; !find_text(name, "", text) || strcmp(text, wanted); usleep(20000))
        if (fv_now() > until)
            does_not_say(name, wanted);
}

void tells(const char *name, const char *part)
{
    char text[640];
    for (double until = fv_now() + 60; !find_text(name, part, text); usleep(20000))
        if (fv_now() > until)
            does_not_say(name, part);
}

void says_about(const char *name, double wanted, double off)
{
    char text[640] = "", about[64];
    snprintf(about, sizeof about, "%g, to %g", wanted, off);
    for (double until = fv_now() + 60; !find_text(name, "", text) || !(fabs(atof(text) - wanted) <= off); usleep(20000))
        if (fv_now() > until)
            does_not_say(name, about);
}

void slide(const char *name, double from, double to)
{
    char input[200];
    int box[4];
    settled_widget(name, box);
    int y = (box[1] + box[3]) / 2, width = box[2] - box[0];
    snprintf(input, sizeof input, "mousemove %d %d sleep 0.05 mousedown 1 sleep 0.1 mousemove %d %d sleep 0.1 mouseup 1",
             box[0] + (int)(from * width), y, box[0] + (int)(to * width), y);
    xserver_input(input);
}
