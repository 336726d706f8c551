#version 460
// Projects Gaussians: view space, 2D covariance and conic (EWA), opacity-aware extent, colour
// from SH; writes the visible ones of each block densely, in scene order.   C: raster.c
//
//   workgroup = one subgroup (WIDE: 64 invocations, no subgroup operations) = one block of GS_BLOCK
//   record per slot, 2 vec4:  x, y, A, B | C, log opacity, half2(r,g), half(b) + rows/bins
//                 EXACT, 3:   x, y, A, B | C, log2 opacity, rows/bins, z | r, g, b, scene index
//   exponent of alpha at (dx,dy):  L - (A dx^2 + B dx dy + C dy^2)
//
// Variants: EXACT computes in full precision, from float32 or packed attributes; COUNT only
// counts a slice's visible Gaussians; HISTOGRAM counts them by depth, to cut the scene into slices.
#include "gs/common.glsl"
#include "gs/made.h"
#include "lib/sh.glsl"
#include "lib/splat.glsl"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint BANDS = 4;       // SH bands to use
layout(constant_id = 2) const uint STRIDE = 6;      // vec4 of SH per Gaussian
layout(constant_id = 3) const bool ANTIALIASED = false;
layout(constant_id = 4) const uint TILE_W = 8;
layout(constant_id = 5) const uint TILE_H = 16;
layout(constant_id = 6) const uint BIN_TILES = 8;
// Constants, not uniforms: a CPU driver compiles a kernel anew each time the uniforms are written
// if branches on them would fold away much of it (200 ms here, a frame).
layout(constant_id = 8) const bool SLICED = false; // only Gaussians of slice pc.slice
layout(constant_id = 9) const bool DEPTH = false;  // colour = depth, 1 / depth, 1
layout(constant_id = 10) const bool MADE = false;  // ctl says how many Gaussians there are

layout(binding = 0) uniform Params { gs_params p; };
// FLOATS: position, opacity | quaternion | standard deviations, 0
// else:   position, opacity | scales 3 x 21 bits, quaternion 4 x snorm16
IN_UVEC4(1, geo)
IN_UVEC4(2, sh)
#ifdef EXACT
layout(constant_id = 7) const bool FLOATS = true; // the scene was uploaded exact
#else
const bool FLOATS = false;
#endif
layout(binding = 3) buffer Rec { vec4 rec[]; };
layout(binding = 4) buffer Key { uint key[]; };
layout(binding = 5) buffer Count { uint visible[]; };
layout(binding = 6) buffer Base { uint first_slot[]; };
layout(binding = 7) buffer Ctl { uint ctl[]; };
layout(push_constant) uniform Push { gs_project_push pc; };

struct gaussian {
    vec3 mean, deviation;
    vec4 q;
    float opacity;
};

gaussian load(uint g)
{
    gaussian o;
    uint at = g * (FLOATS ? 3u : 2u);
    uvec4 a = LD4(geo, at), b = LD4(geo, at + 1u);
    o.mean = uintBitsToFloat(a.xyz);
    o.opacity = uintBitsToFloat(a.w);
    if (FLOATS) {
        o.q = uintBitsToFloat(b);
        o.deviation = uintBitsToFloat(LD4(geo, at + 2u).xyz);
    } else {
        uvec3 code =
            uvec3(b.x & 0x1fffffu, (b.x >> 21 | b.y << 11) & 0x1fffffu, b.y >> 10 & 0x1fffffu);
        o.deviation = exp2(vec3(code) * (60.0 / 2097151.0) - 30.0); // log2 in [-30,30]
        o.q = vec4(unpackSnorm2x16(b.z), unpackSnorm2x16(b.w));
    }
    return o;
}

vec3 color_of(uint g, vec3 mean)
{
    vec3 d = normalize(mean - p.eye.xyz), c = vec3(0.5);
    uint s = g * STRIDE;
    // coefficients in pairs: two halves a word, or words of their own
    uint v[48];
    [[unroll]] for (uint q = 0u; q < 12u; q++)
        if (q * (FLOATS ? 4u : 8u) < 3u * BANDS * BANDS) {
            uvec4 t = LD4(sh, s + q);
            v[q * 4u] = t.x, v[q * 4u + 1u] = t.y, v[q * 4u + 2u] = t.z, v[q * 4u + 3u] = t.w;
        }
#define COEF(i) (FLOATS ? uintBitsToFloat(v[i]) : unpackHalf2x16(v[(i) / 2])[(i) & 1])
    [[unroll]] for (int k = 0; k < 16; k++)
        if (k < int(BANDS * BANDS))
            c += sh_basis(k, d) * vec3(COEF(k * 3), COEF(k * 3 + 1), COEF(k * 3 + 2));
    return max(c, vec3(0.0));
}

#ifdef WIDE
#include "lib/prefix.glsl"
void prefix(uint one, out uint before, out uint total)
{
    group_prefix(one, before, total);
}
#else
void prefix(uint one, out uint before, out uint total)
{
    before = subgroupExclusiveAdd(one);
    total = subgroupAdd(one);
}
#endif

