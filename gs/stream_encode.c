/* Writing .fvv files (gs.h, docs/STREAM.md): which frames are bases, entries and residuals.
 *
 *   group of frames --> base, if there is none that fits --> poses, grid
 *                   --> shapes that its frames are mixtures of, where these are
 *                   --> who is who from frame to frame, clusters of what moves alike
 *                   --> entry or residual, a frame at a time: deaths, changes, births
 *
 * A frame whose residual is a large part of a base becomes a base itself. */
#include "gs/stream_encode.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_GROUP = 1000 };
/* A base in place of an entry or a residual of more than this part of one. */
static const double ENTRY_PART = 0.4, RESIDUAL_PART = 0.6;

int gs_encode_load(struct gs_encoder *e, uint32_t frame)
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

int gs_encode_tell(struct gs_encoder *e, const char *what, uint32_t frame)
{
    struct fv_progress p = {what, frame, e->frame_count};
    if (e->o->on_progress && e->o->on_progress(e->o->ud, &p))
        return fv_fail(FV_ECANCELLED, "cancelled at frame %u of %u", frame, e->frame_count);
    return 0;
}

/* ---- the file ---- */

static void put_chunks(const struct gs_encoder *e, struct gs_bytes *out,
                       enum gs_stream_frame_kind kind,
                       const struct gs_section sections[GS_SECTIONS])
{
    if (kind == GS_FRAME_BASE)
        gs_put_base(out, e->out.frames,
                    e->queen        ? GS_BASE_INTEGERS
                    : e->base.basis ? GS_BASE_BASIS
                                    : GS_BASE_DIRECT,
                    &e->base, sections);
    else
        gs_put_residual(out, e->out.frames, kind == GS_FRAME_ENTRY, e->base.state.sh_degree, sections);
}

static double chunks_size(const struct gs_encoder *e, enum gs_stream_frame_kind kind,
                          const struct gs_section sections[GS_SECTIONS])
{
    struct gs_bytes bytes = {0};
    put_chunks(e, &bytes, kind, sections);
    free(bytes.data);
    return (double)bytes.size;
}

/* Integers as a scene like the one at hand. */
static int scene_of(struct gs_encoder *e, const struct gs_stream_state *state, struct gs_scene *out)
{
    *out = (struct gs_scene){0};
    FV_TRY(gs_scene_alloc(out, state->count, e->scene.sh_degree));
    out->mode = e->scene.mode;
    gs_stream_to_scene(out, &e->base, state);
    return 0;
}

/* Tells of a frame that was written, the scene at hand. */
static int tell_frame(struct gs_encoder *e, enum gs_stream_frame_kind kind, uint64_t bytes)
{
    struct gs_stream_coded told = {.kind = kind, .bytes = bytes};
    const struct gs_stream_state *state = kind == GS_FRAME_BASE ? &e->base.state : &e->group.state;
    struct gs_scene back = {0};
    const struct gs_scene *now = &back;
    int rc = 0;
    if (!e->o->on_frame)
        return 0;
    if (e->queen && kind != GS_FRAME_BASE)
        now = &e->fitted.scene;
    else
        rc = scene_of(e, state, &back);
    told.count = (uint32_t)now->count;
    rc = rc == 0 ? gs_tuner_compare(e->tuner, &e->scene, now, &told.psnr, &told.ssim) : rc;
    gs_scene_finish(&back);
    if (rc == 0)
        e->o->on_frame(e->o->frame_ud, &told);
    return rc;
}

/* Before the first base, which says whether there is a basis; where others read meanwhile, at once. */
static int put_header(struct gs_encoder *e)
{
    if (e->has_header)
        return 0;
    e->has_header = true;
    e->out.version = e->base.basis ? GS_STREAM_VERSION_BASIS : GS_STREAM_VERSION;
    return gs_stream_out_header(&e->out, &e->scene, e->o->fps, e->group_frames, e->o->start);
}

static int put_frame(struct gs_encoder *e, enum gs_stream_frame_kind kind,
                     struct gs_section sections[GS_SECTIONS])
{
    struct gs_bytes chunks = {0};
    uint64_t before = e->out.written;
    put_chunks(e, &chunks, kind, sections);
    FV_TRY(gs_stream_out_frame(&e->out, kind, &chunks, sections, e->report));
    return tell_frame(e, kind, e->out.written - before);
}

