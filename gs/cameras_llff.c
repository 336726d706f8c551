/* poses_bounds.npy (LLFF; Plenoptic/N3DV videos): float N x 17. A row is a 3x5 matrix,
 * row-major: three columns of the camera->world rotation, the centre, (height, width, focal in
 * pixels of that height and width); then the near and far bound of the scene.
 *
 * The axes of the columns are down, right, back; OpenCV's right, down, forward are therefore
 * columns 1, 0 and minus 2. Rows are the cameras in the order of their sorted names, which the
 * file does not hold: they are called cam00, cam01 ... as in N3DV. */
#include "gs/camera.h"
#include "vk/base/npy.h"

#include <math.h>
#include <stdlib.h>

static int read_row(struct gs_cameras *out, const double row[17], const char *name,
                    const struct gs_camera_hints *hints)
{
    struct gs_camera *c = gs_cameras_push(out);
    if (!c)
        return FV_ENOMEM;
    size_t i = out->count - 1;
    snprintf(c->name, sizeof c->name, "cam%02zu", i);
    double h = row[4], w = row[9], m[12];
    if (h == 0 && w == 0) {
        if (!hints->width || !hints->height)
            return fv_fail(FV_EFORMAT,
                           "%s: row %zu: height and width are 0; give the picture size with --size "
                           "WxH",
                           name, i);
        h = hints->height;
        w = hints->width;
    }
    if (!(h >= 1) || !(w >= 1) || h > GS_CAMERA_MAX_SIZE || w > GS_CAMERA_MAX_SIZE)
        return fv_fail(FV_EFORMAT, "%s: row %zu: height %g and width %g are not in 1..65536", name,
                       i, h, w);
    c->width = (uint32_t)lround(w);
    c->height = (uint32_t)lround(h);
    c->fx = row[14] * c->width / w;
    c->fy = row[14] * c->height / h;
    c->cx = c->width / 2.0;
    c->cy = c->height / 2.0;
    for (int r = 0; r < 3; r++) {
        m[4 * r] = row[5 * r + 1];
        m[4 * r + 1] = row[5 * r];
        m[4 * r + 2] = -row[5 * r + 2];
        m[4 * r + 3] = row[5 * r + 3];
    }
    if (!gs_camera_set_c2w(c, m))
        return fv_fail(FV_EFORMAT, "%s: row %zu: the pose matrix is singular or not finite", name,
                       i);
    if (!isfinite(row[15]) || !isfinite(row[16]) || row[15] < 0 || row[16] < row[15])
        return fv_fail(FV_EFORMAT, "%s: row %zu: bounds %g and %g are not near and far", name, i,
                       row[15], row[16]);
    c->near = row[15];
    c->far = row[16];
    return 0;
}

int gs_cameras_parse_llff(struct gs_cameras *out, const void *data, size_t size, const char *name,
                          const struct gs_camera_hints *hints)
{
    struct fv_npy a;
    out->format = GS_CAMERAS_LLFF;
    FV_TRY(fv_npy_parse(&a, data, size, name));
    if (a.rank != 2 || a.dims[1] != 17)
        return fv_fail(FV_EFORMAT, "%s: the array is not N x 17, as poses_bounds.npy is", name);
    double *rows = malloc((a.count ? a.count : 1) * sizeof *rows);
    if (!rows)
        return fv_fail(FV_ENOMEM, "out of memory for %zu poses", a.dims[0]);
    fv_npy_get_f64(&a, rows);
    int rc = 0;
    for (size_t i = 0; rc >= 0 && i < a.dims[0]; i++)
        rc = read_row(out, rows + 17 * i, name, hints);
    free(rows);
    return rc;
}
