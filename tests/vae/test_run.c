/* vae/run.c and the forward passes, on random tiny models: pieces against the whole, memory, bad
 * values. The numbers themselves are judged by tests/app/test_check_nn.c. */
#include "support/test.h"
#include "support/vae_model.h"
#include "ref/norm.h"
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

/* What is counted beforehand is what a run then does, however it is cut up. */
static void foresees_flops(void **state)
{
    (void)state;
    static const struct {
        enum test_vae kind;
        enum vae_way way;
        uint32_t frames, height, width;
        struct vae_plan plan;
    } rows[] = {
        {TEST_ODVAE_12, VAE_DECODE, 6, 4, 5, {.window = 3, .passes = 1}},
        {TEST_ODVAE_12, VAE_DECODE, 6, 4, 5, {.window = 3, .passes = 1, .carry = true}},
        {TEST_ODVAE_12, VAE_ENCODE, 15, 16, 24, {.window = 9, .passes = 1}},
        {TEST_ODVAE_12, VAE_ENCODE, 9, 16, 16, {.window = 0, .passes = 1}},
        {TEST_ODVAE_11, VAE_DECODE, 5, 9, 7, {.window = 3, .passes = 1, .tiles = {4, 3, 8, 24, false}}},
        {TEST_OPENSORA, VAE_DECODE, 7, 3, 4, {.window = 5, .passes = 1}},
        {TEST_OPENSORA, VAE_DECODE, 7, 9, 4, {.window = 5, .passes = 1, .tiles = {4, 3, 8, 24, false}}},
        {TEST_OPENSORA, VAE_ENCODE, 20, 16, 16, {.window = 17, .passes = 1}},
        {TEST_KL, VAE_DECODE, 3, 4, 4, {.window = 1, .passes = 1}},
        {TEST_KL, VAE_ENCODE, 2, 32, 40, {.window = 1, .passes = 1, .tiles = {16, 8, 1, 1, true}}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct vae *v = open_kind(rows[i].kind), *dry = NULL;
        uint32_t channels = rows[i].way == VAE_ENCODE ? 3 : vae_info(v)->channels;
        struct clip c = make_clip(rows[i].frames, channels, rows[i].height, rows[i].width);
        const struct vae_clip_size size = {rows[i].height, rows[i].width, rows[i].frames, 0};
        double flops;
        run(v, rows[i].way, &c, &rows[i].plan);
        assert_ok(vae_open(&dry, NULL, test_vae_folder(rows[i].kind), NULL));
        assert_ok(vae_plan_flops(&flops, dry, rows[i].way, &rows[i].plan, &size));
        assert_true(flops > 0);
        assert_near(flops / c.stats.flops, 1, 1e-9);
        free_clip(&c);
        vae_close(&v);
        vae_close(&dry);
    }
}

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

/* ---- attention over time ----------------------------------------------------------------- */

/* What the middle's attention was given and what it gave: [1, C, T, H, W]. */
struct around {
    struct clip clip; /* first: read_clip and write_clip take it for theirs */
    struct ref in, out;
};

static int keep_around(void *ud, const char *name, nn_tensor shape, const float *data)
{
    struct around *a = ud;
    struct ref *to = !strcmp(name, "mid.decoder.mid.block_1")  ? &a->in
                     : !strcmp(name, "mid.decoder.mid.attn_1") ? &a->out
                                                               : NULL;
    if (!to)
        return 0;
    assert_null(to->v); /* one window */
    *to = ref_new(shape.rank, shape.shape);
    for (size_t i = 0; i < ref_count(to); i++)
        to->v[i] = (double)data[i];
    return 0;
}

/* decoder.mid.attn_1.<name> as [shape of rank 1 or 2] */
static struct ref weight_of(struct test_model *m, const char *name)
{
    char full[64];
    snprintf(full, sizeof full, "decoder.mid.attn_1.%s", name);
    const struct nn_save_tensor *t = test_model_find(m, full);
    bool square = t->rank > 1;
    struct ref w = ref_new(square ? 2 : 1, (uint32_t[]){(uint32_t)t->shape[0],
                                                        square ? (uint32_t)t->shape[1] : 1});
    for (size_t i = 0; i < ref_count(&w); i++)
        w.v[i] = (double)((const float *)t->data)[i];
    return w;
}

static struct ref linear_of(struct test_model *m, const struct ref *x, const char *name)
{
    char part[64];
    snprintf(part, sizeof part, "%s.weight", name);
    struct ref w = weight_of(m, part);
    snprintf(part, sizeof part, "%s.bias", name);
    struct ref_linear o = {.bias = weight_of(m, part)};
    struct ref y = ref_linear(x, &w, &o);
    ref_free(&w);
    ref_free(&o.bias);
    return y;
}

/* x [B, N, C]: one head, its projection, names with this end. */
static struct ref attention_of(struct test_model *m, const struct ref *x, const char *end)
{
    static const char *const names[3] = {"q", "k", "v"};
    struct ref a[3];
    char name[32];
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "%s%s", names[i], end);
        a[i] = linear_of(m, x, name);
        a[i].rank = 4; /* [B, 1, N, C] */
        memcpy(a[i].shape, (uint32_t[]){x->shape[0], 1, x->shape[1], x->shape[2]}, 16);
    }
    struct ref h = ref_attention(&a[0], &a[1], &a[2], &(struct ref_attention){0});
    h.rank = 3;
    memcpy(h.shape, x->shape, sizeof h.shape);
    snprintf(name, sizeof name, "proj_out%s", end);
    struct ref y = linear_of(m, &h, name);
    for (int i = 0; i < 3; i++)
        ref_free(&a[i]);
    ref_free(&h);
    return y;
}

