#version 460
// The listed anchors' Gaussians: projected at once (FUSED), as the renderer's records, of which a key of
// GS_UNSEEN has none; or written as its projection reads them (gs/gpu_scene.c).
//   workgroup = one subgroup of SG (else 64 invocations) = one block of NL_BLOCK anchors; an invocation
//   has an anchor at a time. C: gpu_view.c; twin: decode.c
#include "neural/anchor.glsl"
IN_UINT(3, list)
IN_UINT(4, start)
#ifdef FUSED
layout(binding = 5) uniform Params { gs_params p; };
layout(binding = 6) writeonly buffer Rec { vec4 rec[]; };
layout(binding = 7) writeonly buffer Key { uint key[]; };
layout(binding = 8) writeonly buffer Count { uint visible[]; };
#define RAW 9
#define PROJECT_SPEC 8
#include "gs/made.h"
#include "gs/project.glsl"
#else
layout(binding = 5) writeonly buffer Geo { uvec4 geo[]; };
layout(binding = 6) writeonly buffer Sh { uvec4 sh[]; };
#define RAW 7
#endif
#ifndef SAGS
layout(binding = RAW) readonly buffer Raw { float raw[]; };
#endif

vec3 sigmoid(vec3 x)
{
    return 1.0 / (1.0 + exp(-x));
}

vec3 offset_of(uint anchor, uint k)
{
    vec3 o;
    [[unroll]] for (uint a = 0u; a < 3u; a++) {
        uint n = 3u * k + a;
        if (FLOATS) {
            o[a] = uintBitsToFloat(place_of(anchor, NL_PLACE + n / 4u)[n % 4u]);
        } else {
            vec2 two = unpackHalf2x16(place_of(anchor, NL_PLACE + n / 8u)[n / 2u % 4u]);
            o[a] = (n & 1u) == 0u ? two.x : two.y;
        }
    }
    return o;
}

#ifdef FUSED
// Returns how many are seen.
uint put(uint at, vec3 mean, float opacity, vec3 deviation, vec4 q, vec3 colour)
{
    splat t = splat_of(gaussian(mean, deviation, q, opacity));
    if (t.seen)
        put_splat(at, t, colour, at);
    else
        key[at] = GS_UNSEEN;
    return t.seen ? 1u : 0u;
}
#else
uint scale_code(float log2_s)
{
    return uint(clamp((log2_s + 30.0) * (2097151.0 / 60.0), 0.0, 2097151.0) + 0.5);
}

uint snorm16(float v)
{
    return uint(int(round(v * 32767.0))) & 0xffffu;
}

uint put(uint at, vec3 mean, float opacity, vec3 deviation, vec4 q, vec3 colour)
{
    vec3 dc = (colour - 0.5) * (1.0 / 0.28209479177387814);
    q *= inversesqrt(max(dot(q, q), 1e-24));
    if (FLOATS) {
        geo[3u * at] = floatBitsToUint(vec4(mean, opacity));
        geo[3u * at + 1u] = floatBitsToUint(q);
        geo[3u * at + 2u] = floatBitsToUint(vec4(deviation, 0.0));
        sh[at] = floatBitsToUint(vec4(dc, 0.0));
        return 1u;
    }
    vec3 l = log2(max(deviation, 1e-12));
    uvec3 code = uvec3(scale_code(l.x), scale_code(l.y), scale_code(l.z));
    geo[2u * at] = floatBitsToUint(vec4(mean, opacity));
    geo[2u * at + 1u] = uvec4(code.x | code.y << 21, code.y >> 11 | code.z << 10,
                              snorm16(q.x) | snorm16(q.y) << 16, snorm16(q.z) | snorm16(q.w) << 16);
    sh[at] = uvec4(packHalf2x16(dc.xy), packHalf2x16(vec2(dc.z, 0.0)), 0u, 0u);
    return 1u;
}
#endif

#ifdef SAGS
// Seven outputs: the columns are two vec4, whose last is the second layer's bias.
void covariance_of(vec4 h[ROW_VECTORS][ROW_QUADS], out vec4 a[ROW_VECTORS], out vec4 b[ROW_VECTORS])
{
    uint tail = NET1 + 4u * Q * (1u + Q);
    [[unroll]] for (uint v = 0u; v < ROW_VECTORS; v++) {
        a[v] = LD4(net, tail + 8u * Q);
        b[v] = LD4(net, tail + 8u * Q + 1u);
    }
    for (uint i = 0u; i < 4u * Q; i += ROWS) {
        float y[ROWS][ROW_VECTORS];
        TAIL_FETCH(tail + 2u * i, 2);
        row_dots(NET1 + 4u * Q + i * Q, h, y);
        [[unroll]] for (uint r = 0u; r < ROWS; r++) {
            vec4 s = TAIL(2u * r), t = TAIL(2u * r + 1u);
            [[unroll]] for (uint v = 0u; v < ROW_VECTORS; v++) {
                float unit = max(y[r][v] + t.w, 0.0);
                a[v] += unit * s;
                b[v] += unit * t;
            }
        }
    }
}
#endif

