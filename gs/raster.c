/* One view drawn by compute passes (3DGS, sec. 6), in the order they run:
 *
 *   project      every Gaussian -> record, depth key; the visible of a block stored densely
 *   scan         first dense index of each block
 *   compact      (key, slot) pairs in scene order
 *   sort         stable radix sort by depth
 *   then, by design:  lanes (CPU drivers; raster_lanes.c) or wide (GPUs; raster_wide.c):
 *   bin          which tiles each Gaussian's 1/255 ellipse touches -> lists in depth order
 *   blend        front to back
 *
 * A scene of more Gaussians than a record buffer holds is drawn in depth slices, front to
 * back: a histogram of depth cuts it, and pixels keep their state between slices. */
#include "gs/camera.h"
#include "gs/gpu.h"
#include "gs/scene.h"
#include "shaders/gs/exp_fit.h"
#include "vk/base/half.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static int reserve(struct gs_renderer *r, struct vk_buf *buf, uint64_t size, uint64_t most,
                   enum vk_buf_kind kind, const char *label)
{
    if (buf->size >= size)
        return 0;
    if (size > most)
        return fv_fail(FV_EGPUMEM, "%s needs %llu bytes, the device binds at most %llu", label,
                       (unsigned long long)size, (unsigned long long)most);
    r->projection = 0;
    uint64_t room = size + size / 8; /* a little growth is free next time */
    if (room > most)
        room = size;
    if (r->dry) {
        buf->size = room;
        return 0;
    }
    FV_TRY(vk_wait(r->dev, r->last_ticket));
    vk_buf_destroy(buf);
    return vk_buf_create(buf, r->dev, room, kind, label);
}

int gs_reserve(struct gs_renderer *r, struct vk_buf *buf, uint64_t size, const char *label)
{
    return reserve(r, buf, size, vk_buf_max(r->dev), VK_BUF_DEVICE, label);
}

uint64_t gs_words_max(const struct gs_renderer *r)
{
    uint64_t most = vk_buf_max(r->dev), texels = 4ull * r->dev->caps.max_texel_elements;
    return r->tex && texels < most ? texels : most;
}

uint64_t gs_texel_range(const struct gs_renderer *r, const struct vk_buf *b, uint64_t size, uint64_t texel)
{
    uint64_t range = 64 * texel, whole = b->size / texel * texel;
    while (range < size)
        range *= 2;
    range = range < whole ? range : whole;
    return range / texel <= r->dev->caps.max_texel_elements ? range : size;
}

int gs_reserve_words(struct gs_renderer *r, struct vk_buf *buf, uint64_t size, const char *label)
{
    return reserve(r, buf, size, gs_words_max(r), r->tex ? VK_BUF_TEXELS : VK_BUF_DEVICE, label);
}

void gs_dispatch(const struct gs_pass *p, uint32_t groups)
{
    char name[96];
    const struct vk_pipe *pipe;
    snprintf(name, sizeof name, "gs/%s%s%s%s", p->name, p->variant ? "." : "",
             p->variant ? p->variant : "",
             p->plain    ? ""
             : p->r->tex ? ".tex"
                         : ".ssbo");
    int rc = vk_pipe_get(&pipe, p->r->dev, name, p->spec, p->nspec, p->subgroup);
    if (rc < 0) {
        vk_cmd_fail(p->cmd, rc);
        return;
    }
    uint32_t y = (groups + 65534) / 65535, x = y ? (groups + y - 1) / y : 0;
    vk_cmd_dispatch(p->cmd, pipe, p->bind, p->nbind, p->push, p->push_size, x, y, 1);
}

