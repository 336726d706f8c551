#version 460
// Panels of numbers, as matmul.comp reads them, of a matrix of codes (vk/nn/matrix.c):
//   to[panel][k][lane] = code[n, k] scale[n, k / 64] / smooth[k] + sum_r down[k, r] up[n, r]
// for four columns n a lane. The sum is made like a product in matmul.comp: a workgroup is one subgroup
// that owns ROWS k of a panel, rows of `down` are handed round by shuffles. WIDE, for devices without
// subgroups of a certain size: every invocation reads its rows by itself.
#include "nn/common.glsl"
#include "nn/matmul_params.h"
#ifdef WIDE
#define LANES 16
#define ROWS 8
layout(local_size_x = 16, local_size_y = 4) in;
#else
#extension GL_KHR_shader_subgroup_shuffle : require
layout(local_size_x = LANES) in;
#endif
layout(constant_id = 0) const uint CODE = NN_CODED_INT4;
layout(constant_id = 1) const uint SMOOTH = 0;
layout(constant_id = 2) const uint LOW_RANK = 0;
layout(constant_id = 3) const uint OUT_TYPE = NN_TYPE_F32;
layout(constant_id = 4) const uint PLAIN_TYPE = NN_TYPE_F32; // of panels, where there are no codes
IN_WORDS(0, codes)
IN_F4(1, scales)
IN_F4(2, smooth_inverse)
IN_F4(3, down)
IN_F4(4, up)
OUT_WORDS(5, to)
layout(push_constant) uniform Push { nn_matrix_push p; };

const float nf4[16] = float[](NN_NF4_VALUES);

// Four columns' codes number i of eight, in words `low` (and `high`, of 8-bit codes).
vec4 decode(uvec4 low, uvec4 high, uint i)
{
    if (CODE == NN_CODED_INT4)
        return vec4(ivec4((low ^ 0x88888888u) << (28 - 4 * i)) >> 28);
    if (CODE == NN_CODED_INT8)
        return vec4(ivec4((i < 4 ? low : high) << (24 - 8 * (i & 3))) >> 24);
    uvec4 at = low >> (4 * i) & 15u;
    return vec4(nf4[at.x], nf4[at.y], nf4[at.z], nf4[at.w]);
}

void main()
{
    uint panel = p.panel + gl_WorkGroupID.x;
#ifdef WIDE
    uint lane = gl_LocalInvocationID.x, k0 = (gl_WorkGroupID.y * 4 + gl_LocalInvocationID.y) * ROWS;
#else
    uint lane = gl_SubgroupInvocationID, k0 = gl_WorkGroupID.y * ROWS;
#endif
    uint n = min(panel * LANES + lane, p.fours - 1), depth = p.depth, eights = p.groups * 8;
    vec4 c[ROWS];
    [[unroll]] for (uint i = 0; i < ROWS; i++)
        c[i] = vec4(0);
    if (LOW_RANK != 0) {
        uint rank = p.rank, at_up = n * 4 * rank;
#ifdef WIDE
        for (uint r = 0; r < rank; r++) {
            vec4 b0 = FETCH4(up, at_up + 4 * r, NN_TYPE_F16), b1 = FETCH4(up, at_up + 4 * r + 1, NN_TYPE_F16);
            vec4 b2 = FETCH4(up, at_up + 4 * r + 2, NN_TYPE_F16), b3 = FETCH4(up, at_up + 4 * r + 3, NN_TYPE_F16);
            [[unroll]] for (uint i = 0; i < ROWS; i++) {
                vec4 v = FETCH4(down, min(k0 + i, p.last) * rank + r, NN_TYPE_F16);
                c[i] += (v.x * b0 + v.y * b1) + (v.z * b2 + v.w * b3);
            }
        }
#else
        const uint GROUPS = (ROWS + LANES - 1) / LANES; // of rows, one row a lane
        uint at_down[GROUPS];
        [[unroll]] for (uint g = 0; g < GROUPS; g++)
            at_down[g] = min(k0 + g * LANES + lane, p.last) * rank;
        for (uint r = 0; r < rank; r++) {
            vec4 a[GROUPS], b[4];
            [[unroll]] for (uint g = 0; g < GROUPS; g++)
                a[g] = FETCH4(down, at_down[g] + r, NN_TYPE_F16);
            [[unroll]] for (uint q = 0; q < 4; q++)
                b[q] = FETCH4(up, at_up + 4 * r + q, NN_TYPE_F16);
            [[unroll]] for (uint i = 0; i < ROWS; i++) {
                vec4 v = a[i / LANES];
                c[i] += (subgroupShuffle(v.x, i % LANES) * b[0] + subgroupShuffle(v.y, i % LANES) * b[1]) +
                        (subgroupShuffle(v.z, i % LANES) * b[2] + subgroupShuffle(v.w, i % LANES) * b[3]);
            }
        }
#endif
    }
    uint to_at = (gl_WorkGroupID.x * depth + k0) * LANES + lane;
    if (CODE == NN_CODED_NONE) {
        [[unroll]] for (uint i = 0; i < ROWS; i++)
            if (k0 + i < depth) {
                uint at = to_at + i * LANES;
                ST4(to, at, c[i] + LD4(codes, at, PLAIN_TYPE), OUT_TYPE)
            }
        return;
    }
    [[unroll]] for (uint e = 0; e < ROWS / 8; e++) {
        uint eight = min(k0 / 8 + e, eights - 1);
        vec4 scale = FETCH4(scales, n * p.groups + eight / 8, NN_TYPE_F16);
        uvec4 low, high = uvec4(0);
        if (CODE == NN_CODED_INT8) {
            low = LDQ(codes, (n * eights + eight) * 2);
            high = LDQ(codes, (n * eights + eight) * 2 + 1);
        } else {
            low = LDQ(codes, n * eights + eight);
        }
        vec4 s[2] = {vec4(1), vec4(1)};
        if (SMOOTH != 0) {
            uint at = min(eight, p.last / 8) * 2;
            s[0] = FETCH4(smooth_inverse, at, NN_TYPE_F32);
            s[1] = FETCH4(smooth_inverse, at + 1, NN_TYPE_F32);
        }
        [[unroll]] for (uint i = 0; i < 8; i++) {
            vec4 v = decode(low, high, i) * (SMOOTH != 0 ? scale * s[i / 4][i % 4] : scale);
            if (LOW_RANK != 0)
                v += c[8 * e + i];
            if (k0 + 8 * e + i < depth)
                ST4(to, to_at + (8 * e + i) * LANES, v, OUT_TYPE)
        }
    }
}
