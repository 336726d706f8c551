#version 460
// Layer and RMS norm of rows as row_norm.comp makes them, by subgroups of LANES invocations, for
// LANES rows each (vk/nn/norm.c). An invocation sums the moments of one row; then the lanes lie side by
// side along the rows, a unit of four or eight elements each, so that what rows share (weight, bias,
// shift, scale) is read once for all of them, and what a subgroup stores is a run of memory.
#extension GL_KHR_shader_subgroup_shuffle : require
#include "nn/common.glsl"
#include "nn/norm_params.h"
#include "nn/act.glsl"
layout(local_size_x = LANES) in;
layout(constant_id = 0) const uint FOURS = 1; // of a unit; two need widths that are multiples of eight
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

// A unit; two fours of 16 bits are bound as 16 bytes.
#define READ(v, name, unit, type)                                                                  \
    {                                                                                              \
        if (FOURS == 1) {                                                                          \
            v[0] = LD4(name, unit, type);                                                          \
        } else if (nn_wide(type)) {                                                                \
            v[0] = LD4(name, 2 * (unit), type);                                                    \
            v[1] = LD4(name, 2 * (unit) + 1, type);                                                \
        } else {                                                                                   \
            uvec4 words = LDQ(name, unit);                                                         \
            v[0] = nn_decode4(words, type);                                                        \
            v[1] = nn_decode4(words.zwxy, type);                                                   \
        }                                                                                          \
    }

float total(vec4 v)
{
    return (v.x + v.y) + (v.z + v.w);
}

void main()
{
    uint lane = gl_SubgroupInvocationID, row0 = GROUP_ID * LANES, last = p.rows - 1;
    uint unit = 4 * FOURS, n = p.width / unit;
    uint from = p.base[0] / unit + min(row0 + lane, last) * n;
    vec4 v[2];
    vec4 sum = vec4(0), squares = vec4(0);
    float origin = 0.0;
    if (RMS == 0) {
        uint first = min(n, 16 / FOURS);
        for (uint i = 0; i < first; i++) {
            READ(v, x, from + i, X_TYPE)
            sum += v[0];
            if (FOURS == 2)
                sum += v[1];
        }
        origin = total(sum) / float(unit * first);
        sum = vec4(0);
    }
    for (uint i = 0; i < n; i++) {
        READ(v, x, from + i, X_TYPE)
        vec4 d = v[0] - origin, e = FOURS == 2 ? v[1] - origin : vec4(0);
        if (RMS == 0)
            sum += d + e;
        squares += d * d + e * e;
    }
    float width = float(p.width), shifted = total(sum) / width;
    float variance = total(squares) / width - (RMS == 0 ? shifted * shifted : 0.0);
    float mean = origin + (RMS == 0 ? shifted : 0.0);
    float factor = 1.0 / sqrt(max(variance, 0.0) + p.eps);

    float means[LANES], factors[LANES];
    [[unroll]] for (uint k = 0; k < LANES; k++) {
        means[k] = subgroupShuffle(mean, k);
        factors[k] = subgroupShuffle(factor, k);
    }
    // once for each shift and scale: nearly always they are of one
    uint group = (p.begin + row0) / p.modulated;
    uint end = (p.begin + min(row0 + LANES - 1, last)) / p.modulated;
    for (; group <= end; group++) {
        uint wi = p.base[1] / unit, bi = p.base[2] / unit;
        uint si = p.base[3] / unit + group * n, ci = p.base[4] / unit + group * n;
        for (uint i0 = 0; i0 < n; i0 += LANES) {
            uint i = min(i0 + lane, n - 1);
            vec4 w[2], b[2], s[2], h[2];
            if (WEIGHT_TYPE != 0)
                READ(w, weight, wi + i, WEIGHT_TYPE)
            if (BIAS_TYPE != 0)
                READ(b, bias, bi + i, BIAS_TYPE)
            if (SCALE_TYPE != 0)
                READ(s, scale, ci + i, SCALE_TYPE)
            if (SHIFT_TYPE != 0)
                READ(h, shift, si + i, SHIFT_TYPE)
            [[unroll]] for (uint k = 0; k < LANES; k++) {
                uint row = min(row0 + k, last), at = row * n + i;
                bool there = i0 + lane < n && row0 + k <= last &&
                             (p.begin + row) / p.modulated == group;
                READ(v, x, p.base[0] / unit + at, X_TYPE)
                uvec4 words[2];
                [[unroll]] for (uint f = 0; f < FOURS; f++) {
                    v[f] = (v[f] - means[k]) * factors[k];
                    if (WEIGHT_TYPE != 0)
                        v[f] *= w[f];
                    if (BIAS_TYPE != 0)
                        v[f] += b[f];
                    if (SCALE_TYPE != 0)
                        v[f] *= 1.0 + s[f];
                    if (SHIFT_TYPE != 0)
                        v[f] += h[f];
                    // a choice: see row_norm.comp
                    words[f] = there ? nn_encode4(nn_act4(ACT, v[f], p.a, p.b), OUT_TYPE) : uvec4(0);
                }
                if (there) {
                    if (FOURS == 1)
                        STW4(result, at, words[0], OUT_TYPE)
                    else if (nn_wide(OUT_TYPE)) {
                        result_4[2 * at] = words[0];
                        result_4[2 * at + 1] = words[1];
                    } else {
                        result_4[at] = uvec4(words[0].xy, words[1].xy);
                    }
                }
            }
        }
    }
}
