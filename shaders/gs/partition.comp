#version 460
// Cuts the depth order into runs of about equal work, one a lane of spans.comp:
// part[lane] = (first Gaussian, end, first span slot, 0).   One subgroup.   C: raster_lanes.c
#include "gs/common.glsl"
layout(local_size_x_id = 0) in;
IN_UVEC2(0, piece)
layout(binding = 1) buffer Ctl { uint ctl[]; };
layout(binding = 2) buffer Prefix { uvec2 prefix[]; }; // GS_PIECES + 1
layout(binding = 3) writeonly buffer Part { uvec4 part[]; };
layout(push_constant) uniform Push { gs_spans_push pc; };

// first piece whose prefix of work reaches w
uint find(uint w)
{
    uint low = 0u, high = GS_PIECES;
    for (uint step = 0u; step < 11u; step++) {
        uint middle = (low + high) / 2u;
        bool reached = prefix[middle].x >= w;
        high = low < high && reached ? middle : high;
        low = low < high && !reached ? middle + 1u : low;
    }
    return low;
}

void main()
{
    uint lane = gl_LocalInvocationID.x, n = gl_WorkGroupSize.x, segment = GS_PIECES / n;
    uvec2 sum = uvec2(0u);
    for (uint i = lane * segment; i < (lane + 1u) * segment; i++)
        sum += LD2(piece, i);
    uvec2 run = subgroupExclusiveAdd(sum);
    if (lane == n - 1u)
        prefix[GS_PIECES] = run + sum;
    for (uint i = lane * segment; i < (lane + 1u) * segment; i++) {
        prefix[i] = run;
        run += LD2(piece, i);
    }
    memoryBarrierBuffer();
    barrier();
    uint visible = ctl[GS_CTL_VISIBLE], per = (visible + GS_PIECES - 1u) / GS_PIECES;
    uvec2 total = prefix[GS_PIECES];
    for (uint l = lane; l < pc.lanes; l += n) {
        uint low = uint(float(total.x) * (float(l) / float(pc.lanes)));
        uint high = uint(float(total.x) * (float(l + 1u) / float(pc.lanes)));
        uint begin = l == 0u ? 0u : find(low), end = l + 1u == pc.lanes ? GS_PIECES : find(high);
        part[l] = uvec4(min(begin * per, visible), min(end * per, visible), prefix[begin].y, 0u);
    }
    if (lane == 0u) {
        ctl[GS_CTL_SPANS] = max(ctl[GS_CTL_SPANS], total.y);
        ctl[GS_CTL_SUM] += visible;
        ctl[GS_CTL_SPAN_SUM] += total.y;
        if (total.y > pc.room)
            ctl[GS_CTL_FLAGS] |= GS_FLAG_SPANS;
    }
}
