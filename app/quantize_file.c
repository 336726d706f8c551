/* A weight file layer by layer (quantize.h). */
#include "app/quantize.h"
#include "app/model_in.h"
#include "vk/base/arena.h"
#include "vk/base/file.h"
#include "vk/base/half.h"
#include "vk/base/hash.h"
#include "vk/base/json.h"
#include "vk/base/log.h"
#include "vk/base/thread.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SMALL = 512, SMALL_RANK = 16, RANK_STEP = 8 };

/* ---- what is quantised ------------------------------------------------------------------- */

bool quantize_takes(const struct nn_file_tensor *t)
{
    static const char *const blocks[] = {"spatial_blocks.", "temporal_blocks.", "encoder.block.", "enc.blk."};
    static const char *const not[] = {"norm", "relative_attention_bias", "attn_rel_b", "embed"};
    bool in = false;
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        in = in || strstr(t->name, blocks[i]);
    for (size_t i = 0; i < sizeof not / sizeof *not; i++)
        in = in && !strstr(t->name, not[i]);
    return in && t->rank == 2 && fv_ends_with(t->name, ".weight");
}

static bool kept_by_name(const char *name, const struct quantize_settings *s)
{
    for (size_t i = 0; s->keep && s->keep[i]; i++)
        if (strstr(name, s->keep[i]))
            return true;
    return false;
}

static int check_keep(const struct quantize_file *q)
{
    for (size_t i = 0; q->s.keep && q->s.keep[i]; i++) {
        bool found = false;
        for (size_t k = 0; k < q->file->count && !found; k++)
            found = quantize_takes(&q->file->tensors[k]) && strstr(q->file->tensors[k].name, q->s.keep[i]);
        if (!found)
            return fv_fail(FV_EINVALID, "%s: no layer's name contains \"%s\"", q->file->name, q->s.keep[i]);
    }
    return 0;
}

static int check_plain(const struct nn_file *f)
{
    if (nn_file_meta(f, "fovea.quantization"))
        return fv_fail(FV_EINVALID, "%s: is quantised already; quantise the model it was made of", f->name);
    for (size_t i = 0; i < f->count; i++) {
        const struct nn_file_tensor *t = &f->tensors[i];
        if (fv_ends_with(t->name, ".qweight"))
            return fv_fail(FV_EINVALID, "%s: is quantised already (%s); quantise the model it was made of", f->name,
                           t->name);
        if (quantize_takes(t) && t->type >= NN_DATA_Q4_0)
            return fv_fail(FV_EINVALID, "%s: is quantised already (%s is %s); quantise the model it was made of",
                           f->name, t->name, nn_data_name(t->type));
    }
    return 0;
}

const char *const quantize_gptq_names[] = {"small", "all", "none", NULL};

static bool moves_errors(const struct quantize_settings *s, size_t n, size_t k)
{
    return s->opts.method == QT_SVDQUANT &&
           (s->gptq == QUANTIZE_GPTQ_ALL || (s->gptq == QUANTIZE_GPTQ_SMALL && (n < k ? n : k) <= SMALL));
}

static unsigned rank_of(const struct quantize_settings *s, size_t n, size_t k)
{
    size_t least = n < k ? n : k;
    unsigned rank = s->opts.method == QT_SVDQUANT ? s->opts.rank : 0;
    if (!s->own_rank && least <= SMALL && rank > SMALL_RANK)
        rank = SMALL_RANK;
    if (rank > least)
        rank = (unsigned)least;
    return (rank + RANK_STEP - 1) / RANK_STEP * RANK_STEP; /* what the kernels take */
}

static struct nn_save_tensor *add(struct quantize_file *q, const char *name, const char *suffix, enum nn_data type,
                                  unsigned rank, uint64_t rows, uint64_t columns)
{
    struct nn_save_tensor *t = &q->out[q->out_count];
    size_t n = strlen(name) + strlen(suffix) + 1;
    char *full = fv_arena_alloc(q->arena, n);
    if (!full)
        return NULL;
    snprintf(full, n, "%s%s", name, suffix);
    *t = (struct nn_save_tensor){.name = full, .type = type, .rank = rank, .shape = {rows, columns}};
    q->bytes_after += nn_save_bytes(t);
    q->from[q->out_count++] = NULL;
    return t;
}

