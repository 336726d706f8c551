/* See batch_estimate.h. Estimates are made by a process of its own, which opens the device and the models: one that
 * ends with a crash is told as one that would fail, and another goes on behind it. */
#include "app/batch_estimate.h"
#include "app/batch_run.h"
#include "app/context.h"
#include "app/keep.h"
#include "app/progress.h"
#include "app/text.h"
#include "vk/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* What one process says of a job: "NUMBER SECONDS BYTES TEXT\n", SECONDS -1 where it would fail. */
enum { MOST_TEXT = 600 };

struct guess {
    bool told, fails;
    double seconds, bytes; /* 0: not known */
    char *error;
};

/* ---- the process that estimates ---------------------------------------------------------- */

static void estimate_from(struct app *app, const struct batch_jobs *jobs, const bool *wanted, size_t first, FILE *out)
{
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (null >= 0) {
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
    }
    const struct app shared = *app;
    app->keep = keep_create(jobs);
    app->quiet = true;
    for (size_t i = first; app->keep && i < jobs->count && !app_cancelled(); i++) {
        const struct batch_job *j = &jobs->items[i];
        struct cmd_cost cost = {0};
        if (!wanted[i])
            continue;
        const char *device = j->globals.device ? j->globals.device : shared.device;
        if (app->dev && (!device != !app->device || (device && strcmp(device, app->device)))) {
            keep_clear(app->keep);
            context_close_device(app);
        }
        app->device = device;
        keep_for(app->keep, i);
        int rc = j->cmd->estimate(app, j->values, &j->args, &cost);
        if (rc < 0)
            fprintf(out, "%zu -1 0 %.500s\n", i, *fv_error() ? fv_error() : fv_code_name(rc));
        else
            fprintf(out, "%zu %.9g %.9g \n", i, cost.seconds, cost.bytes);
        fflush(out);
    }
    keep_destroy(&app->keep);
    context_close_device(app);
}

/* Number of the job behind the last one that was told of. */
static int run_estimates(struct app *app, const struct batch_jobs *jobs, const bool *wanted, size_t first,
                         struct guess *guesses, size_t *next, struct progress *p)
{
    int ends[2];
    char line[MOST_TEXT + 100];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return fv_fail(FV_EIO, "a process cannot be started: %s", strerror(errno));
    progress_hide();
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(ends[0]);
        FILE *out = fdopen(ends[1], "w");
        if (out)
            estimate_from(app, jobs, wanted, first, out);
        _exit(0);
    }
    close(ends[1]);
    FILE *in = pid > 0 ? fdopen(ends[0], "r") : NULL;
    *next = first;
    while (in && fgets(line, sizeof line, in)) {
        size_t i;
        int at = 0;
        double seconds, bytes;
        if (sscanf(line, "%zu %lf %lf%n", &i, &seconds, &bytes, &at) != 3 || i >= jobs->count)
            continue;
        line[strcspn(line, "\n")] = 0;
        guesses[i] = (struct guess){.told = true, .fails = seconds < 0, .seconds = seconds, .bytes = bytes};
        guesses[i].error = seconds < 0 ? strdup(line + at + 1) : NULL;
        *next = i + 1;
        struct fv_progress now = {"estimating", (double)*next, (double)jobs->count};
        progress_update(p, &now);
    }
    if (in)
        fclose(in);
    else
        close(ends[0]);
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return pid < 0 ? fv_fail(FV_EIO, "a process cannot be started: %s", strerror(errno)) : 0;
}

/* ---- what was known before --------------------------------------------------------------- */

/* Of the job itself, else of those of its model. */
static void guess_by_past(const struct batch_jobs *jobs, const struct batch_journal *journal, size_t job, struct guess *g)
{
    const struct batch_past *own = batch_journal_find(journal, jobs->items[job].hash);
    double seconds = 0, bytes = 0;
    size_t count = 0;
    if (own && own->times_made) {
        g->seconds = own->seconds;
        g->bytes = (double)own->host_bytes;
        return;
    }
    for (size_t i = 0; i < jobs->count && count < 1000; i++) {
        const struct batch_past *p = jobs->items[i].cmd && jobs->items[i].model == jobs->items[job].model
                                         ? batch_journal_find(journal, jobs->items[i].hash)
                                         : NULL;
        if (!p || !p->times_made)
            continue;
        seconds += p->seconds;
        bytes = (double)p->host_bytes > bytes ? (double)p->host_bytes : bytes;
        count++;
    }
    g->seconds = g->seconds > 0 ? g->seconds : count ? seconds / (double)count : 0;
    g->bytes = g->bytes > bytes ? g->bytes : bytes;
}

