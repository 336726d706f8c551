/* The T5 v1.1 encoder (diffusion.h):
 *
 *   words --> rows of the table --> [layer] x layers --> norm
 *
 *   layer:  x = x + o(attention(q(n), k(n), v(n)) + bias of distance),   n = norm(x)
 *           x = x + wo(gelu(wi_0(n)) * wi_1(n)),                         n = norm(x)
 *
 * Norms are by root mean square; scores are not scaled; one table of biases serves all layers. */
#include "diffusion/private.h"
#include "vk/base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LAYERS = 512, MAX_TOKENS = 4096 };

struct layer {
    nn_tensor norm1, norm2;
    struct nn_matrix q, k, v, o, wi0, wi1, wo;
};

struct df_t5 {
    struct vk_device *dev;
    struct nn_file *f;
    struct df_t5_info info;
    enum nn_dtype dtype;
    uint32_t buckets, farthest; /* of distances */
    float eps;
    float *bias; /* [buckets][heads] */
    const struct nn_file_tensor *table;
    struct layer layer; /* the one that is on the device */
    struct nn_weights *weights;
    nn_tensor norm;
    struct nn_weights *norm_weights;
};

enum { WIDTH, INNER, FF, DIMS };
#define ROW(field, name, ...) {offsetof(struct layer, field), name, {__VA_ARGS__}, 0, NN_SAME, NULL}
#define MATRIX(field, name, out, in)                                                               \
    {offsetof(struct layer, field), name, {NN_DIM(out), NN_DIM(in)}, NN_WEIGHT_MATRIX, NN_SAME, NULL}
static const struct nn_weight_row rows[] = {
    ROW(norm1, "layer.0.layer_norm.weight|attn_norm.weight", NN_DIM(WIDTH)),
    MATRIX(q, "layer.0.SelfAttention.q.weight|attn_q.weight", INNER, WIDTH),
    MATRIX(k, "layer.0.SelfAttention.k.weight|attn_k.weight", INNER, WIDTH),
    MATRIX(v, "layer.0.SelfAttention.v.weight|attn_v.weight", INNER, WIDTH),
    MATRIX(o, "layer.0.SelfAttention.o.weight|attn_o.weight", WIDTH, INNER),
    ROW(norm2, "layer.1.layer_norm.weight|ffn_norm.weight", NN_DIM(WIDTH)),
    MATRIX(wi0, "layer.1.DenseReluDense.wi_0.weight|ffn_gate.weight", FF, WIDTH),
    MATRIX(wi1, "layer.1.DenseReluDense.wi_1.weight|ffn_up.weight", FF, WIDTH),
    MATRIX(wo, "layer.1.DenseReluDense.wo.weight|ffn_down.weight", WIDTH, FF),
};

/* ---- opening ----------------------------------------------------------------------------- */

static const struct nn_file_tensor *find2(const struct nn_file *f, const char *a, const char *b)
{
    const struct nn_file_tensor *t = nn_file_find(f, a);
    return t ? t : nn_file_find(f, b);
}

/* Of a layer, named without ".weight": a matrix may be of codes. */
static const struct nn_file_tensor *layer_matrix(const struct nn_file *f, uint32_t n, const char *a,
                                                 const char *b)
{
    char first[128], second[128];
    snprintf(first, sizeof first, "encoder.block.%u.%s", n, a);
    snprintf(second, sizeof second, "enc.blk.%u.%s", n, b);
    const struct nn_file_tensor *t = nn_file_find_matrix(f, first);
    return t ? t : nn_file_find_matrix(f, second);
}

static const struct nn_file_tensor *layer_tensor(const struct nn_file *f, uint32_t n, const char *a,
                                                 const char *b)
{
    char first[128], second[128];
    snprintf(first, sizeof first, "encoder.block.%u.%s", n, a);
    snprintf(second, sizeof second, "enc.blk.%u.%s", n, b);
    return find2(f, first, second);
}

/* Of config.json, where there are no weights. */
static void read_sizes(struct df_t5 *t, struct fv_json *doc)
{
    t->info = (struct df_t5_info){.layers = (uint32_t)fv_json_int(doc, doc->root, "num_layers", 1, MAX_LAYERS),
                                  .width = (uint32_t)fv_json_int(doc, doc->root, "d_model", 1, 1 << 20),
                                  .heads = (uint32_t)fv_json_int(doc, doc->root, "num_heads", 1, 1024),
                                  .head = (uint32_t)fv_json_int(doc, doc->root, "d_kv", 1, 1 << 16),
                                  .ff_width = (uint32_t)fv_json_int(doc, doc->root, "d_ff", 1, 1 << 20),
                                  .words = (uint32_t)fv_json_int(doc, doc->root, "vocab_size", 1, 1 << 24)};
    t->buckets = fv_node_has(doc->root, "relative_attention_num_buckets")
                     ? (uint32_t)fv_json_int(doc, doc->root, "relative_attention_num_buckets", 4, 1 << 16)
                     : 32;
}

