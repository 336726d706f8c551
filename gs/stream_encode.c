/* Writing .fvv files (gs.h, docs/STREAM.md): which frames are bases, entries and residuals.
 *
 *   group of frames --> base, if there is none that fits --> poses, grid
 *                   --> clusters of what moves alike --> entry or residual, a frame at a time
 *
 * A frame whose residual is a large part of a base becomes a base itself. */
#include "gs/scene.h"
#include "gs/stream_file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_GROUP = 1000 };
/* A base in place of an entry or a residual of more than this part of one. */
static const double ENTRY_PART = 0.4, RESIDUAL_PART = 0.6;

struct encoder {
    const struct gs_stream_opts *o;
    struct gs_stream_report *report;
    gs_frames_fn *load;
    void *load_ud;
    uint32_t frame_count, group_frames, clusters;
    struct gs_tuner *tuner;
    struct gs_bounds bounds; /* of the widest frame looked at */
    bool has_bounds;
    struct vk_device *dev;
    struct gs_stream_out out;

    struct gs_scene scene; /* the frame at hand */
    bool has_base;
    struct gs_stream_base base;
    struct gs_stream_group group;
    struct gs_stream_pose *pose;
    struct gs_stream_state target;
    double psnr_sum;
    double aim; /* dB asked of bases, for frames that build on them to reach o->psnr */
};

static int load_frame(struct encoder *e, uint32_t frame)
{
    gs_scene_finish(&e->scene);
    FV_TRY(e->load(e->load_ud, frame, &e->scene));
    if (!e->scene.count)
        return fv_fail(FV_EINVALID, "frame %u has no Gaussians", frame);
    if (e->scene.count > GS_STREAM_MAX_COUNT)
        return fv_fail(FV_EUNSUPPORTED, "frame %u: %zu Gaussians, a stream holds at most %u", frame,
                       e->scene.count, GS_STREAM_MAX_COUNT);
    return 0;
}

static int tell(struct encoder *e, const char *what, uint32_t frame)
{
    struct fv_progress p = {what, frame, e->frame_count};
    if (e->o->on_progress && e->o->on_progress(e->o->ud, &p))
        return fv_fail(FV_ECANCELLED, "cancelled at frame %u of %u", frame, e->frame_count);
    return 0;
}

/* ---- the file ---- */

static int put_frame(struct encoder *e, enum gs_stream_frame_kind kind,
                     struct gs_section sections[GS_SECTIONS])
{
    struct gs_bytes chunks = {0};
    if (kind == GS_FRAME_BASE)
        gs_put_base(&chunks, e->out.frames, &e->base, sections);
    else
        gs_put_residual(&chunks, e->out.frames, kind == GS_FRAME_ENTRY, e->base.state.sh_degree,
                        sections);
    return gs_stream_out_frame(&e->out, kind, &chunks, sections, e->report);
}

/* ---- bases ---- */

static void drop_base(struct encoder *e)
{
    gs_stream_group_finish(&e->group);
    gs_stream_base_finish(&e->base);
    gs_stream_state_finish(&e->target);
    free(e->pose);
    e->pose = NULL;
    e->has_base = false;
}

/* Goes through frames that a base may serve, spread over what is left. The scene at hand is the
 * first of them, before and after. */
static int look_ahead(struct encoder *e, int (*look)(struct encoder *e))
{
    enum { LOOKS = 4 };
    uint32_t first = e->out.frames, left = e->frame_count - first, last = first;
    size_t count = e->scene.count;
    int degree = e->scene.sh_degree;
    FV_TRY(look(e));
    for (uint32_t k = 1; k < LOOKS; k++) {
        uint32_t f = first + (uint32_t)((uint64_t)left * k / LOOKS);
        if (f == last)
            continue;
        last = f;
        FV_TRY(load_frame(e, f));
        if (e->scene.count != count || e->scene.sh_degree != degree)
            break;
        FV_TRY(look(e));
    }
    return last != first ? load_frame(e, first) : 0;
}

/* The views have room for the frame that spreads furthest. */
static int look_at_size(struct encoder *e)
{
    struct gs_bounds b;
    gs_scene_bounds(&e->scene, &b);
    if (b.radius > e->bounds.radius || !e->has_bounds)
        e->bounds = b;
    e->has_bounds = true;
    return 0;
}

