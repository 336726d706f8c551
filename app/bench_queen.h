/* fovea bench queen: what a frame of a QUEEN stream costs before it is drawn. */
#ifndef BENCH_QUEEN_H
#define BENCH_QUEEN_H

#include "app/cmd.h"

#include <stdbool.h>

struct bench_queen {
    const char *scene;
    int frames; /* 0 = 30 */
    bool json;
};

int bench_queen(struct app *app, const struct bench_queen *o);

#endif
