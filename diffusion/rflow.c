/* Rectified flow (diffusion.h): straight paths x_s = (1 - s) data + s noise, along which the model
 * gives the velocity towards the data. Euler steps from noise, with guidance by the caption. */
#include "diffusion/private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS = 1000 /* times count from 0 to it */, MOST_SAMPLES = 32 };

/* Open-Sora 1.2: large and long clips hide more of the noise, so times move towards it. */
static double moved(const struct df_schedule *s, double time)
{
    double space = sqrt((double)s->pixel_height * (double)s->pixel_width / (512.0 * 512.0));
    double length = s->frames == 1 ? 1 : s->frames / 17 * 5;
    double ratio = space * sqrt(length), t = time / STEPS;
    return STEPS * ratio * t / (1 + (ratio - 1) * t);
}

void df_times(const struct df_schedule *s, float *out)
{
    for (uint32_t i = 0; i < s->steps; i++) {
        double time = (1 - (double)i / s->steps) * STEPS;
        time = s->whole ? nearbyint(time) : time;
        out[i] = (float)(s->transform ? moved(s, time) : time);
    }
}

/* What a sampling works with. Halves: with the caption, without. */
struct sampler {
    struct df_dit *d;
    const struct df_sampling *s;
    struct df_run *run;
    size_t n, plane, out_n; /* numbers of a sample, of a frame of a channel, of a sample's result */
    float *times;
    float *z2, *v2;     /* both halves */
    float *noise, *was, *made; /* of masked frames */
    bool *active, *kept, *noised; /* [batch][T], kept of both halves */
    float *v, *last;   /* guided, of this step and the one before */
    double best;       /* cosine between them */
    uint32_t patience;
    struct df_sampled done;
    float *states;      /* captions of both halves */
    bool *mask;
};

static int make_run(struct sampler *k)
{
    const struct df_dit_info *i = df_dit_info(k->d);
    const struct df_sampling *s = k->s;
    uint32_t batch = s->size.batch;
    size_t caption = (size_t)s->text.tokens * i->text_width, all = caption * batch;
    if (s->text.tokens != i->text_tokens)
        return fv_fail(FV_EINVALID, "captions of %u tokens, the model takes %u", s->text.tokens,
                       i->text_tokens);
    k->states = malloc(2 * all * sizeof *k->states);
    k->mask = malloc((size_t)2 * batch * s->text.tokens);
    if (!k->states || !k->mask)
        return fv_fail(FV_ENOMEM, "out of memory");
    memcpy(k->states, s->text.states, all * sizeof *k->states);
    for (uint32_t b = 0; b < batch; b++)
        FV_TRY(df_dit_null_text(k->d, k->states + all + b * caption));
    /* as trained: "nothing" is cut where the caption ends */
    for (uint32_t half = 0; half < 2; half++)
        for (size_t t = 0; t < (size_t)batch * s->text.tokens; t++)
            k->mask[half * (size_t)batch * s->text.tokens + t] = !s->text.mask || s->text.mask[t];
    struct df_size size = s->size;
    size.batch *= 2;
    const struct df_text text = {s->text.tokens, k->states, k->mask};
    return df_run_create(&k->run, k->d, &size, &text,
                         &(struct df_run_opts){.masked = s->frame_mask != NULL});
}

/* Frames that begin to change at this time get their noise; those that do not yet are kept. */
static int mask_frames(struct sampler *k, uint32_t step, float *z)
{
    const struct df_sampling *s = k->s;
    uint32_t frames = s->size.frames, channels = df_dit_info(k->d)->channels, batch = s->size.batch;
    float share = k->times[step] / STEPS;
    FV_TRY(s->noise(s->ud, step, batch * k->n, k->noise));
    memcpy(k->was, z, batch * k->n * sizeof *z);
    for (uint32_t f = 0; f < batch * frames; f++) {
        bool active = k->active[f] = s->frame_mask[f] * STEPS >= k->times[step];
        k->kept[f] = k->kept[batch * frames + f] = !active;
        for (uint32_t c = 0; c < channels && active && !k->noised[f]; c++) {
            size_t at = f / frames * k->n + (c * (size_t)frames + f % frames) * k->plane;
            for (size_t i = at; i < at + k->plane; i++)
                z[i] = (1 - share) * z[i] + share * k->noise[i];
        }
        k->noised[f] = active;
    }
    return 0;
}

