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

static void pixel(double out[3], const struct picture *p, int x, int y)
{
    const char *file = test_tmp_path("p.png");
    struct image i;
    assert_ok(picture_save(p, file));
    assert_ok(image_load(&i, file));
    assert_int_equal(i.width, p->width);
    assert_int_equal(i.channels, 3);
    for (int k = 0; k < 3; k++)
        out[k] = i.data[((size_t)y * i.width + (size_t)x) * 3 + (size_t)k];
    image_finish(&i);
}

static void draws_colour_alpha_and_depth(void **state)
{
    (void)state;
    for (int bgra = 0; bgra < 2; bgra++) {
        struct painter *painter;
        struct picture p = {0};
        double left[3], right[3], corner[3];
        assert_ok(painter_create(&painter, dev, dev, bgra));
        assert_fails(picture_save(&p, test_tmp_path("p.png")), FV_EINVALID, "no picture");

        struct picture_request r = request(PICTURE_COLOUR);
        assert_ok(painter_draw(painter, &r, &p));
        assert_int_equal(p.bgra, bgra);
        pixel(left, &p, (int)column(0), HEIGHT / 2);
        pixel(right, &p, (int)column(1), HEIGHT / 2);
        assert_true(left[0] > 0.8 && left[1] < 0.15);
        assert_true(right[1] > 0.8 && right[0] < 0.15);
        const uint8_t *raw = (uint8_t *)p.pixels.map + 4 * (WIDTH * HEIGHT / 2 + (int)column(0));
        assert_near(raw[bgra ? 2 : 0] / 255.0, left[0], 1e-6);

        r = request(PICTURE_ALPHA);
        assert_ok(painter_draw(painter, &r, &p));
        pixel(left, &p, (int)column(0), HEIGHT / 2);
        pixel(corner, &p, 1, 1);
        assert_true(left[0] > 0.97 && left[0] == left[2]);
        assert_true(corner[0] == 0);

        r = request(PICTURE_DEPTH);
        assert_ok(painter_draw(painter, &r, &p));
        pixel(left, &p, (int)column(0), HEIGHT / 2);
        pixel(right, &p, (int)column(1), HEIGHT / 2);
        pixel(corner, &p, 1, 1);
        assert_true(left[0] + left[1] + left[2] > 2 && left[0] > left[2]); /* near: pale yellow */
        assert_true(right[0] + right[1] + right[2] < 1);                   /* far: dark */
        assert_true(corner[0] + corner[1] + corner[2] == 0);
        picture_finish(&p);
        assert_null(p.pixels.map);
        painter_destroy(&painter);
        assert_null(painter);
    }
}

static void a_small_picture_fills_what_it_is_to_fill(void **state)
{
    (void)state;
    struct painter *painter;
    struct picture p = {0};
    double left[3], right[3];
    assert_ok(painter_create(&painter, dev, dev, true));
    for (int kind = PICTURE_COLOUR; kind <= PICTURE_ALPHA; kind++) {
        struct picture_request r = request(kind);
        picture_scale(&r.camera, WIDTH / 3, HEIGHT / 3);
        r.fill_width = WIDTH;
        r.fill_height = HEIGHT;
        assert_ok(painter_draw(painter, &r, &p));
        assert_int_equal(p.width, WIDTH);
        assert_int_equal(p.height, HEIGHT);
        pixel(left, &p, (int)column(0), HEIGHT / 2);
        pixel(right, &p, (int)column(1), HEIGHT / 2);
        assert_true(left[0] > 0.8 && (kind || left[1] < 0.15));
        assert_true(right[1] > 0.8 && (kind || right[0] < 0.15));
    }
    picture_finish(&p);
    painter_destroy(&painter);
}

