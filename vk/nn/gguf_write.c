/* GGUF files from floats (gguf_write.h); gguf.c has the layout. */
#include "vk/nn/gguf_write.h"
#include "vk/base/file.h"
#include "vk/base/half.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VERSION = 3, ALIGN = 32, MOST_DIMS = 4, BLOCK = 32, PIECE = 1 << 16, TYPE_U32 = 4, TYPE_I32 = 5, TYPE_STRING = 8,
       TYPE_ARRAY = 9 };

static int type_number(enum nn_data type)
{
    switch (type) {
    case NN_DATA_F32: return 0;
    case NN_DATA_F16: return 1;
    case NN_DATA_Q4_0: return 2;
    case NN_DATA_Q8_0: return 8;
    case NN_DATA_BF16: return 30;
    default: return -1;
    }
}

static void u32(struct fv_writer *w, uint32_t v)
{
    uint8_t b[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};
    fv_write(w, b, sizeof b);
}

static void u64(struct fv_writer *w, uint64_t v)
{
    u32(w, (uint32_t)v);
    u32(w, (uint32_t)(v >> 32));
}

static void text(struct fv_writer *w, const char *s)
{
    u64(w, strlen(s));
    fv_write(w, s, strlen(s));
}

/* Shape with at most four dimensions. */
static unsigned flat(const struct nn_gguf_tensor *t, uint64_t out[MOST_DIMS])
{
    unsigned extra = t->rank > MOST_DIMS ? t->rank - MOST_DIMS : 0, rank = t->rank - extra;
    out[0] = 1;
    for (unsigned i = 0; i <= extra && i < t->rank; i++)
        out[0] *= t->shape[i];
    for (unsigned i = 1; i < rank; i++)
        out[i] = t->shape[i + extra];
    return rank ? rank : 1;
}

static uint64_t count_of(const struct nn_gguf_tensor *t)
{
    uint64_t n = 1;
    for (unsigned i = 0; i < t->rank; i++)
        n *= t->shape[i];
    return n;
}

static uint64_t bytes_of(const struct nn_gguf_tensor *t)
{
    return count_of(t) / nn_data_block(t->type) * nn_data_block_bytes(t->type);
}

static uint64_t padded(uint64_t n)
{
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

static int check(const char *path, const struct nn_gguf_tensor *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct nn_gguf_tensor *t = &list[i];
        if (type_number(t->type) < 0 || t->rank > NN_FILE_MAX_RANK)
            return fv_fail(FV_EINVALID, "%s: %s is not written as %s", path, t->name, nn_data_name(t->type));
        if (nn_data_block(t->type) > 1 && (!t->rank || t->shape[t->rank - 1] % nn_data_block(t->type)))
            return fv_fail(FV_EINVALID, "%s: rows of %s are not whole blocks of %s", path, t->name, nn_data_name(t->type));
    }
    return 0;
}

static uint64_t header(struct fv_writer *w, const char *architecture, const struct nn_gguf_tensor *list, size_t n)
{
    uint64_t shaped = 0, at = 0, shape[MOST_DIMS];
    char key[640];
    for (size_t i = 0; i < n; i++)
        shaped += list[i].rank > MOST_DIMS;
    fv_write(w, "GGUF", 4);
    u32(w, VERSION);
    u64(w, n);
    u64(w, 3 + shaped);
    text(w, "general.architecture"), u32(w, TYPE_STRING), text(w, architecture);
    text(w, "general.alignment"), u32(w, TYPE_U32), u32(w, ALIGN);
    text(w, "general.quantization_version"), u32(w, TYPE_U32), u32(w, 2);
    uint64_t size = 4 + 4 + 8 + 8 + (8 + 20 + 4 + 8 + strlen(architecture)) + (8 + 17 + 8) + (8 + 28 + 8);
    for (size_t i = 0; i < n; i++) {
        if (list[i].rank <= MOST_DIMS)
            continue;
        snprintf(key, sizeof key, "comfy.gguf.orig_shape.%s", list[i].name);
        text(w, key), u32(w, TYPE_ARRAY), u32(w, TYPE_I32), u64(w, list[i].rank);
        for (unsigned d = 0; d < list[i].rank; d++)
            u32(w, (uint32_t)list[i].shape[d]);
        size += 8 + strlen(key) + 4 + 4 + 8 + 4 * list[i].rank;
    }
    for (size_t i = 0; i < n; i++) {
        unsigned rank = flat(&list[i], shape);
        text(w, list[i].name);
        u32(w, rank);
        for (unsigned d = rank; d-- > 0;)
            u64(w, shape[d]);
        u32(w, (uint32_t)type_number(list[i].type));
        u64(w, at);
        at += padded(bytes_of(&list[i]));
        size += 8 + strlen(list[i].name) + 4 + 8 * rank + 4 + 8;
    }
    return size;
}

