#version 460
// range[tile] = (first, end) of its pairs in the sorted order; untouched tiles stay 0,0.
#include "gs/common.glsl"
layout(local_size_x = 256) in;
IN_UVEC2(0, pair)
layout(binding = 1) readonly buffer Ctl { uint ctl[]; };
layout(binding = 2) buffer Range { uint range[]; };

void main()
{
    uint i = gl_GlobalInvocationID.x, n = ctl[GS_CTL_ENTRIES_NOW];
    if (i >= n)
        return;
    uint tile = LD2(pair, i).x;
    if (i == 0u || LD2(pair, i - 1u).x != tile)
        range[2u * tile] = i;
    if (i + 1u == n || LD2(pair, i + 1u).x != tile)
        range[2u * tile + 1u] = i + 1u;
}
