#version 460
// Gathers the visible (depth key, slot) pairs of all blocks into one dense array, in scene
// order. One subgroup = one block.   C: raster_lanes.c
#include "gs/common.glsl"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const bool DENSE = false; // slots are dense already (slices)
IN_UINT(0, key)
IN_UINT(1, visible)
IN_UINT(2, prefix)
layout(binding = 3) writeonly buffer Pair { uvec2 pair[]; };
layout(push_constant) uniform Push { gs_project_push pc; };

void main()
{
    uint block = GROUP_ID, lane = gl_LocalInvocationID.x;
    if (block >= pc.count)
        return;
    uint n = LD1(visible, block), to = LD1(prefix, block);
    uint from = DENSE ? to : block * GS_BLOCK;
    for (uint i = 0u; i < GS_BLOCK; i += gl_WorkGroupSize.x) {
        uint j = i + lane;
        uint k = LD1(key, min(from + j, pc.capacity - 1u));
        if (j < n && from + j < pc.capacity)
            pair[to + j] = uvec2(k, from + j);
    }
}
