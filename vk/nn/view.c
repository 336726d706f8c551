/* Views (nn.h): other shapes and strides over the same storage. */
#include "vk/nn/private.h"

#include <string.h>

static nn_tensor bad(struct nn_rec *r, const char *what, nn_tensor t)
{
    char text[NN_TEXT];
    return nn_fail(r, FV_EINVALID, "%s of %s", what, nn_text(text, t));
}

/* A negative axis counts from the end; false, with the failure stored, when there is none. */
static bool axis_of(struct nn_rec *r, const char *what, nn_tensor t, int axis, uint32_t *out)
{
    char text[NN_TEXT];
    int a = axis < 0 ? axis + (int)t.rank : axis;
    if (!nn_ready(r))
        return false;
    if (a < 0 || a >= (int)t.rank) {
        nn_fail(r, FV_EINVALID, "%s: axis %d of %s", what, axis, nn_text(text, t));
        return false;
    }
    *out = (uint32_t)a;
    return true;
}

nn_tensor nn_lead(nn_tensor t, uint32_t at, uint32_t rank)
{
    nn_tensor v = t;
    uint32_t more = rank - t.rank;
    v.rank = rank;
    for (uint32_t i = at; i < rank; i++) {
        bool own = i >= at + more;
        v.shape[i] = own ? t.shape[i - more] : 1;
        v.stride[i] = own ? t.stride[i - more] : 0;
    }
    return v;
}

bool nn_fits(struct nn_rec *r, const char *name, nn_tensor t, uint64_t n)
{
    char text[NN_TEXT];
    if (nn_is_null(t) || (nn_count(t) == n && t.dtype != NN_I32))
        return true;
    nn_fail(r, FV_EINVALID, "%s is %s, expected [%llu]", name, nn_text(text, t),
            (unsigned long long)n);
    return false;
}

/* The strides that show t's elements under another shape of as many, if there are any: each run of
 * new axes must lie within a run of old ones that are contiguous among themselves. */
static bool restride(nn_tensor t, uint32_t rank, const uint32_t *shape, uint32_t *stride)
{
    uint32_t new_axis = rank;
    for (uint32_t end = t.rank; end > 0;) {
        uint32_t begin = end - 1, step = t.stride[begin];
        uint64_t n = t.shape[begin];
        while (begin > 0 &&
               (t.shape[begin - 1] == 1 || n == 1 || t.stride[begin - 1] == (uint64_t)step * n)) {
            begin--;
            step = n == 1 ? t.stride[begin] : step;
            n *= t.shape[begin];
        }
        uint64_t left = n, at = step;
        while (new_axis > 0 && left % shape[new_axis - 1] == 0 &&
               (left > 1 || shape[new_axis - 1] == 1)) {
            new_axis--;
            stride[new_axis] = (uint32_t)at;
            at *= shape[new_axis];
            left /= shape[new_axis];
        }
        if (left != 1)
            return false;
        end = begin;
    }
    return new_axis == 0;
}

nn_tensor nn_reshape(struct nn_rec *r, nn_tensor t, uint32_t rank, const uint32_t *shape)
{
    char text[NN_TEXT], want[NN_TEXT];
    uint64_t known = 1;
    nn_tensor out = t;
    if (!nn_ready(r))
        return (nn_tensor){0};
    if (nn_is_null(t) || !rank || rank > NN_MAX_RANK)
        return bad(r, "reshape to no rank from 1 to 5", t);
    for (uint32_t i = 0; i < rank; i++)
        known *= shape[i] == NN_REST ? 1 : shape[i];
    out.rank = rank;
    for (uint32_t i = 0; i < NN_MAX_RANK; i++)
        out.shape[i] = i >= rank                           ? 0
                       : shape[i] != NN_REST               ? shape[i]
                       : known && nn_count(t) % known == 0 ? (uint32_t)(nn_count(t) / known)
                                                           : 0;
    if (nn_count(out) != nn_count(t))
        return nn_fail(r, FV_EINVALID, "reshape of %s to %s", nn_text(text, t), nn_text(want, out));
    memset(out.stride, 0, sizeof out.stride);
    if (restride(t, rank, out.shape, out.stride))
        return out;
    t = nn_pack(r, t);
    return nn_is_null(t) ? t : nn_as(t, rank, out.shape);
}

