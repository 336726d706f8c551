#version 460
// result[i] = x[i - before], elements beyond x's edges being a value, the edge's or mirrored ones
// (nn_pad, vk/nn/layout.c). Up to five axes, x packed; an invocation makes four in a row.
#include "nn/common.glsl"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint MODE = 0;
layout(constant_id = 2) const uint TYPE = NN_TYPE_F32;
IN_WORDS(0, x)
OUT_WORDS(1, result)
layout(push_constant) uniform Push { nn_pad_push p; };

uint element(uint e)
{
    uint at = 0, step = 1;
    bool inside = true;
    [[unroll]] for (uint k = 0; k < NN_RANK; k++) {
        uint axis = NN_RANK - 1 - k;
        uvec2 qr = axis > 0 ? nn_divide(e, p.shape[axis]) : uvec2(0, e);
        int n = int(p.from[axis]), i = int(qr.y) - int(p.before[axis]);
        inside = inside && i >= 0 && i < n;
        if (MODE == NN_PADDING_REFLECT)
            i = i < 0 ? -i : i >= n ? 2 * n - 2 - i : i;
        at += step * uint(clamp(i, 0, n - 1));
        step *= uint(n);
        e = qr.x;
    }
    return MODE == NN_PADDING_VALUE && !inside ? p.value : LDW1(x, at, TYPE);
}

void main()
{
    uint i = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x, e = p.begin + 4 * i;
    if (i >= p.count)
        return;
    uvec4 w = uvec4(element(e), element(e + 1), element(e + 2), element(e + 3));
    if (!nn_wide(TYPE))
        w = uvec4(w.x | w.y << 16, w.z | w.w << 16, 0, 0);
    STW4(result, i, w, TYPE)
}