void main()
{
    uint block = pc.block + gl_WorkGroupID.x, lane = gl_LocalInvocationID.x;
    uint slot = SLICED ? first_slot[block] : block * GS_BLOCK;
    uint key_low = SLICED ? ctl[GS_CTL_SLICE + pc.slice] : 0u;
    uint key_end = SLICED ? ctl[GS_CTL_SLICE + pc.slice + 1u] : ~0u;
    uint found = 0u, count = pc.count, end = GS_BLOCK;
    if (MADE) {
        uint first = pc.block * GS_BLOCK, mine = gl_WorkGroupID.x * GS_BLOCK;
        count = min(count, max(ctl[GS_CTL_LIVE], first) - first);
        end = min(end, max(count, mine) - mine);
    }
    vec2 last = vec2(p.size.xy) - 1.0;
    for (uint i = 0u; i < end; i += gl_WorkGroupSize.x) {
        uint index = gl_WorkGroupID.x * GS_BLOCK + i + lane, g = min(index, count - 1u);
        gaussian o = load(g);
        vec3 m = o.mean;
        vec3 t = vec3(dot(p.view0.xyz, m) + p.view0.w, dot(p.view1.xyz, m) + p.view1.w,
                      dot(p.view2.xyz, m) + p.view2.w);
        bool ok = index < count && t.z > p.eye.w;
        ok = ok && all(greaterThanEqual(m, p.crop_min.xyz)) && all(lessThanEqual(m, p.crop_max.xyz));
        float iz = 1.0 / max(t.z, 1e-6);
        vec2 centre = t.xy * iz * p.focal.xy + p.focal.zw;
        // rows of J * (rotation of the view); x/z and y/z clamped for J only
        float tx = clamp(t.x * iz, p.limit.x, p.limit.y), ty = clamp(t.y * iz, p.limit.z, p.limit.w);
        vec3 j0 = (p.view0.xyz - p.view2.xyz * tx) * (p.focal.x * iz);
        vec3 j1 = (p.view1.xyz - p.view2.xyz * ty) * (p.focal.y * iz);
        // cov2 = (J R S)(J R S)^T
        mat3 r = rotation_matrix(o.q);
        vec3 l0 = vec3(dot(j0, r[0]), dot(j0, r[1]), dot(j0, r[2])) * o.deviation;
        vec3 l1 = vec3(dot(j1, r[0]), dot(j1, r[1]), dot(j1, r[2])) * o.deviation;
        float a0 = dot(l0, l0) * p.crop_max.w, b0 = dot(l0, l1) * p.crop_max.w,
              c0 = dot(l1, l1) * p.crop_max.w;
        float a = a0 + 0.3, b = b0, c = c0 + 0.3; // 0.3 px^2 low-pass
        float det = a * c - b * b;
        ok = ok && det > 0.0;
        float inv = 1.0 / max(det, 1e-20), opacity = o.opacity;
        if (ANTIALIASED)
            opacity *= sqrt(max((a0 * c0 - b0 * b0) * inv, 0.000025));
        ok = ok && opacity >= 1.0 / 255.0;
        float lo = log2(max(opacity, 1e-6));
        // alpha falls to 1/255 on the ellipse of this squared radius (in units of sigma)
        float cut = 1.3862943611 * (lo + LOG2_255);
        vec2 extent = sqrt(max(cut * vec2(a, c), 0.0));
        ok = ok && all(greaterThanEqual(centre + extent, vec2(0.0))) &&
             all(lessThanEqual(centre - extent, last));
        vec2 low = clamp(ceil(centre - extent - 0.02), vec2(0.0), last);
        vec2 high = clamp(floor(centre + extent + 0.02), vec2(0.0), last);
        ok = ok && all(lessThanEqual(low, high));
        uint k = min((floatBitsToUint(t.z) - p.depth.x) >> p.depth.y, p.depth.z);
        k = t.z <= uintBitsToFloat(p.depth.x) ? 0u : k;
        ok = ok && k >= key_low && k < key_end;
#if defined(HISTOGRAM)
        // binding 4 holds 1024 counters; sums of integers do not depend on the order
        if (ok)
            atomicAdd(key[k >> (findMSB(p.depth.z) - 9)], 1u);
#elif defined(COUNT)
        uint before, total;
        prefix(ok ? 1u : 0u, before, total);
        found += total;
#else
        uvec2 tile = uvec2(low) / uvec2(TILE_W, TILE_H), last_tile = uvec2(high) / uvec2(TILE_W, TILE_H);
        uint rows = last_tile.y - tile.y + 1u, bins = last_tile.x / BIN_TILES - tile.x / BIN_TILES + 1u;
        uint work = min(rows, 1023u) | min(bins, 63u) << 10;
        vec3 color = DEPTH ? vec3(t.z, iz, 1.0) : color_of(g, m);
        float scale = 0.5 * 1.44269504 * inv * EXP_S;
        uint before, total;
        prefix(ok ? 1u : 0u, before, total);
        uint at = slot + found + before;
        if (ok && at < pc.capacity) {
            key[at] = k;
            rec[at * RECORD] = vec4(centre, scale * c, -2.0 * scale * b);
#ifdef EXACT
            rec[at * RECORD + 1u] = vec4(scale * a, EXP_S * lo + EXP_Q0, uintBitsToFloat(work), t.z);
            rec[at * RECORD + 2u] = vec4(color, uintBitsToFloat(pc.block * GS_BLOCK + index));
#else
            rec[at * RECORD + 1u] =
                vec4(scale * a, EXP_S * lo + EXP_Q0, uintBitsToFloat(packHalf2x16(color.xy)),
                     uintBitsToFloat((packHalf2x16(vec2(color.z, 0.0)) & 0xffffu) | work << 16));
#endif
        }
        found += total;
#endif
    }
#ifndef HISTOGRAM
    if (lane == 0u)
        visible[block] = found;
#endif
}
