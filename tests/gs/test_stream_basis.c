/* Trajectory bases: what a reader gets is what the writer has, from any entry; mixtures of a few shapes
 * take fewer bytes than places; damaged ones are errors or other numbers. */
#include "support/stream.h"
#include "support/test.h"

#include "gs/scene.h"
#include "gs/stream.h"

enum { COUNT = 900, FRAMES = 24, SHAPES = 3 };

struct pair {
    struct gs_stream_base base[2]; /* writer's, reader's */
    struct gs_stream_group group[2];
    struct gs_section basis;
    int32_t *place[FRAMES]; /* [COUNT][3]: positions */
};

/* Where a Gaussian is: smooth shapes in a part of the cloud by weights that change, then, where `turns`,
 * a turn of all. */
static void place_at(double out[3], const int32_t from[3], uint32_t frame, bool turns)
{
    double p[3] = {from[0], from[1], from[2]}, scale = 256 * GS_POSITION_UNITS;
    for (int s = 0; s < SHAPES; s++) {
        double d = fmin(1, fabs(from[s] / scale - 0.2 - 0.25 * s) / 0.1), bump = 1 - d * d;
        p[(s + 1) % 3] += frame ? 400 * sin(0.37 * (s + 1) * frame + s) * bump * bump : 0;
    }
    double a = turns ? 0.02 * frame : 0, c = cos(a), n = sin(a), x = p[0] - scale / 2, y = p[1];
    out[0] = scale / 2 + c * x - n * y;
    out[1] = n * x + c * y;
    out[2] = p[2];
}

static void make_pair(struct pair *p, bool turns, bool basis)
{
    struct gs_stream_state target;
    struct gs_section sections[GS_SECTIONS];
    *p = (struct pair){.basis = {0}};
    test_stream_target(&target, COUNT, 0, 8);
    for (int k = 0; k < 2; k++) {
        assert_ok(gs_stream_base_create(&p->base[k], COUNT, 0));
        p->base[k].bits = 8;
        for (int a = 0; a < GS_ATTRS; a++)
            p->base[k].step[a] = 0.01f;
    }
    memset(p->base[0].level, 3, COUNT);
    assert_ok(gs_stream_write_key(&p->base[0], &target, sections));
    assert_ok(gs_stream_read_key(&p->base[1], sections));
    gs_sections_free(sections);
    for (uint32_t t = 0; t < FRAMES; t++) {
        p->place[t] = malloc(3 * COUNT * sizeof *p->place[t]);
        for (size_t i = 0; i < COUNT; i++) {
            double at[3];
            place_at(at, target.v[GS_POSITION] + 3 * i, t, turns);
            for (size_t k = 0; k < 3; k++)
                p->place[t][3 * i + k] = (int32_t)lrint(at[k]);
        }
    }
    gs_stream_state_finish(&target);
    if (basis) {
        assert_ok(gs_stream_fit_basis(&p->base[0], p->place[0], p->place + 1, FRAMES - 1, 4, &p->basis));
        assert_non_null(p->base[0].basis);
        assert_ok(gs_stream_read_basis(&p->base[1], &p->basis));
    }
    test_groups_create(p->group, p->base);
}

static void drop_pair(struct pair *p)
{
    test_groups_finish(p->group, p->base);
    for (uint32_t t = 0; t < FRAMES; t++)
        free(p->place[t]);
    free(p->basis.bytes);
}