static int add_layer(struct quantize_file *q, const struct nn_file_tensor *t)
{
    struct quantize_layer *l = &q->layers[q->count++];
    size_t padded = (size_t)(t->shape[1] + QT_GROUP - 1) / QT_GROUP * QT_GROUP;
    bool eight = q->s.opts.method == QT_RTN8, branch = q->s.opts.method == QT_SVDQUANT;
    uint64_t before = q->bytes_after;
    *l = (struct quantize_layer){.name = fv_arena_strndup(q->arena, t->name, strlen(t->name) - strlen(".weight")),
                                 .weight = t, .n = t->shape[0], .k = t->shape[1],
                                 .rank = rank_of(&q->s, t->shape[0], t->shape[1]),
                                 .gptq = moves_errors(&q->s, t->shape[0], t->shape[1]), .first = q->out_count,
                                 .weight_error = NAN, .plain_error = NAN, .first_error = NAN, .fitted_error = NAN, .error = NAN};
    if (!l->name)
        return FV_ENOMEM;
    if (!l->n || !l->k)
        return fv_fail(FV_EFORMAT, "%s: %s has no elements", q->file->name, t->name);
    bool ok = add(q, l->name, ".qweight", eight ? NN_DATA_I8 : NN_DATA_U8, 2, l->n, eight ? padded : padded / 2) &&
              add(q, l->name, ".qscale", NN_DATA_F16, 2, l->n, padded / QT_GROUP);
    if (ok && branch)
        ok = add(q, l->name, ".smooth", NN_DATA_F32, 1, l->k, 0);
    if (ok && l->rank)
        ok = add(q, l->name, ".lora_down", NN_DATA_F16, 2, l->rank, l->k) &&
             add(q, l->name, ".lora_up", NN_DATA_F16, 2, l->n, l->rank);
    q->layer_weights += t->count;
    q->layer_bytes += q->bytes_after - before;
    return ok ? 0 : FV_ENOMEM;
}

/* Matrices of f32 become f16 where that holds them. */
static bool fits_f16(const struct nn_file_tensor *t)
{
    enum { PIECE = 1 << 16 };
    float *x = malloc(PIECE * sizeof *x);
    bool fits = x != NULL;
    for (uint64_t at = 0; at < t->count && fits; at += PIECE) {
        uint64_t n = t->count - at < PIECE ? t->count - at : PIECE;
        fits = nn_file_read(t, NN_DATA_F32, at, n, x) == 0;
        for (uint64_t i = 0; i < n && fits; i++)
            fits = fabsf(x[i]) < 65504;
    }
    free(x);
    return fits;
}

static int add_copy(struct quantize_file *q, const struct nn_file_tensor *t)
{
    enum nn_data type = t->type >= NN_DATA_Q4_0 || (t->type == NN_DATA_F32 && t->rank >= 2 && fits_f16(t)) ||
                                t->type == NN_DATA_F8_E4M3 || t->type == NN_DATA_F8_E5M2
                            ? NN_DATA_F16
                        : t->type == NN_DATA_F64 ? NN_DATA_F32
                                                 : t->type;
    struct nn_save_tensor *o = add(q, t->name, "", type, 0, 0, 0);
    if (!o)
        return FV_ENOMEM;
    q->bytes_after -= nn_save_bytes(o);
    o->rank = t->rank;
    memcpy(o->shape, t->shape, sizeof o->shape);
    q->bytes_after += nn_save_bytes(o);
    q->from[q->out_count - 1] = t;
    return 0;
}

/* ---- Nunchaku's files ---- */

/* The layer a tensor is a part of: 0, 1 when it is of none. */
static int foreign_of(struct qt_nunchaku *out, const struct nn_file *f, const char *tensor, char name[512])
{
    static const char *const parts[] = {"qweight", "wscales",   "bias",      "smooth",        "smooth_orig",        "lora_down",
                                        "lora_up", "proj_down", "proj_up",   "smooth_factor", "smooth_factor_orig", "wtscale",
                                        "wcscales"};
    const char *dot = strrchr(tensor, '.');
    if (!dot || (size_t)(dot - tensor) >= 500)
        return 1;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!strcmp(dot + 1, parts[i])) {
            snprintf(name, 512, "%.*s", (int)(dot - tensor), tensor);
            return qt_nunchaku_find(out, f, name);
        }
    return 1;
}

