/* diffusion/t5.c: a tiny encoder of random weights: texts of a batch do not see each other, nor
 * their padding; bad words and models. The numbers are judged by golden cases. */
#include "diffusion/diffusion.h"
#include "support/test.h"
#include "support/quantised.h"

enum { WIDTH = 32, HEADS = 2, HEAD = 8, FF = 48, WORDS = 40, LAYERS = 3, TOKENS = 7 };

static void add(struct test_model *m, const char *name, uint64_t a, uint64_t b)
{
    test_model_add(m, name, b ? 2 : 1, (uint64_t[]){a, b});
}

static void make_model(struct test_model *m)
{
    static const struct {
        const char *name;
        uint64_t a, b;
    } layer[] = {{"layer.0.SelfAttention.q.weight", HEADS * HEAD, WIDTH},
                 {"layer.0.SelfAttention.k.weight", HEADS * HEAD, WIDTH},
                 {"layer.0.SelfAttention.v.weight", HEADS * HEAD, WIDTH},
                 {"layer.0.SelfAttention.o.weight", WIDTH, HEADS * HEAD},
                 {"layer.0.layer_norm.weight", WIDTH, 0},
                 {"layer.1.DenseReluDense.wi_0.weight", FF, WIDTH},
                 {"layer.1.DenseReluDense.wi_1.weight", FF, WIDTH},
                 {"layer.1.DenseReluDense.wo.weight", WIDTH, FF},
                 {"layer.1.layer_norm.weight", WIDTH, 0}};
    char name[160];
    *m = (struct test_model){.seed = 5};
    add(m, "shared.weight", WORDS, WIDTH);
    add(m, "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", 32, HEADS);
    add(m, "encoder.final_layer_norm.weight", WIDTH, 0);
    for (int n = 0; n < LAYERS; n++)
        for (size_t i = 0; i < sizeof layer / sizeof *layer; i++) {
            snprintf(name, sizeof name, "encoder.block.%d.%s", n, layer[i].name);
            add(m, name, layer[i].a, layer[i].b);
        }
}

static const char *write_model(const char *drop)
{
    struct test_model m;
    const char *dir = test_tmp_path("t5");
    make_model(&m);
    if (drop)
        test_model_drop(&m, drop);
    test_model_write(&m, dir);
    test_model_finish(&m);
    return dir;
}

static void encode(struct df_t5 *t, uint32_t batch, const int32_t *ids, const bool *mask, float *out)
{
    const struct df_encoder_run run = {.batch = batch, .tokens = TOKENS, .ids = ids, .mask = mask};
    assert_ok(df_t5_encode(t, &run, out));
}

static double apart(const float *a, const float *b, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++)
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
    return most;
}

static void texts_stand_alone(void **state)
{
    (void)state;
    struct df_t5 *t = NULL;
    enum { ONE = TOKENS * WIDTH };
    int32_t ids[2 * TOKENS] = {3, 4, 5, 6, 7, 8, 1, 9, 10, 1, 0, 0, 0, 0};
    const bool mask[2 * TOKENS] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0};
    float both[2 * ONE], one[ONE];
    assert_ok(df_t5_open(&t, test_device(), write_model(NULL), NULL));
    const struct df_t5_info *i = df_t5_info(t);
    assert_int_equal(i->layers, LAYERS);
    assert_int_equal(i->words, WORDS);
    assert_int_equal(i->head, HEAD);
    assert_int_equal(i->ff_width, FF);
    encode(t, 2, ids, mask, both);
    encode(t, 1, ids, NULL, one); /* its mask hides nothing */
    assert_near(apart(both, one, ONE), 0, 1e-5);
    encode(t, 1, ids + TOKENS, mask + TOKENS, one);
    assert_near(apart(both + ONE, one, ONE), 0, 1e-5);
    ids[2 * TOKENS - 1] = 20; /* padding */
    encode(t, 1, ids + TOKENS, mask + TOKENS, one);
    assert_near(apart(both + ONE, one, 3 * WIDTH), 0, 1e-5);
    ids[TOKENS] = 21;
    encode(t, 1, ids + TOKENS, mask + TOKENS, one);
    assert_true(apart(both + ONE, one, 3 * WIDTH) > 1e-2);
    ids[2] = WORDS;
    const struct df_encoder_run bad = {.batch = 1, .tokens = TOKENS, .ids = ids};
    assert_fails(df_t5_encode(t, &bad, one), FV_EINVALID, "word 40");
    df_t5_close(&t);
}

