/* Private to vk/nn/: row-major and channels last, the two memory orders of [N, C, ...] that
 * convolutions and norms keep. */
#ifndef NN_ORDER_H
#define NN_ORDER_H

#include "vk/nn/op.h"

/* Channels run fastest in x's memory (and there is more than one), so they do in results of it. */
bool nn_is_channels_last(nn_tensor x);
/* A tensor of no storage of this shape and dtype, channels last or row-major. */
nn_tensor nn_ordered(nn_tensor shape, bool last);
/* t in the memory order of `like`, its first element at a multiple of four elements: itself or a
 * copy. A null t stays one. */
nn_tensor nn_to_order(struct nn_rec *r, nn_tensor t, nn_tensor like);

#endif
