/* See neural_in.h. */
#include "app/neural_in.h"

#include <stdio.h>

int neural_in_load(struct neural_in *in, struct vk_device *dev, const char *path,
                   const struct nl_gpu_opts *opts)
{
    struct nl_model m;
    struct nl_encoded e = {0};
    *in = (struct neural_in){0};
    FV_TRY(nl_open(&m, path, NULL));
    int rc = nl_around(&m, &in->around);
    if (rc >= 0)
        rc = nl_encode_gpu(&m, dev, &e);
    if (rc >= 0)
        rc = nl_gpu_create(&in->gpu, dev, &m, &e, opts);
    if (rc < 0 && rc != FV_ENOMEM)
        rc = fv_wrap(rc, "%s: ", path);
    in->offsets = m.offsets;
    in->appearances = m.appearance ? m.cameras : 0;
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

int neural_in_bake(const char *path, const double eye[3], bool has_eye, uint32_t appearance,
                   struct gs_scene *out)
{
    struct nl_model m;
    *out = (struct gs_scene){0};
    FV_TRY(nl_open(&m, path, NULL));
    int rc = nl_bake_model(&m, has_eye ? eye : NULL, appearance, out);
    nl_finish(&m);
    return rc;
}
