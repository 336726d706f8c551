/* The compute renderer against the double-precision reference: both designs (lanes, wide), both
 * arithmetics, slices, bands, strips, growth, outputs. Golden pictures: test_golden.c. */
#include "support/test.h"

#include "gs/gpu.h"
#include "shaders/gs/exp_fit.h"

static struct vk_device *dev;
static struct gs_renderer *renderer;

static float normal(uint64_t *s)
{
    double sum = 0;
    for (int i = 0; i < 12; i++)
        sum += test_uniform(s, 0, 1);
    return (float)(sum - 6);
}

/* A blob of Gaussians in front of the camera: flat, small and large, some faint. */
static void make_scene(struct gs_scene *s, size_t count, int degree, uint64_t seed)
{
    assert_ok(gs_scene_alloc(s, count, degree));
    size_t values = 3 * (size_t)gs_sh_coefs(degree);
    for (size_t i = 0; i < count; i++) {
        for (int k = 0; k < 3; k++) {
            s->position[3 * i + k] = 1.2f * normal(&seed);
            s->scale[3 * i + k] = -3.2f + 0.7f * normal(&seed);
        }
        for (int k = 0; k < 4; k++)
            s->rotation[4 * i + k] = normal(&seed);
        s->opacity[i] = 2 * normal(&seed);
        for (size_t k = 0; k < values; k++)
            s->sh[values * i + k] = (k < 3 ? 0.8f : 0.12f) * normal(&seed);
    }
}

static struct gs_camera make_camera(uint32_t w, uint32_t h)
{
    struct gs_camera c = {.name = "test",
                          .width = w,
                          .height = h,
                          .fx = 0.9 * w,
                          .fy = 0.9 * w,
                          .cx = 0.5 * w,
                          .cy = 0.5 * h};
    gs_camera_look_at(&c, (double[]){1, -2, -5}, (double[]){0, 0, 0}, (double[]){0, -1, 0});
    c.near = 0.2;
    return c;
}

/* Renders and copies the pixels; caller frees. */
static void *render_with(struct gs_renderer *r, const struct gs_scene *s, const struct gs_camera *c,
                         const struct gs_render_opts *o, bool exact, struct gs_frame_stats *stats)
{
    struct gs_gpu_scene *gpu;
    struct gs_frame *f;
    assert_ok(gs_gpu_scene_create(&gpu, dev, s, &(struct gs_upload_opts){.exact = exact}));
    assert_ok(gs_frame_create(&f, r));
    assert_ok(gs_frame_submit(f, gpu, c, o));
    assert_ok(gs_frame_wait(f));
    void *copy = malloc(f->size);
    assert_non_null(copy);
    memcpy(copy, f->pixels, f->size);
    if (stats)
        *stats = f->stats;
    gs_frame_destroy(&f);
    gs_gpu_scene_destroy(&gpu);
    return copy;
}

static void *render(const struct gs_scene *s, const struct gs_camera *c,
                    const struct gs_render_opts *o, bool exact)
{
    return render_with(renderer, s, c, o, exact, NULL);
}

static double psnr8(const uint8_t *a, const double *reference, size_t pixels)
{
    double sum = 0;
    for (size_t i = 0; i < pixels; i++)
        for (int k = 0; k < 3; k++) {
            double v = reference[5 * i + k];
            double d = a[4 * i + k] / 255.0 - (v < 0 ? 0 : v > 1 ? 1 : v);
            sum += d * d;
        }
    return -10 * log10(sum / (3 * (double)pixels) + 1e-30);
}

static double max_difference(const float *a, const float *b, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)a[i] - b[i]) <= most))
            most = fabs((double)a[i] - b[i]);
    return most;
}

static const enum gs_raster designs[] = {GS_RASTER_LANES, GS_RASTER_WIDE};

