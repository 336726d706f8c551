/* See picture.h. Alpha and depth come as floats; they are coloured here, on the host, since they
 * are only looked at. */
#include "app/picture.h"
#include "app/image_io.h"
#include "vk/base/thread.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct painter {
    struct vk_device *screen;
    bool bgra;
    struct gs_renderer *renderer;
    struct gs_frame *frame, *beside, *probe; /* beside: of a second scene; probe: small ones, for picking */
    struct room {
        uint8_t *data;
        size_t bytes;
    } small, part; /* before it is enlarged; before it is put beside another */
};

int painter_create(struct painter **out, struct vk_device *dev, struct vk_device *screen, bool bgra)
{
    int rc = 0;
    *out = NULL;
    struct painter *p = calloc(1, sizeof *p);
    if (!p)
        return fv_fail(FV_ENOMEM, "out of memory");
    p->screen = screen;
    p->bgra = bgra;
    FV_GOTO(gs_renderer_create(&p->renderer, dev));
    FV_GOTO(gs_frame_create(&p->frame, p->renderer));
    FV_GOTO(gs_frame_create(&p->beside, p->renderer));
    FV_GOTO(gs_frame_create(&p->probe, p->renderer));
    *out = p;
    p = NULL;
done:
    painter_destroy(&p);
    return rc;
}

void painter_destroy(struct painter **p_)
{
    struct painter *p = *p_;
    if (!p)
        return;
    gs_frame_destroy(&p->frame);
    gs_frame_destroy(&p->beside);
    gs_frame_destroy(&p->probe);
    gs_renderer_destroy(&p->renderer);
    free(p->small.data);
    free(p->part.data);
    free(p);
    *p_ = NULL;
}

void picture_finish(struct picture *p)
{
    vk_buf_destroy(&p->pixels);
    *p = (struct picture){0};
}

static bool same_side(const struct picture_side *a, const struct picture_side *b)
{
    if (!a->scene && !b->scene)
        return true;
    return a->scene == b->scene && a->stream == b->stream && a->frame == b->frame && a->split == b->split &&
           a->line == b->line && a->swapped == b->swapped;
}

bool picture_same(const struct picture_request *a, const struct picture_request *b)
{
    const struct gs_camera *c = &a->camera, *d = &b->camera;
    const struct gs_render_opts *o = &a->opts, *q = &b->opts;
    double fa[] = {c->fx / c->width,  c->fy / c->height, c->cx / c->width,
                   c->cy / c->height, c->near,           c->far};
    double fb[] = {d->fx / d->width,  d->fy / d->height, d->cx / d->width,
                   d->cy / d->height, d->near,           d->far};
    return a->scene == b->scene && a->stream == b->stream && a->frame == b->frame &&
           same_side(&a->beside, &b->beside) && a->kind == b->kind && a->profile == b->profile &&
           !memcmp(c->view, d->view, sizeof c->view) && !memcmp(fa, fb, sizeof fa) &&
           c->has_bg == d->has_bg && !memcmp(c->bg, d->bg, sizeof c->bg) && o->mode == q->mode &&
           o->stereo == q->stereo &&
           o->sh_bands == q->sh_bands && o->splat_scale == q->splat_scale &&
           o->has_bg == q->has_bg && !memcmp(o->bg, q->bg, sizeof o->bg) &&
           o->has_crop == q->has_crop && !memcmp(o->crop_min, q->crop_min, sizeof o->crop_min) &&
           !memcmp(o->crop_max, q->crop_max, sizeof o->crop_max);
}

void picture_scale(struct gs_camera *c, uint32_t width, uint32_t height)
{
    double sx = (double)width / c->width, sy = (double)height / c->height;
    c->fx *= sx;
    c->cx *= sx;
    c->fy *= sy;
    c->cy *= sy;
    c->width = width;
    c->height = height;
}

/* --- colouring alpha and depth --- */

