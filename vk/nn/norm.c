/* Layer, RMS and group norms (nn.h).
 *
 * Rows (layer, RMS): a subgroup does as many rows as it has lanes, or an invocation does a row; rows
 * whose width is no multiple of four take two kernels, since 16-bit results are written in fours.
 * Groups: moments of each channel over runs of positions, merged run by run (Chan, Golub and
 * LeVeque 1979) into those of groups, made into a table of mean, factor and addend by channel, and
 * applied. Every step keeps sums of deviations, never of squares. */
#include "shaders/nn/params.h"
#include "shaders/nn/norm_params.h"
#include "vk/nn/order.h"
#include "vk/nn/tune.h"

#include <stdio.h>
#include <string.h>

enum { GROUP = 64 };

static uint64_t groups_of(uint64_t items)
{
    return (items + GROUP - 1) / GROUP;
}

static uint32_t type_of(nn_tensor t)
{
    return nn_is_null(t) ? 0 : (uint32_t)t.dtype;
}

/* An operand of n elements packed and aligned, or null; a failure if it has not so many. */
static nn_tensor vector(struct nn_rec *r, const char *name, nn_tensor t, uint32_t n)
{
    char text[NN_TEXT];
    if (nn_is_null(t))
        return t;
    if (nn_count(t) != n || t.dtype == NN_I32)
        return nn_fail(r, FV_EINVALID, "%s is %s, expected [%u]", name, nn_text(text, t), n);
    return nn_dense_any(r, t);
}

/* ---- rows -------------------------------------------------------------------------------- */

struct rows {
    nn_tensor x, out; /* rows x width, in this order in memory */
    nn_tensor weight, bias, shift, scale;
    uint64_t rows;
    uint32_t width, modulated;
    bool rms;
    const struct nn_norm_opts *o;
};

/* Rows [first, first + n) by the kernels for any width. */
static void any_rows(struct nn_rec *r, const struct rows *w, struct nn_row_push *push,
                     uint64_t first, uint64_t n)
{
    uint64_t e = first * w->width, count = n * w->width;
    nn_tensor moments = nn_new(r, NN_F32, 2, (uint32_t[]){(uint32_t)n, 2});
    if (nn_is_null(moments))
        return;
    nn_dispatch(
        r, &(struct nn_call){.shader = "nn/row_moments",
                             .spec = {GROUP, w->rms, w->x.dtype},
                             .nspec = 3,
                             .bind = {{w->x, NN_WORDS1, e, count}, {moments, NN_STORAGE, 0, 0}},
                             .nbind = 2,
                             .push = push,
                             .push_size = sizeof *push,
                             .groups = groups_of(n),
                             .flops = 4.0 * (double)count,
                             .bytes = (double)count * nn_dtype_bytes(w->x.dtype)});
    nn_dispatch(r, &(struct nn_call){.shader = "nn/row_apply",
                                     .spec = {GROUP, w->o->act.act, w->x.dtype, type_of(w->weight),
                                              type_of(w->bias), type_of(w->shift),
                                              type_of(w->scale), w->out.dtype},
                                     .nspec = 8,
                                     .bind = {{w->x, NN_WORDS1, e, count},
                                              {w->weight, NN_WORDS1, 0, 0},
                                              {w->bias, NN_WORDS1, 0, 0},
                                              {w->shift, NN_WORDS1, 0, 0},
                                              {w->scale, NN_WORDS1, 0, 0},
                                              {moments, NN_READ1, 0, 0},
                                              {w->out, NN_STORAGE, e, count}},
                                     .nbind = 7,
                                     .push = push,
                                     .push_size = sizeof *push,
                                     .groups = groups_of((count + 3) / 4),
                                     .flops = 8.0 * (double)count,
                                     .bytes = (double)count * (nn_dtype_bytes(w->x.dtype) +
                                                               nn_dtype_bytes(w->out.dtype))});
    nn_free(r, moments);
}

/* Of a unit of row_norm_lanes: two fours where rows, and what is bound, are of whole such units. */
static uint32_t fours_of(const struct rows *w, const struct nn_row_push *push)
{
    for (int i = 0; i < 5; i++)
        if (push->base[i] % 8)
            return 1;
    return w->width % 8 ? 1 : 2;
}

