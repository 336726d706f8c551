/* Storage that outlives recordings, and whole tensors to and from the host (nn.h). */
#include "vk/base/half.h"
#include "vk/nn/op.h"
#include "vk/xfer.h"
#include "vk/base/array.h"

#include <stdlib.h>

enum { SHARED_BYTES = 4 << 20 }; /* small tensors share a buffer of so much */

struct slab {
    struct vk_buf buf; /* its address is in tensors: slabs do not move */
    uint64_t used;
};

struct nn_store {
    struct vk_device *dev;
    struct slab **slabs;
    size_t count, room;
    uint64_t bytes;
};

uint64_t nn_tensor_max(const struct vk_device *dev)
{
    return vk_buf_max_large(dev);
}

int nn_store_create(struct nn_store **out, struct vk_device *dev)
{
    *out = calloc(1, sizeof **out);
    if (!*out)
        return fv_fail(FV_ENOMEM, "out of memory");
    (*out)->dev = dev;
    return 0;
}

void nn_store_destroy(struct nn_store **out)
{
    struct nn_store *s = *out;
    if (!s)
        return;
    *out = NULL;
    for (size_t i = 0; i < s->count; i++) {
        vk_buf_destroy(&s->slabs[i]->buf);
        free(s->slabs[i]);
    }
    free(s->slabs);
    free(s);
}

uint64_t nn_store_bytes(const struct nn_store *s)
{
    return s->bytes;
}

static int add_slab(struct nn_store *s, uint64_t size, const char *label)
{
    FV_TRY(fv_grow(&s->slabs, &s->room, s->count, sizeof *s->slabs));
    struct slab *slab = calloc(1, sizeof *slab);
    if (!slab)
        return fv_fail(FV_ENOMEM, "out of memory");
    int rc = vk_buf_create_large(&slab->buf, s->dev, size, VK_BUF_DEVICE, label);
    if (rc < 0) {
        free(slab);
        return rc;
    }
    s->slabs[s->count++] = slab;
    s->bytes += size;
    return 0;
}

int nn_store_tensor(nn_tensor *out, struct nn_store *s, enum nn_dtype dtype, uint32_t rank,
                    const uint32_t *shape, const char *label)
{
    char text[NN_TEXT];
    uint64_t n = 1;
    *out = (nn_tensor){0};
    bool bad = !s->dev || !rank || rank > NN_MAX_RANK || !nn_dtype_bytes(dtype);
    for (uint32_t i = 0; !bad && i < rank; i++)
        bad = !shape[i] || (n *= shape[i]) > INT32_MAX;
    if (bad)
        return fv_fail(FV_EINVALID, "\"%s\": no tensor has rank %u, dtype %s and these sizes",
                       label, rank, nn_dtype_name(dtype));
    nn_tensor t = nn_over(NULL, 0, dtype, rank, shape);
    uint64_t size = (nn_bytes(t) + NN_ALIGN - 1) / NN_ALIGN * NN_ALIGN;
    if (size > nn_tensor_max(s->dev))
        return fv_fail(FV_EINVALID,
                       "\"%s\": %s takes %.1f MiB; a tensor on this device has at most %.1f", label,
                       nn_text(text, t), (double)size / 1048576,
                       (double)nn_tensor_max(s->dev) / 1048576);
    struct slab *last = s->count ? s->slabs[s->count - 1] : NULL;
    if (!last || last->buf.size - last->used < size) {
        FV_TRY(add_slab(s, size > SHARED_BYTES / 4 ? size : SHARED_BYTES, label));
        last = s->slabs[s->count - 1];
    }
    t.buf = &last->buf;
    t.offset = last->used;
    last->used += size;
    *out = t;
    return 0;
}

/* ---- host -------------------------------------------------------------------------------- */

static int check(nn_tensor t)
{
    char text[NN_TEXT];
    if (nn_is_null(t) || !t.buf || !nn_is_packed(t))
        return fv_fail(FV_EINVALID, "%s has no storage or is not packed", nn_text(text, t));
    return 0;
}

int nn_upload(nn_tensor t, const void *data)
{
    FV_TRY(check(t));
    return vk_upload(t.buf, t.offset, data, nn_bytes(t));
}

int nn_fetch(void *out, nn_tensor t)
{
    FV_TRY(check(t));
    return vk_download(out, t.buf, t.offset, nn_bytes(t));
}

/* Halves of n values between f32 and 16 bits, in the memory of the caller. */
static void narrow(uint16_t *out, const float *in, size_t n, enum nn_dtype d)
{
    if (d == NN_F16)
        fv_f32_to_f16_array(out, in, n);
    else
        for (size_t i = 0; i < n; i++)
            out[i] = fv_f32_to_bf16(in[i]);
}

static void widen(float *out, const uint16_t *in, size_t n, enum nn_dtype d)
{
    if (d == NN_F16)
        fv_f16_to_f32_array(out, in, n);
    else
        for (size_t i = 0; i < n; i++)
            out[i] = fv_bf16_to_f32(in[i]);
}

int nn_upload_f32(nn_tensor t, const float *data)
{
    if (t.dtype == NN_F32)
        return nn_upload(t, data);
    if (t.dtype == NN_I32)
        return fv_fail(FV_EINVALID, "indices are not uploaded from floats");
    FV_TRY(check(t));
    size_t n = nn_count(t);
    uint16_t *half = malloc(2 * n);
    if (!half)
        return fv_fail(FV_ENOMEM, "out of memory");
    narrow(half, data, n, t.dtype);
    int rc = nn_upload(t, half);
    free(half);
    return rc;
}

int nn_fetch_f32(float *out, nn_tensor t)
{
    if (t.dtype == NN_F32)
        return nn_fetch(out, t);
    if (t.dtype == NN_I32)
        return fv_fail(FV_EINVALID, "indices are not fetched as floats");
    FV_TRY(check(t));
    size_t n = nn_count(t);
    uint16_t *half = malloc(2 * n);
    if (!half)
        return fv_fail(FV_ENOMEM, "out of memory");
    int rc = nn_fetch(half, t);
    if (rc >= 0)
        widen(out, half, n, t.dtype);
    free(half);
    return rc;
}
