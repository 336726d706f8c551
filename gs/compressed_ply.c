/* .compressed.ply (PlayCanvas), read and written: 16 bytes a Gaussian and 3K bytes of SH.
 *
 *     element chunk ceil(N/256)   float min_x min_y min_z max_x max_y max_z
 *                                 min_scale_x .. max_scale_z, [min_r min_g min_b max_r ..]
 *     element vertex N            uint packed_position  11 10 11 bits, x in the top ones
 *                                 uint packed_rotation  2 bits: which of w,x,y,z is left out;
 *                                                       10 10 10 bits: the others / sqrt 2
 *                                 uint packed_scale     as the position; natural logs
 *                                 uint packed_color     8 8 8 8 bits r g b alpha
 *     element sh N (optional)     uchar f_rest_0..3K-1, channel-major, -4..4
 *
 * Each chunk of 256 has its own range; without a colour range it is 0..1. Colours are
 * 0.5 + C0 f_dc, alpha is linear. Rows follow a Morton curve, so that chunks are compact. */
#include "gs/ply_header.h"
#include "gs/scene.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK = 256, PACKED_ROW = 16 };
static const double sqrt_2 = 1.4142135623730951;

/* Of x, y, z, the three scales, r, g, b. */
struct ranges {
    float min[9], max[9];
};

static double lerp(double a, double b, double t)
{
    return a * (1 - t) + b * t; /* exact at both ends */
}

/* ---- bits ------------------------------------------------------------------------------- */

static void unpack_111011(const struct ranges *c, int first, uint32_t u, float out[3])
{
    const double t[3] = {(u >> 21) / 2047.0, (u >> 11 & 1023) / 1023.0, (u & 2047) / 2047.0};
    for (int k = 0; k < 3; k++)
        out[k] = (float)lerp((double)c->min[first + k], (double)c->max[first + k], t[k]);
}

static uint32_t pack_unit(const struct ranges *c, int k, double v, uint32_t steps)
{
    double min = (double)c->min[k], extent = (double)c->max[k] - min;
    return extent > 0 ? gs_quantise((v - min) / extent, steps) : 0;
}

static uint32_t pack_111011(const struct ranges *c, int first, const float v[3])
{
    return pack_unit(c, first, (double)v[0], 2047) << 21 |
           pack_unit(c, first + 1, (double)v[1], 1023) << 11 |
           pack_unit(c, first + 2, (double)v[2], 2047);
}

static void unpack_rotation(uint32_t u, float q[4])
{
    int left_out = (int)(u >> 30), shift = 20;
    double sum = 0;
    for (int k = 0; k < 4; k++) {
        if (k == left_out)
            continue;
        double v = ((u >> shift & 1023) / 1023.0 - 0.5) * sqrt_2;
        q[k] = (float)v;
        sum += v * v;
        shift -= 10;
    }
    q[left_out] = (float)sqrt(fmax(0, 1 - sum));
}

static int largest_of(const float q[4])
{
    int largest = 0;
    for (int k = 1; k < 4; k++)
        if (fabsf(q[k]) > fabsf(q[largest]))
            largest = k;
    return largest;
}

/* Rounding may leave a reader with another component a little larger than the one left out,
 * and a rewrite would then leave that one out and round again: it is moved a step down. */
static uint32_t pack_rotation(const float q[4])
{
    int left_out = largest_of(q), largest, tries = 0;
    double norm = 0;
    uint32_t code[4];
    float back[4];
    for (int k = 0; k < 4; k++)
        norm += (double)q[k] * (double)q[k];
    norm = sqrt(norm) * (q[left_out] < 0 ? -1 : 1);
    for (int k = 0; k < 4; k++)
        code[k] = gs_quantise((double)q[k] / norm / sqrt_2 + 0.5, 1023);
    for (;;) {
        uint32_t u = (uint32_t)left_out;
        for (int k = 0; k < 4; k++)
            if (k != left_out)
                u = u << 10 | code[k];
        unpack_rotation(u, back);
        largest = largest_of(back);
        if (largest == left_out || tries++ == 8)
            return u;
        if (code[largest] > 511)
            code[largest]--;
        else
            code[largest]++;
    }
}

