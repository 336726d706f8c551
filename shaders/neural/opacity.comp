#version 460
// Which anchors of a block are looked at and have Gaussians: opacities of all of these, and a list.
//   workgroup = one subgroup of SG (else 64 invocations) = one block of NL_BLOCK anchors
//   list  [blocks][NL_LIST]; raw [anchor][OFFSETS] before tanh, of SAGS in the list
//   C: gpu_view.c; twin: decode.c
#include "neural/anchor.glsl"
#include "lib/splat.glsl"
layout(constant_id = 8) const float LEAST = 0.0; // Gaussians above it live: 0, or what a picture shows
layout(binding = 3) writeonly buffer List { uint list[]; };
#ifdef SAGS
layout(binding = 4) buffer Dead { vec4 dead[]; }; // the eye that a point had no Gaussian for; how far it was from one
#else
layout(binding = 4) writeonly buffer Raw { float raw[]; };
#endif
shared uint seen[NL_BLOCK]; // anchors of the block that are looked at

// As the rasteriser that models are trained with asks: in front of 0.2, and three standard deviations of
// the anchor's own extent reach a tile of the picture.
bool looked_at(vec3 p, vec3 deviation, vec3 axis)
{
    vec3 t = vec3(dot(pc.view0.xyz, p) + pc.view0.w, dot(pc.view1.xyz, p) + pc.view1.w,
                  dot(pc.view2.xyz, p) + pc.view2.w);
    float iz = 1.0 / max(t.z, 1e-6), width = pc.eye.w, height = pc.height;
    vec2 limit = 0.65 * vec2(width, height) / pc.focal.xy;
    vec2 c = clamp(t.xy * iz, -limit, limit);
    vec3 j0 = (pc.view0.xyz - pc.view2.xyz * c.x) * (pc.focal.x * iz);
    vec3 j1 = (pc.view1.xyz - pc.view2.xyz * c.y) * (pc.focal.y * iz);
    mat3 r = rotation_matrix(vec4(sqrt(max(1.0 - dot(axis, axis), 0.0)), axis));
    vec3 l0 = vec3(dot(j0, r[0]), dot(j0, r[1]), dot(j0, r[2])) * deviation;
    vec3 l1 = vec3(dot(j1, r[0]), dot(j1, r[1]), dot(j1, r[2])) * deviation;
    float a = dot(l0, l0) + 0.3, b = dot(l0, l1), d = dot(l1, l1) + 0.3, mid = 0.5 * (a + d);
    float det = a * d - b * b;
    float radius = ceil(3.0 * sqrt(mid + sqrt(max(0.1, mid * mid - det))));
    vec2 at = pc.focal.xy * t.xy * iz + pc.focal.zw;
    vec2 end = ceil(vec2(width, height) / 16.0) * 16.0;
    return t.z > 0.2 && det != 0.0 && at.x + radius >= 1.0 && at.y + radius >= 1.0 &&
           at.x - radius < end.x && at.y - radius < end.y;
}

#ifdef SAGS
// Whether the opacity of a point that had no Gaussian when it was seen last cannot have grown to one: a network
// of ReLUs is no steeper than the products of its weights.
bool surely_dead(uint a, vec3 p)
{
    vec4 was = dead[a], now = view_of(p);
    vec3 d = p - was.xyz;
    float far = length(d), turn = distance(d / max(far, 1e-30), now.xyz);
    return pc.by_turn * turn + pc.by_distance * abs(far - now.w) < was.w;
}
#endif