void gs_record_scan(struct gs_renderer *r, struct vk_cmd *cmd, const struct vk_buf *value,
                    const struct vk_buf *prefix, uint32_t count, uint32_t total_at, uint32_t most,
                    bool wide)
{
    struct gs_scan_push push = {count, total_at, most, GS_FLAG_SLICE};
    uint32_t lanes = r->lanes;
    if (wide) {
        gs_wide_scan(r, cmd, value, prefix, &push);
        return;
    }
    gs_dispatch(
        &(struct gs_pass){
            .r = r,
            .cmd = cmd,
            .name = "scan",
            .spec = {lanes},
            .nspec = 1,
            .subgroup = lanes,
            .bind = {{value, .range = gs_texel_range(r, value, 4ull * count, 4), .format = GS_U1}, {prefix}, {&r->ctl}},
            .nbind = 3,
            .push = &push,
            .push_size = sizeof push},
        1);
}

void gs_record_depth_sort(struct gs_renderer *r, struct vk_cmd *cmd, const struct gs_plan *plan,
                          bool exact, bool wide)
{
    if (wide)
        gs_wide_sort(r, cmd, plan, exact);
    else
        gs_lanes_sort(r, cmd, exact);
}

void gs_view_init(struct gs_view *v, const struct gs_gpu_scene *s, const struct gs_camera *c,
                  const struct gs_render_opts *o, uint32_t y0, uint32_t rows)
{
    struct gs_params *p = &v->params;
    uint32_t factor = o->supersample ? o->supersample : 1;
    double eye[3], z = 0;
    *v = (struct gs_view){.width = c->width * factor, .height = rows * factor};
    enum gs_mode mode = o->mode != GS_MODE_AUTO ? o->mode : s->mode;
    v->antialiased = mode == GS_MODE_ANTIALIASED;
    v->exact = o->exact;
    v->camera = *c;
    v->bands_sh = s->sh_degree + 1;
    if (o->sh_bands > 0 && (uint32_t)o->sh_bands < v->bands_sh)
        v->bands_sh = (uint32_t)o->sh_bands;

    for (int j = 0; j < 4; j++) {
        p->view0[j] = (float)c->view[j];
        p->view1[j] = (float)c->view[4 + j];
        p->view2[j] = (float)c->view[8 + j];
    }
    gs_camera_centre(c, eye);
    for (int j = 0; j < 3; j++) {
        p->eye[j] = (float)eye[j];
        z += c->view[8 + j] * (double)s->centre[j];
    }
    z += c->view[11];
    double near = gs_near_plane(c, s->radius);
    p->eye[3] = (float)near;
    p->focal[0] = (float)(c->fx * factor);
    p->focal[1] = (float)(c->fy * factor);
    p->focal[2] = (float)(c->cx * factor - 0.5);
    p->focal[3] = (float)((c->cy - y0) * factor - 0.5);
    double wide = o->part_of ? o->part_of : c->width, middle = c->cx + o->part_x;
    p->limit[0] = (float)(-(middle / c->fx + 0.15 * wide / c->fx));
    p->limit[1] = (float)((wide - middle) / c->fx + 0.15 * wide / c->fx);
    p->limit[2] = (float)(-(c->cy / c->fy + 0.15 * c->height / c->fy));
    p->limit[3] = (float)((c->height - c->cy) / c->fy + 0.15 * c->height / c->fy);
    for (int j = 0; j < 3; j++) {
        p->crop_min[j] = o->has_crop ? o->crop_min[j] : -FLT_MAX;
        p->crop_max[j] = o->has_crop ? o->crop_max[j] : FLT_MAX;
    }
    float scale = o->splat_scale > 0 ? o->splat_scale : 1;
    p->crop_max[3] = scale * scale;
    for (int j = 0; j < 3; j++)
        p->bg[j] = o->has_bg ? o->bg[j] : c->has_bg ? c->bg[j] : 0;
    bool depth = o->output == GS_OUT_DEPTH_F32 || o->output == GS_OUT_DEPTH_ACC_F32;
    v->depth = depth;
    if (depth)
        memset(p->bg, 0, sizeof p->bg);

    /* keys cover [low, high] of view z, at the resolution 20 bits (30 when exact) allow */
    double low = z - s->reach, high = z + s->reach;
    low = o->exact || low < near ? near : low;
    high = high > 2 * low ? high : 2 * low;
    uint32_t base = fv_f32_bits((float)low), bits = o->exact ? 30 : 20, shift = 0;
    uint32_t span = fv_f32_bits(high < 3e38 ? (float)high : 3e38f) - base;
    while (!o->exact && span >> shift >= 1u << 20)
        shift++;
    p->depth[0] = base;
    p->depth[1] = shift;
    p->depth[2] = (1u << bits) - 1;
    p->size[0] = v->width;
    p->size[1] = v->height;
}

