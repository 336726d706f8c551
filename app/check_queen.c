/* check --arch queen: QUEEN's decoders, gates, coder and frames against reference outputs
 * (check.h).
 * A directory is one of four, told by what is in it:
 *
 *   decoders  config.json and NAME.safetensors each: latents, weights, decoded
 *   gates     NAME.json (gamma, eta, temp) and NAME.safetensors
 *   entropy   coded_*.safetensors, bitestimator_*.safetensors
 *   frames    config.json, frame1.safetensors ...: latents, decoders, coded bytes, decoded
 *
 * Decoders and gates run by the kernels that play a stream; frames are played (gs_queen_advance)
 * from their coded bytes. The CPU twins are rows of their own. */
#include "app/check.h"
#include "gs/gs.h"
#include "vk/base/arena.h"
#include "vk/base/file.h"
#include "vk/base/json.h"
#include "vk/nn/weights.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct work {
    struct check *check;
    const char *dir;
    struct vk_device *dev;
    struct nn_file *file;
    struct fv_arena arena;
};

/* Sums of a few products in another order than the reference's. */
static const struct check_bounds sums = {.absolute = 2e-6, .relative = 2e-6};
static const struct check_bounds same = {0};

/* ---- tensors ---- */

static const struct nn_file_tensor *find(const struct work *w, const char *fmt, const char *a,
                                         const char *b)
{
    char name[128];
    snprintf(name, sizeof name, "%s%s%s", fmt, a, b);
    return nn_file_find(w->file, name);
}

static float *read_tensor(struct work *w, const struct nn_file_tensor *t, size_t *count)
{
    float *out = t ? fv_arena_alloc(&w->arena, (t->count ? t->count : 1) * sizeof *out) : NULL;
    if (count)
        *count = t ? (size_t)t->count : 0;
    return out && nn_file_read(t, NN_DATA_F32, 0, t->count, out) >= 0 ? out : NULL;
}

/* A tensor that must be there. */
static float *need(struct work *w, const char *prefix, const char *name, size_t *count)
{
    const struct nn_file_tensor *t = find(w, prefix, name, "");
    float *out = read_tensor(w, t, count);
    if (!t)
        fv_fail(FV_EFORMAT, "%s: no tensor %s%s", w->file->name, prefix, name);
    return out;
}

static int32_t *need_ints(struct work *w, const char *prefix, const char *name, size_t *count)
{
    const struct nn_file_tensor *t = find(w, prefix, name, "");
    int32_t *out = t ? fv_arena_alloc(&w->arena, (t->count ? t->count : 1) * sizeof *out) : NULL;
    *count = t ? (size_t)t->count : 0;
    if (!t)
        fv_fail(FV_EFORMAT, "%s: no tensor %s%s", w->file->name, prefix, name);
    return out && nn_file_read(t, NN_DATA_I32, 0, t->count, out) >= 0 ? out : NULL;
}

static double *doubles(struct work *w, const float *in, size_t n)
{
    double *out = fv_arena_alloc(&w->arena, (n ? n : 1) * sizeof *out);
    for (size_t i = 0; out && i < n; i++)
        out[i] = (double)in[i];
    return out;
}

static int row(struct work *w, const char *label, const float *got, const float *want, size_t n,
               size_t width, const struct check_bounds *bounds)
{
    struct check_error e;
    double *a = got ? doubles(w, got, n) : NULL, *b = want ? doubles(w, want, n) : NULL;
    if (!a || !b)
        return FV_EFORMAT;
    check_measure(&e, a, b, NULL, n, bounds);
    e.width = width > 1 ? width : 0;
    check_row(w->check, label, &e);
    return 0;
}

static int row_of_one(struct work *w, const char *label, double got, double want, double relative)
{
    struct check_error e;
    check_measure(&e, &got, &want, NULL, 1, &(struct check_bounds){.relative = relative});
    check_row(w->check, label, &e);
    return 0;
}

static int open_file(struct work *w, const char *name)
{
    char path[1024];
    nn_file_close(&w->file);
    snprintf(path, sizeof path, "%s/%s", w->dir, name);
    return nn_file_open(&w->file, path, NULL);
}

