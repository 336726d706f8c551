/* Weights in the order that kernels want (nn.h, op.h): a table of (weight, key) -> packed tensor.
 *
 * Packing is recorded into a command buffer of its own, run once before the recording that asked
 * first. Until that has run an entry counts as made only within that recording, so that a
 * recording which fails or is thrown away leaves nothing half done. */
#include "vk/nn/private.h"
#include "vk/base/array.h"

#include <stdlib.h>
#include <string.h>

struct entry {
    nn_tensor w, packed;
    uint32_t key;
    bool filled;
    uint64_t serial; /* of the recording that is to fill it */
};

struct nn_cache {
    struct vk_device *dev;
    struct nn_store *store;
    struct entry *list;
    size_t count, room;
};

int nn_cache_create(struct nn_cache **out, struct vk_device *dev)
{
    *out = NULL;
    struct nn_cache *c = calloc(1, sizeof *c);
    if (!c)
        return fv_fail(FV_ENOMEM, "out of memory");
    int rc = nn_store_create(&c->store, dev);
    if (rc < 0) {
        free(c);
        return rc;
    }
    c->dev = dev;
    *out = c;
    return 0;
}

void nn_cache_destroy(struct nn_cache **out)
{
    if (!*out)
        return;
    nn_store_destroy(&(*out)->store);
    free((*out)->list);
    free(*out);
    *out = NULL;
}

uint64_t nn_cache_bytes(const struct nn_cache *c)
{
    return nn_store_bytes(c->store);
}

void nn_cache_filled(struct nn_cache *c, uint64_t serial)
{
    for (size_t i = 0; i < c->count; i++)
        c->list[i].filled |= c->list[i].serial == serial;
}

static struct entry *find(struct nn_cache *c, nn_tensor w, uint32_t key)
{
    for (size_t i = 0; i < c->count; i++) {
        const nn_tensor *v = &c->list[i].w;
        if (c->list[i].key == key && v->buf == w.buf && v->offset == w.offset &&
            v->dtype == w.dtype && nn_same_shape(*v, w) &&
            !memcmp(v->stride, w.stride, w.rank * sizeof *w.stride))
            return &c->list[i];
    }
    return NULL;
}

static struct entry *add(struct nn_rec *r, nn_tensor w, uint32_t key, enum nn_dtype dtype,
                         uint32_t rank, const uint32_t *shape)
{
    struct nn_cache *c = r->cache;
    if (fv_grow(&c->list, &c->room, c->count, sizeof *c->list) < 0) {
        nn_fail(r, FV_ENOMEM, "out of memory");
        return NULL;
    }
    struct entry e = {.w = w, .key = key, .packed = nn_over(NULL, 0, dtype, rank, shape)};
    int rc = r->opts.dry
                 ? 0
                 : nn_store_tensor(&e.packed, c->store, dtype, rank, shape, "packed weights");
    nn_fail_code(r, rc);
    if (rc < 0)
        return NULL;
    c->list[c->count] = e;
    return &c->list[c->count++];
}

/* Dispatches go to the preparation until nn_cached_end. */
static bool begin_packing(struct nn_rec *r)
{
    if (!r->prep)
        nn_fail_code(r, vk_cmd_create(&r->prep, r->dev));
    if (nn_failed(r))
        return false;
    if (!r->prep_open)
        vk_cmd_begin(r->prep);
    r->prep_open = r->packing = true;
    return true;
}

/* Weights that the recording itself makes, or that vary, are packed in it, whenever it runs. */
static nn_tensor pack_here(struct nn_rec *r, enum nn_dtype dtype, uint32_t rank,
                           const uint32_t *shape, bool *fresh)
{
    *fresh = true;
    return nn_new(r, dtype, rank, shape);
}

nn_tensor nn_cached(struct nn_rec *r, nn_tensor w, uint32_t key, enum nn_dtype dtype, uint32_t rank,
                    const uint32_t *shape, bool *fresh)
{
    struct nn_piece *piece;
    *fresh = false;
    if (!nn_ready(r))
        return (nn_tensor){0};
    if (r->opts.weights_vary || nn_pool_find(&r->pool, w, &piece))
        return pack_here(r, dtype, rank, shape, fresh);
    struct entry *e = find(r->cache, w, key);
    bool seen = e && e->serial == r->serial;
    if (!e)
        e = add(r, w, key, dtype, rank, shape);
    if (!e)
        return (nn_tensor){0};
    if (!seen)
        r->cost.packed_bytes += nn_bytes(e->packed);
    e->serial = r->serial;
    *fresh = !seen && !e->filled && !r->opts.dry;
    if (*fresh && !begin_packing(r))
        return (nn_tensor){0};
    return e->packed;
}

void nn_cached_end(struct nn_rec *r)
{
    r->packing = false;
}
