/* diffusion/: a tiny transformer of random weights: samples of a batch do not see each other,
 * captions end where their masks say, frames that are kept stay, bad models and sizes. */
#include "support/dit_model.h"
#include "support/quantised.h"
#include "support/test.h"
#include "vk/mem.h"
#include "vk/nn/lora.h"

#include <sys/stat.h>

enum { WIDTH = DIT_WIDTH, HEADS = DIT_HEADS, TEXT = DIT_TEXT, TOKENS = DIT_TOKENS, CHANNELS = DIT_CHANNELS,
       OUT = DIT_OUT, DEPTH = DIT_DEPTH };
enum { T = 3, H = 5, W = 6, PLANE = H * W, N = CHANNELS * T * PLANE, OUT_N = OUT * T * PLANE };

static struct df_size size_of(uint32_t batch)
{
    return (struct df_size){batch, T, H, W, 40, 48, 24};
}

static void step_with(struct df_dit *d, uint32_t batch, const struct df_text *text, const float *z,
                      const bool *kept, bool merge, float *out)
{
    struct df_run *r = NULL;
    const float time[] = {700, 700};
    const struct df_size size = size_of(batch);
    assert_ok(df_run_create(&r, d, &size, text, &(struct df_run_opts){.masked = kept != NULL}));
    assert_ok(df_run_step(r, &(struct df_step){.z = z, .time = time, .kept = kept, .merge = merge}, out));
    df_run_destroy(&r);
}

static void step(struct df_dit *d, uint32_t batch, const struct df_text *text, const float *z,
                 const bool *kept, float *out)
{
    step_with(d, batch, text, z, kept, false, out);
}

static double most_apart(const float *a, const float *b, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++)
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
    return most;
}

static void knows_its_sizes(void **state)
{
    (void)state;
    struct df_dit *d = test_dit_open();
    const struct df_dit_info *i = df_dit_info(d);
    assert_int_equal(i->depth, DEPTH);
    assert_int_equal(i->width, WIDTH);
    assert_int_equal(i->heads, HEADS);
    assert_int_equal(i->mlp_width, 4 * WIDTH);
    assert_int_equal(i->out_channels, OUT);
    assert_int_equal(i->text_tokens, TOKENS);
    assert_true(i->parameters > 100000);
    df_dit_close(&d);
}

/* Two captions of 6 and 3 tokens in one batch against each alone; padding may hold anything. */
static void samples_stand_alone(void **state)
{
    (void)state;
    struct df_dit *d = test_dit_open();
    float *z = test_numbers(2 * N, 1), *y = test_numbers(2 * TOKENS * TEXT, 2);
    float both[2 * OUT_N], one[OUT_N];
    const bool mask[2 * TOKENS] = {1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 0, 0};
    step(d, 2, &(struct df_text){TOKENS, y, mask}, z, NULL, both);
    for (int b = 0; b < 2; b++) {
        step(d, 1, &(struct df_text){TOKENS, y + b * TOKENS * TEXT, mask + b * TOKENS}, z + b * N, NULL,
             one);
        assert_near(most_apart(one, both + b * OUT_N, OUT_N), 0, 2e-5);
    }
    y[TOKENS * TEXT + TEXT] += 100; /* of the second caption's token 1, which is masked */
    step(d, 1, &(struct df_text){TOKENS, y + TOKENS * TEXT, mask + TOKENS}, z + N, NULL, one);
    assert_near(most_apart(one, both + OUT_N, OUT_N), 0, 2e-5);
    y[TOKENS * TEXT] += 1; /* token 0 counts */
    step(d, 1, &(struct df_text){TOKENS, y + TOKENS * TEXT, mask + TOKENS}, z + N, NULL, one);
    assert_true(most_apart(one, both + OUT_N, OUT_N) > 1e-3);
    free(z);
    free(y);
    df_dit_close(&d);
}