static int open_json(struct work *w, struct fv_json *doc, const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", w->dir, name);
    return fv_json_open(doc, path);
}

static bool has(const struct work *w, const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", w->dir, name);
    return fv_exists(path);
}

/* ---- decoders ---- */

static enum gs_queen_activation activation(const char *name)
{
    return !strcmp(name, "relu")      ? GS_QUEEN_RELU
           : !strcmp(name, "sigmoid") ? GS_QUEEN_SIGMOID
           : !strcmp(name, "tanh")    ? GS_QUEEN_TANH
                                      : GS_QUEEN_LINEAR;
}

/* PREFIXdiv, PREFIXlayers.N.scale, .dft, .shift. *parameters are all numbers of it. */
static int read_decoder(struct work *w, const char *prefix, struct gs_queen_decoder *d,
                        enum gs_queen_activation hidden, enum gs_queen_activation final,
                        size_t *parameters)
{
    size_t n;
    *d = (struct gs_queen_decoder){.div = read_tensor(w, find(w, prefix, "div", ""), &n)};
    *parameters = n;
    for (; d->layer_count < GS_QUEEN_MAX_LAYERS; d->layer_count++) {
        char layer[32];
        struct gs_queen_layer *l = &d->layer[d->layer_count];
        snprintf(layer, sizeof layer, "layers.%u.", 2 * d->layer_count);
        const struct nn_file_tensor *scale = find(w, prefix, layer, "scale");
        const struct nn_file_tensor *dft = find(w, prefix, layer, "dft");
        const struct nn_file_tensor *matrix = dft ? dft : scale;
        if (!scale)
            break;
        l->w = read_tensor(w, matrix, &n);
        *parameters += n;
        if (dft) {
            l->scale = read_tensor(w, scale, &n);
            *parameters += n;
        }
        l->shift = read_tensor(w, find(w, prefix, layer, "shift"), &n);
        *parameters += n;
        l->in = (uint32_t)matrix->shape[0];
        l->out = (uint32_t)matrix->shape[1];
        l->activation = hidden;
    }
    if (!d->layer_count)
        return fv_fail(FV_EFORMAT, "%s: no decoder %s", w->file->name, prefix);
    d->layer[d->layer_count - 1].activation = final;
    return 0;
}

static int check_decoder(struct work *w, struct fv_json *doc, struct fv_node config)
{
    struct gs_queen_decoder d;
    size_t parameters, n, decoded, m;
    FV_TRY(read_decoder(w, "w.", &d, activation(fv_json_string_or(doc, config, "activation", "")),
                        activation(fv_json_string_or(doc, config, "final_activation", "")),
                        &parameters));
    const float *latent = need(w, "", "latent", &n), *want = need(w, "", "decoded", &decoded);
    const float *rounded = need(w, "", "latent_rounded", &m);
    const struct nn_file_tensor *base_tensor = nn_file_find(w->file, "decoded_att");
    const float *base = read_tensor(w, base_tensor, NULL);
    size_t rows = n / d.layer[0].in, width = d.layer[d.layer_count - 1].out;
    if (!latent || !want || !rounded || m != n || n != rows * d.layer[0].in ||
        decoded != rows * width || (base && base_tensor->count != decoded))
        return fv_fail(FV_EFORMAT, "%s: tensors of sizes that do not fit", w->file->name);
    int32_t *ints = fv_arena_alloc(&w->arena, n * sizeof *ints);
    float *as_floats = fv_arena_alloc(&w->arena, n * sizeof *as_floats);
    float *got = fv_arena_alloc(&w->arena, decoded * sizeof *got);
    float *twin = fv_arena_alloc(&w->arena, decoded * sizeof *twin);
    if (!ints || !as_floats || !got || !twin)
        return FV_ENOMEM;
    gs_queen_round(ints, latent, n);
    for (size_t i = 0; i < n; i++)
        as_floats[i] = (float)ints[i];
    FV_TRY(gs_queen_decode(w->dev, &d, latent, rows, base, got));
    FV_TRY(gs_queen_decode_reference(&d, ints, rows, base, twin));
    FV_TRY(row(w, "latent_rounded", as_floats, rounded, n, d.layer[0].in, &same));
    FV_TRY(row(w, "decoded", got, want, decoded, width, &sums));
    FV_TRY(row(w, "decoded (cpu)", twin, want, decoded, width, &sums));
    const float *bits = need(w, "", "size_bits", &m);
    return bits ? row_of_one(w, "size_bits", 32.0 * (double)parameters, (double)*bits, 0)
                : FV_EFORMAT;
}

