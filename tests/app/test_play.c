/* Playing a stream beside the caller's thread: app/play.h. */
#include "app/play.h"
#include "support/nginx.h"
#include "support/test.h"
#include "vk/base/thread.h"
#include "vk/device.h"
#include "vk/mem.h"

#include <unistd.h>

enum { FRAMES = 24, GROUP = 6, COUNT = 40, WIDTH = 48, HEIGHT = 32 };

static struct vk_device *dev;
static char stream[512];
static atomic_int woken;

static void wake(void)
{
    atomic_fetch_add(&woken, 1);
}

/* Balls that drift, their number another one from frame 18 on. */
static int frame_of(void *ud, uint32_t frame, struct gs_scene *out)
{
    (void)ud;
    size_t count = frame < 18 ? COUNT : COUNT + 9;
    FV_TRY(gs_scene_alloc(out, count, 1));
    for (size_t i = 0; i < count; i++) {
        double turn = 0.7 * (double)i;
        out->position[3 * i] = (float)(cos(turn) + 0.02 * frame);
        out->position[3 * i + 1] = (float)(sin(turn) * 0.7);
        out->position[3 * i + 2] = (float)(5 + 0.03 * (double)i);
        memcpy(out->rotation + 4 * i, (float[4]){1, 0.1f, 0, 0}, 16);
        out->opacity[i] = 2;
        for (int k = 0; k < 3; k++)
            out->scale[3 * i + k] = logf(0.1f + 0.02f * (float)k);
        for (int k = 0; k < 12; k++)
            out->sh[12 * i + (size_t)k] = (float)sin(turn + k + 0.05 * frame);
    }
    return 0;
}

static int write_stream(void **state)
{
    (void)state;
    dev = test_device();
    snprintf(stream, sizeof stream, "%s", test_tmp_path("a.fvv"));
    struct gs_stream_report report;
    assert_ok(gs_stream_encode(dev, stream, FRAMES, frame_of, NULL,
                               &(struct gs_stream_opts){.group = GROUP, .fps = 50}, &report));
    return 0;
}

/* What a scene on the device looks like: RGBA. */
static uint8_t *draw(const struct gs_gpu_scene *gpu)
{
    static uint8_t pixels[2][WIDTH * HEIGHT * 4];
    static int turn;
    struct gs_renderer *r;
    struct gs_frame *f;
    struct gs_camera c = {.width = WIDTH, .height = HEIGHT, .fx = 40, .fy = 40, .cx = 24, .cy = 16};
    for (int i = 0; i < 4; i++)
        c.view[5 * i] = 1;
    assert_ok(gs_renderer_create(&r, dev));
    assert_ok(gs_frame_create(&f, r));
    assert_ok(gs_frame_submit(f, gpu, &c, &(struct gs_render_opts){0}));
    assert_ok(gs_frame_wait(f));
    turn = !turn;
    memcpy(pixels[turn], f->pixels, sizeof pixels[0]);
    gs_frame_destroy(&f);
    gs_renderer_destroy(&r);
    return pixels[turn];
}

/* The scene is what a reader of its own makes of that frame, to the bit. */
static void expect_frame(const struct gs_gpu_scene *gpu, uint32_t frame, int degree)
{
    struct gs_stream *s;
    struct gs_scene scene = {0};
    struct gs_gpu_scene *own;
    assert_ok(gs_stream_open(&s, stream));
    assert_ok(gs_stream_decode(s, frame, degree, &scene));
    assert_ok(gs_gpu_scene_create(&own, dev, &scene, &(struct gs_upload_opts){.in_order = true}));
    const uint8_t *a = draw(gpu), *b = draw(own);
    if (memcmp(a, b, WIDTH * HEIGHT * 4) != 0)
        fail_msg("frame %u is not what gs_stream_decode makes of it", frame);
    gs_gpu_scene_destroy(&own);
    gs_scene_finish(&scene);
    gs_stream_close(&s);
}

static bool nothing(void *ud, const struct gs_gpu_scene *scene)
{
    (void)ud, (void)scene;
    return false;
}

static struct play *begin(const struct play_opts *opts)
{
    struct play *p;
    struct play_opts o = *opts;
    struct gs_scene first = {0};
    o.wake = wake;
    assert_ok(play_start(&p, dev, stream, &o, &first));
    assert_int_equal(first.count, COUNT);
    gs_scene_finish(&first);
    return p;
}

/* Ticks until the frame is shown. */
static struct play_state until_shown(struct play *p, uint32_t frame)
{
    struct play_state s;
    for (double end = fv_now() + 60; fv_now() < end; usleep(1000)) {
        play_tick(p, fv_now(), &s);
        play_settle(p, nothing, NULL);
        if (s.scene && s.held == frame && s.frame == frame)
            return s;
    }
    fail_msg("frame %u does not come", frame);
    return s;
}

