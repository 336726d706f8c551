#version 460
// Standard normal numbers, the same bits everywhere (nn_randn, vk/nn/noise.c, which has the same
// arithmetic in C): Philox4x32-10 of a counter, then Box-Muller in integers only, since floats are
// exact in no two drivers' logarithms. Counter c gives elements 4c .. 4c + 3; an invocation writes
// four elements from p.first on.
#include "nn/common.glsl"
layout(local_size_x_id = 0) in;
layout(binding = 0) writeonly buffer Out { uvec4 result[]; };
layout(push_constant) uniform Push { nn_noise_push p; };

uvec4 philox(uvec2 counter)
{
    uvec4 c = uvec4(counter, 0, 0);
    uvec2 k = uvec2(p.seed_low, p.seed_high);
    for (int i = 0; i < 10; i++) {
        uint h0, l0, h1, l1;
        umulExtended(0xD2511F53u, c.x, h0, l0);
        umulExtended(0xCD9E8D57u, c.z, h1, l1);
        c = uvec4(h1 ^ c.y ^ k.x, l1, h0 ^ c.w ^ k.y, l0);
        k += uvec2(0x9E3779B9u, 0xBB67AE85u);
    }
    return c;
}

uint mul_high(uint a, uint b)
{
    uint h, l;
    umulExtended(a, b, h, l);
    return h;
}

// -log2((u | 1) / 2^32) in 26 fractional bits: the whole part from the leading bit, the others by
// squaring the mantissa.
uint minus_log2(uint u)
{
    uint x = u | 1u, shift = 31u - uint(findMSB(x)), m = x << shift, bits = 0;
    for (int i = 0; i < 26; i++) {
        uint square = mul_high(m, m); // of [1, 2) in 31 bits: [1, 4) in 30
        bool two = square >= 0x80000000u;
        bits = bits << 1 | uint(two);
        m = two ? square : square << 1;
    }
    return (shift + 1u << 26) - bits;
}

// sqrt(2 ln 2 * l) in 28 fractional bits, bit by bit.
uint radius(uint l)
{
    uint high, low, root = 0;
    umulExtended(l, NN_NOISE_2LN2, high, low); // 56 fractional bits
    for (int i = 31; i >= 0; i--) {
        uint next = root | 1u << i, h2, l2;
        umulExtended(next, next, h2, l2);
        root = h2 < high || (h2 == high && l2 <= low) ? next : root;
    }
    return root;
}

// sin(t pi / 2), t in 32 fractional bits, in 31.
uint sine(uint t)
{
    uint s = mul_high(t, t);
    uint v = NN_NOISE_S5 - mul_high(s, NN_NOISE_S6);
    v = NN_NOISE_S4 - mul_high(s, v);
    v = NN_NOISE_S3 - mul_high(s, v);
    v = NN_NOISE_S2 - mul_high(s, v);
    v = NN_NOISE_S1 - mul_high(s, v);
    v = NN_NOISE_S0 - mul_high(s, v);
    return mul_high(t, v);
}

// v / 2^27 with a sign, cut to 24 bits, as a float's bits.
uint float_bits(uint v, bool negative)
{
    int top = findMSB(v);
    uint mantissa = top > 23 ? v >> uint(top - 23) : v << uint(23 - max(top, 0));
    uint bits = uint(top + 100) << 23 | (mantissa & 0x7fffffu);
    return v == 0u ? 0u : bits | (negative ? 0x80000000u : 0u);
}

uvec2 box_muller(uvec2 u)
{
    uint r = radius(minus_log2(u.x)), t = u.y << 2 | 2u, quadrant = u.y >> 30;
    uint c = mul_high(r, sine(~t)), s = mul_high(r, sine(t));
    bool odd = (quadrant & 1u) != 0u;
    return uvec2(float_bits(odd ? s : c, quadrant == 1u || quadrant == 2u),
                 float_bits(odd ? c : s, quadrant >= 2u));
}

uvec4 four(uvec2 counter)
{
    uvec4 u = philox(counter);
    return uvec4(box_muller(u.xy), box_muller(u.zw));
}

void main()
{
    uint i = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x, carry;
    if (i >= p.count)
        return;
    uvec2 c = uvec2(p.first_low + i, p.first_high);
    c.y += uint(c.x < i);
    uvec4 a = four(c);
    if (p.skip != 0) { // the four are of two counters
        c.x = uaddCarry(c.x, 1u, carry);
        c.y += carry;
        uvec4 b = four(c);
        a = p.skip == 1 ? uvec4(a.yzw, b.x) : p.skip == 2 ? uvec4(a.zw, b.xy) : uvec4(a.w, b.xyz);
    }
    result[i] = a;
}
