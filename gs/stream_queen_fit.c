/* Frames of the QUEEN model fitted to given scenes (stream_queen.h).
 *
 *   what the scene differs by from the state --> rows that are off by more than their step
 *     --> positions: a gate a row, moves in steps
 *     --> attributes: principal directions of the differences become a decoder (or its dft scales),
 *         latents are rounded, the decoder is fitted to them by least squares, and again
 *
 * Everything is measured in steps: those of the base, by the level of each Gaussian. The state is
 * what a reader has, so what is left of a frame comes into the next one's differences. */
#include "gs/stream_queen.h"
#include "gs/scene.h"
#include "gs/stream_motion.h"
#include "vk/base/eigen.h"

#include <stdlib.h>
#include <string.h>

enum { MOST = 45, ROUNDS = 2 };
static const double GATE = 0.6;       /* steps that a row may be off */
static const double BIT_WORTH = 0.12; /* steps^2 that a bit is worth where steps are fine: 2 ln 2 / 12 */
static const double FLOAT_BITS = 28;  /* of a decoder's number that is new */

/* One attribute, or positions, of every row. */
struct fit {
    uint32_t count, width, latents;
    uint32_t group; /* numbers that a base quantises turned into each other: judged together */
    const uint32_t (*near)[GS_NEAR];
    float *off;            /* [count][width] target - state, in the attribute's units */
    float *step;           /* [count] */
    uint8_t *active;       /* [count] off by more than the gate */
    uint32_t active_count;
    double unit;           /* a step that is as good as all of them */
};

/* y = l w; l = about y back. */
struct map {
    double w[MOST][MOST];    /* [latents][width] */
    double back[MOST][MOST]; /* [width][latents] */
};

struct latents {
    int32_t *v; /* [count][latents] */
    double worth; /* error in steps^2 and bits by their worth: less is better */
};

/* ---- small matrices ---- */

/* a = its inverse, n x n, by elimination with pivots; false if there is none. */
static bool invert(double a[MOST][MOST], uint32_t n)
{
    double b[MOST][MOST] = {{0}};
    for (uint32_t i = 0; i < n; i++)
        b[i][i] = 1;
    for (uint32_t k = 0; k < n; k++) {
        uint32_t pivot = k;
        for (uint32_t i = k + 1; i < n; i++)
            pivot = fabs(a[i][k]) > fabs(a[pivot][k]) ? i : pivot;
        if (!(fabs(a[pivot][k]) > 1e-30))
            return false;
        for (uint32_t j = 0; j < n; j++) {
            double t = a[k][j], u = b[k][j];
            a[k][j] = a[pivot][j];
            b[k][j] = b[pivot][j];
            a[pivot][j] = t;
            b[pivot][j] = u;
        }
        double by = 1 / a[k][k];
        for (uint32_t j = 0; j < n; j++) {
            a[k][j] *= by;
            b[k][j] *= by;
        }
        for (uint32_t i = 0; i < n; i++) {
            double f = i == k ? 0 : a[i][k];
            for (uint32_t j = 0; j < n && f != 0; j++) {
                a[i][j] -= f * a[k][j];
                b[i][j] -= f * b[k][j];
            }
        }
    }
    memcpy(a, b, sizeof b);
    return true;
}

/* The way back from w: w^T (w w^T)^-1. */
static bool find_back(struct map *m, uint32_t latents, uint32_t width)
{
    double g[MOST][MOST];
    for (uint32_t i = 0; i < latents; i++)
        for (uint32_t j = 0; j < latents; j++) {
            g[i][j] = 0;
            for (uint32_t k = 0; k < width; k++)
                g[i][j] += m->w[i][k] * m->w[j][k];
        }
    if (!invert(g, latents))
        return false;
    for (uint32_t k = 0; k < width; k++)
        for (uint32_t j = 0; j < latents; j++) {
            m->back[k][j] = 0;
            for (uint32_t i = 0; i < latents; i++)
                m->back[k][j] += m->w[i][k] * g[i][j];
        }
    return true;
}

/* ---- latents ---- */

