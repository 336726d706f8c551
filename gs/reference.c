/* The slow, obvious renderer: double precision, one CPU, no tiles (gs.h, gs_render_reference).
 *
 * Kerbl et al. 2023, with the projection and blending rules that gsplat and the INRIA
 * rasteriser share:
 *
 *     t = view * mean, left out when float32(t.z) <= 0.2 (gs_near_plane)
 *     Sigma = R diag(s)^2 R^T,  J = d(pixel)/d(t) at t clamped to 1.15 x the picture
 *     cov = J view Sigma view^T J^T,  conic = inverse(cov + 0.3 I)
 *     by float32(t.z), then by index:
 *         sigma = d^T conic d / 2,  alpha = min(0.99, opacity exp(-sigma))
 *         nothing when sigma < 0 or alpha < 1/255;  stop before T (1 - alpha) <= 1e-4
 *         rgb += colour alpha T,  depth += t.z alpha T,  T *= 1 - alpha
 *     rgb += T background
 */
#include "gs/camera.h"
#include "vk/base/thread.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define EPS_2D      0.3
#define MOST_ALPHA  0.99
#define LEAST_ALPHA (1.0 / 255.0)
#define LEAST_T     1e-4

/* A Gaussian as the camera sees it. */
struct splat {
    uint32_t index;
    float sort_z;
    double x, y, z; /* centre in pixels, view depth */
    double a, b, c; /* conic */
    double opacity;
    double rgb[3];
    int x0, x1, y0, y1; /* pixels that may reach 1/255: x0 <= x < x1 */
};

struct view {
    const struct gs_scene *scene;
    const struct gs_camera *camera;
    const struct gs_render_opts *opts;
    double centre[3], background[3];
    double splat_scale;
    float near_plane;
    int bands;
    bool antialiased;
    struct splat *splats;
    size_t count;
    double *out;
};

/* Colour = max(0, 0.5 + SH(direction)); basis and signs of the original code. */
static void shade(const struct view *v, size_t i, double rgb[3])
{
    const struct gs_scene *s = v->scene;
    const float *p = s->position + 3 * i, *sh = s->sh + i * (size_t)gs_sh_coefs(s->sh_degree) * 3;
    double d[3], length = 0;
    for (int k = 0; k < 3; k++) {
        d[k] = p[k] - v->centre[k];
        length += d[k] * d[k];
    }
    length = sqrt(length);
    double x = d[0] / length, y = d[1] / length, z = d[2] / length;
    const double basis[16] = {
        0.28209479177387814,
        -0.4886025119029199 * y,
        0.4886025119029199 * z,
        -0.4886025119029199 * x,
        1.0925484305920792 * x * y,
        -1.0925484305920792 * y * z,
        0.31539156525252005 * (2 * z * z - x * x - y * y),
        -1.0925484305920792 * x * z,
        0.5462742152960396 * (x * x - y * y),
        -0.5900435899266435 * y * (3 * x * x - y * y),
        2.890611442640554 * x * y * z,
        -0.4570457994644658 * y * (4 * z * z - x * x - y * y),
        0.3731763325901154 * z * (2 * z * z - 3 * x * x - 3 * y * y),
        -0.4570457994644658 * x * (4 * z * z - x * x - y * y),
        1.445305721320277 * z * (x * x - y * y),
        -0.5900435899266435 * x * (x * x - 3 * y * y),
    };
    for (int ch = 0; ch < 3; ch++) {
        rgb[ch] = 0.5;
        for (int k = 0; k < v->bands * v->bands; k++)
            rgb[ch] += basis[k] * sh[3 * k + ch];
        rgb[ch] = fmax(rgb[ch], 0);
    }
}

/* M = R diag(s), so that Sigma = M M^T. */
static void scaled_rotation(const struct view *v, size_t i, double m[3][3])
{
    const float *q = v->scene->rotation + 4 * i, *ln = v->scene->scale + 3 * i;
    double n =
        sqrt((double)q[0] * q[0] + (double)q[1] * q[1] + (double)q[2] * q[2] + (double)q[3] * q[3]);
    double w = q[0] / n, x = q[1] / n, y = q[2] / n, z = q[3] / n;
    const double r[3][3] = {
        {1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)},
        {2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)},
        {2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)},
    };
    for (int col = 0; col < 3; col++) {
        double s = exp(ln[col]) * v->splat_scale;
        for (int row = 0; row < 3; row++)
            m[row][col] = r[row][col] * s;
    }
}

