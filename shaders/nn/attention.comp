#version 460
// out[b, h, t, :] = sum_s softmax_s(scale q[b, h, t] . k[b, h', s] + mask[b, h, t, s]) v[b, h', s, :]
// for heads of up to 128: nn_attention (vk/nn/attention.c), one pass over the keys with a running
// maximum and sum (Milakov and Gimelshein 2018; Dao et al. 2022).
//
// A lane owns ROWS queries with their sums, so a softmax needs no neighbour. A step takes KEYS keys.
// Loops over features are unrolled: queries and sums are registers.
//
// 4, 8, 16: a workgroup is one subgroup of so many lanes. A fetch brings four features of KEYS keys,
// one key a lane (of 2 KEYS lanes the upper half the next four), which shuffles with constant
// indices hand to every lane.
// shared: a workgroup of LANES brings a step's keys and values into shared memory, right at any
// subgroup size.
#include "nn/common.glsl"
#include "nn/matmul_params.h"
#include "nn/sight.glsl"
#ifndef SHARED
#extension GL_KHR_shader_subgroup_shuffle : require
#endif
layout(local_size_x = LANES) in;
layout(constant_id = 0) const uint D4 = 1; // fours of features of q and k
layout(constant_id = 1) const uint E4 = 1; // of v
layout(constant_id = 2) const uint Q_TYPE = NN_TYPE_F32;
layout(constant_id = 3) const uint K_TYPE = NN_TYPE_F32;
layout(constant_id = 4) const uint V_TYPE = NN_TYPE_F32;
layout(constant_id = 5) const uint MASK_TYPE = 0; // 0: there is none
layout(constant_id = 6) const uint OUT_TYPE = NN_TYPE_F32;
layout(constant_id = 7) const uint CAUSAL = 0;
IN_F4(0, q)
IN_F4(1, k)
IN_F4(2, v)
IN_WORDS(3, mask)
OUT_WORDS(4, result)
layout(push_constant) uniform Push { nn_attention_push p; };

#ifdef SHARED
const uint KEYS = 4; // each is a read of shared memory a four: small kernels
shared vec4 key_tile[KEYS * D4], value_tile[KEYS * E4]; // [key][four]
// Four n of a step's keys or values; of at most 2 LANES. No loops, which CPU drivers count.
#define BRING(tile, fours, name, at, step, type, n)                                                \
    {                                                                                              \
        uint key = min(s0 + (n) / fours, last_key);                                                \
        if ((n) < KEYS * fours)                                                                    \
            tile[n] = FETCH4(name, at + key * step + (n) % fours, type);                           \
    }
#else
const uint KEYS = LANES < 8 ? LANES : 8, PARTS = LANES / KEYS;
#endif
const float LOWEST = -3.402823466e38, LOG2E = 1.44269504;

ivec2 seen_by(uint query)
{
    return sight(query, CAUSAL != 0, p.shift, p.block, p.window, p.keys);
}

// From part to part: the first tile, the last, the second ..., so that both halves of the grid
// cost the same when later queries see more keys.
uint tile_of(uint group, uint groups)
{
    return group % 2 == 0 ? group / 2 : groups - 1 - group / 2;
}

