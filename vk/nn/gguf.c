/* GGUF files (ggml's docs/gguf.md), versions 2 and 3, little-endian:
 *
 *   "GGUF" | u32 version | u64 tensors | u64 pairs
 *   pair:    string key | u32 type | value;        string: u64 length, bytes;
 *            array value: u32 type, u64 count, values
 *   tensor:  string name | u32 rank | u64 dims, fastest first | u32 type | u64 offset
 *   padding to general.alignment (32) | tensors, each at its offset from here, so aligned */
#include "vk/nn/weights_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DIMS = 4, MAX_KEY = 65535, MAX_SHOWN = 16, DEFAULT_ALIGN = 32 };

enum value_type {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    BOOL,
    STRING,
    ARRAY,
    U64,
    I64,
    F64,
    VALUE_TYPES
};
static const uint8_t value_bytes[VALUE_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

/* ggml's numbers of types; a type without a name here is not known at all. */
static const struct {
    const char *name;
    int type; /* enum nn_data; -1 = not read */
} types[] = {
    [0] = {"F32", NN_DATA_F32},
    [1] = {"F16", NN_DATA_F16},
    [2] = {"Q4_0", NN_DATA_Q4_0},
    [3] = {"Q4_1", NN_DATA_Q4_1},
    [6] = {"Q5_0", NN_DATA_Q5_0},
    [7] = {"Q5_1", NN_DATA_Q5_1},
    [8] = {"Q8_0", NN_DATA_Q8_0},
    [9] = {"Q8_1", -1},
    [10] = {"Q2_K", NN_DATA_Q2_K},
    [11] = {"Q3_K", NN_DATA_Q3_K},
    [12] = {"Q4_K", NN_DATA_Q4_K},
    [13] = {"Q5_K", NN_DATA_Q5_K},
    [14] = {"Q6_K", NN_DATA_Q6_K},
    [15] = {"Q8_K", -1},
    [16] = {"IQ2_XXS", -1},
    [17] = {"IQ2_XS", -1},
    [18] = {"IQ3_XXS", -1},
    [19] = {"IQ1_S", -1},
    [20] = {"IQ4_NL", NN_DATA_IQ4_NL},
    [21] = {"IQ3_S", -1},
    [22] = {"IQ2_S", -1},
    [23] = {"IQ4_XS", NN_DATA_IQ4_XS},
    [24] = {"I8", NN_DATA_I8},
    [25] = {"I16", NN_DATA_I16},
    [26] = {"I32", NN_DATA_I32},
    [27] = {"I64", NN_DATA_I64},
    [28] = {"F64", NN_DATA_F64},
    [29] = {"IQ1_M", -1},
    [30] = {"BF16", NN_DATA_BF16},
    [34] = {"TQ1_0", -1},
    [35] = {"TQ2_0", -1},
    [39] = {"MXFP4", -1},
};

struct gguf {
    struct nn_file *f;
    const struct nn_part *part;
    struct fv_cursor in;
    uint64_t align;
    struct nn_file_text *shapes; /* pairs that give a tensor's true shape, by tensor */
    size_t shape_count;
};

static int cut_short(const struct gguf *g, const char *where)
{
    return fv_fail(FV_EFORMAT, "%s: is cut short or damaged in its %s (byte %zu)", g->part->name,
                   where, g->in.at);
}

/* A string of the file, not ended by NUL. NULL when it does not fit or is longer than most. */
static const char *string(struct gguf *g, uint64_t most, size_t *length)
{
    uint64_t n = fv_get_u64(&g->in);
    if (g->in.failed || n > most)
        return NULL;
    *length = (size_t)n;
    return (const char *)fv_get_bytes(&g->in, (size_t)n);
}

/* ---- pairs ---- */

static int number_text(char out[32], enum value_type type, const uint8_t *p)
{
    uint64_t u = 0;
    memcpy(&u, p, value_bytes[type]);
    float f;
    double d;
    switch (type) {
    case I8:
        return snprintf(out, 32, "%d", (int8_t)u);
    case I16:
        return snprintf(out, 32, "%d", (int16_t)u);
    case I32:
        return snprintf(out, 32, "%" PRId32, (int32_t)u);
    case I64:
        return snprintf(out, 32, "%" PRId64, (int64_t)u);
    case F32:
        memcpy(&f, p, 4);
        return snprintf(out, 32, "%.9g", (double)f);
    case F64:
        memcpy(&d, p, 8);
        return snprintf(out, 32, "%.17g", d);
    case BOOL:
        return snprintf(out, 32, "%s", u ? "true" : "false");
    default:
        return snprintf(out, 32, "%" PRIu64, u);
    }
}

/* Short arrays of numbers as text, "[1, 2]"; others by their length. */
static int read_array(struct gguf *g, const char *key, size_t key_length)
{
    char text[MAX_SHOWN * 34 + 8], number[32];
    uint32_t type = fv_get_u32(&g->in);
    uint64_t n = fv_get_u64(&g->in);
    if (g->in.failed)
        return cut_short(g, "key-value pairs");
    if (type == ARRAY || type >= VALUE_TYPES)
        return fv_fail(FV_EUNSUPPORTED, "%s: '%.*s' is an array of arrays or of type %u",
                       g->part->name, (int)(key_length < 64 ? key_length : 64), key, type);
    size_t at = (size_t)snprintf(text, sizeof text, "[");
    bool shown = type != STRING && n <= MAX_SHOWN;
    if (!shown)
        at += (size_t)snprintf(text + at, sizeof text - at, "%" PRIu64 " %s", n,
                               type == STRING ? "texts" : "numbers");
    if (n > fv_cursor_left(&g->in) / (type == STRING ? 8u : value_bytes[type]))
        return cut_short(g, "key-value pairs");
    if (type != STRING && !shown)
        fv_get_bytes(&g->in, (size_t)n * value_bytes[type]);
    for (uint64_t i = 0; i < n && (type == STRING || shown); i++) {
        size_t length;
        if (type == STRING) {
            if (!string(g, UINT64_MAX, &length))
                return cut_short(g, "key-value pairs");
            continue;
        }
        number_text(number, type, fv_get_bytes(&g->in, value_bytes[type]));
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%s", i ? ", " : "", number);
    }
    at += (size_t)snprintf(text + at, sizeof text - at, "]");
    return nn_file_add_meta(g->f, key, key_length, text, at);
}

static int read_pair(struct gguf *g)
{
    size_t key_length, length;
    char number[32];
    const char *key = string(g, MAX_KEY, &key_length);
    uint32_t type = fv_get_u32(&g->in);
    if (!key || g->in.failed)
        return cut_short(g, "key-value pairs");
    if (type >= VALUE_TYPES)
        return fv_fail(FV_EFORMAT, "%s: '%.*s' is of type %u, which there is not", g->part->name,
                       (int)(key_length < 64 ? key_length : 64), key, type);
    if (type == ARRAY)
        return read_array(g, key, key_length);
    if (type == STRING) {
        const char *text = string(g, UINT64_MAX, &length);
        return text ? nn_file_add_meta(g->f, key, key_length, text, length)
                    : cut_short(g, "key-value pairs");
    }
    const uint8_t *p = fv_get_bytes(&g->in, value_bytes[type]);
    if (!p)
        return cut_short(g, "key-value pairs");
    length = (size_t)number_text(number, type, p);
    return nn_file_add_meta(g->f, key, key_length, number, length);
}

static int read_alignment(struct gguf *g)
{
    const char *text = nn_file_meta(g->f, "general.alignment");
    g->align = DEFAULT_ALIGN;
    if (text && (sscanf(text, "%" SCNu64, &g->align) != 1 || !g->align || g->align > 1 << 20 ||
                 g->align & (g->align - 1)))
        return fv_fail(FV_EFORMAT, "%s: general.alignment is %.32s, expected a power of two",
                       g->part->name, text);
    return 0;
}

/* ---- tensors ---- */

/* ComfyUI's converter flattens what has more than four dimensions and notes the true shape under
 * this key and the tensor's name. */
static const char shape_key[] = "comfy.gguf.orig_shape.";

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct nn_file_text *)a)->key, ((const struct nn_file_text *)b)->key);
}

