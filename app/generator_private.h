/* Private to generator*.c. */
#ifndef GENERATOR_PRIVATE_H
#define GENERATOR_PRIVATE_H

#include "app/generator.h"

struct generator {
    const struct model_in *m;
    struct generator_opts o;
    struct vk_device *dev;
    struct df_dit_info dit_info;
    struct df_t5_info t5_info;
    struct vae_info vae_info;
    struct df_packing packing;
    struct df_tokenizer *tokenizer;
    /* on the device while their stage runs */
    struct df_t5 *t5;
    struct df_dit *dit;
    struct vae *vae;
    bool vae_encodes;
    struct df_loading loading_before;
    struct generator_stats stats;
    const char *what; /* of progress */
    uint64_t memory;  /* generator_plan's; 0 = what there is */
    uint64_t weight_memory;
    bool expand;
};

/* generator_cost.c: what is left for the autoencoder's plan; 0: no bound. */
uint64_t generator_vae_memory(uint64_t memory);
/* What a clip's sampling is, but for captions, given frames and callbacks. */
struct df_sampling generator_sampling(const struct generator *g, const struct generator_clip *clip);

#endif