static void check_decoders(struct work *w)
{
    struct fv_json doc;
    if (open_json(w, &doc, "config.json") < 0) {
        check_failure(w->check, "config.json");
        return;
    }
    for (size_t i = 0; i < fv_node_count(doc.root); i++) {
        struct fv_node config = fv_node_at(doc.root, i);
        char name[128];
        snprintf(name, sizeof name, "%s.safetensors", fv_json_string(&doc, config, "name"));
        if (!has(w, name)) /* a subset of the cases */
            continue;
        check_group(w->check, "%s", fv_json_string(&doc, config, "name"));
        if (open_file(w, name) < 0 || check_decoder(w, &doc, config) < 0)
            check_failure(w->check, "error");
        fv_arena_finish(&w->arena);
    }
    if (doc.failed)
        check_failure(w->check, "config.json");
    fv_json_close(&doc);
}

/* ---- gates ---- */

static int check_gate(struct work *w, const struct gs_queen_gate *g)
{
    size_t n, m, k;
    const float *start = need(w, "", "init_probs", &n), *alpha = need(w, "", "log_alphas", &m);
    const float *z = need(w, "", "gate_eval", &k), *x = need(w, "", "x", &k);
    const float *gated = need(w, "", "x_gated_eval", &k), *bits = need(w, "", "size_bits", NULL);
    if (!start || !alpha || !z || !x || !gated || !bits || m != n || k != 3 * n)
        return fv_fail(FV_EFORMAT, "%s: tensors of sizes that do not fit", w->file->name);
    float *made = fv_arena_alloc(&w->arena, n * sizeof *made);
    float *zero = fv_arena_alloc(&w->arena, 3 * n * sizeof *zero);
    float *got_z = fv_arena_alloc(&w->arena, n * sizeof *got_z);
    float *got_x = fv_arena_alloc(&w->arena, 3 * n * sizeof *got_x);
    int32_t *open = fv_arena_alloc(&w->arena, n * sizeof *open);
    if (!made || !zero || !got_z || !got_x || !open)
        return FV_ENOMEM;
    for (size_t i = 0; i < n; i++)
        made[i] = gs_queen_gate_start(g, start[i]);
    FV_TRY(row(w, "log_alphas", made, alpha, n, 1, &sums));
    FV_TRY(gs_queen_gate(w->dev, g, alpha, n, zero, x, got_z, got_x));
    FV_TRY(row(w, "gate_eval", got_z, z, n, 1, &sums));
    FV_TRY(row(w, "x_gated_eval", got_x, gated, 3 * n, 3, &sums));
    for (size_t i = 0; i < n; i++)
        open[i] = got_z[i] != 0;
    double found;
    FV_TRY(gs_queen_entropy(&found, open, n, 1));
    FV_TRY(row_of_one(w, "size_bits", found, (double)*bits, 1e-6));
    gs_queen_gate_reference(g, alpha, n, zero, x, got_z, got_x);
    FV_TRY(row(w, "gate_eval (cpu)", got_z, z, n, 1, &sums));
    return row(w, "x_gated_eval (cpu)", got_x, gated, 3 * n, 3, &sums);
}

static void check_gate_file(struct work *w, const char *name)
{
    struct fv_json doc;
    char tensors[256];
    check_group(w->check, "%.*s", (int)(strlen(name) - 5), name);
    if (open_json(w, &doc, name) < 0) {
        check_failure(w->check, "error");
        return;
    }
    const struct gs_queen_gate g = {.temperature = (float)fv_json_number(&doc, doc.root, "temp"),
                                    .low = (float)fv_json_number(&doc, doc.root, "gamma"),
                                    .high = (float)fv_json_number(&doc, doc.root, "eta")};
    snprintf(tensors, sizeof tensors, "%.*s.safetensors", (int)(strlen(name) - 5), name);
    if (doc.failed || open_file(w, tensors) < 0 || check_gate(w, &g) < 0)
        check_failure(w->check, "error");
    check_skip(w->check, "reg_loss, gradients", "of training");
    fv_arena_finish(&w->arena);
    fv_json_close(&doc);
}

