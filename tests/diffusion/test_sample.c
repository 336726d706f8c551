/* diffusion/sample.c: samplings that are stopped and taken up again, states that are not theirs. */
#include "support/dit_model.h"
#include "support/test.h"

#include <math.h>

enum { TEXT = DIT_TEXT, TOKENS = DIT_TOKENS, CHANNELS = DIT_CHANNELS };
enum { T = 3, H = 5, W = 6, PLANE = H * W, N = CHANNELS * T * PLANE, STEPS = 6 };

static int some_noise(void *ud, uint32_t step, size_t n, float *out)
{
    (void)ud;
    nn_normal(out, 77, step * n, n);
    return 0;
}

/* Calls to on_progress so far, and which of them says stop. */
struct stop {
    int calls, at;
};

static int count_and_stop(void *ud, const struct fv_progress *p)
{
    struct stop *s = ud;
    (void)p;
    return s->calls++ == s->at;
}

static const float frame_mask[T] = {0, 1, 0.5f};

/* Samplings of every kind that keeps something from step to step. */
static void setting(int kind, struct df_sampling *s, const float *captions)
{
    *s = (struct df_sampling){.size = {1, T, H, W, 40, 48, 24}, .text = {TOKENS, captions, NULL}, .guidance = 4,
                              .schedule = {.steps = STEPS, .transform = true, .pixel_height = 40,
                                           .pixel_width = 48, .frames = 51}};
    if (kind == 1) {
        s->frame_mask = frame_mask;
        s->noise = some_noise;
        s->merge_steps = 2;
    } else if (kind == 2) {
        s->leap = (struct df_leap){.by = DF_LEAP_WHOLE, .from = 1, .gain = 1e-4f, .patience = 3};
    }
}
enum { KINDS = 3 };

static int run_to_end(struct df_sampler *k)
{
    int rc = 0;
    while (rc == 0)
        rc = df_sampler_step(k);
    return rc;
}

/* Stopped behind every step, written down, taken up by another sampler of another model object: same bytes. */
static void goes_on(struct df_dit *d, struct df_dit *other, int kind)
{
    float *z = test_numbers(N, 5), *y = test_numbers(TOKENS * TEXT, 6), whole[N], parts[N];
    struct df_sampling s;
    struct df_sampler *k;
    struct df_sampled done;
    setting(kind, &s, y);
    memcpy(whole, z, sizeof whole);
    assert_ok(df_sample(d, &s, whole, &done));
    for (uint32_t after = 0; after <= done.evaluations; after++) {
        void *state;
        size_t bytes;
        assert_ok(df_sampler_create(&k, d, &s, z));
        for (uint32_t i = 0; i < after; i++)
            assert_int_equal(df_sampler_step(k), i + 1 == done.evaluations);
        assert_int_equal(df_sampler_at(k), after);
        assert_ok(df_sampler_save(k, &state, &bytes));
        df_sampler_destroy(&k);
        float *zeros = calloc(N, sizeof *zeros);
        assert_non_null(zeros);
        assert_ok(df_sampler_create(&k, other, &s, zeros));
        assert_ok(df_sampler_restore(k, state, bytes));
        assert_int_equal(run_to_end(k), 1);
        df_sampler_latents(k, parts);
        assert_memory_equal(whole, parts, sizeof whole);
        assert_int_equal(df_sampler_done(k).evaluations, done.evaluations);
        assert_int_equal(df_sampler_done(k).merged, done.merged);
        df_sampler_destroy(&k);
        free(zeros);
        free(state);
    }
    free(z);
    free(y);
}

static void interrupted_is_the_same(void **state)
{
    (void)state;
    struct df_dit *d = test_dit_open(), *other = NULL;
    assert_ok(df_dit_open(&other, test_device(), test_tmp_path("dit"), NULL));
    for (int kind = 0; kind < KINDS; kind++)
        goes_on(d, other, kind);
    df_dit_close(&d);
    df_dit_close(&other);
}