/* x + over time(over space(norm(x))), as [T, HW, C]. */
static struct ref attended(struct test_model *m, const struct ref *x)
{
    static const int swap[3] = {1, 0, 2};
    struct ref weight = weight_of(m, "norm.weight"), bias = weight_of(m, "norm.bias");
    struct ref normed = ref_group_norm(x, 4, 1, 1e-5, &weight, &bias), parts[2];
    for (int i = 0; i < 2; i++) {
        parts[i] = ref_permute(i ? x : &normed, (int[]){0, 2, 3, 4, 1});
        parts[i].rank = 3;
        memcpy(parts[i].shape,
               (uint32_t[]){x->shape[2], x->shape[3] * x->shape[4], x->shape[1], 0, 0}, 20);
    }
    struct ref space = attention_of(m, &parts[0], ""), turned = ref_permute(&space, swap);
    struct ref wt = weight_of(m, "norm_t.weight"), bt = weight_of(m, "norm_t.bias");
    struct ref h = ref_row_norm(&turned,
                                &(struct ref_row_norm){.eps = 1e-5, .weight = &wt, .bias = &bt});
    struct ref over_time = attention_of(m, &h, "_t"), y = ref_permute(&over_time, swap);
    for (size_t i = 0; i < ref_count(&y); i++)
        y.v[i] += parts[1].v[i];
    struct ref *all[] = {&weight, &bias,   &normed, &parts[0], &parts[1], &space,
                         &turned, &wt,     &bt,     &h,        &over_time};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        ref_free(all[i]);
    return y;
}

/* CV-VAE's decoder with weights for attention over time, which no golden case has: what it makes of
 * a window of three latents against double precision. */
static void attends_over_time(void **state)
{
    static const char *const squares[] = {"q_t", "k_t", "v_t", "proj_out_t"};
    const char *dir = test_tmp_path("over_time");
    char name[64];
    struct test_model m;
    struct vae *v = NULL;
    struct vae_plan plan;
    (void)state;
    test_model_make(&m, TEST_CVVAE);
    uint64_t width = test_model_find(&m, "decoder.mid.attn_1.norm.weight")->shape[0];
    for (size_t i = 0; i < 2 + 2 * sizeof squares / sizeof *squares; i++) {
        snprintf(name, sizeof name, "decoder.mid.attn_1.%s.%s",
                 i < 2 ? "norm_t" : squares[i / 2 - 1], i % 2 ? "bias" : "weight");
        test_model_add(&m, name, i < 2 || i % 2 ? 1 : 2, (uint64_t[]){width, width});
    }
    test_model_write(&m, dir);
    assert_ok(vae_open(&v, test_device(), dir, NULL));
    struct around a = {.clip = make_clip(3, 4, 5, 4)};
    struct vae_io io = {.height = 5,
                        .width = 4,
                        .length = 3,
                        .read = read_clip,
                        .write = write_clip,
                        .on_trace = keep_around,
                        .check = true,
                        .ud = &a};
    assert_ok(vae_plan_make(&plan, v, VAE_DECODE, 5, 4, NULL));
    assert_ok(vae_run(v, VAE_DECODE, &plan, &io, NULL));
    assert_non_null(a.in.v);
    assert_non_null(a.out.v);
    struct ref want = attended(&m, &a.in), got = ref_permute(&a.out, (int[]){0, 2, 3, 4, 1});
    double most = 0, squared = 0;
    assert_int_equal(a.in.shape[2], 3);
    assert_int_equal(ref_count(&want), ref_count(&got));
    for (size_t i = 0; i < ref_count(&want); i++) {
        most = fmax(most, fabs(want.v[i] - got.v[i]));
        squared += want.v[i] * want.v[i];
    }
    assert_true(most <= 1e-5 * sqrt(squared / (double)ref_count(&want)));
    ref_free(&want);
    ref_free(&got);
    ref_free(&a.in);
    ref_free(&a.out);
    free_clip(&a.clip);
    vae_close(&v);
    test_model_finish(&m);
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
        cmocka_unit_test(foresees_flops),
        cmocka_unit_test(rejects_nan_weights),
        cmocka_unit_test(names_values_that_are_not_finite),
        cmocka_unit_test(rejects_odd_sizes),
        cmocka_unit_test(rejects_empty_clip),
        cmocka_unit_test(stops_when_asked),
        cmocka_unit_test(attends_over_time),
    };
    test_device();
    return cmocka_run_group_tests(tests, NULL, test_device_teardown);
}
