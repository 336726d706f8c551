/* Range coder, numbers, contexts and octree: what is written is read. */
#include "support/test.h"

#include "gs/stream_symbols.h"

static void bits_of_any_probability(void **state)
{
    (void)state;
    enum { BITS = 40000, MODELS = 7 };
    for (uint64_t seed = 1; seed <= 24; seed++) {
        struct gs_bit models[MODELS];
        struct gs_coder c;
        uint8_t *bytes, *expected = malloc(BITS);
        size_t size;
        uint64_t s = seed;
        uint32_t rare = 1u << (seed % 12); /* ones among so many bits */
        gs_bits_reset(models, MODELS);
        gs_coder_write(&c);
        for (int i = 0; i < BITS; i++) {
            expected[i] = (test_rand(&s) % rare == 0) ^ (seed % 2); /* the first byte may be 0xff */
            if (i % 9 == 8)
                gs_code_even(&c, expected[i]);
            else
                gs_code_bit(&c, &models[i % MODELS], expected[i]);
        }
        assert_ok(gs_coder_finish(&c, &bytes, &size));
        gs_bits_reset(models, MODELS);
        gs_coder_read(&c, bytes, size);
        for (int i = 0; i < BITS; i++) {
            bool bit = i % 9 == 8 ? gs_code_even(&c, false)
                                  : gs_code_bit(&c, &models[i % MODELS], false);
            if (bit != expected[i])
                fail_msg("seed %d: bit %d of %d differs", (int)seed, i, BITS);
        }
        if (rare == 1u << 11) /* 0.006 bits each, and an eighth of the ninth that are even */
            assert_true(size < BITS / 9 / 8 + BITS / 100);
        free(expected);
        free(bytes);
    }
}

/* Every way the first byte can come out, and carries into it. */
static void first_bytes(void **state)
{
    (void)state;
    for (uint32_t pattern = 0; pattern < 1u << 12; pattern++) {
        struct gs_coder c;
        uint8_t *bytes;
        size_t size;
        gs_coder_write(&c);
        for (int i = 0; i < 12; i++)
            gs_code_even(&c, pattern >> (11 - i) & 1);
        assert_ok(gs_coder_finish(&c, &bytes, &size));
        gs_coder_read(&c, bytes, size);
        uint32_t read = 0;
        for (int i = 0; i < 12; i++)
            read = read * 2 + gs_code_even(&c, false);
        assert_int_equal(read, pattern);
        free(bytes);
    }
}

static void numbers_up_to_the_greatest(void **state)
{
    (void)state;
    struct gs_bit models[GS_SIGNED_MODELS];
    struct gs_coder c;
    uint8_t *bytes;
    size_t size;
    int32_t values[400];
    for (int i = 0; i < 400; i++) {
        int32_t v = i < 100 ? i : i < 380 ? 1 << (i % 20) : (int32_t)GS_NUMBER_MAX - (i - 380);
        values[i] = i % 2 ? -v : v;
    }
    gs_bits_reset(models, GS_SIGNED_MODELS);
    gs_coder_write(&c);
    for (int i = 0; i < 400; i++)
        gs_code_signed(&c, models, values[i]);
    assert_ok(gs_coder_finish(&c, &bytes, &size));
    gs_bits_reset(models, GS_SIGNED_MODELS);
    gs_coder_read(&c, bytes, size);
    for (int i = 0; i < 400; i++)
        assert_int_equal(gs_code_signed(&c, models, 0), values[i]);
    /* cut short it ends all the same */
    gs_bits_reset(models, GS_SIGNED_MODELS);
    gs_coder_read(&c, bytes, size / 3);
    for (int i = 0; i < 400; i++)
        gs_code_signed(&c, models, 0);
    free(bytes);
}

