/* Contexts of quantised attributes (stream_symbols.h); the octree of positions. */
#include "gs/stream_symbols.h"

#include <stdlib.h>
#include <string.h>

struct gs_symbol_models *gs_symbol_models_create(int comps)
{
    struct gs_symbol_models *m = malloc(sizeof *m + (size_t)comps * sizeof *m->comp);
    if (m) {
        m->comps = comps;
        gs_symbol_models_reset(m);
    }
    return m;
}

void gs_symbol_models_reset(struct gs_symbol_models *m)
{
    gs_bits_reset(&m->block[0][0], sizeof m->block / sizeof(struct gs_bit));
    gs_bits_reset(&m->active[0][0], sizeof m->active / sizeof(struct gs_bit));
    gs_bits_reset((struct gs_bit *)m->comp,
                  (size_t)m->comps * sizeof *m->comp / sizeof(struct gs_bit));
}

void gs_symbol_models_copy(struct gs_symbol_models *to, const struct gs_symbol_models *from)
{
    memcpy(to, from, sizeof *from + (size_t)from->comps * sizeof *from->comp);
}

int gs_active_create(struct gs_active *a, uint32_t count)
{
    a->gaussian = calloc((size_t)count + 1, 1);
    a->block = calloc((size_t)gs_symbol_blocks(count) + 1, 1);
    if (a->gaussian && a->block)
        return 0;
    gs_active_finish(a);
    return fv_fail(FV_ENOMEM, "no memory for symbols of %u Gaussians", count);
}

void gs_active_finish(struct gs_active *a)
{
    free(a->gaussian);
    free(a->block);
    *a = (struct gs_active){0};
}

static uint32_t block_end(const struct gs_symbols *s, uint32_t block)
{
    uint32_t begin = block * GS_SYMBOL_BLOCK;
    return s->count - begin < GS_SYMBOL_BLOCK ? s->count : begin + GS_SYMBOL_BLOCK;
}

void gs_symbols_clear(const struct gs_symbols *s)
{
    for (uint32_t block = 0; block < gs_symbol_blocks(s->count); block++) {
        if (!s->active->block[block])
            continue;
        uint32_t begin = block * GS_SYMBOL_BLOCK, n = block_end(s, block) - begin;
        memset(s->q + begin * s->stride, 0, n * s->stride * sizeof *s->q);
        memset(s->active->gaussian + begin, 0, n);
        s->active->block[block] = 0;
    }
}

GS_INLINE uint32_t size_of(int32_t v)
{
    return v < 0 ? 0u - (uint32_t)v : (uint32_t)v;
}

/* 0: zero, 1: up to 2, 2: more */
GS_INLINE uint8_t level_of(uint64_t size)
{
    return size == 0 ? 0 : size <= 2 ? 1 : 2;
}

/* 0: zero, 1: negative, 2: positive */
GS_INLINE int sign_class(int32_t v)
{
    return v == 0 ? 0 : v < 0 ? 1 : 2;
}

static uint8_t active_level(const struct gs_symbols *s, uint32_t i)
{
    const int32_t *q = s->q + i * s->stride;
    uint64_t sum = 0;
    for (int c = 0; c < s->comps; c++)
        sum += size_of(q[c]);
    return level_of(sum);
}

void gs_symbols_find_active(const struct gs_symbols *s)
{
    for (uint32_t block = 0; block < gs_symbol_blocks(s->count); block++) {
        s->active->block[block] = 0;
        for (uint32_t i = block * GS_SYMBOL_BLOCK; i < block_end(s, block); i++) {
            s->active->gaussian[i] = active_level(s, i);
            s->active->block[block] |= s->active->gaussian[i] != 0;
        }
    }
}

/* Whether a block, or those beside it, changed in the frame before. */
static int block_before(const struct gs_symbols *s, uint32_t block)
{
    const struct gs_active *b = s->active_before;
    if (!b)
        return 0;
    if (b->block[block])
        return 1;
    return (block && b->block[block - 1]) ||
                   (block + 1 < gs_symbol_blocks(s->count) && b->block[block + 1])
               ? 2
               : 0;
}

static int active_before(const struct gs_symbols *s, uint32_t i)
{
    const struct gs_active *b = s->active_before;
    return b ? b->gaussian[i] * 2 + (i + 1 < s->count && b->gaussian[i + 1]) : 0;
}

/* Symbols of up to four neighbours, by component. */
struct around {
    int32_t sum[GS_MOST_CODED];
    uint8_t size[GS_MOST_CODED]; /* their mean size, doubled: 0, up to 2, up to 6, more */
};