static double bits_of(int32_t q)
{
    return q ? 3 + 2 * log2(1 + fabs((double)q)) : 0;
}

/* Error of a row's latents, in steps^2; *worst: root mean square of a group, in steps. */
static double error_of(const struct fit *f, const struct map *m, uint32_t i, const int32_t *l,
                       double *worst)
{
    const float *off = f->off + (size_t)i * f->width;
    double sum = 0, group = 0, by = 1 / (double)f->step[i];
    *worst = 0;
    for (uint32_t k = 0; k < f->width; k++) {
        double y = (double)off[k];
        for (uint32_t j = 0; j < f->latents; j++)
            y -= l[j] * m->w[j][k];
        y *= by;
        sum += y * y;
        group = k % f->group ? group + y * y : y * y;
        *worst = fmax(*worst, group);
    }
    *worst = sqrt(*worst / f->group);
    return sum;
}

/* A row whose neighbours' latents are good enough takes them, others are rounded. */
static void find_latents(const struct fit *f, const struct map *m, int32_t gain, struct latents *out)
{
    double sum = 0, bits = 0, worst;
    for (uint32_t i = 0; i < f->count; i++) {
        int32_t *l = out->v + (size_t)i * f->latents, near[MOST], some = 0;
        const uint32_t *from = f->near[i];
        const float *off = f->off + (size_t)i * f->width;
        int64_t found = 0;
        while (gain && found < GS_NEAR && from[found] != ~0u)
            found++;
        for (uint32_t j = 0; j < f->latents; j++) {
            int64_t all = 0;
            for (int64_t k = 0; k < found; k++)
                all += out->v[(size_t)from[k] * f->latents + j];
            near[j] = (int32_t)(found ? gain * all / (16 * found) : 0);
            some |= near[j];
        }
        memcpy(l, near, f->latents * sizeof *l);
        if (!some && !f->active[i])
            continue;
        double error = error_of(f, m, i, l, &worst);
        if (worst > GATE) {
            for (uint32_t j = 0; j < f->latents; j++) {
                double v = 0;
                for (uint32_t k = 0; k < f->width; k++)
                    v += (double)off[k] * m->back[k][j];
                l[j] = (int32_t)lrint(fmin(fmax(v, -GS_NUMBER_MAX / 2.0), GS_NUMBER_MAX / 2.0));
                bits += bits_of(l[j] - near[j]);
            }
            error = error_of(f, m, i, l, &worst);
        }
        sum += error;
    }
    out->worth = sum + BIT_WORTH * bits;
}

/* The better of two gains: *best keeps it, *room is for the other. */
static void find_better(const struct fit *f, const struct map *m, struct latents *best,
                        struct latents *room)
{
    find_latents(f, m, 0, best);
    find_latents(f, m, 16, room);
    if (room->worth < best->worth) {
        struct latents swap = *best;
        *best = *room;
        *room = swap;
    }
}

/* ---- decoders ---- */

/* Principal directions of what active rows are off by, a unit long; those that matter, at most
 * `most`. */
static void principal(struct fit *f, struct map *m, uint32_t most)
{
    double c[MOST][MOST] = {{0}}, v[MOST][MOST];
    bool taken[MOST] = {0};
    uint32_t n = f->width;
    for (uint32_t i = 0; i < f->count; i++) {
        const float *off = f->off + (size_t)i * n;
        double by = 1 / ((double)f->step[i] * (double)f->step[i]);
        for (uint32_t a = 0; a < n && f->active[i]; a++)
            for (uint32_t b = 0; b <= a; b++)
                c[a][b] += by * (double)off[a] * (double)off[b];
    }
    for (uint32_t a = 0; a < n; a++)
        for (uint32_t b = 0; b < a; b++)
            c[b][a] = c[a][b];
    fv_eigen(&c[0][0], &v[0][0], n, MOST);
    for (f->latents = 0; f->latents < n && f->latents < most; f->latents++) {
        uint32_t best = n;
        for (uint32_t k = 0; k < n; k++)
            if (!taken[k] && (best == n || c[k][k] > c[best][best]))
                best = k;
        /* rounding would leave less than a twentieth of a step; and a direction has its price */
        if (f->latents && c[best][best] < fmax(0.05 * 0.05 * f->active_count,
                                               BIT_WORTH * FLOAT_BITS * n))
            break;
        taken[best] = true;
        for (uint32_t k = 0; k < n; k++)
            m->w[f->latents][k] = f->unit * v[k][best];
    }
}

