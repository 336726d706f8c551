#version 460
// Rotary embedding (nn_rope, vk/nn/embed.c): the first p.rotated features of x[b][h][t] are turned in
// pairs by the angles of token t, given as (cos, sin). Pairs are neighbours, or HALVES apart.
// x may have any strides with D contiguous; the result is packed. FOUR: everything is a multiple of
// four and an invocation makes four features; else four results one by one.
#include "nn/common.glsl"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint FOUR = 1;
layout(constant_id = 2) const uint HALVES = 0;
layout(constant_id = 3) const uint X_TYPE = NN_TYPE_F32;
layout(constant_id = 4) const uint TABLE_TYPE = NN_TYPE_F32;
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

vec4 four(uint e)
{
    place at = place_of(e);
    vec4 v = LD4(x, (at.row + at.d) / 4, X_TYPE);
    if (at.d >= p.rotated)
        return v;
    uint half_size = p.rotated / 2;
    if (HALVES == 0) {
        vec4 a = LD4(table, (p.table_base + at.t * p.rotated + at.d) / 4, TABLE_TYPE);
        return vec4(v.x * a.x - v.y * a.y, v.y * a.x + v.x * a.y, v.z * a.z - v.w * a.w,
                    v.w * a.z + v.z * a.w);
    }
    bool second = at.d >= half_size;
    uint pair = second ? at.d - half_size : at.d;
    vec4 w = LD4(x, (at.row + (second ? at.d - half_size : at.d + half_size)) / 4, X_TYPE);
    uint angle = (p.table_base + (at.t * half_size + pair) * 2) / 4;
    vec4 a = LD4(table, angle, TABLE_TYPE), b = LD4(table, angle + 1, TABLE_TYPE);
    vec4 c = vec4(a.xz, b.xz), s = vec4(a.yw, b.yw);
    return second ? v * c + w * s : v * c - w * s;
}

void main()
{
    uint i = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x, e = p.begin + 4 * i;
    if (i >= p.count)
        return;
    vec4 v = FOUR == 1 ? four(e)
                       : vec4(one(e), one(min(e + 1, p.last)), one(min(e + 2, p.last)),
                              one(min(e + 3, p.last)));
    ST4(result, i, v, X_TYPE)
}
