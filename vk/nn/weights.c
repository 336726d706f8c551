/* Loading weights onto the device (weights.h): a plan (weights_plan.c) is streamed slab by slab
 * through the staging ring, converted and checked 4096 elements at a time in cache, never held
 * whole on the host (but for tensors with a layout of their own). */
#include "vk/base/hash.h"
#include "vk/base/thread.h"
#include "vk/nn/wants.h"
#include "vk/xfer.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    WINDOW_BYTES = 16 << 20, /* a multiple of every alignment here */
    SLAB_BYTES = 1 << 30,
    CHUNK = 4096,       /* elements converted at a time */
    PIECE = 64 * CHUNK, /* elements one thread takes at a time */
};

/* What is being written, and where contents come from. */
struct load {
    const struct nn_plan *plan;
    const struct nn_weights_opts *opts;
    struct vk_buf *slabs;
    uint64_t seed;        /* of made-up contents, when the plan has no file */
    size_t next;          /* first place not yet complete */
    unsigned char *whole; /* the packed form of place `next`, if it has a layout */
};

static const enum nn_data as_data[NN_DTYPES] = {[NN_F32] = NN_DATA_F32,
                                                [NN_F16] = NN_DATA_F16,
                                                [NN_BF16] = NN_DATA_BF16,
                                                [NN_I32] = NN_DATA_I32};

/* ---- contents ---- */

static uint64_t mix(uint64_t x)
{
    return fv_mix(x + 0x9e3779b97f4a7c15u);
}

/* Uniform of the variance and mean that keep activations of an untrained model in range. */
static int make_up(const struct load *l, const struct nn_place *at, uint64_t first, size_t n,
                   void *out)
{
    const char *name = at->name;
    uint64_t key = mix(l->seed), length = strlen(name);
    for (const char *c = name; *c; c++)
        key = mix(key ^ (unsigned char)*c);
    bool bias = length >= 4 && !strcmp(name + length - 4, "bias"), vector = at->from.rank == 1;
    float mean = vector && !bias ? 1 : 0, deviation = vector || bias ? 0.05f : 1;
    if (!vector && !bias)
        deviation = sqrtf((float)at->from.shape[0] / (float)nn_count(at->from)); /* fan in */
    if (at->from.dtype == NN_I32) {
        memset(out, 0, n * 4);
        return 0;
    }
    float values[CHUNK];
    for (size_t i = 0; i < n; i++) {
        double u = (double)(mix(key ^ (first + i)) >> 40) * 0x1p-23 - 1;
        values[i] = mean + deviation * 1.7320508f * (float)u;
    }
    const struct nn_file_tensor t = {.type = NN_DATA_F32,
                                     .contiguous = true,
                                     .count = n,
                                     .data = (const uint8_t *)values,
                                     .name = name};
    return nn_file_read(&t, as_data[at->from.dtype], 0, n, out);
}

/* Index of the first NaN or infinity of n elements; n if there is none. */
static size_t find_bad(enum nn_dtype dtype, const void *data, size_t n)
{
    const uint32_t *w = data;
    const uint16_t *h = data;
    uint32_t inf = dtype == NN_F16 ? 0x7c00 : dtype == NN_BF16 ? 0x7f80 : 0x7f800000, bad = 0;
    if (dtype == NN_I32)
        return n;
    for (size_t i = 0; i < n; i++) /* no early exit: this loop vectorises */
        bad |= dtype == NN_F32 ? (w[i] & inf) == inf : (h[i] & inf) == inf;
    size_t i = bad ? 0 : n;
    while (i < n && (dtype == NN_F32 ? (w[i] & inf) != inf : (h[i] & inf) != inf))
        i++;
    return i;
}

static int name_bad(const struct load *l, const struct nn_place *at, uint64_t index)
{
    char text[160];
    uint64_t where[NN_FILE_MAX_RANK];
    double v = NAN;
    const struct nn_file_tensor *t = at->file;
    uint64_t rest = index;
    for (unsigned d = t->rank; d-- > 0;) {
        where[d] = rest % t->shape[d];
        rest /= t->shape[d];
    }
    nn_shape_text(text, where, t->rank);
    FV_TRY(nn_file_read(t, NN_DATA_F64, index, 1, &v));
    if (isfinite(v))
        return fv_fail(FV_EFORMAT,
                       "%s: tensor '%.200s' holds %g at %s, too large for %s; load it as bf16 or "
                       "f32",
                       l->plan->f->parts[t->part], t->name, v, text, nn_dtype_name(at->from.dtype));
    return fv_fail(FV_EFORMAT, "%s: tensor '%.200s' holds %s at %s; the file is damaged",
                   l->plan->f->parts[t->part], t->name, isnan(v) ? "NaN" : "an infinity", text);
}

