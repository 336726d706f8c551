/* Frames of the QUEEN model: tracks of a writer and a reader, sections, bases (stream_queen.h). */
#include "gs/stream_queen_code.h"
#include "gs/scene.h"
#include "vk/base/thread.h"

#include <stdlib.h>
#include <string.h>

int gs_queen_section(int part)
{
    static const enum gs_attr of[GS_QUEEN_PARTS] = {[GS_QUEEN_DC] = GS_COLOUR,
                                                    [GS_QUEEN_REST] = GS_SH1,
                                                    [GS_QUEEN_SCALE] = GS_SCALE,
                                                    [GS_QUEEN_ROTATION] = GS_ROTATION,
                                                    [GS_QUEEN_OPACITY] = GS_OPACITY,
                                                    [GS_QUEEN_POSITION] = GS_POSITION};
    return GS_SECTION_ATTRS + (int)of[part];
}

static const char *part_name(int part)
{
    return part == GS_QUEEN_POSITION ? "xyz"
                                     : gs_queen_attribute_name((enum gs_queen_attribute)part);
}

static int no_memory(const char *what)
{
    return fv_fail(FV_ENOMEM, "no memory for %s", what);
}

/* ---- tracks ---- */

void gs_queen_fill_scene(struct gs_scene *out, const struct gs_scene *s)
{
    size_t n = s->count, from = 3 * (size_t)gs_sh_coefs(s->sh_degree);
    size_t to = 3 * (size_t)gs_sh_coefs(out->sh_degree);
    memcpy(out->position, s->position, 3 * n * sizeof(float));
    memcpy(out->scale, s->scale, 3 * n * sizeof(float));
    memcpy(out->rotation, s->rotation, 4 * n * sizeof(float));
    memcpy(out->opacity, s->opacity, n * sizeof(float));
    if (from == to)
        memcpy(out->sh, s->sh, n * to * sizeof(float));
    for (size_t i = 0; from != to && i < n; i++)
        memcpy(out->sh + i * to, s->sh + i * from, to * sizeof(float));
}

int gs_queen_copy_scene(struct gs_scene *out, const struct gs_scene *s)
{
    if (!out->position || out->count != s->count || out->sh_degree != s->sh_degree) {
        gs_scene_finish(out);
        FV_TRY(gs_scene_alloc(out, s->count, s->sh_degree));
    }
    out->mode = s->mode;
    memcpy(out->up, s->up, sizeof out->up);
    gs_queen_fill_scene(out, s);
    return 0;
}

void gs_queen_near_before(uint32_t (*near)[GS_NEAR], uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < GS_NEAR; k++)
            near[i][k] = k < 2 && k < i ? i - 1 - k : ~0u;
}

int gs_queen_track_create(struct gs_queen_track *t, struct gs_scene *base,
                          uint32_t (*near)[GS_NEAR])
{
    *t = (struct gs_queen_track){.base = *base, .base_near = near};
    *base = (struct gs_scene){0};
    int rc = 0;
    if (!near) {
        t->base_near = malloc(t->base.count * sizeof *t->base_near + 1);
        if (!t->base_near)
            rc = no_memory("a stream");
        else
            gs_queen_near_before(t->base_near, (uint32_t)t->base.count);
    }
    rc = rc == 0 ? gs_queen_track_begin(t) : rc;
    if (rc < 0)
        gs_queen_track_finish(t);
    return rc;
}

void gs_queen_track_finish(struct gs_queen_track *t)
{
    for (int k = 0; k < GS_QUEEN_PARTS; k++) {
        gs_queen_drop_integers(&t->part[k]);
        free(t->part[k].floats);
    }
    free(t->base_near);
    free(t->near);
    gs_scene_finish(&t->base);
    gs_scene_finish(&t->scene);
    *t = (struct gs_queen_track){0};
}

int gs_queen_track_begin(struct gs_queen_track *t)
{
    for (int k = 0; k < GS_QUEEN_PARTS; k++) {
        gs_queen_drop_integers(&t->part[k]);
        free(t->part[k].floats);
        t->part[k] = (struct gs_queen_part){0};
    }
    uint32_t (*near)[GS_NEAR] = realloc(t->near, t->base.count * sizeof *near + 1);
    if (!near)
        return no_memory("a stream");
    t->near = near;
    memcpy(near, t->base_near, t->base.count * sizeof *near);
    return gs_queen_copy_scene(&t->scene, &t->base);
}

