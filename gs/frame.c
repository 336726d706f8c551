/* Renderer and frames (gs.h): plans a picture as strips and eyes, submits the passes, converts
 * and reads back, and draws again with larger buffers when one was too small. */
#include "gs/gpu.h"
#include "shaders/gs/exp_fit.h"
#include "vk/base/log.h"
#include "vk/base/thread.h"
#include "vk/xfer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_STRIPS = 64, MAX_RETRIES = 24, MAX_SPAN_LANES = 1024 };

struct strip {
    uint32_t y, rows;
    struct gs_view view[2]; /* one per eye */
    struct gs_plan plan;
    struct vk_buf host;
};

struct gs_frame_private {
    struct gs_renderer *r;
    struct vk_cmd *cmd;
    struct vk_buf ctl_host, device;
    struct strip strip[MAX_STRIPS];
    uint32_t strip_count;
    uint8_t *assembled;
    size_t assembled_size;
    uint64_t ticket;
    bool keep, profile, pending;
    const struct gs_gpu_scene *scene;
    struct gs_camera camera;
    struct gs_render_opts opts;
};

/* ---- renderer --------------------------------------------------------------------------- */

int gs_renderer_create(struct gs_renderer **out, struct vk_device *dev)
{
    const VkSubgroupFeatureFlags need = VK_SUBGROUP_FEATURE_BASIC_BIT |
                                        VK_SUBGROUP_FEATURE_ARITHMETIC_BIT |
                                        VK_SUBGROUP_FEATURE_SHUFFLE_BIT;
    struct gs_renderer *r = calloc(1, sizeof *r);
    *out = r;
    if (!r)
        return fv_fail(FV_ENOMEM, "out of memory");
    uint32_t size = dev->caps.subgroup_size;
    r->dev = dev;
    r->tex = dev->caps.max_texel_elements >= 1u << 24;
    if ((size == 4 || size == 8 || size == 16) && (dev->caps.subgroup_ops & need) == need)
        r->lanes = size;
    r->wide = !dev->caps.is_cpu || !r->lanes;
    r->span_lanes = 128;
    r->threads = fv_cpu_count();
    r->bands = 1;
    return 0;
}

void gs_renderer_destroy(struct gs_renderer **out)
{
    struct gs_renderer *r = *out;
    if (!r)
        return;
    vk_wait(r->dev, r->last_ticket);
    for (struct vk_buf *b = &r->params; b <= &r->result; b++)
        vk_buf_destroy(b);
    free(r);
    *out = NULL;
}

static uint64_t working_bytes(const struct gs_renderer *r)
{
    uint64_t sum = 0;
    for (const struct vk_buf *b = &r->params; b <= &r->result; b++)
        sum += b->size;
    return sum;
}

/* ---- formats ---------------------------------------------------------------------------- */

static bool is_float(enum gs_output o)
{
    return o == GS_OUT_RGB_F32 || o == GS_OUT_ALPHA_F32 || o == GS_OUT_DEPTH_F32 ||
           o == GS_OUT_DEPTH_ACC_F32;
}

static bool is_420(enum gs_output o)
{
    return o == GS_OUT_YUV420P || o == GS_OUT_YUV420P10;
}

/* A plane of the result as pack.comp lays it out, and as the caller gets it (tight rows). */
struct plane {
    uint32_t rows, pitch, row_bytes;
};

static int planes_of(struct plane out[3], enum gs_output o, uint32_t w, uint32_t h)
{
    uint32_t wide8 = (w + 7) / 8 * 8, wide4 = (w + 3) / 4 * 4,
             bytes = o == GS_OUT_YUV420P10 ? 2 : 1;
    switch (o) {
    case GS_OUT_YUV420P:
    case GS_OUT_YUV420P10:
        out[0] = (struct plane){h, wide8 * bytes, w * bytes};
        out[1] = out[2] = (struct plane){h / 2, wide8 / 2 * bytes, w / 2 * bytes};
        return 3;
    case GS_OUT_YUV444P:
        out[0] = out[1] = out[2] = (struct plane){h, wide4, w};
        return 3;
    case GS_OUT_RGB_F32:
        out[0] = (struct plane){h, w * 12, w * 12};
        return 1;
    default:
        out[0] = (struct plane){h, w * 4, w * 4};
        return 1;
    }
}

