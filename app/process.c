/* See process.h. The process reports progress as JSON lines on its standard error (--progress json); any
 * other line there is for people. */
#include "app/process.h"
#include "vk/base/json.h"
#include "vk/base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

struct process_private {
    pid_t pid;     /* 0 once it has ended */
    int err, out;  /* its standard error and output; -1 = none */
    char what[32]; /* for messages */
    char only[32]; /* the work that counts; "" = all */
    char line[2048];
    size_t line_size, room;
    int state;
    char error[1024]; /* of a negative state */
    bool cancelled;
};

void process_arg(struct process_line *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    size_t room = sizeof a->text - a->used;
    int n = vsnprintf(a->text + a->used, room, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= room || a->count >= PROCESS_ARGS - 2) { /* the name and NULL */
        a->full = true;
        return;
    }
    a->items[a->count++] = a->text + a->used;
    a->used += (size_t)n + 1;
}

static int pipe_for(int ends[2], bool wanted)
{
    ends[0] = ends[1] = -1;
    if (wanted && pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    if (wanted)
        fcntl(ends[0], F_SETFL, O_NONBLOCK);
    return 0;
}

static void close_ends(const int ends[2], int from)
{
    for (int k = from; k < 2; k++)
        if (ends[k] >= 0)
            close(ends[k]);
}

static int spawn(struct process_private *p, const struct process_line *line, const struct process_opts *o)
{
    int err[2], out[2] = {-1, -1};
    char *argv[PROCESS_ARGS] = {"fovea"};
    memcpy(argv + 1, line->items, line->count * sizeof *argv);
    if (pipe_for(err, true) < 0 || pipe_for(out, o->output > 0) < 0) {
        int cause = errno;
        close_ends(err, 0);
        return fv_fail(FV_EIO, "cannot start the %s: %s", p->what, strerror(cause));
    }
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (o->output)
        posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    else
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, err[1], STDERR_FILENO);
    int failed =
        posix_spawn(&p->pid, o->program ? o->program : "/proc/self/exe", &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close_ends(err, failed ? 0 : 1);
    close_ends(out, failed ? 0 : 1);
    if (failed) {
        p->pid = 0;
        return fv_fail(FV_EIO, "cannot start the %s: %s", p->what, strerror(failed));
    }
    if (o->niceness)
        setpriority(PRIO_PROCESS, (id_t)p->pid, o->niceness);
    p->err = err[0];
    p->out = out[0];
    return 0;
}

int process_start(struct process **out, const struct process_line *line, const struct process_opts *o)
{
    int rc = 0;
    *out = NULL;
    struct process *e = calloc(1, sizeof *e);
    struct process_private *p = calloc(1, sizeof *p);
    if (!e || !p) {
        free(e);
        free(p);
        return fv_fail(FV_ENOMEM, "out of memory for the %s", o->what);
    }
    e->p = p;
    p->err = p->out = -1;
    p->room = o->output;
    snprintf(p->what, sizeof p->what, "%s", o->what);
    snprintf(p->only, sizeof p->only, "%s", o->work ? o->work : "");
    if (line->full)
        FV_GOTO(fv_fail(FV_EINVALID, "the names of files are too long for the %s", o->what));
    if (o->output && !(e->output = calloc(1, o->output + 1)))
        FV_GOTO(fv_fail(FV_ENOMEM, "out of memory for the %s", o->what));
    FV_GOTO(spawn(p, line, o));
    *out = e;
    e = NULL;
done:
    process_destroy(&e);
    return rc;
}

/* --- what it says --- */

static void take_line(struct process *e, const char *line)
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
    if (!*e->p->only || !strcmp(what, e->p->only)) {
        snprintf(e->work, sizeof e->work, "%s", what);
        e->done = fv_json_number_or(&doc, doc.root, "done", 0);
        e->total = fv_json_number_or(&doc, doc.root, "total", 0);
        e->fps = fv_json_number_or(&doc, doc.root, "fps", 0);
        e->eta = fv_json_number_or(&doc, doc.root, "eta", 0);
        e->memory = (uint64_t)fv_json_number_or(&doc, doc.root, "memory", 0);
    }
    fv_json_close(&doc);
}

static void read_all(struct process *e)
{
    struct process_private *p = e->p;
    char chunk[4096];
    ssize_t n;
    while ((n = read(p->err, chunk, sizeof chunk)) > 0)
        for (ssize_t i = 0; i < n; i++) {
            if (chunk[i] == '\n') {
                p->line[p->line_size] = 0;
                p->line_size = 0;
                take_line(e, p->line);
            } else if (p->line_size < sizeof p->line - 1) {
                p->line[p->line_size++] = chunk[i];
            }
        }
    while (p->out >= 0 && (n = read(p->out, chunk, sizeof chunk)) > 0) { /* what is too much is dropped */
        size_t take = (size_t)n < p->room - e->output_size ? (size_t)n : p->room - e->output_size;
        memcpy(e->output + e->output_size, chunk, take);
        e->output_size += take;
    }
}

static int ended(struct process *e, int status)
{
    struct process_private *p = e->p;
    p->pid = 0;
    read_all(e);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 1;
    if (p->cancelled)
        return fv_fail(FV_ECANCELLED, "The %s was cancelled.", p->what);
    if (WIFSIGNALED(status))
        return fv_fail(FV_EIO, "the %s was ended by signal %d", p->what, WTERMSIG(status));
    const char *say = e->message;
    for (int colons = 0; colons < 2; colons++) { /* "fovea: render: " */
        const char *next = strstr(say, ": ");
        say = next && next - say < 9 ? next + 2 : say;
    }
    return fv_fail(FV_EIO, "%s", *say ? say : "it failed without a reason");
}

int process_poll(struct process *e)
{
    struct process_private *p = e->p;
    int status;
    if (p->state)
        return p->state < 0 ? fv_fail(p->state, "%s", p->error) : p->state;
    read_all(e);
    pid_t got = waitpid(p->pid, &status, WNOHANG);
    if (got == p->pid)
        p->state = ended(e, status);
    else if (got < 0 && errno != EINTR)
        p->state = fv_fail(FV_EIO, "lost sight of the %s: %s", p->what, strerror(errno));
    if (p->state < 0)
        snprintf(p->error, sizeof p->error, "%s", fv_error());
    return p->state;
}

void process_cancel(struct process *e)
{
    if (e->p->pid && !e->p->cancelled)
        kill(e->p->pid, SIGINT);
    e->p->cancelled = true;
}

void process_destroy(struct process **e_)
{
    struct process *e = *e_;
    if (!e)
        return;
    struct process_private *p = e->p;
    if (p->pid) {
        process_cancel(e);
        double patience = fv_now() + 5;
        while (!process_poll(e) && fv_now() < patience)
            usleep(20000);
        if (p->pid) {
            kill(p->pid, SIGKILL);
            waitpid(p->pid, NULL, 0);
        }
    }
    if (p->err >= 0)
        close(p->err);
    if (p->out >= 0)
        close(p->out);
    free(e->output);
    free(p);
    free(e);
    *e_ = NULL;
}
