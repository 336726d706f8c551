/* Every camera form against the golden matrices, and malformed files by name. */
#include "support/test.h"
#include "gs/camera.h"
#include "vk/base/json.h"
#include "vk/base/npy.h"

#include <sys/stat.h>

static const struct gs_camera_hints no_hints;

/* ---- golden ---- */

static double fov(double size, double focal)
{
    return 2 * atan(size / (2 * focal));
}

/* One camera of an expected.json. Its matrices are transposed (row vectors) and float32. */
static void compare_camera(struct fv_json *doc, struct fv_node n, const struct gs_camera *c)
{
    double view[16], full[16], proj[16] = {0}, centre[3], got[3];
    assert_int_equal(c->width, fv_json_int(doc, n, "width", 1, 65536));
    assert_int_equal(c->height, fv_json_int(doc, n, "height", 1, 65536));
    assert_near(fov(c->width, c->fx), fv_json_number(doc, n, "FovX"), 1e-9);
    assert_near(fov(c->height, c->fy), fv_json_number(doc, n, "FovY"), 1e-9);
    if (fv_node_has(n, "focal_x")) {
        assert_near(c->fx, fv_json_number(doc, n, "focal_x"), 1e-9);
        assert_near(c->fy, fv_json_number(doc, n, "focal_y"), 1e-9);
    }
    if (fv_node_has(n, "znear")) {
        assert_near(c->near, fv_json_number(doc, n, "znear"), 1e-12);
        assert_near(c->far, fv_json_number(doc, n, "zfar"), 1e-12);
    }
    fv_json_numbers(doc, fv_json_array(doc, n, "world_view_transform"), view, 16);
    fv_json_numbers(doc, fv_json_array(doc, n, "full_proj_transform"), full, 16);
    fv_json_numbers(doc, fv_json_array(doc, n, "camera_center"), centre, 3);
    if (doc->failed)
        fail_msg("%s", fv_error());
    /* INRIA's projection, principal point in the middle, znear 0.01, zfar 100 */
    proj[0] = 2 * c->fx / c->width;
    proj[5] = 2 * c->fy / c->height;
    proj[10] = 100 / (100 - 0.01);
    proj[11] = -100 * 0.01 / (100 - 0.01);
    proj[14] = 1;
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            double sum = 0;
            for (int k = 0; k < 4; k++)
                sum += proj[4 * i + k] * c->view[4 * k + j];
            assert_near(c->view[4 * i + j], view[4 * j + i], 1e-6);
            assert_near(sum, full[4 * j + i], 2e-6);
        }
    gs_camera_centre(c, got);
    for (int k = 0; k < 3; k++)
        assert_near(got[k], centre[k], 2e-6);
}

static void compare_all(const struct gs_cameras *c, const char *expected, const char *key)
{
    struct fv_json doc;
    assert_ok(fv_json_open(&doc, expected));
    struct fv_node list = fv_json_array(&doc, doc.root, key);
    assert_int_equal(c->count, fv_node_count(list));
    for (size_t i = 0; i < c->count; i++) {
        struct fv_node n = fv_node_at(list, i);
        const char *name = fv_json_string_or(&doc, n, "image_name", NULL);
        if (name) /* INRIA's name is the file's without folder and extension */
            assert_int_equal(gs_cameras_find(c, name), (int)i);
        compare_camera(&doc, n, &c->items[i]);
    }
    fv_json_close(&doc);
}

/* A golden path that stays valid; skips the test when the file is absent. */
static const char *golden(const char *name)
{
    static char paths[4][512];
    static int at;
    const char *found = test_golden(name);
    if (!found)
        skip();
    char *path = paths[at++ % 4];
    snprintf(path, 512, "%s", found);
    return path;
}

static void colmap_binary_is_golden(void **state)
{
    (void)state;
    const char *expected = golden("06_cameras/colmap/expected.json");
    static const char *const paths[] = {"06_cameras/colmap", "06_cameras/colmap/sparse",
                                        "06_cameras/colmap/sparse/0",
                                        "06_cameras/colmap/sparse/0/images.bin"};
    for (int i = 0; i < 4; i++) {
        if (i == 1) /* sparse itself holds no model */
            continue;
        struct gs_cameras c;
        assert_ok(gs_cameras_load(&c, golden(paths[i]), NULL));
        assert_int_equal(c.format, GS_CAMERAS_COLMAP);
        compare_all(&c, expected, "cameras_sorted_by_name");
        /* camera 2 is a SIMPLE_PINHOLE off the centre, which INRIA's loader leaves out */
        assert_near(c.items[1].cx, 31.5, 0);
        assert_near(c.items[1].cy, 24.5, 0);
        assert_string_equal(c.items[0].name, "view_000.png");
        gs_cameras_finish(&c);
    }
}

static void copy(const char *dir, const char *name, const char *from)
{
    char path[600];
    size_t size;
    void *data = test_read_file(from, &size);
    snprintf(path, sizeof path, "%s/%s", dir, name);
    test_write_file(path, data, size);
    free(data);
}

static void colmap_text_is_golden(void **state)
{
    (void)state;
    const char *expected = golden("06_cameras/colmap/expected.json"), *dir = test_tmp_path("text");
    mkdir(dir, 0755);
    copy(dir, "cameras.txt", golden("06_cameras/colmap/sparse/0/cameras.txt"));
    copy(dir, "images.txt", golden("06_cameras/colmap/sparse/0/images.txt"));
    struct gs_cameras c, binary;
    assert_ok(gs_cameras_load(&c, dir, NULL));
    compare_all(&c, expected, "cameras_sorted_by_name");
    assert_ok(gs_cameras_load(&binary, golden("06_cameras/colmap"), NULL));
    for (size_t i = 0; i < c.count; i++)
        assert_memory_equal(&c.items[i], &binary.items[i], sizeof *c.items);
    gs_cameras_finish(&c);
    gs_cameras_finish(&binary);
}

