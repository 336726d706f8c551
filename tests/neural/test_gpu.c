/* The kernels against the twin: what they decode, which anchors they look at, when they run. */
#include "gs/gpu.h"
#include "neural/gpu.h"
#include "neural/neural_private.h"
#include "support/neural.h"
#include "support/test.h"
#include "vk/xfer.h"

enum { ANCHORS = 700 };

struct rig {
    struct nl_model model;
    struct nl_encoded encoded;
    struct nl_gpu *gpu;
    struct gs_renderer *renderer;
    struct gs_frame *frame;
};

static void open_rig(struct rig *r, const char *kind, const struct nl_gpu_opts *o)
{
    struct vk_device *dev = test_device();
    assert_ok(nl_open(&r->model, test_neural(kind, ANCHORS), NULL));
    assert_ok(nl_encode(&r->model, NULL, &r->encoded));
    assert_ok(nl_gpu_create(&r->gpu, dev, &r->model, &r->encoded, o));
    assert_ok(gs_renderer_create(&r->renderer, dev));
    assert_ok(gs_frame_create(&r->frame, r->renderer));
}

static void close_rig(struct rig *r)
{
    gs_frame_destroy(&r->frame);
    gs_renderer_destroy(&r->renderer);
    nl_gpu_destroy(&r->gpu);
    nl_encoded_finish(&r->encoded);
    nl_finish(&r->model);
}

static struct gs_camera camera_at(double x, double z)
{
    struct gs_camera c = {.width = 96, .height = 64, .fx = 90, .fy = 90, .cx = 48, .cy = 32};
    gs_camera_look_at(&c, (const double[]){x, -1.2, z}, (const double[]){0.3, -0.3, 0},
                      (const double[]){0, -1, 0});
    return c;
}

static const float *draw(struct rig *r, const struct gs_camera *c, struct gs_render_opts o)
{
    assert_ok(gs_frame_submit(r->frame, nl_gpu_scene(r->gpu), c, &o));
    assert_ok(gs_frame_wait(r->frame));
    return r->frame->pixels;
}

static const char *const kinds[] = {"scaffold", "bank", "sags"};
static const enum gs_raster designs[] = {GS_RASTER_LANES, GS_RASTER_WIDE};

static void near_rows(const float *a, const float *b, size_t n, const char *what)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)a[i] - (double)b[i]) <= 5e-5 + 2e-4 * fabs((double)b[i])))
            fail_msg("%s: value %zu is %.8g, expected %.8g", what, i, (double)a[i], (double)b[i]);
}

static void equals_the_twin(struct rig *r, uint32_t camera, enum gs_raster design)
{
    struct nl_gaussians want;
    struct gs_scene got = {0}, baked;
    struct gs_camera c = camera_at(1.5, -3);
    double eye[3];
    gs_camera_centre(&c, eye);
    assert_ok(nl_decode(&r->model, &r->encoded, eye, camera, &want));
    draw(r, &c, (struct gs_render_opts){.exact = true, .raster = design});
    assert_int_equal(r->frame->stats.made, want.count);
    assert_true(want.count > want.rows / 8 && want.count < want.rows);
    assert_ok(gs_gpu_scene_fetch(nl_gpu_scene(r->gpu), want.count, &got));
    assert_ok(nl_bake(&want, &baked));
    near_rows(got.position, baked.position, 3 * got.count, "position");
    near_rows(got.scale, baked.scale, 3 * got.count, "scale");
    near_rows(got.rotation, baked.rotation, 4 * got.count, "rotation");
    near_rows(got.sh, baked.sh, 3 * got.count, "colour");
    for (size_t k = 0; k < got.count; k++) {
        float a = 1 / (1 + expf(-got.opacity[k]));
        near_rows(&a, &want.opacity[k], 1, "opacity");
    }
    gs_scene_finish(&got);
    gs_scene_finish(&baked);
    nl_gaussians_finish(&want);
}