static void fixed(struct fit *f, struct map *m, uint32_t most)
{
    float w[MOST * MOST];
    f->latents = f->width < most ? f->width : most;
    gs_queen_dft(w, f->latents, f->width);
    for (uint32_t j = 0; j < f->latents; j++)
        for (uint32_t k = 0; k < f->width; k++)
            m->w[j][k] = f->unit * (double)w[j * f->width + k];
}

/* w of least squares for given latents; false: they do not tell. */
static bool refit(const struct fit *f, struct map *m, const int32_t *l)
{
    double g[MOST][MOST] = {{0}}, r[MOST][MOST] = {{0}};
    for (uint32_t i = 0; i < f->count; i++) {
        const int32_t *row = l + (size_t)i * f->latents;
        const float *off = f->off + (size_t)i * f->width;
        double by = 1 / ((double)f->step[i] * (double)f->step[i]);
        for (uint32_t a = 0; a < f->latents; a++) {
            if (!row[a])
                continue;
            for (uint32_t b = 0; b < f->latents; b++)
                g[a][b] += by * row[a] * row[b];
            for (uint32_t k = 0; k < f->width; k++)
                r[a][k] += by * row[a] * (double)off[k];
        }
    }
    for (uint32_t a = 0; a < f->latents; a++) { /* towards what it was, where few latents tell */
        double hold = 1e-3 * g[a][a] + 1e-9;
        g[a][a] += hold;
        for (uint32_t k = 0; k < f->width; k++)
            r[a][k] += hold * m->w[a][k];
    }
    if (!invert(g, f->latents))
        return false;
    for (uint32_t a = 0; a < f->latents; a++)
        for (uint32_t k = 0; k < f->width; k++) {
            m->w[a][k] = 0;
            for (uint32_t b = 0; b < f->latents; b++)
                m->w[a][k] += g[a][b] * r[b][k];
        }
    return find_back(m, f->latents, f->width);
}

/* The same of a dft layer, whose columns are scaled each. */
static bool rescale(const struct fit *f, struct map *m, const int32_t *l)
{
    for (uint32_t k = 0; k < f->width; k++) {
        double up = 0, down = 0;
        for (uint32_t i = 0; i < f->count; i++) {
            double y = 0, by = 1 / ((double)f->step[i] * (double)f->step[i]);
            for (uint32_t j = 0; j < f->latents; j++)
                y += l[(size_t)i * f->latents + j] * m->w[j][k];
            up += by * y * (double)f->off[(size_t)i * f->width + k];
            down += by * y * y;
        }
        double s = down > 0 && up > 0.1 * down ? up / down : 1;
        for (uint32_t j = 0; j < f->latents; j++)
            m->w[j][k] *= s;
    }
    return find_back(m, f->latents, f->width);
}

/* Floats of a decoder, and as they will be read. */
struct made {
    struct gs_queen_decoder decoder;
    float w[MOST * MOST], scale[MOST];
};

static void make_decoder(const struct fit *f, struct map *m, bool dft, struct made *out)
{
    struct gs_queen_layer *l = &out->decoder.layer[0];
    out->decoder.layer_count = 1;
    *l = (struct gs_queen_layer){.in = f->latents, .out = f->width, .w = out->w};
    for (uint32_t j = 0; j < f->latents; j++)
        for (uint32_t k = 0; k < f->width; k++)
            out->w[j * f->width + k] = (float)m->w[j][k];
    if (!dft)
        return;
    l->scale = out->scale;
    gs_queen_dft(out->w, f->latents, f->width);
    for (uint32_t k = 0; k < f->width; k++) /* of the largest weight in its column */
        for (uint32_t j = 0, best = 0; j < f->latents; j++) {
            if (fabsf(out->w[j * f->width + k]) > fabsf(out->w[best * f->width + k]))
                best = j;
            out->scale[k] = (float)(m->w[best][k] / (double)out->w[best * f->width + k]);
        }
}

