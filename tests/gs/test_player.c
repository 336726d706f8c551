/* gs/player.h by a clock of the test's own: which frame is shown when, what is decoded for it. */
#include "gs/gs.h"
#include "support/test.h"

enum { FRAMES = 100, SLOTS = 6 };

/* Decodes and draws at once, or as slowly as a test says. */
struct rig {
    struct gs_player p;
    double now;
    uint32_t holds[GS_PLAYER_MOST]; /* frame that was decoded into each slot */
    unsigned decoded;               /* in all */
    uint32_t broken;                /* this frame and the rest of its group of 10 fail */
    int busy;                       /* slot being decoded; -1 */
    uint32_t frame;                 /* of it */
};

static struct rig rig(const struct gs_player_opts *opts)
{
    struct gs_player_opts o = *opts;
    struct rig r = {.busy = -1, .broken = UINT32_MAX};
    o.frame_count = o.frame_count ? o.frame_count : FRAMES;
    o.fps = 10;
    o.slots = o.slots ? o.slots : SLOTS;
    gs_player_init(&r.p, &o);
    return r;
}

static void check(const struct rig *r)
{
    unsigned used = 0;
    for (unsigned i = 0; i < GS_PLAYER_MOST; i++) {
        used += r->p.slot[i].state != GS_SLOT_FREE;
        assert_true(i < r->p.slots || r->p.slot[i].state == GS_SLOT_FREE);
    }
    assert_true(used <= r->p.slots);
    if (r->p.shown >= 0) { /* the slot holds what it says */
        assert_int_equal(r->p.slot[r->p.shown].state, GS_SLOT_SHOWN);
        assert_int_equal(r->holds[r->p.shown], r->p.slot[r->p.shown].frame);
    }
}

static bool begin(struct rig *r)
{
    if (r->busy < 0)
        r->busy = gs_player_next(&r->p, &r->frame);
    check(r);
    return r->busy >= 0;
}

static void end(struct rig *r)
{
    int slot = r->busy;
    r->busy = -1;
    r->decoded++;
    if (r->frame >= r->broken && r->frame / 10 == r->broken / 10) {
        gs_player_failed(&r->p, slot, (r->frame / 10 + 1) * 10);
        return;
    }
    r->holds[slot] = r->frame;
    gs_player_decoded(&r->p, slot);
}

static void decode_all(struct rig *r)
{
    while (begin(r))
        end(r);
}

/* Lets time pass; nothing is drawn any longer than until the next one is. */
static bool tick(struct rig *r, double seconds)
{
    r->now += seconds;
    bool changed = gs_player_tick(&r->p, r->now);
    check(r);
    for (int i = 0; i < GS_PLAYER_MOST; i++)
        if (r->p.slot[i].state == GS_SLOT_LEAVING)
            gs_player_release(&r->p, i);
    return changed;
}

static uint32_t shown(const struct rig *r)
{
    return r->p.shown < 0 ? UINT32_MAX : r->p.slot[r->p.shown].frame;
}

/* ---- the clock ---- */

