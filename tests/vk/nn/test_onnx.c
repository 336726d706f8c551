/* ONNX's cases of single operators, made by PyTorch: those of elementwise, layout, softmax and
 * embedding ops (convolutions: test_conv.c). */
#include "support/onnx.h"
#include "support/tensors.h"

typedef nn_tensor (*record_fn)(struct nn_rec *r, nn_tensor x, nn_tensor w,
                               const struct onnx_case *c);

static nn_tensor glu(struct nn_rec *r, nn_tensor x, nn_tensor w, const struct onnx_case *c)
{
    (void)w, (void)c;
    return nn_glu(r, x, (struct nn_activation){NN_SIGMOID}, true);
}

static nn_tensor shuffle(struct nn_rec *r, nn_tensor x, nn_tensor w, const struct onnx_case *c)
{
    uint32_t by = c->output.shape[3] / c->input.shape[3];
    (void)w;
    return nn_depth_to_space(r, x, (uint32_t[]){1, by, by}, false);
}

/* pads: of every axis before, then after. */
static nn_tensor replicate(struct nn_rec *r, nn_tensor x, nn_tensor w, const struct onnx_case *c)
{
    uint32_t pads[8] = {0};
    (void)w;
    assert_int_equal(onnx_ints(c, "pads", pads, 8), 8);
    return nn_pad(r, x, pads, pads + 4, NN_PAD_REPLICATE, 0);
}

static nn_tensor softmax(struct nn_rec *r, nn_tensor x, nn_tensor w, const struct onnx_case *c)
{
    (void)w, (void)c;
    return nn_softmax(r, x, 1);
}

static nn_tensor embed(struct nn_rec *r, nn_tensor x, nn_tensor w, const struct onnx_case *c)
{
    (void)c;
    return nn_embed(r, x, w);
}

static const struct {
    const char *name;
    record_fn record;
    enum nn_dtype input;
} cases[] = {
    {"test_GLU", glu, NN_F32},
    {"test_PixelShuffle", shuffle, NN_F32},
    {"test_ReplicationPad2d", replicate, NN_F32},
    {"test_Softmax", softmax, NN_F32},
    {"test_softmax_lastdim", softmax, NN_F32},
    {"test_Embedding", embed, NN_I32},
};

static void onnx_cases(void **state)
{
    struct tensors t;
    int found = 0;
    (void)state;
    tensors_begin(&t);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct onnx_case c;
        if (!onnx_load(&c, cases[i].name))
            continue;
        nn_tensor x = tensors_put(&t, &c.input, cases[i].input), w = {0};
        if (c.weights)
            w = tensors_put(&t, &c.weight[0], NN_F32);
        tensors_expect(&t, cases[i].record(t.r, x, w, &c), &c.output, 1e-6, cases[i].name);
        onnx_free(&c);
        found++;
    }
    tensors_end(&t);
    if (!found)
        skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(onnx_cases)};
    test_device();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_device_done();
    return failed;
}
