#version 460
// Mean over a window of [N, C, T, H, W] (nn_avg_pool, vk/nn/resample.c), padded by zeros (counted),
// the edge's values or mirrored ones. An invocation makes four results in a row.
#include "nn/common.glsl"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint TYPE = NN_TYPE_F32;
layout(constant_id = 2) const uint MODE_T = NN_PADDING_VALUE;
layout(constant_id = 3) const uint MODE_H = NN_PADDING_VALUE;
layout(constant_id = 4) const uint MODE_W = NN_PADDING_VALUE;
layout(constant_id = 5) const uint KT = 1;
layout(constant_id = 6) const uint KH = 1;
layout(constant_id = 7) const uint KW = 1;
layout(constant_id = 8) const uint ST = 1;
layout(constant_id = 9) const uint SH = 1;
layout(constant_id = 10) const uint SW = 1;
IN_WORDS(0, x)
OUT_WORDS(1, result)
layout(push_constant) uniform Push { nn_pool_push p; };

// x: where to read along an axis, y: 0 when it is a padded zero.
ivec2 along(int i, int n, uint mode)
{
    bool inside = i >= 0 && i < n;
    if (mode == NN_PADDING_REFLECT)
        i = i < 0 ? -i : i >= n ? 2 * n - 2 - i : i;
    return ivec2(clamp(i, 0, n - 1), int(mode != NN_PADDING_VALUE || inside));
}

float one(uint e)
{
    uvec2 row = nn_divide(e, p.to_w), plane = nn_divide(row.x, p.to_h), clip = nn_divide(plane.x, p.to_t);
    uint w = row.y, h = plane.y, t = clip.y;
    int nc = int(clip.x), nt = int(p.from_t), nh = int(p.from_h), nw = int(p.from_w);
    float sum = 0.0;
    for (uint a = 0; a < KT; a++)
        for (uint b = 0; b < KH; b++)
            for (uint c = 0; c < KW; c++) {
                ivec2 at = along(int(t * ST + a) - int(p.pad_t), nt, MODE_T);
                ivec2 ah = along(int(h * SH + b) - int(p.pad_h), nh, MODE_H);
                ivec2 aw = along(int(w * SW + c) - int(p.pad_w), nw, MODE_W);
                float v = LD1(x, uint(((nc * nt + at.x) * nh + ah.x) * nw + aw.x), TYPE);
                sum += at.y * ah.y * aw.y == 1 ? v : 0.0;
            }
    return sum / float(KT * KH * KW);
}

void main()
{
    uint i = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x, e = p.begin + 4 * i;
    if (i >= p.count)
        return;
    vec4 v = vec4(one(e), one(min(e + 1, p.last)), one(min(e + 2, p.last)), one(min(e + 3, p.last)));
    ST4(result, i, v, TYPE)
}
