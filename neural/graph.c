/* The exact graph of nearest neighbours (SAGS, sec. 3.2), by distances in float32, (x x + y y) + z z, as
 * its authors' code and the kernels have them, which are the same bits on every machine: points in the cells of a grid, searched shell
 * by shell until nothing further out can be nearer than the farthest kept. */
#include "neural/neural_private.h"
#include "shaders/neural/params.h"
#include "vk/base/thread.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PER_CELL = 4, MAX_AXIS = 256 };

struct grid {
    const float *position;
    uint32_t count, k, n[3];
    double low[3], cell;
    uint32_t *start, *item; /* points of cell c: item[start[c]] to start[c + 1] */
    uint32_t *out;
};

static int cell_of(const struct grid *g, const float *p, int axis)
{
    double at = floor(((double)p[axis] - g->low[axis]) / g->cell);
    return at < 0 ? 0 : at >= g->n[axis] ? (int)g->n[axis] - 1 : (int)at;
}

static size_t cell_index(const struct grid *g, int x, int y, int z)
{
    return ((size_t)z * g->n[1] + (size_t)y) * g->n[0] + (size_t)x;
}

static size_t cell_at(const struct grid *g, uint32_t i)
{
    const float *p = g->position + 3 * (size_t)i;
    return cell_index(g, cell_of(g, p, 0), cell_of(g, p, 1), cell_of(g, p, 2));
}

/* Cells that hold about PER_CELL points each where these fill the middle 90 % evenly: far outliers must
 * not make one cell of all the others. */
static void size_grid(struct grid *g)
{
    struct gs_bounds b;
    gs_scene_bounds(&(struct gs_scene){.count = g->count, .position = (float *)(uintptr_t)g->position},
                    &b);
    double side = 2 * fmax((double)b.radius, 1e-20);
    g->cell = side / fmin(fmax(cbrt((double)g->count / PER_CELL), 1), MAX_AXIS);
    for (int a = 0; a < 3; a++) {
        double low = fmax((double)b.min[a], (double)b.centre[a] - 2 * side),
               high = fmin((double)b.max[a], (double)b.centre[a] + 2 * side);
        g->low[a] = low;
        g->n[a] = (uint32_t)fmin(floor((high - low) / g->cell) + 1, MAX_AXIS);
    }
}

static int fill_grid(struct grid *g)
{
    size_t cells = (size_t)g->n[0] * g->n[1] * g->n[2];
    g->start = calloc(cells + 1, sizeof *g->start);
    g->item = malloc(g->count * sizeof *g->item);
    if (!g->start || !g->item)
        return fv_fail(FV_ENOMEM, "out of memory for a graph of %u points", g->count);
    for (uint32_t i = 0; i < g->count; i++)
        g->start[cell_at(g, i) + 1]++;
    for (size_t c = 0; c < cells; c++)
        g->start[c + 1] += g->start[c];
    for (uint32_t i = g->count; i--;) { /* backwards, so that a cell's points stay in order */
        size_t c = cell_at(g, i);
        g->item[--g->start[c + 1]] = i;
    }
    /* start[c + 1] went back to where c begins */
    memmove(g->start, g->start + 1, cells * sizeof *g->start);
    g->start[cells] = g->count;
    return 0;
}

struct near {
    float d;
    uint32_t i;
};

/* A point's own comes before all. */
static bool before(const struct near *a, const struct near *b, uint32_t self)
{
    if ((a->i == self) != (b->i == self))
        return a->i == self;
    return a->d != b->d ? a->d < b->d : a->i < b->i;
}

/* Keeps the k nearest, in order. */
static void offer(struct near *list, uint32_t *n, uint32_t k, struct near one, uint32_t self)
{
    if (*n == k && !before(&one, &list[k - 1], self))
        return;
    uint32_t at = *n < k ? (*n)++ : k - 1;
    for (; at > 0 && before(&one, &list[at - 1], self); at--)
        list[at] = list[at - 1];
    list[at] = one;
}

