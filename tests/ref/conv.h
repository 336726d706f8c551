/* References of convolutions (nn.h), in double precision. */
#ifndef REF_CONV_H
#define REF_CONV_H

#include "ref/ref.h"

/* x [N, C, T, H, W], w [O, C / groups, kT, kH, kW]; bias may be NULL. mode: 0 zero, 1 replicate,
 * 2 reflect. */
struct ref_conv {
    uint32_t stride[3], dilation[3], pad[3][2], upsample[3];
    int mode[3];
    uint32_t groups;
};
struct ref ref_conv(const struct ref *x, const struct ref *w, const struct ref *bias,
                    const struct ref_conv *o);

/* w [C, O / groups, kT, kH, kW]. */
struct ref_conv_transpose {
    uint32_t stride[3], pad[3], output_pad[3], dilation[3], groups;
};
struct ref ref_conv_transpose(const struct ref *x, const struct ref *w, const struct ref *bias,
                              const struct ref_conv_transpose *o);

#endif
