/* Poses: look-at, quaternions, inversion, resizing, checks, and the automatic orbit. */
#include "support/test.h"
#include "gs/camera.h"

static void to_view(const struct gs_camera *c, const double p[3], double out[3])
{
    for (int r = 0; r < 3; r++)
        out[r] = c->view[4 * r] * p[0] + c->view[4 * r + 1] * p[1] + c->view[4 * r + 2] * p[2] +
                 c->view[4 * r + 3];
}

static void to_pixel(const struct gs_camera *c, const double p[3], double out[2])
{
    double t[3];
    to_view(c, p, t);
    out[0] = c->fx * t[0] / t[2] + c->cx;
    out[1] = c->fy * t[1] / t[2] + c->cy;
}

static struct gs_camera sized(void)
{
    return (struct gs_camera){.width = 640,
                              .height = 360,
                              .fx = 500,
                              .fy = 510,
                              .cx = 300,
                              .cy = 190,
                              .view = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1}};
}

static void looks_at_the_target(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (int i = 0; i < 200; i++) {
        double eye[3], target[3], up[3], above[3], t[3], u[3], centre[3], distance = 0;
        for (int k = 0; k < 3; k++) {
            eye[k] = test_uniform(&seed, -5, 5);
            target[k] = test_uniform(&seed, -5, 5);
            up[k] = test_uniform(&seed, -1, 1);
            above[k] = target[k] + 0.1 * up[k];
            distance += (target[k] - eye[k]) * (target[k] - eye[k]);
        }
        struct gs_camera c = sized();
        gs_camera_look_at(&c, eye, target, up);
        assert_null(gs_camera_problem(&c));
        gs_camera_centre(&c, centre);
        to_view(&c, target, t);
        to_view(&c, above, u);
        for (int k = 0; k < 3; k++)
            assert_near(centre[k], eye[k], 1e-9);
        assert_near(t[0], 0, 1e-9);
        assert_near(t[1], 0, 1e-9);
        assert_near(t[2], sqrt(distance), 1e-9);
        assert_near(u[0], 0, 1e-9); /* up stays in the vertical plane, above: -y */
        assert_true(u[1] < 0);
    }
}

static void look_at_survives_degenerate_input(void **state)
{
    (void)state;
    const double zero[3] = {0, 0, 0}, up[3] = {0, -1, 0}, above[3] = {0, -3, 0};
    struct gs_camera c = sized();
    double t[3];
    gs_camera_look_at(&c, zero, zero, up);
    assert_null(gs_camera_problem(&c));
    gs_camera_look_at(&c, zero, above, up);
    assert_null(gs_camera_problem(&c));
    to_view(&c, above, t);
    assert_near(t[2], 3, 1e-12);
    gs_camera_look_at(&c, zero, above, zero);
    assert_null(gs_camera_problem(&c));
}

static void quaternions_round_trip(void **state)
{
    (void)state;
    uint64_t seed = 2;
    for (int i = 0; i < 500; i++) {
        double q[4], n = 0, back[4], centre[3] = {1, 2, 3}, got[3];
        for (int k = 0; k < 4; k++) {
            /* also quaternions with zeros, where one branch only is safe */
            q[k] = i % 5 == k ? 0 : test_uniform(&seed, -1, 1);
            if (i % 11 == 0)
                q[k] = k == (i / 11) % 4;
            n += q[k] * q[k];
        }
        n = sqrt(n) * (q[0] < 0 ? -1 : 1);
        struct gs_camera c = sized();
        assert_true(gs_camera_set_pose(&c, q, centre));
        assert_null(gs_camera_problem(&c));
        gs_camera_rotation(&c, back);
        double sign =
            q[0] == 0 && back[0] * q[0] + back[1] * q[1] + back[2] * q[2] + back[3] * q[3] < 0 ? -1
                                                                                               : 1;
        for (int k = 0; k < 4; k++)
            assert_near(sign * back[k], q[k] / n, 1e-12);
        gs_camera_centre(&c, got);
        for (int k = 0; k < 3; k++)
            assert_near(got[k], centre[k], 1e-12);
    }
    struct gs_camera c = sized();
    assert_false(gs_camera_set_pose(&c, (double[4]){0}, (double[3]){0}));
    assert_false(gs_camera_set_pose(&c, (double[4]){NAN, 0, 0, 1}, (double[3]){0}));
}

static void quaternion_turns_camera_to_world(void **state)
{
    (void)state;
    /* 90 degrees about y: the camera's z axis points along world x */
    struct gs_camera c = sized();
    const double q[4] = {sqrt(0.5), 0, sqrt(0.5), 0}, centre[3] = {0, 0, 0}, x[3] = {1, 0, 0};
    double t[3];
    assert_true(gs_camera_set_pose(&c, q, centre));
    to_view(&c, x, t);
    assert_near(t[2], 1, 1e-12);
}

static void inverts_camera_to_world(void **state)
{
    (void)state;
    const double m[12] = {0, 0, 3, 1, 0, 3, 0, 2, -3, 0, 0, 5}, p[3] = {4, 2, 5};
    struct gs_camera c = sized();
    double t[3];
    assert_true(gs_camera_set_c2w(&c, m));
    assert_null(gs_camera_problem(&c)); /* the scale of 3 is gone */
    to_view(&c, p, t);
    assert_near(t[0], 0, 1e-12);
    assert_near(t[2], 3, 1e-12);
    double bad[12];
    memcpy(bad, m, sizeof m);
    bad[2] = 0;
    assert_false(gs_camera_set_c2w(&c, bad));
    bad[2] = NAN;
    assert_false(gs_camera_set_c2w(&c, bad));
}

