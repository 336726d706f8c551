/* Lists of wanted tensors: prefixes, alternatives, tables (weights.h). */
#include "vk/nn/wants.h"
#include "vk/base/array.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct nn_wants_prefix {
    struct nn_wants_prefix *outer;
    const char **texts; /* every combination with the outer alternatives */
    uint32_t count;
};

static void fail(struct nn_wants *w, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void fail(struct nn_wants *w, int code, const char *fmt, ...)
{
    va_list ap;
    if (w->failed)
        return;
    w->failed = code;
    va_start(ap, fmt);
    vsnprintf(w->error, sizeof w->error, fmt, ap);
    va_end(ap);
}

int nn_wants_create(struct nn_wants **out)
{
    *out = calloc(1, sizeof **out);
    return *out ? 0 : fv_fail(FV_ENOMEM, "out of memory");
}

void nn_wants_destroy(struct nn_wants **w)
{
    if (*w) {
        fv_arena_finish(&(*w)->arena);
        free((*w)->items);
    }
    free(*w);
    *w = NULL;
}

size_t nn_wants_count(const struct nn_wants *w)
{
    return w->count;
}

/* Every prefix now in force before every alternative of text. NULL after a failure. */
static const char **combine(struct nn_wants *w, const char *text, uint32_t *count)
{
    static const char *const none[] = {""};
    if (w->failed)
        return NULL;
    const char *const *before = w->prefix ? w->prefix->texts : none;
    uint32_t n = w->prefix ? w->prefix->count : 1, alternatives = 1;
    for (const char *c = text; *c; c++)
        alternatives += *c == '|';
    const char **out = fv_arena_alloc(&w->arena, n * alternatives * sizeof *out);
    if (!out) {
        fail(w, FV_ENOMEM, "out of memory");
        return NULL;
    }
    if (n * alternatives > NN_WANTS_MAX_NAMES) {
        fail(w, FV_EINVALID, "weights '%s': more than %d names for one tensor", text,
             NN_WANTS_MAX_NAMES);
        return NULL;
    }
    *count = 0;
    for (uint32_t i = 0; i < n; i++) {
        const char *from = text;
        for (uint32_t k = 0; k < alternatives; k++) {
            size_t length = strcspn(from, "|"), head = strlen(before[i]);
            char *name = fv_arena_alloc(&w->arena, head + length + 1);
            if (!name) {
                fail(w, FV_ENOMEM, "out of memory");
                return NULL;
            }
            memcpy(name, before[i], head);
            memcpy(name + head, from, length);
            out[(*count)++] = name;
            from += length + 1;
        }
    }
    return out;
}

void nn_wants_push(struct nn_wants *w, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    struct nn_wants_prefix *p = fv_arena_alloc(&w->arena, sizeof *p);
    if (!p) {
        fail(w, FV_ENOMEM, "out of memory");
        return;
    }
    p->texts = combine(w, text, &p->count);
    p->outer = w->prefix;
    w->prefix = p;
}

void nn_wants_pop(struct nn_wants *w)
{
    if (w->prefix)
        w->prefix = w->prefix->outer;
}

static void add(struct nn_wants *w, const char *name, struct nn_want want)
{
    if (w->failed)
        return;
    if (!want.rank || want.rank > NN_MAX_RANK) {
        fail(w, FV_EINVALID, "weight '%s': rank %u is not 1 to %d", name, want.rank, NN_MAX_RANK);
        return;
    }
    for (uint32_t i = 0; i < want.rank; i++)
        if (!want.shape[i])
            fail(w, FV_EINVALID, "weight '%s': axis %u has no length", name, i);
    if (fv_grow(&w->items, &w->room, w->count, sizeof *w->items) < 0) {
        fail(w, FV_ENOMEM, "out of memory");
        return;
    }
    want.names = combine(w, name, &want.name_count);
    if (want.names)
        w->items[w->count++] = want;
}

void nn_wants_add(struct nn_wants *w, nn_tensor *dst, const char *name, unsigned flags,
                  uint32_t rank, const uint32_t *shape)
{
    struct nn_want want = {.dst = dst, .flags = flags, .rank = rank};
    for (uint32_t i = 0; i < rank && i < NN_MAX_RANK; i++)
        want.shape[i] = shape[i];
    add(w, name, want);
}

/* name with another end, in every alternative. false when it does not fit or one ends otherwise. */
static bool part_name(char *out, size_t room, const char *name, const char *end)
{
    static const char weight[] = "weight";
    const size_t length = sizeof weight - 1;
    size_t at = 0, n = strlen(end);
    for (;; name++) {
        bool ends = *name == '|' || !*name;
        if (ends && (at < length || memcmp(out + at - length, weight, length) != 0))
            return false;
        if (ends) {
            at -= length;
            if (at + n + 2 > room)
                return false;
            memcpy(out + at, end, n);
            at += n;
        }
        if (at + 1 >= room)
            return false;
        out[at++] = *name;
        if (!*name)
            return true;
    }
}

static void add_matrix(struct nn_wants *w, struct nn_matrix *m, const char *name, const struct nn_want *plain)
{
    const struct {
        enum nn_matrix_part part;
        nn_tensor *dst;
        const char *end;
        enum nn_dtype dtype;
    } parts[] = {{NN_PART_PLAIN, &m->plain, "weight", plain->dtype},
                 {NN_PART_CODES, &m->codes, "qweight", NN_I32},
                 {NN_PART_SCALES, &m->scales, "qscale", NN_F16},
                 {NN_PART_SMOOTH, &m->smooth, "smooth", NN_F32},
                 {NN_PART_DOWN, &m->down, "lora_down", NN_F16},
                 {NN_PART_UP, &m->up, "lora_up", NN_F16}};
    char full[512];
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        struct nn_want want = *plain;
        want.part = parts[i].part;
        want.dst = parts[i].dst;
        want.dtype = parts[i].dtype;
        want.matrix = m;
        if (plain->rank != 2 || !part_name(full, sizeof full, name, parts[i].end))
            fail(w, FV_EINVALID, "weight '%.200s' of a matrix: no [N, K], or no name that ends in 'weight'", name);
        else
            add(w, full, want);
    }
}