/* ---- rows ---- */

/* What parts know goes with the rows. */
static int move_rows(struct gs_queen_track *t, const uint32_t *parent, uint32_t count)
{
    for (int k = 0; k < GS_QUEEN_PARTS; k++)
        FV_TRY(gs_queen_move_integers(&t->part[k], parent, count));
    uint32_t (*near)[GS_NEAR] = realloc(t->near, count * sizeof *near + 1);
    if (!near)
        return no_memory("a stream");
    t->near = near;
    gs_queen_near_before(near, count);
    return 0;
}

/* How many rows, and whose each was. Most follow their last one's. */
enum { ROWS_A_BYTE = 64 }; /* a section may ask for so many new ones */

static int code_rows(struct gs_coder *c, uint32_t before, size_t size, uint32_t *count,
                     uint32_t **parent)
{
    struct gs_bit follows[2] = {GS_BIT_EVEN, GS_BIT_EVEN};
    struct gs_wide_models m;
    unsigned last = 0;
    bool followed = true;
    gs_wide_reset(&m);
    *count = gs_code_wide(c, &m, &last, *count);
    if (!c->writing) {
        if (!*count || *count > GS_STREAM_MAX_COUNT ||
            (*count > before && (*count - before) / ROWS_A_BYTE > size))
            return fv_fail(FV_EFORMAT, "rows: %u Gaussians after %u, in %zu bytes", *count, before,
                           size);
        *parent = malloc(*count * sizeof **parent);
        if (!*parent)
            return no_memory("a frame's rows");
    }
    for (uint32_t i = 0, next = 0; i < *count; i++) {
        uint32_t is = c->writing ? (*parent)[i] : 0;
        followed = gs_code_bit(c, &follows[followed], is == next);
        if (!followed)
            next += gs_unzigzag(gs_code_wide(c, &m, &last, gs_zigzag(is - next)));
        if (next >= before)
            return fv_fail(FV_EFORMAT, "rows: Gaussian %u was %u of %u", i, next, before);
        (*parent)[i] = next++;
    }
    return 0;
}

/* ---- writing ---- */

struct writing {
    struct gs_queen_track *t; /* at the frame before; its parts' rows are the frame's */
    const struct gs_queen_frame *f;
    const struct gs_scene *next; /* the frame */
    struct gs_section *out;
    float per;
};

float *gs_queen_scene_part(const struct gs_scene *s, int part, size_t *stride, uint32_t *width)
{
    if (part == GS_QUEEN_POSITION) {
        *stride = *width = 3;
        return s->position;
    }
    *width = gs_queen_width((enum gs_queen_attribute)part, s->sh_degree);
    return gs_queen_place(s, (enum gs_queen_attribute)part, stride);
}

/* The values themselves, by those of the parents. */
static int write_values(struct gs_coder *c, const struct writing *w, int part)
{
    struct gs_queen_plane p = {.count = w->f->count, .parent = w->f->parent};
    p.at = gs_queen_scene_part(w->next, part, &p.stride, &p.width);
    p.from = gs_queen_scene_part(&w->t->scene, part, &p.from_stride, &p.width);
    gs_code_plain(c, 2, GS_QUEEN_PLAIN);
    return gs_queen_code_plane(c, &p);
}

/* Moves of all rows as integers. False if they are not. */
static bool moves_of(const struct writing *w, int32_t *out)
{
    const struct gs_queen_frame *f = w->f;
    memset(out, 0, 3 * (size_t)f->count * sizeof *out);
    for (size_t i = 0; i < 3 * (size_t)f->moved; i++) {
        double r = rint((double)f->moved_by[i] * (double)w->per);
        if (!(fabs(r) <= GS_NUMBER_MAX) || (float)r / w->per != f->moved_by[i])
            return false;
        out[3 * (size_t)f->moved_row[i / 3] + i % 3] = (int32_t)r;
    }
    return true;
}

