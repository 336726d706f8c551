#version 460
// A linear layer of codes for few rows, which takes codes as they are: making panels of numbers (matrix.comp)
// would be most of the work (vk/nn/matrix_few.c).
//   out[m, n] = residual + gate act(sum_g scale[n, g] sum_k x[m, k] / smooth[k] code[n, k] + sum_r t[m, r] up[n, r]
//                                   + add[n])
// DOWN: the first half of the low-rank branch, out[m, r] = sum_k x[m, k] down[k, r].
// As register tiles of matmul.comp: a workgroup is one subgroup of LANES that makes ROWS rows of 4 LANES columns,
// neighbouring lanes neighbouring fours; rows of x lie across the lanes and are handed round by shuffles.
#include "nn/common.glsl"
#include "nn/act.glsl"
#include "nn/matmul_params.h"
#include "nn/codes.glsl"
#extension GL_KHR_shader_subgroup_shuffle : require
layout(local_size_x = LANES) in;
layout(constant_id = 0) const uint CODE = NN_CODED_INT4;
layout(constant_id = 1) const uint X_TYPE = NN_TYPE_F32;
layout(constant_id = 2) const uint OUT_TYPE = NN_TYPE_F32;
layout(constant_id = 3) const uint SMOOTH = 0;
layout(constant_id = 4) const uint LOW_RANK = 0;
layout(constant_id = 5) const uint ACT = NN_ACT_IDENTITY;
layout(constant_id = 6) const uint ADD_TYPE = 0; // 0: there is none
layout(constant_id = 7) const uint GATE_TYPE = 0;
layout(constant_id = 8) const uint RESIDUAL_TYPE = 0;
IN_F4(0, x)
#ifdef DOWN
IN_F4(1, down)
#else
IN_WORDS(1, codes)
#endif
IN_F4(2, scales)
IN_F4(3, smooth_inverse)
IN_F4(4, t)
IN_F4(5, up)
IN_WORDS(6, add)
IN_WORDS(7, gate)
IN_WORDS(8, residual)
OUT_WORDS(9, result)
layout(push_constant) uniform Push { nn_matrix_few_push p; };

#ifndef EIGHTS
#define EIGHTS 2 // of inputs a step; a group has eight
#endif
const uint GROUPS = (ROWS + LANES - 1) / LANES; // of rows, one row a lane

// Of every row i: sum[i] of its four inputs, which lane i has, times four fours of columns.
#define TIMES(v, i, b, at)                                                                         \
    ((subgroupShuffle((v).x, (i) % LANES) * b[at] + subgroupShuffle((v).y, (i) % LANES) * b[(at) + 1]) + \
     (subgroupShuffle((v).z, (i) % LANES) * b[(at) + 2] + subgroupShuffle((v).w, (i) % LANES) * b[(at) + 3]))

void main()
{
    uint lane = gl_SubgroupInvocationID, m0 = gl_WorkGroupID.y * ROWS, fours = p.fours, columns = p.columns;
    uint n = gl_WorkGroupID.x * LANES + lane, inside = min(n, columns - 1), groups = p.groups;
    uint row[GROUPS], rank = p.rank;
    vec4 c[ROWS];
    [[unroll]] for (uint g = 0; g < GROUPS; g++)
        row[g] = min(m0 + g * LANES + lane % ROWS, p.rows - 1);
    [[unroll]] for (uint i = 0; i < ROWS; i++)
        c[i] = vec4(0);
    uint eights = (fours + 1) / 2;
    for (uint e = 0; e < eights; e += EIGHTS) {
        vec4 a[GROUPS][2 * EIGHTS], b[8 * EIGHTS], scale = vec4(1);
        [[unroll]] for (uint s = 0; s < 2 * EIGHTS; s++) {
            uint k = min(2 * e + s, fours - 1);
            vec4 smoothed = vec4(1);
#ifndef DOWN
            if (SMOOTH != 0)
                smoothed = FETCH4(smooth_inverse, k, NN_TYPE_F32);
#endif
            [[unroll]] for (uint g = 0; g < GROUPS; g++) {
                vec4 v = FETCH4(x, p.x_base + row[g] * fours + k, X_TYPE);
                if (SMOOTH != 0)
                    v *= smoothed;
                a[g][s] = 2 * e + s < fours ? v : vec4(0);
            }
        }
#ifdef DOWN
        [[unroll]] for (uint q = 0; q < 8 * EIGHTS; q++)
            b[q] = FETCH4(down, min(8 * e + q, p.last) * columns + inside, NN_TYPE_F16);
#else
        scale = FETCH4(scales, inside * groups + e / 8, NN_TYPE_F16);
        [[unroll]] for (uint h = 0; h < EIGHTS; h++) {
            uint at = inside * groups * 8 + e + h;
            uvec4 low, high = uvec4(0);
            if (CODE == NN_CODED_INT8) {
                low = LDQ(codes, 2 * at);
                high = LDQ(codes, 2 * at + 1);
            } else {
                low = LDQ(codes, at);
            }
            [[unroll]] for (uint q = 0; q < 8; q++)
                b[8 * h + q] = nn_decode_codes(CODE, low, high, q);
        }
#endif
        [[unroll]] for (uint i = 0; i < ROWS; i++) {
            vec4 sum = vec4(0);
            [[unroll]] for (uint s = 0; s < 2 * EIGHTS; s++)
                sum += TIMES(a[i / LANES][s], i, b, 4 * s);
            c[i] += scale * sum;
        }
    }
#ifndef DOWN
    if (LOW_RANK != 0)
        for (uint r = 0; r < rank; r++) {
            vec4 b[4], a[GROUPS];
            [[unroll]] for (uint g = 0; g < GROUPS; g++)
                a[g] = FETCH4(t, row[g] * rank + r, NN_TYPE_F32);
            [[unroll]] for (uint q = 0; q < 4; q++)
                b[q] = FETCH4(up, (inside * rank + r) * 4 + q, NN_TYPE_F16);
            [[unroll]] for (uint i = 0; i < ROWS; i++)
                c[i] += TIMES(a[i / LANES], i, b, 0);
        }
#endif
    uint rows = p.rows, run = p.gate_run, add_at = p.add_base + n, gate_at = p.gate_base + n;
    uint residual_at = p.residual_base + n, out_at = p.out_base + n;
    float act_a = p.act_a, act_b = p.act_b;
    for (uint i = 0; i < ROWS; i++) {
        uint m = m0 + i;
        if (m < rows && n < columns) {
            vec4 v = c[i];
            if (ADD_TYPE != 0)
                v += LD4(add, add_at, ADD_TYPE);
            v = nn_act4(ACT, v, act_a, act_b);
            if (GATE_TYPE != 0)
                v *= LD4(gate, gate_at + m / run * columns, GATE_TYPE);
            if (RESIDUAL_TYPE != 0)
                v += LD4(residual, residual_at + m * columns, RESIDUAL_TYPE);
            ST4(result, out_at + m * columns, v, OUT_TYPE)
        }
    }
}
