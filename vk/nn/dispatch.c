/* From tensors to bindings: texel views or storage ranges, the form of the shader, the groups. */
#include "vk/nn/private.h"

#include <stdio.h>
#include <string.h>

/* Elements of memory from a tensor's first to its last. */
static uint64_t reach(nn_tensor t)
{
    uint64_t n = 1;
    for (uint32_t i = 0; i < t.rank; i++)
        n += (uint64_t)(t.shape[i] - 1) * t.stride[i];
    return n;
}

uint32_t nn_bind_skip(nn_tensor t, uint64_t first)
{
    uint32_t size = nn_dtype_bytes(t.dtype);
    return size ? (uint32_t)((t.offset + first * size) % NN_ALIGN / size) : 0;
}

/* By access, then dtype. */
static const struct {
    VkFormat format;
    uint32_t bytes;
} texels[][NN_DTYPES] = {
    [NN_READ4] = {[NN_F32] = {VK_FORMAT_R32G32B32A32_SFLOAT, 16},
                  [NN_F16] = {VK_FORMAT_R16G16B16A16_SFLOAT, 8},
                  [NN_BF16] = {VK_FORMAT_R16G16B16A16_UINT, 8},
                  [NN_I32] = {VK_FORMAT_R32G32B32A32_UINT, 16}},
    [NN_READ1] = {[NN_F32] = {VK_FORMAT_R32_SFLOAT, 4},
                  [NN_F16] = {VK_FORMAT_R16_SFLOAT, 2},
                  [NN_BF16] = {VK_FORMAT_R16_UINT, 2},
                  [NN_I32] = {VK_FORMAT_R32_UINT, 4}},
    [NN_WORDS4] = {[NN_F32] = {VK_FORMAT_R32G32B32A32_UINT, 16},
                   [NN_F16] = {VK_FORMAT_R32G32_UINT, 8},
                   [NN_BF16] = {VK_FORMAT_R32G32_UINT, 8},
                   [NN_I32] = {VK_FORMAT_R32G32B32A32_UINT, 16}},
    [NN_WORDS1] = {[NN_F32] = {VK_FORMAT_R32_UINT, 4},
                   [NN_F16] = {VK_FORMAT_R16_UINT, 2},
                   [NN_BF16] = {VK_FORMAT_R16_UINT, 2},
                   [NN_I32] = {VK_FORMAT_R32_UINT, 4}},
    [NN_READ_UVEC4] = {[NN_F32] = {VK_FORMAT_R32G32B32A32_UINT, 16},
                       [NN_F16] = {VK_FORMAT_R32G32B32A32_UINT, 16},
                       [NN_BF16] = {VK_FORMAT_R32G32B32A32_UINT, 16},
                       [NN_I32] = {VK_FORMAT_R32G32B32A32_UINT, 16}},
};

static struct vk_bind bind_of(const struct nn_binding *b)
{
    uint32_t size = nn_dtype_bytes(b->t.dtype);
    uint64_t all = reach(b->t), count = b->count ? b->count : all - b->first;
    uint64_t begin = b->t.offset + b->first * size, end = begin + count * size;
    begin -= begin % NN_ALIGN;
    end = (end + 15) / 16 * 16;
    return (struct vk_bind){b->t.buf, begin, end - begin,
                            b->how == NN_STORAGE ? VK_FORMAT_UNDEFINED
                                                 : texels[b->how][b->t.dtype].format};
}

static bool texels_fit(const struct nn_rec *r, const struct nn_call *c, const struct vk_bind *binds)
{
    for (uint32_t i = 0; i < c->nbind; i++)
        if (c->bind[i].how != NN_STORAGE && !nn_is_null(c->bind[i].t) &&
            binds[i].range / texels[c->bind[i].how][c->bind[i].t.dtype].bytes >
                r->dev->caps.max_texel_elements)
            return false;
    return true;
}

static const struct vk_pipe *pipe_of(struct nn_rec *r, const struct nn_call *c, bool tex)
{
    char name[96];
    const struct vk_pipe *pipe = NULL;
    snprintf(name, sizeof name, "%s%s%s%s", c->shader, c->variant ? "." : "",
             c->variant ? c->variant : "",
             c->plain ? ""
             : tex    ? ".tex"
                      : ".ssbo");
    nn_fail_code(r, vk_pipe_get(&pipe, r->dev, name, c->spec, c->nspec, c->subgroup));
    return pipe;
}

