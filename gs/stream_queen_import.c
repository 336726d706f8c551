/* QUEEN's own files as a stream (gs.h): every frame decodes to what gs_queen_apply makes of the
 * files, bit for bit, its Gaussians in the Morton order of the first frame.
 *
 * A first frame of a group is coded against the base: absolute latents as they are, everything that
 * is a sum of frames as floats, by what most Gaussians differ from the base. */
#include "gs/scene.h"
#include "gs/stream_file.h"
#include "gs/stream_queen.h"
#include "vk/base/arena.h"

#include <stdlib.h>
#include <string.h>

#define OWN_UNITS 10000.0f /* QUEEN's moves are ten-thousandths */
static const double ENTRY_PART = 0.8; /* of a base: a base is as good */

struct importer {
    const struct gs_stream_opts *o;
    struct gs_stream_report *report;
    const struct gs_queen_files *files;
    uint32_t frame_count, group;
    struct gs_stream_out out;
    struct gs_queen_track track;
    struct gs_scene scene;       /* the frame at hand, in the stream's order */
    uint32_t *order;             /* [scene.count] rows of the file it was read from, */
    uint32_t order_count;
    uint32_t *root;              /* [scene.count] and rows of the base they come from */
    struct gs_queen_latents sums;
};

static int tell(struct importer *m, uint32_t frame)
{
    struct fv_progress p = {"importing", frame, m->frame_count};
    if (m->o->on_progress && m->o->on_progress(m->o->ud, &p))
        return fv_fail(FV_ECANCELLED, "cancelled at frame %u of %u", frame, m->frame_count);
    return 0;
}

/* ---- rows ---- */

static uint32_t *rows(uint32_t count, uint32_t **from)
{
    free(*from);
    *from = malloc(count * sizeof **from + 1);
    for (uint32_t i = 0; *from && i < count; i++)
        (*from)[i] = i;
    if (!*from)
        fv_fail(FV_ENOMEM, "no memory for %u Gaussians", count);
    return *from;
}

static void *room(struct fv_arena *arena, size_t count, size_t size)
{
    void *p = fv_arena_alloc(arena, count * size + 1);
    if (!p)
        fv_fail(FV_ENOMEM, "no memory for %zu Gaussians", count);
    return p;
}

/* The stream's order of a frame's rows: a Gaussian that goes on (the first row that comes from it)
 * keeps its place, others come last. */
static int find_order(const struct importer *m, const struct gs_queen_frame *in, uint32_t *order,
                      struct fv_arena *arena)
{
    uint32_t before = m->order_count, next = 0;
    uint32_t *heir = room(arena, before, sizeof *heir);
    if (!heir)
        return FV_ENOMEM;
    memset(heir, 0xff, before * sizeof *heir);
    for (uint32_t i = 0; i < in->count; i++) {
        uint32_t p = in->parent ? in->parent[i] : i;
        if (p >= before)
            return fv_fail(FV_EFORMAT, "Gaussian %u comes from %u of the %u before", i, p, before);
        if (heir[p] == ~0u)
            heir[p] = i;
    }
    for (uint32_t i = 0; i < before; i++)
        if (heir[m->order[i]] != ~0u)
            order[next++] = heir[m->order[i]];
    for (uint32_t i = 0; i < in->count; i++)
        if (heir[in->parent ? in->parent[i] : i] != i)
            order[next++] = i;
    return 0;
}

static int reorder_parents(const struct importer *m, const struct gs_queen_frame *in,
                           const uint32_t *order, struct gs_queen_frame *out,
                           struct fv_arena *arena)
{
    uint32_t *was = room(arena, m->order_count, sizeof *was);
    uint32_t *parent = room(arena, in->count, sizeof *parent);
    if (!was || !parent)
        return FV_ENOMEM;
    for (uint32_t i = 0; i < m->order_count; i++)
        was[m->order[i]] = i;
    for (uint32_t i = 0; i < in->count; i++)
        parent[i] = was[in->parent[order[i]]];
    out->parent = parent;
    return 0;
}

/* Moves, ascending again: through a list of all rows. */
static int reorder_moves(const struct gs_queen_frame *in, const uint32_t *order,
                         struct gs_queen_frame *out, struct fv_arena *arena)
{
    uint32_t *move = room(arena, in->count, sizeof *move), moved = 0;
    uint32_t *row = room(arena, in->moved, sizeof *row);
    float *by = room(arena, 3 * (size_t)in->moved, sizeof *by);
    if (!move || !row || !by)
        return FV_ENOMEM;
    memset(move, 0xff, in->count * sizeof *move);
    for (uint32_t k = 0; k < in->moved; k++)
        move[in->moved_row[k]] = k;
    for (uint32_t i = 0; i < in->count; i++)
        if (move[order[i]] != ~0u) {
            memcpy(by + 3 * (size_t)moved, in->moved_by + 3 * (size_t)move[order[i]],
                   3 * sizeof *by);
            row[moved++] = i;
        }
    out->moved_row = row;
    out->moved_by = by;
    return 0;
}

