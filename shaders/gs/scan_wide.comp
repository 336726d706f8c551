#version 460
// Exclusive prefix sum of many values in three dispatches, for GPUs: a workgroup of 256 takes
// 4096 values.   C: wide_scan in raster_wide.c
//   REDUCE   part[group] = sum of the group's values
//   TOP      one workgroup: part -> exclusive prefix in place, the total to prefix[count], ctl
//   (none)   prefix[i] of the group's values from part[group]
#include "gs/common.glsl"
layout(local_size_x = 256) in;
#include "lib/prefix.glsl"
IN_UINT(0, value)
layout(binding = 1) buffer Part { uint part[]; };
layout(binding = 2) buffer Prefix { uint prefix[]; };
layout(binding = 3) buffer Ctl { uint ctl[]; };
layout(push_constant) uniform Push { gs_scan_push pc; };

void main()
{
    uint l = gl_LocalInvocationID.x, group = gl_WorkGroupID.x, before, total;
#ifdef TOP
    uint n = (pc.count + 4095u) / 4096u, run = 0u;
    for (uint i = 0u; i < n; i += 256u) {
        uint v = i + l < n ? part[i + l] : 0u;
        group_prefix(v, before, total);
        if (i + l < n)
            part[i + l] = run + before;
        run += total;
    }
    if (l == 0u) {
        prefix[pc.count] = run;
        if (pc.total_at != ~0u)
            ctl[pc.total_at] = min(run, pc.most);
        if (run > pc.most)
            ctl[GS_CTL_FLAGS] |= pc.flag;
    }
#else
    uint first = group * 4096u + l * 16u, sum = 0u, v[16];
    [[unroll]] for (uint k = 0u; k < 16u; k++) {
        v[k] = LD1(value, min(first + k, pc.count - 1u));
        v[k] = first + k < pc.count ? v[k] : 0u;
        sum += v[k];
    }
    group_prefix(sum, before, total);
#ifdef REDUCE
    if (l == 0u)
        part[group] = total;
#else
    uint run = part[group] + before;
    [[unroll]] for (uint k = 0u; k < 16u; k++) {
        if (first + k < pc.count)
            prefix[first + k] = run;
        run += v[k];
    }
#endif
#endif
}
