/* Models as packed tensors: what comes back, what is refused. */
#include "neural/neural_private.h"
#include "support/neural.h"
#include "support/test.h"


enum { ANCHORS = 301 };

static void near(const float *got, const float *want, size_t rows, size_t columns, const uint32_t *order,
                 double step, const char *what)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t k = 0; k < columns; k++) {
            double a = (double)got[i * columns + k], b = (double)want[order[i] * columns + k];
            if (!(fabs(a - b) <= 0.5001 * step + 2e-6))
                fail_msg("%s, row %zu: %.8g, expected %.8g +- %g", what, i, a, b, 0.5 * step);
        }
}

static void near_halves(const struct nl_mlp *got, const struct nl_mlp *want)
{
    assert_int_equal(got->layers, want->layers);
    for (uint32_t i = 0; i < want->layers; i++) {
        const struct nl_layer *a = &got->layer[i], *b = &want->layer[i];
        assert_true(a->in == b->in && a->out == b->out);
        for (size_t k = 0; k < (size_t)a->in * a->out; k++)
            assert_near((double)a->w[k], (double)b->w[k], 1e-7 + fabs((double)b->w[k]) / 2048);
    }
}

/* Midpoints lie between the same points, wherever these are now. */
static void same_midpoints(const struct nl_model *got, const struct nl_model *want, const uint32_t *order)
{
    uint32_t points = want->count - want->midpoints;
    uint8_t *found = calloc(want->midpoints + 1, 1);
    for (uint32_t k = 0; k < got->midpoints; k++) {
        uint32_t a = order[got->pair[2 * k]], b = order[got->pair[2 * k + 1]], j = 0;
        while (j < want->midpoints && (found[j] || !((want->pair[2 * j] == a && want->pair[2 * j + 1] == b) ||
                                                     (want->pair[2 * j] == b && want->pair[2 * j + 1] == a))))
            j++;
        assert_true(j < want->midpoints);
        found[j] = 1;
        const float *p = got->position + 3 * (size_t)got->pair[2 * k], *q = got->position + 3 * (size_t)got->pair[2 * k + 1];
        for (size_t c = 0; c < 3; c++)
            assert_near((double)got->position[3 * (size_t)(points + k) + c], 0.5 * ((double)p[c] + (double)q[c]), 1e-6);
    }
    free(found);
}

static void comes_back(const struct nl_model *m, const double step[NL_ROUNDED], size_t *size)
{
    struct nl_model back;
    void *data;
    uint32_t n = m->count - m->midpoints, entries[NL_HASH_LEVELS + 1], *order = malloc(n * sizeof *order);
    struct gs_scene points = {.count = n, .position = m->position};
    assert_ok(nl_pack(m, step, &data, size));
    assert_ok(nl_parse(&back, data, *size, "packed"));
    assert_ok(gs_scene_morton(&points, order));
    assert_true(back.arch == m->arch && back.count == m->count && back.midpoints == m->midpoints);
    assert_true(back.feature == m->feature && back.offsets == m->offsets && back.neighbours == m->neighbours);
    near(back.position, m->position, n, 3, order, step[NL_ROUND_POSITIONS], "positions");
    near(back.features, m->features, n, m->feature, order, step[NL_ROUND_FEATURES], "features");
    if (m->offset)
        near(back.offset, m->offset, n, 3 * (size_t)m->offsets, order, step[NL_ROUND_OFFSETS], "offsets");
    near(back.rotation, m->rotation, n, 4, order, 1.0 / 1024, "rotations");
    near(back.scaling, m->scaling, n, 6, order, fmax(step[NL_ROUND_REACHES], step[NL_ROUND_SIZES]), "scalings");
    same_midpoints(&back, m, order);
    for (int i = 0; i < NL_NETS; i++)
        near_halves(&back.net[i], &m->net[i]);
    near_halves(&back.bank, &m->bank);
    near_halves(&back.move, &m->move);
    nl_hash_offsets(entries);
    for (size_t i = 0; m->hash && i < 2 * (size_t)entries[NL_HASH_LEVELS]; i++)
        assert_near((double)back.hash[i], (double)m->hash[i], 0.5001 * step[NL_ROUND_HASH] + 1e-6);
    assert_true(back.appearance == m->appearance && back.cameras == m->cameras);
    free(order);
    free(data);
    nl_finish(&back);
}

