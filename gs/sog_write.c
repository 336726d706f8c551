/* SOG writer: a version 2 bundle (layout in sog.h). Gaussians are written in Morton order, so
 * that neighbours in the images are neighbours in space and compress. */
#include "gs/kmeans.h"
#include "gs/sog.h"
#include "gs/webp.h"
#include "vk/base/thread.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MEANS_L, MEANS_U, QUATS, SCALES, SH0, CENTROIDS, LABELS, IMAGES };

static const char *const names[IMAGES] = {"means_l.webp",   "means_u.webp", "quats.webp",
                                          "scales.webp",    "sh0.webp",     "shN_centroids.webp",
                                          "shN_labels.webp"};

enum { POINTS_GRAIN = 1 << 13, BOOK = 256, STEPS = IMAGES + 4 };

struct book {
    float value[BOOK]; /* padded with the last one used */
    size_t used;
};

struct sog {
    const struct gs_scene *s;
    const struct gs_save_opts *opts;
    double min[3], max[3]; /* of the logarithmic positions */
    float *step;           /* [count][3] positions as whole steps between them */
    uint32_t *order;
    struct book scales, sh0, rest;
    struct gs_clusters palette;
    struct gs_image image[IMAGES];
    uint8_t *webp[IMAGES];
    size_t webp_size[IMAGES];
    char *meta;
    size_t meta_size;
};

static int progress(const struct sog *w, const char *what, int done)
{
    struct fv_progress p = {what, done, STEPS};
    return w->opts->on_progress && w->opts->on_progress(w->opts->ud, &p)
               ? fv_fail(FV_ECANCELLED, "cancelled")
               : 0;
}

/* ---- quantisation ---- */

static double log_position(float v)
{
    return copysign(log(fabs((double)v) + 1), (double)v);
}

static int find_steps(void *ud, size_t begin, size_t end)
{
    const struct sog *w = ud;
    for (size_t i = 3 * begin; i < 3 * end; i++) {
        double low = w->min[i % 3], range = w->max[i % 3] - low;
        double t = range > 0 ? (log_position(w->s->position[i]) - low) / range * 65535 : 0;
        w->step[i] = (float)lround(t < 65535 ? t : 65535);
    }
    return 0;
}

/* Quantised positions, and the Morton order of these: a scene read from such a file is written
 * in the same order again. */
static int place(struct sog *w)
{
    const struct gs_scene *s = w->s;
    w->step = malloc(3 * s->count * sizeof *w->step);
    w->order = malloc(s->count * sizeof *w->order);
    if (!w->step || !w->order)
        return fv_fail(FV_ENOMEM, "out of memory for %zu Gaussians", s->count);
    for (size_t k = 0; k < 3; k++) {
        float min = INFINITY, max = -INFINITY;
        for (size_t i = 0; i < s->count; i++) {
            min = fminf(min, s->position[3 * i + k]);
            max = fmaxf(max, s->position[3 * i + k]);
        }
        w->min[k] = log_position(min);
        w->max[k] = log_position(max);
    }
    FV_TRY(fv_parallel(s->count, POINTS_GRAIN, find_steps, w));
    struct gs_scene steps = {.count = s->count, .position = w->step};
    return gs_scene_morton(&steps, w->order);
}

static int make_book(struct book *b, const float *values, size_t n)
{
    FV_TRY(gs_codebook(b->value, &b->used, values, n, BOOK));
    for (size_t i = b->used; i < BOOK; i++)
        b->value[i] = b->value[b->used - 1];
    return 0;
}

static uint8_t code(const struct book *b, float v)
{
    return (uint8_t)gs_codebook_nearest(b->value, b->used, v);
}

/* [count][coefs-1][3], the part of sh that is clustered; or [count][3], band 0. Caller frees. */
static float *copy_sh(const struct gs_scene *s, size_t from, size_t floats)
{
    size_t row = (size_t)gs_sh_coefs(s->sh_degree) * 3;
    float *out = malloc(s->count * floats * sizeof *out);
    for (size_t i = 0; out && i < s->count; i++)
        memcpy(out + i * floats, s->sh + i * row + from, floats * sizeof *out);
    return out;
}

/* The largest power of two that is at most the count, up to 65536. */
static size_t palette_size(size_t count)
{
    size_t size = 1;
    while (size < SOG_MAX_PALETTE && 2 * size <= count)
        size *= 2;
    return size;
}

static int make_palette(struct sog *w)
{
    const struct gs_scene *s = w->s;
    size_t floats = (size_t)(gs_sh_coefs(s->sh_degree) - 1) * 3;
    float *rest = copy_sh(s, 3, floats);
    if (!rest)
        return fv_fail(FV_ENOMEM, "out of memory for %zu Gaussians", s->count);
    int rc = gs_cluster(&w->palette, rest, s->count, floats, palette_size(s->count),
                        w->opts->on_progress, w->opts->ud);
    free(rest);
    return rc < 0 ? rc : make_book(&w->rest, w->palette.centroids, w->palette.count * floats);
}

