/* Moving elements about (nn.h): every op here is strided copies (shaders/nn/copy.comp), of up to
 * eight axes merged where both sides allow it (those from lines along one axis to lines along
 * another by squares, shaders/nn/turn.comp), except padding by reflection and the like
 * (shaders/nn/pad.comp). */
#include "vk/nn/layout.h"
#include "shaders/nn/params.h"
#include "vk/base/half.h"

#include <string.h>

enum { GROUP = 64 };

/* ---- strided copies ---------------------------------------------------------------------- */

void nn_axis(struct nn_axes *a, uint32_t n, uint32_t from, uint32_t to)
{
    if (n == 1)
        return;
    uint32_t last = a->rank - 1;
    if (a->rank && a->from[last] == (uint64_t)from * n && a->to[last] == (uint64_t)to * n) {
        a->shape[last] *= n;
        a->from[last] = from;
        a->to[last] = to;
        return;
    }
    a->shape[a->rank] = n;
    a->from[a->rank] = from;
    a->to[a->rank++] = to;
}

/* Whether all strides but the last are multiples of n, the last is 1, and so are its length and
 * where it starts. */
static bool in_runs_of(const struct nn_axes *a, const uint32_t *stride, uint32_t base, uint32_t n)
{
    uint32_t inner = a->rank - 1;
    bool ok = stride[inner] == 1 && a->shape[inner] % n == 0 && base % n == 0;
    for (uint32_t i = 0; i < inner; i++)
        ok = ok && stride[i] % n == 0;
    return ok;
}

static uint32_t write_mode(const struct nn_axes *a, nn_tensor dst, uint32_t base)
{
    bool wide = nn_dtype_bytes(dst.dtype) == 4;
    if (in_runs_of(a, a->to, base, 4))
        return NN_COPY_FOUR;
    if (wide)
        return NN_COPY_WORD;
    return in_runs_of(a, a->to, base, 2) ? NN_COPY_PAIR : NN_COPY_HALF;
}

static bool writes_packed(const struct nn_axes *a)
{
    uint32_t step = 1;
    for (uint32_t i = a->rank; i-- > 0; step *= a->shape[i])
        if (a->to[i] != step)
            return false;
    return true;
}

static uint64_t reach(const struct nn_axes *a, const uint32_t *stride)
{
    uint64_t n = 1;
    for (uint32_t i = 0; i < a->rank; i++)
        n += (uint64_t)(a->shape[i] - 1) * stride[i];
    return n;
}

/* Whether where it starts and all strides but one are multiples of n. */
static bool multiples(const struct nn_axes *a, const uint32_t *stride, uint32_t base, uint32_t n,
                      uint32_t but)
{
    bool ok = base % n == 0;
    for (uint32_t i = 0; i < a->rank; i++)
        ok = ok && (i == but || stride[i] % n == 0);
    return ok;
}

/* A copy from lines along one axis to lines along another, by squares; false: not one. */
static bool turn(struct nn_rec *r, nn_tensor dst, nn_tensor src, const struct nn_axes *a,
                 uint64_t dst_first, uint64_t src_first)
{
    uint32_t inner = a->rank - 1, line = inner, side = nn_dtype_bytes(src.dtype) == 4 ? 4 : 8;
    struct nn_turn_push push = {.from_base = nn_bind_skip(src, src_first),
                                .to_base = nn_bind_skip(dst, dst_first),
                                .from_step = a->from[inner]};
    for (uint32_t i = 0; i < inner; i++)
        line = a->from[i] == 1 ? i : line;
    if (src.dtype != dst.dtype || line == inner || a->to[inner] != 1 ||
        a->shape[inner] % side || a->shape[line] % side ||
        !multiples(a, a->from, push.from_base, side, line) ||
        !multiples(a, a->to, push.to_base, side, inner))
        return false;
    uint32_t squares = 1;
    for (uint32_t i = 0; i < a->rank; i++) {
        uint32_t n = i == line || i == inner ? side : 1;
        push.shape[i] = a->shape[i] / n;
        push.from[i] = a->from[i] * n;
        push.to[i] = a->to[i] * n;
        squares *= push.shape[i];
    }
    push.to_step = a->to[line];
    push.count = squares;
    nn_dispatch(r, &(struct nn_call){.shader = "nn/turn",
                                     .spec = {GROUP, a->rank, src.dtype},
                                     .nspec = 3,
                                     .bind = {{src, NN_READ_UVEC4, src_first, reach(a, a->from)},
                                              {dst, NN_STORAGE, dst_first, reach(a, a->to)}},
                                     .nbind = 2,
                                     .push = &push,
                                     .push_size = sizeof push,
                                     .groups = (squares + GROUP - 1) / GROUP,
                                     .bytes = 2.0 * (double)squares * side * side *
                                              nn_dtype_bytes(src.dtype)});
    return true;
}