static int compare_floats(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Depths most of the frames' pixels lie between: the 2nd and 98th percentile of some. */
static void depth_range(struct gs_frame *const *frames, int count, float range[2])
{
    enum { SAMPLES = 4096 };
    float some[SAMPLES];
    size_t n = 0;
    for (int k = 0; k < count; k++) {
        const float *depth = frames[k]->pixels;
        size_t pixels = (size_t)frames[k]->width * frames[k]->height;
        for (size_t i = 0; i < pixels; i += pixels / (SAMPLES / 2) + 1)
            if (depth[i] > 0)
                some[n++] = depth[i];
    }
    qsort(some, n, sizeof *some, compare_floats);
    range[0] = n ? some[n / 50] : 1;
    range[1] = n ? some[n - 1 - n / 50] : 1;
}

/* Near to far: pale yellow, orange, red-violet, indigo; t in 0..1. */
static void depth_colour(float t, uint8_t out[4])
{
    static const float stops[5][3] = {
        {252, 246, 190}, {250, 173, 96}, {215, 84, 94}, {117, 39, 122}, {26, 16, 62}};
    float at = t * 4;
    int i = at >= 4 ? 3 : (int)at;
    for (int k = 0; k < 3; k++)
        out[k] = (uint8_t)(stops[i][k] + (stops[i + 1][k] - stops[i][k]) * (at - (float)i) + 0.5f);
    out[3] = 255;
}

static void colour_depth(uint8_t *out, const float *depth, size_t count, const float range[2], bool bgra)
{
    float base = logf(range[0]), span = fmaxf(logf(range[1]) - base, 1e-6f);
    for (size_t i = 0; i < count; i++, out += 4) {
        uint8_t c[4] = {0, 0, 0, 255};
        if (depth[i] > 0)
            depth_colour(fminf(fmaxf((logf(depth[i]) - base) / span, 0), 1), c);
        memcpy(out, bgra ? (uint8_t[4]){c[2], c[1], c[0], 255} : c, 4);
    }
}

static void colour_alpha(uint8_t *out, const float *alpha, size_t count)
{
    for (size_t i = 0; i < count; i++, out += 4) {
        out[0] = out[1] = out[2] = (uint8_t)(fminf(fmaxf(alpha[i], 0), 1) * 255 + 0.5f);
        out[3] = 255;
    }
}

/* --- enlarging --- */

/* Where a pixel of the larger picture lies in the smaller: between `at` and the one after it, by
 * weight/256. */
struct tap {
    uint32_t at, weight;
};

static struct tap tap_of(uint32_t i, uint32_t out_size, uint32_t size)
{
    double x = (i + 0.5) * size / out_size - 0.5;
    if (size < 2 || x <= 0)
        return (struct tap){0, 0};
    if (x >= size - 1)
        return (struct tap){size - 2, 256};
    return (struct tap){(uint32_t)x, (uint32_t)((x - floor(x)) * 256 + 0.5)};
}

/* A row between two, with 8 bits of fraction dropped. */
static void mix_rows(uint8_t *out, const uint8_t *a, const uint8_t *b, uint32_t weight, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)((a[i] * (256 - weight) + b[i] * weight + 128) >> 8);
}

/* Two channels at a time in the halves of a word. */
static uint32_t mix_pixels(uint32_t a, uint32_t b, uint32_t weight)
{
    const uint32_t even = 0x00ff00ff, half = 0x00800080;
    uint32_t low = ((a & even) * (256 - weight) + (b & even) * weight + half) >> 8 & even;
    uint32_t high = ((a >> 8 & even) * (256 - weight) + (b >> 8 & even) * weight + half) & ~even;
    return low | high;
}

