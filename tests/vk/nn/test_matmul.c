/* Linear layers and matrix products against their references: every kernel, element types,
 * epilogues, odd sizes, views, broadcasting, operands beyond one binding. */
#include "shaders/nn/params.h"
#include "support/tensors.h"

enum { BIAS = 1, GATE = 2, GATES = 4, RESIDUAL = 8, STRIDED = 16, LEAD = 32 };

struct row {
    uint32_t rows, depth, columns, act, with;
};

static const struct row rows[] = {
    {1, 1, 1, 0, 0},
    {1, 4, 4, 0, BIAS},
    {3, 5, 7, 0, BIAS | RESIDUAL},
    {6, 7, 5, NN_ACT_SILU, BIAS | GATES | RESIDUAL | STRIDED},
    {5, 36, 33, NN_ACT_GELU_TANH, BIAS | STRIDED},
    {17, 64, 96, 0, GATE | RESIDUAL},
    {33, 30, 130, NN_ACT_RELU, BIAS | LEAD},
    {64, 72, 100, NN_ACT_GELU_ERF, BIAS | GATES | RESIDUAL | LEAD},
    {70, 128, 64, NN_ACT_CLAMP, RESIDUAL | STRIDED | LEAD},
    {1, 300, 257, NN_ACT_SILU, BIAS},
};

/* Sums of this many products of f32 in any order; a clamp may make the rms smaller than theirs. */
static double bound(uint32_t depth)
{
    return 3e-7 + 2e-7 * sqrt(depth);
}

static nn_tensor put(struct tensors *t, struct ref *x, enum nn_dtype d, bool strided)
{
    return strided ? tensors_put_strided(t, x, d) : tensors_put(t, x, d);
}

static void check_linear(struct tensors *t, const struct row *w, const enum nn_dtype d[3])
{
    char what[96];
    bool strided = w->with & STRIDED;
    uint32_t lead = w->with & LEAD && w->rows % 2 == 0 ? 2 : 1;
    struct ref x = ref_random(1, NN_SHAPE(lead, w->rows / lead, w->depth));
    struct ref weight = ref_random(2, NN_SHAPE(w->columns, w->depth));
    struct ref_linear o = {.act = w->act, .a = -0.5, .b = 0.75};
    struct nn_linear_opts n = {.act = {(enum nn_act)w->act, -0.5f, 0.75f}, .dtype = d[2]};
    nn_tensor in = put(t, &x, d[0], strided), in_w = put(t, &weight, d[1], strided);
    if (w->with & BIAS) {
        o.bias = ref_random(3, NN_SHAPE(w->columns));
        n.bias = put(t, &o.bias, d[1], strided);
    }
    if (w->with & (GATE | GATES)) {
        o.gate = ref_random(4, NN_SHAPE(w->with & GATES ? 2 : 1, w->columns));
        n.gate = put(t, &o.gate, d[1], strided);
    }
    if (w->with & RESIDUAL) {
        o.residual = ref_random(5, NN_SHAPE(lead, w->rows / lead, w->columns));
        n.residual = put(t, &o.residual, d[0], strided);
    }
    struct ref want = ref_linear(&x, &weight, &o);
    snprintf(what, sizeof what, "linear %ux%ux%u %s %s %s", w->rows, w->depth, w->columns,
             nn_dtype_name(d[0]), nn_dtype_name(d[1]), nn_dtype_name(d[2]));
    tensors_expect(t, nn_linear(t->r, in, in_w, &n), &want, bound(w->depth), what);
    ref_free(&x);
    ref_free(&weight);
    ref_linear_free(&o);
    ref_free(&want);
}

/* Every row with f32 and with another combination of types: a pipeline for each. */
static void linear_table(const struct nn_rec_opts *opts)
{
    static const enum nn_dtype types[][3] = {{NN_F32, NN_F32, NN_SAME},
                                             {NN_F32, NN_F16, NN_F32},
                                             {NN_F16, NN_F16, NN_SAME},
                                             {NN_BF16, NN_BF16, NN_SAME},
                                             {NN_F16, NN_F32, NN_BF16}};
    struct tensors t;
    tensors_begin_with(&t, opts);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int again = 0; again < (opts ? 1 : 2); again++)
            check_linear(&t, &rows[i], types[again || opts ? i % 5 : 0]);
    tensors_end(&t);
}

