/* References of convolutions (conv.h): padded and upsampled copies, then plain sums; transposed
 * ones scatter. */
#include "ref/conv.h"

/* Every element `times` times in a row along T, H and W. */
static struct ref upsampled(const struct ref *x, const uint32_t times[3])
{
    struct ref a = ref_repeat(x, 2, times[0]), b = ref_repeat(&a, 3, times[1]);
    struct ref c = ref_repeat(&b, 4, times[2]);
    ref_free(&a);
    ref_free(&b);
    return c;
}

static struct ref padded(const struct ref *x, const struct ref_conv *o)
{
    struct ref out = ref_clone(x);
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t before[5] = {0}, after[5] = {0};
        before[2 + i] = o->pad[i][0];
        after[2 + i] = o->pad[i][1];
        struct ref next = ref_pad(&out, before, after, o->mode[i], 0);
        ref_free(&out);
        out = next;
    }
    return out;
}

struct ref ref_conv(const struct ref *x, const struct ref *w, const struct ref *bias,
                    const struct ref_conv *o)
{
    struct ref up = upsampled(x, o->upsample), in = padded(&up, o);
    uint32_t shape[5] = {x->shape[0], w->shape[0]}, i[5] = {0};
    for (uint32_t k = 0; k < 3; k++)
        shape[2 + k] =
            (in.shape[2 + k] - o->dilation[k] * (w->shape[2 + k] - 1) - 1) / o->stride[k] + 1;
    struct ref out = ref_new(5, shape);
    do {
        uint32_t first = i[1] / (w->shape[0] / o->groups) * w->shape[1];
        double sum = bias ? bias->v[i[1]] : 0;
        uint32_t wi[5] = {i[1]};
        do {
            uint32_t at[5] = {i[0], first + wi[1]};
            for (uint32_t k = 2; k < 5; k++)
                at[k] = i[k] * o->stride[k - 2] + wi[k] * o->dilation[k - 2];
            sum += *ref_at(&in, at) * *ref_at(w, wi);
        } while (ref_next(w, wi) && wi[0] == i[1]);
        *ref_at(&out, i) = sum;
    } while (ref_next(&out, i));
    ref_free(&up);
    ref_free(&in);
    return out;
}

struct ref ref_conv_transpose(const struct ref *x, const struct ref *w, const struct ref *bias,
                              const struct ref_conv_transpose *o)
{
    uint32_t per = w->shape[1], shape[5] = {x->shape[0], per * o->groups}, i[5] = {0};
    for (uint32_t k = 0; k < 3; k++)
        shape[2 + k] = (x->shape[2 + k] - 1) * o->stride[k] - 2 * o->pad[k] +
                       o->dilation[k] * (w->shape[2 + k] - 1) + o->output_pad[k] + 1;
    struct ref out = ref_new(5, shape);
    for (uint32_t at[5] = {0}, more = 1; bias && more; more = (uint32_t)ref_next(&out, at))
        *ref_at(&out, at) = bias->v[at[1]];
    do {
        uint32_t wi[5] = {i[1]}, group = i[1] / (x->shape[1] / o->groups);
        do {
            uint32_t to[5] = {i[0], group * per + wi[1]};
            int inside = 1;
            for (uint32_t k = 0; k < 3; k++) {
                int64_t p = (int64_t)i[2 + k] * o->stride[k] + (int64_t)wi[2 + k] * o->dilation[k] -
                            o->pad[k];
                inside = inside && p >= 0 && p < shape[2 + k];
                to[2 + k] = (uint32_t)p;
            }
            if (inside)
                *ref_at(&out, to) += *ref_at(x, i) * *ref_at(w, wi);
        } while (ref_next(w, wi) && wi[0] == i[1]);
    } while (ref_next(x, i));
    return out;
}