static struct nn_binding unit_of(nn_tensor t, uint32_t fours, uint64_t first, uint64_t count)
{
    bool both = fours == 2 && nn_dtype_bytes(t.dtype) == 2; /* by one fetch */
    return (struct nn_binding){t, both ? NN_READ_UVEC4 : NN_WORDS4, first, count};
}

/* By subgroups where they are the machine's vector, and rows long enough that few lanes idle at an end. */
static bool by_lanes(const struct nn_rec *r, uint32_t width)
{
    return nn_choice_for(r).kernel == NN_KERNEL_REGISTERS && width >= 32 * nn_lanes(r);
}

static void fours_of_rows(struct nn_rec *r, const struct rows *w, struct nn_row_push *push,
                          uint64_t first, uint64_t n)
{
    uint64_t e = first * w->width, count = n * w->width;
    uint32_t lanes = by_lanes(r, w->width) ? nn_lanes(r) : 0; /* 0: an invocation does a row */
    uint32_t fours = lanes ? fours_of(w, push) : 1, group = lanes ? lanes : GROUP;
    char variant[16];
    snprintf(variant, sizeof variant, "%u", lanes);
    nn_dispatch(r, &(struct nn_call){.shader = lanes ? "nn/row_norm_lanes" : "nn/row_norm",
                                     .variant = lanes ? variant : NULL,
                                     .subgroup = lanes,
                                     .spec = {lanes ? fours : GROUP, w->rms, w->o->act.act, w->x.dtype,
                                              type_of(w->weight), type_of(w->bias),
                                              type_of(w->shift), type_of(w->scale), w->out.dtype},
                                     .nspec = 9,
                                     .bind = {unit_of(w->x, fours, e, count),
                                              unit_of(w->weight, fours, 0, 0),
                                              unit_of(w->bias, fours, 0, 0),
                                              unit_of(w->shift, fours, 0, 0),
                                              unit_of(w->scale, fours, 0, 0),
                                              {w->out, NN_STORAGE, e, count}},
                                     .nbind = 6,
                                     .push = push,
                                     .push_size = sizeof *push,
                                     .groups = (n + group - 1) / group,
                                     .flops = 12.0 * (double)count,
                                     .bytes = (double)count * (nn_dtype_bytes(w->x.dtype) +
                                                               nn_dtype_bytes(w->out.dtype))});
}

static uint64_t gcd(uint64_t a, uint64_t b)
{
    return b ? gcd(b, a % b) : a;
}

/* In parts that begin at a multiple of NN_ALIGN bytes of the result and fit one binding. */
static void norm_rows(struct nn_rec *r, const struct rows *w)
{
    uint32_t size = nn_dtype_bytes(w->out.dtype), wide = nn_dtype_bytes(w->x.dtype);
    uint64_t step = NN_ALIGN / gcd(NN_ALIGN, (uint64_t)w->width * size);
    uint64_t most =
        (nn_storage_max(r) - NN_ALIGN) / ((uint64_t)w->width * (size > wide ? size : wide));
    uint64_t part = most / step * step;
    /* loops of an invocation together: CPU drivers stop after 65534 turns */
    if (!part || w->width > (w->width % 4 ? 32000u : 80000u)) {
        nn_fail(r, FV_EUNSUPPORTED, "rows of %u elements are too long to be normalised", w->width);
        return;
    }
    for (uint64_t first = 0; first < w->rows; first += part) {
        uint64_t n = w->rows - first < part ? w->rows - first : part;
        struct nn_row_push push = {
            .width = w->width,
            .rows = (uint32_t)n,
            .begin = (uint32_t)first,
            .modulated = w->modulated,
            .base = {nn_bind_skip(w->x, first * w->width), nn_bind_skip(w->weight, 0),
                     nn_bind_skip(w->bias, 0), nn_bind_skip(w->shift, 0),
                     nn_bind_skip(w->scale, 0)},
            .eps = w->o->eps != 0 ? w->o->eps : 1e-6f,
            .a = w->o->act.a,
            .b = w->o->act.b,
        };
        if (w->width % 4)
            any_rows(r, w, &push, first, n);
        else
            fours_of_rows(r, w, &push, first, n);
    }
}