static double unpack_sh(uint8_t b)
{
    return ((b == 0 ? 0 : b == 255 ? 1 : (b + 0.5) / 256) - 0.5) * 8;
}

static uint8_t pack_sh(float v)
{
    double b = floor(((double)v / 8 + 0.5) * 256);
    return b >= 255 ? 255 : b > 0 ? (uint8_t)b : 0;
}

static float colour_to_dc(double c)
{
    return (float)((c - 0.5) / (double)GS_SH_C0);
}

static double dc_to_colour(float dc)
{
    return 0.5 + (double)GS_SH_C0 * (double)dc;
}

/* ---- reading ---------------------------------------------------------------------------- */

struct reader {
    const char *name;
    struct gs_scene *s;
    bool big;
    struct ranges *chunks;
    const uint8_t *vertex_rows, *sh_rows;
    size_t vertex_size, sh_size; /* of rows */
    size_t packed[4];            /* offsets in a vertex row */
    uint32_t sh_at[48];          /* offset in an sh row of each of the scene's sh floats */
};

static int find_numbers(const struct reader *r, const struct gs_ply_element *e,
                        const char *const *names, size_t count, bool whole, size_t *offsets)
{
    for (size_t i = 0; i < count; i++) {
        const struct gs_ply_property *p = gs_ply_property(e, names[i]);
        if (!p)
            return fv_fail(FV_EFORMAT, "%s: property %s is missing from element %s", r->name,
                           names[i], e->name);
        bool good = whole ? p->type == GS_PLY_U32 || p->type == GS_PLY_I32 : p->type == GS_PLY_F32;
        if (p->is_list || !good)
            return fv_fail(FV_EFORMAT, "%s: property %s of element %s is not %s", r->name, names[i],
                           e->name, whole ? "a uint" : "a float");
        offsets[i] = p->offset;
    }
    return 0;
}

/* The rows of an element without lists, all inside the file. */
static int open_rows(const struct reader *r, const struct gs_ply_header *h,
                     const struct gs_ply_element *e, const uint8_t *data, size_t size,
                     const uint8_t **rows)
{
    size_t at;
    if (e->has_list)
        return fv_fail(FV_EFORMAT, "%s: element %s has a list property", r->name, e->name);
    FV_TRY(gs_ply_locate(h, e, data, size, r->name, &at));
    *rows = data + at;
    return 0;
}

static int read_chunks(struct reader *r, const struct gs_ply_header *h,
                       const struct gs_ply_element *v, const uint8_t *data, size_t size)
{
    static const char *const names[] = {
        "min_x",       "min_y",       "min_z",       "min_scale_x", "min_scale_y", "min_scale_z",
        "min_r",       "min_g",       "min_b",       "max_x",       "max_y",       "max_z",
        "max_scale_x", "max_scale_y", "max_scale_z", "max_r",       "max_g",       "max_b"};
    const struct gs_ply_element *e = gs_ply_element(h, "chunk");
    size_t offsets[18];
    const uint8_t *row = NULL;
    if (!e)
        return fv_fail(FV_EFORMAT, "%s: has no element chunk: not a compressed .ply", r->name);
    if (e->count < v->count / CHUNK + (v->count % CHUNK != 0))
        return fv_fail(FV_EFORMAT, "%s: chunk count %llu is too small for vertex count %llu",
                       r->name, (unsigned long long)e->count, (unsigned long long)v->count);
    bool colours = gs_ply_property(e, "min_r");
    for (int half = 0; half < 2; half++)
        FV_TRY(find_numbers(r, e, names + 9 * half, colours ? 9 : 6, false, offsets + 9 * half));
    FV_TRY(open_rows(r, h, e, data, size, &row));
    r->chunks = malloc(e->count * sizeof *r->chunks);
    if (!r->chunks)
        return fv_fail(FV_ENOMEM, "out of memory");
    for (size_t i = 0; i < e->count; i++, row += e->row_size)
        for (int k = 0; k < 9; k++) {
            bool has = k < 6 || colours;
            r->chunks[i].min[k] =
                has ? (float)gs_ply_number(row + offsets[k], GS_PLY_F32, r->big) : 0;
            r->chunks[i].max[k] =
                has ? (float)gs_ply_number(row + offsets[9 + k], GS_PLY_F32, r->big) : 1;
        }
    return 0;
}

