/* Camera paths: keyframes in time, read, written and interpolated (docs/CAMERA_PATH.md).
 *
 * Position: a centripetal Catmull-Rom curve through the keyframes (Yuksel et al. 2011: knots
 * spaced by the square root of the distance, so no loops or cusps between keys), walked at
 * s(t), the monotone cubic (Fritsch and Butland 1984) through the keyframes' times: speed never
 * jumps, and two equal keys in a row make the camera stand still.
 * Rotation: in each segment a cubic Bezier curve on the quaternions (Shoemake 1985) whose
 * inner control points follow from one angular velocity a key; so that never jumps either.
 * Focal lengths (as logarithms) and principal point (as a share of the picture): monotone
 * cubic. */
#include "gs/camera.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PI           3.14159265358979323846
#define DEFAULT_FOV  50.0 /* degrees, vertical */
#define LEAST_MOMENT 1e-9 /* seconds between keys, so that equal times divide nothing by 0 */

enum { SCALARS = 4 };

/* ---- reading and writing ---- */

static void read_lens(struct fv_json *doc, struct fv_node n, struct gs_camera *c)
{
    if (fv_node_has(n, "fx")) {
        c->fx = fv_json_number(doc, n, "fx");
        c->fy = fv_json_number_or(doc, n, "fy", c->fx);
    } else {
        double fov = fv_json_number_or(doc, n, "fov", DEFAULT_FOV);
        if (!doc->failed && !(fov > 0 && fov < 180))
            fv_json_fail(doc, fv_node_get(n, "fov"), "expected degrees in 0..180, found %g", fov);
        c->fx = c->fy = gs_focal_of_angle(fov * PI / 180, c->height);
    }
    c->cx = fv_json_number_or(doc, n, "cx", c->width / 2.0);
    c->cy = fv_json_number_or(doc, n, "cy", c->height / 2.0);
}

static void read_pose(struct fv_json *doc, struct fv_node n, struct gs_camera *c)
{
    double position[3], target[3], rotation[4], up[3] = {0, -1, 0};
    fv_json_numbers(doc, fv_node_get(n, "position"), position, 3);
    if (fv_node_has(n, "rotation")) {
        fv_json_numbers(doc, fv_node_get(n, "rotation"), rotation, 4);
        if (!doc->failed && !gs_camera_set_pose(c, rotation, position))
            fv_json_fail(doc, fv_node_get(n, "rotation"), "the quaternion is zero");
        return;
    }
    if (!fv_node_has(n, "look_at")) {
        fv_json_fail(doc, n, "expected rotation (w, x, y, z) or look_at (a point)");
        return;
    }
    fv_json_numbers(doc, fv_node_get(n, "look_at"), target, 3);
    if (fv_node_has(n, "up"))
        fv_json_numbers(doc, fv_node_get(n, "up"), up, 3);
    gs_camera_look_at(c, position, target, up);
}

static int read_key(struct gs_cameras *out, struct fv_json *doc, struct fv_node n,
                    const struct gs_camera *common)
{
    struct gs_camera *c = gs_cameras_push(out);
    if (!c)
        return FV_ENOMEM;
    *c = *common;
    size_t i = out->count - 1;
    char index[32];
    snprintf(index, sizeof index, "%zu", i);
    gs_camera_set_name(c, fv_json_string_or(doc, n, "name", index));
    double before = i ? out->items[i - 1].time : -1;
    c->time = fv_json_number_or(doc, n, "time", before + 1);
    if (!doc->failed && i && !(c->time > before))
        fv_json_fail(doc, fv_node_get(n, "time"), "%g is not after the keyframe before (%g)",
                     c->time, before);
    read_lens(doc, n, c);
    read_pose(doc, n, c);
    return doc->failed ? FV_EFORMAT : 0;
}

