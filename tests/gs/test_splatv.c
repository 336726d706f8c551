/* .splatv: what its Gaussians are at a time; files that are none. */
#include "support/scene.h"

#include "gs/scene.h"
#include "vk/base/half.h"

struct row {
    float position[3], rotation[4], scale[3], motion[9], turn[4], centre, width;
    const char *rgba;
};

static void put_half(struct test_bytes *b, float v)
{
    uint16_t h = fv_f32_to_f16(v);
    test_put(b, &h, 2);
}

static void put_row(struct test_bytes *b, const struct row *r)
{
    test_put(b, r->position, 12);
    for (int k = 0; k < 4; k++)
        put_half(b, r->rotation[k]);
    for (int k = 0; k < 4; k++)
        put_half(b, k < 3 ? r->scale[k] : 0);
    test_put(b, r->rgba, 4);
    for (int k = 0; k < 10; k++)
        put_half(b, k < 9 ? r->motion[k] : 0);
    for (int k = 0; k < 4; k++)
        put_half(b, r->turn[k]);
    put_half(b, r->centre);
    put_half(b, r->width);
}

static void put_head(struct test_bytes *b, const char *json)
{
    uint32_t head[2] = {0x674b, (uint32_t)strlen(json)};
    test_put(b, head, 8);
    test_put(b, json, strlen(json));
}

/* Two Gaussians and a row of zeros, after a part that is passed over. */
static struct test_bytes file(void)
{
    static const struct row rows[] = {
        {{1, 2, 3}, {1, 0, 0, 0}, {0.5f, 1, 2}, {1, 0, 0, 0, 2, 0, 0, 0, 4}, {0, 0.5f, 0, 0}, 0.25f, 0.5f,
         "\xff\x00\x80\x80"},
        {{-1, 0, 0}, {0, 1, 0, 0}, {1, 1, 1}, {0}, {0}, 1, 0.25f, "\x10\x20\x30\xff"},
        {{0}, {0}, {0}, {0}, {0}, 0, 0, "\0\0\0\0"},
    };
    struct test_bytes b = {0};
    put_head(&b, "[{\"type\":\"other\",\"size\":5},{\"type\":\"splat\",\"size\":192,\"texwidth\":4096}]");
    test_put(&b, "other", 5);
    for (int k = 0; k < 3; k++)
        put_row(&b, &rows[k]);
    return b;
}

static void what_it_is_at_a_time(void **state)
{
    (void)state;
    struct test_bytes b = file();
    struct gs_load_opts o = {.time = 0.75};
    struct gs_scene s;
    assert_ok(gs_scene_parse(&s, b.data, b.size, "a.splatv", &o));
    assert_int_equal(s.count, 2);
    assert_int_equal(s.format, GS_FORMAT_SPLATV);
    assert_int_equal(s.sh_degree, 0);
    /* dt = 0.5 */
    assert_near(s.position[0], 1.5, 1e-6);
    assert_near(s.position[1], 2.5, 1e-6);
    assert_near(s.position[2], 3.5, 1e-6);
    assert_near(s.rotation[0], 1, 0);
    assert_near(s.rotation[1], 0.25, 0);
    assert_near(s.scale[0], log(0.5), 1e-6);
    assert_near(s.scale[2], log(2), 1e-6);
    assert_near(s.sh[0], 0.5 / 0.28209479177387814, 1e-6);
    assert_near(gs_sigmoid(s.opacity[0]), exp(-1) * 128 / 255, 1e-6);
    assert_near(gs_sigmoid(s.opacity[1]), exp(-1), 1e-6);
    gs_scene_finish(&s);
    /* the second is gone at 0, the third never there; no options: time 0 */
    assert_ok(gs_scene_parse(&s, b.data, b.size, "a.splatv", NULL));
    assert_int_equal(s.count, 1);
    assert_near(s.position[0], 0.75, 1e-6);
    gs_scene_finish(&s);
    /* between -1 and the first, nothing is there: the first, unseen */
    o.time = -1;
    assert_ok(gs_scene_parse(&s, b.data, b.size, "a.splatv", &o));
    assert_int_equal(s.count, 1);
    assert_true(gs_sigmoid(s.opacity[0]) < 1 / 512.0);
    gs_scene_finish(&s);
    test_bytes_free(&b);
}

static void what_is_none(void **state)
{
    (void)state;
    static const struct {
        const char *json, *part;
    } rows[] = {
        {"{\"type\":\"splat\"}", "expected a list"},
        {"[]", "no part is of type"},
        {"[{\"type\":\"splat\",\"size\":65}]", "no multiple of 64"},
        {"[{\"type\":\"splat\",\"size\":6400}]", "size is 6400"},
        {"[{\"type\":\"splat\",\"size\":-64}]", "size"},
        {"[{\"type\":\"splat\"}]", "size"},
        {"[{\"size\":64}]", "type"},
        {"[{\"type\":\"splat\",\"size\":0}]", "none of its 0 Gaussians is ever"},
        {"[{\"type\":\"splat\",\"size\":64}]", "none of its 1 Gaussians is ever"},
        {"[7]", "size"},
        {"no", "a.splatv"},
    };
    struct gs_scene s;
    const char zeros[70] = {0};
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        struct test_bytes b = {0};
        put_head(&b, rows[r].json);
        test_put(&b, zeros, sizeof zeros);
        assert_fails(gs_scene_parse(&s, b.data, b.size, "a.splatv", NULL), FV_EFORMAT, rows[r].part);
        assert_non_null(strstr(fv_error(), "a.splatv"));
        test_bytes_free(&b);
    }
    assert_fails(gs_scene_parse(&s, "K\x67\0\0\xff\xff\xff\xff", 8, "a.splatv", NULL), FV_EFORMAT,
                 "4294967295 bytes of JSON");
    assert_fails(gs_scene_parse(&s, "abcdefgh", 8, "a.splatv", NULL), FV_EFORMAT, "0x674b");
    /* cut anywhere: never read, never a crash */
    struct test_bytes b = file();
    for (size_t n = 1; n < b.size; n++)
        assert_true(gs_scene_parse(&s, b.data, n, "a.splatv", NULL) < 0);
    test_bytes_free(&b);
    assert_fails(gs_scene_save(&s, test_tmp_path("a.splatv"), NULL), FV_EUNSUPPORTED, "cannot be written");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_it_is_at_a_time),
        cmocka_unit_test(what_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
