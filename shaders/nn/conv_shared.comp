#version 460
// The sums of conv_tile.comp for GPUs: a workgroup of 256 makes a tile of 64 positions and 64
// channels (a panel of w of 16 lanes), an invocation 4 positions of four channels. Every step puts
// four fours of x's channels at each position, and the 16 rows of w that belong to them, into
// shared memory; each invocation fetches one four of either (nn_conv, vk/nn/conv_tile.c).
#include "nn/conv_io.glsl"
layout(local_size_x = 256) in;

shared vec4 sx[64 * 4];  // [position][four]
shared vec4 sw[16 * 16]; // [k][lane]

void main()
{
    uint t = gl_LocalInvocationIndex, panel = gl_WorkGroupID.y, m0 = gl_WorkGroupID.x * 64;
    uint lane = t % 16, rows = t / 16 * 4, four = t % 4;
    ivec3 kernel = unpack(p.kernel), dilation = unpack(p.dilation), pad = unpack(p.pad);
    ivec3 times = unpack(p.upsample), size = ivec3(p.from[0], p.from[1], p.from[2]) * times;
    vec3 shrink = 1.0 / vec3(times);
    uint fours = p.in_fours, padded = (fours + 3) / 4 * 4;
    uint m = p.begin + min(m0 + t / 4, p.count - 1), row = m / p.to[2], frame = row / p.to[1];
    ivec3 corner = ivec3(frame, row - frame * p.to[1], m - row * p.to[2]) * unpack(p.stride) - pad;

    Ends ends = ends_of(panel * 16 + lane);

    vec4 c[4] = vec4[4](vec4(0), vec4(0), vec4(0), vec4(0));
    uint at_w = panel * uint(kernel.x * kernel.y * kernel.z) * padded * 4 * 16 + t;
    for (int kt = 0; kt < kernel.x; kt++)
        for (int kh = 0; kh < kernel.y; kh++)
            for (int kw = 0; kw < kernel.z; kw++) {
                Place at = place_of(corner + ivec3(kt, kh, kw) * dilation, pad, size, shrink);
                for (uint k = 0; k < padded; k += 4) {
                    sx[t] = fetch_at(at, min(k + four, fours - 1), k + four < fours);
                    sw[t] = fetch_w(at_w);
                    at_w += 256;
                    barrier();
                    for (uint q = 0; q < 4; q++) // the driver's to unroll
                        [[unroll]] for (uint i = 0; i < 4; i++) {
                            vec4 u = sx[(rows + i) * 4 + q];
                            c[i] += u.x * sw[q * 64 + lane] + u.y * sw[q * 64 + 16 + lane] +
                                    u.z * sw[q * 64 + 32 + lane] + u.w * sw[q * 64 + 48 + lane];
                        }
                    barrier();
                }
            }
    [[unroll]] for (uint i = 0; i < 4; i++)
        finish(ends, m0 + rows + i, panel * 16 + lane, c[i]);
}