int gs_cameras_read_path(struct gs_cameras *out, struct fv_json *doc,
                         const struct gs_camera_hints *hints)
{
    struct fv_node root = doc->root;
    struct gs_camera common = {0};
    gs_camera_default_size(hints, &common);
    if (fv_node_has(root, "width") || fv_node_has(root, "height"))
        gs_json_camera_size(doc, root, hints, &common);
    if (fv_node_has(root, "bg")) {
        double bg[3];
        fv_json_numbers(doc, fv_node_get(root, "bg"), bg, 3);
        common.has_bg = true;
        for (int k = 0; k < 3; k++)
            common.bg[k] = (float)bg[k];
    }
    out->is_path = true;
    out->loop = fv_json_bool_or(doc, root, "loop", false);
    out->fps = fv_json_number_or(doc, root, "fps", 0);
    if (!doc->failed && !(out->fps >= 0 && out->fps <= 1000))
        fv_json_fail(doc, fv_node_get(root, "fps"), "expected frames a second in 0..1000, found %g",
                     out->fps);
    struct fv_node keys = fv_json_array(doc, root, "keyframes");
    size_t count = fv_node_count(keys);
    struct fv_node n = fv_node_at(keys, 0);
    for (size_t i = 0; i < count && !doc->failed; i++, n = fv_node_next(n, i))
        FV_TRY(read_key(out, doc, n, &common));
    return doc->failed ? FV_EFORMAT : 0;
}

static cJSON *key_json(const struct gs_camera *c, double time)
{
    double position[3], rotation[4];
    gs_camera_centre(c, position);
    gs_camera_rotation(c, rotation);
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "time", time);
    cJSON_AddStringToObject(o, "name", c->name);
    cJSON_AddItemToObject(o, "position", cJSON_CreateDoubleArray(position, 3));
    cJSON_AddItemToObject(o, "rotation", cJSON_CreateDoubleArray(rotation, 4));
    cJSON_AddNumberToObject(o, "fx", c->fx);
    cJSON_AddNumberToObject(o, "fy", c->fy);
    cJSON_AddNumberToObject(o, "cx", c->cx);
    cJSON_AddNumberToObject(o, "cy", c->cy);
    return o;
}

/* A plain list is a path of one key a second. */
static double key_time(const struct gs_cameras *c, size_t i)
{
    return c->is_path ? c->items[i].time : (double)i;
}

int gs_cameras_save_path(const struct gs_cameras *c, const char *path)
{
    if (!c->count)
        return fv_fail(FV_EINVALID, "%s: a camera path needs at least one keyframe", path);
    for (size_t i = 1; i < c->count; i++)
        if (!(key_time(c, i) > key_time(c, i - 1)))
            return fv_fail(FV_EINVALID, "%s: keyframe %zu is not later than the one before", path,
                           i);
    const struct gs_camera *first = c->items;
    cJSON *root = cJSON_CreateObject();
    cJSON_AddNumberToObject(root, "width", first->width);
    cJSON_AddNumberToObject(root, "height", first->height);
    if (c->fps > 0)
        cJSON_AddNumberToObject(root, "fps", c->fps);
    cJSON_AddBoolToObject(root, "loop", c->loop);
    if (first->has_bg)
        cJSON_AddItemToObject(root, "bg", cJSON_CreateFloatArray(first->bg, 3));
    cJSON *keys = cJSON_AddArrayToObject(root, "keyframes");
    for (size_t i = 0; keys && i < c->count; i++) {
        struct gs_camera key = c->items[i];
        gs_camera_resize(&key, first->width, first->height);
        cJSON *o = key_json(&key, key_time(c, i));
        if (!o || !cJSON_AddItemToArray(keys, o)) {
            cJSON_Delete(root);
            return fv_fail(FV_ENOMEM, "out of memory");
        }
    }
    return gs_json_write(root, path);
}

/* ---- quaternions, w x y z ---- */

static void q_multiply(double out[4], const double a[4], const double b[4])
{
    const double r[4] = {a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3],
                         a[0] * b[1] + a[1] * b[0] + a[2] * b[3] - a[3] * b[2],
                         a[0] * b[2] - a[1] * b[3] + a[2] * b[0] + a[3] * b[1],
                         a[0] * b[3] + a[1] * b[2] - a[2] * b[1] + a[3] * b[0]};
    memcpy(out, r, sizeof r);
}

/* Half the rotation vector of inverse(a) b. */
static void q_log_between(double out[3], const double a[4], const double b[4])
{
    const double inverse[4] = {a[0], -a[1], -a[2], -a[3]};
    double d[4];
    q_multiply(d, inverse, b);
    double length = sqrt(d[1] * d[1] + d[2] * d[2] + d[3] * d[3]);
    double f = length > 1e-12 ? atan2(length, d[0]) / length : 1;
    for (int k = 0; k < 3; k++)
        out[k] = f * d[k + 1];
}

/* out = a exp(v), v half a rotation vector. */
static void q_turn(double out[4], const double a[4], const double v[3], double times)
{
    double angle = times * sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
    double f = fabs(angle) > 1e-12 ? times * sin(angle) / angle : times;
    const double e[4] = {cos(angle), f * v[0], f * v[1], f * v[2]};
    q_multiply(out, a, e);
}

