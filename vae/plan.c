/* How a clip is cut up: the authors' ways, and the largest pieces that fit a memory budget, found by
 * dry runs of the forward passes. */
#include "vae/private.h"

#include <math.h>
#include <stdio.h>

enum { USUAL_FRAMES = 17, LEAST_FRAMES = 5 };

static uint32_t to_units(const struct vae *v, enum vae_way way, uint32_t frames)
{
    return way == VAE_ENCODE ? frames : vae_latent_count(v, frames);
}

/* ---- the authors' ways ------------------------------------------------------------------- */

/* Square tiles: size and step of what goes in, the shared part of what comes out. */
static struct vae_tiles cvvae_tiles(const struct vae *v, enum vae_way way, uint32_t pixels,
                                    double overlap)
{
    uint32_t f = v->info.space_factor, latents = pixels / f;
    uint32_t in = way == VAE_ENCODE ? pixels : latents, out = way == VAE_ENCODE ? latents : pixels;
    struct vae_tiles t = {.size = in};
    t.step = (uint32_t)nearbyint(in * (1 - overlap));
    t.fade = (uint32_t)nearbyint(out * overlap);
    t.keep = out - t.fade;
    return t;
}

int vae_plan_usual(struct vae_plan *out, const struct vae *v, enum vae_way way)
{
    const struct vae_config *c = &v->config;
    *out = (struct vae_plan){.passes = 1, .window = to_units(v, way, v->info.window)};
    if (v->info.time_factor == 1)
        out->window = 1;
    if (v->info.family == VAE_CVVAE && c->tile_size && c->tile_overlap > 0)
        out->tiles = cvvae_tiles(v, way, c->tile_size, c->tile_overlap);
    return 0;
}

int vae_plan_tiled(struct vae_plan *out, const struct vae *v, enum vae_way way,
                   const struct vae_tiling *t)
{
    uint32_t in = way == VAE_ENCODE ? t->tile_sample_min_size : t->tile_latent_min_size;
    uint32_t to = way == VAE_ENCODE ? t->tile_latent_min_size : t->tile_sample_min_size;
    uint32_t window = way == VAE_ENCODE ? t->tile_sample_min_size_t : t->tile_latent_min_size_t;
    double overlap = t->tile_overlap_factor;
    FV_TRY(vae_plan_usual(out, v, way));
    if (!(overlap >= 0 && overlap < 1))
        return fv_fail(FV_EINVALID, "tile_overlap_factor %g is not in 0 .. 1", overlap);
    if (v->info.family == VAE_CVVAE) {
        out->tiles = cvvae_tiles(v, way, t->tile_sample_min_size, overlap);
    } else if (in && to) {
        struct vae_tiles tiles = {.size = in, .rest = true};
        tiles.step = (uint32_t)(in * (1 - overlap));
        tiles.fade = (uint32_t)(to * overlap);
        tiles.keep = to - tiles.fade;
        out->tiles = tiles;
    }
    if (out->tiles.size && (!out->tiles.step || !out->tiles.keep))
        return fv_fail(FV_EINVALID, "tiles of %u with an overlap of %g leave nothing", in, overlap);
    if (window == 1)
        return fv_fail(FV_EINVALID, "windows of one frame share all of it; use 2 or more");
    if (window)
        out->window = window;
    return 0;
}

/* ---- by memory --------------------------------------------------------------------------- */

struct search {
    struct vae *v;
    enum vae_way way;
    uint32_t height, width;
    const struct vae_plan_opts *o;
    uint64_t budget, least; /* least: of what was tried */
};

static struct vae_tiles own_tiles(const struct search *s, uint32_t pixels)
{
    uint32_t f = s->v->info.space_factor, latents = pixels / f, step = latents - latents / 4;
    bool in = s->way == VAE_ENCODE;
    return (struct vae_tiles){.size = in ? latents * f : latents,
                              .step = in ? step * f : step,
                              .fade = in ? latents / 4 : latents / 4 * f,
                              .keep = in ? step : step * f};
}

