/* ggml's quantised blocks to floats, in the order of operations its own reference uses, so that
 * the results are equal bit for bit. Layouts (ggml-common.h), fields in order:
 *
 *   Q4_0   f16 d | 16 bytes: low nibbles are elements 0..15, high ones 16..31      (q - 8) d
 *   Q4_1   f16 d, m | 16 bytes                                                     q d + m
 *   Q5_0   f16 d | u32 fifth bits | 16 bytes                                       (q - 16) d
 *   Q5_1   f16 d, m | u32 fifth bits | 16 bytes                                    q d + m
 *   Q8_0   f16 d | 32 i8                                                           q d
 *   Q2_K   16 scales (4 bits scale, 4 min) | 64 bytes of 2 bits | f16 d, dmin
 *   Q3_K   32 bytes of third bits | 64 of 2 bits | 12 of 6-bit scales | f16 d
 *   Q4_K   f16 d, dmin | 12 bytes of 6-bit scales and mins | 128 of nibbles
 *   Q5_K   f16 d, dmin | 12 bytes as Q4_K | 32 of fifth bits | 128 of nibbles
 *   Q6_K   128 bytes of nibbles | 64 of upper 2 bits | 16 i8 scales | f16 d
 *   IQ4_NL as Q4_0 through a table of 16 levels
 *   IQ4_XS f16 d | u16 upper scale bits | 4 bytes of lower ones | 128 of nibbles, same table */
#include "vk/base/half.h"
#include "vk/nn/weights_private.h"

static const int8_t levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                  1,    13,   25,  38,  53,  69,  89,  113};

