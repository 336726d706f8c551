/* PyTorch checkpoints as torch.save writes them since 1.6, and TorchScript archives: a zip of
 *
 *   NAME/data.pkl        the object, a pickle (vk/base/pickle.h) whose tensors refer to storages by
 *                        key
 *   NAME/data/KEY        their bytes, stored (not compressed), little-endian
 *   NAME/byteorder       "little"; absent in older files
 *   NAME/constants.pkl   TorchScript: a tuple of tensors, bytes in NAME/constants/KEY
 *
 * Dicts, lists and modules are walked to flat names; shared storages stay shared. */
#include "vk/base/pickle.h"
#include "vk/base/zip.h"
#include "vk/nn/weights_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 64, MAX_PICKLE = 1 << 30 };

struct checkpoint {
    struct nn_file *f;
    const struct nn_part *part;
    struct fv_zip zip;
    const struct fv_zip_member **sorted; /* by name */
    struct fv_arena arena;               /* of the pickles' values */
    /* of the pickle being walked */
    char folder[NN_FILE_MAX_NAME + 32]; /* "NAME/data/" */
    char name[NN_FILE_MAX_NAME + 1];
    size_t budget; /* values still to be visited */
};

/* ---- members ---- */

static int by_name(const void *a, const void *b)
{
    const struct fv_zip_member *x = *(const struct fv_zip_member *const *)a;
    const struct fv_zip_member *y = *(const struct fv_zip_member *const *)b;
    return strcmp(x->name, y->name);
}

static const struct fv_zip_member *find_member(const struct checkpoint *c, const char *name)
{
    const struct fv_zip_member wanted = {.name = (char *)(uintptr_t)name}, *key = &wanted;
    const struct fv_zip_member **m =
        bsearch(&key, c->sorted, c->zip.count, sizeof *c->sorted, by_name);
    return m ? *m : NULL;
}

static int open_zip(struct checkpoint *c)
{
    FV_TRY(fv_zip_open(&c->zip, c->part->data, c->part->size, c->part->name));
    c->sorted = malloc((c->zip.count ? c->zip.count : 1) * sizeof *c->sorted);
    if (!c->sorted)
        return fv_fail(FV_ENOMEM, "%s: out of memory", c->part->name);
    for (size_t i = 0; i < c->zip.count; i++)
        c->sorted[i] = &c->zip.members[i];
    qsort(c->sorted, c->zip.count, sizeof *c->sorted, by_name);
    return 0;
}

/* "NAME/" of the member NAME/data.pkl, outermost first. */
static int find_prefix(const struct checkpoint *c, char prefix[NN_FILE_MAX_NAME])
{
    const char *best = NULL;
    for (size_t i = 0; i < c->zip.count; i++) {
        const char *name = c->zip.members[i].name;
        if (!strcmp(fv_path_base(name), "data.pkl") && (!best || strlen(name) < strlen(best)))
            best = name;
    }
    if (!best || strlen(best) >= NN_FILE_MAX_NAME - 32)
        return fv_fail(FV_EFORMAT,
                       "%s: is a zip archive without a data.pkl; not a PyTorch "
                       "checkpoint",
                       c->part->name);
    snprintf(prefix, NN_FILE_MAX_NAME, "%.*s", (int)(fv_path_base(best) - best), best);
    return 0;
}

static int check_byte_order(const struct checkpoint *c, const char *prefix)
{
    char name[NN_FILE_MAX_NAME + 16];
    const uint8_t *text;
    void *heap;
    snprintf(name, sizeof name, "%sbyteorder", prefix);
    const struct fv_zip_member *m = find_member(c, name);
    if (!m)
        return 0;
    FV_TRY(fv_zip_read(&c->zip, m, 64, &text, &heap));
    bool little = m->size == 6 && !memcmp(text, "little", 6);
    free(heap);
    return little
               ? 0
               : fv_fail(FV_EUNSUPPORTED, "%s: was saved on a big-endian machine", c->part->name);
}

/* ---- tensors ---- */

