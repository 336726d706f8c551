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

void gs_coder_shift(struct gs_coder *c); /* private: a byte leaves, or comes in */

void gs_bits_reset(struct gs_bit *bits, size_t count);

static inline bool gs_code_bit(struct gs_coder *c, struct gs_bit *m, bool bit)
{
    enum { LEAST = 24 };
    uint32_t p = ((uint32_t)m->fast + m->slow) >> 1;
    p = p < LEAST ? LEAST : p > 65536 - LEAST ? 65536 - LEAST : p;
    uint32_t bound = (c->range >> 16) * p;
    if (!c->writing)
        bit = c->code >= bound;
    if (bit) {
        c->low += bound;
        c->code -= bound;
        c->range -= bound;
    } else {
        c->range = bound;
    }
    static const uint8_t early[8] = {1, 2, 2, 3, 3, 4, 4, 4};
    uint32_t fast = m->fast, slow = m->slow, seen = m->seen;
    uint32_t f = seen < 8 ? early[seen] : 4, s = seen < 8 ? f : seen < 32 ? 5 : seen < 96 ? 6 : 7;
    m->fast = (uint16_t)(bit ? fast - (fast >> f) : fast + ((65535 - fast) >> f));
    m->slow = (uint16_t)(bit ? slow - (slow >> s) : slow + ((65535 - slow) >> s));
    m->seen = (uint16_t)(seen < 255 ? seen + 1 : seen);
    while (c->range < 1u << 24)
        gs_coder_shift(c);
    return bit;
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
        gs_coder_shift(c);
    return bit;
}

/* Numbers >= 1: unary up to GS_UNARY, then an Exp-Golomb tail whose length and two top bits learn. */
enum {
    GS_UNARY = 14,
    GS_TAIL = 20, /* most bits of the tail: values up to GS_NUMBER_MAX */
    GS_NUMBER_MODELS = GS_UNARY + GS_TAIL + 4 * GS_TAIL,
    GS_NUMBER_MAX = GS_UNARY + (1 << GS_TAIL) - 1,
};
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
