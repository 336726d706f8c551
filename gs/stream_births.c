/* Gaussians that end or begin within a group (stream.h). The order of those that stay is kept; the
 * dead are taken out of it, which changes only how they are numbered, and the born go to its end.
 *
 *   deaths   symbols of one component, 1 where a Gaussian dies
 *   births   their number, then a small key that goes on with what the base's taught; which cluster
 *            each moves with */
#include "gs/stream.h"

#include <stdlib.h>
#include <string.h>

/* ---- models ---- */

int gs_key_models_create(struct gs_key_models **out, int sh_degree)
{
    struct gs_key_models *m = *out = calloc(1, sizeof *m);
    bool whole = m != NULL;
    for (int a = GS_ROTATION; whole && a < (int)gs_attr_end(sh_degree); a++) {
        m->attr[a] = gs_symbol_models_create(gs_attr_coded((enum gs_attr)a));
        whole = m->attr[a] != NULL;
    }
    if (whole)
        return 0;
    gs_key_models_destroy(out);
    return fv_fail(FV_ENOMEM, "no memory for a key");
}

void gs_key_models_destroy(struct gs_key_models **m)
{
    for (int a = 0; *m && a < GS_ATTRS; a++)
        free((*m)->attr[a]);
    free(*m);
    *m = NULL;
}

void gs_key_models_copy(struct gs_key_models *to, const struct gs_key_models *from)
{
    to->octree = from->octree;
    memcpy(to->level, from->level, sizeof to->level);
    memcpy(to->mean, from->mean, sizeof to->mean);
    for (int a = GS_ROTATION; a < GS_ATTRS; a++)
        if (to->attr[a])
            gs_symbol_models_copy(to->attr[a], from->attr[a]);
}

/* ---- numbering ---- */

static bool grow(void *array, size_t count, size_t size)
{
    void *grown, **at = array;
    if (count > SIZE_MAX / size || !(grown = realloc(*at, count * size + 1)))
        return false;
    *at = grown;
    return true;
}

/* The same, zeros after what there was. */
static bool grow_zeros(void *array, size_t had, size_t count, size_t size)
{
    if (!grow(array, count, size))
        return false;
    memset(*(uint8_t **)array + had * size, 0, (count - had) * size);
    return true;
}

static bool grow_active(struct gs_active *a, uint32_t had, uint32_t room)
{
    return grow_zeros(&a->gaussian, had, room, 1) &&
           grow_zeros(&a->block, gs_symbol_blocks(had), gs_symbol_blocks(room), 1);
}

/* Room for so many Gaussians; g->base is `own` from here on. */
static int make_room(struct gs_stream_group *g, uint32_t count)
{
    uint32_t room = g->room, had = g->state.count;
    struct gs_stream_base *own = &g->own;
    while (room < count)
        room += room / 4 + 64;
    bool more = room > g->room, whole = true;
    for (int a = 0; a < (int)gs_attr_end(g->state.sh_degree); a++)
        FV_TRY(gs_stream_group_own(g, (enum gs_attr)a));
    if (more || !own->level) {
        whole = grow(&own->level, room, 1) && grow(&own->turn_level, room, 1) &&
                grow(&own->near, room, sizeof *own->near);
        for (int a = 0; more && a < (int)gs_attr_end(g->state.sh_degree); a++) {
            size_t coded = (size_t)gs_attr_coded((enum gs_attr)a) * sizeof(int32_t);
            whole = whole &&
                    grow(&g->state.v[a], room, (size_t)gs_attr_comps((enum gs_attr)a) * sizeof(int32_t)) &&
                    grow_zeros(&g->q[a], g->room, room, coded) &&
                    grow_zeros(&g->before[a], g->room, room, coded) &&
                    grow_zeros(&g->change[a], g->room, room, coded) &&
                    grow_active(&g->active[a], g->room, room) &&
                    grow_active(&g->active_before[a], g->room, room);
        }
        whole = whole && (!g->morph.place || grow(&g->morph.place, room, sizeof *g->morph.place));
        for (int k = 0; more && k < GS_PARTS; k++)
            whole = whole && grow_zeros(&g->touched[k], g->room, room, sizeof *g->touched[k]);
        whole = whole && (!more || grow_zeros(&g->altered, g->room, room, sizeof *g->altered));
        whole = whole && (!more || (grow(&g->label, room, 1) && grow_zeros(&g->changed, g->room, room, 1) &&
                                    grow(&g->member, room, sizeof *g->member)));
        if (!whole)
            return fv_fail(FV_ENOMEM, "no memory for %u Gaussians", count);
        g->room = room;
    }
    if (g->base == g->key) {
        const struct gs_stream_base *key = g->key;
        memcpy(own->origin, key->origin, sizeof own->origin);
        memcpy(own->step, key->step, sizeof own->step);
        own->bits = key->bits;
        own->coarser = key->coarser;
        own->state.sh_degree = key->state.sh_degree;
        memcpy(own->level, key->level, had);
        memcpy(own->turn_level, key->turn_level, had);
        memcpy(own->near, key->near, had * sizeof *own->near);
        g->base = own;
    }
    own->state.count = had;
    return 0;
}

