/* Chunks of .fvv files (stream_file.h). */
#include "gs/stream_file.h"
#include "vk/base/array.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

void gs_bytes_put(struct gs_bytes *b, const void *data, size_t size)
{
    while (!b->failed && b->room - b->size < size)
        if (fv_grow(&b->data, &b->room, b->room, 1) < 0)
            b->failed = true;
    if (b->failed || !size)
        return;
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

void gs_bytes_u32(struct gs_bytes *b, uint32_t v)
{
    const uint8_t bytes[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};
    gs_bytes_put(b, bytes, 4);
}

void gs_bytes_f32(struct gs_bytes *b, float v)
{
    uint32_t bits;
    memcpy(&bits, &v, 4);
    gs_bytes_u32(b, bits);
}

void gs_bytes_varint(struct gs_bytes *b, uint64_t v)
{
    for (; v > 127; v >>= 7)
        gs_bytes_put(b, &(uint8_t){(uint8_t)(v | 128)}, 1);
    gs_bytes_put(b, &(uint8_t){(uint8_t)v}, 1);
}

uint64_t gs_get_varint(struct fv_cursor *c)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = fv_get_u8(c);
        v |= (uint64_t)(byte & 127) << shift;
        if (byte < 128)
            return v;
    }
    c->failed = true;
    return 0;
}

void gs_bytes_chunk(struct gs_bytes *b, uint8_t kind, uint32_t frame, const void *data, size_t size)
{
    uint8_t head[8];
    struct gs_bytes h = {.data = head, .room = sizeof head};
    gs_bytes_u32(&h, kind | frame << 8);
    gs_bytes_u32(&h, (uint32_t)size);
    /* of no bytes, which have no place, crc32 would begin anew */
    uint32_t sum = (uint32_t)crc32_z(crc32_z(0, head, sizeof head), size ? data : head, size);
    gs_bytes_put(b, head, sizeof head);
    gs_bytes_u32(b, sum);
    gs_bytes_put(b, data, size);
}

bool gs_get_chunk(struct fv_cursor *c, struct gs_stream_chunk *out, bool *whole, bool *cut)
{
    *cut = fv_cursor_left(c) > 0;
    if (fv_cursor_left(c) < GS_CHUNK_HEAD)
        return false;
    const uint8_t *head = c->data + c->at;
    struct fv_cursor at = *c;
    uint32_t tag = fv_get_u32(&at), size = fv_get_u32(&at), sum = fv_get_u32(&at);
    if (size > fv_cursor_left(&at))
        return false;
    *out = (struct gs_stream_chunk){(uint8_t)tag, tag >> 8, fv_get_bytes(&at, size), size};
    *whole = sum == (uint32_t)crc32_z(crc32_z(0, head, 8), out->data, size);
    *cut = false;
    *c = at;
    return true;
}

int gs_chunk_place(uint8_t kind)
{
    if (kind == GS_CHUNK_BASE || kind == GS_CHUNK_ENTRY || kind == GS_CHUNK_RESIDUAL)
        return 0;
    bool born = kind >= GS_CHUNK_BORN_BAND;
    int band = kind - (born ? GS_CHUNK_BORN_BAND : GS_CHUNK_BAND);
    return band >= 0 && band < 3 ? 2 * band + (born ? 1 : 2) : -1;
}

/* ---- frames ---- */

/* Of a base, all but what only changes have. */
int gs_own_sections(uint8_t kind, bool basis, int list[GS_SECTIONS])
{
    int n = 0;
    for (int k = 0; k < GS_SECTION_ATTRS + GS_SH1; k++)
        list[n++] = k;
    if (kind != GS_CHUNK_BASE) {
        list[n++] = GS_SECTION_DEATHS;
        list[n++] = GS_SECTION_BIRTHS;
    } else if (basis) {
        list[n++] = GS_SECTION_BASIS;
    }
    return n;
}

