/* gs/ply.c: every variant of the .ply that is read, what is written, and bad input by name. */
#include "support/scene.h"
#include "vk/base/log.h"

static struct gs_scene parse(const struct test_bytes *b)
{
    struct gs_scene s;
    assert_ok(gs_scene_parse(&s, b->data, b->size, "test.ply", NULL));
    return s;
}

/* The file built this way reads as the scene itself. */
static void assert_reads_same(const struct gs_scene *s, const struct test_ply *spec)
{
    struct test_bytes b = test_ply_build(s, spec);
    struct gs_scene got = parse(&b);
    assert_same_scene(&got, s);
    gs_scene_finish(&got);
    test_bytes_free(&b);
}

#define assert_rejects(bytes, code, part)                                                          \
    do {                                                                                           \
        struct gs_scene s_;                                                                        \
        assert_fails(gs_scene_parse(&s_, (bytes)->data, (bytes)->size, "bad.ply", NULL), code,     \
                     part);                                                                        \
        assert_non_null(strstr(fv_error(), "bad.ply"));                                            \
        assert_null(s_.position);                                                                  \
        assert_int_equal(s_.count, 0);                                                             \
    } while (0)

static void assert_spec_rejected(const struct test_ply *spec, int code, const char *part)
{
    struct gs_scene s = test_scene(4, 1, 1);
    struct test_bytes b = test_ply_build(&s, spec);
    assert_rejects(&b, code, part);
    test_bytes_free(&b);
    gs_scene_finish(&s);
}

/* ---- what is read ----------------------------------------------------------------------- */

static void reads_every_degree(void **state)
{
    (void)state;
    for (int degree = 0; degree <= 3; degree++) {
        struct gs_scene s = test_scene(37, degree, 7);
        assert_reads_same(&s, &(struct test_ply){0});
        assert_reads_same(&s, &(struct test_ply){.format = "binary_big_endian"});
        assert_reads_same(&s, &(struct test_ply){.format = "ascii"});
        gs_scene_finish(&s);
    }
}

static void reads_more_rows_than_one_piece(void **state)
{
    (void)state;
    struct gs_scene s = test_scene((1 << 18) + 777, 0, 9);
    assert_reads_same(&s, &(struct test_ply){0});
    gs_scene_finish(&s);
}

static void reads_one_vertex(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(1, 3, 3);
    assert_reads_same(&s, &(struct test_ply){0});
    gs_scene_finish(&s);
}

static void reads_any_column_order(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(50, 3, 11);
    assert_reads_same(&s, &(struct test_ply){.reversed = true});
    assert_reads_same(&s, &(struct test_ply){.no_normals = true});
    assert_reads_same(&s, &(struct test_ply){.long_names = true, .reversed = true});
    gs_scene_finish(&s);
}

static void skips_unknown_columns(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(50, 0, 13);
#define CORE                                                                                       \
    "f_dc_0:f f_dc_1:f f_dc_2:f opacity:f scale_0:f scale_1:f scale_2:f "                          \
    "rot_0:f rot_1:f rot_2:f rot_3:f"
    assert_reads_same(&s, &(struct test_ply){.columns = "confidence:f x:f y:f z:f " CORE});
    assert_reads_same(&s, &(struct test_ply){.columns = "x:f y:f z:f " CORE " red:B tag:h id:i"});
    assert_reads_same(&s, &(struct test_ply){.columns = "a:b x:f b:B y:f c:H z:f d:I " CORE});
    gs_scene_finish(&s);
}

static void reads_double_positions(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(50, 0, 17);
    assert_reads_same(&s, &(struct test_ply){.columns = "x:d y:d z:d " CORE});
    assert_reads_same(&s, &(struct test_ply){.columns = "x:d y:d z:d " CORE,
                                             .format = "binary_big_endian",
                                             .long_names = true});
    gs_scene_finish(&s);
}

static void reads_whole_number_columns(void **state)
{
    (void)state;
    static const char types[] = "bBhHiI";
    for (const char *t = types; *t; t++) {
        struct gs_scene s = test_scene(5, 0, 19), got;
        char columns[256];
        for (size_t i = 0; i < s.count; i++)
            s.scale[3 * i] = strchr("BHI", *t) ? (float)i : -1 - (float)i;
        snprintf(columns, sizeof columns,
                 "x:f y:f z:f f_dc_0:f f_dc_1:f f_dc_2:f opacity:f scale_0:%c scale_1:f "
                 "scale_2:f rot_0:f rot_1:f rot_2:f rot_3:f",
                 *t);
        for (int big = 0; big < 2; big++) {
            struct test_bytes b =
                test_ply_build(&s, &(struct test_ply){.columns = columns,
                                                      .format = big ? "binary_big_endian" : NULL});
            got = parse(&b);
            assert_same_scene(&got, &s);
            gs_scene_finish(&got);
            test_bytes_free(&b);
        }
        gs_scene_finish(&s);
    }
}

