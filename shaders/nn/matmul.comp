#version 460
// out[z, m, n] = residual + gate[m / run, n] act(scale sum_k a[z, m, k] b[z, n, k] + add[z, m, n]):
// nn_linear and nn_matmul (vk/nn/matmul.c), as register tiles.
//
// A workgroup is one subgroup of LANES; a lane makes ROWS rows of four columns, neighbouring lanes
// neighbouring columns, so a workgroup owns one panel of b. Every step takes STEP fours of k: each
// lane fetches its columns of b, and a's rows are spread over the lanes, four k each, and handed
// round by shuffles with constant indices. An accumulator is touched once a step (sums of
// products first): on CPU drivers it lives in memory and is masked at every turn of the loop.
// b is packed by matmul_pack.comp: [z][panel][k][lane] fours of columns.
#include "nn/common.glsl"
#include "nn/act.glsl"
#include "nn/matmul_params.h"
#extension GL_KHR_shader_subgroup_shuffle : require
layout(local_size_x = LANES) in;
layout(constant_id = 0) const uint A_TYPE = NN_TYPE_F32;
layout(constant_id = 1) const uint B_TYPE = NN_TYPE_F32;
layout(constant_id = 2) const uint OUT_TYPE = NN_TYPE_F32;
layout(constant_id = 3) const uint ACT = NN_ACT_IDENTITY;
layout(constant_id = 4) const uint ADD_TYPE = 0; // 0: there is none
layout(constant_id = 5) const uint GATE_TYPE = 0;
layout(constant_id = 6) const uint RESIDUAL_TYPE = 0;
IN_F4(0, a)
IN_WORDS(1, b)
IN_WORDS(2, add)
IN_WORDS(3, gate)
IN_WORDS(4, residual)
OUT_WORDS(5, result)
layout(push_constant) uniform Push { nn_matmul_push p; };

const uint GROUPS = (ROWS + LANES - 1) / LANES; // of rows, one row a lane

// Axes of batch z.
uvec3 batch_axes(uint z)
{
    uint q = z / p.batch_shape[1];
    return uvec3(q / p.batch_shape[0], q % p.batch_shape[0], z % p.batch_shape[1]);
}

uint offset(uvec3 axes, uint stride[3])
{
    return axes.x * stride[0] + axes.y * stride[1] + axes.z * stride[2];
}

void main()
{
    uint lane = gl_SubgroupInvocationID, panel = p.panel + gl_WorkGroupID.x;
    uint m0 = gl_WorkGroupID.y * ROWS, z = gl_WorkGroupID.z; // within this dispatch
    uvec3 axes = batch_axes(p.batch + z);
    uint rows = p.rows, columns = p.columns, depth = p.depth;

    vec4 c[ROWS];
    [[unroll]] for (uint i = 0; i < ROWS; i++)
        c[i] = vec4(0);
    uint at_a[GROUPS], at_b = p.b_base + offset(axes, p.b_batch) + gl_WorkGroupID.x * depth * 4 * LANES + lane;
    [[unroll]] for (uint g = 0; g < GROUPS; g++)
        at_a[g] = (p.a_base + offset(axes, p.a_batch) +
                   min(m0 + g * LANES + lane, rows - 1) * p.a_row) / 4;

    for (uint k = 0; k < depth; k += STEP) {
        vec4 ak[STEP * GROUPS], bk[STEP * 4];
        [[unroll]] for (uint s = 0; s < STEP; s++) {
            [[unroll]] for (uint g = 0; g < GROUPS; g++) {
                vec4 v = FETCH4(a, at_a[g] + k + s, A_TYPE);
                ak[s * GROUPS + g] = s == 0 || k + s < depth ? v : vec4(0);
            }
            [[unroll]] for (uint q = 0; q < 4; q++)
                bk[s * 4 + q] = LD4(b, at_b + (s * 4 + q) * LANES, B_TYPE);
        }
        at_b += STEP * 4 * LANES;
        [[unroll]] for (uint i = 0; i < ROWS; i++) {
            vec4 sum = vec4(0);
            [[unroll]] for (uint s = 0; s < STEP; s++) {
                vec4 v = ak[s * GROUPS + i / LANES];
                vec4 even = subgroupShuffle(v.x, i % LANES) * bk[s * 4] +
                            subgroupShuffle(v.y, i % LANES) * bk[s * 4 + 1];
                vec4 odd = subgroupShuffle(v.z, i % LANES) * bk[s * 4 + 2] +
                           subgroupShuffle(v.w, i % LANES) * bk[s * 4 + 3];
                sum = s == 0 ? even + odd : sum + (even + odd);
            }
            c[i] += sum;
        }
    }

    uint n = panel * LANES + lane, run = p.gate_run, row = p.row;
    uint at_add = p.add_base + offset(axes, p.add_batch), add_row = p.add_row;
    uint at_gate = p.gate_base, at_residual = p.residual_base, at_out = p.out_base;
    float scale = p.scale, act_a = p.act_a, act_b = p.act_b;
    [[unroll]] for (uint i = 0; i < ROWS; i++) {
        uint m = m0 + i;
        if (m < rows && n < columns) {
            vec4 v = c[i] * scale;
            if (ADD_TYPE != 0)
                v += LD4(add, (at_add + (row + m) * add_row) / 4 + n, ADD_TYPE);
            v = nn_act4(ACT, v, act_a, act_b);
            if (GATE_TYPE != 0)
                v *= LD4(gate, at_gate / 4 + (row + m) / run * columns + n, GATE_TYPE);
            uint at = (z * rows + m) * columns + n;
            if (RESIDUAL_TYPE != 0)
                v += LD4(residual, at_residual / 4 + at, RESIDUAL_TYPE);
            ST4(result, at_out / 4 + at, v, OUT_TYPE)
        }
    }
}
