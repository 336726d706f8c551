// Codes to numbers, their scale aside (enum nn_code): matrix.comp, matrix_few.comp. After matmul_params.h.
const float nn_nf4[16] = float[](NN_NF4_VALUES);

// The one of sixteen values by halving: an array would be memory, which CPU drivers read lane by lane.
vec4 nn_value_of(uvec4 at)
{
    bvec4 bit0 = notEqual(at & 1u, uvec4(0)), bit1 = notEqual(at & 2u, uvec4(0));
    bvec4 bit2 = notEqual(at & 4u, uvec4(0)), bit3 = notEqual(at & 8u, uvec4(0));
    vec4 v[8];
    [[unroll]] for (uint i = 0; i < 8; i++)
        v[i] = mix(vec4(nn_nf4[2 * i]), vec4(nn_nf4[2 * i + 1]), bit0);
    [[unroll]] for (uint i = 0; i < 4; i++)
        v[i] = mix(v[2 * i], v[2 * i + 1], bit1);
    return mix(mix(v[0], v[1], bit2), mix(v[2], v[3], bit2), bit3);
}

// Four columns' codes number i of eight, in words `low` (and `high`, of 8-bit codes). code is a constant.
vec4 nn_decode_codes(uint code, uvec4 low, uvec4 high, uint i)
{
    if (code == NN_CODED_INT4)
        return vec4(ivec4((low ^ 0x88888888u) << (28 - 4 * i)) >> 28);
    if (code == NN_CODED_INT8)
        return vec4(ivec4((i < 4 ? low : high) << (24 - 8 * (i & 3))) >> 24);
    return nn_value_of(low >> (4 * i));
}
