/* Rectified flow (diffusion.h): straight paths x_s = (1 - s) data + s noise, along which the model
 * gives the velocity towards the data. Steps from noise by a scheduler (scheduler.c), with guidance
 * by the caption. A step that fails or is cancelled leaves everything as it was before it
 * (sample.h). */
#include "diffusion/sample.h"
#include "diffusion/private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SAMPLES = 32 };

/* ---- a run of both halves ---------------------------------------------------------------- */

static int out_of_memory(void)
{
    return fv_fail(FV_ENOMEM, "out of memory");
}

static int cancel(const struct df_sampler *k)
{
    return fv_fail(FV_ECANCELLED, "cancelled at step %u of %u", k->at.step, k->evaluations);
}

static bool is_cancelled(const struct df_sampler *k)
{
    struct fv_progress p = {"sampling", k->at.step, k->evaluations};
    return k->s.on_progress && k->s.on_progress(k->s.ud, &p);
}

static int within_step(void *ud, const struct fv_progress *p)
{
    (void)p;
    return is_cancelled(ud);
}

static int on_trace(void *ud, const char *name, nn_tensor shape, const float *data)
{
    const struct df_sampler *k = ud;
    return k->s.on_trace(k->s.ud, name, shape, data);
}

static int make_run(struct df_sampler *k)
{
    const struct df_dit_info *i = df_dit_info(k->d);
    const struct df_text *text = &k->s.text, *without = &k->s.without;
    uint32_t batch = k->s.size.batch, tokens = text->tokens;
    size_t caption = (size_t)tokens * i->text_width, all = caption * batch;
    if (tokens != i->text_tokens)
        return fv_fail(FV_EINVALID, "captions of %u tokens, the model takes %u", tokens,
                       i->text_tokens);
    if (without->states && without->tokens != tokens)
        return fv_fail(FV_EINVALID, "captions to be led away from of %u tokens, the others of %u",
                       without->tokens, tokens);
    float *states = malloc(2 * all * sizeof *states);
    bool *mask = malloc((size_t)2 * batch * tokens);
    int rc = states && mask ? 0 : out_of_memory();
    if (rc == 0)
        memcpy(states, text->states, all * sizeof *states);
    for (uint32_t b = 0; b < batch && rc == 0 && !without->states; b++)
        rc = df_dit_null_text(k->d, states + all + b * caption);
    if (rc == 0 && without->states)
        memcpy(states + all, without->states, all * sizeof *states);
    /* as trained: "nothing" is cut where the caption ends */
    const bool *masks[2] = {text->mask, without->states ? without->mask : text->mask};
    for (size_t t = 0; t < (size_t)2 * batch * tokens && rc == 0; t++) {
        const bool *half = masks[t / ((size_t)batch * tokens)];
        mask[t] = !half || half[t % ((size_t)batch * tokens)];
    }
    struct df_size size = k->s.size;
    size.batch *= 2;
    uint32_t steps = k->s.schedule.steps;
    float *times = malloc((size_t)steps * size.batch * sizeof *times);
    if (!times)
        rc = out_of_memory();
    for (size_t t = 0; t < (size_t)steps * size.batch && times; t++)
        times[t] = k->times[t / size.batch];
    if (rc == 0)
        rc = df_run_create(
            &k->run, k->d, &size, &(struct df_text){tokens, states, mask},
            &(struct df_run_opts){.masked = k->s.frame_mask && !k->s.replace,
                                  .times = times,
                                  .time_count = steps,
                                  .cache = k->s.cache,
                                  .on_trace = k->s.on_trace ? on_trace : NULL,
                                  .on_progress = k->s.on_progress ? within_step : NULL,
                                  .ud = k});
    free(states);
    free(mask);
    free(times);
    return rc;
}

/* Of the next step. */
static float time_of(const struct df_sampler *k)
{
    return k->times[df_scheduler_place(k->way, k->at.step)];
}

/* ---- frames that are kept ---------------------------------------------------------------- */

