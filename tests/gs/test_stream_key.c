/* Base keys of several pieces: any number of threads reads what the writer, which goes through them in
 * one loop, has; a key that is none is an error of all of them. */
#include "support/stream.h"
#include "support/test.h"

#include "gs/stream.h"

#include <sched.h>

static void make_base(struct gs_stream_base *b, uint32_t count, int degree, unsigned bits)
{
    assert_ok(gs_stream_base_create(b, count, degree));
    b->bits = (uint8_t)bits;
    for (int a = 0; a < GS_ATTRS; a++)
        b->step[a] = 0.01f;
}

static void same_bases(const struct gs_stream_base *a, const struct gs_stream_base *b)
{
    size_t count = a->state.count;
    for (int k = 0; k < (int)gs_attr_end(a->state.sh_degree); k++)
        assert_memory_equal(a->state.v[k], b->state.v[k],
                            count * (size_t)gs_attr_comps((enum gs_attr)k) * sizeof(int32_t));
    assert_memory_equal(a->level, b->level, count);
    assert_memory_equal(a->turn_level, b->turn_level, count);
    assert_memory_equal(a->near, b->near, count * sizeof *a->near);
    assert_memory_equal(a->learned->mean, b->learned->mean, sizeof a->learned->mean);
    for (int k = GS_ROTATION; k < (int)gs_attr_end(a->state.sh_degree); k++)
        assert_memory_equal(a->learned->attr[k]->comp, b->learned->attr[k]->comp,
                            (size_t)a->learned->attr[k]->comps * sizeof *a->learned->attr[k]->comp);
}

/* Of one processor the caller's thread does all. */
static void use_processors(bool all)
{
    static cpu_set_t whole;
    cpu_set_t one;
    if (!CPU_COUNT(&whole))
        assert_int_equal(sched_getaffinity(0, sizeof whole, &whole), 0);
    CPU_ZERO(&one);
    for (int k = 0; k < CPU_SETSIZE && !CPU_COUNT(&one); k++)
        if (CPU_ISSET(k, &whole))
            CPU_SET(k, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, all ? &whole : &one), 0);
}

static void threads_read_what_was_written(void **state)
{
    (void)state;
    static const struct {
        uint32_t count;
        int degree;
        unsigned bits;
    } cases[] = {{1, 0, 0},
                 {39, 3, 8},
                 {GS_NEAR_PIECE - 1, 1, 9},
                 {GS_NEAR_PIECE, 2, 9},
                 {GS_NEAR_PIECE + 1, 2, 12},
                 {3 * GS_NEAR_PIECE + 17, 3, 10},
                 {5 * GS_NEAR_PIECE, 0, 3}}; /* most of them share a place */
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct gs_stream_state target;
        struct gs_stream_base written, read;
        struct gs_section sections[GS_SECTIONS];
        uint64_t seed = k;
        test_stream_target(&target, cases[k].count, cases[k].degree, cases[k].bits);
        make_base(&written, cases[k].count, cases[k].degree, cases[k].bits);
        for (uint32_t i = 0; i < cases[k].count; i++)
            written.level[i] = (uint8_t)(test_rand(&seed) % GS_LEVELS);
        assert_ok(gs_stream_write_key(&written, &target, sections));
        for (int all = 0; all < 2; all++) {
            use_processors(all);
            make_base(&read, cases[k].count, cases[k].degree, cases[k].bits);
            assert_ok(gs_stream_read_key(&read, sections));
            same_bases(&written, &read);
            gs_stream_base_finish(&read);
        }
        gs_sections_free(sections);
        gs_stream_state_finish(&target);
        gs_stream_base_finish(&written);
    }
}

static void keys_that_are_none(void **state)
{
    (void)state;
    enum { COUNT = 2 * GS_NEAR_PIECE + 5, DEGREE = 1, BITS = 9 };
    static const struct {
        int section;
        const char *why;
    } cases[] = {{GS_SECTION_ATTRS + GS_POSITION, "positions"}, {GS_SECTION_MODEL, "levels"}};
    struct gs_stream_state target;
    struct gs_stream_base b;
    struct gs_section sections[GS_SECTIONS];
    test_stream_target(&target, COUNT, DEGREE, BITS);
    make_base(&b, COUNT, DEGREE, BITS);
    assert_ok(gs_stream_write_key(&b, &target, sections));
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        static uint8_t ones[40];
        memset(ones, 255, sizeof ones);
        struct gs_section bad[GS_SECTIONS];
        memcpy(bad, sections, sizeof bad);
        bad[cases[k].section] = (struct gs_section){ones, sizeof ones};
        for (int all = 0; all < 2; all++) {
            use_processors(all);
            assert_int_equal(gs_stream_read_key(&b, bad), FV_EFORMAT);
            assert_non_null(strstr(fv_error(), cases[k].why));
        }
    }
    gs_sections_free(sections);
    gs_stream_state_finish(&target);
    gs_stream_base_finish(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_read_what_was_written),
        cmocka_unit_test(keys_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
