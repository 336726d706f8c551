#version 460
// out[z, m, n] = residual + gate[m / run, n] act(scale sum_k a[z, m, k] b[z, n, k] + add[z, m, n]):
// nn_linear and nn_matmul (vk/nn/matmul.c). b is packed by matmul_pack.comp: [z][panel][k][lane]
// fours of columns. Two forms:
//
// Register tiles. A workgroup is one subgroup of LANES and owns one panel; a lane makes ROWS rows
// of four columns, neighbouring lanes neighbouring columns. Every step takes four k, STEP times: each lane
// fetches its columns of b (PAIRS: of 16-bit b in two fetches, not four), and a's rows are spread over
// the lanes, four k each, and handed round by shuffles with constant indices. An accumulator is touched
// once a step (a row's products of the whole step are summed first): on CPU drivers it lives in memory and
// is masked at every turn of the loop.
//
// TILED, for GPUs: 16 x 16 invocations make 64 rows of a panel of 16 lanes from tiles in shared
// memory.
//
// HEADS: the first columns are heads, which are normalised at the end (heads.glsl). A workgroup makes PANELS
// panels in turn, as many as whole heads fill, then reads what it has written, still in its caches. There is
// no gate or residual; their bindings are the weights.
#include "nn/common.glsl"
#include "nn/act.glsl"
#include "nn/matmul_params.h"
#extension GL_KHR_shader_subgroup_shuffle : require
#ifdef TILED
#define LANES 16
#define ROWS 4
layout(local_size_x = 16, local_size_y = 16) in;
#else
layout(local_size_x = LANES) in;
#ifdef PAIRS
#define STEP NN_PAIRS_STEP
#else
#define STEP 1
#endif
#endif
layout(constant_id = 0) const uint A_TYPE = NN_TYPE_F32;
layout(constant_id = 1) const uint B_TYPE = NN_TYPE_F32;
layout(constant_id = 2) const uint OUT_TYPE = NN_TYPE_F32;
layout(constant_id = 3) const uint ACT = NN_ACT_IDENTITY;
layout(constant_id = 4) const uint ADD_TYPE = 0; // 0: there is none
layout(constant_id = 5) const uint GATE_TYPE = 0;
layout(constant_id = 6) const uint RESIDUAL_TYPE = 0;
layout(constant_id = 7) const uint TAIL = 0; // depth is no multiple of STEP fours
IN_F4(0, a)
#if defined(PAIRS) // 16-bit types: two k of four columns in 16 bytes, as bits
IN_WORDS(1, b)
#elif defined(BF16)
IN_WORDS(1, b)
#define FETCH_B(i) LD4(b, i, NN_TYPE_BF16)
#else
IN_F4(1, b)
#define FETCH_B(i) FETCH4(b, i, B_TYPE)
#endif
IN_WORDS(2, add)
IN_WORDS(3, gate)
IN_WORDS(4, residual)
layout(push_constant) uniform Push { nn_matmul_push p; };
#ifdef HEADS
layout(constant_id = 8) const uint HEAD = 4; // fours
layout(constant_id = 9) const uint PANELS = 1;
INOUT_WORDS(5, result)
#define HEAD_LOAD(i) LD_INOUT4(result, i, OUT_TYPE)
#define HEAD_STORE(i, words) STW4(result, i, words, OUT_TYPE)
#define HEAD_WEIGHT(i) LD4(gate, p.gate_base / 4 + i, GATE_TYPE)
#define HEAD_WEIGHT2(i) LD4(residual, p.residual_base / 4 + i, RESIDUAL_TYPE)
#define HEAD_TYPE OUT_TYPE
#define HEAD_WEIGHT2_TYPE RESIDUAL_TYPE
#include "nn/heads.glsl"
#else
OUT_WORDS(5, result)
#endif

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

// Push constants once, before the stores: drivers read them again after each.
struct Finish {
    uint rows, columns, row, run, add, add_row, gate, residual, result;
    float scale, act_a, act_b;
};

