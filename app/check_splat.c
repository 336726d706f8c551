/* check --arch splat: projection and pictures of a scene against reference rasterisers
 * (check.h). Layout of a case: scene.ply, cameras.json (a plain list) and for each camera
 * folders CAMERA_IMPLEMENTATION of .npy arrays; any array may be absent. The same calls render
 * as `fovea render` with --exact does. */
#include "app/check.h"
#include "app/scene_in.h"
#include "gs/gs.h"
#include "vk/base/file.h"
#include "vk/base/npy.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What an implementation's name says about it. */
static const struct implementation {
    const char *name;
    enum gs_mode mode;
    double pixel_offset;  /* added to its means2d: where its pixel (0,0) has its centre */
    double opacity_floor; /* what its compensated opacity may differ by where ours is least */
    bool cuts_at_3_sigma; /* draws a Gaussian only in the tiles within three standard deviations */
} implementations[] = {
    {"gsplat_classic", GS_MODE_CLASSIC, 0, 0, false},
    {"gsplat_antialiased", GS_MODE_ANTIALIASED, 0, 0, false},
    {"inria_classic", GS_MODE_CLASSIC, 0.5, 0, true},
    /* its compensation goes down to 0.001 or 0, ours, as gsplat's, to 0.005 */
    {"mip_k0.3", GS_MODE_ANTIALIASED, 0.5, 5e-3, true},
};

/* The README of the reference vectors suggests these for pictures; depths, which are of any
 * size, are taken relative to max(1, depth). What is cut at three sigma is up to a tenth in
 * alpha, where nothing lies behind it. */
static const struct check_bounds rgb_bounds = {
    .absolute = 1e-4, .least_good = 0.995, .most = 2e-2, .most_mean = 2e-5};
static const struct check_bounds alpha_bounds = {
    .absolute = 1e-4, .least_good = 0.995, .most = 2e-2, .most_mean = 2e-5};
static const struct check_bounds depth_bounds = {
    .absolute = 1e-4, .relative = 1e-4, .least_good = 0.995, .most = 2e-2};
enum { CUT_FACTOR = 5 };

struct work {
    struct check *check;
    const char *dir;
    struct gs_scene scene;
    struct gs_gpu_scene *gpu;
    struct gs_renderer *renderer;
    struct gs_frame *frame;
    struct gs_cameras cameras;
    /* of the camera and implementation at hand */
    const struct gs_camera *camera;
    const struct implementation *impl;
    char folder[512];
    struct gs_projection projection;
    double *twin; /* [height][width][5] of gs_render_reference */
    double *got, *want, *slack;
    size_t room;
};

/* ---- arrays ----------------------------------------------------------------------------- */

static int grow(struct work *w, size_t n)
{
    if (n <= w->room)
        return 0;
    free(w->got);
    free(w->want);
    free(w->slack);
    w->got = malloc(n * sizeof *w->got);
    w->want = malloc(n * sizeof *w->want);
    w->slack = malloc(n * sizeof *w->slack);
    w->room = w->got && w->want && w->slack ? n : 0;
    return w->room ? 0 : fv_fail(FV_ENOMEM, "out of memory");
}

/* Reads an array that must have n elements into w->want: 1, 0 when there is no such file, or a
 * code. */
static int read_array(struct work *w, const char *name, size_t n)
{
    char path[1024];
    struct fv_npy a;
    snprintf(path, sizeof path, "%s/%s.npy", w->folder, name);
    if (!fv_exists(path))
        return 0;
    FV_TRY(fv_npy_open(&a, path));
    int rc = a.count == n ? grow(w, n)
                          : fv_fail(FV_EFORMAT, "%s: %zu elements, expected %zu", path, a.count, n);
    if (rc >= 0)
        fv_npy_get_f64(&a, w->want);
    fv_npy_close(&a);
    return rc < 0 ? rc : 1;
}

/* ---- projection ------------------------------------------------------------------------- */

/* A reference row counts when that implementation drew the Gaussian too: radii say so, or,
 * without them, values that are finite and not all zero. Others become NaN: left out. */
