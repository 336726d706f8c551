/* Orbit, turntable and fly as maths, without a window: app/camera_control.h. */
#include "app/camera_control.h"
#include "support/test.h"

static const double origin[3] = {0, 0, 0}, minus_y[3] = {0, -1, 0};

/* Camera coordinates of a world point. */
static void seen(double out[3], const struct camera_control *c, double x, double y, double z)
{
    struct gs_camera cam = {0};
    camera_control_get(c, &cam);
    const double *v = cam.view;
    for (int i = 0; i < 3; i++)
        out[i] = v[4 * i] * x + v[4 * i + 1] * y + v[4 * i + 2] * z + v[4 * i + 3];
}

static void seen_at(double out[3], const struct camera_control *c, const double p[3])
{
    seen(out, c, p[0], p[1], p[2]);
}

static void assert_rotation(const struct camera_control *c)
{
    const double *r = c->rotation;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            double d = 0;
            for (int k = 0; k < 3; k++)
                d += r[3 * i + k] * r[3 * j + k];
            assert_near(d, i == j, 1e-12);
        }
    double det = r[0] * (r[4] * r[8] - r[5] * r[7]) - r[1] * (r[3] * r[8] - r[5] * r[6]) +
                 r[2] * (r[3] * r[7] - r[4] * r[6]);
    assert_near(det, 1, 1e-12);
}

static struct camera_control start(enum camera_mode mode)
{
    struct camera_control c;
    camera_control_init(&c, origin, 2, minus_y);
    c.mode = mode;
    return c;
}

static void starts_upright_in_front_of_the_centre(void **state)
{
    (void)state;
    struct camera_control c = start(CAMERA_ORBIT);
    double p[3];
    seen(p, &c, 0, 0, 0);
    assert_near(p[0], 0, 1e-12);
    assert_near(p[1], 0, 1e-12);
    assert_near(p[2], 5, 1e-12);
    seen(p, &c, 0, -1, 0); /* up is up in the picture: y down */
    assert_near(p[1], -1, 1e-12);
}

static void zero_up_and_radius_get_defaults(void **state)
{
    (void)state;
    struct camera_control c;
    camera_control_init(&c, origin, NAN, origin);
    assert_near(c.up[1], -1, 0);
    assert_near(c.radius, 1, 0);
}

static void orbit_drag_moves_near_points_with_the_mouse(void **state)
{
    (void)state;
    for (int mode = CAMERA_ORBIT; mode <= CAMERA_TURNTABLE; mode++) {
        struct camera_control c = start(mode);
        double p[3];
        camera_control_rotate(&c, 0.3, 0);
        seen(p, &c, 0, 0, -1); /* one unit nearer than the pivot */
        assert_near(p[0], sin(0.3), 1e-9);
        c = start(mode);
        camera_control_rotate(&c, 0, 0.3);
        seen(p, &c, 0, 0, -1);
        assert_near(p[1], sin(0.3), 1e-9);
        assert_rotation(&c);
    }
}

static void pivot_stays_in_the_picture_when_orbiting(void **state)
{
    (void)state;
    for (int mode = CAMERA_ORBIT; mode <= CAMERA_TURNTABLE; mode++) {
        struct camera_control c = start(mode);
        const double pivot[3] = {0.7, -0.4, 0.9};
        double before[3], after[3], eye[3];
        memcpy(eye, c.eye, sizeof eye);
        camera_control_pivot(&c, pivot);
        assert_memory_equal(eye, c.eye, sizeof eye); /* picking does not move the view */
        seen_at(before, &c, pivot);
        uint64_t s = 5;
        for (int i = 0; i < 1000; i++)
            camera_control_rotate(&c, test_uniform(&s, -0.5, 0.5), test_uniform(&s, -0.3, 0.3));
        seen_at(after, &c, pivot);
        for (int i = 0; i < 3; i++)
            assert_near(after[i], before[i], 1e-9);
        assert_rotation(&c);
    }
}

static void turntable_keeps_the_horizon_and_stops_at_the_poles(void **state)
{
    (void)state;
    struct camera_control c = start(CAMERA_TURNTABLE);
    uint64_t s = 7;
    for (int i = 0; i < 500; i++) {
        camera_control_rotate(&c, test_uniform(&s, -1, 1), test_uniform(&s, -1, 1));
        assert_near(c.rotation[1], 0, 1e-9); /* right is horizontal: up is -y */
        assert_true(c.rotation[4] > 0);      /* never upside down */
    }
    for (int i = 0; i < 50; i++)
        camera_control_rotate(&c, 0, 1);
    double p[3];
    seen_at(p, &c, origin);
    assert_near(asin(-c.rotation[7]) * 180 / M_PI, -89, 1e-6); /* looking down */
    assert_near(p[2], 5, 1e-9);
    for (int i = 0; i < 50; i++)
        camera_control_rotate(&c, 0, -1);
    assert_near(asin(-c.rotation[7]) * 180 / M_PI, 89, 1e-6);
}

static void turntable_levels_a_rolled_camera(void **state)
{
    (void)state;
    struct camera_control c = start(CAMERA_TURNTABLE);
    double up[3] = {0.3, 0.2, 1};
    camera_control_init(&c, origin, 1, up);
    camera_control_rotate(&c, 0, 0);
    double along = 0;
    for (int i = 0; i < 3; i++)
        along += c.rotation[i] * c.up[i];
    assert_near(along, 0, 1e-12);
    assert_rotation(&c);
}

static void orbit_goes_over_the_pole(void **state)
{
    (void)state;
    struct camera_control c = start(CAMERA_ORBIT);
    for (int i = 0; i < 20; i++)
        camera_control_rotate(&c, 0, M_PI / 20);
    /* half a turn: behind the scene, upside down */
    assert_near(c.eye[2], 5, 1e-9);
    assert_near(c.rotation[4], -1, 1e-9);
}

