/* Anchors into Gaussians, one after the other in double precision (Scaffold-GS, sec. 3.2; SAGS, sec.
 * 3.4): what the kernels are judged against.
 *
 *   d = p - eye, u = d / |d|
 *   [bank]  w = softmax(bank(u, |d|));  f := w0 f[::4] 4 times + w1 f[::2] twice + w2 f
 *   x = (f, u [, |d|]);  opacity = tanh(MLP x) > 0 or no Gaussian
 *   colour = sigmoid(MLP (x [, appearance]));  c = MLP x
 *   position = p + offset exp(l[0:3]);  scale = exp(l[3:6]) sigmoid(c[0:3]);  rotation = c[3:7] / |.| */
#include "neural/neural_private.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_WIDTH = 4096 };

void nl_view_of(double out[NL_VIEW], const float *position, const double eye[3])
{
    double sum = 0;
    for (int a = 0; a < 3; a++) {
        out[a] = (double)position[a] - eye[a];
        sum += out[a] * out[a];
    }
    out[3] = sqrt(sum);
    for (int a = 0; a < 3; a++)
        out[a] /= out[3] > 0 ? out[3] : 1;
}

void nl_run(const struct nl_mlp *n, const double *in, double *out)
{
    double room[2][MAX_WIDTH];
    for (uint32_t i = 0; i < n->layers; i++) {
        const struct nl_layer *l = &n->layer[i];
        double *to = i + 1 == n->layers ? out : room[i & 1];
        for (uint32_t o = 0; o < l->out; o++) {
            double sum = (double)l->b[o];
            for (uint32_t k = 0; k < l->in; k++)
                sum += (double)l->w[(size_t)o * l->in + k] * in[k];
            to[o] = i + 1 < n->layers && !n->linear && sum < 0 ? 0 : sum;
        }
        in = to;
    }
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* The feature as the view's distance and direction weigh its coarser forms. */
static void blend_bank(const struct nl_model *m, const double *view, const float *f, double *out)
{
    double w[3], most, sum = 0;
    uint32_t n = m->feature;
    nl_run(&m->bank, view, w);
    most = fmax(w[0], fmax(w[1], w[2]));
    for (int k = 0; k < 3; k++)
        sum += w[k] = exp(w[k] - most);
    for (uint32_t c = 0; c < n; c++) {
        double quarter = (double)f[4 * (c % (n / 4))], half = (double)f[2 * (c % (n / 2))];
        out[c] = (w[0] * quarter + w[1] * half + w[2] * (double)f[c]) / sum;
    }
}

/* Outputs of the networks for an anchor. */
struct outputs {
    double opacity[NL_MAX_OFFSETS], covariance[7 * NL_MAX_OFFSETS], colour[3 * NL_MAX_OFFSETS];
    double move[3];
};

static void run_nets(const struct nl_model *m, const float *f, const double *view, uint32_t camera,
                     struct outputs *o)
{
    double x[MAX_WIDTH], *to[NL_NETS] = {o->opacity, o->covariance, o->colour};
    uint32_t width = nl_encoded_width(m);
    for (uint32_t c = 0; c < width; c++)
        x[c] = (double)f[c];
    if (m->move.layers)
        nl_run(&m->move, x, o->move);
    if (m->bank.layers)
        blend_bank(m, view, f, x);
    memcpy(x + width, view, NL_VIEW * sizeof *x);
    for (int i = 0; i < NL_NETS; i++) {
        uint32_t at = width + 3 + m->distance[i];
        for (uint32_t c = 0; i == NL_COLOUR && c < m->appearance; c++)
            x[at + c] = (double)m->embedding[(size_t)camera * m->appearance + c];
        nl_run(&m->net[i], x, to[i]);
    }
}

static void put(const struct nl_model *m, struct nl_gaussians *g, uint32_t anchor, uint32_t k,
                const struct outputs *o)
{
    size_t at = g->count++;
    const float *l = m->scaling + 6 * (size_t)anchor;
    const double *c = o->covariance + 7 * k;
    double norm = 0;
    for (int a = 3; a < 7; a++)
        norm += c[a] * c[a];
    norm = sqrt(norm);
    for (int a = 0; a < 3; a++) {
        double offset = m->offset ? (double)m->offset[3 * ((size_t)anchor * m->offsets + k) + (size_t)a]
                                  : o->move[a];
        g->position[3 * at + (size_t)a] =
            (float)((double)m->position[3 * (size_t)anchor + (size_t)a] + offset * exp((double)l[a]));
        g->colour[3 * at + (size_t)a] = (float)sigmoid(o->colour[3 * k + (uint32_t)a]);
        g->scale[3 * at + (size_t)a] = (float)(exp((double)l[3 + a]) * sigmoid(c[a]));
    }
    for (int a = 0; a < 4; a++)
        g->rotation[4 * at + (size_t)a] = (float)(c[3 + a] / fmax(norm, 1e-12));
    g->opacity[at] = (float)tanh(o->opacity[k]);
}

int nl_decode(const struct nl_model *m, const struct nl_encoded *e, const double eye[3],
              uint32_t camera, struct nl_gaussians *g)
{
    size_t rows = (size_t)e->count * m->offsets;
    *g = (struct nl_gaussians){.rows = (uint32_t)rows};
    if (m->appearance && camera >= m->cameras)
        return fv_fail(FV_EINVALID, "appearance %u: the model has %u", camera, m->cameras);
    if (rows > UINT32_MAX)
        return fv_fail(FV_EUNSUPPORTED, "%zu Gaussians are too many", rows);
    g->position = nl_room(&g->arena, 3 * rows, sizeof(float));
    g->colour = nl_room(&g->arena, 3 * rows, sizeof(float));
    g->opacity = nl_room(&g->arena, rows, sizeof(float));
    g->scale = nl_room(&g->arena, 3 * rows, sizeof(float));
    g->rotation = nl_room(&g->arena, 4 * rows, sizeof(float));
    g->raw = nl_room(&g->arena, rows, sizeof(float));
    g->alive = nl_room(&g->arena, rows, 1);
    if (!g->position || !g->colour || !g->opacity || !g->scale || !g->rotation || !g->raw || !g->alive) {
        nl_gaussians_finish(g);
        return FV_ENOMEM;
    }
    for (uint32_t s = 0; s < e->count; s++) {
        struct outputs o;
        double view[NL_VIEW];
        nl_view_of(view, m->position + 3 * (size_t)e->index[s], eye);
        run_nets(m, e->feature + (size_t)s * e->width, view, camera, &o);
        for (uint32_t k = 0; k < m->offsets; k++) {
            size_t row = (size_t)s * m->offsets + k;
            g->raw[row] = (float)tanh(o.opacity[k]);
            g->alive[row] = o.opacity[k] > 0;
            if (g->alive[row])
                put(m, g, e->index[s], k, &o);
        }
    }
    return 0;
}

void nl_gaussians_finish(struct nl_gaussians *g)
{
    fv_arena_finish(&g->arena);
    *g = (struct nl_gaussians){0};
}

/* ---- which anchors are looked at ---- */

/* As the rasteriser that trained the model asks: in front of 0.2, and the tiles within three standard
 * deviations are in the picture (3DGS' preprocess). Not what is drawn decides but the anchor's extent. */
static bool is_visible(const struct nl_model *m, const struct gs_camera *c, uint32_t i)
{
    const float *p = m->position + 3 * (size_t)i, *l = m->scaling + 6 * (size_t)i,
                *q = m->rotation + 4 * (size_t)i;
    double t[3], J[2][3], a = 0.3, b = 0, d = 0.3;
    double n = 1 / sqrt(fmax((double)q[0] * q[0] + (double)q[1] * q[1] + (double)q[2] * q[2] +
                                 (double)q[3] * q[3], 1e-24));
    double w = q[0] * n, x = q[1] * n, y = q[2] * n, z = q[3] * n;
    const double R[3][3] = {{1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)},
                            {2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)},
                            {2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)}};
    for (int k = 0; k < 3; k++)
        t[k] = c->view[4 * k] * p[0] + c->view[4 * k + 1] * p[1] + c->view[4 * k + 2] * p[2] +
               c->view[4 * k + 3];
    if (!(t[2] > 0.2))
        return false;
    double wide = 1.3 * 0.5 * c->width / c->fx, high = 1.3 * 0.5 * c->height / c->fy;
    double tx = fmin(fmax(t[0] / t[2], -wide), wide), ty = fmin(fmax(t[1] / t[2], -high), high);
    for (int k = 0; k < 3; k++) {
        J[0][k] = (c->view[k] - c->view[8 + k] * tx) * c->fx / t[2];
        J[1][k] = (c->view[4 + k] - c->view[8 + k] * ty) * c->fy / t[2];
    }
    for (int k = 0; k < 3; k++) {
        double s = exp((double)l[k]);
        double u = (J[0][0] * R[0][k] + J[0][1] * R[1][k] + J[0][2] * R[2][k]) * s;
        double v = (J[1][0] * R[0][k] + J[1][1] * R[1][k] + J[1][2] * R[2][k]) * s;
        a += u * u;
        b += u * v;
        d += v * v;
    }
    double mid = 0.5 * (a + d), det = a * d - b * b;
    double radius = ceil(3 * sqrt(mid + sqrt(fmax(0.1, mid * mid - det))));
    double px = c->fx * t[0] / t[2] + c->cx - 0.5, py = c->fy * t[1] / t[2] + c->cy - 0.5;
    double right = (c->width + 15) / 16 * 16.0, bottom = (c->height + 15) / 16 * 16.0;
    /* tiles from trunc((p - r) / 16) to before trunc((p + r + 15) / 16) */
    return det != 0 && px + radius + 15 >= 16 && py + radius + 15 >= 16 && px - radius < right &&
           py - radius < bottom;
}