/* What is invisible in the first frame may come to be seen. */
static int look_at_weights(struct encoder *e)
{
    return gs_tuner_see(e->tuner, &e->scene);
}

/* The base's steps, integers and sections, of the scene at hand. */
static int make_base(struct encoder *e, struct gs_section sections[GS_SECTIONS])
{
    struct gs_scene *s = &e->scene;
    FV_TRY(gs_tuner_find_steps(e->tuner, &e->base, s, e->aim, &e->report->step_scale));
    FV_TRY(gs_stream_make_poses(e->pose, &e->base, s));
    uint8_t *row_level = malloc(s->count);
    if (!row_level)
        return fv_fail(FV_ENOMEM, "no memory for %zu Gaussians", s->count);
    memcpy(row_level, e->base.level, s->count);
    for (size_t i = 0; i < s->count; i++)
        e->base.level[i] = row_level[e->pose[i].row];
    free(row_level);
    gs_stream_from_scene(&e->target, &e->base, s, e->pose);
    return gs_stream_write_key(&e->base, &e->target, sections);
}

/* How near integers are to the scene at hand. */
static int scene_psnr(struct encoder *e, const struct gs_stream_state *state, double *psnr)
{
    struct gs_scene back = {0};
    FV_TRY(gs_scene_alloc(&back, e->scene.count, e->scene.sh_degree));
    back.mode = e->scene.mode;
    gs_stream_to_scene(&back, &e->base, state);
    int rc = gs_tuner_psnr(e->tuner, &e->scene, &back, psnr);
    gs_scene_finish(&back);
    return rc;
}

/* ---- groups ---- */

static bool fits_base(const struct encoder *e)
{
    return e->has_base && e->scene.count == e->base.state.count &&
           e->scene.sh_degree == e->base.state.sh_degree;
}

/* Clusters of the frames [begin, end) that follow the state at hand. */
static int find_clusters(struct encoder *e, uint32_t begin, uint32_t end)
{
    uint32_t n = 0;
    size_t bytes = 3 * (size_t)e->base.state.count * sizeof(int32_t);
    int32_t **positions = calloc(end - begin + 1, sizeof *positions);
    int rc = positions ? 0 : fv_fail(FV_ENOMEM, "no memory for %u frames", end - begin);
    for (uint32_t f = begin; f < end && rc == 0; f++) {
        rc = tell(e, "looking for motion", f);
        rc = rc == 0 ? load_frame(e, f) : rc;
        if (rc < 0 || !fits_base(e))
            break;
        gs_stream_from_scene(&e->target, &e->base, &e->scene, e->pose);
        positions[n] = malloc(bytes);
        if (!positions[n])
            rc = fv_fail(FV_ENOMEM, "no memory for %u frames", end - begin);
        else
            memcpy(positions[n++], e->target.v[GS_POSITION], bytes);
    }
    rc = rc == 0 ? gs_stream_find_clusters(&e->group, positions, n, e->clusters) : rc;
    for (uint32_t k = 0; positions && k < n; k++)
        free(positions[k]);
    free(positions);
    return rc;
}

/* Codes some frames in two places of what the base at hand may serve: what they cost, which the tuner
 * is told, and how near they come. *psnr stays where there are none. The scene at hand stays the
 * base's. */