static void transforms_is_golden(void **state)
{
    (void)state;
    const char *expected = golden("06_cameras/transforms/expected.json");
    struct gs_cameras c;
    assert_ok(gs_cameras_load(&c, golden("06_cameras/transforms/transforms_train.json"), NULL));
    assert_int_equal(c.format, GS_CAMERAS_TRANSFORMS);
    compare_all(&c, expected, "train");
    assert_string_equal(c.items[0].name, "train/r_0");
    gs_cameras_finish(&c);
    assert_ok(gs_cameras_load(&c, golden("06_cameras/transforms/transforms_test.json"), NULL));
    compare_all(&c, expected, "test");
    gs_cameras_finish(&c);
    assert_ok(gs_cameras_load(&c, golden("06_cameras/transforms"), NULL));
    compare_all(&c, expected, "train");
    gs_cameras_finish(&c);
}

static void poses_bounds_is_golden(void **state)
{
    (void)state;
    const char *expected = golden("06_cameras/poses_bounds/expected.json");
    struct gs_cameras c;
    assert_ok(gs_cameras_load(&c, golden("06_cameras/poses_bounds"), NULL));
    assert_int_equal(c.format, GS_CAMERAS_LLFF);
    for (size_t i = 0; i < c.count; i++)
        gs_camera_resize(&c.items[i], 1352, 1014);
    compare_all(&c, expected, "cameras");
    gs_cameras_finish(&c);
}

/* ---- forms by hand ---- */

static void load_text(struct gs_cameras *c, const char *text)
{
    assert_ok(gs_cameras_parse(c, text, strlen(text), "t.json", &no_hints));
}

static void assert_centre(const struct gs_camera *c, double x, double y, double z)
{
    double p[3];
    gs_camera_centre(c, p);
    assert_near(p[0], x, 1e-9);
    assert_near(p[1], y, 1e-9);
    assert_near(p[2], z, 1e-9);
}

static void reads_and_writes_the_plain_list(void **state)
{
    (void)state;
    struct gs_cameras c, back;
    load_text(&c,
              "[{\"name\": \"a\", \"width\": 64, \"height\": 48, \"fx\": 50, \"fy\": 51,"
              "\"cx\": 30, \"cy\": 20, \"viewmat\": [[0,0,1,5],[0,1,0,-1],[-1,0,0,2],[0,0,0,1]],"
              "\"bg\": [0, 0.5, 1], \"near\": 0.2, \"far\": 1e10},"
              "{\"width\": 64, \"height\": 48, \"fx\": 50,"
              "\"viewmat\": [[1,0,0,0],[0,1,0,0],[0,0,1,0.1],[0,0,0,1]]}]");
    assert_int_equal(c.format, GS_CAMERAS_LIST);
    assert_false(c.is_path);
    assert_int_equal(c.count, 2);
    assert_centre(&c.items[0], 2, 1, -5);
    assert_true(c.items[0].has_bg && c.items[0].bg[1] == 0.5f);
    assert_near(c.items[0].far, 1e10, 0);
    assert_string_equal(c.items[1].name, "1");
    assert_near(c.items[1].fy, 50, 0);
    assert_near(c.items[1].cx, 32, 0);
    assert_false(c.items[1].has_bg);

    const char *path = test_tmp_path("list.json");
    assert_ok(gs_cameras_save_list(&c, path));
    assert_ok(gs_cameras_load(&back, path, NULL));
    assert_int_equal(back.count, 2);
    for (int i = 0; i < 2; i++)
        assert_memory_equal(&c.items[i], &back.items[i], sizeof *c.items);
    gs_cameras_finish(&back);
    gs_cameras_finish(&c);
}

static void reads_inria(void **state)
{
    (void)state;
    struct gs_cameras c;
    /* a quarter turn about y: the camera looks along world x */
    load_text(&c,
              "[{\"id\": 0, \"img_name\": \"DSC1\", \"width\": 100, \"height\": 80, \"position\":"
              "[1, 2, 3], \"rotation\": [[0,0,1],[0,1,0],[-1,0,0]], \"fy\": 90, \"fx\": 91}]");
    assert_int_equal(c.format, GS_CAMERAS_INRIA);
    assert_centre(&c.items[0], 1, 2, 3);
    const double *v = c.items[0].view; /* world (2,2,3) is one unit ahead */
    assert_near(v[8] * 2 + v[9] * 2 + v[10] * 3 + v[11], 1, 1e-12);
    assert_near(c.items[0].fx, 91, 0);
    assert_near(c.items[0].cx, 50, 0);
    assert_string_equal(c.items[0].name, "DSC1");
    gs_cameras_finish(&c);
}

#define POSE "\"transform_matrix\": [[1,0,0,1],[0,1,0,2],[0,0,1,3],[0,0,0,1]]"

