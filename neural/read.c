/* Tensors into a model: names and shapes of Scaffold-GS' and SAGS' files (docs/NEURAL.md).
 *
 *   mlp_opacity.N.weight [out, in], .bias    layers in order of N (torch.nn.Sequential)
 *   mlp_opacity.W.N                          tiny-cuda-nn's matrices: inputs padded to a multiple of 16
 *                                            with ones, which are biases; no others; outputs padded too
 *   mlp_opacity.params                       the same in one row: input, hidden, output matrix
 *   opacity_mlp, cov_mlp ...                 Scaffold-GS' other names of the same */
#include "neural/read.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TCNN_PAD = 16 };

int nl_reader_add(struct nl_reader *r, const char *path, const char *prefix)
{
    if (r->files == NL_MAX_FILES)
        return fv_fail(FV_EFORMAT, "%s: holds more weight files than are read", r->name);
    r->prefix[r->files] = prefix;
    return nn_file_open(&r->file[r->files++], path, NULL);
}

void nl_reader_close(struct nl_reader *r)
{
    for (size_t i = 0; i < r->files; i++)
        nn_file_close(&r->file[i]);
}

/* ---- tensors ---- */

/* What a network is called in files besides its name here. */
static const char *const aliases[][3] = {
    {"mlp_opacity.", "opacity_mlp."},
    {"mlp_cov.", "cov_mlp."},
    {"mlp_color.", "color_mlp."},
    {"mlp_feature_bank.", "feature_bank_mlp."},
    {"embedding_appearance.embedding.", "appearance.embedding.", "embedding_appearance."},
};

static const struct nn_file_tensor *find_exact(const struct nl_reader *r, const char *name)
{
    for (size_t i = 0; i < r->files; i++) {
        size_t n = strlen(r->prefix[i]);
        if (!strncmp(name, r->prefix[i], n)) {
            const struct nn_file_tensor *t = nn_file_find(r->file[i], name + n);
            if (t)
                return t;
        }
    }
    return NULL;
}

static const struct nn_file_tensor *find(const struct nl_reader *r, const char *name)
{
    const struct nn_file_tensor *t = find_exact(r, name);
    for (size_t i = 0; !t && i < sizeof aliases / sizeof *aliases; i++) {
        size_t n = strlen(aliases[i][0]);
        for (int k = 1; !t && k < 3 && aliases[i][k] && !strncmp(name, aliases[i][0], n); k++) {
            char other[128];
            snprintf(other, sizeof other, "%s%s", aliases[i][k], name + n);
            t = find_exact(r, other);
        }
    }
    return t;
}

static int bad_shape(const struct nl_reader *r, const char *name, const struct nn_file_tensor *t,
                     const char *expected)
{
    char text[160];
    nn_shape_text(text, t->shape, t->rank);
    return fv_fail(FV_EFORMAT, "%s: tensor %s is %s, expected %s", r->name, name, text, expected);
}

/* ---- packed tensors (save.c) ---- */

struct packed {
    const struct nn_file_tensor *planes, *form, *unit;
    uint64_t rows, columns;
};

static const struct nn_file_tensor *find_part(const struct nl_reader *r, const char *name, const char *end)
{
    char full[128];
    snprintf(full, sizeof full, "%s%s", name, end);
    return find(r, full);
}

/* 1: there is one, 0: there is not, or it is not one. */
static int find_packed(const struct nl_reader *r, const char *name, struct packed *p)
{
    enum { MOST_COLUMNS = 4096, MOST_ROWS = 1 << 26 };
    *p = (struct packed){find_part(r, name, ".planes"), find_part(r, name, ".form"), find_part(r, name, ".unit"), 0, 0};
    if (!p->planes)
        return 0;
    bool good = p->form && p->unit && p->planes->type == NN_DATA_U8 && p->form->type == NN_DATA_U8 &&
                p->unit->type == NN_DATA_F32 && p->planes->contiguous && p->form->contiguous &&
                p->planes->rank == 2 && p->planes->count && p->planes->shape[1] <= MOST_ROWS &&
                p->form->rank == 1 && p->form->count && p->form->count <= MOST_COLUMNS &&
                p->unit->count == 2 * p->form->count;
    uint64_t bytes = 0;
    for (uint64_t c = 0; good && c < p->form->count; c++) {
        bytes += p->form->data[c] & 3;
        good = p->form->data[c] < 8;
    }
    if (!good || bytes != p->planes->shape[0])
        return fv_fail(FV_EFORMAT, "%s: tensor %s: its planes, forms and units do not fit each other", r->name,
                       name);
    p->rows = p->planes->shape[1];
    p->columns = p->form->count;
    return 1;
}

