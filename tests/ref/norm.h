/* References of norms (nn.h), in double precision. Optional operands may be NULL. */
#ifndef REF_NORM_H
#define REF_NORM_H

#include "ref/ref.h"

/* x [N, C, T, H, W] over (C / groups, span, H, W). */
struct ref ref_group_norm(const struct ref *x, uint32_t groups, uint32_t span, double eps,
                          const struct ref *weight, const struct ref *bias);
/* [N, T / span, groups, 3]: count, mean, sum of squared deviations. */
struct ref ref_group_stats(const struct ref *x, uint32_t groups, uint32_t span);

struct ref_row_norm {
    int rms, channels; /* channels: over axis 1, else over the last */
    double eps;
    const struct ref *weight, *bias, *shift, *scale; /* shift, scale: [G, C] or [C] */
};
struct ref ref_row_norm(const struct ref *x, const struct ref_row_norm *o);

#endif