/* ---- conversion ---- */

struct piece {
    const struct load *load;
    const struct nn_place *at;
    uint64_t first;
    unsigned char *out;
};

/* Elements [begin, end) of a piece, by way of a buffer that stays in cache: out may be memory that
 * is slow to read. */
static int convert_piece(void *ud, size_t begin, size_t end)
{
    const struct piece *p = ud;
    const struct nn_place *at = p->at;
    enum nn_dtype dtype = at->from.dtype;
    uint32_t size = nn_dtype_bytes(dtype);
    _Alignas(16) unsigned char values[CHUNK * 4];
    for (size_t i = begin; i < end; i += CHUNK) {
        size_t n = end - i < CHUNK ? end - i : CHUNK;
        if (at->code) /* words as they are */
            memcpy(values, at->file->data + (p->first + i) * 4, n * 4);
        else if (at->file)
            FV_TRY(nn_file_read(at->file, as_data[dtype], p->first + i, n, values));
        else
            FV_TRY(make_up(p->load, at, p->first + i, n, values));
        size_t bad = at->file && !p->load->opts->allow_bad ? find_bad(dtype, values, n) : n;
        if (bad < n)
            return name_bad(p->load, at, p->first + i + bad);
        memcpy(p->out + i * size, values, n * size);
    }
    return 0;
}

static int convert(const struct load *l, const struct nn_place *at, uint64_t first, size_t n,
                   unsigned char *out)
{
    struct piece p = {l, at, first, out};
    return fv_parallel(n, PIECE, convert_piece, &p);
}

/* A half of a low-rank branch to which changes are added: what the file has, then theirs. */
static int gather_low_rank(const struct load *l, const struct nn_place *at, uint16_t *out)
{
    bool up = at->want->part == NN_PART_UP;
    const struct nn_want *plain = at->want - (at->want->part - NN_PART_PLAIN);
    uint32_t rank = at->from.shape[up], own = rank - at->lora_rank, rows = up ? at->from.shape[0] : 1;
    uint64_t run = up ? own : (uint64_t)own * at->from.shape[1], n = rows * run;
    uint16_t *file = n ? malloc(2 * n) : NULL;
    memset(out, 0, nn_bytes(at->from));
    int rc = !n ? 0 : file ? convert(l, at, 0, n, (unsigned char *)file) : fv_fail(FV_ENOMEM, "out of memory");
    for (uint32_t i = 0; rc >= 0 && n && i < rows; i++)
        memcpy(out + (uint64_t)i * rank, file + i * run, 2 * run);
    free(file);
    return rc < 0 ? rc : nn_lora_fill(l->opts, plain, up, own, rank, out);
}

/* The whole of a tensor with a layout, in its stored form, zeros in what its layout adds. */
static int pack_whole(struct load *l, const struct nn_place *at)
{
    uint64_t n = nn_count(at->from), size = nn_dtype_bytes(at->from.dtype);
    unsigned char *plain = malloc(n * size);
    l->whole = calloc(nn_count(at->to), size);
    int rc = !plain || !l->whole  ? fv_fail(FV_ENOMEM, "weight '%.200s': out of memory", at->name)
             : at->lora_rank ? gather_low_rank(l, at, (uint16_t *)(void *)plain)
                             : convert(l, at, 0, n, plain);
    if (rc >= 0)
        at->layout->pack(l->whole, at->to, plain, at->from);
    free(plain);
    return rc;
}

/* ---- streaming ---- */

/* Bytes [from, from + n) of a place's stored form. */
static int fill(struct load *l, const struct nn_place *at, uint64_t from, uint64_t n,
                unsigned char *out)
{
    uint32_t size = nn_dtype_bytes(at->to.dtype);
    if (!at->layout)
        return convert(l, at, from / size, n / size, out);
    if (!l->whole)
        FV_TRY(pack_whole(l, at));
    memcpy(out, l->whole + from, n);
    return 0;
}