static void every_frame_sought_is_exact(void **state)
{
    (void)state;
    static const uint32_t frames[] = {0, 7, 8, 5, 23, 0, 17, 18, 11, 12, 13, 22, 3};
    struct play *p = begin(&(struct play_opts){.paused = true, .at = 4 / 50.0});
    expect_frame(until_shown(p, 4).scene, 4, 3);
    for (size_t i = 0; i < sizeof frames / sizeof *frames; i++) {
        play_seek(p, frames[i]);
        expect_frame(until_shown(p, frames[i]).scene, frames[i], 3);
    }
    play_step(p, 1);
    expect_frame(until_shown(p, 4).scene, 4, 3);
    play_step(p, -5);
    expect_frame(until_shown(p, 23).scene, 23, 3);
    play_set_sh_bands(p, 1); /* another quality of the same frame */
    struct play_state s;
    usleep(200000);
    play_tick(p, fv_now(), &s);
    expect_frame(until_shown(p, 23).scene, 23, 0);
    play_stop(&p);
    assert_null(p);
}

static void plays_to_its_end_in_its_time(void **state)
{
    (void)state;
    struct play *p = begin(&(struct play_opts){.once = true});
    struct play_state s = until_shown(p, 0);
    double start = fv_now();
    uint32_t last = 0;
    while (s.playing && fv_now() < start + 60) {
        double wait = play_wait(p);
        usleep((useconds_t)(1e6 * fmin(wait, 0.02)));
        play_tick(p, fv_now(), &s);
        play_settle(p, nothing, NULL);
        assert_true(s.held >= last && s.held <= s.frame);
        assert_true(s.ahead <= s.slots);
        last = s.held;
    }
    assert_int_equal(s.frame, FRAMES - 1);
    expect_frame(until_shown(p, FRAMES - 1).scene, FRAMES - 1, 3);
    double took = fv_now() - start;
    if (took < 0.9 * FRAMES / 50.0)
        fail_msg("played in %.3f s", took);
    assert_int_equal(s.shows + s.drops, FRAMES);
    assert_true(atomic_load(&woken) > 0);
    play_stop(&p);
}

/* Memory does not depend on how long it plays, nor is more used than allowed. */
static void holds_no_more_than_it_may(void **state)
{
    (void)state;
    uint64_t reserved, before, used, peak;
    vk_mem_usage(dev, &reserved, &before, &peak);
    struct play *p = begin(&(struct play_opts){.room = 1, .speed = 4});
    struct play_state s;
    for (double begun = fv_now(), now = begun; now < begun + 1.5 || (s.shows <= 5 && now < begun + 20); now = fv_now()) {
        play_tick(p, now, &s);
        assert_true(s.slots == 3 && s.ahead <= 2);
        play_settle(p, nothing, NULL);
        vk_mem_usage(dev, &reserved, &used, &peak);
        /* three scenes of at most 49 Gaussians of 64 bytes, each buffer rounded up */
        assert_true(used <= before + 3 * 2 * 16384);
        usleep(500);
    }
    assert_true(s.shows > 5);
    play_stop(&p);
    vk_mem_usage(dev, &reserved, &used, &peak);
    assert_int_equal(used, before);
}

/* What is still drawn is not written over. */
static bool held(void *ud, const struct gs_gpu_scene *scene)
{
    return ud == scene;
}

static void a_scene_in_use_stays_as_it_is(void **state)
{
    (void)state;
    struct play *p = begin(&(struct play_opts){.paused = true, .room = 1});
    struct play_state s = until_shown(p, 0);
    const struct gs_gpu_scene *kept = s.scene;
    for (uint32_t f = 5; f < 17; f += 4) {
        play_seek(p, f);
        for (s.held = 0; s.held != f; usleep(1000)) {
            play_tick(p, fv_now(), &s);
            play_settle(p, held, (void *)kept);
        }
        assert_ptr_not_equal(s.scene, kept);
        expect_frame(s.scene, f, 3);
        expect_frame(kept, 0, 3);
    }
    play_stop(&p);
}

