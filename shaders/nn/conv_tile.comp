#version 460
// result[p, o] = act(sum over tap, c of x[q(p, tap), c] w[tap, c, o] + bias[o]) + residual[p, o],
// channels last: nn_conv (vk/nn/conv_tile.c) as a product of register tiles without im2col.
//
// A workgroup is one subgroup of LANES; a lane makes ROWS positions of four channels, neighbouring
// lanes neighbouring channels, so a workgroup owns one panel of w. Every step takes STEP fours of
// x's channels: each lane fetches its columns of w, and the positions' channels are spread over the
// lanes, one position a lane, and handed round by shuffles with constant indices. Accumulators are
// touched once a step (sums of products first): on CPU drivers they live in memory.
// w is packed by conv_pack.comp: [panel][tap][k][lane] fours of channels of the result.
#include "nn/common.glsl"
#include "nn/act.glsl"
#include "nn/conv_params.h"
#extension GL_KHR_shader_subgroup_shuffle : require
layout(local_size_x = LANES) in;
layout(constant_id = 0) const uint X_TYPE = NN_TYPE_F32;
layout(constant_id = 1) const uint W_TYPE = NN_TYPE_F32;
layout(constant_id = 2) const uint OUT_TYPE = NN_TYPE_F32;
layout(constant_id = 3) const uint ACT = NN_ACT_IDENTITY;
layout(constant_id = 4) const uint BIAS_TYPE = 0; // 0: there is none
layout(constant_id = 5) const uint RESIDUAL_TYPE = 0;
layout(constant_id = 6) const uint ZEROS = 0;  // taps can lie outside x and count as zeros
layout(constant_id = 7) const uint BEFORE = 0; // frames before x are in `before`
layout(constant_id = 8) const uint UPSAMPLED = 0;
layout(constant_id = 9) const uint ODD = 0; // x's fours are no multiple of STEP
IN_F4(0, x)
IN_WORDS(1, x_bits) // the same, for bf16
IN_F4(2, before)
IN_WORDS(3, before_bits)
IN_F4(4, w)
IN_WORDS(5, w_bits)
IN_WORDS(6, bias)
IN_WORDS(7, residual)
OUT_WORDS(8, result)
layout(push_constant) uniform Push { nn_conv_tile_push p; };

const uint GROUPS = (ROWS + LANES - 1) / LANES; // of positions, one a lane
const bool X_BITS = X_TYPE == NN_TYPE_BF16, W_BITS = W_TYPE == NN_TYPE_BF16;

ivec3 unpack(uint v)
{
    return ivec3(v & 1023u, v >> 10 & 1023u, v >> 20);
}

// Where along an axis of n (upsampled) elements the place `at` is read; inside is false where that
// is a zero.
int source(int at, int n, uint mode, float shrink, inout bool inside)
{
    if (mode == NN_CONV_REFLECT) {
        at = abs(at);
        at = at >= n ? 2 * n - 2 - at : at;
    }
    int held = clamp(at, 0, n - 1);
    inside = inside && (mode != NN_CONV_ZERO || held == at);
    return UPSAMPLED == 0 ? held : int((float(held) + 0.5) * shrink);
}

vec4 fetch(uint i)
{
    if (X_BITS)
        return LD4(x_bits, i, X_TYPE);
    return FETCH4(x, i, X_TYPE);
}

vec4 fetch_before(uint i)
{
    if (X_BITS)
        return LD4(before_bits, i, X_TYPE);
    return FETCH4(before, i, X_TYPE);
}

vec4 fetch_w(uint i)
{
    if (W_BITS)
        return LD4(w_bits, i, W_TYPE);
    return FETCH4(w, i, W_TYPE);
}