static int leave_out_invisible(struct work *w, size_t columns)
{
    size_t n = w->scene.count;
    double *values = malloc(n * columns * sizeof *values);
    if (!values)
        return fv_fail(FV_ENOMEM, "out of memory");
    memcpy(values, w->want, n * columns * sizeof *values);
    size_t per_row = 1;
    int radii = read_array(w, "radii", n);
    if (radii < 0) {
        per_row = 2;
        radii = read_array(w, "radii", 2 * n);
    }
    for (size_t i = 0; radii >= 0 && i < n; i++) {
        bool visible = w->projection.visible[i] != 0, any = false;
        for (size_t k = 0; k < columns; k++) {
            any = any || values[i * columns + k] != 0;
            visible = visible && isfinite(values[i * columns + k]);
        }
        visible = visible && (radii ? w->want[i * per_row] > 0 : any);
        for (size_t k = 0; !visible && k < columns; k++)
            values[i * columns + k] = NAN;
    }
    if (radii >= 0)
        memcpy(w->want, values, n * columns * sizeof *values);
    free(values);
    return radii < 0 ? radii : 0;
}

/* How ill-conditioned row i is. The conic is the inverse of a 2x2 covariance [a b; b c]: its
 * relative error is that of a*c - b*b, which cancels by a*c / (a*c - b*b). The same without the
 * 0.3 px filter for the compensation of the opacity. Rounding of the covariance before that
 * is of a few dozen operations: 2^-14 for each unit of cancellation, at most 5 % in all. */
static void conditioning(const struct work *w, size_t i, double *conic, double *opacity)
{
    const float *q = w->projection.conics + 3 * i;
    double A = (double)q[0], B = (double)q[1], C = (double)q[2], det = A * C - B * B;
    double a = C / det, b = -B / det, c = A / det, bare = (a - 0.3) * (c - 0.3) - b * b;
    *conic = fmin(fabs(A * C / det) * 0x1p-14, 0.05);
    *opacity = fmin(fabs(a * c / bare) * 0x1p-14, 0.05);
    if (!isfinite(*conic))
        *conic = 0;
    if (!isfinite(*opacity))
        *opacity = 0.05;
}

enum slack { NO_SLACK, CONIC_SLACK, OPACITY_SLACK };

/* Compares our array, `columns` wide, with as many columns of a reference array. */
struct column_map {
    const char *file, *label;
    size_t file_columns, file_from;
    size_t columns;
    const float *ours;
    double offset; /* added to the reference */
    struct check_bounds bounds;
    enum slack slack;
};

static void fill_slack(struct work *w, const struct column_map *m)
{
    for (size_t i = 0; i < w->scene.count; i++) {
        const float *q = w->projection.conics + 3 * i;
        double conic = 0, opacity = 0, size = sqrt(fabs((double)q[0] * (double)q[2]));
        if (m->slack)
            conditioning(w, i, &conic, &opacity);
        for (size_t k = 0; k < m->columns; k++) {
            double *s = &w->slack[i * m->columns + k], v = (double)m->ours[i * m->columns + k];
            *s = m->slack == CONIC_SLACK     ? conic * fmax(fabs(v), size)
                 : m->slack == OPACITY_SLACK ? opacity * fabs(v)
                                             : 0;
            if (!isfinite(*s))
                *s = 0;
        }
    }
}

static int check_columns(struct work *w, const struct column_map *m)
{
    size_t n = w->scene.count;
    int there = read_array(w, m->file, n * m->file_columns);
    if (there <= 0)
        return there;
    FV_TRY(leave_out_invisible(w, m->file_columns));
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < m->columns; k++) {
            w->want[i * m->columns + k] =
                w->want[i * m->file_columns + m->file_from + k] + m->offset;
            w->got[i * m->columns + k] = (double)m->ours[i * m->columns + k];
        }
    }
    fill_slack(w, m);
    struct check_error e;
    check_measure(&e, w->got, w->want, w->slack, n * m->columns, &m->bounds);
    e.width = m->columns > 1 ? m->columns : 0;
    check_row(w->check, m->label, &e);
    return 0;
}

/* Relative 1e-4 everywhere; the absolute parts: a thousandth of a pixel; a ten-thousandth of
 * colour and opacity; conics are 1/px^2 and 1e-5 of them moves no pixel beyond 1e-4. */
