#version 460
// Points into buckets: how many each has and the most of one, or with SCATTER the points themselves, one
// bucket's behind the other's.          C: graph_gpu.c; an invocation has a point
//   point, sorted  [count] place, index of the model as bits;  word: the most
#extension GL_GOOGLE_include_directive : require
#include "gs/common.glsl"
#include "neural/params.h"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const bool SCATTER = false;
IN_VEC4(0, point)
IN_UINT(1, start)
layout(binding = 2) buffer Cursor { uint cursor[]; }; // [buckets]
layout(binding = 3) writeonly buffer Sorted { vec4 sorted[]; };
layout(binding = 4) buffer Word { uint word[]; };
layout(push_constant) uniform Push { nl_graph_push pc; };
#include "neural/graph.glsl"

void main()
{
    uint i = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (i >= pc.count)
        return;
    vec4 p = LD4(point, i);
    ivec3 c = cell_of(p.xyz);
    uint bucket = bucket_row(c.yz) | (uint(c.x) & ((1u << bucket_bits().x) - 1u));
    uint rank = atomicAdd(cursor[bucket], 1u);
    if (SCATTER)
        sorted[LD1(start, bucket) + rank] = p;
    else
        atomicMax(word[0], rank + 1u);
}
