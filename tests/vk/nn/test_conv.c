/* Convolutions against their double-precision twins, in every kernel's form. */
#include "ref/conv.h"
#include "support/onnx.h"
#include "support/tensors.h"
#include "vk/nn/conv.h"

struct row {
    const char *name;
    uint32_t x[5], out, kernel[3]; /* x [N, C, T, H, W] */
    struct ref_conv o;
};

/* Zeroes of stride, dilation, upsample and groups are ones (see full). */
static const struct row rows[] = {
    {"3d", {1, 8, 3, 6, 7}, 8, {3, 3, 3}, {.pad = {{1, 1}, {1, 1}, {1, 1}}}},
    {"3d causal replicate",
     {2, 12, 5, 5, 6},
     20,
     {3, 3, 3},
     {.pad = {{2, 0}, {1, 1}, {1, 1}}, .mode = {1, 0, 0}}},
    {"3d causal zero", {1, 4, 4, 9, 3}, 36, {3, 3, 3}, {.pad = {{2, 0}, {1, 1}, {1, 1}}}},
    {"3d replicate everywhere",
     {1, 8, 2, 5, 5},
     8,
     {3, 3, 3},
     {.pad = {{2, 0}, {1, 1}, {1, 1}}, .mode = {1, 1, 1}}},
    {"3d reflect",
     {1, 8, 4, 5, 6},
     4,
     {3, 3, 5},
     {.pad = {{1, 1}, {1, 1}, {2, 2}}, .mode = {2, 2, 2}}},
    {"1x1x1", {2, 16, 2, 3, 5}, 24, {1, 1, 1}, {.stride = {0}}},
    {"1x1x1 strided", {1, 16, 5, 6, 7}, 8, {1, 1, 1}, {.stride = {2, 2, 3}}},
    {"downsample right and bottom",
     {1, 8, 1, 8, 9},
     8,
     {1, 3, 3},
     {.stride = {1, 2, 2}, .pad = {{0, 0}, {0, 1}, {0, 1}}}},
    {"downsample in time",
     {1, 8, 5, 8, 8},
     16,
     {3, 3, 3},
     {.stride = {2, 2, 2}, .pad = {{2, 0}, {0, 1}, {0, 1}}, .mode = {1, 0, 0}}},
    {"upsample",
     {1, 8, 2, 3, 5},
     12,
     {1, 3, 3},
     {.upsample = {1, 2, 2}, .pad = {{0, 0}, {1, 1}, {1, 1}}}},
    {"upsample in time too",
     {1, 4, 3, 3, 4},
     8,
     {3, 3, 3},
     {.upsample = {2, 2, 2}, .pad = {{1, 1}, {1, 1}, {1, 1}}, .mode = {1, 0, 0}}},
    {"dilated",
     {1, 8, 1, 11, 12},
     8,
     {1, 3, 3},
     {.dilation = {1, 2, 3}, .pad = {{0, 0}, {2, 2}, {3, 3}}}},
    {"from rgb", {1, 3, 2, 7, 9}, 16, {1, 3, 3}, {.pad = {{0, 0}, {1, 1}, {1, 1}}}},
    {"to rgb", {1, 16, 2, 6, 5}, 3, {3, 3, 3}, {.pad = {{2, 0}, {1, 1}, {1, 1}}}},
    {"odd channels", {2, 5, 2, 3, 4}, 7, {2, 3, 3}, {.pad = {{1, 0}, {1, 1}, {1, 1}}}},
    {"one of all", {1, 1, 1, 1, 1}, 1, {1, 1, 1}, {.stride = {0}}},
    {"more channels than a tile",
     {1, 36, 1, 5, 9},
     72,
     {1, 3, 3},
     {.pad = {{0, 0}, {1, 1}, {1, 1}}}},
    {"groups", {1, 16, 1, 5, 6}, 24, {1, 3, 3}, {.groups = 4, .pad = {{0, 0}, {1, 1}, {1, 1}}}},
    {"odd groups", {2, 6, 1, 5, 4}, 9, {1, 3, 2}, {.groups = 3, .pad = {{0, 0}, {1, 1}, {1, 1}}}},
    {"depthwise", {1, 12, 2, 6, 5}, 12, {1, 3, 3}, {.groups = 12, .pad = {{0, 0}, {1, 1}, {1, 1}}}},
    {"depthwise twice",
     {1, 8, 1, 6, 5},
     16,
     {1, 3, 3},
     {.groups = 8, .pad = {{0, 0}, {1, 1}, {1, 1}}}},
    {"long kernel", {1, 4, 1, 1, 40}, 4, {1, 1, 17}, {.pad = {{0, 0}, {0, 0}, {8, 8}}}},
};