/* A column's numbers, one after the other. */
struct numbers {
    const uint8_t *plane;
    uint64_t rows;
    unsigned bytes;
    bool changes;
    int64_t last;
};

static int64_t next_number(struct numbers *n, uint64_t row)
{
    uint32_t u = 0;
    for (unsigned b = 0; b < n->bytes; b++)
        u |= (uint32_t)n->plane[b * n->rows + row] << 8 * b;
    int64_t v = u & 1 ? -(int64_t)(u >> 1) - 1 : (int64_t)(u >> 1);
    return n->last = n->changes ? n->last + v : v;
}

/* Moves on from a column's planes, which begin at *plane. */
static struct numbers numbers_of(const struct packed *p, uint64_t column, const uint8_t **plane)
{
    uint8_t form = p->form->data[column];
    struct numbers n = {*plane, p->rows, form & 3, form & 4, 0};
    *plane += n.bytes * p->rows;
    return n;
}

static int unpack(const struct packed *p, float *out)
{
    const uint8_t *plane = p->planes->data;
    float unit[2];
    for (uint64_t c = 0; c < p->columns; c++) {
        struct numbers n = numbers_of(p, c, &plane);
        FV_TRY(nn_file_read(p->unit, NN_DATA_F32, 2 * c, 2, unit));
        for (uint64_t i = 0; i < p->rows; i++)
            out[i * p->columns + c] = (float)((double)unit[0] + (double)unit[1] * (double)next_number(&n, i));
    }
    return 0;
}

/* ---- tensors by name ---- */

/* A tensor of so many values; out stays as it is where it is optional and absent. */
static int get(const struct nl_reader *r, const char *name, uint64_t count, bool optional, float **out)
{
    const struct nn_file_tensor *t = find(r, name);
    char expected[64];
    struct packed p = {0};
    if (!t)
        FV_TRY(find_packed(r, name, &p));
    if (!t && !p.planes && optional)
        return 0;
    if (!t && !p.planes)
        return fv_fail(FV_EFORMAT, "%s: tensor %s is missing", r->name, name);
    snprintf(expected, sizeof expected, "%llu values", (unsigned long long)count);
    if (t && t->count != count)
        return bad_shape(r, name, t, expected);
    if (!t && p.rows * p.columns != count)
        return fv_fail(FV_EFORMAT, "%s: tensor %s is %llu rows of %llu, expected %s", r->name, name,
                       (unsigned long long)p.rows, (unsigned long long)p.columns, expected);
    *out = nl_room(&r->m->arena, (size_t)count, sizeof **out);
    if (*out && !t)
        return unpack(&p, *out);
    return *out ? nn_file_read(t, NN_DATA_F32, 0, count, *out) : FV_ENOMEM;
}

/* A matrix [rows, columns] of limited size. */
static int get_matrix(const struct nl_reader *r, const char *name, float **out, uint32_t *rows,
                      uint32_t *columns)
{
    const struct nn_file_tensor *t = find(r, name);
    if (!t)
        return fv_fail(FV_EFORMAT, "%s: tensor %s is missing", r->name, name);
    if (t->rank != 2 || !t->count || t->shape[0] > 4096 || t->shape[1] > 4096)
        return bad_shape(r, name, t, "a matrix of up to 4096 rows and columns");
    *rows = (uint32_t)t->shape[0];
    *columns = (uint32_t)t->shape[1];
    return get(r, name, t->count, false, out);
}

/* ---- networks ---- */

/* torch.nn.Linear layers of a Sequential. */
static int read_linear(const struct nl_reader *r, const char *name, struct nl_mlp *n)
{
    for (unsigned i = 0; i < 8; i++) {
        char weight[64], bias[64];
        snprintf(weight, sizeof weight, "%s.%u.weight", name, i);
        snprintf(bias, sizeof bias, "%s.%u.bias", name, i);
        if (!find(r, weight))
            continue;
        if (n->layers == 3)
            return fv_fail(FV_EUNSUPPORTED, "%s: %s has more than 3 layers", r->name, name);
        struct nl_layer *l = &n->layer[n->layers++];
        FV_TRY(get_matrix(r, weight, &l->w, &l->out, &l->in));
        l->b = nl_room(&r->m->arena, l->out, sizeof *l->b);
        if (!l->b)
            return FV_ENOMEM;
        FV_TRY(get(r, bias, l->out, true, &l->b));
    }
    return 0;
}

