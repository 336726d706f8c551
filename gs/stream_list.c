/* Opening .fvv files: the header and the list of frames, by the index at the end or by going through
 * the chunks as they come (gs.h, docs/STREAM.md).
 *
 * A chunk whose sum is wrong still has its place when its head fits between its neighbours'. When it
 * does not, the next chunk that is whole is looked for, and what lies between is accounted for as far
 * as it can be known: a lost base makes all that follows undecodable up to the next base, so whether
 * a lost frame was one must not be guessed. */
#include "gs/camera.h"
#include "gs/stream_read.h"
#include "vk/base/array.h"
#include "vk/base/json.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { PIECE = 1 << 20, MOST_SEARCH = 64 << 20 };

/* ---- bytes ---- */

static int make_room(struct gs_stream *s, size_t need)
{
    size_t room = s->bytes_room ? s->bytes_room : 1 << 12;
    while (room < need)
        room *= 2;
    if (room == s->bytes_room)
        return 0;
    uint8_t *bytes = realloc(s->bytes, room);
    if (!bytes)
        return fv_fail(FV_ENOMEM, "out of memory");
    s->bytes = bytes;
    s->bytes_room = room;
    return 0;
}

int gs_stream_load(struct gs_stream *s, uint64_t offset, size_t size)
{
    if (offset != s->bytes_at) {
        s->bytes_at = offset;
        s->have = 0;
    }
    /* in pieces: a damaged size does not get to ask for much memory */
    while (s->have < size) {
        size_t n = size - s->have < PIECE ? size - s->have : PIECE, got = 0;
        FV_TRY(make_room(s, s->have + n));
        int rc = s->source.read(s->source.ud, offset + s->have, s->bytes + s->have, n, &got);
        if (rc < 0)
            return rc;
        s->have += got < n ? got : n;
        if (got < n)
            break;
    }
    return 0;
}

uint32_t gs_stream_frame_bytes(const struct gs_stream_frame *f, int sh_degree)
{
    uint32_t n = f->part[0];
    for (int k = 1; k <= sh_degree && k < 4; k++)
        n += f->part[k];
    return f->part[0] ? n : f->size;
}

/* ---- the list of frames ---- */

