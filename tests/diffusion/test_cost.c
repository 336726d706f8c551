/* diffusion/cost.c: what dry runs say against what runs did; real sizes from config.json alone. */
#include "support/dit_model.h"
#include "support/test.h"

#include <sys/stat.h>

enum {
    TEXT = DIT_TEXT,
    TOKENS = DIT_TOKENS,
    T = 3,
    H = 5,
    W = 6,
    N = DIT_CHANNELS * T * H * W,
    STEPS = 5
};

static int noise(void *ud, uint32_t step, size_t n, float *out)
{
    (void)ud;
    nn_normal(out, 77, step * n, n);
    return 0;
}

/* Counted and done, of all kinds of steps. */
static void as_it_was(void **state)
{
    (void)state;
    static const float first[T] = {0, 1, 1};
    struct df_dit *d = test_dit_open(), *dry = NULL;
    float *z = test_numbers(N, 5), *y = test_numbers(TOKENS * TEXT, 6);
    assert_ok(df_dit_open(&dry, NULL, test_tmp_path("dit"), NULL));
    for (int kind = 0; kind < 5; kind++) {
        struct df_sampling s = {.size = {1, T, H, W, 40, 48, 24},
                                .text = {TOKENS, y, NULL},
                                .guidance = 4,
                                .schedule = {.steps = STEPS},
                                .noise = noise};
        struct df_cost c;
        struct df_sampled done;
        s.merge_steps = kind == 1 ? 2 : kind == 2 ? STEPS + 9 : 0;
        s.method = kind == 2 ? DF_HEUN : DF_EULER;
        s.frame_mask = kind == 3 ? first : NULL;
        s.cache.threshold = kind == 4 ? 1e9f : 0;
        assert_ok(df_sample(d, &s, z, &done));
        s.text.states = NULL;
        assert_ok(df_sampling_cost(&c, dry, &s, 0, false));
        double steps = c.flops - c.caption_flops;
        if (kind == 4)
            steps = done.evaluations * c.step_flops + done.skipped * c.cached_flops;
        else
            assert_int_equal(c.evaluations, done.evaluations);
        assert_near(steps / done.flops, 1, 1e-9);
        assert_true(c.merged_flops < c.step_flops && (c.merged_flops > 0) == (s.merge_steps > 0));
        assert_int_equal(c.weight_bytes, df_dit_info(dry)->weight_bytes);
        assert_int_equal(c.parameters, df_dit_info(d)->parameters);
        assert_int_equal(c.peak_bytes,
                         c.weight_bytes + c.kept_bytes + c.pool_bytes + c.packed_bytes);
        assert_true(c.pool_bytes > 0 && c.kept_bytes > 0 && c.dispatches > 100);
    }
    free(z);
    free(y);
    df_dit_close(&d);
    df_dit_close(&dry);
}

/* Memory of temporaries and of weights in another order, of each form of a step, on this device. */
static void memory_as_it_was(void **state)
{
    (void)state;
    struct df_dit *d = test_dit_open();
    float *z = test_numbers(2 * N, 5), *y = test_numbers(2 * TOKENS * TEXT, 6), out[4 * N];
    static const float time[2] = {700, 700};
    for (int merge = 0; merge < 2; merge++) {
        const struct df_size size = {2, T, H, W, 40, 48, 24};
        struct df_sampling s = {.size = {1, T, H, W, 40, 48, 24},
                                .text = {TOKENS, NULL, NULL},
                                .schedule = {.steps = STEPS},
                                .merge_steps = merge ? STEPS : 0};
        struct df_cost c;
        struct df_run *r;
        assert_ok(df_run_create(&r, d, &size, &(struct df_text){TOKENS, y, NULL}, NULL));
        assert_ok(df_run_step(r, &(struct df_step){.z = z, .time = time, .merge = merge}, out));
        assert_ok(df_sampling_cost(&c, d, &s, 0, false));
        struct nn_cost was = df_run_cost(r);
        assert_true(c.packed_bytes >= was.packed_bytes); /* and the captions' */
        assert_true(c.packed_bytes <= c.weight_bytes + was.packed_bytes / 4);
        assert_true(was.packed_bytes == 0 || c.packed_bytes < 2 * was.packed_bytes);
        assert_near((double)c.pool_bytes / (double)was.peak_bytes, 1, 0.25);
        df_run_destroy(&r);
    }
    free(z);
    free(y);
    df_dit_close(&d);
}

static void write_config(const char *folder, const char *text, const char *path)
{
    mkdir(folder, 0777);
    test_write_file(path, text, strlen(text));
}

