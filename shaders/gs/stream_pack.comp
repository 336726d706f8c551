#version 460
// A stream's integers into the form the renderer draws (gpu_scene.c): of some Gaussians, an invocation
// each. Sums in the order of the twin and none fused: the same bits.
//   C: stream_gpu.c; twin: stream_pack.c
//
//   GEOMETRY  state  [GS_STREAM_QUADS] vec4: position, opacity | rotation | scale, 0
//   COLOURS   state  [QUADS] vec4: coefficients' luma and two chromas, padded
#extension GL_GOOGLE_include_directive : require
#include "gs/stream_params.h"
layout(local_size_x = GS_STREAM_GROUP) in;
layout(constant_id = 0) const uint QUADS = 3;  // of the state
layout(constant_id = 1) const uint STRIDE = 4; // vec4 of SH a Gaussian, as drawn
layout(constant_id = 2) const uint COEFS = 9;
layout(binding = 0) readonly buffer Row { uint row[]; };
layout(binding = 1) readonly buffer State { int state[]; };
layout(binding = 2) writeonly buffer Result { uvec4 result[]; };
layout(push_constant) uniform Push { gs_stream_pack_push pc; };

uint scale_code(float ln)
{
    precise float at = ln * GS_PACK_LOG2E + 30.0;
    precise float code = at * GS_PACK_SCALE;
    precise float half_up = clamp(code, 0.0, 2097151.0) + 0.5;
    return uint(half_up);
}

uint snorm16(float v)
{
    precise float half_up = clamp(v, -32767.0, 32767.0) + 0.5;
    return uint(int(floor(half_up))) & 0xffffu;
}

// fv_f32_to_f16
uint half_of(float v)
{
    uint x = floatBitsToUint(v), a = x & 0x7fffffffu;
    precise float shifted = uintBitsToFloat(a) + 0.5;
    uint sub = floatBitsToUint(shifted) - 0x3f000000u;
    uint normal = (a - 0x38000000u + 0xfffu + (a >> 13 & 1u)) >> 13;
    uint h = a < 0x38800000u ? sub : normal;
    return (x >> 16 & 0x8000u) | (a >= 0x477ff000u ? 0x7c00u : h);
}

void geometry(uint at, uint to)
{
    uvec4 g;
    for (uint k = 0u; k < 3u; k++) {
        precise float p = pc.origin[k] + float(state[at + k]) * pc.position;
        g[k] = floatBitsToUint(p);
    }
    precise float alpha = float(state[at + 3u]) * pc.opacity;
    g.w = floatBitsToUint(clamp(alpha, GS_PACK_ALPHA, 1.0 - GS_PACK_ALPHA));
    result[to * 2u] = g;

    precise vec3 s = vec3(state[at + 8u], state[at + 9u], state[at + 10u]) * pc.scale;
    precise float a = (GS_PACK_3 * s.x + GS_PACK_2 * s.y) + GS_PACK_6 * s.z;
    precise float b = (GS_PACK_3 * s.x - GS_PACK_2 * s.y) + GS_PACK_6 * s.z;
    precise float c = GS_PACK_3 * s.x - GS_PACK_66 * s.z;
    uvec3 code = uvec3(scale_code(a), scale_code(b), scale_code(c));

    precise vec4 q = vec4(state[at + 4u], state[at + 5u], state[at + 6u], state[at + 7u]) *
                     (1.0 / 16384.0);
    precise float square = ((q.x * q.x + q.y * q.y) + q.z * q.z) + q.w * q.w;
    precise float to_one = (1.5 - 0.5 * square) * 32767.0;
    precise vec4 unit = q * to_one;
    result[to * 2u + 1u] =
        uvec4(code.x | code.y << 21, code.y >> 11 | code.z << 10,
              snorm16(unit.x) | snorm16(unit.y) << 16, snorm16(unit.z) | snorm16(unit.w) << 16);
}

// The n-th of a Gaussian's red, green, blue, red ...
uint value(uint at, uint n)
{
    uint k = n / 3u, c = n % 3u;
    if (k >= COEFS)
        return 0u;
    float unit = pc.colour[k == 0u ? 0 : k < 4u ? 1 : k < 9u ? 2 : 3];
    precise vec3 v = vec3(state[at + 3u * k], state[at + 3u * k + 1u], state[at + 3u * k + 2u]) * unit;
    precise float luma = GS_PACK_3 * v.x;
    precise float red = (luma + GS_PACK_2 * v.y) + GS_PACK_6 * v.z;
    precise float green = luma - GS_PACK_66 * v.z;
    precise float blue = (luma - GS_PACK_2 * v.y) + GS_PACK_6 * v.z;
    return half_of(c == 0u ? red : c == 1u ? green : blue);
}

void colours(uint at, uint to)
{
    for (uint quad = 0u; quad < STRIDE; quad++) {
        uvec4 w;
        for (uint k = 0u; k < 4u; k++)
            w[k] = value(at, 8u * quad + 2u * k) | value(at, 8u * quad + 2u * k + 1u) << 16;
        result[to * STRIDE + quad] = w;
    }
}

void main()
{
    uint id = (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * GS_STREAM_GROUP +
              gl_LocalInvocationID.x;
    if (id < pc.count) {
        uint i = row[pc.first + id];
#ifdef GEOMETRY
        geometry(i * (4u * GS_STREAM_QUADS), i - pc.chunk);
#else
        colours(i * (4u * QUADS), i - pc.chunk);
#endif
    }
}
