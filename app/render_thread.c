/* See render_thread.h. One lock guards what goes back and forth; it is never held while anything
 * is drawn, saved, compiled or freed. */
#include "app/render_thread.h"
#include "vk/base/thread.h"
#include "vk/reload.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 3, NONE = -1 };
static const double watch_seconds = 0.25;

/* A picture and what it was asked as. */
struct slot {
    struct picture picture;
    struct picture_request request;
    int step;
};

struct job {
    enum job_kind { JOB_NONE, JOB_DRAW, JOB_PICK, JOB_SAVE, JOB_SKETCH } kind;
    struct picture_request request;
    int step;        /* sketch: its tag */
    double at[2];    /* pick */
    char path[1024]; /* save */
};

struct render_thread {
    struct render_thread_opts opts;
    struct painter *painter;

    struct slot slots[SLOTS];
    struct picture small; /* the last sketch, */
    const struct loaded *small_of; /* of this stream */
    int latest;            /* the thread's: last drawn, not to be drawn over; NONE */
    struct job last;       /* last picture drawn, to draw again with new shaders; written by the thread,
                              under the lock */
    char shader_log[4096]; /* the thread's: as told last */

    struct fv_worker worker; /* changed: work has come, or all is done */
    bool busy;
    struct job ask, pick, save, sketch;
    struct job doing; /* kind 0 = none */
    int draws;        /* since the sketch was asked for */
    struct loaded *retired; /* linked list */
    int shown, ready;       /* slots; NONE */
    struct render_news news;
};

/* --- what the thread does --- */

/* The slot that is neither shown nor about to be. The lock is held. */
static int free_slot(const struct render_thread *t)
{
    for (int i = 0; i < SLOTS; i++)
        if (i != t->shown && i != t->ready)
            return i;
    return NONE;
}

/* The lock is held; so for all tell_. Only the first failure is kept: what follows is likely to
 * come of it. */
static void tell_failure(struct render_thread *t, int code)
{
    if (t->news.failed)
        return;
    t->news.failed = code;
    snprintf(t->news.error, sizeof t->news.error, "%s", fv_error());
}

static bool is_retired(const struct render_thread *t, const struct picture_request *r)
{
    for (const struct loaded *s = t->retired; s; s = s->next)
        if (picture_of(r, s))
            return true;
    return false;
}

static void draw(struct render_thread *t, const struct job *job)
{
    pthread_mutex_lock(&t->worker.lock);
    int at = free_slot(t);
    t->last = *job;
    t->last.kind = JOB_DRAW;
    pthread_mutex_unlock(&t->worker.lock);
    struct slot *s = &t->slots[at];
    s->request = job->request;
    s->step = job->step;
    t->latest = t->latest == at ? NONE : t->latest;
    int rc = painter_draw(t->painter, &s->request, &s->picture);
    if (rc >= 0)
        t->latest = at;
    pthread_mutex_lock(&t->worker.lock);
    if (rc < 0)
        tell_failure(t, rc);
    else if (!is_retired(t, &s->request))
        t->ready = at;
    pthread_mutex_unlock(&t->worker.lock);
}

static void pick(struct render_thread *t, const struct job *job)
{
    double point[3] = {0};
    int rc = painter_pick(t->painter, &job->request, job->at[0], job->at[1], point);
    pthread_mutex_lock(&t->worker.lock);
    if (rc < 0) {
        tell_failure(t, rc);
    } else {
        t->news.picked = true;
        t->news.hit = rc;
        t->news.pick = job->request;
        memcpy(t->news.pick_at, job->at, sizeof job->at);
        memcpy(t->news.point, point, sizeof point);
    }
    pthread_mutex_unlock(&t->worker.lock);
}

static bool is_latest(const struct render_thread *t, const struct picture_request *r)
{
    if (t->latest == NONE)
        return false;
    const struct gs_camera *a = &t->slots[t->latest].request.camera, *b = &r->camera;
    return a->width == b->width && a->height == b->height &&
           picture_same(&t->slots[t->latest].request, r);
}

static void save(struct render_thread *t, const struct job *job)
{
    if (!is_latest(t, &job->request)) {
        t->latest = NONE;
        draw(t, job);
    }
    if (t->latest == NONE)
        return; /* and draw has told why */
    int rc = picture_save(&t->slots[t->latest].picture, job->path);
    pthread_mutex_lock(&t->worker.lock);
    if (rc < 0) {
        tell_failure(t, rc);
    } else {
        t->news.saved = true;
        snprintf(t->news.path, sizeof t->news.path, "%s", job->path);
    }
    pthread_mutex_unlock(&t->worker.lock);
}

static void sketch(struct render_thread *t, const struct job *job)
{
    int rc = painter_draw(t->painter, &job->request, &t->small);
    pthread_mutex_lock(&t->worker.lock);
    if (rc < 0)
        tell_failure(t, rc);
    if (!is_retired(t, &job->request)) {
        t->news.sketch = &t->small; /* empty if it failed */
        t->small_of = job->request.stream;
        t->news.tag = job->step;
    }
    pthread_mutex_unlock(&t->worker.lock);
}

