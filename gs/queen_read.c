/* QUEEN's own files (queen.h): frames/NNNN/compressed/point_cloud.pkl, one pickle.dump of
 *
 *   latents               {attribute: tensor, or CompressedLatents {num_latents, latent_dim,
 *                         byte_stream, cdf (numpy), mapping {value: symbol},
 *                         tail_locs {value: tensor of indices}}}
 *       xyz               {mapping: tensor of parents, ungated_indices: tensor of rows,
 *                         ungated_residuals_compressed: CompressedLatents of ten-thousandths}
 *   decoder_state_dict    {attribute: {div, layers.0.scale, layers.0.shift, layers.0.dft,
 *                         layers.2.scale ... the decoders' layers, decoded_att}}
 *   decoder_args          {attribute: {activation ...}}
 *   latent_decoders_dict  {attribute: LatentDecoder | LatentDecoderRes | DecoderIdentity}
 *
 * for the attributes xyz, f_dc, f_rest, sc, rot, op, flow. decoded_att, the attribute of the frame
 * before, is most of the file; it is what the scene at hand already holds. */
#include "gs/queen_private.h"
#include "vk/base/half.h"
#include "vk/base/pickle.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PICKLE = 1 << 30 };

struct reader {
    const char *name;
    char place[64];                /* for messages */
    struct fv_arena values, *kept; /* the pickle's; the frame's */
    struct gs_queen_frame *f;
};

static int bad(const struct reader *r, const char *what)
{
    return fv_fail(FV_EFORMAT, "%s: %s: %s", r->name, r->place, what);
}

static void *room(struct reader *r, size_t count, size_t size)
{
    size_t bytes = 0;
    void *p = NULL;
    if (__builtin_mul_overflow(count, size, &bytes) ||
        !(p = fv_arena_alloc(r->kept, bytes ? bytes : 1)))
        fv_fail(FV_ENOMEM, "%s: %s: %zu values are more than a file of this size may ask for",
                r->name, r->place, count);
    return p;
}

static const struct fv_pickle_value *of_type(const struct fv_pickle_value *v,
                                             enum fv_pickle_type type)
{
    return v && v->type == type ? v : NULL;
}

/* ---- tensors ---- */

static double number(enum fv_element e, const uint8_t *p)
{
    union {
        double f64;
        float f32;
        int64_t i64;
        int32_t i32;
        int16_t i16;
        uint16_t u16;
        uint32_t u32;
        uint64_t u64;
    } u;
    memcpy(&u, p, fv_element_size(e));
    switch (e) {
    case FV_ELEMENT_F64:
        return u.f64;
    case FV_ELEMENT_F32:
        return (double)u.f32;
    case FV_ELEMENT_F16:
        return (double)fv_f16_to_f32(u.u16);
    case FV_ELEMENT_BF16:
        return (double)fv_bf16_to_f32(u.u16);
    case FV_ELEMENT_I64:
        return (double)u.i64;
    case FV_ELEMENT_I32:
        return u.i32;
    case FV_ELEMENT_I16:
        return u.i16;
    case FV_ELEMENT_I8:
        return (int8_t)*p;
    case FV_ELEMENT_U64:
        return (double)u.u64;
    case FV_ELEMENT_U32:
        return u.u32;
    case FV_ELEMENT_U16:
        return u.u16;
    default:
        return *p;
    }
}

/* A tensor whose elements are all there. *count is their number; a tensor that repeats its storage
 * would let a small file ask for any amount. */
static int check_tensor(const struct reader *r, const struct fv_pickle_value *v, size_t *count)
{
    if (!of_type(v, FV_PICKLE_TENSOR))
        return bad(r, "no tensor");
    const struct fv_pickle_tensor *t = v->tensor;
    const struct fv_pickle_storage *s = t->storage;
    uint64_t n = 1;
    if (!s->data)
        return bad(r, "its bytes are not in the file");
    uint64_t there = s->count * fv_element_size(s->type) / fv_element_size(t->type);
    for (unsigned i = 0; i < t->rank; i++)
        if (__builtin_mul_overflow(n, t->shape[i], &n))
            return bad(r, "is too large");
    if (n && (n > there || !fv_pickle_inside(t, there)))
        return bad(r, "reaches beyond its storage");
    if (t->type == FV_ELEMENT_F8_E4M3 || t->type == FV_ELEMENT_F8_E5M2)
        return bad(r, "is of 8-bit floats");
    *count = (size_t)n;
    return 0;
}

