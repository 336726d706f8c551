/* See keep.h. */
#include "app/keep.h"

#include <stdlib.h>

struct keep {
    const struct batch_jobs *jobs;
    size_t now;
    struct {
        uint64_t key;
        void *thing;
        void (*close)(void *);
    } slot[KEEP_KINDS];
};

struct keep *keep_create(const struct batch_jobs *jobs)
{
    struct keep *k = calloc(1, sizeof *k);
    if (k)
        k->jobs = jobs;
    return k;
}

static void close_slot(struct keep *k, int kind)
{
    if (k->slot[kind].thing)
        k->slot[kind].close(k->slot[kind].thing);
    k->slot[kind].thing = NULL;
}

void keep_clear(struct keep *k)
{
    for (int i = 0; k && i < KEEP_KINDS; i++)
        close_slot(k, i);
}

void keep_destroy(struct keep **k)
{
    keep_clear(*k);
    free(*k);
    *k = NULL;
}

void keep_for(struct keep *k, size_t number)
{
    if (k->jobs->items[number].model != k->jobs->items[k->now].model)
        keep_clear(k);
    k->now = number;
}

void *keep_take(struct keep *k, enum keep_kind kind, uint64_t key)
{
    if (!k || !k->slot[kind].thing)
        return NULL;
    if (k->slot[kind].key != key) {
        close_slot(k, kind); /* room for what is wanted instead */
        return NULL;
    }
    void *thing = k->slot[kind].thing;
    k->slot[kind].thing = NULL;
    return thing;
}

void keep_give(struct keep *k, enum keep_kind kind, uint64_t key, void *thing, void (*close)(void *))
{
    if (!k) {
        close(thing);
        return;
    }
    close_slot(k, kind);
    k->slot[kind].key = key;
    k->slot[kind].thing = thing;
    k->slot[kind].close = close;
}

const struct batch_job *keep_coming(const struct keep *k, size_t *at)
{
    uint64_t model = k->jobs->items[k->now].model;
    for (size_t i = *at; i < k->jobs->count; i++) {
        const struct batch_job *j = &k->jobs->items[i];
        if (i == k->now || !j->cmd || j->settled || j->model != model)
            continue;
        *at = i + 1;
        return j;
    }
    return NULL;
}