static void reads_crlf_header(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(20, 1, 23);
    assert_reads_same(&s, &(struct test_ply){.crlf = true});
    assert_reads_same(&s, &(struct test_ply){.crlf = true, .format = "ascii"});
    gs_scene_finish(&s);
}

static void skips_elements_before_vertex(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(20, 1, 29);
    assert_reads_same(
        &s, &(struct test_ply){.header = "element camera 2\nproperty float fx\nproperty uchar id\n",
                               .prefix = "\0\1\2\3\4\5\6\7\10\11",
                               .prefix_size = 10});
    const char *faces = "element face 2\nproperty list uchar int i\nproperty uchar f\n";
    assert_reads_same(
        &s, &(struct test_ply){.header = faces, .prefix = "\1\0\0\0\0\7\0\7", .prefix_size = 8});
    assert_reads_same(
        &s, &(struct test_ply){
                .header = faces, .format = "ascii", .prefix = "2 5 6 7\n0 7\n", .prefix_size = 12});
    assert_reads_same(&s, &(struct test_ply){.header = "element nothing 99999999999\n"});
    gs_scene_finish(&s);
}

static void skips_lists_in_rows(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(20, 0, 31);
    const char *columns = "x:f y:f more:l z:f " CORE " tail:l";
    assert_reads_same(&s, &(struct test_ply){.columns = columns});
    assert_reads_same(&s, &(struct test_ply){.columns = columns, .format = "binary_big_endian"});
    assert_reads_same(&s, &(struct test_ply){.columns = columns, .format = "ascii"});
    gs_scene_finish(&s);
}

static void ignores_bytes_after_the_rows(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(20, 0, 37);
    struct test_bytes b = test_ply_build(&s, &(struct test_ply){0});
    test_put(&b, "more", 4);
    struct gs_scene got = parse(&b);
    assert_same_scene(&got, &s);
    gs_scene_finish(&got);
    test_bytes_free(&b);
    gs_scene_finish(&s);
}

static void warned(void *ud, enum fv_level level, const char *text)
{
    if (level == FV_WARN && strstr(text, "SH degree 4 cut to 3"))
        ++*(int *)ud;
}

static void cuts_degree_4(void **state)
{
    (void)state;
    int warnings = 0;
    struct test_bytes b = {0};
    test_putf(&b, "ply\nformat binary_little_endian 1.0\nelement vertex 1\n");
    for (int i = 0; i < 72; i++)
        test_putf(&b, "property float f_rest_%d\n", i);
    static const char *const rest[] = {"x",      "y",       "z",       "f_dc_0",  "f_dc_1",
                                       "f_dc_2", "opacity", "scale_0", "scale_1", "scale_2",
                                       "rot_0",  "rot_1",   "rot_2",   "rot_3"};
    for (int i = 0; i < 14; i++)
        test_putf(&b, "property float %s\n", rest[i]);
    test_putf(&b, "end_header\n");
    for (int i = 0; i < 86; i++)
        test_put(&b, &(float){(float)i}, 4);
    fv_log_sink(warned, &warnings, FV_WARN);
    struct gs_scene s = parse(&b);
    fv_log_sink(NULL, NULL, FV_WARN);
    assert_int_equal(warnings, 1);
    assert_int_equal(s.sh_degree, 3);
    for (int c = 0; c < 3; c++)
        for (int k = 1; k < 16; k++)
            assert_near(s.sh[3 * k + c], 24 * c + k - 1, 0);
    gs_scene_finish(&s);
    test_bytes_free(&b);
}

/* ---- variants --------------------------------------------------------------------------- */

static void reads_2d_gaussians_as_flat(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(5, 0, 41);
    struct test_bytes b = test_ply_build(
        &s, &(struct test_ply){.columns = "x:f y:f z:f f_dc_0:f f_dc_1:f f_dc_2:f opacity:f "
                                          "scale_0:f scale_1:f rot_0:f rot_1:f rot_2:f rot_3:f"});
    struct gs_scene got = parse(&b);
    assert_non_null(strstr(got.detail, "2D"));
    for (size_t i = 0; i < s.count; i++) {
        assert_near(got.scale[3 * i + 2], log(1e-6), 1e-6);
        s.scale[3 * i + 2] = got.scale[3 * i + 2];
    }
    assert_same_scene(&got, &s);
    gs_scene_finish(&got);
    test_bytes_free(&b);
    gs_scene_finish(&s);
}

