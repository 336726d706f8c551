/* Which Gaussians of a frame are those of the frame before (stream.h), where files do not tell.
 *
 * Mostly order is kept: then a row resembles its own successor more than that one's neighbours.
 * Where it is not, rows whose scale, opacity and colour, or whose place, are to the bit those of one
 * row of the other frame are that row; what is left is paired with the nearest in place, size,
 * opacity and colour, where each is nearest to the other. */
#include "gs/scene.h"
#include "gs/stream.h"

#include <stdlib.h>
#include <string.h>

enum { FEATURES = 10, ROUNDS = 4, SAMPLES = 200, MOST_IN_CELL = 48 };

/* What rows are compared by, in parts of what still counts as alike. */
static void features(float out[FEATURES], const struct gs_scene *s, size_t i)
{
    const float *sh = s->sh + i * 3 * (size_t)gs_sh_coefs(s->sh_degree);
    for (size_t k = 0; k < 3; k++) {
        out[k] = s->position[3 * i + k];
        out[3 + k] = 2 * fmaxf(s->scale[3 * i + k], -20);
        out[6 + k] = 2 * sh[k];
    }
    out[9] = 4 * (float)gs_sigmoid(s->opacity[i]);
}

static float *all_features(const struct gs_scene *s)
{
    float *f = malloc((s->count + 1) * FEATURES * sizeof *f);
    for (size_t i = 0; f && i < s->count; i++)
        features(f + FEATURES * i, s, i);
    return f;
}

static float place_square(const float *a, const float *b)
{
    float sum = 0;
    for (int k = 0; k < 3; k++)
        sum += (a[k] - b[k]) * (a[k] - b[k]);
    return sum;
}

static float look_square(const float *a, const float *b)
{
    float sum = 0;
    for (int k = 3; k < FEATURES; k++)
        sum += (a[k] - b[k]) * (a[k] - b[k]);
    return sum;
}

struct match {
    const struct gs_scene *scene[2];
    float *f[2];       /* [count][FEATURES] */
    uint32_t *to;      /* of scene 0's rows */
    uint8_t *taken;    /* of scene 1's */
    uint32_t *left[2]; /* rows without a partner */
    uint32_t lefts[2];
};

/* The part of rows whose successor is more like them than that one's neighbours are: about a third
 * if there is nothing in their order. */
static double order_kept(const struct match *m)
{
    size_t n = m->scene[0]->count, good = 0;
    double sum = 0;
    if (n != m->scene[1]->count)
        return 0;
    for (size_t i = 1; i < n; i++)
        sum += sqrt(place_square(m->f[0] + FEATURES * (i - 1), m->f[0] + FEATURES * i));
    double mean = n > 1 ? sum / (double)(n - 1) : 1;
    float weight = mean > 0 ? (float)(1 / (mean * mean)) : 1;
    for (size_t i = 0; i < n; i++) {
        const float *a = m->f[0] + FEATURES * i, *b = m->f[1] + FEATURES * i;
        float own = weight * place_square(a, b) + look_square(a, b);
        bool best = true;
        if (i)
            best = own <= weight * place_square(a, b - FEATURES) + look_square(a, b - FEATURES);
        if (best && i + 1 < n)
            best = own <= weight * place_square(a, b + FEATURES) + look_square(a, b + FEATURES);
        good += best;
    }
    return (double)good / (double)n;
}

/* ---- rows that are the same to the bit ---- */

struct mark {
    uint64_t hash;
    uint32_t row;
};

static int by_hash(const void *a, const void *b)
{
    const struct mark *x = a, *y = b;
    return x->hash != y->hash ? (x->hash < y->hash ? -1 : 1) : (x->row > y->row) - (x->row < y->row);
}

static uint64_t hash_floats(const float *v, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, v + i, sizeof bits);
        h = (h ^ bits) * 0x100000001b3u;
        h ^= h >> 29;
    }
    return h;
}

static void list_left(struct match *m)
{
    m->lefts[0] = m->lefts[1] = 0;
    for (uint32_t i = 0; i < m->scene[0]->count; i++)
        if (m->to[i] == GS_NO_ROW)
            m->left[0][m->lefts[0]++] = i;
    for (uint32_t i = 0; i < m->scene[1]->count; i++)
        if (!m->taken[i])
            m->left[1][m->lefts[1]++] = i;
}

