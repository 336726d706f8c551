/* Private to diffusion/: what models of several kinds are opened and run with; the transformer as a
 * struct of weights. */
#ifndef DIFFUSION_PRIVATE_H
#define DIFFUSION_PRIVATE_H

#include "diffusion/diffusion.h"
#include "vk/nn/weights.h"

struct fv_json;

/* Tensors that outlive recordings; without a store they are only counted, for dry runs. */
struct df_kept {
    struct nn_store *store;
    uint64_t bytes;
};
int df_keep(nn_tensor *out, struct df_kept *k, enum nn_dtype dtype, uint32_t rank, const uint32_t *shape,
            const char *label);

enum { DF_TIME = 1000 /* times count from 0, data, to it, noise */ };

/* config.json beside a weight file, or in a folder of one: 0, 1 when there is none, a code.
 * config.c */
int df_config_open(struct fv_json *out, const char *path);
/* Vectors of words, read from a table [words, width] in a file; nothing else of it is. FV_EINVALID:
 * no such word. */
int df_word_vectors(float *out, const struct nn_file_tensor *table, const int32_t *ids, size_t n);

struct df_mlp {
    struct nn_matrix fc1, fc2;
    nn_tensor fc1_bias, fc2_bias;
};

struct df_block {
    nn_tensor table; /* [6, width]: added to the time's modulation */
    struct nn_matrix qkv, proj, cross_q, cross_kv, cross_proj;
    nn_tensor qkv_bias, q_norm, k_norm, proj_bias, cross_q_bias, cross_kv_bias, cross_proj_bias;
    struct df_mlp mlp;
};

struct df_pair {
    struct df_block spatial, temporal;
};

struct df_dit {
    struct vk_device *dev;
    struct df_dit_info info;
    nn_tensor patch, patch_bias;
    struct df_mlp time, fps, text;        /* embedders */
    nn_tensor modulation, modulation_bias; /* t_block: 6 widths */
    nn_tensor null_text;
    nn_tensor final_table, final, final_bias;
    bool head_norm; /* q and k of each head are normalised */
    struct nn_weights *weights;
    /* Pairs of a spatial and a temporal block: the first `resident` stay on the device, others come
     * from the file, two at a time (blocks.c). */
    struct df_pair *pair; /* [depth] of resident ones */
    uint32_t resident;
    /* Of each pair as it is in the file: its tensors without storage, what they take. */
    struct df_plan {
        struct df_pair pair;
        uint64_t bytes, parameters;
    } *plan;
    struct nn_file *file; /* open while there are others */
    struct df_slot {
        struct df_pair pair;
        struct nn_weights *weights;
        uint32_t number; /* that is in it */
    } slot[2];
    uint32_t next_slot;
    struct df_loading loading;
    struct nn_cache *cache;
    bool int8, expand;
    struct nn_lora *const *lora;
    size_t lora_count;
    char path[512];
};

/* cache.c: the blocks' residual of an earlier step, of a run. */
enum { DF_POWERS = 5 };
struct df_cached {
    bool on;
    double threshold, power[DF_POWERS];
    nn_tensor seen, residual; /* the first block's input in the last step; of tokens, when blocks last ran */
    nn_tensor change, size;   /* f32, a token each: mean |input - seen| and |seen| */
    double sum;               /* of the change since blocks last ran */
    bool filled;              /* there is a residual */
    bool pending;             /* a step that computes has begun and is not done: it is to be computed when it is
                                 taken again */
    bool skipped;             /* by the last step */
};
int df_cache_make(struct df_cached *c, struct df_kept *kept, const struct df_cache *o, nn_tensor tokens);
/* Recorded before the blocks: how much their input has changed. */
void df_cache_look(struct df_cached *c, struct nn_rec *r, nn_tensor input);
/* After that has run: whether blocks are to run; then `residual` takes the tokens before them. */
int df_cache_decide(struct df_cached *c, bool must, bool *compute);
/* Recorded behind the blocks, or in their place. */
void df_cache_residual(struct df_cached *c, struct nn_rec *r, nn_tensor x, bool computed);
size_t df_cache_bytes(const struct df_cached *c);
int df_cache_save(const struct df_cached *c, void *out);
int df_cache_restore(struct df_cached *c, const void *state);
/* run.c: that of a run. */
struct df_cached *df_run_cache(struct df_run *r);
/* run.c: whether a run can be of this size. */
int df_check_size(const struct df_size *z);

/* What a run costs, without one. */
struct df_dry {
    struct nn_cost captions, step, cached; /* a step whose blocks are left out */
    uint64_t kept_bytes;                   /* tensors that live as long as the run */
};
struct df_run_opts;
/* streamed: pairs of blocks do not all stay. tokens: of the longest caption. o: as of
 * df_run_create. expand: as in df_dit_opts. */
int df_run_dry(struct df_dry *out, struct df_dit *d, const struct df_size *size, uint32_t tokens,
               const struct df_run_opts *o, bool streamed, bool expand, bool merge);
/* open.c: bytes on the device of the largest pair of blocks, of all pairs and of the rest, whatever
 * is loaded. */
int df_weight_bytes(struct df_dit *d, uint64_t *pair, uint64_t *pairs, uint64_t *rest);

/* open.c: what a pair of blocks wants. */
void df_want_pair(struct nn_wants *w, const struct df_dit *d, struct df_pair *pair, uint32_t number);
/* blocks.c: which pairs stay within a budget of bytes (0: all), none loaded yet; the others' slots
 * are filled when they are asked for. */
int df_plan_pairs(struct df_dit *d, uint64_t memory);
/* A pair's weights. Loading one waits for work that reads what it takes the place of. */
int df_get_pair(struct df_dit *d, uint32_t number, const struct df_pair **out);
void df_drop_pairs(struct df_dit *d);

#endif
