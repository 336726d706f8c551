/* Attention (nn.h): shaders/nn/attention.comp for heads of up to 128 features, read in place
 * through strides, by subgroup shuffles or, on GPUs and without subgroups of 4, 8 or 16, through
 * shared memory (nn_choice_for); wider heads (a VAE's one head over all channels) as products over
 * a few queries at a time with shaders/nn/attention_softmax.comp between them. */
#include "shaders/nn/params.h"
#include "shaders/nn/matmul_params.h"
#include "vk/nn/op.h"
#include "vk/nn/tune.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    WIDEST = 128, /* features of a head that are read in one pass */
    GROUP = 64,
    MAX_WIDE_KEYS = 130000,
    ROWS = 2,                 /* queries a lane; through shared memory 1 */
    SHARED_LANES = 64,
    MAX_KEYS = 65000 * 4,     /* trips of a loop that drivers make, times keys a trip */
    SCORES = 8 * 1024 * 1024, /* of a wide head at a time */
};

struct attention {
    nn_tensor q, k, v, mask, out; /* [B, H, T or S, features]; out so too */
    uint32_t batch, heads, queries, keys;
    struct nn_attention_opts o;
    float scale;
};

static uint32_t up4(uint32_t n)
{
    return (n + 3) / 4 * 4;
}

/* ---- operands ---------------------------------------------------------------------------- */

static bool shapes(struct nn_rec *r, nn_tensor q, nn_tensor k, nn_tensor v)
{
    char a[NN_TEXT], b[NN_TEXT], c[NN_TEXT];
    bool ok = q.rank == 4 && k.rank == 4 && v.rank == 4;
    ok = ok && q.shape[0] == k.shape[0] && q.shape[0] == v.shape[0];
    ok = ok && q.shape[1] % k.shape[1] == 0 && q.shape[1] % v.shape[1] == 0;
    ok = ok && q.shape[3] == k.shape[3] && k.shape[2] == v.shape[2];
    ok = ok && q.dtype != NN_I32 && k.dtype != NN_I32 && v.dtype != NN_I32;
    if (!ok) {
        nn_fail(r, FV_EINVALID,
                "q is %s, k %s, v %s; expected [B, H, T, D], [B, H', S, D], "
                "[B, H', S, E]",
                nn_text(a, q), nn_text(b, k), nn_text(c, v));
        return false;
    }
    if (k.shape[2] > MAX_KEYS) {
        nn_fail(r, FV_EUNSUPPORTED, "%u keys are more than %d", k.shape[2], MAX_KEYS);
        return false;
    }
    return true;
}

/* Features in fours, one after the other, other strides whole fours: t itself or a copy. */
static nn_tensor readable(struct nn_rec *r, nn_tensor t)
{
    uint32_t none[NN_MAX_RANK] = {0}, after[NN_MAX_RANK] = {0}, last = t.rank - 1;
    if (nn_failed(r))
        return t;
    bool ok = t.shape[last] % 4 == 0 && t.stride[last] == 1 && nn_bind_skip(t, 0) % 4 == 0;
    for (uint32_t i = 0; i < last; i++)
        ok = ok && (t.shape[i] == 1 || t.stride[i] % 4 == 0);
    if (ok)
        return t;
    after[last] = up4(t.shape[last]) - t.shape[last];
    return after[last] ? nn_pad(r, t, none, after, NN_PAD_ZERO, 0) : nn_dense_any(r, t);
}

/* The same of f32 or f16. */
static nn_tensor readable_floats(struct nn_rec *r, nn_tensor t)
{
    return nn_failed(r) ? t : readable(r, t.dtype == NN_BF16 ? nn_dense(r, t) : t);
}

/* mask broadcast to [B, H, T, S], its rows whole, other axes as they are. */
static nn_tensor whole_rows(struct nn_rec *r, nn_tensor mask, const uint32_t full[4])
{
    uint32_t shape[NN_MAX_RANK];
    if (nn_is_null(mask) || nn_failed(r))
        return (nn_tensor){0};
    nn_expand(r, mask, 4, full); /* refuses what does not broadcast */
    if (nn_failed(r))
        return mask;
    memcpy(shape, mask.shape, sizeof shape);
    shape[mask.rank - 1] = full[3];
    mask = readable(r, nn_expand(r, mask, mask.rank, shape));
    return nn_failed(r) ? mask : nn_lead(mask, 0, 4);
}

