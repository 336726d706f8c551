/* Opening a transformer: sizes from its tensors, config.json, weights onto the device. */
#include "diffusion/private.h"
#include "vk/base/json.h"
#include "vk/nn/lora.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Sizes that the tables below name by NN_DIM. */
enum { WIDTH, WIDTH2, WIDTH3, WIDTH6, HEAD, MLP, TEXT, TOKENS, TIME, CHANNELS, PT, PH, PW, OUT, DIMS };
enum { TIME_FEATURES = 256, MAX_DEPTH = 512 };

#define ROW(field, name, ...) {offsetof(struct df_dit, field), name, {__VA_ARGS__}, 0, NN_SAME, NULL}
#define MATRIX(field, name, ...)                                                                   \
    {offsetof(struct df_dit, field), name, {__VA_ARGS__}, NN_WEIGHT_MATRIX, NN_SAME, NULL}
#define EMBEDDER(field, name, first, second, in)                                                   \
    MATRIX(field.fc1, name first ".weight", NN_DIM(WIDTH), NN_DIM(in)),                            \
        ROW(field.fc1_bias, name first ".bias", NN_DIM(WIDTH)),                                    \
        MATRIX(field.fc2, name second ".weight", NN_DIM(WIDTH), NN_DIM(WIDTH)),                    \
        ROW(field.fc2_bias, name second ".bias", NN_DIM(WIDTH))
static const struct nn_weight_row model_rows[] = {
    ROW(patch, "x_embedder.proj.weight", NN_DIM(WIDTH), NN_DIM(CHANNELS), NN_DIM(PT), NN_DIM(PH),
        NN_DIM(PW)),
    ROW(patch_bias, "x_embedder.proj.bias", NN_DIM(WIDTH)),
    EMBEDDER(time, "t_embedder.mlp", ".0", ".2", TIME),
    EMBEDDER(fps, "fps_embedder.mlp", ".0", ".2", TIME),
    EMBEDDER(text, "y_embedder.y_proj", ".fc1", ".fc2", TEXT),
    ROW(modulation, "t_block.1.weight", NN_DIM(WIDTH6), NN_DIM(WIDTH)),
    ROW(modulation_bias, "t_block.1.bias", NN_DIM(WIDTH6)),
    {offsetof(struct df_dit, null_text), "y_embedder.y_embedding", {NN_DIM(TOKENS), NN_DIM(TEXT)}, 0,
     NN_F32, NULL},
    {offsetof(struct df_dit, final_table), "final_layer.scale_shift_table", {2, NN_DIM(WIDTH)}, 0,
     NN_F32, NULL},
    ROW(final, "final_layer.linear.weight", NN_DIM(OUT), NN_DIM(WIDTH)),
    ROW(final_bias, "final_layer.linear.bias", NN_DIM(OUT)),
};
#undef ROW
#define ROW(field, name, flags, dtype, ...)                                                        \
    {offsetof(struct df_block, field), name, {__VA_ARGS__}, flags, dtype, NULL}