Finish finish_of(uvec3 axes, uint z)
{
    uint first = z * p.rows * p.columns;
    return Finish(p.rows, p.columns, p.row, p.gate_run,
                  (p.add_base + offset(axes, p.add_batch)) / 4, p.add_row / 4, p.gate_base / 4,
                  p.residual_base / 4 + first, p.out_base / 4 + first, p.scale, p.act_a, p.act_b);
}

// m: row within this dispatch; n: four of columns.
void finish(Finish f, uint m, uint n, vec4 v)
{
    if (m < f.rows && n < f.columns) {
        v *= f.scale;
        if (ADD_TYPE != 0)
            v += LD4(add, f.add + (f.row + m) * f.add_row + n, ADD_TYPE);
        v = nn_act4(ACT, v, f.act_a, f.act_b);
        uint at = m * f.columns + n;
#ifndef HEADS
        if (GATE_TYPE != 0)
            v *= LD4(gate, f.gate + (f.row + m) / f.run * f.columns + n, GATE_TYPE);
        if (RESIDUAL_TYPE != 0)
            v += LD4(residual, f.residual + at, RESIDUAL_TYPE);
#endif
        ST4(result, f.result + at, v, OUT_TYPE)
    }
}

#ifdef HEADS
// Of `rows` rows from m0 on and panels from `first` on; invocation `self` of `all`.
void normalise(Finish f, uint m0, uint rows, uint first, uint self, uint all)
{
    uint begin = first * LANES, end = min(begin + PANELS * LANES, p.head_columns);
    uint heads = end > begin ? (end - begin) / HEAD : 0;
    uint n = min(rows, f.rows - m0) * heads;
    memoryBarrierBuffer();
    barrier();
    for (uint i = self; i < n; i += all) {
        uvec2 at = nn_divide(i, heads);
        uint column = begin + at.y * HEAD;
        nn_norm_head(f.result + (m0 + at.x) * f.columns + column, column >= p.head_run, p.head_eps);
    }
}
#endif

#ifdef TILED

shared vec4 tile_a[4][65]; // [four of k][row], padded against bank conflicts
shared vec4 tile_b[16][16]; // [k][lane]

void make(uint panel, uint m0, uint z)
{
    uint x = gl_LocalInvocationID.x, y = gl_LocalInvocationID.y, self = y * 16 + x, depth = p.depth;
    uvec3 axes = batch_axes(p.batch + z);
    // an invocation fetches four `self % 4` of k of row self / 4, and of b one four
    uint at_a = (p.a_base + offset(axes, p.a_batch) + min(m0 + self / 4, p.rows - 1) * p.a_row) / 4;
    uint at_b = p.b_base + offset(axes, p.b_batch) + panel * depth * 4 * LANES;
    vec4 c[ROWS];
    [[unroll]] for (uint i = 0; i < ROWS; i++)
        c[i] = vec4(0);
    for (uint k = 0; k < depth; k += 4) {
        uint ka = k + self % 4, kb = 4 * k + y;
        tile_a[self % 4][self / 4] = ka < depth ? FETCH4(a, at_a + ka, A_TYPE) : vec4(0);
        tile_b[y][x] = kb < 4 * depth ? FETCH_B(at_b + kb * LANES + x) : vec4(0);
        barrier();
        for (uint q = 0; q < 4; q++) // the driver's to unroll: SwiftShader had better not
            [[unroll]] for (uint i = 0; i < ROWS; i++) {
                vec4 v = tile_a[q][y * ROWS + i];
                c[i] += (v.x * tile_b[4 * q][x] + v.y * tile_b[4 * q + 1][x]) +
                        (v.z * tile_b[4 * q + 2][x] + v.w * tile_b[4 * q + 3][x]);
            }
        barrier();
    }
    Finish f = finish_of(axes, z);
    [[unroll]] for (uint i = 0; i < ROWS; i++)
        finish(f, m0 + y * ROWS + i, (p.panel + panel) * LANES + x, c[i]);
}