static uint64_t result_bytes(enum gs_output o, uint32_t w, uint32_t h)
{
    struct plane p[3];
    uint64_t sum = 0;
    for (int i = 0, n = planes_of(p, o, w, h); i < n; i++)
        sum += (uint64_t)p[i].rows * p[i].pitch;
    return sum;
}

/* Whether the blended picture has to be more than the bytes that are asked for. */
static bool keeps_floats(const struct gs_render_opts *o)
{
    return o->exact && (o->supersample > 1 || o->output != GS_OUT_RGBA8);
}

/* KIND of yuv.comp or pack.comp. */
static uint32_t pack_kind(enum gs_output o)
{
    static const uint32_t kind[] = {
        [GS_OUT_YUV420P] = 0,   [GS_OUT_YUV444P] = 1,      [GS_OUT_YUV420P10] = 2,
        [GS_OUT_RGBA8] = 0,     [GS_OUT_RGB_F32] = 1,      [GS_OUT_ALPHA_F32] = 2,
        [GS_OUT_DEPTH_F32] = 3, [GS_OUT_DEPTH_ACC_F32] = 4};
    return kind[o];
}

/* ---- frames ----------------------------------------------------------------------------- */

int gs_frame_create(struct gs_frame **out, struct gs_renderer *r)
{
    struct gs_frame *f = calloc(1, sizeof *f);
    int rc = 0;
    *out = NULL;
    if (!f || !(f->p = calloc(1, sizeof *f->p))) {
        free(f);
        return fv_fail(FV_ENOMEM, "out of memory");
    }
    f->p->r = r;
    FV_GOTO(vk_cmd_create(&f->p->cmd, r->dev));
    FV_GOTO(vk_buf_create(&f->p->ctl_host, r->dev, 4 * GS_CTL_WORDS, VK_BUF_READBACK, "counters"));
    *out = f;
    return 0;
done:
    gs_frame_destroy(&f);
    return rc;
}

void gs_frame_destroy(struct gs_frame **out)
{
    struct gs_frame *f = *out;
    if (!f)
        return;
    if (f->p->pending)
        vk_wait(f->p->r->dev, f->p->ticket);
    vk_cmd_destroy(&f->p->cmd);
    vk_buf_destroy(&f->p->ctl_host);
    vk_buf_destroy(&f->p->device);
    for (int i = 0; i < MAX_STRIPS; i++)
        vk_buf_destroy(&f->p->strip[i].host);
    free(f->p->assembled);
    free(f->p);
    free(f);
    *out = NULL;
}

void gs_frame_keep_on_device(struct gs_frame *f, bool keep)
{
    f->p->keep = keep;
}

void gs_frame_profile(struct gs_frame *f, bool on)
{
    f->p->profile = on;
}

static int check_request(const struct gs_camera *c, const struct gs_render_opts *o)
{
    uint32_t factor = o->supersample ? o->supersample : 1;
    if (!c->width || !c->height || c->width > 16384 || c->height > 16384)
        return fv_fail(FV_EINVALID, "picture size %ux%u: each side must be 1 to 16384", c->width,
                       c->height);
    if (!(c->fx > 0) || !(c->fy > 0))
        return fv_fail(FV_EINVALID, "camera \"%s\": focal length must be positive", c->name);
    if (factor > 4)
        return fv_fail(FV_EINVALID, "supersampling %u: must be 1 to 4", factor);
    if (is_420(o->output) && (c->width % 2 || c->height % 2))
        return fv_fail(FV_EINVALID, "%ux%u: 4:2:0 video needs an even width and height", c->width,
                       c->height);
    return 0;
}