/* Calls put(ud, i, value) for every element in row-major order. */
static int each(const struct reader *r, const struct fv_pickle_tensor *t, size_t count,
                int (*put)(const struct reader *r, void *out, size_t i, double v), void *out)
{
    uint64_t index[FV_PICKLE_MAX_RANK] = {0}, at = t->offset;
    size_t size = fv_element_size(t->type);
    for (size_t i = 0; i < count; i++) {
        FV_TRY(put(r, out, i, number(t->type, t->storage->data + at * size)));
        for (unsigned k = t->rank; k--;) {
            at += t->stride[k];
            if (++index[k] < t->shape[k])
                break;
            at -= index[k] * t->stride[k];
            index[k] = 0;
        }
    }
    return 0;
}

static int put_float(const struct reader *r, void *out, size_t i, double v)
{
    (void)r;
    ((float *)out)[i] = (float)v;
    return 0;
}

static int put_index(const struct reader *r, void *out, size_t i, double v)
{
    if (!(v >= 0 && v < UINT32_MAX) || v != (double)(uint32_t)v)
        return fv_fail(FV_EFORMAT, "%s: %s: element %zu is no index", r->name, r->place, i);
    ((uint32_t *)out)[i] = (uint32_t)v;
    return 0;
}

static int read_floats(struct reader *r, const struct fv_pickle_value *v, float **out,
                       size_t *count)
{
    FV_TRY(check_tensor(r, v, count));
    if (!(*out = room(r, *count, sizeof **out)))
        return FV_ENOMEM;
    return each(r, v->tensor, *count, put_float, *out);
}

static int read_indices(struct reader *r, const struct fv_pickle_value *v, uint32_t **out,
                        size_t *count)
{
    FV_TRY(check_tensor(r, v, count));
    if (!(*out = room(r, *count, sizeof **out)))
        return FV_ENOMEM;
    return each(r, v->tensor, *count, put_index, *out);
}

/* ---- coded integers ---- */

static int read_count(const struct reader *r, const struct fv_pickle_value *object, const char *key,
                      uint32_t *out)
{
    const struct fv_pickle_value *v = fv_pickle_get(object, key);
    if (!of_type(v, FV_PICKLE_INT) || v->integer < 0 || v->integer > INT32_MAX)
        return fv_fail(FV_EFORMAT, "%s: %s: %s is no count", r->name, r->place, key);
    *out = (uint32_t)v->integer;
    return 0;
}

static bool is_int32(const struct fv_pickle_value *v)
{
    return v->type == FV_PICKLE_INT && v->integer >= INT32_MIN && v->integer <= INT32_MAX;
}

/* {value: symbol} into the value of each symbol. */
static int read_mapping(struct reader *r, const struct fv_pickle_value *v, struct gs_queen_coded *c)
{
    if (!of_type(v, FV_PICKLE_DICT) || v->count / 2 != c->symbols)
        return bad(r, "mapping has not one value for each part of the cdf");
    int32_t *value = room(r, c->symbols, sizeof *value);
    uint8_t *seen = value ? room(r, c->symbols, 1) : NULL;
    if (!seen)
        return FV_ENOMEM;
    for (uint32_t i = 0; i + 1 < v->count; i += 2) {
        const struct fv_pickle_value *key = v->items[i], *symbol = v->items[i + 1];
        if (!is_int32(key) || symbol->type != FV_PICKLE_INT || symbol->integer < 0 ||
            symbol->integer >= c->symbols || seen[symbol->integer]++)
            return bad(r, "mapping is not of whole numbers to all symbols");
        value[symbol->integer] = (int32_t)key->integer;
    }
    c->value = value;
    return 0;
}