static uint32_t least_of(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Device memory of a plan: the weights and the most expensive of its pieces. */
static int price(const struct search *s, struct vae_plan *p)
{
    struct vae *v = s->v;
    const struct vae_stage *stage = vae_stage_of(v, s->way);
    uint32_t f = v->info.space_factor, size = p->tiles.size ? p->tiles.size : UINT32_MAX;
    struct vae_shape shape = {.stage = stage,
                              .frames = stage->flat ? 1 : p->window,
                              .channels = s->way == VAE_ENCODE ? 3 : v->info.channels,
                              .height = least_of(s->height, size),
                              .width = least_of(s->width, size),
                              .first = true,
                              .last = !p->carry};
    struct nn_cost cost;
    uint64_t bytes, more = 0;
    FV_TRY(vae_session_cost(v, &shape, p->carry, p->passes > 1, &cost, &bytes));
    if (v->info.family == VAE_OPENSORA) {
        uint32_t n = v->info.time_factor;
        shape.stage = &vae_temporal_stages[s->way];
        shape.channels = v->info.channels;
        shape.frames = s->way == VAE_ENCODE ? (p->window + n - 1) / n * n : p->window;
        shape.height = s->way == VAE_ENCODE ? (shape.height + f - 1) / f : shape.height;
        shape.width = s->way == VAE_ENCODE ? (shape.width + f - 1) / f : shape.width;
        FV_TRY(vae_session_cost(v, &shape, false, false, &cost, &more));
    }
    p->bytes = v->info.weight_bytes + (bytes > more ? bytes : more);
    return 0;
}

/* 1 when it fits. */
static int try_plan(struct search *s, struct vae_plan *p)
{
    FV_TRY(price(s, p));
    if (!s->least || p->bytes < s->least)
        s->least = p->bytes;
    return p->bytes <= s->budget;
}

/* The window and shorter ones under given tiles. */
static int try_windows(struct search *s, struct vae_plan *p, uint32_t frames)
{
    bool fixed = s->v->info.family == VAE_OPENSORA || s->v->info.time_factor == 1 || s->o->window;
    for (;;) {
        p->window = s->v->info.time_factor == 1 ? 1 : to_units(s->v, s->way, frames);
        int rc = try_plan(s, p);
        if (rc != 0 || fixed || frames <= LEAST_FRAMES)
            return rc;
        frames = (frames - 1) / 8 * 4 + 1; /* half as many latents */
    }
}

static int search_tiles(struct search *s, struct vae_plan *p, uint32_t frames)
{
    static const uint32_t sizes[] = {1024, 768, 512, 384, 256, 192, 128, 96, 64};
    uint32_t f = s->way == VAE_ENCODE ? 1 : s->v->info.space_factor;
    uint32_t side = s->height > s->width ? s->height : s->width;
    if (s->o->tile) {
        p->tiles = own_tiles(s, s->o->tile);
        return try_windows(s, p, frames);
    }
    int rc = try_windows(s, p, frames);
    p->carry = p->carry && rc != 0; /* tiles have no past of their own */
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes && rc == 0; i++) {
        if (sizes[i] >= side * f)
            continue;
        p->tiles = own_tiles(s, sizes[i]);
        rc = try_windows(s, p, frames);
    }
    return rc;
}

static uint64_t budget_of(const struct vae *v, const struct vae_plan_opts *o)
{
    uint64_t reserved, used, peak;
    if (o->memory)
        return o->memory;
    if (!v->dev)
        return UINT64_MAX;
    vk_mem_usage(v->dev, &reserved, &used, &peak);
    uint64_t free_bytes =
        v->dev->caps.budget_bytes ? v->dev->caps.budget_bytes : v->dev->caps.heap_bytes;
    return free_bytes + v->info.weight_bytes; /* those are loaded already */
}

