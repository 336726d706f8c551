/* Frames of .fvv files (gs.h, docs/STREAM.md); their list: stream_list.c. */
#include "gs/scene.h"
#include "gs/stream_read.h"

#include <stdlib.h>
#include <string.h>

/* ---- frames ---- */

/* A frame's chunks: its own, and the sections of its SH bands up to a degree. */
struct frame_chunks {
    struct gs_stream_chunk own;
    struct gs_section band[3], born[3];
};

/* A chunk that is not the one that there should be, by its place among its frame's. */
static int misplaced(const struct gs_stream *s, uint32_t frame, int part)
{
    char what[32] = "geometry and colours";
    if (part > 0)
        snprintf(what, sizeof what, "SH band %d", part);
    return fv_fail(FV_EFORMAT, "%s: frame %u: the head of %s is damaged", s->name, frame, what);
}

/* Whether a chunk ends where the list of frames says. */
static bool has_its_size(const struct gs_stream_frame *f, const struct gs_stream_chunk *chunk,
                         int place)
{
    uint64_t size = GS_CHUNK_HEAD + (uint64_t)chunk->size;
    if (!f->part[0] || place < 0)
        return place >= 0;
    return place ? size <= f->part[(place + 1) / 2] : size == f->part[0];
}

/* The chunks are borrowed from the bytes at hand. */
static int read_chunks(struct gs_stream *s, uint32_t frame, int sh_degree, struct frame_chunks *out)
{
    static const uint8_t kinds[] = {GS_CHUNK_BASE, GS_CHUNK_ENTRY, GS_CHUNK_RESIDUAL};
    const struct gs_stream_frame *f = &s->frames[frame];
    uint32_t size = gs_stream_frame_bytes(f, sh_degree);
    *out = (struct frame_chunks){0};
    if (!size)
        return fv_fail(FV_EFORMAT, "%s: frame %u is lost: its place in the file is damaged", s->name,
                       frame);
    FV_TRY(gs_stream_load(s, f->offset, size));
    if (s->have < size)
        return fv_fail(FV_EFORMAT, "%s: frame %u: the file ends before it does", s->name, frame);
    struct fv_cursor c = fv_cursor_over(s->bytes, size);
    struct gs_stream_chunk chunk;
    bool whole, cut;
    for (int at = -1; fv_cursor_left(&c);) { /* place in its frame, of the last chunk */
        int part = at < 0 ? 0 : at / 2 + 1; /* for messages, where the chunk itself does not say */
        const uint8_t *head = s->bytes + c.at;
        if (!gs_get_chunk(&c, &chunk, &whole, &cut))
            return misplaced(s, frame, part);
        int place = gs_chunk_place(chunk.kind);
        bool fits = at < 0 ? chunk.kind == kinds[f->kind] : place > at;
        if (!fits || chunk.frame != frame || !has_its_size(f, &chunk, place))
            return misplaced(s, frame, part);
        int band = (place - 1) / 2;
        bool wanted = !place || band < sh_degree;
        if (!whole && wanted) {
            char what[GS_DAMAGE_NAME];
            gs_chunk_damage_name(what, chunk.kind, head, chunk.size,
                                 f->offset + (uint64_t)(head - s->bytes));
            return fv_fail(FV_EFORMAT, "%s: frame %u: %s", s->name, frame, what);
        }
        if (!place) {
            out->own = chunk;
        } else if (wanted) {
            struct gs_section *to =
                chunk.kind >= GS_CHUNK_BORN_BAND ? &out->born[band] : &out->band[band];
            memcpy(&to->bytes, &chunk.data, sizeof chunk.data);
            to->size = chunk.size;
        }
        at = place;
    }
    return 0;
}

void gs_stream_drop_base(struct gs_stream *s)
{
    if (s->key)
        s->keys.close(s->keys.ud, s->key);
    s->key = NULL;
    gs_stream_group_finish(&s->group);
    gs_stream_base_finish(&s->base);
    gs_queen_track_finish(&s->queen);
    s->base_frame = s->at = s->entry = GS_NO_FRAME;
}

/* The chunks of SH bands that were read are those that there should be. */
static int check_bands(const struct gs_stream *s, uint32_t frame, int sh_degree, unsigned bands,
                       const struct frame_chunks *chunks)
{
    for (int k = 0; k < sh_degree; k++)
        if ((bands >> k & 1) != (chunks->band[k].bytes != NULL) ||
            (bands >> (3 + k) & 1) != (chunks->born[k].bytes != NULL))
            return fv_fail(FV_EFORMAT, "%s: frame %u: SH band %d is not where it should be", s->name,
                           frame, k + 1);
    return 0;
}

