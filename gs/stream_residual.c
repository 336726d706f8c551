/* Residual frames (stream.h): the frame before moved by its rigid clusters, and what differs. */
#include "gs/scene.h"
#include "gs/stream.h"
#include "vk/base/array.h"
#include "vk/base/thread.h"

#include <stdlib.h>
#include <string.h>

/* How much of its neighbours' change a Gaussian is expected to share, in sixteenths. */
static const int32_t gains[] = {0, 8, 13, 16};
enum { GAINS = sizeof gains / sizeof *gains, GAIN_BITS = 2 };

static int create_attr(struct gs_stream_group *g, enum gs_attr a, uint32_t count)
{
    size_t n = (size_t)count * (size_t)gs_attr_coded(a) + 1;
    g->models[a] = gs_symbol_models_create(gs_attr_coded(a));
    /* zeros that are never looked at take no memory */
    g->q[a] = calloc(n, sizeof *g->q[a]);
    g->before[a] = calloc(n, sizeof *g->before[a]);
    g->change[a] = calloc(n, sizeof *g->change[a]);
    if (!g->models[a] || !g->q[a] || !g->before[a] || !g->change[a])
        return fv_fail(FV_ENOMEM, "no memory for frames of %u Gaussians", count);
    FV_TRY(gs_active_create(&g->active[a], count));
    return gs_active_create(&g->active_before[a], count);
}

int gs_stream_group_create(struct gs_stream_group *g, const struct gs_stream_base *b)
{
    uint32_t count = b->state.count;
    *g = (struct gs_stream_group){
        .key = b, .base = b, .room = count, .id = gs_new_id()};
    int rc = 0;
    g->state = b->state; /* its numbers are shared until they change */
    g->label = calloc((size_t)count + 1, 1);
    g->changed = calloc((size_t)count + 1, 1);
    g->member = calloc((size_t)count + 1, sizeof *g->member);
    g->altered = calloc((size_t)count + 1, sizeof *g->altered);
    bool whole = g->label && g->changed && g->member && g->altered;
    g->now = g->since = 1;
    for (int k = 0; k < GS_PARTS; k++) {
        g->touched[k] = malloc(((size_t)count + 1) * sizeof *g->touched[k]);
        whole = whole && g->touched[k];
        for (uint32_t i = 0; g->touched[k] && i < count; i++)
            g->touched[k][i] = g->now;
    }
    if (rc == 0 && !whole)
        rc = fv_fail(FV_ENOMEM, "no memory for frames of %u Gaussians", count);
    rc = rc == 0 ? gs_stream_morph_create(&g->morph, b) : rc;
    for (int a = 0; rc == 0 && a < (int)gs_attr_end(b->state.sh_degree); a++)
        rc = create_attr(g, (enum gs_attr)a, count);
    if (rc < 0) {
        gs_stream_group_finish(g);
        return rc;
    }
    gs_stream_group_begin(g);
    return 0;
}

int gs_stream_group_own(struct gs_stream_group *g, enum gs_attr a)
{
    size_t n = (size_t)g->key->state.count * (size_t)gs_attr_comps(a);
    if (g->owns[a])
        return 0;
    int32_t *own = fv_alloc_large((n + 1) * sizeof *own);
    if (!own)
        return fv_fail(FV_ENOMEM, "no memory for %u Gaussians", g->key->state.count);
    memcpy(own, g->state.v[a], n * sizeof *own);
    g->state.v[a] = own;
    g->owns[a] = true;
    return 0;
}

void gs_stream_group_finish(struct gs_stream_group *g)
{
    for (int a = 0; a < GS_ATTRS; a++)
        if (g->owns[a])
            free(g->state.v[a]);
    gs_stream_base_finish(&g->own);
    gs_key_models_destroy(&g->births);
    gs_stream_morph_finish(&g->morph);
    free(g->deaths);
    free(g->label);
    free(g->changed);
    free(g->member);
    free(g->altered);
    for (int k = 0; k < GS_PARTS; k++)
        free(g->touched[k]);
    for (int a = 0; a < GS_ATTRS; a++) {
        free(g->models[a]);
        free(g->q[a]);
        free(g->before[a]);
        free(g->change[a]);
        gs_active_finish(&g->active[a]);
        gs_active_finish(&g->active_before[a]);
    }
    *g = (struct gs_stream_group){0};
}

