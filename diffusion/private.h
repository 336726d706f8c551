/* Private to diffusion/: the transformer as a struct of weights. */
#ifndef DIFFUSION_PRIVATE_H
#define DIFFUSION_PRIVATE_H

#include "diffusion/diffusion.h"
#include "vk/nn/weights.h"

/* A file beside a weight file, or in a folder of one; NULL without memory. open.c */
char *df_beside(const char *path, const char *name);

struct df_mlp {
    nn_tensor fc1, fc1_bias, fc2, fc2_bias;
};

struct df_block {
    nn_tensor table; /* [6, width]: added to the time's modulation */
    nn_tensor qkv, qkv_bias, q_norm, k_norm, proj, proj_bias;
    nn_tensor cross_q, cross_q_bias, cross_kv, cross_kv_bias, cross_proj, cross_proj_bias;
    struct df_mlp mlp;
};

struct df_dit {
    struct vk_device *dev;
    struct df_dit_info info;
    nn_tensor patch, patch_bias;
    struct df_mlp time, fps, text;        /* embedders */
    nn_tensor modulation, modulation_bias; /* t_block: 6 widths */
    nn_tensor null_text;
    struct df_block *spatial, *temporal; /* [depth] */
    nn_tensor final_table, final, final_bias;
    struct nn_weights *weights;
    struct nn_cache *cache;
    char path[512];
};

#endif
