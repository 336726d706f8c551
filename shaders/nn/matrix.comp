#version 460
// Panels of numbers, as matmul.comp reads them, of a matrix of codes (vk/nn/matrix.c):
//   to[panel][k][lane] = code[n, k] scale[n, k / 64] / smooth[k] + sum_r down[k, r] up[n, r]
// for four columns n a lane; of register tiles of 16-bit types it is to[panel][k / 2][lane][k % 2]. The sum is made like a product in matmul.comp: a workgroup is one subgroup
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
IN_WORDS(3, down) // halfs, read eight at a time
IN_WORDS(4, up)
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
        uint eighths = p.rank / 2, at_up = n * 4 * eighths;
#ifdef WIDE
        for (uint r = 0; r < eighths; r++)
            [[unroll]] for (uint h = 0; h < 2; h++) {
                uvec4 w0 = LDQ(up, at_up + 4 * r + 2 * h), w1 = LDQ(up, at_up + 4 * r + 2 * h + 1);
                vec4 b0 = nn_decode4(w0, NN_TYPE_F16), b1 = nn_decode4(w0.zwzw, NN_TYPE_F16);
                vec4 b2 = nn_decode4(w1, NN_TYPE_F16), b3 = nn_decode4(w1.zwzw, NN_TYPE_F16);
                [[unroll]] for (uint i = 0; i < ROWS; i++) {
                    uvec4 w = LDQ(down, min(k0 + i, p.last) * eighths + r);
                    vec4 v = nn_decode4(h == 0 ? w : w.zwzw, NN_TYPE_F16);
                    c[i] += (v.x * b0 + v.y * b1) + (v.z * b2 + v.w * b3);
                }
            }
#else
        const uint GROUPS = (ROWS + LANES - 1) / LANES; // of rows, one row a lane
        uint at_down[GROUPS];
        [[unroll]] for (uint g = 0; g < GROUPS; g++)
            at_down[g] = min(k0 + g * LANES + lane, p.last) * eighths;
        for (uint r = 0; r < eighths; r++) {
            uvec4 down8[GROUPS];
            [[unroll]] for (uint g = 0; g < GROUPS; g++)
                down8[g] = LDQ(down, at_down[g] + r);
            [[unroll]] for (uint h = 0; h < 2; h++) {
                vec4 a[GROUPS], b[4];
                [[unroll]] for (uint g = 0; g < GROUPS; g++)
                    a[g] = nn_decode4(h == 0 ? down8[g] : down8[g].zwzw, NN_TYPE_F16);
                [[unroll]] for (uint q = 0; q < 2; q++) {
                    uvec4 w = LDQ(up, at_up + 4 * r + 2 * h + q);
                    b[2 * q] = nn_decode4(w, NN_TYPE_F16);
                    b[2 * q + 1] = nn_decode4(w.zwzw, NN_TYPE_F16);
                }
                [[unroll]] for (uint i = 0; i < ROWS; i++) {
                    vec4 v = a[i / LANES];
                    c[i] += (subgroupShuffle(v.x, i % LANES) * b[0] + subgroupShuffle(v.y, i % LANES) * b[1]) +
                            (subgroupShuffle(v.z, i % LANES) * b[2] + subgroupShuffle(v.w, i % LANES) * b[3]);
                }
            }
        }
#endif
    }
#ifdef WIDE
    const bool PAIRS = false;
#else
    const bool PAIRS = OUT_TYPE != NN_TYPE_F32;
#endif
    uint to_at = (gl_WorkGroupID.x * depth + k0) * LANES + (PAIRS ? 2 * lane : lane);
    if (CODE == NN_CODED_NONE) {
        [[unroll]] for (uint i = 0; i < ROWS; i++)
            if (k0 + i < depth) {
                uint at = to_at + (PAIRS ? i / 2 * 2 * LANES + i % 2 : i * LANES);
                ST4(to, at, c[i] + LD4(codes, at, PLAIN_TYPE), OUT_TYPE)
            }
        return;
    }
    uvec4 first; // of a pair
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
            uint k = 8 * e + i;
            bool there = k0 + k < depth; // depth is a multiple of four; chosen by lane: see docs/SPEED.md
            uvec4 words = there ? nn_encode4(v, OUT_TYPE) : uvec4(0);
            if (PAIRS) {
                if (i % 2 == 0)
                    first = words;
                else if (there)
                    to_4[(to_at + (k - 1) * LANES) / 2] = uvec4(first.xy, words.xy);
            } else if (there) {
                STW4(to, to_at + k * LANES, words, OUT_TYPE)
            }
        }
    }
}
