/* Steps whose blocks are left out, since what goes into them has hardly changed (diffusion.h):
 * TeaCache of Liu et al., "Timestep Embedding Tells: It's Time to Cache for Video Diffusion Model"
 * (CVPR 2025), section 3.3. How much the first block's modulated input changed since the last step
 * tells, by a polynomial, how much the model's result would; where that adds up to less than the
 * threshold, the residual of the blocks as it was when they last ran is added again. */
#include "diffusion/private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The authors' fit for Open-Sora 1.2, highest power first. */
static const double opensora[DF_POWERS] = {217.546007, -118.329252, 26.8662585, -0.0459364272,
                                           0.0484426240};

int df_cache_make(struct df_cached *c, struct df_kept *kept, const struct df_cache *o,
                  nn_tensor tokens)
{
    const uint32_t rows = (uint32_t)(nn_count(tokens) / tokens.shape[tokens.rank - 1]);
    c->on = true;
    c->threshold = (double)o->threshold;
    memcpy(c->power, opensora, sizeof opensora);
    for (int i = 0; i < DF_POWERS && o->polynomial; i++)
        c->power[i] = o->polynomial[i];
    FV_TRY(df_keep(&c->seen, kept, tokens.dtype, tokens.rank, tokens.shape, "first block's input"));
    FV_TRY(
        df_keep(&c->residual, kept, tokens.dtype, tokens.rank, tokens.shape, "blocks' residual"));
    FV_TRY(df_keep(&c->change, kept, NN_F32, NN_SHAPE(rows, 1), "change of tokens"));
    FV_TRY(df_keep(&c->size, kept, NN_F32, NN_SHAPE(rows, 1), "size of tokens"));
    return 0;
}

/* Means of absolute values, a token each. */
static void means(struct nn_rec *r, nn_tensor to, nn_tensor x)
{
    nn_tensor both = nn_max(r, x, nn_scale(r, x, -1, 0));
    nn_copy(r, to, nn_reshape(r, nn_mean(r, both, -1), to.rank, to.shape));
}

void df_cache_look(struct df_cached *c, struct nn_rec *r, nn_tensor input)
{
    means(r, c->change, nn_sub(r, input, c->seen));
    means(r, c->size, c->seen);
    nn_copy(r, c->seen, input);
}

static double polynomial(const double *power, double x)
{
    double sum = 0;
    for (int i = 0; i < DF_POWERS; i++)
        sum = sum * x + power[i];
    return sum;
}

/* Sum of what is on the device. */
static int sum_of(double *out, nn_tensor t)
{
    size_t n = (size_t)nn_count(t);
    float *x = malloc(n * sizeof *x);
    int rc = x ? nn_fetch_f32(x, t) : fv_fail(FV_ENOMEM, "out of memory");
    *out = 0;
    for (size_t i = 0; i < n && rc == 0; i++)
        *out += (double)x[i];
    free(x);
    return rc;
}

int df_cache_decide(struct df_cached *c, bool must, bool *compute)
{
    double change, size;
    *compute = true;
    if (!must && c->filled && !c->pending) {
        FV_TRY(sum_of(&change, c->change));
        FV_TRY(sum_of(&size, c->size));
        c->sum += polynomial(c->power, size > 0 ? change / size : 0);
        *compute = !(c->sum < c->threshold); /* NaN computes */
    }
    if (*compute) {
        c->sum = 0;
        c->pending = true; /* until it is done: the residual is not what it was */
    }
    return 0;
}

void df_cache_residual(struct df_cached *c, struct nn_rec *r, nn_tensor x, bool computed)
{
    if (!computed) {
        nn_copy(r, x, nn_add(r, x, c->residual));
        return;
    }
    nn_copy(r, c->residual, nn_sub(r, x, c->residual));
    c->filled = true;
}

/* ---- written down ------------------------------------------------------------------------ */

struct head {
    double sum;
    uint32_t filled, pending;
};

size_t df_cache_bytes(const struct df_cached *c)
{
    return c->on ? sizeof(struct head) + (size_t)(nn_bytes(c->seen) + nn_bytes(c->residual)) : 0;
}

int df_cache_save(const struct df_cached *c, void *out)
{
    char *to = out;
    const struct head h = {c->sum, c->filled, c->pending};
    if (!c->on)
        return 0;
    memcpy(to, &h, sizeof h);
    FV_TRY(nn_fetch(to + sizeof h, c->seen));
    return nn_fetch(to + sizeof h + nn_bytes(c->seen), c->residual);
}

int df_cache_restore(struct df_cached *c, const void *state)
{
    const char *from = state;
    struct head h;
    if (!c->on)
        return 0;
    memcpy(&h, from, sizeof h);
    c->filled = false; /* until all is there */
    FV_TRY(nn_upload(c->seen, from + sizeof h));
    FV_TRY(nn_upload(c->residual, from + sizeof h + nn_bytes(c->seen)));
    c->sum = h.sum;
    c->filled = h.filled != 0;
    c->pending = h.pending != 0;
    return 0;
}
