/* Orbit, turntable and fly: see camera_control.h. All three turn the rotation the same way;
 * they differ in which point stays fixed and in whether the world's up is respected. */
#include "app/camera_control.h"

#include <math.h>
#include <string.h>

static const double least_distance = 1e-4, most_distance = 1e3; /* in scene radii */
static const double steepest = 89.0 * 3.14159265358979323846 / 180;

static double dot(const double a[3], const double b[3])
{
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

static void cross(double out[3], const double a[3], const double b[3])
{
    out[0] = a[1] * b[2] - a[2] * b[1];
    out[1] = a[2] * b[0] - a[0] * b[2];
    out[2] = a[0] * b[1] - a[1] * b[0];
}

static double normalize(double v[3])
{
    double n = sqrt(dot(v, v));
    if (n > 0)
        for (int i = 0; i < 3; i++)
            v[i] /= n;
    return n;
}

static double distance(const double a[3], const double b[3])
{
    double d[3] = {a[0] - b[0], a[1] - b[1], a[2] - b[2]};
    return sqrt(dot(d, d));
}

static double clamp(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

/* p seen from the camera. */
static void to_camera(double out[3], const struct camera_control *c, const double p[3])
{
    double d[3] = {p[0] - c->eye[0], p[1] - c->eye[1], p[2] - c->eye[2]};
    for (int i = 0; i < 3; i++)
        out[i] = dot(c->rotation + 3 * i, d);
}

/* Moves the eye so that world point p is seen at camera coordinates seen. */
static void keep_seen(struct camera_control *c, const double p[3], const double seen[3])
{
    for (int i = 0; i < 3; i++)
        c->eye[i] = p[i] - (c->rotation[i] * seen[0] + c->rotation[3 + i] * seen[1] +
                            c->rotation[6 + i] * seen[2]);
}

/* Rows of the rotation: forward kept, right made perpendicular to it. */
static void orthonormalize(double r[9])
{
    double *right = r, *down = r + 3, *forward = r + 6;
    normalize(forward);
    double along = dot(right, forward);
    for (int i = 0; i < 3; i++)
        right[i] -= along * forward[i];
    normalize(right);
    cross(down, forward, right);
}

/* v turned around a unit axis. */
static void turn(double v[3], const double axis[3], double angle)
{
    double s = sin(angle), k = cos(angle), side[3], along = dot(axis, v) * (1 - k);
    cross(side, axis, v);
    for (int i = 0; i < 3; i++)
        v[i] = v[i] * k + side[i] * s + axis[i] * along;
}

/* Takes out the roll: right becomes horizontal. Looking straight along up, right stays. */
static void level(struct camera_control *c)
{
    double right[3];
    cross(right, c->rotation + 6, c->up);
    if (normalize(right) > 1e-6)
        memcpy(c->rotation, right, sizeof right);
    orthonormalize(c->rotation);
}

void camera_control_init(struct camera_control *c, const double centre[3], double radius,
                         const double up[3])
{
    *c = (struct camera_control){.mode = CAMERA_TURNTABLE, .speed = 0.5};
    c->radius = radius > 0 && isfinite(radius) ? radius : 1;
    memcpy(c->centre, centre, sizeof c->centre);
    memcpy(c->pivot, centre, sizeof c->pivot);
    memcpy(c->eye, centre, sizeof c->eye);
    memcpy(c->up, up, sizeof c->up);
    if (!(normalize(c->up) > 0))
        memcpy(c->up, (double[3]){0, -1, 0}, sizeof c->up);
    for (int i = 0; i < 3; i++)
        c->rotation[4 * i] = 1;
    c->eye[2] -= 2.5 * c->radius;
}

void camera_control_set(struct camera_control *c, const struct gs_camera *camera)
{
    for (int i = 0; i < 3; i++)
        memcpy(c->rotation + 3 * i, camera->view + 4 * i, 3 * sizeof(double));
    orthonormalize(c->rotation);
    gs_camera_centre(camera, c->eye);

    double seen[3];
    to_camera(seen, c, c->centre);
    double ahead = fmax(seen[2], 0.1 * c->radius);
    for (int i = 0; i < 3; i++)
        c->pivot[i] = c->eye[i] + ahead * c->rotation[6 + i];
}

void camera_control_get(const struct camera_control *c, struct gs_camera *camera)
{
    memset(camera->view, 0, sizeof camera->view);
    for (int i = 0; i < 3; i++) {
        const double *row = c->rotation + 3 * i;
        memcpy(camera->view + 4 * i, row, 3 * sizeof(double));
        camera->view[4 * i + 3] = -dot(row, c->eye);
    }
    camera->view[15] = 1;
}

void camera_control_rotate(struct camera_control *c, double right, double down)
{
    double fixed[3], seen[3], *r = c->rotation;
    memcpy(fixed, c->mode == CAMERA_FLY ? c->eye : c->pivot, sizeof fixed);
    double ahead = distance(c->pivot, c->eye);

    double yaw_axis[3];
    if (c->mode == CAMERA_ORBIT) {
        memcpy(yaw_axis, r + 3, sizeof yaw_axis); /* the camera's own down */
    } else {
        level(c);
        for (int i = 0; i < 3; i++)
            yaw_axis[i] = -c->up[i];
        double elevation = asin(clamp(dot(r + 6, c->up), -1, 1));
        down = elevation - clamp(elevation - down, -steepest, steepest);
    }
    to_camera(seen, c, fixed);
    for (int row = 0; row < 3; row++)
        turn(r + 3 * row, yaw_axis, right);
    double right_axis[3] = {r[0], r[1], r[2]};
    for (int row = 0; row < 3; row++)
        turn(r + 3 * row, right_axis, -down);
    orthonormalize(r);
    keep_seen(c, fixed, seen);
    if (c->mode == CAMERA_FLY)
        for (int i = 0; i < 3; i++)
            c->pivot[i] = c->eye[i] + ahead * r[6 + i];
}

static void shift(struct camera_control *c, const double by[3])
{
    for (int i = 0; i < 3; i++) {
        double d = c->rotation[i] * by[0] + c->rotation[3 + i] * by[1] + c->rotation[6 + i] * by[2];
        c->eye[i] += d;
        c->pivot[i] += d;
    }
}

void camera_control_pan(struct camera_control *c, double right, double down, double focal_pixels)
{
    double seen[3];
    to_camera(seen, c, c->pivot);
    double per_pixel = fmax(seen[2], 0.01 * c->radius) / focal_pixels;
    shift(c, (double[3]){-right * per_pixel, -down * per_pixel, 0});
}

void camera_control_zoom(struct camera_control *c, double steps)
{
    if (c->mode == CAMERA_FLY) {
        c->speed = clamp(c->speed * pow(1.2, steps), 1e-3, 100);
        return;
    }
    double now = distance(c->eye, c->pivot);
    if (!(now > 0))
        return;
    double wanted = clamp(now * exp(-0.15 * steps), least_distance * c->radius,
                          fmax(now, most_distance * c->radius));
    for (int i = 0; i < 3; i++)
        c->eye[i] = c->pivot[i] + (c->eye[i] - c->pivot[i]) * (wanted / now);
}

void camera_control_move(struct camera_control *c, double right, double up, double forward,
                         double seconds)
{
    double step = c->speed * c->radius * seconds;
    shift(c, (double[3]){right * step, -up * step, forward * step});
}

void camera_control_pivot(struct camera_control *c, const double point[3])
{
    memcpy(c->pivot, point, sizeof c->pivot);
}

void camera_control_frame(struct camera_control *c, const double centre[3], double radius,
                          double half_fov)
{
    double back = fmax(radius, 1e-6 * c->radius) / sin(clamp(half_fov, 0.01, 1.5));
    memcpy(c->pivot, centre, sizeof c->pivot);
    for (int i = 0; i < 3; i++)
        c->eye[i] = centre[i] - back * c->rotation[6 + i];
}
