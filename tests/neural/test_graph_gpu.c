/* What SAGS makes of its points by kernels against the twin: the graph to the bit, features but for
 * roundings. */
#include "neural/neural.h"
#include "neural/points.h"
#include "support/neural.h"
#include "support/test.h"

static void near_features(const struct nl_encoded *a, const struct nl_encoded *b, const char *what)
{
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->width, b->width);
    for (size_t i = 0; i < (size_t)a->count * a->width; i++) {
        double x = (double)a->feature[i], y = (double)b->feature[i];
        if (!(fabs(x - y) <= 1e-5 + 2e-5 * fabs(y)))
            fail_msg("%s: feature %zu of row %zu is %.8g, expected %.8g", what, i % a->width, i / a->width, x, y);
    }
}

/* Returns how many points' neighbours were left to the host. */
static uint32_t same_as_the_twin(struct nl_model *m, const char *what)
{
    struct nl_encoded got, want;
    assert_ok(nl_encode(m, NULL, &want));
    const uint32_t *expected = m->neighbour;
    m->neighbour = NULL;
    assert_ok(nl_encode_gpu(m, test_device(), &got));
    assert_true(m->neighbour && m->neighbour != expected);
    for (size_t i = 0, n = m->count - m->midpoints; i < n * m->neighbours; i++)
        if (m->neighbour[i] != expected[i])
            fail_msg("%s: neighbour %zu of point %zu of %zu is %u, expected %u", what, i % m->neighbours,
                     i / m->neighbours, n, m->neighbour[i], expected[i]);
    near_features(&got, &want, what);
    uint32_t left = got.by_host;
    nl_encoded_finish(&got);
    assert_ok(nl_encode_gpu(m, test_device(), &got)); /* of a graph that is there */
    near_features(&got, &want, what);
    nl_encoded_finish(&got);
    nl_encoded_finish(&want);
    return left;
}

static void random_floats(float *to, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (float)test_uniform(&seed, -1, 1);
}

/* Points as they may lie; features of a width that is no multiple of four; few and many neighbours. */
static void any_points(void **state)
{
    (void)state;
    enum { MOST = 3000, FEATURE = 6, WIDTH = NL_HASH_WIDTH + 2 * FEATURE, GRID = 953344 };
    static const struct {
        uint32_t count, neighbours;
    } sizes[] = {{10, 10}, {77, 16}, {MOST, 10}, {1000, 1}};
    float *p = malloc(3 * MOST * sizeof *p), *f = malloc((size_t)FEATURE * MOST * sizeof *f),
          *hash = malloc(GRID * sizeof *hash), alpha[WIDTH], beta[WIDTH];
    random_floats(f, (size_t)FEATURE * MOST, 3);
    random_floats(hash, GRID, 4);
    random_floats(alpha, WIDTH, 5);
    random_floats(beta, WIDTH, 6);
    for (int s = 0; s < SHAPES; s++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            char what[64];
            struct nl_model m = {.arch = NL_SAGS, .count = sizes[i].count, .feature = FEATURE, .offsets = 1,
                                 .neighbours = sizes[i].neighbours, .position = p, .features = f,
                                 .hash = hash, .alpha = alpha, .beta = beta};
            points_fill(p, m.count, (enum shape)s);
            snprintf(what, sizeof what, "shape %d", s);
            uint32_t left = same_as_the_twin(&m, what);
            if (left > (s == ONE_PLACE ? m.count : s == OUTLIERS ? m.count / 50 : 0))
                fail_msg("shape %d, %u points: %u left to the host", s, m.count, left);
            m.position = m.features = m.hash = m.alpha = m.beta = NULL;
            nl_finish(&m);
        }
    free(p);
    free(f);
    free(hash);
}

/* A training folder, and its lite form. */
static void a_folder(void **state)
{
    (void)state;
    struct nl_model m;
    assert_ok(nl_open(&m, test_neural("sags", 4000), NULL));
    assert_int_equal(same_as_the_twin(&m, "folder"), 0);
    assert_true(nl_make_lite(&m) > 0);
    assert_int_equal(same_as_the_twin(&m, "lite"), 0);
    nl_finish(&m);
}

/* What kernels do not take, the twin does. */
static void twin_where_kernels_end(void **state)
{
    (void)state;
    struct nl_model m;
    struct nl_encoded e;
    assert_ok(nl_open(&m, test_neural("sags", 100), NULL));
    m.neighbours = 20;
    assert_ok(nl_encode_gpu(&m, test_device(), &e));
    assert_non_null(e.message); /* the twin's */
    nl_encoded_finish(&e);
    nl_finish(&m);
    assert_ok(nl_open(&m, test_neural("scaffold", 100), NULL));
    assert_ok(nl_encode_gpu(&m, test_device(), &e));
    assert_memory_equal(e.feature, m.features, (size_t)m.count * m.feature * sizeof *e.feature);
    nl_encoded_finish(&e);
    nl_finish(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_points),
        cmocka_unit_test(a_folder),
        cmocka_unit_test(twin_where_kernels_end),
    };
    return cmocka_run_group_tests(tests, NULL, test_device_teardown);
}
