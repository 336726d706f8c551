/* Resampling (nn.h). Nearest by whole factors is a copy with repeated axes (layout.c); everything
 * else works axis by axis with a table of taps made here, as PyTorch's interpolate makes them
 * (shaders/nn/resample.comp). Pooling and means: pool.comp, mean.comp. */
#include "shaders/nn/params.h"
#include "vk/nn/layout.h"
#include "vk/nn/op.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { GROUP = 64 };

/* ---- taps -------------------------------------------------------------------------------- */

struct taps {
    uint32_t from, to, count; /* per result */
    int32_t *index;           /* [count][to] */
    float *weight;
};

static double cubic(double x, double a)
{
    x = fabs(x);
    if (x < 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

static double triangle(double x)
{
    x = fabs(x);
    return x < 1 ? 1 - x : 0;
}

static uint32_t most_taps(enum nn_filter f, uint32_t from, uint32_t to, bool antialias)
{
    double scale = (double)from / to;
    if (f == NN_AREA)
        return (uint32_t)ceil(scale) + 1;
    if (antialias && f != NN_NEAREST)
        return 2 * (uint32_t)ceil((f == NN_CUBIC ? 2 : 1) * fmax(scale, 1)) + 1;
    return f == NN_CUBIC ? 4 : f == NN_LINEAR ? 2 : 1;
}

static void add_tap(struct taps *t, uint32_t i, uint32_t k, long at, double w)
{
    long last = (long)t->from - 1;
    t->index[(size_t)k * t->to + i] = (int32_t)(at < 0 ? 0 : at > last ? last : at);
    t->weight[(size_t)k * t->to + i] = (float)w;
}

/* The filter, widened by the scale when shrinking, its weights made to sum to 1. */
static void wide_taps(struct taps *t, uint32_t i, enum nn_filter f)
{
    double scale = (double)t->from / t->to, centre = scale * (i + 0.5), sum = 0;
    scale = fmax(scale, 1);
    double support = (f == NN_CUBIC ? 2 : 1) * scale;
    long first = (long)(centre - support + 0.5), end = (long)(centre + support + 0.5);
    first = first < 0 ? 0 : first;
    end = end > (long)t->from ? (long)t->from : end;
    for (int pass = 0; pass < 2; pass++)
        for (long j = first; j < end; j++) {
            double x = ((double)j - centre + 0.5) / scale;
            double w = f == NN_CUBIC ? cubic(x, -0.5) : triangle(x);
            if (pass)
                add_tap(t, i, (uint32_t)(j - first), j, w / sum);
            else
                sum += w;
        }
}

static void set_taps(struct taps *t, uint32_t i, enum nn_filter f, bool antialias)
{
    double scale = (double)t->from / t->to, at = scale * (i + 0.5) - 0.5;
    if (f == NN_NEAREST) {
        add_tap(t, i, 0, (long)((uint64_t)i * t->from / t->to), 1);
    } else if (f == NN_AREA) {
        long first = (long)((uint64_t)i * t->from / t->to);
        long end = (long)(((uint64_t)(i + 1) * t->from + t->to - 1) / t->to);
        for (long j = first; j < end; j++)
            add_tap(t, i, (uint32_t)(j - first), j, 1.0 / (double)(end - first));
    } else if (antialias) {
        wide_taps(t, i, f);
    } else if (f == NN_LINEAR) {
        at = at < 0 ? 0 : at;
        double part = at - floor(at);
        add_tap(t, i, 0, (long)floor(at), 1 - part);
        add_tap(t, i, 1, (long)floor(at) + 1, part);
    } else {
        for (int k = 0; k < 4; k++)
            add_tap(t, i, (uint32_t)k, (long)floor(at) - 1 + k,
                    cubic(at - (floor(at) - 1 + k), -0.75));
    }
}

/* ---- one axis ---------------------------------------------------------------------------- */

static void dispatch(struct nn_rec *r, nn_tensor y, nn_tensor x, uint32_t axis,
                     const struct taps *t)
{
    uint32_t inner = 1;
    for (uint32_t i = axis + 1; i < x.rank; i++)
        inner *= x.shape[i];
    nn_tensor index = nn_constant(r, NN_I32, NN_SHAPE(t->to * t->count), t->index);
    nn_tensor weight = nn_constant(r, NN_F32, NN_SHAPE(t->to * t->count), t->weight);
    uint64_t count = nn_count(y), part = nn_storage_max(r) / 4;
    struct nn_resample_push push = {.from = t->from,
                                    .to = t->to,
                                    .inner = inner,
                                    .last = (uint32_t)(count - 1)};
    uint32_t mode = inner % 4 == 0                ? NN_RESAMPLE_FOURS
                    : inner == 1 && t->to % 4 == 0 ? NN_RESAMPLE_LINE
                                                   : NN_RESAMPLE_ANY;
    bool fours = mode == NN_RESAMPLE_FOURS, line = mode == NN_RESAMPLE_LINE;
    for (uint64_t at = 0; at < count && !nn_failed(r); at += part) {
        uint64_t n = count - at < part ? count - at : part;
        push.begin = (uint32_t)at;
        push.count = (uint32_t)((n + 3) / 4);
        nn_dispatch(r, &(struct nn_call){.shader = "nn/resample",
                                         .spec = {GROUP, mode, x.dtype, t->count},
                                         .nspec = 4,
                                         .bind = {{x, fours ? NN_WORDS4 : NN_WORDS1},
                                                  {weight, line ? NN_READ4 : NN_READ1},
                                                  {index, line ? NN_WORDS4 : NN_WORDS1},
                                                  {y, NN_STORAGE, at, n}},
                                         .nbind = 4,
                                         .push = &push,
                                         .push_size = sizeof push,
                                         .groups = (push.count + GROUP - 1) / GROUP,
                                         .flops = 2.0 * t->count * (double)n,
                                         .bytes = ((double)nn_bytes(x) * (double)n / (double)count +
                                                   (double)n * nn_dtype_bytes(y.dtype))});
    }
}

/* Along one axis, to `to` elements; the last axis of an op makes its result. x is packed. */
static nn_tensor resample(struct nn_rec *r, nn_tensor x, uint32_t axis, enum nn_filter f,
                          uint32_t to, bool antialias, bool last)
{
    uint32_t shape[NN_MAX_RANK];
    struct taps t = {.from = x.shape[axis], .to = to};
    if (nn_failed(r))
        return (nn_tensor){0};
    t.count = most_taps(f, t.from, to, antialias);
    size_t n = (size_t)to * t.count;
    t.index = calloc(n, sizeof *t.index);
    t.weight = calloc(n, sizeof *t.weight);
    memcpy(shape, x.shape, sizeof shape);
    shape[axis] = to;
    nn_tensor y = {0};
    if (!t.index || !t.weight) {
        nn_fail(r, FV_ENOMEM, "out of memory");
    } else {
        for (uint32_t i = 0; i < to; i++)
            set_taps(&t, i, f, antialias);
        y = last ? nn_out(r, x.dtype, x.rank, shape) : nn_new(r, x.dtype, x.rank, shape);
        if (!nn_is_null(y))
            dispatch(r, y, x, axis, &t);
    }
    free(t.index);
    free(t.weight);
    return y;
}

/* Axes from the fastest to the slowest, so that the gathers within rows are of the fewest. */
static nn_tensor resample_all(struct nn_rec *r, nn_tensor x, enum nn_filter f, const uint32_t *to,
                              bool antialias)
{
    uint32_t left = 0;
    for (uint32_t a = 0; a < x.rank; a++)
        left += to[a] != x.shape[a];
    x = nn_dense_any(r, x);
    for (uint32_t a = x.rank; a-- > 0 && !nn_failed(r);) {
        if (to[a] == x.shape[a])
            continue;
        nn_tensor y = resample(r, x, a, f, to[a], antialias, --left == 0);
        x = y;
    }
    return x;
}

/* ---- ops --------------------------------------------------------------------------------- */

static nn_tensor repeat_axes(struct nn_rec *r, nn_tensor x, const uint32_t f[NN_MAX_RANK])
{
    uint32_t shape[NN_MAX_RANK] = {0};
    struct nn_axes a = {0};
    for (uint32_t i = 0; i < x.rank; i++)
        shape[i] = x.shape[i] * f[i];
    nn_tensor y = nn_out(r, x.dtype, x.rank, shape);
    if (nn_is_null(y))
        return y;
    for (uint32_t i = 0; i < x.rank; i++) {
        nn_axis(&a, x.shape[i], x.stride[i], f[i] * y.stride[i]);
        nn_axis(&a, f[i], 0, y.stride[i]);
    }
    nn_copy_axes(r, y, x, &a, true);
    return y;
}

nn_tensor nn_upsample(struct nn_rec *r, nn_tensor x, enum nn_filter filter, const uint32_t f[3])
{
    char text[NN_TEXT];
    uint32_t each[NN_MAX_RANK] = {1, 1, 1, 1, 1}, to[NN_MAX_RANK] = {0};
    if (!nn_op(r, "nn_upsample", 1, &x))
        return (nn_tensor){0};
    bool ok = x.rank >= 3 && x.dtype != NN_I32;
    for (uint32_t i = 0; i < 3 && ok; i++) {
        if (i + x.rank >= 5)
            each[i + x.rank - 3] = f[i];
        ok = f[i] >= 1 && (f[i] == 1 || i + x.rank >= 5);
    }
    if (!ok)
        return nn_op_end(r, nn_fail(r, FV_EINVALID, "factors %u, %u, %u of %s", f[0], f[1], f[2],
                                    nn_text(text, x)));
    for (uint32_t i = 0; i < x.rank; i++)
        to[i] = x.shape[i] * each[i];
    return nn_op_end(r, filter == NN_NEAREST ? repeat_axes(r, x, each)
                                             : resample_all(r, x, filter, to, false));
}

nn_tensor nn_resize(struct nn_rec *r, nn_tensor x, enum nn_filter filter, uint32_t height,
                    uint32_t width, bool antialias)
{
    char text[NN_TEXT];
    uint32_t to[NN_MAX_RANK];
    if (!nn_op(r, "nn_resize", 1, &x))
        return (nn_tensor){0};
    if (x.rank < 4 || x.dtype == NN_I32 || !height || !width)
        return nn_op_end(r, nn_fail(r, FV_EINVALID, "%s to %u rows, %u columns", nn_text(text, x),
                                    height, width));
    memcpy(to, x.shape, sizeof to);
    to[x.rank - 2] = height;
    to[x.rank - 1] = width;
    return nn_op_end(r, resample_all(r, x, filter, to, antialias));
}

static bool pool_sizes(struct nn_rec *r, nn_tensor x, const struct nn_pool *o, uint32_t *kernel,
                       uint32_t *stride, uint32_t *shape)
{
    char text[NN_TEXT];
    memcpy(shape, x.shape, sizeof x.shape);
    for (int i = 0; i < 3; i++) {
        kernel[i] = o->kernel[i] ? o->kernel[i] : 1;
        stride[i] = o->stride[i] ? o->stride[i] : kernel[i];
        uint64_t n = (uint64_t)x.shape[2 + i] + o->pad[i][0] + o->pad[i][1];
        bool mirror = o->mode[i] == NN_PAD_REFLECT;
        if (n < kernel[i] ||
            (mirror && (o->pad[i][0] >= x.shape[2 + i] || o->pad[i][1] >= x.shape[2 + i]))) {
            nn_fail(r, FV_EINVALID, "a window of %u over axis %d of %s", kernel[i], 2 + i,
                    nn_text(text, x));
            return false;
        }
        shape[2 + i] = (uint32_t)((n - kernel[i]) / stride[i]) + 1;
    }
    return (uint64_t)kernel[0] * kernel[1] * kernel[2] <= 16384 ||
           (nn_fail(r, FV_EINVALID, "a window of more than 16384 elements"), false);
}

static void pool_dispatch(struct nn_rec *r, nn_tensor y, nn_tensor x, const struct nn_pool *o,
                          const uint32_t *k, const uint32_t *s, const uint32_t *shape)
{
    uint64_t count = nn_count(y), part = nn_storage_max(r) / 4;
    struct nn_pool_push push = {.from_t = x.shape[2],
                                .from_h = x.shape[3],
                                .from_w = x.shape[4],
                                .to_t = shape[2],
                                .to_h = shape[3],
                                .to_w = shape[4],
                                .pad_t = o->pad[0][0],
                                .pad_h = o->pad[1][0],
                                .pad_w = o->pad[2][0],
                                .last = (uint32_t)(count - 1)};
    for (uint64_t at = 0; at < count; at += part) {
        uint64_t n = count - at < part ? count - at : part;
        push.begin = (uint32_t)at;
        push.count = (uint32_t)((n + 3) / 4);
        nn_dispatch(r, &(struct nn_call){.shader = "nn/pool",
                                         .spec = {GROUP, x.dtype, o->mode[0], o->mode[1],
                                                  o->mode[2], k[0], k[1], k[2], s[0], s[1], s[2]},
                                         .nspec = 11,
                                         .bind = {{x, NN_WORDS1}, {y, NN_STORAGE, at, n}},
                                         .nbind = 2,
                                         .push = &push,
                                         .push_size = sizeof push,
                                         .groups = (push.count + GROUP - 1) / GROUP,
                                         .flops = (double)n * k[0] * k[1] * k[2],
                                         .bytes = (double)nn_bytes(x) + (double)nn_bytes(y)});
    }
}

nn_tensor nn_avg_pool(struct nn_rec *r, nn_tensor x, const struct nn_pool *o)
{
    char text[NN_TEXT];
    uint32_t kernel[3], stride[3], shape[NN_MAX_RANK];
    if (!nn_op(r, "nn_avg_pool", 1, &x))
        return (nn_tensor){0};
    uint32_t rank = x.rank;
    if (rank < 3 || x.dtype == NN_I32)
        return nn_op_end(r, nn_fail(r, FV_EINVALID, "%s has no space", nn_text(text, x)));
    while (x.rank < 5)
        x = nn_unsqueeze(r, x, 2);
    x = nn_dense_any(r, x);
    if (nn_failed(r) || !pool_sizes(r, x, o, kernel, stride, shape))
        return nn_op_end(r, (nn_tensor){0});
    uint32_t skip = 5 - rank, small[NN_MAX_RANK] = {shape[0], shape[1]};
    memcpy(small + 2, shape + 2 + skip, (rank - 2) * sizeof *small);
    nn_tensor y = nn_out(r, x.dtype, rank, small);
    if (!nn_is_null(y))
        pool_dispatch(r, y, x, o, kernel, stride, shape);
    return nn_op_end(r, y);
}

/* Sums over `run` of the n elements of the middle axis of x seen as [outer, n, inner]. */
static void sums(struct nn_rec *r, nn_tensor y, nn_tensor x, uint32_t n, uint32_t run,
                 uint32_t inner, float scale)
{
    uint64_t count = nn_count(y), part = nn_storage_max(r) / 4;
    struct nn_mean_push push = {.n = n,
                                .run = run,
                                .runs = (n + run - 1) / run,
                                .inner = inner,
                                .last = (uint32_t)(count - 1),
                                .scale = scale};
    bool four = inner % 4 == 0;
    for (uint64_t at = 0; at < count; at += part) {
        uint64_t m = count - at < part ? count - at : part;
        push.begin = (uint32_t)at;
        push.count = (uint32_t)((m + 3) / 4);
        nn_dispatch(r, &(struct nn_call){
                           .shader = "nn/mean",
                           .spec = {GROUP, four, x.dtype, y.dtype},
                           .nspec = 4,
                           .bind = {{x, four ? NN_WORDS4 : NN_WORDS1}, {y, NN_STORAGE, at, m}},
                           .nbind = 2,
                           .push = &push,
                           .push_size = sizeof push,
                           .groups = (push.count + GROUP - 1) / GROUP,
                           .flops = (double)nn_count(x),
                           .bytes = (double)nn_bytes(x) + (double)nn_bytes(y)});
    }
}

nn_tensor nn_mean(struct nn_rec *r, nn_tensor x, int axis)
{
    char text[NN_TEXT];
    uint32_t shape[NN_MAX_RANK], inner = 1, outer = 1;
    if (!nn_op(r, "nn_mean", 1, &x))
        return (nn_tensor){0};
    uint32_t a = (uint32_t)(axis < 0 ? axis + (int)x.rank : axis);
    if (a >= x.rank || x.dtype == NN_I32)
        return nn_op_end(r, nn_fail(r, FV_EINVALID, "axis %d of %s", axis, nn_text(text, x)));
    x = nn_dense_any(r, x);
    memcpy(shape, x.shape, sizeof shape);
    for (uint32_t i = 0; i < x.rank; i++) {
        inner *= i > a ? x.shape[i] : 1;
        outer *= i < a ? x.shape[i] : 1;
    }
    uint32_t n = shape[a];
    shape[a] = 1;
    nn_tensor y = nn_failed(r) ? (nn_tensor){0} : nn_out(r, x.dtype, x.rank, shape);
    /* runs near the square root: parallel, few roundings in a row, short loops */
    uint32_t run = n <= 64 ? n : (uint32_t)ceil(sqrt((double)n));
    if (!nn_is_null(y) && run < n) {
        uint32_t runs = (n + run - 1) / run;
        nn_tensor part = nn_new(r, NN_F32, NN_SHAPE(outer, runs, inner));
        if (!nn_is_null(part)) {
            sums(r, part, x, n, run, inner, 1);
            sums(r, y, part, runs, runs, inner, 1 / (float)n);
        }
    } else if (!nn_is_null(y)) {
        sums(r, y, x, n, n, inner, 1 / (float)n);
    }
    return nn_op_end(r, y);
}

/* ---- benchmark --------------------------------------------------------------------------- */

/* p: channels, frames, rows, columns. */
static void bench_nearest(struct nn_rec *r, const struct nn_bench_row *row)
{
    const uint32_t *p = row->p;
    nn_upsample(r, nn_bench_input(r, row->dtype, NN_SHAPE(1, p[0], p[1], p[2], p[3])), NN_NEAREST,
                (uint32_t[]){1, 2, 2});
}

static void bench_linear(struct nn_rec *r, const struct nn_bench_row *row)
{
    const uint32_t *p = row->p;
    nn_upsample(r, nn_bench_input(r, row->dtype, NN_SHAPE(1, p[0], p[1], p[2], p[3])), NN_LINEAR,
                (uint32_t[]){2, 2, 2});
}

const struct nn_bench_row nn_bench_resample[] = {
    {"upsample nearest",
     "1x128x1x128x128 x2 f32",
     bench_nearest,
     {128, 1, 128, 128},
     NN_F32,
     false},
    {"upsample linear", "1x64x4x64x64 x2 f32", bench_linear, {64, 4, 64, 64}, NN_F32, 0},
    {0}};
