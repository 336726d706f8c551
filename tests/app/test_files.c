/* Names of outputs, pictures in and out, plots, the sink's files and streams. */
#include "support/test.h"
#include "app/image_io.h"
#include "app/output.h"
#include "app/plot.h"
#include "app/sink.h"
#include "app/video.h"
#include "vk/base/file.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* ---- output names ---- */

static struct output parsed(const char *path, enum output_format f)
{
    struct output o;
    assert_ok(output_parse(&o, path, f));
    return o;
}

static void assert_name(const char *path, size_t i, const char *camera, const char *expected)
{
    struct output o = parsed(path, OUTPUT_AUTO);
    char *name = output_name(&o, i, camera);
    assert_string_equal(name, expected);
    free(name);
}

static void formats_follow_names(void **state)
{
    (void)state;
    assert_int_equal(parsed("a.mp4", OUTPUT_AUTO).format, OUTPUT_VIDEO);
    assert_int_equal(parsed("A.WEBM", OUTPUT_AUTO).format, OUTPUT_VIDEO);
    assert_int_equal(parsed("a.png", OUTPUT_AUTO).format, OUTPUT_PNG);
    assert_int_equal(parsed("x/", OUTPUT_AUTO).format, OUTPUT_PNG);
    assert_int_equal(parsed("x/", OUTPUT_NPY).format, OUTPUT_NPY);
    assert_int_equal(parsed("a.npy", OUTPUT_AUTO).format, OUTPUT_NPY);
    assert_true(parsed("-", OUTPUT_Y4M).to_stdout);
    assert_true(parsed("f%03d.png", OUTPUT_AUTO).numbered);
}

static void sequences_are_numbered_or_named(void **state)
{
    (void)state;
    assert_name("a.png", 3, "front", "a.png");
    assert_name("f_%04d.png", 7, "front", "f_0007.png");
    assert_name("f%d.npy", 12, NULL, "f12.npy");
    assert_name("100%%_%02d.png", 5, NULL, "100%_05.png");
    assert_name("out/", 2, NULL, "out/frame_0002.png");
    assert_name("out/", 2, "sub/view 1.JPG", "out/sub_view 1.png");
    assert_name("out/", 2, "../../etc", "out/_._.._etc.png");
}

static void rejects_bad_output_names(void **state)
{
    (void)state;
    struct output o;
    assert_fails(output_parse(&o, "", OUTPUT_AUTO), FV_EINVALID, "empty");
    assert_fails(output_parse(&o, "a.xyz", OUTPUT_AUTO), FV_EUNSUPPORTED, "name it .mp4");
    assert_fails(output_parse(&o, "-", OUTPUT_AUTO), FV_EINVALID, "y4m, raw, png or npy");
    assert_fails(output_parse(&o, "a%d_%d.png", OUTPUT_AUTO), FV_EINVALID, "number once");
    assert_fails(output_parse(&o, "a%s.png", OUTPUT_AUTO), FV_EINVALID, "number once");
    assert_fails(output_parse(&o, "a%n%d.png", OUTPUT_AUTO), FV_EINVALID, "number once");
    assert_fails(output_parse(&o, "a%999d.png", OUTPUT_AUTO), FV_EINVALID, "number once");
    assert_fails(output_parse(&o, "/tmp", OUTPUT_VIDEO), FV_EINVALID, "is a folder");
}

/* ---- pictures ---- */

static void png_round_trip_with_text(void **state)
{
    (void)state;
    enum { W = 33, H = 17 };
    uint8_t pixels[W * H * 4];
    uint64_t seed = 3;
    const char *path = test_tmp_path("a.png");
    const char *text[] = {"Software", "fovea", "Comment", "{\"a\":1}", NULL};
    for (uint32_t channels = 1; channels <= 4; channels += channels == 1 ? 2 : 1) {
        struct image i;
        size_t size, n = (size_t)W * H * channels;
        for (size_t k = 0; k < n; k++)
            pixels[k] = (uint8_t)test_rand(&seed);
        assert_ok(image_save_png(path, pixels, W, H, channels, text));
        assert_ok(image_load(&i, path));
        assert_int_equal(i.width, W);
        assert_int_equal(i.height, H);
        assert_int_equal(i.channels, channels);
        for (size_t k = 0; k < n; k++)
            assert_near(i.data[k], pixels[k] / 255.0, 1e-6);
        image_finish(&i);
        char *data = test_read_file(path, &size);
        assert_non_null(memmem(data, size, "tEXtComment\0{\"a\":1}", 19));
        free(data);
    }
}

