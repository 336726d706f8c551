/* diffusion/sample.c: samplings that are stopped and taken up again, states that are not theirs;
 * frames that are given, without which the other half of the guidance is made too. */
#include "support/dit_model.h"
#include "support/test.h"

#include <math.h>

enum { TEXT = DIT_TEXT, TOKENS = DIT_TOKENS, CHANNELS = DIT_CHANNELS };
enum {
    T = 3,
    H = 5,
    W = 6,
    PLANE = H * W,
    N = CHANNELS * T * PLANE,
    OUT_N = DIT_OUT * T * PLANE,
    STEPS = 6
};

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
    *s = (struct df_sampling){.size = {1, T, H, W, 40, 48, 24},
                              .text = {TOKENS, captions, NULL},
                              .guidance = 4,
                              .schedule = {.steps = STEPS,
                                           .transform = true,
                                           .pixel_height = 40,
                                           .pixel_width = 48,
                                           .frames = 51}};
    if (kind == 1) {
        s->frame_mask = frame_mask;
        s->noise = some_noise;
        s->merge_steps = 2;
    } else if (kind == 2) {
        s->leap = (struct df_leap){.by = DF_LEAP_WHOLE, .from = 1, .gain = 1e-4f, .patience = 3};
    } else if (kind == 3) {
        s->frame_mask = frame_mask;
        s->noise = some_noise;
        s->joint = s->replace = true;
        s->renorm = 0.5f;
    } else if (kind >=
               7) { /* what the model says is used twice or more, and once a leap has to wait */
        static const double itself[5] = {0, 0, 0, 1, 0};
        s->cache = (struct df_cache){kind == 7 ? 1e9f : 0.2f, itself};
        s->merge_steps = kind == 8 ? 3 : 0;
        s->leap = (struct df_leap){
            .by = kind == 8 ? DF_LEAP_WHOLE : DF_LEAP_NEVER, .from = 1, .gain = 10, .patience = 2};
    } else if (kind >= 4) {
        static const enum df_method methods[] = {DF_HEUN, DF_UNIPC, DF_DPMPP};
        static const float first[T] = {0, 1, 1};
        s->method = methods[kind - 4];
        s->schedule.steps = 4;
        s->frame_mask = kind == 5 ? first : NULL;
        s->noise = some_noise;
        s->joint = kind == 5;
    }
}
enum { KINDS = 9 };

static int run_to_end(struct df_sampler *k)
{
    int rc = 0;
    while (rc == 0)
        rc = df_sampler_step(k);
    return rc;
}

/* Stopped behind every step, written down, taken up by another sampler of another model object:
 * same bytes. */
