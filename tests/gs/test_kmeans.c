/* gs/kmeans.c: codebooks of numbers, clusters of points. */
#include "support/test.h"
#include "gs/kmeans.h"

static int compare_floats(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

static double book_error(const float *book, size_t used, const float *v, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double e = (double)(v[i] - book[gs_codebook_nearest(book, used, v[i])]);
        sum += e * e;
    }
    return sum;
}

static void few_values_are_kept_exactly(void **state)
{
    (void)state;
    static const float values[] = {3, -1, 0.1f, 3, 0.1f, 7.5f, -1, -0.0f, 0};
    static const float want[] = {-1, 0, 0.1f, 3, 7.5f};
    float book[8];
    size_t used;
    assert_ok(gs_codebook(book, &used, values, 9, 8));
    assert_int_equal(used, 5);
    assert_memory_equal(book, want, sizeof want);
    assert_ok(gs_codebook(book, &used, values, 9, 5));
    assert_int_equal(used, 5);
    assert_memory_equal(book, want, sizeof want);
}

static void infinities_get_an_entry_of_their_own(void **state)
{
    (void)state;
    const float values[] = {1, -INFINITY, 2, INFINITY, NAN, 2};
    float book[4];
    size_t used;
    assert_ok(gs_codebook(book, &used, values, 6, 4));
    assert_int_equal(used, 4);
    assert_near(book[0], -19, 0);
    assert_near(book[1], 1, 0);
    assert_near(book[2], 2, 0);
    assert_near(book[3], 22, 0);
    assert_int_equal(gs_codebook_nearest(book, used, -INFINITY), 0);
    assert_int_equal(gs_codebook_nearest(book, used, INFINITY), 3);
    assert_ok(gs_codebook(book, &used, values + 4, 1, 4)); /* NaN alone */
    assert_int_equal(used, 1);
    assert_ok(gs_codebook(book, &used, values + 1, 1, 4)); /* -inf alone */
    assert_int_equal(used, 1);
    assert_near(book[0], -20, 0);
}

/* The best partition of few sorted values, by trying all places of the borders. */
static double best_error(const float *v, size_t n, size_t k)
{
    double best = INFINITY;
    if (k == 1) {
        double sum = 0, square = 0;
        for (size_t i = 0; i < n; i++) {
            sum += (double)v[i];
            square += (double)v[i] * (double)v[i];
        }
        return n ? square - sum * sum / (double)n : 0;
    }
    for (size_t cut = 1; cut < n; cut++)
        best = fmin(best, best_error(v, cut, 1) + best_error(v + cut, n - cut, k - 1));
    return best;
}

static void codebook_is_the_best_one(void **state)
{
    (void)state;
    uint64_t seed = 3;
    for (int round = 0; round < 50; round++) {
        float v[14], book[3];
        size_t used;
        for (int i = 0; i < 14; i++)
            v[i] = (float)pow(test_uniform(&seed, -2, 2), 3);
        qsort(v, 14, sizeof *v, compare_floats);
        assert_ok(gs_codebook(book, &used, v, 14, 3));
        assert_true(book_error(book, used, v, 14) <= 1.0001 * best_error(v, 14, 3) + 1e-9);
    }
}

static void codebook_is_ascending_and_tight(void **state)
{
    (void)state;
    enum { N = 20000 };
    float *v = malloc(N * sizeof *v), book[256];
    uint64_t seed = 5;
    size_t used;
    for (int i = 0; i < N; i++)
        v[i] =
            (float)(test_uniform(&seed, -1, 1) + test_uniform(&seed, -1, 1) * 10 * (i % 50 == 0));
    assert_ok(gs_codebook(book, &used, v, N, 256));
    for (size_t i = 1; i < used; i++)
        assert_true(book[i] > book[i - 1]);
    /* Panter and Dite: k steps leave (integral of the cube root of the density)^3 / (12 k^2);
       here the density is about .49 on -1..1 and .001 on the rest of -10..10 */
    double root = 2 * cbrt(0.49) + 18 * cbrt(0.001);
    assert_true(book_error(book, used, v, N) / N < 1.05 * root * root * root / (12 * 65536));
    free(v);
}

static void nearest_is_nearest(void **state)
{
    (void)state;
    static const float book[] = {-3, -1, 0, 0.5f, 10};
    assert_int_equal(gs_codebook_nearest(book, 5, -100), 0);
    assert_int_equal(gs_codebook_nearest(book, 5, -1.9f), 1);
    assert_int_equal(gs_codebook_nearest(book, 5, -2.1f), 0);
    assert_int_equal(gs_codebook_nearest(book, 5, 0.26f), 3);
    assert_int_equal(gs_codebook_nearest(book, 5, 100), 4);
    assert_int_equal(gs_codebook_nearest(book, 1, 100), 0);
}

/* ---- points ----------------------------------------------------------------------------- */

