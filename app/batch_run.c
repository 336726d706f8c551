/* See batch_run.h. One thread, which opens no device and no model: workers are forked from it, with the jobs as
 * they were read, and end with it (PR_SET_PDEATHSIG). They have a process group each, so that Ctrl-C comes here
 * alone. */
#include "app/batch_run.h"
#include "app/batch_stage.h"
#include "app/batch_work.h"
#include "vk/base/array.h"
#include "vk/base/log.h"
#include "vk/base/thread.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_WORKERS = 64, NO_JOB = -1 };
static const double kill_seconds = 10;              /* from being asked to end to being killed */
static const double first_delay = 1, last_delay = 60; /* before another attempt */
/* Of a job nothing is known about, and of each byte it reads. */
static const double least_memory = 600e6, memory_of_byte = 3;

enum task_state { TASK_OTHER, TASK_WAITING, TASK_RUNNING, TASK_DONE, TASK_FAILED };

struct task {
    enum task_state state;
    unsigned attempt;
    double not_before; /* when it may run again */
    double seconds;
};

struct worker {
    pid_t pid; /* 0: none */
    int to, from;
    long job; /* or NO_JOB */
    uint64_t model;
    double begun, part;     /* part: of the job, as far as it tells */
    double until, kill_at;  /* 0: not */
    bool timed_out;
    char *line;
    size_t size, room;
};

/* What jobs of a model took. */
struct known {
    uint64_t model;
    double host, device, seconds;
    unsigned count;
};

struct run {
    struct app *app;
    struct batch_jobs *jobs;
    struct batch_journal *journal;
    const struct batch_run_opts *o;
    struct batch_totals *totals;
    struct task *tasks;
    struct worker workers[MOST_WORKERS];
    unsigned most;
    struct known *known;
    size_t known_count, known_room;
    double memory, budget; /* of the host; of a device with memory of its own, once it is known */
    size_t first; /* all before are settled */
    struct progress progress;
    double began, worked; /* worked: seconds of all finished jobs */
    size_t finished;
    int failure; /* of the batch itself */
};

/* ---- what is known ----------------------------------------------------------------------- */

static struct known *known_of(struct run *r, uint64_t model)
{
    for (size_t i = 0; i < r->known_count; i++)
        if (r->known[i].model == model)
            return &r->known[i];
    if (fv_grow(&r->known, &r->known_room, r->known_count, sizeof *r->known) < 0)
        return NULL;
    r->known[r->known_count] = (struct known){.model = model};
    return &r->known[r->known_count++];
}

static void learn(struct run *r, uint64_t model, double host, double device, double seconds)
{
    struct known *k = known_of(r, model);
    if (!k)
        return;
    k->host = host > k->host ? host : k->host;
    k->device = device > k->device ? device : k->device;
    k->seconds += seconds;
    k->count++;
}

static double bytes_read(const struct batch_job *j)
{
    struct stat st;
    double sum = 0;
    for (size_t i = 0; i < j->read_count; i++)
        sum += !stat(j->reads[i].full, &st) && S_ISREG(st.st_mode) ? (double)st.st_size : 0;
    return sum;
}

static double memory_of(struct run *r, size_t job)
{
    const struct known *k = known_of(r, r->jobs->items[job].model);
    if (k && k->host > 0)
        return k->host;
    return least_memory + memory_of_byte * bytes_read(&r->jobs->items[job]);
}

static double seconds_of(struct run *r, size_t job)
{
    const struct known *k = known_of(r, r->jobs->items[job].model);
    if (k && k->count)
        return k->seconds / k->count;
    return r->finished ? r->worked / (double)r->finished : 0;
}

static double free_memory(void)
{
    FILE *f = fopen("/proc/meminfo", "re");
    char line[128];
    double kilobytes = 0;
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "MemAvailable: %lf", &kilobytes) == 1)
            break;
    if (f)
        fclose(f);
    return kilobytes * 1024 * 0.9;
}

/* ---- workers ----------------------------------------------------------------------------- */

static void close_ends(struct worker *w)
{
    close(w->to);
    close(w->from);
    free(w->line);
    *w = (struct worker){.job = NO_JOB};
}

static void be_worker(struct run *r, pid_t parent, int in, int out)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) /* it ended meanwhile */
        _exit(1);
    setpgid(0, 0);
    for (int i = 0; i < MOST_WORKERS; i++)
        if (r->workers[i].pid) {
            close(r->workers[i].to);
            close(r->workers[i].from);
        }
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null >= 0)
        dup2(null, STDIN_FILENO);
    int status = batch_work(r->app, r->jobs, r->journal->dir, in, out);
    fflush(NULL);
    _exit(status);
}