static void fly_looks_from_the_eye(void **state)
{
    (void)state;
    struct camera_control c = start(CAMERA_FLY);
    double eye[3], p[3];
    memcpy(eye, c.eye, sizeof eye);
    camera_control_rotate(&c, 0.2, 0.1);
    for (int i = 0; i < 3; i++)
        assert_near(c.eye[i], eye[i], 1e-12);
    assert_true(c.rotation[6] > 0); /* right */
    assert_true(c.rotation[7] > 0); /* and down */
    seen_at(p, &c, c.pivot);        /* the pivot is carried along, ahead */
    assert_near(p[0], 0, 1e-9);
    assert_near(p[2], 5, 1e-9);
}

static void fly_moves_along_its_axes(void **state)
{
    (void)state;
    struct camera_control c = start(CAMERA_FLY);
    c.speed = 0.5; /* radii a second; the radius is 2 */
    camera_control_move(&c, 1, 2, 3, 0.5);
    assert_near(c.eye[0], 0.5, 1e-12);
    assert_near(c.eye[1], -1, 1e-12);
    assert_near(c.eye[2], -5 + 1.5, 1e-12);
    double before = c.speed;
    camera_control_zoom(&c, 2);
    assert_near(c.speed, before * 1.44, 1e-9);
    for (int i = 0; i < 500; i++)
        camera_control_zoom(&c, -1);
    assert_true(c.speed > 0);
}

static void pan_follows_the_mouse_at_the_pivot(void **state)
{
    (void)state;
    struct camera_control c = start(CAMERA_ORBIT);
    camera_control_rotate(&c, 0.4, -0.2);
    const double focal = 800;
    double mark[3] = {c.pivot[0], c.pivot[1], c.pivot[2]}, p[3];
    camera_control_pan(&c, 30, -12, focal);
    seen_at(p, &c, mark);
    assert_near(focal * p[0] / p[2], 30, 1e-6);
    assert_near(focal * p[1] / p[2], -12, 1e-6);
    seen_at(p, &c, c.pivot);
    assert_near(p[0], 0, 1e-9);
}

static void zoom_keeps_the_pivot_where_it_is(void **state)
{
    (void)state;
    struct camera_control c = start(CAMERA_TURNTABLE);
    const double pivot[3] = {1, 0.5, 0.2};
    camera_control_pivot(&c, pivot);
    double a[3], b[3];
    seen_at(a, &c, pivot);
    camera_control_zoom(&c, 4);
    seen_at(b, &c, pivot);
    assert_near(a[0] / a[2], b[0] / b[2], 1e-9);
    assert_near(b[2] / a[2], exp(-0.6), 1e-9);
    camera_control_zoom(&c, -4);
    seen_at(b, &c, pivot);
    assert_near(b[2], a[2], 1e-9);
    for (int i = 0; i < 1000; i++)
        camera_control_zoom(&c, 10); /* never through it */
    seen_at(b, &c, pivot);
    assert_true(b[2] > 0);
}

static void set_and_get_return_the_same_camera(void **state)
{
    (void)state;
    uint64_t s = 11;
    for (int n = 0; n < 20; n++) {
        struct camera_control c = start(CAMERA_ORBIT);
        for (int i = 0; i < 5; i++)
            camera_control_rotate(&c, test_uniform(&s, -2, 2), test_uniform(&s, -2, 2));
        camera_control_move(&c, 0.3, 0.2, 0.1, 1);
        struct gs_camera a = {0}, b = {0};
        camera_control_get(&c, &a);
        struct camera_control d = start(CAMERA_TURNTABLE);
        camera_control_set(&d, &a);
        camera_control_get(&d, &b);
        for (int i = 0; i < 16; i++)
            assert_near(a.view[i], b.view[i], 1e-12);
        double p[3];
        seen_at(p, &d, d.pivot); /* ahead on the axis */
        assert_near(p[0], 0, 1e-9);
        assert_near(p[1], 0, 1e-9);
        assert_true(p[2] >= 0.1 * d.radius - 1e-9);
    }
}

static void frame_fits_the_sphere(void **state)
{
    (void)state;
    struct camera_control c = start(CAMERA_TURNTABLE);
    camera_control_rotate(&c, 1, 0.5);
    camera_control_move(&c, 3, 2, 1, 5);
    const double centre[3] = {1, 2, 3};
    camera_control_frame(&c, centre, 2, M_PI / 6);
    double p[3];
    seen_at(p, &c, centre);
    assert_near(p[0], 0, 1e-9);
    assert_near(p[1], 0, 1e-9);
    assert_near(p[2], 4, 1e-9); /* 2 / sin 30 degrees */
    assert_memory_equal(c.pivot, centre, sizeof centre);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_upright_in_front_of_the_centre),
        cmocka_unit_test(zero_up_and_radius_get_defaults),
        cmocka_unit_test(orbit_drag_moves_near_points_with_the_mouse),
        cmocka_unit_test(pivot_stays_in_the_picture_when_orbiting),
        cmocka_unit_test(turntable_keeps_the_horizon_and_stops_at_the_poles),
        cmocka_unit_test(turntable_levels_a_rolled_camera),
        cmocka_unit_test(orbit_goes_over_the_pole),
        cmocka_unit_test(fly_looks_from_the_eye),
        cmocka_unit_test(fly_moves_along_its_axes),
        cmocka_unit_test(pan_follows_the_mouse_at_the_pivot),
        cmocka_unit_test(zoom_keeps_the_pivot_where_it_is),
        cmocka_unit_test(set_and_get_return_the_same_camera),
        cmocka_unit_test(frame_fits_the_sphere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
