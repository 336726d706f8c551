/* Editing keyframes: app/path_edit.h. */
#include "app/path_edit.h"
#include "support/test.h"

static struct gs_camera named(const char *name)
{
    struct gs_camera c = {.width = 64, .height = 48, .fx = 50, .fy = 50, .cx = 32, .cy = 24};
    snprintf(c.name, sizeof c.name, "%s", name);
    c.view[0] = c.view[5] = c.view[10] = c.view[15] = 1;
    return c;
}

/* "a@0 b@2 c@4" */
static const char *text(const struct gs_cameras *p)
{
    static char out[256];
    int n = 0;
    out[0] = 0;
    for (size_t i = 0; i < p->count; i++)
        n += snprintf(out + n, sizeof out - (size_t)n, "%s%s@%g", i ? " " : "", p->items[i].name,
                      p->items[i].time);
    return out;
}

static struct gs_cameras three(void)
{
    struct gs_cameras p = {.is_path = true};
    const char *names[] = {"a", "b", "c"};
    for (int i = 0; i < 3; i++) {
        struct gs_camera c = named(names[i]);
        assert_int_equal(path_add(&p, &c, path_next_time(&p)), i);
    }
    return p;
}

static void keys_are_added_in_order_of_time(void **state)
{
    (void)state;
    struct gs_cameras p = three();
    assert_string_equal(text(&p), "a@0 b@2 c@4");
    struct gs_camera d = named("d");
    assert_int_equal(path_add(&p, &d, 1), 1);
    assert_string_equal(text(&p), "a@0 d@1 b@2 c@4");
    d = named("e");
    assert_int_equal(path_add(&p, &d, 2.0004), 2); /* replaces */
    assert_string_equal(text(&p), "a@0 d@1 e@2 c@4");
    gs_cameras_finish(&p);
}

static void rejects_times_that_are_none(void **state)
{
    (void)state;
    struct gs_cameras p = three();
    struct gs_camera d = named("d");
    assert_fails(path_add(&p, &d, -1), FV_EINVALID, "time");
    assert_fails(path_add(&p, &d, NAN), FV_EINVALID, "time");
    assert_fails(path_retime(&p, 1, INFINITY), FV_EINVALID, "time");
    assert_string_equal(text(&p), "a@0 b@2 c@4");
    gs_cameras_finish(&p);
}

static void keys_are_removed_moved_and_swapped(void **state)
{
    (void)state;
    struct gs_cameras p = three();
    path_swap(&p, 0, 2);
    assert_string_equal(text(&p), "c@0 b@2 a@4");
    assert_int_equal(path_retime(&p, 0, 3), 1);
    assert_string_equal(text(&p), "b@2 c@3 a@4");
    assert_int_equal(path_retime(&p, 0, 4), 2); /* not onto a */
    assert_string_equal(text(&p), "c@3 a@4 b@4.002");
    path_remove(&p, 1);
    assert_string_equal(text(&p), "c@3 b@4.002");
    path_remove(&p, 1);
    path_remove(&p, 0);
    assert_int_equal(p.count, 0);
    assert_near(path_next_time(&p), 0, 0);
    gs_cameras_finish(&p);
}

static void lists_become_paths(void **state)
{
    (void)state;
    struct gs_camera items[2] = {named("x"), named("y")};
    struct gs_cameras list = {.items = items, .count = 2}, p;
    assert_ok(path_from_cameras(&p, &list));
    assert_true(p.is_path);
    assert_string_equal(text(&p), "x@0 y@2");
    gs_cameras_finish(&p);
    list.is_path = true;
    list.loop = true;
    items[1].time = 0.5;
    assert_ok(path_from_cameras(&p, &list));
    assert_true(p.loop);
    assert_string_equal(text(&p), "x@0 y@0.5");
    gs_cameras_finish(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_added_in_order_of_time),
        cmocka_unit_test(rejects_times_that_are_none),
        cmocka_unit_test(keys_are_removed_moved_and_swapped),
        cmocka_unit_test(lists_become_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
