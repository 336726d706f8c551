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

/* A tensor of so many values; out stays as it is where it is optional and absent. */
static int get(const struct nl_reader *r, const char *name, uint64_t count, bool optional, float **out)
{
    const struct nn_file_tensor *t = find(r, name);
    char expected[64];
    if (!t && optional)
        return 0;
    if (!t)
        return fv_fail(FV_EFORMAT, "%s: tensor %s is missing", r->name, name);
    snprintf(expected, sizeof expected, "%llu values", (unsigned long long)count);
    if (t->count != count)
        return bad_shape(r, name, t, expected);
    *out = nl_room(&r->m->arena, (size_t)count, sizeof **out);
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

static int read_midpoints(struct nl_reader *r)
{
    struct nl_model *m = r->m;
    const struct nn_file_tensor *t = find(r, "midpoints");
    uint32_t points = m->count;
    if (!t || !t->count)
        return 0;
    if (t->rank != 2 || t->shape[1] != 2 || t->shape[0] > 1u << 26 || !nn_data_is_integer(t->type))
        return bad_shape(r, "midpoints", t, "two points each");
    m->pair = nl_room(&m->arena, (size_t)t->count, sizeof *m->pair);
    if (!m->pair)
        return FV_ENOMEM;
    FV_TRY(nn_file_read(t, NN_DATA_I32, 0, t->count, m->pair));
    for (uint64_t i = 0; i < t->count; i++)
        if (m->pair[i] >= points)
            return fv_fail(FV_EFORMAT, "%s: midpoint %llu lies at point %d of %u", r->name,
                           (unsigned long long)(i / 2), (int)m->pair[i], points);
    m->midpoints = (uint32_t)t->shape[0];
    m->count += m->midpoints;
    FV_TRY(extend(m, &m->position, 3));
    FV_TRY(extend(m, &m->scaling, 6));
    FV_TRY(extend(m, &m->rotation, 4));
    nl_place_midpoints(m);
    return 0;
}

int nl_read_anchors(struct nl_reader *r)
{
    struct nl_model *m = r->m;
    bool sags = find(r, "feats") != NULL;
    const char *place = sags ? "xyz" : "anchor", *feats = sags ? "feats" : "anchor_feat";
    const struct nn_file_tensor *f = find(r, feats), *o = find(r, "offset");
    m->arch = sags ? NL_SAGS : NL_SCAFFOLD;
    m->offsets = 1;
    m->neighbours = sags ? 10 : 0;
    if (!f)
        return fv_fail(FV_EFORMAT, "%s: has neither anchor_feat (Scaffold-GS) nor feats (SAGS)", r->name);
    if (f->rank != 2 || !f->count || f->shape[0] > 1u << 26 || f->shape[1] > NL_MAX_FEATURE)
        return bad_shape(r, feats, f, "a row of up to 256 numbers an anchor");
    m->count = (uint32_t)f->shape[0];
    m->feature = (uint32_t)f->shape[1];
    FV_TRY(get(r, place, 3ull * m->count, false, &m->position));
    FV_TRY(get(r, feats, f->count, false, &m->features));
    FV_TRY(get(r, "scaling", 6ull * m->count, false, &m->scaling));
    FV_TRY(no_rotations(m));
    FV_TRY(get(r, "rotation", 4ull * m->count, true, &m->rotation));
    if (sags)
        return read_midpoints(r);
    if (o && (o->rank != 3 || o->shape[0] != m->count || o->shape[2] != 3 || !o->shape[1] ||
              o->shape[1] > NL_MAX_OFFSETS))
        return bad_shape(r, "offset", o, "k rows of 3 an anchor, k up to 32");
    m->offsets = o ? (uint32_t)o->shape[1] : 0;
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
