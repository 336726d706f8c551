#version 460
// Softmax along the rows of scores, in place, over the keys that a query sees; nothing seen gives
// zeros (vk/nn/attention.c, heads too wide for attention.comp). A lane owns a row: a pass for the
// maximum and the sum under it, a pass for the quotients.
#include "nn/common.glsl"
#include "nn/matmul_params.h"
#include "nn/sight.glsl"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint CAUSAL = 0;
IN_F4(0, scores)
OUT_WORDS(1, result)
layout(push_constant) uniform Push { nn_attention_softmax_push p; };

const float LOWEST = -3.402823466e38, LOG2E = 1.44269504;

// The score of key s, minus infinity where it is not seen.
vec4 seen4(vec4 x, uint s, ivec2 seen)
{
    ivec4 at = int(s) + ivec4(0, 1, 2, 3);
    bvec4 hidden = bvec4(uvec4(lessThan(at, ivec4(seen.x))) |
                         uvec4(greaterThanEqual(at, ivec4(seen.y))));
    return mix(x * LOG2E, vec4(HIDDEN), hidden);
}

vec4 weights(vec4 x, float high)
{
    return mix(exp2(x - high), vec4(0), equal(x, vec4(HIDDEN)));
}

void main()
{
    uint row = gl_GlobalInvocationID.x, fours = p.row_fours, rows = p.rows;
    ivec2 seen = sight(p.query + min(row, rows - 1), CAUSAL != 0, p.shift, p.block, p.window,
                       p.keys);
    uint at = p.base + min(row, rows - 1) * fours;
    float high = LOWEST, total = 0;
    for (uint i = 0; i < fours; i++) {
        vec4 x = seen4(FETCH4(scores, at + i, NN_TYPE_F32), 4 * i, seen);
        float top = max(max(high, max(x.x, x.y)), max(x.z, x.w));
        vec4 w = weights(x, top);
        total = total * exp2(high - top) + (w.x + w.y) + (w.z + w.w);
        high = top;
    }
    float scale = total > 0 ? 1.0 / total : 0.0;
    if (row < rows)
        for (uint i = 0; i < fours; i++) {
            vec4 x = seen4(FETCH4(scores, at + i, NN_TYPE_F32), 4 * i, seen);
            ST4(result, at + i, weights(x, high) * scale, NN_TYPE_F32)
        }
}
