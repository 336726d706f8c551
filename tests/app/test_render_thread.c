/* Drawing beside the caller's thread: app/render_thread.h. */
#include "app/image_io.h"
#include "app/render_thread.h"
#include "support/test.h"
#include "vk/base/thread.h"

#include <sys/stat.h>
#include <unistd.h>

static struct vk_device *dev;
static struct gs_gpu_scene *gpu; /* red ball in front */
static atomic_int woken;

enum { WIDTH = 96, HEIGHT = 64 };

static void wake(void)
{
    atomic_fetch_add(&woken, 1);
}

/* count opaque balls on a line to the right, of this colour. */
static struct gs_gpu_scene *balls(struct vk_device *on, int count, int colour)
{
    struct gs_scene s;
    struct gs_gpu_scene *out;
    assert_ok(gs_scene_alloc(&s, (size_t)count, 0));
    for (int i = 0; i < count; i++) {
        s.position[3 * i] = (float)i * 1e-4f;
        s.position[3 * i + 1] = 0;
        s.position[3 * i + 2] = 5;
        memcpy(s.rotation + 4 * i, (float[4]){1, 0, 0, 0}, 16);
        s.opacity[i] = count > 1 ? -3 : 8; /* many are to be blended one after the other */
        for (int k = 0; k < 3; k++) {
            s.scale[3 * i + k] = logf(0.4f);
            s.sh[3 * i + k] = k == colour ? 1.5f : -1.5f;
        }
    }
    assert_ok(gs_gpu_scene_create(&out, on, &s, NULL));
    gs_scene_finish(&s);
    return out;
}

static int make_scene(void **state)
{
    (void)state;
    dev = test_device();
    gpu = balls(dev, 1, 0);
    return 0;
}

static int drop_scene(void **state)
{
    (void)state;
    gs_gpu_scene_destroy(&gpu);
    test_device_done();
    return 0;
}

/* shift: how far the camera stands to the side; pictures of different ones differ. */
static struct picture_request request(const struct gs_gpu_scene *scene, double shift)
{
    struct picture_request r = {.scene = scene};
    r.camera = (struct gs_camera){.width = WIDTH,
                                  .height = HEIGHT,
                                  .fx = 80,
                                  .fy = 80,
                                  .cx = WIDTH / 2.0,
                                  .cy = HEIGHT / 2.0};
    for (int i = 0; i < 4; i++)
        r.camera.view[5 * i] = 1;
    r.camera.view[3] = shift;
    return r;
}

static struct render_thread *start_on(struct vk_device *on, bool watch)
{
    struct render_thread *t;
    struct render_thread_opts o = {.dev = on, .screen = on, .watch_shaders = watch, .wake = wake};
    assert_ok(render_thread_start(&t, &o));
    return t;
}

/* The news when all is done. */
static struct render_news *finish(struct render_thread *t)
{
    static struct render_news news;
    render_thread_wait(t);
    render_thread_poll(t, &news);
    return &news;
}

static void assert_same_picture(const struct picture *a, const struct picture *b)
{
    assert_int_equal(a->width, b->width);
    assert_int_equal(a->height, b->height);
    assert_memory_equal(a->pixels.map, b->pixels.map, (size_t)a->width * a->height * 4);
}

/* What the request is, drawn by this thread while the other rests. */
static void expect_picture(const struct picture *got, const struct picture_request *r)
{
    struct painter *painter;
    struct picture wanted = {0};
    assert_ok(painter_create(&painter, dev, dev, false));
    assert_ok(painter_draw(painter, r, &wanted));
    assert_non_null(got);
    assert_same_picture(got, &wanted);
    picture_finish(&wanted);
    painter_destroy(&painter);
}