static int collect_shapes(struct gguf *g)
{
    g->shapes = malloc((g->f->meta_count + 1) * sizeof *g->shapes);
    if (!g->shapes)
        return fv_fail(FV_ENOMEM, "%s: out of memory", g->part->name);
    for (size_t i = 0; i < g->f->meta_count; i++)
        if (!strncmp(g->f->meta[i].key, shape_key, sizeof shape_key - 1))
            g->shapes[g->shape_count++] = (struct nn_file_text){
                g->f->meta[i].key + sizeof shape_key - 1, g->f->meta[i].value};
    qsort(g->shapes, g->shape_count, sizeof *g->shapes, by_key);
    return 0;
}

/* The noted shape, if it has as many elements. */
static void restore_shape(const struct gguf *g, struct nn_file_tensor *t)
{
    const struct nn_file_text key = {t->name, NULL};
    const struct nn_file_text *note = bsearch(&key, g->shapes, g->shape_count, sizeof key, by_key);
    struct nn_file_tensor restored = *t;
    int used = 0;
    if (!note || note->value[0] != '[')
        return;
    const char *text = note->value + 1;
    for (restored.rank = 0; restored.rank < NN_FILE_MAX_RANK; restored.rank++) {
        if (sscanf(text, "%" SCNu64 "%n", &restored.shape[restored.rank], &used) != 1)
            break;
        text += used + (text[used] == ',');
    }
    if (*text == ']' && nn_file_measure(t, g->part->name) >= 0 &&
        nn_file_measure(&restored, g->part->name) >= 0 && restored.count == t->count)
        *t = restored;
}

