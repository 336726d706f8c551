/* Maps, cursor, atomic writer, paths (vk/base/file.c). */
#include "support/test.h"
#include "vk/base/file.h"

#include <dirent.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>
#include <unistd.h>

static int files_in(const char *dir)
{
    DIR *d = opendir(dir);
    int n = 0;
    while (readdir(d))
        n++;
    closedir(d);
    return n - 2;
}

/* --- maps --- */

static void maps_a_file(void **state)
{
    struct fv_map map;
    (void)state;
    test_write_file(test_tmp_path("m"), "hello", 5);
    assert_ok(fv_map_open(&map, test_tmp_path("m")));
    assert_int_equal(map.size, 5);
    assert_memory_equal(map.data, "hello", 5);
    fv_map_close(&map);
    fv_map_close(&map);
}

static void an_empty_file_maps_to_nothing(void **state)
{
    struct fv_map map;
    (void)state;
    test_write_file(test_tmp_path("empty"), "", 0);
    assert_ok(fv_map_open(&map, test_tmp_path("empty")));
    assert_null(map.data);
    assert_int_equal(map.size, 0);
    fv_map_close(&map);
}

static void map_errors_name_the_reason(void **state)
{
    struct fv_map map;
    (void)state;
    assert_fails(fv_map_open(&map, "/no/such/file"), FV_EIO, "No such file");
    assert_fails(fv_map_open(&map, "/tmp"), FV_EIO, "is a directory");
    assert_fails(fv_map_open(&map, "/dev/null"), FV_EIO, "not a regular file");
    test_write_file(test_tmp_path("secret"), "x", 1);
    chmod(test_tmp_path("secret"), 0);
    if (geteuid()) /* root reads everything */
        assert_fails(fv_map_open(&map, test_tmp_path("secret")), FV_EIO, "Permission denied");
}

static void a_pipe_without_a_writer_does_not_hang(void **state)
{
    struct fv_map map;
    (void)state;
    assert_int_equal(mkfifo(test_tmp_path("fifo"), 0600), 0);
    assert_fails(fv_map_open(&map, test_tmp_path("fifo")), FV_EIO, "not a regular file");
}

/* --- cursor --- */

static void cursor_reads_little_endian(void **state)
{
    static const uint8_t bytes[] = {1,  2,  3,  4,  5,  6, 7,    8,    9,    10,
                                    11, 12, 13, 14, 15, 0, 0,    0x80, 0x3f, /* 1.0f */
                                    0,  0,  0,  0,  0,  0, 0xf0, 0x3f};
    struct fv_cursor c = fv_cursor_over(bytes, sizeof bytes);
    (void)state;
    assert_int_equal(fv_get_u8(&c), 1);
    assert_int_equal(fv_get_u16(&c), 0x0302);
    assert_int_equal(fv_get_u32(&c), 0x07060504);
    assert_true(fv_get_u64(&c) == 0x0f0e0d0c0b0a0908);
    assert_true(fv_get_f32(&c) == 1.0f);
    assert_true(fv_get_f64(&c) == 1.0);
    assert_int_equal(fv_cursor_left(&c), 0);
    assert_false(c.failed);
}

static void cursor_never_leaves_its_bytes(void **state)
{
    static const uint8_t bytes[] = {1, 2, 3};
    struct fv_cursor c = fv_cursor_over(bytes, 3);
    (void)state;
    assert_int_equal(fv_get_u32(&c), 0);
    assert_true(c.failed);
    assert_int_equal(fv_get_u8(&c), 0); /* sticky, although a byte is there */
    c = fv_cursor_over(bytes, 3);
    assert_null(fv_get_bytes(&c, SIZE_MAX));
    assert_true(c.failed);
    c = fv_cursor_over(NULL, 0);
    assert_int_equal(fv_get_u64(&c), 0);
    assert_true(c.failed);
}

/* --- writer --- */