static void pair(struct match *m, uint32_t a, uint32_t b)
{
    m->to[a] = b;
    m->taken[b] = 1;
}

/* By place, or by look: hashes that each scene has once. */
static int match_equal(struct match *m, bool place)
{
    struct mark *mark[2];
    int rc = 0;
    for (int s = 0; s < 2; s++) {
        mark[s] = malloc((m->lefts[s] + 1) * sizeof *mark[s]);
        for (uint32_t k = 0; mark[s] && k < m->lefts[s]; k++) {
            uint32_t i = m->left[s][k];
            mark[s][k] = (struct mark){hash_floats(m->f[s] + FEATURES * (size_t)i + (place ? 0 : 3),
                                                   place ? 3 : FEATURES - 3), i};
        }
        if (mark[s])
            qsort(mark[s], m->lefts[s], sizeof *mark[s], by_hash);
    }
    if (!mark[0] || !mark[1])
        rc = fv_fail(FV_ENOMEM, "no memory to compare frames");
    uint32_t at[2] = {0, 0}, same[2];
    while (rc == 0 && at[0] < m->lefts[0] && at[1] < m->lefts[1]) {
        uint64_t hash[2] = {mark[0][at[0]].hash, mark[1][at[1]].hash};
        for (int s = 0; s < 2; s++)
            for (same[s] = 1; at[s] + same[s] < m->lefts[s] && mark[s][at[s] + same[s]].hash == hash[s];)
                same[s]++;
        if (hash[0] == hash[1] && same[0] == 1 && same[1] == 1)
            pair(m, mark[0][at[0]].row, mark[1][at[1]].row);
        at[0] += hash[0] <= hash[1] ? same[0] : 0;
        at[1] += hash[1] <= hash[0] ? same[1] : 0;
    }
    free(mark[0]);
    free(mark[1]);
    list_left(m);
    return rc;
}

/* ---- the nearest of points: a hash of cells ---- */

struct cells {
    const float *point; /* row i at stride * i */
    size_t stride;
    float size;
    uint32_t mask, *head, *next; /* by place in a list of rows */
    const uint32_t *row;
};

static uint32_t cell_hash(const int32_t at[3], uint32_t mask)
{
    uint32_t h = (uint32_t)at[0] * 73856093u ^ (uint32_t)at[1] * 19349663u ^ (uint32_t)at[2] * 83492791u;
    return (h ^ h >> 15) & mask;
}

static void cell_of(int32_t at[3], const float *p, float size)
{
    for (int k = 0; k < 3; k++) {
        float v = floorf(p[k] / size);
        at[k] = (int32_t)fminf(fmaxf(v, -1e9f), 1e9f);
    }
}

/* A size such that most of `from` have some of `among` within their own or a neighbouring cell: twice
 * the median of distances to the nearest. */
