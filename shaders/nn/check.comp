#version 460
// Counts NaN and infinities of a packed tensor and finds the first of either (nn_check,
// vk/nn/trace.c). An invocation looks at RUN fours; only what it finds costs atomics.
#include "nn/common.glsl"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint TYPE = NN_TYPE_F32;
IN_WORDS(0, x)
layout(binding = 1) buffer Counts { uint found[]; };
layout(push_constant) uniform Push { nn_check_push p; };

// The exponent of element k is all ones; whether its mantissa is 0 tells infinities from NaN.
uint element_bits(uvec4 w, uint k)
{
    uint half_word = (k < 2 ? w.x : w.y) >> (16 * (k & 1)) & 0xffffu;
    return nn_wide(TYPE) ? (k == 0 ? w.x : k == 1 ? w.y : k == 2 ? w.z : w.w) : half_word;
}

void main()
{
    const uint exponent = TYPE == NN_TYPE_F32   ? 0x7f800000u
                          : TYPE == NN_TYPE_F16 ? 0x7c00u
                                                : 0x7f80u;
    const uint magnitude = nn_wide(TYPE) ? 0x7fffffffu : 0x7fffu;
    uint first = GROUP_ID * gl_WorkGroupSize.x * NN_CHECK_RUN + gl_LocalInvocationID.x;
    uint nans = 0, infs = 0, at = ~0u;
    for (uint n = 0; n < NN_CHECK_RUN; n++) {
        uint e = 4 * (first + n * gl_WorkGroupSize.x);
        if (e < p.count) {
            uvec4 w = LDW4(x, e / 4, TYPE);
            [[unroll]] for (uint k = 0; k < 4; k++) {
                uint bits = element_bits(w, k) & magnitude;
                bool bad = bits >= exponent && e + k < p.count;
                nans += uint(bad && bits != exponent);
                infs += uint(bad && bits == exponent);
                at = bad ? min(at, p.begin + e + k) : at;
            }
        }
    }
    if (at != ~0u) {
        atomicAdd(found[p.slot], nans);
        atomicAdd(found[p.slot + 1], infs);
        atomicMin(found[p.slot + 2], at);
    }
}