static void transforms_intrinsics_per_frame(void **state)
{
    (void)state;
    struct gs_cameras c;
    load_text(&c,
              "{\"fl_x\": 100, \"fl_y\": 110, \"cx\": 33, \"cy\": 22, \"w\": 64, \"h\": 48,"
              "\"camera_model\": \"OPENCV\", \"k1\": 0, \"frames\": ["
              "{\"file_path\": \"./images/a.jpg\", " POSE "},"
              "{\"file_path\": \"b.jpg\", \"fl_x\": 200, \"fl_y\": 210, \"w\": 128, \"h\": 96,"
              "\"cx\": 60, \"cy\": 50, \"transform_matrix\": [[1,0,0,1],[0,1,0,2],[0,0,1,3]]}]}");
    assert_int_equal(c.count, 2);
    assert_string_equal(c.items[0].name, "images/a.jpg");
    assert_near(c.items[0].fx, 100, 0);
    assert_near(c.items[0].cy, 22, 0);
    assert_int_equal(c.items[1].width, 128);
    assert_near(c.items[1].fy, 210, 0);
    assert_near(c.items[1].cx, 60, 0);
    assert_centre(&c.items[0], 1, 2, 3);
    /* OpenGL's identity looks along -z with y up */
    const double want[12] = {1, 0, 0, -1, 0, -1, 0, 2, 0, 0, -1, 3};
    for (int k = 0; k < 12; k++)
        assert_near(c.items[0].view[k], want[k], 1e-12);
    gs_cameras_finish(&c);
}

static void transforms_angles(void **state)
{
    (void)state;
    struct gs_cameras c;
    load_text(&c, "{\"camera_angle_x\": 1, \"camera_angle_y\": 0.5, \"w\": 64, \"h\": 48,"
                  "\"frames\": [{" POSE "}, {\"camera_angle_x\": 0.7, \"fl_y\": 77, " POSE "}]}");
    assert_near(c.items[0].fx, 32 / tan(0.5), 1e-12);
    assert_near(c.items[0].fy, 24 / tan(0.25), 1e-12);
    assert_near(c.items[1].fx, 32 / tan(0.35), 1e-12);
    assert_near(c.items[1].fy, 77, 0);
    assert_string_equal(c.items[1].name, "1");
    gs_cameras_finish(&c);
    load_text(&c, "{\"camera_angle_x\": 1, \"w\": 64, \"h\": 48, \"frames\": [{" POSE "}]}");
    assert_near(c.items[0].fy, c.items[0].fx, 0);
    gs_cameras_finish(&c);
}

static void transforms_scaled_rotation(void **state)
{
    (void)state;
    struct gs_cameras c;
    load_text(&c, "{\"fl_x\": 9, \"w\": 64, \"h\": 48, \"frames\": [{\"transform_matrix\":"
                  "[[2,0,0,1],[0,2,0,2],[0,0,2,3],[0,0,0,1]]}]}");
    assert_centre(&c.items[0], 1, 2, 3);
    assert_near(c.items[0].view[0], 1, 1e-12);
    gs_cameras_finish(&c);
}

/* A JPEG's start of image, a comment segment and a baseline frame header of 640x480. */
static const uint8_t jpeg[] = {0xff, 0xd8, 0xff, 0xfe, 0,    4,    'h',  'i', 0xff, 0xff, 0xc0,
                               0,    11,   8,    0x01, 0xe0, 0x02, 0x80, 1,   1,    0x11, 0};

static void transforms_size_of_the_image_or_the_caller(void **state)
{
    (void)state;
    const char *text = "{\"camera_angle_x\": 1, \"frames\": [{\"file_path\": \"pic\", " POSE "}]}";
    const char *dir = test_tmp_path("sizes");
    char path[600];
    struct gs_cameras c;
    mkdir(dir, 0755);
    snprintf(path, sizeof path, "%s/transforms.json", dir);
    test_write_file(path, text, strlen(text));
    assert_ok(gs_cameras_load(&c, dir, NULL)); /* an angle needs no size */
    assert_int_equal(c.items[0].width, 1280);
    assert_int_equal(c.items[0].height, 720);
    assert_near(c.items[0].fx, 640 / tan(0.5), 1e-9);
    gs_cameras_finish(&c);
    assert_ok(gs_cameras_load(&c, dir, &(struct gs_cameras_opts){320, 200}));
    assert_int_equal(c.items[0].width, 320);
    gs_cameras_finish(&c);
    snprintf(path, sizeof path, "%s/pic.jpg", dir);
    test_write_file(path, jpeg, sizeof jpeg);
    assert_ok(gs_cameras_load(&c, dir, &(struct gs_cameras_opts){320, 200}));
    assert_int_equal(c.items[0].width, 640);
    assert_int_equal(c.items[0].height, 480);
    gs_cameras_finish(&c);
}

/* Every form that can leave the size out: the caller's is taken, twice the principal point
 * before that; without either a focal length in pixels means nothing. */
