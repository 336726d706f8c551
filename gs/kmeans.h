/* Private to gs/: vector quantisation for SOG files. Deterministic: the same input gives the
 * same output for any number of threads.
 *
 *     float book[256];
 *     size_t used;
 *     FV_TRY(gs_codebook(book, &used, values, n, 256));
 *     uint8_t code = gs_codebook_nearest(book, used, v);
 */
#ifndef GS_KMEANS_H
#define GS_KMEANS_H

#include "vk/base/err.h"

#include <stddef.h>
#include <stdint.h>

/* The k <= 4096 best values to stand for n numbers (one-dimensional k-means), ascending; *used
 * of them (fewer when there are fewer different numbers, which then are the book exactly). -inf
 * and inf get an entry 20 below or above the finite ones; NaN is ignored. *used is at least 1.
 * Returns 0 or FV_ENOMEM. */
int gs_codebook(float *book, size_t *used, const float *values, size_t n, size_t k);
/* Index of the nearest entry of an ascending book. */
size_t gs_codebook_nearest(const float *book, size_t used, float v);

struct gs_clusters {
    float *centroids; /* [count][dims] */
    size_t count;     /* at most k; equals the number of different points when that is smaller */
    uint32_t *labels; /* [n] */
};
/* k-means of n points of dims <= 48 finite numbers. Caller frees with gs_clusters_free.
 * Returns 0, FV_ENOMEM, FV_ECANCELLED. */
int gs_cluster(struct gs_clusters *out, const float *points, size_t n, size_t dims, size_t k,
               fv_progress_fn on_progress, void *ud);
void gs_clusters_free(struct gs_clusters *c);

#endif