static void reads_plain_colours(void **state)
{
    (void)state;
    static const struct {
        char type;
        double unit;
    } types[] = {{'B', 255}, {'H', 65535}, {'f', 1}};
    for (int t = 0; t < 3; t++) {
        struct gs_scene s = test_scene(5, 0, 43);
        char columns[256];
        snprintf(columns, sizeof columns,
                 "x:f y:f z:f red:%c green:%c blue:%c opacity:f scale_0:f scale_1:f scale_2:f "
                 "rot_0:f rot_1:f rot_2:f rot_3:f",
                 types[t].type, types[t].type, types[t].type);
        struct test_bytes b = test_ply_build(&s, &(struct test_ply){.columns = columns});
        struct gs_scene got = parse(&b);
        for (size_t i = 0; i < s.count; i++)
            for (int c = 0; c < 3; c++)
                assert_near(0.5 + 0.28209479177387814 * (double)got.sh[3 * i + c],
                            (double)i / types[t].unit, 1e-6);
        gs_scene_finish(&got);
        test_bytes_free(&b);
        gs_scene_finish(&s);
    }
}

/* Against the formula in linear terms (Mip-Splatting, equations of its 3D filter). */
static void folds_the_3d_filter(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(20, 0, 47);
    s.opacity[3] = INFINITY;
    s.scale[3] = -INFINITY; /* row 1, axis 0: a disc gets the filter's thickness */
    struct test_bytes b =
        test_ply_build(&s, &(struct test_ply){.columns = "x:f y:f z:f filter_3D:f " CORE});
    struct gs_scene got = parse(&b);
    assert_int_equal(got.mode, GS_MODE_ANTIALIASED);
    for (size_t i = 0; i < s.count; i++) {
        double f = (double)0.01f, ratio = 1;
        for (int k = 0; k < 3; k++) {
            double v = exp((double)s.scale[3 * i + k]), wide = sqrt(v * v + f * f);
            ratio *= v / wide;
            assert_near(exp((double)got.scale[3 * i + k]), wide, 1e-6 * wide);
        }
        double alpha = 1 / (1 + exp(-(double)s.opacity[i])) * ratio;
        assert_near(1 / (1 + exp(-(double)got.opacity[i])), alpha, 1e-6);
    }
    gs_scene_finish(&got);
    test_bytes_free(&b);
    gs_scene_finish(&s);
}

static void assert_comment(const char *comment, enum gs_mode mode, float x, float y, float z)
{
    struct gs_scene s = test_scene(1, 0, 53);
    struct test_bytes b = test_ply_build(&s, &(struct test_ply){.header = comment});
    struct gs_scene got = parse(&b);
    assert_int_equal(got.mode, mode);
    assert_near(got.up[0], x, 1e-6);
    assert_near(got.up[1], y, 1e-6);
    assert_near(got.up[2], z, 1e-6);
    gs_scene_finish(&got);
    test_bytes_free(&b);
    gs_scene_finish(&s);
}

static void honours_comments(void **state)
{
    (void)state;
    assert_comment(NULL, GS_MODE_AUTO, 0, 0, 0);
    assert_comment("comment\ncomment hello there\n", GS_MODE_AUTO, 0, 0, 0);
    assert_comment("comment SplatRenderMode: mip\n", GS_MODE_ANTIALIASED, 0, 0, 0);
    assert_comment("comment SplatRenderMode: default\n", GS_MODE_CLASSIC, 0, 0, 0);
    assert_comment("comment antialiased 1\n", GS_MODE_ANTIALIASED, 0, 0, 0);
    assert_comment("comment antialiased 0\n", GS_MODE_CLASSIC, 0, 0, 0);
    assert_comment("comment Vertical axis: x\n", GS_MODE_AUTO, 1, 0, 0);
    assert_comment("comment Vertical axis: y\n", GS_MODE_AUTO, 0, -1, 0);
    assert_comment("comment Vertical axis: z\n", GS_MODE_AUTO, 0, 0, -1);
    assert_comment("comment Vertical axis: 0 3 4\n", GS_MODE_AUTO, 0, 0.6f, 0.8f);
    assert_comment("comment Vertical axis: 0 0 0\n", GS_MODE_AUTO, 0, 0, 0);
    assert_comment("comment Vertical axis: nan 0 1\n", GS_MODE_AUTO, 0, 0, 0);
    assert_comment("obj_info num_cols 3\n", GS_MODE_AUTO, 0, 0, 0);
}

