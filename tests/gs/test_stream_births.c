/* Gaussians that begin and end within a group: what a reader gets is what the writer has. */
#include "support/stream.h"
#include "support/test.h"

#include "gs/scene.h"
#include "gs/stream.h"

enum { COUNT = 700, DEGREE = 2 };

struct pair {
    struct gs_stream_base base[2]; /* writer's, reader's */
    struct gs_stream_group group[2];
};

static void random_state(struct gs_stream_state *s, uint32_t count, int32_t wide, uint64_t *seed)
{
    assert_ok(gs_stream_state_create(s, count, DEGREE));
    for (int a = 0; a < (int)gs_attr_end(DEGREE); a++)
        for (size_t i = 0; i < (size_t)count * (size_t)gs_attr_comps((enum gs_attr)a); i++)
            s->v[a][i] = (int32_t)test_uniform(seed, -300, 300);
    for (size_t i = 0; i < count; i++) {
        int32_t v[3];
        for (int k = 0; k < 3; k++) {
            s->v[GS_POSITION][3 * i + (size_t)k] = (int32_t)test_uniform(seed, 0, wide);
            v[k] = (int32_t)test_uniform(seed, -8000, 8000);
        }
        gs_quat_from_vector(s->v[GS_ROTATION] + 4 * i, v);
        int32_t *scale = s->v[GS_SCALE] + 3 * i;
        scale[1] = abs(scale[1]);
        scale[2] = abs(scale[2]);
    }
}

static int by_grid(const int32_t *a, const int32_t *b)
{
    int32_t at[2][3];
    for (int k = 0; k < 3; k++) {
        at[0][k] = gs_stream_step_of(a[k]) + (1 << 20);
        at[1][k] = gs_stream_step_of(b[k]) + (1 << 20);
    }
    uint64_t x = gs_stream_morton(at[0]), y = gs_stream_morton(at[1]);
    return x < y ? -1 : x > y;
}

/* Only the places: what else a Gaussian is does not matter here. */
static void sort_places(struct gs_stream_state *s)
{
    for (size_t i = 1; i < s->count; i++)
        for (size_t k = i; k > 0; k--) {
            int32_t *a = s->v[GS_POSITION] + 3 * (k - 1), *b = a + 3, swap[3];
            if (by_grid(a, b) <= 0)
                break;
            memcpy(swap, a, sizeof swap);
            memcpy(a, b, sizeof swap);
            memcpy(b, swap, sizeof swap);
        }
}

static void make_pair(struct pair *p, uint64_t *seed)
{
    struct gs_stream_state target;
    struct gs_section sections[GS_SECTIONS];
    random_state(&target, COUNT, 900 * GS_POSITION_UNITS, seed);
    sort_places(&target);
    for (int k = 0; k < 2; k++) {
        struct gs_stream_base *b = &p->base[k];
        assert_ok(gs_stream_base_create(b, COUNT, DEGREE));
        b->bits = 10;
        for (int a = 0; a < GS_ATTRS; a++)
            b->step[a] = 0.01f;
        for (uint32_t i = 0; i < COUNT && !k; i++)
            b->level[i] = (uint8_t)(test_rand(seed) % GS_LEVELS);
    }
    assert_ok(gs_stream_write_key(&p->base[0], &target, sections));
    assert_ok(gs_stream_read_key(&p->base[1], sections));
    gs_sections_free(sections);
    gs_stream_state_finish(&target);
    test_groups_create(p->group, p->base);
}

static void same_groups(const struct pair *p)
{
    const struct gs_stream_group *w = &p->group[0], *r = &p->group[1];
    test_groups_same(p->group, DEGREE);
    assert_memory_equal(w->base->level, r->base->level, w->state.count);
    assert_memory_equal(w->base->turn_level, r->base->turn_level, w->state.count);
    assert_memory_equal(w->base->near, r->base->near, w->state.count * sizeof *w->base->near);
    assert_memory_equal(w->label, r->label, w->state.count);
    for (uint32_t i = 0; i < w->state.count; i++)
        for (int k = 0; k < GS_NEAR; k++)
            assert_true(w->base->near[i][k] == ~0u || w->base->near[i][k] < i);
}

