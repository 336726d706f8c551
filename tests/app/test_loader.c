/* Loading in the background: app/loader.h. */
#include "app/loader.h"
#include "support/neural.h"
#include "support/test.h"
#include "vk/base/thread.h"

#include <sys/stat.h>
#include <unistd.h>

static struct vk_device *dev;
static atomic_int woken;

static void wake(void)
{
    atomic_fetch_add(&woken, 1);
}

/* The loader's result: 1 or a negative code. */
static int finish(struct loader *l)
{
    struct fv_progress now;
    int rc;
    for (double until = fv_now() + 60; !(rc = loader_poll(l, &now)) && fv_now() < until;)
        usleep(2000);
    return rc;
}

static const char *golden_scene(void)
{
    return test_source("tests/golden/01_forward/tiny50_sh3/scene.ply");
}

/* A copy of the scene as dir/name in the temporary directory; with cameras.json if given. */
static const char *place(const char *dir, const char *name, const char *cameras)
{
    char path[600];
    size_t size;
    snprintf(path, sizeof path, "mkdir -p '%s'", test_tmp_path(dir));
    assert_int_equal(system(path), 0);
    if (cameras) {
        snprintf(path, sizeof path, "%s/cameras.json", test_tmp_path(dir));
        test_write_file(path, cameras, strlen(cameras));
    }
    void *data = test_read_file(golden_scene(), &size);
    snprintf(path, sizeof path, "%s/%s", dir, name);
    const char *out = test_tmp_path(path);
    test_write_file(out, data, size);
    free(data);
    return out;
}

static struct loaded *load(const char *path, const char *cameras)
{
    struct loader *l;
    assert_ok(loader_start(&l, dev, path, &(struct loader_opts){.cameras = cameras, .wake = wake}));
    int rc = finish(l);
    if (rc != 1)
        fail_msg("%d: %s", rc, fv_error());
    assert_string_equal(loader_name(l), fv_path_base(path));
    struct loaded *s = loader_take(l);
    assert_non_null(s);
    assert_null(loader_take(l));
    loader_destroy(&l);
    assert_null(l);
    return s;
}

static void loads_a_scene_and_tells(void **state)
{
    (void)state;
    atomic_store(&woken, 0);
    struct loaded *s = load(golden_scene(), NULL);
    assert_int_equal(s->info.count, 50);
    assert_int_equal(s->info.sh_degree, 3);
    assert_null(s->info.position);
    assert_non_null(s->gpu);
    assert_true(s->bounds.radius > 0);
    assert_true(s->file_bytes > 10000 && s->device_bytes > 5000);
    assert_int_equal(s->cameras.count, 3); /* the cameras.json beside it */
    assert_string_equal(s->notice, "");
    assert_true(atomic_load(&woken) > 0);
    loaded_destroy(&s);
    assert_null(s);
}

static void scenes_without_cameras_load_too(void **state)
{
    (void)state;
    struct loaded *s = load(place("bare", "a.ply", NULL), NULL);
    assert_int_equal(s->cameras.count, 0);
    assert_null(s->cameras_path);
    loaded_destroy(&s);
}

static void bad_cameras_beside_the_scene_are_only_noted(void **state)
{
    (void)state;
    struct loaded *s = load(place("odd", "a.ply", "[{\"width\": -3}]"), NULL);
    assert_int_equal(s->cameras.count, 0);
    assert_true(strstr(s->notice, "cameras.json") != NULL);
    loaded_destroy(&s);
}

static void training_folders_keep_their_cameras_above(void **state)
{
    (void)state;
    size_t size;
    char *cameras =
        test_read_file(test_source("tests/golden/01_forward/tiny50_sh3/cameras.json"), &size);
    place("run", "input.ply", cameras);
    free(cameras);
    struct loaded *s = load(place("run/point_cloud/iteration_7", "point_cloud.ply", NULL), NULL);
    assert_int_equal(s->cameras.count, 3);
    loaded_destroy(&s);
}

/* Fails with this code and a text that contains part. */
static void rejects(const char *path, const char *cameras, int code, const char *part)
{
    struct loader *l;
    assert_ok(loader_start(&l, dev, path, &(struct loader_opts){.cameras = cameras}));
    assert_int_equal(finish(l), code);
    if (!strstr(fv_error(), part))
        fail_msg("\"%s\" lacks \"%s\"", fv_error(), part);
    assert_null(loader_take(l));
    loader_destroy(&l);
}

static void failures_are_told_with_their_sentence(void **state)
{
    (void)state;
    const char *bad = test_tmp_path("bad.ply");
    test_write_file(bad, "ply\nformat", 10);
    rejects(test_tmp_path("absent.ply"), NULL, FV_EIO, "absent.ply");
    rejects(bad, NULL, FV_EFORMAT, "bad.ply");
    rejects(golden_scene(), test_tmp_path("absent.json"), FV_EIO, "absent.json");
}

static void destroying_stops_a_load(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct loader *l;
        assert_ok(loader_start(&l, dev, golden_scene(), &(struct loader_opts){.wake = wake}));
        usleep((useconds_t)(i * 300));
        loader_destroy(&l);
        assert_null(l);
    }
    struct loader *none = NULL;
    loader_destroy(&none);
}

static void anchors_load_as_scenes(void **state)
{
    (void)state;
    struct loaded *s = load(test_neural("scaffold", 50), NULL);
    assert_int_equal(s->info.count, 50);
    assert_string_equal(s->info.detail, "scaffold, k 10");
    assert_non_null(s->gpu);
    assert_non_null(s->neural);
    assert_true(s->bounds.radius > 0.5f && s->device_bytes > 50 * 300);
    loaded_destroy(&s);
}

static void names_tell_cameras_from_scenes(void **state)
{
    (void)state;
    assert_true(looks_like_cameras("a/cameras.json"));
    assert_true(looks_like_cameras("transforms.json"));
    assert_true(looks_like_cameras("poses_bounds.npy"));
    assert_false(looks_like_cameras("a/meta.json"));
    assert_false(looks_like_cameras("lod-meta.json"));
    assert_false(looks_like_cameras("garden.ply"));
    assert_false(looks_like_cameras("garden.spz"));
    assert_false(looks_like_cameras("garden"));
    const char *dir = test_tmp_path("folder");
    assert_int_equal(mkdir(dir, 0700), 0);
    assert_true(looks_like_cameras(dir));
    test_write_file(test_tmp_path("folder/meta.json"), "{}", 2);
    assert_false(looks_like_cameras(dir));
    assert_false(looks_like_cameras(test_neural("sags", 20)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loads_a_scene_and_tells),
        cmocka_unit_test(scenes_without_cameras_load_too),
        cmocka_unit_test(bad_cameras_beside_the_scene_are_only_noted),
        cmocka_unit_test(training_folders_keep_their_cameras_above),
        cmocka_unit_test(failures_are_told_with_their_sentence),
        cmocka_unit_test(destroying_stops_a_load),
        cmocka_unit_test(anchors_load_as_scenes),
        cmocka_unit_test(names_tell_cameras_from_scenes),
    };
    dev = test_device();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_device_done();
    return failed;
}
