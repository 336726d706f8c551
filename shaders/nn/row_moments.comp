#version 460
// moments[row] = mean (0 with RMS) and 1 / sqrt(variance + eps) of rows of any width: the first of
// two steps of nn_layer_norm and nn_rms_norm (vk/nn/norm.c). An invocation does a row.
#include "nn/common.glsl"
#include "nn/norm_params.h"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint RMS = 0;
layout(constant_id = 2) const uint X_TYPE = NN_TYPE_F32;
IN_WORDS(0, x)
OUT_WORDS(1, moments)
layout(push_constant) uniform Push { nn_row_push p; };

void main()
{
    uint row = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (row >= p.rows)
        return;
    uint n = p.width, from = p.base[0] + row * n;
    float mean = 0.0, sum = 0.0;
    if (RMS == 0) {
        for (uint i = 0; i < n; i++)
            mean += LD1(x, from + i, X_TYPE);
        mean /= float(n);
    }
    for (uint i = 0; i < n; i++) {
        float d = LD1(x, from + i, X_TYPE) - mean;
        sum += d * d;
    }
    moments_2[row] = floatBitsToUint(vec2(mean, 1.0 / sqrt(sum / float(n) + p.eps)));
}
