/* Reading of base keys (stream.h), all sections at once, each in a thread.
 *
 * Symbols of an attribute ask for those of Gaussians nearby, which positions so far tell: they follow
 * the octree while that is read. Values need levels, and take the place of symbols; they follow as far
 * as levels are known and no symbol after them looks back. Sections are begun in an order in which
 * each waits for earlier ones only, so that any number of threads comes to an end. */
#include "gs/stream_key.h"
#include "vk/base/thread.h"

#include <stdlib.h>
#include <string.h>

struct reading {
    struct gs_stream_base *b;
    const struct gs_section *in;
    struct gs_plane plane[GS_ATTRS];
    enum gs_attr attr[GS_ATTRS]; /* but positions: longest first, scales before rotations */
    uint64_t *code;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool failed; /* positions or levels are none */
    /* So many Gaussians, in their order, have */
    uint32_t placed; /* a position */
    uint32_t looked; /* someone who looks for what is near */
    uint32_t near;   /* what is near */
    uint32_t levels;
    uint32_t turns; /* scales, and levels of rotations */
    bool *found;    /* of pieces: what is near is known */
};

static void tell(struct reading *r, uint32_t *known, uint32_t now)
{
    pthread_mutex_lock(&r->lock);
    *known = now;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

/* How many of the first `end` Gaussians something is known of; all of them once it waited. */
static uint32_t known(struct reading *r, const uint32_t *what, uint32_t end, bool wait)
{
    pthread_mutex_lock(&r->lock);
    while (wait && *what < end && !r->failed)
        pthread_cond_wait(&r->changed, &r->lock);
    uint32_t n = *what < end ? *what : end;
    pthread_mutex_unlock(&r->lock);
    return n;
}

static uint32_t piece_end(const struct reading *r, uint32_t begin)
{
    uint32_t left = r->b->state.count - begin;
    return begin + (left < GS_NEAR_PIECE ? left : GS_NEAR_PIECE);
}

/* Waits until what is near is known of all up to `end`, and looks for it meanwhile. False: in vain. */
static bool find_near(struct reading *r, uint32_t end)
{
    pthread_mutex_lock(&r->lock);
    while (r->near < end && !r->failed) {
        uint32_t begin = r->looked, stop = piece_end(r, begin);
        if (begin == stop || stop > r->placed) {
            pthread_cond_wait(&r->changed, &r->lock);
            continue;
        }
        r->looked = stop;
        pthread_mutex_unlock(&r->lock);
        gs_stream_find_near_of(r->b, begin, stop);
        pthread_mutex_lock(&r->lock);
        r->found[begin / GS_NEAR_PIECE] = true;
        while (r->near < r->looked && r->found[r->near / GS_NEAR_PIECE])
            r->near = piece_end(r, r->near);
        pthread_cond_broadcast(&r->changed);
    }
    bool there = !r->failed;
    pthread_mutex_unlock(&r->lock);
    return there;
}

static void placed(void *ud, uint32_t count)
{
    struct reading *r = ud;
    gs_key_place(r->b, r->code, r->placed, count); /* no one else sets r->placed */
    tell(r, &r->placed, count);
}

static void give_up(struct reading *r)
{
    pthread_mutex_lock(&r->lock);
    r->failed = true;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

/* Positions and levels, which all else waits for. */
static int read_structure(struct reading *r)
{
    struct gs_coder c;
    struct gs_key_models *m = r->b->learned;
    const struct gs_section *s = &r->in[GS_SECTION_ATTRS + GS_POSITION];
    uint32_t count = r->b->state.count;
    gs_coder_read(&c, s->bytes, s->size);
    gs_octree_models_reset(&m->octree);
    FV_TRY(gs_read_octree(&c, &m->octree, r->code, count, r->b->bits, placed, r));
    s = &r->in[GS_SECTION_MODEL];
    gs_coder_read(&c, s->bytes, s->size);
    gs_bits_reset(&m->level[0][0], (size_t)GS_LEVELS * GS_NUMBER_MODELS);
    for (uint32_t begin = 0, end; begin < count; begin = end) {
        end = piece_end(r, begin);
        find_near(r, end);
        FV_TRY(gs_code_levels(&c, r->b, m->level, begin, end));
        tell(r, &r->levels, end);
    }
    return 0;
}

static void read_attr(struct reading *r, enum gs_attr a)
{
    struct gs_coder c;
    struct gs_plane *p = &r->plane[a];
    const struct gs_section *s = &r->in[GS_SECTION_ATTRS + a];
    const struct gs_symbols symbols = gs_plane_symbols(p);
    const uint32_t *steps = a == GS_ROTATION ? &r->turns : &r->levels;
    uint32_t count = r->b->state.count, values = 0;
    gs_coder_read(&c, s->bytes, s->size);
    gs_code_plane_head(&c, p);
    for (uint32_t begin = 0, end; begin < count; begin = end) {
        end = piece_end(r, begin);
        if (!find_near(r, end))
            return;
        gs_read_symbols(&c, p->models, &symbols, begin, end);
        bool last = end == count;
        uint32_t to = known(r, steps, last ? end : end - GS_NEAR_WINDOW, last);
        if (to <= values)
            continue;
        gs_plane_values(p, NULL, values, to);
        if (a == GS_SCALE) {
            gs_stream_find_turn_levels_of(r->b, values, to);
            tell(r, &r->turns, to);
        }
        values = to;
    }
}

static int read_sections(void *ud, size_t begin, size_t end)
{
    struct reading *r = ud;
    int rc = 0;
    for (size_t k = begin; k < end && rc == 0; k++) {
        if (k)
            read_attr(r, r->attr[k - 1]);
        else
            rc = read_structure(r);
    }
    if (rc < 0)
        give_up(r);
    return rc;
}

/* Longest first: threads end at about the same time. */
static size_t order_attrs(struct reading *r)
{
    size_t n = 0, scale = 0, rotation = 0;
    for (int a = GS_ROTATION; a < (int)gs_attr_end(r->b->state.sh_degree); a++) {
        size_t k = n++;
        for (; k > 0 && r->in[GS_SECTION_ATTRS + a].size > r->in[GS_SECTION_ATTRS + r->attr[k - 1]].size; k--)
            r->attr[k] = r->attr[k - 1];
        r->attr[k] = (enum gs_attr)a;
    }
    for (size_t k = 0; k < n; k++) {
        scale = r->attr[k] == GS_SCALE ? k : scale;
        rotation = r->attr[k] == GS_ROTATION ? k : rotation;
    }
    for (; scale > rotation; scale--) {
        r->attr[scale] = r->attr[scale - 1];
        r->attr[scale - 1] = GS_SCALE;
    }
    return n;
}

int gs_stream_read_key(struct gs_stream_base *b, const struct gs_section in[GS_SECTIONS])
{
    enum { MUCH = 6000 }; /* bytes that take longer than threads to begin */
    struct reading r = {.b = b, .in = in};
    uint32_t count = b->state.count;
    size_t attrs = order_attrs(&r), grain = gs_sections_size(in) > MUCH ? 1 : attrs + 1;
    for (size_t k = 0; k < attrs; k++)
        r.plane[r.attr[k]] = gs_plane_of(b, r.attr[k], b->learned, NULL);
    r.code = malloc((size_t)count * sizeof *r.code + 1);
    r.found = calloc(count / GS_NEAR_PIECE + 1, sizeof *r.found);
    pthread_mutex_init(&r.lock, NULL);
    pthread_cond_init(&r.changed, NULL);
    int rc = r.code && r.found ? fv_parallel(attrs + 1, grain, read_sections, &r)
                               : fv_fail(FV_ENOMEM, "no memory for a key");
    pthread_cond_destroy(&r.changed);
    pthread_mutex_destroy(&r.lock);
    free(r.found);
    free(r.code);
    return rc;
}
