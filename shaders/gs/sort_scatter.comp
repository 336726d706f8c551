#version 460
// Stable scatter of one digit: the scanned histogram gives each lane private write cursors.
#include "gs/common.glsl"
#include "gs/sort_lanes.glsl"
IN_UINT(2, start)
#if defined(LAST) || defined(NARROW)
layout(binding = 3) writeonly buffer To { uint to[]; };
#else
layout(binding = 3) writeonly buffer To { uvec2 to[]; };
#endif

void main()
{
    uint lane = gl_LocalInvocationID.x, all = gl_GlobalInvocationID.x, begin, end;
    run_of_lane(begin, end);
    for (uint d = 0u; d < 1u << DIGIT; d += 4u) {
        [[unroll]] for (uint k = 0u; k < 4u; k++)
            counter[(d + k) * LANES + lane] = LD1(start, (d + k) * GS_SORT_LANES + all);
    }
    for (uint i = begin; i < end; i += 4u) {
        [[unroll]] for (uint k = 0u; k < 4u; k++) {
            uvec2 v = read(min(i + k, end - 1u));
            uint d = digit_of(v);
            if (i + k < end) {
                uint at = counter[d * LANES + lane];
                counter[d * LANES + lane] = at + 1u;
#if defined(NARROW) && !defined(LAST)
                to[at] = v.x >> DIGIT << SLOT_BITS | v.y;
#elif defined(NARROW)
                to[at] = v.x & ((1u << SLOT_BITS) - 1u);
#elif defined(LAST)
                to[at] = v.y;
#else
                to[at] = v;
#endif
            }
        }
    }
}