nn_tensor nn_slice_step(struct nn_rec *r, nn_tensor t, int axis, uint32_t first, uint32_t step)
{
    uint32_t a;
    if (!axis_of(r, "slice", t, axis, &a))
        return (nn_tensor){0};
    if (first >= t.shape[a] || !step)
        return bad(r, "slice beyond the end", t);
    t.offset += (uint64_t)first * t.stride[a] * nn_dtype_bytes(t.dtype);
    t.shape[a] = (t.shape[a] - first + step - 1) / step;
    t.stride[a] *= step;
    return t;
}

nn_tensor nn_slice(struct nn_rec *r, nn_tensor t, int axis, uint32_t first, uint32_t count)
{
    char text[NN_TEXT];
    uint32_t a;
    if (!axis_of(r, "slice", t, axis, &a))
        return (nn_tensor){0};
    if (!count || first > t.shape[a] || count > t.shape[a] - first)
        return nn_fail(r, FV_EINVALID, "slice: %u from %u on of axis %d of %s", count, first, axis,
                       nn_text(text, t));
    t.offset += (uint64_t)first * t.stride[a] * nn_dtype_bytes(t.dtype);
    t.shape[a] = count;
    return t;
}

nn_tensor nn_permute(struct nn_rec *r, nn_tensor t, const int *order)
{
    nn_tensor out = t;
    uint32_t seen = 0, a = 0;
    for (uint32_t i = 0; i < t.rank; i++) {
        if (!axis_of(r, "permute", t, order[i], &a))
            return (nn_tensor){0};
        seen |= 1u << a;
        out.shape[i] = t.shape[a];
        out.stride[i] = t.stride[a];
    }
    if (!nn_ready(r))
        return (nn_tensor){0};
    if (nn_is_null(t) || seen != (1u << t.rank) - 1)
        return bad(r, "permute with an axis twice", t);
    return out;
}

nn_tensor nn_transpose(struct nn_rec *r, nn_tensor t, int first, int second)
{
    uint32_t a, b;
    if (!axis_of(r, "transpose", t, first, &a) || !axis_of(r, "transpose", t, second, &b))
        return (nn_tensor){0};
    nn_tensor out = t;
    out.shape[a] = t.shape[b];
    out.shape[b] = t.shape[a];
    out.stride[a] = t.stride[b];
    out.stride[b] = t.stride[a];
    return out;
}

nn_tensor nn_unsqueeze(struct nn_rec *r, nn_tensor t, int axis)
{
    int a = axis < 0 ? axis + (int)t.rank + 1 : axis;
    if (!nn_ready(r))
        return (nn_tensor){0};
    if (nn_is_null(t) || t.rank == NN_MAX_RANK || a < 0 || a > (int)t.rank)
        return bad(r, "unsqueeze beyond rank 5 or its axes", t);
    for (uint32_t i = t.rank; i > (uint32_t)a; i--) {
        t.shape[i] = t.shape[i - 1];
        t.stride[i] = t.stride[i - 1];
    }
    t.shape[a] = 1;
    t.stride[a] = 0;
    t.rank++;
    return t;
}

nn_tensor nn_squeeze(struct nn_rec *r, nn_tensor t, int axis)
{
    uint32_t a;
    if (!axis_of(r, "squeeze", t, axis, &a))
        return (nn_tensor){0};
    if (t.shape[a] != 1 || t.rank == 1)
        return bad(r, "squeeze of an axis that is not 1", t);
    t.rank--;
    for (uint32_t i = a; i < t.rank; i++) {
        t.shape[i] = t.shape[i + 1];
        t.stride[i] = t.stride[i + 1];
    }
    t.shape[t.rank] = t.stride[t.rank] = 0;
    return t;
}

nn_tensor nn_expand(struct nn_rec *r, nn_tensor t, uint32_t rank, const uint32_t *shape)
{
    char text[NN_TEXT], want[NN_TEXT];
    if (!nn_ready(r))
        return (nn_tensor){0};
    nn_tensor out = nn_over(t.buf, t.offset, t.dtype, rank, shape);
    bool ok = !nn_is_null(t) && rank >= t.rank && rank <= NN_MAX_RANK;
    for (uint32_t i = 0; ok && i < rank; i++) {
        uint32_t have = i + t.rank >= rank ? t.shape[i + t.rank - rank] : 1;
        ok = have == shape[i] || have == 1;
        out.stride[i] = have == 1 ? 0 : t.stride[i + t.rank - rank];
    }
    if (!ok)
        return nn_fail(r, FV_EINVALID, "%s does not repeat to %s", nn_text(text, t),
                       nn_text(want, out));
    return out;
}
