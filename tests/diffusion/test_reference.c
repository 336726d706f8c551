/* diffusion/reference.c: frames that are given by a mask strategy, rounds of long clips. */
#include "diffusion/diffusion.h"
#include "support/test.h"

enum { T = 15, REF = 30, CHANNELS = 2, PLANE = 6, N = CHANNELS * T * PLANE };

/* A value that says reference, channel, frame and place. */
static float value(int reference, int c, int t, int i)
{
    return (float)(1000000 * (reference + 1) + 10000 * c + 100 * t + i);
}

struct clips {
    float *data[2];
    struct df_reference list[2]; /* of 30 frames and of one */
};

static void make_clips(struct clips *k)
{
    static const int frames[2] = {REF, 1};
    for (int r = 0; r < 2; r++) {
        k->data[r] = malloc((size_t)CHANNELS * (size_t)frames[r] * PLANE * sizeof(float));
        assert_non_null(k->data[r]);
        for (int c = 0; c < CHANNELS; c++)
            for (int t = 0; t < frames[r]; t++)
                for (int i = 0; i < PLANE; i++)
                    k->data[r][(c * frames[r] + t) * PLANE + i] = value(r, c, t, i);
        k->list[r] = (struct df_reference){k->data[r], (uint32_t)frames[r]};
    }
}

static const struct df_size size = {1, T, 2, 3, 16, 24, 24};

static int give(const char *strategy, uint32_t round, uint32_t align, const struct clips *k,
                float *z, float *mask, size_t *used)
{
    struct df_mask_rule *rules;
    size_t count;
    assert_ok(df_parse_mask_strategy(&rules, &count, strategy));
    int rc = df_give_frames(rules, count, round, align, k->list, 2, &size, CHANNELS, z, mask, used);
    free(rules);
    return rc;
}

/* What the authors' apply_mask_strategy does: frames [to, to + n) are `ref`'s from `from` on. */
static void strategies(void **state)
{
    (void)state;
    static const struct {
        const char *strategy;
        uint32_t round, align;
        int ref, from, to, n;
        float edit;
    } rows[] = {
        {"0", 0, 0, 0, 0, 0, 1, 0},                  /* an image first */
        {"0,0,-5,0,5", 0, 5, 0, 25, 0, 5, 0},        /* forward */
        {"0,0,0,-8,8", 0, 0, 0, 0, 7, 8, 0},         /* backward */
        {"0,0,0,-8,8", 0, 5, 0, 0, 5, 8, 0},         /* 7 is nearer to 5 */
        {"0,0,-8,3,8", 0, 5, 0, 20, 5, 8, 0},        /* 22 and 3 */
        {"0,0,28,0,8", 0, 5, 0, 25, 0, 5, 0},        /* 30 would be the end; cut */
        {"0,0,0,0,32,0.4", 0, 5, 0, 0, 0, 15, 0.4f}, /* editing */
        {"0,1,0,-1,1", 0, 5, 1, 0, 10, 1, 0},        /* the last group begins at 10 */
        {"0,1,0,-1,1", 0, 0, 1, 0, 14, 1, 0},
        {"0,-1,0,2,9", 0, 0, 1, 0, 2, 1, 0},
        {"2,0,0,0,5;3,0,10,5,5,1", 3, 0, 0, 10, 5, 5, 1},      /* the other is another round's */
        {"0,1,0,4,1;0,0,3,0,6,0.25", 0, 0, 0, 3, 0, 6, 0.25f}, /* the later one wins */
    };
    struct clips k;
    make_clips(&k);
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        float z[N], mask[T];
        size_t used;
        for (int i = 0; i < N; i++)
            z[i] = -1;
        assert_ok(give(rows[row].strategy, rows[row].round, rows[row].align, &k, z, mask, &used));
        assert_true(used > 0);
        for (int t = 0; t < T; t++) {
            bool given = t >= rows[row].to && t < rows[row].to + rows[row].n;
            assert_near(mask[t], given ? rows[row].edit : 1, 0);
            for (int c = 0; c < CHANNELS; c++)
                for (int i = 0; i < PLANE; i++)
                    assert_near(
                        z[(c * T + t) * PLANE + i],
                        given ? value(rows[row].ref, c, rows[row].from + t - rows[row].to, i) : -1,
                        0);
        }
    }
    free(k.data[0]);
    free(k.data[1]);
}

static void refuses_strategies(void **state)
{
    (void)state;
    static const struct {
        const char *strategy, *part;
    } rows[] = {{"0,2", "reference 2"},
                {"0,-3", "reference -3"},
                {"0,1,1", "latent 1 of the reference"},
                {"0,0,-31", "latent -31"},
                {"0,0,0,15", "latent 15 of the clip"},
                {"0,0,0,0,0", "0 latents"},
                {"0,0,0,0,1,1.5", "1.5"},
                {"0,0,0,0,-2", "-2 latents"}};
    struct clips k;
    float z[N] = {0}, mask[T];
    size_t used;
    make_clips(&k);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_fails(give(rows[i].strategy, 0, 0, &k, z, mask, &used), FV_EINVALID, rows[i].part);
    assert_ok(give("1,7", 0, 0, &k, z, mask, &used)); /* of no concern to this round */
    assert_int_equal(used, 0);
    free(k.data[0]);
    free(k.data[1]);
}

static void rounds(void **state)
{
    (void)state;
    static const struct df_packing groups = {17, 4, 8}, causal = {0, 4, 8};
    struct df_round r;
    assert_ok(df_round_of(&r, &groups, 51, 5, 2, 3, 0));
    assert_int_equal(r.drop, 17);
    assert_int_equal(r.encode, 51);
    assert_int_equal(r.rule.round, 2);
    assert_int_equal(r.rule.reference, 3);
    assert_int_equal(r.rule.from, -5);
    assert_int_equal(r.rule.to, 0);
    assert_int_equal(r.rule.length, 5);
    assert_ok(df_round_of(&r, &causal, 17, 2, 1, 0, 0.5));
    assert_int_equal(r.drop, 5);
    assert_int_equal(r.encode, 5);
    assert_int_equal(r.rule.from, 0);
    assert_int_equal(df_latent_frames(&causal, r.encode), 2);
    assert_near(r.rule.edit, 0.5, 0);
    assert_fails(df_round_of(&r, &groups, 51, 4, 1, 0, 0), FV_EINVALID, "multiples of 5");
    assert_fails(df_round_of(&r, &groups, 51, 15, 1, 0, 0), FV_EINVALID, "none is left");
    assert_fails(df_round_of(&r, &causal, 17, 1u << 30, 1, 0, 0), FV_EINVALID, "none is left");
    assert_fails(df_round_of(&r, &causal, 17, 0, 1, 0, 0), FV_EINVALID, "multiples of 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strategies),
        cmocka_unit_test(refuses_strategies),
        cmocka_unit_test(rounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