static void note(struct gs_stream *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* What is wrong, the first of it. */
static void note(struct gs_stream *s, const char *fmt, ...)
{
    va_list ap;
    if (*s->info.damage)
        return;
    va_start(ap, fmt);
    vsnprintf(s->info.damage, sizeof s->info.damage, fmt, ap);
    va_end(ap);
}

/* frames[frame_count], which is not counted yet. */
static int put_frame(struct gs_stream *s, const struct gs_stream_frame *f)
{
    uint32_t n = s->info.frame_count;
    if (n == GS_STREAM_MAX_FRAMES)
        return fv_fail(FV_EUNSUPPORTED, "%s: more than %d frames", s->name, GS_STREAM_MAX_FRAMES);
    FV_TRY(fv_grow(&s->frames, &s->room, n, sizeof *s->frames));
    s->info.frame = s->frames;
    struct gs_scan *c = &s->scan;
    s->frames[n] = *f;
    if (f->size && f->kind == GS_FRAME_BASE)
        c->base = n;
    if (f->size && f->kind != GS_FRAME_RESIDUAL)
        c->entry = n;
    s->frames[n].base = c->base;
    s->frames[n].entry = c->entry == GS_NO_FRAME ? n : c->entry;
    return 0;
}

static void close_frame(struct gs_stream *s)
{
    s->info.frame_count += s->scan.open;
    s->scan.open = false;
}

static void forget_frames(struct gs_stream *s)
{
    s->info.frame_count = 0;
    s->scan.open = false;
    s->scan.base = s->scan.entry = GS_NO_FRAME;
}

/* ---- the index ---- */

/* A frame of the index: its kind, then bytes of all chunks, or with the flag 4 of its own chunk and
 * of each SH band's. */
static bool get_line(struct gs_stream *s, struct fv_cursor *list, uint64_t *offset, uint64_t end)
{
    uint8_t kind = fv_get_u8(list);
    struct gs_stream_frame f = {.kind = (enum gs_stream_frame_kind)(kind & 3), .offset = *offset};
    uint64_t size = 0, part[4] = {0};
    for (int k = 0; k < (kind & 4 ? 4 : 1); k++) {
        part[k] = gs_get_varint(list);
        if (part[k] > GS_CHUNK_MOST || (part[k] && part[k] < GS_CHUNK_HEAD))
            return false;
        size += part[k];
    }
    for (int k = 0; kind & 4 && k < 4; k++)
        f.part[k] = (uint32_t)part[k];
    f.size = (uint32_t)size;
    bool first = s->info.frame_count == 0;
    if (list->failed || kind > 7 || (kind & 3) > GS_FRAME_RESIDUAL || !part[0] || size > GS_CHUNK_MOST ||
        *offset > end || size > end - *offset || (first && f.kind != GS_FRAME_BASE) ||
        put_frame(s, &f) < 0)
        return false;
    s->info.frame_count++;
    *offset += size;
    return true;
}

/* Frames by an index that is whole. False: it is not one, and there are no frames. */
static bool read_lines(struct gs_stream *s, const uint8_t *data, size_t size, uint64_t end)
{
    struct fv_cursor list = fv_cursor_over(data, size);
    uint64_t offset = gs_get_varint(&list);
    bool good = !list.failed && fv_cursor_left(&list) > 0;
    forget_frames(s);
    while (good && fv_cursor_left(&list))
        good = get_line(s, &list, &offset, end);
    if (!good)
        forget_frames(s);
    return good;
}

/* By the index at the end of `size` bytes: info.complete. */
static int read_index(struct gs_stream *s, uint64_t size)
{
    struct fv_cursor c;
    struct gs_stream_chunk chunk;
    bool whole, cut;
    if (size < GS_STREAM_PREFIX + GS_STREAM_TAIL)
        return 0;
    FV_TRY(gs_stream_load(s, size - GS_STREAM_TAIL, GS_STREAM_TAIL));
    c = fv_cursor_over(s->bytes, s->have);
    if (!gs_get_chunk(&c, &chunk, &whole, &cut) || chunk.kind != GS_CHUNK_END || chunk.size != 8)
        return 0;
    struct fv_cursor end = fv_cursor_over(chunk.data, chunk.size);
    uint64_t at = fv_get_u64(&end), most = size - GS_STREAM_TAIL;
    if (!whole || at >= most || most - at > GS_CHUNK_MOST) {
        note(s, "its index is damaged");
        return 0;
    }
    FV_TRY(gs_stream_load(s, at, (size_t)(most - at)));
    c = fv_cursor_over(s->bytes, s->have);
    s->info.complete = gs_get_chunk(&c, &chunk, &whole, &cut) && whole &&
                       chunk.kind == GS_CHUNK_INDEX && read_lines(s, chunk.data, chunk.size, at);
    if (!s->info.complete)
        note(s, "its index is damaged");
    return 0;
}

/* ---- going through the chunks ---- */

struct head {
    uint8_t kind;
    uint32_t frame, size, sum;
};

static struct head get_head(const uint8_t *bytes)
{
    struct fv_cursor c = fv_cursor_over(bytes, GS_CHUNK_HEAD);
    uint32_t tag = fv_get_u32(&c), size = fv_get_u32(&c), sum = fv_get_u32(&c);
    return (struct head){(uint8_t)tag, tag >> 8, size, sum};
}

static bool is_whole(const uint8_t *chunk, uint32_t size)
{
    return get_head(chunk).sum ==
           (uint32_t)crc32_z(crc32_z(0, chunk, 8), chunk + GS_CHUNK_HEAD, size);
}

static bool is_frame(uint8_t kind)
{
    return gs_chunk_place(kind) == 0;
}

static bool is_band(uint8_t kind)
{
    return gs_chunk_place(kind) > 0;
}

static enum gs_stream_frame_kind kind_of(uint8_t kind)
{
    return kind == GS_CHUNK_BASE    ? GS_FRAME_BASE
           : kind == GS_CHUNK_ENTRY ? GS_FRAME_ENTRY
                                    : GS_FRAME_RESIDUAL;
}

static uint32_t next_frame(const struct gs_stream *s)
{
    return s->info.frame_count + s->scan.open;
}

/* Whether a chunk's head fits what came before it. */
static bool fits(const struct gs_stream *s, const struct head *h)
{
    if (h->size > GS_CHUNK_MOST)
        return false;
    if (is_frame(h->kind))
        return h->frame == next_frame(s);
    if (is_band(h->kind))
        return s->scan.open && h->frame == s->info.frame_count &&
               gs_chunk_place(h->kind) > s->scan.place;
    return h->kind == GS_CHUNK_INDEX && h->frame == 0 && next_frame(s) > 0;
}

/* Takes the chunk at scan.at, whose head may be as it should be rather than as it is. */
static int take(struct gs_stream *s, const struct head *h)
{
    uint32_t size = GS_CHUNK_HEAD + h->size;
    if (is_frame(h->kind)) {
        close_frame(s);
        FV_TRY(put_frame(s, &(struct gs_stream_frame){.kind = kind_of(h->kind),
                                                      .size = size,
                                                      .offset = s->scan.at,
                                                      .part = {size}}));
        s->scan.open = true;
    } else if (is_band(h->kind) && s->scan.open) {
        struct gs_stream_frame *f = &s->frames[s->info.frame_count];
        if (f->size > UINT32_MAX - size)
            return fv_fail(FV_EFORMAT, "%s: frame %u is too large", s->name, s->info.frame_count);
        f->part[(gs_chunk_place(h->kind) + 1) / 2] += size;
        f->size += size;
    }
    s->scan.place = gs_chunk_place(h->kind);
    s->scan.at += size;
    return 0;
}

static void end_scan(struct gs_stream *s)
{
    close_frame(s);
    s->scan.on = s->info.growing = false;
}

/* The index where the chunks led to it: the end, and the truth where something was lost. */
static void take_index(struct gs_stream *s, uint32_t size)
{
    uint32_t known = next_frame(s);
    close_frame(s);
    s->info.complete = true;
    if (*s->info.damage) {
        struct gs_stream_frame *list = s->frames;
        size_t room = s->room;
        s->frames = NULL;
        s->room = 0;
        if (read_lines(s, s->bytes + GS_CHUNK_HEAD, size, s->scan.at) &&
            s->info.frame_count >= known) {
            free(list);
        } else {
            free(s->frames);
            s->frames = list;
            s->room = room;
            s->info.frame_count = known;
        }
        s->info.frame = s->frames;
    }
    uint64_t end = s->scan.at + GS_CHUNK_HEAD + size;
    if (gs_stream_load(s, end, GS_STREAM_TAIL) == 0 &&
        (s->have < GS_STREAM_TAIL || get_head(s->bytes).kind != GS_CHUNK_END ||
         !is_whole(s->bytes, GS_STREAM_TAIL - GS_CHUNK_HEAD)))
        note(s, "cut or damaged behind its index");
    end_scan(s);
}

/* What lies in [scan.at, scan.at + gap) before a chunk that is whole. */
static int account_for(struct gs_stream *s, uint32_t gap, const struct head *found)
{
    uint32_t n = next_frame(s), body = gap - GS_CHUNK_HEAD;
    struct head was = get_head(s->bytes), h = {.size = body};
    if (gap < GS_CHUNK_HEAD)
        h.kind = 0;
    else {
        /* one chunk of which only the head is damaged? */
        static const uint8_t kinds[] = {GS_CHUNK_BASE, GS_CHUNK_ENTRY, GS_CHUNK_RESIDUAL, '1', '2',
                                        '3', 'a', 'b', 'c'};
        for (size_t k = 0; k < sizeof kinds && !h.kind; k++) {
            if (!n && is_band(kinds[k]))
                break;
            h.frame = n - (is_band(kinds[k]) ? 1 : 0);
            uint32_t tag = kinds[k] | h.frame << 8;
            uint8_t head[8] = {(uint8_t)tag,         (uint8_t)(tag >> 8),   (uint8_t)(tag >> 16),
                               (uint8_t)(tag >> 24), (uint8_t)body,         (uint8_t)(body >> 8),
                               (uint8_t)(body >> 16), (uint8_t)(body >> 24)};
            if (was.sum == (uint32_t)crc32_z(crc32_z(0, head, 8), s->bytes + GS_CHUNK_HEAD, body))
                h.kind = kinds[k];
        }
        /* or one whose tag is still right */
        if (!h.kind && was.size == body && fits(s, &was))
            h = was;
    }
    bool next = is_frame(found->kind) ? found->frame == n + (is_frame(h.kind) ? 1 : 0)
                : is_band(found->kind) ? found->frame + 1 == n + (is_frame(h.kind) ? 1 : 0)
                                       : true;
    if (h.kind && next && (is_frame(h.kind) || s->scan.open))
        return take(s, &h);
    /* Frames that are lost: which kinds they were, nobody knows. */
    uint32_t until = is_frame(found->kind)  ? found->frame
                     : is_band(found->kind) ? found->frame + 1
                                            : n;
    close_frame(s);
    for (uint32_t f = n; f < until; f++) {
        FV_TRY(put_frame(s, &(struct gs_stream_frame){GS_FRAME_RESIDUAL, .offset = s->scan.at}));
        s->info.frame_count++;
    }
    if (until > n)
        s->scan.base = GS_NO_FRAME;
    s->scan.at += gap;
    return 0;
}

/* The next chunk that is whole behind scan.at, where something is damaged; the end if there is none.
 * Only frames a moment ahead are believed in. */
static int find_next(struct gs_stream *s)
{
    enum { MOST_AHEAD = 4096 };
    uint32_t n = next_frame(s), before = n ? n - 1 : 0;
    uint64_t sums = 0; /* bytes summed for nothing */
    uint64_t at = s->scan.at;
    for (size_t k = 1; k < MOST_SEARCH && sums < 4 * (uint64_t)MOST_SEARCH; k++) {
        if (k + GS_CHUNK_HEAD > s->have)
            FV_TRY(gs_stream_load(s, at, k + PIECE / 16));
        if (k + GS_CHUNK_HEAD > s->have)
            break;
        struct head h = get_head(s->bytes + k);
        bool index = h.kind == GS_CHUNK_INDEX && h.frame == 0;
        if (!index && ((!is_frame(h.kind) && !is_band(h.kind)) || h.frame < before ||
                       h.frame > n + MOST_AHEAD))
            continue;
        if (h.size > MOST_SEARCH)
            continue;
        FV_TRY(gs_stream_load(s, at, k + GS_CHUNK_HEAD + h.size));
        if (s->have < k + GS_CHUNK_HEAD + h.size)
            continue;
        if (is_whole(s->bytes + k, h.size)) {
            note(s, "damaged at byte %llu, in frame %u", (unsigned long long)at, n);
            return account_for(s, (uint32_t)k, &h);
        }
        sums += h.size;
    }
    note(s, "cut or damaged in frame %u, %llu bytes behind its begin", n,
         (unsigned long long)(s->info.bytes > at ? s->info.bytes - at : 0));
    end_scan(s);
    return 0;
}

/* The chunk at scan.at. Returns 0, also at the end, FV_EAGAIN, or a failure of the source. */
static int scan_chunk(struct gs_stream *s)
{
    uint64_t at = s->scan.at;
    FV_TRY(gs_stream_load(s, at, GS_CHUNK_HEAD));
    if (s->have < GS_CHUNK_HEAD)
        return end_scan(s), 0;
    struct head h = get_head(s->bytes);
    if (!fits(s, &h))
        return find_next(s);
    size_t size = GS_CHUNK_HEAD + (size_t)h.size;
    FV_TRY(gs_stream_load(s, at, size));
    if (s->have < size)
        return find_next(s); /* nothing follows one that is only cut */
    if (is_whole(s->bytes, h.size)) {
        if (h.kind == GS_CHUNK_INDEX)
            take_index(s, h.size);
        else
            return take(s, &h);
        return 0;
    }
    note(s, "damaged in frame %u", is_band(h.kind) ? s->info.frame_count : next_frame(s));
    FV_TRY(gs_stream_load(s, at, size + GS_CHUNK_HEAD));
    if (s->have >= size + GS_CHUNK_HEAD) {
        /* does what follows go on from here? */
        struct head next = get_head(s->bytes + size);
        bool follows = is_frame(next.kind)  ? next.frame == next_frame(s) + (is_frame(h.kind) ? 1 : 0)
                       : is_band(next.kind) ? next.frame == h.frame
                                            : next.kind == GS_CHUNK_INDEX;
        if (!follows)
            return find_next(s);
    }
    /* a B with one bit wrong is an R: the sum tells which it was */
    for (int k = 0; k < 3 && is_frame(h.kind); k++) {
        const uint8_t kinds[] = {GS_CHUNK_BASE, GS_CHUNK_ENTRY, GS_CHUNK_RESIDUAL};
        uint8_t head[8];
        memcpy(head, s->bytes, 8);
        head[0] = kinds[k];
        if (h.sum == (uint32_t)crc32_z(crc32_z(0, head, 8), s->bytes + GS_CHUNK_HEAD, h.size))
            h.kind = kinds[k];
    }
    return h.kind == GS_CHUNK_INDEX ? find_next(s) : take(s, &h);
}

int gs_stream_more(struct gs_stream *s)
{
    uint32_t n = s->info.frame_count;
    struct gs_source_info si;
    while (s->scan.on && s->info.frame_count == n)
        FV_TRY(scan_chunk(s));
    if (s->source.info(s->source.ud, &si) == 0 && si.size != UINT64_MAX)
        s->info.bytes = si.size;
    return s->info.frame_count > n;
}

/* ---- opening ---- */

/* Where a viewer begins; a camera that is none counts as not said. */
static void parse_start(struct gs_stream *s, struct fv_json *doc)
{
    struct fv_node n = fv_json_object(doc, doc->root, "start");
    struct gs_camera *c = &s->info.start;
    double position[3], rotation[4];
    fv_json_numbers(doc, fv_json_array(doc, n, "position"), position, 3);
    fv_json_numbers(doc, fv_json_array(doc, n, "rotation"), rotation, 4);
    c->width = (uint32_t)fv_json_int(doc, n, "width", 1, GS_CAMERA_MAX_SIZE);
    c->height = (uint32_t)fv_json_int(doc, n, "height", 1, GS_CAMERA_MAX_SIZE);
    c->fx = fv_json_number(doc, n, "fx");
    c->fy = fv_json_number(doc, n, "fy");
    c->cx = c->width / 2.0;
    c->cy = c->height / 2.0;
    gs_camera_set_name(c, "start");
    s->info.has_start = !doc->failed && gs_camera_set_pose(c, rotation, position) && !gs_camera_problem(c);
}

static int parse_header(struct gs_stream *s, const uint8_t *data, size_t size)
{
    struct fv_json doc;
    FV_TRY(fv_json_parse(&doc, (const char *)data, size, s->name));
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
    if (fv_node_has(doc.root, "start"))
        parse_start(s, &doc);
    if (!doc.failed && !(s->info.fps > 0 && s->info.fps <= 1000))
        fv_json_fail(&doc, doc.root, "fps is %g, expected more than 0 and at most 1000", s->info.fps);
    int rc = doc.failed ? FV_EFORMAT : 0;
    fv_json_close(&doc);
    return rc;
}

/* Magic, version, header; scan.at is then behind it. A header that is damaged is done without. */
static int read_header(struct gs_stream *s)
{
    enum { MOST = 1 << 16 };
    FV_TRY(gs_stream_load(s, 0, GS_STREAM_PREFIX + GS_CHUNK_HEAD));
    if (s->have < GS_STREAM_PREFIX || memcmp(s->bytes, GS_STREAM_MAGIC, 4) != 0)
        return fv_fail(FV_EFORMAT, "%s: not a stream (.fvv)", s->name);
    struct fv_cursor c = fv_cursor_over(s->bytes + 4, 4);
    uint32_t version = fv_get_u32(&c);
    if (version < GS_STREAM_VERSION || version > GS_STREAM_VERSION_ANCHORS)
        return fv_fail(FV_EUNSUPPORTED, "%s: version %u, this program reads versions %d to %d", s->name,
                       version, GS_STREAM_VERSION, GS_STREAM_VERSION_ANCHORS);
    s->info.fps = 30;
    s->scan.at = GS_STREAM_PREFIX;
    if (s->have < GS_STREAM_PREFIX + GS_CHUNK_HEAD)
        return fv_fail(FV_EFORMAT, "%s: its header is cut", s->name);
    struct head h = get_head(s->bytes + GS_STREAM_PREFIX);
    if (h.size <= MOST)
        FV_TRY(gs_stream_load(s, 0, GS_STREAM_PREFIX + GS_CHUNK_HEAD + h.size));
    bool fit = h.size <= MOST && s->have >= GS_STREAM_PREFIX + GS_CHUNK_HEAD + h.size;
    if (fit && is_whole(s->bytes + GS_STREAM_PREFIX, h.size) && h.kind == GS_CHUNK_HEADER) {
        FV_TRY(parse_header(s, s->bytes + GS_STREAM_PREFIX + GS_CHUNK_HEAD, h.size));
        s->scan.at += GS_CHUNK_HEAD + h.size;
    } else {
        note(s, "its header is damaged: frames a second and pixel filter are not known");
    }
    s->header = true;
    return 0;
}

/* frame_count if there is none. */
static uint32_t first_base(const struct gs_stream *s)
{
    uint32_t k = 0;
    while (k < s->info.frame_count && s->frames[k].base != k)
        k++;
    return k;
}

/* Count and degree, of the first base that is there. */
static int read_first(struct gs_stream *s)
{
    uint32_t k = first_base(s);
    if (k == s->info.frame_count)
        return fv_fail(FV_EFORMAT, "%s: not one whole base in its bytes", s->name);
    enum { ENOUGH = 8 };
    FV_TRY(gs_stream_load(s, s->frames[k].offset, GS_CHUNK_HEAD + ENOUGH));
    if (s->have < GS_CHUNK_HEAD + ENOUGH)
        return fv_fail(FV_EFORMAT, "%s: frame %u is damaged", s->name, k);
    const struct gs_stream_chunk own = {.data = s->bytes + GS_CHUNK_HEAD, .size = ENOUGH};
    struct fv_cursor first = fv_cursor_over(own.data, own.size);
    s->info.count = fv_get_u32(&first);
    s->info.sh_degree = fv_get_u8(&first) & 3;
    enum gs_base_kind kind = gs_base_kind(&own);
    bool direct = kind == GS_BASE_DIRECT || kind == GS_BASE_BASIS;
    s->info.model = kind == GS_BASE_ANCHORS ? GS_STREAM_ANCHORS
                    : direct                ? GS_STREAM_DIRECT
                                            : GS_STREAM_QUEEN;
    return 0;
}

/* Goes on where FV_EAGAIN stopped it. */
static int open_some(struct gs_stream *s)
{
    struct gs_source_info si;
    if (!s->header)
        FV_TRY(read_header(s));
    if (!s->index) {
        FV_TRY(s->source.info(s->source.ud, &si));
        if (si.size != UINT64_MAX)
            s->info.bytes = si.size;
        if (!si.in_order && si.size != UINT64_MAX)
            FV_TRY(read_index(s, si.size));
        s->index = true;
        s->scan.on = s->info.growing = !s->info.complete;
    }
    bool more = true;
    while (more && first_base(s) == s->info.frame_count) {
        int rc = gs_stream_more(s);
        FV_TRY(rc);
        more = rc > 0;
    }
    return read_first(s);
}

int gs_stream_open_source(struct gs_stream **out, const struct gs_source *source, const char *name)
{
    struct gs_stream *s = *out;
    if (!s) {
        s = calloc(1, sizeof *s);
        if (!s)
            return fv_fail(FV_ENOMEM, "out of memory");
        s->source = *source;
        s->bytes_at = UINT64_MAX;
        s->base_frame = s->at = s->entry = s->scan.base = s->scan.entry = GS_NO_FRAME;
        s->name = strdup(name);
    }
    int rc = s->name ? open_some(s) : fv_fail(FV_ENOMEM, "out of memory");
    if (rc < 0 && rc != FV_EAGAIN)
        gs_stream_close(&s);
    *out = s;
    return rc;
}

int gs_stream_open(struct gs_stream **out, const char *path)
{
    struct gs_source source;
    *out = NULL;
    FV_TRY(gs_source_open_file(&source, path, 0));
    int rc = gs_stream_open_source(out, &source, path);
    if (rc < 0) {
        source.close(source.ud);
        return rc;
    }
    (*out)->owns_source = true;
    while (rc == 0 && (*out)->info.growing) {
        rc = gs_stream_more(*out);
        rc = rc > 0 ? 0 : rc;
    }
    if (rc < 0)
        gs_stream_close(out);
    return rc;
}

void gs_stream_close(struct gs_stream **out)
{
    struct gs_stream *s = *out;
    if (!s)
        return;
    gs_stream_drop_base(s);
    gs_stream_gpu_destroy(&s->gpu);
    gs_scene_finish(&s->floats);
    if (s->owns_source && s->source.close)
        s->source.close(s->source.ud);
    free(s->bytes);
    free(s->frames);
    free(s->name);
    free(s);
    *out = NULL;
}

const struct gs_stream_info *gs_stream_info(const struct gs_stream *s)
{
    return &s->info;
}
