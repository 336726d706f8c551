/* Convolutions as products of tiles over taps and channels that read x where it lies, channels last,
 * without im2col: in registers (shaders/nn/conv_tile.comp) or shared memory (conv_shared.comp).
 * Weights are packed into panels once
 * (nn_cached). Operands of another order and channels that are no multiple of four go through
 * copies. */
#include "shaders/nn/params.h"
#include "shaders/nn/conv_params.h"
#include "vk/nn/conv.h"
#include "vk/nn/order.h"
#include "vk/nn/tune.h"

#include <stdio.h>
#include <string.h>

enum { PACK_GROUP = 64, MAX_GROUPS = 65535 };

struct tile {
    uint32_t lanes, rows; /* fours of channels of a panel, positions of a workgroup */
    uint32_t step;        /* fours of x's channels a turn */
    uint32_t parts;       /* of a subgroup, each with positions of its own: conv_tile.comp */
    bool shared;
};

static uint32_t up(uint32_t n, uint32_t to)
{
    return (n + to - 1) / to * to;
}

static uint32_t taps_of(const struct nn_conv_plan *p)
{
    return p->kernel[0] * p->kernel[1] * p->kernel[2];
}

/* Fours of x's channels, with those of zeros that fill a step. */
static uint32_t depth_of(const struct nn_conv_plan *p, struct tile tile)
{
    return up((p->x.shape[1] + 3) / 4, tile.step);
}

/* A subgroup falls into as many parts as results of so few channels leave room for. */
static struct tile tile_of(const struct nn_rec *r, enum nn_conv_kernel kernel, uint32_t outs)
{
    enum { ROWS = 16 };
    if (kernel == NN_CONV_BEST && nn_choice_for(r).kernel == NN_KERNEL_SHARED)
        kernel = NN_CONV_SHARED;
    if (kernel == NN_CONV_SHARED)
        return (struct tile){.lanes = 16, .rows = 64, .step = 4, .shared = true};
    struct tile tile = {.lanes = nn_lanes(r), .rows = ROWS, .step = 2, .parts = 1};
    for (; tile.lanes > 1 && outs <= 2 * tile.lanes; tile.lanes /= 2, tile.parts *= 2)
        tile.rows += tile.rows;
    return tile;
}

bool nn_conv_tiles(const struct nn_conv_plan *p)
{
    uint64_t turns = (p->x.shape[1] + 7) / 8 + 2;
    return p->groups == 1 && !p->transposed && taps_of(p) * turns < NN_CONV_TURNS;
}

/* ---- operands ---------------------------------------------------------------------------- */

/* A new tensor of this shape, channels last, with as many channels. */
static nn_tensor new_last(struct nn_rec *r, nn_tensor like, uint32_t channels)
{
    nn_tensor shape = like;
    shape.shape[1] = channels;
    nn_tensor t = nn_new(r, like.dtype, 5, shape.shape), order = nn_ordered(shape, true);
    memcpy(t.stride, order.stride, sizeof t.stride);
    return t;
}

static bool in_fours(nn_tensor t)
{
    bool ok = t.stride[1] == 1 && t.shape[1] % 4 == 0;
    for (uint32_t i = 0; i < 5; i++)
        ok = ok && (i == 1 || t.shape[i] == 1 || t.stride[i] % 4 == 0);
    return ok && t.offset % (4 * nn_dtype_bytes(t.dtype)) == 0;
}

/* t with channels in fours, those beyond its own zeros: itself or a copy. */
static nn_tensor fours_of(struct nn_rec *r, nn_tensor t)
{
    if (nn_is_null(t) || nn_failed(r) || in_fours(t))
        return t;
    uint32_t own = t.shape[1], all = up(own, 4);
    nn_tensor y = new_last(r, t, all);
    if (nn_failed(r))
        return y;
    if (all != own) {
        nn_zero(r, nn_slice(r, y, 1, own, all - own));
        nn_copy(r, nn_slice(r, y, 1, 0, own), t);
    } else {
        nn_copy(r, y, t);
    }
    return y;
}

