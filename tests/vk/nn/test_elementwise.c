/* Elementwise ops against their references: every op, every way of broadcasting, element types,
 * views, sizes beyond one binding. */
#include "shaders/nn/params.h"
#include "support/tensors.h"
#include "vk/device.h"

struct row {
    const char *name;
    uint32_t op, act;
    double a, b;
    uint32_t n;
    uint32_t rank[3], shape[3][5];
};

static const struct row rows[] = {
    {"add", NN_EW_ADD, 0, 0, 0, 2, {1, 1}, {{1}, {1}}},
    {"add", NN_EW_ADD, 0, 0, 0, 2, {1, 1}, {{7}, {7}}},
    {"add", NN_EW_ADD, 0, 0, 0, 2, {2, 2}, {{33, 64}, {33, 64}}},
    {"add a bias", NN_EW_ADD, 0, 0, 0, 2, {3, 1}, {{3, 5, 12}, {12}}},
    {"add an odd bias", NN_EW_ADD, 0, 0, 0, 2, {3, 1}, {{3, 5, 7}, {7}}},
    {"add per channel", NN_EW_ADD, 0, 0, 0, 2, {4, 3}, {{2, 3, 4, 8}, {3, 1, 1}}},
    {"add per channel, odd", NN_EW_ADD, 0, 0, 0, 2, {4, 3}, {{2, 3, 5, 3}, {3, 1, 1}}},
    {"add one", NN_EW_ADD, 0, 0, 0, 2, {2, 1}, {{5, 9}, {1}}},
    {"sub from less", NN_EW_SUB, 0, 0, 0, 2, {1, 3}, {{6}, {2, 3, 6}}},
    {"outer product", NN_EW_MUL, 0, 0, 0, 2, {2, 2}, {{9, 1}, {1, 8}}},
    {"both repeat", NN_EW_MUL, 0, 0, 0, 2, {4, 4}, {{2, 1, 3, 1}, {1, 5, 1, 4}}},
    {"div", NN_EW_DIV, 0, 0, 0, 2, {2, 2}, {{4, 5}, {4, 5}}},
    {"min", NN_EW_MIN, 0, 0, 0, 2, {1, 1}, {{100}, {100}}},
    {"max", NN_EW_MAX, 0, 0, 0, 2, {1, 1}, {{100}, {1}}},
    {"fma", NN_EW_FMA, 0, 0, 0, 3, {2, 2, 1}, {{6, 20}, {6, 20}, {20}}},
    {"gate", NN_EW_GATED, 0, 0, 0, 3, {3, 3, 3}, {{2, 9, 24}, {2, 9, 24}, {2, 1, 24}}},
    {"lerp", NN_EW_LERP, 0, 0, 0, 3, {2, 2, 2}, {{4, 6}, {4, 6}, {1, 6}}},
    {"modulate", NN_EW_MODULATE, 0, 0, 0, 3, {3, 3, 3}, {{2, 7, 72}, {2, 1, 72}, {2, 1, 72}}},
    {"scale", NN_EW_SCALE, 0, -2.5, 0.25, 1, {2}, {{5, 1031}}},
    {"exp", NN_EW_EXP, 0, 0, 0, 1, {1}, {{1000}}},
    {"identity", NN_EW_ACT, NN_ACT_IDENTITY, 0, 0, 1, {1}, {{77}}},
    {"silu", NN_EW_ACT, NN_ACT_SILU, 0, 0, 1, {1}, {{4096}}},
    {"gelu tanh", NN_EW_ACT, NN_ACT_GELU_TANH, 0, 0, 1, {1}, {{4096}}},
    {"gelu erf", NN_EW_ACT, NN_ACT_GELU_ERF, 0, 0, 1, {1}, {{4096}}},
    {"quick gelu", NN_EW_ACT, NN_ACT_QUICK_GELU, 0, 0, 1, {1}, {{4096}}},
    {"relu", NN_EW_ACT, NN_ACT_RELU, 0, 0, 1, {1}, {{4096}}},
    {"leaky relu", NN_EW_ACT, NN_ACT_LEAKY_RELU, 0.2, 0, 1, {1}, {{4096}}},
    {"tanh", NN_EW_ACT, NN_ACT_TANH, 0, 0, 1, {1}, {{4096}}},
    {"tanh scale", NN_EW_ACT, NN_ACT_TANH_SCALE, 3, 0, 1, {1}, {{4096}}},
    {"sigmoid", NN_EW_ACT, NN_ACT_SIGMOID, 0, 0, 1, {1}, {{4096}}},
    {"clamp", NN_EW_ACT, NN_ACT_CLAMP, -0.5, 0.25, 1, {1}, {{4096}}},
};