/* shift or scale: [C], or G rows of it. */
static nn_tensor modulation(struct nn_rec *r, const char *name, nn_tensor t, struct rows *w)
{
    char text[NN_TEXT];
    uint64_t n = nn_count(t), many = n / w->width;
    if (nn_is_null(t))
        return t;
    if (n % w->width || w->rows % many || t.dtype == NN_I32)
        return nn_fail(r, FV_EINVALID, "%s is %s, expected rows of %u that share %llu evenly", name,
                       nn_text(text, t), w->width, (unsigned long long)w->rows);
    uint32_t modulated = (uint32_t)(w->rows / many);
    if (w->modulated && w->modulated != modulated)
        return nn_fail(r, FV_EINVALID, "shift and scale have different numbers of rows");
    w->modulated = modulated;
    return nn_dense_any(r, t);
}

static nn_tensor row_norm(struct nn_rec *r, const char *name, nn_tensor x,
                          const struct nn_norm_opts *o, bool rms)
{
    char text[NN_TEXT];
    static const struct nn_norm_opts none = {0};
    struct rows w = {.rms = rms, .o = o ? o : &none};
    if (!nn_op(r, name, 1, &x))
        return (nn_tensor){0};
    bool channels = w.o->channels;
    if (x.dtype == NN_I32 || (channels && x.rank < 2))
        return nn_op_end(r,
                         nn_fail(r, FV_EINVALID, "nothing to normalise in %s", nn_text(text, x)));
    nn_tensor like = nn_ordered(x, channels);
    bool keep = !channels || nn_is_channels_last(x) || x.shape[1] == nn_count(x) / x.shape[0];
    nn_tensor out = {0};
    if (keep)
        out = nn_out_like(r, nn_result_dtype(x, w.o->dtype), like);
    else
        out = nn_out(r, nn_result_dtype(x, w.o->dtype), x.rank, x.shape);
    w.x = nn_to_order(r, x, like);
    w.width = x.shape[channels ? 1 : x.rank - 1];
    w.rows = nn_count(x) / w.width;
    w.weight = vector(r, "weight", w.o->weight, w.width);
    w.bias = vector(r, "bias", w.o->bias, w.width);
    w.shift = modulation(r, "shift", w.o->shift, &w);
    w.scale = modulation(r, "scale", w.o->scale, &w);
    if (nn_failed(r))
        return nn_op_end(r, (nn_tensor){0});
    w.modulated = w.modulated ? w.modulated : UINT32_MAX;
    w.out = out;
    if (!keep) {
        w.out = nn_new(r, out.dtype, x.rank, x.shape);
        memcpy(w.out.stride, like.stride, sizeof like.stride);
    }
    if (!nn_is_null(w.out))
        norm_rows(r, &w);
    if (!keep)
        nn_copy(r, out, w.out);
    return nn_op_end(r, out);
}

nn_tensor nn_layer_norm(struct nn_rec *r, nn_tensor x, const struct nn_norm_opts *o)
{
    return row_norm(r, "nn_layer_norm", x, o, false);
}

nn_tensor nn_rms_norm(struct nn_rec *r, nn_tensor x, const struct nn_norm_opts *o)
{
    return row_norm(r, "nn_rms_norm", x, o, true);
}

/* ---- benchmark --------------------------------------------------------------------------- */

/* p: rows, features, RMS, modulated. */
static void bench_rows(struct nn_rec *r, const struct nn_bench_row *row)
{
    const uint32_t *p = row->p;
    nn_tensor x = nn_bench_input(r, row->dtype, 2, p);
    struct nn_norm_opts o = {0};
    if (p[3])
        o.shift = o.scale = nn_bench_input(r, row->dtype, 1, p + 1);
    if (p[2])
        nn_rms_norm(r, x, &o);
    else
        nn_layer_norm(r, x, &o);
}

const struct nn_bench_row nn_bench_norm[] = {
    {"layer_norm", "4096x1152 f32", bench_rows, {4096, 1152, 0, 0}, NN_F32, 0},
    {"layer_norm modulated", "4096x1152 f32", bench_rows, {4096, 1152, 0, 1}, NN_F32, 0},
    {"layer_norm modulated", "4096x1152 f16", bench_rows, {4096, 1152, 0, 1}, NN_F16, 0},
    {"rms_norm", "65536x72 f32", bench_rows, {65536, 72, 1, 0}, NN_F32, 0},
    {"rms_norm", "4096x4096 f32", bench_rows, {4096, 4096, 1, 0}, NN_F32, 0},
    {0}};
