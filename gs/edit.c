/* Scene edits: merge, filter, similarity transform, order (gs.h, scene.h). */
#include "gs/scene.h"
#include "vk/base/log.h"

#include <string.h>

/* ---- merging and filtering -------------------------------------------------------------- */

static void copy_rows(struct gs_scene *to, size_t first, const struct gs_scene *from)
{
    size_t n = from->count, a = 3 * (size_t)gs_sh_coefs(to->sh_degree),
           b = 3 * (size_t)gs_sh_coefs(from->sh_degree);
    if (!n)
        return;
    memcpy(to->position + 3 * first, from->position, 3 * n * sizeof(float));
    memcpy(to->scale + 3 * first, from->scale, 3 * n * sizeof(float));
    memcpy(to->rotation + 4 * first, from->rotation, 4 * n * sizeof(float));
    memcpy(to->opacity + first, from->opacity, n * sizeof(float));
    for (size_t i = 0; i < n; i++) {
        float *sh = to->sh + (first + i) * a;
        memcpy(sh, from->sh + i * b, b * sizeof(float));
        memset(sh + b, 0, (a - b) * sizeof(float));
    }
}

/* Moves what is not an array from s to t, and t's arrays into s. */
static void take_arrays(struct gs_scene *s, struct gs_scene *t)
{
    struct gs_scene old = *s;
    s->count = t->count;
    s->sh_degree = t->sh_degree;
    s->position = t->position;
    s->scale = t->scale;
    s->rotation = t->rotation;
    s->opacity = t->opacity;
    s->sh = t->sh;
    *t = (struct gs_scene){0};
    gs_scene_finish(&old);
}

/* There is one mode for a scene; a file that says nothing is classic. */
static enum gs_mode merged_mode(enum gs_mode a, enum gs_mode b)
{
    if (a == b)
        return a;
    if (a == GS_MODE_ANTIALIASED || b == GS_MODE_ANTIALIASED)
        fv_log(FV_WARN, "only one of the merged scenes was trained antialiased: the result is "
                        "marked classic");
    return GS_MODE_CLASSIC;
}

int gs_scene_append(struct gs_scene *s, const struct gs_scene *more)
{
    struct gs_scene both;
    int degree = s->sh_degree > more->sh_degree ? s->sh_degree : more->sh_degree;
    FV_TRY(gs_scene_alloc(&both, s->count + more->count, degree));
    copy_rows(&both, 0, s);
    copy_rows(&both, s->count, more);
    s->mode = s->count ? merged_mode(s->mode, more->mode) : more->mode;
    if (s->up[0] == 0 && s->up[1] == 0 && s->up[2] == 0)
        memcpy(s->up, more->up, sizeof s->up);
    if (s->format != more->format)
        s->format = GS_FORMAT_AUTO;
    s->dropped += more->dropped;
    take_arrays(s, &both);
    return 0;
}

int gs_scene_crop(struct gs_scene *s, const float min[3], const float max[3])
{
    size_t kept = 0;
    for (int k = 0; k < 3; k++)
        if (!(min[k] <= max[k]))
            return fv_fail(FV_EINVALID, "crop box: %c from %g to %g is empty", "xyz"[k],
                           (double)min[k], (double)max[k]);
    for (size_t i = 0; i < s->count; i++) {
        const float *p = s->position + 3 * i;
        bool inside = true;
        for (int k = 0; k < 3; k++)
            inside &= p[k] >= min[k] && p[k] <= max[k];
        if (inside)
            gs_scene_move_row(s, kept++, i);
    }
    s->count = kept;
    return 0;
}

int gs_scene_prune_opacity(struct gs_scene *s, float least)
{
    size_t kept = 0;
    if (!(least >= 0 && least <= 1))
        return fv_fail(FV_EINVALID, "least opacity %g is not in 0..1", (double)least);
    for (size_t i = 0; i < s->count; i++)
        if (gs_sigmoid((double)s->opacity[i]) >= (double)least)
            gs_scene_move_row(s, kept++, i);
    s->count = kept;
    return 0;
}

int gs_scene_cut_sh(struct gs_scene *s, int degree)
{
    if (degree < 0 || degree > 3)
        return fv_fail(FV_EINVALID, "SH degree %d is not 0, 1, 2 or 3", degree);
    if (degree >= s->sh_degree)
        return 0;
    size_t a = 3 * (size_t)gs_sh_coefs(degree), b = 3 * (size_t)gs_sh_coefs(s->sh_degree);
    for (size_t i = 1; i < s->count; i++)
        memmove(s->sh + i * a, s->sh + i * b, a * sizeof(float));
    s->sh_degree = degree;
    return 0;
}