/* A matrix of tiny-cuda-nn as a layer of `in` inputs and `out` outputs: what comes after the inputs
 * meets ones, and is a bias. */
static int from_padded(const struct nl_reader *r, struct nl_layer *l, const float *w, uint32_t columns,
                       uint32_t in, uint32_t out)
{
    *l = (struct nl_layer){.in = in, .out = out};
    l->w = nl_room(&r->m->arena, (size_t)in * out, sizeof *l->w);
    l->b = nl_room(&r->m->arena, out, sizeof *l->b);
    if (!l->w || !l->b)
        return FV_ENOMEM;
    for (uint32_t o = 0; o < out; o++) {
        double sum = 0;
        memcpy(l->w + (size_t)o * in, w + (size_t)o * columns, in * sizeof *w);
        for (uint32_t i = in; i < columns; i++)
            sum += (double)w[(size_t)o * columns + i];
        l->b[o] = (float)sum;
    }
    return 0;
}

static uint32_t padded(uint32_t n)
{
    return (n + TCNN_PAD - 1) / TCNN_PAD * TCNN_PAD;
}

/* NAME.W.0 ... */
static int read_matrices(const struct nl_reader *r, const char *name, struct nl_mlp *n, uint32_t in,
                         uint32_t out)
{
    char key[64], next[64];
    for (unsigned i = 0; i < 3; i++) {
        float *w;
        uint32_t rows, columns;
        snprintf(key, sizeof key, "%s.W.%u", name, i);
        snprintf(next, sizeof next, "%s.W.%u", name, i + 1);
        bool last = !find(r, next);
        FV_TRY(get_matrix(r, key, &w, &rows, &columns));
        char expected[64];
        snprintf(expected, sizeof expected, "%u columns and at least %u rows", padded(in),
                 last ? out : 1);
        if (columns != (i ? in : padded(in)) || (last && rows < out))
            return bad_shape(r, key, find(r, key), expected);
        FV_TRY(from_padded(r, &n->layer[n->layers++], w, columns, in, last ? out : rows));
        in = rows;
        if (last)
            return 0;
    }
    return fv_fail(FV_EUNSUPPORTED, "%s: %s has more than 3 layers", r->name, name);
}

/* NAME.params: [width, padded in], hidden - 1 times [width, width], [padded out, width]. */
static int read_params(const struct nl_reader *r, const char *name, struct nl_mlp *n, uint32_t in,
                       uint32_t out, uint32_t hidden)
{
    char key[64];
    float *w;
    snprintf(key, sizeof key, "%s.params", name);
    const struct nn_file_tensor *t = find(r, key);
    uint64_t ends = padded(in) + padded(out);
    for (uint32_t width = 16; width <= 128; width *= 2) {
        if (t->count != width * (ends + (hidden - 1) * width))
            continue;
        FV_TRY(get(r, key, t->count, false, &w));
        for (uint32_t i = 0; i <= hidden; i++) {
            uint32_t columns = i ? width : padded(in);
            FV_TRY(from_padded(r, &n->layer[n->layers++], w, columns, i ? width : in,
                               i == hidden ? out : width));
            w += (size_t)columns * width;
        }
        return 0;
    }
    return bad_shape(r, key, t, "the parameters of 16, 32, 64 or 128 hidden units");
}

static int read_mlp(const struct nl_reader *r, const char *name, struct nl_mlp *n, uint32_t in,
                    uint32_t out, uint32_t hidden)
{
    char key[64];
    snprintf(key, sizeof key, "%s.params", name);
    if (find(r, key))
        return read_params(r, name, n, in, out, hidden);
    snprintf(key, sizeof key, "%s.W.0", name);
    if (find(r, key))
        return read_matrices(r, name, n, in, out);
    FV_TRY(read_linear(r, name, n));
    if (!n->layers)
        return fv_fail(FV_EFORMAT, "%s: the network %s is missing", r->name, name);
    return 0;
}

