#version 460
// Histogram of one digit: count[digit][lane] over all GS_SORT_LANES lanes.   C: raster_lanes.c
#include "gs/common.glsl"
#include "gs/sort_lanes.glsl"
layout(binding = 2) writeonly buffer Count { uint count[]; };

void main()
{
    uint lane = gl_LocalInvocationID.x, all = gl_GlobalInvocationID.x, begin, end;
    run_of_lane(begin, end);
    for (uint d = 0u; d < 1u << DIGIT; d += 8u) {
        [[unroll]] for (uint k = 0u; k < 8u; k++)
            counter[(d + k) * LANES + lane] = 0u;
    }
    for (uint i = begin; i < end; i += 4u) {
        [[unroll]] for (uint k = 0u; k < 4u; k++) {
            uint d = digit_of(read(min(i + k, end - 1u)));
            if (i + k < end)
                counter[d * LANES + lane] += 1u;
        }
    }
    for (uint d = 0u; d < 1u << DIGIT; d += 4u) {
        [[unroll]] for (uint k = 0u; k < 4u; k++)
            count[(d + k) * GS_SORT_LANES + all] = counter[(d + k) * LANES + lane];
    }
}