static uint32_t slot_capacity(const struct gs_renderer *r, bool exact)
{
    uint64_t record = exact ? 48 : 32, room = vk_buf_max(r->dev) / record;
    uint64_t texels = r->dev->caps.max_texel_elements / (record / 16);
    if (r->tex && room > texels)
        room = texels;
    if (room > 1u << 22) /* a slot has 22 bits in a list entry's and a sort word's company */
        room = 1u << 22;
    if (r->slot_room && room > r->slot_room)
        room = r->slot_room;
    return (uint32_t)(room / GS_BLOCK * GS_BLOCK);
}

int gs_raster_reserve(struct gs_renderer *r, const struct gs_gpu_scene *s, const struct gs_view *v,
                      struct gs_plan *plan)
{
    uint32_t record = v->exact ? 48 : 32, all = s->block_count * GS_BLOCK;
    uint32_t room = slot_capacity(r, v->exact);
    plan->slots = all ? all : GS_BLOCK;
    plan->slices = 1;
    if (all > room) {
        plan->slots = room;
        /* greedy filling leaves every two neighbours together above the capacity */
        uint64_t slices = 2ull * s->count / room + 2;
        plan->slices = slices < GS_MAX_SLICES ? (uint32_t)slices : GS_MAX_SLICES;
    }
    plan->projected = plan->slices == 1 && s->made && s->made->maker.first;
    plan->blocks = plan->projected ? s->made->maker.blocks : s->block_count;
    if (s->made && !plan->projected)
        FV_TRY(gs_gpu_scene_unfold(s->made));
    uint32_t blocks = plan->blocks ? plan->blocks : 1;
    FV_TRY(gs_reserve(r, &r->params, 2 * 512, "frame parameters"));
    FV_TRY(gs_reserve(r, &r->ctl, 4 * GS_CTL_WORDS, "frame counters"));
    FV_TRY(gs_reserve(r, &r->rec, (uint64_t)plan->slots * record, "projected Gaussians"));
    FV_TRY(gs_reserve(r, &r->key, 4ull * (plan->slots > 1024 ? plan->slots : 1024), "depth keys"));
    FV_TRY(gs_reserve(r, &r->visible, 4ull * blocks, "block counts"));
    FV_TRY(gs_reserve(r, &r->first_slot, 4ull * (blocks + 1), "block starts"));
    FV_TRY(gs_reserve(r, &r->pair, 8ull * plan->slots, "sort pairs"));
    FV_TRY(gs_reserve(r, &r->pair2, 8ull * plan->slots, "sort pairs"));
    FV_TRY(gs_reserve(r, &r->order, 4ull * plan->slots, "depth order"));
    FV_TRY(gs_reserve(r, &r->state, plan->slices > 1 ? 16ull * plan->pixels : 16, "pixel state"));
    FV_TRY(gs_reserve(r, &r->picture, (v->floats ? 16ull : 4ull) * plan->pixels, "picture"));
    return plan->wide ? gs_reserve_wide(r, v, plan) : gs_reserve_lanes(r, v, plan);
}

/* The visible (depth key, slot) pairs of all blocks, dense and in scene order. */
static void compact(struct gs_renderer *r, struct vk_cmd *cmd, const struct gs_gpu_scene *s,
                    const struct gs_plan *plan)
{
    struct gs_project_push push = {plan->blocks, 0, plan->projected ? (uint32_t)s->count : plan->slots, 0};
    gs_dispatch(&(struct gs_pass){.r = r,
                                  .cmd = cmd,
                                  .name = "compact",
                                  .variant = !plan->projected ? "blocks" : plan->wide ? "holes_wide" : "holes",
                                  .spec = {plan->wide ? 64 : r->lanes, plan->slices > 1},
                                  .nspec = 2,
                                  .subgroup = plan->projected && !plan->wide ? r->lanes : 0,
                                  .bind = {{&r->key, .format = GS_U1},
                                           {plan->projected ? s->made->maker.first : &r->visible, .format = GS_U1},
                                           {&r->first_slot, .format = GS_U1},
                                           {&r->pair}},
                                  .nbind = 4,
                                  .push = &push,
                                  .push_size = sizeof push},
                plan->blocks);
}