static void strides_in_fours(uint32_t out[3], nn_tensor t)
{
    for (uint32_t i = 0; i < 3; i++)
        out[i] = t.shape[i] == 1 ? 0 : t.stride[i] / 4;
}

/* ---- one pass over the keys -------------------------------------------------------------- */

static struct nn_attention_push pushed(const struct attention *a)
{
    struct nn_attention_push p = {
        .queries = a->queries,
        .keys = a->keys,
        .k_group = a->heads / a->k.shape[1],
        .v_group = a->heads / a->v.shape[1],
        .block = a->o.block ? a->o.block : 1,
        .window = a->o.window && a->o.window < INT32_MAX ? (int)a->o.window : -1,
        .shift = (int)a->keys - (int)a->queries,
        .scale = a->scale * 1.44269504f,
        .q_base = nn_bind_skip(a->q, 0) / 4,
        .k_base = nn_bind_skip(a->k, 0) / 4,
        .v_base = nn_bind_skip(a->v, 0) / 4,
    };
    strides_in_fours(p.q, a->q);
    strides_in_fours(p.k, a->k);
    strides_in_fours(p.v, a->v);
    if (!nn_is_null(a->mask)) {
        strides_in_fours(p.mask, a->mask);
        p.mask_base = nn_bind_skip(a->mask, 0) / 4;
    }
    return p;
}

/* Binds out from `first` on. */
static void dispatch(struct nn_rec *r, const struct attention *a, struct nn_attention_push *p,
                     uint64_t first, uint64_t count, uint32_t heads, uint32_t batches)
{
    char variant[16];
    bool shared = nn_choice_for(r).kernel == NN_KERNEL_SHARED;
    uint32_t lanes = nn_lanes(r), tile = shared ? SHARED_LANES : ROWS * lanes;
    double pairs = (double)batches * heads * (a->queries - p->query) * a->keys;
    p->out_base = nn_bind_skip(a->out, first) / 4;
    if (shared)
        snprintf(variant, sizeof variant, "shared");
    else
        snprintf(variant, sizeof variant, "%u", lanes);
    nn_dispatch(r, &(struct nn_call){
                       .shader = "nn/attention",
                       .variant = variant,
                       .spec = {a->q.shape[3] / 4, a->v.shape[3] / 4, a->q.dtype, a->k.dtype,
                                a->v.dtype, a->mask.dtype, a->out.dtype, a->o.causal},
                       .nspec = 8,
                       .subgroup = shared ? 0 : lanes,
                       .bind = {{.t = a->q, .how = NN_READ4},
                                {.t = a->k, .how = NN_READ4},
                                {.t = a->v, .how = NN_READ4},
                                {.t = a->mask, .how = NN_WORDS4},
                                {a->out, NN_STORAGE, first, count}},
                       .nbind = 5,
                       .push = p,
                       .push_size = sizeof *p,
                       .groups = (a->queries + tile - 1) / tile,
                       .groups_y = heads,
                       .groups_z = batches,
                       .flops = 2 * pairs * (a->q.shape[3] + a->v.shape[3]),
                   });
}

/* All at once, or a batch at a time where the result is larger than a binding. */
static void one_pass(struct nn_rec *r, const struct attention *a)
{
    struct nn_attention_push p = pushed(a);
    uint64_t most = nn_storage_max(r) - NN_ALIGN, size = nn_dtype_bytes(a->out.dtype);
    uint64_t per_batch = (uint64_t)a->heads * a->queries * a->out.shape[3];
    uint64_t step = most / (per_batch * size);
    strides_in_fours(p.to, a->out);
    if (!step) {
        nn_fail(r, FV_EUNSUPPORTED, "a result of %llu elements is too large for this device",
                (unsigned long long)per_batch);
        return;
    }
    for (uint32_t b = 0; b < a->batch; b += (uint32_t)step) {
        uint32_t n = a->batch - b < step ? a->batch - b : (uint32_t)step;
        p.batch = b;
        dispatch(r, a, &p, 0, 0, a->heads, n);
    }
}

/* ---- wide heads -------------------------------------------------------------------------- */