static int start_worker(struct run *r, struct worker *w)
{
    int to[2], from[2];
    if (pipe2(to, O_CLOEXEC) < 0)
        return fv_fail(FV_EIO, "a worker cannot be started: %s", strerror(errno));
    if (pipe2(from, O_CLOEXEC) < 0) {
        close(to[0]);
        close(to[1]);
        return fv_fail(FV_EIO, "a worker cannot be started: %s", strerror(errno));
    }
    progress_hide();
    fflush(NULL);
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        close(to[1]);
        close(from[0]);
        be_worker(r, parent, to[0], from[1]);
    }
    close(to[0]);
    close(from[1]);
    if (pid < 0) {
        close(to[1]);
        close(from[0]);
        return fv_fail(FV_EIO, "a worker cannot be started: %s", strerror(errno));
    }
    fcntl(from[0], F_SETFL, O_NONBLOCK);
    *w = (struct worker){.pid = pid, .to = to[1], .from = from[0], .job = NO_JOB};
    return 0;
}

/* ---- what became of a job ---------------------------------------------------------------- */

static void say(struct run *r, size_t job, const char *what)
{
    const struct batch_totals *t = r->totals;
    char log[32];
    if (r->app->quiet)
        return;
    progress_hide();
    printf("[%zu/%zu] %s: %s", t->before + t->done + t->failed, t->jobs, r->jobs->items[job].name, what);
    if (r->tasks[job].state == TASK_DONE) {
        printf(", %.1f s\n", r->tasks[job].seconds);
    } else {
        batch_log_name(log, &r->jobs->items[job]);
        printf(r->tasks[job].attempt ? " (line %zu; %s/%s)\n" : " (line %zu)\n", r->jobs->items[job].line,
               r->journal->dir, log);
    }
    fflush(stdout);
}

static void settle(struct run *r, size_t job, enum task_state state)
{
    r->tasks[job].state = state;
    r->jobs->items[job].settled = true;
}

/* What another attempt would only repeat. */
static bool is_final(int rc)
{
    return rc == CMD_USAGE || rc == FV_EINVALID || rc == FV_EFORMAT || rc == FV_EUNSUPPORTED;
}

static void fail_job(struct run *r, size_t job, const struct batch_past *how, bool final, bool keep_checkpoint)
{
    struct task *t = &r->tasks[job];
    const struct batch_job *j = &r->jobs->items[job];
    unsigned retries = j->retries >= 0 ? (unsigned)j->retries : r->o->retries;
    int rc = batch_journal_failed(r->journal, j->hash, how);
    r->failure = r->failure ? r->failure : rc;
    batch_stage_remove(j, !keep_checkpoint);
    if (!final && t->attempt <= retries) {
        double delay = first_delay;
        for (unsigned i = 1; i < t->attempt && delay < last_delay; i++)
            delay *= 2;
        t->state = TASK_WAITING;
        t->not_before = fv_now() + (delay < last_delay ? delay : last_delay);
        if (!r->app->quiet) {
            progress_hide();
            printf("%s: attempt %u failed, will be tried again: %s\n", j->name, t->attempt, how->error);
            fflush(stdout);
        }
        return;
    }
    settle(r, job, TASK_FAILED);
    r->totals->failed++;
    char text[1100];
    snprintf(text, sizeof text, "failed: %.1000s", how->error);
    say(r, job, text);
}

/* Results lie complete beside their places: from here on the job is done, whatever happens. */
static void finish_job(struct run *r, size_t job, struct batch_past *how)
{
    const struct batch_job *j = &r->jobs->items[job];
    int rc = batch_journal_made(r->journal, j->hash, how);
    if (rc >= 0) {
        rc = batch_results_move(&how->results);
        if (rc < 0) {
            how->error = strdup(fv_error());
            fail_job(r, job, how, false, false);
            return;
        }
        rc = batch_journal_done(r->journal, j->hash);
    }
    r->failure = r->failure ? r->failure : rc;
    batch_stage_remove(j, true);
    r->tasks[job].seconds = how->seconds;
    settle(r, job, TASK_DONE);
    r->totals->done++;
    r->finished++;
    r->worked += how->seconds;
    learn(r, j->model, (double)how->host_bytes, (double)how->device_bytes, how->seconds);
    say(r, job, "done");
}

