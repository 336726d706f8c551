/* Reading .fvv files: the list of frames, and frames (gs.h, docs/STREAM.md). */
#include "gs/scene.h"
#include "gs/stream_file.h"
#include "vk/base/array.h"
#include "vk/base/json.h"

#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

struct gs_stream {
    char *path;
    struct fv_map map;
    struct gs_stream_info info;
    struct gs_stream_frame *frames; /* info.frame */
    size_t room;
    uint32_t base_frame; /* whose base is loaded; NONE */
    int sh_degree;       /* that it was loaded for */
    struct gs_stream_base base;
    struct gs_stream_group group;
    uint32_t at;    /* frame that group.state is of; NONE */
    uint32_t entry; /* where its group was entered */
};

/* ---- the list of frames ---- */

static int add_frame(struct gs_stream *s, enum gs_stream_frame_kind kind, uint64_t offset,
                     uint64_t size)
{
    uint32_t n = s->info.frame_count;
    if (n == GS_STREAM_MAX_FRAMES)
        return fv_fail(FV_EUNSUPPORTED, "%s: more than %d frames", s->path, GS_STREAM_MAX_FRAMES);
    if ((!n && kind != GS_FRAME_BASE) || size > GS_CHUNK_MOST)
        return fv_fail(FV_EFORMAT, "%s: frame %u: a stream begins with a base; this does not", s->path,
                       n);
    FV_TRY(fv_grow(&s->frames, &s->room, n, sizeof *s->frames));
    s->info.frame = s->frames;
    struct gs_stream_frame *f = &s->frames[n];
    *f = (struct gs_stream_frame){kind, offset, (uint32_t)size, n, n};
    if (kind != GS_FRAME_BASE)
        f->base = f[-1].base;
    if (kind == GS_FRAME_RESIDUAL)
        f->entry = f[-1].entry;
    s->info.frame_count++;
    return 0;
}

/* By the index at the end. False (nothing changed) if there is none, or none that is whole. */
static bool read_index(struct gs_stream *s)
{
    struct fv_cursor c = fv_cursor_over(s->map.data, s->map.size);
    struct gs_chunk chunk;
    bool whole, cut;
    if (s->map.size < GS_STREAM_PREFIX + GS_STREAM_TAIL)
        return false;
    c.at = s->map.size - GS_STREAM_TAIL;
    if (!gs_get_chunk(&c, &chunk, &whole, &cut) || !whole || chunk.kind != GS_CHUNK_END ||
        chunk.size != 8)
        return false;
    struct fv_cursor end = fv_cursor_over(chunk.data, chunk.size);
    uint64_t at = fv_get_u64(&end);
    if (at >= s->map.size)
        return false;
    c.at = (size_t)at;
    if (!gs_get_chunk(&c, &chunk, &whole, &cut) || !whole || chunk.kind != GS_CHUNK_INDEX)
        return false;
    struct fv_cursor list = fv_cursor_over(chunk.data, chunk.size);
    uint64_t offset = gs_get_varint(&list);
    while (fv_cursor_left(&list)) {
        uint8_t kind = fv_get_u8(&list);
        uint64_t size = gs_get_varint(&list);
        if (list.failed || kind > GS_FRAME_RESIDUAL || offset > s->map.size ||
            size > s->map.size - offset ||
            add_frame(s, (enum gs_stream_frame_kind)kind, offset, size) < 0) {
            s->info.frame_count = 0;
            return false;
        }
        offset += size;
    }
    return s->info.frame_count > 0;
}

/* The band, from 0, whose section a chunk is; -1: it is none. */
static int band_of(uint8_t kind)
{
    int band = kind - (kind >= GS_CHUNK_BORN_BAND ? GS_CHUNK_BORN_BAND : GS_CHUNK_BAND);
    return band >= 0 && band < 3 ? band : -1;
}

/* By going through the chunks, up to where the file was cut or damaged. */
static int scan(struct gs_stream *s, struct fv_cursor c)
{
    struct gs_chunk chunk;
    bool whole, cut;
    size_t begin = c.at;
    for (; gs_get_chunk(&c, &chunk, &whole, &cut) && whole; begin = c.at) {
        bool frame = chunk.kind == GS_CHUNK_BASE || chunk.kind == GS_CHUNK_ENTRY ||
                     chunk.kind == GS_CHUNK_RESIDUAL;
        if (frame)
            FV_TRY(add_frame(s,
                             chunk.kind == GS_CHUNK_BASE    ? GS_FRAME_BASE
                             : chunk.kind == GS_CHUNK_ENTRY ? GS_FRAME_ENTRY
                                                            : GS_FRAME_RESIDUAL,
                             begin, c.at - begin));
        else if (band_of(chunk.kind) >= 0 && s->info.frame_count)
            s->frames[s->info.frame_count - 1].size += (uint32_t)(c.at - begin);
        else
            break;
    }
    return 0;
}

