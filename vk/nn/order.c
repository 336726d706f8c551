/* The two memory orders that convolutions and norms keep (order.h). */
#include "vk/nn/order.h"

#include <string.h>

bool nn_is_channels_last(nn_tensor x)
{
    return x.shape[1] > 1 && x.stride[1] == 1 && !nn_is_packed(x);
}

nn_tensor nn_ordered(nn_tensor shape, bool last)
{
    nn_tensor v = nn_over(NULL, 0, shape.dtype, shape.rank, shape.shape);
    if (!last)
        return v;
    uint32_t step = v.shape[1];
    v.stride[1] = 1;
    for (uint32_t i = v.rank; i-- > 2; step *= v.shape[i])
        v.stride[i] = step;
    v.stride[0] = step;
    return v;
}

static bool same_order(nn_tensor t, nn_tensor like)
{
    for (uint32_t i = 0; i < t.rank; i++)
        if (t.shape[i] != 1 && t.stride[i] != like.stride[i])
            return false;
    return true;
}

nn_tensor nn_to_order(struct nn_rec *r, nn_tensor t, nn_tensor like)
{
    if (nn_is_null(t) || (same_order(t, like) && t.offset % (4 * nn_dtype_bytes(t.dtype)) == 0))
        return t;
    nn_tensor y = nn_new(r, t.dtype, t.rank, t.shape);
    memcpy(y.stride, like.stride, sizeof y.stride);
    nn_copy(r, y, t);
    return y;
}
