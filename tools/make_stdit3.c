/* A checkpoint of an STDiT3 with random weights: what docs/SPEED.md measures models of real size with,
 * whose own weights are too large to come with this.
 *
 *     cmake --build build/release --target make_stdit3
 *     build/release/make_stdit3 xl OpenSora-STDiT-v3         XL/2: 1 207 643 936 parameters, 2.4 GB
 *     build/release/make_stdit3 xl model assets/models/demo  a whole model: model/transformer, a T5 encoder of
 *                                                            one layer, that model's tokenizer and VAE (links)
 *
 * Writes config.json, and the tensors under their authors' names as f16: a file for what is no block and
 * one for each pair of blocks, behind model.safetensors.index.json. Weights are normal with a variance
 * of 1 / inputs, those that end a residual branch less, so that activations stay as large as a trained
 * model's. The same on every machine. */
#include "vk/base/err.h"
#include "vk/base/file.h"
#include "vk/base/half.h"
#include "vk/nn/nn.h"
#include "vk/nn/safetensors_write.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHANNELS = 4, DEMO_CHANNELS = 8, TIME = 256, PATCH = 4, MOST = 64, WORDS = 256 /* of the text encoder */ };

static const struct kind {
    const char *name;
    uint32_t depth, width, heads, text, tokens;
} kinds[] = {{"xl", 28, 1152, 16, 4096, 300}, /* Open-Sora 1.2 */
             {"3b", 28, 1872, 26, 4096, 300},
             {"tiny", 4, 72, 3, 40, 12}};

struct maker {
    const struct kind *kind;
    char dir[500];
    uint32_t channels;
    struct nn_save_tensor tensor[MOST]; /* of the file that is made now */
    char name[MOST][96];
    size_t count;
    char *index; /* lines of weight_map */
    size_t index_size;
    FILE *map;
    uint64_t parameters, bytes, seed;
};

static int failed(const char *what)
{
    fprintf(stderr, "make_stdit3: %s\n", what);
    return 1;
}

/* Adds a tensor of `mean` and normal noise; its shape ends with 0. */
static int add(struct maker *m, double mean, double deviation, const char *name, const uint64_t *shape)
{
    struct nn_save_tensor *t = &m->tensor[m->count];
    size_t n = 1;
    snprintf(m->name[m->count], sizeof m->name[0], "%s", name);
    *t = (struct nn_save_tensor){.name = m->name[m->count], .type = NN_DATA_F16};
    for (; shape[t->rank]; t->rank++) {
        t->shape[t->rank] = shape[t->rank];
        n *= shape[t->rank];
    }
    float *normal = malloc(n * sizeof *normal);
    uint16_t *half = malloc(n * sizeof *half);
    t->data = half;
    if (!normal || !half) {
        free(normal);
        free(half);
        return fv_fail(FV_ENOMEM, "out of memory");
    }
    m->count++;
    nn_normal(normal, m->seed++, 0, n);
    for (size_t i = 0; i < n; i++)
        half[i] = fv_f32_to_f16((float)(mean + deviation * (double)normal[i]));
    free(normal);
    m->parameters += n;
    m->bytes += 2 * n;
    return 0;
}

#define SHAPE(...) ((const uint64_t[]){__VA_ARGS__, 0})

static int linear(struct maker *m, double gain, uint64_t out, uint64_t in, const char *fmt, ...)
{
    char name[64], full[96];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(name, sizeof name, fmt, ap);
    va_end(ap);
    snprintf(full, sizeof full, "%s.weight", name);
    FV_TRY(add(m, 0, gain / sqrt((double)in), full, SHAPE(out, in)));
    snprintf(full, sizeof full, "%s.bias", name);
    return add(m, 0, 0.02, full, SHAPE(out));
}

static int block(struct maker *m, const char *kind, uint32_t n)
{
    const uint64_t w = m->kind->width, head = w / m->kind->heads;
    char p[32], name[96];
    snprintf(p, sizeof p, "%s_blocks.%u", kind, n);
    snprintf(name, sizeof name, "%s.scale_shift_table", p);
    FV_TRY(add(m, 0, 1 / sqrt((double)w), name, SHAPE(6, w)));
    FV_TRY(linear(m, 1, 3 * w, w, "%s.attn.qkv", p));
    for (int k = 0; k < 2; k++) {
        snprintf(name, sizeof name, "%s.attn.%c_norm.weight", p, "qk"[k]);
        FV_TRY(add(m, 1, 0.1, name, SHAPE(head)));
    }
    FV_TRY(linear(m, 0.5, w, w, "%s.attn.proj", p));
    FV_TRY(linear(m, 1, w, w, "%s.cross_attn.q_linear", p));
    FV_TRY(linear(m, 1, 2 * w, w, "%s.cross_attn.kv_linear", p));
    FV_TRY(linear(m, 0.2, w, w, "%s.cross_attn.proj", p));
    FV_TRY(linear(m, 1, 4 * w, w, "%s.mlp.fc1", p));
    return linear(m, 0.5, w, 4 * w, "%s.mlp.fc2", p);
}

