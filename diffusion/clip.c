/* CLIP's text encoder: a transformer in which words see those before them only. Radford et al., "Learning
 * Transferable Visual Models From Natural Language Supervision" (ICML 2021). */
#include "diffusion/private.h"
#include "vk/base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_LAYERS = 256, MOST_BATCH = 1024 };

struct layer {
    nn_tensor norm1, norm1_bias, q, q_bias, k, k_bias, v, v_bias, o, o_bias, norm2, norm2_bias, fc1, fc1_bias,
        fc2, fc2_bias;
};

struct df_clip {
    struct vk_device *dev;
    struct nn_file *f; /* words' vectors stay there */
    struct df_clip_info info;
    enum nn_act act;
    float eps;
    const struct nn_file_tensor *table, *positions;
    struct layer *layers;
    nn_tensor norm, norm_bias;
    struct nn_weights *weights;
};

enum { WIDTH, FF, DIMS };
#define ROW(field, name, ...) {offsetof(struct layer, field), name, {__VA_ARGS__}, 0, NN_SAME, NULL}
#define LINEAR(field, name, out, in)                                                               \
    ROW(field, "%d." name ".weight", NN_DIM(out), NN_DIM(in)),                                     \
        ROW(field##_bias, "%d." name ".bias", NN_DIM(out))
#define NORM(field, name)                                                                          \
    ROW(field, "%d." name ".weight", NN_DIM(WIDTH)), ROW(field##_bias, "%d." name ".bias", NN_DIM(WIDTH))
static const struct nn_weight_row rows[] = {
    NORM(norm1, "layer_norm1"),
    LINEAR(q, "self_attn.q_proj", WIDTH, WIDTH),
    LINEAR(k, "self_attn.k_proj", WIDTH, WIDTH),
    LINEAR(v, "self_attn.v_proj", WIDTH, WIDTH),
    LINEAR(o, "self_attn.out_proj", WIDTH, WIDTH),
    NORM(norm2, "layer_norm2"),
    LINEAR(fc1, "mlp.fc1", FF, WIDTH),
    LINEAR(fc2, "mlp.fc2", WIDTH, FF),
};

/* Not used, or of the picture's half. */
static const char *const ignored[] = {"text_model.embeddings.", "vision_model.", "visual_projection.",
                                      "text_projection.", "logit_scale", NULL};

/* ---- opening ----------------------------------------------------------------------------- */

static int read_config(struct df_clip *t, const char *path)
{
    struct fv_json doc;
    int rc = df_config_open(&doc, path);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    struct fv_node n = fv_node_has(doc.root, "text_config") ? fv_node_get(doc.root, "text_config") : doc.root;
    if (fv_node_has(n, "num_attention_heads"))
        t->info.heads = (uint32_t)fv_json_int(&doc, n, "num_attention_heads", 1, 1024);
    t->eps = (float)fv_json_number_or(&doc, n, "layer_norm_eps", 1e-5);
    const char *act = fv_json_string_or(&doc, n, "hidden_act", "quick_gelu");
    t->act = !strcmp(act, "quick_gelu") ? NN_QUICK_GELU : !strcmp(act, "gelu") ? NN_GELU_ERF : NN_ACTS;
    if (!doc.failed && t->act == NN_ACTS)
        rc = fv_fail(FV_EUNSUPPORTED, "%s: hidden_act: %.40s; gelu and quick_gelu are known", doc.name, act);
    if (doc.failed)
        rc = FV_EFORMAT;
    fv_json_close(&doc);
    return rc < 0 ? rc : 0;
}

static int find_sizes(struct df_clip *t)
{
    static const char *const what[] = {"the table of words", "the table of places", "layer 0's fc1"};
    const struct nn_file *f = t->f;
    struct df_clip_info *i = &t->info;
    char name[96];
    t->table = nn_file_find(f, "text_model.embeddings.token_embedding.weight");
    t->positions = nn_file_find(f, "text_model.embeddings.position_embedding.weight");
    const struct nn_file_tensor *ff = nn_file_find(f, "text_model.encoder.layers.0.mlp.fc1.weight");
    const struct nn_file_tensor *all[] = {t->table, t->positions, ff};
    for (int k = 0; k < 3; k++) {
        if (!all[k])
            return fv_fail(FV_EUNSUPPORTED, "%s: no text encoder of CLIP: %s is missing", f->name, what[k]);
        if (all[k]->rank != 2 || !all[k]->count || all[k]->shape[0] > 1 << 24 || all[k]->shape[1] > 1 << 16)
            return fv_fail(FV_EFORMAT, "%s: %s is no matrix of a sensible size", f->name, all[k]->name);
    }
    do
        snprintf(name, sizeof name, "text_model.encoder.layers.%u.mlp.fc1.weight", i->layers);
    while (nn_file_find(f, name) && ++i->layers < MOST_LAYERS);
    i->words = (uint32_t)t->table->shape[0];
    i->width = (uint32_t)t->table->shape[1];
    i->tokens = (uint32_t)t->positions->shape[0];
    i->ff_width = (uint32_t)ff->shape[0];
    if (!i->heads)
        i->heads = i->width / 64;
    if (!i->heads || i->width % i->heads || t->positions->shape[1] != i->width)
        return fv_fail(FV_EFORMAT, "%s: %u heads for %u features; is config.json beside it right?", f->name,
                       i->heads, i->width);
    return 0;
}

static int load(struct df_clip *t, const struct df_encoder_opts *o)
{
    struct nn_wants *w = NULL;
    struct nn_weights_report report = {0};
    const struct nn_weights_opts wo = {.dtype = o && o->dtype ? o->dtype : NN_F32, .ignore = ignored,
                                       .report = &report};
    const uint32_t dims[DIMS] = {t->info.width, t->info.ff_width};
    t->layers = calloc(t->info.layers, sizeof *t->layers);
    if (!t->layers)
        return fv_fail(FV_ENOMEM, "out of memory");
    FV_TRY(nn_wants_create(&w));
    nn_wants_push(w, "text_model.encoder.layers.");
    nn_wants_blocks(w, t->layers, sizeof *t->layers, 0, t->info.layers, rows, sizeof rows / sizeof *rows, dims);
    nn_wants_pop(w);
    nn_wants_add(w, &t->norm, "text_model.final_layer_norm.weight", 0, 1, dims);
    nn_wants_add(w, &t->norm_bias, "text_model.final_layer_norm.bias", 0, 1, dims);
    int rc = t->dev ? nn_weights_load(&t->weights, t->dev, w, t->f, &wo)
                    : nn_weights_plan(&t->info.weight_bytes, NULL, w, t->f, &wo);
    t->info.parameters = report.parameters + t->table->count + t->positions->count;
    if (t->weights)
        t->info.weight_bytes = t->weights->bytes;
    nn_weights_report_finish(&report);
    nn_wants_destroy(&w);
    return rc < 0 ? rc : 0;
}

int df_clip_open(struct df_clip **out, struct vk_device *dev, const char *path,
                 const struct df_encoder_opts *o)
{
    struct df_clip *t = *out = calloc(1, sizeof *t);
    if (!t)
        return fv_fail(FV_ENOMEM, "out of memory");
    t->dev = dev;
    t->act = NN_QUICK_GELU;
    t->eps = 1e-5f;
    int rc = nn_file_open(&t->f, path, NULL);
    if (rc >= 0)
        rc = read_config(t, path);
    if (rc >= 0)
        rc = find_sizes(t);
    if (rc >= 0)
        rc = load(t, o);
    if (rc < 0)
        df_clip_close(out);
    return rc < 0 ? rc : 0;
}

void df_clip_close(struct df_clip **t)
{
    if (!*t)
        return;
    nn_weights_destroy(&(*t)->weights);
    nn_file_close(&(*t)->f);
    free((*t)->layers);
    free(*t);
    *t = NULL;
}

const struct df_clip_info *df_clip_info(const struct df_clip *t)
{
    return &t->info;
}

/* ---- a run ------------------------------------------------------------------------------- */

struct text {
    const struct df_clip *t;
    const struct df_encoder_run *run;
    struct nn_store *store;
    nn_tensor x, mask; /* [batch, tokens, width]; [batch, 1, 1, tokens] */
    struct nn_rec *r;
    float *host;
};

/* Vectors of words and of their places. */
static int upload_words(struct text *s)
{
    uint32_t width = s->t->info.width, tokens = s->run->tokens;
    size_t one = (size_t)tokens * width, n = (size_t)s->run->batch * tokens;
    float *places = malloc(one * sizeof *places);
    int rc = places ? df_word_vectors(s->host, s->t->table, s->run->ids, n)
                    : fv_fail(FV_ENOMEM, "out of memory");
    rc = rc == 0 ? nn_file_read(s->t->positions, NN_DATA_F32, 0, one, places) : rc;
    for (size_t k = 0; k < n * width && rc == 0; k++)
        s->host[k] += places[k % one];
    free(places);
    return rc < 0 ? rc : nn_upload_f32(s->x, s->host);
}

static int upload_mask(struct text *s)
{
    size_t n = (size_t)s->run->batch * s->run->tokens;
    float *mask = malloc(n * sizeof *mask);
    if (!mask)
        return fv_fail(FV_ENOMEM, "out of memory");
    for (size_t k = 0; k < n; k++)
        mask[k] = s->run->mask[k] ? 0 : -INFINITY;
    int rc = nn_upload_f32(s->mask, mask);
    free(mask);
    return rc;
}

static nn_tensor heads_of(struct text *s, nn_tensor n, nn_tensor w, nn_tensor bias)
{
    const struct df_clip_info *i = &s->t->info;
    nn_tensor y = nn_linear(s->r, n, w, &(struct nn_linear_opts){.bias = bias});
    y = nn_reshape(s->r, y, 4,
                   (uint32_t[]){s->run->batch, s->run->tokens, i->heads, i->width / i->heads});
    return nn_transpose(s->r, y, 1, 2);
}

static nn_tensor norm(struct text *s, nn_tensor x, nn_tensor weight, nn_tensor bias)
{
    return nn_layer_norm(s->r, x, &(struct nn_norm_opts){.eps = s->t->eps, .weight = weight, .bias = bias});
}

static nn_tensor forward(struct text *s, nn_tensor x, const struct layer *w)
{
    struct nn_attention_opts how = {.causal = true};
    if (s->run->mask)
        how.mask = s->mask;
    nn_tensor n = norm(s, x, w->norm1, w->norm1_bias);
    nn_tensor a = nn_attention(s->r, heads_of(s, n, w->q, w->q_bias), heads_of(s, n, w->k, w->k_bias),
                               heads_of(s, n, w->v, w->v_bias), &how);
    x = nn_linear(s->r, a, w->o, &(struct nn_linear_opts){.bias = w->o_bias, .residual = x});
    n = norm(s, x, w->norm2, w->norm2_bias);
    n = nn_linear(s->r, n, w->fc1, &(struct nn_linear_opts){.bias = w->fc1_bias, .act = {s->t->act, 0, 0}});
    return nn_linear(s->r, n, w->fc2, &(struct nn_linear_opts){.bias = w->fc2_bias, .residual = x});
}

/* The row of the largest word of each text, the first of such: in CLIP that is its end. */
static void pool(const struct text *s, const float *states, float *out)
{
    const struct df_encoder_run *run = s->run;
    uint32_t width = s->t->info.width;
    for (uint32_t b = 0; b < run->batch; b++) {
        const int32_t *ids = run->ids + (size_t)b * run->tokens;
        uint32_t at = 0;
        for (uint32_t k = 1; k < run->tokens; k++)
            if (ids[k] > ids[at])
                at = k;
        memcpy(out + (size_t)b * width, states + ((size_t)b * run->tokens + at) * width, width * sizeof *out);
    }
}

static int record(struct text *s, nn_tensor *y)
{
    const struct df_clip_info *i = &s->t->info;
    char name[32];
    nn_begin(s->r);
    nn_tensor x = s->x;
    for (uint32_t n = 0; n < i->layers; n++) {
        snprintf(name, sizeof name, "mid.hidden%u", n);
        x = nn_trace(s->r, name, x);
        if (n + 1 == i->layers)
            x = nn_trace(s->r, "mid.hidden_penultimate", x);
        x = forward(s, x, &s->t->layers[n]);
    }
    snprintf(name, sizeof name, "mid.hidden%u", i->layers);
    x = nn_trace(s->r, name, x);
    *y = norm(s, x, s->t->norm, s->t->norm_bias);
    return nn_end(s->r);
}

int df_clip_encode(struct df_clip *t, const struct df_encoder_run *run, float *out, float *pooled)
{
    struct text s = {.t = t, .run = run};
    nn_tensor y;
    if (!t->dev)
        return fv_fail(FV_EINVALID, "%s was opened without a device", t->f->name);
    if (!run->batch || !run->tokens || run->batch > MOST_BATCH || run->tokens > t->info.tokens)
        return fv_fail(FV_EINVALID, "%u texts of %u words: the encoder has %u places", run->batch, run->tokens,
                       t->info.tokens);
    const struct nn_rec_opts o = {.on_trace = run->on_trace, .ud = run->ud};
    s.host = malloc((size_t)run->batch * run->tokens * t->info.width * sizeof *s.host);
    int rc = s.host ? nn_store_create(&s.store, t->dev) : fv_fail(FV_ENOMEM, "out of memory");
    if (rc == 0)
        rc = nn_store_tensor(&s.x, s.store, NN_F32, NN_SHAPE(run->batch, run->tokens, t->info.width), "text");
    if (rc == 0 && run->mask)
        rc = nn_store_tensor(&s.mask, s.store, NN_F32, NN_SHAPE(run->batch, 1, 1, run->tokens), "mask");
    if (rc == 0)
        rc = nn_rec_create(&s.r, t->dev, &o);
    if (rc == 0)
        rc = upload_words(&s);
    if (rc == 0 && run->mask)
        rc = upload_mask(&s);
    if (rc == 0)
        rc = record(&s, &y);
    if (rc == 0)
        rc = nn_run(s.r);
    if (rc == 0)
        rc = nn_fetch_f32(s.host, y);
    if (rc == 0 && out)
        memcpy(out, s.host, (size_t)run->batch * run->tokens * t->info.width * sizeof *out);
    if (rc == 0 && pooled)
        pool(&s, s.host, pooled);
    nn_rec_destroy(&s.r);
    nn_store_destroy(&s.store);
    free(s.host);
    return rc < 0 ? fv_wrap(rc, "text encoder: ") : 0;
}