static struct gs_symbols symbols_of(const struct gs_stream_group *g, enum gs_attr a)
{
    return (struct gs_symbols){.count = g->state.count,
                               .comps = gs_attr_coded(a),
                               .stride = (size_t)gs_attr_coded(a),
                               .q = g->q[a],
                               .before = g->before[a],
                               .near = (const uint32_t(*)[GS_NEAR])g->base->near,
                               .active = &g->active[a],
                               .active_before = &g->active_before[a]};
}

static void clear_symbols(struct gs_stream_group *g, enum gs_attr a)
{
    struct gs_symbols symbols = symbols_of(g, a);
    gs_symbols_clear(&symbols);
}

/* This frame's are the last one's now. */
static void turn_symbols(struct gs_stream_group *g, enum gs_attr a)
{
    int32_t *swap = g->q[a];
    struct gs_active active = g->active[a];
    g->q[a] = g->before[a];
    g->before[a] = swap;
    g->active[a] = g->active_before[a];
    g->active_before[a] = active;
}

/* A Gaussian as it is in the base. */
static void restore(struct gs_stream_group *g, enum gs_part part, size_t i)
{
    const struct gs_stream_state *from = &g->key->state;
    for (int a = 0; a < (int)gs_attr_end(from->sh_degree); a++) {
        size_t comps = (size_t)gs_attr_comps((enum gs_attr)a);
        if (g->owns[a] && gs_attr_part((enum gs_attr)a) == part)
            memcpy(g->state.v[a] + i * comps, from->v[a] + i * comps, comps * sizeof *from->v[a]);
    }
}

void gs_stream_group_begin(struct gs_stream_group *g)
{
    uint32_t count = g->key->state.count;
    g->now++;
    for (int a = 0; a < (int)gs_attr_end(g->state.sh_degree); a++) {
        gs_symbol_models_reset(g->models[a]);
        clear_symbols(g, (enum gs_attr)a); /* all there are, before their number changes */
        turn_symbols(g, (enum gs_attr)a);
        clear_symbols(g, (enum gs_attr)a);
    }
    for (int k = 0; k < GS_PARTS; k++)
        for (size_t i = 0; i < count; i++)
            if (g->base != g->key || g->touched[k][i] > g->since) {
                restore(g, (enum gs_part)k, i);
                g->touched[k][i] = g->now;
            }
    g->base = g->key;
    g->state.count = count;
    g->births_begun = false;
    if (g->deaths)
        gs_symbol_models_reset(g->deaths);
    g->since = g->now;
    g->begun = false;
    g->clusters = 0;
    g->members_known = false;
    memset(g->label, 0, count);
    memset(g->rigid, 0, sizeof g->rigid);
    memset(g->last, 0, sizeof g->last);
    gs_bits_reset(&g->motion[0][0], sizeof g->motion / sizeof(struct gs_bit));
    gs_stream_morph_begin(&g->morph, g->key);
}

/* Of the next frame: none yet. */
static void begin_symbols(struct gs_stream_group *g)
{
    for (int a = 0; a < (int)gs_attr_end(g->state.sh_degree); a++) {
        turn_symbols(g, (enum gs_attr)a);
        clear_symbols(g, (enum gs_attr)a);
    }
}

/* ---- motion ---- */

void gs_stream_set_centres(struct gs_stream_group *g)
{
    int64_t sum[GS_STREAM_MAX_CLUSTERS][3] = {0}, members[GS_STREAM_MAX_CLUSTERS] = {0};
    for (size_t i = 0; i < g->state.count && g->clusters; i++)
        if (g->label[i]) {
            members[g->label[i] - 1]++;
            for (size_t k = 0; k < 3; k++)
                sum[g->label[i] - 1][k] += g->state.v[GS_POSITION][3 * i + k];
        }
    for (uint32_t j = 0; j < g->clusters; j++)
        for (int k = 0; k < 3 && members[j]; k++)
            g->rigid[j].centre[k] = (int32_t)(sum[j][k] / members[j]);
}