/* STDiT3-XL/2 with nothing but its config.json. */
static void the_real_size(void **state)
{
    (void)state;
    const char *dir = test_tmp_path("xl");
    struct df_dit *d;
    struct df_cost whole, little;
    struct df_sampling s = {.text = {300, NULL, NULL}, .schedule = {.steps = 30}};
    uint32_t w, h;
    write_config(dir,
                 "{\"depth\": 28, \"hidden_size\": 1152, \"num_heads\": 16, \"qk_norm\": true}",
                 test_tmp_path("xl/config.json"));
    assert_ok(df_dit_open(&d, NULL, dir, &(struct df_dit_opts){.dtype = NN_F16}));
    assert_int_equal(df_dit_info(d)->parameters, 1207643936);
    assert_ok(df_picture_size(&w, &h, "240p", NULL));
    assert_ok(
        df_size_of(&s.size, &(struct df_packing){17, 4, 8}, &(struct df_clip_size){w, h, 51, 24}));
    assert_ok(df_sampling_cost(&whole, d, &s, 0, false));
    assert_near(whole.step_flops / 26.6e12, 1, 0.03); /* by hand: 13.3 T for each half */
    assert_near(whole.flops / 0.8e15, 1, 0.05);
    assert_near((double)whole.weight_bytes / (2 * 1208872772.0), 1, 0.01);
    assert_ok(df_sampling_cost(&little, d, &s, 1000000000, false));
    assert_true(little.weight_bytes < 1100000000 && little.peak_bytes < whole.peak_bytes);
    assert_near(little.flops / whole.flops, 1, 1e-6);
    assert_fails(df_sampling_cost(&little, d, &s, 100000000, false), FV_EGPUMEM, "two pairs");
    s.size.height = 0;
    assert_fails(df_sampling_cost(&little, d, &s, 0, false), FV_EINVALID, "53x0");
    df_dit_close(&d);
    write_config(dir,
                 "{\"depth\": 28, \"hidden_size\": 1152, \"num_heads\": 16, \"qk_norm\": false}",
                 test_tmp_path("xl/config.json"));
    assert_ok(df_dit_open(&d, NULL, dir, &(struct df_dit_opts){.dtype = NN_F16}));
    assert_int_equal(df_dit_info(d)->parameters, 1207643936 - 2 * 28 * 2 * 72);
    s.size.height = h / 8;
    assert_ok(df_sampling_cost(&little, d, &s, 0, false));
    assert_int_equal(little.dispatches, whole.dispatches); /* products end with the norms of heads */
    df_dit_close(&d);
    write_config(dir, "{\"depth\": 28, \"hidden_size\": 1152, \"num_heads\": 17}",
                 test_tmp_path("xl/config.json"));
    assert_fails(df_dit_open(&d, NULL, dir, NULL), FV_EUNSUPPORTED, "17 heads");
    write_config(dir, "{\"depth\": 28}", test_tmp_path("xl/config.json"));
    assert_fails(df_dit_open(&d, NULL, dir, NULL), FV_EFORMAT, "hidden_size");
}

static void of_texts(void **state)
{
    (void)state;
    const char *dir = test_tmp_path("xxl");
    struct df_t5 *t;
    struct df_cost c;
    write_config(
        dir,
        "{\"d_model\": 4096, \"d_kv\": 64, \"d_ff\": 10240, \"num_layers\": 24, \"num_heads\": 64, "
        "\"vocab_size\": 32128}",
        test_tmp_path("xxl/config.json"));
    assert_ok(df_t5_open(&t, NULL, dir, &(struct df_encoder_opts){.dtype = NN_BF16}));
    assert_int_equal(df_t5_info(t)->parameters, 4762310656);
    assert_ok(df_t5_cost(&c, t, 1, 300));
    double matrices = 24.0 * 2 * 300 * (4 * 4096.0 * 4096 + 3 * 4096.0 * 10240);
    assert_true(c.flops > matrices && c.flops < 1.02 * matrices); /* and attention */
    assert_near((double)c.weight_bytes / (2 * (4 * 4096.0 * 4096 + 3 * 4096.0 * 10240)), 1, 0.01);
    assert_fails(df_t5_cost(&c, t, 0, 300), FV_EINVALID, "0 texts");
    df_t5_close(&t);
    assert_fails(df_t5_open(&t, NULL, test_tmp_path("nowhere"), NULL), FV_EIO, "neither weights");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_it_was),
        cmocka_unit_test(memory_as_it_was),
        cmocka_unit_test(the_real_size),
        cmocka_unit_test(of_texts),
    };
    test_device();
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    test_device_done();
    return rc;
}
