// Shared by the tensor kernels: extensions, operands as texel or storage buffers, element types.
//
// A kernel is built as `.tex` (TEX defined: big operands are texel buffers, whose fetches are
// branch-free gathers on CPU drivers, 2-5 times faster than storage loads) and `.ssbo`. Element
// types are specialisation constants, so neither form needs a variant a type.
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_samplerless_texture_functions : require
#include "nn/params.h"

// Index of a workgroup where groups are spread over x and y (nn_dispatch); the last ones may have
// nothing to do.
#define GROUP_ID (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x)

bool nn_wide(uint type)
{
    return type == NN_TYPE_F32 || type == NN_TYPE_I32;
}

// (n / d, n % d) for n < 2^31, d > 0. CPU drivers have no vector division of integers and take the
// lanes one by one; two estimates by floats leave a quotient that is at most one off.
uvec2 nn_divide(uint n, uint d)
{
    float inverse = 1.0 / float(int(d));
    int q = int(float(int(n)) * inverse), r = int(n) - q * int(d);
    int more = int(float(r) * inverse);
    q += more;
    r -= more * int(d);
    int fix = int(r >= int(d)) - int(r < 0);
    return uvec2(q + fix, r - fix * int(d));
}

// ---- bits to floats and back ----

vec4 nn_decode4(uvec4 w, uint type)
{
    if (type == NN_TYPE_F32)
        return uintBitsToFloat(w);
    if (type == NN_TYPE_F16)
        return vec4(unpackHalf2x16(w.x), unpackHalf2x16(w.y));
    return uintBitsToFloat(uvec4(w.x << 16, w.x & 0xffff0000u, w.y << 16, w.y & 0xffff0000u));
}

float nn_decode1(uint w, uint type)
{
    if (type == NN_TYPE_F32)
        return uintBitsToFloat(w);
    if (type == NN_TYPE_F16)
        return unpackHalf2x16(w).x;
    return uintBitsToFloat(w << 16);
}

// Round to nearest even; a NaN stays one.
uint nn_bf16(float f)
{
    uint x = floatBitsToUint(f);
    return (x & 0x7fffffffu) > 0x7f800000u ? x >> 16 | 0x40u
                                           : (x + 0x7fffu + (x >> 16 & 1u)) >> 16;
}

// packHalf2x16 may round as the driver likes; this rounds to nearest even: the addition of a power of
// two 13 bits up shifts out what a half has no place for. Below 2^-14 that power stays, which is how
// halfs become subnormal; the sum's digits carry into the exponent where they round up to the next.
uint nn_f16(float f)
{
    uint x = floatBitsToUint(f), a = x & 0x7fffffffu, c = min(a, 0x47800000u /* 2^16: infinity */);
    uint power = max(c & 0x7f800000u, 0x38800000u);
    uint sum = floatBitsToUint(uintBitsToFloat(c) + uintBitsToFloat(power + (13u << 23)));
    uint h = sum - power - (13u << 23) + (power >> 13) - (113u << 10);
    h = a > 0x7f800000u ? 0x7e00u : h;
    return (x >> 16 & 0x8000u) | h;
}

uint nn_encode1(float v, uint type)
{
    return type == NN_TYPE_F32 ? floatBitsToUint(v) : type == NN_TYPE_F16 ? nn_f16(v) : nn_bf16(v);
}

// The words of four elements: all four, or the first two for 16-bit types.
uvec4 nn_encode4(vec4 v, uint type)
{
    if (type == NN_TYPE_F32)
        return floatBitsToUint(v);
    if (type == NN_TYPE_F16)
        return uvec4(nn_f16(v.x) | nn_f16(v.y) << 16, nn_f16(v.z) | nn_f16(v.w) << 16, 0, 0);
    return uvec4(nn_bf16(v.x) | nn_bf16(v.y) << 16, nn_bf16(v.z) | nn_bf16(v.w) << 16, 0, 0);
}

// ---- operands ----

// IN_WORDS: elements as bits, NN_WORDS4 or NN_WORDS1 in C; read by LD4, LD1 as floats, LDW4, LDW1
// as bits. IN_F4, IN_F1: floats of f32 or f16, NN_READ4 or NN_READ1; read by FETCH4, FETCH1.
// LDQ: 16 bytes of what is bound as NN_READ_UVEC4.
// type: the operand's element type, a constant. i counts fours, respectively elements.
#ifdef TEX
#define IN_WORDS(slot, name) layout(binding = slot) uniform utextureBuffer name;
#define LDW4(name, i, type) texelFetch(name, int(i))
#define LDW1(name, i, type) texelFetch(name, int(i)).x
#define LDQ(name, i) texelFetch(name, int(i))
#define IN_F4(slot, name) layout(binding = slot) uniform textureBuffer name;
#define IN_F1(slot, name) layout(binding = slot) uniform textureBuffer name;
#define FETCH4(name, i, type) texelFetch(name, int(i))
#define FETCH1(name, i, type) texelFetch(name, int(i)).x
#else
#define IN_WORDS(slot, name)                                                                       \
    layout(binding = slot) readonly buffer name##_b4 { uvec4 name##_4[]; };                        \
    layout(binding = slot) readonly buffer name##_b2 { uvec2 name##_2[]; };                        \
    layout(binding = slot) readonly buffer name##_b1 { uint name##_1[]; };
#define LDW4(name, i, type) (nn_wide(type) ? name##_4[i] : uvec4(name##_2[i], 0, 0))
#define LDW1(name, i, type)                                                                        \
    (nn_wide(type) ? name##_1[i] : name##_1[(i) >> 1] >> (16 * ((i) & 1)) & 0xffffu)
#define LDQ(name, i) name##_4[i]
#define IN_F4(slot, name) IN_WORDS(slot, name)
#define IN_F1(slot, name) IN_WORDS(slot, name)
#define FETCH4(name, i, type) nn_decode4(LDW4(name, i, type), type)
#define FETCH1(name, i, type) nn_decode1(LDW1(name, i, type), type)
#endif
#define LD4(name, i, type) nn_decode4(LDW4(name, i, type), type)
#define LD1(name, i, type) nn_decode1(LDW1(name, i, type), type)

// A result, NN_STORAGE in C. ST4 writes four elements, STW4 the words of four. One 16-bit element
// cannot be written alone: see copy.comp.
#define OUT_WORDS(slot, name)                                                                      \
    layout(binding = slot) buffer name##_b4 { uvec4 name##_4[]; };                                 \
    layout(binding = slot) buffer name##_b2 { uvec2 name##_2[]; };                                 \
    layout(binding = slot) buffer name##_b1 { uint name##_1[]; };
// One that invocations of a workgroup read again: LD_INOUT4 after a barrier.
#define INOUT_WORDS(slot, name)                                                                    \
    layout(binding = slot) coherent buffer name##_b4 { uvec4 name##_4[]; };                        \
    layout(binding = slot) coherent buffer name##_b2 { uvec2 name##_2[]; };
#define LD_INOUT4(name, i, type)                                                                   \
    nn_decode4(nn_wide(type) ? name##_4[i] : uvec4(name##_2[i], 0, 0), type)
#define STW4(name, i, words, type)                                                                 \
    {                                                                                              \
        if (nn_wide(type))                                                                         \
            name##_4[i] = words;                                                                   \
        else                                                                                       \
            name##_2[i] = (words).xy;                                                              \
    }
#define ST4(name, i, v, type) STW4(name, i, nn_encode4(v, type), type)
