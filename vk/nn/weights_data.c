/* Element types of weight files and conversion out of them (weights.h). */
#include "vk/base/half.h"
#include "vk/nn/weights_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    uint16_t block, bytes;
    bool integer;
} types[NN_DATA_COUNT] = {
    [NN_DATA_F64] = {"F64", 1, 8},           [NN_DATA_F32] = {"F32", 1, 4},
    [NN_DATA_F16] = {"F16", 1, 2},           [NN_DATA_BF16] = {"BF16", 1, 2},
    [NN_DATA_F8_E4M3] = {"F8_E4M3", 1, 1},   [NN_DATA_F8_E5M2] = {"F8_E5M2", 1, 1},
    [NN_DATA_I64] = {"I64", 1, 8, true},     [NN_DATA_I32] = {"I32", 1, 4, true},
    [NN_DATA_I16] = {"I16", 1, 2, true},     [NN_DATA_I8] = {"I8", 1, 1, true},
    [NN_DATA_U64] = {"U64", 1, 8, true},     [NN_DATA_U32] = {"U32", 1, 4, true},
    [NN_DATA_U16] = {"U16", 1, 2, true},     [NN_DATA_U8] = {"U8", 1, 1, true},
    [NN_DATA_BOOL] = {"BOOL", 1, 1, true},   [NN_DATA_Q4_0] = {"Q4_0", 32, 18},
    [NN_DATA_Q4_1] = {"Q4_1", 32, 20},       [NN_DATA_Q5_0] = {"Q5_0", 32, 22},
    [NN_DATA_Q5_1] = {"Q5_1", 32, 24},       [NN_DATA_Q8_0] = {"Q8_0", 32, 34},
    [NN_DATA_Q2_K] = {"Q2_K", 256, 84},      [NN_DATA_Q3_K] = {"Q3_K", 256, 110},
    [NN_DATA_Q4_K] = {"Q4_K", 256, 144},     [NN_DATA_Q5_K] = {"Q5_K", 256, 176},
    [NN_DATA_Q6_K] = {"Q6_K", 256, 210},     [NN_DATA_IQ4_NL] = {"IQ4_NL", 32, 18},
    [NN_DATA_IQ4_XS] = {"IQ4_XS", 256, 136},
};

const char *nn_data_name(enum nn_data type)
{
    return (unsigned)type < NN_DATA_COUNT ? types[type].name : "?";
}

uint32_t nn_data_block(enum nn_data type)
{
    return (unsigned)type < NN_DATA_COUNT ? types[type].block : 1;
}

uint32_t nn_data_block_bytes(enum nn_data type)
{
    return (unsigned)type < NN_DATA_COUNT ? types[type].bytes : 0;
}

bool nn_data_is_integer(enum nn_data type)
{
    return (unsigned)type < NN_DATA_COUNT && types[type].integer;
}

void nn_shape_text(char out[160], const uint64_t *shape, unsigned rank)
{
    size_t at = 1;
    out[0] = '[';
    for (unsigned i = 0; i < rank && i < NN_FILE_MAX_RANK && at < 130; i++)
        at += (size_t)snprintf(out + at, 160 - at, "%s%" PRIu64, i ? ", " : "", shape[i]);
    snprintf(out + at, 160 - at, "]");
}

/* ---- elements ---- */

enum { CHUNK = 1024 }; /* elements converted at a time; a multiple of every block */

/* Bytes of elements [first, first + n): in place where the tensor is contiguous, else gathered
 * into room, the innermost dimension run by run. */