static int write_moves(struct gs_coder *c, const struct writing *w, bool *fits)
{
    int32_t *v = malloc((3 * (size_t)w->f->count + 1) * sizeof *v);
    if (!v)
        return no_memory("a frame's positions");
    *fits = moves_of(w, v);
    int rc = 0;
    if (*fits) {
        uint32_t bits;
        memcpy(&bits, &w->per, 4);
        gs_code_plain(c, 2, GS_QUEEN_RESIDUAL);
        gs_code_plain(c, 32, bits);
        rc = gs_queen_code_integers(c, &w->t->part[GS_QUEEN_POSITION], w->f->count, 3,
                                    (const uint32_t(*)[GS_NEAR])w->t->near, v, fits);
    }
    free(v);
    return rc;
}

/* Latents and what decodes them. Those that add up are written as their sums. */
static int write_latents(struct gs_coder *c, const struct writing *w, int part, bool *fits)
{
    const struct gs_queen_change *change = &w->f->change[part];
    struct gs_queen_part *p = &w->t->part[part];
    uint32_t width = gs_queen_latent_width(change), count = w->f->count;
    int32_t *sums = NULL;
    gs_code_plain(c, 2, change->kind);
    FV_TRY(gs_queen_code_decoder(c, p, &change->decoder));
    if (change->accumulate && p->width == width) {
        sums = malloc((size_t)count * width * sizeof *sums);
        if (!sums)
            return no_memory("a frame's latents");
        for (size_t i = 0; i < (size_t)count * width; i++)
            sums[i] = (int32_t)((uint32_t)change->latent[i] + (uint32_t)p->latent[i]);
    }
    int rc = gs_queen_code_integers(c, p, count, width, (const uint32_t(*)[GS_NEAR])w->t->near,
                                    sums ? sums : change->latent, fits);
    free(sums);
    return rc;
}

static bool same_values(const struct writing *w, int part)
{
    size_t stride, from_stride;
    uint32_t width;
    const float *at = gs_queen_scene_part(w->next, part, &stride, &width);
    const float *from = gs_queen_scene_part(&w->t->scene, part, &from_stride, &width);
    for (uint32_t i = 0; i < w->f->count; i++)
        if (memcmp(at + i * stride, from + (w->f->parent ? w->f->parent[i] : i) * from_stride,
                   width * sizeof *at) != 0)
            return false;
    return true;
}

static int write_part(const struct writing *w, int part)
{
    struct gs_coder c;
    bool position = part == GS_QUEEN_POSITION, fits = true;
    enum gs_queen_kind kind = position ? (w->f->position ? GS_QUEEN_PLAIN : GS_QUEEN_RESIDUAL)
                                       : w->f->change[part].kind;
    bool integers = kind == GS_QUEEN_ABSOLUTE || kind == GS_QUEEN_RESIDUAL;
    if (kind == GS_QUEEN_KEPT || (kind == GS_QUEEN_PLAIN && same_values(w, part)) ||
        (position && kind == GS_QUEEN_RESIDUAL && !w->f->moved)) {
        gs_queen_drop_integers(&w->t->part[part]);
        return 0;
    }
    gs_coder_write(&c);
    int rc = 0;
    if (integers)
        rc = position ? write_moves(&c, w, &fits) : write_latents(&c, w, part, &fits);
    if (rc == 0 && !fits) { /* from the start */
        gs_coder_drop(&c);
        gs_coder_write(&c);
        free(w->t->part[part].floats);
        w->t->part[part].floats = NULL;
        w->t->part[part].decoder = (struct gs_queen_decoder){0};
    }
    if (rc == 0 && (!integers || !fits)) {
        gs_queen_drop_integers(&w->t->part[part]);
        rc = write_values(&c, w, part);
    }
    if (rc == 0)
        return gs_section_finish(&c, &w->out[gs_queen_section(part)], 1);
    gs_coder_drop(&c);
    return rc;
}

