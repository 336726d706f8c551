/* Private to the writer's fits (gs/stream_motion.c, gs/stream_basis_fit.c, gs/stream_queen_fit.c):
 * least-squares rigid motions. */
#ifndef GS_STREAM_MOTION_H
#define GS_STREAM_MOTION_H

#include "gs/stream.h"

struct gs_fit {
    double from[3], to[3]; /* centroids */
    double q[4];           /* turn, w >= 0 */
};
/* Of the Gaussians of a label: to = R (from - centroid) + centroid. index[n]: which; false if they are
 * too few. */
bool gs_fit_points(struct gs_fit *f, const int32_t *from, const int32_t *to, const uint32_t *index,
                   size_t n, const uint8_t *label, uint8_t which);
/* v turned by q; p moved by f. */
void gs_fit_turned(double out[3], const double q[4], const double v[3]);
void gs_fit_moved(double out[3], const struct gs_fit *f, const double p[3]);

#endif
