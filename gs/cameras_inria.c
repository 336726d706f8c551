/* cameras.json of an INRIA training folder (and of many web viewers):
 *
 *     [{id, img_name, width, height, position[3], rotation[3][3], fx, fy}]
 *
 * rotation is camera->world, its rows as listed; position the camera's centre. There is no
 * principal point: it is the middle of the picture. */
#include "gs/camera.h"

static int read_camera(struct gs_cameras *out, struct fv_json *doc, struct fv_node n,
                       const struct gs_camera_hints *hints)
{
    double r[9], centre[3], m[12];
    struct gs_camera *c = gs_cameras_push(out);
    if (!c)
        return FV_ENOMEM;
    gs_json_camera_name(out, doc, n, "img_name");
    gs_json_camera_size(doc, n, hints, c);
    c->fx = fv_json_number(doc, n, "fx");
    c->fy = fv_json_number(doc, n, "fy");
    c->cx = c->width / 2.0;
    c->cy = c->height / 2.0;
    fv_json_numbers(doc, fv_node_get(n, "position"), centre, 3);
    fv_json_numbers(doc, fv_node_get(n, "rotation"), r, 9);
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 3; j++)
            m[4 * i + j] = r[3 * i + j];
        m[4 * i + 3] = centre[i];
    }
    if (!doc->failed && !gs_camera_set_c2w(c, m))
        fv_json_fail(doc, fv_node_get(n, "rotation"), "the matrix is singular");
    return doc->failed ? FV_EFORMAT : 0;
}

int gs_cameras_read_inria(struct gs_cameras *out, struct fv_json *doc,
                          const struct gs_camera_hints *hints)
{
    return gs_json_each_camera(out, doc, doc->root, read_camera, hints);
}
