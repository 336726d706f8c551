/* How measurements of one thing spread. */
#ifndef SPREAD_H
#define SPREAD_H

#include <stddef.h>

struct spread {
    double median, p95, min;
};

/* Of n >= 1 values; sorts v. */
struct spread spread_of(double *v, size_t n);

#endif