int picture_enlarge(uint8_t *out, uint32_t out_width, uint32_t out_height, const uint8_t *in,
                    uint32_t width, uint32_t height)
{
    struct tap *columns = malloc(out_width * sizeof *columns);
    uint32_t *row = calloc((size_t)width + 1, 4); /* the last is read with weight 0 */
    if (!columns || !row) {
        free(columns);
        free(row);
        return fv_fail(FV_ENOMEM, "out of memory for the picture");
    }
    for (uint32_t x = 0; x < out_width; x++)
        columns[x] = tap_of(x, out_width, width);
    for (uint32_t y = 0; y < out_height; y++) {
        struct tap t = tap_of(y, out_height, height);
        const uint8_t *a = in + 4 * (size_t)width * t.at;
        mix_rows((uint8_t *)row, a, t.weight ? a + 4 * (size_t)width : a, t.weight,
                 4 * (size_t)width);
        uint8_t *to = out + 4 * (size_t)out_width * y;
        for (uint32_t x = 0; x < out_width; x++) {
            const uint32_t *c = row + columns[x].at;
            uint32_t mixed = mix_pixels(c[0], c[1], columns[x].weight);
            memcpy(to + 4 * (size_t)x, &mixed, 4);
        }
    }
    free(columns);
    free(row);
    return 0;
}

/* --- drawing --- */

/* RGBA -> BGRA, a pixel a step: compilers make shuffles of it. */
static void swap_red_and_blue(uint8_t *out, const uint8_t *in, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t c;
        memcpy(&c, in + 4 * i, 4);
        c = (c & 0xff00ff00u) | (c >> 16 & 0xff) | (c & 0xff) << 16;
        memcpy(out + 4 * i, &c, 4);
    }
}

/* The frame as 4 bytes a pixel; range: of depths. */
static void convert(uint8_t *out, const struct gs_frame *f, enum picture_kind kind, const float range[2], bool bgra)
{
    size_t count = (size_t)f->width * f->height;
    if (kind == PICTURE_DEPTH)
        colour_depth(out, f->pixels, count, range, bgra);
    else if (kind == PICTURE_ALPHA)
        colour_alpha(out, f->pixels, count);
    else if (bgra)
        swap_red_and_blue(out, f->pixels, count);
    else
        memcpy(out, f->pixels, count * 4);
}

static int make_room(struct room *r, size_t bytes)
{
    if (r->bytes < bytes) {
        free(r->data);
        r->data = malloc(bytes);
        r->bytes = r->data ? bytes : 0;
    }
    return r->data ? 0 : fv_fail(FV_ENOMEM, "out of memory for the picture");
}

/* --- two scenes in one picture --- */

enum { GAIN = 8 }; /* of differences */

/* How far two depths are apart, as a share of the farther; nothing against something is all of it. */
static void depth_difference(uint8_t *out, const float *a, const float *b, size_t count)
{
    for (size_t i = 0; i < count; i++, out += 4) {
        float most = fmaxf(a[i], b[i]), apart = most > 0 ? fabsf(a[i] - b[i]) / most : 0;
        out[0] = out[1] = out[2] = (uint8_t)(fminf(apart * GAIN, 1) * 255 + 0.5f);
        out[3] = 255;
    }
}

/* Into a, alpha apart. */
static void byte_difference(uint8_t *a, const uint8_t *b, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        int apart = GAIN * abs(a[i] - b[i]);
        a[i] = i % 4 == 3 || apart > 255 ? 255 : (uint8_t)apart;
    }
}

static double psnr_of(const uint8_t *a, const uint8_t *b, size_t pixels)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < 4 * pixels; i += 4)
        for (size_t k = i; k < i + 3; k++) {
            int d = a[k] - b[k];
            sum += (uint64_t)(d * d);
        }
    return sum ? 10 * log10(255.0 * 255.0 * 3 * (double)pixels / (double)sum) : INFINITY;
}

/* Rows of w pixels into the columns from x on of rows of `width`. */
static void put_rows(uint8_t *out, uint32_t width, uint32_t x, const uint8_t *in, uint32_t w, uint32_t height)
{
    for (uint32_t y = 0; y < height; y++)
        memcpy(out + 4 * ((size_t)y * width + x), in + 4 * (size_t)y * w, 4 * (size_t)w);
}

