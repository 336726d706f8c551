/* Streams whose bases are models of another room (gs.h, gs_stream_keys): their bytes in chunks, and files
 * of them. Here they are bytes: what they say is that room's.
 *
 *   payload = u32 count, u8 0 0 0, u8 4, u32 size, ZSTD frame of that many bytes */
#include "gs/stream_file.h"

#include <stdlib.h>
#include <zstd.h>

enum {
    ZSTD_LEVEL = 12, /* planes of numbers: more finds nothing */
    MOST_TIMES = 256, /* what is packed grows by, and: */
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    FREE_BYTES = 2 << 20,
#else
    FREE_BYTES = 16 << 20,
#endif
    HEAD = 12,
};

int gs_put_anchors(struct gs_bytes *out, uint32_t frame, uint32_t count, const void *data, size_t size)
{
    struct gs_bytes body = {0};
    static const uint8_t small[4] = {0, 0, 0, GS_BASE_ANCHORS};
    size_t room = ZSTD_compressBound(size);
    if (size > GS_CHUNK_MOST || room > GS_CHUNK_MOST - HEAD)
        return fv_fail(FV_EUNSUPPORTED, "frame %u: %zu bytes of anchors; a frame takes up to 2^30", frame, size);
    void *packed = malloc(room);
    if (!packed)
        return fv_fail(FV_ENOMEM, "out of memory");
    size_t n = ZSTD_compress(packed, room, data, size, ZSTD_LEVEL);
    if (ZSTD_isError(n)) {
        free(packed);
        return fv_fail(FV_ENOMEM, "ZSTD: %s", ZSTD_getErrorName(n));
    }
    gs_bytes_u32(&body, count);
    gs_bytes_put(&body, small, sizeof small);
    gs_bytes_u32(&body, (uint32_t)size);
    gs_bytes_put(&body, packed, n);
    gs_bytes_chunk(out, GS_CHUNK_BASE, frame, body.data, body.size);
    out->failed = out->failed || body.failed;
    free(body.data);
    free(packed);
    return out->failed ? fv_fail(FV_ENOMEM, "out of memory") : 0;
}

int gs_get_anchors(void **data, size_t *size, const struct gs_stream_chunk *chunk, const char *name)
{
    struct fv_cursor c = fv_cursor_over(chunk->data, chunk->size);
    (void)fv_get_bytes(&c, 8);
    *size = fv_get_u32(&c);
    size_t left = fv_cursor_left(&c);
    const uint8_t *packed = fv_get_bytes(&c, left);
    if (c.failed || !*size || *size > GS_CHUNK_MOST || *size > (uint64_t)left * MOST_TIMES + FREE_BYTES)
        return fv_fail(FV_EFORMAT, "%s: frame %u: %zu bytes of anchors in %u", name, chunk->frame, *size,
                       chunk->size);
    *data = malloc(*size);
    if (!*data)
        return fv_fail(FV_ENOMEM, "out of memory");
    size_t n = ZSTD_decompress(*data, *size, packed, left);
    if (n == *size)
        return 0;
    free(*data);
    return fv_fail(FV_EFORMAT, "%s: frame %u: its anchors are damaged: %s", name, chunk->frame,
                   ZSTD_isError(n) ? ZSTD_getErrorName(n) : "too few bytes");
}

/* ---- files ---- */

static int write_key(struct gs_stream_out *out, uint32_t frame, const struct gs_stream_key *key,
                     const struct gs_stream_opts *o, struct gs_stream_report *report)
{
    struct gs_bytes chunks = {0};
    struct gs_section none[GS_SECTIONS] = {0};
    int rc = gs_put_anchors(&chunks, frame, key->count, key->data, key->size);
    if (rc < 0) {
        free(chunks.data);
        return rc;
    }
    struct gs_stream_coded told = {GS_FRAME_BASE, key->count, chunks.size, key->psnr, key->ssim};
    FV_TRY(gs_stream_out_frame(out, GS_FRAME_BASE, &chunks, none, report));
    if (o->on_frame)
        o->on_frame(o->frame_ud, &told);
    return 0;
}

int gs_stream_write_keys(const char *path, uint32_t frame_count, gs_keys_fn *key, void *key_ud,
                         const struct gs_scene *about, const struct gs_stream_opts *o,
                         struct gs_stream_report *report)
{
    struct gs_stream_out out;
    double sum = 0;
    *report = (struct gs_stream_report){0};
    if (!frame_count || frame_count > GS_STREAM_MAX_FRAMES)
        return fv_fail(FV_EINVALID, "%u frames, expected 1 to %d", frame_count, GS_STREAM_MAX_FRAMES);
    FV_TRY(gs_stream_out_open(&out, path, o->live));
    out.version = GS_STREAM_VERSION_ANCHORS;
    int rc = gs_stream_out_header(&out, about, o->fps > 0 ? o->fps : 30, 1, o->start);
    for (uint32_t f = 0; f < frame_count && rc == 0; f++) {
        struct gs_stream_key k = {0};
        struct fv_progress p = {"encoding", f, frame_count};
        if (o->on_progress && o->on_progress(o->ud, &p))
            rc = fv_fail(FV_ECANCELLED, "cancelled at frame %u of %u", f, frame_count);
        rc = rc == 0 ? key(key_ud, f, &k) : rc;
        rc = rc == 0 ? write_key(&out, f, &k, o, report) : rc;
        free(k.data);
        sum += k.psnr;
    }
    rc = gs_stream_out_end(&out, rc);
    report->bytes = out.written;
    report->psnr = report->bases ? sum / report->bases : 0;
    return rc;
}