/* The value farthest from 0 is -8 times the scale. */
static void q4_0(const float *x, uint8_t *b)
{
    float most = 0, at = 0;
    for (int i = 0; i < BLOCK; i++)
        if (fabsf(x[i]) > most) {
            most = fabsf(x[i]);
            at = x[i];
        }
    float d = at / -8, by = d != 0 ? 1 / d : 0;
    uint16_t half = fv_f32_to_f16(d);
    b[0] = (uint8_t)half, b[1] = (uint8_t)(half >> 8);
    for (int i = 0; i < BLOCK / 2; i++) {
        int low = (int)(x[i] * by + 8.5f), high = (int)(x[i + BLOCK / 2] * by + 8.5f);
        b[2 + i] = (uint8_t)((low > 15 ? 15 : low) | (high > 15 ? 15 : high) << 4);
    }
}

static void q8_0(const float *x, uint8_t *b)
{
    float most = 0;
    for (int i = 0; i < BLOCK; i++)
        most = fmaxf(most, fabsf(x[i]));
    float d = most / 127, by = d != 0 ? 1 / d : 0;
    uint16_t half = fv_f32_to_f16(d);
    b[0] = (uint8_t)half, b[1] = (uint8_t)(half >> 8);
    for (int i = 0; i < BLOCK; i++)
        b[2 + i] = (uint8_t)(int8_t)roundf(x[i] * by);
}

static void encode(enum nn_data type, const float *x, size_t n, uint8_t *out)
{
    if (type == NN_DATA_F32)
        memcpy(out, x, n * 4);
    for (size_t i = 0; type == NN_DATA_Q4_0 && i < n; i += BLOCK)
        q4_0(x + i, out + i / BLOCK * 18);
    for (size_t i = 0; type == NN_DATA_Q8_0 && i < n; i += BLOCK)
        q8_0(x + i, out + i / BLOCK * 34);
    for (size_t i = 0; (type == NN_DATA_F16 || type == NN_DATA_BF16) && i < n; i++) {
        uint16_t h = type == NN_DATA_F16 ? fv_f32_to_f16(x[i]) : fv_f32_to_bf16(x[i]);
        out[2 * i] = (uint8_t)h, out[2 * i + 1] = (uint8_t)(h >> 8);
    }
}

static int tensor(struct fv_writer *w, const struct nn_gguf_tensor *t, size_t number, float *x, uint8_t *bytes,
                  int (*fill)(void *, size_t, uint64_t, uint64_t, float *), void *ud)
{
    static const uint8_t zeros[ALIGN];
    uint64_t count = count_of(t), size = bytes_of(t);
    for (uint64_t at = 0; at < count; at += PIECE) {
        uint64_t n = count - at < PIECE ? count - at : PIECE;
        FV_TRY(fill(ud, number, at, n, x));
        for (uint64_t i = 0; i < n; i++)
            if (!isfinite(x[i]))
                return fv_fail(FV_EINVALID, "%s: its weight holds %g", t->name, (double)x[i]);
        encode(t->type, x, n, bytes);
        fv_write(w, bytes, n / nn_data_block(t->type) * nn_data_block_bytes(t->type));
    }
    fv_write(w, zeros, padded(size) - size);
    return 0;
}

int nn_gguf_save(const char *path, const char *architecture, const struct nn_gguf_tensor *list, size_t n,
                 int (*fill)(void *ud, size_t tensor, uint64_t first, uint64_t count, float *out), void *ud)
{
    static const uint8_t zeros[ALIGN];
    struct fv_writer w = {0};
    FV_TRY(check(path, list, n));
    float *x = malloc(PIECE * sizeof *x);
    uint8_t *bytes = malloc(PIECE * sizeof *x);
    int rc = x && bytes ? fv_writer_open(&w, path) : fv_fail(FV_ENOMEM, "out of memory");
    if (rc == 0) {
        uint64_t size = header(&w, architecture, list, n);
        fv_write(&w, zeros, padded(size) - size);
    }
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = tensor(&w, &list[i], i, x, bytes, fill, ud);
    if (rc == 0)
        rc = fv_writer_commit(&w);
    else
        fv_writer_abort(&w);
    free(x);
    free(bytes);
    return rc;
}
