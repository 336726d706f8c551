/* Weight files: opening, recognising, the list of tensors and its checks (weights.h). The formats
 * are read by safetensors.c, checkpoint_zip.c and gguf.c. */
#include "vk/nn/weights_private.h"
#include "vk/base/array.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARENA_CAP = 1 << 30, MAX_META_VALUE = 1 << 16 };

/* ---- the list ---- */

static bool mul(uint64_t *a, uint64_t b)
{
    return !__builtin_mul_overflow(*a, b, a);
}

int nn_file_measure(struct nn_file_tensor *t, const char *file)
{
    char text[160];
    uint32_t block = nn_data_block(t->type);
    if (t->rank > NN_FILE_MAX_RANK)
        return fv_fail(FV_EUNSUPPORTED, "%s: tensor '%.128s' has %u dimensions, more than %d", file,
                       t->name, t->rank, NN_FILE_MAX_RANK);
    t->count = 1;
    for (unsigned i = 0; i < t->rank; i++)
        if (t->shape[i] > INT64_MAX || !mul(&t->count, t->shape[i])) {
            nn_shape_text(text, t->shape, t->rank);
            return fv_fail(FV_EFORMAT, "%s: tensor '%.128s': the shape %s is too large", file,
                           t->name, text);
        }
    if (block > 1 && (!t->rank || t->shape[t->rank - 1] % block)) {
        nn_shape_text(text, t->shape, t->rank);
        return fv_fail(FV_EFORMAT,
                       "%s: tensor '%.128s': rows of %s are no whole number of %s blocks of %u",
                       file, t->name, text, nn_data_name(t->type), block);
    }
    t->bytes = t->count / block;
    if (!mul(&t->bytes, nn_data_block_bytes(t->type)) || t->bytes > INT64_MAX)
        return fv_fail(FV_EFORMAT, "%s: tensor '%.128s' of %" PRIu64 " elements is too large", file,
                       t->name, t->count);
    return 0;
}

/* Row-major strides, or a check whether those given are that; the bytes they span. */
static int set_strides(struct nn_file_tensor *t, const char *file)
{
    uint64_t step = 1, last = 0;
    bool dense = true;
    for (unsigned i = t->rank; i-- > 0;) {
        if (t->contiguous)
            t->stride[i] = step;
        dense = dense && (t->stride[i] == step || t->shape[i] <= 1);
        uint64_t reach = t->shape[i] ? t->shape[i] - 1 : 0;
        if (!mul(&reach, t->stride[i]) || __builtin_add_overflow(last, reach, &last))
            return fv_fail(FV_EFORMAT, "%s: tensor '%.128s': its strides are too large", file,
                           t->name);
        step *= t->shape[i] ? t->shape[i] : 1; /* at most count: no overflow unless count is 0 */
    }
    t->contiguous = dense || !t->count;
    t->span = t->contiguous ? t->bytes : last + 1;
    if (!t->contiguous && !mul(&t->span, nn_data_block_bytes(t->type)))
        return fv_fail(FV_EFORMAT, "%s: tensor '%.128s': its strides are too large", file, t->name);
    return 0;
}

