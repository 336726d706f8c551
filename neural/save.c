/* A model as one file of tensors (neural.h):
 *
 *   .safetensors  anchor | xyz [N, 3], anchor_feat | feats [N, C], offset [N, k, 3], scaling [N, 6],
 *                 rotation [N, 4], mlp_NAME.I.weight, .bias, ...; all F32; midpoints [M, 2] I32;
 *                 metadata format "fovea.neural", version "1", arch "scaffold" | "sags", neighbours
 *
 * Packed (nl_pack, version "2") a tensor T of rows and columns may be three:
 *
 *   T.unit   F32 [columns, 2]  the value of 0, a step
 *   T.form   U8 [columns]      bytes of a number, 0 to 3; + 4: numbers are differences to the row before
 *   T.planes U8 [bytes, rows]  of each column its numbers' bytes, low ones first; 2 n for n, -2 n - 1 for n < 0 */
#include "neural/neural_private.h"
#include "vk/base/array.h"
#include "vk/base/half.h"
#include "vk/nn/safetensors_write.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct list {
    struct nn_save_tensor *t;
    size_t n, room;
    struct fv_arena arena; /* of names, and of data made for it */
    bool packed;
    const double *step;    /* [NL_ROUNDED] */
    const uint32_t *order; /* of points */
};

static int put(struct list *l, const char *name, const char *end, enum nn_data type, const void *data,
               uint64_t a, uint64_t b, uint64_t c)
{
    if (!data)
        return 0;
    size_t size = strlen(name) + strlen(end) + 1;
    char *whole = nl_room(&l->arena, size, 1);
    if (!whole)
        return FV_ENOMEM;
    FV_TRY(fv_grow(&l->t, &l->room, l->n, sizeof *l->t));
    snprintf(whole, size, "%s%s", name, end);
    l->t[l->n++] = (struct nn_save_tensor){whole, type, c ? 3 : b ? 2 : 1, {a, b, c}, data};
    return 0;
}

/* ---- packed numbers ---- */

static uint32_t zigzag(int32_t v)
{
    return v < 0 ? 2 * (uint32_t)-(v + 1) + 1 : 2 * (uint32_t)v;
}

static unsigned bytes_of(const uint32_t *v, size_t rows)
{
    uint32_t all = 0;
    for (size_t i = 0; i < rows; i++)
        all |= v[i];
    return all >> 16 ? 3 : all >> 8 ? 2 : all ? 1 : 0;
}

/* Bits that the bytes of numbers take by themselves, as an entropy coder would. */
static double bits_of(const uint32_t *v, size_t rows, unsigned bytes)
{
    double bits = 0;
    for (unsigned b = 0; b < bytes; b++) {
        size_t count[256] = {0};
        for (size_t i = 0; i < rows; i++)
            count[v[i] >> 8 * b & 255]++;
        for (int k = 0; k < 256; k++)
            bits -= count[k] ? (double)count[k] * log2((double)count[k] / (double)rows) : 0;
    }
    return bits;
}

struct column {
    uint32_t *plain, *change; /* [rows] */
    uint8_t *to;              /* where its planes begin */
    size_t rows;
};

/* Planes of the numbers q, as they are or as what they change by. Returns its form. */
static uint8_t put_planes(struct column *c, const int32_t *q, unsigned least)
{
    for (size_t i = 0; i < c->rows; i++) {
        c->plain[i] = zigzag(q[i]);
        c->change[i] = zigzag(i ? q[i] - q[i - 1] : q[i]);
    }
    unsigned plain = bytes_of(c->plain, c->rows), change = bytes_of(c->change, c->rows);
    bool changes = bits_of(c->change, c->rows, change) < bits_of(c->plain, c->rows, plain);
    const uint32_t *v = changes ? c->change : c->plain;
    unsigned bytes = changes ? change : plain;
    bytes = bytes < least ? least : bytes;
    for (unsigned b = 0; b < bytes; b++)
        for (size_t i = 0; i < c->rows; i++)
            *c->to++ = (uint8_t)(v[i] >> 8 * b);
    return (uint8_t)(bytes + (changes ? 4 : 0));
}

/* Numbers of a column's values and their unit; step 0: about as finely as it can be. */
static void round_column(const float *v, size_t rows, size_t columns, double step, const uint32_t *order,
                         int32_t *q, float unit[2])
{
    double low = HUGE_VAL, high = -HUGE_VAL, sum = 0;
    for (size_t i = 0; i < rows; i++) {
        double x = (double)v[i * columns];
        low = fmin(low, x);
        high = fmax(high, x);
        sum += x;
    }
    double least = (high - low) / (1 << 22);
    step = step > least ? step : least;
    unit[1] = (float)(step > 1e-30 ? step : 1e-30);
    unit[0] = (float)(low + floor((sum / (double)rows - low) / (double)unit[1]) * (double)unit[1]);
    if (!(high > low))
        unit[0] = (float)low;
    for (size_t i = 0; i < rows; i++) {
        double x = (double)v[(order ? order[i] : i) * columns];
        q[i] = (int32_t)lrint((x - (double)unit[0]) / (double)unit[1]);
    }
}

