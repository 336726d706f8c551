/* Base keys (stream.h): positions as an octree, levels, then each attribute against its mean and
 * what neighbours differ from it. They are read by stream_key_read.c. */
#include "gs/stream_key.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* How far a neighbour's difference from the mean is expected again, in sixteenths. */
static const int32_t gains[] = {0, 5, 8, 11, 14, 16};
enum { GAINS = sizeof gains / sizeof *gains, GAIN_BITS = 3 };

void gs_sections_free(struct gs_section s[GS_SECTIONS])
{
    for (int k = 0; k < GS_SECTIONS; k++)
        free(s[k].bytes);
    memset(s, 0, GS_SECTIONS * sizeof *s);
}

size_t gs_sections_size(const struct gs_section s[GS_SECTIONS])
{
    size_t size = 0;
    for (int k = 0; k < GS_SECTIONS; k++)
        size += s[k].size;
    return size;
}

int gs_section_finish(struct gs_coder *c, struct gs_section *s, size_t least)
{
    FV_TRY(gs_coder_finish(c, &s->bytes, &s->size));
    if (s->size >= least)
        return 0;
    uint8_t *bytes = realloc(s->bytes, least);
    if (!bytes)
        return fv_fail(FV_ENOMEM, "no memory for a section");
    memset(bytes + s->size, 0, least - s->size);
    *s = (struct gs_section){bytes, least};
    return 0;
}

struct gs_plane gs_plane_of(const struct gs_stream_base *b, enum gs_attr a, struct gs_key_models *m,
                            int32_t *q)
{
    struct gs_plane p = {.b = b, .a = a, .mean = m->mean[a], .models = m->attr[a]};
    p.comps = (size_t)gs_attr_coded(a);
    p.stride = (size_t)gs_attr_comps(a);
    p.rec = b->state.v[a] + (p.stride - p.comps);
    p.q = q ? q : p.rec;
    p.q_stride = q ? p.comps : p.stride;
    return p;
}

/* v * gain / (16 * found): divisions by what is known here are none. */
static inline int64_t share(int64_t v, int64_t found)
{
    return found == 4 ? v / 64 : found == 3 ? v / 48 : found == 2 ? v / 32 : v / 16;
}

static void expect(const struct gs_plane *p, uint32_t i, int32_t out[])
{
    const uint32_t *near = p->b->near[i];
    int64_t found = 0;
    while (p->gain && found < GS_NEAR && near[found] != ~0u)
        found++;
    memcpy(out, p->mean, p->comps * sizeof *out);
    for (size_t c = 0; found && c < p->comps; c++) {
        int64_t sum = 0;
        for (int64_t k = 0; k < found; k++)
            sum += p->rec[near[k] * p->stride + c] - (int64_t)p->mean[c];
        out[c] += (int32_t)share(p->gain * sum, found);
    }
}

static int32_t nearest(int32_t v, int32_t step)
{
    int32_t q = ((v < 0 ? -v : v) + step / 2) / step;
    q = q > GS_NUMBER_MAX ? GS_NUMBER_MAX : q;
    return v < 0 ? -q : q;
}

void gs_plane_values(const struct gs_plane *p, const int32_t *target, uint32_t begin, uint32_t end)
{
    int32_t expected[GS_MOST_CODED];
    struct gs_steps steps;
    gs_stream_steps(&steps, p->b, p->a, false);
    for (uint32_t i = begin; i < end; i++) {
        int32_t step = gs_step(&steps, i), *q = p->q + i * p->q_stride;
        int32_t *rec = p->rec + i * p->stride;
        expect(p, i, expected);
        for (size_t c = 0; c < p->comps; c++) {
            if (target)
                q[c] = nearest(target[i * p->stride + c] - expected[c], step);
            rec[c] = gs_stream_limited(expected[c] + (int64_t)q[c] * step);
        }
        if (p->a == GS_ROTATION) {
            int32_t turn[4];
            gs_quat_from_vector(turn, rec);
            memcpy(rec - 1, turn, sizeof turn);
        }
    }
}

static void reconstruct(const struct gs_plane *p, const int32_t *target)
{
    gs_plane_values(p, target, 0, p->b->state.count);
}

static void code_gain(struct gs_coder *c, struct gs_plane *p)
{
    unsigned gain = 0;
    for (unsigned k = 0; k < GAINS; k++)
        gain = gains[k] == p->gain ? k : gain;
    gain = gs_code_plain(c, GAIN_BITS, gain);
    p->gain = gains[gain < GAINS ? gain : 0];
}

struct gs_symbols gs_plane_symbols(const struct gs_plane *p)
{
    return (struct gs_symbols){.count = p->b->state.count,
                               .comps = (int)p->comps,
                               .stride = p->q_stride,
                               .q = p->q,
                               .near = (const uint32_t(*)[GS_NEAR])p->b->near};
}

