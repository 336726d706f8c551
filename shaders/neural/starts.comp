#version 460
// First Gaussian of each block of anchors, and how many there are in all.   C: gpu_view.c
//   one workgroup; start [blocks + 1]
#extension GL_GOOGLE_include_directive : require
#include "gs/common.glsl"
#include "neural/params.h"
layout(local_size_x_id = 0) in;
#include "lib/prefix.glsl"
layout(binding = 0) readonly buffer List { uint list[]; };
layout(binding = 1) writeonly buffer Start { uint start[]; };
layout(binding = 2) buffer Ctl { uint ctl[]; };
layout(push_constant) uniform Push { nl_starts_push pc; };

void main()
{
    uint lane = gl_LocalInvocationID.x, sum = 0u;
    for (uint b = 0u; b < pc.blocks; b += gl_WorkGroupSize.x) {
        uint i = b + lane, before, total;
        uint n = i < pc.blocks ? list[min(i, pc.blocks - 1u) * NL_LIST + 1u] : 0u;
        group_prefix(n, before, total);
        if (i < pc.blocks)
            start[i] = sum + before;
        sum += total;
    }
    if (lane == 0u) {
        start[pc.blocks] = sum;
        ctl[pc.live] = min(sum, pc.room);
        ctl[pc.need] = max(ctl[pc.need], sum);
        if (sum > pc.room)
            ctl[pc.flags] |= pc.flag;
    }
}
