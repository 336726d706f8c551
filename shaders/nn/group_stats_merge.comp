#version 460
// Statistics (count, mean, sum of squared deviations) of two sets together: nn_group_stats_merge
// (vk/nn/norm.c). An invocation does one.
#include "nn/common.glsl"
#include "nn/norm_params.h"
layout(local_size_x_id = 0) in;
IN_F1(0, a)
IN_F1(1, b)
OUT_WORDS(2, merged)
layout(push_constant) uniform Push { nn_stats_push p; };

void main()
{
    uint id = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (id >= p.count)
        return;
    uint i = p.base[0] + 3 * id, j = p.base[1] + 3 * id;
    float na = FETCH1(a, i, NN_TYPE_F32), nb = FETCH1(b, j, NN_TYPE_F32);
    float n = na + nb, share = nb / max(n, 1.0);
    float mean = FETCH1(a, i + 1, NN_TYPE_F32), d = FETCH1(b, j + 1, NN_TYPE_F32) - mean;
    float squares = FETCH1(a, i + 2, NN_TYPE_F32) + FETCH1(b, j + 2, NN_TYPE_F32);
    merged_1[3 * id] = floatBitsToUint(n);
    merged_1[3 * id + 1] = floatBitsToUint(mean + d * share);
    merged_1[3 * id + 2] = floatBitsToUint(squares + d * d * na * share);
}
