/* Command recording and submission: one object = one command buffer used over and over.
 *
 * Failure is sticky: the first bad call stores code and text, later ones do nothing, and
 * vk_cmd_submit returns it. Barriers are placed from what each dispatch reads and writes
 * (reflected), per buffer range. Submissions signal one timeline semaphore per device.
 *
 *     vk_cmd_begin(cmd);
 *     vk_cmd_fill(cmd, &counters, 0, 64, 0);
 *     vk_cmd_scope(cmd, "project");
 *     vk_cmd_dispatch(cmd, pipe, (struct vk_bind[]){{.buf = &geo, .format = VK_FORMAT_R32G32B32A32_UINT},
 *                     {.buf = &out}}, 2, &push, sizeof push, groups, 1, 1);
 *     vk_cmd_copy(cmd, &host, 0, &out, 0, out.size);      // readback: host-visible after wait
 *     uint64_t ticket;
 *     FV_TRY(vk_cmd_submit(cmd, &ticket));
 *     FV_TRY(vk_wait(dev, ticket));
 */
#ifndef VK_CMD_H
#define VK_CMD_H

#include "vk/mem.h"
#include "vk/pipe.h"

struct vk_cmd;

struct vk_bind {
    const struct vk_buf *buf;
    uint64_t offset, range; /* bytes; range 0 = to the end */
    VkFormat format;        /* of a texel-buffer binding; ignored for storage buffers */
};

int vk_cmd_create(struct vk_cmd **out, struct vk_device *dev);
void vk_cmd_destroy(struct vk_cmd **cmd);
/* Waits for this object's last submission, then starts recording anew. */
void vk_cmd_begin(struct vk_cmd *cmd);
/* What is recorded from the next vk_cmd_begin on can be submitted again (default: once only). */
void vk_cmd_reusable(struct vk_cmd *cmd, bool on);
/* The stored failure, or 0. */
int vk_cmd_status(const struct vk_cmd *cmd);
void vk_cmd_dispatch(struct vk_cmd *cmd, const struct vk_pipe *pipe, const struct vk_bind *binds,
                     uint32_t nbinds, const void *push, uint32_t push_bytes, uint32_t gx,
                     uint32_t gy, uint32_t gz);
/* Group counts from three uints at args+offset. */
void vk_cmd_dispatch_indirect(struct vk_cmd *cmd, const struct vk_pipe *pipe,
                              const struct vk_bind *binds, uint32_t nbinds, const void *push,
                              uint32_t push_bytes, const struct vk_buf *args, uint64_t offset);
void vk_cmd_fill(struct vk_cmd *cmd, const struct vk_buf *b, uint64_t offset, uint64_t size,
                 uint32_t value);
/* At most 64 KiB, copied into the command buffer now. */
void vk_cmd_update(struct vk_cmd *cmd, const struct vk_buf *b, uint64_t offset, const void *data,
                   uint32_t size);
void vk_cmd_copy(struct vk_cmd *cmd, const struct vk_buf *dst, uint64_t dst_offset,
                 const struct vk_buf *src, uint64_t src_offset, uint64_t size);
/* The raw command buffer with a full barrier before and after, for what is not compute
 * (a viewer's image copies). */
VkCommandBuffer vk_cmd_raw_begin(struct vk_cmd *cmd);
void vk_cmd_raw_end(struct vk_cmd *cmd);
/* Raw commands of this recording use the buffer: who frees or settles it waits for them. */
void vk_cmd_uses(struct vk_cmd *cmd, const struct vk_buf *b);
/* Stores a failure of the caller's own, e.g. from vk_pipe_get. */
void vk_cmd_fail(struct vk_cmd *cmd, int code);

/* What follows belongs to the pass `name` (a literal) until the next call; timed by GPU
 * timestamps. With split on, every pass is also submitted and waited for alone so that wall
 * and CPU time can be told. */
void vk_cmd_scope(struct vk_cmd *cmd, const char *name);
void vk_cmd_split(struct vk_cmd *cmd, bool on);
struct vk_pass_time {
    const char *name;
    double gpu_ms, wall_ms, cpu_ms; /* wall and cpu 0 unless split; gpu 0 if not supported */
};
/* After the submission is done: passes of the same name are summed. Returns the count. */
size_t vk_cmd_times(struct vk_cmd *cmd, struct vk_pass_time *out, size_t room);

struct vk_submit_sync { /* for windows; all may be null */
    VkSemaphore wait_binary, signal_binary;
    VkPipelineStageFlags2 wait_stage;
};
/* Ends and submits. *ticket (may be NULL) is for vk_wait / vk_done. Thread-safe queue. */
int vk_cmd_submit(struct vk_cmd *cmd, uint64_t *ticket);
int vk_cmd_submit_sync(struct vk_cmd *cmd, const struct vk_submit_sync *sync, uint64_t *ticket);
/* Submits a reusable recording once more, after its last submission is done. Not with split. */
int vk_cmd_submit_again(struct vk_cmd *cmd, uint64_t *ticket);
int vk_wait(struct vk_device *dev, uint64_t ticket);
bool vk_done(struct vk_device *dev, uint64_t ticket);

#endif
