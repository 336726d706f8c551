/* The writer's side of rigid clusters (stream.h): which Gaussians move alike, and how. */
#include "gs/stream_motion.h"
#include "vk/base/eigen.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES = 7, FEATURES = 3 * SAMPLES + 3, MEANS_ROUNDS = 6, RIGID_ROUNDS = 5, SMOOTH_ROUNDS = 3,
       LEAST_MEMBERS = 6 };

/* Largest eigenvector of a symmetric matrix. */
static void principal(double m[4][4], double out[4])
{
    double v[4][4];
    fv_eigen(&m[0][0], &v[0][0], 4, 4);
    int best = 0;
    for (int k = 1; k < 4; k++)
        if (m[k][k] > m[best][best])
            best = k;
    for (int k = 0; k < 4; k++)
        out[k] = v[k][best];
}

/* Least squares over the Gaussians of a label: to = R (from - centroid) + centroid (Horn 1987,
 * closed-form absolute orientation). index[n]: which Gaussians; label NULL: all of them. */
bool gs_fit_points(struct gs_fit *f, const int32_t *from, const int32_t *to, const uint32_t *index,
                   size_t n, const uint8_t *label, uint8_t which)
{
    size_t members = 0;
    double a[3] = {0}, b[3] = {0}, s[3][3] = {{0}};
    for (size_t i = 0; i < n; i++) {
        if (label[i] != which)
            continue;
        members++;
        for (size_t k = 0; k < 3; k++) {
            a[k] += from[3 * (size_t)index[i] + k];
            b[k] += to[3 * (size_t)index[i] + k];
        }
    }
    if (members < LEAST_MEMBERS)
        return false;
    for (int k = 0; k < 3; k++) {
        f->from[k] = a[k] / (double)members;
        f->to[k] = b[k] / (double)members;
    }
    for (size_t i = 0; i < n; i++)
        if (label[i] == which)
            for (size_t r = 0; r < 3; r++)
                for (size_t c = 0; c < 3; c++)
                    s[r][c] += (from[3 * (size_t)index[i] + r] - f->from[r]) *
                               (to[3 * (size_t)index[i] + c] - f->to[c]);
    double m[4][4] = {
        {s[0][0] + s[1][1] + s[2][2], s[1][2] - s[2][1], s[2][0] - s[0][2], s[0][1] - s[1][0]},
        {0, s[0][0] - s[1][1] - s[2][2], s[0][1] + s[1][0], s[2][0] + s[0][2]},
        {0, 0, s[1][1] - s[0][0] - s[2][2], s[1][2] + s[2][1]},
        {0, 0, 0, s[2][2] - s[0][0] - s[1][1]}};
    for (int r = 1; r < 4; r++)
        for (int c = 0; c < r; c++)
            m[r][c] = m[c][r];
    principal(m, f->q);
    if (f->q[0] < 0)
        for (int k = 0; k < 4; k++)
            f->q[k] = -f->q[k];
    return true;
}

void gs_fit_turned(double out[3], const double q[4], const double v[3])
{
    const double *u = q + 1;
    double w = q[0], dot = 0, square = 0;
    for (int k = 0; k < 3; k++) {
        dot += u[k] * v[k];
        square += u[k] * u[k];
    }
    for (int k = 0; k < 3; k++) {
        int i = (k + 1) % 3, j = (k + 2) % 3;
        out[k] = 2 * dot * u[k] + (w * w - square) * v[k] + 2 * w * (u[i] * v[j] - u[j] * v[i]);
    }
}

void gs_fit_moved(double out[3], const struct gs_fit *f, const double p[3])
{
    double d[3] = {p[0] - f->from[0], p[1] - f->from[1], p[2] - f->from[2]};
    gs_fit_turned(out, f->q, d);
    for (int k = 0; k < 3; k++)
        out[k] += f->to[k];
}

/* What is looked at while clusters are found: the Gaussians that move. */
struct scan {
    const int32_t *start;            /* positions on which the group builds */
    const int32_t *frame[SAMPLES];   /* positions later on */
    uint32_t samples;
    uint32_t *index;                 /* [n] */
    size_t n;
    uint8_t *cluster;                /* [n] */
};