static int probe(struct encoder *e, double *psnr)
{
    enum { PLACES = 2, FRAMES = 8 };
    double psnr_sum = 0;
    uint32_t psnrs = 0;
    uint32_t first = e->out.frames, left = e->frame_count - first - 1, residuals = 0, end = 0;
    double bits[GS_ATTRS] = {0};
    FV_TRY(gs_stream_group_create(&e->group, &e->base));
    int rc = 0;
    for (uint32_t p = 0; p < PLACES && rc == 0; p++) {
        uint32_t begin = first + 1 + (uint32_t)((uint64_t)left * p / PLACES);
        if (begin < end)
            break;
        end = begin + FRAMES < e->frame_count ? begin + FRAMES : e->frame_count;
        gs_stream_group_begin(&e->group);
        rc = begin < end ? find_clusters(e, begin, end) : 0;
        for (uint32_t f = begin; f < end && rc == 0; f++) {
            struct gs_section sections[GS_SECTIONS] = {{0}};
            rc = load_frame(e, f);
            if (rc < 0 || !fits_base(e))
                break;
            gs_stream_from_scene(&e->target, &e->base, &e->scene, e->pose);
            gs_stream_fit_rigid(&e->group, &e->target);
            rc = gs_stream_write_residual(&e->group, &e->target, sections);
            /* the first builds on the base, as only the first of a group does */
            for (int a = 0; a < GS_ATTRS && f > begin; a++)
                bits[a] += 8 * (double)sections[GS_SECTION_ATTRS + a].size;
            residuals += f > begin;
            gs_sections_free(sections);
            if (f + 1 == end && f > begin) {
                double one;
                rc = scene_psnr(e, &e->group.state, &one);
                psnr_sum += one;
                psnrs++;
            }
        }
    }
    gs_stream_group_finish(&e->group);
    if (psnrs)
        *psnr = psnr_sum / psnrs;
    for (int a = 0; a < GS_ATTRS; a++)
        bits[a] *= residuals ? (double)left / residuals / e->base.state.count : 0;
    if (rc == 0 && residuals)
        gs_tuner_weigh(e->tuner, &e->base, bits);
    return rc == 0 && left ? load_frame(e, first) : rc;
}

/* A base of the scene at hand; the next frame of the file. */
static int write_base(struct encoder *e)
{
    const double off = 0.75; /* dB: steps found for an earlier base do not suit this one */
    const double near = 0.15, most = 3; /* dB: of frames, of what bases make up for */
    enum { PROBES = 4 };
    struct gs_section sections[GS_SECTIONS];
    struct gs_scene *s = &e->scene;
    bool again = e->tuner != NULL;
    double psnr;
    drop_base(e);
    if (!e->tuner) {
        FV_TRY(look_ahead(e, look_at_size));
        FV_TRY(gs_tuner_create(&e->tuner, e->dev, e->o->views, s, &e->bounds));
    }
    gs_tuner_look_anew(e->tuner);
    FV_TRY(look_ahead(e, look_at_weights));
    FV_TRY(gs_stream_base_create(&e->base, (uint32_t)s->count, s->sh_degree));
    e->has_base = true;
    FV_TRY(gs_stream_state_create(&e->target, (uint32_t)s->count, s->sh_degree));
    e->pose = malloc(s->count * sizeof *e->pose);
    if (!e->pose)
        return fv_fail(FV_ENOMEM, "no memory for %zu Gaussians", s->count);
    FV_TRY(make_base(e, sections));
    for (int round = 0; round < PROBES && !again; round++) {
        double reached = e->o->psnr;
        FV_TRY(probe(e, &reached));
        double missed = e->o->psnr - reached;
        if (round && fabs(missed) < near) /* round 0 had steps that do not suit the rates */
            break;
        if (round)
            e->aim = fmin(fmax(e->aim + missed, e->o->psnr - most), e->o->psnr + most);
        gs_sections_free(sections);
        FV_TRY(make_base(e, sections));
    }
    int rc = scene_psnr(e, &e->base.state, &psnr);
    if (rc == 0 && again && fabs(psnr - e->aim) > off) {
        gs_tuner_forget(e->tuner);
        gs_sections_free(sections);
        FV_TRY(make_base(e, sections));
        rc = scene_psnr(e, &e->base.state, &psnr);
    }
    if (rc == 0)
        rc = gs_stream_group_create(&e->group, &e->base);
    if (rc < 0) {
        gs_sections_free(sections);
        return rc;
    }
    e->psnr_sum += psnr;
    return put_frame(e, GS_FRAME_BASE, sections);
}

static size_t size_of(const struct gs_section sections[GS_SECTIONS])
{
    size_t size = 0;
    for (int k = 0; k < GS_SECTIONS; k++)
        size += sections[k].size;
    return size;
}

/* The frames [begin, end), or fewer: the next group then begins where this one ends, with a base if
 * `*base` says so. */