static void take_end(struct run *r, struct worker *w, const cJSON *o)
{
    char log[32];
    size_t job = (size_t)w->job;
    int rc = (int)cJSON_GetNumberValue(cJSON_GetObjectItem(o, "end"));
    const cJSON *error = cJSON_GetObjectItem(o, "error"), *f, *n;
    struct batch_past how = {.seconds = fv_now() - w->begun, .log = log};
    batch_log_name(log, &r->jobs->items[job]);
    n = cJSON_GetObjectItem(o, "host_bytes");
    how.host_bytes = cJSON_IsNumber(n) ? (uint64_t)n->valuedouble : 0;
    n = cJSON_GetObjectItem(o, "device_bytes");
    how.device_bytes = cJSON_IsNumber(n) ? (uint64_t)n->valuedouble : 0;
    n = cJSON_GetObjectItem(o, "budget_bytes");
    if (cJSON_IsNumber(n) && !cJSON_GetObjectItem(o, "device_is_host"))
        r->budget = n->valuedouble;
    cJSON_ArrayForEach(f, cJSON_GetObjectItem(o, "files"))
    {
        const char *from = cJSON_GetStringValue(cJSON_GetObjectItem(f, "from"));
        const char *to = cJSON_GetStringValue(cJSON_GetObjectItem(f, "to"));
        double bytes = cJSON_GetNumberValue(cJSON_GetObjectItem(f, "bytes"));
        int added = from && to ? batch_results_add(&how.results, from, to, (uint64_t)bytes) : FV_ENOMEM;
        rc = added < 0 ? added : rc;
    }
    w->job = NO_JOB;
    w->until = 0;
    if (rc >= 0) {
        finish_job(r, job, &how);
        free(how.error);
    } else if (rc == FV_ECANCELLED && app_cancelled()) {
        r->tasks[job].state = TASK_WAITING; /* not a failure: it goes on the next time */
        batch_stage_remove(&r->jobs->items[job], false);
    } else {
        char late[96];
        double most = r->jobs->items[job].timeout > 0 ? r->jobs->items[job].timeout : r->o->timeout;
        snprintf(late, sizeof late, "took longer than %g s and was ended", most);
        how.error = w->timed_out ? late : cJSON_IsString(error) ? error->valuestring : (char *)"failed";
        fail_job(r, job, &how, !w->timed_out && is_final(rc), w->timed_out || rc == FV_ECANCELLED);
    }
    batch_results_finish(&how.results);
}

