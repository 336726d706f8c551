/* fovea bench quant: linear layers of codes against plain ones, of the shapes of transformers. */
#ifndef BENCH_QUANT_H
#define BENCH_QUANT_H

#include "app/cmd.h"
#include "app/progress.h"

struct bench_quant {
    const char *const *filters; /* only sizes that contain one of these; none = all */
    size_t filter_count;
    uint32_t rounds;
    bool json, csv, ssbo;
    enum progress_mode progress;
};

int bench_quant(struct app *app, const struct bench_quant *o);

#endif
