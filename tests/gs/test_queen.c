/* gs/queen.c, gs/queen_coder.c: decoders, gates, frames and coded integers on the CPU. Against
 * QUEEN's own outputs: tests/app/test_check_queen.c. */
#include "support/queen.h"

/* ---- decoders and gates ---- */

static void rounds_to_even(void **state)
{
    (void)state;
    static const struct {
        float in;
        int32_t out;
    } rows[] = {{0.5f, 0},         {1.5f, 2},          {2.5f, 2},
                {-0.5f, 0},        {-1.5f, -2},        {0.49f, 0},
                {-0.51f, -1},      {-0.0f, 0},         {16777217.0f, 16777216},
                {3e9f, INT32_MAX}, {-3e9f, INT32_MIN}, {INFINITY, INT32_MAX},
                {NAN, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int32_t got;
        gs_queen_round(&got, &rows[i].in, 1);
        if (got != rows[i].out)
            fail_msg("%g: %d, expected %d", (double)rows[i].in, got, rows[i].out);
    }
}

/* As many rows as columns: orthonormal. */
static void dft_is_orthonormal(void **state)
{
    (void)state;
    for (uint32_t n = 1; n <= 9; n++) {
        float w[81];
        gs_queen_dft(w, n, n);
        for (uint32_t a = 0; a < n; a++)
            for (uint32_t b = 0; b < n; b++) {
                double dot = 0;
                for (uint32_t i = 0; i < n; i++)
                    dot += (double)w[i * n + a] * (double)w[i * n + b];
                assert_near(dot, a == b, 1e-6);
            }
    }
    float ones[3];
    gs_queen_dft(ones, 3, 1);
    assert_true(ones[0] == 1 && ones[1] == 1 && ones[2] == 1);
}

/* Two latents, two layers, by hand: x = (2, -3) / (1, 2); relu(x W1 + 1) = (0, 4.5);
 * (0 + 4.5 * 3) * 2 - 1 = 26. */
static void decodes_by_hand(void **state)
{
    (void)state;
    const float div[] = {1, 2}, w1[] = {-1, 1, 0, -1}, shift1[] = {1, 0};
    const float w2[] = {5, 3}, scale2[] = {2}, shift2[] = {-1};
    const int32_t latent[] = {2, -3, 0, 0};
    float out[2], base[] = {100, 0};
    struct gs_queen_decoder d = {
        .layer_count = 2,
        .div = div,
        .layer = {{2, 2, w1, NULL, shift1, GS_QUEEN_RELU}, {2, 1, w2, scale2, shift2}}};
    /* row 0: (2, -1.5) W1 = (-2, 3.5), + (1, 0) = (-1, 3.5) -> (0, 3.5); 10.5 * 2 - 1 = 20 */
    assert_ok(gs_queen_decode_reference(&d, latent, 2, base, out));
    assert_true(out[0] == 120);
    /* row 1: latents of 0 still get the shifts: relu(1, 0) = (1, 0); 5 * 2 - 1 = 9 */
    assert_true(out[1] == 9);
    d.layer[1].activation = GS_QUEEN_SIGMOID;
    assert_ok(gs_queen_decode_reference(&d, latent, 2, NULL, out));
    assert_near((double)out[1], 1 / (1 + exp(-9.0)), 1e-7);
    d.layer[1].activation = GS_QUEEN_TANH;
    assert_ok(gs_queen_decode_reference(&d, latent, 2, NULL, out));
    assert_near((double)out[1], tanh(9.0), 1e-7);
}

static void refuses_bad_decoders(void **state)
{
    (void)state;
    float w[4] = {0}, out[8];
    const int32_t latent[128] = {0};
    static const struct {
        uint32_t layers, in0, out0, in1, out1;
        const char *part;
    } rows[] = {{0, 2, 2, 2, 2, "0 layers"},   {5, 2, 2, 2, 2, "5 layers"},
                {2, 0, 2, 2, 2, "0 latents"},  {2, 65, 2, 2, 2, "65 latents"},
                {2, 2, 2, 3, 2, "layer 1"},    {2, 2, 0, 0, 2, "layer 0"},
                {2, 2, 257, 257, 2, "layer 0"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct gs_queen_decoder d = {
            .layer_count = rows[i].layers,
            .layer = {{rows[i].in0, rows[i].out0, w}, {rows[i].in1, rows[i].out1, w}}};
        assert_fails(gs_queen_decode_reference(&d, latent, 1, NULL, out), FV_EINVALID,
                     rows[i].part);
    }
}

static void gates_reach_both_ends(void **state)
{
    (void)state;
    const struct gs_queen_gate g = {0.3f, -0.5f, 1.01f};
    const float alpha[] = {-5, 0, 5}, before[9] = {0}, free_xyz[] = {1, 2, 3, 1, 2, 3, 1, 2, 3};
    float z[3], xyz[9];
    gs_queen_gate_reference(&g, alpha, 3, before, free_xyz, z, xyz);
    assert_true(z[0] == 0 && z[2] == 1 && xyz[2] == 0 && xyz[8] == 3);
    assert_near((double)z[1], 0.5 * 1.51 - 0.5, 1e-6);
    assert_near((double)xyz[4], 2 * (double)z[1], 1e-6);
    /* open with probability p: sigmoid(a - temperature ln(-low / high)) */
    double a = (double)gs_queen_gate_start(&g, 0.25f);
    assert_near(1 / (1 + exp(-(a - 0.3 * log(0.5 / 1.01)))), 0.25, 1e-6);
    assert_near((double)gs_queen_gate_start(&g, 0), log(1e-3), 1e-6);
    assert_near((double)gs_queen_gate_start(&g, 1), log(1e3), 1e-6);
}

/* ---- frames ---- */

static void follows_parents(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(4, 1, 5), was = test_scene(4, 1, 5);
    const uint32_t parent[] = {0, 2, 3, 3, 3}, row[] = {2, 4};
    const float by[] = {1, 2, 3, -1, 0, 0};
    const struct gs_queen_frame f = {
        .count = 5, .parent = parent, .moved = 2, .moved_row = row, .moved_by = by};
    assert_ok(gs_queen_apply(&s, NULL, &f));
    assert_int_equal(s.count, 5);
    for (size_t i = 0; i < 5; i++) {
        assert_memory_equal(s.rotation + 4 * i, was.rotation + 4 * parent[i], 16);
        assert_memory_equal(s.sh + 12 * i, was.sh + 12 * parent[i], 48);
        assert_true(s.opacity[i] == was.opacity[parent[i]]);
    }
    assert_true(s.position[3 * 2 + 1] == was.position[3 * 3 + 1] + 2);
    assert_true(s.position[3 * 4] == was.position[3 * 3] - 1);
    assert_true(s.position[3 * 3] == was.position[3 * 3]);
    gs_scene_finish(&s);
    gs_scene_finish(&was);
}

/* Latents of 0: every Gaussian still gets the bias, in every frame. */
static void bias_moves_every_gaussian(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(9, 0, 5), was = test_scene(9, 0, 5);
    const float w[4] = {1, 1, 1, 1}, shift[4] = {0.5f, 0.25f, -1, 2};
    const int32_t zero[9] = {0};
    struct gs_queen_frame f = {.count = 9};
    f.change[GS_QUEEN_ROTATION] = (struct gs_queen_change){
        .kind = GS_QUEEN_RESIDUAL, .latent = zero, .decoder = {1, NULL, {{1, 4, w, NULL, shift}}}};
    assert_ok(gs_queen_apply(&s, NULL, &f));
    assert_ok(gs_queen_apply(&s, NULL, &f));
    for (size_t i = 0; i < 36; i++) /* raw quaternions: never normalised */
        assert_true(s.rotation[i] == was.rotation[i] + shift[i % 4] + shift[i % 4]);
    gs_scene_finish(&s);
    gs_scene_finish(&was);
}

static void sums_latents(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(2, 0, 5);
    struct gs_queen_latents latents = {0};
    const float w[1] = {1};
    const int32_t first[] = {5, INT32_MAX}, more[] = {2, 1, 7};
    const uint32_t parent[] = {1, 0, 0};
    struct gs_queen_frame f = {.count = 2};
    f.change[GS_QUEEN_OPACITY] = (struct gs_queen_change){.kind = GS_QUEEN_ABSOLUTE,
                                                          .latent = first,
                                                          .accumulate = true,
                                                          .decoder = {1, NULL, {{1, 1, w}}}};
    assert_ok(gs_queen_apply(&s, &latents, &f)); /* nothing before: added to 0 */
    assert_true(s.opacity[0] == 5);
    f.count = 3;
    f.parent = parent;
    f.change[GS_QUEEN_OPACITY].latent = more;
    assert_ok(gs_queen_apply(&s, &latents, &f));
    assert_true(s.opacity[0] == (float)(INT32_MIN + 1)); /* wraps */
    assert_true(s.opacity[1] == 6 && s.opacity[2] == 12);
    gs_queen_latents_finish(&latents);
    gs_scene_finish(&s);
}

static void refuses_frames_that_do_not_fit(void **state)
{
    (void)state;
    struct gs_scene s = test_scene(4, 1, 5), was = test_scene(4, 1, 5);
    const float w[64] = {0}, values[64] = {0};
    const int32_t latent[64] = {0};
    const uint32_t beyond[] = {0, 1, 4, 2}, good[] = {0, 1, 2, 3}, twice[] = {1, 1}, far[] = {1, 4};
    const struct gs_queen_decoder two = {1, NULL, {{1, 2, w}}};
#define CHANGE(a, ...) .change = { [a] = {__VA_ARGS__} }
    const struct {
        struct gs_queen_frame f;
        const char *part;
    } rows[] = {
        {{.count = 0}, "no Gaussians"},
        {{.count = 5}, "5 Gaussians, the one before 4"},
        {{.count = 4, .parent = beyond}, "Gaussian 2 comes from 4 of the 4"},
        {{.count = 4, .moved = 2, .moved_row = twice, .moved_by = w},
         "row 1 of 4, or out of order"},
        {{.count = 4, .moved = 2, .moved_row = far, .moved_by = w}, "row 4 of 4"},
        {{.count = 4, .parent = good, CHANGE(GS_QUEEN_DC, GS_QUEEN_PLAIN, .values = values)},
         "f_dc: 0 values a Gaussian, expected 3"},
        {{.count = 4, CHANGE(GS_QUEEN_REST, GS_QUEEN_RESIDUAL, .latent = latent, .decoder = two)},
         "f_rest: a decoder makes 2 values, expected 9"},
        {{.count = 4, CHANGE(GS_QUEEN_SCALE, GS_QUEEN_RESIDUAL, .decoder = two)}, "sc: no latents"},
        {{.count = 4, CHANGE(GS_QUEEN_ROTATION, (enum gs_queen_kind)9)}, "rot: a change of kind 9"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_fails(gs_queen_apply(&s, NULL, &rows[i].f), FV_EINVALID, rows[i].part);
        assert_same_scene(&s, &was);
    }
    gs_scene_finish(&s);
    gs_scene_finish(&was);
}

/* ---- coded integers ---- */

struct distribution {
    uint32_t rows, width, values; /* so many different ones */
    int skew;                     /* chances of the others against 0, as a power of two */
    float scale;
};

static float *draw(const struct distribution *d, uint64_t *seed)
{
    size_t n = (size_t)d->rows * d->width;
    float *v = malloc((n ? n : 1) * sizeof *v);
    assert_non_null(v);
    for (size_t i = 0; i < n; i++)
        v[i] = d->skew && test_rand(seed) >> (31 - d->skew)
                   ? 0
                   : (float)((int)(test_rand(seed) % d->values) - (int)(d->values / 2)) / d->scale;
    return v;
}

static void codes_and_decodes(void **state)
{
    (void)state;
    static const struct distribution rows[] = {
        {1, 1, 1, 0, 1},        {1, 1, 9, 0, 1},         {7, 3, 2, 0, 1},
        {1000, 4, 1, 0, 1},     {1000, 4, 15, 0, 1},     {5000, 8, 15, 3, 1},
        {20000, 1, 500, 10, 1}, {40000, 1, 32768, 0, 1}, {3000, 3, 200, 1, 10000},
        {60000, 8, 3, 16, 1},   {0, 3, 1, 0, 1},
    };
    uint64_t seed = 11;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct distribution *d = &rows[i];
        size_t n = (size_t)d->rows * d->width;
        float *v = draw(d, &seed);
        struct gs_queen_coded c;
        int32_t *got = malloc((n + 1) * sizeof *got), want;
        assert_non_null(got);
        assert_ok(gs_queen_compress(&c, v, d->rows, d->width, d->scale));
        assert_ok(gs_queen_uncompress(&c, got));
        for (size_t k = 0; k < n; k++) {
            float scaled = v[k] * d->scale;
            gs_queen_round(&want, &scaled, 1);
            if (got[k] != want)
                fail_msg("row %zu: value %zu is %d, expected %d", i, k, got[k], want);
        }
        /* no more than its entropy, the histogram's rounding and a few bytes */
        double bits = 0;
        assert_ok(gs_queen_entropy(&bits, got, n, 1));
        if (!c.tails && (double)c.size > bits / 8 * 1.02 + 16)
            fail_msg("row %zu: %zu bytes for %.0f", i, c.size, bits / 8);
        gs_queen_coded_finish(&c);
        free(got);
        free(v);
    }
}

/* Ten-thousandths and less are listed apart, in the order of their values. */
static void lists_rare_values(void **state)
{
    (void)state;
    enum { N = 30000 };
    float *v = calloc(N, sizeof *v);
    struct gs_queen_coded c;
    v[5] = 3, v[7] = -2, v[100] = 3, v[29999] = -900;
    for (int i = 0; i < 4; i++)
        v[200 + i] = 8; /* 4 of 30000: more than a ten-thousandth */
    assert_ok(gs_queen_compress(&c, v, N, 1, 1));
    const struct gs_queen_tail want[] = {{-900, 29999}, {-2, 7}, {3, 5}, {3, 100}};
    assert_int_equal(c.tails, 4);
    assert_memory_equal(c.tail, want, sizeof want);
    assert_int_equal(c.symbols, 2);
    gs_queen_coded_finish(&c);
    free(v);
}

static void refuses_too_many_values(void **state)
{
    (void)state;
    enum { N = 80000 };
    float *v = malloc(N * sizeof *v);
    struct gs_queen_coded c;
    /* half the values are rare, so they are listed; a histogram of more than fits is refused */
    for (int i = 0; i < N; i++)
        v[i] = (float)(i / 2);
    assert_ok(gs_queen_compress(&c, v, N, 1, 1));
    assert_int_equal(c.symbols, 1);
    assert_int_equal(c.tails, N - 2);
    gs_queen_coded_finish(&c);
    assert_fails(gs_queen_compress(&c, v, UINT32_MAX, 2, 1), FV_EUNSUPPORTED, "too many");
    free(v);
}

static void refuses_bad_codes(void **state)
{
    (void)state;
    static const float good[] = {0, 0.5f, 1}, falls[] = {0, 0.8f, 0.5f, 1}, beyond[] = {0, 1.5f, 1};
    static const float nan[] = {0, NAN, 1}, low[] = {0, 0.5f, 0.9f}, late[] = {0.5f, 0.7f, 1};
    static const int32_t value[] = {1, 2, 3};
    static const uint8_t bytes[8] = {0x55, 0x33, 0x0f, 0xaa, 0x12, 0x34, 0x56, 0x78};
    const struct gs_queen_tail outside = {5, 32};
    const struct {
        struct gs_queen_coded c;
        const char *part;
    } rows[] = {
        {{32, 1, 0, good, value, bytes, 8}, "0 different values"},
        {{32, 1, 32769, good, value, bytes, 8}, "32769 different values"},
        {{32, 1, 3, falls, value, bytes, 8}, "falls at symbol 2"},
        {{32, 1, 2, beyond, value, bytes, 8}, "not within 0 and 1"},
        {{32, 1, 2, nan, value, bytes, 8}, "not within 0 and 1"},
        {{32, 1, 2, low, value, bytes, 8}, "does not reach from 0 to 1"},
        {{32, 1, 2, late, value, bytes, 8}, "does not reach from 0 to 1"},
        {{1000, 1, 2, good, value, bytes, 8}, "cut short"},
        {{32, 1, 2, good, value, bytes, 0}, "cut short"},
        {{32, 1, 2, good, value, bytes, 8, &outside, 1}, "rare value 0 is at 32 of 32"},
    };
    int32_t out[1000];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_fails(gs_queen_uncompress(&rows[i].c, out), FV_EFORMAT, rows[i].part);
    assert_ok(gs_queen_uncompress(&(struct gs_queen_coded){32, 1, 2, good, value, bytes, 8}, out));
}

/* Any bytes are a code of something. */
static void decodes_noise(void **state)
{
    (void)state;
    uint64_t seed = 3;
    uint8_t bytes[4096];
    float cdf[257];
    int32_t value[256], out[4096];
    for (uint32_t symbols = 1; symbols <= 256; symbols = symbols * 3 / 2 + 1) {
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)test_rand(&seed);
        for (uint32_t i = 0; i <= symbols; i++)
            cdf[i] = (float)i / (float)symbols, value[i < 256 ? i : 0] = (int32_t)i;
        struct gs_queen_coded c = {4000, 1, symbols, cdf, value, bytes, sizeof bytes};
        assert_ok(gs_queen_uncompress(&c, out));
        for (int i = 0; i < 4000; i++)
            assert_in_range(out[i], 0, symbols);
    }
}

static void counts_bits(void **state)
{
    (void)state;
    const int32_t v[] = {1, 9, 2, 9, 3, 9, 4, 9};
    double bits;
    assert_ok(gs_queen_entropy(&bits, v, 8, 1));
    assert_near(bits, 4 * 1 + 4 * 3, 1e-9);
    assert_ok(gs_queen_entropy(&bits, v, 4, 2));
    assert_near(bits, 8, 1e-9);
    assert_ok(gs_queen_entropy(&bits, v + 1, 4, 2));
    assert_near(bits, 0, 1e-9);
    assert_ok(gs_queen_entropy(&bits, v, 0, 1));
    assert_near(bits, 0, 0);
    const float h[] = {0.5f}, b[] = {-0.25f}, latent[] = {0, 1.4f, 300};
    const struct gs_queen_estimator e = {1, 1, {h}, {b}, {NULL}};
    double slope = log1p(exp(0.5)), p[4];
    for (int i = 0; i < 4; i++)
        p[i] = 1 / (1 + exp(-((i - 0.5) * slope - 0.25)));
    /* round(1.4) = 1; at 300 there is no probability left: -log2(1e-10) */
    double want = -log2(p[1] - p[0] + 1e-10) - log2(p[2] - p[1] + 1e-10) - log2(1e-10);
    assert_near(gs_queen_estimate_bits(&e, latent, NULL, 3), want, 1e-6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounds_to_even),
        cmocka_unit_test(dft_is_orthonormal),
        cmocka_unit_test(decodes_by_hand),
        cmocka_unit_test(refuses_bad_decoders),
        cmocka_unit_test(gates_reach_both_ends),
        cmocka_unit_test(follows_parents),
        cmocka_unit_test(bias_moves_every_gaussian),
        cmocka_unit_test(sums_latents),
        cmocka_unit_test(refuses_frames_that_do_not_fit),
        cmocka_unit_test(codes_and_decodes),
        cmocka_unit_test(lists_rare_values),
        cmocka_unit_test(refuses_too_many_values),
        cmocka_unit_test(refuses_bad_codes),
        cmocka_unit_test(decodes_noise),
        cmocka_unit_test(counts_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