static void code_symbols(struct gs_coder *c, const struct gs_plane *p)
{
    const struct gs_symbols symbols = gs_plane_symbols(p);
    gs_code_symbols(c, p->models, &symbols);
}

void gs_code_plane_head(struct gs_coder *c, struct gs_plane *p)
{
    struct gs_bit models[GS_SIGNED_MODELS];
    gs_symbol_models_reset(p->models);
    code_gain(c, p);
    gs_bits_reset(models, GS_SIGNED_MODELS);
    for (size_t k = 0; k < p->comps; k++)
        p->mean[k] = gs_code_signed(c, models, p->mean[k]);
}

/* Tries gains, keeps the shortest. */
static int write_attr(const struct gs_stream_base *b, enum gs_attr a,
                      const struct gs_stream_state *target, int32_t *q, struct gs_section *out)
{
    struct gs_plane p = gs_plane_of(b, a, b->learned, q);
    const int32_t *wanted = target->v[a] + (p.stride - p.comps);
    for (size_t c = 0; c < p.comps; c++) {
        int64_t sum = 0, most = GS_NUMBER_MAX;
        for (size_t i = 0; i < b->state.count; i++)
            sum += wanted[i * p.stride + c];
        sum /= b->state.count;
        p.mean[c] = (int32_t)(sum > most ? most : sum < -most ? -most : sum);
    }
    int32_t best = 0;
    for (int k = 0; k <= GAINS; k++) { /* the last time, the best again: its state stays */
        struct gs_coder c;
        struct gs_section s;
        p.gain = k < GAINS ? gains[k] : best;
        reconstruct(&p, wanted);
        gs_coder_write(&c);
        gs_code_plane_head(&c, &p);
        code_symbols(&c, &p);
        FV_TRY(gs_coder_finish(&c, &s.bytes, &s.size));
        if (k == GAINS || k == 0 || s.size < out->size) {
            free(out->bytes);
            *out = s;
            best = p.gain;
        } else {
            free(s.bytes);
        }
    }
    return 0;
}

/* ---- positions and levels ---- */

void gs_key_place(struct gs_stream_base *b, const uint64_t *code, uint32_t begin, uint32_t end)
{
    int32_t grid[3];
    for (size_t i = begin; i < end; i++) {
        gs_stream_morton_grid(grid, code[i]);
        for (size_t k = 0; k < 3; k++)
            b->state.v[GS_POSITION][3 * i + k] = grid[k] * GS_POSITION_UNITS;
    }
}

static int write_positions(struct gs_coder *c, struct gs_stream_base *b,
                           const struct gs_stream_state *target)
{
    uint32_t count = b->state.count;
    uint64_t *code = malloc((size_t)count * sizeof *code + 1);
    int32_t grid[3];
    if (!code)
        return fv_fail(FV_ENOMEM, "no memory for a key's positions");
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < 3; k++)
            grid[k] = gs_stream_grid(target->v[GS_POSITION][3 * i + k]);
        code[i] = gs_stream_morton(grid);
    }
    gs_octree_models_reset(&b->learned->octree);
    int rc = gs_code_octree(c, &b->learned->octree, code, count, b->bits);
    gs_key_place(b, code, 0, count);
    free(code);
    if (rc == 0)
        gs_stream_find_near(b);
    return rc;
}

GS_INLINE int code_levels(struct gs_coder *coder, struct gs_stream_base *b,
                          struct gs_bit models[GS_LEVELS][GS_NUMBER_MODELS], uint32_t begin,
                          uint32_t end, bool writing)
{
    struct gs_coder c = *coder;
    for (uint32_t i = begin; i < end; i++) {
        const uint32_t *near = b->near[i];
        int context = near[1] != ~0u ? (b->level[near[0]] + b->level[near[1]]) / 2 : 3;
        uint32_t level = gs_code_number_as(&c, models[context], b->level[i] + 1u, writing) - 1;
        if (level >= GS_LEVELS)
            return fv_fail(FV_EFORMAT, "levels: Gaussian %u has none", i);
        b->level[i] = (uint8_t)level;
    }
    *coder = c;
    return 0;
}

int gs_code_levels(struct gs_coder *c, struct gs_stream_base *b,
                   struct gs_bit (*models)[GS_NUMBER_MODELS], uint32_t begin, uint32_t end)
{
    return c->writing ? code_levels(c, b, models, begin, end, true)
                      : code_levels(c, b, models, begin, end, false);
}

/* Scales before rotations, whose steps depend on them. */
static const enum gs_attr order[] = {GS_SCALE, GS_OPACITY, GS_COLOUR, GS_ROTATION,
                                     GS_SH1,   GS_SH2,     GS_SH3};

