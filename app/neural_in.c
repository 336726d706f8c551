/* See neural_in.h. */
#include "app/neural_in.h"

#include <stdio.h>
#include <string.h>

int neural_in_around(const struct nl_model *m, struct gs_scene *out)
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

int neural_in_load(struct neural_in *in, struct vk_device *dev, const char *path,
                   const struct nl_gpu_opts *opts)
{
    struct nl_model m;
    struct nl_encoded e = {0};
    *in = (struct neural_in){0};
    FV_TRY(nl_open(&m, path, NULL));
    int rc = neural_in_around(&m, &in->around);
    if (rc >= 0)
        rc = nl_encode_gpu(&m, dev, &e);
    if (rc >= 0)
        rc = nl_gpu_create(&in->gpu, dev, &m, &e, opts);
    if (rc < 0 && rc != FV_ENOMEM)
        rc = fv_wrap(rc, "%s: ", path);
    in->offsets = m.offsets;
    snprintf(in->detail, sizeof in->detail, "%s", in->around.detail);
    nl_encoded_finish(&e);
    nl_finish(&m);
    if (rc < 0)
        neural_in_finish(in);
    return rc;
}

void neural_in_finish(struct neural_in *in)
{
    nl_gpu_destroy(&in->gpu);
    gs_scene_finish(&in->around);
}

/* Where a viewer begins, when nobody says where to bake for. */
static int usual_eye(const struct nl_model *m, double eye[3])
{
    struct gs_scene around;
    struct gs_bounds b;
    struct gs_camera c;
    FV_TRY(neural_in_around(m, &around));
    gs_scene_bounds(&around, &b);
    gs_camera_orbit(&c, &around, &b, 1280, 720, 0);
    gs_camera_centre(&c, eye);
    gs_scene_finish(&around);
    return 0;
}

int neural_in_bake(const char *path, const double eye[3], bool has_eye, uint32_t appearance,
                   struct gs_scene *out)
{
    struct nl_model m;
    struct nl_encoded e = {0};
    struct nl_gaussians g = {0};
    double from[3] = {0};
    *out = (struct gs_scene){0};
    FV_TRY(nl_open(&m, path, NULL));
    if (has_eye)
        memcpy(from, eye, sizeof from);
    int rc = has_eye ? 0 : usual_eye(&m, from);
    if (rc >= 0)
        rc = nl_encode(&m, NULL, &e);
    if (rc >= 0)
        rc = nl_decode(&m, &e, from, appearance, &g);
    if (rc >= 0)
        rc = nl_bake(&g, out);
    nl_gaussians_finish(&g);
    nl_encoded_finish(&e);
    nl_finish(&m);
    return rc;
}
