/* quant/: products, truncated decompositions, layers with outliers, and what is refused. */
#include "quant/quant.h"
#include "support/test.h"
#include "vk/base/half.h"

/* Repeatable, about normal. */
static float normal(uint32_t *state)
{
    float sum = 0;
    for (int i = 0; i < 4; i++) {
        *state = *state * 1664525u + 1013904223u;
        sum += (float)(*state >> 8) / 8388608.0f - 1;
    }
    return sum * 0.866f;
}

static float *normals(size_t count, float by, uint32_t seed)
{
    float *x = malloc(count * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < count; i++)
        x[i] = by * normal(&seed);
    return x;
}

static void products_are_sums(void **state)
{
    (void)state;
    static const size_t shapes[][3] = {{1, 1, 1}, {7, 33, 5}, {96, 256, 256}, {101, 259, 300}, {13, 600, 1}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        size_t m = shapes[i][0], n = shapes[i][1], k = shapes[i][2];
        float *a = normals(m * k, 1, 1), *b = normals(n * k, 1, 2), *c = normals(m * n, 1, 3), *before = normals(m * n, 1, 3);
        assert_ok(qt_product(c, a, (struct qt_strides){1, m}, b, (struct qt_strides){n, 1}, m, n, k, true));
        for (size_t r = 0; r < m; r++)
            for (size_t j = 0; j < n; j++) {
                double sum = before[r * n + j];
                for (size_t s = 0; s < k; s++)
                    sum += (double)a[s * m + r] * (double)b[s * n + j];
                assert_near(c[r * n + j], sum, 1e-4);
            }
        assert_ok(qt_linear(c, a, b, m, n, k));
        double sum = 0;
        for (size_t s = 0; s < k; s++)
            sum += (double)a[(m - 1) * k + s] * (double)b[(n - 1) * k + s];
        assert_near(c[m * n - 1], sum, 1e-4);
        free(a), free(b), free(c), free(before);
    }
}

/* A matrix of rank 5 comes back from 5, and 3 leave its smallest singular values. */
static void decompositions_find_what_is_there(void **state)
{
    (void)state;
    enum { N = 90, K = 70, R = 5 };
    float *u = normals(N * R, 1, 4), *v = normals(R * K, 1, 5), a[N * K], back[N * K], up[N * R], down[R * K];
    struct qt_opts o = qt_usual(QT_SVDQUANT);
    o.passes = o.more_passes = 100, o.tolerance = 1e-12;
    assert_ok(qt_product(a, u, (struct qt_strides){R, 1}, v, (struct qt_strides){K, 1}, N, K, R, false));
    double left[2];
    for (unsigned rank = 3; rank <= 5; rank += 2) {
        struct qt_basis b;
        double sum = 0;
        assert_ok(qt_basis_create(&b, rank, N, K));
        assert_ok(qt_low_rank(up, down, a, N, K, rank, &b, &o));
        assert_ok(qt_product(back, up, (struct qt_strides){rank, 1}, down, (struct qt_strides){K, 1}, N, K, rank, false));
        for (size_t i = 0; i < N * K; i++)
            sum += pow((double)a[i] - (double)back[i], 2);
        left[rank / 2 - 1] = sum;
        for (unsigned i = 0; i < rank; i++)
            for (unsigned j = 0; j <= i; j++) {
                double dot = 0;
                for (size_t c = 0; c < K; c++)
                    dot += (double)down[i * K + c] * (double)down[j * K + c];
                assert_near(dot, i == j, 1e-5);
            }
        qt_basis_finish(&b);
    }
    assert_true(left[1] < 1e-6);
    assert_true(left[0] > 100);
    free(u), free(v);
}

static void small_and_rankless_matrices_pass(void **state)
{
    (void)state;
    float a[6] = {0}, up[3 * 4], down[4 * 2];
    struct qt_opts o = qt_usual(QT_SVDQUANT);
    struct qt_basis b;
    assert_ok(qt_basis_create(&b, 4, 3, 2)); /* more than there can be */
    assert_ok(qt_low_rank(up, down, a, 3, 2, 4, &b, &o));
    for (size_t i = 0; i < 12; i++)
        assert_true(up[i] == 0);
    qt_basis_finish(&b);
}

/* A layer whose input has few channels far above the others, and x to match. */
struct rig {
    size_t n, k, rows;
    float *w, *x;
    struct qt_seen seen;
};

static struct rig rig(size_t n, size_t k, size_t rows, float outliers)
{
    struct rig r = {n, k, rows, normals(n * k, 0.02f, 6), normals(rows * k, 1, 7), {0}};
    for (size_t i = 0; i < k; i += 37)
        for (size_t t = 0; t < rows; t++)
            r.x[t * k + i] *= outliers;
    for (size_t i = 0; i < n; i += 29) /* and rows of W that stand out in a few places */
        for (size_t j = i % 11; j < k; j += 23)
            r.w[i * k + j] *= outliers / 3;
    r.seen = (struct qt_seen){.x = r.x, .rows = rows};
    return r;
}