static void softmax(struct nn_rec *r, nn_tensor scores, const struct nn_attention_push *p,
                    uint32_t query, uint32_t causal)
{
    uint32_t rows = scores.shape[0];
    struct nn_attention_softmax_push push = {.rows = rows,
                                             .row_fours = scores.shape[1] / 4,
                                             .base = nn_bind_skip(scores, 0) / 4,
                                             .query = query,
                                             .keys = p->keys,
                                             .block = p->block,
                                             .window = p->window,
                                             .shift = p->shift};
    nn_dispatch(r, &(struct nn_call){
                       .shader = "nn/attention_softmax",
                       .spec = {GROUP, causal},
                       .nspec = 2,
                       .bind = {{.t = scores, .how = NN_READ4}, {.t = scores, .how = NN_STORAGE}},
                       .nbind = 2,
                       .push = &push,
                       .push_size = sizeof push,
                       .groups = (rows + GROUP - 1) / GROUP,
                       .bytes = 3.0 * (double)nn_bytes(scores)});
}

/* One of several along an axis, which goes away; the only one of an axis that repeats. */
static nn_tensor pick(struct nn_rec *r, nn_tensor t, uint32_t i)
{
    t = nn_slice(r, t, 0, nn_failed(r) || t.shape[0] == 1 ? 0 : i, 1);
    return nn_squeeze(r, t, 0);
}

static nn_tensor head_of(struct nn_rec *r, nn_tensor t, uint32_t b, uint32_t h)
{
    return pick(r, pick(r, t, b), h);
}

/* Queries of one head, so many at a time that their scores stay small. */
static void wide_head(struct nn_rec *r, const struct attention *a,
                      const struct nn_attention_push *p, uint32_t b, uint32_t h)
{
    nn_tensor q = head_of(r, a->q, b, h), k = head_of(r, a->k, b, h / p->k_group);
    nn_tensor v = head_of(r, a->v, b, h / p->v_group), out = head_of(r, a->out, b, h);
    nn_tensor mask = nn_is_null(a->mask) ? a->mask : head_of(r, a->mask, b, h);
    uint32_t keys = up4(a->keys), step = SCORES / keys / GROUP * GROUP;
    step = step < GROUP ? GROUP : step;
    for (uint32_t t = 0; t < a->queries && !nn_failed(r); t += step) {
        nn_scope s = nn_push(r);
        uint32_t n = a->queries - t < step ? a->queries - t : step;
        struct nn_matmul_opts o = {.trans_b = true, .scale = a->scale, .dtype = NN_F32};
        if (!nn_is_null(mask))
            o.add = mask.shape[0] == 1 ? mask : nn_slice(r, mask, 0, t, n);
        nn_tensor scores = nn_matmul(r, nn_slice(r, q, 0, t, n), k, &o);
        if (!nn_failed(r))
            softmax(r, scores, p, t, a->o.causal);
        nn_tensor y = nn_matmul(r, scores, v, &(struct nn_matmul_opts){.dtype = out.dtype});
        nn_copy(r, nn_slice(r, out, 0, t, n), y);
        nn_pop(r, s);
    }
}

/* keys: their axis; rows of zeros after the last, or a mask that is never seen. */
static nn_tensor pad_keys(struct nn_rec *r, nn_tensor t, uint32_t axis)
{
    uint32_t none[NN_MAX_RANK] = {0}, after[NN_MAX_RANK] = {0};
    if (nn_failed(r) || nn_is_null(t) || t.shape[axis] % 4 == 0)
        return t;
    after[axis] = 4 - t.shape[axis] % 4;
    return nn_pad(r, t, none, after, NN_PAD_ZERO, 0);
}

static void wide_heads(struct nn_rec *r, struct attention *a)
{
    if (a->keys > MAX_WIDE_KEYS) {
        nn_fail(r, FV_EUNSUPPORTED, "%u keys of heads wider than %d are more than %d", a->keys,
                WIDEST, MAX_WIDE_KEYS);
        return;
    }
    struct nn_attention_push p = pushed(a);
    a->k = pad_keys(r, a->k, 2);
    a->v = pad_keys(r, a->v, 2);
    a->mask = pad_keys(r, a->mask, 3);
    for (uint32_t b = 0; b < a->batch; b++)
        for (uint32_t h = 0; h < a->heads; h++)
            wide_head(r, a, &p, b, h);
}

/* ---- the op ------------------------------------------------------------------------------ */

