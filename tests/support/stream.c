/* Streams made by hand (stream.h). */
#include "support/stream.h"
#include "support/test.h"

#include "gs/scene.h"
#include "gs/stream_file.h"

static void fill(struct gs_scene *s, const struct test_stream *t, uint64_t *seed)
{
    assert_ok(gs_scene_alloc(s, t->count, t->sh_degree));
    for (size_t i = 0; i < t->count; i++) {
        for (size_t k = 0; k < 3; k++) {
            s->position[3 * i + k] = (float)test_uniform(seed, 0, 8);
            s->scale[3 * i + k] = (float)test_uniform(seed, -3.5, -2);
        }
        for (size_t k = 0; k < 4; k++)
            s->rotation[4 * i + k] = (float)test_uniform(seed, -1, 1);
        s->opacity[i] = (float)test_uniform(seed, 0, 3);
    }
    size_t coefs = t->count * 3 * (size_t)gs_sh_coefs(t->sh_degree);
    for (size_t k = 0; k < coefs; k++)
        s->sh[k] = (float)test_uniform(seed, -0.4, 0.9);
}

static void wander(struct gs_stream_state *s, uint64_t *seed)
{
    static const enum gs_attr which[] = {GS_POSITION, GS_COLOUR, GS_SH1};
    for (int a = 0; a < 3; a++)
        for (size_t i = 0; s->v[which[a]] && i < 3 * (size_t)s->count; i++)
            s->v[which[a]][i] += (int32_t)test_uniform(seed, -160, 160);
}

void test_stream_write(const char *path, const struct test_stream *t)
{
    struct gs_stream_out out = {0};
    struct gs_stream_report report = {0};
    struct gs_stream_base base = {0};
    struct gs_stream_group group = {0};
    struct gs_stream_state target;
    struct gs_scene scene;
    uint64_t seed = t->seed + 1;
    struct gs_stream_pose *pose = malloc(t->count * sizeof *pose);
    assert_non_null(pose);
    assert_ok(gs_stream_out_open(&out, path, false));
    assert_ok(gs_stream_state_create(&target, t->count, t->sh_degree));
    for (uint32_t f = 0; f < t->frames; f++) {
        struct gs_section sections[GS_SECTIONS] = {0};
        struct gs_bytes chunks = {0};
        bool whole = t->bases ? f % t->bases == 0 : f == 0, entry = f % t->group == 0;
        if (whole) {
            gs_stream_group_finish(&group);
            gs_stream_base_finish(&base);
            fill(&scene, t, &seed);
            if (!f)
                assert_ok(gs_stream_out_header(&out, &scene, 25, t->group, NULL));
            assert_ok(gs_stream_base_create(&base, t->count, t->sh_degree));
            base.bits = 10;
            base.coarser = 5;
            for (int a = 0; a < GS_ATTRS; a++)
                base.step[a] = 0.01f;
            memset(base.level, 3, t->count);
            assert_ok(gs_stream_make_poses(pose, &base, &scene));
            gs_stream_from_scene(&target, &base, &scene, pose);
            gs_scene_finish(&scene);
            assert_ok(gs_stream_write_key(&base, &target, sections));
            assert_ok(gs_stream_group_create(&group, &base));
            gs_put_base(&chunks, f, GS_BASE_DIRECT, &base, sections);
        } else {
            if (entry) {
                gs_stream_group_begin(&group);
                gs_stream_state_copy(&target, &group.state);
            }
            wander(&target, &seed);
            assert_ok(gs_stream_write_residual(&group, &target, sections));
            gs_put_residual(&chunks, f, entry, t->sh_degree, sections);
        }
        assert_ok(gs_stream_out_frame(&out,
                                      whole   ? GS_FRAME_BASE
                                      : entry ? GS_FRAME_ENTRY
                                              : GS_FRAME_RESIDUAL,
                                      &chunks, sections, &report));
        if (whole)
            gs_stream_group_begin(&group);
    }
    assert_ok(gs_stream_out_end(&out, 0));
    gs_stream_group_finish(&group);
    gs_stream_base_finish(&base);
    gs_stream_state_finish(&target);
    free(pose);
}

static int by_code(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

void test_stream_target(struct gs_stream_state *s, uint32_t count, int degree, unsigned bits)
{
    uint64_t seed = count, *code = malloc(count * sizeof *code);
    assert_ok(gs_stream_state_create(s, count, degree));
    for (uint32_t i = 0; i < count; i++)
        code[i] = test_rand(&seed) % ((uint64_t)1 << 3 * bits);
    qsort(code, count, sizeof *code, by_code);
    for (size_t i = 0; i < count; i++) {
        int32_t grid[3], v[3];
        gs_stream_morton_grid(grid, code[i]);
        for (size_t k = 0; k < 3; k++) {
            s->v[GS_POSITION][3 * i + k] = grid[k] * GS_POSITION_UNITS;
            v[k] = (int32_t)test_uniform(&seed, -8000, 8000);
        }
        gs_quat_from_vector(s->v[GS_ROTATION] + 4 * i, v);
    }
    for (int a = GS_SCALE; a < (int)gs_attr_end(degree); a++)
        for (size_t i = 0; i < count * (size_t)gs_attr_comps((enum gs_attr)a); i++)
            s->v[a][i] = (int32_t)test_uniform(&seed, a == GS_SCALE ? 0 : -300, 300);
    free(code);
}

void test_groups_create(struct gs_stream_group group[2], struct gs_stream_base base[2])
{
    for (int k = 0; k < 2; k++)
        assert_ok(gs_stream_group_create(&group[k], &base[k]));
}

void test_groups_same(const struct gs_stream_group group[2], int degree)
{
    const struct gs_stream_state *w = &group[0].state, *r = &group[1].state;
    assert_int_equal(w->count, r->count);
    for (int a = 0; a < (int)gs_attr_end(degree); a++)
        assert_memory_equal(w->v[a], r->v[a], w->count * (size_t)gs_attr_comps((enum gs_attr)a) * 4);
}

void test_groups_finish(struct gs_stream_group group[2], struct gs_stream_base base[2])
{
    for (int k = 0; k < 2; k++) {
        gs_stream_group_finish(&group[k]);
        gs_stream_base_finish(&base[k]);
    }
}