/* [count][width] words in another order. */
static const void *reordered(const void *from, const uint32_t *order, uint32_t count, size_t width,
                             struct fv_arena *arena)
{
    const char *in = from;
    char *out = room(arena, count * width, 4);
    for (uint32_t i = 0; out && width && i < count; i++)
        memcpy(out + 4 * width * i, in + 4 * width * order[i], 4 * width);
    return out;
}

/* A frame of the files in the stream's order; its arrays are in `arena`. */
static int reorder(struct importer *m, const struct gs_queen_frame *in, struct gs_queen_frame *out,
                   struct fv_arena *arena)
{
    uint32_t n = in->count, *order = room(arena, n, sizeof *order);
    if (!order)
        return FV_ENOMEM;
    *out = *in;
    out->memory = NULL;
    FV_TRY(find_order(m, in, order, arena));
    if (in->parent)
        FV_TRY(reorder_parents(m, in, order, out, arena));
    FV_TRY(reorder_moves(in, order, out, arena));
    if (in->position && !(out->position = reordered(in->position, order, n, 3, arena)))
        return FV_ENOMEM;
    for (int a = 0; a < GS_QUEEN_ATTRIBUTES; a++) {
        const struct gs_queen_change *c = &in->change[a];
        struct gs_queen_change *to = &out->change[a];
        if (c->values && !(to->values = reordered(c->values, order, n, c->width, arena)))
            return FV_ENOMEM;
        if (c->latent &&
            !(to->latent = reordered(c->latent, order, n, gs_queen_latent_width(c), arena)))
            return FV_ENOMEM;
    }
    if (!rows(n, &m->order))
        return FV_ENOMEM;
    memcpy(m->order, order, n * sizeof *order);
    m->order_count = n;
    return 0;
}

/* ---- frames ---- */

static int write_base(struct importer *m)
{
    struct gs_section sections[GS_SECTIONS];
    struct gs_bytes chunks = {0};
    struct gs_scene base = {0};
    gs_queen_track_finish(&m->track);
    FV_TRY(gs_queen_copy_scene(&base, &m->scene));
    FV_TRY(gs_queen_track_create(&m->track, &base, NULL));
    if (!rows((uint32_t)m->scene.count, &m->root))
        return FV_ENOMEM;
    FV_TRY(gs_queen_write_floats(&m->scene, sections));
    gs_put_floats(&chunks, m->out.frames, &m->scene, sections);
    return gs_stream_out_frame(&m->out, GS_FRAME_BASE, &chunks, sections, m->report);
}

/* The scene at hand after the base. Latents that are no sums are f's. */
static int write_entry(struct importer *m, const struct gs_queen_frame *f, float *floats[],
                       struct gs_section sections[GS_SECTIONS])
{
    struct gs_queen_frame e = {.count = f->count, .parent = m->root, .position = m->scene.position};
    for (int a = 0; a < GS_QUEEN_ATTRIBUTES; a++) {
        size_t stride, width = gs_queen_width((enum gs_queen_attribute)a, m->scene.sh_degree);
        const float *at = gs_queen_place(&m->scene, (enum gs_queen_attribute)a, &stride);
        if (f->change[a].kind == GS_QUEEN_ABSOLUTE && !f->change[a].accumulate) {
            e.change[a] = f->change[a];
            continue;
        }
        if (!width)
            continue;
        floats[a] = malloc(f->count * width * sizeof *floats[a]);
        if (!floats[a])
            return fv_fail(FV_ENOMEM, "no memory for %u Gaussians", f->count);
        for (size_t i = 0; i < f->count; i++)
            memcpy(floats[a] + i * width, at + i * stride, width * sizeof *at);
        e.change[a] = (struct gs_queen_change){.kind = GS_QUEEN_PLAIN, .values = floats[a]};
        e.change[a].width = (uint32_t)width;
    }
    FV_TRY(gs_queen_track_begin(&m->track));
    return gs_queen_track_write(&m->track, &e, OWN_UNITS, sections);
}