/* ---- bases ---- */

static void drop_group_state(struct gs_encoder *e)
{
    gs_stream_group_finish(&e->group);
    gs_queen_track_finish(&e->fitted);
}

static void drop_base(struct gs_encoder *e)
{
    drop_group_state(e);
    gs_stream_base_finish(&e->base);
    gs_track_finish(&e->track);
    free(e->pose);
    e->pose = NULL;
}

/* Goes through frames that a base may serve, spread over what is left. The scene at hand is the
 * first of them, before and after. */
static int look_ahead(struct gs_encoder *e, int (*look)(struct gs_encoder *e))
{
    enum { LOOKS = 4 };
    uint32_t first = e->out.frames, left = e->frame_count - first, last = first;
    FV_TRY(look(e));
    gs_scene_finish(&e->last);
    e->last = e->scene;
    e->scene = (struct gs_scene){0};
    int rc = 0;
    for (uint32_t k = 1; k < LOOKS && rc == 0; k++) {
        uint32_t f = first + (uint32_t)((uint64_t)left * k / LOOKS);
        if (f == last)
            continue;
        last = f;
        rc = gs_encode_load(e, f);
        rc = rc == 0 ? look(e) : rc;
    }
    gs_scene_finish(&e->scene);
    e->scene = e->last;
    e->last = (struct gs_scene){0};
    return rc;
}

/* The views have room for the frame that spreads furthest. */
static int look_at_size(struct gs_encoder *e)
{
    struct gs_bounds b;
    gs_scene_bounds(&e->scene, &b);
    if (b.radius > e->bounds.radius || !e->has_bounds)
        e->bounds = b;
    e->has_bounds = true;
    return 0;
}

/* What is invisible in the first frame may come to be seen. */
static int look_at_weights(struct gs_encoder *e)
{
    uint32_t *to;
    if (!e->last.count)
        return gs_tuner_see(e->tuner, &e->scene, NULL);
    FV_TRY(gs_encode_match(e, &to));
    int rc = gs_tuner_see(e->tuner, &e->scene, to);
    free(to);
    return rc;
}

/* The base's steps, integers and sections, of the scene at hand. */
static int make_base(struct gs_encoder *e, struct gs_section sections[GS_SECTIONS])
{
    struct gs_scene *s = &e->scene;
    struct gs_stream_state target;
    gs_stream_basis_destroy(&e->base.basis);
    FV_TRY(gs_tuner_find_steps(e->tuner, &e->base, s, e->aim, &e->report->step_scale));
    FV_TRY(gs_stream_make_poses(e->pose, &e->base, s));
    FV_TRY(gs_track_begin(&e->track, e->pose, (uint32_t)s->count));
    uint8_t *row_level = malloc(s->count + 1);
    if (!row_level)
        return fv_fail(FV_ENOMEM, "no memory for %zu Gaussians", s->count);
    memcpy(row_level, e->base.level, s->count);
    for (size_t i = 0; i < s->count; i++)
        e->base.level[i] = row_level[e->pose[i].row];
    free(row_level);
    gs_encode_learn_levels(e);
    FV_TRY(gs_stream_state_create(&target, (uint32_t)s->count, s->sh_degree));
    gs_stream_from_scene(&target, &e->base, s, e->pose);
    int rc = gs_stream_write_key(&e->base, &target, sections);
    gs_stream_state_finish(&target);
    return rc;
}

/* How near integers are to the scene at hand. */
static int scene_psnr(struct gs_encoder *e, const struct gs_stream_state *state, double *psnr)
{
    struct gs_scene back;
    int rc = scene_of(e, state, &back);
    rc = rc == 0 ? gs_tuner_psnr(e->tuner, &e->scene, &back, psnr) : rc;
    gs_scene_finish(&back);
    return rc;
}

/* What frames after the base build on. */
static int make_group_state(struct gs_encoder *e)
{
    return e->queen ? gs_queen_track_of(&e->fitted, &e->base)
                    : gs_stream_group_create(&e->group, &e->base);
}