static void writes_and_replaces(void **state)
{
    struct fv_writer w;
    char *text;
    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_ok(fv_writer_open(&w, test_tmp_path("w")));
        fv_write(&w, i ? "second" : "first", i ? 6 : 5);
        assert_ok(fv_writer_commit(&w));
    }
    text = test_read_file(test_tmp_path("w"), NULL);
    assert_string_equal(text, "second");
    free(text);
}

static void nothing_changes_before_commit(void **state)
{
    struct fv_writer w;
    char *text;
    (void)state;
    test_write_file(test_tmp_path("keep"), "old", 3);
    int before = files_in(test_tmp());
    assert_ok(fv_writer_open(&w, test_tmp_path("keep")));
    fv_write(&w, "new", 3);
    text = test_read_file(test_tmp_path("keep"), NULL);
    assert_string_equal(text, "old");
    free(text);
    fv_writer_abort(&w);
    text = test_read_file(test_tmp_path("keep"), NULL);
    assert_string_equal(text, "old");
    free(text);
    assert_int_equal(files_in(test_tmp()), before);
    fv_writer_abort(&w); /* safe again */
}

/* Others see what was flushed; it stays when it is aborted. */
static void written_in_place(void **state)
{
    struct fv_writer w;
    char *text;
    (void)state;
    const char *path = test_tmp_path("place");
    test_write_file(path, "older", 5);
    int before = files_in(test_tmp());
    assert_ok(fv_writer_open_in_place(&w, path));
    fv_write(&w, "new", 3);
    fv_writer_flush(&w);
    text = test_read_file(path, NULL);
    assert_string_equal(text, "new");
    free(text);
    fv_write(&w, "er", 2);
    fv_writer_abort(&w);
    text = test_read_file(path, NULL);
    assert_true(!strncmp(text, "new", 3));
    free(text);
    assert_int_equal(files_in(test_tmp()), before);
    assert_ok(fv_writer_open_in_place(&w, "/dev/full"));
    fv_write(&w, "x", 1);
    fv_writer_flush(&w);
    assert_fails(fv_writer_commit(&w), FV_EIO, "/dev/full");
}

/* The file size limit stands in for a full disk: the write fails in the middle. */
static void a_full_disk_keeps_the_old_file(void **state)
{
    struct fv_writer w;
    struct rlimit old, small;
    static char block[65536];
    char *text;
    (void)state;
    test_write_file(test_tmp_path("full"), "old", 3);
    int before = files_in(test_tmp());
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    small.rlim_cur = 100000;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    assert_ok(fv_writer_open(&w, test_tmp_path("full")));
    for (int i = 0; i < 10; i++)
        fv_write(&w, block, sizeof block);
    int rc = fv_writer_commit(&w);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(rc, FV_EIO);
    assert_non_null(strstr(fv_error(), "File too large"));
    assert_non_null(strstr(fv_error(), "full"));
    text = test_read_file(test_tmp_path("full"), NULL);
    assert_string_equal(text, "old");
    free(text);
    assert_int_equal(files_in(test_tmp()), before);
}

static void a_full_device_is_reported_at_commit(void **state)
{
    struct fv_writer w;
    (void)state;
    assert_ok(fv_writer_open(&w, "/dev/full"));
    fv_write(&w, "x", 1);
    assert_fails(fv_writer_commit(&w), FV_EIO, "disk is full");
    struct stat st;
    assert_int_equal(stat("/dev/full", &st), 0);
    assert_true(S_ISCHR(st.st_mode)); /* and was not replaced by a file */
}

static void devices_are_written_not_replaced(void **state)
{
    struct fv_writer w;
    struct stat st;
    (void)state;
    assert_ok(fv_writer_open(&w, "/dev/null"));
    fv_write(&w, "x", 1);
    assert_ok(fv_writer_commit(&w));
    assert_int_equal(stat("/dev/null", &st), 0);
    assert_true(S_ISCHR(st.st_mode));
}

