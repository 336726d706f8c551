/* SPZ reader, versions 1 to 4 (layout in spz.h; Niantic's nianticlabs/spz defines the format).
 *
 * What a header claims is never believed before the bytes are there: gzip data grow as they
 * are decompressed, ZSTD streams must fit a count the file's size can hold. */
#include "gs/scene.h"
#include "gs/spz.h"
#include "vk/base/half.h"
#include "vk/base/thread.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#define EXT_SAFE_ORBIT  0xADBE0002u /* where a viewer may orbit: 3 f32, not used here */
#define EXT_COORDINATES 0xADBE0003u

enum {
    AXES_RUB = 4,
    AXES_LAST = 16,
    /* Extension records kept of a gzip stream; camera limits and the like are bytes. */
    MAX_EXTENSIONS = 1 << 20,
    /* A file may claim this many points at any size, and as many more a byte. Captured scenes
     * take more than 5 bytes a point, so only bombs are refused. */
    POINTS_FREE = 1 << 20,
    POINTS_PER_BYTE = 16,
};

struct spz {
    const char *name;
    uint32_t version, count;
    int file_degree, sh_degree; /* stored; kept (bands above 3 are left out) */
    int fraction_bits;
    bool antialiased, has_extensions, says_axes;
    uint32_t axes; /* 1..16, see axis_signs */
    const uint8_t *stream[SPZ_STREAMS];
    void *heap[SPZ_STREAMS];
};

/* ---- header and extensions ---- */

static int parse_header(struct spz *f, const uint8_t *data, size_t file_size)
{
    struct fv_cursor c = fv_cursor_over(data, SPZ_HEADER);
    if (fv_get_u32(&c) != SPZ_MAGIC)
        return fv_fail(FV_EFORMAT, "%s: is not an SPZ file: magic is not NGSP", f->name);
    f->version = fv_get_u32(&c);
    f->count = fv_get_u32(&c);
    f->file_degree = fv_get_u8(&c);
    f->fraction_bits = fv_get_u8(&c);
    uint8_t flags = fv_get_u8(&c);
    f->antialiased = flags & SPZ_FLAG_ANTIALIASED;
    f->has_extensions = flags & SPZ_FLAG_EXTENSIONS;
    f->axes = AXES_RUB;
    if (f->version < 1 || f->version > SPZ_LATEST)
        return fv_fail(FV_EUNSUPPORTED, "%s: SPZ version %u; versions 1 to %d are read", f->name,
                       f->version, SPZ_LATEST);
    if (f->file_degree > 4)
        return fv_fail(FV_EFORMAT, "%s: SH degree %d; SPZ has 0 to 4", f->name, f->file_degree);
    if (f->fraction_bits > 24)
        return fv_fail(FV_EFORMAT, "%s: %d fraction bits in 24-bit positions", f->name,
                       f->fraction_bits);
    if (!f->count)
        return fv_fail(FV_EFORMAT, "%s: point count is 0; the scene is empty", f->name);
    if (f->count > POINTS_FREE && (f->count - POINTS_FREE) / POINTS_PER_BYTE > file_size)
        return fv_fail(FV_EFORMAT, "%s: point count %u is more than %zu bytes can hold", f->name,
                       f->count, file_size);
    f->sh_degree = f->file_degree < 3 ? f->file_degree : 3;
    return 0;
}

static int parse_extensions(struct spz *f, const uint8_t *data, size_t size)
{
    struct fv_cursor c = fv_cursor_over(data, size);
    while (fv_cursor_left(&c) >= 8) {
        uint32_t type = fv_get_u32(&c), length = fv_get_u32(&c);
        const uint8_t *payload = fv_get_bytes(&c, length);
        if (!payload)
            return fv_fail(FV_EFORMAT, "%s: extension %08x of %u bytes is cut short", f->name, type,
                           length);
        struct fv_cursor p = fv_cursor_over(payload, length);
        if (type == EXT_SAFE_ORBIT && length < 12)
            return fv_fail(FV_EFORMAT, "%s: safe-orbit extension of %u bytes; it has 12", f->name,
                           length);
        if (type != EXT_COORDINATES)
            continue;
        uint32_t axes = fv_get_u32(&p);
        if (p.failed || axes > AXES_LAST)
            return fv_fail(FV_EUNSUPPORTED,
                           "%s: coordinate-system extension says %u; 1 to %d are "
                           "known",
                           f->name, axes, AXES_LAST);
        f->axes = axes ? axes : AXES_RUB;
        f->says_axes = axes != 0;
    }
    return 0;
}

