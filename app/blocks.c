/* Blocks of a file in memory (blocks.h). */
#include "app/blocks.h"
#include "vk/base/err.h"

#include <stdlib.h>
#include <string.h>

enum { GROUP = 256, MOST_GROUPS = 1 << 19 /* a tebibyte: their table takes 4 MiB */ };

struct block {
    struct block *newer, *older;
    uint64_t index;
    uint32_t fill;
    uint8_t data[BLOCK_SIZE];
};
struct block_group {
    struct block *block[GROUP];
    unsigned count;
};

static struct block *find(const struct blocks *b, uint64_t index)
{
    uint64_t g = index / GROUP;
    return g < b->group_room && b->groups[g] ? b->groups[g]->block[index % GROUP] : NULL;
}

/* ---- order of use ---- */

static void unlink_block(struct blocks *b, struct block *k)
{
    *(k->newer ? &k->newer->older : &b->newest) = k->older;
    *(k->older ? &k->older->newer : &b->oldest) = k->newer;
}

static void link_newest(struct blocks *b, struct block *k)
{
    k->newer = NULL;
    k->older = b->newest;
    *(b->newest ? &b->newest->newer : &b->oldest) = k;
    b->newest = k;
}

static void used(struct blocks *b, struct block *k)
{
    if (b->newest == k)
        return;
    unlink_block(b, k);
    link_newest(b, k);
}

static void drop(struct blocks *b, struct block *k)
{
    struct block_group **g = &b->groups[k->index / GROUP];
    unlink_block(b, k);
    (*g)->block[k->index % GROUP] = NULL;
    if (!--(*g)->count) {
        free(*g);
        *g = NULL;
    }
    b->kept -= sizeof *k;
    free(k);
}

/* ---- blocks ---- */

static int make(struct blocks *b, uint64_t index, struct block **out)
{
    uint64_t g = index / GROUP;
    if (g >= MOST_GROUPS) /* as only a server tells of it that lies */
        return fv_fail(FV_ENOMEM, "byte %llu is too far into a file", (unsigned long long)index * BLOCK_SIZE);
    if (g >= b->group_room) {
        size_t room = b->group_room ? b->group_room : 64;
        while (room <= g)
            room *= 2;
        struct block_group **more = realloc(b->groups, room * sizeof *more);
        if (!more)
            return fv_fail(FV_ENOMEM, "out of memory");
        memset(more + b->group_room, 0, (room - b->group_room) * sizeof *more);
        b->groups = more;
        b->group_room = room;
    }
    while (b->oldest && b->kept + sizeof(struct block) > b->room)
        drop(b, b->oldest);
    if (!b->groups[g])
        b->groups[g] = calloc(1, sizeof **b->groups);
    struct block *k = b->groups[g] ? malloc(sizeof *k) : NULL;
    if (!k)
        return fv_fail(FV_ENOMEM, "out of memory");
    k->index = index;
    k->fill = 0;
    link_newest(b, k);
    b->groups[g]->block[index % GROUP] = k;
    b->groups[g]->count++;
    b->kept += sizeof *k;
    *out = k;
    return 0;
}

int blocks_put(struct blocks *b, uint64_t at, const void *data, size_t size)
{
    const uint8_t *from = data;
    while (size) {
        struct block *k = find(b, at / BLOCK_SIZE);
        uint32_t in = (uint32_t)(at % BLOCK_SIZE);
        size_t n = size < BLOCK_SIZE - in ? size : BLOCK_SIZE - in;
        if (!k && in == 0)
            FV_TRY(make(b, at / BLOCK_SIZE, &k));
        if (k && in <= k->fill) { /* else its begin was dropped meanwhile */
            memcpy(k->data + in, from, n);
            k->fill = in + n > k->fill ? in + (uint32_t)n : k->fill;
            used(b, k);
        }
        at += n;
        from += n;
        size -= n;
    }
    return 0;
}

uint64_t blocks_have(const struct blocks *b, uint64_t at, uint64_t most)
{
    uint64_t n = 0;
    while (n < most) {
        const struct block *k = find(b, (at + n) / BLOCK_SIZE);
        uint32_t in = (uint32_t)((at + n) % BLOCK_SIZE);
        if (!k || k->fill <= in)
            break;
        n += k->fill - in;
        if (k->fill < BLOCK_SIZE)
            break;
    }
    return n < most ? n : most;
}

size_t blocks_get(struct blocks *b, uint64_t at, void *dst, size_t size)
{
    size_t n = 0;
    while (n < size) {
        struct block *k = find(b, (at + n) / BLOCK_SIZE);
        uint32_t in = (uint32_t)((at + n) % BLOCK_SIZE);
        if (!k || k->fill <= in)
            break;
        size_t part = k->fill - in < size - n ? k->fill - in : size - n;
        memcpy((uint8_t *)dst + n, k->data + in, part);
        used(b, k);
        n += part;
        if (in + part < BLOCK_SIZE && n < size)
            break;
    }
    return n;
}

uint64_t blocks_hole(const struct blocks *b, uint64_t at)
{
    for (;; at = (at / BLOCK_SIZE + 1) * BLOCK_SIZE) {
        const struct block *k = find(b, at / BLOCK_SIZE);
        uint64_t begin = at / BLOCK_SIZE * BLOCK_SIZE;
        if (!k)
            return begin;
        if (k->fill < BLOCK_SIZE)
            return begin + k->fill;
    }
}

void blocks_clear(struct blocks *b)
{
    while (b->oldest)
        drop(b, b->oldest);
    for (size_t g = 0; g < b->group_room; g++)
        free(b->groups[g]); /* one that got no block */
    free(b->groups);
    *b = (struct blocks){.room = b->room};
}