void nn_dispatch(struct nn_rec *r, const struct nn_call *c)
{
    struct vk_bind binds[NN_MAX_BINDS];
    char text[NN_TEXT];
    if (!nn_ready(r))
        return;
    if (!r->packing) { /* which is no part of the recording: a dry one does not even record it */
        r->cost.dispatches++;
        r->cost.flops += c->flops;
        r->cost.bytes += c->bytes;
    }
    if (r->opts.dry)
        return;
    struct vk_bind any = {0}; /* for operands that this call has not: never read */
    for (uint32_t i = 0; i < c->nbind; i++) {
        bool present = !nn_is_null(c->bind[i].t);
        binds[i] = present ? bind_of(&c->bind[i]) : (struct vk_bind){0};
        if (present && !any.buf)
            any = (struct vk_bind){binds[i].buf, binds[i].offset, 16, 0};
    }
    bool tex = !c->ssbo && !r->opts.ssbo && texels_fit(r, c, binds);
    for (uint32_t i = 0; i < c->nbind; i++) {
        const struct nn_binding *b = &c->bind[i];
        if (nn_is_null(b->t)) {
            binds[i] = any;
            binds[i].format =
                b->how == NN_STORAGE ? VK_FORMAT_UNDEFINED : texels[b->how][NN_F32].format;
        } else if ((!tex || b->how == NN_STORAGE) && binds[i].range > nn_storage_max(r)) {
            nn_fail(r, FV_EUNSUPPORTED, "%s in binding %u takes %.1f MiB; %s binds %.1f at a time",
                    nn_text(text, b->t), i, (double)binds[i].range / 1048576, r->dev->caps.name,
                    (double)nn_storage_max(r) / 1048576);
            return;
        }
    }
    const struct vk_pipe *pipe = pipe_of(r, c, tex);
    if (!pipe)
        return;
    uint64_t x = c->groups, y = c->groups_y ? c->groups_y : 1, z = c->groups_z ? c->groups_z : 1;
    uint64_t most = r->dev->caps.max_group_count[0];
    if (!c->groups_y && x > most) {
        y = (x + most - 1) / most;
        x = (x + y - 1) / y;
    }
    if (x > UINT32_MAX) {
        nn_fail(r, FV_EUNSUPPORTED, "too many workgroups");
        return;
    }
    struct vk_cmd *cmd = r->packing ? r->prep : r->cmd;
    vk_cmd_dispatch(cmd, pipe, binds, c->nbind, c->push, c->push_size, (uint32_t)x, (uint32_t)y,
                    (uint32_t)z);
    nn_fail_code(r, vk_cmd_status(cmd));
}

void nn_fill_words(struct nn_rec *r, nn_tensor t, uint32_t value)
{
    if (!nn_ready(r) || nn_is_null(t))
        return;
    uint64_t bytes = (nn_bytes(t) + 3) / 4 * 4;
    r->cost.bytes += (double)bytes;
    if (r->opts.dry)
        return;
    struct vk_cmd *cmd = r->packing ? r->prep : r->cmd;
    vk_cmd_fill(cmd, t.buf, t.offset, bytes, value);
    nn_fail_code(r, vk_cmd_status(cmd));
}

nn_tensor nn_constant(struct nn_rec *r, enum nn_dtype dtype, uint32_t rank, const uint32_t *shape,
                      const void *data)
{
    const uint8_t *from = data;
    uint8_t tail[4] = {0};
    nn_tensor t = nn_new(r, dtype, rank, shape);
    if (nn_is_null(t) || r->opts.dry)
        return t;
    struct vk_cmd *cmd = r->packing ? r->prep : r->cmd;
    uint64_t bytes = nn_bytes(t), whole = bytes / 4 * 4;
    for (uint64_t at = 0; at < whole; at += 65536)
        vk_cmd_update(cmd, t.buf, t.offset + at, from + at,
                      (uint32_t)(whole - at < 65536 ? whole - at : 65536));
    memcpy(tail, from + whole, bytes - whole);
    if (bytes != whole)
        vk_cmd_update(cmd, t.buf, t.offset + whole, tail, 4);
    nn_fail_code(r, vk_cmd_status(cmd));
    return t;
}
