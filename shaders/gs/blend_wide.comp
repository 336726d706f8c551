#version 460
// Blends front to back, for GPUs: workgroup = one 16x16 tile, invocation = pixel, 256 records
// at a time staged in shared memory. The per-pixel stop is the reference's.   C: raster_wide.c
#include "gs/common.glsl"
layout(local_size_x = 256) in;
layout(constant_id = 0) const bool FIRST = true;
layout(constant_id = 1) const bool FINAL = true;
layout(constant_id = 2) const bool FLOATS = false;
layout(binding = 0) uniform Params { gs_params p; };
IN_UVEC2(1, pair)
layout(binding = 2) readonly buffer Range { uint range[]; };
IN_VEC4(3, rec)
layout(binding = 4) writeonly buffer Picture { uint picture[]; }; // RGBA8, or with FLOATS vec4
layout(binding = 5) buffer State { vec4 state[]; }; // rgb, T (negative once stopped)
layout(binding = 6) buffer Ctl { uint ctl[]; };
layout(push_constant) uniform Push { gs_blend_push pc; };
shared vec4 geometry[256]; // x, y, A, B
shared vec4 shade[256];    // C, log2 opacity, r, g
shared float blue[256];
shared uint alive;

void main()
{
    uint group = GROUP_ID, l = gl_LocalInvocationID.x;
    if (group >= pc.rows * p.grid.x)
        return;
    uint x = group % p.grid.x * 16u + l % 16u, y = (pc.row0 + group / p.grid.x) * 16u + l / 16u;
    bool inside = x < p.size.x && y < p.size.y;
    uint at = y * p.grid.y + p.grid.z + x;
    uint k = range[2u * group], end = range[2u * group + 1u];
    if (l == 0u && end > k)
        atomicAdd(ctl[GS_CTL_PAIRS], end - k);
    vec4 s = vec4(0.0, 0.0, 0.0, 1.0);
    if (!FIRST && inside)
        s = state[at];
    bool live = inside && s.w > 0.0;
    s.w = abs(s.w);
    bool more = k < end;
    while (more) {
        barrier();
        alive = 0u;
        if (k + l < end) {
            uint r = LD2(pair, k + l).y * RECORD;
            vec4 v = LD4(rec, r + 1u);
            geometry[l] = LD4(rec, r);
#ifdef EXACT
            vec4 c = LD4(rec, r + 2u);
            shade[l] = vec4(v.xy, c.xy);
            blue[l] = c.z;
#else
            shade[l] = vec4(v.xy, unpackHalf2x16(floatBitsToUint(v.z)));
            blue[l] = unpackHalf2x16(floatBitsToUint(v.w)).x;
#endif
        }
        barrier();
        uint n = min(end - k, 256u);
        for (uint j = 0u; j < n && live; j++) {
            vec4 g = geometry[j], h = shade[j];
            float dx = g.x - float(x), dy = g.y - float(y);
            float al = min(exp2(h.y - dx * (g.z * dx) - dy * (g.w * dx + h.x * dy)), 0.99);
            if (al < 1.0 / 255.0)
                continue;
            float left = s.w - al * s.w;
            if (left <= 1e-4) {
                live = false;
                break;
            }
            s.xyz += al * s.w * vec3(h.zw, blue[j]);
            s.w = left;
        }
        if (live)
            alive = 1u;
        barrier();
        k += 256u;
        more = k < end && alive == 1u;
    }
    if (!inside)
        return;
    if (!FINAL) {
        state[at] = vec4(s.xyz, live ? s.w : -s.w);
        return;
    }
    vec3 c = s.xyz + s.w * p.bg.xyz;
    if (FLOATS) {
        picture[4u * at] = floatBitsToUint(c.x);
        picture[4u * at + 1u] = floatBitsToUint(c.y);
        picture[4u * at + 2u] = floatBitsToUint(c.z);
        picture[4u * at + 3u] = floatBitsToUint(1.0 - s.w);
    } else {
        picture[at] = packUnorm4x8(vec4(c, 1.0 - s.w));
    }
}
