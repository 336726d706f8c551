/* Device memory: a few large slabs per memory type, sub-allocated; buffers on top.
 *
 * No allocation exceeds maxMemoryAllocationSize and no buffer that is bound whole exceeds
 * maxStorageBufferRange: vk_buf_create refuses larger ones, callers split.
 *
 *     struct vk_buf keys;
 *     FV_TRY(vk_buf_create(&keys, dev, 4 * n, VK_BUF_DEVICE, "keys"));
 *     ...
 *     vk_buf_destroy(&keys);
 */
#ifndef VK_MEM_H
#define VK_MEM_H

#include "vk/device.h"

enum vk_buf_kind {
    VK_BUF_DEVICE,   /* storage, texel, transfer, indirect; may or may not be mapped */
    VK_BUF_TEXELS,   /* the same, and kernels may write it as texels (imageBuffer) */
    VK_BUF_UPLOAD,   /* host-written, transfer source and storage; always mapped */
    VK_BUF_READBACK, /* host-read, transfer destination and storage; always mapped, cached */
};

struct vk_buf {
    struct vk_device *dev;
    VkBuffer handle;
    uint64_t size; /* bytes asked for */
    enum vk_buf_kind kind;
    void *map;     /* host address or NULL */
    bool coherent; /* else vk_buf_flush / vk_buf_invalidate are needed */
    struct vk_buf_private *p;
};

/* Contents undefined. Returns 0, FV_EGPUMEM (text: label, asked, what the device has),
 * FV_EINVALID (size 0 or above the limit). Thread-safe. */
int vk_buf_create(struct vk_buf *out, struct vk_device *dev, uint64_t size, enum vk_buf_kind kind,
                  const char *label);
/* The same with room for more than one binding, up to vk_buf_max_large(): its bindings must each
 * name a range. */
int vk_buf_create_large(struct vk_buf *out, struct vk_device *dev, uint64_t size,
                        enum vk_buf_kind kind, const char *label);
/* Waits for the submissions until now that use it. Thread-safe; safe on a zeroed buffer. */
int vk_buf_settle(const struct vk_buf *b);
/* Waits for the submissions that use it; none may be recorded and not yet submitted. Safe on a
 * zeroed buffer; zeroes it. */
void vk_buf_destroy(struct vk_buf *b);
/* Host writes become visible to the device / device writes to the host; no-ops if coherent. */
int vk_buf_flush(const struct vk_buf *b, uint64_t offset, uint64_t size);
int vk_buf_invalidate(const struct vk_buf *b, uint64_t offset, uint64_t size);
/* Largest size vk_buf_create accepts on this device. */
uint64_t vk_buf_max(const struct vk_device *dev);
uint64_t vk_buf_max_large(const struct vk_device *dev);
/* Bytes held in slabs, and handed out of them. */
void vk_mem_usage(const struct vk_device *dev, uint64_t *reserved, uint64_t *used, uint64_t *peak);
/* The peak is from now on. */
void vk_mem_restart_peak(struct vk_device *dev);

#endif
