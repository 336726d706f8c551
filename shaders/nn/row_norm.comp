#version 460
// Layer and RMS norm of rows whose width is a multiple of four: an invocation does a row, in two
// passes over it (moments, result; nn_layer_norm, nn_rms_norm in vk/nn/norm.c).
// result = act(n(x) weight + bias) (1 + scale) + shift).
//
// Sums are of differences from an origin, the mean of the row's first k elements: a large mean costs
// no digits, and as those k are part of the variance, (mean - origin)^2 is at most width / k times
// it, whatever the row holds.
#include "nn/common.glsl"
#include "nn/norm_params.h"
#include "nn/act.glsl"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint RMS = 0;
layout(constant_id = 2) const uint ACT = 0;
layout(constant_id = 3) const uint X_TYPE = NN_TYPE_F32;
layout(constant_id = 4) const uint WEIGHT_TYPE = 0; // 0: none
layout(constant_id = 5) const uint BIAS_TYPE = 0;
layout(constant_id = 6) const uint SHIFT_TYPE = 0;
layout(constant_id = 7) const uint SCALE_TYPE = 0;
layout(constant_id = 8) const uint OUT_TYPE = NN_TYPE_F32;
IN_WORDS(0, x)
IN_WORDS(1, weight)
IN_WORDS(2, bias)
IN_WORDS(3, shift)
IN_WORDS(4, scale)
OUT_WORDS(5, result)
layout(push_constant) uniform Push { nn_row_push p; };

float total(vec4 v)
{
    return (v.x + v.y) + (v.z + v.w);
}

void main()
{
    uint row = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    bool there = row < p.rows;
    row = min(row, p.rows - 1);
    uint n = p.width / 4, from = p.base[0] / 4 + row * n, to = row * n;
    uint wi = p.base[1] / 4, bi = p.base[2] / 4, group = (p.begin + row) / p.modulated;
    uint si = p.base[3] / 4 + group * n, ci = p.base[4] / 4 + group * n;
    float width = float(p.width), a = p.a, b = p.b;
    vec4 sum = vec4(0);
    vec4 squares = vec4(0);
    float origin = 0.0;
    if (RMS == 0) {
        uint first = min(n, 16);
        for (uint i = 0; i < first; i++)
            sum += LD4(x, from + i, X_TYPE);
        origin = total(sum) / float(4 * first);
        sum = vec4(0);
    }
    uint i = 0;
    for (; i + 1 < n; i += 2) { // loops of CPU drivers cost more than their arithmetic
        vec4 d = LD4(x, from + i, X_TYPE) - origin, e = LD4(x, from + i + 1, X_TYPE) - origin;
        if (RMS == 0)
            sum += d + e;
        squares += d * d + e * e;
    }
    if (i < n) {
        vec4 d = LD4(x, from + i, X_TYPE) - origin;
        sum += d;
        squares += d * d;
    }
    float shifted = total(sum) / width;
    float variance = max(total(squares) / width - shifted * shifted, 0.0);
    float mean = origin + (RMS == 0 ? shifted : 0.0);
    variance = RMS == 0 ? variance : total(squares) / width;
    float factor = 1.0 / sqrt(variance + p.eps);
    for (uint i = 0; i < n; i++) {
        vec4 v = (LD4(x, from + i, X_TYPE) - mean) * factor;
        if (WEIGHT_TYPE != 0)
            v *= LD4(weight, wi + i, WEIGHT_TYPE);
        if (BIAS_TYPE != 0)
            v += LD4(bias, bi + i, BIAS_TYPE);
        if (SCALE_TYPE != 0)
            v *= 1.0 + LD4(scale, ci + i, SCALE_TYPE);
        if (SHIFT_TYPE != 0)
            v += LD4(shift, si + i, SHIFT_TYPE);
        v = nn_act4(ACT, v, a, b);
        // a choice, so that CPU drivers do not move the arithmetic into the store's loop over lanes
        uvec4 words = there ? nn_encode4(v, OUT_TYPE) : uvec4(0);
        if (there)
            STW4(result, to + i, words, OUT_TYPE)
    }
}