static bool is_foreign(const struct nn_file *f)
{
    for (size_t i = 0; i < f->count; i++)
        if (fv_ends_with(f->tensors[i].name, ".wscales"))
            return true;
    return false;
}

static int add_foreign(struct quantize_file *q, const char *name, const struct qt_nunchaku *from)
{
    struct quantize_layer *l = &q->layers[q->count++];
    bool eight = from->fp4 && q->s.opts.method == QT_RTN8;
    uint64_t before = q->bytes_after;
    *l = (struct quantize_layer){.name = fv_arena_strndup(q->arena, name, strlen(name)), .weight = from->codes,
                                 .n = from->n, .k = from->k, .rank = from->rank, .foreign = true, .from = *from,
                                 .first = q->out_count, .weight_error = NAN, .plain_error = NAN, .first_error = NAN,
                                 .fitted_error = NAN, .error = NAN};
    bool ok = l->name && add(q, name, ".qweight", eight ? NN_DATA_I8 : NN_DATA_U8, 2, l->n, eight ? l->k : l->k / 2) &&
              add(q, name, ".qscale", NN_DATA_F16, 2, l->n, l->k / QT_GROUP) &&
              add(q, name, ".smooth", NN_DATA_F32, 1, l->k, 0);
    if (ok && l->rank)
        ok = add(q, name, ".lora_down", NN_DATA_F16, 2, l->rank, l->k) &&
             add(q, name, ".lora_up", NN_DATA_F16, 2, l->n, l->rank);
    q->layer_weights += l->n * l->k;
    q->layer_bytes += q->bytes_after - before;
    return ok && add(q, name, ".bias", NN_DATA_F32, 1, l->n, 0) ? 0 : FV_ENOMEM;
}

static int make_foreign_lists(struct quantize_file *q)
{
    for (size_t i = 0; i < q->file->count; i++) {
        const struct nn_file_tensor *t = &q->file->tensors[i];
        struct qt_nunchaku from;
        char name[512];
        int rc = foreign_of(&from, q->file, t->name, name);
        q->bytes_before += t->bytes;
        if (rc == 0 && t == from.codes)
            rc = add_foreign(q, name, &from);
        else if (rc == 1)
            rc = add_copy(q, t);
        FV_TRY(rc);
    }
    if (!q->count)
        return fv_fail(FV_EINVALID, "%s: no layers of SVDQuant (qweight with wscales, without wzeros)", q->file->name);
    return 0;
}

static int make_lists(struct quantize_file *q)
{
    size_t n = q->file->count;
    q->layers = fv_arena_alloc(q->arena, (n + 1) * sizeof *q->layers);
    q->out = fv_arena_alloc(q->arena, (6 * n + 1) * sizeof *q->out);
    q->from = fv_arena_alloc(q->arena, (6 * n + 1) * sizeof *q->from);
    if (!q->layers || !q->out || !q->from)
        return FV_ENOMEM;
    if (q->foreign)
        return make_foreign_lists(q);
    for (size_t i = 0; i < n; i++) {
        const struct nn_file_tensor *t = &q->file->tensors[i];
        bool takes = quantize_takes(t), kept = takes && kept_by_name(t->name, &q->s);
        q->bytes_before += t->bytes;
        q->kept += kept;
        FV_TRY(takes && !kept ? add_layer(q, t) : add_copy(q, t));
    }
    if (!q->count)
        return fv_fail(FV_EINVALID, "%s: no linear layers of blocks known here (STDiT3's, T5's)%s", q->file->name,
                       q->kept ? " but those that are kept" : "");
    return 0;
}

int quantize_look(struct quantize_file *q, const char *path, const struct quantize_settings *s)
{
    *q = (struct quantize_file){.s = *s, .arena = calloc(1, sizeof *q->arena)};
    int rc = q->arena ? nn_file_open(&q->file, path, NULL) : fv_fail(FV_ENOMEM, "out of memory");
    if (rc == 0 && is_foreign(q->file) && !nn_file_meta(q->file, "fovea.quantization"))
        q->foreign = true;
    else if (rc == 0)
        rc = check_plain(q->file);
    if (rc == 0 && !q->foreign)
        rc = check_keep(q);
    if (rc == 0)
        rc = make_lists(q);
    if (rc < 0)
        quantize_finish(q);
    return rc;
}

