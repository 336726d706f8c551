/* What SAGS makes of its points before a view is known, by kernels (encode.c is the twin):
 *
 *   graph_bin, graph_scan, graph_search   the exact graph. Points go into cells, those whose 5 x 5 x 5 cells
 *       are sure to hold their neighbours find them, the others wait for cells of twice the size. The
 *       few that no size serves (far from all, or more at one place than a search may look at) are
 *       left to the host
 *   graph_low, graph_local                messages and their means, four numbers of the features at a time
 *   hash_grid                             rows by the piece
 *
 * Points lie along a Morton curve. A point takes 104 bytes of the device with 10 neighbours, whatever its
 * features. */
#include "neural/gpu.h"
#include "vk/base/half.h"
#include "vk/xfer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define F4 VK_FORMAT_R32G32B32A32_SFLOAT
#define U4 VK_FORMAT_R32G32B32A32_UINT
#define U2 VK_FORMAT_R32G32_UINT
#define U1 VK_FORMAT_R32_UINT

enum {
    GROUP = 64,
    SCAN_GROUP = 256,
    MOST_NEIGHBOURS = 16, /* of graph_search */
    LEAST_BITS = 9,       /* of buckets: three an axis, of which five cells in a row take five */
    MOST_BITS = 20,
    CROWD = 32,           /* cells begin with at most so many points a bucket */
    MOST_SIZES = 40,
    PIECE = 1 << 16,      /* rows of hash_grid */
};

struct maker {
    struct vk_device *dev;
    struct vk_cmd *cmd;
    struct nl_model *m;
    struct nl_encoded *e;
    uint32_t count, k, bits[3];
    bool tex;
    uint32_t *order, *row_of; /* model's index of a row, and back */
    float *room;              /* [count][4] */
    struct vk_buf point, row, sorted, start, cursor, word, neighbour, feature, low, local, table, level;
};

/* ---- dispatches ---- */

static void dispatch(const struct maker *g, const char *kernel, const uint32_t *spec, uint32_t nspec,
                     const struct vk_bind *bind, uint32_t nbind, const void *push, uint32_t size,
                     uint32_t items)
{
    const struct vk_pipe *pipe;
    char name[64];
    bool plain = !strcmp(kernel, "graph_scan");
    snprintf(name, sizeof name, "neural/%s%s", kernel, plain ? "" : g->tex ? ".tex" : ".ssbo");
    int rc = vk_pipe_get(&pipe, g->dev, name, spec, nspec, 0);
    uint32_t groups = (items + spec[0] - 1) / spec[0], x = groups < 65535 ? groups : 65535;
    if (rc < 0)
        vk_cmd_fail(g->cmd, rc);
    else
        vk_cmd_dispatch(g->cmd, pipe, bind, nbind, push, size, x, (groups + x - 1) / x, 1);
}

static int run(const struct maker *g)
{
    uint64_t ticket;
    FV_TRY(vk_cmd_submit(g->cmd, &ticket));
    return vk_wait(g->dev, ticket);
}

static struct vk_bind whole(const struct vk_buf *b, VkFormat format)
{
    return (struct vk_bind){b, 0, b->size, format};
}

/* ---- the graph ---- */

static void bin(const struct maker *g, const struct nl_graph_push *push, bool scatter)
{
    uint32_t spec[] = {GROUP, scatter};
    struct vk_bind bind[] = {whole(&g->point, F4), whole(&g->start, U1), whole(&g->cursor, U1),
                             whole(&g->sorted, F4), whole(&g->word, U1)};
    vk_cmd_fill(g->cmd, &g->cursor, 0, g->cursor.size, 0);
    dispatch(g, "graph_bin", spec, 2, bind, 5, push, sizeof *push, g->count);
}

/* Counts points a bucket; the most of one. */
static int crowd(const struct maker *g, const struct nl_graph_push *push, uint32_t *most)
{
    vk_cmd_begin(g->cmd);
    vk_cmd_fill(g->cmd, &g->word, 0, g->word.size, 0);
    bin(g, push, false);
    FV_TRY(run(g));
    return vk_download(most, &g->word, 0, sizeof *most);
}