/* The decoder of the frame before, as a map. */
static bool last_decoder(const struct gs_queen_part *p, struct fit *f, struct map *m)
{
    const struct gs_queen_layer *l = &p->decoder.layer[0];
    if (p->decoder.layer_count != 1 || p->decoder.div || l->shift || l->in > MOST ||
        l->out != f->width || l->activation != GS_QUEEN_LINEAR)
        return false;
    f->latents = l->in;
    for (uint32_t j = 0; j < l->in; j++)
        for (uint32_t k = 0; k < l->out; k++)
            m->w[j][k] = (double)l->w[j * l->out + k] * (l->scale ? (double)l->scale[k] : 1);
    return find_back(m, l->in, l->out);
}

/* ---- what is fitted ---- */

static int make_fit(struct fit *f, uint32_t count, uint32_t width, const uint32_t (*near)[GS_NEAR])
{
    *f = (struct fit){.count = count, .width = width, .near = near};
    f->off = malloc((size_t)count * width * sizeof *f->off + 1);
    f->step = malloc(count * sizeof *f->step + 1);
    f->active = calloc((size_t)count + 1, 1);
    return f->off && f->step && f->active ? 0
                                          : fv_fail(FV_ENOMEM, "no memory for %u Gaussians", count);
}

static void drop_fit(struct fit *f)
{
    free(f->off);
    free(f->step);
    free(f->active);
}

/* Which rows are off; steps that together err as much as one for all. */
static void find_active(struct fit *f)
{
    double sum = 0;
    for (uint32_t i = 0; i < f->count; i++) {
        const float *off = f->off + (size_t)i * f->width;
        float worst = 0, group = 0;
        for (uint32_t k = 0; k < f->width; k++) {
            group = k % f->group ? group + off[k] * off[k] : off[k] * off[k];
            worst = fmaxf(worst, group);
        }
        f->active[i] = sqrt((double)worst / f->group) > GATE * (double)f->step[i];
        f->active_count += f->active[i];
        sum += f->active[i] ? 1 / ((double)f->step[i] * (double)f->step[i]) : 0;
    }
    f->unit = f->active_count ? sqrt(f->active_count / sum) : 0;
}

static double octaves(int level)
{
    return exp2((level - 3) / 2.0);
}

/* Steps of a row's part, in its own units; SH bands above the first by `scale`. */
static double step_of(const struct gs_queen_target *t, int part, uint32_t i)
{
    const struct gs_stream_base *b = t->base;
    double coarser = b->coarser / 4.0, alpha;
    int level = t->level[i];
    switch (part) {
    case GS_QUEEN_POSITION:
        level = level < 3 ? 3 : level > 7 ? 7 : level;
        return coarser * octaves(level) * (double)b->step[GS_POSITION];
    case GS_QUEEN_SCALE:
        level = level < 1 ? 1 : level > 6 ? 6 : level;
        return coarser * octaves(level) * (double)b->step[GS_SCALE];
    case GS_QUEEN_OPACITY: /* of alpha, in logits */
        level = level < 1 ? 1 : level > 6 ? 6 : level;
        alpha = gs_sigmoid((double)t->scene->opacity[i]);
        return coarser * octaves(level) * (double)b->step[GS_OPACITY] /
               fmax(alpha * (1 - alpha), 1e-3);
    case GS_QUEEN_ROTATION:
        return coarser * octaves(t->turn_level[i]) * (double)b->step[GS_ROTATION];
    default:
        return coarser * octaves(level) * (double)b->step[part == GS_QUEEN_DC ? GS_COLOUR : GS_SH1];
    }
}

/* What the target differs by from the state's rows. Numbers of SH bands 2 and 3 are in steps of the
 * first. */
