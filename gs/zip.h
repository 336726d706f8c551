/* Private to gs/: ZIP archives in memory, as far as bundles of splat images need them (PKWARE
 * APPNOTE 6.3): stored and deflated members are read through the central directory, whose
 * sizes are right even when the local headers leave them to a data descriptor; stored members
 * are written. Encryption, other methods, ZIP64 and archives of several disks are refused.
 *
 *     struct gs_zip zip;
 *     FV_TRY(gs_zip_open(&zip, data, size, "a.sog"));
 *     const struct gs_zip_member *m = gs_zip_find(&zip, "meta.json");
 *     if (m)
 *         FV_GOTO(gs_zip_read(&zip, m, 1 << 20, &blob));
 *     gs_zip_close(&zip);
 */
#ifndef GS_ZIP_H
#define GS_ZIP_H

#include "gs/blob.h"

struct gs_zip_member {
    char *name;
    const uint8_t *packed; /* into the archive's bytes, checked to lie inside */
    uint32_t packed_size, size, crc;
    uint16_t method; /* 0 stored, 8 deflated */
};

struct gs_zip {
    const char *file; /* borrowed, for messages */
    struct gs_zip_member *members;
    size_t count;
};

/* data and name must outlive the archive. Returns 0, FV_EFORMAT, FV_EUNSUPPORTED, FV_ENOMEM. */
int gs_zip_open(struct gs_zip *out, const uint8_t *data, size_t size, const char *name);
void gs_zip_close(struct gs_zip *z);
/* The member of that exact name, or NULL. */
const struct gs_zip_member *gs_zip_find(const struct gs_zip *z, const char *name);
/* Bytes of a member of at most `most` bytes; stored ones are borrowed from the archive. The
 * checksum is verified. Caller frees the blob. Returns 0, FV_EFORMAT, FV_ENOMEM. */
int gs_zip_read(const struct gs_zip *z, const struct gs_zip_member *m, size_t most,
                struct gs_blob *out);

/* Writing: add members, then end. The same members give the same bytes (no time stamps). */
struct gs_zip_writer {
    struct fv_writer *w;
    struct gs_zip_member *members; /* packed stays NULL */
    uint32_t *offsets;
    size_t count, room;
    uint64_t at;
};

/* Returns 0, FV_ENOMEM, FV_EUNSUPPORTED (4 GiB passed). */
int gs_zip_add(struct gs_zip_writer *z, const char *name, const void *data, size_t size);
/* Writes the central directory. Same codes. */
int gs_zip_end(struct gs_zip_writer *z);
/* Frees the list; safe on a zeroed writer. */
void gs_zip_writer_free(struct gs_zip_writer *z);

#endif
