/* What goes into the linear layers of a model: clips are sampled from prompts, and of each layer's input
 * the largest value a channel has and some rows are kept.
 *
 *     struct calibration c;
 *     FV_TRY(calibration_create(&c, rows, seed));
 *     FV_TRY(calibration_want(&c, "spatial_blocks.0.attn.qkv", 1152));
 *     FV_TRY(calibration_run(&c, &model, dev, &opts, "calibration.safetensors"));
 *     ... calibration_get(&c, name, &seen) ...
 *     calibration_finish(&c);
 */
#ifndef CALIBRATE_H
#define CALIBRATE_H

#include "app/generator.h"
#include "quant/quant.h"

struct calibrated {
    const char *name;
    size_t k;
    float *x, *absmax; /* [rows][k], [k] */
    uint64_t seen;     /* rows in all */
};

struct calibration {
    struct calibrated *layers;
    size_t count, room, rows;
    uint64_t seed;
    size_t resumed; /* clips that were in the file */
    struct fv_arena *arena;
};

struct calibration_opts {
    const char *const *prompts; /* NULL: calibration_prompts' */
    size_t samples; /* clips: prompts in turn */
    unsigned steps;
    uint32_t width, height, frames; /* 0: the model's usual, made smaller if that is much */
    uint64_t memory;                /* of the device; 0: what there is */
    enum nn_dtype dtype;
    bool own;                       /* the file is nobody else's: one of other settings is begun anew */
    fv_progress_fn on_progress; /* "calibrating", in clips */
    void *ud;
};

int calibration_create(struct calibration *c, size_t rows, uint64_t seed);
int calibration_want(struct calibration *c, const char *name, size_t k);
/* path: written after each clip, so that the same calibration goes on from there, and read if it is there.
 * A finished one of other prompts is taken as it is, unless it is `own`. Returns 0, FV_EINVALID (a file of other layers or
 * rows; NaN), codes of generator_*. */
int calibration_run(struct calibration *c, const struct model_in *m, struct vk_device *dev,
                    const struct calibration_opts *o, const char *path);
/* From a finished file alone. */
int calibration_read(struct calibration *c, const char *path);
/* Rows that were kept of a layer; FV_EINVALID where nothing came by. */
int calibration_get(const struct calibration *c, const char *name, struct qt_seen *out);
/* A number of all that was seen: of other inputs it is another one. */
uint64_t calibration_hash(const struct calibration *c);
void calibration_finish(struct calibration *c);
/* Prompt number i of a small grammar. */
int calibration_prompt(char out[160], uint64_t i);

#endif
