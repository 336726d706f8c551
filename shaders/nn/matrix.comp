#version 460
// Panels of numbers, as matmul.comp reads them, of a matrix of codes (vk/nn/matrix.c):
//   to[panel][k][lane] = code[n, k] scale[n, k / 64] / smooth[k] + sum_r down[k, r] up[n, r]
// for four columns n a lane; of register tiles of 16-bit types it is to[panel][k / 2][lane][k % 2]. The sum
// is made like a product in matmul.comp: a workgroup is one subgroup that owns 64 k of a panel, eight at a
// time. Of these eight a lane has one row of `down` (or its share), handed round by shuffles, while its
// columns of `up` stay where they are, and a row's sum is made in one go: accumulators that live from one
// step of the ranks to the next would be loaded and stored at each. WIDE, for devices without subgroups of a
// certain size: every invocation reads its rows by itself.
#include "nn/common.glsl"
#include "nn/matmul_params.h"
#include "nn/codes.glsl"
#ifdef WIDE
#define LANES 16
layout(local_size_x = 16, local_size_y = 4) in;
#else
#extension GL_KHR_shader_subgroup_shuffle : require
layout(local_size_x = LANES) in;
#endif
layout(constant_id = 0) const uint CODE = NN_CODED_INT4;
layout(constant_id = 1) const uint SMOOTH = 0;
layout(constant_id = 2) const uint LOW_RANK = 0; // eights of ranks at a time, up to HELD
layout(constant_id = 3) const uint OUT_TYPE = NN_TYPE_F32;
layout(constant_id = 4) const uint PLAIN_TYPE = NN_TYPE_F32; // of panels, where there are no codes
layout(constant_id = 5) const uint ROUNDS = 1; // of LOW_RANK eights
#define HELD 4
IN_WORDS(0, codes)
IN_F4(1, scales)
IN_F4(2, smooth_inverse)
IN_WORDS(3, down) // halfs, read eight at a time
IN_F4(4, up)
OUT_WORDS(5, to)
layout(push_constant) uniform Push { nn_matrix_push p; };

// Of column four n, eight of ranks number r: b[0 .. 7].
void fetch_up(out vec4 b[8], uint n, uint r)
{
    [[unroll]] for (uint q = 0; q < 8; q++)
        b[q] = FETCH4(up, n * 4 * p.rank + 8 * r + q, NN_TYPE_F16);
}

#ifndef WIDE
const uint GROUPS = (8 + LANES - 1) / LANES; // of an eight's rows, one row a lane
#define ADD_LOW_RANK(round) \
    { \
        vec4 a[GROUPS][HELD][2]; \
        [[unroll]] for (uint h = 0; h < HELD; h++) \
            if (h < LOW_RANK) { \
                uint r = round * LOW_RANK + h; \
                if (ROUNDS != 1) \
                    fetch_up(up8[h], n, r); \
                [[unroll]] for (uint g = 0; g < GROUPS; g++) { \
                    uvec4 w = LDQ(down, min(k0 + (g * LANES + lane) % 8, p.last) * eighths + r); \
                    a[g][h][0] = nn_decode4(w, NN_TYPE_F16); \
                    a[g][h][1] = nn_decode4(w.zwzw, NN_TYPE_F16); \
                } \
            } \
        [[unroll]] for (uint i = 0; i < 8; i++) { \
            vec4 sum = c[i]; \
            [[unroll]] for (uint h = 0; h < HELD; h++) \
                if (h < LOW_RANK) { \
                    [[unroll]] for (uint q = 0; q < 2; q++) { \
                        vec4 v = a[i / LANES][h][q]; \
                        sum += (subgroupShuffle(v.x, i % LANES) * up8[h][4 * q] + \
                                subgroupShuffle(v.y, i % LANES) * up8[h][4 * q + 1]) + \
                               (subgroupShuffle(v.z, i % LANES) * up8[h][4 * q + 2] + \
                                subgroupShuffle(v.w, i % LANES) * up8[h][4 * q + 3]); \
                    } \
                } \
            c[i] = sum; \
    } \
    }
#endif

