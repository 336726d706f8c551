/* A scene of anchors for commands and the viewer: read, encoded, on the device.
 *
 *     if (nl_is(path))
 *         FV_TRY(neural_in_load(&in, dev, path, &(struct nl_gpu_opts){.exact = exact}));
 *     ... draw nl_gpu_scene(in.gpu); in.around says where it is ...
 *     neural_in_finish(&in);
 */
#ifndef NEURAL_IN_H
#define NEURAL_IN_H

#include "neural/neural.h"

struct neural_in {
    struct nl_gpu *gpu;
    struct gs_scene around; /* the anchors as Gaussians of their own extent: for bounds and cameras */
    uint32_t offsets;       /* Gaussians of an anchor */
    uint32_t appearances;   /* rows of the embedding; 0: there is none */
    char detail[64];        /* "scaffold, k 10" */
};

/* Returns what nl_open and nl_gpu_create do. */
int neural_in_load(struct neural_in *in, struct vk_device *dev, const char *path,
                   const struct nl_gpu_opts *opts);
void neural_in_finish(struct neural_in *in);
/* Decodes all anchors as one place sees them, on the host. */
int neural_in_bake(const char *path, const double eye[3], bool has_eye, uint32_t appearance,
                   struct gs_scene *out);

#endif