/* Which cluster each Gaussian moves with: mostly its nearest neighbour's. */
static int code_labels(struct gs_coder *c, struct gs_stream_group *g)
{
    enum { LABELS = GS_STREAM_MAX_CLUSTERS + 1 };
    struct gs_bit same[LABELS][2], (*other)[GS_NUMBER_MODELS] = malloc(LABELS * sizeof *other);
    if (!other)
        return fv_fail(FV_ENOMEM, "no memory for clusters");
    gs_bits_reset(&same[0][0], sizeof same / sizeof(struct gs_bit));
    gs_bits_reset(&other[0][0], (size_t)LABELS * GS_NUMBER_MODELS);
    int rc = 0;
    for (uint32_t i = 0; i < g->state.count && rc == 0; i++) {
        const uint32_t *near = g->base->near[i];
        uint8_t by = near[0] != ~0u ? g->label[near[0]] : 0;
        bool alone = near[1] != ~0u && g->label[near[1]] != by;
        if (gs_code_bit(c, &same[by][alone], g->label[i] == by)) {
            g->label[i] = by;
            continue;
        }
        uint32_t label = gs_code_number(c, other[by], g->label[i] + 1u) - 1;
        if (label > g->clusters)
            rc = fv_fail(FV_EFORMAT, "motion: Gaussian %u is of cluster %u of %u", i, label,
                         g->clusters);
        else
            g->label[i] = (uint8_t)label;
    }
    free(other);
    return rc;
}

static int code_clusters(struct gs_coder *c, struct gs_stream_group *g)
{
    uint32_t clusters = gs_code_plain(c, 6, g->clusters);
    if (clusters > GS_STREAM_MAX_CLUSTERS)
        return fv_fail(FV_EFORMAT, "motion: %u clusters, expected at most %d", clusters,
                       GS_STREAM_MAX_CLUSTERS);
    g->clusters = clusters;
    if (clusters || !g->key->basis)
        FV_TRY(code_labels(c, g));
    for (uint32_t j = 0; j < clusters; j++)
        g->rigid[j].shift = gs_code_plain(c, 5, g->rigid[j].shift);
    return 0;
}

/* Clusters at a group's start; then what each one's motion adds to that of the frame before, and what
 * the basis is multiplied by. */
static int code_motion(struct gs_coder *c, struct gs_stream_group *g)
{
    bool first = !g->begun;
    if (first)
        FV_TRY(code_clusters(c, g));
    for (uint32_t j = 0; j < g->clusters; j++) {
        struct gs_rigid *r = &g->rigid[j], *last = &g->last[j];
        for (int k = 0; k < 3; k++)
            r->turn[k] = gs_stream_limited(
                (int64_t)last->turn[k] +
                gs_code_signed(c, g->motion[0], r->turn[k] - last->turn[k]));
        for (int k = 0; k < 3; k++)
            r->move[k] = gs_stream_limited(
                (int64_t)last->move[k] +
                gs_code_signed(c, g->motion[1], r->move[k] - last->move[k]));
    }
    if (g->key->basis)
        gs_stream_code_morph(c, &g->morph, g->key->basis, first);
    return 0;
}

static void find_members(struct gs_stream_group *g)
{
    g->members = 0;
    g->members_known = true;
    for (uint32_t i = 0; i < g->state.count && g->clusters; i++)
        if (g->label[i])
            g->member[g->members++] = i;
}

static void move_member(struct gs_stream_group *g, const struct gs_rigid_matrix *m, uint32_t i)
{
    int32_t *position = g->state.v[GS_POSITION] + 3 * (size_t)i;
    int32_t *rotation = g->state.v[GS_ROTATION] + 4 * (size_t)i, was[7];
    memcpy(was, position, 3 * sizeof *was);
    memcpy(was + 3, rotation, 4 * sizeof *was);
    gs_rigid_apply(m, &g->rigid[g->label[i] - 1], position, rotation);
    if (memcmp(was, position, 3 * sizeof *was) || memcmp(was + 3, rotation, 4 * sizeof *was))
        g->touched[GS_GEOMETRY][i] = g->now;
}

