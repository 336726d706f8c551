/* The blocks all the autoencoders are made of: convolutions that remember the frames before,
 * normalisation with gathered statistics, residual blocks, attention, resampling. */
#include "vae/private.h"

#include <stdio.h>

static const struct nn_activation identity = {.act = NN_IDENTITY};

void vae_trace(struct vae_ctx *c, const char *fmt, uint32_t a, uint32_t b, nn_tensor t)
{
    char name[128];
    if (!c->named || !fmt)
        return;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(name, sizeof name, fmt, a, b); /* formats are vae_names' own */
#pragma GCC diagnostic pop
    nn_trace(c->r, name, t);
}

static nn_tensor last_frames(struct vae_ctx *c, nn_tensor x, uint32_t n)
{
    return nn_slice(c->r, x, 2, x.shape[2] - n, n);
}

/* Stores the last n frames of what was seen so far: x after `before` (null in a first piece). */
static void remember(struct vae_ctx *c, nn_tensor past, nn_tensor before, nn_tensor x, uint32_t n)
{
    if (c->last)
        return;
    if (x.shape[2] >= n) {
        nn_copy(c->r, past, last_frames(c, x, n));
        return;
    }
    /* Fewer new frames than are kept: the rest are earlier ones, or the first one repeated. */
    nn_tensor missing = nn_is_null(before) ? nn_slice(c->r, x, 2, 0, 1) : before;
    if (nn_is_null(before))
        missing = nn_repeat(c->r, missing, 2, n);
    nn_tensor all = nn_concat(c->r, 2, (nn_tensor[]){missing, x}, 2);
    nn_copy(c->r, past, last_frames(c, all, n));
}

/* The n frames before x, kept from piece to piece; null in a first piece. */
static nn_tensor frames_before(struct vae_ctx *c, nn_tensor x, uint32_t n, nn_tensor *past)
{
    uint32_t shape[5] = {x.shape[0], x.shape[1], n, x.shape[3], x.shape[4]};
    *past = vae_keep(c, c->past, c->past_at++, x.dtype, 5, shape);
    return c->first ? (nn_tensor){0} : *past;
}

static void pad_space(struct nn_conv *o, const struct vae_conv *w)
{
    uint32_t rank = w->weight.rank;
    for (uint32_t axis = 1; axis <= 2; axis++) {
        uint32_t k = w->weight.shape[rank - 3 + axis];
        o->pad[axis][0] = w->pad_end ? 0 : (k - 1) / 2;
        o->pad[axis][1] = (k - 1) / 2;
        o->mode[axis] = w->space;
        o->stride[axis] = w->space_stride;
        o->upsample[axis] = w->upsample;
    }
}

nn_tensor vae_convolve(struct vae_ctx *c, const struct vae_conv *w, nn_tensor x, nn_tensor residual,
                       struct nn_activation act)
{
    uint32_t kt = w->weight.rank == 5 ? w->weight.shape[2] : 1;
    uint32_t stride = w->time_stride ? w->time_stride : 1;
    struct nn_conv o = {
        .stride[0] = stride, .bias = w->bias, .residual = residual, .act = act, .mode[0] = w->time};
    pad_space(&o, w);
    if (kt == 1 || nn_failed(c->r))
        return nn_conv(c->r, x, w->weight, &o);
    if (!w->causal) {
        o.pad[0][0] = o.pad[0][1] = (kt - 1) / 2;
        return nn_conv(c->r, x, w->weight, &o);
    }
    o.pad[0][0] = kt - (w->pad_less ? stride : 1);
    if (!c->past)
        return nn_conv(c->r, x, w->weight, &o);
    /* A strided window of a later piece begins kt - stride frames before it. */
    nn_tensor past;
    o.before = frames_before(c, x, kt - stride, &past);
    if (!nn_is_null(o.before))
        o.pad[0][0] = kt - stride;
    nn_tensor y = nn_conv(c->r, x, w->weight, &o);
    remember(c, past, o.before, x, kt - stride);
    return y;
}

