#version 460
// result[o][i][q] = sum over k of weight[i][k] x[o][index[i][k]][q]: one axis resampled by a table of
// taps that the host makes (nn_resize, nn_upsample; vk/nn/resample.c). FOUR: the axes after it hold
// a multiple of four and an invocation makes four of them; else four results in a row.
#include "nn/common.glsl"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint FOUR = 1;
layout(constant_id = 2) const uint TYPE = NN_TYPE_F32;
IN_WORDS(0, x)
IN_F1(1, weight)
IN_WORDS(2, index)
OUT_WORDS(3, result)
layout(push_constant) uniform Push { nn_resample_push p; };

vec4 four(uint e)
{
    uvec2 inner = nn_divide(e, p.inner), outer = nn_divide(inner.x, p.to);
    uint q = inner.y, i = outer.y, o = outer.x;
    vec4 sum = vec4(0);
    for (uint k = 0; k < p.taps; k++) {
        uint from = LDW1(index, i * p.taps + k, NN_TYPE_I32);
        sum += FETCH1(weight, i * p.taps + k, NN_TYPE_F32) *
               LD4(x, (((o * p.from + from) * p.inner) + q) / 4, TYPE);
    }
    return sum;
}

float one(uint e)
{
    uvec2 inner = nn_divide(e, p.inner), outer = nn_divide(inner.x, p.to);
    uint q = inner.y, i = outer.y, o = outer.x;
    float sum = 0.0;
    for (uint k = 0; k < p.taps; k++) {
        uint from = LDW1(index, i * p.taps + k, NN_TYPE_I32);
        sum += FETCH1(weight, i * p.taps + k, NN_TYPE_F32) *
               LD1(x, (o * p.from + from) * p.inner + q, TYPE);
    }
    return sum;
}

void main()
{
    uint i = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x, e = p.begin + 4 * i;
    if (i >= p.count)
        return;
    vec4 v = FOUR == 1 ? four(e)
                       : vec4(one(e), one(min(e + 1, p.last)), one(min(e + 2, p.last)),
                              one(min(e + 3, p.last)));
    ST4(result, i, v, TYPE)
}