static int quantise(struct sog *w)
{
    const struct gs_scene *s = w->s;
    float *dc = copy_sh(s, 0, 3);
    int rc = dc ? place(w) : fv_fail(FV_ENOMEM, "out of memory for %zu Gaussians", s->count);
    if (rc == 0)
        rc = progress(w, "quantising", 0);
    if (rc == 0)
        rc = make_book(&w->scales, s->scale, 3 * s->count);
    if (rc == 0)
        rc = make_book(&w->sh0, dc, 3 * s->count);
    if (rc == 0 && s->sh_degree)
        rc = make_palette(w);
    free(dc);
    return rc;
}

/* ---- images ---- */

static void put_position(const struct sog *w, size_t g, uint8_t *low, uint8_t *high)
{
    for (size_t k = 0; k < 3; k++) {
        unsigned v = (unsigned)w->step[3 * g + k];
        low[k] = (uint8_t)v;
        high[k] = (uint8_t)(v >> 8);
    }
    low[3] = high[3] = 255;
}

/* Component k of a quaternion in 255ths when component `out` is left out; exact or not. */
static double rotation_step(const double q[4], int k, int out)
{
    return 255 * (q[k] * (q[out] < 0 ? -M_SQRT1_2 : M_SQRT1_2) + 0.5);
}

/* Which component to leave out: the largest, unless the others are whole steps without another
 * one. Rounding may have made two components change places in a rotation that was read from
 * such a file; it is then written as it was. */
static int left_out(const double q[4])
{
    int largest = 0;
    for (int k = 1; k < 4; k++)
        if (fabs(q[k]) > fabs(q[largest]))
            largest = k;
    for (int turn = 0; turn < 4; turn++) {
        int out = (largest + turn) % 4;
        double off = 0;
        for (int k = 0; k < 4; k++) {
            double step = rotation_step(q, k, out);
            if (k != out)
                off = fmax(off, fabs(step - round(step)));
            if (k != out && (step < -0.5 || step > 255.5))
                off = 1;
        }
        if (off < 1e-3 && fabs(q[out]) > 0.4)
            return out;
    }
    return largest;
}

static void put_rotation(const struct sog *w, size_t g, uint8_t *texel)
{
    double q[4], n = 0;
    for (int k = 0; k < 4; k++) {
        q[k] = (double)w->s->rotation[4 * g + (size_t)k];
        n += q[k] * q[k];
    }
    for (int k = 0; k < 4; k++)
        q[k] = n > 0 && n < INFINITY ? q[k] / sqrt(n) : k == 0;
    int out = left_out(q);
    texel[3] = (uint8_t)(252 + out);
    for (int k = 0; k < 4; k++)
        if (k != out)
            *texel++ = (uint8_t)lround(rotation_step(q, k, out));
}

static int fill_texels(void *ud, size_t begin, size_t end)
{
    const struct sog *w = ud;
    const struct gs_scene *s = w->s;
    size_t coefs = (size_t)gs_sh_coefs(s->sh_degree);
    for (size_t i = begin; i < end; i++) {
        size_t g = w->order[i], at = 4 * i;
        uint8_t *scale = w->image[SCALES].rgba + at, *sh0 = w->image[SH0].rgba + at;
        put_position(w, g, w->image[MEANS_L].rgba + at, w->image[MEANS_U].rgba + at);
        put_rotation(w, g, w->image[QUATS].rgba + at);
        for (size_t k = 0; k < 3; k++) {
            scale[k] = code(&w->scales, s->scale[3 * g + k]);
            sh0[k] = code(&w->sh0, s->sh[g * coefs * 3 + k]);
        }
        scale[3] = 255;
        sh0[3] = (uint8_t)gs_quantise(gs_sigmoid((double)s->opacity[g]), 255);
        if (s->sh_degree) {
            uint8_t *label = w->image[LABELS].rgba + at;
            label[0] = (uint8_t)w->palette.labels[g];
            label[1] = (uint8_t)(w->palette.labels[g] >> 8);
            label[3] = 255;
        }
    }
    return 0;
}

static void fill_palette(struct sog *w)
{
    size_t texels = w->palette.count * (size_t)(gs_sh_coefs(w->s->sh_degree) - 1);
    uint8_t *out = w->image[CENTROIDS].rgba;
    for (size_t i = 0; i < texels; i++) {
        for (size_t k = 0; k < 3; k++)
            out[4 * i + k] = code(&w->rest, w->palette.centroids[3 * i + k]);
        out[4 * i + 3] = 255;
    }
}