/* cov = (J view M)(J view M)^T: xx, xy, yy in square pixels. t: the mean in view space. */
static void project_covariance(const struct view *v, size_t i, const double t[3], double cov[3])
{
    const struct gs_camera *c = v->camera;
    double w = v->opts->part_of ? v->opts->part_of : c->width, h = c->height, cx = c->cx + v->opts->part_x;
    double tx = fmin(fmax(t[0] / t[2], -(cx + 0.15 * w) / c->fx), (w - cx + 0.15 * w) / c->fx);
    double ty =
        fmin(fmax(t[1] / t[2], -(c->cy + 0.15 * h) / c->fy), (h - c->cy + 0.15 * h) / c->fy);
    const double j[2][3] = {{c->fx / t[2], 0, -c->fx * tx / t[2]},
                            {0, c->fy / t[2], -c->fy * ty / t[2]}};
    double m[3][3], jv[2][3] = {{0}}, a[2][3] = {{0}};
    scaled_rotation(v, i, m);
    for (int row = 0; row < 2; row++)
        for (int col = 0; col < 3; col++)
            for (int k = 0; k < 3; k++)
                jv[row][col] += j[row][k] * c->view[4 * k + col];
    for (int row = 0; row < 2; row++)
        for (int col = 0; col < 3; col++)
            for (int k = 0; k < 3; k++)
                a[row][col] += jv[row][k] * m[k][col];
    cov[0] = a[0][0] * a[0][0] + a[0][1] * a[0][1] + a[0][2] * a[0][2];
    cov[1] = a[0][0] * a[1][0] + a[0][1] * a[1][1] + a[0][2] * a[1][2];
    cov[2] = a[1][0] * a[1][0] + a[1][1] * a[1][1] + a[1][2] * a[1][2];
}

/* Pixels whose centres lie within `reach` of `at`, inside [0,size). */
static void pixel_range(double at, double reach, uint32_t size, int *begin, int *end)
{
    *begin = (int)fmin(fmax(floor(at - reach - 0.5), 0), size);
    *end = (int)fmin(fmax(ceil(at + reach + 0.5), 0), size);
}

static bool cropped(const struct gs_render_opts *o, const float p[3])
{
    for (int k = 0; o->has_crop && k < 3; k++)
        if (p[k] < o->crop_min[k] || p[k] > o->crop_max[k])
            return true;
    return false;
}

/* false when the Gaussian touches no pixel. */
static bool project(const struct view *v, size_t i, struct splat *out)
{
    const struct gs_camera *c = v->camera;
    const float *p = v->scene->position + 3 * i;
    double t[3], cov[3];
    for (int k = 0; k < 3; k++)
        t[k] = c->view[4 * k] * p[0] + c->view[4 * k + 1] * p[1] + c->view[4 * k + 2] * p[2] +
               c->view[4 * k + 3];
    if (!((float)t[2] > v->near_plane) || cropped(v->opts, p))
        return false;
    project_covariance(v, i, t, cov);
    double xx = cov[0] + EPS_2D, yy = cov[2] + EPS_2D, det = xx * yy - cov[1] * cov[1];
    if (!(det > 0) || !isfinite(det))
        return false;
    double opacity = 1 / (1 + exp(-(double)v->scene->opacity[i]));
    if (v->antialiased) {
        double det0 = cov[0] * cov[2] - cov[1] * cov[1];
        opacity *= sqrt(fmax(det0 / det, 0.005 * 0.005));
    }
    if (!(opacity >= LEAST_ALPHA))
        return false;
    *out = (struct splat){.index = (uint32_t)i,
                          .sort_z = (float)t[2],
                          .x = c->fx * t[0] / t[2] + c->cx,
                          .y = c->fy * t[1] / t[2] + c->cy,
                          .z = t[2],
                          .a = yy / det,
                          .b = -cov[1] / det,
                          .c = xx / det,
                          .opacity = opacity};
    /* opacity exp(-sigma) = 1/255 at the ellipse of this many squared standard deviations */
    double reach = 2 * log(opacity / LEAST_ALPHA);
    pixel_range(out->x, sqrt(reach * xx), c->width, &out->x0, &out->x1);
    pixel_range(out->y, sqrt(reach * yy), c->height, &out->y0, &out->y1);
    if (out->x0 >= out->x1 || out->y0 >= out->y1)
        return false;
    shade(v, i, out->rgb);
    return true;
}

