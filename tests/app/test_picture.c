/* Pictures and picking on a scene that is known: app/picture.h. */
#include "app/image_io.h"
#include "app/picture.h"
#include "support/test.h"

static struct vk_device *dev;
static struct gs_gpu_scene *gpu;

enum { WIDTH = 200, HEIGHT = 100 };
static const double depth_of[2] = {5, 9};

/* Two opaque blobs of radius 0.3: one left at depth 5, one right at depth 9. */
static int make_scene(void **state)
{
    (void)state;
    struct gs_scene s;
    dev = test_device();
    assert_ok(gs_scene_alloc(&s, 2, 0));
    for (int i = 0; i < 2; i++) {
        s.position[3 * i] = i ? 3 : -1.5f;
        s.position[3 * i + 1] = 0;
        s.position[3 * i + 2] = (float)depth_of[i];
        s.rotation[4 * i] = 1;
        s.rotation[4 * i + 1] = s.rotation[4 * i + 2] = s.rotation[4 * i + 3] = 0;
        s.opacity[i] = 8;
        for (int k = 0; k < 3; k++) {
            s.scale[3 * i + k] = logf(0.3f);
            s.sh[3 * i + k] = k == i ? 1.5f : -1.5f; /* red, green */
        }
    }
    assert_ok(gs_gpu_scene_create(&gpu, dev, &s, NULL)); /* packed, as the viewer uploads */
    gs_scene_finish(&s);
    return 0;
}

static int drop_scene(void **state)
{
    (void)state;
    gs_gpu_scene_destroy(&gpu);
    test_device_done();
    return 0;
}

static struct picture_request request(enum picture_kind kind)
{
    struct picture_request r = {.scene = gpu, .kind = kind};
    r.camera = (struct gs_camera){.width = WIDTH,
                                  .height = HEIGHT,
                                  .fx = 150,
                                  .fy = 150,
                                  .cx = WIDTH / 2.0,
                                  .cy = HEIGHT / 2.0};
    for (int i = 0; i < 4; i++)
        r.camera.view[5 * i] = 1;
    return r;
}

/* Pixel of a blob's centre. */
static double column(int i)
{
    return WIDTH / 2.0 + 150 * (i ? 3 : -1.5) / depth_of[i];
}

static void pixel(double out[3], struct picture *p, int x, int y)
{
    const char *file = test_tmp_path("p.png");
    struct image i;
    assert_ok(picture_save(p, file));
    assert_ok(image_load(&i, file));
    assert_int_equal(i.width, WIDTH);
    assert_int_equal(i.channels, 3);
    for (int k = 0; k < 3; k++)
        out[k] = i.data[((size_t)y * i.width + (size_t)x) * 3 + (size_t)k];
    image_finish(&i);
}

static void draws_colour_alpha_and_depth(void **state)
{
    (void)state;
    struct picture *p;
    double left[3], right[3], corner[3];
    assert_ok(picture_create(&p, dev));
    assert_fails(picture_save(p, test_tmp_path("p.png")), FV_EINVALID, "no picture");

    struct picture_request r = request(PICTURE_COLOUR);
    assert_ok(picture_draw(p, &r));
    pixel(left, p, (int)column(0), HEIGHT / 2);
    pixel(right, p, (int)column(1), HEIGHT / 2);
    assert_true(left[0] > 0.8 && left[1] < 0.15);
    assert_true(right[1] > 0.8 && right[0] < 0.15);

    r = request(PICTURE_ALPHA);
    assert_ok(picture_draw(p, &r));
    pixel(left, p, (int)column(0), HEIGHT / 2);
    pixel(corner, p, 1, 1);
    assert_true(left[0] > 0.97 && left[0] == left[2]);
    assert_true(corner[0] == 0);

    r = request(PICTURE_DEPTH);
    assert_ok(picture_draw(p, &r));
    pixel(left, p, (int)column(0), HEIGHT / 2);
    pixel(right, p, (int)column(1), HEIGHT / 2);
    pixel(corner, p, 1, 1);
    assert_true(left[0] + left[1] + left[2] > 2);    /* near: pale */
    assert_true(right[0] + right[1] + right[2] < 1); /* far: dark */
    assert_true(corner[0] + corner[1] + corner[2] == 0);
    picture_destroy(&p);
    assert_null(p);
}

static void picks_the_point_under_the_mouse(void **state)
{
    (void)state;
    struct picture *p;
    assert_ok(picture_create(&p, dev));
    for (int large = 0; large < 2; large++) {
        struct picture_request r = request(PICTURE_COLOUR);
        double f = large ? 8 : 1; /* probes are at most 480 pixels wide */
        picture_scale(&r.camera, (uint32_t)(WIDTH * f), (uint32_t)(HEIGHT * f));
        for (int i = 0; i < 2; i++) {
            double at[3];
            assert_int_equal(picture_pick(p, &r, column(i) * f, HEIGHT / 2.0 * f, at), 1);
            assert_near(at[0], i ? 3 : -1.5, 0.1);
            assert_near(at[1], 0, 0.1);
            assert_near(at[2], depth_of[i], 0.02);
        }
        double at[3];
        assert_int_equal(picture_pick(p, &r, 3, 3, at), 0);
        assert_int_equal(picture_pick(p, &r, -5, 3, at), 0);
        assert_int_equal(picture_pick(p, &r, 3, HEIGHT * f + 1, at), 0);
    }
    picture_destroy(&p);
}

static void picking_follows_the_camera(void **state)
{
    (void)state;
    struct picture *p;
    struct picture_request r = request(PICTURE_COLOUR);
    const double eye[3] = {-1.5, -4, 5}, target[3] = {-1.5, 0, 5}, up[3] = {0, 0, 1};
    double at[3];
    gs_camera_look_at(&r.camera, eye, target, up); /* from above */
    assert_ok(picture_create(&p, dev));
    assert_int_equal(picture_pick(p, &r, WIDTH / 2.0, HEIGHT / 2.0, at), 1);
    for (int k = 0; k < 3; k++)
        assert_near(at[k], target[k], 0.05);
    picture_destroy(&p);
}

static void requests_differ_by_what_is_seen_not_by_size(void **state)
{
    (void)state;
    struct picture_request a = request(PICTURE_COLOUR), b = a;
    picture_scale(&b.camera, WIDTH / 2, HEIGHT / 2);
    assert_true(picture_same(&a, &b));
    b.camera.view[3] += 1e-9;
    assert_false(picture_same(&a, &b));
    b = a;
    b.opts.splat_scale = 0.5f;
    assert_false(picture_same(&a, &b));
    b = a;
    b.opts.has_crop = true;
    assert_false(picture_same(&a, &b));
    b = a;
    b.kind = PICTURE_DEPTH;
    assert_false(picture_same(&a, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_colour_alpha_and_depth),
        cmocka_unit_test(picks_the_point_under_the_mouse),
        cmocka_unit_test(picking_follows_the_camera),
        cmocka_unit_test(requests_differ_by_what_is_seen_not_by_size),
    };
    return cmocka_run_group_tests(tests, make_scene, drop_scene);
}
