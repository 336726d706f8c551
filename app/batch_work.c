/* See batch_work.h. */
#include "app/batch_work.h"
#include "app/batch_stage.h"
#include "app/context.h"
#include "app/keep.h"
#include "app/progress.h"
#include "vk/base/file.h"
#include "vk/base/thread.h"
#include "vk/device.h"
#include "vk/mem.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const double tell_seconds = 0.2; /* between two lines of progress */

/* One job at a time, one thread that reports. */
static struct {
    int out;
    double told;
} worker;

void batch_log_name(char out[32], const struct batch_job *j)
{
    snprintf(out, 32, "logs/%04zu.log", j->line);
}

/* ---- what is said to the batch ----------------------------------------------------------- */

static void say(cJSON *o)
{
    char *text = o ? cJSON_PrintUnformatted(o) : NULL;
    size_t n = text ? strlen(text) : 0;
    cJSON_Delete(o);
    if (text) {
        text[n++] = '\n';
        fv_write_fd(worker.out, text, n); /* where that fails the batch is gone, and so are we soon */
    }
    free(text);
}

static void tell(const struct fv_progress *p)
{
    double now = fv_now();
    if (now - worker.told < tell_seconds)
        return;
    worker.told = now;
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "what", p->what);
    cJSON_AddNumberToObject(o, "done", p->done);
    cJSON_AddNumberToObject(o, "total", p->total);
    say(o);
}

/* The most memory the process held since the job began. */
static void restart_peak(void)
{
    int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (write(fd, "5", 1) != 1)
            errno = 0; /* then it is that since the process began */
        close(fd);
    }
}

static double peak_bytes(void)
{
    FILE *f = fopen("/proc/self/status", "re");
    char line[256];
    double kilobytes = 0;
    while (f && fgets(line, sizeof line, f))
        sscanf(line, "VmHWM: %lf", &kilobytes);
    if (f)
        fclose(f);
    return kilobytes * 1024;
}

static void say_end(const struct app *app, int rc, const char *error, const struct batch_results *r)
{
    cJSON *o = cJSON_CreateObject(), *list;
    uint64_t peak = 0;
    cJSON_AddNumberToObject(o, "end", rc);
    if (rc < 0)
        cJSON_AddStringToObject(o, "error", error);
    cJSON_AddNumberToObject(o, "host_bytes", peak_bytes());
    if (app->dev) {
        vk_mem_usage(app->dev, NULL, NULL, &peak);
        cJSON_AddNumberToObject(o, "device_bytes", (double)peak);
        if (app->dev->caps.is_cpu)
            cJSON_AddTrueToObject(o, "device_is_host");
        cJSON_AddNumberToObject(o, "budget_bytes", (double)app->dev->caps.budget_bytes);
    }
    list = cJSON_AddArrayToObject(o, "files");
    for (size_t i = 0; i < r->count; i++) {
        cJSON *f = cJSON_CreateObject();
        cJSON_AddStringToObject(f, "from", r->items[i].from);
        cJSON_AddStringToObject(f, "to", r->items[i].to);
        cJSON_AddNumberToObject(f, "bytes", (double)r->items[i].bytes);
        cJSON_AddItemToArray(list, f);
    }
    say(o);
}

/* ---- a job ------------------------------------------------------------------------------- */

/* What the command prints goes to a log of the job's own. */
static int open_log(const char *dir, const struct batch_job *j, unsigned attempt)
{
    char name[32], when[64] = "", *path, *line = batch_command_line(j);
    time_t now = time(NULL);
    struct tm tm;
    batch_log_name(name, j);
    path = fv_path_join(dir, name);
    if (path)
        fv_remove_torn(path);
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (attempt == 1 ? O_TRUNC : 0), 0666) : -1;
    int rc = fd >= 0 ? 0 : fv_fail(FV_EIO, "%s: cannot be written: %s", path ? path : name, strerror(errno));
    if (rc == 0) {
        dup2(fd, STDOUT_FILENO);
        dup2(fd, STDERR_FILENO);
        close(fd);
        strftime(when, sizeof when, "%F %T %z", localtime_r(&now, &tm));
        printf("# %s, attempt %u of line %zu\n$ %s\n", when, attempt, j->line, line ? line : j->name);
        fflush(stdout);
    }
    free(path);
    free(line);
    return rc;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && !strcmp(a, b));
}

