/* Wanted tensors against the tensors of a file: names, shapes, types, places in device slabs
 * (wants.h). */
#include "vk/nn/wants.h"
#include "vk/nn/weights_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN = 256, MAX_LISTED = 1000, MAX_SHOWN = 8 };

/* ---- names ---- */

/* The first of a want's names that the file holds under a prefix. */
static const struct nn_file_tensor *lookup(const struct nn_file *f, const char *prefix,
                                           const struct nn_want *want)
{
    char name[NN_FILE_MAX_NAME + 1];
    for (uint32_t i = 0; i < want->name_count; i++) {
        int n = snprintf(name, sizeof name, "%s%s", prefix, want->names[i]);
        const struct nn_file_tensor *t =
            n > 0 && (size_t)n < sizeof name ? nn_file_find(f, name) : NULL;
        if (t)
            return t;
    }
    return NULL;
}

static const char *best_prefix(const struct nn_wants *wants, const struct nn_file *f,
                               const char *const *prefixes)
{
    const char *best = prefixes && prefixes[0] ? prefixes[0] : "";
    size_t most = 0;
    for (; prefixes && *prefixes; prefixes++) {
        size_t found = 0;
        for (size_t i = 0; i < wants->count; i++)
            found += lookup(f, *prefixes, &wants->items[i]) != NULL;
        if (found > most) {
            most = found;
            best = *prefixes;
        }
    }
    return best;
}

/* ---- the report ---- */

static void note(struct fv_arena *arena, const char **list, size_t number, const char *name)
{
    char *copy = number < MAX_LISTED ? fv_arena_strndup(arena, name, strlen(name)) : NULL;
    if (copy)
        list[number] = copy;
}

static int start_report(struct nn_weights_report *r, const char *prefix)
{
    *r = (struct nn_weights_report){.arena = calloc(1, sizeof *r->arena)};
    if (!r->arena)
        return fv_fail(FV_ENOMEM, "out of memory");
    r->missing = fv_arena_alloc(r->arena, MAX_LISTED * sizeof *r->missing);
    r->unknown = fv_arena_alloc(r->arena, MAX_LISTED * sizeof *r->unknown);
    r->prefix = fv_arena_strndup(r->arena, prefix, strlen(prefix));
    return r->missing && r->unknown && r->prefix ? 0 : FV_ENOMEM;
}

void nn_weights_report_finish(struct nn_weights_report *r)
{
    if (r->arena)
        fv_arena_finish(r->arena);
    free(r->arena);
    *r = (struct nn_weights_report){0};
}

/* Names for an error: "'a', 'b' and 7 more". */
struct names {
    const char *first[MAX_SHOWN];
    size_t count; /* all */
};

static void add_name(struct names *n, const char *name)
{
    if (n->count < MAX_SHOWN)
        n->first[n->count] = name;
    n->count++;
}

static const char *names_text(char out[400], const struct names *n)
{
    size_t at = 0, shown = 0;
    for (; shown < n->count && shown < MAX_SHOWN && at < 280; shown++)
        at += (size_t)snprintf(out + at, 400 - at, "%s'%.80s'", shown ? ", " : "", n->first[shown]);
    if (shown < n->count)
        snprintf(out + at, 400 - at, " and %zu more", n->count - shown);
    return out;
}

/* ---- one tensor ---- */

/* Shapes are equal, or differ in axes of length 1 where those do not count. One value may have
 * any number of axes. */
static bool fits(const struct nn_want *want, const struct nn_file_tensor *t)
{
    bool ones = want->flags & NN_WEIGHT_ONES || !t->rank;
    unsigned i = 0, k = 0;
    for (;; i++, k++) {
        while (ones && i < want->rank && want->shape[i] == 1)
            i++;
        while (ones && k < t->rank && t->shape[k] == 1)
            k++;
        if (i >= want->rank || k >= t->rank)
            return i >= want->rank && k >= t->rank;
        if (want->shape[i] != t->shape[k])
            return false;
    }
}

static int wrong_shape(const struct nn_want *want, const struct nn_file_tensor *t,
                       const struct nn_file *f)
{
    uint64_t wide[NN_MAX_RANK] = {0};
    char expected[160], found[160];
    for (uint32_t i = 0; i < want->rank; i++)
        wide[i] = want->shape[i];
    nn_shape_text(expected, wide, want->rank);
    nn_shape_text(found, t->shape, t->rank);
    return fv_fail(FV_EFORMAT, "%s: tensor '%.200s' has the shape %s, expected %s",
                   f->parts[t->part], t->name, found, expected);
}