static void sizes_that_files_leave_out(void **state)
{
    (void)state;
#define LENS   "\"fx\": 50, \"fy\": 51, "
#define VIEW   "\"viewmat\": [[1,0,0,0],[0,1,0,0],[0,0,1,0],[0,0,0,1]]"
#define CENTRE "\"position\": [0,0,0], \"rotation\": [[1,0,0],[0,1,0],[0,0,1]]"
    static const char *const open[] = {"[{" LENS VIEW "}]", "[{" LENS CENTRE "}]",
                                       "{\"fl_x\": 50, \"fl_y\": 51, \"frames\": [{" POSE "}]}",
                                       "{\"camera_angle_x\": 0.6, \"frames\": [{\"fl_y\": 51, " POSE
                                       "}]}"};
    static const char *const centred[] = {
        "[{" LENS "\"cx\": 45, \"cy\": 30.5, " VIEW "}]",
        "{\"fl_x\": 50, \"cx\": 45, \"cy\": 30.5, \"frames\": [{" POSE "}]}"};
    const struct gs_camera_hints hints = {.width = 70, .height = 40};
    struct gs_cameras c;
    for (size_t i = 0; i < sizeof open / sizeof *open; i++) {
        assert_fails(gs_cameras_parse(&c, open[i], strlen(open[i]), "t", &no_hints), FV_EFORMAT,
                     "--size WxH");
        assert_null(c.items);
        assert_ok(gs_cameras_parse(&c, open[i], strlen(open[i]), "t", &hints));
        assert_int_equal(c.items[0].width, 70);
        assert_int_equal(c.items[0].height, 40);
        assert_near(c.items[0].fy, 51, 0);
        assert_near(c.items[0].cx, 35, 0);
        gs_cameras_finish(&c);
    }
    for (size_t i = 0; i < sizeof centred / sizeof *centred; i++)
        for (int k = 0; k < 2; k++) {
            assert_ok(
                gs_cameras_parse(&c, centred[i], strlen(centred[i]), "t", k ? &hints : &no_hints));
            assert_int_equal(c.items[0].width, 90);
            assert_int_equal(c.items[0].height, 61);
            assert_near(c.items[0].cx, 45, 0);
            gs_cameras_finish(&c);
        }
}

/* poses_bounds.npy of a tool that left H and W at 0. */
static void llff_without_a_size(void **state)
{
    (void)state;
    uint8_t file[128 + 17 * 8] = "\x93NUMPY\x01\x00\x76\x00{'descr': '<f8', "
                                 "'fortran_order': False, 'shape': (1, 17), }";
    double row[17] = {0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, -1, 0, 50, 1, 9};
    const struct gs_camera_hints hints = {.width = 70, .height = 40};
    struct gs_cameras c;
    memset(file + strlen((char *)file + 10) + 10, ' ', 128 - 10 - strlen((char *)file + 10));
    file[127] = '\n';
    memcpy(file + 128, row, sizeof row);
    assert_fails(gs_cameras_parse(&c, file, sizeof file, "p.npy", &no_hints), FV_EFORMAT,
                 "--size WxH");
    assert_ok(gs_cameras_parse(&c, file, sizeof file, "p.npy", &hints));
    assert_int_equal(c.items[0].width, 70);
    assert_int_equal(c.items[0].height, 40);
    assert_near(c.items[0].fx, 50, 0);
    gs_cameras_finish(&c);
    row[4] = 30; /* one of the two is damage, not absence */
    memcpy(file + 128, row, sizeof row);
    assert_fails(gs_cameras_parse(&c, file, sizeof file, "p.npy", &hints), FV_EFORMAT, "width 0");
}

static void image_sizes_are_bounded(void **state)
{
    (void)state;
    uint32_t w, h;
    assert_true(gs_image_size(jpeg, sizeof jpeg, &w, &h));
    for (size_t n = 0; n < sizeof jpeg - 1; n++)
        assert_false(gs_image_size(jpeg, n, &w, &h));
    const uint8_t png[24] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x01\0\0\0\0\x30";
    assert_true(gs_image_size(png, 24, &w, &h));
    assert_true(w == 256 && h == 48);
    assert_false(gs_image_size(png, 23, &w, &h));
}

static void nerfstudio_run_moves_the_cameras(void **state)
{
    (void)state;
    /* applied: x' = y, y' = -x, z' = z + 1 */
    const char *text = "{\"fl_x\": 50, \"w\": 64, \"h\": 48, \"applied_transform\":"
                       "[[0,1,0,0],[-1,0,0,0],[0,0,1,1]], \"frames\": [{" POSE "}]}";
    const char *run = "{\"transform\": [[1,0,0,10],[0,1,0,20],[0,0,1,30]], \"scale\": 0.5}";
    const char *dir = test_tmp_path("run");
    char path[600];
    struct gs_cameras c;
    mkdir(dir, 0755);
    snprintf(path, sizeof path, "%s/transforms.json", dir);
    test_write_file(path, text, strlen(text));
    assert_ok(gs_cameras_load(&c, path, NULL));
    assert_centre(&c.items[0], 1, 2, 3); /* alone: the pose as it stands */
    gs_cameras_finish(&c);
    snprintf(path, sizeof path, "%s/dataparser_transforms.json", dir);
    test_write_file(path, run, strlen(run));
    assert_ok(gs_cameras_load(&c, dir, NULL));
    /* (1,2,3) before applied_transform was (-2,1,2) */
    assert_centre(&c.items[0], 4, 10.5, 16);
    gs_cameras_finish(&c);
    test_write_file(path, "{\"scale\": 1}", 12);
    assert_fails(gs_cameras_load(&c, dir, NULL), FV_EFORMAT, "transform: expected a list");
}

static void reads_lines_of_numbers(void **state)
{
    (void)state;
    const char *text = "# eye rotation fov\n\n"
                       "1 2 3 1 0 0 0 1 0 0 0 1 1.0471976\r\n"
                       "1.535 -0.515 0.41 0 0 1 0 1 0 -1 0 0 1 # second";
    struct gs_cameras c;
    assert_ok(gs_cameras_parse(&c, text, strlen(text), "a.cams", &no_hints));
    assert_int_equal(c.count, 2);
    assert_int_equal(c.format, GS_CAMERAS_LIST);
    assert_int_equal(c.items[0].width, 1280);
    assert_int_equal(c.items[0].height, 720);
    assert_near(c.items[0].fx, 640 / tan(1.0471976 / 2), 1e-9);
    assert_near(c.items[0].fy, c.items[0].fx, 0);
    assert_centre(&c.items[0], 1, 2, 3);
    assert_centre(&c.items[1], 1.535, -0.515, 0.41);
    gs_cameras_finish(&c);
    struct gs_camera_hints small = {.width = 640, .height = 360};
    assert_ok(gs_cameras_parse(&c, text, strlen(text), "a.cams", &small));
    assert_near(c.items[0].fx, 320 / tan(1.0471976 / 2), 1e-9);
    gs_cameras_finish(&c);
}