static void shows_the_frame_that_is_due(void **state)
{
    (void)state;
    static const struct {
        double speed, step;
        bool once;
    } rows[] = {{1, 0.01, false},   {1, 0.033, false}, {0.25, 0.05, false}, {4, 0.02, false},
                {1.5, 0.04, false}, {1, 0.01, true},   {2, 0.05, true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r = rig(&(struct gs_player_opts){.speed = rows[i].speed, .once = rows[i].once});
        decode_all(&r);
        tick(&r, 0.5); /* shows the first; the clock begins here */
        assert_int_equal(shown(&r), 0);
        for (double t = rows[i].step; t < 25 / rows[i].speed; t += rows[i].step) {
            decode_all(&r);
            tick(&r, rows[i].step);
            double at = t * 10 * rows[i].speed;
            if (fabs(at - round(at)) < 1e-4)
                continue; /* between two frames: either */
            uint32_t wanted = (uint32_t)at % FRAMES;
            if (rows[i].once && at >= FRAMES)
                wanted = FRAMES - 1;
            if (shown(&r) != wanted)
                fail_msg("row %zu: %.3f s: frame %u, expected %u", i, t, shown(&r), wanted);
            assert_int_equal(r.p.playing, !rows[i].once || at < FRAMES);
        }
        assert_int_equal(r.p.drops, 0);
    }
}

static void nothing_moves_while_it_is_paused(void **state)
{
    (void)state;
    struct rig r = rig(&(struct gs_player_opts){.paused = true, .frame = 7});
    decode_all(&r);
    assert_true(tick(&r, 0.1));
    for (int i = 0; i < 100; i++) {
        decode_all(&r);
        assert_false(tick(&r, 1));
    }
    assert_int_equal(shown(&r), 7);
    assert_int_equal(r.decoded, SLOTS); /* ahead, and no more */
    assert_int_equal(gs_player_ahead(&r.p), SLOTS - 1);
    assert_true(isinf(gs_player_wait(&r.p)));
    gs_player_play(&r.p, true); /* the time it stood does not count */
    tick(&r, 50);
    assert_int_equal(shown(&r), 7);
    assert_near(gs_player_wait(&r.p), 0.1, 1e-9);
    tick(&r, 0.101);
    assert_int_equal(shown(&r), 8);
}

static void waits_for_what_is_not_decoded(void **state)
{
    (void)state;
    struct rig r = rig(&(struct gs_player_opts){0});
    for (int i = 0; i < 10; i++)
        assert_false(tick(&r, 1));
    assert_int_equal(gs_player_frame(&r.p), 0);
    decode_all(&r);
    tick(&r, 0);
    while (shown(&r) < SLOTS - 1) /* plays what there is, then nothing comes for long */
        tick(&r, 0.02);
    for (int i = 0; i < 100; i++)
        tick(&r, 0.1);
    assert_true(gs_player_frame(&r.p) <= SLOTS + 5); /* half a second on */
    assert_true(begin(&r));
    end(&r);
    assert_true(tick(&r, 0));
    assert_true(shown(&r) >= SLOTS && shown(&r) <= SLOTS + 5);
}

static void leaves_out_what_comes_too_late(void **state)
{
    (void)state;
    struct rig r = rig(&(struct gs_player_opts){0});
    decode_all(&r);
    tick(&r, 0);
    r.p.decoding = 0.25; /* 4 of 10 frames */
    unsigned before = r.decoded;
    uint32_t last = 0;
    for (int i = 1; i <= 400; i++) {
        begin(&r);
        if (i % 5 == 0)
            end(&r);
        tick(&r, 0.05);
        assert_true(shown(&r) >= last || last > 90); /* never back */
        last = shown(&r);
        double late = fmod(i * 0.5 - last + FRAMES, FRAMES);
        if (late > 3.6) /* while a frame is decoded, and one for rounding */
            fail_msg("%d: %.1f frames late", i, late);
    }
    assert_int_equal(r.decoded - before, 80);
    assert_near((double)r.p.drops, 200 - 80, 8);
    assert_near((double)(r.p.shows + r.p.drops), 200, 4);
}

static void decodes_no_more_than_can_be_drawn(void **state)
{
    (void)state;
    struct rig r = rig(&(struct gs_player_opts){.once = true, .frame_count = 32});
    r.p.picture = 0.31; /* three frames' time */
    while (r.p.playing) {
        decode_all(&r);
        tick(&r, 0.02);
    }
    assert_int_equal(shown(&r), 31);
    assert_int_equal(r.decoded, 12); /* 0 3 ... 30, and the last */
    assert_int_equal(r.p.shows, 12);
    assert_int_equal(r.p.drops, 20);
}

/* ---- other places ---- */

static void a_seek_shows_exactly_that_frame(void **state)
{
    (void)state;
    uint64_t seed = 5;
    for (int once = 0; once < 2; once++) {
        struct rig r = rig(&(struct gs_player_opts){.once = once, .paused = true});
        for (int i = 0; i < 2000; i++) {
            if (test_rand(&seed) % 2 && begin(&r) && test_rand(&seed) % 2)
                end(&r); /* else it is still being decoded while the person goes on */
            if (test_rand(&seed) % 4 == 0)
                tick(&r, 0.03);
            uint32_t to = test_rand(&seed) % 8 ? (gs_player_frame(&r.p) + test_rand(&seed) % 5) % FRAMES
                                               : test_rand(&seed) % FRAMES;
            if (test_rand(&seed) % 16 == 0)
                gs_player_loop(&r.p, test_rand(&seed) % 2);
            if (test_rand(&seed) % 16 == 0)
                gs_player_discard(&r.p);
            gs_player_seek(&r.p, to);
            assert_int_equal(gs_player_frame(&r.p), to);
            if (test_rand(&seed) % 3)
                continue;
            if (r.busy >= 0)
                end(&r);
            decode_all(&r);
            tick(&r, 0.03);
            assert_int_equal(shown(&r), to);
            for (int k = 0; k < GS_PLAYER_MOST; k++) /* and what follows it is ahead */
                if (r.p.slot[k].state == GS_SLOT_READY)
                    assert_true((r.p.slot[k].frame + FRAMES - to) % FRAMES < SLOTS);
        }
    }
}

static void a_seek_discards_what_is_queued(void **state)
{
    (void)state;
    struct rig r = rig(&(struct gs_player_opts){.paused = true, .frame = 10});
    decode_all(&r);
    tick(&r, 0.1);
    assert_int_equal(gs_player_ahead(&r.p), SLOTS - 1);
    gs_player_seek(&r.p, 50);
    assert_int_equal(gs_player_ahead(&r.p), 0);
    assert_int_equal(shown(&r), 10); /* until there is another */
    unsigned before = r.decoded;
    decode_all(&r);
    assert_true(tick(&r, 0.1));
    assert_int_equal(shown(&r), 50);
    decode_all(&r);
    assert_int_equal(r.decoded - before, SLOTS);
    /* within what is decoded ahead nothing is decoded twice */
    gs_player_seek(&r.p, 53);
    assert_int_equal(gs_player_ahead(&r.p), SLOTS - 3);
    tick(&r, 0.1);
    assert_int_equal(shown(&r), 53);
    before = r.decoded;
    decode_all(&r);
    assert_int_equal(r.decoded - before, 3);
    /* a frame that is just being decoded for a place that was left */
    gs_player_seek(&r.p, 20);
    assert_true(begin(&r));
    gs_player_seek(&r.p, 30);
    end(&r);
    assert_false(tick(&r, 0.1));
    decode_all(&r);
    assert_true(tick(&r, 0.1));
    assert_int_equal(shown(&r), 30);
}

static void steps_and_ends(void **state)
{
    (void)state;
    static const struct {
        int step;
        uint32_t wanted;
    } rows[] = {{1, 51}, {1, 52}, {-1, 51}, {-10, 41}, {59, 0}, {-1, 99}, {1, 0}, {-101, 99}};
    struct rig r = rig(&(struct gs_player_opts){.frame = 50});
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        gs_player_step(&r.p, rows[i].step);
        assert_false(r.p.playing);
        decode_all(&r);
        tick(&r, 0.3);
        assert_int_equal(shown(&r), rows[i].wanted);
    }
    /* forward, nothing is decoded twice */
    decode_all(&r);
    unsigned before = r.decoded;
    for (int i = 0; i < 40; i++) {
        gs_player_step(&r.p, 1);
        tick(&r, 0.3);
        assert_int_equal(shown(&r), (99 + 1 + i) % FRAMES);
        decode_all(&r);
    }
    assert_int_equal(r.decoded - before, 40);
}

