/* Seeded normal noise (nn.h): shaders/nn/noise.comp and its twin here, bit for bit.
 *
 * Philox4x32-10 (Salmon and others, "Parallel random numbers: as easy as 1, 2, 3", 2011) with the
 * seed as key and element / 4 as counter; Box-Muller on pairs of its words. Everything after the
 * generator is integer arithmetic too, so nothing depends on how a device rounds, contracts or
 * approximates: 2^-26 in -log2(u), 2^-28 in the radius, 2^-31 in sine and cosine. */
#include "shaders/nn/params.h"
#include "vk/base/half.h"
#include "vk/nn/op.h"

enum { GROUP = 64 };

static uint32_t mul_high(uint32_t a, uint32_t b)
{
    return (uint32_t)((uint64_t)a * b >> 32);
}

static void philox(uint32_t c[4], uint64_t seed)
{
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int i = 0; i < 10; i++) {
        uint64_t a = (uint64_t)0xD2511F53 * c[0], b = (uint64_t)0xCD9E8D57 * c[2];
        uint32_t next[4] = {(uint32_t)(b >> 32) ^ c[1] ^ k0, (uint32_t)b,
                            (uint32_t)(a >> 32) ^ c[3] ^ k1, (uint32_t)a};
        c[0] = next[0];
        c[1] = next[1];
        c[2] = next[2];
        c[3] = next[3];
        k0 += 0x9E3779B9;
        k1 += 0xBB67AE85;
    }
}

void nn_philox(uint32_t out[4], const uint32_t counter[4], uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        out[i] = counter[i];
    philox(out, seed);
}

static uint32_t minus_log2(uint32_t u)
{
    uint32_t x = u | 1, shift = (uint32_t)__builtin_clz(x), m = x << shift, bits = 0;
    for (int i = 0; i < 26; i++) {
        uint32_t square = mul_high(m, m);
        bits = bits << 1 | square >> 31;
        m = square >> 31 ? square : square << 1;
    }
    return ((shift + 1) << 26) - bits;
}

static uint32_t radius(uint32_t l)
{
    uint64_t square = (uint64_t)l * NN_NOISE_2LN2;
    uint32_t root = 0;
    for (int i = 31; i >= 0; i--) {
        uint32_t next = root | 1u << i;
        root = (uint64_t)next * next <= square ? next : root;
    }
    return root;
}

static uint32_t sine(uint32_t t)
{
    static const uint32_t k[] = {NN_NOISE_S5, NN_NOISE_S4, NN_NOISE_S3,
                                 NN_NOISE_S2, NN_NOISE_S1, NN_NOISE_S0};
    uint32_t s = mul_high(t, t), v = NN_NOISE_S6;
    for (int i = 0; i < 6; i++)
        v = k[i] - mul_high(s, v);
    return mul_high(t, v);
}

static float to_float(uint32_t v, bool negative)
{
    if (!v)
        return 0;
    uint32_t top = 31 - (uint32_t)__builtin_clz(v);
    uint32_t mantissa = top > 23 ? v >> (top - 23) : v << (23 - top);
    return fv_bits_f32((top + 100) << 23 | (mantissa & 0x7fffff) | (negative ? 0x80000000 : 0));
}

static void box_muller(float out[2], uint32_t u, uint32_t v)
{
    uint32_t r = radius(minus_log2(u)), t = v << 2 | 2, quadrant = v >> 30;
    uint32_t c = mul_high(r, sine(~t)), s = mul_high(r, sine(t));
    out[0] = to_float(quadrant & 1 ? s : c, quadrant == 1 || quadrant == 2);
    out[1] = to_float(quadrant & 1 ? c : s, quadrant >= 2);
}

void nn_normal(float *out, uint64_t seed, uint64_t first, size_t n)
{
    float four[4];
    uint64_t have = UINT64_MAX; /* whose four these are */
    for (size_t i = 0; i < n; i++) {
        uint64_t at = first + i;
        if (at / 4 != have) {
            uint32_t c[4] = {(uint32_t)(at / 4), (uint32_t)(at / 4 >> 32), 0, 0};
            have = at / 4;
            philox(c, seed);
            box_muller(four, c[0], c[1]);
            box_muller(four + 2, c[2], c[3]);
        }
        out[i] = four[at % 4];
    }
}

nn_tensor nn_randn(struct nn_rec *r, uint64_t seed, uint64_t first, uint32_t rank,
                   const uint32_t *shape)
{
    if (!nn_op(r, "nn_randn", 0, NULL))
        return (nn_tensor){0};
    nn_tensor y = nn_out(r, NN_F32, rank, shape);
    uint64_t count = nn_count(y), part = nn_storage_max(r) / 4;
    for (uint64_t at = 0; at < count && !nn_is_null(y); at += part) {
        uint64_t n = count - at < part ? count - at : part, from = first + at;
        struct nn_noise_push push = {
            .seed_low = (uint32_t)seed,
            .seed_high = (uint32_t)(seed >> 32),
            .first_low = (uint32_t)(from / 4),
            .first_high = (uint32_t)(from / 4 >> 32),
            .skip = (uint32_t)(from % 4),
            .count = (uint32_t)((n + 3) / 4),
        };
        nn_dispatch(r, &(struct nn_call){.shader = "nn/noise",
                                         .plain = true,
                                         .spec = {GROUP},
                                         .nspec = 1,
                                         .bind = {{y, NN_STORAGE, at, n}},
                                         .nbind = 1,
                                         .push = &push,
                                         .push_size = sizeof push,
                                         .groups = (push.count + GROUP - 1) / GROUP,
                                         .bytes = 4.0 * (double)n});
    }
    return nn_op_end(r, y);
}