static int check_projection(struct work *w)
{
    const struct gs_projection *p = &w->projection;
    const struct check_bounds tight = {.absolute = 1e-4, .relative = 1e-4};
    const struct check_bounds conic = {.absolute = 1e-5, .relative = 1e-4};
    const struct check_bounds opac = {.absolute = 1e-4 + w->impl->opacity_floor, .relative = 1e-4};
    enum slack compensated = w->impl->mode == GS_MODE_ANTIALIASED ? OPACITY_SLACK : NO_SLACK;
    const struct column_map maps[] = {
        {"means2d",
         "means2d",
         2,
         0,
         2,
         p->means2d,
         w->impl->pixel_offset,
         {.absolute = 1e-3, .relative = 1e-4},
         NO_SLACK},
        {"depths", "depths", 1, 0, 1, p->depths, 0, tight, NO_SLACK},
        {"conics", "conics", 3, 0, 3, p->conics, 0, conic, CONIC_SLACK},
        {"conic_opacity", "conic_opacity (conic)", 4, 0, 3, p->conics, 0, conic, CONIC_SLACK},
        {"conic_opacity", "conic_opacity (opac)", 4, 3, 1, p->opacity, 0, opac, compensated},
        {"opac", "opac", 1, 0, 1, p->opacity, 0, opac, compensated},
        {"colors", "colors", 3, 0, 3, p->colors, 0, tight, NO_SLACK},
    };
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++)
        FV_TRY(check_columns(w, &maps[i]));
    return 0;
}

/* ---- pictures --------------------------------------------------------------------------- */

/* The double-precision value of element i of a picture. */
static double twin_value(const struct work *w, enum gs_output output, size_t i)
{
    const double *pixel = w->twin + 5 * (output == GS_OUT_RGB_F32 ? i / 3 : i);
    return output == GS_OUT_RGB_F32         ? pixel[i % 3]
           : output == GS_OUT_ALPHA_F32     ? pixel[3]
           : output == GS_OUT_DEPTH_ACC_F32 ? pixel[4]
                                            : pixel[4] / fmax(pixel[3], 1e-10);
}

/* Two float32 pictures each scatter around the double-precision one: beyond the tolerance may
 * be twice the share of the reference's own elements that are (at most a tenth). */
static double least_good(const struct work *w, enum gs_output output, size_t n,
                         const struct check_bounds *b)
{
    size_t beyond = 0;
    for (size_t i = 0; i < n; i++)
        beyond += !(fabs(w->want[i] - twin_value(w, output, i)) <=
                    b->absolute + b->relative * fabs(w->want[i]));
    return fmax(b->least_good - 2 * (double)beyond / (double)n, 0.9);
}

static int check_picture(struct work *w, const char *file, enum gs_output output, size_t channels,
                         struct check_bounds bounds)
{
    size_t n = (size_t)w->camera->width * w->camera->height * channels;
    int there = read_array(w, file, n);
    if (there <= 0)
        return there;
    struct gs_render_opts o = {.mode = w->impl->mode, .output = output, .exact = true};
    FV_TRY(gs_frame_submit(w->frame, w->gpu, w->camera, &o));
    FV_TRY(gs_frame_wait(w->frame));
    for (size_t i = 0; i < n; i++) {
        float f;
        memcpy(&f, (const char *)w->frame->pixels + 4 * i, 4);
        w->got[i] = (double)f;
    }
    if (w->impl->cuts_at_3_sigma && output != GS_OUT_RGB_F32)
        bounds.most *= CUT_FACTOR;
    bounds.least_good = least_good(w, output, n, &bounds);
    struct check_error e;
    check_measure(&e, w->got, w->want, NULL, n, &bounds);
    e.width = w->camera->width * channels;
    check_row(w->check, file, &e);
    return 0;
}

static int check_pictures(struct work *w)
{
    struct gs_render_opts o = {.mode = w->impl->mode};
    free(w->twin);
    w->twin = malloc((size_t)w->camera->width * w->camera->height * 5 * sizeof *w->twin);
    if (!w->twin)
        return fv_fail(FV_ENOMEM, "out of memory");
    FV_TRY(gs_render_reference(&w->scene, w->camera, &o, w->twin));
    FV_TRY(check_picture(w, "rgb", GS_OUT_RGB_F32, 3, rgb_bounds));
    FV_TRY(check_picture(w, "alpha", GS_OUT_ALPHA_F32, 1, alpha_bounds));
    FV_TRY(check_picture(w, "depth_ed", GS_OUT_DEPTH_F32, 1, depth_bounds));
    return check_picture(w, "depth_acc", GS_OUT_DEPTH_ACC_F32, 1, depth_bounds);
}

