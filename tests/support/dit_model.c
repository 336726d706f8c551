/* A tiny STDiT3 of random weights (dit_model.h). */
#include "support/dit_model.h"
#include "support/test.h"

#include <string.h>

enum {
    WIDTH = DIT_WIDTH,
    HEADS = DIT_HEADS,
    TEXT = DIT_TEXT,
    TOKENS = DIT_TOKENS,
    CHANNELS = DIT_CHANNELS,
    OUT = DIT_OUT,
    DEPTH = DIT_DEPTH
};

#define ADD(name, ...)                                                                             \
    test_model_add(m, name, (unsigned)(sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t)),      \
                   (uint64_t[]){__VA_ARGS__})

static void linear(struct test_model *m, const char *name, uint64_t out, uint64_t in)
{
    char text[160];
    snprintf(text, sizeof text, "%s.weight", name);
    ADD(text, out, in);
    snprintf(text, sizeof text, "%s.bias", name);
    ADD(text, out);
}

static void block(struct test_model *m, const char *kind, int number)
{
    static const struct {
        const char *name;
        int out, in;
    } linears[] = {{"attn.qkv", 3, 1},
                   {"attn.proj", 1, 1},
                   {"cross_attn.q_linear", 1, 1},
                   {"cross_attn.kv_linear", 2, 1},
                   {"cross_attn.proj", 1, 1},
                   {"mlp.fc1", 4, 1},
                   {"mlp.fc2", 1, 4}};
    char text[128];
    for (size_t i = 0; i < sizeof linears / sizeof *linears; i++) {
        snprintf(text, sizeof text, "%s_blocks.%d.%s", kind, number, linears[i].name);
        linear(m, text, (uint64_t)linears[i].out * WIDTH, (uint64_t)linears[i].in * WIDTH);
    }
    snprintf(text, sizeof text, "%s_blocks.%d.scale_shift_table", kind, number);
    ADD(text, 6, WIDTH);
    snprintf(text, sizeof text, "%s_blocks.%d.attn.q_norm.weight", kind, number);
    ADD(text, WIDTH / HEADS);
    snprintf(text, sizeof text, "%s_blocks.%d.attn.k_norm.weight", kind, number);
    ADD(text, WIDTH / HEADS);
}

void test_dit_make(struct test_model *m)
{
    *m = (struct test_model){.seed = 11};
    ADD("x_embedder.proj.weight", WIDTH, CHANNELS, 1, 2, 2);
    ADD("x_embedder.proj.bias", WIDTH);
    linear(m, "t_embedder.mlp.0", WIDTH, 256);
    linear(m, "t_embedder.mlp.2", WIDTH, WIDTH);
    linear(m, "fps_embedder.mlp.0", WIDTH, 256);
    linear(m, "fps_embedder.mlp.2", WIDTH, WIDTH);
    linear(m, "t_block.1", 6 * WIDTH, WIDTH);
    ADD("y_embedder.y_embedding", TOKENS, TEXT);
    linear(m, "y_embedder.y_proj.fc1", WIDTH, TEXT);
    linear(m, "y_embedder.y_proj.fc2", WIDTH, WIDTH);
    for (int i = 0; i < DEPTH; i++) {
        block(m, "spatial", i);
        block(m, "temporal", i);
    }
    ADD("final_layer.scale_shift_table", 2, WIDTH);
    linear(m, "final_layer.linear", 4 * OUT, WIDTH);
}

void test_dit_write(const struct test_model *m, const char *dir)
{
    static const char config[] = "{\"num_heads\": 2, \"input_sq_size\": 512}";
    char path[1024];
    test_model_write(m, dir);
    snprintf(path, sizeof path, "%s/config.json", dir);
    test_write_file(path, config, strlen(config));
}

struct df_dit *test_dit_open(void)
{
    struct test_model m;
    struct df_dit *d = NULL;
    const char *dir = test_tmp_path("dit");
    test_dit_make(&m);
    test_dit_write(&m, dir);
    test_model_finish(&m);
    assert_ok(df_dit_open(&d, test_device(), dir, NULL));
    return d;
}

float *test_numbers(size_t n, uint64_t seed)
{
    float *x = malloc(n * sizeof *x);
    assert_non_null(x);
    nn_normal(x, seed, 0, n);
    return x;
}
