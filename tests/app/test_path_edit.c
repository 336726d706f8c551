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

static void edits_are_undone_and_done_again(void **state)
{
    (void)state;
    struct path_history h = {0};
    struct gs_cameras p = three();
    char wanted[64];
    assert_false(path_undo(&h, &p));
    assert_ok(path_keep(&h, &p));
    path_remove(&p, 1);
    assert_ok(path_keep(&h, &p));
    path_remove(&p, 0);
    assert_string_equal(text(&p), "c@4");
    assert_true(path_undo(&h, &p));
    assert_string_equal(text(&p), "a@0 c@4");
    assert_true(path_undo(&h, &p));
    assert_string_equal(text(&p), "a@0 b@2 c@4");
    assert_false(path_undo(&h, &p));
    assert_true(path_redo(&h, &p));
    assert_string_equal(text(&p), "a@0 c@4");
    assert_ok(path_keep(&h, &p)); /* another edit: what was undone is gone */
    assert_int_equal(path_retime(&p, 1, 9), 1);
    assert_false(path_redo(&h, &p));
    for (int i = 0; i < PATH_EDITS + 5; i++) {
        assert_ok(path_keep(&h, &p));
        assert_int_equal(path_retime(&p, 1, 10 + i), 1);
    }
    for (int i = 0; i < PATH_EDITS; i++)
        assert_true(path_undo(&h, &p));
    assert_false(path_undo(&h, &p));
    snprintf(wanted, sizeof wanted, "a@0 c@%d", 10 + 4);
    assert_string_equal(text(&p), wanted);
    path_forget(&h);
    gs_cameras_finish(&p);
}

/* A camera that looks down -z from (0, 0, 5), goes to x = 4 and turns by 200 degrees about the y axis: straight lines
 * between two keys, but for the shorter way round; and one that looks up. */
static void curves_are_of_places_and_angles(void **state)
{
    (void)state;
    enum { COUNT = 5 };
    float values[PATH_CURVES][COUNT], *out[PATH_CURVES];
    const double eye[3] = {0, 0, 5}, far[3] = {4, 0, 5}, up[3] = {0, -1, 0};
    const double at[3] = {0, 0, 0}, aside[3] = {5, -1, 5}, right[3] = {1, 0, 5};
    struct gs_cameras p = {.is_path = true};
    struct gs_camera a = {.width = 200, .height = 100, .fx = 50, .fy = 50, .cx = 100, .cy = 50}, b = a, c = a;
    for (int k = 0; k < PATH_CURVES; k++)
        out[k] = values[k];
    assert_int_equal(path_curves(&p, 1, COUNT, out), FV_EINVALID);
    gs_camera_look_at(&a, eye, at, up);
    gs_camera_look_at(&b, far, aside, up);
    gs_camera_look_at(&c, eye, right, up);
    assert_int_equal(path_add(&p, &a, 0), 0);
    assert_int_equal(path_add(&p, &b, 2), 1);
    assert_ok(path_curves(&p, 4, COUNT, out)); /* to two seconds after its end */
    for (int i = 0; i < COUNT; i++) {
        assert_near(values[PATH_X][i], i < 2 ? 2 * i : 4, 1e-4);
        assert_near(values[PATH_Z][i], 5, 1e-4);
        assert_near(values[PATH_FOV][i], 90, 1e-3);
    }
    assert_near(fabs((double)values[PATH_YAW][0]), 180, 1e-3);
    assert_near(values[PATH_PITCH][0], 0, 1e-3);
    assert_near(values[PATH_PITCH][4], 45, 1e-3);
    assert_near(values[PATH_ROLL][4], 0, 1e-3);
    assert_near(fabs((double)values[PATH_YAW][4] - values[PATH_YAW][0]), 90, 1e-3); /* no whole turn */
    path_remove(&p, 1);
    assert_int_equal(path_add(&p, &c, 2), 1);
    assert_ok(path_curves(&p, 2, COUNT, out));
    assert_near(values[PATH_YAW][4] - 360 * rint((values[PATH_YAW][4] - 90) / 360.0), 90, 1e-3); /* to the right */
    assert_near(path_end(&p), 2, 1e-9);
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
        cmocka_unit_test(edits_are_undone_and_done_again),
        cmocka_unit_test(curves_are_of_places_and_angles),
        cmocka_unit_test(lists_become_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