static int read_config(struct df_t5 *t, const char *path)
{
    struct fv_json doc;
    int rc = df_config_open(&doc, path);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    if (fv_node_has(doc.root, "relative_attention_max_distance"))
        t->farthest =
            (uint32_t)fv_json_int(&doc, doc.root, "relative_attention_max_distance", 2, 1 << 20);
    t->eps = (float)fv_json_number_or(&doc, doc.root, "layer_norm_epsilon", (double)t->eps);
    if (!t->f)
        read_sizes(t, &doc);
    rc = doc.failed ? FV_EFORMAT : 0;
    fv_json_close(&doc);
    return rc;
}

static int find_sizes(struct df_t5 *t)
{
    const struct nn_file *f = t->f;
    struct df_t5_info *i = &t->info;
    const struct nn_file_tensor *bias = layer_tensor(
        f, 0, "layer.0.SelfAttention.relative_attention_bias.weight", "attn_rel_b.weight");
    const struct nn_file_tensor *q =
        layer_matrix(f, 0, "layer.0.SelfAttention.q", "attn_q");
    const struct nn_file_tensor *ff =
        layer_matrix(f, 0, "layer.1.DenseReluDense.wi_0", "ffn_gate");
    t->table = find2(f, "shared.weight", "token_embd.weight");
    if (!t->table)
        t->table = nn_file_find(f, "encoder.embed_tokens.weight");
    const struct nn_file_tensor *all[] = {bias, q, ff, t->table};
    for (int k = 0; k < 4; k++) {
        if (!all[k])
            return fv_fail(FV_EUNSUPPORTED, "%s: not a T5 v1.1 encoder: %s is missing", f->name,
                           (const char *[]){"the bias of distances", "block 0's q",
                                            "block 0's wi_0 (gated)", "the table of words"}[k]);
        if (all[k]->rank != 2 || !all[k]->count || all[k]->shape[0] > 1 << 24 ||
            all[k]->shape[1] > 1 << 20)
            return fv_fail(FV_EFORMAT, "%s: %s is no matrix of a sensible size", f->name, all[k]->name);
    }
    while (i->layers < MAX_LAYERS &&
           layer_matrix(f, i->layers, "layer.0.SelfAttention.q", "attn_q"))
        i->layers++;
    i->words = (uint32_t)t->table->shape[0];
    i->width = (uint32_t)t->table->shape[1];
    i->heads = (uint32_t)bias->shape[1];
    i->ff_width = (uint32_t)ff->shape[0];
    t->buckets = (uint32_t)bias->shape[0];
    if (q->shape[0] % i->heads || t->buckets < 4 || t->buckets % 2 || i->heads > 1024)
        return fv_fail(FV_EFORMAT, "%s: %u heads, %llu rows of q, %u buckets of distances", f->name,
                       i->heads, (unsigned long long)q->shape[0], t->buckets);
    i->head = (uint32_t)q->shape[0] / i->heads;
    t->bias = malloc(bias->count * sizeof *t->bias);
    if (!t->bias)
        return fv_fail(FV_ENOMEM, "out of memory");
    return nn_file_read(bias, NN_DATA_F32, 0, bias->count, t->bias);
}

static int want_layer(struct df_t5 *t, uint32_t number, struct nn_wants **out)
{
    const struct df_t5_info *i = &t->info;
    FV_TRY(nn_wants_create(out));
    nn_wants_push(*out, "encoder.block.%u.|enc.blk.%u.", number, number);
    nn_wants_rows(*out, &t->layer, rows, sizeof rows / sizeof *rows,
                  (uint32_t[DIMS]){i->width, i->heads * i->head, i->ff_width});
    nn_wants_pop(*out);
    return 0;
}

