/* transforms.json of NeRF (Blender), instant-ngp and nerfstudio:
 *
 *     {camera_angle_x | fl_x, fl_y, cx, cy, w, h, ..., frames: [{file_path, transform_matrix}]}
 *
 * transform_matrix is camera->world in OpenGL axes (x right, y up, z back). Intrinsics stand at
 * the top or in a frame, the frame's first. Where w and h are missing the frame's image says,
 * else cx and cy, which are then taken for the middle, else the caller.
 *
 * Poses are used as they stand: nerfstudio's applied_transform is in them already. A scene
 * exported by nerfstudio lives in yet another space, which dataparser_transforms.json
 * {transform[3][4], scale} of its training run maps to from before applied_transform; when that
 * file lies beside transforms.json the cameras follow:
 *
 *     pose' = transform * inverse(applied_transform) * pose, centre' *= scale / applied_scale */
#include "gs/camera.h"
#include "vk/base/log.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    struct fv_json *doc;
    const struct gs_camera_hints *hints;
    double world[12], scale; /* to the space of the scene */
    bool warned;             /* of distortion */
};

/* out = a * b, 3x4 matrices with the last row 0 0 0 1. */
static void multiply(double out[12], const double a[12], const double b[12])
{
    double m[12];
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 4; j++) {
            m[4 * i + j] = j == 3 ? a[4 * i + 3] : 0;
            for (int k = 0; k < 3; k++)
                m[4 * i + j] += a[4 * i + k] * b[4 * k + j];
        }
    memcpy(out, m, sizeof m);
}

/* The object that holds the key: the frame if it can, else the top of the file. */
static struct fv_node either(const struct reader *r, struct fv_node frame, const char *key)
{
    return fv_node_has(frame, key) ? frame : r->doc->root;
}

static double number(const struct reader *r, struct fv_node frame, const char *key, double or_)
{
    return fv_json_number_or(r->doc, either(r, frame, key), key, or_);
}

/* 3x4, or 4x4 whose last row is left out. */
static void matrix(const struct reader *r, struct fv_node object, const char *key, double out[12])
{
    double m[16];
    struct fv_node n = fv_json_array(r->doc, object, key);
    fv_json_numbers(r->doc, n, m, fv_node_count(n) == 3 ? 12 : 16);
    memcpy(out, m, 12 * sizeof *out);
}

static int read_size(const struct reader *r, struct fv_node frame, struct gs_camera *c)
{
    struct fv_node w = either(r, frame, "w"), h = either(r, frame, "h");
    if (fv_node_has(w, "w") && fv_node_has(h, "h")) {
        c->width = (uint32_t)fv_json_int(r->doc, w, "w", 1, GS_CAMERA_MAX_SIZE);
        c->height = (uint32_t)fv_json_int(r->doc, h, "h", 1, GS_CAMERA_MAX_SIZE);
        return 0;
    }
    bool found = false;
    if (r->hints->dir && *c->name) {
        char *path = fv_path_join(r->hints->dir, fv_json_string_or(r->doc, frame, "file_path", ""));
        if (!path)
            return fv_fail(FV_ENOMEM, "out of memory");
        found = gs_image_file_size(path, &c->width, &c->height);
        free(path);
    }
    if (found ||
        gs_camera_infer_size(r->hints, number(r, frame, "cx", 0), number(r, frame, "cy", 0), c))
        return 0;
    if (!fv_node_has(either(r, frame, "fl_x"), "fl_x") &&
        !fv_node_has(either(r, frame, "fl_y"), "fl_y"))
        gs_camera_default_size(r->hints, c);
    else
        fv_json_fail(r->doc, frame,
                     "no w and h for fl_x, and the size of image \"%s\" cannot be read; give the "
                     "picture size with --size WxH",
                     c->name);
    return 0;
}

static void read_focal(const struct reader *r, struct fv_node frame, struct gs_camera *c)
{
    double ax = number(r, frame, "camera_angle_x", 0), ay = number(r, frame, "camera_angle_y", 0);
    double angle_fx = ax > 0 && ax < 3.14 ? gs_focal_of_angle(ax, c->width) : 0;
    double angle_fy = ay > 0 && ay < 3.14 ? gs_focal_of_angle(ay, c->height) : 0;
    double fx = number(r, frame, "fl_x", 0), fy = number(r, frame, "fl_y", 0);
    c->fx = fx ? fx : angle_fx ? angle_fx : angle_fy;
    c->fy = fy ? fy : fx ? fx : angle_fy ? angle_fy : angle_fx;
    if (!(c->fx > 0) || !(c->fy > 0))
        fv_json_fail(r->doc, frame,
                     "no focal length; expected fl_x in pixels or camera_angle_x in 0..pi radians, "
                     "here or at the top");
}