void main()
{
    uint panel = p.panel + gl_WorkGroupID.x;
#ifdef WIDE
    uint lane = gl_LocalInvocationID.x, eight = gl_WorkGroupID.y * 4 + gl_LocalInvocationID.y, end = eight + 1;
#else
    uint lane = gl_SubgroupInvocationID, eight = gl_WorkGroupID.y * 8, end = min(eight + 8, (p.depth + 7) / 8);
#endif
    uint n = min(panel * LANES + lane, p.fours - 1), depth = p.depth, eights = p.groups * 8, eighths = p.rank / 2;
#ifdef WIDE
    const bool PAIRS = false;
#else
    const bool PAIRS = OUT_TYPE != NN_TYPE_F32;
    vec4 up8[HELD][8];
    if (LOW_RANK != 0 && ROUNDS == 1)
        [[unroll]] for (uint h = 0; h < HELD; h++)
            if (h < LOW_RANK)
                fetch_up(up8[h], n, h);
#endif
    uint to_at = gl_WorkGroupID.x * depth * LANES + (PAIRS ? 2 * lane : lane);
    for (; eight < end; eight++) {
        uint k0 = 8 * eight;
        vec4 c[8];
        [[unroll]] for (uint i = 0; i < 8; i++)
            c[i] = vec4(0);
#ifdef WIDE
        if (LOW_RANK != 0)
            for (uint r = 0; r < eighths; r++) {
                vec4 b[8];
                fetch_up(b, n, r);
                [[unroll]] for (uint i = 0; i < 8; i++) {
                    uvec4 w = LDQ(down, min(k0 + i, p.last) * eighths + r);
                    vec4 v = nn_decode4(w, NN_TYPE_F16), u = nn_decode4(w.zwzw, NN_TYPE_F16);
                    c[i] += ((v.x * b[0] + v.y * b[1]) + (v.z * b[2] + v.w * b[3])) +
                            ((u.x * b[4] + u.y * b[5]) + (u.z * b[6] + u.w * b[7]));
                }
            }
#else
        if (LOW_RANK != 0 && ROUNDS == 1)
            ADD_LOW_RANK(0)
        if (LOW_RANK != 0 && ROUNDS != 1)
            for (uint round = 0; round < ROUNDS; round++)
                ADD_LOW_RANK(round)
#endif
        vec4 s[2] = {vec4(1), vec4(1)}, scale = vec4(1);
        uvec4 low = uvec4(0), high = uvec4(0);
        if (CODE != NN_CODED_NONE) {
            uint e = min(eight, eights - 1);
            scale = FETCH4(scales, n * p.groups + e / 8, NN_TYPE_F16);
            if (CODE == NN_CODED_INT8) {
                low = LDQ(codes, (n * eights + e) * 2);
                high = LDQ(codes, (n * eights + e) * 2 + 1);
            } else {
                low = LDQ(codes, n * eights + e);
            }
        }
        if (SMOOTH != 0) {
            uint at = min(eight, p.last / 8) * 2;
            s[0] = FETCH4(smooth_inverse, at, NN_TYPE_F32);
            s[1] = FETCH4(smooth_inverse, at + 1, NN_TYPE_F32);
        }
        uvec4 first; // of a pair
        [[unroll]] for (uint i = 0; i < 8; i++) {
            uint k = k0 + i, at = to_at + (PAIRS ? k / 2 * 2 * LANES + k % 2 : k * LANES);
            bool there = k < depth; // depth is a multiple of four; chosen by lane: see docs/SPEED.md
            vec4 v = c[i];
            if (CODE == NN_CODED_NONE)
                v += LD4(codes, there ? at : to_at, PLAIN_TYPE);
            else if (SMOOTH != 0)
                v += nn_decode_codes(CODE, low, high, i) * (scale * s[i / 4][i % 4]);
            else
                v += nn_decode_codes(CODE, low, high, i) * scale;
            uvec4 words = there ? nn_encode4(v, OUT_TYPE) : uvec4(0);
            if (PAIRS) {
                if (i % 2 == 0)
                    first = words;
                else if (there)
                    to_4[(at - 1) / 2] = uvec4(first.xy, words.xy);
            } else if (there) {
                STW4(to, at, words, OUT_TYPE)
            }
        }
    }
}