/* The device stays unless the job is of another. */
static int choose_device(struct app *app, const struct app *batch, const struct batch_job *j)
{
    const char *device = j->globals.device ? j->globals.device : batch->device;
    bool validation = j->globals.validation || batch->validation;
    if (app->dev && (!same_text(app->device, device) || app->validation != validation)) {
        keep_clear(app->keep);
        FV_TRY(context_close_device(app));
    }
    app->device = device;
    app->validation = validation;
    app->mute = false; /* as an earlier job wanted it */
    app->quiet = j->globals.quiet;
    app->mute = false;
    app->verbose = j->globals.verbose || batch->verbose;
    return 0;
}

static int run_job(struct app *app, const struct batch_job *j)
{
    void *values = fv_arena_alloc(&app->arena, j->cmd->size + 1);
    if (!values)
        return FV_ENOMEM;
    memcpy(values, j->values, j->cmd->size);
    FV_TRY(batch_stage_begin(j, values, &app->arena));
    unsigned complaints = app->dev ? atomic_load(&app->dev->validation_errors) : 0;
    if (app->dev)
        vk_mem_restart_peak(app->dev);
    int rc = j->cmd->run(app, values, &j->args);
    if (rc >= 0 && app->dev && atomic_load(&app->dev->validation_errors) > complaints)
        rc = fv_fail(FV_EDEVICE, "the validation layers complained");
    return rc;
}

/* A device that is lost stays lost: another is opened for the next job. */
static void after_failure(struct app *app, int rc)
{
    if (rc != FV_EDEVICE && rc != FV_EGPUMEM && rc != FV_ENOMEM)
        return;
    keep_clear(app->keep);
    context_close_device(app);
}

static void one_job(struct app *app, const struct app *batch, const struct batch_jobs *jobs, const char *dir,
                    size_t number, unsigned attempt)
{
    const struct batch_job *j = &jobs->items[number];
    struct batch_results results = {0};
    int rc = open_log(dir, j, attempt);
    restart_peak();
    if (rc >= 0)
        rc = choose_device(app, batch, j);
    keep_for(app->keep, number);
    if (rc >= 0)
        rc = run_job(app, j);
    progress_hide();
    if (fflush(stdout) && rc >= 0)
        rc = fv_fail(FV_EIO, "the log cannot be written: %s", strerror(errno));
    if (rc >= 0)
        rc = batch_stage_results(j, &results);
    char *error = rc < 0 ? batch_stage_restored(j, strdup(*fv_error() ? fv_error() : fv_code_name(rc))) : NULL;
    if (rc < 0)
        fprintf(stderr, "fovea: %s: %s\n", j->cmd->name, error ? error : "out of memory");
    char log[32], *path;
    batch_log_name(log, j);
    if ((path = fv_path_join(dir, log)) && batch_stage_restore_names(j, path) < 0)
        fprintf(stderr, "fovea: %s\n", fv_error());
    free(path);
    say_end(app, rc, error ? error : "", &results);
    if (rc < 0)
        after_failure(app, rc);
    free(error);
    batch_results_finish(&results);
}

int batch_work(struct app *app, const struct batch_jobs *jobs, const char *dir, int in, int out)
{
    const struct app batch = *app;
    FILE *f = fdopen(in, "r");
    size_t number;
    unsigned attempt;
    worker.out = out;
    app->color = false;
    app->keep = keep_create(jobs);
    context_logging(app);
    progress_listen(tell);
    while (f && app->keep && fscanf(f, "%zu %u", &number, &attempt) == 2 && number < jobs->count && !app_cancelled())
        one_job(app, &batch, jobs, dir, number, attempt);
    keep_destroy(&app->keep);
    return context_close_device(app) < 0;
}