static int find_sh(struct reader *r, const struct gs_ply_header *h, const struct gs_ply_element *v,
                   const uint8_t *data, size_t size, int *degree)
{
    const struct gs_ply_element *e = gs_ply_element(h, "sh");
    *degree = 0;
    if (!e)
        return 0;
    if (e->count != v->count)
        return fv_fail(FV_EFORMAT, "%s: sh count %llu differs from vertex count %llu", r->name,
                       (unsigned long long)e->count, (unsigned long long)v->count);
    int rest = 0;
    char name[24];
    for (int i = 0; i < 45; i++) {
        snprintf(name, sizeof name, "f_rest_%d", i);
        const struct gs_ply_property *p = gs_ply_property(e, name);
        if (p && p->type != GS_PLY_U8)
            return fv_fail(FV_EFORMAT, "%s: property %s of element sh is not a uchar", r->name,
                           name);
        if (!p)
            break;
        r->sh_at[i] = (uint32_t)p->offset; /* channel-major for now */
        rest++;
    }
    while (*degree < 4 && rest != 3 * (gs_sh_coefs(*degree) - 1))
        ++*degree;
    if (*degree == 4)
        return fv_fail(FV_EFORMAT,
                       "%s: %d f_rest properties: SH degrees 0 to 3 have 0, 9, 24 or 45", r->name,
                       rest);
    uint32_t by_channel[45];
    memcpy(by_channel, r->sh_at, sizeof by_channel);
    for (int k = 0; k < rest / 3; k++)
        for (int c = 0; c < 3; c++)
            r->sh_at[3 * (k + 1) + c] = by_channel[c * (rest / 3) + k];
    r->sh_size = e->row_size;
    return open_rows(r, h, e, data, size, &r->sh_rows);
}

static uint32_t u32_at(const uint8_t *p, bool big)
{
    uint32_t u;
    memcpy(&u, p, 4);
    return big ? __builtin_bswap32(u) : u;
}

static int read_rows(void *ud, size_t begin, size_t end)
{
    const struct reader *r = ud;
    struct gs_scene *s = r->s;
    size_t sh_count = 3 * (size_t)gs_sh_coefs(s->sh_degree);
    float table[256];
    for (int b = 0; b < 256; b++)
        table[b] = (float)unpack_sh((uint8_t)b);
    for (size_t i = begin; i < end; i++) {
        const uint8_t *row = r->vertex_rows + i * r->vertex_size;
        const uint8_t *rest = r->sh_rows + i * r->sh_size;
        const struct ranges *c = &r->chunks[i / CHUNK];
        uint32_t rgba = u32_at(row + r->packed[3], r->big);
        float *sh = s->sh + i * sh_count;
        unpack_111011(c, 0, u32_at(row + r->packed[0], r->big), s->position + 3 * i);
        unpack_rotation(u32_at(row + r->packed[1], r->big), s->rotation + 4 * i);
        unpack_111011(c, 3, u32_at(row + r->packed[2], r->big), s->scale + 3 * i);
        for (int k = 0; k < 3; k++)
            sh[k] = colour_to_dc(lerp((double)c->min[6 + k], (double)c->max[6 + k],
                                      (rgba >> (24 - 8 * k) & 255) / 255.0));
        s->opacity[i] = (float)gs_logit((rgba & 255) / 255.0);
        for (size_t k = 3; k < sh_count; k++)
            sh[k] = table[rest[r->sh_at[k]]];
    }
    return 0;
}