/* Adds x to the statistics of the clip under a number. */
static void gather(struct vae_ctx *c, nn_tensor x, uint32_t number)
{
    nn_tensor s = nn_group_stats(c->r, x, c->groups, x.shape[2]);
    nn_tensor sum = vae_keep(c, c->statistics, number, NN_F32, s.rank, s.shape);
    nn_copy(c->r, sum, nn_group_stats_merge(c->r, sum, s));
}

nn_tensor vae_normalise(struct vae_ctx *c, const struct vae_norm *w, nn_tensor x, enum nn_act act,
                        const char *name)
{
    struct nn_group_norm_opts o = {.groups = c->groups,
                                   .eps = c->eps,
                                   .weight = w->weight,
                                   .bias = w->bias,
                                   .span = w->flat ? 1 : 0,
                                   .act.act = act};
    if (!w->flat && !nn_failed(c->r)) {
        uint32_t number = c->norm_at++;
        if (c->statistics)
            gather(c, x, number);
        if (c->fixed)
            o.stats = vae_keep(c, c->fixed, number, NN_F32, NN_SHAPE(1, 1, c->groups, 3));
    }
    if (!c->unfused || !name || act == NN_IDENTITY) {
        nn_tensor fused = nn_group_norm(c->r, x, &o);
        vae_trace(c, name, 0, 0, fused);
        return fused;
    }
    /* Traced between the normalisation and the activation. */
    o.act = identity;
    nn_tensor y = nn_group_norm(c->r, x, &o);
    vae_trace(c, name, 0, 0, y);
    return nn_activate(c->r, y, (struct nn_activation){act, 0, 0});
}

/* x + conv2(silu(norm2(conv1(silu(norm1(x)))))), x through a 1x1 convolution when the width
 * changes. */
nn_tensor vae_resnet_block(struct vae_ctx *c, const struct vae_resnet *w, nn_tensor x)
{
    nn_scope s = nn_push(c->r);
    nn_tensor none = {0};
    nn_tensor h = vae_normalise(c, &w->norm1, x, NN_SILU, NULL);
    h = vae_then(c, h, vae_convolve(c, &w->conv1, h, none, identity));
    h = vae_then(c, h, vae_normalise(c, &w->norm2, h, NN_SILU, NULL));
    nn_tensor skip = x;
    if (!nn_is_null(w->shortcut.weight))
        skip = vae_convolve(c, &w->shortcut, x, none, identity);
    h = vae_convolve(c, &w->conv2, h, skip, identity);
    return nn_pop_keep(c->r, s, h);
}

/* [1, C, T, H, W] -> [T, H W, C]: a view when channels run fastest. */
static nn_tensor tokens_of_frames(struct vae_ctx *c, nn_tensor x)
{
    nn_tensor t = nn_permute(c->r, x, NN_ORDER(0, 2, 3, 4, 1));
    return nn_reshape(c->r, t, NN_SHAPE(x.shape[2], x.shape[3] * x.shape[4], x.shape[1]));
}

static nn_tensor frames_of_tokens(struct vae_ctx *c, nn_tensor t, nn_tensor like)
{
    const uint32_t *n = like.shape;
    t = nn_reshape(c->r, t, NN_SHAPE(1, n[2], n[3], n[4], n[1]));
    return nn_permute(c->r, t, NN_ORDER(0, 4, 1, 2, 3));
}

/* h [B, N, C] -> attention of one head [B, N, C]. */
static nn_tensor one_head(struct vae_ctx *c, nn_tensor h, nn_tensor wq, nn_tensor bq, nn_tensor wk,
                          nn_tensor bk, nn_tensor wv, nn_tensor bv)
{
    nn_tensor q = nn_linear(c->r, h, wq, &(struct nn_linear_opts){.bias = bq});
    nn_tensor k = nn_linear(c->r, h, wk, &(struct nn_linear_opts){.bias = bk});
    nn_tensor v = nn_linear(c->r, h, wv, &(struct nn_linear_opts){.bias = bv});
    q = nn_unsqueeze(c->r, q, 1); /* [B, 1, N, C] */
    k = nn_unsqueeze(c->r, k, 1);
    v = nn_unsqueeze(c->r, v, 1);
    return nn_attention(c->r, q, k, v, NULL);
}

