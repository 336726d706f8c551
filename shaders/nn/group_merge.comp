#version 460
// Moments of PER runs in a row as those of one run; in the last step (group > 0) all that is left
// of a unit and the channels of each group: stats[unit][group] = count, mean, sum of squared
// deviations (nn_group_stats, vk/nn/norm.c). An invocation makes one result.
#include "nn/common.glsl"
#include "nn/norm_params.h"
layout(local_size_x_id = 0) in;
IN_F1(0, moments)
OUT_WORDS(1, merged)
layout(push_constant) uniform Push { nn_merge_push p; };

// Moments of a run of `channel`: mean, sum, count.
vec3 moment(uint unit, uint run, uint channel)
{
    uint e = (unit * p.runs + run) * 2 * p.channels + channel;
    return vec3(FETCH1(moments, e, NN_TYPE_F32), FETCH1(moments, e + p.channels, NN_TYPE_F32),
                float(min(p.run, p.positions - run * p.run)));
}

void main()
{
    uint id = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (id >= p.count)
        return;
    uint many = (p.runs + p.per - 1) / p.per, width = max(p.group, 1);
    uint columns = p.channels / width, channel = id % columns * width;
    uint block = id / columns, unit = block / many, first = block % many * p.per;
    uint last = min(first + p.per, p.runs), trips = (last - first) * width;
    float count = 0.0, mean = 0.0, squares = 0.0, origin = moment(unit, first, channel).x;
    for (uint i = 0; i < trips; i++) {
        vec3 m = moment(unit, first + i / width, channel + i % width);
        count += m.z;
        mean += (m.x - origin) * m.z;
    }
    mean /= count;
    for (uint i = 0; i < trips; i++) {
        vec3 m = moment(unit, first + i / width, channel + i % width);
        float d = m.x - origin - mean;
        squares += m.y + d * d * m.z;
    }
    mean += origin;
    if (p.group > 0) {
        merged_1[3 * id] = floatBitsToUint(count);
        merged_1[3 * id + 1] = floatBitsToUint(mean);
        merged_1[3 * id + 2] = floatBitsToUint(squares);
    } else {
        uint to = block * 2 * p.channels + channel;
        merged_1[to] = floatBitsToUint(mean);
        merged_1[to + p.channels] = floatBitsToUint(squares);
    }
}