GS_INLINE void look_around(struct around *r, const struct gs_symbols *s, const uint32_t *near,
                           size_t comps)
{
    static const int32_t none[GS_MOST_CODED];
    const int32_t *a[GS_NEAR];
    uint32_t nears = 0;
    for (int k = 0; k < GS_NEAR; k++) {
        a[k] = near[k] != ~0u ? s->q + near[k] * s->stride : none;
        nears += near[k] != ~0u;
    }
    nears = nears ? nears : 1;
    for (size_t c = 0; c < comps; c++) {
        uint32_t size = 2 * (size_of(a[0][c]) + size_of(a[1][c]) + size_of(a[2][c]) + size_of(a[3][c]));
        r->sum[c] = a[0][c] + a[1][c] + a[2][c] + a[3][c];
        r->size[c] = (uint8_t)((size >= nears) + (size >= 3 * nears) + (size >= 7 * nears));
    }
}

/* The symbols of one Gaussian, which has some if `some`. */
GS_INLINE uint8_t code_one(struct gs_coder *coder, struct gs_symbol_models *m,
                           const struct gs_symbols *s, uint32_t i, size_t comps, bool some,
                           bool writing)
{
    int32_t *q = s->q + i * s->stride;
    const int32_t *before = s->before ? s->before + i * s->stride : NULL;
    struct around around;
    uint64_t sum = 0;
    int found = 0; /* components that were not 0 */
    look_around(&around, s, s->near[i], comps);
    for (size_t c = 0; c < comps; c++) {
        struct gs_component_models *model = &m->comp[c];
        int by_before = before ? level_of(size_of(before[c])) : 0, by_near = around.size[c];
        int order = c == 0 ? 0 : !found ? 1 : c > 1 && found > 1 ? 3 : 2;
        /* the last one of an active Gaussian whose others are 0 cannot be 0 */
        bool sure = some && c + 1 == comps && !found;
        int32_t v = writing ? q[c] : 0; /* reading, not to be looked at: first use of a page is dear */
        if (!sure && !gs_code_bit_as(coder, &model->nonzero[by_before][by_near][order], v != 0,
                                     writing)) {
            q[c] = 0;
            continue;
        }
        found++;
        struct gs_bit *sign =
            &model->negative[before ? sign_class(before[c]) : 0][sign_class(around.sum[c])];
        bool negative = gs_code_bit_as(coder, sign, v < 0, writing);
        uint32_t size = gs_code_number_as(coder, model->number[by_before][by_near], size_of(v), writing);
        sum += size;
        q[c] = negative ? -(int32_t)size : (int32_t)size;
    }
    return level_of(sum);
}

/* Of Gaussians that all have symbols. */
GS_INLINE void code_all(struct gs_coder *coder, struct gs_symbol_models *m,
                        const struct gs_symbols *s, uint32_t begin, uint32_t end, size_t comps,
                        bool writing)
{
    struct gs_coder c = *coder;
    for (uint32_t i = begin; i < end; i++)
        code_one(&c, m, s, i, comps, false, writing);
    *coder = c;
}

void gs_read_symbols(struct gs_coder *c, struct gs_symbol_models *m, const struct gs_symbols *s,
                     uint32_t begin, uint32_t end)
{
    size_t comps = (size_t)s->comps;
    if (comps == 15) /* the longest sections, so worth a loop of their own */
        code_all(c, m, s, begin, end, 15, false);
    else
        code_all(c, m, s, begin, end, comps, false);
}

/* Of a few that have. */
GS_INLINE void code_some(struct gs_coder *coder, struct gs_symbol_models *m,
                         const struct gs_symbols *s, bool writing)
{
    struct gs_coder c = *coder;
    uint8_t *active = s->active->gaussian;
    bool last = false;
    for (uint32_t block = 0; block < gs_symbol_blocks(s->count); block++) {
        uint32_t end = block_end(s, block);
        struct gs_bit *flag = &m->block[block_before(s, block)][last];
        last = gs_code_bit_as(&c, flag, writing && s->active->block[block], writing);
        if (!last)
            continue;
        s->active->block[block] = 1;
        for (uint32_t i = block * GS_SYMBOL_BLOCK; i < end; i++) {
            const uint32_t *near = s->near[i];
            int moved = 0;
            for (int k = 0; k < GS_NEAR && near[k] != ~0u; k++)
                moved += active[near[k]] != 0;
            flag = &m->active[active_before(s, i)][moved > 3 ? 3 : moved];
            if (gs_code_bit_as(&c, flag, writing && active[i], writing))
                active[i] = code_one(&c, m, s, i, (size_t)s->comps, true, writing);
        }
    }
    *coder = c;
}

void gs_code_symbols(struct gs_coder *c, struct gs_symbol_models *m, const struct gs_symbols *s)
{
    if (s->active && c->writing) {
        gs_symbols_find_active(s);
        code_some(c, m, s, true);
    } else if (s->active) {
        code_some(c, m, s, false);
    } else if (c->writing) {
        code_all(c, m, s, 0, s->count, (size_t)s->comps, true);
    } else {
        gs_read_symbols(c, m, s, 0, s->count);
    }
}

/* ---- octree ---- */

struct octree {
    struct gs_octree_models *models;
    unsigned bits;
    uint64_t *code;
    uint32_t count, done; /* read so far */
    uint32_t tell_at;     /* when so many are read */
    void (*placed)(void *ud, uint32_t done);
    void *ud;
};

