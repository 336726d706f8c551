/* Picture files (image_io.h). The only file that knows stb. */
#include "app/image_io.h"
#include "vk/base/err.h"
#include "vk/base/file.h"
#include "vk/base/npy.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* stb's own deflate is slower and packs less; the hook has its signature. */
static unsigned char *deflate_rows(unsigned char *data, int size, int *out_size, int quality)
{
    uLongf room = compressBound((uLong)size);
    unsigned char *out = malloc(room);
    if (!out || compress2(out, &room, data, (uLong)size, quality) != Z_OK) {
        free(out);
        return NULL;
    }
    *out_size = (int)room;
    return out;
}

#define STBIW_ZLIB_COMPRESS deflate_rows
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_MAX_DIMENSIONS 16384
#pragma GCC diagnostic ignored "-Wunused-function" /* reported at the end of this file */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#include <stb/stb_image.h>
#include <stb/stb_image_write.h>
#pragma GCC diagnostic pop

enum { PNG_LEVEL = 5 };

static int load_npy(struct image *out, const char *path, const struct fv_map *map)
{
    struct fv_npy a;
    FV_TRY(fv_npy_parse(&a, map->data, map->size, path));
    size_t channels = a.rank == 2 ? 1 : a.rank == 3 ? a.dims[2] : 0;
    if ((channels != 1 && channels != 3 && channels != 4) || !a.dims[0] || !a.dims[1] ||
        a.dims[0] > 65536 || a.dims[1] > 65536) {
        fv_npy_close(&a);
        return fv_fail(FV_EFORMAT,
                       "%s: an array of rank %u is not a picture; expected [H,W], "
                       "[H,W,3] or [H,W,4]",
                       path, a.rank);
    }
    *out = (struct image){(uint32_t)a.dims[1], (uint32_t)a.dims[0], (uint32_t)channels, NULL};
    out->data = malloc(a.count * sizeof(float));
    if (out->data)
        fv_npy_get_f32(&a, out->data);
    fv_npy_close(&a);
    return out->data ? 0 : fv_fail(FV_ENOMEM, "%s: out of memory", path);
}

static int load_stb(struct image *out, const char *path, const struct fv_map *map)
{
    int w, h, n;
    if (map->size > INT_MAX)
        return fv_fail(FV_EFORMAT, "%s: larger than 2 GiB", path);
    bool hdr = stbi_is_hdr_from_memory(map->data, (int)map->size);
    bool deep = stbi_is_16_bit_from_memory(map->data, (int)map->size);
    void *pixels = hdr ? (void *)stbi_loadf_from_memory(map->data, (int)map->size, &w, &h, &n, 0)
                   : deep
                       ? (void *)stbi_load_16_from_memory(map->data, (int)map->size, &w, &h, &n, 0)
                       : stbi_load_from_memory(map->data, (int)map->size, &w, &h, &n, 0);
    if (!pixels)
        return fv_fail(FV_EFORMAT, "%s: not a readable picture: %s", path, stbi_failure_reason());
    size_t count = (size_t)w * (size_t)h * (size_t)n;
    *out = (struct image){(uint32_t)w, (uint32_t)h, (uint32_t)n, malloc(count * sizeof(float))};
    for (size_t i = 0; out->data && i < count; i++)
        out->data[i] = hdr    ? ((float *)pixels)[i]
                       : deep ? (float)((uint16_t *)pixels)[i] / 65535.0f
                              : (float)((uint8_t *)pixels)[i] / 255.0f;
    stbi_image_free(pixels);
    return out->data ? 0 : fv_fail(FV_ENOMEM, "%s: out of memory", path);
}

/* Grey with alpha has no use here: grey. */
static void drop_second_of_two(struct image *i)
{
    size_t n = (size_t)i->width * i->height;
    if (i->channels != 2)
        return;
    for (size_t p = 0; p < n; p++)
        i->data[p] = i->data[2 * p];
    i->channels = 1;
}

static bool starts(const struct fv_map *m, const char *magic, size_t n)
{
    return m->size >= n && !memcmp(m->data, magic, n);
}

int image_load(struct image *out, const char *path)
{
    struct fv_map map;
    *out = (struct image){0};
    FV_TRY(fv_map_open(&map, path));
    int rc = !map.size                      ? fv_fail(FV_EFORMAT, "%s: the file is empty", path)
             : starts(&map, "\x93NUMPY", 6) ? load_npy(out, path, &map)
                                            : load_stb(out, path, &map);
    fv_map_close(&map);
    if (rc >= 0)
        drop_second_of_two(out);
    return rc;
}

void image_finish(struct image *i)
{
    free(i->data);
    *i = (struct image){0};
}

bool image_is_picture(const char *path)
{
    struct fv_map map;
    if (fv_map_open(&map, path) < 0)
        return false;
    int w, h, n;
    bool yes = starts(&map, "\x93NUMPY", 6) ||
               (map.size && map.size < INT_MAX && image_has_suffix(path) &&
                stbi_info_from_memory(map.data, (int)map.size, &w, &h, &n));
    fv_map_close(&map);
    return yes;
}

