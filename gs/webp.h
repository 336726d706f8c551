/* Private to gs/: lossless WebP images as arrays of bytes, over libwebp.
 *
 *     struct gs_image im;
 *     FV_TRY(gs_webp_read(&im, data, size, limit, "a.sog: quats.webp"));
 *     uint8_t *texel = im.rgba + 4 * (y * im.width + x);
 *     gs_image_free(&im);
 */
#ifndef GS_WEBP_H
#define GS_WEBP_H

#include <stddef.h>
#include <stdint.h>

enum { GS_WEBP_MAX_SIDE = 16383 };

struct gs_image {
    uint32_t width, height;
    uint8_t *rgba; /* [height][width][4], not premultiplied */
};

/* Decodes an image of at most max_pixels (checked before memory is taken). name is for
 * messages. Returns 0, FV_EFORMAT, FV_ENOMEM. */
int gs_webp_read(struct gs_image *out, const uint8_t *data, size_t size, uint64_t max_pixels,
                 const char *name);
void gs_image_free(struct gs_image *im);
/* Encodes without loss, colours under alpha 0 included. Caller frees *out with free(); the
 * same pixels give the same bytes. Returns 0, FV_ENOMEM, FV_EINVALID (a side is 0 or beyond
 * GS_WEBP_MAX_SIDE). */
int gs_webp_write(uint8_t **out, size_t *size, const struct gs_image *im);

#endif
