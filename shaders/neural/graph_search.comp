#version 460
// The K nearest of points that do not have theirs yet, where cells around them are sure to hold these;
// counts the others.                    C: graph_gpu.c; twin: graph.c; an invocation has a point
//   distances are float32's, in one order and unfused; equal ones in order of the model's index
#extension GL_GOOGLE_include_directive : require
#include "gs/common.glsl"
#include "neural/params.h"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint K = 10;
#define ROOM 16u
#define INFINITE uintBitsToFloat(0x7f800000u)
IN_VEC4(0, point)
IN_VEC4(1, sorted)
IN_UINT(2, start)
IN_UINT(3, row_of) // of the model's index
layout(binding = 4) buffer Neighbour { uint neighbour[]; }; // [count][K] rows
layout(binding = 5) buffer Word { uint word[]; };
layout(push_constant) uniform Push { nl_graph_push pc; };
#include "neural/graph.glsl"

float squared_distance(vec3 a, vec3 b)
{
    precise vec3 v = b - a;
    precise float xy = v.x * v.x + v.y * v.y;
    precise float all = xy + v.z * v.z;
    return all;
}

void main()
{
    const int side = 2 * NL_GRAPH_REACH + 1;
    uint row = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    bool open = row < pc.count && neighbour[row * K] == NL_NO_NEIGHBOUR;
    if (!open)
        return;
    vec4 p = LD4(point, row);
    uint self = floatBitsToUint(p.w), looked = 0u, wide = 1u << bucket_bits().x;
    vec3 v = in_cells(p.xyz);
    ivec3 c = ivec3(floor(v));
    float d[ROOM];
    uint index[ROOM];
    [[unroll]] for (uint k = 0u; k < ROOM; k++) {
        d[k] = INFINITE;
        index[k] = NL_NO_NEIGHBOUR;
    }
    // two runs of buckets a row of cells, of which the second begins again at bucket 0
    for (int r = 0; r < 2 * side * side; r++) {
        int y = r / 2 % side - NL_GRAPH_REACH, z = r / 2 / side - NL_GRAPH_REACH;
        uint base = bucket_row(c.yz + ivec2(y, z)), x = uint(c.x - NL_GRAPH_REACH) & (wide - 1u);
        uint past = x + uint(side), first = (r & 1) == 0 ? x : 0u;
        uint end = (r & 1) == 0 ? min(past, wide) : max(past, wide) - wide;
        uint to = LD1(start, base + end);
        for (uint j = LD1(start, base + first); j < to && looked < NL_GRAPH_MOST; j++) {
            vec4 q = LD4(sorted, j);
            uint i = floatBitsToUint(q.w);
            bool here = all(lessThanEqual(abs(cell_of(q.xyz) - c), ivec3(NL_GRAPH_REACH)));
            float one = i == self ? -1.0 : here ? squared_distance(p.xyz, q.xyz) : INFINITE;
            looked++;
            [[unroll]] for (uint k = 0u; k < ROOM; k++)
                if (k < K) {
                    bool before = one < d[k] || (one == d[k] && i < index[k]);
                    float od = d[k];
                    uint oi = index[k];
                    d[k] = before ? one : od;
                    index[k] = before ? i : oi;
                    one = before ? od : one;
                    i = before ? oi : i;
                }
        }
    }
    // what other cells hold is at least so far away; roundings of v taken off
    vec3 low = v - vec3(c - NL_GRAPH_REACH), high = vec3(c + NL_GRAPH_REACH + 1) - v;
    vec3 least = min(low, high) - (0.01 + 4e-7 * abs(v));
    float far = max(min(least.x, min(least.y, least.z)), 0.0) / pc.low.w, last = INFINITE;
    [[unroll]] for (uint k = 0u; k < ROOM; k++)
        last = k + 1u == K ? d[k] : last;
    if (looked >= NL_GRAPH_MOST || !(last < far * far * 0.9999)) {
        atomicAdd(word[0], 1u);
        return;
    }
    [[unroll]] for (uint k = 0u; k < ROOM; k++)
        if (k < K)
            neighbour[row * K + k] = LD1(row_of, index[k]);
}
