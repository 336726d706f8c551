/* Lossless WebP over libwebp (webp.h). */
#include "gs/webp.h"
#include "vk/base/err.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <webp/decode.h>
#include <webp/encode.h>

int gs_webp_read(struct gs_image *out, const uint8_t *data, size_t size, uint64_t max_pixels,
                 const char *name)
{
    WebPBitstreamFeatures f;
    *out = (struct gs_image){0};
    if (!size || WebPGetFeatures(data, size, &f) != VP8_STATUS_OK)
        return fv_fail(FV_EFORMAT, "%s: is not a WebP image, or cut short", name);
    if (f.has_animation)
        return fv_fail(FV_EFORMAT, "%s: is an animation, not an image", name);
    if (f.width <= 0 || f.height <= 0 || (uint64_t)f.width * (uint64_t)f.height > max_pixels)
        return fv_fail(FV_EFORMAT, "%s: is %dx%d, more texels than the Gaussians need", name,
                       f.width, f.height);
    out->width = (uint32_t)f.width;
    out->height = (uint32_t)f.height;
    size_t bytes = (size_t)f.width * (size_t)f.height * 4;
    out->rgba = malloc(bytes);
    if (!out->rgba)
        return fv_fail(FV_ENOMEM, "%s: out of memory", name);
    if (!WebPDecodeRGBAInto(data, size, out->rgba, bytes, 4 * f.width)) {
        gs_image_free(out);
        return fv_fail(FV_EFORMAT, "%s: WebP data are damaged or cut short", name);
    }
    return 0;
}

void gs_image_free(struct gs_image *im)
{
    free(im->rgba);
    *im = (struct gs_image){0};
}

int gs_webp_write(uint8_t **out, size_t *size, const struct gs_image *im)
{
    *out = NULL;
    *size = 0;
    if (!im->width || !im->height || im->width > GS_WEBP_MAX_SIDE || im->height > GS_WEBP_MAX_SIDE)
        return fv_fail(FV_EINVALID, "an image of %ux%u cannot be a WebP, whose sides end at %d",
                       im->width, im->height, GS_WEBP_MAX_SIDE);
    WebPConfig config;
    WebPPicture picture;
    WebPMemoryWriter memory;
    if (!WebPConfigInit(&config) || !WebPPictureInit(&picture))
        return fv_fail(FV_EINVALID, "libwebp is another version than fovea was built with");
    WebPConfigLosslessPreset(&config, 5);
    config.exact = 1; /* alpha is data here, it hides nothing */
    picture.use_argb = 1;
    picture.width = (int)im->width;
    picture.height = (int)im->height;
    picture.writer = WebPMemoryWrite;
    picture.custom_ptr = &memory;
    WebPMemoryWriterInit(&memory);
    bool ok = WebPPictureImportRGBA(&picture, im->rgba, 4 * picture.width) &&
              WebPEncode(&config, &picture);
    WebPPictureFree(&picture);
    if (ok)
        *out = malloc(memory.size);
    if (*out) {
        memcpy(*out, memory.mem, memory.size);
        *size = memory.size;
    }
    WebPMemoryWriterClear(&memory);
    return *out ? 0 : fv_fail(FV_ENOMEM, "out of memory for a WebP image");
}