static int check_model(struct reader *r, struct fv_node frame)
{
    static const char *const pinhole[] = {"OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "PERSPECTIVE"};
    static const char *const terms[] = {"k1", "k2", "k3", "k4", "p1", "p2"};
    const char *model =
        fv_json_string_or(r->doc, either(r, frame, "camera_model"), "camera_model", "OPENCV");
    bool known = false;
    for (size_t i = 0; i < sizeof pinhole / sizeof *pinhole; i++)
        known |= !strcmp(model, pinhole[i]);
    if (!known && !r->doc->failed)
        return fv_fail(FV_EUNSUPPORTED,
                       "%s: %s: camera_model %.32s is not a pinhole; undistort the images first "
                       "(colmap image_undistorter) and make transforms.json from the result",
                       r->doc->name, frame.place, model);
    for (size_t i = 0; i < sizeof terms / sizeof *terms && !r->warned; i++) {
        if (number(r, frame, terms[i], 0) != 0) {
            r->warned = true;
            fv_log(FV_WARN, "%s: lens distortion (%s) is left out: pictures are pinhole views",
                   r->doc->name, terms[i]);
        }
    }
    return 0;
}

static int read_frame(struct gs_cameras *out, struct reader *r, struct fv_node frame)
{
    double m[12];
    struct gs_camera *c = gs_cameras_push(out);
    if (!c)
        return FV_ENOMEM;
    const char *path = fv_json_string_or(r->doc, frame, "file_path", "");
    gs_camera_set_name(c, path + (strncmp(path, "./", 2) ? 0 : 2));
    if (!*path)
        snprintf(c->name, sizeof c->name, "%zu", out->count - 1);
    FV_TRY(check_model(r, frame));
    FV_TRY(read_size(r, frame, c));
    read_focal(r, frame, c);
    c->cx = number(r, frame, "cx", c->width / 2.0);
    c->cy = number(r, frame, "cy", c->height / 2.0);
    matrix(r, frame, "transform_matrix", m);
    if (r->doc->failed)
        return FV_EFORMAT;
    for (int i = 0; i < 3; i++) {
        m[4 * i + 1] = -m[4 * i + 1];
        m[4 * i + 2] = -m[4 * i + 2];
    }
    multiply(m, r->world, m);
    for (int i = 0; i < 3; i++)
        m[4 * i + 3] *= r->scale;
    if (!gs_camera_set_c2w(c, m))
        return fv_json_fail(r->doc, fv_node_get(frame, "transform_matrix"),
                            "the matrix is singular");
    return 0;
}

/* world = transform * inverse(applied_transform) from the file of a nerfstudio run. */
static int read_dataparser(struct reader *r, const char *path)
{
    double applied[12] = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0}, transform[12];
    struct fv_node root = r->doc->root;
    if (fv_node_has(root, "applied_transform"))
        matrix(r, root, "applied_transform", applied);
    double applied_scale = fv_json_number_or(r->doc, root, "applied_scale", 1);
    struct gs_camera inverse;
    if (!r->doc->failed && !gs_camera_set_c2w(&inverse, applied))
        fv_json_fail(r->doc, fv_node_get(root, "applied_transform"), "the matrix is singular");
    if (r->doc->failed)
        return FV_EFORMAT;

    struct fv_json doc;
    FV_TRY(fv_json_open(&doc, path));
    struct reader run = {.doc = &doc};
    matrix(&run, doc.root, "transform", transform);
    r->scale = fv_json_number(&doc, doc.root, "scale") / applied_scale;
    if (!doc.failed && !(r->scale > 0 && isfinite(r->scale)))
        fv_json_fail(&doc, fv_node_get(doc.root, "scale"), "is not positive");
    bool failed = doc.failed;
    fv_json_close(&doc);
    if (failed)
        return FV_EFORMAT;
    multiply(r->world, transform, inverse.view);
    fv_log(FV_INFO, "%s: cameras moved to the space of that nerfstudio run", path);
    return 0;
}

int gs_cameras_read_transforms(struct gs_cameras *out, struct fv_json *doc,
                               const struct gs_camera_hints *hints)
{
    struct reader r = {
        .doc = doc, .hints = hints, .world = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0}, .scale = 1};
    if (hints->dir) {
        char *path = fv_path_join(hints->dir, "dataparser_transforms.json");
        if (!path)
            return fv_fail(FV_ENOMEM, "out of memory");
        int rc = fv_exists(path) ? read_dataparser(&r, path) : 0;
        free(path);
        FV_TRY(rc);
    }
    struct fv_node frames = fv_json_array(doc, doc->root, "frames");
    size_t count = fv_node_count(frames);
    struct fv_node n = fv_node_at(frames, 0);
    for (size_t i = 0; i < count; i++, n = fv_node_next(n, i))
        FV_TRY(read_frame(out, &r, n));
    return doc->failed ? FV_EFORMAT : 0;
}
