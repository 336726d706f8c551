#version 460
// RMS norm of the heads that the first columns of rows hold, in place (vk/nn/heads.c): what the HEADS forms
// of matmul.comp do at their end, by a pass of its own. An invocation does a head of a row.
#include "nn/common.glsl"
#include "nn/matmul_params.h"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint HEAD = 4; // fours
layout(constant_id = 2) const uint TYPE = NN_TYPE_F32;
layout(constant_id = 3) const uint WEIGHT_TYPE = NN_TYPE_F32;
layout(constant_id = 4) const uint WEIGHT2_TYPE = 0; // 0: there is none
IN_WORDS(0, x)
IN_WORDS(1, weight)
IN_WORDS(2, weight2)
OUT_WORDS(3, result)
layout(push_constant) uniform Push { nn_head_norm_push p; };
#define HEAD_LOAD(i) LD4(x, i, TYPE)
#define HEAD_STORE(i, words) STW4(result, i, words, TYPE)
#define HEAD_WEIGHT(i) LD4(weight, weight_at + i, WEIGHT_TYPE)
#define HEAD_WEIGHT2(i) LD4(weight2, weight2_at + i, WEIGHT2_TYPE)
#define HEAD_TYPE TYPE
#define HEAD_WEIGHT2_TYPE WEIGHT2_TYPE
uint weight_at, weight2_at;
#include "nn/heads.glsl"

void main()
{
    uint i = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x, heads = p.head_columns / HEAD;
    weight_at = p.weight_base;
    weight2_at = p.weight2_base;
    if (i >= p.rows * heads)
        return;
    uvec2 at = nn_divide(i, heads); // row, head
    uint column = at.y * HEAD;
    nn_norm_head(p.base + at.x * p.columns + column, column >= p.head_run, p.eps);
}
