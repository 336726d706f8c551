#version 460
// Rotary embedding (nn_rope, vk/nn/embed.c): the first p.rotated features of x[b][h][t] are turned in
// pairs by the angles of token t, given as (cos, sin). Pairs are neighbours, or HALVES apart.
// x may have any strides with D contiguous; the result is packed. FOUR: everything is a multiple of
// four and an invocation makes four features of HEADS heads, which share their angles; else four
// results one by one.
#include "nn/common.glsl"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint FOUR = 1;
layout(constant_id = 2) const uint HALVES = 0;
layout(constant_id = 3) const uint X_TYPE = NN_TYPE_F32;
layout(constant_id = 4) const uint TABLE_TYPE = NN_TYPE_F32;
layout(constant_id = 5) const uint HEADS = 1; // a divisor of p.h
IN_WORDS(0, x)
IN_WORDS(1, table)
OUT_WORDS(2, result)
layout(push_constant) uniform Push { nn_rope_push p; };

struct place {
    uint row; // element of x where the head's features begin
    uint d, t;
};

place place_of(uint e)
{
    uvec2 row = nn_divide(e, p.d), token = nn_divide(row.x, p.t), head = nn_divide(token.x, p.h);
    uint t = token.y;
    return place(p.base + head.x * p.stride_b + head.y * p.stride_h + t * p.stride_t, row.y, t);
}

float one(uint e)
{
    place at = place_of(e);
    float v = LD1(x, at.row + at.d, X_TYPE);
    if (at.d >= p.rotated)
        return v;
    uint half_size = p.rotated / 2;
    bool second = HALVES == 1 ? at.d >= half_size : (at.d & 1u) != 0u;
    uint pair = HALVES == 1 ? at.d % half_size : at.d / 2;
    uint other = HALVES == 1 ? (second ? at.d - half_size : at.d + half_size) : at.d ^ 1u;
    float w = LD1(x, at.row + other, X_TYPE);
    uint angle = p.table_base + (at.t * half_size + pair) * 2;
    float c = LD1(table, angle, TABLE_TYPE), s = LD1(table, angle + 1, TABLE_TYPE);
    return second ? v * c + w * s : v * c - w * s;
}

// Angles of the four features from d on: neighbours (c, s, c, s), or halves c and s apart.
struct angles {
    vec4 a, b;
};

angles angles_of(uint t, uint d)
{
    uint half_size = p.rotated / 2;
    if (HALVES == 0)
        return angles(LD4(table, (p.table_base + t * p.rotated + d) / 4, TABLE_TYPE), vec4(0));
    uint pair = d >= half_size ? d - half_size : d;
    uint at = (p.table_base + (t * half_size + pair) * 2) / 4;
    vec4 a = LD4(table, at, TABLE_TYPE), b = LD4(table, at + 1, TABLE_TYPE);
    return angles(vec4(a.xz, b.xz), vec4(a.yw, b.yw));
}

// Features from d on of the head at `row`.
vec4 four(uint row, uint d, angles g)
{
    vec4 v = LD4(x, (row + d) / 4, X_TYPE), turned;
    if (HALVES == 0) {
        turned = v * g.a.xxzz + vec4(-v.y, v.x, -v.w, v.z) * g.a.yyww;
    } else {
        uint half_size = p.rotated / 2;
        bool second = d >= half_size;
        vec4 w = LD4(x, (row + (second ? d - half_size : d + half_size)) / 4, X_TYPE);
        turned = v * g.a + (second ? w : -w) * g.b;
    }
    return d >= p.rotated ? v : turned;
}

void fours(uint i, bool there)
{
    uint many = p.d / 4;
    uvec2 row = nn_divide(i, many), token = nn_divide(row.x, p.t);
    uvec2 head = nn_divide(token.x, p.h / HEADS);
    uint d = 4 * row.y, t = token.y, stride = p.stride_h;
    uint at = p.base + head.x * p.stride_b + head.y * HEADS * stride + t * p.stride_t;
    uint to = token.x * (HEADS - 1) * p.t * many + i - p.begin / 4, step = p.t * many;
    angles g = angles_of(t, min(d, p.rotated - 4));
    uvec4 words[HEADS];
    // all results before the first store, after which CPU drivers read push constants anew; chosen
    // by lane, or they would move the arithmetic into the store's loop over lanes
    [[unroll]] for (uint k = 0; k < HEADS; k++) {
        vec4 v = four(at + k * stride, d, g);
        words[k] = there ? nn_encode4(v, X_TYPE) : uvec4(0);
    }
    if (there)
        [[unroll]] for (uint k = 0; k < HEADS; k++)
            STW4(result, to + k * step, words[k], X_TYPE)
}

void main()
{
    uint i = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (FOUR == 1) {
        fours(p.begin / 4 + min(i, p.count - 1), i < p.count);
        return;
    }
    uint e = p.begin + 4 * i;
    if (i >= p.count)
        return;
    vec4 v = vec4(one(e), one(min(e + 1, p.last)), one(min(e + 2, p.last)), one(min(e + 3, p.last)));
    ST4(result, i, v, X_TYPE)
}