static void restore_frames(const struct sampler *k, float *z)
{
    uint32_t frames = k->s->size.frames, channels = df_dit_info(k->d)->channels;
    for (uint32_t f = 0; f < k->s->size.batch * frames; f++)
        for (uint32_t c = 0; c < channels && !k->active[f]; c++) {
            size_t at = f / frames * k->n + (c * (size_t)frames + f % frames) * k->plane;
            memcpy(z + at, k->was + at, k->plane * sizeof *z);
        }
}

static int tell(const struct df_sampling *s, uint32_t step, enum df_event what, const float *data,
                size_t n)
{
    return s->on_step ? s->on_step(s->ud, step, what, data, n) : 0;
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
static double likeness(const struct sampler *k)
{
    uint32_t rows = k->s->size.height, cols = k->s->size.width;
    double sum = 0;
    if (k->s->leap.by == DF_LEAP_WHOLE)
        return cosine(k->v, k->last, k->s->size.batch * k->n);
    for (size_t y = 0; y < rows; y++)
        sum += cosine(k->v + y * cols, k->last + y * cols, cols);
    return sum / rows;
}

/* Whether this step goes all the way. */
static int leap(struct sampler *k, uint32_t step, bool *leaps)
{
    const struct df_leap *l = &k->s->leap;
    uint32_t from = l->from ? l->from : k->s->schedule.steps / 2;
    float like = 0, flag;
    *leaps = l->by == DF_LEAP_FIXED && step >= from;
    if (l->by == DF_LEAP_ROWS || l->by == DF_LEAP_WHOLE) {
        double now = step ? likeness(k) : 0;
        like = (float)now;
        if (step >= from && now > k->best + (l->gain > 0 ? (double)l->gain : 1e-3)) {
            k->best = now;
            k->patience = l->patience ? l->patience : 3;
        } else if (step && step >= from) {
            k->patience--;
        }
        *leaps = !k->patience;
    }
    flag = *leaps;
    FV_TRY(tell(k->s, step, DF_COSINE, &like, 1));
    return tell(k->s, step, DF_LEAP, &flag, 1);
}

/* ---- steps ------------------------------------------------------------------------------- */

/* The model for both halves, and the velocity of both together. */
static int evaluate(struct sampler *k, uint32_t step, const float *z)
{
    const struct df_sampling *s = k->s;
    uint32_t batch = s->size.batch;
    size_t all = batch * k->n;
    float time[2 * MOST_SAMPLES];
    for (uint32_t b = 0; b < 2 * batch; b++)
        time[b] = k->times[step];
    memcpy(k->z2, z, all * sizeof *z);
    memcpy(k->z2 + all, z, all * sizeof *z);
    const struct df_step model = {.z = k->z2, .time = time, .kept = s->frame_mask ? k->kept : NULL,
                                  .last = step + 1 == s->schedule.steps,
                                  .merge = step < s->merge_steps};
    FV_TRY(df_run_step(k->run, &model, k->v2));
    k->done.evaluations++;
    k->done.merged += model.merge;
    k->done.flops += df_run_cost(k->run).flops;
    FV_TRY(tell(s, step, DF_OUTPUT, k->v2, 2 * batch * k->out_n));
    float *last = k->last;
    k->last = k->v;
    k->v = last;
    for (uint32_t b = 0; b < batch; b++)
        for (size_t i = 0; i < k->n; i++) { /* the velocity is the first channels */
            float with = k->v2[b * k->out_n + i], without = k->v2[(batch + b) * k->out_n + i];
            k->v[b * k->n + i] = without + s->guidance * (with - without);
        }
    return 0;
}

static int take_step(struct sampler *k, uint32_t step, float *z, bool *ends)
{
    const struct df_sampling *s = k->s;
    size_t all = s->size.batch * k->n, frames = (size_t)2 * s->size.batch * s->size.frames;
    if (s->frame_mask)
        FV_TRY(mask_frames(k, step, z));
    for (size_t f = 0; s->frame_mask && f < frames; f++)
        k->made[f] = !k->kept[f];
    if (s->frame_mask)
        FV_TRY(tell(s, step, DF_FRAMES, k->made, frames));
    FV_TRY(tell(s, step, DF_INPUT, z, all));
    FV_TRY(evaluate(k, step, z));
    FV_TRY(leap(k, step, ends));
    float next = !*ends && step + 1 < s->schedule.steps ? k->times[step + 1] : 0;
    float dt = (k->times[step] - next) / STEPS;
    for (size_t i = 0; i < all; i++)
        z[i] += k->v[i] * dt;
    if (s->frame_mask)
        restore_frames(k, z);
    return 0;
}

static int prepare(struct sampler *k)
{
    const struct df_sampling *s = k->s;
    const struct df_dit_info *i = df_dit_info(k->d);
    uint32_t batch = s->size.batch, frames = s->size.frames;
    if (!s->schedule.steps || s->schedule.steps > 10000 || !batch || batch > MOST_SAMPLES)
        return fv_fail(FV_EINVALID, "%u steps of %u samples", s->schedule.steps, batch);
    if (s->frame_mask && !s->noise)
        return fv_fail(FV_EINVALID, "frames that change need noise");
    k->plane = (size_t)s->size.height * s->size.width;
    k->n = k->plane * frames * i->channels;
    k->out_n = k->plane * frames * i->out_channels;
    k->times = malloc(s->schedule.steps * sizeof *k->times);
    k->z2 = malloc(2 * batch * k->n * sizeof *k->z2);
    k->v2 = malloc(2 * batch * k->out_n * sizeof *k->v2);
    k->noise = malloc(batch * k->n * sizeof *k->noise);
    k->was = malloc(batch * k->n * sizeof *k->was);
    k->v = malloc(batch * k->n * sizeof *k->v);
    k->last = malloc(batch * k->n * sizeof *k->last);
    k->patience = s->leap.patience ? s->leap.patience : 3;
    k->made = malloc((size_t)2 * batch * frames * sizeof *k->made);
    k->active = calloc((size_t)batch * frames, 1);
    k->noised = calloc((size_t)batch * frames, 1);
    k->kept = calloc((size_t)2 * batch * frames, 1);
    if (!k->times || !k->z2 || !k->v2 || !k->noise || !k->was || !k->v || !k->last || !k->made || !k->active || !k->noised || !k->kept)
        return fv_fail(FV_ENOMEM, "out of memory");
    for (uint32_t f = 0; s->frame_mask && f < batch * frames; f++)
        k->noised[f] = s->frame_mask[f] == 1;
    df_times(&s->schedule, k->times);
    return make_run(k);
}

int df_sample(struct df_dit *d, const struct df_sampling *s, float *z, struct df_sampled *what)
{
    struct sampler k = {.d = d, .s = s};
    int rc = prepare(&k);
    bool ends = false;
    for (uint32_t step = 0; step < s->schedule.steps && rc == 0 && !ends; step++) {
        struct fv_progress p = {"sampling", step, s->schedule.steps};
        if (s->on_progress && s->on_progress(s->ud, &p))
            rc = fv_fail(FV_ECANCELLED, "cancelled at step %u of %u", step, s->schedule.steps);
        rc = rc == 0 ? take_step(&k, step, z, &ends) : rc;
    }
    if (what)
        *what = k.done;
    df_run_destroy(&k.run);
    free(k.times);
    free(k.z2);
    free(k.v2);
    free(k.noise);
    free(k.was);
    free(k.made);
    free(k.v);
    free(k.last);
    free(k.active);
    free(k.noised);
    free(k.kept);
    free(k.states);
    free(k.mask);
    return rc;
}
