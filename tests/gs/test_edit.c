/* gs/edit.c, gs/bounds.c, gs/morton.c and the row helpers of gs/scene.c. */
#include "support/scene.h"
#include "gs/scene.h"

/* ---- reference for SH and covariance, written from the definitions ----------------------- */

/* The table of basis functions as the 3DGS code has them. */
static double sh_value(int k, double x, double y, double z)
{
    switch (k) {
    case 0:
        return 0.28209479177387814;
    case 1:
        return -0.4886025119029199 * y;
    case 2:
        return 0.4886025119029199 * z;
    case 3:
        return -0.4886025119029199 * x;
    case 4:
        return 1.0925484305920792 * x * y;
    case 5:
        return -1.0925484305920792 * y * z;
    case 6:
        return 0.31539156525252005 * (2 * z * z - x * x - y * y);
    case 7:
        return -1.0925484305920792 * x * z;
    case 8:
        return 0.5462742152960396 * (x * x - y * y);
    case 9:
        return -0.5900435899266435 * y * (3 * x * x - y * y);
    case 10:
        return 2.890611442640554 * x * y * z;
    case 11:
        return -0.4570457994644658 * y * (4 * z * z - x * x - y * y);
    case 12:
        return 0.3731763325901154 * z * (2 * z * z - 3 * x * x - 3 * y * y);
    case 13:
        return -0.4570457994644658 * x * (4 * z * z - x * x - y * y);
    case 14:
        return 1.445305721320277 * z * (x * x - y * y);
    default:
        return -0.5900435899266435 * x * (x * x - 3 * y * y);
    }
}

static double colour(const struct gs_scene *s, size_t i, int c, const double d[3])
{
    int coefs = gs_sh_coefs(s->sh_degree);
    double sum = 0;
    for (int k = 0; k < coefs; k++)
        sum += (double)s->sh[(i * (size_t)coefs + (size_t)k) * 3 + (size_t)c] *
               sh_value(k, d[0], d[1], d[2]);
    return sum;
}

/* Rotation of v by q as q v q*, not through a matrix. */
static void turn(const double q[4], const double v[3], double out[3])
{
    double n = q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3], t[3];
    const double *u = q + 1;
    for (int k = 0; k < 3; k++) {
        int a = (k + 1) % 3, b = (k + 2) % 3;
        t[k] = 2 * (u[a] * v[b] - u[b] * v[a]);
    }
    for (int k = 0; k < 3; k++) {
        int a = (k + 1) % 3, b = (k + 2) % 3;
        out[k] = v[k] + (q[0] * t[k] + u[a] * t[b] - u[b] * t[a]) / n;
    }
}

/* v^T Sigma v, Sigma = R S S R^T. */
static double spread(const struct gs_scene *s, size_t i, const double v[3])
{
    double q[4], inverse[4], local[3], sum = 0;
    for (int k = 0; k < 4; k++) {
        q[k] = (double)s->rotation[4 * i + (size_t)k];
        inverse[k] = k ? -q[k] : q[k];
    }
    turn(inverse, v, local);
    for (int k = 0; k < 3; k++) {
        double dev = exp((double)s->scale[3 * i + (size_t)k]);
        sum += pow(dev * local[k], 2);
    }
    return sum;
}

static void random_direction(uint64_t *seed, double d[3])
{
    double n;
    do {
        n = 0;
        for (int k = 0; k < 3; k++) {
            d[k] = test_uniform(seed, -1, 1);
            n += d[k] * d[k];
        }
    } while (n > 1 || n < 0.01);
    for (int k = 0; k < 3; k++)
        d[k] /= sqrt(n);
}

static struct gs_scene copy_of(const struct gs_scene *s)
{
    struct gs_scene c = {0};
    assert_ok(gs_scene_append(&c, s));
    return c;
}

/* ---- similarity ------------------------------------------------------------------------- */