/* One of the three forms of project.comp over all chunks. */
static void project(struct gs_renderer *r, struct vk_cmd *cmd, const struct gs_gpu_scene *s,
                    const struct gs_view *v, const struct gs_plan *plan, const char *form,
                    uint32_t slice)
{
    char variant[32];
    bool histogram = !strcmp(form, "_histogram");
    uint32_t group = plan->wide ? 64 : r->lanes;
    r->projection = 0;
    snprintf(variant, sizeof variant, "%s%s%s", v->exact ? "exact" : "packed", form,
             plan->wide ? "_wide" : "");
    for (uint32_t c = 0; c < s->chunk_count; c++) {
        const struct gs_chunk *chunk = &s->chunks[c];
        struct gs_project_push push = {chunk->count, chunk->block, plan->slots, slice};
        gs_dispatch(&(struct gs_pass){.r = r,
                                      .cmd = cmd,
                                      .name = "project",
                                      .variant = variant,
                                      .spec = {group, v->bands_sh, s->sh_stride, v->antialiased,
                                               plan->tile_w, plan->tile_h, plan->bin_tiles, v->depth,
                                               s->exact, slice != ~0u, s->made != NULL},
                                      .nspec = 11,
                                      .subgroup = plan->wide ? 0 : group,
                                      .bind = {{&r->params, v->params_at, sizeof v->params},
                                               {&chunk->geo, .format = GS_U4},
                                               {&chunk->sh, .format = GS_U4},
                                               {&r->rec},
                                               {histogram ? &r->piece : &r->key},
                                               {&r->visible},
                                               {&r->first_slot},
                                               {&r->ctl}},
                                      .nbind = 8,
                                      .push = &push,
                                      .push_size = sizeof push},
                    (chunk->count + GS_BLOCK - 1) / GS_BLOCK);
    }
}

/* Where a maker that projects writes, and whether it has to: the same projection may be drawn again. */
static void set_splats(struct gs_make_splats *out, struct gs_renderer *r, struct gs_made *m,
                       const struct gs_view *v, const struct gs_plan *plan)
{
    const float s = plan->wide ? 1 : v->exact ? (float)EXP_EXACT_S : (float)EXP_FAST_S;
    const float q0 = plan->wide ? 0 : v->exact ? (float)EXP_EXACT_Q0 : (float)EXP_FAST_Q0;
    struct gs_params params = v->params;
    memset(params.bg, 0, sizeof params.bg); /* no projection's */
    *out = (struct gs_make_splats){.params = &r->params,
                                   .rec = &r->rec,
                                   .key = &r->key,
                                   .visible = &r->visible,
                                   .params_at = v->params_at,
                                   .params_bytes = sizeof v->params,
                                   .spec = {v->antialiased, plan->tile_w, plan->tile_h, plan->bin_tiles,
                                            v->depth, v->exact ? 3 : 2, fv_f32_bits(s), fv_f32_bits(q0)}};
    out->kept = r->projection && r->projection == m->projection &&
                !memcmp(&params, &m->params, sizeof params) && !memcmp(out->spec, m->spec, sizeof out->spec);
    if (out->kept)
        return;
    r->projection = m->projection = gs_new_id();
    m->params = params;
    memcpy(m->spec, out->spec, sizeof m->spec);
}

