/* What the makers of moving scenes share (make_motion.c, make_head.c): quaternions w, x, y, z, and
 * cameras around a figure. */
#ifndef TOOLS_MOTION_H
#define TOOLS_MOTION_H

#include "gs/gs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline void product(double out[4], const double a[4], const double b[4])
{
    const double r[4] = {a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3],
                         a[0] * b[1] + a[1] * b[0] + a[2] * b[3] - a[3] * b[2],
                         a[0] * b[2] - a[1] * b[3] + a[2] * b[0] + a[3] * b[1],
                         a[0] * b[3] + a[1] * b[2] - a[2] * b[1] + a[3] * b[0]};
    memcpy(out, r, sizeof r);
}

/* A Gaussian turned by unit quaternion q about pivot, then moved. */
static inline void turn(float position[3], float rotation[4], const double q[4],
                        const double pivot[3], const double move[3])
{
    const double conjugate[4] = {q[0], -q[1], -q[2], -q[3]};
    double v[4] = {0}, r[4];
    for (int k = 0; k < 3; k++)
        v[k + 1] = position[k] - pivot[k];
    for (int k = 0; k < 4; k++)
        r[k] = rotation[k];
    product(v, q, v);
    product(v, v, conjugate);
    product(r, q, r);
    for (int k = 0; k < 3; k++)
        position[k] = (float)(v[k + 1] + pivot[k] + move[k]);
    for (int k = 0; k < 4; k++)
        rotation[k] = (float)r[k];
}

/* Cameras that look at a figure from `distance`, the picture `degrees` wide. */
struct ring {
    double target[3], up[3]; /* up: an axis of the world, 1 or -1 on y */
    double distance, degrees;
    unsigned width, height;
};

/* angle[n]: about the figure from +z, and elevation, in radians. */
static inline int write_cameras(const char *folder, const char *name, const struct ring *r,
                                const double (*angle)[2], size_t n)
{
    char path[512];
    struct gs_cameras list = {.items = calloc(n, sizeof *list.items), .count = n};
    for (size_t i = 0; i < n && list.items; i++) {
        struct gs_camera *c = &list.items[i];
        double a = angle[i][0], e = angle[i][1], d = r->distance;
        const double eye[3] = {r->target[0] + d * sin(a) * cos(e),
                               r->target[1] + r->up[1] * d * sin(e),
                               r->target[2] + d * cos(a) * cos(e)};
        *c = (struct gs_camera){.width = r->width, .height = r->height};
        c->cx = r->width / 2.0;
        c->cy = r->height / 2.0;
        c->fx = c->fy = c->cx / tan(r->degrees / 2 * 0.017453292519943295);
        snprintf(c->name, sizeof c->name, "%zu", i);
        gs_camera_look_at(c, eye, r->target, r->up);
    }
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int rc = list.items ? gs_cameras_save_list(&list, path) : FV_ENOMEM;
    free(list.items);
    return rc;
}

#endif