static void move_row(void *array, size_t to, size_t from, size_t size)
{
    memcpy((uint8_t *)array + to * size, (uint8_t *)array + from * size, size);
}

static struct gs_symbols last_symbols(const struct gs_stream_group *g, enum gs_attr a)
{
    return (struct gs_symbols){.count = g->state.count,
                               .comps = gs_attr_coded(a),
                               .stride = (size_t)gs_attr_coded(a),
                               .q = g->q[a],
                               .active = &g->active[a]};
}

/* After the last of the symbols of `left` Gaussians of `had` none are left. */
static void cut_symbols(struct gs_stream_group *g, enum gs_attr a, uint32_t had, uint32_t left)
{
    size_t coded = (size_t)gs_attr_coded(a) * sizeof(int32_t);
    struct gs_active *active = &g->active[a];
    memset((uint8_t *)g->q[a] + left * coded, 0, (had - left) * coded);
    memset(active->gaussian + left, 0, had - left);
    memset(active->block, 0, gs_symbol_blocks(had));
    for (uint32_t i = 0; i < left; i++)
        active->block[i / GS_SYMBOL_BLOCK] |= active->gaussian[i] != 0;
}

/* Takes out the dead; *dead are symbols of one component. */
static int remove_dead(struct gs_stream_group *g, const int32_t *dead)
{
    FV_TRY(make_room(g, g->state.count));
    struct gs_stream_base *own = &g->own;
    uint32_t *number = malloc(((size_t)g->state.count + 1) * sizeof *number), left = 0;
    if (!number)
        return fv_fail(FV_ENOMEM, "no memory for a frame");
    for (uint32_t i = 0; i < g->state.count; i++) {
        number[i] = dead[i] ? ~0u : left;
        if (dead[i])
            continue;
        uint32_t near[GS_NEAR];
        int found = 0;
        for (int k = 0; k < GS_NEAR && own->near[i][k] != ~0u; k++)
            if (number[own->near[i][k]] != ~0u)
                near[found++] = number[own->near[i][k]];
        for (int k = 0; k < GS_NEAR; k++)
            own->near[left][k] = k < found ? near[k] : ~0u;
        left++;
    }
    uint32_t had = g->state.count;
    for (int a = 0; a < (int)gs_attr_end(g->state.sh_degree); a++) {
        /* those of two frames ago, which nobody asks for any more, where they still are */
        struct gs_symbols old = last_symbols(g, (enum gs_attr)a);
        old.q = g->before[a];
        old.active = &g->active_before[a];
        gs_symbols_clear(&old);
    }
    for (uint32_t i = 0; i < had; i++) {
        if (number[i] == ~0u || number[i] == i)
            continue;
        size_t to = number[i];
        for (int k = 0; k < GS_PARTS; k++)
            g->touched[k][to] = g->altered[to] = g->now + 1;
        own->level[to] = own->level[i];
        own->turn_level[to] = own->turn_level[i];
        g->label[to] = g->label[i];
        if (g->morph.place)
            g->morph.place[to] = g->morph.place[i];
        for (int a = 0; a < (int)gs_attr_end(g->state.sh_degree); a++) {
            move_row(g->state.v[a], to, i, (size_t)gs_attr_comps((enum gs_attr)a) * sizeof(int32_t));
            move_row(g->q[a], to, i, (size_t)gs_attr_coded((enum gs_attr)a) * sizeof(int32_t));
            g->active[a].gaussian[to] = g->active[a].gaussian[i];
        }
    }
    free(number);
    for (int a = 0; a < (int)gs_attr_end(g->state.sh_degree); a++)
        cut_symbols(g, (enum gs_attr)a, had, left);
    g->members_known = false;
    g->state.count = own->state.count = left;
    return 0;
}