/* The eyes look ahead in parallel, half the distance to each side. */
static void eye_camera(struct gs_camera *c, const struct gs_frame_private *p, int eye)
{
    *c = p->camera;
    if (!p->opts.stereo)
        return;
    double distance = p->opts.eye_distance > 0 ? p->opts.eye_distance : 0.02 * p->scene->radius;
    c->view[3] += (eye ? -0.5 : 0.5) * distance;
}

/* Cuts the picture into strips whose buffers can be bound, and reserves for all of them. */
static int plan_strips(struct gs_frame *f)
{
    struct gs_frame_private *p = f->p;
    const struct gs_render_opts *o = &p->opts;
    struct gs_renderer *r = p->r;
    uint64_t most = vk_buf_max(r->dev);
    uint32_t factor = o->supersample ? o->supersample : 1, eyes = o->stereo ? 2 : 1;
    uint64_t texels = r->tex ? r->dev->caps.max_texel_elements : ~0ull;
    uint64_t row = (uint64_t)f->width * factor * factor, rows = most / 16 / row;
    if (r->most_pixels && rows > r->most_pixels / row)
        rows = r->most_pixels / row;
    if (rows > texels / row)
        rows = texels / row;
    if (rows > most / (12ull * f->width))
        rows = most / (12ull * f->width);
    if (rows < f->height)
        rows = rows / 16 * 16;
    if (!rows)
        return fv_fail(FV_EUNSUPPORTED, "%ux%u: a row of the picture is too wide for this device",
                       f->width, f->height);
    bool wide = o->raster == GS_RASTER_AUTO ? r->wide : o->raster == GS_RASTER_WIDE || !r->lanes;
    p->strip_count = 0;
    for (uint32_t y = 0; y < f->height; y += (uint32_t)rows) {
        struct strip *s = &p->strip[p->strip_count];
        if (p->strip_count++ == MAX_STRIPS)
            return fv_fail(FV_EUNSUPPORTED, "%ux%u with %ux supersampling is too large", f->width,
                           f->height, factor);
        s->y = y;
        s->rows = f->height - y < rows ? f->height - y : (uint32_t)rows;
        for (uint32_t e = 0; e < eyes; e++) {
            struct gs_camera c;
            eye_camera(&c, p, (int)e);
            gs_view_init(&s->view[e], p->scene, &c, o, y, s->rows);
            s->view[e].exact = o->exact;
            s->view[e].floats = keeps_floats(o);
            s->view[e].params_at = 512 * e;
            s->view[e].params.grid[1] = f->width * factor;
            s->view[e].params.grid[2] = e * c.width * factor;
            s->view[e].clear_counters = y == 0 && e == 0;
        }
        s->plan = (struct gs_plan){.wide = wide, .pixels = f->width * factor * s->rows * factor};
        FV_TRY(gs_raster_reserve(r, p->scene, &s->view[0], &s->plan));
        for (uint32_t e = 0; e < eyes; e++) {
            struct gs_params *q = &s->view[e].params;
            q->size[2] = (s->view[e].width + s->plan.tile_w - 1) / s->plan.tile_w;
            q->size[3] = s->plan.rows;
            q->grid[0] = s->plan.bins_x;
        }
        FV_TRY(gs_reserve(r, &r->result, result_bytes(o->output, f->width, s->rows), "result"));
    }
    return 0;
}