static void complete(struct load *l, const struct nn_place *at)
{
    free(l->whole);
    l->whole = NULL;
    if (at->file)
        nn_file_forget(l->plan->f, at->file);
    l->next++;
}

/* What belongs into bytes [begin, end) of a slab. Places are in the order of the slabs. */
static int fill_window(struct load *l, uint32_t slab, uint64_t begin, uint64_t end,
                       unsigned char *out)
{
    while (l->next < l->plan->wants->count) {
        const struct nn_place *at = &l->plan->places[l->next];
        if (!at->want || at->same != l->next) {
            l->next++;
            continue;
        }
        uint64_t first = at->offset, last = first + nn_bytes(at->to);
        if (at->slab != slab || first >= end)
            break;
        uint64_t from = first > begin ? first : begin, to = last < end ? last : end;
        FV_TRY(fill(l, at, from - first, to - from, out + (from - begin)));
        if (last > end)
            break;
        complete(l, at);
    }
    return 0;
}

static int tell(const struct load *l, double done)
{
    struct fv_progress p = {"loading weights", done, (double)l->plan->bytes};
    if (l->opts->on_progress && l->opts->on_progress(l->opts->ud, &p))
        return fv_fail(FV_ECANCELLED, "loading weights was cancelled");
    return 0;
}

static int stream_slab(struct load *l, uint32_t slab, double before)
{
    uint64_t size = l->plan->slab_bytes[slab], at = 0;
    while (at < size) {
        struct vk_upload_window w;
        FV_TRY(tell(l, before + (double)at));
        FV_TRY(vk_upload_begin(&w, &l->slabs[slab], at, size - at));
        if (w.size > WINDOW_BYTES)
            w.size = WINDOW_BYTES;
        uint64_t n = w.size;
        int rc = fill_window(l, slab, at, at + n, w.data);
        if (rc < 0) {
            char text[1024];
            snprintf(text, sizeof text, "%s", fv_error());
            w.size = 0;
            vk_upload_commit(&w);
            return fv_fail(rc, "%s", text);
        }
        FV_TRY(vk_upload_commit(&w));
        at += n;
    }
    return 0;
}

static int stream(struct load *l)
{
    double before = 0;
    int rc = 0;
    for (uint32_t s = 0; s < l->plan->slab_count && rc >= 0; s++) {
        rc = stream_slab(l, s, before);
        before += (double)l->plan->slab_bytes[s];
    }
    free(l->whole);
    return rc < 0 ? rc : tell(l, before);
}

/* ---- public ---- */

/* All tensors of the list null, or where they now are. */
static void publish(const struct nn_wants *wants, const struct nn_plan *p, struct vk_buf *slabs, uint64_t base)
{
    for (size_t i = 0; i < wants->count; i++) {
        const struct nn_place *at = p ? &p->places[i] : NULL;
        struct nn_matrix *m = wants->items[i].matrix;
        *wants->items[i].dst = (nn_tensor){0};
        if (wants->items[i].part == NN_PART_PLAIN) {
            m->rows = wants->items[i].shape[0];
            m->columns = wants->items[i].shape[1];
            m->code = NN_CODE_NONE;
        }
        if (wants->items[i].part == NN_PART_CODES && at)
            m->code = at->code;
        if (!at || !at->want)
            continue;
        *wants->items[i].dst = at->to;
        wants->items[i].dst->buf = slabs ? &slabs[at->slab] : NULL;
        wants->items[i].dst->offset = at->offset + base;
    }
}

static uint64_t slab_max(const struct vk_device *dev)
{
    uint64_t max = dev ? vk_buf_max(dev) : SLAB_BYTES;
    return max < SLAB_BYTES ? max : SLAB_BYTES;
}

