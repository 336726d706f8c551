/* gs/compressed_ply.c. */
#include "support/scene.h"

static const struct gs_scene_diff decoding = {
    .position = 1e-6, .alpha = 1e-6, .scale = 1e-6, .rotation = 1e-6, .dc = 1e-6, .rest = 1e-6};

/* A file of two Gaussians in one chunk, SH degree 1, with parts a test may change. */
struct file {
    const char *format, *chunks, *vertices, *position, *sh, *sh_type;
    bool no_colour_range, no_chunks, big;
};

static void put_u32(struct test_bytes *b, uint32_t u, bool big)
{
    test_put(b, &(uint32_t){big ? __builtin_bswap32(u) : u}, 4);
}

static void put_f32(struct test_bytes *b, float f, bool big)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    put_u32(b, u, big);
}

static struct test_bytes build(const struct file *f)
{
    static const char *const ranges[] = {"x",       "y", "z", "scale_x", "scale_y",
                                         "scale_z", "r", "g", "b"};
    struct test_bytes b = {0};
    int kinds = f->no_colour_range ? 6 : 9;
    test_putf(&b, "ply\nformat %s 1.0\ncomment antialiased 1\n",
              f->format ? f->format
              : f->big  ? "binary_big_endian"
                        : "binary_little_endian");
    test_putf(&b, "element %s %s\n", f->no_chunks ? "chunky" : "chunk",
              f->chunks ? f->chunks : "1");
    for (int k = 0; k < kinds; k += 3)
        for (int max = 0; max < 2; max++)
            for (int i = k; i < k + 3; i++)
                test_putf(&b, "property float %s_%s\n", max ? "max" : "min", ranges[i]);
    test_putf(&b, "element vertex %s\n", f->vertices ? f->vertices : "2");
    test_putf(&b, "property %s\n", f->position ? f->position : "uint packed_position");
    test_putf(&b, "property uint packed_rotation\nproperty uint packed_scale\n"
                  "property uint packed_color\n");
    test_putf(&b, "element sh %s\n", f->sh ? f->sh : "2");
    for (int i = 0; i < 9; i++)
        test_putf(&b, "property %s f_rest_%d\n", f->sh_type ? f->sh_type : "uchar", i);
    test_putf(&b, "end_header\n");
    for (int k = 0; k < kinds; k += 3)
        for (int max = 0; max < 2; max++)
            for (int i = k; i < k + 3; i++)
                put_f32(&b, max ? (float)i + 1 : (float)-i, f->big);
    const uint32_t rows[2][4] = {{0, 0x1fffffff, 0xffffffff, 0x00ff80ff},
                                 {0xffffffff, 0xdff7fdff, 0, 0xff000033}};
    for (int r = 0; r < 2; r++)
        for (int k = 0; k < 4; k++)
            put_u32(&b, rows[r][k], f->big);
    test_put(&b, "\0\1\2\3\4\5\6\7\10\377\200\177\0\0\0\0\0\0", 18);
    return b;
}

static void decodes_known_bits(void **state)
{
    (void)state;
    for (int variant = 0; variant < 4; variant++) {
        bool ranged = variant & 1;
        struct file f = {.no_colour_range = !ranged, .big = variant & 2};
        struct test_bytes b = build(&f);
        struct gs_scene s;
        assert_ok(gs_scene_parse(&s, b.data, b.size, "a.compressed.ply", NULL));
        assert_int_equal(s.count, 2);
        assert_int_equal(s.sh_degree, 1);
        assert_int_equal(s.format, GS_FORMAT_COMPRESSED_PLY);
        assert_int_equal(s.mode, GS_MODE_ANTIALIASED);
        for (int k = 0; k < 3; k++) {
            assert_near(s.position[k], -k, 0);
            assert_near(s.position[3 + k], k + 1, 0);
            assert_near(s.scale[k], k + 4, 0);
            assert_near(s.scale[3 + k], -k - 3, 0);
        }
        /* w left out; x = (511/1023 - 0.5) sqrt 2, y and z = 0.5 sqrt 2: no room left for w */
        assert_near(s.rotation[1], (511.0 / 1023 - 0.5) * sqrt(2), 1e-7);
        assert_near(s.rotation[2], sqrt(0.5), 1e-7);
        assert_near(s.rotation[0], 0, 1e-7);
        /* z left out, the others nearly 0 */
        assert_near(s.rotation[7], 1, 1e-5);
        double low = ranged ? -7 : 0, high = ranged ? 8 : 1, c0 = 0.28209479177387814;
        assert_near(s.sh[1], (high - 0.5) / c0, 1e-5);
        assert_near(s.sh[12 + 1], (low - 0.5) / c0, 1e-5);
        assert_true(isinf(s.opacity[0]) && s.opacity[0] > 0);
        assert_near(s.opacity[1], log(0.2 / 0.8), 1e-6);
        /* channel-major: bytes 0..8 of row 0, coefficient k of channel c is byte 3 c + k */
        assert_near(s.sh[3], -4, 0);
        assert_near(s.sh[3 + 1], (3.5 / 256 - 0.5) * 8, 1e-6);
        assert_near(s.sh[6 + 2], (7.5 / 256 - 0.5) * 8, 1e-6);
        assert_near(s.sh[12 + 3], 4, 0);
        gs_scene_finish(&s);
        test_bytes_free(&b);
    }
}