static struct ref_conv full(struct ref_conv o)
{
    for (int i = 0; i < 3; i++) {
        o.stride[i] = o.stride[i] ? o.stride[i] : 1;
        o.dilation[i] = o.dilation[i] ? o.dilation[i] : 1;
        o.upsample[i] = o.upsample[i] ? o.upsample[i] : 1;
    }
    o.groups = o.groups ? o.groups : 1;
    return o;
}

static struct nn_conv options(const struct ref_conv *c)
{
    struct nn_conv o = {.groups = c->groups};
    for (int i = 0; i < 3; i++) {
        o.stride[i] = c->stride[i];
        o.dilation[i] = c->dilation[i];
        o.upsample[i] = c->upsample[i];
        o.pad[i][0] = c->pad[i][0];
        o.pad[i][1] = c->pad[i][1];
        o.mode[i] = (enum nn_pad_mode)c->mode[i];
    }
    return o;
}

struct form {
    enum nn_dtype x, w, bias;
    bool last, strided, residual;
};

static void activate(struct ref *y, const struct ref *residual)
{
    for (size_t i = 0; i < ref_count(y); i++)
        y->v[i] = y->v[i] / (1 + exp(-y->v[i])) + (residual ? residual->v[i] : 0);
}

static nn_tensor placed(struct tensors *t, struct ref *v, enum nn_dtype d, const struct form *f)
{
    nn_tensor x = f->strided ? tensors_put_strided(t, v, d) : tensors_put(t, v, d);
    return f->last ? nn_channels_last(t->r, x) : x;
}

static void check(struct tensors *t, const struct row *row, const struct form *f,
                  enum nn_conv_kernel kernel)
{
    char what[96];
    struct ref_conv c = full(row->o);
    struct ref x = ref_random(1, 5, row->x);
    struct ref w = ref_random(2, NN_SHAPE(row->out, row->x[1] / c.groups, row->kernel[0],
                                          row->kernel[1], row->kernel[2]));
    struct ref bias = ref_random(3, NN_SHAPE(row->out));
    nn_tensor a = placed(t, &x, f->x, f), b = tensors_put(t, &w, f->w);
    struct nn_conv o = options(&c);
    o.bias = tensors_put(t, &bias, f->bias);
    struct ref want = ref_conv(&x, &w, &bias, &c), residual = ref_random(4, 5, want.shape);
    if (f->residual) {
        o.residual = placed(t, &residual, f->x, f);
        o.act = (struct nn_activation){NN_SILU, 0, 0};
        activate(&want, &residual);
    }
    nn_tensor y = nn_conv_by(t->r, a, b, &o, kernel);
    if (f->last && row->out > 1 && row->x[1] > 1 && row->x[2] * row->x[3] * row->x[4] > 1)
        assert_int_equal(y.stride[1], 1);
    snprintf(what, sizeof what, "%s (%s, %s%s%s)", row->name, nn_dtype_name(f->x),
             f->last ? "channels last" : "row-major", f->strided ? ", strided" : "",
             f->residual ? ", residual" : "");
    tensors_expect(t, y, &want, 2e-6, what);
    ref_free(&x);
    ref_free(&w);
    ref_free(&bias);
    ref_free(&residual);
    ref_free(&want);
}