/* Frames that begin to change at this time get their noise; those that do not yet are kept. */
static int mask_frames(struct df_sampler *k)
{
    const struct df_sampling *s = &k->s;
    uint32_t frames = s->size.frames, channels = df_dit_info(k->d)->channels, batch = s->size.batch;
    float time = time_of(k), share = time / DF_TIME;
    FV_TRY(s->noise(s->ud, k->at.step, k->all, k->noise));
    for (uint32_t f = 0; f < batch * frames; f++) {
        /* the first time, moved, may be a bit more than all noise */
        bool active = s->frame_mask[f] == 1 || s->frame_mask[f] * DF_TIME >= time;
        k->active[f] = active;
        k->kept[f] = !active;
        k->kept[batch * frames + f] = !active && !s->joint;
        k->made[f] = active;
        k->made[batch * frames + f] = active || s->joint;
        for (uint32_t c = 0; c < channels && active && !k->noised[f]; c++) {
            size_t at = f / frames * k->n + (c * (size_t)frames + f % frames) * k->plane;
            for (size_t i = at; i < at + k->plane; i++)
                k->input[i] = (1 - share) * k->input[i] + share * k->noise[i];
        }
    }
    return 0;
}

static int tell(const struct df_sampler *k, enum df_event what, const float *data, size_t n)
{
    return k->s.on_step ? k->s.on_step(k->s.ud, k->at.step, what, data, n) : 0;
}

/* ---- the leap ---------------------------------------------------------------------------- */

static double cosine(const float *a, const float *b, size_t n)
{
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < n; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return ab / (fmax(sqrt(aa), 1e-8) * fmax(sqrt(bb), 1e-8));
}

/* How little the velocity turned since the last step. */
static double likeness(const struct df_sampler *k)
{
    uint32_t rows = k->s.size.height, cols = k->s.size.width;
    double sum = 0;
    if (k->s.leap.by == DF_LEAP_WHOLE)
        return cosine(k->v, k->last, k->all);
    for (size_t y = 0; y < rows; y++)
        sum += cosine(k->v + y * cols, k->last + y * cols, cols);
    return sum / rows;
}

/* The first step that may leap. */
static uint32_t leap_from(const struct df_sampler *k)
{
    return k->s.leap.from ? k->s.leap.from : k->evaluations / 2;
}

static uint32_t leap_patience(const struct df_sampler *k)
{
    return k->s.leap.patience ? k->s.leap.patience : 3;
}

/* Whether this step goes all the way. next: what the next one starts from. */
static int leap(struct df_sampler *k, struct df_place *next, bool *leaps)
{
    const struct df_leap *l = &k->s.leap;
    uint32_t step = k->at.step, from = leap_from(k);
    float like = 0, flag;
    *leaps = l->by == DF_LEAP_FIXED && step >= from;
    if (l->by == DF_LEAP_ROWS || l->by == DF_LEAP_WHOLE) {
        double now = step ? likeness(k) : 0;
        like = (float)now;
        if (next->patience && step >= from &&
            now > next->best + (l->gain > 0 ? (double)l->gain : 1e-3)) {
            next->best = now;
            next->patience = leap_patience(k);
        } else if (step && step >= from && next->patience) {
            next->patience--;
        }
        *leaps = !next->patience;
    }
    *leaps = *leaps &&
             !df_run_skipped(k->run); /* with what the model says, not what it said: next time */
    flag = *leaps;
    FV_TRY(tell(k, DF_COSINE, &like, 1));
    return tell(k, DF_LEAP, &flag, 1);
}

/* ---- steps ------------------------------------------------------------------------------- */

/* Whether a plane of the latents is of a frame that changes in this step. */
static bool is_active(const struct df_sampler *k, size_t plane)
{
    uint32_t frames = k->s.size.frames, channels = df_dit_info(k->d)->channels;
    return !k->s.frame_mask || k->active[plane / frames / channels * frames + plane % frames];
}

static size_t planes(const struct df_sampler *k)
{
    return k->all / k->plane;
}