static int load_integers(struct gs_stream *s, const struct frame_chunks *chunks, int sh_degree)
{
    struct gs_section sections[GS_SECTIONS];
    FV_TRY(gs_get_base(&s->base, sh_degree, &chunks->own, sections, s->name));
    memcpy(&sections[GS_SECTION_ATTRS + GS_SH1], chunks->band, sizeof chunks->band);
    int rc = check_bands(s, chunks->own.frame, s->base.state.sh_degree, 7, chunks);
    if (rc == 0) {
        rc = gs_stream_read_key(&s->base, sections);
        rc = rc == 0 ? gs_stream_read_basis(&s->base, &sections[GS_SECTION_BASIS]) : rc;
        if (rc == FV_EFORMAT)
            fv_wrap(rc, "%s: frame %u: ", s->name, chunks->own.frame);
    }
    if (rc == 0)
        rc = s->is_queen ? gs_queen_track_of(&s->queen, &s->base)
                         : gs_stream_group_create(&s->group, &s->base);
    if (s->is_queen)
        gs_stream_base_finish(&s->base);
    return rc;
}

static int load_floats(struct gs_stream *s, const struct frame_chunks *chunks, int sh_degree)
{
    struct gs_section sections[GS_SECTIONS];
    struct gs_scene scene = {0};
    FV_TRY(gs_get_floats(&scene, sh_degree, &chunks->own, sections, s->name));
    memcpy(&sections[GS_SECTION_ATTRS + GS_SH1], chunks->band, sizeof chunks->band);
    int rc = check_bands(s, chunks->own.frame, scene.sh_degree, 7, chunks);
    if (rc == 0 && (rc = gs_queen_read_floats(&scene, sections)) == FV_EFORMAT)
        fv_wrap(rc, "%s: frame %u: ", s->name, chunks->own.frame);
    rc = rc == 0 ? gs_queen_track_create(&s->queen, &scene, NULL) : rc;
    gs_scene_finish(&scene);
    return rc;
}

static int load_anchors(struct gs_stream *s, const struct gs_stream_chunk *own)
{
    char name[600];
    void *data;
    size_t size;
    if (!s->keys.open)
        return fv_fail(FV_EUNSUPPORTED, "%s: frame %u is a model of anchors", s->name, own->frame);
    FV_TRY(gs_get_anchors(&data, &size, own, s->name));
    snprintf(name, sizeof name, "%.500s: frame %u", s->name, own->frame);
    int rc = s->keys.open(s->keys.ud, &s->key, data, size, name);
    free(data);
    s->key_id = gs_new_id();
    return rc;
}

static int load_base(struct gs_stream *s, uint32_t frame, int sh_degree)
{
    struct frame_chunks chunks;
    FV_TRY(read_chunks(s, frame, sh_degree, &chunks));
    gs_stream_drop_base(s);
    enum gs_base_kind kind = gs_base_kind(&chunks.own);
    s->is_queen = kind == GS_BASE_FLOATS || kind == GS_BASE_INTEGERS;
    int rc = kind == GS_BASE_FLOATS    ? load_floats(s, &chunks, sh_degree)
             : kind == GS_BASE_ANCHORS ? load_anchors(s, &chunks.own)
                                       : load_integers(s, &chunks, sh_degree);
    if (rc < 0)
        gs_stream_drop_base(s);
    else
        s->base_frame = frame;
    s->sh_degree = sh_degree;
    return rc;
}

/* The next frame of the state's group. */
static int step(struct gs_stream *s, uint32_t frame)
{
    uint8_t bands;
    struct frame_chunks chunks;
    struct gs_section sections[GS_SECTIONS];
    int sh_degree = s->is_queen ? s->queen.base.sh_degree : s->base.state.sh_degree;
    if (s->key)
        return fv_fail(FV_EFORMAT, "%s: frame %u: builds on anchors, which stay as they are", s->name, frame);
    FV_TRY(read_chunks(s, frame, sh_degree, &chunks));
    s->at = GS_NO_FRAME; /* if it fails, the state is of no frame */
    FV_TRY(gs_get_residual(&chunks.own, sections, &bands, s->name));
    memcpy(&sections[GS_SECTION_ATTRS + GS_SH1], chunks.band, sizeof chunks.band);
    memcpy(&sections[GS_SECTION_BORN_SH], chunks.born, sizeof chunks.born);
    FV_TRY(check_bands(s, frame, sh_degree, bands, &chunks));
    int rc = s->is_queen ? gs_queen_track_read(&s->queen, sections)
                         : gs_stream_read_residual(&s->group, sections);
    return rc == FV_EFORMAT ? fv_wrap(rc, "%s: frame %u: ", s->name, frame) : rc;
}