static const struct form forms[] = {
    {NN_F32, NN_F32, NN_F32, false, false, true},   {NN_F32, NN_F32, NN_F32, true, false, false},
    {NN_F32, NN_F16, NN_F32, true, true, true},     {NN_F16, NN_F16, NN_F16, true, false, true},
    {NN_F16, NN_F32, NN_BF16, false, true, true},   {NN_BF16, NN_BF16, NN_BF16, true, false, true},
    {NN_BF16, NN_F32, NN_F32, false, false, false},
};

/* All forms of the first row, `most` of the others: every form is a pipeline of its own. */
static void every_row(const struct nn_rec_opts *o, enum nn_conv_kernel kernel, size_t most)
{
    struct tensors t;
    tensors_begin_with(&t, o);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t k = 0; k < (i < 1 ? sizeof forms / sizeof *forms : most); k++)
            check(&t, &rows[i], &forms[k], kernel);
    tensors_end(&t);
}

static void the_devices_kernel(void **state)
{
    (void)state;
    every_row(NULL, NN_CONV_BEST, 2);
}

static void the_same_through_storage_buffers(void **state)
{
    (void)state;
    every_row(&(struct nn_rec_opts){.ssbo = true}, NN_CONV_BEST, 1);
}

static void the_same_directly(void **state)
{
    (void)state;
    every_row(NULL, NN_CONV_DIRECT, 1);
}

static void the_same_in_shared_memory(void **state)
{
    (void)state;
    every_row(NULL, NN_CONV_SHARED, 1);
}

/* A clip in chunks with `before` is the clip at once. */
static void frames_before(void **state)
{
    struct tensors t;
    struct ref x = ref_random(1, NN_SHAPE(2, 8, 7, 5, 6)),
               w = ref_random(2, NN_SHAPE(8, 8, 3, 3, 3));
    struct ref_conv c = full((struct ref_conv){.pad = {{2, 0}, {1, 1}, {1, 1}}});
    (void)state;
    tensors_begin(&t);
    for (int i = 0; i < 6; i++) {
        static const enum nn_conv_kernel kernels[] = {NN_CONV_BEST, NN_CONV_DIRECT, NN_CONV_SHARED};
        nn_tensor a = tensors_put(&t, &x, NN_F32), b = tensors_put(&t, &w, NN_F32);
        a = i % 2 ? nn_channels_last(t.r, a) : a;
        struct ref whole = ref_conv(&x, &w, NULL, &c);
        struct ref want = ref_slice(&whole, 2, 3, 4);
        struct nn_conv o = options(&c);
        o.before = nn_slice(t.r, a, 2, 1, 2);
        nn_tensor y = nn_conv_by(t.r, nn_slice(t.r, a, 2, 3, 4), b, &o, kernels[i / 2]);
        tensors_expect(&t, y, &want, 2e-6, "frames before");
        ref_free(&whole);
        ref_free(&want);
    }
    ref_free(&x);
    ref_free(&w);
    tensors_end(&t);
}