static void rig_free(struct rig *r)
{
    free(r->w);
    free(r->x);
}

/* The layer as files hold it against W, on the sample. */
static double error_of(const struct rig *r, const struct qt_layer *l)
{
    float *w = malloc(r->n * r->k * sizeof *w), *y = malloc(r->rows * r->n * sizeof *y), *z = malloc(r->rows * r->n * sizeof *z);
    double sum = 0, all = 0;
    qt_layer_matrix(l, w);
    assert_ok(qt_linear(y, r->x, w, r->rows, r->n, r->k));
    assert_ok(qt_linear(z, r->x, r->w, r->rows, r->n, r->k));
    for (size_t i = 0; i < r->rows * r->n; i++) {
        sum += pow((double)y[i] - (double)z[i], 2);
        all += pow((double)z[i], 2);
    }
    free(w), free(y), free(z);
    return sqrt(sum / all);
}

static struct qt_layer quantised(const struct rig *r, struct qt_opts o)
{
    struct qt_layer l;
    assert_ok(qt_quantise(&l, "layer", r->w, r->n, r->k, &r->seen, &o));
    for (size_t i = 0; i < l.n * l.padded / QT_GROUP; i++)
        assert_true(fv_f16_to_f32(fv_f32_to_f16(l.scales[i])) == l.scales[i]);
    for (size_t i = 0; i < l.n; i++)
        for (size_t j = l.k; j < l.padded; j++)
            assert_int_equal(l.codes[i * l.padded + j], o.method == QT_NF4 ? 7 : 0);
    return l;
}

/* ... and what is told is what would be written. */
static double error_with(const struct rig *r, struct qt_opts o)
{
    o.activations = 16;
    struct qt_layer l = quantised(r, o);
    double e = error_of(r, &l);
    assert_near(e, sqrt(l.error / l.signal), 1e-3 * e + 1e-6);
    qt_layer_finish(&l);
    return e;
}

static void svdquant_beats_plain_rounding(void **state)
{
    (void)state;
    struct rig r = rig(192, 256, 96, 30);
    struct qt_opts o = qt_usual(QT_SVDQUANT);
    double plain = error_with(&r, qt_usual(QT_RTN4)), nf4 = error_with(&r, qt_usual(QT_NF4)),
           eight = error_with(&r, qt_usual(QT_RTN8)), svd = error_with(&r, o);
    o.gptq = true;
    double gptq = error_with(&r, o);
    o.gptq = false, o.rank = 0;
    double smooth = error_with(&r, o);
    o.rank = 32, o.iterations = 1;
    double once = error_with(&r, o);
    print_message("rtn4 %.4f nf4 %.4f rtn8 %.4f smoothed %.4f svd %.4f refined %.4f gptq %.4f\n", plain, nf4, eight, smooth, once,
                  svd, gptq);
    assert_true(svd < plain / 2);
    assert_true(svd <= once * 1.001);
    assert_true(svd < smooth);
    assert_true(gptq < 0.88 * svd); /* of which 0.93 without a branch that is fitted to its codes */
    assert_true(nf4 < plain);
    assert_true(eight < plain / 10);
    rig_free(&r);
}

/* Rows on their own: with the inputs' correlations GPTQ gains much, and codes stay in range. */
/* Smoothing that some outputs and rows chose is nearly as good as by all, and begins where that does. */
static void some_outputs_choose_as_well(void **state)
{
    (void)state;
    struct rig r = rig(600, 128, 160, 30);
    struct qt_opts o = qt_usual(QT_SVDQUANT);
    o.rank = 16, o.search_outputs = 200, o.search_rows = 80;
    double some = error_with(&r, o);
    o.search_outputs = o.search_rows = 0;
    double all = error_with(&r, o);
    print_message("by some %.4f, by all %.4f\n", some, all);
    assert_true(some < 1.1 * all);
    o.search_outputs = 600, o.search_rows = 160; /* all, too */
    assert_true(error_with(&r, o) == all);
    rig_free(&r);
}

static void the_shift_after_gelu_helps(void **state)
{
    (void)state;
    struct rig r = rig(64, 128, 64, 1);
    for (size_t i = 0; i < r.rows * r.k; i++)
        r.x[i] = r.x[i] > 0 ? r.x[i] : -0.17f * expf(r.x[i]);
    struct qt_opts o = qt_usual(QT_SVDQUANT);
    struct qt_layer l, shifted;
    o.activations = 4;
    assert_ok(qt_quantise(&l, "layer", r.w, r.n, r.k, &r.seen, &o));
    o.shift = 0.171875;
    assert_ok(qt_quantise(&shifted, "layer", r.w, r.n, r.k, &r.seen, &o));
    assert_true(shifted.error < 0.8 * l.error);
    qt_layer_finish(&l);
    qt_layer_finish(&shifted);
    rig_free(&r);
}

