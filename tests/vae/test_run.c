/* vae/run.c and the forward passes, on random tiny models: pieces against the whole, memory, bad
 * values. The numbers themselves are judged by tests/app/test_check_nn.c. */
#include "support/test.h"
#include "support/vae_model.h"
#include "vae/vae.h"
#include "vk/mem.h"

static struct vae *open_kind(enum test_vae kind)
{
    struct vae *v = NULL;
    assert_ok(vae_open(&v, test_device(), test_vae_folder(kind), NULL));
    return v;
}

/* A clip in memory and what came out of it. */
struct clip {
    uint32_t frames, channels, height, width; /* of the input */
    float *data;
    float *out;
    size_t count; /* values that came out */
    uint32_t frames_out, bad_order, rewinds;
    uint32_t cancel_after; /* calls of on_progress; 0 = never */
    struct vae_stats stats;
};

/* Smooth in time, so that frames are like their neighbours. */
static struct clip make_clip(uint32_t frames, uint32_t channels, uint32_t height, uint32_t width)
{
    struct clip c = {.frames = frames, .channels = channels, .height = height, .width = width};
    size_t frame = (size_t)channels * height * width;
    uint64_t seed = 3;
    c.data = malloc(frames * frame * sizeof *c.data);
    assert_non_null(c.data);
    for (size_t i = 0; i < frame; i++) {
        double phase = test_uniform(&seed, 0, 6), speed = test_uniform(&seed, 0, 0.5);
        for (uint32_t t = 0; t < frames; t++)
            c.data[t * frame + i] = (float)sin(phase + speed * t);
    }
    return c;
}

static void free_clip(struct clip *c)
{
    free(c->data);
    free(c->out);
}

static int read_clip(void *ud, uint32_t first, uint32_t count, float *out)
{
    struct clip *c = ud;
    size_t frame = (size_t)c->channels * c->height * c->width;
    uint32_t n = first >= c->frames ? 0 : c->frames - first < count ? c->frames - first : count;
    c->rewinds += first == 0;
    if (n)
        memcpy(out, c->data + first * frame, n * frame * sizeof *out);
    return (int)n;
}

static int write_clip(void *ud, const struct vae_part *p)
{
    struct clip *c = ud;
    size_t n = (size_t)p->count * p->channels * p->height * p->width;
    c->bad_order += p->first != c->frames_out;
    c->frames_out += p->count;
    c->out = realloc(c->out, (c->count + n) * sizeof *c->out);
    memcpy(c->out + c->count, p->data, n * sizeof *c->out);
    c->count += n;
    return 0;
}

static int on_progress(void *ud, const struct fv_progress *p)
{
    struct clip *c = ud;
    assert_true(p->done >= 0);
    return c->cancel_after && --c->cancel_after == 0;
}

static int run_with(struct vae *v, enum vae_way way, struct clip *c, const struct vae_plan *p)
{
    struct vae_io io = {.height = c->height,
                        .width = c->width,
                        .length = c->frames,
                        .read = read_clip,
                        .write = write_clip,
                        .check = true,
                        .on_progress = on_progress,
                        .ud = c};
    free(c->out);
    c->out = NULL;
    c->count = 0;
    c->frames_out = c->bad_order = c->rewinds = 0;
    return vae_run(v, way, p, &io, &c->stats);
}

static void run(struct vae *v, enum vae_way way, struct clip *c, const struct vae_plan *p)
{
    assert_ok(run_with(v, way, c, p));
    assert_int_equal(c->bad_order, 0);
}

/* Relative 2-norm of the difference. */
static double distance(const struct clip *a, const struct clip *b)
{
    double sum = 0, norm = 0;
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        double d = (double)a->out[i] - (double)b->out[i];
        sum += d * d;
        norm += (double)b->out[i] * (double)b->out[i];
    }
    return sqrt(sum / norm);
}

/* ---- pieces against the whole ------------------------------------------------------------ */

/* With the past carried over and statistics of the whole clip, windows give what the clip whole
 * gives; with its own statistics each is near to it. */