static int read_scene(struct reader *r, const struct gs_ply_header *h, const uint8_t *data,
                      size_t size, const struct gs_load_opts *opts)
{
    static const char *const packed[] = {"packed_position", "packed_rotation", "packed_scale",
                                         "packed_color"};
    const struct gs_ply_element *v = gs_ply_element(h, "vertex");
    int degree;
    if (!v)
        return fv_fail(FV_EFORMAT, "%s: has no element vertex", r->name);
    if (h->encoding == GS_PLY_ASCII)
        return fv_fail(FV_EUNSUPPORTED, "%s: a compressed .ply as text is not read", r->name);
    r->big = h->encoding == GS_PLY_BIG;
    r->vertex_size = v->row_size;
    FV_TRY(find_numbers(r, v, packed, 4, true, r->packed));
    FV_TRY(open_rows(r, h, v, data, size, &r->vertex_rows));
    if (!v->count)
        return fv_fail(FV_EFORMAT, "%s: vertex count 0: the scene is empty", r->name);
    r->sh_rows = data; /* never read without an sh element */
    FV_TRY(find_sh(r, h, v, data, size, &degree));
    FV_TRY(read_chunks(r, h, v, data, size));
    FV_TRY(gs_scene_alloc(r->s, (size_t)v->count, degree));
    FV_TRY(gs_for_rows(r->s->count, read_rows, r, "reading", opts ? opts->on_progress : NULL,
                       opts ? opts->ud : NULL));
    r->s->mode = h->mode;
    memcpy(r->s->up, h->up, sizeof r->s->up);
    strcpy(r->s->detail, "compressed ply");
    return 0;
}

int gs_read_compressed_ply(struct gs_scene *out, const uint8_t *data, size_t size, const char *name,
                           const struct gs_load_opts *opts)
{
    struct reader r = {.name = name, .s = out};
    struct gs_ply_header h;
    *out = (struct gs_scene){0};
    FV_TRY(gs_ply_header_parse(&h, data, size, name));
    int rc = read_scene(&r, &h, data, size, opts);
    gs_ply_header_finish(&h);
    free(r.chunks);
    if (rc < 0)
        gs_scene_finish(out);
    return rc;
}

/* ---- writing ---------------------------------------------------------------------------- */

struct writer {
    const struct gs_scene *s;
    const uint32_t *order; /* NULL = as they are */
    struct ranges *chunks;
    uint32_t (*rows)[4];
};

static size_t source_row(const struct writer *w, size_t i)
{
    return w->order ? w->order[i] : i;
}

/* The nine ranged numbers of a Gaussian. */
static void ranged(const struct gs_scene *s, size_t i, float v[9])
{
    const float *sh = s->sh + i * 3 * (size_t)gs_sh_coefs(s->sh_degree);
    for (int k = 0; k < 3; k++) {
        v[k] = s->position[3 * i + k];
        v[3 + k] = fminf(fmaxf(s->scale[3 * i + k], -20), 20);
        /* to the f_dc a reader gets and back: so that the range survives rewriting */
        v[6 + k] = (float)dc_to_colour(colour_to_dc((double)(float)dc_to_colour(sh[k])));
    }
}

static int pack_chunks(void *ud, size_t begin, size_t end)
{
    const struct writer *w = ud;
    for (size_t c = begin; c < end; c++) {
        struct ranges *r = &w->chunks[c];
        size_t first = c * CHUNK, n = w->s->count - first < CHUNK ? w->s->count - first : CHUNK;
        float v[CHUNK][9];
        for (size_t i = 0; i < n; i++)
            ranged(w->s, source_row(w, first + i), v[i]);
        memcpy(r->min, v[0], sizeof r->min);
        memcpy(r->max, v[0], sizeof r->max);
        for (size_t i = 1; i < n; i++)
            for (int k = 0; k < 9; k++) {
                r->min[k] = fminf(r->min[k], v[i][k]);
                r->max[k] = fmaxf(r->max[k], v[i][k]);
            }
        for (size_t i = 0; i < n; i++) {
            size_t from = source_row(w, first + i);
            uint32_t *row = w->rows[first + i];
            row[0] = pack_111011(r, 0, v[i]);
            row[1] = pack_rotation(w->s->rotation + 4 * from);
            row[2] = pack_111011(r, 3, v[i] + 3);
            row[3] = gs_quantise(gs_sigmoid((double)w->s->opacity[from]), 255);
            for (int k = 0; k < 3; k++)
                row[3] |= pack_unit(r, 6 + k, (double)v[i][6 + k], 255) << (24 - 8 * k);
        }
    }
    return 0;
}