static void the_newest_request_is_drawn(void **state)
{
    (void)state;
    struct render_thread *t = start_on(dev, false);
    struct render_news *news = finish(t);
    assert_null(news->picture);
    atomic_store(&woken, 0);
    struct picture_request r;
    for (int i = 0; i < 200; i++) {
        r = request(gpu, i * 0.01);
        render_thread_ask(t, &r, i % 5);
    }
    news = finish(t);
    assert_int_equal(news->failed, 0);
    assert_int_equal(news->step, 199 % 5);
    assert_true(picture_same(&news->drawn, &r));
    expect_picture(news->picture, &r);
    assert_true(news->picture->ms > 0 && news->picture->stats.visible == 1);
    int drawn = atomic_load(&woken);
    assert_true(drawn >= 1 && drawn < 200); /* what was overtaken was left out */
    render_thread_poll(t, news);
    assert_null(news->picture); /* told once */
    render_thread_stop(&t);
    assert_null(t);
    render_thread_stop(&t); /* accepts NULL */
}

static void what_is_shown_is_not_drawn_over(void **state)
{
    (void)state;
    struct render_thread *t = start_on(dev, false);
    struct picture_request shown = request(gpu, 0), r;
    render_thread_ask(t, &shown, 0);
    const struct picture *p = finish(t)->picture;
    for (int i = 1; i < 6; i++) {
        r = request(gpu, i * 0.1);
        render_thread_ask(t, &r, 0);
        render_thread_wait(t);
        expect_picture(p, &shown);
    }
    expect_picture(finish(t)->picture, &r); /* of five that were not polled the last */
    render_thread_stop(&t);
}

