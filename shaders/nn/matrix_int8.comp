#version 460
// A linear layer of 4-bit codes and rows of 8-bit numbers (quantise_rows.comp; vk/nn/matrix_int8.c):
//   out[m, n] = residual + gate act(sum_g x_scale[m, g] w_scale[n, g] sum_k q[m, k] code[n, k]
//                                   + sum_r t[m, r] up[n, r] + add[n])
// Inner sums are exact, of products of four bytes a word: by the instruction for it (DOT) or piece by
// piece. Codes are taken as 0 to 15, eight too many: the groups' sums make up for it. An invocation
// makes ROWS rows of four columns; words of x are read by all lanes of a row together.
//
// TILED, for GPUs: 16 x 16 invocations make 64 rows of 64 columns. A group's numbers and codes, these taken
// apart once, lie in shared memory while they are multiplied. The same sums in the same order: no bit differs.
#include "nn/common.glsl"
#include "nn/act.glsl"
#include "nn/matmul_params.h"
#ifdef DOT
#extension GL_EXT_spirv_intrinsics : require
spirv_instruction(extensions = ["SPV_KHR_integer_dot_product"], capabilities = [6018, 6019],
                  id = 4450) int dot_of(uint a, uint b, spirv_literal int packed_4x8);
#define DOT4(a, b) dot_of(a, b, 0)
#else
int byte_of(uint w, uint i)
{
    return int(w << (24 - 8 * i)) >> 24;
}
#define DOT4(a, b)                                                                                 \
    (byte_of(a, 0) * byte_of(b, 0) + byte_of(a, 1) * byte_of(b, 1) +                               \
     byte_of(a, 2) * byte_of(b, 2) + byte_of(a, 3) * byte_of(b, 3))
#endif
#define LANES 16
#define ROWS 4
#ifdef TILED
#define HIGH 16
#else
#define HIGH 4
#endif
layout(local_size_x = LANES, local_size_y = HIGH) in;
layout(constant_id = 0) const uint OUT_TYPE = NN_TYPE_F32;
layout(constant_id = 1) const uint ACT = NN_ACT_IDENTITY;
layout(constant_id = 2) const uint LOW_RANK = 0;
layout(constant_id = 3) const uint ADD_TYPE = 0; // 0: there is none
layout(constant_id = 4) const uint GATE_TYPE = 0;
layout(constant_id = 5) const uint RESIDUAL_TYPE = 0;
IN_WORDS(0, codes)
IN_F4(1, scales)
IN_WORDS(2, numbers)
IN_F4(3, row_scales)
IN_F4(4, t)
IN_F4(5, up)
IN_WORDS(6, add)
IN_WORDS(7, gate)
IN_WORDS(8, residual)
OUT_WORDS(9, result)
layout(push_constant) uniform Push { nn_matrix_int8_push p; };

// What a group adds to a row's sums: (d - 8 sum) times both scales.
vec4 scaled(ivec4 d, vec4 row_scale, vec4 scale)
{
    return vec4(d - 8 * int(row_scale.y)) * (scale * row_scale.x);
}

// Sixteen inputs of a row and of four columns, these as words of even and of odd inputs, eight by eight.
ivec4 dots(uvec4 a, uvec4 b0, uvec4 b1, uvec4 b2, uvec4 b3)
{
    ivec4 d;
    [[unroll]] for (uint j = 0; j < 4; j++)
        d[j] = (DOT4(a.x, b0[j]) + DOT4(a.y, b1[j])) + (DOT4(a.z, b2[j]) + DOT4(a.w, b3[j]));
    return d;
}

#ifdef TILED
shared uvec4 tile_a[4][65]; // [sixteen of a group's inputs][row], padded against bank conflicts
shared uvec4 tile_b[16][17]; // [word][lane]
shared vec4 tile_s[64];

