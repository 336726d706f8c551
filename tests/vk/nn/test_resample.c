/* Up- and downsampling, pooling, means against their references. */
#include "support/tensors.h"

static const enum nn_dtype types[] = {NN_F32, NN_F16, NN_BF16};

static const struct {
    uint32_t rank, shape[5], f[3];
} factors[] = {
    {3, {2, 3, 5}, {1, 1, 2}},       {4, {2, 3, 4, 5}, {1, 2, 2}},
    {4, {1, 4, 3, 8}, {1, 3, 2}},    {5, {1, 2, 3, 4, 5}, {2, 2, 2}},
    {5, {1, 2, 4, 2, 8}, {2, 1, 1}}, {5, {2, 2, 1, 3, 4}, {1, 2, 2}},
    {4, {2, 3, 4, 8}, {1, 2, 2}},    {5, {1, 2, 3, 4, 16}, {2, 2, 2}},
    {3, {2, 3, 16}, {1, 1, 2}},      {4, {1, 3, 5, 16}, {1, 5, 2}},
};

static void upsample(const struct nn_rec_opts *o)
{
    struct tensors t;
    tensors_begin_with(&t, o);
    for (size_t i = 0; i < sizeof factors / sizeof *factors; i++)
        for (int linear = 0; linear < 2; linear++)
            for (int k = 0; k < 6; k++) {
                struct ref x = ref_random(i, factors[i].rank, factors[i].shape);
                nn_tensor in = k < 3 ? tensors_put(&t, &x, types[k])
                                     : tensors_put_strided(&t, &x, types[k - 3]);
                struct ref want = ref_upsample(&x, factors[i].f, linear);
                nn_tensor y = nn_upsample(t.r, in, linear ? NN_LINEAR : NN_NEAREST, factors[i].f);
                /* 16-bit results are rounded after each axis */
                double tol = linear ? (k % 3 == 0 ? 3e-7 : k % 3 == 1 ? 2e-3 : 1.6e-2) : 0;
                tensors_expect(&t, y, &want, tol, "upsample");
                ref_free(&want);
                ref_free(&x);
            }
    tensors_end(&t);
}

static void upsampling_by_whole_factors(void **state)
{
    (void)state;
    upsample(NULL);
}

static void upsampling_through_storage_buffers(void **state)
{
    (void)state;
    upsample(&(struct nn_rec_opts){.ssbo = true});
}

/* Of 0 1 4 9 16, by hand from the definitions. */
static const struct {
    enum nn_filter filter;
    bool antialias;
    uint32_t to;
    double want[8];
} resized[] = {
    {NN_NEAREST, false, 8, {0, 0, 1, 1, 4, 9, 9, 16}},
    {NN_NEAREST, false, 3, {0, 1, 9}},
    {NN_LINEAR, false, 8, {0, 0.4375, 1.1875, 3.0625, 5.5625, 8.6875, 12.9375, 16}},
    {NN_LINEAR, false, 3, {1. / 3, 4, 13 + 2. / 3}},
    {NN_AREA, false, 3, {0.5, 14. / 3, 12.5}},
    {NN_AREA, false, 5, {0, 1, 4, 9, 16}},
};

static void resizing_matches_known_values(void **state)
{
    struct tensors t;
    struct ref x = ref_new(NN_SHAPE(1, 1, 1, 5));
    (void)state;
    for (int i = 0; i < 5; i++)
        x.v[i] = i * i;
    tensors_begin(&t);
    nn_tensor in = tensors_put(&t, &x, NN_F32);
    for (size_t i = 0; i < sizeof resized / sizeof *resized; i++) {
        uint32_t n = resized[i].to;
        struct ref want = ref_new(NN_SHAPE(1, 1, 1, n)), column = ref_new(NN_SHAPE(1, 1, n, 1));
        memcpy(want.v, resized[i].want, n * sizeof *want.v);
        memcpy(column.v, resized[i].want, n * sizeof *want.v);
        tensors_expect(&t, nn_resize(t.r, in, resized[i].filter, 1, n, resized[i].antialias), &want,
                       1e-6, "row");
        nn_tensor up = nn_transpose(t.r, in, 2, 3);
        tensors_expect(&t, nn_resize(t.r, up, resized[i].filter, n, 1, resized[i].antialias),
                       &column, 1e-6, "column");
        ref_free(&want);
        ref_free(&column);
    }
    ref_free(&x);
    tensors_end(&t);
}