/* A frame in which some die, some move and some are born; `far` of these out of the base's grid. */
static void one_frame(struct pair *p, double die, uint32_t births, int32_t wide, int32_t low,
                      uint64_t *seed)
{
    struct gs_stream_group *g = &p->group[0];
    struct gs_section sections[GS_SECTIONS] = {0};
    struct gs_stream_state was, target, born;
    uint32_t had = g->state.count, left = 0, *row = malloc((had + 1) * sizeof *row);
    uint32_t *order = calloc(births + 1, sizeof *order);
    uint8_t *dead = calloc(had + 1, 1), *level = calloc(births + 1, 1), *label = calloc(births + 1, 1);
    assert_ok(gs_stream_state_create(&was, had, DEGREE));
    gs_stream_state_copy(&was, &g->state);
    for (uint32_t i = 0; i < had; i++)
        if (!(dead[i] = test_uniform(seed, 0, 1) < die))
            row[left++] = i;
    assert_ok(gs_stream_write_deaths(g, dead, sections));
    assert_int_equal(g->state.count, left);
    assert_true((sections[GS_SECTION_DEATHS].size > 0) == (left < had));
    for (int a = 0; a < (int)gs_attr_end(DEGREE); a++) { /* those that stay, in their order */
        size_t n = (size_t)gs_attr_comps((enum gs_attr)a);
        for (uint32_t i = 0; i < left; i++)
            assert_memory_equal(g->state.v[a] + n * i, was.v[a] + n * row[i], n * 4);
    }
    assert_ok(gs_stream_state_create(&target, left, DEGREE));
    gs_stream_state_copy(&target, &g->state);
    for (uint32_t i = 0; i < left; i += 3)
        target.v[GS_POSITION][3 * (size_t)i] += 200;
    assert_ok(gs_stream_write_residual(g, &target, sections));
    random_state(&born, births, wide, seed);
    for (size_t i = 0; i < 3 * (size_t)births; i++)
        born.v[GS_POSITION][i] += low;
    for (uint32_t i = 0; i < births; i++) {
        level[i] = (uint8_t)(test_rand(seed) % GS_LEVELS);
        label[i] = (uint8_t)(test_rand(seed) % (g->clusters + 1));
    }
    if (births)
        assert_ok(gs_stream_write_births(g, &born, level, label, order, sections));
    assert_int_equal(g->state.count, left + births);
    for (uint32_t i = 0; i < births; i++) {
        uint32_t at = left + i, from = order[i];
        assert_int_equal(g->base->level[at], level[from]);
        assert_int_equal(g->label[at], label[from]);
        for (size_t k = 0; k < 3; k++) {
            int32_t d = g->state.v[GS_POSITION][3 * at + k] - born.v[GS_POSITION][3 * from + k];
            assert_true(abs(d) <= GS_POSITION_UNITS / 2);
        }
        for (int a = GS_SCALE; a < (int)gs_attr_end(DEGREE); a++) {
            size_t n = (size_t)gs_attr_comps((enum gs_attr)a);
            int32_t step = gs_stream_step(g->base, (enum gs_attr)a, at, false);
            for (size_t k = 0; k < n; k++)
                assert_true(abs(g->state.v[a][n * at + k] - born.v[a][n * from + k]) <= step / 2 + 1);
        }
    }
    assert_ok(gs_stream_read_residual(&p->group[1], sections));
    same_groups(p);
    gs_sections_free(sections);
    gs_stream_state_finish(&was);
    gs_stream_state_finish(&target);
    gs_stream_state_finish(&born);
    free(row);
    free(order);
    free(dead);
    free(level);
    free(label);
}

