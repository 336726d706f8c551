/* The graph of nearest neighbours against looking at all pairs. */
#include "neural/neural.h"
#include "neural/points.h"
#include "support/test.h"

static float distance(const float *p, uint32_t a, uint32_t b)
{
    float x = p[3 * b] - p[3 * a], y = p[3 * b + 1] - p[3 * a + 1], z = p[3 * b + 2] - p[3 * a + 2];
    return x * x + y * y + z * z;
}

static const float *points;
static uint32_t self;

static int nearer(const void *x, const void *y)
{
    uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    if ((a == self) != (b == self))
        return a == self ? -1 : 1;
    float da = distance(points, self, a), db = distance(points, self, b);
    return da < db ? -1 : da > db ? 1 : a < b ? -1 : a > b;
}

static void is_exact(void **state)
{
    (void)state;
    enum { N = 700, K = 10 };
    static float p[3 * N];
    static uint32_t order[N];
    for (int s = 0; s < SHAPES; s++)
        for (uint32_t n = K; n <= N; n = n == N ? N + 1 : n * 5 < N ? n * 5 : N) {
            struct nl_model m = {.arch = NL_SAGS, .count = n, .neighbours = K, .position = p};
            points_fill(p, n, (enum shape)s);
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
