#version 460
// result[i] = x[i - before], elements beyond x's edges being a value, the edge's or mirrored ones
// (nn_pad, vk/nn/layout.c). The last RANK axes, x packed; an invocation makes four in a row, whose
// places it finds by counting on from the first, or from the rows they are of.
#include "nn/common.glsl"
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint MODE = 0;
layout(constant_id = 2) const uint TYPE = NN_TYPE_F32;
layout(constant_id = 3) const uint RANK = NN_RANK;
layout(constant_id = 4) const bool TWO_ROWS = false; // at most, of four results: rows are of four or more
IN_WORDS(0, x)
OUT_WORDS(1, result)
layout(push_constant) uniform Push { nn_pad_push p; };

const uint LAST = NN_RANK - 1; // axis
uint index[NN_RANK];           // of the result's element

void place(uint e)
{
    [[unroll]] for (uint k = 0; k + 1 < RANK; k++) {
        uint axis = NN_RANK - 1 - k;
        uvec2 qr = nn_divide(e, p.shape[axis]);
        index[axis] = qr.y;
        e = qr.x;
    }
    index[NN_RANK - RANK] = e;
}

void advance()
{
    uint carry = 1;
    [[unroll]] for (uint k = 0; k < RANK; k++) {
        uint axis = NN_RANK - 1 - k, i = index[axis] + carry;
        bool wraps = k + 1 < RANK && i == p.shape[axis];
        index[axis] = wraps ? 0 : i;
        carry = uint(wraps);
    }
}

// Where an axis' element comes from; inside is lost beyond the edges.
uint source(uint axis, uint of, inout bool inside)
{
    int n = int(p.from[axis]), i = int(of) - int(p.before[axis]);
    inside = inside && uint(i) < uint(n);
    if (MODE == NN_PADDING_REFLECT)
        i = i < 0 ? -i : i >= n ? 2 * n - 2 - i : i;
    return uint(clamp(i, 0, n - 1));
}

// x's row that a row of the result comes from.
struct row {
    uint at;
    bool inside;
};

row row_of()
{
    row r = row(0, true);
    uint step = p.from[LAST];
    [[unroll]] for (uint k = 1; k < RANK; k++) {
        r.at += step * source(LAST - k, index[LAST - k], r.inside);
        step *= p.from[LAST - k];
    }
    return r;
}

uint element(row r, uint column)
{
    uint w = LDW1(x, r.at + source(LAST, column, r.inside), TYPE);
    return MODE == NN_PADDING_VALUE && !r.inside ? p.value : w;
}

void main()
{
    uint i = GROUP_ID * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    bool there = i < p.count;
    place(p.begin + 4 * min(i, p.count - 1));
    uint column = index[LAST], width = p.shape[LAST];
    uvec4 w;
    if (TWO_ROWS) {
        row here = row_of();
        index[LAST] = width - 1;
        advance();
        row next = row_of();
        [[unroll]] for (uint k = 0; k < 4; k++) {
            bool over = column + k >= width;
            row r = row(over ? next.at : here.at, over ? next.inside : here.inside);
            w[k] = element(r, column + k - (over ? width : 0));
        }
    } else {
        [[unroll]] for (uint k = 0; k < 4; k++) {
            w[k] = element(row_of(), index[LAST]);
            advance();
        }
    }
    if (!nn_wide(TYPE))
        w = uvec4(w.x | w.y << 16, w.z | w.w << 16, 0, 0);
    // a choice, so that CPU drivers do not move the arithmetic into the store's loop over lanes
    w = there ? w : uvec4(0);
    if (there)
        STW4(result, i, w, TYPE)
}
