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
#ifndef ROW_QUADS
#define ROW_QUADS 16
#endif
// Anchors of an invocation at a time: a row that was fetched and spread serves all of them, which is most
// of the work of SAGS' second layer; and rows of a turn of its loop. Fewer where a compiler takes long over
// long kernels.
#if defined(SAGS) && defined(NARROW)
#define ROW_VECTORS 2u
#elif defined(SAGS) && defined(SG)
#define ROW_VECTORS 4u
#define ROWS 4u
#else
#define ROW_VECTORS 1u
#endif
layout(push_constant) uniform Push { nl_view_push pc; };

#ifdef SG
void prefix(uint one, out uint before, out uint total)
{
    before = subgroupExclusiveAdd(one);
    total = subgroupShuffle(before + one, SG - 1u);
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

// Of an anchor: its place.
uvec4 place_of(uint anchor, uint i)
{
    return LD4(place, NL_ROW(anchor, STRIDE, i));
}

vec3 position_of(uint anchor)
{
    return uintBitsToFloat(place_of(anchor, 0u).xyz);
}

vec4 view_of(vec3 p)
{
    vec3 d = p - pc.eye.xyz;
    float far = length(d);
    return vec4(d / max(far, 1e-30), far);
}

// Sums of a network's first layer before the view's part: four of them.
vec4 sums(uint anchor, uint which, uint q)
{
    if (FLOATS)
        return uintBitsToFloat(LD4(cache, NL_ROW(anchor, 3u * Q, which * Q + q)));
    uvec4 w = LD4(cache, NL_ROW(anchor, 3u * Q / 2u, which * (Q / 2u) + q / 2u));
    uvec2 two = (q & 1u) == 0u ? w.xy : w.zw;
    return vec4(unpackHalf2x16(two.x), unpackHalf2x16(two.y));
}

void hidden(uint anchor[ROW_VECTORS], uint which, uint at, vec4 view[ROW_VECTORS],
            out vec4 h[ROW_VECTORS][ROW_QUADS])
{
#ifdef SG
    [[unroll]] for (uint i = 0u; i < 4u * ROW_QUADS; i += SG)
        if (i < 4u * Q) {
            vec4 rows = LD4(net, at + i + LANE);
            [[unroll]] for (uint k = 0u; k < SG; k++) {
                vec4 w = subgroupShuffle(rows, k);
                [[unroll]] for (uint v = 0u; v < ROW_VECTORS; v++)
                    h[v][(i + k) / 4u][(i + k) % 4u] = dot(w, view[v]);
            }
        }
#else
    [[unroll]] for (uint i = 0u; i < 4u * ROW_QUADS; i++)
        if (i < 4u * Q)
            h[0][i / 4u][i % 4u] = dot(LD4(net, at + i), view[0]);
#endif
    [[unroll]] for (uint v = 0u; v < ROW_VECTORS; v++)
        [[unroll]] for (uint q = 0u; q < ROW_QUADS; q++)
            if (q < Q)
                h[v][q] = max(h[v][q] + sums(anchor[v], which, q), vec4(0.0));
}

#ifdef SAGS
// Each unit of the second layer and what it adds to the outputs: COLUMNS vec4 of the last layer, of which
// the last number of the last one is the unit's bias.
#ifdef SG
#define TAIL_PARTS(columns) ((ROWS * columns + SG - 1) / SG)
#define TAIL_FETCH(tail, columns) \
    vec4 fetched[TAIL_PARTS(columns)]; \
    [[unroll]] for (uint p = 0u; p < TAIL_PARTS(columns); p++) \
        fetched[p] = LD4(net, (tail) + min(p * SG + LANE, ROWS * columns - 1u))
#define TAIL(i) subgroupShuffle(fetched[(i) / SG], (i) % SG)
#else
#define TAIL_FETCH(tail, columns) const uint fetched = tail
#define TAIL(i) LD4(net, fetched + (i))
#endif

// The second layer and the last, of up to three outputs.
void three_layers(uint at, vec4 h[ROW_VECTORS][ROW_QUADS], out vec3 sum[ROW_VECTORS])
{
    uint tail = at + 4u * Q * (1u + Q);
    [[unroll]] for (uint v = 0u; v < ROW_VECTORS; v++)
        sum[v] = LD4(net, tail + 4u * Q).xyz;
    for (uint i = 0u; i < 4u * Q; i += ROWS) {
        float y[ROWS][ROW_VECTORS];
        TAIL_FETCH(tail + i, 1);
        row_dots(at + 4u * Q + i * Q, h, y);
        [[unroll]] for (uint r = 0u; r < ROWS; r++) {
            vec4 column = TAIL(r);
            [[unroll]] for (uint v = 0u; v < ROW_VECTORS; v++)
                sum[v] += max(y[r][v] + column.w, 0.0) * column.xyz;
        }
    }
}
#else
float row_dot(uint at, vec4 h[ROW_VECTORS][ROW_QUADS])
{
    float y[ROWS][ROW_VECTORS];
    row_dots(at, h, y);
    return y[0][0];
}
#endif
