#version 460
// Replays each lane's spans and writes every bin's list in depth order.   C: raster_lanes.c
//   entry = slot (24 bits) | last tile of the bin touched << 24 | first << 28
#include "gs/common.glsl"
layout(local_size_x_id = 0) in;
layout(constant_id = 6) const uint BIN_TILES = 8;
layout(binding = 0) uniform Params { gs_params p; };
layout(binding = 1) readonly buffer Part { uvec4 part[]; };
IN_UVEC2(2, span)
layout(binding = 3) buffer Count { uint cursor[]; };
IN_UINT(4, first) // of each bin, and the total
layout(binding = 5) writeonly buffer List { uint list[]; };
layout(binding = 6) buffer Ctl { uint ctl[]; };
layout(push_constant) uniform Push { gs_spans_push pc; };

void main()
{
    uint lane = gl_GlobalInvocationID.x, bins = p.grid.x * (pc.row1 - pc.row0);
    uint i = part[lane].z, end = part[lane].w, total = LD1(first, bins);
    uint x = 1u, x1 = 0u, slot = 0u, row = 0u;
    bool fits = total <= pc.room, go = i < end && fits;
    while (go) {
        if (x > x1) {
            uvec2 s = LD2(span, i);
            i++;
            slot = s.x;
            row = ((s.y >> 22) - pc.row0) * p.grid.x;
            x = s.y >> 11 & 2047u;
            x1 = s.y & 2047u;
        }
        uint bin = row + x / BIN_TILES, c = lane * bins + bin, at = cursor[c];
        cursor[c] = at + 1u;
        uint last = min(x1 - x / BIN_TILES * BIN_TILES, BIN_TILES - 1u);
        list[LD1(first, bin) + at] = slot | last << 24 | (x % BIN_TILES) << 28;
        x = (x / BIN_TILES + 1u) * BIN_TILES;
        go = x <= x1 || i < end;
    }
    if (go)
        atomicOr(ctl[GS_CTL_FLAGS], GS_FLAG_LOOP);
    if (lane == 0u) {
        atomicMax(ctl[GS_CTL_ENTRIES], total);
        if (!fits)
            atomicOr(ctl[GS_CTL_FLAGS], GS_FLAG_ENTRIES);
    }
}
