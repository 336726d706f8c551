/* ZIP archives in memory (PKWARE APPNOTE 6.3), for bundles of splat images and PyTorch checkpoints:
 * stored and deflated members are read through the central directory, whose sizes are right even
 * when the local headers leave them to a data descriptor, ZIP64 included; stored members are
 * written. Encryption, other methods and archives of several disks are refused.
 *
 *     struct fv_zip zip;
 *     FV_TRY(fv_zip_open(&zip, data, size, "a.sog"));
 *     const struct fv_zip_member *m = fv_zip_find(&zip, "meta.json");
 *     if (m)
 *         FV_GOTO(fv_zip_read(&zip, m, 1 << 20, &bytes, &heap));
 *     ...
 *     free(heap);
 *     fv_zip_close(&zip);
 */
#ifndef FV_ZIP_H
#define FV_ZIP_H

#include "vk/base/file.h"

enum { FV_ZIP_STORED = 0, FV_ZIP_DEFLATED = 8 };

struct fv_zip_member {
    char *name;
    const uint8_t *packed; /* into the archive's bytes, checked to lie inside */
    uint64_t packed_size, size;
    uint32_t crc;
    uint16_t method; /* FV_ZIP_STORED, FV_ZIP_DEFLATED */
};

struct fv_zip {
    const char *file; /* borrowed, for messages */
    struct fv_zip_member *members;
    size_t count;
};

/* data and name must outlive the archive. Returns 0, FV_EFORMAT, FV_EUNSUPPORTED, FV_ENOMEM. */
int fv_zip_open(struct fv_zip *out, const uint8_t *data, size_t size, const char *name);
void fv_zip_close(struct fv_zip *z);
/* The member of that exact name, or NULL. */
const struct fv_zip_member *fv_zip_find(const struct fv_zip *z, const char *name);
/* Bytes of a member of at most `most` bytes: borrowed from the archive if stored, else in *heap,
 * which the caller frees (NULL is fine). The checksum is verified. Returns 0, FV_EFORMAT,
 * FV_EUNSUPPORTED, FV_ENOMEM. */
int fv_zip_read(const struct fv_zip *z, const struct fv_zip_member *m, size_t most,
                const uint8_t **data, void **heap);
/* Fails unless a member is stored: then its bytes may be used where they are, unverified. */
int fv_zip_stored(const struct fv_zip *z, const struct fv_zip_member *m);

/* Writing: add members, then end. The same members give the same bytes (no time stamps). */
struct fv_zip_writer {
    struct fv_writer *w;
    struct fv_zip_member *members; /* packed stays NULL */
    uint32_t *offsets;
    size_t count, room;
    uint64_t at;
};

/* Returns 0, FV_ENOMEM, FV_EUNSUPPORTED (4 GiB passed). */
int fv_zip_add(struct fv_zip_writer *z, const char *name, const void *data, size_t size);
/* Writes the central directory. Same codes. */
int fv_zip_end(struct fv_zip_writer *z);
/* Frees the list; safe on a zeroed writer. */
void fv_zip_writer_free(struct fv_zip_writer *z);

#endif
