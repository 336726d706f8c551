/* Noise: known answers of the generator, the same bits on host and device, normality. */
#include "support/tensors.h"

static void the_generator_gives_the_published_answers(void **state)
{
    static const struct {
        uint32_t counter[4];
        uint64_t key;
        uint32_t want[4];
    } rows[] = {
        {{0, 0, 0, 0}, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{~0u, ~0u, ~0u, ~0u}, ~UINT64_C(0), {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         UINT64_C(0x299f31d0a4093822),
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint32_t got[4];
        nn_philox(got, rows[i].counter, rows[i].key);
        assert_memory_equal(got, rows[i].want, sizeof got);
    }
}

/* Fixed for ever: seeds in users' files mean these values. */
static void the_values_of_a_seed_do_not_change(void **state)
{
    float got[8];
    uint32_t bits[8];
    static const uint32_t want[8] = {0xbf785e5b, 0x3e46ace7, 0xbf9e28d2, 0x3ff6433b,
                                     0xbd95e02f, 0x3e0e7a0f, 0xbf8da733, 0x3ea742fd};
    (void)state;
    nn_normal(got, 42, 0, 8);
    memcpy(bits, got, sizeof bits);
    for (int i = 0; i < 8; i++)
        if (bits[i] != want[i])
            fail_msg("[%d] = 0x%08x (%g), expected 0x%08x", i, bits[i], (double)got[i], want[i]);
}

static void device_and_host_agree_in_every_bit(void **state)
{
    static const struct {
        uint64_t seed, first;
        uint32_t n;
    } rows[] = {{0, 0, 1},
                {42, 0, 100003},
                {42, 1, 4099},
                {~UINT64_C(0), 2, 4099},
                {7, 3, 5},
                {1, (UINT64_C(1) << 34) - 6, 64},
                {9, UINT64_C(0x123456789abc), 64}};
    struct tensors t;
    (void)state;
    tensors_begin(&t);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint32_t n = rows[i].n;
        uint32_t *want = malloc(4 * n), *got = malloc(4 * n);
        nn_normal((float *)want, rows[i].seed, rows[i].first, n);
        nn_tensor y = nn_randn(t.r, rows[i].seed, rows[i].first, NN_SHAPE(n));
        assert_ok(nn_end(t.r));
        assert_ok(nn_run(t.r));
        assert_ok(nn_fetch(got, y));
        for (uint32_t k = 0; k < n; k++)
            if (got[k] != want[k])
                fail_msg("row %zu [%u]: 0x%08x, expected 0x%08x", i, k, got[k], want[k]);
        free(want);
        free(got);
        nn_begin(t.r);
    }
    tensors_end(&t);
}

static void any_part_of_the_stream_can_be_had(void **state)
{
    float all[40], part[13];
    (void)state;
    nn_normal(all, 3, 100, 40);
    for (uint64_t first = 100; first < 125; first++) {
        nn_normal(part, 3, first, 13);
        assert_memory_equal(part, all + (first - 100), sizeof part);
    }
    nn_normal(part, 4, 100, 13);
    assert_memory_not_equal(part, all, sizeof part);
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Moments within five standard errors, and Kolmogorov-Smirnov's distance below its 0.1 % point. */
static void the_values_are_normal(void **state)
{
    enum { COUNT = 1 << 20 };
    float *v = malloc(4 * COUNT);
    double m[5] = {0}, lag = 0, distance = 0;
    (void)state;
    nn_normal(v, 2024, 0, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        double x = (double)v[i], p = 1;
        for (int k = 1; k < 5; k++)
            m[k] += (p *= x) / COUNT;
        lag += i ? x * (double)v[i - 1] / COUNT : 0;
    }
    double se = 1 / sqrt(COUNT);
    assert_near(m[1], 0, 5 * se);
    assert_near(m[2], 1, 5 * sqrt(2) * se);
    assert_near(m[3], 0, 5 * sqrt(15) * se);
    assert_near(m[4], 3, 5 * sqrt(96) * se);
    assert_near(lag, 0, 5 * se);
    qsort(v, COUNT, sizeof *v, by_value);
    for (size_t i = 0; i < COUNT; i++) {
        double cdf = 0.5 * erfc(-(double)v[i] / sqrt(2));
        distance = fmax(distance,
                        fmax(fabs(cdf - (double)i / COUNT), fabs(cdf - (double)(i + 1) / COUNT)));
    }
    assert_true(distance < 1.95 * se);
    assert_true(v[0] < -4.3f && v[0] > -6.7f && v[COUNT - 1] > 4.3f && v[COUNT - 1] < 6.7f);
    free(v);
}

/* Against Box-Muller in double of the same words: what the integers approximate. */
static void integers_are_close_to_the_exact_transform(void **state)
{
    float got[4];
    (void)state;
    for (uint32_t i = 0; i < 10000; i++) {
        uint32_t c[4] = {i, 0, 0, 0}, u[4];
        nn_philox(u, c, 5);
        nn_normal(got, 5, 4ull * i, 4);
        for (int k = 0; k < 4; k += 2) {
            double r = sqrt(-2 * log(ldexp(u[k] | 1, -32)));
            double a = 2 * M_PI * ldexp((double)u[k + 1] + 0.5, -32);
            assert_near((double)got[k], r * cos(a), 2e-6);
            assert_near((double)got[k + 1], r * sin(a), 2e-6);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_generator_gives_the_published_answers),
        cmocka_unit_test(the_values_of_a_seed_do_not_change),
        cmocka_unit_test(device_and_host_agree_in_every_bit),
        cmocka_unit_test(any_part_of_the_stream_can_be_had),
        cmocka_unit_test(the_values_are_normal),
        cmocka_unit_test(integers_are_close_to_the_exact_transform),
    };
    test_device();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_device_done();
    return failed;
}
