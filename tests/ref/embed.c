/* References of embeddings (ref.h). */
#include "ref/ref.h"

#include <math.h>
#include <string.h>

struct ref ref_embed(const struct ref *ids, const struct ref *table)
{
    uint32_t shape[5], d = table->shape[1];
    memcpy(shape, ids->shape, sizeof shape);
    shape[ids->rank] = d;
    struct ref out = ref_new(ids->rank + 1, shape);
    for (size_t i = 0; i < ref_count(ids); i++)
        for (uint32_t k = 0; k < d; k++)
            out.v[i * d + k] = ids->v[i] >= 0 && ids->v[i] < table->shape[0]
                                   ? table->v[(size_t)ids->v[i] * d + k]
                                   : NAN;
    return out;
}

struct ref ref_timestep(const struct ref *t, uint32_t dim, double period, int sin_first,
                        double shift, double scale)
{
    uint32_t shape[2] = {t->shape[0], dim}, n = dim / 2;
    struct ref out = ref_new(2, shape);
    for (uint32_t i = 0; i < t->shape[0]; i++)
        for (uint32_t j = 0; j < n; j++) {
            double angle = t->v[i] * scale * pow(period, -(double)j / (n - shift));
            out.v[i * dim + (sin_first ? 0 : n) + j] = sin(angle);
            out.v[i * dim + (sin_first ? n : 0) + j] = cos(angle);
        }
    return out;
}

struct ref ref_rope(const struct ref *x, const struct ref *angles, int halves)
{
    struct ref out = ref_clone(x);
    uint32_t i[5] = {0}, pairs = angles->shape[1];
    do {
        uint32_t d = i[3], pair = halves ? d % pairs : d / 2, other[5];
        int second = halves ? d >= pairs : d % 2;
        if (d >= 2 * pairs)
            continue;
        memcpy(other, i, sizeof other);
        other[3] = halves ? (second ? d - pairs : d + pairs) : (second ? d - 1 : d + 1);
        double a = angles->v[i[2] * pairs + pair], v = *ref_at(x, i), w = *ref_at(x, other);
        *ref_at(&out, i) = second ? v * cos(a) + w * sin(a) : v * cos(a) - w * sin(a);
    } while (ref_next(x, i));
    return out;
}