static enum nn_data data_of(enum fv_element e)
{
    static const enum nn_data data[FV_ELEMENT_COUNT] = {
        [FV_ELEMENT_F64] = NN_DATA_F64,         [FV_ELEMENT_F32] = NN_DATA_F32,
        [FV_ELEMENT_F16] = NN_DATA_F16,         [FV_ELEMENT_BF16] = NN_DATA_BF16,
        [FV_ELEMENT_F8_E4M3] = NN_DATA_F8_E4M3, [FV_ELEMENT_F8_E5M2] = NN_DATA_F8_E5M2,
        [FV_ELEMENT_I64] = NN_DATA_I64,         [FV_ELEMENT_I32] = NN_DATA_I32,
        [FV_ELEMENT_I16] = NN_DATA_I16,         [FV_ELEMENT_I8] = NN_DATA_I8,
        [FV_ELEMENT_U64] = NN_DATA_U64,         [FV_ELEMENT_U32] = NN_DATA_U32,
        [FV_ELEMENT_U16] = NN_DATA_U16,         [FV_ELEMENT_U8] = NN_DATA_U8,
        [FV_ELEMENT_BOOL] = NN_DATA_BOOL};
    return data[e];
}

/* The member of a storage, large enough for it and stored. */
static int find_storage(const struct checkpoint *c, const struct fv_pickle_storage *s,
                        const struct fv_zip_member **out)
{
    char name[2 * NN_FILE_MAX_NAME];
    uint64_t bytes = s->count;
    enum nn_data type = data_of(s->type);
    if (s->key_length >= NN_FILE_MAX_NAME)
        return fv_fail(FV_EFORMAT, "%s: tensor '%.128s': the key of its storage is too long",
                       c->part->name, c->name);
    snprintf(name, sizeof name, "%s%.*s", c->folder, (int)s->key_length, s->key);
    const struct fv_zip_member *m = *out = find_member(c, name);
    if (!m)
        return fv_fail(FV_EFORMAT, "%s: tensor '%.128s': its bytes, member '%.128s', are missing",
                       c->part->name, c->name, name);
    FV_TRY(fv_zip_stored(&c->zip, m));
    if (__builtin_mul_overflow(bytes, nn_data_block_bytes(type), &bytes) || bytes > m->size)
        return fv_fail(FV_EFORMAT,
                       "%s: tensor '%.128s': its storage of %" PRIu64 " %s is larger than member "
                       "'%.64s' of %" PRIu64 " bytes",
                       c->part->name, c->name, s->count, nn_data_name(type), name, m->size);
    return 0;
}

static int add_tensor(struct checkpoint *c, const struct fv_pickle_tensor *t)
{
    const struct fv_zip_member *m = NULL;
    struct nn_file_tensor out = {.name = c->name, .type = data_of(t->type), .rank = t->rank};
    uint32_t size = nn_data_block_bytes(out.type);
    FV_TRY(find_storage(c, t->storage, &m));
    uint64_t elements = t->storage->count;
    if (t->storage->untyped || t->storage->type != t->type)
        elements = elements * fv_element_size(t->storage->type) / size; /* bytes: no overflow */
    _Static_assert((int)FV_PICKLE_MAX_RANK == (int)NN_FILE_MAX_RANK,
                   "any tensor of a pickle can be listed");
    memcpy(out.shape, t->shape, sizeof out.shape);
    memcpy(out.stride, t->stride, sizeof out.stride);
    FV_TRY(nn_file_measure(&out, c->part->name));
    if (!fv_pickle_inside(t, elements)) {
        char text[160];
        nn_shape_text(text, t->shape, t->rank);
        return fv_fail(FV_EFORMAT,
                       "%s: tensor '%.128s' of %s from element %" PRIu64
                       " on reaches beyond its storage of %" PRIu64,
                       c->part->name, c->name, text, t->offset, elements);
    }
    /* repeated by strides of 0: no more than a small file may ask for */
    if (out.count > elements && out.count > 1u << 28)
        return fv_fail(FV_EUNSUPPORTED,
                       "%s: tensor '%.128s' repeats its storage to %" PRIu64 " elements",
                       c->part->name, c->name, out.count);
    out.offset = (uint64_t)(m->packed - c->part->data) + (out.count ? t->offset * size : 0);
    return nn_file_add(c->f, c->part, &out);
}

/* ---- the walk ---- */

static int walk(struct checkpoint *c, const struct fv_pickle_value *v, size_t length, int depth);

