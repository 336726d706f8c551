/* The sections of a frame that is no base (stream_encode.h): who of it was who in the frame before, what
 * they have become, deaths and births. */
#include "gs/stream_encode.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Of a frame's Gaussians: if more are born, it is a base. */
static const double BORN_PART = 0.5;

int gs_encode_match(struct gs_encoder *e, uint32_t **to)
{
    bool kept;
    *to = malloc((e->last.count + 1) * sizeof **to);
    int rc = *to ? gs_stream_match(*to, &kept, &e->last, &e->scene)
                 : fv_fail(FV_ENOMEM, "no memory for %zu Gaussians", e->last.count);
    if (rc < 0 || kept) {
        free(*to);
        *to = NULL;
    }
    return rc;
}

/* ---- levels of births ---- */

static size_t size_of_row(const struct gs_scene *s, size_t row)
{
    float size[3], least = INFINITY;
    for (size_t k = 0; k < 3; k++) {
        size[k] = s->scale[3 * row + k];
        least = fminf(least, size[k]);
    }
    double area = 40 + (double)fmaxf(size[0] + size[1] + size[2] - least, -1e3f);
    return area > 0 ? (size_t)fmin(area, GS_ENCODE_SIZES - 1) : 0;
}

void gs_encode_learn_levels(struct gs_encoder *e)
{
    double sum[GS_ENCODE_SIZES] = {0}, count[GS_ENCODE_SIZES] = {0};
    for (uint32_t i = 0; i < e->base.state.count; i++) {
        size_t k = size_of_row(&e->scene, e->pose[i].row);
        sum[k] += e->base.level[i];
        count[k]++;
    }
    for (int k = 0; k < GS_ENCODE_SIZES; k++) { /* of the nearest size there is */
        for (int by = 0; by < GS_ENCODE_SIZES; by++) {
            int at = k - by >= 0 && count[k - by] > 0 ? k - by : k + by;
            if (at < GS_ENCODE_SIZES && count[at] > 0) {
                e->size_level[k] = (float)(sum[at] / count[at]);
                break;
            }
        }
    }
}

/* ---- looking at frames before they are encoded ---- */

void gs_encode_drop_group(struct gs_encode_group *g)
{
    for (uint32_t k = 0; k < g->frames; k++) {
        free(g->to[k]);
        free(g->positions[k]);
    }
    free(g->to);
    free(g->positions);
    *g = (struct gs_encode_group){0};
}

/* One more of them: the scene at hand, after the last. row[members]: of the base's Gaussians. */
static int look_at_next(struct gs_encoder *e, struct gs_encode_group *g, uint32_t *row,
                        uint32_t *members)
{
    uint32_t k = g->frames, left = 0;
    g->to[k] = NULL;
    g->positions[k] = NULL;
    g->frames++;
    FV_TRY(gs_encode_match(e, &g->to[k]));
    for (uint32_t i = 0; i < *members; i++) {
        uint32_t now = row[i] == GS_NO_ROW || !g->to[k] ? row[i] : g->to[k][row[i]];
        if (k || now != GS_NO_ROW)
            row[left++] = now;
    }
    *members = left;
    size_t bytes = 3 * (size_t)left * sizeof(int32_t);
    g->positions[k] = calloc(1, bytes + 1);
    if (!g->positions[k])
        return fv_fail(FV_ENOMEM, "no memory for a group of frames");
    if (k) /* those that die stay where they were */
        memcpy(g->positions[k], g->positions[k - 1], bytes);
    gs_stream_positions(g->positions[k], &e->base, &e->scene, row, left);
    return 0;
}

