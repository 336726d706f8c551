#version 460
// result[i] = x[i - before], elements beyond x's edges being a value, the edge's or mirrored ones
// (nn_pad, vk/nn/layout.c). The last RANK axes, x packed; an invocation makes four in a row, whose
// places it finds by counting on from the first.
#include "nn/common.glsl"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint MODE = 0;
layout(constant_id = 2) const uint TYPE = NN_TYPE_F32;
layout(constant_id = 3) const uint RANK = NN_RANK;
IN_WORDS(0, x)
OUT_WORDS(1, result)
layout(push_constant) uniform Push { nn_pad_push p; };

uint index[NN_RANK]; // of the result's element

void place(uint e)
{
    [[unroll]] for (uint k = 0; k + 1 < RANK; k++) {
        uint axis = NN_RANK - 1 - k;
        uvec2 qr = nn_divide(e, p.shape[axis]);
        index[axis] = qr.y;
        e = qr.x;
    }
    index[NN_RANK - RANK] = e;
}

void advance()
{
    uint carry = 1;
    [[unroll]] for (uint k = 0; k < RANK; k++) {
        uint axis = NN_RANK - 1 - k, i = index[axis] + carry;
        bool wraps = k + 1 < RANK && i == p.shape[axis];
        index[axis] = wraps ? 0 : i;
        carry = uint(wraps);
    }
}

uint element()
{
    uint at = 0, step = 1;
    bool inside = true;
    [[unroll]] for (uint k = 0; k < RANK; k++) {
        uint axis = NN_RANK - 1 - k;
        int n = int(p.from[axis]), i = int(index[axis]) - int(p.before[axis]);
        inside = inside && uint(i) < uint(n);
        if (MODE == NN_PADDING_REFLECT)
            i = i < 0 ? -i : i >= n ? 2 * n - 2 - i : i;
        at += step * uint(clamp(i, 0, n - 1));
        step *= uint(n);
    }
    uint w = LDW1(x, at, TYPE);
    return MODE == NN_PADDING_VALUE && !inside ? p.value : w;
}

void main()
{
    uint i = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    bool there = i < p.count;
    place(p.begin + 4 * min(i, p.count - 1));
    uvec4 w;
    [[unroll]] for (uint k = 0; k < 4; k++) {
        w[k] = element();
        advance();
    }
    if (!nn_wide(TYPE))
        w = uvec4(w.x | w.y << 16, w.z | w.w << 16, 0, 0);
    // a choice, so that CPU drivers do not move the arithmetic into the store's loop over lanes
    w = there ? w : uvec4(0);
    if (there)
        STW4(result, i, w, TYPE)
}
