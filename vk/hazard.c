/* Barriers from accesses (cmd.h): per range of a buffer, one global memory barrier when a
 * command reads what was written, writes what was written or writes what was read since the
 * last barrier. A barrier that is needed covers everything before it, so the list starts anew.
 *
 * Global rather than per-buffer barriers: drivers act on the stages and caches, not on the
 * ranges, and one barrier for all is what they take most cheaply. */
#include "vk/cmd_private.h"

static const VkPipelineStageFlags2 all_stages = VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT |
                                                VK_PIPELINE_STAGE_2_ALL_TRANSFER_BIT |
                                                VK_PIPELINE_STAGE_2_DRAW_INDIRECT_BIT;
static const VkAccessFlags2 all_accesses =
    VK_ACCESS_2_SHADER_READ_BIT | VK_ACCESS_2_SHADER_WRITE_BIT | VK_ACCESS_2_TRANSFER_READ_BIT |
    VK_ACCESS_2_TRANSFER_WRITE_BIT | VK_ACCESS_2_INDIRECT_COMMAND_READ_BIT;

static void barrier(struct vk_cmd *cmd, const VkMemoryBarrier2 *b)
{
    VkDependencyInfo info = {
        .sType = VK_STRUCTURE_TYPE_DEPENDENCY_INFO, .memoryBarrierCount = 1, .pMemoryBarriers = b};
    vkCmdPipelineBarrier2(cmd->cb, &info);
}

static bool conflicts(const struct vk_hazards *h, const struct vk_access *a)
{
    for (uint32_t i = 0; i < h->count; i++) {
        const struct vk_access *b = &h->list[i];
        if (a->buf == b->buf && (a->write || b->write) && a->begin < b->end && b->begin < a->end)
            return true;
    }
    return false;
}

static bool listed(const struct vk_hazards *h, const struct vk_access *a)
{
    for (uint32_t i = 0; i < h->count; i++) {
        const struct vk_access *b = &h->list[i];
        if (a->buf == b->buf && a->begin >= b->begin && a->end <= b->end && a->write == b->write &&
            a->stage == b->stage && a->flags == b->flags)
            return true;
    }
    return false;
}

static void flush(struct vk_cmd *cmd)
{
    struct vk_hazards *h = &cmd->hazards;
    VkMemoryBarrier2 b = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER_2,
                          .dstStageMask = all_stages,
                          .dstAccessMask = all_accesses};
    for (uint32_t i = 0; i < h->count; i++) {
        b.srcStageMask |= h->list[i].stage;
        if (h->list[i].write)
            b.srcAccessMask |= h->list[i].flags;
    }
    barrier(cmd, &b);
    h->count = 0;
}

void vk_cmd_access(struct vk_cmd *cmd, const struct vk_access *list, uint32_t n)
{
    struct vk_hazards *h = &cmd->hazards;
    bool needed = h->count + n > VK_MAX_ACCESSES;
    for (uint32_t i = 0; i < n && !needed; i++)
        needed = conflicts(h, &list[i]);
    if (needed)
        flush(cmd);
    for (uint32_t i = 0; i < n; i++) {
        h->wrote |= list[i].write;
        if (!listed(h, &list[i]))
            h->list[h->count++] = list[i];
    }
}

void vk_cmd_full_barrier(struct vk_cmd *cmd)
{
    barrier(cmd, &(VkMemoryBarrier2){.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER_2,
                                     .srcStageMask = VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT,
                                     .srcAccessMask = VK_ACCESS_2_MEMORY_WRITE_BIT,
                                     .dstStageMask = VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT,
                                     .dstAccessMask = VK_ACCESS_2_MEMORY_READ_BIT |
                                                      VK_ACCESS_2_MEMORY_WRITE_BIT});
    cmd->hazards.count = 0;
}

void vk_cmd_host_barrier(struct vk_cmd *cmd)
{
    if (cmd->hazards.wrote)
        barrier(cmd, &(VkMemoryBarrier2){.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER_2,
                                         .srcStageMask = all_stages,
                                         .srcAccessMask = VK_ACCESS_2_SHADER_WRITE_BIT |
                                                          VK_ACCESS_2_TRANSFER_WRITE_BIT,
                                         .dstStageMask = VK_PIPELINE_STAGE_2_HOST_BIT,
                                         .dstAccessMask = VK_ACCESS_2_HOST_READ_BIT});
    cmd->hazards.wrote = false;
}
