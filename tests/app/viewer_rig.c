/* See viewer_rig.h. */
#include "viewer_rig.h"
#include "support/test.h"
#include "support/xserver.h"
#include "vk/base/file.h"
#include "vk/base/thread.h"

#include <fcntl.h>
#include <signal.h>
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

struct viewer start(const char *file, const char *const *extra)
{
    struct viewer v;
    char size[32];
    const char *argv[24] = {"fovea"};
    int argc = 1;
    if (getenv("FOVEA_TEST_VALIDATION"))
        argv[argc++] = "--validation";
    argv[argc++] = "view";
    argv[argc++] = file;
    snprintf(size, sizeof size, "--size=%dx%d", WIDTH, HEIGHT);
    argv[argc++] = size;
    for (; extra && *extra; extra++)
        argv[argc++] = *extra;
    snprintf(v.log, sizeof v.log, "%s", test_tmp_path("viewer.log"));
    v.pid = fork();
    if (v.pid == 0) {
        int log = open(v.log, O_CREAT | O_TRUNC | O_WRONLY, 0600);
        dup2(log, 1);
        dup2(log, 2);
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

void shows(const struct image *wanted, const char *when)
{
    double until = fv_now() + 60, off = 256;
    while (off > 1) {
        struct image now = grab((int)wanted->width, (int)wanted->height);
        off = largest(&now, wanted);
        image_finish(&now);
        if (fv_now() > until)
            fail_msg("%s: the window is off by %.0f of 255", when, off);
    }
}

void shows_not(const struct image *old, double least_share, const char *when)
{
    double until = fv_now() + 60;
    for (double differ = 0; differ < least_share;) {
        struct image now = grab((int)old->width, (int)old->height);
        differ = share(&now, old);
        image_finish(&now);
        if (fv_now() > until)
            fail_msg("%s: the window changed in %.4f of its samples only", when, differ);
    }
}

int quit(struct viewer *v)
{
    int status;
    xserver_input("key ctrl+q");
    for (double until = fv_now() + 30; waitpid(v->pid, &status, WNOHANG) == 0; usleep(10000))
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
    for (double differ = 1; differ > 0.75;) {
        struct image now = grab((int)picture->width, (int)picture->height);
        differ = share(&now, picture);
        image_finish(&now);
        if (fv_now() > until)
            fail_msg("the window differs from the scene in %.4f of its samples", differ);
    }
}