/* Searches with cells of this size; how many points have no neighbours yet. */
static int search(const struct maker *g, const struct nl_graph_push *push, uint32_t *left)
{
    uint32_t buckets = 1u << (g->bits[0] + g->bits[1] + g->bits[2]);
    uint32_t scan[] = {SCAN_GROUP}, spec[] = {GROUP, g->k};
    struct vk_bind sum[] = {whole(&g->cursor, U1), whole(&g->start, U1)};
    struct vk_bind bind[] = {whole(&g->point, F4), whole(&g->sorted, F4),    whole(&g->start, U1),
                             whole(&g->row, U1),   whole(&g->neighbour, U1), whole(&g->word, U1)};
    vk_cmd_begin(g->cmd);
    bin(g, push, false);
    dispatch(g, "graph_scan", scan, 1, sum, 2, &buckets, sizeof buckets, 1);
    bin(g, push, true);
    vk_cmd_fill(g->cmd, &g->word, 0, g->word.size, 0);
    dispatch(g, "graph_search", spec, 2, bind, 6, push, sizeof *push, g->count);
    FV_TRY(run(g));
    return vk_download(left, &g->word, 0, sizeof *left);
}

/* The host's part, and the model's copy of all. */
static int finish_graph(struct maker *g, uint32_t left)
{
    uint32_t *out = NULL, *rows = malloc((size_t)g->count * g->k * sizeof *rows);
    int rc = rows ? nl_graph_room(g->m, &g->m->arena, &out) : fv_fail(FV_ENOMEM, "out of memory");
    size_t bytes = (size_t)g->count * g->k * sizeof *rows;
    if (rc >= 0)
        rc = vk_download(rows, &g->neighbour, 0, bytes);
    for (size_t r = 0; rc >= 0 && r < g->count; r++)
        for (size_t k = 0; k < g->k; k++) {
            uint32_t t = rows[r * g->k + k];
            out[g->order[r] * g->k + k] = t < g->count ? g->order[t] : NL_NO_NEIGHBOUR;
        }
    g->e->by_host = left;
    if (rc >= 0 && left)
        rc = nl_graph_rest(g->m, out);
    for (size_t r = 0; rc >= 0 && left && r < g->count; r++)
        for (size_t k = 0; k < g->k; k++)
            rows[r * g->k + k] = g->row_of[out[g->order[r] * g->k + k]];
    if (rc >= 0 && left)
        rc = vk_upload(&g->neighbour, 0, rows, bytes);
    if (rc >= 0)
        g->m->neighbour = out;
    free(rows);
    return rc;
}

/* A graph that was made before. */
static int send_graph(const struct maker *g)
{
    uint32_t *rows = malloc((size_t)g->count * g->k * sizeof *rows);
    if (!rows)
        return fv_fail(FV_ENOMEM, "out of memory");
    for (size_t r = 0; r < g->count; r++)
        for (size_t k = 0; k < g->k; k++)
            rows[r * g->k + k] = g->row_of[g->m->neighbour[g->order[r] * (size_t)g->k + k]];
    int rc = vk_upload(&g->neighbour, 0, rows, (size_t)g->count * g->k * sizeof *rows);
    free(rows);
    return rc;
}

static int find_graph(struct maker *g, const struct gs_scene *points)
{
    struct gs_bounds b;
    struct nl_graph_push push = {.count = g->count,
                                 .bits = g->bits[0] | g->bits[1] << 8 | g->bits[2] << 16};
    uint32_t most = 0, left = g->count;
    if (g->m->neighbour)
        return send_graph(g);
    gs_scene_bounds(points, &b);
    double wide = 0;
    for (int a = 0; a < 3; a++) {
        push.low[a] = b.centre[a]; /* places in cells are rounded least where most points are */
        wide = fmax(wide, (double)b.max[a] - (double)b.min[a]);
    }
    double cell = (b.radius > 0 ? 2 * (double)b.radius : wide) / cbrt(g->count), least = cell / (1 << 16);
    vk_cmd_begin(g->cmd);
    vk_cmd_fill(g->cmd, &g->neighbour, 0, g->neighbour.size, NL_NO_NEIGHBOUR);
    FV_TRY(run(g));
    for (int i = 0; i < MOST_SIZES && wide > 0; i++) {
        push.low[3] = (float)(1 / cell);
        FV_TRY(crowd(g, &push, &most));
        if (most <= CROWD || cell / 2 < least)
            break;
        cell /= 2;
    }
    for (int i = 0; i < MOST_SIZES && left && wide > 0 && cell < 4 * wide; i++, cell *= 2) {
        push.low[3] = (float)(1 / cell);
        FV_TRY(search(g, &push, &left));
    }
    return finish_graph(g, left);
}

/* ---- features ---- */

/* Numbers [4 quad, 4 quad + 4) of all points' features, padded. */
static int send_quad(const struct maker *g, uint32_t quad)
{
    uint32_t width = g->m->feature, n = width - 4 * quad < 4 ? width - 4 * quad : 4;
    for (size_t r = 0; r < g->count; r++)
        for (uint32_t c = 0; c < 4; c++)
            g->room[4 * r + c] = c < n ? g->m->features[(size_t)width * g->order[r] + 4 * quad + c] : 0;
    return vk_upload(&g->feature, 0, g->room, 16ull * g->count);
}