bool image_has_suffix(const char *path)
{
    static const char *const suffixes[] = {".png", ".jpg", ".jpeg", ".bmp", ".tga", ".npy"};
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (fv_ends_with(path, suffixes[i]))
            return true;
    return false;
}

/* ---- writing ---------------------------------------------------------------------------- */

static void put_be32(uint8_t out[4], uint32_t v)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* A tEXt chunk: length, type, key NUL value, CRC of type and data. */
static void write_text(struct fv_writer *w, const char *key, const char *value)
{
    size_t nk = strlen(key) + 1, nv = strlen(value);
    uint8_t word[4];
    uLong crc = crc32(0, (const Bytef *)"tEXt", 4);
    crc = crc32(crc, (const Bytef *)key, (uInt)nk);
    crc = crc32(crc, (const Bytef *)value, (uInt)nv);
    put_be32(word, (uint32_t)(nk + nv));
    fv_write(w, word, 4);
    fv_write(w, "tEXt", 4);
    fv_write(w, key, nk);
    fv_write(w, value, nv);
    put_be32(word, (uint32_t)crc);
    fv_write(w, word, 4);
}

/* Of what lies between two edges, at least a pixel. */
static void mean(const struct image_part *in, const uint32_t x[2], const uint32_t y[2], uint8_t rgb[3])
{
    double sum[3] = {0}, count = 0;
    for (uint32_t v = y[0]; v == y[0] || v < y[1]; v++)
        for (uint32_t u = x[0]; u == x[0] || u < x[1]; u++, count++)
            for (uint32_t c = 0; c < 3; c++)
                sum[c] += (double)in->data[((size_t)v * in->stride + u) * in->channels + (in->channels < 3 ? 0 : c)];
    for (int c = 0; c < 3; c++)
        rgb[c] = (uint8_t)(fmin(fmax(sum[c] / count, 0), 1) * 255 + 0.5);
}

void image_shrink(const struct image_part *in, uint8_t *out, uint32_t width, uint32_t height, size_t step, size_t row)
{
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++) {
            const uint64_t w = in->width, h = in->height;
            const uint32_t across[2] = {(uint32_t)(x * w / width), (uint32_t)((x + 1) * w / width)};
            const uint32_t down[2] = {(uint32_t)(y * h / height), (uint32_t)((y + 1) * h / height)};
            mean(in, across, down, out + y * row + x * step);
        }
}

int image_save_png(const char *path, const uint8_t *pixels, uint32_t width, uint32_t height,
                   uint32_t channels, const char *const *text)
{
    enum { AFTER_IHDR = 8 + 12 + 13 };
    struct fv_writer w;
    int size = 0;
    if ((uint64_t)width * height * channels > INT_MAX / 2)
        return fv_fail(FV_EUNSUPPORTED, "%s: %ux%u is too large for PNG here; write .npy", path,
                       width, height);
    FV_TRY(fv_writer_open(&w, path));
    stbi_write_png_compression_level = PNG_LEVEL;
    unsigned char *png = stbi_write_png_to_mem(pixels, (int)(width * channels), (int)width,
                                               (int)height, (int)channels, &size);
    if (!png) {
        fv_writer_abort(&w);
        return fv_fail(FV_ENOMEM, "%s: out of memory", path);
    }
    fv_write(&w, png, AFTER_IHDR);
    for (; text && text[0] && text[1]; text += 2)
        write_text(&w, text[0], text[1]);
    fv_write(&w, png + AFTER_IHDR, (size_t)size - AFTER_IHDR);
    free(png);
    return fv_writer_commit(&w);
}

struct bytes {
    uint8_t *data;
    size_t size, room;
    bool failed;
};

static void append(void *ud, void *data, int size)
{
    struct bytes *b = ud;
    size_t n = (size_t)size;
    if (b->size + n > b->room) {
        uint8_t *grown = realloc(b->data, 2 * b->room + n);
        if (!grown) {
            b->failed = true;
            return;
        }
        b->data = grown;
        b->room = 2 * b->room + n;
    }
    memcpy(b->data + b->size, data, n);
    b->size += n;
}

uint8_t *image_jpeg(const uint8_t *pixels, uint32_t width, uint32_t height, int quality, size_t *size)
{
    struct bytes b = {0};
    int ok = stbi_write_jpg_to_func(append, &b, (int)width, (int)height, 3, pixels, quality);
    *size = b.size;
    if (ok && !b.failed)
        return b.data;
    free(b.data);
    return NULL;
}

int image_save_npy(const char *path, const float *pixels, uint32_t width, uint32_t height,
                   uint32_t channels)
{
    struct fv_writer w;
    size_t dims[3] = {height, width, channels};
    FV_TRY(fv_writer_open(&w, path));
    fv_npy_write(&w, pixels, dims, channels == 1 ? 2 : 3);
    return fv_writer_commit(&w);
}
