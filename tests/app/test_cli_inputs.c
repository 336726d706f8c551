/* The real binary on files that leave things open: cameras without a picture size, .spz that
 * does not say whose axes it holds. Every command that reads them takes them alike. */
#include "support/test.h"
#include "app/image_io.h"
#include "gs/gs.h"
#include "vk/base/file.h"

#include <cjson/cJSON.h>
#include <sys/stat.h>

static const char *scene(void)
{
    const char *path = test_golden("01_forward/tiny50_sh3/scene.ply");
    if (!path)
        skip();
    return path;
}

/* A path in the test's folder that stays: test_tmp_path keeps only eight. */
struct path {
    char text[600];
};

static struct path in_tmp(const char *name)
{
    struct path p;
    snprintf(p.text, sizeof p.text, "%s", test_tmp_path(name));
    return p;
}

/* The file, made of one text. */
static struct path file_of(const char *name, const char *text)
{
    struct path p = in_tmp(name);
    test_write_file(p.text, text, strlen(text));
    return p;
}

static cJSON *info(const char *options)
{
    char *out;
    int rc = test_fovea(&out, "info --json %s", options);
    cJSON *o = rc ? NULL : cJSON_Parse(out);
    if (!o)
        fail_msg("info %s: %d: %s", options, rc, out);
    free(out);
    return o;
}

static void assert_size(const char *png, uint32_t width, uint32_t height)
{
    struct image i;
    assert_ok(image_load(&i, png));
    assert_int_equal(i.width, width);
    assert_int_equal(i.height, height);
    image_finish(&i);
}

/* An angle: 1280x720 unless a size is given. A focal length in pixels: only with a size. */
static void cameras_without_a_size(void **state)
{
    (void)state;
    static const char pose[] = "[[1,0,0,0],[0,-1,0,0],[0,0,-1,-5],[0,0,0,1]]";
    char text[300], line[600];
    snprintf(text, sizeof text, "{\"camera_angle_x\": 1, \"frames\": [{\"transform_matrix\": %s}]}",
             pose);
    struct path angle = file_of("angle.json", text), png = in_tmp("a.png");
    snprintf(text, sizeof text, "{\"fl_x\": 400, \"frames\": [{\"transform_matrix\": %s}]}", pose);
    struct path pixels = file_of("pixels.json", text);
    struct path inria = file_of("inria.json", "[{\"fx\": 400, \"fy\": 400, \"position\": [0,0,-5],"
                                              "\"rotation\": [[1,0,0],[0,1,0],[0,0,1]]}]");
    TEST_RUNS("render %s -c %s -o %s", scene(), angle.text, png.text);
    assert_size(png.text, 1280, 720);
    snprintf(line, sizeof line, "%s", angle.text);
    cJSON *o = info(line), *first = cJSON_GetArrayItem(cJSON_GetObjectItem(o, "list"), 0);
    assert_near(cJSON_GetObjectItem(first, "width")->valuedouble, 1280, 0);
    cJSON_Delete(o);

    const char *files[] = {pixels.text, inria.text};
    for (int i = 0; i < 2; i++) {
        const char *c = files[i];
        TEST_FAILS(1, "--size WxH", "info %s", c);
        snprintf(line, sizeof line, "%s --size 320x200", c);
        o = info(line);
        first = cJSON_GetArrayItem(cJSON_GetObjectItem(o, "list"), 0);
        assert_near(cJSON_GetObjectItem(first, "width")->valuedouble, 320, 0);
        assert_near(cJSON_GetObjectItem(first, "fx")->valuedouble, 400, 0);
        cJSON_Delete(o);
        TEST_FAILS(1, "--size WxH", "render %s -c %s -o %s", scene(), c, png.text);
        TEST_RUNS("render %s -c %s --size 320x200 -o %s", scene(), c, png.text);
        assert_size(png.text, 320, 200);
        TEST_FAILS(1, "--size WxH", "bench render %s -c %s -n 1", scene(), c);
        TEST_RUNS("bench render %s -c %s --size 64x40 -n 1", scene(), c);
    }
}

#ifdef FOVEA_VIEWER
static void viewer_cameras_without_a_size(void **state)
{
    (void)state;
    char *out;
    struct path c = file_of("v.json", "[{\"fx\": 400, \"fy\": 400, \"position\": [0,0,-5],"
                                      "\"rotation\": [[1,0,0],[0,1,0],[0,0,1]]}]");
    struct path view = in_tmp("view.png"), render = in_tmp("render.png");
    TEST_FAILS(1, "--size WxH", "view %s -c %s --headless --screenshot %s", scene(), c.text, view.text);
    TEST_RUNS("view %s -c %s --size 320x200 --headless --screenshot %s", scene(), c.text, view.text);
    TEST_RUNS("render %s -c %s --size 320x200 -o %s", scene(), c.text, render.text);
    assert_int_equal(test_fovea(&out, "compare %s %s --min-psnr 60", view.text, render.text), 0);
    free(out);
}
#endif