/* Rows of values, in an order, as a packed tensor; ints: numbers, in place of values. */
static int put_packed(struct list *l, const char *name, size_t rows, size_t columns, const float *v,
                      const uint32_t *order, const int32_t *ints, const double *steps)
{
    uint8_t *form = nl_room(&l->arena, columns, 1), *planes = nl_room(&l->arena, 3 * rows * columns, 1);
    float *unit = nl_room(&l->arena, 2 * columns, sizeof *unit);
    int32_t *q = calloc(rows, sizeof *q);
    struct column c = {malloc(rows * sizeof *c.plain), malloc(rows * sizeof *c.change), planes, rows};
    bool room = form && unit && planes && q && c.plain && c.change;
    for (size_t k = 0; room && k < columns; k++) {
        unit[2 * k] = 0;
        unit[2 * k + 1] = 1;
        for (size_t i = 0; ints && i < rows; i++)
            q[i] = ints[i * columns + k];
        if (!ints)
            round_column(v + k, rows, columns, steps[k], order, q, unit + 2 * k);
        bool none = k + 1 == columns && c.to == planes; /* how many rows there are is told by planes */
        form[k] = put_planes(&c, q, none);
    }
    free(q);
    free(c.plain);
    free(c.change);
    if (!room)
        return fv_fail(FV_ENOMEM, "out of memory");
    FV_TRY(put(l, name, ".unit", NN_DATA_F32, unit, columns, 2, 0));
    FV_TRY(put(l, name, ".form", NN_DATA_U8, form, columns, 0, 0));
    return put(l, name, ".planes", NN_DATA_U8, planes, (uint64_t)(c.to - planes) / rows, rows, 0);
}

/* ---- tensors of a model ---- */

/* A row of numbers a point; `fold` columns are one index of the tensor's last. */
static int put_rows(struct list *l, const char *name, const float *v, uint64_t rows, uint64_t columns,
                    uint64_t fold, const double *steps)
{
    if (!v)
        return 0;
    if (l->packed)
        return put_packed(l, name, rows, columns, v, l->order, NULL, steps);
    return put(l, name, "", NN_DATA_F32, v, rows, fold ? columns / fold : columns, fold);
}

static int put_points(struct list *l, const struct nl_model *m)
{
    enum { MOST = NL_MAX_FEATURE };
    double steps[NL_ROUNDED + 2][MOST];
    const double turn = 1.0 / 1024; /* only what is looked at depends on it */
    bool sags = m->arch == NL_SAGS;
    uint64_t n = m->count - m->midpoints;
    for (size_t k = 0; l->packed && k < MOST; k++) {
        for (size_t i = 0; i < NL_ROUNDED; i++)
            steps[i][k] = l->step[i];
        steps[NL_ROUNDED][k] = l->step[k < 3 ? NL_ROUND_REACHES : NL_ROUND_SIZES];
        steps[NL_ROUNDED + 1][k] = turn;
    }
    FV_TRY(put_rows(l, sags ? "xyz" : "anchor", m->position, n, 3, 0, steps[NL_ROUND_POSITIONS]));
    FV_TRY(put_rows(l, sags ? "feats" : "anchor_feat", m->features, n, m->feature, 0, steps[NL_ROUND_FEATURES]));
    FV_TRY(put_rows(l, "offset", m->offset, n, 3ull * m->offsets, 3, steps[NL_ROUND_OFFSETS]));
    FV_TRY(put_rows(l, "scaling", m->scaling, n, 6, 0, steps[NL_ROUNDED]));
    return put_rows(l, "rotation", m->rotation, n, 4, 0, steps[NL_ROUNDED + 1]);
}

static int by_pair(const void *a, const void *b)
{
    const int32_t *x = a, *y = b;
    return x[0] != y[0] ? (x[0] > y[0] ? 1 : -1) : (x[1] > y[1]) - (x[1] < y[1]);
}

/* The points that midpoints lie between; packed in the order of the first, and by how far apart. */
static int put_midpoints(struct list *l, const struct nl_model *m)
{
    uint32_t points = m->count - m->midpoints;
    if (!m->midpoints)
        return 0;
    if (!l->packed)
        return put(l, "midpoints", "", NN_DATA_I32, m->pair, m->midpoints, 2, 0);
    uint32_t *place = malloc(points * sizeof *place);
    int32_t *pair = malloc(2 * (size_t)m->midpoints * sizeof *pair);
    int rc = place && pair ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    for (uint32_t i = 0; rc == 0 && i < points; i++)
        place[l->order[i]] = i;
    for (uint32_t k = 0; rc == 0 && k < m->midpoints; k++) {
        int32_t a = (int32_t)place[m->pair[2 * k]], b = (int32_t)place[m->pair[2 * k + 1]];
        pair[2 * k] = a < b ? a : b;
        pair[2 * k + 1] = a < b ? b : a;
    }
    if (rc == 0)
        qsort(pair, m->midpoints, 2 * sizeof *pair, by_pair);
    for (uint32_t k = 0; rc == 0 && k < m->midpoints; k++)
        pair[2 * k + 1] -= pair[2 * k];
    rc = rc == 0 ? put_packed(l, "midpoints", m->midpoints, 2, NULL, NULL, pair, NULL) : rc;
    free(place);
    free(pair);
    return rc;
}