void quantize_finish(struct quantize_file *q)
{
    nn_file_close(&q->file);
    if (q->arena)
        fv_arena_finish(q->arena);
    free(q->arena);
    *q = (struct quantize_file){0};
}

/* ---- the journal: a line for each layer that is on the disk ------------------------------- */

static void json_number(FILE *f, const char *key, double v)
{
    if (isfinite(v))
        fprintf(f, ",\"%s\":%.9g", key, v);
}

static int journal_open(FILE **f, const char *path, const char *mode)
{
    *f = fopen(path, mode);
    return *f ? 0 : fv_fail(FV_EIO, "%s: %s", path, strerror(errno));
}

static int journal_close(FILE *f, const char *path)
{
    bool ok = fflush(f) == 0 && fdatasync(fileno(f)) == 0;
    fclose(f);
    return ok ? 0 : fv_fail(FV_EIO, "%s: cannot write: %s", path, strerror(errno));
}

/* Its first line: what the layers are of. */
static int journal_begin(const char *path, uint64_t key)
{
    FILE *f;
    FV_TRY(journal_open(&f, path, "w"));
    fprintf(f, "{\"of\":\"%016llx\"}\n", (unsigned long long)key);
    return journal_close(f, path);
}

/* Its last one: all is in the file. */
static int journal_end(const char *path)
{
    FILE *f;
    FV_TRY(journal_open(&f, path, "a"));
    fputs("{\"whole\":true}\n", f);
    return journal_close(f, path);
}

static int journal_add(const char *path, const struct quantize_layer *l)
{
    FILE *f;
    FV_TRY(journal_open(&f, path, "a"));
    fprintf(f, "{\"layer\":\"%s\",\"refined\":%u", l->name, l->refined); /* names are identifiers and dots */
    json_number(f, "alpha", l->alpha);
    json_number(f, "beta", l->beta);
    json_number(f, "weight_error", l->weight_error);
    json_number(f, "plain_error", l->plain_error);
    json_number(f, "first_error", l->first_error);
    json_number(f, "fitted_error", l->fitted_error);
    json_number(f, "error", l->error);
    json_number(f, "range", l->range);
    json_number(f, "range_left", l->range_left);
    json_number(f, "seconds", l->seconds);
    fputs("}\n", f);
    return journal_close(f, path);
}

static void journal_line(struct quantize_file *q, const char *line, size_t size, const char *path, bool *whole)
{
    struct fv_json doc;
    if (fv_json_parse(&doc, line, size, path) < 0)
        return;
    *whole = fv_json_bool_or(&doc, doc.root, "whole", false);
    const char *name = fv_json_string_or(&doc, doc.root, "layer", "");
    for (size_t i = 0; i < q->count; i++) {
        struct quantize_layer *l = &q->layers[i];
        if (strcmp(l->name, name) != 0)
            continue;
        q->resumed += !l->done;
        l->done = true;
        l->refined = (unsigned)fv_json_number_or(&doc, doc.root, "refined", 0);
        l->alpha = fv_json_number_or(&doc, doc.root, "alpha", 0);
        l->beta = fv_json_number_or(&doc, doc.root, "beta", 0);
        l->weight_error = fv_json_number_or(&doc, doc.root, "weight_error", NAN);
        l->plain_error = fv_json_number_or(&doc, doc.root, "plain_error", NAN);
        l->first_error = fv_json_number_or(&doc, doc.root, "first_error", NAN);
        l->fitted_error = fv_json_number_or(&doc, doc.root, "fitted_error", NAN);
        l->error = fv_json_number_or(&doc, doc.root, "error", NAN);
        l->range = fv_json_number_or(&doc, doc.root, "range", 0);
        l->range_left = fv_json_number_or(&doc, doc.root, "range_left", 0);
        l->seconds = fv_json_number_or(&doc, doc.root, "seconds", 0);
    }
    fv_json_close(&doc);
}

