#version 460
// Values [rows][WIDTH] into rows of pc.stride floats, from pc.offset on; a value an invocation.
//   C: queen_gpu.c
#include "gs/common.glsl"
layout(local_size_x = GS_QUEEN_GROUP) in;
layout(constant_id = 0) const uint WIDTH = 3;
IN_UINT(0, values)
layout(binding = 1) writeonly buffer Result { uint result[]; };
layout(push_constant) uniform Push { gs_queen_rows_push pc; };

void main()
{
    uint id = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (id < pc.rows * WIDTH)
        result[id / WIDTH * pc.stride + pc.offset + id % WIDTH] = LD1(values, id);
}
