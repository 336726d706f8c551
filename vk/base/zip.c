/* ZIP archives: bounded reader, stored writer (zip.h).
 *
 *   local header  "PK\3\4" 30 bytes, name, extra, then the member's bytes     (one a member)
 *   central entry "PK\1\2" 46 bytes, name, extra, comment                     (one a member)
 *   end of ZIP64  "PK\6\6" 56 bytes, and "PK\6\7" 20 bytes that say where that is
 *   end           "PK\5\6" 22 bytes, comment up to 65535 bytes
 *
 * Counts, sizes and offsets of all ones stand in ZIP64's record, or extra field 1 of an entry.
 */
#include "vk/base/zip.h"
#include "vk/base/err.h"

#include <inttypes.h>
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
    END64_SIZE = 56,
    LOCATOR_SIZE = 20,
    EXTRA_ZIP64 = 1,
    /* DEFLATE cannot do better: 258 bytes cost at least 2 bits. */
    MAX_RATIO = 1032,
};
static const uint32_t local_magic = 0x04034b50, central_magic = 0x02014b50, end_magic = 0x06054b50,
                      end64_magic = 0x06064b50, locator_magic = 0x07064b50;

/* ---- reading ---- */

static uint16_t u16_at(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t u32_at(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t u64_at(const uint8_t *p)
{
    return u32_at(p) | (uint64_t)u32_at(p + 4) << 32;
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

/* The value of a 32-bit field, or the next of the ZIP64 extra field if it is all ones. */
static uint64_t wide(uint32_t field, struct fv_cursor *extra)
{
    return field == UINT32_MAX ? fv_get_u64(extra) : field;
}

/* Contents of the ZIP64 field among an entry's extra fields; empty if there is none. */
static struct fv_cursor zip64_field(const uint8_t *extra, size_t size)
{
    struct fv_cursor c = fv_cursor_over(extra, size);
    while (!c.failed && fv_cursor_left(&c) >= 4) {
        uint16_t id = fv_get_u16(&c), length = fv_get_u16(&c);
        const uint8_t *data = fv_get_bytes(&c, length);
        if (data && id == EXTRA_ZIP64)
            return fv_cursor_over(data, length);
    }
    return fv_cursor_over(extra, 0);
}

/* The member's bytes, through its local header. */
static int find_packed(const struct fv_zip *z, const struct fv_cursor *whole,
                       struct fv_zip_member *m, uint64_t offset)
{
    struct fv_cursor l = fv_cursor_over(whole->data, whole->size);
    fv_get_bytes(&l, offset);
    const uint8_t *h = fv_get_bytes(&l, LOCAL_SIZE);
    if (!h || u32_at(h) != local_magic)
        return fv_fail(FV_EFORMAT, "%s: member '%.64s' has no local header at byte %" PRIu64,
                       z->file, m->name, offset);
    fv_get_bytes(&l, (size_t)u16_at(h + 26) + u16_at(h + 28));
    m->packed = fv_get_bytes(&l, m->packed_size);
    if (l.failed)
        return fv_fail(FV_EFORMAT, "%s: member '%.64s' reaches beyond the end of the file", z->file,
                       m->name);
    return 0;
}

/* Reads central entry i at c into m. */
static int read_entry(struct fv_zip *z, struct fv_cursor *c, struct fv_zip_member *m, size_t i)
{
    const uint8_t *e = fv_get_bytes(c, CENTRAL_SIZE);
    if (!e || u32_at(e) != central_magic)
        return fv_fail(FV_EFORMAT, "%s: central directory: entry %zu is damaged", z->file, i);
    uint16_t flags = u16_at(e + 8), name_len = u16_at(e + 28), extra_len = u16_at(e + 30);
    const uint8_t *name = fv_get_bytes(c, name_len), *extra = fv_get_bytes(c, extra_len);
    fv_get_bytes(c, u16_at(e + 32)); /* comment */
    if (c->failed)
        return fv_fail(FV_EFORMAT, "%s: central directory: entry %zu is cut short", z->file, i);
    struct fv_cursor more = zip64_field(extra, extra_len);
    *m = (struct fv_zip_member){.method = u16_at(e + 10), .crc = u32_at(e + 16)};
    m->size = wide(u32_at(e + 24), &more);
    m->packed_size = wide(u32_at(e + 20), &more);
    uint64_t offset = wide(u32_at(e + 42), &more);
    m->name = malloc((size_t)name_len + 1);
    if (!m->name)
        return fv_fail(FV_ENOMEM, "%s: out of memory", z->file);
    memcpy(m->name, name, name_len);
    m->name[name_len] = 0;
    if (more.failed)
        return fv_fail(FV_EFORMAT, "%s: member '%.64s' lacks its ZIP64 sizes", z->file, m->name);
    if (flags & FLAG_ENCRYPTED)
        return fv_fail(FV_EUNSUPPORTED, "%s: member '%.64s' is encrypted", z->file, m->name);
    return find_packed(z, c, m, offset);
}

/* Where the central directory is and how many entries it has. */
static int find_directory(const uint8_t *data, size_t size, const char *name, uint64_t *at,
                          uint64_t *count)
{
    const uint8_t *end = find_end(data, size);
    if (!end)
        return fv_fail(FV_EFORMAT, "%s: has no central directory; the archive is cut short", name);
    uint32_t disk = u16_at(end + 4), first = u16_at(end + 6);
    uint64_t here = u16_at(end + 8);
    *count = u16_at(end + 10);
    *at = u32_at(end + 16);
    if (*count == UINT16_MAX || *at == UINT32_MAX || u32_at(end + 12) == UINT32_MAX) {
        struct fv_cursor c = fv_cursor_over(data, size);
        const uint8_t *l = end - data >= LOCATOR_SIZE ? end - LOCATOR_SIZE : NULL;
        fv_get_bytes(&c, l && u32_at(l) == locator_magic ? u64_at(l + 8) : size);
        const uint8_t *e = fv_get_bytes(&c, END64_SIZE);
        if (!e || u32_at(e) != end64_magic)
            return fv_fail(FV_EFORMAT, "%s: the ZIP64 end of the archive is missing", name);
        disk = u32_at(e + 16);
        first = u32_at(e + 20);
        here = u64_at(e + 24);
        *count = u64_at(e + 32);
        *at = u64_at(e + 48);
    }
    if (disk || first || here != *count)
        return fv_fail(FV_EUNSUPPORTED, "%s: is one of several disks of an archive", name);
    return 0;
}

int fv_zip_open(struct fv_zip *out, const uint8_t *data, size_t size, const char *name)
{
    uint64_t at = 0, count = 0;
    *out = (struct fv_zip){.file = name};
    if (size < 4 || u32_at(data) != local_magic)
        return fv_fail(FV_EFORMAT, "%s: is not a zip archive", name);
    FV_TRY(find_directory(data, size, name, &at, &count));
    struct fv_cursor c = fv_cursor_over(data, size);
    fv_get_bytes(&c, at);
    if (c.failed || fv_cursor_left(&c) / CENTRAL_SIZE < count)
        return fv_fail(FV_EFORMAT,
                       "%s: central directory of %" PRIu64 " members does not fit in the file",
                       name, count);
    out->members = calloc(count ? count : 1, sizeof *out->members);
    if (!out->members)
        return fv_fail(FV_ENOMEM, "%s: out of memory", name);
    for (size_t i = 0; i < count; i++) {
        out->count = i + 1;
        int rc = read_entry(out, &c, &out->members[i], i);
        if (rc < 0) {
            fv_zip_close(out);
            return rc;
        }
    }
    return 0;
}

void fv_zip_close(struct fv_zip *z)
{
    for (size_t i = 0; i < z->count; i++)
        free(z->members[i].name);
    free(z->members);
    *z = (struct fv_zip){0};
}

const struct fv_zip_member *fv_zip_find(const struct fv_zip *z, const char *name)
{
    for (size_t i = 0; i < z->count; i++)
        if (!strcmp(z->members[i].name, name))
            return &z->members[i];
    return NULL;
}

static int inflate_member(const struct fv_zip *z, const struct fv_zip_member *m, uint8_t *out)
{
    z_stream s = {.next_in = (Bytef *)(uintptr_t)m->packed,
                  .avail_in = (uInt)m->packed_size,
                  .next_out = out,
                  .avail_out = (uInt)m->size};
    if (inflateInit2(&s, -MAX_WBITS) != Z_OK)
        return fv_fail(FV_ENOMEM, "%s: out of memory", z->file);
    int rc = inflate(&s, Z_FINISH);
    size_t left = s.avail_out;
    inflateEnd(&s);
    if (rc != Z_STREAM_END || left)
        return fv_fail(FV_EFORMAT,
                       "%s: member '%.64s' does not decompress to its %" PRIu64 " bytes", z->file,
                       m->name, m->size);
    return 0;
}

static int read_deflated(const struct fv_zip *z, const struct fv_zip_member *m, void **heap)
{
    if (m->size / MAX_RATIO > m->packed_size)
        return fv_fail(FV_EFORMAT, "%s: member '%.64s' claims %" PRIu64 " bytes out of %" PRIu64,
                       z->file, m->name, m->size, m->packed_size);
    if (m->size > UINT32_MAX || m->packed_size > UINT32_MAX)
        return fv_fail(FV_EUNSUPPORTED,
                       "%s: member '%.64s' is compressed and of 4 GiB or more, which is not read",
                       z->file, m->name);
    *heap = malloc(m->size ? m->size : 1);
    if (!*heap)
        return fv_fail(FV_ENOMEM, "%s: out of memory", z->file);
    return inflate_member(z, m, *heap);
}

int fv_zip_stored(const struct fv_zip *z, const struct fv_zip_member *m)
{
    if (m->method != FV_ZIP_STORED)
        return fv_fail(FV_EUNSUPPORTED, "%s: member '%.64s' is compressed; it must be stored",
                       z->file, m->name);
    if (m->size != m->packed_size)
        return fv_fail(FV_EFORMAT, "%s: member '%.64s' is stored with two different sizes", z->file,
                       m->name);
    return 0;
}

int fv_zip_read(const struct fv_zip *z, const struct fv_zip_member *m, size_t most,
                const uint8_t **data, void **heap)
{
    int rc = 0;
    *data = m->packed;
    *heap = NULL;
    if (m->size > most)
        return fv_fail(FV_EFORMAT,
                       "%s: member '%.64s' of %" PRIu64 " bytes is larger than the %zu that make "
                       "sense",
                       z->file, m->name, m->size, most);
    if (m->method == FV_ZIP_STORED)
        rc = fv_zip_stored(z, m);
    else if (m->method == FV_ZIP_DEFLATED)
        rc = read_deflated(z, m, heap);
    else
        return fv_fail(FV_EUNSUPPORTED,
                       "%s: member '%.64s' uses compression method %u; only stored "
                       "and deflated members are read",
                       z->file, m->name, m->method);
    if (*heap)
        *data = *heap;
    if (rc >= 0 && crc32_z(0, *data, m->size) != m->crc)
        rc = fv_fail(FV_EFORMAT, "%s: member '%.64s' is damaged (checksum)", z->file, m->name);
    if (rc < 0) {
        free(*heap);
        *heap = NULL;
        *data = NULL;
    }
    return rc;
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
static uint8_t *put_common(uint8_t *p, const struct fv_zip_member *m)
{
    p = put16(p, 20);
    p = put16(p, FLAG_UTF8);
    p = put16(p, FV_ZIP_STORED);
    p = put16(p, 0);          /* time */
    p = put16(p, 1 << 5 | 1); /* date: 1980-01-01, the format's zero */
    p = put32(p, m->crc);
    p = put32(p, (uint32_t)m->size);
    p = put32(p, (uint32_t)m->size);
    p = put16(p, (uint32_t)strlen(m->name));
    return put16(p, 0);
}

static int too_large(void)
{
    return fv_fail(FV_EUNSUPPORTED, "the bundle would pass 4 GiB, more than a zip archive without "
                                    "ZIP64 can hold; split the scene");
}

int fv_zip_add(struct fv_zip_writer *z, const char *name, const void *data, size_t size)
{
    size_t name_len = strlen(name);
    if (z->count == z->room) {
        size_t room = z->room ? 2 * z->room : 16;
        struct fv_zip_member *members = realloc(z->members, room * sizeof *members);
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
    struct fv_zip_member *m = &z->members[z->count];
    *m = (struct fv_zip_member){
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

int fv_zip_end(struct fv_zip_writer *z)
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

void fv_zip_writer_free(struct fv_zip_writer *z)
{
    for (size_t i = 0; i < z->count; i++)
        free(z->members[i].name);
    free(z->members);
    free(z->offsets);
    *z = (struct fv_zip_writer){0};
}