static void search_cell(const struct grid *g, size_t c, uint32_t self, struct near *list, uint32_t *n)
{
    const float *p = g->position + 3 * (size_t)self;
    for (uint32_t at = g->start[c]; at < g->start[c + 1]; at++) {
        uint32_t i = g->item[at];
        const float *q = g->position + 3 * (size_t)i;
        float x = q[0] - p[0], y = q[1] - p[1], z = q[2] - p[2];
        offer(list, n, g->k, (struct near){x * x + y * y + z * z, i}, self);
    }
}

/* Cells exactly `shell` away along some axis. */
static void search_shell(const struct grid *g, const int at[3], int shell, uint32_t self,
                         struct near *list, uint32_t *n)
{
    int from[3], to[3];
    for (int a = 0; a < 3; a++) {
        from[a] = at[a] - shell > 0 ? at[a] - shell : 0;
        to[a] = at[a] + shell < (int)g->n[a] ? at[a] + shell : (int)g->n[a] - 1;
    }
    for (int z = from[2]; z <= to[2]; z++)
        for (int y = from[1]; y <= to[1]; y++) {
            bool face = abs(z - at[2]) == shell || abs(y - at[1]) == shell;
            if (face) {
                for (int x = from[0]; x <= to[0]; x++)
                    search_cell(g, cell_index(g, x, y, z), self, list, n);
                continue;
            }
            if (at[0] - shell >= 0)
                search_cell(g, cell_index(g, at[0] - shell, y, z), self, list, n);
            if (at[0] + shell < (int)g->n[0])
                search_cell(g, cell_index(g, at[0] + shell, y, z), self, list, n);
        }
}

/* How far everything outside the shells up to `shell` is at least, squared; points beyond the grid are in
 * its outermost cells, which have no far side. */
static double beyond(const struct grid *g, const int at[3], const float *p, int shell)
{
    double least = INFINITY;
    for (int a = 0; a < 3; a++) {
        if (at[a] - shell > 0)
            least = fmin(least, (double)p[a] - (g->low[a] + g->cell * (at[a] - shell)));
        if (at[a] + shell + 1 < (int)g->n[a])
            least = fmin(least, g->low[a] + g->cell * (at[a] + shell + 1) - (double)p[a]);
    }
    return least > 0 ? least * least : 0;
}

static int search(void *ud, size_t begin, size_t end)
{
    const struct grid *g = ud;
    for (size_t i = begin; i < end; i++) {
        if (g->out[i * g->k] != NL_NO_NEIGHBOUR)
            continue;
        const float *p = g->position + 3 * i;
        const int at[3] = {cell_of(g, p, 0), cell_of(g, p, 1), cell_of(g, p, 2)};
        struct near list[64];
        uint32_t n = 0;
        for (int shell = 0;; shell++) {
            search_shell(g, at, shell, (uint32_t)i, list, &n);
            double out = beyond(g, at, p, shell) * (1 - 1e-5);
            if (isinf(out) || (n == g->k && (double)list[n - 1].d < out))
                break;
        }
        for (uint32_t k = 0; k < g->k; k++)
            g->out[i * g->k + k] = list[k].i;
    }
    return 0;
}

int nl_graph_room(const struct nl_model *m, struct fv_arena *a, uint32_t **out)
{
    size_t count = m->count - m->midpoints;
    if (count < m->neighbours)
        return fv_fail(FV_EFORMAT, "%zu points have no %u neighbours each", count, m->neighbours);
    *out = nl_room(a, count * m->neighbours, sizeof **out);
    if (!*out)
        return FV_ENOMEM;
    memset(*out, 0xff, count * m->neighbours * sizeof **out);
    return 0;
}

int nl_graph(struct nl_model *m)
{
    uint32_t *out = NULL;
    if (m->neighbour)
        return 0;
    FV_TRY(nl_graph_room(m, &m->arena, &out));
    FV_TRY(nl_graph_rest(m, out));
    m->neighbour = out;
    return 0;
}

int nl_graph_rest(const struct nl_model *m, uint32_t *out)
{
    struct grid g = {.position = m->position, .count = m->count - m->midpoints, .k = m->neighbours, .out = out};
    int rc = 0;
    size_grid(&g);
    FV_GOTO(fill_grid(&g));
    FV_GOTO(fv_parallel(g.count, 1024, search, &g));
done:
    free(g.start);
    free(g.item);
    return rc;
}