/* Both frames as one picture of `width`. Colours are measured, where both show the same part of the view. */
static int join(struct painter *p, const struct picture_request *r, uint8_t *to, uint32_t width, double *psnr)
{
    struct gs_frame *const f[2] = {p->frame, p->beside};
    const bool swapped = r->beside.swapped, difference = r->beside.split == PICTURE_DIFFERENCE;
    const size_t pixels[2] = {(size_t)f[0]->width * f[0]->height, (size_t)f[1]->width * f[1]->height};
    float range[2];
    FV_TRY(make_room(&p->part, 4 * (pixels[0] + pixels[1])));
    uint8_t *const part[2] = {p->part.data, p->part.data + 4 * pixels[0]};
    if (difference && r->kind == PICTURE_DEPTH) {
        depth_difference(to, f[0]->pixels, f[1]->pixels, pixels[0]);
        return 0;
    }
    if (r->kind == PICTURE_DEPTH)
        depth_range(f, 2, range);
    for (int i = 0; i < 2; i++)
        convert(part[i], f[i], r->kind, range, p->bgra);
    if (r->beside.split != PICTURE_WIPE && r->kind != PICTURE_DEPTH)
        *psnr = psnr_of(part[0], part[1], pixels[0]);
    if (difference) {
        byte_difference(part[0], part[1], 4 * pixels[0]);
        memcpy(to, part[0], 4 * pixels[0]);
        return 0;
    }
    put_rows(to, width, 0, part[swapped], f[swapped]->width, f[0]->height);
    put_rows(to, width, f[swapped]->width, part[!swapped], f[!swapped]->width, f[0]->height);
    return 0;
}

/* --- into the picture --- */

static int fill(struct painter *p, const struct picture_request *r, uint8_t *to, uint32_t width, double *psnr)
{
    float range[2];
    *psnr = 0;
    if (r->beside.scene)
        return join(p, r, to, width, psnr);
    if (r->kind == PICTURE_DEPTH)
        depth_range(&p->frame, 1, range);
    convert(to, p->frame, r->kind, range, p->bgra);
    return 0;
}

/* Into the picture's buffer, made large enough and read by nothing. */
static int keep(struct painter *p, struct picture *out, const struct picture_request *r)
{
    const struct gs_frame *f = p->frame;
    bool both = r->beside.scene && r->beside.split != PICTURE_DIFFERENCE;
    uint32_t width = f->width + (both ? p->beside->width : 0);
    bool enlarge = r->fill_width > width || r->fill_height > f->height;
    uint32_t w = enlarge ? r->fill_width : width, h = enlarge ? r->fill_height : f->height;
    uint64_t bytes = (uint64_t)w * h * 4;
    if (out->pixels.size < bytes) {
        vk_buf_destroy(&out->pixels);
        FV_TRY(vk_buf_create(&out->pixels, p->screen, bytes, VK_BUF_UPLOAD, "viewer picture"));
    }
    FV_TRY(vk_buf_settle(&out->pixels));
    out->width = w;
    out->height = h;
    out->bgra = p->bgra;
    out->stats = f->stats;
    if (enlarge) {
        FV_TRY(make_room(&p->small, 4 * (size_t)width * f->height));
        FV_TRY(fill(p, r, p->small.data, width, &out->psnr));
        FV_TRY(picture_enlarge(out->pixels.map, w, h, p->small.data, width, f->height));
    } else {
        FV_TRY(fill(p, r, out->pixels.map, width, &out->psnr));
    }
    return vk_buf_flush(&out->pixels, 0, bytes);
}

/* Each scene's part of a picture that a line divides: no pixel is drawn twice. */
static void cut_at_line(struct gs_camera c[2], struct gs_render_opts o[2], const struct picture_side *s)
{
    uint32_t width = c[0].width;
    double x = fmin(fmax(round(s->line * width), 1), width > 1 ? width - 1 : 1);
    struct gs_camera *left = &c[s->swapped], *right = &c[!s->swapped];
    left->width = (uint32_t)x;
    right->width = width > left->width ? width - left->width : 1;
    right->cx -= x;
    o[0].part_of = o[1].part_of = width;
    o[!s->swapped].part_x = left->width;
}

