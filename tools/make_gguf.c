/* Makes tests/golden/weights/quantised.gguf and its expected floats, quantised.safetensors, with
 * ggml itself. Not part of the build:
 *
 *     cmake -S ggml -B b -DBUILD_SHARED_LIBS=OFF -DGGML_NATIVE=OFF -DCMAKE_C_FLAGS=-ffp-contract=off
 *     cmake --build b --target ggml-base
 *     cc -c -I ggml/include tools/make_gguf.c -o m.o
 *     c++ m.o b/src/libggml-base.a -fopenmp -lm -o make_gguf && ./make_gguf tests/golden/weights
 *
 * For each type a tensor "NAME" of 2 rows quantised from noise and, of types made of blocks, a
 * tensor "NAME.raw" of random bits with finite scales. */
#include "ggml.h"
#include "gguf.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t seed = 1;

static uint32_t bits(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33);
}

static const enum ggml_type types[] = {
    GGML_TYPE_F32,  GGML_TYPE_F16,  GGML_TYPE_BF16, GGML_TYPE_Q4_0,   GGML_TYPE_Q4_1,
    GGML_TYPE_Q5_0, GGML_TYPE_Q5_1, GGML_TYPE_Q8_0, GGML_TYPE_Q2_K,   GGML_TYPE_Q3_K,
    GGML_TYPE_Q4_K, GGML_TYPE_Q5_K, GGML_TYPE_Q6_K, GGML_TYPE_IQ4_NL, GGML_TYPE_IQ4_XS};
enum { TYPES = sizeof types / sizeof *types };

/* Whether every block expands to finite numbers. */
static int expands(enum ggml_type type, const void *data, float *out, int64_t n)
{
    if (type == GGML_TYPE_F32)
        memcpy(out, data, (size_t)n * 4);
    else
        ggml_get_type_traits(type)->to_float(data, out, n);
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(out[i]) || fabsf(out[i]) > 1e6f)
            return 0;
    return 1;
}

int main(int argc, char **argv)
{
    struct ggml_init_params params = {16 << 20, NULL, false};
    struct ggml_context *ctx = ggml_init(params);
    struct gguf_context *file = gguf_init_empty();
    const uint32_t few[] = {3, 1, 2};
    const char *words[] = {"one", "two"};
    char path[1000], *head = malloc(1 << 16);
    float *expected = malloc(1 << 20), noise[512];
    size_t at = 0, length = 0;
    if (argc < 2)
        return 2;
    gguf_set_val_str(file, "general.architecture", "test");
    gguf_set_val_u32(file, "test.block_count", 7);
    gguf_set_val_f32(file, "test.epsilon", 1e-6f);
    gguf_set_val_bool(file, "test.flag", true);
    gguf_set_val_i64(file, "test.big", -(1ll << 40));
    gguf_set_arr_data(file, "test.few", GGUF_TYPE_UINT32, few, 3);
    gguf_set_arr_str(file, "test.words", words, 2);
    for (int i = 0; i < TYPES; i++) {
        int64_t cols = ggml_blck_size(types[i]) > 32 ? 256 : 64;
        for (int raw = 0; raw < (i < 3 ? 1 : 2); raw++) {
            struct ggml_tensor *t = ggml_new_tensor_2d(ctx, types[i], cols, 2);
            ggml_format_name(t, "%s%s", ggml_type_name(types[i]), raw ? ".raw" : "");
            for (int k = 0; k < 2 * cols; k++)
                noise[k] = ((float)bits() / 0x1p31f - 0.5f) * (k < cols ? 1 : 0.01f);
            if (!raw)
                ggml_quantize_chunk(types[i], noise, t->data, 0, 2, cols, NULL);
            else
                do
                    for (size_t k = 0; k < ggml_nbytes(t); k++)
                        ((uint8_t *)t->data)[k] = (uint8_t)(bits() >> 11);
                while (!expands(types[i], t->data, expected + at, 2 * cols));
            expands(types[i], t->data, expected + at, 2 * cols);
            gguf_add_tensor(file, t);
            length += (size_t)sprintf(
                head + length,
                "%c\"%s\":{\"dtype\":\"F32\",\"shape\":[2,%d],\"data_offsets\":[%zu,%zu]}",
                length ? ',' : '{', t->name, (int)cols, at * 4, (at + 2 * (size_t)cols) * 4);
            at += 2 * (size_t)cols;
        }
    }
    length += (size_t)sprintf(head + length, "}");
    snprintf(path, sizeof path, "%s/quantised.gguf", argv[1]);
    gguf_write_to_file(file, path, false);
    snprintf(path, sizeof path, "%s/quantised.safetensors", argv[1]);
    FILE *f = fopen(path, "wb");
    uint64_t n = length;
    if (!f)
        return 1;
    fwrite(&n, 8, 1, f);
    fwrite(head, 1, length, f);
    fwrite(expected, 4, at, f);
    return fclose(f) != 0;
}
