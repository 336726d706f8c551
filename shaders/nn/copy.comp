#version 460
// to[...] = from[...] over up to eight axes with any strides on either side, converting between
// element types: nn_copy, nn_pack, permutations, concatenation, patches (vk/nn/layout.c). An
// invocation writes NN_COPY_UNROLL units: UNIT elements each, along the last axis. Without a
// conversion bits are copied as they are.
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

// Offsets of element e, x on the side read and y on the side written, and where that is along
// each axis: what comes after it is found by counting on.
struct cursor {
    uvec2 at;
    uint index[NN_COPY_RANK];
};

cursor place(uint e)
{
    cursor c;
    c.at = uvec2(p.from_base, p.to_base);
    [[unroll]] for (uint n = 1; n < RANK; n++) {
        uint axis = RANK - n;
        uvec2 qr = nn_divide(e, p.shape[axis]);
        c.at += qr.y * uvec2(p.from[axis], p.to[axis]);
        c.index[axis] = qr.y;
        e = qr.x;
    }
    c.index[0] = e;
    c.at += e * uvec2(p.from[0], p.to[0]);
    return c;
}

// The place read next.
void advance(inout cursor c)
{
    uint carry = 1;
    [[unroll]] for (uint n = 1; n <= RANK; n++) {
        uint axis = RANK - n;
        c.index[axis] += carry;
        c.at.x += carry * p.from[axis];
        bool wraps = axis > 0 && c.index[axis] == p.shape[axis];
        c.at.x -= wraps ? p.shape[axis] * p.from[axis] : 0;
        c.index[axis] = wraps ? 0 : c.index[axis];
        carry = uint(wraps);
    }
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

uvec4 four(cursor c)
{
    if (FROM == NN_EW_FOUR) {
        uvec4 w = LDW4(from, c.at.x / 4, FROM_TYPE);
        return FROM_TYPE == TO_TYPE ? w : nn_encode4(nn_decode4(w, FROM_TYPE), TO_TYPE);
    }
    if (FROM == NN_EW_SPLAT)
        return words(uvec4(element(c.at.x)));
    uvec4 at;
    [[unroll]] for (int k = 0; k < 4; k++) {
        at[k] = c.at.x;
        advance(c);
    }
    return words(uvec4(element(at.x), element(at.y), element(at.z), element(at.w)));
}

void main()
{
    uint first = GROUP_ID * gl_WorkGroupSize.x * NN_COPY_UNROLL + gl_LocalInvocationID.x;
    uvec4 words[NN_COPY_UNROLL];
    uint places[NN_COPY_UNROLL];
    // all reads before the first write, and chosen by lane, so that CPU drivers do not move them into
    // the store's loop over lanes
    [[unroll]] for (uint k = 0; k < NN_COPY_UNROLL; k++) {
        uint i = first + k * gl_WorkGroupSize.x;
        bool there = i * UNIT < p.count;
        i = there ? i : 0;
        cursor c = place(p.begin + i * UNIT);
        places[k] = MODE == NN_COPY_PACKED ? i : c.at.y;
        uvec4 w = uvec4(0);
        if (MODE <= NN_COPY_FOUR)
            w = four(c);
        else
            w.x = element(c.at.x);
        if (MODE == NN_COPY_PAIR) {
            if (FROM != NN_EW_SPLAT)
                advance(c);
            w.x |= element(c.at.x) << 16;
        }
        words[k] = there ? w : uvec4(0);
    }
    [[unroll]] for (uint k = 0; k < NN_COPY_UNROLL; k++) {
        uint at = places[k];
        if ((first + k * gl_WorkGroupSize.x) * UNIT >= p.count)
            continue;
        if (MODE == NN_COPY_PACKED) {
            STW4(to, at, words[k], TO_TYPE)
        } else if (MODE == NN_COPY_FOUR) {
            STW4(to, at / 4, words[k], TO_TYPE)
        } else if (MODE == NN_COPY_PAIR) {
            to_1[at >> 1] = words[k].x;
        } else if (MODE == NN_COPY_WORD) {
            to_1[at] = words[k].x;
        } else {
            uint shift = 16 * (at & 1);
            atomicAnd(to_1[at >> 1], 0xffff0000u >> shift);
            atomicOr(to_1[at >> 1], words[k].x << shift);
        }
    }
}
