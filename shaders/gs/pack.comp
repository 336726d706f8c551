#version 460
// The picture as the caller wants it, pixels one after the other: box-filters supersampled ones,
// then KIND 0 RGBA8, 1 rgb f32, 2 alpha f32, 3 depth/alpha f32, 4 depth f32. An invocation has
// four pixels, and stores vec4.   C: frame.c
#include "gs/common.glsl"
#include "gs/picture.glsl"
layout(binding = 1) writeonly buffer Result { uvec4 result[]; };

void main()
{
    uint id = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x, first = 4u * id;
    uint count = pc.width * pc.height;
    uint w[12];
    [[unroll]] for (uint i = 0u; i < 4u; i++) {
        uint at = min(first + i, count - 1u);
        vec4 c = FACTOR == 1u ? pixel(at) : resolve(at % pc.width, at / pc.width);
        bool inside = first + i < count; // `?:` with it keeps the arithmetic out of the stores
        if (KIND == 0u)
            w[i] = inside ? packUnorm4x8(c) : 0u;
        else if (KIND == 1u)
            [[unroll]] for (uint k = 0u; k < 3u; k++)
                w[3u * i + k] = inside ? floatBitsToUint(c[k]) : 0u;
        else
            w[i] = inside ? floatBitsToUint(KIND == 2u   ? c.a
                                            : KIND == 3u ? c.r / max(c.a, 1e-10)
                                                         : c.r)
                          : 0u;
    }
    if (first < count) {
        if (KIND == 1u)
            [[unroll]] for (uint k = 0u; k < 12u; k += 4u) {
                if (3u * first + k < 3u * count)
                    result[3u * id + k / 4u] = uvec4(w[k], w[k + 1u], w[k + 2u], w[k + 3u]);
            }
        else
            result[id] = uvec4(w[0], w[1], w[2], w[3]);
    }
}
