/* Private to vk/nn/: which kernels make products, matrix products and convolutions alike. */
#ifndef NN_TUNE_H
#define NN_TUNE_H

#include "vk/nn/op.h"

struct nn_choice {
    enum nn_kernel kernel; /* registers or shared memory: never NN_KERNEL_MEASURED */
    bool ssbo;             /* operands through storage buffers even where texel buffers serve */
};

/* What the recorder asks for, else what nn_tune found, else what is usual for the device's kind. */
struct nn_choice nn_choice_for(const struct nn_rec *r);
/* Whether the device has subgroups of nn_lanes, without which register tiles cannot run. */
bool nn_has_lanes(const struct nn_rec *r);

/* nn_tune with so many seconds, and what its file begins with. */
int nn_tune_within(struct vk_device *dev, double seconds);
uint32_t nn_tune_kernels(void);

#endif