/* Some Gaussians change, neighbours alike. */
static void symbols_of_two_frames(void **state)
{
    (void)state;
    static const struct {
        uint32_t count;
        int comps;
        int part; /* one Gaussian of so many has symbols */
        bool sparse;
    } rows[] = {{1, 1, 1, true},    {33, 3, 4, true},   {700, 3, 40, true}, {700, 21, 2, true},
                {97, 4, 1, false},  {513, 9, 3, false}, {64, 3, 1000, true}};
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        size_t n = (size_t)rows[r].count * (size_t)rows[r].comps;
        uint64_t seed = 5 + r;
        int32_t *frame[2] = {calloc(n, 4), calloc(n, 4)}, *back[2] = {calloc(n, 4), calloc(n, 4)};
        uint32_t(*near)[GS_NEAR] = calloc(rows[r].count, sizeof *near);
        for (uint32_t i = 0; i < rows[r].count; i++)
            for (uint32_t k = 0; k < GS_NEAR; k++)
                near[i][k] = k < i && k < i % 5 ? i - 1 - k : ~0u;
        for (int f = 0; f < 2; f++)
            for (size_t i = 0; i < n; i++)
                if (test_rand(&seed) % (uint32_t)rows[r].part == 0)
                    frame[f][i] = (int32_t)(test_rand(&seed) % 41) - 20;
        struct gs_symbol_models *m = gs_symbol_models_create(rows[r].comps);
        uint8_t *bytes[2];
        size_t size[2];
        for (int pass = 0; pass < 2; pass++) {
            struct gs_active active[2];
            for (int f = 0; f < 2; f++)
                assert_ok(gs_active_create(&active[f], rows[r].count));
            gs_symbol_models_reset(m);
            for (int f = 0; f < 2; f++) {
                struct gs_coder c;
                int32_t **q = pass ? back : frame;
                struct gs_symbols s = {.count = rows[r].count,
                                       .comps = rows[r].comps,
                                       .stride = (size_t)rows[r].comps,
                                       .q = q[f],
                                       .before = f ? q[0] : NULL,
                                       .near = (const uint32_t(*)[GS_NEAR])near,
                                       .active = rows[r].sparse ? &active[f] : NULL,
                                       .active_before = f && rows[r].sparse ? &active[0] : NULL};
                if (pass)
                    gs_coder_read(&c, bytes[f], size[f]);
                else
                    gs_coder_write(&c);
                gs_code_symbols(&c, m, &s);
                if (!pass)
                    assert_ok(gs_coder_finish(&c, &bytes[f], &size[f]));
            }
            for (int f = 0; f < 2; f++)
                gs_active_finish(&active[f]);
        }
        for (int f = 0; f < 2; f++) {
            assert_memory_equal(frame[f], back[f], n * 4);
            free(bytes[f]);
            free(frame[f]);
            free(back[f]);
        }
        free(near);
        free(m);
    }
}

static int by_code(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void octree_of_equal_and_far_places(void **state)
{
    (void)state;
    static const struct {
        uint32_t count;
        unsigned bits;
        uint32_t spread; /* places a side that are used */
    } rows[] = {{1, 1, 2}, {5, 20, 1u << 20}, {3000, 12, 4096}, {3000, 16, 3}, {2000, 20, 900}};
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        uint32_t n = rows[r].count;
        uint64_t *code = malloc(n * sizeof *code), *back = malloc(n * sizeof *back), seed = r;
        for (uint32_t i = 0; i < n; i++) {
            code[i] = 0;
            for (unsigned b = 0; b < rows[r].bits; b++)
                for (unsigned k = 0; k < 3; k++)
                    if (1u << b < rows[r].spread)
                        code[i] |= (uint64_t)(test_rand(&seed) & 1) << (3 * b + k);
        }
        qsort(code, n, sizeof *code, by_code);
        static struct gs_octree_models m;
        struct gs_coder c;
        uint8_t *bytes;
        size_t size;
        gs_coder_write(&c);
        gs_octree_models_reset(&m);
        assert_ok(gs_code_octree(&c, &m, code, n, rows[r].bits));
        assert_ok(gs_coder_finish(&c, &bytes, &size));
        gs_coder_read(&c, bytes, size);
        gs_octree_models_reset(&m);
        assert_ok(gs_code_octree(&c, &m, back, n, rows[r].bits));
        assert_memory_equal(code, back, n * sizeof *code);
        if (n > 1) {
            gs_coder_read(&c, bytes, size);
            gs_octree_models_reset(&m);
            assert_fails(gs_code_octree(&c, &m, back, n - 1, rows[r].bits), FV_EFORMAT, "does not hold");
        }
        free(bytes);
        free(code);
        free(back);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bits_of_any_probability),
        cmocka_unit_test(first_bytes),
        cmocka_unit_test(numbers_up_to_the_greatest),
        cmocka_unit_test(symbols_of_two_frames),
        cmocka_unit_test(octree_of_equal_and_far_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
