/* References of resampling, pooling, means and softmax (ref.h). */
#include "ref/ref.h"

#include <math.h>
#include <string.h>

/* Value at fractional places of the last `axes` axes, edges repeated. */
static double interpolated(const struct ref *t, const uint32_t *index, const double *at,
                           uint32_t axis)
{
    uint32_t i[5];
    memcpy(i, index, sizeof i);
    if (axis >= t->rank || axis >= 5)
        return *ref_at(t, i);
    double whole = floor(at[axis]), part = at[axis] - whole;
    uint32_t last = t->shape[axis] - 1;
    i[axis] = (uint32_t)whole;
    double a = interpolated(t, i, at, axis + 1);
    i[axis] = (uint32_t)whole < last ? (uint32_t)whole + 1 : last;
    return part == 0 ? a : a * (1 - part) + part * interpolated(t, i, at, axis + 1);
}

struct ref ref_upsample(const struct ref *t, const uint32_t f[3], int linear)
{
    uint32_t shape[5], i[5] = {0}, from[5] = {0};
    double at[5] = {0};
    memcpy(shape, t->shape, sizeof shape);
    for (uint32_t k = 2; k < t->rank; k++)
        shape[k] *= f[k + 3 - t->rank];
    struct ref out = ref_new(t->rank, shape);
    do {
        for (uint32_t k = 0; k < t->rank; k++) {
            uint32_t by = k < 2 ? 1 : f[k + 3 - t->rank];
            from[k] = i[k] / by;
            at[k] = linear && k >= 2 ? fmax((i[k] + 0.5) / by - 0.5, 0) : from[k];
        }
        *ref_at(&out, i) = linear ? interpolated(t, from, at, 2) : *ref_at(t, from);
    } while (ref_next(&out, i));
    return out;
}

static int folded(int at, int n, int mode, int *inside)
{
    *inside = *inside && (mode != 0 || (at >= 0 && at < n));
    if (mode == 2)
        at = at < 0 ? -at : at >= n ? 2 * n - 2 - at : at;
    return at < 0 ? 0 : at >= n ? n - 1 : at;
}

struct ref ref_avg_pool(const struct ref *t, const uint32_t kernel[3], const uint32_t stride[3],
                        uint32_t pad[3][2], const int mode[3])
{
    uint32_t shape[5], i[5] = {0};
    memcpy(shape, t->shape, sizeof shape);
    for (int k = 0; k < 3; k++)
        shape[2 + k] = (t->shape[2 + k] + pad[k][0] + pad[k][1] - kernel[k]) / stride[k] + 1;
    struct ref out = ref_new(5, shape);
    do {
        double sum = 0;
        uint32_t window[5] = {0}, from[5] = {i[0], i[1]};
        struct ref cells = {.rank = 3, .shape = {kernel[0], kernel[1], kernel[2]}};
        do {
            int inside = 1;
            for (int k = 0; k < 3; k++)
                from[2 + k] =
                    (uint32_t)folded((int)(i[2 + k] * stride[k] + window[k]) - (int)pad[k][0],
                                     (int)t->shape[2 + k], mode[k], &inside);
            sum += inside ? *ref_at(t, from) : 0;
        } while (ref_next(&cells, window));
        *ref_at(&out, i) = sum / (double)ref_count(&cells);
    } while (ref_next(&out, i));
    return out;
}

struct ref ref_mean(const struct ref *t, uint32_t axis)
{
    uint32_t shape[5], i[5] = {0}, to[5];
    memcpy(shape, t->shape, sizeof shape);
    shape[axis] = 1;
    struct ref out = ref_new(t->rank, shape);
    do {
        memcpy(to, i, sizeof to);
        to[axis] = 0;
        *ref_at(&out, to) += *ref_at(t, i) / t->shape[axis];
    } while (ref_next(t, i));
    return out;
}

struct ref ref_softmax(const struct ref *t, double scale)
{
    struct ref out = ref_clone(t);
    uint32_t n = t->shape[t->rank - 1];
    for (size_t row = 0; row < ref_count(t) / n; row++) {
        double *v = out.v + row * n, top = -INFINITY, sum = 0;
        for (uint32_t i = 0; i < n; i++)
            top = fmax(top, v[i] * scale);
        for (uint32_t i = 0; i < n; i++)
            sum += v[i] = exp(v[i] * scale - top);
        for (uint32_t i = 0; i < n; i++)
            v[i] /= sum;
    }
    return out;
}