static void matches_golden(void **state)
{
    (void)state;
    assert_true(test_golden_cases("st.compressed.ply", "decoded_st_compressed.ply", &decoding) > 0);
}

/* Row of s nearest to a position; rows move to Morton order. */
static size_t nearest(const struct gs_scene *s, const float *p)
{
    size_t best = 0;
    double least = INFINITY;
    for (size_t i = 0; i < s->count; i++) {
        double d = 0;
        for (int k = 0; k < 3; k++)
            d += pow((double)s->position[3 * i + k] - (double)p[k], 2);
        if (d < least) {
            least = d;
            best = i;
        }
    }
    return best;
}

/* Ranges of this scene: 6 in position, 8 in scale, 3 C0 in colour, over 1023 and 255 steps. */
static void keeps_to_its_steps(void **state)
{
    (void)state;
    for (int degree = 0; degree <= 3; degree++) {
        struct gs_scene s = test_scene(1000, degree, 5), got;
        size_t n = 3 * (size_t)gs_sh_coefs(degree);
        s.opacity[0] = INFINITY;
        s.opacity[1] = -INFINITY;
        test_save_load(&got, &s, "steps.compressed.ply");
        assert_int_equal(got.count, s.count);
        assert_int_equal(got.sh_degree, degree);
        for (size_t i = 0; i < got.count; i++) {
            size_t k = nearest(&s, got.position + 3 * i);
            double norm = 0, dot = 0;
            for (int c = 0; c < 3; c++) {
                assert_near(got.position[3 * i + c], s.position[3 * k + c], 3.0 / 1023 + 1e-6);
                assert_near(got.scale[3 * i + c], s.scale[3 * k + c], 4.0 / 1023 + 1e-6);
                assert_near(got.sh[n * i + c], s.sh[n * k + c], 1.5 / 255 + 1e-5);
            }
            for (size_t c = 3; c < n; c++)
                assert_near(got.sh[n * i + c], s.sh[n * k + c], 0.5 * 8 / 256 + 1e-6);
            assert_near(1 / (1 + exp(-(double)got.opacity[i])),
                        1 / (1 + exp(-(double)s.opacity[k])), 0.5 / 255 + 1e-6);
            for (int c = 0; c < 4; c++) {
                norm += pow((double)s.rotation[4 * k + c], 2);
                dot += (double)s.rotation[4 * k + c] * (double)got.rotation[4 * i + c];
            }
            /* half a step of sqrt 2 / 1023 in three components and what follows in the fourth */
            assert_true(acos(fmin(fabs(dot) / sqrt(norm), 1)) < 3e-3);
        }
        gs_scene_finish(&got);
        gs_scene_finish(&s);
    }
}

/* Components that nearly tie are the hard case of rewriting. */
static void rewriting_tied_rotations_changes_nothing(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(2000, 0, 17), got;
    uint64_t seed = 3;
    for (size_t i = 0; i < 4 * s.count; i++)
        s.rotation[i] =
            (float)((test_rand(&seed) & 1 ? 1 : -1) * (1 + test_uniform(&seed, -2e-3, 2e-3)));
    test_save_load(&got, &s, "tied.compressed.ply");
    gs_scene_finish(&got);
    gs_scene_finish(&s);
}

static void keeps_mode_and_up(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(10, 0, 19), got;
    s.mode = GS_MODE_CLASSIC;
    s.up[2] = 1;
    test_save_load(&got, &s, "meta.compressed.ply");
    assert_int_equal(got.mode, GS_MODE_CLASSIC);
    assert_near(got.up[2], 1, 0);
    gs_scene_finish(&got);
    gs_scene_finish(&s);
}

static void clamps_what_the_bits_cannot_hold(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(3, 1, 23), got;
    s.scale[0] = -INFINITY;
    s.scale[4] = 99;
    s.sh[3] = -100;
    s.sh[4] = 100;
    test_save_load(&got, &s, "clamp.compressed.ply");
    assert_int_equal(got.count, 3);
    size_t row = nearest(&got, s.position);
    assert_near(got.scale[3 * row], -20, 1e-6);
    assert_near(got.sh[12 * row + 3], -4, 0);
    assert_near(got.sh[12 * row + 4], 4, 0);
    gs_scene_finish(&got);
    gs_scene_finish(&s);
}

