/* The range coder's bytes and numbers (range_coder.h). */
#include "gs/range_coder.h"
#include "vk/base/array.h"

#include <stdlib.h>
#include <string.h>

/* 1/2, 1/4, 1/4, ... for both, then each its own. */
#define S4(f, s) {f, s}, {f, s}, {f, s}, {f, s}
#define S16(f, s) S4(f, s), S4(f, s), S4(f, s), S4(f, s)
const uint8_t gs_bit_rates[GS_BIT_LEARNS + 1][2] = {
    {1, 1}, {2, 2}, {2, 2}, {3, 3}, {3, 3}, {4, 4}, {4, 4}, {4, 4},
    S16(4, 5), S4(4, 5), S4(4, 5),            /* 8 .. 31 */
    S16(4, 6), S16(4, 6), S16(4, 6), S16(4, 6), /* 32 .. 95 */
    {4, 7}};

void gs_bits_reset(struct gs_bit *bits, size_t count)
{
    for (size_t i = 0; i < count; i++)
        bits[i] = GS_BIT_EVEN;
}

void gs_coder_write(struct gs_coder *c)
{
    *c = (struct gs_coder){.writing = true, .range = ~0u};
}

void gs_coder_read(struct gs_coder *c, const uint8_t *data, size_t size)
{
    *c = (struct gs_coder){.range = ~0u, .in = data, .end = data + size};
    for (int i = 0; i < 4; i++) {
        c->code = c->code << 8 | (c->in < c->end ? *c->in : 0);
        c->in += c->in < c->end;
    }
}

static void put(struct gs_coder *c, uint8_t byte)
{
    if (fv_grow(&c->out, &c->room, c->size, 1) < 0)
        c->out_of_memory = true;
    else
        c->out[c->size++] = byte;
}

/* The top byte of `low` is held back while a carry can still come into it; into the first one none
 * can. */
void gs_coder_push(struct gs_coder *c)
{
    uint32_t carry = (uint32_t)(c->low >> 32);
    if (c->begun && (uint32_t)c->low >= 0xff000000u && !carry) {
        c->held++;
    } else {
        if (c->begun)
            put(c, (uint8_t)(c->cache + carry));
        for (; c->held; c->held--)
            put(c, (uint8_t)(0xff + carry));
        c->begun = true;
        c->cache = (uint8_t)(c->low >> 24);
    }
    c->low = (uint32_t)c->low << 8;
}

int gs_coder_finish(struct gs_coder *c, uint8_t **bytes, size_t *size)
{
    for (int i = 0; i < 5; i++)
        gs_coder_push(c);
    while (c->size && !c->out[c->size - 1])
        c->size--;
    if (c->out_of_memory) {
        gs_coder_drop(c);
        return fv_fail(FV_ENOMEM, "no memory for the bytes of a stream");
    }
    *bytes = c->out;
    *size = c->size;
    c->out = NULL;
    return 0;
}

void gs_coder_drop(struct gs_coder *c)
{
    free(c->out);
    c->out = NULL;
}

uint32_t gs_code_plain(struct gs_coder *c, unsigned bits, uint32_t v)
{
    uint32_t read = 0;
    while (bits--)
        read = read * 2 + gs_code_even(c, v >> bits & 1);
    return read;
}

/* What is greater than GS_UNARY. */
uint32_t gs_code_tail(struct gs_coder *c, struct gs_bit models[GS_NUMBER_MODELS], uint32_t v)
{
    struct gs_bit *length = models + GS_UNARY, *top = length + GS_TAIL;
    uint32_t tail = v - GS_UNARY; /* >= 1; its leading 1 is known from its length */
    int bits = 0;
    while (bits < GS_TAIL - 1 && gs_code_bit(c, &length[bits], tail >> (bits + 1) != 0))
        bits++;
    uint32_t read = 1, prefix = 1;
    for (int i = bits - 1, depth = 0; i >= 0; i--, depth++) {
        bool bit = tail >> i & 1;
        if (depth < 2) {
            bit = gs_code_bit(c, &top[bits * 4 + (int)prefix], bit);
            prefix = prefix * 2 + bit;
        } else {
            bit = gs_code_even(c, bit);
        }
        read = read * 2 + bit;
    }
    return read + GS_UNARY;
}

uint32_t gs_code_number(struct gs_coder *c, struct gs_bit models[GS_NUMBER_MODELS], uint32_t v)
{
    return gs_code_number_as(c, models, v, c->writing);
}