static void write_header(struct fv_writer *out, const struct gs_scene *s, size_t chunks)
{
    static const char *const groups[] = {"x y z", "scale_x scale_y scale_z", "r g b"};
    int rest = 3 * (gs_sh_coefs(s->sh_degree) - 1);
    fprintf(out->file, "ply\nformat binary_little_endian 1.0\ncomment written by fovea\n");
    gs_ply_write_comments(out, s);
    fprintf(out->file, "element chunk %zu\n", chunks);
    for (int g = 0; g < 3; g++)
        for (int max = 0; max < 2; max++)
            for (const char *n = groups[g]; n; n = strchr(n, ' ') ? strchr(n, ' ') + 1 : NULL)
                fprintf(out->file, "property float %s_%.*s\n", max ? "max" : "min",
                        (int)strcspn(n, " "), n);
    fprintf(out->file, "element vertex %zu\n", s->count);
    fprintf(out->file, "property uint packed_position\nproperty uint packed_rotation\n"
                       "property uint packed_scale\nproperty uint packed_color\n");
    if (rest)
        fprintf(out->file, "element sh %zu\n", s->count);
    for (int i = 0; i < rest; i++)
        fprintf(out->file, "property uchar f_rest_%d\n", i);
    fprintf(out->file, "end_header\n");
}

static void write_body(struct fv_writer *out, const struct writer *w, size_t chunks)
{
    const struct gs_scene *s = w->s;
    int rest = gs_sh_coefs(s->sh_degree) - 1;
    for (size_t i = 0; i < chunks; i++)
        for (int g = 0; g < 3; g++) {
            fv_write(out, w->chunks[i].min + 3 * g, 3 * sizeof(float));
            fv_write(out, w->chunks[i].max + 3 * g, 3 * sizeof(float));
        }
    fv_write(out, w->rows, s->count * PACKED_ROW);
    for (size_t i = 0; rest && i < s->count; i++) {
        const float *sh = s->sh + source_row(w, i) * 3 * (size_t)(rest + 1);
        uint8_t row[45], *p = row;
        for (int c = 0; c < 3; c++)
            for (int k = 1; k <= rest; k++)
                *p++ = pack_sh(sh[3 * k + c]);
        fv_write(out, row, 3 * (size_t)rest);
    }
}

int gs_write_compressed_ply(const struct gs_scene *s, struct fv_writer *out,
                            const struct gs_save_opts *opts)
{
    struct writer w = {.s = s};
    size_t chunks = (s->count + CHUNK - 1) / CHUNK;
    uint32_t *order = NULL;
    int rc = 0;
    w.chunks = malloc((chunks ? chunks : 1) * sizeof *w.chunks);
    w.rows = malloc((s->count ? s->count : 1) * PACKED_ROW);
    /* rows that come from such a file lie along the curve already, and keeping their chunks
     * together makes rewriting lossless */
    if (s->format != GS_FORMAT_COMPRESSED_PLY)
        w.order = order = malloc((s->count ? s->count : 1) * sizeof *order);
    if (!w.chunks || !w.rows || (s->format != GS_FORMAT_COMPRESSED_PLY && !order)) {
        rc = fv_fail(FV_ENOMEM, "out of memory");
        goto done;
    }
    if (order)
        FV_GOTO(gs_scene_morton(s, order));
    FV_GOTO(gs_for_rows(chunks, pack_chunks, &w, "writing", opts ? opts->on_progress : NULL,
                        opts ? opts->ud : NULL));
    write_header(out, s, chunks);
    write_body(out, &w, chunks);
done:
    free(w.chunks);
    free(w.rows);
    free(order);
    return rc;
}