/* ---- text ------------------------------------------------------------------------------- */

static void reads_numbers_exactly(void **state)
{
    (void)state;
    static const char *const words[] = {"0",
                                        "-0",
                                        "1",
                                        "-1.5",
                                        "+2.5",
                                        ".5",
                                        "5.",
                                        "1e3",
                                        "1E-3",
                                        "-1.25e+2",
                                        "3.4028235e38",
                                        "1e-45",
                                        "0.1",
                                        "123456789012345678901234567890",
                                        "0.3333333333333333333333333",
                                        "1e22",
                                        "1e23",
                                        "9007199254740993",
                                        "-7.0064923216240854e-46",
                                        "1e-400",
                                        "00012.5",
                                        "8.5e-05"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        struct test_bytes b = {0};
        test_putf(&b, "ply\nformat ascii 1.0\nelement vertex 1\n");
        static const char *const names[] = {"x",      "y",       "z",       "f_dc_0",  "f_dc_1",
                                            "f_dc_2", "opacity", "scale_0", "scale_1", "scale_2",
                                            "rot_0",  "rot_1",   "rot_2",   "rot_3"};
        for (int k = 0; k < 14; k++)
            test_putf(&b, "property float %s\n", names[k]);
        test_putf(&b, "end_header\n%s 0 0 0 0 0 inf -inf 0 0 1 0 0 0", words[i]);
        struct gs_scene s = parse(&b);
        float want = (float)strtod(words[i], NULL);
        if (memcmp(&s.position[0], &want, 4))
            fail_msg("%s read as %.9g", words[i], (double)s.position[0]);
        assert_true(isinf(s.opacity[0]) && s.opacity[0] > 0 && isinf(s.scale[0]));
        gs_scene_finish(&s);
        test_bytes_free(&b);
    }
}

static void rejects_text_that_is_no_number(void **state)
{
    (void)state;
    static const char *const words[] = {"abc",
                                        "1..5",
                                        "1e",
                                        "e5",
                                        "-",
                                        "1e5x",
                                        "--1",
                                        "1,5",
                                        "12345678901234567890123456789012345678901234567890"
                                        "12345678901234567890x"};
    struct gs_scene s = test_scene(2, 0, 59);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        struct test_bytes b = test_ply_build(&s, &(struct test_ply){.format = "ascii"});
        struct test_bytes bad = {0};
        size_t body = test_ply_body(&b);
        test_put(&bad, b.data, body);
        test_putf(&bad, "%s ", words[i]);
        test_put(&bad, b.data + body, b.size - body);
        assert_rejects(&bad, FV_EFORMAT, "row 0: property x: is not a number");
        test_bytes_free(&bad);
        test_bytes_free(&b);
    }
    gs_scene_finish(&s);
}

static void rejects_text_cut_short(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(5, 0, 61);
    struct test_bytes b = test_ply_build(&s, &(struct test_ply){.format = "ascii"});
    size_t body = test_ply_body(&b);
    b.size = body + (b.size - body) * 9 / 10;
    assert_rejects(&b, FV_EFORMAT, "row 4: property");
    b.size = body + 20;
    assert_rejects(&b, FV_EFORMAT, "vertex count 5");
    test_bytes_free(&b);
    gs_scene_finish(&s);
}

/* ---- bad headers ------------------------------------------------------------------------ */

static void rejects_not_a_ply(void **state)
{
    (void)state;
    struct test_bytes b = {0};
    for (int i = 0; i < 50; i++)
        test_putf(&b, "hello world\n");
    assert_rejects(&b, FV_EFORMAT, "does not begin with \"ply\"");
    test_bytes_free(&b);
}

static void rejects_empty_file(void **state)
{
    (void)state;
    struct test_bytes b = {0};
    assert_rejects(&b, FV_EFORMAT, "empty");
}

static void rejects_truncated_header(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(5, 3, 67);
    struct test_bytes b = test_ply_build(&s, &(struct test_ply){0});
    size_t body = test_ply_body(&b);
    for (size_t n = 1; n < body; n++) {
        struct test_bytes cut = {.data = b.data, .size = n};
        assert_rejects(&cut, FV_EFORMAT, n < 4 ? "\"ply\"" : "end_header");
    }
    test_bytes_free(&b);
    gs_scene_finish(&s);
}

