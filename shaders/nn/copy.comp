#version 460
// to[...] = from[...] over up to eight axes with any strides on either side, converting between
// element types: nn_copy, nn_pack, permutations, concatenation, patches (vk/nn/layout.c). An
// invocation writes one unit: UNIT elements along the last axis. Without a conversion bits are
// copied as they are.
#include "nn/common.glsl"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint MODE = 0;
layout(constant_id = 2) const uint RANK = 1;
layout(constant_id = 3) const uint FROM = 0; // NN_EW_FOUR, NN_EW_SPLAT or NN_EW_SINGLE
layout(constant_id = 4) const uint FROM_TYPE = NN_TYPE_F32;
layout(constant_id = 5) const uint TO_TYPE = NN_TYPE_F32;
IN_WORDS(0, from)
OUT_WORDS(1, to)
layout(push_constant) uniform Push { nn_copy_push p; };

const uint UNIT = MODE <= NN_COPY_FOUR ? 4 : MODE == NN_COPY_PAIR ? 2 : 1;

// Offsets of element e: x on the side read, y on the side written.
uvec2 place(uint e)
{
    uvec2 at = uvec2(p.from_base, p.to_base);
    [[unroll]] for (uint n = 1; n < RANK; n++) {
        uint axis = RANK - n, q = e / p.shape[axis];
        at += (e - q * p.shape[axis]) * uvec2(p.from[axis], p.to[axis]);
        e = q;
    }
    return at + e * uvec2(p.from[0], p.to[0]);
}

// The bits of one element, converted.
uint element(uint at)
{
    uint w = LDW1(from, at, FROM_TYPE);
    return FROM_TYPE == TO_TYPE ? w : nn_encode1(nn_decode1(w, FROM_TYPE), TO_TYPE);
}

// Of four elements, as they are stored.
uvec4 words(uvec4 e)
{
    return nn_wide(TO_TYPE) ? e : uvec4(e.x | e.y << 16, e.z | e.w << 16, 0, 0);
}

uvec4 four(uint e, uint at)
{
    if (FROM == NN_EW_FOUR) {
        uvec4 w = LDW4(from, at / 4, FROM_TYPE);
        return FROM_TYPE == TO_TYPE ? w : nn_encode4(nn_decode4(w, FROM_TYPE), TO_TYPE);
    }
    if (FROM == NN_EW_SPLAT)
        return words(uvec4(element(at)));
    return words(uvec4(element(at), element(place(e + 1).x), element(place(e + 2).x),
                       element(place(e + 3).x)));
}

void main()
{
    uint i = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (i * UNIT >= p.count)
        return;
    uint e = p.begin + i * UNIT;
    uvec2 at = place(e);
    if (MODE == NN_COPY_PACKED) {
        STW4(to, i, four(e, at.x), TO_TYPE)
    } else if (MODE == NN_COPY_FOUR) {
        STW4(to, at.y / 4, four(e, at.x), TO_TYPE)
    } else if (MODE == NN_COPY_PAIR) {
        uint second = FROM == NN_EW_SPLAT ? at.x : place(e + 1).x;
        to_1[at.y >> 1] = element(at.x) | element(second) << 16;
    } else if (MODE == NN_COPY_WORD) {
        to_1[at.y] = element(at.x);
    } else {
        uint shift = 16 * (at.y & 1);
        atomicAnd(to_1[at.y >> 1], 0xffff0000u >> shift);
        atomicOr(to_1[at.y >> 1], element(at.x) << shift);
    }
}