/* The definition, in double: samples at pixel centres, the edges continued. */
static double enlarged(const uint8_t *in, int w, int h, int out_w, int out_h, int x, int y, int k)
{
    double sx = fmin(fmax((x + 0.5) * w / out_w - 0.5, 0), w - 1);
    double sy = fmin(fmax((y + 0.5) * h / out_h - 0.5, 0), h - 1), sum = 0;
    for (int j = 0; j < 2; j++)
        for (int i = 0; i < 2; i++) {
            int px = (int)sx + i < w ? (int)sx + i : w - 1,
                py = (int)sy + j < h ? (int)sy + j : h - 1;
            double wx = i ? sx - floor(sx) : 1 - (sx - floor(sx));
            double wy = j ? sy - floor(sy) : 1 - (sy - floor(sy));
            sum += wx * wy * in[4 * (py * w + px) + k];
        }
    return sum;
}

static void enlarging_is_bilinear(void **state)
{
    (void)state;
    static const int sizes[][4] = {{7, 5, 20, 13}, {1, 1, 6, 4}, {2, 1, 9, 3},
                                   {1, 3, 2, 11},  {8, 8, 8, 8}, {16, 9, 33, 31}};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        int w = sizes[s][0], h = sizes[s][1], out_w = sizes[s][2], out_h = sizes[s][3];
        uint8_t *in = malloc((size_t)(4 * w * h)), *out = malloc((size_t)(4 * out_w * out_h));
        uint32_t random = 7;
        for (int i = 0; i < 4 * w * h; i++)
            in[i] = (uint8_t)((random = random * 1664525 + 1013904223) >> 24);
        assert_ok(
            picture_enlarge(out, (uint32_t)out_w, (uint32_t)out_h, in, (uint32_t)w, (uint32_t)h));
        for (int i = 0; i < 4 * out_w * out_h; i++)
            assert_near(out[i],
                        enlarged(in, w, h, out_w, out_h, i / 4 % out_w, i / 4 / out_w, i % 4),
                        2.01); /* two roundings, weights of 8 bits */
        free(in);
        free(out);
    }
}

static void picks_the_point_under_the_mouse(void **state)
{
    (void)state;
    struct painter *p;
    assert_ok(painter_create(&p, dev, dev, false));
    for (int large = 0; large < 2; large++) {
        struct picture_request r = request(PICTURE_COLOUR);
        double f = large ? 8 : 1; /* probes are at most 480 pixels wide */
        picture_scale(&r.camera, (uint32_t)(WIDTH * f), (uint32_t)(HEIGHT * f));
        for (int i = 0; i < 2; i++) {
            double at[3];
            assert_int_equal(painter_pick(p, &r, column(i) * f, HEIGHT / 2.0 * f, at), 1);
            assert_near(at[0], i ? 3 : -1.5, 0.1);
            assert_near(at[1], 0, 0.1);
            assert_near(at[2], depth_of[i], 0.02);
        }
        double at[3];
        assert_int_equal(painter_pick(p, &r, 3, 3, at), 0);
        assert_int_equal(painter_pick(p, &r, -5, 3, at), 0);
        assert_int_equal(painter_pick(p, &r, 3, HEIGHT * f + 1, at), 0);
    }
    painter_destroy(&p);
}

static void picking_follows_the_camera(void **state)
{
    (void)state;
    struct painter *p;
    struct picture_request r = request(PICTURE_COLOUR);
    const double eye[3] = {-1.5, -4, 5}, target[3] = {-1.5, 0, 5}, up[3] = {0, 0, 1};
    double at[3];
    gs_camera_look_at(&r.camera, eye, target, up); /* from above */
    assert_ok(painter_create(&p, dev, dev, false));
    assert_int_equal(painter_pick(p, &r, WIDTH / 2.0, HEIGHT / 2.0, at), 1);
    for (int k = 0; k < 3; k++)
        assert_near(at[k], target[k], 0.05);
    painter_destroy(&p);
}