static void carried_equals_whole(enum test_vae kind, enum vae_way way)
{
    struct vae *v = open_kind(kind);
    struct vae_plan plan = {.passes = 1};
    uint32_t frames = way == VAE_ENCODE ? 13 : 4, side = way == VAE_ENCODE ? 16 : 2;
    uint32_t channels = way == VAE_ENCODE ? 3 : vae_info(v)->channels;
    struct clip whole = make_clip(frames, channels, side, side);
    struct clip pieces = make_clip(frames, channels, side, side);
    run(v, way, &whole, &plan);
    plan.window = way == VAE_ENCODE ? 5 : 2;
    plan.carry = true;
    run(v, way, &pieces, &plan);
    double own = distance(&pieces, &whole);
    plan.passes = 1 + vae_info(v)->norms[way];
    run(v, way, &pieces, &plan);
    double exact = distance(&pieces, &whole);
    assert_int_equal(pieces.rewinds, plan.passes);
    if (exact > 2e-5 || own < 1e-4)
        fail_msg("model %d: %g with statistics of the clip, %g with its own", (int)kind, exact,
                 own);
    free_clip(&whole);
    free_clip(&pieces);
    vae_close(&v);
}

static void odvae_11_encoder_in_windows(void **state)
{
    (void)state;
    carried_equals_whole(TEST_ODVAE_11, VAE_ENCODE);
}

static void odvae_11_decoder_in_windows(void **state)
{
    (void)state;
    carried_equals_whole(TEST_ODVAE_11, VAE_DECODE);
}

static void odvae_12_encoder_in_windows(void **state)
{
    (void)state;
    carried_equals_whole(TEST_ODVAE_12, VAE_ENCODE);
}

static void odvae_12_decoder_in_windows(void **state)
{
    (void)state;
    carried_equals_whole(TEST_ODVAE_12, VAE_DECODE);
}

static void cvvae_encoder_in_windows(void **state)
{
    (void)state;
    carried_equals_whole(TEST_CVVAE, VAE_ENCODE);
}

/* Two passes are nearer to the whole than one. */
static void statistics_of_the_clip_help(void **state)
{
    struct vae_plan plan = {.passes = 1};
    (void)state;
    struct vae *v = open_kind(TEST_ODVAE_12);
    struct clip whole = make_clip(21, 3, 16, 16), pieces = make_clip(21, 3, 16, 16);
    run(v, VAE_ENCODE, &whole, &plan);
    plan = (struct vae_plan){.passes = 1, .window = 9, .carry = true};
    run(v, VAE_ENCODE, &pieces, &plan);
    double one = distance(&pieces, &whole);
    plan.passes = 2;
    run(v, VAE_ENCODE, &pieces, &plan);
    assert_true(distance(&pieces, &whole) < one);
    free_clip(&whole);
    free_clip(&pieces);
    vae_close(&v);
}

static void opensora_chunks_stand_alone(void **state)
{
    (void)state;
    struct vae *v = open_kind(TEST_OPENSORA);
    struct vae_plan plan;
    struct clip both = make_clip(22, 3, 8, 16), one = make_clip(22, 3, 8, 16);
    assert_ok(vae_plan_usual(&plan, v, VAE_ENCODE));
    run(v, VAE_ENCODE, &both, &plan);
    assert_int_equal(both.frames_out, 5 + 2);
    one.frames = 17;
    run(v, VAE_ENCODE, &one, &plan);
    for (size_t i = 0; i < one.count; i++)
        assert_true(one.out[i] == both.out[i]);
    memmove(one.data, one.data + (size_t)17 * 3 * 8 * 16, (size_t)5 * 3 * 8 * 16 * sizeof(float));
    size_t had = one.count;
    one.frames = 5;
    run(v, VAE_ENCODE, &one, &plan);
    assert_int_equal(had + one.count, both.count);
    for (size_t i = 0; i < one.count; i++)
        assert_true(one.out[i] == both.out[had + i]);
    free_clip(&both);
    free_clip(&one);
    vae_close(&v);
}