static void numbers_are_rounded(void **state)
{
    (void)state;
    static const char *const kinds[] = {"scaffold", "bank", "sags", "sags" /* lite */};
    static const double fine[NL_ROUNDED], coarse[NL_ROUNDED] = {0.01, 0.2, 0.1, 0.05, 0.02, 0.05};
    for (int i = 0; i < 4; i++) {
        struct nl_model m;
        size_t large, small;
        assert_ok(nl_open(&m, test_neural(kinds[i], ANCHORS), NULL));
        if (i == 3)
            assert_true(nl_make_lite(&m) > 10);
        comes_back(&m, fine, &large);
        comes_back(&m, coarse, &small);
        assert_true(small < large / 2);
        nl_finish(&m);
    }
}

/* One anchor: no column has two values. */
static void takes_a_single_anchor(void **state)
{
    (void)state;
    static const double fine[NL_ROUNDED];
    struct nl_model m;
    size_t size;
    assert_ok(nl_open(&m, test_neural("scaffold", 1), NULL));
    comes_back(&m, fine, &size);
    nl_finish(&m);
}

/* ---- what is refused ---- */

static uint8_t *tensor_of(uint8_t *data, const char *name)
{
    char key[64];
    uint64_t header;
    memcpy(&header, data, 8);
    snprintf(key, sizeof key, "\"%s\"", name);
    char *at = strstr((char *)data + 8, key);
    assert_non_null(at);
    return data + 8 + header + strtoul(strchr(strstr(at, "data_offsets"), '[') + 1, NULL, 10);
}

static void refuses_what_does_not_fit(void **state)
{
    (void)state;
    static const struct {
        const char *tensor, *part;
        unsigned at;
        uint8_t value;
    } rows[] = {
        {"anchor_feat.form", "tensor anchor_feat: its planes", 0, 0},
        {"anchor_feat.form", "tensor anchor_feat: its planes", 0, 9},
        {"offset.form", "tensor offset: its planes", 5, 0},
        {"scaling.unit", "scalings: value", 7, 0x7f},  /* the step: huge */
        {"anchor.unit", "positions: value", 3, 0xff}, /* what 0 is: not finite */
    };
    static const double fine[NL_ROUNDED];
    struct nl_model m, back;
    void *data;
    size_t size;
    assert_ok(nl_open(&m, test_neural("scaffold", 20), NULL));
    assert_ok(nl_pack(&m, fine, &data, &size));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t *bytes = tensor_of(data, rows[i].tensor) + rows[i].at, was[2];
        memcpy(was, bytes - 1, 2);
        *bytes = rows[i].value;
        if (rows[i].value >= 0x7f)
            bytes[-1] = 0xff;
        assert_fails(nl_parse(&back, data, size, "some"), FV_EFORMAT, rows[i].part);
        assert_non_null(strstr(fv_error(), "some: "));
        memcpy(bytes - 1, was, 2);
    }
    for (size_t cut = 0; cut < size; cut += 1 + size / 97)
        assert_true(nl_parse(&back, data, cut, "some") < 0);
    free(data);
    nl_finish(&m);
}

/* Midpoints of points that are not there. */
static void refuses_midpoints_of_none(void **state)
{
    (void)state;
    static const double fine[NL_ROUNDED];
    struct nl_model m, back;
    void *data;
    size_t size;
    assert_ok(nl_open(&m, test_neural("sags", 60), NULL));
    assert_true(nl_make_lite(&m) > 2);
    assert_ok(nl_pack(&m, fine, &data, &size));
    uint8_t *planes = tensor_of(data, "midpoints.planes");
    planes[0] = 0xff; /* -128 */
    assert_fails(nl_parse(&back, data, size, "some"), FV_EFORMAT, "some: midpoint 0 lies at point");
    free(data);
    nl_finish(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_rounded),       cmocka_unit_test(takes_a_single_anchor),
        cmocka_unit_test(refuses_what_does_not_fit), cmocka_unit_test(refuses_midpoints_of_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
