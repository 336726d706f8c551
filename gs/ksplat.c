/* .ksplat 0.1, read only (format of mkkellogg/GaussianSplats3D).
 *
 * Header, 4096 bytes:
 *      0  u8 major, u8 minor     4  u32 room for sections    16  u32 splats
 *     20  u16 level 0..2        36  f32 least SH, f32 greatest SH; 0 = -1.5 and 1.5
 * A header of 1024 bytes for each section there is room for:
 *      0  u32 splats             4  u32 room for splats       8  u32 splats in a full bucket
 *     12  u32 buckets           16  f32 block size           20  u16 bytes of a bucket centre
 *     24  u32 range             32  u32 full buckets         36  u32 partial buckets
 *     40  u16 SH degree
 * Then each section's data: u32 length of each partial bucket, bucket centres (3 x f32), and
 * the splats, those of the full buckets first:
 *     level 0   3 f32 centre, 3 f32 deviation, 4 f32 quaternion, 4 u8 RGBA, f32 SH
 *     level 1   3 u16 centre, 3 f16 deviation, 4 f16 quaternion, 4 u8 RGBA, f16 SH
 *     level 2   the same with u8 SH between the least and greatest
 * A u16 centre c is (c - range) * block / 2 / range from its bucket's. SH go band by band, in
 * each band all red coefficients, then green, then blue. */
#include "gs/scene.h"
#include "vk/base/half.h"

#include <stdlib.h>
#include <string.h>

enum { HEADER = 4096, SECTION_HEADER = 1024 };

struct section {
    size_t count, room, bucket_size, buckets, full, partial;
    double step; /* of a u16 centre */
    double range;
    int degree;
    size_t row_size;
    const uint8_t *lengths, *centres, *rows;
};

struct reader {
    const char *name;
    struct gs_scene *s;
    int level;
    double sh_min, sh_max;
    struct section now;
    size_t first;           /* scene row of the section's first splat */
    const uint32_t *bucket; /* [now.count] bucket of each splat; NULL at level 0 */
};