/* The sizes of layers, without a device: of the largest. */
static int plan_layers(struct df_t5 *t)
{
    struct nn_weights_opts o = {.dtype = t->dtype};
    int rc = 0;
    for (uint32_t n = t->f ? t->info.layers : 1; n-- > 0 && rc >= 0;) { /* the first is left planned */
        struct nn_wants *w = NULL;
        uint64_t bytes = 0;
        rc = want_layer(t, n, &w);
        if (rc == 0)
            rc = nn_weights_plan(&bytes, t->dev, w, t->f, &o);
        nn_wants_destroy(&w);
        if (bytes > t->info.layer_bytes)
            t->info.layer_bytes = bytes;
    }
    const struct df_t5_info *i = &t->info;
    uint64_t inner = (uint64_t)i->heads * i->head, width = i->width;
    t->info.parameters = (uint64_t)i->words * width + (uint64_t)t->buckets * i->heads + width +
                         i->layers * (4 * inner * width + 3 * width * i->ff_width + 2 * width);
    return rc < 0 ? rc : 0;
}

int df_t5_open(struct df_t5 **out, struct vk_device *dev, const char *path,
               const struct df_encoder_opts *o)
{
    struct df_t5 *t = *out = calloc(1, sizeof *t);
    if (!t)
        return fv_fail(FV_ENOMEM, "out of memory");
    t->dev = dev;
    t->dtype = o && o->dtype ? o->dtype : NN_F32;
    t->farthest = 128;
    t->eps = 1e-6f;
    bool sizes_only = !dev && !nn_file_is_weights(path);
    int rc = sizes_only ? 0 : nn_file_open(&t->f, path, NULL);
    if (rc >= 0)
        rc = read_config(t, path);
    if (rc >= 0 && !sizes_only)
        rc = find_sizes(t);
    if (rc >= 0 && !t->info.layers)
        rc = fv_fail(FV_EIO, "%s: neither weights nor a config.json", path);
    if (rc >= 0)
        rc = plan_layers(t);
    if (rc < 0)
        df_t5_close(out);
    return rc;
}

void df_t5_close(struct df_t5 **t)
{
    if (!*t)
        return;
    nn_weights_destroy(&(*t)->weights);
    nn_weights_destroy(&(*t)->norm_weights);
    nn_file_close(&(*t)->f);
    free((*t)->bias);
    free(*t);
    *t = NULL;
}

const struct df_t5_info *df_t5_info(const struct df_t5 *t)
{
    return &t->info;
}

/* ---- what a text needs ------------------------------------------------------------------- */

/* Distances have a bucket each at first, then ever wider ones; key after query in the upper half.
 */
static uint32_t bucket_of(const struct df_t5 *t, int32_t distance)
{
    uint32_t half = t->buckets / 2, exact = half / 2;
    uint32_t base = distance > 0 ? half : 0, n = (uint32_t)abs(distance);
    if (n < exact)
        return base + n;
    float part = logf((float)n / (float)exact) / logf((float)t->farthest / (float)exact);
    uint32_t far = exact + (uint32_t)(part * (float)(half - exact));
    return base + (far < half - 1 ? far : half - 1);
}

/* [heads][tokens][tokens] */
static void fill_bias(const struct df_t5 *t, uint32_t tokens, float *out)
{
    uint32_t heads = t->info.heads;
    for (uint32_t h = 0; h < heads; h++)
        for (uint32_t query = 0; query < tokens; query++)
            for (uint32_t key = 0; key < tokens; key++)
                *out++ = t->bias[bucket_of(t, (int32_t)key - (int32_t)query) * heads + h];
}

struct text {
    struct df_t5 *t;
    const struct df_encoder_run *run;
    struct nn_store *store;
    nn_tensor x, bias; /* f32 [batch, tokens, width]; [1 or batch, heads, tokens, tokens] */
    struct nn_rec *r;
    float *host;     /* as x */
    uint32_t number; /* of the layer that runs */
};

static int trace(const struct text *s, const char *name, uint32_t rank, const uint32_t *shape,
                 const float *data)
{
    return s->run->on_trace ? s->run->on_trace(s->run->ud, name, nn_over(NULL, 0, NN_F32, rank, shape),
                                               data)
                            : 0;
}

/* What linear layers see, of the one recording that serves all layers: "in.encoder.block.3.layer..." */
static int trace_layer(void *ud, const char *what, nn_tensor shape, const float *data)
{
    const struct text *s = ud;
    char name[96];
    snprintf(name, sizeof name, "in.encoder.block.%u.%s", s->number, what);
    return trace(s, name, shape.rank, shape.shape, data);
}

static int upload_words(struct text *s)
{
    FV_TRY(df_word_vectors(s->host, s->t->table, s->run->ids, (size_t)s->run->batch * s->run->tokens));
    return nn_upload_f32(s->x, s->host);
}