/* That, at the base again. */
static int begin_group(struct gs_encoder *e)
{
    if (!e->queen) {
        gs_stream_group_begin(&e->group);
        return 0;
    }
    size_t n = e->base.state.count;
    free(e->level);
    e->level = malloc(2 * n + 1);
    if (!e->level)
        return fv_fail(FV_ENOMEM, "no memory for %zu Gaussians", n);
    memcpy(e->level, e->base.level, n);
    memcpy(e->level + n, e->base.turn_level, n);
    return gs_queen_track_begin(&e->fitted);
}

/* How near the frame coded last is to the scene at hand. */
static int frame_psnr(struct gs_encoder *e, double *psnr)
{
    if (!e->queen)
        return scene_psnr(e, &e->group.state, psnr);
    return gs_tuner_psnr(e->tuner, &e->scene, &e->fitted.scene, psnr);
}

/* ---- the search for steps ---- */

/* Frames [begin, end) of a probe, in which no base begins. Adds up what they cost. */
struct probe {
    double bits[GS_ATTRS], psnr_sum, entry_bytes, residual_bytes;
    uint32_t residuals, psnrs;
};

static int probe_group(struct gs_encoder *e, uint32_t begin, uint32_t end, struct probe *p)
{
    struct gs_encode_group g;
    bool base = false;
    FV_TRY(begin_group(e));
    FV_TRY(gs_track_begin(&e->track, e->pose, e->base.state.count));
    int rc = gs_encode_look(e, &g, begin, end);
    for (uint32_t k = 0; rc == 0 && k < g.frames; k++) {
        struct gs_section sections[GS_SECTIONS] = {{0}};
        rc = gs_encode_load(e, begin + k);
        rc = rc == 0 ? gs_encode_sections(e, &g, k, sections, &base) : rc;
        /* the first builds on the base, as only the first of a group does */
        for (int a = 0; a < GS_ATTRS && k && !base; a++)
            p->bits[a] += 8 * (double)sections[GS_SECTION_ATTRS + a].size;
        if (k && !base) {
            p->residual_bytes += chunks_size(e, GS_FRAME_RESIDUAL, sections);
            p->residuals++;
        } else if (!base) { /* the last place's: the first is near the base */
            p->entry_bytes = chunks_size(e, GS_FRAME_ENTRY, sections);
        }
        gs_sections_free(sections);
        if (rc < 0 || base)
            break;
        if (begin + k + 1 == end && k) {
            double one;
            rc = frame_psnr(e, &one);
            p->psnr_sum += one;
            p->psnrs++;
        }
    }
    gs_encode_drop_group(&g);
    return rc;
}

/* Codes some frames in two places of what the base at hand may serve: what they cost, which the tuner
 * is told (`weigh`), and how near they come. *psnr stays where there are none; *bytes is about what all
 * frames from the base on, of `whole` bytes, take. The scene at hand stays the base's. */
static int probe(struct gs_encoder *e, double whole, bool weigh, double *psnr, double *bytes)
{
    enum { PLACES = 2, FRAMES = 8 };
    uint32_t first = e->out.frames, left = e->frame_count - first - 1, end = 0;
    uint32_t frames = left / PLACES < FRAMES ? (left + PLACES - 1) / PLACES : FRAMES;
    struct probe sum = {.psnrs = 0};
    FV_TRY(make_group_state(e));
    int rc = 0;
    for (uint32_t p = 0; p < PLACES && rc == 0; p++) {
        uint32_t begin = first + 1 + (uint32_t)((uint64_t)left * p / PLACES);
        if (begin < end || begin == e->frame_count)
            break;
        end = begin + frames < e->frame_count ? begin + frames : e->frame_count;
        rc = probe_group(e, begin, end, &sum);
        rc = rc == 0 ? gs_encode_load(e, first) : rc;
    }
    drop_group_state(e);
    rc = rc == 0 ? gs_track_begin(&e->track, e->pose, e->base.state.count) : rc;
    if (sum.psnrs)
        *psnr = sum.psnr_sum / sum.psnrs;
    double residual = sum.residuals ? sum.residual_bytes / sum.residuals : sum.entry_bytes;
    if (residual <= 0 || residual > RESIDUAL_PART * whole)
        residual = whole; /* bases then */
    uint32_t entries = (first + left) / e->group_frames - first / e->group_frames;
    const double head = 150, line = 3; /* of the file; in its index */
    double entry = sum.entry_bytes;
    if (entry <= 0 || entry > ENTRY_PART * whole)
        entry = whole;
    *bytes = whole + entries * entry + (left - entries) * residual + head + (left + 1) * line;
    for (int a = 0; a < GS_ATTRS; a++)
        sum.bits[a] *= sum.residuals ? (double)left / sum.residuals / e->base.state.count : 0;
    if (rc == 0 && sum.residuals && weigh)
        gs_tuner_weigh(e->tuner, &e->base, sum.bits);
    return rc;
}

