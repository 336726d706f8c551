/* See estimate.h. */
#include "app/estimate.h"
#include "app/generator.h"
#include "vk/base/file.h"
#include "vk/base/thread.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { NICE = 5 };
static const double settle_seconds = 0.25; /* so long nothing must be asked: typing asks often */

struct estimator {
    struct estimate_opts opts;
    struct fv_worker worker;
    bool asked, fresh, busy;
    double due;
    struct generation question;
    struct estimate answer;
};

/* --- one clip --- */

/* A model, its weights not loaded; what of the files says whether it is quantised. */
struct model {
    struct model_in in;
    struct generator *g;
};

static int open_model(struct model *m, const char *folder)
{
    *m = (struct model){.g = NULL};
    FV_TRY(model_in_find(&m->in, &(struct model_paths){.model = *folder ? folder : NULL}));
    return generator_open(&m->g, &m->in, &(struct generator_opts){.dtype = NN_F32});
}

static void close_model(struct model *m)
{
    generator_close(&m->g);
    model_in_finish(&m->in);
}

static int settle(const struct model *m, const struct generation *q, struct generator_clip *c)
{
    const struct model_usual *u = &m->in.usual;
    *c = (struct generator_clip){.width = u->width,
                                 .height = u->height,
                                 .frames = u->frames,
                                 .fps = (float)(q->fps > 0 ? q->fps : u->fps),
                                 .steps = q->steps > 0 ? (uint32_t)q->steps : u->steps,
                                 .guidance = (float)(q->guidance < 0 ? u->guidance : q->guidance),
                                 .transform = u->transform,
                                 .merge_steps = q->merge_steps < 0 ? u->merge_steps : (uint32_t)q->merge_steps};
    c->leap = u->leap;
    if (q->leap != LEAP_MODEL)
        c->leap = (struct df_leap){.by = (enum df_leap_by)(q->leap - LEAP_NEVER), .from = (uint32_t)q->leap_from};
    if (q->size[0] && df_picture_size(&c->width, &c->height, q->size, NULL) < 0)
        return fv_wrap(FV_EINVALID, "size: ");
    if (q->frames[0] && df_frame_count(&c->frames, q->frames) < 0)
        return fv_wrap(FV_EINVALID, "length: ");
    return generator_size(m->g, c);
}

/* Evaluations at the least, and what they take. */
static void leap_at_least(struct estimate_cost *c, const struct generator_clip *clip, const struct df_cost *s)
{
    uint32_t from = clip->leap.from ? clip->leap.from : s->evaluations / 2;
    uint32_t merged = clip->merge_steps < from + 1 ? clip->merge_steps : from + 1;
    if (clip->leap.by == DF_LEAP_NEVER || from + 1 >= s->evaluations)
        return;
    c->sampling_flops = s->caption_flops + (from + 1 - merged) * s->step_flops +
                        merged * (s->merged_flops > 0 ? s->merged_flops : s->step_flops);
}

static int cost_of(struct estimate_cost *out, struct model *m, const struct generator_clip *clip, uint64_t memory,
                   bool given)
{
    struct generator_cost c;
    *out = (struct estimate_cost){.known = false};
    FV_TRY(generator_plan(m->g, clip, memory, given, &c));
    out->text_flops = c.flops[STAGE_TEXT];
    out->sampling_flops = c.flops[STAGE_SAMPLE];
    out->decode_flops = c.flops[STAGE_DECODE];
    out->evaluations = c.sampling.evaluations;
    for (int i = 0; i < STAGES; i++)
        out->bytes = c.peak_bytes[i] > out->bytes ? c.peak_bytes[i] : out->bytes;
    leap_at_least(out, clip, &c.sampling);
    out->known = true;
    return 0;
}

/* --- the model beside it --- */

static bool ends_quantised(const char *folder)
{
    return fv_ends_with(folder, "-4bit") || fv_ends_with(folder, "-8bit");
}

/* Open-Sora/ and Open-Sora-4bit/ beside it, as `fovea quantize` is told to write. */
static void find_other(struct estimate *e)
{
    size_t n = strlen(e->folder);
    e->quantised = ends_quantised(e->folder);
    e->other[0] = 0;
    if (n + 8 >= sizeof e->other)
        return;
    if (e->quantised)
        snprintf(e->other, sizeof e->other, "%.*s", (int)(n - 5), e->folder);
    else
        snprintf(e->other, sizeof e->other, "%.*s-4bit", (int)n, e->folder);
    if (!model_in_is(e->other))
        e->other[0] = 0;
}

static void copy_usual(struct estimate *e, const struct model_in *m)
{
    size_t n;
    e->usual = m->usual;
    e->usual.scores.camera = NULL;
    snprintf(e->name, sizeof e->name, "%s", m->usual.name);
    snprintf(e->folder, sizeof e->folder, "%s", m->model ? m->model : "");
    while ((n = strlen(e->folder)) > 1 && e->folder[n - 1] == '/')
        e->folder[n - 1] = 0;
    find_other(e);
}

