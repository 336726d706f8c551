/* SPZ writer, versions 2 to 4 (layout in spz.h). Quantisation follows the format's reference
 * packer bit for bit: 12 fraction bits (fewer when the scene is too large for them), SH to 5
 * bits in band 1 and 4 above, axes turned from the .ply's right-down-forward into
 * right-up-back. */
#include "gs/scene.h"
#include "gs/spz.h"
#include "vk/base/thread.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

enum {
    FRACTION_BITS = 12,
    BAND1_STEP = 1 << (8 - 5),
    REST_STEP = 1 << (8 - 4),
    ZSTD_LEVEL = 12,
    POINTS_GRAIN = 1 << 14,
    MAX_FIXED = (1 << 23) - 1,
};
/* right-down-forward to right-up-back */
static const float flip[3] = {1, -1, -1};

struct pack {
    const struct gs_scene *s;
    uint32_t version;
    int fraction_bits;
    uint8_t *stream[SPZ_STREAMS];
    size_t size[SPZ_STREAMS];
    uint8_t *packed[SPZ_STREAMS]; /* ZSTD frames */
    size_t packed_size[SPZ_STREAMS];
};

/* ---- quantisation ---- */

/* NaN becomes 0. */
static uint8_t to_byte(float v)
{
    v = roundf(v);
    return v >= 255 ? 255 : v > 0 ? (uint8_t)v : 0;
}

/* To 8 bits, then to the centre of a bucket of `step`; 0 stays a centre. */
static uint8_t to_bucket(float v, int step)
{
    v = roundf(v * 128.0f);
    int q = 128 + (v > 256 ? 256 : v > -256 ? (int)v : -256);
    q = (q + step / 2) / step * step;
    return (uint8_t)(q < 0 ? 0 : q > 255 ? 255 : q);
}

static void pack_position(const struct pack *p, size_t i)
{
    float scale = (float)(1 << p->fraction_bits);
    uint8_t *out = p->stream[SPZ_POSITION] + 9 * i;
    for (int k = 0; k < 3; k++) {
        float v = roundf(p->s->position[3 * i + (size_t)k] * scale * flip[k]);
        int32_t fixed = v > MAX_FIXED ? MAX_FIXED : v > -MAX_FIXED ? (int32_t)v : -MAX_FIXED;
        *out++ = (uint8_t)fixed;
        *out++ = (uint8_t)(fixed >> 8);
        *out++ = (uint8_t)(fixed >> 16);
    }
}

/* x,y,z,w in the file's axes, of any length. */
static void file_rotation(const float *wxyz, float q[4])
{
    q[0] = wxyz[1] * flip[1] * flip[2];
    q[1] = wxyz[2] * flip[0] * flip[2];
    q[2] = wxyz[3] * flip[0] * flip[1];
    q[3] = wxyz[0];
}

/* No rotation for what cannot be normalised. */
static void normalise(float q[4])
{
    float n = sqrtf(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3]);
    for (int k = 0; k < 4; k++)
        q[k] = n > 0 && n < INFINITY ? q[k] / n : (float)(k == 3);
}

static bool is_whole(float v)
{
    return fabsf(v - roundf(v)) < 1e-3f;
}

/* Whether q is what a reader makes of x,y,z bytes: its length may then differ from 1 by
 * rounding, and normalising it would change the bytes. */
static bool came_from_bytes(const float q[4])
{
    float left = 1 - q[0] * q[0] - q[1] * q[1] - q[2] * q[2];
    return is_whole((q[0] + 1) * 127.5f) && is_whole((q[1] + 1) * 127.5f) &&
           is_whole((q[2] + 1) * 127.5f) && fabsf(q[3] - sqrtf(left > 0 ? left : 0)) < 1e-5f;
}

/* q . r for the r that a reader makes of x,y,z bytes: the cosine of half the angle between. */
static double agreement(const float q[4], const float bytes[3])
{
    double dot = 0, square = 0;
    for (int k = 0; k < 3; k++) {
        double r = (double)bytes[k] / 127.5 - 1;
        dot += (double)q[k] * r;
        square += r * r;
    }
    double w = sqrt(square < 1 ? 1 - square : 0);
    return (dot + (double)q[3] * w) / sqrt(square + w * w);
}

/* Rounding each of x,y,z to the nearest byte can be far off where the reader's w comes out of
 * the difference of large numbers, so the 8 ways of rounding are compared. */
static void pack_rotation_bytes(uint8_t *out, float q[4])
{
    if (!came_from_bytes(q))
        normalise(q);
    float sign = q[3] < 0 ? -1.0f : 1.0f;
    double best = -INFINITY;
    for (int k = 0; k < 4; k++)
        q[k] *= sign;
    for (int way = 0; way < 8; way++) {
        float bytes[3];
        for (int k = 0; k < 3; k++)
            bytes[k] = floorf((q[k] + 1) * 127.5f + 1e-3f) + (float)(way >> k & 1);
        double a = agreement(q, bytes);
        if (a <= best)
            continue;
        best = a;
        for (int k = 0; k < 3; k++)
            out[k] = to_byte(bytes[k]);
    }
}

