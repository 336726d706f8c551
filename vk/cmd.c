/* Recording (cmd.h). Barriers are in hazard.c, named passes in prof.c, the queue in queue.c.
 *
 * Every command buffer begins with a full barrier: the first scope of a barrier reaches back over
 * all earlier submissions of the queue, so buffers written by one vk_cmd may be used by the next
 * without semaphores, and accesses only have to be followed within one recording. */
#include "vk/cmd_private.h"
#include "vk/base/array.h"
#include "vk/pipe_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- life --- */

int vk_cmd_create(struct vk_cmd **out, struct vk_device *dev)
{
    VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                    .flags = VK_COMMAND_POOL_CREATE_TRANSIENT_BIT,
                                    .queueFamilyIndex = dev->queue_family};
    int rc = 0;
    *out = NULL;
    FV_TRY(vk_alive(dev));
    struct vk_cmd *cmd = calloc(1, sizeof *cmd);
    if (!cmd)
        return fv_fail(FV_ENOMEM, "out of memory");
    cmd->dev = dev;
    FV_GOTO(vk_check(dev, vkCreateCommandPool(dev->handle, &pool, NULL, &cmd->pool),
                     "vkCreateCommandPool"));
    VkCommandBufferAllocateInfo buffer = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                          .commandPool = cmd->pool,
                                          .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                          .commandBufferCount = 1};
    FV_GOTO(vk_check(dev, vkAllocateCommandBuffers(dev->handle, &buffer, &cmd->cb),
                     "vkAllocateCommandBuffers"));
done:
    if (rc < 0)
        vk_cmd_destroy(&cmd);
    *out = cmd;
    return rc;
}

static void release_pipes(struct vk_cmd *cmd)
{
    for (size_t i = 0; i < cmd->piped_count; i++)
        vk_pipe_release(cmd->piped[i]);
    cmd->piped_count = 0;
}

/* In the place of the get it comes from. */
static void hold_pipe(struct vk_cmd *cmd, const struct vk_pipe *pipe)
{
    for (size_t i = 0; i < cmd->piped_count; i++)
        if (cmd->piped[i] == pipe) {
            vk_pipe_release(pipe);
            return;
        }
    if (fv_grow(&cmd->piped, &cmd->piped_room, cmd->piped_count, sizeof *cmd->piped) < 0)
        vk_cmd_fail(cmd, FV_ENOMEM);
    else
        cmd->piped[cmd->piped_count++] = pipe;
}

void vk_cmd_destroy(struct vk_cmd **out)
{
    struct vk_cmd *cmd = *out;
    if (!cmd)
        return;
    *out = NULL;
    if (cmd->ticket && !vk_done(cmd->dev, cmd->ticket))
        vk_wait(cmd->dev, cmd->ticket);
    vk_scopes_finish(cmd);
    for (uint32_t i = 0; i < cmd->set_pools; i++)
        vkDestroyDescriptorPool(cmd->dev->handle, cmd->sets[i], NULL);
    vkDestroyCommandPool(cmd->dev->handle, cmd->pool, NULL);
    release_pipes(cmd);
    free(cmd->piped);
    free(cmd->touched);
    free(cmd);
}

/* --- sticky failure --- */

void vk_cmd_fail(struct vk_cmd *cmd, int code)
{
    if (cmd->code < 0 || code >= 0)
        return;
    cmd->code = code;
    snprintf(cmd->error, sizeof cmd->error, "%s", fv_error());
}

bool vk_cmd_ready(struct vk_cmd *cmd)
{
    if (cmd->code < 0)
        return false;
    if (!cmd->recording)
        vk_cmd_fail(cmd, fv_fail(FV_EINVALID, "command recorded before vk_cmd_begin"));
    else if (cmd->raw)
        vk_cmd_fail(cmd, fv_fail(FV_EINVALID, "command recorded before vk_cmd_raw_end"));
    return cmd->code == 0;
}

/* --- begin and end of the command buffer --- */