static int read_tails(struct reader *r, const struct fv_pickle_value *v, struct gs_queen_coded *c)
{
    size_t total = 0, at = 0, n;
    if (!of_type(v, FV_PICKLE_DICT))
        return bad(r, "tail_locs is no dict");
    for (uint32_t i = 0; i + 1 < v->count; i += 2) {
        FV_TRY(check_tensor(r, v->items[i + 1], &n));
        total += n;
    }
    /* each index once; the same tensor under many values would be many times its size */
    if (total > (size_t)c->rows * c->width)
        return bad(r, "tail_locs lists more values than there are");
    struct gs_queen_tail *tail = room(r, total, sizeof *tail);
    if (!tail)
        return FV_ENOMEM;
    for (uint32_t i = 0; i + 1 < v->count; i += 2) {
        uint32_t *locs;
        if (!is_int32(v->items[i]))
            return bad(r, "a value of tail_locs is no whole number");
        FV_TRY(read_indices(r, v->items[i + 1], &locs, &n));
        for (size_t k = 0; k < n; k++)
            tail[at++] = (struct gs_queen_tail){(int32_t)v->items[i]->integer, locs[k]};
    }
    c->tail = tail;
    c->tails = total;
    return 0;
}

/* A CompressedLatents of so many rows: its integers. */
static int read_coded(struct reader *r, const struct fv_pickle_value *v, size_t rows,
                      uint32_t most_width, int32_t **out, uint32_t *width)
{
    struct gs_queen_coded c = {0};
    float *cdf;
    size_t points;
    FV_TRY(read_count(r, v, "num_latents", &c.rows));
    FV_TRY(read_count(r, v, "latent_dim", &c.width));
    if (c.rows != rows)
        return fv_fail(FV_EFORMAT, "%s: %s: %u rows of latents for %zu Gaussians", r->name,
                       r->place, c.rows, rows);
    if (!c.width || c.width > most_width)
        return fv_fail(FV_EFORMAT, "%s: %s: %u latents a Gaussian; 1 to %u are read", r->name,
                       r->place, c.width, most_width);
    const struct fv_pickle_value *bytes = fv_pickle_get(v, "byte_stream");
    if (!of_type(bytes, FV_PICKLE_TEXT))
        return bad(r, "no byte_stream");
    c.bytes = (const uint8_t *)bytes->text;
    c.size = bytes->count;
    FV_TRY(read_floats(r, fv_pickle_get(v, "cdf"), &cdf, &points));
    if (points < 2 || points > 32769)
        return bad(r, "a cdf of no or too many values");
    c.cdf = cdf;
    c.symbols = (uint32_t)points - 1;
    FV_TRY(read_mapping(r, fv_pickle_get(v, "mapping"), &c));
    FV_TRY(read_tails(r, fv_pickle_get(v, "tail_locs"), &c));
    *width = c.width;
    if (!(*out = room(r, rows * c.width, sizeof **out)))
        return FV_ENOMEM;
    int rc = gs_queen_uncompress(&c, *out);
    return rc < 0 ? fv_wrap(rc, "%s: %s: ", r->name, r->place) : 0;
}

/* ---- decoders ---- */

/* A matrix or vector of a state dict; NULL where it is optional and absent. */
static int read_part(struct reader *r, const struct fv_pickle_value *state, const char *key,
                     bool optional, const float **out, uint32_t *rows, uint32_t *columns)
{
    const struct fv_pickle_value *v = fv_pickle_get(state, key);
    size_t n;
    float *values;
    *out = NULL;
    if (!v && optional)
        return 0;
    snprintf(r->place + strcspn(r->place, " "), 40, " %.36s", key);
    FV_TRY(read_floats(r, v, &values, &n));
    const struct fv_pickle_tensor *t = v->tensor;
    if (t->rank < 1 || t->rank > 2 || !n || t->shape[0] > GS_QUEEN_MAX_WIDTH ||
        t->shape[t->rank - 1] > GS_QUEEN_MAX_WIDTH)
        return bad(r, "is no matrix of a decoder's size");
    *rows = t->rank == 2 ? (uint32_t)t->shape[0] : 1;
    *columns = (uint32_t)t->shape[t->rank - 1];
    *out = values;
    r->place[strcspn(r->place, " ")] = 0;
    return 0;
}

