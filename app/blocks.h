/* Bytes of a large file that are in memory: blocks, each filled from its begin, up to a bound, of which
 * the ones used longest ago go first. */
#ifndef APP_BLOCKS_H
#define APP_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BLOCK_SIZE = 8192 };

struct block;
struct block_group;
struct blocks {
    struct block_group **groups; /* [group_room]: blocks by their place in the file */
    size_t group_room;
    struct block *newest, *oldest;
    uint64_t kept, room; /* bytes of memory */
};

/* Writes bytes at `at`, which is where a block begins or has been filled to. FV_ENOMEM,
 * also of files beyond a tebibyte. */
int blocks_put(struct blocks *b, uint64_t at, const void *data, size_t size);
/* How many bytes from `at` on are there, counted to `most`. */
uint64_t blocks_have(const struct blocks *b, uint64_t at, uint64_t most);
/* Copies what is there, at most `size` bytes; returns how many. */
size_t blocks_get(struct blocks *b, uint64_t at, void *dst, size_t size);
/* Where the first byte from `at` on that is not there has to be written: `at` or what lies before it in
 * its block. */
uint64_t blocks_hole(const struct blocks *b, uint64_t at);
void blocks_clear(struct blocks *b);

#endif