/* Ranks 3 and 4, and a kernel of one axis less. */
static void lower_ranks(void **state)
{
    struct tensors t;
    struct ref x = ref_random(1, NN_SHAPE(2, 4, 3, 6, 5)),
               w = ref_random(2, NN_SHAPE(8, 4, 1, 3, 3));
    struct ref_conv c = full((struct ref_conv){.pad = {{0, 0}, {1, 1}, {1, 1}}});
    struct ref want = ref_conv(&x, &w, NULL, &c);
    struct nn_conv o = {NN_SAME_HW(3)};
    (void)state;
    tensors_begin(&t);
    nn_tensor a = tensors_put(&t, &x, NN_F32), b = tensors_put(&t, &w, NN_F32);
    b = nn_squeeze(t.r, b, 2);
    tensors_expect(&t, nn_conv(t.r, a, b, &o), &want, 2e-6, "frames alone");
    struct ref frame = ref_slice(&want, 2, 1, 1);
    frame.rank = 4;
    frame.shape[2] = frame.shape[3];
    frame.shape[3] = frame.shape[4];
    nn_tensor one = nn_squeeze(t.r, nn_slice(t.r, a, 2, 1, 1), 2);
    tensors_expect(&t, nn_conv(t.r, one, b, &o), &frame, 2e-6, "rank 4");
    ref_free(&frame);
    ref_free(&want);
    ref_free(&x);
    ref_free(&w);
    x = ref_random(3, NN_SHAPE(2, 6, 1, 1, 19));
    w = ref_random(4, NN_SHAPE(5, 6, 1, 1, 4));
    c = full((struct ref_conv){.stride = {1, 1, 3}, .pad = {{0, 0}, {0, 0}, {2, 1}}});
    want = ref_conv(&x, &w, NULL, &c);
    want.rank = x.rank = w.rank = 3;
    want.shape[2] = want.shape[4];
    x.shape[2] = x.shape[4];
    w.shape[2] = w.shape[4];
    o = options(&c);
    tensors_expect(&t, nn_conv(t.r, tensors_put(&t, &x, NN_F32), tensors_put(&t, &w, NN_F32), &o),
                   &want, 2e-6, "rank 3");
    ref_free(&want);
    ref_free(&x);
    ref_free(&w);
    tensors_end(&t);
}

static void transposed(void **state)
{
    static const struct {
        uint32_t x[5], per, kernel[3];
        struct ref_conv_transpose o;
    } table[] = {
        {{1, 4, 1, 3, 4}, 8, {1, 4, 4}, {{1, 2, 2}, {0, 1, 1}, {0, 0, 0}, {1, 1, 1}, 1}},
        {{2, 6, 2, 3, 3}, 2, {3, 3, 2}, {{2, 2, 3}, {1, 0, 1}, {1, 0, 1}, {1, 2, 1}, 3}},
        {{1, 8, 2, 4, 5}, 8, {2, 2, 2}, {{2, 2, 2}, {0, 0, 0}, {0, 0, 0}, {1, 1, 1}, 1}},
        {{1, 1, 1, 1, 7}, 3, {1, 1, 5}, {{1, 1, 1}, {0, 0, 2}, {0, 0, 0}, {1, 1, 1}, 1}},
    };
    struct tensors t;
    (void)state;
    tensors_begin(&t);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        for (int last = 0; last < 2; last++) {
            const struct ref_conv_transpose *c = &table[i].o;
            const uint32_t *k = table[i].kernel;
            struct ref x = ref_random(1, 5, table[i].x), bias;
            struct ref w = ref_random(2, NN_SHAPE(table[i].x[1], table[i].per, k[0], k[1], k[2]));
            bias = ref_random(3, NN_SHAPE(table[i].per * c->groups));
            struct nn_conv_transpose o = {.groups = c->groups};
            memcpy(o.stride, c->stride, sizeof o.stride);
            memcpy(o.pad, c->pad, sizeof o.pad);
            memcpy(o.output_pad, c->output_pad, sizeof o.output_pad);
            memcpy(o.dilation, c->dilation, sizeof o.dilation);
            nn_tensor a = tensors_put(&t, &x, NN_F32), b = tensors_put(&t, &w, NN_F32);
            o.bias = tensors_put(&t, &bias, NN_F32);
            a = last ? nn_channels_last(t.r, a) : a;
            struct ref want = ref_conv_transpose(&x, &w, &bias, c);
            tensors_expect(&t, nn_conv_transpose(t.r, a, b, &o), &want, 2e-6, "transposed");
            ref_free(&x);
            ref_free(&w);
            ref_free(&bias);
            ref_free(&want);
        }
    tensors_end(&t);
}

