/* References of norms (norm.h): two passes in double. */
#include "ref/norm.h"

#include <math.h>

struct ref ref_group_stats(const struct ref *x, uint32_t groups, uint32_t span)
{
    uint32_t per = x->shape[1] / groups, i[5] = {0};
    struct ref s = ref_new(4, (uint32_t[]){x->shape[0], x->shape[2] / span, groups, 3});
    do {
        double *t = ref_at(&s, (uint32_t[]){i[0], i[2] / span, i[1] / per, 0});
        t[0]++;
        t[1] += *ref_at(x, i);
    } while (ref_next(x, i));
    for (size_t k = 0; k < ref_count(&s); k += 3)
        s.v[k + 1] /= s.v[k];
    do {
        double *t = ref_at(&s, (uint32_t[]){i[0], i[2] / span, i[1] / per, 0});
        t[2] += (*ref_at(x, i) - t[1]) * (*ref_at(x, i) - t[1]);
    } while (ref_next(x, i));
    return s;
}

struct ref ref_group_norm(const struct ref *x, uint32_t groups, uint32_t span, double eps,
                          const struct ref *weight, const struct ref *bias)
{
    struct ref s = ref_group_stats(x, groups, span), out = ref_clone(x);
    uint32_t per = x->shape[1] / groups, i[5] = {0};
    do {
        double *t = ref_at(&s, (uint32_t[]){i[0], i[2] / span, i[1] / per, 0});
        double v = (*ref_at(x, i) - t[1]) / sqrt(t[2] / t[0] + eps);
        *ref_at(&out, i) = v * (weight ? weight->v[i[1]] : 1) + (bias ? bias->v[i[1]] : 0);
    } while (ref_next(x, i));
    ref_free(&s);
    return out;
}

struct ref ref_row_norm(const struct ref *x, const struct ref_row_norm *o)
{
    struct ref out = ref_clone(x);
    size_t count = ref_count(x), width = x->shape[o->channels ? 1 : x->rank - 1], step = 1;
    size_t rows = count / width;
    for (uint32_t k = 2; o->channels && k < x->rank; k++)
        step *= x->shape[k];
    for (size_t row = 0; row < rows; row++) {
        size_t first = row / step * width * step + row % step;
        double mean = 0, var = 0;
        for (size_t c = 0; c < width && !o->rms; c++)
            mean += x->v[first + c * step] / (double)width;
        for (size_t c = 0; c < width; c++)
            var += pow(x->v[first + c * step] - mean, 2) / (double)width;
        for (size_t c = 0; c < width; c++) {
            double v = (x->v[first + c * step] - mean) / sqrt(var + o->eps);
            v = v * (o->weight ? o->weight->v[c] : 1) + (o->bias ? o->bias->v[c] : 0);
            if (o->scale)
                v *= 1 + o->scale->v[row * (ref_count(o->scale) / width) / rows * width + c];
            if (o->shift)
                v += o->shift->v[row * (ref_count(o->shift) / width) / rows * width + c];
            out.v[first + c * step] = v;
        }
    }
    return out;
}
