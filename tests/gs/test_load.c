/* gs/load.c: which reader a file goes to, folders, saving. */
#include "support/scene.h"
#include "vk/base/file.h"

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static struct test_bytes ply_of(size_t count)
{
    struct gs_scene s = test_scene(count, 0, count);
    struct test_bytes b = test_ply_build(&s, &(struct test_ply){0});
    gs_scene_finish(&s);
    return b;
}

static size_t count_of(const char *path)
{
    struct gs_scene s;
    assert_ok(gs_scene_load(&s, path, NULL));
    size_t count = s.count;
    gs_scene_finish(&s);
    return count;
}

/* ---- detection -------------------------------------------------------------------------- */

static void magic_overrules_the_name(void **state)
{
    (void)state;
    static const char *const names[] = {"a.ply", "a.splat", "a.spz", "a.compressed.ply",
                                        "a",     "a.jpeg",  "A.PLY", ""};
    struct test_bytes b = ply_of(3);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct gs_scene s;
        assert_ok(gs_scene_parse(&s, b.data, b.size, names[i], NULL));
        assert_int_equal(s.format, GS_FORMAT_PLY);
        assert_int_equal(s.count, 3);
        gs_scene_finish(&s);
    }
    test_bytes_free(&b);
}

static void compressed_ply_is_told_by_its_header(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(300, 1, 1), got;
    const char *path = test_tmp_path("plain.ply");
    assert_ok(gs_scene_save(&s, path, &(struct gs_save_opts){.format = GS_FORMAT_COMPRESSED_PLY}));
    assert_ok(gs_scene_load(&got, path, NULL));
    assert_int_equal(got.format, GS_FORMAT_COMPRESSED_PLY);
    assert_int_equal(got.count, 300);
    gs_scene_finish(&got);
    gs_scene_finish(&s);
}

static void a_splat_may_begin_with_any_bytes(void **state)
{
    (void)state;
    uint8_t rows[64];
    struct gs_scene s;
    memset(rows, 0x3f, sizeof rows);
    memcpy(rows, "\x1f\x8b\x08\x3f", 4); /* gzip's magic, here the float 0.53.. */
    assert_ok(gs_scene_parse(&s, rows, sizeof rows, "odd.SPLAT", NULL));
    assert_int_equal(s.format, GS_FORMAT_SPLAT);
    assert_int_equal(s.count, 2);
    gs_scene_finish(&s);
}

static void the_caller_may_name_the_format(void **state)
{
    (void)state;
    uint8_t rows[32];
    struct gs_scene s;
    struct gs_load_opts opts = {.format = GS_FORMAT_SPLAT};
    memset(rows, 0x3f, sizeof rows);
    assert_ok(gs_scene_parse(&s, rows, sizeof rows, "noname", &opts));
    assert_int_equal(s.count, 1);
    gs_scene_finish(&s);
    opts.format = GS_FORMAT_PLY;
    assert_fails(gs_scene_parse(&s, rows, sizeof rows, "noname", &opts), FV_EFORMAT, "\"ply\"");
    opts.format = 99;
    assert_fails(gs_scene_parse(&s, rows, sizeof rows, "noname", &opts), FV_EUNSUPPORTED,
                 "unknown scenes");
}

static void rejects_unknown_bytes(void **state)
{
    (void)state;
    struct gs_scene s;
    assert_fails(gs_scene_parse(&s, "\x89PNG rest", 9, "photo.png", NULL), FV_EFORMAT,
                 "photo.png: neither its name nor its first bytes (89 50 4e 47)");
    assert_fails(gs_scene_parse(&s, "x", 1, "one", NULL), FV_EFORMAT, "(78)");
    assert_fails(gs_scene_parse(&s, "ply", 3, "short.ply", NULL), FV_EFORMAT, "short.ply");
}

static void names_the_formats(void **state)
{
    (void)state;
    assert_string_equal(gs_format_name(GS_FORMAT_AUTO), "unknown");
    assert_string_equal(gs_format_name(GS_FORMAT_COMPRESSED_PLY), "compressed.ply");
    assert_string_equal(gs_format_name(GS_FORMAT_GLTF), "gltf");
    assert_string_equal(gs_format_name(77), "unknown");
    assert_int_equal(gs_format_of_name("a.compressed.ply"), GS_FORMAT_COMPRESSED_PLY);
    assert_int_equal(gs_format_of_name("a.ply"), GS_FORMAT_PLY);
    assert_int_equal(gs_format_of_name("ply.png"), GS_FORMAT_AUTO);
}

