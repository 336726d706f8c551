/* Speed of single ops on a device, measured against what it can stream and multiply.
 *
 *     struct nn_bench_result res[256];
 *     size_t n;
 *     struct nn_bench_ceiling top;
 *     const char *want = "linear";
 *     FV_TRY(nn_bench(res, 256, &n, &top, dev,
 *                     &(struct nn_bench_opts){.filters = &want, .filter_count = 1}));
 */
#ifndef NN_BENCH_H
#define NN_BENCH_H

#include "vk/nn/nn.h"

struct nn_bench_opts {
    /* only rows whose "op size" contains one of these; none = all */
    const char *const *filters;
    size_t filter_count;
    double seconds;  /* per row and round; 0 = 0.15 */
    uint32_t rounds; /* over all rows, so that no row has a noisy moment to itself; 0 = 3 */
    bool ssbo;       /* storage buffers only */
    bool alone;      /* measure no ceiling: it and the ratios to it are 0 */
    fv_progress_fn on_progress;
    void *ud;
};

struct nn_bench_result {
    const char *op, *size;
    double seconds;      /* one op, the fastest run */
    double cpu_seconds;  /* of this process for one op, the least */
    double flops, bytes; /* of one op */
    uint32_t dispatches; /* of one op */
    /* flops, and bytes, a second over the ceiling's: of CPU time on a CPU driver, where other
     * programs would tell in wall time, else of wall time */
    double of_arithmetic, of_streaming;
};

struct nn_bench_ceiling {
    double flops;         /* per second, of the fastest row that is a matrix product; 0 = none */
    const char *flops_op; /* which */
    double bytes;         /* per second, read and written, of a copy of 64 MiB */
};

/* Fills at most room results; *count is how many rows there are. Returns 0, FV_ECANCELLED, or the
 * first failure of a row (the text names it). */
int nn_bench(struct nn_bench_result *out, size_t room, size_t *count,
             struct nn_bench_ceiling *ceiling, struct vk_device *dev,
             const struct nn_bench_opts *o);

#endif
