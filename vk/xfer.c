/* Staging (xfer.h): two slots each way, filled while the other is copied by the device.
 *
 * Where the buffer is mapped and coherent there is nothing to stage: bytes are copied straight
 * into it after waiting for the last submission that uses it (which is what the order of the
 * queue would have given). Reading that way needs host-cached memory; through a card's
 * write-combined window it would crawl. */
#include "vk/xfer.h"
#include "vk/base/log.h"
#include "vk/cmd.h"
#include "vk/private.h"

#include <stdlib.h>
#include <string.h>

enum { SLOTS = 2, SLOT_BYTES = 16 << 20 };

struct vk_xfer_slot {
    struct vk_buf buf;
    struct vk_cmd *cmd;
    uint64_t ticket;
    bool busy; /* in a caller's hands */
    struct vk_buf dst;
    uint64_t offset; /* of a window */
};

struct vk_xfer {
    pthread_mutex_t lock; /* the slots' busy flags */
    pthread_cond_t freed;
    struct vk_xfer_slot up[SLOTS], down[SLOTS];
    pthread_mutex_t down_lock; /* one staged download at a time */
    atomic_bool force;
};

int vk_xfer_create(struct vk_device *dev)
{
    struct vk_xfer *x = calloc(1, sizeof *x);
    if (!x)
        return fv_fail(FV_ENOMEM, "out of memory");
    pthread_mutex_init(&x->lock, NULL);
    pthread_mutex_init(&x->down_lock, NULL);
    pthread_cond_init(&x->freed, NULL);
    dev->p->xfer = x;
    return 0;
}

static void finish_slot(struct vk_xfer_slot *s)
{
    vk_cmd_destroy(&s->cmd);
    vk_buf_destroy(&s->buf);
}

void vk_xfer_destroy(struct vk_device *dev)
{
    struct vk_xfer *x = dev->p->xfer;
    if (!x)
        return;
    for (int i = 0; i < SLOTS; i++) {
        finish_slot(&x->up[i]);
        finish_slot(&x->down[i]);
    }
    pthread_cond_destroy(&x->freed);
    pthread_mutex_destroy(&x->down_lock);
    pthread_mutex_destroy(&x->lock);
    free(x);
    dev->p->xfer = NULL;
}

void vk_xfer_force_staging(struct vk_device *dev, bool on)
{
    atomic_store(&dev->p->xfer->force, on);
}

static uint64_t slot_bytes(const struct vk_device *dev)
{
    return vk_buf_max(dev) < SLOT_BYTES ? vk_buf_max(dev) : SLOT_BYTES;
}

/* Its buffer and command object, made at first use. */
static int ready_slot(struct vk_xfer_slot *s, struct vk_device *dev, enum vk_buf_kind kind)
{
    if (!s->cmd)
        FV_TRY(vk_cmd_create(&s->cmd, dev));
    if (!s->buf.p)
        FV_TRY(vk_buf_create(&s->buf, dev, slot_bytes(dev), kind, "staging"));
    return 0;
}

static int check_range(const char *what, const struct vk_buf *b, uint64_t offset, uint64_t size)
{
    int rc = vk_buf_check(b, offset, size);
    return rc < 0 ? fv_wrap(rc, "%s: ", what) : vk_alive(b->dev);
}

static bool direct(const struct vk_buf *b)
{
    return b->map && b->coherent && !atomic_load(&b->dev->p->xfer->force);
}

/* --- up --- */

static void release(struct vk_xfer *x, struct vk_xfer_slot *s)
{
    pthread_mutex_lock(&x->lock);
    s->busy = false;
    pthread_cond_signal(&x->freed);
    pthread_mutex_unlock(&x->lock);
}

/* The free slot whose copy was submitted first, waiting for one if all are in use. */
static struct vk_xfer_slot *acquire(struct vk_xfer *x)
{
    struct vk_xfer_slot *best = NULL;
    pthread_mutex_lock(&x->lock);
    for (;;) {
        for (int i = 0; i < SLOTS; i++)
            if (!x->up[i].busy && (!best || x->up[i].ticket < best->ticket))
                best = &x->up[i];
        if (best)
            break;
        pthread_cond_wait(&x->freed, &x->lock);
    }
    best->busy = true;
    pthread_mutex_unlock(&x->lock);
    return best;
}