static void what_ends_can_be_played_again(void **state)
{
    (void)state;
    struct rig r = rig(&(struct gs_player_opts){.once = true, .frame = 95});
    for (int i = 0; i < 50; i++) {
        decode_all(&r);
        tick(&r, 0.05);
    }
    assert_false(r.p.playing);
    assert_int_equal(shown(&r), 99);
    gs_player_play(&r.p, true);
    decode_all(&r);
    tick(&r, 0.05);
    assert_int_equal(shown(&r), 0);
    /* what loops does not stop there, nor what has begun to */
    gs_player_seek(&r.p, 98);
    decode_all(&r);
    tick(&r, 0);
    gs_player_loop(&r.p, true);
    for (int i = 0; i < 8; i++) {
        decode_all(&r);
        tick(&r, 0.05);
    }
    assert_true(r.p.playing);
    assert_int_equal(shown(&r), 1);
    gs_player_loop(&r.p, false); /* after many loops too it is the first's end */
    for (int i = 0; i < 400; i++) {
        decode_all(&r);
        tick(&r, 0.05);
    }
    assert_false(r.p.playing);
    assert_int_equal(shown(&r), 99);
}

static void one_frame_is_decoded_once(void **state)
{
    (void)state;
    struct rig r = rig(&(struct gs_player_opts){.frame_count = 1});
    for (int i = 0; i < 100; i++) {
        decode_all(&r);
        tick(&r, 0.05);
    }
    assert_int_equal(r.decoded, 1);
    assert_int_equal(shown(&r), 0);
}