/* With no frame kept the masked forms are the plain ones. */
static void masks_of_nothing(void **state)
{
    (void)state;
    struct df_dit *d = test_dit_open();
    float *z = test_numbers(N, 3), *y = test_numbers(TOKENS * TEXT, 4), plain[OUT_N], masked[OUT_N];
    const bool kept[T] = {0}, some[T] = {1, 0, 0};
    const struct df_text text = {TOKENS, y, NULL};
    step(d, 1, &text, z, NULL, plain);
    step(d, 1, &text, z, kept, masked);
    assert_near(most_apart(plain, masked, OUT_N), 0, 2e-5);
    step(d, 1, &text, z, some, masked);
    assert_true(most_apart(plain, masked, OUT_N) > 1e-3);
    free(z);
    free(y);
    df_dit_close(&d);
}

/* Frames that are all the same are what their means are: merging changes nothing then. */
static void merging_of_equal_frames(void **state)
{
    (void)state;
    struct df_dit *d = test_dit_open();
    float *z = test_numbers(N, 9), *y = test_numbers(TOKENS * TEXT, 10), plain[OUT_N], merged[OUT_N];
    const struct df_text text = {TOKENS, y, NULL};
    step_with(d, 1, &text, z, NULL, false, plain);
    step_with(d, 1, &text, z, NULL, true, merged);
    assert_true(most_apart(plain, merged, OUT_N) > 1e-3);
    for (int c = 0; c < CHANNELS; c++)
        for (int t = 1; t < T; t++)
            memcpy(z + (c * T + t) * PLANE, z + c * T * PLANE, PLANE * sizeof *z);
    step_with(d, 1, &text, z, NULL, false, plain);
    step_with(d, 1, &text, z, NULL, true, merged);
    assert_near(most_apart(plain, merged, OUT_N), 0, 5e-5);
    free(z);
    free(y);
    df_dit_close(&d);
}

/* A leap at step 2 of 6 is step 2 over all the time that is left. */
static void leaps_to_the_end(void **state)
{
    (void)state;
    struct df_dit *d = test_dit_open();
    float *z = test_numbers(N, 5), *far = test_numbers(N, 5), *y = test_numbers(TOKENS * TEXT, 6);
    struct df_sampled done;
    struct df_sampling s = {.size = size_of(1), .text = {TOKENS, y, NULL}, .guidance = 4,
                            .schedule = {.steps = 6}, .merge_steps = 1,
                            .leap = {.by = DF_LEAP_FIXED, .from = 2}};
    assert_ok(df_sample(d, &s, z, &done));
    assert_int_equal(done.evaluations, 3);
    assert_int_equal(done.merged, 1);
    assert_true(done.flops > 0);
    s.leap = (struct df_leap){.by = DF_LEAP_WHOLE, .from = 1, .gain = 10, .patience = 2}; /* never a gain */
    assert_ok(df_sample(d, &s, far, &done));
    assert_int_equal(done.evaluations, 3); /* steps 1 and 2 gain nothing */
    assert_near(most_apart(z, far, N), 0, 0);
    free(z);
    free(far);
    free(y);
    df_dit_close(&d);
}

static int some_noise(void *ud, uint32_t i, size_t n, float *out)
{
    (void)ud;
    nn_normal(out, 77, i * n, n);
    return 0;
}

static int stop(void *ud, const struct fv_progress *p)
{
    (void)ud;
    return p->done >= 1;
}

static void sampling_keeps_frames(void **state)
{
    (void)state;
    struct df_dit *d = test_dit_open();
    float *z = test_numbers(N, 5), *was = test_numbers(N, 5), *again = test_numbers(N, 5), *y = test_numbers(TOKENS * TEXT, 6);
    const float mask[T] = {0, 1, 0.5f};
    struct df_sampling s = {.size = size_of(1), .text = {TOKENS, y, NULL},
                            .schedule = {.steps = 3, .pixel_height = 40, .pixel_width = 48, .frames = 9},
                            .guidance = 4, .frame_mask = mask, .noise = some_noise};
    assert_ok(df_sample(d, &s, z, NULL));
    for (int c = 0; c < CHANNELS; c++) {
        assert_near(most_apart(z + c * T * PLANE, was + c * T * PLANE, PLANE), 0, 0);
        for (int t = 1; t < T; t++)
            assert_true(most_apart(z + (c * T + t) * PLANE, was + (c * T + t) * PLANE, PLANE) > 1e-3);
    }
    assert_ok(df_sample(d, &s, again, NULL)); /* the same once more */
    assert_memory_equal(z, again, N * sizeof *z);
    s.on_progress = stop;
    assert_fails(df_sample(d, &s, again, NULL), FV_ECANCELLED, "step 1 of 3");
    s.noise = NULL;
    assert_fails(df_sample(d, &s, again, NULL), FV_EINVALID, "noise");
    s.schedule.steps = 0;
    assert_fails(df_sample(d, &s, again, NULL), FV_EINVALID, "0 steps");
    free(z);
    free(was);
    free(again);
    free(y);
    df_dit_close(&d);
}