/* Large ones, many of them beyond the edges, where a picture's own edges limit how they are drawn. */
static struct gs_gpu_scene *wide_scene(uint64_t seed)
{
    enum { COUNT = 60 };
    struct gs_scene s;
    struct gs_gpu_scene *out;
    assert_ok(gs_scene_alloc(&s, COUNT, 0));
    for (int i = 0; i < COUNT; i++) {
        for (int k = 0; k < 3; k++) {
            s.position[3 * i + k] = (float)(k == 2 ? test_uniform(&seed, 2, 6) : test_uniform(&seed, -5, 5));
            s.scale[3 * i + k] = (float)test_uniform(&seed, -2, 0.5);
            s.sh[3 * i + k] = (float)test_uniform(&seed, -1.5, 1.5);
        }
        for (int k = 0; k < 4; k++)
            s.rotation[4 * i + k] = (float)test_uniform(&seed, -1, 1);
        s.opacity[i] = (float)test_uniform(&seed, -2, 3);
    }
    assert_ok(gs_gpu_scene_create(&out, dev, &s, NULL));
    gs_scene_finish(&s);
    return out;
}

static void each_side_of_a_line_is_what_the_whole_picture_has_there(void **state)
{
    (void)state;
    static const struct {
        double line;
        bool swapped;
        int column;
    } rows[] = {{0.5, false, 100}, {0.77, false, 154}, {0.235, true, 47}, {0, false, 1}, {1, true, WIDTH - 1}};
    struct gs_gpu_scene *scenes[2] = {wide_scene(5), wide_scene(6)};
    struct painter *painter;
    struct picture whole[2] = {0}, both = {0};
    assert_ok(painter_create(&painter, dev, dev, true));
    struct picture_request r = request(PICTURE_COLOUR);
    for (int i = 0; i < 2; i++) {
        r.scene = scenes[i];
        assert_ok(painter_draw(painter, &r, &whole[i]));
    }
    r.scene = scenes[0];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        r.beside = (struct picture_side){.scene = scenes[1], .line = rows[i].line, .swapped = rows[i].swapped};
        assert_ok(painter_draw(painter, &r, &both));
        assert_int_equal(both.width, WIDTH);
        assert_true(both.psnr == 0);
        for (int at = 0; at < WIDTH * HEIGHT; at++) {
            int which = (at % WIDTH >= rows[i].column) != rows[i].swapped;
            const uint8_t *got = (uint8_t *)both.pixels.map + 4 * at, *wanted = (uint8_t *)whole[which].pixels.map + 4 * at;
            for (int k = 0; k < 3; k++)
                if (abs(got[k] - wanted[k]) > 1)
                    fail_msg("line %g, column %d: %d, not %d", rows[i].line, at % WIDTH, got[k], wanted[k]);
        }
    }
    r.beside.split = PICTURE_BESIDE;
    assert_ok(painter_draw(painter, &r, &both));
    assert_int_equal(both.width, 2 * WIDTH);
    assert_true(both.psnr > 5 && both.psnr < 40);
    r.beside.scene = scenes[0];
    assert_ok(painter_draw(painter, &r, &both));
    assert_true(isinf(both.psnr));
    for (int i = 0; i < 2; i++) {
        picture_finish(&whole[i]);
        gs_gpu_scene_destroy(&scenes[i]);
    }
    picture_finish(&both);
    painter_destroy(&painter);
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
    b = a;
    b.opts.stereo = true;
    assert_false(picture_same(&a, &b));
    b = a;
    b.beside.line = 0.5; /* of no second scene */
    assert_true(picture_same(&a, &b));
    b.beside.scene = gpu;
    assert_false(picture_same(&a, &b));
    a = b;
    assert_true(picture_same(&a, &b));
    b.beside.line = 0.25;
    assert_false(picture_same(&a, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_colour_alpha_and_depth),
        cmocka_unit_test(a_small_picture_fills_what_it_is_to_fill),
        cmocka_unit_test(enlarging_is_bilinear),
        cmocka_unit_test(picks_the_point_under_the_mouse),
        cmocka_unit_test(picking_follows_the_camera),
        cmocka_unit_test(each_side_of_a_line_is_what_the_whole_picture_has_there),
        cmocka_unit_test(requests_differ_by_what_is_seen_not_by_size),
    };
    return cmocka_run_group_tests(tests, make_scene, drop_scene);
}
