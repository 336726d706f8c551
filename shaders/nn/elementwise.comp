#version 460
// result = f(x, y, z; a, b) elementwise with broadcasting: nn_add ... nn_activate, nn_cast
// (vk/nn/elementwise.c). An invocation makes UNROLL times four results in a row; operands are
// read as their mode says. Axes are merged by the caller so that there are few.
#include "nn/common.glsl"
#include "nn/act.glsl"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint OP = 0;
layout(constant_id = 2) const uint ACT = 0;
layout(constant_id = 3) const uint X_MODE = NN_EW_NONE;
layout(constant_id = 4) const uint Y_MODE = NN_EW_NONE;
layout(constant_id = 5) const uint Z_MODE = NN_EW_NONE;
layout(constant_id = 6) const uint X_TYPE = NN_TYPE_F32;
layout(constant_id = 7) const uint Y_TYPE = NN_TYPE_F32;
layout(constant_id = 8) const uint Z_TYPE = NN_TYPE_F32;
layout(constant_id = 9) const uint OUT_TYPE = NN_TYPE_F32;
layout(constant_id = 10) const uint RANK = 1;
IN_WORDS(0, x)
IN_WORDS(1, y)
IN_WORDS(2, z)
OUT_WORDS(3, result)
layout(push_constant) uniform Push { nn_elementwise_push p; };
#define UNROLL 4

// Where operand k has what result element e needs.
uint place(uint k, uint e)
{
    uint at = p.base[k];
    [[unroll]] for (uint n = 1; n < RANK; n++) {
        uint axis = RANK - n;
        uvec2 qr = nn_divide(e, p.shape[axis]);
        at += qr.y * p.stride[k * NN_RANK + axis];
        e = qr.x;
    }
    return at + e * p.stride[k * NN_RANK];
}

#define OPERAND(k, name, MODE, TYPE)                                                               \
    vec4 four_##name(uint i, uint e)                                                               \
    {                                                                                              \
        if (MODE == NN_EW_FLAT)                                                                    \
            return LD4(name, i + p.base[k] / 4, TYPE);                                             \
        if (MODE == NN_EW_FOUR) {                                                                  \
            uint at = place(k, e) / 4;                                                             \
            return LD4(name, at, TYPE);                                                            \
        }                                                                                          \
        if (MODE == NN_EW_SPLAT) {                                                                 \
            uint at = place(k, e);                                                                 \
            return vec4(LD1(name, at, TYPE));                                                      \
        }                                                                                          \
        if (MODE == NN_EW_SINGLE) {                                                                \
            uint i0 = place(k, e), i1 = place(k, e + 1), i2 = place(k, e + 2),                     \
                 i3 = place(k, e + 3);                                                             \
            return vec4(LD1(name, i0, TYPE), LD1(name, i1, TYPE), LD1(name, i2, TYPE),             \
                        LD1(name, i3, TYPE));                                                      \
        }                                                                                          \
        return vec4(0);                                                                            \
    }
OPERAND(0, x, X_MODE, X_TYPE)
OPERAND(1, y, Y_MODE, Y_TYPE)
OPERAND(2, z, Z_MODE, Z_TYPE)

vec4 compute(vec4 u, vec4 v, vec4 w)
{
    switch (OP) {
    case NN_EW_ADD:
        return u + v;
    case NN_EW_SUB:
        return u - v;
    case NN_EW_MUL:
        return u * v;
    case NN_EW_DIV:
        return u / v;
    case NN_EW_MIN:
        return min(u, v);
    case NN_EW_MAX:
        return max(u, v);
    case NN_EW_FMA:
        return u * v + w;
    case NN_EW_GATED:
        return u + v * w;
    case NN_EW_LERP:
        return u + (v - u) * w;
    case NN_EW_MODULATE:
        return u * (1.0 + w) + v;
    case NN_EW_SCALE:
        return u * p.a + p.b;
    case NN_EW_EXP:
        return exp(u);
    case NN_EW_SQRT:
        return sqrt(u);
    }
    return nn_act4(ACT, u, p.a, p.b);
}

void main()
{
    uint first = GROUP_ID * gl_WorkGroupSize.x * UNROLL + gl_LocalInvocationID.x;
    uvec4 words[UNROLL];
    // all results before the first store, after which CPU drivers read push constants anew; chosen
    // by lane, or they would move the arithmetic into the store's loop over lanes
    [[unroll]] for (uint k = 0; k < UNROLL; k++) {
        uint i = first + k * gl_WorkGroupSize.x, at = min(i, p.count - 1), e = p.begin + 4 * at;
        vec4 r = compute(four_x(at, e), four_y(at, e), four_z(at, e));
        words[k] = i < p.count ? nn_encode4(r, OUT_TYPE) : uvec4(0);
    }
    [[unroll]] for (uint k = 0; k < UNROLL; k++) {
        uint i = first + k * gl_WorkGroupSize.x;
        if (i < p.count)
            STW4(result, i, words[k], OUT_TYPE)
    }
}