/* The state, moved by its clusters. */
static int predict(struct gs_stream_group *g)
{
    struct gs_rigid_matrix *m = g->matrix;
    g->moved_at = ++g->now;
    if (!g->begun)
        gs_stream_set_centres(g);
    if (!g->members_known)
        find_members(g);
    if (g->members) {
        FV_TRY(gs_stream_group_own(g, GS_POSITION));
        FV_TRY(gs_stream_group_own(g, GS_ROTATION));
    }
    for (uint32_t j = 0; j < g->clusters; j++)
        if (!gs_rigid_matrix(&m[j], &g->rigid[j]))
            return fv_fail(FV_EFORMAT, "motion: cluster %u turns by more than a turn", j);
    memcpy(g->moved, g->rigid, sizeof g->moved);
    for (uint32_t k = 0; k < g->members; k++)
        move_member(g, &m[g->label[g->member[k]] - 1], g->member[k]);
    for (uint32_t j = 0; j < g->clusters; j++)
        for (int k = 0; k < 3; k++)
            g->rigid[j].centre[k] =
                gs_stream_limited((int64_t)g->rigid[j].centre[k] + g->rigid[j].move[k]);
    memcpy(g->last, g->rigid, sizeof g->last);
    g->begun = true;
    return gs_stream_morph_apply(g);
}

/* ---- attributes ---- */

/* The change neighbours make one expect. */
static void expect(const struct gs_stream_group *g, enum gs_attr a, int32_t gain, uint32_t i,
                   int32_t out[])
{
    size_t comps = (size_t)gs_attr_coded(a);
    const uint32_t *near = g->base->near[i];
    int64_t found = 0;
    memset(out, 0, comps * sizeof *out);
    while (gain && found < GS_NEAR && near[found] != ~0u)
        found++;
    for (size_t c = 0; found && c < comps; c++) {
        int64_t sum = 0;
        for (int64_t k = 0; k < found; k++)
            sum += g->change[a][near[k] * comps + c];
        out[c] = (int32_t)(gain * sum / (16 * found));
    }
}

/* With a dead zone: what is nearly half a step is left. */
static int32_t quantise(int32_t v, int32_t step)
{
    int64_t size = v < 0 ? -(int64_t)v : v;
    int64_t q = (10 * size + 4 * (int64_t)step) / (10 * (int64_t)step);
    q = q > GS_NUMBER_MAX ? GS_NUMBER_MAX : q;
    return (int32_t)(v < 0 ? -q : q);
}

/* What a target differs by from the prediction. */
static void difference(const struct gs_stream_group *g, enum gs_attr a,
                       const struct gs_stream_state *target, size_t i, int32_t out[])
{
    const int32_t *t = target->v[a] + i * (size_t)gs_attr_comps(a);
    const int32_t *p = g->state.v[a] + i * (size_t)gs_attr_comps(a);
    if (a != GS_ROTATION) {
        for (int c = 0; c < gs_attr_comps(a); c++)
            out[c] = t[c] - p[c];
        return;
    }
    const int32_t inverse[4] = {p[0], -p[1], -p[2], -p[3]};
    int32_t turn[4];
    gs_quat_mul(turn, inverse, t);
    for (int k = 0; k < 3; k++)
        out[k] = turn[0] < 0 ? -turn[k + 1] : turn[k + 1];
}

/* Symbols of an attribute, and the changes that they make. False if all are 0. */
static bool find_symbols(struct gs_stream_group *g, enum gs_attr a, int32_t gain,
                         const struct gs_stream_state *target)
{
    size_t comps = (size_t)gs_attr_coded(a);
    int32_t expected[GS_MOST_CODED], wanted[GS_MOST_CODED], some = 0;
    struct gs_steps steps;
    gs_stream_steps(&steps, g->base, a, true);
    for (uint32_t i = 0; i < g->state.count; i++) {
        int32_t step = gs_step(&steps, i), *q = g->q[a] + i * comps;
        difference(g, a, target, i, wanted);
        expect(g, a, gain, i, expected);
        for (size_t c = 0; c < comps; c++) {
            q[c] = quantise(wanted[c] - expected[c], step);
            some |= q[c];
            g->change[a][i * comps + c] = gs_stream_limited(expected[c] + (int64_t)q[c] * step);
        }
    }
    return some;
}

