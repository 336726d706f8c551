/* Bump arena (arena.h): a list of blocks that double in size up to 1 MiB. */
#include "vk/base/arena.h"
#include "vk/base/err.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct fv_arena_block {
    struct fv_arena_block *next;
    size_t size, used;
    _Alignas(16) unsigned char data[];
};

void *fv_arena_alloc(struct fv_arena *a, size_t size)
{
    size_t need = (size + 15) & ~(size_t)15;
    if (need < size || (a->cap && (need > a->cap || a->used > a->cap - need))) {
        fv_fail(FV_ENOMEM, "needs more than the %zu bytes allowed", a->cap);
        return NULL;
    }
    struct fv_arena_block *b = a->blocks;
    if (!b || b->size - b->used < need) {
        size_t block = b && b->size < (1u << 20) ? b->size * 2 : b ? 1u << 20 : 4096;
        if (block < need)
            block = need;
        b = block <= PTRDIFF_MAX - sizeof *b ? calloc(1, sizeof *b + block) : NULL;
        if (!b) {
            fv_fail(FV_ENOMEM, "out of memory (%zu bytes)", block);
            return NULL;
        }
        b->size = block;
        b->next = a->blocks;
        a->blocks = b;
    }
    void *p = b->data + b->used;
    b->used += need;
    a->used += need;
    return p;
}

char *fv_arena_strndup(struct fv_arena *a, const char *text, size_t n)
{
    char *s = n + 1 ? fv_arena_alloc(a, n + 1) : NULL;
    if (s)
        memcpy(s, text, n);
    return s;
}

void fv_arena_finish(struct fv_arena *a)
{
    for (struct fv_arena_block *b = a->blocks, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    a->blocks = NULL;
    a->used = 0;
}