static int encode_group(struct encoder *e, uint32_t begin, uint32_t end, bool *base)
{
    struct gs_section sections[GS_SECTIONS];
    FV_TRY(load_frame(e, begin));
    if (*base || !fits_base(e)) {
        FV_TRY(tell(e, "choosing step sizes", begin));
        FV_TRY(write_base(e));
        begin++;
    }
    *base = false;
    double whole = (double)(e->report->base_bytes / e->report->bases);
    gs_stream_group_begin(&e->group);
    if (begin < end)
        FV_TRY(find_clusters(e, begin, end));
    for (uint32_t f = begin; f < end; f++) {
        FV_TRY(tell(e, "encoding", f));
        FV_TRY(load_frame(e, f));
        *base = !fits_base(e);
        if (*base)
            return 0;
        memset(sections, 0, sizeof sections);
        gs_stream_from_scene(&e->target, &e->base, &e->scene, e->pose);
        gs_stream_fit_rigid(&e->group, &e->target);
        bool entry = e->out.frames % e->group_frames == 0;
        FV_TRY(gs_stream_write_residual(&e->group, &e->target, sections));
        *base = (double)size_of(sections) > (entry ? ENTRY_PART : RESIDUAL_PART) * whole;
        if (*base) {
            gs_sections_free(sections);
            return 0;
        }
        FV_TRY(put_frame(e, entry ? GS_FRAME_ENTRY : GS_FRAME_RESIDUAL, sections));
    }
    return 0;
}

static int encode(struct encoder *e)
{
    bool base = true;
    FV_TRY(load_frame(e, 0));
    FV_TRY(gs_stream_out_header(&e->out, &e->scene, e->o->fps, e->group_frames));
    while (e->out.frames < e->frame_count) {
        uint32_t end = e->out.frames - e->out.frames % e->group_frames + e->group_frames;
        FV_TRY(encode_group(e, e->out.frames, end < e->frame_count ? end : e->frame_count, &base));
    }
    return tell(e, "encoding", e->frame_count);
}

int gs_stream_encode(struct vk_device *dev, const char *path, uint32_t frame_count,
                     gs_frames_fn *frame, void *frame_ud, const struct gs_stream_opts *opts,
                     struct gs_stream_report *report)
{
    struct gs_stream_opts o = opts ? *opts : (struct gs_stream_opts){0};
    struct gs_stream_report unwanted;
    o.psnr = o.psnr > 0 ? o.psnr : 40;
    o.fps = o.fps > 0 ? o.fps : 30;
    struct encoder e = {.o = &o,
                        .report = report ? report : &unwanted,
                        .load = frame,
                        .load_ud = frame_ud,
                        .frame_count = frame_count,
                        .group_frames = o.group ? o.group : 30,
                        .clusters = o.clusters ? o.clusters : 16,
                        .aim = o.psnr,
                        .dev = dev};
    *e.report = (struct gs_stream_report){0};
    if (!frame_count || frame_count > GS_STREAM_MAX_FRAMES)
        return fv_fail(FV_EINVALID, "%u frames, expected 1 to %d", frame_count, GS_STREAM_MAX_FRAMES);
    if (e.group_frames > MOST_GROUP || e.clusters > GS_STREAM_MAX_CLUSTERS || o.psnr > 80)
        return fv_fail(FV_EINVALID,
                       "groups of at most %d frames, at most %d clusters and 80 dB are possible",
                       MOST_GROUP, GS_STREAM_MAX_CLUSTERS);
    FV_TRY(fv_writer_open(&e.out.file, path));
    int rc = encode(&e);
    /* what was encoded before a cancellation plays */
    bool keep = rc == 0 || (rc == FV_ECANCELLED && e.out.frames);
    if (keep) {
        int end = gs_stream_out_index(&e.out);
        end = end == 0 ? fv_writer_commit(&e.out.file) : end;
        rc = end < 0 ? end : rc;
    }
    fv_writer_abort(&e.out.file);
    e.report->bytes = e.out.written;
    e.report->psnr = e.report->bases ? e.psnr_sum / e.report->bases : 0;
    drop_base(&e);
    gs_scene_finish(&e.scene);
    gs_tuner_destroy(&e.tuner);
    free(e.out.index.data);
    return rc;
}
