/* Pixel size of a PNG or JPEG from its header, for camera files that only name their images. */
#include "gs/camera.h"

#include <stdlib.h>
#include <string.h>

static bool png_size(struct fv_cursor *c, uint32_t *width, uint32_t *height)
{
    /* signature, then the IHDR chunk: length, "IHDR", width, height, all big-endian */
    const uint8_t *p = fv_get_bytes(c, 24);
    if (!p || memcmp(p + 12, "IHDR", 4))
        return false;
    *width = (uint32_t)p[16] << 24 | (uint32_t)p[17] << 16 | (uint32_t)p[18] << 8 | p[19];
    *height = (uint32_t)p[20] << 24 | (uint32_t)p[21] << 16 | (uint32_t)p[22] << 8 | p[23];
    return true;
}

static bool jpeg_size(struct fv_cursor *c, uint32_t *width, uint32_t *height)
{
    fv_get_bytes(c, 2); /* start of image */
    while (!c->failed) {
        if (fv_get_u8(c) != 0xff)
            return false;
        uint8_t marker = fv_get_u8(c);
        while (marker == 0xff) /* fill bytes */
            marker = fv_get_u8(c);
        const uint8_t *length = fv_get_bytes(c, 2);
        size_t n = length ? (size_t)length[0] << 8 | length[1] : 0;
        const uint8_t *body = n >= 2 ? fv_get_bytes(c, n - 2) : NULL;
        if (!body)
            return false;
        /* SOF0..SOF15 hold the size; C4, C8 and CC of that range are other segments */
        if (marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 &&
            marker != 0xcc) {
            if (n < 7)
                return false;
            *height = (uint32_t)body[1] << 8 | body[2];
            *width = (uint32_t)body[3] << 8 | body[4];
            return true;
        }
    }
    return false;
}

bool gs_image_size(const void *data, size_t size, uint32_t *width, uint32_t *height)
{
    struct fv_cursor c = fv_cursor_over(data, size);
    bool ok = false;
    if (size >= 8 && !memcmp(data, "\x89PNG\r\n\x1a\n", 8))
        ok = png_size(&c, width, height);
    else if (size >= 2 && !memcmp(data, "\xff\xd8", 2))
        ok = jpeg_size(&c, width, height);
    return ok && *width && *height;
}

bool gs_image_file_size(const char *path, uint32_t *width, uint32_t *height)
{
    static const char *const endings[] = {"", ".png", ".jpg", ".jpeg"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        char *name = NULL;
        if (asprintf(&name, "%s%s", path, endings[i]) < 0)
            return false;
        struct fv_map map;
        bool ok = false;
        if (fv_exists(name) && !fv_is_dir(name) && fv_map_open(&map, name) >= 0) {
            ok = gs_image_size(map.data, map.size, width, height);
            fv_map_close(&map);
        }
        free(name);
        if (ok)
            return true;
    }
    return false;
}
