/* Named passes (cmd.h): timestamps at their edges, and in split mode a submission each.
 *
 * Timestamps are written with ALL_COMMANDS, so a pass is timed from the end of the one before to
 * its own end. On lavapipe and SwiftShader they are CPU clocks read by the thread that replays
 * the command buffer: right for dispatches, which those drivers finish one by one, but they say
 * nothing of how many cores were busy. Split mode measures that: the process's CPU time. */
#include "vk/base/thread.h"
#include "vk/cmd_private.h"
#include "vk/base/array.h"

#include <stdlib.h>
#include <string.h>

enum { QUERIES = 128 }; /* timestamps in a pool */

static const uint32_t no_query = UINT32_MAX;

static int grow_pools(struct vk_cmd *cmd)
{
    struct vk_scopes *s = &cmd->scopes;
    VkQueryPoolCreateInfo info = {.sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
                                  .queryType = VK_QUERY_TYPE_TIMESTAMP,
                                  .queryCount = QUERIES};
    VkQueryPool *pools = realloc(s->pools, (s->pool_count + 1) * sizeof *pools);
    if (!pools)
        return fv_fail(FV_ENOMEM, "out of memory");
    s->pools = pools;
    pools[s->pool_count] = VK_NULL_HANDLE;
    VK_TRY(cmd->dev, vkCreateQueryPool(cmd->dev->handle, &info, NULL, &pools[s->pool_count]));
    s->pool_count++;
    return 0;
}

static uint32_t timestamp(struct vk_cmd *cmd)
{
    struct vk_scopes *s = &cmd->scopes;
    uint32_t pool = s->queries / QUERIES, at = s->queries % QUERIES;
    if (!cmd->dev->caps.timestamps)
        return no_query;
    if (pool >= s->pool_count) {
        int rc = grow_pools(cmd);
        vk_cmd_fail(cmd, rc);
        if (rc < 0)
            return no_query;
    }
    if (!at)
        vkCmdResetQueryPool(cmd->cb, s->pools[pool], 0, QUERIES);
    vkCmdWriteTimestamp2(cmd->cb, VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT, s->pools[pool], at);
    return s->queries++;
}

void vk_scopes_reset(struct vk_cmd *cmd)
{
    cmd->scopes.count = 0;
    cmd->scopes.queries = 0;
    cmd->scopes.open = false;
}

void vk_scopes_finish(struct vk_cmd *cmd)
{
    struct vk_scopes *s = &cmd->scopes;
    for (uint32_t i = 0; i < s->pool_count; i++)
        vkDestroyQueryPool(cmd->dev->handle, s->pools[i], NULL);
    free(s->pools);
    free(s->list);
    memset(s, 0, sizeof *s);
}

void vk_scopes_end(struct vk_cmd *cmd)
{
    struct vk_scopes *s = &cmd->scopes;
    if (s->open && s->count)
        s->list[s->count - 1].end = timestamp(cmd);
    s->open = false;
}

int vk_scopes_run(struct vk_cmd *cmd, const struct vk_submit_sync *sync)
{
    struct vk_scopes *s = &cmd->scopes;
    bool timed = s->open;
    vk_scopes_end(cmd);
    double wall = fv_now(), cpu = fv_cpu_time();
    FV_TRY(vk_cmd_close(cmd, sync));
    FV_TRY(vk_wait(cmd->dev, cmd->ticket));
    if (timed) {
        s->list[s->count - 1].wall_ms = 1e3 * (fv_now() - wall);
        s->list[s->count - 1].cpu_ms = 1e3 * (fv_cpu_time() - cpu);
    }
    return 0;
}

void vk_cmd_split(struct vk_cmd *cmd, bool on)
{
    cmd->scopes.split = on;
}

void vk_cmd_scope(struct vk_cmd *cmd, const char *name)
{
    struct vk_scopes *s = &cmd->scopes;
    if (!vk_cmd_ready(cmd))
        return;
    int grown = fv_grow(&s->list, &s->room, s->count, sizeof *s->list);
    if (grown < 0) {
        vk_cmd_fail(cmd, grown);
        return;
    }
    if (s->split) {
        int rc = vk_scopes_run(cmd, NULL);
        if (!rc)
            rc = vk_cmd_open(cmd);
        vk_cmd_fail(cmd, rc);
        if (rc < 0)
            return;
    }
    /* without split one timestamp is the end of a pass and the begin of the next */
    uint32_t begin = timestamp(cmd);
    if (s->open)
        s->list[s->count - 1].end = begin;
    s->list[s->count++] = (struct vk_scope){.name = name, .begin = begin, .end = no_query};
    s->open = true;
}

/* Milliseconds between two timestamps; 0 when either is not there. */
static double elapsed(struct vk_cmd *cmd, const struct vk_scope *scope)
{
    const uint32_t index[2] = {scope->begin, scope->end};
    uint64_t ticks[2];
    for (int i = 0; i < 2; i++)
        if (index[i] == no_query ||
            vkGetQueryPoolResults(cmd->dev->handle, cmd->scopes.pools[index[i] / QUERIES],
                                  index[i] % QUERIES, 1, 8, &ticks[i], 8,
                                  VK_QUERY_RESULT_64_BIT) != VK_SUCCESS)
            return 0;
    uint64_t diff = (ticks[1] - ticks[0]) & cmd->dev->p->timestamp_mask;
    return 1e-6 * cmd->dev->caps.timestamp_ns * (double)diff;
}

size_t vk_cmd_times(struct vk_cmd *cmd, struct vk_pass_time *out, size_t room)
{
    struct vk_scopes *s = &cmd->scopes;
    size_t n = 0;
    if (cmd->code < 0 || cmd->recording || !vk_done(cmd->dev, cmd->ticket) || vk_alive(cmd->dev))
        return 0;
    for (size_t i = 0; i < s->count; i++) {
        size_t k = 0;
        while (k < n && strcmp(out[k].name, s->list[i].name))
            k++;
        if (k == n) {
            if (n == room)
                continue;
            out[n++] = (struct vk_pass_time){.name = s->list[i].name};
        }
        out[k].gpu_ms += elapsed(cmd, &s->list[i]);
        out[k].wall_ms += s->list[i].wall_ms;
        out[k].cpu_ms += s->list[i].cpu_ms;
    }
    return n;
}
