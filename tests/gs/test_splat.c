/* gs/splat.c: 32-byte rows. */
#include "support/scene.h"

/* What the bytes can hold: floats for position and deviation, 1/255 for the rest. */
static const struct gs_scene_diff decoding = {.position = 0,
                                              .alpha = 2e-6, /* the reference keeps off 0 and 1 */
                                              .scale = 1e-6,
                                              .rotation = 1e-6,
                                              .dc = 1e-6};

static void put_row(struct test_bytes *b, const float f[6], const char *bytes)
{
    test_put(b, f, 24);
    test_put(b, bytes, 8);
}

static void decodes_known_bytes(void **state)
{
    (void)state;
    struct test_bytes b = {0};
    put_row(&b, (float[]){1, 2, 3, 1, 0.5f, 2}, "\xff\x00\x80\x80\xff\x80\x80\x80");
    put_row(&b, (float[]){4, 5, 6, 1, 0, 1}, "\x00\x00\x00\xff\x00\x80\x80\x80");
    struct gs_scene s;
    assert_ok(gs_scene_parse(&s, b.data, b.size, "a.splat", NULL));
    assert_int_equal(s.count, 2);
    assert_int_equal(s.sh_degree, 0);
    assert_int_equal(s.format, GS_FORMAT_SPLAT);
    assert_near(s.position[5], 6, 0);
    assert_near(s.scale[1], log(0.5), 1e-7);
    assert_true(isinf(s.scale[4]) && s.scale[4] < 0);
    assert_near(s.sh[0], 0.5 / 0.28209479177387814, 1e-6);
    assert_near(s.sh[1], -0.5 / 0.28209479177387814, 1e-6);
    assert_near(s.opacity[0], log(128.0 / 127), 1e-6);
    assert_true(isinf(s.opacity[1]) && s.opacity[1] > 0);
    for (int k = 0; k < 4; k++) { /* 128 is zero; a component 1 is clamped to 255 */
        assert_near(s.rotation[k], k ? 0 : 127.0 / 128, 0);
        assert_near(s.rotation[4 + k], k ? 0 : -1, 0);
    }
    gs_scene_finish(&s);
    test_bytes_free(&b);
}

static void matches_golden(void **state)
{
    (void)state;
    assert_true(test_golden_cases("am15.splat", "decoded_am15_splat.ply", &decoding) > 0);
}

/* Bytes of unit quaternions by the rounding of web converters or the truncation of convert.py;
 * the rows of *s are the true ones. */
static struct test_bytes encoded(const struct gs_scene *s, bool truncated)
{
    struct test_bytes b = {0};
    for (size_t i = 0; i < s->count; i++) {
        const float *q = s->rotation + 4 * i;
        double norm = 0;
        char bytes[8] = {50, 100, 120, 120};
        for (int k = 0; k < 4; k++)
            norm += (double)q[k] * (double)q[k];
        for (int k = 0; k < 4; k++) {
            double v = 128 * (double)q[k] / sqrt(norm) + 128;
            v = fmin(truncated ? floor(v) : rint(v), 255);
            bytes[4 + k] = (char)(uint8_t)v;
        }
        put_row(&b, (float[]){(float)i, 0, 0, 1, 1, 1}, bytes);
    }
    return b;
}

/* Mean square of the angle between two scenes' rotations. */
static double mean_square_angle(const struct gs_scene *a, const struct gs_scene *b)
{
    double sum = 0;
    for (size_t i = 0; i < a->count; i++) {
        double dot = 0, aa = 0, bb = 0;
        for (int k = 0; k < 4; k++) {
            double x = (double)a->rotation[4 * i + k], y = (double)b->rotation[4 * i + k];
            dot += x * y;
            aa += x * x;
            bb += y * y;
        }
        double sine2 = fmax(1 - dot * dot / (aa * bb), 0);
        sum += 4 * sine2;
    }
    return sum / (double)a->count;
}

/* Read by the right rule, rotations are off by the rounding alone: three of the four components
 * turn, each by a uniform step of 1/128, and a rotation by twice that angle. Read by the other it
 * is four times as much. */
