/* Specialisation by rewriting (vk/specialise.c): what becomes of constants and of arithmetic on
 * them, every embedded shader, and malformed words. */
#include "support/spirv_module.h"
#include "support/test.h"
#include "vk/shader_table.h"
#include "vk/spirv.h"

#include <spirv/unified1/spirv.h>

/* Types uint %1, bool %2, uint2 %3; specialisation constants %10 = 7 (id 0), %11 = 5 (id 1),
 * %12 = true (id 2); a plain %13 = 3. */
static struct module with_constants(void)
{
    struct module m;
    begin(&m);
    for (uint32_t i = 0; i < 3; i++)
        OP(&m, SpvOpDecorate, 10 + i, SpvDecorationSpecId, i);
    OP(&m, SpvOpTypeInt, 1, 32, 0);
    OP(&m, SpvOpTypeBool, 2);
    OP(&m, SpvOpTypeVector, 3, 1, 2);
    OP(&m, SpvOpSpecConstant, 1, 10, 7);
    OP(&m, SpvOpSpecConstant, 1, 11, 5);
    OP(&m, SpvOpSpecConstantTrue, 2, 12);
    OP(&m, SpvOpConstant, 1, 13, 3);
    return m;
}

/* The instruction that makes constant id; NULL = none. */
static const uint32_t *find(const uint32_t *w, size_t count, uint32_t id)
{
    for (size_t at = 5; at < count; at += w[at] >> 16) {
        uint32_t code = w[at] & 0xffff;
        if (code >= SpvOpConstantTrue && code <= SpvOpSpecConstantOp && w[at + 2] == id)
            return w + at;
    }
    return NULL;
}

static void expect(const struct module *m, const uint32_t *spec, uint32_t nspec, uint32_t id,
                   uint32_t opcode, uint32_t value)
{
    uint32_t *out;
    size_t count;
    assert_ok(vk_spirv_specialise(&out, &count, m->words, m->count, spec, nspec));
    assert_true(count <= m->count);
    const uint32_t *w = find(out, count, id);
    assert_non_null(w);
    assert_int_equal(w[0] & 0xffff, opcode);
    if (opcode == SpvOpConstant)
        assert_int_equal(w[3], value);
    free(out);
}

static void constants_take_their_values(void **state)
{
    struct module m = with_constants();
    (void)state;
    expect(&m, NULL, 0, 10, SpvOpConstant, 7);
    expect(&m, NULL, 0, 12, SpvOpConstantTrue, 0);
    expect(&m, (uint32_t[]){100}, 1, 10, SpvOpConstant, 100);
    expect(&m, (uint32_t[]){100}, 1, 11, SpvOpConstant, 5);
    expect(&m, (uint32_t[]){100, 200, 0}, 3, 11, SpvOpConstant, 200);
    expect(&m, (uint32_t[]){100, 200, 0}, 3, 12, SpvOpConstantFalse, 0);
}