static void transform_turns_colours_of_every_band(void **state)
{
    (void)state;
    uint64_t seed = 11;
    for (int round = 0; round < 50; round++) {
        struct gs_scene s = test_scene(4, round % 4, (uint64_t)round), t = copy_of(&s);
        float q[4];
        double qd[4];
        for (int k = 0; k < 4; k++) {
            q[k] = (float)test_uniform(&seed, -1, 1);
            qd[k] = (double)q[k];
        }
        assert_ok(gs_scene_transform(&t, q, 1, (float[]){0, 0, 0}));
        for (size_t i = 0; i < s.count; i++)
            for (int n = 0; n < 8; n++) {
                double d[3], turned[3];
                random_direction(&seed, d);
                turn(qd, d, turned);
                for (int c = 0; c < 3; c++)
                    assert_near(colour(&t, i, c, turned), colour(&s, i, c, d), 5e-6);
            }
        gs_scene_finish(&s);
        gs_scene_finish(&t);
    }
}

/* A single coefficient must stay inside its band: a mixture would pass no other test. */
static void transform_keeps_bands_apart(void **state)
{
    (void)state;
    for (int k = 0; k < 16; k++) {
        struct gs_scene s = test_scene(1, 3, 1);
        memset(s.sh, 0, 48 * sizeof *s.sh);
        s.sh[3 * k] = 1;
        assert_ok(
            gs_scene_transform(&s, (float[]){0.3f, -0.5f, 0.2f, 0.7f}, 1, (float[]){0, 0, 0}));
        int band = k == 0 ? 0 : k < 4 ? 1 : k < 9 ? 2 : 3;
        double energy = 0;
        for (int j = 0; j < 16; j++) {
            bool inside = j >= band * band && j < (band + 1) * (band + 1);
            if (!inside)
                assert_near(s.sh[3 * j], 0, 0);
            energy += pow((double)s.sh[3 * j], 2);
            assert_near(s.sh[3 * j + 1], 0, 0);
        }
        assert_near(energy, 1, 1e-6);
        gs_scene_finish(&s);
    }
}

static void transform_moves_and_turns_shapes(void **state)
{
    (void)state;
    uint64_t seed = 5;
    for (int round = 0; round < 20; round++) {
        struct gs_scene s = test_scene(5, 1, (uint64_t)round), t = copy_of(&s);
        float q[4], move[3] = {1, -2, 3}, scale = (float)test_uniform(&seed, 0.1, 5);
        double qd[4];
        for (int k = 0; k < 4; k++) {
            q[k] = (float)test_uniform(&seed, -1, 1);
            qd[k] = (double)q[k];
        }
        assert_ok(gs_scene_transform(&t, q, scale, move));
        for (size_t i = 0; i < s.count; i++) {
            double p[3], turned[3];
            for (int k = 0; k < 3; k++)
                p[k] = (double)s.position[3 * i + (size_t)k];
            turn(qd, p, turned);
            for (int k = 0; k < 3; k++)
                assert_near(t.position[3 * i + (size_t)k],
                            (double)scale * turned[k] + (double)move[k], 1e-5);
            for (int n = 0; n < 6; n++) {
                double d[3], td[3];
                random_direction(&seed, d);
                turn(qd, d, td);
                double want = spread(&s, i, d) * (double)scale * (double)scale;
                assert_near(spread(&t, i, td), want, 1e-5 * want + 1e-12);
            }
            assert_near(t.opacity[i], s.opacity[i], 0);
        }
        gs_scene_finish(&s);
        gs_scene_finish(&t);
    }
}

static void transform_turns_up(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(1, 0, 1);
    s.up[1] = -1;
    /* 180 degrees about x */
    assert_ok(gs_scene_transform(&s, (float[]){0, 1, 0, 0}, 2, (float[]){5, 5, 5}));
    assert_near(s.up[0], 0, 1e-7);
    assert_near(s.up[1], 1, 1e-7);
    assert_near(s.up[2], 0, 1e-7);
    gs_scene_finish(&s);
}

