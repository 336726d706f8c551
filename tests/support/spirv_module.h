/* SPIR-V put together by hand: a header, then instructions.
 *
 *     struct module m;
 *     begin(&m);
 *     OP(&m, SpvOpTypeInt, 1, 32, 0);
 */
#ifndef SPIRV_MODULE_H
#define SPIRV_MODULE_H

#include <spirv/unified1/spirv.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct module {
    uint32_t words[256];
    size_t count;
};

static inline void begin(struct module *m)
{
    const uint32_t head[5] = {SpvMagicNumber, 0x10300, 0, 64, 0};
    memcpy(m->words, head, sizeof head);
    m->count = 5;
}

static inline void op(struct module *m, uint32_t opcode, const uint32_t *operands, size_t n)
{
    m->words[m->count++] = (uint32_t)(n + 1) << 16 | opcode;
    memcpy(m->words + m->count, operands, 4 * n);
    m->count += n;
}
#define OP(m, opcode, ...)                                                                         \
    op(m, opcode, (const uint32_t[]){__VA_ARGS__}, sizeof((const uint32_t[]){__VA_ARGS__}) / 4)

#endif
