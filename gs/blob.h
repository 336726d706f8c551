/* Private to gs/: a run of bytes and whoever owns it, for readers of formats made of several
 * pieces (members of a zip, files of a folder, data: URIs).
 *
 *     struct gs_blob b;
 *     FV_TRY(gs_blob_open(&b, path));
 *     use(b.data, b.size);
 *     gs_blob_free(&b);
 */
#ifndef GS_BLOB_H
#define GS_BLOB_H

#include "vk/base/zip.h"

struct gs_blob {
    const uint8_t *data; /* into heap, map or somebody else's bytes */
    size_t size;
    void *heap;        /* freed by gs_blob_free when not NULL */
    struct fv_map map; /* closed by gs_blob_free when open */
};

/* Maps a file. Returns 0 or FV_EIO. */
int gs_blob_open(struct gs_blob *out, const char *path);
/* A member of an archive of at most `most` bytes; borrowed from the archive when stored. */
int gs_blob_unzip(struct gs_blob *out, const struct fv_zip *z, const struct fv_zip_member *m,
                  size_t most);
/* A zeroed blob is fine. */
void gs_blob_free(struct gs_blob *b);
/* Whether a file may name this other file as its neighbour: relative, without "..", so that a
 * downloaded scene cannot make the program open files elsewhere. */
bool gs_path_is_inside(const char *path);
/* Whether the first byte that is no space opens a JSON object. */
bool gs_begins_as_json(const uint8_t *data, size_t size);

#endif