static void features(const struct scan *s, size_t i, double out[FEATURES])
{
    const int32_t *p = s->start + 3 * (size_t)s->index[i];
    for (uint32_t u = 0; u < s->samples; u++)
        for (size_t k = 0; k < 3; k++)
            out[3 * u + k] = s->frame[u][3 * (size_t)s->index[i] + k] - p[k];
    for (size_t k = 0; k < 3; k++)
        out[3 * s->samples + k] = 0.3 * p[k];
}

static double distance(const double *a, const double *b, uint32_t n)
{
    double sum = 0;
    for (uint32_t k = 0; k < n; k++)
        sum += (a[k] - b[k]) * (a[k] - b[k]);
    return sum;
}

/* k-means of displacements and places; the first centres are far from each other. */
static int means(struct scan *s, uint32_t most)
{
    uint32_t dims = 3 * s->samples + 3;
    double centre[GS_STREAM_MAX_CLUSTERS][FEATURES], f[FEATURES];
    double(*sum)[FEATURES] = malloc(most * sizeof *sum), *nearest = malloc(s->n * sizeof *nearest);
    size_t *members = malloc(most * sizeof *members);
    if (!sum || !nearest || !members) {
        free(sum);
        free(nearest);
        free(members);
        return fv_fail(FV_ENOMEM, "no memory for clusters");
    }
    size_t far = s->n / 2;
    for (uint32_t j = 0; j < most; j++) {
        features(s, far, centre[j]);
        for (size_t i = 0; i < s->n; i++) {
            features(s, i, f);
            double d = distance(f, centre[j], dims);
            nearest[i] = j == 0 || d < nearest[i] ? d : nearest[i];
            far = i == 0 || nearest[i] > nearest[far] ? i : far;
        }
    }
    for (int round = 0; round < MEANS_ROUNDS; round++) {
        memset(sum, 0, most * sizeof *sum);
        memset(members, 0, most * sizeof *members);
        for (size_t i = 0; i < s->n; i++) {
            uint32_t best = 0;
            features(s, i, f);
            double least = distance(f, centre[0], dims);
            for (uint32_t j = 1; j < most; j++) {
                double d = distance(f, centre[j], dims);
                if (d < least) {
                    least = d;
                    best = j;
                }
            }
            s->cluster[i] = (uint8_t)best;
            members[best]++;
            for (uint32_t k = 0; k < dims; k++)
                sum[best][k] += f[k];
        }
        for (uint32_t j = 0; j < most; j++)
            for (uint32_t k = 0; k < dims && members[j]; k++)
                centre[j][k] = sum[j][k] / (double)members[j];
    }
    free(sum);
    free(nearest);
    free(members);
    return 0;
}

/* A cluster's motion to each of the later frames; false when it has too few members. */
static bool fit_samples(struct gs_fit fit[SAMPLES], const struct scan *s, uint8_t cluster)
{
    for (uint32_t u = 0; u < s->samples; u++)
        if (!gs_fit_points(&fit[u], s->start, s->frame[u], s->index, s->n, s->cluster, cluster))
            return false;
    return true;
}

/* Squares of the distances by which such motions miss a Gaussian, summed over the frames. */
static double miss(const struct gs_fit fit[SAMPLES], const struct scan *s, size_t i)
{
    const int32_t *p = s->start + 3 * (size_t)s->index[i];
    double error = 0;
    for (uint32_t u = 0; u < s->samples; u++) {
        const int32_t *t = s->frame[u] + 3 * (size_t)s->index[i];
        double to[3];
        gs_fit_moved(to, &fit[u], (const double[3]){p[0], p[1], p[2]});
        for (int k = 0; k < 3; k++)
            error += (to[k] - t[k]) * (to[k] - t[k]);
    }
    return error;
}