static float *random_points(size_t n, size_t dims, size_t different, uint64_t seed)
{
    float *p = malloc(n * dims * sizeof *p);
    for (size_t i = 0; i < n; i++)
        for (size_t d = 0; d < dims; d++)
            p[i * dims + d] = i < different ? (float)test_uniform(&seed, -1, 1)
                                            : p[(i * 7919 % different) * dims + d];
    return p;
}

static double cluster_error(const struct gs_clusters *c, const float *p, size_t n, size_t dims)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        assert_true(c->labels[i] < c->count);
        for (size_t d = 0; d < dims; d++) {
            double e = (double)(p[i * dims + d] - c->centroids[c->labels[i] * dims + d]);
            sum += e * e;
        }
    }
    return sum;
}

static void equal_points_become_one_cluster(void **state)
{
    (void)state;
    static const size_t dims[] = {9, 24, 45, 2};
    for (size_t i = 0; i < 4; i++) {
        float *p = random_points(3000, dims[i], 200, i);
        struct gs_clusters c;
        assert_ok(gs_cluster(&c, p, 3000, dims[i], 256, NULL, NULL));
        assert_int_equal(c.count, 200);
        assert_near(cluster_error(&c, p, 3000, dims[i]), 0, 0);
        gs_clusters_free(&c);
        free(p);
    }
}

static void one_point_and_one_cluster(void **state)
{
    (void)state;
    float p[18] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    struct gs_clusters c;
    assert_ok(gs_cluster(&c, p, 1, 9, 1, NULL, NULL));
    assert_int_equal(c.count, 1);
    assert_memory_equal(c.centroids, p, 9 * sizeof *p);
    gs_clusters_free(&c);
    assert_ok(gs_cluster(&c, p, 2, 9, 1, NULL, NULL));
    assert_int_equal(c.count, 1);
    for (int d = 0; d < 9; d++)
        assert_near(c.centroids[d], p[d] + 1, 1e-6);
    gs_clusters_free(&c);
    assert_fails(gs_cluster(&c, p, 0, 9, 1, NULL, NULL), FV_EINVALID, "0 points");
}

/* Points around 64 far centres: every cluster must find one of them. */
static void finds_separate_clusters(void **state)
{
    (void)state;
    enum { N = 6400, D = 24, K = 64 };
    float *p = random_points(N, D, N, 9);
    uint64_t seed = 77;
    float centre[K * D];
    for (int i = 0; i < K * D; i++)
        centre[i] = (float)test_uniform(&seed, -30, 30);
    for (int i = 0; i < N * D; i++)
        p[i] = 0.01f * p[i] + centre[i / D % K * D + i % D];
    struct gs_clusters c;
    assert_ok(gs_cluster(&c, p, N, D, K, NULL, NULL));
    assert_int_equal(c.count, K);
    assert_true(cluster_error(&c, p, N, D) < N * D * 0.01 * 0.01);
    gs_clusters_free(&c);
    free(p);
}

static void same_for_one_thread(void **state)
{
    (void)state;
    enum { N = 9000, D = 45, K = 4096 };
    float *p = random_points(N, D, N, 21);
    struct gs_clusters many, one;
    assert_ok(gs_cluster(&many, p, N, D, K, NULL, NULL));
    test_one_cpu(true);
    int rc = gs_cluster(&one, p, N, D, K, NULL, NULL);
    test_one_cpu(false);
    assert_ok(rc);
    assert_int_equal(one.count, many.count);
    assert_memory_equal(one.labels, many.labels, N * sizeof *one.labels);
    assert_memory_equal(one.centroids, many.centroids, one.count * D * sizeof(float));
    gs_clusters_free(&one);
    gs_clusters_free(&many);
    free(p);
}

static int stop_at(void *ud, const struct fv_progress *p)
{
    int *left = ud;
    assert_true(p->done <= p->total);
    return (*left)-- == 0;
}

static void can_be_cancelled(void **state)
{
    (void)state;
    float *p = random_points(2000, 9, 2000, 1);
    struct gs_clusters c;
    for (int left = 0; left < 4; left++) {
        int count = left;
        assert_fails(gs_cluster(&c, p, 2000, 9, 64, stop_at, &count), FV_ECANCELLED, "cancelled");
        assert_null(c.labels);
    }
    free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_values_are_kept_exactly),
        cmocka_unit_test(infinities_get_an_entry_of_their_own),
        cmocka_unit_test(codebook_is_the_best_one),
        cmocka_unit_test(codebook_is_ascending_and_tight),
        cmocka_unit_test(nearest_is_nearest),
        cmocka_unit_test(equal_points_become_one_cluster),
        cmocka_unit_test(one_point_and_one_cluster),
        cmocka_unit_test(finds_separate_clusters),
        cmocka_unit_test(same_for_one_thread),
        cmocka_unit_test(can_be_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