/* Number axes-1 has one bit a direction: 1 = x to the right (else left), 2 = the vertical axis
 * up (else down), 4 = the depth axis forward (else back). From 9 on y and z have changed places
 * and bit 4 means back. Signs that bring the stored numbers to right-down-forward, followed by
 * a quarter turn about x (x,y,z) -> (x,z,-y) when *turned. */
static void axis_signs(const struct spz *f, bool raw, float sign[3], bool *turned)
{
    uint32_t bits = (f->axes - 1) & 7;
    *turned = !raw && f->axes > 8;
    sign[0] = sign[1] = sign[2] = 1;
    if (raw)
        return;
    float right = bits & 1 ? 1.0f : -1.0f, down = bits & 2 ? -1.0f : 1.0f;
    float forward = (bits & 4 ? 1.0f : -1.0f) * (*turned ? -1.0f : 1.0f);
    sign[0] = right;
    sign[1] = *turned ? -forward : down;
    sign[2] = *turned ? down : forward;
}

/* ---- decoding ---- */

struct decode {
    const struct spz *f;
    struct gs_scene *s;
    float sign[3];
};

static void decode_position(const struct decode *d, size_t i, float *out)
{
    const struct spz *f = d->f;
    const uint8_t *p = f->stream[SPZ_POSITION] + i * spz_stride(SPZ_POSITION, f->version, 0);
    for (int k = 0; k < 3; k++) {
        float v;
        if (f->version == 1) {
            v = fv_f16_to_f32((uint16_t)(p[2 * k] | p[2 * k + 1] << 8));
        } else {
            int32_t fixed = p[3 * k] | p[3 * k + 1] << 8 | p[3 * k + 2] << 16;
            fixed -= (fixed & 0x800000) << 1;
            v = (float)fixed * (1.0f / (float)(1 << f->fraction_bits));
        }
        out[k] = v * d->sign[k];
    }
}