TENSORS_BY_DESIGN(linear, linear_table)

/* Heads of D features: so many of the first weight, as many of the second (0: there is none), `more` columns. */
static const struct heads {
    uint32_t rows, depth, size, count, two, more;
} heads[] = {
    {30, 20, 72, 5, 1, 31}, {40, 24, 64, 3, 1, 64}, {25, 12, 128, 1, 0, 4}, {3, 12, 72, 5, 1, 0}, {19, 8, 5, 4, 1, 7},
};

/* Each head normalised, by the product and by a pass of its own: the same bits. */
static void check_heads(struct tensors *t, const struct heads *h, const enum nn_dtype d[3])
{
    char what[96];
    uint32_t run = h->size * h->count, columns = run * (1 + h->two) + h->more;
    struct ref x = ref_random(1, NN_SHAPE(h->rows, h->depth)), w = ref_random(2, NN_SHAPE(columns, h->depth));
    struct ref_linear o = {.bias = ref_random(3, NN_SHAPE(columns))};
    struct ref weight[2] = {ref_random(4, NN_SHAPE(h->size)), ref_random(5, NN_SHAPE(h->size))};
    nn_tensor in = tensors_put(t, &x, d[0]), in_w = tensors_put(t, &w, d[1]);
    struct nn_linear_opts n = {.bias = tensors_put(t, &o.bias, NN_F32), .dtype = d[2]};
    n.heads = (struct nn_head_norm){.weight = {tensors_put(t, &weight[0], d[1])}, .run = run, .eps = 1e-3f};
    if (h->two)
        n.heads.weight[1] = tensors_put_strided(t, &weight[1], d[0]);
    struct ref want = ref_linear(&x, &w, &o);
    for (uint32_t m = 0; m < h->rows; m++)
        for (uint32_t k = 0; k < (1 + h->two) * h->count; k++) {
            double *v = want.v + (size_t)m * columns + k * h->size, sum = 0;
            for (uint32_t i = 0; i < h->size; i++)
                sum += v[i] * v[i];
            for (uint32_t i = 0; i < h->size; i++)
                v[i] *= weight[k / h->count].v[i] / sqrt(sum / h->size + 1e-3);
        }
    snprintf(what, sizeof what, "heads of %u, %ux%ux%u %s %s", h->size, h->rows, h->depth, columns, nn_dtype_name(d[0]),
             nn_dtype_name(d[1]));
    nn_tensor y = nn_linear(t->r, in, in_w, &n);
    enum nn_dtype to = nn_failed(t->r) ? NN_F32 : y.dtype; /* rounded twice */
    struct ref got = tensors_get(t, y);
    n.heads.apart = true;
    y = nn_linear(t->r, in, in_w, &n);
    tensors_expect(t, y, &got, 0, what);
    tensors_expect(t, nn_linear(t->r, in, in_w, &n), &want, to == NN_F32 ? 5e-6 : to == NN_F16 ? 1e-3 : 8e-3, what);
    ref_free(&x);
    ref_free(&w);
    ref_free(&o.bias);
    ref_free(&weight[0]);
    ref_free(&weight[1]);
    ref_free(&want);
    ref_free(&got);
}

static void heads_table(const struct nn_rec_opts *opts)
{
    static const enum nn_dtype types[][3] = {
        {NN_F16, NN_F16, NN_SAME}, {NN_F32, NN_F32, NN_SAME}, {NN_F32, NN_BF16, NN_F16}};
    struct tensors t;
    tensors_begin_with(&t, opts);
    size_t n = opts ? 1 : sizeof heads / sizeof *heads; /* each row's kernels are compiled anew */
    for (size_t i = 0; i < n; i++)
        check_heads(&t, &heads[i], types[i % 3]);
    tensors_end(&t);
}

TENSORS_BY_DESIGN(heads_are_normalised, heads_table)

