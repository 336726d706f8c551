/* What SAGS makes of its points before a view is known (SAGS, sec. 3.2 and 3.3; tiny-cuda-nn's HashGrid,
 * Mueller et al. 2022):
 *
 *   m_t     = max over the points s that have t among their neighbours of f_t - f_s, per number
 *   w_st    = 1 / (|p_s - p_t| + e) / (sum over t' of the same + e), 0 for t = s;  e = 1e-8
 *   local_s = f_s + 0.5 mean over the neighbours t of w_st m_t
 *   e_s     = alpha * (hash(p_s), local_s, max over all points of f) + beta
 *
 * Neighbours that are not visible are no neighbours; the mean is over those that are left, the point
 * itself among them. */
#include "neural/neural_private.h"
#include "vk/base/thread.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- hash grid ---- */

enum { BASE = 16, LOG2_ENTRIES = 15 };
static const float growth = 1.447f;

/* In float32, as tiny-cuda-nn computes it: at the finest levels a rounding moves a point by its size. */
static float level_scale(int level)
{
    return exp2f((float)level * log2f(growth)) * BASE - 1;
}

static uint32_t level_resolution(int level)
{
    return (uint32_t)ceilf(level_scale(level)) + 1;
}

void nl_hash_offsets(uint32_t out[NL_HASH_LEVELS + 1])
{
    out[0] = 0;
    for (int l = 0; l < NL_HASH_LEVELS; l++) {
        uint64_t r = level_resolution(l), n = (r * r * r + 7) / 8 * 8, most = 1u << LOG2_ENTRIES;
        out[l + 1] = out[l] + (uint32_t)(n < most ? n : most);
    }
}

void nl_hash_level(int level, struct nl_level *out)
{
    uint32_t first[NL_HASH_LEVELS + 1];
    nl_hash_offsets(first);
    *out = (struct nl_level){level_scale(level), level_resolution(level), first[level],
                             first[level + 1] - first[level]};
}

/* Cells and fractions are taken in float32, as kernels do: a cell is a matter of rounding. */
static void hash_level(const float *table, uint32_t entries, int level, const float *p, float out[2])
{
    float scale = level_scale(level), frac[3];
    uint32_t r = level_resolution(level), cell[3];
    double sum[2] = {0, 0};
    for (int a = 0; a < 3; a++) {
        float at = fmaf(scale, p[a], 0.5f), whole = floorf(at);
        cell[a] = (uint32_t)(int32_t)fmaxf(fminf(whole, 2147483520.0f), -2147483648.0f);
        frac[a] = at - whole;
    }
    for (uint32_t corner = 0; corner < 8; corner++) {
        uint32_t c[3];
        double w = 1;
        for (uint32_t a = 0; a < 3; a++) {
            uint32_t up = corner >> a & 1;
            c[a] = cell[a] + up;
            w *= up ? (double)frac[a] : 1 - (double)frac[a];
        }
        bool dense = (uint64_t)r * r * r <= entries;
        uint32_t index = dense ? c[0] + c[1] * r + c[2] * r * r
                               : c[0] ^ c[1] * 2654435761u ^ c[2] * 805459861u;
        const float *entry = table + 2 * (size_t)(index % entries);
        sum[0] += w * (double)entry[0];
        sum[1] += w * (double)entry[1];
    }
    out[0] = (float)sum[0];
    out[1] = (float)sum[1];
}

/* ---- graph ---- */

struct encoding {
    const struct nl_model *m;
    struct nl_encoded *e;
    uint32_t *row; /* of the result, of a point; UINT32_MAX: not visible */
    uint32_t count; /* rows of points that are no midpoints */
    float *greatest;
};

static void spread(struct encoding *x)
{
    const struct nl_model *m = x->m;
    uint32_t width = m->feature;
    for (uint32_t s = 0; s < x->count; s++) {
        uint32_t i = x->e->index[s];
        const float *from = m->features + (size_t)width * i;
        for (uint32_t k = 0; k < m->neighbours; k++) {
            uint32_t j = m->neighbour[(size_t)m->neighbours * i + k], t = x->row[j];
            const float *to = m->features + (size_t)width * j;
            float *out = t == UINT32_MAX ? NULL : x->e->message + (size_t)width * t;
            for (uint32_t c = 0; out && c < width; c++)
                out[c] = fmaxf(out[c], to[c] - from[c]);
        }
    }
}

static double inverse_distance(const float *a, const float *b)
{
    double sum = 0;
    for (int k = 0; k < 3; k++)
        sum += ((double)a[k] - (double)b[k]) * ((double)a[k] - (double)b[k]);
    return 1 / (sqrt(sum) + 1e-8);
}

/* local_s of a visible point. */
static void gather(const struct encoding *x, uint32_t s, float *out)
{
    const struct nl_model *m = x->m;
    uint32_t i = x->e->index[s], width = m->feature, edges = 0;
    const uint32_t *list = m->neighbour + (size_t)m->neighbours * i;
    double inverse[64], total = 0, sum[NL_MAX_FEATURE] = {0};
    for (uint32_t k = 0; k < m->neighbours; k++) {
        bool there = x->row[list[k]] != UINT32_MAX;
        inverse[k] = there && list[k] != i ? inverse_distance(m->position + 3 * (size_t)i,
                                                              m->position + 3 * (size_t)list[k])
                                           : 0;
        total += inverse[k];
        edges += there;
    }
    for (uint32_t k = 0; k < m->neighbours; k++) {
        if (!(inverse[k] > 0))
            continue;
        const float *message = x->e->message + (size_t)width * x->row[list[k]];
        for (uint32_t c = 0; c < width; c++)
            sum[c] += inverse[k] / (total + 1e-8) * (double)message[c];
    }
    for (uint32_t c = 0; c < width; c++)
        out[c] = (float)((double)m->features[(size_t)width * i + c] + 0.5 * sum[c] / edges);
}