/* What the last steps led to, in logarithms. */
struct search {
    bool begun;
    double scale, rate;
};

/* Moves the steps' scale towards what makes `bytes` those that are asked for. True if they are nearly. */
static bool next_scale(struct gs_encoder *e, struct search *s, double bytes, double wanted)
{
    const double near = 0.01;
    double scale = log(e->report->step_scale), rate = log(bytes), missed = log(wanted) - rate;
    if (fabs(missed) < near)
        return true;
    if (s->begun && fabs(scale - s->scale) > 1e-3)
        e->slope = fmin(fmax((rate - s->rate) / (scale - s->scale), -2), -0.15);
    *s = (struct search){true, scale, rate};
    e->report->step_scale = exp(scale + missed / e->slope);
    return false;
}

/* Moves e->aim, or where bytes are asked for the steps' scale, towards what is asked for, from what the
 * last one led to: dB of frames after the base, bytes until the end. True if that was near enough. */
static bool next_steps(struct gs_encoder *e, struct search *s, double psnr, double bytes)
{
    const double near = 0.15, most = 3; /* dB: of frames, of what bases make up for */
    if (e->o->frame_bytes > 0)
        return next_scale(e, s, bytes / (e->frame_count - e->out.frames), e->o->frame_bytes);
    double missed = e->o->psnr - psnr;
    if (fabs(missed) < near)
        return true;
    e->aim = fmin(fmax(e->aim + missed, e->o->psnr - most), e->o->psnr + most);
    return false;
}

/* ---- the basis ---- */

static void drop_samples(struct gs_encoder *e)
{
    for (uint32_t k = 0; k < e->samples; k++)
        free(e->sample[k]);
    e->samples = 0;
}

/* Loads another frame; *same: its rows are those of the scene at hand before, in that order. */
static int load_sample(struct gs_encoder *e, uint32_t frame, bool *same)
{
    uint32_t *to = NULL;
    *same = false;
    gs_scene_finish(&e->last);
    e->last = e->scene;
    e->scene = (struct gs_scene){0};
    FV_TRY(gs_encode_load(e, frame));
    if (e->scene.count != e->last.count)
        return 0;
    int rc = gs_encode_match(e, &to);
    *same = !to;
    free(to);
    return rc;
}

static int keep_sample(struct gs_encoder *e)
{
    size_t size = 3 * e->scene.count * sizeof **e->sample;
    float *kept = malloc(size + 1);
    if (!kept)
        return fv_fail(FV_ENOMEM, "no memory for positions of %zu Gaussians", e->scene.count);
    memcpy(kept, e->scene.position, size);
    e->sample[e->samples++] = kept;
    return 0;
}

/* Positions of the base's frame and of some that it may serve; the scene at hand stays. None where
 * they are too few, or rows change their order: who is who over many frames is not known then. */
static int take_samples(struct gs_encoder *e)
{
    enum { LEAST = 12, MOST_NUMBERS = 1 << 23 };
    uint32_t first = e->out.frames, left = e->frame_count - first - 1;
    uint32_t room = MOST_NUMBERS / (e->base.state.count + 1);
    drop_samples(e);
    room = room < GS_ENCODE_SAMPLES ? room : GS_ENCODE_SAMPLES;
    room = room < left ? room : left;
    if (room < LEAST)
        return 0;
    bool same = true;
    int rc = keep_sample(e);
    for (uint32_t k = 1; k <= room && rc == 0 && same; k++) {
        rc = gs_encode_tell(e, "choosing step sizes", first);
        if (rc == 0)
            rc = load_sample(e, first + (uint32_t)((uint64_t)left * k / room), &same);
        if (rc == 0 && same)
            rc = keep_sample(e);
    }
    gs_scene_finish(&e->last);
    if (!same)
        drop_samples(e);
    return rc < 0 ? rc : gs_encode_load(e, first);
}

