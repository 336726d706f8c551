/* Any bytes as a .sog bundle, whose checksums are put right first, or no change to a member
 * would get past them; or, when they do not begin like an archive, as a meta.json beside
 * images of 16 Gaussians. */
#include "fuzz.h"
#include "gs/sog.h"
#include "gs/webp.h"

#include <string.h>
#include <zlib.h>

enum { CENTRAL_SIZE = 46, LOCAL_SIZE = 30 };

static uint32_t u32_at(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Entry e of the central directory: the checksum of what it points at, if it is stored. */
static void mend(uint8_t *data, size_t size, uint8_t *e)
{
    size_t local = u32_at(e + 42), length = u32_at(e + 20);
    if (local > size || size - local < LOCAL_SIZE)
        return;
    const uint8_t *l = data + local;
    size_t start = local + LOCAL_SIZE + (size_t)(l[26] | l[27] << 8) + (size_t)(l[28] | l[29] << 8);
    if (start > size || size - start < length)
        return;
    uint32_t crc = (uint32_t)crc32_z(0, data + start, length);
    for (int k = 0; k < 4; k++)
        e[16 + k] = (uint8_t)(crc >> 8 * k);
}

static void as_bundle(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size);
    if (!copy)
        return;
    memcpy(copy, data, size);
    for (size_t at = 0; at + CENTRAL_SIZE <= size; at++)
        if (u32_at(copy + at) == 0x02014b50)
            mend(copy, size, copy + at);
    fuzz_scene(copy, size, GS_FORMAT_SOG);
    free(copy);
}

/* An image member named so, of width x height equal texels. */
static void draw(struct fv_zip_member *m, const char *name, uint32_t width, uint32_t height)
{
    struct gs_image im = {width, height, malloc((size_t)width * height * 4)};
    uint8_t *out;
    size_t size;
    fuzz_check(im.rgba);
    for (size_t i = 0; i < (size_t)width * height * 4; i++)
        im.rgba[i] = (uint8_t)(i % 4 == 1 ? 0 : i % 4 == 3 ? 254 : 7);
    fuzz_check(gs_webp_write(&out, &size, &im) == 0);
    *m = (struct fv_zip_member){.name = strdup(name),
                                .packed = out,
                                .packed_size = (uint32_t)size,
                                .size = (uint32_t)size,
                                .crc = (uint32_t)crc32_z(0, out, size)};
    gs_image_free(&im);
}

static void as_meta(const uint8_t *data, size_t size)
{
    static struct fv_zip_member members[6]; /* drawn once; the fuzzer runs in one thread */
    static const struct fv_zip zip = {"fuzz", members, 6};
    if (!members[0].name) {
        draw(&members[0], "a.webp", 4, 4);
        draw(&members[1], "3.webp", 192, 1);
        draw(&members[2], "8.webp", 512, 1);
        draw(&members[3], "15.webp", 960, 1);
        draw(&members[4], "wide.webp", 64, 1);
        draw(&members[5], "small.webp", 2, 2);
    }
    const struct sog_source from = {.name = "fuzz", .zip = &zip, .dir = ""};
    const struct gs_blob meta = {.data = data, .size = size};
    struct gs_scene s;
    if (sog_read(&s, &from, &meta, NULL) == 0) {
        fuzz_check(s.sh_degree >= 0 && s.sh_degree <= 3);
        gs_scene_finish(&s);
    } else {
        fuzz_check(!s.position && *fv_error());
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size >= 2 && !memcmp(data, "PK", 2))
        as_bundle(data, size);
    else
        as_meta(data, size);
    return 0;
}
