/* The graph of nearest neighbours against looking at all pairs. */
#include "neural/neural.h"
#include "support/test.h"

static double distance(const float *p, uint32_t a, uint32_t b)
{
    double sum = 0;
    for (size_t k = 0; k < 3; k++) {
        double v = (double)p[3 * b + k] - (double)p[3 * a + k];
        sum += v * v;
    }
    return sum;
}

static const float *points;
static uint32_t self;

static int nearer(const void *x, const void *y)
{
    uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    if ((a == self) != (b == self))
        return a == self ? -1 : 1;
    double da = distance(points, self, a), db = distance(points, self, b);
    return da < db ? -1 : da > db ? 1 : a < b ? -1 : a > b;
}

enum shape { SPREAD, PLANE, OUTLIERS, TWINS, LINE, ONE_PLACE };

static void fill(float *p, uint32_t n, enum shape s)
{
    uint64_t seed = 7 + (uint64_t)s;
    for (size_t i = 0; i < n; i++)
        for (size_t a = 0; a < 3; a++) {
            double v = test_uniform(&seed, -1, 1);
            if ((s == PLANE && a == 1) || (s == LINE && a) || s == ONE_PLACE)
                v = 0.25;
            if (s == OUTLIERS && i % 100 == 0)
                v *= 1e6;
            if (s == TWINS)
                v = floor(v * 3);
            p[3 * i + a] = (float)v;
        }
}

static void is_exact(void **state)
{
    (void)state;
    enum { N = 700, K = 10 };
    static float p[3 * N];
    static uint32_t order[N];
    for (int s = SPREAD; s <= ONE_PLACE; s++)
        for (uint32_t n = K; n <= N; n = n == N ? N + 1 : n * 5 < N ? n * 5 : N) {
            struct nl_model m = {.arch = NL_SAGS, .count = n, .neighbours = K, .position = p};
            fill(p, n, (enum shape)s);
            assert_ok(nl_graph(&m));
            points = p;
            for (self = 0; self < n; self++) {
                for (uint32_t i = 0; i < n; i++)
                    order[i] = i;
                qsort(order, n, sizeof *order, nearer);
                if (memcmp(order, m.neighbour + K * self, K * sizeof *order))
                    fail_msg("shape %d, %u points: neighbours of %u differ", s, n, self);
            }
            m.position = NULL;
            nl_finish(&m);
        }
}

static void too_few_points(void **state)
{
    (void)state;
    float p[9] = {0};
    struct nl_model m = {.arch = NL_SAGS, .count = 3, .neighbours = 4, .position = p};
    assert_fails(nl_graph(&m), FV_EFORMAT, "3 points have no 4 neighbours");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(is_exact), cmocka_unit_test(too_few_points)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