static void apply_change(struct gs_stream_group *g, enum gs_attr a, uint32_t i,
                         const int32_t change[])
{
    int32_t *v = g->state.v[a] + i * (size_t)gs_attr_comps(a), turn[4], turned[4];
    g->touched[gs_attr_part(a)][i] = g->now;
    if (gs_attr_part(a) == GS_GEOMETRY)
        g->altered[i] = g->now;
    if (a != GS_ROTATION) {
        for (int c = 0; c < gs_attr_comps(a); c++)
            v[c] = gs_stream_limited((int64_t)v[c] + change[c]);
    } else if (change[0] | change[1] | change[2]) {
        gs_quat_from_vector(turn, change);
        gs_quat_mul(turned, v, turn);
        memcpy(v, turned, sizeof turned);
    }
}

/* The writer's: of all that it has found. */
static void apply_changes(struct gs_stream_group *g, enum gs_attr a)
{
    size_t comps = (size_t)gs_attr_coded(a);
    const int32_t *change = g->change[a];
    for (uint32_t i = 0; i < g->state.count; i++, change += comps) {
        int32_t some = 0;
        for (size_t c = 0; c < comps; c++)
            some |= change[c];
        if (some)
            apply_change(g, a, i, change);
    }
}

/* A reader's: only Gaussians with symbols change. */
static void apply_symbols(struct gs_stream_group *g, enum gs_attr a)
{
    size_t comps = (size_t)gs_attr_coded(a);
    const struct gs_active *active = &g->active[a];
    struct gs_steps steps;
    int32_t change[GS_MOST_CODED];
    gs_stream_steps(&steps, g->base, a, true);
    for (uint32_t i = 0; i < g->state.count; i++) {
        if (!active->block[i / GS_SYMBOL_BLOCK]) {
            i |= GS_SYMBOL_BLOCK - 1;
            continue;
        }
        if (!active->gaussian[i])
            continue;
        int32_t step = gs_step(&steps, i);
        for (size_t c = 0; c < comps; c++)
            change[c] = gs_stream_limited(g->q[a][i * comps + c] * (int64_t)step);
        apply_change(g, a, i, change);
    }
}

static bool near_changed(const struct gs_stream_group *g, uint32_t i)
{
    const uint32_t *near = g->base->near[i];
    for (int k = 0; k < GS_NEAR && near[k] != ~0u; k++)
        if (g->changed[near[k]])
            return true;
    return false;
}

/* The same where neighbours' changes are shared. */
static void apply_shared(struct gs_stream_group *g, enum gs_attr a, int32_t gain)
{
    size_t comps = (size_t)gs_attr_coded(a);
    struct gs_steps steps;
    int32_t expected[GS_MOST_CODED];
    gs_stream_steps(&steps, g->base, a, true);
    for (uint32_t i = 0; i < g->state.count; i++) {
        if (!g->active[a].gaussian[i] && !near_changed(g, i))
            continue;
        int32_t step = gs_step(&steps, i), *change = g->change[a] + i * comps, some = 0;
        expect(g, a, gain, i, expected);
        for (size_t c = 0; c < comps; c++) {
            change[c] = gs_stream_limited(expected[c] + (int64_t)g->q[a][i * comps + c] * step);
            some |= change[c];
        }
        g->changed[i] = some != 0;
    }
    for (uint32_t i = 0; i < g->state.count; i++)
        if (g->changed[i]) {
            g->changed[i] = 0;
            apply_change(g, a, i, g->change[a] + i * comps);
            memset(g->change[a] + i * comps, 0, comps * sizeof *g->change[a]);
        }
}

/* One way to write an attribute; nothing at all if no symbol is left. */
static int write_with(struct gs_stream_group *g, enum gs_attr a, unsigned gain,
                      const struct gs_stream_state *target, struct gs_section *out)
{
    struct gs_coder c;
    struct gs_symbols symbols = symbols_of(g, a);
    *out = (struct gs_section){0};
    if (!find_symbols(g, a, gains[gain], target))
        return 0;
    gs_coder_write(&c);
    gs_code_plain(&c, GAIN_BITS, gain);
    gs_code_symbols(&c, g->models[a], &symbols);
    return gs_section_finish(&c, out, 1);
}

