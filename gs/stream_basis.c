/* The trajectory basis of a base (stream.h): how it is coded, and what a frame's coefficients do to
 * the state. The writer's side: stream_basis_fit.c. */
#include "gs/stream.h"

#include <stdlib.h>
#include <string.h>

/* How much of its neighbours' values a Gaussian is expected to share, in sixteenths. */
static const int32_t gains[] = {0, 8, 13, 16};
enum { GAINS = sizeof gains / sizeof *gains, GAIN_BITS = 2, VECTOR_BITS = 6, FINE_BITS = 5 };

void gs_stream_basis_destroy(struct gs_stream_basis **b)
{
    if (!*b)
        return;
    free((*b)->member);
    free((*b)->v);
    free(*b);
    *b = NULL;
}

/* ---- coding ---- */

/* Which Gaussians a basis moves: symbols of one component. Reading, the members are found. */
static int code_members(struct gs_coder *c, const struct gs_stream_base *base,
                        struct gs_stream_basis *b, int32_t *place)
{
    struct gs_symbol_models *models = gs_symbol_models_create(1);
    struct gs_active active = {0};
    uint32_t count = base->state.count, members = 0;
    int32_t *in = calloc((size_t)count + 1, sizeof *in);
    int rc = models && in ? gs_active_create(&active, count)
                          : fv_fail(FV_ENOMEM, "no memory for a basis");
    for (uint32_t m = 0; rc == 0 && c->writing && m < b->members; m++)
        in[b->member[m]] = 1;
    if (rc == 0) {
        gs_code_symbols(c, models,
                        &(struct gs_symbols){.count = count,
                                             .comps = 1,
                                             .stride = 1,
                                             .q = in,
                                             .near = (const uint32_t(*)[GS_NEAR])base->near,
                                             .active = &active});
        for (uint32_t i = 0; i < count; i++)
            place[i] = in[i] ? (int32_t)members++ : -1;
        if (!c->writing) {
            b->members = members;
            b->member = malloc(((size_t)members + 1) * sizeof *b->member);
            if (!b->member)
                rc = fv_fail(FV_ENOMEM, "no memory for a basis");
        }
        for (uint32_t i = 0; i < count && rc == 0; i++)
            if (place[i] >= 0)
                b->member[place[i]] = i;
    }
    gs_active_finish(&active);
    free(models);
    free(in);
    return rc;
}

/* Those near ones of members that are members themselves. */
static void find_near(uint32_t (*near)[GS_NEAR], const struct gs_stream_base *base,
                      const struct gs_stream_basis *b, const int32_t *place)
{
    for (uint32_t m = 0; m < b->members; m++) {
        const uint32_t *all = base->near[b->member[m]];
        int found = 0;
        for (int k = 0; k < GS_NEAR && all[k] != ~0u; k++)
            if (place[all[k]] >= 0)
                near[m][found++] = (uint32_t)place[all[k]];
        while (found < GS_NEAR)
            near[m][found++] = ~0u;
    }
}

struct vector {
    const struct gs_stream_basis *b;
    uint32_t (*near)[GS_NEAR];
    int32_t *step; /* [members] */
    int32_t *q;    /* [members][3] */
};

static int32_t rounded(int64_t v, int32_t step)
{
    int64_t size = v < 0 ? -v : v, q = (10 * size + 4 * (int64_t)step) / (10 * (int64_t)step);
    q = q > GS_NUMBER_MAX ? GS_NUMBER_MAX : q;
    return (int32_t)(v < 0 ? -q : q);
}

static int32_t within(int64_t v)
{
    return (int32_t)(v > GS_BASIS_LIMIT ? GS_BASIS_LIMIT : v < -GS_BASIS_LIMIT ? -GS_BASIS_LIMIT : v);
}