/* ---- entropy coding ---- */

/* Tensors PREFIXbytes and so on as coded integers of rows x width. */
static int read_coded(struct work *w, const char *prefix, const char *bytes, const char *symbols,
                      uint32_t rows, uint32_t width, struct gs_queen_coded *c)
{
    size_t points, values, size;
    *c = (struct gs_queen_coded){.rows = rows, .width = width};
    c->cdf = need(w, prefix, "cdf", &points);
    c->value = need_ints(w, prefix, symbols, &values);
    const int32_t *stream = need_ints(w, prefix, bytes, &size);
    uint8_t *packed = fv_arena_alloc(&w->arena, size ? size : 1);
    if (!c->cdf || !c->value || !stream || !packed || points != values + 1)
        return fv_fail(FV_EFORMAT, "%s: %s: tensors of sizes that do not fit", w->file->name,
                       prefix);
    for (size_t i = 0; i < size; i++)
        packed[i] = (uint8_t)stream[i];
    c->symbols = (uint32_t)values;
    c->bytes = packed;
    c->size = size;
    return 0;
}

/* What was coded: the same bytes come of coding these values again. */
static int check_coded_again(struct work *w, const char *prefix, const struct gs_queen_coded *want,
                             const float *values, float scale)
{
    struct gs_queen_coded c;
    char label[64];
    FV_TRY(gs_queen_compress(&c, values, want->rows, want->width, scale));
    bool ok = c.symbols == want->symbols && c.size == want->size && c.tails == want->tails &&
              !memcmp(c.cdf, want->cdf, (c.symbols + 1) * sizeof *c.cdf) &&
              !memcmp(c.value, want->value, c.symbols * sizeof *c.value) &&
              !memcmp(c.bytes, want->bytes, c.size);
    for (size_t i = 0; ok && i < c.tails; i++)
        ok = c.tail[i].value == want->tail[i].value && c.tail[i].at == want->tail[i].at;
    snprintf(label, sizeof label, "%sbytes", prefix);
    check_fact(w->check, label, ok,
               "coded anew: %zu bytes, %u values, %zu rare; expected %zu, %u, %zu", c.size,
               c.symbols, c.tails, want->size, want->symbols, want->tails);
    gs_queen_coded_finish(&c);
    return 0;
}

static int check_coded(struct work *w)
{
    struct gs_queen_coded c;
    size_t n, m, tails;
    const struct nn_file_tensor *shape = nn_file_find(w->file, "latent");
    const float *latent = need(w, "", "latent", &n), *want = need(w, "", "uncompressed", &m);
    const float *scale = need(w, "", "scale", NULL);
    const int32_t *tail = need_ints(w, "", "tail", &tails);
    if (!latent || !want || !scale || !tail || m != n || shape->rank != 2)
        return fv_fail(FV_EFORMAT, "%s: tensors of sizes that do not fit", w->file->name);
    FV_TRY(read_coded(w, "", "byte_stream", "mapping_value", (uint32_t)shape->shape[0],
                      (uint32_t)shape->shape[1], &c));
    struct gs_queen_tail *list = fv_arena_alloc(&w->arena, (tails + 1) * sizeof *list);
    int32_t *ints = fv_arena_alloc(&w->arena, n * sizeof *ints);
    float *got = fv_arena_alloc(&w->arena, n * sizeof *got);
    if (!list || !ints || !got)
        return FV_ENOMEM;
    for (size_t i = 0; i < tails / 2; i++)
        list[i] = (struct gs_queen_tail){tail[2 * i], (uint32_t)tail[2 * i + 1]};
    c.tail = list;
    c.tails = tails / 2;
    FV_TRY(gs_queen_uncompress(&c, ints));
    for (size_t i = 0; i < n; i++)
        got[i] = (float)ints[i] / *scale;
    FV_TRY(row(w, "uncompressed", got, want, n, c.width, &same));
    return check_coded_again(w, "", &c, latent, *scale);
}