/* Without a device there is information only. */
static void tells_sizes(void **state)
{
    (void)state;
    struct df_t5 *t = NULL;
    const int32_t id = 1;
    float out[WIDTH];
    assert_ok(df_t5_open(&t, NULL, write_model(NULL), NULL));
    assert_true(df_t5_info(t)->parameters > 10000 && df_t5_info(t)->layer_bytes > 4 * FF * WIDTH);
    const struct df_encoder_run run = {.batch = 1, .tokens = 1, .ids = &id};
    assert_fails(df_t5_encode(t, &run, out), FV_EINVALID, "without a device");
    df_t5_close(&t);
}

static void refuses_models(void **state)
{
    (void)state;
    static const struct {
        const char *drop, *part;
    } rows[] = {{"shared.weight", "table of words"},
                {"encoder.block.0.layer.1.DenseReluDense.wi_0.weight", "gated"},
                {"encoder.block.2.layer.1.DenseReluDense.wo.weight", "block.2.layer.1.DenseReluDense.wo"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct df_t5 *t = NULL;
        assert_true(df_t5_open(&t, test_device(), write_model(rows[i].drop), NULL) < 0);
        if (!strstr(fv_error(), rows[i].part))
            fail_msg("\"%s\", expected \"%s\"", fv_error(), rows[i].part);
        df_t5_close(&t);
    }
}

struct inputs {
    size_t count;
    bool last;
};

static int see_inputs(void *ud, const char *name, nn_tensor shape, const float *data)
{
    struct inputs *in = ud;
    in->count += !strncmp(name, "in.encoder.block.", 17);
    in->last |= !strcmp(name, "in.encoder.block.2.layer.1.DenseReluDense.wo") && nn_count(shape) == TOKENS * FF;
    (void)data;
    return 0;
}

/* Layers of codes, not the same in all, give what their numbers give; what matrices see is named. */
static void layers_of_codes(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint32_t columns;
        int layer;
        struct test_codes how;
    } coded[] = {{"layer.0.SelfAttention.q", WIDTH, 0, {NN_CODE_INT4, 8, true}},
                 {"layer.0.SelfAttention.o", HEADS * HEAD, 0, {NN_CODE_INT8, 0, false}},
                 {"layer.1.DenseReluDense.wi_0", WIDTH, 1, {NN_CODE_INT4, 0, false}},
                 {"layer.1.DenseReluDense.wo", FF, 1, {NN_CODE_INT4, 16, true}}};
    const int32_t ids[TOKENS] = {3, 4, 5, 6, 7, 8, 1};
    float out[2][TOKENS * WIDTH];
    struct inputs in = {0};
    for (int restored = 0; restored < 2; restored++) {
        struct test_model m;
        struct df_t5 *t = NULL;
        const char *dir = test_tmp_path("t5q");
        make_model(&m);
        for (size_t i = 0; i < sizeof coded / sizeof *coded; i++) {
            char name[96];
            snprintf(name, sizeof name, "encoder.block.%d.%s", coded[i].layer, coded[i].name);
            test_quantise(&m, name, &coded[i].how);
            if (restored)
                test_restore(&m, name, coded[i].columns);
        }
        test_model_write(&m, dir);
        test_model_finish(&m);
        assert_ok(df_t5_open(&t, test_device(), dir, NULL));
        assert_ok(df_t5_encode(t, &(struct df_encoder_run){.batch = 1, .tokens = TOKENS, .ids = ids,
                                                           .on_trace = see_inputs, .ud = &in},
                               out[restored]));
        df_t5_close(&t);
    }
    assert_near(apart(out[0], out[1], TOKENS * WIDTH), 0, 1e-5);
    assert_int_equal(in.count, 2 * 7 * LAYERS);
    assert_true(in.last);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(texts_stand_alone),
                                       cmocka_unit_test(tells_sizes), cmocka_unit_test(layers_of_codes),
                                       cmocka_unit_test(refuses_models)};
    test_device();
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    test_device_done();
    return rc;
}
