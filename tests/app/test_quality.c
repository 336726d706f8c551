/* SH bands by throughput: as many as come in time, changed seldom. */
#include "support/test.h"

#include "app/quality.h"

static struct quality_now sample(int degree, double bandwidth)
{
    return (struct quality_now){.degree = degree,
                                .most = 3,
                                .rate = {100e3, 150e3, 220e3, 400e3},
                                .start = {1e6, 1.3e6, 1.8e6, 3e6},
                                .bandwidth = bandwidth,
                                .ahead = 10,
                                .left = 100,
                                .time = 0};
}

static void first_choice(void **state)
{
    (void)state;
    static const struct {
        double bandwidth;
        int degree;
    } cases[] = {{0, 3}, {50e3, 0}, {150e3, 0}, {199e3, 1}, {280e3, 1}, {450e3, 2}, {900e3, 2}, {1.1e6, 3}, {1e9, 3}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct quality q = {0};
        struct quality_now now = sample(3, cases[k].bandwidth);
        int degree = quality_choose(&q, &now);
        if (degree != cases[k].degree)
            fail_msg("%g bytes a second: degree %d, expected %d", cases[k].bandwidth, degree, cases[k].degree);
        now.most = 1; /* a stream of fewer bands */
        q = (struct quality){0};
        assert_true(quality_choose(&q, &now) <= 1);
    }
}

static void goes_down_when_it_runs_out(void **state)
{
    (void)state;
    struct quality q = {.chosen = true};
    struct quality_now now = sample(3, 160e3);
    assert_int_equal(quality_choose(&q, &now), 3); /* there is enough for now */
    now.ahead = 1;
    assert_int_equal(quality_choose(&q, &now), 1);
    now.left = 1; /* all the rest is there */
    assert_int_equal(quality_choose(&q, &now), 3);
    now.left = 100;
    now.bandwidth = 1e3;
    assert_int_equal(quality_choose(&q, &now), 0);
}

/* Between two throughputs it does not swing. */
static void goes_up_seldom(void **state)
{
    (void)state;
    struct quality q = {.chosen = true, .changed_at = 100};
    struct quality_now now = sample(1, 900e3);
    now.time = 105;
    assert_int_equal(quality_choose(&q, &now), 1); /* too soon */
    now.time = 109;
    assert_int_equal(quality_choose(&q, &now), 2);
    now.degree = 2;
    now.time = 111;
    assert_int_equal(quality_choose(&q, &now), 2);
    now.time = 118;
    now.bandwidth = 600e3; /* plays, but a base of 1.2 MB more would not come beside it in time */
    now.ahead = 5;
    assert_int_equal(quality_choose(&q, &now), 2);
    now.bandwidth = 800e3;
    assert_int_equal(quality_choose(&q, &now), 3);
    int changes = 0, degree = 2;
    q = (struct quality){.chosen = true};
    for (int k = 0; k < 600; k++) { /* ten minutes at the edge of two */
        now = sample(degree, k % 2 ? 380e3 : 420e3);
        now.ahead = k % 3 ? 5 : 1.5;
        now.time = k;
        int next = quality_choose(&q, &now);
        changes += next != degree;
        degree = next;
    }
    assert_in_range(changes, 0, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_choice),
        cmocka_unit_test(goes_down_when_it_runs_out),
        cmocka_unit_test(goes_up_seldom),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