static void near_pictures(const float *a, const float *b, size_t n, const char *what)
{
    double light = 0;
    for (size_t i = 0; i < n; i++) {
        light += fabs((double)b[i]);
        if (!(fabs((double)a[i] - (double)b[i]) <= 2e-5 + 1e-5 * fabs((double)b[i])))
            fail_msg("%s: number %zu is %.8g, expected %.8g", what, i, (double)a[i], (double)b[i]);
    }
    assert_true(light > 0.002 * (double)n);
}

/* What the rig, which writes Gaussians and then projects them, draws is drawn by kernels that do both at once. */
static void fused_draws_the_same(struct rig *apart, const struct gs_render_opts *rows, size_t n)
{
    struct nl_gpu *own = apart->gpu, *fused;
    struct gs_camera c = camera_at(1.5, -3);
    assert_ok(nl_gpu_create(&fused, test_device(), &apart->model, &apart->encoded,
                            &(struct nl_gpu_opts){.exact = true, .all = true}));
    for (size_t i = 0; i < n; i++) {
        size_t numbers = (size_t)c.width * c.height * (rows[i].output == GS_OUT_RGB_F32 ? 3 : 1) *
                         (rows[i].stereo ? 2 : 1);
        float *want = malloc(numbers * sizeof *want);
        char what[40];
        snprintf(what, sizeof what, "picture %zu", i);
        memcpy(want, draw(apart, &c, rows[i]), numbers * sizeof *want);
        struct gs_frame_stats stats = apart->frame->stats;
        apart->gpu = fused;
        near_pictures(draw(apart, &c, rows[i]), want, numbers, what);
        apart->gpu = own;
        assert_int_equal(apart->frame->stats.made, stats.made);
        assert_int_equal(apart->frame->stats.visible, stats.visible);
        assert_true(gs_gpu_scene_held(nl_gpu_scene(fused)) + 64 * stats.made <=
                    gs_gpu_scene_held(nl_gpu_scene(own)));
        free(want);
    }
    nl_gpu_destroy(&fused);
}

/* With exact all anchors give the twin's Gaussians, in its order. */
static void decodes_as_the_twin(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++) {
        struct rig r = {0};
        uint32_t camera = i / 2 == 1 ? 2 : 0;
        open_rig(&r, kinds[i / 2],
                 &(struct nl_gpu_opts){.exact = true, .all = true, .apart = true, .camera = camera});
        equals_the_twin(&r, camera, designs[i % 2]);
        close_rig(&r);
    }
}

/* Everything that a projection depends on. */
static void projects_as_it_decodes(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) { /* how features are blended is no matter */
        struct rig r = {0};
        enum gs_raster design = designs[i % 2];
        const struct gs_render_opts rows[] = {
            {.output = GS_OUT_RGB_F32, .raster = design},
            {.output = GS_OUT_RGB_F32, .raster = design, .supersample = 2, .splat_scale = 0.5f},
            {.output = GS_OUT_RGB_F32, .raster = design, .stereo = true, .eye_distance = 0.1f},
            {.output = GS_OUT_ALPHA_F32, .raster = design, .has_crop = true, .crop_min = {-0.5f, -2, -2},
             .crop_max = {2, 2, 0.5f}},
            {.output = GS_OUT_DEPTH_F32, .raster = design},
            {.output = GS_OUT_RGB_F32, .raster = design, .mode = GS_MODE_ANTIALIASED},
        };
        open_rig(&r, kinds[i / 2 * 2], &(struct nl_gpu_opts){.exact = true, .all = true, .apart = true});
        fused_draws_the_same(&r, rows, i < 2 ? 6 : 3);
        close_rig(&r);
    }
}

static float *random_floats(size_t n, double most, uint64_t *seed)
{
    float *v = malloc(n * sizeof *v);
    assert_non_null(v);
    for (size_t i = 0; i < n; i++)
        v[i] = (float)test_uniform(seed, -most, most);
    return v;
}

/* Networks of other weights and so many hidden units. */
static void widen(struct nl_model *m, uint32_t hidden, struct nl_mlp out[NL_NETS])
{
    uint64_t seed = 11;
    for (int i = 0; i < NL_NETS; i++) {
        out[i] = m->net[i];
        for (uint32_t l = 0; l < out[i].layers; l++) {
            struct nl_layer *to = &out[i].layer[l];
            to->in = l ? hidden : to->in;
            to->out = l + 1 < out[i].layers ? hidden : to->out;
            to->w = random_floats((size_t)to->in * to->out, 2 / sqrt(to->in), &seed);
            to->b = random_floats(to->out, 0.3, &seed);
        }
        m->net[i] = out[i];
    }
}

