#version 460
// Rows of x, divided by the smoothing, to 8-bit numbers with a scale for each 64 inputs of a row: the
// largest is 127 (vk/nn/matrix_int8.c). An invocation makes one group: 16 words, in which a word has
// the four even or the four odd inputs of eight, as nibbles of codes come apart; its scale, and the sum
// of its numbers.
#include "nn/common.glsl"
#include "nn/matmul_params.h"
layout(local_size_x = 64) in;
layout(constant_id = 0) const uint X_TYPE = NN_TYPE_F32;
layout(constant_id = 1) const uint SMOOTH = 0;
IN_F4(0, x)
IN_F4(1, smooth_inverse)
layout(binding = 2) buffer numbers_b { uvec4 numbers[]; };
layout(binding = 3) buffer scales_b { vec4 scales[]; };
layout(push_constant) uniform Push { nn_quantise_rows_push p; };

uint bytes(ivec4 q)
{
    uvec4 u = uvec4(q) & 255u;
    return u.x | u.y << 8 | u.z << 16 | u.w << 24;
}

void main()
{
    uint i = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (i >= p.rows * p.groups)
        return;
    uvec2 at = nn_divide(i, p.groups); // row, group
    vec4 v[16];
    float most = 0;
    [[unroll]] for (uint k = 0; k < 16; k++) {
        uint four = at.y * 16 + k, inside = min(four, p.fours - 1);
        v[k] = FETCH4(x, p.base + at.x * p.fours + inside, X_TYPE);
        if (SMOOTH != 0)
            v[k] *= FETCH4(smooth_inverse, inside, NN_TYPE_F32);
        v[k] = four < p.fours ? v[k] : vec4(0);
        vec4 a = abs(v[k]);
        most = max(most, max(max(a.x, a.y), max(a.z, a.w)));
    }
    float inverse = most > 0 ? 127 / most : 0;
    ivec4 sum = ivec4(0);
    [[unroll]] for (uint k = 0; k < 16; k += 4) {
        ivec4 q[4];
        [[unroll]] for (uint j = 0; j < 4; j++) {
            q[j] = ivec4(clamp(roundEven(v[k + j] * inverse), vec4(-127), vec4(127)));
            sum += q[j];
        }
        numbers[i * 4 + k / 4] = uvec4(bytes(ivec4(q[0].xz, q[1].xz)), bytes(ivec4(q[0].yw, q[1].yw)),
                                       bytes(ivec4(q[2].xz, q[3].xz)), bytes(ivec4(q[2].yw, q[3].yw)));
    }
    scales[i] = vec4(most / 127, float(sum.x + sum.y + sum.z + sum.w), 0, 0);
}