static void worker_died(struct run *r, struct worker *w)
{
    int status = 0;
    char text[160], log[32];
    while (waitpid(w->pid, &status, 0) < 0 && errno == EINTR)
        ;
    long job = w->job;
    double seconds = fv_now() - w->begun;
    bool timed_out = w->timed_out;
    close_ends(w);
    if (job == NO_JOB)
        return;
    if (app_cancelled()) {
        r->tasks[job].state = TASK_WAITING;
        batch_stage_remove(&r->jobs->items[job], false);
        return;
    }
    double most = r->jobs->items[job].timeout > 0 ? r->jobs->items[job].timeout : r->o->timeout;
    if (timed_out)
        snprintf(text, sizeof text, "took longer than %g s and was killed", most);
    else if (WIFSIGNALED(status))
        snprintf(text, sizeof text, "its process was ended by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else
        snprintf(text, sizeof text, "its process ended with status %d", WEXITSTATUS(status));
    batch_log_name(log, &r->jobs->items[job]);
    struct batch_past how = {.seconds = seconds, .error = text, .log = log};
    fail_job(r, (size_t)job, &how, false, true);
}

/* ---- lines of workers -------------------------------------------------------------------- */

static void take_line(struct run *r, struct worker *w, const char *line)
{
    cJSON *o = cJSON_Parse(line);
    if (o && w->job != NO_JOB && cJSON_GetObjectItem(o, "end")) {
        take_end(r, w, o);
    } else if (o && w->job != NO_JOB) {
        double done = cJSON_GetNumberValue(cJSON_GetObjectItem(o, "done"));
        double total = cJSON_GetNumberValue(cJSON_GetObjectItem(o, "total"));
        w->part = total > 0 && done >= 0 && done <= total ? done / total : 0;
    }
    cJSON_Delete(o);
}

static void read_worker(struct run *r, struct worker *w)
{
    for (;;) {
        if (w->room - w->size < 4096) {
            char *grown = realloc(w->line, 2 * w->room + 8192);
            if (!grown) {
                kill(w->pid, SIGKILL);
                return;
            }
            w->line = grown;
            w->room = 2 * w->room + 8192;
        }
        ssize_t n = read(w->from, w->line + w->size, w->room - w->size - 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return;
        if (n == 0) {
            worker_died(r, w);
            return;
        }
        w->size += (size_t)n;
        w->line[w->size] = 0;
        for (char *end; (end = strchr(w->line, '\n'));) {
            *end = 0;
            take_line(r, w, w->line);
            w->size -= (size_t)(end + 1 - w->line);
            memmove(w->line, end + 1, w->size + 1);
        }
    }
}

/* ---- choosing ---------------------------------------------------------------------------- */

static bool is_ready(const struct run *r, size_t i, double now)
{
    const struct batch_job *j = &r->jobs->items[i];
    if (r->tasks[i].state != TASK_WAITING || r->tasks[i].not_before > now)
        return false;
    for (size_t k = 0; k < j->need_count; k++)
        if (r->tasks[j->needs[k]].state != TASK_DONE)
            return false;
    return true;
}

static bool held_by_another(const struct run *r, const struct worker *w, uint64_t model)
{
    for (int i = 0; i < MOST_WORKERS; i++)
        if (&r->workers[i] != w && r->workers[i].pid && r->workers[i].job != NO_JOB && r->workers[i].model == model)
            return true;
    return false;
}

/* One of the model that the worker holds; else of one that nobody holds; else any. */
static long choose(const struct run *r, const struct worker *w)
{
    double now = fv_now();
    long any = NO_JOB, fresh = NO_JOB;
    for (size_t i = r->first; i < r->jobs->count; i++) {
        if (!is_ready(r, i, now))
            continue;
        uint64_t model = r->jobs->items[i].model;
        if (w->pid && model == w->model)
            return (long)i;
        any = any == NO_JOB ? (long)i : any;
        if (fresh == NO_JOB && !held_by_another(r, w, model))
            fresh = (long)i;
    }
    return fresh != NO_JOB ? fresh : any;
}

static bool fits(struct run *r, const struct worker *w, size_t job)
{
    double host = memory_of(r, job), device = 0;
    const struct known *k = known_of(r, r->jobs->items[job].model);
    unsigned others = 0;
    device += k ? k->device : 0;
    for (int i = 0; i < MOST_WORKERS; i++) {
        const struct worker *x = &r->workers[i];
        if (!x->pid || x == w)
            continue;
        others += x->job != NO_JOB;
        k = known_of(r, x->model);
        host += x->job != NO_JOB ? memory_of(r, (size_t)x->job) : k ? k->host : 0;
        device += k ? k->device : 0;
    }
    return !others || (host <= r->memory && (!r->budget || device <= r->budget));
}

/* A job that cannot run because one failed that it waits for. */
static void fail_waiting(struct run *r)
{
    for (size_t i = r->first; i < r->jobs->count; i++) {
        const struct batch_job *j = &r->jobs->items[i];
        for (size_t k = 0; r->tasks[i].state == TASK_WAITING && k < j->need_count; k++) {
            if (r->tasks[j->needs[k]].state != TASK_FAILED)
                continue;
            char text[128];
            snprintf(text, sizeof text, "not run: line %zu failed, whose result it reads",
                     r->jobs->items[j->needs[k]].line);
            struct batch_past how = {.error = text};
            fail_job(r, i, &how, true, false);
        }
    }
    while (r->first < r->jobs->count && r->tasks[r->first].state != TASK_WAITING &&
           r->tasks[r->first].state != TASK_RUNNING)
        r->first++;
}

bool batch_was_done(const struct batch_journal *journal, const struct batch_job *j, uint64_t inputs)
{
    const struct batch_past *p = batch_journal_find(journal, j->hash);
    return p && p->state == BATCH_DONE && p->inputs == inputs && batch_results_there(&p->results);
}

/* False: it was done before. */
static bool begin_job(struct run *r, struct worker *w, size_t job)
{
    struct batch_job *j = &r->jobs->items[job];
    struct task *t = &r->tasks[job];
    char line[64];
    uint64_t inputs = batch_inputs_hash(j);
    if (!t->attempt && batch_was_done(r->journal, j, inputs)) {
        batch_stage_remove(j, true); /* a kill may have come between its last words and this */
        settle(r, job, TASK_DONE);
        r->totals->before++;
        return false;
    }
    if (!w->pid) {
        int rc = start_worker(r, w);
        if (rc < 0) {
            r->failure = rc;
            return true;
        }
    }
    t->state = TASK_RUNNING;
    t->attempt++;
    struct fv_paths beside = {0};
    int rc = batch_stage_paths(j, &beside);
    if (rc == 0)
        rc = batch_journal_start(r->journal, j->hash, inputs, j->line, t->attempt, &beside);
    fv_paths_finish(&beside);
    if (rc < 0) {
        r->failure = rc;
        t->state = TASK_WAITING;
        return true;
    }
    double most = j->timeout > 0 ? j->timeout : r->o->timeout;
    w->job = (long)job;
    w->model = j->model;
    w->begun = fv_now();
    w->part = 0;
    w->until = most > 0 ? w->begun + most : 0;
    w->kill_at = 0;
    w->timed_out = false;
    int n = snprintf(line, sizeof line, "%zu %u\n", job, t->attempt);
    if (write(w->to, line, (size_t)n) != n)
        kill(w->pid, SIGKILL); /* it is gone, which is told when its pipe ends */
    return true;
}

static void schedule(struct run *r)
{
    bool more = true;
    fail_waiting(r);
    while (more && !r->failure) {
        struct worker *free_place = NULL;
        more = false;
        for (unsigned i = 0; i < r->most && !r->failure; i++) {
            struct worker *w = &r->workers[i];
            long job;
            if (w->job != NO_JOB || w->kill_at > 0)
                continue;
            if (!w->pid) {
                free_place = free_place ? free_place : w;
                continue;
            }
            if ((job = choose(r, w)) != NO_JOB && fits(r, w, (size_t)job))
                more = !begin_job(r, w, (size_t)job) || more;
        }
        long job;
        if (!more && free_place && (job = choose(r, free_place)) != NO_JOB && fits(r, free_place, (size_t)job)) {
            begin_job(r, free_place, (size_t)job);
            more = true;
        }
        if (more)
            fail_waiting(r);
    }
}

/* ---- time -------------------------------------------------------------------------------- */

static void end_worker(struct worker *w, double now)
{
    kill(w->pid, SIGTERM);
    w->kill_at = now + kill_seconds;
}

static void watch_time(struct run *r)
{
    double now = fv_now();
    for (int i = 0; i < MOST_WORKERS; i++) {
        struct worker *w = &r->workers[i];
        if (!w->pid)
            continue;
        if (w->until > 0 && now > w->until && w->job != NO_JOB && !w->timed_out) {
            w->timed_out = true;
            end_worker(w, now);
        } else if (w->timed_out && w->kill_at > 0 && now > w->kill_at) {
            kill(w->pid, SIGKILL);
            w->kill_at = now + kill_seconds;
        }
    }
}

static int show(struct run *r)
{
    const struct batch_totals *t = r->totals;
    double done = (double)(t->before + t->done + t->failed), left = 0, running = 0;
    unsigned busy = 0;
    for (int i = 0; i < MOST_WORKERS; i++) {
        const struct worker *w = &r->workers[i];
        if (!w->pid || w->job == NO_JOB)
            continue;
        busy++;
        double whole = seconds_of(r, (size_t)w->job), spent = fv_now() - w->begun;
        running += w->part;
        left += whole > spent ? whole - spent : 0;
    }
    for (size_t i = r->first; r->finished && i < r->jobs->count; i++)
        left += r->tasks[i].state == TASK_WAITING ? seconds_of(r, i) : 0;
    r->progress.left = r->finished ? left / (busy ? busy : 1) : 0;
    struct fv_progress now = {"batch", done + (busy ? running / busy * 0.999 : 0), (double)t->jobs};
    return progress_update(&r->progress, &now);
}

/* ---- the whole --------------------------------------------------------------------------- */

static bool works(const struct run *r)
{
    for (int i = 0; i < MOST_WORKERS; i++)
        if (r->workers[i].pid && r->workers[i].job != NO_JOB)
            return true;
    return false;
}

static void wait_and_read(struct run *r, int milliseconds)
{
    struct pollfd fds[MOST_WORKERS];
    struct worker *of[MOST_WORKERS];
    nfds_t n = 0;
    for (int i = 0; i < MOST_WORKERS; i++)
        if (r->workers[i].pid) {
            fds[n] = (struct pollfd){.fd = r->workers[i].from, .events = POLLIN};
            of[n++] = &r->workers[i];
        }
    if (poll(fds, n, milliseconds) <= 0)
        return;
    for (nfds_t i = 0; i < n; i++)
        if (fds[i].revents)
            read_worker(r, of[i]);
}

static void work(struct run *r)
{
    for (;;) {
        if (!app_cancelled() && !r->failure)
            schedule(r);
        if (r->first >= r->jobs->count || ((app_cancelled() || r->failure) && !works(r)))
            return;
        if (app_cancelled() || r->failure)
            for (int i = 0; i < MOST_WORKERS; i++)
                if (r->workers[i].pid && !(r->workers[i].kill_at > 0))
                    end_worker(&r->workers[i], fv_now());
        wait_and_read(r, 200);
        watch_time(r);
        show(r);
    }
}

/* Workers end when their pipes do. */
static void end_workers(struct run *r)
{
    for (int i = 0; i < MOST_WORKERS; i++) {
        struct worker *w = &r->workers[i];
        if (!w->pid)
            continue;
        if (app_cancelled())
            kill(w->pid, SIGTERM);
        close(w->to);
        w->to = -1;
        while (waitpid(w->pid, NULL, 0) < 0 && errno == EINTR)
            ;
        close_ends(w);
    }
}

bool batch_in_shard(const struct batch_shard *s, const struct batch_job *j)
{
    return !s->count || j->part % s->count == s->index - 1;
}

static int by_number(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Of jobs that were interrupted and that the file does not hold any more. */
static void remove_orphans(struct run *r)
{
    uint64_t *hashes = malloc((r->jobs->count + 1) * sizeof *hashes);
    for (size_t i = 0; hashes && i < r->jobs->count; i++)
        hashes[i] = r->jobs->items[i].hash;
    if (hashes)
        qsort(hashes, r->jobs->count, sizeof *hashes, by_number);
    for (size_t i = 0; hashes && i < r->journal->count; i++) {
        const struct batch_past *p = &r->journal->items[i];
        if (p->own && p->state != BATCH_DONE && !bsearch(&p->hash, hashes, r->jobs->count, sizeof *hashes, by_number))
            for (size_t k = 0; k < p->beside.count; k++)
                batch_stage_remove_path(p->beside.items[k]);
    }
    free(hashes);
}

static void count_jobs(struct run *r)
{
    for (size_t i = 0; i < r->jobs->count; i++) {
        struct batch_job *j = &r->jobs->items[i];
        const struct batch_past *p = j->cmd ? batch_journal_find(r->journal, j->hash) : NULL;
        if (!batch_in_shard(&r->o->shard, j))
            continue;
        r->totals->jobs++;
        r->tasks[i].state = j->cmd ? TASK_WAITING : TASK_FAILED;
        r->totals->failed += !j->cmd;
        if (p && p->state == BATCH_DONE)
            learn(r, j->model, (double)p->host_bytes, (double)p->device_bytes, p->seconds);
    }
}

int batch_run(struct app *app, struct batch_jobs *jobs, struct batch_journal *journal, const struct batch_run_opts *o,
              struct batch_totals *totals)
{
    struct run r = {.app = app, .jobs = jobs, .journal = journal, .o = o, .totals = totals, .began = fv_now()};
    *totals = (struct batch_totals){0};
    r.tasks = calloc(jobs->count, sizeof *r.tasks);
    if (!r.tasks)
        return fv_fail(FV_ENOMEM, "out of memory");
    for (int i = 0; i < MOST_WORKERS; i++)
        r.workers[i].job = NO_JOB;
    r.most = o->workers ? o->workers : fv_cpu_count() >= 4 ? 2 : 1;
    r.most = r.most > MOST_WORKERS ? MOST_WORKERS : r.most;
    r.memory = o->memory ? (double)o->memory : free_memory();
    count_jobs(&r);
    remove_orphans(&r);
    progress_start(&r.progress, o->progress, "jobs", app->quiet);
    work(&r);
    end_workers(&r);
    progress_done(&r.progress);
    totals->seconds = fv_now() - r.began;
    free(r.tasks);
    free(r.known);
    if (r.failure)
        return r.failure;
    return app_cancelled() && totals->before + totals->done + totals->failed < totals->jobs
               ? fv_fail(FV_ECANCELLED, "cancelled")
               : 0;
}
