/* fovea batch: jobs from a file, in workers, written down so that they can be gone on with. */
#include "app/batch_estimate.h"
#include "app/batch_jobs.h"
#include "app/batch_journal.h"
#include "app/batch_report.h"
#include "app/batch_run.h"
#include "app/batch_slurm.h"
#include "app/command_line.h"
#include "app/progress.h"
#include "vk/base/file.h"
#include "vk/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Exit statuses 11 .. 100 count jobs that failed: 10 and how many, at most 90. */
enum { FAILED_STATUS = 10, MOST_FAILED = 90, MOST_ERRORS = 20 };

struct values {
    const char *dir, *shard, *slurm_args;
    int workers, retries, progress, shards;
    double timeout;
    uint64_t memory;
    bool skip_wrong, merge, slurm, dry_run;
};

#define AT(m) offsetof(struct values, m)
static const struct opt opts[] = {
    {"dir", 0, OPT_STRING, AT(dir), .value = "DIR", .file = OPT_WRITES,
     .help = "journal, logs, report.json, index.html; default JOBS.batch"},
    {"jobs", 'j', OPT_INT, AT(workers), .def = "0", .max = 64,
     .help = "at a time; 0 is 2 on 4 processors or more, else 1"},
    {"memory", 0, OPT_BYTES, AT(memory), .value = "BYTES",
     .help = "of all jobs at a time: 16G; default what is free"},
    {"timeout", 0, OPT_FLOAT, AT(timeout), .def = "0", .max = 1e9, .value = "SECONDS",
     .help = "of a job; 0 is no limit"},
    {"retries", 0, OPT_INT, AT(retries), .def = "1", .max = 1000,
     .help = "of a job that failed by no fault of its settings"},
    {"skip-wrong", 0, OPT_FLAG, AT(skip_wrong), .help = "run the others when lines of the file are wrong"},
    {"dry-run", 0, OPT_FLAG, AT(dry_run), .help = "check the file and say what each job would take"},
    {.type = OPT_GROUP, .help = "Many machines"},
    {"shard", 0, OPT_STRING, AT(shard), .value = "I/N", .help = "only every Nth job, from the Ith on"},
    {"merge", 0, OPT_FLAG, AT(merge), .help = "run nothing: report on what all shards did"},
    {"slurm", 0, OPT_FLAG, AT(slurm), .help = "submit a job array to Slurm, a task a shard, and a job that merges"},
    {"shards", 0, OPT_INT, AT(shards), .def = "0", .max = 10000, .help = "of --slurm; 0 is by the jobs, at most 16"},
    {"slurm-args", 0, OPT_STRING, AT(slurm_args), .rare = true, .value = "WORDS",
     .help = "more for sbatch: \"--partition=gpu --time=8:00:00\""},
    {"progress", 0, OPT_ENUM, AT(progress), .rare = true, .def = "auto", .choices = progress_choices,
     .help = "on standard error"},
    {0}};

/* ---- what is asked for ------------------------------------------------------------------- */

static int parse_shard(struct batch_shard *s, const char *text)
{
    char end;
    *s = (struct batch_shard){0};
    if (!text)
        return 0;
    if (sscanf(text, "%u/%u%c", &s->index, &s->count, &end) != 2 || !s->index || s->index > s->count || s->count > 100000)
        return fv_fail(CMD_USAGE, "--shard: \"%s\" is not one such as 2/8", text);
    if (s->count == 1)
        *s = (struct batch_shard){0};
    return 0;
}

/* night.jsonl's is night.batch. */
static int choose_dir(struct app *app, const struct values *v, const char *jobs, const char **out)
{
    char dir[4096];
    size_t n = strlen(jobs);
    *out = v->dir;
    if (v->dir)
        return *v->dir ? 0 : fv_fail(CMD_USAGE, "--dir: the name is empty");
    if (!strcmp(jobs, "-"))
        return fv_fail(CMD_USAGE, "jobs from standard input need --dir DIR, where what was done is written down");
    const char *dot = strrchr(fv_path_base(jobs), '.');
    snprintf(dir, sizeof dir, "%.*s.batch", (int)(dot ? (size_t)(dot - jobs) : n), jobs);
    *out = fv_arena_strndup(&app->arena, dir, strlen(dir));
    return *out ? 0 : FV_ENOMEM;
}

static int make_dirs(const char *dir)
{
    char *logs = fv_path_join(dir, "logs");
    int rc = logs ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    if (rc == 0)
        rc = fv_make_dirs(logs);
    free(logs);
    return rc;
}

