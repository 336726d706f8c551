/* Ways from noise to data along a model's velocity (diffusion.h), over shares of noise s:
 *
 *   z_s = (1 - s) data + s noise,   v = data - noise,   data = z_s + s v
 *
 * Euler and Heun step along v. The others take the velocity for what it says of the data, and step in
 * l = log((1 - s) / s), in which the path is exact but for the change of what it says: UniPC (Zhao et al.,
 * "UniPC: A Unified Predictor-Corrector Framework for Fast Sampling of Diffusion Models", NeurIPS 2023,
 * section 3; B(h) = e^h - 1) and DPM-Solver++ 2M (Lu et al., 2022, algorithm 2). */
#include "diffusion/scheduler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RING = 3 /* steps that are remembered */ };

struct df_scheduler {
    enum df_method method;
    uint32_t steps, evaluations;
    size_t n;
    float *share; /* [steps + 1]; the last is 0 */
    float
        *memory; /* [slots][n]: what the data were said to be, by step modulo RING, and the latents
                      before the last step (UniPC); latents and velocity before half a step (Heun) */
    size_t slots;
};

uint32_t df_evaluations(enum df_method method, uint32_t steps)
{
    return method == DF_HEUN && steps ? 2 * steps - 1 : steps;
}

int df_scheduler_create(struct df_scheduler **out, enum df_method method, const float *share,
                        uint32_t steps, size_t n)
{
    static const size_t slots[] = {
        [DF_EULER] = 0, [DF_HEUN] = 2, [DF_UNIPC] = RING + 1, [DF_DPMPP] = RING};
    struct df_scheduler *s = *out = calloc(1, sizeof *s);
    if (!s)
        return fv_fail(FV_ENOMEM, "out of memory");
    s->method = method;
    s->steps = steps;
    s->evaluations = df_evaluations(method, steps);
    s->n = n;
    s->slots = slots[method];
    s->share = malloc((steps + (size_t)1) * sizeof *s->share);
    s->memory = calloc(s->slots * n + 1, sizeof *s->memory);
    if (!s->share || !s->memory) {
        df_scheduler_destroy(out);
        return fv_fail(FV_ENOMEM, "out of memory");
    }
    memcpy(s->share, share, steps * sizeof *share);
    s->share[steps] = 0;
    return 0;
}

void df_scheduler_destroy(struct df_scheduler **s)
{
    if (!*s)
        return;
    free((*s)->share);
    free((*s)->memory);
    free(*s);
    *s = NULL;
}

uint32_t df_scheduler_evaluations(const struct df_scheduler *s)
{
    return s->evaluations;
}

uint32_t df_scheduler_place(const struct df_scheduler *s, uint32_t e)
{
    return s->method == DF_HEUN ? (e + 1) / 2 : e;
}

size_t df_scheduler_memory(const struct df_scheduler *s, float **out)
{
    *out = s->memory;
    return s->slots * s->n;
}

/* ---- Heun: there, and once more from the middle of both velocities ------------------------ */

static void heun(struct df_scheduler *s, uint32_t e, const float *v, float *z)
{
    uint32_t step = e / 2 + e % 2;
    float *was = s->memory, *first = s->memory + s->n;
    if (e % 2) {
        float dt = s->share[step - 1] - s->share[step];
        for (size_t i = 0; i < s->n; i++)
            z[i] = was[i] + 0.5f * (first[i] + v[i]) * dt;
        return;
    }
    float dt = s->share[step] - s->share[step + 1];
    memcpy(was, z, s->n * sizeof *z);
    memcpy(first, v, s->n * sizeof *v);
    for (size_t i = 0; i < s->n; i++)
        z[i] += v[i] * dt;
}

/* ---- multistep methods -------------------------------------------------------------------- */

/* log of data to noise; all noise and all data are infinitely far and never needed to be. */
static double far_along(const struct df_scheduler *s, uint32_t step)
{
    double share = s->share[step];
    return log(fmax(1 - share, 1e-4)) - log(fmax(share, 1e-30));
}

static float *data_at(const struct df_scheduler *s, uint32_t step)
{
    return s->memory + step % RING * s->n;
}

/* z at `to` from z at `from` and from what the data were said to be at from (m), at some step
 * before it or at `to` itself (other, r: where, in parts of the way): weighted by `by`. NULL: m
 * alone. */
static void advance(const struct df_scheduler *s, uint32_t from, uint32_t to, const float *z,
                    const float *m, const float *other, double by, float *out)
{
    double h = far_along(s, to) - far_along(s, from);
    double keep = (double)s->share[to] / (double)s->share[from];
    double gain = -(1 - (double)s->share[to]) * expm1(-h);
    if (to == s->steps)
        gain = 1; /* all of the data */
    for (size_t i = 0; i < s->n; i++) {
        double data = m[i];
        if (other)
            data += by * ((double)other[i] - (double)m[i]);
        out[i] = (float)(keep * (double)z[i] + gain * data);
    }
}

/* The step before's result once more, now that the model has spoken there: two data and the new
 * one. */
static void correct(const struct df_scheduler *s, uint32_t step, const float *now, float *z)
{
    const float *was = s->memory + RING * s->n, *m = data_at(s, step - 1);
    if (step == 1) {
        advance(s, 0, 1, was, m, now, 0.5, z);
        return;
    }
    const float *before = data_at(s, step - 2);
    double l = far_along(s, step - 1), h = far_along(s, step) - l, hh = -h;
    double r = (far_along(s, step - 2) - l) / h;
    double b[2], phi = expm1(hh) / hh - 1, scale = expm1(hh);
    b[0] = phi / scale;
    b[1] = 2 * (phi / hh - 0.5) / scale;
    /* the weights solve [1 1; r 1] w = b */
    double w0 = (b[0] - b[1]) / (1 - r), w1 = b[0] - w0;
    double keep = (double)s->share[step] / (double)s->share[step - 1];
    double gain = -(1 - (double)s->share[step]) * scale;
    for (size_t i = 0; i < s->n; i++) {
        double base = m[i];
        double data = base + w0 / r * ((double)before[i] - base) + w1 * ((double)now[i] - base);
        z[i] = (float)(keep * (double)was[i] + gain * data);
    }
}

static void multistep(struct df_scheduler *s, uint32_t step, const float *v, float *z)
{
    float *now = data_at(s, step);
    const float *before = step && step + 1 < s->steps ? data_at(s, step - 1) : NULL;
    for (size_t i = 0; i < s->n; i++)
        now[i] = z[i] + s->share[step] * v[i];
    if (s->method == DF_UNIPC && step)
        correct(s, step, now, z);
    if (s->method == DF_UNIPC)
        memcpy(s->memory + RING * s->n, z, s->n * sizeof *z);
    double l = far_along(s, step), back = before ? far_along(s, step - 1) - l : 1;
    advance(s, step, step + 1, z, now, before, 0.5 * (far_along(s, step + 1) - l) / back, z);
}

void df_scheduler_step(struct df_scheduler *s, uint32_t e, const float *v, float *z)
{
    if (s->method == DF_HEUN) {
        heun(s, e, v, z);
    } else if (s->method != DF_EULER) {
        multistep(s, e, v, z);
    } else {
        float dt = s->share[e] - s->share[e + 1];
        for (size_t i = 0; i < s->n; i++)
            z[i] += v[i] * dt;
    }
}
