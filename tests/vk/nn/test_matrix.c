/* Linear layers of codes: loaded through tables, multiplied, against their numbers in double; what is
 * wrong with a file is named. */
#include "shaders/nn/params.h"
#include "support/quantised.h"
#include "support/tensors.h"
#include "vk/device.h"
#include "vk/base/half.h"
#include "vk/nn/lora.h"
#include "vk/nn/product.h"

enum { BIAS = 1, GATES = 2, RESIDUAL = 4, STRIDED = 8 };

struct row {
    uint32_t rows, depth, columns;
    struct test_codes how;
    uint32_t act, with;
};

static const struct row rows[] = {
    {1, 64, 1, {NN_CODE_INT4, 0, false}, 0, 0},
    {3, 100, 1, {NN_CODE_INT4, 8, true}, 0, BIAS},
    {1, 1, 5, {NN_CODE_INT4, 0, true}, 0, BIAS | RESIDUAL},
    {5, 72, 33, {NN_CODE_INT4, 16, false}, NN_ACT_GELU_TANH, BIAS | STRIDED},
    {7, 200, 96, {NN_CODE_INT4, 32, true}, NN_ACT_SILU, BIAS | RESIDUAL},
    {130, 130, 70, {NN_CODE_INT4, 32, true}, 0, BIAS | GATES | RESIDUAL},
    {64, 257, 100, {NN_CODE_INT4, 0, false}, 0, 0},
    {9, 150, 44, {NN_CODE_INT4, 40, true}, 0, 0}, /* ranks in five rounds */
    {20, 76, 36, {NN_CODE_NF4, 48, false}, 0, 0}, /* in two */
    {3, 66, 31, {NN_CODE_NF4, 16, true}, 0, BIAS},
    {40, 192, 64, {NN_CODE_NF4, 0, false}, NN_ACT_GELU_ERF, RESIDUAL},
    {1, 65, 6, {NN_CODE_INT8, 8, true}, 0, BIAS},
    {33, 128, 130, {NN_CODE_INT8, 0, false}, 0, BIAS | GATES | STRIDED},
};

struct layer {
    struct nn_matrix w;
};

static const struct nn_weight_row wanted[] = {
    {offsetof(struct layer, w), "a.weight|p.weight", {NN_DIM(0), NN_DIM(1)}, NN_WEIGHT_MATRIX, NN_SAME, NULL}};

static int load(struct nn_weights **out, struct layer *l, const char *dir, uint32_t n, uint32_t k)
{
    struct nn_wants *w = NULL;
    struct nn_file *f = NULL;
    assert_ok(nn_file_open(&f, dir, NULL));
    assert_ok(nn_wants_create(&w));
    nn_wants_rows(w, l, wanted, 1, (uint32_t[]){n, k});
    int rc = nn_weights_load(out, test_device(), w, f, NULL);
    if (rc == 0) { /* dry runs know the same */
        struct nn_matrix loaded = l->w;
        uint64_t bytes = 0;
        assert_ok(nn_weights_plan(&bytes, NULL, w, f, NULL));
        assert_int_equal(bytes, (*out)->bytes);
        assert_int_equal(l->w.code, loaded.code);
        assert_true(nn_same_shape(l->w.codes, loaded.codes) && nn_same_shape(l->w.down, loaded.down));
        l->w = loaded;
    }
    nn_wants_destroy(&w);
    nn_file_close(&f);
    return rc;
}