struct product {
    const char *name;
    uint32_t rank_a, a[5], rank_b, b[5], rank_add, add[5];
    int trans_a, trans_b;
    double scale;
};

static const struct product products[] = {
    {"one", 2, {1, 1}, 2, {1, 1}, 0, {0}, 0, 0, 0},
    {"plain", 2, {5, 12}, 2, {12, 8}, 0, {0}, 0, 0, 0},
    {"odd", 2, {7, 13}, 2, {13, 9}, 2, {7, 9}, 0, 0, 0.5},
    {"b transposed", 3, {2, 33, 20}, 3, {2, 17, 20}, 0, {0}, 0, 1, 0.25},
    {"a transposed", 3, {2, 20, 33}, 3, {2, 20, 64}, 1, {64}, 1, 0, 0},
    {"both", 2, {24, 6}, 2, {10, 24}, 2, {6, 1}, 1, 1, 0},
    {"b repeats", 4, {2, 3, 4, 8}, 2, {8, 12}, 0, {0}, 0, 0, 0},
    {"a repeats", 2, {4, 8}, 4, {2, 3, 8, 12}, 4, {2, 1, 4, 12}, 0, 0, 2},
    {"crossed", 4, {2, 1, 6, 8}, 4, {1, 3, 8, 40}, 3, {3, 1, 1}, 0, 0, 0},
    {"three batch axes", 5, {2, 1, 3, 4, 8}, 5, {2, 2, 1, 8, 4}, 5, {1, 2, 1, 4, 4}, 0, 0, 0},
};

static void check_product(struct tensors *t, const struct product *w, enum nn_dtype da,
                          enum nn_dtype db, bool strided)
{
    struct ref a = ref_random(1, w->rank_a, w->a), b = ref_random(2, w->rank_b, w->b);
    struct ref_matmul o = {w->trans_a, w->trans_b, w->scale, {0}};
    struct nn_matmul_opts n = {
        .trans_a = w->trans_a, .trans_b = w->trans_b, .scale = (float)w->scale};
    nn_tensor in_a = put(t, &a, da, strided), in_b = put(t, &b, db, strided);
    if (w->rank_add) {
        o.add = ref_random(3, w->rank_add, w->add);
        n.add = put(t, &o.add, db, strided);
    }
    struct ref want = ref_matmul(&a, &b, &o);
    tensors_expect(t, nn_matmul(t->r, in_a, in_b, &n), &want, bound(24), w->name);
    ref_free(&a);
    ref_free(&b);
    ref_free(&o.add);
    ref_free(&want);
}

static void matmul_table(const struct nn_rec_opts *opts)
{
    struct tensors t;
    tensors_begin_with(&t, opts);
    for (size_t i = 0; i < sizeof products / sizeof *products; i++)
        for (int strided = 0; strided < 2; strided++) {
            check_product(&t, &products[i], NN_F32, NN_F32, strided);
            check_product(&t, &products[i], NN_F16, NN_F16, strided);
            check_product(&t, &products[i], NN_BF16, NN_F32, strided);
        }
    tensors_end(&t);
}

static void matmul(void **state)
{
    (void)state;
    matmul_table(NULL);
}

static void matmul_by_shared_tiles(void **state)
{
    (void)state;
    matmul_table(&(struct nn_rec_opts){.kernel = NN_KERNEL_SHARED, .ssbo = true});
}

static void matmul_through_storage_buffers(void **state)
{
    (void)state;
    matmul_table(&(struct nn_rec_opts){.ssbo = true});
}

/* Result and residual of 140 MiB: more than lavapipe binds at a time. Rows are checked at the seams
 * between parts and elsewhere. */
