/* Any bytes as an .fvv file, the sums of its chunks mostly put right and anchors compressed, from a source
 * that has them or from one that is slow: frames forwards, then some from the end. */
#include "fuzz.h"
#include "gs/stream_file.h"
#include "neural/neural.h"

#include <string.h>
#include <zlib.h>

/* The next chunk's head; NULL where there is none. */
static uint8_t *next_chunk(uint8_t *data, struct fv_cursor *c, struct gs_stream_chunk *chunk)
{
    bool whole, cut;
    uint8_t *head = data + c->at;
    return fv_cursor_left(c) > 0 && gs_get_chunk(c, chunk, &whole, &cut) ? head : NULL;
}

/* Anchors that are not compressed are taken for what should be: bits of a ZSTD frame cannot be changed without
 * all that follows being lost. The index then is of another file, and is left out. NULL: there are none. */
static uint8_t *pack_anchors(uint8_t *data, size_t *size)
{
    enum { HEAD = 12, MAGIC = 0x28 };
    struct fv_cursor c = fv_cursor_over(data, *size);
    struct gs_stream_chunk chunk;
    struct gs_bytes out = {0};
    bool any = false;
    gs_bytes_put(&out, data, GS_STREAM_PREFIX);
    c.at = GS_STREAM_PREFIX;
    for (uint8_t *head; (head = next_chunk(data, &c, &chunk));) {
        bool anchors = chunk.kind == GS_CHUNK_BASE && chunk.size > HEAD && chunk.data[7] == GS_BASE_ANCHORS &&
                       chunk.data[HEAD] != MAGIC;
        any = any || anchors;
        if (anchors)
            fuzz_check(gs_put_anchors(&out, chunk.frame, (uint32_t)chunk.data[0], chunk.data + HEAD,
                                      chunk.size - HEAD) == 0);
        else if (chunk.kind != GS_CHUNK_INDEX)
            gs_bytes_put(&out, head, GS_CHUNK_HEAD + chunk.size);
    }
    if (!any || out.failed) {
        free(out.data);
        return NULL;
    }
    *size = out.size;
    return out.data;
}

static void mend_sums(uint8_t *data, size_t size)
{
    struct fv_cursor c = fv_cursor_over(data, size);
    struct gs_stream_chunk chunk;
    c.at = GS_STREAM_PREFIX;
    for (uint8_t *head; (head = next_chunk(data, &c, &chunk));) {
        uint32_t sum = (uint32_t)crc32_z(crc32_z(0, head, 8), chunk.data, chunk.size);
        for (int k = 0; k < 4; k++)
            head[8 + k] = (uint8_t)(sum >> 8 * k);
    }
}

/* The bytes as a source: all at once, or a few more with every question, in order, growing, with
 * failures between. */
struct bytes {
    const uint8_t *data;
    size_t size, there;
    uint32_t random;
    bool slow, in_order, grows, fails;
};

static uint32_t draw(struct bytes *b)
{
    b->random = b->random * 1664525u + 1013904223u;
    return b->random >> 16;
}

static int bytes_info(void *ud, struct gs_source_info *out)
{
    struct bytes *b = ud;
    if (b->slow && draw(b) % 4 == 0)
        return fv_fail(FV_EAGAIN, "wait");
    *out = (struct gs_source_info){b->grows ? b->there : b->size, b->grows, b->in_order};
    if (b->in_order && draw(b) % 2)
        out->size = UINT64_MAX;
    return 0;
}

static int bytes_read(void *ud, uint64_t offset, void *dst, size_t size, size_t *got)
{
    struct bytes *b = ud;
    *got = 0;
    if (b->fails && draw(b) % 32 == 0)
        return fv_fail(FV_EIO, "lost");
    bool end = b->there == b->size;
    if (b->slow && !end && (offset > b->there || size > b->there - offset)) {
        size_t more = draw(b) % 512;
        b->there = more < b->size - b->there ? b->there + more : b->size;
        return fv_fail(FV_EAGAIN, "wait");
    }
    if (offset < b->there) {
        *got = size < b->there - offset ? size : (size_t)(b->there - offset);
        memcpy(dst, b->data + offset, *got);
    }
    if (end)
        b->grows = false;
    return 0;
}

static void bytes_want(void *ud, const struct gs_range *ranges, size_t count)
{
    (void)ud;
    for (size_t k = 0; k < count; k++)
        fuzz_check(ranges[k].offset + ranges[k].size >= ranges[k].offset);
}

