#version 460
// Four numbers of a point's local feature: its own and half the mean of its neighbours' messages by
// inverse distance.                     C: graph_gpu.c; twin: encode.c; an invocation has a point
#extension GL_GOOGLE_include_directive : require
#include "gs/common.glsl"
#include "neural/params.h"
#include "neural/ordered.glsl"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint K = 10;
IN_VEC4(0, point)
IN_VEC4(1, feature)
IN_UINT(2, neighbour)
IN_UVEC4(3, low)
layout(binding = 4) writeonly buffer Local { vec4 local[]; };
layout(push_constant) uniform Push { uint count; };

void main()
{
    uint row = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (row >= count)
        return;
    vec3 p = LD4(point, row).xyz;
    vec4 sum = vec4(0.0);
    float total = 0.0;
    for (uint k = 0u; k < K; k++) {
        uint t = LD1(neighbour, row * K + k);
        float w = t == row ? 0.0 : 1.0 / (length(LD4(point, t).xyz - p) + 1e-8);
        total += w;
        sum += w * (LD4(feature, t) - unordered(LD4(low, t)));
    }
    local[row] = LD4(feature, row) + 0.5 * sum / (total + 1e-8) / float(K);
}
