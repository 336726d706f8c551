/* Camera poses: look-at, resizing, the automatic orbit, and the checks every reader uses.
 *
 * The camera->world rotation has the camera's axes as columns: x right, y down, z forward.
 * view = [R^T | -R^T centre]. */
#include "gs/camera.h"

#include <math.h>
#include <string.h>

#define PI 3.14159265358979323846

static double dot(const double a[3], const double b[3])
{
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

static void cross(double out[3], const double a[3], const double b[3])
{
    const double r[3] = {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2],
                         a[0] * b[1] - a[1] * b[0]};
    memcpy(out, r, sizeof r);
}

/* false (and out unchanged) when there is no direction. */
static bool normalise(double v[3])
{
    double length = sqrt(dot(v, v));
    if (!(length > 1e-12) || !isfinite(length))
        return false;
    for (int k = 0; k < 3; k++)
        v[k] /= length;
    return true;
}

/* Any unit vector at right angles to the unit vector v. */
static void perpendicular(double out[3], const double v[3])
{
    double axis[3] = {0, 0, 0};
    int least = 0;
    for (int k = 1; k < 3; k++)
        if (fabs(v[k]) < fabs(v[least]))
            least = k;
    axis[least] = 1;
    cross(out, v, axis);
    normalise(out);
}

static void set_view(struct gs_camera *c, const double rows[9], const double centre[3])
{
    memset(c->view, 0, sizeof c->view);
    for (int r = 0; r < 3; r++) {
        memcpy(c->view + 4 * r, rows + 3 * r, 3 * sizeof *rows);
        c->view[4 * r + 3] = -dot(rows + 3 * r, centre);
    }
    c->view[15] = 1;
}

void gs_camera_centre(const struct gs_camera *c, double out[3])
{
    for (int k = 0; k < 3; k++) {
        out[k] = 0;
        for (int r = 0; r < 3; r++)
            out[k] -= c->view[4 * r + k] * c->view[4 * r + 3];
    }
}

void gs_camera_look_at(struct gs_camera *c, const double eye[3], const double target[3],
                       const double up[3])
{
    double rows[9], *x = rows, *y = rows + 3, *z = rows + 6;
    for (int k = 0; k < 3; k++)
        z[k] = target[k] - eye[k];
    if (!normalise(z)) {
        z[0] = z[1] = 0;
        z[2] = 1;
    }
    cross(x, z, up);
    if (!normalise(x))
        perpendicular(x, z);
    cross(y, z, x);
    set_view(c, rows, eye);
}

bool gs_quaternion_matrix(const double q[4], double out[9])
{
    double n = sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3]);
    if (!(n > 1e-12) || !isfinite(n))
        return false;
    double w = q[0] / n, x = q[1] / n, y = q[2] / n, z = q[3] / n;
    const double r[9] = {1 - 2 * (y * y + z * z), 2 * (x * y - w * z),     2 * (x * z + w * y),
                         2 * (x * y + w * z),     1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
                         2 * (x * z - w * y),     2 * (y * z + w * x),     1 - 2 * (x * x + y * y)};
    memcpy(out, r, sizeof r);
    return true;
}

bool gs_camera_set_pose(struct gs_camera *c, const double rotation[4], const double centre[3])
{
    double r[9], rows[9];
    if (!gs_quaternion_matrix(rotation, r))
        return false;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            rows[3 * i + j] = r[3 * j + i];
    set_view(c, rows, centre);
    return true;
}

void gs_camera_rotation(const struct gs_camera *c, double out[4])
{
    /* r = camera->world; the largest component first keeps the division well away from 0 */
    const double *v = c->view;
    double r00 = v[0], r11 = v[5], r22 = v[10];
    const double square[4] = {1 + r00 + r11 + r22, 1 + r00 - r11 - r22, 1 - r00 + r11 - r22,
                              1 - r00 - r11 + r22};
    /* sums and differences of r[j][i] = view[i][j] across the diagonal */
    double zy = v[6] - v[9], xz = v[8] - v[2], yx = v[1] - v[4];
    double sxy = v[1] + v[4], sxz = v[2] + v[8], syz = v[6] + v[9];
    const double rows[4][4] = {{square[0], zy, xz, yx},
                               {zy, square[1], sxy, sxz},
                               {xz, sxy, square[2], syz},
                               {yx, sxz, syz, square[3]}};
    int big = 0;
    for (int k = 1; k < 4; k++)
        if (square[k] > square[big])
            big = k;
    double n = 0, sign = rows[big][0] < 0 ? -1 : 1;
    for (int k = 0; k < 4; k++)
        n += rows[big][k] * rows[big][k];
    for (int k = 0; k < 4; k++)
        out[k] = sign * rows[big][k] / sqrt(n);
}