static void free_networks(struct nl_mlp nets[NL_NETS])
{
    for (int i = 0; i < NL_NETS; i++)
        for (uint32_t l = 0; l < nets[i].layers; l++) {
            free(nets[i].layer[l].w);
            free(nets[i].layer[l].b);
        }
}

/* Of a width that is no multiple of the kernels', and of the most they take. */
static void takes_wide_networks(void **state)
{
    (void)state;
    static const struct {
        const char *kind;
        uint32_t hidden;
    } rows[] = {{"scaffold", 100}, {"sags", NL_MAX_HIDDEN}, {"sags", 40}};
    struct nl_gpu_opts o = {.exact = true, .all = true, .apart = true};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r = {0};
        struct nl_mlp nets[NL_NETS];
        open_rig(&r, rows[i].kind, &o);
        nl_gpu_destroy(&r.gpu);
        widen(&r.model, rows[i].hidden, nets);
        assert_ok(nl_gpu_create(&r.gpu, test_device(), &r.model, &r.encoded, &o));
        equals_the_twin(&r, 0, GS_RASTER_AUTO);
        fused_draws_the_same(&r, &(struct gs_render_opts){.output = GS_OUT_RGB_F32}, 1);
        close_rig(&r);
        free_networks(nets);
    }
}

/* Only anchors the view looks at are decoded: as many Gaussians as the twin's of these. */
static void looks_where_the_view_does(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++) {
        struct rig r = {0};
        struct nl_gaussians all;
        struct gs_camera c = camera_at(0.6, -1.2);
        uint8_t visible[ANCHORS];
        double eye[3];
        uint32_t want = 0, seen = 0;
        open_rig(&r, kinds[i / 2], &(struct nl_gpu_opts){.exact = true});
        gs_camera_centre(&c, eye);
        nl_visible(&r.model, &c, visible);
        assert_ok(nl_decode(&r.model, &r.encoded, eye, 0, &all));
        for (uint32_t k = 0; k < all.rows; k++)
            want += all.alive[k] && visible[k / r.model.offsets];
        for (uint32_t k = 0; k < ANCHORS; k++)
            seen += visible[k];
        assert_true(seen > ANCHORS / 10 && seen < ANCHORS * 9 / 10);
        draw(&r, &c, (struct gs_render_opts){.exact = true, .raster = designs[i % 2]});
        assert_int_equal(r.frame->stats.made, want);
        nl_gaussians_finish(&all);
        close_rig(&r);
    }
}

/* The usual form, of halves and packed Gaussians, draws what the exact one does. */
static void packed_is_close(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++) {
        struct rig exact = {0}, fast = {0};
        struct gs_camera c = camera_at(1.5, -3);
        size_t n = 3 * (size_t)c.width * c.height;
        float *want = malloc(n * sizeof *want), *got = malloc(n * sizeof *got);
        open_rig(&exact, kinds[i / 2], &(struct nl_gpu_opts){.exact = true});
        memcpy(want, draw(&exact, &c, (struct gs_render_opts){.output = GS_OUT_RGB_F32, .raster = designs[i % 2]}),
               n * sizeof *want);
        close_rig(&exact);
        open_rig(&fast, kinds[i / 2], NULL);
        const uint8_t *p =
            (const void *)draw(&fast, &c, (struct gs_render_opts){.raster = designs[i % 2]});
        double light = 0;
        for (size_t k = 0; k < n; k++) {
            got[k] = p[k / 3 * 4 + k % 3] / 255.0f;
            want[k] = fminf(want[k], 1);
            light += (double)want[k];
        }
        double psnr = gs_psnr(got, want, n);
        if (!(psnr > 40) || !(light > 0.02 * (double)n))
            fail_msg("%s: %.2f dB, mean %.3f", kinds[i / 2], psnr, light / (double)n);
        free(want);
        free(got);
        close_rig(&fast);
    }
}

