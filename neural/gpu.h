/* Private to neural/: a model on the device. */
#ifndef NEURAL_GPU_H
#define NEURAL_GPU_H

#include "neural/neural_private.h"
#include "shaders/neural/params.h"
#include "vk/cmd.h"
#include "vk/mem.h"

/* Anchors whose buffers can be bound. */
struct nl_segment {
    struct vk_buf place, cache, raw;
    struct vk_buf dead;    /* SAGS: when each had no Gaussian (opacity.comp) */
    struct vk_buf feature; /* of a feature bank: kept */
    uint32_t count, block; /* index of its first block */
};

struct nl_gpu {
    struct vk_device *dev;
    struct gs_gpu_scene *scene;
    enum nl_arch arch;
    bool exact, all, bank;
    uint32_t count, offsets, hidden; /* hidden: padded */
    uint32_t feature_quads, stride, bank_hidden;
    uint32_t net1, net2; /* first vec4 of the second and the third network */
    float by_turn, by_distance; /* SAGS: how fast opacities can grow (gpu_pack.c) */
    uint32_t blocks, segments;
    struct nl_segment *segment;
    struct vk_buf net, first, list, start;
    /* the view whose living anchors are listed, and the gs_make.version of then; 0: of none */
    struct gs_camera seen;
    uint32_t version;
    bool written;     /* the scene's chunks hold its Gaussians */
    uint64_t decodes; /* how often anchors were decoded */
};

/* Weights in the order of the kernels (shaders/neural/anchor.glsl, first.comp); *out is malloc'd. */
int nl_pack_net(const struct nl_model *m, struct nl_gpu *g, float **out, size_t *floats);
int nl_pack_first(const struct nl_model *m, const struct nl_gpu *g, uint32_t camera, float **out,
                  size_t *floats);
/* SAGS: the most that an opacity before tanh grows by a change of the direction, and of the distance. */
void nl_opacity_growth(const struct nl_model *m, float *by_turn, float *by_distance);
/* Records first.comp for a segment's rows, `from` to from + count, of features in buf. */
void nl_record_first(const struct nl_gpu *g, struct vk_cmd *cmd, const struct nl_segment *s,
                     const struct vk_buf *feature, uint32_t from, uint32_t count, uint32_t lanes,
                     bool tex, const double eye[3]);
/* gs_maker's record. */
void nl_record_view(void *ud, const struct gs_make *m);

#endif