int vk_cmd_open(struct vk_cmd *cmd)
{
    VkCommandBufferBeginInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
        .flags = cmd->reusable ? 0 : VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
    VK_TRY(cmd->dev, vkResetCommandPool(cmd->dev->handle, cmd->pool, 0));
    VK_TRY(cmd->dev, vkBeginCommandBuffer(cmd->cb, &info));
    cmd->bound = NULL;
    cmd->touched_count = 0;
    cmd->hazards.count = 0;
    cmd->hazards.wrote = false;
    cmd->recording = true;
    vk_cmd_full_barrier(cmd);
    return 0;
}

static int submit(struct vk_cmd *cmd, const struct vk_submit_sync *sync)
{
    FV_TRY(vk_queue_submit(cmd->dev, cmd->cb, sync, &cmd->ticket));
    for (size_t i = 0; i < cmd->touched_count; i++)
        atomic_store(&cmd->touched[i]->last_ticket, cmd->ticket);
    return 0;
}

int vk_cmd_close(struct vk_cmd *cmd, const struct vk_submit_sync *sync)
{
    vk_cmd_host_barrier(cmd);
    cmd->recording = false;
    VK_TRY(cmd->dev, vkEndCommandBuffer(cmd->cb));
    return submit(cmd, sync);
}

void vk_cmd_begin(struct vk_cmd *cmd)
{
    struct vk_device *dev = cmd->dev;
    cmd->code = 0;
    cmd->recording = false;
    cmd->complete = false;
    cmd->raw = false;
    cmd->set_at = 0;
    cmd->sets_used = 0;
    vk_scopes_reset(cmd);
    int rc = vk_wait(dev, cmd->ticket);
    release_pipes(cmd);
    for (uint32_t i = 0; !rc && i < cmd->set_pools; i++)
        rc = vk_check(dev, vkResetDescriptorPool(dev->handle, cmd->sets[i], 0),
                      "vkResetDescriptorPool");
    vk_cmd_fail(cmd, rc ? rc : vk_cmd_open(cmd));
}

int vk_cmd_submit_sync(struct vk_cmd *cmd, const struct vk_submit_sync *sync, uint64_t *ticket)
{
    if (vk_cmd_ready(cmd)) {
        int rc = 0;
        if (cmd->scopes.split) {
            rc = vk_scopes_run(cmd, sync);
        } else {
            vk_scopes_end(cmd);
            if (!cmd->code)
                rc = vk_cmd_close(cmd, sync);
            cmd->complete = rc == 0;
        }
        vk_cmd_fail(cmd, rc);
    }
    cmd->recording = false;
    if (ticket)
        *ticket = cmd->code < 0 ? 0 : cmd->ticket;
    return cmd->code < 0 ? fv_fail(cmd->code, "%s", cmd->error) : 0;
}

int vk_cmd_submit(struct vk_cmd *cmd, uint64_t *ticket)
{
    return vk_cmd_submit_sync(cmd, NULL, ticket);
}

void vk_cmd_reusable(struct vk_cmd *cmd, bool on)
{
    cmd->reusable = on;
}

int vk_cmd_status(const struct vk_cmd *cmd)
{
    return cmd->code < 0 ? fv_fail(cmd->code, "%s", cmd->error) : 0;
}

int vk_cmd_submit_again(struct vk_cmd *cmd, uint64_t *ticket)
{
    *ticket = 0;
    FV_TRY(vk_cmd_status(cmd));
    if (!cmd->reusable || !cmd->complete)
        return fv_fail(FV_EINVALID, "nothing recorded that could be submitted again");
    FV_TRY(vk_wait(cmd->dev, cmd->ticket));
    FV_TRY(submit(cmd, NULL));
    *ticket = cmd->ticket;
    return 0;
}

/* --- buffers in use --- */

static int touch(struct vk_cmd *cmd, const struct vk_buf *b)
{
    for (size_t i = 0; i < cmd->touched_count; i++)
        if (cmd->touched[i] == b->p)
            return 0;
    FV_TRY(fv_grow(&cmd->touched, &cmd->touched_room, cmd->touched_count, sizeof *cmd->touched));
    cmd->touched[cmd->touched_count++] = b->p;
    return 0;
}