static void a_link_is_followed_and_the_mode_is_kept(void **state)
{
    struct fv_writer w;
    struct stat st;
    char *text;
    (void)state;
    test_write_file(test_tmp_path("real"), "old", 3);
    chmod(test_tmp_path("real"), 0640);
    assert_int_equal(symlink(test_tmp_path("real"), test_tmp_path("link")), 0);
    assert_ok(fv_writer_open(&w, test_tmp_path("link")));
    fv_write(&w, "new", 3);
    assert_ok(fv_writer_commit(&w));
    assert_int_equal(lstat(test_tmp_path("link"), &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    text = test_read_file(test_tmp_path("real"), NULL);
    assert_string_equal(text, "new");
    free(text);
    assert_int_equal(stat(test_tmp_path("real"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
}

static void writer_errors_name_the_file(void **state)
{
    struct fv_writer w;
    (void)state;
    assert_fails(fv_writer_open(&w, "/no/such/dir/x"), FV_EIO, "/no/such/dir/x");
    assert_fails(fv_writer_open(&w, "/tmp"), FV_EIO, "is a directory");
    fv_writer_abort(&w);
}

/* --- paths --- */

static void temporaries_are_told_by_their_end(void **state)
{
    static const struct {
        const char *name;
        int end; /* -1: none */
    } rows[] = {{"a.ply.12.tmp", 5}, {"a.5.6.tmp", 3}, {".6.tmp", 0}, {"a.tmp", -1}, {"a..tmp", -1},
                {"12.tmp", -1},      {"a.12", -1},     {"a.12.tmpx", -1}, {"a.x2.tmp", -1}, {"", -1}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *end = fv_torn_end(rows[i].name);
        if ((end ? (int)(end - rows[i].name) : -1) != rows[i].end)
            fail_msg("%s", rows[i].name);
    }
}

static void paths(void **state)
{
    static const struct {
        const char *dir, *name, *joined;
    } joins[] = {{"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"", "b", "b"},
                 {"a", "/b", "/b"}, {NULL, "b", "b"},   {"/", "b", "/b"}};
    static const struct {
        const char *path, *dir, *base;
    } splits[] = {{"a/b.c", "a", "b.c"}, {"b", ".", "b"}, {"/b", "/", "b"}, {"a/b/", "a/b", ""}};
    (void)state;
    for (size_t i = 0; i < sizeof joins / sizeof *joins; i++) {
        char *p = fv_path_join(joins[i].dir, joins[i].name);
        assert_string_equal(p, joins[i].joined);
        free(p);
    }
    for (size_t i = 0; i < sizeof splits / sizeof *splits; i++) {
        char *p = fv_path_dir(splits[i].path);
        assert_string_equal(p, splits[i].dir);
        free(p);
        assert_string_equal(fv_path_base(splits[i].path), splits[i].base);
    }
    assert_true(fv_ends_with("A.PLY", ".ply"));
    assert_false(fv_ends_with("ply", ".ply"));
    assert_true(fv_is_dir("/tmp"));
    assert_false(fv_is_dir("/dev/null"));
    assert_true(fv_exists("/dev/null"));
    assert_false(fv_exists("/no/such"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps_a_file),
        cmocka_unit_test(an_empty_file_maps_to_nothing),
        cmocka_unit_test(map_errors_name_the_reason),
        cmocka_unit_test(a_pipe_without_a_writer_does_not_hang),
        cmocka_unit_test(cursor_reads_little_endian),
        cmocka_unit_test(cursor_never_leaves_its_bytes),
        cmocka_unit_test(writes_and_replaces),
        cmocka_unit_test(nothing_changes_before_commit),
        cmocka_unit_test(written_in_place),
        cmocka_unit_test(a_full_disk_keeps_the_old_file),
        cmocka_unit_test(a_full_device_is_reported_at_commit),
        cmocka_unit_test(devices_are_written_not_replaced),
        cmocka_unit_test(a_link_is_followed_and_the_mode_is_kept),
        cmocka_unit_test(writer_errors_name_the_file),
        cmocka_unit_test(temporaries_are_told_by_their_end),
        cmocka_unit_test(paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