/* ---- files and folders ------------------------------------------------------------------- */

static void rejects_missing_file(void **state)
{
    (void)state;
    struct gs_scene s;
    assert_fails(gs_scene_load(&s, test_tmp_path("none.ply"), NULL), FV_EIO, "none.ply: No such");
    assert_null(s.position);
}

static void rejects_empty_file(void **state)
{
    (void)state;
    struct gs_scene s;
    const char *path = test_tmp_path("empty.ply");
    test_write_file(path, "", 0);
    assert_fails(gs_scene_load(&s, path, NULL), FV_EFORMAT, "empty.ply: the file is empty");
}

static void rejects_unreadable_file(void **state)
{
    (void)state;
    struct gs_scene s;
    const char *path = test_tmp_path("secret.ply");
    if (geteuid() == 0)
        skip(); /* root may read everything */
    test_write_file(path, "ply\n", 4);
    chmod(path, 0);
    assert_fails(gs_scene_load(&s, path, NULL), FV_EIO, "secret.ply: Permission denied");
}

static void rejects_what_is_no_regular_file(void **state)
{
    (void)state;
    struct gs_scene s;
    assert_fails(gs_scene_load(&s, "/dev/null", NULL), FV_EIO, "not a regular file");
}

static void rejects_folder_without_scene(void **state)
{
    (void)state;
    struct gs_scene s;
    const char *dir = test_tmp_path("nothing");
    mkdir(dir, 0755);
    assert_fails(gs_scene_load(&s, dir, NULL), FV_EIO, "nothing: is a folder");
}

static void training_folder_gives_the_last_iteration(void **state)
{
    (void)state;
    static const struct {
        const char *folder;
        size_t count;
    } folders[] = {{"run/point_cloud/iteration_7000", 7}, {"run/point_cloud/iteration_30000", 30},
                   {"run/point_cloud/iteration_9", 9},    {"run/point_cloud/iteration_99999x", 99},
                   {"run/point_cloud/iteration_", 98},    {"run/point_cloud/other_50000", 50}};
    mkdir(test_tmp_path("run"), 0755);
    mkdir(test_tmp_path("run/point_cloud"), 0755);
    mkdir(test_tmp_path("run/point_cloud/iteration_40000"), 0755); /* not finished */
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        char file[256];
        struct test_bytes b = ply_of(folders[i].count);
        mkdir(test_tmp_path(folders[i].folder), 0755);
        snprintf(file, sizeof file, "%s/point_cloud.ply", folders[i].folder);
        test_write_file(test_tmp_path(file), b.data, b.size);
        test_bytes_free(&b);
    }
    assert_int_equal(count_of(test_tmp_path("run")), 30);
    assert_int_equal(count_of(test_tmp_path("run/")), 30);
}

static void bad_iteration_is_named(void **state)
{
    (void)state;
    struct gs_scene s;
    mkdir(test_tmp_path("bad"), 0755);
    mkdir(test_tmp_path("bad/point_cloud"), 0755);
    mkdir(test_tmp_path("bad/point_cloud/iteration_5"), 0755);
    test_write_file(test_tmp_path("bad/point_cloud/iteration_5/point_cloud.ply"), "junk", 4);
    assert_fails(gs_scene_load(&s, test_tmp_path("bad"), NULL), FV_EFORMAT,
                 "bad/point_cloud/iteration_5/point_cloud.ply: is not a .ply");
}

/* ---- saving ----------------------------------------------------------------------------- */

/* Nothing but `name` itself may start with it in the test's folder. */
static void assert_no_leftovers(const char *name)
{
    DIR *d = opendir(test_tmp());
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        if (!strncmp(e->d_name, name, strlen(name)) && strcmp(e->d_name, name))
            fail_msg("%s was left behind", e->d_name);
    closedir(d);
}