static void fast_matches_reference(void **state)
{
    (void)state;
    struct gs_scene s;
    struct gs_camera c = make_camera(157, 93);
    double *reference = malloc(157 * 93 * 5 * sizeof *reference);
    for (int degree = 0; degree <= 3; degree++)
        for (int mode = GS_MODE_CLASSIC; mode <= GS_MODE_ANTIALIASED; mode++)
            for (int d = 0; d < 2; d++) {
                struct gs_render_opts o = {.mode = (enum gs_mode)mode,
                                           .raster = designs[d],
                                           .has_bg = true,
                                           .bg = {0.2f, 0.5f, 0.9f}};
                make_scene(&s, 3000, degree, 7 + (uint64_t)degree);
                assert_ok(gs_render_reference(&s, &c, &o, reference));
                uint8_t *p = render(&s, &c, &o, false);
                double db = psnr8(p, reference, 157 * 93);
                if (db < 52)
                    fail_msg("degree %d mode %d design %d: %.1f dB", degree, mode, d, db);
                free(p);
                gs_scene_finish(&s);
            }
    free(reference);
}

static void exact_matches_reference(void **state)
{
    (void)state;
    struct gs_scene s;
    struct gs_camera c = make_camera(157, 93);
    size_t n = 157 * 93;
    c.cx += 11;
    double *reference = malloc(n * 5 * sizeof *reference);
    make_scene(&s, 4000, 3, 5);
    for (int d = 0; d < 2; d++) {
        struct gs_render_opts o = {.exact = true,
                                   .raster = designs[d],
                                   .output = GS_OUT_RGB_F32,
                                   .mode = GS_MODE_ANTIALIASED};
        assert_ok(gs_render_reference(&s, &c, &o, reference));
        float *rgb = render(&s, &c, &o, true);
        double mean = 0;
        size_t far = 0;
        for (size_t i = 0; i < n; i++)
            for (int k = 0; k < 3; k++) {
                double e = fabs(rgb[3 * i + k] - reference[5 * i + k]);
                mean += e / (3 * (double)n);
                far += e > 1e-4;
            }
        assert_near(mean, 0, 5e-6);
        assert_in_range(far, 0, 3 * n / 500);
        free(rgb);
        o.output = GS_OUT_ALPHA_F32;
        float *alpha = render(&s, &c, &o, true);
        o.output = GS_OUT_DEPTH_F32;
        float *depth = render(&s, &c, &o, true);
        o.output = GS_OUT_DEPTH_ACC_F32;
        float *acc = render(&s, &c, &o, true);
        size_t bad = 0;
        for (size_t i = 0; i < n; i++) {
            const double *q = reference + 5 * i;
            bad += fabs(alpha[i] - q[3]) > 1e-3;
            bad += fabs(acc[i] - q[4]) > 1e-3 * (1 + q[4]);
            bad += fabs(depth[i] - q[4] / fmax(q[3], 1e-10)) > 1e-2 * (1 + q[4]) && q[3] > 0.01;
        }
        assert_in_range(bad, 0, n / 300);
        free(alpha);
        free(depth);
        free(acc);
    }
    free(reference);
    gs_scene_finish(&s);
}

static void same_bytes_run_after_run(void **state)
{
    (void)state;
    struct gs_scene s;
    struct gs_camera c = make_camera(200, 120);
    make_scene(&s, 20000, 1, 3);
    for (size_t i = 0; i < s.count; i++) /* equal depths everywhere: ties decide */
        s.position[3 * i + 2] = (float)(i % 7) * 0.1f;
    for (int d = 0; d < 2; d++) {
        struct gs_render_opts o = {.raster = designs[d]};
        uint8_t *first = render(&s, &c, &o, false);
        for (int i = 0; i < 3; i++) {
            uint8_t *again = render(&s, &c, &o, false);
            assert_memory_equal(first, again, 200 * 120 * 4);
            free(again);
        }
        free(first);
    }
    gs_scene_finish(&s);
}

