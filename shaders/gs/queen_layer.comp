#version 460
// One layer of a QUEEN decoder: y = activation((x W) * scale + shift), or that added to what
// is there already.
//   C: queen_gpu.c, gs_queen_decode; twin: gs_queen_decode_reference
//
//   x        [rows][IN] integers, floats to be rounded, or floats
//   weights  vec4: W [IN][quads], scale [quads], shift [quads], div [quads of IN]
//   result   [rows] of pc.stride floats, from pc.offset on
//
// An invocation has a row; four columns at a time. `precise`: products and sums as written, so that
// every device and the CPU get the same bits. Shapes are constants, or a CPU driver would compile
// anew for each.
#include "gs/common.glsl"
layout(local_size_x = GS_QUEEN_GROUP) in;
layout(constant_id = 0) const uint IN = 4;
layout(constant_id = 1) const uint OUT = 4;
layout(constant_id = 2) const uint INPUT = 0; // 0 integers, 1 floats to be rounded, 2 floats
layout(constant_id = 3) const uint ACTIVATION = 0; // enum gs_queen_activation
layout(constant_id = 4) const bool ADD = false; // to what stands in the result
layout(constant_id = 5) const bool DIVIDE = false;

IN_UINT(0, x)
IN_VEC4(1, weights)
layout(binding = 2) buffer Result { float result[]; };
layout(push_constant) uniform Push { gs_queen_rows_push pc; };

float value(uint at)
{
    uint word = LD1(x, at);
    return INPUT == 0u   ? float(int(word))
           : INPUT == 1u ? roundEven(uintBitsToFloat(word))
                         : uintBitsToFloat(word);
}

vec4 activate(vec4 v)
{
    if (ACTIVATION == 1u)
        v = max(v, vec4(0.0));
    if (ACTIVATION == 2u)
        v = 1.0 / (1.0 + exp(-v));
    if (ACTIVATION == 3u) // the instruction overflows beyond +-40 on some devices
        v = tanh(clamp(v, vec4(-15.0), vec4(15.0)));
    return v;
}

void main()
{
    const uint quads = (OUT + 3u) / 4u;
    uint id = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    uint row = min(id, pc.rows - 1u), end = id < pc.rows ? OUT : 0u;
    uint at = row * pc.stride + pc.offset;
    for (uint j = 0u; j < quads; j++) {
        precise vec4 sum = vec4(0.0);
        for (uint i = 0u; i < IN; i++) {
            float v = value(row * IN + i);
            if (DIVIDE)
                v /= LD4(weights, (IN + 2u) * quads + i / 4u)[i & 3u];
            sum = sum + v * LD4(weights, i * quads + j);
        }
        sum = sum * LD4(weights, IN * quads + j);
        sum = sum + LD4(weights, (IN + 1u) * quads + j);
        vec4 y = activate(sum);
        [[unroll]] for (uint k = 0u; k < 4u; k++) {
            uint column = 4u * j + k;
            if (column < end) {
                precise float out_value = y[k];
                if (ADD)
                    out_value = out_value + result[at + column];
                result[at + column] = out_value;
            }
        }
    }
}
