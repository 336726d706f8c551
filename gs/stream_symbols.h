/* Entropy coding of quantised attributes: integers [count][comps] of Gaussians in the order of
 * their stream, most of them 0. Contexts are what the decoder knows: the same Gaussian's symbols
 * in the frame before, those of up to four Gaussians that come earlier and lie near, components
 * coded before. docs/STREAM.md has the syntax. */
#ifndef GS_STREAM_SYMBOLS_H
#define GS_STREAM_SYMBOLS_H

#include "gs/range_coder.h"

enum {
    GS_NEAR = 4,          /* neighbours a Gaussian has at most */
    GS_NEAR_WINDOW = 40,  /* looked for among so many before it */
    GS_NEAR_PIECE = 2048, /* Gaussians that are looked at in one go */
    GS_SYMBOL_BLOCK = 32, /* Gaussians that share a flag "nothing here" */
    GS_MOST_CODED = 21,   /* numbers of an attribute's symbols */
};

struct gs_component_models {
    struct gs_bit nonzero[3][4][4]; /* by size before, sizes near, components before it */
    struct gs_bit negative[3][3];   /* by sign before, sign near */
    struct gs_bit number[3][4][GS_NUMBER_MODELS];
};

struct gs_symbol_models {
    struct gs_bit block[3][2];
    struct gs_bit active[6][4];
    int comps;
    struct gs_component_models comp[];
};

/* NULL without memory; free() it. */
struct gs_symbol_models *gs_symbol_models_create(int comps);
void gs_symbol_models_reset(struct gs_symbol_models *m);
/* Both of the same number of components. */
void gs_symbol_models_copy(struct gs_symbol_models *to, const struct gs_symbol_models *from);

/* Which Gaussians of an attribute have symbols in a frame: the others cost nothing. */
struct gs_active {
    uint8_t *gaussian; /* [count]: 0 none, 1 the sum of their sizes is up to 2, 2 more */
    uint8_t *block;    /* [gs_symbol_blocks(count)]: any */
};
static inline uint32_t gs_symbol_blocks(uint32_t count)
{
    return (count + GS_SYMBOL_BLOCK - 1) / GS_SYMBOL_BLOCK;
}
int gs_active_create(struct gs_active *a, uint32_t count); /* of none */
void gs_active_finish(struct gs_active *a);

struct gs_symbols {
    uint32_t count;
    int comps;
    size_t stride; /* from a Gaussian's symbols to the next one's; of `before` too */
    int32_t *q;    /* [count][stride]: written, or read into */
    const int32_t *before;           /* of the frame before; NULL */
    const uint32_t (*near)[GS_NEAR]; /* indices < own, nearest first, then ~0 */
    /* Flags for blocks and for Gaussians without any symbol; NULL: all have some. Which have is found,
     * or read: into what gs_symbols_clear left. */
    const struct gs_active *active, *active_before;
};
void gs_code_symbols(struct gs_coder *c, struct gs_symbol_models *m, const struct gs_symbols *s);
/* Reads those of Gaussians [begin, end) without flags, in order from the first on. Of symbols before
 * `begin` the near ones alone are looked at. */
void gs_read_symbols(struct gs_coder *c, struct gs_symbol_models *m, const struct gs_symbols *s,
                     uint32_t begin, uint32_t end);
/* Sets s->active by q, as writing does. */
void gs_symbols_find_active(const struct gs_symbols *s);
/* All symbols 0 again, of those that are active. */
void gs_symbols_clear(const struct gs_symbols *s);

enum { GS_OCTREE_BITS = 21 }; /* of a coordinate, at most */
struct gs_octree_models {
    struct gs_bit node[GS_OCTREE_BITS + 1][9][256]; /* height; children its parent has; bits so far */
    struct gs_bit more[8];                          /* one more Gaussian at the same place */
};
void gs_octree_models_reset(struct gs_octree_models *m);
/* Positions on a grid of 2^bits a side: Morton codes in rising order, equal ones allowed (octree
 * occupancy, each node's eight bits by how full its parent is and its height). *code is read into
 * or written from. Of a stream that holds other than `count` codes: FV_EFORMAT. */
int gs_code_octree(struct gs_coder *c, struct gs_octree_models *m, uint64_t *code, uint32_t count,
                   unsigned bits);
/* Reads them and tells on the way how many are there, about every GS_NEAR_PIECE, and at the end. */
int gs_read_octree(struct gs_coder *c, struct gs_octree_models *m, uint64_t *code, uint32_t count,
                   unsigned bits, void (*placed)(void *ud, uint32_t done), void *ud);

#endif
