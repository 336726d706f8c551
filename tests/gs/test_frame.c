/* gs/frame.c: what gs_memory_needed says against what the device's allocator hands out. */
#include "support/scene.h"

#include "gs/gpu.h"

static struct vk_device *dev;

static uint64_t used(void)
{
    uint64_t reserved, now, peak;
    vk_mem_usage(dev, &reserved, &now, &peak);
    return now;
}

static void assert_within_tenth(const char *what, uint64_t said, uint64_t taken)
{
    if ((double)said > 1.1 * (double)taken || 1.1 * (double)said < (double)taken)
        fail_msg("%s: said %llu bytes, took %llu", what, (unsigned long long)said,
                 (unsigned long long)taken);
}

/* Draws the scene with a new renderer and `frames` frames; checks all three parts. */
static void draw_and_compare(size_t count, int degree, uint32_t width, uint32_t height,
                             const struct gs_render_opts *o)
{
    struct gs_scene s = test_scene(count, degree, 7);
    struct gs_bounds b;
    struct gs_camera c;
    struct gs_memory need;
    struct gs_gpu_scene *gpu;
    struct gs_renderer *r;
    struct gs_frame *f[2];
    gs_scene_bounds(&s, &b);
    gs_camera_orbit(&c, &s, &b, width, height, 0);
    uint64_t start = used();
    assert_ok(gs_memory_needed(&need, dev, count, degree, width, height, o));
    assert_int_equal(used(), start); /* asking takes nothing */

    assert_ok(gs_gpu_scene_create(&gpu, dev, &s, &(struct gs_upload_opts){.exact = o->exact}));
    uint64_t scene = used() - start;
    assert_ok(gs_renderer_create(&r, dev));
    assert_ok(gs_frame_create(&f[0], r));
    assert_ok(gs_frame_submit(f[0], gpu, &c, o));
    assert_ok(gs_frame_wait(f[0]));
    assert_int_equal(f[0]->stats.retries, 0); /* or it has grown, which is another matter */
    uint64_t one = used() - start - scene;
    assert_ok(gs_frame_create(&f[1], r));
    assert_ok(gs_frame_submit(f[1], gpu, &c, o));
    assert_ok(gs_frame_wait(f[1]));
    uint64_t more = used() - start - scene - one;

    assert_within_tenth("scene", need.scene, scene);
    assert_within_tenth("renderer", need.renderer, one - more);
    assert_within_tenth("frame", need.frame, more);
    assert_int_equal(need.renderer, f[0]->stats.device_bytes); /* the very same sizes */
    for (int i = 0; i < 2; i++)
        gs_frame_destroy(&f[i]);
    gs_renderer_destroy(&r);
    gs_gpu_scene_destroy(&gpu);
    gs_scene_finish(&s);
    assert_int_equal(used(), start);
}

static void memory_needed_is_what_is_taken(void **state)
{
    (void)state;
    const struct gs_render_opts plain = {.raster = GS_RASTER_LANES},
                                wide = {.raster = GS_RASTER_WIDE},
                                exact = {.raster = GS_RASTER_LANES, .exact = true},
                                exact_wide = {.raster = GS_RASTER_WIDE, .exact = true},
                                video = {.output = GS_OUT_YUV420P, .supersample = 2},
                                stereo = {.stereo = true, .output = GS_OUT_RGB_F32};
    draw_and_compare(20000, 3, 640, 360, &plain);
    draw_and_compare(20000, 3, 640, 360, &wide);
    draw_and_compare(60000, 0, 320, 180, &plain);
    draw_and_compare(60000, 1, 320, 180, &wide);
    draw_and_compare(5000, 2, 1280, 720, &plain);
    draw_and_compare(5000, 2, 322, 240, &exact);
    draw_and_compare(5000, 2, 322, 240, &exact_wide);
    draw_and_compare(3000, 1, 322, 240, &video);
    draw_and_compare(3000, 1, 322, 240, &stereo);
}

/* More pixels than a binding holds: two strips, each with a read-back of its own. */
static void strips_are_counted(void **state)
{
    (void)state;
    const struct gs_render_opts o = {.exact = true, .output = GS_OUT_ALPHA_F32};
    draw_and_compare(500, 0, 4096, 2064, &o);
}

static void rejects_pictures_it_cannot_draw(void **state)
{
    (void)state;
    struct gs_memory need;
    const struct gs_render_opts plain = {0}, video = {.output = GS_OUT_YUV420P},
                                many = {.supersample = 5};
    assert_fails(gs_memory_needed(&need, dev, 10, 0, 0, 720, &plain), FV_EINVALID, "0x720");
    assert_fails(gs_memory_needed(&need, dev, 10, 0, 100000, 720, &plain), FV_EINVALID,
                 "100000x720");
    assert_fails(gs_memory_needed(&need, dev, 10, 0, 33, 33, &video), FV_EINVALID, "even");
    assert_fails(gs_memory_needed(&need, dev, 10, 0, 64, 64, &many), FV_EINVALID, "1 to 4");
    assert_fails(gs_memory_needed(&need, dev, 1ull << 31, 0, 64, 64, &plain), FV_EUNSUPPORTED,
                 "2^30");
    assert_ok(gs_memory_needed(&need, dev, 0, 0, 64, 64, &plain));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_needed_is_what_is_taken),
        cmocka_unit_test(strips_are_counted),
        cmocka_unit_test(rejects_pictures_it_cannot_draw),
    };
    dev = test_device();
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    test_device_done();
    return rc;
}