/* layers.N.scale [in, out], or .dft [in, out] and .scale [1, out]; .shift [1, out]. */
static int read_layer(struct reader *r, const struct fv_pickle_value *state, unsigned number,
                      struct gs_queen_layer *l)
{
    char key[32];
    uint32_t rows, columns, one = 1, width;
    snprintf(key, sizeof key, "layers.%u.dft", number);
    FV_TRY(read_part(r, state, key, true, &l->w, &l->in, &l->out));
    snprintf(key, sizeof key, "layers.%u.scale", number);
    if (l->w) {
        FV_TRY(read_part(r, state, key, false, &l->scale, &one, &width));
        if (one != 1 || width != l->out)
            return bad(r, "the scale of a dft layer is of another size");
    } else {
        FV_TRY(read_part(r, state, key, false, &l->w, &rows, &columns));
        l->in = rows;
        l->out = columns;
    }
    snprintf(key, sizeof key, "layers.%u.shift", number);
    width = l->out;
    FV_TRY(read_part(r, state, key, true, &l->shift, &one, &width));
    return one == 1 && width == l->out ? 0 : bad(r, "the shift of a layer is of another size");
}

static int read_activation(const struct reader *r, const struct fv_pickle_value *args,
                           const char *key, enum gs_queen_activation *out)
{
    static const char *const names[] = {"none", "relu", "sigmoid", "tanh"};
    const struct fv_pickle_value *v = args ? fv_pickle_get(args, key) : NULL;
    *out = GS_QUEEN_LINEAR;
    if (!v || v->type == FV_PICKLE_NONE)
        return 0;
    for (unsigned i = 0; i < 4; i++)
        if (fv_pickle_is(v, names[i])) {
            *out = (enum gs_queen_activation)i;
            return 0;
        }
    bool text = v->type == FV_PICKLE_TEXT;
    return fv_fail(FV_EUNSUPPORTED, "%s: %s: %s '%.*s'; none, relu, sigmoid and tanh are read",
                   r->name, r->place, key, text ? (int)(v->count < 32 ? v->count : 32) : 1,
                   text ? v->text : "?");
}

/* QUEEN's files name no final activation, and its loader takes none. */
static int read_decoder(struct reader *r, const struct fv_pickle_value *state,
                        const struct fv_pickle_value *args, struct gs_queen_decoder *d)
{
    enum gs_queen_activation hidden, final;
    char key[32];
    uint32_t one, width = 0;
    if (!of_type(state, FV_PICKLE_DICT))
        return bad(r, "no decoder_state_dict");
    FV_TRY(read_activation(r, args, "activation", &hidden));
    FV_TRY(read_activation(r, args, "final_activation", &final));
    do {
        if (d->layer_count == GS_QUEEN_MAX_LAYERS)
            return bad(r, "a decoder of too many layers");
        struct gs_queen_layer *l = &d->layer[d->layer_count];
        FV_TRY(read_layer(r, state, 2 * d->layer_count++, l));
        l->activation = hidden;
        snprintf(key, sizeof key, "layers.%u.scale", 2 * d->layer_count);
    } while (fv_pickle_get(state, key));
    d->layer[d->layer_count - 1].activation = final;
    FV_TRY(read_part(r, state, "div", true, &d->div, &one, &width));
    if (d->div && (one != 1 || width != d->layer[0].in))
        return bad(r, "div is of another size");
    for (uint32_t i = 0; i < width; i++)
        if (!(d->div[i] > 0))
            return bad(r, "div is not above 0");
    return 0;
}

/* ---- attributes ---- */

