/* Resolution while moving: the picture is drawn at a fraction of its size when the device is too
 * slow for a fluid one, and at full size once the view has been still for a moment.
 *
 *     struct pace pace = {0};
 *     int step = pace_choose(&pace, changed, fv_now());
 *     ... draw at width * pace_factor(step) ...
 *     pace_measured(&pace, step, milliseconds);
 */
#ifndef APP_PACE_H
#define APP_PACE_H

#include <stdbool.h>

enum { PACE_STEPS = 5 }; /* 1, 2/3, 1/2, 1/3, 1/4 of the width and height */

struct pace {
    double ms[PACE_STEPS]; /* last measured frame time at each step; 0 = not yet */
    int moving_step;       /* in use while moving */
    int slow;              /* slow frames in a row */
    bool moving;
    double changed_at; /* seconds */
};

/* Fraction of the full width and height at a step. */
double pace_factor(int step);
/* Step for the next frame. changed: the view differs from the last one drawn. */
int pace_choose(struct pace *p, bool changed, double now);
/* Frame time of a picture drawn at a step. */
void pace_measured(struct pace *p, int step, double ms);
/* Seconds until a still view should be drawn at full size; 0 when it is time. */
double pace_settle(const struct pace *p, double now);
/* Another scene, size or mode: old measurements no longer tell anything. */
void pace_forget(struct pace *p);

#endif