static void a_reader_has_what_the_writer_has(void **state)
{
    (void)state;
    static const struct {
        double die;
        uint32_t births;
        int32_t wide, low; /* of their positions, in steps */
    } rows[] = {
        {0.02, 9, 900, 0},     {0, 0, 1, 0},           {0.5, 0, 1, 0},      {0, 1, 900, 0},
        {0.1, 1500, 1000, 0},  {0, 40, 4000, -2000},   {0.9, 3, 10, 5000},  {0, 2, 900000, -1000000},
        {0.01, 300, 1023, 0},
    };
    uint64_t seed = 5;
    struct pair p;
    make_pair(&p, &seed);
    for (int group = 0; group < 2; group++) {
        for (int k = 0; k < 2; k++)
            gs_stream_group_begin(&p.group[k]);
        same_groups(&p);
        assert_int_equal(p.group[0].state.count, COUNT);
        for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
            if (group) { /* the writer's clusters: in the first frame only */
                p.group[0].clusters = 2;
                for (uint32_t i = 0; i < p.group[0].state.count && !r; i++)
                    p.group[0].label[i] = (uint8_t)(i % 3);
            }
            one_frame(&p, rows[r].die, rows[r].births, rows[r].wide * GS_POSITION_UNITS,
                      rows[r].low * GS_POSITION_UNITS, &seed);
        }
    }
    test_groups_finish(p.group, p.base);
}

/* Models that the key taught are worth it: few births cost about what they cost within the key. */
static void few_births_are_small(void **state)
{
    (void)state;
    uint64_t seed = 12;
    struct pair p;
    make_pair(&p, &seed);
    struct gs_section sections[GS_SECTIONS] = {0};
    struct gs_stream_state born;
    uint8_t level[20], label[20] = {0};
    uint32_t order[20];
    size_t key = 0, births = 0;
    assert_ok(gs_stream_state_create(&born, 20, DEGREE));
    for (uint32_t i = 0; i < 20; i++) { /* every 35th of the key's again */
        level[i] = p.base[0].level[35 * i];
        for (int a = 0; a < (int)gs_attr_end(DEGREE); a++) {
            size_t n = (size_t)gs_attr_comps((enum gs_attr)a);
            memcpy(born.v[a] + n * i, p.base[0].state.v[a] + n * 35 * i, n * 4);
        }
    }
    struct gs_section whole[GS_SECTIONS];
    assert_ok(gs_stream_write_key(&p.base[0], &p.base[1].state, whole));
    for (int k = 0; k < GS_SECTIONS; k++)
        key += whole[k].size;
    gs_sections_free(whole);
    assert_ok(gs_stream_write_births(&p.group[0], &born, level, label, order, sections));
    for (int k = 0; k < GS_SECTIONS; k++)
        births += sections[k].size;
    gs_sections_free(sections);
    if (births * COUNT > 20 * key * 3 / 2)
        fail_msg("20 births: %zu bytes; %d Gaussians of a key: %zu", births, COUNT, key);
    gs_stream_state_finish(&born);
    test_groups_finish(p.group, p.base);
}

static void what_is_no_frame(void **state)
{
    (void)state;
    uint64_t seed = 9;
    struct pair p;
    struct gs_section sections[GS_SECTIONS] = {0};
    struct gs_stream_state born;
    uint8_t dead[COUNT], none[2] = {0};
    uint32_t order[2];
    make_pair(&p, &seed);
    /* too far apart for a grid */
    random_state(&born, 2, 1, &seed);
    born.v[GS_POSITION][3] = GS_STREAM_LIMIT;
    assert_int_equal(gs_stream_write_births(&p.group[0], &born, none, none, order, sections), GS_BEYOND);
    gs_stream_state_finish(&born);
    /* all dead, none born */
    gs_stream_group_begin(&p.group[0]);
    gs_sections_free(sections);
    memset(dead, 1, sizeof dead);
    assert_ok(gs_stream_write_deaths(&p.group[0], dead, sections));
    assert_fails(gs_stream_read_residual(&p.group[1], sections), FV_EFORMAT, "no Gaussian is left");
    gs_sections_free(sections);
    /* a number of births that its bytes do not hold */
    uint8_t many[2] = {0xd7, 0xff};
    gs_stream_group_begin(&p.group[1]);
    sections[GS_SECTION_BIRTHS] = (struct gs_section){many, sizeof many};
    assert_fails(gs_stream_read_residual(&p.group[1], sections), FV_EFORMAT, "births: ");
    test_groups_finish(p.group, p.base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reader_has_what_the_writer_has),
        cmocka_unit_test(few_births_are_small),
        cmocka_unit_test(what_is_no_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