void main()
{
    uint lane = gl_SubgroupInvocationID, m0 = gl_WorkGroupID.x * ROWS, panel = gl_WorkGroupID.y;
    ivec3 kernel = unpack(p.kernel), stride = unpack(p.stride), dilation = unpack(p.dilation);
    ivec3 pad = unpack(p.pad), times = unpack(p.upsample);
    ivec3 size = ivec3(p.from[0], p.from[1], p.from[2]) * times;
    vec3 shrink = 1.0 / vec3(times);
    uint mode_t = p.modes & 3u, mode_h = p.modes >> 2 & 3u, mode_w = p.modes >> 4;
    uint count = p.count, fours = p.in_fours, padded = (fours + STEP - 1) / STEP * STEP;
    uvec3 x_stride = uvec3(p.x_stride[0], p.x_stride[1], p.x_stride[2]) / 4;
    uvec3 before_stride = uvec3(p.before_stride[0], p.before_stride[1], p.before_stride[2]) / 4;
    uint x_base = uint(int(p.x_base) / 4), before_base = p.before_base / 4;

    vec4 c[ROWS];
    [[unroll]] for (uint i = 0; i < ROWS; i++)
        c[i] = vec4(0);
    ivec3 corner[GROUPS];
    [[unroll]] for (uint g = 0; g < GROUPS; g++) {
        uint m = p.begin + min(m0 + g * LANES + lane, count - 1);
        uint row = m / p.to[2], frame = row / p.to[1];
        corner[g] = ivec3(frame, row - frame * p.to[1], m - row * p.to[2]) * stride - pad;
    }

    uint at_w = panel * uint(kernel.x * kernel.y * kernel.z) * padded * 4 * LANES + lane;
    for (int kt = 0; kt < kernel.x; kt++)
        for (int kh = 0; kh < kernel.y; kh++)
            for (int kw = 0; kw < kernel.z; kw++) {
                uint at_x[GROUPS], at_before[GROUPS];
                bool inside[GROUPS], early[GROUPS];
                [[unroll]] for (uint g = 0; g < GROUPS; g++) {
                    ivec3 q = corner[g] + ivec3(kt, kh, kw) * dilation;
                    inside[g] = true;
                    early[g] = BEFORE != 0 && q.x < 0;
                    uint frame = uint(q.x + pad.x);
                    bool inside_t = true;
                    q.x = source(q.x, size.x, mode_t, shrink.x, inside_t);
                    q.y = source(q.y, size.y, mode_h, shrink.y, inside[g]);
                    q.z = source(q.z, size.z, mode_w, shrink.z, inside[g]);
                    inside[g] = inside[g] && (early[g] || inside_t);
                    at_x[g] = x_base + uint(q.x) * x_stride.x + uint(q.y) * x_stride.y +
                              uint(q.z) * x_stride.z;
                    if (BEFORE != 0)
                        at_before[g] = before_base + min(frame, uint(pad.x) - 1) * before_stride.x +
                                       uint(q.y) * before_stride.y + uint(q.z) * before_stride.z;
                }
                for (uint k = 0; k < padded; k += STEP) {
                    vec4 xk[STEP * GROUPS], wk[STEP * 4];
                    [[unroll]] for (uint s = 0; s < STEP; s++) {
                        uint ks = ODD == 0 ? k + s : min(k + s, fours - 1);
                        bool there = ODD == 0 || k + s < fours;
                        [[unroll]] for (uint g = 0; g < GROUPS; g++) {
                            vec4 v = fetch(at_x[g] + ks);
                            if (BEFORE != 0) {
                                vec4 u = fetch_before(at_before[g] + ks);
                                v = early[g] ? u : v;
                            }
                            if (ZEROS != 0 || ODD != 0)
                                v = inside[g] && there ? v : vec4(0);
                            xk[s * GROUPS + g] = v;
                        }
                        [[unroll]] for (uint q = 0; q < 4; q++)
                            wk[s * 4 + q] = fetch_w(at_w + (s * 4 + q) * LANES);
                    }
                    at_w += STEP * 4 * LANES;
                    [[unroll]] for (uint i = 0; i < ROWS; i++) {
                        vec4 sum = vec4(0);
                        [[unroll]] for (uint s = 0; s < STEP; s++) {
                            vec4 v = xk[s * GROUPS + i / LANES];
                            vec4 even = subgroupShuffle(v.x, i % LANES) * wk[s * 4] +
                                        subgroupShuffle(v.y, i % LANES) * wk[s * 4 + 1];
                            vec4 odd = subgroupShuffle(v.z, i % LANES) * wk[s * 4 + 2] +
                                       subgroupShuffle(v.w, i % LANES) * wk[s * 4 + 3];
                            sum = s == 0 ? even + odd : sum + (even + odd);
                        }
                        c[i] += sum;
                    }
                }
            }

    uint n = panel * LANES + lane, columns = p.out_fours;
    uint at_residual = p.residual_base / 4 + m0 * columns + n;
    uint at_out = p.out_base / 4 + m0 * columns + n;
    bool mine = n < columns;
    float act_a = p.act_a, act_b = p.act_b;
    vec4 addend = vec4(0);
    if (BIAS_TYPE != 0)
        addend = LD4(bias, p.bias_base / 4 + n, BIAS_TYPE);
    [[unroll]] for (uint i = 0; i < ROWS; i++) {
        bool there = mine && m0 + i < count;
        vec4 v = nn_act4(ACT, c[i] + addend, act_a, act_b);
        if (RESIDUAL_TYPE != 0)
            v += LD4(residual, at_residual + i * columns, RESIDUAL_TYPE);
        if (there)
            ST4(result, at_out + i * columns, v, OUT_TYPE)
    }
}