/* Converts one strip's picture and copies it to where the caller wants it. */
static int record_result(struct gs_frame *f, struct strip *s)
{
    struct gs_frame_private *p = f->p;
    struct gs_renderer *r = p->r;
    const struct gs_render_opts *o = &p->opts;
    uint32_t factor = o->supersample ? o->supersample : 1;
    uint64_t size = result_bytes(o->output, f->width, s->rows);
    const struct vk_buf *from = &r->picture;
    vk_cmd_scope(p->cmd, "output");
    if (factor > 1 || o->output != GS_OUT_RGBA8) {
        bool floats = keeps_floats(o);
        struct gs_pack_push push = {f->width, s->rows};
        bool yuv = is_420(o->output) || o->output == GS_OUT_YUV444P;
        uint32_t items = is_420(o->output) ? (f->width + 7) / 8 * (s->rows / 2)
                         : yuv             ? (f->width + 3) / 4 * s->rows
                                           : (f->width * s->rows + 3) / 4;
        from = &r->result;
        uint64_t pixel = floats ? 16 : 4;
        struct vk_bind source = {&r->picture, 0, gs_texel_range(r, &r->picture, pixel * s->plan.pixels, pixel),
                                 floats ? GS_F4 : GS_U1};
        gs_dispatch(
            &(struct gs_pass){.r = r,
                              .cmd = p->cmd,
                              .name = yuv ? "yuv" : "pack",
                              .variant = floats ? "float" : "rgba8",
                              .spec = {64, pack_kind(o->output), factor, o->yuv_matrix == 1},
                              .nspec = 4,
                              .bind = {source, {from}},
                              .nbind = 2,
                              .push = &push,
                              .push_size = sizeof push},
            (items + 63) / 64);
    }
    if (p->keep) {
        if (p->device.size < size) {
            vk_buf_destroy(&p->device);
            FV_TRY(vk_buf_create(&p->device, r->dev, size, VK_BUF_DEVICE, "viewer picture"));
        }
        vk_cmd_copy(p->cmd, &p->device, 0, from, 0, size);
        return 0;
    }
    if (s->host.size < size) {
        vk_buf_destroy(&s->host);
        FV_TRY(vk_buf_create(&s->host, r->dev, size, VK_BUF_READBACK, "picture readback"));
    }
    vk_cmd_copy(p->cmd, &s->host, 0, from, 0, size);
    return 0;
}

/* The request as plan_strips and draw take it. */
static void set_request(struct gs_frame *f, const struct gs_gpu_scene *s, const struct gs_camera *c,
                        const struct gs_render_opts *opts)
{
    struct gs_frame_private *p = f->p;
    p->scene = s;
    p->camera = *c;
    p->opts = *opts;
    p->opts.exact = opts->exact || is_float(opts->output) || s->exact;
    f->width = c->width * (opts->stereo ? 2 : 1);
    f->height = c->height;
    f->output = opts->output;
}

static int record_and_submit(struct gs_frame *f)
{
    struct gs_frame_private *p = f->p;
    vk_cmd_split(p->cmd, p->profile);
    vk_cmd_begin(p->cmd);
    for (uint32_t i = 0; i < p->strip_count; i++) {
        for (int e = 0; e < (p->opts.stereo ? 2 : 1); e++)
            gs_raster_record(p->r, p->cmd, p->scene, &p->strip[i].view[e], &p->strip[i].plan);
        FV_TRY(record_result(f, &p->strip[i]));
    }
    vk_cmd_copy(p->cmd, &p->ctl_host, 0, &p->r->ctl, 0, 4 * GS_CTL_WORDS);
    return vk_cmd_submit(p->cmd, &p->ticket);
}

static int draw(struct gs_frame *f)
{
    struct gs_frame_private *p = f->p;
    FV_TRY(plan_strips(f));
    if (p->keep && p->strip_count > 1)
        return fv_fail(FV_EUNSUPPORTED, "%ux%u is too large to show", f->width, f->height);
    int rc = record_and_submit(f);
    if (rc < 0) { /* what was to be made never will be */
        p->r->projection = 0;
        if (p->scene->made)
            p->scene->made->version++;
        return rc;
    }
    p->r->last_ticket = p->ticket;
    p->pending = true;
    return 0;
}