static uint16_t u16_at(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static float half_at(const uint8_t *p)
{
    return fv_f16_to_f32(u16_at(p));
}

static void q4_0(const uint8_t *b, float *y)
{
    float d = half_at(b);
    for (int j = 0; j < 16; j++) {
        y[j] = (float)((b[2 + j] & 15) - 8) * d;
        y[j + 16] = (float)((b[2 + j] >> 4) - 8) * d;
    }
}

static void q4_1(const uint8_t *b, float *y)
{
    float d = half_at(b), m = half_at(b + 2);
    for (int j = 0; j < 16; j++) {
        y[j] = (float)(b[4 + j] & 15) * d + m;
        y[j + 16] = (float)(b[4 + j] >> 4) * d + m;
    }
}

/* Fifth bits of elements j and j + 16. */
static int low_fifth(const uint8_t *bits, int j)
{
    return (bits[j / 8] >> j % 8 & 1) << 4;
}

static void q5_0(const uint8_t *b, float *y)
{
    float d = half_at(b);
    for (int j = 0; j < 16; j++) {
        y[j] = (float)(((b[6 + j] & 15) | low_fifth(b + 2, j)) - 16) * d;
        y[j + 16] = (float)(((b[6 + j] >> 4) | low_fifth(b + 4, j)) - 16) * d;
    }
}

static void q5_1(const uint8_t *b, float *y)
{
    float d = half_at(b), m = half_at(b + 2);
    for (int j = 0; j < 16; j++) {
        y[j] = (float)((b[8 + j] & 15) | low_fifth(b + 4, j)) * d + m;
        y[j + 16] = (float)((b[8 + j] >> 4) | low_fifth(b + 6, j)) * d + m;
    }
}

static void q8_0(const uint8_t *b, float *y)
{
    float d = half_at(b);
    for (int j = 0; j < 32; j++)
        y[j] = (float)(int8_t)b[2 + j] * d;
}

static void q2_k(const uint8_t *b, float *y)
{
    const uint8_t *q = b + 16;
    float d = half_at(b + 80), min = half_at(b + 82);
    for (int k = 0; k < 16; k++, y += 16) { /* runs of 16: two of 32 bytes at each of 4 shifts */
        const uint8_t *run = q + k / 8 * 32 + k % 2 * 16;
        float dl = d * (float)(b[k] & 15), ml = min * (float)(b[k] >> 4);
        for (int l = 0; l < 16; l++)
            y[l] = dl * (float)(run[l] >> k % 8 / 2 * 2 & 3) - ml;
    }
}

static void q3_k(const uint8_t *b, float *y)
{
    const uint8_t *q = b + 32, *s = b + 96;
    float d = half_at(b + 108);
    for (int k = 0; k < 16; k++, y += 16) {
        const uint8_t *run = q + k / 8 * 32 + k % 2 * 16, *high = b + k % 2 * 16;
        int low = k < 8 ? s[k] & 15 : s[k - 8] >> 4;
        float dl = d * (float)((low | (s[8 + k % 4] >> k / 4 * 2 & 3) << 4) - 32);
        for (int l = 0; l < 16; l++)
            y[l] = dl * (float)((run[l] >> k % 8 / 2 * 2 & 3) - (high[l] >> k / 2 & 1 ? 0 : 4));
    }
}

/* Scale and min number j of 8, 6 bits each, packed into 12 bytes. */
static void scale_min(const uint8_t *s, int j, int *scale, int *min)
{
    if (j < 4) {
        *scale = s[j] & 63;
        *min = s[j + 4] & 63;
    } else {
        *scale = (s[j + 4] & 15) | s[j - 4] >> 6 << 4;
        *min = s[j + 4] >> 4 | s[j] >> 6 << 4;
    }
}

/* fifth NULL: Q4_K. */
static void q45_k(const uint8_t *b, const uint8_t *fifth, const uint8_t *q, float *y)
{
    float d = half_at(b), dmin = half_at(b + 2);
    for (int j = 0; j < 8; j++, y += 32) {
        const uint8_t *run = q + j / 2 * 32;
        int scale, min;
        scale_min(b + 4, j, &scale, &min);
        float dl = d * (float)scale, ml = dmin * (float)min;
        for (int l = 0; l < 32; l++) {
            int v = j % 2 ? run[l] >> 4 : run[l] & 15;
            v += fifth && fifth[l] >> j & 1 ? 16 : 0;
            y[l] = dl * (float)v - ml;
        }
    }
}

static void q4_k(const uint8_t *b, float *y)
{
    q45_k(b, NULL, b + 16, y);
}

static void q5_k(const uint8_t *b, float *y)
{
    q45_k(b, b + 16, b + 48, y);
}

static void q6_k(const uint8_t *b, float *y)
{
    const uint8_t *low = b, *high = b + 128;
    float d = half_at(b + 208);
    for (int k = 0; k < 8; k++, y += 32) { /* runs of 32, four to each half of the block */
        const uint8_t *run = low + k / 4 * 64 + k % 2 * 32, *up = high + k / 4 * 32;
        for (int l = 0; l < 32; l++) {
            int v = k % 4 < 2 ? run[l] & 15 : run[l] >> 4;
            v = (v | (up[l] >> k % 4 * 2 & 3) << 4) - 32;
            y[l] = d * (float)(int8_t)b[192 + 2 * k + l / 16] * (float)v;
        }
    }
}

static void iq4_nl(const uint8_t *b, float *y)
{
    float d = half_at(b);
    for (int j = 0; j < 16; j++) {
        y[j] = d * (float)levels[b[2 + j] & 15];
        y[j + 16] = d * (float)levels[b[2 + j] >> 4];
    }
}

static void iq4_xs(const uint8_t *b, float *y)
{
    float d = half_at(b);
    unsigned high = u16_at(b + 2);
    for (int k = 0; k < 8; k++, y += 32) {
        const uint8_t *run = b + 8 + 16 * k;
        int low = b[4 + k / 2] >> k % 2 * 4 & 15;
        float dl = d * (float)((low | (int)(high >> 2 * k & 3) << 4) - 32);
        for (int j = 0; j < 16; j++) {
            y[j] = dl * (float)levels[run[j] & 15];
            y[j + 16] = dl * (float)levels[run[j] >> 4];
        }
    }
}

void nn_dequantize(enum nn_data type, const uint8_t *blocks, size_t n, float *out)
{
    static void (*const expand[NN_DATA_COUNT])(const uint8_t *, float *) = {
        [NN_DATA_Q4_0] = q4_0, [NN_DATA_Q4_1] = q4_1,     [NN_DATA_Q5_0] = q5_0,
        [NN_DATA_Q5_1] = q5_1, [NN_DATA_Q8_0] = q8_0,     [NN_DATA_Q2_K] = q2_k,
        [NN_DATA_Q3_K] = q3_k, [NN_DATA_Q4_K] = q4_k,     [NN_DATA_Q5_K] = q5_k,
        [NN_DATA_Q6_K] = q6_k, [NN_DATA_IQ4_NL] = iq4_nl, [NN_DATA_IQ4_XS] = iq4_xs,
    };
    for (size_t i = 0; i < n; i++)
        expand[type](blocks + i * nn_data_block_bytes(type), out + i * nn_data_block(type));
}
