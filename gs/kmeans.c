/* Vector quantisation (kmeans.h).
 *
 * Numbers: the sorted values are cut into eight times as many cells as wanted, the cell of
 * largest squared error first; dynamic programming finds the best way of joining neighbours,
 * and Lloyd's iteration moves the borders to where values lie. Prefix sums make it cheap.
 *
 * Points: the same greedy cutting, each cell across its axis of largest variance, gives k cells
 * (a tree-structured quantiser) in O(n log k). On the way, about k/64 larger cells are kept as
 * groups: Lloyd's iteration then looks for a point's nearest centroid only in its own group and
 * the groups next to it, a few hundred centroids in place of 65536. */
#include "gs/kmeans.h"
#include "vk/base/half.h"
#include "vk/base/thread.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* ---- numbers ---- */

/* Maps the order of floats to that of unsigned integers, and back. */
static uint32_t float_key(float f)
{
    uint32_t u = fv_f32_bits(f);
    return u & 0x80000000 ? ~u : u | 0x80000000;
}

static float key_float(uint32_t k)
{
    return fv_bits_f32(k & 0x80000000 ? k & 0x7fffffff : ~k);
}

/* Radix sort of n keys, 11 bits a pass; spare holds n keys too. Three passes: ends in spare. */
static void sort_keys(uint32_t *keys, uint32_t *spare, size_t n)
{
    for (int shift = 0; shift < 33; shift += 11) {
        size_t start[2049] = {0};
        for (size_t i = 0; i < n; i++)
            start[(keys[i] >> shift & 2047) + 1]++;
        for (size_t b = 0; b < 2048; b++)
            start[b + 1] += start[b];
        for (size_t i = 0; i < n; i++)
            spare[start[keys[i] >> shift & 2047]++] = keys[i];
        uint32_t *t = keys;
        keys = spare;
        spare = t;
    }
}

/* Finite values in ascending order with running sums: sum[i] = v[0] + ... + v[i-1]. */
struct sorted {
    float *v;
    double *sum, *square;
    size_t n;
};

static void sorted_free(struct sorted *s)
{
    free(s->v);
    free(s->sum);
    free(s->square);
}

static int sorted_fill(struct sorted *s, const float *values, size_t n)
{
    uint32_t *keys = malloc((n ? n : 1) * sizeof *keys),
             *spare = malloc((n ? n : 1) * sizeof *spare);
    *s = (struct sorted){0};
    if (!keys || !spare) {
        free(keys);
        free(spare);
        return fv_fail(FV_ENOMEM, "out of memory for %zu values", n);
    }
    for (size_t i = 0; i < n; i++)
        if (isfinite(values[i]))
            keys[s->n++] = float_key(values[i] + 0.0f); /* -0 and 0 are one value */
    sort_keys(keys, spare, s->n);
    s->v = (float *)keys;
    s->sum = malloc((s->n + 1) * sizeof *s->sum);
    s->square = malloc((s->n + 1) * sizeof *s->square);
    if (!s->sum || !s->square) {
        free(spare);
        sorted_free(s);
        return fv_fail(FV_ENOMEM, "out of memory for %zu values", n);
    }
    s->sum[0] = s->square[0] = 0;
    for (size_t i = 0; i < s->n; i++) {
        float f = key_float(spare[i]);
        s->v[i] = f;
        s->sum[i + 1] = s->sum[i] + f;
        s->square[i + 1] = s->square[i] + (double)f * f;
    }
    free(spare);
    return 0;
}

/* First index in [from,to) whose value is above `border`; `to` if none. */
static size_t first_above(const struct sorted *s, size_t from, size_t to, double border)
{
    while (from < to) {
        size_t mid = from + (to - from) / 2;
        if (s->v[mid] > border)
            to = mid;
        else
            from = mid + 1;
    }
    return from;
}

struct cell {
    size_t begin, end;
    double error;
};

static double cell_error(const struct sorted *s, size_t begin, size_t end)
{
    if (s->v[begin] == s->v[end - 1])
        return 0; /* whatever rounding says */
    double sum = s->sum[end] - s->sum[begin], square = s->square[end] - s->square[begin];
    double error = square - sum * sum / (double)(end - begin);
    return error > 0 ? error : 1e-300;
}