static int look(struct fit *f, const struct gs_queen_track *t, const struct gs_queen_target *to,
                const uint32_t (*near)[GS_NEAR], int part, float scale[MOST])
{
    size_t at_stride, from_stride;
    uint32_t width, count = (uint32_t)to->scene->count;
    const float *at = gs_queen_scene_part(to->scene, part, &at_stride, &width);
    const float *from = gs_queen_scene_part(&t->scene, part, &from_stride, &width);
    FV_TRY(make_fit(f, count, width, near));
    bool turned = part == GS_QUEEN_DC || part == GS_QUEEN_REST || part == GS_QUEEN_SCALE;
    f->group = turned ? 3 : 1;
    for (uint32_t k = 0; k < width; k++) {
        int band = part != GS_QUEEN_REST || k < 9 ? 0 : k < 24 ? 1 : 2;
        scale[k] = band ? to->base->step[GS_SH1 + band] / to->base->step[GS_SH1] : 1;
    }
    for (uint32_t i = 0; i < count; i++) {
        const float *a = at + i * at_stride;
        const float *b = from + (to->parent ? to->parent[i] : i) * from_stride;
        float *off = f->off + (size_t)i * width, sign = 1;
        if (part == GS_QUEEN_ROTATION && a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3] < 0)
            sign = -1;
        for (uint32_t k = 0; k < width; k++)
            off[k] = (sign * a[k] - b[k]) / scale[k];
        f->step[i] = (float)step_of(to, part, i);
    }
    find_active(f);
    return 0;
}

/* Gates and moves; *row, *by are the caller's to free. */
static int fit_moves(struct gs_queen_frame *out, const struct gs_queen_track *t,
                     const struct gs_queen_target *to, const uint32_t (*near)[GS_NEAR], float *per,
                     uint32_t **row, float **by)
{
    struct fit f;
    struct map m = {.w = {{0}}};
    float scale[MOST];
    struct latents best = {0}, room = {0};
    int rc = look(&f, t, to, near, GS_QUEEN_POSITION, scale);
    uint32_t n = 0;
    *per = f.active_count ? (float)(1 / f.unit) : 1;
    if (rc == 0 && f.active_count) {
        f.latents = 3;
        for (int k = 0; k < 3; k++)
            m.w[k][k] = 1 / (double)*per;
        find_back(&m, 3, 3);
        best.v = malloc(3 * (size_t)f.count * sizeof *best.v);
        room.v = malloc(3 * (size_t)f.count * sizeof *room.v);
        *row = malloc(f.count * sizeof **row);
        *by = malloc(3 * (size_t)f.count * sizeof **by);
        if (!best.v || !room.v || !*row || !*by)
            rc = fv_fail(FV_ENOMEM, "no memory for %u Gaussians", f.count);
        else
            find_better(&f, &m, &best, &room);
    }
    for (uint32_t i = 0; rc == 0 && best.v && i < f.count; i++) {
        const int32_t *v = best.v + 3 * (size_t)i;
        if (!(v[0] | v[1] | v[2]))
            continue;
        for (int k = 0; k < 3; k++)
            (*by)[3 * (size_t)n + (size_t)k] = (float)v[k] / *per;
        (*row)[n++] = i;
    }
    out->moved = n;
    out->moved_row = *row;
    out->moved_by = *by;
    free(best.v);
    free(room.v);
    drop_fit(&f);
    return rc;
}

/* A new decoder and its latents. */
static void fit_decoder(struct fit *f, const struct gs_queen_target *to, struct map *m,
                        struct latents *best, struct latents *room)
{
    uint32_t most = to->latents && to->latents < MOST ? to->latents : MOST;
    if (to->dft)
        fixed(f, m, most);
    else
        principal(f, m, most);
    if (!find_back(m, f->latents, f->width))
        return;
    find_better(f, m, best, room);
    for (int round = 0; round < ROUNDS; round++) {
        struct map before = *m;
        double worth = best->worth;
        int32_t *kept = room->v;
        if (!(to->dft ? rescale(f, m, best->v) : refit(f, m, best->v))) {
            *m = before;
            return;
        }
        find_latents(f, m, 0, room);
        if (room->worth >= worth) {
            *m = before;
            return;
        }
        room->v = best->v;
        best->v = kept;
        best->worth = room->worth;
    }
}