static void frames_stand_alone(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        struct vae *v = open_kind(k ? TEST_TINY_DIFFUSERS : TEST_KL);
        struct vae_plan plan;
        struct clip all = make_clip(3, 4, 2, 3), one = make_clip(3, 4, 2, 3);
        assert_ok(vae_plan_make(&plan, v, VAE_DECODE, 2, 3, NULL));
        run(v, VAE_DECODE, &all, &plan);
        assert_int_equal(all.frames_out, 3);
        memcpy(one.data, one.data + 2 * 4 * 6, 4 * 6 * sizeof(float));
        one.frames = 1;
        run(v, VAE_DECODE, &one, &plan);
        for (size_t i = 0; i < one.count; i++)
            assert_true(one.out[i] == all.out[2 * one.count + i]);
        free_clip(&all);
        free_clip(&one);
        vae_close(&v);
    }
}

static void tiles_of_a_whole_picture_are_the_picture(void **state)
{
    (void)state;
    struct vae *v = open_kind(TEST_TINY_DIFFUSERS);
    struct vae_plan whole = {.passes = 1, .window = 1}, tiles = whole;
    struct clip a = make_clip(1, 3, 64, 88), b = make_clip(1, 3, 64, 88);
    run(v, VAE_ENCODE, &a, &whole);
    tiles.tiles = (struct vae_tiles){.size = 96, .step = 72, .fade = 3, .keep = 9};
    run(v, VAE_ENCODE, &b, &tiles);
    assert_true(distance(&b, &a) == 0);
    /* smaller ones do not see each other */
    tiles.tiles = (struct vae_tiles){.size = 48, .step = 32, .fade = 2, .keep = 4};
    run(v, VAE_ENCODE, &b, &tiles);
    assert_true(distance(&b, &a) > 0 && distance(&b, &a) < 1);
    free_clip(&a);
    free_clip(&b);
    vae_close(&v);
}

/* ---- lengths and memory ------------------------------------------------------------------ */

static void any_length_is_filled_up(void **state)
{
    (void)state;
    struct vae *v = open_kind(TEST_ODVAE_12);
    static const uint32_t lengths[][2] = {{1, 1}, {2, 2}, {5, 2}, {6, 3}, {10, 4}};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        for (int carry = 0; carry < 2; carry++) {
            struct vae_plan plan = {.passes = 1, .window = 5, .carry = carry};
            struct clip c = make_clip(lengths[i][0], 3, 16, 8);
            run(v, VAE_ENCODE, &c, &plan);
            assert_int_equal(c.frames_out, lengths[i][1]);
            free_clip(&c);
        }
    vae_close(&v);
}

static void memory_does_not_grow_with_length(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        struct vae *v = open_kind(k ? TEST_OPENSORA : TEST_ODVAE_12);
        struct vae_plan plan;
        struct clip c = make_clip(5, 4, 2, 2), many = make_clip(80, 4, 2, 2);
        assert_ok(vae_plan_make(&plan, v, VAE_DECODE, 2, 2, NULL));
        run(v, VAE_DECODE, &c, &plan);
        run(v, VAE_DECODE, &many, &plan);
        assert_true((double)many.stats.peak_bytes < 1.05 * (double)c.stats.peak_bytes);
        free_clip(&c);
        free_clip(&many);
        vae_close(&v);
    }
}

/* What a plan foresees is what is used, within the granularity of allocations. */
static void plan_foresees_memory(void **state)
{
    uint64_t reserved, before, peak, used;
    (void)state;
    struct vae *v = open_kind(TEST_ODVAE_12);
    struct vae_plan plan;
    struct clip c = make_clip(5, 4, 16, 16);
    vk_mem_usage(test_device(), &reserved, &before, &peak);
    assert_ok(vae_plan_make(&plan, v, VAE_DECODE, 16, 16, NULL));
    run(v, VAE_DECODE, &c, &plan);
    used = c.stats.peak_bytes;
    double ratio = (double)(used - before + vae_info(v)->weight_bytes) / (double)plan.bytes;
    if (ratio < 0.5 || ratio > 1.5)
        fail_msg("%g MB foreseen, %g times as much used", (double)plan.bytes / 1e6, ratio);
    free_clip(&c);
    vae_close(&v);
}

