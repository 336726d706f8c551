/* See picture.h. Alpha and depth come as floats; they are coloured here, on the host, since they
 * are only looked at. */
#include "app/picture.h"
#include "app/image_io.h"
#include "vk/base/thread.h"
#include "vk/xfer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct picture_private {
    struct vk_device *dev;
    struct gs_renderer *renderer;
    struct gs_frame *frame, *probe; /* probe: small ones, for picking */
    struct vk_buf coloured;         /* RGBA8 of an alpha or depth picture */
};

int picture_create(struct picture **out, struct vk_device *dev)
{
    int rc = 0;
    *out = NULL;
    struct picture *p = calloc(1, sizeof *p);
    if (!p || !(p->p = calloc(1, sizeof *p->p))) {
        free(p);
        return fv_fail(FV_ENOMEM, "out of memory");
    }
    p->p->dev = dev;
    FV_GOTO(gs_renderer_create(&p->p->renderer, dev));
    FV_GOTO(gs_frame_create(&p->p->frame, p->p->renderer));
    FV_GOTO(gs_frame_create(&p->p->probe, p->p->renderer));
    *out = p;
    p = NULL;
done:
    picture_destroy(&p);
    return rc;
}

void picture_destroy(struct picture **p_)
{
    struct picture *p = *p_;
    if (!p)
        return;
    gs_frame_destroy(&p->p->frame);
    gs_frame_destroy(&p->p->probe);
    gs_renderer_destroy(&p->p->renderer);
    vk_buf_destroy(&p->p->coloured);
    free(p->p);
    free(p);
    *p_ = NULL;
}

bool picture_same(const struct picture_request *a, const struct picture_request *b)
{
    const struct gs_camera *c = &a->camera, *d = &b->camera;
    const struct gs_render_opts *o = &a->opts, *q = &b->opts;
    double fa[] = {c->fx / c->width,  c->fy / c->height, c->cx / c->width,
                   c->cy / c->height, c->near,           c->far};
    double fb[] = {d->fx / d->width,  d->fy / d->height, d->cx / d->width,
                   d->cy / d->height, d->near,           d->far};
    return a->scene == b->scene && a->kind == b->kind && a->profile == b->profile &&
           !memcmp(c->view, d->view, sizeof c->view) && !memcmp(fa, fb, sizeof fa) &&
           c->has_bg == d->has_bg && !memcmp(c->bg, d->bg, sizeof c->bg) && o->mode == q->mode &&
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

/* Depths most of the picture lies between: the 2nd and 98th percentile of some pixels. */
static void depth_range(const float *depth, size_t count, float *low, float *high)
{
    enum { SAMPLES = 4096 };
    float some[SAMPLES];
    size_t n = 0, step = count / SAMPLES + 1;
    for (size_t i = 0; i < count; i += step)
        if (depth[i] > 0)
            some[n++] = depth[i];
    qsort(some, n, sizeof *some, compare_floats);
    *low = n ? some[n / 50] : 1;
    *high = n ? some[n - 1 - n / 50] : 1;
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

static void colour_depth(uint8_t *out, const float *depth, size_t count)
{
    float low, high;
    depth_range(depth, count, &low, &high);
    float base = logf(low), span = fmaxf(logf(high) - base, 1e-6f);
    for (size_t i = 0; i < count; i++, out += 4) {
        if (depth[i] > 0)
            depth_colour(fminf(fmaxf((logf(depth[i]) - base) / span, 0), 1), out);
        else
            memcpy(out, (uint8_t[4]){0, 0, 0, 255}, 4);
    }
}

static void colour_alpha(uint8_t *out, const float *alpha, size_t count)
{
    for (size_t i = 0; i < count; i++, out += 4) {
        out[0] = out[1] = out[2] = (uint8_t)(fminf(fmaxf(alpha[i], 0), 1) * 255 + 0.5f);
        out[3] = 255;
    }
}

static int colour(struct picture *p, enum picture_kind kind)
{
    struct picture_private *q = p->p;
    const struct gs_frame *f = q->frame;
    size_t count = (size_t)f->width * f->height;
    if (q->coloured.size < count * 4) {
        vk_buf_destroy(&q->coloured);
        FV_TRY(vk_buf_create(&q->coloured, q->dev, count * 4, VK_BUF_UPLOAD, "coloured picture"));
    }
    if (kind == PICTURE_DEPTH)
        colour_depth(q->coloured.map, f->pixels, count);
    else
        colour_alpha(q->coloured.map, f->pixels, count);
    FV_TRY(vk_buf_flush(&q->coloured, 0, count * 4));
    p->rgba = &q->coloured;
    return 0;
}

/* --- drawing --- */

int picture_draw(struct picture *p, const struct picture_request *r)
{
    static const enum gs_output outputs[] = {GS_OUT_RGBA8, GS_OUT_ALPHA_F32, GS_OUT_DEPTH_F32};
    struct gs_frame *f = p->p->frame;
    struct gs_render_opts opts = r->opts;
    double start = fv_now();
    opts.output = outputs[r->kind];
    p->rgba = NULL;
    gs_frame_keep_on_device(f, r->kind == PICTURE_COLOUR);
    gs_frame_profile(f, r->profile);
    FV_TRY(gs_frame_submit(f, r->scene, &r->camera, &opts));
    FV_TRY(gs_frame_wait(f));
    p->stats = f->stats;
    p->width = f->width;
    p->height = f->height;
    if (r->kind == PICTURE_COLOUR)
        p->rgba = f->device_pixels;
    else
        FV_TRY(colour(p, r->kind));
    p->ms = (fv_now() - start) * 1000;
    return 0;
}

int picture_save(struct picture *p, const char *path)
{
    if (!p->rgba)
        return fv_fail(FV_EINVALID, "%s: there is no picture to save yet", path);
    size_t count = (size_t)p->width * p->height;
    uint8_t *pixels = malloc(count * 4);
    if (!pixels)
        return fv_fail(FV_ENOMEM, "%s: out of memory for a picture of %ux%u", path, p->width,
                       p->height);
    int rc = 0;
    if (p->rgba->kind == VK_BUF_UPLOAD)
        memcpy(pixels, p->rgba->map, count * 4);
    else
        FV_GOTO(vk_download(pixels, p->rgba, 0, count * 4));
    for (size_t i = 0; i < count; i++) /* already over the background: alpha is left out */
        memmove(pixels + 3 * i, pixels + 4 * i, 3);
    FV_GOTO(image_save_png(path, pixels, p->width, p->height, 3, NULL));
done:
    free(pixels);
    return rc;
}

/* --- picking --- */

static int probe(struct picture *p, const struct picture_request *r, const struct gs_camera *c,
                 enum gs_output output, size_t pixel, float *out)
{
    struct gs_render_opts opts = r->opts;
    opts.output = output;
    FV_TRY(gs_frame_submit(p->p->probe, r->scene, c, &opts));
    FV_TRY(gs_frame_wait(p->p->probe));
    memcpy(out, (const float *)p->p->probe->pixels + pixel, sizeof *out);
    return 0;
}

int picture_pick(struct picture *p, const struct picture_request *r, double x, double y,
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
