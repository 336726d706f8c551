#version 460
// What nn_group_norm does to each channel of a unit: table[unit] = [mean | factor | addend], with
// factor = weight / sqrt(variance + eps) and addend = bias (vk/nn/norm.c). An invocation does one
// channel.
#include "nn/common.glsl"
#include "nn/norm_params.h"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint WEIGHT_TYPE = 0;
layout(constant_id = 2) const uint BIAS_TYPE = 0;
IN_F1(0, stats)
IN_WORDS(1, weight)
IN_WORDS(2, bias)
OUT_WORDS(3, table)
layout(push_constant) uniform Push { nn_table_push p; };

void main()
{
    uint id = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (id >= p.count)
        return;
    uint unit = id / p.channels, channel = id % p.channels;
    uint e = p.base[0] + 3 * (unit * p.groups + channel / (p.channels / p.groups));
    float variance = FETCH1(stats, e + 2, NN_TYPE_F32) / FETCH1(stats, e, NN_TYPE_F32);
    float factor = 1.0 / sqrt(variance + p.eps), addend = 0.0;
    if (WEIGHT_TYPE != 0)
        factor *= LD1(weight, p.base[1] + channel, WEIGHT_TYPE);
    if (BIAS_TYPE != 0)
        addend = LD1(bias, p.base[2] + channel, BIAS_TYPE);
    uint to = unit * 3 * p.channels + channel;
    table_1[to] = floatBitsToUint(FETCH1(stats, e + 1, NN_TYPE_F32));
    table_1[to + p.channels] = floatBitsToUint(factor);
    table_1[to + 2 * p.channels] = floatBitsToUint(addend);
}