static void finds_by_name_index_and_stem(void **state)
{
    (void)state;
    struct gs_camera items[3] = {{.name = "train/r_0.png"}, {.name = "0"}, {.name = "b.jpg"}};
    struct gs_cameras c = {.items = items, .count = 3}, none = {0};
    assert_int_equal(gs_cameras_find(&c, "train/r_0.png"), 0);
    assert_int_equal(gs_cameras_find(&c, "r_0"), 0);
    assert_int_equal(gs_cameras_find(&c, "0"), 1); /* a name before an index */
    assert_int_equal(gs_cameras_find(&c, "2"), 2);
    assert_int_equal(gs_cameras_find(&c, "b"), 2);
    assert_fails(gs_cameras_find(&c, "3"), FV_EINVALID, "no camera \"3\": there are 3");
    assert_fails(gs_cameras_find(&c, "-1"), FV_EINVALID, "no camera");
    assert_fails(gs_cameras_find(&none, "0"), FV_EINVALID, "there are none");
}

/* ---- malformed JSON ---- */

#define LIST(rest) "[{\"width\": 64, \"height\": 48, \"fx\": 50, " rest "}]"
#define EYE        "[[1,0,0,0],[0,1,0,0],[0,0,1,0],[0,0,0,1]]"
#define FRAMES(r)  "{\"fl_x\": 9, \"w\": 64, \"h\": 48, \"frames\": [{" r "}]}"
#define INRIA(r)   "[{\"width\": 64, \"height\": 48, \"fx\": 50, \"fy\": 50, " r "}]"