static void transform_back_and_forth(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(50, 3, 3), t = copy_of(&s);
    float q[4] = {0.5f, 0.1f, -0.7f, 0.2f}, back[4] = {0.5f, -0.1f, 0.7f, -0.2f};
    assert_ok(gs_scene_transform(&t, q, 2, (float[]){0, 0, 0}));
    assert_ok(gs_scene_transform(&t, back, 0.5f, (float[]){0, 0, 0}));
    assert_near_scene(
        &t, &s,
        &(struct gs_scene_diff){
            .position = 2e-6, .alpha = 0, .scale = 2e-6, .rotation = 1e-6, .dc = 0, .rest = 2e-6});
    gs_scene_finish(&s);
    gs_scene_finish(&t);
}

static void transform_rejects_nonsense(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(2, 1, 1), before = copy_of(&s);
    float one[4] = {1, 0, 0, 0}, none[3] = {0, 0, 0};
    assert_fails(gs_scene_transform(&s, (float[]){0, 0, 0, 0}, 1, none), FV_EINVALID, "quaternion");
    assert_fails(gs_scene_transform(&s, (float[]){NAN, 0, 0, 0}, 1, none), FV_EINVALID,
                 "quaternion");
    assert_fails(gs_scene_transform(&s, one, 0, none), FV_EINVALID, "scale 0");
    assert_fails(gs_scene_transform(&s, one, -1, none), FV_EINVALID, "scale -1");
    assert_fails(gs_scene_transform(&s, one, INFINITY, none), FV_EINVALID, "scale inf");
    assert_fails(gs_scene_transform(&s, one, 1, (float[]){0, NAN, 0}), FV_EINVALID,
                 "translation: y");
    assert_same_scene(&s, &before);
    gs_scene_finish(&s);
    gs_scene_finish(&before);
}

/* Mirroring an axis is not a rotation; the sign table serves formats with other axes. */
static void flip_signs_mirror_the_basis(void **state)
{
    (void)state;
    uint64_t seed = 9;
    for (int flips = 0; flips < 8; flips++) {
        double s[3] = {flips & 1 ? -1 : 1, flips & 2 ? -1 : 1, flips & 4 ? -1 : 1}, d[3];
        random_direction(&seed, d);
        for (int k = 0; k < 16; k++)
            assert_near(sh_value(k, s[0] * d[0], s[1] * d[1], s[2] * d[2]),
                        (double)gs_sh_flip_sign(k, (float)s[0], (float)s[1], (float)s[2]) *
                            sh_value(k, d[0], d[1], d[2]),
                        1e-12);
    }
}

/* ---- merging and filtering -------------------------------------------------------------- */

static void append_pads_sh(void **state)
{
    (void)state;
    struct gs_scene a = test_scene(3, 1, 1), b = test_scene(2, 3, 2), c = copy_of(&a),
                    d = copy_of(&b);
    assert_ok(gs_scene_append(&c, &b));
    assert_ok(gs_scene_append(&d, &a));
    for (int order = 0; order < 2; order++) {
        struct gs_scene *s = order ? &d : &c;
        size_t low = order ? 2 : 0, high = order ? 0 : 3;
        assert_int_equal(s->count, 5);
        assert_int_equal(s->sh_degree, 3);
        assert_memory_equal(s->sh + 48 * high, b.sh, 2 * 48 * sizeof(float));
        for (size_t i = 0; i < 3; i++) {
            assert_memory_equal(s->sh + 48 * (low + i), a.sh + 12 * i, 12 * sizeof(float));
            for (int k = 12; k < 48; k++)
                assert_near(s->sh[48 * (low + i) + (size_t)k], 0, 0);
        }
        assert_memory_equal(s->position + 3 * low, a.position, 9 * sizeof(float));
        assert_memory_equal(s->scale + 3 * high, b.scale, 6 * sizeof(float));
        assert_memory_equal(s->rotation + 4 * high, b.rotation, 8 * sizeof(float));
        assert_memory_equal(s->opacity + low, a.opacity, 3 * sizeof(float));
    }
    gs_scene_finish(&a);
    gs_scene_finish(&b);
    gs_scene_finish(&c);
    gs_scene_finish(&d);
}