/* Gives the base at hand the basis that its samples tell, if one is wanted, in steps of e->fine. */
static int add_basis(struct gs_encoder *e, struct gs_section *out)
{
    int32_t *units[GS_ENCODE_SAMPLES + 1] = {NULL};
    uint32_t count = e->base.state.count, *row = malloc(((size_t)count + 1) * sizeof *row);
    gs_stream_basis_destroy(&e->base.basis);
    free(out->bytes);
    *out = (struct gs_section){0};
    int rc = row ? 0 : fv_fail(FV_ENOMEM, "no memory for a basis");
    for (uint32_t i = 0; rc == 0 && i < count; i++)
        row[i] = e->pose[i].row;
    for (uint32_t k = 0; rc == 0 && e->fine && k < e->samples; k++) {
        const struct gs_scene at = {.count = count, .position = e->sample[k]};
        units[k] = malloc((3 * (size_t)count + 1) * sizeof **units);
        if (units[k])
            gs_stream_positions(units[k], &e->base, &at, row, count);
        else
            rc = fv_fail(FV_ENOMEM, "no memory for a basis");
    }
    if (rc == 0 && e->fine && e->samples)
        rc = gs_stream_fit_basis(&e->base, units[0], units + 1, e->samples - 1, e->fine, out);
    for (uint32_t k = 0; k < e->samples; k++)
        free(units[k]);
    free(row);
    return rc;
}

/* The base of the steps that the tuner has now, with its basis, if one is wanted. */
static int make_again(struct gs_encoder *e, struct gs_section sections[GS_SECTIONS])
{
    gs_sections_free(sections);
    FV_TRY(make_base(e, sections));
    return e->fine ? add_basis(e, &sections[GS_SECTION_BASIS]) : 0;
}

/* Tries bases of finer and finer steps while frames that are probed and the base cost less for it. */
static int choose_basis(struct gs_encoder *e, struct gs_section sections[GS_SECTIONS])
{
    static const uint8_t fines[] = {8, 4, 3, 2};
    const double enough = 0.99;
    double least = 0, psnr = 0, bytes;
    uint8_t best = 0;
    e->fine = 0;
    if (e->queen || e->o->live || (e->has_header && e->out.version != GS_STREAM_VERSION_BASIS))
        return 0;
    FV_TRY(take_samples(e));
    if (!e->samples)
        return 0;
    int rc = probe(e, chunks_size(e, GS_FRAME_BASE, sections), false, &psnr, &least);
    for (size_t k = 0; k < sizeof fines && rc == 0; k++) {
        e->fine = fines[k];
        rc = add_basis(e, &sections[GS_SECTION_BASIS]);
        if (rc < 0 || !e->base.basis)
            break;
        rc = probe(e, chunks_size(e, GS_FRAME_BASE, sections), false, &psnr, &bytes);
        if (bytes > enough * least)
            break;
        least = bytes;
        best = e->fine;
    }
    if (rc == 0 && e->fine != best) {
        e->fine = best;
        rc = add_basis(e, &sections[GS_SECTION_BASIS]);
    }
    return rc;
}

/* A later base, of which `sections` is what the steps so far make: they are moved to where frames from
 * here on take what is left for them, if they are to their base as those of the last one were to it. */
