/* Resolution scaling against a pretended device: app/pace.h. */
#include "app/pace.h"
#include "support/test.h"

/* A device with a fixed cost and one that grows with the pixels. */
static double device_ms(double fixed, double full, int step)
{
    return fixed + full * pace_factor(step) * pace_factor(step);
}

static int move_for(struct pace *p, double *now, int frames, double fixed, double full)
{
    int step = 0;
    for (int i = 0; i < frames; i++) {
        step = pace_choose(p, true, *now);
        double ms = device_ms(fixed, full, step);
        pace_measured(p, step, ms);
        *now += ms / 1000;
    }
    return step;
}

static void fast_device_stays_at_full_size(void **state)
{
    (void)state;
    struct pace p = {0};
    double now = 1;
    assert_int_equal(move_for(&p, &now, 50, 1, 10), 0);
}

static void slow_device_reaches_a_fluid_rate(void **state)
{
    (void)state;
    struct pace p = {0};
    double now = 1;
    int step = move_for(&p, &now, 20, 5, 200);
    assert_true(step > 0);
    assert_true(device_ms(5, 200, step) <= 45);
    /* not coarser than needed */
    assert_true(device_ms(5, 200, step - 1) > 30);
    /* and it stays there */
    for (int i = 0; i < 20; i++)
        assert_int_equal(move_for(&p, &now, 1, 5, 200), step);
}

static void hopeless_device_stops_at_the_coarsest(void **state)
{
    (void)state;
    struct pace p = {0};
    double now = 1;
    assert_int_equal(move_for(&p, &now, 20, 500, 500), PACE_STEPS - 1);
}

static void one_slow_frame_changes_nothing(void **state)
{
    (void)state;
    struct pace p = {0};
    double now = 1;
    move_for(&p, &now, 5, 1, 10);
    move_for(&p, &now, 1, 1, 900);
    assert_int_equal(move_for(&p, &now, 3, 1, 10), 0);
}

static void still_view_gets_full_size_after_a_moment(void **state)
{
    (void)state;
    struct pace p = {0};
    double now = 1;
    int step = move_for(&p, &now, 20, 5, 200);
    assert_int_equal(pace_choose(&p, false, now), step);
    double wait = pace_settle(&p, now);
    assert_true(wait > 0 && wait < 1);
    assert_int_equal(pace_choose(&p, false, now + wait + 0.001), 0);
    assert_true(pace_settle(&p, now + 1) == 0);
}

static void first_moving_frame_uses_what_the_still_one_took(void **state)
{
    (void)state;
    struct pace p = {0};
    assert_int_equal(pace_choose(&p, false, 1), 0);
    pace_measured(&p, 0, 400);
    int step = pace_choose(&p, true, 2);
    assert_true(400 * pace_factor(step) * pace_factor(step) <= 45);
    pace_forget(&p);
    p.moving = false;
    pace_measured(&p, 0, 12);
    assert_int_equal(pace_choose(&p, true, 3), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fast_device_stays_at_full_size),
        cmocka_unit_test(slow_device_reaches_a_fluid_rate),
        cmocka_unit_test(hopeless_device_stops_at_the_coarsest),
        cmocka_unit_test(one_slow_frame_changes_nothing),
        cmocka_unit_test(still_view_gets_full_size_after_a_moment),
        cmocka_unit_test(first_moving_frame_uses_what_the_still_one_took),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
