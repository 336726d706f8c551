/* See batch_slurm.h. Tasks that lose their node are queued again (--requeue) and go on by their shard's journal. */
#include "app/batch_slurm.h"
#include "app/command_line.h"
#include "vk/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { MOST_SHARDS = 16, MOST_WORDS = 64 };

static unsigned usual_shards(const struct batch_jobs *jobs)
{
    uint64_t parts = 0;
    for (size_t i = 0; i < jobs->count; i++)
        parts = jobs->items[i].part + 1 > parts ? jobs->items[i].part + 1 : parts;
    return parts < MOST_SHARDS ? (unsigned)parts : MOST_SHARDS;
}

/* ---- scripts ----------------------------------------------------------------------------- */

/* The same binary on every node: by its path. */
static int write_script(const struct batch_jobs *jobs, const struct batch_slurm *s, const char *path, const char *shard)
{
    char self[PATH_MAX];
    struct fv_writer w;
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n < 0)
        return fv_fail(FV_EIO, "/proc/self/exe: %s", strerror(errno));
    self[n] = 0;
    FV_TRY(fv_writer_open(&w, path));
    fputs("#!/bin/sh\nexec", w.file);
    command_line_word(w.file, self);
    fputs(" batch", w.file);
    command_line_word(w.file, jobs->path);
    fputs(" --dir", w.file);
    command_line_word(w.file, s->dir);
    fprintf(w.file, "%s%s\n", s->options, shard);
    return fv_writer_commit(&w);
}

/* ---- sbatch ------------------------------------------------------------------------------ */

struct words {
    char *items[MOST_WORDS + 1];
    size_t count;
    bool failed;
};

__attribute__((format(printf, 2, 3))) static void word(struct words *w, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = NULL;
    if (w->count >= MOST_WORDS || vasprintf(&text, fmt, ap) < 0)
        w->failed = true;
    else
        w->items[w->count++] = text;
    va_end(ap);
}

static void add_args(struct words *w, const char *args)
{
    for (const char *at = args ? args : ""; *(at += strspn(at, " \t"));) {
        size_t n = strcspn(at, " \t");
        word(w, "%.*s", (int)n, at);
        at += n;
    }
}

/* Runs it; what it says in out. */
static int run_sbatch(char *const *argv, char *out, size_t size)
{
    int ends[2], status = 0;
    size_t n = 0;
    pid_t pid;
    ssize_t k;
    posix_spawn_file_actions_t actions;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return fv_fail(FV_EIO, "sbatch cannot be started: %s", strerror(errno));
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
    int error = posix_spawnp(&pid, "sbatch", &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    while (!error && (k = read(ends[0], out + n, size - 1 - n)) > 0)
        n += (size_t)k;
    out[n] = 0;
    close(ends[0]);
    if (error == ENOENT)
        return fv_fail(FV_EIO, "there is no sbatch here: run it where Slurm is, or share jobs out by --shard I/N");
    if (error)
        return fv_fail(FV_EIO, "sbatch cannot be started: %s", strerror(error));
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    while (n && strchr("\r\n ", out[n - 1]))
        out[--n] = 0;
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        return fv_fail(FV_EIO, "sbatch refused: %s", *out ? out : "it said nothing");
    return 0;
}

/* The number of what was submitted: "17", or "17;cluster". */
static int submit(struct words *w, unsigned long *number)
{
    char said[1024];
    int rc = w->failed ? fv_fail(FV_EINVALID, "--slurm-args: more than %d words", MOST_WORDS - 16)
                       : run_sbatch(w->items, said, sizeof said);
    if (rc == 0) {
        const char *last = strrchr(said, '\n');
        char *end;
        last = last ? last + 1 : said; /* warnings come before it */
        *number = strtoul(last, &end, 10);
        if (end == last || (*end && *end != ';'))
            rc = fv_fail(FV_EIO, "sbatch answered \"%s\", not with a job's number", said);
    }
    for (size_t i = 0; i < w->count; i++)
        free(w->items[i]);
    *w = (struct words){.count = 0};
    return rc;
}

static int submit_both(const struct batch_slurm *s, unsigned shards, const char *array, const char *merge,
                       unsigned long *first, unsigned long *second)
{
    char cwd[PATH_MAX];
    struct words w = {.count = 0};
    if (!getcwd(cwd, sizeof cwd))
        return fv_fail(FV_EIO, "the folder this runs in is gone: %s", strerror(errno));
    word(&w, "sbatch");
    word(&w, "--parsable");
    word(&w, "--job-name=%s", fv_path_base(s->dir));
    word(&w, "--array=1-%u", shards);
    word(&w, "--requeue");
    word(&w, "--open-mode=append");
    word(&w, "--chdir=%s", cwd);
    word(&w, "--output=%s/slurm-%%a.out", s->dir);
    add_args(&w, s->args);
    word(&w, "%s", array);
    FV_TRY(submit(&w, first));
    word(&w, "sbatch");
    word(&w, "--parsable");
    word(&w, "--job-name=%s-merge", fv_path_base(s->dir));
    word(&w, "--dependency=afterany:%lu", *first);
    word(&w, "--requeue");
    word(&w, "--open-mode=append");
    word(&w, "--chdir=%s", cwd);
    word(&w, "--output=%s/slurm-merge.out", s->dir);
    add_args(&w, s->args);
    word(&w, "%s", merge);
    return submit(&w, second);
}

int batch_slurm_submit(const struct app *app, const struct batch_jobs *jobs, const struct batch_slurm *s)
{
    unsigned shards = s->shards ? s->shards : usual_shards(jobs);
    unsigned long first = 0, second = 0;
    char shard[64];
    char *array = fv_path_join(s->dir, "slurm.sh"), *merge = fv_path_join(s->dir, "slurm-merge.sh");
    snprintf(shard, sizeof shard, " --shard \"$SLURM_ARRAY_TASK_ID/%u\"", shards);
    int rc = array && merge ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    if (rc == 0)
        rc = write_script(jobs, s, array, shard);
    if (rc == 0)
        rc = write_script(jobs, s, merge, " --merge");
    if (rc == 0)
        rc = submit_both(s, shards, array, merge, &first, &second);
    if (rc == 0 && !app->quiet)
        printf("%zu jobs in %u shards: Slurm's job %lu, merged by %lu into %s/index.html\n", jobs->count, shards, first,
               second, s->dir);
    free(array);
    free(merge);
    return rc;
}