static void npy_round_trip(void **state)
{
    (void)state;
    float pixels[5 * 4 * 3];
    struct image i;
    const char *path = test_tmp_path("a.npy");
    for (int k = 0; k < 60; k++)
        pixels[k] = (float)k * 0.37f - 3;
    assert_ok(image_save_npy(path, pixels, 4, 5, 3));
    assert_ok(image_load(&i, path));
    assert_int_equal(i.height, 5);
    assert_int_equal(i.channels, 3);
    assert_memory_equal(i.data, pixels, sizeof pixels);
    image_finish(&i);
    assert_ok(image_save_npy(path, pixels, 4, 5, 1));
    assert_ok(image_load(&i, path));
    assert_int_equal(i.channels, 1);
    image_finish(&i);
}

static void rejects_bad_pictures(void **state)
{
    (void)state;
    struct image i;
    float row[6] = {0};
    test_write_file(test_tmp_path("bad.png"), "\x89PNG\r\n\x1a\njunk", 12);
    assert_fails(image_load(&i, test_tmp_path("bad.png")), FV_EFORMAT, "bad.png");
    test_write_file(test_tmp_path("zero.png"), "", 0);
    assert_fails(image_load(&i, test_tmp_path("zero.png")), FV_EFORMAT, "empty");
    assert_fails(image_load(&i, test_tmp_path("none.png")), FV_EIO, "none.png");
    assert_ok(image_save_npy(test_tmp_path("two.npy"), row, 3, 1, 2));
    assert_fails(image_load(&i, test_tmp_path("two.npy")), FV_EFORMAT, "not a picture");
}

static double pixel(const struct image *i, uint32_t x, uint32_t y, uint32_t c)
{
    return i->data[((size_t)y * i->width + x) * i->channels + c];
}

static void heat_map_shows_where(void **state)
{
    (void)state;
    static float values[200 * 50];
    struct image i;
    values[20 * 200 + 150] = 0.5f;
    assert_ok(plot_heat(test_tmp_path("heat.png"), values, 200, 50, 0));
    assert_ok(image_load(&i, test_tmp_path("heat.png")));
    assert_int_equal(i.width, 200);
    assert_true(pixel(&i, 150, 20, 0) > 0.9 && pixel(&i, 150, 20, 1) > 0.9);
    assert_true(pixel(&i, 149, 20, 0) < 0.05);
    image_finish(&i);
}

static void plots_draw_their_curve(void **state)
{
    (void)state;
    double y[5] = {1, 2, INFINITY, NAN, 4};
    struct image i;
    struct plot_series s[2] = {{"rising", y, 5}, {"one", y, 1}};
    assert_ok(plot_lines(test_tmp_path("plot.png"), "title", s, 2));
    assert_ok(image_load(&i, test_tmp_path("plot.png")));
    size_t blue = 0;
    for (uint32_t p = 0; p < i.width * i.height; p++)
        blue += i.data[3 * p + 2] > i.data[3 * p] + 0.3f;
    assert_in_range(blue, 200, 20000);
    image_finish(&i);
}

/* ---- sink ---- */

static void sink_writes_pictures_of_any_size(void **state)
{
    (void)state;
    struct sink *s;
    struct sink_stats stats;
    uint8_t *rgba = calloc(64 * 64, 4);
    assert_ok(sink_open(&s, &(struct sink_opts){.format = OUTPUT_PNG, .output = GS_OUT_RGBA8}));
    for (uint32_t i = 0; i < 20; i++) {
        char name[32];
        snprintf(name, sizeof name, "s%02u.png", i);
        memset(rgba, (int)(10 * i), 64 * 64 * 4);
        assert_ok(sink_push(s, test_tmp_path(name), 40 + i, 30, rgba, (40 + i) * 30 * 4));
    }
    assert_ok(sink_finish(&s, true, &stats));
    assert_int_equal(stats.frames, 20);
    assert_null(stats.kept);
    sink_stats_finish(&stats);
    for (uint32_t i = 0; i < 20; i++) {
        char name[32];
        struct image p;
        snprintf(name, sizeof name, "s%02u.png", i);
        assert_ok(image_load(&p, test_tmp_path(name)));
        assert_int_equal(p.width, 40 + i);
        assert_int_equal(p.channels, 3);
        assert_near(p.data[0], 10 * i / 255.0, 1e-6);
        image_finish(&p);
    }
    free(rgba);
}