/* Latents of an attribute, in out; made holds its decoder. */
static int fit_change(struct gs_queen_change *out, const struct gs_queen_track *t,
                      const struct gs_queen_target *to, const uint32_t (*near)[GS_NEAR], int part,
                      struct made *made, int32_t **latent)
{
    struct fit f;
    struct map m = {.w = {{0}}}, old = {.w = {{0}}};
    struct latents best = {0}, room = {0}, last = {.worth = HUGE_VAL};
    float scale[MOST];
    int rc = look(&f, t, to, near, part, scale);
    uint32_t latents = 0;
    if (rc < 0 || !f.active_count)
        goto done;
    size_t n = (size_t)f.count * f.width * sizeof(int32_t);
    best.v = malloc(n + 1);
    room.v = malloc(n + 1);
    last.v = malloc(n + 1);
    if (!best.v || !room.v || !last.v) {
        rc = fv_fail(FV_ENOMEM, "no memory for %u Gaussians", f.count);
        goto done;
    }
    const struct gs_queen_part *p = &t->part[part];
    if (p->floats && last_decoder(p, &f, &old) && f.latents <= f.width) {
        for (uint32_t j = 0; j < f.latents; j++) /* from the attribute's units to its first band's */
            for (uint32_t k = 0; k < f.width; k++)
                old.w[j][k] /= (double)scale[k];
        if (find_back(&old, f.latents, f.width))
            find_better(&f, &old, &last, &room);
        latents = f.latents;
    }
    best.worth = HUGE_VAL;
    fit_decoder(&f, to, &m, &best, &room);
    if (last.worth <= best.worth + BIT_WORTH * FLOAT_BITS * f.latents * f.width) {
        struct latents swap = best;
        best = last;
        last = swap;
        f.latents = latents;
        made->decoder = p->decoder; /* the same bits */
    } else {
        for (uint32_t j = 0; j < f.latents; j++)
            for (uint32_t k = 0; k < f.width; k++)
                m.w[j][k] *= (double)scale[k];
        make_decoder(&f, &m, to->dft, made);
    }
    *out = (struct gs_queen_change){.kind = GS_QUEEN_RESIDUAL, .decoder = made->decoder};
    out->latent = *latent = best.v;
    best.v = NULL;
done:
    free(best.v);
    free(room.v);
    free(last.v);
    drop_fit(&f);
    return rc;
}

int gs_queen_fit(struct gs_queen_track *t, const struct gs_queen_target *to,
                 struct gs_section out[GS_SECTIONS])
{
    struct gs_queen_frame f = {.count = (uint32_t)to->scene->count, .parent = to->parent};
    struct made *made = calloc(GS_QUEEN_ATTRIBUTES, sizeof *made);
    int32_t *latent[GS_QUEEN_ATTRIBUTES] = {0};
    uint32_t *row = NULL, (*near)[GS_NEAR] = NULL;
    float *by = NULL, per = 1;
    int rc = made ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    if (rc == 0 && to->parent) { /* as the track has them once rows have changed */
        near = malloc(f.count * sizeof *near + 1);
        if (!near)
            rc = fv_fail(FV_ENOMEM, "no memory for %u Gaussians", f.count);
        else
            gs_queen_near_before(near, f.count);
    }
    const uint32_t (*by_row)[GS_NEAR] =
        (const uint32_t(*)[GS_NEAR])(to->parent ? near : t->near);
    rc = rc == 0 ? fit_moves(&f, t, to, by_row, &per, &row, &by) : rc;
    for (int a = 0; rc == 0 && a < GS_QUEEN_ATTRIBUTES; a++)
        if (gs_queen_width((enum gs_queen_attribute)a, t->scene.sh_degree))
            rc = fit_change(&f.change[a], t, to, by_row, a, &made[a], &latent[a]);
    rc = rc == 0 ? gs_queen_track_write(t, &f, per, out) : rc;
    for (int a = 0; a < GS_QUEEN_ATTRIBUTES; a++)
        free(latent[a]);
    free(made);
    free(near);
    free(row);
    free(by);
    return rc;
}