static void arithmetic_is_done(void **state)
{
    enum { A = 10, B = 11, T = 12, THREE = 13 };
    static const struct {
        uint32_t operation, n, operands[3], type, opcode, value;
    } table[] = {
        {SpvOpIAdd, 2, {A, B}, 1, SpvOpConstant, 12},
        {SpvOpISub, 2, {B, A}, 1, SpvOpConstant, UINT32_MAX - 1},
        {SpvOpIMul, 2, {A, THREE}, 1, SpvOpConstant, 21},
        {SpvOpUDiv, 2, {A, THREE}, 1, SpvOpConstant, 2},
        {SpvOpUMod, 2, {A, THREE}, 1, SpvOpConstant, 1},
        {SpvOpShiftLeftLogical, 2, {A, THREE}, 1, SpvOpConstant, 56},
        {SpvOpShiftRightLogical, 2, {A, THREE}, 1, SpvOpConstant, 0},
        {SpvOpBitwiseAnd, 2, {A, B}, 1, SpvOpConstant, 5},
        {SpvOpBitwiseOr, 2, {A, B}, 1, SpvOpConstant, 7},
        {SpvOpBitwiseXor, 2, {A, B}, 1, SpvOpConstant, 2},
        {SpvOpIEqual, 2, {A, B}, 2, SpvOpConstantFalse, 0},
        {SpvOpINotEqual, 2, {A, B}, 2, SpvOpConstantTrue, 0},
        {SpvOpULessThan, 2, {A, A}, 2, SpvOpConstantFalse, 0},
        {SpvOpULessThanEqual, 2, {A, A}, 2, SpvOpConstantTrue, 0},
        {SpvOpUGreaterThan, 2, {A, B}, 2, SpvOpConstantTrue, 0},
        {SpvOpUGreaterThanEqual, 2, {B, A}, 2, SpvOpConstantFalse, 0},
        {SpvOpLogicalEqual, 2, {T, T}, 2, SpvOpConstantTrue, 0},
        {SpvOpLogicalNotEqual, 2, {T, T}, 2, SpvOpConstantFalse, 0},
        {SpvOpLogicalAnd, 2, {T, T}, 2, SpvOpConstantTrue, 0},
        {SpvOpLogicalOr, 2, {T, T}, 2, SpvOpConstantTrue, 0},
        {SpvOpLogicalNot, 1, {T}, 2, SpvOpConstantFalse, 0},
        {SpvOpSelect, 3, {T, A, B}, 1, SpvOpConstant, 7},
        {SpvOpSelect, 3, {T, T, T}, 2, SpvOpConstantTrue, 0},
        /* left alone: no result, or none that is known here */
        {SpvOpShiftLeftLogical, 2, {A, 14}, 1, SpvOpSpecConstantOp, 0},
        {SpvOpUDiv, 2, {A, 15}, 1, SpvOpSpecConstantOp, 0},
        {SpvOpSNegate, 1, {A}, 1, SpvOpSpecConstantOp, 0},
        {SpvOpIAdd, 2, {A, 60}, 1, SpvOpSpecConstantOp, 0},
        {SpvOpIAdd, 2, {A, 1000}, 1, SpvOpSpecConstantOp, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct module m = with_constants();
        uint32_t w[6] = {table[i].type, 20, table[i].operation};
        OP(&m, SpvOpConstant, 1, 14, 32);
        OP(&m, SpvOpConstant, 1, 15, 0);
        memcpy(w + 3, table[i].operands, sizeof table[i].operands);
        op(&m, SpvOpSpecConstantOp, w, 3 + table[i].n);
        expect(&m, NULL, 0, 20, table[i].opcode, table[i].value);
    }
}

/* What follows from a result is computed too, and composites of plain constants are plain. */
static void results_are_operands(void **state)
{
    struct module m = with_constants();
    (void)state;
    OP(&m, SpvOpSpecConstantOp, 2, 20, SpvOpIEqual, 10, 13);
    OP(&m, SpvOpSpecConstantOp, 1, 21, SpvOpSelect, 20, 10, 11);
    OP(&m, SpvOpSpecConstantComposite, 3, 22, 21, 13);
    OP(&m, SpvOpSpecConstantOp, 1, 23, SpvOpSNegate, 10);
    OP(&m, SpvOpSpecConstantComposite, 3, 24, 21, 23);
    expect(&m, NULL, 0, 21, SpvOpConstant, 5);
    expect(&m, (uint32_t[]){3}, 1, 21, SpvOpConstant, 3);
    expect(&m, NULL, 0, 22, SpvOpConstantComposite, 0);
    expect(&m, NULL, 0, 24, SpvOpSpecConstantComposite, 0);
}

/* Constants of 64 bits keep what they are. */
static void wide_constants_stay(void **state)
{
    struct module m = with_constants();
    (void)state;
    OP(&m, SpvOpTypeInt, 4, 64, 0);
    OP(&m, SpvOpSpecConstant, 4, 20, 1, 2);
    OP(&m, SpvOpSpecConstantOp, 4, 21, SpvOpIAdd, 20, 20);
    expect(&m, NULL, 0, 20, SpvOpSpecConstant, 0);
    expect(&m, NULL, 0, 21, SpvOpSpecConstantOp, 0);
}

/* No specialisation is left to a driver in any shader, and its interface is the same. */
static void every_embedded_shader(void **state)
{
    static const uint32_t spec[3] = {8, 1, 2};
    (void)state;
    for (unsigned i = 0; i < vk_shader_count; i++) {
        const struct vk_shader *s = &vk_shader_table[i];
        struct vk_reflection before, after;
        uint32_t *out, *code;
        size_t count;
        assert_ok(vk_shader_code(&code, s));
        assert_ok(vk_spirv_specialise(&out, &count, code, s->words, spec, 3));
        for (size_t at = 5; at < count; at += out[at] >> 16)
            if ((out[at] & 0xffff) == SpvOpSpecConstant)
                fail_msg("%s: word %zu is a specialisation constant", s->name, at);
        assert_ok(vk_spirv_reflect(&before, code, s->words, spec, 3));
        assert_ok(vk_spirv_reflect(&after, out, count, NULL, 0));
        assert_memory_equal(&before, &after, sizeof before);
        free(out);
        free(code);
    }
}

static void malformed_words(void **state)
{
    struct module m = with_constants();
    uint32_t *out;
    size_t count;
    (void)state;
    assert_fails(vk_spirv_specialise(&out, &count, m.words, 3, NULL, 0), FV_EFORMAT, "SPIR-V");
    m.words[m.count] = 90u << 16 | SpvOpConstant;
    assert_fails(vk_spirv_specialise(&out, &count, m.words, m.count + 1, NULL, 0), FV_EFORMAT,
                 "past the end");
    assert_null(out);
    m = with_constants();
    m.words[3] = 0;
    assert_fails(vk_spirv_specialise(&out, &count, m.words, m.count, NULL, 0), FV_EFORMAT,
                 "SPIR-V");
    /* ids beyond the bound, instructions without operands: copied, not followed */
    for (uint32_t code = SpvOpConstantTrue; code <= SpvOpSpecConstantOp; code++)
        for (uint32_t n = 1; n < 8; n++) {
            m = with_constants();
            m.words[m.count++] = n << 16 | code;
            for (uint32_t i = 1; i < n; i++)
                m.words[m.count++] = i == 2 ? 64 : 70000 + i;
            assert_ok(vk_spirv_specialise(&out, &count, m.words, m.count, NULL, 0));
            free(out);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(constants_take_their_values), cmocka_unit_test(arithmetic_is_done),
        cmocka_unit_test(results_are_operands),        cmocka_unit_test(wide_constants_stay),
        cmocka_unit_test(every_embedded_shader),       cmocka_unit_test(malformed_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
