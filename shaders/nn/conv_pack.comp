#version 460
// Brings the weights of a convolution, [O, C, taps], into the order that conv_tile.comp reads:
// [panel][tap][k][lane] fours of neighbouring O, zeros beyond the source (vk/nn/conv_tile.c). An
// invocation writes one four; bits are copied as they are.
#include "nn/common.glsl"
#include "nn/conv_params.h"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint TYPE = NN_TYPE_F32;
layout(constant_id = 2) const uint LANES = 8;
IN_WORDS(0, from)
OUT_WORDS(1, to)
layout(push_constant) uniform Push { nn_conv_pack_push p; };

void main()
{
    uint i = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (i >= p.count)
        return;
    uint at = p.first + i, lane = at % LANES, q = at / LANES, c = q % (4 * p.depth);
    q /= 4 * p.depth;
    uint tap = q % p.taps, o = (q / p.taps * LANES + lane) * 4;
    uvec4 e = uvec4(0);
    [[unroll]] for (uint k = 0; k < 4; k++)
        if (c < p.in_channels && o + k < p.out_channels)
            e[k] = LDW1(from, p.base + ((o + k) * p.in_channels + c) * p.taps + tap, TYPE);
    uvec4 words = nn_wide(TYPE) ? e : uvec4(e.x | e.y << 16, e.z | e.w << 16, 0, 0);
    STW4(to, i, words, TYPE)
}