static nn_tensor record(struct nn_rec *r, const struct row *w, const nn_tensor *x)
{
    switch (w->op) {
    case NN_EW_ADD:
        return nn_add(r, x[0], x[1]);
    case NN_EW_SUB:
        return nn_sub(r, x[0], x[1]);
    case NN_EW_MUL:
        return nn_mul(r, x[0], x[1]);
    case NN_EW_DIV:
        return nn_div(r, x[0], x[1]);
    case NN_EW_MIN:
        return nn_min(r, x[0], x[1]);
    case NN_EW_MAX:
        return nn_max(r, x[0], x[1]);
    case NN_EW_FMA:
        return nn_fma(r, x[0], x[1], x[2]);
    case NN_EW_GATED:
        return nn_add_gated(r, x[0], x[1], x[2]);
    case NN_EW_LERP:
        return nn_lerp(r, x[0], x[1], x[2]);
    case NN_EW_MODULATE:
        return nn_modulate(r, x[0], x[1], x[2]);
    case NN_EW_SCALE:
        return nn_scale(r, x[0], (float)w->a, (float)w->b);
    case NN_EW_EXP:
        return nn_exp(r, x[0]);
    }
    return nn_activate(r, x[0],
                       (struct nn_activation){(enum nn_act)w->act, (float)w->a, (float)w->b});
}

static void check(struct tensors *t, const struct row *w, const enum nn_dtype *d, bool strided)
{
    struct ref x[3];
    nn_tensor in[3];
    for (uint32_t k = 0; k < w->n; k++) {
        x[k] = ref_random(k + 1, w->rank[k], w->shape[k]);
        size_t n = ref_count(&x[k]);
        for (size_t i = 0; i < n; i++)
            x[k].v[i] = w->op == NN_EW_DIV && k ? 1.5 + x[k].v[i] : 6 * x[k].v[i];
        in[k] = strided ? tensors_put_strided(t, &x[k], d[k]) : tensors_put(t, &x[k], d[k]);
    }
    struct ref want = ref_elementwise(w->op, w->act, (float)w->a, (float)w->b, w->n, x);
    /* exp and the like are within 2 ulp or so of the device; the rms is of values up to 400 */
    tensors_expect(t, record(t->r, w, in), &want, 4e-7, w->name);
    for (uint32_t k = 0; k < w->n; k++)
        ref_free(&x[k]);
    ref_free(&want);
}

static void every_op(const struct nn_rec_opts *o)
{
    struct tensors t;
    static const enum nn_dtype types[][3] = {
        {NN_F32, NN_F32, NN_F32}, {NN_F16, NN_F16, NN_F16}, {NN_BF16, NN_F32, NN_F16}};
    tensors_begin_with(&t, o);
    /* views of one type only: every pair is a pipeline to be made */
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t d = 0; d < 4; d++)
            check(&t, &rows[i], types[d % 3], d == 3);
    tensors_end(&t);
}

static void every_op_and_broadcast(void **state)
{
    (void)state;
    every_op(NULL);
}

static void the_same_through_storage_buffers(void **state)
{
    (void)state;
    every_op(&(struct nn_rec_opts){.ssbo = true});
}

static void casts_round_to_nearest_even(void **state)
{
    static const double odd[] = {
        1 + 0x1p-11, 1 + 3 * 0x1p-11, 1 + 0x1.8p-11, 65519, 65520, -1e6,     0x1p-24,
        0x1p-25,     0x1.8p-25,       3e-5,          0,     -0.0,  INFINITY, NAN};
    struct tensors t;
    enum { COUNT = sizeof odd / sizeof *odd };
    struct ref x = ref_new(NN_SHAPE(COUNT)), want = ref_new(NN_SHAPE(COUNT));
    (void)state;
    tensors_begin(&t);
    for (int d = NN_F16; d <= NN_BF16; d++) {
        nn_tensor same;
        memcpy(x.v, odd, sizeof odd);
        memcpy(want.v, odd, sizeof odd);
        nn_tensor in = tensors_put(&t, &x, NN_F32);
        assert_ok(nn_store_tensor(&same, t.store, (enum nn_dtype)d, NN_SHAPE(COUNT), "want"));
        tensors_put(&t, &want, (enum nn_dtype)d); /* rounds want on the host */
        struct ref got = tensors_get(&t, nn_cast(t.r, in, (enum nn_dtype)d));
        for (size_t i = 0; i < COUNT; i++)
            if (got.v[i] != want.v[i] && !(isnan(got.v[i]) && isnan(want.v[i])))
                fail_msg("%s of %.9g = %.9g, expected %.9g", nn_dtype_name((enum nn_dtype)d),
                         odd[i], got.v[i], want.v[i]);
        ref_free(&got);
    }
    ref_free(&x);
    ref_free(&want);
    tensors_end(&t);
}