/* Results of more than one storage binding on lavapipe (128 MiB). */
static void more_than_one_binding(void **state)
{
    struct tensors t;
    const uint32_t height = 600, columns = 520, ends[] = {0, 440, height - 1};
    struct ref x = ref_random(1, NN_SHAPE(1, 4, 1, height, columns));
    struct ref w = ref_random(2, NN_SHAPE(112, 4, 1, 1, 1));
    struct ref_conv c = full((struct ref_conv){.groups = 1});
    (void)state;
    tensors_begin(&t);
    for (int i = 0; i < 3; i++) {
        nn_tensor a = nn_channels_last(t.r, tensors_put(&t, &x, NN_F32));
        nn_tensor y = nn_conv(t.r, a, tensors_put(&t, &w, NN_F32), NULL);
        struct ref part = ref_slice(&x, 3, ends[i], 1), want = ref_conv(&part, &w, NULL, &c);
        tensors_expect(&t, nn_slice(t.r, y, 3, ends[i], 1), &want, 2e-6, "a row of many");
        ref_free(&part);
        ref_free(&want);
    }
    ref_free(&x);
    ref_free(&w);
    tensors_end(&t);
}

/* Every second of 6 frames after 2 that went before, the result in parts that begin within and
 * between frames. */
static void frames_in_more_than_one_binding(void **state)
{
    struct tensors t;
    const uint32_t height = 300, columns = 520, ends[] = {0, 140, height - 1};
    struct ref x = ref_random(1, NN_SHAPE(1, 4, 8, height, columns));
    struct ref w = ref_random(2, NN_SHAPE(112, 4, 3, 1, 1));
    struct ref_conv c = full((struct ref_conv){.stride = {2, 1, 1}});
    (void)state;
    tensors_begin(&t);
    for (int i = 0; i < 3; i++) {
        nn_tensor a = nn_channels_last(t.r, tensors_put(&t, &x, NN_F32));
        struct nn_conv o = {.stride = {2, 1, 1}, NN_CAUSAL(3, NN_PAD_ZERO)};
        o.before = nn_slice(t.r, a, 2, 0, 2);
        nn_tensor y = nn_conv(t.r, nn_slice(t.r, a, 2, 2, 6), tensors_put(&t, &w, NN_F32), &o);
        struct ref part = ref_slice(&x, 3, ends[i], 1), want = ref_conv(&part, &w, NULL, &c);
        tensors_expect(&t, nn_slice(t.r, y, 3, ends[i], 1), &want, 2e-6, "a row of many frames");
        ref_free(&part);
        ref_free(&want);
    }
    ref_free(&x);
    ref_free(&w);
    tensors_end(&t);
}

/* What PyTorch computes (ONNX's node cases). */
static void onnx_cases(void **state)
{
    static const char *const names[] = {
        "test_Conv1d_pad1",
        "test_Conv2d",
        "test_Conv2d_groups",
        "test_Conv2d_padding",
        "test_Conv2d_strided",
        "test_Conv3d",
        "test_Conv3d_dilated_strided",
        "test_Conv3d_groups",
        "test_Conv3d_stride",
        "test_Conv3d_stride_padding",
        "test_ConvTranspose2d",
    };
    struct tensors t;
    uint32_t done = 0;
    (void)state;
    tensors_begin(&t);
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        struct onnx_case c;
        uint32_t n, pads[6] = {0}, group = 1, more[3] = {0}, axes, first;
        struct nn_conv o = {.groups = 1};
        if (!onnx_load(&c, names[k]))
            continue;
        done++;
        axes = c.input.rank - 2;
        first = 3 - axes;
        onnx_ints(&c, "group", &group, 1);
        onnx_ints(&c, "strides", o.stride + first, axes);
        onnx_ints(&c, "dilations", o.dilation + first, axes);
        onnx_ints(&c, "output_padding", more + first, axes);
        n = onnx_ints(&c, "pads", pads, 6);
        for (uint32_t i = 0; i < n / 2; i++) {
            o.pad[first + i][0] = pads[i];
            o.pad[first + i][1] = pads[n / 2 + i];
        }
        o.groups = group;
        for (int last = 0; last < 2; last++) {
            nn_tensor x = tensors_put(&t, &c.input, NN_F32),
                      w = tensors_put(&t, &c.weight[0], NN_F32);
            x = last ? nn_channels_last(t.r, x) : x;
            if (c.weights > 1)
                o.bias = tensors_put(&t, &c.weight[1], NN_F32);
            struct nn_conv_transpose b = {.groups = group, .bias = o.bias};
            for (int i = 0; i < 3; i++) {
                b.stride[i] = o.stride[i];
                b.dilation[i] = o.dilation[i];
                b.pad[i] = o.pad[i][0];
                b.output_pad[i] = more[i];
            }
            nn_tensor y =
                strcmp(c.op, "Conv") ? nn_conv_transpose(t.r, x, w, &b) : nn_conv(t.r, x, w, &o);
            tensors_expect(&t, y, &c.output, 2e-6, names[k]);
        }
        onnx_free(&c);
    }
    tensors_end(&t);
    if (!done)
        skip();
}