int gs_stream_quantise_key(struct gs_stream_base *b, const struct gs_stream_state *target)
{
    size_t count = b->state.count;
    int32_t *q = malloc((count * GS_MOST_CODED + 1) * sizeof *q);
    if (!q)
        return fv_fail(FV_ENOMEM, "no memory for a key");
    for (size_t i = 0; i < 3 * count; i++)
        b->state.v[GS_POSITION][i] =
            gs_stream_grid(target->v[GS_POSITION][i]) * GS_POSITION_UNITS;
    for (int k = 0; k < (int)gs_attr_end(b->state.sh_degree) - 1; k++) {
        struct gs_plane p = gs_plane_of(b, order[k], b->learned, q);
        memset(p.mean, 0, p.comps * sizeof *p.mean);
        reconstruct(&p, target->v[order[k]] + (p.stride - p.comps));
        if (order[k] == GS_SCALE)
            gs_stream_find_turn_levels(b);
    }
    free(q);
    return 0;
}

int gs_stream_write_key(struct gs_stream_base *b, const struct gs_stream_state *target,
                        struct gs_section out[GS_SECTIONS])
{
    struct gs_coder c;
    memset(out, 0, GS_SECTIONS * sizeof *out);
    int32_t *q = malloc(((size_t)b->state.count * GS_MOST_CODED + 1) * sizeof *q);
    int rc = q ? 0 : fv_fail(FV_ENOMEM, "no memory for a key");
    gs_bits_reset(&b->learned->level[0][0], (size_t)GS_LEVELS * GS_NUMBER_MODELS);
    for (int k = 0; rc == 0 && k < 2; k++) {
        struct gs_section *s = &out[k ? GS_SECTION_MODEL : GS_SECTION_ATTRS + GS_POSITION];
        gs_coder_write(&c);
        rc = k ? gs_code_levels(&c, b, b->learned->level, 0, b->state.count)
               : write_positions(&c, b, target);
        if (rc == 0)
            rc = gs_coder_finish(&c, &s->bytes, &s->size);
        else
            gs_coder_drop(&c);
    }
    for (int k = 0; rc == 0 && k < (int)gs_attr_end(b->state.sh_degree) - 1; k++) {
        enum gs_attr a = order[k];
        rc = write_attr(b, a, target, q, &out[GS_SECTION_ATTRS + a]);
        if (a == GS_SCALE)
            gs_stream_find_turn_levels(b);
    }
    free(q);
    if (rc < 0)
        gs_sections_free(out);
    return rc;
}

/* ---- births ---- */

/* The grid that births lie on: the base's, or where that does not hold them, one that begins and
 * ends elsewhere. */
struct born_grid {
    int32_t low[3]; /* in steps */
    unsigned bits;
};
enum { LOW_BITS = 22, WIDTH_BITS = 5, MOST_WIDTH = 20 };

/* False if they are too far apart. */
static bool fit_born(struct born_grid *g, const struct gs_stream_base *born,
                     const struct gs_stream_state *target)
{
    int32_t low[3] = {INT32_MAX, INT32_MAX, INT32_MAX}, high[3] = {INT32_MIN, INT32_MIN, INT32_MIN};
    bool within = true;
    for (size_t i = 0; i < 3 * (size_t)target->count; i++) {
        int32_t at = gs_stream_step_of(target->v[GS_POSITION][i]);
        low[i % 3] = at < low[i % 3] ? at : low[i % 3];
        high[i % 3] = at > high[i % 3] ? at : high[i % 3];
        within = within && at >= 0 && at >> born->bits == 0;
    }
    *g = (struct born_grid){.bits = born->bits};
    for (int k = 0; k < 3 && !within; k++) {
        g->low[k] = low[k];
        g->bits = k ? g->bits : 0;
        while (g->bits <= MOST_WIDTH && (high[k] - low[k]) >> g->bits != 0)
            g->bits++;
        if (g->bits > MOST_WIDTH || low[k] < -(1 << (LOW_BITS - 1)) || low[k] >= 1 << (LOW_BITS - 1))
            return false;
    }
    return true;
}

struct born_place {
    uint64_t code;
    uint32_t at;
};

static int by_place(const void *a, const void *b)
{
    const struct born_place *x = a, *y = b;
    return x->code != y->code ? (x->code < y->code ? -1 : 1) : (x->at > y->at) - (x->at < y->at);
}

