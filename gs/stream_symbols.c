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

static uint32_t size_of(int32_t v)
{
    return v < 0 ? 0u - (uint32_t)v : (uint32_t)v;
}

/* 0: zero, 1: up to 2, 2: more */
static int level_before(uint32_t size)
{
    return size == 0 ? 0 : size <= 2 ? 1 : 2;
}

/* 0: zero, 1: negative, 2: positive */
static int sign_class(int64_t v)
{
    return v == 0 ? 0 : v < 0 ? 1 : 2;
}

static bool any(const int32_t *q, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (q[i])
            return true;
    return false;
}

/* Whether a block, or those beside it, changed in the frame before. */
static int block_before(const struct gs_symbols *s, uint32_t begin, uint32_t end)
{
    size_t comps = (size_t)s->comps;
    if (!s->before)
        return 0;
    if (any(s->before + begin * comps, (end - begin) * comps))
        return 1;
    uint32_t low = begin < GS_SYMBOL_BLOCK ? 0 : begin - GS_SYMBOL_BLOCK;
    uint32_t high = s->count - end < GS_SYMBOL_BLOCK ? s->count : end + GS_SYMBOL_BLOCK;
    return any(s->before + low * comps, (high - low) * comps) ? 2 : 0;
}

static int active_before(const struct gs_symbols *s, uint32_t i)
{
    size_t comps = (size_t)s->comps;
    if (!s->before)
        return 0;
    uint64_t sum = 0;
    for (size_t c = 0; c < comps; c++)
        sum += size_of(s->before[i * comps + c]);
    int level = sum == 0 ? 0 : sum <= 2 ? 1 : 2;
    return level * 2 + (i + 1 < s->count && any(s->before + (i + 1) * comps, comps));
}

/* The symbols of one Gaussian. */
static void code_one(struct gs_coder *coder, struct gs_symbol_models *m, const struct gs_symbols *s,
                     uint32_t i)
{
    size_t comps = (size_t)s->comps;
    int32_t *q = s->q + i * comps;
    const int32_t *before = s->before ? s->before + i * comps : NULL;
    const int32_t *near[GS_NEAR];
    int nears = 0;
    for (int k = 0; k < GS_NEAR && s->near[i][k] != ~0u; k++)
        near[nears++] = s->q + s->near[i][k] * comps;

    if (s->sparse) {
        int moved = 0;
        for (int k = 0; k < nears; k++)
            moved += any(near[k], comps);
        moved = moved > 3 ? 3 : moved;
        if (!gs_code_bit(coder, &m->active[active_before(s, i)][moved], any(q, comps))) {
            memset(q, 0, comps * sizeof *q);
            return;
        }
    }
    int found = 0; /* components that were not 0 */
    for (size_t c = 0; c < comps; c++) {
        struct gs_component_models *model = &m->comp[c];
        uint64_t sizes = 0;
        int64_t sum = 0;
        for (int k = 0; k < nears; k++) {
            sum += near[k][c];
            sizes += size_of(near[k][c]);
        }
        sizes = nears ? 2 * sizes / (uint64_t)nears : 0;
        int by_near = sizes == 0 ? 0 : sizes <= 2 ? 1 : sizes <= 6 ? 2 : 3;
        int by_before = before ? level_before(size_of(before[c])) : 0;
        int order = c == 0 ? 0 : !found ? 1 : c > 1 && found > 1 ? 3 : 2;
        /* the last one of an active Gaussian whose others are 0 cannot be 0 */
        bool sure = s->sparse && c + 1 == comps && !found;
        if (!sure && !gs_code_bit(coder, &model->nonzero[by_before][by_near][order], q[c] != 0)) {
            q[c] = 0;
            continue;
        }
        found++;
        struct gs_bit *sign = &model->negative[before ? sign_class(before[c]) : 0][sign_class(sum)];
        bool negative = gs_code_bit(coder, sign, q[c] < 0);
        int32_t v = (int32_t)gs_code_number(coder, model->number[by_before][by_near], size_of(q[c]));
        q[c] = negative ? -v : v;
    }
}