/* All that is wrong, before anything starts. */
static int check_lines(const struct batch_jobs *jobs, bool skip)
{
    if (!jobs->error_count)
        return 0;
    for (size_t i = 0; i < jobs->error_count && i < MOST_ERRORS; i++)
        fprintf(stderr, "fovea: batch: %s\n", jobs->errors[i]);
    if (jobs->error_count > MOST_ERRORS)
        fprintf(stderr, "fovea: batch: and %zu more\n", jobs->error_count - MOST_ERRORS);
    if (skip && jobs->bad < jobs->count)
        return 0;
    return fv_fail(FV_EINVALID, "%s: %zu of %zu lines are wrong; nothing was started%s", jobs->path, jobs->bad,
                   jobs->count, jobs->bad < jobs->count ? " (--skip-wrong runs the others)" : "");
}

/* ---- the end ----------------------------------------------------------------------------- */

/* By a process of its own: thumbnails are read from files that anything may have written. */
static int write_report(const struct batch_jobs *jobs, const struct batch_journal *journal, const struct batch_shard *s)
{
    int status = 0;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        int rc = batch_report(jobs, journal, s);
        if (rc < 0)
            fprintf(stderr, "fovea: batch: %s\n", fv_error());
        fflush(NULL);
        _exit(rc < 0);
    }
    if (pid < 0)
        return batch_report(jobs, journal, s);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFSIGNALED(status))
        return fv_fail(FV_EIO, "%s: the report could not be written: its process was ended by signal %d", journal->dir,
                       WTERMSIG(status));
    return WEXITSTATUS(status) ? fv_fail(FV_EIO, "%s: the report could not be written", journal->dir) : 0;
}

static void count_failed(struct app *app, size_t failed)
{
    app->status = failed ? FAILED_STATUS + (int)(failed < MOST_FAILED ? failed : MOST_FAILED) : 0;
}

static int end_batch(struct app *app, const struct batch_jobs *jobs, const struct batch_journal *journal,
                     const struct batch_shard *s, const struct batch_totals *t, int rc)
{
    char cause[512], sheet[BATCH_NAME];
    snprintf(cause, sizeof cause, "%s", fv_error());
    int reported = write_report(jobs, journal, s);
    batch_report_name(sheet, "index", ".html", s);
    if (rc == FV_ECANCELLED)
        return fv_fail(rc, "cancelled; %zu of %zu jobs are done, the same command goes on with the others",
                       t->before + t->done, t->jobs);
    if (rc < 0)
        return fv_fail(rc, "%s", cause);
    FV_TRY(reported);
    if (!app->quiet) {
        printf("%zu jobs: %zu done", t->jobs, t->before + t->done);
        if (t->before)
            printf(" (%zu of them before)", t->before);
        printf(", %zu failed, %.1f s; %s/%s\n", t->failed, t->seconds, journal->dir, sheet);
    }
    count_failed(app, t->failed);
    return 0;
}

/* ---- ways to go -------------------------------------------------------------------------- */

static int run_jobs(struct app *app, const struct values *v, struct batch_jobs *jobs, const char *dir,
                    const struct batch_shard *shard)
{
    struct batch_journal journal = {.fd = -1, .lock = -1};
    struct batch_totals totals = {0};
    const struct batch_run_opts o = {.shard = *shard,
                                     .workers = (unsigned)v->workers,
                                     .memory = v->memory,
                                     .timeout = v->timeout,
                                     .retries = (unsigned)v->retries,
                                     .progress = (enum progress_mode)v->progress};
    FV_TRY(make_dirs(dir));
    int rc = batch_journal_open(&journal, dir, shard, true);
    if (rc == 0) {
        rc = batch_run(app, jobs, &journal, &o, &totals);
        rc = end_batch(app, jobs, &journal, shard, &totals, rc);
    }
    batch_journal_close(&journal);
    return rc;
}

/* What all shards did, or one. */
static int merge(struct app *app, const struct batch_jobs *jobs, const char *dir, const struct batch_shard *shard)
{
    struct batch_journal journal = {.fd = -1, .lock = -1};
    char sheet[BATCH_NAME];
    if (!fv_is_dir(dir))
        return fv_fail(FV_EIO, "%s: no such folder: nothing was run yet", dir);
    int rc = batch_journal_open(&journal, dir, NULL, false);
    if (rc == 0)
        rc = write_report(jobs, &journal, shard);
    if (rc == 0) {
        struct batch_counts c = batch_count(jobs, &journal, shard);
        batch_report_name(sheet, "index", ".html", shard);
        if (!app->quiet)
            printf("%zu jobs: %zu done, %zu failed, %zu waiting; %s/%s\n", c.jobs, c.done, c.failed, c.waiting, dir,
                   sheet);
        count_failed(app, c.failed + c.waiting);
    }
    batch_journal_close(&journal);
    return rc;
}