/* [offset, offset+size) is inside a buffer of this device and both are multiples. */
static int check_buf(const struct vk_cmd *cmd, const struct vk_buf *b, uint64_t offset,
                     uint64_t size, uint64_t multiple)
{
    FV_TRY(vk_buf_check(b, offset, size));
    if (b->dev != cmd->dev)
        return fv_fail(FV_EINVALID, "buffer \"%s\" is of another device", b->p->label);
    if (offset % multiple || size % multiple)
        return fv_fail(FV_EINVALID, "range %llu+%llu of buffer \"%s\" is not in multiples of %llu",
                       (unsigned long long)offset, (unsigned long long)size, b->p->label,
                       (unsigned long long)multiple);
    return 0;
}

/* The same for a command, whose name goes before a stored failure. */
static bool usable(struct vk_cmd *cmd, const char *what, const struct vk_buf *b, uint64_t offset,
                   uint64_t size, uint64_t multiple)
{
    int rc = check_buf(cmd, b, offset, size, multiple);
    if (rc < 0)
        vk_cmd_fail(cmd, fv_wrap(rc, "%s: ", what));
    return rc == 0;
}

static struct vk_access access_of(const struct vk_buf *b, uint64_t offset, uint64_t size,
                                  VkPipelineStageFlags2 stage, VkAccessFlags2 flags, bool write)
{
    return (struct vk_access){b->p, offset, offset + size, stage, flags, write};
}

static struct vk_access transfer(const struct vk_buf *b, uint64_t offset, uint64_t size, bool write)
{
    return access_of(b, offset, size, VK_PIPELINE_STAGE_2_ALL_TRANSFER_BIT,
                     write ? VK_ACCESS_2_TRANSFER_WRITE_BIT : VK_ACCESS_2_TRANSFER_READ_BIT, write);
}

/* --- descriptors --- */

/* Counted here: what a driver does beyond maxSets is its own affair (lavapipe and SwiftShader go
 * on without end). */
static uint32_t pool_sets(uint32_t pool)
{
    return 64u << pool;
}

static int add_set_pool(struct vk_cmd *cmd)
{
    if (cmd->set_pools == VK_DESCRIPTOR_POOLS)
        return fv_fail(FV_EINVALID, "too many dispatches in one recording");
    uint32_t sets = pool_sets(cmd->set_pools);
    VkDescriptorPoolSize sizes[] = {{VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 8 * sets},
                                    {VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER, 4 * sets},
                                    {VK_DESCRIPTOR_TYPE_STORAGE_TEXEL_BUFFER, 4 * sets},
                                    {VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER, sets}};
    VkDescriptorPoolCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
                                       .maxSets = sets,
                                       .poolSizeCount = 4,
                                       .pPoolSizes = sizes};
    VK_TRY(cmd->dev,
           vkCreateDescriptorPool(cmd->dev->handle, &info, NULL, &cmd->sets[cmd->set_pools]));
    cmd->set_pools++;
    return 0;
}

static int new_set(VkDescriptorSet *out, struct vk_cmd *cmd, const struct vk_pipe *pipe)
{
    VkDescriptorSetAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
                                        .descriptorSetCount = 1,
                                        .pSetLayouts = &pipe->set_layout};
    for (;; cmd->set_at++, cmd->sets_used = 0) {
        if (cmd->set_at == cmd->set_pools)
            FV_TRY(add_set_pool(cmd));
        if (cmd->sets_used++ >= pool_sets(cmd->set_at))
            continue;
        info.descriptorPool = cmd->sets[cmd->set_at];
        VkResult r = vkAllocateDescriptorSets(cmd->dev->handle, &info, out);
        if (r != VK_ERROR_OUT_OF_POOL_MEMORY && r != VK_ERROR_FRAGMENTED_POOL)
            return vk_check(cmd->dev, r, "vkAllocateDescriptorSets");
    }
}

/* What one dispatch binds. */
struct bindings {
    VkWriteDescriptorSet writes[VK_MAX_BINDINGS];
    VkDescriptorBufferInfo buffers[VK_MAX_BINDINGS];
    VkBufferView views[VK_MAX_BINDINGS];
    struct vk_access accesses[VK_MAX_BINDINGS + 1]; /* and the indirect arguments */
    uint32_t count, access_count;
};