/* o [T, N, C]: every position attends over the frames, after a layer norm. */
static nn_tensor attend_over_time(struct vae_ctx *c, const struct vae_attention *w, nn_tensor o)
{
    nn_tensor h = nn_pack(c->r, nn_transpose(c->r, o, 0, 1)); /* [N, T, C] */
    h = nn_layer_norm(
        c->r, h, &(struct nn_norm_opts){.eps = 1e-5f, .weight = w->norm_t, .bias = w->norm_t_bias});
    h = one_head(c, h, w->q_t, w->q_t_bias, w->k_t, w->k_t_bias, w->v_t, w->v_t_bias);
    h = nn_linear(c->r, h, w->out_t, &(struct nn_linear_opts){.bias = w->out_t_bias});
    return nn_transpose(c->r, h, 0, 1);
}

nn_tensor vae_attend(struct vae_ctx *c, const struct vae_attention *w, nn_tensor x)
{
    nn_scope s = nn_push(c->r);
    nn_tensor h = vae_normalise(c, &w->norm, x, NN_IDENTITY, NULL), o;
    if (nn_failed(c->r))
        return nn_pop_keep(c->r, s, h);
    h = tokens_of_frames(c, h);
    h = one_head(c, h, w->q, w->q_bias, w->k, w->k_bias, w->v, w->v_bias);
    if (nn_is_null(w->q_t)) {
        o = nn_linear(
            c->r, h, w->out,
            &(struct nn_linear_opts){.bias = w->out_bias, .residual = tokens_of_frames(c, x)});
    } else {
        h = nn_linear(c->r, h, w->out, &(struct nn_linear_opts){.bias = w->out_bias});
        o = nn_add(c->r, tokens_of_frames(c, x), attend_over_time(c, w, h));
    }
    o = nn_failed(c->r) ? o : frames_of_tokens(c, o, x);
    return nn_pop_keep(c->r, s, o);
}

/* alpha a + (1 - alpha) b with alpha = sigmoid(mix). */
static nn_tensor mixed(struct vae_ctx *c, nn_tensor mix, nn_tensor a, nn_tensor b)
{
    nn_tensor alpha = nn_activate(c->r, mix, (struct nn_activation){NN_SIGMOID, 0, 0});
    return nn_lerp(c->r, b, a, alpha);
}

/* Mean of three frames and a convolution, every second frame, mixed. The first frame stands twice
 * more in front. */
static nn_tensor time_downsample(struct vae_ctx *c, const struct vae_level *w, nn_tensor x)
{
    nn_scope s = nn_push(c->r);
    nn_tensor before = {0}, past;
    if (nn_failed(c->r))
        return nn_pop_keep(c->r, s, x);
    if (c->past)
        before = frames_before(c, x, 1, &past);
    nn_tensor front =
        nn_is_null(before) ? nn_repeat(c->r, nn_slice(c->r, x, 2, 0, 1), 2, 2) : before;
    nn_tensor all = nn_channels_last(c->r, nn_concat(c->r, 2, (nn_tensor[]){front, x}, 2));
    struct nn_conv o = {.stride[0] = 2, .bias = w->time_conv.bias};
    pad_space(&o, &w->time_conv);
    nn_tensor pooled =
        nn_avg_pool(c->r, all, &(struct nn_pool){.kernel = {3, 1, 1}, .stride = {2, 1, 1}});
    nn_tensor y = mixed(c, w->mix, pooled, nn_conv(c->r, all, w->time_conv.weight, &o));
    if (c->past)
        remember(c, past, before, x, 1);
    return nn_pop_keep(c->r, s, y);
}

/* Frames after the first of the clip doubled in time, all of them `space` times as large; linear,
 * source positions (i + 0.5) / 2 - 0.5. The last result of a piece needs the first frame of the
 * next, so a piece that is not the last gives one frame less, and the next begins with it. */
