/* A run of the transformer (diffusion.h): what it holds, between the figure (stdit3.c), what is
 * made once for all of its steps (run_inputs.c) and the steps themselves (run.c). */
#ifndef DIFFUSION_RUN_H
#define DIFFUSION_RUN_H

#include "diffusion/private.h"

struct df_run {
    struct df_dit *d;
    struct df_size size;
    bool masked, named;  /* frames have times of their own; values are named, so less is fused */
    bool traced;         /* and someone sees them */
    bool temporal;       /* the block that is recorded now */
    uint32_t number;
    uint32_t rows, cols; /* of patches */
    uint32_t tokens;     /* of the longest caption */
    uint32_t times;      /* embedded: the samples', then as many 0 */
    struct df_kept kept_all;
    bool dry;                                /* nothing is made or run, only counted */
    nn_tensor z, time, fps, positions, rope; /* inputs of a step */
    nn_tensor frame_time, kept;              /* by frame: which time, f32 1 for those of time 0 */
    /* Times that are known beforehand: [known][batch], then 0 for each sample. */
    uint32_t known;
    float *known_host;
    nn_tensor all_blocks, all_final;  /* what embed_times makes, a row a time */
    nn_tensor block_rows, final_rows; /* those of this step */
    int32_t *rows_host;
    nn_tensor
        *keys_values; /* [2 depth]: [batch, tokens, 2, heads, head] of spatial 0, temporal 0 .. */
    nn_tensor hidden; /* f32 [batch, 1, 1, tokens]: -inf where captions are shorter; or null */
    struct nn_rec *r;
    bool merge;                    /* frames, in this step */
    bool recorded, recorded_merge; /* what r holds */
    nn_tensor out;
    bool streamed; /* blocks do not stay */
    /* Then, and where a step takes long and someone may want to stop it, a step is a recording a
     * pair of blocks; between them live: */
    bool pieces;
    fv_progress_fn on_progress;
    void *ud;
    nn_tensor x, blocks_time, final_time; /* tokens; modulation; time of the final layer */
    struct df_cached cache;
    nn_tensor first_table; /* the first block's, for the cache */
    struct nn_cost cost;
    float *times_host;
    int32_t *frame_time_host;
    float *kept_host;
};

/* ---- stdit3.c: the figure, recorded by s->r -------------------------------------------------- */

nn_tensor df_record_mlp(struct nn_rec *r, nn_tensor x, const struct df_mlp *w, enum nn_act act);
/* What a linear layer of a block sees is named in.spatial_blocks.N.attn.qkv, for those who quantise;
 * `what` is its name there ("attn.qkv"). */
void df_trace_input(const struct df_run *s, struct nn_rec *r, nn_tensor x, bool temporal, uint32_t number,
                    const char *what);
/* Numbers [n] through an embedder: [n, C]. */
nn_tensor df_record_number(struct df_run *s, nn_tensor n, const struct df_mlp *w);
/* Times and frame rates [n, C] -> modulation of the blocks, [n, 6 C]. */
nn_tensor df_record_modulation(struct df_run *s, nn_tensor sum);
/* Modulation of the blocks [groups, 6, C], a row a sample or a frame; time of the final layer, a
 * row a time. */
void df_record_times(struct df_run *s, nn_tensor *blocks, nn_tensor *final);
/* Latents -> tokens [batch, T, S, C]. */
nn_tensor df_record_patches(struct df_run *s);
nn_tensor df_record_pair(struct df_run *s, const struct df_pair *w, uint32_t number, nn_tensor x,
                         nn_tensor t);
nn_tensor df_record_final(struct df_run *s, nn_tensor x, nn_tensor time);
/* All of it, of blocks that are all on the device -> s->out. */
void df_record_step(struct df_run *s);
/* What the first block's attention sees of s->x. */
nn_tensor df_record_block_input(struct df_run *s);

/* ---- run_inputs.c --------------------------------------------------------------------------- */

/* Captions without their padding, all as long as the longest: rows of what is projected, and the
 * mask of what is behind a caption's end. */
struct df_captions {
    int32_t *row;  /* [batch][tokens] */
    float *hidden; /* [batch][tokens], or NULL */
};
int df_pack_captions(struct df_run *s, const struct df_text *t, struct df_captions *c);
/* Tensors that outlive steps, and what is in them; c: whether there is anything to hide. */
int df_make_inputs(struct df_run *s, const struct df_captions *c, const struct df_run_opts *o);
/* Captions as the blocks see them -> kept, and keys and values of the pairs that stay; those of the
 * others too. */
int df_record_captions(struct df_run *s, struct nn_rec *r, nn_tensor states, nn_tensor rows,
                       nn_tensor kept);
int df_project_captions(struct df_run *s, const struct df_text *t, const struct df_captions *c,
                        const struct df_run_opts *o);
/* The first block may not stay on the device, its table does. */
int df_keep_first_table(struct df_run *s);
/* Modulation of times that are known beforehand: rows of it; made at once; those of a step. */
uint32_t df_known_rows(const struct df_run *s);
int df_record_known(struct df_run *s, nn_tensor time, nn_tensor fps);
int df_make_known(struct df_run *s, const struct df_run_opts *o);
int df_point_at_known(struct df_run *s, const struct df_step *step);

#endif