static void goes_on(struct df_dit *d, struct df_dit *other, int kind)
{
    float *z = test_numbers(N, 5), *y = test_numbers(TOKENS * TEXT, 6), whole[N], parts[N];
    struct df_sampling s;
    struct df_sampler *k;
    struct df_sampled done;
    setting(kind, &s, y);
    memcpy(whole, z, sizeof whole);
    assert_ok(df_sample(d, &s, whole, &done));
    for (uint32_t after = 0; after <= done.evaluations + done.skipped; after++) {
        void *state;
        size_t bytes;
        assert_ok(df_sampler_create(&k, d, &s, z));
        for (uint32_t i = 0; i < after; i++)
            assert_int_equal(df_sampler_step(k), i + 1 == done.evaluations + done.skipped);
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
        assert_int_equal(df_sampler_done(k).skipped, done.skipped);
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

/* Blocks that come from the file: asked between them too. Wherever it is stopped, the step can be
 * taken again. */
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
    assert_ok(df_dit_open(&d, test_device(), test_tmp_path("dit"),
                          &(struct df_dit_opts){.weight_memory = 3 * pair}));
    setting(1, &s, y);
    s.schedule.steps = 2;
    s.cache.threshold = 1e-6f; /* which must not be misled by what was begun */
    struct stop stop = {0, -1};
    s.on_progress = count_and_stop;
    s.ud = &stop;
    memcpy(whole, z, sizeof whole);
    assert_ok(df_sample(d, &s, whole, NULL));
    assert_int_equal(stop.calls,
                     2 * (1 + DIT_DEPTH)); /* before each step and each pair of blocks */
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
    static const double itself[5] = {0, 0, 0, 1, 0};
    void *cached;
    size_t cached_n;
    s.cache.threshold = 0.1f;
    assert_ok(df_sampler_create(&other, d, &s, z));
    assert_ok(df_sampler_save(other, &cached, &cached_n));
    df_sampler_destroy(&other);
    s.cache.polynomial = itself;
    assert_ok(df_sampler_create(&other, d, &s, z));
    assert_fails(df_sampler_restore(other, cached, cached_n), FV_EINVALID, "cache by 0, 0, 0, 1, 0");
    df_sampler_destroy(&other);
    free(cached);
    s.cache = (struct df_cache){0};
    s.size.width = 5000;
    assert_fails(df_sampler_create(&other, d, &s, z), FV_EINVALID, "5000x5");
    assert_null(other);
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
    for (size_t i = 24 + 1024; i < 24 + 1024 + 8; i++) { /* the step and whether it is the end */
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

/* ---- cached steps -------------------------------------------------------------------------- */

static int step_skips(struct df_run *r, const float *z, float time, bool compute, float *out)
{
    assert_ok(df_run_step(r, &(struct df_step){.z = z, .time = &time, .compute = compute}, out));
    return df_run_skipped(r);
}

/* Nothing changes: the authors' polynomial still says 0.0484 a step, so of a threshold of 0.1 two
 * are left out. */
static void cached_steps_add_up(void **state)
{
    (void)state;
    static const int skips[8] = {0, 1, 1, 0, 1, 1, 0, 1};
    struct df_dit *d = test_dit_open();
    struct df_run *r;
    float *z = test_numbers(N, 5), *y = test_numbers(TOKENS * TEXT, 6), first[OUT_N], out[OUT_N];
    const struct df_size size = {1, T, H, W, 40, 48, 24};
    const struct df_text text = {TOKENS, y, NULL};
    assert_ok(
        df_run_create(&r, d, &size, &text, &(struct df_run_opts){.cache = {.threshold = 0.1f}}));
    for (int i = 0; i < 8; i++) {
        assert_int_equal(step_skips(r, z, 700, false, i ? out : first), skips[i]);
        for (int n = 0; n < OUT_N && i; n++)
            assert_near(out[n], first[n], 1e-4);
    }
    assert_int_equal(step_skips(r, z, 700, true, out), 0); /* because it must */
    df_run_destroy(&r);
    static const double itself[5] = {0, 0, 0, 1, 0};
    assert_ok(df_run_create(&r, d, &size, &text, &(struct df_run_opts){.cache = {1e-6f, itself}}));
    assert_int_equal(step_skips(r, z, 700, false, out), 0);
    assert_int_equal(step_skips(r, z, 700, false, out), 1);
    assert_int_equal(step_skips(r, z, 650, false, out),
                     0); /* another time, other latents: computed */
    z[7] += 1;
    assert_int_equal(step_skips(r, z, 650, false, out), 0);
    df_run_destroy(&r);
    struct df_run *plain;
    float want[OUT_N], time = 650;
    assert_ok(df_run_create(&plain, d, &size, &text, NULL));
    assert_ok(df_run_step(plain, &(struct df_step){.z = z, .time = &time}, want));
    assert_memory_equal(want, out, sizeof want);
    df_run_destroy(&plain);
    free(z);
    free(y);
    df_dit_close(&d);
}

/* What the first block's attention sees, by hand from what a run names. */
struct seen {
    float *tokens, *modulation; /* mid.spatial0.in, mid.t_mlp */
    size_t count;
};

static int see(void *ud, const char *name, nn_tensor shape, const float *data)
{
    struct seen *s = ud;
    size_t n = (size_t)nn_count(shape);
    float **to = !strcmp(name, "mid.spatial0.in") ? &s->tokens
                 : !strcmp(name, "mid.t_mlp")     ? &s->modulation
                                                  : NULL;
    if (!to)
        return 0;
    *to = malloc(n * sizeof **to);
    assert_non_null(*to);
    memcpy(*to, data, n * sizeof **to);
    s->count = to == &s->tokens ? n : s->count;
    return 0;
}

static double *modulated(struct df_dit *d, const float *z, const float *y, float time,
                         size_t *count)
{
    enum { C = DIT_WIDTH };
    struct test_model m;
    struct seen seen = {0};
    struct df_run *r;
    float out[OUT_N];
    const struct df_size size = {1, T, H, W, 40, 48, 24};
    assert_ok(df_run_create(&r, d, &size, &(struct df_text){TOKENS, y, NULL},
                            &(struct df_run_opts){.on_trace = see, .ud = &seen}));
    assert_ok(df_run_step(r, &(struct df_step){.z = z, .time = &time}, out));
    df_run_destroy(&r);
    assert_true(seen.tokens && seen.modulation && seen.count % C == 0);
    test_dit_make(&m);
    const float *table = test_model_find(&m, "spatial_blocks.0.scale_shift_table")->data;
    double *x = malloc(seen.count * sizeof *x);
    assert_non_null(x);
    for (size_t row = 0; row < seen.count / C; row++) {
        double mean = 0, var = 0;
        for (size_t i = 0; i < C; i++)
            mean += (double)seen.tokens[row * C + i] / C;
        for (size_t i = 0; i < C; i++)
            var += pow((double)seen.tokens[row * C + i] - mean, 2) / C;
        for (size_t i = 0; i < C; i++) {
            double shift = (double)table[i] + (double)seen.modulation[i];
            double scale = (double)table[C + i] + (double)seen.modulation[C + i];
            double normal = ((double)seen.tokens[row * C + i] - mean) / sqrt(var + 1e-6);
            x[row * C + i] = normal * (1 + scale) + shift;
        }
    }
    *count = seen.count;
    free(seen.tokens);
    free(seen.modulation);
    test_model_finish(&m);
    return x;
}

/* The change that is measured: a threshold just above it skips, one just below does not. */
static void cached_steps_measure(void **state)
{
    (void)state;
    static const double itself[5] = {0, 0, 0, 1, 0};
    struct df_dit *d = test_dit_open();
    float *z = test_numbers(2 * N, 5), *y = test_numbers(TOKENS * TEXT, 6), out[OUT_N];
    const struct df_size size = {1, T, H, W, 40, 48, 24};
    double change = 0, before = 0;
    size_t count;
    for (int i = 0; i < N; i++)
        z[N + i] = 0.95f * z[i] + 0.05f * z[N + i];
    double *a = modulated(d, z, y, 700, &count), *b = modulated(d, z + N, y, 650, &count);
    for (size_t i = 0; i < count; i++) {
        change += fabs(b[i] - a[i]);
        before += fabs(a[i]);
    }
    assert_true(change / before > 0.01 && change / before < 1);
    for (int above = 0; above < 2; above++) {
        struct df_run *r;
        const struct df_cache cache = {(float)(change / before * (above ? 1.0002 : 0.9998)),
                                       itself};
        assert_ok(df_run_create(&r, d, &size, &(struct df_text){TOKENS, y, NULL},
                                &(struct df_run_opts){.cache = cache}));
        assert_int_equal(step_skips(r, z, 700, false, out), 0);
        assert_int_equal(step_skips(r, z + N, 650, false, out), above);
        df_run_destroy(&r);
    }
    free(a);
    free(b);
    free(z);
    free(y);
    df_dit_close(&d);
}

/* Blocks that are left out are not loaded either. */
static void cached_steps_of_samplings(void **state)
{
    (void)state;
    struct df_dit *d = test_dit_open();
    struct df_sampling s;
    struct df_sampled done;
    float *z = test_numbers(N, 5), *y = test_numbers(TOKENS * TEXT, 6), all[N], out[N];
    setting(0, &s, y);
    memcpy(all, z, sizeof all);
    assert_ok(df_sample(d, &s, all, &done));
    double flops = done.flops;
    s.cache.threshold = 1e-9f; /* never */
    memcpy(out, z, sizeof out);
    assert_ok(df_sample(d, &s, out, &done));
    assert_memory_equal(all, out, sizeof out);
    assert_int_equal(done.skipped, 0);
    s.cache.threshold = 1e9f;
    memcpy(all, z, sizeof all);
    assert_ok(df_sample(d, &s, all, &done));
    assert_int_equal(done.evaluations, 2); /* the first and the last */
    assert_int_equal(done.skipped, STEPS - 2);
    assert_true(done.flops < 0.5 * flops);
    df_dit_close(&d);
    assert_ok(df_dit_open(&d, test_device(), test_tmp_path("dit"),
                          &(struct df_dit_opts){.weight_memory = UINT64_C(1) << 40}));
    uint64_t pair = df_dit_loading(d).pair_bytes;
    df_dit_close(&d);
    assert_ok(df_dit_open(&d, test_device(), test_tmp_path("dit"),
                          &(struct df_dit_opts){.weight_memory = 2 * pair}));
    memcpy(out, z, sizeof out);
    assert_ok(df_sample(d, &s, out, &done));
    assert_memory_equal(all, out, sizeof out);
    assert_true(df_dit_loading(d).pairs <=
                3 * DIT_DEPTH + 2); /* captions, two steps; the first once more or two */
    s.cache.threshold = NAN;
    assert_fails(df_sample(d, &s, out, &done), FV_EINVALID, "threshold nan");
    free(z);
    free(y);
    df_dit_close(&d);
}

/* A leap that falls due on a cached step waits for one that is computed. */
static void leaps_by_what_the_model_says(void **state)
{
    (void)state;
    struct df_dit *d = test_dit_open();
    struct df_sampling s;
    struct df_sampled done;
    float *z = test_numbers(N, 5), *y = test_numbers(TOKENS * TEXT, 6);
    setting(0, &s, y);
    s.cache.threshold = 1e9f;
    s.leap = (struct df_leap){
        .by = DF_LEAP_WHOLE, .from = 1, .gain = 10, .patience = 2}; /* due at step 2 */
    assert_ok(df_sample(d, &s, z, &done));
    assert_int_equal(done.evaluations, 2); /* steps 0 and 3 */
    assert_int_equal(done.skipped, 2);
    s.leap = (struct df_leap){.by = DF_LEAP_FIXED, .from = 3};
    assert_ok(df_sample(d, &s, z, &done));
    assert_int_equal(done.evaluations, 2);
    assert_int_equal(done.skipped, 2);
    free(z);
    free(y);
    df_dit_close(&d);
}

/* ---- STIV -------------------------------------------------------------------------------- */

enum { FRAME = T * PLANE /* from channel to channel */ };

/* Without guidance only the caption to be led away from counts, cut by its own mask; fully guided
 * only the other; and it is no caption of nothing. */
static void led_away_from_a_caption(void **state)
{
    (void)state;
    static const bool mask[TOKENS] = {true, true, true};
    struct df_dit *d = test_dit_open();
    float *noise = test_numbers(N, 5), *a = test_numbers(TOKENS * TEXT, 6),
          *b = test_numbers(TOKENS * TEXT, 7);
    float away[N], alone[N], nothing[N];
    struct df_sampling s;
    setting(0, &s, a);
    s.guidance = 0;
    memcpy(nothing, noise, sizeof nothing);
    assert_ok(df_sample(d, &s, nothing, NULL));
    s.without = (struct df_text){TOKENS, b, mask};
    memcpy(away, noise, sizeof away);
    assert_ok(df_sample(d, &s, away, NULL));
    s.text = s.without;
    s.without = (struct df_text){TOKENS, a, NULL};
    s.guidance = 1;
    memcpy(alone, noise, sizeof alone);
    assert_ok(df_sample(d, &s, alone, NULL));
    double most = 0, other = 0;
    for (int i = 0; i < N; i++) {
        most = fmax(most, fabs((double)away[i] - (double)alone[i]));
        other = fmax(other, fabs((double)away[i] - (double)nothing[i]));
    }
    assert_true(most < 1e-4);
    assert_true(other > 1e-2);
    s.without.tokens = TOKENS + 1;
    assert_fails(df_sample(d, &s, alone, NULL), FV_EINVALID, "led away from");
    free(noise);
    free(a);
    free(b);
    df_dit_close(&d);
}

static void set_frame(float *z, const float *from, int t)
{
    for (int c = 0; c < CHANNELS; c++)
        memcpy(z + c * FRAME + t * PLANE, from + c * FRAME + t * PLANE, PLANE * sizeof *z);
}

/* A step of both halves by hand: v2 is [2][OUT_N]. */
static void both_halves(struct df_dit *d, const float *captions, const float *with,
                        const float *without, float t, float *v2)
{
    struct df_run *r;
    float *y = malloc(2 * TOKENS * TEXT * sizeof *y), z[2 * N];
    const float time[] = {t, t};
    assert_non_null(y);
    memcpy(y, captions, TOKENS * TEXT * sizeof *y);
    assert_ok(df_dit_null_text(d, y + TOKENS * TEXT));
    memcpy(z, with, N * sizeof *z);
    memcpy(z + N, without, N * sizeof *z);
    assert_ok(df_run_create(&r, d, &(struct df_size){2, T, H, W, 40, 48, 24},
                            &(struct df_text){TOKENS, y, NULL}, NULL));
    assert_ok(df_run_step(r, &(struct df_step){.z = z, .time = time}, v2));
    df_run_destroy(&r);
    free(y);
}

/* Frame 0 is given: clean with the caption, made from its own noise without. */
static void jointly_by_hand(void **state)
{
    (void)state;
    static const float first[T] = {0, 1, 1};
    struct df_dit *d = test_dit_open();
    struct df_sampling s;
    float *z = test_numbers(N, 5), *y = test_numbers(TOKENS * TEXT, 6), out[N], own[N], alone[N],
          v2[2 * OUT_N];
    setting(0, &s, y);
    s.schedule = (struct df_schedule){.steps = 2};
    s.frame_mask = first;
    s.noise = some_noise;
    s.replace = s.joint = true;
    memcpy(out, z, sizeof out);
    assert_ok(df_sample(d, &s, out, NULL));
    memcpy(own, z, sizeof own);
    some_noise(NULL, 2, N, alone);
    for (int step = 0; step < 2; step++) {
        float without[N];
        memcpy(without, own, sizeof without);
        set_frame(without, alone, 0);
        both_halves(d, y, own, without, 1000 - 500.0f * (float)step, v2);
        for (int i = 0; i < N; i++) {
            float u = v2[OUT_N + i], v = u + s.guidance * (v2[i] - u);
            own[i] += i % FRAME / PLANE ? 0.5f * v : 0;
            alone[i] += 0.5f * u;
        }
    }
    for (int i = 0; i < N; i++)
        assert_near(own[i], out[i], 1e-4);
    s.joint = false; /* it is not the same if only the caption goes */
    memcpy(own, z, sizeof own);
    assert_ok(df_sample(d, &s, own, NULL));
    double apart = 0;
    for (int i = 0; i < N; i++)
        apart = fmax(apart, fabs((double)own[i] - (double)out[i]));
    assert_true(apart > 1e-3);
    free(z);
    free(y);
    df_dit_close(&d);
}

/* With no frame kept, replacing and leaving out are nothing. */
static void jointly_without_frames(void **state)
{
    (void)state;
    static const float all[T] = {1, 1, 1};
    struct df_dit *d = test_dit_open();
    struct df_sampling s;
    float *z = test_numbers(N, 5), *y = test_numbers(TOKENS * TEXT, 6), plain[N], out[N];
    setting(0, &s, y);
    memcpy(plain, z, sizeof plain);
    assert_ok(df_sample(d, &s, plain, NULL));
    s.frame_mask = all;
    s.noise = some_noise;
    s.replace = s.joint = true;
    memcpy(out, z, sizeof out);
    assert_ok(df_sample(d, &s, out, NULL));
    assert_memory_equal(plain, out, sizeof out);
    free(z);
    free(y);
    df_dit_close(&d);
}

static int keep_output(void *ud, uint32_t step, enum df_event what, const float *data, size_t n)
{
    (void)step;
    if (what == DF_OUTPUT)
        memcpy(ud, data, n * sizeof *data);
    return 0;
}

static double length_of_made(const float *a, const float *b)
{
    double sum = 0;
    for (int i = 0; i < N; i++) {
        double x = (double)a[i] - (b ? (double)b[i] : 0);
        sum += i % FRAME / PLANE ? x * x : 0;
    }
    return sqrt(sum);
}

static void renorm_keeps_the_length(void **state)
{
    (void)state;
    static const float first[T] = {0, 1, 1};
    struct df_dit *d = test_dit_open();
    struct df_sampling s;
    float *z = test_numbers(N, 5), *y = test_numbers(TOKENS * TEXT, 6), out[N], v2[2 * OUT_N];
    double full = 0;
    for (int k = 0; k < 3; k++) {
        setting(0, &s, y);
        s.schedule = (struct df_schedule){.steps = 1};
        s.frame_mask = first;
        s.noise = some_noise;
        s.renorm = (float)k / 2;
        s.on_step = keep_output;
        s.ud = v2;
        memcpy(out, z, sizeof out);
        assert_ok(df_sample(d, &s, out, NULL));
        double with = length_of_made(v2, NULL), moved = length_of_made(out, z);
        full = k ? full : moved;
        assert_near(moved / with, full / with + 0.5 * k * (1 - full / with), 1e-4);
    }
    assert_true(full > 1.01 * length_of_made(v2, NULL)); /* guidance made it longer */
    s.renorm = 1.5f;
    assert_fails(df_sample(d, &s, out, NULL), FV_EINVALID, "renorm is 1.5");
    static const float wrong[T] = {0, 1, 2};
    s.renorm = 0;
    s.frame_mask = wrong;
    assert_fails(df_sample(d, &s, out, NULL), FV_EINVALID, "frame 2");
    free(z);
    free(y);
    df_dit_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(interrupted_is_the_same),
        cmocka_unit_test(stops_between_blocks),
        cmocka_unit_test(refuses_states),
        cmocka_unit_test(guesses),
        cmocka_unit_test(cached_steps_measure),
        cmocka_unit_test(cached_steps_add_up),
        cmocka_unit_test(cached_steps_of_samplings),
        cmocka_unit_test(leaps_by_what_the_model_says),
        cmocka_unit_test(jointly_by_hand),
        cmocka_unit_test(jointly_without_frames),
        cmocka_unit_test(renorm_keeps_the_length),
        cmocka_unit_test(led_away_from_a_caption),
    };
    test_device();
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    test_device_done();
    return rc;
}
