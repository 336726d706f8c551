#version 460
// result = act(((x - mean) factor weight + bias) (1 + scale) + shift) by the moments of
// row_moments.comp, rows of any width (nn_layer_norm, nn_rms_norm in vk/nn/norm.c). An invocation
// makes four results in a row.
#include "nn/common.glsl"
#include "nn/norm_params.h"
#include "nn/act.glsl"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint ACT = 0;
layout(constant_id = 2) const uint X_TYPE = NN_TYPE_F32;
layout(constant_id = 3) const uint WEIGHT_TYPE = 0; // 0: none
layout(constant_id = 4) const uint BIAS_TYPE = 0;
layout(constant_id = 5) const uint SHIFT_TYPE = 0;
layout(constant_id = 6) const uint SCALE_TYPE = 0;
layout(constant_id = 7) const uint OUT_TYPE = NN_TYPE_F32;
IN_WORDS(0, x)
IN_WORDS(1, weight)
IN_WORDS(2, bias)
IN_WORDS(3, shift)
IN_WORDS(4, scale)
IN_F1(5, moments)
OUT_WORDS(6, result)
layout(push_constant) uniform Push { nn_row_push p; };

void main()
{
    uint id = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x, n = p.width;
    if (4 * id >= p.rows * n)
        return;
    vec4 v;
    [[unroll]] for (uint k = 0; k < 4; k++) {
        uint e = min(4 * id + k, p.rows * n - 1), row = e / n, c = e - row * n;
        uint group = (p.begin + row) / p.modulated * n + c;
        float f = (LD1(x, p.base[0] + e, X_TYPE) - FETCH1(moments, 2 * row, NN_TYPE_F32)) *
                  FETCH1(moments, 2 * row + 1, NN_TYPE_F32);
        if (WEIGHT_TYPE != 0)
            f *= LD1(weight, p.base[1] + c, WEIGHT_TYPE);
        if (BIAS_TYPE != 0)
            f += LD1(bias, p.base[2] + c, BIAS_TYPE);
        if (SCALE_TYPE != 0)
            f *= 1.0 + LD1(scale, p.base[4] + group, SCALE_TYPE);
        if (SHIFT_TYPE != 0)
            f += LD1(shift, p.base[3] + group, SHIFT_TYPE);
        v[k] = f;
    }
    v = nn_act4(ACT, v, p.a, p.b);
    ST4(result, id, v, OUT_TYPE)
}