int gs_encode_look(struct gs_encoder *e, struct gs_encode_group *g, uint32_t begin, uint32_t end)
{
    uint32_t members = e->track.keys, *row = malloc(((size_t)members + 1) * sizeof *row);
    *g = (struct gs_encode_group){.to = calloc(end - begin + 1, sizeof *g->to),
                                  .positions = calloc(end - begin + 1, sizeof *g->positions)};
    int rc = row && g->to && g->positions
                 ? 0
                 : fv_fail(FV_ENOMEM, "no memory for a group of %u frames", end - begin);
    for (uint32_t i = 0; rc == 0 && i < members; i++)
        row[i] = e->track.key[i].row;
    for (uint32_t f = begin; rc == 0 && f < end; f++) {
        rc = gs_encode_tell(e, "encoding", e->out.frames);
        if (rc < 0)
            break;
        gs_scene_finish(&e->last);
        e->last = e->scene;
        e->scene = (struct gs_scene){0};
        rc = gs_encode_load(e, f);
        if (rc < 0 || e->scene.sh_degree != e->base.state.sh_degree)
            break;
        rc = look_at_next(e, g, row, &members);
    }
    gs_scene_finish(&e->last);
    free(row);
    return rc;
}

/* ---- the sections of a frame ---- */

/* Rows of the scene that are born: their axes, and their integers, to be finished also when it fails. */
static int find_born(struct gs_encoder *e, const uint32_t *rows, uint32_t n,
                     struct gs_stream_pose *pose, struct gs_stream_state *born)
{
    FV_TRY(gs_stream_state_create(born, n, e->base.state.sh_degree));
    for (uint32_t i = 0; i < n; i++) {
        pose[i].row = rows[i];
        gs_stream_name_axes(&pose[i], &e->scene);
    }
    gs_stream_from_scene(born, &e->base, &e->scene, pose);
    return 0;
}

/* Labels of births: those of the Gaussians they are nearest to. */
static int find_labels(struct gs_encoder *e, const struct gs_stream_state *born, uint8_t *label)
{
    memset(label, 0, born->count);
    if (!e->group.clusters || !e->group.state.count)
        return 0;
    uint32_t *nearest = malloc(((size_t)born->count + 1) * sizeof *nearest);
    int rc = nearest ? gs_stream_nearest(nearest, born->v[GS_POSITION], born->count,
                                         e->group.state.v[GS_POSITION], e->group.state.count)
                     : fv_fail(FV_ENOMEM, "no memory for births");
    for (uint32_t i = 0; rc == 0 && i < born->count; i++)
        label[i] = nearest[i] == GS_NO_ROW ? 0 : e->group.label[nearest[i]];
    free(nearest);
    return rc;
}

/* The scene's rows that are no one's yet. GS_BEYOND. */
static int write_births(struct gs_encoder *e, const uint32_t *rows, uint32_t n,
                        struct gs_section sections[GS_SECTIONS])
{
    struct gs_stream_state born = {0};
    struct gs_stream_pose *pose = malloc(((size_t)n + 1) * sizeof *pose);
    uint32_t *order = malloc(((size_t)n + 1) * sizeof *order);
    uint8_t *level = malloc(2 * (size_t)n + 1), *label = level ? level + n : NULL;
    int rc = pose && order && level ? 0 : fv_fail(FV_ENOMEM, "no memory for births");
    rc = rc == 0 ? find_born(e, rows, n, pose, &born) : rc;
    for (uint32_t i = 0; rc == 0 && i < n; i++)
        level[i] = (uint8_t)lrintf(e->size_level[size_of_row(&e->scene, rows[i])]);
    rc = rc == 0 ? find_labels(e, &born, label) : rc;
    rc = rc == 0 ? gs_stream_write_births(&e->group, &born, level, label, order, sections) : rc;
    rc = rc == 0 ? gs_track_append(&e->track, pose, order, n) : rc;
    gs_stream_state_finish(&born);
    free(pose);
    free(order);
    free(level);
    return rc;
}

/* The Gaussians that stay: where they have come to. */
static int write_changes(struct gs_encoder *e, struct gs_section sections[GS_SECTIONS])
{
    struct gs_stream_state target;
    FV_TRY(gs_stream_state_create(&target, e->track.count, e->base.state.sh_degree));
    gs_stream_from_scene(&target, &e->base, &e->scene, e->track.now);
    int rc = gs_stream_fit_motion(&e->group, &target);
    rc = rc == 0 ? gs_stream_write_residual(&e->group, &target, sections) : rc;
    gs_stream_state_finish(&target);
    return rc;
}

