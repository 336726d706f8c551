#version 460
// result[row] = softmax(scale x[row]) over rows of p.n elements, a multiple of four (nn_softmax,
// vk/nn/softmax.c): largest value and sum of exponentials in one pass, then the quotients. SHORT: an
// invocation a row. Else a workgroup a row, whose lanes take every LANES'th four and merge what they
// have found.
#include "nn/common.glsl"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint X_TYPE = NN_TYPE_F32;
layout(constant_id = 2) const uint OUT_TYPE = NN_TYPE_F32;
layout(constant_id = 0) const uint LANES = 64;
layout(constant_id = 3) const uint SHORT = 0;
IN_WORDS(0, x)
OUT_WORDS(1, result)
layout(push_constant) uniform Push { nn_softmax_push p; };
shared float part[LANES];

const float LOWEST = -3.0e38; // below all but -infinity, whose exponential must not be NaN

void main()
{
    uint lane = gl_LocalInvocationID.x, fours = p.n / 4, step = SHORT != 0 ? 1 : LANES;
    uint row = SHORT != 0 ? GROUP_ID * LANES + lane : GROUP_ID;
    bool inside = row < p.rows;
    uint first = min(row, p.rows - 1) * fours, begin = SHORT != 0 ? 0 : lane;
    float top = LOWEST, sum = 0.0, factor = p.scale;
    // two fours a turn, the last of an odd number twice but added once: a rescaled sum for eight
    for (uint i = begin; i < fours; i += 2 * step) {
        bool more = i + step < fours;
        vec4 v = LD4(x, first + i, X_TYPE) * factor;
        vec4 w = LD4(x, first + (more ? i + step : i), X_TYPE) * factor, m = max(v, w);
        float next = max(max(top, max(m.x, m.y)), max(m.z, m.w));
        vec4 e = exp(v - next), f = exp(w - next);
        f = more ? e + f : e;
        sum = sum * exp(top - next) + (f.x + f.y) + (f.z + f.w);
        top = next;
    }
    float all = top;
    if (SHORT == 0) {
        part[lane] = top;
        barrier();
        for (uint k = 0; k < LANES; k++)
            all = max(all, part[k]);
        barrier();
        part[lane] = sum * exp(top - all);
        barrier();
        sum = 0.0;
        for (uint k = 0; k < LANES; k++)
            sum += part[k];
    }
    float scale = 1.0 / sum;
    for (uint i = begin; i < fours; i += step) {
        vec4 v = exp(LD4(x, first + i, X_TYPE) * factor - all) * scale;
        // a choice, so that CPU drivers do not move the arithmetic into the store's loop over lanes
        uvec4 words = inside ? nn_encode4(v, OUT_TYPE) : uvec4(0);
        if (inside)
            STW4(result, first + i, words, OUT_TYPE)
    }
}