static int encode_rows(void *ud, size_t begin, size_t end)
{
    const struct encoding *x = ud;
    const struct nl_model *m = x->m;
    uint32_t entries[NL_HASH_LEVELS + 1];
    nl_hash_offsets(entries);
    for (size_t s = begin; s < end; s++) {
        float *out = x->e->feature + s * x->e->width, *hash = x->e->hash + s * NL_HASH_WIDTH;
        const float *p = m->position + 3 * (size_t)x->e->index[s];
        for (int l = 0; l < NL_HASH_LEVELS; l++)
            hash_level(m->hash + 2 * (size_t)entries[l], entries[l + 1] - entries[l], l, p,
                       hash + 2 * l);
        memcpy(out, hash, NL_HASH_WIDTH * sizeof *out);
        gather(x, (uint32_t)s, out + NL_HASH_WIDTH);
        memcpy(out + NL_HASH_WIDTH + m->feature, x->greatest, m->feature * sizeof *out);
        for (uint32_t c = 0; c < x->e->width; c++)
            out[c] = (float)((double)m->alpha[c] * (double)out[c] + (double)m->beta[c]);
    }
    return 0;
}

/* SAGS-Lite: a midpoint's row is the mean of the two it lies between, after their aggregation. */
void nl_between(const struct nl_model *m, struct nl_encoded *e)
{
    uint32_t points = m->count - m->midpoints, width = e->width;
    for (uint32_t k = 0; k < m->midpoints; k++) {
        const float *a = e->feature + (size_t)m->pair[2 * k] * width,
                    *b = e->feature + (size_t)m->pair[2 * k + 1] * width;
        float *out = e->feature + (size_t)(points + k) * width;
        for (uint32_t c = 0; c < width; c++)
            out[c] = 0.5f * (a[c] + b[c]);
    }
}

void nl_greatest(const struct nl_model *m, const struct nl_encoded *e, uint32_t count, float *out)
{
    for (uint32_t c = 0; c < m->feature; c++)
        out[c] = -INFINITY;
    for (uint32_t s = 0; s < count; s++)
        for (uint32_t c = 0; c < m->feature; c++)
            out[c] = fmaxf(out[c], m->features[(size_t)m->feature * e->index[s] + c]);
}

static int encode(struct encoding *x)
{
    const struct nl_model *m = x->m;
    struct nl_encoded *e = x->e;
    x->greatest = nl_room(&e->arena, m->feature, sizeof *x->greatest);
    e->hash = nl_room(&e->arena, (size_t)e->count * NL_HASH_WIDTH, sizeof *e->hash);
    e->message = nl_room(&e->arena, (size_t)e->count * m->feature, sizeof *e->message);
    e->feature = nl_room(&e->arena, (size_t)e->count * e->width, sizeof *e->feature);
    if (!x->greatest || !e->hash || !e->message || !e->feature)
        return FV_ENOMEM;
    nl_greatest(m, e, x->count, x->greatest);
    spread(x);
    FV_TRY(fv_parallel(x->count, 256, encode_rows, x));
    nl_between(m, e);
    return 0;
}

/* Scaffold-GS: the features as they are. */
static int copy_rows(const struct nl_model *m, struct nl_encoded *e)
{
    e->feature = nl_room(&e->arena, (size_t)e->count * m->feature, sizeof *e->feature);
    for (uint32_t s = 0; e->feature && s < e->count; s++)
        memcpy(e->feature + (size_t)s * m->feature, m->features + (size_t)e->index[s] * m->feature,
               m->feature * sizeof *e->feature);
    return e->feature ? 0 : FV_ENOMEM;
}

int nl_encode(struct nl_model *m, const uint8_t *visible, struct nl_encoded *e)
{
    struct encoding x = {.m = m, .e = e};
    int rc = 0;
    *e = (struct nl_encoded){.width = nl_encoded_width(m)};
    if (visible && m->midpoints)
        return fv_fail(FV_EUNSUPPORTED, "midpoints need all points");
    if (m->arch == NL_SAGS)
        FV_TRY(nl_graph(m));
    e->index = nl_room(&e->arena, m->count, sizeof *e->index);
    x.row = malloc(m->count * sizeof *x.row);
    if (!e->index || !x.row)
        FV_GOTO(fv_fail(FV_ENOMEM, "out of memory for %u anchors", m->count));
    for (uint32_t i = 0; i < m->count; i++) {
        bool seen = !visible || visible[i];
        x.row[i] = seen ? e->count : UINT32_MAX;
        if (seen)
            e->index[e->count++] = i;
    }
    x.count = e->count - m->midpoints;
    rc = m->arch == NL_SAGS ? encode(&x) : copy_rows(m, e);
done:
    free(x.row);
    if (rc < 0)
        nl_encoded_finish(e);
    return rc;
}

void nl_encoded_finish(struct nl_encoded *e)
{
    fv_arena_finish(&e->arena);
    *e = (struct nl_encoded){0};
}