/* Frame t, after `begin` a group's first; its sections stay. Bytes of it. */
static size_t one_frame(struct pair *p, uint32_t t, bool begin, struct gs_section sections[GS_SECTIONS])
{
    struct gs_stream_group *g = &p->group[0];
    struct gs_stream_state target = g->state;
    if (begin) {
        int32_t *still[FRAMES] = {NULL};
        gs_stream_group_begin(g);
        gs_stream_group_begin(&p->group[1]);
        target = g->state;
        g->morph.used = g->key->basis != NULL;
        if (g->morph.used)
            assert_ok(gs_stream_still(g, p->place + t, FRAMES - t, still));
        assert_ok(gs_stream_find_clusters(g, g->morph.used ? still : p->place + t, FRAMES - t, 4));
        for (uint32_t k = 0; k < FRAMES; k++)
            free(still[k]);
    }
    target.v[GS_POSITION] = p->place[t];
    assert_ok(gs_stream_fit_motion(g, &target));
    assert_ok(gs_stream_write_residual(g, &target, sections));
    assert_ok(gs_stream_read_residual(&p->group[1], sections));
    test_groups_same(p->group, 0);
    for (uint32_t i = 0; i < 3 * COUNT; i++) /* of which a dead zone leaves no more */
        assert_true(abs(g->state.v[GS_POSITION][i] - p->place[t][i]) <= 0.65 * 1.25 * GS_POSITION_UNITS);
    return gs_sections_size(sections);
}

static void bases_of_both_sides_are_the_same(void **state)
{
    (void)state;
    struct pair p;
    make_pair(&p, false, true);
    const struct gs_stream_basis *w = p.base[0].basis, *r = p.base[1].basis;
    assert_int_equal(w->vectors, r->vectors);
    assert_int_equal(w->vectors, SHAPES);
    assert_int_equal(w->fine, r->fine);
    assert_memory_equal(w->shift, r->shift, w->vectors);
    assert_int_equal(w->members, r->members);
    assert_memory_equal(w->member, r->member, w->members * sizeof *w->member);
    assert_memory_equal(w->v, r->v, 3 * (size_t)w->members * w->vectors * sizeof *w->v);
    drop_pair(&p);
}

/* All frames, in two groups, with and without a basis; the second group again by itself. */
static void shapes_are_cheaper_than_places(void **state)
{
    (void)state;
    for (int turns = 0; turns < 2; turns++) {
        size_t bytes[2] = {0};
        for (int basis = 0; basis < 2; basis++) {
            struct pair p;
            struct gs_section sections[FRAMES][GS_SECTIONS] = {{{0}}};
            int32_t *last = malloc(3 * COUNT * sizeof *last);
            make_pair(&p, turns, basis);
            for (uint32_t t = 1; t < FRAMES; t++)
                bytes[basis] += one_frame(&p, t, t == 1 || t == FRAMES / 2, sections[t]);
            memcpy(last, p.group[1].state.v[GS_POSITION], 3 * COUNT * sizeof *last);
            gs_stream_group_begin(&p.group[1]);
            for (uint32_t t = FRAMES / 2; t < FRAMES; t++)
                assert_ok(gs_stream_read_residual(&p.group[1], sections[t]));
            assert_memory_equal(last, p.group[1].state.v[GS_POSITION], 3 * COUNT * sizeof *last);
            free(last);
            for (uint32_t t = 0; t < FRAMES; t++)
                gs_sections_free(sections[t]);
            drop_pair(&p);
        }
        if (bytes[1] * 3 > bytes[0])
            fail_msg("turning %d: frames of %zu bytes with a basis, %zu without", turns, bytes[1], bytes[0]);
    }
}