/* What both halves of the model see. */
static void fill_halves(struct df_sampler *k)
{
    float *without = k->z2 + k->all;
    memcpy(k->z2, k->input, k->all * sizeof *k->z2);
    memcpy(without, k->input, k->all * sizeof *k->z2);
    for (size_t p = 0; k->parts == 2 && p < planes(k); p++)
        if (!is_active(k, p))
            memcpy(without + p * k->plane, k->input + k->all + p * k->plane,
                   k->plane * sizeof *without);
}

/* A sample's guided velocity, as long as the one with the caption. */
static void renorm(const struct df_sampler *k, const float *with, float *v, size_t first_plane)
{
    double own = 0, wanted = 0;
    size_t n = k->n / k->plane;
    for (size_t p = 0; p < n; p++)
        for (size_t i = p * k->plane; i < (p + 1) * k->plane && is_active(k, first_plane + p);
             i++) {
            own += (double)v[i] * (double)v[i];
            wanted += (double)with[i] * (double)with[i];
        }
    double ratio = own > 0 ? sqrt(wanted / own) : 1;
    float by = (float)(1 + (double)k->s.renorm * (ratio - 1));
    for (size_t i = 0; i < k->n; i++)
        v[i] *= by;
}

/* Both halves' velocities, which are the first channels of the results, together. */
static void guide(struct df_sampler *k)
{
    uint32_t batch = k->s.size.batch;
    for (uint32_t b = 0; b < batch; b++) {
        const float *with = k->v2 + b * k->out_n, *without = k->v2 + (batch + b) * k->out_n;
        float *v = k->v + b * k->n;
        for (size_t i = 0; i < k->n; i++)
            v[i] = without[i] + k->s.guidance * (with[i] - without[i]);
        if (k->parts == 2)
            memcpy(k->v + k->all + b * k->n, without, k->n * sizeof *without);
        if (k->s.renorm > 0)
            renorm(k, with, v, b * (k->n / k->plane));
    }
}

/* Steps that the cache may not stand in for: the first, the last, and where a leap is due. */
static bool must_compute(const struct df_sampler *k)
{
    uint32_t step = k->at.step;
    return !step || step + 1 == k->evaluations || !k->at.patience ||
           (k->s.leap.by == DF_LEAP_FIXED && step >= leap_from(k));
}

/* The model for both halves, and the velocity of both together. */
static int evaluate(struct df_sampler *k, struct df_place *next)
{
    const struct df_sampling *s = &k->s;
    uint32_t batch = s->size.batch, step = k->at.step;
    float time[2 * MOST_SAMPLES];
    for (uint32_t b = 0; b < 2 * batch; b++)
        time[b] = time_of(k);
    fill_halves(k);
    const struct df_step model = {.z = k->z2,
                                  .time = time,
                                  .kept = s->frame_mask && !s->replace ? k->kept : NULL,
                                  .last = step + 1 == k->evaluations,
                                  .compute = must_compute(k),
                                  .merge = step < s->merge_steps};
    int rc = df_run_step(k->run, &model, k->v2);
    if (rc < 0)
        return rc == FV_ECANCELLED ? cancel(k) : rc;
    bool skipped = df_run_skipped(k->run);
    next->done.evaluations += !skipped;
    next->done.skipped += skipped;
    next->done.merged += model.merge && !skipped;
    next->done.flops += df_run_cost(k->run).flops;
    FV_TRY(tell(k, DF_OUTPUT, k->v2, 2 * batch * k->out_n));
    guide(k);
    return 0;
}

/* The step's result -> z, of the frames that change. leaps: all the way. */
static void move(struct df_sampler *k, bool leaps)
{
    if (leaps) {
        float share = time_of(k) / DF_TIME;
        for (size_t i = 0; i < k->parts * k->all; i++)
            k->input[i] += k->v[i] * share;
    } else {
        df_scheduler_step(k->way, k->at.step, k->v, k->input);
    }
    for (size_t p = 0; p < k->parts * planes(k); p++)
        if (p >= planes(k) || is_active(k, p))
            memcpy(k->z + p * k->plane, k->input + p * k->plane, k->plane * sizeof *k->z);
}