static void tells_rounded_from_truncated(void **state)
{
    (void)state;
    const double rounding = 4 * 3.0 / 12 / (128 * 128);
    for (size_t count = 40; count <= 4000; count *= 10)
        for (int truncated = 0; truncated < 2; truncated++) {
            struct gs_scene s = test_scene(count, 0, 17), got, back;
            struct test_bytes b = encoded(&s, truncated);
            assert_ok(gs_scene_parse(&got, b.data, b.size, "t.splat", NULL));
            assert_int_equal(strstr(got.detail, "truncated") != NULL, truncated);
            double error = mean_square_angle(&s, &got);
            if (!(error < 1.4 * rounding))
                fail_msg("%zu %s rows: %g, expected %g", count, truncated ? "truncated" : "rounded",
                         error, rounding);
            /* written again: the same bytes, up to the order */
            const char *path = test_tmp_path("same.splat");
            assert_ok(gs_scene_save(&got, path, NULL));
            size_t size;
            uint8_t *again = test_read_file(path, &size);
            assert_int_equal(size, b.size);
            for (size_t i = 0; i < count; i++) {
                float x;
                memcpy(&x, again + 32 * i, 4);
                assert_memory_equal(again + 32 * i + 28, b.data + 32 * (size_t)x + 28, 4);
            }
            assert_ok(gs_scene_load(&back, path, NULL));
            assert_string_equal(back.detail, got.detail);
            free(again);
            gs_scene_finish(&back);
            gs_scene_finish(&got);
            gs_scene_finish(&s);
            test_bytes_free(&b);
        }
}

/* A trained scene of the web: its lengths say it was rounded. */
static void real_scene_is_rounded(void **state)
{
    (void)state;
    const char *path = test_source("../shared/data/splats/splat/sjeongab_model.splat");
    FILE *f = fopen(path, "rb");
    struct gs_scene s;
    if (!f)
        skip();
    fclose(f);
    assert_ok(gs_scene_load(&s, path, NULL));
    assert_string_equal(s.detail, "splat");
    gs_scene_finish(&s);
}

/* Equal or few quaternions tell nothing: rounded is taken. */
static void few_or_equal_rotations_are_rounded(void **state)
{
    (void)state;
    for (int few = 0; few < 2; few++) {
        struct gs_scene s = test_scene(few ? 31 : 500, 0, 19), got;
        for (size_t i = 0; !few && i < 4 * s.count; i++)
            s.rotation[i] = 0.5f;
        struct test_bytes b = encoded(&s, true);
        assert_ok(gs_scene_parse(&got, b.data, b.size, "t.splat", NULL));
        assert_string_equal(got.detail, "splat");
        gs_scene_finish(&got);
        gs_scene_finish(&s);
        test_bytes_free(&b);
    }
}

/* The row of the original a decoded one came from: positions are kept exactly. */
static size_t find_row(const struct gs_scene *s, const float *position)
{
    for (size_t i = 0; i < s->count; i++)
        if (!memcmp(s->position + 3 * i, position, 12))
            return i;
    fail_msg("a position was changed");
    return 0;
}