static float affine(const struct nl_model *m, uint32_t c, float x)
{
    return (float)((double)m->alpha[c] * (double)x + (double)m->beta[c]);
}

static int local_quad(const struct maker *g, uint32_t quad)
{
    uint32_t spec[] = {GROUP, g->k};
    struct vk_bind low[] = {whole(&g->feature, F4), whole(&g->neighbour, U1), whole(&g->low, U1)};
    struct vk_bind local[] = {whole(&g->point, F4), whole(&g->feature, F4), whole(&g->neighbour, U1),
                              whole(&g->low, U4), whole(&g->local, F4)};
    FV_TRY(send_quad(g, quad));
    vk_cmd_begin(g->cmd);
    vk_cmd_fill(g->cmd, &g->low, 0, g->low.size, UINT32_MAX);
    dispatch(g, "graph_low", spec, 2, low, 3, &g->count, sizeof g->count, g->count);
    dispatch(g, "graph_local", spec, 2, local, 5, &g->count, sizeof g->count, g->count);
    FV_TRY(run(g));
    FV_TRY(vk_download(g->room, &g->local, 0, 16ull * g->count));
    uint32_t from = NL_HASH_WIDTH + 4 * quad;
    for (size_t r = 0; r < g->count; r++)
        for (uint32_t c = 0; c < 4 && 4 * quad + c < g->m->feature; c++)
            g->e->feature[(size_t)g->order[r] * g->e->width + from + c] =
                affine(g->m, from + c, g->room[4 * r + c]);
    return 0;
}

/* ---- hash grid ---- */

static int send_grid(struct maker *g)
{
    uint32_t level[NL_HASH_LEVELS][4], entries[NL_HASH_LEVELS + 1];
    nl_hash_offsets(entries);
    for (int l = 0; l < NL_HASH_LEVELS; l++) {
        struct nl_level v;
        nl_hash_level(l, &v);
        memcpy(level[l], (uint32_t[]){fv_f32_bits(v.scale), v.resolution, v.first, v.entries}, 16);
    }
    uint64_t bytes = 8ull * entries[NL_HASH_LEVELS];
    FV_TRY(vk_buf_create(&g->level, g->dev, sizeof level, VK_BUF_DEVICE, "levels of the hash grid"));
    FV_TRY(vk_buf_create(&g->table, g->dev, bytes, VK_BUF_DEVICE, "hash grid"));
    FV_TRY(vk_upload(&g->level, 0, level, sizeof level));
    return vk_upload(&g->table, 0, g->m->hash, bytes);
}

static int hash_rows(struct maker *g)
{
    uint32_t rows = (uint32_t)(g->local.size / (4 * NL_HASH_WIDTH)), spec[] = {GROUP, NL_HASH_LEVELS};
    struct vk_bind bind[] = {whole(&g->point, F4), whole(&g->table, U2), whole(&g->level, U4),
                             whole(&g->local, F4)};
    float *out = malloc(4ull * NL_HASH_WIDTH * rows);
    int rc = out ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    for (uint32_t at = 0; rc >= 0 && at < g->count; at += rows) {
        uint32_t push[] = {at, g->count - at < rows ? g->count - at : rows};
        vk_cmd_begin(g->cmd);
        dispatch(g, "hash_grid", spec, 2, bind, 4, push, sizeof push, push[1]);
        rc = run(g);
        if (rc >= 0)
            rc = vk_download(out, &g->local, 0, 4ull * NL_HASH_WIDTH * push[1]);
        for (size_t r = 0; rc >= 0 && r < push[1]; r++)
            for (uint32_t c = 0; c < NL_HASH_WIDTH; c++)
                g->e->feature[(size_t)g->order[at + r] * g->e->width + c] =
                    affine(g->m, c, out[r * NL_HASH_WIDTH + c]);
    }
    free(out);
    return rc;
}

/* ---- the whole ---- */

static void greatest_columns(const struct maker *g, const float *greatest)
{
    uint32_t from = NL_HASH_WIDTH + g->m->feature;
    for (uint32_t c = 0; c < g->m->feature; c++) {
        float v = affine(g->m, from + c, greatest[c]);
        for (size_t s = 0; s < g->count; s++)
            g->e->feature[s * g->e->width + from + c] = v;
    }
}

