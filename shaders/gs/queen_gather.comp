#version 460
// Rows of a QUEEN frame as their parents': result[row] = source[parent[row]], rows of QUADS vec4, a
// vec4 an invocation.   C: queen_gpu.c; twin: gather in queen.c
#include "gs/common.glsl"
layout(local_size_x = GS_QUEEN_GROUP) in;
layout(constant_id = 0) const uint QUADS = 1;
IN_UVEC4(0, source)
IN_UINT(1, parent)
layout(binding = 2) writeonly buffer Result { uvec4 result[]; };
layout(push_constant) uniform Push { gs_queen_rows_push pc; };

void main()
{
    uint id = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (id < pc.rows * QUADS)
        result[id] = LD4(source, LD1(parent, id / QUADS) * QUADS + id % QUADS);
}