/* What is to be written, seen as [B, H, T, E] with E rounded up to fours: y itself or a copy. */
static nn_tensor target_for(struct nn_rec *r, nn_tensor y, const struct attention *a, uint32_t e)
{
    uint32_t e4 = up4(e), b = a->batch, h = a->heads, t = a->queries;
    if (nn_failed(r))
        return y;
    if (a->o.heads_apart)
        return e4 == e ? y : nn_new(r, y.dtype, 4, (uint32_t[]){b, h, t, e4});
    if (e4 == e)
        y = nn_as(y, 4, (uint32_t[]){b, t, h, e});
    else
        y = nn_new(r, y.dtype, 4, (uint32_t[]){b, t, h, e4});
    return nn_failed(r) ? y : nn_permute(r, y, NN_ORDER(0, 2, 1, 3));
}

static void finish(struct nn_rec *r, nn_tensor y, nn_tensor target, const struct attention *a,
                   uint32_t e)
{
    if (nn_failed(r) || e % 4 == 0)
        return;
    if (!a->o.heads_apart)
        y = nn_permute(r, nn_as(y, 4, (uint32_t[]){a->batch, a->queries, a->heads, e}),
                       NN_ORDER(0, 2, 1, 3));
    nn_copy(r, y, nn_slice(r, target, -1, 0, e));
}

nn_tensor nn_attention(struct nn_rec *r, nn_tensor q, nn_tensor k, nn_tensor v,
                       const struct nn_attention_opts *opts)
{
    if (!nn_op(r, "nn_attention", 3, (nn_tensor[]){q, k, v}))
        return (nn_tensor){0};
    if (!shapes(r, q, k, v))
        return nn_op_end(r, (nn_tensor){0});
    struct attention a = {.batch = q.shape[0],
                          .heads = q.shape[1],
                          .queries = q.shape[2],
                          .keys = k.shape[2],
                          .o = opts ? *opts : (struct nn_attention_opts){0}};
    uint32_t d = q.shape[3], e = v.shape[3], full[] = {a.batch, a.heads, a.queries, a.keys};
    a.scale = a.o.scale == 0 ? 1 / sqrtf((float)d) : a.o.scale;
    nn_tensor y = a.o.heads_apart
                      ? nn_out(r, q.dtype, 4, (uint32_t[]){a.batch, a.heads, a.queries, e})
                      : nn_out(r, q.dtype, 3, (uint32_t[]){a.batch, a.queries, a.heads * e});
    a.q = readable_floats(r, q);
    a.k = readable_floats(r, k);
    a.v = readable_floats(r, v);
    a.mask = whole_rows(r, a.o.mask, full);
    a.out = target_for(r, y, &a, e);
    if (!nn_failed(r)) {
        if (d > WIDEST || e > WIDEST)
            wide_heads(r, &a);
        else
            one_pass(r, &a);
    }
    finish(r, y, a.out, &a, e);
    return nn_op_end(r, y);
}

/* p: batches, heads, queries, keys, features. */
static void bench_attention(struct nn_rec *r, const struct nn_bench_row *row)
{
    const uint32_t *p = row->p;
    nn_tensor q = nn_bench_input(r, row->dtype, NN_SHAPE(p[0], p[2], p[1], p[4]));
    nn_tensor k = nn_bench_input(r, row->dtype, NN_SHAPE(p[0], p[3], p[1], p[4]));
    nn_tensor v = nn_bench_input(r, row->dtype, NN_SHAPE(p[0], p[3], p[1], p[4]));
    nn_attention(r, nn_transpose(r, q, 1, 2), nn_transpose(r, k, 1, 2), nn_transpose(r, v, 1, 2),
                 NULL);
}

const struct nn_bench_row nn_bench_attention[] = {
    {"attention", "2x1024x1024x72 f32", bench_attention, {1, 2, 1024, 1024, 72}, NN_F32, 0},
    {"attention", "1x4096x4096x72 f32", bench_attention, {1, 1, 4096, 4096, 72}, NN_F32, 0},
    {"attention", "2x1024x1024x72 f16", bench_attention, {1, 2, 1024, 1024, 72}, NN_F16, 0},
    {"attention", "2x1024x300x72 f32", bench_attention, {1, 2, 1024, 300, 72}, NN_F32, 0},
    {"attention", "2x1024x1024x64 f32", bench_attention, {1, 2, 1024, 1024, 64}, NN_F32, 0},
    {"attention", "2x1024x1024x128 f32", bench_attention, {1, 2, 1024, 1024, 128}, NN_F32, 0},
    {"attention", "1x1024x1024x512 f32", bench_attention, {1, 1, 1024, 1024, 512}, NN_F32, 0},
    {0}};