/* The next of out's writes becomes this range as texels. */
static int bind_texels(struct bindings *out, const struct vk_cmd *cmd, const struct vk_bind *bind,
                       uint64_t range, bool stored)
{
    const struct vk_buf *b = bind->buf;
    const struct vk_caps *caps = &cmd->dev->caps;
    uint32_t texel = vk_format_bytes(bind->format);
    if (stored && b->kind != VK_BUF_TEXELS)
        return fv_fail(FV_EINVALID, "buffer \"%s\" was not made for texels to be written",
                       b->p->label);
    if (!texel)
        return fv_fail(FV_EINVALID, "VkFormat %d of buffer \"%s\" is not a texel format",
                       (int)bind->format, b->p->label);
    if (!bind->range) /* whole buffers are padded to whole texels */
        range = (range + texel - 1) / texel * texel;
    if (range % texel || bind->offset % caps->texel_align)
        return fv_fail(FV_EINVALID,
                       "texel range %llu+%llu of buffer \"%s\"; offsets must be multiples of %llu, "
                       "sizes of %u",
                       (unsigned long long)bind->offset, (unsigned long long)range, b->p->label,
                       (unsigned long long)caps->texel_align, texel);
    if (range / texel > caps->max_texel_elements)
        return fv_fail(
            FV_EINVALID, "%llu texels of buffer \"%s\"; %s allows %u (maxTexelBufferElements)",
            (unsigned long long)(range / texel), b->p->label, caps->name, caps->max_texel_elements);
    out->writes[out->count].pTexelBufferView = &out->views[out->count];
    return vk_buf_view(&out->views[out->count], b, bind->format, bind->offset, range);
}

/* The same as a storage or uniform buffer. */
static int bind_buffer(struct bindings *out, const struct vk_cmd *cmd, const struct vk_bind *bind,
                       uint64_t range, bool uniform)
{
    const struct vk_device *dev = cmd->dev;
    uint64_t align = uniform ? dev->p->uniform_align : dev->caps.storage_align;
    uint64_t most = uniform ? dev->p->max_uniform_range : dev->caps.max_storage_range;
    if (bind->offset % align)
        return fv_fail(FV_EINVALID, "offset %llu of buffer \"%s\" is not a multiple of %llu",
                       (unsigned long long)bind->offset, bind->buf->p->label,
                       (unsigned long long)align);
    if (range > most)
        return fv_fail(FV_EINVALID, "%llu bytes of buffer \"%s\"; %s allows %llu at a time",
                       (unsigned long long)range, bind->buf->p->label, dev->caps.name,
                       (unsigned long long)most);
    out->buffers[out->count] = (VkDescriptorBufferInfo){bind->buf->handle, bind->offset, range};
    out->writes[out->count].pBufferInfo = &out->buffers[out->count];
    return 0;
}

static int bind_one(struct bindings *out, struct vk_cmd *cmd, const struct vk_pipe *pipe,
                    uint32_t i, const struct vk_bind *bind)
{
    const struct vk_binding_info *info = &pipe->info.binding[i];
    VkAccessFlags2 flags =
        VK_ACCESS_2_SHADER_READ_BIT | (info->writes ? VK_ACCESS_2_SHADER_WRITE_BIT : 0);
    FV_TRY(check_buf(cmd, bind->buf, bind->offset, bind->range, 1));
    if (bind->offset == bind->buf->size)
        return fv_fail(FV_EINVALID, "buffer \"%s\" bound at its end", bind->buf->p->label);
    uint64_t range = bind->range ? bind->range : bind->buf->p->whole - bind->offset;
    out->writes[out->count] =
        (VkWriteDescriptorSet){.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                               .dstBinding = i,
                               .descriptorCount = 1,
                               .descriptorType = info->type};
    bool stored = info->type == VK_DESCRIPTOR_TYPE_STORAGE_TEXEL_BUFFER;
    if (stored || info->type == VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER)
        FV_TRY(bind_texels(out, cmd, bind, range, stored));
    else
        FV_TRY(bind_buffer(out, cmd, bind, range, info->type == VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER));
    out->accesses[out->access_count++] =
        access_of(bind->buf, bind->offset, range, VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT, flags,
                  info->writes);
    out->count++;
    return touch(cmd, bind->buf);
}

/* glslc's optimiser drops bindings and push constants that a variant does not use, so callers
 * may give more than the shader has left; never less. */