static nn_tensor interpolate(struct vae_ctx *c, nn_tensor x, uint32_t space)
{
    nn_scope s = nn_push(c->r);
    uint32_t frames = x.shape[2];
    nn_tensor before = {0}, past;
    if (nn_failed(c->r))
        return nn_pop_keep(c->r, s, x);
    if (c->past)
        before = frames_before(c, x, 1, &past);
    nn_tensor part[2] = {{0}, {0}};
    uint32_t first = 0;
    if (nn_is_null(before)) {
        nn_tensor alone = nn_slice(c->r, x, 2, 0, 1);
        part[first++] = nn_upsample(c->r, alone, NN_LINEAR, (uint32_t[]){1, space, space});
    }
    if (frames > first) {
        nn_tensor rest = first ? nn_slice(c->r, x, 2, 1, frames - 1)
                               : nn_concat(c->r, 2, (nn_tensor[]){before, x}, 2);
        rest = nn_upsample(c->r, rest, NN_LINEAR, (uint32_t[]){2, space, space});
        uint32_t skip = !first, cut = c->past && !c->last;
        if (!nn_failed(c->r))
            rest = nn_slice(c->r, rest, 2, skip, rest.shape[2] - skip - cut);
        part[first++] = rest;
    }
    nn_tensor y = first == 2 ? nn_concat(c->r, 2, part, 2) : part[0];
    if (c->past)
        remember(c, past, before, x, 1);
    return nn_pop_keep(c->r, s, nn_channels_last(c->r, y));
}

nn_tensor vae_downsample(struct vae_ctx *c, const struct vae_level *w, nn_tensor x,
                         const struct vae_names *names, uint32_t level)
{
    if (w->sample != VAE_SAMPLE_NONE) {
        x = vae_then(c, x, vae_convolve(c, &w->conv, x, (nn_tensor){0}, identity));
        vae_trace(c, names->sample, level, 0, x);
    }
    if (!nn_is_null(w->mix)) {
        x = vae_then(c, x, time_downsample(c, w, x));
        vae_trace(c, names->time, level, 0, x);
    }
    return x;
}

nn_tensor vae_time_shuffle(struct vae_ctx *c, nn_tensor x, uint32_t n, bool n_outer)
{
    uint32_t width = x.shape[1] / n, frames = x.shape[2], h = x.shape[3], w = x.shape[4];
    nn_tensor y = nn_permute(c->r, x, NN_ORDER(0, 2, 3, 4, 1)); /* [1, T, H, W, n C] */
    y = nn_reshape(c->r, y, NN_SHAPE(frames, h * w, n_outer ? n : width, n_outer ? width : n));
    y = nn_permute(c->r, y, n_outer ? NN_ORDER(0, 2, 1, 3) : NN_ORDER(0, 3, 1, 2));
    y = nn_reshape(c->r, y, NN_SHAPE(1, frames * n, h, w, width));
    return nn_permute(c->r, y, NN_ORDER(0, 4, 1, 2, 3));
}

nn_tensor vae_upsample(struct vae_ctx *c, const struct vae_level *w, nn_tensor x,
                       const struct vae_names *names, uint32_t level)
{
    nn_scope s = nn_push(c->r);
    nn_tensor none = {0};
    if (w->sample == VAE_SAMPLE_LINEAR)
        x = vae_then(c, x, interpolate(c, x, 2));
    if (w->sample != VAE_SAMPLE_NONE)
        x = vae_then(c, x, vae_convolve(c, &w->conv, x, none, identity));
    if (w->sample == VAE_SAMPLE_SHUFFLE && !nn_failed(c->r) && x.shape[1] == 2 * w->width) {
        x = vae_time_shuffle(c, x, 2, true);
        x = nn_slice(c->r, x, 2, 1, x.shape[2] - 1);
    }
    if (w->sample != VAE_SAMPLE_NONE)
        vae_trace(c, names->sample, level, 0, x);
    if (!nn_is_null(w->mix)) {
        x = vae_then(c, x, interpolate(c, x, 1));
        x = mixed(c, w->mix, x, vae_convolve(c, &w->time_conv, x, none, identity));
        vae_trace(c, names->time, level, 0, x);
    }
    return nn_pop_keep(c->r, s, x);
}
