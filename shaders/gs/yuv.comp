#version 460
// The picture as planar YUV of limited range, box-filtered if supersampled. Every store is a
// whole word.   C: frame.c
//
//   KIND 0 YUV420P; 1 YUV444P; 2 YUV420P10.  The planes follow each other in `result`; a 4:2:0
//   row is padded to 8 pixels, a 4:4:4 row to 4.
#include "gs/common.glsl"
#include "gs/picture.glsl"
layout(constant_id = 3) const bool BT601 = false;
layout(binding = 1) writeonly buffer Result { uint result[]; };

vec3 to_yuv(vec3 c) // Y in 0..1, U and V in -0.5..0.5
{
    vec2 k = BT601 ? vec2(0.299, 0.114) : vec2(0.2126, 0.0722);
    float y = k.x * c.r + (1.0 - k.x - k.y) * c.g + k.y * c.b;
    return vec3(y, (c.b - y) / (2.0 * (1.0 - k.y)), (c.r - y) / (2.0 * (1.0 - k.x)));
}
uint luma(float y, float bits) { return uint((16.0 + 219.0 * y) * bits + 0.5); }
uint chroma(float c, float bits) { return uint((128.0 + 224.0 * c) * bits + 0.5); }
uint bytes(uint a, uint b, uint c, uint d) { return a | b << 8 | c << 16 | d << 24; }

// 4:2:0: one invocation = 8x2 pixels. Chroma is sited at the centre of each 2x2, and tagged so.
void planes_420(uint id)
{
    const bool deep = KIND == 2u;
    const uint luma_words = deep ? 4u : 2u, chroma_words = luma_words / 2u;
    const float bits = deep ? 4.0 : 1.0;
    uint across = (pc.width + 7u) / 8u, down = pc.height / 2u;
    uint x = id % across, y = id / across;
    bool inside = y < down; // `?:` with it keeps the arithmetic out of the stores
    uint u_plane = across * luma_words * pc.height, v_plane = u_plane + across * chroma_words * down;
    vec2 color[4];
    uint code[16];
    [[unroll]] for (int i = 0; i < 4; i++)
        color[i] = vec2(0.0);
    [[unroll]] for (uint j = 0u; j < 2u; j++)
        [[unroll]] for (uint i = 0u; i < 8u; i++) {
            vec3 c = to_yuv(clamp(resolve(x * 8u + i, y * 2u + j).rgb, 0.0, 1.0));
            code[j * 8u + i] = luma(c.x, bits);
            color[i / 2u] += 0.25 * c.yz;
        }
    uint u[4], v[4], word[12];
    [[unroll]] for (int i = 0; i < 4; i++)
        u[i] = chroma(color[i].x, bits), v[i] = chroma(color[i].y, bits);
    [[unroll]] for (uint i = 0u; i < 2u * luma_words; i++)
        word[i] = !inside ? 0u
                  : deep  ? code[i * 2u] | code[i * 2u + 1u] << 16
                          : bytes(code[i * 4u % 16u], code[(i * 4u + 1u) % 16u],
                                  code[(i * 4u + 2u) % 16u], code[(i * 4u + 3u) % 16u]);
    [[unroll]] for (uint i = 0u; i < chroma_words; i++) {
        word[2u * luma_words + i] = !inside ? 0u
                                    : deep  ? u[i * 2u] | u[i * 2u + 1u] << 16
                                            : bytes(u[0], u[1], u[2], u[3]);
        word[2u * luma_words + chroma_words + i] = !inside ? 0u
                                                   : deep  ? v[i * 2u] | v[i * 2u + 1u] << 16
                                                           : bytes(v[0], v[1], v[2], v[3]);
    }
    if (!inside)
        return;
    uint row = (y * 2u * across + x) * luma_words, at = (y * across + x) * chroma_words;
    [[unroll]] for (uint i = 0u; i < luma_words; i++) {
        result[row + i] = word[i];
        result[row + across * luma_words + i] = word[luma_words + i];
    }
    [[unroll]] for (uint i = 0u; i < chroma_words; i++) {
        result[u_plane + at + i] = word[2u * luma_words + i];
        result[v_plane + at + i] = word[2u * luma_words + chroma_words + i];
    }
}

// 4:4:4: one invocation = 4 pixels of a row.
void planes_444(uint id)
{
    uint across = (pc.width + 3u) / 4u, plane = across * pc.height;
    bool inside = id < plane;
    uvec3 w = uvec3(0u);
    [[unroll]] for (uint i = 0u; i < 4u; i++) {
        vec3 c = to_yuv(clamp(resolve(id % across * 4u + i, id / across).rgb, 0.0, 1.0));
        w |= uvec3(luma(c.x, 1.0), chroma(c.y, 1.0), chroma(c.z, 1.0)) << (8u * i);
    }
    w = mix(uvec3(0u), w, bvec3(inside));
    if (!inside)
        return;
    result[id] = w.x;
    result[plane + id] = w.y;
    result[2u * plane + id] = w.z;
}

void main()
{
    uint id = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (KIND == 1u)
        planes_444(id);
    else
        planes_420(id);
}
