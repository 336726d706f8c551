/* Norms against their double-precision twins. */
#include "ref/norm.h"
#include "support/tensors.h"

static double silu(double v)
{
    return v / (1 + exp(-v));
}

/* ---- groups ------------------------------------------------------------------------------ */

static const struct {
    uint32_t x[5], groups, span;
} groups[] = {
    {{1, 32, 2, 4, 6}, 8, 2},     {{2, 64, 4, 3, 4}, 32, 1}, {{1, 8, 2, 16, 20}, 4, 2},
    {{2, 6, 3, 5, 7}, 3, 1},      {{1, 12, 1, 1, 1}, 2, 1},  {{1, 32, 3, 37, 41}, 32, 3},
    {{1, 16, 1, 150, 130}, 4, 1}, {{3, 5, 1, 1, 9}, 1, 1},   {{1, 16384, 1, 18, 18}, 1, 1},
};

struct form {
    enum nn_dtype x, w;
    bool last, strided, affine;
    double offset; /* added to x: a mean far from 0 */
};

static const struct form forms[] = {
    {NN_F32, NN_F32, true, false, true, 0},     {NN_F32, NN_F16, false, false, true, 0},
    {NN_F16, NN_F16, true, true, true, 0},      {NN_F16, NN_F32, false, true, false, 0},
    {NN_BF16, NN_BF16, true, false, true, 0},   {NN_F32, NN_F32, true, false, false, 100},
    {NN_F32, NN_F32, false, false, false, 100},
};

static void check_group(struct tensors *t, size_t k, const struct form *f)
{
    char what[96];
    struct ref x = ref_random(1, 5, groups[k].x);
    struct ref w = ref_random(2, NN_SHAPE(x.shape[1])), b = ref_random(3, NN_SHAPE(x.shape[1]));
    for (size_t i = 0; i < ref_count(&x); i++)
        x.v[i] += f->offset;
    nn_tensor in = f->strided ? tensors_put_strided(t, &x, f->x) : tensors_put(t, &x, f->x);
    in = f->last ? nn_channels_last(t->r, in) : in;
    struct nn_group_norm_opts o = {
        .groups = groups[k].groups, .span = groups[k].span, .eps = 1e-5f};
    if (f->affine) {
        o.weight = tensors_put(t, &w, f->w);
        o.bias = tensors_put(t, &b, f->w);
        o.act.act = NN_SILU;
    }
    struct ref want =
        ref_group_norm(&x, o.groups, o.span, o.eps, f->affine ? &w : NULL, f->affine ? &b : NULL);
    for (size_t i = 0; i < ref_count(&want) && f->affine; i++)
        want.v[i] = silu(want.v[i]);
    snprintf(what, sizeof what, "group norm %zu (%s%s%s)", k, nn_dtype_name(f->x),
             f->last ? ", channels last" : "", f->strided ? ", strided" : "");
    nn_tensor y = nn_group_norm(t->r, in, &o);
    if (f->last && nn_count(y) / y.shape[0] > y.shape[1])
        assert_int_equal(y.stride[1], 1);
    tensors_expect(t, y, &want, f->offset != 0 ? 1e-4 : 4e-6, what);
    ref_free(&x);
    ref_free(&w);
    ref_free(&b);
    ref_free(&want);
}

static void group_rows(const struct nn_rec_opts *o)
{
    struct tensors t;
    tensors_begin_with(&t, o);
    for (size_t k = 0; k < sizeof groups / sizeof *groups; k++)
        for (size_t i = 0; i < (groups[k].x[1] > 1000 ? 1 : sizeof forms / sizeof *forms); i++)
            check_group(&t, k, &forms[i]);
    tensors_end(&t);
}

static void group_norms(void **state)
{
    (void)state;
    group_rows(NULL);
}

static void group_norms_through_storage_buffers(void **state)
{
    (void)state;
    group_rows(&(struct nn_rec_opts){.ssbo = true});
}

/* Statistics of two halves merged are those of the whole, and applied give the same result. */
static void statistics_of_chunks(void **state)
{
    struct tensors t;
    struct ref x = ref_random(1, NN_SHAPE(2, 16, 5, 9, 8));
    (void)state;
    tensors_begin(&t);
    for (size_t i = 0; i < ref_count(&x); i++)
        x.v[i] = 3 + x.v[i] * (i % 7);
    nn_tensor in = nn_channels_last(t.r, tensors_put(&t, &x, NN_F32));
    struct ref want = ref_group_stats(&x, 4, 5);
    nn_tensor a = nn_group_stats(t.r, nn_slice(t.r, in, 2, 0, 2), 4, 0);
    nn_tensor b = nn_group_stats(t.r, nn_slice(t.r, in, 2, 2, 3), 4, 0);
    nn_tensor both = nn_group_stats_merge(t.r, a, b);
    tensors_expect(&t, both, &want, 1e-6, "merged statistics");
    in = nn_channels_last(t.r, tensors_put(&t, &x, NN_F32));
    nn_tensor stats = tensors_put(&t, &want, NN_F32);
    nn_tensor half = nn_group_norm(t.r, nn_slice(t.r, in, 2, 2, 3),
                                   &(struct nn_group_norm_opts){.groups = 4, .stats = stats});
    struct ref whole = ref_group_norm(&x, 4, 5, 1e-6, NULL, NULL),
               part = ref_slice(&whole, 2, 2, 3);
    tensors_expect(&t, half, &part, 4e-6, "with given statistics");
    ref_free(&whole);
    ref_free(&part);
    ref_free(&want);
    ref_free(&x);
    tensors_end(&t);
}