/* ---- cases ------------------------------------------------------------------------------ */

static int check_folder(struct work *w)
{
    struct gs_render_opts o = {.mode = w->impl->mode, .exact = true};
    FV_TRY(gs_project(w->renderer, w->gpu, w->camera, &o, &w->projection));
    FV_TRY(check_projection(w));
    return check_pictures(w);
}

/* The camera whose name and an underscore begin the folder's name; the longest such. */
static const struct gs_camera *camera_of(const struct gs_cameras *c, const char *folder)
{
    const struct gs_camera *best = NULL;
    size_t longest = 0;
    for (size_t i = 0; i < c->count; i++) {
        size_t n = strlen(c->items[i].name);
        if (n > longest && !strncmp(folder, c->items[i].name, n) && folder[n] == '_') {
            best = &c->items[i];
            longest = n;
        }
    }
    return best;
}

static void check_entry(struct work *w, const char *name)
{
    w->camera = camera_of(&w->cameras, name);
    snprintf(w->folder, sizeof w->folder, "%s/%s", w->dir, name);
    if (!w->camera || !fv_is_dir(w->folder))
        return;
    const char *impl = name + strlen(w->camera->name) + 1;
    check_group(w->check, "%s", name);
    w->impl = NULL;
    for (size_t i = 0; i < sizeof implementations / sizeof *implementations; i++)
        if (!strcmp(implementations[i].name, impl))
            w->impl = &implementations[i];
    if (!w->impl && !strncmp(impl, "mip_k", 5))
        check_skip(w->check, "all", "filter of %s px; this renderer's is 0.3", impl + 5);
    else if (!w->impl)
        check_skip(w->check, "all", "unknown implementation %s", impl);
    else if (check_folder(w) < 0)
        check_failure(w->check, "error");
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int alloc_projection(struct gs_projection *p, size_t n)
{
    p->means2d = malloc(n * 2 * sizeof(float));
    p->depths = malloc(n * sizeof(float));
    p->conics = malloc(n * 3 * sizeof(float));
    p->colors = malloc(n * 3 * sizeof(float));
    p->opacity = malloc(n * sizeof(float));
    p->visible = malloc(n);
    if (!p->means2d || !p->depths || !p->conics || !p->colors || !p->opacity || !p->visible)
        return fv_fail(FV_ENOMEM, "out of memory");
    return 0;
}

static int open_case(struct work *w)
{
    char path[1024];
    struct vk_device *dev;
    FV_TRY(app_device(w->check->app, &dev));
    snprintf(path, sizeof path, "%s/scene.ply", w->dir);
    FV_TRY(gs_scene_load(&w->scene, path, NULL));
    snprintf(path, sizeof path, "%s/cameras.json", w->dir);
    FV_TRY(gs_cameras_load(&w->cameras, path, NULL));
    FV_TRY(alloc_projection(&w->projection, w->scene.count));
    FV_TRY(gs_gpu_scene_create(&w->gpu, dev, &w->scene, &(struct gs_upload_opts){.exact = true}));
    FV_TRY(gs_renderer_create(&w->renderer, dev));
    return gs_frame_create(&w->frame, w->renderer);
}

int check_splat(struct check *c, const char *dir)
{
    struct work w = {.check = c, .dir = dir};
    struct dirent **entries = NULL;
    int rc = open_case(&w);
    int n = rc >= 0 ? scandir(dir, &entries, NULL, by_name) : 0;
    for (int i = 0; i < n; i++) {
        if (!app_cancelled())
            check_entry(&w, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    gs_frame_destroy(&w.frame);
    gs_renderer_destroy(&w.renderer);
    gs_gpu_scene_destroy(&w.gpu);
    gs_scene_finish(&w.scene);
    gs_cameras_finish(&w.cameras);
    free(w.projection.means2d);
    free(w.projection.depths);
    free(w.projection.conics);
    free(w.projection.colors);
    free(w.projection.opacity);
    free(w.projection.visible);
    free(w.twin);
    free(w.got);
    free(w.want);
    free(w.slack);
    return rc;
}