static int check_name(const char *name, const char *file)
{
    if (!*name)
        return fv_fail(FV_EFORMAT, "%s: a tensor has no name", file);
    if (strlen(name) > NN_FILE_MAX_NAME)
        return fv_fail(FV_EFORMAT, "%s: a tensor's name is longer than %d bytes: '%.64s...'", file,
                       NN_FILE_MAX_NAME, name);
    for (const char *c = name; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return fv_fail(FV_EFORMAT, "%s: a tensor's name holds a control character", file);
    return 0;
}

int nn_file_add(struct nn_file *f, const struct nn_part *part, const struct nn_file_tensor *from)
{
    struct nn_file_tensor t = *from;
    FV_TRY(check_name(t.name, part->name));
    FV_TRY(nn_file_measure(&t, part->name));
    FV_TRY(set_strides(&t, part->name));
    if (t.offset > part->size || t.span > part->size - t.offset)
        return fv_fail(FV_EFORMAT,
                       "%s: tensor '%.128s': its %" PRIu64 " bytes from byte %" PRIu64
                       " on reach beyond the end of the file (%zu bytes)",
                       part->name, t.name, t.span, t.offset, part->size);
    if (f->count >= NN_FILE_MAX_TENSORS)
        return fv_fail(FV_EUNSUPPORTED, "%s: holds more than %d tensors", part->name,
                       NN_FILE_MAX_TENSORS);
    t.data = part->data + t.offset;
    t.part = part->index;
    t.name = fv_arena_strndup(&f->p->arena, t.name, strlen(t.name));
    if (!t.name)
        return fv_wrap(FV_ENOMEM, "%s: ", part->name);
    FV_TRY(fv_grow(&f->tensors, &f->p->tensor_room, f->count, sizeof *f->tensors));
    f->tensors[f->count++] = t;
    return 0;
}

int nn_file_add_meta(struct nn_file *f, const char *key, size_t key_len, const char *value,
                     size_t value_len)
{
    if (f->meta_count >= NN_FILE_MAX_META)
        return fv_fail(FV_EFORMAT, "%s: holds more than %d facts beside its tensors", f->name,
                       NN_FILE_MAX_META);
    char *k = fv_arena_strndup(&f->p->arena, key, key_len);
    char *v = fv_arena_strndup(&f->p->arena, value,
                               value_len < MAX_META_VALUE ? value_len : MAX_META_VALUE);
    if (!k || !v)
        return fv_wrap(FV_ENOMEM, "%s: ", f->name);
    FV_TRY(fv_grow(&f->meta, &f->p->meta_room, f->meta_count, sizeof *f->meta));
    f->meta[f->meta_count++] = (struct nn_file_text){k, v};
    return 0;
}

int nn_file_add_metaf(struct nn_file *f, const char *key, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return nn_file_add_meta(f, key, strlen(key), text, strlen(text));
}

static int by_offset(const void *a, const void *b)
{
    const struct nn_file_tensor *x = *(const struct nn_file_tensor *const *)a;
    const struct nn_file_tensor *y = *(const struct nn_file_tensor *const *)b;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

int nn_file_check_overlaps(const struct nn_file *f, size_t first, const char *file)
{
    size_t n = f->count - first;
    const struct nn_file_tensor **order = malloc((n ? n : 1) * sizeof *order);
    int rc = 0;
    if (!order)
        return fv_fail(FV_ENOMEM, "%s: out of memory", file);
    for (size_t i = 0; i < n; i++)
        order[i] = &f->tensors[first + i];
    qsort(order, n, sizeof *order, by_offset);
    for (size_t i = 1; i < n && rc >= 0; i++) {
        const struct nn_file_tensor *a = order[i - 1], *b = order[i];
        if (a->bytes > b->offset - a->offset)
            rc = fv_fail(FV_EFORMAT, "%s: tensors '%.128s' and '%.128s' overlap at byte %" PRIu64,
                         file, a->name, b->name, b->offset);
    }
    free(order);
    return rc;
}

/* ---- finishing ---- */

/* Training wrappers put one word before every name. */
static void strip_wrapper(struct nn_file *f, const char *word)
{
    size_t n = strlen(word);
    for (size_t i = 0; i < f->count; i++)
        if (strncmp(f->tensors[i].name, word, n) || !f->tensors[i].name[n])
            return;
    for (size_t i = 0; i < f->count; i++)
        f->tensors[i].name += n;
}

static int by_name(const void *a, const void *b, void *ud)
{
    const struct nn_file_tensor *t = ud;
    return strcmp(t[*(const uint32_t *)a].name, t[*(const uint32_t *)b].name);
}

int nn_file_seal(struct nn_file *f)
{
    strip_wrapper(f, "module.");
    strip_wrapper(f, "_orig_mod.");
    uint32_t *s = malloc((f->count ? f->count : 1) * sizeof *s);
    if (!s)
        return fv_fail(FV_ENOMEM, "%s: out of memory", f->name);
    f->p->sorted = s;
    for (size_t i = 0; i < f->count; i++)
        s[i] = (uint32_t)i;
    qsort_r(s, f->count, sizeof *s, by_name, f->tensors);
    for (size_t i = 1; i < f->count; i++)
        if (!strcmp(f->tensors[s[i - 1]].name, f->tensors[s[i]].name))
            return fv_fail(FV_EFORMAT, "%s: holds two tensors named '%.128s'", f->name,
                           f->tensors[s[i]].name);
    return 0;
}

const struct nn_file_tensor *nn_file_find(const struct nn_file *f, const char *name)
{
    size_t low = 0, high = f->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const struct nn_file_tensor *t = &f->tensors[f->p->sorted[mid]];
        int c = strcmp(name, t->name);
        if (!c)
            return t;
        if (c < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}

const char *nn_file_meta(const struct nn_file *f, const char *key)
{
    for (size_t i = 0; i < f->meta_count; i++)
        if (!strcmp(f->meta[i].key, key))
            return f->meta[i].value;
    return NULL;
}

const char *nn_file_kind_name(enum nn_file_kind kind)
{
    static const char *const names[] = {"safetensors", "PyTorch checkpoint", "GGUF"};
    return names[kind];
}

void nn_file_forget(const struct nn_file *f, const struct nn_file_tensor *t)
{
    fv_map_forget(&f->p->maps[t->part], t->offset, t->span);
}

/* ---- one part ---- */

static bool is_safetensors(const uint8_t *p, size_t n)
{
    return n >= 9 && !p[6] && !p[7] && (p[8] == '{' || p[8] == ' ');
}

static bool is_zip(const uint8_t *p, size_t n)
{
    return n >= 4 && !memcmp(p, "PK\3\4", 4);
}

static bool is_gguf(const uint8_t *p, size_t n)
{
    return n >= 4 && !memcmp(p, "GGUF", 4);
}

/* A pickled integer, the magic number of torch.save before 1.6. */
static bool is_old_torch(const uint8_t *p, size_t n)
{
    return n >= 5 && p[0] == 0x80 && !memcmp(p + 2, "\x8a\x0a\x6c", 3);
}

bool nn_file_begins(const uint8_t *p, size_t n)
{
    return is_zip(p, n) || is_gguf(p, n) || is_old_torch(p, n) || is_safetensors(p, n);
}

static int read_part(struct nn_file *f, const struct nn_part *part, const struct nn_file_opts *opts)
{
    const uint8_t *p = part->data;
    size_t n = part->size;
    if (is_zip(p, n)) {
        f->kind = NN_FILE_TORCH;
        return nn_torch_read(f, part, opts);
    }
    if (is_gguf(p, n)) {
        f->kind = NN_FILE_GGUF;
        return nn_gguf_read(f, part);
    }
    if (is_old_torch(p, n))
        return fv_fail(FV_EUNSUPPORTED,
                       "%s: is in the form torch.save wrote before PyTorch 1.6; load it there and "
                       "save it again to get the zip form",
                       part->name);
    if (n >= 12 && !memcmp(p, "version http", 12))
        return fv_fail(FV_EFORMAT,
                       "%s: is a Git LFS pointer, not the file itself; fetch it with git lfs pull",
                       part->name);
    if (!is_safetensors(p, n))
        return fv_fail(FV_EFORMAT,
                       "%s: is neither a safetensors file, a PyTorch zip checkpoint nor GGUF",
                       part->name);
    f->kind = NN_FILE_SAFETENSORS;
    return nn_safetensors_read(f, part);
}

int nn_file_create(struct nn_file **out, const char *name)
{
    struct nn_file *f = *out = calloc(1, sizeof *f);
    if (!f || !(f->p = calloc(1, sizeof *f->p))) {
        nn_file_close(out);
        return fv_fail(FV_ENOMEM, "out of memory");
    }
    f->p->arena.cap = ARENA_CAP;
    f->name = fv_arena_strndup(&f->p->arena, name, strlen(name));
    return f->name ? 0 : FV_ENOMEM;
}

int nn_file_make_parts(struct nn_file *f, size_t n)
{
    f->parts = fv_arena_alloc(&f->p->arena, n * sizeof *f->parts);
    f->p->maps = calloc(n, sizeof *f->p->maps);
    return f->parts && f->p->maps ? 0 : fv_fail(FV_ENOMEM, "%s: out of memory", f->name);
}

int nn_file_open_part(struct nn_file *f, const char *path, const struct nn_file_opts *opts)
{
    struct fv_map *map = &f->p->maps[f->part_count];
    FV_TRY(fv_map_open(map, path));
    const char *name = fv_arena_strndup(&f->p->arena, path, strlen(path));
    if (!name) {
        fv_map_close(map);
        return FV_ENOMEM;
    }
    struct nn_part part = {map->data, map->size, name, (unsigned)f->part_count};
    f->parts[f->part_count++] = name;
    return read_part(f, &part, opts);
}

int nn_file_parse(struct nn_file **out, const void *data, size_t size, const char *name,
                  const struct nn_file_opts *opts)
{
    struct nn_part part = {data, size, name, 0};
    int rc = nn_file_create(out, name);
    if (rc >= 0)
        rc = nn_file_make_parts(*out, 1);
    if (rc >= 0) {
        (*out)->parts[0] = (*out)->name;
        (*out)->part_count = 1;
        rc = read_part(*out, &part, opts);
    }
    if (rc >= 0)
        rc = nn_file_seal(*out);
    if (rc < 0)
        nn_file_close(out);
    return rc;
}

void nn_file_close(struct nn_file **pf)
{
    struct nn_file *f = *pf;
    if (f && f->p) {
        for (size_t i = 0; i < f->part_count && f->p->maps; i++)
            fv_map_close(&f->p->maps[i]);
        free(f->p->maps);
        free(f->p->sorted);
        fv_arena_finish(&f->p->arena);
        free(f->p);
    }
    if (f) {
        free(f->tensors);
        free(f->meta);
    }
    free(f);
    *pf = NULL;
}