/* One step down: ".key" is added to the name. Keys that are no names hold nothing of interest. */
static int walk_member(struct checkpoint *c, const struct fv_pickle_value *key, uint32_t index,
                       const struct fv_pickle_value *v, size_t length, int depth)
{
    char number[24];
    const char *text = number;
    size_t n = (size_t)snprintf(number, sizeof number, "%" PRIu32, index);
    if (v->type < FV_PICKLE_TUPLE) /* numbers and texts */
        return 0;
    if (key && key->type == FV_PICKLE_INT)
        n = (size_t)snprintf(number, sizeof number, "%" PRId64, key->integer);
    else if (key && key->type == FV_PICKLE_TEXT)
        text = key->text, n = key->count;
    else if (key)
        return 0;
    if (length + n + 1 > NN_FILE_MAX_NAME)
        return fv_fail(FV_EFORMAT, "%s: a tensor's name is longer than %d bytes: '%.64s...'",
                       c->part->name, NN_FILE_MAX_NAME, c->name);
    if (memchr(text, 0, n))
        return fv_fail(FV_EFORMAT, "%s: a tensor's name holds a control character", c->part->name);
    if (length)
        c->name[length++] = '.';
    memcpy(c->name + length, text, n);
    c->name[length + n] = 0;
    return walk(c, v, length + n, depth + 1);
}

/* Adds the tensors below v, whose name of that length stands in c->name. */
static int walk(struct checkpoint *c, const struct fv_pickle_value *v, size_t length, int depth)
{
    if (depth > MAX_DEPTH)
        return fv_fail(FV_EFORMAT, "%s: nested more than %d deep at '%.64s'", c->part->name,
                       MAX_DEPTH, c->name);
    if (!c->budget--)
        return fv_fail(FV_EFORMAT, "%s: holds the same containers over and over", c->part->name);
    if (v->type == FV_PICKLE_TENSOR)
        return add_tensor(c, v->tensor);
    if (v->type == FV_PICKLE_TUPLE || v->type == FV_PICKLE_LIST)
        for (uint32_t i = 0; i < v->count; i++)
            FV_TRY(walk_member(c, NULL, i, v->items[i], length, depth));
    if (v->type == FV_PICKLE_DICT || v->type == FV_PICKLE_OBJECT)
        for (uint32_t i = 0; i + 1 < v->count; i += 2)
            FV_TRY(walk_member(c, v->items[i], 0, v->items[i + 1], length, depth));
    return 0;
}

/* Numbers and texts beside the tensors: epoch, step, notes. */
static int add_facts(struct checkpoint *c, const struct fv_pickle_value *v)
{
    char text[64];
    for (uint32_t i = 0; v->type == FV_PICKLE_DICT && i + 1 < v->count; i += 2) {
        const struct fv_pickle_value *key = v->items[i], *fact = v->items[i + 1];
        const char *shown = text;
        size_t n;
        if (key->type != FV_PICKLE_TEXT)
            continue;
        if (fact->type == FV_PICKLE_INT)
            n = (size_t)snprintf(text, sizeof text, "%" PRId64, fact->integer);
        else if (fact->type == FV_PICKLE_FLOAT)
            n = (size_t)snprintf(text, sizeof text, "%.17g", fact->real);
        else if (fact->type == FV_PICKLE_BOOL)
            n = (size_t)snprintf(text, sizeof text, "%s", fact->integer ? "true" : "false");
        else if (fact->type == FV_PICKLE_TEXT)
            shown = fact->text, n = fact->count;
        else
            continue;
        FV_TRY(nn_file_add_meta(c->f, key->text, key->count, shown, n));
    }
    return 0;
}

/* A dict with tensors in it is the one that was meant. */
static bool has_tensors(const struct fv_pickle_value *v)
{
    for (uint32_t i = 0; i + 1 < v->count; i += 2)
        if (v->items[i + 1]->type == FV_PICKLE_TENSOR)
            return true;
    return false;
}

static const struct fv_pickle_value *usual_root(const struct fv_pickle_value *v, const char **key)
{
    static const char *const keys[] = {"state_dict", "ema",        "model",
                                       "module",     "params_ema", "params"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const struct fv_pickle_value *inner = fv_pickle_get(v, keys[i]);
        *key = keys[i];
        if (inner && inner->type == FV_PICKLE_DICT && inner->count)
            return inner;
    }
    return NULL;
}

