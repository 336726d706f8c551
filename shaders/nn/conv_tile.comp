#version 460
// result[p, o] = act(sum over tap, c of x[q(p, tap), c] w[tap, c, o] + bias[o]) + residual[p, o],
// channels last: nn_conv (vk/nn/conv_tile.c) as a product of register tiles without im2col.
//
// A workgroup is one subgroup of LANES in PARTS that have positions of their own; a lane makes ROWS
// positions of four channels, neighbouring lanes of a part neighbouring channels, so a workgroup owns
// one panel of w, as wide as a part: results of few channels take no more lanes than they fill. Every
// step takes STEP fours of x's channels: each lane fetches its columns of w, and the positions'
// channels are spread over the part's lanes, one position a lane, and handed round by shuffles whose
// indices are constants of each lane. Accumulators are touched once a step (sums of products first):
// on CPU drivers they live in memory.
// w is packed by conv_pack.comp: [panel][tap][k][lane] fours of channels of the result.
#include "nn/conv_io.glsl"
#extension GL_KHR_shader_subgroup_shuffle : require
layout(local_size_x = LANES) in;
layout(constant_id = 10) const uint PARTS = 1;

const uint WIDTH = LANES / PARTS;
const uint GROUPS = (ROWS + WIDTH - 1) / WIDTH; // of a part's positions, one a lane

void main()
{
    uint lane = gl_SubgroupInvocationID % WIDTH, first = gl_SubgroupInvocationID - lane;
    uint m0 = (gl_WorkGroupID.x * PARTS + first / WIDTH) * ROWS, panel = gl_WorkGroupID.y;
    ivec3 kernel = unpack(p.kernel), stride = unpack(p.stride), dilation = unpack(p.dilation);
    ivec3 pad = unpack(p.pad), times = unpack(p.upsample);
    ivec3 size = ivec3(p.from[0], p.from[1], p.from[2]) * times;
    vec3 shrink = 1.0 / vec3(times);
    uint fours = p.in_fours, padded = (fours + STEP - 1) / STEP * STEP;

    Ends ends = ends_of(panel * WIDTH + lane);

    vec4 c[ROWS];
    [[unroll]] for (uint i = 0; i < ROWS; i++)
        c[i] = vec4(0);
    ivec3 corner[GROUPS];
    [[unroll]] for (uint g = 0; g < GROUPS; g++) {
        uint m = p.begin + min(m0 + g * WIDTH + lane, p.count - 1);
        uint row = m / p.to[2], frame = row / p.to[1];
        corner[g] = ivec3(frame, row - frame * p.to[1], m - row * p.to[2]) * stride - pad;
    }

    uint at_w = panel * uint(kernel.x * kernel.y * kernel.z) * padded * 4 * WIDTH + lane;
    for (int kt = 0; kt < kernel.x; kt++)
        for (int kh = 0; kh < kernel.y; kh++)
            for (int kw = 0; kw < kernel.z; kw++) {
                Place at[GROUPS];
                [[unroll]] for (uint g = 0; g < GROUPS; g++)
                    at[g] = place_of(corner[g] + ivec3(kt, kh, kw) * dilation, pad, size, shrink);
                for (uint k = 0; k < padded; k += STEP) {
                    vec4 xk[STEP * GROUPS], wk[STEP * 4];
                    [[unroll]] for (uint s = 0; s < STEP; s++) {
                        uint ks = ODD == 0 ? k + s : min(k + s, fours - 1);
                        [[unroll]] for (uint g = 0; g < GROUPS; g++)
                            xk[s * GROUPS + g] = fetch_at(at[g], ks, ODD == 0 || k + s < fours);
                        [[unroll]] for (uint q = 0; q < 4; q++)
                            wk[s * 4 + q] = fetch_w(at_w + (s * 4 + q) * WIDTH);
                    }
                    at_w += STEP * 4 * WIDTH;
                    [[unroll]] for (uint i = 0; i < ROWS; i++) {
                        vec4 sum = vec4(0);
                        [[unroll]] for (uint s = 0; s < STEP; s++) {
                            vec4 v = xk[s * GROUPS + i / WIDTH];
                            vec4 even = subgroupShuffle(v.x, first + i % WIDTH) * wk[s * 4] +
                                        subgroupShuffle(v.y, first + i % WIDTH) * wk[s * 4 + 1];
                            vec4 odd = subgroupShuffle(v.z, first + i % WIDTH) * wk[s * 4 + 2] +
                                       subgroupShuffle(v.w, first + i % WIDTH) * wk[s * 4 + 3];
                            sum = s == 0 ? even + odd : sum + (even + odd);
                        }
                        c[i] += sum;
                    }
                }
            }

    // a loop: ROWS endings in a line cost CPU drivers a fifth of their speed and most of compiling
    for (uint i = 0; i < ROWS; i++)
        finish(ends, m0 + i, panel * WIDTH + lane, c[i]);
}