/* ---- rows -------------------------------------------------------------------------------- */

static const struct {
    uint32_t rank, x[5];
    bool channels;
    uint32_t modulated; /* rows of shift and scale, 0: none */
} norms[] = {
    {2, {17, 72}, false, 0},        {3, {2, 9, 1152}, false, 2},
    {2, {1, 4}, false, 1},          {3, {2, 5, 33}, false, 2},
    {4, {2, 3, 5, 1}, false, 0},    {2, {130, 6}, false, 10},
    {5, {2, 96, 2, 3, 5}, true, 2}, {4, {1, 16, 4, 4}, true, 1},
    {3, {2, 7, 5}, true, 0},        {1, {64}, false, 0},
    {2, {11, 516}, false, 11},      {2, {10, 1032}, false, 5},
};

static void check_row(struct tensors *t, size_t k, const struct form *f, bool rms)
{
    char what[96];
    struct ref x = ref_random(1, norms[k].rank, norms[k].x);
    uint32_t width = x.shape[norms[k].channels ? 1 : x.rank - 1], many = norms[k].modulated;
    struct ref w = ref_random(2, NN_SHAPE(width)), b = ref_random(3, NN_SHAPE(width));
    struct ref shift = ref_random(4, NN_SHAPE(many ? many : 1, width)), scale = ref_clone(&shift);
    for (size_t i = 0; i < ref_count(&x); i++)
        x.v[i] += f->offset;
    nn_tensor in = f->strided ? tensors_put_strided(t, &x, f->x) : tensors_put(t, &x, f->x);
    in = f->last && norms[k].channels ? nn_channels_last(t->r, in) : in;
    struct nn_norm_opts o = {.eps = 1e-5f, .channels = norms[k].channels};
    struct ref_row_norm c = {.rms = rms, .channels = o.channels, .eps = o.eps};
    if (f->affine) {
        o.weight = tensors_put(t, &w, f->w);
        o.bias = tensors_put(t, &b, f->w);
        o.act.act = NN_SILU;
        c.weight = &w;
        c.bias = &b;
    }
    if (many) {
        o.shift = tensors_put(t, &shift, f->w);
        o.scale = tensors_put(t, &scale, f->w);
        c.shift = &shift;
        c.scale = &scale;
    }
    struct ref want = ref_row_norm(&x, &c);
    for (size_t i = 0; i < ref_count(&want) && f->affine; i++)
        want.v[i] = silu(want.v[i]);
    snprintf(what, sizeof what, "%s norm %zu (%s%s%s)", rms ? "rms" : "layer", k,
             nn_dtype_name(f->x), f->last ? ", channels last" : "", f->strided ? ", strided" : "");
    nn_tensor y = (rms ? nn_rms_norm : nn_layer_norm)(t->r, in, &o);
    tensors_expect(t, y, &want, f->offset != 0 ? 1e-4 : 4e-6, what);
    ref_free(&x);
    ref_free(&w);
    ref_free(&b);
    ref_free(&shift);
    ref_free(&scale);
    ref_free(&want);
}

static void row_norms(const struct nn_rec_opts *o)
{
    struct tensors t;
    tensors_begin_with(&t, o);
    for (size_t k = 0; k < sizeof norms / sizeof *norms; k++)
        for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
            for (int rms = 0; rms < 2; rms++)
                check_row(&t, k, &forms[i], rms);
    tensors_end(&t);
}

static void layer_and_rms_norms(void **state)
{
    (void)state;
    row_norms(NULL);
}

static void row_norms_through_storage_buffers(void **state)
{
    (void)state;
    row_norms(&(struct nn_rec_opts){.ssbo = true});
}

static void row_norms_an_invocation_each(void **state)
{
    (void)state;
    row_norms(&(struct nn_rec_opts){.kernel = NN_KERNEL_SHARED});
}

/* Results of another dtype, and more than one binding of rows. */
static void results_in_f16(void **state)
{
    struct tensors t;
    struct ref x = ref_random(1, NN_SHAPE(1, 8, 2, 6, 6)), rows = ref_random(2, NN_SHAPE(5, 12));
    (void)state;
    tensors_begin(&t);
    struct ref want = ref_group_norm(&x, 2, 2, 1e-6, NULL, NULL);
    nn_tensor y = nn_group_norm(t.r, tensors_put(&t, &x, NN_F32),
                                &(struct nn_group_norm_opts){.groups = 2, .dtype = NN_F16});
    assert_int_equal(y.dtype, NN_F16);
    tensors_expect(&t, y, &want, 4e-6, "f16");
    ref_free(&want);
    want = ref_row_norm(&rows, &(struct ref_row_norm){.eps = 1e-6});
    y = nn_layer_norm(t.r, tensors_put(&t, &rows, NN_F32), &(struct nn_norm_opts){.dtype = NN_F16});
    assert_int_equal(y.dtype, NN_F16);
    tensors_expect(&t, y, &want, 4e-6, "f16");
    ref_free(&want);
    ref_free(&x);
    ref_free(&rows);
    tensors_end(&t);
}

