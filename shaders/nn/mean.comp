#version 460
// result[o][q] = scale * sum over i of x[o][i][q] (nn_mean, vk/nn/resample.c), of runs of p.run of the
// p.n elements: result [o][runs][q] when there are several, summed by a second dispatch. An
// invocation makes four results in a row.
#include "nn/common.glsl"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint FOUR = 1;
layout(constant_id = 2) const uint X_TYPE = NN_TYPE_F32;
layout(constant_id = 3) const uint OUT_TYPE = NN_TYPE_F32;
IN_WORDS(0, x)
OUT_WORDS(1, result)
layout(push_constant) uniform Push { nn_mean_push p; };

// First element and length of the run that result e sums.
uvec2 run_of(uint e)
{
    uvec2 row = nn_divide(e, p.inner), outer = nn_divide(row.x, p.runs);
    uint first = outer.y * p.run;
    return uvec2((outer.x * p.n + first) * p.inner + row.y, min(p.run, p.n - first));
}

vec4 four(uint e)
{
    uvec2 r = run_of(e);
    vec4 sum = vec4(0);
    for (uint i = 0; i < r.y; i++)
        sum += LD4(x, (r.x + i * p.inner) / 4, X_TYPE);
    return sum;
}

float one(uint e)
{
    uvec2 r = run_of(e);
    float sum = 0.0;
    for (uint i = 0; i < r.y; i++)
        sum += LD1(x, r.x + i * p.inner, X_TYPE);
    return sum;
}

void main()
{
    uint i = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x, e = p.begin + 4 * i;
    if (i >= p.count)
        return;
    vec4 v = FOUR == 1 ? four(e)
                       : vec4(one(e), one(min(e + 1, p.last)), one(min(e + 2, p.last)),
                              one(min(e + 3, p.last)));
    v *= p.scale;
    ST4(result, i, v, OUT_TYPE)
}