void multiply(inout vec4 c[ROWS], uint m0, uint groups)
{
    uint x = gl_LocalInvocationID.x, y = gl_LocalInvocationID.y, self = y * 16 + x, n0 = gl_WorkGroupID.x * LANES;
    uint first = gl_WorkGroupID.y * 64, inside = min(n0 + x, p.columns - 1);
    uint row_a = min(first + self / 4, p.rows - 1), row_s = min(first + self % 64, p.rows - 1);
    uint column = min(n0 + self % 128 / 8, p.columns - 1);
    for (uint g = 0; g < groups; g++) {
        tile_a[self % 4][self / 4] = LDQ(numbers, (row_a * groups + g) * 4 + self % 4);
        if (self < 128) { // eight inputs of four columns
            uvec4 w = LDQ(codes, (column * groups + g) * 8 + self % 8);
            tile_b[self % 8 * 2][self / 8] = w & 0x0f0f0f0fu;
            tile_b[self % 8 * 2 + 1][self / 8] = w >> 4 & 0x0f0f0f0fu;
        } else if (self < 192) {
            tile_s[self - 128] = FETCH4(row_scales, row_s * groups + g, NN_TYPE_F32);
        }
        barrier();
        ivec4 d[ROWS];
        [[unroll]] for (uint i = 0; i < ROWS; i++)
            d[i] = ivec4(0);
        for (uint h = 0; h < 4; h++) {
            uvec4 b0 = tile_b[4 * h][x], b1 = tile_b[4 * h + 1][x], b2 = tile_b[4 * h + 2][x];
            uvec4 b3 = tile_b[4 * h + 3][x];
            [[unroll]] for (uint i = 0; i < ROWS; i++)
                d[i] += dots(tile_a[h][y * ROWS + i], b0, b1, b2, b3);
        }
        vec4 scale = FETCH4(scales, inside * groups + g, NN_TYPE_F16);
        [[unroll]] for (uint i = 0; i < ROWS; i++)
            c[i] += scaled(d[i], tile_s[y * ROWS + i], scale);
        barrier();
    }
}
#else
void multiply(inout vec4 c[ROWS], uint m0, uint groups)
{
    uint inside = min(gl_WorkGroupID.x * LANES + gl_LocalInvocationID.x, p.columns - 1), row[ROWS];
    [[unroll]] for (uint i = 0; i < ROWS; i++)
        row[i] = min(m0 + i, p.rows - 1);
    for (uint g = 0; g < groups; g++) {
        ivec4 d[ROWS];
        [[unroll]] for (uint i = 0; i < ROWS; i++)
            d[i] = ivec4(0);
        for (uint h = 0; h < 4; h++) {
            uint at = (inside * groups + g) * 8 + 2 * h;
            uvec4 w0 = LDQ(codes, at), w1 = LDQ(codes, at + 1);
            uvec4 b0 = w0 & 0x0f0f0f0fu, b1 = w0 >> 4 & 0x0f0f0f0fu;
            uvec4 b2 = w1 & 0x0f0f0f0fu, b3 = w1 >> 4 & 0x0f0f0f0fu;
            [[unroll]] for (uint i = 0; i < ROWS; i++)
                d[i] += dots(LDQ(numbers, (row[i] * groups + g) * 4 + h), b0, b1, b2, b3);
        }
        vec4 scale = FETCH4(scales, inside * groups + g, NN_TYPE_F16);
        [[unroll]] for (uint i = 0; i < ROWS; i++)
            c[i] += scaled(d[i], FETCH4(row_scales, row[i] * groups + g, NN_TYPE_F32), scale);
    }
}
#endif

void main()
{
    uint n = gl_WorkGroupID.x * LANES + gl_LocalInvocationID.x, inside = min(n, p.columns - 1);
    uint m0 = (gl_WorkGroupID.y * HIGH + gl_LocalInvocationID.y) * ROWS;
    vec4 c[ROWS];
    [[unroll]] for (uint i = 0; i < ROWS; i++)
        c[i] = vec4(0);
    multiply(c, m0, p.groups);
    if (LOW_RANK != 0) { // few ranks, which caches hold
        uint rank = p.rank;
        for (uint r = 0; r < rank; r++) {
            uint at = (inside * rank + r) * 4;
            vec4 b0 = FETCH4(up, at, NN_TYPE_F16), b1 = FETCH4(up, at + 1, NN_TYPE_F16);
            vec4 b2 = FETCH4(up, at + 2, NN_TYPE_F16), b3 = FETCH4(up, at + 3, NN_TYPE_F16);
            [[unroll]] for (uint i = 0; i < ROWS; i++) {
                vec4 v = FETCH4(t, p.t_base + min(m0 + i, p.rows - 1) * rank + r, NN_TYPE_F32);
                c[i] += (v.x * b0 + v.y * b1) + (v.z * b2 + v.w * b3);
            }
        }
    }
    uint columns = p.columns;
    [[unroll]] for (uint i = 0; i < ROWS; i++)
        if (m0 + i < p.rows && n < columns) {
            vec4 v = c[i];
            uint at = (m0 + i) * columns + n;
            if (ADD_TYPE != 0)
                v += LD4(add, p.add_base + n, ADD_TYPE);
            v = nn_act4(ACT, v, p.act_a, p.act_b);
            if (GATE_TYPE != 0)
                v *= LD4(gate, p.gate_base + (p.row + m0 + i) / p.gate_run * columns + n, GATE_TYPE);
            if (RESIDUAL_TYPE != 0)
                v += LD4(residual, p.residual_base + at, RESIDUAL_TYPE);
            ST4(result, p.out_base + at, v, OUT_TYPE)
        }
}