// Densely, in their order. Flags of an invocation's anchors are counted at once, a byte each.
uint list_seen()
{
    uint lane = gl_LocalInvocationID.x, n = 0u;
    for (uint i = 0u; i < NL_BLOCK; i += gl_WorkGroupSize.x * ROW_VECTORS) {
        uint flags = 0u, before, total;
        [[unroll]] for (uint v = 0u; v < ROW_VECTORS; v++) {
            uint index = GROUP_ID * NL_BLOCK + i + v * gl_WorkGroupSize.x + lane;
            uint a = min(index, pc.count - 1u);
            uvec4 g0 = place_of(a, 0u), g1 = place_of(a, 1u);
            vec3 axis = uintBitsToFloat(uvec3(g0.w, g1.w, place_of(a, 2u).w));
            bool ok = index < pc.count &&
                      (ALL || looked_at(uintBitsToFloat(g0.xyz), uintBitsToFloat(g1.xyz), axis));
#ifdef SAGS
            ok = ok && !surely_dead(a, uintBitsToFloat(g0.xyz));
#endif
            flags |= ok ? 1u << 8u * v : 0u;
        }
        prefix(flags, before, total);
        [[unroll]] for (uint v = 0u; v < ROW_VECTORS; v++) {
            if ((flags >> 8u * v & 1u) != 0u)
                seen[n + (before >> 8u * v & 255u)] = i + v * gl_WorkGroupSize.x + lane;
            n += total >> 8u * v & 255u;
        }
    }
    barrier();
    return n;
}

void main()
{
    uint block = pc.block + GROUP_ID, lane = gl_LocalInvocationID.x, to = block * NL_LIST;
    uint n = list_seen(), anchors = 0u, gaussians = 0u;
    for (uint i = 0u; i < n; i += gl_WorkGroupSize.x * ROW_VECTORS) {
        uint local[ROW_VECTORS], a[ROW_VECTORS], before, total;
        vec4 view[ROW_VECTORS], h[ROW_VECTORS][ROW_QUADS];
        [[unroll]] for (uint v = 0u; v < ROW_VECTORS; v++) {
            local[v] = seen[min(min(i + v * gl_WorkGroupSize.x + lane, n - 1u), NL_BLOCK - 1u)];
            a[v] = min(GROUP_ID * NL_BLOCK + local[v], pc.count - 1u);
            view[v] = view_of(position_of(a[v]));
        }
        hidden(a, 0u, 0u, view, h);
#ifdef SAGS
        vec3 o[ROW_VECTORS];
        uint flags = 0u;
        three_layers(0u, h, o);
        [[unroll]] for (uint v = 0u; v < ROW_VECTORS; v++) {
            bool mine = i + v * gl_WorkGroupSize.x + lane < n, alive = o[v].x > LEAST;
            flags |= mine && alive ? 1u << 8u * v : 0u;
            if (mine && !alive)
                dead[a[v]] = vec4(pc.eye.xyz, LEAST - o[v].x - 0.001 * (1.0 + abs(o[v].x))); // for roundings
        }
        prefix(flags, before, total);
        [[unroll]] for (uint v = 0u; v < ROW_VECTORS; v++) {
            if ((flags >> 8u * v & 1u) != 0u) {
                uint at = to + 2u + 2u * (anchors + (before >> 8u * v & 255u));
                list[at] = floatBitsToUint(o[v].x);
                list[at + 1u] = local[v];
            }
            anchors += total >> 8u * v & 255u;
        }
        gaussians = anchors;
#else
        uint mask = 0u, out_at = (block * NL_BLOCK + local[0]) * OFFSETS;
        bool ok = i + lane < n;
        for (uint k = 0u; k < OFFSETS; k++) {
            uint row = 4u * Q + k * (Q + 1u);
            float o = row_dot(row, h) + LD4(net, row + Q).x;
            mask |= ok && o > LEAST ? 1u << k : 0u;
            raw[out_at + k] = o;
        }
        prefix(mask != 0u ? 1u | bitCount(mask) << 8 : 0u, before, total);
        if (mask != 0u) {
            uint at = to + 2u + 2u * (anchors + (before & 255u));
            list[at] = mask;
            list[at + 1u] = local[0] | (gaussians + (before >> 8)) << 8;
        }
        anchors += total & 255u;
        gaussians += total >> 8;
#endif
    }
    if (lane == 0u) {
        list[to] = anchors;
        list[to + 1u] = gaussians;
    }
}