static int dry_run(struct app *app, const struct batch_jobs *jobs, const char *dir, const struct batch_shard *shard)
{
    struct batch_journal journal = {.fd = -1, .lock = -1};
    struct batch_estimate sum;
    int rc = batch_journal_open(&journal, dir, NULL, false);
    if (rc == 0)
        rc = batch_estimate(app, jobs, &journal, shard, &sum);
    if (rc == 0)
        count_failed(app, sum.failing + jobs->bad);
    batch_journal_close(&journal);
    return rc;
}

/* Every task gets the options that this was given. */
static int submit(struct app *app, const struct values *v, const struct batch_jobs *jobs, const char *dir)
{
    struct values rest = *v;
    char *options = NULL;
    size_t size;
    FILE *out = open_memstream(&options, &size);
    if (!out)
        return fv_fail(FV_ENOMEM, "out of memory");
    rest.dir = rest.slurm_args = NULL;
    rest.slurm = false;
    rest.shards = 0;
    int rc = command_line_options(out, app_global_opts, app);
    rc = rc < 0 ? rc : command_line_options(out, opts, &rest);
    fclose(out);
    const struct batch_slurm s = {.dir = dir, .shards = (unsigned)v->shards, .args = v->slurm_args, .options = options};
    if (rc == 0)
        rc = make_dirs(dir);
    if (rc == 0)
        rc = batch_slurm_submit(app, jobs, &s);
    free(options);
    return rc;
}

static int check_options(const struct values *v, const char *file)
{
    if (v->slurm + v->merge + v->dry_run > 1 || (v->slurm && v->shard))
        return fv_fail(CMD_USAGE, "--slurm, --merge, --dry-run: one at a time; --slurm takes --shards N, not --shard");
    if ((v->shards || v->slurm_args) && !v->slurm)
        return fv_fail(CMD_USAGE, "--shards and --slurm-args are of --slurm");
    if (v->slurm && !strcmp(file, "-"))
        return fv_fail(CMD_USAGE, "--slurm needs a file of jobs, which its tasks read");
    return 0;
}

static int run(struct app *app, const void *values, const struct opt_args *args)
{
    const struct values *v = values;
    struct batch_jobs jobs;
    struct batch_shard shard;
    const char *dir;
    FV_TRY(check_options(v, args->items[0]));
    FV_TRY(parse_shard(&shard, v->shard));
    FV_TRY(choose_dir(app, v, args->items[0], &dir));
    int rc = batch_jobs_open(&jobs, args->items[0]);
    if (rc == 0)
        rc = check_lines(&jobs, v->skip_wrong || v->merge);
    if (rc == 0)
        rc = v->slurm     ? submit(app, v, &jobs, dir)
             : v->dry_run ? dry_run(app, &jobs, dir, &shard)
             : v->merge   ? merge(app, &jobs, dir, &shard)
                          : run_jobs(app, v, &jobs, dir, &shard);
    batch_jobs_finish(&jobs);
    return rc;
}

const struct cmd cmd_batch = {
    .name = "batch",
    .summary = "many jobs from a file, overnight",
    .usage = "JOBS.jsonl [OPTION]...",
    .examples = "fovea batch jobs.jsonl\trun all; the same again goes on where it was stopped\n"
                "echo '{\"command\":\"info\",\"file\":\"a.spz\"}' | fovea batch - --dir night\t"
                "from a pipe; a line a job",
    .details =
        "A line is a command with its arguments and options by their long names: {\"command\":\"render\",\"scene\":"
        "\"a.spz\",\"output\":\"a.mp4\",\"size\":\"640x360\",\"frames\":60}. A .csv names them in its first line. All lines "
        "are checked before anything starts. A job may read what an earlier line writes.\n\n"
        "Results take their names when they are complete; what was done is written down in the folder's journal. After "
        "Ctrl-C, kill -9 or a power cut the same command goes on: nothing is done twice, unless its settings or files "
        "have changed. A job that is out of time or crashes is tried again (--retries).\n\n"
        "The exit status is 0 when all jobs are done, 1 when the batch could not run, 2 for a wrong command line, 130 "
        "after Ctrl-C, else 10 and the number of jobs that failed, at most 100. docs/BATCH.md tells more.",
    .opts = opts,
    .size = sizeof(struct values),
    .least_args = 1,
    .most_args = 1,
    .arg = "a file of jobs",
    .args = (const struct cmd_arg[]){{.name = "file"}, {0}}, /* - is read by itself */
    .alone = true,
    .run = run,
};
