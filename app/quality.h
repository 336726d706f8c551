/* Which bands of spherical harmonics a stream is played with, by what the network brings: the most
 * that it brings with some to spare, changed seldom. */
#ifndef APP_QUALITY_H
#define APP_QUALITY_H

#include <stdbool.h>

struct quality {
    double changed_at; /* seconds */
    bool chosen;       /* once */
};

struct quality_now {
    int degree, most;    /* now, and that there is */
    double rate[4];      /* bytes a second that playing takes at each degree */
    double start[4];     /* bytes that must come first at each degree: a base */
    double bandwidth;    /* bytes a second; 0: not known */
    double ahead;        /* seconds of play that are there */
    double left;         /* seconds of play that are there or to come, to the end */
    double time;         /* seconds of a clock */
};

/* The degree to go on with. */
int quality_choose(struct quality *q, const struct quality_now *now);

#endif