/* A copy that writes each element of lines twice, and lines up to four times; false: not one. */
static bool twice(struct nn_rec *r, nn_tensor dst, nn_tensor src, const struct nn_axes *a,
                  uint64_t dst_first, uint64_t src_first)
{
    uint32_t inner = a->rank - 1, side = nn_dtype_bytes(src.dtype) == 4 ? 4 : 8, times = 1;
    struct nn_turn_push push = {.from_base = nn_bind_skip(src, src_first),
                                .to_base = nn_bind_skip(dst, dst_first),
                                .count = 1};
    if (src.dtype != dst.dtype || inner < 1 || a->shape[inner] != 2 || a->from[inner] != 0 ||
        a->to[inner] != 1 || a->from[inner - 1] != 1 || a->to[inner - 1] != 2 ||
        a->shape[inner - 1] % side)
        return false;
    struct nn_axes lines = *a;
    lines.rank = inner - 1;
    if (!multiples(&lines, lines.from, push.from_base, side, inner) ||
        !multiples(&lines, lines.to, push.to_base, side, inner))
        return false;
    uint32_t n = 0;
    for (uint32_t i = 0; i < inner; i++) {
        if (a->from[i] == 0 && a->shape[i] <= 4 && times == 1 && i + 1 < inner) {
            times = a->shape[i];
            push.to_step = a->to[i];
            continue;
        }
        uint32_t unit = i + 1 == inner ? side : 1;
        push.shape[n] = a->shape[i] / unit;
        push.from[n] = a->from[i] * unit;
        push.to[n] = a->to[i] * unit;
        push.count *= push.shape[n++];
    }
    nn_dispatch(r, &(struct nn_call){.shader = "nn/twice",
                                     .spec = {GROUP, n, src.dtype, times},
                                     .nspec = 4,
                                     .bind = {{src, NN_READ_UVEC4, src_first, reach(a, a->from)},
                                              {dst, NN_STORAGE, dst_first, reach(a, a->to)}},
                                     .nbind = 2,
                                     .push = &push,
                                     .push_size = sizeof push,
                                     .groups = (push.count + GROUP - 1) / GROUP,
                                     .bytes = (1.0 + 2.0 * times) * push.count * side *
                                              nn_dtype_bytes(src.dtype)});
    return true;
}