/* Adds the born at the end. Their symbols of this frame count as none. */
static int append(struct gs_stream_group *g, const struct gs_stream_base *born, const uint8_t *label)
{
    uint32_t had = g->state.count, n = born->state.count;
    FV_TRY(make_room(g, had + n));
    struct gs_stream_base *own = &g->own;
    memcpy(own->level + had, born->level, n);
    memcpy(own->turn_level + had, born->turn_level, n);
    memcpy(g->label + had, label, n);
    if (g->morph.place)
        memset(g->morph.place + had, 0xff, n * sizeof *g->morph.place);
    for (uint32_t i = 0; i < n; i++)
        for (int k = 0; k < GS_NEAR; k++)
            own->near[had + i][k] = born->near[i][k] == ~0u ? ~0u : had + born->near[i][k];
    for (int a = 0; a < (int)gs_attr_end(g->state.sh_degree); a++) {
        size_t comps = (size_t)gs_attr_comps((enum gs_attr)a);
        memcpy(g->state.v[a] + had * comps, born->state.v[a], n * comps * sizeof(int32_t));
    }
    for (int k = 0; k < GS_PARTS; k++)
        for (uint32_t i = had; i < had + n; i++)
            g->touched[k][i] = g->altered[i] = g->now;
    g->members_known = false;
    g->state.count = own->state.count = had + n;
    return 0;
}

/* ---- deaths ---- */

static int code_deaths(struct gs_coder *c, struct gs_stream_group *g, int32_t *dead)
{
    struct gs_active active;
    if (!g->deaths && !(g->deaths = gs_symbol_models_create(1)))
        return fv_fail(FV_ENOMEM, "no memory for a frame");
    FV_TRY(gs_active_create(&active, g->state.count));
    gs_code_symbols(c, g->deaths,
                    &(struct gs_symbols){.count = g->state.count,
                                         .comps = 1,
                                         .stride = 1,
                                         .q = dead,
                                         .near = (const uint32_t(*)[GS_NEAR])g->base->near,
                                         .active = &active});
    gs_active_finish(&active);
    return 0;
}

int gs_stream_write_deaths(struct gs_stream_group *g, const uint8_t dead[],
                           struct gs_section out[GS_SECTIONS])
{
    struct gs_section *s = &out[GS_SECTION_DEATHS];
    struct gs_coder c;
    int32_t *q = malloc(((size_t)g->state.count + 1) * sizeof *q), some = 0;
    if (!q)
        return fv_fail(FV_ENOMEM, "no memory for a frame");
    for (uint32_t i = 0; i < g->state.count; i++)
        some |= q[i] = dead[i] != 0;
    int rc = 0;
    if (some) {
        gs_coder_write(&c);
        rc = code_deaths(&c, g, q);
        if (rc == 0)
            rc = gs_coder_finish(&c, &s->bytes, &s->size);
        else
            gs_coder_drop(&c);
        rc = rc == 0 ? remove_dead(g, q) : rc;
    }
    free(q);
    return rc;
}

int gs_stream_read_deaths(struct gs_stream_group *g, const struct gs_section *in)
{
    struct gs_coder c;
    if (!in->size)
        return 0;
    int32_t *dead = calloc((size_t)g->state.count + 1, sizeof *dead);
    int rc = dead ? 0 : fv_fail(FV_ENOMEM, "no memory for a frame");
    gs_coder_read(&c, in->bytes, in->size);
    rc = rc == 0 ? code_deaths(&c, g, dead) : rc;
    rc = rc == 0 ? remove_dead(g, dead) : rc;
    free(dead);
    return rc;
}

/* ---- births ---- */

enum { COUNT_BITS = 27 };

static uint32_t code_count(struct gs_coder *c, uint32_t count)
{
    unsigned bits = 0;
    while (c->writing && count >> bits)
        bits++;
    bits = gs_code_plain(c, 5, bits);
    return gs_code_plain(c, bits > COUNT_BITS ? COUNT_BITS : bits, count);
}

/* Which cluster each moves with: mostly that of the one before it. */
static int code_labels(struct gs_coder *c, const struct gs_stream_group *g, uint8_t *label, uint32_t n)
{
    struct gs_bit same = GS_BIT_EVEN, other[GS_NUMBER_MODELS];
    uint8_t before = 0;
    gs_bits_reset(other, GS_NUMBER_MODELS);
    for (uint32_t i = 0; i < n && g->clusters; i++) {
        if (gs_code_bit(c, &same, label[i] == before)) {
            label[i] = before;
            continue;
        }
        uint32_t read = gs_code_number(c, other, label[i] + 1u) - 1;
        if (read > g->clusters)
            return fv_fail(FV_EFORMAT, "births: Gaussian %u is of cluster %u of %u", i, read,
                           g->clusters);
        label[i] = before = (uint8_t)read;
    }
    return 0;
}

static int begin_births(struct gs_stream_group *g)
{
    if (!g->births)
        FV_TRY(gs_key_models_create(&g->births, g->key->state.sh_degree));
    if (!g->births_begun)
        gs_key_models_copy(g->births, g->key->learned);
    g->births_begun = true;
    return 0;
}

static int make_born(struct gs_stream_base *born, const struct gs_stream_group *g, uint32_t count)
{
    FV_TRY(gs_stream_rows_create(born, count, g->key->state.sh_degree));
    memcpy(born->origin, g->key->origin, sizeof born->origin);
    memcpy(born->step, g->key->step, sizeof born->step);
    born->bits = g->key->bits;
    born->coarser = g->key->coarser;
    return 0;
}

