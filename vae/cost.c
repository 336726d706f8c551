/* FLOPs of a clip under a plan (vae.h), from dry runs of its pieces: windows, chunks and tiles go
 * as in run.c and tile.c. */
#include "vae/private.h"

/* Shapes that were counted already: a clip has few. */
enum { SHAPES = 32 };
struct count {
    struct vae *v;
    const struct vae_plan *plan;
    struct vae_shape shape[SHAPES];
    double flops[SHAPES], sum;
    uint32_t used;
};

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static bool alike(const struct vae_shape *a, const struct vae_shape *b)
{
    return a->stage == b->stage && a->frames == b->frames && a->channels == b->channels &&
           a->height == b->height && a->width == b->width && a->first == b->first &&
           a->last == b->last;
}

static int add_piece(struct count *c, const struct vae_shape *shape)
{
    struct nn_cost cost;
    uint64_t bytes;
    for (uint32_t i = 0; i < c->used; i++)
        if (alike(&c->shape[i], shape)) {
            c->sum += c->flops[i];
            return 0;
        }
    FV_TRY(vae_session_cost(c->v, shape, c->plan->carry, c->plan->passes > 1, &cost, &bytes));
    c->sum += cost.flops;
    if (c->used < SHAPES) {
        c->shape[c->used] = *shape;
        c->flops[c->used++] = cost.flops;
    }
    return 0;
}

static int add_tiles(struct count *c, const struct vae_tiles *t, const struct vae_shape *whole)
{
    uint32_t rows = vae_tile_count(t, whole->height), columns = vae_tile_count(t, whole->width);
    struct vae_shape tile = *whole;
    if (!t->size || (rows == 1 && columns == 1 && !t->rest))
        return add_piece(c, whole);
    tile.first = tile.last = true;
    for (uint32_t i = 0; i < rows; i++)
        for (uint32_t j = 0; j < columns; j++) {
            tile.height = least(t->size, whole->height - i * t->step);
            tile.width = least(t->size, whole->width - j * t->step);
            FV_TRY(add_piece(c, &tile));
        }
    return 0;
}

/* Windows, each of which begins with the last frame of the one before or goes on where that ended.
 */
static int add_windows(struct count *c, struct vae_shape shape, enum vae_way way, uint32_t length)
{
    static const struct vae_tiles none = {0};
    const struct vae_plan *p = c->plan;
    uint32_t n = c->v->info.time_factor;
    for (uint32_t at = 0, i = 0; at < length; i++) {
        uint32_t keep = i && !p->carry ? 1 : 0;
        uint32_t most = p->window ? p->window - (i && p->carry ? 1 : 0) : length;
        uint32_t fresh = least(most - keep, length - at);
        at += fresh;
        shape.first = !i;
        shape.last = at == length;
        shape.frames = keep + fresh;
        if (shape.last && way == VAE_ENCODE)
            shape.frames += (n - (length - 1) % n) % n;
        bool one = shape.first && shape.last && shape.height <= p->tiles.size &&
                   shape.width <= p->tiles.size;
        FV_TRY(add_tiles(c, one ? &none : &p->tiles, &shape));
    }
    return 0;
}

/* Open-Sora's: frames alone, and chunks of their latents. */
static int add_chunks(struct count *c, struct vae_shape frame, enum vae_way way, uint32_t length,
                      uint32_t frames)
{
    const struct vae_info *i = &c->v->info;
    uint32_t n = i->time_factor, f = i->space_factor, window = c->plan->window, written = 0;
    struct vae_tiles tiles = c->plan->tiles;
    struct vae_shape chunk = frame;
    chunk.stage = &vae_temporal_stages[way];
    chunk.channels = i->channels;
    if (way == VAE_ENCODE) {
        chunk.height /= f;
        chunk.width /= f;
        tiles.size /= f;
        tiles.step /= f;
    }
    for (uint32_t at = 0; at < length;) {
        uint32_t fresh = window ? least(window, length - at) : length, pictures = fresh;
        at += fresh;
        chunk.frames = way == VAE_ENCODE ? (fresh + n - 1) / n * n : fresh;
        if (way == VAE_DECODE) {
            pictures = fresh == window ? i->window : 1 + (fresh - 1) * n;
            uint32_t left = frames > written ? frames - written : 0;
            if (frames)
                pictures = !window || left < i->window ? left : i->window;
            pictures = least(pictures, fresh * n);
            written += pictures;
        }
        FV_TRY(add_tiles(c, &tiles, &chunk));
        for (uint32_t k = 0; k < pictures; k++)
            FV_TRY(add_tiles(c, &c->plan->tiles, &frame));
    }
    return 0;
}

int vae_plan_flops(double *out, struct vae *v, enum vae_way way, const struct vae_plan *p,
                   const struct vae_clip_size *size)
{
    struct count c = {.v = v, .plan = p};
    struct vae_shape shape = {.stage = vae_stage_of(v, way),
                              .frames = 1,
                              .channels = way == VAE_ENCODE ? 3 : v->info.channels,
                              .height = size->height,
                              .width = size->width,
                              .first = true,
                              .last = true};
    int rc = 0;
    if (v->info.family == VAE_OPENSORA)
        rc = add_chunks(&c, shape, way, size->length, size->frames);
    else if (v->info.time_factor > 1)
        rc = add_windows(&c, shape, way, size->length);
    for (uint32_t i = 0; i < size->length && rc >= 0 && v->info.time_factor == 1; i++)
        rc = add_tiles(&c, &p->tiles, &shape);
    *out = c.sum * (p->passes ? p->passes : 1);
    return rc < 0 ? rc : 0;
}
