#version 460
// Blends front to back. Workgroup = one bin = BIN_TILES tiles side by side, one subgroup each.
//
//  1. Subgroup 0, lane = tile: filters the bin's depth-ordered list into the tiles' own lists
//     (each has room for the whole bin + 1). Every lane stores every time, without a branch;
//     its cursor moves on a hit only.
//  2. Subgroup = tile, lane = pixel column, TILE_H pixels of the column in registers. SG
//     Gaussians are fetched a step, one per lane, and spread by shuffles with literal indices.
//
// FAST (default): exponent stepped down the rows by second differences, alpha by a squared
// quadratic, the T < 1e-4 stop per tile. EXACT: exp2 of each pixel's exponent, float colours,
// the stop per pixel exactly as the reference has it.   C: raster_lanes.c
#include "gs/common.glsl"
#define BIN_TILES 8u
#define TILE_W SG // one column a lane
#define TILE_H 16
#ifdef EXACT
#define TOGETHER 4 // Gaussians that share a pass over the rows; measured in docs/SPEED.md
#else
#define TOGETHER 2
#endif
layout(local_size_x = SG * 8) in;
layout(constant_id = 8) const bool FIRST = true; // slice: start from nothing, or from `state`
layout(constant_id = 9) const bool FINAL = true; // slice: finish the picture, or keep `state`
layout(binding = 0) uniform Params { gs_params p; };
IN_UINT(1, first) // list start of each bin, and the total
IN_UINT(2, list)
IN_VEC4(3, rec)
layout(binding = 4) buffer Fine { uint fine[]; };
#ifdef EXACT
layout(binding = 5) writeonly buffer Picture { vec4 picture[]; }; // rgb over bg, alpha
#else
layout(binding = 5) writeonly buffer Picture { uint picture[]; }; // RGBA8
#endif
layout(binding = 6) buffer State { vec4 state[]; }; // rgb, T
layout(binding = 7) buffer Ctl { uint ctl[]; };
layout(push_constant) uniform Push { gs_blend_push pc; };
shared uint tile_end[BIN_TILES];

// The driver gives each of its threads one contiguous part of the grid. Every step-th tile row
// first, then the next ones: parts cost about the same, and rows that follow each other in a
// thread are near each other in the picture (and in the caches).
uint spread(uint i)
{
    uint q = pc.rows / pc.step, longer = pc.rows % pc.step * (q + 1u);
    uint first_row = i < longer ? i / (q + 1u) : pc.rows % pc.step + (i - longer) / max(q, 1u);
    uint k = i < longer ? i % (q + 1u) : (i - longer) % max(q, 1u);
    return k * pc.step + first_row;
}