static const uint8_t *elements(const struct nn_file_tensor *t, uint64_t first, size_t n,
                               uint8_t *room)
{
    size_t size = types[t->type].bytes;
    if (t->contiguous)
        return t->data + first * size;
    uint64_t index[NN_FILE_MAX_RANK], rest = first, at = 0;
    for (unsigned d = t->rank; d-- > 0;) {
        index[d] = rest % t->shape[d];
        rest /= t->shape[d];
        at += index[d] * t->stride[d];
    }
    for (size_t i = 0; i < n; i++) {
        memcpy(room + i * size, t->data + at * size, size);
        for (unsigned d = t->rank; d-- > 0;) {
            at += t->stride[d];
            if (++index[d] < t->shape[d])
                break;
            at -= t->shape[d] * t->stride[d];
            index[d] = 0;
        }
    }
    return room;
}

/* Sign, 4 bits of exponent (bias 7), 3 of mantissa. */
static float f8_e4m3(uint8_t b)
{
    uint32_t sign = (uint32_t)(b & 0x80) << 24, e = b >> 3 & 15, m = b & 7;
    if (e == 15 && m == 7)
        return fv_bits_f32(sign | 0x7fc00000);
    if (e)
        return fv_bits_f32(sign | (e + 120) << 23 | m << 20);
    float f = (float)m * 0x1p-9f;
    return sign ? -f : f;
}

static int64_t integer_at(enum nn_data type, const uint8_t *p)
{
    uint64_t u = 0;
    memcpy(&u, p, types[type].bytes); /* little-endian, as every host this is built for */
    switch (type) {
    case NN_DATA_I32:
        return (int32_t)u;
    case NN_DATA_I16:
        return (int16_t)u;
    case NN_DATA_I8:
        return (int8_t)u;
    case NN_DATA_BOOL:
        return u != 0;
    default:
        return (int64_t)u;
    }
}

static void to_f32(enum nn_data type, const uint8_t *p, size_t n, float *out)
{
    uint16_t h;
    double d;
    switch (type) {
    case NN_DATA_F32:
        memcpy(out, p, n * 4);
        break;
    case NN_DATA_F64:
        for (size_t i = 0; i < n; i++) {
            memcpy(&d, p + 8 * i, 8);
            out[i] = (float)d;
        }
        break;
    case NN_DATA_F16:
        for (size_t i = 0; i < n; i++) {
            memcpy(&h, p + 2 * i, 2);
            out[i] = fv_f16_to_f32(h);
        }
        break;
    case NN_DATA_BF16:
        for (size_t i = 0; i < n; i++) {
            memcpy(&h, p + 2 * i, 2);
            out[i] = fv_bf16_to_f32(h);
        }
        break;
    case NN_DATA_F8_E4M3:
        for (size_t i = 0; i < n; i++)
            out[i] = f8_e4m3(p[i]);
        break;
    case NN_DATA_F8_E5M2: /* the upper half of an f16 */
        for (size_t i = 0; i < n; i++)
            out[i] = fv_f16_to_f32((uint16_t)(p[i] << 8));
        break;
    case NN_DATA_U64:
        for (size_t i = 0; i < n; i++)
            out[i] = (float)(uint64_t)integer_at(type, p + 8 * i);
        break;
    default:
        for (size_t i = 0; i < n; i++)
            out[i] = (float)integer_at(type, p + types[type].bytes * i);
    }
}

static double to_f64(enum nn_data type, const uint8_t *p)
{
    double d;
    if (type == NN_DATA_U64)
        return (double)(uint64_t)integer_at(type, p);
    if (types[type].integer)
        return (double)integer_at(type, p);
    if (type == NN_DATA_F64) {
        memcpy(&d, p, 8);
        return d;
    }
    float f;
    to_f32(type, p, 1, &f);
    return (double)f;
}

/* n converted floats as f64, f32, f16 or bf16. */
static void store(enum nn_data as, const float *in, size_t n, uint8_t *out)
{
    for (size_t i = 0; as == NN_DATA_F64 && i < n; i++)
        memcpy(out + 8 * i, &(double){(double)in[i]}, 8);
    if (as == NN_DATA_F32)
        memcpy(out, in, n * 4);
    for (size_t i = 0; as == NN_DATA_F16 && i < n; i++)
        memcpy(out + 2 * i, &(uint16_t){fv_f32_to_f16(in[i])}, 2);
    for (size_t i = 0; as == NN_DATA_BF16 && i < n; i++)
        memcpy(out + 2 * i, &(uint16_t){fv_f32_to_bf16(in[i])}, 2);
}

