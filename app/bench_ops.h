/* fovea bench ops: the tensor ops of this device against what it can stream and multiply. */
#ifndef BENCH_OPS_H
#define BENCH_OPS_H

#include "app/cmd.h"
#include "app/progress.h"

struct bench_ops {
    const char *filter; /* only rows that contain this; NULL = all */
    bool json, csv, ssbo;
    enum progress_mode progress;
};

int bench_ops(struct app *app, const struct bench_ops *o);

#endif
