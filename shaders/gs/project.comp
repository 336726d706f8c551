#version 460
// Projects Gaussians: view space, 2D covariance and conic (EWA), opacity-aware extent, colour from SH
// (project.glsl); writes the visible ones of each block densely, in scene order.   C: raster.c
//
//   workgroup = one subgroup (WIDE: 64 invocations, no subgroup operations) = one block of GS_BLOCK
//
// Variants: EXACT computes in full precision, from float32 or packed attributes; COUNT only
// counts a slice's visible Gaussians; HISTOGRAM counts them by depth, to cut the scene into slices.
#include "gs/common.glsl"
#include "gs/made.h"
#include "lib/sh.glsl"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint BANDS = 4;       // SH bands to use
layout(constant_id = 2) const uint STRIDE = 6;      // vec4 of SH per Gaussian
#define PROJECT_SPEC 3
#ifdef EXACT
layout(constant_id = 8) const bool FLOATS = true; // the scene was uploaded exact
#else
const bool FLOATS = false;
#endif
layout(constant_id = 9) const bool SLICED = false; // only Gaussians of slice pc.slice
layout(constant_id = 10) const bool MADE = false;  // ctl says how many Gaussians there are

layout(binding = 0) uniform Params { gs_params p; };
// FLOATS: position, opacity | quaternion | standard deviations, 0
// else:   position, opacity | scales 3 x 21 bits, quaternion 4 x snorm16
IN_UVEC4(1, geo)
IN_UVEC4(2, sh)
layout(binding = 3) buffer Rec { vec4 rec[]; };
layout(binding = 4) buffer Key { uint key[]; };
layout(binding = 5) buffer Count { uint visible[]; };
layout(binding = 6) buffer Base { uint first_slot[]; };
layout(binding = 7) buffer Ctl { uint ctl[]; };
layout(push_constant) uniform Push { gs_project_push pc; };
#include "gs/project.glsl"

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
    for (uint i = 0u; i < end; i += gl_WorkGroupSize.x) {
        uint index = gl_WorkGroupID.x * GS_BLOCK + i + lane, g = min(index, count - 1u);
        gaussian o = load(g);
        splat t = splat_of(o);
        bool ok = index < count && t.seen && t.key >= key_low && t.key < key_end;
#if defined(HISTOGRAM)
        // binding 4 holds 1024 counters; sums of integers do not depend on the order
        if (ok)
            atomicAdd(key[t.key >> (findMSB(p.depth.z) - 9)], 1u);
#elif defined(COUNT)
        uint before, total;
        prefix(ok ? 1u : 0u, before, total);
        found += total;
#else
        vec3 color = DEPTH ? vec3(0.0) : color_of(g, o.mean);
        uint before, total;
        prefix(ok ? 1u : 0u, before, total);
        uint at = slot + found + before;
        if (ok && at < pc.capacity)
            put_splat(at, t, color, pc.block * GS_BLOCK + index);
        found += total;
#endif
    }
#ifndef HISTOGRAM
    if (lane == 0u)
        visible[block] = found;
#endif
}