/* Values of vector k from its symbols; with `wanted`, [members][3], these from them first. */
static void reconstruct(const struct vector *t, uint32_t k, int32_t gain, const int32_t *wanted)
{
    uint32_t vectors = t->b->vectors;
    for (size_t m = 0; m < t->b->members; m++) {
        const uint32_t *near = t->near[m];
        int64_t found = 0;
        while (gain && found < GS_NEAR && near[found] != ~0u)
            found++;
        for (size_t c = 0; c < 3; c++) {
            int64_t sum = 0;
            for (int64_t n = 0; n < found; n++)
                sum += t->b->v[((size_t)near[n] * vectors + k) * 3 + c];
            int64_t expected = found ? gain * sum / (16 * found) : 0;
            if (wanted)
                t->q[3 * m + c] = rounded(wanted[3 * m + c] - expected, t->step[m]);
            t->b->v[(m * vectors + k) * 3 + c] =
                within(expected + (int64_t)t->q[3 * m + c] * t->step[m]);
        }
    }
}

static uint64_t size_of(const int32_t *q, size_t n)
{
    uint64_t sum = 0; /* about the bits that symbols take, in halves */
    for (size_t i = 0; i < n; i++)
        for (uint32_t v = (uint32_t)(q[i] < 0 ? -q[i] : q[i]); v; v >>= 1)
            sum += 3;
    return sum;
}

static int code_vectors(struct gs_coder *c, struct gs_stream_basis *b, struct vector *t,
                        const int32_t *wanted)
{
    struct gs_symbol_models *models = gs_symbol_models_create(3);
    struct gs_active active = {0};
    int rc = models ? gs_active_create(&active, b->members)
                    : fv_fail(FV_ENOMEM, "no memory for a basis");
    const struct gs_symbols symbols = {.count = b->members,
                                       .comps = 3,
                                       .stride = 3,
                                       .q = t->q,
                                       .near = (const uint32_t(*)[GS_NEAR])t->near,
                                       .active = &active};
    for (uint32_t k = 0; k < b->vectors && rc == 0; k++) {
        const int32_t *goal = wanted ? wanted + 3 * (size_t)k * b->members : NULL;
        uint64_t least = UINT64_MAX;
        uint32_t gain = 0;
        for (uint32_t try = 0; goal && try < GAINS; try++) {
            reconstruct(t, k, gains[try], goal);
            uint64_t size = size_of(t->q, 3 * (size_t)b->members);
            gain = size < least ? try : gain;
            least = size < least ? size : least;
        }
        if (goal)
            reconstruct(t, k, gains[gain], goal);
        b->shift[k] = (uint8_t)gs_code_plain(c, 4, b->shift[k]);
        gain = gs_code_plain(c, GAIN_BITS, gain);
        if (!goal)
            gs_symbols_clear(&symbols);
        gs_code_symbols(c, models, &symbols);
        if (!goal)
            reconstruct(t, k, gains[gain], NULL);
    }
    gs_active_finish(&active);
    free(models);
    return rc;
}

static bool too_many(const struct gs_stream_basis *b, size_t size)
{
    return gs_stream_too_many((uint64_t)b->members * b->vectors, size);
}

/* Vectors of members that are known; wanted: [vectors][members][3], the writer's. */
static int code_values(struct gs_coder *c, const struct gs_stream_base *base,
                       struct gs_stream_basis *b, const int32_t *place, const int32_t *wanted)
{
    size_t n = b->members;
    struct vector t = {.b = b,
                       .near = malloc((n + 1) * sizeof *t.near),
                       .step = malloc((n + 1) * sizeof *t.step),
                       .q = calloc(3 * n + 1, sizeof *t.q)};
    free(b->v);
    b->v = calloc(3 * n * b->vectors + 1, sizeof *b->v);
    int rc = b->v && t.near && t.step && t.q ? 0 : fv_fail(FV_ENOMEM, "no memory for a basis");
    if (rc == 0) {
        struct gs_steps steps;
        gs_stream_steps(&steps, base, GS_POSITION, true);
        for (size_t m = 0; m < n; m++) {
            int32_t step = gs_step(&steps, b->member[m]) * b->fine / 16;
            t.step[m] = step > 1 ? step : 1;
        }
        find_near(t.near, base, b, place);
        rc = code_vectors(c, b, &t, wanted);
    }
    free(t.near);
    free(t.step);
    free(t.q);
    return rc;
}