static void more_than_one_binding(void **state)
{
    struct tensors t;
    enum { ROWS = 36700, COLUMNS = 1000, DEPTH = 4 };
    nn_tensor x, w, res;
    float *f = malloc(4ull * ROWS * COLUMNS), *a = malloc(4 * ROWS * DEPTH), b[COLUMNS * DEPTH];
    (void)state;
    tensors_begin(&t);
    for (size_t i = 0; i < (size_t)ROWS * COLUMNS; i++)
        f[i] = (float)(i % 8191);
    for (size_t i = 0; i < ROWS * DEPTH; i++)
        a[i] = (float)(i % 17);
    for (size_t i = 0; i < COLUMNS * DEPTH; i++)
        b[i] = (float)(i % 13) - 6;
    assert_ok(nn_store_tensor(&x, t.store, NN_F32, NN_SHAPE(ROWS, DEPTH), "x"));
    assert_ok(nn_store_tensor(&w, t.store, NN_F32, NN_SHAPE(COLUMNS, DEPTH), "w"));
    assert_ok(nn_store_tensor(&res, t.store, NN_F32, NN_SHAPE(ROWS, COLUMNS), "residual"));
    assert_ok(nn_upload(x, a));
    assert_ok(nn_upload(w, b));
    assert_ok(nn_upload(res, f));
    nn_tensor y = nn_linear(t.r, x, w, &(struct nn_linear_opts){.residual = res});
    assert_ok(nn_end(t.r));
    assert_ok(nn_run(t.r));
    memset(f, 0, 4ull * ROWS * COLUMNS);
    assert_ok(nn_fetch(f, y));
    for (size_t m = 0; m < ROWS; m++)
        for (size_t n = 0; n < COLUMNS; n++) {
            float want = (float)((m * COLUMNS + n) % 8191);
            for (size_t k = 0; k < DEPTH; k++)
                want += a[m * DEPTH + k] * b[n * DEPTH + k];
            if (f[m * COLUMNS + n] != want)
                fail_msg("[%zu, %zu] = %g, expected %g", m, n, (double)f[m * COLUMNS + n],
                         (double)want);
        }
    free(f);
    free(a);
    tensors_end(&t);
}

/* An infinity beyond the end of a row must not reach it. */
static void rows_do_not_leak_into_each_other(void **state)
{
    struct tensors t;
    struct ref x = ref_random(1, NN_SHAPE(40, 12)), w = ref_random(2, NN_SHAPE(8, 12));
    struct ref_linear none = {.act = 0};
    (void)state;
    for (uint32_t i = 0; i < 12; i++)
        x.v[12 * 7 + i] = INFINITY;
    tensors_begin(&t);
    nn_tensor in = tensors_put(&t, &x, NN_F32), in_w = tensors_put(&t, &w, NN_F32);
    struct ref got = tensors_get(&t, nn_linear(t.r, in, in_w, NULL));
    struct ref want = ref_linear(&x, &w, &none);
    for (uint32_t i = 0; i < 40 * 8; i++)
        if (i / 8 != 7)
            assert_near(got.v[i], want.v[i], 1e-5);
    ref_free(&got);
    ref_free(&want);
    ref_free(&x);
    ref_free(&w);
    tensors_end(&t);
}

/* One buffer, one shape, other strides: packed weights of their own. */
static void square_weight_and_its_transpose(void **state)
{
    struct tensors t;
    struct ref x = ref_random(1, NN_SHAPE(5, 24)), w = ref_random(2, NN_SHAPE(24, 24));
    struct ref turned = ref_random(2, NN_SHAPE(24, 24));
    struct ref_linear none = {.act = 0};
    (void)state;
    tensors_begin(&t);
    nn_tensor in = tensors_put(&t, &x, NN_F32), in_w = tensors_put(&t, &w, NN_F32);
    for (uint32_t i = 0; i < 24; i++)
        for (uint32_t j = 0; j < 24; j++)
            turned.v[24 * i + j] = w.v[24 * j + i];
    struct ref want = ref_linear(&x, &w, &none), other = ref_linear(&x, &turned, &none);
    tensors_expect(&t, nn_linear(t.r, in, in_w, NULL), &want, bound(24), "weight");
    tensors_expect(&t, nn_linear(t.r, in, nn_transpose(t.r, in_w, 0, 1), NULL), &other, bound(24),
                   "its transpose");
    ref_free(&want);
    ref_free(&other);
    ref_free(&turned);
    ref_free(&x);
    ref_free(&w);
    tensors_end(&t);
}

