#version 460
// result[n, o, p] = act(sum over c, tap of x[n, c, q(p, tap)] w[o, c, tap] + bias[o]) + residual:
// convolutions of any kind, also grouped and transposed, an element at a time (nn_conv,
// nn_conv_transpose in vk/nn/conv.c). An invocation makes four results in a row of the result's
// memory, which is row-major [N, O, T, H, W] or, with LAST, [N, T, H, W, O]; x has any strides.
#include "nn/common.glsl"
#include "nn/act.glsl"
#include "nn/conv_params.h"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint LAST = 0;
layout(constant_id = 2) const uint TRANSPOSED = 0;
layout(constant_id = 3) const uint MODES = 0; // NN_CONV_ZERO ... of T, H, W, two bits each
layout(constant_id = 4) const uint ACT = 0;
layout(constant_id = 5) const uint X_TYPE = NN_TYPE_F32;
layout(constant_id = 6) const uint W_TYPE = NN_TYPE_F32;
layout(constant_id = 7) const uint BIAS_TYPE = 0; // 0: none
layout(constant_id = 8) const uint RESIDUAL_TYPE = 0;
layout(constant_id = 9) const uint OUT_TYPE = NN_TYPE_F32;
IN_WORDS(0, x)
IN_WORDS(1, w)
IN_WORDS(2, bias)
IN_WORDS(3, residual)
OUT_WORDS(4, result)
layout(push_constant) uniform Push { nn_conv_direct_push p; };

ivec3 unpack(uint v)
{
    return ivec3(v & 1023u, v >> 10 & 1023u, v >> 20);
}

// Sample, channel and place of element e of the result.
void locate(uint e, out uint n, out uint o, out ivec3 at)
{
    uint channels = p.out_channels * p.groups;
    if (LAST == 1) {
        o = e % channels;
        e /= channels;
    }
    at.z = int(e % p.to[2]);
    e /= p.to[2];
    at.y = int(e % p.to[1]);
    e /= p.to[1];
    at.x = int(e % p.to[0]);
    e /= p.to[0];
    if (LAST == 0) {
        o = e % channels;
        e /= channels;
    }
    n = e;
}

// Where along an axis of `size` the place `at` (in upsampled, padded x) is read; -1: a zero.
int source(int at, int size, int times, uint mode)
{
    int n = size * times;
    if (mode == NN_CONV_REFLECT)
        at = at < 0 ? -at : at >= n ? 2 * n - 2 - at : at;
    if (mode == NN_CONV_REPLICATE)
        at = clamp(at, 0, n - 1);
    return at < 0 || at >= n ? -1 : at / times;
}

// Where a transposed convolution reads x for a tap; -1: nowhere.
int source_transposed(int at, int size, int stride)
{
    return at < 0 || at % stride != 0 || at / stride >= size ? -1 : at / stride;
}

void main()
{
    uint i = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (i >= p.count)
        return;
    ivec3 kernel = unpack(p.kernel), stride = unpack(p.stride), dilation = unpack(p.dilation);
    ivec3 times = unpack(p.upsample), pad = unpack(p.pad), size = ivec3(p.from[0], p.from[1], p.from[2]);
    uint taps = kernel.x * kernel.y * kernel.z, channels = p.in_channels;
    uint last = p.begin + 4 * p.count - 1, step = TRANSPOSED == 1 ? p.out_channels * taps : taps;
    uint x_base[4], w_base[4], o[4];
    ivec3 at[4];
    vec4 sum = vec4(0);
    [[unroll]] for (uint k = 0; k < 4; k++) {
        uint n;
        locate(min(p.begin + 4 * i + k, last), n, o[k], at[k]);
        uint group = o[k] / p.out_channels, first = group * channels;
        x_base[k] = p.base[0] + n * p.x_stride[0] + first * p.x_stride[1];
        w_base[k] = p.base[1] + (TRANSPOSED == 1 ? (first * p.out_channels + o[k] -
                                                    group * p.out_channels) * taps
                                                 : o[k] * channels * taps);
    }
    uint tap = 0;
    for (int kt = 0; kt < kernel.x; kt++)
        for (int kh = 0; kh < kernel.y; kh++)
            for (int kw = 0; kw < kernel.z; kw++, tap++) {
                uint xi[4], wi[4];
                bool inside[4];
                [[unroll]] for (uint k = 0; k < 4; k++) {
                    ivec3 q;
                    if (TRANSPOSED == 1) {
                        q = at[k] + pad - ivec3(kt, kh, kw) * dilation;
                        q.x = source_transposed(q.x, size.x, stride.x);
                        q.y = source_transposed(q.y, size.y, stride.y);
                        q.z = source_transposed(q.z, size.z, stride.z);
                    } else {
                        q = at[k] * stride - pad + ivec3(kt, kh, kw) * dilation;
                        q.x = source(q.x, size.x, times.x, MODES & 3u);
                        q.y = source(q.y, size.y, times.y, MODES >> 2 & 3u);
                        q.z = source(q.z, size.z, times.z, MODES >> 4);
                    }
                    inside[k] = q.x >= 0 && q.y >= 0 && q.z >= 0;
                    q = max(q, ivec3(0));
                    xi[k] = x_base[k] + uint(q.x) * p.x_stride[2] + uint(q.y) * p.x_stride[3] +
                            uint(q.z) * p.x_stride[4];
                    wi[k] = w_base[k] + tap;
                }
                for (uint c = 0; c < channels; c++) {
                    [[unroll]] for (uint k = 0; k < 4; k++) {
                        float v = LD1(x, xi[k] + c * p.x_stride[1], X_TYPE);
                        sum[k] += inside[k] ? v * LD1(w, wi[k] + c * step, W_TYPE) : 0.0;
                    }
                }
            }
    if (BIAS_TYPE != 0) {
        [[unroll]] for (uint k = 0; k < 4; k++)
            sum[k] += LD1(bias, p.base[2] + o[k], BIAS_TYPE);
    }
    sum = nn_act4(ACT, sum, p.a, p.b);
    if (RESIDUAL_TYPE != 0)
        sum += LD4(residual, i + p.base[3] / 4, RESIDUAL_TYPE);
    ST4(result, i, sum, OUT_TYPE)
}
