/* Order of Gaussians along a Morton curve (scene.h): neighbours in space become neighbours in
 * memory. 11 bits an axis; far outliers are squeezed so that they do not spend the bits. */
#include "gs/scene.h"
#include "vk/base/thread.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct keys {
    const float *position;
    float centre[3], scale;
    uint64_t *key; /* code << 32 | index */
};

static int make_keys(void *ud, size_t begin, size_t end)
{
    struct keys *k = ud;
    for (size_t i = begin; i < end; i++) {
        uint64_t code = 0;
        for (int axis = 0; axis < 3; axis++) {
            float v = (k->position[3 * i + axis] - k->centre[axis]) * k->scale;
            float unit = 0.5f + 0.5f * v / (1 + fabsf(v)); /* (0,1), half of it near the middle */
            code |= gs_morton_spread(unit > 0 && unit < 1 ? (uint64_t)(unit * 2047) : unit > 0 ? 2047 : 0)
                    << axis;
        }
        /* 33 bits of code, 31 of index (a device scene has at most 2^30 rows) */
        k->key[i] = code << 31 | i;
    }
    return 0;
}

/* Stable radix sort of the code bits, 11 at a time. */
static void sort_keys(uint64_t *a, uint64_t *b, size_t n)
{
    for (unsigned shift = 31; shift < 64; shift += 11) {
        size_t start[2048] = {0}, sum = 0;
        for (size_t i = 0; i < n; i++)
            start[a[i] >> shift & 2047]++;
        for (size_t d = 0; d < 2048; d++) {
            size_t c = start[d];
            start[d] = sum;
            sum += c;
        }
        for (size_t i = 0; i < n; i++)
            b[start[a[i] >> shift & 2047]++] = a[i];
        uint64_t *swap = a;
        a = b;
        b = swap;
    }
}

int gs_scene_morton(const struct gs_scene *s, uint32_t *out)
{
    struct gs_bounds bounds;
    size_t n = s->count;
    if (!n)
        return 0;
    if (n >> 31)
        return fv_fail(FV_EUNSUPPORTED, "%zu Gaussians are more than can be ordered", n);
    gs_scene_bounds(s, &bounds);
    uint64_t *key = malloc(2 * n * sizeof *key);
    if (!key)
        return fv_fail(FV_ENOMEM, "out of memory for ordering %zu Gaussians", n);
    struct keys k = {.position = s->position, .key = key,
                     .scale = bounds.radius > 0 ? 1 / bounds.radius : 1};
    memcpy(k.centre, bounds.centre, sizeof k.centre);
    int rc = fv_parallel(n, 1 << 16, make_keys, &k);
    if (!rc) {
        sort_keys(key, key + n, n); /* three passes: the result is in the second half */
        for (size_t i = 0; i < n; i++)
            out[i] = (uint32_t)(key[n + i] & 0x7fffffff);
    }
    free(key);
    return rc;
}