static void append_takes_mode_and_up(void **state)
{
    (void)state;
    struct gs_scene a = {0}, b = test_scene(2, 0, 1), c = test_scene(1, 0, 2);
    b.mode = GS_MODE_ANTIALIASED;
    b.up[2] = 1;
    assert_ok(gs_scene_append(&a, &b));
    assert_int_equal(a.mode, GS_MODE_ANTIALIASED);
    assert_near(a.up[2], 1, 0);
    assert_ok(gs_scene_append(&a, &b));
    assert_int_equal(a.mode, GS_MODE_ANTIALIASED);
    assert_ok(gs_scene_append(&a, &c)); /* says nothing: classic */
    assert_int_equal(a.mode, GS_MODE_CLASSIC);
    assert_int_equal(a.count, 5);
    gs_scene_finish(&a);
    gs_scene_finish(&b);
    gs_scene_finish(&c);
}

static void crop_keeps_centres_inside(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(1000, 2, 7), before = copy_of(&s);
    float min[3] = {-1, -2, 0}, max[3] = {1, 3, 2.5f};
    memcpy(s.position, min, sizeof min); /* the border is inside */
    memcpy(before.position, min, sizeof min);
    assert_ok(gs_scene_crop(&s, min, max));
    size_t kept = 0;
    for (size_t i = 0; i < before.count; i++) {
        const float *p = before.position + 3 * i;
        bool inside =
            p[0] >= -1 && p[0] <= 1 && p[1] >= -2 && p[1] <= 3 && p[2] >= 0 && p[2] <= 2.5f;
        if (!inside)
            continue;
        assert_memory_equal(s.position + 3 * kept, p, 12);
        assert_memory_equal(s.sh + 27 * kept, before.sh + 27 * i, 27 * sizeof(float));
        assert_memory_equal(s.rotation + 4 * kept, before.rotation + 4 * i, 16);
        kept++;
    }
    assert_true(kept > 10);
    assert_int_equal(s.count, kept);
    assert_fails(gs_scene_crop(&s, max, min), FV_EINVALID, "x from 1 to -1");
    assert_fails(gs_scene_crop(&s, (float[]){0, NAN, 0}, max), FV_EINVALID, "y from nan");
    assert_int_equal(s.count, kept);
    gs_scene_finish(&s);
    gs_scene_finish(&before);
}

static void prune_keeps_the_opaque(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(6, 0, 7);
    const float logits[6] = {-INFINITY, -3, 0, 3, INFINITY, -0.0001f};
    memcpy(s.opacity, logits, sizeof logits);
    assert_ok(gs_scene_prune_opacity(&s, 0));
    assert_int_equal(s.count, 6);
    assert_ok(gs_scene_prune_opacity(&s, 0.5f));
    assert_int_equal(s.count, 3);
    assert_near(s.opacity[0], 0, 0);
    assert_near(s.opacity[1], 3, 0);
    assert_ok(gs_scene_prune_opacity(&s, 1));
    assert_int_equal(s.count, 1);
    assert_fails(gs_scene_prune_opacity(&s, 1.5f), FV_EINVALID, "1.5");
    assert_fails(gs_scene_prune_opacity(&s, NAN), FV_EINVALID, "nan");
    gs_scene_finish(&s);
}

static void cut_sh_keeps_low_bands(void **state)
{
    (void)state;
    for (int from = 0; from <= 3; from++)
        for (int to = 0; to <= 3; to++) {
            struct gs_scene s = test_scene(20, from, 3), before = copy_of(&s);
            int kept = to < from ? to : from;
            size_t a = 3 * (size_t)gs_sh_coefs(kept), b = 3 * (size_t)gs_sh_coefs(from);
            assert_ok(gs_scene_cut_sh(&s, to));
            assert_int_equal(s.sh_degree, kept);
            for (size_t i = 0; i < s.count; i++)
                assert_memory_equal(s.sh + a * i, before.sh + b * i, a * sizeof(float));
            gs_scene_finish(&s);
            gs_scene_finish(&before);
        }
    struct gs_scene s = test_scene(1, 1, 1);
    assert_fails(gs_scene_cut_sh(&s, -1), FV_EINVALID, "SH degree -1");
    assert_fails(gs_scene_cut_sh(&s, 4), FV_EINVALID, "SH degree 4");
    gs_scene_finish(&s);
}