static int write_rows(const struct writing *w)
{
    struct gs_coder c;
    uint32_t count = w->f->count, before = (uint32_t)w->t->scene.count;
    uint32_t *parent = malloc(count * sizeof *parent);
    if (!parent)
        return no_memory("a frame's rows");
    memcpy(parent, w->f->parent, count * sizeof *parent);
    gs_coder_write(&c);
    int rc = code_rows(&c, before, 0, &count, &parent);
    free(parent);
    if (rc == 0)
        return gs_section_finish(&c, &w->out[GS_SECTION_MODEL],
                                 count > before ? (count - before) / ROWS_A_BYTE + 1 : 1);
    gs_coder_drop(&c);
    return rc;
}

int gs_queen_track_write(struct gs_queen_track *t, const struct gs_queen_frame *frame, float per,
                         struct gs_section out[GS_SECTIONS])
{
    struct gs_queen_frame f = *frame;
    struct gs_queen_latents sums = {0};
    struct gs_scene next = {0};
    struct writing w = {t, &f, &next, out, per};
    memset(out, 0, GS_SECTIONS * sizeof *out);
    int rc = gs_queen_check_frame(&f, t->scene.count, t->scene.sh_degree);
    if (rc < 0)
        return rc;
    if (f.count > GS_STREAM_MAX_COUNT)
        return fv_fail(FV_EUNSUPPORTED, "%u Gaussians, a stream holds at most %u", f.count,
                       GS_STREAM_MAX_COUNT);
    bool same = gs_queen_same_rows(&f, t->scene.count), add_up = false;
    f.parent = same ? NULL : f.parent;
    /* what gs_queen_apply adds to latents that add up: the parts', as they were before the frame */
    for (int a = 0; a < GS_QUEEN_ATTRIBUTES; a++)
        if (t->part[a].width && f.change[a].accumulate) {
            add_up = true;
            sums.width[a] = t->part[a].width;
            size_t bytes = t->scene.count * sums.width[a] * sizeof *sums.latent[a];
            sums.latent[a] = malloc(bytes + 1);
            if (!sums.latent[a])
                FV_GOTO(no_memory("a frame's latents"));
            memcpy(sums.latent[a], t->part[a].latent, bytes);
        }
    FV_GOTO(gs_queen_copy_scene(&next, &t->scene));
    FV_GOTO(gs_queen_apply(&next, add_up ? &sums : NULL, &f));
    if (!same) {
        FV_GOTO(move_rows(t, f.parent, f.count));
        FV_GOTO(write_rows(&w));
    }
    for (int part = 0; part < GS_QUEEN_PARTS; part++)
        if (part != GS_QUEEN_REST || t->scene.sh_degree)
            FV_GOTO(write_part(&w, part));
    gs_scene_finish(&t->scene);
    t->scene = next;
    next = (struct gs_scene){0};
done:
    gs_scene_finish(&next);
    gs_queen_latents_finish(&sums);
    if (rc < 0)
        gs_sections_free(out);
    return rc;
}

/* ---- reading ---- */

struct reading {
    struct gs_queen_track *t;
    const struct gs_section *in;
    struct gs_queen_frame f;
    float *values[GS_QUEEN_PARTS]; /* of f, where they are read */
    float per;
};

static int read_values(struct reading *r, struct gs_coder *c, int part)
{
    struct gs_queen_plane p = {.count = r->f.count, .parent = r->f.parent};
    p.from = gs_queen_scene_part(&r->t->scene, part, &p.from_stride, &p.width);
    p.stride = p.width;
    p.at = r->values[part] = malloc((size_t)p.count * p.width * sizeof *p.at + 1);
    if (!p.at)
        return no_memory("a frame's values");
    FV_TRY(gs_queen_code_plane(c, &p));
    if (part == GS_QUEEN_POSITION) {
        r->f.position = p.at;
    } else {
        r->f.change[part].values = p.at;
        r->f.change[part].width = p.width;
    }
    return 0;
}

