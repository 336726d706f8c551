/* References of moving elements about (ref.h): one element at a time, by index. */
#include "ref/ref.h"

#include <string.h>

struct ref ref_permute(const struct ref *t, const int *order)
{
    uint32_t shape[5], i[5] = {0}, from[5];
    for (uint32_t k = 0; k < t->rank; k++)
        shape[k] = t->shape[order[k]];
    struct ref out = ref_new(t->rank, shape);
    do {
        for (uint32_t k = 0; k < t->rank; k++)
            from[order[k]] = i[k];
        *ref_at(&out, i) = *ref_at(t, from);
    } while (ref_next(&out, i));
    return out;
}

struct ref ref_slice(const struct ref *t, uint32_t axis, uint32_t first, uint32_t count)
{
    uint32_t shape[5], i[5] = {0}, from[5];
    memcpy(shape, t->shape, sizeof shape);
    shape[axis] = count;
    struct ref out = ref_new(t->rank, shape);
    do {
        memcpy(from, i, sizeof from);
        from[axis] += first;
        *ref_at(&out, i) = *ref_at(t, from);
    } while (ref_next(&out, i));
    return out;
}

struct ref ref_concat(uint32_t axis, const struct ref *list, uint32_t n)
{
    uint32_t shape[5], at = 0;
    memcpy(shape, list[0].shape, sizeof shape);
    shape[axis] = 0;
    for (uint32_t k = 0; k < n; k++)
        shape[axis] += list[k].shape[axis];
    struct ref out = ref_new(list[0].rank, shape);
    for (uint32_t k = 0; k < n; at += list[k++].shape[axis]) {
        uint32_t i[5] = {0}, to[5];
        do {
            memcpy(to, i, sizeof to);
            to[axis] += at;
            *ref_at(&out, to) = *ref_at(&list[k], i);
        } while (ref_next(&list[k], i));
    }
    return out;
}

struct ref ref_repeat(const struct ref *t, uint32_t axis, uint32_t times)
{
    uint32_t shape[5], i[5] = {0}, from[5];
    memcpy(shape, t->shape, sizeof shape);
    shape[axis] *= times;
    struct ref out = ref_new(t->rank, shape);
    do {
        memcpy(from, i, sizeof from);
        from[axis] /= times;
        *ref_at(&out, i) = *ref_at(t, from);
    } while (ref_next(&out, i));
    return out;
}

struct ref ref_pad(const struct ref *t, const uint32_t *before, const uint32_t *after, int mode,
                   double value)
{
    uint32_t shape[5], i[5] = {0}, from[5];
    for (uint32_t k = 0; k < t->rank; k++)
        shape[k] = t->shape[k] + before[k] + after[k];
    struct ref out = ref_new(t->rank, shape);
    do {
        int inside = 1;
        for (uint32_t k = 0; k < t->rank; k++) {
            int n = (int)t->shape[k], at = (int)i[k] - (int)before[k];
            inside = inside && at >= 0 && at < n;
            if (mode == 2 && at < 0)
                at = -at;
            if (mode == 2 && at >= n)
                at = 2 * n - 2 - at;
            from[k] = (uint32_t)(at < 0 ? 0 : at >= n ? n - 1 : at);
        }
        *ref_at(&out, i) = mode == 0 && !inside ? value : *ref_at(t, from);
    } while (ref_next(&out, i));
    return out;
}

struct ref ref_depth_to_space(const struct ref *t, const uint32_t f[3], int c_last)
{
    uint32_t many = f[0] * f[1] * f[2], c = t->shape[1] / many, i[5] = {0};
    uint32_t shape[5] = {t->shape[0], c, t->shape[2] * f[0], t->shape[3] * f[1],
                         t->shape[4] * f[2]};
    struct ref out = ref_new(5, shape);
    do {
        uint32_t sub = ((i[2] % f[0]) * f[1] + i[3] % f[1]) * f[2] + i[4] % f[2];
        uint32_t from[5] = {i[0], c_last ? sub * c + i[1] : i[1] * many + sub, i[2] / f[0],
                            i[3] / f[1], i[4] / f[2]};
        *ref_at(&out, i) = *ref_at(t, from);
    } while (ref_next(&out, i));
    return out;
}

struct ref ref_patchify(const struct ref *t, const uint32_t p[3], int c_last)
{
    uint32_t c = t->shape[1], h = t->shape[3] / p[1], w = t->shape[4] / p[2], i[5] = {0};
    uint32_t many = p[0] * p[1] * p[2];
    uint32_t shape[3] = {t->shape[0], t->shape[2] / p[0] * h * w, c * many};
    struct ref out = ref_new(3, shape);
    do {
        uint32_t sub = ((i[2] % p[0]) * p[1] + i[3] % p[1]) * p[2] + i[4] % p[2];
        uint32_t to[3] = {i[0], (i[2] / p[0] * h + i[3] / p[1]) * w + i[4] / p[2],
                          c_last ? sub * c + i[1] : i[1] * many + sub};
        *ref_at(&out, to) = *ref_at(t, i);
    } while (ref_next(t, i));
    return out;
}