/* Depth slices, tile-row bands, strips and buffers that grow give the same picture. */
static void limits_do_not_change_the_picture(void **state)
{
    (void)state;
    struct gs_scene s;
    struct gs_camera c = make_camera(210, 130);
    size_t n = 210 * 130 * 3;
    make_scene(&s, 6000, 2, 11);
    for (int d = 0; d < 2; d++) {
        struct gs_render_opts o = {.exact = true, .raster = designs[d], .output = GS_OUT_RGB_F32};
        float *whole = render(&s, &c, &o, true);
        for (int limit = 0; limit < 4; limit++) {
            struct gs_renderer *r;
            struct gs_frame_stats stats;
            assert_ok(gs_renderer_create(&r, dev));
            if (limit == 0)
                r->slot_room = 1024;
            else if (limit == 1)
                r->bands = 3;
            else if (limit == 2)
                r->most_pixels = 210 * 48;
            else
                r->tight = true;
            float *part = render_with(r, &s, &c, &o, true, &stats);
            if (limit == 0)
                assert_true(stats.slices > 1);
            if (limit == 1)
                assert_int_equal(stats.bands, 3);
            if (limit == 3)
                assert_true(stats.retries > 0);
            double e = max_difference(whole, part, n);
            if (e > 2e-5)
                fail_msg("design %d limit %d: differs by %g", d, limit, e);
            free(part);
            o.exact = false;
            o.output = GS_OUT_RGBA8;
            uint8_t *a = render(&s, &c, &o, false);
            uint8_t *b = render_with(r, &s, &c, &o, false, NULL);
            int most = 0;
            for (size_t i = 0; i < 210 * 130 * 4; i++)
                most = abs(a[i] - b[i]) > most ? abs(a[i] - b[i]) : most;
            assert_in_range(most, 0, 1);
            free(a);
            free(b);
            o.exact = true;
            o.output = GS_OUT_RGB_F32;
            gs_renderer_destroy(&r);
        }
        free(whole);
    }
    gs_scene_finish(&s);
}

/* YUV planes against a conversion on the CPU of the RGBA8 picture. */
static void yuv_outputs(void **state)
{
    (void)state;
    struct gs_scene s;
    enum { W = 70, H = 38 };
    struct gs_camera c = make_camera(W, H);
    make_scene(&s, 2000, 0, 2);
    struct gs_render_opts o = {.output = GS_OUT_RGBA8};
    uint8_t *rgb = render(&s, &c, &o, false);
    o.output = GS_OUT_YUV444P;
    uint8_t *p444 = render(&s, &c, &o, false);
    o.output = GS_OUT_YUV420P;
    uint8_t *p420 = render(&s, &c, &o, false);
    o.output = GS_OUT_YUV420P10;
    uint16_t *p10 = render(&s, &c, &o, false);
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++) {
            const uint8_t *q = rgb + 4 * (y * W + x);
            double r = q[0] / 255.0, g = q[1] / 255.0, b = q[2] / 255.0;
            double luma = 0.2126 * r + 0.7152 * g + 0.0722 * b;
            double want[3] = {16 + 219 * luma, 128 + 224 * (b - luma) / 1.8556,
                              128 + 224 * (r - luma) / 1.5748};
            for (int k = 0; k < 3; k++)
                assert_near(p444[k * W * H + y * W + x], want[k], 0.51);
            assert_near(p420[y * W + x], want[0], 0.51);
            assert_near(p10[y * W + x], 4 * want[0], 0.51);
        }
    for (int y = 0; y < H / 2; y++)
        for (int x = 0; x < W / 2; x++) {
            double u = 0, v = 0;
            for (int j = 0; j < 4; j++) {
                int at = (2 * y + j / 2) * W + 2 * x + j % 2;
                const uint8_t *q = rgb + 4 * at;
                double r = q[0] / 255.0, g = q[1] / 255.0, b = q[2] / 255.0;
                double luma = 0.2126 * r + 0.7152 * g + 0.0722 * b;
                u += 56 * (b - luma) / 1.8556;
                v += 56 * (r - luma) / 1.5748;
            }
            int at = W * H + y * (W / 2) + x, plane = W * H / 4;
            assert_near(p420[at], 128 + u, 0.51);
            assert_near(p420[at + plane], 128 + v, 0.51);
            assert_near(p10[at], 4 * (128 + u), 0.51);
            assert_near(p10[at + plane], 4 * (128 + v), 0.51);
        }
    free(rgb);
    free(p444);
    free(p420);
    free(p10);
    gs_scene_finish(&s);
}

