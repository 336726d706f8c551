/* 16-bit floats: IEEE binary16 and bfloat16, one value and arrays. Round to nearest even;
 * values beyond the range become infinity; NaN stays NaN. */
#ifndef FV_HALF_H
#define FV_HALF_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline float fv_bits_f32(uint32_t u)
{
    float f;
    memcpy(&f, &u, 4);
    return f;
}

static inline uint32_t fv_f32_bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}

/* Written with selects instead of branches so that loops over arrays vectorise. */
static inline uint16_t fv_f32_to_f16(float f)
{
    uint32_t x = fv_f32_bits(f), sign = x >> 16 & 0x8000, a = x & 0x7fffffff;
    /* subnormal halfs: adding 0.5 lines the mantissa up so that the FPU rounds it */
    uint32_t sub = fv_f32_bits(fv_bits_f32(a) + 0.5f) - 0x3f000000;
    uint32_t normal = (a - 0x38000000 + 0xfff + (a >> 13 & 1)) >> 13;
    uint32_t h = a < 0x38800000 ? sub : normal;
    h = a >= 0x477ff000 ? 0x7c00 : h;
    h = a > 0x7f800000 ? 0x7e00 : h;
    return (uint16_t)(sign | h);
}

static inline float fv_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, e = h >> 10 & 31, m = h & 0x3ff;
    if (e == 31)
        return fv_bits_f32(sign | 0x7f800000 | m << 13);
    if (e)
        return fv_bits_f32(sign | (e + 112) << 23 | m << 13);
    float f = (float)m * 0x1p-24f;
    return sign ? -f : f;
}

static inline uint16_t fv_f32_to_bf16(float f)
{
    uint32_t x = fv_f32_bits(f);
    if ((x & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(x >> 16 | 0x40);
    return (uint16_t)((x + 0x7fff + (x >> 16 & 1)) >> 16);
}

static inline float fv_bf16_to_f32(uint16_t h)
{
    return fv_bits_f32((uint32_t)h << 16);
}

void fv_f32_to_f16_array(uint16_t *out, const float *in, size_t n);
void fv_f16_to_f32_array(float *out, const uint16_t *in, size_t n);

#endif