/* ---- weights ---- */

static int read_embedding(const struct nl_reader *r, struct nl_model *m)
{
    const char *name = "embedding_appearance.embedding.weight";
    const struct nn_file_tensor *t = find(r, name);
    if (!t || !t->count)
        return 0;
    if (t->rank != 2 || t->shape[0] > 1u << 20)
        return bad_shape(r, name, t, "a row a camera");
    m->cameras = (uint32_t)t->shape[0];
    m->appearance = t->shape[1] <= 1024 ? (uint32_t)t->shape[1] : 0;
    return m->appearance ? get(r, name, t->count, false, &m->embedding)
                         : bad_shape(r, name, t, "at most 1024 numbers a camera");
}

static int read_hash(const struct nl_reader *r, struct nl_model *m, const struct nl_open_opts *opts)
{
    uint32_t entries[NL_HASH_LEVELS + 1], width = nl_encoded_width(m);
    nl_hash_offsets(entries);
    size_t n = 2 * (size_t)entries[NL_HASH_LEVELS];
    if (opts && opts->hash && !find(r, "hash_grid.params")) {
        if (opts->hash_count != n || !(m->hash = nl_room(&m->arena, n, sizeof *m->hash)))
            return fv_fail(FV_EINVALID, "%s: a hash grid of %zu values, expected %zu", r->name,
                           opts->hash_count, n);
        memcpy(m->hash, opts->hash, n * sizeof *m->hash);
    }
    FV_TRY(get(r, "hash_grid.params", n, m->hash != NULL, &m->hash));
    FV_TRY(get(r, "affine_layer.affine_alpha", width, false, &m->alpha));
    return get(r, "affine_layer.affine_beta", width, false, &m->beta);
}

int nl_read_weights(struct nl_reader *r, const struct nl_open_opts *opts)
{
    static const char *const names[NL_NETS] = {"mlp_opacity", "mlp_cov", "mlp_color"};
    static const uint32_t outputs[NL_NETS] = {1, 7, 3};
    struct nl_model *m = r->m;
    uint32_t width = nl_encoded_width(m);
    bool sags = m->arch == NL_SAGS;
    if (sags)
        FV_TRY(read_hash(r, m, opts));
    else
        FV_TRY(read_embedding(r, m));
    for (int i = 0; i < NL_NETS; i++) {
        uint32_t seen = width + 3 + (i == NL_COLOUR ? m->appearance : 0);
        FV_TRY(read_mlp(r, names[i], &m->net[i], seen + 1, outputs[i] * m->offsets, 2));
        m->distance[i] = m->net[i].layer[0].in == seen + 1;
    }
    if (sags) {
        FV_TRY(read_mlp(r, "mlp_offsets", &m->move, width, 3, 1));
        m->move.linear = true;
    }
    if (!sags && (find(r, "mlp_feature_bank.0.weight")))
        FV_TRY(read_mlp(r, "mlp_feature_bank", &m->bank, NL_VIEW, 3, 1));
    return 0;
}

/* ---- anchors ---- */

/* Where a file has no rotations, or says nothing: no turn. */
static int no_rotations(struct nl_model *m)
{
    m->rotation = nl_room(&m->arena, 4 * (size_t)m->count, sizeof *m->rotation);
    for (size_t i = 0; m->rotation && i < m->count; i++)
        m->rotation[4 * i] = 1;
    return m->rotation ? 0 : FV_ENOMEM;
}

/* Room for midpoints behind the points of an array. */
static int extend(struct nl_model *m, float **v, size_t width)
{
    float *more = nl_room(&m->arena, width * m->count, sizeof *more);
    if (!more)
        return FV_ENOMEM;
    memcpy(more, *v, width * (m->count - m->midpoints) * sizeof *more);
    *v = more;
    return 0;
}