static void supersampling_is_the_mean(void **state)
{
    (void)state;
    struct gs_scene s;
    struct gs_camera c = make_camera(64, 40), big = c;
    make_scene(&s, 1500, 1, 4);
    struct gs_render_opts o = {.exact = true, .output = GS_OUT_RGB_F32, .supersample = 2};
    float *small = render(&s, &c, &o, true);
    o.supersample = 1;
    gs_camera_resize(&big, 128, 80);
    float *large = render(&s, &big, &o, true);
    for (int y = 0; y < 40; y++)
        for (int x = 0; x < 64; x++)
            for (int k = 0; k < 3; k++) {
                double sum = 0;
                for (int j = 0; j < 4; j++)
                    sum += large[3 * ((2 * y + j / 2) * 128 + 2 * x + j % 2) + k] / 4;
                assert_near(small[3 * (y * 64 + x) + k], sum, 1e-4);
            }
    free(small);
    free(large);
    gs_scene_finish(&s);
}

static void stereo_is_two_eyes(void **state)
{
    (void)state;
    struct gs_scene s;
    struct gs_camera c = make_camera(61, 44), eye;
    make_scene(&s, 1500, 1, 9);
    struct gs_render_opts o = {.stereo = true, .eye_distance = 0.3f};
    uint8_t *both = render(&s, &c, &o, false);
    o.stereo = false;
    for (int e = 0; e < 2; e++) {
        eye = c;
        eye.view[3] += e ? -0.15 : 0.15;
        uint8_t *one = render(&s, &eye, &o, false);
        for (int y = 0; y < 44; y++)
            assert_memory_equal(both + 4 * (y * 122 + e * 61), one + 4 * y * 61, 4 * 61);
        free(one);
    }
    free(both);
    gs_scene_finish(&s);
}

static void crop_and_scale(void **state)
{
    (void)state;
    struct gs_scene s;
    struct gs_camera c = make_camera(90, 60);
    double *reference = malloc(90 * 60 * 5 * sizeof *reference);
    make_scene(&s, 2500, 1, 6);
    struct gs_render_opts o = {.has_crop = true,
                               .crop_min = {-1, -1, -1},
                               .crop_max = {1, 0.5f, 1},
                               .splat_scale = 0.5f,
                               .sh_bands = 1};
    for (int d = 0; d < 2; d++) {
        o.raster = designs[d];
        assert_ok(gs_render_reference(&s, &c, &o, reference));
        uint8_t *p = render(&s, &c, &o, false);
        assert_true(psnr8(p, reference, 90 * 60) > 52);
        free(p);
    }
    free(reference);
    gs_scene_finish(&s);
}

static void empty_scene_is_background(void **state)
{
    (void)state;
    struct gs_scene s;
    struct gs_camera c = make_camera(33, 17);
    assert_ok(gs_scene_alloc(&s, 0, 0));
    for (int d = 0; d < 2; d++) {
        struct gs_render_opts o = {.raster = designs[d], .has_bg = true, .bg = {1, 0, 0.2f}};
        uint8_t *p = render(&s, &c, &o, false);
        for (int i = 0; i < 33 * 17; i++) {
            const uint8_t want[] = {255, 0, 51, 0};
            assert_memory_equal(p + 4 * i, want, 4);
        }
        free(p);
    }
    gs_scene_finish(&s);
}

