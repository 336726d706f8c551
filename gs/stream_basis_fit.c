/* The writer's side of trajectory bases (stream.h): which shapes frames are mixtures of, and of what.
 *
 * Shapes are principal directions of displacements from the base, in steps, once what moves all of it
 * together is taken out; by the Gram matrix of the frames looked at, which are few. */
#include "gs/stream_motion.h"
#include "vk/base/eigen.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LEAST_MEMBERS = 64, MOST_VECTORS = 48, MOST_FRAMES = 256, TRIMS = 5 };

/* ---- moving together ---- */

struct whole {
    struct gs_fit fit;
    double back[4]; /* its turn undone */
};

static int by_size(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

enum { SOME = 1024 };
struct points {
    const int32_t *from, *to;
    uint32_t index[SOME], n;
    float miss[SOME];
    uint8_t in[SOME];
};

/* Squares of the distances by which a motion misses them; that which a part of them does not exceed. */
static float find_misses(struct points *p, const struct gs_fit *f, uint32_t part)
{
    float sorted[SOME];
    for (uint32_t k = 0; k < p->n; k++) {
        const int32_t *a = p->from + 3 * (size_t)p->index[k], *b = p->to + 3 * (size_t)p->index[k];
        double at[3], square = 0;
        gs_fit_moved(at, f, (const double[3]){a[0], a[1], a[2]});
        for (int c = 0; c < 3; c++)
            square += (at[c] - b[c]) * (at[c] - b[c]);
        p->miss[k] = sorted[k] = (float)square;
    }
    qsort(sorted, p->n, sizeof *sorted, by_size);
    return sorted[p->n / part];
}

/* How most Gaussians move together: of some of them, the half, then the quarter that a motion fits best
 * says the next; from none and from that of all. */
static void fit_whole(struct whole *w, const int32_t *from, const int32_t *to, uint32_t count)
{
    struct points p = {.from = from, .to = to};
    uint32_t every = (count + SOME - 1) / SOME;
    float least = INFINITY;
    for (uint32_t i = 0; i < count; i += every)
        p.index[p.n++] = i;
    *w = (struct whole){.fit.q = {1}};
    for (int start = 0; start < 2; start++) {
        struct gs_fit f = {.q = {1}};
        memset(p.in, 1, sizeof p.in);
        if (start && !gs_fit_points(&f, from, to, p.index, p.n, p.in, 1))
            break;
        for (int round = 0; round < TRIMS; round++) {
            struct gs_fit next;
            float most = find_misses(&p, &f, round ? 4 : 2);
            for (uint32_t k = 0; k < p.n; k++)
                p.in[k] = p.miss[k] <= most;
            if (!gs_fit_points(&next, from, to, p.index, p.n, p.in, 1))
                break;
            f = next;
        }
        float off = find_misses(&p, &f, 4);
        if (off < least) {
            least = off;
            w->fit = f;
        }
    }
    for (int k = 0; k < 4; k++)
        w->back[k] = k ? -w->fit.q[k] : w->fit.q[k];
}

/* By how much a Gaussian is off its place when that is taken back. */
static void off_place(double out[3], const struct whole *w, const int32_t from[3], const int32_t to[3])
{
    double d[3];
    for (int k = 0; k < 3; k++)
        d[k] = to[k] - w->fit.to[k];
    gs_fit_turned(out, w->back, d);
    for (int k = 0; k < 3; k++)
        out[k] -= from[k] - w->fit.from[k];
}

/* ---- the basis ---- */

struct shapes {
    uint32_t frames;
    size_t n;         /* of numbers: 3 * members */
    float *d;         /* [frames][n]: displacements in steps */
    double *gram, *v; /* [frames][frames] */
};

/* Those that some frame has off their place by more than a dead zone; then d holds members only. */
static int find_members(struct gs_stream_basis *b, struct shapes *s, const struct gs_stream_base *base)
{
    uint32_t count = base->state.count, members = 0;
    b->member = malloc(((size_t)count + 1) * sizeof *b->member);
    if (!b->member)
        return fv_fail(FV_ENOMEM, "no memory for a basis");
    for (uint32_t i = 0; i < count; i++) {
        bool moves = false;
        for (uint32_t t = 0; t < s->frames && !moves; t++)
            for (size_t k = 0; k < 3; k++)
                moves = moves || fabsf(s->d[(size_t)t * 3 * count + 3 * (size_t)i + k]) > 0.7f;
        if (moves)
            b->member[members++] = i;
    }
    b->members = members;
    s->n = 3 * (size_t)members;
    for (uint32_t t = 0; t < s->frames; t++)
        for (size_t m = 0; m < members; m++)
            memmove(s->d + t * s->n + 3 * m, s->d + (size_t)t * 3 * count + 3 * (size_t)b->member[m],
                    3 * sizeof *s->d);
    return 0;
}

static void find_displacements(struct shapes *s, const struct gs_stream_base *base, const int32_t *from,
                              int32_t *const positions[])
{
    struct gs_steps steps;
    gs_stream_steps(&steps, base, GS_POSITION, true);
    for (uint32_t t = 0; t < s->frames; t++) {
        struct whole w;
        fit_whole(&w, from, positions[t], base->state.count);
        float *d = s->d + (size_t)t * 3 * base->state.count;
        for (uint32_t i = 0; i < base->state.count; i++, d += 3) {
            double off[3];
            off_place(off, &w, from + 3 * (size_t)i, positions[t] + 3 * (size_t)i);
            for (int k = 0; k < 3; k++)
                d[k] = (float)(off[k] / gs_step(&steps, i));
        }
    }
}

static void find_directions(struct shapes *s)
{
    size_t f = s->frames;
    for (size_t a = 0; a < f; a++)
        for (size_t b = 0; b <= a; b++) {
            double sum = 0;
            for (size_t i = 0; i < s->n; i++)
                sum += (double)s->d[a * s->n + i] * (double)s->d[b * s->n + i];
            s->gram[a * f + b] = s->gram[b * f + a] = sum;
        }
    fv_eigen(s->gram, s->v, s->frames, s->frames);
}

/* Vectors of the largest eigenvalues; wanted: [most][n]. */
static void take_vectors(struct gs_stream_basis *b, const struct shapes *s,
                         const struct gs_stream_base *base, int32_t *wanted)
{
    const double least = b->fine / 16.0; /* steps: below it rounds to nothing */
    size_t f = s->frames;
    bool taken[MOST_FRAMES] = {false};
    struct gs_steps steps;
    gs_stream_steps(&steps, base, GS_POSITION, true);
    while (b->vectors < MOST_VECTORS) {
        size_t best = f;
        for (size_t j = 0; j < f; j++)
            if (!taken[j] && (best == f || s->gram[j * f + j] > s->gram[best * f + best]))
                best = j;
        if (best == f)
            return;
        taken[best] = true;
        double weight = 0, furthest = 0, units = 0;
        for (size_t t = 0; t < f; t++)
            weight = fmax(weight, fabs(s->v[t * f + best]));
        int32_t *out = wanted + b->vectors * s->n;
        for (size_t i = 0; i < s->n; i++) {
            double sum = 0;
            for (size_t t = 0; t < f; t++)
                sum += s->v[t * f + best] * (double)s->d[t * s->n + i];
            sum *= weight;
            double u = sum * gs_step(&steps, b->member[i / 3]);
            furthest = fmax(furthest, fabs(sum));
            units = fmax(units, fabs(u));
            out[i] = (int32_t)lrint(fmin(fmax(u, -GS_BASIS_LIMIT), GS_BASIS_LIMIT));
        }
        if (furthest < least)
            return;
        double shift = ceil(log2(units / 4 + 1));
        b->shift[b->vectors++] = (uint8_t)(shift > 15 ? 15 : shift);
    }
}

static int create_shapes(struct shapes *s, uint32_t count)
{
    size_t f = s->frames;
    s->d = malloc((f * 3 * count + 1) * sizeof *s->d);
    s->gram = malloc((f * f + 1) * sizeof *s->gram);
    s->v = malloc((f * f + 1) * sizeof *s->v);
    return s->d && s->gram && s->v ? 0 : fv_fail(FV_ENOMEM, "no memory for a basis");
}

static void finish_shapes(struct shapes *s)
{
    free(s->d);
    free(s->gram);
    free(s->v);
}

/* What of members' displacements is worth it, as a section. */
static int write_vectors(struct gs_stream_base *base, struct shapes *s, struct gs_section *out)
{
    struct gs_stream_basis *b = base->basis;
    int32_t *wanted = malloc((s->n * MOST_VECTORS + 1) * sizeof *wanted);
    int rc = wanted ? 0 : fv_fail(FV_ENOMEM, "no memory for a basis");
    if (rc == 0) {
        find_directions(s);
        take_vectors(b, s, base, wanted);
        if (b->vectors)
            rc = gs_stream_write_basis(base, wanted, out);
    }
    free(wanted);
    return rc;
}

int gs_stream_fit_basis(struct gs_stream_base *base, const int32_t *from, int32_t *const positions[],
                        uint32_t frames, uint8_t fine, struct gs_section *out)
{
    struct gs_stream_basis *b = base->basis = calloc(1, sizeof *b);
    struct shapes s = {.frames = frames < MOST_FRAMES ? frames : MOST_FRAMES};
    *out = (struct gs_section){0};
    int rc = b ? create_shapes(&s, base->state.count) : fv_fail(FV_ENOMEM, "no memory for a basis");
    if (rc == 0) {
        b->fine = fine;
        find_displacements(&s, base, from, positions);
        rc = find_members(b, &s, base);
    }
    if (rc == 0 && b->members >= LEAST_MEMBERS)
        rc = write_vectors(base, &s, out);
    if (rc < 0 || !out->size)
        gs_stream_basis_destroy(&base->basis);
    finish_shapes(&s);
    return rc;
}

/* ---- a frame's coefficients ---- */

struct equations {
    double g[GS_BASIS_MOST][GS_BASIS_MOST]; /* then its Cholesky factor */
    double y[GS_BASIS_MOST];
};

/* Of the members that are there; steps[i]: of Gaussian i. */
static void begin_equations(struct equations *e, const struct gs_stream_group *g,
                            const struct gs_steps *steps)
{
    const struct gs_stream_basis *b = g->key->basis;
    uint32_t n = b->vectors;
    memset(e->g, 0, sizeof e->g);
    for (uint32_t i = 0; i < g->state.count; i++) {
        if (g->morph.place[i] == GS_NO_ROW)
            continue;
        const int32_t *v = b->v + 3 * (size_t)g->morph.place[i] * n;
        double w = 1 / (double)gs_step(steps, i);
        for (uint32_t c = 0; c < 3; c++)
            for (uint32_t k = 0; k < n; k++) {
                double a = w * w * v[3 * k + c];
                for (uint32_t j = 0; a != 0 && j <= k; j++)
                    e->g[k][j] += a * v[3 * j + c];
            }
    }
    for (uint32_t k = 0; k < n; k++)
        e->g[k][k] = e->g[k][k] * (1 + 1e-6) + 1e-9;
    for (uint32_t k = 0; k < n; k++)
        for (uint32_t j = 0; j <= k; j++) {
            double sum = e->g[k][j];
            for (uint32_t i = 0; i < j; i++)
                sum -= e->g[k][i] * e->g[j][i];
            e->g[k][j] = k == j ? sqrt(fmax(sum, 1e-12)) : sum / e->g[j][j];
        }
}

static void add_equation(struct equations *e, const struct gs_stream_basis *b, uint32_t place,
                         const double off[3], double step)
{
    const int32_t *v = b->v + 3 * (size_t)place * b->vectors;
    for (uint32_t c = 0; c < 3; c++) {
        double a = off[c] / (step * step);
        for (uint32_t k = 0; k < b->vectors; k++)
            e->y[k] += a * v[3 * k + c];
    }
}

static void solve(struct equations *e, const struct gs_stream_basis *b, int32_t coef[])
{
    uint32_t n = b->vectors;
    for (uint32_t k = 0; k < n; k++) {
        for (uint32_t j = 0; j < k; j++)
            e->y[k] -= e->g[k][j] * e->y[j];
        e->y[k] /= e->g[k][k];
    }
    for (uint32_t k = n; k-- > 0;) {
        for (uint32_t j = k + 1; j < n; j++)
            e->y[k] -= e->g[j][k] * e->y[j];
        e->y[k] /= e->g[k][k];
    }
    for (uint32_t k = 0; k < n; k++) {
        double c = e->y[k] * (double)(1 << b->shift[k]);
        coef[k] = (int32_t)lrint(fmin(fmax(c, -GS_MORPH_LIMIT), GS_MORPH_LIMIT));
    }
}

/* Positions without what the basis makes of them. */
static void still_frame(const struct gs_stream_group *g, struct equations *e,
                        const struct gs_steps *steps, const int32_t *positions, int32_t *still)
{
    enum { ROUNDS = 2 };
    const struct gs_stream_basis *b = g->key->basis;
    const int32_t *from = g->state.v[GS_POSITION];
    memcpy(still, positions, 3 * (size_t)g->state.count * sizeof *still);
    for (int round = 0; round < ROUNDS; round++) {
        struct whole w;
        int32_t coef[GS_BASIS_MOST];
        fit_whole(&w, from, still, g->state.count);
        memset(e->y, 0, sizeof e->y);
        for (size_t i = 0; i < g->state.count; i++) {
            double off[3];
            if (g->morph.place[i] == GS_NO_ROW)
                continue;
            off_place(off, &w, from + 3 * i, positions + 3 * i);
            add_equation(e, b, g->morph.place[i], off, gs_step(steps, (uint32_t)i));
        }
        solve(e, b, coef);
        for (size_t i = 0; i < g->state.count; i++) {
            int32_t by[3];
            double turned[3];
            if (g->morph.place[i] == GS_NO_ROW)
                continue;
            gs_stream_morph_offset(by, b, g->morph.place[i], coef);
            gs_fit_turned(turned, w.fit.q, (const double[3]){by[0], by[1], by[2]});
            for (size_t k = 0; k < 3; k++)
                still[3 * i + k] = positions[3 * i + k] - (int32_t)lrint(turned[k]);
        }
    }
}

int gs_stream_still(const struct gs_stream_group *g, int32_t *const positions[], uint32_t frames,
                    int32_t *still[])
{
    struct gs_steps steps;
    struct equations *e = malloc(sizeof *e);
    int rc = e ? 0 : fv_fail(FV_ENOMEM, "no memory for a basis");
    gs_stream_steps(&steps, g->base, GS_POSITION, true);
    if (rc == 0)
        begin_equations(e, g, &steps);
    for (uint32_t t = 0; t < frames && rc == 0; t++) {
        still[t] = malloc((3 * (size_t)g->state.count + 1) * sizeof **still);
        if (still[t])
            still_frame(g, e, &steps, positions[t], still[t]);
        else
            rc = fv_fail(FV_ENOMEM, "no memory for a basis");
    }
    free(e);
    return rc;
}

/* What clusters do in a frame, and have done since the base. */
struct motion {
    struct gs_rigid_matrix matrix[GS_STREAM_MAX_CLUSTERS];
    int32_t turned[GS_STREAM_MAX_CLUSTERS][4];
};

static void find_turns(struct motion *m, const struct gs_stream_group *g)
{
    for (uint32_t j = 0; j < g->clusters; j++) {
        if (!gs_rigid_matrix(&m->matrix[j], &g->rigid[j])) /* which then is not written either */
            m->matrix[j] = (struct gs_rigid_matrix){.turn = {GS_ROTATION_ONE}};
        gs_quat_mul(m->turned[j], m->matrix[j].turn, g->morph.turned[j]);
    }
}

/* Where its cluster brings a Gaussian, and how it is turned then. */
static void place_moved(const struct gs_stream_group *g, const struct motion *m, size_t i,
                        int32_t position[3], double turn[4])
{
    int32_t rotation[4];
    memcpy(position, g->state.v[GS_POSITION] + 3 * i, 3 * sizeof *position);
    memcpy(turn, (const double[4]){1}, 4 * sizeof *turn);
    if (!g->label[i])
        return;
    uint32_t j = g->label[i] - 1u;
    memcpy(rotation, g->state.v[GS_ROTATION] + 4 * i, sizeof rotation);
    gs_rigid_apply(&m->matrix[j], &g->rigid[j], position, rotation);
    for (int k = 0; k < 4; k++)
        turn[k] = m->turned[j][k] / (double)GS_ROTATION_ONE;
}

/* Coefficients that bring members from where clusters bring them to nearest to `to`. */
static void fit_coefs(struct gs_stream_group *g, struct equations *e, const struct motion *motion,
                      const struct gs_steps *steps, const int32_t *to)
{
    const struct gs_stream_morph *m = &g->morph;
    memset(e->y, 0, sizeof e->y);
    for (size_t i = 0; i < g->state.count; i++) {
        int32_t at[3];
        double turn[4], d[3], off[3];
        if (m->place[i] == GS_NO_ROW)
            continue;
        place_moved(g, motion, i, at, turn);
        for (size_t k = 0; k < 3; k++) {
            d[k] = to[3 * i + k] - at[k];
            turn[k + 1] = -turn[k + 1];
        }
        gs_fit_turned(off, turn, d);
        for (size_t k = 0; k < 3; k++)
            off[k] += m->offset[3 * (size_t)m->place[i] + k];
        add_equation(e, g->key->basis, m->place[i], off, gs_step(steps, (uint32_t)i));
    }
    solve(e, g->key->basis, g->morph.coef);
}

/* What clusters alone have to reach, if coefficients do the rest of the way to `to`. */
static void without_coefs(const struct gs_stream_group *g, const struct motion *motion,
                          const int32_t *to, int32_t *still)
{
    const struct gs_stream_morph *m = &g->morph;
    for (size_t i = 0; i < g->state.count; i++) {
        int32_t by[3], at[3];
        double turn[4], d[3], v[3];
        if (m->place[i] == GS_NO_ROW)
            continue;
        place_moved(g, motion, i, at, turn);
        gs_stream_morph_offset(by, g->key->basis, m->place[i], m->coef);
        for (size_t k = 0; k < 3; k++)
            d[k] = by[k] - m->offset[3 * (size_t)m->place[i] + k];
        gs_fit_turned(v, turn, d);
        for (size_t k = 0; k < 3; k++)
            still[3 * i + k] = to[3 * i + k] - (int32_t)lrint(v[k]);
    }
}

int gs_stream_fit_motion(struct gs_stream_group *g, const struct gs_stream_state *target)
{
    enum { ROUNDS = 3 };
    if (!g->morph.used) {
        gs_stream_fit_rigid(g, target);
        return 0;
    }
    const int32_t *to = target->v[GS_POSITION];
    size_t numbers = 3 * (size_t)g->state.count;
    int32_t *still = malloc((numbers + 1) * sizeof *still);
    struct equations *e = malloc(sizeof *e);
    if (!still || !e) {
        free(still);
        free(e);
        return fv_fail(FV_ENOMEM, "no memory for a basis");
    }
    struct gs_stream_state aim = *target;
    struct gs_steps steps;
    struct motion motion;
    gs_stream_steps(&steps, g->base, GS_POSITION, true);
    begin_equations(e, g, &steps);
    memcpy(still, to, numbers * sizeof *still);
    aim.v[GS_POSITION] = still;
    if (!g->begun)
        gs_stream_set_centres(g);
    for (int round = 0; round < (g->clusters ? ROUNDS : 1); round++) {
        if (round)
            without_coefs(g, &motion, to, still);
        gs_stream_fit_rigid(g, &aim);
        find_turns(&motion, g);
        fit_coefs(g, e, &motion, &steps, to);
    }
    free(still);
    free(e);
    return 0;
}