/* Down to the dict of tensors that is listed. */
static int find_root(struct checkpoint *c, const struct fv_pickle_value **v,
                     const struct nn_file_opts *opts)
{
    const char *key = opts ? opts->root : NULL;
    FV_TRY(add_facts(c, *v));
    if (key) {
        const struct fv_pickle_value *inner = fv_pickle_get(*v, key);
        if (!inner || inner->type < FV_PICKLE_TUPLE)
            return fv_fail(FV_EINVALID, "%s: has no set of tensors '%.64s'", c->part->name, key);
        *v = inner;
        return nn_file_add_metaf(c->f, "root", "%.128s", key);
    }
    for (int depth = 0; depth < 4 && (*v)->type == FV_PICKLE_DICT && !has_tensors(*v); depth++) {
        const struct fv_pickle_value *inner = usual_root(*v, &key);
        if (!inner)
            return 0;
        FV_TRY(nn_file_add_metaf(c->f, "root", "%s", key));
        FV_TRY(add_facts(c, inner));
        *v = inner;
    }
    return 0;
}

/* ---- one pickle ---- */

static int read_pickle(struct checkpoint *c, const struct fv_zip_member *m,
                       const struct fv_pickle_value **out, void **heap)
{
    char name[NN_FILE_MAX_NAME + 600];
    const uint8_t *data;
    FV_TRY(fv_zip_read(&c->zip, m, MAX_PICKLE, &data, heap));
    snprintf(name, sizeof name, "%s: %s", c->part->name, fv_path_base(m->name));
    size_t size = (size_t)m->size;
    c->arena.cap = c->arena.used + 128 * size + (1 << 20);
    c->budget = 4 * size + 1000;
    return fv_pickle_read(out, &c->arena, data, size, name,
                          &(struct fv_pickle_opts){.advice = "; save the state dict alone"});
}

/* TorchScript's constants, under the names its code has for them. */
static int add_constants(struct checkpoint *c, const char *prefix)
{
    const struct fv_pickle_value *v;
    void *heap = NULL;
    char name[NN_FILE_MAX_NAME + 16];
    snprintf(name, sizeof name, "%sconstants.pkl", prefix);
    const struct fv_zip_member *m = find_member(c, name);
    if (!m)
        return 0;
    FV_TRY(nn_file_add_metaf(c->f, "format", "TorchScript"));
    snprintf(c->folder, sizeof c->folder, "%sconstants/", prefix);
    int rc = read_pickle(c, m, &v, &heap);
    for (uint32_t i = 0; rc >= 0 && v->type == FV_PICKLE_TUPLE && i < v->count; i++) {
        snprintf(c->name, sizeof c->name, "CONSTANTS.c%u", i);
        if (v->items[i]->type == FV_PICKLE_TENSOR)
            rc = add_tensor(c, v->items[i]->tensor);
    }
    free(heap);
    return rc;
}

static int add_data(struct checkpoint *c, const char *prefix, const struct nn_file_opts *opts)
{
    const struct fv_pickle_value *v;
    void *heap = NULL;
    char name[NN_FILE_MAX_NAME + 16];
    snprintf(name, sizeof name, "%sdata.pkl", prefix);
    snprintf(c->folder, sizeof c->folder, "%sdata/", prefix);
    int rc = read_pickle(c, find_member(c, name), &v, &heap);
    if (rc >= 0)
        rc = find_root(c, &v, opts);
    bool alone = rc >= 0 && v->type == FV_PICKLE_TENSOR;
    snprintf(c->name, sizeof c->name, "%s", alone ? "tensor" : "");
    if (rc >= 0)
        rc = walk(c, v, alone ? 6 : 0, 0);
    free(heap);
    return rc;
}

int nn_torch_read(struct nn_file *f, const struct nn_part *part, const struct nn_file_opts *opts)
{
    struct checkpoint *c = calloc(1, sizeof *c);
    char prefix[NN_FILE_MAX_NAME];
    size_t first = f->count;
    if (!c)
        return fv_fail(FV_ENOMEM, "%s: out of memory", part->name);
    c->f = f;
    c->part = part;
    int rc = open_zip(c);
    if (rc >= 0)
        rc = find_prefix(c, prefix);
    if (rc >= 0)
        rc = check_byte_order(c, prefix);
    if (rc >= 0)
        rc = add_data(c, prefix, opts);
    if (rc >= 0)
        rc = add_constants(c, prefix);
    if (rc >= 0 && f->count == first)
        rc = fv_fail(FV_EFORMAT, "%s: holds no tensors", part->name);
    fv_arena_finish(&c->arena);
    free(c->sorted);
    fv_zip_close(&c->zip);
    free(c);
    return rc;
}