static void fails_with(nn_tensor (*op)(struct nn_rec *, nn_tensor, nn_tensor), uint32_t rank_x,
                       const uint32_t *shape_x, uint32_t rank_w, const uint32_t *shape_w,
                       const char *text)
{
    struct tensors t;
    struct ref x = ref_random(1, rank_x, shape_x), w = ref_random(2, rank_w, shape_w);
    tensors_begin(&t);
    nn_tensor y = op(t.r, tensors_put(&t, &x, NN_F32), tensors_put(&t, &w, NN_F32));
    assert_true(nn_is_null(y));
    assert_fails(nn_end(t.r), FV_EINVALID, text);
    ref_free(&x);
    ref_free(&w);
    tensors_end(&t);
}

static nn_tensor plain_linear(struct nn_rec *r, nn_tensor x, nn_tensor w)
{
    return nn_linear(r, x, w, NULL);
}

static nn_tensor linear_with_bias_x(struct nn_rec *r, nn_tensor x, nn_tensor w)
{
    return nn_linear(r, x, w, &(struct nn_linear_opts){.bias = x});
}

static nn_tensor linear_with_gate_x(struct nn_rec *r, nn_tensor x, nn_tensor w)
{
    return nn_linear(r, x, w, &(struct nn_linear_opts){.gate = x});
}

static nn_tensor linear_with_heads_x(struct nn_rec *r, nn_tensor x, nn_tensor w)
{
    return nn_linear(r, x, w, &(struct nn_linear_opts){.heads = {{x}, 4}});
}

static nn_tensor linear_with_heads_and_act(struct nn_rec *r, nn_tensor x, nn_tensor w)
{
    nn_tensor one = nn_squeeze(r, nn_slice(r, x, 0, 0, 1), 0);
    return nn_linear(r, x, w, &(struct nn_linear_opts){.heads = {{one}, 4}, .act = {NN_SILU, 0, 0}});
}

static nn_tensor plain_matmul(struct nn_rec *r, nn_tensor x, nn_tensor w)
{
    return nn_matmul(r, x, w, NULL);
}

static void rejects_shapes(void **state)
{
    (void)state;
    fails_with(plain_linear, NN_SHAPE(2, 3), NN_SHAPE(4, 5), "expected [..., K] and [N, K]");
    fails_with(plain_linear, NN_SHAPE(2, 3), NN_SHAPE(3), "expected [..., K] and [N, K]");
    fails_with(linear_with_bias_x, NN_SHAPE(2, 3), NN_SHAPE(4, 3), "expected [4]");
    fails_with(linear_with_gate_x, NN_SHAPE(3, 4), NN_SHAPE(6, 4), "gate is f32 [3, 4] for 3");
    fails_with(linear_with_heads_x, NN_SHAPE(3, 4), NN_SHAPE(6, 4), "weights of heads are f32 [3, 4] and");
    fails_with(linear_with_heads_and_act, NN_SHAPE(3, 4), NN_SHAPE(8, 4), "heads are normalised has no activation");
    fails_with(plain_matmul, NN_SHAPE(2, 3), NN_SHAPE(4, 5), "f32 [2, 3] times");
    fails_with(plain_matmul, NN_SHAPE(2, 2, 3), NN_SHAPE(3, 3, 5), "f32 [2, 2, 3] times");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear),
        cmocka_unit_test(linear_by_shared_tiles),
        cmocka_unit_test(linear_through_storage_buffers),
        cmocka_unit_test(heads_are_normalised),
        cmocka_unit_test(heads_are_normalised_by_shared_tiles),
        cmocka_unit_test(heads_are_normalised_through_storage_buffers),
        cmocka_unit_test(matmul),
        cmocka_unit_test(matmul_by_shared_tiles),
        cmocka_unit_test(matmul_through_storage_buffers),
        cmocka_unit_test(more_than_one_binding),
        cmocka_unit_test(rows_do_not_leak_into_each_other),
        cmocka_unit_test(square_weight_and_its_transpose),
        cmocka_unit_test(rejects_shapes),
    };
    test_device();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_device_done();
    return failed;
}
