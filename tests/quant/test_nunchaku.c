/* Layers of Nunchaku's files: those of deepcompressor's golden case, packed by its authors' code; FP4; what is
 * refused. */
#include "quant/quant.h"
#include "support/test.h"
#include "vk/base/half.h"
#include "vk/nn/safetensors_write.h"

static float *values(const struct nn_file *f, const char *name)
{
    const struct nn_file_tensor *t = nn_file_find(f, name);
    if (!t)
        fail_msg("no %s", name);
    float *x = malloc((size_t)t->count * sizeof *x + 1);
    assert_ok(nn_file_read(t, NN_DATA_F32, 0, t->count, x));
    return x;
}

/* Packed weights, smoothing and branch together are the layer: W x + b as before. */
static void a_packed_layer_is_the_layer(void **state)
{
    (void)state;
    struct nn_file *f, *g;
    const char *path = test_shared("golden/nn/svdquant/case_128x128_r16.safetensors"), *to = test_tmp_path("packed.safetensors");
    static const char *const names[] = {"qweight", "wscales", "bias", "smooth_orig", "lora_down", "lora_up"};
    static const char *const as[] = {"a.qweight", "a.wscales", "a.bias", "a.smooth", "a.lora_down", "a.lora_up"};
    struct nn_save_tensor list[6];
    if (!path)
        skip();
    assert_ok(nn_file_open(&f, path, NULL));
    for (size_t i = 0; i < 6; i++) {
        char name[64];
        snprintf(name, sizeof name, "nunchaku.%s", names[i]);
        const struct nn_file_tensor *t = nn_file_find(f, name);
        assert_non_null(t);
        list[i] = (struct nn_save_tensor){as[i], t->type, t->rank, {t->shape[0], t->shape[1]}, t->data};
    }
    assert_ok(nn_safetensors_save(to, list, 6, NULL, 0));
    assert_ok(nn_file_open(&g, to, NULL));
    struct qt_nunchaku l;
    struct qt_layer out;
    float bias[128], matrix[128 * 128];
    assert_int_equal(qt_nunchaku_find(&l, g, "a"), 0);
    assert_true(l.n == 128 && l.k == 128 && l.rank == 16 && !l.fp4 && !l.shift);
    assert_ok(qt_nunchaku_read(&out, bias, &l, false));
    qt_layer_matrix(&out, matrix);
    float *w = values(f, "in.weight"), *b = values(f, "in.bias"), *x = values(f, "in.x_calib"), *smooth = values(f, "out.smooth_scale"),
          *want = values(f, "out.y_ref");
    size_t rows = (size_t)nn_file_find(f, "in.x_calib")->shape[0];
    for (size_t i = 0; i < 128; i++) {
        assert_near(bias[i], b[i], 2e-3 * fabs((double)b[i]) + 1e-4);
        assert_near(out.smooth[i], smooth[i], 1e-3 * (double)smooth[i]);
    }
    double error = 0, all = 0;
    for (size_t r = 0; r < rows; r++)
        for (size_t n = 0; n < 128; n++) {
            double sum = bias[n];
            for (size_t k = 0; k < 128; k++)
                sum += (double)matrix[n * 128 + k] * (double)x[r * 128 + k];
            error += pow(sum - (double)want[r * 128 + n], 2);
            all += pow((double)want[r * 128 + n], 2);
        }
    assert_true(sqrt(error / all) < 0.03); /* what 4 bits of weights cost; plain rounding: 0.2 */
    qt_layer_finish(&out);
    free(w), free(b), free(x), free(smooth), free(want);
    nn_file_close(&f);
    nn_file_close(&g);
}

enum { N = 128, K = 256 };

/* FP4 written here element by element, against what is read. */
static void fp4_is_rounded_anew(void **state)
{
    (void)state;
    static uint8_t words[N * K / 2], scales[N * K / 16];
    static uint16_t rows[N];
    static int8_t codes[N * K];
    static float want[N * K], got[N * K], bias[N];
    const float whole = 0.5f;
    for (size_t i = 0; i < N * K; i++)
        codes[i] = (int8_t)((i * 11 + i / 37) % 16);
    qt_nunchaku_pack_codes(words, codes, N, K);
    for (size_t n = 0; n < N; n++) {
        rows[qt_nunchaku_scale_at(n, 0, 1)] = fv_f32_to_f16(1 + (float)n / 128);
        for (size_t g = 0; g < K / 16; g++) /* E4M3: 0x38 is 1, 0x40 is 2 */
            scales[qt_nunchaku_fp4_scale_at(n, g, K / 16)] = g % 2 ? 0x38 : 0x40;
        for (size_t k = 0; k < K; k++)
            want[n * K + k] = qt_fp4(codes[n * K + k]) * (k / 16 % 2 ? 1 : 2) * whole * (1 + (float)n / 128);
    }
    const char *to = test_tmp_path("fp4.safetensors");
    const struct nn_save_tensor list[] = {{"b.mlp_fc2.qweight", NN_DATA_I8, 2, {N, K / 2}, words},
                                          {"b.mlp_fc2.wscales", NN_DATA_F8_E4M3, 2, {K / 16, N}, scales},
                                          {"b.mlp_fc2.wtscale", NN_DATA_F32, 1, {1}, &whole},
                                          {"b.mlp_fc2.wcscales", NN_DATA_F16, 1, {N}, rows}};
    struct nn_file *f;
    struct qt_nunchaku l;
    assert_ok(nn_safetensors_save(to, list, 4, NULL, 0));
    assert_ok(nn_file_open(&f, to, NULL));
    assert_int_equal(qt_nunchaku_find(&l, f, "b.mlp_fc2"), 0);
    assert_true(l.fp4 && !l.shift && !l.rank);
    for (int eight = 0; eight < 2; eight++) {
        struct qt_layer out;
        double error = 0, all = 0;
        assert_ok(qt_nunchaku_read(&out, bias, &l, eight));
        qt_layer_matrix(&out, got);
        for (size_t i = 0; i < N * K; i++) {
            error += pow((double)got[i] - (double)want[i], 2);
            all += pow((double)want[i], 2);
        }
        assert_true(sqrt(error / all) < (eight ? 0.01 : 0.13));
        assert_true(bias[3] == 0);
        qt_layer_finish(&out);
    }
    nn_file_close(&f);
}