/* Both ways. size: a reader's bytes. */
static int code_basis(struct gs_coder *c, const struct gs_stream_base *base,
                      struct gs_stream_basis *b, const int32_t *wanted, size_t size)
{
    b->vectors = gs_code_plain(c, VECTOR_BITS, b->vectors);
    b->fine = (uint8_t)gs_code_plain(c, FINE_BITS, b->fine);
    if (!b->vectors || !b->fine)
        return fv_fail(FV_EFORMAT, "basis: %u vectors, steps by %u", b->vectors, b->fine);
    int32_t *place = malloc(((size_t)base->state.count + 1) * sizeof *place);
    int rc = place ? code_members(c, base, b, place) : fv_fail(FV_ENOMEM, "no memory for a basis");
    if (rc == 0 && !c->writing && too_many(b, size))
        rc = fv_fail(FV_EFORMAT, "basis: %u vectors of %u Gaussians in %zu bytes", b->vectors,
                     b->members, size);
    rc = rc == 0 ? code_values(c, base, b, place, wanted) : rc;
    free(place);
    return rc;
}

int gs_stream_write_basis(struct gs_stream_base *base, const int32_t *wanted, struct gs_section *out)
{
    struct gs_coder c;
    gs_coder_write(&c);
    int rc = code_basis(&c, base, base->basis, wanted, 0);
    if (rc < 0) {
        gs_coder_drop(&c);
        return rc;
    }
    FV_TRY(gs_section_finish(&c, out, 1));
    if (too_many(base->basis, out->size)) { /* which no reader would take */
        free(out->bytes);
        *out = (struct gs_section){0};
    }
    return 0;
}

int gs_stream_read_basis(struct gs_stream_base *base, const struct gs_section *in)
{
    struct gs_coder c;
    if (!in->size)
        return 0;
    base->basis = calloc(1, sizeof *base->basis);
    if (!base->basis)
        return fv_fail(FV_ENOMEM, "no memory for a basis");
    gs_coder_read(&c, in->bytes, in->size);
    return code_basis(&c, base, base->basis, NULL, in->size);
}

/* ---- frames ---- */

int gs_stream_morph_create(struct gs_stream_morph *m, const struct gs_stream_base *base)
{
    const struct gs_stream_basis *b = base->basis;
    *m = (struct gs_stream_morph){0};
    if (!b)
        return 0;
    m->place = malloc(((size_t)base->state.count + 1) * sizeof *m->place);
    m->offset = malloc((3 * (size_t)b->members + 1) * sizeof *m->offset);
    if (m->place && m->offset)
        return 0;
    gs_stream_morph_finish(m);
    return fv_fail(FV_ENOMEM, "no memory for frames of %u Gaussians", base->state.count);
}

void gs_stream_morph_finish(struct gs_stream_morph *m)
{
    free(m->place);
    free(m->offset);
    *m = (struct gs_stream_morph){0};
}

void gs_stream_morph_begin(struct gs_stream_morph *m, const struct gs_stream_base *base)
{
    const struct gs_stream_basis *b = base->basis;
    if (!b)
        return;
    m->used = false;
    memset(m->coef, 0, sizeof m->coef);
    memset(m->last, 0, sizeof m->last);
    memset(m->before, 0, sizeof m->before);
    gs_bits_reset(&m->models[0][0], sizeof m->models / sizeof(struct gs_bit));
    m->linear = GS_BIT_EVEN;
    memset(m->place, 0xff, base->state.count * sizeof *m->place);
    for (uint32_t k = 0; k < b->members; k++)
        m->place[b->member[k]] = k;
    memset(m->offset, 0, 3 * (size_t)b->members * sizeof *m->offset);
    for (int j = 0; j < GS_STREAM_MAX_CLUSTERS; j++)
        memcpy(m->turned[j], (const int32_t[4]){GS_ROTATION_ONE, 0, 0, 0}, sizeof m->turned[j]);
}

static int32_t expected_coef(const struct gs_stream_morph *m, uint32_t k, bool linear)
{
    return linear ? 2 * m->last[k] - m->before[k] : m->last[k];
}

