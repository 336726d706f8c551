/* Bump arena: many small allocations of one lifetime, freed together, with a byte cap so
 * that a hostile file cannot make a parser eat the machine.
 *
 *     struct fv_arena a = {.cap = 64 << 20};
 *     struct node *n = fv_arena_alloc(&a, sizeof *n);   // zeroed; NULL past the cap
 *     ...
 *     fv_arena_finish(&a);
 */
#ifndef FV_ARENA_H
#define FV_ARENA_H

#include <stddef.h>

struct fv_arena {
    size_t cap;  /* most bytes in all; 0 = no cap */
    size_t used; /* bytes handed out */
    struct fv_arena_block *blocks;
};

/* Zeroed, 16-byte aligned; NULL (and FV_ENOMEM text) when memory or the cap is exhausted. */
void *fv_arena_alloc(struct fv_arena *a, size_t size);
/* A copy of n bytes of text with a NUL after it. */
char *fv_arena_strndup(struct fv_arena *a, const char *text, size_t n);
/* Frees everything; the arena may be used again. */
void fv_arena_finish(struct fv_arena *a);

#endif