/* Pairs of blocks that come from the file in every step give the same bytes as those that stay. */
static void streamed_blocks_are_the_same(void **state)
{
    (void)state;
    struct df_dit *all = test_dit_open(), *some = NULL;
    float *z = test_numbers(N, 5), *same = test_numbers(N, 5), *y = test_numbers(TOKENS * TEXT, 6);
    const float mask[T] = {0, 1, 1};
    struct df_sampling s = {.size = size_of(1), .text = {TOKENS, y, NULL}, .guidance = 4,
                            .schedule = {.steps = 3}, .merge_steps = 1, .frame_mask = mask,
                            .noise = some_noise};
    uint64_t pair = 0;
    assert_ok(df_sample(all, &s, z, NULL));
    df_dit_close(&all);
    assert_ok(df_dit_open(&some, test_device(), test_tmp_path("dit"),
                          &(struct df_dit_opts){.weight_memory = UINT64_C(1) << 40}));
    pair = df_dit_loading(some).pair_bytes;
    assert_int_equal(df_dit_loading(some).resident, DEPTH);
    df_dit_close(&some);
    for (uint32_t stay = 0; stay < 3; stay++) {
        const struct df_dit_opts o = {.weight_memory = (stay + 2) * pair};
        nn_normal(same, 5, 0, N);
        assert_ok(df_dit_open(&some, test_device(), test_tmp_path("dit"), &o));
        assert_ok(df_sample(some, &s, same, NULL));
        struct df_loading l = df_dit_loading(some);
        assert_int_equal(l.resident, stay);
        assert_int_equal(l.pairs, 4 * (DEPTH - stay)); /* once for the captions, once a step */
        assert_memory_equal(z, same, N * sizeof *z);
        df_dit_close(&some);
    }
    const struct df_dit_opts little = {.weight_memory = 2 * pair - 1};
    assert_fails(df_dit_open(&some, test_device(), test_tmp_path("dit"), &little), FV_EGPUMEM,
                 "two pairs");
    free(z);
    free(same);
    free(y);
}

static const struct {
    const char *name;
    uint32_t columns;
} matrices[] = {{"attn.qkv", WIDTH},           {"attn.proj", WIDTH},           {"cross_attn.q_linear", WIDTH},
                {"cross_attn.kv_linear", WIDTH}, {"cross_attn.proj", WIDTH},     {"mlp.fc1", WIDTH},
                {"mlp.fc2", 4 * WIDTH}};

/* Some of every kind of block, in other ways; what they stand for as plain numbers instead when restored. */
static struct df_dit *open_quantised(bool restored, uint64_t memory, bool expand)
{
    struct test_model m;
    struct df_dit *d = NULL;
    const char *dir = test_tmp_path("coded");
    test_dit_make(&m);
    for (int n = 1; n < DEPTH; n++)
        for (size_t i = 0; i < sizeof matrices / sizeof *matrices; i++) {
            char name[96];
            const struct test_codes how = {n == 3 ? NN_CODE_INT8 : NN_CODE_INT4, i % 3 * 8, (n + i) % 2};
            snprintf(name, sizeof name, "%s_blocks.%d.%s", i % 2 ? "temporal" : "spatial", n, matrices[i].name);
            test_quantise(&m, name, &how);
            if (restored)
                test_restore(&m, name, matrices[i].columns);
        }
    test_dit_write(&m, dir);
    test_model_finish(&m);
    assert_ok(df_dit_open(&d, test_device(), dir, &(struct df_dit_opts){.weight_memory = memory, .expand = expand}));
    return d;
}

