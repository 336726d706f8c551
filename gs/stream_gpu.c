/* Frames of a stream by kernels (stream_gpu.h). The state's integers are kept in two buffers, geometry and
 * colours, of rows of vec4. For a frame that follows the one they are of, members of clusters are moved
 * there; what changed otherwise, or by more than a frame, comes as new rows. Then all that changed since
 * the scene was written last is packed into it. Inputs go up in one buffer that the kernels read where
 * it is; two take turns. */
#include "gs/stream_gpu.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGN = 256, INPUTS = 2 };

struct gs_stream_gpu {
    struct vk_device *dev;
    struct vk_cmd *cmd;
    struct vk_buf state[GS_PARTS], input[INPUTS];
    uint32_t quads[GS_PARTS];
    unsigned turn;
    uint64_t group; /* whose state it is, and when; 0: none */
    uint32_t time;
};

int gs_stream_gpu_create(struct gs_stream_gpu **out, struct vk_device *dev)
{
    struct gs_stream_gpu *d = *out = calloc(1, sizeof *d);
    if (!d)
        return fv_fail(FV_ENOMEM, "out of memory");
    d->dev = dev;
    int rc = vk_cmd_create(&d->cmd, dev);
    if (rc < 0)
        gs_stream_gpu_destroy(out);
    return rc;
}

void gs_stream_gpu_destroy(struct gs_stream_gpu **p)
{
    struct gs_stream_gpu *d = *p;
    if (!d)
        return;
    vk_cmd_destroy(&d->cmd);
    for (int k = 0; k < GS_PARTS; k++)
        vk_buf_destroy(&d->state[k]);
    for (int k = 0; k < INPUTS; k++)
        vk_buf_destroy(&d->input[k]);
    free(d);
    *p = NULL;
}

/* ---- rows ---- */

/* A Gaussian as the kernels keep it. */
static void geometry_row(int32_t out[], const struct gs_stream_state *s, size_t i)
{
    memcpy(out, s->v[GS_POSITION] + 3 * i, 3 * sizeof *out);
    out[3] = s->v[GS_OPACITY][i];
    memcpy(out + 4, s->v[GS_ROTATION] + 4 * i, 4 * sizeof *out);
    memcpy(out + 8, s->v[GS_SCALE] + 3 * i, 3 * sizeof *out);
    out[11] = 0;
}

static void colour_row(int32_t out[], const struct gs_stream_state *s, size_t i, uint32_t quads)
{
    size_t at = 0;
    for (int a = GS_COLOUR; a < (int)gs_attr_end(s->sh_degree); a++) {
        size_t comps = (size_t)gs_attr_comps((enum gs_attr)a);
        memcpy(out + at, s->v[a] + comps * i, comps * sizeof *out);
        at += comps;
    }
    memset(out + at, 0, (4 * quads - at) * sizeof *out);
}

static void row_of(int32_t out[], enum gs_part part, const struct gs_stream_state *s, size_t i,
                   uint32_t quads)
{
    if (part == GS_GEOMETRY)
        geometry_row(out, s, i);
    else
        colour_row(out, s, i, quads);
}

/* ---- input ---- */

struct list {
    uint64_t row, value; /* offsets in the input */
    uint32_t count;
};

/* What a frame brings. */
struct input {
    uint64_t size, motion, member;
    struct list put[GS_PARTS], pack[GS_PARTS];
    uint32_t members;
};

static uint64_t take(struct input *in, uint64_t bytes)
{
    uint64_t at = in->size;
    in->size += (bytes + ALIGN - 1) / ALIGN * ALIGN;
    return at;
}

/* Whether a Gaussian's new row is to be sent: `follows`, the kernels move it themselves. */
static bool is_put(const struct gs_stream_gpu *d, const struct gs_stream_group *g, enum gs_part part,
                   size_t i, bool follows)
{
    const uint32_t *when = follows && part == GS_GEOMETRY ? g->altered : g->touched[part];
    return when[i] > d->time;
}

static void measure(struct input *in, const struct gs_stream_gpu *d, const struct gs_stream_group *g,
                    uint32_t since, bool follows)
{
    *in = (struct input){.members = follows ? g->members : 0};
    for (int k = 0; k < GS_PARTS; k++)
        for (size_t i = 0; i < g->state.count; i++) {
            in->put[k].count += is_put(d, g, (enum gs_part)k, i, follows);
            in->pack[k].count += g->touched[k][i] > since;
        }
    in->motion = take(in, sizeof(int32_t) * GS_STREAM_RIGID * GS_STREAM_MAX_CLUSTERS);
    in->member = take(in, 4ull * in->members);
    for (int k = 0; k < GS_PARTS; k++) {
        in->put[k].row = take(in, 4ull * in->put[k].count);
        in->put[k].value = take(in, 16ull * d->quads[k] * in->put[k].count);
        in->pack[k].row = take(in, 4ull * in->pack[k].count);
    }
}