/* Which component to leave out: the largest, unless the others are whole steps without another
 * one. Rounding may have made two components change places in a rotation that was read from
 * such a file; it is then written as it was. */
static unsigned left_out(const float q[4])
{
    unsigned largest = 0;
    for (unsigned k = 1; k < 4; k++)
        if (fabsf(q[k]) > fabsf(q[largest]))
            largest = k;
    for (unsigned turn = 0; turn < 4; turn++) {
        unsigned out = (largest + turn) % 4;
        bool whole = fabsf(q[out]) > 0.4f;
        for (unsigned k = 0; k < 4; k++) {
            float step = fabsf(q[k]) * (511 * (float)M_SQRT2);
            whole &= k == out || (is_whole(step) && step < 511.5f);
        }
        if (whole)
            return out;
    }
    return largest;
}

static void pack_rotation_bits(uint8_t *p, float q[4])
{
    normalise(q);
    unsigned out = left_out(q);
    uint32_t bits = out;
    for (unsigned k = 0; k < 4; k++) {
        if (k == out)
            continue;
        uint32_t magnitude = (uint32_t)(511.0f * (fabsf(q[k]) / (float)M_SQRT1_2) + 0.5f);
        bits = bits << 10 | (uint32_t)((q[k] < 0) != (q[out] < 0)) << 9 |
               (magnitude < 511 ? magnitude : 511);
    }
    for (int k = 0; k < 4; k++)
        p[k] = (uint8_t)(bits >> 8 * k);
}

static void pack_rotation(const struct pack *p, size_t i)
{
    float q[4];
    file_rotation(p->s->rotation + 4 * i, q);
    if (p->version < 3)
        pack_rotation_bytes(p->stream[SPZ_ROTATION] + 3 * i, q);
    else
        pack_rotation_bits(p->stream[SPZ_ROTATION] + 4 * i, q);
}

static int pack_points(void *ud, size_t begin, size_t end)
{
    const struct pack *p = ud;
    const struct gs_scene *s = p->s;
    int coefs = gs_sh_coefs(s->sh_degree);
    float sign[16];
    for (int k = 1; k < coefs; k++)
        sign[k] = gs_sh_flip_sign(k, flip[0], flip[1], flip[2]);
    for (size_t i = begin; i < end; i++) {
        const float *sh = s->sh + i * (size_t)coefs * 3;
        uint8_t *rest = p->stream[SPZ_SH] + i * (size_t)(coefs - 1) * 3;
        pack_position(p, i);
        pack_rotation(p, i);
        p->stream[SPZ_ALPHA][i] = to_byte(1.0f / (1.0f + expf(-s->opacity[i])) * 255.0f);
        for (size_t k = 0; k < 3; k++) {
            p->stream[SPZ_SCALE][3 * i + k] = to_byte((s->scale[3 * i + k] + 10.0f) * 16.0f);
            p->stream[SPZ_COLOR][3 * i + k] =
                to_byte(sh[k] * (SPZ_COLOR_SCALE * 255.0f) + 0.5f * 255.0f);
        }
        for (int k = 1; k < coefs; k++)
            for (int ch = 0; ch < 3; ch++)
                *rest++ = to_bucket(sh[3 * k + ch] * sign[k], k < 4 ? BAND1_STEP : REST_STEP);
    }
    return 0;
}

/* The most fraction bits, up to the usual 12, that leave room for the farthest position. */
static int choose_fraction_bits(struct pack *p)
{
    float far = 0;
    for (size_t i = 0; i < 3 * p->s->count; i++)
        far = fmaxf(far, fabsf(p->s->position[i]));
    p->fraction_bits = FRACTION_BITS;
    while (p->fraction_bits && far * (float)(1 << p->fraction_bits) > MAX_FIXED)
        p->fraction_bits--;
    if (far > MAX_FIXED)
        return fv_fail(FV_EUNSUPPORTED,
                       "positions reach %g, beyond the %d an SPZ file can hold; "
                       "scale the scene down",
                       far, MAX_FIXED);
    return 0;
}

static int pack_scene(struct pack *p)
{
    const struct gs_scene *s = p->s;
    FV_TRY(choose_fraction_bits(p));
    for (int k = 0; k < SPZ_STREAMS; k++) {
        p->size[k] = s->count * spz_stride(k, p->version, s->sh_degree);
        p->stream[k] = malloc(p->size[k] ? p->size[k] : 1);
        if (!p->stream[k])
            return fv_fail(FV_ENOMEM, "out of memory for %zu Gaussians", s->count);
    }
    return fv_parallel(s->count, POINTS_GRAIN, pack_points, p);
}

/* ---- containers ---- */

static uint8_t *put32(uint8_t *p, uint32_t v)
{
    for (int k = 0; k < 4; k++)
        *p++ = (uint8_t)(v >> 8 * k);
    return p;
}

static uint8_t *put64(uint8_t *p, uint64_t v)
{
    return put32(put32(p, (uint32_t)v), (uint32_t)(v >> 32));
}