static bool check_interface(struct vk_cmd *cmd, const struct vk_pipe *pipe, uint32_t nbinds,
                            uint32_t push_bytes)
{
    uint32_t push = pipe->info.push_bytes;
    if (nbinds < pipe->info.binding_count || nbinds > VK_MAX_BINDINGS)
        vk_cmd_fail(cmd, fv_fail(FV_EINVALID, "shader \"%s\": %u bindings given, it has %u",
                                 pipe->name, nbinds, pipe->info.binding_count));
    /* a C struct may be padded at its end */
    else if (push && (push_bytes < push || push_bytes >= push + 16))
        vk_cmd_fail(cmd, fv_fail(FV_EINVALID,
                                 "shader \"%s\": %u bytes of push constants given, it has %u",
                                 pipe->name, push_bytes, push));
    return cmd->code == 0;
}

/* Everything of a dispatch but the dispatch. false: failed, nothing recorded. */
static bool prepare(struct vk_cmd *cmd, const struct vk_pipe *pipe, const struct vk_bind *binds,
                    uint32_t nbinds, const void *push, uint32_t push_bytes,
                    const struct vk_access *indirect)
{
    struct bindings b;
    VkDescriptorSet set;
    b.count = b.access_count = 0;
    if (!check_interface(cmd, pipe, nbinds, push_bytes))
        return false;
    for (uint32_t i = 0; i < pipe->info.binding_count; i++) {
        int rc = pipe->info.binding[i].used ? bind_one(&b, cmd, pipe, i, &binds[i]) : 0;
        if (rc < 0) {
            vk_cmd_fail(cmd, fv_wrap(rc, "shader \"%s\", binding %u: ", pipe->name, i));
            return false;
        }
    }
    if (indirect)
        b.accesses[b.access_count++] = *indirect;
    vk_cmd_fail(cmd, new_set(&set, cmd, pipe));
    if (cmd->code < 0)
        return false;
    for (uint32_t i = 0; i < b.count; i++)
        b.writes[i].dstSet = set;
    vkUpdateDescriptorSets(cmd->dev->handle, b.count, b.writes, 0, NULL);
    vk_cmd_access(cmd, b.accesses, b.access_count);
    if (cmd->bound != pipe)
        vkCmdBindPipeline(cmd->cb, VK_PIPELINE_BIND_POINT_COMPUTE, pipe->handle);
    cmd->bound = pipe;
    vkCmdBindDescriptorSets(cmd->cb, VK_PIPELINE_BIND_POINT_COMPUTE, pipe->layout, 0, 1, &set, 0,
                            NULL);
    if (pipe->info.push_bytes)
        vkCmdPushConstants(cmd->cb, pipe->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0,
                           pipe->info.push_bytes, push);
    return true;
}

/* --- commands --- */

void vk_cmd_dispatch(struct vk_cmd *cmd, const struct vk_pipe *pipe, const struct vk_bind *binds,
                     uint32_t nbinds, const void *push, uint32_t push_bytes, uint32_t gx,
                     uint32_t gy, uint32_t gz)
{
    if (pipe)
        hold_pipe(cmd, pipe);
    if (!vk_cmd_ready(cmd))
        return;
    const uint32_t *max = cmd->dev->caps.max_group_count;
    if (!pipe) {
        vk_cmd_fail(cmd, fv_fail(FV_EINVALID, "dispatch without a pipeline"));
        return;
    }
    if (gx > max[0] || gy > max[1] || gz > max[2]) {
        vk_cmd_fail(cmd,
                    fv_fail(FV_EINVALID,
                            "shader \"%s\": %u x %u x %u workgroups; %s allows %u x %u x %u",
                            pipe->name, gx, gy, gz, cmd->dev->caps.name, max[0], max[1], max[2]));
        return;
    }
    if (gx && gy && gz && prepare(cmd, pipe, binds, nbinds, push, push_bytes, NULL))
        vkCmdDispatch(cmd->cb, gx, gy, gz);
}