/* False: there is none, or it is of something else. whole: and of all of it. */
static bool journal_read(struct quantize_file *q, const char *path, uint64_t key, bool *whole)
{
    struct fv_map map;
    char first[64];
    size_t at = (size_t)snprintf(first, sizeof first, "{\"of\":\"%016llx\"}\n", (unsigned long long)key);
    *whole = false;
    if (!fv_exists(path) || fv_map_open(&map, path) < 0)
        return false;
    bool same = map.size >= at && !memcmp(map.data, first, at);
    while (same && at < map.size) {
        const uint8_t *end = memchr(map.data + at, '\n', map.size - at);
        if (!end)
            break;
        size_t size = (size_t)(end - (map.data + at));
        journal_line(q, (const char *)map.data + at, size, path, whole);
        at += size + 1;
    }
    fv_map_close(&map);
    return same && truncate(path, (off_t)at) == 0; /* without a line that was cut: others follow */
}

/* ---- writing ------------------------------------------------------------------------------ */

static int write_f16(struct nn_saver *s, size_t at, const float *x, size_t count)
{
    uint16_t *half = malloc(count * sizeof *half + 1);
    if (!half)
        return fv_fail(FV_ENOMEM, "out of memory");
    fv_f32_to_f16_array(half, x, count);
    int rc = nn_saver_write(s, at, half);
    free(half);
    return rc;
}

/* Two codes a byte, the lower k in the lower half; whole numbers + 8. */
static int write_codes(struct nn_saver *s, size_t at, const struct qt_layer *r)
{
    size_t n = r->n * r->padded;
    int bias = r->method == QT_NF4 ? 0 : 8;
    if (r->method == QT_RTN8)
        return nn_saver_write(s, at, r->codes);
    uint8_t *bytes = malloc(n / 2);
    if (!bytes)
        return fv_fail(FV_ENOMEM, "out of memory");
    for (size_t i = 0; i < n / 2; i++)
        bytes[i] = (uint8_t)((r->codes[2 * i] + bias) | (r->codes[2 * i + 1] + bias) << 4);
    int rc = nn_saver_write(s, at, bytes);
    free(bytes);
    return rc;
}

static int write_layer(struct nn_saver *s, const struct quantize_layer *l, const struct qt_layer *r)
{
    size_t at = l->first;
    FV_TRY(write_codes(s, at++, r));
    FV_TRY(write_f16(s, at++, r->scales, r->n * (r->padded / QT_GROUP)));
    if (r->smooth)
        FV_TRY(nn_saver_write(s, at++, r->smooth));
    if (r->rank) {
        FV_TRY(write_f16(s, at++, r->down, r->rank * r->k));
        FV_TRY(write_f16(s, at++, r->up, r->n * r->rank));
    }
    return 0;
}

static double relative(double error, double signal)
{
    return signal > 0 ? sqrt(error / signal) : NAN;
}

static void take_figures(struct quantize_layer *l, const struct qt_layer *r, const float *w, float *back)
{
    double error = 0, all = 0;
    qt_layer_matrix(r, back);
    for (size_t i = 0; i < l->n * l->k; i++) {
        error += pow((double)back[i] - (double)w[i], 2);
        all += pow((double)w[i], 2);
    }
    l->weight_error = relative(error, all);
    l->plain_error = relative(r->judged_plain, r->judged_signal);
    l->first_error = r->method == QT_SVDQUANT ? relative(r->first_error, r->signal) : NAN;
    l->fitted_error = relative(r->error, r->signal);
    l->error = relative(r->judged_error, r->judged_signal);
    l->alpha = r->alpha;
    l->beta = r->beta;
    l->refined = r->refined;
    l->range = r->range;
    l->range_left = r->range_left;
    l->done = true;
}