static int check_estimator(struct work *w, uint32_t layers)
{
    struct gs_queen_estimator e = {.layers = layers};
    size_t n, m;
    const float *latent = need(w, "", "latent", &n), *noise = need(w, "", "noise", &m);
    const float *cdf = need(w, "", "cdf_at_latent", NULL), *h4 = need(w, "w.f4.", "h", NULL);
    if (!latent || !noise || !cdf || !h4 || m != n)
        return fv_fail(FV_EFORMAT, "%s: tensors of sizes that do not fit", w->file->name);
    e.channels = (uint32_t)nn_file_find(w->file, "w.f4.h")->count;
    for (uint32_t l = 0; l < layers; l++) { /* f1.. of the first ones, f4 is always the last */
        char prefix[8];
        snprintf(prefix, sizeof prefix, "w.f%u.", l + 1 < layers ? l + 1 : 4);
        e.h[l] = need(w, prefix, "h", NULL);
        e.b[l] = need(w, prefix, "b", NULL);
        if (l + 1 < layers)
            e.a[l] = need(w, prefix, "a", NULL);
        if (!e.h[l] || !e.b[l] || (l + 1 < layers && !e.a[l]))
            return FV_EFORMAT;
    }
    float *got = fv_arena_alloc(&w->arena, n * sizeof *got);
    if (!got)
        return FV_ENOMEM;
    for (size_t i = 0; i < n; i++)
        got[i] = (float)gs_queen_estimate_cdf(&e, (uint32_t)(i % e.channels), (double)latent[i]);
    FV_TRY(row(w, "cdf_at_latent", got, cdf, n, e.channels, &sums));
    size_t rows = n / e.channels;
    const struct {
        const char *bits, *loss;
        const float *noise;
    } kinds[] = {{"val_total_bits", "val_loss", NULL}, {"train_total_bits", "train_loss", noise}};
    for (int k = 0; k < 2; k++) {
        const float *bits = need(w, "", kinds[k].bits, NULL);
        const float *loss = need(w, "", kinds[k].loss, NULL);
        double found = gs_queen_estimate_bits(&e, latent, kinds[k].noise, rows);
        if (!bits || !loss)
            return FV_EFORMAT;
        /* the reference takes logarithms of differences of float32 probabilities */
        FV_TRY(row_of_one(w, kinds[k].bits, found, (double)*bits, 1e-4));
        FV_TRY(row_of_one(w, kinds[k].loss, 0.02 * found / (double)rows, (double)*loss, 1e-4));
    }
    return 0;
}

static void check_entropy_file(struct work *w, const char *name)
{
    unsigned layers = 0;
    check_group(w->check, "%.*s", (int)(strlen(name) - 12), name);
    int rc = open_file(w, name);
    if (rc >= 0)
        rc = sscanf(name, "bitestimator_L%u", &layers) == 1 && layers >= 1 && layers <= 4
                 ? check_estimator(w, layers)
                 : check_coded(w);
    if (rc < 0)
        check_failure(w->check, "error");
    fv_arena_finish(&w->arena);
}

/* ---- frames ---- */

static const char *const attributes[GS_QUEEN_ATTRIBUTES] = {"f_dc", "f_rest", "sc", "rot", "op"};

struct player {
    struct work *w;
    unsigned frame;
    int sh_degree;
    uint32_t count;
    struct gs_queen *queen;
    int32_t *rest; /* latents of the frame before; malloc'd */
    double bits;   /* of the frame, as QUEEN's size() counts */
};

/* Bits of latents, each dimension by its own histogram. */
static int add_entropy(struct player *p, const int32_t *v, uint32_t width)
{
    for (uint32_t k = 0; k < width; k++) {
        double bits;
        FV_TRY(gs_queen_entropy(&bits, v + k, p->count, width));
        p->bits += bits;
    }
    return 0;
}

/* f_rest counts as the difference from the frame before. */
static int count_latents(struct player *p, int a, const int32_t *latent, uint32_t width)
{
    size_t n = (size_t)p->count * width;
    int32_t *difference = fv_arena_alloc(&p->w->arena, n * sizeof *difference);
    if (!difference)
        return FV_ENOMEM;
    for (size_t i = 0; i < n; i++)
        difference[i] = latent[i] - (a == GS_QUEEN_REST && p->rest ? p->rest[i] : 0);
    if (a == GS_QUEEN_REST) {
        free(p->rest);
        p->rest = malloc(n * sizeof *p->rest);
        if (!p->rest)
            return fv_fail(FV_ENOMEM, "out of memory");
        memcpy(p->rest, latent, n * sizeof *p->rest);
    }
    return add_entropy(p, difference, width);
}

