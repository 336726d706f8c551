#version 460
// Mean and sum of squared deviations of each channel over each run of a unit's positions, the
// first step of nn_group_stats (vk/nn/norm.c): moments[unit][run] = [means | sums] of channels.
// Sums are of differences from the run's first element, so that a large mean does not drown them.
// An invocation does one channel (or four, CHANNELS) of one run.
#include "nn/common.glsl"
#include "nn/norm_params.h"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint KIND = NN_GROUP_SINGLE;
layout(constant_id = 2) const uint X_TYPE = NN_TYPE_F32;
IN_WORDS(0, x)
OUT_WORDS(1, moments)
layout(push_constant) uniform Push { nn_group_push p; };

const uint STEP = KIND == NN_GROUP_SINGLE ? 1 : 4;

vec4 at(uint e)
{
    return KIND == NN_GROUP_SINGLE ? vec4(LD1(x, e, X_TYPE), 0, 0, 0) : LD4(x, e / 4, X_TYPE);
}

void main()
{
    uint id = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (id >= p.count)
        return;
    uint fours = KIND == NN_GROUP_CHANNELS ? p.channels / 4 : p.channels;
    uint block = p.begin + id / fours, channel = id % fours * (KIND == NN_GROUP_CHANNELS ? 4 : 1);
    uint unit = block / p.runs, run = block % p.runs, sample_ = unit / p.units;
    uint n = min(p.run, p.positions - run * p.run), step = p.stride[2];
    uint e = p.base[0] - p.first + sample_ * p.stride[0] + channel * p.stride[1] +
             ((unit - sample_ * p.units) * p.positions + run * p.run) * step;
    uint trips = n;
    if (KIND == NN_GROUP_POSITIONS) {
        trips = n / 4;
        step = 4;
    }
    vec4 origin = at(e), sum = vec4(0), squares = vec4(0);
    if (KIND == NN_GROUP_POSITIONS)
        origin = origin.xxxx;
    uint i = 0;
    for (; i + 3 < trips; i += 4) { // turns of CPU drivers' loops cost more than their arithmetic
        vec4 d0 = at(e) - origin, d1 = at(e + step) - origin;
        vec4 d2 = at(e + 2 * step) - origin, d3 = at(e + 3 * step) - origin;
        e += 4 * step;
        sum += (d0 + d1) + (d2 + d3);
        squares += (d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3);
    }
    for (; i < trips; i++) {
        vec4 d = at(e) - origin;
        e += step;
        sum += d;
        squares += d * d;
    }
    uint to = block * 2 * p.channels + channel;
    if (KIND == NN_GROUP_CHANNELS) {
        vec4 mean = sum / n;
        moments_4[to / 4] = floatBitsToUint(origin + mean);
        moments_4[(to + p.channels) / 4] = floatBitsToUint(max(squares - sum * mean, vec4(0)));
    } else {
        float s = sum.x + sum.y + sum.z + sum.w, mean = s / n;
        float q = squares.x + squares.y + squares.z + squares.w;
        moments_1[to] = floatBitsToUint(origin.x + mean);
        moments_1[to + p.channels] = floatBitsToUint(max(q - s * mean, 0.0));
    }
}