/* A scene of fewer Gaussians, by the rig's renderer. */
static void draw_another(struct rig *r, const struct gs_camera *c)
{
    struct gs_scene s;
    struct gs_gpu_scene *gpu;
    assert_ok(nl_around(&r->model, &s));
    assert_ok(gs_gpu_scene_create(&gpu, test_device(), &s, NULL));
    assert_ok(gs_frame_submit(r->frame, gpu, c, &(struct gs_render_opts){0}));
    assert_ok(gs_frame_wait(r->frame));
    gs_gpu_scene_destroy(&gpu);
    gs_scene_finish(&s);
}

/* What does not fit the renderer's buffers at once is written, and drawn in slices of its depth. */
static void writes_what_has_to_be_sliced(void **state)
{
    (void)state;
    struct rig r = {0};
    struct gs_camera c = camera_at(1.5, -3);
    struct gs_render_opts o = {.output = GS_OUT_RGB_F32};
    size_t n = 3 * (size_t)c.width * c.height;
    float *want = malloc(n * sizeof *want);
    open_rig(&r, "scaffold", &(struct nl_gpu_opts){.exact = true});
    memcpy(want, draw(&r, &c, o), n * sizeof *want);
    uint64_t held = gs_gpu_scene_held(nl_gpu_scene(r.gpu));
    assert_true(r.frame->stats.slices == 1 && r.frame->stats.made > 2048);
    r.renderer->slot_room = 1024;
    near_pictures(draw(&r, &c, o), want, n, "in slices");
    assert_true(r.frame->stats.slices > 1);
    assert_true(gs_gpu_scene_held(nl_gpu_scene(r.gpu)) >= held + 64 * r.frame->stats.made);
    r.renderer->slot_room = 0;
    near_pictures(draw(&r, &c, o), want, n, "in one again");
    free(want);
    close_rig(&r);
}

/* A view is decoded once; the room for its Gaussians grows by itself and does not lose them. */
static void decodes_when_the_camera_moves(void **state)
{
    (void)state;
    struct rig r = {0};
    struct gs_camera c = camera_at(1.5, -3), d = camera_at(0.6, -1.2);
    struct gs_render_opts o = {.has_bg = true, .bg = {0.2f, 0.3f, 0.4f}};
    size_t size = 4 * (size_t)c.width * c.height;
    uint8_t *first = malloc(size);
    open_rig(&r, "scaffold", NULL);
    memcpy(first, draw(&r, &c, o), size);
    uint32_t made = r.frame->stats.made, retries = r.frame->stats.retries;
    uint64_t decodes = nl_gpu_decodes(r.gpu);
    assert_true(retries >= 1); /* half of the Gaussians were expected to be alive at most */
    assert_int_equal(decodes, retries + 1);
    assert_memory_equal(draw(&r, &c, o), first, size);
    assert_int_equal(nl_gpu_decodes(r.gpu), decodes);
    assert_int_equal(r.frame->stats.made, made);
    o.bg[0] = 0.9f; /* not the view's */
    draw(&r, &c, o);
    assert_int_equal(nl_gpu_decodes(r.gpu), decodes);
    o.bg[0] = 0.2f;
    draw(&r, &d, o);
    assert_int_equal(nl_gpu_decodes(r.gpu), decodes + 1);
    assert_memory_equal(draw(&r, &c, o), first, size);
    assert_int_equal(nl_gpu_decodes(r.gpu), decodes + 2);
    o.stereo = true;
    draw(&r, &c, o); /* each eye sees Gaussians of its own */
    assert_int_equal(nl_gpu_decodes(r.gpu), decodes + 4);
    o.stereo = false;
    draw(&r, &c, o);
    draw_another(&r, &c); /* in the renderer's buffers */
    assert_memory_equal(draw(&r, &c, o), first, size);
    assert_int_equal(nl_gpu_decodes(r.gpu), decodes + 6);
    free(first);
    close_rig(&r);
}

/* Eyes around a place, seen from which some points are dead for sure by what is kept of them (eye, distance
 * of the opacity to life): the twin sees nothing of these. Returns how often that was sure. */
