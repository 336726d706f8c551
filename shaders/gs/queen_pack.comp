#version 460
// A QUEEN scene's rows into the form the renderer draws (gpu_scene.c): activations, packing.
//   C: queen_gpu.c; twin: pack_rows and exact_rows in gpu_scene.c
//
//   position  vec4: x y z, opacity logit;  scale vec4: natural logs;  rotation vec4: w x y z, raw
//   sh        [rows] of SH_QUADS vec4: f_dc, 0 | f_rest, coefficient-major
#include "gs/common.glsl"
layout(local_size_x = GS_QUEEN_GROUP) in;
layout(constant_id = 0) const uint SH_QUADS = 7; // of the state
layout(constant_id = 1) const uint STRIDE = 4;   // vec4 of SH a Gaussian, as drawn
layout(constant_id = 2) const bool FLOATS = false;
layout(constant_id = 3) const bool ORDERED = true; // else in the state's own order

IN_UVEC4(0, position)
IN_UVEC4(1, scale)
IN_UVEC4(2, rotation)
IN_UVEC4(3, sh)
IN_UINT(4, order)
layout(binding = 5) writeonly buffer Geo { uvec4 geo[]; };
layout(binding = 6) writeonly buffer Sh { uvec4 packed_sh[]; };
layout(push_constant) uniform Push { gs_queen_pack_push pc; };

uvec2 halfs(uvec4 v)
{
    return uvec2(packHalf2x16(uintBitsToFloat(v.xy)), packHalf2x16(uintBitsToFloat(v.zw)));
}

// Values 4k to 4k + 3 of f_dc and f_rest without the gap between them; beyond the last 0.
uvec4 four(uint row, uint k, inout uvec3 before)
{
    uvec4 v = LD4(sh, row * SH_QUADS + min(k + 1u, SH_QUADS - 1u));
    v = k + 1u < SH_QUADS ? v : uvec4(0u);
    uvec4 w = uvec4(before, v.x);
    before = v.yzw;
    return w;
}

void main()
{
    uint id = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (id < pc.count) {
        uint row = ORDERED ? LD1(order, pc.first + id) : pc.first + id;
        vec4 p = uintBitsToFloat(LD4(position, row)), q = uintBitsToFloat(LD4(rotation, row));
        vec3 s = uintBitsToFloat(LD4(scale, row).xyz);
        float opacity = 1.0 / (1.0 + exp(-p.w));
        q *= inversesqrt(max(dot(q, q), 1e-30));
        uint at = id * (FLOATS ? 3u : 2u);
        geo[at] = floatBitsToUint(vec4(p.xyz, opacity));
        if (FLOATS) {
            geo[at + 1u] = floatBitsToUint(q);
            geo[at + 2u] = floatBitsToUint(vec4(exp(s), 0.0));
        } else { // log2 of the deviations in 21 bits over [-30,30]
            vec3 code = (s * 1.44269504 + 30.0) * (2097151.0 / 60.0);
            uvec3 c = uvec3(clamp(code, vec3(0.0), vec3(2097151.0)) + 0.5);
            c = min(c, uvec3(2097151u));
            geo[at + 1u] = uvec4(c.x | c.y << 21, c.y >> 11 | c.z << 10, packSnorm2x16(q.xy),
                                 packSnorm2x16(q.zw));
        }
        uvec3 before = LD4(sh, row * SH_QUADS).xyz; // three that are still to be stored
        for (uint k = 0u; k < STRIDE; k++) {
            uvec4 w = four(row, FLOATS ? k : 2u * k, before);
            if (!FLOATS)
                w = uvec4(halfs(w), halfs(four(row, 2u * k + 1u, before)));
            packed_sh[id * STRIDE + k] = w;
        }
    }
}