static void sink_reports_a_workers_failure(void **state)
{
    (void)state;
    struct sink *s;
    struct sink_stats stats;
    static float pixels[12];
    assert_ok(sink_open(&s, &(struct sink_opts){.format = OUTPUT_NPY, .output = GS_OUT_RGB_F32}));
    int rc = 0;
    for (int i = 0; i < 100 && rc >= 0; i++)
        rc = sink_push(s, test_tmp_path("no/such/folder.npy"), 2, 2, pixels, sizeof pixels);
    assert_int_equal(rc, FV_EIO);
    assert_fails(sink_finish(&s, true, &stats), FV_EIO, "folder.npy");
    assert_int_equal(stats.frames, 0);
    assert_null(s);
}

static void sink_rejects_a_wrong_frame(void **state)
{
    (void)state;
    struct sink *s;
    uint8_t bytes[100] = {0};
    assert_ok(sink_open(&s, &(struct sink_opts){.format = OUTPUT_PNG, .output = GS_OUT_RGBA8}));
    assert_fails(sink_push(s, "x.png", 5, 6, bytes, 100), FV_EINVALID, "100 bytes");
    assert_ok(sink_finish(&s, true, NULL));
}

static struct sink_opts y4m_opts(const char *path)
{
    return (struct sink_opts){.format = OUTPUT_Y4M,
                              .path = path,
                              .output = GS_OUT_YUV420P,
                              .width = 16,
                              .height = 8,
                              .fps_num = 25,
                              .fps_den = 1};
}

static void y4m_has_header_and_frames(void **state)
{
    (void)state;
    struct sink *s;
    struct sink_stats stats;
    uint8_t planes[16 * 8 * 3 / 2];
    const char *path = test_tmp_path("a.y4m");
    struct sink_opts o = y4m_opts(path);
    memset(planes, 100, sizeof planes);
    assert_ok(sink_open(&s, &o));
    for (int i = 0; i < 3; i++)
        assert_ok(sink_push(s, NULL, 16, 8, planes, sizeof planes));
    assert_ok(sink_finish(&s, true, &stats));
    assert_string_equal(stats.kept, path);
    sink_stats_finish(&stats);
    size_t size;
    char *data = test_read_file(path, &size);
    static const char head[] = "YUV4MPEG2 W16 H8 F25:1 Ip A1:1 C420jpeg XCOLORRANGE=LIMITED XFOVEA=BT709\n";
    assert_true(size > sizeof head - 1 + 6);
    assert_memory_equal(data, head, sizeof head - 1);
    assert_memory_equal(data + sizeof head - 1, "FRAME\n", 6);
    assert_int_equal(size, sizeof head - 1 + 3 * (6 + sizeof planes));
    free(data);
    struct video_in *in;
    float rgb[16 * 8 * 3];
    assert_ok(video_in_open(&in, path));
    int n = 0;
    while (video_in_read(in, rgb) == 1)
        n++;
    assert_int_equal(n, 3);
    video_in_close(&in);
}

static void incomplete_y4m_is_kept_aside(void **state)
{
    (void)state;
    struct sink *s;
    struct sink_stats stats;
    uint8_t planes[16 * 8 * 3 / 2] = {0};
    const char *path = test_tmp_path("old.y4m");
    struct sink_opts o = y4m_opts(path);
    test_write_file(path, "precious", 8);
    assert_ok(sink_open(&s, &o));
    assert_ok(sink_push(s, NULL, 16, 8, planes, sizeof planes));
    assert_ok(sink_finish(&s, false, &stats));
    assert_string_equal(stats.kept, test_tmp_path("old.partial.y4m"));
    sink_stats_finish(&stats);
    size_t size;
    free(test_read_file(path, &size));
    assert_int_equal(size, 8);
    o.width = 15;
    assert_fails(sink_open(&s, &o), FV_EINVALID, "use 16x8");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_follow_names),
        cmocka_unit_test(sequences_are_numbered_or_named),
        cmocka_unit_test(rejects_bad_output_names),
        cmocka_unit_test(png_round_trip_with_text),
        cmocka_unit_test(npy_round_trip),
        cmocka_unit_test(rejects_bad_pictures),
        cmocka_unit_test(heat_map_shows_where),
        cmocka_unit_test(plots_draw_their_curve),
        cmocka_unit_test(sink_writes_pictures_of_any_size),
        cmocka_unit_test(sink_reports_a_workers_failure),
        cmocka_unit_test(sink_rejects_a_wrong_frame),
        cmocka_unit_test(y4m_has_header_and_frames),
        cmocka_unit_test(incomplete_y4m_is_kept_aside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