/* By the gain that makes it shortest; only for positions others than none are worth a try. */
static int write_attr(struct gs_stream_group *g, enum gs_attr a, const struct gs_stream_state *target,
                      struct gs_section *out)
{
    size_t room = sizeof *g->models[a] +
                  (size_t)gs_attr_coded(a) * sizeof(struct gs_component_models);
    struct gs_symbol_models *start = malloc(room);
    if (!start)
        return fv_fail(FV_ENOMEM, "no memory for a frame");
    memcpy(start, g->models[a], room);
    unsigned tries = a == GS_POSITION ? GAINS : 1, best = 0;
    int rc = write_with(g, a, 0, target, out);
    if (!out->size)
        tries = 0;
    for (unsigned k = 1; k <= tries && rc == 0; k++) {
        bool again = k == tries; /* the best once more, for its state and models */
        struct gs_section s;
        if (again && best == tries - 1)
            break;
        memcpy(g->models[a], start, room);
        rc = write_with(g, a, again ? best : k, target, &s);
        if (rc == 0 && (again || s.size < out->size)) {
            free(out->bytes);
            *out = s;
            best = again ? best : k;
        } else {
            free(s.bytes);
        }
    }
    free(start);
    if (rc < 0 || !out->size)
        return rc;
    FV_TRY(gs_stream_group_own(g, a));
    apply_changes(g, a);
    return 0;
}

int gs_stream_write_residual(struct gs_stream_group *g, const struct gs_stream_state *target,
                             struct gs_section out[GS_SECTIONS])
{
    int rc = 0;
    begin_symbols(g);
    if (g->clusters || g->morph.used) {
        struct gs_coder c;
        gs_coder_write(&c);
        rc = code_motion(&c, g);
        if (rc == 0)
            rc = gs_section_finish(&c, &out[GS_SECTION_MODEL], 1);
        else
            gs_coder_drop(&c);
    }
    if (rc == 0)
        rc = predict(g);
    for (int a = 0; a < (int)gs_attr_end(g->state.sh_degree) && rc == 0; a++)
        rc = write_attr(g, (enum gs_attr)a, target, &out[GS_SECTION_ATTRS + a]);
    if (rc < 0)
        gs_sections_free(out);
    return rc;
}

/* ---- reading ---- */

struct reading {
    struct gs_stream_group *g;
    const struct gs_section *in;
    int32_t gain[GS_ATTRS];
};

static int read_symbols(void *ud, size_t begin, size_t end)
{
    struct reading *r = ud;
    for (size_t a = begin; a < end; a++) {
        const struct gs_section *s = &r->in[GS_SECTION_ATTRS + a];
        struct gs_symbols symbols = symbols_of(r->g, (enum gs_attr)a);
        struct gs_coder c;
        if (!s->size)
            continue;
        gs_coder_read(&c, s->bytes, s->size);
        r->gain[a] = gains[gs_code_plain(&c, GAIN_BITS, 0)];
        gs_code_symbols(&c, r->g->models[a], &symbols);
    }
    return 0;
}

int gs_stream_read_residual(struct gs_stream_group *g, const struct gs_section in[GS_SECTIONS])
{
    enum { MUCH = 6000 }; /* bytes that take longer than threads to begin */
    const struct gs_section *motion = &in[GS_SECTION_MODEL];
    struct reading r = {.g = g, .in = in};
    size_t attrs = (size_t)gs_attr_end(g->state.sh_degree), bytes = 0;
    FV_TRY(gs_stream_read_deaths(g, &in[GS_SECTION_DEATHS]));
    begin_symbols(g);
    if (motion->size) {
        struct gs_coder c;
        gs_coder_read(&c, motion->bytes, motion->size);
        FV_TRY(code_motion(&c, g));
    }
    FV_TRY(predict(g));
    for (size_t a = 0; a < attrs; a++)
        bytes += in[GS_SECTION_ATTRS + a].size;
    FV_TRY(fv_parallel(attrs, bytes > MUCH ? 1 : attrs, read_symbols, &r));
    for (size_t a = 0; a < attrs; a++) {
        if (!in[GS_SECTION_ATTRS + a].size)
            continue;
        FV_TRY(gs_stream_group_own(g, (enum gs_attr)a));
        if (r.gain[a])
            apply_shared(g, (enum gs_attr)a, r.gain[a]);
        else
            apply_symbols(g, (enum gs_attr)a);
    }
    return gs_stream_read_births(g, in);
}
