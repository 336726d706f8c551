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
// quadratic, the T < 1e-4 stop per tile. EXACT: each pixel's exponent, 2^x to 6e-6 of itself,
// float colours, the stop per pixel exactly as the reference has it.   C: raster_lanes.c
#include "gs/common.glsl"
#define BIN_TILES 8u
#define TILE_W SG // one column a lane
#define TILE_H 16
#if SG < 8
#define ROLL // loops stay loops: SwiftShader's compiler needs gigabytes for 16 rows in a line
#else
#define ROLL [[unroll]]
#endif
#ifdef EXACT
#define LEAST_T 0.0 // stopped pixels have their T negative
#if SG < 8
#define TOGETHER SG // Gaussians that share a pass over the rows; measured in docs/SPEED.md
#else
#define TOGETHER 8
#endif
#else
#define LEAST_T 1e-4
#define TOGETHER 2
#define ROWS 4
#define FOR_ALL(r, i)                                                                              \
    [[unroll]] for (int r = 0; r < ROWS; r++)                                                      \
        [[unroll]] for (int i = 0; i < TOGETHER; i++)
#endif
layout(local_size_x = SG * 8) in;
layout(constant_id = 8) const bool FIRST = true; // slice: start from nothing, or from `state`
layout(constant_id = 9) const bool FINAL = true; // slice: finish the picture, or keep `state`
layout(constant_id = 10) const bool QUADS = true; // rows start at multiples of 4 pixels
layout(constant_id = 11) const bool FLOATS = false;
layout(binding = 0) uniform Params { gs_params p; };
IN_UINT(1, first) // list start of each bin, and the total
IN_UINT(2, list)
IN_VEC4(3, rec)
// Written and read within the dispatch, so a storage texel buffer: its loads are gathers too.
#ifdef TEX
layout(binding = 4, r32ui) coherent uniform uimageBuffer fine;
#define FINE_LOAD(i) imageLoad(fine, int(i)).x
#define FINE_STORE(i, v) imageStore(fine, int(i), uvec4(v))
#else
layout(binding = 4) coherent buffer Fine { uint fine[]; };
#define FINE_LOAD(i) fine[i]
#define FINE_STORE(i, v) fine[i] = v
#endif
// rgb over bg and alpha: RGBA8 of four pixels, or with FLOATS a pixel's floats
layout(binding = 5) writeonly buffer Picture { uvec4 picture[]; };
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
                        FINE_STORE(at, e & 0xffffffu);
                    at += tile >= e >> 28 && tile <= (e >> 24 & 15u) ? 1u : 0u;
                }
            }
            if (mine)
                tile_end[tile] = at;
        }
    }
    memoryBarrier();
    barrier();

    uint x = (bx * BIN_TILES + sub) * TILE_W + l, y = (pc.row0 + row) * TILE_H;
    uint out_at = y * p.grid.y + p.grid.z + x;
    float fx = float(x), fy = float(y);
    uint k = fine_base + sub * room, end = tile_end[sub];
    if (l == 0u && end > k)
        atomicAdd(ctl[GS_CTL_PAIRS], end - k);
    float T[TILE_H], cr[TILE_H], cg[TILE_H], cb[TILE_H];
    ROLL for (int r = 0; r < TILE_H; r++) {
        vec4 s = vec4(0.0, 0.0, 0.0, 1.0);
        if (!FIRST && x < p.size.x && y + r < p.size.y)
            s = state[out_at + r * p.grid.y];
        cr[r] = s.x, cg[r] = s.y, cb[r] = s.z, T[r] = s.w;
    }
    while (k < end) {
        uint g = FINE_LOAD(min(k + l, end - 1u)) * RECORD;
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
#ifdef EXACT
            ROLL for (int r = 0; r < TILE_H; r++) {
                float w[TOGETHER], t = T[r];
                [[unroll]] for (int i = 0; i < TOGETHER; i++) {
                    float y_ = offset[i] - float(r), x_ = q[i] - y_ * (d[i] + c[i] * y_);
                    float al = x_ * x_ + EXP_EXACT_A;
                    al = al * al + (EXP_EXACT_B * x_ + EXP_EXACT_C);
                    [[unroll]] for (int m = 0; m < EXP_EXACT_SQUARINGS; m++)
                        al *= al;
                    al = x_ >= EXP_LEAST ? min(al, 0.99) : 0.0;
                    w[i] = al * t;
                    float left = t - w[i];
                    bool go = left > 1e-4; // never again once T is negative
                    w[i] = go ? w[i] : 0.0;
                    t = go ? left : uintBitsToFloat(floatBitsToUint(t) | 0x80000000u);
                }
                T[r] = t;
                vec3 sum = w[0] * tint[0];
                [[unroll]] for (int i = 1; i < TOGETHER; i++)
                    sum += w[i] * tint[i];
                cr[r] += sum.x, cg[r] += sum.y, cb[r] += sum.z;
            }
#else
            // ROWS at a time, one step of all of them after the other: their chains are independent
            // and a CPU looks ahead no further than that
            ROLL for (int top = 0; top < TILE_H; top += ROWS) {
                float x_[ROWS][TOGETHER], al[ROWS][TOGETHER];
                FOR_ALL(r, i) {
                    x_[r][i] = q[i];
                    q[i] += d[i];
                    d[i] += c[i];
                }
                FOR_ALL(r, i) al[r][i] = x_[r][i] * x_[r][i];
                FOR_ALL(r, i) al[r][i] += EXP_FAST_B;
                [[unroll]] for (int m = 0; m < EXP_FAST_SQUARINGS; m++)
                    FOR_ALL(r, i) al[r][i] *= al[r][i];
                FOR_ALL(r, i) al[r][i] = x_[r][i] >= EXP_LEAST ? min(al[r][i], 0.99) : 0.0;
                [[unroll]] for (int i = 0; i < TOGETHER; i++)
                    [[unroll]] for (int r = 0; r < ROWS; r++) {
                        al[r][i] *= T[top + r];
                        T[top + r] -= al[r][i];
                    }
                [[unroll]] for (int r = 0; r < ROWS; r++) {
                    vec3 sum = al[r][0] * tint[0];
                    [[unroll]] for (int i = 1; i < TOGETHER; i++)
                        sum += al[r][i] * tint[i];
                    cr[top + r] += sum.x, cg[top + r] += sum.y, cb[top + r] += sum.z;
                }
            }
#endif
        }
        k += SG;
        float most = T[0];
        [[unroll]] for (int r = 1; r < TILE_H; r++)
            most = most < T[r] ? T[r] : most;
        // a vote is a loop over lanes on CPU drivers, shuffles with literal indices are not
        float any = subgroupShuffle(most, 0u);
        [[unroll]] for (uint j = 1u; j < SG; j++) {
            float other = subgroupShuffle(most, j);
            any = any < other ? other : any;
        }
        k = any < LEAST_T ? end : k;
    }
    if (k < end)
        atomicOr(ctl[GS_CTL_FLAGS], GS_FLAG_LOOP);
    // What the rows share is read once, and before the stores (the driver reads uniforms anew
    // after each); `?:` keeps its compiler from doing the arithmetic lane by lane.
    uint width = p.size.x, height = p.size.y, stride = p.grid.y;
    vec3 bg = p.bg.xyz;
    if (!FINAL) {
        ROLL for (int r = 0; r < TILE_H; r++)
            if (x < width && y + r < height)
                state[out_at + r * stride] = vec4(cr[r], cg[r], cb[r], T[r]);
        return;
    }
    if (FLOATS) {
        ROLL for (int r = 0; r < TILE_H; r++) {
            T[r] = abs(T[r]);
            cr[r] = y + r < height ? cr[r] + T[r] * bg.x : 0.0;
            cg[r] = y + r < height ? cg[r] + T[r] * bg.y : 0.0;
            cb[r] = y + r < height ? cb[r] + T[r] * bg.z : 0.0;
            T[r] = y + r < height ? 1.0 - T[r] : 0.0;
        }
        ROLL for (int r = 0; r < TILE_H; r++)
            if (x < width && y + r < height)
                picture[out_at + r * stride] = floatBitsToUint(vec4(cr[r], cg[r], cb[r], T[r]));
        return;
    }
    uint word[TILE_H];
    ROLL for (int r = 0; r < TILE_H; r++) {
        float t = abs(T[r]);
        vec4 c = vec4(vec3(cr[r], cg[r], cb[r]) + t * bg, 1.0 - t);
        ivec4 b = ivec4(min(c, 1.0) * 255.0 + 0.5);
        word[r] = uint(b.x | b.y << 8 | b.z << 16 | b.w << 24);
    }
    if (!QUADS) {
        ROLL for (int r = 0; r < TILE_H; r++)
            if (x < width && y + r < height)
                picture[(out_at + r * stride) >> 2u][(out_at + r * stride) & 3u] = word[r];
        return;
    }
    // A lane has a column; SG of them swap to rows, and a lane stores four pixels at a time.
    ROLL for (uint top = 0u; top < TILE_H; top += SG) {
        uint row_ = y + top + l, left = out_at - l + (top + l) * stride;
        ROLL for (uint at = 0u; at < TILE_W; at += 4u) {
            uvec4 quad = uvec4(0u);
            ROLL for (uint i = 0u; i < SG; i++)
                ROLL for (uint j = 0u; j < 4u; j++) {
                    uint w = subgroupShuffle(word[top + i], at + j); // by all lanes: not within `?:`
                    quad[j] = l == i ? w : quad[j];
                }
            if (x - l + at < width && row_ < height)
                picture[(left + at) >> 2u] = quad;
        }
    }
}