static void hostile_values_stay_finite(void **state)
{
    (void)state;
    struct gs_scene s;
    struct gs_camera c = make_camera(80, 50);
    make_scene(&s, 900, 1, 8);
    for (size_t i = 0; i < s.count; i += 9) {
        s.scale[3 * i] = 80;
        s.position[3 * (i + 1)] = 1e30f;
        s.position[3 * (i + 2) + 2] = -1e37f;
        s.opacity[i + 3] = INFINITY;
        s.opacity[i + 4] = -INFINITY;
        s.scale[3 * (i + 5)] = s.scale[3 * (i + 5) + 1] = s.scale[3 * (i + 5) + 2] = -INFINITY;
        s.sh[12 * (i + 6)] = 1e30f;
        for (int k = 0; k < 3; k++)
            s.scale[3 * (i + 7) + k] = 40;
    }
    for (int d = 0; d < 2; d++) {
        struct gs_render_opts o = {.raster = designs[d], .exact = true, .output = GS_OUT_ALPHA_F32};
        float *p = render(&s, &c, &o, true);
        for (int i = 0; i < 80 * 50; i++)
            assert_true(p[i] >= 0 && p[i] <= 1);
        free(p);
        o.exact = false;
        o.output = GS_OUT_RGBA8;
        free(render(&s, &c, &o, false));
    }
    gs_scene_finish(&s);
}

static void rejects_bad_requests(void **state)
{
    (void)state;
    struct gs_scene s;
    struct gs_gpu_scene *gpu;
    struct gs_frame *f;
    struct gs_camera c = make_camera(32, 32);
    struct gs_render_opts o = {0};
    make_scene(&s, 10, 0, 1);
    assert_ok(gs_gpu_scene_create(&gpu, dev, &s, NULL));
    assert_ok(gs_frame_create(&f, renderer));
    assert_fails(gs_frame_wait(f), FV_EINVALID, "no frame");
    c.width = 0;
    assert_fails(gs_frame_submit(f, gpu, &c, &o), FV_EINVALID, "picture size 0x32");
    c.width = 100000;
    assert_fails(gs_frame_submit(f, gpu, &c, &o), FV_EINVALID, "100000");
    c.width = 31;
    o.output = GS_OUT_YUV420P;
    assert_fails(gs_frame_submit(f, gpu, &c, &o), FV_EINVALID, "even");
    o.output = GS_OUT_RGBA8;
    o.supersample = 9;
    assert_fails(gs_frame_submit(f, gpu, &c, &o), FV_EINVALID, "supersampling");
    o.supersample = 0;
    c.fx = NAN;
    assert_fails(gs_frame_submit(f, gpu, &c, &o), FV_EINVALID, "focal");
    gs_frame_destroy(&f);
    gs_gpu_scene_destroy(&gpu);
    gs_scene_finish(&s);
}

static void exponential_fits(void **state)
{
    (void)state;
    for (double x = -7.994; x <= 0; x += 1e-3) {
        double q = EXP_FAST_S * x + EXP_FAST_Q0;
        assert_near(pow(q * q + EXP_FAST_B, 1 << EXP_FAST_SQUARINGS), exp2(x), 0.002);
        float f = (float)(EXP_EXACT_S * x + EXP_EXACT_Q0), y = f * f + (float)EXP_EXACT_A;
        y = y * y + ((float)EXP_EXACT_B * f + (float)EXP_EXACT_C);
        for (int i = 0; i < EXP_EXACT_SQUARINGS; i++)
            y *= y;
        assert_near(y / exp2(x), 1, 6e-6);
    }
}

static int setup(void **state)
{
    (void)state;
    dev = test_device();
    return gs_renderer_create(&renderer, dev);
}

static int teardown(void **state)
{
    (void)state;
    gs_renderer_destroy(&renderer);
    test_device_done();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fast_matches_reference),
        cmocka_unit_test(exact_matches_reference),
        cmocka_unit_test(same_bytes_run_after_run),
        cmocka_unit_test(limits_do_not_change_the_picture),
        cmocka_unit_test(yuv_outputs),
        cmocka_unit_test(supersampling_is_the_mean),
        cmocka_unit_test(stereo_is_two_eyes),
        cmocka_unit_test(crop_and_scale),
        cmocka_unit_test(empty_scene_is_background),
        cmocka_unit_test(hostile_values_stay_finite),
        cmocka_unit_test(rejects_bad_requests),
        cmocka_unit_test(exponential_fits),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
