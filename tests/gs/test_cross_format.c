/* One captured scene as others wrote it in every format: what is read must be the same
 * Gaussians. Skipped where the data are not beside the source tree. */
#include "support/scene.h"
#include "vk/base/file.h"

static const char folder[] = "../shared/data/splats/";

/* Static storage, eight in turn; NULL when there is no such file. */
static const char *data_file(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s%s", folder, name);
    const char *found = test_source(path);
    return fv_exists(found) ? found : NULL;
}

static struct gs_scene load(const char *name, int level)
{
    struct gs_scene s;
    const char *path = data_file(name);
    if (!path)
        skip();
    assert_ok(gs_scene_load(&s, path, &(struct gs_load_opts){.lod = level}));
    return s;
}

static float clamp(float v, float low, float high)
{
    return v < low ? low : v > high ? high : v;
}

/* What SPZ has room for. */
static void clamp_to_spz(struct gs_scene *s)
{
    size_t coefs = (size_t)gs_sh_coefs(s->sh_degree);
    for (size_t i = 0; i < s->count; i++) {
        for (size_t k = 0; k < 3; k++) {
            s->scale[3 * i + k] = clamp(s->scale[3 * i + k], -10, 255 / 16.0f - 10);
            s->sh[3 * coefs * i + k] = clamp(s->sh[3 * coefs * i + k], -0.5f / 0.15f, 0.5f / 0.15f);
        }
        for (size_t k = 3; k < 3 * coefs; k++)
            s->sh[3 * coefs * i + k] = clamp(s->sh[3 * coefs * i + k], -1, 127 / 128.0f);
    }
}

static void spz_holds_the_ply(void **state)
{
    (void)state;
    struct gs_scene ply = load("cross-format/playbot-lod4/playbot_lod4.ply", 0);
    const struct gs_scene_diff steps = {.position = 0.51 / 4096,
                                        .alpha = 0.51 / 255,
                                        .scale = 0.51 / 16,
                                        .rotation = 2.0 / 511,
                                        .dc = 0.51 / 255 / 0.15,
                                        .rest = 8.6 / 128};
    clamp_to_spz(&ply);
    static const char *const names[] = {"cross-format/playbot-lod4/playbot_lod4.v3.spz",
                                        "cross-format/playbot-lod4/playbot_lod4.v4.spz"};
    for (size_t i = 0; i < 2; i++) {
        struct gs_scene s = load(names[i], 0);
        assert_near_scene(&s, &ply, &steps);
        gs_scene_finish(&s);
    }
    gs_scene_finish(&ply);
}

static void glb_holds_the_ply(void **state)
{
    (void)state;
    struct gs_scene ply = load("cross-format/playbot-lod4/playbot_lod4.ply", 0);
    struct gs_scene glb = load("cross-format/playbot-lod4/playbot_lod4.glb", 0);
    const struct gs_scene_diff rounding = {.alpha = 1e-6, .scale = 1e-6, .rotation = 1e-6};
    assert_near_scene(&glb, &ply, &rounding);
    gs_scene_finish(&glb);
    gs_scene_finish(&ply);
}

/* The .ply files were made from levels 4, 5 and 6 of the streamed scene. */
static void levels_hold_the_ply(void **state)
{
    (void)state;
    static const char *const names[] = {"cross-format/playbot-lod4/playbot_lod4.ply",
                                        "cross-format/playbot-lod4/playbot_lod5.ply",
                                        "cross-format/playbot-lod4/playbot_lod6.ply"};
    const struct gs_scene_diff rounding = {.alpha = 2e-6, .position = 1e-6, .rotation = 1e-6};
    for (int i = 0; i < 3; i++) {
        struct gs_scene ply = load(names[i], 0), s = load("sog-lod/playbot", 4 + i);
        assert_near_scene(&s, &ply, &rounding);
        gs_scene_finish(&s);
        gs_scene_finish(&ply);
    }
}

/* Puts the rows of s in the order of `like`: each the nearest one. */
static void sort_like(struct gs_scene *s, const struct gs_scene *like)
{
    struct gs_scene out;
    size_t coefs = (size_t)gs_sh_coefs(s->sh_degree);
    assert_int_equal(s->count, like->count);
    assert_ok(gs_scene_alloc(&out, s->count, s->sh_degree));
    for (size_t i = 0; i < s->count; i++) {
        const float *p = like->position + 3 * i;
        float least = INFINITY;
        size_t best = 0;
        for (size_t k = 0; k < s->count; k++) {
            const float *q = s->position + 3 * k;
            float x = p[0] - q[0], y = p[1] - q[1], z = p[2] - q[2], d = x * x + y * y + z * z;
            d += fabsf(like->scale[3 * i] - s->scale[3 * k]) * 1e-7f; /* several in one place */
            if (d < least) {
                least = d;
                best = k;
            }
        }
        memcpy(out.position + 3 * i, s->position + 3 * best, 12);
        memcpy(out.scale + 3 * i, s->scale + 3 * best, 12);
        memcpy(out.rotation + 4 * i, s->rotation + 4 * best, 16);
        out.opacity[i] = s->opacity[best];
        memcpy(out.sh + 3 * coefs * i, s->sh + 3 * coefs * best, 12 * coefs);
    }
    gs_scene_finish(s);
    *s = out;
}

/* Its writer cuts where others round, so steps are whole ones; rest is a palette. */
static void sog_holds_the_ply(void **state)
{
    (void)state;
    struct gs_scene ply = load("cross-format/playbot-lod4/playbot_lod4.ply", 0);
    struct gs_scene sog = load("cross-format/playbot-lod4/playbot_lod4.sog", 0);
    const struct gs_scene_diff steps = {.position = 5e-5,
                                        .alpha = 1.01 / 255,
                                        .scale = 0.03,
                                        .rotation = 5.0 / 255,
                                        .dc = 0.04,
                                        .rest = 0.3};
    sort_like(&sog, &ply);
    assert_near_scene(&sog, &ply, &steps);
    gs_scene_finish(&sog);
    gs_scene_finish(&ply);
}

static void reads_captured_bundles(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t count;
    } cases[] = {{"sog/angel.sog", 71359},
                 {"sog/angel-kneeling.sog", 83547},
                 {"sog/angel-with-candlestick.sog", 80821},
                 {"sog/narcissus.sog", 101275},
                 {"sog-dir/playcanvas-logo", 307128}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct gs_scene s = load(cases[i].name, 0);
        assert_int_equal(s.count, cases[i].count);
        assert_int_equal(s.dropped, 0);
        gs_scene_finish(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spz_holds_the_ply),      cmocka_unit_test(glb_holds_the_ply),
        cmocka_unit_test(levels_hold_the_ply),    cmocka_unit_test(sog_holds_the_ply),
        cmocka_unit_test(reads_captured_bundles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