/* QUEEN's residual decoders have no use for a first frame: there latents are the values. */
static int read_attribute(struct reader *r, const struct fv_pickle_value *root,
                          enum gs_queen_attribute a)
{
    const char *name = gs_queen_attribute_name(a);
    struct gs_queen_change *c = &r->f->change[a];
    const struct fv_pickle_value *latents = fv_pickle_get(root, "latents");
    const struct fv_pickle_value *states = fv_pickle_get(root, "decoder_state_dict");
    const struct fv_pickle_value *args = fv_pickle_get(root, "decoder_args");
    const struct fv_pickle_value *kinds = fv_pickle_get(root, "latent_decoders_dict");
    const struct fv_pickle_value *v = fv_pickle_get(latents, name);
    const struct fv_pickle_value *kind = kinds ? fv_pickle_get(kinds, name) : NULL;
    size_t n;
    snprintf(r->place, sizeof r->place, "%s", name);
    if (!v)
        return bad(r, "is missing from latents");
    if (v->type == FV_PICKLE_TENSOR) {
        float *values;
        c->kind = GS_QUEEN_PLAIN;
        FV_TRY(read_floats(r, v, &values, &n));
        if (n % r->f->count)
            return bad(r, "has not the same number of values for every Gaussian");
        c->values = values;
        c->width = n / r->f->count > 45 ? 46 : (uint32_t)(n / r->f->count); /* 46: too many */
        if (a == GS_QUEEN_REST && !n)
            c->kind = GS_QUEEN_KEPT;
        return 0;
    }
    if (v->type != FV_PICKLE_OBJECT)
        return bad(r, "is neither a tensor nor coded");
    if (!kind || (!fv_pickle_is(kind, "LatentDecoder") && !fv_pickle_is(kind, "LatentDecoderRes")))
        return bad(r, "is coded, but latent_decoders_dict names no decoder for it");
    c->kind = fv_pickle_is(kind, "LatentDecoder") ? GS_QUEEN_ABSOLUTE : GS_QUEEN_RESIDUAL;
    FV_TRY(read_decoder(r, states ? fv_pickle_get(states, name) : NULL,
                        args ? fv_pickle_get(args, name) : NULL, &c->decoder));
    int32_t *latent;
    uint32_t width, last = c->decoder.layer[c->decoder.layer_count - 1].out;
    FV_TRY(read_coded(r, v, r->f->count, GS_QUEEN_MAX_LATENTS, &latent, &width));
    c->latent = latent;
    int rc = gs_queen_check_decoder(&c->decoder, width, last);
    return rc < 0 ? fv_wrap(FV_EFORMAT, "%s: %s: ", r->name, r->place) : 0;
}

/* {mapping, ungated_indices, ungated_residuals_compressed}, or all positions. */
static int read_positions(struct reader *r, const struct fv_pickle_value *root)
{
    struct gs_queen_frame *f = r->f;
    const struct fv_pickle_value *latents = fv_pickle_get(root, "latents");
    const struct fv_pickle_value *xyz = latents ? fv_pickle_get(latents, "xyz") : NULL;
    size_t n, moved;
    snprintf(r->place, sizeof r->place, "xyz");
    if (of_type(xyz, FV_PICKLE_TENSOR)) {
        float *position;
        FV_TRY(read_floats(r, xyz, &position, &n));
        if (!n || n % 3 || n / 3 > INT32_MAX)
            return bad(r, "is not three values for every Gaussian");
        f->count = (uint32_t)(n / 3);
        f->position = position;
        return 0;
    }
    if (!of_type(xyz, FV_PICKLE_DICT))
        return bad(r, "no latents of a QUEEN frame");
    uint32_t *parent, *row, width;
    int32_t *residual;
    snprintf(r->place, sizeof r->place, "xyz.mapping");
    FV_TRY(read_indices(r, fv_pickle_get(xyz, "mapping"), &parent, &n));
    if (!n || n > INT32_MAX)
        return bad(r, "no Gaussians");
    f->count = (uint32_t)n;
    f->parent = parent;
    snprintf(r->place, sizeof r->place, "xyz.ungated_indices");
    FV_TRY(read_indices(r, fv_pickle_get(xyz, "ungated_indices"), &row, &moved));
    for (size_t i = 0; i < moved; i++)
        if (row[i] >= n || (i && row[i] <= row[i - 1]))
            return bad(r, "not rows in ascending order");
    if (!moved)
        return 0;
    snprintf(r->place, sizeof r->place, "xyz.ungated_residuals_compressed");
    const struct fv_pickle_value *coded = fv_pickle_get(xyz, "ungated_residuals_compressed");
    if (!of_type(coded, FV_PICKLE_OBJECT))
        return bad(r, "is missing");
    FV_TRY(read_coded(r, coded, moved, 3, &residual, &width));
    if (width != 3)
        return bad(r, "not three values for every row");
    float *by = room(r, 3 * moved, sizeof *by);
    if (!by)
        return FV_ENOMEM;
    for (size_t i = 0; i < 3 * moved; i++)
        by[i] = (float)residual[i] / 10000.0f;
    f->moved = (uint32_t)moved;
    f->moved_row = row;
    f->moved_by = by;
    return 0;
}

