/* Arrangements of points that graphs of neighbours are tried on. */
#ifndef TEST_NEURAL_POINTS_H
#define TEST_NEURAL_POINTS_H

#include "support/test.h"

#include <math.h>

enum shape { SPREAD, PLANE, OUTLIERS, TWINS, LINE, ONE_PLACE, CLUSTERS, SHAPES };

static inline void points_fill(float *p, size_t n, enum shape s)
{
    uint64_t seed = 7 + (uint64_t)s;
    for (size_t i = 0; i < n; i++)
        for (size_t a = 0; a < 3; a++) {
            double v = test_uniform(&seed, -1, 1);
            if ((s == PLANE && a == 1) || (s == LINE && a) || s == ONE_PLACE)
                v = 0.25;
            if (s == OUTLIERS && i % 100 == 0)
                v *= 1e6;
            if (s == TWINS)
                v = floor(v * 3);
            if (s == CLUSTERS) /* 1 : 1000 in size */
                v = v * pow(10, -(double)(i % 4)) + 3 * (double)(i % 4);
            p[3 * i + a] = (float)v;
        }
}

#endif
