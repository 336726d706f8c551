#version 460
// Each lane walks its run of the depth order, one tile row of one Gaussian a trip: the exact
// x range of the alpha = 1/255 ellipse over that row -> a span, and +1 in the lane's private
// counter of every bin (BIN_TILES tiles side by side) the span touches.   C: raster_lanes.c
//
//   span = slot | row<<22, x0<<11, x1 (tiles; row within the whole picture)
#include "gs/common.glsl"
#include "lib/ellipse.glsl"
layout(local_size_x_id = 0) in;
layout(constant_id = 4) const uint TILE_W = 8;
layout(constant_id = 5) const uint TILE_H = 16;
layout(constant_id = 6) const uint BIN_TILES = 8;
layout(binding = 0) uniform Params { gs_params p; };
IN_VEC4(1, sorted)
layout(binding = 2) buffer Part { uvec4 part[]; };
layout(binding = 3) writeonly buffer Span { uvec2 span[]; };
layout(binding = 4) buffer Count { uint count[]; }; // [lane][bin of the band], zeroed before
layout(binding = 5) buffer Ctl { uint ctl[]; };
layout(push_constant) uniform Push { gs_spans_push pc; };

void main()
{
    uint lane = gl_GlobalInvocationID.x, bins = p.grid.x * (pc.row1 - pc.row0);
    uvec4 mine = part[lane];
    uint i = mine.x, end = mine.y, at = mine.z;
    vec2 last = vec2(p.size.xy) - 1.0;
    int low_row = int(pc.row0), high_row = int(pc.row1) - 1;
    int row = 1, last_row = 0;
    uint slot = 0u;
    ellipse e = ellipse(vec2(0.0), 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.5);
    bool go = i < end;
    while (go) {
        if (row > last_row) {
            vec4 u = LD4(sorted, i * 2u), v = LD4(sorted, i * 2u + 1u);
            i++;
            slot = floatBitsToUint(v.z);
            e = ellipse_of(u, v);
            ivec2 rows = ellipse_rows(e, int(TILE_H), last.y);
            row = max(rows.x, low_row);
            last_row = min(rows.y, high_row);
        }
        if (row <= last_row) {
            vec2 columns;
            if (ellipse_columns(e, row, int(TILE_H), last.x, columns)) {
                uint x0 = uint(columns.x) / TILE_W, x1 = uint(columns.y) / TILE_W;
                if (at < pc.room)
                    span[at] = uvec2(slot, uint(row) << 22 | x0 << 11 | x1);
                at++;
                uint base = lane * bins + (uint(row) - pc.row0) * p.grid.x, b1 = x1 / BIN_TILES;
                for (uint bin = x0 / BIN_TILES; bin <= b1; bin++)
                    count[base + bin] += 1u;
            }
        }
        row++;
        go = row <= last_row || i < end;
    }
    part[lane] = uvec4(mine.xyz, min(at, pc.room));
    if (go)
        atomicOr(ctl[GS_CTL_FLAGS], GS_FLAG_LOOP); // a driver ended the loop early
}