/* Of packed ones the first point and how many further on the other is. */
static int read_pairs(const struct nl_reader *r, const struct nn_file_tensor *t, const struct packed *p)
{
    struct nl_model *m = r->m;
    if (t && (t->rank != 2 || t->shape[1] != 2 || t->shape[0] > 1u << 26 || !nn_data_is_integer(t->type)))
        return bad_shape(r, "midpoints", t, "two points each");
    if (!t && p->columns != 2)
        return fv_fail(FV_EFORMAT, "%s: tensor midpoints has %llu columns, expected 2", r->name,
                       (unsigned long long)p->columns);
    m->midpoints = (uint32_t)(t ? t->shape[0] : p->rows);
    m->pair = nl_room(&m->arena, 2 * (size_t)m->midpoints, sizeof *m->pair);
    if (!m->pair)
        return FV_ENOMEM;
    if (t)
        return nn_file_read(t, NN_DATA_I32, 0, t->count, m->pair);
    const uint8_t *plane = p->planes->data;
    struct numbers first = numbers_of(p, 0, &plane), further = numbers_of(p, 1, &plane);
    for (uint64_t i = 0; i < p->rows; i++) {
        int64_t a = next_number(&first, i), b = a + next_number(&further, i);
        m->pair[2 * i] = a >= 0 && a < UINT32_MAX ? (uint32_t)a : UINT32_MAX;
        m->pair[2 * i + 1] = b >= 0 && b < UINT32_MAX ? (uint32_t)b : UINT32_MAX;
    }
    return 0;
}

static int read_midpoints(struct nl_reader *r)
{
    struct nl_model *m = r->m;
    const struct nn_file_tensor *t = find(r, "midpoints");
    struct packed p = {0};
    uint32_t points = m->count;
    if (!t)
        FV_TRY(find_packed(r, "midpoints", &p));
    if (!p.planes && (!t || !t->count))
        return 0;
    FV_TRY(read_pairs(r, t, &p));
    for (size_t i = 0; i < 2 * (size_t)m->midpoints; i++)
        if (m->pair[i] >= points)
            return fv_fail(FV_EFORMAT, "%s: midpoint %zu lies at point %d of %u", r->name, i / 2,
                           (int)m->pair[i], points);
    m->count += m->midpoints;
    FV_TRY(extend(m, &m->position, 3));
    FV_TRY(extend(m, &m->scaling, 6));
    FV_TRY(extend(m, &m->rotation, 4));
    nl_place_midpoints(m);
    return 0;
}

/* How many anchors there are, of how many numbers. */
static int read_counts(const struct nl_reader *r, const char *feats)
{
    const struct nn_file_tensor *f = find(r, feats);
    struct packed p = {0};
    if (!f)
        FV_TRY(find_packed(r, feats, &p));
    if (!f && !p.planes)
        return fv_fail(FV_EFORMAT, "%s: has neither anchor_feat (Scaffold-GS) nor feats (SAGS)", r->name);
    if (f && (f->rank != 2 || !f->count || f->shape[0] > 1u << 26 || f->shape[1] > NL_MAX_FEATURE))
        return bad_shape(r, feats, f, "a row of up to 256 numbers an anchor");
    if (!f && p.columns > NL_MAX_FEATURE)
        return fv_fail(FV_EFORMAT, "%s: tensor %s has %llu columns, expected up to 256", r->name, feats,
                       (unsigned long long)p.columns);
    r->m->count = (uint32_t)(f ? f->shape[0] : p.rows);
    r->m->feature = (uint32_t)(f ? f->shape[1] : p.columns);
    return 0;
}

/* k, of the offsets; 0: there are none. */
static int read_offset_count(const struct nl_reader *r)
{
    struct nl_model *m = r->m;
    const struct nn_file_tensor *o = find(r, "offset");
    struct packed p = {0};
    if (!o)
        FV_TRY(find_packed(r, "offset", &p));
    if (o && (o->rank != 3 || o->shape[0] != m->count || o->shape[2] != 3 || !o->shape[1] ||
              o->shape[1] > NL_MAX_OFFSETS))
        return bad_shape(r, "offset", o, "k rows of 3 an anchor, k up to 32");
    if (p.planes && (p.columns % 3 || p.columns > 3 * NL_MAX_OFFSETS || p.rows != m->count))
        return fv_fail(FV_EFORMAT, "%s: tensor offset is %llu rows of %llu, expected 3 k an anchor, k up to 32",
                       r->name, (unsigned long long)p.rows, (unsigned long long)p.columns);
    m->offsets = o ? (uint32_t)o->shape[1] : (uint32_t)(p.columns / 3);
    return 0;
}