static int create_slabs(struct nn_weights *w, struct vk_device *dev, const struct nn_plan *p, uint64_t room)
{
    w->slabs = calloc(p->slab_count ? p->slab_count : 1, sizeof *w->slabs);
    if (!w->slabs)
        return fv_fail(FV_ENOMEM, "out of memory");
    for (; w->slab_count < p->slab_count; w->slab_count++) {
        uint64_t least = w->slab_count ? 0 : room, bytes = p->slab_bytes[w->slab_count];
        bytes = bytes < least ? least : bytes;
        FV_TRY(vk_buf_create_large(&w->slabs[w->slab_count], dev, bytes, VK_BUF_DEVICE, "weights"));
        w->bytes += bytes;
    }
    return 0;
}

static const struct nn_weights_opts no_opts;

/* Contents of a plan into slabs that are there. */
static int load_plan(struct nn_weights *w, const struct nn_plan *p, uint64_t seed,
                     const struct nn_weights_opts *opts, double start)
{
    struct load l = {.plan = p, .opts = opts, .slabs = w->slabs, .seed = seed};
    int rc = stream(&l);
    publish(p->wants, rc < 0 ? NULL : p, w->slabs, 0);
    if (opts->report)
        opts->report->seconds = fv_now() - start;
    return rc;
}

static int load(struct nn_weights **out, struct vk_device *dev, const struct nn_wants *wants,
                const struct nn_file *f, uint64_t seed, const struct nn_weights_opts *opts)
{
    struct nn_plan p;
    double start = fv_now();
    *out = NULL;
    publish(wants, NULL, NULL, 0);
    FV_TRY(nn_plan_make(&p, wants, f, slab_max(dev), opts));
    *out = calloc(1, sizeof **out);
    int rc = *out ? create_slabs(*out, dev, &p, opts->room) : fv_fail(FV_ENOMEM, "out of memory");
    if (rc >= 0)
        rc = load_plan(*out, &p, seed, opts, start);
    nn_plan_finish(&p);
    if (rc < 0)
        nn_weights_destroy(out);
    return rc == FV_EGPUMEM && f ? fv_wrap(rc, "%s: ", f->name) : rc;
}

int nn_weights_load(struct nn_weights **out, struct vk_device *dev, const struct nn_wants *wants,
                    const struct nn_file *f, const struct nn_weights_opts *opts)
{
    return load(out, dev, wants, f, 0, opts ? opts : &no_opts);
}

int nn_weights_synthetic(struct nn_weights **out, struct vk_device *dev,
                         const struct nn_wants *wants, uint64_t seed,
                         const struct nn_weights_opts *opts)
{
    return load(out, dev, wants, NULL, seed, opts ? opts : &no_opts);
}

int nn_weights_refill(struct nn_weights *w, const struct nn_wants *wants, const struct nn_file *f,
                      const struct nn_weights_opts *opts)
{
    struct nn_plan p;
    double start = fv_now();
    if (!opts)
        opts = &no_opts;
    publish(wants, NULL, NULL, 0);
    FV_TRY(
        nn_plan_make(&p, wants, f, w->slab_count ? slab_max(w->slabs[0].dev) : SLAB_BYTES, opts));
    int rc = 0;
    for (size_t s = 0; s < p.slab_count && rc >= 0; s++)
        if (s >= w->slab_count || p.slab_bytes[s] > w->slabs[s].size)
            rc = fv_fail(FV_EINVALID,
                         "%s: these weights take %" PRIu64 " bytes, other than the %" PRIu64
                         " of those they replace",
                         f->name, p.bytes, w->bytes);
    if (rc >= 0)
        rc = load_plan(w, &p, 0, opts, start);
    nn_plan_finish(&p);
    return rc;
}

int nn_weights_plan(uint64_t *bytes, const struct vk_device *dev, const struct nn_wants *wants,
                    const struct nn_file *f, const struct nn_weights_opts *opts)
{
    struct nn_plan p;
    publish(wants, NULL, NULL, 0);
    FV_TRY(nn_plan_make(&p, wants, f, slab_max(dev), opts ? opts : &no_opts));
    publish(wants, &p, NULL, opts ? opts->base : 0);
    *bytes = p.bytes;
    nn_plan_finish(&p);
    return 0;
}

void nn_weights_destroy(struct nn_weights **pw)
{
    struct nn_weights *w = *pw;
    for (size_t i = 0; w && i < w->slab_count; i++)
        vk_buf_destroy(&w->slabs[i]);
    if (w)
        free(w->slabs);
    free(w);
    *pw = NULL;
}