/* The objects of `info --json` are those of the plain list: they load as one. */
static void info_lists_what_the_camera_writer_writes(void **state)
{
    (void)state;
    const char *file = test_golden("01_forward/tiny50_sh3/cameras.json");
    struct gs_cameras a, b;
    if (!file)
        skip();
    cJSON *o = info(file), *list = cJSON_GetObjectItem(o, "list");
    char *text = cJSON_Print(list);
    struct path path = file_of("again.json", text);
    assert_ok(gs_cameras_load(&a, file, NULL));
    assert_ok(gs_cameras_load(&b, path.text, NULL));
    assert_true(a.count > 0 && a.items[0].has_bg);
    assert_int_equal(a.count, b.count);
    for (size_t i = 0; i < a.count; i++)
        for (int k = 0; k < 16; k++) /* to the last bit but one, as cJSON prints */
            assert_near(b.items[i].view[k], a.items[i].view[k], 1e-14 * fabs(a.items[i].view[k]));
    for (size_t i = 0; i < a.count; i++) { /* every member of the writer, and the centre */
        cJSON *ours = gs_camera_json(&a.items[i]), *theirs = cJSON_GetArrayItem(list, (int)i);
        for (cJSON *m = ours->child; m; m = m->next)
            assert_true(cJSON_Compare(m, cJSON_GetObjectItem(theirs, m->string), true));
        assert_non_null(cJSON_GetObjectItem(theirs, "centre"));
        cJSON_Delete(ours);
    }
    gs_cameras_finish(&a);
    gs_cameras_finish(&b);
    free(text);
    cJSON_Delete(o);
}

/* An .spz of scene.ply that holds the .ply's axes and does not say so: --spz-axes raw keeps
 * them; by default y and z come out negated. */
static void spz_axes(void **state)
{
    (void)state;
    char ply[600], spz[600], line[1400];
    if (!test_golden("03_formats/garden150_sh1/niantic_v3.spz"))
        skip();
    snprintf(spz, sizeof spz, "%s", test_golden("03_formats/garden150_sh1/niantic_v3.spz"));
    snprintf(ply, sizeof ply, "%s", test_golden("03_formats/garden150_sh1/scene.ply"));
    cJSON *want = info(ply), *turned = info(spz);
    snprintf(line, sizeof line, "--spz-axes raw %s", spz);
    cJSON *raw = info(line);
    for (int k = 0; k < 3; k++) {
        double lo = cJSON_GetArrayItem(cJSON_GetObjectItem(want, "min"), k)->valuedouble;
        double hi = cJSON_GetArrayItem(cJSON_GetObjectItem(want, "max"), k)->valuedouble;
        assert_near(cJSON_GetArrayItem(cJSON_GetObjectItem(raw, "min"), k)->valuedouble, lo, 1e-3);
        assert_near(cJSON_GetArrayItem(cJSON_GetObjectItem(turned, "min"), k)->valuedouble,
                    k ? -hi : lo, 1e-3);
    }
    assert_non_null(strstr(cJSON_GetObjectItem(turned, "detail")->valuestring, "unstated"));
    assert_non_null(strstr(cJSON_GetObjectItem(raw, "detail")->valuestring, "as stored"));
    cJSON_Delete(want);
    cJSON_Delete(turned);
    cJSON_Delete(raw);

    /* the same scene by every command: a .ply made with the option is the scene with it */
    struct path made = in_tmp("raw.ply");
    TEST_RUNS("convert --spz-axes raw %s -o %s", spz, made.text);
    TEST_RUNS("render --spz-axes raw %s -s 160x90 -o %s", spz, test_tmp_path("a.png"));
    TEST_RUNS("render %s -s 160x90 -o %s", made.text, test_tmp_path("b.png"));
    TEST_RUNS("render %s -s 160x90 -o %s", spz, test_tmp_path("c.png"));
    TEST_RUNS("compare %s %s --min-psnr 60", test_tmp_path("a.png"), test_tmp_path("b.png"));
    TEST_FAILS(1, "below", "compare %s %s --min-psnr 40", test_tmp_path("a.png"), test_tmp_path("c.png"));
    TEST_RUNS("bench render --spz-axes raw %s -s 64x64 -n 1", spz);
#ifdef FOVEA_VIEWER
    TEST_RUNS("view --spz-axes raw %s -s 160x90 --headless --screenshot %s", spz,
         test_tmp_path("d.png"));
    TEST_RUNS("view %s -s 160x90 --headless --screenshot %s", made.text, test_tmp_path("e.png"));
    TEST_RUNS("compare %s %s --min-psnr 60", test_tmp_path("d.png"), test_tmp_path("e.png"));
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cameras_without_a_size),
#ifdef FOVEA_VIEWER
        cmocka_unit_test(viewer_cameras_without_a_size),
#endif
        cmocka_unit_test(info_lists_what_the_camera_writer_writes),
        cmocka_unit_test(spz_axes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