static void equal_rows_make_empty_ranges(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(300, 0, 29), got;
    for (size_t i = 1; i < s.count; i++) {
        memcpy(s.position + 3 * i, s.position, 12);
        memcpy(s.scale + 3 * i, s.scale, 12);
        memcpy(s.sh + 3 * i, s.sh, 12);
    }
    test_save_load(&got, &s, "equal.compressed.ply");
    assert_memory_equal(got.position + 3 * 299, s.position, 12);
    assert_memory_equal(got.scale + 3 * 299, s.scale, 12);
    assert_near(got.sh[3 * 299], s.sh[0], 1e-6);
    gs_scene_finish(&got);
    gs_scene_finish(&s);
}

/* ---- bad input -------------------------------------------------------------------------- */

static void assert_rejected(const struct file *f, int code, const char *part)
{
    struct gs_scene s;
    struct test_bytes b = build(f);
    struct gs_load_opts opts = {.format = GS_FORMAT_COMPRESSED_PLY};
    assert_fails(gs_scene_parse(&s, b.data, b.size, "bad.compressed.ply", &opts), code, part);
    assert_non_null(strstr(fv_error(), "bad.compressed.ply"));
    assert_null(s.position);
    test_bytes_free(&b);
}

static void rejects_lying_counts(void **state)
{
    (void)state;
    assert_rejected(&(struct file){.vertices = "2000000000"}, FV_EFORMAT,
                    "vertex count 2000000000");
    assert_rejected(&(struct file){.chunks = "2000000000"}, FV_EFORMAT, "element chunk");
    assert_rejected(&(struct file){.chunks = "0"}, FV_EFORMAT, "chunk count 0 is too small");
    assert_rejected(&(struct file){.vertices = "-5"}, FV_EFORMAT, "vertex count -5");
    assert_rejected(&(struct file){.vertices = "0"}, FV_EFORMAT, "vertex count 0");
    assert_rejected(&(struct file){.vertices = "3"}, FV_EFORMAT, "sh count 2 differs");
    assert_rejected(&(struct file){.sh = "3"}, FV_EFORMAT, "sh count 3");
}

static void rejects_missing_parts(void **state)
{
    (void)state;
    assert_rejected(&(struct file){.no_chunks = true}, FV_EFORMAT, "no element chunk");
    assert_rejected(&(struct file){.position = "uint packed_rosition"}, FV_EFORMAT,
                    "packed_position is missing");
    assert_rejected(&(struct file){.position = "float packed_position"}, FV_EFORMAT,
                    "packed_position of element vertex is not a uint");
    assert_rejected(&(struct file){.position = "list uchar uint packed_position"}, FV_EFORMAT,
                    "packed_position of element vertex is not a uint");
    assert_rejected(&(struct file){.sh_type = "float"}, FV_EFORMAT,
                    "f_rest_0 of element sh is not a uchar");
    assert_rejected(&(struct file){.format = "ascii"}, FV_EUNSUPPORTED, "text");
}

static void rejects_every_truncation(void **state)
{
    (void)state;
    struct gs_scene s;
    struct test_bytes b = build(&(struct file){0});
    for (size_t n = 0; n < b.size; n++)
        if (gs_scene_parse(&s, b.data, n, "cut.compressed.ply", NULL) != FV_EFORMAT)
            fail_msg("%zu of %zu bytes were accepted", n, b.size);
    assert_ok(gs_scene_parse(&s, b.data, b.size, "cut.compressed.ply", NULL));
    gs_scene_finish(&s);
    test_bytes_free(&b);
}

static void drops_rows_of_nan_ranges(void **state)
{
    (void)state;
    struct gs_scene s;
    struct test_bytes b = build(&(struct file){0});
    float nan = NAN;
    memcpy(b.data + test_ply_body(&b) + 12, &nan, 4); /* max_x */
    assert_fails(gs_scene_parse(&s, b.data, b.size, "nan.compressed.ply", NULL), FV_EFORMAT,
                 "none of its 2 Gaussians");
    test_bytes_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_known_bits),
        cmocka_unit_test(matches_golden),
        cmocka_unit_test(keeps_to_its_steps),
        cmocka_unit_test(rewriting_tied_rotations_changes_nothing),
        cmocka_unit_test(keeps_mode_and_up),
        cmocka_unit_test(clamps_what_the_bits_cannot_hold),
        cmocka_unit_test(equal_rows_make_empty_ranges),
        cmocka_unit_test(rejects_lying_counts),
        cmocka_unit_test(rejects_missing_parts),
        cmocka_unit_test(rejects_every_truncation),
        cmocka_unit_test(drops_rows_of_nan_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