int nl_read_anchors(struct nl_reader *r)
{
    struct nl_model *m = r->m;
    bool sags = find(r, "feats") || find(r, "feats.planes");
    const char *place = sags ? "xyz" : "anchor", *feats = sags ? "feats" : "anchor_feat";
    m->arch = sags ? NL_SAGS : NL_SCAFFOLD;
    m->offsets = 1;
    m->neighbours = sags ? 10 : 0;
    FV_TRY(read_counts(r, feats));
    FV_TRY(get(r, place, 3ull * m->count, false, &m->position));
    FV_TRY(get(r, feats, (uint64_t)m->count * m->feature, false, &m->features));
    FV_TRY(get(r, "scaling", 6ull * m->count, false, &m->scaling));
    FV_TRY(no_rotations(m));
    FV_TRY(get(r, "rotation", 4ull * m->count, true, &m->rotation));
    if (sags)
        return read_midpoints(r);
    FV_TRY(read_offset_count(r));
    return get(r, "offset", 3ull * m->offsets * m->count, false, &m->offset);
}

/* Columns PREFIX0 ... of a .ply into out[row][n], the k-th at out[.][at[k]] if at is given. */
static int read_columns(const struct gs_ply_table *t, const char *prefix, uint32_t n, float *out)
{
    for (uint32_t k = 0; k < n; k++) {
        char name[64];
        snprintf(name, sizeof name, "%s%u", prefix, k);
        FV_TRY(gs_ply_table_read(t, name, out + k, n));
    }
    return 0;
}

/* f_offset_: all k of x, then of y, then of z. */
static int read_offsets(struct nl_model *m, const struct gs_ply_table *t)
{
    for (uint32_t k = 0; k < 3 * m->offsets; k++) {
        char name[64];
        snprintf(name, sizeof name, "f_offset_%u", k);
        float *to = m->offset + 3 * (k % m->offsets) + k / m->offsets;
        FV_TRY(gs_ply_table_read(t, name, to, 3 * (size_t)m->offsets));
    }
    return 0;
}

static int read_table(struct nl_model *m, const struct gs_ply_table *t, const char *name)
{
    static const char *const axes[] = {"x", "y", "z"};
    size_t n = gs_ply_table_rows(t);
    uint32_t scaffold = gs_ply_table_numbered(t, "f_anchor_feat_"),
             sags = gs_ply_table_numbered(t, "feats_"),
             offsets = gs_ply_table_numbered(t, "f_offset_");
    if (!scaffold && !sags)
        return fv_fail(FV_EFORMAT, "%s: has no f_anchor_feat_0 (Scaffold-GS) and no feats_0 (SAGS)",
                       name);
    m->arch = scaffold ? NL_SCAFFOLD : NL_SAGS;
    m->feature = scaffold ? scaffold : sags;
    m->offsets = scaffold ? offsets / 3 : 1;
    m->neighbours = scaffold ? 0 : 10;
    if (n > 1u << 26)
        return fv_fail(FV_EUNSUPPORTED, "%s: %zu anchors; at most 2^26 are read", name, n);
    m->count = (uint32_t)n;
    if (scaffold && (!offsets || offsets % 3))
        return fv_fail(FV_EFORMAT, "%s: %u f_offset properties are not three an offset", name, offsets);
    m->position = nl_room(&m->arena, 3 * n, sizeof(float));
    m->features = nl_room(&m->arena, m->feature * n, sizeof(float));
    m->scaling = nl_room(&m->arena, 6 * n, sizeof(float));
    m->rotation = nl_room(&m->arena, 4 * n, sizeof(float));
    m->offset = scaffold ? nl_room(&m->arena, offsets * n, sizeof(float)) : NULL;
    if (!m->position || !m->features || !m->scaling || !m->rotation || (scaffold && !m->offset))
        return FV_ENOMEM;
    for (size_t k = 0; k < 3; k++)
        FV_TRY(gs_ply_table_read(t, axes[k], m->position + k, 3));
    FV_TRY(read_columns(t, scaffold ? "f_anchor_feat_" : "feats_", m->feature, m->features));
    FV_TRY(read_columns(t, "scale_", 6, m->scaling));
    FV_TRY(read_columns(t, "rot_", 4, m->rotation));
    return scaffold ? read_offsets(m, t) : 0;
}

int nl_read_ply(struct nl_model *m, const void *data, size_t size, const char *name)
{
    struct gs_ply_table *t;
    FV_TRY(gs_ply_table_open(&t, data, size, name));
    int rc = read_table(m, t, name);
    gs_ply_table_close(&t);
    return rc;
}