/* Blocks of codes, of some layers only, give what their numbers give; also streamed through places that
 * hold the largest pair of blocks, or kept as numbers; and less memory is said to be needed. */
static void blocks_of_codes(void **state)
{
    (void)state;
    float *z = test_numbers(N, 5), *y = test_numbers(TOKENS * TEXT, 6), *same = test_numbers(N, 5),
          *far = test_numbers(N, 5), *kept = test_numbers(N, 5);
    struct df_sampling s = {.size = size_of(1), .text = {TOKENS, y, NULL}, .guidance = 4, .schedule = {.steps = 2}};
    struct df_sampling large = s;
    struct df_cost plain, coded, streamed, expanded;
    struct df_dit *d = open_quantised(true, 0, true);
    assert_false(df_dit_info(d)->coded);
    uint64_t parameters = df_dit_info(d)->parameters;
    large.size.height = large.size.width *= 3; /* more rows than those for which codes are taken as they are */
    assert_ok(df_sampling_cost(&plain, d, &large, 0, false));
    assert_ok(df_sample(d, &s, z, NULL));
    df_dit_close(&d);
    d = open_quantised(false, UINT64_C(1) << 40, false);
    assert_true(df_dit_info(d)->coded);
    uint64_t pair = df_dit_loading(d).pair_bytes;
    assert_int_equal(df_dit_info(d)->parameters, parameters);
    assert_ok(df_sampling_cost(&coded, d, &large, 0, false));
    assert_int_equal(coded.weight_bytes, df_dit_info(d)->weight_bytes);
    assert_true(coded.weight_bytes < plain.weight_bytes && coded.packed_bytes < plain.packed_bytes);
    assert_ok(df_sample(d, &s, same, NULL));
    assert_near(most_apart(z, same, N), 0, test_device()->caps.is_cpu ? 1e-4 : 5e-3 /* panels are of halfs */);
    df_dit_close(&d);
    d = open_quantised(false, 0, true);
    assert_ok(df_sampling_cost(&expanded, d, &large, 0, true));
    /* of layers of codes that steps see, the numbers; not of what captions go through */
    assert_true(expanded.packed_bytes > coded.packed_bytes && expanded.flops < coded.flops &&
                expanded.packed_bytes < plain.packed_bytes);
    assert_ok(df_sample(d, &s, kept, NULL));
    assert_memory_equal(same, kept, N * sizeof *kept);
    df_dit_close(&d);
    d = open_quantised(false, 2 * pair, true);
    assert_int_equal(df_dit_loading(d).resident, 0);
    assert_ok(df_sampling_cost(&streamed, d, &s, 2 * pair, false));
    assert_int_equal(streamed.weight_bytes, df_dit_info(d)->weight_bytes);
    assert_ok(df_sample(d, &s, far, NULL));
    assert_memory_equal(same, far, N * sizeof *far);
    df_dit_close(&d);
    free(z);
    free(y);
    free(same);
    free(far);
    free(kept);
}

/* A model with a change to two of its layers (LoRA), on the device or streamed, is the model with changed
 * weights. */