/* Cuts until there are k cells or every cell holds one value; returns the number. */
static size_t cut_cells(const struct sorted *s, struct cell *cells, size_t k)
{
    size_t count = 1;
    cells[0] = (struct cell){0, s->n, cell_error(s, 0, s->n)};
    while (count < k) {
        size_t worst = 0;
        for (size_t i = 1; i < count; i++)
            if (cells[i].error > cells[worst].error)
                worst = i;
        struct cell c = cells[worst];
        if (c.error <= 0)
            break;
        double mean = (s->sum[c.end] - s->sum[c.begin]) / (double)(c.end - c.begin);
        size_t cut = first_above(s, c.begin, c.end, mean);
        if (cut == c.begin || cut == c.end)
            cut = first_above(s, c.begin, c.end, s->v[c.begin]);
        cells[worst] = (struct cell){c.begin, cut, cell_error(s, c.begin, cut)};
        cells[count++] = (struct cell){cut, c.end, cell_error(s, cut, c.end)};
    }
    return count;
}

static int compare_cells(const void *a, const void *b)
{
    const struct cell *x = a, *y = b;
    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

/* Lloyd's iteration on cells in ascending order; book gets their means. Returns how many cells
 * still have values. */
static size_t lloyd_cells(const struct sorted *s, struct cell *cells, float *book, size_t k)
{
    enum { ROUNDS = 64 };
    for (int round = 0; round < ROUNDS; round++) {
        bool moved = false;
        for (size_t i = 0; i < k; i++) {
            const struct cell *c = &cells[i];
            if (c->end == c->begin)
                continue;
            float mean = (float)((s->sum[c->end] - s->sum[c->begin]) / (double)(c->end - c->begin));
            book[i] = s->v[c->begin] == s->v[c->end - 1] ? s->v[c->begin] : mean;
        }
        for (size_t i = 0; i + 1 < k; i++) {
            size_t border =
                first_above(s, cells[i].begin, s->n, ((double)book[i] + book[i + 1]) / 2);
            moved |= border != cells[i].end;
            cells[i].end = cells[i + 1].begin = border;
        }
        if (!moved)
            break;
    }
    size_t kept = 0;
    for (size_t i = 0; i < k; i++)
        if (cells[i].end > cells[i].begin)
            book[kept++] = book[i];
    return kept;
}

/* The best first cell for the last of m joined ones that ends with cell `end`, for all ends in
 * [low,high): it never decreases with `end`, which halves the search at every level (divide and
 * conquer). before[e]: least error of m-1 joined cells over cells 0..e. */
struct join {
    const struct sorted *s;
    const struct cell *cells;
    const double *before;
    double *error;   /* [cells] out */
    uint16_t *first; /* [cells] out */
};

static void join_ends(const struct join *j, size_t low, size_t high, size_t from, size_t to)
{
    if (low >= high)
        return;
    size_t end = low + (high - low) / 2, best = from;
    double least = INFINITY;
    for (size_t first = from; first <= to && first <= end; first++) {
        double e =
            j->before[first - 1] + cell_error(j->s, j->cells[first].begin, j->cells[end].end);
        if (e < least) {
            least = e;
            best = first;
        }
    }
    j->error[end] = least;
    j->first[end] = (uint16_t)best;
    join_ends(j, low, end, from, best);
    join_ends(j, end + 1, high, best, to);
}

/* Joins n cells in ascending order into the k < n that have the least error, in place. */
static int join_cells(const struct sorted *s, struct cell *cells, size_t n, size_t k)
{
    double *error = malloc(2 * n * sizeof *error), *before = error + n;
    uint16_t *first = malloc(k * n * sizeof *first);
    if (!error || !first) {
        free(error);
        free(first);
        return fv_fail(FV_ENOMEM, "out of memory");
    }
    for (size_t e = 0; e < n; e++)
        before[e] = cell_error(s, 0, cells[e].end);
    for (size_t m = 1; m < k; m++) {
        struct join j = {s, cells, before, error, first + m * n};
        join_ends(&j, m, n, m, n - 1);
        memcpy(before + m, error + m, (n - m) * sizeof *before);
    }
    size_t end = n - 1;
    for (size_t m = k; m-- > 0;) {
        size_t begin = m ? first[m * n + end] : 0;
        struct cell joined = {cells[begin].begin, cells[end].end, 0};
        cells[n - k + m] = joined; /* at or behind every cell still needed */
        end = begin - 1;
    }
    memmove(cells, cells + n - k, k * sizeof *cells);
    free(error);
    free(first);
    return 0;
}

static int finite_codebook(float *book, size_t *used, const struct sorted *s, size_t k)
{
    enum { FINER = 8 };
    struct cell *cells = malloc(FINER * k * sizeof *cells);
    if (!cells)
        return fv_fail(FV_ENOMEM, "out of memory");
    size_t n = cut_cells(s, cells, FINER * k);
    qsort(cells, n, sizeof *cells, compare_cells);
    int rc = n > k ? join_cells(s, cells, n, k) : 0;
    *used = rc == 0 ? lloyd_cells(s, cells, book, n < k ? n : k) : 0;
    free(cells);
    return rc;
}

int gs_codebook(float *book, size_t *used, const float *values, size_t n, size_t k)
{
    enum { BEYOND = 20 }; /* in ln scale: a factor of 2e-9, nothing */
    struct sorted s;
    bool low = false, high = false;
    for (size_t i = 0; i < n; i++) {
        low |= values[i] == -INFINITY;
        high |= values[i] == INFINITY;
    }
    FV_TRY(sorted_fill(&s, values, n));
    size_t finite = 0;
    int rc = 0;
    if (s.n)
        rc = finite_codebook(book + low, &finite, &s, k - low - high);
    if (low)
        book[0] = (finite ? book[1] : 0) - BEYOND;
    if (high)
        book[low + finite] = (finite ? book[low + finite - 1] : 0) + BEYOND;
    *used = low + finite + high;
    if (!*used)
        book[(*used)++] = 0;
    sorted_free(&s);
    return rc;
}

size_t gs_codebook_nearest(const float *book, size_t used, float v)
{
    size_t low = 0, high = used - 1;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (v > (book[mid] + book[mid + 1]) * 0.5f)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* ---- points ---- */

enum {
    LANES = 16,    /* partial sums of a distance, for the vector unit */
    MAX_DIMS = 48, /* a multiple of LANES */
    GROUP_SIZE = 64,
    NEIGHBOURS = 5, /* groups looked at, the own one included */
    ROUNDS = 5,
    POINTS_GRAIN = 1024,
};

struct node {
    size_t begin, end; /* of order[] */
    double error;
    uint32_t axis, group;
};

struct tree {
    const float *x; /* [n][stride], colour channels decorrelated */
    size_t stride;
    uint32_t *order;
    struct node *nodes;
    uint32_t *heap; /* node indices, largest error first */
    size_t count;
};

/* Coefficients come as RGB triples, whose channels mostly move together: brightness and two
 * differences (an orthonormal basis, so distances stay) give the cuts better axes. */
static void decorrelate(float *out, const float *in, size_t dims, size_t stride)
{
    memset(out, 0, stride * sizeof *out);
    size_t d = 0;
    for (; d + 3 <= dims && dims % 3 == 0; d += 3) {
        float r = in[d], g = in[d + 1], b = in[d + 2];
        out[d] = (r + g + b) * 0.57735027f;
        out[d + 1] = (r - b) * 0.70710678f;
        out[d + 2] = (r - 2 * g + b) * 0.40824829f;
    }
    for (; d < dims; d++)
        out[d] = in[d];
}

/* Squared error of a cell and the axis that has most of it. */
static void measure(const struct tree *t, struct node *c)
{
    double mean[MAX_DIMS] = {0}, spread[MAX_DIMS] = {0};
    for (size_t i = c->begin; i < c->end; i++)
        for (size_t d = 0; d < t->stride; d++)
            mean[d] += t->x[t->order[i] * t->stride + d];
    for (size_t d = 0; d < t->stride; d++)
        mean[d] /= (double)(c->end - c->begin);
    for (size_t i = c->begin; i < c->end; i++)
        for (size_t d = 0; d < t->stride; d++) {
            double e = t->x[t->order[i] * t->stride + d] - mean[d];
            spread[d] += e * e;
        }
    c->error = 0;
    c->axis = 0;
    for (size_t d = 0; d < t->stride; d++) {
        c->error += spread[d];
        if (spread[d] > spread[c->axis])
            c->axis = (uint32_t)d;
    }
}

/* Moves the points at or below `border` to the front; returns where the others begin. */
static size_t part(struct tree *t, const struct node *c, float border)
{
    size_t front = c->begin, back = c->end;
    while (front < back) {
        uint32_t p = t->order[front];
        if (t->x[p * t->stride + c->axis] <= border) {
            front++;
        } else {
            t->order[front] = t->order[--back];
            t->order[back] = p;
        }
    }
    return front;
}

static size_t cut(struct tree *t, const struct node *c)
{
    double sum = 0;
    float least = INFINITY;
    for (size_t i = c->begin; i < c->end; i++) {
        float v = t->x[t->order[i] * t->stride + c->axis];
        sum += v;
        least = v < least ? v : least;
    }
    size_t at = part(t, c, (float)(sum / (double)(c->end - c->begin)));
    return at == c->begin || at == c->end ? part(t, c, least) : at;
}

static bool worse(const struct tree *t, uint32_t a, uint32_t b)
{
    const struct node *x = &t->nodes[a], *y = &t->nodes[b];
    return x->error > y->error || (x->error == y->error && a < b);
}

static void sift_down(struct tree *t, size_t at)
{
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= t->count)
            return;
        if (child + 1 < t->count && worse(t, t->heap[child + 1], t->heap[child]))
            child++;
        if (!worse(t, t->heap[child], t->heap[at]))
            return;
        uint32_t h = t->heap[at];
        t->heap[at] = t->heap[child];
        t->heap[child] = h;
        at = child;
    }
}

