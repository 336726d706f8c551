#version 460
// Latents of a QUEEN frame that are coded as differences: result = more + the parent's before.
// Integers, an invocation each: [rows][WIDTH].   C: queen_gpu.c; twin: sum_latents in queen.c
#include "gs/common.glsl"
layout(local_size_x = GS_QUEEN_GROUP) in;
layout(constant_id = 0) const uint WIDTH = 4;
layout(constant_id = 1) const bool PARENTS = false; // else the same rows
IN_UINT(0, more)
IN_UINT(1, before)
IN_UINT(2, parent)
layout(binding = 3) writeonly buffer Result { uint result[]; };
layout(push_constant) uniform Push { gs_queen_rows_push pc; };

void main()
{
    uint id = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (id < pc.rows * WIDTH) {
        uint from = PARENTS ? LD1(parent, id / WIDTH) * WIDTH + id % WIDTH : id;
        result[id] = LD1(more, id) + LD1(before, from);
    }
}
