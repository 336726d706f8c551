/* diffusion/clip.c: a tiny encoder of random weights: words see those before them only; bad words and
 * models. The numbers are judged by golden cases. */
#include "diffusion/diffusion.h"
#include "support/test.h"
#include "support/vae_model.h"

enum { WIDTH = 128, FF = 48, WORDS = 40, LAYERS = 2, TOKENS = 9 };

static void add(struct test_model *m, const char *name, uint64_t a, uint64_t b)
{
    test_model_add(m, name, b ? 2 : 1, (uint64_t[]){a, b});
}

static const char *write_model(const char *drop)
{
    static const struct {
        const char *name;
        uint64_t out, in;
    } linears[] = {{"self_attn.q_proj", WIDTH, WIDTH}, {"self_attn.k_proj", WIDTH, WIDTH},
                   {"self_attn.v_proj", WIDTH, WIDTH}, {"self_attn.out_proj", WIDTH, WIDTH},
                   {"mlp.fc1", FF, WIDTH},             {"mlp.fc2", WIDTH, FF},
                   {"layer_norm1", WIDTH, 0},          {"layer_norm2", WIDTH, 0}};
    struct test_model m = {.seed = 7};
    const char *dir = test_tmp_path("clip");
    char name[160];
    add(&m, "text_model.embeddings.token_embedding.weight", WORDS, WIDTH);
    add(&m, "text_model.embeddings.position_embedding.weight", TOKENS, WIDTH);
    add(&m, "text_model.final_layer_norm.weight", WIDTH, 0);
    add(&m, "text_model.final_layer_norm.bias", WIDTH, 0);
    for (int n = 0; n < LAYERS; n++)
        for (size_t i = 0; i < sizeof linears / sizeof *linears; i++) {
            snprintf(name, sizeof name, "text_model.encoder.layers.%d.%s.weight", n, linears[i].name);
            add(&m, name, linears[i].out, linears[i].in);
            snprintf(name, sizeof name, "text_model.encoder.layers.%d.%s.bias", n, linears[i].name);
            add(&m, name, linears[i].out, 0);
        }
    if (drop)
        test_model_drop(&m, drop);
    test_model_write(&m, dir);
    test_model_finish(&m);
    return dir;
}

static double apart(const float *a, const float *b, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++)
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
    return most;
}

static void sees_what_is_before(void **state)
{
    (void)state;
    struct df_clip *t = NULL;
    int32_t ids[2 * TOKENS] = {38, 4, 5, 6, 39, 39, 39, 39, 39, 38, 9, 10, 11, 12, 13, 39, 0, 0};
    float a[2 * TOKENS * WIDTH], b[2 * TOKENS * WIDTH], pooled[2 * WIDTH];
    struct df_encoder_run run = {.batch = 2, .tokens = TOKENS, .ids = ids};
    assert_ok(df_clip_open(&t, test_device(), write_model(NULL), NULL));
    assert_int_equal(df_clip_info(t)->layers, LAYERS);
    assert_int_equal(df_clip_info(t)->heads, 2);
    assert_int_equal(df_clip_info(t)->tokens, TOKENS);
    assert_ok(df_clip_encode(t, &run, a, pooled));
    assert_near(apart(pooled, a + 4 * WIDTH, WIDTH), 0, 0); /* at the first end */
    assert_near(apart(pooled + WIDTH, a + 15 * WIDTH, WIDTH), 0, 0);
    ids[5] = 7; /* what is behind changes nothing before, what is before does */
    assert_ok(df_clip_encode(t, &run, b, NULL));
    assert_near(apart(a, b, 5 * WIDTH), 0, 1e-5);
    assert_true(apart(a + 6 * WIDTH, b + 6 * WIDTH, WIDTH) > 1e-3);
    assert_near(apart(a + TOKENS * WIDTH, b + TOKENS * WIDTH, TOKENS * WIDTH), 0, 1e-5);
    bool mask[2 * TOKENS];
    for (int i = 0; i < 2 * TOKENS; i++)
        mask[i] = i != 1;
    run.mask = mask;
    assert_ok(df_clip_encode(t, &run, a, NULL));
    ids[1] = 20; /* a hidden word is seen by none but itself */
    assert_ok(df_clip_encode(t, &run, b, NULL));
    assert_near(apart(a + 2 * WIDTH, b + 2 * WIDTH, 3 * WIDTH), 0, 1e-5);
    ids[2] = WORDS;
    assert_fails(df_clip_encode(t, &run, a, NULL), FV_EINVALID, "word 40");
    run.tokens = TOKENS + 1;
    assert_fails(df_clip_encode(t, &run, a, NULL), FV_EINVALID, "9 places");
    df_clip_close(&t);
}

static void refuses_models(void **state)
{
    (void)state;
    static const char *const drops[] = {"text_model.embeddings.token_embedding.weight",
                                        "text_model.encoder.layers.0.mlp.fc1.weight",
                                        "text_model.encoder.layers.1.self_attn.k_proj.bias"};
    static const char *const parts[] = {"table of words", "layer 0's fc1", "layers.1.self_attn.k_proj.bias"};
    struct df_clip *t;
    for (size_t i = 0; i < 3; i++) {
        assert_true(df_clip_open(&t, NULL, write_model(drops[i]), NULL) < 0 && !t);
        if (!strstr(fv_error(), parts[i]))
            fail_msg("\"%s\", expected \"%s\"", fv_error(), parts[i]);
    }
    assert_ok(df_clip_open(&t, NULL, write_model(NULL), NULL));
    assert_true(df_clip_info(t)->parameters > 100000);
    float out[WIDTH];
    const struct df_encoder_run run = {.batch = 1, .tokens = 1, .ids = (int32_t[]){1}};
    assert_fails(df_clip_encode(t, &run, out, NULL), FV_EINVALID, "without a device");
    df_clip_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sees_what_is_before),
                                       cmocka_unit_test(refuses_models)};
    test_device();
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    test_device_done();
    return rc;
}