static int by_parent(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return x[0] != y[0] ? (x[0] > y[0]) - (x[0] < y[0]) : (x[1] > y[1]) - (x[1] < y[1]);
}

/* Births come from the Gaussians they are nearest to, and behind all others by these. */
static int append_births(struct gs_encoder *e, const uint32_t *rows, uint32_t n, uint32_t *parent)
{
    struct gs_stream_state had = {0}, born = {0};
    uint32_t left = e->track.count, (*pair)[2] = malloc(((size_t)n + 1) * sizeof *pair);
    uint32_t *order = malloc(((size_t)n + 1) * sizeof *order);
    struct gs_stream_pose *pose = malloc(((size_t)n + 1) * sizeof *pose);
    int rc = pair && order && pose ? 0 : fv_fail(FV_ENOMEM, "no memory for births");
    rc = rc == 0 ? gs_stream_state_create(&had, left, e->base.state.sh_degree) : rc;
    rc = rc == 0 ? find_born(e, rows, n, pose, &born) : rc;
    if (rc == 0) {
        gs_stream_from_scene(&had, &e->base, &e->scene, e->track.now);
        rc = gs_stream_nearest(order, born.v[GS_POSITION], n, had.v[GS_POSITION], left);
    }
    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        pair[i][0] = order[i] == GS_NO_ROW ? left - 1 : order[i];
        pair[i][1] = i;
    }
    if (rc == 0)
        qsort(pair, n, sizeof *pair, by_parent);
    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        order[i] = pair[i][1];
        parent[left + i] = parent[pair[i][0]];
    }
    rc = rc == 0 ? gs_track_append(&e->track, pose, order, n) : rc;
    gs_stream_state_finish(&had);
    gs_stream_state_finish(&born);
    free(pair);
    free(order);
    free(pose);
    return rc;
}

static int inherit_levels(struct gs_encoder *e, const uint32_t *parent, uint32_t before,
                          uint32_t count)
{
    uint8_t *level = malloc(2 * (size_t)count + 1);
    if (!level)
        return fv_fail(FV_ENOMEM, "no memory for %u Gaussians", count);
    for (uint32_t i = 0; i < count; i++) {
        level[i] = e->level[parent[i]];
        level[count + i] = e->level[before + parent[i]];
    }
    free(e->level);
    e->level = level;
    return 0;
}

/* A frame of the QUEEN model: rows that are left, births, what they are to be. */
static int write_fitted(struct gs_encoder *e, const uint8_t *dead, uint32_t deaths,
                        const uint32_t *rows, uint32_t births,
                        struct gs_section sections[GS_SECTIONS])
{
    uint32_t before = e->track.count + deaths, count = e->track.count + births, left = 0;
    uint32_t *parent = malloc(((size_t)count + 1) * sizeof *parent);
    struct gs_stream_state target = {0};
    struct gs_scene scene = {0};
    if (!parent)
        return fv_fail(FV_ENOMEM, "no memory for %u Gaussians", count);
    for (uint32_t i = 0; i < before; i++)
        if (!dead[i])
            parent[left++] = i;
    bool same = !deaths && !births;
    int rc = left ? 0 : GS_BEYOND;
    rc = rc == 0 && births ? append_births(e, rows, births, parent) : rc;
    rc = rc == 0 && !same ? inherit_levels(e, parent, before, count) : rc;
    rc = rc == 0 ? gs_stream_state_create(&target, count, e->base.state.sh_degree) : rc;
    rc = rc == 0 ? gs_scene_alloc(&scene, count, e->base.state.sh_degree) : rc;
    if (rc == 0) {
        gs_stream_from_scene(&target, &e->base, &e->scene, e->track.now);
        gs_stream_to_scene(&scene, &e->base, &target);
        rc = gs_queen_fit(&e->fitted,
                          &(struct gs_queen_target){.scene = &scene,
                                                    .parent = same ? NULL : parent,
                                                    .base = &e->base,
                                                    .level = e->level,
                                                    .turn_level = e->level + count,
                                                    .latents = e->o->latents,
                                                    .dft = e->o->dft},
                          sections);
    }
    free(parent);
    gs_stream_state_finish(&target);
    gs_scene_finish(&scene);
    return rc;
}