static void rejects_bad_json(void **state)
{
    (void)state;
    static const struct {
        const char *text, *part;
        int code;
    } rows[] = {
        {"", "empty file", 0},
        {"\n \n", "empty file", 0},
        {"{", "not valid JSON", 0},
        {"{}", "no cameras in this JSON", 0},
        {"[]", "no cameras in this JSON", 0},
        {"[1, 2]", "no cameras in this JSON", 0},
        {"{\"frames\": []}", "no cameras in it", 0},
        {"{\"frames\": 3}", "frames: expected a list, found a number", 0},
        {"{\"frames\": [7]}", "[0]", 0},
        /* list */
        {"[{\"viewmat\": " EYE "}]", "[0]: no width and height", 0},
        {"[{\"width\": 0, \"height\": 48, \"fx\": 50, \"viewmat\": " EYE "}]", "[0].width", 0},
        {"[{\"width\": 100000, \"height\": 48, \"fx\": 50, \"viewmat\": " EYE "}]", "1..65536", 0},
        {"[{\"width\": 6.5, \"height\": 48, \"fx\": 50, \"viewmat\": " EYE "}]", "whole number", 0},
        {"[{\"width\": \"64\", \"height\": 48, \"fx\": 50, \"viewmat\": " EYE "}]", "found text",
         0},
        {LIST("\"viewmat\": [1,2,3]"), "[0].viewmat: expected 16 numbers, found 3", 0},
        {LIST("\"viewmat\": \"eye\""), "[0].viewmat: expected a list of 16 numbers", 0},
        {LIST("\"viewmat\": [[1,0,0,0],[0,1,0,0],[0,0,1,null],[0,0,0,1]]"), "viewmat", 0},
        {LIST("\"viewmat\": [[1,0,0,1e999],[0,1,0,0],[0,0,1,0],[0,0,0,1]]"), "viewmat", 0},
        {LIST("\"viewmat\": [[0,0,0,0],[0,1,0,0],[0,0,1,0],[0,0,0,1]]"), "not a rotation", 0},
        {LIST("\"viewmat\": [[1,1,0,0],[0,1,0,0],[0,0,1,0],[0,0,0,1]]"), "not a rotation", 0},
        {LIST("\"viewmat\": [[-1,0,0,0],[0,1,0,0],[0,0,1,0],[0,0,0,1]]"), "mirrored", 0},
        {LIST("\"viewmat\": [[1,0,0,0],[0,1,0,0],[0,0,1,0],[1,2,3,1]]"), "transposed", 0},
        {LIST("\"bg\": [1, 2], \"viewmat\": " EYE), "[0].bg", 0},
        {LIST("\"fy\": -3, \"viewmat\": " EYE), "focal length", 0},
        {"[{\"viewmat\": " EYE ", \"width\": 4, \"height\": 4, \"fx\": 1}, 5]", "[1]: no width", 0},
        /* INRIA */
        {INRIA("\"rotation\": [[1,0,0],[0,1,0],[0,0,1]]"), "[0].position", 0},
        {INRIA("\"position\": [0,0,0], \"rotation\": [[1,0,0],[0,1,0],[1,1,0]]"), "singular", 0},
        {INRIA("\"position\": [0,0,0], \"rotation\": [[1,0,0],[0,1,0]]"), "expected 9 numbers", 0},
        {INRIA("\"position\": [0,0,0], \"rotation\": [[1,0,0],[0,1,0],[0,0,-1]]"), "mirrored", 0},
        {INRIA("\"img_name\": 4, \"position\": [0,0,0], \"rotation\": [1,0,0,0,1,0,0,0,1]"),
         "img_name: expected text", 0},
        /* transforms */
        {FRAMES("\"file_path\": \"a\""), "transform_matrix: expected a list, found nothing", 0},
        {FRAMES("\"transform_matrix\": [[1,0,0,0],[0,1,0,0],[0,0,0,0],[0,0,0,1]]"), "singular", 0},
        {FRAMES("\"transform_matrix\": [1, 2]"), "expected 16 numbers", 0},
        {FRAMES("\"transform_matrix\": [[1,2,0,0],[0,1,0,0],[0,0,1,0],[0,0,0,1]]"),
         "not a rotation", 0},
        {FRAMES("\"file_path\": 1, " POSE), "file_path: expected text", 0},
        {FRAMES("\"w\": -4, " POSE), "frames[0].w", 0},
        {FRAMES("\"camera_model\": \"OPENCV_FISHEYE\", " POSE), "not a pinhole", FV_EUNSUPPORTED},
        {"{\"w\": 64, \"h\": 48, \"frames\": [{" POSE "}]}", "no focal length", 0},
        {"{\"camera_angle_x\": 4, \"w\": 64, \"h\": 48, \"frames\": [{" POSE "}]}", "no focal", 0},
        {"{\"fl_x\": 9, \"frames\": [{\"file_path\": \"x.png\", " POSE "}]}", "--size WxH", 0},
        /* lines */
        {"hello", "not a camera file", 0},
        {"1 2 3 1 0 0 0 1 0 0 0 1", "line 1 is not 13 numbers", 0},
        {"1 2 3 1 0 0 0 1 0 0 0 1 1 1", "line 1 is not 13 numbers", 0},
        {"1 2 3 1 0 0 0 1 0 0 0 1 1\nx", "line 2 is not 13 numbers", 0},
        {"1 2 3 1 0 0 0 1 0 0 0 1 0", "field of view", 0},
        {"1 2 3 1 0 0 0 1 0 0 0 1 nan", "field of view", 0},
        {"1 2 nan 1 0 0 0 1 0 0 0 1 1", "not finite", 0},
        {"1 2 3 0 0 0 0 0 0 0 0 0 1", "not a rotation", 0},
        {"# nothing\n", "no cameras in it", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct gs_cameras c;
        assert_fails(gs_cameras_parse(&c, rows[i].text, strlen(rows[i].text), "bad", &no_hints),
                     rows[i].code ? rows[i].code : FV_EFORMAT, rows[i].part);
        assert_true(!strncmp(fv_error(), "bad: ", 5));
        assert_null(c.items);
    }
}

/* ---- malformed COLMAP and LLFF ---- */

struct bytes {
    uint8_t data[4096];
    size_t size;
};

static void put(struct bytes *b, const void *data, size_t size)
{
    assert_true(b->size + size <= sizeof b->data);
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

static void put_u64(struct bytes *b, uint64_t v)
{
    put(b, &v, 8);
}

static void put_i32(struct bytes *b, int32_t v)
{
    put(b, &v, 4);
}

static void put_camera(struct bytes *b, int32_t id, int32_t model, uint64_t w, const double *params,
                       int n)
{
    put_i32(b, id);
    put_i32(b, model);
    put_u64(b, w);
    put_u64(b, 48);
    put(b, params, (size_t)n * 8);
}

static void put_image(struct bytes *b, double qw, int32_t camera, const char *name, uint64_t points)
{
    const double pose[7] = {qw, 0, 0, 0, 1, 2, 3};
    const double zeros[3] = {0};
    put_i32(b, 1);
    put(b, pose, sizeof pose);
    put_i32(b, camera);
    put(b, name, strlen(name) + 1);
    put_u64(b, points);
    for (uint64_t i = 0; i < points && i < 8; i++)
        put(b, zeros, sizeof zeros);
}

static const double params[12] = {50, 60, 32, 24};

/* A good pair: camera 7 PINHOLE, images b (2 points) and a. */
static void good_model(struct bytes *cameras, struct bytes *images)
{
    cameras->size = images->size = 0;
    put_u64(cameras, 1);
    put_camera(cameras, 7, 1, 64, params, 4);
    put_u64(images, 2);
    put_image(images, 2, 7, "b.png", 2);
    put_image(images, 1, 7, "a.png", 0);
}

static int parse_model(struct gs_cameras *c, bool binary, const void *cameras, size_t cameras_size,
                       const void *images, size_t images_size)
{
    struct gs_colmap m = {.binary = binary,
                          .cameras = cameras,
                          .cameras_size = cameras_size,
                          .cameras_name = "cams",
                          .images = images,
                          .images_size = images_size,
                          .images_name = "imgs"};
    *c = (struct gs_cameras){0};
    int rc = gs_cameras_parse_colmap(c, &m);
    if (rc < 0)
        gs_cameras_finish(c);
    return rc;
}

static void colmap_binary_is_sorted_and_bounded(void **state)
{
    (void)state;
    static struct bytes cameras, images;
    struct gs_cameras c;
    good_model(&cameras, &images);
    assert_ok(parse_model(&c, true, cameras.data, cameras.size, images.data, images.size));
    assert_int_equal(c.count, 2);
    assert_string_equal(c.items[0].name, "a.png");
    assert_near(c.items[0].fy, 60, 0);
    assert_near(c.items[1].view[0], 1, 1e-12); /* the quaternion is normalised */
    gs_cameras_finish(&c);
    for (size_t n = 0; n < cameras.size; n++)
        assert_fails(parse_model(&c, true, cameras.data, n, images.data, images.size), FV_EFORMAT,
                     "cams: ");
    for (size_t n = 0; n < images.size; n++)
        assert_fails(parse_model(&c, true, cameras.data, cameras.size, images.data, n), FV_EFORMAT,
                     "imgs: ");
}

static void rejects_absurd_colmap_counts(void **state)
{
    (void)state;
    static struct bytes cameras, images;
    struct gs_cameras c;
    const uint64_t absurd[] = {3, 1ull << 32, UINT64_MAX};
    for (int i = 0; i < 3; i++) {
        good_model(&cameras, &images);
        memcpy(cameras.data, &absurd[i], 8);
        assert_fails(parse_model(&c, true, cameras.data, cameras.size, images.data, images.size),
                     FV_EFORMAT, "cams: ");
        good_model(&cameras, &images);
        memcpy(images.data, &absurd[i], 8);
        assert_fails(parse_model(&c, true, cameras.data, cameras.size, images.data, images.size),
                     FV_EFORMAT, "imgs: ");
        images.size = 0;
        put_u64(&images, 1);
        put_image(&images, 1, 7, "a", absurd[i] << 8);
        images.size -= 8 * 24; /* put_image wrote eight points of the many it counts */
        assert_fails(parse_model(&c, true, cameras.data, cameras.size, images.data, images.size),
                     FV_EFORMAT, "");
    }
}

static void rejects_bad_colmap(void **state)
{
    (void)state;
    static struct bytes cameras, images;
    struct gs_cameras c;
    const struct {
        int32_t id, model;
        uint64_t width;
        int n;
        double qw;
        int code;
        const char *part;
    } rows[] = {
        {7, 2, 64, 4, 1, FV_EUNSUPPORTED, "cams: camera 7 has the model SIMPLE_RADIAL"},
        {7, 4, 64, 8, 1, FV_EUNSUPPORTED, "OPENCV, which needs undistortion; run `colmap image_"},
        {7, 10, 64, 12, 1, FV_EUNSUPPORTED, "THIN_PRISM_FISHEYE"},
        {7, 11, 64, 4, 1, FV_EUNSUPPORTED, "unknown model number 11"},
        {7, -1, 64, 4, 1, FV_EUNSUPPORTED, "unknown model number -1"},
        {8, 1, 64, 4, 1, FV_EFORMAT, "imgs: image a.png names camera 7, which cams does not have"},
        {7, 1, 0, 4, 1, FV_EFORMAT, "camera 7: width"},
        {7, 1, 1ull << 40, 4, 1, FV_EFORMAT, "camera 7: width"},
        {7, 1, 64, 4, 0, FV_EFORMAT, "imgs: image a.png: rotation"},
        {7, 1, 64, 4, NAN, FV_EFORMAT, "imgs: image a.png: rotation"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cameras.size = images.size = 0;
        put_u64(&cameras, 1);
        put_camera(&cameras, rows[i].id, rows[i].model, rows[i].width, params, rows[i].n);
        put_u64(&images, 1);
        put_image(&images, rows[i].qw, 7, "a.png", 0);
        assert_fails(parse_model(&c, true, cameras.data, cameras.size, images.data, images.size),
                     rows[i].code, rows[i].part);
    }
}

static void rejects_bad_colmap_text(void **state)
{
    (void)state;
    static const char cams[] = "# list\n7 PINHOLE 64 48 50 60 32 24\n";
    static const char imgs[] = "1 1 0 0 0 1 2 3 7 a b.png\n\n2 1 0 0 0 1 2 3 7 a.png\n";
    struct gs_cameras c;
    assert_ok(parse_model(&c, false, cams, strlen(cams), imgs, strlen(imgs)));
    assert_int_equal(c.count, 2);
    assert_string_equal(c.items[0].name, "a b.png");
    assert_string_equal(c.items[1].name, "a.png");
    gs_cameras_finish(&c);
    static const struct {
        const char *cameras, *images;
        int code;
        const char *part;
    } rows[] = {
        {"x", imgs, FV_EFORMAT, "cams: line 1: no camera id"},
        {"7", imgs, FV_EUNSUPPORTED, "unknown model \"\""},
        {"7 PIN 64 48 1 2 3 4", imgs, FV_EUNSUPPORTED, "unknown model"},
        {"7 PINHOLE 64 48 1 2 3", imgs, FV_EFORMAT, "4 parameters of PINHOLE"},
        {"7 PINHOLE nan 48 1 2 3 4", imgs, FV_EFORMAT, "camera 7: width"},
        {"7 PINHOLE 64 1e9 1 2 3 4", imgs, FV_EFORMAT, "camera 7: width"},
        {"7 RADIAL 64 48 1 2 3 4 5", imgs, FV_EUNSUPPORTED, "camera 7 has the model RADIAL"},
        {"99999999999 PINHOLE 64 48 1 2 3 4", imgs, FV_EFORMAT, "no camera id"},
        {"", imgs, FV_EFORMAT, "names camera 7"},
        {cams, "1 1 0 0 0 1 2 3", FV_EFORMAT, "imgs: line 1: expected image id"},
        {cams, "1 1 0 0 0 1 2 three 7 a", FV_EFORMAT, "imgs: line 1: expected image id"},
        {cams, "1 1 0 0 0 1 2 3 7", FV_EFORMAT, "imgs: line 1: image 1 has no name"},
        {cams, "1 0 0 0 0 1 2 3 7 a", FV_EFORMAT, "rotation is zero"},
        {cams, "1 1 0 0 0 1 2 3 8 a", FV_EFORMAT, "image a names camera 8"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_fails(parse_model(&c, false, rows[i].cameras, strlen(rows[i].cameras),
                                 rows[i].images, strlen(rows[i].images)),
                     rows[i].code, rows[i].part);
}

/* poses_bounds.npy of one row, written to a file and read back into bytes. */
static void *llff(const double *row, const size_t *dims, size_t *size)
{
    static const char dict[] = "{'descr': '<f8', 'fortran_order': False, 'shape': (%zu, %zu), }";
    static struct bytes b;
    char text[128];
    int n = snprintf(text, sizeof text, dict, dims[0], dims[1]);
    b.size = 0;
    put(&b, "\x93NUMPY\x01\0", 8);
    put(&b, (uint8_t[]){(uint8_t)n, 0}, 2);
    put(&b, text, (size_t)n);
    put(&b, row, dims[0] * dims[1] * 8);
    *size = b.size;
    return b.data;
}

static void rejects_bad_poses_bounds(void **state)
{
    (void)state;
    const double good[17] = {0, 1, 0, 5, 48, 1, 0, 0, 6, 64, 0, 0, -1, 7, 50, 1, 9};
    size_t size, dims[2] = {1, 17};
    struct gs_cameras c;
    double row[34] = {0};
    const void *p = llff(good, dims, &size);
    assert_ok(gs_cameras_parse(&c, p, size, "poses.npy", &no_hints));
    assert_centre(&c.items[0], 5, 6, 7);
    assert_near(c.items[0].near, 1, 0);
    assert_string_equal(c.items[0].name, "cam00");
    gs_cameras_finish(&c);
    for (size_t n = 0; n < size; n++)
        assert_true(gs_cameras_parse(&c, p, n, "poses.npy", &no_hints) < 0);

    const struct {
        int at;
        double value;
        const char *part;
    } rows[] = {{0, NAN, "singular"},  {1, 0, "singular"},      {1, 3, "not a rotation"},
                {1, -1, "mirrored"},   {3, INFINITY, "finite"}, {4, 0, "height 0 and width 64"},
                {9, NAN, "width nan"}, {9, 1e9, "1..65536"},    {14, 0, "focal length"},
                {15, NAN, "bounds"},   {16, 0.5, "bounds"},     {15, -1, "bounds"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        memcpy(row, good, sizeof good);
        row[rows[i].at] = rows[i].value;
        p = llff(row, dims, &size);
        assert_fails(gs_cameras_parse(&c, p, size, "poses.npy", &no_hints), FV_EFORMAT,
                     rows[i].part);
    }
    p = llff(row, (size_t[]){2, 15}, &size);
    assert_fails(gs_cameras_parse(&c, p, size, "poses.npy", &no_hints), FV_EFORMAT, "N x 17");
    p = llff(row, (size_t[]){0, 17}, &size);
    assert_fails(gs_cameras_parse(&c, p, size, "poses.npy", &no_hints), FV_EFORMAT, "no cameras");
}

static void rejects_missing_files(void **state)
{
    (void)state;
    struct gs_cameras c;
    const char *dir = test_tmp_path("empty");
    mkdir(dir, 0755);
    assert_fails(gs_cameras_load(&c, test_tmp_path("none.json"), NULL), FV_EIO, "none.json");
    assert_fails(gs_cameras_load(&c, test_tmp_path("none/images.bin"), NULL), FV_EIO, "images.bin");
    assert_fails(gs_cameras_load(&c, dir, NULL), FV_EFORMAT, "no cameras in this folder");
    char path[600];
    snprintf(path, sizeof path, "%s/cameras.bin", dir);
    test_write_file(path, "", 0);
    assert_fails(gs_cameras_load(&c, path, NULL), FV_EIO, "images.bin");
    snprintf(path, sizeof path, "%s/images.bin", dir);
    test_write_file(path, "", 0);
    assert_fails(gs_cameras_load(&c, dir, NULL), FV_EFORMAT, "cameras.bin: too short");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(colmap_binary_is_golden),
        cmocka_unit_test(colmap_text_is_golden),
        cmocka_unit_test(transforms_is_golden),
        cmocka_unit_test(poses_bounds_is_golden),
        cmocka_unit_test(reads_and_writes_the_plain_list),
        cmocka_unit_test(reads_inria),
        cmocka_unit_test(transforms_intrinsics_per_frame),
        cmocka_unit_test(transforms_angles),
        cmocka_unit_test(transforms_scaled_rotation),
        cmocka_unit_test(transforms_size_of_the_image_or_the_caller),
        cmocka_unit_test(sizes_that_files_leave_out),
        cmocka_unit_test(llff_without_a_size),
        cmocka_unit_test(image_sizes_are_bounded),
        cmocka_unit_test(nerfstudio_run_moves_the_cameras),
        cmocka_unit_test(reads_lines_of_numbers),
        cmocka_unit_test(finds_by_name_index_and_stem),
        cmocka_unit_test(rejects_bad_json),
        cmocka_unit_test(colmap_binary_is_sorted_and_bounded),
        cmocka_unit_test(rejects_absurd_colmap_counts),
        cmocka_unit_test(rejects_bad_colmap),
        cmocka_unit_test(rejects_bad_colmap_text),
        cmocka_unit_test(rejects_bad_poses_bounds),
        cmocka_unit_test(rejects_missing_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
