/* Private to vk/nn/: copies over more axes than a tensor has (layout.c). */
#ifndef NN_LAYOUT_H
#define NN_LAYOUT_H

#include "vk/nn/op.h"

enum { NN_MAX_AXES = 8 };

/* Axes from slowest to fastest in the memory written; strides in elements. */
struct nn_axes {
    uint32_t rank, shape[NN_MAX_AXES], from[NN_MAX_AXES], to[NN_MAX_AXES];
};

/* Appends an axis, merged with the one before where both sides run on. At most NN_MAX_AXES. */
void nn_axis(struct nn_axes *a, uint32_t n, uint32_t from, uint32_t to);
/* Orders axes by the stride written and merges them again. */
void nn_sort_axes(struct nn_axes *a);
/* dst[i . to] = src[i . from] for all i, converted. owned: what follows dst up to a multiple of 16
 * bytes may be overwritten (dst is a whole tensor of the caller's). */
void nn_copy_axes(struct nn_rec *r, nn_tensor dst, nn_tensor src, const struct nn_axes *a,
                  bool owned);

#endif
