#version 460
// result[row] = softmax(scale x[row]) over rows of p.n elements, a multiple of four (nn_softmax,
// vk/nn/softmax.c). A workgroup a row: largest value and sum of exponentials in one pass, kept per
// lane and merged by all, then the quotients. Lanes take every LANES'th four.
#include "nn/common.glsl"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint X_TYPE = NN_TYPE_F32;
layout(constant_id = 2) const uint OUT_TYPE = NN_TYPE_F32;
layout(constant_id = 0) const uint LANES = 64;
IN_WORDS(0, x)
OUT_WORDS(1, result)
layout(push_constant) uniform Push { nn_softmax_push p; };
shared float part[LANES];

const float LOWEST = -3.0e38; // below all but -infinity, whose exponential must not be NaN

void main()
{
    uint row = GROUP_ID, lane = gl_LocalInvocationID.x, fours = p.n / 4;
    bool inside = row < p.rows;
    uint first = inside ? row * fours : 0;
    float top = LOWEST, sum = 0.0;
    for (uint i = lane; i < fours && inside; i += LANES) {
        vec4 v = LD4(x, first + i, X_TYPE) * p.scale;
        float m = max(max(v.x, v.y), max(v.z, v.w)), next = max(top, m);
        vec4 e = exp(v - next);
        sum = sum * exp(top - next) + (e.x + e.y) + (e.z + e.w);
        top = next;
    }
    part[lane] = top;
    barrier();
    float all = top;
    for (uint k = 0; k < LANES; k++)
        all = max(all, part[k]);
    barrier();
    part[lane] = sum * exp(top - all);
    barrier();
    sum = 0.0;
    for (uint k = 0; k < LANES; k++)
        sum += part[k];
    float scale = 1.0 / sum;
    for (uint i = lane; i < fours && inside; i += LANES) {
        vec4 v = exp(LD4(x, first + i, X_TYPE) * p.scale - all) * scale;
        ST4(result, first + i, v, OUT_TYPE)
    }
}
