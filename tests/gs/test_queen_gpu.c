/* gs/queen_gpu.c, shaders/gs/queen_*.comp: frames on the device against the CPU's (gs_queen_apply),
 * and what the renderer draws of them against the same scene uploaded. */
#include "support/queen.h"
#include "gs/gpu.h"
#include "gs/scene.h"
#include "vk/xfer.h"

static struct vk_device *dev;

static double largest_difference(const float *a, const float *b, size_t n)
{
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - (double)b[i]) / fmax(1, fabs((double)b[i]));
        worst = d <= worst ? worst : d; /* NaN stays */
    }
    return worst;
}

/* The greatest difference of any number, relative to max(1, value). */
static double scene_difference(const struct gs_scene *a, const struct gs_scene *b)
{
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->sh_degree, b->sh_degree);
    size_t n = a->count, sh = 3 * (size_t)gs_sh_coefs(a->sh_degree);
    double d[5] = {largest_difference(a->position, b->position, 3 * n),
                   largest_difference(a->scale, b->scale, 3 * n),
                   largest_difference(a->rotation, b->rotation, 4 * n),
                   largest_difference(a->opacity, b->opacity, n),
                   largest_difference(a->sh, b->sh, sh * n)};
    double worst = 0;
    for (int i = 0; i < 5; i++)
        worst = d[i] <= worst ? worst : d[i];
    return worst;
}

/* Without sigmoid, tanh and division every number is equal; with them to float rounding. */
static void plays_as_the_cpu_does(void **state)
{
    (void)state;
    static const struct {
        struct test_queen t;
        uint32_t counts[5]; /* of the frames; 0 = no more */
        double tolerance;
    } rows[] = {
        {{.sh_degree = 2}, {300, 300, 300}, 0},
        {{.sh_degree = 2}, {300, 310, 250, 700, 64}, 0},
        {{.sh_degree = 3, .dft = true}, {129, 200, 200, 1}, 0},
        {{.sh_degree = 1, .kinds = "RARRR"}, {100, 100, 150, 150, 90}, 0},
        {{.sh_degree = 0, .kinds = "rkrrr"}, {65, 70, 70}, 0},
        {{.sh_degree = 3, .kinds = "ppppp", .positions = true}, {65, 70, 70}, 0},
        {{.sh_degree = 2, .kinds = "kkkkk"}, {65, 70, 70}, 0},
        {{.sh_degree = 2, .kinds = "kakrk"}, {65, 70, 20}, 0},
        {{.sh_degree = 2, .hidden = 1, .activation = GS_QUEEN_RELU}, {100, 120, 120}, 0},
        {{.sh_degree = 1, .hidden = 3, .activation = GS_QUEEN_RELU}, {100, 120, 120}, 0},
        {{.sh_degree = 2,
          .hidden = 2,
          .activation = GS_QUEEN_SIGMOID,
          .final_activation = GS_QUEEN_TANH,
          .divide = true},
         {100, 120, 120},
         1e-5},
        {{.sh_degree = 2, .kinds = "RARRR", .dft = true}, {21000, 21050, 20990}, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct test_queen t = rows[i].t;
        struct gs_scene s = test_scene(rows[i].counts[0], t.sh_degree, i + 1), got;
        struct gs_queen_latents latents = {0};
        struct gs_queen *q;
        assert_ok(gs_queen_create(&q, dev, &s, &(struct gs_upload_opts){.exact = i & 1}));
        assert_ok(gs_queen_fetch(q, &got));
        assert_true(scene_difference(&got, &s) == 0);
        gs_scene_finish(&got);
        for (int k = 1; k < 5 && rows[i].counts[k]; k++) {
            t.before = (uint32_t)s.count;
            t.count = rows[i].counts[k];
            t.seed = 10 * i + (uint64_t)k;
            struct gs_queen_frame f = test_queen_frame(&t);
            assert_ok(gs_queen_advance(q, &f));
            assert_ok(gs_queen_apply(&s, &latents, &f));
            gs_queen_frame_finish(&f);
            assert_ok(gs_queen_fetch(q, &got));
            double d = scene_difference(&got, &s);
            if (!(d <= rows[i].tolerance))
                fail_msg("row %zu, frame %d: differs by %g", i, k + 1, d);
            assert_int_equal(gs_queen_scene(q)->count, s.count);
            gs_scene_finish(&got);
        }
        gs_queen_destroy(&q);
        gs_queen_latents_finish(&latents);
        gs_scene_finish(&s);
    }
}

static void refuses_what_does_not_fit(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(50, 1, 3), got;
    struct gs_queen *q;
    assert_ok(gs_queen_create(&q, dev, &s, NULL));
    struct gs_queen_frame f =
        test_queen_frame(&(struct test_queen){.before = 50, .count = 50, .sh_degree = 2});
    assert_fails(gs_queen_advance(q, &f), FV_EINVALID, "f_rest: a decoder makes 24 values");
    gs_queen_frame_finish(&f);
    assert_fails(gs_queen_advance(q, &(struct gs_queen_frame){.count = 51}), FV_EINVALID,
                 "51 Gaussians, the one before 50");
    assert_ok(gs_queen_fetch(q, &got));
    assert_same_scene(&got, &s);
    gs_scene_finish(&got);
    gs_queen_destroy(&q);
    assert_null(q);
    s.count = 0;
    assert_fails(gs_queen_create(&q, dev, &s, NULL), FV_EINVALID, "first frame of 0");
    gs_scene_finish(&s);
}

/* Codes of the packed form: each field of geo, and the halfs of SH. */
static void compare_packed(const struct gs_chunk *a, const struct gs_chunk *b, uint32_t sh_stride)
{
    uint32_t n = a->count;
    uint32_t *ga = malloc(32 * (size_t)n), *gb = malloc(32 * (size_t)n);
    uint16_t *ha = malloc(16 * (size_t)n * sh_stride), *hb = malloc(16 * (size_t)n * sh_stride);
    assert_ok(vk_download(ga, &a->geo, 0, 32ull * n));
    assert_ok(vk_download(gb, &b->geo, 0, 32ull * n));
    assert_ok(vk_download(ha, &a->sh, 0, 16ull * n * sh_stride));
    assert_ok(vk_download(hb, &b->sh, 0, 16ull * n * sh_stride));
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t *x = ga + 8 * i, *y = gb + 8 * i;
        assert_memory_equal(x, y, 12);
        float oa, ob;
        memcpy(&oa, x + 3, 4);
        memcpy(&ob, y + 3, 4);
        assert_near((double)oa, (double)ob, 1e-6);
        uint64_t sa = x[4] | (uint64_t)x[5] << 32, sb = y[4] | (uint64_t)y[5] << 32;
        for (int k = 0; k < 3; k++) { /* a step is 2.9e-5 of log2 */
            int64_t d = (int64_t)(sa >> 21 * k & 0x1fffff) - (int64_t)(sb >> 21 * k & 0x1fffff);
            assert_true(d >= -1 && d <= 1);
        }
        for (int k = 0; k < 4; k++) {
            int d =
                (int16_t)(x[6 + k / 2] >> 16 * (k & 1)) - (int16_t)(y[6 + k / 2] >> 16 * (k & 1));
            assert_true(d >= -1 && d <= 1);
        }
    }
    for (size_t i = 0; i < 8 * (size_t)n * sh_stride; i++) { /* rounding of halfs is the device's */
        int d = ha[i] - hb[i];
        if (d < -1 || d > 1)
            fail_msg("half %zu: %04x, expected %04x", i, ha[i], hb[i]);
    }
    free(ga);
    free(gb);
    free(ha);
    free(hb);
}