/* ---- what is said ------------------------------------------------------------------------ */

static void time_text(char out[32], double seconds)
{
    if (seconds <= 0)
        snprintf(out, 32, "?");
    else if (seconds < 60)
        snprintf(out, 32, seconds < 10 ? "%.1f s" : "%.0f s", seconds);
    else if (seconds < 3600)
        snprintf(out, 32, "%.1f min", seconds / 60);
    else
        snprintf(out, 32, "%.1f h", seconds / 3600);
}

static void say_job(const struct batch_job *j, const struct guess *g, bool done)
{
    char time[32], bytes[32] = "?";
    time_text(time, g->seconds);
    if (g->bytes > 0)
        bytes_text(bytes, (uint64_t)g->bytes);
    if (done)
        printf("%6zu  %-40.40s  done\n", j->line, j->name);
    else if (g->fails)
        printf("%6zu  %-40.40s  would fail: %s\n", j->line, j->name, g->error ? g->error : "its process ended");
    else
        printf("%6zu  %-40.40s  %10s  %10s\n", j->line, j->name, time, bytes);
}

static void say_sum(const struct batch_estimate *e)
{
    char time[32], bytes[32];
    size_t left = e->jobs - e->done - e->failing;
    time_text(time, e->seconds);
    bytes_text(bytes, (uint64_t)e->most_bytes);
    printf("%zu jobs", e->jobs);
    if (e->done)
        printf(", %zu done before", e->done);
    if (e->failing)
        printf(", %zu would fail", e->failing);
    if (left)
        printf("; %s of work for %zu", time, left - e->unknown);
    if (left && e->most_bytes > 0)
        printf(", %s for the largest", bytes);
    if (e->unknown)
        printf("; %zu of which no time is known before one like it has run", e->unknown);
    putchar('\n');
}

int batch_estimate(struct app *app, const struct batch_jobs *jobs, const struct batch_journal *journal,
                   const struct batch_shard *shard, struct batch_estimate *sum)
{
    struct guess *guesses = calloc(jobs->count, sizeof *guesses);
    bool *wanted = calloc(2 * jobs->count, sizeof *wanted), *done = wanted + jobs->count;
    struct progress p;
    int rc = guesses && wanted ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    *sum = (struct batch_estimate){0};
    progress_start(&p, PROGRESS_AUTO, "jobs", app->quiet);
    for (size_t i = 0; rc == 0 && i < jobs->count; i++) {
        const struct batch_job *j = &jobs->items[i];
        if (!j->cmd || !batch_in_shard(shard, j))
            continue;
        done[i] = batch_was_done(journal, j, batch_inputs_hash(j));
        wanted[i] = !done[i] && j->cmd->estimate && batch_inputs_there(j);
    }
    for (size_t next = 0; rc == 0 && next < jobs->count && !app_cancelled();) {
        rc = run_estimates(app, jobs, wanted, next, guesses, &next, &p);
        while (next < jobs->count && !wanted[next])
            next++;
        if (rc == 0 && next < jobs->count && !app_cancelled())
            guesses[next++].fails = true; /* what it was at when it ended */
    }
    progress_done(&p);
    for (size_t i = 0; rc == 0 && i < jobs->count; i++) {
        const struct batch_job *j = &jobs->items[i];
        struct guess *g = &guesses[i];
        if (!j->cmd || !batch_in_shard(shard, j))
            continue;
        if (!g->fails)
            guess_by_past(jobs, journal, i, g);
        sum->jobs++;
        sum->done += done[i];
        sum->failing += g->fails;
        if (!done[i] && !g->fails) {
            sum->unknown += !(g->seconds > 0);
            sum->seconds += g->seconds;
            sum->most_bytes = g->bytes > sum->most_bytes ? g->bytes : sum->most_bytes;
        }
        if (!app->quiet)
            say_job(j, g, done[i]);
    }
    if (rc == 0)
        say_sum(sum);
    for (size_t i = 0; guesses && i < jobs->count; i++)
        free(guesses[i].error);
    free(guesses);
    free(wanted);
    return rc == 0 && app_cancelled() ? fv_fail(FV_ECANCELLED, "cancelled") : rc;
}
