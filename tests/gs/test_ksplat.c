/* gs/ksplat.c: read only. Files are built here field by field. */
#include "support/scene.h"
#include "vk/base/half.h"

enum { HEADER = 4096, SECTION = 1024 };

static const struct gs_scene_diff decoding = {.position = 1e-6,
                                              .alpha = 2e-6, /* the reference keeps off 0 and 1 */
                                              .scale = 1e-6,
                                              .rotation = 1e-6,
                                              .dc = 1e-6,
                                              .rest = 1e-6};

static void set_u32(struct test_bytes *b, size_t at, uint32_t v)
{
    memcpy(b->data + at, &v, 4);
}

static void set_f32(struct test_bytes *b, size_t at, float v)
{
    memcpy(b->data + at, &v, 4);
}

static void put_real(struct test_bytes *b, int level, float v)
{
    uint16_t h = fv_f32_to_f16(v);
    test_put(b, level ? (void *)&h : (void *)&v, level ? 2 : 4);
}

/* Row i: position (i, 10 + i, 20 + i), deviations 2^-1 2^-2 2^-3, SH number j = j / 64. At
 * levels 1 and 2 the bucket of row i is centred on the row's position but for an offset. */
static void put_row(struct test_bytes *b, int level, int degree, int i)
{
    for (int k = 0; k < 3; k++)
        if (level)
            test_put(b, &(uint16_t){(uint16_t)(32767 + 16384 * (k - 1))}, 2); /* -+ a quarter */
        else
            test_put(b, &(float){(float)(10 * k + i)}, 4);
    for (int k = 1; k <= 3; k++)
        put_real(b, level, ldexpf(1, -k));
    for (int k = 0; k < 4; k++)
        put_real(b, level, (float)(k + 1) / 8);
    test_put(b, "\x00\x33\xff\x80", 4);
    for (int j = 0; j < 3 * (gs_sh_coefs(degree) - 1); j++)
        if (level == 2)
            test_put(b, &(uint8_t){(uint8_t)(j * 8)}, 1);
        else
            put_real(b, level, (float)j / 64);
}

/* One section of rows with one full bucket of two rows and partial ones of 1 and the rest. */
static struct test_bytes build(int level, int degree, uint32_t rows)
{
    struct test_bytes b = {.data = calloc(1, HEADER + SECTION), .size = HEADER + SECTION};
    assert_non_null(b.data);
    b.data[1] = 1;
    set_u32(&b, 4, 1);
    set_u32(&b, 8, 1);
    set_u32(&b, 12, rows);
    set_u32(&b, 16, rows);
    b.data[20] = (uint8_t)level;
    set_f32(&b, 36, -1);
    set_f32(&b, 40, 3);
    set_u32(&b, HEADER, rows);
    set_u32(&b, HEADER + 4, rows);
    b.data[HEADER + 40] = (uint8_t)degree;
    if (level) {
        set_u32(&b, HEADER + 8, 2);
        set_u32(&b, HEADER + 12, 3);
        set_f32(&b, HEADER + 16, 5);
        b.data[HEADER + 20] = 12;
        set_u32(&b, HEADER + 24, 32767);
        set_u32(&b, HEADER + 32, 1);
        set_u32(&b, HEADER + 36, 2);
        test_put(&b, &(uint32_t){1}, 4);
        test_put(&b, &(uint32_t){rows - 3}, 4);
        for (int bucket = 0; bucket < 3; bucket++)
            for (int k = 0; k < 3; k++)
                test_put(&b, &(float){(float)(100 * bucket + k)}, 4);
    }
    for (uint32_t i = 0; i < rows; i++)
        put_row(&b, level, degree, (int)i);
    return b;
}