/* The next frame, as the files have it, in the stream's order. */
static int write_frame(struct importer *m, const struct gs_queen_frame *f)
{
    struct gs_section sections[GS_SECTIONS];
    struct gs_bytes chunks = {0};
    bool entry = m->out.frames % m->group == 0;
    FV_TRY(gs_queen_apply(&m->scene, &m->sums, f));
    if (gs_scene_has_bad(&m->scene))
        return fv_fail(FV_EFORMAT, "its decoders make values that are none");
    if (f->parent) {
        uint32_t *root = malloc(f->count * sizeof *root);
        if (!root)
            return fv_fail(FV_ENOMEM, "no memory for %u Gaussians", f->count);
        for (uint32_t i = 0; i < f->count; i++)
            root[i] = m->root[f->parent[i]];
        free(m->root);
        m->root = root;
    }
    if (entry) {
        float *floats[GS_QUEEN_ATTRIBUTES] = {0};
        int rc = write_entry(m, f, floats, sections);
        for (int a = 0; a < GS_QUEEN_ATTRIBUTES; a++)
            free(floats[a]);
        FV_TRY(rc);
        if ((double)gs_sections_size(sections) >
            ENTRY_PART * (double)m->report->base_bytes / m->report->bases) {
            gs_sections_free(sections);
            return write_base(m);
        }
    } else {
        FV_TRY(gs_queen_track_write(&m->track, f, OWN_UNITS, sections));
    }
    gs_put_residual(&chunks, m->out.frames, entry, m->scene.sh_degree, sections);
    return gs_stream_out_frame(&m->out, entry ? GS_FRAME_ENTRY : GS_FRAME_RESIDUAL, &chunks, sections,
                               m->report);
}

static int import_frame(struct importer *m, uint32_t frame)
{
    struct gs_queen_frame in, f;
    struct fv_arena arena = {0};
    FV_TRY(gs_queen_read(&in, m->files->frames[frame]));
    int rc = reorder(m, &in, &f, &arena);
    rc = rc == 0 ? write_frame(m, &f) : rc;
    gs_queen_frame_finish(&in);
    fv_arena_finish(&arena);
    if (rc == FV_EINVALID || rc == FV_EFORMAT)
        fv_wrap(rc, "%s: ", m->files->frames[frame]);
    return rc;
}

static int import(struct importer *m)
{
    FV_TRY(gs_scene_load(&m->scene, m->files->frames[0], NULL));
    uint32_t count = (uint32_t)m->scene.count;
    if (!count || m->scene.count > GS_STREAM_MAX_COUNT)
        return fv_fail(FV_EUNSUPPORTED, "%s: %zu Gaussians, a stream holds 1 to %u",
                       m->files->frames[0], m->scene.count, GS_STREAM_MAX_COUNT);
    if (m->scene.sh_degree > 3)
        return fv_fail(FV_EUNSUPPORTED, "%s: SH degree %d, a stream holds at most 3",
                       m->files->frames[0], m->scene.sh_degree);
    if (!rows(count, &m->order))
        return FV_ENOMEM;
    m->order_count = count;
    FV_TRY(gs_scene_morton(&m->scene, m->order));
    FV_TRY(gs_scene_reorder(&m->scene, m->order));
    FV_TRY(gs_stream_out_header(&m->out, &m->scene, m->o->fps, m->group, m->o->start));
    FV_TRY(tell(m, 0));
    FV_TRY(write_base(m));
    for (uint32_t f = 1; f < m->frame_count; f++) {
        FV_TRY(tell(m, f));
        FV_TRY(import_frame(m, f));
    }
    return tell(m, m->frame_count);
}

int gs_stream_import_queen(const char *path, const struct gs_queen_files *files,
                           uint32_t frame_count, const struct gs_stream_opts *opts,
                           struct gs_stream_report *report)
{
    struct gs_stream_opts o = opts ? *opts : (struct gs_stream_opts){0};
    struct gs_stream_report unwanted;
    o.fps = o.fps > 0 ? o.fps : 30;
    struct importer m = {.o = &o,
                         .report = report ? report : &unwanted,
                         .files = files,
                         .frame_count = frame_count,
                         .group = o.group ? o.group : 30};
    *m.report = (struct gs_stream_report){0};
    if (!frame_count || frame_count > files->count || frame_count > GS_STREAM_MAX_FRAMES)
        return fv_fail(FV_EINVALID, "%u frames of %zu", frame_count, files->count);
    FV_TRY(gs_stream_out_open(&m.out, path, o.live));
    int rc = gs_stream_out_end(&m.out, import(&m));
    m.report->bytes = m.out.written;
    gs_queen_track_finish(&m.track);
    gs_queen_latents_finish(&m.sums);
    gs_scene_finish(&m.scene);
    free(m.order);
    free(m.root);
    return rc;
}
