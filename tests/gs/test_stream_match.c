/* Who is who from frame to frame, where the rows of files do not tell. */
#include "support/test.h"

#include "gs/scene.h"
#include "gs/stream.h"

enum { COUNT = 3000 };

static void cloud(struct gs_scene *s, size_t count)
{
    uint64_t seed = 31;
    assert_ok(gs_scene_alloc(s, count, 0));
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < 3; k++) {
            s->position[3 * i + k] = (float)test_uniform(&seed, -1, 1);
            s->scale[3 * i + k] = (float)test_uniform(&seed, -6, -4);
            s->sh[3 * i + k] = (float)test_uniform(&seed, -1, 1);
        }
        s->rotation[4 * i] = 1;
        s->opacity[i] = (float)test_uniform(&seed, -2, 4);
    }
}

/* What becomes of a cloud: row i goes to place where[i], or is gone; COUNT - gone + born rows. */
struct change {
    bool shuffled;
    double jitter;   /* of everything, in parts of what tells Gaussians apart */
    double turn;     /* of the whole, in radians */
    double gone;     /* this part dies, */
    uint32_t born;   /* so many begin at the end, */
};

static void make(struct gs_scene *to, const struct gs_scene *from, const struct change *c,
                 uint32_t *where, uint64_t *seed)
{
    uint32_t left = 0, *order = malloc((COUNT + c->born + 1) * sizeof *order);
    for (uint32_t i = 0; i < COUNT; i++) {
        where[i] = GS_NO_ROW;
        if (test_uniform(seed, 0, 1) >= c->gone)
            order[left++] = i;
    }
    uint32_t n = left + c->born;
    for (uint32_t k = left; k < n; k++)
        order[k] = GS_NO_ROW;
    for (uint32_t k = n - 1; k > 0 && c->shuffled; k--) {
        uint32_t j = (uint32_t)(test_rand(seed) % (k + 1)), swap = order[k];
        order[k] = order[j];
        order[j] = swap;
    }
    assert_ok(gs_scene_alloc(to, n, 0));
    for (uint32_t k = 0; k < n; k++) {
        uint32_t i = order[k];
        if (i != GS_NO_ROW)
            where[i] = k;
        float *p = to->position + 3 * (size_t)k;
        for (size_t j = 0; j < 3; j++) {
            bool born = i == GS_NO_ROW;
            double by = c->jitter;
            p[j] = born ? (float)test_uniform(seed, -1, 1)
                        : from->position[3 * (size_t)i + j] + (float)test_uniform(seed, -0.01 * by, 0.01 * by);
            to->scale[3 * (size_t)k + j] =
                born ? (float)test_uniform(seed, -6, -4)
                     : from->scale[3 * (size_t)i + j] + (float)test_uniform(seed, -0.2 * by, 0.2 * by);
            to->sh[3 * (size_t)k + j] =
                born ? (float)test_uniform(seed, -1, 1)
                     : from->sh[3 * (size_t)i + j] + (float)test_uniform(seed, -0.1 * by, 0.1 * by);
        }
        float x = p[0];
        if (c->turn != 0) {
            p[0] = (float)(x * cos(c->turn) - p[1] * sin(c->turn));
            p[1] = (float)(x * sin(c->turn) + p[1] * cos(c->turn));
        }
        to->rotation[4 * (size_t)k] = 1;
        to->opacity[k] = i == GS_NO_ROW ? 0 : from->opacity[i];
    }
    free(order);
}

