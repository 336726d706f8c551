/* Convolutions (nn.h): checks, layouts, and the kernel that does any of them
 * (shaders/nn/conv_direct.comp). */
#include "vk/nn/conv.h"
#include "shaders/nn/params.h"
#include "shaders/nn/conv_params.h"
#include "vk/nn/order.h"

#include <string.h>

enum { GROUP = 64 };

static const char *const axis_names[3] = {"T", "H", "W"};

/* ---- shapes ------------------------------------------------------------------------------ */

/* [N, C, ...] or [O, C, ...] as rank 5; what is missing is put before the axes there are. */
static nn_tensor as_rank_5(nn_tensor t)
{
    return nn_lead(t, 2, 5);
}

static nn_tensor drop_axes(nn_tensor t, uint32_t rank)
{
    nn_tensor v = t;
    v.rank = rank;
    for (uint32_t i = 0; i < NN_MAX_RANK; i++) {
        bool there = i < rank;
        uint32_t from = i < 2 ? i : i + 5 - rank;
        v.shape[i] = there ? t.shape[from] : 0;
        v.stride[i] = there ? t.stride[from] : 0;
    }
    return v;
}

/* ---- the kernel for everything ----------------------------------------------------------- */

static uint32_t pack3(const uint32_t v[3])
{
    return NN_CONV_PACK(v[0], v[1], v[2]);
}

/* The frames before x and x itself as one; they take the place of the padding in front. */
static void join_before(struct nn_rec *r, struct nn_conv_plan *p)
{
    nn_tensor both = p->x;
    uint32_t frames = p->before.shape[2];
    both.shape[2] += frames;
    nn_tensor like = nn_ordered(both, nn_is_channels_last(p->x));
    nn_tensor y = nn_new(r, both.dtype, 5, both.shape);
    if (nn_is_null(y))
        return;
    memcpy(y.stride, like.stride, sizeof y.stride);
    nn_copy(r, nn_slice(r, y, 2, 0, frames), p->before);
    nn_copy(r, nn_slice(r, y, 2, frames, p->x.shape[2]), p->x);
    p->x = y;
    p->pad[0] = 0;
}

static void direct(struct nn_rec *r, struct nn_conv_plan *p)
{
    nn_tensor w = nn_dense_any(r, p->w), out = p->out;
    p->residual = nn_to_order(r, p->residual, out);
    if (!nn_is_null(p->before))
        join_before(r, p);
    if (nn_failed(r))
        return;
    uint64_t count = nn_count(out), part = nn_storage_max(r) / nn_dtype_bytes(out.dtype);
    part = part / 1024 * 1024;
    uint32_t taps = p->kernel[0] * p->kernel[1] * p->kernel[2];
    uint32_t channels = p->x.shape[1] / p->groups;
    struct nn_conv_direct_push push = {
        .kernel = pack3(p->kernel),
        .stride = pack3(p->stride),
        .dilation = pack3(p->dilation),
        .upsample = pack3(p->upsample),
        .pad = pack3(p->pad),
        .in_channels = channels,
        .out_channels = out.shape[1] / p->groups,
        .groups = p->groups,
        .base = {nn_bind_skip(p->x, 0), nn_bind_skip(w, 0), nn_bind_skip(p->bias, 0)},
        .a = p->act.a,
        .b = p->act.b,
    };
    memcpy(push.from, p->x.shape + 2, sizeof push.from);
    memcpy(push.to, out.shape + 2, sizeof push.to);
    memcpy(push.x_stride, p->x.stride, sizeof push.x_stride);
    if ((uint64_t)taps * channels + taps > NN_CONV_TURNS) {
        nn_fail(r, FV_EUNSUPPORTED, "%u taps of %u channels a group are more than this device adds",
                taps, channels);
        return;
    }
    for (uint64_t at = 0; at < count; at += part) {
        uint64_t n = count - at < part ? count - at : part;
        bool res = !nn_is_null(p->residual);
        push.begin = (uint32_t)at;
        push.count = (uint32_t)((n + 3) / 4);
        push.base[3] = nn_bind_skip(p->residual, at);
        nn_dispatch(r, &(struct nn_call){
                           .shader = "nn/conv_direct",
                           .spec = {GROUP, p->last, p->transposed,
                                    p->mode[0] | p->mode[1] << 2 | p->mode[2] << 4, p->act.act,
                                    p->x.dtype, w.dtype, nn_is_null(p->bias) ? 0 : p->bias.dtype,
                                    res ? p->residual.dtype : 0, out.dtype},
                           .nspec = 10,
                           .bind = {{p->x, NN_WORDS1, 0, 0},
                                    {w, NN_WORDS1, 0, 0},
                                    {p->bias, NN_WORDS1, 0, 0},
                                    {p->residual, NN_WORDS4, res ? at : 0, res ? n : 0},
                                    {out, NN_STORAGE, at, n}},
                           .nbind = 5,
                           .push = &push,
                           .push_size = sizeof push,
                           .groups = (push.count + GROUP - 1) / GROUP,
                           .flops = 2.0 * (double)n * taps * channels,
                           .bytes = ((double)nn_bytes(p->x) + (double)nn_bytes(w)) * (double)n /
                                        (double)count +
                                    (double)n * nn_dtype_bytes(out.dtype) * (res ? 2 : 1),
                       });
    }
}

