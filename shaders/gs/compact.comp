#version 460
// Gathers the visible (depth key, slot) pairs of all blocks into one dense array, in scene
// order. One subgroup = one block.   C: raster.c
//   (none)   those of a block lie densely from its first slot on
//   HOLES    a block has the slots from its first to the next block's, those of key GS_UNSEEN unused;
//            without SG the workgroup needs no subgroup operations
#include "gs/common.glsl"
#include "gs/made.h"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const bool DENSE = false; // slots are dense already (slices)
IN_UINT(0, key)
IN_UINT(1, visible) // HOLES: first slots
IN_UINT(2, prefix)
layout(binding = 3) writeonly buffer Pair { uvec2 pair[]; };
layout(push_constant) uniform Push { gs_project_push pc; };
#ifdef WIDE
#include "lib/prefix.glsl"
#endif

void main()
{
    uint block = GROUP_ID, lane = gl_LocalInvocationID.x;
    if (block >= pc.count)
        return;
#ifdef HOLES
    uint from = LD1(visible, block), end = min(LD1(visible, block + 1u), pc.capacity), to = LD1(prefix, block);
    for (uint i = from; i < end; i += gl_WorkGroupSize.x) {
        uint k = LD1(key, min(i + lane, max(end, 1u) - 1u)), before, total;
        bool ok = i + lane < end && k != GS_UNSEEN;
#ifdef WIDE
        group_prefix(ok ? 1u : 0u, before, total);
#else
        before = subgroupExclusiveAdd(ok ? 1u : 0u);
        total = subgroupAdd(ok ? 1u : 0u);
#endif
        if (ok)
            pair[to + before] = uvec2(k, i + lane);
        to += total;
    }
#else
    uint n = LD1(visible, block), to = LD1(prefix, block);
    uint from = DENSE ? to : block * GS_BLOCK;
    for (uint i = 0u; i < GS_BLOCK; i += gl_WorkGroupSize.x) {
        uint j = i + lane;
        uint k = LD1(key, min(from + j, pc.capacity - 1u));
        if (j < n && from + j < pc.capacity)
            pair[to + j] = uvec2(k, from + j);
    }
#endif
}