static int one_layer(struct quantize_file *q, struct quantize_layer *l, struct nn_saver *s,
                     const struct quantize_inputs *in)
{
    double start = fv_now();
    struct qt_opts o = q->s.opts;
    struct qt_seen seen = {0};
    struct qt_layer r = {0};
    o.rank = l->rank;
    o.gptq = l->gptq;
    float *w = malloc(l->n * l->k * sizeof *w), *back = malloc(l->n * l->k * sizeof *back);
    int rc = w && back ? nn_file_read(l->weight, NN_DATA_F32, 0, l->weight->count, w)
                       : fv_fail(FV_ENOMEM, "out of memory");
    if (rc == 0 && in && in->get)
        rc = in->get(in->ud, l, &seen);
    if (rc == 0)
        rc = qt_quantise(&r, l->name, w, l->n, l->k, seen.x ? &seen : NULL, &o);
    if (rc == 0) {
        take_figures(l, &r, w, back);
        l->seconds = fv_now() - start;
        rc = write_layer(s, l, &r);
    }
    if (rc == 0)
        fv_log(FV_DEBUG, "%s: error %.4f, plain %.4f, alpha %.2f beta %.2f, %u refinements, %.2f s", l->name, l->error,
               l->plain_error, l->alpha, l->beta, l->refined, l->seconds);
    nn_file_forget(q->file, l->weight);
    qt_layer_finish(&r);
    free(w);
    free(back);
    return rc;
}

/* Another order of what is there, or other codes for it. */
static int one_foreign(struct quantize_file *q, struct quantize_layer *l, struct nn_saver *s)
{
    struct qt_layer r = {0};
    double start = fv_now();
    float *bias = malloc(l->n * sizeof *bias);
    int rc = bias ? qt_nunchaku_read(&r, bias, &l->from, q->s.opts.method == QT_RTN8) : fv_fail(FV_ENOMEM, "out of memory");
    if (rc == 0)
        rc = write_layer(s, l, &r);
    if (rc == 0)
        rc = nn_saver_write(s, l->first + (l->rank ? 5 : 3), bias);
    l->done = rc == 0;
    l->seconds = fv_now() - start;
    qt_layer_finish(&r);
    free(bias);
    return rc;
}

static int copy_one(struct quantize_file *q, struct nn_saver *s, size_t i)
{
    const struct nn_file_tensor *t = q->from[i];
    if (t->contiguous && t->type == q->out[i].type)
        return nn_saver_write(s, i, t->data);
    void *out = malloc(nn_save_bytes(&q->out[i]) + 1);
    int rc = out ? nn_file_read(t, q->out[i].type, 0, t->count, out) : fv_fail(FV_ENOMEM, "out of memory");
    if (rc == 0)
        rc = nn_saver_write(s, i, out);
    free(out);
    return rc;
}

/* All texts of the file, and how it was quantised, which is the last. */
static int make_meta(struct quantize_file *q, struct nn_file_text **out, size_t *count)
{
    const struct qt_opts *o = &q->s.opts;
    struct nn_file_text *meta = fv_arena_alloc(q->arena, (q->file->meta_count + 1) * sizeof *meta);
    char *text = NULL, *kept;
    size_t n = q->file->kind == NN_FILE_SAFETENSORS ? q->file->meta_count : 0;
    char how[96] = "";
    unsigned rank = o->method == QT_SVDQUANT ? o->rank : 0;
    for (size_t i = 0; i < q->count && q->foreign; i++)
        rank = q->layers[i].rank;
    const char *method = q->foreign ? "svdquant" : qt_method_names[o->method];
    if (q->foreign)
        snprintf(how, sizeof how, ",\"from\":\"nunchaku %s\"", q->layers[0].from.fp4 ? "nvfp4" : "int4");
    else if (o->method == QT_SVDQUANT)
        snprintf(how, sizeof how, ",\"gptq\":\"%s\",\"grids\":%u,\"activations\":%u,\"seed\":%llu", quantize_gptq_names[q->s.gptq],
                 o->grids, o->activations, (unsigned long long)o->seed);
    if (!meta || asprintf(&text, "{\"format\":1,\"method\":\"%s\",\"bits\":%d,\"group\":%d,\"rank\":%u%s%s%s}", method,
                          o->method == QT_RTN8 ? 8 : 4, QT_GROUP, rank, how, q->s.more ? "," : "",
                          q->s.more ? q->s.more : "") < 0)
        return fv_fail(FV_ENOMEM, "out of memory");
    kept = fv_arena_strndup(q->arena, text, strlen(text));
    free(text);
    for (size_t i = 0; i < n; i++)
        meta[i] = q->file->meta[i];
    meta[n] = (struct nn_file_text){"fovea.quantization", kept};
    *out = meta;
    *count = n + 1;
    return kept ? 0 : FV_ENOMEM;
}