void nl_visible(const struct nl_model *m, const struct gs_camera *c, uint8_t *out)
{
    for (uint32_t i = 0; i < m->count; i++)
        out[i] = is_visible(m, c, i);
}

/* ---- as a scene ---- */

int nl_bake(const struct nl_gaussians *g, struct gs_scene *out)
{
    const double c0 = 0.28209479177387814;
    if (!g->count) {
        *out = (struct gs_scene){0};
        return fv_fail(FV_EINVALID, "no Gaussian of the model is alive in these views");
    }
    FV_TRY(gs_scene_alloc(out, g->count, 0));
    memcpy(out->position, g->position, 3 * (size_t)g->count * sizeof(float));
    memcpy(out->rotation, g->rotation, 4 * (size_t)g->count * sizeof(float));
    for (size_t i = 0; i < g->count; i++) {
        double alpha = fmin((double)g->opacity[i], 1 - 1e-7);
        out->opacity[i] = (float)log(alpha / (1 - alpha));
        for (size_t a = 0; a < 3; a++) {
            out->scale[3 * i + a] = logf(g->scale[3 * i + a]);
            out->sh[3 * i + a] = (float)(((double)g->colour[3 * i + a] - 0.5) / c0);
        }
    }
    return 0;
}

int nl_around(const struct nl_model *m, struct gs_scene *out)
{
    size_t n = m->count;
    FV_TRY(gs_scene_alloc(out, n, 0));
    memcpy(out->position, m->position, 3 * n * sizeof(float));
    memcpy(out->rotation, m->rotation, 4 * n * sizeof(float));
    memset(out->opacity, 0, n * sizeof(float));
    memset(out->sh, 0, 3 * n * sizeof(float));
    for (size_t i = 0; i < n; i++)
        memcpy(out->scale + 3 * i, m->scaling + 6 * i, 3 * sizeof(float));
    snprintf(out->detail, sizeof out->detail, "%s, k %u", nl_arch_name(m->arch), m->offsets);
    return 0;
}

/* Where a viewer begins, when nobody says where to bake for. */
static int usual_eye(const struct nl_model *m, double eye[3])
{
    struct gs_scene around;
    struct gs_bounds b;
    struct gs_camera c;
    FV_TRY(nl_around(m, &around));
    gs_scene_bounds(&around, &b);
    gs_camera_orbit(&c, &around, &b, 1280, 720, 0);
    gs_camera_centre(&c, eye);
    gs_scene_finish(&around);
    return 0;
}

int nl_bake_model(struct nl_model *m, const double eye[3], uint32_t camera, struct gs_scene *out)
{
    struct nl_encoded e = {0};
    struct nl_gaussians g = {0};
    double from[3] = {0};
    if (eye)
        memcpy(from, eye, sizeof from);
    int rc = eye ? 0 : usual_eye(m, from);
    if (rc >= 0)
        rc = nl_encode(m, NULL, &e);
    if (rc >= 0)
        rc = nl_decode(m, &e, from, camera, &g);
    if (rc >= 0)
        rc = nl_bake(&g, out);
    nl_gaussians_finish(&g);
    nl_encoded_finish(&e);
    return rc;
}
