/* Any bytes as an .fvv file, the sums of its chunks put right: every frame that it has, forwards and
 * from the end. */
#include "folder.h"
#include "gs/stream_file.h"

#include <zlib.h>

static void mend_sums(uint8_t *data, size_t size)
{
    struct fv_cursor c = fv_cursor_over(data, size);
    struct gs_chunk chunk;
    bool whole, cut;
    c.at = GS_STREAM_PREFIX;
    while (fv_cursor_left(&c) > 0) {
        uint8_t *head = data + c.at;
        if (!gs_get_chunk(&c, &chunk, &whole, &cut))
            break;
        uint32_t sum = (uint32_t)crc32_z(crc32_z(0, head, 8), chunk.data, chunk.size);
        for (int k = 0; k < 4; k++)
            head[8 + k] = (uint8_t)(sum >> 8 * k);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { FRAMES = 12 };
    struct gs_stream *s;
    struct gs_scene scene = {0};
    uint8_t *mended = malloc(size + 1);
    fuzz_check(mended);
    memcpy(mended, data, size);
    if (size > GS_STREAM_PREFIX)
        mend_sums(mended, size);
    fuzz_folder_make();
    fuzz_write("a.fvv", mended, size);
    free(mended);
    if (gs_stream_open(&s, fuzz_path("a.fvv")) < 0) {
        fuzz_check(!s && *fv_error());
        return 0;
    }
    uint32_t n = gs_stream_info(s)->frame_count;
    fuzz_check(n > 0);
    for (uint32_t k = 0; k < 2 * FRAMES; k++) {
        uint32_t f = k < FRAMES ? k : n - 1 - (k - FRAMES);
        if (f < n && gs_stream_decode(s, f, (int)(k % 4), &scene) == 0)
            fuzz_check(scene.count > 0 && !gs_scene_has_bad(&scene));
    }
    gs_scene_finish(&scene);
    gs_stream_close(&s);
    return 0;
}