static void rows_are_found_again(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct change c;
        bool kept;
        double least; /* part of those that are still there */
        double wrong; /* at most, of all */
    } rows[] = {
        {"the same", {0}, true, 1, 0},
        {"all turn", {.turn = 0.3}, true, 1, 0},
        {"all wander", {.jitter = 1}, true, 1, 0},
        {"shuffled", {.shuffled = true}, false, 1, 0},
        {"shuffled, turning", {.shuffled = true, .turn = 0.3}, false, 1, 0},
        {"shuffled, wandering", {.shuffled = true, .jitter = 1}, false, 0.99, 0.005},
        {"pruned and grown", {.gone = 0.02, .born = 70}, false, 1, 0.001},
        {"as many born as died, wandering", {.gone = 0.01, .born = 30, .jitter = 0.5}, false, 0.99, 0.01},
        {"churning, shuffled", {.shuffled = true, .gone = 0.3, .born = 900}, false, 1, 0.01},
    };
    uint64_t seed = 3;
    struct gs_scene from, to;
    cloud(&from, COUNT);
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        uint32_t where[COUNT], found[COUNT], there = 0, right = 0, wrong = 0;
        bool kept;
        make(&to, &from, &rows[r].c, where, &seed);
        assert_ok(gs_stream_match(found, &kept, &from, &to));
        uint8_t *taken = calloc(to.count + 1, 1);
        for (uint32_t i = 0; i < COUNT; i++) {
            there += where[i] != GS_NO_ROW;
            right += where[i] != GS_NO_ROW && found[i] == where[i];
            wrong += found[i] != GS_NO_ROW && found[i] != where[i];
            if (found[i] == GS_NO_ROW)
                continue;
            assert_true(found[i] < to.count && !taken[found[i]]); /* no row is two */
            taken[found[i]] = 1;
        }
        if (right < rows[r].least * there || wrong > rows[r].wrong * COUNT || kept != rows[r].kept)
            fail_msg("%s: %u of %u right, %u wrong, order %s", rows[r].name, right, there, wrong,
                     kept ? "kept" : "not kept");
        free(taken);
        gs_scene_finish(&to);
    }
    gs_scene_finish(&from);
}

static void nearest_of_others(void **state)
{
    (void)state;
    enum { FROM = 300, AMONG = 2000 };
    static int32_t from[3 * FROM], among[3 * AMONG];
    uint32_t out[FROM], right = 0;
    uint64_t seed = 6;
    for (size_t i = 0; i < 3 * AMONG; i++)
        among[i] = (int32_t)test_uniform(&seed, -100000, 100000);
    for (size_t i = 0; i < 3 * FROM; i++)
            from[i] = among[i / 3 * 7 % AMONG * 3 + i % 3] + (int32_t)test_uniform(&seed, -900, 900);
    assert_ok(gs_stream_nearest(out, from, FROM, among, AMONG));
    for (size_t i = 0; i < FROM; i++) {
        double least = HUGE_VAL;
        uint32_t best = 0;
        for (uint32_t j = 0; j < AMONG; j++) {
            double sum = 0;
            for (size_t k = 0; k < 3; k++)
                sum += pow((double)from[3 * i + k] - among[3 * j + k], 2);
            if (sum < least) {
                least = sum;
                best = j;
            }
        }
        assert_true(out[i] == GS_NO_ROW || out[i] == best);
        right += out[i] == best;
    }
    assert_true(right > FROM * 9 / 10);
}

/* Rows through frames: those of the base stay known while the group's own come and go. */
static void tracks(void **state)
{
    (void)state;
    const struct gs_stream_pose base[4] = {{.row = 2}, {.row = 0}, {.row = 3}, {.row = 1}};
    const uint32_t first[4] = {GS_NO_ROW, 0, 4, 1}, second[5] = {GS_NO_ROW, 2, 1, 3, 0}, order[2] = {1, 0};
    struct gs_track t = {0};
    uint8_t dead[8];
    uint32_t rows[5], n;
    assert_ok(gs_track_begin(&t, base, 4));
    assert_int_equal(gs_track_step(&t, first, dead), 1); /* 2, 0, 3, 1 -> 4, gone, 1, 0 */
    assert_true(!dead[0] && dead[1] && !dead[2] && !dead[3]);
    assert_ok(gs_track_find_born(&t, 5, rows, &n));
    assert_true(n == 2 && rows[0] == 2 && rows[1] == 3);
    const struct gs_stream_pose born[2] = {{.row = 2}, {.row = 3}};
    assert_ok(gs_track_append(&t, born, order, n));
    assert_int_equal(gs_track_step(&t, second, dead), 1); /* 4, 1, 0, 3, 2 -> 0, 2, gone, 3, 1 */
    assert_true(dead[2] && t.count == 4);
    assert_true(t.now[0].row == 0 && t.now[1].row == 2 && t.now[2].row == 3 && t.now[3].row == 1);
    assert_true(t.key[0].row == 0 && t.key[1].row == GS_NO_ROW && t.key[2].row == 2 &&
                t.key[3].row == GS_NO_ROW);
    gs_track_enter(&t); /* of the base, two are left */
    assert_int_equal(gs_track_step(&t, NULL, dead), 2);
    assert_true(!dead[0] && dead[1] && !dead[2] && dead[3]);
    assert_ok(gs_track_find_born(&t, 4, rows, &n));
    assert_true(n == 2 && rows[0] == 1 && rows[1] == 3);
    gs_track_finish(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_found_again),
        cmocka_unit_test(nearest_of_others),
        cmocka_unit_test(tracks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