static void decode_rotation(const struct decode *d, size_t i, float *out)
{
    const struct spz *f = d->f;
    float q[4]; /* x,y,z,w */
    if (f->version < 3) {
        const uint8_t *p = f->stream[SPZ_ROTATION] + 3 * i;
        float left = 1;
        for (int k = 0; k < 3; k++) {
            q[k] = (float)p[k] * (1.0f / 127.5f) - 1.0f;
            left -= q[k] * q[k];
        }
        q[3] = sqrtf(left > 0 ? left : 0);
    } else {
        const uint8_t *p = f->stream[SPZ_ROTATION] + 4 * i;
        uint32_t packed =
            (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        int largest = (int)(packed >> 30);
        float left = 1;
        for (int k = 3; k >= 0; k--) {
            if (k == largest)
                continue;
            float v = (float)M_SQRT1_2 * (float)(packed & 511) / 511.0f;
            q[k] = packed & 512 ? -v : v;
            left -= v * v;
            packed >>= 10;
        }
        q[largest] = sqrtf(left > 0 ? left : 0);
    }
    const float *s = d->sign;
    out[0] = q[3];
    out[1] = q[0] * s[1] * s[2];
    out[2] = q[1] * s[0] * s[2];
    out[3] = q[2] * s[0] * s[1];
}

static int decode_points(void *ud, size_t begin, size_t end)
{
    const struct decode *d = ud;
    const struct spz *f = d->f;
    struct gs_scene *s = d->s;
    int coefs = gs_sh_coefs(s->sh_degree);
    size_t sh_stride = spz_stride(SPZ_SH, f->version, f->file_degree);
    float sh_scale[16];
    for (int k = 1; k < coefs; k++)
        sh_scale[k] = gs_sh_flip_sign(k, d->sign[0], d->sign[1], d->sign[2]) / 128.0f;
    for (size_t i = begin; i < end; i++) {
        decode_position(d, i, s->position + 3 * i);
        decode_rotation(d, i, s->rotation + 4 * i);
        float alpha = (float)f->stream[SPZ_ALPHA][i] / 255.0f;
        s->opacity[i] = logf(alpha / (1.0f - alpha));
        float *sh = s->sh + i * (size_t)coefs * 3;
        for (size_t k = 0; k < 3; k++) {
            s->scale[3 * i + k] = (float)f->stream[SPZ_SCALE][3 * i + k] / 16.0f - 10.0f;
            sh[k] = ((float)f->stream[SPZ_COLOR][3 * i + k] / 255.0f - 0.5f) / SPZ_COLOR_SCALE;
        }
        for (size_t k = 3; k < 3 * (size_t)coefs; k++)
            sh[k] = ((float)f->stream[SPZ_SH][i * sh_stride + k - 3] - 128.0f) * sh_scale[k / 3];
    }
    return 0;
}

/* All streams are there: builds the scene. */
static int build_scene(struct gs_scene *out, const struct spz *f, const struct gs_load_opts *opts)
{
    struct decode d = {.f = f, .s = out};
    bool turned, raw = opts && opts->spz_raw_axes;
    axis_signs(f, raw, d.sign, &turned);
    FV_TRY(gs_scene_alloc(out, f->count, f->sh_degree));
    out->mode = f->antialiased ? GS_MODE_ANTIALIASED : GS_MODE_AUTO;
    int rc = gs_for_rows(f->count, decode_points, &d, "reading", opts ? opts->on_progress : NULL,
                         opts ? opts->ud : NULL);
    if (rc == 0 && turned) {
        const float quarter[4] = {(float)M_SQRT1_2, -(float)M_SQRT1_2, 0, 0}, none[3] = {0};
        rc = gs_scene_transform(out, quarter, 1, none);
    }
    if (rc < 0) {
        gs_scene_finish(out);
        return rc;
    }
    snprintf(out->detail, sizeof out->detail, "spz v%u, axes %s%s", f->version,
             raw            ? "as stored"
             : f->says_axes ? "as it says"
                            : "right-up-back (unstated)",
             f->file_degree > 3 ? ", SH cut from 4" : "");
    return 0;
}

/* ---- versions 1 to 3 ---- */

/* The decompressed bytes: of a gzip stream, or of a file that was never compressed. */
struct source {
    z_stream z;
    const uint8_t *data; /* next bytes when plain, else not yet fed to zlib */
    size_t left;
    bool plain, ended;
};

/* Up to n bytes into out; *got says how many. */
static int source_read(struct source *r, const char *name, uint8_t *out, size_t n, size_t *got)
{
    *got = 0;
    if (r->plain) {
        *got = n < r->left ? n : r->left;
        memcpy(out, r->data, *got);
        r->data += *got;
        r->left -= *got;
        return 0;
    }
    while (*got < n && !r->ended) {
        size_t room = n - *got < 1 << 30 ? n - *got : 1 << 30;
        size_t feed = r->left < 1 << 30 ? r->left : 1 << 30;
        r->z.next_in = (Bytef *)(uintptr_t)r->data;
        r->z.avail_in = (uInt)feed;
        r->z.next_out = out + *got;
        r->z.avail_out = (uInt)room;
        int rc = inflate(&r->z, Z_NO_FLUSH);
        size_t used = feed - r->z.avail_in, made = room - r->z.avail_out;
        r->data += used;
        r->left -= used;
        *got += made;
        r->ended = rc == Z_STREAM_END;
        if (rc == Z_MEM_ERROR)
            return fv_fail(FV_ENOMEM, "%s: out of memory", name);
        if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
            return fv_fail(FV_EFORMAT, "%s: gzip data are damaged: %s", name,
                           r->z.msg ? r->z.msg : "bad stream");
        if (!used && !made)
            break; /* cut short; the caller counts */
    }
    return 0;
}

/* need bytes into a buffer that grows with what really arrives. Caller frees *out. */
static int read_arrays(struct source *r, const struct spz *f, size_t need, uint8_t **out)
{
    size_t have = 0, room = need < 1 << 20 ? need : 1 << 20;
    *out = NULL;
    while (have < need) {
        if (have == room)
            room = room > need / 2 ? need : 2 * room;
        uint8_t *grown = realloc(*out, room);
        if (!grown)
            return fv_fail(FV_ENOMEM, "%s: out of memory for %u points", f->name, f->count);
        *out = grown;
        size_t got;
        FV_TRY(source_read(r, f->name, grown + have, room - have, &got));
        have += got;
        if (have < room)
            return fv_fail(FV_EFORMAT, "%s: is cut short: %u points take %zu bytes, %zu are there",
                           f->name, f->count, need, have);
    }
    return 0;
}

/* Extension records behind the arrays; reading on to the end also lets zlib verify its
 * checksum. */
static int read_tail(struct source *r, struct spz *f)
{
    uint8_t *tail = malloc(MAX_EXTENSIONS);
    size_t got = 0;
    if (!tail)
        return fv_fail(FV_ENOMEM, "%s: out of memory", f->name);
    int rc = source_read(r, f->name, tail, MAX_EXTENSIONS, &got);
    if (rc == 0 && got == MAX_EXTENSIONS)
        rc = fv_fail(FV_EFORMAT, "%s: more than %d bytes follow the %u points", f->name,
                     MAX_EXTENSIONS, f->count);
    if (rc == 0 && !r->plain && !r->ended)
        rc = fv_fail(FV_EFORMAT, "%s: is cut short: the gzip stream has no end", f->name);
    if (rc == 0 && f->has_extensions)
        rc = parse_extensions(f, tail, got);
    free(tail);
    return rc;
}

static int read_legacy_from(struct gs_scene *out, struct source *r, struct spz *f, size_t file_size,
                            const struct gs_load_opts *opts)
{
    uint8_t header[SPZ_HEADER];
    size_t got, need = 0;
    FV_TRY(source_read(r, f->name, header, sizeof header, &got));
    if (got < sizeof header)
        return fv_fail(FV_EFORMAT, "%s: is cut short: %zu bytes of a header of %zu", f->name, got,
                       sizeof header);
    FV_TRY(parse_header(f, header, file_size));
    if (f->version > 3)
        return fv_fail(FV_EFORMAT, "%s: version %u inside gzip; only 1 to 3 are gzip streams",
                       f->name, f->version);
    for (int k = 0; k < SPZ_STREAMS; k++)
        need += f->count * spz_stride(k, f->version, f->file_degree);
    uint8_t *arrays = NULL;
    int rc = read_arrays(r, f, need, &arrays);
    if (rc == 0)
        rc = read_tail(r, f);
    const uint8_t *at = arrays;
    for (int k = 0; k < SPZ_STREAMS && rc == 0; k++) {
        f->stream[k] = at;
        at += f->count * spz_stride(k, f->version, f->file_degree);
    }
    if (rc == 0)
        rc = build_scene(out, f, opts);
    free(arrays);
    return rc;
}

static int read_legacy(struct gs_scene *out, const uint8_t *data, size_t size, struct spz *f,
                       const struct gs_load_opts *opts)
{
    struct source r = {.data = data, .left = size};
    r.plain = size < 2 || data[0] != 0x1f || data[1] != 0x8b;
    if (!r.plain && inflateInit2(&r.z, 16 + MAX_WBITS) != Z_OK)
        return fv_fail(FV_ENOMEM, "%s: out of memory", f->name);
    int rc = read_legacy_from(out, &r, f, size, opts);
    if (!r.plain)
        inflateEnd(&r.z);
    return rc;
}

/* ---- version 4 ---- */

struct table {
    struct spz *f;
    const uint8_t *packed[SPZ_STREAMS];
    size_t packed_size[SPZ_STREAMS];
};

static int unpack_streams(void *ud, size_t begin, size_t end)
{
    struct table *t = ud;
    struct spz *f = t->f;
    for (size_t k = begin; k < end; k++) {
        size_t size = f->count * spz_stride((int)k, f->version, f->file_degree);
        if (!size)
            continue;
        unsigned long long says = ZSTD_getFrameContentSize(t->packed[k], t->packed_size[k]);
        if (says == ZSTD_CONTENTSIZE_ERROR || (says != ZSTD_CONTENTSIZE_UNKNOWN && says != size))
            return fv_fail(FV_EFORMAT, "%s: stream %zu is not a ZSTD frame of %zu bytes", f->name,
                           k, size);
        f->heap[k] = malloc(size);
        if (!f->heap[k])
            return fv_fail(FV_ENOMEM, "%s: out of memory for %u points", f->name, f->count);
        f->stream[k] = f->heap[k];
        size_t got = ZSTD_decompress(f->heap[k], size, t->packed[k], t->packed_size[k]);
        if (ZSTD_isError(got))
            return fv_fail(FV_EFORMAT, "%s: stream %zu is damaged: %s", f->name, k,
                           ZSTD_getErrorName(got));
        if (got != size)
            return fv_fail(FV_EFORMAT, "%s: stream %zu has %zu bytes where %u points take %zu",
                           f->name, k, got, f->count, size);
    }
    return 0;
}

/* Finds every stream through the table, checking sizes against the count and the file. */
static int read_table(struct table *t, const uint8_t *data, size_t size, uint32_t offset,
                      int streams)
{
    const struct spz *f = t->f;
    int expected = f->file_degree ? SPZ_STREAMS : SPZ_STREAMS - 1;
    if (streams != expected)
        return fv_fail(FV_EFORMAT, "%s: %d streams; SH degree %d has %d", f->name, streams,
                       f->file_degree, expected);
    struct fv_cursor c = fv_cursor_over(data, size), body = c;
    fv_get_bytes(&c, offset);
    fv_get_bytes(&body, offset + 16 * (size_t)streams);
    for (int k = 0; k < streams; k++) {
        uint64_t packed = fv_get_u64(&c), unpacked = fv_get_u64(&c);
        size_t need = f->count * spz_stride(k, f->version, f->file_degree);
        if (c.failed)
            return fv_fail(FV_EFORMAT, "%s: is cut short inside the table of streams", f->name);
        if (unpacked != need)
            return fv_fail(FV_EFORMAT, "%s: stream %d of %llu bytes; %u points take %zu", f->name,
                           k, (unsigned long long)unpacked, f->count, need);
        t->packed[k] = packed <= fv_cursor_left(&body) ? fv_get_bytes(&body, (size_t)packed) : NULL;
        t->packed_size[k] = (size_t)packed;
        if (!t->packed[k])
            return fv_fail(FV_EFORMAT,
                           "%s: is cut short: stream %d of %llu bytes ends beyond the "
                           "file",
                           f->name, k, (unsigned long long)packed);
    }
    return 0;
}

static int read_v4(struct gs_scene *out, const uint8_t *data, size_t size, struct spz *f,
                   const struct gs_load_opts *opts)
{
    if (size < SPZ_HEADER_V4)
        return fv_fail(FV_EFORMAT, "%s: is cut short: %zu bytes of a header of %d", f->name, size,
                       SPZ_HEADER_V4);
    FV_TRY(parse_header(f, data, size));
    struct fv_cursor c = fv_cursor_over(data, size);
    fv_get_bytes(&c, SPZ_HEADER - 1);
    int streams = fv_get_u8(&c);
    uint32_t offset = fv_get_u32(&c);
    if (offset < SPZ_HEADER_V4 || offset > size)
        return fv_fail(FV_EFORMAT, "%s: table of streams at byte %u of a file of %zu", f->name,
                       offset, size);
    if (f->has_extensions)
        FV_TRY(parse_extensions(f, data + SPZ_HEADER_V4, offset - SPZ_HEADER_V4));
    struct table t = {.f = f};
    FV_TRY(read_table(&t, data, size, offset, streams));
    int rc = fv_parallel(SPZ_STREAMS, 1, unpack_streams, &t);
    if (rc == 0)
        rc = build_scene(out, f, opts);
    for (int k = 0; k < SPZ_STREAMS; k++)
        free(f->heap[k]);
    return rc;
}

int gs_read_spz(struct gs_scene *out, const uint8_t *data, size_t size, const char *name,
                const struct gs_load_opts *opts)
{
    struct spz f = {.name = name};
    struct fv_cursor c = fv_cursor_over(data, size);
    *out = (struct gs_scene){0};
    uint32_t magic = fv_get_u32(&c), version = fv_get_u32(&c);
    if (magic == SPZ_MAGIC && version >= SPZ_LATEST)
        return read_v4(out, data, size, &f, opts);
    return read_legacy(out, data, size, &f, opts);
}