static int keep_to_size(struct gs_encoder *e, struct gs_section sections[GS_SECTIONS])
{
    enum { ROUNDS = 5 };
    const double most = 4; /* what went wrong is not made up for at once */
    double asked = e->o->frame_bytes, left = (double)(e->frame_count - e->out.frames);
    double wanted = (asked * e->frame_count - (double)e->out.written) / left;
    double frames = (double)(e->out.frames - e->since.frame);
    double of_base = (double)(e->out.written - e->since.begin) / frames / e->since.bytes;
    struct search search = {0};
    wanted = fmin(fmax(wanted, asked / most), asked * most);
    for (int round = 0; round < ROUNDS; round++) {
        if (next_scale(e, &search, of_base * chunks_size(e, GS_FRAME_BASE, sections), wanted))
            break;
        FV_TRY(make_again(e, sections));
    }
    return 0;
}

/* Room for a base of the scene at hand, and what its frames are seen as. */
static int begin_base(struct gs_encoder *e)
{
    struct gs_scene *s = &e->scene;
    drop_base(e);
    if (!e->tuner) {
        FV_TRY(look_ahead(e, look_at_size));
        FV_TRY(gs_tuner_create(&e->tuner, e->dev, e->o->views, s, &e->bounds));
    }
    gs_tuner_look_anew(e->tuner);
    FV_TRY(look_ahead(e, look_at_weights));
    FV_TRY(gs_stream_base_create(&e->base, (uint32_t)s->count, s->sh_degree));
    e->pose = malloc((s->count + 1) * sizeof *e->pose);
    return e->pose ? 0 : fv_fail(FV_ENOMEM, "no memory for %zu Gaussians", s->count);
}

/* The first base made again, of steps that bring frames after it to what is asked for. */
static int search_steps(struct gs_encoder *e, struct gs_section sections[GS_SECTIONS])
{
    enum { PROBES = 4, SIZE_PROBES = 8 };
    int probes = e->o->frame_bytes > 0 ? SIZE_PROBES : PROBES;
    struct search search = {0};
    for (int round = 0; round < probes; round++) {
        double reached = e->o->psnr, bytes = 0, whole = chunks_size(e, GS_FRAME_BASE, sections);
        FV_TRY(probe(e, whole, !round || e->o->frame_bytes <= 0, &reached, &bytes));
        /* round 0 had steps that do not suit the rates */
        if (round && next_steps(e, &search, reached, bytes))
            break;
        FV_TRY(make_again(e, sections));
    }
    return 0;
}

/* A base of the scene at hand; the next frame of the file. */
static int write_base(struct gs_encoder *e)
{
    const double off = 0.75; /* dB: steps found for an earlier base do not suit this one */
    struct gs_section sections[GS_SECTIONS];
    bool again = e->tuner != NULL;
    double psnr = 0;
    FV_TRY(begin_base(e));
    FV_TRY(make_base(e, sections));
    int rc = choose_basis(e, sections);
    if (rc == 0 && !again)
        rc = search_steps(e, sections);
    else if (rc == 0 && e->o->frame_bytes > 0)
        rc = keep_to_size(e, sections);
    rc = rc == 0 ? scene_psnr(e, &e->base.state, &psnr) : rc;
    if (rc == 0 && again && e->o->frame_bytes <= 0 && fabs(psnr - e->aim) > off) {
        gs_tuner_forget(e->tuner);
        rc = make_again(e, sections);
        rc = rc == 0 ? scene_psnr(e, &e->base.state, &psnr) : rc;
    }
    drop_samples(e);
    rc = rc == 0 ? make_group_state(e) : rc;
    rc = rc == 0 ? put_header(e) : rc;
    if (rc < 0) {
        gs_sections_free(sections);
        return rc;
    }
    e->psnr_sum += psnr;
    e->since.frame = e->out.frames;
    e->since.begin = e->out.written;
    FV_TRY(put_frame(e, GS_FRAME_BASE, sections));
    e->since.bytes = (double)(e->out.written - e->since.begin);
    return 0;
}

/* ---- groups ---- */

/* Frame k of a group, which begins at `begin`. */
static int encode_frame(struct gs_encoder *e, const struct gs_encode_group *g, uint32_t begin,
                        uint32_t k, bool *base)
{
    struct gs_section sections[GS_SECTIONS] = {{0}};
    double whole = (double)(e->report->base_bytes / e->report->bases);
    bool entry = e->out.frames % e->group_frames == 0;
    FV_TRY(gs_encode_tell(e, "encoding", begin + k));
    FV_TRY(gs_encode_load(e, begin + k));
    int rc = gs_encode_sections(e, g, k, sections, base);
    *base =
        *base || (double)gs_sections_size(sections) > (entry ? ENTRY_PART : RESIDUAL_PART) * whole;
    if (rc == 0 && !*base)
        return put_frame(e, entry ? GS_FRAME_ENTRY : GS_FRAME_RESIDUAL, sections);
    gs_sections_free(sections);
    return rc;
}

