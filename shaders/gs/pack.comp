#version 460
// The picture as the caller wants it: box-filters supersampled pixels, converts to planar YUV
// (limited range) or float planes. Every store is a whole word.   C: frame.c
//
//   source: RGBA8 words, or with FLOAT vec4 (rgb, alpha); rows of width*factor pixels
//   KIND 0 RGBA8; 1 YUV420P; 2 YUV444P; 3 YUV420P10; 4 rgb f32; 5 alpha f32; 6 depth/alpha f32;
//        7 depth f32.  The planes follow each other in `result`; a 4:2:0 row is padded to
//        8 pixels, a 4:4:4 row to 4.
#include "gs/common.glsl"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint KIND = 0;
#ifdef FLOAT
IN_VEC4(0, source)
vec4 pixel(uint i) { return LD4(source, i); }
#else
IN_UINT(0, source)
vec4 pixel(uint i) { return unpackUnorm4x8(LD1(source, i)); }
#endif
layout(binding = 1) writeonly buffer Result { uint result[]; };
layout(push_constant) uniform Push { gs_pack_push pc; };

vec4 resolve(uint x, uint y)
{
    x = min(x, pc.width - 1u);
    y = min(y, pc.height - 1u);
    uint n = pc.factor, stride = pc.width * n;
    vec4 sum = vec4(0.0);
    for (uint j = 0u; j < n; j++)
        for (uint i = 0u; i < n; i++)
            sum += pixel((y * n + j) * stride + x * n + i);
    return sum / float(n * n);
}

vec3 to_yuv(vec3 c) // Y in 0..1, U and V in -0.5..0.5
{
    vec2 k = pc.matrix == 1u ? vec2(0.299, 0.114) : vec2(0.2126, 0.0722);
    float y = k.x * c.r + (1.0 - k.x - k.y) * c.g + k.y * c.b;
    return vec3(y, (c.b - y) / (2.0 * (1.0 - k.y)), (c.r - y) / (2.0 * (1.0 - k.x)));
}
uint luma(float y, float bits) { return uint((16.0 + 219.0 * y) * bits + 0.5); }
uint chroma(float c, float bits) { return uint((128.0 + 224.0 * c) * bits + 0.5); }

// 4:2:0: one invocation = 8x2 pixels. Chroma is sited at the centre of each 2x2, and tagged so.
void planes_420(uint id)
{
    uint across = (pc.width + 7u) / 8u, down = pc.height / 2u;
    if (id >= across * down)
        return;
    uint x = id % across, y = id / across;
    float bits = KIND == 3u ? 4.0 : 1.0;
    uint luma_words = KIND == 3u ? 4u : 2u, chroma_words = luma_words / 2u;
    uint u_plane = across * luma_words * pc.height, v_plane = u_plane + across * chroma_words * down;
    vec2 color[4];
    [[unroll]] for (int i = 0; i < 4; i++)
        color[i] = vec2(0.0);
    [[unroll]] for (uint j = 0u; j < 2u; j++) {
        uint code[8];
        [[unroll]] for (uint i = 0u; i < 8u; i++) {
            vec3 c = to_yuv(clamp(resolve(x * 8u + i, y * 2u + j).rgb, 0.0, 1.0));
            code[i] = luma(c.x, bits);
            color[i / 2u] += 0.25 * c.yz;
        }
        uint at = ((y * 2u + j) * across + x) * luma_words;
        if (KIND == 3u) {
            [[unroll]] for (uint i = 0u; i < 4u; i++)
                result[at + i] = code[i * 2u] | code[i * 2u + 1u] << 16;
        } else {
            [[unroll]] for (uint i = 0u; i < 2u; i++)
                result[at + i] = code[i * 4u] | code[i * 4u + 1u] << 8 | code[i * 4u + 2u] << 16 |
                                 code[i * 4u + 3u] << 24;
        }
    }
    uint u[4], v[4], at = (y * across + x) * chroma_words;
    [[unroll]] for (int i = 0; i < 4; i++)
        u[i] = chroma(color[i].x, bits), v[i] = chroma(color[i].y, bits);
    if (KIND == 3u) {
        result[u_plane + at] = u[0] | u[1] << 16, result[u_plane + at + 1u] = u[2] | u[3] << 16;
        result[v_plane + at] = v[0] | v[1] << 16, result[v_plane + at + 1u] = v[2] | v[3] << 16;
    } else {
        result[u_plane + at] = u[0] | u[1] << 8 | u[2] << 16 | u[3] << 24;
        result[v_plane + at] = v[0] | v[1] << 8 | v[2] << 16 | v[3] << 24;
    }
}

// 4:4:4: one invocation = 4 pixels of a row.
void planes_444(uint id)
{
    uint across = (pc.width + 3u) / 4u, plane = across * pc.height;
    if (id >= plane)
        return;
    uvec3 w = uvec3(0u);
    [[unroll]] for (uint i = 0u; i < 4u; i++) {
        vec3 c = to_yuv(clamp(resolve(id % across * 4u + i, id / across).rgb, 0.0, 1.0));
        w |= uvec3(luma(c.x, 1.0), chroma(c.y, 1.0), chroma(c.z, 1.0)) << (8u * i);
    }
    result[id] = w.x;
    result[plane + id] = w.y;
    result[2u * plane + id] = w.z;
}

void interleaved(uint id)
{
    if (id >= pc.width * pc.height)
        return;
    vec4 c = resolve(id % pc.width, id / pc.width);
    if (KIND == 0u)
        result[id] = packUnorm4x8(c);
    else if (KIND == 5u)
        result[id] = floatBitsToUint(c.a);
    else if (KIND == 6u)
        result[id] = floatBitsToUint(c.r / max(c.a, 1e-10));
    else if (KIND == 7u)
        result[id] = floatBitsToUint(c.r);
    else {
        result[id * 3u] = floatBitsToUint(c.r);
        result[id * 3u + 1u] = floatBitsToUint(c.g);
        result[id * 3u + 2u] = floatBitsToUint(c.b);
    }
}

void main()
{
    uint id = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (KIND == 1u || KIND == 3u)
        planes_420(id);
    else if (KIND == 2u)
        planes_444(id);
    else
        interleaved(id);
}