int gs_frame_submit(struct gs_frame *f, const struct gs_gpu_scene *s, const struct gs_camera *c,
                    const struct gs_render_opts *opts)
{
    struct gs_frame_private *p = f->p;
    FV_TRY(check_request(c, opts));
    if (p->pending)
        FV_TRY(vk_wait(p->r->dev, p->ticket));
    p->pending = false;
    set_request(f, s, c, opts);
    f->pixels = NULL;
    f->stats = (struct gs_frame_stats){0};
    return draw(f);
}

/* Room for all Gaussians of a scene that is made for each view. Another frame may have made it. */
static int grow_made(struct gs_made *m, size_t need)
{
    if (need <= m->scene->count)
        return 0;
    m->projection = 0;
    m->version += !m->bare;
    return gs_gpu_scene_resize(m->scene, need + need / 16);
}

/* Makes room for what the last attempt lacked. Returns 0, or FV_EGPUMEM when nothing is left
 * to try. */
static int make_room(struct gs_renderer *r, const struct gs_plan *plan, const uint32_t *ctl)
{
    uint64_t most = vk_buf_max(r->dev);
    uint32_t flags = ctl[GS_CTL_FLAGS];
    bool fewer_slots = false;
    if (flags & GS_FLAG_SPANS) {
        uint64_t need = ctl[GS_CTL_SPANS] + ctl[GS_CTL_SPANS] / 4;
        fewer_slots = 8 * need > most;
        r->span_room = fewer_slots ? r->span_room : need;
    }
    if (flags & GS_FLAG_ENTRIES) {
        uint64_t need = ctl[GS_CTL_ENTRIES] + ctl[GS_CTL_ENTRIES] / 4;
        uint64_t bins = (uint64_t)plan->bins_x * plan->rows_per_band;
        if ((need + bins) * plan->bin_tiles * 4 <= most)
            r->entry_room = need;
        else if (plan->rows_per_band > 1)
            r->bands *= 2;
        else
            fewer_slots = true;
    }
    if (flags & GS_FLAG_LOOP) {
        uint64_t bins = (uint64_t)plan->bins_x * plan->rows_per_band;
        if (!plan->wide && r->span_lanes < MAX_SPAN_LANES && 8 * bins * r->span_lanes <= most)
            r->span_lanes *= 2;
        else
            fewer_slots = true;
    }
    if (!fewer_slots)
        return 0;
    if (plan->slots <= 4096)
        return fv_fail(FV_EGPUMEM, "the scene is too dense for this device's buffers at this size");
    r->slot_room = plan->slots / 2;
    return 0;
}

/* Strips' padded planes -> one tight picture. */
static int assemble(struct gs_frame *f)
{
    struct gs_frame_private *p = f->p;
    struct plane all[3];
    int n = planes_of(all, f->output, f->width, f->height);
    size_t size = 0, at = 0;
    bool tight = p->strip_count == 1;
    for (int i = 0; i < n; i++) {
        size += (size_t)all[i].rows * all[i].row_bytes;
        tight = tight && all[i].pitch == all[i].row_bytes;
    }
    f->size = size;
    if (tight) {
        f->pixels = p->strip[0].host.map;
        return 0;
    }
    if (p->assembled_size < size) {
        free(p->assembled);
        p->assembled = malloc(size);
        p->assembled_size = p->assembled ? size : 0;
        if (!p->assembled)
            return fv_fail(FV_ENOMEM, "out of memory for the picture");
    }
    size_t plane_at[3] = {0};
    for (int i = 0; i < n; i++) {
        plane_at[i] = at;
        at += (size_t)all[i].rows * all[i].row_bytes;
    }
    for (uint32_t s = 0; s < p->strip_count; s++) {
        struct plane part[3];
        const uint8_t *from = p->strip[s].host.map;
        planes_of(part, f->output, f->width, p->strip[s].rows);
        for (int i = 0; i < n; i++)
            for (uint32_t y = 0; y < part[i].rows; y++, from += part[i].pitch) {
                memcpy(p->assembled + plane_at[i], from, part[i].row_bytes);
                plane_at[i] += part[i].row_bytes;
            }
    }
    f->pixels = p->assembled;
    return 0;
}

