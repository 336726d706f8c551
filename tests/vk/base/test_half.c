/* 16-bit floats (vk/base/half.h), exhaustively where there are 65536 cases. The reference is
 * written from the definitions in double, without bit tricks. */
#include "support/test.h"
#include "vk/base/half.h"

static double half_value(uint16_t h)
{
    int e = h >> 10 & 31, m = h & 0x3ff;
    double sign = h & 0x8000 ? -1 : 1;
    if (e == 31)
        return m ? NAN : sign * INFINITY;
    return sign * (e ? ldexp(1024 + m, e - 25) : ldexp(m, -24));
}

static double bf16_value(uint16_t h)
{
    int e = h >> 7 & 255, m = h & 127;
    double sign = h & 0x8000 ? -1 : 1;
    if (e == 255)
        return m ? NAN : sign * INFINITY;
    return sign * (e ? ldexp(128 + m, e - 134) : ldexp(m, -133));
}

static void every_half_widens_exactly(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        double want = half_value((uint16_t)h);
        float got = fv_f16_to_f32((uint16_t)h);
        if (isnan(want))
            assert_true(isnan(got));
        else
            assert_true((double)got == want && !!signbit(got) == !!(h & 0x8000));
    }
}

static void every_half_survives_a_round_trip(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        uint16_t back = fv_f32_to_f16(fv_f16_to_f32((uint16_t)h));
        if (isnan(half_value((uint16_t)h)))
            assert_true((back & 0x7c00) == 0x7c00 && back & 0x3ff);
        else
            assert_int_equal(back, h);
    }
}

/* Nearest of the two halfs around v >= 0, ties to the even one; 65520 and above is infinity. */
static uint16_t nearest_half(double v)
{
    uint16_t lo = 0, hi = 0x7c00;
    while (hi - lo > 1) {
        uint16_t mid = (uint16_t)((lo + hi) / 2);
        if (half_value(mid) <= v)
            lo = mid;
        else
            hi = mid;
    }
    double above = hi == 0x7c00 ? 65536 : half_value(hi), below = half_value(lo);
    if (v - below != above - v)
        return v - below < above - v ? lo : hi;
    return lo & 1 ? hi : lo;
}

static void check_rounding(float f)
{
    uint16_t got = fv_f32_to_f16(f), want = nearest_half(fabs((double)f));
    if (got != (want | (signbit(f) ? 0x8000 : 0)))
        fail_msg("%.9g became 0x%04x, expected 0x%04x", (double)f, got, want);
}

/* Around every half: the value, the midpoint to the next, and one float step to both sides. */
static void rounds_to_nearest_even(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x7c00; h++) {
        float v = (float)half_value((uint16_t)h);
        float next = h == 0x7bff ? 65536.0f : (float)half_value((uint16_t)(h + 1));
        float mid = 0.5f * (v + next);
        float list[] = {v, mid, nextafterf(mid, 0), nextafterf(mid, INFINITY),
                        nextafterf(v, INFINITY)};
        for (int i = 0; i < 5; i++) {
            check_rounding(list[i]);
            check_rounding(-list[i]);
        }
    }
    check_rounding(1.17549435e-38f);
}

static void special_values(void **state)
{
    (void)state;
    assert_int_equal(fv_f32_to_f16(INFINITY), 0x7c00);
    assert_int_equal(fv_f32_to_f16(-INFINITY), 0xfc00);
    assert_int_equal(fv_f32_to_f16(3.4e38f), 0x7c00);
    assert_int_equal(fv_f32_to_f16(65519.99f), 0x7bff);
    assert_int_equal(fv_f32_to_f16(65520.0f), 0x7c00);
    assert_int_equal(fv_f32_to_f16(-0.0f), 0x8000);
    assert_int_equal(fv_f32_to_f16(1e-40f), 0);
    for (uint32_t bits = 0x7f800001; bits < 0x7f900000; bits += 977) {
        assert_true((fv_f32_to_f16(fv_bits_f32(bits)) & 0x7fff) > 0x7c00);
        assert_true((fv_f32_to_bf16(fv_bits_f32(bits)) & 0x7fff) > 0x7f80);
    }
}

static void every_bf16_survives_a_round_trip(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        double want = bf16_value((uint16_t)h);
        float f = fv_bf16_to_f32((uint16_t)h);
        if (isnan(want)) {
            assert_true(isnan(f));
            continue;
        }
        assert_true((double)f == want);
        assert_int_equal(fv_f32_to_bf16(f), h);
    }
}

static void bf16_rounds_to_nearest_even(void **state)
{
    (void)state;
    assert_int_equal(fv_f32_to_bf16(fv_bits_f32(0x3f808000)), 0x3f80); /* tie, even below */
    assert_int_equal(fv_f32_to_bf16(fv_bits_f32(0x3f818000)), 0x3f82); /* tie, even above */
    assert_int_equal(fv_f32_to_bf16(fv_bits_f32(0x3f808001)), 0x3f81);
    assert_int_equal(fv_f32_to_bf16(fv_bits_f32(0x7f7fffff)), 0x7f80); /* overflow */
}

static void arrays_equal_single_values(void **state)
{
    enum { N = 1003 };
    float in[N], wide[N];
    uint16_t half[N];
    uint64_t seed = 5;
    (void)state;
    for (int i = 0; i < N; i++)
        in[i] = (float)test_uniform(&seed, -70000, 70000);
    fv_f32_to_f16_array(half, in, N);
    fv_f16_to_f32_array(wide, half, N);
    for (int i = 0; i < N; i++) {
        assert_int_equal(half[i], fv_f32_to_f16(in[i]));
        assert_true(wide[i] == fv_f16_to_f32(half[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half_widens_exactly),
        cmocka_unit_test(every_half_survives_a_round_trip),
        cmocka_unit_test(rounds_to_nearest_even),
        cmocka_unit_test(special_values),
        cmocka_unit_test(every_bf16_survives_a_round_trip),
        cmocka_unit_test(bf16_rounds_to_nearest_even),
        cmocka_unit_test(arrays_equal_single_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