/* Latents from their coded bytes, or, in frame 1, which has none, rounded. */
static int read_latents(struct player *p, int a, struct gs_queen_change *c)
{
    struct work *w = p->w;
    char prefix[32], label[64];
    struct gs_queen_coded coded;
    size_t n;
    uint32_t width = c->decoder.layer[0].in;
    const float *latent = need(w, "latent.", attributes[a], &n);
    if (!latent || n != (size_t)p->count * width)
        return fv_fail(FV_EFORMAT, "%s: latent.%s is of another size", w->file->name,
                       attributes[a]);
    int32_t *ints = fv_arena_alloc(&w->arena, n * sizeof *ints);
    if (!ints)
        return FV_ENOMEM;
    snprintf(prefix, sizeof prefix, "coded.%s.", attributes[a]);
    if (find(w, prefix, "cdf", "")) {
        FV_TRY(read_coded(w, prefix, "bytes", "symbols", p->count, width, &coded));
        FV_TRY(gs_queen_uncompress(&coded, ints));
        size_t m;
        const float *want = need(w, prefix, "uncompressed", &m);
        float *got = fv_arena_alloc(&w->arena, n * sizeof *got);
        for (size_t i = 0; got && i < n; i++)
            got[i] = (float)ints[i];
        snprintf(label, sizeof label, "%suncompressed", prefix);
        if (!got || m != n)
            return FV_EFORMAT;
        FV_TRY(row(w, label, got, want, n, width, &same));
        FV_TRY(check_coded_again(w, prefix, &coded, latent, 1));
    } else {
        gs_queen_round(ints, latent, n);
    }
    c->latent = ints;
    return count_latents(p, a, ints, width);
}

static int read_change(struct player *p, int a, struct gs_queen_change *c)
{
    struct work *w = p->w;
    char prefix[32];
    size_t n, parameters;
    snprintf(prefix, sizeof prefix, "decoder.%s.", attributes[a]);
    if (!find(w, prefix, "layers.0.scale", "")) {
        c->kind = GS_QUEEN_PLAIN;
        c->values = need(w, "latent.", attributes[a], &n);
        c->width = (uint32_t)(n / p->count);
        p->bits += 32.0 * (double)n;
        return c->values ? 0 : FV_EFORMAT;
    }
    c->kind = find(w, "decoded_att.", attributes[a], "") ? GS_QUEEN_RESIDUAL : GS_QUEEN_ABSOLUTE;
    FV_TRY(read_decoder(w, prefix, &c->decoder, GS_QUEEN_LINEAR, GS_QUEEN_LINEAR, &parameters));
    p->bits += 32.0 * (double)parameters;
    return read_latents(p, a, c);
}