static void fill_stats(struct gs_frame *f, const uint32_t *ctl)
{
    struct gs_frame_private *p = f->p;
    struct gs_frame_stats *st = &f->stats;
    struct vk_pass_time t[24];
    st->visible = ctl[GS_CTL_SUM];
    st->pairs = ctl[GS_CTL_PAIRS];
    st->spans = ctl[GS_CTL_SPAN_SUM];
    st->made = ctl[GS_CTL_LIVE];
    st->slices = p->strip[0].plan.slices;
    st->bands = p->strip[0].plan.bands;
    st->device_bytes = working_bytes(p->r);
    st->pass_count = vk_cmd_times(p->cmd, t, 24);
    for (size_t i = 0; i < st->pass_count; i++)
        st->pass[i] = (struct gs_pass_time){t[i].name, t[i].wall_ms, t[i].cpu_ms, t[i].gpu_ms};
}

int gs_frame_wait(struct gs_frame *f)
{
    struct gs_frame_private *p = f->p;
    const uint32_t *ctl = p->ctl_host.map;
    if (!p->pending)
        return f->pixels || p->keep ? 0 : fv_fail(FV_EINVALID, "no frame was submitted");
    for (;;) {
        FV_TRY(vk_wait(p->r->dev, p->ticket));
        p->pending = false;
        FV_TRY(vk_buf_invalidate(&p->ctl_host, 0, 4 * GS_CTL_WORDS));
        uint32_t flags = ctl[GS_CTL_FLAGS];
        if (!(flags & ~GS_FLAG_SLICE)) {
            if (flags && !f->stats.retries)
                fv_log(FV_WARN, "more Gaussians at one depth than fit; some were left out");
            break;
        }
        if (f->stats.retries == MAX_RETRIES)
            return fv_fail(FV_EGPUMEM, "the scene does not fit this device's buffers");
        struct gs_plan plan = p->strip[0].plan;
        if (flags & GS_FLAG_LIVE)
            FV_TRY(grow_made(p->scene->made, ctl[GS_CTL_LIVE_NEED]));
        FV_TRY(make_room(p->r, &plan, ctl));
        f->stats.retries++;
        FV_TRY(draw(f));
    }
    fill_stats(f, ctl);
    f->device_pixels = p->keep ? &p->device : NULL;
    if (p->keep)
        return 0;
    for (uint32_t s = 0; s < p->strip_count; s++)
        FV_TRY(vk_buf_invalidate(&p->strip[s].host, 0, p->strip[s].host.size));
    return assemble(f);
}

/* ---- what it will take ------------------------------------------------------------------- */

int gs_memory_needed(struct gs_memory *out, struct vk_device *dev, size_t count, int sh_degree,
                     uint32_t width, uint32_t height, const struct gs_render_opts *opts)
{
    struct gs_gpu_scene scene = {.count = count,
                                 .exact = opts->exact,
                                 .sh_degree = (uint32_t)sh_degree,
                                 .block_count = (uint32_t)((count + GS_BLOCK - 1) / GS_BLOCK)};
    struct gs_camera camera = {.width = width, .height = height, .fx = 1, .fy = 1};
    struct gs_frame frame = {0};
    struct gs_renderer *r = NULL;
    int rc = 0;
    *out = (struct gs_memory){.scene = gs_gpu_scene_bytes(count, sh_degree, opts->exact)};
    if (count > 1u << 30)
        return fv_fail(FV_EUNSUPPORTED, "%zu Gaussians: at most 2^30 can be drawn", count);
    FV_TRY(check_request(&camera, opts));
    FV_TRY(gs_renderer_create(&r, dev));
    r->dry = true;
    frame.p = calloc(1, sizeof *frame.p);
    if (!frame.p)
        FV_GOTO(fv_fail(FV_ENOMEM, "out of memory"));
    frame.p->r = r;
    set_request(&frame, &scene, &camera, opts);
    FV_GOTO(plan_strips(&frame));
    out->renderer = working_bytes(r);
    out->frame = 4 * GS_CTL_WORDS;
    for (uint32_t i = 0; i < frame.p->strip_count; i++)
        out->frame += result_bytes(frame.output, frame.width, frame.p->strip[i].rows);
done:
    gs_renderer_destroy(&r);
    free(frame.p);
    return rc;
}