/* more: rows beyond the table's, by which codes become panels. */
static void check_row(struct tensors *t, const struct row *from, const enum nn_dtype d[2], bool int8, uint32_t more)
{
    struct row copy = *from, *w = &copy;
    struct test_model m = {.seed = 7 + w->columns};
    struct layer l = {0};
    struct nn_weights *weights = NULL;
    char what[96];
    const char *dir = test_tmp_path("matrix");
    test_model_add(&m, "p.weight", 2, (uint64_t[]){w->columns, w->depth});
    test_quantise(&m, "p", &w->how);
    test_model_write(&m, dir);
    struct ref weight = test_dequantise(&m, "p", w->depth);
    assert_ok(load(&weights, &l, dir, w->columns, w->depth));
    w->rows += more;
    if (!nn_few_rows(t->r, &l.w, w->rows))
        test_round_halves(&weight);
    assert_true(nn_is_null(l.w.plain));
    struct ref x = ref_random(1, NN_SHAPE(w->rows, w->depth));
    struct ref_linear o = {.act = w->act};
    struct nn_linear_opts n = {.act = {(enum nn_act)w->act, 0, 0}, .dtype = d[1]};
    nn_tensor in = w->with & STRIDED ? tensors_put_strided(t, &x, d[0]) : tensors_put(t, &x, d[0]);
    if (w->with & BIAS) {
        o.bias = ref_random(3, NN_SHAPE(w->columns));
        n.bias = tensors_put(t, &o.bias, NN_F32);
    }
    if (w->with & GATES) {
        o.gate = ref_random(4, NN_SHAPE(w->rows % 2 ? 1 : 2, w->columns));
        n.gate = tensors_put(t, &o.gate, NN_F32);
    }
    if (w->with & RESIDUAL) {
        o.residual = ref_random(5, NN_SHAPE(w->rows, w->columns));
        n.residual = tensors_put(t, &o.residual, d[0]);
    }
    struct ref want = ref_linear(&x, &weight, &o);
    snprintf(what, sizeof what, "%s %ux%ux%u rank %u %s", nn_code_name(w->how.code), w->rows, w->depth, w->columns,
             w->how.rank, nn_dtype_name(d[0]));
    double tol = int8 && w->how.code == NN_CODE_INT4 ? 0.06 : 2e-5; /* some halfs round the other way */
    tensors_expect(t, nn_linear_matrix(t->r, in, &l.w, &n), &want, tol, what);
    nn_weights_destroy(&weights);
    ref_free(&x);
    ref_free(&weight);
    ref_linear_free(&o);
    ref_free(&want);
    test_model_finish(&m);
}

static void table_of(const struct nn_rec_opts *opts, uint32_t more)
{
    static const enum nn_dtype types[][2] = {{NN_F32, NN_SAME}, {NN_F16, NN_F32}, {NN_BF16, NN_F16}};
    size_t step = opts && opts->ssbo ? 3 : 1;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i += step) {
        struct tensors t;
        tensors_begin_with(&t, opts);
        check_row(&t, &rows[i], types[i / step % 3], opts && opts->int8, more);
        tensors_end(&t);
    }
}

/* Few rows, for which codes are taken as they are where tiles are in registers. */
static void table(const struct nn_rec_opts *opts)
{
    table_of(opts, 0);
}

static void codes_in_panels(void **state)
{
    (void)state;
    table_of(NULL, 128);
    table_of(&(struct nn_rec_opts){.ssbo = true}, 128);
}

TENSORS_BY_DESIGN(codes, table)

/* Rows of whole numbers of which 127 is the largest of each group are rounded to themselves, scales and the
 * low-rank branch are powers of two: no bit may differ, by either kind of product and of tile. */