static void changed_layers(void **state)
{
    (void)state;
    enum { RANK = 4 };
    static const char *const layers[] = {"temporal_blocks.1.attn.qkv", "spatial_blocks.4.mlp.fc1"};
    const char *dir = test_tmp_path("plain"), *merged = test_tmp_path("merged"), *file = test_tmp_path("change");
    float *z = test_numbers(N, 5), *y = test_numbers(TOKENS * TEXT, 6), *same = test_numbers(N, 5),
          *far = test_numbers(N, 5);
    struct df_sampling s = {.size = size_of(1), .text = {TOKENS, y, NULL}, .guidance = 4, .schedule = {.steps = 2}};
    struct test_model m, change = {.seed = 3};
    struct nn_lora *lora = NULL;
    struct df_dit *d = NULL;
    test_dit_make(&m);
    test_dit_write(&m, dir);
    for (int i = 0; i < 2; i++) {
        char name[96];
        snprintf(name, sizeof name, "%s.weight", layers[i]);
        const struct nn_save_tensor *w = test_model_find(&m, name);
        uint64_t n = w->shape[0], k = w->shape[1];
        snprintf(name, sizeof name, "transformer.%s.lora_A.weight", layers[i]);
        test_model_add(&change, name, 2, (uint64_t[]){RANK, k});
        snprintf(name, sizeof name, "transformer.%s.lora_B.weight", layers[i]);
        test_model_add(&change, name, 2, (uint64_t[]){n, RANK});
        const float *down = change.list[2 * i].data, *up = change.list[2 * i + 1].data;
        float *v = (float *)(uintptr_t)w->data;
        for (uint64_t j = 0; j < n * k; j++)
            for (uint64_t r = 0; r < RANK; r++)
                v[j] += 0.25f * up[j / k * RANK + r] * down[r * k + j % k];
    }
    test_model_write(&change, file);
    test_dit_write(&m, merged);
    test_model_finish(&m);
    test_model_finish(&change);
    assert_ok(df_dit_open(&d, test_device(), merged, NULL));
    assert_ok(df_sample(d, &s, z, NULL));
    df_dit_close(&d);
    assert_ok(nn_lora_open(&lora, file, 0.25f));
    struct df_dit_opts o = {.lora = &lora, .lora_count = 1, .weight_memory = UINT64_C(1) << 40};
    assert_ok(df_dit_open(&d, test_device(), dir, &o));
    assert_ok(df_sample(d, &s, same, NULL));
    assert_near(most_apart(z, same, N), 0, 2e-3); /* changes are of 16 bits */
    o.weight_memory = 2 * df_dit_loading(d).pair_bytes;
    df_dit_close(&d);
    assert_ok(df_dit_open(&d, test_device(), dir, &o));
    assert_ok(df_sample(d, &s, far, NULL));
    assert_memory_equal(same, far, N * sizeof *far);
    df_dit_close(&d);
    nn_normal(far, 5, 0, N);
    assert_ok(df_dit_open(&d, test_device(), dir, NULL));
    assert_ok(df_sample(d, &s, far, NULL));
    assert_true(most_apart(z, far, N) > 1e-2);
    df_dit_close(&d);
    nn_lora_close(&lora);
    free(z);
    free(y);
    free(same);
    free(far);
}

struct inputs {
    size_t of_blocks, values;
};

static int see_inputs(void *ud, const char *name, nn_tensor shape, const float *data)
{
    struct inputs *in = ud;
    bool last = !strcmp(name, "in.temporal_blocks.4.mlp.fc2");
    in->of_blocks += !strncmp(name, "in.spatial_blocks.", 18) || !strncmp(name, "in.temporal_blocks.", 19);
    in->values += last ? (size_t)nn_count(shape) : 0;
    (void)data;
    return 0;
}

/* Who quantises sees what every linear layer of the blocks sees, once. */
static void inputs_are_named(void **state)
{
    (void)state;
    struct df_dit *d = test_dit_open();
    struct df_run *r = NULL;
    struct inputs in = {0};
    float *z = test_numbers(N, 5), *y = test_numbers(TOKENS * TEXT, 6), out[OUT_N];
    const float time[] = {700};
    const struct df_size size = size_of(1);
    assert_ok(df_run_create(&r, d, &size, &(struct df_text){TOKENS, y, NULL},
                            &(struct df_run_opts){.on_trace = see_inputs, .ud = &in}));
    assert_ok(df_run_step(r, &(struct df_step){.z = z, .time = time}, out));
    assert_int_equal(in.of_blocks, 2 * DEPTH * sizeof matrices / sizeof *matrices);
    assert_int_equal(in.values, T * 3 * 3 * 4 * WIDTH);
    df_run_destroy(&r);
    free(z);
    free(y);
    df_dit_close(&d);
}

static void refuses_models(void **state)
{
    (void)state;
    static const struct {
        const char *drop, *part;
        int code;
    } rows[] = {{"x_embedder.proj.weight", "no x_embedder.proj.weight", FV_EUNSUPPORTED},
                {"temporal_blocks.1.mlp.fc2.bias", "temporal_blocks.1.mlp.fc2.bias", FV_EFORMAT},
                {"final_layer.linear.weight", "no final_layer.linear.weight", FV_EUNSUPPORTED}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct test_model m;
        struct df_dit *d = NULL;
        const char *dir = test_tmp_path("bad");
        test_dit_make(&m);
        test_model_drop(&m, rows[i].drop);
        test_dit_write(&m, dir);
        test_model_finish(&m);
        assert_fails(df_dit_open(&d, test_device(), dir, NULL), rows[i].code, rows[i].part);
        assert_null(d);
    }
}