static void names_what_is_wrong(void **state)
{
    (void)state;
    struct gs_camera c = sized();
    assert_null(gs_camera_problem(&c));
    c.width = 0;
    assert_non_null(strstr(gs_camera_problem(&c), "width"));
    c = sized();
    c.fx = NAN;
    assert_non_null(strstr(gs_camera_problem(&c), "focal"));
    c = sized();
    c.cy = INFINITY;
    assert_non_null(strstr(gs_camera_problem(&c), "principal"));
    c = sized();
    c.view[3] = NAN;
    assert_non_null(strstr(gs_camera_problem(&c), "finite"));
    c = sized();
    c.view[0] = 1.01;
    assert_non_null(strstr(gs_camera_problem(&c), "rotation"));
    c = sized();
    c.view[10] = -1;
    assert_non_null(strstr(gs_camera_problem(&c), "mirrored"));
}

static void resizing_keeps_what_was_visible(void **state)
{
    (void)state;
    static const uint32_t sizes[][2] = {{1280, 720}, {320, 180}, {100, 400}, {1000, 100}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct gs_camera c = sized(), r = c;
        gs_camera_resize(&r, sizes[i][0], sizes[i][1]);
        assert_int_equal(r.width, sizes[i][0]);
        double s = fmin(r.width / 640.0, r.height / 360.0);
        assert_near(r.fx, 500 * s, 1e-9);
        /* corners of the old picture land s apart about the middle of the new one, inside it */
        for (int corner = 0; corner < 4; corner++) {
            double x = corner & 1 ? 640 : 0, y = corner & 2 ? 360 : 0, px[2];
            const double p[3] = {(x - c.cx) / c.fx, (y - c.cy) / c.fy, 1};
            to_pixel(&r, p, px);
            assert_near(px[0], r.width / 2.0 + s * (x - 320), 1e-9);
            assert_near(px[1], r.height / 2.0 + s * (y - 180), 1e-9);
            assert_true(px[0] >= -1e-9 && px[0] <= r.width + 1e-9);
            assert_true(px[1] >= -1e-9 && px[1] <= r.height + 1e-9);
        }
    }
}

static void orbit_frames_the_scene(void **state)
{
    (void)state;
    static const float ups[][3] = {{0, 0, 0}, {0, 2, 0}, {0, 0, 1}, {0, 0, -1}, {1, 1, 0}};
    const struct gs_bounds b = {.centre = {1, 2, 3}, .radius = 4};
    const double target[3] = {1, 2, 3};
    for (size_t i = 0; i < sizeof ups / sizeof *ups; i++) {
        struct gs_scene s = {.up = {ups[i][0], ups[i][1], ups[i][2]}};
        double up[3] = {ups[i][0], ups[i][1], ups[i][2]}, first[3], opposite[3];
        double n = sqrt(up[0] * up[0] + up[1] * up[1] + up[2] * up[2]);
        if (n == 0) /* unknown: captures have y down */
            up[1] = -(n = 1);
        for (int f = 0; f < 16; f++) {
            struct gs_camera c;
            double px[2], t[3], eye[3], above[3], height = 0, distance = 0;
            gs_camera_orbit(&c, &s, &b, 1280, 720, f / 16.0);
            assert_null(gs_camera_problem(&c));
            to_pixel(&c, target, px);
            assert_near(px[0], 640, 1e-6);
            assert_near(px[1], 360, 1e-6);
            gs_camera_centre(&c, eye);
            for (int k = 0; k < 3; k++) {
                above[k] = target[k] + up[k] / n;
                height += (eye[k] - target[k]) * up[k] / n;
                distance += (eye[k] - target[k]) * (eye[k] - target[k]);
            }
            distance = sqrt(distance);
            to_view(&c, above, t);
            assert_near(t[0], 0, 1e-9);
            assert_true(t[1] < 0); /* up is up */
            assert_near(height / distance, sin(15 * 3.14159265358979 / 180), 1e-6);
            /* the sphere nearly touches the upper and lower edge */
            assert_near(c.fy * 4 / sqrt(distance * distance - 16), 320, 5);
            memcpy(f == 0 ? first : opposite, eye, f == 0 || f == 8 ? sizeof eye : 0);
        }
        struct gs_camera again;
        double eye[3];
        gs_camera_orbit(&again, &s, &b, 1280, 720, 1);
        gs_camera_centre(&again, eye);
        double across = 0;
        for (int k = 0; k < 3; k++) {
            assert_near(eye[k], first[k], 1e-9);
            across += (first[k] - opposite[k]) * (first[k] - opposite[k]);
        }
        assert_true(sqrt(across) > 4);
    }
}

static void orbit_of_an_empty_scene(void **state)
{
    (void)state;
    struct gs_scene s = {0};
    struct gs_bounds b = {.radius = 0};
    struct gs_camera c;
    gs_camera_orbit(&c, &s, &b, 16, 9, 0.3);
    assert_null(gs_camera_problem(&c));
    b.radius = INFINITY;
    gs_camera_orbit(&c, &s, &b, 16, 9, 0.3);
    assert_null(gs_camera_problem(&c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(looks_at_the_target),
        cmocka_unit_test(look_at_survives_degenerate_input),
        cmocka_unit_test(quaternions_round_trip),
        cmocka_unit_test(quaternion_turns_camera_to_world),
        cmocka_unit_test(inverts_camera_to_world),
        cmocka_unit_test(names_what_is_wrong),
        cmocka_unit_test(resizing_keeps_what_was_visible),
        cmocka_unit_test(orbit_frames_the_scene),
        cmocka_unit_test(orbit_of_an_empty_scene),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
