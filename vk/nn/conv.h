/* Private to vk/nn/: a convolution with its options resolved, as conv.c checks it and its kernels
 * (conv.c, conv_tile.c) take it. */
#ifndef NN_CONV_H
#define NN_CONV_H

#include "vk/nn/op.h"

/* Turns of all loops of an invocation together: CPU drivers stop after 65534. */
enum { NN_CONV_TURNS = 65000 };

struct nn_conv_plan {
    nn_tensor x, w;     /* of rank 5: absent axes have length 1 */
    nn_tensor before;   /* pad[0] frames before x, any strides, or null */
    nn_tensor bias;     /* [O] dense, or null */
    nn_tensor out;      /* rank 5 */
    nn_tensor residual; /* rank 5, any strides, or null */
    bool last;          /* out is channels last, else row-major */
    bool transposed;    /* w is [C, O / groups, ...] */
    uint32_t kernel[3], stride[3], dilation[3], upsample[3];
    uint32_t pad[3]; /* before */
    enum nn_pad_mode mode[3];
    uint32_t groups;
    struct nn_activation act;
};

enum nn_conv_kernel {
    NN_CONV_BEST,   /* by nn_choice_for: TILE or SHARED */
    NN_CONV_DIRECT, /* shaders/nn/conv_direct.comp: does everything */
    NN_CONV_TILE,   /* conv_tile.comp: subgroups and registers */
    NN_CONV_SHARED, /* conv_shared.comp: shared memory */
};
/* nn_conv by a kernel of choice; where that cannot do it, the direct one. */
nn_tensor nn_conv_by(struct nn_rec *r, nn_tensor x, nn_tensor w, const struct nn_conv *o,
                     enum nn_conv_kernel kernel);

/* Whether nn_conv_tiled can do it. */
bool nn_conv_tiles(const struct nn_conv_plan *p);
/* Records it by a kernel over packed weights: any but the direct one. */
void nn_conv_tiled(struct nn_rec *r, const struct nn_conv_plan *p, enum nn_conv_kernel kernel);

#endif