static void decodes_known_rows(void **state)
{
    (void)state;
    for (int level = 0; level <= 2; level++)
        for (int degree = 0; degree <= 3; degree++) {
            struct test_bytes b = build(level, degree, 5);
            struct gs_scene s;
            assert_ok(gs_scene_parse(&s, b.data, b.size, "a.ksplat", NULL));
            assert_int_equal(s.count, 5);
            assert_int_equal(s.sh_degree, degree);
            assert_int_equal(s.format, GS_FORMAT_KSPLAT);
            static const int bucket[] = {0, 0, 1, 2, 2};
            int coefs = gs_sh_coefs(degree);
            for (int i = 0; i < 5; i++) {
                const float *sh = s.sh + i * coefs * 3;
                for (int k = 0; k < 3; k++) {
                    double want =
                        level ? 100 * bucket[i] + k + (k - 1) * 2.5 * 16384 / 32767 : 10 * k + i;
                    assert_near(s.position[3 * i + k], want, 1e-5);
                    assert_near(s.scale[3 * i + k], -(k + 1) * log(2), 1e-6);
                }
                assert_near(s.rotation[4 * i + 3], 0.5, 0);
                assert_near(sh[1], (0.2 - 0.5) / 0.28209479177387814, 1e-6);
                assert_near(s.opacity[i], log(128.0 / 127), 1e-6);
                /* band by band; inside a band channel by channel */
                int j = 0;
                for (int band = 1; band <= degree; band++)
                    for (int c = 0; c < 3; c++)
                        for (int k = band * band; k < (band + 1) * (band + 1); k++, j++)
                            assert_near(sh[3 * k + c],
                                        level == 2 ? -1 + (j * 8 & 255) / 255.0 * 4 : j / 64.0,
                                        1e-6);
            }
            gs_scene_finish(&s);
            test_bytes_free(&b);
        }
}

static void joins_sections_of_different_degree(void **state)
{
    (void)state;
    struct test_bytes a = build(0, 1, 3), c = build(0, 0, 2), b = {0};
    test_put(&b, a.data, HEADER + SECTION);
    test_put(&b, c.data + HEADER, SECTION);
    test_put(&b, a.data + HEADER + SECTION, a.size - HEADER - SECTION);
    test_put(&b, c.data + HEADER + SECTION, c.size - HEADER - SECTION);
    set_u32(&b, 4, 2);
    set_u32(&b, 16, 5);
    struct gs_scene s;
    assert_ok(gs_scene_parse(&s, b.data, b.size, "a.ksplat", NULL));
    assert_int_equal(s.count, 5);
    assert_int_equal(s.sh_degree, 1);
    assert_near(s.sh[12 * 2 + 11], 8.0 / 64, 0);
    assert_near(s.position[3 * 4], 1, 0);
    for (int k = 3; k < 12; k++)
        assert_near(s.sh[12 * 3 + k], 0, 0);
    gs_scene_finish(&s);
    test_bytes_free(&a);
    test_bytes_free(&b);
    test_bytes_free(&c);
}

static void skips_room_for_more_splats(void **state)
{
    (void)state;
    struct test_bytes b = build(0, 0, 3);
    set_u32(&b, HEADER + 4, 100); /* room that is not in the file */
    struct gs_scene s;
    assert_ok(gs_scene_parse(&s, b.data, b.size, "a.ksplat", NULL));
    assert_int_equal(s.count, 3);
    gs_scene_finish(&s);
    test_bytes_free(&b);
}

static void default_sh_range(void **state)
{
    (void)state;
    struct test_bytes b = build(2, 1, 3);
    set_f32(&b, 36, 0);
    set_f32(&b, 40, 0);
    struct gs_scene s;
    assert_ok(gs_scene_parse(&s, b.data, b.size, "a.ksplat", NULL));
    assert_near(s.sh[3], -1.5, 0);
    gs_scene_finish(&s);
    test_bytes_free(&b);
}

static void matches_golden(void **state)
{
    (void)state;
    int found = 0;
    for (int level = 0; level <= 2; level++) {
        char encoded[32], decoded[40];
        snprintf(encoded, sizeof encoded, "mk_level%d.ksplat", level);
        snprintf(decoded, sizeof decoded, "decoded_mk_level%d.ply", level);
        found += test_golden_cases(encoded, decoded, &decoding);
    }
    assert_true(found > 0);
}

