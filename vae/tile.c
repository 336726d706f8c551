/* Spatial tiles with cross-fades, as Open-Sora-Plan's and CV-VAE's code do it: tiles in rows; a tile
 * is faded into the one above, then into the one to the left, both already faded themselves; then
 * it is cut to what is not shared. */
#include "vae/private.h"

#include <stdlib.h>
#include <string.h>

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

uint32_t vae_tile_count(const struct vae_tiles *t, uint32_t length)
{
    uint32_t n = 1;
    if (!t->size)
        return 1;
    for (uint32_t at = 0; t->rest ? at + t->step < length : at + t->size < length; at += t->step)
        n++;
    return n;
}

static void copy_tile(struct vae_piece *tile, const struct vae_piece *in, uint32_t y, uint32_t x)
{
    size_t planes = (size_t)in->frames * in->channels;
    for (size_t p = 0; p < planes; p++)
        for (uint32_t row = 0; row < tile->height; row++)
            memcpy(tile->data + (p * tile->height + row) * tile->width,
                   in->data + (p * in->height + y + row) * in->width + x,
                   tile->width * sizeof(float));
}

/* The first rows of b from the last rows of a to b's own. */
static void fade_rows(const struct vae_piece *a, struct vae_piece *b, uint32_t fade)
{
    size_t planes = (size_t)b->frames * b->channels;
    uint32_t n = least(fade, least(a->height, b->height));
    for (size_t p = 0; p < planes; p++)
        for (uint32_t y = 0; y < n; y++) {
            float t = (float)y / (float)n;
            const float *from = a->data + (p * a->height + a->height - n + y) * a->width;
            float *to = b->data + (p * b->height + y) * b->width;
            for (uint32_t x = 0; x < b->width; x++)
                to[x] = from[x] * (1 - t) + to[x] * t;
        }
}

static void fade_columns(const struct vae_piece *a, struct vae_piece *b, uint32_t fade)
{
    size_t rows = (size_t)b->frames * b->channels * b->height;
    uint32_t n = least(fade, least(a->width, b->width));
    for (size_t r = 0; r < rows; r++)
        for (uint32_t x = 0; x < n; x++) {
            float t = (float)x / (float)n;
            float *to = b->data + r * b->width + x;
            *to = a->data[r * a->width + a->width - n + x] * (1 - t) + *to * t;
        }
}

/* What is kept of a tile goes to (y, x) of the whole. */
static void place(struct vae_piece *out, const struct vae_piece *tile, uint32_t y, uint32_t x,
                  uint32_t height, uint32_t width)
{
    size_t planes = (size_t)tile->frames * tile->channels;
    for (size_t p = 0; p < planes; p++)
        for (uint32_t row = 0; row < height; row++)
            memcpy(out->data + (p * out->height + y + row) * out->width + x,
                   tile->data + (p * tile->height + row) * tile->width, width * sizeof(float));
}

static uint32_t kept_of(const struct vae_tiles *t, uint32_t length, bool end)
{
    return end && !t->rest ? length : least(length, t->keep);
}

/* Tiles of one row and the one above it. */
struct rows {
    struct vae_piece *above, *row;
    uint32_t columns;
};

static int run_tile(struct vae_session *s, const struct vae_stage *stage, const struct vae_tiles *t,
                    const struct vae_piece *in, uint32_t i, uint32_t j, struct vae_piece *tile,
                    struct vae_piece *result)
{
    uint32_t y = i * t->step, x = j * t->step;
    FV_TRY(vae_piece_resize(tile, in->frames, in->channels, least(t->size, in->height - y),
                            least(t->size, in->width - x)));
    copy_tile(tile, in, y, x);
    return vae_session_run(s, stage, tile, true, true, result);
}

/* The place of a row of tiles: all but the last keep t->keep. */
static void place_row(struct vae_piece *out, const struct vae_tiles *t, const struct rows *r,
                      uint32_t y, bool end)
{
    uint32_t x = 0;
    for (uint32_t j = 0; j < r->columns; j++) {
        const struct vae_piece *tile = &r->row[j];
        uint32_t h = least(kept_of(t, tile->height, end), out->height - y);
        uint32_t w = least(kept_of(t, tile->width, j + 1 == r->columns), out->width - x);
        place(out, tile, y, x, h, w);
        x += w;
    }
}

int vae_tiles_run(struct vae_session *s, const struct vae_stage *stage, const struct vae_tiles *t,
                  const struct vae_piece *in, bool first, bool last, struct vae_piece *out)
{
    uint32_t f = s->v->info.space_factor, count = vae_tile_count(t, in->height);
    struct rows r = {.columns = vae_tile_count(t, in->width)};
    if (!t->size || (count == 1 && r.columns == 1 && !t->rest))
        return vae_session_run(s, stage, in, first, last, out);
    struct vae_piece tile = {0};
    r.above = calloc(r.columns, sizeof *r.above);
    r.row = calloc(r.columns, sizeof *r.row);
    int rc = r.above && r.row ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    uint32_t y = 0;
    for (uint32_t i = 0; i < count && rc >= 0; i++) {
        for (uint32_t j = 0; j < r.columns && rc >= 0; j++) {
            rc = run_tile(s, stage, t, in, i, j, &tile, &r.row[j]);
            if (rc >= 0 && i)
                fade_rows(&r.above[j], &r.row[j], t->fade);
            if (rc >= 0 && j)
                fade_columns(&r.row[j - 1], &r.row[j], t->fade);
            if (rc >= 0)
                rc = vae_session_tick(s, (double)(i * r.columns + j + 1) / (count * r.columns));
        }
        if (rc >= 0 && !i)
            rc = vae_piece_resize(out, r.row[0].frames, r.row[0].channels,
                                  stage->shrinks ? in->height / f
                                  : stage->grows ? in->height * f
                                                 : in->height,
                                  stage->shrinks ? in->width / f
                                  : stage->grows ? in->width * f
                                                 : in->width);
        if (rc >= 0) {
            place_row(out, t, &r, y, i + 1 == count);
            y = least(y + kept_of(t, r.row[0].height, false), out->height);
        }
        struct vae_piece *swap = r.above;
        r.above = r.row;
        r.row = swap;
    }
    for (uint32_t j = 0; j < r.columns; j++) {
        if (r.above)
            vae_piece_finish(&r.above[j]);
        if (r.row)
            vae_piece_finish(&r.row[j]);
    }
    free(r.above);
    free(r.row);
    vae_piece_finish(&tile);
    return rc;
}