/* What every filter must do: keep a constant, keep a ramp's middle, be exact at its own size. */
static void every_filter_keeps_constants_and_ramps(void **state)
{
    static const uint32_t sizes[][2] = {{31, 47}, {64, 20}, {20, 64}, {7, 9}, {33, 33}};
    struct tensors t;
    struct ref flat = ref_new(NN_SHAPE(1, 2, 33, 33)), ramp = ref_new(NN_SHAPE(1, 1, 33, 33));
    (void)state;
    for (int i = 0; i < 2 * 33 * 33; i++)
        flat.v[i] = 3;
    for (int i = 0; i < 33 * 33; i++)
        ramp.v[i] = i % 33 + 0.5;
    tensors_begin(&t);
    nn_tensor a = tensors_put(&t, &flat, NN_F32), b = tensors_put(&t, &ramp, NN_F32);
    for (int filter = NN_NEAREST; filter <= NN_AREA; filter++)
        for (int aa = 0; aa < 2; aa++)
            for (size_t i = 0; i < 5; i++) {
                uint32_t h = sizes[i][0], w = sizes[i][1];
                struct ref want = ref_new(NN_SHAPE(1, 2, h, w));
                for (size_t k = 0; k < ref_count(&want); k++)
                    want.v[k] = 3;
                tensors_expect(&t, nn_resize(t.r, a, (enum nn_filter)filter, h, w, aa), &want, 1e-6,
                               "constant");
                ref_free(&want);
                struct ref got =
                    tensors_get(&t, nn_resize(t.r, b, (enum nn_filter)filter, h, w, aa));
                double slack = filter == NN_NEAREST || filter == NN_AREA ? 0.51 + 33. / w : 0.1;
                for (uint32_t k = w / 4; k < 3 * w / 4; k++)
                    assert_near(got.v[k], (k + 0.5) * 33 / w, slack);
                ref_free(&got);
            }
    ref_free(&flat);
    ref_free(&ramp);
    tensors_end(&t);
}

static void pooling_with_every_padding(void **state)
{
    static const struct {
        uint32_t shape[5], kernel[3], stride[3], pad[3][2];
        int mode[3];
    } rows[] = {
        {{1, 2, 4, 6, 8}, {1, 2, 2}, {1, 2, 2}, {{0, 0}, {0, 0}, {0, 0}}, {0, 0, 0}},
        {{1, 2, 5, 7, 9}, {3, 3, 3}, {2, 2, 2}, {{2, 0}, {0, 1}, {1, 1}}, {1, 0, 2}},
        {{2, 3, 3, 3, 3}, {3, 1, 1}, {2, 1, 1}, {{2, 0}, {0, 0}, {0, 0}}, {1, 1, 1}},
    };
    struct tensors t;
    (void)state;
    tensors_begin(&t);
    for (size_t i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++) {
            struct ref x = ref_random(i, 5, rows[i].shape);
            struct nn_pool o = {.kernel = {0}};
            uint32_t pad[3][2];
            nn_tensor in = tensors_put_strided(&t, &x, types[k]);
            memcpy(o.kernel, rows[i].kernel, sizeof o.kernel);
            memcpy(o.stride, rows[i].stride, sizeof o.stride);
            memcpy(o.pad, rows[i].pad, sizeof o.pad);
            memcpy(pad, rows[i].pad, sizeof pad);
            for (int a = 0; a < 3; a++)
                o.mode[a] = (enum nn_pad_mode)rows[i].mode[a];
            struct ref want = ref_avg_pool(&x, o.kernel, o.stride, pad, rows[i].mode);
            tensors_expect(&t, nn_avg_pool(t.r, in, &o), &want, 3e-7, "pool");
            ref_free(&want);
            ref_free(&x);
        }
    struct ref x = ref_random(8, NN_SHAPE(2, 3, 6, 4)), want;
    nn_tensor in = tensors_put(&t, &x, NN_F32);
    struct ref video = {.rank = 5, .shape = {2, 3, 1, 6, 4}, .v = x.v};
    want = ref_avg_pool(&video, (uint32_t[]){1, 3, 2}, (uint32_t[]){1, 3, 2}, (uint32_t[3][2]){{0}},
                        (int[]){0, 0, 0});
    want.rank = 4;
    want.shape[2] = 2;
    want.shape[3] = 2;
    tensors_expect(&t, nn_avg_pool(t.r, in, &(struct nn_pool){.kernel = {1, 3, 2}}), &want, 3e-7,
                   "image");
    ref_free(&want);
    ref_free(&x);
    tensors_end(&t);
}

