#version 460
// Sums of the three networks' first layers over what no view changes: once a model, or with BANK once a
// view, of features that the view blends (Scaffold-GS' feature bank).
//   an invocation has a row;  cache [blocks][3][HIDDEN in uvec4][NL_BLOCK]      C: gpu.c; twin: decode.c (blend_bank, nl_run)
//   net  3 HIDDEN rows of Q vec4 and a bias (Q + 1); then BANK_HIDDEN of the bank: weights, (to the
//        three outputs, bias); the outputs' biases
#extension GL_GOOGLE_include_directive : require
#include "gs/common.glsl"
#include "neural/params.h"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint Q = 8;           // vec4 of a row's inputs
layout(constant_id = 2) const uint HIDDEN = 32;
layout(constant_id = 3) const bool FLOATS = false;  // the cache's; else halves
layout(constant_id = 4) const uint STRIDE = 8;      // uvec4 of an anchor's place
layout(constant_id = 5) const uint BANK_HIDDEN = 0; // 0: no bank
#define ROW_QUADS 32
#define ROW_VECTORS 1u
IN_VEC4(0, feature) // [rows][Q]
IN_VEC4(1, net)
IN_UVEC4(2, place)
layout(binding = 3) writeonly buffer Cache { uint cache[]; };
layout(push_constant) uniform Push { nl_first_push pc; };
#include "neural/row.glsl"

vec3 bank_weights(vec3 p)
{
    vec3 d = p - pc.eye.xyz;
    float far = length(d);
    vec4 view = vec4(d / max(far, 1e-30), far);
    uint at = 3u * HIDDEN * (Q + 1u);
    vec3 w = LD4(net, at + 2u * BANK_HIDDEN).xyz;
    for (uint i = 0u; i < BANK_HIDDEN; i++) {
        vec4 to = LD4(net, at + 2u * i + 1u);
        w += max(dot(LD4(net, at + 2u * i), view) + to.w, 0.0) * to.xyz;
    }
    w = exp(w - max(w.x, max(w.y, w.z)));
    return w / (w.x + w.y + w.z);
}

void main()
{
    uint row = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x, r = min(row, pc.count - 1u);
    vec4 f[ROW_QUADS], x[ROW_VECTORS][ROW_QUADS];
    [[unroll]] for (uint q = 0u; q < ROW_QUADS; q++)
        if (q < Q)
            f[q] = x[0][q] = LD4(feature, r * Q + q);
    if (BANK_HIDDEN > 0u) {
        vec3 w = bank_weights(uintBitsToFloat(LD4(place, NL_ROW(pc.from + r, STRIDE, 0u)).xyz));
        [[unroll]] for (uint c = 0u; c < 4u * ROW_QUADS; c++)
            if (c < 4u * Q) {
                float coarse = f[c % Q].x, half_way = f[c % (2u * Q) / 2u][2u * (c & 1u)];
                x[0][c / 4u][c % 4u] = w.x * coarse + w.y * half_way + w.z * f[c / 4u][c % 4u];
            }
    }
    for (uint i = 0u; i < 3u * HIDDEN; i += 2u) {
        uint at = i * (Q + 1u), per = FLOATS ? 4u : 8u, n = 3u * HIDDEN / per;
        uint to = 4u * NL_ROW(pc.from + row, n, i / per) + i % per * 4u / per;
        float one[ROWS][ROW_VECTORS], two[ROWS][ROW_VECTORS];
        row_dots(at, x, one);
        row_dots(at + Q + 1u, x, two);
        float a = one[0][0] + LD4(net, at + Q).x, b = two[0][0] + LD4(net, at + 2u * Q + 1u).x;
        if (row < pc.count) {
            if (FLOATS) {
                cache[to] = floatBitsToUint(a);
                cache[to + 1u] = floatBitsToUint(b);
            } else {
                cache[to] = packHalf2x16(vec2(a, b));
            }
        }
    }
}