static int nearer(const void *pa, const void *pb)
{
    const struct splat *a = pa, *b = pb;
    if (a->sort_z != b->sort_z)
        return a->sort_z < b->sort_z ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

/* Blends splat s onto pixels x0..x1 of row y. t[x] is the transmittance; done[x] is set once a
 * Gaussian would have brought it to 1e-4. */
static void blend_row(const struct splat *s, int y, double *out, double *t, bool *done)
{
    double dy = s->y - (y + 0.5);
    for (int x = s->x0; x < s->x1; x++) {
        double dx = s->x - (x + 0.5);
        double sigma = 0.5 * (s->a * dx * dx + s->c * dy * dy) + s->b * dx * dy;
        double alpha = fmin(MOST_ALPHA, s->opacity * exp(-sigma));
        if (done[x] || sigma < 0 || alpha < LEAST_ALPHA)
            continue;
        double next = t[x] * (1 - alpha), weight = alpha * t[x];
        if (next <= LEAST_T) {
            done[x] = true;
            continue;
        }
        for (int ch = 0; ch < 3; ch++)
            out[5 * x + ch] += s->rgb[ch] * weight;
        out[5 * x + 4] += s->z * weight;
        t[x] = next;
    }
}

static int render_rows(void *ud, size_t begin, size_t end)
{
    const struct view *v = ud;
    uint32_t width = v->camera->width;
    double *t = malloc(width * sizeof *t);
    bool *done = malloc(width * sizeof *done);
    int rc = t && done ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    for (size_t y = begin; !rc && y < end; y++) {
        double *row = v->out + y * width * 5;
        memset(row, 0, (size_t)width * 5 * sizeof *row);
        memset(done, 0, width * sizeof *done);
        for (uint32_t x = 0; x < width; x++)
            t[x] = 1;
        for (size_t i = 0; i < v->count; i++)
            if (v->splats[i].y0 <= (int)y && (int)y < v->splats[i].y1)
                blend_row(&v->splats[i], (int)y, row, t, done);
        for (uint32_t x = 0; x < width; x++) {
            for (int ch = 0; ch < 3; ch++)
                row[5 * x + ch] += t[x] * v->background[ch];
            row[5 * x + 3] = 1 - t[x];
        }
    }
    free(t);
    free(done);
    return rc;
}

static int check(const struct gs_camera *c, const struct gs_render_opts *o)
{
    if (!c->width || !c->height || c->width > 1u << 16 || c->height > 1u << 16)
        return fv_fail(FV_EINVALID, "camera size %ux%u is not in 1..65536", c->width, c->height);
    if (!(c->fx > 0) || !(c->fy > 0))
        return fv_fail(FV_EINVALID, "camera focal length %g, %g is not positive", c->fx, c->fy);
    if (o->supersample > 1 || o->stereo)
        return fv_fail(FV_EINVALID, "the reference renderer draws one eye at one sample a pixel");
    return 0;
}

/* Projects and sorts; v->splats is the caller's to free. */
static int look(struct view *v, const struct gs_scene *s, const struct gs_camera *c,
                const struct gs_render_opts *opts)
{
    *v = (struct view){.scene = s, .camera = c, .opts = opts};
    enum gs_mode mode = opts->mode != GS_MODE_AUTO ? opts->mode : s->mode;
    v->antialiased = mode == GS_MODE_ANTIALIASED;
    v->splat_scale = opts->splat_scale > 0 ? opts->splat_scale : 1;
    v->bands = s->sh_degree + 1;
    if (opts->sh_bands > 0 && opts->sh_bands < v->bands)
        v->bands = opts->sh_bands;
    for (int k = 0; k < 3; k++) {
        v->background[k] = opts->has_bg ? opts->bg[k] : c->has_bg ? c->bg[k] : 0;
        for (int j = 0; j < 3; j++)
            v->centre[k] -= c->view[4 * j + k] * c->view[4 * j + 3];
    }
    struct gs_bounds bounds;
    gs_scene_bounds(s, &bounds);
    v->near_plane = gs_near_plane(c, bounds.radius);
    v->splats = malloc((s->count ? s->count : 1) * sizeof *v->splats);
    if (!v->splats)
        return fv_fail(FV_ENOMEM, "out of memory for %zu Gaussians", s->count);
    for (size_t i = 0; i < s->count; i++)
        v->count += project(v, i, &v->splats[v->count]);
    qsort(v->splats, v->count, sizeof *v->splats, nearer);
    return 0;
}

int gs_render_reference(const struct gs_scene *s, const struct gs_camera *c,
                        const struct gs_render_opts *opts, double *out)
{
    static const struct gs_render_opts defaults;
    if (!opts)
        opts = &defaults;
    FV_TRY(check(c, opts));
    struct view v;
    FV_TRY(look(&v, s, c, opts));
    v.out = out;
    int rc = fv_parallel(c->height, 8, render_rows, &v);
    free(v.splats);
    return rc;
}

struct seen {
    const struct gs_scene *scene;
    const struct gs_camera *cameras;
    float *weight; /* [camera][count] */
};

/* Front to back, a Gaussian at a time: only transmittance is kept. */
static int see(void *ud, size_t begin, size_t end)
{
    static const struct gs_render_opts opts = {.mode = GS_MODE_CLASSIC};
    const struct seen *seen = ud;
    for (size_t k = begin; k < end; k++) {
        const struct gs_camera *c = &seen->cameras[k];
        struct view v;
        float *weight = seen->weight + k * seen->scene->count;
        float *t = malloc((size_t)c->width * c->height * sizeof *t);
        if (!t)
            return fv_fail(FV_ENOMEM, "out of memory");
        for (size_t i = 0; i < (size_t)c->width * c->height; i++)
            t[i] = 1;
        int rc = look(&v, seen->scene, c, &opts);
        for (size_t i = 0; rc == 0 && i < v.count; i++) {
            const struct splat *s = &v.splats[i];
            double sum = 0;
            for (int y = s->y0; y < s->y1; y++)
                for (int x = s->x0; x < s->x1; x++) {
                    double dx = s->x - (x + 0.5), dy = s->y - (y + 0.5);
                    double sigma = 0.5 * (s->a * dx * dx + s->c * dy * dy) + s->b * dx * dy;
                    float *left = &t[(size_t)y * c->width + (size_t)x];
                    if (*left <= LEAST_T)
                        continue;
                    double alpha = fmin(MOST_ALPHA, s->opacity * exp(-sigma));
                    if (alpha < LEAST_ALPHA)
                        continue;
                    sum += (alpha * *left) * (alpha * *left);
                    *left = (float)(*left * (1 - alpha));
                }
            weight[s->index] = (float)sum;
        }
        free(t);
        FV_TRY(rc);
        free(v.splats);
    }
    return 0;
}

int gs_visibility(const struct gs_scene *s, const struct gs_camera *cameras, size_t camera_count,
                  float *out)
{
    static const struct gs_render_opts opts;
    for (size_t k = 0; k < camera_count; k++)
        FV_TRY(check(&cameras[k], &opts));
    struct seen seen = {s, cameras, calloc(camera_count * s->count + 1, sizeof *seen.weight)};
    if (!seen.weight)
        return fv_fail(FV_ENOMEM, "out of memory for %zu Gaussians", s->count);
    int rc = fv_parallel(camera_count, 1, see, &seen);
    for (size_t i = 0; i < s->count; i++) {
        double sum = 0;
        for (size_t k = 0; k < camera_count; k++)
            sum += seen.weight[k * s->count + i];
        out[i] = (float)(sum / (double)camera_count);
    }
    free(seen.weight);
    return rc;
}