static int read_latents(struct reading *r, struct gs_coder *c, int part)
{
    struct gs_queen_part *p = &r->t->part[part];
    struct gs_queen_change *change = &r->f.change[part];
    bool fits;
    FV_TRY(gs_queen_code_decoder(c, p, NULL));
    int rc = gs_queen_check_decoder(&p->decoder, 0,
                                    gs_queen_width((enum gs_queen_attribute)part,
                                                   r->t->scene.sh_degree));
    if (rc < 0)
        return fv_wrap(FV_EFORMAT, "%s: ", part_name(part));
    change->decoder = p->decoder;
    FV_TRY(gs_queen_code_integers(c, p, r->f.count, p->decoder.layer[0].in,
                                  (const uint32_t(*)[GS_NEAR])r->t->near, NULL, &fits));
    change->latent = p->latent;
    return 0;
}

static int read_moves(struct reading *r, struct gs_coder *c)
{
    bool fits;
    uint32_t bits = gs_code_plain(c, 32, 0);
    memcpy(&r->per, &bits, 4);
    if (!(r->per >= 1e-12f && r->per <= 1e12f))
        return fv_fail(FV_EFORMAT, "xyz: moves in units of 1 / %g", (double)r->per);
    return gs_queen_code_integers(c, &r->t->part[GS_QUEEN_POSITION], r->f.count, 3,
                                  (const uint32_t(*)[GS_NEAR])r->t->near, NULL, &fits);
}

static int read_part(struct reading *r, int part)
{
    const struct gs_section *s = &r->in[gs_queen_section(part)];
    bool position = part == GS_QUEEN_POSITION;
    struct gs_coder c;
    if (part == GS_QUEEN_REST && !r->t->scene.sh_degree)
        return 0;
    enum gs_queen_kind kind = GS_QUEEN_KEPT;
    if (s->size) {
        gs_coder_read(&c, s->bytes, s->size);
        kind = (enum gs_queen_kind)gs_code_plain(&c, 2, 0);
    }
    if (!position)
        r->f.change[part].kind = kind;
    if (kind == GS_QUEEN_KEPT || kind == GS_QUEEN_PLAIN)
        gs_queen_drop_integers(&r->t->part[part]);
    if (kind == GS_QUEEN_KEPT)
        return 0;
    return kind == GS_QUEEN_PLAIN ? read_values(r, &c, part)
           : position             ? read_moves(r, &c)
                                  : read_latents(r, &c, part);
}

static int read_parts(void *ud, size_t begin, size_t end)
{
    for (size_t k = begin; k < end; k++)
        FV_TRY(read_part(ud, (int)k));
    return 0;
}

static int read_rows(struct reading *r, uint32_t **parent)
{
    const struct gs_section *s = &r->in[GS_SECTION_MODEL];
    struct gs_coder c;
    r->f.count = (uint32_t)r->t->scene.count;
    if (!s->size)
        return 0;
    gs_coder_read(&c, s->bytes, s->size);
    FV_TRY(code_rows(&c, r->f.count, s->size, &r->f.count, parent));
    r->f.parent = *parent;
    return move_rows(r->t, *parent, r->f.count);
}

/* Moves of all rows as a list of those that move: row[count], by[count][3]. */
static void list_moves(struct reading *r, uint32_t *row, float *by)
{
    const int32_t *v = r->t->part[GS_QUEEN_POSITION].latent;
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->f.count; i++, v += 3) {
        if (!(v[0] | v[1] | v[2]))
            continue;
        for (int k = 0; k < 3; k++)
            by[3 * (size_t)n + (size_t)k] = (float)v[k] / r->per;
        row[n++] = i;
    }
    r->f.moved = n;
    r->f.moved_row = row;
    r->f.moved_by = by;
}

int gs_queen_track_read(struct gs_queen_track *t, const struct gs_section in[GS_SECTIONS])
{
    struct reading r = {.t = t, .in = in};
    uint32_t *parent = NULL, *row = NULL;
    float *by = NULL;
    int rc = read_rows(&r, &parent);
    if (rc == 0)
        rc = fv_parallel(GS_QUEEN_PARTS, 1, read_parts, &r);
    if (rc == 0 && !r.f.position && t->part[GS_QUEEN_POSITION].width) {
        row = malloc(r.f.count * sizeof *row);
        by = malloc(3 * (size_t)r.f.count * sizeof *by);
        if (row && by)
            list_moves(&r, row, by);
        else
            rc = no_memory("a frame's positions");
    }
    if (rc == 0)
        rc = gs_queen_apply(&t->scene, NULL, &r.f);
    if (rc == 0 && gs_scene_has_bad(&t->scene))
        rc = fv_fail(FV_EFORMAT, "its decoders make values that are none");
    free(parent);
    free(row);
    free(by);
    for (int k = 0; k < GS_QUEEN_PARTS; k++)
        free(r.values[k]);
    return rc == FV_EINVALID ? FV_EFORMAT : rc;
}