/* ---- bad input -------------------------------------------------------------------------- */

static void assert_rejected(struct test_bytes *b, int code, const char *part)
{
    struct gs_scene s;
    assert_fails(gs_scene_parse(&s, b->data, b->size, "bad.ksplat", NULL), code, part);
    assert_non_null(strstr(fv_error(), "bad.ksplat"));
    assert_null(s.position);
    test_bytes_free(b);
}

static void rejects_every_truncation(void **state)
{
    (void)state;
    for (int level = 0; level <= 2; level++) {
        struct test_bytes b = build(level, 1, 5);
        struct gs_scene s;
        for (size_t n = 0; n < b.size; n += n < HEADER + SECTION - 2 ? 97 : 1)
            if (gs_scene_parse(&s, b.data, n, "cut.ksplat", NULL) >= 0)
                fail_msg("%zu of %zu bytes were accepted", n, b.size);
        test_bytes_free(&b);
    }
}

static void rejects_other_versions(void **state)
{
    (void)state;
    struct test_bytes b = build(0, 0, 3);
    b.data[0] = 1;
    assert_rejected(&b, FV_EUNSUPPORTED, "version 1.1");
    b = build(0, 0, 3);
    b.data[1] = 0;
    assert_rejected(&b, FV_EUNSUPPORTED, "version 0.0");
}

static void rejects_unknown_level(void **state)
{
    (void)state;
    struct test_bytes b = build(0, 0, 3);
    b.data[20] = 3;
    assert_rejected(&b, FV_EFORMAT, "compression level 3");
}

static void rejects_lying_counts(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint32_t value;
        const char *part;
    } cases[] = {
        {4, 0xffffffff, "section count 4294967295"},
        {4, 2, "section count 2"},
        {16, 4, "splat count 4, but its sections hold 5"},
        {16, 0xffffffff, "splat count 4294967295"},
        {HEADER, 0xffffffff, "section 0: the file is cut short"},
        {HEADER, 0, "splat count 5"},
        {HEADER + 4, 4, "section 0: more splats than it has room for"},
        {HEADER + 12, 0xffffffff, "section 0: the file is cut short"},
        {HEADER + 12, 2, "section 0: its buckets have no centres"},
        {HEADER + 36, 0xffffffff, "section 0: the file is cut short"},
        {HEADER + 32, 0, "section 0: its buckets hold fewer"},
        {HEADER + 32, 0xffffffff, "section 0: its buckets have no centres"},
        {HEADER + 8, 0, "section 0: its buckets hold fewer"},
        {HEADER + 20, 8, "section 0:"},
        {HEADER + 40, 4, "section 0: SH degree"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct test_bytes b = build(1, 1, 5);
        set_u32(&b, cases[i].at, cases[i].value);
        assert_rejected(&b, FV_EFORMAT, cases[i].part);
    }
}

static void rejects_empty_scene(void **state)
{
    (void)state;
    struct test_bytes b = build(0, 0, 0);
    assert_rejected(&b, FV_EFORMAT, "splat count 0");
}

static void cannot_be_written(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(1, 0, 1);
    assert_fails(gs_scene_save(&s, test_tmp_path("a.ksplat"), NULL), FV_EUNSUPPORTED,
                 "ksplat scenes cannot be written");
    gs_scene_finish(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_known_rows),
        cmocka_unit_test(joins_sections_of_different_degree),
        cmocka_unit_test(skips_room_for_more_splats),
        cmocka_unit_test(default_sh_range),
        cmocka_unit_test(matches_golden),
        cmocka_unit_test(rejects_every_truncation),
        cmocka_unit_test(rejects_other_versions),
        cmocka_unit_test(rejects_unknown_level),
        cmocka_unit_test(rejects_lying_counts),
        cmocka_unit_test(rejects_empty_scene),
        cmocka_unit_test(cannot_be_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
