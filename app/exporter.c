/* See exporter.h. The process reports progress as JSON lines on its standard error
 * (--progress json); any other line there is for people. */
#include "app/exporter.h"
#include "vk/base/json.h"
#include "vk/base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { MAX_ARGS = 48, ARG_BYTES = 8192 };

struct exporter_private {
    pid_t pid; /* 0 once it has ended */
    int from;  /* its standard error */
    char path_file[64];
    char line[2048];
    size_t line_size;
    int state;
    bool cancelled;
};

/* --- the command line --- */

struct args {
    char *items[MAX_ARGS];
    size_t count, used;
    char text[ARG_BYTES];
    bool full;
};

__attribute__((format(printf, 2, 3))) static void arg(struct args *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    size_t room = sizeof a->text - a->used;
    int n = vsnprintf(a->text + a->used, room, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= room || a->count >= MAX_ARGS - 1) {
        a->full = true;
        return;
    }
    a->items[a->count++] = a->text + a->used;
    a->used += (size_t)n + 1;
}

static void list_args(struct args *a, const struct exporter_opts *o, const char *path_file)
{
    const struct gs_render_opts *r = &o->render;
    arg(a, "fovea");
    arg(a, "render");
    arg(a, "--output=%s", o->output);
    arg(a, "--cameras=%s", path_file);
    arg(a, "--size=%ux%u", o->width, o->height);
    arg(a, "--fps=%.6g", o->fps);
    if (o->seconds > 0)
        arg(a, "--seconds=%.9g", o->seconds);
    arg(a, "--progress=json");
    if (o->device)
        arg(a, "--device=%s", o->device);
    if (r->mode != GS_MODE_AUTO)
        arg(a, "--mode=%s", r->mode == GS_MODE_CLASSIC ? "classic" : "antialiased");
    if (r->sh_bands)
        arg(a, "--sh=%d", r->sh_bands - 1);
    if (r->has_bg)
        arg(a, "--bg=%.4f,%.4f,%.4f", r->bg[0], r->bg[1], r->bg[2]);
    if (r->splat_scale > 0 && r->splat_scale != 1)
        arg(a, "--splat-scale=%.4g", r->splat_scale);
    if (r->has_crop)
        arg(a, "--crop=%.9g,%.9g,%.9g,%.9g,%.9g,%.9g", r->crop_min[0], r->crop_min[1],
            r->crop_min[2], r->crop_max[0], r->crop_max[1], r->crop_max[2]);
    arg(a, "--");
    arg(a, "%s", o->scene);
}

/* --- the process --- */

static int spawn(struct exporter_private *p, const char *program, char *const *argv)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return fv_fail(FV_EIO, "cannot start the export: %s", strerror(errno));
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
    int error =
        posix_spawn(&p->pid, program ? program : "/proc/self/exe", &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (error) {
        close(ends[0]);
        p->pid = 0;
        return fv_fail(FV_EIO, "cannot start the export: %s", strerror(error));
    }
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    p->from = ends[0];
    return 0;
}

static int write_path(struct exporter_private *p, const struct gs_cameras *path)
{
    strcpy(p->path_file, "/tmp/fovea-path-XXXXXX");
    int fd = mkstemp(p->path_file);
    if (fd < 0) {
        p->path_file[0] = 0;
        return fv_fail(FV_EIO, "/tmp: cannot write the camera path: %s", strerror(errno));
    }
    close(fd);
    return gs_cameras_save_path(path, p->path_file);
}