static void write_motion(int32_t *out, const struct gs_stream_group *g)
{
    for (uint32_t j = 0; j < g->clusters; j++, out += GS_STREAM_RIGID) {
        memcpy(out, g->matrix[j].less_one, 9 * sizeof *out);
        memcpy(out + 9, g->matrix[j].turn, 4 * sizeof *out);
        memcpy(out + 13, g->moved[j].centre, 3 * sizeof *out);
        memcpy(out + 16, g->moved[j].move, 3 * sizeof *out);
    }
}

static void write_input(uint8_t *to, const struct input *in, const struct gs_stream_gpu *d,
                        const struct gs_stream_group *g, uint32_t since, bool follows)
{
    uint32_t *member = (uint32_t *)(to + in->member);
    if (in->members)
        write_motion((int32_t *)(to + in->motion), g);
    for (uint32_t k = 0; k < in->members; k++)
        member[k] = g->member[k] | (g->label[g->member[k]] - 1u) << GS_STREAM_INDEX_BITS;
    for (int k = 0; k < GS_PARTS; k++) {
        uint32_t *put = (uint32_t *)(to + in->put[k].row), *pack = (uint32_t *)(to + in->pack[k].row);
        int32_t *value = (int32_t *)(to + in->put[k].value);
        for (uint32_t i = 0; i < g->state.count; i++) {
            if (is_put(d, g, (enum gs_part)k, i, follows)) {
                *put++ = i;
                row_of(value, (enum gs_part)k, &g->state, i, d->quads[k]);
                value += 4 * d->quads[k];
            }
            if (g->touched[k][i] > since)
                *pack++ = i;
        }
    }
}

/* ---- recording ---- */

static void dispatch(const struct gs_stream_gpu *d, const char *name, const uint32_t *spec,
                     uint32_t nspec, const struct vk_bind *bind, const void *push,
                     uint32_t push_size, uint64_t invocations)
{
    const struct vk_pipe *pipe;
    uint64_t groups = (invocations + GS_STREAM_GROUP - 1) / GS_STREAM_GROUP;
    uint32_t y = (uint32_t)((groups + 65534) / 65535);
    if (!y)
        return;
    int rc = vk_pipe_get(&pipe, d->dev, name, spec, nspec, 0);
    if (rc < 0)
        vk_cmd_fail(d->cmd, rc);
    else
        vk_cmd_dispatch(d->cmd, pipe, bind, 3, push, push_size, (uint32_t)((groups + y - 1) / y), y, 1);
}

static struct vk_bind part_of(const struct vk_buf *b, uint64_t offset, uint64_t size)
{
    return (struct vk_bind){b, offset, size, VK_FORMAT_UNDEFINED};
}

static struct vk_bind whole(const struct vk_buf *b)
{
    return part_of(b, 0, b->size);
}

static void record_state(const struct gs_stream_gpu *d, const struct vk_buf *input,
                         const struct input *in)
{
    if (in->members) {
        struct gs_stream_list_push push = {in->members};
        struct vk_bind bind[] = {
            part_of(input, in->motion, sizeof(int32_t) * GS_STREAM_RIGID * GS_STREAM_MAX_CLUSTERS),
            part_of(input, in->member, 4ull * in->members), whole(&d->state[GS_GEOMETRY])};
        dispatch(d, "gs/stream_move", NULL, 0, bind, &push, sizeof push, in->members);
    }
    for (int k = 0; k < GS_PARTS; k++) {
        const struct list *l = &in->put[k];
        if (!l->count)
            continue;
        struct gs_stream_list_push push = {l->count};
        struct vk_bind bind[] = {part_of(input, l->row, 4ull * l->count),
                                 part_of(input, l->value, 16ull * d->quads[k] * l->count),
                                 whole(&d->state[k])};
        dispatch(d, "gs/stream_put", &d->quads[k], 1, bind, &push, sizeof push,
                 (uint64_t)d->quads[k] * l->count);
    }
}