static void q_slerp(double out[4], const double a[4], const double b[4], double u)
{
    double v[3];
    q_log_between(v, a, b);
    q_turn(out, a, v, u);
}

/* ---- interpolation ---- */

/* A keyframe as numbers to interpolate. */
struct key {
    double time, position[3], rotation[4], scalar[SCALARS];
};

static void load_key(struct key *out, const struct gs_cameras *c, size_t i)
{
    struct gs_camera cam = c->items[i];
    if (cam.width != c->items->width || cam.height != c->items->height)
        gs_camera_resize(&cam, c->items->width, c->items->height);
    out->time = key_time(c, i);
    gs_camera_centre(&cam, out->position);
    gs_camera_rotation(&cam, out->rotation);
    out->scalar[0] = log(cam.fx);
    out->scalar[1] = log(cam.fy);
    out->scalar[2] = cam.cx / cam.width;
    out->scalar[3] = cam.cy / cam.height;
}

/* Beyond an open end the path goes on as the segment at that end: b mirrored about a. */
static void mirror_key(struct key *out, const struct key *a, const struct key *b)
{
    double v[3];
    out->time = 2 * a->time - b->time;
    for (int k = 0; k < 3; k++)
        out->position[k] = 2 * a->position[k] - b->position[k];
    for (int k = 0; k < SCALARS; k++)
        out->scalar[k] = 2 * a->scalar[k] - b->scalar[k];
    q_log_between(v, a->rotation, b->rotation);
    q_turn(out->rotation, a->rotation, v, -1);
}

/* A closed path takes the mean time between its keys from the last one back to the first. */
static double period(const struct gs_cameras *c)
{
    double n = (double)c->count, span = key_time(c, c->count - 1) - key_time(c, 0);
    return c->loop && c->count > 1 ? span * n / (n - 1) : span;
}

double gs_cameras_duration(const struct gs_cameras *c)
{
    return c->count ? period(c) : 0;
}

static void flip_to(double q[4], const double near[4])
{
    if (q[0] * near[0] + q[1] * near[1] + q[2] * near[2] + q[3] * near[3] < 0)
        for (int k = 0; k < 4; k++)
            q[k] = -q[k];
}

/* The keys before, at, at the end of and after the segment that starts at key i. */
static void segment_keys(struct key out[4], const struct gs_cameras *c, size_t i)
{
    size_t n = c->count;
    for (int j = 0; j < 4; j++) {
        size_t at = i + n + (size_t)j - 1;
        load_key(&out[j], c, at % n);
        out[j].time += ((double)(at / n) - 1) * period(c);
    }
    for (int j = 1; j < 4; j++)
        flip_to(out[j].rotation, out[j - 1].rotation);
    if (!c->loop && i == 0)
        mirror_key(&out[0], &out[1], &out[2]);
    if (!c->loop && i + 2 >= n)
        mirror_key(&out[3], &out[2], &out[1]);
    flip_to(out[0].rotation, out[1].rotation);
    flip_to(out[3].rotation, out[2].rotation);
}

static double hermite(double a, double b, double slope_a, double slope_b, double u)
{
    double u2 = u * u, u3 = u2 * u;
    return a * (2 * u3 - 3 * u2 + 1) + slope_a * (u3 - 2 * u2 + u) + b * (3 * u2 - 2 * u3) +
           slope_b * (u3 - u2);
}

/* Slope at a point between two secants of widths h0, h1 that keeps the cubic monotone. */
static double monotone_slope(double secant0, double secant1, double h0, double h1)
{
    if (secant0 * secant1 <= 0)
        return 0;
    double w0 = 2 * h1 + h0, w1 = h1 + 2 * h0;
    return (w0 + w1) / (w0 / secant0 + w1 / secant1);
}

/* Monotone cubic through y[1] at u = 0 and y[2] at u = 1; h are the three widths in time. */
static double monotone(const double y[4], const double h[3], double u)
{
    double s0 = (y[1] - y[0]) / h[0], s1 = (y[2] - y[1]) / h[1], s2 = (y[3] - y[2]) / h[2];
    return hermite(y[1], y[2], h[1] * monotone_slope(s0, s1, h[0], h[1]),
                   h[1] * monotone_slope(s1, s2, h[1], h[2]), u);
}