/* The sections of births in their order. */
static int write_born(struct gs_stream_group *g, struct gs_stream_base *born,
                      const struct gs_stream_state *target, uint8_t label[],
                      struct gs_section out[GS_SECTIONS])
{
    struct gs_coder c;
    struct gs_section *s = &out[GS_SECTION_BIRTHS];
    FV_TRY(begin_births(g));
    gs_coder_write(&c);
    code_count(&c, target->count);
    int rc = gs_stream_code_born(&c, born, g->births, target);
    rc = rc == 0 ? code_labels(&c, g, label, target->count) : rc;
    for (int a = GS_SH1;; a++) {
        if (rc == 0)
            rc = gs_coder_finish(&c, &s->bytes, &s->size);
        else
            gs_coder_drop(&c);
        if (rc < 0 || a == (int)gs_attr_end(target->sh_degree))
            return rc;
        s = &out[GS_SECTION_BORN_SH + a - GS_SH1];
        gs_coder_write(&c);
        rc = gs_stream_code_born_sh(&c, born, (enum gs_attr)a, g->births, target);
    }
}

int gs_stream_write_births(struct gs_stream_group *g, const struct gs_stream_state *target,
                           const uint8_t level[], const uint8_t label[], uint32_t order[],
                           struct gs_section out[GS_SECTIONS])
{
    uint32_t n = target->count;
    struct gs_stream_base born;
    struct gs_stream_state sorted = {0};
    uint8_t *sorted_label = malloc((size_t)n + 1);
    if (!sorted_label)
        return fv_fail(FV_ENOMEM, "no memory for births");
    int rc = make_born(&born, g, n);
    if (rc < 0) {
        free(sorted_label);
        return rc;
    }
    rc = gs_stream_born_order(order, &born, target);
    rc = rc == 0 ? gs_stream_state_create(&sorted, n, target->sh_degree) : rc;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        born.level[i] = level[order[i]];
        sorted_label[i] = label[order[i]];
        for (int a = 0; a < (int)gs_attr_end(target->sh_degree); a++) {
            size_t comps = (size_t)gs_attr_comps((enum gs_attr)a);
            memcpy(sorted.v[a] + comps * i, target->v[a] + comps * order[i], comps * sizeof(int32_t));
        }
    }
    rc = rc == 0 ? write_born(g, &born, &sorted, sorted_label, out) : rc;
    rc = rc == 0 ? append(g, &born, sorted_label) : rc;
    gs_stream_state_finish(&sorted);
    gs_stream_base_finish(&born);
    free(sorted_label);
    return rc;
}

/* Those of a section that is there. */
static int read_some(struct gs_stream_group *g, const struct gs_section in[GS_SECTIONS])
{
    const struct gs_section *s = &in[GS_SECTION_BIRTHS];
    struct gs_stream_base born;
    struct gs_coder c;
    gs_coder_read(&c, s->bytes, s->size);
    uint32_t n = code_count(&c, 0);
    uint64_t total = (uint64_t)g->state.count + n;
    /* few bytes do not get to ask for much memory */
    if (total > GS_STREAM_MAX_COUNT || (total > GS_STREAM_FREE && n / 64 > s->size))
        return fv_fail(FV_EFORMAT, "births: %u in %zu bytes, to %u Gaussians", n, s->size,
                       g->state.count);
    FV_TRY(make_born(&born, g, n));
    uint8_t *label = calloc((size_t)n + 1, 1);
    int rc = label ? begin_births(g) : fv_fail(FV_ENOMEM, "no memory for births");
    rc = rc == 0 ? gs_stream_code_born(&c, &born, g->births, NULL) : rc;
    rc = rc == 0 ? code_labels(&c, g, label, n) : rc;
    for (int a = GS_SH1; rc == 0 && a < (int)gs_attr_end(g->state.sh_degree); a++) {
        s = &in[GS_SECTION_BORN_SH + a - GS_SH1];
        gs_coder_read(&c, s->bytes, s->size);
        rc = gs_stream_code_born_sh(&c, &born, (enum gs_attr)a, g->births, NULL);
    }
    rc = rc == 0 ? append(g, &born, label) : rc;
    gs_stream_base_finish(&born);
    free(label);
    return rc;
}

int gs_stream_read_births(struct gs_stream_group *g, const struct gs_section in[GS_SECTIONS])
{
    if (in[GS_SECTION_BIRTHS].size)
        FV_TRY(read_some(g, in));
    return g->state.count ? 0 : fv_fail(FV_EFORMAT, "deaths: no Gaussian is left");
}