/* ---- similarity ------------------------------------------------------------------------- */

struct similarity {
    struct gs_scene *s;
    double q[4], r[9], scale, move[3];
    double sh[3][7][7]; /* band 1..3: how its coefficients turn */
};

/* Basis functions 1..15 at a unit vector, with the signs of the 3DGS code. */
static void sh_basis(const double d[3], double y[16])
{
    static const double c1 = 0.4886025119029199;
    static const double c2[] = {1.0925484305920792, -1.0925484305920792, 0.31539156525252005,
                                -1.0925484305920792, 0.5462742152960396};
    static const double c3[] = {-0.5900435899266435, 2.890611442640554,   -0.4570457994644658,
                                0.3731763325901154,  -0.4570457994644658, 1.445305721320277,
                                -0.5900435899266435};
    double x = d[0], v = d[1], z = d[2], xx = x * x, vv = v * v, zz = z * z;
    y[1] = -c1 * v;
    y[2] = c1 * z;
    y[3] = -c1 * x;
    y[4] = c2[0] * x * v;
    y[5] = c2[1] * v * z;
    y[6] = c2[2] * (2 * zz - xx - vv);
    y[7] = c2[3] * x * z;
    y[8] = c2[4] * (xx - vv);
    y[9] = c3[0] * v * (3 * xx - vv);
    y[10] = c3[1] * x * v * z;
    y[11] = c3[2] * v * (4 * zz - xx - vv);
    y[12] = c3[3] * z * (2 * zz - 3 * xx - 3 * vv);
    y[13] = c3[4] * x * (4 * zz - xx - vv);
    y[14] = c3[5] * z * (xx - vv);
    y[15] = c3[6] * x * (xx - 3 * vv);
}

static void multiply(const double m[9], const double v[3], double out[3])
{
    for (int i = 0; i < 3; i++)
        out[i] = m[3 * i] * v[0] + m[3 * i + 1] * v[1] + m[3 * i + 2] * v[2];
}

/* The turned function g(d) = f(R^T d) has coefficients D c where Y(R d) = D Y(d), so
 * D = integral of Y(R d) Y(d)^T over the sphere. The integrand is a polynomial of degree at
 * most 6: four Gauss-Legendre nodes in z times seven equal steps around z are exact. */
static void turn_sh(struct similarity *t)
{
    static const double node[] = {0.8611363115940526, 0.3399810435848563};
    static const double weight[] = {0.3478548451374538, 0.6521451548625461};
    static const double pi = 3.14159265358979323846;
    memset(t->sh, 0, sizeof t->sh);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 7; j++) {
            double z = i & 1 ? -node[i / 2] : node[i / 2], w = weight[i / 2] * 2 * pi / 7;
            double angle = 2 * pi * j / 7, r = sqrt(1 - z * z);
            double d[3] = {r * cos(angle), r * sin(angle), z}, turned[3], a[16], b[16];
            multiply(t->r, d, turned);
            sh_basis(turned, a);
            sh_basis(d, b);
            for (int l = 1; l <= 3; l++)
                for (int m = 0; m < 2 * l + 1; m++)
                    for (int n = 0; n < 2 * l + 1; n++)
                        t->sh[l - 1][m][n] += w * a[l * l + m] * b[l * l + n];
        }
}

static void quaternion_matrix(const double q[4], double r[9])
{
    double w = q[0], x = q[1], y = q[2], z = q[3];
    const double m[9] = {1 - 2 * (y * y + z * z), 2 * (x * y - w * z),     2 * (x * z + w * y),
                         2 * (x * y + w * z),     1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
                         2 * (x * z - w * y),     2 * (y * z + w * x),     1 - 2 * (x * x + y * y)};
    memcpy(r, m, sizeof m);
}

