/* See pace.h. A frame's time has a part that does not depend on the size (projection, sorting)
 * and one that grows with the pixels, so the step is walked to by measuring, one at a time,
 * with a first jump from what the full size took. */
#include "app/pace.h"

#include <string.h>

static const double factor[PACE_STEPS] = {1, 2.0 / 3, 1.0 / 2, 1.0 / 3, 1.0 / 4};
static const double slow_ms = 45, fast_ms = 30; /* about 22 and 33 frames a second */
static const double still_seconds = 0.2;

double pace_factor(int step)
{
    return factor[step];
}

/* Time at a step: measured, or the bound from the nearest larger step if only pixels cost. */
static double expected(const struct pace *p, int step)
{
    for (int s = step; s >= 0; s--)
        if (p->ms[s] > 0)
            return p->ms[s] * (factor[step] * factor[step]) / (factor[s] * factor[s]);
    return 0;
}

int pace_choose(struct pace *p, bool changed, double now)
{
    if (changed) {
        if (!p->moving && p->ms[0] > 0) {
            p->moving_step = 0;
            while (p->moving_step < PACE_STEPS - 1 && expected(p, p->moving_step) > slow_ms)
                p->moving_step++;
        }
        p->moving = true;
        p->changed_at = now;
    } else if (p->moving && now - p->changed_at >= still_seconds) {
        p->moving = false;
    }
    return p->moving ? p->moving_step : 0;
}

void pace_measured(struct pace *p, int step, double ms)
{
    p->ms[step] = ms;
    if (!p->moving || step != p->moving_step)
        return;
    p->slow = ms > slow_ms ? p->slow + 1 : 0;
    if (p->slow > 1 && step < PACE_STEPS - 1) { /* one alone may be a pipeline being made */
        p->moving_step++;
        p->slow = 0;
    } else if (ms < fast_ms && step > 0) {
        double grow = factor[step - 1] / factor[step];
        double known = p->ms[step - 1];
        /* going finer must not bounce straight back: by what it took, or by its pixels */
        if ((known > 0 && known <= slow_ms) || ms * grow * grow <= slow_ms)
            p->moving_step--;
    }
}

double pace_settle(const struct pace *p, double now)
{
    double left = p->moving ? still_seconds - (now - p->changed_at) : 0;
    return left > 0 ? left : 0;
}

void pace_forget(struct pace *p)
{
    memset(p->ms, 0, sizeof p->ms);
}
