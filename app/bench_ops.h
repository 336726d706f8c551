/* fovea bench ops: the tensor ops of this device against what it can stream and multiply. */
#ifndef BENCH_OPS_H
#define BENCH_OPS_H

#include "app/cmd.h"
#include "app/progress.h"

struct bench_ops {
    const char *const *filters; /* only rows that contain one of these; none = all */
    size_t filter_count;
    uint32_t rounds;
    bool json, csv, ssbo, alone;
    enum progress_mode progress;
};

int bench_ops(struct app *app, const struct bench_ops *o);

#endif