static void odd_shapes_and_zeros_pass(void **state)
{
    (void)state;
    static const size_t shapes[][2] = {{1, 64}, {1, 1}, {5, 100}, {33, 65}, {130, 63}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int method = QT_SVDQUANT; method <= QT_NF4; method++) {
            struct rig r = rig(shapes[i][0], shapes[i][1], 16, 4);
            struct qt_opts o = qt_usual((enum qt_method)method);
            for (size_t j = 0; j < r.n && r.k > 2; j++)
                r.w[j * r.k + 1] = 0; /* a channel of W, one of x, and a row */
            for (size_t j = 0; j < r.rows && r.k > 2; j++)
                r.x[j * r.k + 2] = 0;
            for (size_t j = 0; j < r.k && r.n > 2; j++)
                r.w[2 * r.k + j] = 0;
            o.gptq = true;
            struct qt_layer l = quantised(&r, o);
            assert_true(error_of(&r, &l) < 0.2);
            qt_layer_finish(&l);
            rig_free(&r);
        }
}

static void bad_numbers_are_refused(void **state)
{
    (void)state;
    struct rig r = rig(32, 64, 16, 4);
    struct qt_opts o = qt_usual(QT_SVDQUANT);
    struct qt_layer l;
    r.x[70] = NAN;
    assert_fails(qt_quantise(&l, "a.b", r.w, r.n, r.k, &r.seen, &o), FV_EINVALID, "a.b: its input in calibration holds NaN, at [1, 6]");
    r.x[70] = 1;
    r.w[65] = INFINITY;
    assert_fails(qt_quantise(&l, "a.b", r.w, r.n, r.k, &r.seen, &o), FV_EINVALID, "a.b: its weight holds an infinity, at [1, 1]");
    r.w[65] = 3e6f;
    o = qt_usual(QT_RTN4);
    assert_fails(qt_quantise(&l, "a.b", r.w, r.n, r.k, NULL, &o), FV_EINVALID, "weights of row 1 are too large");
    o = qt_usual(QT_SVDQUANT);
    assert_fails(qt_quantise(&l, "a.b", r.w, r.n, r.k, NULL, &o), FV_EINVALID, "calibration saw no input");
    r.w[65] = 1;
    for (size_t i = 0; i < r.rows; i++)
        r.x[i * r.k + 5] = 1e30f; /* a huge channel is a channel */
    assert_ok(qt_quantise(&l, "a.b", r.w, r.n, r.k, &r.seen, &o));
    assert_true(isfinite(l.error));
    qt_layer_finish(&l);
    rig_free(&r);
}

/* Every element has a place of its own. */
static void nunchaku_places_are_a_permutation(void **state)
{
    (void)state;
    enum { N = 256, K = 384, R = 32 };
    static uint8_t used[N * K], words[N * K / 2];
    static int8_t codes[N * K], back[N * K];
    for (size_t i = 0; i < N * K; i++)
        codes[i] = (int8_t)((int)((i * 7 + i / K) % 16) - 8);
    qt_nunchaku_pack_codes(words, codes, N, K);
    qt_nunchaku_codes(words, back, N, K, QT_NUNCHAKU_INT4);
    assert_memory_equal(codes, back, sizeof codes);
    struct {
        size_t (*at)(size_t, size_t, size_t);
        size_t rows, columns;
    } const orders[] = {{qt_nunchaku_scale_at, N, K / 64}, {qt_nunchaku_fp4_scale_at, N, K / 16},
                        {qt_nunchaku_up_at, N, R}, {qt_nunchaku_down_at, K, R}};
    for (size_t o = 0; o < 4; o++) {
        memset(used, 0, sizeof used);
        for (size_t i = 0; i < orders[o].rows; i++)
            for (size_t j = 0; j < orders[o].columns; j++) {
                size_t at = orders[o].at(i, j, orders[o].columns);
                assert_true(at < orders[o].rows * orders[o].columns);
                assert_int_equal(used[at]++, 0);
            }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_are_sums),
        cmocka_unit_test(decompositions_find_what_is_there),
        cmocka_unit_test(small_and_rankless_matrices_pass),
        cmocka_unit_test(svdquant_beats_plain_rounding),
        cmocka_unit_test(some_outputs_choose_as_well),
        cmocka_unit_test(the_shift_after_gelu_helps),
        cmocka_unit_test(odd_shapes_and_zeros_pass),
        cmocka_unit_test(bad_numbers_are_refused),
        cmocka_unit_test(nunchaku_places_are_a_permutation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
