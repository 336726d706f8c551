#version 460
// Copies what binning needs of every visible Gaussian into depth order (independent loads, so
// cache misses overlap; later passes then read in sequence) and sums the work of GS_PIECES
// pieces of the order: piece[i] = (work, tile rows).   C: raster_lanes.c
#include "gs/common.glsl"
layout(local_size_x_id = 0) in;
IN_UINT(0, order)
IN_VEC4(1, rec)
layout(binding = 2) readonly buffer Ctl { uint ctl[]; };
layout(binding = 3) writeonly buffer Sorted { vec4 sorted[]; };
layout(binding = 4) writeonly buffer Piece { uvec2 piece[]; };

void main()
{
    uint k = gl_GlobalInvocationID.x, n = ctl[GS_CTL_VISIBLE];
    uint run = (n + GS_PIECES - 1u) / GS_PIECES, begin = min(k * run, n), end = min(begin + run, n);
    uvec2 sum = uvec2(0u);
    for (uint i = begin; i < end; i += 4u) {
        uint slot[4];
        vec4 a[4], b[4];
        [[unroll]] for (uint j = 0u; j < 4u; j++)
            slot[j] = LD1(order, min(i + j, end - 1u));
        [[unroll]] for (uint j = 0u; j < 4u; j++) {
            a[j] = LD4(rec, slot[j] * RECORD);
            b[j] = LD4(rec, slot[j] * RECORD + 1u);
        }
        [[unroll]] for (uint j = 0u; j < 4u; j++)
            if (i + j < end) {
#ifdef EXACT
                uint work = floatBitsToUint(b[j].z);
#else
                uint work = floatBitsToUint(b[j].w) >> 16;
#endif
                uint rows = work & 1023u;
                sum += uvec2(rows * (1u + (work >> 10)) + 1u, rows);
                sorted[(i + j) * 2u] = a[j];
                sorted[(i + j) * 2u + 1u] = vec4(b[j].xy, uintBitsToFloat(slot[j]), 0.0);
            }
    }
    piece[k] = sum;
}