static int draw_images(struct sog *w)
{
    const struct gs_scene *s = w->s;
    uint32_t width = 4 * (uint32_t)ceil(sqrt((double)s->count) / 4);
    uint32_t height = (uint32_t)((s->count + width - 1) / width + 3) / 4 * 4;
    for (int i = 0; i < IMAGES; i++) {
        struct gs_image *im = &w->image[i];
        if (i >= CENTROIDS && !s->sh_degree)
            continue;
        im->width = width;
        im->height = height;
        if (i == CENTROIDS) {
            im->width = (uint32_t)(SOG_PALETTE_ROW * (gs_sh_coefs(s->sh_degree) - 1));
            im->height = (uint32_t)((w->palette.count + SOG_PALETTE_ROW - 1) / SOG_PALETTE_ROW);
        }
        im->rgba = calloc((size_t)im->width * im->height, 4);
        if (!im->rgba)
            return fv_fail(FV_ENOMEM, "out of memory for %zu Gaussians", s->count);
    }
    FV_TRY(fv_parallel(s->count, POINTS_GRAIN, fill_texels, w));
    if (s->sh_degree)
        fill_palette(w);
    return 0;
}

static int encode_images(void *ud, size_t begin, size_t end)
{
    struct sog *w = ud;
    for (size_t i = begin; i < end; i++)
        if (w->image[i].rgba)
            FV_TRY(gs_webp_write(&w->webp[i], &w->webp_size[i], &w->image[i]));
    return 0;
}

/* ---- meta.json ---- */

static void print_triple(FILE *f, const char *key, const double v[3])
{
    fprintf(f, "\"%s\":[%.17g,%.17g,%.17g],", key, v[0], v[1], v[2]);
}

static void print_book(FILE *f, const struct book *b)
{
    fprintf(f, "\"codebook\":[");
    for (int i = 0; i < BOOK; i++)
        fprintf(f, "%s%.9g", i ? "," : "", b->value[i]);
    fprintf(f, "],");
}

static int print_meta(struct sog *w)
{
    const struct gs_scene *s = w->s;
    FILE *f = open_memstream(&w->meta, &w->meta_size);
    if (!f)
        return fv_fail(FV_ENOMEM, "out of memory");
    fprintf(f, "{\"version\":2,\"asset\":{\"generator\":\"fovea %s\"},\"count\":%zu,",
            FOVEA_VERSION, s->count);
    if (s->mode == GS_MODE_ANTIALIASED)
        fprintf(f, "\"model\":\"antialiased\",");
    fprintf(f, "\"means\":{");
    print_triple(f, "mins", w->min);
    print_triple(f, "maxs", w->max);
    fprintf(f, "\"files\":[\"%s\",\"%s\"]},\"scales\":{", names[MEANS_L], names[MEANS_U]);
    print_book(f, &w->scales);
    fprintf(f, "\"files\":[\"%s\"]},\"quats\":{\"files\":[\"%s\"]},\"sh0\":{", names[SCALES],
            names[QUATS]);
    print_book(f, &w->sh0);
    fprintf(f, "\"files\":[\"%s\"]}", names[SH0]);
    if (s->sh_degree) {
        fprintf(f, ",\"shN\":{\"count\":%zu,\"bands\":%d,", w->palette.count, s->sh_degree);
        print_book(f, &w->rest);
        fprintf(f, "\"files\":[\"%s\",\"%s\"]}", names[CENTROIDS], names[LABELS]);
    }
    fprintf(f, "}");
    bool bad = ferror(f);
    return fclose(f) || bad ? fv_fail(FV_ENOMEM, "out of memory") : 0;
}

static int write_bundle(struct sog *w, struct fv_writer *out)
{
    struct fv_zip_writer zip = {.w = out};
    int rc = 0;
    for (int i = 0; i < IMAGES && rc == 0; i++)
        if (w->webp[i])
            rc = fv_zip_add(&zip, names[i], w->webp[i], w->webp_size[i]);
    if (rc == 0)
        rc = fv_zip_add(&zip, "meta.json", w->meta, w->meta_size);
    if (rc == 0)
        rc = fv_zip_end(&zip);
    fv_zip_writer_free(&zip);
    return rc;
}

static int write_sog(struct sog *w, struct fv_writer *out)
{
    FV_TRY(quantise(w));
    FV_TRY(progress(w, "drawing images", 2));
    FV_TRY(draw_images(w));
    FV_TRY(progress(w, "compressing", 3));
    FV_TRY(fv_parallel(IMAGES, 1, encode_images, w));
    FV_TRY(print_meta(w));
    return write_bundle(w, out);
}

int gs_write_sog(const struct gs_scene *s, struct fv_writer *out, const struct gs_save_opts *opts)
{
    static const struct gs_save_opts defaults = {0};
    /* sides are multiples of 4 below WebP's limit */
    const size_t most = (size_t)(GS_WEBP_MAX_SIDE / 4 * 4) * (GS_WEBP_MAX_SIDE / 4 * 4);
    if (!s->count || s->count > most)
        return fv_fail(FV_EINVALID, "%zu Gaussians cannot be a SOG bundle, which has 1 to %zu",
                       s->count, most);
    struct sog w = {.s = s, .opts = opts ? opts : &defaults};
    int rc = write_sog(&w, out);
    for (int i = 0; i < IMAGES; i++) {
        gs_image_free(&w.image[i]);
        free(w.webp[i]);
    }
    gs_clusters_free(&w.palette);
    free(w.step);
    free(w.order);
    free(w.meta);
    return rc;
}