static int upload_bias(struct text *s)
{
    uint32_t tokens = s->run->tokens, heads = s->t->info.heads, batch = s->bias.shape[0];
    size_t one = (size_t)heads * tokens * tokens;
    float *all = malloc(batch * one * sizeof *all);
    if (!all)
        return fv_fail(FV_ENOMEM, "out of memory");
    fill_bias(s->t, tokens, all);
    int rc = trace(s, "mid.position_bias", NN_SHAPE(1, heads, tokens, tokens), all);
    for (uint32_t b = 1; b < batch; b++)
        memcpy(all + b * one, all, one * sizeof *all);
    for (size_t k = 0; s->run->mask && k < batch * one; k++)
        if (!s->run->mask[k / one * tokens + k % tokens])
            all[k] = -INFINITY;
    rc = rc == 0 ? nn_upload_f32(s->bias, all) : rc;
    free(all);
    return rc;
}

/* ---- a layer ----------------------------------------------------------------------------- */

static nn_tensor linear(struct text *s, nn_tensor x, const struct nn_matrix *w, const char *what,
                        const struct nn_linear_opts *o)
{
    nn_trace(s->r, what, x); /* trace_layer says of which layer */
    return nn_linear_matrix(s->r, x, w, o);
}

static nn_tensor heads_of(struct text *s, nn_tensor n, const struct nn_matrix *w, const char *what)
{
    const struct df_t5_info *i = &s->t->info;
    nn_tensor y = linear(s, n, w, what, NULL);
    y = nn_reshape(s->r, y, 4, (uint32_t[]){s->run->batch, s->run->tokens, i->heads, i->head});
    return nn_transpose(s->r, y, 1, 2);
}

static void forward(struct text *s)
{
    const struct layer *w = &s->t->layer;
    struct nn_rec *r = s->r;
    nn_tensor n = nn_rms_norm(r, s->x, &(struct nn_norm_opts){.eps = s->t->eps, .weight = w->norm1});
    nn_tensor q = heads_of(s, n, &w->q, "layer.0.SelfAttention.q");
    nn_tensor k = heads_of(s, n, &w->k, "layer.0.SelfAttention.k");
    nn_tensor v = heads_of(s, n, &w->v, "layer.0.SelfAttention.v");
    nn_tensor a = nn_attention(r, q, k, v, &(struct nn_attention_opts){.scale = 1, .mask = s->bias});
    nn_tensor x = linear(s, a, &w->o, "layer.0.SelfAttention.o", &(struct nn_linear_opts){.residual = s->x});
    n = nn_rms_norm(r, x, &(struct nn_norm_opts){.eps = s->t->eps, .weight = w->norm2});
    nn_tensor gate = linear(s, n, &w->wi0, "layer.1.DenseReluDense.wi_0",
                            &(struct nn_linear_opts){.act = {NN_GELU_TANH, 0, 0}});
    n = nn_mul(r, gate, linear(s, n, &w->wi1, "layer.1.DenseReluDense.wi_1", NULL));
    nn_copy(r, s->x, linear(s, n, &w->wo, "layer.1.DenseReluDense.wo", &(struct nn_linear_opts){.residual = x}));
}

static int load_layer(struct df_t5 *t, uint32_t number)
{
    struct nn_wants *w = NULL;
    const struct nn_weights_opts o = {.dtype = t->dtype, .room = t->info.layer_bytes};
    int rc = want_layer(t, number, &w);
    if (rc == 0)
        rc = t->weights ? nn_weights_refill(t->weights, w, t->f, &o)
                        : nn_weights_load(&t->weights, t->dev, w, t->f, &o);
    nn_wants_destroy(&w);
    return rc < 0 ? rc : 0;
}

static int run_layers(struct text *s)
{
    const struct df_t5_info *i = &s->t->info;
    for (uint32_t n = 0; n < i->layers; n++) {
        struct fv_progress p = {"reading the prompt", n, i->layers};
        char name[32];
        if (s->run->on_progress && s->run->on_progress(s->run->ud, &p))
            return fv_fail(FV_ECANCELLED, "cancelled at layer %u of %u", n, i->layers);
        if (s->run->on_trace) {
            snprintf(name, sizeof name, "mid.hidden%u", n);
            FV_TRY(nn_fetch_f32(s->host, s->x));
            FV_TRY(trace(s, name, NN_SHAPE(s->run->batch, s->run->tokens, i->width), s->host));
        }
        struct layer before = s->t->layer;
        FV_TRY(load_layer(s->t, n));
        s->number = n;
        /* every layer's weights come to the same place, unless others of them are quantised */
        if (!n || memcmp(&before, &s->t->layer, sizeof before) != 0) {
            nn_begin(s->r);
            forward(s);
            FV_TRY(nn_end(s->r));
        }
        FV_TRY(nn_run(s->r));
    }
    return 0;
}

