// The projection of a Gaussian and the record of it that is drawn (EWA; 3DGS, sec. 4), for project.comp and
// for kernels of other rooms that make Gaussians and project them at once (gs.h, gs_make). Include after `p`
// (gs_params), `rec` and `key` are declared; PROJECT_SPEC: the first of the constants, which are gs_splat_spec's.
//
//   record per slot, 2 vec4:  x, y, A, B | C, log opacity, half2(r,g), half(b) + rows/bins
//                 EXACT, 3:   x, y, A, B | C, log2 opacity, rows/bins, z | r, g, b, scene index
//   exponent of alpha at (dx,dy):  L - (A dx^2 + B dx dy + C dy^2)
#include "lib/splat.glsl"
// Constants, not uniforms: a CPU driver compiles a kernel anew each time the uniforms are written
// if branches on them would fold away much of it (200 ms here, a frame).
layout(constant_id = PROJECT_SPEC) const bool ANTIALIASED = false;
layout(constant_id = PROJECT_SPEC + 1) const uint TILE_W = 8;
layout(constant_id = PROJECT_SPEC + 2) const uint TILE_H = 16;
layout(constant_id = PROJECT_SPEC + 3) const uint BIN_TILES = 8;
layout(constant_id = PROJECT_SPEC + 4) const bool DEPTH = false; // colour = depth, 1 / depth, 1
#ifdef FUSED // whatever the renderer's form is
#undef RECORD
#undef EXP_S
#undef EXP_Q0
layout(constant_id = PROJECT_SPEC + 5) const uint RECORD = 2;
layout(constant_id = PROJECT_SPEC + 6) const float EXP_S = 1.0;
layout(constant_id = PROJECT_SPEC + 7) const float EXP_Q0 = 0.0;
#endif

struct gaussian {
    vec3 mean, deviation;
    vec4 q;
    float opacity;
};

struct splat {
    bool seen;
    vec2 centre;
    vec3 abc;
    float level, z; // log opacity, scaled; view depth
    uint key, work; // depth key; rows and bins touched
};

splat splat_of(gaussian o)
{
    splat s;
    vec3 m = o.mean;
    vec2 last = vec2(p.size.xy) - 1.0;
    vec3 t = vec3(dot(p.view0.xyz, m) + p.view0.w, dot(p.view1.xyz, m) + p.view1.w,
                  dot(p.view2.xyz, m) + p.view2.w);
    bool ok = t.z > p.eye.w;
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
    uvec2 tile = uvec2(low) / uvec2(TILE_W, TILE_H), last_tile = uvec2(high) / uvec2(TILE_W, TILE_H);
    uint rows = last_tile.y - tile.y + 1u, bins = last_tile.x / BIN_TILES - tile.x / BIN_TILES + 1u;
    uint k = min((floatBitsToUint(t.z) - p.depth.x) >> p.depth.y, p.depth.z);
    float scale = 0.5 * 1.44269504 * inv * EXP_S;
    s.seen = ok && all(lessThanEqual(low, high));
    s.centre = centre;
    s.abc = scale * vec3(c, -2.0 * b, a);
    s.level = EXP_S * lo + EXP_Q0;
    s.z = t.z;
    s.key = t.z <= uintBitsToFloat(p.depth.x) ? 0u : k;
    s.work = min(rows, 1023u) | min(bins, 63u) << 10;
    return s;
}

// index: in the scene, of exact records. color as it is: what is drawn with DEPTH comes of s.
void put_splat(uint at, splat s, vec3 color, uint index)
{
    if (DEPTH)
        color = vec3(s.z, 1.0 / max(s.z, 1e-6), 1.0);
    key[at] = s.key;
    rec[at * RECORD] = vec4(s.centre, s.abc.xy);
    if (RECORD == 3u) {
        rec[at * RECORD + 1u] = vec4(s.abc.z, s.level, uintBitsToFloat(s.work), s.z);
        rec[at * RECORD + 2u] = vec4(color, uintBitsToFloat(index));
    } else {
        rec[at * RECORD + 1u] =
            vec4(s.abc.z, s.level, uintBitsToFloat(packHalf2x16(color.xy)),
                 uintBitsToFloat((packHalf2x16(vec2(color.z, 0.0)) & 0xffffu) | s.work << 16));
    }
}