/* A network's numbers, packed as halves where these can hold them. */
static int put_weights(struct list *l, const char *name, const float *v, uint64_t a, uint64_t b)
{
    size_t n = (size_t)(a * (b ? b : 1));
    float most = 0;
    for (size_t i = 0; v && i < n; i++)
        most = fmaxf(most, fabsf(v[i]));
    if (!v || !l->packed || most > 60000)
        return put(l, name, "", NN_DATA_F32, v, a, b, 0);
    uint16_t *half = nl_room(&l->arena, n, sizeof *half);
    if (!half)
        return FV_ENOMEM;
    fv_f32_to_f16_array(half, v, n);
    return put(l, name, "", NN_DATA_F16, half, a, b, 0);
}

static int put_mlp(struct list *l, const char *name, const struct nl_mlp *n)
{
    char key[48];
    for (uint32_t i = 0; i < n->layers; i++) {
        snprintf(key, sizeof key, "%s.%u.weight", name, i);
        FV_TRY(put_weights(l, key, n->layer[i].w, n->layer[i].out, n->layer[i].in));
        snprintf(key, sizeof key, "%s.%u.bias", name, i);
        FV_TRY(put_weights(l, key, n->layer[i].b, n->layer[i].out, 0));
    }
    return 0;
}

static int put_all(struct list *l, const struct nl_model *m)
{
    uint32_t entries[NL_HASH_LEVELS + 1], width = nl_encoded_width(m);
    nl_hash_offsets(entries);
    FV_TRY(put_points(l, m));
    FV_TRY(put_midpoints(l, m));
    FV_TRY(put_mlp(l, "mlp_opacity", &m->net[NL_OPACITY]));
    FV_TRY(put_mlp(l, "mlp_cov", &m->net[NL_COVARIANCE]));
    FV_TRY(put_mlp(l, "mlp_color", &m->net[NL_COLOUR]));
    FV_TRY(put_mlp(l, "mlp_feature_bank", &m->bank));
    FV_TRY(put_mlp(l, "mlp_offsets", &m->move));
    FV_TRY(put_weights(l, "embedding_appearance.embedding.weight", m->embedding, m->cameras, m->appearance));
    if (m->hash && l->packed) {
        const double steps[2] = {l->step[NL_ROUND_HASH], l->step[NL_ROUND_HASH]};
        FV_TRY(put_packed(l, "hash_grid.params", entries[NL_HASH_LEVELS], 2, m->hash, NULL, NULL, steps));
    } else {
        FV_TRY(put(l, "hash_grid.params", "", NN_DATA_F32, m->hash, 2ull * entries[NL_HASH_LEVELS], 0, 0));
    }
    FV_TRY(put(l, "affine_layer.affine_alpha", "", NN_DATA_F32, m->alpha, width, 0, 0));
    return put(l, "affine_layer.affine_beta", "", NN_DATA_F32, m->beta, width, 0, 0);
}

static void free_list(struct list *l)
{
    if (!l)
        return;
    fv_arena_finish(&l->arena);
    free(l->t);
    free(l);
}

static size_t texts(const struct nl_model *m, const char *version, char knn[16], struct nn_file_text out[4])
{
    snprintf(knn, 16, "%u", m->neighbours);
    out[0] = (struct nn_file_text){"format", NL_FORMAT};
    out[1] = (struct nn_file_text){"version", version};
    out[2] = (struct nn_file_text){"arch", nl_arch_name(m->arch)};
    out[3] = (struct nn_file_text){"neighbours", knn};
    return m->arch == NL_SAGS ? 4 : 3;
}

int nl_save(const struct nl_model *m, const char *path)
{
    struct nn_file_text meta[4];
    char knn[16];
    struct list *l = calloc(1, sizeof *l);
    if (!l)
        return fv_fail(FV_ENOMEM, "out of memory");
    size_t n = texts(m, "1", knn, meta);
    int rc = put_all(l, m);
    rc = rc == 0 ? nn_safetensors_save(path, l->t, l->n, meta, n) : rc;
    free_list(l);
    return rc;
}

int nl_pack(const struct nl_model *m, const double step[NL_ROUNDED], void **data, size_t *size)
{
    struct nn_file_text meta[4];
    char knn[16];
    struct list *l = calloc(1, sizeof *l);
    struct gs_scene points = {.count = m->count - m->midpoints, .position = m->position};
    uint32_t *order = malloc((points.count + 1) * sizeof *order);
    int rc = l && order ? gs_scene_morton(&points, order) : fv_fail(FV_ENOMEM, "out of memory");
    size_t n = texts(m, "2", knn, meta);
    if (rc == 0) {
        l->packed = true;
        l->step = step;
        l->order = order;
        rc = put_all(l, m);
    }
    rc = rc == 0 ? nn_safetensors_bytes(data, size, l->t, l->n, meta, n) : rc;
    free_list(l);
    free(order);
    return rc;
}