int exporter_start(struct exporter **out, const struct exporter_opts *opts)
{
    int rc = 0;
    *out = NULL;
    if (!opts->path->count)
        return fv_fail(FV_EINVALID, "the camera path has no keys to export: add some first");
    struct exporter *e = calloc(1, sizeof *e);
    struct exporter_private *p = calloc(1, sizeof *p);
    struct args *a = calloc(1, sizeof *a);
    if (!e || !p || !a) {
        free(e);
        free(p);
        free(a);
        return fv_fail(FV_ENOMEM, "out of memory for the export");
    }
    e->p = p;
    p->from = -1;
    snprintf(e->output, sizeof e->output, "%s", opts->output);
    FV_GOTO(write_path(p, opts->path));
    list_args(a, opts, p->path_file);
    if (a->full)
        FV_GOTO(fv_fail(FV_EINVALID, "the names of scene and output are too long to export"));
    FV_GOTO(spawn(p, opts->program, a->items));
    *out = e;
    e = NULL;
done:
    free(a);
    exporter_destroy(&e);
    return rc;
}

/* --- what it says --- */

static void take_line(struct exporter *e, const char *line)
{
    struct fv_json doc;
    if (line[0] != '{') {
        if (*line)
            snprintf(e->message, sizeof e->message, "%.*s", (int)sizeof e->message - 1, line);
        return;
    }
    if (fv_json_parse(&doc, line, strlen(line), "progress") < 0)
        return;
    const char *what = fv_json_string_or(&doc, doc.root, "what", "");
    if (!strcmp(what, "rendering")) {
        e->done = fv_json_number_or(&doc, doc.root, "done", 0);
        e->total = fv_json_number_or(&doc, doc.root, "total", 0);
        e->fps = fv_json_number_or(&doc, doc.root, "fps", 0);
        e->eta = fv_json_number_or(&doc, doc.root, "eta", 0);
    }
    fv_json_close(&doc);
}

static void read_lines(struct exporter *e)
{
    struct exporter_private *p = e->p;
    char chunk[4096];
    ssize_t n;
    while ((n = read(p->from, chunk, sizeof chunk)) > 0)
        for (ssize_t i = 0; i < n; i++) {
            if (chunk[i] == '\n') {
                p->line[p->line_size] = 0;
                p->line_size = 0;
                take_line(e, p->line);
            } else if (p->line_size < sizeof p->line - 1) {
                p->line[p->line_size++] = chunk[i];
            }
        }
}

static int ended(struct exporter *e, int status)
{
    struct exporter_private *p = e->p;
    p->pid = 0;
    read_lines(e);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 1;
    if (p->cancelled)
        return fv_fail(FV_ECANCELLED, "The export was cancelled after %.0f frames.", e->done);
    if (WIFSIGNALED(status))
        return fv_fail(FV_EIO, "%s: the export was ended by signal %d", e->output,
                       WTERMSIG(status));
    const char *say = e->message;
    for (int colons = 0; colons < 2; colons++) { /* "fovea: render: " */
        const char *next = strstr(say, ": ");
        say = next && next - say < 8 ? next + 2 : say;
    }
    return fv_fail(FV_EIO, "%s", *say ? say : "the export failed without a reason");
}

int exporter_poll(struct exporter *e)
{
    struct exporter_private *p = e->p;
    int status;
    if (p->state)
        return p->state;
    read_lines(e);
    pid_t got = waitpid(p->pid, &status, WNOHANG);
    if (got == p->pid)
        p->state = ended(e, status);
    else if (got < 0 && errno != EINTR)
        p->state = fv_fail(FV_EIO, "%s: lost sight of the export: %s", e->output, strerror(errno));
    return p->state;
}

void exporter_cancel(struct exporter *e)
{
    if (e->p->pid && !e->p->cancelled)
        kill(e->p->pid, SIGINT);
    e->p->cancelled = true;
}

void exporter_destroy(struct exporter **e_)
{
    struct exporter *e = *e_;
    if (!e)
        return;
    struct exporter_private *p = e->p;
    if (p->pid) {
        exporter_cancel(e);
        double patience = fv_now() + 5;
        while (!exporter_poll(e) && fv_now() < patience)
            usleep(20000);
        if (p->pid) {
            kill(p->pid, SIGKILL);
            waitpid(p->pid, NULL, 0);
        }
    }
    if (p->from >= 0)
        close(p->from);
    if (p->path_file[0])
        unlink(p->path_file);
    free(p);
    free(e);
    *e_ = NULL;
}
