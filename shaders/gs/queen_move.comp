#version 460
// The positions of a QUEEN frame that move: result[row[i]].xyz += by[i]. An invocation has one of
// them; rows differ, so none is written twice.   C: queen_gpu.c; twin: move in queen.c
#include "gs/common.glsl"
layout(local_size_x = GS_QUEEN_GROUP) in;
IN_UINT(0, rows)
IN_UINT(1, by)
layout(binding = 2) buffer Result { float result[]; };
layout(push_constant) uniform Push { gs_queen_rows_push pc; };

void main()
{
    uint id = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (id < pc.rows) {
        uint at = LD1(rows, id) * 4u;
        [[unroll]] for (uint k = 0u; k < 3u; k++) {
            precise float sum = result[at + k] + uintBitsToFloat(LD1(by, 3u * id + k));
            result[at + k] = sum;
        }
    }
}