static int others(struct maker *m)
{
    const struct kind *k = m->kind;
    const uint64_t w = k->width;
    static const char *const embedders[] = {"t_embedder", "fps_embedder"};
    FV_TRY(add(m, 0, 0.25, "x_embedder.proj.weight", SHAPE(w, m->channels, 1, 2, 2)));
    FV_TRY(add(m, 0, 0.02, "x_embedder.proj.bias", SHAPE(w)));
    for (int e = 0; e < 2; e++) {
        FV_TRY(linear(m, 0.3, w, TIME, "%s.mlp.0", embedders[e]));
        FV_TRY(linear(m, 1, w, w, "%s.mlp.2", embedders[e]));
    }
    FV_TRY(linear(m, 1, 6 * w, w, "t_block.1"));
    FV_TRY(add(m, 0, 1 / sqrt((double)k->text), "y_embedder.y_embedding", SHAPE(k->tokens, k->text)));
    FV_TRY(linear(m, 1, w, k->text, "y_embedder.y_proj.fc1"));
    FV_TRY(linear(m, 1, w, w, "y_embedder.y_proj.fc2"));
    FV_TRY(linear(m, 0.5, (uint64_t)2 * m->channels * PATCH, w, "final_layer.linear"));
    return add(m, 0, 1 / sqrt((double)w), "final_layer.scale_shift_table", SHAPE(2, w));
}

/* Writes what was added, and forgets it. */
static int end_file(struct maker *m, uint32_t number)
{
    char path[600], file[64];
    snprintf(file, sizeof file, "model-%05u-of-%05u.safetensors", number + 1, m->kind->depth + 1);
    snprintf(path, sizeof path, "%s/%s", m->dir, file);
    int rc = nn_safetensors_save(path, m->tensor, m->count, NULL, 0);
    for (size_t k = 0; k < m->count; k++) {
        fprintf(m->map, "%s\n  \"%s\": \"%s\"", number || k ? "," : "", m->name[k], file);
        free((void *)m->tensor[k].data);
    }
    m->count = 0;
    return rc;
}

static int write_text(const char *dir, const char *name, const char *text)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    bool written = f && fputs(text, f) >= 0;
    if (!f || fclose(f) || !written)
        return fv_fail(FV_EIO, "%s: cannot be written", path);
    return 0;
}

static int write_all(struct maker *m)
{
    const struct kind *k = m->kind;
    char text[512];
    for (uint32_t n = 0; n <= k->depth; n++) {
        if (n == 0)
            FV_TRY(others(m));
        else {
            FV_TRY(block(m, "spatial", n - 1));
            FV_TRY(block(m, "temporal", n - 1));
        }
        FV_TRY(end_file(m, n));
        if (isatty(2))
            fprintf(stderr, "\r%u of %u files", n + 1, k->depth + 1);
    }
    snprintf(text, sizeof text,
             "{\"model_type\": \"STDiT3\", \"depth\": %u, \"hidden_size\": %u, \"num_heads\": %u,\n"
             " \"patch_size\": [1, 2, 2], \"in_channels\": %u, \"caption_channels\": %u,\n"
             " \"model_max_length\": %u, \"qk_norm\": true, \"pred_sigma\": true, \"mlp_ratio\": 4.0,\n"
             " \"input_sq_size\": 512}\n",
             k->depth, k->width, k->heads, m->channels, k->text, k->tokens);
    return write_text(m->dir, "config.json", text);
}

/* ---- what a whole model has beside it ---------------------------------------------------- */

/* A matrix without a bias, of the T5 encoder's one layer. */
static int matrix(struct maker *m, const char *name, uint64_t out, uint64_t in)
{
    char full[96];
    snprintf(full, sizeof full, "encoder.block.0.layer.%s.weight", name);
    return add(m, 0, 1 / sqrt((double)in), full, SHAPE(out, in));
}