/* ---- opening ---- */

static int read_header(struct gs_stream *s, const struct gs_chunk *chunk)
{
    struct fv_json doc;
    FV_TRY(fv_json_parse(&doc, (const char *)chunk->data, chunk->size, s->path));
    s->info.fps = fv_json_number_or(&doc, doc.root, "fps", 30);
    const char *mode = fv_json_string_or(&doc, doc.root, "mode", "");
    s->info.mode = !strcmp(mode, "antialiased") ? GS_MODE_ANTIALIASED
                   : !strcmp(mode, "classic")   ? GS_MODE_CLASSIC
                                                : GS_MODE_AUTO;
    if (fv_node_has(doc.root, "up")) {
        double up[3] = {0};
        fv_json_numbers(&doc, fv_json_array(&doc, doc.root, "up"), up, 3);
        for (int k = 0; k < 3; k++)
            s->info.up[k] = (float)up[k];
    }
    if (!doc.failed && !(s->info.fps > 0 && s->info.fps <= 1000))
        fv_json_fail(&doc, doc.root, "fps is %g, expected more than 0 and at most 1000", s->info.fps);
    int rc = doc.failed ? FV_EFORMAT : 0;
    fv_json_close(&doc);
    return rc;
}

static int open_file(struct gs_stream *s, const char *path)
{
    s->base_frame = s->at = s->entry = NONE;
    s->path = strdup(path);
    if (!s->path)
        return fv_fail(FV_ENOMEM, "out of memory");
    FV_TRY(fv_map_open(&s->map, path));
    s->info.bytes = s->map.size;
    struct fv_cursor c = fv_cursor_over(s->map.data, s->map.size);
    const uint8_t *magic = fv_get_bytes(&c, 4);
    uint32_t version = fv_get_u32(&c);
    if (c.failed || memcmp(magic, GS_STREAM_MAGIC, 4) != 0)
        return fv_fail(FV_EFORMAT, "%s: not a stream (.fvv)", path);
    if (version != GS_STREAM_VERSION)
        return fv_fail(FV_EUNSUPPORTED, "%s: version %u, this program reads version %d", path, version,
                       GS_STREAM_VERSION);
    struct gs_chunk chunk;
    bool whole, cut;
    if (!gs_get_chunk(&c, &chunk, &whole, &cut) || !whole || chunk.kind != GS_CHUNK_HEADER)
        return fv_fail(FV_EFORMAT, "%s: its header is %s", path, cut ? "cut" : "damaged");
    FV_TRY(read_header(s, &chunk));
    s->info.complete = read_index(s);
    if (!s->info.complete)
        FV_TRY(scan(s, c));
    if (!s->info.frame_count)
        return fv_fail(FV_EFORMAT, "%s: not one whole frame in %zu bytes", path, s->map.size);
    /* of the first base */
    c.at = (size_t)s->frames[0].offset;
    if (!gs_get_chunk(&c, &chunk, &whole, &cut) || chunk.size < 5)
        return fv_fail(FV_EFORMAT, "%s: frame 0 is damaged", path);
    struct fv_cursor first = fv_cursor_over(chunk.data, chunk.size);
    s->info.count = fv_get_u32(&first);
    s->info.sh_degree = fv_get_u8(&first) & 3;
    return 0;
}

int gs_stream_open(struct gs_stream **out, const char *path)
{
    *out = calloc(1, sizeof **out);
    if (!*out)
        return fv_fail(FV_ENOMEM, "out of memory");
    int rc = open_file(*out, path);
    if (rc < 0)
        gs_stream_close(out);
    return rc;
}

static void drop_base(struct gs_stream *s)
{
    gs_stream_group_finish(&s->group);
    gs_stream_base_finish(&s->base);
    s->base_frame = s->at = s->entry = NONE;
}

void gs_stream_close(struct gs_stream **s)
{
    if (!*s)
        return;
    drop_base(*s);
    fv_map_close(&(*s)->map);
    free((*s)->frames);
    free((*s)->path);
    free(*s);
    *s = NULL;
}

const struct gs_stream_info *gs_stream_info(const struct gs_stream *s)
{
    return &s->info;
}

/* ---- frames ---- */

/* A frame's chunks: its own, and the sections of its SH bands up to a degree. */
struct frame_chunks {
    struct gs_chunk own;
    struct gs_section band[3], born[3];
};

