#version 460
// Gaussians of a stream's state that move with clusters: position and rotation, in integers.
//   C: stream_gpu.c; twin: gs_rigid_apply in stream_state.c, to the bit
//
//   motion  [clusters][GS_STREAM_RIGID]: R - 1 in 2^-30, row-major | turn | centre | move
//   member  index of a Gaussian | its cluster above GS_STREAM_INDEX_BITS
//   state   [Gaussians][GS_STREAM_QUADS] vec4: position, opacity | rotation | scale, 0
#extension GL_GOOGLE_include_directive : require
#include "gs/stream_params.h"
layout(local_size_x = GS_STREAM_GROUP) in;
layout(binding = 0) readonly buffer Motion { int motion[]; };
layout(binding = 1) readonly buffer Member { uint member[]; };
layout(binding = 2) buffer State { ivec4 state[]; };
layout(push_constant) uniform Push { gs_stream_list_push pc; };

// a * b / 2^30, rounded
int mul30(int a, int b)
{
    int high, low;
    imulExtended(a, b, high, low);
    uint sum = uint(low) + (1u << 29);
    high += sum < uint(low) ? 1 : 0;
    return int(uint(high) << 2 | sum >> 30);
}

ivec4 quat_mul(ivec4 a, ivec4 b) // w first
{
    ivec4 r = ivec4(a.x * b.x - a.y * b.y - a.z * b.z - a.w * b.w,
                    a.x * b.y + a.y * b.x + a.z * b.w - a.w * b.z,
                    a.x * b.z - a.y * b.w + a.z * b.x + a.w * b.y,
                    a.x * b.w + a.y * b.z - a.z * b.y + a.w * b.x);
    r = (r + (1 << 13)) >> 14;
    int excess = ((r.x * r.x + r.y * r.y + r.z * r.z + r.w * r.w) >> 14) - 16384;
    return r - ((r * excess + (1 << 14)) >> 15);
}

void main()
{
    uint id = (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * GS_STREAM_GROUP +
              gl_LocalInvocationID.x;
    if (id < pc.count) {
        uint m = (member[id] >> GS_STREAM_INDEX_BITS) * GS_STREAM_RIGID;
        uint at = (member[id] & ((1u << GS_STREAM_INDEX_BITS) - 1u)) * GS_STREAM_QUADS;
        ivec4 p = state[at];
        ivec3 d = p.xyz - ivec3(motion[m + 13u], motion[m + 14u], motion[m + 15u]);
        ivec3 sum = p.xyz + ivec3(motion[m + 16u], motion[m + 17u], motion[m + 18u]);
        for (uint k = 0u; k < 3u; k++)
            sum[k] += mul30(motion[m + 3u * k], d.x) + mul30(motion[m + 3u * k + 1u], d.y) +
                      mul30(motion[m + 3u * k + 2u], d.z);
        ivec4 turn = ivec4(motion[m + 9u], motion[m + 10u], motion[m + 11u], motion[m + 12u]);
        state[at] = ivec4(clamp(sum, ivec3(-GS_STREAM_MOST), ivec3(GS_STREAM_MOST)), p.w);
        state[at + 1u] = quat_mul(turn, state[at + 1u]);
    }
}