static void copy_part(struct nn_rec *r, nn_tensor dst, nn_tensor src, const struct nn_axes *a,
                      uint64_t dst_first, uint64_t src_first, bool packed)
{
    uint64_t count = 1;
    struct nn_copy_push push = {.from_base = nn_bind_skip(src, src_first),
                                .to_base = nn_bind_skip(dst, dst_first)};
    for (uint32_t i = 0; i < a->rank; i++)
        count *= a->shape[i];
    uint32_t mode = packed ? NN_COPY_PACKED : write_mode(a, dst, push.to_base);
    uint32_t unit = mode <= NN_COPY_FOUR ? 4 : mode == NN_COPY_PAIR ? 2 : 1;
    uint32_t inner = a->rank - 1, from = NN_EW_SINGLE;
    if (unit == 4 && in_runs_of(a, a->from, push.from_base, 4))
        from = NN_EW_FOUR;
    else if (a->from[inner] == 0 && a->shape[inner] % unit == 0)
        from = NN_EW_SPLAT;
    uint64_t units = (count + unit - 1) / unit, group = GROUP * NN_COPY_UNROLL;
    memcpy(push.shape, a->shape, sizeof push.shape);
    memcpy(push.from, a->from, sizeof push.from);
    memcpy(push.to, a->to, sizeof push.to);
    push.count = (uint32_t)count;
    nn_dispatch(r, &(struct nn_call){.shader = "nn/copy",
                                     .spec = {GROUP, mode, a->rank, from, src.dtype, dst.dtype},
                                     .nspec = 6,
                                     .bind = {{src, from == NN_EW_FOUR ? NN_WORDS4 : NN_WORDS1,
                                               src_first, reach(a, a->from)},
                                              {dst, NN_STORAGE, dst_first, reach(a, a->to)}},
                                     .nbind = 2,
                                     .push = &push,
                                     .push_size = sizeof push,
                                     .groups = (units + group - 1) / group,
                                     .bytes = (double)count * (nn_dtype_bytes(src.dtype) +
                                                               nn_dtype_bytes(dst.dtype))});
}

/* Cuts the slowest axes until each part of dst fits a binding. `owned`: dst's tail up to the next
 * multiple of 16 bytes may be written. */
static void copy_axes(struct nn_rec *r, nn_tensor dst, nn_tensor src, const struct nn_axes *a,
                      uint64_t dst_first, uint64_t src_first, bool owned)
{
    uint64_t most = nn_storage_max(r) - NN_ALIGN, size = nn_dtype_bytes(dst.dtype);
    if (reach(a, a->to) * size > most && a->rank) {
        struct nn_axes part = *a;
        uint32_t slow = 0; /* the axis of the widest stride on the side written */
        for (uint32_t i = 1; i < a->rank; i++)
            slow = a->to[i] > a->to[slow] || (a->shape[slow] == 1 && a->shape[i] > 1) ? i : slow;
        uint32_t half = a->shape[slow] / 2;
        part.shape[slow] = half;
        copy_axes(r, dst, src, &part, dst_first, src_first, false);
        part.shape[slow] = a->shape[slow] - half;
        copy_axes(r, dst, src, &part, dst_first + (uint64_t)half * a->to[slow],
                  src_first + (uint64_t)half * a->from[slow], false);
        return;
    }
    uint64_t count = 1;
    for (uint32_t i = 0; i < a->rank; i++)
        count *= a->shape[i];
    bool packed = writes_packed(a) && (dst.offset + dst_first * size) % NN_ALIGN == 0 &&
                  (owned || count % 4 == 0);
    if (!turn(r, dst, src, a, dst_first, src_first) &&
        !twice(r, dst, src, a, dst_first, src_first))
        copy_part(r, dst, src, a, dst_first, src_first, packed);
}

void nn_copy_axes(struct nn_rec *r, nn_tensor dst, nn_tensor src, const struct nn_axes *axes,
                  bool owned)
{
    struct nn_axes a = *axes;
    if (nn_failed(r) || nn_is_null(dst) || nn_is_null(src))
        return;
    if ((src.dtype == NN_I32) != (dst.dtype == NN_I32)) {
        nn_fail(r, FV_EINVALID, "indices are not converted");
        return;
    }
    if (!a.rank) {
        a.shape[0] = 1;
        a.from[0] = a.to[0] = 1;
        a.rank = 1;
    }
    copy_axes(r, dst, src, &a, 0, 0, owned);
}

