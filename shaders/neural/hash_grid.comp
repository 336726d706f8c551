#version 460
// The hash grid at points: two numbers a level (tiny-cuda-nn's HashGrid).
//   C: graph_gpu.c; twin: encode.c; an invocation has a point
#extension GL_GOOGLE_include_directive : require
#include "gs/common.glsl"
#include "neural/params.h"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint LEVELS = 16;
IN_VEC4(0, point)
IN_UVEC2(1, table)
IN_UVEC4(2, level) // scale, resolution, first entry, entries
layout(binding = 3) writeonly buffer Values { vec4 values[]; }; // [count][LEVELS / 2]
layout(push_constant) uniform Push { uint first, count; };

// a b + 0.5 rounded once, whether or not the device fuses: at the finest levels a rounding moves a point
// by a large part of a cell.
float scaled(float a, float b)
{
    precise float ca = 4097.0 * a, cb = 4097.0 * b;
    precise float ah = ca - (ca - a), bh = cb - (cb - b);
    precise float al = a - ah, bl = b - bh, p = a * b;
    precise float e = ((ah * bh - p) + ah * bl + al * bh) + al * bl;
    precise float s = p + 0.5, part = s - p;
    precise float rest = (p - (s - part)) + (0.5 - part);
    precise float at = s + (e + rest);
    return at;
}

vec2 level_of(vec3 p, uvec4 l)
{
    vec3 at = vec3(scaled(uintBitsToFloat(l.x), p.x), scaled(uintBitsToFloat(l.x), p.y),
                   scaled(uintBitsToFloat(l.x), p.z));
    vec3 whole = floor(at), part = at - whole;
    uvec3 cell = uvec3(ivec3(clamp(whole, vec3(-2147483648.0), vec3(2147483520.0))));
    bool dense = l.y <= 1290u && l.y * l.y * l.y <= l.w;
    vec2 sum = vec2(0.0);
    [[unroll]] for (uint corner = 0u; corner < 8u; corner++) {
        uvec3 up = uvec3(corner, corner >> 1, corner >> 2) & 1u, c = cell + up;
        vec3 w = mix(1.0 - part, part, equal(up, uvec3(1u)));
        uint index = dense ? c.x + c.y * l.y + c.z * l.y * l.y
                           : c.x ^ c.y * 2654435761u ^ c.z * 805459861u;
        sum += w.x * w.y * w.z * uintBitsToFloat(LD2(table, l.z + index % l.w));
    }
    return sum;
}

void main()
{
    uint row = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (row >= count)
        return;
    vec3 p = LD4(point, first + row).xyz;
    for (uint i = 0u; i < LEVELS; i += 2u)
        values[row * (LEVELS / 2u) + i / 2u] = vec4(level_of(p, LD4(level, i)), level_of(p, LD4(level, i + 1u)));
}
