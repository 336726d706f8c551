/* Tensor values (nn.h): sizes, strides, text. Views that may fail are in view.c. */
#include "vk/nn/op.h"

#include <stdio.h>

static const struct {
    const char *name;
    uint32_t bytes;
} dtypes[NN_DTYPES] = {{"same", 0}, {"f32", 4}, {"f16", 2}, {"bf16", 2}, {"i32", 4}};

uint32_t nn_dtype_bytes(enum nn_dtype d)
{
    return (unsigned)d < NN_DTYPES ? dtypes[d].bytes : 0;
}

const char *nn_dtype_name(enum nn_dtype d)
{
    return (unsigned)d < NN_DTYPES ? dtypes[d].name : "?";
}

uint64_t nn_count(nn_tensor t)
{
    uint64_t n = 1;
    for (uint32_t i = 0; i < t.rank; i++)
        n *= t.shape[i];
    return n;
}

uint64_t nn_bytes(nn_tensor t)
{
    return nn_count(t) * nn_dtype_bytes(t.dtype);
}

bool nn_same_shape(nn_tensor a, nn_tensor b)
{
    if (a.rank != b.rank)
        return false;
    for (uint32_t i = 0; i < a.rank; i++)
        if (a.shape[i] != b.shape[i])
            return false;
    return true;
}

void nn_pack_strides(nn_tensor *t)
{
    uint32_t step = 1;
    for (uint32_t i = NN_MAX_RANK; i-- > 0;) {
        t->stride[i] = i < t->rank ? step : 0;
        if (i < t->rank)
            step *= t->shape[i];
        else
            t->shape[i] = 0;
    }
}

/* The stride of an axis of length 1 says nothing. */
bool nn_is_packed(nn_tensor t)
{
    uint64_t step = 1;
    for (uint32_t i = t.rank; i-- > 0; step *= t.shape[i])
        if (t.shape[i] != 1 && t.stride[i] != step)
            return false;
    return true;
}

bool nn_is_dense(nn_tensor t)
{
    bool used[NN_MAX_RANK] = {false};
    uint64_t step = 1;
    for (uint32_t n = 0; n < t.rank; n++) {
        uint32_t i = 0;
        while (i < t.rank && (used[i] || (t.shape[i] != 1 && t.stride[i] != step)))
            i++;
        if (i == t.rank)
            return false;
        used[i] = true;
        step *= t.shape[i];
    }
    return true;
}

const char *nn_text(char text[NN_TEXT], nn_tensor t)
{
    if (!t.rank) {
        snprintf(text, NN_TEXT, "nothing");
        return text;
    }
    int at = snprintf(text, NN_TEXT, "%s [", nn_dtype_name(t.dtype));
    for (uint32_t i = 0; i < t.rank; i++)
        at += snprintf(text + at, NN_TEXT - (size_t)at, "%s%u", i ? ", " : "", t.shape[i]);
    snprintf(text + at, NN_TEXT - (size_t)at, "]");
    return text;
}

nn_tensor nn_over(const struct vk_buf *buf, uint64_t offset, enum nn_dtype dtype, uint32_t rank,
                  const uint32_t *shape)
{
    nn_tensor t = {.buf = buf, .offset = offset, .dtype = dtype, .rank = rank};
    for (uint32_t i = 0; i < rank && i < NN_MAX_RANK; i++)
        t.shape[i] = shape[i];
    nn_pack_strides(&t);
    return t;
}

nn_tensor nn_as(nn_tensor t, uint32_t rank, const uint32_t *shape)
{
    return nn_over(t.buf, t.offset, t.dtype, rank, shape);
}