static void bytes_are_exact(void **state)
{
    (void)state;
    enum { M = 70, K = 200, N = 70 };
    struct test_model m = {.seed = 4};
    struct layer l = {0};
    struct nn_weights *weights = NULL;
    const char *dir = test_tmp_path("exact");
    test_model_add(&m, "p.weight", 2, (uint64_t[]){N, K});
    test_quantise(&m, "p", &(struct test_codes){NN_CODE_INT4, 8, true});
    uint16_t *scales = (uint16_t *)(uintptr_t)test_model_find(&m, "p.qscale")->data;
    uint16_t *down = (uint16_t *)(uintptr_t)test_model_find(&m, "p.lora_down")->data;
    uint16_t *up = (uint16_t *)(uintptr_t)test_model_find(&m, "p.lora_up")->data;
    float *smooth = (float *)(uintptr_t)test_model_find(&m, "p.smooth")->data;
    for (int i = 0; i < N * 4; i++)
        scales[i] = (uint16_t)(0x2800 + 0x400 * (i % 3)); /* 1/32, 1/16, 1/8 */
    for (int i = 0; i < 8 * K; i++)
        down[i] = (uint16_t)(i % 5 ? 0 : 0x3800); /* 0.5 */
    for (int i = 0; i < 8 * N; i++)
        up[i] = (uint16_t)(i % 3 ? 0 : 0xb400); /* -0.25 */
    for (int k = 0; k < K; k++)
        smooth[k] = k % 2 ? 2 : 0.5f;
    test_model_write(&m, dir);
    struct ref w = test_dequantise(&m, "p", K), x = ref_random(8, NN_SHAPE(M, K));
    for (int i = 0; i < M * K; i++)
        x.v[i] = (i % K % 64 == 5 ? -127 : rint(126 * x.v[i])) * (double)smooth[i % K];
    struct ref_linear o = {.bias = ref_random(2, NN_SHAPE(N)), .residual = ref_random(3, NN_SHAPE(M, N))};
    for (int i = 0; i < M * N; i++)
        o.residual.v[i] = rint(64 * o.residual.v[i]);
    for (int i = 0; i < N; i++)
        o.bias.v[i] = rint(64 * o.bias.v[i]);
    struct ref want = ref_linear(&x, &w, &o);
    assert_ok(load(&weights, &l, dir, N, K));
    bool dot8 = test_device()->caps.dot8;
    for (int kind = 0; kind < 4; kind++) {
        struct tensors t;
        test_device()->caps.dot8 = dot8 && kind % 2 == 0;
        enum nn_kernel kernel = kind < 2 ? NN_KERNEL_REGISTERS : NN_KERNEL_SHARED;
        tensors_begin_with(&t, &(struct nn_rec_opts){.int8 = true, .kernel = kernel});
        const struct nn_linear_opts n = {.bias = tensors_put(&t, &o.bias, NN_F32),
                                         .residual = tensors_put(&t, &o.residual, NN_F32)};
        tensors_expect(&t, nn_linear_matrix(t.r, tensors_put(&t, &x, NN_F32), &l.w, &n), &want, 0, "bytes");
        tensors_end(&t);
    }
    test_device()->caps.dot8 = dot8;
    nn_weights_destroy(&weights);
    ref_free(&w);
    ref_free(&x);
    ref_free(&o.bias);
    ref_free(&o.residual);
    ref_free(&want);
    test_model_finish(&m);
}

/* Every row of the table with its inputs rounded: little of the result is lost. */
static void bytes_are_near(void **state)
{
    (void)state;
    table(&(struct nn_rec_opts){.int8 = true});
}

static void write_lora(const char *path, struct test_model *m, int kind, uint32_t rank, uint32_t n, uint32_t k)
{
    static const char *const names[][3] = {{"transformer.p.lora_A.weight", "transformer.p.lora_B.weight", ""},
                                           {"lora_unet_p.lora_down.weight", "lora_unet_p.lora_up.weight",
                                            "lora_unet_p.alpha"},
                                           {"q.lora_A.weight", "q.lora_B.weight", ""}};
    test_model_add(m, names[kind][0], 2, (uint64_t[]){rank, k});
    test_model_add(m, names[kind][1], 2, (uint64_t[]){n, rank});
    if (*names[kind][2]) {
        test_model_add(m, names[kind][2], 1, (uint64_t[]){1});
        *(float *)(uintptr_t)m->list[m->count - 1].data = 3;
    }
    for (size_t i = 0; i < m->count; i++) /* halfs hold them */
        for (size_t j = 0; m->list[i].rank == 2 && j < m->list[i].shape[0] * m->list[i].shape[1]; j++) {
            float *v = (float *)(uintptr_t)m->list[i].data + j;
            *v = fv_f16_to_f32(fv_f32_to_f16(*v));
        }
    test_model_write(m, path);
}

