/* Transfers between host and device buffers through a staging ring (or directly where the
 * device's memory is mapped and unified). For whole-scene loads and tests; a frame's own
 * readback is recorded with vk_cmd_copy. */
#ifndef VK_XFER_H
#define VK_XFER_H

#include "vk/mem.h"

/* Copies size bytes to dst+offset; returns when the data may be reused. Blocking. */
int vk_upload(const struct vk_buf *dst, uint64_t offset, const void *data, uint64_t size);
/* Copies size bytes from src+offset; blocking. */
int vk_download(void *out, const struct vk_buf *src, uint64_t offset, uint64_t size);
/* Large uploads without a second host copy: room for *size bytes (at most what was asked, at
 * least 1) to be written by the caller, then sent by vk_upload_commit. */
struct vk_upload_window {
    void *data;
    uint64_t size;
    struct vk_xfer_slot *slot; /* NULL: data is the buffer itself */
};
/* Every window begun must be committed (with size set to 0 to send nothing), and there are two
 * for all threads together: commit one before beginning the next. Commit does not wait for the
 * copy; what is submitted later comes after it. */
int vk_upload_begin(struct vk_upload_window *w, const struct vk_buf *dst, uint64_t offset,
                    uint64_t size);
int vk_upload_commit(struct vk_upload_window *w);
/* Tests: go through staging even where memory is unified. */
void vk_xfer_force_staging(struct vk_device *dev, bool on);

#endif