/* Clusters of a group's frames, with the basis or without. */
static int find_motion(struct gs_encoder *e, const struct gs_encode_group *g, int32_t *const still[],
                       bool basis)
{
    e->group.morph.used = basis;
    return gs_stream_find_clusters(&e->group, basis ? still : g->positions, g->frames, e->clusters);
}

/* What the places of a group's last frame would cost, were it the first. */
static int try_motion(struct gs_encoder *e, const struct gs_encode_group *g, int32_t *const still[],
                      bool basis, size_t *bytes)
{
    struct gs_section sections[GS_SECTIONS] = {{0}};
    struct gs_stream_state target = e->group.key->state;
    FV_TRY(find_motion(e, g, still, basis));
    target.v[GS_POSITION] = g->positions[g->frames - 1];
    int rc = gs_stream_fit_motion(&e->group, &target);
    rc = rc == 0 ? gs_stream_write_residual(&e->group, &target, sections) : rc;
    *bytes = sections[GS_SECTION_MODEL].size + sections[GS_SECTION_ATTRS + GS_POSITION].size;
    gs_sections_free(sections);
    gs_stream_group_begin(&e->group);
    return rc;
}

/* How a group's Gaussians move: the basis is used where it makes the last frame cheaper. */
static int begin_motion(struct gs_encoder *e, const struct gs_encode_group *g, uint32_t deaths)
{
    if (!e->base.basis)
        return gs_stream_find_clusters(&e->group, g->positions, g->frames, e->clusters);
    int32_t **still = calloc(g->frames + 1, sizeof *still);
    bool basis = true;
    int rc = still ? gs_stream_still(&e->group, g->positions, g->frames, still)
                   : fv_fail(FV_ENOMEM, "no memory for a group of frames");
    if (rc == 0 && !deaths) { /* trials end with all of the base's Gaussians */
        size_t with = 0, without = 0;
        rc = try_motion(e, g, still, true, &with);
        rc = rc == 0 ? try_motion(e, g, still, false, &without) : rc;
        basis = with <= without;
    }
    rc = rc == 0 ? find_motion(e, g, still, basis) : rc;
    for (uint32_t t = 0; still && t < g->frames; t++)
        free(still[t]);
    free(still);
    return rc;
}

/* One of the direct model: deaths, changes, births. */
static int write_direct(struct gs_encoder *e, const struct gs_encode_group *g, uint32_t k,
                        const uint8_t *dead, uint32_t deaths, const uint32_t *rows, uint32_t births,
                        struct gs_section sections[GS_SECTIONS])
{
    if (deaths)
        FV_TRY(gs_stream_write_deaths(&e->group, dead, sections));
    if (!k)
        FV_TRY(begin_motion(e, g, deaths));
    FV_TRY(write_changes(e, sections));
    return births ? write_births(e, rows, births, sections) : 0;
}

int gs_encode_sections(struct gs_encoder *e, const struct gs_encode_group *g, uint32_t k,
                       struct gs_section sections[GS_SECTIONS], bool *base)
{
    uint32_t births = 0;
    size_t room = e->scene.count > e->track.count ? e->scene.count : e->track.count;
    uint32_t *rows = malloc((room + 1) * sizeof *rows);
    uint8_t *dead = malloc((size_t)e->track.count + 1);
    int rc = rows && dead ? 0 : fv_fail(FV_ENOMEM, "no memory for a frame");
    uint32_t deaths = rc == 0 ? gs_track_step(&e->track, g->to[k], dead) : 0;
    rc = rc == 0 ? gs_track_find_born(&e->track, (uint32_t)e->scene.count, rows, &births) : rc;
    *base = births > BORN_PART * (double)e->scene.count;
    if (rc == 0 && !*base)
        rc = e->queen ? write_fitted(e, dead, deaths, rows, births, sections)
                      : write_direct(e, g, k, dead, deaths, rows, births, sections);
    *base = *base || rc == GS_BEYOND;
    free(rows);
    free(dead);
    return rc < 0 ? rc : 0;
}