void main()
{
    uint block = pc.block + GROUP_ID, from = block * NL_LIST, n = LD1(list, from);
    uint begin = LD1(start, block), lane = gl_LocalInvocationID.x, found = 0u;
    for (uint i = 0u; i < n; i += gl_WorkGroupSize.x * ROW_VECTORS) {
        uint first[ROW_VECTORS], where[ROW_VECTORS], anchor[ROW_VECTORS];
        vec4 view[ROW_VECTORS], h[ROW_VECTORS][ROW_QUADS];
        [[unroll]] for (uint v = 0u; v < ROW_VECTORS; v++) {
            uint entry = from + 2u + 2u * min(i + v * gl_WorkGroupSize.x + lane, n - 1u);
            first[v] = LD1(list, entry);
            where[v] = LD1(list, entry + 1u);
            anchor[v] = GROUP_ID * NL_BLOCK + (where[v] & 255u);
            view[v] = view_of(position_of(anchor[v]));
        }
        hidden(anchor, 1u, NET1, view, h);
#ifdef SAGS
        vec4 s[ROW_VECTORS], t[ROW_VECTORS];
        vec3 colour[ROW_VECTORS];
        covariance_of(h, s, t);
        hidden(anchor, 2u, NET2, view, h);
        three_layers(NET2, h, colour);
        [[unroll]] for (uint v = 0u; v < ROW_VECTORS; v++) {
            uint a = anchor[v], at = i + v * gl_WorkGroupSize.x + lane, to = begin + at - pc.first;
            vec3 spread = uintBitsToFloat(place_of(a, 1u).xyz);
            vec3 size = uintBitsToFloat(place_of(a, 2u).xyz);
            if (at < n && to < pc.room)
                found += put(to, position_of(a) + offset_of(a, 0u) * spread, tanh(uintBitsToFloat(first[v])),
                             size * sigmoid(s[v].xyz), vec4(s[v].w, t[v].xyz), sigmoid(colour[v]));
        }
#else
        vec4 hc[ROW_VECTORS][ROW_QUADS];
        hidden(anchor, 2u, NET2, view, hc);
        uint a = anchor[0], at = begin + (where[0] >> 8);
        uint out_at = (block * NL_BLOCK + (where[0] & 255u)) * OFFSETS, mask = i + lane < n ? first[0] : 0u;
        vec3 spread = uintBitsToFloat(place_of(a, 1u).xyz);
        vec3 size = uintBitsToFloat(place_of(a, 2u).xyz);
        for (uint k = 0u; k < OFFSETS; k++) {
            uint w = NET1 + 4u * Q + k * (7u * Q + 2u), c = NET2 + 4u * Q + k * (3u * Q + 1u);
            vec4 b0 = LD4(net, w + 7u * Q), b1 = LD4(net, w + 7u * Q + 1u), b2 = LD4(net, c + 3u * Q);
            vec3 s = b0.xyz + vec3(row_dot(w, h), row_dot(w + Q, h), row_dot(w + 2u * Q, h));
            vec4 q = vec4(b0.w, b1.xyz) + vec4(row_dot(w + 3u * Q, h), row_dot(w + 4u * Q, h),
                                               row_dot(w + 5u * Q, h), row_dot(w + 6u * Q, h));
            vec3 colour = b2.xyz + vec3(row_dot(c, hc), row_dot(c + Q, hc), row_dot(c + 2u * Q, hc));
            bool alive = (mask >> k & 1u) != 0u;
            uint to = at - pc.first;
            if (alive && to < pc.room)
                found += put(to, position_of(a) + offset_of(a, k) * spread, tanh(raw[out_at + k]),
                             size * sigmoid(s), q, sigmoid(colour));
            at += alive ? 1u : 0u;
        }
#endif
    }
#ifdef FUSED
    uint before, total;
    prefix(found, before, total);
    if (lane == 0u)
        visible[block] = total;
#endif
}