/* A frame's edge: shaders that have changed take effect, and the last picture is drawn again. */
static void watch(struct render_thread *t)
{
    char log[sizeof t->shader_log];
    bool changed;
    int rc = vk_reload_poll(t->opts.dev, &changed, log, sizeof log);
    bool told = rc >= 0 && strcmp(log, t->shader_log) != 0;
    pthread_mutex_lock(&t->worker.lock);
    if (rc < 0)
        tell_failure(t, rc);
    if (told) {
        t->news.shaders_told = true;
        snprintf(t->news.shader_log, sizeof t->news.shader_log, "%s", log);
    }
    if (changed && !t->ask.kind && t->last.kind && !is_retired(t, &t->last.request))
        t->ask = t->last;
    pthread_mutex_unlock(&t->worker.lock);
    if (changed)
        t->latest = NONE; /* drawn with the old ones */
    if (told) {
        memcpy(t->shader_log, log, sizeof log);
        if (t->opts.wake)
            t->opts.wake();
    }
}

static void free_scenes(struct render_thread *t, struct loaded *list)
{
    for (struct loaded *next; list; list = next) {
        next = list->next;
        pthread_mutex_lock(&t->worker.lock);
        if (picture_of(&t->last.request, list))
            t->last = (struct job){0};
        pthread_mutex_unlock(&t->worker.lock);
        if (t->latest != NONE && picture_of(&t->slots[t->latest].request, list))
            t->latest = NONE;
        loaded_destroy(&list);
    }
}

/* --- its loop --- */

static bool has_work(const struct render_thread *t)
{
    return t->worker.stop || t->pick.kind || t->save.kind || t->ask.kind || t->sketch.kind || t->retired;
}

/* Waits for work, but not longer than shaders may go unwatched. The lock is held. */
static void wait_for_work(struct render_thread *t)
{
    double until = fv_now() + (t->opts.watch_shaders ? watch_seconds : INFINITY);
    while (!has_work(t) && fv_cond_wait_until(&t->worker.changed, &t->worker.lock, until))
        ;
}

/* What is to be done, in this order. The lock is held. */
static void take_job(struct render_thread *t, struct job *job)
{
    /* pictures come first, but where one follows the other a sketch has its turn, too */
    enum { PATIENCE = 8 };
    struct job *const late = t->draws >= PATIENCE ? &t->sketch : &t->ask;
    struct job *const asked[] = {&t->pick, &t->save, late, &t->ask, &t->sketch};
    for (int i = 0; i < 5 && !job->kind; i++) {
        *job = *asked[i];
        asked[i]->kind = JOB_NONE;
    }
    t->draws += job->kind == JOB_DRAW;
}

/* The next job, JOB_NONE if there is none, and the scenes to free. False: it is to end. */
static bool next_job(struct render_thread *t, struct job *job, struct loaded **retired)
{
    job->kind = JOB_NONE;
    pthread_mutex_lock(&t->worker.lock);
    t->busy = false;
    t->doing.kind = JOB_NONE;
    pthread_cond_broadcast(&t->worker.changed);
    wait_for_work(t);
    bool go_on = !t->worker.stop;
    if (go_on)
        take_job(t, job);
    t->doing = *job;
    t->busy = job->kind != JOB_NONE;
    *retired = go_on ? t->retired : NULL;
    t->retired = go_on ? NULL : t->retired;
    pthread_mutex_unlock(&t->worker.lock);
    return go_on;
}

static void *run(void *ud)
{
    struct render_thread *t = ud;
    struct job job;
    struct loaded *retired;
    while (next_job(t, &job, &retired)) {
        free_scenes(t, retired);
        if (t->opts.watch_shaders)
            watch(t);
        if (job.kind == JOB_DRAW)
            draw(t, &job);
        else if (job.kind == JOB_PICK)
            pick(t, &job);
        else if (job.kind == JOB_SAVE)
            save(t, &job);
        else if (job.kind == JOB_SKETCH)
            sketch(t, &job);
        if (job.kind && t->opts.wake)
            t->opts.wake();
    }
    return NULL;
}

/* --- what the window's thread calls --- */

int render_thread_start(struct render_thread **out, const struct render_thread_opts *opts)
{
    int rc = 0;
    *out = NULL;
    struct render_thread *t = calloc(1, sizeof *t);
    if (!t)
        return fv_fail(FV_ENOMEM, "out of memory");
    t->opts = *opts;
    t->latest = t->shown = t->ready = NONE;
    rc = painter_create(&t->painter, opts->dev, opts->screen, opts->bgra);
    if (rc >= 0 && fv_worker_start(&t->worker, run, t) < 0) {
        painter_destroy(&t->painter);
        rc = fv_fail(FV_ENOMEM, "no thread to draw in");
    }
    if (rc < 0) {
        free(t);
        return rc;
    }
    *out = t;
    return 0;
}