void gs_stream_code_morph(struct gs_coder *c, struct gs_stream_morph *m,
                          const struct gs_stream_basis *b, bool first)
{
    uint32_t size[2] = {0};
    if (first)
        m->used = gs_code_plain(c, 1, m->used);
    if (!m->used)
        return;
    for (uint32_t k = 0; c->writing && k < b->vectors; k++)
        for (int way = 0; way < 2; way++) {
            int32_t d = m->coef[k] - expected_coef(m, k, way);
            for (uint32_t v = (uint32_t)(d < 0 ? -d : d); v; v >>= 1)
                size[way]++;
        }
    bool linear = gs_code_bit(c, &m->linear, size[1] < size[0]);
    for (uint32_t k = 0; k < b->vectors; k++) {
        int32_t expected = expected_coef(m, k, linear);
        int64_t now = (int64_t)expected +
                      gs_code_signed(c, m->models[k < GS_MORPH_MODELS ? k : GS_MORPH_MODELS - 1],
                                     m->coef[k] - expected);
        m->coef[k] = (int32_t)(now > GS_MORPH_LIMIT    ? GS_MORPH_LIMIT
                               : now < -GS_MORPH_LIMIT ? -GS_MORPH_LIMIT
                                                       : now);
    }
}

/* Of a rotation, in 2^-28. */
static void turn_matrix(int64_t m[9], const int32_t q[4])
{
    int64_t w = q[0], x = q[1], y = q[2], z = q[3];
    const int64_t r[9] = {
        w * w + x * x - y * y - z * z, 2 * (x * y - w * z),           2 * (x * z + w * y),
        2 * (x * y + w * z),           w * w - x * x + y * y - z * z, 2 * (y * z - w * x),
        2 * (x * z - w * y),           2 * (y * z + w * x),           w * w - x * x - y * y + z * z};
    memcpy(m, r, sizeof r);
}

void gs_stream_morph_offset(int32_t out[3], const struct gs_stream_basis *b, uint32_t place,
                            const int32_t coef[])
{
    const int32_t *v = b->v + 3 * (size_t)place * b->vectors;
    int64_t sum[3] = {0};
    for (uint32_t k = 0; k < b->vectors; k++)
        for (int c = 0; c < 3; c++)
            sum[c] += (int64_t)coef[k] * v[3 * k + (uint32_t)c] * ((int64_t)1 << (15 - b->shift[k]));
    for (int c = 0; c < 3; c++)
        out[c] = gs_stream_limited((sum[c] + (1 << 14)) >> 15);
}

int gs_stream_morph_apply(struct gs_stream_group *g)
{
    const struct gs_stream_basis *b = g->key->basis;
    struct gs_stream_morph *m = &g->morph;
    int64_t matrix[GS_STREAM_MAX_CLUSTERS][9];
    if (!b || !m->used)
        return 0;
    for (uint32_t j = 0; j < g->clusters; j++) {
        int32_t turned[4];
        gs_quat_mul(turned, g->matrix[j].turn, m->turned[j]);
        memcpy(m->turned[j], turned, sizeof turned);
        turn_matrix(matrix[j], turned);
    }
    bool same = !memcmp(m->coef, m->last, sizeof m->coef);
    memcpy(m->before, m->last, sizeof m->before);
    memcpy(m->last, m->coef, sizeof m->last);
    if (same)
        return 0;
    FV_TRY(gs_stream_group_own(g, GS_POSITION));
    for (size_t i = 0; i < g->state.count; i++) {
        uint32_t place = m->place[i];
        if (place == GS_NO_ROW)
            continue;
        int32_t now[3], d[3], *last = m->offset + 3 * (size_t)place;
        gs_stream_morph_offset(now, b, place, m->coef);
        for (int k = 0; k < 3; k++)
            d[k] = now[k] - last[k];
        if (!(d[0] | d[1] | d[2]))
            continue;
        memcpy(last, now, sizeof now);
        if (g->label[i]) {
            const int64_t *r = matrix[g->label[i] - 1];
            int32_t t[3];
            for (int k = 0; k < 3; k++)
                t[k] = gs_stream_limited((r[3 * k] * d[0] + r[3 * k + 1] * d[1] + r[3 * k + 2] * d[2] +
                                          (1 << 27)) >> 28);
            memcpy(d, t, sizeof d);
        }
        for (size_t k = 0; k < 3; k++)
            g->state.v[GS_POSITION][3 * i + k] =
                gs_stream_limited((int64_t)g->state.v[GS_POSITION][3 * i + k] + d[k]);
        g->touched[GS_GEOMETRY][i] = g->altered[i] = g->now;
    }
    return 0;
}
