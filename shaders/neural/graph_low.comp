#version 460
// Of four numbers of the features, the least among the points that have a point as neighbour, as words in
// the order of the floats.              C: graph_gpu.c; twin: encode.c; an invocation has a point
#extension GL_GOOGLE_include_directive : require
#include "gs/common.glsl"
#include "neural/params.h"
#include "neural/ordered.glsl"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint K = 10;
IN_VEC4(0, feature)
IN_UINT(1, neighbour)
layout(binding = 2) buffer Low { uint low[]; }; // [count][4]
layout(push_constant) uniform Push { uint count; };

void main()
{
    uint row = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (row >= count)
        return;
    uvec4 f = ordered(LD4(feature, row));
    for (uint k = 0u; k < K; k++) {
        uint to = 4u * LD1(neighbour, row * K + k);
        [[unroll]] for (uint c = 0u; c < 4u; c++)
            atomicMin(low[to + c], f[c]);
    }
}