/* All that what is written depends on. */
static int make_key(uint64_t *key, const struct quantize_file *q, const char *how, const struct quantize_inputs *in)
{
    uint64_t h = fv_hash(FV_HASH_BEGIN, how, strlen(how) + 1);
    for (size_t i = 0; i < q->out_count; i++) {
        const struct nn_save_tensor *t = &q->out[i];
        h = fv_hash(h, t->name, strlen(t->name) + 1);
        h = fv_hash(h, &t->type, sizeof t->type);
        h = fv_hash(h, t->shape, t->rank * sizeof *t->shape);
    }
    for (size_t i = 0; i < q->file->part_count; i++) {
        struct stat st;
        if (stat(q->file->parts[i], &st) < 0)
            return fv_fail(FV_EIO, "%s: %s", q->file->parts[i], strerror(errno));
        h = fv_hash(h, &st.st_mtim, sizeof st.st_mtim);
        FV_TRY(model_in_stir(&h, q->file->parts[i]));
    }
    if (in)
        h = fv_hash(h, &in->hash, sizeof in->hash);
    *key = h;
    return 0;
}

static int write_all(struct quantize_file *q, struct nn_saver *s, const char *journal,
                     const struct quantize_inputs *in, fv_progress_fn on_progress, void *ud)
{
    double done = 0, total = (double)q->layer_weights;
    for (size_t i = 0; i < q->out_count; i++)
        if (q->from[i]) /* the others are of layers */
            FV_TRY(copy_one(q, s, i));
    for (size_t i = 0; i < q->count; i++) {
        struct quantize_layer *l = &q->layers[i];
        if (on_progress && on_progress(ud, &(struct fv_progress){"quantising", done, total}))
            return fv_fail(FV_ECANCELLED, "cancelled; the same command goes on from here");
        done += (double)l->weight->count;
        if (l->done)
            continue;
        FV_TRY(l->foreign ? one_foreign(q, l, s) : one_layer(q, l, s, in));
        FV_TRY(nn_saver_flush(s));
        FV_TRY(journal_add(journal, l));
    }
    return 0;
}

static char *name_with(const char *path, const char *suffix)
{
    char *out = NULL;
    return asprintf(&out, "%s%s", path, suffix) < 0 ? NULL : out;
}

/* Nothing is known of a layer yet, whatever a journal of something else said. */
static void forget_layers(struct quantize_file *q)
{
    for (size_t i = 0; i < q->count; i++)
        q->layers[i].done = false;
    q->resumed = 0;
}

static int write_rest(struct quantize_file *q, const char *path, const char *journal, uint64_t key, bool known,
                      const struct nn_file_text *meta, size_t meta_count, const struct quantize_inputs *in,
                      fv_progress_fn on_progress, void *ud)
{
    struct nn_saver *s = NULL;
    bool there = false;
    int rc = nn_saver_open(&s, path, q->out, q->out_count, meta, meta_count, &there);
    if (rc == 0 && !(known && there)) {
        forget_layers(q);
        rc = journal_begin(journal, key);
    }
    if (rc == 0)
        rc = write_all(q, s, journal, in, on_progress, ud);
    if (rc == 0)
        rc = journal_end(journal);
    if (rc == 0)
        rc = nn_saver_commit(&s);
    nn_saver_close(&s);
    return rc;
}

int quantize_write(struct quantize_file *q, const char *path, const struct quantize_inputs *in,
                   fv_progress_fn on_progress, void *ud)
{
    struct nn_file_text *meta = NULL;
    size_t meta_count = 0;
    uint64_t key = 0;
    bool whole = false;
    FV_TRY(make_meta(q, &meta, &meta_count));
    FV_TRY(make_key(&key, q, meta[meta_count - 1].value, in));
    char *journal = name_with(path, ".journal"), *part = name_with(path, ".part");
    int rc = journal && part ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    bool known = rc == 0 && journal_read(q, journal, key, &whole);
    if (rc == 0 && !(known && whole && fv_exists(path) && !fv_exists(part)))
        rc = write_rest(q, path, journal, key, known, meta, meta_count, in, on_progress, ud);
    free(journal);
    free(part);
    return rc;
}

void quantize_settle(const char *path)
{
    char *journal = name_with(path, ".journal");
    if (journal)
        unlink(journal);
    free(journal);
}