static int by_float(const void *a, const void *b)
{
    const float *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static float find_size(const float *from, const uint32_t *from_row, uint32_t froms,
                       const struct cells *among, uint32_t amongs)
{
    float nearest[SAMPLES];
    uint32_t n = froms < SAMPLES ? froms : SAMPLES;
    for (uint32_t s = 0; s < n; s++) {
        const float *p = from + among->stride * from_row[(uint64_t)s * froms / n];
        float least = INFINITY;
        for (uint32_t k = 0; k < amongs; k++)
            least = fminf(least, place_square(p, among->point + among->stride * among->row[k]));
        nearest[s] = least;
    }
    qsort(nearest, n, sizeof *nearest, by_float);
    float size = n ? 2 * sqrtf(nearest[n / 2]) : 0;
    return size > 1e-9f ? size : n ? fmaxf(2 * sqrtf(nearest[n - 1]), 1e-9f) : 1;
}

static int fill_cells(struct cells *c, uint32_t n)
{
    c->mask = 63;
    while (c->mask < n)
        c->mask = c->mask * 2 + 1;
    c->head = malloc(((size_t)c->mask + 1) * sizeof *c->head);
    c->next = malloc(((size_t)n + 1) * sizeof *c->next);
    if (!c->head || !c->next)
        return fv_fail(FV_ENOMEM, "no memory to compare frames");
    memset(c->head, 0xff, ((size_t)c->mask + 1) * sizeof *c->head);
    for (uint32_t k = n; k-- > 0;) {
        int32_t at[3];
        cell_of(at, c->point + c->stride * c->row[k], c->size);
        uint32_t h = cell_hash(at, c->mask);
        c->next[k] = c->head[h];
        c->head[h] = k;
    }
    return 0;
}

static void drop_cells(struct cells *c)
{
    free(c->head);
    free(c->next);
}

/* Calls see(ud, k) for what lies in the 27 cells about p (and for what shares their hashes). */
static void around(const struct cells *c, const float *p, void (*see)(void *ud, uint32_t k), void *ud)
{
    int32_t at[3], to[3];
    uint32_t seen[27], n = 0;
    cell_of(at, p, c->size);
    for (int cell = 0; cell < 27; cell++) {
        const int by[3] = {cell % 3 - 1, cell / 3 % 3 - 1, cell / 9 - 1};
        for (int k = 0; k < 3; k++)
            to[k] = at[k] + by[k];
        uint32_t h = cell_hash(to, c->mask), had = 0;
        while (had < n && seen[had] != h)
            had++;
        if (had < n)
            continue;
        seen[n++] = h;
        int left = MOST_IN_CELL;
        for (uint32_t k = c->head[h]; k != GS_NO_ROW && left > 0; k = c->next[k], left--)
            see(ud, k);
    }
}

/* How far a Gaussian may have come: three times what nearly all that are known did, or by its size.
 * Else what dies would be taken for what is born anywhere. Without many that are known, any distance. */
static float find_reach(const struct match *m)
{
    enum { LOOKS = 1000 };
    float came[LOOKS], size[LOOKS];
    size_t n = m->scene[0]->count, known = n - m->lefts[0], used = 0;
    size_t least = (n < m->scene[1]->count ? n : m->scene[1]->count) / 2, step = known / LOOKS + 1, at = 0;
    if (known < least || !known)
        return INFINITY;
    for (size_t i = 0; i < n && used < LOOKS; i++) {
        if (m->to[i] == GS_NO_ROW || at++ % step)
            continue;
        const float *scale = m->scene[0]->scale + 3 * i;
        came[used] = place_square(m->f[0] + FEATURES * i, m->f[1] + FEATURES * (size_t)m->to[i]);
        size[used++] = expf(fmaxf(scale[0], fmaxf(scale[1], scale[2])));
    }
    qsort(came, used, sizeof *came, by_float);
    qsort(size, used, sizeof *size, by_float);
    return fmaxf(fmaxf(3 * sqrtf(came[used * 95 / 100]), 2 * size[used / 2]), 1e-9f);
}

/* ---- pairs that are nearest to each other ---- */

struct search {
    const struct cells *c;
    const float *own;
    float weight; /* of squared distances in place */
    float least, *back_least;
    uint32_t k, best, *back; /* k: own's place in the list */
};

static void look_at(void *ud, uint32_t k)
{
    struct search *s = ud;
    const float most_place = 4, most_look = 4;
    const float *other = s->c->point + FEATURES * (size_t)s->c->row[k];
    float place = s->weight * place_square(s->own, other);
    if (place > most_place)
        return;
    float look = look_square(s->own, other), sum = place + look;
    if (look > most_look)
        return;
    if (sum < s->least) {
        s->least = sum;
        s->best = k;
    }
    if (sum < s->back_least[k]) {
        s->back_least[k] = sum;
        s->back[k] = s->k;
    }
}

/* One round; *found pairs. */
static int match_nearest(struct match *m, uint32_t *found)
{
    uint32_t n[2] = {m->lefts[0], m->lefts[1]};
    struct cells c = {.point = m->f[1], .stride = FEATURES, .row = m->left[1]};
    *found = 0;
    if (!n[0] || !n[1])
        return 0;
    c.size = fminf(find_size(m->f[0], m->left[0], n[0], &c, n[1]), find_reach(m));
    struct search s = {.c = &c, .weight = 1 / (c.size * c.size)};
    uint32_t *best = malloc(((size_t)n[0] + 1) * sizeof *best);
    s.back = malloc(((size_t)n[1] + 1) * sizeof *s.back);
    s.back_least = malloc(((size_t)n[1] + 1) * sizeof *s.back_least);
    int rc = best && s.back && s.back_least ? fill_cells(&c, n[1])
                                            : fv_fail(FV_ENOMEM, "no memory to compare frames");
    for (uint32_t k = 0; rc == 0 && k < n[1]; k++) {
        s.back[k] = GS_NO_ROW;
        s.back_least[k] = INFINITY;
    }
    for (s.k = 0; rc == 0 && s.k < n[0]; s.k++) {
        s.own = m->f[0] + FEATURES * (size_t)m->left[0][s.k];
        s.least = INFINITY;
        s.best = GS_NO_ROW;
        around(&c, s.own, look_at, &s);
        best[s.k] = s.best;
    }
    for (uint32_t k = 0; rc == 0 && k < n[0]; k++)
        if (best[k] != GS_NO_ROW && s.back[best[k]] == k) {
            pair(m, m->left[0][k], m->left[1][best[k]]);
            ++*found;
        }
    drop_cells(&c);
    free(best);
    free(s.back);
    free(s.back_least);
    list_left(m);
    return rc;
}

static int match(struct match *m, bool *kept)
{
    const double all = 0.95, most = 0.6;
    double part = order_kept(m);
    *kept = part >= all;
    for (uint32_t i = 0; i < m->scene[0]->count; i++)
        m->to[i] = *kept ? i : GS_NO_ROW;
    if (*kept)
        return 0;
    list_left(m);
    FV_TRY(match_equal(m, false));
    FV_TRY(match_equal(m, true));
    uint32_t found = 1;
    for (int round = 0; round < ROUNDS && found; round++)
        FV_TRY(match_nearest(m, &found));
    for (uint32_t k = 0; part >= most && k < m->lefts[0]; k++) /* then they moved far */
        if (!m->taken[m->left[0][k]])
            pair(m, m->left[0][k], m->left[0][k]);
    return 0;
}

int gs_stream_match(uint32_t to[], bool *kept, const struct gs_scene *from, const struct gs_scene *now)
{
    struct match m = {.scene = {from, now}, .to = to};
    m.taken = calloc(now->count + 1, 1);
    bool whole = m.taken != NULL;
    for (int s = 0; s < 2; s++) {
        m.f[s] = all_features(m.scene[s]);
        m.left[s] = malloc((m.scene[s]->count + 1) * sizeof *m.left[s]);
        whole = whole && m.f[s] && m.left[s];
    }
    int rc = whole ? match(&m, kept) : fv_fail(FV_ENOMEM, "no memory to compare frames");
    for (int s = 0; s < 2; s++) {
        free(m.f[s]);
        free(m.left[s]);
    }
    free(m.taken);
    return rc;
}

/* ---- the nearest Gaussian of a state ---- */

struct nearest {
    const struct cells *c;
    const float *own;
    float least;
    uint32_t best;
};

static void nearer(void *ud, uint32_t k)
{
    struct nearest *n = ud;
    float d = place_square(n->own, n->c->point + n->c->stride * n->c->row[k]);
    if (d < n->least) {
        n->least = d;
        n->best = k;
    }
}

int gs_stream_nearest(uint32_t out[], const int32_t *from, uint32_t froms, const int32_t *among,
                      uint32_t amongs)
{
    size_t most = froms > amongs ? froms : amongs;
    float *a = malloc(((size_t)froms * 3 + 1) * sizeof *a), *b = malloc(((size_t)amongs * 3 + 1) * sizeof *b);
    uint32_t *row = malloc((most + 1) * sizeof *row);
    struct cells c = {.point = b, .stride = 3, .row = row};
    int rc = a && b && row ? 0 : fv_fail(FV_ENOMEM, "no memory to compare frames");
    for (size_t i = 0; rc == 0 && i < 3 * (size_t)froms; i++)
        a[i] = (float)from[i];
    for (size_t i = 0; rc == 0 && i < 3 * (size_t)amongs; i++)
        b[i] = (float)among[i];
    for (uint32_t i = 0; rc == 0 && i < most; i++)
        row[i] = i;
    if (rc == 0) {
        c.size = find_size(a, row, froms, &c, amongs);
        rc = fill_cells(&c, amongs);
    }
    for (uint32_t i = 0; rc == 0 && i < froms; i++) {
        struct nearest n = {&c, a + 3 * (size_t)i, INFINITY, GS_NO_ROW};
        around(&c, n.own, nearer, &n);
        out[i] = n.best;
    }
    drop_cells(&c);
    free(a);
    free(b);
    free(row);
    return rc;
}
