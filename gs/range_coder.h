/* Adaptive binary range coder and the integer codes made of it, for the streams of docs/STREAM.md.
 *
 * One function serves both directions, so that the syntax of a stream is written once: with an
 * encoder it writes the value it is given and returns it, with a decoder the argument is ignored
 * and the value read is returned.
 *
 *     struct gs_coder c;
 *     gs_coder_write(&c);                           // or gs_coder_read(&c, bytes, size)
 *     struct gs_bit flag = GS_BIT_EVEN;
 *     x = gs_code_bit(&c, &flag, x);
 *     FV_TRY(gs_coder_finish(&c, &bytes, &size));   // malloc'd; a decoder just stops
 *
 * Carry-propagating range coder of 32 bits (Martin 1979; as in LZMA); a bit's probability is the
 * mean of two exponential averages, a fast and a slow one. Integer arithmetic only: the same bytes
 * on every machine. Past its bytes a decoder reads zeros, which writers leave out at the end: of bytes
 * cut short it makes wrong values, but it ends. Callers check sums before they decode. */
#ifndef GS_RANGE_CODER_H
#define GS_RANGE_CODER_H

#include "vk/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Probability that a bit is 0, of 65536, by two rates; bits seen, for faster learning at first. */
struct gs_bit {
    uint16_t fast, slow, seen;
};
#define GS_BIT_EVEN ((struct gs_bit){32768, 32768, 0})

struct gs_coder {
    bool writing;
    uint32_t range;
    /* writing */
    uint64_t low;
    uint64_t held; /* bytes that a carry can still change: `cache`, then 0xff */
    uint8_t cache;
    bool begun, out_of_memory;
    uint8_t *out;
    size_t size, room;
    /* reading */
    uint32_t code;
    const uint8_t *in, *end;
};

void gs_coder_write(struct gs_coder *c);
void gs_coder_read(struct gs_coder *c, const uint8_t *data, size_t size);
/* Ends a writer: its bytes, without the zeros at their end that a reader makes up. *bytes is the
 * caller's to free, NULL if there are none. Returns 0 or FV_ENOMEM. */
int gs_coder_finish(struct gs_coder *c, uint8_t **bytes, size_t *size);
/* Of a writer that is not wanted any more. */
void gs_coder_drop(struct gs_coder *c);

void gs_bits_reset(struct gs_bit *bits, size_t count);

/* ---- private ----
 *
 * What follows is inlined with `writing` known, so that a loop over many bits holds one direction only,
 * and, of a copy of the coder, keeps it in registers (stream_symbols.c). */

#define GS_INLINE static inline __attribute__((always_inline))

enum { GS_BIT_LEARNS = 96 }; /* bits seen until the rates stay */
extern const uint8_t gs_bit_rates[GS_BIT_LEARNS + 1][2]; /* shifts of fast and slow */

void gs_coder_push(struct gs_coder *c); /* a byte leaves */

GS_INLINE void gs_coder_shift(struct gs_coder *c, bool writing)
{
    c->range <<= 8;
    if (writing) {
        gs_coder_push(c);
        return;
    }
    c->code <<= 8;
    if (c->in < c->end)
        c->code |= *c->in++;
}

GS_INLINE bool gs_code_bit_as(struct gs_coder *c, struct gs_bit *m, bool bit, bool writing)
{
    enum { LEAST = 24 };
    uint32_t fast = m->fast, slow = m->slow, seen = m->seen;
    uint32_t p = (fast + slow) >> 1;
    p = p < LEAST ? LEAST : p > 65536 - LEAST ? 65536 - LEAST : p;
    uint32_t bound = (c->range >> 16) * p;
    if (!writing)
        bit = c->code >= bound;
    uint32_t ones = 0u - (uint32_t)bit; /* masks: what a bit is cannot be foreseen */
    if (writing)
        c->low += bound & ones;
    else
        c->code -= bound & ones;
    c->range = bound + ((c->range - 2 * bound) & ones);
    /* towards 0 or 65535, whichever the bit says */
    uint32_t flip = ~ones & 0xffff;
    fast ^= flip;
    slow ^= flip;
    m->fast = (uint16_t)((fast - (fast >> gs_bit_rates[seen][0])) ^ flip);
    m->slow = (uint16_t)((slow - (slow >> gs_bit_rates[seen][1])) ^ flip);
    m->seen = (uint16_t)(seen + (seen < GS_BIT_LEARNS));
    while (c->range < 1u << 24)
        gs_coder_shift(c, writing);
    return bit;
}

static inline bool gs_code_bit(struct gs_coder *c, struct gs_bit *m, bool bit)
{
    return gs_code_bit_as(c, m, bit, c->writing);
}

/* A bit of probability 1/2. */
static inline bool gs_code_even(struct gs_coder *c, bool bit)
{
    c->range >>= 1;
    if (!c->writing)
        bit = c->code >= c->range;
    if (bit) {
        c->low += c->range;
        c->code -= c->range;
    }
    while (c->range < 1u << 24)
        gs_coder_shift(c, c->writing);
    return bit;
}

/* A number of so many bits, of which nothing is known. */
uint32_t gs_code_plain(struct gs_coder *c, unsigned bits, uint32_t v);

/* Numbers >= 1: unary up to GS_UNARY, then an Exp-Golomb tail whose length and two top bits learn. */
enum {
    GS_UNARY = 14,
    GS_TAIL = 20, /* most bits of the tail: values up to GS_NUMBER_MAX */
    GS_NUMBER_MODELS = GS_UNARY + GS_TAIL + 4 * GS_TAIL,
    GS_NUMBER_MAX = GS_UNARY + (1 << GS_TAIL) - 1,
};
uint32_t gs_code_tail(struct gs_coder *c, struct gs_bit models[GS_NUMBER_MODELS], uint32_t v);

GS_INLINE uint32_t gs_code_number_as(struct gs_coder *c, struct gs_bit models[GS_NUMBER_MODELS],
                                     uint32_t v, bool writing)
{
    for (uint32_t k = 1; k <= GS_UNARY; k++)
        if (!gs_code_bit_as(c, &models[k - 1], v > k, writing))
            return k;
    struct gs_coder rest = *c; /* no one else's is the address of c */
    v = gs_code_tail(&rest, models, v);
    *c = rest;
    return v;
}

uint32_t gs_code_number(struct gs_coder *c, struct gs_bit models[GS_NUMBER_MODELS], uint32_t v);

/* Signed numbers of absolute value up to GS_NUMBER_MAX. */
enum { GS_SIGNED_MODELS = 2 + GS_NUMBER_MODELS };
static inline int32_t gs_code_signed(struct gs_coder *c, struct gs_bit models[GS_SIGNED_MODELS],
                                     int32_t v)
{
    if (!gs_code_bit(c, models, v != 0))
        return 0;
    bool negative = gs_code_bit(c, models + 1, v < 0);
    int32_t size = (int32_t)gs_code_number(c, models + 2, (uint32_t)(v < 0 ? -v : v));
    return negative ? -size : size;
}

#endif
