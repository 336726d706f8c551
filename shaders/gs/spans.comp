#version 460
// Each lane walks its run of the depth order, one tile row of one Gaussian a trip: the exact
// x range of the alpha = 1/255 ellipse over that row -> a span, and +1 in the lane's private
// counter of every bin (BIN_TILES tiles side by side) the span touches.   C: raster_lanes.c
//
//   span = slot | row<<22, x0<<11, x1 (tiles; row within the whole picture)
#include "gs/common.glsl"
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
    float last_x = float(p.size.x) - 1.0;
    int low_row = int(pc.row0), high_row = int(pc.row1) - 1;
    int row = 1, last_row = 0;
    uint slot = 0u;
    vec2 centre = vec2(0.0);
    // q(dx,dy) = a dx^2 + b dx dy + c dy^2 <= r; half_h: half height; lean: dy where dx is largest
    float a = 1.0, b = 0.0, c = 1.0, r = 0.0, half_h = 0.0, lean = 0.0, half_inv_a = 0.5;
    bool go = i < end;
    while (go) {
        if (row > last_row) {
            vec4 u = LD4(sorted, i * 2u), v = LD4(sorted, i * 2u + 1u);
            i++;
            slot = floatBitsToUint(v.z);
            centre = u.xy;
            a = u.z, b = u.w, c = v.x;
            r = v.y - Q_CUT;
            half_inv_a = 0.5 / max(a, 1e-30);
            half_h = sqrt(max(r, 0.0) / max(c - b * b * 0.5 * half_inv_a, 1e-12));
            float half_w = sqrt(max(r, 0.0) / max(a - b * b * 0.25 / max(c, 1e-30), 1e-12));
            lean = -b * 0.5 / max(c, 1e-30) * half_w;
            float bottom = float(p.size.y) - 1.0;
            row = int(clamp(ceil(centre.y - half_h - 0.01), 0.0, bottom)) / int(TILE_H);
            last_row = int(clamp(floor(centre.y + half_h + 0.01), 0.0, bottom)) / int(TILE_H);
            row = max(row, low_row);
            last_row = min(last_row, high_row);
        }
        if (row <= last_row) {
            float y0 = float(row * int(TILE_H)) - centre.y, y1 = y0 + float(int(TILE_H) - 1);
            float yr = clamp(clamp(lean, y0, y1), -half_h, half_h);
            float yl = clamp(clamp(-lean, y0, y1), -half_h, half_h);
            float dr = max(b * b * yr * yr - 4.0 * a * (c * yr * yr - r), 0.0);
            float dl = max(b * b * yl * yl - 4.0 * a * (c * yl * yl - r), 0.0);
            float left = ceil(centre.x + (-b * yl - sqrt(dl)) * half_inv_a - 0.01);
            float right = floor(centre.x + (-b * yr + sqrt(dr)) * half_inv_a + 0.01);
            if (left <= right && right >= 0.0 && left <= last_x) {
                uint x0 = uint(clamp(left, 0.0, last_x)) / TILE_W;
                uint x1 = uint(clamp(right, 0.0, last_x)) / TILE_W;
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
