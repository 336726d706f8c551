/* Choice of SH bands (quality.h). */
#include "app/quality.h"

/* The first choice waits at most so long for what more bands take. */
static const double patience = 2;
/* Down when what is there runs out; up when it brings much more than is needed, for a while. */
static const double low = 2, high = 4, spare = 1.3, settle = 8;

static int first(const struct quality_now *n)
{
    for (int d = n->most; d > 0; d--)
        if (n->bandwidth >= n->rate[d] * spare &&
            n->start[d] - n->start[0] <= n->bandwidth * patience)
            return d;
    return 0;
}

int quality_choose(struct quality *q, const struct quality_now *n)
{
    int d = n->degree < n->most ? n->degree : n->most, was = d;
    if (!(n->bandwidth > 0))
        return d;
    if (!q->chosen) {
        d = first(n);
    } else if (n->ahead < low && n->ahead < n->left) {
        while (d > 0 && n->bandwidth < n->rate[d])
            d--;
    } else if (d < n->most && n->time - q->changed_at > settle &&
               (n->ahead >= high || n->ahead >= n->left)) {
        /* the base with more bands comes beside what plays on */
        double beside = n->bandwidth - n->rate[d + 1] * spare;
        if (beside > 0 && n->start[d + 1] - n->start[d] <= beside * n->ahead)
            d++;
    }
    if (d != was || !q->chosen)
        q->changed_at = n->time;
    q->chosen = true;
    return d;
}