void main()
{
#ifdef SHARED
    uint lane = gl_LocalInvocationID.x;
#else
    uint lane = gl_SubgroupInvocationID;
#endif
    uint b = p.batch + gl_WorkGroupID.z;
    uint h = p.head + gl_WorkGroupID.y;
    uint t0 = p.query + tile_of(gl_WorkGroupID.x, gl_NumWorkGroups.x) * ROWS * LANES;
    uint queries = p.queries, keys = p.keys, last_key = p.keys - 1;
#ifdef SHARED
    const uint part = 0;
#else
    uint key_lane = lane % KEYS, part = lane / KEYS;
#endif
    uint k_row = p.k[2], v_row = p.v[2];
    uint at_k = p.k_base + b * p.k[0] + h / p.k_group * p.k[1] + part;
    uint at_v = p.v_base + b * p.v[0] + h / p.v_group * p.v[1] + part;

    vec4 qr[ROWS * D4], sum[ROWS * E4];
    float most[ROWS], total[ROWS];
    ivec2 seen[ROWS];
    uint at_mask[ROWS];
    [[unroll]] for (uint r = 0; r < ROWS; r++) {
        uint t = min(t0 + r * LANES + lane, queries - 1);
        uint at_q = p.q_base + b * p.q[0] + h * p.q[1] + t * p.q[2];
        [[unroll]] for (uint i = 0; i < D4; i++)
            qr[r * D4 + i] = FETCH4(q, at_q + i, Q_TYPE) * p.scale;
        [[unroll]] for (uint i = 0; i < E4; i++)
            sum[r * E4 + i] = vec4(0);
        most[r] = LOWEST;
        total[r] = 0;
        seen[r] = seen_by(t);
        at_mask[r] = p.mask_base + b * p.mask[0] + h * p.mask[1] + t * p.mask[2];
    }

    // later queries see later keys
    int first = seen_by(t0).x, end = seen_by(min(t0 + ROWS * LANES, queries) - 1).y;
    for (uint s0 = uint(first) / KEYS * KEYS; int(s0) < end; s0 += KEYS) {
#ifdef SHARED
        barrier(); // the step before has been read
        BRING(key_tile, D4, k, at_k, k_row, K_TYPE, lane)
        BRING(value_tile, E4, v, at_v, v_row, V_TYPE, lane)
        if (KEYS * D4 > LANES)
            BRING(key_tile, D4, k, at_k, k_row, K_TYPE, lane + LANES)
        if (KEYS * E4 > LANES)
            BRING(value_tile, E4, v, at_v, v_row, V_TYPE, lane + LANES)
        barrier();
#else
        uint row = min(s0 + key_lane, last_key);
#endif
        float score[ROWS * KEYS];
        [[unroll]] for (uint i = 0; i < ROWS * KEYS; i++)
            score[i] = 0;
#ifdef SHARED
        [[unroll]] for (uint i = 0; i < D4; i++)
            [[unroll]] for (uint j = 0; j < KEYS; j++) {
                vec4 kf = key_tile[j * D4 + i];
                [[unroll]] for (uint r = 0; r < ROWS; r++) {
                    vec4 qi = qr[r * D4 + i];
                    score[r * KEYS + j] += (qi.x * kf.x + qi.y * kf.y) + (qi.z * kf.z + qi.w * kf.w);
                }
            }
#else
        [[unroll]] for (uint i = 0; i < D4; i += PARTS) {
            vec4 kf = FETCH4(k, at_k + row * k_row + i, K_TYPE);
            [[unroll]] for (uint j = 0; j < PARTS * KEYS; j++)
                if (i + j / KEYS < D4) {
                    float x = subgroupShuffle(kf.x, j), y = subgroupShuffle(kf.y, j);
                    float z = subgroupShuffle(kf.z, j), w = subgroupShuffle(kf.w, j);
                    [[unroll]] for (uint r = 0; r < ROWS; r++) {
                        vec4 qi = qr[r * D4 + i + j / KEYS];
                        score[r * KEYS + j % KEYS] +=
                            (qi.x * x + qi.y * y) + (qi.z * z + qi.w * w);
                    }
                }
        }
#endif
        float keep[ROWS];
        [[unroll]] for (uint r = 0; r < ROWS; r++) {
            float high = most[r];
            [[unroll]] for (uint j = 0; j < KEYS; j++) {
                float x = score[r * KEYS + j];
                if (MASK_TYPE != 0 && j % 4 == 0) {
                    vec4 m = LD4(mask, at_mask[r] + min(s0 + j, last_key) / 4, MASK_TYPE) * LOG2E;
                    [[unroll]] for (uint n = 0; n < 4; n++)
                        score[r * KEYS + j + n] += m[n];
                    x = score[r * KEYS + j];
                }
                int s = int(s0 + j);
                x = s >= seen[r].x && s < seen[r].y ? x : HIDDEN;
                score[r * KEYS + j] = x;
                high = max(high, x);
            }
            keep[r] = exp2(most[r] - high);
            most[r] = high;
            float add = 0;
            [[unroll]] for (uint j = 0; j < KEYS; j++) {
                float x = score[r * KEYS + j];
                x = x == HIDDEN ? 0.0 : exp2(x - high); // exp2 of a driver may not reach 0
                score[r * KEYS + j] = x;
                add += x;
            }
            total[r] = total[r] * keep[r] + add;
        }
#ifdef SHARED
        [[unroll]] for (uint i = 0; i < E4; i++) {
            vec4 add[ROWS];
            [[unroll]] for (uint r = 0; r < ROWS; r++)
                add[r] = sum[r * E4 + i] * keep[r];
            [[unroll]] for (uint j = 0; j < KEYS; j++)
                [[unroll]] for (uint r = 0; r < ROWS; r++)
                    add[r] += score[r * KEYS + j] * value_tile[j * E4 + i];
            [[unroll]] for (uint r = 0; r < ROWS; r++)
                sum[r * E4 + i] = add[r];
        }
#else
        [[unroll]] for (uint i = 0; i < E4; i += PARTS) {
            vec4 vf = FETCH4(v, at_v + row * v_row + i, V_TYPE);
            [[unroll]] for (uint n = 0; n < PARTS; n++)
                if (i + n < E4) {
                vec4 add[ROWS];
                [[unroll]] for (uint r = 0; r < ROWS; r++)
                    add[r] = sum[r * E4 + i + n] * keep[r];
                [[unroll]] for (uint j = 0; j < KEYS; j++) {
                    vec4 f = vec4(subgroupShuffle(vf.x, n * KEYS + j),
                                  subgroupShuffle(vf.y, n * KEYS + j),
                                  subgroupShuffle(vf.z, n * KEYS + j),
                                  subgroupShuffle(vf.w, n * KEYS + j));
                    [[unroll]] for (uint r = 0; r < ROWS; r++)
                        add[r] += score[r * KEYS + j] * f;
                }
                [[unroll]] for (uint r = 0; r < ROWS; r++)
                    sum[r * E4 + i + n] = add[r];
            }
        }
#endif
    }

    uint at_out = p.out_base + b * p.to[0] + h * p.to[1], out_row = p.to[2];
    [[unroll]] for (uint r = 0; r < ROWS; r++) {
        uint t = t0 + r * LANES + lane;
        float scale = total[r] > 0 ? 1.0 / total[r] : 0.0; // nothing seen: 0
        if (t < queries)
            [[unroll]] for (uint i = 0; i < E4; i++)
                ST4(result, at_out + t * out_row + i, sum[r * E4 + i] * scale, OUT_TYPE)
    }
}
