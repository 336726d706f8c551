/* A small canvas for pictures of numbers: line plots and heat maps, saved as PNG.
 *
 *     double y[3] = {31.2, 33.9, 30.5};
 *     plot_lines("psnr.png", "a.mp4 / b.mp4", &(struct plot_series){"PSNR dB", y, 3}, 1);
 */
#ifndef PLOT_H
#define PLOT_H

#include <stddef.h>
#include <stdint.h>

struct plot_series {
    const char *name; /* with its unit */
    const double *y;  /* infinite values are drawn at the top, NaN left out */
    size_t count;
};

/* One panel for each series, one below the other, over the index 0..count-1. */
int plot_lines(const char *path, const char *title, const struct plot_series *series, size_t n);
/* Values [height][width] from 0 (black) to most (pale yellow), with a scale below. most 0 = the
 * greatest value there is. */
int plot_heat(const char *path, const float *values, uint32_t width, uint32_t height, double most);

#endif