static void several_sizes_and_kinds(void **state)
{
    (void)state;
    struct render_thread *t = start_on(dev, false);
    for (int i = 0; i < 9; i++) {
        struct picture_request r = request(gpu, 0);
        r.kind = (enum picture_kind)(i % 3);
        picture_scale(&r.camera, WIDTH * (uint32_t)(1 + i / 3), HEIGHT * (uint32_t)(3 - i / 3));
        render_thread_ask(t, &r, 0);
        expect_picture(finish(t)->picture, &r);
    }
    render_thread_stop(&t);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void asking_does_not_wait_for_a_slow_picture(void **state)
{
    (void)state;
    enum { CALLS = 400 };
    static double took[CALLS];
    static struct render_news news;
    struct gs_gpu_scene *slow = balls(dev, 60000, 1);
    struct render_thread *t = start_on(dev, false);
    struct picture_request r = request(slow, 0);
    picture_scale(&r.camera, 1536, 1024);
    render_thread_ask(t, &r, 0);
    double ms = finish(t)->picture->ms;
    int n = 0;
    r.camera.view[3] += 0.01;
    render_thread_ask(t, &r, 0); /* the others are asked while this one is being drawn */
    for (double until = fv_now() + ms / 2000; n < CALLS && fv_now() < until; n++) {
        double start = fv_now();
        r.camera.view[3] += 0.01;
        render_thread_ask(t, &r, 0);
        render_thread_poll(t, &news);
        took[n] = (fv_now() - start) * 1000;
        usleep(200);
    }
    assert_true(n > 0);
    qsort(took, (size_t)n, sizeof *took, by_value);
    if (took[n / 2] > ms / 20)
        fail_msg("a call takes %.2f ms, a picture %.1f ms", took[n / 2], ms);
    expect_picture(finish(t)->picture, &r);
    render_thread_stop(&t);
    gs_gpu_scene_destroy(&slow);
}

static void saves_what_was_asked(void **state)
{
    (void)state;
    struct render_thread *t = start_on(dev, false);
    struct picture_request r = request(gpu, 0.3), other = request(gpu, 0);
    char file[512];
    snprintf(file, sizeof file, "%s", test_tmp_path("saved.png"));
    for (int newest = 0; newest < 2; newest++) {
        remove(file);
        render_thread_ask(t, newest ? &r : &other, 0);
        render_thread_wait(t);
        assert_ok(render_thread_save(t, &r, file));
        struct render_news *news = finish(t);
        assert_true(news->saved);
        assert_string_equal(news->path, file);
        expect_picture(news->picture, &r); /* what is saved can be shown as well */
        struct image i;
        assert_ok(image_load(&i, file));
        assert_int_equal(i.width, WIDTH);
        const uint8_t *raw = news->picture->pixels.map;
        for (int p = 0; p < WIDTH * HEIGHT; p++)
            for (int k = 0; k < 3; k++)
                assert_near(i.data[3 * p + k] * 255, raw[4 * p + k], 0.01);
        image_finish(&i);
    }
    render_thread_stop(&t);
}

static void tells_why_saving_failed(void **state)
{
    (void)state;
    struct render_thread *t = start_on(dev, false);
    struct picture_request r = request(gpu, 0);
    char longest[1500];
    assert_ok(render_thread_save(t, &r, "/nonexistent/a.png"));
    struct render_news *news = finish(t);
    assert_false(news->saved);
    assert_true(news->failed < 0);
    assert_non_null(strstr(news->error, "/nonexistent/a.png"));
    memset(longest, 'a', sizeof longest);
    longest[sizeof longest - 1] = 0;
    assert_fails(render_thread_save(t, &r, longest), FV_EINVALID, "too long");
    render_thread_stop(&t);
}

static void picks_beside_pictures(void **state)
{
    (void)state;
    struct render_thread *t = start_on(dev, false);
    struct picture_request r = request(gpu, 0);
    render_thread_ask(t, &r, 0);
    render_thread_pick(t, &r, WIDTH / 2.0, HEIGHT / 2.0);
    struct render_news *news = finish(t);
    assert_true(news->picked && news->hit);
    assert_near(news->point[2], 5, 0.02);
    assert_true(news->pick.scene == gpu);
    assert_non_null(news->picture);
    render_thread_pick(t, &r, 1, 1);
    news = finish(t);
    assert_true(news->picked && !news->hit);
    assert_near(news->pick_at[0], 1, 0);
    render_thread_stop(&t);
}

/* A failure is told once, and the pictures after it are drawn. */
static void goes_on_after_a_failure(void **state)
{
    (void)state;
    struct render_thread *t = start_on(dev, false);
    struct picture_request bad = request(gpu, 0), good = bad;
    bad.camera.fx = 0;
    render_thread_ask(t, &good, 0);
    const struct picture *before = finish(t)->picture;
    render_thread_ask(t, &bad, 0);
    struct render_news *news = finish(t);
    assert_int_equal(news->failed, FV_EINVALID);
    assert_non_null(strstr(news->error, "focal length"));
    assert_null(news->picture);
    expect_picture(before, &good); /* it stays */
    good.camera.view[3] = 0.2;
    render_thread_ask(t, &good, 0);
    news = finish(t);
    assert_int_equal(news->failed, 0);
    expect_picture(news->picture, &good);
    render_thread_stop(&t);
}

static struct vk_device *open_device(const char *shader_dir)
{
    struct vk_device *out;
    assert_ok(vk_device_create(
        &out, &(struct vk_device_opts){.select = getenv("FOVEA_DEVICE"),
                                       .validation = getenv("FOVEA_TEST_VALIDATION") != NULL,
                                       .shader_dir = shader_dir}));
    return out;
}

static void a_lost_device_is_told(void **state)
{
    (void)state;
    struct vk_device *doomed = open_device(NULL);
    struct gs_gpu_scene *scene = balls(doomed, 1, 2);
    struct render_thread *t = start_on(doomed, false);
    struct picture_request r = request(scene, 0);
    render_thread_ask(t, &r, 0);
    assert_int_equal(finish(t)->failed, 0);
    atomic_store(&doomed->failed, 1); /* as a driver's VK_ERROR_DEVICE_LOST does */
    for (int i = 0; i < 3; i++) {
        r.camera.view[3] += 0.1;
        render_thread_ask(t, &r, 0);
        render_thread_pick(t, &r, 1, 1);
        struct render_news *news = finish(t);
        assert_int_equal(news->failed, FV_EDEVICE);
        assert_non_null(strstr(news->error, "device lost"));
    }
    render_thread_stop(&t);
    gs_gpu_scene_destroy(&scene);
    vk_device_destroy(&doomed);
}

/* A loaded scene around balls; the thread takes it over. */
static struct loaded *own(struct gs_gpu_scene *scene)
{
    struct loaded *s = calloc(1, sizeof *s);
    s->gpu = scene;
    return s;
}

static void scenes_go_when_nothing_draws_them(void **state)
{
    (void)state;
    struct render_thread *t = start_on(dev, false);
    uint64_t reserved, used, before, peak;
    vk_mem_usage(dev, &reserved, &before, &peak);
    for (int i = 0; i < 4; i++) {
        struct gs_gpu_scene *old = balls(dev, 20000, 1);
        struct picture_request r = request(old, 0), next = request(gpu, 0);
        picture_scale(&r.camera, 512, 384);
        render_thread_ask(t, &r, 0);
        if (i % 2)
            usleep(3000); /* it may be being drawn, or done */
        render_thread_save(t, &r, test_tmp_path("late.png"));
        render_thread_retire(t, own(old));
        struct render_news *news = finish(t);
        assert_null(news->picture); /* it would be of what is gone */
        assert_int_equal(news->failed, 0);
        render_thread_ask(t, &next, 0);
        expect_picture(finish(t)->picture, &next);
    }
    render_thread_retire(t, own(balls(dev, 1000, 1)));
    render_thread_stop(&t); /* frees what it was given last */
    vk_mem_usage(dev, &reserved, &used, &peak);
    assert_true(used <= before);
}

static void stopping_leaves_what_was_asked(void **state)
{
    (void)state;
    struct gs_gpu_scene *slow = balls(dev, 60000, 1);
    for (int i = 0; i < 5; i++) {
        struct render_thread *t = start_on(dev, false);
        struct picture_request r = request(slow, 0);
        picture_scale(&r.camera, 640, 480);
        render_thread_ask(t, &r, 0);
        render_thread_pick(t, &r, 320, 240);
        usleep((unsigned)i * 2000);
        render_thread_save(t, &r, "/nonexistent/never.png");
        render_thread_stop(&t);
    }
    gs_gpu_scene_destroy(&slow);
}

/* All kinds of calls at once, for the thread sanitizer. */
static void everything_at_once(void **state)
{
    (void)state;
    static struct render_news news;
    struct gs_gpu_scene *mine = balls(dev, 500, 0);
    struct render_thread *t = start_on(dev, false);
    const struct picture *shown = NULL;
    uint64_t seed = 1, sum = 0;
    int pictures = 0;
    for (double until = fv_now() + 2; fv_now() < until;) {
        struct picture_request r = request(mine, test_uniform(&seed, -1, 1));
        uint32_t part = 1 + test_rand(&seed) % 3;
        picture_scale(&r.camera, WIDTH / part, HEIGHT / part);
        r.fill_width = test_rand(&seed) % 2 ? WIDTH : 0;
        r.fill_height = r.fill_width ? HEIGHT : 0;
        r.kind = test_rand(&seed) % 3;
        uint32_t what = test_rand(&seed) % 64;
        if (what < 4) {
            render_thread_pick(t, &r, 1, 1);
        } else if (what < 6) {
            render_thread_save(t, &r, test_tmp_path("busy.png"));
        } else if (what < 7) {
            render_thread_retire(t, own(mine));
            mine = balls(dev, 500, 1);
        } else if (what < 32) {
            usleep(2000);
        } else {
            render_thread_ask(t, &r, (int)part);
        }
        render_thread_poll(t, &news);
        if (news.failed)
            fail_msg("%s", news.error);
        shown = news.picture ? news.picture : shown;
        pictures += news.picture != NULL;
        for (uint32_t i = 0; shown && i < 4 * shown->width * shown->height; i += 64)
            sum += ((const uint8_t *)shown->pixels.map)[i];
    }
    if (pictures < 3 || !sum)
        fail_msg("%d pictures", pictures);
    render_thread_stop(&t);
    gs_gpu_scene_destroy(&mine);
}

#ifdef FOVEA_HOT_RELOAD

/* The source tree's shaders in the temporary directory. */
static const char *copy_shaders(void)
{
    char command[1200];
    snprintf(command, sizeof command, "cp -r '%s' '%s'", test_source("shaders"),
             test_tmp_path("shaders"));
    assert_int_equal(system(command), 0);
    return test_tmp_path("shaders");
}

static void replace(const char *file, const char *old, const char *fresh)
{
    char *text = test_read_file(test_tmp_path(file), NULL), *at = strstr(text, old);
    assert_non_null(at);
    char *out = malloc(strlen(text) + strlen(fresh) + 1);
    sprintf(out, "%.*s%s%s", (int)(at - text), text, fresh, at + strlen(old));
    test_write_file(test_tmp_path(file), out, strlen(out));
    free(out);
    free(text);
}

/* Polls until there is a picture or a new log. */
static struct render_news *next_news(struct render_thread *t)
{
    static struct render_news news;
    for (double until = fv_now() + 60; fv_now() < until; usleep(5000)) {
        render_thread_poll(t, &news);
        if (news.picture || news.shaders_told || news.failed)
            return &news;
    }
    fail_msg("no news for a minute");
    return NULL;
}

static const uint8_t *middle(const struct picture *p)
{
    return (const uint8_t *)p->pixels.map + 4 * (p->height / 2 * p->width + p->width / 2);
}

static void changed_shaders_take_effect(void **state)
{
    (void)state;
    static const char right[] = "return 0.28209479177387814",
                      wrong[] = "return -0.28209479177387814";
    struct vk_device *on = open_device(copy_shaders());
    struct gs_gpu_scene *scene = balls(on, 1, 0);
    struct render_thread *t = start_on(on, true);
    struct picture_request r = request(scene, 0);
    render_thread_ask(t, &r, 2);
    struct render_news *news = next_news(t);
    assert_true(news->picture && middle(news->picture)[0] > 200);
    usleep(400000);
    render_thread_poll(t, news);
    assert_false(news->picture || news->shaders_told); /* nothing has changed */

    replace("shaders/lib/sh.glsl", right, wrong); /* nobody asks: it is drawn again all the same */
    news = next_news(t);
    assert_non_null(news->picture);
    assert_true(middle(news->picture)[0] < 100);
    assert_int_equal(news->step, 2);

    replace("shaders/lib/sh.glsl", wrong, "return nonsense");
    news = next_news(t);
    assert_true(news->shaders_told);
    assert_non_null(strstr(news->shader_log, "nonsense"));
    assert_non_null(strstr(news->shader_log, "sh.glsl:6"));
    r.camera.view[3] = 0.01;
    render_thread_ask(t, &r, 0); /* the last that compiled is in use */
    news = next_news(t);
    assert_true(news->picture && middle(news->picture)[0] < 100);
    assert_false(news->shaders_told); /* told once */

    replace("shaders/lib/sh.glsl", "return nonsense", right);
    for (const struct picture *p = NULL; !p || !news->shaders_told;) {
        bool told = news->shaders_told;
        news = next_news(t);
        p = news->picture ? news->picture : p;
        news->shaders_told |= told;
        if (p)
            assert_true(middle(p)[0] > 200);
    }
    assert_string_equal(news->shader_log, "");
    render_thread_stop(&t);
    gs_gpu_scene_destroy(&scene);
    assert_int_equal(atomic_load(&on->validation_errors), 0);
    vk_device_destroy(&on);
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_request_is_drawn),
        cmocka_unit_test(what_is_shown_is_not_drawn_over),
        cmocka_unit_test(several_sizes_and_kinds),
        cmocka_unit_test(asking_does_not_wait_for_a_slow_picture),
        cmocka_unit_test(saves_what_was_asked),
        cmocka_unit_test(tells_why_saving_failed),
        cmocka_unit_test(picks_beside_pictures),
        cmocka_unit_test(goes_on_after_a_failure),
        cmocka_unit_test(a_lost_device_is_told),
        cmocka_unit_test(scenes_go_when_nothing_draws_them),
        cmocka_unit_test(stopping_leaves_what_was_asked),
        cmocka_unit_test(everything_at_once),
#ifdef FOVEA_HOT_RELOAD
        cmocka_unit_test(changed_shaders_take_effect),
#endif
    };
    return cmocka_run_group_tests(tests, make_scene, drop_scene);
}