static enum nn_dtype stored_as(const struct nn_want *want, const struct nn_file_tensor *t,
                               enum nn_dtype asked)
{
    if (want->dtype != NN_SAME)
        return want->dtype;
    if (want->rank <= 1)
        return NN_F32;
    if (asked != NN_SAME)
        return asked;
    if (!t)
        return NN_F32;
    if (t->type == NN_DATA_F16 || nn_data_block(t->type) > 1)
        return NN_F16;
    return t->type == NN_DATA_BF16 ? NN_BF16 : NN_F32;
}

/* Bytes on the device, rounded up; 0 when the tensor is too large for 32-bit strides. */
static uint64_t stored_bytes(nn_tensor t)
{
    uint64_t n = 1;
    for (uint32_t i = 0; i < t.rank; i++)
        if (__builtin_mul_overflow(n, t.shape[i], &n) || n > UINT32_MAX)
            return 0;
    return (n * nn_dtype_bytes(t.dtype) + ALIGN - 1) / ALIGN * ALIGN;
}

static int place(struct nn_plan *p, struct nn_place *at, const struct nn_want *want,
                 const struct nn_weights_opts *opts)
{
    const struct nn_file_tensor *t = at->file;
    const struct nn_weight_layout *layout = want->layout;
    at->want = want;
    at->name = t ? t->name : want->names[0];
    if (want->part > NN_PART_PLAIN) {
        FV_TRY(nn_part_place(p, at, at - (want->part - NN_PART_PLAIN)));
        layout = nn_part_layout(want->part);
    } else {
        if (t && !fits(want, t))
            return wrong_shape(want, t, p->f);
        at->from = nn_over(NULL, 0, stored_as(want, t, opts->dtype), want->rank, want->shape);
    }
    at->layout = layout;
    if (t && at->from.dtype == NN_I32 && !at->code && !nn_data_is_integer(t->type))
        return fv_fail(FV_EFORMAT, "%s: tensor '%.200s' is of type %s, expected integers",
                       p->f->parts[t->part], t->name, nn_data_name(t->type));
    at->to = at->from;
    if (layout) {
        layout->shape(&at->to);
        at->to = nn_over(NULL, 0, at->from.dtype, at->to.rank, at->to.shape);
    }
    if (!stored_bytes(at->from) || !stored_bytes(at->to))
        return fv_fail(FV_EUNSUPPORTED, "weight '%.200s' has more than 4 billion elements",
                       at->name);
    return 0;
}

/* ---- all of them ---- */

/* The earlier place of the same tensor in the same form, or its own number. seen: for each tensor
 * of the file the first place + 1. */
static uint32_t find_same(const struct nn_plan *p, uint32_t i, uint32_t *seen)
{
    const struct nn_place *a = &p->places[i];
    if (!a->file)
        return i;
    uint32_t *first = &seen[a->file - p->f->tensors];
    if (*first) {
        const struct nn_place *b = &p->places[*first - 1];
        if (a->from.dtype == b->from.dtype && a->layout == b->layout)
            return *first - 1;
        return i;
    }
    *first = i + 1;
    return i;
}

static void lay_out(struct nn_plan *p, uint64_t slab_max)
{
    uint64_t used = 0;
    uint32_t slab = 0;
    for (size_t i = 0; i < p->wants->count; i++) {
        struct nn_place *at = &p->places[i];
        if (!at->want || at->same != i)
            continue;
        uint64_t bytes = stored_bytes(at->to);
        if (used && bytes > slab_max - (used < slab_max ? used : slab_max)) {
            slab++;
            used = 0;
        }
        at->slab = slab;
        at->offset = used;
        used += bytes;
        p->slab_bytes[slab] = used;
        p->slab_count = slab + 1;
        p->bytes += bytes;
        if (at->want->part <= NN_PART_CODES)
            p->parameters += at->code ? (uint64_t)at->want->shape[0] * at->want->shape[1] : nn_count(at->from);
        p->file_bytes += at->file ? at->file->bytes : 0;
    }
    for (size_t i = 0; i < p->wants->count; i++) {
        struct nn_place *at = &p->places[i];
        if (at->want && at->same != i) {
            at->slab = p->places[at->same].slab;
            at->offset = p->places[at->same].offset;
        }
    }
}

static bool ignored(const char *name, const char *const *ignore)
{
    for (; ignore && *ignore; ignore++)
        if (!strncmp(name, *ignore, strlen(*ignore)))
            return true;
    return false;
}

/* Tensors under the prefix that nobody wanted. */
static int check_unknown(struct nn_plan *p, const char *prefix, const uint32_t *seen,
                         const struct nn_weights_opts *opts)
{
    struct nn_weights_report *r = opts->report;
    struct names names = {.count = 0};
    char text[400];
    size_t head = strlen(prefix);
    for (size_t i = 0; i < p->f->count; i++) {
        const char *name = p->f->tensors[i].name;
        if (seen[i] || strncmp(name, prefix, head) || ignored(name + head, opts->ignore))
            continue;
        if (r)
            note(r->arena, r->unknown, names.count, name);
        add_name(&names, name);
    }
    if (r)
        r->unknown_count = names.count;
    if (!names.count || !opts->strict)
        return 0;
    return fv_fail(FV_EFORMAT, "%s: %zu tensors are not known to this model: %s", p->f->name,
                   names.count, names_text(text, &names));
}

