#version 460
// to[..., a, ..., b] = from[..., b, ..., a]: a copy (vk/nn/layout.c) whose elements lie side by side
// along one axis on the side read and along another on the side written, such as into channels
// last. An invocation turns a square of SIDE by SIDE elements, read and written 16 bytes at a time;
// p.shape counts squares along these two axes.
#include "nn/common.glsl"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint RANK = 2;
layout(constant_id = 2) const uint TYPE = NN_TYPE_F32;
IN_WORDS(0, from)
OUT_WORDS(1, to)
layout(push_constant) uniform Push { nn_turn_push p; };

const uint SIDE = TYPE == NN_TYPE_F32 || TYPE == NN_TYPE_I32 ? 4 : 8;

// Offsets of square e, x on the side read and y on the side written.
uvec2 place(uint e)
{
    uvec2 at = uvec2(p.from_base, p.to_base);
    [[unroll]] for (uint n = 1; n < RANK; n++) {
        uint axis = RANK - n;
        uvec2 qr = nn_divide(e, p.shape[axis]);
        at += qr.y * uvec2(p.from[axis], p.to[axis]);
        e = qr.x;
    }
    return at + e * uvec2(p.from[0], p.to[0]);
}

// Element k of each of two lines, in words i of theirs.
uint both(uint a, uint b, uint k)
{
    return k % 2 == 0 ? (a & 0xffffu) | b << 16 : a >> 16 | (b & 0xffff0000u);
}

void main()
{
    uint id = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x, step = p.to_step / SIDE;
    bool there = id < p.count;
    uvec2 at = place(min(id, p.count - 1)) / SIDE;
    uvec4 line[SIDE], turned[SIDE];
    [[unroll]] for (uint k = 0; k < SIDE; k++)
        line[k] = LDQ(from, at.x + k * (p.from_step / SIDE));
    [[unroll]] for (uint k = 0; k < SIDE; k++) {
        uvec4 w;
        [[unroll]] for (uint m = 0; m < 4; m++)
            w[m] = SIDE == 4 ? line[m][k]
                             : both(line[2 * m % SIDE][k / 2], line[(2 * m + 1) % SIDE][k / 2], k);
        // a choice, so that CPU drivers do not move the arithmetic into the store's loop over lanes
        turned[k] = there ? w : uvec4(0);
    }
    if (there)
        [[unroll]] for (uint k = 0; k < SIDE; k++)
            to_4[at.y + k * step] = turned[k];
}