static uint64_t bytes_have(void *ud, uint64_t offset)
{
    struct bytes *b = ud;
    return offset < b->there ? b->there - offset : 0;
}

static void play(struct bytes *b)
{
    struct nl_stream_view how = {.bake = b->random & 1, .has_eye = b->random & 2, .eye = {0.1, 0.2, -3}};
    const struct gs_stream_keys keys = nl_stream_keys(&how);
    enum { FRAMES = 12, SEEKS = 3 };
    const struct gs_source source = {b, bytes_info, bytes_read, bytes_want, bytes_have, NULL};
    struct gs_stream *s = NULL;
    struct gs_scene scene = {0};
    int rc;
    while ((rc = gs_stream_open_source(&s, &source, "fuzz")) == FV_EAGAIN)
        fuzz_check(s && *fv_error());
    if (rc < 0) {
        fuzz_check(!s && *fv_error());
        return;
    }
    const struct gs_stream_info *i = gs_stream_info(s);
    if (b->random & 28) /* else it has nobody for its anchors */
        gs_stream_set_keys(s, &keys);
    for (uint32_t k = 0; k < FRAMES + SEEKS; k++) {
        uint32_t known = i->frame_count;
        if (k < FRAMES && k >= known)
            while ((rc = gs_stream_more(s)) == FV_EAGAIN)
                ;
        fuzz_check(i->frame_count >= known && known > 0);
        uint32_t n = i->frame_count, f = k < FRAMES ? k : n - 1 - (k - FRAMES);
        if (f >= n)
            continue;
        gs_stream_want(s, f, 5, (int)(k / 6), k % 2);
        fuzz_check(gs_stream_ahead(s, f, 9, 3) <= 9 && gs_stream_bytes(s, f, 3, 3) < UINT64_MAX);
        fuzz_check(gs_stream_next_group(s, f) > f && gs_stream_next_group(s, f) <= n);
        while ((rc = gs_stream_decode(s, f, (int)(k / 6), &scene)) == FV_EAGAIN)
            ;
        if (rc == 0)
            fuzz_check(scene.count > 0 && (i->model == GS_STREAM_ANCHORS || !gs_scene_has_bad(&scene)));
        while (gs_stream_verify(s, f) == FV_EAGAIN)
            ;
    }
    gs_scene_finish(&scene);
    gs_stream_close(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *mended = calloc(size + 1, 1);
    fuzz_check(mended);
    if (size)
        memcpy(mended, data, size);
    uint32_t dice = (uint32_t)crc32_z(0, mended, size);
    if (size > GS_STREAM_PREFIX && dice % 4) /* else what is damaged is looked over */
        mend_sums(mended, size);
    uint8_t *packed = size > GS_STREAM_PREFIX ? pack_anchors(mended, &size) : NULL;
    if (packed) {
        free(mended);
        mended = packed;
    }
    bool slow = dice & 64;
    play(&(struct bytes){mended, size, slow ? 0 : size, dice, slow, .in_order = dice & 8,
                         .grows = slow && dice & 16, .fails = slow && dice & 32});
    free(mended);
    return 0;
}

#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed);

/* Mostly the payload of one chunk, which may become longer or shorter without what comes after it
 * being lost. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed)
{
    enum { MOST_CHUNKS = 256 };
    struct fv_cursor c = fv_cursor_over(data, size);
    struct gs_stream_chunk chunk;
    size_t at[MOST_CHUNKS], n = 0;
    c.at = GS_STREAM_PREFIX;
    for (uint8_t *head; n < MOST_CHUNKS && (head = next_chunk(data, &c, &chunk));)
        at[n++] = (size_t)(head - data);
    if (size <= GS_STREAM_PREFIX || size >= most || !n || seed % 8 == 0)
        return LLVMFuzzerMutate(data, size, most);
    c.at = at[seed / 8 % n];
    uint8_t *head = next_chunk(data, &c, &chunk);
    size_t end = c.at, room = most - (size - chunk.size);
    uint8_t *payload = malloc(room + 1);
    fuzz_check(payload);
    memcpy(payload, head + GS_CHUNK_HEAD, chunk.size);
    size_t now = LLVMFuzzerMutate(payload, chunk.size, room);
    memmove(head + GS_CHUNK_HEAD + now, data + end, size - end);
    memcpy(head + GS_CHUNK_HEAD, payload, now);
    for (int k = 0; k < 4; k++)
        head[4 + k] = (uint8_t)(now >> 8 * k);
    free(payload);
    return size - chunk.size + now;
}
#endif