static void add_row(struct nn_wants *w, void *base, const struct nn_weight_row *row,
                    const char *name, const uint32_t *dims)
{
    struct nn_want want = {.dst = (nn_tensor *)(void *)((char *)base + row->field),
                           .flags = row->flags,
                           .dtype = row->dtype,
                           .layout = row->layout};
    for (; want.rank < NN_MAX_RANK && row->shape[want.rank]; want.rank++) {
        int32_t d = row->shape[want.rank];
        want.shape[want.rank] = d < 0 ? dims[-1 - d] : (uint32_t)d;
    }
    if (row->flags & NN_WEIGHT_MATRIX)
        add_matrix(w, (struct nn_matrix *)(void *)((char *)base + row->field), name, &want);
    else
        add(w, name, want);
}

void nn_wants_rows(struct nn_wants *w, void *base, const struct nn_weight_row *rows, size_t n,
                   const uint32_t *dims)
{
    for (size_t i = 0; i < n; i++)
        add_row(w, base, &rows[i], rows[i].name, dims);
}

/* name with every "%d" written as the number. false when it does not fit. */
static bool number_name(char *out, size_t room, const char *name, uint32_t number)
{
    size_t at = 0;
    while (*name && at < room) {
        if (!strncmp(name, "%d", 2)) {
            at += (size_t)snprintf(out + at, room - at, "%u", number);
            name += 2;
        } else {
            out[at++] = *name++;
        }
    }
    if (at < room)
        out[at] = 0;
    return at < room;
}

void nn_wants_blocks(struct nn_wants *w, void *base, size_t stride, uint32_t first, uint32_t count,
                     const struct nn_weight_row *rows, size_t n, const uint32_t *dims)
{
    char name[512];
    for (uint32_t b = 0; b < count; b++)
        for (size_t i = 0; i < n; i++) {
            if (number_name(name, sizeof name, rows[i].name, first + b))
                add_row(w, (char *)base + b * stride, &rows[i], name, dims);
            else
                fail(w, FV_EINVALID, "weight '%.64s...': the name is too long", rows[i].name);
        }
}
