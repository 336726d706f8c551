#version 460
// result[o][i][q] = sum over k of weight[k][i] x[o][index[k][i]][q]: one axis resampled by a table of
// taps that the host makes (nn_resize, nn_upsample; vk/nn/resample.c). An invocation makes four
// results in a row. FOURS: the axes after it hold a multiple of four, so these share their taps;
// LINE: there are none after it and a line holds a multiple of four, so they are of one line.
#include "nn/common.glsl"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint MODE = NN_RESAMPLE_ANY;
layout(constant_id = 2) const uint TYPE = NN_TYPE_F32;
layout(constant_id = 3) const uint TAPS = 1;
IN_WORDS(0, x)
IN_F1(1, weight)
IN_WORDS(2, index)
OUT_WORDS(3, result)
layout(push_constant) uniform Push { nn_resample_push p; };

vec4 fours(uint e)
{
    uvec2 inner = nn_divide(e, p.inner), outer = nn_divide(inner.x, p.to);
    uint q = inner.y, i = outer.y, o = outer.x;
    vec4 sum = vec4(0);
    for (uint k = 0; k < TAPS; k++) {
        uint from = LDW1(index, k * p.to + i, NN_TYPE_I32);
        sum += FETCH1(weight, k * p.to + i, NN_TYPE_F32) *
               LD4(x, (((o * p.from + from) * p.inner) + q) / 4, TYPE);
    }
    return sum;
}

vec4 line(uint e)
{
    uvec2 outer = nn_divide(e, p.to);
    uint i = outer.y / 4, line = outer.x * p.from, n = p.to / 4;
    vec4 sum = vec4(0);
    for (uint k = 0; k < TAPS; k++) {
        uvec4 at = LDW4(index, k * n + i, NN_TYPE_I32) + line;
        sum += FETCH4(weight, k * n + i, NN_TYPE_F32) *
               vec4(LD1(x, at.x, TYPE), LD1(x, at.y, TYPE), LD1(x, at.z, TYPE), LD1(x, at.w, TYPE));
    }
    return sum;
}

float any(uint e)
{
    uvec2 inner = nn_divide(e, p.inner), outer = nn_divide(inner.x, p.to);
    uint q = inner.y, i = outer.y, o = outer.x;
    float sum = 0.0;
    for (uint k = 0; k < TAPS; k++) {
        uint from = LDW1(index, k * p.to + i, NN_TYPE_I32);
        sum += FETCH1(weight, k * p.to + i, NN_TYPE_F32) *
               LD1(x, (o * p.from + from) * p.inner + q, TYPE);
    }
    return sum;
}

void main()
{
    uint i = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    bool there = i < p.count;
    uint e = p.begin + 4 * min(i, p.count - 1);
    vec4 v = MODE == NN_RESAMPLE_FOURS ? fours(e)
             : MODE == NN_RESAMPLE_LINE
                 ? line(e)
                 : vec4(any(e), any(min(e + 1, p.last)), any(min(e + 2, p.last)),
                        any(min(e + 3, p.last)));
    // a choice, so that CPU drivers do not move the arithmetic into the store's loop over lanes
    uvec4 words = there ? nn_encode4(v, TYPE) : uvec4(0);
    if (there)
        STW4(result, i, words, TYPE)
}