/* Which chunks of SH bands follow: bits 0 to 2 those of changes, 3 to 5 of births. */
static uint8_t bands_of(const struct gs_section sections[GS_SECTIONS])
{
    unsigned bands = 0;
    for (int k = 0; k < 3; k++) {
        bands |= sections[GS_SECTION_ATTRS + GS_SH1 + k].size ? 1u << k : 0;
        bands |= sections[GS_SECTION_BORN_SH + k].size ? 8u << k : 0;
    }
    return (uint8_t)bands;
}

static void put_frame(struct gs_bytes *out, uint8_t kind, uint32_t frame, struct gs_bytes *body,
                      int sh_degree, const struct gs_section *sections)
{
    int list[GS_SECTIONS], n = gs_own_sections(kind, sections[GS_SECTION_BASIS].size > 0, list);
    if (kind != GS_CHUNK_BASE)
        gs_bytes_put(body, &(uint8_t){bands_of(sections)}, 1);
    for (int k = 0; k < n; k++)
        gs_bytes_varint(body, sections[list[k]].size);
    for (int k = 0; k < n; k++)
        gs_bytes_put(body, sections[list[k]].bytes, sections[list[k]].size);
    gs_bytes_chunk(out, kind, frame, body->data, body->size);
    for (int band = 0; band < sh_degree; band++) {
        const struct gs_section *s = &sections[GS_SECTION_ATTRS + GS_SH1 + band];
        const struct gs_section *born = &sections[GS_SECTION_BORN_SH + band];
        if (born->size)
            gs_bytes_chunk(out, (uint8_t)(GS_CHUNK_BORN_BAND + band), frame, born->bytes, born->size);
        if (s->size || kind == GS_CHUNK_BASE)
            gs_bytes_chunk(out, (uint8_t)(GS_CHUNK_BAND + band), frame, s->bytes, s->size);
    }
    out->failed = out->failed || body->failed;
    free(body->data);
}

void gs_put_base(struct gs_bytes *out, uint32_t frame, enum gs_base_kind kind,
                 const struct gs_stream_base *b,
                 const struct gs_section sections[GS_SECTIONS])
{
    struct gs_bytes body = {0};
    const uint8_t small[4] = {(uint8_t)b->state.sh_degree, b->bits, b->coarser, (uint8_t)kind};
    gs_bytes_u32(&body, b->state.count);
    gs_bytes_put(&body, small, sizeof small);
    for (int k = 0; k < 3; k++)
        gs_bytes_f32(&body, b->origin[k]);
    for (int a = 0; a < GS_ATTRS; a++)
        gs_bytes_f32(&body, b->step[a]);
    put_frame(out, GS_CHUNK_BASE, frame, &body, b->state.sh_degree, sections);
}

void gs_put_residual(struct gs_bytes *out, uint32_t frame, bool entry, int sh_degree,
                     const struct gs_section sections[GS_SECTIONS])
{
    struct gs_bytes body = {0};
    put_frame(out, entry ? GS_CHUNK_ENTRY : GS_CHUNK_RESIDUAL, frame, &body, sh_degree, sections);
}

static int get_sections(struct fv_cursor *c, const struct gs_stream_chunk *chunk,
                        struct gs_section *sections, const char *name)
{
    int list[GS_SECTIONS];
    bool basis = chunk->kind == GS_CHUNK_BASE && gs_base_kind(chunk) == GS_BASE_BASIS;
    int n = gs_own_sections(chunk->kind, basis, list);
    memset(sections, 0, GS_SECTIONS * sizeof *sections);
    for (int k = 0; k < n; k++) {
        uint64_t size = gs_get_varint(c);
        sections[list[k]].size = size < SIZE_MAX ? (size_t)size : SIZE_MAX;
    }
    for (int k = 0; k < n; k++) {
        /* sections are only read */
        const uint8_t *bytes = fv_get_bytes(c, sections[list[k]].size);
        memcpy(&sections[list[k]].bytes, &bytes, sizeof bytes);
    }
    if (c->failed || fv_cursor_left(c))
        return fv_fail(FV_EFORMAT, "%s: frame %u: its sections do not fill its chunk", name,
                       chunk->frame);
    return 0;
}

