// What the kernels of nn_conv that read channels last share: operands, options, and where a tap
// reads x (vk/nn/conv_tile.c).
#include "nn/common.glsl"
#include "nn/act.glsl"
#include "nn/conv_params.h"
layout(constant_id = 0) const uint X_TYPE = NN_TYPE_F32;
layout(constant_id = 1) const uint W_TYPE = NN_TYPE_F32;
layout(constant_id = 2) const uint OUT_TYPE = NN_TYPE_F32;
layout(constant_id = 3) const uint ACT = NN_ACT_IDENTITY;
layout(constant_id = 4) const uint BIAS_TYPE = 0; // 0: there is none
layout(constant_id = 5) const uint RESIDUAL_TYPE = 0;
layout(constant_id = 6) const uint ZEROS = 0;  // taps can lie outside x and count as zeros
layout(constant_id = 7) const uint BEFORE = 0; // frames before x are in `before`
layout(constant_id = 8) const uint UPSAMPLED = 0;
layout(constant_id = 9) const uint ODD = 0; // x's fours are no multiple of STEP
IN_F4(0, x)
IN_WORDS(1, x_bits) // the same, for bf16
IN_F4(2, before)
IN_WORDS(3, before_bits)
IN_F4(4, w)
IN_WORDS(5, w_bits)
IN_WORDS(6, bias)
IN_WORDS(7, residual)
OUT_WORDS(8, result)
layout(push_constant) uniform Push { nn_conv_tile_push p; };

const bool X_BITS = X_TYPE == NN_TYPE_BF16, W_BITS = W_TYPE == NN_TYPE_BF16;

ivec3 unpack(uint v)
{
    return ivec3(v & 1023u, v >> 10 & 1023u, v >> 20);
}

// Where along an axis of n (upsampled) elements the place `at` is read; inside is false where that
// is a zero.
int source(int at, int n, uint mode, float shrink, inout bool inside)
{
    if (mode == NN_CONV_REFLECT) {
        at = abs(at);
        at = at >= n ? 2 * n - 2 - at : at;
    }
    int held = clamp(at, 0, n - 1);
    inside = inside && (mode != NN_CONV_ZERO || held == at);
    return UPSAMPLED == 0 ? held : int((float(held) + 0.5) * shrink);
}

// Where a tap reads.
struct Place {
    uint x, before; // fours
    bool inside;    // else a zero
    bool early;     // in `before`
};

// q: the tap's place in padded, upsampled x, less the padding; size: of upsampled x.
Place place_of(ivec3 q, ivec3 pad, ivec3 size, vec3 shrink)
{
    Place at;
    bool inside = true, inside_t = true;
    uint frame = min(uint(q.x + pad.x), uint(pad.x) - 1);
    at.early = BEFORE != 0 && q.x < 0;
    q.x = source(q.x, size.x, p.modes & 3u, shrink.x, inside_t);
    q.y = source(q.y, size.y, p.modes >> 2 & 3u, shrink.y, inside);
    q.z = source(q.z, size.z, p.modes >> 4, shrink.z, inside);
    at.inside = inside && (at.early || inside_t);
    at.x = (p.x_base + uint(q.x) * p.x_stride[0] + uint(q.y) * p.x_stride[1] +
            uint(q.z) * p.x_stride[2]) / 4;
    at.before = BEFORE == 0 ? 0
                            : (p.before_base + frame * p.before_stride[0] +
                               uint(q.y) * p.before_stride[1] + uint(q.z) * p.before_stride[2]) / 4;
    return at;
}

vec4 fetch(uint i)
{
    if (X_BITS)
        return LD4(x_bits, i, X_TYPE);
    return FETCH4(x, i, X_TYPE);
}

vec4 fetch_before(uint i)
{
    if (X_BITS)
        return LD4(before_bits, i, X_TYPE);
    return FETCH4(before, i, X_TYPE);
}

// The k-th four of channels at a place; there: it counts.
vec4 fetch_at(Place at, uint k, bool there)
{
    vec4 v = fetch(at.x + k);
    if (BEFORE != 0) {
        vec4 u = fetch_before(at.before + k);
        v = at.early ? u : v;
    }
    if (ZEROS != 0 || ODD != 0)
        v = at.inside && there ? v : vec4(0);
    return v;
}

vec4 fetch_w(uint i)
{
    if (W_BITS)
        return LD4(w_bits, i, W_TYPE);
    return FETCH4(w, i, W_TYPE);
}

// What finishes a result, read before the loops: CPU drivers fetch push constants anew after stores.
struct Ends {
    uint columns, count, out_base, residual_base; // fours, positions, fours
    float a, b;
    vec4 addend;
};

// n: four of the result's channels.
Ends ends_of(uint n)
{
    Ends e = Ends(p.out_fours, p.count, p.out_base / 4, p.residual_base / 4, p.act_a, p.act_b,
                  vec4(0));
    if (BIAS_TYPE != 0)
        e.addend = LD4(bias, p.bias_base / 4 + n, BIAS_TYPE);
    return e;
}

// Four channels from 4 n on of position m of this dispatch. The stored value is a choice so that
// CPU drivers do not move its arithmetic into the store, a loop over lanes.
void finish(Ends e, uint m, uint n, vec4 sum)
{
    bool there = n < e.columns && m < e.count;
    uint at = m * e.columns + n;
    sum = nn_act4(ACT, sum + e.addend, e.a, e.b);
    if (RESIDUAL_TYPE != 0)
        sum += LD4(residual, e.residual_base + at, RESIDUAL_TYPE);
    sum = there ? sum : vec4(0);
    if (there)
        ST4(result, e.out_base + at, sum, OUT_TYPE)
}