/* The first 16 bytes of every version; `last` is the stream count of version 4. */
static uint8_t *put_header(uint8_t *at, const struct pack *p, uint8_t last)
{
    at = put32(put32(put32(at, SPZ_MAGIC), p->version), (uint32_t)p->s->count);
    *at++ = (uint8_t)p->s->sh_degree;
    *at++ = (uint8_t)p->fraction_bits;
    *at++ = p->s->mode == GS_MODE_ANTIALIASED ? SPZ_FLAG_ANTIALIASED : 0;
    *at++ = last;
    return at;
}

/* Feeds n bytes to the deflater and what comes out to w. */
static int deflate_some(z_stream *z, struct fv_writer *w, const uint8_t *data, size_t n, int flush)
{
    uint8_t out[1 << 15];
    do {
        size_t feed = n < 1 << 30 ? n : 1 << 30;
        z->next_in = (Bytef *)(uintptr_t)data;
        z->avail_in = (uInt)feed;
        int rc;
        do {
            z->next_out = out;
            z->avail_out = sizeof out;
            rc = deflate(z, feed == n ? flush : Z_NO_FLUSH);
            if (rc == Z_STREAM_ERROR)
                return fv_fail(FV_EINVALID, "zlib refused to compress");
            fv_write(w, out, sizeof out - z->avail_out);
        } while (!z->avail_out || (flush == Z_FINISH && feed == n && rc != Z_STREAM_END));
        data += feed;
        n -= feed;
    } while (n);
    return 0;
}

static int write_gzip(const struct pack *p, struct fv_writer *w, const struct gs_save_opts *opts)
{
    z_stream z = {0};
    uint8_t header[SPZ_HEADER];
    put_header(header, p, 0);
    if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 16 + MAX_WBITS, 9,
                     Z_DEFAULT_STRATEGY) != Z_OK)
        return fv_fail(FV_ENOMEM, "out of memory");
    int rc = deflate_some(&z, w, header, sizeof header, Z_NO_FLUSH);
    for (int k = 0; k < SPZ_STREAMS && rc == 0; k++) {
        struct fv_progress step = {"compressing", k, SPZ_STREAMS};
        if (opts->on_progress && opts->on_progress(opts->ud, &step))
            rc = fv_fail(FV_ECANCELLED, "cancelled");
        else
            rc = deflate_some(&z, w, p->stream[k], p->size[k],
                              k == SPZ_STREAMS - 1 ? Z_FINISH : Z_NO_FLUSH);
    }
    deflateEnd(&z);
    return rc;
}

static int compress_streams(void *ud, size_t begin, size_t end)
{
    struct pack *p = ud;
    for (size_t k = begin; k < end; k++) {
        if (!p->size[k])
            continue;
        size_t room = ZSTD_compressBound(p->size[k]);
        p->packed[k] = malloc(room);
        if (!p->packed[k])
            return fv_fail(FV_ENOMEM, "out of memory for %zu Gaussians", p->s->count);
        p->packed_size[k] = ZSTD_compress(p->packed[k], room, p->stream[k], p->size[k], ZSTD_LEVEL);
        if (ZSTD_isError(p->packed_size[k]))
            return fv_fail(FV_ENOMEM, "ZSTD: %s", ZSTD_getErrorName(p->packed_size[k]));
    }
    return 0;
}

static int write_zstd(struct pack *p, struct fv_writer *w)
{
    FV_TRY(fv_parallel(SPZ_STREAMS, 1, compress_streams, p));
    uint8_t head[SPZ_HEADER_V4 + 16 * SPZ_STREAMS] = {0};
    int streams = p->size[SPZ_SH] ? SPZ_STREAMS : SPZ_STREAMS - 1;
    put32(put_header(head, p, (uint8_t)streams), SPZ_HEADER_V4);
    uint8_t *at = head + SPZ_HEADER_V4;
    for (int k = 0; k < streams; k++)
        at = put64(put64(at, p->packed_size[k]), p->size[k]);
    fv_write(w, head, (size_t)(at - head));
    for (int k = 0; k < streams; k++)
        fv_write(w, p->packed[k], p->packed_size[k]);
    return 0;
}

int gs_write_spz(const struct gs_scene *s, struct fv_writer *w, const struct gs_save_opts *opts)
{
    static const struct gs_save_opts defaults = {0};
    opts = opts ? opts : &defaults;
    int version = opts->spz_version ? opts->spz_version : 3;
    if (version < 2 || version > SPZ_LATEST)
        return fv_fail(FV_EINVALID, "SPZ version %d: 2 to %d are written", version, SPZ_LATEST);
    if (!s->count || s->count > UINT32_MAX)
        return fv_fail(FV_EINVALID, "%zu Gaussians cannot be an SPZ file, which has 1 to %u",
                       s->count, UINT32_MAX);
    struct pack p = {.s = s, .version = (uint32_t)version};
    int rc = pack_scene(&p);
    if (rc == 0)
        rc = version < 4 ? write_gzip(&p, w, opts) : write_zstd(&p, w);
    for (int k = 0; k < SPZ_STREAMS; k++) {
        free(p.stream[k]);
        free(p.packed[k]);
    }
    return rc;
}
