#version 460
// One invocation = one Gaussian of the depth order: the 16x16 tiles its alpha = 1/255 ellipse
// touches, row by row, exactly.   C: raster_wide.c
//   (none)   touched[rank] = how many
//   EMIT     pair[first[rank] ...] = (tile within the band, slot)
#include "gs/common.glsl"
#include "lib/ellipse.glsl"
layout(local_size_x = 256) in;
layout(binding = 0) uniform Params { gs_params p; };
IN_UINT(1, order)
IN_VEC4(2, rec)
layout(binding = 3) readonly buffer Ctl { uint ctl[]; };
#ifdef EMIT
IN_UINT(4, first)
layout(binding = 5) writeonly buffer Pair { uvec2 pair[]; };
#else
layout(binding = 4) writeonly buffer Touched { uint touched[]; };
#endif
layout(push_constant) uniform Push { gs_spans_push pc; };

void main()
{
    uint rank = gl_GlobalInvocationID.x, n = ctl[GS_CTL_VISIBLE];
    if (rank >= pc.lanes)
        return;
    uint slot = LD1(order, min(rank, max(n, 1u) - 1u));
    slot = rank < n ? slot : 0u;
    vec4 u = LD4(rec, slot * RECORD), v = LD4(rec, slot * RECORD + 1u);
    vec2 last = vec2(p.size.xy) - 1.0, columns;
    ellipse e = ellipse_of(u, v);
    ivec2 rows = ellipse_rows(e, 16, last.y);
    int row = max(rows.x, int(pc.row0));
    int end = rank < n ? min(rows.y + 1, int(pc.row1)) : row;
    uint sum = 0u;
#ifdef EMIT
    uint at = LD1(first, rank);
#endif
    for (; row < end; row++) {
        if (!ellipse_columns(e, row, 16, last.x, columns))
            continue;
        uint x0 = uint(columns.x) / 16u, x1 = uint(columns.y) / 16u;
#ifdef EMIT
        for (uint x = x0; x <= x1; x++, at++)
            if (at < pc.room)
                pair[at] = uvec2((uint(row) - pc.row0) * p.grid.x + x, slot);
#else
        sum += x1 - x0 + 1u;
#endif
    }
#ifndef EMIT
    touched[rank] = sum;
#endif
}
