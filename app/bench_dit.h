/* fovea bench dit: what steps of a diffusion transformer take at a clip's size, with all of its weights on
 * the device or with those that fit a budget. Captions and noise are random, so no text encoder is needed;
 * the result's digest tells whether two runs made the same. */
#ifndef BENCH_DIT_H
#define BENCH_DIT_H

#include "app/cmd.h"
#include "app/progress.h"
#include "vk/nn/nn.h"

struct bench_dit {
    const char *model;
    struct opt_size size; /* of pictures; 0x0 = 426x240 */
    uint32_t frames, steps;
    uint64_t memory; /* for weights; 0 = all */
    enum nn_dtype dtype;
    bool json;
    enum progress_mode progress;
};

int bench_dit(struct app *app, const struct bench_dit *o);

#endif