static int read_chunks(const struct gs_stream *s, uint32_t frame, int sh_degree,
                       struct frame_chunks *out)
{
    static const uint8_t kinds[] = {GS_CHUNK_BASE, GS_CHUNK_ENTRY, GS_CHUNK_RESIDUAL};
    const struct gs_stream_frame *f = &s->frames[frame];
    struct fv_cursor c = fv_cursor_over(s->map.data, (size_t)f->offset + f->size);
    struct gs_chunk chunk;
    bool whole, cut, own = true;
    *out = (struct frame_chunks){0};
    for (c.at = (size_t)f->offset; fv_cursor_left(&c); own = false) {
        if (!gs_get_chunk(&c, &chunk, &whole, &cut) || chunk.frame != frame)
            return fv_fail(FV_EFORMAT, "%s: frame %u: damaged between its chunks", s->path, frame);
        int band = band_of(chunk.kind);
        if (own ? chunk.kind != kinds[f->kind] : band < 0)
            return fv_fail(FV_EFORMAT, "%s: frame %u: a chunk of an unknown kind (%u)", s->path, frame,
                           chunk.kind);
        if (!own && band >= sh_degree)
            continue; /* not wanted, so not looked at */
        if (!whole && own)
            return fv_fail(FV_EFORMAT, "%s: frame %u: geometry and colours are damaged", s->path,
                           frame);
        if (!whole)
            return fv_fail(FV_EFORMAT, "%s: frame %u: SH band %d is damaged", s->path, frame,
                           band + 1);
        if (own) {
            out->own = chunk;
            continue;
        }
        struct gs_section *to =
            chunk.kind >= GS_CHUNK_BORN_BAND ? &out->born[band] : &out->band[band];
        memcpy(&to->bytes, &chunk.data, sizeof chunk.data);
        to->size = chunk.size;
    }
    return 0;
}

static int load_base(struct gs_stream *s, uint32_t frame, int sh_degree)
{
    struct frame_chunks chunks;
    struct gs_section sections[GS_SECTIONS];
    drop_base(s);
    FV_TRY(read_chunks(s, frame, sh_degree, &chunks));
    FV_TRY(gs_get_base(&s->base, sh_degree, &chunks.own, sections, s->path));
    memcpy(&sections[GS_SECTION_ATTRS + GS_SH1], chunks.band, sizeof chunks.band);
    int rc = gs_stream_read_key(&s->base, sections);
    if (rc == FV_EFORMAT)
        fv_wrap(rc, "%s: frame %u: ", s->path, frame);
    if (rc == 0)
        rc = gs_stream_group_create(&s->group, &s->base);
    if (rc < 0)
        drop_base(s);
    else
        s->base_frame = frame;
    s->sh_degree = sh_degree;
    return rc;
}

static int step(struct gs_stream *s, uint32_t frame)
{
    struct frame_chunks chunks;
    struct gs_section sections[GS_SECTIONS];
    FV_TRY(read_chunks(s, frame, s->base.state.sh_degree, &chunks));
    FV_TRY(gs_get_residual(&chunks.own, sections, s->path));
    memcpy(&sections[GS_SECTION_ATTRS + GS_SH1], chunks.band, sizeof chunks.band);
    memcpy(&sections[GS_SECTION_BORN_SH], chunks.born, sizeof chunks.born);
    int rc = gs_stream_read_residual(&s->group, sections);
    return rc == FV_EFORMAT ? fv_wrap(rc, "%s: frame %u: ", s->path, frame) : rc;
}

/* Brings the state to a frame. */
static int seek(struct gs_stream *s, uint32_t frame, int sh_degree)
{
    const struct gs_stream_frame *f = &s->frames[frame];
    if (s->base_frame != f->base || s->sh_degree != sh_degree)
        FV_TRY(load_base(s, f->base, sh_degree));
    if (s->at == NONE || s->entry != f->entry || s->at > frame) {
        gs_stream_group_begin(&s->group);
        s->at = NONE;
        if (s->frames[f->entry].kind == GS_FRAME_ENTRY)
            FV_TRY(step(s, f->entry));
        s->at = s->entry = f->entry;
    }
    while (s->at < frame) {
        uint32_t next = s->at + 1;
        s->at = NONE; /* if it fails, the state is of no frame */
        FV_TRY(step(s, next));
        s->at = next;
    }
    return 0;
}

int gs_stream_decode(struct gs_stream *s, uint32_t frame, int sh_degree, struct gs_scene *scene)
{
    if (frame >= s->info.frame_count)
        return fv_fail(FV_EINVALID, "%s: frame %u of %u", s->path, frame, s->info.frame_count);
    sh_degree = sh_degree < 0 ? 0 : sh_degree > 3 ? 3 : sh_degree; /* bases may differ in theirs */
    FV_TRY(seek(s, frame, sh_degree));
    const struct gs_stream_state *state = &s->group.state;
    if (!scene->position || scene->count != state->count || scene->sh_degree != state->sh_degree) {
        gs_scene_finish(scene);
        FV_TRY(gs_scene_alloc(scene, state->count, state->sh_degree));
        scene->mode = s->info.mode;
        memcpy(scene->up, s->info.up, sizeof scene->up);
    }
    snprintf(scene->detail, sizeof scene->detail, "fvv frame %u", frame);
    gs_stream_to_scene(scene, &s->base, state);
    return 0;
}