/* Gated positions from their coded bytes; the gates themselves against the reference. */
static int read_moves(struct player *p, struct gs_queen_frame *f)
{
    static const struct gs_queen_gate gate = {.temperature = 0.3f, .low = -0.5f, .high = 1.01f};
    struct work *w = p->w;
    struct gs_queen_coded coded;
    size_t n, rows, m;
    const float *latent = need(w, "latent.", "xyz", &n), *want = need(w, "decoded.", "xyz", &m);
    if (!latent || !want || n != 3 * (size_t)p->count || m != n)
        return fv_fail(FV_EFORMAT, "%s: latent.xyz is of another size", w->file->name);
    const struct nn_file_tensor *alphas = nn_file_find(w->file, "gate.log_alphas");
    if (!alphas) {
        f->position = latent;
        p->bits += 32.0 * (double)n;
        return 0;
    }
    const float *alpha = read_tensor(w, alphas, NULL), *before = need(w, "", "xyz_before", &m);
    const float *z = need(w, "gate.", "eval", NULL);
    float *got = fv_arena_alloc(&w->arena, n * sizeof *got);
    float *got_z = fv_arena_alloc(&w->arena, n * sizeof *got_z);
    int32_t *open = fv_arena_alloc(&w->arena, n * sizeof *open);
    if (!alpha || !before || !z || !got || !got_z || !open || m != n || alphas->count != p->count)
        return fv_fail(FV_EFORMAT, "%s: tensors of sizes that do not fit", w->file->name);
    FV_TRY(gs_queen_gate(w->dev, &gate, alpha, p->count, before, latent, got_z, got));
    FV_TRY(row(w, "gate.eval", got_z, z, p->count, 1, &sums));
    FV_TRY(row(w, "decoded.xyz (gates)", got, want, n, 3, &sums));
    double bits;
    for (uint32_t i = 0; i < p->count; i++) {
        open[i] = got_z[i] != 0;
        p->bits += 32.0 * 3 * open[i];
    }
    FV_TRY(gs_queen_entropy(&bits, open, p->count, 1));
    p->bits += bits;

    const int32_t *index = need_ints(w, "coded.xyz.", "ungated_indices", &rows);
    FV_TRY(read_coded(w, "coded.xyz.", "bytes", "symbols", (uint32_t)rows, 3, &coded));
    int32_t *ints = fv_arena_alloc(&w->arena, 3 * rows * sizeof *ints);
    float *by = fv_arena_alloc(&w->arena, 3 * rows * sizeof *by);
    uint32_t *at = fv_arena_alloc(&w->arena, rows * sizeof *at);
    const float *uncompressed = need(w, "coded.xyz.", "uncompressed", &m);
    if (!index || !ints || !by || !at || !uncompressed || m != 3 * rows)
        return FV_EFORMAT;
    FV_TRY(gs_queen_uncompress(&coded, ints));
    for (size_t i = 0; i < 3 * rows; i++)
        by[i] = (float)ints[i] / 10000.0f;
    for (size_t i = 0; i < rows; i++)
        at[i] = (uint32_t)index[i];
    FV_TRY(row(w, "coded.xyz.uncompressed", by, uncompressed, 3 * rows, 3, &same));
    f->moved = (uint32_t)rows;
    f->moved_row = at;
    f->moved_by = by;
    return 0;
}

static int check_played(struct player *p)
{
    struct work *w = p->w;
    struct gs_scene s;
    size_t n;
    /* every frame moves by whole ten-thousandths, the reference by what was to be coded */
    const struct check_bounds coded = {.absolute = 0.5001e-4 * (p->frame - 1), .relative = 2e-6};
    FV_TRY(gs_queen_fetch(p->queen, &s));
    size_t sh = 3 * (size_t)gs_sh_coefs(s.sh_degree);
    float *dc = fv_arena_alloc(&w->arena, s.count * 3 * sizeof *dc);
    float *rest = fv_arena_alloc(&w->arena, s.count * sh * sizeof *rest);
    for (size_t i = 0; dc && rest && i < s.count; i++) {
        memcpy(dc + 3 * i, s.sh + sh * i, 3 * sizeof *dc);
        memcpy(rest + (sh - 3) * i, s.sh + sh * i + 3, (sh - 3) * sizeof *rest);
    }
    const struct {
        const char *name;
        const float *got;
        size_t width;
        const struct check_bounds *bounds;
    } rows[] = {{"xyz", s.position, 3, &coded},  {"f_dc", dc, 3, &sums},
                {"f_rest", rest, sh - 3, &sums}, {"sc", s.scale, 3, &sums},
                {"rot", s.rotation, 4, &sums},   {"op", s.opacity, 1, &sums}};
    int rc = dc && rest ? 0 : FV_ENOMEM;
    for (size_t i = 0; rc >= 0 && i < sizeof rows / sizeof *rows; i++) {
        char label[32];
        const float *want = need(w, "decoded.", rows[i].name, &n);
        snprintf(label, sizeof label, "decoded.%s", rows[i].name);
        rc = want && n == s.count * rows[i].width
                 ? row(w, label, rows[i].got, want, n, rows[i].width, rows[i].bounds)
                 : fv_fail(FV_EFORMAT, "%s: %s is of another size", w->file->name, label);
    }
    gs_scene_finish(&s);
    return rc;
}