/* Axes of dst from slowest to fastest in its memory, against src expanded to dst's shape. */
static struct nn_axes axes_between(nn_tensor dst, nn_tensor src)
{
    struct nn_axes a = {0};
    uint32_t order[NN_MAX_RANK];
    for (uint32_t i = 0; i < dst.rank; i++) {
        uint32_t at = i;
        for (; at > 0 && dst.stride[order[at - 1]] < dst.stride[i] && dst.shape[i] != 1; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
    for (uint32_t i = 0; i < dst.rank; i++)
        nn_axis(&a, dst.shape[order[i]], src.stride[order[i]], dst.stride[order[i]]);
    return a;
}

void nn_copy(struct nn_rec *r, nn_tensor dst, nn_tensor x)
{
    if (!nn_op(r, "nn_copy", 2, (nn_tensor[]){dst, x}))
        return;
    x = nn_expand(r, x, dst.rank, dst.shape);
    if (!nn_is_null(x)) {
        struct nn_axes a = axes_between(dst, x);
        nn_copy_axes(r, dst, x, &a, false);
    }
    nn_op_end(r, (nn_tensor){0});
}

void nn_zero(struct nn_rec *r, nn_tensor dst)
{
    if (!nn_op(r, "nn_zero", 1, &dst))
        return;
    nn_tensor zero = nn_new(r, dst.dtype, 1, (uint32_t[]){64});
    nn_fill_words(r, zero, 0);
    nn_copy(r, dst, zero.rank ? nn_slice(r, zero, 0, 0, 1) : zero);
    nn_op_end(r, (nn_tensor){0});
}

/* A copy of x in a new tensor like `like`, converted. */
static nn_tensor copy_like(struct nn_rec *r, nn_tensor like, enum nn_dtype dtype, nn_tensor x)
{
    nn_tensor y = nn_out_like(r, dtype, like);
    if (nn_is_null(y))
        return y;
    struct nn_axes a = axes_between(y, x);
    nn_copy_axes(r, y, x, &a, true);
    return y;
}

static nn_tensor packed_shape(nn_tensor x)
{
    return nn_over(NULL, 0, x.dtype, x.rank, x.shape);
}

nn_tensor nn_pack(struct nn_rec *r, nn_tensor x)
{
    if (!nn_op(r, "nn_pack", 1, &x))
        return (nn_tensor){0};
    if (!nn_is_packed(x) || x.offset % 16)
        x = copy_like(r, packed_shape(x), x.dtype, x);
    return nn_op_end(r, x);
}

nn_tensor nn_dense_any(struct nn_rec *r, nn_tensor t)
{
    if (nn_failed(r) || nn_is_null(t) || (nn_is_packed(t) && t.offset % NN_ALIGN == 0))
        return t;
    struct nn_axes a;
    nn_tensor y = nn_new(r, t.dtype, t.rank, t.shape);
    if (nn_is_null(y))
        return y;
    a = axes_between(y, t);
    nn_copy_axes(r, y, t, &a, true);
    return y;
}

nn_tensor nn_dense(struct nn_rec *r, nn_tensor t)
{
    if (t.dtype != NN_BF16)
        return nn_dense_any(r, t);
    nn_tensor y = nn_new(r, NN_F32, t.rank, t.shape);
    if (nn_is_null(y))
        return y;
    struct nn_axes a = axes_between(y, t);
    nn_copy_axes(r, y, t, &a, true);
    return y;
}

nn_tensor nn_channels_last(struct nn_rec *r, nn_tensor x)
{
    if (!nn_op(r, "nn_channels_last", 1, &x))
        return (nn_tensor){0};
    nn_tensor like = packed_shape(x);
    if (x.rank < 2)
        return nn_op_end(r, nn_fail(r, FV_EINVALID, "there is no axis of channels"));
    uint32_t step = x.shape[1];
    like.stride[1] = 1;
    for (uint32_t i = x.rank; i-- > 2; step *= x.shape[i])
        like.stride[i] = step;
    like.stride[0] = step;
    bool same = x.offset % 16 == 0;
    for (uint32_t i = 0; i < x.rank; i++)
        same = same && (x.shape[i] == 1 || x.stride[i] == like.stride[i]);
    return nn_op_end(r, same ? x : copy_like(r, like, x.dtype, x));
}

nn_tensor nn_concat(struct nn_rec *r, int axis, const nn_tensor *list, uint32_t n)
{
    char a[NN_TEXT], b[NN_TEXT];
    if (!n || !nn_op(r, "nn_concat", n, list))
        return n ? (nn_tensor){0} : nn_fail(r, FV_EINVALID, "nn_concat of nothing");
    uint32_t ax = (uint32_t)(axis < 0 ? axis + (int)list[0].rank : axis);
    nn_tensor shape = list[0];
    bool ok = ax < shape.rank;
    for (uint32_t i = 1; i < n && ok; i++) {
        nn_tensor t = list[i];
        ok = t.rank == shape.rank && t.dtype == shape.dtype;
        if (ok) {
            uint32_t len = t.shape[ax];
            t.shape[ax] = list[0].shape[ax];
            ok = nn_same_shape(t, list[0]);
            shape.shape[ax] += len;
        }
        if (!ok)
            nn_fail(r, FV_EINVALID, "%s and %s along axis %d", nn_text(a, list[0]),
                    nn_text(b, list[i]), axis);
    }
    if (ax >= list[0].rank)
        nn_fail(r, FV_EINVALID, "axis %d of %s", axis, nn_text(a, list[0]));
    if (nn_failed(r))
        return nn_op_end(r, (nn_tensor){0});
    nn_tensor y = nn_out(r, shape.dtype, shape.rank, shape.shape);
    for (uint32_t i = 0, at = 0; i < n && !nn_is_null(y); at += list[i++].shape[ax])
        nn_copy(r, nn_slice(r, y, (int)ax, at, list[i].shape[ax]), list[i]);
    return nn_op_end(r, y);
}

nn_tensor nn_repeat(struct nn_rec *r, nn_tensor x, int axis, uint32_t times)
{
    char text[NN_TEXT];
    if (!nn_op(r, "nn_repeat", 1, &x))
        return (nn_tensor){0};
    uint32_t ax = (uint32_t)(axis < 0 ? axis + (int)x.rank : axis), shape[NN_MAX_RANK];
    if (ax >= x.rank || !times)
        return nn_op_end(
            r, nn_fail(r, FV_EINVALID, "axis %d of %s, %u times", axis, nn_text(text, x), times));
    memcpy(shape, x.shape, sizeof shape);
    shape[ax] *= times;
    nn_tensor y = nn_out(r, x.dtype, x.rank, shape);
    struct nn_axes a = {0};
    for (uint32_t i = 0; i < x.rank; i++) {
        nn_axis(&a, x.shape[i], x.stride[i], i == ax ? times * y.stride[i] : y.stride[i]);
        if (i == ax)
            nn_axis(&a, times, 0, y.stride[i]);
    }
    nn_copy_axes(r, y, x, &a, true);
    return nn_op_end(r, y);
}

/* ---- padding ----------------------------------------------------------------------------- */

static uint32_t value_bits(float value, enum nn_dtype d)
{
    if (d == NN_F16)
        return fv_f32_to_f16(value);
    if (d == NN_BF16)
        return fv_f32_to_bf16(value);
    return d == NN_I32 ? (uint32_t)(int32_t)value : fv_f32_bits(value);
}

nn_tensor nn_pad(struct nn_rec *r, nn_tensor x, const uint32_t *before, const uint32_t *after,
                 enum nn_pad_mode mode, float value)
{
    char text[NN_TEXT];
    uint32_t shape[NN_MAX_RANK];
    struct nn_pad_push push = {.value = value_bits(value, x.dtype)};
    if (!nn_op(r, "nn_pad", 1, &x))
        return (nn_tensor){0};
    uint32_t axes = 0;
    bool plain = false; /* the axis before in memory order is not padded */
    for (uint32_t k = x.rank; k-- > 0;) {
        bool padded = before[k] || after[k];
        shape[k] = x.shape[k] + before[k] + after[k];
        if (mode == NN_PAD_REFLECT && (before[k] >= x.shape[k] || after[k] >= x.shape[k]))
            nn_fail(r, FV_EINVALID, "%u and %u mirrored elements beside axis %u of %s", before[k],
                    after[k], k, nn_text(text, x));
        if (axes && plain && !padded) { /* one axis with it */
            push.from[NN_RANK - axes] *= x.shape[k];
            push.shape[NN_RANK - axes] *= shape[k];
            continue;
        }
        uint32_t i = NN_RANK - ++axes;
        push.from[i] = x.shape[k];
        push.before[i] = before[k];
        push.shape[i] = shape[k];
        plain = !padded;
    }
    x = nn_dense_any(r, x);
    nn_tensor y = nn_failed(r) ? (nn_tensor){0} : nn_out(r, x.dtype, x.rank, shape);
    if (nn_is_null(y))
        return nn_op_end(r, y);
    uint64_t count = nn_count(y), part = nn_storage_max(r) / 8;
    for (uint64_t at = 0; at < count; at += part) {
        uint64_t n = count - at < part ? count - at : part;
        push.begin = (uint32_t)at;
        push.count = (uint32_t)((n + 3) / 4);
        nn_dispatch(r, &(struct nn_call){.shader = "nn/pad",
                                         .spec = {GROUP, mode, x.dtype, axes, push.shape[NN_RANK - 1] >= 4},
                                         .nspec = 5,
                                         .bind = {{x, NN_WORDS1}, {y, NN_STORAGE, at, n}},
                                         .nbind = 2,
                                         .push = &push,
                                         .push_size = sizeof push,
                                         .groups = (push.count + GROUP - 1) / GROUP,
                                         .bytes = (double)nn_bytes(x) + (double)nn_bytes(y)});
    }
    return nn_op_end(r, y);
}

/* ---- channels and space ------------------------------------------------------------------ */

/* Rank 5 with T = 1 for images; false, with the failure stored, for other ranks. */
static bool as_video(struct nn_rec *r, nn_tensor *x)
{
    char text[NN_TEXT];
    if (x->rank == 4)
        *x = nn_unsqueeze(r, *x, 2);
    else if (x->rank != 5)
        nn_fail(r, FV_EINVALID, "%s is not [N, C, T, H, W] or [N, C, H, W]", nn_text(text, *x));
    return !nn_failed(r);
}

/* One axis of space as (place, part of a cell), the parts by channels on the deep side: both ways
 * of depth_to_space and patches are copies over N, C, T, fT, H, fH, W, fW. */
struct cells {
    uint32_t n, c, size[3], f[3];                   /* size: of the deep side */
    uint32_t deep_n, deep_c, deep_f[3], deep_at[3]; /* strides */
    uint32_t flat_n, flat_c, flat_at[3];            /* of the wide side; a part's is its axis' */
};

static void move_cells(struct nn_rec *r, nn_tensor dst, nn_tensor src, const struct cells *k,
                       bool to_deep)
{
    /* from slowest to fastest of the side written */
    struct nn_axes a = {0};
#define AXIS(len, deep, flat) nn_axis(&a, len, to_deep ? (flat) : (deep), to_deep ? (deep) : (flat))
    AXIS(k->n, k->deep_n, k->flat_n);
    AXIS(k->c, k->deep_c, k->flat_c);
    for (int i = 0; i < 3; i++) {
        AXIS(k->size[i], k->deep_at[i], k->flat_at[i] * k->f[i]);
        AXIS(k->f[i], k->deep_f[i], k->flat_at[i]);
    }
#undef AXIS
    nn_sort_axes(&a);
    nn_copy_axes(r, dst, src, &a, true);
}

void nn_sort_axes(struct nn_axes *a)
{
    struct nn_axes in = *a;
    a->rank = 0;
    for (uint32_t i = 0; i < in.rank; i++) { /* insertion sort by the stride written */
        uint32_t at = i, n = in.shape[i], from = in.from[i], to = in.to[i];
        for (; at > 0 && in.to[at - 1] < to; at--) {
            in.shape[at] = in.shape[at - 1];
            in.from[at] = in.from[at - 1];
            in.to[at] = in.to[at - 1];
        }
        in.shape[at] = n;
        in.from[at] = from;
        in.to[at] = to;
    }
    for (uint32_t i = 0; i < in.rank; i++)
        nn_axis(a, in.shape[i], in.from[i], in.to[i]);
}

static void part_strides(struct cells *k, uint32_t channel, bool c_last)
{
    uint32_t many = k->f[0] * k->f[1] * k->f[2], part = c_last ? channel * k->c : channel;
    k->deep_c = c_last ? channel : channel * many;
    for (int i = 3; i-- > 0; part *= k->f[i])
        k->deep_f[i] = part;
}

static void wide_strides(struct cells *k, nn_tensor t)
{
    k->flat_n = t.stride[0];
    k->flat_c = t.stride[1];
    memcpy(k->flat_at, t.stride + 2, sizeof k->flat_at);
}

static nn_tensor shuffle(struct nn_rec *r, const char *name, nn_tensor x, const uint32_t f[3],
                         bool c_last, bool to_deep)
{
    char text[NN_TEXT];
    if (!nn_op(r, name, 1, &x))
        return (nn_tensor){0};
    uint32_t rank = x.rank, many = f[0] * f[1] * f[2], shape[5];
    if (!as_video(r, &x))
        return nn_op_end(r, (nn_tensor){0});
    bool ok = many > 0 && (rank == 5 || f[0] == 1) && (to_deep || x.shape[1] % many == 0);
    for (int i = 0; i < 3 && ok && to_deep; i++)
        ok = x.shape[2 + i] % f[i] == 0;
    if (!ok)
        return nn_op_end(r, nn_fail(r, FV_EINVALID, "factors %u, %u, %u of %s", f[0], f[1], f[2],
                                    nn_text(text, x)));
    struct cells k = {.n = x.shape[0], .c = to_deep ? x.shape[1] : x.shape[1] / many};
    shape[0] = k.n;
    shape[1] = to_deep ? k.c * many : k.c;
    for (int i = 0; i < 3; i++) {
        k.f[i] = f[i];
        k.size[i] = to_deep ? x.shape[2 + i] / f[i] : x.shape[2 + i];
        shape[2 + i] = to_deep ? k.size[i] : k.size[i] * f[i];
    }
    nn_tensor y = rank == 5
                      ? nn_out(r, x.dtype, 5, shape)
                      : nn_out(r, x.dtype, 4, (uint32_t[]){shape[0], shape[1], shape[3], shape[4]});
    if (nn_is_null(y))
        return nn_op_end(r, y);
    nn_tensor y5 = nn_as(y, 5, shape), deep = to_deep ? y5 : x;
    k.deep_n = deep.stride[0];
    part_strides(&k, deep.stride[1], c_last);
    memcpy(k.deep_at, deep.stride + 2, sizeof k.deep_at);
    wide_strides(&k, to_deep ? x : y5);
    move_cells(r, y5, x, &k, to_deep);
    return nn_op_end(r, y);
}

nn_tensor nn_depth_to_space(struct nn_rec *r, nn_tensor x, const uint32_t f[3], bool c_last)
{
    return shuffle(r, "nn_depth_to_space", x, f, c_last, false);
}

nn_tensor nn_space_to_depth(struct nn_rec *r, nn_tensor x, const uint32_t f[3], bool c_last)
{
    return shuffle(r, "nn_space_to_depth", x, f, c_last, true);
}

/* Tokens t [N, tokens, features] against a video v [N, C, T, H, W]. */
static void patches(struct nn_rec *r, nn_tensor t, nn_tensor v, const uint32_t p[3], bool c_last,
                    bool to_tokens)
{
    struct cells k = {.n = v.shape[0], .c = v.shape[1], .deep_n = t.stride[0]};
    for (int i = 0; i < 3; i++) {
        k.f[i] = p[i];
        k.size[i] = v.shape[2 + i] / p[i];
    }
    part_strides(&k, t.stride[2], c_last);
    k.deep_at[2] = t.stride[1];
    k.deep_at[1] = k.deep_at[2] * k.size[2];
    k.deep_at[0] = k.deep_at[1] * k.size[1];
    wide_strides(&k, v);
    move_cells(r, to_tokens ? t : v, to_tokens ? v : t, &k, to_tokens);
}

nn_tensor nn_patchify(struct nn_rec *r, nn_tensor x, const uint32_t p[3], bool c_last)
{
    char text[NN_TEXT];
    uint32_t n = 1;
    if (!nn_op(r, "nn_patchify", 1, &x))
        return (nn_tensor){0};
    bool ok = as_video(r, &x);
    for (int i = 0; i < 3 && ok; i++) {
        ok = p[i] && x.shape[2 + i] % p[i] == 0;
        n *= ok ? x.shape[2 + i] / p[i] : 1;
    }
    if (!ok)
        return nn_op_end(r, nn_fail(r, FV_EINVALID, "patches of %u x %u x %u of %s (pad it first)",
                                    p[0], p[1], p[2], nn_text(text, x)));
    nn_tensor y = nn_out(r, x.dtype, NN_SHAPE(x.shape[0], n, x.shape[1] * p[0] * p[1] * p[2]));
    if (!nn_is_null(y))
        patches(r, y, x, p, c_last, true);
    return nn_op_end(r, y);
}

nn_tensor nn_unpatchify(struct nn_rec *r, nn_tensor x, const uint32_t p[3], const uint32_t size[3],
                        bool c_last)
{
    char text[NN_TEXT];
    uint32_t n = 1, many = p[0] * p[1] * p[2];
    if (!nn_op(r, "nn_unpatchify", 1, &x))
        return (nn_tensor){0};
    bool ok = x.rank == 3 && many && x.shape[2] % many == 0;
    for (int i = 0; i < 3 && ok; i++) {
        ok = size[i] % p[i] == 0;
        n *= size[i] / p[i];
    }
    if (!ok || n != x.shape[1])
        return nn_op_end(r, nn_fail(r, FV_EINVALID, "%s as patches of %u x %u x %u of %u x %u x %u",
                                    nn_text(text, x), p[0], p[1], p[2], size[0], size[1], size[2]));
    nn_tensor y =
        nn_out(r, x.dtype, NN_SHAPE(x.shape[0], x.shape[2] / many, size[0], size[1], size[2]));
    if (!nn_is_null(y))
        patches(r, x, y, p, c_last, false);
    return nn_op_end(r, y);
}

/* ---- benchmark --------------------------------------------------------------------------- */

/* p: tokens, heads, features of a head: [tokens, heads, d] to [heads, tokens, d]. */
static void bench_heads(struct nn_rec *r, const struct nn_bench_row *row)
{
    nn_tensor x = nn_bench_input(r, row->dtype, 3, row->p);
    nn_pack(r, nn_permute(r, x, NN_ORDER(1, 0, 2)));
}

/* p: N, C, H, W. */
static void bench_channels(struct nn_rec *r, const struct nn_bench_row *row)
{
    nn_channels_last(r, nn_bench_input(r, row->dtype, 4, row->p));
}

static void bench_concat(struct nn_rec *r, const struct nn_bench_row *row)
{
    nn_tensor x = nn_bench_input(r, row->dtype, 4, row->p);
    nn_concat(r, 1, (nn_tensor[]){x, x}, 2);
}

static void bench_pad(struct nn_rec *r, const struct nn_bench_row *row)
{
    nn_tensor x = nn_bench_input(r, row->dtype, 4, row->p);
    nn_pad(r, x, (uint32_t[]){0, 0, 1, 1}, (uint32_t[]){0, 0, 1, 1}, NN_PAD_ZERO, 0);
}

const struct nn_bench_row nn_bench_layout[] = {
    {"permute heads", "4096x16x72 f32", bench_heads, {4096, 16, 72}, NN_F32, 0},
    {"channels last", "1x128x128x128 f32", bench_channels, {1, 128, 128, 128}, NN_F32, 0},
    {"channels last", "1x128x128x128 f16", bench_channels, {1, 128, 128, 128}, NN_F16, 0},
    {"concat", "2 of 1x64x128x128 f32", bench_concat, {1, 64, 128, 128}, NN_F32, 0},
    {"pad", "1x64x128x128 by 1 f32", bench_pad, {1, 64, 128, 128}, NN_F32, 0},
    {0}};