static int add_text(struct maker *m, uint64_t w)
{
    enum { HEADS = 4, HEAD = 64, WIDE = 128 };
    static const char *const attention[] = {"0.SelfAttention.q", "0.SelfAttention.k", "0.SelfAttention.v"};
    FV_TRY(add(m, 0, 1, "shared.weight", SHAPE(WORDS, w)));
    for (int i = 0; i < 3; i++)
        FV_TRY(matrix(m, attention[i], HEADS * HEAD, w));
    FV_TRY(matrix(m, "0.SelfAttention.o", w, HEADS * HEAD));
    FV_TRY(add(m, 0, 1, "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", SHAPE(32, HEADS)));
    FV_TRY(add(m, 1, 0.1, "encoder.block.0.layer.0.layer_norm.weight", SHAPE(w)));
    FV_TRY(matrix(m, "1.DenseReluDense.wi_0", WIDE, w));
    FV_TRY(matrix(m, "1.DenseReluDense.wi_1", WIDE, w));
    FV_TRY(matrix(m, "1.DenseReluDense.wo", w, WIDE));
    FV_TRY(add(m, 1, 0.1, "encoder.block.0.layer.1.layer_norm.weight", SHAPE(w)));
    return add(m, 1, 0.1, "encoder.final_layer_norm.weight", SHAPE(w));
}

static int write_encoder(struct maker *m, const char *dir)
{
    char path[700], text[512];
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    mkdir(dir, 0777);
    FV_TRY(add_text(m, m->kind->text));
    int rc = nn_safetensors_save(path, m->tensor, m->count, NULL, 0);
    for (size_t k = 0; k < m->count; k++)
        free((void *)m->tensor[k].data);
    snprintf(text, sizeof text,
             "{\"model_type\": \"t5\", \"vocab_size\": %d, \"d_model\": %u, \"d_kv\": 64, \"d_ff\": 128,\n"
             " \"num_layers\": 1, \"num_heads\": 4, \"relative_attention_num_buckets\": 32,\n"
             " \"relative_attention_max_distance\": 128, \"feed_forward_proj\": \"gated-gelu\"}\n",
             WORDS, m->kind->text);
    return rc < 0 ? rc : write_text(dir, "config.json", text);
}

static int link_to(const char *demo, const char *part, const char *path)
{
    char *from = fv_path_join(demo, part), *whole = from ? realpath(from, NULL) : NULL;
    unlink(path);
    int rc = whole && symlink(whole, path) == 0 ? 0 : fv_fail(FV_EIO, "%s: no link to %s/%s", path, demo, part);
    free(from);
    free(whole);
    return rc;
}

static int write_rest(struct maker *m, const char *dir, const char *demo)
{
    char path[600];
    snprintf(path, sizeof path, "%s/tokenizer", dir);
    FV_TRY(link_to(demo, "text", path));
    snprintf(path, sizeof path, "%s/vae", dir);
    FV_TRY(link_to(demo, "vae", path));
    snprintf(path, sizeof path, "%s/text_encoder", dir);
    FV_TRY(write_encoder(m, path));
    return write_text(dir, "generate.json",
                      "{\"name\": \"random\", \"steps\": 30, \"guidance\": 7, \"width\": 424, \"height\": 240,\n"
                      " \"frames\": 17, \"fps\": 24, \"clean_captions\": true, \"time_transform\": true}\n");
}

int main(int argc, char **argv)
{
    struct maker m = {.channels = argc == 4 ? DEMO_CHANNELS : CHANNELS};
    for (size_t k = 0; (argc == 3 || argc == 4) && k < sizeof kinds / sizeof *kinds; k++)
        if (!strcmp(argv[1], kinds[k].name))
            m.kind = &kinds[k];
    if (!m.kind || strlen(argv[2]) > 400)
        return failed("usage: make_stdit3 xl|3b|tiny FOLDER [DEMO]");
    mkdir(argv[2], 0777);
    snprintf(m.dir, sizeof m.dir, "%s%s", argv[2], argc == 4 ? "/transformer" : "");
    mkdir(m.dir, 0777);
    m.map = open_memstream(&m.index, &m.index_size);
    if (!m.map)
        return failed("out of memory");
    fprintf(m.map, "{\"metadata\": {}, \"weight_map\": {");
    int rc = write_all(&m);
    fprintf(m.map, "\n}}\n");
    fclose(m.map);
    if (rc == 0)
        rc = write_text(m.dir, "model.safetensors.index.json", m.index);
    free(m.index);
    if (rc == 0 && argc == 4)
        rc = write_rest(&m, argv[2], argv[3]);
    if (rc < 0)
        return failed(fv_error());
    fprintf(stderr, "%s%llu parameters, %.3f GB\n", isatty(2) ? "\r" : "",
            (unsigned long long)m.parameters,
            1e-9 * (double)m.bytes);
    return 0;
}