static void refuses_sizes(void **state)
{
    (void)state;
    struct df_dit *d = test_dit_open();
    struct df_run *r;
    float *y = test_numbers(TOKENS * TEXT, 8);
    const bool none[TOKENS] = {0};
    struct df_size size = size_of(1);
    const struct df_text text = {TOKENS, y, NULL}, empty = {TOKENS, y, none};
    assert_fails(df_run_create(&r, d, &size, &empty, NULL), FV_EINVALID, "no token");
    size.height = 0;
    assert_fails(df_run_create(&r, d, &size, &text, NULL), FV_EINVALID, "6x0");
    size = size_of(1);
    size.fps = NAN;
    assert_fails(df_run_create(&r, d, &size, &text, NULL), FV_EINVALID, "frames/s");
    assert_null(r);
    free(y);
    df_dit_close(&d);
}

static void times_run_from_noise(void **state)
{
    (void)state;
    float t[30];
    struct df_schedule s = {.steps = 30, .transform = true, .pixel_height = 240, .pixel_width = 426,
                            .frames = 51};
    df_times(&s, t);
    assert_near(t[0], 1000, 1e-3);
    for (int i = 1; i < 30; i++)
        assert_true(t[i] < t[i - 1] && t[i] > 1000 * (1 - i / 30.0f)); /* nearer to noise */
}

/* Modulation made at once for all steps, kept frames too, is what each step makes by itself. */
static void times_known_beforehand(void **state)
{
    (void)state;
    struct df_dit *d = test_dit_open();
    float *z = test_numbers(2 * N, 5), *y = test_numbers(2 * TOKENS * TEXT, 6), one[2 * OUT_N], all[2 * OUT_N];
    static const float times[3][2] = {{900, 800}, {500, 450.25f}, {20, 10}}, fps[2] = {24, 8};
    static const bool kept[2 * T] = {1, 0, 0, 0, 0, 1};
    const struct df_text text = {TOKENS, y, NULL};
    const struct df_size size = size_of(2);
    for (int masked = 0; masked < 2; masked++) {
        struct df_run *r, *known;
        struct df_run_opts o = {.masked = masked, .fps = fps};
        assert_ok(df_run_create(&r, d, &size, &text, &o));
        o.times = times[0];
        o.time_count = 3;
        assert_ok(df_run_create(&known, d, &size, &text, &o));
        for (int i = 2; i >= 0; i--) { /* in any order */
            struct df_step step = {.z = z, .time = times[i], .kept = masked ? kept : NULL};
            assert_ok(df_run_step(r, &step, one));
            assert_ok(df_run_step(known, &step, all));
            assert_near(most_apart(one, all, 2 * OUT_N), 0, 2e-5);
        }
        static const float other[2] = {900, 450.25f};
        assert_fails(df_run_step(known, &(struct df_step){.z = z, .time = other}, all), FV_EINVALID, "900");
        df_run_destroy(&r);
        df_run_destroy(&known);
    }
    free(z);
    free(y);
    df_dit_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_its_sizes),      cmocka_unit_test(samples_stand_alone),
        cmocka_unit_test(masks_of_nothing),     cmocka_unit_test(sampling_keeps_frames),
        cmocka_unit_test(merging_of_equal_frames), cmocka_unit_test(leaps_to_the_end),
        cmocka_unit_test(streamed_blocks_are_the_same),
        cmocka_unit_test(blocks_of_codes),      cmocka_unit_test(inputs_are_named),
        cmocka_unit_test(changed_layers),
        cmocka_unit_test(refuses_models),       cmocka_unit_test(refuses_sizes),
        cmocka_unit_test(times_run_from_noise), cmocka_unit_test(times_known_beforehand),
    };
    test_device();
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    test_device_done();
    return rc;
}