bool gs_camera_set_c2w(struct gs_camera *c, const double m[12])
{
    /* rows of the inverse are cross products of the columns over the determinant */
    double col[3][3], rows[9];
    for (int k = 0; k < 3; k++)
        for (int r = 0; r < 3; r++)
            col[k][r] = m[4 * r + k];
    cross(rows, col[1], col[2]);
    cross(rows + 3, col[2], col[0]);
    cross(rows + 6, col[0], col[1]);
    double det = dot(col[0], rows), scale = cbrt(fabs(det));
    if (!(scale > 1e-12) || !isfinite(scale))
        return false;
    for (int k = 0; k < 9; k++)
        rows[k] *= scale / det;
    set_view(c, rows, (const double[3]){m[3], m[7], m[11]});
    return true;
}

float gs_near_plane(const struct gs_camera *c, double scene_radius)
{
    if (c->near > 0)
        return (float)fmin(c->near, 0.2);
    return (float)(scene_radius > 0 && scene_radius < 1 ? 0.2 * scene_radius : 0.2);
}

double gs_focal_of_angle(double angle, double size)
{
    return size / (2 * tan(angle / 2));
}

const char *gs_camera_problem(const struct gs_camera *c)
{
    const double *v = c->view;
    if (!c->width || !c->height || c->width > GS_CAMERA_MAX_SIZE || c->height > GS_CAMERA_MAX_SIZE)
        return "width or height is not in 1..65536";
    if (!(c->fx > 0) || !(c->fy > 0) || !isfinite(c->fx) || !isfinite(c->fy))
        return "focal length is not a positive number";
    if (!isfinite(c->cx) || !isfinite(c->cy))
        return "principal point is not finite";
    for (int k = 0; k < 16; k++)
        if (!isfinite(v[k]))
            return "pose is not finite";
    if (fabs(v[12]) > 1e-6 || fabs(v[13]) > 1e-6 || fabs(v[14]) > 1e-6 || fabs(v[15] - 1) > 1e-6)
        return "last row of the view matrix is not 0 0 0 1 (is it transposed?)";
    for (int i = 0; i < 3; i++)
        for (int j = 0; j <= i; j++)
            if (!(fabs(dot(v + 4 * i, v + 4 * j) - (i == j)) < 1e-3))
                return "pose is not a rotation (its axes are not of length 1 at right angles)";
    double third[3];
    cross(third, v, v + 4);
    if (dot(third, v + 8) < 0)
        return "pose is mirrored (its axes are left-handed)";
    return NULL;
}

void gs_camera_resize(struct gs_camera *c, uint32_t width, uint32_t height)
{
    double sx = (double)width / c->width, sy = (double)height / c->height, s = fmin(sx, sy);
    c->cx = width / 2.0 + s * (c->cx - c->width / 2.0);
    c->cy = height / 2.0 + s * (c->cy - c->height / 2.0);
    c->fx *= s;
    c->fy *= s;
    c->width = width;
    c->height = height;
}

/* The turn is a circle about the up axis, seen from 15 degrees above. The sphere of the bounds
 * fills the shorter side of the picture but for a tenth, as it holds nine tenths of the scene.
 * Frame 0 is on the -z side, where captures and made scenes mostly put their first camera. */
void gs_camera_orbit(struct gs_camera *out, const struct gs_scene *s, const struct gs_bounds *b,
                     uint32_t width, uint32_t height, double turn)
{
    const double fov = 50 * PI / 180, elevation = 15 * PI / 180;
    double up[3] = {s->up[0], s->up[1], s->up[2]}, front[3] = {0, 0, -1}, side[3];
    if (!normalise(up)) {
        up[0] = up[2] = 0;
        up[1] = -1;
    }
    double along = dot(front, up);
    for (int k = 0; k < 3; k++)
        front[k] -= along * up[k];
    if (fabs(along) > 0.99 || !normalise(front))
        perpendicular(front, up);
    cross(side, up, front);

    double radius = b->radius > 0 && isfinite(b->radius) ? b->radius : 1;
    double distance = 1.1 * radius / sin(fov / 2), a = 2 * PI * turn;
    double eye[3], target[3];
    for (int k = 0; k < 3; k++) {
        target[k] = b->centre[k];
        eye[k] = target[k] + distance * (cos(elevation) * (cos(a) * front[k] + sin(a) * side[k]) +
                                         sin(elevation) * up[k]);
    }
    *out = (struct gs_camera){.width = width, .height = height};
    out->fx = out->fy = gs_focal_of_angle(fov, width < height ? width : height);
    out->cx = width / 2.0;
    out->cy = height / 2.0;
    gs_camera_look_at(out, eye, target, up);
}