/* Changes of odd ranks, of two writers' names and strengths, on codes with a low-rank branch of their own,
 * on codes without, on plain weights: as if they were added to the weight. */
static void changes_are_added(void **state)
{
    (void)state;
    enum { M = 9, K = 70, N = 22 };
    static const uint32_t ranks[2] = {5, 12};
    static const float scale[2] = {0.5f, -2};
    const double factor[2] = {0.5, -2 * 3.0 / 12};
    for (int kind = 0; kind < 3; kind++) {
        struct test_model m = {.seed = 6}, change[2] = {{.seed = 1}, {.seed = 2}};
        struct nn_lora *lora[2];
        struct layer l = {0};
        struct nn_weights *weights = NULL;
        struct nn_wants *w = NULL;
        struct nn_file *f = NULL;
        struct tensors t;
        const char *dir = test_tmp_path("changed");
        test_model_add(&m, "p.weight", 2, (uint64_t[]){N, K});
        if (kind)
            test_quantise(&m, "p", &(struct test_codes){NN_CODE_INT4, kind == 1 ? 8 : 0, kind == 1});
        struct ref weight = ref_new(2, (uint32_t[]){N, K});
        if (kind) {
            ref_free(&weight);
            weight = test_dequantise(&m, "p", K);
        }
        for (int i = 0; !kind && i < N * K; i++)
            weight.v[i] = ((const float *)m.list[0].data)[i];
        test_model_write(&m, dir);
        for (int c = 0; c < 2; c++) {
            char name[16];
            snprintf(name, sizeof name, "lora%d", c);
            write_lora(test_tmp_path(name), &change[c], c, ranks[c], N, K);
            assert_ok(nn_lora_open(&lora[c], test_tmp_path(name), scale[c]));
            const float *down = change[c].list[0].data, *up = change[c].list[1].data;
            for (int i = 0; i < N * K; i++)
                for (uint32_t r = 0; r < ranks[c]; r++)
                    weight.v[i] += factor[c] * (double)up[i / K * (int)ranks[c] + (int)r] *
                                   (double)down[(int)r * K + i % K];
        }
        assert_ok(nn_file_open(&f, dir, NULL));
        assert_ok(nn_wants_create(&w));
        nn_wants_rows(w, &l, wanted, 1, (uint32_t[]){N, K});
        assert_fails(nn_lora_check(lora[0]), FV_EFORMAT, "2 of 2 tensors fit no linear layer");
        assert_ok(nn_weights_load(&weights, test_device(), w, f,
                                  &(struct nn_weights_opts){.lora = lora, .lora_count = 2}));
        for (int c = 0; c < 2; c++)
            assert_ok(nn_lora_check(lora[c]));
        assert_int_equal(nn_low_rank(&l.w), (kind == 1 ? 8 : 0) + 8 + 16);
        struct ref x = ref_random(1, NN_SHAPE(M, K));
        tensors_begin(&t);
        nn_tensor in = tensors_put(&t, &x, NN_F32);
        if (kind && !nn_few_rows(t.r, &l.w, M))
            test_round_halves(&weight);
        struct ref want = ref_linear(&x, &weight, &(struct ref_linear){.act = 0});
        for (int again = 0; again < 2; again++) /* from the cache, then */
            tensors_expect(&t, nn_linear_matrix(t.r, in, &l.w, NULL), &want, kind ? 2e-5 : 2e-6, "changed");
        tensors_end(&t);
        nn_weights_destroy(&weights);
        nn_wants_destroy(&w);
        nn_file_close(&f);
        ref_free(&x);
        ref_free(&want);
        ref_free(&weight);
        test_model_finish(&m);
        for (int c = 0; c < 2; c++) {
            nn_lora_close(&lora[c]);
            test_model_finish(&change[c]);
        }
    }
}