static int check_opts(const struct search *s)
{
    const struct vae_info *i = &s->v->info;
    const struct vae_plan_opts *o = s->o;
    uint32_t f = s->way == VAE_ENCODE ? i->space_factor : 1;
    if (!s->height || !s->width || s->height % f || s->width % f)
        return fv_fail(FV_EINVALID, "%ux%u: sizes must be multiples of %u", s->width, s->height, f);
    if (o->tile && o->tile / i->space_factor < 4)
        return fv_fail(FV_EINVALID, "tiles of %u pixels are too small; at least %u", o->tile,
                       4 * i->space_factor);
    if (o->window && (o->window < LEAST_FRAMES || o->window > 100000))
        return fv_fail(FV_EINVALID, "windows of %u frames; at least %d", o->window, LEAST_FRAMES);
    if (o->carry && !i->carries[s->way])
        return fv_fail(FV_EINVALID,
                       "%s: its %s looks at frames to come or at single ones; there is "
                       "no past to carry",
                       i->name, s->way == VAE_ENCODE ? "encoder" : "decoder");
    if (o->carry && o->tile)
        return fv_fail(FV_EINVALID, "tiles have no past of their own; leave out one of the two");
    if (o->passes > 1 && !i->norms[s->way])
        return fv_fail(FV_EINVALID,
                       "%s: its pieces are normalised each alone by definition; one "
                       "pass is all there is",
                       i->name);
    return 0;
}

int vae_plan_make(struct vae_plan *out, struct vae *v, enum vae_way way, uint32_t height,
                  uint32_t width, const struct vae_plan_opts *o)
{
    static const struct vae_plan_opts usual = {0};
    struct search s = {.v = v, .way = way, .height = height, .width = width, .o = o ? o : &usual};
    if (way == VAE_ENCODE ? !v->info.has_encoder : !v->info.has_decoder)
        return fv_fail(FV_EINVALID, "%s holds no %s", v->path,
                       way == VAE_ENCODE ? "encoder" : "decoder");
    FV_TRY(check_opts(&s));
    s.budget = budget_of(v, s.o);
    uint32_t frames = v->info.family == VAE_OPENSORA ? v->info.window
                      : s.o->window                  ? (s.o->window - 1) / 4 * 4 + 1
                                                     : USUAL_FRAMES;
    *out = (struct vae_plan){.passes = s.o->passes ? s.o->passes : 1, .carry = s.o->carry};
    int rc = search_tiles(&s, out, frames ? frames : USUAL_FRAMES);
    FV_TRY(rc);
    if (rc == 0)
        return fv_fail(FV_EGPUMEM,
                       "%s: %ux%u needs at least %.0f MB of device memory, %.0f MB may be used; "
                       "free some, or %s",
                       v->info.name, width, height, (double)s.least / 1e6, (double)s.budget / 1e6,
                       s.o->tile || s.o->window ? "leave the choice of tiles and windows open"
                                                : "allow more");
    if (s.o->whole && v->info.time_factor > 1)
        out->window = 0;
    return 0;
}

/* ---- in words ---------------------------------------------------------------------------- */

const char *vae_plan_text(char out[VAE_TEXT], const struct vae *v, enum vae_way way,
                          const struct vae_plan *p, uint32_t height, uint32_t width)
{
    int at = 0;
    const char *unit = way == VAE_ENCODE ? "frames" : "latents";
    bool single = v->info.time_factor == 1;
    if (single)
        at += snprintf(out, VAE_TEXT, "frame by frame");
    else if (!p->window)
        at += snprintf(out, VAE_TEXT, "all %s at once", unit);
    else
        at += snprintf(out, VAE_TEXT, "windows of %u %s%s", p->window, unit,
                       v->info.family == VAE_OPENSORA ? ""
                       : p->carry                     ? ", the past carried over"
                                                      : " sharing one");
    uint32_t rows = vae_tile_count(&p->tiles, height), columns = vae_tile_count(&p->tiles, width);
    uint32_t f = way == VAE_ENCODE ? 1 : v->info.space_factor;
    if (p->tiles.size && rows * columns > 1)
        at += snprintf(out + at, VAE_TEXT - (size_t)at, ", %ux%u tiles of %u pixels", columns, rows,
                       p->tiles.size * f);
    if (p->passes > 1)
        at += snprintf(out + at, VAE_TEXT - (size_t)at, ", %u passes", p->passes);
    if (p->bytes)
        snprintf(out + at, VAE_TEXT - (size_t)at, "; about %.0f MB", (double)p->bytes / 1e6);
    return out;
}