static void eval_position(double out[3], const struct key k[4], const double h[3], double u)
{
    double d[3], knot[4] = {0}, most = 0;
    for (int j = 0; j < 3; j++) {
        double sum = 0;
        for (int a = 0; a < 3; a++) {
            double e = k[j + 1].position[a] - k[j].position[a];
            sum += e * e;
        }
        d[j] = sqrt(sqrt(sum));
        most = fmax(most, d[j]);
    }
    for (int j = 0; j < 3; j++) {
        d[j] = fmax(d[j], most > 0 ? 1e-6 * most : 1);
        knot[j + 1] = knot[j] + d[j];
    }
    double v = (monotone(knot, h, u) - knot[1]) / d[1];
    for (int a = 0; a < 3; a++) {
        const double p0 = k[0].position[a], p1 = k[1].position[a], p2 = k[2].position[a],
                     p3 = k[3].position[a];
        double m1 = (p1 - p0) / d[0] - (p2 - p0) / (d[0] + d[1]) + (p2 - p1) / d[1];
        double m2 = (p2 - p1) / d[1] - (p3 - p1) / (d[1] + d[2]) + (p3 - p2) / d[2];
        out[a] = hermite(p1, p2, d[1] * m1, d[1] * m2, v);
    }
}

static void eval_rotation(double out[4], const struct key k[4], const double h[3], double u)
{
    double turn[3][3], b[4][4], row[4][4];
    for (int j = 0; j < 3; j++)
        q_log_between(turn[j], k[j].rotation, k[j + 1].rotation);
    memcpy(b[0], k[1].rotation, sizeof b[0]);
    memcpy(b[3], k[2].rotation, sizeof b[3]);
    for (int j = 0; j < 2; j++) {
        double velocity[3]; /* at the start (j = 0) and the end of the segment */
        for (int a = 0; a < 3; a++)
            velocity[a] = (h[j + 1] * turn[j][a] / h[j] + h[j] * turn[j + 1][a] / h[j + 1]) /
                          (h[j] + h[j + 1]);
        q_turn(b[1 + j], b[3 * j], velocity, (j ? -1 : 1) * h[1] / 3);
    }
    memcpy(row, b, sizeof b);
    for (int left = 3; left > 0; left--) /* de Casteljau */
        for (int j = 0; j < left; j++)
            q_slerp(row[j], row[j], row[j + 1], u);
    memcpy(out, row[0], sizeof row[0]);
}

/* The segment a time lies in, and where in it. The time is already inside the path. */
static size_t find_segment(const struct gs_cameras *c, double time)
{
    size_t lo = 0, hi = c->loop ? c->count : c->count - 1;
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (key_time(c, mid) <= time)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

int gs_cameras_eval(const struct gs_cameras *c, double time, struct gs_camera *out)
{
    if (!c->count)
        return fv_fail(FV_EINVALID, "the camera path has no keyframes");
    if (!isfinite(time))
        return fv_fail(FV_EINVALID, "the time on the camera path is not finite");
    double first = key_time(c, 0), length = period(c);
    if (c->loop && length > 0) {
        time = fmod(time - first, length);
        time = first + (time < 0 ? time + length : time);
    }
    time = fmin(fmax(time, first), first + length);
    *out = c->items[0];
    out->time = time;
    if (c->count == 1)
        return 0;

    size_t i = find_segment(c, time);
    struct key k[4];
    double h[3], position[3], rotation[4], s[SCALARS];
    segment_keys(k, c, i);
    for (int j = 0; j < 3; j++)
        h[j] = fmax(k[j + 1].time - k[j].time, LEAST_MOMENT);
    double u = fmin(fmax((time - k[1].time) / h[1], 0), 1);
    eval_position(position, k, h, u);
    eval_rotation(rotation, k, h, u);
    for (int j = 0; j < SCALARS; j++)
        s[j] = monotone(
            (const double[4]){k[0].scalar[j], k[1].scalar[j], k[2].scalar[j], k[3].scalar[j]}, h,
            u);
    *out = c->items[(u < 1 ? i : i + 1) % c->count]; /* background and limits are those of the key passed last */
    out->width = c->items->width;
    out->height = c->items->height;
    out->time = time;
    out->fx = exp(s[0]);
    out->fy = exp(s[1]);
    out->cx = s[2] * out->width;
    out->cy = s[3] * out->height;
    gs_camera_set_pose(out, rotation, position);
    return 0;
}
