/* What the viewer remembers: app/settings.h. */
#include "app/settings.h"
#include "support/test.h"
#include "vk/base/file.h"

#include <sys/stat.h>
#include <unistd.h>

static struct settings *fresh(const char *folder)
{
    struct settings *s = calloc(1, sizeof *s);
    settings_load(s, folder);
    return s;
}

static const char *folder(const char *name)
{
    const char *path = test_tmp_path(name);
    mkdir(path, 0777);
    return path;
}

static const char *a_file(const char *name)
{
    const char *path = test_tmp_path(name);
    test_write_file(path, "x", 1);
    return path;
}

static struct gs_camera a_camera(const char *name)
{
    struct gs_camera c = {.width = 640, .height = 480, .fx = 500.25, .fy = 499, .cx = 320, .cy = 240, .near = 0.1};
    snprintf(c.name, sizeof c.name, "%s", name);
    for (int i = 0; i < 16; i++)
        c.view[i] = i / 7.0 - 1;
    return c;
}

static void comes_back_as_it_was_saved(void **state)
{
    (void)state;
    const char *dir = folder("round");
    struct settings *a = fresh(dir);
    struct gs_camera c = a_camera("the \"door\"");
    settings_remember(&a->recent, a_file("one.ply"));
    settings_remember(&a->recent, a_file("two.ply"));
    settings_remember(&a->recent, "https://host/talk.fvv");
    settings_mark(a, a_file("one.ply"), &c, 7);
    a->reduce = false;
    a->movement = 2;
    a->speed = 3.5;
    a->export_width = 1920;
    assert_ok(settings_save(a));
    struct settings *b = fresh(dir);
    assert_int_equal(b->recent.count, 3);
    for (int i = 0; i < 3; i++)
        assert_string_equal(b->recent.items[i], a->recent.items[i]);
    assert_string_equal(b->recent.items[0], "https://host/talk.fvv");
    assert_int_equal(b->mark_count, 1);
    assert_memory_equal(b->marks[0].camera.view, c.view, sizeof c.view);
    assert_string_equal(b->marks[0].camera.name, c.name);
    assert_true(b->marks[0].camera.fx == 500.25 && b->marks[0].frame == 7);
    assert_true(!b->reduce && b->movement == 2 && b->speed == 3.5 && b->export_width == 1920);
    assert_string_equal(b->notice, "");
    free(a);
    free(b);
}

static void the_newest_come_first_and_once(void **state)
{
    (void)state;
    struct settings *s = fresh(NULL);
    char name[32];
    for (int i = 0; i < 25; i++) {
        snprintf(name, sizeof name, "f%d.ply", i);
        settings_remember(&s->recent, a_file(name));
    }
    assert_int_equal(s->recent.count, s->recent.most);
    assert_string_equal(fv_path_base(s->recent.items[0]), "f24.ply");
    settings_remember(&s->recent, test_tmp_path("f20.ply"));
    assert_int_equal(s->recent.count, s->recent.most);
    assert_string_equal(fv_path_base(s->recent.items[0]), "f20.ply");
    assert_string_equal(fv_path_base(s->recent.items[4]), "f21.ply");
    for (size_t i = 1; i < s->recent.count; i++)
        assert_string_not_equal(fv_path_base(s->recent.items[i]), "f20.ply");
    settings_remember(&s->recent, "https://me:secret@host/a.fvv"); /* not to be written down */
    settings_remember(&s->recent, test_tmp_path("absent.ply"));
    assert_string_equal(fv_path_base(s->recent.items[0]), "f20.ply");
    assert_ok(settings_save(s)); /* nowhere */
    struct gs_camera c = a_camera("v");
    for (int i = 0; i < SETTINGS_MARKS + 3; i++)
        settings_mark(s, a_file("f1.ply"), &c, (uint32_t)i);
    assert_int_equal(s->mark_count, SETTINGS_MARKS);
    assert_int_equal(s->marks[0].frame, 3);
    settings_unmark(s, 0);
    assert_int_equal(s->marks[0].frame, 4);
    free(s);
}

static void damage_is_put_aside_or_passed_over(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool aside;
        size_t recent, marks;
    } rows[] = {
        {"", true, 0, 0},
        {"{\"recent\":[\"/a\"", true, 0, 0},
        {"\xff\xfe nothing", true, 0, 0},
        {"[]", false, 0, 0},
        {"{\"recent\":7,\"bookmarks\":{\"a\":1},\"view\":[1]}", false, 0, 0},
        {"{\"recent\":[\"/a\",3,null,\"\",\"/b\"]}", false, 2, 0},
        {"{\"bookmarks\":[{\"scene\":\"/a\",\"camera\":{\"viewmat\":[1,2]}},7,{\"scene\":\"/a\",\"camera\":{\"name\":\"x\","
         "\"width\":4,\"height\":4,\"fx\":1,\"viewmat\":[[1,0,0,0],[0,1,0,0],[0,0,1,0],[0,0,0,1]]}}]}",
         false, 0, 1},
        {"{\"bookmarks\":[{\"scene\":\"/a\",\"camera\":{\"width\":4,\"height\":4,\"fx\":1,\"viewmat\":"
         "[[1e999,0,0,0],[0,1,0,0],[0,0,1,0],[0,0,0,1]]}}]}",
         false, 0, 0},
        {"{\"view\":{\"speed\":-4,\"movement\":9,\"adaptive\":\"yes\",\"export_width\":1e9}}", false, 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char dir[256], file[300], aside[320];
        snprintf(dir, sizeof dir, "%s", folder("bad"));
        snprintf(file, sizeof file, "%s/viewer.json", dir);
        snprintf(aside, sizeof aside, "%s.damaged", file);
        unlink(aside);
        test_write_file(file, rows[i].text, strlen(rows[i].text));
        struct settings *s = fresh(dir);
        if (s->recent.count != rows[i].recent || s->mark_count != rows[i].marks || fv_exists(aside) != rows[i].aside ||
            (s->notice[0] != 0) != rows[i].aside)
            fail_msg("row %zu: %zu files, %zu bookmarks, \"%s\"", i, s->recent.count, s->mark_count, s->notice);
        assert_true(s->speed == 0.5 && s->movement == 0 && s->reduce && s->export_width == 1280);
        assert_ok(settings_save(s)); /* it goes on with a good one */
        free(s);
        s = fresh(dir);
        assert_string_equal(s->notice, "");
        free(s);
    }
}

static void what_cannot_be_written_is_told(void **state)
{
    (void)state;
    struct settings *s = fresh(folder("gone"));
    rmdir(test_tmp_path("gone"));
    assert_fails(settings_save(s), FV_EIO, "viewer.json");
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_back_as_it_was_saved),
        cmocka_unit_test(the_newest_come_first_and_once),
        cmocka_unit_test(damage_is_put_aside_or_passed_over),
        cmocka_unit_test(what_cannot_be_written_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