static void rejects_truncated_payload(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(20, 3, 71);
    struct test_bytes b = test_ply_build(&s, &(struct test_ply){0});
    size_t body = test_ply_body(&b), full = b.size;
    b.size = body + (full - body) / 2 + 17;
    assert_rejects(&b, FV_EFORMAT, "vertex count 20 needs 4960 bytes");
    b.size = full - 1;
    assert_rejects(&b, FV_EFORMAT, "vertex count 20");
    b.size = body;
    assert_rejects(&b, FV_EFORMAT, "but 0 are left");
    test_bytes_free(&b);
    gs_scene_finish(&s);
}

static void rejects_count_of_2e9(void **state)
{
    (void)state;
    assert_spec_rejected(&(struct test_ply){.count = "2000000000"}, FV_EFORMAT,
                         "vertex count 2000000000 needs");
    assert_spec_rejected(&(struct test_ply){.count = "999999999999999999"}, FV_EFORMAT,
                         "vertex count 999999999999999999 needs");
    assert_spec_rejected(&(struct test_ply){.count = "2000000000", .format = "ascii"}, FV_EFORMAT,
                         "vertex count 2000000000 needs");
}

static void rejects_negative_count(void **state)
{
    (void)state;
    assert_spec_rejected(&(struct test_ply){.count = "-5"}, FV_EFORMAT, "vertex count -5");
}

static void rejects_count_that_is_no_number(void **state)
{
    (void)state;
    assert_spec_rejected(&(struct test_ply){.count = "4x"}, FV_EFORMAT, "vertex count 4x");
    assert_spec_rejected(&(struct test_ply){.count = "1e3"}, FV_EFORMAT, "vertex count 1e3");
    assert_spec_rejected(&(struct test_ply){.count = "0x10"}, FV_EFORMAT, "vertex count 0x10");
    assert_spec_rejected(&(struct test_ply){.count = "99999999999999999999"}, FV_EFORMAT,
                         "vertex count 99999999999999999999");
    assert_spec_rejected(&(struct test_ply){.count = ""}, FV_EFORMAT, "without name and count");
}

static void rejects_zero_vertices(void **state)
{
    (void)state;
    assert_spec_rejected(&(struct test_ply){.count = "0"}, FV_EFORMAT, "vertex count 0");
}

static void rejects_missing_properties(void **state)
{
    (void)state;
    static const char *const names[] = {"x",      "y",       "z",       "f_dc_0",  "f_dc_1",
                                        "f_dc_2", "opacity", "scale_0", "scale_1", "rot_0",
                                        "rot_1",  "rot_2",   "rot_3"};
    struct gs_scene s = test_scene(2, 0, 73);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct test_bytes b = test_ply_build(&s, &(struct test_ply){0});
        char want[64], line[64];
        snprintf(want, sizeof want, "property %s is missing", names[i]);
        snprintf(line, sizeof line, "float %s\n", names[i]);
        b.data[b.size] = 0;
        char *at = strstr((char *)b.data, line);
        assert_non_null(at);
        at[6] = 'q'; /* an unknown property of the same size */
        assert_rejects(&b, FV_EFORMAT, want);
        test_bytes_free(&b);
    }
    gs_scene_finish(&s);
}

static void rejects_point_clouds(void **state)
{
    (void)state;
    assert_spec_rejected(&(struct test_ply){.columns = "x:f y:f z:f red:B green:B blue:B"},
                         FV_EUNSUPPORTED, "point cloud");
}

static void rejects_odd_numbers_of_f_rest(void **state)
{
    (void)state;
    assert_spec_rejected(&(struct test_ply){.columns = "x:f y:f z:f f_rest_0:f f_rest_1:f " CORE},
                         FV_EFORMAT, "2 f_rest properties");
    assert_spec_rejected(&(struct test_ply){.columns = "x:f y:f z:f f_rest_0:f f_rest_2:f " CORE},
                         FV_EFORMAT, "f_rest_1 is missing");
}