static void saving_wants_a_known_name(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(2, 0, 1);
    assert_fails(gs_scene_save(&s, test_tmp_path("out.xyz"), NULL), FV_EINVALID, "out.xyz");
    assert_fails(gs_scene_save(&s, test_tmp_path("out"), NULL), FV_EINVALID, ".compressed.ply");
    assert_no_leftovers("out");
    gs_scene_finish(&s);
}

static void saving_to_a_folder_fails(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(2, 0, 1);
    mkdir(test_tmp_path("dir.ply"), 0755);
    assert_fails(gs_scene_save(&s, test_tmp_path("dir.ply"), NULL), FV_EIO, "is a directory");
    assert_fails(gs_scene_save(&s, test_tmp_path("no/such/dir/a.ply"), NULL), FV_EIO,
                 "no/such/dir/a.ply: cannot be written");
    gs_scene_finish(&s);
}

static int stop(void *ud, const struct fv_progress *p)
{
    (void)ud, (void)p;
    return 1;
}

static void cancelled_saving_leaves_the_old_file(void **state)
{
    (void)state;
    static const char *const names[] = {"keep.ply", "keep.compressed.ply", "keep.splat"};
    struct gs_scene s = test_scene(100, 1, 1);
    for (size_t i = 0; i < 3; i++) {
        const char *path = test_tmp_path(names[i]);
        size_t size;
        test_write_file(path, "old", 3);
        assert_fails(gs_scene_save(&s, path, &(struct gs_save_opts){.on_progress = stop}),
                     FV_ECANCELLED, "cancelled");
        char *text = test_read_file(path, &size);
        assert_string_equal(text, "old");
        free(text);
        assert_no_leftovers(names[i]);
    }
    gs_scene_finish(&s);
}

/* A file-size limit stands in for a full disk. */
static void full_disk_leaves_the_old_file(void **state)
{
    (void)state;
    static const char *const names[] = {"full.ply", "full.compressed.ply", "full.splat"};
    struct gs_scene s = test_scene(30000, 1, 1);
    struct rlimit before, limit;
    getrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, SIG_IGN);
    for (size_t i = 0; i < 3; i++) {
        const char *path = test_tmp_path(names[i]);
        size_t size;
        test_write_file(path, "old", 3);
        limit = (struct rlimit){100000, before.rlim_max};
        setrlimit(RLIMIT_FSIZE, &limit);
        int rc = gs_scene_save(&s, path, NULL);
        setrlimit(RLIMIT_FSIZE, &before);
        assert_int_equal(rc, FV_EIO);
        assert_non_null(strstr(fv_error(), names[i]));
        char *text = test_read_file(path, &size);
        assert_string_equal(text, "old");
        free(text);
        assert_no_leftovers(names[i]);
    }
    gs_scene_finish(&s);
}

static void saving_replaces_the_old_file(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(5, 1, 1);
    const char *path = test_tmp_path("replace.ply");
    test_write_file(path, "old", 3);
    assert_ok(gs_scene_save(&s, path, NULL));
    assert_int_equal(count_of(path), 5);
    assert_no_leftovers("replace.ply");
    gs_scene_finish(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(magic_overrules_the_name),
        cmocka_unit_test(compressed_ply_is_told_by_its_header),
        cmocka_unit_test(a_splat_may_begin_with_any_bytes),
        cmocka_unit_test(the_caller_may_name_the_format),
        cmocka_unit_test(rejects_unknown_bytes),
        cmocka_unit_test(names_the_formats),
        cmocka_unit_test(rejects_missing_file),
        cmocka_unit_test(rejects_empty_file),
        cmocka_unit_test(rejects_unreadable_file),
        cmocka_unit_test(rejects_what_is_no_regular_file),
        cmocka_unit_test(rejects_folder_without_scene),
        cmocka_unit_test(training_folder_gives_the_last_iteration),
        cmocka_unit_test(bad_iteration_is_named),
        cmocka_unit_test(saving_wants_a_known_name),
        cmocka_unit_test(saving_to_a_folder_fails),
        cmocka_unit_test(cancelled_saving_leaves_the_old_file),
        cmocka_unit_test(full_disk_leaves_the_old_file),
        cmocka_unit_test(saving_replaces_the_old_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