/* ---- projection, for checks -------------------------------------------------------------- */

int gs_project(struct gs_renderer *r, const struct gs_gpu_scene *s, const struct gs_camera *c,
               const struct gs_render_opts *opts, struct gs_projection *out)
{
    struct gs_render_opts o = *opts;
    struct gs_view v;
    struct gs_plan plan = {.wide = !r->lanes, .pixels = c->width * c->height};
    struct vk_cmd *cmd = NULL;
    float *rec = NULL;
    uint32_t *visible = NULL;
    uint64_t ticket;
    int rc = 0;
    if (!s->exact)
        return fv_fail(FV_EINVALID, "projected quantities need a scene uploaded exact");
    FV_TRY(check_request(c, &o));
    o.exact = true;
    o.supersample = 1;
    gs_view_init(&v, s, c, &o, 0, c->height);
    v.clear_counters = true;
    FV_TRY(gs_raster_reserve(r, s, &v, &plan));
    if (plan.slices > 1 || plan.projected)
        return fv_fail(FV_EUNSUPPORTED, "a projection check takes Gaussians of one slice, not of kernels that "
                                        "project them as they make them");
    v.params.grid[0] = plan.bins_x;
    /* records hold exponents as the blending takes them */
    const float unit = plan.wide ? 1 : (float)EXP_EXACT_S,
                zero = plan.wide ? 0 : (float)EXP_EXACT_Q0;
    const float k = 0.72134752f * unit; /* log2(e) / 2 */
    size_t slots = plan.slots;
    rec = malloc(slots * 48);
    visible = malloc(4 * ((size_t)s->block_count + 1));
    if (!rec || !visible)
        FV_GOTO(fv_fail(FV_ENOMEM, "out of memory"));
    FV_GOTO(vk_cmd_create(&cmd, r->dev));
    vk_cmd_begin(cmd);
    gs_project_record(r, cmd, s, &v, &plan);
    FV_GOTO(vk_cmd_submit(cmd, &ticket));
    r->last_ticket = ticket;
    FV_GOTO(vk_wait(r->dev, ticket));
    FV_GOTO(vk_download(rec, &r->rec, 0, slots * 48));
    FV_GOTO(vk_download(visible, &r->visible, 0, 4ull * s->block_count));
    if (out->visible)
        memset(out->visible, 0, s->count);
    for (uint32_t b = 0; b < s->block_count; b++)
        for (uint32_t i = 0; i < visible[b]; i++) {
            const float *q = rec + 12 * ((size_t)b * GS_BLOCK + i);
            uint32_t g;
            memcpy(&g, q + 11, 4);
            if (g >= s->count)
                FV_GOTO(fv_fail(FV_EDEVICE, "the device returned a Gaussian that does not exist"));
            if (out->visible)
                out->visible[g] = 1;
            for (int j = 0; j < 2 && out->means2d; j++)
                out->means2d[2 * g + j] = q[j] + 0.5f;
            if (out->depths)
                out->depths[g] = q[7];
            if (out->opacity)
                out->opacity[g] = exp2f((q[5] - zero) / unit);
            if (out->conics) {
                out->conics[3 * g] = q[2] / k;
                out->conics[3 * g + 1] = q[3] / (2 * k);
                out->conics[3 * g + 2] = q[4] / k;
            }
            if (out->colors)
                memcpy(out->colors + 3 * g, q + 8, 12);
        }
done:
    vk_cmd_destroy(&cmd);
    free(rec);
    free(visible);
    return rc;
}
