/* ZIP archives: bounded reader, stored writer (zip.h).
 *
 *   local header  "PK\3\4" 30 bytes, name, extra, then the member's bytes     (one a member)
 *   central entry "PK\1\2" 46 bytes, name, extra, comment                     (one a member)
 *   end           "PK\5\6" 22 bytes, comment up to 65535 bytes
 */
#include "gs/zip.h"
#include "vk/base/err.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum {
    LOCAL_SIZE = 30,
    CENTRAL_SIZE = 46,
    END_SIZE = 22,
    MAX_COMMENT = 65535,
    FLAG_ENCRYPTED = 1,
    FLAG_UTF8 = 0x800,
    STORED = 0,
    DEFLATED = 8,
    /* DEFLATE cannot do better: 258 bytes cost at least 2 bits. */
    MAX_RATIO = 1032,
};
static const uint32_t local_magic = 0x04034b50, central_magic = 0x02014b50, end_magic = 0x06054b50;

/* ---- reading ---- */

static uint16_t u16_at(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t u32_at(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* The end record, searched from the back because a comment may follow it. */
static const uint8_t *find_end(const uint8_t *data, size_t size)
{
    if (size < END_SIZE)
        return NULL;
    size_t first = size > END_SIZE + MAX_COMMENT ? size - END_SIZE - MAX_COMMENT : 0;
    for (size_t at = size - END_SIZE + 1; at-- > first;) {
        const uint8_t *p = data + at;
        if (u32_at(p) == end_magic && at + END_SIZE + u16_at(p + 20) == size)
            return p;
    }
    return NULL;
}

/* Reads central entry i at c into m; finds the member's bytes through its local header. */
static int read_entry(struct gs_zip *z, struct fv_cursor *c, struct gs_zip_member *m, size_t i)
{
    const uint8_t *e = fv_get_bytes(c, CENTRAL_SIZE);
    if (!e || u32_at(e) != central_magic)
        return fv_fail(FV_EFORMAT, "%s: central directory: entry %zu is damaged", z->file, i);
    uint16_t flags = u16_at(e + 8), name_len = u16_at(e + 28);
    const uint8_t *name = fv_get_bytes(c, name_len);
    fv_get_bytes(c, (size_t)u16_at(e + 30) + u16_at(e + 32)); /* extra fields, comment */
    if (c->failed)
        return fv_fail(FV_EFORMAT, "%s: central directory: entry %zu is cut short", z->file, i);
    *m = (struct gs_zip_member){.method = u16_at(e + 10),
                                .crc = u32_at(e + 16),
                                .packed_size = u32_at(e + 20),
                                .size = u32_at(e + 24)};
    m->name = malloc((size_t)name_len + 1);
    if (!m->name)
        return fv_fail(FV_ENOMEM, "%s: out of memory", z->file);
    memcpy(m->name, name, name_len);
    m->name[name_len] = 0;
    uint32_t offset = u32_at(e + 42);
    if (m->packed_size == UINT32_MAX || m->size == UINT32_MAX || offset == UINT32_MAX)
        return fv_fail(FV_EUNSUPPORTED,
                       "%s: member '%.64s' is in ZIP64 form, which is not read; "
                       "bundles stay below 4 GiB",
                       z->file, m->name);
    if (flags & FLAG_ENCRYPTED)
        return fv_fail(FV_EUNSUPPORTED, "%s: member '%.64s' is encrypted", z->file, m->name);
    struct fv_cursor l = fv_cursor_over(c->data, c->size);
    fv_get_bytes(&l, offset);
    const uint8_t *h = fv_get_bytes(&l, LOCAL_SIZE);
    if (!h || u32_at(h) != local_magic)
        return fv_fail(FV_EFORMAT, "%s: member '%.64s' has no local header at byte %u", z->file,
                       m->name, offset);
    fv_get_bytes(&l, (size_t)u16_at(h + 26) + u16_at(h + 28));
    m->packed = fv_get_bytes(&l, m->packed_size);
    if (l.failed)
        return fv_fail(FV_EFORMAT, "%s: member '%.64s' reaches beyond the end of the file", z->file,
                       m->name);
    return 0;
}

int gs_zip_open(struct gs_zip *out, const uint8_t *data, size_t size, const char *name)
{
    *out = (struct gs_zip){.file = name};
    if (size < 4 || u32_at(data) != local_magic)
        return fv_fail(FV_EFORMAT, "%s: is not a zip archive", name);
    const uint8_t *end = find_end(data, size);
    if (!end)
        return fv_fail(FV_EFORMAT, "%s: has no central directory; the archive is cut short", name);
    uint16_t disk = u16_at(end + 4), count = u16_at(end + 10);
    uint32_t directory = u32_at(end + 16);
    if (count == UINT16_MAX || directory == UINT32_MAX)
        return fv_fail(FV_EUNSUPPORTED, "%s: is a ZIP64 archive, which is not read", name);
    if (disk || u16_at(end + 6) || u16_at(end + 8) != count)
        return fv_fail(FV_EUNSUPPORTED, "%s: is one of several disks of an archive", name);
    struct fv_cursor c = fv_cursor_over(data, size);
    fv_get_bytes(&c, directory);
    if (c.failed || fv_cursor_left(&c) / CENTRAL_SIZE < count)
        return fv_fail(FV_EFORMAT, "%s: central directory of %u members does not fit in the file",
                       name, count);
    out->members = calloc(count ? count : 1, sizeof *out->members);
    if (!out->members)
        return fv_fail(FV_ENOMEM, "%s: out of memory", name);
    for (size_t i = 0; i < count; i++) {
        out->count = i + 1;
        int rc = read_entry(out, &c, &out->members[i], i);
        if (rc < 0) {
            gs_zip_close(out);
            return rc;
        }
    }
    return 0;
}

void gs_zip_close(struct gs_zip *z)
{
    for (size_t i = 0; i < z->count; i++)
        free(z->members[i].name);
    free(z->members);
    *z = (struct gs_zip){0};
}

const struct gs_zip_member *gs_zip_find(const struct gs_zip *z, const char *name)
{
    for (size_t i = 0; i < z->count; i++)
        if (!strcmp(z->members[i].name, name))
            return &z->members[i];
    return NULL;
}

static int inflate_member(const struct gs_zip *z, const struct gs_zip_member *m, uint8_t *out)
{
    z_stream s = {.next_in = (Bytef *)(uintptr_t)m->packed,
                  .avail_in = m->packed_size,
                  .next_out = out,
                  .avail_out = m->size};
    if (inflateInit2(&s, -MAX_WBITS) != Z_OK)
        return fv_fail(FV_ENOMEM, "%s: out of memory", z->file);
    int rc = inflate(&s, Z_FINISH);
    size_t left = s.avail_out;
    inflateEnd(&s);
    if (rc != Z_STREAM_END || left)
        return fv_fail(FV_EFORMAT, "%s: member '%.64s' does not decompress to its %u bytes",
                       z->file, m->name, m->size);
    return 0;
}

int gs_zip_read(const struct gs_zip *z, const struct gs_zip_member *m, size_t most,
                struct gs_blob *out)
{
    *out = (struct gs_blob){.data = m->packed, .size = m->size};
    if (m->size > most)
        return fv_fail(FV_EFORMAT,
                       "%s: member '%.64s' of %u bytes is larger than the %zu that make "
                       "sense",
                       z->file, m->name, m->size, most);
    if (m->method == STORED) {
        if (m->size != m->packed_size)
            return fv_fail(FV_EFORMAT, "%s: member '%.64s' is stored with two different sizes",
                           z->file, m->name);
    } else if (m->method == DEFLATED) {
        if (m->size / MAX_RATIO > m->packed_size)
            return fv_fail(FV_EFORMAT, "%s: member '%.64s' claims %u bytes out of %u", z->file,
                           m->name, m->size, m->packed_size);
        out->heap = malloc(m->size ? m->size : 1);
        if (!out->heap)
            return fv_fail(FV_ENOMEM, "%s: out of memory", z->file);
        out->data = out->heap;
        int rc = inflate_member(z, m, out->heap);
        if (rc < 0) {
            gs_blob_free(out);
            return rc;
        }
    } else {
        return fv_fail(FV_EUNSUPPORTED,
                       "%s: member '%.64s' uses compression method %u; only stored "
                       "and deflated members are read",
                       z->file, m->name, m->method);
    }
    if (crc32(0, out->data, m->size) != m->crc) {
        gs_blob_free(out);
        return fv_fail(FV_EFORMAT, "%s: member '%.64s' is damaged (checksum)", z->file, m->name);
    }
    return 0;
}

/* ---- writing ---- */

static uint8_t *put16(uint8_t *p, uint32_t v)
{
    *p++ = (uint8_t)v;
    *p++ = (uint8_t)(v >> 8);
    return p;
}

static uint8_t *put32(uint8_t *p, uint32_t v)
{
    return put16(put16(p, v & 0xffff), v >> 16);
}

/* The 26 bytes that local header and central entry share, from "version needed" on. */
static uint8_t *put_common(uint8_t *p, const struct gs_zip_member *m)
{
    p = put16(p, 20);
    p = put16(p, FLAG_UTF8);
    p = put16(p, STORED);
    p = put16(p, 0);          /* time */
    p = put16(p, 1 << 5 | 1); /* date: 1980-01-01, the format's zero */
    p = put32(p, m->crc);
    p = put32(p, m->size);
    p = put32(p, m->size);
    p = put16(p, (uint32_t)strlen(m->name));
    return put16(p, 0);
}

static int too_large(void)
{
    return fv_fail(FV_EUNSUPPORTED, "the bundle would pass 4 GiB, more than a zip archive without "
                                    "ZIP64 can hold; split the scene");
}

int gs_zip_add(struct gs_zip_writer *z, const char *name, const void *data, size_t size)
{
    size_t name_len = strlen(name);
    if (z->count == z->room) {
        size_t room = z->room ? 2 * z->room : 16;
        struct gs_zip_member *members = realloc(z->members, room * sizeof *members);
        if (members)
            z->members = members;
        uint32_t *offsets = realloc(z->offsets, room * sizeof *offsets);
        if (offsets)
            z->offsets = offsets;
        if (!members || !offsets)
            return fv_fail(FV_ENOMEM, "out of memory");
        z->room = room;
    }
    if (size > UINT32_MAX || z->at + LOCAL_SIZE + name_len + size > UINT32_MAX)
        return too_large();
    struct gs_zip_member *m = &z->members[z->count];
    *m = (struct gs_zip_member){
        .size = (uint32_t)size, .crc = (uint32_t)crc32_z(0, data, size), .name = strdup(name)};
    if (!m->name)
        return fv_fail(FV_ENOMEM, "out of memory");
    z->offsets[z->count++] = (uint32_t)z->at;
    uint8_t head[LOCAL_SIZE];
    put_common(put32(head, local_magic), m);
    fv_write(z->w, head, sizeof head);
    fv_write(z->w, name, name_len);
    fv_write(z->w, data, size);
    z->at += LOCAL_SIZE + name_len + size;
    return 0;
}

int gs_zip_end(struct gs_zip_writer *z)
{
    uint64_t start = z->at;
    for (size_t i = 0; i < z->count; i++) {
        uint8_t entry[CENTRAL_SIZE] = {0}, *p = put32(entry, central_magic);
        p = put_common(put16(p, 20), &z->members[i]);
        put32(entry + 42, z->offsets[i]);
        fv_write(z->w, entry, sizeof entry);
        fv_write(z->w, z->members[i].name, strlen(z->members[i].name));
        z->at += CENTRAL_SIZE + strlen(z->members[i].name);
    }
    if (z->at > UINT32_MAX)
        return too_large();
    uint8_t end[END_SIZE] = {0}, *p = put32(end, end_magic);
    p = put16(put32(p, 0), (uint32_t)z->count);
    p = put16(p, (uint32_t)z->count);
    p = put32(p, (uint32_t)(z->at - start));
    put32(p, (uint32_t)start);
    fv_write(z->w, end, sizeof end);
    return 0;
}

void gs_zip_writer_free(struct gs_zip_writer *z)
{
    for (size_t i = 0; i < z->count; i++)
        free(z->members[i].name);
    free(z->members);
    free(z->offsets);
    *z = (struct gs_zip_writer){0};
}