/* ---- what goes wrong --------------------------------------------------------------------- */

static void rejects_nan_weights(void **state)
{
    struct vae *v = NULL;
    struct test_model m;
    (void)state;
    test_model_make(&m, TEST_KL);
    ((float *)test_model_find(&m, "decoder.conv_norm_out.weight")->data)[3] = NAN;
    test_model_write(&m, test_tmp_path("nan"));
    test_model_finish(&m);
    assert_fails(vae_open(&v, test_device(), test_tmp_path("nan"), NULL), FV_EFORMAT,
                 "decoder.conv_norm_out.weight");
}

static void names_values_that_are_not_finite(void **state)
{
    struct vae_plan plan = {.passes = 1, .window = 5};
    (void)state;
    struct vae *v = open_kind(TEST_ODVAE_12);
    struct clip c = make_clip(5, 3, 16, 16);
    c.data[700] = NAN;
    assert_fails(run_with(v, VAE_ENCODE, &c, &plan), FV_EINVALID, "mid.enc.conv_in");
    free_clip(&c);
    vae_close(&v);
}

static void rejects_odd_sizes(void **state)
{
    struct vae_plan plan = {.passes = 1};
    (void)state;
    struct vae *v = open_kind(TEST_KL);
    struct clip c = make_clip(1, 3, 12, 16);
    assert_fails(run_with(v, VAE_ENCODE, &c, &plan), FV_EINVALID, "16x12");
    free_clip(&c);
    vae_close(&v);
}

static void rejects_empty_clip(void **state)
{
    struct vae_plan plan = {.passes = 1, .window = 5};
    (void)state;
    struct vae *v = open_kind(TEST_ODVAE_12);
    struct clip c = make_clip(1, 3, 16, 16);
    c.frames = 0;
    assert_fails(run_with(v, VAE_ENCODE, &c, &plan), FV_EFORMAT, "no frame");
    free_clip(&c);
    vae_close(&v);
}

static void stops_when_asked(void **state)
{
    struct vae_plan plan = {.passes = 1, .window = 1};
    (void)state;
    struct vae *v = open_kind(TEST_KL);
    struct clip c = make_clip(5, 4, 2, 2);
    c.cancel_after = 2;
    assert_fails(run_with(v, VAE_DECODE, &c, &plan), FV_ECANCELLED, "cancelled");
    assert_true(c.frames_out >= 1 && c.frames_out < 5);
    free_clip(&c);
    vae_close(&v);
}

static int done(void **state)
{
    (void)state;
    test_device_done();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plan_foresees_memory), /* first: peaks are of the device's whole life */
        cmocka_unit_test(odvae_11_encoder_in_windows),
        cmocka_unit_test(odvae_11_decoder_in_windows),
        cmocka_unit_test(odvae_12_encoder_in_windows),
        cmocka_unit_test(odvae_12_decoder_in_windows),
        cmocka_unit_test(cvvae_encoder_in_windows),
        cmocka_unit_test(statistics_of_the_clip_help),
        cmocka_unit_test(opensora_chunks_stand_alone),
        cmocka_unit_test(frames_stand_alone),
        cmocka_unit_test(tiles_of_a_whole_picture_are_the_picture),
        cmocka_unit_test(any_length_is_filled_up),
        cmocka_unit_test(memory_does_not_grow_with_length),
        cmocka_unit_test(rejects_nan_weights),
        cmocka_unit_test(names_values_that_are_not_finite),
        cmocka_unit_test(rejects_odd_sizes),
        cmocka_unit_test(rejects_empty_clip),
        cmocka_unit_test(stops_when_asked),
    };
    test_device();
    return cmocka_run_group_tests(tests, NULL, done);
}
