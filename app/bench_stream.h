/* fovea bench stream: what decoding an .fvv costs. */
#ifndef BENCH_STREAM_H
#define BENCH_STREAM_H

#include "app/cmd.h"
#include "app/opt.h"
#include "app/progress.h"

struct bench_stream {
    const char *path;
    struct opt_size size; /* of what is drawn while it plays */
    int sh;               /* highest degree read; -1 = all */
    bool json;
    enum progress_mode progress;
};

int bench_stream(struct app *app, const struct bench_stream *o);

#endif
