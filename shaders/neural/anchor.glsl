// What the decoding kernels share: an anchor's inputs, and the hidden units of its networks, whose
// products with what no view changes were summed before (first.comp).
//
//   net     for each network, from NET0, NET1, NET2 (of the kernel) on, in vec4:
//           H    rows of the view's weights: direction, distance
//           SAGS: H rows of Q, the second layer; H * T, its bias and the last layer's columns; T, the
//           last layer's biases
#extension GL_GOOGLE_include_directive : require
#include "gs/common.glsl"
#include "neural/params.h"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint Q = 8;            // vec4 of hidden units
layout(constant_id = 2) const uint OFFSETS = 10;     // Gaussians of an anchor
layout(constant_id = 3) const uint STRIDE = 8;       // uvec4 of an anchor's place
layout(constant_id = 4) const bool FLOATS = false;   // not halves: hidden sums and offsets
layout(constant_id = 5) const bool ALL = false;      // every anchor is looked at
layout(constant_id = 6) const uint NET1 = 0;         // of the second network in `net`
layout(constant_id = 7) const uint NET2 = 0;
#define ROW_QUADS 16
layout(push_constant) uniform Push { nl_view_push pc; };

#ifdef SG
void prefix(uint one, out uint before, out uint total)
{
    before = subgroupExclusiveAdd(one);
    total = subgroupAdd(one);
}
#else
#include "lib/prefix.glsl"
void prefix(uint one, out uint before, out uint total)
{
    group_prefix(one, before, total);
}
#endif

IN_UVEC4(0, place)
IN_UVEC4(1, cache)
IN_VEC4(2, net)
#include "neural/row.glsl"

vec4 view_of(vec3 p)
{
    vec3 d = p - pc.eye.xyz;
    float far = length(d);
    return vec4(d / max(far, 1e-30), far);
}

// Sums of a network's first layer before the view's part: four of them.
vec4 sums(uint anchor, uint which, uint q)
{
    uint row = anchor * 3u + which;
    if (FLOATS)
        return uintBitsToFloat(LD4(cache, row * Q + q));
    uvec4 w = LD4(cache, row * (Q / 2u) + q / 2u);
    uvec2 two = (q & 1u) == 0u ? w.xy : w.zw;
    return vec4(unpackHalf2x16(two.x), unpackHalf2x16(two.y));
}

void hidden(uint anchor, uint which, uint at, vec4 view, out vec4 h[ROW_QUADS])
{
#ifdef SG
    [[unroll]] for (uint i = 0u; i < 4u * ROW_QUADS; i += SG)
        if (i < 4u * Q) {
            vec4 rows = LD4(net, at + i + LANE);
            [[unroll]] for (uint k = 0u; k < SG; k++)
                h[(i + k) / 4u][(i + k) % 4u] = dot(subgroupShuffle(rows, k), view);
        }
    [[unroll]] for (uint q = 0u; q < ROW_QUADS; q++)
        if (q < Q)
            h[q] = max(h[q] + sums(anchor, which, q), vec4(0.0));
#else
    [[unroll]] for (uint q = 0u; q < ROW_QUADS; q++)
        if (q < Q) {
            vec4 v = vec4(dot(LD4(net, at + 4u * q), view), dot(LD4(net, at + 4u * q + 1u), view),
                          dot(LD4(net, at + 4u * q + 2u), view), dot(LD4(net, at + 4u * q + 3u), view));
            h[q] = max(v + sums(anchor, which, q), vec4(0.0));
        }
#endif
}

#ifdef SAGS
// The second layer and the last, of up to three outputs: its bias is the fourth of their columns.
vec3 three_layers(uint at, vec4 h[ROW_QUADS])
{
    uint tail = at + 4u * Q * (1u + Q);
    vec3 sum = LD4(net, tail + 4u * Q).xyz;
    for (uint i = 0u; i < 4u * Q; i++) {
        vec4 column = LD4(net, tail + i);
        float v = max(row_dot(at + 4u * Q + i * Q, h) + column.w, 0.0);
        sum += v * column.xyz;
    }
    return sum;
}
#endif