/* Each Gaussian to the cluster whose motion fits it best. */
static int refine(struct scan *s, uint32_t most)
{
    double *least = malloc(s->n * sizeof *least);
    uint8_t *next = malloc(s->n);
    int rc = least && next ? 0 : fv_fail(FV_ENOMEM, "no memory for clusters");
    for (int round = 0; round < RIGID_ROUNDS && rc == 0; round++) {
        memcpy(next, s->cluster, s->n);
        for (size_t i = 0; i < s->n; i++)
            least[i] = HUGE_VAL;
        for (uint32_t j = 0; j < most; j++) {
            struct gs_fit fit[SAMPLES];
            bool all = fit_samples(fit, s, (uint8_t)j);
            for (size_t i = 0; i < s->n && all; i++) {
                double error = miss(fit, s, i);
                if (error < least[i]) {
                    least[i] = error;
                    next[i] = (uint8_t)j;
                }
            }
        }
        memcpy(s->cluster, next, s->n);
    }
    free(least);
    free(next);
    return rc;
}

/* Labels are coded as the nearest neighbour's or not: each Gaussian takes its neighbour's cluster
 * where that is cheaper than its own. Estimates, in bits: a place missed by a step costs a symbol. */
static int smooth(struct scan *s, const struct gs_stream_base *b, uint32_t most)
{
    enum { NONE = 255 };
    const double symbol = 8, other = 6;
    float *cost = malloc(s->n * most * sizeof *cost);
    uint8_t *label = malloc((size_t)b->state.count + 1);
    if (!cost || !label) {
        free(cost);
        free(label);
        return fv_fail(FV_ENOMEM, "no memory for clusters");
    }
    memset(label, NONE, b->state.count);
    for (uint32_t j = 0; j < most; j++) {
        struct gs_fit fit[SAMPLES];
        bool all = fit_samples(fit, s, (uint8_t)j);
        for (size_t i = 0; i < s->n; i++) {
            double step = gs_stream_step(b, GS_POSITION, s->index[i], true);
            cost[i * most + j] = all ? (float)(symbol * sqrt(miss(fit, s, i) / s->samples) / step)
                                     : HUGE_VALF;
        }
    }
    for (size_t i = 0; i < s->n; i++)
        label[s->index[i]] = s->cluster[i];
    for (int round = 0; round < SMOOTH_ROUNDS; round++)
        for (size_t i = 0; i < s->n; i++) {
            uint32_t near = b->near[s->index[i]][0], best = 0;
            uint8_t by = near == ~0u ? NONE : label[near];
            double least = HUGE_VAL;
            for (uint32_t j = 0; j < most; j++) {
                double bits = (double)cost[i * most + j] + (j == by ? 0 : other);
                if (bits < least) {
                    least = bits;
                    best = j;
                }
            }
            if (least < HUGE_VAL)
                label[s->index[i]] = s->cluster[i] = (uint8_t)best;
        }
    free(cost);
    free(label);
    return 0;
}

/* Gaussians that leave their place by most of a step. */
static void find_moving(struct scan *s, const struct gs_stream_base *b, int32_t *const positions[],
                        uint32_t frame_count)
{
    struct gs_steps steps;
    gs_stream_steps(&steps, b, GS_POSITION, true);
    for (uint32_t i = 0; i < b->state.count; i++) {
        int32_t least = gs_step(&steps, i) * 7 / 10;
        bool moves = false;
        for (uint32_t t = 0; t < frame_count && !moves; t++)
            for (size_t k = 0; k < 3; k++) {
                int32_t d = positions[t][3 * (size_t)i + k] - s->start[3 * (size_t)i + k];
                moves = moves || d > least || d < -least;
            }
        if (moves)
            s->index[s->n++] = i;
    }
}

/* Clusters without members leave no number free. A turn's unit moves the farthest member by about
 * a unit. */