static void turn_row(const struct similarity *t, size_t i)
{
    struct gs_scene *s = t->s;
    const double *a = t->q;
    float *p = s->position + 3 * i, *q = s->rotation + 4 * i;
    float *sh = s->sh + i * 3 * (size_t)gs_sh_coefs(s->sh_degree);
    double b[4] = {(double)q[0], (double)q[1], (double)q[2], (double)q[3]};
    double v[3] = {(double)p[0], (double)p[1], (double)p[2]}, turned[3];
    multiply(t->r, v, turned);
    for (int k = 0; k < 3; k++) {
        p[k] = (float)(t->scale * turned[k] + t->move[k]);
        s->scale[3 * i + k] = (float)((double)s->scale[3 * i + k] + log(t->scale));
    }
    q[0] = (float)(a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3]);
    q[1] = (float)(a[0] * b[1] + a[1] * b[0] + a[2] * b[3] - a[3] * b[2]);
    q[2] = (float)(a[0] * b[2] - a[1] * b[3] + a[2] * b[0] + a[3] * b[1]);
    q[3] = (float)(a[0] * b[3] + a[1] * b[2] - a[2] * b[1] + a[3] * b[0]);
    for (int l = 1; l <= s->sh_degree; l++)
        for (int c = 0; c < 3; c++) {
            float *band = sh + 3 * l * l + c;
            double out[7] = {0};
            for (int m = 0; m < 2 * l + 1; m++)
                for (int n = 0; n < 2 * l + 1; n++)
                    out[m] += t->sh[l - 1][m][n] * (double)band[3 * n];
            for (int m = 0; m < 2 * l + 1; m++)
                band[3 * m] = (float)out[m];
        }
}

static int turn_rows(void *ud, size_t begin, size_t end)
{
    const struct similarity *t = ud;
    for (size_t i = begin; i < end; i++)
        turn_row(t, i);
    return 0;
}

int gs_scene_transform(struct gs_scene *s, const float rotate[4], float scale,
                       const float translate[3])
{
    struct similarity t = {.s = s, .scale = (double)scale};
    double norm = 0;
    for (int k = 0; k < 4; k++)
        norm += (double)rotate[k] * (double)rotate[k];
    if (!(norm > 0 && isfinite(norm)))
        return fv_fail(FV_EINVALID, "rotation: the quaternion has no length");
    if (!(scale > 0 && isfinite(scale)))
        return fv_fail(FV_EINVALID, "scale %g is not a positive number", (double)scale);
    for (int k = 0; k < 4; k++)
        t.q[k] = (double)rotate[k] / sqrt(norm);
    for (int k = 0; k < 3; k++) {
        t.move[k] = (double)translate[k];
        if (!isfinite(translate[k]))
            return fv_fail(FV_EINVALID, "translation: %c is not a number", "xyz"[k]);
    }
    quaternion_matrix(t.q, t.r);
    turn_sh(&t);
    FV_TRY(gs_for_rows(s->count, turn_rows, &t, "transforming", NULL, NULL));
    double up[3] = {(double)s->up[0], (double)s->up[1], (double)s->up[2]}, turned[3];
    multiply(t.r, up, turned);
    for (int k = 0; k < 3; k++)
        s->up[k] = (float)turned[k];
    return 0;
}

/* ---- order ------------------------------------------------------------------------------ */

struct gather {
    const struct gs_scene *from;
    struct gs_scene *to;
    const uint32_t *order;
};

static int gather_rows(void *ud, size_t begin, size_t end)
{
    const struct gather *g = ud;
    size_t n = 3 * (size_t)gs_sh_coefs(g->from->sh_degree);
    for (size_t i = begin; i < end; i++) {
        size_t k = g->order[i];
        memcpy(g->to->position + 3 * i, g->from->position + 3 * k, 3 * sizeof(float));
        memcpy(g->to->scale + 3 * i, g->from->scale + 3 * k, 3 * sizeof(float));
        memcpy(g->to->rotation + 4 * i, g->from->rotation + 4 * k, 4 * sizeof(float));
        g->to->opacity[i] = g->from->opacity[k];
        memcpy(g->to->sh + n * i, g->from->sh + n * k, n * sizeof(float));
    }
    return 0;
}

int gs_scene_reorder(struct gs_scene *s, const uint32_t *order)
{
    struct gs_scene sorted;
    FV_TRY(gs_scene_alloc(&sorted, s->count, s->sh_degree));
    struct gather g = {.from = s, .to = &sorted, .order = order};
    int rc = gs_for_rows(s->count, gather_rows, &g, "sorting", NULL, NULL);
    if (rc < 0)
        gs_scene_finish(&sorted);
    else
        take_arrays(s, &sorted);
    return rc;
}