/* Has a scene that is made for each view made. */
static void make(struct gs_renderer *r, struct vk_cmd *cmd, const struct gs_gpu_scene *s,
                 const struct gs_view *v, const struct gs_plan *plan)
{
    enum { MOST = 64 }; /* of 2^22 Gaussians each */
    struct gs_make_chunk chunk[MOST];
    struct gs_make m = {.cmd = cmd,
                        .camera = &v->camera,
                        .lanes = plan->wide ? 0 : r->lanes,
                        .tex = r->tex,
                        .chunk = chunk,
                        .version = s->made->version,
                        .ctl = &r->ctl,
                        .live_at = GS_CTL_LIVE,
                        .need_at = GS_CTL_LIVE_NEED,
                        .flags_at = GS_CTL_FLAGS,
                        .flag = GS_FLAG_LIVE};
    struct gs_make_splats splats;
    if (plan->projected) {
        set_splats(&splats, r, s->made, v, plan);
        m.splats = &splats;
        m.room = (uint32_t)s->count;
    }
    for (uint32_t c = 0; !plan->projected && c < s->chunk_count && c < MOST; c++) {
        chunk[c] = (struct gs_make_chunk){&s->chunks[c].geo, &s->chunks[c].sh, m.room,
                                          s->chunks[c].count};
        m.room += s->chunks[c].count;
        m.chunks++;
    }
    vk_cmd_scope(cmd, "decode");
    s->made->maker.record(s->made->maker.ud, &m);
    vk_cmd_scope(cmd, "project");
}

static void begin_view(struct gs_renderer *r, struct vk_cmd *cmd, const struct gs_gpu_scene *s,
                       const struct gs_view *v, const struct gs_plan *plan)
{
    vk_cmd_scope(cmd, "project");
    vk_cmd_update(cmd, &r->params, v->params_at, &v->params, sizeof v->params);
    if (v->clear_counters)
        vk_cmd_fill(cmd, &r->ctl, 0, 4 * GS_CTL_WORDS, 0);
    if (s->made)
        make(r, cmd, s, v, plan);
}

void gs_project_record(struct gs_renderer *r, struct vk_cmd *cmd, const struct gs_gpu_scene *s,
                       const struct gs_view *v, const struct gs_plan *plan)
{
    begin_view(r, cmd, s, v, plan);
    project(r, cmd, s, v, plan, "", ~0u);
}

void gs_raster_record(struct gs_renderer *r, struct vk_cmd *cmd, const struct gs_gpu_scene *s,
                      const struct gs_view *v, const struct gs_plan *plan)
{
    begin_view(r, cmd, s, v, plan);
    if (plan->slices > 1) {
        struct gs_project_push push = {plan->slices, 0, plan->slots, 0};
        vk_cmd_fill(cmd, &r->piece, 0, 4 * 1024, 0);
        project(r, cmd, s, v, plan, "_histogram", ~0u);
        gs_dispatch(
            &(struct gs_pass){
                .r = r,
                .cmd = cmd,
                .name = "slices",
                .plain = true,
                .bind = {{&r->params, v->params_at, sizeof v->params}, {&r->piece}, {&r->ctl}},
                .nbind = 3,
                .push = &push,
                .push_size = sizeof push},
            1);
    }
    for (uint32_t slice = 0; slice < plan->slices; slice++) {
        uint32_t which = plan->slices > 1 ? slice : ~0u;
        vk_cmd_scope(cmd, "project");
        if (plan->slices > 1) {
            project(r, cmd, s, v, plan, "_count", which);
            gs_record_scan(r, cmd, &r->visible, &r->first_slot, plan->blocks, GS_CTL_VISIBLE,
                           plan->slots, plan->wide);
        }
        if (!plan->projected)
            project(r, cmd, s, v, plan, "", which);
        vk_cmd_scope(cmd, "sort");
        if (plan->slices == 1)
            gs_record_scan(r, cmd, &r->visible, &r->first_slot, plan->blocks, GS_CTL_VISIBLE,
                           plan->slots, plan->wide);
        compact(r, cmd, s, plan);
        gs_record_depth_sort(r, cmd, plan, v->exact, plan->wide);
        if (plan->wide)
            gs_record_wide(r, cmd, v, plan, slice);
        else
            gs_record_lanes(r, cmd, v, plan, slice);
    }
}