/* ---- convolution ------------------------------------------------------------------------- */

static bool bad(struct nn_rec *r, const char *what, uint32_t axis)
{
    nn_fail(r, FV_EINVALID, "%s along %s", what, axis_names[axis]);
    return false;
}

/* Kernel, strides and padding of one axis, and the result's length there. */
static bool resolve_axis(struct nn_rec *r, struct nn_conv_plan *p, const struct nn_conv *o,
                         uint32_t i, bool there, uint32_t *length)
{
    uint32_t after = there ? o->pad[i][1] : 0, size = p->x.shape[2 + i];
    p->kernel[i] = p->w.shape[2 + i];
    p->stride[i] = there && o->stride[i] ? o->stride[i] : 1;
    p->dilation[i] = there && o->dilation[i] ? o->dilation[i] : 1;
    p->upsample[i] = there && o->upsample[i] ? o->upsample[i] : 1;
    p->pad[i] = there ? o->pad[i][0] : 0;
    p->mode[i] = there ? o->mode[i] : NN_PAD_ZERO;
    uint32_t most = p->kernel[i];
    const uint32_t all[] = {p->stride[i], p->dilation[i], p->upsample[i], p->pad[i], after};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++)
        most = all[k] > most ? all[k] : most;
    if (most > NN_CONV_MAX || (unsigned)p->mode[i] > NN_PAD_REFLECT)
        return bad(r, "a kernel, stride, dilation or padding above 1023, or no such padding", i);
    uint64_t wide = (uint64_t)size * p->upsample[i], padded = wide + p->pad[i] + after;
    uint64_t reach = (uint64_t)p->dilation[i] * (p->kernel[i] - 1) + 1;
    if (p->mode[i] == NN_PAD_REFLECT && (p->pad[i] >= wide || after >= wide))
        return bad(r, "more padding by reflection than there are elements to reflect", i);
    if (padded < reach || padded > INT32_MAX)
        return bad(r, "the kernel is longer than the padded operand", i);
    *length = (uint32_t)((padded - reach) / p->stride[i] + 1);
    return true;
}

static bool before_fits(struct nn_rec *r, const struct nn_conv_plan *p, nn_tensor before)
{
    char a[NN_TEXT];
    nn_tensor want = p->x;
    want.shape[2] = p->pad[0];
    if (nn_is_null(before) || (nn_same_shape(want, before) && before.dtype == want.dtype))
        return true;
    nn_fail(r, FV_EINVALID, "before is %s, expected x's shape and dtype with %u frames",
            nn_text(a, before), p->pad[0]);
    return false;
}

static bool resolve(struct nn_rec *r, struct nn_conv_plan *p, nn_tensor x, nn_tensor w,
                    const struct nn_conv *o, uint32_t *out_shape)
{
    char a[NN_TEXT], b[NN_TEXT];
    bool ranks = x.rank >= 3 && (w.rank == x.rank || w.rank + 1 == x.rank) && w.rank >= 3;
    p->groups = o->groups ? o->groups : 1;
    if (!ranks || x.dtype == NN_I32 || w.dtype == NN_I32 || w.shape[0] % p->groups ||
        (uint64_t)w.shape[1] * p->groups != x.shape[1]) {
        nn_fail(r, FV_EINVALID, "x %s and w %s in %u groups do not fit", nn_text(a, x),
                nn_text(b, w), p->groups);
        return false;
    }
    p->x = as_rank_5(x);
    p->w = as_rank_5(w);
    out_shape[0] = x.shape[0];
    out_shape[1] = w.shape[0];
    for (uint32_t i = 0; i < 3; i++)
        if (!resolve_axis(r, p, o, i, i + x.rank >= 5, &out_shape[2 + i]))
            return false;
    if (!nn_fits(r, "bias", o->bias, w.shape[0]))
        return false;
    if (!nn_is_null(o->before) && x.rank != 5) {
        nn_fail(r, FV_EINVALID, "frames before an x without an axis of time");
        return false;
    }
    if (!before_fits(r, p, o->before))
        return false;
    p->last = nn_is_channels_last(x);
    p->before = o->before;
    p->act = o->act;
    p->bias = nn_is_null(o->bias) ? o->bias : nn_dense_any(r, o->bias);
    return !nn_failed(r);
}