/* More than one storage binding on lavapipe (128 MiB). */
static void more_than_one_binding(void **state)
{
    struct tensors t;
    enum { ROWS = 300007, WIDTH = 120 };
    static const uint32_t at[] = {0, 1, 270000, 279620, 279621, ROWS - 1};
    float *f = malloc(4ull * ROWS * WIDTH);
    nn_tensor x;
    (void)state;
    for (size_t i = 0; i < (size_t)ROWS * WIDTH; i++)
        f[i] = (float)(i * 2654435761u % 1024) / 512 - 1;
    for (int group = 0; group < 2; group++) {
        struct ref stats = ref_new(4, (uint32_t[]){1, 1, 1, 3});
        stats.v[0] = 4;
        stats.v[1] = 0.25;
        stats.v[2] = 9;
        tensors_begin(&t);
        assert_ok(nn_store_tensor(&x, t.store, NN_F32, NN_SHAPE(1, ROWS, WIDTH), "large"));
        assert_ok(nn_upload(x, f));
        nn_tensor y;
        if (group)
            y = nn_group_norm(t.r, nn_permute(t.r, x, NN_ORDER(0, 2, 1)),
                              &(struct nn_group_norm_opts){
                                  .groups = 1, .stats = tensors_put(&t, &stats, NN_F32)});
        else
            y = nn_layer_norm(t.r, x, NULL);
        if (group)
            y = nn_permute(t.r, y, NN_ORDER(0, 2, 1));
        nn_tensor some[6];
        for (int i = 0; i < 6; i++)
            some[i] = nn_slice(t.r, y, 1, at[i], 1);
        struct ref want = ref_new(3, (uint32_t[]){1, 6, WIDTH});
        for (size_t i = 0; i < 6 * WIDTH; i++)
            want.v[i] = (double)f[at[i / WIDTH] * (size_t)WIDTH + i % WIDTH];
        struct ref normal = ref_row_norm(&want, &(struct ref_row_norm){.eps = 1e-6});
        for (size_t i = 0; i < 6 * WIDTH; i++)
            want.v[i] = (want.v[i] - 0.25) / sqrt(9.0 / 4 + 1e-6);
        tensors_expect(&t, nn_concat(t.r, 1, some, 6), group ? &want : &normal, 4e-6,
                       "rows of many");
        ref_free(&want);
        ref_free(&normal);
        ref_free(&stats);
        tensors_end(&t);
    }
    free(f);
}

static void rejects_what_does_not_fit(void **state)
{
    struct tensors t;
    struct ref x = ref_random(1, NN_SHAPE(1, 6, 4, 2, 2)), v = ref_random(2, NN_SHAPE(5));
    (void)state;
    tensors_begin(&t);
    nn_tensor a = tensors_put(&t, &x, NN_F32), b = tensors_put(&t, &v, NN_F32);
    nn_group_norm(t.r, a, NULL);
    assert_fails(nn_end(t.r), FV_EINVALID,
                 "nn_group_norm: f32 [1, 6, 4, 2, 2] does not part into 32 groups");
    nn_begin(t.r);
    nn_group_norm(t.r, a, &(struct nn_group_norm_opts){.groups = 3, .span = 3});
    assert_fails(nn_end(t.r), FV_EINVALID, "spans of 3 frames");
    nn_begin(t.r);
    nn_group_norm(t.r, a, &(struct nn_group_norm_opts){.groups = 3, .weight = b});
    assert_fails(nn_end(t.r), FV_EINVALID, "weight is f32 [5], expected [6]");
    nn_begin(t.r);
    nn_layer_norm(t.r, a, &(struct nn_norm_opts){.bias = b});
    assert_fails(nn_end(t.r), FV_EINVALID, "nn_layer_norm: bias is f32 [5], expected [2]");
    nn_begin(t.r);
    nn_rms_norm(t.r, a, &(struct nn_norm_opts){.channels = true, .shift = b});
    assert_fails(nn_end(t.r), FV_EINVALID, "shift is f32 [5]");
    ref_free(&x);
    ref_free(&v);
    tensors_end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(group_norms),
        cmocka_unit_test(group_norms_through_storage_buffers),
        cmocka_unit_test(statistics_of_chunks),
        cmocka_unit_test(layer_and_rms_norms),
        cmocka_unit_test(row_norms_through_storage_buffers),
        cmocka_unit_test(row_norms_an_invocation_each),
        cmocka_unit_test(results_in_f16),
        cmocka_unit_test(more_than_one_binding),
        cmocka_unit_test(rejects_what_does_not_fit),
    };
    test_device();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_device_done();
    return failed;
}
