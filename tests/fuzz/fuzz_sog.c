/* Any bytes as a .sog bundle, whose checksums are put right first, or no change to a member
 * would get past them; or, when they do not begin like an archive, as a meta.json beside
 * images of 16 Gaussians. */
#include "fuzz.h"
#include "gs/sog.h"
#include "gs/webp.h"
#include "mend.h"

#include <string.h>

static void as_bundle(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size);
    if (!copy)
        return;
    memcpy(copy, data, size);
    mend_zip(copy, size);
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