void gs_octree_models_reset(struct gs_octree_models *m)
{
    gs_bits_reset(&m->node[0][0][0], sizeof m->node / sizeof(struct gs_bit));
    gs_bits_reset(m->more, sizeof m->more / sizeof(struct gs_bit));
}

/* A node on the way to the place at hand. */
struct octree_node {
    uint64_t prefix;   /* its codes begin with */
    unsigned left;     /* children still to be visited, a bit each */
    int children;
    uint32_t start[9]; /* writing: its children's codes */
};

/* How many are at a place; writing, [begin,end). */
GS_INLINE int code_place(struct gs_coder *c, struct octree *o, uint64_t prefix, uint32_t begin,
                         uint32_t end, bool writing)
{
    uint32_t same = 1;
    while (gs_code_bit_as(c, &o->models->more[same < 8 ? same - 1 : 7], end - begin > same, writing)) {
        same++;
        if (!writing && same > o->count - o->done)
            return FV_EFORMAT;
    }
    if (writing)
        return 0;
    if (same > o->count - o->done)
        return FV_EFORMAT;
    for (uint32_t i = 0; i < same; i++)
        o->code[o->done++] = prefix;
    if (o->done >= o->tell_at) {
        o->placed(o->ud, o->done);
        o->tell_at = o->done + GS_NEAR_PIECE;
    }
    return 0;
}

/* Which children a node at `level` has; writing, its codes are [begin,end). */
GS_INLINE void code_node(struct gs_coder *c, struct octree *o, struct octree_node *n, unsigned level,
                         int siblings, uint32_t begin, uint32_t end, bool writing)
{
    unsigned shift = 3 * (o->bits - 1 - level);
    n->start[0] = begin;
    if (writing)
        for (uint64_t k = 0; k < 8; k++) {
            uint32_t at = n->start[k];
            while (at < end && (o->code[at] >> shift & 7) == k)
                at++;
            n->start[k + 1] = at;
        }
    struct gs_bit *models = o->models->node[o->bits - level][siblings];
    unsigned path = 1;
    n->left = 0;
    for (unsigned k = 0; k < 8; k++) {
        /* a node has a child: if none of seven is, the eighth is there */
        bool bit = k == 7 && path == 128
                       ? true
                       : gs_code_bit_as(c, &models[path], writing && n->start[k + 1] > n->start[k],
                                        writing);
        path = path * 2 + bit;
        n->left |= (unsigned)bit << k;
    }
    n->children = 0;
    for (unsigned rest = n->left; rest; rest &= rest - 1)
        n->children++;
}

/* In the order of the codes. */
GS_INLINE int code_octree(struct gs_coder *coder, struct octree *o, bool writing)
{
    struct octree_node node[GS_OCTREE_BITS];
    struct gs_coder c = *coder;
    unsigned level = 0;
    if (!o->bits) { /* one place */
        FV_TRY(code_place(&c, o, 0, 0, o->count, writing));
        *coder = c;
        return 0;
    }
    node[0].prefix = 0;
    code_node(&c, o, &node[0], 0, 0, 0, o->count, writing);
    for (;;) {
        struct octree_node *n = &node[level];
        if (!n->left) {
            if (!level--)
                break;
            continue;
        }
        unsigned k = (unsigned)__builtin_ctz(n->left);
        uint64_t prefix = n->prefix << 3 | k;
        uint32_t begin = writing ? n->start[k] : 0, end = writing ? n->start[k + 1] : 0;
        n->left &= n->left - 1;
        if (!writing && o->done == o->count)
            return FV_EFORMAT;
        if (level + 1 == o->bits) {
            FV_TRY(code_place(&c, o, prefix, begin, end, writing));
        } else {
            node[++level].prefix = prefix;
            code_node(&c, o, &node[level], level, n->children, begin, end, writing);
        }
    }
    *coder = c;
    return 0;
}

static int run_octree(struct gs_coder *c, struct octree *o)
{
    int rc = !o->count ? 0 : c->writing ? code_octree(c, o, true) : code_octree(c, o, false);
    if (rc < 0 || (!c->writing && o->done != o->count))
        rc = fv_fail(FV_EFORMAT, "positions: the octree does not hold %u Gaussians", o->count);
    return rc;
}

int gs_code_octree(struct gs_coder *c, struct gs_octree_models *m, uint64_t *code, uint32_t count,
                   unsigned bits)
{
    struct octree o = {.models = m, .bits = bits, .code = code, .count = count, .tell_at = ~0u};
    return run_octree(c, &o);
}

int gs_read_octree(struct gs_coder *c, struct gs_octree_models *m, uint64_t *code, uint32_t count,
                   unsigned bits, void (*placed)(void *ud, uint32_t done), void *ud)
{
    struct octree o = {.models = m, .bits = bits, .code = code, .count = count,
                       .tell_at = GS_NEAR_PIECE, .placed = placed, .ud = ud};
    FV_TRY(run_octree(c, &o));
    placed(ud, count);
    return 0;
}
