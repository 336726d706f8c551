/* Private to vk/pipe.c and vk/reload.c: the table of pipelines. */
#ifndef VK_PIPE_PRIVATE_H
#define VK_PIPE_PRIVATE_H

#include "vk/private.h"

#include <stdatomic.h>

struct vk_pipe_entry {
    struct vk_pipe pipe;
    const struct vk_shader *shader;
    uint32_t spec[VK_MAX_SPEC], nspec, subgroup;
    atomic_uint held; /* gets that are not dispatched yet, and recordings it is in */
    uint64_t used;    /* the table's clock at the last get */
    struct vk_reload_files *files; /* hot reload: what it was compiled from */
    struct vk_pipe_entry *next;
};

struct vk_pipes {
    pthread_mutex_t lock;
    struct vk_pipe_entry *entries;
    uint32_t count, most; /* most: to keep; 0: all */
    uint64_t clock;       /* gets */
    VkPipelineCache cache;
    uint8_t *loaded; /* what the cache began with: unchanged data is not written again */
    size_t loaded_size;
    double polled;       /* hot reload: when files were last looked at */
};

/* Fills e->pipe from code; its name, spec and subgroup are set. Leaves no handles on failure. */
int vk_pipe_build(struct vk_device *dev, struct vk_pipe_entry *e, const uint32_t *code,
                  size_t words);
void vk_pipe_clear(struct vk_device *dev, struct vk_pipe *p);
/* Of a recording: it is in it and has not to be held by the get, too; it is in none any more. */
void vk_pipe_release(const struct vk_pipe *p);

/* reload.c: the same from the shader directory; falls back to the embedded code with a log
 * line when the source does not compile. Only with a shader directory. */
int vk_reload_build(struct vk_device *dev, struct vk_pipe_entry *e);
void vk_reload_forget(struct vk_pipe_entry *e);

#endif