int df_sampler_step(struct df_sampler *k)
{
    const struct df_sampling *s = &k->s;
    struct df_place next = k->at;
    size_t frames = (size_t)s->size.batch * s->size.frames;
    uint32_t step = k->at.step;
    bool ends;
    if (k->at.ended)
        return 1;
    if (is_cancelled(k))
        return cancel(k);
    memcpy(k->input, k->z, k->parts * k->all * sizeof *k->z);
    if (s->frame_mask) {
        FV_TRY(mask_frames(k));
        FV_TRY(tell(k, DF_FRAMES, k->made, 2 * frames));
    }
    FV_TRY(tell(k, DF_INPUT, k->input, k->all));
    FV_TRY(evaluate(k, &next));
    FV_TRY(leap(k, &next, &ends));
    next.step = step + 1;
    next.ended = ends || next.step == k->evaluations;
    /* nothing fails from here on */
    move(k, ends);
    if (s->frame_mask)
        memcpy(k->noised, k->active, frames * sizeof *k->noised);
    float *v = k->v;
    k->v = k->last;
    k->last = v;
    k->at = next;
    return (int)k->at.ended;
}

/* ---- samplings --------------------------------------------------------------------------- */

static int make_way(struct df_sampler *k)
{
    uint32_t steps = k->s.schedule.steps;
    float *share = malloc(steps * sizeof *share);
    k->times = malloc(steps * sizeof *k->times);
    if (!share || !k->times) {
        free(share);
        return out_of_memory();
    }
    df_times(&k->s.schedule, k->times);
    for (uint32_t i = 0; i < steps; i++)
        share[i] = k->times[i] / DF_TIME;
    int rc = df_scheduler_create(&k->way, k->s.method, share, steps, k->parts * k->all);
    free(share);
    if (rc == 0)
        k->evaluations = df_scheduler_evaluations(k->way);
    return rc;
}

static int check_sampling(const struct df_sampling *s)
{
    const struct df_schedule *t = &s->schedule;
    uint32_t frames = s->size.frames;
    if (!t->steps || t->steps > 10000 || !s->size.batch || s->size.batch > MOST_SAMPLES)
        return fv_fail(FV_EINVALID, "%u steps of %u samples", t->steps, s->size.batch);
    FV_TRY(df_check_size(&s->size));
    if (!(t->start >= 0 && t->start <= 1) || !(t->least >= 0 && t->least < 1) || !(t->shift >= 0) ||
        isinf(t->shift))
        return fv_fail(FV_EINVALID, "a sampling from %g to %g of the noise, moved by %g",
                       (double)t->start, (double)t->least, (double)t->shift);
    if ((unsigned)s->method > DF_DPMPP)
        return fv_fail(FV_EINVALID, "no method %d", (int)s->method);
    if (!(s->cache.threshold >= 0) || isinf(s->cache.threshold))
        return fv_fail(FV_EINVALID, "a cache with threshold %g", (double)s->cache.threshold);
    if (!(s->renorm >= 0 && s->renorm <= 1))
        return fv_fail(FV_EINVALID, "renorm is %g, expected 0 to 1", (double)s->renorm);
    for (uint32_t f = 0; s->frame_mask && f < s->size.batch * frames; f++) {
        float edit = s->frame_mask[f];
        if (!(edit >= 0 && edit <= 1))
            return fv_fail(FV_EINVALID,
                           "frame %u is to change from %g of the noise on, expected 0 to 1",
                           f % frames, (double)edit);
        if (s->method != DF_EULER && edit > 0 && edit < 1)
            return fv_fail(
                FV_EINVALID,
                "frame %u is to change from %g of the noise on: Euler's method can do that",
                f % frames, (double)edit);
    }
    if (s->frame_mask && !s->noise)
        return fv_fail(FV_EINVALID, "frames that change need noise");
    return 0;
}