int vk_upload_begin(struct vk_upload_window *w, const struct vk_buf *dst, uint64_t offset,
                    uint64_t size)
{
    *w = (struct vk_upload_window){0};
    FV_TRY(check_range("upload", dst, offset, size));
    if (!size)
        return fv_fail(FV_EINVALID, "upload of 0 bytes to buffer \"%s\"", dst->p->label);
    struct vk_device *dev = dst->dev;
    if (direct(dst)) {
        FV_TRY(vk_wait(dev, atomic_load(&dst->p->last_ticket)));
        *w = (struct vk_upload_window){(unsigned char *)dst->map + offset, size, NULL};
        return 0;
    }
    struct vk_xfer_slot *s = acquire(dev->p->xfer);
    int rc = ready_slot(s, dev, VK_BUF_UPLOAD);
    if (!rc)
        rc = vk_wait(dev, s->ticket);
    if (rc < 0) {
        release(dev->p->xfer, s);
        return rc;
    }
    s->dst = *dst;
    s->offset = offset;
    *w = (struct vk_upload_window){s->buf.map, size < s->buf.size ? size : s->buf.size, s};
    return 0;
}

int vk_upload_commit(struct vk_upload_window *w)
{
    struct vk_xfer_slot *s = w->slot;
    uint64_t size = w->size;
    *w = (struct vk_upload_window){0};
    if (!s)
        return 0;
    struct vk_device *dev = s->dst.dev;
    int rc =
        size > s->buf.size ? fv_fail(FV_EINVALID, "upload window committed larger than it is") : 0;
    if (!rc && size) {
        rc = vk_buf_flush(&s->buf, 0, size);
        vk_cmd_begin(s->cmd);
        vk_cmd_fail(s->cmd, rc);
        vk_cmd_copy(s->cmd, &s->dst, s->offset, &s->buf, 0, size);
        rc = vk_cmd_submit(s->cmd, &s->ticket);
    }
    release(dev->p->xfer, s);
    return rc;
}

int vk_upload(const struct vk_buf *dst, uint64_t offset, const void *data, uint64_t size)
{
    const unsigned char *bytes = data;
    FV_TRY(check_range("upload", dst, offset, size));
    while (size) {
        struct vk_upload_window w;
        FV_TRY(vk_upload_begin(&w, dst, offset, size));
        uint64_t n = w.size;
        memcpy(w.data, bytes, n);
        FV_TRY(vk_upload_commit(&w));
        bytes += n;
        offset += n;
        size -= n;
    }
    return vk_wait(dst->dev, atomic_load(&dst->p->last_ticket));
}

/* --- down --- */

static int start_chunk(struct vk_xfer_slot *s, const struct vk_buf *src, uint64_t offset,
                       uint64_t size)
{
    FV_TRY(ready_slot(s, src->dev, VK_BUF_READBACK));
    vk_cmd_begin(s->cmd);
    vk_cmd_copy(s->cmd, &s->buf, 0, src, offset, size);
    return vk_cmd_submit(s->cmd, &s->ticket);
}

static int end_chunk(unsigned char *out, struct vk_xfer_slot *s, uint64_t size)
{
    FV_TRY(vk_wait(s->buf.dev, s->ticket));
    FV_TRY(vk_buf_invalidate(&s->buf, 0, size));
    memcpy(out, s->buf.map, size);
    return 0;
}

/* The device copies chunk k+1 while chunk k is copied out. */
static int staged_download(unsigned char *out, const struct vk_buf *src, uint64_t offset,
                           uint64_t size)
{
    struct vk_xfer *x = src->dev->p->xfer;
    uint64_t chunk = slot_bytes(src->dev), count = (size + chunk - 1) / chunk;
    for (uint64_t k = 0; k <= count; k++) {
        uint64_t at = k * chunk;
        if (k < count)
            FV_TRY(start_chunk(&x->down[k % SLOTS], src, offset + at,
                               size - at < chunk ? size - at : chunk));
        if (k) {
            at -= chunk;
            FV_TRY(end_chunk(out + at, &x->down[(k - 1) % SLOTS],
                             size - at < chunk ? size - at : chunk));
        }
    }
    return 0;
}

int vk_download(void *out, const struct vk_buf *src, uint64_t offset, uint64_t size)
{
    FV_TRY(check_range("download", src, offset, size));
    if (!size)
        return 0;
    struct vk_xfer *x = src->dev->p->xfer;
    if (direct(src) && src->p->cached) {
        FV_TRY(vk_wait(src->dev, atomic_load(&src->p->last_ticket)));
        memcpy(out, (unsigned char *)src->map + offset, size);
        return 0;
    }
    pthread_mutex_lock(&x->down_lock);
    int rc = staged_download(out, src, offset, size);
    pthread_mutex_unlock(&x->down_lock);
    return rc;
}