/* The residual in the memory order of out, which may have more channels than it. */
static nn_tensor residual_for(struct nn_rec *r, nn_tensor t, nn_tensor out)
{
    if (nn_is_null(t) || t.shape[1] == out.shape[1])
        return nn_to_order(r, t, out);
    nn_tensor y = new_last(r, t, out.shape[1]);
    if (!nn_failed(r))
        nn_copy(r, nn_slice(r, y, 1, 0, t.shape[1]), t);
    return y;
}

static nn_tensor packed_weight(struct nn_rec *r, const struct nn_conv_plan *p, struct tile tile)
{
    bool fresh;
    uint32_t taps = taps_of(p), depth = depth_of(p, tile), outs = p->w.shape[0];
    uint32_t panels = (outs + 4 * tile.lanes - 1) / (4 * tile.lanes);
    uint32_t shape[4] = {panels, taps, 4 * depth, 4 * tile.lanes};
    nn_tensor to =
        nn_cached(r, p->w, 0x636f0000u + 16 * tile.lanes + tile.step, p->w.dtype, 4, shape, &fresh);
    if (!fresh || nn_failed(r))
        return to;
    nn_tensor w = nn_dense_any(r, p->w);
    uint64_t count = nn_count(to) / 4, size = nn_dtype_bytes(w.dtype);
    uint64_t part = nn_storage_max(r) / (4 * size) / NN_ALIGN * NN_ALIGN;
    struct nn_conv_pack_push push = {.in_channels = w.shape[1],
                                     .out_channels = outs,
                                     .taps = taps,
                                     .depth = depth,
                                     .base = nn_bind_skip(w, 0)};
    for (uint64_t at = 0; at < count; at += part) {
        uint64_t n = count - at < part ? count - at : part;
        push.first = (uint32_t)at;
        push.count = (uint32_t)n;
        nn_dispatch(r, &(struct nn_call){
                           .shader = "nn/conv_pack",
                           .spec = {PACK_GROUP, w.dtype, tile.lanes},
                           .nspec = 3,
                           .bind = {{.t = w, .how = NN_WORDS1}, {to, NN_STORAGE, 4 * at, 4 * n}},
                           .nbind = 2,
                           .push = &push,
                           .push_size = sizeof push,
                           .groups = (n + PACK_GROUP - 1) / PACK_GROUP,
                           .bytes = 2.0 * (double)size * 4 * (double)n});
    }
    nn_cached_end(r);
    return to;
}

/* ---- dispatches -------------------------------------------------------------------------- */

/* Positions [at, at + count) of one sample. */
struct part {
    uint32_t sample, at, count;
    bool before;
};

/* Frames of x that results of frames t0 .. t1 read. */
static void frames_read(const struct nn_conv_plan *p, uint32_t t0, uint32_t t1, uint32_t *first,
                        uint32_t *count)
{
    int64_t n = (int64_t)p->x.shape[2] * p->upsample[0];
    int64_t lo = (int64_t)t0 * p->stride[0] - p->pad[0];
    int64_t hi =
        (int64_t)t1 * p->stride[0] - p->pad[0] + (int64_t)(p->kernel[0] - 1) * p->dilation[0];
    if (p->mode[0] == NN_PAD_REFLECT && (lo < 0 || hi >= n)) {
        lo = 0;
        hi = n - 1;
    }
    lo = lo < 0 ? 0 : lo >= n ? n - 1 : lo;
    hi = hi < 0 ? 0 : hi >= n ? n - 1 : hi;
    *first = (uint32_t)lo / p->upsample[0];
    *count = (uint32_t)hi / p->upsample[0] - *first + 1;
}

static bool zeros_read(const struct nn_conv_plan *p)
{
    for (uint32_t i = 0; i < 3; i++) {
        int64_t reach = (int64_t)(p->out.shape[2 + i] - 1) * p->stride[i] - p->pad[i] +
                        (int64_t)(p->kernel[i] - 1) * p->dilation[i];
        if (p->mode[i] == NN_PAD_ZERO &&
            (p->pad[i] || reach >= (int64_t)p->x.shape[2 + i] * p->upsample[i]))
            return true;
    }
    return false;
}

