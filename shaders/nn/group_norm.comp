#version 460
// result = act((x - mean) factor + addend) by the table of group_table.comp, in x's memory order
// (nn_group_norm, vk/nn/norm.c). An invocation does one run of positions of four channels
// (CHANNELS) or, four positions at a time, of one channel (POSITIONS), or four elements (SINGLE).
#include "nn/common.glsl"
#include "nn/norm_params.h"
#include "nn/act.glsl"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint KIND = NN_GROUP_SINGLE;
layout(constant_id = 2) const uint X_TYPE = NN_TYPE_F32;
layout(constant_id = 3) const uint OUT_TYPE = NN_TYPE_F32;
layout(constant_id = 4) const uint ACT = 0;
const uint TURN = OUT_TYPE == NN_TYPE_F32 ? 1 : 2;
IN_WORDS(0, x)
IN_F4(1, table)
IN_F1(2, table_single)
OUT_WORDS(3, result)
layout(push_constant) uniform Push { nn_group_push p; };

void single(uint id)
{
    vec4 v;
    [[unroll]] for (uint k = 0; k < 4; k++) {
        uint e = p.begin + 4 * id + k, n = e / p.stride[0], in_sample = e - n * p.stride[0];
        uint slow = max(p.stride[1], p.stride[2]), q = in_sample / slow, rest = in_sample % slow;
        uint channel = p.stride[1] >= p.stride[2] ? q : rest;
        uint position = p.stride[1] >= p.stride[2] ? rest : q;
        uint to = (n * p.units + position / p.positions) * 3 * p.channels + channel;
        float mean = FETCH1(table_single, to, NN_TYPE_F32);
        float factor = FETCH1(table_single, to + p.channels, NN_TYPE_F32);
        float addend = FETCH1(table_single, to + 2 * p.channels, NN_TYPE_F32);
        v[k] = (LD1(x, e - p.first + p.base[0], X_TYPE) - mean) * factor + addend;
    }
    v = nn_act4(ACT, v, p.a, p.b);
    ST4(result, id, v, OUT_TYPE)
}

void main()
{
    uint id = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    bool there = id < p.count;
    if (KIND == NN_GROUP_SINGLE) {
        if (there)
            single(id);
        return;
    }
    id = min(id, p.count - 1);
    vec4 mean, factor, addend;
    uint e, n, trips, step;
    if (KIND == NN_GROUP_CHANNELS) {
        uint fours = p.channels / 4, block = p.begin + id / fours, c = id % fours;
        uint unit = block / p.runs, run = block % p.runs, to = unit * 3 * fours + c;
        mean = FETCH4(table, to, NN_TYPE_F32);
        factor = FETCH4(table, to + fours, NN_TYPE_F32);
        addend = FETCH4(table, to + 2 * fours, NN_TYPE_F32);
        trips = min(p.run, p.positions - run * p.run);
        step = fours;
        e = (unit * p.positions + run * p.run) * fours + c;
    } else {
        uint block = p.begin + id, run = block % p.runs, whole = block / p.runs;
        uint unit = whole % p.units, channels = whole / p.units;
        uint n = channels / p.channels, channel = channels - n * p.channels;
        uint to = (n * p.units + unit) * 3 * p.channels + channel;
        mean = vec4(FETCH1(table_single, to, NN_TYPE_F32));
        factor = vec4(FETCH1(table_single, to + p.channels, NN_TYPE_F32));
        addend = vec4(FETCH1(table_single, to + 2 * p.channels, NN_TYPE_F32));
        trips = min(p.run, p.positions - run * p.run) / 4;
        step = 1;
        e = (whole * p.positions + run * p.run) / 4;
    }
    uint from = e - p.first / 4 + p.base[0] / 4, to = e - p.first / 4 + p.base[1] / 4;
    float a = p.a, b = p.b;
    // 16-bit results two a turn, both before the first store. Chosen by lane, so that CPU drivers do
    // not move the arithmetic into the store's loop over lanes.
    for (uint i = 0; i < trips; i += TURN) {
        bool more = TURN == 2 && there && i + 1 < trips;
        uint next = more ? step : 0;
        vec4 v = nn_act4(ACT, (LD4(x, from, X_TYPE) - mean) * factor + addend, a, b);
        vec4 w = nn_act4(ACT, (LD4(x, from + next, X_TYPE) - mean) * factor + addend, a, b);
        uvec4 vs = there ? nn_encode4(v, OUT_TYPE) : uvec4(0);
        uvec4 ws = more ? nn_encode4(w, OUT_TYPE) : uvec4(0);
        if (there)
            STW4(result, to, vs, OUT_TYPE)
        if (more)
            STW4(result, to + step, ws, OUT_TYPE)
        from += TURN * step;
        to += TURN * step;
    }
}
