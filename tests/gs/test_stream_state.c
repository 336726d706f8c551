/* Integers of streams: turns and rigid motions against floating point, scenes there and back. */
#include "support/test.h"

#include "gs/scene.h"
#include "gs/stream.h"

static void quat_random(double q[4], uint64_t *seed)
{
    double square = 0;
    for (int k = 0; k < 4; k++) {
        q[k] = test_uniform(seed, -1, 1);
        square += q[k] * q[k];
    }
    for (int k = 0; k < 4; k++)
        q[k] /= sqrt(square);
}

/* A turn by a turn stays of length 1, however many follow. */
static void turns_do_not_shrink(void **state)
{
    (void)state;
    uint64_t seed = 3;
    int32_t q[4] = {GS_ROTATION_ONE, 0, 0, 0}, turn[4], out[4];
    for (int i = 0; i < 20000; i++) {
        int32_t v[3];
        for (int k = 0; k < 3; k++)
            v[k] = (int32_t)test_uniform(&seed, -3000, 3000);
        gs_quat_from_vector(turn, v);
        gs_quat_mul(out, q, turn);
        memcpy(q, out, sizeof q);
        double square = 0;
        for (int k = 0; k < 4; k++)
            square += (double)q[k] * q[k];
        assert_near(sqrt(square) / GS_ROTATION_ONE, 1, 3e-4);
    }
}

static void product(double out[4], const double a[4], const double b[4])
{
    out[0] = a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3];
    out[1] = a[0] * b[1] + a[1] * b[0] + a[2] * b[3] - a[3] * b[2];
    out[2] = a[0] * b[2] - a[1] * b[3] + a[2] * b[0] + a[3] * b[1];
    out[3] = a[0] * b[3] + a[1] * b[2] - a[2] * b[1] + a[3] * b[0];
}

static void rigid_motions_are_those_of_geometry(void **state)
{
    (void)state;
    uint64_t seed = 8;
    for (int round = 0; round < 400; round++) {
        struct gs_rigid r = {.shift = 10};
        struct gs_rigid_matrix m;
        double q[4], p[4] = {0}, conjugate[4], t[4], expected[4];
        quat_random(q, &seed);
        if (q[0] < 0)
            for (int k = 0; k < 4; k++)
                q[k] = -q[k];
        int32_t position[3], rotation[4] = {GS_ROTATION_ONE, 0, 0, 0};
        for (int k = 0; k < 3; k++) {
            r.turn[k] = (int32_t)lrint(q[k + 1] * (1 << 20));
            r.move[k] = (int32_t)test_uniform(&seed, -9000, 9000);
            r.centre[k] = (int32_t)test_uniform(&seed, -90000, 90000);
            position[k] = (int32_t)test_uniform(&seed, -200000, 200000);
            p[k + 1] = position[k] - r.centre[k];
        }
        if (q[0] < 0.02)
            continue; /* w is what the others leave of 1 */
        assert_true(gs_rigid_matrix(&m, &r));
        gs_rigid_apply(&m, &r, position, rotation);
        for (int k = 0; k < 4; k++)
            conjugate[k] = k ? -q[k] : q[k];
        product(t, q, p);
        product(expected, t, conjugate);
        for (int k = 0; k < 3; k++)
            assert_near(position[k], expected[k + 1] + r.centre[k] + r.move[k], 20);
        for (int k = 0; k < 4; k++)
            assert_near(rotation[k], q[k] * GS_ROTATION_ONE, 20);
    }
    /* none at all moves nothing, to the bit */
    struct gs_rigid none = {.shift = 5, .centre = {5, 6, 7}};
    struct gs_rigid_matrix m;
    int32_t position[3] = {1000, -2000, 3}, rotation[4] = {GS_ROTATION_ONE, 0, 0, 0};
    assert_true(gs_rigid_matrix(&m, &none));
    gs_rigid_apply(&m, &none, position, rotation);
    assert_true(position[0] == 1000 && position[1] == -2000 && position[2] == 3);
    assert_int_equal(rotation[0], GS_ROTATION_ONE);
    /* what no turn is */
    struct gs_rigid wild = {.shift = 29, .turn = {1 << 20, 0, 0}};
    assert_false(gs_rigid_matrix(&m, &wild));
    wild = (struct gs_rigid){.shift = 0, .turn = {900000000, 900000000, 900000000}};
    assert_false(gs_rigid_matrix(&m, &wild));
}

