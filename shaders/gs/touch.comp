#version 460
// One invocation = one Gaussian of the depth order: the 16x16 tiles its alpha = 1/255 ellipse
// touches, row by row, exactly.   C: raster_wide.c
//   (none)   touched[rank] = how many
//   EMIT     pair[first[rank] ...] = (tile within the band, slot)
#include "gs/common.glsl"
layout(local_size_x = 256) in;
layout(binding = 0) uniform Params { gs_params p; };
#ifdef EXACT
#define RECORD 3u
#else
#define RECORD 2u
#endif
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
    vec2 centre = u.xy, last = vec2(p.size.xy) - 1.0;
    float a = u.z, b = u.w, c = v.x, r = max(v.y - Q_CUT, 0.0), half_inv_a = 0.5 / max(a, 1e-30);
    float half_h = sqrt(r / max(c - b * b * 0.5 * half_inv_a, 1e-12));
    float half_w = sqrt(r / max(a - b * b * 0.25 / max(c, 1e-30), 1e-12));
    float lean = -b * 0.5 / max(c, 1e-30) * half_w; // dy where dx is largest
    int row = int(clamp(ceil(centre.y - half_h - 0.01), 0.0, last.y)) / 16;
    int end = int(clamp(floor(centre.y + half_h + 0.01), 0.0, last.y)) / 16 + 1;
    row = max(row, int(pc.row0));
    end = rank < n ? min(end, int(pc.row1)) : row;
    uint sum = 0u;
#ifdef EMIT
    uint at = LD1(first, rank);
#endif
    for (; row < end; row++) {
        float y0 = float(row * 16) - centre.y, y1 = y0 + 15.0;
        float yr = clamp(clamp(lean, y0, y1), -half_h, half_h);
        float yl = clamp(clamp(-lean, y0, y1), -half_h, half_h);
        float dr = max(b * b * yr * yr - 4.0 * a * (c * yr * yr - r), 0.0);
        float dl = max(b * b * yl * yl - 4.0 * a * (c * yl * yl - r), 0.0);
        float left = ceil(centre.x + (-b * yl - sqrt(dl)) * half_inv_a - 0.01);
        float right = floor(centre.x + (-b * yr + sqrt(dr)) * half_inv_a + 0.01);
        if (!(left <= right && right >= 0.0 && left <= last.x))
            continue;
        uint x0 = uint(clamp(left, 0.0, last.x)) / 16u, x1 = uint(clamp(right, 0.0, last.x)) / 16u;
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