static int draw(struct painter *p, const struct picture_request *r, struct picture *out)
{
    static const enum gs_output outputs[] = {GS_OUT_RGBA8, GS_OUT_ALPHA_F32, GS_OUT_DEPTH_F32};
    struct gs_frame *const frames[2] = {p->frame, p->beside};
    const struct gs_gpu_scene *const scenes[2] = {r->scene, r->beside.scene};
    struct gs_camera cameras[2] = {r->camera, r->camera};
    struct gs_render_opts opts[2] = {r->opts, r->opts};
    opts[0].output = opts[1].output = outputs[r->kind];
    if (r->beside.scene && r->beside.split == PICTURE_WIPE)
        cut_at_line(cameras, opts, &r->beside);
    for (int i = 0; i < 2 && scenes[i]; i++) {
        gs_frame_profile(frames[i], r->profile);
        FV_TRY(gs_frame_submit(frames[i], scenes[i], &cameras[i], &opts[i]));
        FV_TRY(gs_frame_wait(frames[i]));
    }
    return keep(p, out, r);
}

int painter_draw(struct painter *p, const struct picture_request *r, struct picture *out)
{
    double start = fv_now();
    int rc = draw(p, r, out);
    if (rc < 0)
        out->width = out->height = 0;
    out->ms = (fv_now() - start) * 1000;
    return rc;
}

int picture_save(const struct picture *p, const char *path)
{
    if (!p->width)
        return fv_fail(FV_EINVALID, "%s: there is no picture to save yet", path);
    size_t count = (size_t)p->width * p->height;
    const uint8_t *from = p->pixels.map;
    int red = p->bgra ? 2 : 0;
    uint8_t *rgb = malloc(count * 3);
    if (!rgb)
        return fv_fail(FV_ENOMEM, "%s: out of memory for a picture of %ux%u", path, p->width,
                       p->height);
    for (size_t i = 0; i < count; i++) { /* already over the background: alpha is left out */
        rgb[3 * i] = from[4 * i + red];
        rgb[3 * i + 1] = from[4 * i + 1];
        rgb[3 * i + 2] = from[4 * i + 2 - red];
    }
    int rc = image_save_png(path, rgb, p->width, p->height, 3, NULL);
    free(rgb);
    return rc;
}

/* --- picking --- */

static int probe(struct painter *p, const struct picture_request *r, const struct gs_camera *c,
                 enum gs_output output, size_t pixel, float *out)
{
    struct gs_render_opts opts = r->opts;
    opts.output = output;
    FV_TRY(gs_frame_submit(p->probe, r->scene, c, &opts));
    FV_TRY(gs_frame_wait(p->probe));
    memcpy(out, (const float *)p->probe->pixels + pixel, sizeof *out);
    return 0;
}

int painter_pick(struct painter *p, const struct picture_request *r, double x, double y,
                 double world[3])
{
    const double most = 480, solid = 0.3;
    struct gs_camera c = r->camera;
    double shrink = fmin(1, most / fmax(c.width, c.height));
    picture_scale(&c, (uint32_t)fmax(c.width * shrink, 1), (uint32_t)fmax(c.height * shrink, 1));
    double px = x / r->camera.width * c.width, py = y / r->camera.height * c.height;
    if (!(px >= 0 && py >= 0 && px < c.width && py < c.height))
        return 0;
    size_t pixel = (size_t)py * c.width + (size_t)px;
    float alpha, depth;
    FV_TRY(probe(p, r, &c, GS_OUT_ALPHA_F32, pixel, &alpha));
    if (!(alpha >= solid))
        return 0;
    FV_TRY(probe(p, r, &c, GS_OUT_DEPTH_F32, pixel, &depth));
    double eye[3], seen[3] = {(px - c.cx) / c.fx * depth, (py - c.cy) / c.fy * depth, depth};
    gs_camera_centre(&c, eye);
    for (int i = 0; i < 3; i++)
        world[i] = eye[i] + c.view[i] * seen[0] + c.view[4 + i] * seen[1] + c.view[8 + i] * seen[2];
    return 1;
}