/* A scene that is in Morton order already: what a stream's first frame is to be. */
static struct gs_scene sorted_scene(size_t count, int degree, uint64_t seed)
{
    struct gs_scene s = test_scene(count, degree, seed);
    uint32_t *order = malloc(count * sizeof *order);
    assert_non_null(order);
    assert_ok(gs_scene_morton(&s, order));
    assert_ok(gs_scene_reorder(&s, order));
    free(order);
    return s;
}

/* The packed scene of a first frame is the one that is uploaded. */
static void packs_as_uploading_does(void **state)
{
    (void)state;
    for (int k = 0; k < 8; k++) {
        int degree = k / 2;
        struct gs_scene s = k & 1 ? sorted_scene(3000, degree, 9) : test_scene(3000, degree, 9);
        struct gs_gpu_scene *g;
        struct gs_queen *q;
        assert_ok(gs_gpu_scene_create(&g, dev, &s, NULL));
        assert_ok(gs_queen_create(&q, dev, &s, NULL));
        const struct gs_gpu_scene *p = gs_queen_scene(q);
        assert_int_equal(p->chunk_count, g->chunk_count);
        assert_int_equal(p->block_count, g->block_count);
        assert_true(p->radius == g->radius && p->reach == g->reach);
        for (uint32_t c = 0; c < g->chunk_count; c++) {
            assert_int_equal(p->chunks[c].count, g->chunks[c].count);
            compare_packed(&p->chunks[c], &g->chunks[c], g->sh_stride);
        }
        gs_gpu_scene_destroy(&g);
        gs_queen_destroy(&q);
        gs_scene_finish(&s);
    }
}

static void draw(float *out, struct gs_renderer *r, const struct gs_gpu_scene *g, bool exact,
                 size_t n)
{
    struct gs_frame *frame;
    struct gs_camera c = {.width = 96, .height = 64, .fx = 70, .fy = 70, .cx = 48, .cy = 32};
    gs_camera_look_at(&c, (double[]){0, 0, -4}, (double[]){0, 0, 0}, (double[]){0, -1, 0});
    assert_ok(gs_frame_create(&frame, r));
    assert_ok(gs_frame_submit(frame, g, &c,
                              &(struct gs_render_opts){.output = GS_OUT_RGB_F32, .exact = exact}));
    assert_ok(gs_frame_wait(frame));
    assert_int_equal(frame->size, n * sizeof(float));
    memcpy(out, frame->pixels, n * sizeof(float));
    gs_frame_destroy(&frame);
}

