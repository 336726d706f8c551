#version 460
// After the tile pairs of a band are counted: keeps the largest count for the host, flags what
// does not fit and cuts the number that is sorted. One invocation.   C: raster_wide.c
#include "gs/common.glsl"
layout(local_size_x = 1) in;
layout(binding = 0) buffer Ctl { uint ctl[]; };
layout(push_constant) uniform Push { gs_spans_push pc; };

void main()
{
    uint n = ctl[GS_CTL_ENTRIES_NOW];
    ctl[GS_CTL_ENTRIES] = max(ctl[GS_CTL_ENTRIES], n);
    if (pc.row0 == 0u)
        ctl[GS_CTL_SUM] += ctl[GS_CTL_VISIBLE];
    if (n > pc.room) {
        ctl[GS_CTL_FLAGS] |= GS_FLAG_ENTRIES;
        ctl[GS_CTL_ENTRIES_NOW] = 0u;
    }
}