static int read_tensor(struct gguf *g)
{
    struct nn_file_tensor t = {.contiguous = true};
    char name[NN_FILE_MAX_NAME + 1];
    size_t length;
    const char *text = string(g, NN_FILE_MAX_NAME, &length);
    if (!text || memchr(text, 0, length))
        return cut_short(g, "list of tensors");
    memcpy(name, text, length);
    name[length] = 0;
    t.name = name;
    t.rank = fv_get_u32(&g->in);
    if (t.rank > MAX_DIMS)
        return fv_fail(FV_EFORMAT, "%s: tensor '%.128s' has %u dimensions, more than %d",
                       g->part->name, name, t.rank, MAX_DIMS);
    for (unsigned i = t.rank; i-- > 0;)
        t.shape[i] = fv_get_u64(&g->in);
    uint32_t type = fv_get_u32(&g->in);
    t.offset = fv_get_u64(&g->in);
    if (g->in.failed)
        return cut_short(g, "list of tensors");
    const char *type_name = type < sizeof types / sizeof *types ? types[type].name : NULL;
    if (!type_name || types[type].type < 0)
        return fv_fail(FV_EUNSUPPORTED, "%s: tensor '%.128s' is of type %s (%u), which is not read",
                       g->part->name, name, type_name ? type_name : "unknown", type);
    t.type = (enum nn_data)types[type].type;
    if (t.offset % g->align)
        return fv_fail(FV_EFORMAT,
                       "%s: tensor '%.128s': offset %" PRIu64 " is no multiple of %" PRIu64,
                       g->part->name, name, t.offset, g->align);
    restore_shape(g, &t);
    return nn_file_add(g->f, g->part, &t);
}

/* Offsets become those of the file, once the end of the list is known. */
static int place_tensors(struct gguf *g, size_t first)
{
    uint64_t base = (g->in.at + g->align - 1) / g->align * g->align;
    for (size_t i = first; i < g->f->count; i++) {
        struct nn_file_tensor *t = &g->f->tensors[i];
        uint64_t room = base < g->part->size ? g->part->size - base : 0;
        if (t->bytes && (t->offset > room || t->bytes > room - t->offset))
            return fv_fail(FV_EFORMAT,
                           "%s: tensor '%.128s': its %" PRIu64 " bytes from byte %" PRIu64
                           " on reach beyond the end of the file (%zu bytes)",
                           g->part->name, t->name, t->bytes, base + t->offset, g->part->size);
        t->offset = t->bytes ? t->offset + base : 0;
        t->data = g->part->data + t->offset;
    }
    return nn_file_check_overlaps(g->f, first, g->part->name);
}

static int read_lists(struct gguf *g, uint64_t tensors, uint64_t pairs)
{
    size_t first = g->f->count;
    for (uint64_t i = 0; i < pairs; i++)
        FV_TRY(read_pair(g));
    FV_TRY(read_alignment(g));
    FV_TRY(collect_shapes(g));
    for (uint64_t i = 0; i < tensors; i++)
        FV_TRY(read_tensor(g));
    return place_tensors(g, first);
}

int nn_gguf_read(struct nn_file *f, const struct nn_part *part)
{
    struct gguf g = {.f = f, .part = part, .in = fv_cursor_over(part->data, part->size)};
    fv_get_u32(&g.in);
    uint32_t version = fv_get_u32(&g.in);
    uint64_t tensors = fv_get_u64(&g.in), pairs = fv_get_u64(&g.in);
    if (g.in.failed)
        return cut_short(&g, "header");
    if (version != 2 && version != 3)
        return fv_fail(FV_EUNSUPPORTED, "%s: is GGUF version %u%s; 2 and 3 are read", part->name,
                       version > 0xffff ? version >> 24 : version,
                       version > 0xffff ? " in big-endian order" : "");
    /* a pair takes 13 bytes at least, a tensor 24 */
    if (pairs > part->size / 13 || tensors > part->size / 24)
        return fv_fail(FV_EFORMAT,
                       "%s: %" PRIu64 " tensors and %" PRIu64 " pairs do not fit in %zu bytes",
                       part->name, tensors, pairs, part->size);
    int rc = read_lists(&g, tensors, pairs);
    free(g.shapes);
    return rc;
}
