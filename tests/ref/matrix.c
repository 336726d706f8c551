/* Matrices of codes in double (ref.h). */
#include "ref/ref.h"

#include <math.h>

/* QLoRA's type: quantiles of a normal distribution, 8 of positive numbers and 7 of negative, and 0. */
static const double nf4[16] = {-1,
                               -0.6961928009986877,
                               -0.5250730514526367,
                               -0.39491748809814453,
                               -0.28444138169288635,
                               -0.18477343022823334,
                               -0.09105003625154495,
                               0,
                               0.07958029955625534,
                               0.16093020141124725,
                               0.24611230194568634,
                               0.33791524171829224,
                               0.44070982933044434,
                               0.5626170039176941,
                               0.7229568362236023,
                               1};

static double code_of(const struct ref_codes *m, uint32_t n, uint32_t k)
{
    uint32_t filled = (m->columns + 63) / 64 * 64;
    if (m->kind == 3)
        return (signed char)m->codes[(size_t)n * filled + k];
    int half = m->codes[(size_t)n * filled / 2 + k / 2] >> (k % 2 ? 4 : 0) & 15;
    return m->kind == 2 ? nf4[half] : half - 8;
}

struct ref ref_matrix(const struct ref_codes *m)
{
    struct ref w = ref_new(2, (uint32_t[]){m->rows, m->columns});
    uint32_t groups = (m->columns + 63) / 64;
    for (uint32_t n = 0; n < m->rows; n++)
        for (uint32_t k = 0; k < m->columns; k++) {
            double v = code_of(m, n, k) * m->scales[(size_t)n * groups + k / 64];
            if (m->smooth)
                v /= m->smooth[k];
            for (uint32_t r = 0; r < m->rank; r++)
                v += m->up[(size_t)n * m->rank + r] * m->down[(size_t)r * m->columns + k];
            w.v[(size_t)n * m->columns + k] = v;
        }
    return w;
}