/* ---- bases ---- */

static struct gs_queen_plane base_plane(const struct gs_scene *s, int part)
{
    struct gs_queen_plane p = {.count = (uint32_t)s->count};
    p.at = gs_queen_scene_part(s, part, &p.stride, &p.width);
    return p;
}

int gs_queen_write_floats(const struct gs_scene *s, struct gs_section out[GS_SECTIONS])
{
    memset(out, 0, GS_SECTIONS * sizeof *out);
    for (int part = 0; part < GS_QUEEN_PARTS; part++) {
        struct gs_queen_plane p = base_plane(s, part);
        struct gs_coder c;
        if (!p.width)
            continue;
        gs_coder_write(&c);
        int rc = gs_queen_code_plane(&c, &p);
        if (rc == 0)
            rc = gs_section_finish(&c, &out[gs_queen_section(part)], 1);
        else
            gs_coder_drop(&c);
        if (rc < 0) {
            gs_sections_free(out);
            return rc;
        }
    }
    return 0;
}

struct base_reading {
    struct gs_scene *s;
    const struct gs_section *in;
};

static int read_planes(void *ud, size_t begin, size_t end)
{
    struct base_reading *r = ud;
    for (size_t k = begin; k < end; k++) {
        struct gs_queen_plane p = base_plane(r->s, (int)k);
        const struct gs_section *s = &r->in[gs_queen_section((int)k)];
        struct gs_coder c;
        if (!p.width)
            continue;
        gs_coder_read(&c, s->bytes, s->size);
        FV_TRY(gs_queen_code_plane(&c, &p));
    }
    return 0;
}

int gs_queen_read_floats(struct gs_scene *s, const struct gs_section in[GS_SECTIONS])
{
    FV_TRY(fv_parallel(GS_QUEEN_PARTS, 1, read_planes, &(struct base_reading){s, in}));
    return gs_scene_has_bad(s) ? fv_fail(FV_EFORMAT, "its base holds values that are none") : 0;
}

/* log(x) of a normal x > 0 by sums and products only: the C libraries' differ in their last bits.
 * 2 artanh((m - 1) / (m + 1)), m within sqrt(1/2) and sqrt(2). */
static double plain_log(double x)
{
    const double ln2 = 0.69314718055994530942;
    int e;
    double m = frexp(x, &e);
    if (m < 0.70710678118654752440) {
        m *= 2;
        e--;
    }
    double z = (m - 1) / (m + 1), zz = z * z, sum = 0;
    for (int k = 21; k >= 1; k -= 2)
        sum = sum * zz + 1.0 / k;
    return e * ln2 + 2 * z * sum;
}

int gs_queen_track_of(struct gs_queen_track *t, const struct gs_stream_base *b)
{
    const float least = 1 / 1024.f, unit = b->step[GS_OPACITY] / GS_UNITS;
    struct gs_scene scene = {0};
    FV_TRY(gs_scene_alloc(&scene, b->state.count, b->state.sh_degree));
    gs_stream_to_scene(&scene, b, &b->state);
    for (size_t i = 0; i < scene.count; i++) {
        float alpha = (float)b->state.v[GS_OPACITY][i] * unit;
        alpha = alpha < least ? least : alpha > 1 - least ? 1 - least : alpha;
        scene.opacity[i] = (float)plain_log((double)alpha / (1 - (double)alpha));
    }
    uint32_t (*near)[GS_NEAR] = malloc(scene.count * sizeof *near + 1);
    if (!near) {
        gs_scene_finish(&scene);
        return no_memory("a stream");
    }
    memcpy(near, b->near, scene.count * sizeof *near);
    return gs_queen_track_create(t, &scene, near);
}