static void sift_up(struct tree *t, size_t at)
{
    while (at && worse(t, t->heap[at], t->heap[(at - 1) / 2])) {
        uint32_t h = t->heap[at];
        t->heap[at] = t->heap[(at - 1) / 2];
        t->heap[(at - 1) / 2] = h;
        at = (at - 1) / 2;
    }
}

/* Cuts the worst cell until there are `cells`, or all points of every cell are equal. */
static void grow(struct tree *t, size_t cells)
{
    while (t->count < cells) {
        struct node *c = &t->nodes[t->heap[0]], *more = &t->nodes[t->count];
        if (c->error <= 0)
            return;
        size_t at = cut(t, c);
        if (at == c->begin || at == c->end) {
            c->error = 0; /* equal but for rounding */
            sift_down(t, 0);
            continue;
        }
        *more = (struct node){.begin = at, .end = c->end, .group = c->group};
        c->end = at;
        measure(t, c);
        measure(t, more);
        sift_down(t, 0);
        t->heap[t->count] = (uint32_t)t->count;
        sift_up(t, t->count++);
    }
}

static int compare_nodes(const void *a, const void *b)
{
    const struct node *x = a, *y = b;
    if (x->group != y->group)
        return x->group < y->group ? -1 : 1;
    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

struct lloyd {
    struct tree tree;
    size_t n, dims, groups;
    const float *points; /* as given */
    float *centroids;    /* decorrelated, [cells][stride], group by group */
    uint32_t *first;     /* [groups + 1] first cell of each group */
    uint32_t *group;     /* [cells] */
    uint32_t *near;      /* [groups][NEIGHBOURS], own group first */
    uint32_t *labels;    /* [n] */
};

static float distance(const float *a, const float *b, size_t stride)
{
    float lane[LANES] = {0}, sum = 0;
    for (size_t d = 0; d < stride; d += LANES)
        for (size_t k = 0; k < LANES; k++) {
            float e = a[d + k] - b[d + k];
            lane[k] += e * e;
        }
    for (size_t k = 0; k < LANES; k++)
        sum += lane[k];
    return sum;
}

static int assign(void *ud, size_t begin, size_t end)
{
    struct lloyd *l = ud;
    size_t stride = l->tree.stride;
    for (size_t i = begin; i < end; i++) {
        uint32_t p = l->tree.order[i], best = l->labels[p];
        const float *x = l->tree.x + p * stride;
        float least = distance(x, l->centroids + best * stride, stride);
        const uint32_t *near = l->near + l->group[best] * NEIGHBOURS;
        for (int g = 0; g < NEIGHBOURS; g++) {
            for (uint32_t c = l->first[near[g]]; c < l->first[near[g] + 1]; c++) {
                float d = distance(x, l->centroids + c * stride, stride);
                if (d < least) {
                    least = d;
                    best = c;
                }
            }
        }
        l->labels[p] = best;
    }
    return 0;
}

/* Means of the members of each cell, over rows of `x`; a cell without members keeps its
 * centroid. counts[cells] is filled. */
static int update(const struct lloyd *l, const float *x, size_t stride, float *centroids,
                  uint32_t *counts)
{
    size_t cells = l->tree.count;
    double *sums = calloc(cells * stride, sizeof *sums);
    if (!sums)
        return fv_fail(FV_ENOMEM, "out of memory for %zu clusters", cells);
    memset(counts, 0, cells * sizeof *counts);
    for (size_t i = 0; i < l->n; i++) {
        counts[l->labels[i]]++;
        for (size_t d = 0; d < stride; d++)
            sums[l->labels[i] * stride + d] += x[i * stride + d];
    }
    for (size_t c = 0; c < cells; c++)
        for (size_t d = 0; d < stride && counts[c]; d++)
            centroids[c * stride + d] = (float)(sums[c * stride + d] / counts[c]);
    free(sums);
    return 0;
}

/* The groups nearest to each group by the mean of their centroids. */
static int find_near(struct lloyd *l)
{
    size_t stride = l->tree.stride;
    float *centre = calloc(l->groups * stride, sizeof *centre);
    if (!centre)
        return fv_fail(FV_ENOMEM, "out of memory for clusters");
    for (size_t g = 0; g < l->groups; g++)
        for (uint32_t c = l->first[g]; c < l->first[g + 1]; c++)
            for (size_t d = 0; d < stride; d++)
                centre[g * stride + d] +=
                    l->centroids[c * stride + d] / (float)(l->first[g + 1] - l->first[g]);
    for (size_t g = 0; g < l->groups; g++) {
        float best[NEIGHBOURS];
        uint32_t *near = l->near + g * NEIGHBOURS;
        for (int k = 0; k < NEIGHBOURS; k++) {
            best[k] = INFINITY;
            near[k] = (uint32_t)g;
        }
        for (size_t o = 0; o < l->groups; o++) {
            float d = o == g ? -1 : distance(centre + g * stride, centre + o * stride, stride);
            int k = NEIGHBOURS - 1;
            if (d >= best[k])
                continue;
            for (; k && d < best[k - 1]; k--) {
                best[k] = best[k - 1];
                near[k] = near[k - 1];
            }
            best[k] = d;
            near[k] = (uint32_t)o;
        }
    }
    free(centre);
    return 0;
}

/* Numbers the cells group by group and labels the points by the cell they lie in. */
static void number_cells(struct lloyd *l)
{
    struct tree *t = &l->tree;
    qsort(t->nodes, t->count, sizeof *t->nodes, compare_nodes);
    for (size_t c = 0; c < t->count; c++) {
        l->group[c] = t->nodes[c].group;
        l->first[l->group[c] + 1] = (uint32_t)c + 1;
        for (size_t i = t->nodes[c].begin; i < t->nodes[c].end; i++)
            l->labels[t->order[i]] = (uint32_t)c;
    }
}

static int progress(fv_progress_fn on_progress, void *ud, int done, int total)
{
    struct fv_progress p = {"clustering SH", done, total};
    return on_progress && on_progress(ud, &p) ? fv_fail(FV_ECANCELLED, "cancelled") : 0;
}

/* Everything but the final means. counts[k]. */
static int cluster(struct lloyd *l, size_t k, uint32_t *counts, fv_progress_fn on_progress,
                   void *ud)
{
    struct tree *t = &l->tree;
    t->count = 1;
    t->nodes[0] = (struct node){.end = l->n};
    measure(t, &t->nodes[0]);
    FV_TRY(progress(on_progress, ud, 0, ROUNDS + 2));
    grow(t, k / GROUP_SIZE ? k / GROUP_SIZE : 1);
    l->groups = t->count;
    for (size_t g = 0; g < t->count; g++)
        t->nodes[g].group = (uint32_t)g;
    FV_TRY(progress(on_progress, ud, 1, ROUNDS + 2));
    grow(t, k);
    bool exact = t->nodes[t->heap[0]].error <= 0;
    number_cells(l);
    FV_TRY(update(l, t->x, t->stride, l->centroids, counts));
    FV_TRY(find_near(l));
    for (int round = 0; round < ROUNDS && !exact; round++) {
        FV_TRY(progress(on_progress, ud, round + 2, ROUNDS + 2));
        FV_TRY(fv_parallel(l->n, POINTS_GRAIN, assign, l));
        FV_TRY(update(l, t->x, t->stride, l->centroids, counts));
    }
    return 0;
}

/* Leaves out cells without members; centroids become means of the points as given. */
static int finish_clusters(struct gs_clusters *out, struct lloyd *l, uint32_t *counts)
{
    size_t cells = l->tree.count;
    uint32_t *number = l->group; /* no longer needed */
    for (size_t c = 0; c < cells; c++) {
        number[c] = (uint32_t)out->count;
        out->count += counts[c] != 0;
    }
    for (size_t i = 0; i < l->n; i++)
        l->labels[i] = number[l->labels[i]];
    l->tree.count = out->count;
    out->centroids = calloc(out->count * l->dims, sizeof(float));
    if (!out->centroids)
        return fv_fail(FV_ENOMEM, "out of memory for %zu clusters", out->count);
    FV_TRY(update(l, l->points, l->dims, out->centroids, counts));
    out->labels = l->labels;
    l->labels = NULL;
    return 0;
}

int gs_cluster(struct gs_clusters *out, const float *points, size_t n, size_t dims, size_t k,
               fv_progress_fn on_progress, void *ud)
{
    *out = (struct gs_clusters){0};
    if (!n || !k || dims > MAX_DIMS)
        return fv_fail(FV_EINVALID, "%zu points of %zu numbers cannot make %zu clusters", n, dims,
                       k);
    size_t stride = (dims + LANES - 1) / LANES * LANES;
    float *x = malloc(n * stride * sizeof *x);
    uint32_t *counts = malloc(k * sizeof *counts);
    struct lloyd l = {.n = n, .dims = dims, .points = points};
    l.tree.x = x;
    l.tree.stride = stride;
    l.tree.order = malloc(n * sizeof(uint32_t));
    l.tree.nodes = malloc(k * sizeof(struct node));
    l.tree.heap = calloc(k, sizeof(uint32_t));
    l.centroids = calloc(k * stride, sizeof(float));
    l.first = calloc(k + 1, sizeof(uint32_t));
    l.group = malloc(k * sizeof(uint32_t));
    l.near = malloc(k * NEIGHBOURS * sizeof(uint32_t));
    l.labels = malloc(n * sizeof(uint32_t));
    int rc = fv_fail(FV_ENOMEM, "out of memory for %zu clusters of %zu points", k, n);
    if (x && counts && l.tree.order && l.tree.nodes && l.tree.heap && l.centroids && l.first &&
        l.group && l.near && l.labels) {
        for (size_t i = 0; i < n; i++) {
            decorrelate(x + i * stride, points + i * dims, dims, stride);
            l.tree.order[i] = (uint32_t)i;
        }
        rc = cluster(&l, k, counts, on_progress, ud);
        if (rc == 0)
            rc = finish_clusters(out, &l, counts);
    }
    free(x);
    free(counts);
    free(l.tree.order);
    free(l.tree.nodes);
    free(l.tree.heap);
    free(l.centroids);
    free(l.first);
    free(l.group);
    free(l.near);
    free(l.labels);
    if (rc < 0)
        gs_clusters_free(out);
    return rc;
}

void gs_clusters_free(struct gs_clusters *c)
{
    free(c->centroids);
    free(c->labels);
    *c = (struct gs_clusters){0};
}