/* A first frame whose values all come by gs_queen_advance. */
static int begin_playing(struct player *p)
{
    struct gs_scene first;
    FV_TRY(gs_scene_alloc(&first, p->count, p->sh_degree));
    memset(first.position, 0, p->count * 3 * sizeof(float));
    memset(first.scale, 0, p->count * 3 * sizeof(float));
    memset(first.rotation, 0, p->count * 4 * sizeof(float));
    memset(first.opacity, 0, p->count * sizeof(float));
    memset(first.sh, 0, p->count * 3 * (size_t)gs_sh_coefs(p->sh_degree) * sizeof(float));
    int rc = gs_queen_create(&p->queen, p->w->dev, &first, NULL);
    gs_scene_finish(&first);
    return rc;
}

static int check_frame(struct player *p, struct fv_json *sizes)
{
    struct work *w = p->w;
    char name[32];
    snprintf(name, sizeof name, "frame%u.safetensors", p->frame);
    FV_TRY(open_file(w, name));
    const struct nn_file_tensor *xyz = nn_file_find(w->file, "latent.xyz");
    if (!xyz || !xyz->count || xyz->count > INT32_MAX)
        return fv_fail(FV_EFORMAT, "%s: no latent.xyz", w->file->name);
    p->count = (uint32_t)(xyz->count / 3);
    p->bits = 0;
    if (!p->queen)
        FV_TRY(begin_playing(p));
    struct gs_queen_frame f = {.count = p->count};
    FV_TRY(read_moves(p, &f));
    for (int a = 0; a < GS_QUEEN_ATTRIBUTES; a++)
        FV_TRY(read_change(p, a, &f.change[a]));
    FV_TRY(gs_queen_advance(p->queen, &f));
    FV_TRY(check_played(p));
    snprintf(name, sizeof name, "frame%u", p->frame);
    struct fv_node sized = fv_json_object(sizes, sizes->root, name);
    double want = fv_json_number(sizes, sized, "size_bits");
    return sizes->failed ? FV_EFORMAT : row_of_one(w, "size_bits", p->bits, want, 1e-6);
}

static void check_frames(struct work *w)
{
    struct player p = {.w = w, .frame = 1};
    struct fv_json config = {0}, sizes = {0};
    char name[32] = "frame1.safetensors";
    check_group(w->check, "frame1");
    if (open_json(w, &config, "config.json") < 0 || open_json(w, &sizes, "sizes.json") < 0) {
        check_failure(w->check, "error");
        fv_json_close(&config);
        return;
    }
    p.sh_degree = (int)fv_json_int(&config, config.root, "sh_degree", 0, 3);
    if (config.failed)
        check_failure(w->check, "config.json");
    while (!config.failed && has(w, name)) {
        check_group(w->check, "frame%u", p.frame);
        if (check_frame(&p, &sizes) < 0) {
            check_failure(w->check, "error");
            break;
        }
        fv_arena_finish(&w->arena);
        snprintf(name, sizeof name, "frame%u.safetensors", ++p.frame);
    }
    fv_arena_finish(&w->arena);
    gs_queen_destroy(&p.queen);
    free(p.rest);
    fv_json_close(&config);
    fv_json_close(&sizes);
}

/* ---- directories ---- */

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void check_files(struct work *w)
{
    struct dirent **entries = NULL;
    int n = scandir(w->dir, &entries, NULL, by_name);
    for (int i = 0; i < n; i++) {
        const char *name = entries[i]->d_name;
        bool coded = !strncmp(name, "coded_", 6) || !strncmp(name, "bitestimator_", 13);
        if (coded && fv_ends_with(name, ".safetensors"))
            check_entropy_file(w, name);
        else if (fv_ends_with(name, ".json") && strcmp(name, "sizes.json") &&
                 strcmp(name, "cameras.json"))
            check_gate_file(w, name);
        free(entries[i]);
    }
    free(entries);
}

int check_queen(struct check *c, const char *dir)
{
    struct work w = {.check = c, .dir = dir};
    FV_TRY(app_device(c->app, &w.dev));
    if (has(&w, "frame1.safetensors"))
        check_frames(&w);
    else if (has(&w, "config.json"))
        check_decoders(&w);
    else
        check_files(&w);
    nn_file_close(&w.file);
    return 0;
}
