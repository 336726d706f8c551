#version 460
// Exclusive prefix sum by one workgroup: prefix[i] = sum of value[0..i), prefix[count] = total.
// Each lane owns a contiguous segment.   C: gs_rec_scan in raster_lanes.c
#include "gs/common.glsl"
layout(local_size_x_id = 0) in;
IN_UINT(0, value)
layout(binding = 1) writeonly buffer Prefix { uint prefix[]; };
layout(binding = 2) buffer Ctl { uint ctl[]; };
layout(push_constant) uniform Push { gs_scan_push pc; };

void main()
{
    uint lane = gl_LocalInvocationID.x, n = gl_WorkGroupSize.x;
    uint segment = ((pc.count + n - 1u) / n + 3u) & ~3u;
    uint begin = min(lane * segment, pc.count), end = min(begin + segment, pc.count), sum = 0u;
    for (uint i = begin; i < end; i += 4u) {
        [[unroll]] for (uint k = 0u; k < 4u; k++) {
            uint v = LD1(value, min(i + k, pc.count - 1u));
            sum += i + k < end ? v : 0u;
        }
    }
    uint run = subgroupExclusiveAdd(sum);
    if (lane == n - 1u) {
        prefix[pc.count] = run + sum;
        if (pc.total_at != ~0u)
            ctl[pc.total_at] = min(run + sum, pc.most);
        if (run + sum > pc.most)
            ctl[GS_CTL_FLAGS] |= pc.flag;
    }
    for (uint i = begin; i < end; i += 4u) {
        uint v[4];
        [[unroll]] for (uint k = 0u; k < 4u; k++)
            v[k] = LD1(value, min(i + k, pc.count - 1u));
        [[unroll]] for (uint k = 0u; k < 4u; k++)
            if (i + k < end) {
                prefix[i + k] = run;
                run += v[k];
            }
    }
}