static size_t ask_the_twin(struct rig *r, const float kept[ANCHORS][4], const double from[3])
{
    uint64_t seed = 5;
    size_t sure = 0;
    for (int i = 0; i < 12; i++) {
        struct nl_gaussians seen;
        double eye[3];
        for (int k = 0; k < 3; k++)
            eye[k] = from[k] + test_uniform(&seed, -0.8, 0.8);
        assert_ok(nl_decode(&r->model, &r->encoded, eye, 0, &seen));
        for (size_t a = 0; a < ANCHORS; a++) {
            const float *point = r->model.position + 3 * a;
            double then[3], was[NL_VIEW], now[NL_VIEW], turn = 0;
            for (int k = 0; k < 3; k++)
                then[k] = (double)kept[a][k];
            nl_view_of(was, point, then);
            nl_view_of(now, point, eye);
            for (int k = 0; k < 3; k++)
                turn += (was[k] - now[k]) * (was[k] - now[k]);
            if ((double)r->gpu->by_turn * sqrt(turn) + (double)r->gpu->by_distance * fabs(was[3] - now[3]) >=
                (double)kept[a][3])
                continue;
            sure++;
            if (seen.alive[a])
                fail_msg("point %zu lives, and was too far from it", a);
        }
        nl_gaussians_finish(&seen);
    }
    return sure;
}

/* SAGS: opacities of points that cannot have come to life are not computed again; what is drawn is the same. */
static void leaves_the_dead(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct rig r = {0};
        struct nl_gpu_opts o = {.exact = true, .all = true};
        struct gs_render_opts how = {.exact = true, .raster = designs[i]};
        static float kept[ANCHORS][4];
        double eye[3];
        open_rig(&r, "sags", &o);
        struct nl_gpu *walked = r.gpu, *fresh;
        for (int step = 0; step < 4; step++) {
            struct gs_camera c = camera_at(1.5 - 0.2 * step, -3 + 0.1 * step);
            draw(&r, &c, how);
            uint32_t made = r.frame->stats.made;
            assert_ok(nl_gpu_create(&fresh, test_device(), &r.model, &r.encoded, &o));
            r.gpu = fresh;
            draw(&r, &c, how);
            assert_int_equal(made, r.frame->stats.made);
            r.gpu = walked;
            nl_gpu_destroy(&fresh);
            gs_camera_centre(&c, eye);
        }
        assert_ok(vk_download(kept, &r.gpu->segment[0].dead, 0, sizeof kept));
        size_t sure = ask_the_twin(&r, (const float(*)[4])kept, eye);
        if (sure < ANCHORS)
            fail_msg("only %zu times a point was dead for sure", sure);
        close_rig(&r);
    }
}

static void refuses_what_kernels_cannot(void **state)
{
    (void)state;
    struct nl_model m;
    struct nl_encoded e;
    struct nl_gpu *gpu;
    assert_ok(nl_open(&m, test_neural("bank", 8), NULL));
    assert_ok(nl_encode(&m, NULL, &e));
    assert_fails(nl_gpu_create(&gpu, test_device(), &m, &e, &(struct nl_gpu_opts){.camera = 4}),
                 FV_EINVALID, "appearance 4: the model has 4");
    m.net[NL_COLOUR].layer[0].out = NL_MAX_HIDDEN + 1;
    assert_fails(nl_gpu_create(&gpu, test_device(), &m, &e, NULL), FV_EUNSUPPORTED, "129 hidden units");
    assert_null(gpu);
    nl_encoded_finish(&e);
    nl_finish(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_wide_networks),
        cmocka_unit_test(decodes_as_the_twin),           cmocka_unit_test(looks_where_the_view_does),
        cmocka_unit_test(packed_is_close),               cmocka_unit_test(decodes_when_the_camera_moves),
        cmocka_unit_test(projects_as_it_decodes),        cmocka_unit_test(writes_what_has_to_be_sliced),
        cmocka_unit_test(leaves_the_dead),               cmocka_unit_test(refuses_what_kernels_cannot),
    };
    return cmocka_run_group_tests(tests, NULL, test_device_teardown);
}