static void name_clusters(struct gs_stream_group *g, const struct scan *s, uint32_t most)
{
    uint8_t name[GS_STREAM_MAX_CLUSTERS] = {0};
    size_t members[GS_STREAM_MAX_CLUSTERS] = {0};
    for (size_t i = 0; i < s->n; i++)
        members[s->cluster[i]]++;
    for (uint32_t j = 0; j < most; j++)
        if (members[j] >= LEAST_MEMBERS)
            name[j] = (uint8_t)++g->clusters;
    for (size_t i = 0; i < s->n; i++)
        g->label[s->index[i]] = name[s->cluster[i]];
    gs_stream_set_centres(g);
    double radius[GS_STREAM_MAX_CLUSTERS] = {0};
    for (size_t i = 0; i < g->state.count; i++)
        if (g->label[i]) {
            uint32_t j = g->label[i] - 1u;
            double square = 0;
            for (size_t k = 0; k < 3; k++) {
                double d = g->state.v[GS_POSITION][3 * i + k] - g->rigid[j].centre[k];
                square += d * d;
            }
            radius[j] = square > radius[j] ? square : radius[j];
        }
    for (uint32_t j = 0; j < g->clusters; j++) {
        double shift = floor(log2(0.6 * (1 << 30) / (sqrt(radius[j]) + 1)));
        g->rigid[j].shift = shift < 0 ? 0 : shift > 29 ? 29 : (unsigned)shift;
    }
}

int gs_stream_find_clusters(struct gs_stream_group *g, int32_t *const positions[],
                            uint32_t frame_count, uint32_t most)
{
    struct scan s = {.start = g->state.v[GS_POSITION]};
    s.samples = frame_count < SAMPLES ? frame_count : SAMPLES;
    if (!s.samples || !most)
        return 0;
    for (uint32_t u = 0; u < s.samples; u++) /* spread, the last one among them */
        s.frame[u] = positions[(size_t)(u + 1) * frame_count / s.samples - 1];
    s.index = malloc(((size_t)g->state.count + 1) * sizeof *s.index);
    s.cluster = calloc((size_t)g->state.count + 1, 1);
    int rc = s.index && s.cluster ? 0 : fv_fail(FV_ENOMEM, "no memory for clusters");
    if (rc == 0)
        find_moving(&s, g->base, positions, frame_count);
    if (rc == 0 && s.n >= LEAST_MEMBERS) {
        rc = means(&s, most);
        rc = rc == 0 ? refine(&s, most) : rc;
        rc = rc == 0 ? smooth(&s, g->base, most) : rc;
        if (rc == 0)
            name_clusters(g, &s, most);
    }
    free(s.index);
    free(s.cluster);
    return rc;
}

/* v within what one coded difference can bring about. */
static int32_t near_last(double v, int32_t last)
{
    double least = last - (double)GS_NUMBER_MAX, most = last + (double)GS_NUMBER_MAX;
    return (int32_t)lrint(v < least ? least : v > most ? most : v);
}

void gs_stream_fit_rigid(struct gs_stream_group *g, const struct gs_stream_state *target)
{
    uint32_t count = g->state.count, *index = malloc(((size_t)count + 1) * sizeof *index);
    for (uint32_t i = 0; index && i < count; i++)
        index[i] = i;
    for (uint32_t j = 0; j < g->clusters; j++) {
        struct gs_rigid *r = &g->rigid[j];
        struct gs_fit f;
        for (int k = 0; k < 3; k++)
            r->turn[k] = r->move[k] = 0;
        if (!index || !gs_fit_points(&f, g->state.v[GS_POSITION], target->v[GS_POSITION], index, count,
                                     g->label, (uint8_t)(j + 1)))
            continue;
        double to[3], unit = (double)(1 << 30) / (double)(1u << r->shift);
        double whole = f.q[0] < 0.01 ? 0.9999 : 1; /* half a turn has no sign */
        gs_fit_moved(to, &f, (const double[3]){r->centre[0], r->centre[1], r->centre[2]});
        for (int k = 0; k < 3; k++) {
            r->turn[k] = near_last(f.q[k + 1] * whole * unit, g->last[j].turn[k]);
            r->move[k] = near_last(to[k] - r->centre[k], g->last[j].move[k]);
        }
        struct gs_rigid_matrix m;
        if (!gs_rigid_matrix(&m, r))
            memcpy(r->turn, g->last[j].turn, sizeof r->turn);
    }
    free(index);
}