static void the_end_of_what_grows_is_waited_at(void **state)
{
    (void)state;
    struct rig r = rig(&(struct gs_player_opts){.once = true, .frame_count = 10});
    r.p.growing = true;
    for (int i = 0; i < 100; i++) {
        decode_all(&r);
        tick(&r, 0.05);
    }
    assert_true(r.p.playing);
    assert_int_equal(shown(&r), 9);
    gs_player_grow(&r.p, 15, true);
    decode_all(&r);
    tick(&r, 0.05);
    decode_all(&r);
    tick(&r, 0.15);
    assert_in_range(shown(&r), 10, 11);
    gs_player_grow(&r.p, 15, false);
    for (int i = 0; i < 20; i++) {
        decode_all(&r);
        tick(&r, 0.05);
    }
    assert_false(r.p.playing);
    assert_int_equal(shown(&r), 14);
    assert_int_equal(r.decoded, 15);
}

/* ---- what is damaged ---- */

static void damage_is_told_at_its_time_and_passed(void **state)
{
    (void)state;
    struct rig r = rig(&(struct gs_player_opts){0});
    r.broken = 44;
    int told = 0;
    for (int i = 0; i < 140; i++) {
        decode_all(&r);
        tick(&r, 0.05);
        uint32_t frame = gs_player_frame(&r.p);
        if (r.p.bad >= 0) {
            assert_int_equal(r.p.slot[r.p.bad].frame, 44);
            assert_int_equal(frame, 44);
            r.p.bad = -1;
            told++;
        }
        if (frame >= 44 && frame < 50)
            assert_int_equal(shown(&r), 43);
        else
            assert_int_equal(shown(&r), frame);
    }
    assert_int_equal(told, 1);
    assert_int_equal(r.p.drops, 0);
    /* sought while it stands: told, and the picture stays */
    gs_player_play(&r.p, false);
    gs_player_seek(&r.p, 46);
    decode_all(&r);
    uint32_t before = shown(&r);
    tick(&r, 0.05);
    assert_true(r.p.bad >= 0);
    assert_int_equal(shown(&r), before);
    gs_player_play(&r.p, true);
    for (int i = 0; i < 12; i++) {
        decode_all(&r);
        tick(&r, 0.05);
    }
    assert_in_range(shown(&r), 51, 52);
}

static void a_damaged_end_ends(void **state)
{
    (void)state;
    struct rig r = rig(&(struct gs_player_opts){.once = true, .frame = 85});
    r.broken = 93;
    for (int i = 0; i < 100; i++) {
        decode_all(&r);
        tick(&r, 0.05);
    }
    assert_false(r.p.playing);
    assert_int_equal(shown(&r), 92);
    gs_player_loop(&r.p, true);
    gs_player_seek(&r.p, 90);
    gs_player_play(&r.p, true);
    for (int i = 0; i < 24; i++) {
        decode_all(&r);
        tick(&r, 0.05);
    }
    assert_in_range(shown(&r), 1, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shows_the_frame_that_is_due),
        cmocka_unit_test(nothing_moves_while_it_is_paused),
        cmocka_unit_test(waits_for_what_is_not_decoded),
        cmocka_unit_test(leaves_out_what_comes_too_late),
        cmocka_unit_test(decodes_no_more_than_can_be_drawn),
        cmocka_unit_test(a_seek_shows_exactly_that_frame),
        cmocka_unit_test(a_seek_discards_what_is_queued),
        cmocka_unit_test(steps_and_ends),
        cmocka_unit_test(what_ends_can_be_played_again),
        cmocka_unit_test(one_frame_is_decoded_once),
        cmocka_unit_test(the_end_of_what_grows_is_waited_at),
        cmocka_unit_test(damage_is_told_at_its_time_and_passed),
        cmocka_unit_test(a_damaged_end_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