static void means_of_any_axis(void **state)
{
    static const struct {
        uint32_t rank, shape[5], axis;
    } rows[] = {{1, {1000}, 0},    {2, {7, 33}, 1},      {2, {33, 7}, 0},  {3, {3, 70000, 4}, 1},
                {2, {5, 9001}, 1}, {4, {2, 3, 5, 8}, 2}, {3, {2, 1, 3}, 1}};
    struct tensors t;
    (void)state;
    tensors_begin(&t);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int k = 0; k < 2; k++) {
            struct ref x = ref_random(i, rows[i].rank, rows[i].shape);
            nn_tensor in = tensors_put(&t, &x, types[k]);
            struct ref want = ref_mean(&x, rows[i].axis);
            tensors_expect(&t, nn_mean(t.r, in, (int)rows[i].axis - (int)rows[i].rank), &want, 2e-5,
                           "mean");
            ref_free(&want);
            ref_free(&x);
        }
    tensors_end(&t);
}

static void softmax_of_rows(void **state)
{
    static const struct {
        uint32_t rank, shape[5];
        double scale, spread;
    } rows[] = {{1, {1}, 1, 1},        {2, {3, 7}, 1, 10},   {2, {5, 64}, 0.125, 100},
                {3, {2, 3, 60}, 1, 1}, {2, {3, 4099}, 1, 5}, {2, {200, 12}, -2, 3},
                {2, {2, 20000}, 1, 30},  {2, {300, 60}, 0.5, 30}, {2, {263, 7}, 1, 3},
                {2, {300, 1028}, 1, 9}};
    struct tensors t;
    (void)state;
    tensors_begin(&t);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int k = 0; k < 3; k++) {
            struct ref x = ref_random(i, rows[i].rank, rows[i].shape);
            for (size_t e = 0; e < ref_count(&x); e++)
                x.v[e] *= rows[i].spread;
            if (rows[i].shape[0] % 3 == 0) /* hidden ones, the first included */
                x.v[0] = x.v[5] = -INFINITY;
            nn_tensor in =
                k == 2 ? tensors_put_strided(&t, &x, NN_F32) : tensors_put(&t, &x, types[k]);
            struct ref want = ref_softmax(&x, rows[i].scale);
            tensors_expect(&t, nn_softmax(t.r, in, (float)rows[i].scale), &want, 4e-6, "softmax");
            ref_free(&want);
            ref_free(&x);
        }
    tensors_end(&t);
}

static void rejects_wrong_arguments(void **state)
{
    struct tensors t;
    struct ref x = ref_random(1, NN_SHAPE(1, 2, 3, 4));
    (void)state;
    tensors_begin(&t);
    nn_tensor in = tensors_put(&t, &x, NN_F32);
#define REJECT(call, text)                                                                         \
    (void)(call);                                                                                  \
    assert_fails(nn_end(t.r), FV_EINVALID, text);                                                  \
    nn_begin(t.r)
    REJECT(nn_upsample(t.r, in, NN_NEAREST, (uint32_t[]){2, 1, 1}), "factors 2, 1, 1 of f32");
    REJECT(nn_upsample(t.r, in, NN_LINEAR, (uint32_t[]){1, 0, 1}), "factors 1, 0, 1");
    REJECT(nn_resize(t.r, in, NN_LINEAR, 0, 3, false), "to 0 rows");
    REJECT(nn_avg_pool(t.r, in, &(struct nn_pool){.kernel = {1, 9, 1}}), "a window of 9");
    REJECT(nn_mean(t.r, in, 4), "axis 4");
    ref_free(&x);
    tensors_end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(upsampling_by_whole_factors),
        cmocka_unit_test(upsampling_through_storage_buffers),
        cmocka_unit_test(resizing_matches_known_values),
        cmocka_unit_test(every_filter_keeps_constants_and_ramps),
        cmocka_unit_test(pooling_with_every_padding),
        cmocka_unit_test(means_of_any_axis),
        cmocka_unit_test(softmax_of_rows),
        cmocka_unit_test(rejects_wrong_arguments),
    };
    test_device();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_device_done();
    return failed;
}