static int prepare(struct df_sampler *k, const float *z)
{
    const struct df_sampling *s = &k->s;
    const struct df_dit_info *i = df_dit_info(k->d);
    uint32_t batch = s->size.batch, frames = s->size.frames;
    FV_TRY(check_sampling(s));
    k->plane = (size_t)s->size.height * s->size.width;
    k->n = k->plane * frames * i->channels;
    k->all = batch * k->n;
    k->out_n = k->plane * frames * i->out_channels;
    k->parts = s->joint && s->frame_mask ? 2 : 1;
    FV_TRY(make_way(k));
    k->at.patience = leap_patience(k);
    struct {
        float **at;
        size_t n;
    } numbers[] = {{&k->z, k->parts * k->all},
                   {&k->last, k->parts * k->all},
                   {&k->v, k->parts * k->all},
                   {&k->input, k->parts * k->all},
                   {&k->z2, 2 * k->all},
                   {&k->v2, 2 * batch * k->out_n},
                   {&k->noise, s->frame_mask ? k->all : 1},
                   {&k->made, (size_t)2 * batch * frames}};
    for (size_t n = 0; n < sizeof numbers / sizeof *numbers; n++) {
        *numbers[n].at = calloc(numbers[n].n + 1, sizeof(float));
        if (!*numbers[n].at)
            return out_of_memory();
    }
    if (k->parts == 2)
        FV_TRY(s->noise(s->ud, s->schedule.steps, k->all, k->z + k->all));
    k->active = calloc((size_t)batch * frames + 1, 1);
    k->noised = calloc((size_t)batch * frames + 1, 1);
    k->kept = calloc((size_t)2 * batch * frames + 1, 1);
    if (!k->active || !k->noised || !k->kept)
        return out_of_memory();
    memcpy(k->z, z, k->all * sizeof *z);
    for (uint32_t f = 0; s->frame_mask && f < batch * frames; f++)
        k->noised[f] = s->frame_mask[f] == 1;
    return make_run(k);
}

int df_sampler_create(struct df_sampler **out, struct df_dit *d, const struct df_sampling *s,
                      const float *z)
{
    struct df_sampler *k = *out = calloc(1, sizeof *k);
    if (!k)
        return out_of_memory();
    k->d = d;
    k->s = *s;
    int rc = prepare(k, z);
    if (rc < 0)
        df_sampler_destroy(out);
    return rc;
}

void df_sampler_destroy(struct df_sampler **out)
{
    struct df_sampler *k = *out;
    if (!k)
        return;
    df_run_destroy(&k->run);
    df_scheduler_destroy(&k->way);
    free(k->times);
    free(k->z);
    free(k->last);
    free(k->v);
    free(k->input);
    free(k->noise);
    free(k->z2);
    free(k->v2);
    free(k->made);
    free(k->active);
    free(k->noised);
    free(k->kept);
    free(k);
    *out = NULL;
}

struct df_sampled df_sampler_done(const struct df_sampler *k)
{
    return k->at.done;
}

uint32_t df_sampler_at(const struct df_sampler *k)
{
    return k->at.step;
}

void df_sampler_latents(const struct df_sampler *k, float *out)
{
    memcpy(out, k->z, k->all * sizeof *out);
}

void df_sampler_guess(const struct df_sampler *k, float *out)
{
    float left = k->at.ended || !k->at.step ? 0 : time_of(k) / DF_TIME;
    memcpy(out, k->z, k->all * sizeof *out);
    for (size_t p = 0; p < planes(k); p++)
        for (size_t i = p * k->plane; i < (p + 1) * k->plane && is_active(k, p); i++)
            out[i] += k->last[i] * left;
}

int df_sample(struct df_dit *d, const struct df_sampling *s, float *z, struct df_sampled *what)
{
    struct df_sampler *k;
    int rc = df_sampler_create(&k, d, s, z);
    while (rc == 0)
        rc = df_sampler_step(k);
    if (k)
        df_sampler_latents(k, z);
    if (k && what)
        *what = k->at.done;
    df_sampler_destroy(&k);
    return rc < 0 ? rc : 0;
}