/* After frames with other Gaussians: the same picture as of the fetched scene, uploaded. */
static void draws_as_the_fetched_scene(void **state)
{
    (void)state;
    enum { N = 96 * 64 * 3 };
    struct gs_renderer *r;
    float *a = malloc(N * sizeof *a), *b = malloc(N * sizeof *b);
    assert_ok(gs_renderer_create(&r, dev));
    for (int form = 0; form < 3; form++) {
        bool exact = form == 1;
        struct gs_scene s = form == 2 ? sorted_scene(2000, 2, 4) : test_scene(2000, 2, 4), now;
        struct gs_upload_opts o = {.exact = exact};
        struct gs_gpu_scene *g;
        struct gs_queen *q;
        assert_ok(gs_queen_create(&q, dev, &s, &o));
        draw(a, r, gs_queen_scene(q), exact, N); /* a frame in flight before the scene grows */
        const uint32_t counts[] = {2600, 2600, 1500};
        for (int k = 0; k < 3; k++) {
            struct gs_queen_frame f = test_queen_frame(&(struct test_queen){
                .before = k ? counts[k - 1] : 2000, .count = counts[k], .sh_degree = 2, .seed = 5});
            assert_ok(gs_queen_advance(q, &f));
            gs_queen_frame_finish(&f);
            assert_ok(gs_queen_fetch(q, &now));
            assert_ok(gs_gpu_scene_create(&g, dev, &now, &o));
            draw(a, r, gs_queen_scene(q), exact, N);
            draw(b, r, g, exact, N);
            /* float32 rounding of activations; packed: ties of depth are drawn in another
             * order, codes differ by one */
            double sum = 0, energy = 0;
            for (int i = 0; i < N; i++) {
                sum += fabs((double)a[i] - (double)b[i]);
                energy += fabs((double)b[i]);
            }
            assert_true(energy / N > 0.01);
            if (!(sum / N < (exact ? 1e-5 : 2e-4)))
                fail_msg("form %d, frame %d: pictures differ by %g", form, k + 2, sum / N);
            gs_gpu_scene_destroy(&g);
            gs_scene_finish(&now);
        }
        gs_queen_destroy(&q);
        gs_scene_finish(&s);
    }
    gs_renderer_destroy(&r);
    free(a);
    free(b);
}

static void decodes_and_gates(void **state)
{
    (void)state;
    enum { ROWS = 1000 };
    uint64_t seed = 8;
    float latent[ROWS * 4], w[4 * 24], shift[24], base[ROWS * 24], got[ROWS * 24], want[ROWS * 24];
    int32_t ints[ROWS * 4];
    for (int i = 0; i < ROWS * 4; i++) /* many ties */
        latent[i] = (float)((int)(test_rand(&seed) % 40) - 20) / 2;
    for (int i = 0; i < 4 * 24; i++)
        w[i] = (float)test_uniform(&seed, -1, 1);
    for (int i = 0; i < 24; i++)
        shift[i] = (float)test_uniform(&seed, -1, 1);
    for (int i = 0; i < ROWS * 24; i++)
        base[i] = (float)test_uniform(&seed, -1, 1);
    const struct gs_queen_decoder d = {1, NULL, {{4, 24, w, NULL, shift}}};
    gs_queen_round(ints, latent, ROWS * 4);
    for (int k = 0; k < 2; k++) {
        assert_ok(gs_queen_decode(dev, &d, latent, ROWS, k ? base : NULL, got));
        assert_ok(gs_queen_decode_reference(&d, ints, ROWS, k ? base : NULL, want));
        assert_true(largest_difference(got, want, ROWS * 24) == 0);
    }
    const struct gs_queen_gate g = {0.5f, -0.1f, 1.1f};
    float alpha[ROWS], z[ROWS], z_want[ROWS], xyz[3 * ROWS], xyz_want[3 * ROWS];
    for (int i = 0; i < ROWS; i++)
        alpha[i] = (float)test_uniform(&seed, -7, 7);
    assert_ok(gs_queen_gate(dev, &g, alpha, ROWS, base, base + 3 * ROWS, z, xyz));
    gs_queen_gate_reference(&g, alpha, ROWS, base, base + 3 * ROWS, z_want, xyz_want);
    assert_true(largest_difference(z, z_want, ROWS) < 1e-6);
    assert_true(largest_difference(xyz, xyz_want, 3 * ROWS) < 1e-6);
    for (int i = 0; i < ROWS; i++) /* open and shut as on the CPU, but at the edges */
        assert_true((z[i] == 0) == (z_want[i] == 0) || z[i] + z_want[i] < 1e-6f);
}

static int setup(void **state)
{
    (void)state;
    dev = test_device();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plays_as_the_cpu_does),   cmocka_unit_test(refuses_what_does_not_fit),
        cmocka_unit_test(packs_as_uploading_does), cmocka_unit_test(draws_as_the_fetched_scene),
        cmocka_unit_test(decodes_and_gates),
    };
    return cmocka_run_group_tests(tests, setup, test_device_teardown);
}