static void edits_of_an_empty_scene(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(0, 3, 1), more = test_scene(2, 1, 1);
    assert_ok(gs_scene_crop(&s, (float[]){0, 0, 0}, (float[]){1, 1, 1}));
    assert_ok(gs_scene_prune_opacity(&s, 0.5f));
    assert_ok(gs_scene_cut_sh(&s, 0));
    assert_ok(gs_scene_transform(&s, (float[]){1, 0, 0, 0}, 1, (float[]){0, 0, 0}));
    assert_ok(gs_scene_reorder(&s, NULL));
    gs_scene_drop_bad(&s);
    assert_int_equal(s.count, 0);
    assert_ok(gs_scene_append(&s, &more));
    assert_same_scene(&s, &more);
    gs_scene_finish(&s);
    gs_scene_finish(&more);
}

/* ---- order, bounds, comparison ----------------------------------------------------------- */

static void reorder_permutes_all_arrays(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(3000, 2, 7), before = copy_of(&s);
    uint32_t order[3000];
    for (uint32_t i = 0; i < 3000; i++)
        order[i] = (i * 7 + 5) % 3000;
    s.up[0] = 1;
    assert_ok(gs_scene_reorder(&s, order));
    for (size_t i = 0; i < 3000; i++) {
        size_t k = order[i];
        assert_memory_equal(s.position + 3 * i, before.position + 3 * k, 12);
        assert_memory_equal(s.scale + 3 * i, before.scale + 3 * k, 12);
        assert_memory_equal(s.rotation + 4 * i, before.rotation + 4 * k, 16);
        assert_memory_equal(s.opacity + i, before.opacity + k, 4);
        assert_memory_equal(s.sh + 27 * i, before.sh + 27 * k, 27 * sizeof(float));
    }
    assert_near(s.up[0], 1, 0);
    gs_scene_finish(&s);
    gs_scene_finish(&before);
}

static double path_length(const struct gs_scene *s, const uint32_t *order)
{
    double sum = 0;
    for (size_t i = 1; i < s->count; i++) {
        double d2 = 0;
        for (int k = 0; k < 3; k++) {
            size_t a = order ? order[i] : i, b = order ? order[i - 1] : i - 1;
            d2 += pow(
                (double)s->position[3 * a + (size_t)k] - (double)s->position[3 * b + (size_t)k], 2);
        }
        sum += sqrt(d2);
    }
    return sum;
}

static void morton_order_is_a_compact_permutation(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(20000, 0, 7);
    uint32_t *order = calloc(s.count, sizeof *order);
    bool *seen = calloc(s.count, sizeof *seen);
    s.position[0] = 1e30f; /* a floater does not spoil it */
    assert_ok(gs_scene_morton(&s, order));
    for (size_t i = 0; i < s.count; i++) {
        assert_true(order[i] < s.count && !seen[order[i]]);
        seen[order[i]] = true;
    }
    s.position[0] = 0;
    assert_true(path_length(&s, order) < path_length(&s, NULL) / 10);
    free(order);
    free(seen);
    gs_scene_finish(&s);
}

static void bounds_of_a_known_scene(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(1001, 0, 1);
    for (int i = 0; i < 1001; i++)
        for (int k = 0; k < 3; k++)
            s.position[3 * i + k] = k == 0 ? (float)(i * 5 % 1001) - 500 : (float)k;
    struct gs_bounds b;
    gs_scene_bounds(&s, &b);
    assert_near(b.min[0], -500, 0);
    assert_near(b.max[0], 500, 0);
    assert_near(b.min[2], 2, 0);
    assert_near(b.max[2], 2, 0);
    assert_near(b.centre[0], 0, 0);
    assert_near(b.centre[1], 1, 0);
    assert_near(b.radius, 450, 1);
    /* floaters move the box, not the ball */
    for (int i = 0; i < 20; i++)
        s.position[3 * i] = 1e6f;
    gs_scene_bounds(&s, &b);
    assert_near(b.max[0], 1e6, 0);
    assert_near(b.centre[0], 10, 12);
    assert_near(b.radius, 455, 15);
    gs_scene_finish(&s);
    gs_scene_bounds(&s, &b);
    assert_near(b.radius, 0, 0);
}

