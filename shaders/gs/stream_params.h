/* Interface of the kernels that bring frames of .fvv streams into the renderer's buffers, included by C
 * (gs/stream_gpu.c, gs/stream_pack.c) and GLSL. */
#ifndef GS_STREAM_PARAMS_H
#define GS_STREAM_PARAMS_H

#ifndef VULKAN /* defined by glslc */
#include <stdint.h>
typedef uint32_t uint;
#endif

/* Invocations of a group of stream_*.comp. */
#define GS_STREAM_GROUP 64
/* Words of a cluster's motion: R - 1 (9), turn (4), centre (3), move (3). */
#define GS_STREAM_RIGID 20
/* vec4 of a Gaussian's geometry in a state: position, opacity | rotation | scale, 0. */
#define GS_STREAM_QUADS 3
/* Members' clusters are above their index. */
#define GS_STREAM_INDEX_BITS 26
#define GS_STREAM_MOST 67108864 /* greatest |integer| */

/* stream_pack.c and stream_pack.comp: 3^-1/2, 2^-1/2, 6^-1/2, 2 * 6^-1/2; codes of scales; least alpha. */
#define GS_PACK_3 0.57735027f
#define GS_PACK_2 0.70710678f
#define GS_PACK_6 0.40824829f
#define GS_PACK_66 0.81649658f
#define GS_PACK_LOG2E 1.44269504f
#define GS_PACK_SCALE 34952.516667f /* (2^21 - 1) / 60 */
#define GS_PACK_ALPHA 0.0009765625f

struct gs_stream_list_push {
    uint count;
};

struct gs_stream_pack_push {
    float origin[3];
    uint first, count;       /* of the list */
    uint chunk;              /* first row of the chunk that is written */
    float position, scale, opacity;
    float colour[4];         /* band 0 .. 3 */
};

#endif