static void channels_last_is_kept(void **state)
{
    struct tensors t;
    struct ref x = ref_random(1, NN_SHAPE(2, 6, 3, 5)), bias = ref_random(2, NN_SHAPE(6, 1, 1));
    (void)state;
    tensors_begin(&t);
    nn_tensor in = nn_channels_last(t.r, tensors_put(&t, &x, NN_F32));
    nn_tensor y = nn_add(t.r, in, tensors_put(&t, &bias, NN_F32));
    assert_int_equal(y.stride[1], 1);
    assert_int_equal(y.stride[3], 6);
    struct ref want = ref_elementwise(NN_EW_ADD, 0, 0, 0, 2, (struct ref[]){x, bias});
    tensors_expect(&t, y, &want, 1e-7, "channels last");
    ref_free(&want);
    ref_free(&bias);
    ref_free(&x);
    tensors_end(&t);
}

/* More than one storage binding on lavapipe (128 MiB); the largest device limit is not met. */
static void more_than_one_binding(void **state)
{
    struct tensors t;
    const uint32_t n = 35 * 1024 * 1024 + 5;
    float *f = malloc(4ull * n);
    nn_tensor x;
    (void)state;
    if (test_device()->caps.max_storage_range >= 4ull * n) {
        free(f);
        skip(); /* one binding takes it */
    }
    tensors_begin(&t);
    for (uint32_t i = 0; i < n; i++)
        f[i] = (float)(i % 1000);
    assert_ok(nn_store_tensor(&x, t.store, NN_F32, NN_SHAPE(n), "large"));
    assert_ok(nn_upload(x, f));
    nn_tensor y = nn_scale(t.r, x, 2, 1);
    assert_ok(nn_end(t.r));
    assert_ok(nn_run(t.r));
    memset(f, 0, 4ull * n);
    assert_ok(nn_fetch(f, y));
    for (uint32_t i = 0; i < n; i++)
        if (f[i] != (float)(2 * (i % 1000) + 1))
            fail_msg("[%u] = %g", i, (double)f[i]);
    free(f);
    tensors_end(&t);
}

static void rejects_shapes_that_do_not_broadcast(void **state)
{
    struct tensors t;
    struct ref x = ref_random(1, NN_SHAPE(2, 3)), y = ref_random(2, NN_SHAPE(4));
    (void)state;
    tensors_begin(&t);
    nn_tensor a = tensors_put(&t, &x, NN_F32), b = tensors_put(&t, &y, NN_F32);
    nn_push_named(t.r, "block %d", 7);
    assert_true(nn_is_null(nn_add(t.r, a, b)));
    assert_true(nn_is_null(nn_add(t.r, a, a))); /* nothing more is done */
    assert_fails(nn_end(t.r), FV_EINVALID,
                 "block 7: nn_add: f32 [2, 3] and f32 [4] do not broadcast");
    assert_fails(nn_run(t.r), FV_EINVALID, "do not broadcast");
    nn_begin(t.r);
    nn_sqrt(t.r, (nn_tensor){0});
    assert_fails(nn_end(t.r), FV_EINVALID, "nn_sqrt: operand 0 is missing");
    ref_free(&x);
    ref_free(&y);
    tensors_end(&t);
}

static void gated_linear_units(void **state)
{
    struct tensors t;
    struct ref x = ref_random(1, NN_SHAPE(5, 14));
    (void)state;
    tensors_begin(&t);
    nn_tensor in = tensors_put(&t, &x, NN_F32);
    struct ref half[2] = {ref_slice(&x, 1, 0, 7), ref_slice(&x, 1, 7, 7)};
    for (int swap = 0; swap < 2; swap++) {
        struct ref act = ref_elementwise(NN_EW_ACT, NN_ACT_GELU_TANH, 0, 0, 1, &half[swap]);
        struct ref want = ref_elementwise(NN_EW_MUL, 0, 0, 0, 2, (struct ref[]){act, half[!swap]});
        tensors_expect(&t, nn_glu(t.r, in, (struct nn_activation){NN_GELU_TANH}, swap), &want, 1e-6,
                       "glu");
        ref_free(&act);
        ref_free(&want);
    }
    ref_free(&half[0]);
    ref_free(&half[1]);
    ref_free(&x);
    tensors_end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_op_and_broadcast),
        cmocka_unit_test(the_same_through_storage_buffers),
        cmocka_unit_test(casts_round_to_nearest_even),
        cmocka_unit_test(channels_last_is_kept),
        cmocka_unit_test(more_than_one_binding),
        cmocka_unit_test(rejects_shapes_that_do_not_broadcast),
        cmocka_unit_test(gated_linear_units),
    };
    test_device();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_device_done();
    return failed;
}
