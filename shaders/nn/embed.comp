#version 460
// result[i][d] = table[ids[i]][d] (nn_embed, vk/nn/embed.c): rows [p.row, p.row + p.rows) of the
// table, which may be larger than a binding; the first part also writes NaN for ids that are in no
// row. FOUR: features are a multiple of four and an invocation copies four; else it makes four
// results in a row, and the table is one part.
#include "nn/common.glsl"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint FOUR = 1;
layout(constant_id = 2) const uint TYPE = NN_TYPE_F32;
IN_WORDS(0, ids)
IN_WORDS(1, table)
OUT_WORDS(2, result)
layout(push_constant) uniform Push { nn_embed_push p; };

const uint NAN = TYPE == NN_TYPE_F32 ? 0x7fc00000u : TYPE == NN_TYPE_F16 ? 0x7e00u : 0x7fc0u;

uint element(uint e)
{
    uvec2 at = nn_divide(e, p.features);
    uint id = LDW1(ids, p.id_base + at.x, NN_TYPE_I32);
    return id < p.all_rows ? LDW1(table, p.base + id * p.features + at.y, TYPE) : NAN;
}

void main()
{
    uint i = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (i >= p.count)
        return;
    uvec4 w;
    if (FOUR == 1) {
        uint fours = p.features / 4;
        uvec2 place = nn_divide(p.begin / 4 + i, fours);
        uint id = LDW1(ids, p.id_base + place.x, NN_TYPE_I32);
        bool here = id >= p.row && id - p.row < p.rows, nowhere = id >= p.all_rows && p.row == 0;
        if (!here && !nowhere)
            return;
        uint at = p.base / 4 + (here ? id - p.row : 0) * fours + place.y;
        w = LDW4(table, at, TYPE);
        uint n = nn_wide(TYPE) ? NAN : NAN | NAN << 16;
        w = nowhere ? uvec4(n) : w;
    } else {
        uint e = p.begin + 4 * i;
        w = uvec4(element(e), element(min(e + 1, p.last)), element(min(e + 2, p.last)),
                  element(min(e + 3, p.last)));
        if (!nn_wide(TYPE))
            w = uvec4(w.x | w.y << 16, w.z | w.w << 16, 0, 0);
    }
    STW4(result, i, w, TYPE)
}