/* --- the answer --- */

static int answer_with(struct estimate *e, struct model *m, const struct generation *q, uint64_t memory)
{
    struct generator_clip c, other;
    bool given = q->image[0];
    copy_usual(e, &m->in);
    FV_TRY(settle(m, q, &c));
    generator_picture(m->g, &c, &e->width, &e->height);
    e->frames = c.frames;
    e->steps = c.steps;
    e->fps = (double)c.fps;
    e->merge_steps = c.merge_steps;
    e->leaps = c.leap.by != DF_LEAP_NEVER;
    FV_TRY(cost_of(&e->now, m, &c, memory, given));
    other = c;
    other.merge_steps = c.merge_steps ? 0 : c.steps / 2;
    if (cost_of(&e->without[SWITCH_MERGE], m, &other, memory, given) < 0)
        e->without[SWITCH_MERGE].known = false;
    other = c;
    other.leap = (struct df_leap){.by = e->leaps ? DF_LEAP_NEVER : DF_LEAP_WHOLE};
    if (cost_of(&e->without[SWITCH_LEAP], m, &other, memory, given) < 0)
        e->without[SWITCH_LEAP].known = false;
    return 0;
}

static void answer_other(struct estimate *e, const struct generation *q, uint64_t memory)
{
    struct model m;
    struct generator_clip c;
    e->without[SWITCH_QUANTISED].known = false;
    if (e->other[0] && open_model(&m, e->other) >= 0 && settle(&m, q, &c) >= 0)
        cost_of(&e->without[SWITCH_QUANTISED], &m, &c, memory, q->image[0]);
    if (e->other[0])
        close_model(&m);
}

static void answer(struct estimate *e, const struct generation *q, uint64_t budget)
{
    struct model m;
    uint64_t memory = q->memory ? q->memory : budget;
    e->error[0] = 0;
    int rc = open_model(&m, q->model);
    if (rc >= 0)
        rc = answer_with(e, &m, q, memory);
    if (rc < 0)
        snprintf(e->error, sizeof e->error, "%s", fv_error());
    close_model(&m);
    answer_other(e, q, memory);
}

/* --- the thread --- */

static void *run(void *ud)
{
    struct estimator *e = ud;
    static _Thread_local struct generation q;
    static _Thread_local struct estimate a;
    setpriority(PRIO_PROCESS, 0, NICE); /* of this thread, on Linux */
    pthread_mutex_lock(&e->worker.lock);
    while (!e->worker.stop) {
        if (!e->asked) {
            pthread_cond_wait(&e->worker.changed, &e->worker.lock);
            continue;
        }
        if (fv_now() < e->due) {
            fv_cond_wait_until(&e->worker.changed, &e->worker.lock, e->due);
            continue;
        }
        e->asked = false;
        e->busy = true;
        q = e->question;
        pthread_mutex_unlock(&e->worker.lock);
        answer(&a, &q, e->opts.budget);
        pthread_mutex_lock(&e->worker.lock);
        e->busy = false;
        e->fresh = true;
        e->answer = a;
        if (e->opts.wake && !e->worker.stop)
            e->opts.wake();
    }
    pthread_mutex_unlock(&e->worker.lock);
    return NULL;
}

int estimate_start(struct estimator **out, const struct estimate_opts *opts)
{
    *out = NULL;
    struct estimator *e = calloc(1, sizeof *e);
    if (!e)
        return fv_fail(FV_ENOMEM, "out of memory");
    e->opts = *opts;
    if (fv_worker_start(&e->worker, run, e) < 0) {
        free(e);
        return fv_fail(FV_ENOMEM, "no thread to estimate clips");
    }
    *out = e;
    return 0;
}

void estimate_stop(struct estimator **e_)
{
    struct estimator *e = *e_;
    if (!e)
        return;
    fv_worker_stop(&e->worker);
    free(e);
    *e_ = NULL;
}

void estimate_ask(struct estimator *e, const struct generation *g)
{
    pthread_mutex_lock(&e->worker.lock);
    e->question = *g;
    e->asked = true;
    e->due = fv_now() + settle_seconds;
    pthread_cond_signal(&e->worker.changed);
    pthread_mutex_unlock(&e->worker.lock);
}

bool estimate_poll(struct estimator *e, struct estimate *out)
{
    pthread_mutex_lock(&e->worker.lock);
    bool fresh = e->fresh;
    e->fresh = false;
    if (fresh)
        *out = e->answer;
    pthread_mutex_unlock(&e->worker.lock);
    return fresh;
}

bool estimate_busy(struct estimator *e)
{
    pthread_mutex_lock(&e->worker.lock);
    bool busy = e->busy || e->asked;
    pthread_mutex_unlock(&e->worker.lock);
    return busy;
}