/* Those that are left keep what the basis makes of them; those that are born have none. */
static void deaths_and_births(void **state)
{
    (void)state;
    enum { DEAD = 200, BORN = 50 };
    struct pair p;
    make_pair(&p, true, true);
    struct gs_section sections[GS_SECTIONS] = {0};
    struct gs_stream_group *g = &p.group[0];
    one_frame(&p, 1, true, sections);
    gs_sections_free(sections);
    uint8_t dead[COUNT] = {0}, level[BORN], label[BORN] = {0};
    uint32_t order[BORN];
    for (uint32_t i = 0; i < DEAD; i++)
        dead[4 * i] = 1;
    struct gs_stream_state born, target;
    assert_ok(gs_stream_state_create(&born, BORN, 0));
    for (int a = 0; a < (int)gs_attr_end(0); a++)
        memcpy(born.v[a], p.base[0].state.v[a], BORN * (size_t)gs_attr_comps((enum gs_attr)a) * 4);
    memset(level, 3, sizeof level);
    assert_ok(gs_stream_write_deaths(g, dead, sections));
    for (uint32_t t = 2; t < FRAMES; t++) {
        assert_ok(gs_stream_state_create(&target, g->state.count, 0));
        gs_stream_state_copy(&target, &g->state);
        for (uint32_t i = 0, at = 0; i < COUNT; i++)
            if (!dead[i])
                memcpy(target.v[GS_POSITION] + 3 * (size_t)at++, p.place[t] + 3 * (size_t)i, 12);
        assert_ok(gs_stream_fit_motion(g, &target));
        assert_ok(gs_stream_write_residual(g, &target, sections));
        if (t == 2)
            assert_ok(gs_stream_write_births(g, &born, level, label, order, sections));
        /* places are a dead zone's width off, shapes need next to no symbols */
        assert_true(sections[GS_SECTION_ATTRS + GS_POSITION].size < 150);
        assert_ok(gs_stream_read_residual(&p.group[1], sections));
        test_groups_same(p.group, 0);
        gs_sections_free(sections);
        gs_stream_state_finish(&target);
    }
    assert_int_equal(g->state.count, COUNT - DEAD + BORN);
    gs_stream_state_finish(&born);
    drop_pair(&p);
}

static void damaged_ones(void **state)
{
    (void)state;
    struct pair p;
    struct gs_section sections[GS_SECTIONS] = {0};
    uint64_t seed = 9;
    int errors = 0;
    make_pair(&p, true, true);
    one_frame(&p, 5, true, sections);
    uint8_t *bytes = malloc(p.basis.size);
    for (int k = 0; k < 300; k++) {
        struct gs_section bad = {bytes, p.basis.size};
        memcpy(bytes, p.basis.bytes, p.basis.size);
        bytes[k < 40 ? (size_t)k / 8 : test_rand(&seed) % p.basis.size] ^= (uint8_t)(1 << k % 8);
        gs_stream_group_finish(&p.group[1]);
        gs_stream_basis_destroy(&p.base[1].basis);
        int rc = gs_stream_read_basis(&p.base[1], &bad);
        assert_true(rc == 0 || rc == FV_EFORMAT);
        errors += rc < 0;
        if (rc < 0)
            gs_stream_basis_destroy(&p.base[1].basis);
        assert_ok(gs_stream_group_create(&p.group[1], &p.base[1]));
        rc = gs_stream_read_residual(&p.group[1], sections); /* made for another basis */
        assert_true(rc == 0 || rc == FV_EFORMAT);
    }
    static const uint8_t none[2] = {0, 0};
    const struct gs_section no_vectors = {(uint8_t *)(uintptr_t)none, sizeof none};
    gs_stream_group_finish(&p.group[1]);
    gs_stream_basis_destroy(&p.base[1].basis);
    assert_fails(gs_stream_read_basis(&p.base[1], &no_vectors), FV_EFORMAT, "0 vectors");
    free(bytes);
    gs_sections_free(sections);
    drop_pair(&p);
}

/* Nothing moves, or what moves are a few. */
static void none_where_little_moves(void **state)
{
    (void)state;
    struct pair p;
    make_pair(&p, false, false);
    for (uint32_t t = 1; t < FRAMES; t++) {
        memcpy(p.place[t], p.place[0], 3 * COUNT * sizeof *p.place[t]);
        for (size_t i = 0; i < 20; i++)
            p.place[t][3 * i] += 1000;
    }
    assert_ok(gs_stream_fit_basis(&p.base[0], p.place[0], p.place + 1, FRAMES - 1, 4, &p.basis));
    assert_null(p.base[0].basis);
    assert_int_equal(p.basis.size, 0);
    drop_pair(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bases_of_both_sides_are_the_same),
        cmocka_unit_test(shapes_are_cheaper_than_places),
        cmocka_unit_test(deaths_and_births),
        cmocka_unit_test(damaged_ones),
        cmocka_unit_test(none_where_little_moves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
