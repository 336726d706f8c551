/* Medians and the like (spread.h). */
#include "app/spread.h"

#include <math.h>
#include <stdlib.h>

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct spread spread_of(double *v, size_t n)
{
    qsort(v, n, sizeof *v, by_value);
    size_t p95 = (size_t)ceil(0.95 * (double)n);
    return (struct spread){.median = n % 2 ? v[n / 2] : 0.5 * (v[n / 2 - 1] + v[n / 2]),
                           .p95 = v[p95 ? p95 - 1 : 0],
                           .min = v[0]};
}