nn_tensor nn_conv_by(struct nn_rec *r, nn_tensor x, nn_tensor w, const struct nn_conv *o,
                     enum nn_conv_kernel kernel)
{
    char a[NN_TEXT], b[NN_TEXT];
    static const struct nn_conv none = {0};
    struct nn_conv_plan p = {0};
    uint32_t shape[5];
    if (!nn_op(r, "nn_conv", 2, (nn_tensor[]){x, w}))
        return (nn_tensor){0};
    o = o ? o : &none;
    if (!resolve(r, &p, x, w, o, shape))
        return nn_op_end(r, (nn_tensor){0});
    nn_tensor flat = drop_axes(nn_over(NULL, 0, x.dtype, 5, shape), x.rank);
    if (!nn_is_null(o->residual) && !nn_same_shape(o->residual, flat))
        return nn_op_end(r, nn_fail(r, FV_EINVALID, "residual is %s, the result %s",
                                    nn_text(a, o->residual), nn_text(b, flat)));
    nn_tensor out = nn_out_like(r, x.dtype, nn_ordered(flat, p.last));
    if (nn_is_null(out))
        return nn_op_end(r, out);
    p.residual = nn_is_null(o->residual) ? o->residual : as_rank_5(o->residual);
    p.out = as_rank_5(out);
    if (kernel == NN_CONV_DIRECT || !nn_conv_tiles(&p))
        direct(r, &p);
    else
        nn_conv_tiled(r, &p, kernel);
    return nn_op_end(r, out);
}

nn_tensor nn_conv(struct nn_rec *r, nn_tensor x, nn_tensor w, const struct nn_conv *o)
{
    return nn_conv_by(r, x, w, o, NN_CONV_BEST);
}

nn_tensor nn_conv_transpose(struct nn_rec *r, nn_tensor x, nn_tensor w,
                            const struct nn_conv_transpose *o)
{
    char a[NN_TEXT], b[NN_TEXT];
    static const struct nn_conv_transpose none = {0};
    struct nn_conv_plan p = {.transposed = true, .upsample = {1, 1, 1}};
    uint32_t shape[5];
    if (!nn_op(r, "nn_conv_transpose", 2, (nn_tensor[]){x, w}))
        return (nn_tensor){0};
    o = o ? o : &none;
    p.groups = o->groups ? o->groups : 1;
    if (x.rank < 3 || w.rank != x.rank || x.dtype == NN_I32 || w.dtype == NN_I32 ||
        w.shape[0] != x.shape[1] || x.shape[1] % p.groups)
        return nn_op_end(r, nn_fail(r, FV_EINVALID, "x %s and w %s in %u groups do not fit",
                                    nn_text(a, x), nn_text(b, w), p.groups));
    p.x = as_rank_5(x);
    p.w = as_rank_5(w);
    p.last = nn_is_channels_last(x);
    shape[0] = x.shape[0];
    shape[1] = w.shape[1] * p.groups;
    for (uint32_t i = 0; i < 3; i++) {
        bool there = i + x.rank >= 5;
        p.kernel[i] = p.w.shape[2 + i];
        p.stride[i] = there && o->stride[i] ? o->stride[i] : 1;
        p.dilation[i] = there && o->dilation[i] ? o->dilation[i] : 1;
        p.pad[i] = there ? o->pad[i] : 0;
        uint32_t more = there ? o->output_pad[i] : 0;
        int64_t n = (int64_t)(p.x.shape[2 + i] - 1) * p.stride[i] - 2 * (int64_t)p.pad[i] +
                    (int64_t)p.dilation[i] * (p.kernel[i] - 1) + more + 1;
        if (p.kernel[i] > NN_CONV_MAX || p.stride[i] > NN_CONV_MAX || p.dilation[i] > NN_CONV_MAX ||
            p.pad[i] > NN_CONV_MAX || n < 1 || n > INT32_MAX) {
            bad(r, "a kernel, stride, dilation or padding above 1023, or an empty result", i);
            return nn_op_end(r, (nn_tensor){0});
        }
        shape[2 + i] = (uint32_t)n;
    }
    if (!nn_fits(r, "bias", o->bias, shape[1]))
        return nn_op_end(r, (nn_tensor){0});
    p.bias = nn_is_null(o->bias) ? o->bias : nn_dense_any(r, o->bias);
    nn_tensor flat = drop_axes(nn_over(NULL, 0, x.dtype, 5, shape), x.rank);
    nn_tensor out = nn_out_like(r, x.dtype, nn_ordered(flat, p.last));
    if (nn_is_null(out))
        return nn_op_end(r, out);
    p.out = as_rank_5(out);
    direct(r, &p);
    return nn_op_end(r, out);
}