static uint32_t pack3(const uint32_t v[3])
{
    return NN_CONV_PACK(v[0], v[1], v[2]);
}

/* Elements from t's first to its last, of one sample and some frames. */
static uint64_t reach(nn_tensor t, uint32_t frames)
{
    return (uint64_t)(frames - 1) * t.stride[2] + (uint64_t)(t.shape[3] - 1) * t.stride[3] +
           (uint64_t)(t.shape[4] - 1) * t.stride[4] + t.shape[1];
}

static void tile_part(struct nn_rec *r, const struct nn_conv_plan *p, nn_tensor w, struct tile tile,
                      const struct part *d)
{
    char variant[16];
    nn_tensor x = p->x, out = p->out, bias = p->bias;
    uint32_t frame = out.shape[3] * out.shape[4], columns = out.shape[1], first, frames;
    uint64_t positions = (uint64_t)out.shape[2] * frame;
    uint64_t at = (d->sample * positions + d->at) * columns, n = (uint64_t)d->count * columns;
    frames_read(p, d->at / frame, (d->at + d->count - 1) / frame, &first, &frames);
    uint64_t x_at = (uint64_t)d->sample * x.stride[0] + (uint64_t)first * x.stride[2];
    uint64_t before_at = (uint64_t)d->sample * p->before.stride[0];
    uint32_t fours = x.shape[1] / 4;
    uint32_t panels = (columns + 4 * tile.lanes - 1) / (4 * tile.lanes);
    bool bf16 = x.dtype == NN_BF16, wbf16 = w.dtype == NN_BF16, res = !nn_is_null(p->residual);
    bool up2 = p->upsample[0] * p->upsample[1] * p->upsample[2] > 1;
    struct nn_conv_tile_push push = {
        .kernel = pack3(p->kernel),
        .stride = pack3(p->stride),
        .dilation = pack3(p->dilation),
        .upsample = pack3(p->upsample),
        .pad = pack3(p->pad),
        .modes = p->mode[0] | p->mode[1] << 2 | p->mode[2] << 4,
        .in_fours = fours,
        .out_fours = columns / 4,
        .begin = d->at,
        .count = d->count,
        .x_base = nn_bind_skip(x, x_at) - first * x.stride[2], /* as if frame 0 were bound */
        .before_base = nn_bind_skip(p->before, before_at),
        .bias_base = nn_bind_skip(bias, 0),
        .residual_base = nn_bind_skip(p->residual, at),
        .out_base = nn_bind_skip(out, at),
        .act_a = p->act.a,
        .act_b = p->act.b,
    };
    memcpy(push.from, x.shape + 2, sizeof push.from);
    memcpy(push.to, out.shape + 2, sizeof push.to);
    memcpy(push.x_stride, x.stride + 2, sizeof push.x_stride);
    memcpy(push.before_stride, p->before.stride + 2, sizeof push.before_stride);
    struct nn_binding bx = {x, NN_READ4, x_at, reach(x, frames)}, bw = {w, NN_READ4, 0, 0};
    struct nn_binding bb = {p->before, NN_READ4, before_at, 0}, none = {.how = NN_READ4};
    struct nn_binding none_bits = {.how = NN_WORDS4};
    if (d->before)
        bb.count = reach(p->before, p->before.shape[2]);
    else
        bb = none;
    struct nn_binding bx_bits = bx, bb_bits = bb, bw_bits = bw;
    bx_bits.how = bb_bits.how = bw_bits.how = NN_WORDS4;
    if (!tile.shared)
        snprintf(variant, sizeof variant, "%ux%u", tile.lanes * tile.parts, tile.rows / tile.parts);
    nn_dispatch(r, &(struct nn_call){
                       .shader = tile.shared ? "nn/conv_shared" : "nn/conv_tile",
                       .variant = tile.shared ? NULL : variant,
                       .spec = {x.dtype, w.dtype, out.dtype, p->act.act,
                                nn_is_null(bias) ? 0 : bias.dtype, res ? p->residual.dtype : 0,
                                zeros_read(p), d->before, up2, fours % tile.step != 0, tile.parts},
                       .nspec = tile.shared ? 10 : 11,
                       .subgroup = tile.lanes * tile.parts,
                       .ssbo = nn_choice_for(r).ssbo,
                       .bind = {bf16 ? none : bx,
                                bf16 ? bx_bits : none_bits,
                                bf16 ? none : bb,
                                bf16 ? bb_bits : none_bits,
                                wbf16 ? none : bw,
                                wbf16 ? bw_bits : none_bits,
                                {bias, NN_WORDS4, 0, 0},
                                {p->residual, NN_WORDS4, res ? at : 0, res ? n : 0},
                                {out, NN_STORAGE, at, n}},
                       .nbind = 9,
                       .push = &push,
                       .push_size = sizeof push,
                       .groups = (d->count + tile.rows - 1) / tile.rows,
                       .groups_y = panels,
                       .flops = 2.0 * (double)n * taps_of(p) * p->w.shape[1],
                       .bytes = (double)reach(x, frames) * nn_dtype_bytes(x.dtype) +
                                (double)nn_bytes(w) +
                                (double)n * nn_dtype_bytes(out.dtype) * (res ? 2 : 1),
                   });
}