static int make_buffers(struct maker *g)
{
    uint64_t n = g->count, buckets = 1ull << (g->bits[0] + g->bits[1] + g->bits[2]);
    uint64_t piece = 4ull * NL_HASH_WIDTH * (n < PIECE ? n : PIECE);
    const struct {
        struct vk_buf *b;
        uint64_t size;
        const char *label;
    } all[] = {{&g->point, 16 * n, "points"},
               {&g->row, 4 * n, "rows of points"},
               {&g->sorted, 16 * n, "points in cells"},
               {&g->start, 4 * (buckets + 1), "first points of cells"},
               {&g->cursor, 4 * buckets, "points a cell"},
               {&g->word, 16, "counters of the graph"},
               {&g->neighbour, 4 * n * g->k, "neighbours"},
               {&g->feature, 16 * n, "features"},
               {&g->low, 16 * n, "least features"},
               {&g->local, 16 * n > piece ? 16 * n : piece, "local features"}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        FV_TRY(vk_buf_create(all[i].b, g->dev, all[i].size, VK_BUF_DEVICE, all[i].label));
    return 0;
}

static int send_points(const struct maker *g)
{
    for (uint32_t r = 0; r < g->count; r++) {
        uint32_t i = g->order[r];
        memcpy(g->room + 4 * (size_t)r, g->m->position + 3 * (size_t)i, 3 * sizeof *g->room);
        memcpy(g->room + 4 * (size_t)r + 3, &i, sizeof i);
        g->row_of[i] = r;
    }
    FV_TRY(vk_upload(&g->row, 0, g->row_of, 4ull * g->count));
    return vk_upload(&g->point, 0, g->room, 16ull * g->count);
}

static int make(struct maker *g)
{
    struct gs_scene points = {.count = g->count, .position = g->m->position};
    float greatest[NL_MAX_FEATURE];
    FV_TRY(gs_scene_morton(&points, g->order));
    FV_TRY(make_buffers(g));
    FV_TRY(send_points(g));
    FV_TRY(find_graph(g, &points));
    for (uint32_t quad = 0; 4 * quad < g->m->feature; quad++)
        FV_TRY(local_quad(g, quad));
    FV_TRY(send_grid(g));
    FV_TRY(hash_rows(g));
    nl_greatest(g->m, g->e, g->count, greatest);
    greatest_columns(g, greatest);
    nl_between(g->m, g->e);
    return 0;
}

static void finish(struct maker *g)
{
    struct vk_buf *all[] = {&g->point, &g->row,     &g->sorted, &g->start, &g->cursor, &g->word,
                            &g->neighbour, &g->feature, &g->low, &g->local, &g->table,  &g->level};
    vk_cmd_destroy(&g->cmd);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        vk_buf_destroy(all[i]);
    free(g->order);
    free(g->row_of);
    free(g->room);
}

/* Whether kernels take it: else the twin does. */
static bool fits(const struct vk_device *dev, const struct nl_model *m)
{
    uint64_t n = m->count - m->midpoints, row = m->neighbours > 4 ? 4ull * m->neighbours : 16;
    return m->arch == NL_SAGS && m->neighbours <= MOST_NEIGHBOURS && n >= m->neighbours &&
           n * row <= vk_buf_max(dev);
}

int nl_encode_gpu(struct nl_model *m, struct vk_device *dev, struct nl_encoded *e)
{
    if (!fits(dev, m))
        return nl_encode(m, NULL, e);
    struct maker g = {.dev = dev, .m = m, .e = e, .count = m->count - m->midpoints, .k = m->neighbours};
    uint32_t total = 0, texels = dev->caps.max_texel_elements;
    int rc = 0;
    while (total < MOST_BITS && 1u << total < g.count)
        total++;
    total = total < LEAST_BITS ? LEAST_BITS : total;
    for (uint32_t a = 0; a < 3; a++)
        g.bits[a] = (total + 2 - a) / 3;
    g.tex = texels >= 1u << 19 && (uint64_t)g.count * g.k <= texels;
    *e = (struct nl_encoded){.width = nl_encoded_width(m), .count = m->count};
    e->index = nl_room(&e->arena, m->count, sizeof *e->index);
    e->feature = nl_room(&e->arena, (size_t)m->count * e->width, sizeof *e->feature);
    g.order = malloc(g.count * sizeof *g.order);
    g.row_of = malloc(g.count * sizeof *g.row_of);
    g.room = malloc(4ull * g.count * sizeof *g.room);
    if (!e->index || !e->feature || !g.order || !g.row_of || !g.room)
        FV_GOTO(fv_fail(FV_ENOMEM, "out of memory for %u points", m->count));
    for (uint32_t i = 0; i < m->count; i++)
        e->index[i] = i;
    FV_GOTO(vk_cmd_create(&g.cmd, dev));
    FV_GOTO(make(&g));
done:
    finish(&g);
    if (rc < 0)
        nl_encoded_finish(e);
    return rc;
}
