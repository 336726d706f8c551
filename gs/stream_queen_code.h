/* Private to gs/stream_queen*.c: numbers, floats, decoders and integers of the QUEEN model in streams
 * (docs/STREAM.md). One function a syntax serves both directions, as in range_coder.h: it writes what
 * it is given, or reads into its place. */
#ifndef GS_STREAM_QUEEN_CODE_H
#define GS_STREAM_QUEEN_CODE_H

#include "gs/stream_queen.h"

/* ---- whole 32-bit numbers ---- */

struct gs_wide_models {
    struct gs_bit length[9][64]; /* by length of the one before */
    struct gs_bit top[33][8];
};

void gs_wide_reset(struct gs_wide_models *m);
/* *last: length of the one before, at first 0. */
uint32_t gs_code_wide(struct gs_coder *c, struct gs_wide_models *m, unsigned *last, uint32_t v);

static inline uint32_t gs_zigzag(uint32_t difference)
{
    return difference << 1 ^ (difference >> 31 ? ~0u : 0);
}

static inline uint32_t gs_unzigzag(uint32_t z)
{
    return z >> 1 ^ (z & 1 ? ~0u : 0);
}

/* ---- floats ---- */

/* Floats of one attribute of every Gaussian. */
struct gs_queen_plane {
    float *at; /* of row 0; written or read */
    size_t stride;
    uint32_t width, count;
    /* what a row is near to: one of other floats, plus a shift; or without them the row before */
    const float *from;
    size_t from_stride;
    const uint32_t *parent; /* NULL: the same row */
};

int gs_queen_code_plane(struct gs_coder *c, const struct gs_queen_plane *p);

/* ---- parts of a track ---- */

/* part's decoder becomes d, or the one that is read. */
int gs_queen_code_decoder(struct gs_coder *c, struct gs_queen_part *part,
                          const struct gs_queen_decoder *d);
/* width integers of each of count Gaussians: v, or what is read; they become part's. *fits: whether
 * they can be symbols; if not, nothing was written. */
int gs_queen_code_integers(struct gs_coder *c, struct gs_queen_part *p, uint32_t count,
                           uint32_t width, const uint32_t (*near)[GS_NEAR], const int32_t *v,
                           bool *fits);
void gs_queen_drop_integers(struct gs_queen_part *p);
/* They go with the rows. */
int gs_queen_move_integers(struct gs_queen_part *p, const uint32_t *parent, uint32_t count);

#endif