/* Brings the state to a frame. */
static int seek(struct gs_stream *s, uint32_t frame, int sh_degree)
{
    const struct gs_stream_frame *f = &s->frames[frame];
    if (f->base == GS_NO_FRAME)
        return fv_fail(FV_EFORMAT, "%s: frame %u: the base before it is damaged or lost", s->name,
                       frame);
    if (s->base_frame != f->base || s->sh_degree != sh_degree)
        FV_TRY(load_base(s, f->base, sh_degree));
    if (s->at == GS_NO_FRAME || s->entry != f->entry || s->at > frame) {
        s->at = GS_NO_FRAME;
        if (s->is_queen)
            FV_TRY(gs_queen_track_begin(&s->queen));
        else if (!s->key)
            gs_stream_group_begin(&s->group);
        if (s->frames[f->entry].kind == GS_FRAME_ENTRY)
            FV_TRY(step(s, f->entry));
        s->at = s->entry = f->entry;
    }
    while (s->at < frame) {
        uint32_t next = s->at + 1;
        FV_TRY(step(s, next));
        s->at = next;
    }
    return 0;
}

/* Decoders of the QUEEN model make all bands at once. */
static int degree_read(const struct gs_stream *s, int sh_degree)
{
    return s->info.model == GS_STREAM_QUEEN && sh_degree > 0 ? 3 : sh_degree;
}

/* Bases may differ in their degree. */
static int degree_within(int sh_degree)
{
    return sh_degree < 0 ? 0 : sh_degree > 3 ? 3 : sh_degree;
}

static int find(struct gs_stream *s, uint32_t frame, int sh_degree)
{
    if (frame >= s->info.frame_count)
        return fv_fail(FV_EINVALID, "%s: frame %u of %u", s->name, frame, s->info.frame_count);
    return seek(s, frame, degree_read(s, degree_within(sh_degree)));
}

/* For what the state holds. */
static int make_room(const struct gs_stream *s, struct gs_scene *scene, size_t count, int sh_degree)
{
    if (scene->position && scene->count == count && scene->sh_degree == sh_degree)
        return 0;
    gs_scene_finish(scene);
    FV_TRY(gs_scene_alloc(scene, count, sh_degree));
    scene->mode = s->info.mode;
    memcpy(scene->up, s->info.up, sizeof scene->up);
    return 0;
}

int gs_stream_decode(struct gs_stream *s, uint32_t frame, int sh_degree, struct gs_scene *scene)
{
    FV_TRY(find(s, frame, sh_degree));
    sh_degree = degree_within(sh_degree);
    if (s->key) {
        gs_scene_finish(scene);
        FV_TRY(s->keys.decode(s->keys.ud, s->key, scene));
        scene->mode = s->info.mode;
        memcpy(scene->up, s->info.up, sizeof scene->up);
    } else if (s->is_queen) {
        const struct gs_scene *state = &s->queen.scene;
        FV_TRY(make_room(s, scene, state->count,
                         sh_degree < state->sh_degree ? sh_degree : state->sh_degree));
        gs_queen_fill_scene(scene, state);
    } else {
        const struct gs_stream_state *state = &s->group.state;
        FV_TRY(make_room(s, scene, state->count, state->sh_degree));
        gs_stream_to_scene(scene, &s->base, state);
    }
    snprintf(scene->detail, sizeof scene->detail, "fvv frame %u", frame);
    return 0;
}

/* ---- on the device ---- */

/* Where the state's Gaussians are: a part of them says it. */
static int sample_places(struct gs_scene *out, const struct gs_stream *s)
{
    enum { MOST = 2048 };
    const struct gs_stream_state *state = &s->group.state;
    struct gs_stream_packing p;
    size_t every = state->count / MOST + 1, n = 0;
    FV_TRY(gs_scene_alloc(out, (state->count + every - 1) / every, state->sh_degree));
    out->mode = s->info.mode;
    gs_packing_of(&p, &s->base);
    for (size_t i = 0; i < state->count; i += every, n++)
        for (size_t k = 0; k < 3; k++)
            out->position[3 * n + k] =
                p.origin[k] + (float)state->v[GS_POSITION][3 * i + k] * p.unit[GS_POSITION];
    return 0;
}