static void bounds_of_a_large_scene(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(700001, 0, 3);
    struct gs_bounds b;
    s.position[3 * 654321 + 1] = -77; /* not among the samples, but inside the box */
    gs_scene_bounds(&s, &b);
    assert_near(b.min[1], -77, 0);
    for (int k = 0; k < 3; k++)
        assert_near(b.centre[k], 0, 0.03); /* uniform in -3..3 */
    gs_scene_finish(&s);
}

static void compare_finds_each_difference(void **state)
{
    (void)state;
    struct gs_scene a = test_scene(10, 1, 1), b = copy_of(&a);
    struct gs_scene_diff d, tolerance = {1e-3, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3, 0, NULL};
    for (int k = 0; k < 4; k++)
        b.rotation[k] *= -3; /* the same rotation */
    a.opacity[2] = b.opacity[2] = INFINITY;
    a.scale[0] = b.scale[0] = -INFINITY;
    assert_ok(gs_scene_compare(&a, &b, &tolerance, &d));
    assert_true(d.first_bad == SIZE_MAX);
    assert_near(d.rotation, 0, 1e-7);
    struct {
        float *value;
        double *diff;
        const char *what;
        size_t row;
    } cases[] = {{&b.position[3 * 7 + 1], &d.position, "position", 7},
                 {&b.scale[3 * 6 + 2], &d.scale, "scale", 6},
                 {&b.sh[12 * 5 + 2], &d.dc, "f_dc", 5},
                 {&b.sh[12 * 4 + 3], &d.rest, "f_rest", 4},
                 {&b.opacity[3], &d.alpha, "alpha", 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float old = *cases[i].value;
        *cases[i].value += 0.25f;
        assert_ok(gs_scene_compare(&a, &b, &tolerance, &d));
        assert_int_equal(d.first_bad, cases[i].row);
        assert_string_equal(d.first_bad_what, cases[i].what);
        if (strcmp(cases[i].what, "alpha"))
            assert_near(*cases[i].diff, 0.25, 1e-6);
        assert_ok(gs_scene_compare(&a, &b, NULL, &d));
        assert_true(d.first_bad == SIZE_MAX);
        *cases[i].value = NAN;
        assert_ok(gs_scene_compare(&a, &b, &tolerance, &d));
        assert_int_equal(d.first_bad, cases[i].row);
        *cases[i].value = old;
    }
    b.rotation[4 * 8] += 1;
    assert_ok(gs_scene_compare(&a, &b, &tolerance, &d));
    assert_int_equal(d.first_bad, 8);
    b.count = 9;
    assert_fails(gs_scene_compare(&a, &b, NULL, &d), FV_EINVALID, "10 Gaussians against 9");
    b.count = 10;
    b.sh_degree = 0;
    assert_fails(gs_scene_compare(&a, &b, NULL, &d), FV_EINVALID, "SH degree 1 against 0");
    b.sh_degree = 1;
    gs_scene_finish(&a);
    gs_scene_finish(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transform_turns_colours_of_every_band),
        cmocka_unit_test(transform_keeps_bands_apart),
        cmocka_unit_test(transform_moves_and_turns_shapes),
        cmocka_unit_test(transform_turns_up),
        cmocka_unit_test(transform_back_and_forth),
        cmocka_unit_test(transform_rejects_nonsense),
        cmocka_unit_test(flip_signs_mirror_the_basis),
        cmocka_unit_test(append_pads_sh),
        cmocka_unit_test(append_takes_mode_and_up),
        cmocka_unit_test(crop_keeps_centres_inside),
        cmocka_unit_test(prune_keeps_the_opaque),
        cmocka_unit_test(cut_sh_keeps_low_bands),
        cmocka_unit_test(edits_of_an_empty_scene),
        cmocka_unit_test(reorder_permutes_all_arrays),
        cmocka_unit_test(morton_order_is_a_compact_permutation),
        cmocka_unit_test(bounds_of_a_known_scene),
        cmocka_unit_test(bounds_of_a_large_scene),
        cmocka_unit_test(compare_finds_each_difference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