static int store_integers(const struct nn_file_tensor *t, enum nn_data as, const uint8_t *p,
                          size_t n, uint8_t *out)
{
    for (size_t i = 0; i < n; i++) {
        int64_t v = integer_at(t->type, p + types[t->type].bytes * i);
        if (as == NN_DATA_I64) {
            memcpy(out + 8 * i, &v, 8);
            continue;
        }
        if (v < INT32_MIN || v > INT32_MAX)
            return fv_fail(FV_EINVALID, "tensor '%.128s' holds %" PRId64 ", too large for I32",
                           t->name, v);
        memcpy(out + 4 * i, &(int32_t){(int32_t)v}, 4);
    }
    return 0;
}

/* Quantised blocks, from any element on. */
static void read_blocks(const struct nn_file_tensor *t, enum nn_data as, uint64_t first, uint64_t n,
                        uint8_t *out)
{
    float values[CHUNK];
    uint32_t block = types[t->type].block;
    while (n) {
        size_t skip = (size_t)(first % block), room = CHUNK - skip;
        size_t now = n < room ? (size_t)n : room, blocks = (skip + now + block - 1) / block;
        nn_dequantize(t->type, t->data + first / block * types[t->type].bytes, blocks, values);
        store(as, values + skip, now, out);
        out += now * types[as].bytes;
        first += now;
        n -= now;
    }
}

static int convert(const struct nn_file_tensor *t, enum nn_data as, const uint8_t *p, size_t n,
                   uint8_t *out)
{
    float values[CHUNK];
    if (as == NN_DATA_I64 || as == NN_DATA_I32)
        return store_integers(t, as, p, n, out);
    if (as == NN_DATA_F64) {
        for (size_t i = 0; i < n; i++)
            memcpy(out + 8 * i, &(double){to_f64(t->type, p + types[t->type].bytes * i)}, 8);
        return 0;
    }
    to_f32(t->type, p, n, values);
    store(as, values, n, out);
    return 0;
}

int nn_file_read(const struct nn_file_tensor *t, enum nn_data as, uint64_t first, uint64_t n,
                 void *out)
{
    bool floats = as == NN_DATA_F64 || as == NN_DATA_F32 || as == NN_DATA_F16 || as == NN_DATA_BF16;
    bool whole = (as == NN_DATA_I64 || as == NN_DATA_I32) && types[t->type].integer;
    if (!floats && !whole)
        return fv_fail(FV_EINVALID, "tensor '%.128s' of %s cannot be read as %s", t->name,
                       nn_data_name(t->type), nn_data_name(as));
    if (first > t->count || n > t->count - first)
        return fv_fail(FV_EINVALID,
                       "tensor '%.128s': elements from %" PRIu64 ", %" PRIu64 " of them, asked of "
                       "%" PRIu64,
                       t->name, first, n, t->count);
    if (types[t->type].block > 1) {
        read_blocks(t, as, first, n, out);
        return 0;
    }
    if (as == t->type && t->contiguous) {
        if (n)
            memcpy(out, t->data + first * types[as].bytes, (size_t)n * types[as].bytes);
        return 0;
    }
    uint8_t gathered[CHUNK * 8], *to = out;
    while (n) {
        size_t now = n < CHUNK ? (size_t)n : CHUNK;
        const uint8_t *p = elements(t, first, now, gathered);
        if (as == t->type)
            memcpy(to, p, now * types[as].bytes);
        else
            FV_TRY(convert(t, as, p, now, to));
        to += now * types[as].bytes;
        first += now;
        n -= now;
    }
    return 0;
}
