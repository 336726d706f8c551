/* Bytes with an owner, and the rule for names found in files (blob.h). */
#include "gs/blob.h"
#include "vk/base/err.h"

#include <stdlib.h>
#include <string.h>

int gs_blob_open(struct gs_blob *out, const char *path)
{
    *out = (struct gs_blob){0};
    FV_TRY(fv_map_open(&out->map, path));
    out->data = out->map.data;
    out->size = out->map.size;
    return 0;
}

int gs_blob_unzip(struct gs_blob *out, const struct fv_zip *z, const struct fv_zip_member *m,
                  size_t most)
{
    *out = (struct gs_blob){.size = (size_t)m->size};
    return fv_zip_read(z, m, most, &out->data, &out->heap);
}

void gs_blob_free(struct gs_blob *b)
{
    free(b->heap);
    fv_map_close(&b->map);
    *b = (struct gs_blob){0};
}

bool gs_path_is_inside(const char *path)
{
    if (!*path || *path == '/' || strchr(path, '\\') || strchr(path, ':'))
        return false;
    for (const char *p = path; p; p = strchr(p, '/')) {
        p += *p == '/';
        if (!strncmp(p, "..", 2) && (p[2] == '/' || !p[2]))
            return false;
    }
    return true;
}

bool gs_begins_as_json(const uint8_t *data, size_t size)
{
    static const uint8_t mark[] = {0xef, 0xbb, 0xbf}; /* of UTF-8 */
    size_t i = size >= 3 && !memcmp(data, mark, 3) ? 3 : 0;
    while (i < size && (data[i] == ' ' || (data[i] >= '\t' && data[i] <= '\r')))
        i++;
    return i < size && data[i] == '{';
}