/* One part of a chunk's Gaussians; `list`: those of them at list[from, from + count). */
static void record_pack(const struct gs_stream_gpu *d, const struct gs_stream_packing *p,
                        const struct gs_gpu_scene *to, enum gs_part part, const struct vk_bind *list,
                        struct gs_stream_pack_push *push, const struct gs_chunk *chunk)
{
    memcpy(push->origin, p->origin, sizeof push->origin);
    push->position = p->unit[GS_POSITION];
    push->scale = p->unit[GS_SCALE];
    push->opacity = p->unit[GS_OPACITY];
    memcpy(push->colour, p->unit + GS_COLOUR, sizeof push->colour);
    uint32_t spec[] = {d->quads[part], to->sh_stride, (to->sh_degree + 1) * (to->sh_degree + 1)};
    struct vk_bind bind[] = {*list, whole(&d->state[part]),
                             whole(part == GS_GEOMETRY ? &chunk->geo : &chunk->sh)};
    if (push->count)
        dispatch(d, part == GS_GEOMETRY ? "gs/stream_pack.geometry" : "gs/stream_pack.colours", spec,
                 3, bind, push, sizeof *push, push->count);
}

static void record_packs(const struct gs_stream_gpu *d, const struct gs_stream_packing *p,
                         const struct gs_gpu_scene *to, const struct vk_buf *input,
                         const uint8_t *bytes, const struct input *in)
{
    for (int k = 0; k < GS_PARTS; k++) {
        const struct list *l = &in->pack[k];
        const uint32_t *row = (const uint32_t *)(bytes + l->row);
        struct vk_bind list = part_of(input, l->row, 4ull * l->count);
        uint32_t from = 0, first = 0;
        for (uint32_t c = 0; c < to->chunk_count && from < l->count; c++) {
            uint32_t end = from;
            while (end < l->count && row[end] - first < to->chunks[c].count)
                end++;
            struct gs_stream_pack_push push = {.first = from, .count = end - from, .chunk = first};
            record_pack(d, p, to, (enum gs_part)k, &list, &push, &to->chunks[c]);
            from = end;
            first += to->chunks[c].count;
        }
    }
}

/* ---- frames ---- */

static int reserve(struct vk_buf *b, struct vk_device *dev, uint64_t size, enum vk_buf_kind kind,
                   const char *label)
{
    if (b->size >= size)
        return 0;
    vk_buf_destroy(b);
    return vk_buf_create(b, dev, size + size / 8 < vk_buf_max(dev) ? size + size / 8 : size, kind, label);
}

/* Room for a state; what was in it is lost where it has to grow. */
static int reserve_state(struct gs_stream_gpu *d, const struct gs_stream_state *s)
{
    static const char *const labels[] = {"integers of geometry", "integers of colours"};
    uint32_t quads[] = {GS_STREAM_QUADS, (3 * (uint32_t)gs_sh_coefs(s->sh_degree) + 3) / 4};
    for (int k = 0; k < GS_PARTS; k++) {
        uint64_t size = 16ull * quads[k] * s->count;
        if (d->quads[k] != quads[k] || d->state[k].size < size)
            d->group = 0;
        d->quads[k] = quads[k];
        if (size > vk_buf_max(d->dev))
            return fv_fail(FV_EUNSUPPORTED, "%u Gaussians of a stream take more than this device binds",
                           s->count);
        FV_TRY(reserve(&d->state[k], d->dev, size, VK_BUF_DEVICE, labels[k]));
    }
    return 0;
}

int gs_stream_gpu_pack(struct gs_stream_gpu *d, struct gs_gpu_scene *to,
                       const struct gs_stream_packing *p, const struct gs_stream_group *g,
                       uint32_t since)
{
    struct vk_buf *buf = &d->input[d->turn++ % INPUTS];
    struct input in;
    uint64_t ticket;
    FV_TRY(reserve_state(d, &g->state));
    if (d->group != g->id)
        d->time = 0; /* all rows come anew */
    bool follows = d->group == g->id && g->now == d->time + 1 && g->now == g->moved_at;
    measure(&in, d, g, since, follows);
    if (in.size > vk_buf_max(d->dev))
        return fv_fail(FV_EUNSUPPORTED, "a frame of %llu bytes is more than this device binds",
                       (unsigned long long)in.size);
    d->group = 0; /* until it is done */
    FV_TRY(vk_buf_settle(buf));
    FV_TRY(reserve(buf, d->dev, in.size, VK_BUF_UPLOAD, "a stream's frame"));
    write_input(buf->map, &in, d, g, since, follows);
    FV_TRY(vk_buf_flush(buf, 0, buf->size));
    vk_cmd_begin(d->cmd);
    vk_cmd_scope(d->cmd, "stream");
    record_state(d, buf, &in);
    record_packs(d, p, to, buf, buf->map, &in);
    FV_TRY(vk_cmd_submit(d->cmd, &ticket));
    d->group = g->id;
    d->time = g->now;
    return 0;
}
