#version 460
// Where each bucket's points begin.     C: graph_gpu.c; one workgroup; start [buckets + 1]
#extension GL_GOOGLE_include_directive : require
#include "gs/common.glsl"
#include "neural/params.h"
layout(local_size_x_id = 0) in;
#include "lib/prefix.glsl"
layout(binding = 0) readonly buffer Count { uint count[]; };
layout(binding = 1) writeonly buffer Start { uint start[]; };
layout(push_constant) uniform Push { uint buckets; };

void main()
{
    uint sum = 0u;
    for (uint b = 0u; b < buckets; b += gl_WorkGroupSize.x * NL_GRAPH_RUN) {
        uint from = b + gl_LocalInvocationID.x * NL_GRAPH_RUN, n[NL_GRAPH_RUN], own = 0u, before, total;
        [[unroll]] for (uint i = 0u; i < NL_GRAPH_RUN; i++) {
            n[i] = own;
            own += from + i < buckets ? count[min(from + i, buckets - 1u)] : 0u;
        }
        group_prefix(own, before, total);
        [[unroll]] for (uint i = 0u; i < NL_GRAPH_RUN; i++)
            if (from + i < buckets)
                start[from + i] = sum + before + n[i];
        sum += total;
    }
    if (gl_LocalInvocationID.x == 0u)
        start[buckets] = sum;
}