static void rejects_bad_lines(void **state)
{
    (void)state;
    static const struct {
        const char *header, *part;
    } cases[] = {
        {"element\n", "without name and count"},
        {"element vertex 3\nproperty float x\n", "element vertex appears twice"},
        {"property float early\n", "before any element"},
        {"element a 1\nproperty float\n", "lacks type or name"},
        {"element a 1\nproperty quux v\n", "unknown type \"quux\""},
        {"element a 1\nproperty list uchar quux v\n", "unknown type \"quux\""},
        {"element a 1\nproperty list quux int v\n", "unknown type \"quux\""},
        {"element a 1\nproperty list float int v\n", "is not a whole number"},
        {"element a 1\nproperty list uchar int\n", "lacks type or name"},
        {"elephant\n", "\"elephant\" is not part of a .ply"},
        {"\033[31mred\n", "\"?[31mred\""},
        {"format ebcdic 1.0\n", "format \"ebcdic\""},
        {"format\n", "format \"\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_spec_rejected(&(struct test_ply){.header = cases[i].header}, FV_EFORMAT,
                             cases[i].part);
}

static void rejects_header_without_format(void **state)
{
    (void)state;
    struct test_bytes b = {0};
    test_putf(&b, "ply\nelement vertex 1\nproperty float x\nend_header\n1234");
    assert_rejects(&b, FV_EFORMAT, "no format line");
    test_bytes_free(&b);
}

static void rejects_header_without_vertex(void **state)
{
    (void)state;
    struct test_bytes b = {0};
    test_putf(&b, "ply\nformat ascii 1.0\nelement face 1\nproperty float x\nend_header\n1\n");
    assert_rejects(&b, FV_EFORMAT, "no element vertex");
    test_bytes_free(&b);
}

static void rejects_thousands_of_elements(void **state)
{
    (void)state;
    struct test_bytes b = {0};
    test_putf(&b, "ply\nformat ascii 1.0\n");
    for (int i = 0; i < 5000; i++)
        test_putf(&b, "element e%d 1\n", i);
    test_putf(&b, "end_header\n");
    assert_rejects(&b, FV_EFORMAT, "5000 elements");
    test_bytes_free(&b);
}

static void rejects_list_as_number(void **state)
{
    (void)state;
    assert_spec_rejected(&(struct test_ply){.columns = "x:f y:f z:l " CORE}, FV_EFORMAT,
                         "property z is a list");
}

static void rejects_lists_beyond_the_file(void **state)
{
    (void)state;
    const char *faces = "element face 1\nproperty list uint int i\n";
    assert_spec_rejected(
        &(struct test_ply){.header = faces, .prefix = "\xff\xff\xff\xff", .prefix_size = 4},
        FV_EFORMAT, "element face");
    assert_spec_rejected(&(struct test_ply){.header = "element face 1\nproperty list int int i\n",
                                            .prefix = "\xff\xff\xff\xff",
                                            .prefix_size = 4},
                         FV_EFORMAT, "element face");
    assert_spec_rejected(
        &(struct test_ply){
            .header = faces, .format = "ascii", .prefix = "1000000 ", .prefix_size = 8},
        FV_EFORMAT, "element face");
    assert_spec_rejected(
        &(struct test_ply){.header = "element face 90000000000000\nproperty list uchar int i\n"},
        FV_EFORMAT, "element face");
    assert_spec_rejected(&(struct test_ply){.header = "element camera 90000000000000\n"
                                                      "property float fx\n"},
                         FV_EFORMAT, "element camera");
    /* a list inside the vertex rows whose length was overwritten */
    struct gs_scene s = test_scene(3, 0, 79);
    struct test_bytes b =
        test_ply_build(&s, &(struct test_ply){.columns = "t:l x:f y:f z:f " CORE});
    b.data[test_ply_body(&b) + 2 * (4 + 14 * 4)] = 255;
    assert_rejects(&b, FV_EFORMAT, "row 2: property t: the list is longer than the file");
    test_bytes_free(&b);
    gs_scene_finish(&s);
}

/* ---- rows no renderer can use ----------------------------------------------------------- */

static void drops_and_counts_bad_rows(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(100, 1, 83), got;
    for (size_t i = 0; i < 100; i += 10) {
        s.position[3 * i] = NAN;
        s.scale[3 * (i + 1) + 2] = NAN;
        s.opacity[i + 2] = INFINITY; /* stays: alpha is 1 */
        memset(s.rotation + 4 * (i + 3), 0, 16);
        s.sh[12 * (i + 4)] = NAN;
        s.sh[12 * (i + 5) + 11] = INFINITY;
        s.position[3 * (i + 6) + 2] = -INFINITY;
        s.scale[3 * (i + 7)] = -INFINITY; /* stays: flat */
        s.scale[3 * (i + 8)] = INFINITY;
        s.opacity[i + 9] = -INFINITY; /* stays: invisible */
    }
    struct test_bytes b = test_ply_build(&s, &(struct test_ply){0});
    got = parse(&b);
    assert_int_equal(got.count, 30);
    assert_int_equal(got.dropped, 70);
    for (size_t i = 0; i < 10; i++) {
        assert_near(got.position[3 * (3 * i)], s.position[3 * (10 * i + 2)], 0);
        assert_near(got.position[3 * (3 * i + 1)], s.position[3 * (10 * i + 7)], 0);
        assert_near(got.sh[12 * (3 * i + 2) + 5], s.sh[12 * (10 * i + 9) + 5], 0);
    }
    gs_scene_finish(&got);
    test_bytes_free(&b);
    gs_scene_finish(&s);
}

static void drops_bad_quaternions(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(4, 0, 89), got;
    for (int k = 0; k < 4; k++)
        s.rotation[k] = 1e-30f; /* too short to be normalised in float */
    s.rotation[4] = NAN;
    s.rotation[8] = INFINITY;
    struct test_bytes b = test_ply_build(&s, &(struct test_ply){0});
    got = parse(&b);
    assert_int_equal(got.dropped, 3);
    gs_scene_finish(&got);
    test_bytes_free(&b);
    gs_scene_finish(&s);
}

static void rejects_scene_of_bad_rows_only(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(3, 0, 97);
    for (int i = 0; i < 9; i++)
        s.position[i] = NAN;
    struct test_bytes b = test_ply_build(&s, &(struct test_ply){0});
    assert_rejects(&b, FV_EFORMAT, "none of its 3 Gaussians");
    test_bytes_free(&b);
    gs_scene_finish(&s);
}

static void keeps_extreme_values(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(10, 0, 101);
    s.scale[0] = 80;
    s.position[3] = 1e30f;
    assert_reads_same(&s, &(struct test_ply){0});
    gs_scene_finish(&s);
}

/* ---- progress and writing --------------------------------------------------------------- */

static int stop(void *ud, const struct fv_progress *p)
{
    assert_true(p->done <= p->total);
    ++*(int *)ud;
    return 1;
}

static void reading_can_be_cancelled(void **state)
{
    (void)state;
    int calls = 0;
    struct gs_scene s = test_scene((1 << 18) + 1, 0, 103), got;
    struct test_bytes b = test_ply_build(&s, &(struct test_ply){0});
    struct gs_load_opts opts = {.on_progress = stop, .ud = &calls};
    assert_fails(gs_scene_parse(&got, b.data, b.size, "a.ply", &opts), FV_ECANCELLED, "cancelled");
    assert_int_equal(calls, 1);
    assert_null(got.position);
    test_bytes_free(&b);
    s.count = 5;
    b = test_ply_build(&s, &(struct test_ply){.format = "ascii"});
    assert_fails(gs_scene_parse(&got, b.data, b.size, "a.ply", &opts), FV_ECANCELLED, "cancelled");
    assert_int_equal(calls, 2);
    test_bytes_free(&b);
    gs_scene_finish(&s);
}

static void writes_what_it_reads(void **state)
{
    (void)state;
    const char *path = test_tmp_path("w.ply"), *again = test_tmp_path("w2.ply");
    for (int degree = 0; degree <= 3; degree++) {
        struct gs_scene s = test_scene(5000, degree, 107), got;
        s.opacity[0] = INFINITY;
        s.opacity[1] = -INFINITY;
        s.mode = degree % 3;
        s.up[degree % 3] = degree ? -1 : 0;
        assert_ok(gs_scene_save(&s, path, NULL));
        assert_ok(gs_scene_load(&got, path, NULL));
        assert_same_scene(&got, &s);
        assert_int_equal(got.mode, s.mode);
        assert_memory_equal(got.up, s.up, sizeof s.up);
        assert_int_equal(got.format, GS_FORMAT_PLY);
        assert_ok(gs_scene_save(&got, again, NULL));
        size_t a, b;
        void *first = test_read_file(path, &a), *second = test_read_file(again, &b);
        assert_int_equal(a, b);
        assert_memory_equal(first, second, a);
        free(first);
        free(second);
        gs_scene_finish(&got);
        gs_scene_finish(&s);
    }
}

/* The layout other tools expect, byte for byte. */
static void writes_the_trained_layout(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(3, 1, 109);
    const char *path = test_tmp_path("layout.ply");
    assert_ok(gs_scene_save(&s, path, NULL));
    struct test_bytes want =
        test_ply_build(&s, &(struct test_ply){.header = "comment written by fovea\n"});
    size_t size;
    void *got = test_read_file(path, &size);
    assert_int_equal(size, want.size);
    assert_memory_equal(got, want.data, size);
    free(got);
    test_bytes_free(&want);
    gs_scene_finish(&s);
}

static void never_writes_nan(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(10, 0, 113), got;
    s.position[0] = NAN;
    s.sh[5] = INFINITY;
    const char *path = test_tmp_path("nan.ply");
    assert_ok(gs_scene_save(&s, path, NULL));
    assert_ok(gs_scene_load(&got, path, NULL));
    assert_int_equal(got.count, 8);
    assert_int_equal(got.dropped, 0);
    assert_true(isnan(s.position[0])); /* the caller's scene is not touched */
    assert_int_equal(s.count, 10);
    gs_scene_finish(&got);
    gs_scene_finish(&s);
}

static void reads_the_golden_scene(void **state)
{
    (void)state;
    static const char *const cases[] = {"garden150_sh0", "garden150_sh1", "garden150_sh2",
                                        "garden500_sh3"};
    for (int degree = 0; degree <= 3; degree++) {
        char name[96];
        snprintf(name, sizeof name, "03_formats/%s/scene.ply", cases[degree]);
        const char *path = test_golden(name);
        if (!path)
            continue;
        struct gs_scene s;
        assert_ok(gs_scene_load(&s, path, NULL));
        assert_int_equal(s.sh_degree, degree);
        assert_int_equal(s.dropped, 0);
        struct test_bytes file = {0}, built = test_ply_build(&s, &(struct test_ply){0});
        file.data = test_read_file(path, &file.size);
        size_t a = test_ply_body(&file), b = test_ply_body(&built);
        assert_int_equal(file.size - a, built.size - b);
        assert_memory_equal(file.data + a, built.data + b, file.size - a);
        test_bytes_free(&file);
        test_bytes_free(&built);
        gs_scene_finish(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_degree),
        cmocka_unit_test(reads_more_rows_than_one_piece),
        cmocka_unit_test(reads_one_vertex),
        cmocka_unit_test(reads_any_column_order),
        cmocka_unit_test(skips_unknown_columns),
        cmocka_unit_test(reads_double_positions),
        cmocka_unit_test(reads_whole_number_columns),
        cmocka_unit_test(reads_crlf_header),
        cmocka_unit_test(skips_elements_before_vertex),
        cmocka_unit_test(skips_lists_in_rows),
        cmocka_unit_test(ignores_bytes_after_the_rows),
        cmocka_unit_test(cuts_degree_4),
        cmocka_unit_test(reads_2d_gaussians_as_flat),
        cmocka_unit_test(reads_plain_colours),
        cmocka_unit_test(folds_the_3d_filter),
        cmocka_unit_test(honours_comments),
        cmocka_unit_test(reads_numbers_exactly),
        cmocka_unit_test(rejects_text_that_is_no_number),
        cmocka_unit_test(rejects_text_cut_short),
        cmocka_unit_test(rejects_not_a_ply),
        cmocka_unit_test(rejects_empty_file),
        cmocka_unit_test(rejects_truncated_header),
        cmocka_unit_test(rejects_truncated_payload),
        cmocka_unit_test(rejects_count_of_2e9),
        cmocka_unit_test(rejects_negative_count),
        cmocka_unit_test(rejects_count_that_is_no_number),
        cmocka_unit_test(rejects_zero_vertices),
        cmocka_unit_test(rejects_missing_properties),
        cmocka_unit_test(rejects_point_clouds),
        cmocka_unit_test(rejects_odd_numbers_of_f_rest),
        cmocka_unit_test(rejects_bad_lines),
        cmocka_unit_test(rejects_header_without_format),
        cmocka_unit_test(rejects_header_without_vertex),
        cmocka_unit_test(rejects_thousands_of_elements),
        cmocka_unit_test(rejects_list_as_number),
        cmocka_unit_test(rejects_lists_beyond_the_file),
        cmocka_unit_test(drops_and_counts_bad_rows),
        cmocka_unit_test(drops_bad_quaternions),
        cmocka_unit_test(rejects_scene_of_bad_rows_only),
        cmocka_unit_test(keeps_extreme_values),
        cmocka_unit_test(reading_can_be_cancelled),
        cmocka_unit_test(writes_what_it_reads),
        cmocka_unit_test(writes_the_trained_layout),
        cmocka_unit_test(never_writes_nan),
        cmocka_unit_test(reads_the_golden_scene),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