static void random_scene(struct gs_scene *s, size_t count, int degree)
{
    uint64_t seed = 77;
    assert_ok(gs_scene_alloc(s, count, degree));
    s->mode = GS_MODE_CLASSIC;
    for (size_t i = 0; i < count; i++) {
        double q[4];
        quat_random(q, &seed);
        for (size_t k = 0; k < 3; k++) {
            s->position[3 * i + k] = (float)test_uniform(&seed, -2, 2);
            s->scale[3 * i + k] = (float)test_uniform(&seed, -6, -2);
        }
        for (size_t k = 0; k < 4; k++)
            s->rotation[4 * i + k] = (float)(q[k] * test_uniform(&seed, 0.5, 2));
        s->opacity[i] = (float)test_uniform(&seed, -4, 6);
        for (int k = 0; k < 3 * gs_sh_coefs(degree); k++)
            s->sh[i * 3 * (size_t)gs_sh_coefs(degree) + (size_t)k] = (float)test_uniform(&seed, -1, 1);
    }
}

/* Sigma = R S S R^T: what a Gaussian is, whatever its axes are called. */
static void covariance(double out[3][3], const float *scale, const float *rotation)
{
    double n = 0, m[3][3];
    for (int k = 0; k < 4; k++)
        n += (double)rotation[k] * rotation[k];
    n = sqrt(n);
    double w = rotation[0] / n, x = rotation[1] / n, y = rotation[2] / n, z = rotation[3] / n;
    const double r[3][3] = {
        {1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)},
        {2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)},
        {2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)}};
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++)
            m[i][k] = r[i][k] * exp(scale[k]);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            out[i][j] = 0;
            for (int k = 0; k < 3; k++)
                out[i][j] += m[i][k] * m[j][k];
        }
}

/* Fine steps: the same Gaussians come back, in another order and with axes of other names. */
static void scenes_there_and_back(void **state)
{
    (void)state;
    enum { COUNT = 500, DEGREE = 2 };
    struct gs_scene s, back;
    struct gs_stream_base b;
    struct gs_stream_pose pose[COUNT];
    random_scene(&s, COUNT, DEGREE);
    assert_ok(gs_stream_base_create(&b, COUNT, DEGREE));
    for (int k = 0; k < 3; k++)
        b.origin[k] = -2.5f;
    for (int a = 0; a < GS_ATTRS; a++)
        b.step[a] = 1e-4f;
    b.bits = 17;
    assert_ok(gs_stream_make_poses(pose, &b, &s));
    gs_stream_from_scene(&b.state, &b, &s, pose);
    assert_ok(gs_scene_alloc(&back, COUNT, DEGREE));
    gs_stream_to_scene(&back, &b, &b.state);
    uint64_t last = 0;
    bool used[COUNT] = {false};
    for (size_t i = 0; i < COUNT; i++) {
        size_t row = pose[i].row;
        assert_false(used[row]);
        used[row] = true;
        int32_t grid[3];
        double was[3][3], is[3][3];
        for (size_t k = 0; k < 3; k++) {
            assert_near(back.position[3 * i + k], s.position[3 * row + k], 2e-5);
            grid[k] = gs_stream_grid(b.state.v[GS_POSITION][3 * i + k]);
        }
        assert_true(gs_stream_morton(grid) >= last);
        last = gs_stream_morton(grid);
        int32_t again[3];
        gs_stream_morton_grid(again, last);
        assert_memory_equal(grid, again, sizeof grid);
        covariance(was, s.scale + 3 * row, s.rotation + 4 * row);
        covariance(is, back.scale + 3 * i, back.rotation + 4 * i);
        for (int r = 0; r < 3; r++)
            for (int c = 0; c < 3; c++)
                assert_near(is[r][c], was[r][c], 1e-3 * (was[0][0] + was[1][1] + was[2][2]));
        assert_true(b.state.v[GS_ROTATION][4 * i] >= GS_ROTATION_ONE / 2 - 1); /* w is largest */
        assert_true(back.scale[3 * i] >= back.scale[3 * i + 1] - 1e-4f);
        assert_true(back.scale[3 * i + 1] >= back.scale[3 * i + 2] - 1e-4f);
        assert_near(gs_sigmoid(back.opacity[i]), gs_sigmoid(s.opacity[row]), 1e-3);
        for (size_t k = 0; k < 27; k++)
            assert_near(back.sh[27 * i + k], s.sh[27 * row + k], 1e-4);
    }
    gs_scene_finish(&s);
    gs_scene_finish(&back);
    gs_stream_base_finish(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(turns_do_not_shrink),
        cmocka_unit_test(rigid_motions_are_those_of_geometry),
        cmocka_unit_test(scenes_there_and_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