int gs_stream_born_order(uint32_t out[], const struct gs_stream_base *born,
                         const struct gs_stream_state *target)
{
    struct born_grid g;
    if (!fit_born(&g, born, target))
        return GS_BEYOND;
    struct born_place *place = malloc((size_t)target->count * sizeof *place + 1);
    if (!place)
        return fv_fail(FV_ENOMEM, "no memory for births");
    for (uint32_t i = 0; i < target->count; i++) {
        int32_t at[3];
        for (size_t k = 0; k < 3; k++)
            at[k] = gs_stream_step_of(target->v[GS_POSITION][3 * (size_t)i + k]) - g.low[k];
        place[i] = (struct born_place){gs_stream_morton(at), i};
    }
    qsort(place, target->count, sizeof *place, by_place);
    for (uint32_t i = 0; i < target->count; i++)
        out[i] = place[i].at;
    free(place);
    return 0;
}

static int code_born_grid(struct gs_coder *c, struct born_grid *g, const struct gs_stream_base *born)
{
    if (!gs_code_even(c, (g->low[0] | g->low[1] | g->low[2]) != 0 || g->bits != born->bits)) {
        *g = (struct born_grid){.bits = born->bits};
        return 0;
    }
    g->bits = gs_code_plain(c, WIDTH_BITS, g->bits);
    for (int k = 0; k < 3; k++)
        g->low[k] =
            (int32_t)gs_code_plain(c, LOW_BITS, (uint32_t)(g->low[k] + (1 << (LOW_BITS - 1)))) -
            (1 << (LOW_BITS - 1));
    if (g->bits > MOST_WIDTH)
        return fv_fail(FV_EFORMAT, "births: a grid of %u bits", g->bits);
    return 0;
}

static int code_born_positions(struct gs_coder *c, struct gs_stream_base *born,
                               struct gs_key_models *m, const struct gs_stream_state *target)
{
    uint32_t count = born->state.count;
    struct born_grid g = {.bits = born->bits};
    if (target)
        fit_born(&g, born, target);
    FV_TRY(code_born_grid(c, &g, born));
    uint64_t *code = malloc((size_t)count * sizeof *code + 1);
    if (!code)
        return fv_fail(FV_ENOMEM, "no memory for births");
    int32_t at[3];
    for (size_t i = 0; target && i < count; i++) {
        for (size_t k = 0; k < 3; k++)
            at[k] = gs_stream_step_of(target->v[GS_POSITION][3 * i + k]) - g.low[k];
        code[i] = gs_stream_morton(at);
    }
    int rc = gs_code_octree(c, &m->octree, code, count, g.bits);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        gs_stream_morton_grid(at, code[i]);
        for (size_t k = 0; k < 3; k++)
            born->state.v[GS_POSITION][3 * i + k] =
                gs_stream_limited((int64_t)(at[k] + g.low[k]) * GS_POSITION_UNITS);
    }
    free(code);
    if (rc == 0)
        gs_stream_find_near(born);
    return rc;
}

/* About the bits that symbols take. */
static double cost_of(const int32_t *q, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += log2(1 + fabs((double)q[i]));
    return sum;
}

static void code_born_plane(struct gs_coder *c, struct gs_stream_base *born, enum gs_attr a,
                            struct gs_key_models *m, int32_t *q, const struct gs_stream_state *target)
{
    struct gs_plane p = gs_plane_of(born, a, m, q);
    const int32_t *wanted = target ? target->v[a] + (p.stride - p.comps) : NULL;
    double least = 0;
    int32_t best = 0;
    for (int k = 0; k < GAINS && target; k++) {
        p.gain = gains[k];
        reconstruct(&p, wanted);
        double cost = cost_of(q, born->state.count * p.comps);
        if (!k || cost < least) {
            least = cost;
            best = p.gain;
        }
    }
    p.gain = best;
    if (target)
        reconstruct(&p, wanted);
    code_gain(c, &p);
    code_symbols(c, &p);
    if (!target)
        reconstruct(&p, NULL);
}

int gs_stream_code_born(struct gs_coder *c, struct gs_stream_base *born, struct gs_key_models *m,
                        const struct gs_stream_state *target)
{
    FV_TRY(code_born_positions(c, born, m, target));
    FV_TRY(gs_code_levels(c, born, m->level, 0, born->state.count));
    int32_t *q = malloc(((size_t)born->state.count * 3 + 1) * sizeof *q);
    if (!q)
        return fv_fail(FV_ENOMEM, "no memory for births");
    for (int k = 0; order[k] != GS_SH1; k++) {
        code_born_plane(c, born, order[k], m, q, target);
        if (order[k] == GS_SCALE)
            gs_stream_find_turn_levels(born);
    }
    free(q);
    return 0;
}

int gs_stream_code_born_sh(struct gs_coder *c, struct gs_stream_base *born, enum gs_attr a,
                           struct gs_key_models *m, const struct gs_stream_state *target)
{
    int32_t *q = malloc(((size_t)born->state.count * GS_MOST_CODED + 1) * sizeof *q);
    if (!q)
        return fv_fail(FV_ENOMEM, "no memory for births");
    code_born_plane(c, born, a, m, q, target);
    free(q);
    return 0;
}