static uint16_t u16_at(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t u32_at(const uint8_t *p)
{
    uint32_t u;
    memcpy(&u, p, 4);
    return u;
}

static float f32_at(const uint8_t *p)
{
    float f;
    memcpy(&f, p, 4);
    return f;
}

/* Deviations, quaternion and SH are floats at level 0 and halfs above. */
static float real_at(const struct reader *r, const uint8_t *row, size_t index)
{
    return r->level ? fv_f16_to_f32(u16_at(row + 2 * index)) : f32_at(row + 4 * index);
}

static size_t row_size(int level, int degree)
{
    static const size_t fixed[] = {44, 24, 24}, sh[] = {4, 2, 1};
    return fixed[level] + sh[level] * 3 * (size_t)(gs_sh_coefs(degree) - 1);
}

static void read_sh(const struct reader *r, const uint8_t *p, float *sh)
{
    size_t at = 0;
    for (int band = 1; band <= r->now.degree; band++)
        for (int c = 0; c < 3; c++)
            for (int k = band * band; k < (band + 1) * (band + 1); k++, at++)
                sh[3 * k + c] = r->level == 2
                                    ? (float)(r->sh_min + p[at] / 255.0 * (r->sh_max - r->sh_min))
                                    : real_at(r, p, at);
}

static int read_rows(void *ud, size_t begin, size_t end)
{
    const struct reader *r = ud;
    const struct section *n = &r->now;
    struct gs_scene *s = r->s;
    size_t sh_count = 3 * (size_t)gs_sh_coefs(s->sh_degree), unit = r->level ? 2 : 4;
    for (size_t i = begin; i < end; i++) {
        const uint8_t *row = n->rows + i * n->row_size, *rgba = row + 10 * unit;
        size_t to = r->first + i;
        float *sh = s->sh + to * sh_count;
        for (size_t k = 0; k < 3; k++) {
            double v = r->level ? (u16_at(row + 2 * k) - n->range) * n->step +
                                      (double)f32_at(n->centres + 12 * (size_t)r->bucket[i] + 4 * k)
                                : (double)f32_at(row + 4 * k);
            s->position[3 * to + k] = (float)v;
            s->scale[3 * to + k] = (float)log((double)real_at(r, row, 3 + k));
            sh[k] = (float)((rgba[k] / 255.0 - 0.5) / (double)GS_SH_C0);
        }
        for (size_t k = 0; k < 4; k++)
            s->rotation[4 * to + k] = real_at(r, row, 6 + k);
        s->opacity[to] = (float)gs_logit(rgba[3] / 255.0);
        memset(sh + 3, 0, (sh_count - 3) * sizeof *sh);
        read_sh(r, rgba + 4, sh);
    }
    return 0;
}

static int section_error(const struct reader *r, size_t index, const char *what)
{
    return fv_fail(FV_EFORMAT, "%s: section %zu: %s", r->name, index, what);
}

/* Reads section `index` of the headers; its data begins at *at, which moves past it. */
static int open_section(struct reader *r, struct section *n, const uint8_t *data, size_t size,
                        size_t index, size_t *at)
{
    const uint8_t *h = data + HEADER + index * SECTION_HEADER;
    float block = f32_at(h + 16);
    *n = (struct section){.count = u32_at(h),
                          .room = u32_at(h + 4),
                          .bucket_size = u32_at(h + 8),
                          .buckets = u32_at(h + 12),
                          .range = u32_at(h + 24),
                          .full = u32_at(h + 32),
                          .partial = u32_at(h + 36),
                          .degree = u16_at(h + 40)};
    size_t centre = u16_at(h + 20), head = 4 * n->partial + centre * n->buckets;
    if (n->degree > 3)
        return section_error(r, index, "SH degree is more than 3");
    n->row_size = row_size(r->level, n->degree);
    if (n->range == 0)
        n->range = 32767;
    n->step = (double)block / 2 / n->range;
    if (head > size - *at || n->count > (size - *at - head) / n->row_size)
        return section_error(r, index,
                             "the file is cut short, or its splat or bucket count is wrong");
    if (n->count > n->room)
        return section_error(r, index, "more splats than it has room for");
    n->lengths = data + *at;
    n->centres = n->lengths + 4 * n->partial;
    n->rows = data + *at + head;
    if (n->room > (size - *at - head) / n->row_size)
        *at = size; /* the room after the last section may be left out */
    else
        *at += head + n->room * n->row_size;
    if (r->level && n->count && (centre != 12 || n->full + n->partial > n->buckets))
        return section_error(r, index, "its buckets have no centres");
    return 0;
}

/* Which bucket each splat lies in: full ones first, then partial ones of the lengths given. */
static int map_buckets(const struct reader *r, size_t index, uint32_t *bucket)
{
    const struct section *n = &r->now;
    size_t i = 0;
    for (size_t b = 0; b < n->full && i < n->count; b++)
        for (size_t k = 0; k < n->bucket_size && i < n->count; k++)
            bucket[i++] = (uint32_t)b;
    for (size_t p = 0; p < n->partial && i < n->count; p++)
        for (size_t k = u32_at(n->lengths + 4 * p); k && i < n->count; k--)
            bucket[i++] = (uint32_t)(n->full + p);
    return i == n->count ? 0 : section_error(r, index, "its buckets hold fewer splats than it has");
}

/* First pass over the sections: counts and degree, everything checked against the size. */
static int measure(struct reader *r, const uint8_t *data, size_t size, size_t sections,
                   size_t *count, int *degree)
{
    size_t at = HEADER + sections * SECTION_HEADER;
    for (size_t i = 0; i < sections; i++) {
        struct section n;
        FV_TRY(open_section(r, &n, data, size, i, &at));
        *count += n.count;
        if (n.count && n.degree > *degree)
            *degree = n.degree;
    }
    uint32_t said = u32_at(data + 16);
    if (said != *count)
        return fv_fail(FV_EFORMAT, "%s: splat count %u, but its sections hold %zu", r->name, said,
                       *count);
    return 0;
}

static int read_section(struct reader *r, size_t index, const struct gs_load_opts *opts)
{
    uint32_t *bucket = NULL;
    int rc = 0;
    if (r->level) {
        bucket = malloc((r->now.count ? r->now.count : 1) * sizeof *bucket);
        if (!bucket)
            return fv_fail(FV_ENOMEM, "out of memory");
        FV_GOTO(map_buckets(r, index, bucket));
        r->bucket = bucket;
    }
    rc = gs_for_rows(r->now.count, read_rows, r, "reading", opts ? opts->on_progress : NULL,
                     opts ? opts->ud : NULL);
done:
    free(bucket);
    return rc;
}

static int read_sections(struct reader *r, const uint8_t *data, size_t size,
                         const struct gs_load_opts *opts)
{
    size_t sections = u32_at(data + 4), count = 0, at = HEADER + sections * SECTION_HEADER;
    int degree = 0;
    FV_TRY(measure(r, data, size, sections, &count, &degree));
    if (!count)
        return fv_fail(FV_EFORMAT, "%s: splat count 0: the scene is empty", r->name);
    FV_TRY(gs_scene_alloc(r->s, count, degree));
    for (size_t i = 0; i < sections; i++) {
        FV_TRY(open_section(r, &r->now, data, size, i, &at));
        FV_TRY(read_section(r, i, opts));
        r->first += r->now.count;
    }
    snprintf(r->s->detail, sizeof r->s->detail, "ksplat 0.%u level %d", data[1], r->level);
    return 0;
}

int gs_read_ksplat(struct gs_scene *out, const uint8_t *data, size_t size, const char *name,
                   const struct gs_load_opts *opts)
{
    struct reader r = {.name = name, .s = out};
    *out = (struct gs_scene){0};
    if (size < HEADER)
        return fv_fail(FV_EFORMAT, "%s: shorter than the %d-byte header of a .ksplat", name,
                       HEADER);
    if (data[0] != 0 || data[1] < 1)
        return fv_fail(FV_EUNSUPPORTED, "%s: .ksplat version %u.%u; 0.1 and later 0.x are read",
                       name, data[0], data[1]);
    if (u16_at(data + 20) > 2)
        return fv_fail(FV_EFORMAT, "%s: compression level %u is not 0, 1 or 2", name,
                       u16_at(data + 20));
    if (u32_at(data + 4) > (size - HEADER) / SECTION_HEADER)
        return fv_fail(FV_EFORMAT, "%s: section count %u is more than the file holds", name,
                       u32_at(data + 4));
    r.level = u16_at(data + 20);
    float least = f32_at(data + 36), greatest = f32_at(data + 40);
    r.sh_min = least != 0 ? (double)least : -1.5;
    r.sh_max = greatest != 0 ? (double)greatest : 1.5;
    int rc = read_sections(&r, data, size, opts);
    if (rc < 0)
        gs_scene_finish(out);
    return rc;
}