void render_thread_stop(struct render_thread **t_)
{
    struct render_thread *t = *t_;
    if (!t)
        return;
    fv_worker_stop(&t->worker);
    painter_destroy(&t->painter);
    free_scenes(t, t->retired);
    for (int i = 0; i < SLOTS; i++)
        picture_finish(&t->slots[i].picture);
    picture_finish(&t->small);
    free(t);
    *t_ = NULL;
}

/* True if it takes the place of another. */
static bool put(struct render_thread *t, struct job *where, const struct job *job)
{
    pthread_mutex_lock(&t->worker.lock);
    bool other = where->kind != JOB_NONE;
    *where = *job;
    pthread_cond_broadcast(&t->worker.changed);
    pthread_mutex_unlock(&t->worker.lock);
    return other;
}

bool picture_of(const struct picture_request *r, const struct loaded *s)
{
    const struct picture_side *b = &r->beside;
    return (r->scene && (r->stream ? r->stream == s : r->scene == s->gpu)) ||
           (b->scene && (b->stream ? b->stream == s : b->scene == s->gpu));
}

bool render_thread_uses(struct render_thread *t, const struct gs_gpu_scene *scene)
{
    bool uses = false;
    pthread_mutex_lock(&t->worker.lock);
    const struct job *const jobs[] = {&t->ask, &t->pick, &t->save, &t->sketch, &t->doing, &t->last};
    for (int i = 0; i < 6; i++)
        uses |= jobs[i]->kind && (jobs[i]->request.scene == scene || jobs[i]->request.beside.scene == scene);
    pthread_mutex_unlock(&t->worker.lock);
    return uses;
}

bool render_thread_ask(struct render_thread *t, const struct picture_request *r, int step)
{
    return put(t, &t->ask, &(struct job){.kind = JOB_DRAW, .request = *r, .step = step});
}

void render_thread_pick(struct render_thread *t, const struct picture_request *r, double x,
                        double y)
{
    put(t, &t->pick, &(struct job){.kind = JOB_PICK, .request = *r, .at = {x, y}});
}

void render_thread_sketch(struct render_thread *t, const struct picture_request *r, int tag)
{
    pthread_mutex_lock(&t->worker.lock);
    t->draws = 0;
    t->sketch = (struct job){.kind = JOB_SKETCH, .request = *r, .step = tag};
    pthread_cond_broadcast(&t->worker.changed);
    pthread_mutex_unlock(&t->worker.lock);
}

int render_thread_save(struct render_thread *t, const struct picture_request *r, const char *path)
{
    struct job job = {.kind = JOB_SAVE, .request = *r};
    if (strlen(path) >= sizeof job.path)
        return fv_fail(FV_EINVALID, "%.60s...: the name is too long", path);
    strcpy(job.path, path);
    pthread_mutex_lock(&t->worker.lock);
    bool saving = t->save.kind != JOB_NONE;
    pthread_mutex_unlock(&t->worker.lock);
    if (saving)
        return fv_fail(FV_EINVALID, "%s: another picture is still to be saved", path);
    put(t, &t->save, &job);
    return 0;
}

void render_thread_retire(struct render_thread *t, struct loaded *scene)
{
    struct job *const asked[] = {&t->ask, &t->pick, &t->save, &t->sketch};
    pthread_mutex_lock(&t->worker.lock);
    for (int i = 0; i < 4; i++)
        if (picture_of(&asked[i]->request, scene))
            asked[i]->kind = JOB_NONE;
    if (t->ready != NONE && picture_of(&t->slots[t->ready].request, scene))
        t->ready = NONE;
    if (t->small_of == scene)
        t->news.sketch = NULL;
    scene->next = t->retired;
    t->retired = scene;
    pthread_cond_broadcast(&t->worker.changed);
    pthread_mutex_unlock(&t->worker.lock);
}

void render_thread_poll(struct render_thread *t, struct render_news *out)
{
    pthread_mutex_lock(&t->worker.lock);
    *out = t->news;
    memset(&t->news, 0, sizeof t->news);
    if (t->ready != NONE) {
        const struct slot *s = &t->slots[t->ready];
        t->shown = t->ready;
        t->ready = NONE;
        out->picture = &s->picture;
        out->drawn = s->request;
        out->step = s->step;
    }
    pthread_mutex_unlock(&t->worker.lock);
}

void render_thread_wait(struct render_thread *t)
{
    pthread_mutex_lock(&t->worker.lock);
    while (t->busy || t->ask.kind || t->pick.kind || t->save.kind || t->sketch.kind)
        pthread_cond_wait(&t->worker.changed, &t->worker.lock);
    pthread_mutex_unlock(&t->worker.lock);
}