void gs_code_symbols(struct gs_coder *c, struct gs_symbol_models *m, const struct gs_symbols *s)
{
    size_t comps = (size_t)s->comps;
    bool last = false;
    for (uint32_t begin = 0; begin < s->count; begin += GS_SYMBOL_BLOCK) {
        uint32_t end = s->count - begin < GS_SYMBOL_BLOCK ? s->count : begin + GS_SYMBOL_BLOCK;
        size_t symbols = (end - begin) * comps;
        if (s->sparse) {
            struct gs_bit *flag = &m->block[block_before(s, begin, end)][last];
            last = gs_code_bit(c, flag, c->writing && any(s->q + begin * comps, symbols));
            if (!last) {
                memset(s->q + begin * comps, 0, symbols * sizeof *s->q);
                continue;
            }
        }
        for (uint32_t i = begin; i < end; i++)
            code_one(c, m, s, i);
    }
}

/* ---- octree ---- */

struct octree {
    struct gs_coder *coder;
    struct gs_octree_models *models;
    unsigned bits;
    uint64_t *code;
    uint32_t count, done; /* read so far */
};

void gs_octree_models_reset(struct gs_octree_models *m)
{
    gs_bits_reset(&m->node[0][0][0], sizeof m->node / sizeof(struct gs_bit));
    gs_bits_reset(m->more, sizeof m->more / sizeof(struct gs_bit));
}

/* Children of a node at `level` whose codes begin with `prefix`; writing, its codes are
 * [begin,end). The recursion is at most 21 deep. */
static int octree_node(struct octree *o, uint32_t begin, uint32_t end, unsigned level,
                       uint64_t prefix, int siblings)
{
    bool writing = o->coder->writing;
    if (level == o->bits) {
        uint32_t same = 1;
        while (gs_code_bit(o->coder, &o->models->more[same < 8 ? same - 1 : 7], end - begin > same)) {
            same++;
            if (!writing && same > o->count - o->done)
                return FV_EFORMAT;
        }
        if (!writing) {
            if (same > o->count - o->done)
                return FV_EFORMAT;
            for (uint32_t i = 0; i < same; i++)
                o->code[o->done++] = prefix;
        }
        return 0;
    }
    unsigned shift = 3 * (o->bits - 1 - level);
    uint32_t start[9] = {begin};
    if (writing)
        for (uint64_t k = 0; k < 8; k++) {
            uint32_t at = start[k];
            while (at < end && (o->code[at] >> shift & 7) == k)
                at++;
            start[k + 1] = at;
        }
    struct gs_bit *models = o->models->node[o->bits - level][siblings];
    unsigned occupied = 0, path = 1;
    for (unsigned k = 0; k < 8; k++) {
        /* a node has a child: if none of seven is, the eighth is there */
        bool bit = k == 7 && path == 128
                       ? true
                       : gs_code_bit(o->coder, &models[path], writing && start[k + 1] > start[k]);
        path = path * 2 + bit;
        occupied |= (unsigned)bit << k;
    }
    int children = __builtin_popcount(occupied);
    for (unsigned k = 0; k < 8; k++)
        if (occupied >> k & 1) {
            if (!writing && o->done == o->count)
                return FV_EFORMAT;
            FV_TRY(octree_node(o, start[k], start[k + 1], level + 1, prefix << 3 | k, children));
        }
    return 0;
}

int gs_code_octree(struct gs_coder *c, struct gs_octree_models *m, uint64_t *code, uint32_t count,
                   unsigned bits)
{
    struct octree o = {.coder = c, .models = m, .bits = bits, .code = code, .count = count};
    int rc = count ? octree_node(&o, 0, count, 0, 0, 0) : 0;
    if (rc < 0 || (!c->writing && o.done != count))
        rc = fv_fail(FV_EFORMAT, "positions: the octree does not hold %u Gaussians", count);
    return rc;
}