/* Widths that do not depend on the scene: an SH degree's, or an attribute's own. */
static int check_widths(struct reader *r)
{
    for (int a = 0; a < GS_QUEEN_ATTRIBUTES; a++) {
        struct gs_queen_change *c = &r->f->change[a];
        uint32_t out = c->kind == GS_QUEEN_PLAIN ? c->width
                       : c->kind                 ? c->decoder.layer[c->decoder.layer_count - 1].out
                                                 : 0;
        uint32_t want = gs_queen_width((enum gs_queen_attribute)a, 0);
        bool good = a == GS_QUEEN_REST ? !out || out == 9 || out == 24 || out == 45 : out == want;
        if (!good)
            return fv_fail(FV_EFORMAT, "%s: %s: %u values a Gaussian", r->name,
                           gs_queen_attribute_name((enum gs_queen_attribute)a), out);
    }
    return 0;
}

static int read_frame(struct reader *r, const uint8_t *data, size_t size)
{
    static const char *const classes[] = {"utils.compress_utils.CompressedLatents", NULL};
    const struct fv_pickle_value *root;
    FV_TRY(fv_pickle_read(&root, &r->values, data, size, r->name,
                          &(struct fv_pickle_opts){.classes = classes, .in_band = true}));
    FV_TRY(read_positions(r, root));
    for (int a = 0; a < GS_QUEEN_ATTRIBUTES; a++)
        FV_TRY(read_attribute(r, root, (enum gs_queen_attribute)a));
    return check_widths(r);
}

int gs_queen_parse(struct gs_queen_frame *out, const void *data, size_t size, const char *name)
{
    struct reader r = {.name = name, .f = out};
    *out = (struct gs_queen_frame){0};
    if (size > MAX_PICKLE)
        return fv_fail(FV_EUNSUPPORTED, "%s: larger than 1 GiB", name);
    r.kept = out->memory = calloc(1, sizeof *r.kept);
    if (!r.kept)
        return fv_fail(FV_ENOMEM, "out of memory");
    r.values.cap = 128 * size + (1 << 20);
    r.kept->cap = 256 * size + (1 << 20);
    int rc = read_frame(&r, data, size);
    fv_arena_finish(&r.values);
    if (rc < 0)
        gs_queen_frame_finish(out);
    return rc;
}

int gs_queen_read(struct gs_queen_frame *out, const char *path)
{
    struct fv_map map;
    *out = (struct gs_queen_frame){0};
    FV_TRY(fv_map_open(&map, path));
    int rc = gs_queen_parse(out, map.data, map.size, path);
    fv_map_close(&map);
    return rc;
}

void gs_queen_frame_finish(struct gs_queen_frame *f)
{
    if (f->memory)
        fv_arena_finish(f->memory);
    free(f->memory);
    *f = (struct gs_queen_frame){0};
}