const uint GROUP_ROWS = 64, GROUP_SIZE = 256;

#else

const uint GROUPS = (ROWS + LANES - 1) / LANES; // of rows, one row a lane

#ifdef BF16
#define PAIR_TYPE NN_TYPE_BF16
#else
#define PAIR_TYPE NN_TYPE_F16
#endif

void make(uint panel, uint m0, uint z)
{
    uint lane = gl_SubgroupInvocationID;
    uvec3 axes = batch_axes(p.batch + z);
    uint depth = p.depth, at_a[GROUPS];
    uint at_b = p.b_base + offset(axes, p.b_batch) + panel * depth * 4 * LANES;
#ifdef PAIRS
    at_b /= 2;
#endif
    at_b += lane;
    [[unroll]] for (uint g = 0; g < GROUPS; g++)
        at_a[g] = (p.a_base + offset(axes, p.a_batch) +
                   min(m0 + g * LANES + lane, p.rows - 1) * p.a_row) / 4;
    vec4 c[ROWS];
    [[unroll]] for (uint i = 0; i < ROWS; i++)
        c[i] = vec4(0);

    for (uint k = 0; k < depth; k += STEP) {
        vec4 ak[GROUPS][STEP], bk[4 * STEP];
        [[unroll]] for (uint g = 0; g < GROUPS; g++)
            [[unroll]] for (uint s = 0; s < STEP; s++) {
                vec4 v = FETCH4(a, at_a[g] + (TAIL == 0 ? k + s : min(k + s, depth - 1)), A_TYPE);
                ak[g][s] = TAIL == 0 || k + s < depth ? v : vec4(0);
            }
#ifdef PAIRS
        [[unroll]] for (uint q = 0; q < 2 * STEP; q++) {
            uvec4 w = LDQ(b, at_b + (TAIL == 0 || k + q / 2 < depth ? q : q % 2) * LANES);
            bk[2 * q] = nn_decode4(w, PAIR_TYPE);
            bk[2 * q + 1] = nn_decode4(w.zwzw, PAIR_TYPE);
        }
        at_b += 2 * STEP * LANES;
#else
        [[unroll]] for (uint q = 0; q < 4 * STEP; q++)
            bk[q] = FETCH_B(at_b + q * LANES);
        at_b += 4 * STEP * LANES;
#endif
        [[unroll]] for (uint i = 0; i < ROWS; i++) {
            vec4 sum = c[i];
            [[unroll]] for (uint s = 0; s < STEP; s++) {
                vec4 v = ak[i / LANES][s];
                sum += (subgroupShuffle(v.x, i % LANES) * bk[4 * s] +
                        subgroupShuffle(v.y, i % LANES) * bk[4 * s + 1]) +
                       (subgroupShuffle(v.z, i % LANES) * bk[4 * s + 2] +
                        subgroupShuffle(v.w, i % LANES) * bk[4 * s + 3]);
            }
            c[i] = sum;
        }
    }
    Finish f = finish_of(axes, z);
    // a loop: ROWS endings in a line cost CPU drivers a fifth of their speed and most of compiling
    for (uint i = 0; i < ROWS; i++)
        finish(f, m0 + i, (p.panel + panel) * LANES + lane, c[i]);
}

const uint GROUP_ROWS = ROWS, GROUP_SIZE = LANES;
#endif

void main()
{
    uint m0 = gl_WorkGroupID.y * GROUP_ROWS, z = gl_WorkGroupID.z; // within this dispatch
#ifdef HEADS
    uint first = gl_WorkGroupID.x * PANELS, end = min(first + PANELS, (p.columns + LANES - 1) / LANES);
    for (uint panel = first; panel < end; panel++)
        make(panel, m0, z);
    normalise(finish_of(batch_axes(z), z), m0, GROUP_ROWS, first, gl_LocalInvocationIndex, GROUP_SIZE);
#else
    make(gl_WorkGroupID.x, m0, z);
#endif
}