/* Finds all; the first wrong shape is told after those that are missing, which say more. */
static int resolve(struct nn_plan *p, const char *prefix, uint32_t *seen,
                   const struct nn_weights_opts *opts)
{
    struct nn_weights_report *r = opts->report;
    struct names missing = {.count = 0};
    char text[400], error[1024];
    size_t wrong = 0;
    int code = 0;
    for (size_t i = 0; i < p->wants->count; i++)
        p->places[i].file = p->f ? lookup(p->f, prefix, &p->wants->items[i]) : NULL;
    for (size_t i = 0; i < p->wants->count; i++) {
        const struct nn_want *want = &p->wants->items[i];
        struct nn_place *at = &p->places[i];
        const struct nn_place *plain = want->part ? at - (want->part - NN_PART_PLAIN) : at;
        if (want->part > NN_PART_PLAIN && !plain[NN_PART_CODES - NN_PART_PLAIN].file)
            at->file = NULL; /* what belongs to codes alone */
        if (!p->f && want->part > NN_PART_PLAIN)
            continue;
        if (want->part == NN_PART_DOWN) {
            int rc = nn_lora_rank(&at->lora_rank, opts, want - (NN_PART_DOWN - NN_PART_PLAIN));
            if (rc < 0)
                return rc;
        } else if (want->part == NN_PART_UP)
            at->lora_rank = at[-1].lora_rank;
        if (p->f && !at->file && !at->lora_rank) {
            if (want->flags & NN_WEIGHT_OPTIONAL || !nn_part_is_needed(at, plain, want->part))
                continue;
            if (r)
                note(r->arena, r->missing, missing.count, want->names[0]);
            add_name(&missing, want->names[0]);
            continue;
        }
        int rc = want->part == NN_PART_CODES && plain->file
                     ? fv_fail(FV_EFORMAT, "%s: there is both '%.200s' and '%.200s'", p->f->name,
                               plain->file->name, at->file->name)
                     : place(p, at, want, opts);
        at->same = rc < 0 ? (uint32_t)i : find_same(p, (uint32_t)i, seen);
        if (rc < 0 && !wrong++) {
            code = rc;
            snprintf(error, sizeof error, "%s", fv_error());
        }
    }
    if (r)
        r->missing_count = missing.count;
    if (missing.count)
        return fv_fail(FV_EFORMAT, "%s: %zu of %zu tensors are missing%s%s%s: %s", p->f->name,
                       missing.count, p->wants->count, *prefix ? " under '" : "", prefix,
                       *prefix ? "'" : "", names_text(text, &missing));
    if (wrong > 1)
        return fv_fail(code, "%.800s (and %zu more like it)", error, wrong - 1);
    return wrong ? fv_fail(code, "%s", error) : 0;
}

int nn_plan_make(struct nn_plan *p, const struct nn_wants *wants, const struct nn_file *f,
                 uint64_t slab_max, const struct nn_weights_opts *opts)
{
    *p = (struct nn_plan){.wants = wants, .f = f};
    if (opts->report)
        *opts->report = (struct nn_weights_report){.arena = NULL};
    if (wants->failed)
        return fv_fail(wants->failed, "%s", wants->error);
    const char *prefix = f ? best_prefix(wants, f, opts->prefixes) : "";
    size_t n = wants->count ? wants->count : 1;
    uint32_t *seen = calloc(f && f->count ? f->count : 1, sizeof *seen);
    p->places = calloc(n, sizeof *p->places);
    p->slab_bytes = calloc(n, sizeof *p->slab_bytes);
    int rc = seen && p->places && p->slab_bytes ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    if (rc >= 0 && opts->report)
        rc = start_report(opts->report, prefix);
    if (rc >= 0)
        rc = nn_codes_are_nf4(&p->nf4, f);
    if (rc >= 0)
        rc = resolve(p, prefix, seen, opts);
    if (rc >= 0 && f)
        rc = check_unknown(p, prefix, seen, opts);
    if (rc >= 0)
        lay_out(p, slab_max);
    if (rc >= 0 && opts->report) {
        opts->report->parameters = p->parameters;
        opts->report->file_bytes = p->file_bytes;
        opts->report->device_bytes = p->bytes;
    }
    free(seen);
    if (rc < 0)
        nn_plan_finish(p);
    return rc;
}

void nn_plan_finish(struct nn_plan *p)
{
    free(p->places);
    free(p->slab_bytes);
    *p = (struct nn_plan){0};
}
