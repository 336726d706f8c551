#version 460
// One pass of a stable radix sort of (key, value) pairs for GPUs, 6 bits a digit, right at any
// subgroup size: a workgroup of 256 takes 4096 pairs in 16 rounds.   C: raster_wide.c
//   COUNT    count[digit][group]
//   (none)   scatter, `start` being the scanned counts; the rank of a pair among the round's
//            equal digits = those in earlier rows of 16 threads + those earlier in its row
#include "gs/common.glsl"
layout(local_size_x = 256) in;
layout(constant_id = 0) const bool LAST = false; // write values only
layout(constant_id = 1) const uint COUNTER = GS_CTL_VISIBLE; // ctl word with the number of pairs
IN_UVEC2(0, from)
layout(binding = 1) readonly buffer Ctl { uint ctl[]; };
layout(push_constant) uniform Push { gs_sort_push pc; };
#ifdef COUNT
layout(binding = 2) writeonly buffer Count { uint count[]; };
shared uint tally[64];
void main()
{
    uint l = gl_LocalInvocationID.x, n = ctl[COUNTER];
    if (l < 64u)
        tally[l] = 0u;
    barrier();
    for (uint round = 0u; round < 16u; round++) {
        uint i = gl_WorkGroupID.x * 4096u + round * 256u + l;
        if (i < n)
            atomicAdd(tally[LD2(from, i).x >> pc.shift & 63u], 1u);
    }
    barrier();
    if (l < 64u)
        count[l * gl_NumWorkGroups.x + gl_WorkGroupID.x] = tally[l];
}
#else
IN_UINT(2, start)
layout(binding = 3) writeonly buffer To { uvec2 to[]; };
layout(binding = 4) writeonly buffer Values { uint values[]; };
shared uint cursor[64], row_count[16 * 64], digits[256];
void main()
{
    uint l = gl_LocalInvocationID.x, n = ctl[COUNTER], row = l / 16u, col = l % 16u;
    if (l < 64u)
        cursor[l] = LD1(start, l * gl_NumWorkGroups.x + gl_WorkGroupID.x);
    for (uint round = 0u; round < 16u; round++) {
        uint i = gl_WorkGroupID.x * 4096u + round * 256u + l;
        bool ok = i < n;
        uvec2 v = ok ? LD2(from, i) : uvec2(0u);
        uint d = ok ? v.x >> pc.shift & 63u : 64u;
        digits[l] = d;
        [[unroll]] for (uint k = 0u; k < 4u; k++)
            row_count[l + k * 256u] = 0u;
        barrier();
        uint rank = 0u;
        for (uint k = 0u; k < 15u; k++)
            rank += k < col && digits[row * 16u + k] == d ? 1u : 0u;
        if (ok)
            atomicAdd(row_count[row * 64u + d], 1u);
        barrier();
        if (l < 64u) { // lane = digit: where each row's pairs go, and the next round's cursor
            uint run = cursor[l];
            for (uint k = 0u; k < 16u; k++) {
                uint c = row_count[k * 64u + l];
                row_count[k * 64u + l] = run;
                run += c;
            }
            cursor[l] = run;
        }
        barrier();
        if (ok) {
            uint at = row_count[row * 64u + d] + rank;
            if (LAST)
                values[at] = v.y;
            else
                to[at] = v;
        }
        barrier();
    }
}
#endif