void main()
{
    uint bins_x = p.grid.x, group = gl_WorkGroupID.x, row = group / bins_x, bx = group - row * bins_x;
    row = spread(row);
    uint bin = row * bins_x + bx, l = gl_LocalInvocationID.x % SG, sub = gl_LocalInvocationID.x / SG;
    uint start = LD1(first, bin), count = LD1(first, bin + 1u) - start;
    if (LD1(first, bins_x * pc.rows) > pc.room)
        count = 0u; // lists did not fit: the frame is drawn again
    uint fine_base = (start + bin) * BIN_TILES, room = count + 1u;
#if SG == 4
    // 4 lanes filter 8 tiles, two each
#define FILTER_TILES 2u
#else
#define FILTER_TILES 1u
#endif
    if (sub == 0u) {
        [[unroll]] for (uint f = 0u; f < FILTER_TILES; f++) {
            uint tile = l + f * SG, at = fine_base + min(tile, BIN_TILES - 1u) * room;
            bool mine = tile < BIN_TILES;
            for (uint k = 0u; k < count; k += SG) {
                uint v = LD1(list, start + min(k + l, count - 1u));
                v = k + l < count ? v : 0xf0000000u; // first tile 15: no hit
                [[unroll]] for (uint j = 0u; j < SG; j++) {
                    uint e = subgroupShuffle(v, j);
                    if (SG <= BIN_TILES || mine)
                        fine[at] = e & 0xffffffu;
                    at += tile >= e >> 28 && tile <= (e >> 24 & 15u) ? 1u : 0u;
                }
            }
            if (mine)
                tile_end[tile] = at;
        }
    }
    memoryBarrierBuffer();
    barrier();

    uint x = (bx * BIN_TILES + sub) * TILE_W + l, y = (pc.row0 + row) * TILE_H;
    uint out_at = y * p.grid.y + p.grid.z + x;
    float fx = float(x), fy = float(y);
    uint k = fine_base + sub * room, end = tile_end[sub];
    if (l == 0u && end > k)
        atomicAdd(ctl[GS_CTL_PAIRS], end - k);
    float T[TILE_H], cr[TILE_H], cg[TILE_H], cb[TILE_H];
#ifdef EXACT
    float least[TILE_H]; // a pixel stops before T would fall to this; 2 once it has stopped
#endif
    [[unroll]] for (int r = 0; r < TILE_H; r++) {
        vec4 s = vec4(0.0, 0.0, 0.0, 1.0);
        if (!FIRST && x < p.size.x && y + r < p.size.y)
            s = state[out_at + r * p.grid.y];
        cr[r] = s.x, cg[r] = s.y, cb[r] = s.z, T[r] = abs(s.w);
#ifdef EXACT
        least[r] = s.w < 0.0 ? 2.0 : 1e-4;
#endif
    }
    while (k < end) {
        uint g = fine[min(k + l, end - 1u)] * RECORD;
        vec4 u = LD4(rec, g), v = LD4(rec, g + 1u);
#ifdef EXACT
        vec3 w3 = LD4(rec, g + 2u).xyz;
#else
        vec3 w3 = vec3(unpackHalf2x16(floatBitsToUint(v.z)), unpackHalf2x16(floatBitsToUint(v.w)).x);
#endif
        v.y = k + l < end ? v.y : -1e9; // past the end: alpha 0
        // TOGETHER Gaussians a pass over the rows: a pixel is loaded and stored once for all
        [[unroll]] for (int j = 0; j < SG; j += TOGETHER) {
            float q[TOGETHER], d[TOGETHER], c[TOGETHER];
#ifdef EXACT
            float offset[TOGETHER];
#endif
            vec3 tint[TOGETHER];
            [[unroll]] for (int i = 0; i < TOGETHER; i++) {
                float dx = subgroupShuffle(u.x, j + i) - fx, dy = subgroupShuffle(u.y, j + i) - fy;
                float a = subgroupShuffle(u.z, j + i), b = subgroupShuffle(u.w, j + i) * dx;
                c[i] = subgroupShuffle(v.x, j + i);
                q[i] = subgroupShuffle(v.y, j + i) - dx * (a * dx);
                tint[i] = vec3(subgroupShuffle(w3.x, j + i), subgroupShuffle(w3.y, j + i),
                               subgroupShuffle(w3.z, j + i));
#ifdef EXACT
                d[i] = b;
                offset[i] = dy;
#else
                q[i] -= dy * (b + c[i] * dy);
                d[i] = b + c[i] * (2.0 * dy - 1.0);
                c[i] *= -2.0;
#endif
            }
            [[unroll]] for (int r = 0; r < TILE_H; r++) {
                float w[TOGETHER], t = T[r];
                [[unroll]] for (int i = 0; i < TOGETHER; i++) {
#ifdef EXACT
                    float y_ = offset[i] - float(r);
                    float al = min(exp2(q[i] - y_ * (d[i] + c[i] * y_)), 0.99);
                    al = al >= 1.0 / 255.0 ? al : 0.0;
                    w[i] = al * t;
                    bool stop = t - w[i] <= least[r];
                    least[r] = stop ? 2.0 : least[r];
                    w[i] = stop ? 0.0 : w[i];
#else
                    float al = q[i] * q[i] + EXP_B;
                    [[unroll]] for (int m = 0; m < EXP_K; m++)
                        al = al * al;
                    al = min(al, 0.99);
                    al = q[i] >= Q_CUT ? al : 0.0;
                    w[i] = al * t;
                    q[i] += d[i];
                    d[i] += c[i];
#endif
                    t -= w[i];
                }
                T[r] = t;
                vec3 sum = w[0] * tint[0];
                [[unroll]] for (int i = 1; i < TOGETHER; i++)
                    sum += w[i] * tint[i];
                cr[r] += sum.x;
                cg[r] += sum.y;
                cb[r] += sum.z;
            }
        }
        k += SG;
#ifdef EXACT
        float most = least[0];
        [[unroll]] for (int r = 1; r < TILE_H; r++)
            most = min(most, least[r]);
        if (subgroupAll(most == 2.0))
            k = end;
#else
        float most = T[0];
        [[unroll]] for (int r = 1; r < TILE_H; r++)
            most = max(most, T[r]);
        if (subgroupAll(most < 1e-4))
            k = end;
#endif
    }
    if (k < end)
        atomicOr(ctl[GS_CTL_FLAGS], GS_FLAG_LOOP);
    [[unroll]] for (int r = 0; r < TILE_H; r++) {
        if (x < p.size.x && y + r < p.size.y) {
            vec3 c = vec3(cr[r], cg[r], cb[r]);
#ifdef EXACT
            float sign_ = least[r] == 2.0 ? -1.0 : 1.0;
#else
            float sign_ = 1.0;
#endif
            if (!FINAL) {
                state[out_at + r * p.grid.y] = vec4(c, sign_ * T[r]);
            } else {
                c += T[r] * p.bg.xyz;
#ifdef EXACT
                picture[out_at + r * p.grid.y] = vec4(c, 1.0 - T[r]);
#else
                ivec4 b = ivec4(min(vec4(c, 1.0 - T[r]), 1.0) * 255.0 + 0.5);
                picture[out_at + r * p.grid.y] = uint(b.x | b.y << 8 | b.z << 16 | b.w << 24);
#endif
            }
        }
    }
}