/* A bit in the first residual of the second group. */
static void damage_is_told_and_passed(void **state)
{
    (void)state;
    struct gs_stream *in;
    size_t size;
    assert_ok(gs_stream_open(&in, stream));
    uint64_t at = gs_stream_info(in)->frame[GROUP + 1].offset + 14;
    gs_stream_close(&in);
    char *bytes = test_read_file(stream, &size), whole[512];
    snprintf(whole, sizeof whole, "%s", stream);
    bytes[at] ^= 4;
    snprintf(stream, sizeof stream, "%s", test_tmp_path("bad.fvv"));
    test_write_file(stream, bytes, size);
    struct play *p = begin(&(struct play_opts){.once = true});
    struct play_state s = until_shown(p, 0);
    uint32_t told = UINT32_MAX;
    for (double end = fv_now() + 60; s.playing && fv_now() < end; usleep(1000)) {
        play_tick(p, fv_now(), &s);
        play_settle(p, nothing, NULL);
        if (s.damage[0]) {
            told = s.damage_span.from;
            assert_non_null(strstr(s.damage, "frame 7"));
            assert_in_range(s.frame, 7, 11);
            assert_in_range(s.held, 0, 6);
        }
    }
    assert_int_equal(told, 7);
    assert_int_equal(s.held, FRAMES - 1); /* it went on */
    assert_int_equal(s.damaged_count, 1);
    assert_int_equal(s.damaged[0].to, 2 * GROUP);
    snprintf(stream, sizeof stream, "%s", whole); /* what follows is not touched */
    expect_frame(s.scene, FRAMES - 1, 3);
    play_stop(&p);
    free(bytes);
}

/* From a web server: the same frames, one that was sought before what lies between has come, and from
 * the start when another file takes its place. */
static void plays_over_the_network(void **state)
{
    (void)state;
    struct test_nginx server = {.locations = "location /slow/ { alias %s/; limit_rate 3k; }"};
    char whole[512], served[512], url[512];
    size_t size;
    if (system("command -v nginx >/dev/null 2>&1"))
        skip();
    test_nginx_start(&server);
    char *bytes = test_read_file(stream, &size);
    snprintf(served, sizeof served, "%s/a.fvv", server.root);
    test_write_file(served, bytes, size);
    snprintf(whole, sizeof whole, "%s", stream);
    snprintf(url, sizeof url, "%s", test_nginx_url(&server, "slow/a.fvv"));
    snprintf(stream, sizeof stream, "%s", url);
    struct play *p = begin(&(struct play_opts){.paused = true, .sh_bands = 4});
    snprintf(stream, sizeof stream, "%s", whole); /* what expect_frame compares with */
    struct play_state s = until_shown(p, 0);
    test_nginx_stop(&server, true);
    assert_true(s.remote && s.net.received > 0 && s.net.size == size);
    bool all = s.net.received >= size; /* on a slow machine */
    expect_frame(s.scene, 0, 3);
    /* another one: half as many frames */
    struct gs_stream_report report;
    snprintf(stream, sizeof stream, "%s", test_tmp_path("b.fvv"));
    assert_ok(gs_stream_encode(dev, stream, FRAMES / 2, frame_of, NULL,
                               &(struct gs_stream_opts){.group = GROUP, .fps = 25}, &report));
    free(bytes);
    bytes = test_read_file(stream, &size);
    test_write_file(served, bytes, size);
    free(bytes);
    test_nginx_start(&server);
    play_seek(p, 22); /* which is still missing */
    for (double end = fv_now() + 60; !all && !s.changes && fv_now() < end; usleep(2000))
        play_tick(p, fv_now(), &s);
    assert_true(all || s.changes == 1);
    if (all)
        snprintf(stream, sizeof stream, "%s", whole);
    play_seek(p, 9);
    s = until_shown(p, 9);
    expect_frame(s.scene, 9, 3);
    assert_int_equal(s.frame_count, all ? FRAMES : FRAMES / 2);
    play_stop(&p);
    test_nginx_stop(&server, true);
    snprintf(stream, sizeof stream, "%s", whole);
}

static void refuses_with_a_sentence(void **state)
{
    (void)state;
    struct play *p;
    struct gs_scene first = {0};
    test_write_file(test_tmp_path("x.fvv"), "fvv", 3);
    assert_fails(play_start(&p, dev, test_tmp_path("x.fvv"), &(struct play_opts){0}, &first),
                 FV_EFORMAT, "x.fvv");
    assert_null(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_frame_sought_is_exact),
        cmocka_unit_test(plays_to_its_end_in_its_time),
        cmocka_unit_test(holds_no_more_than_it_may),
        cmocka_unit_test(a_scene_in_use_stays_as_it_is),
        cmocka_unit_test(damage_is_told_and_passed),
        cmocka_unit_test(plays_over_the_network),
        cmocka_unit_test(refuses_with_a_sentence),
    };
    return cmocka_run_group_tests(tests, write_stream, test_device_teardown);
}