/* By floats, all of them. */
static int upload_floats(struct gs_stream *s, uint32_t frame, int sh_degree, struct vk_device *dev,
                         bool exact, struct gs_gpu_scene **gpu)
{
    const struct gs_upload_opts opts = {.exact = exact, .in_order = true};
    FV_TRY(gs_stream_decode(s, frame, sh_degree, &s->floats));
    if (*gpu && (*gpu)->exact == exact && gs_gpu_scene_update(*gpu, &s->floats) == 0)
        return 0;
    gs_gpu_scene_destroy(gpu);
    return gs_gpu_scene_create(gpu, dev, &s->floats, &opts);
}

/* Of anchors; a scene that holds these already stays. */
static int upload_key(struct gs_stream *s, struct vk_device *dev, bool exact, struct gs_gpu_scene **gpu)
{
    if (*gpu && (*gpu)->made && (*gpu)->exact == exact && (*gpu)->stream_group == s->key_id)
        return 0;
    gs_gpu_scene_destroy(gpu);
    FV_TRY(s->keys.upload(s->keys.ud, s->key, dev, exact, gpu));
    (*gpu)->mode = s->info.mode;
    (*gpu)->stream_group = s->key_id;
    return 0;
}

void gs_stream_set_keys(struct gs_stream *s, const struct gs_stream_keys *keys)
{
    s->keys = *keys;
}

/* Buffers for the state; those that hold nothing of it are told so. */
static int make_device_room(struct gs_stream *s, struct vk_device *dev, const struct gs_scene *places,
                     struct gs_gpu_scene **gpu)
{
    const struct gs_stream_state *state = &s->group.state;
    if (!*gpu || (*gpu)->exact || (*gpu)->made || (*gpu)->sh_degree != (uint32_t)state->sh_degree) {
        gs_gpu_scene_destroy(gpu);
        FV_TRY(gs_gpu_scene_make(gpu, dev, places, false));
        (*gpu)->in_order = true;
    }
    struct gs_gpu_scene *g = *gpu;
    g->mode = s->info.mode;
    gs_gpu_scene_place(g, places);
    if (g->count == state->count && g->stream_group == s->group.id)
        return 0;
    uint32_t room = g->chunk_count ? g->chunks[g->chunk_count - 1].room : 0, chunks = g->chunk_count;
    if (g->stream_group != s->group.id)
        g->stream_group = 0;
    int rc = gs_gpu_scene_resize(g, state->count);
    if (rc < 0 || g->chunk_count != chunks || g->chunks[chunks - 1].room != room)
        g->stream_group = 0;
    return rc;
}

static int pack(struct gs_stream *s, struct vk_device *dev, struct gs_gpu_scene *gpu)
{
    struct gs_stream_packing p;
    uint32_t since = gpu->stream_group ? gpu->stream_time : 0;
    bool host = gs_stream_host_packs(gpu);
    host = s->packer == GS_PACKER_ANY ? host : s->packer == GS_PACKER_HOST;
    gs_packing_of(&p, &s->base);
    gpu->stream_group = 0; /* until it is done */
    if (host) {
        FV_TRY(gs_stream_pack(gpu, &p, &s->group, since));
    } else {
        if (s->gpu && s->gpu_dev != dev)
            gs_stream_gpu_destroy(&s->gpu);
        if (!s->gpu)
            FV_TRY(gs_stream_gpu_create(&s->gpu, dev));
        s->gpu_dev = dev;
        FV_TRY(gs_stream_gpu_pack(s->gpu, gpu, &p, &s->group, since));
    }
    gpu->stream_group = s->group.id;
    gpu->stream_time = s->group.now;
    return 0;
}

int gs_stream_upload(struct gs_stream *s, uint32_t frame, int sh_degree, struct vk_device *dev,
                     bool exact, struct gs_gpu_scene **gpu)
{
    struct gs_scene places = {0};
    FV_TRY(find(s, frame, sh_degree));
    if (s->key)
        return upload_key(s, dev, exact, gpu);
    if (exact)
        return upload_floats(s, frame, sh_degree, dev, true, gpu);
    if (s->is_queen)
        return upload_floats(s, frame, sh_degree, dev, false, gpu);
    int rc = sample_places(&places, s);
    rc = rc == 0 ? make_device_room(s, dev, &places, gpu) : rc;
    rc = rc == 0 ? pack(s, dev, *gpu) : rc;
    gs_scene_finish(&places);
    if (rc == FV_EUNSUPPORTED) /* too many for the kernels' buffers */
        return upload_floats(s, frame, sh_degree, dev, false, gpu);
    if (rc < 0 && *gpu && !(*gpu)->stream_group)
        gs_gpu_scene_destroy(gpu);
    return rc;
}

