/* Host tensors of the references (ref.h). */
#include "ref/ref.h"

#include <stdlib.h>
#include <string.h>

size_t ref_count(const struct ref *t)
{
    size_t n = 1;
    for (uint32_t i = 0; i < t->rank; i++)
        n *= t->shape[i];
    return n;
}

struct ref ref_new(uint32_t rank, const uint32_t *shape)
{
    struct ref t = {.rank = rank};
    memcpy(t.shape, shape, rank * sizeof *shape);
    t.v = calloc(ref_count(&t), sizeof *t.v);
    return t;
}

void ref_free(struct ref *t)
{
    free(t->v);
    memset(t, 0, sizeof *t);
}

struct ref ref_clone(const struct ref *t)
{
    struct ref c = ref_new(t->rank, t->shape);
    memcpy(c.v, t->v, ref_count(t) * sizeof *c.v);
    return c;
}

struct ref ref_random(uint64_t seed, uint32_t rank, const uint32_t *shape)
{
    struct ref t = ref_new(rank, shape);
    uint64_t s = seed * 0x9e3779b97f4a7c15u + 1;
    for (size_t i = 0, n = ref_count(&t); i < n; i++) {
        s = s * 6364136223846793005u + 1442695040888963407u;
        t.v[i] = (double)(s >> 33) / 1073741824.0 - 1;
    }
    return t;
}

static size_t place(const struct ref *t, const uint32_t *index)
{
    size_t at = 0;
    for (uint32_t i = 0; i < t->rank; i++)
        at = at * t->shape[i] + index[i];
    return at;
}

double *ref_at(const struct ref *t, const uint32_t *index)
{
    return &t->v[place(t, index)];
}

int ref_next(const struct ref *t, uint32_t *index)
{
    for (uint32_t i = t->rank; i-- > 0;) {
        if (++index[i] < t->shape[i])
            return 1;
        index[i] = 0;
    }
    return 0;
}

double ref_broadcast(const struct ref *t, uint32_t rank, const uint32_t *index)
{
    uint32_t own[5] = {0};
    for (uint32_t i = 0; i < t->rank; i++)
        own[i] = t->shape[i] == 1 ? 0 : index[rank - t->rank + i];
    return *ref_at(t, own);
}