/* Behind GELU its codes take x + 0.171875, which ours do not. */
static void the_shift_leaves_the_bias(void **state)
{
    (void)state;
    static uint8_t words[N * N / 2];
    static int8_t codes[N * N];
    static uint16_t scales[2 * N], zero[N];
    static float a[N], b[N];
    for (size_t i = 0; i < N * N; i++)
        codes[i] = (int8_t)(i / N % 8);
    for (size_t i = 0; i < 2 * N; i++)
        scales[i] = fv_f32_to_f16(0.25f);
    qt_nunchaku_pack_codes(words, codes, N, N);
    const char *to = test_tmp_path("fc2.safetensors");
    const struct nn_save_tensor list[] = {{"mlp_fc2.qweight", NN_DATA_I8, 2, {N, N / 2}, words},
                                          {"mlp_fc2.wscales", NN_DATA_F16, 2, {2, N}, scales},
                                          {"mlp_fc2.bias", NN_DATA_F16, 1, {N}, zero},
                                          {"qkv.qweight", NN_DATA_I8, 2, {N, N / 2}, words},
                                          {"qkv.wscales", NN_DATA_F16, 2, {2, N}, scales}};
    struct nn_file *f;
    struct qt_nunchaku l;
    struct qt_layer out;
    assert_ok(nn_safetensors_save(to, list, 5, NULL, 0));
    assert_ok(nn_file_open(&f, to, NULL));
    assert_int_equal(qt_nunchaku_find(&l, f, "mlp_fc2"), 0);
    assert_ok(qt_nunchaku_read(&out, a, &l, false));
    qt_layer_finish(&out);
    assert_int_equal(qt_nunchaku_find(&l, f, "qkv"), 0);
    assert_ok(qt_nunchaku_read(&out, b, &l, false));
    qt_layer_finish(&out);
    for (size_t n = 0; n < N; n++) {
        assert_near(a[n], 0.171875 * 128 * (double)(n % 8) * 0.25, 1e-4);
        assert_true(b[n] == 0);
    }
    nn_file_close(&f);
}

static void misfits_are_refused(void **state)
{
    (void)state;
    static uint8_t bytes[N * N];
    static const struct {
        struct nn_save_tensor t;
        const char *text;
    } rows[] = {{{"a.wscales", NN_DATA_F16, 2, {3, N}, bytes}, "a.wscales [3, 128] of F16: not of its layer's size"},
                {{"a.lora_up", NN_DATA_F16, 2, {N, 16}, bytes}, "expected a pair"},
                {{"a.bias", NN_DATA_I16, 1, {N}, bytes}, "not of its layer's size"},
                {{"a.qweight", NN_DATA_I8, 2, {64, 64}, bytes}, "multiples of 128"},
                {{"a.qweight", NN_DATA_I32, 2, {N, N / 8}, bytes}, "expected bytes of codes"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct nn_save_tensor list[] = {{"a.qweight", NN_DATA_I8, 2, {N, N / 2}, bytes}, {"a.wscales", NN_DATA_F16, 2, {2, N}, bytes}, rows[i].t};
        struct nn_file *f;
        struct qt_nunchaku l;
        size_t n = 3;
        for (size_t k = 0; k < 2; k++)
            if (!strcmp(list[k].name, rows[i].t.name)) {
                list[k] = rows[i].t;
                n = 2;
            }
        const char *to = test_tmp_path("misfit.safetensors");
        assert_ok(nn_safetensors_save(to, list, n, NULL, 0));
        assert_ok(nn_file_open(&f, to, NULL));
        assert_fails(qt_nunchaku_find(&l, f, "a"), FV_EFORMAT, rows[i].text);
        assert_int_equal(qt_nunchaku_find(&l, f, "b"), 1);
        nn_file_close(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_packed_layer_is_the_layer),
        cmocka_unit_test(fp4_is_rounded_anew),
        cmocka_unit_test(the_shift_leaves_the_bias),
        cmocka_unit_test(misfits_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
