#version 460
// Brings the right operand of a product, any strides, into the order that matmul.comp reads:
// [z][panel][k][lane] fours of neighbouring columns, or (PAIRS) [z][panel][k / 2][lane][k % 2], zeros
// beyond the source (vk/nn/product.c). An invocation writes one four; bits are copied as they are.
#include "nn/common.glsl"
#include "nn/matmul_params.h"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint TYPE = NN_TYPE_F32;
layout(constant_id = 2) const uint LANES = 8;
layout(constant_id = 3) const uint FOURS = 0; // columns are neighbours, read four at a time
layout(constant_id = 4) const uint PAIRS = 0;
IN_WORDS(0, from)
OUT_WORDS(1, to)
layout(push_constant) uniform Push { nn_matmul_pack_push p; };

void main()
{
    uint i = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (i >= p.count)
        return;
    const uint EACH = PAIRS != 0 ? 2 : 1;
    uint at = p.first + i, lane = at / EACH % LANES, q = at / EACH / LANES;
    uint k = q % (p.padded_depth / EACH) * EACH + at % EACH;
    q /= p.padded_depth / EACH;
    uint n = (q % p.panels * LANES + lane) * 4, z = q / p.panels;
    uint z1 = z / p.batch_shape[1], z0 = z1 / p.batch_shape[0];
    uint from_at = p.base + z0 * p.batch_stride[0] + z1 % p.batch_shape[0] * p.batch_stride[1] +
                   z % p.batch_shape[1] * p.batch_stride[2] + k * p.depth_stride;
    uvec4 w = uvec4(0);
    if (FOURS != 0) {
        if (k < p.depth && n < p.columns)
            w = LDW4(from, (from_at + n) / 4, TYPE);
    } else {
        uvec4 e = uvec4(0);
        [[unroll]] for (uint c = 0; c < 4; c++)
            if (k < p.depth && n + c < p.columns)
                e[c] = LDW1(from, from_at + (n + c) * p.column_stride, TYPE);
        w = nn_wide(TYPE) ? e : uvec4(e.x | e.y << 16, e.z | e.w << 16, 0, 0);
    }
    STW4(to, i, w, TYPE)
}
