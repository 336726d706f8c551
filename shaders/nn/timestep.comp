#version 460
// result[i][j] = cos(t[i] scale f[j]) or sin of it, the frequencies f made by the host (nn_timestep,
// vk/nn/embed.c). Angles reach a thousand turns, so the range is reduced here: GLSL's sin and cos
// promise nothing there.
#include "nn/common.glsl"
layout(local_size_x_id = 0) in;
IN_F1(0, t)
IN_F1(1, frequency)
layout(binding = 2) writeonly buffer Out { float result[]; };
layout(push_constant) uniform Push { nn_timestep_push p; };

// (sin, cos) by pi / 2 in three parts (Cody and Waite) and Taylor polynomials on [-pi/4, pi/4].
vec2 sine_cosine(float x)
{
    precise float k = round(x * 0.636619772);
    precise float y = x - k * 1.5703125;
    y = y - k * 4.837512969970703125e-4;
    y = y - k * 7.549789948768648e-8;
    float s2 = y * y;
    float s = y * (1.0 + s2 * (-1.0 / 6.0 + s2 * (1.0 / 120.0 + s2 * (-1.0 / 5040.0 + s2 / 362880.0))));
    float c = 1.0 + s2 * (-0.5 + s2 * (1.0 / 24.0 + s2 * (-1.0 / 720.0 + s2 / 40320.0)));
    int q = int(k) & 3;
    vec2 v = (q & 1) != 0 ? vec2(c, -s) : vec2(s, c);
    return q >= 2 ? -v : v;
}

void main()
{
    uint i = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (i >= p.count)
        return;
    uint row = i / p.dim, j = i % p.dim, n = p.dim / 2;
    bool second = j >= n;
    uint at = second ? j - n : j;
    float f = FETCH1(frequency, min(at, n - 1), NN_TYPE_F32);
    precise float angle = FETCH1(t, p.t_base + row, NN_TYPE_F32) * p.scale * f;
    vec2 v = sine_cosine(angle);
    bool sine = second != (p.sin_first != 0);
    result[i] = at >= n ? 0.0 : sine ? v.x : v.y;
}