/* ---- benchmark --------------------------------------------------------------------------- */

/* p: C, O, T, H, W, kernel of T, of H and W, stride or upsampling (of H and W; 1 << 8: the latter). */
static void bench_conv(struct nn_rec *r, const struct nn_bench_row *row)
{
    const uint32_t *p = row->p;
    uint32_t k = p[6], s = p[7] & 255;
    nn_tensor x = nn_bench_input(r, row->dtype, NN_SHAPE(1, p[2], p[3], p[4], p[0]));
    nn_tensor w = nn_bench_input(r, row->dtype, NN_SHAPE(p[1], p[0], p[5], k, k));
    struct nn_conv o = {.bias = nn_bench_input(r, row->dtype, 1, p + 1),
                        NN_CAUSAL(p[5], NN_PAD_REPLICATE),
                        NN_SAME_HW(k)};
    for (int i = 1; i < 3; i++)
        (p[7] >> 8 ? o.upsample : o.stride)[i] = s;
    if (!nn_failed(r))
        nn_conv(r, nn_permute(r, x, NN_ORDER(0, 4, 1, 2, 3)), w, &o);
}

const struct nn_bench_row nn_bench_conv[] = {
    {"conv",
     "3x3x3 128>128 5x128x128 f32",
     bench_conv,
     {128, 128, 5, 128, 128, 3, 3, 1},
     NN_F32,
     0},
    {"conv", "3x3x3 256>256 5x64x64 f32", bench_conv, {256, 256, 5, 64, 64, 3, 3, 1}, NN_F32, 0},
    {"conv", "3x3x3 512>512 3x32x32 f32", bench_conv, {512, 512, 3, 32, 32, 3, 3, 1}, NN_F32, 0},
    {"conv", "3x3x3 512>512 3x32x32 f16", bench_conv, {512, 512, 3, 32, 32, 3, 3, 1}, NN_F16, 0},
    {"conv",
     "1x3x3 128>128 1x256x256 f32",
     bench_conv,
     {128, 128, 1, 256, 256, 1, 3, 1},
     NN_F32,
     0},
    {"conv", "1x1x1 256>128 5x64x64 f32", bench_conv, {256, 128, 5, 64, 64, 1, 1, 1}, NN_F32, 0},
    {"conv",
     "3x3x3 stride 2 128>128 5x128x128 f32",
     bench_conv,
     {128, 128, 5, 128, 128, 3, 3, 2},
     NN_F32,
     0},
    {"conv",
     "1x3x3 upsample 2 256>256 1x64x64 f32",
     bench_conv,
     {256, 256, 1, 64, 64, 1, 3, 258},
     NN_F32,
     0},
    {"conv", "1x3x3 64>64 1x256x256 f32", bench_conv, {64, 64, 1, 256, 256, 1, 3, 1}, NN_F32, 0},
    {"conv", "3x3x3 128>3 5x128x128 f32", bench_conv, {128, 3, 5, 128, 128, 3, 3, 1}, NN_F32, 0},
    {"conv", "3x3x3 16>16 16x64x64 f32", bench_conv, {16, 16, 16, 64, 64, 3, 3, 1}, NN_F32, 0},
    {"conv", "3x3x3 16>3 16x64x64 f32", bench_conv, {16, 3, 16, 64, 64, 3, 3, 1}, NN_F32, 0},
    {0}};
