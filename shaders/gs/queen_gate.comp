#version 460
// Hard-concrete gates and the positions they let through, a Gaussian an invocation:
//   z = clamp(sigmoid(log_alpha / temperature) (high - low) + low, 0, 1)
//   xyz = before + z (free - before)
//   C: gs_queen_gate in queen_gpu.c; twin: gs_queen_gate_reference
#include "gs/common.glsl"
layout(local_size_x = GS_QUEEN_GROUP) in;
IN_UINT(0, log_alpha)
IN_UINT(1, before)
IN_UINT(2, free)
layout(binding = 3) writeonly buffer Gate { float gate[]; };
layout(binding = 4) writeonly buffer Position { float xyz[]; };
layout(push_constant) uniform Push { gs_queen_gate_push pc; };

void main()
{
    uint id = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (id < pc.rows) {
        float s = 1.0 / (1.0 + exp(-uintBitsToFloat(LD1(log_alpha, id)) / pc.temperature));
        float z = clamp(s * (pc.high - pc.low) + pc.low, 0.0, 1.0);
        gate[id] = z;
        [[unroll]] for (uint k = 0u; k < 3u; k++) {
            float b = uintBitsToFloat(LD1(before, 3u * id + k));
            xyz[3u * id + k] = b + z * (uintBitsToFloat(LD1(free, 3u * id + k)) - b);
        }
    }
}