void vk_cmd_dispatch_indirect(struct vk_cmd *cmd, const struct vk_pipe *pipe,
                              const struct vk_bind *binds, uint32_t nbinds, const void *push,
                              uint32_t push_bytes, const struct vk_buf *args, uint64_t offset)
{
    if (pipe)
        hold_pipe(cmd, pipe);
    if (!vk_cmd_ready(cmd))
        return;
    if (!pipe) {
        vk_cmd_fail(cmd, fv_fail(FV_EINVALID, "dispatch without a pipeline"));
        return;
    }
    if (!usable(cmd, "indirect dispatch", args, offset, 12, 4))
        return;
    struct vk_access a = access_of(args, offset, 12, VK_PIPELINE_STAGE_2_DRAW_INDIRECT_BIT,
                                   VK_ACCESS_2_INDIRECT_COMMAND_READ_BIT, false);
    vk_cmd_fail(cmd, touch(cmd, args));
    if (cmd->code == 0 && prepare(cmd, pipe, binds, nbinds, push, push_bytes, &a))
        vkCmdDispatchIndirect(cmd->cb, args->handle, offset);
}

/* Marks the buffers of a transfer and places its barrier. */
static bool prepare_transfer(struct vk_cmd *cmd, const struct vk_buf *const *bufs,
                             const struct vk_access *a, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        vk_cmd_fail(cmd, touch(cmd, bufs[i]));
    if (cmd->code < 0)
        return false;
    vk_cmd_access(cmd, a, n);
    return true;
}

void vk_cmd_fill(struct vk_cmd *cmd, const struct vk_buf *b, uint64_t offset, uint64_t size,
                 uint32_t value)
{
    if (!vk_cmd_ready(cmd) || !usable(cmd, "fill", b, offset, size, 4) || !size)
        return;
    struct vk_access a = transfer(b, offset, size, true);
    if (prepare_transfer(cmd, &b, &a, 1))
        vkCmdFillBuffer(cmd->cb, b->handle, offset, size, value);
}

void vk_cmd_update(struct vk_cmd *cmd, const struct vk_buf *b, uint64_t offset, const void *data,
                   uint32_t size)
{
    if (!vk_cmd_ready(cmd) || !usable(cmd, "update", b, offset, size, 4) || !size)
        return;
    if (size > 65536) {
        vk_cmd_fail(
            cmd, fv_fail(FV_EINVALID, "update of %u bytes; at most 65536 (use vk_upload)", size));
        return;
    }
    struct vk_access a = transfer(b, offset, size, true);
    if (prepare_transfer(cmd, &b, &a, 1))
        vkCmdUpdateBuffer(cmd->cb, b->handle, offset, size, data);
}

void vk_cmd_copy(struct vk_cmd *cmd, const struct vk_buf *dst, uint64_t dst_offset,
                 const struct vk_buf *src, uint64_t src_offset, uint64_t size)
{
    if (!vk_cmd_ready(cmd) || !usable(cmd, "copy to", dst, dst_offset, size, 1) ||
        !usable(cmd, "copy from", src, src_offset, size, 1) || !size)
        return;
    if (dst->p == src->p && dst_offset < src_offset + size && src_offset < dst_offset + size) {
        vk_cmd_fail(
            cmd, fv_fail(FV_EINVALID, "copy within buffer \"%s\" overlaps itself", dst->p->label));
        return;
    }
    const struct vk_buf *bufs[] = {dst, src};
    struct vk_access a[2] = {transfer(dst, dst_offset, size, true),
                             transfer(src, src_offset, size, false)};
    VkBufferCopy region = {src_offset, dst_offset, size};
    if (prepare_transfer(cmd, bufs, a, 2))
        vkCmdCopyBuffer(cmd->cb, src->handle, dst->handle, 1, &region);
}

VkCommandBuffer vk_cmd_raw_begin(struct vk_cmd *cmd)
{
    if (!vk_cmd_ready(cmd))
        return VK_NULL_HANDLE;
    vk_cmd_full_barrier(cmd);
    cmd->raw = true;
    return cmd->cb;
}

void vk_cmd_raw_end(struct vk_cmd *cmd)
{
    if (!cmd->raw)
        return;
    cmd->raw = false;
    cmd->bound = NULL;
    vk_cmd_full_barrier(cmd);
    cmd->hazards.wrote = true;
}

void vk_cmd_uses(struct vk_cmd *cmd, const struct vk_buf *b)
{
    vk_cmd_fail(cmd, check_buf(cmd, b, 0, 0, 1));
    if (cmd->code == 0)
        vk_cmd_fail(cmd, touch(cmd, b));
}
