#version 460
// One layer of a QUEEN decoder: y = activation((x W) * scale + shift), or that added to what
// is there already.   C: queen_gpu.c, gs_queen_decode; twin: gs_queen_decode_reference
//
//   x        [rows] of pc.x_stride words: integers, floats to be rounded, or floats
//   weights  vec4: W [IN][quads], scale [quads], shift [quads], div [quads of IN]
//   result   [rows] of pc.stride vec4, from pc.offset on; what pads OUT to vec4 is overwritten too,
//            but for INTO_W: there is one column, and it goes into the w of a vec4
//
// An invocation has two rows, four columns at a time, so that weights are fetched once for both.
// `precise`: products and sums as written, so that every device and the CPU get the same bits. Shapes
// are constants, or a CPU driver would compile anew for each.
#include "gs/common.glsl"
layout(local_size_x = GS_QUEEN_GROUP) in;
layout(constant_id = 0) const uint IN = 4;
layout(constant_id = 1) const uint OUT = 4;
layout(constant_id = 2) const uint INPUT = 0; // 0 integers, 1 floats to be rounded, 2 floats
layout(constant_id = 3) const uint ACTIVATION = 0; // enum gs_queen_activation
layout(constant_id = 4) const bool ADD = false; // to what stands in the result
layout(constant_id = 5) const bool DIVIDE = false;
layout(constant_id = 6) const bool INTO_W = false; // one column, into the w of a vec4

IN_UINT(0, x)
IN_VEC4(1, weights)
layout(binding = 2) buffer Result { vec4 result[]; };
layout(push_constant) uniform Push { gs_queen_layer_push pc; };

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

void store(uint at, vec4 y)
{
    precise vec4 out_value = INTO_W ? y.xxxx : y;
    if (ADD)
        out_value = out_value + result[at];
    if (INTO_W)
        result[at].w = out_value.w;
    else
        result[at] = out_value;
}

void main()
{
    const uint quads = (OUT + 3u) / 4u;
    uint id = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    uint a = min(2u * id, pc.rows - 1u), b = min(2u * id + 1u, pc.rows - 1u);
    uint end = 2u * id < pc.rows ? quads : 0u;
    for (uint j = 0u; j < quads; j++) {
        precise vec4 sum_a = vec4(0.0), sum_b = vec4(0.0);
        for (uint i = 0u; i < IN; i++) {
            vec4 w = LD4(weights, i * quads + j);
            float va = value(a * pc.x_stride + i), vb = value(b * pc.x_stride + i);
            if (DIVIDE) {
                float d = LD4(weights, (IN + 2u) * quads + i / 4u)[i & 3u];
                va /= d;
                vb /= d;
            }
            sum_a = sum_a + va * w;
            sum_b = sum_b + vb * w;
        }
        vec4 scale = LD4(weights, IN * quads + j), shift = LD4(weights, (IN + 1u) * quads + j);
        sum_a = sum_a * scale;
        sum_a = sum_a + shift;
        sum_b = sum_b * scale;
        sum_b = sum_b + shift;
        if (j < end) {
            store(a * pc.stride + pc.offset + j, activate(sum_a));
            if (b != a)
                store(b * pc.stride + pc.offset + j, activate(sum_b));
        }
    }
}