/* Whether steps and grid can be computed with. */
static bool usable(const struct gs_stream_base *b)
{
    bool good = b->bits <= 20 && b->coarser >= 4 && b->coarser <= 16;
    for (int k = 0; k < 3; k++)
        good = good && isfinite(b->origin[k]);
    for (int a = 0; a < GS_ATTRS; a++)
        good = good && b->step[a] >= 1e-12f && b->step[a] <= 1e12f;
    return good && b->step[GS_ROTATION] <= 2;
}

static bool few_bytes(const struct gs_stream_chunk *chunk, uint32_t count)
{
    return count > GS_STREAM_MAX_COUNT || gs_stream_too_many(count, chunk->size);
}

int gs_get_base(struct gs_stream_base *b, int sh_degree, const struct gs_stream_chunk *chunk,
                struct gs_section sections[GS_SECTIONS], const char *name)
{
    struct fv_cursor c = fv_cursor_over(chunk->data, chunk->size);
    struct gs_stream_base head = {0};
    uint32_t count = fv_get_u32(&c);
    int degree = fv_get_u8(&c);
    head.bits = fv_get_u8(&c);
    head.coarser = fv_get_u8(&c);
    (void)fv_get_u8(&c);
    for (int k = 0; k < 3; k++)
        head.origin[k] = fv_get_f32(&c);
    for (int a = 0; a < GS_ATTRS; a++)
        head.step[a] = fv_get_f32(&c);
    if (c.failed || degree > 3 || !count || !usable(&head))
        return fv_fail(FV_EFORMAT, "%s: frame %u: its base's grid or steps are damaged", name,
                       chunk->frame);
    if (few_bytes(chunk, count))
        return fv_fail(FV_EFORMAT, "%s: frame %u: %u Gaussians in %u bytes", name, chunk->frame,
                       count, chunk->size);
    FV_TRY(get_sections(&c, chunk, sections, name));
    FV_TRY(gs_stream_base_create(b, count, degree < sh_degree ? degree : sh_degree));
    memcpy(b->origin, head.origin, sizeof b->origin);
    memcpy(b->step, head.step, sizeof b->step);
    b->bits = head.bits;
    b->coarser = head.coarser;
    return 0;
}

void gs_put_floats(struct gs_bytes *out, uint32_t frame, const struct gs_scene *s,
                   const struct gs_section sections[GS_SECTIONS])
{
    struct gs_bytes body = {0};
    const uint8_t small[4] = {(uint8_t)s->sh_degree, 0, 0, GS_BASE_FLOATS};
    gs_bytes_u32(&body, (uint32_t)s->count);
    gs_bytes_put(&body, small, sizeof small);
    put_frame(out, GS_CHUNK_BASE, frame, &body, s->sh_degree, sections);
}

enum gs_base_kind gs_base_kind(const struct gs_stream_chunk *chunk)
{
    uint8_t kind = chunk->size < 8 ? 0 : chunk->data[7];
    return kind <= GS_BASE_ANCHORS ? (enum gs_base_kind)kind : GS_BASE_DIRECT;
}

int gs_get_floats(struct gs_scene *s, int sh_degree, const struct gs_stream_chunk *chunk,
                  struct gs_section sections[GS_SECTIONS], const char *name)
{
    struct fv_cursor c = fv_cursor_over(chunk->data, chunk->size);
    uint32_t count = fv_get_u32(&c);
    int degree = fv_get_u8(&c);
    (void)fv_get_bytes(&c, 3);
    if (c.failed || degree > 3 || !count || few_bytes(chunk, count))
        return fv_fail(FV_EFORMAT, "%s: frame %u: %u Gaussians of SH degree %d in %u bytes", name,
                       chunk->frame, count, degree, chunk->size);
    FV_TRY(get_sections(&c, chunk, sections, name));
    return gs_scene_alloc(s, count, degree < sh_degree ? degree : sh_degree);
}

int gs_get_residual(const struct gs_stream_chunk *chunk, struct gs_section sections[GS_SECTIONS],
                    uint8_t *bands, const char *name)
{
    struct fv_cursor c = fv_cursor_over(chunk->data, chunk->size);
    *bands = fv_get_u8(&c);
    return get_sections(&c, chunk, sections, name);
}
