#version 460
// to[..., m, ..., 2 i + k] = from[..., i], k = 0, 1, m < TIMES: a copy (vk/nn/layout.c) that doubles
// the elements of lines and repeats lines, such as into a picture twice as large. An invocation
// reads 16 bytes and writes twice as many into each of TIMES lines; p.shape counts reads along a
// line.
#include "nn/common.glsl"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint RANK = 1;
layout(constant_id = 2) const uint TYPE = NN_TYPE_F32;
layout(constant_id = 3) const uint TIMES = 1;
IN_WORDS(0, from)
OUT_WORDS(1, to)
layout(push_constant) uniform Push { nn_turn_push p; };

const uint SIDE = TYPE == NN_TYPE_F32 || TYPE == NN_TYPE_I32 ? 4 : 8;

// Two 16-bit elements, each twice.
uvec2 twice(uint w)
{
    return uvec2((w & 0xffffu) | w << 16, w >> 16 | (w & 0xffff0000u));
}

void main()
{
    uint id = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x, step = p.to_step / SIDE;
    bool there = id < p.count;
    uint e = min(id, p.count - 1);
    uvec2 at = uvec2(p.from_base, p.to_base);
    [[unroll]] for (uint n = 1; n < RANK; n++) {
        uint axis = RANK - n;
        uvec2 qr = nn_divide(e, p.shape[axis]);
        at += qr.y * uvec2(p.from[axis], p.to[axis]);
        e = qr.x;
    }
    at = (at + e * uvec2(p.from[0], p.to[0])) / SIDE;
    uvec4 w = LDQ(from, at.x), a = w.xxyy, b = w.zzww;
    if (SIDE == 8) {
        a = uvec4(twice(w.x), twice(w.y));
        b = uvec4(twice(w.z), twice(w.w));
    }
    // a choice, so that CPU drivers do not move the arithmetic into the store's loop over lanes
    a = there ? a : uvec4(0);
    b = there ? b : uvec4(0);
    if (there)
        [[unroll]] for (uint k = 0; k < TIMES; k++) {
            to_4[at.y + k * step] = a;
            to_4[at.y + k * step + 1] = b;
        }
}