static int finish(struct text *s, float *out)
{
    struct df_t5 *t = s->t;
    if (!t->norm_weights) {
        struct nn_wants *w = NULL;
        FV_TRY(nn_wants_create(&w));
        nn_wants_add(w, &t->norm, "encoder.final_layer_norm.weight|enc.output_norm.weight", 0, 1,
                     (uint32_t[]){t->info.width});
        int rc = nn_weights_load(&t->norm_weights, t->dev, w, t->f, NULL);
        nn_wants_destroy(&w);
        FV_TRY(rc);
    }
    nn_begin(s->r);
    nn_tensor y = nn_rms_norm(s->r, s->x, &(struct nn_norm_opts){.eps = t->eps, .weight = t->norm});
    FV_TRY(nn_end(s->r));
    FV_TRY(nn_run(s->r));
    return nn_fetch_f32(out, y);
}

int df_t5_encode(struct df_t5 *t, const struct df_encoder_run *run, float *out)
{
    const struct df_t5_info *i = &t->info;
    struct text s = {.t = t, .run = run};
    if (!t->dev)
        return fv_fail(FV_EINVALID, "this text encoder was opened without a device");
    if (!run->batch || !run->tokens || run->batch > 1024 || run->tokens > MAX_TOKENS)
        return fv_fail(FV_EINVALID, "%u texts of %u words", run->batch, run->tokens);
    s.host = malloc((size_t)run->batch * run->tokens * i->width * sizeof *s.host);
    int rc = s.host ? nn_store_create(&s.store, t->dev) : fv_fail(FV_ENOMEM, "out of memory");
    if (rc == 0)
        rc = nn_store_tensor(&s.x, s.store, NN_F32, NN_SHAPE(run->batch, run->tokens, i->width), "text");
    if (rc == 0)
        rc = nn_store_tensor(&s.bias, s.store, NN_F32,
                             NN_SHAPE(run->mask ? run->batch : 1, i->heads, run->tokens, run->tokens),
                             "biases of distance");
    if (rc == 0)
        rc = nn_rec_create(&s.r, t->dev,
                           &(struct nn_rec_opts){.weights_vary = true,
                                                 .on_trace = run->on_trace ? trace_layer : NULL,
                                                 .ud = &s});
    if (rc == 0)
        rc = upload_words(&s);
    if (rc == 0)
        rc = upload_bias(&s);
    if (rc == 0)
        rc = run_layers(&s);
    if (rc == 0)
        rc = finish(&s, out);
    nn_rec_destroy(&s.r);
    nn_store_destroy(&s.store);
    free(s.host);
    return rc < 0 ? fv_wrap(rc, "text encoder: ") : 0;
}

int df_t5_cost(struct df_cost *out, struct df_t5 *t, uint32_t batch, uint32_t tokens)
{
    const struct df_t5_info *i = &t->info;
    const struct df_encoder_run run = {.batch = batch, .tokens = tokens};
    struct text s = {.t = t, .run = &run};
    struct df_kept kept = {0};
    struct df_t5 planned = *t;
    *out = (struct df_cost){.parameters = i->parameters, .evaluations = 1, .weight_bytes = i->layer_bytes};
    if (!batch || !tokens || batch > 1024 || tokens > MAX_TOKENS)
        return fv_fail(FV_EINVALID, "%u texts of %u words", batch, tokens);
    planned.dev = NULL;
    FV_TRY(plan_layers(&planned));
    s.t = &planned;
    FV_TRY(df_keep(&s.x, &kept, NN_F32, NN_SHAPE(batch, tokens, i->width), "text"));
    FV_TRY(df_keep(&s.bias, &kept, NN_F32, NN_SHAPE(batch, i->heads, tokens, tokens), "biases of distance"));
    FV_TRY(nn_rec_create(&s.r, t->dev, &(struct nn_rec_opts){.dry = true, .weights_vary = true}));
    nn_begin(s.r);
    forward(&s);
    int rc = nn_end(s.r);
    struct nn_cost c = nn_cost_of(s.r);
    nn_rec_destroy(&s.r);
    out->step_flops = c.flops;
    out->flops = i->layers * c.flops;
    out->bytes = i->layers * c.bytes;
    out->dispatches = i->layers * c.dispatches;
    out->kept_bytes = kept.bytes;
    out->packed_bytes = c.packed_bytes;
    out->pool_bytes = c.peak_bytes;
    out->peak_bytes = out->weight_bytes + out->kept_bytes + out->packed_bytes + out->pool_bytes;
    return rc;
}
