/* Which camera draws which frame, in which size. */
#include "support/test.h"
#include "app/shots.h"

static const char list_json[] =
    "[{\"name\":\"a\",\"width\":64,\"height\":48,\"fx\":50,\"fy\":50,\"cx\":32,\"cy\":24,"
    "\"viewmat\":[[1,0,0,0],[0,1,0,0],[0,0,1,5],[0,0,0,1]]},"
    "{\"name\":\"b\",\"width\":32,\"height\":32,\"fx\":50,\"fy\":50,\"cx\":16,\"cy\":16,"
    "\"viewmat\":[[1,0,0,1],[0,1,0,0],[0,0,1,5],[0,0,0,1]]},"
    "{\"name\":\"c\",\"width\":64,\"height\":48,\"fx\":50,\"fy\":50,\"cx\":32,\"cy\":24,"
    "\"viewmat\":[[1,0,0,2],[0,1,0,0],[0,0,1,5],[0,0,0,1]]}]";

static const char *list_file(void)
{
    const char *path = test_tmp_path("cameras.json");
    test_write_file(path, list_json, sizeof list_json - 1);
    return path;
}

static void list_gives_one_frame_each(void **state)
{
    (void)state;
    struct shots s;
    struct gs_camera c;
    assert_ok(shots_open(&s, &(struct shots_opts){.file = list_file(), .several = true}));
    assert_int_equal(s.count, 3);
    assert_int_equal(s.width, 0);
    assert_ok(shots_camera(&s, 1, &c));
    assert_int_equal(c.width, 32);
    assert_near(c.view[3], 1, 0);
    assert_string_equal(shots_name(&s, 2), "c");
    shots_finish(&s);
}

static void video_has_one_size(void **state)
{
    (void)state;
    struct shots s;
    struct gs_camera c;
    struct shots_opts o = {.file = list_file(), .several = true, .same_size = true};
    assert_ok(shots_open(&s, &o));
    assert_ok(shots_camera(&s, 1, &c));
    assert_int_equal(c.width, 64);
    assert_int_equal(c.height, 48);
    shots_finish(&s);
}

static void frames_make_a_path_of_a_list(void **state)
{
    (void)state;
    struct shots s;
    struct gs_camera c;
    struct shots_opts o = {.file = list_file(), .several = true, .same_size = true, .frames = 9};
    assert_ok(shots_open(&s, &o));
    assert_int_equal(s.kind, SHOTS_PATH);
    assert_int_equal(s.count, 9);
    assert_ok(shots_camera(&s, 0, &c));
    assert_near(c.view[3], 0, 1e-9);
    assert_ok(shots_camera(&s, 2, &c));
    assert_near(c.view[3], 0.5, 0.1);
    assert_ok(shots_camera(&s, 8, &c));
    assert_near(c.view[3], 2, 1e-9);
    shots_finish(&s);
}

static void one_picture_is_the_first_or_the_named(void **state)
{
    (void)state;
    struct shots s;
    struct gs_camera c;
    assert_ok(shots_open(&s, &(struct shots_opts){.file = list_file()}));
    assert_int_equal(s.count, 1);
    assert_ok(shots_camera(&s, 0, &c));
    assert_string_equal(c.name, "a");
    shots_finish(&s);
    assert_ok(shots_open(&s, &(struct shots_opts){.file = list_file(), .camera = "c"}));
    assert_ok(shots_camera(&s, 0, &c));
    assert_near(c.view[3], 2, 0);
    shots_finish(&s);
    assert_ok(
        shots_open(&s, &(struct shots_opts){.file = list_file(), .camera = "1", .several = true}));
    assert_int_equal(s.count, 1);
    shots_finish(&s);
    assert_fails(shots_open(&s, &(struct shots_opts){.file = list_file(), .camera = "zz"}),
                 FV_EINVALID, "zz");
}

static void one_camera_stands_still(void **state)
{
    (void)state;
    struct shots s;
    struct gs_camera c;
    assert_ok(shots_open(
        &s,
        &(struct shots_opts){.file = list_file(), .camera = "b", .several = true, .frames = 5}));
    assert_int_equal(s.count, 5);
    for (size_t i = 0; i < s.count; i++) {
        assert_ok(shots_camera(&s, i, &c));
        assert_near(c.view[3], 1, 1e-12);
        assert_int_equal(c.width, 32);
    }
    shots_finish(&s);
}

static void orbit_goes_once_around(void **state)
{
    (void)state;
    struct shots s;
    struct gs_camera c;
    struct gs_scene scene;
    assert_ok(gs_scene_alloc(&scene, 4, 0));
    memset(scene.position, 0, 12 * sizeof(float));
    scene.position[0] = 1;
    scene.position[4] = -1;
    assert_ok(shots_open(&s, &(struct shots_opts){.several = true, .fps = {true, 10, 1}}));
    assert_int_equal(s.count, 40);
    assert_int_equal(s.width, 1280);
    shots_place(&s, &scene);
    double first[3], half[3];
    assert_ok(shots_camera(&s, 0, &c));
    gs_camera_centre(&c, first);
    assert_ok(shots_camera(&s, 20, &c));
    gs_camera_centre(&c, half);
    double d = hypot(half[0] - first[0], half[2] - first[2]);
    assert_true(d > 0.5 && fabs(half[1] - first[1]) < 1e-6 * d);
    shots_finish(&s);
    gs_scene_finish(&scene);
}

static void lengths_by_seconds_and_rate(void **state)
{
    (void)state;
    struct shots s;
    struct shots_opts o = {.several = true, .seconds = 2.5, .fps = {true, 30000, 1001}};
    assert_ok(shots_open(&s, &o));
    assert_int_equal(s.count, 75);
    shots_finish(&s);
    o.seconds = 1e9;
    assert_fails(shots_open(&s, &o), FV_EINVALID, "too many");
}

static void rejects_sizes_out_of_range(void **state)
{
    (void)state;
    struct shots s;
    static const char zero[] =
        "[{\"name\":\"z\",\"width\":0,\"height\":48,\"fx\":5,\"fy\":5,\"cx\":1,\"cy\":1,"
        "\"viewmat\":[[1,0,0,0],[0,1,0,0],[0,0,1,5],[0,0,0,1]]}]";
    assert_fails(shots_open(&s, &(struct shots_opts){.size = {true, 0, 10}}), FV_EINVALID,
                 "--size: 0x10");
    assert_fails(shots_open(&s, &(struct shots_opts){.size = {true, 100, 100000}}), FV_EINVALID,
                 "--size: 100x100000");
    test_write_file(test_tmp_path("zero.json"), zero, sizeof zero - 1);
    assert_true(shots_open(&s, &(struct shots_opts){.file = test_tmp_path("zero.json")}) < 0);
    assert_non_null(strstr(fv_error(), "zero.json"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(list_gives_one_frame_each),
        cmocka_unit_test(video_has_one_size),
        cmocka_unit_test(frames_make_a_path_of_a_list),
        cmocka_unit_test(one_picture_is_the_first_or_the_named),
        cmocka_unit_test(one_camera_stands_still),
        cmocka_unit_test(orbit_goes_once_around),
        cmocka_unit_test(lengths_by_seconds_and_rate),
        cmocka_unit_test(rejects_sizes_out_of_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