#define LINEAR(field, name, out, in)                                                               \
    ROW(field, name ".weight", NN_WEIGHT_MATRIX, NN_SAME, NN_DIM(out), NN_DIM(in)),                \
        ROW(field##_bias, name ".bias", 0, NN_SAME, NN_DIM(out))
static const struct nn_weight_row block_rows[] = {
    ROW(table, "%d.scale_shift_table", 0, NN_F32, 6, NN_DIM(WIDTH)),
    LINEAR(qkv, "%d.attn.qkv", WIDTH3, WIDTH),
    ROW(q_norm, "%d.attn.q_norm.weight", NN_WEIGHT_OPTIONAL, NN_SAME, NN_DIM(HEAD)),
    ROW(k_norm, "%d.attn.k_norm.weight", NN_WEIGHT_OPTIONAL, NN_SAME, NN_DIM(HEAD)),
    LINEAR(proj, "%d.attn.proj", WIDTH, WIDTH),
    LINEAR(cross_q, "%d.cross_attn.q_linear", WIDTH, WIDTH),
    LINEAR(cross_kv, "%d.cross_attn.kv_linear", WIDTH2, WIDTH),
    LINEAR(cross_proj, "%d.cross_attn.proj", WIDTH, WIDTH),
    LINEAR(mlp.fc1, "%d.mlp.fc1", MLP, WIDTH),
    LINEAR(mlp.fc2, "%d.mlp.fc2", WIDTH, MLP),
};

/* Buffers that are computed from the config. */
static const char *const ignored[] = {"rope.freqs", "pos_embed.", NULL};

/* ---- sizes ------------------------------------------------------------------------------- */

struct config {
    uint32_t heads, input_size;
    /* of the rest only where there are no weights */
    uint32_t depth, width, channels, patch[3], text_width, text_tokens;
    double mlp_ratio;
    bool qk_norm, pred_sigma;
};

/* Those of Open-Sora 1.2's config.json; what it leaves out is as in its code. */
static void read_sizes(struct config *c, struct fv_json *doc)
{
    struct fv_node n = doc->root;
    double patch[3] = {1, 2, 2};
    c->depth = (uint32_t)fv_json_int(doc, n, "depth", 1, MAX_DEPTH);
    c->width = (uint32_t)fv_json_int(doc, n, "hidden_size", 1, 1 << 20);
    c->channels = fv_node_has(n, "in_channels") ? (uint32_t)fv_json_int(doc, n, "in_channels", 1, 1024) : 4;
    c->text_width =
        fv_node_has(n, "caption_channels") ? (uint32_t)fv_json_int(doc, n, "caption_channels", 1, 1 << 20) : 4096;
    c->text_tokens =
        fv_node_has(n, "model_max_length") ? (uint32_t)fv_json_int(doc, n, "model_max_length", 1, 1 << 16) : 300;
    c->mlp_ratio = fv_json_number_or(doc, n, "mlp_ratio", 4);
    c->qk_norm = fv_json_bool_or(doc, n, "qk_norm", true);
    c->pred_sigma = fv_json_bool_or(doc, n, "pred_sigma", true);
    if (fv_node_has(n, "patch_size"))
        fv_json_numbers(doc, fv_json_array(doc, n, "patch_size"), patch, 3);
    for (int i = 0; i < 3; i++)
        c->patch[i] = patch[i] >= 1 && patch[i] <= 64 ? (uint32_t)patch[i] : 0;
    if (!(c->mlp_ratio > 0 && c->mlp_ratio <= 64))
        c->width = 0;
}

static int read_config(struct config *c, const char *model)
{
    struct fv_json doc;
    int rc = df_config_open(&doc, model);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    if (fv_node_has(doc.root, "num_heads"))
        c->heads = (uint32_t)fv_json_int(&doc, doc.root, "num_heads", 1, 1024);
    if (fv_node_has(doc.root, "input_sq_size"))
        c->input_size = (uint32_t)fv_json_int(&doc, doc.root, "input_sq_size", 1, 65536);
    if (fv_node_has(doc.root, "depth"))
        read_sizes(c, &doc);
    rc = doc.failed ? FV_EFORMAT : 0;
    fv_json_close(&doc);
    return rc;
}

/* A model without its weights, for what it costs. */
static int sizes_of_config(struct df_dit *d, const struct config *c)
{
    const struct df_dit_info known = {.depth = c->depth,
                                      .width = c->width,
                                      .heads = c->heads,
                                      .mlp_width = (uint32_t)nearbyint(c->width * c->mlp_ratio),
                                      .channels = c->channels,
                                      .out_channels = c->channels * (c->pred_sigma ? 2 : 1),
                                      .patch = {c->patch[0], c->patch[1], c->patch[2]},
                                      .text_width = c->text_width,
                                      .text_tokens = c->text_tokens,
                                      .input_size = c->input_size ? c->input_size : 512};
    d->info = known;
    d->head_norm = c->qk_norm;
    if (!c->width || !c->heads || c->width % c->heads || c->width / c->heads % 2 || c->width % 4 || c->patch[0] != 1)
        return fv_fail(FV_EUNSUPPORTED, "%s: %u features, %u heads, patches of %ux%ux%u", d->path, c->width, c->heads,
                       c->patch[0], c->patch[1], c->patch[2]);
    return 0;
}

/* A tensor whose shape says a size; NULL and a failure if it is not there or of another rank. */
static const struct nn_file_tensor *check_sized(const struct nn_file *f, const struct nn_file_tensor *t,
                                                const char *name, unsigned rank, int *rc)
{
    if (*rc == 0 && !t)
        *rc = fv_fail(FV_EUNSUPPORTED, "%s: no %s: not a transformer known here (STDiT3 of Open-Sora "
                                       "1.2 is)", f->name, name);
    else if (*rc == 0 && t->rank != rank)
        *rc = fv_fail(FV_EFORMAT, "%s: %s has %u axes, expected %u", f->name, name, t->rank, rank);
    for (unsigned i = 0; *rc == 0 && i < rank; i++)
        if (t->shape[i] < 1 || t->shape[i] > 1 << 20)
            *rc = fv_fail(FV_EFORMAT, "%s: axis %u of %s is %llu", f->name, i, name,
                          (unsigned long long)t->shape[i]);
    return *rc == 0 ? t : NULL;
}

static const struct nn_file_tensor *sized(const struct nn_file *f, const char *name, unsigned rank,
                                          int *rc)
{
    return check_sized(f, nn_file_find(f, name), name, rank, rc);
}

static uint32_t count_blocks(const struct nn_file *f)
{
    uint32_t n = 0;
    char name[64];
    do
        snprintf(name, sizeof name, "spatial_blocks.%u.attn.qkv", n);
    while (nn_file_find_matrix(f, name) && ++n < MAX_DEPTH);
    return n;
}

static int find_sizes(struct df_dit *d, const struct nn_file *f, const struct config *c)
{
    struct df_dit_info *i = &d->info;
    int rc = 0;
    const struct nn_file_tensor *patch = sized(f, "x_embedder.proj.weight", 5, &rc);
    const struct nn_file_tensor *text = sized(f, "y_embedder.y_embedding", 2, &rc);
    const struct nn_file_tensor *mlp = check_sized(f, nn_file_find_matrix(f, "spatial_blocks.0.mlp.fc1"),
                                                   "spatial_blocks.0.mlp.fc1.weight", 2, &rc);
    const struct nn_file_tensor *final = sized(f, "final_layer.linear.weight", 2, &rc);
    const struct nn_file_tensor *norm = nn_file_find(f, "spatial_blocks.0.attn.q_norm.weight");
    if (rc < 0)
        return rc;
    i->width = (uint32_t)patch->shape[0];
    i->channels = (uint32_t)patch->shape[1];
    for (int k = 0; k < 3; k++)
        i->patch[k] = (uint32_t)patch->shape[2 + k];
    i->text_tokens = (uint32_t)text->shape[0];
    i->text_width = (uint32_t)text->shape[1];
    i->mlp_width = (uint32_t)mlp->shape[0];
    i->depth = count_blocks(f);
    i->input_size = c->input_size ? c->input_size : 512;
    d->head_norm = norm != NULL;
    uint32_t head = norm && norm->rank == 1 ? (uint32_t)norm->shape[0] : 0;
    i->heads = c->heads ? c->heads : head ? i->width / head : 0;
    if (!i->heads || i->width % i->heads || (head && i->width / i->heads != head))
        return fv_fail(FV_EFORMAT, "%s: %u heads of %u for %u features; is config.json beside it right?",
                       f->name, i->heads, head, i->width);
    if (i->width / i->heads % 2 || i->width % 4)
        return fv_fail(FV_EUNSUPPORTED, "%s: heads of %u features of %u: not even", f->name,
                       i->width / i->heads, i->width);
    uint64_t cells = (uint64_t)i->patch[0] * i->patch[1] * i->patch[2];
    if (i->patch[0] != 1 || final->shape[0] % cells)
        return fv_fail(FV_EUNSUPPORTED, "%s: patches of %ux%ux%u, %llu outputs", f->name, i->patch[0],
                       i->patch[1], i->patch[2], (unsigned long long)final->shape[0]);
    i->out_channels = (uint32_t)(final->shape[0] / cells);
    if (i->out_channels < i->channels)
        return fv_fail(FV_EFORMAT, "%s: %u channels out, %u in", f->name, i->out_channels, i->channels);
    return 0;
}

/* ---- loading ----------------------------------------------------------------------------- */

static void fill_dims(uint32_t dims[DIMS], const struct df_dit_info *i)
{
    const uint32_t all[DIMS] = {
        [WIDTH] = i->width,         [WIDTH2] = 2 * i->width,  [WIDTH3] = 3 * i->width,
        [WIDTH6] = 6 * i->width,    [HEAD] = i->width / i->heads, [MLP] = i->mlp_width,
        [TEXT] = i->text_width,     [TOKENS] = i->text_tokens, [TIME] = TIME_FEATURES,
        [CHANNELS] = i->channels,   [PT] = i->patch[0],       [PH] = i->patch[1],
        [PW] = i->patch[2],
        [OUT] = i->out_channels * i->patch[0] * i->patch[1] * i->patch[2]};
    memcpy(dims, all, sizeof all);
}

void df_want_pair(struct nn_wants *w, const struct df_dit *d, struct df_pair *pair, uint32_t number)
{
    const size_t n = sizeof block_rows / sizeof *block_rows;
    uint32_t dims[DIMS];
    fill_dims(dims, &d->info);
    nn_wants_push(w, "spatial_blocks.");
    nn_wants_blocks(w, &pair->spatial, sizeof pair->spatial, number, 1, block_rows, n, dims);
    nn_wants_pop(w);
    nn_wants_push(w, "temporal_blocks.");
    nn_wants_blocks(w, &pair->temporal, sizeof pair->temporal, number, 1, block_rows, n, dims);
    nn_wants_pop(w);
}

static int want(struct df_dit *d, struct nn_wants *w)
{
    uint32_t dims[DIMS];
    fill_dims(dims, &d->info);
    d->pair = calloc(d->resident + 1, sizeof *d->pair);
    if (!d->pair)
        return fv_fail(FV_ENOMEM, "out of memory");
    nn_wants_rows(w, d, model_rows, sizeof model_rows / sizeof *model_rows, dims);
    for (uint32_t n = 0; n < d->resident; n++)
        df_want_pair(w, d, &d->pair[n], n);
    return 0;
}

/* What is there beside the tensors that are wanted now. */
static const char *const streamed[] = {"rope.freqs", "pos_embed.", "spatial_blocks.", "temporal_blocks.",
                                       NULL};

/* Where there is no file to count them in. */
static uint64_t parameters_of(const struct df_dit *d)
{
    const struct df_dit_info *i = &d->info;
    uint64_t w = i->width, mlp = i->mlp_width, cells = (uint64_t)i->patch[0] * i->patch[1] * i->patch[2];
    uint64_t numbers = (TIME_FEATURES + 1) * w + (w + 1) * w;
    uint64_t norms = d->head_norm ? 2 * (w / i->heads) : 0;
    uint64_t block = 6 * w + (w + 1) * (3 * w + w + w + 2 * w + w) + norms + (w + 1) * mlp + (mlp + 1) * w;
    return (i->channels * cells + 1) * w + 2 * numbers + (i->text_width + 1) * w + (w + 1) * w + (w + 1) * 6 * w +
           2 * i->depth * block + 2 * w + (w + 1) * i->out_channels * cells;
}

static bool is_coded(const struct df_block *b, const struct nn_weight_row *row)
{
    return ((const struct nn_matrix *)((const char *)b + row->field))->code != NN_CODE_NONE;
}

static int plan_pair(struct df_dit *d, const struct nn_file *f, uint32_t number)
{
    struct df_plan *p = &d->plan[number];
    struct nn_wants *w = NULL;
    struct nn_weights_report report = {0};
    /* no two pairs in the same place, nor in that of a pool: kernels know weights they have seen by
     * where they lie */
    const struct nn_weights_opts o = {.dtype = d->info.dtype,
                                      .base = (UINT64_C(1) << 61) + ((uint64_t)number << 34),
                                      .lora = d->lora,
                                      .lora_count = d->lora_count,
                                      .report = &report};
    FV_TRY(nn_wants_create(&w));
    df_want_pair(w, d, &p->pair, number);
    int rc = nn_weights_plan(&p->bytes, d->dev, w, f, &o);
    p->parameters = report.parameters;
    for (size_t i = 0; i < sizeof block_rows / sizeof *block_rows; i++)
        if (block_rows[i].flags & NN_WEIGHT_MATRIX)
            d->info.coded |= is_coded(&p->pair.spatial, &block_rows[i]) || is_coded(&p->pair.temporal, &block_rows[i]);
    nn_weights_report_finish(&report);
    nn_wants_destroy(&w);
    if (!d->head_norm) { /* without a file everything optional is there */
        const nn_tensor none = {0};
        p->pair.spatial.q_norm = p->pair.spatial.k_norm = none;
        p->pair.temporal.q_norm = p->pair.temporal.k_norm = none;
    }
    return rc < 0 ? rc : 0;
}

static int load(struct df_dit *d, const struct nn_file *f, const struct df_dit_opts *o)
{
    struct nn_wants *wants = NULL;
    struct nn_weights_report report = {0};
    struct nn_weights_opts w = {.dtype = o->dtype ? o->dtype : NN_F32,
                                .on_progress = o->on_progress,
                                .ud = o->ud,
                                .lora = o->lora,
                                .lora_count = o->lora_count,
                                .report = &report};
    d->info.dtype = w.dtype;
    d->int8 = o->int8;
    d->expand = o->expand;
    d->lora = o->lora;
    d->lora_count = o->lora_count;
    d->plan = calloc(d->info.depth + 1, sizeof *d->plan);
    if (!d->plan)
        return fv_fail(FV_ENOMEM, "out of memory");
    for (uint32_t n = 0; n < d->info.depth; n++)
        FV_TRY(plan_pair(d, f, n));
    FV_TRY(df_plan_pairs(d, d->dev && f ? o->weight_memory : 0));
    w.ignore = d->resident < d->info.depth ? streamed : ignored;
    FV_TRY(nn_wants_create(&wants));
    int rc = want(d, wants);
    if (rc == 0)
        rc = d->dev ? nn_weights_load(&d->weights, d->dev, wants, f, &w)
                    : nn_weights_plan(&d->info.weight_bytes, NULL, wants, f, &w);
    /* what is learned: the caption of nothing is kept with it, but is none */
    d->info.parameters += f ? report.parameters - (uint64_t)d->info.text_tokens * d->info.text_width
                            : parameters_of(d);
    if (d->weights)
        d->info.weight_bytes += d->weights->bytes;
    nn_weights_report_finish(&report);
    nn_wants_destroy(&wants);
    if (rc == 0 && d->dev)
        rc = nn_cache_create(&d->cache, d->dev);
    return rc;
}

int df_dit_open(struct df_dit **out, struct vk_device *dev, const char *path,
                const struct df_dit_opts *o)
{
    static const struct df_dit_opts usual;
    struct nn_file *f = NULL;
    struct config config = {0};
    struct df_dit *d = *out = calloc(1, sizeof *d);
    if (!d)
        return fv_fail(FV_ENOMEM, "out of memory");
    d->dev = dev;
    snprintf(d->path, sizeof d->path, "%s", path);
    int rc = read_config(&config, path);
    bool sizes_only = rc == 0 && !dev && config.depth && !nn_file_is_weights(path);
    if (rc == 0 && !sizes_only)
        rc = nn_file_open(&f, path, NULL);
    if (rc >= 0)
        rc = sizes_only ? sizes_of_config(d, &config) : find_sizes(d, f, &config);
    if (rc >= 0)
        rc = load(d, f, o ? o : &usual);
    for (size_t i = 0; rc >= 0 && f && i < d->lora_count; i++)
        rc = nn_lora_check(d->lora[i]);
    if (rc >= 0 && d->resident < d->info.depth)
        d->file = f;
    else
        nn_file_close(&f);
    if (rc < 0)
        df_dit_close(out);
    return rc;
}

int df_weight_bytes(struct df_dit *d, uint64_t *pair, uint64_t *pairs, uint64_t *rest)
{
    struct nn_wants *w = NULL;
    struct df_dit other = {0};
    const struct nn_weights_opts o = {.dtype = d->info.dtype};
    uint32_t dims[DIMS];
    fill_dims(dims, &d->info);
    *pair = *pairs = 0;
    for (uint32_t n = 0; n < d->info.depth; n++) {
        *pair = d->plan[n].bytes > *pair ? d->plan[n].bytes : *pair;
        *pairs += d->plan[n].bytes;
    }
    FV_TRY(nn_wants_create(&w));
    nn_wants_rows(w, &other, model_rows, sizeof model_rows / sizeof *model_rows, dims);
    int rc = nn_weights_plan(rest, d->dev, w, NULL, &o);
    nn_wants_destroy(&w);
    return rc;
}

void df_dit_close(struct df_dit **d)
{
    if (!*d)
        return;
    nn_cache_destroy(&(*d)->cache);
    nn_weights_destroy(&(*d)->weights);
    df_drop_pairs(*d);
    nn_file_close(&(*d)->file);
    free((*d)->pair);
    free((*d)->plan);
    free(*d);
    *d = NULL;
}

const struct df_dit_info *df_dit_info(const struct df_dit *d)
{
    return &d->info;
}

int df_dit_null_text(const struct df_dit *d, float *out)
{
    return nn_fetch_f32(out, d->null_text);
}

struct df_loading df_dit_loading(const struct df_dit *d)
{
    struct df_loading l = d->loading;
    l.resident = d->resident;
    return l;
}