static void keeps_to_its_steps(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(2000, 0, 5), got;
    s.opacity[0] = INFINITY;
    s.opacity[1] = -INFINITY;
    s.scale[9] = -INFINITY;
    test_save_load(&got, &s, "steps.splat");
    assert_int_equal(got.count, s.count);
    for (size_t i = 0; i < got.count; i++) {
        size_t k = find_row(&s, got.position + 3 * i);
        double norm_a = 0, norm_b = 0, dot = 0;
        for (int c = 0; c < 3; c++) {
            double colour = 0.5 + 0.28209479177387814 * (double)s.sh[3 * k + c];
            colour = fmin(fmax(colour, 0), 1);
            assert_near(0.5 + 0.28209479177387814 * (double)got.sh[3 * i + c], colour,
                        0.5 / 255 + 1e-6);
            if (isfinite(s.scale[3 * k + c]))
                assert_near(got.scale[3 * i + c], s.scale[3 * k + c], 1e-6);
            else
                assert_true(isinf(got.scale[3 * i + c]));
        }
        assert_near(1 / (1 + exp(-(double)got.opacity[i])), 1 / (1 + exp(-(double)s.opacity[k])),
                    0.5 / 255 + 1e-6);
        for (int c = 0; c < 4; c++) {
            double a = (double)got.rotation[4 * i + c], b = (double)s.rotation[4 * k + c];
            norm_a += a * a;
            norm_b += b * b;
            dot += a * b;
        }
        /* half a step of 2/255 in each of four components */
        assert_true(acos(fmin(fabs(dot) / sqrt(norm_a * norm_b), 1)) < 2.0 / 255 + 1e-4);
    }
    gs_scene_finish(&got);
    gs_scene_finish(&s);
}

static void sorts_by_size_times_alpha(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(500, 0, 7), got;
    test_save_load(&got, &s, "sorted.splat");
    double last = INFINITY;
    for (size_t i = 0; i < got.count; i++) {
        double size = exp((double)got.scale[3 * i] + (double)got.scale[3 * i + 1] +
                          (double)got.scale[3 * i + 2]);
        double key = size / (1 + exp(-(double)got.opacity[i]));
        assert_true(key <= last * (1 + 1e-6));
        last = key;
    }
    gs_scene_finish(&got);
    gs_scene_finish(&s);
}

static void leaves_out_sh(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(20, 3, 11), got;
    test_save_load(&got, &s, "sh.splat");
    assert_int_equal(got.sh_degree, 0);
    gs_scene_finish(&got);
    gs_scene_finish(&s);
}

static void huge_scale_stays_finite(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(2, 0, 13), got;
    s.scale[0] = 200;
    test_save_load(&got, &s, "huge.splat");
    assert_int_equal(got.count, 2);
    assert_int_equal(got.dropped, 0);
    gs_scene_finish(&got);
    gs_scene_finish(&s);
}

static void rejects_partial_rows(void **state)
{
    (void)state;
    uint8_t bytes[95] = {0};
    struct gs_scene s;
    assert_fails(gs_scene_parse(&s, bytes, 95, "cut.splat", NULL), FV_EFORMAT,
                 "cut.splat: its 95 bytes are not a multiple of 32");
    assert_fails(gs_scene_parse(&s, bytes, 31, "cut.splat", NULL), FV_EFORMAT, "31 bytes");
    assert_fails(gs_scene_parse(&s, bytes, 0, "cut.splat", NULL), FV_EFORMAT, "empty");
}

static void drops_nan_rows(void **state)
{
    (void)state;
    struct test_bytes b = {0};
    put_row(&b, (float[]){NAN, 2, 3, 1, 1, 1}, "abcdabcd");
    put_row(&b, (float[]){1, 2, 3, -1, 1, 1}, "abcdabcd"); /* ln of a negative number */
    put_row(&b, (float[]){1, 2, 3, INFINITY, 1, 1}, "abcdabcd");
    put_row(&b, (float[]){1, 2, 3, 1, 1, 1}, "abcdabcd");
    struct gs_scene s;
    assert_ok(gs_scene_parse(&s, b.data, b.size, "nan.splat", NULL));
    assert_int_equal(s.count, 1);
    assert_int_equal(s.dropped, 3);
    gs_scene_finish(&s);
    test_bytes_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_known_bytes),
        cmocka_unit_test(matches_golden),
        cmocka_unit_test(tells_rounded_from_truncated),
        cmocka_unit_test(real_scene_is_rounded),
        cmocka_unit_test(few_or_equal_rotations_are_rounded),
        cmocka_unit_test(keeps_to_its_steps),
        cmocka_unit_test(sorts_by_size_times_alpha),
        cmocka_unit_test(leaves_out_sh),
        cmocka_unit_test(huge_scale_stays_finite),
        cmocka_unit_test(rejects_partial_rows),
        cmocka_unit_test(drops_nan_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
