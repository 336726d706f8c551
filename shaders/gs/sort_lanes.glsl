// One pass of the radix sort by depth key, least significant digit first. Few lanes, each with
// a private run of the keys and private counters: no atomics, stable by construction, and the
// fastest form on CPU drivers. A digit is DIGIT bits; counters fill the shared memory.
//
//   FIRST  reads pairs (key, slot)      else the previous pass's output
//   NARROW: after a two-pass sort's first pass one word is enough: high digit and slot in 22 bits
//   LAST   writes slots only
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint DIGIT = 10;
layout(constant_id = 2) const uint LANES = 8;
shared uint counter[(1u << DIGIT) * LANES];
#if defined(NARROW) && !defined(FIRST)
IN_UINT(0, from)
#else
IN_UVEC2(0, from)
#endif
layout(binding = 1) readonly buffer Ctl { uint ctl[]; };
layout(push_constant) uniform Push { gs_sort_push pc; };

#define SLOT_BITS 22

uint digit_of(uvec2 v)
{
#if defined(NARROW) && !defined(FIRST)
    return v.x >> SLOT_BITS;
#else
    return v.x >> pc.shift & ((1u << DIGIT) - 1u);
#endif
}
uvec2 read(uint i)
{
#if defined(NARROW) && !defined(FIRST)
    return uvec2(LD1(from, i), 0u);
#else
    return LD2(from, i);
#endif
}
void run_of_lane(out uint begin, out uint end)
{
    uint n = ctl[GS_CTL_VISIBLE], run = (n + GS_SORT_LANES - 1u) / GS_SORT_LANES;
    begin = min(gl_GlobalInvocationID.x * run, n);
    end = min(begin + run, n);
}