void gs_stream_set_packer(struct gs_stream *s, enum gs_stream_packer packer)
{
    s->packer = packer;
}

int gs_stream_verify(struct gs_stream *s, uint32_t frame)
{
    struct frame_chunks chunks;
    if (frame >= s->info.frame_count)
        return fv_fail(FV_EINVALID, "%s: frame %u of %u", s->name, frame, s->info.frame_count);
    FV_TRY(read_chunks(s, frame, 3, &chunks));
    bool base = s->frames[frame].kind == GS_FRAME_BASE; /* of its degree; others list their bands */
    uint32_t at = base ? 4 : 0;
    uint8_t is = chunks.own.size > at ? chunks.own.data[at] : 0;
    return check_bands(s, frame, base ? is & 3 : 3, base ? 7 : is, &chunks);
}

/* ---- what is there ---- */

uint32_t gs_stream_next_group(const struct gs_stream *s, uint32_t frame)
{
    do
        frame++;
    while (frame < s->info.frame_count &&
           (s->frames[frame].kind == GS_FRAME_RESIDUAL || s->frames[frame].base == GS_NO_FRAME));
    return frame < s->info.frame_count ? frame : s->info.frame_count;
}

uint64_t gs_stream_bytes(const struct gs_stream *s, uint32_t frame, uint32_t count, int sh_degree)
{
    uint64_t sum = 0;
    sh_degree = degree_read(s, sh_degree);
    for (uint32_t f = frame; f < s->info.frame_count && f - frame < count; f++)
        sum += gs_stream_frame_bytes(&s->frames[f], sh_degree);
    return sum;
}

/* Ranges of frames in a row become one. */
struct ranges {
    struct gs_range list[256];
    size_t count;
};

/* False when there is no room for more. */
static bool add_range(struct ranges *r, const struct gs_stream_frame *f, int sh_degree)
{
    struct gs_range *last = r->count ? &r->list[r->count - 1] : NULL;
    uint64_t size = gs_stream_frame_bytes(f, sh_degree);
    if (last && last->offset + last->size == f->offset) {
        last->size += size;
        return true;
    }
    if (r->count == sizeof r->list / sizeof *r->list)
        return false;
    r->list[r->count++] = (struct gs_range){f->offset, size};
    return true;
}

/* What a frame needs that is not decoded: its base, its group up to it. */
static bool add_frame(struct ranges *r, const struct gs_stream *s, uint32_t *base, uint32_t *at,
                      uint32_t frame, int sh_degree)
{
    const struct gs_stream_frame *f = &s->frames[frame];
    if (f->base == GS_NO_FRAME)
        return true;
    if (*base != f->base && !add_range(r, &s->frames[f->base], sh_degree))
        return false;
    *base = f->base;
    bool goes_on = *at < frame && *at >= f->entry && *at != GS_NO_FRAME;
    for (uint32_t k = goes_on ? *at + 1 : f->entry; k <= frame; k++)
        if (s->frames[k].kind != GS_FRAME_BASE && !add_range(r, &s->frames[k], sh_degree))
            return false;
    *at = frame;
    return true;
}

void gs_stream_want(struct gs_stream *s, uint32_t frame, uint32_t count, int sh_degree, bool loop)
{
    struct ranges r = {.count = 0};
    sh_degree = degree_read(s, sh_degree);
    uint32_t base = s->sh_degree == sh_degree ? s->base_frame : GS_NO_FRAME, at = s->at;
    if (!s->source.want || !s->info.frame_count)
        return;
    for (uint32_t k = 0; k < count; k++) {
        if (frame >= s->info.frame_count && !loop)
            break;
        frame %= s->info.frame_count;
        if (!add_frame(&r, s, &base, &at, frame++, sh_degree))
            break;
    }
    s->source.want(s->source.ud, r.list, r.count);
}

uint32_t gs_stream_ahead(struct gs_stream *s, uint32_t frame, uint32_t most, int sh_degree)
{
    uint32_t n = 0;
    uint64_t from = 0, end = 0; /* bytes known to be there */
    sh_degree = degree_read(s, sh_degree);
    for (; n < most && frame + n < s->info.frame_count; n++) {
        const struct gs_stream_frame *f = &s->frames[frame + n];
        uint64_t need = f->offset + gs_stream_frame_bytes(f, sh_degree);
        if (!s->source.have)
            continue;
        if (f->offset < from || f->offset > end || !end) {
            from = f->offset;
            end = from + s->source.have(s->source.ud, from);
        }
        if (end < need) {
            end = f->offset + s->source.have(s->source.ud, f->offset);
            if (end < need)
                break;
        }
    }
    return n;
}