/* Blocks that come from the file: asked between them too. Wherever it is stopped, the step can be taken again. */
static void stops_between_blocks(void **state)
{
    (void)state;
    struct df_dit *d = test_dit_open();
    struct df_sampling s;
    struct df_sampler *k;
    float *z = test_numbers(N, 5), *y = test_numbers(TOKENS * TEXT, 6), whole[N], parts[N];
    df_dit_close(&d);
    assert_ok(df_dit_open(&d, test_device(), test_tmp_path("dit"),
                          &(struct df_dit_opts){.weight_memory = UINT64_C(1) << 40}));
    uint64_t pair = df_dit_loading(d).pair_bytes;
    df_dit_close(&d);
    assert_ok(df_dit_open(&d, test_device(), test_tmp_path("dit"), &(struct df_dit_opts){.weight_memory = 3 * pair}));
    setting(1, &s, y);
    s.schedule.steps = 2;
    struct stop stop = {0, -1};
    s.on_progress = count_and_stop;
    s.ud = &stop;
    memcpy(whole, z, sizeof whole);
    assert_ok(df_sample(d, &s, whole, NULL));
    assert_int_equal(stop.calls, 2 * (1 + DIT_DEPTH)); /* before each step and each pair of blocks */
    for (int at = 0, all = stop.calls; at < all; at += 3) {
        stop = (struct stop){0, at};
        assert_ok(df_sampler_create(&k, d, &s, z));
        int rc = run_to_end(k);
        assert_int_equal(rc, FV_ECANCELLED);
        assert_non_null(strstr(fv_error(), at < 1 + DIT_DEPTH ? "step 0 of 2" : "step 1 of 2"));
        assert_int_equal(run_to_end(k), 1);
        df_sampler_latents(k, parts);
        assert_memory_equal(whole, parts, sizeof whole);
        df_sampler_destroy(&k);
    }
    free(z);
    free(y);
    df_dit_close(&d);
}

static void refuses_states(void **state)
{
    (void)state;
    struct df_dit *d = test_dit_open();
    struct df_sampling s;
    struct df_sampler *k, *other;
    void *bytes;
    size_t n;
    float *z = test_numbers(N, 5), *y = test_numbers(TOKENS * TEXT, 6), whole[N], parts[N];
    setting(0, &s, y);
    memcpy(whole, z, sizeof whole);
    assert_ok(df_sample(d, &s, whole, NULL));
    assert_ok(df_sampler_create(&k, d, &s, z));
    assert_int_equal(df_sampler_step(k), 0);
    assert_ok(df_sampler_save(k, &bytes, &n));
    s.guidance = 5;
    assert_ok(df_sampler_create(&other, d, &s, z));
    assert_fails(df_sampler_restore(other, bytes, n), FV_EINVALID, "guidance 4");
    df_sampler_destroy(&other);
    char *copy = malloc(n);
    assert_non_null(copy);
    for (size_t cut = 0; cut < n; cut += 97) {
        memcpy(copy, bytes, n);
        assert_true(df_sampler_restore(k, copy, cut) < 0);
    }
    copy[0]++;
    assert_fails(df_sampler_restore(k, copy, n), FV_EFORMAT, "no sampling");
    memcpy(copy, bytes, n);
    copy[8]++;
    assert_fails(df_sampler_restore(k, copy, n), FV_EUNSUPPORTED, "another version");
    for (size_t i = 24 + 512; i < 24 + 512 + 8; i++) { /* the step and whether it is the end */
        memcpy(copy, bytes, n);
        copy[i] = 0x7f;
        assert_fails(df_sampler_restore(k, copy, n), FV_EFORMAT, "damaged");
    }
    assert_int_equal(run_to_end(k), 1); /* none of it did harm */
    df_sampler_latents(k, parts);
    assert_memory_equal(whole, parts, sizeof whole);
    df_sampler_destroy(&k);
    free(copy);
    free(bytes);
    free(z);
    free(y);
    df_dit_close(&d);
}

/* The guess is a leap from where it stands, and the sample itself at the end. */
static void guesses(void **state)
{
    (void)state;
    struct df_dit *d = test_dit_open();
    struct df_sampling s;
    struct df_sampler *k;
    float *z = test_numbers(N, 5), *y = test_numbers(TOKENS * TEXT, 6), guess[N], leapt[N], at[N];
    setting(0, &s, y);
    assert_ok(df_sampler_create(&k, d, &s, z));
    df_sampler_guess(k, guess);
    assert_memory_equal(guess, z, sizeof guess);
    assert_int_equal(df_sampler_step(k), 0);
    df_sampler_guess(k, guess);
    s.leap = (struct df_leap){.by = DF_LEAP_FIXED, .from = 0};
    s.schedule.steps = 1; /* all at once */
    memcpy(leapt, z, sizeof leapt);
    assert_ok(df_sample(d, &s, leapt, NULL));
    for (size_t i = 0; i < N; i++)
        assert_near(guess[i], leapt[i], 1e-5);
    assert_int_equal(run_to_end(k), 1);
    assert_int_equal(df_sampler_step(k), 1); /* stays there */
    df_sampler_guess(k, guess);
    df_sampler_latents(k, at);
    assert_memory_equal(guess, at, sizeof guess);
    df_sampler_destroy(&k);
    free(z);
    free(y);
    df_dit_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(interrupted_is_the_same), cmocka_unit_test(stops_between_blocks),
        cmocka_unit_test(refuses_states),          cmocka_unit_test(guesses),
    };
    test_device();
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    test_device_done();
    return rc;
}