static void rejects_what_does_not_fit(void **state)
{
    struct tensors t;
    struct ref x = ref_random(1, NN_SHAPE(1, 8, 3, 4, 4)),
               w = ref_random(2, NN_SHAPE(8, 4, 3, 3, 3));
    (void)state;
    tensors_begin(&t);
    nn_tensor a = tensors_put(&t, &x, NN_F32), b = tensors_put(&t, &w, NN_F32);
    nn_conv(t.r, a, b, NULL);
    assert_fails(nn_end(t.r), FV_EINVALID,
                 "nn_conv: x f32 [1, 8, 3, 4, 4] and w f32 [8, 4, 3, 3, 3]");
    nn_begin(t.r);
    nn_conv(t.r, a, b, &(struct nn_conv){.groups = 2, .dilation = {2, 1, 1}});
    assert_fails(nn_end(t.r), FV_EINVALID, "the kernel is longer than the padded operand along T");
    nn_begin(t.r);
    nn_conv(t.r, a, b, &(struct nn_conv){.groups = 2, .bias = a});
    assert_fails(nn_end(t.r), FV_EINVALID, "bias is f32 [1, 8, 3, 4, 4], expected [8]");
    nn_begin(t.r);
    nn_conv(t.r, a, b, &(struct nn_conv){.groups = 2, .residual = a});
    assert_fails(nn_end(t.r), FV_EINVALID,
                 "residual is f32 [1, 8, 3, 4, 4], the result f32 [1, 8, 1, 2, 2]");
    nn_begin(t.r);
    nn_conv(t.r, a, b, &(struct nn_conv){.groups = 2, .pad = {{2, 0}}, .before = a});
    assert_fails(nn_end(t.r), FV_EINVALID, "before is f32 [1, 8, 3, 4, 4]");
    nn_begin(t.r);
    nn_conv(t.r, a, b, &(struct nn_conv){.groups = 2, .pad = {{3, 0}}, .mode = {NN_PAD_REFLECT}});
    assert_fails(nn_end(t.r), FV_EINVALID, "more padding by reflection");
    ref_free(&x);
    ref_free(&w);
    tensors_end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_devices_kernel),
        cmocka_unit_test(the_same_directly),
        cmocka_unit_test(the_same_in_shared_memory),
        cmocka_unit_test(the_same_through_storage_buffers),
        cmocka_unit_test(frames_before),
        cmocka_unit_test(lower_ranks),
        cmocka_unit_test(transposed),
        cmocka_unit_test(onnx_cases),
        cmocka_unit_test(more_than_one_binding),
        cmocka_unit_test(frames_in_more_than_one_binding),
        cmocka_unit_test(rejects_what_does_not_fit),
    };
    test_device();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_device_done();
    return failed;
}
