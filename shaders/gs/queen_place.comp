#version 460
// Values into rows of vec4: WIDTH of each row of pc.from_stride values, from pc.from on, to a row of
// pc.stride floats, from pc.offset on. A value an invocation.   C: queen_gpu.c
#include "gs/common.glsl"
layout(local_size_x = GS_QUEEN_GROUP) in;
layout(constant_id = 0) const uint WIDTH = 3;
IN_UINT(0, values)
layout(binding = 1) writeonly buffer Result { uint result[]; };
layout(push_constant) uniform Push { gs_queen_place_push pc; };

void main()
{
    uint id = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (id < pc.rows * WIDTH) {
        uint row = id / WIDTH, k = id % WIDTH;
        result[row * pc.stride + pc.offset + k] = LD1(values, row * pc.from_stride + pc.from + k);
    }
}