static void refuses_changes(void **state)
{
    (void)state;
    static const struct {
        int kind;
        uint32_t n, k;
        const char *drop, *text;
    } bad[] = {{0, 22, 71, NULL, "the layer is [22, 70]"},
               {0, 21, 70, NULL, "the layer is [22, 70]"},
               {0, 22, 70, "transformer.p.lora_B.weight", "'transformer.p.lora_A.weight' has no other half"},
               {1, 22, 70, "lora_unet_p.lora_down.weight", "'lora_unet_p.lora_up.weight' has no other half"},
               {2, 22, 70, NULL, "2 of 2 tensors fit no linear layer of this model: 'q.lora_A.weight'"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct test_model m = {.seed = 6}, change = {.seed = 1};
        struct nn_lora *lora = NULL;
        struct layer l = {0};
        struct nn_wants *w = NULL;
        struct nn_file *f = NULL;
        uint64_t bytes;
        const char *dir = test_tmp_path("changed");
        test_model_add(&m, "p.weight", 2, (uint64_t[]){22, 70});
        test_model_write(&m, dir);
        assert_ok(nn_file_open(&f, dir, NULL));
        write_lora(test_tmp_path("lora"), &change, bad[i].kind, 4, bad[i].n, bad[i].k);
        if (bad[i].drop)
            test_model_drop(&change, bad[i].drop);
        test_model_write(&change, test_tmp_path("lora"));
        assert_ok(nn_lora_open(&lora, test_tmp_path("lora"), 1));
        assert_ok(nn_wants_create(&w));
        nn_wants_rows(w, &l, wanted, 1, (uint32_t[]){22, 70});
        int rc = nn_weights_plan(&bytes, NULL, w, f, &(struct nn_weights_opts){.lora = &lora, .lora_count = 1});
        if (rc == 0)
            rc = nn_lora_check(lora);
        assert_fails(rc, FV_EFORMAT, bad[i].text);
        nn_lora_close(&lora);
        nn_wants_destroy(&w);
        nn_file_close(&f);
        test_model_finish(&m);
        test_model_finish(&change);
    }
    struct test_model m = {.seed = 6};
    struct nn_lora *lora = NULL;
    test_model_add(&m, "p.weight", 2, (uint64_t[]){22, 70});
    test_model_write(&m, test_tmp_path("lora"));
    assert_fails(nn_lora_open(&lora, test_tmp_path("lora"), 1), FV_EUNSUPPORTED, "none of its 1 tensors");
    assert_fails(nn_lora_open(&lora, test_tmp_path("lora"), NAN), FV_EINVALID, "strength");
    assert_null(lora);
    test_model_finish(&m);
}

/* Rows of the host's decoder are what the reference has. */
static void decodes_rows(void **state)
{
    (void)state;
    for (enum nn_code code = NN_CODE_INT4; code < NN_CODES; code++) {
        enum { N = 3, K = 100 };
        struct test_model m = {.seed = 3};
        float row[K];
        test_model_add(&m, "p.weight", 2, (uint64_t[]){N, K});
        test_quantise(&m, "p", &(struct test_codes){code, 0, false});
        struct ref want = test_dequantise(&m, "p", K);
        const struct nn_save_tensor *q = test_model_find(&m, "p.qweight"), *s = test_model_find(&m, "p.qscale");
        for (uint32_t n = 0; n < N; n++) {
            nn_decode_row(row, code, (const uint8_t *)q->data + n * q->shape[1],
                          (const uint16_t *)s->data + n * s->shape[1], K);
            for (uint32_t k = 0; k < K; k++)
                assert_near(row[k], want.v[n * K + k], 1e-7);
        }
        ref_free(&want);
        test_model_finish(&m);
    }
}

/* ---- bad files ---------------------------------------------------------------------------- */

static void drop_scales(struct test_model *m)
{
    test_model_drop(m, "p.qscale");
}

static void drop_up(struct test_model *m)
{
    test_model_drop(m, "p.lora_up");
}

static void drop_down(struct test_model *m)
{
    test_model_drop(m, "p.lora_down");
}

static void drop_codes(struct test_model *m)
{
    test_model_drop(m, "p.qweight");
}

static void both(struct test_model *m)
{
    test_model_add(m, "p.weight", 2, (uint64_t[]){20, 100});
}

static void short_codes(struct test_model *m)
{
    test_model_find(m, "p.qweight")->shape[0] = 19;
}

static void odd_codes(struct test_model *m)
{
    test_model_find(m, "p.qweight")->type = NN_DATA_BOOL;
}

static void short_scales(struct test_model *m)
{
    test_model_find(m, "p.qscale")->shape[1] = 1;
}

static void odd_rank(struct test_model *m)
{
    test_model_find(m, "p.lora_down")->shape[0] = 12;
}

static void other_rank(struct test_model *m)
{
    test_model_find(m, "p.lora_up")->shape[1] = 8;
}

static void zero_smooth(struct test_model *m)
{
    ((float *)(uintptr_t)test_model_find(m, "p.smooth")->data)[70] = 0;
}

static void bad_scale(struct test_model *m)
{
    ((uint16_t *)(uintptr_t)test_model_find(m, "p.qscale")->data)[3] = 0x7e00;
}

static void new_format(struct test_model *m)
{
    m->meta = (struct nn_file_text){"fovea.quantization", "{\"method\": \"svdquant\", \"format\": 2}"};
}

static void no_json(struct test_model *m)
{
    m->meta = (struct nn_file_text){"fovea.quantization", "{\"method\": "};
}

static void refuses(void **state)
{
    (void)state;
    static const struct {
        void (*spoil)(struct test_model *);
        const char *text;
        int code;
    } bad[] = {{drop_scales, "'a.qscale'", FV_EFORMAT},
               {drop_up, "'a.lora_up'", FV_EFORMAT},
               {drop_down, "'a.lora_down'", FV_EFORMAT},
               {drop_codes, "'a.weight'", FV_EFORMAT},
               {both, "both 'p.weight' and 'p.qweight'", FV_EFORMAT},
               {short_codes, "'p.qweight' has the shape [19, 64], expected [20, 64]", FV_EFORMAT},
               {odd_codes, "'p.qweight' is of type BOOL", FV_EFORMAT},
               {short_scales, "'p.qscale' has the shape [20, 1], expected [20, 2]", FV_EFORMAT},
               {odd_rank, "'p.lora_down' is of rank 12", FV_EFORMAT},
               {other_rank, "'p.lora_up' has the shape [20, 8], expected [20, 16]", FV_EFORMAT},
               {zero_smooth, "'p.smooth' holds 0 at [70]", FV_EFORMAT},
               {bad_scale, "'p.qscale' holds NaN at [1, 1]", FV_EFORMAT},
               {new_format, "format 2", FV_EUNSUPPORTED},
               {no_json, "model.safetensors", FV_EFORMAT}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct test_model m = {.seed = 9};
        struct layer l = {0};
        struct nn_weights *w = NULL;
        const char *dir = test_tmp_path("bad");
        test_model_add(&m, "p.weight", 2, (uint64_t[]){20, 100});
        test_quantise(&m, "p", &(struct test_codes){NN_CODE_INT4, 16, true});
        bad[i].spoil(&m);
        test_model_write(&m, dir);
        assert_fails(load(&w, &l, dir, 20, 100), bad[i].code, bad[i].text);
        assert_null(w);
        test_model_finish(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes),
        cmocka_unit_test(codes_by_shared_tiles),
        cmocka_unit_test(codes_through_storage_buffers),
        cmocka_unit_test(codes_in_panels),
        cmocka_unit_test(bytes_are_exact),
        cmocka_unit_test(bytes_are_near),
        cmocka_unit_test(changes_are_added),
        cmocka_unit_test(refuses_changes),
        cmocka_unit_test(decodes_rows),
        cmocka_unit_test(refuses),
    };
    test_device();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_device_done();
    return failed;
}
