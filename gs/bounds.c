/* Where a scene is: the box of its centres, and a centre and radius that stray floaters do
 * not move (gs.h). */
#include "gs/scene.h"
#include "vk/base/thread.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The robust figures look at every k-th Gaussian of larger scenes: a median of 2^18 samples
 * is within 0.2 % of the true rank. */
enum { SAMPLES = 1 << 18 };

struct box {
    const struct gs_scene *s;
    struct gs_bounds *out;
    pthread_mutex_t lock;
};

static int grow_box(void *ud, size_t begin, size_t end)
{
    struct box *b = ud;
    float min[3], max[3];
    memcpy(min, b->s->position + 3 * begin, sizeof min);
    memcpy(max, min, sizeof max);
    for (size_t i = begin; i < end; i++)
        for (int k = 0; k < 3; k++) {
            float v = b->s->position[3 * i + k];
            min[k] = v < min[k] ? v : min[k];
            max[k] = v > max[k] ? v : max[k];
        }
    pthread_mutex_lock(&b->lock);
    for (int k = 0; k < 3; k++) {
        b->out->min[k] = fminf(b->out->min[k], min[k]);
        b->out->max[k] = fmaxf(b->out->max[k], max[k]);
    }
    pthread_mutex_unlock(&b->lock);
    return 0;
}

/* The value of rank `rank` of n (Hoare's selection); reorders v. */
static float select_rank(float *v, size_t n, size_t rank)
{
    size_t lo = 0, hi = n - 1;
    while (lo < hi) {
        float pivot = v[lo + (hi - lo) / 2];
        size_t i = lo, j = hi;
        for (;;) {
            while (v[i] < pivot)
                i++;
            while (v[j] > pivot)
                j--;
            if (i >= j)
                break;
            float t = v[i];
            v[i++] = v[j];
            v[j--] = t;
        }
        /* v[lo..j] <= pivot <= v[j+1..hi] */
        if (rank <= j)
            hi = j;
        else
            lo = j + 1;
    }
    return v[rank];
}

static void robust_ball(const struct gs_scene *s, struct gs_bounds *out, float *v)
{
    size_t step = (s->count - 1) / SAMPLES + 1, n = (s->count - 1) / step + 1;
    for (int k = 0; k < 3; k++) {
        for (size_t i = 0; i < n; i++)
            v[i] = s->position[3 * i * step + (size_t)k];
        out->centre[k] = select_rank(v, n, n / 2);
    }
    for (size_t i = 0; i < n; i++) {
        const float *p = s->position + 3 * i * step;
        double d2 = 0;
        for (int k = 0; k < 3; k++) {
            double d = (double)p[k] - (double)out->centre[k];
            d2 += d * d;
        }
        v[i] = (float)sqrt(d2);
    }
    out->radius = select_rank(v, n, n * 9 / 10);
}

void gs_scene_bounds(const struct gs_scene *s, struct gs_bounds *out)
{
    *out = (struct gs_bounds){0};
    if (!s->count)
        return;
    memcpy(out->min, s->position, sizeof out->min);
    memcpy(out->max, s->position, sizeof out->max);
    struct box box = {.s = s, .out = out};
    pthread_mutex_init(&box.lock, NULL);
    fv_parallel(s->count, 1 << 14, grow_box, &box);
    pthread_mutex_destroy(&box.lock);
    float *v = malloc((s->count < SAMPLES ? s->count : SAMPLES) * sizeof *v);
    if (v) {
        robust_ball(s, out, v);
        free(v);
        return;
    }
    /* without memory, the ball around the box: larger, never wrong */
    double d2 = 0;
    for (int k = 0; k < 3; k++) {
        double half = ((double)out->max[k] - (double)out->min[k]) / 2;
        out->centre[k] = (float)((double)out->min[k] + half);
        d2 += half * half;
    }
    out->radius = (float)sqrt(d2);
}