/* Parts whose results, and in a storage buffer x's frames, fit a binding. */
static void tile_sample(struct nn_rec *r, const struct nn_conv_plan *p, nn_tensor w,
                        struct tile tile, uint32_t sample)
{
    uint32_t frame = p->out.shape[3] * p->out.shape[4], positions = p->out.shape[2] * frame;
    uint64_t size = nn_dtype_bytes(p->out.dtype), limit = nn_storage_max(r) - NN_ALIGN;
    uint64_t most = limit / (p->out.shape[1] * size) / tile.rows * tile.rows;
    most = most < (uint64_t)MAX_GROUPS * tile.rows ? most : (uint64_t)MAX_GROUPS * tile.rows;
    /* results of these frames read frames before x */
    uint32_t early = nn_is_null(p->before) ? 0 : (p->pad[0] + p->stride[0] - 1) / p->stride[0];
    early = early < p->out.shape[2] ? early * frame : positions;
    uint32_t one, frames;
    frames_read(p, 0, p->out.shape[2] - 1, &one, &frames);
    bool by_frame = reach(p->x, frames) * nn_dtype_bytes(p->x.dtype) > limit;
    struct part d = {.sample = sample};
    for (; d.at < positions; d.at += d.count) {
        d.before = d.at < early;
        uint32_t end = d.before ? early : positions;
        if (by_frame)
            end = (d.at / frame + 1) * frame < end ? (d.at / frame + 1) * frame : end;
        d.count = end - d.at < most ? end - d.at : (uint32_t)most;
        tile_part(r, p, w, tile, &d);
    }
}

void nn_conv_tiled(struct nn_rec *r, const struct nn_conv_plan *plan, enum nn_conv_kernel kernel)
{
    struct nn_conv_plan p = *plan;
    struct tile tile = tile_of(r, kernel, p.out.shape[1]);
    nn_tensor out = p.out;
    bool direct = in_fours(out) && p.last;
    p.x = fours_of(r, p.x);
    p.before = fours_of(r, p.before);
    if (!direct)
        p.out = new_last(r, out, up(out.shape[1], 4));
    p.residual = residual_for(r, p.residual, p.out);
    if (!nn_is_null(p.bias) && out.shape[1] % 4)
        p.bias = nn_pad(r, nn_as(p.bias, 1, &out.shape[1]), &(uint32_t){0},
                        &(uint32_t){4 - out.shape[1] % 4}, NN_PAD_ZERO, 0);
    nn_tensor w = packed_weight(r, &p, tile);
    for (uint32_t n = 0; n < p.x.shape[0] && !nn_failed(r); n++)
        tile_sample(r, &p, w, tile, n);
    if (!direct && !nn_failed(r))
        nn_copy(r, out, nn_slice(r, p.out, 1, 0, out.shape[1]));
}
