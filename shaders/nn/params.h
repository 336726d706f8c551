/* Interface of the tensor kernels, included by C (vk/nn/) and GLSL: push constants. Only 32-bit
 * members. */
#ifndef NN_PARAMS_H
#define NN_PARAMS_H

#ifndef VULKAN /* defined by glslc */
#include <stdint.h>
typedef uint32_t uint;
#endif

/* Element types, as specialisation constants of kernels (enum nn_dtype). */
#define NN_TYPE_F32 1
#define NN_TYPE_F16 2
#define NN_TYPE_BF16 3
#define NN_TYPE_I32 4

#endif
