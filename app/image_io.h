/* Picture files: PNG, JPEG and others in, PNG out (stb), and .npy arrays both ways.
 *
 *     struct image a;
 *     FV_TRY(image_load(&a, "a.png"));
 *     ... a.data[(y * a.width + x) * a.channels + c] ...
 *     image_finish(&a);
 */
#ifndef IMAGE_IO_H
#define IMAGE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Rows from the top, channels together: 1 grey, 3 RGB, 4 RGBA. Files of 8 or 16 bits become
 * 0..1; .npy keeps its values. */
struct image {
    uint32_t width, height, channels;
    float *data;
};

/* By contents: .npy of [H,W], [H,W,1], [H,W,3] or [H,W,4], else what stb_image reads (PNG, JPEG,
 * BMP, TGA, PSD, GIF, HDR, PNM). Returns 0, FV_EIO, FV_EFORMAT, FV_ENOMEM. */
int image_load(struct image *out, const char *path);
void image_finish(struct image *i);
/* True when the file begins like a picture or array image_load reads (no decoding). */
bool image_is_picture(const char *path);
/* Picture or array of the name's suffix: .png .jpg .jpeg .bmp .tga .npy. */
bool image_has_suffix(const char *path);

/* Pixels within a picture, of 0..1; rows are `stride` pixels apart. */
struct image_part {
    const float *data;
    uint32_t width, height, stride, channels;
};
/* The part at the size of width x height or smaller: means of what a pixel covers, RGB (grey three times) of 8
 * bits, `step` bytes from pixel to pixel and `row` from row to row. */
void image_shrink(const struct image_part *in, uint8_t *out, uint32_t width, uint32_t height, size_t step, size_t row);

/* Writes 8-bit PNG atomically. pixels: [height][width][channels], channels 1, 3 or 4.
 * text: key, value, key, value, NULL, or NULL: tEXt chunks. */
int image_save_png(const char *path, const uint8_t *pixels, uint32_t width, uint32_t height,
                   uint32_t channels, const char *const *text);
/* JPEG of [height][width][3], quality 1 to 100; malloc'd, NULL without memory. */
uint8_t *image_jpeg(const uint8_t *pixels, uint32_t width, uint32_t height, int quality, size_t *size);
/* Writes float32 [height][width][channels], or [height][width] when channels is 1, atomically. */
int image_save_npy(const char *path, const float *pixels, uint32_t width, uint32_t height,
                   uint32_t channels);

#endif
