/* Private to vk/cmd.c, vk/hazard.c and vk/prof.c: the recording object. */
#ifndef VK_CMD_PRIVATE_H
#define VK_CMD_PRIVATE_H

#include "vk/cmd.h"
#include "vk/private.h"

enum { VK_MAX_ACCESSES = 256, VK_DESCRIPTOR_POOLS = 16 };

/* One use of a range of a buffer by one command. */
struct vk_access {
    const struct vk_buf_private *buf;
    uint64_t begin, end;
    VkPipelineStageFlags2 stage;
    VkAccessFlags2 flags;
    bool write;
};

/* The accesses since the last barrier. Within it no two conflict, so a command needs a barrier
 * exactly when it conflicts with one of these. */
struct vk_hazards {
    struct vk_access list[VK_MAX_ACCESSES];
    uint32_t count;
    bool wrote; /* anything, since recording began */
};

struct vk_scope {
    const char *name;
    uint32_t begin, end;    /* timestamp indices; UINT32_MAX = none */
    double wall_ms, cpu_ms; /* split only */
};

/* Named passes of one recording (prof.c). */
struct vk_scopes {
    struct vk_scope *list;
    size_t count, room;
    VkQueryPool *pools; /* VK_QUERIES timestamps each */
    uint32_t pool_count, queries;
    bool open, split;
};

struct vk_cmd {
    struct vk_device *dev;
    VkCommandPool pool;
    VkCommandBuffer cb;
    bool recording, raw, reusable;
    bool complete; /* recorded and submitted whole: may be submitted again if reusable */
    int code;      /* sticky failure */
    char error[1024];
    uint64_t ticket; /* of the last submission */
    const struct vk_pipe *bound;

    VkDescriptorPool sets[VK_DESCRIPTOR_POOLS]; /* each twice the one before */
    uint32_t set_pools, set_at, sets_used;      /* how many; the one in use, and its sets */

    struct vk_buf_private **touched; /* buffers of this recording, to mark with the ticket */
    size_t touched_count, touched_room;

    const struct vk_pipe **piped; /* pipelines of this recording, which are held until it begins anew */
    size_t piped_count, piped_room;

    struct vk_hazards hazards;
    struct vk_scopes scopes;
};

/* cmd.c */
bool vk_cmd_ready(struct vk_cmd *cmd); /* recording and not failed */
int vk_cmd_open(struct vk_cmd *cmd);   /* begins the command buffer */
/* Ends and submits what is recorded so far; marks the buffers. */
int vk_cmd_close(struct vk_cmd *cmd, const struct vk_submit_sync *sync);

/* hazard.c: a barrier if any of the accesses conflicts with what ran since the last one. */
void vk_cmd_access(struct vk_cmd *cmd, const struct vk_access *list, uint32_t n);
void vk_cmd_full_barrier(struct vk_cmd *cmd);
/* Everything written is made available to the host. */
void vk_cmd_host_barrier(struct vk_cmd *cmd);

/* prof.c */
void vk_scopes_reset(struct vk_cmd *cmd);
void vk_scopes_end(struct vk_cmd *cmd); /* closes the open scope, if any */
void vk_scopes_finish(struct vk_cmd *cmd);
/* Ends, submits and waits for the recording so far; its time goes to the last scope. */
int vk_scopes_run(struct vk_cmd *cmd, const struct vk_submit_sync *sync);

#endif