/* The frames [begin, end), or fewer: the next group then begins where this one ends, with a base if
 * `*base` says so. Without a base, the scene at hand is the frame before them, before and after. */
static int encode_group(struct gs_encoder *e, uint32_t begin, uint32_t end, bool *base)
{
    struct gs_encode_group g;
    if (*base) {
        FV_TRY(gs_encode_load(e, begin));
        FV_TRY(gs_encode_tell(e, "choosing step sizes", begin));
        FV_TRY(write_base(e));
        begin++;
    }
    *base = false;
    FV_TRY(begin_group(e));
    gs_track_enter(&e->track);
    int rc = gs_encode_look(e, &g, begin, end);
    for (uint32_t k = 0; rc == 0 && k < g.frames && !*base; k++)
        rc = encode_frame(e, &g, begin, k, base);
    *base = *base || begin + g.frames < end;
    gs_encode_drop_group(&g);
    return rc;
}

static int encode(struct gs_encoder *e)
{
    bool base = true;
    FV_TRY(gs_encode_load(e, 0));
    if (e->o->live)
        FV_TRY(put_header(e));
    while (e->out.frames < e->frame_count) {
        uint32_t end = e->out.frames - e->out.frames % e->group_frames + e->group_frames;
        FV_TRY(encode_group(e, e->out.frames, end < e->frame_count ? end : e->frame_count, &base));
    }
    return gs_encode_tell(e, "encoding", e->frame_count);
}

int gs_stream_encode(struct vk_device *dev, const char *path, uint32_t frame_count,
                     gs_frames_fn *frame, void *frame_ud, const struct gs_stream_opts *opts,
                     struct gs_stream_report *report)
{
    struct gs_stream_opts o = opts ? *opts : (struct gs_stream_opts){0};
    struct gs_stream_report unwanted;
    o.psnr = o.psnr > 0 ? o.psnr : 40;
    o.fps = o.fps > 0 ? o.fps : 30;
    struct gs_encoder e = {.o = &o,
                           .report = report ? report : &unwanted,
                           .load = frame,
                           .load_ud = frame_ud,
                           .frame_count = frame_count,
                           .group_frames = o.group ? o.group : 30,
                           .clusters = o.clusters ? o.clusters : 16,
                           .aim = o.psnr,
                           .slope = -0.5, /* about */
                           .queen = o.model == GS_STREAM_QUEEN,
                           .dev = dev};
    *e.report = (struct gs_stream_report){0};
    if (!frame_count || frame_count > GS_STREAM_MAX_FRAMES)
        return fv_fail(FV_EINVALID, "%u frames, expected 1 to %d", frame_count, GS_STREAM_MAX_FRAMES);
    if (o.frame_bytes < 0 || (o.frame_bytes > 0 && o.frame_bytes < 64))
        return fv_fail(FV_EINVALID, "%g bytes a frame, expected at least 64", o.frame_bytes);
    if (e.group_frames > MOST_GROUP || e.clusters > GS_STREAM_MAX_CLUSTERS || o.psnr > 80)
        return fv_fail(FV_EINVALID,
                       "groups of at most %d frames, at most %d clusters and 80 dB are possible",
                       MOST_GROUP, GS_STREAM_MAX_CLUSTERS);
    FV_TRY(gs_stream_out_open(&e.out, path, o.live));
    int rc = gs_stream_out_end(&e.out, encode(&e));
    e.report->bytes = e.out.written;
    e.report->psnr = e.report->bases ? e.psnr_sum / e.report->bases : 0;
    drop_base(&e);
    drop_samples(&e);
    free(e.level);
    gs_scene_finish(&e.scene);
    gs_scene_finish(&e.last);
    gs_tuner_destroy(&e.tuner);
    return rc;
}
