/* diffusion/scheduler.c, schedule.c: ways to data that are known, and how fast they get there. */
#include "diffusion/diffusion.h"
#include "support/test.h"

#include <math.h>

enum { N = 3 };
static const double middle = 1.5, spread = 0.3;

/* What a perfect model says of data that are normal about `middle`: the mean of the data there,
 * less noise. */
static float velocity(double z, double share, double wide)
{
    double keep = 1 - share, var = keep * keep * wide * wide + share * share;
    double data = middle + keep * wide * wide / var * (z - keep * middle);
    return (float)((data - z) / share);
}

/* How far a way of so many steps ends from where the exact path does. */
static double error_of(enum df_method method, uint32_t steps, float start, double wide)
{
    static const float first[N] = {-1.2f, 0.3f, 2};
    struct df_scheduler *s;
    struct df_schedule schedule = {.steps = steps, .start = start};
    float times[64], share[64], z[N], v[N];
    double worst = 0, from = start > 0 ? (double)start : 1;
    assert_true(steps <= 64);
    df_times(&schedule, times);
    for (uint32_t i = 0; i < steps; i++)
        share[i] = times[i] / 1000;
    assert_ok(df_scheduler_create(&s, method, share, steps, N));
    double wide_there = sqrt((1 - from) * (1 - from) * wide * wide + from * from);
    for (int i = 0; i < N; i++)
        z[i] = (float)((1 - from) * middle + wide_there * (double)first[i]);
    for (uint32_t e = 0; e < df_scheduler_evaluations(s); e++) {
        for (int i = 0; i < N; i++)
            v[i] = velocity(z[i], share[df_scheduler_place(s, e)], wide);
        df_scheduler_step(s, e, v, z);
    }
    for (int i = 0; i < N; i++)
        worst = fmax(worst, fabs((double)z[i] - (middle + wide * (double)first[i])));
    df_scheduler_destroy(&s);
    return worst;
}

static void one_point_is_exact(void **state)
{
    (void)state;
    for (int m = DF_EULER; m <= DF_DPMPP; m++)
        for (uint32_t steps = 1; steps < 12; steps++) {
            assert_near(error_of((enum df_method)m, steps, 0, 0), 0, 2e-5);
            assert_near(error_of((enum df_method)m, steps, 0.9f, 0), 0, 2e-5);
        }
}

static void second_order_is_nearer(void **state)
{
    (void)state;
    double euler = error_of(DF_EULER, 40, 0, spread), half = error_of(DF_EULER, 20, 0, spread);
    assert_true(euler > 1e-3 && half / euler > 1.6 && half / euler < 2.4); /* first order */
    for (int m = DF_HEUN; m <= DF_DPMPP; m++) {
        double fine = error_of((enum df_method)m, 40, 0, spread);
        double coarse = error_of((enum df_method)m, 10, 0, spread);
        assert_true(fine < euler / 4);
        assert_true(fine < coarse / 5);
        assert_true(error_of((enum df_method)m, 40, 0.94f, spread) <
                    error_of(DF_EULER, 40, 0.94f, spread) / 2);
    }
    assert_true(error_of(DF_UNIPC, 20, 0, spread) <
                error_of(DF_DPMPP, 20, 0, spread)); /* the corrector helps */
}

static void counts_evaluations(void **state)
{
    (void)state;
    static const float share[3] = {1, 0.6f, 0.2f};
    static const uint32_t heun[5] = {0, 1, 1, 2, 2};
    struct df_scheduler *s;
    assert_ok(df_scheduler_create(&s, DF_HEUN, share, 3, 1));
    assert_int_equal(df_scheduler_evaluations(s), 5);
    for (uint32_t e = 0; e < 5; e++)
        assert_int_equal(df_scheduler_place(s, e), heun[e]);
    df_scheduler_destroy(&s);
    assert_ok(df_scheduler_create(&s, DF_UNIPC, share, 3, 1));
    assert_int_equal(df_scheduler_evaluations(s), 3);
    df_scheduler_destroy(&s);
}

static void times_begin_where_asked(void **state)
{
    (void)state;
    static const struct df_schedule rows[] = {
        {.steps = 10, .start = 0.94f},
        {.steps = 10, .start = 0.94f, .shift = 3},
        {.steps = 10,
         .start = 0.94f,
         .transform = true,
         .pixel_height = 240,
         .pixel_width = 426,
         .frames = 51},
        {.steps = 10, .start = 0.94f, .least = 0.01f},
        {.steps = 10,
         .start = 0.94f,
         .transform = true,
         .pixel_height = 64,
         .pixel_width = 64,
         .frames = 9},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        float t[10];
        df_times(&rows[i], t);
        assert_near(t[0], 940, 1e-2);
        for (int k = 1; k < 10; k++)
            assert_true(t[k] < t[k - 1] && t[k] > 0);
    }
    float t[4];
    df_times(&(struct df_schedule){.steps = 4, .least = 0.1f}, t);
    assert_near(t[1], 700, 1e-2);
    assert_near(t[3], 100, 1e-2);
    df_times(&(struct df_schedule){.steps = 4, .shift = 3}, t);
    assert_near(t[2], 750, 1e-2); /* 3 / 2 of 4 / 2 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_point_is_exact),
        cmocka_unit_test(second_order_is_nearer),
        cmocka_unit_test(counts_evaluations),
        cmocka_unit_test(times_begin_where_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
