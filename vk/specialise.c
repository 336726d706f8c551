/* Specialisation by rewriting SPIR-V (spirv.h): specialisation constants become plain ones of the
 * values asked for, and arithmetic on them is done. Drivers need not do it well: SwiftShader's
 * optimiser folds plain constants only, so it compiled every branch of a kernel, up to 20 times
 * the code, for minutes. Nothing is trusted, as in spirv.c. */
#include "vk/base/err.h"
#include "vk/spirv.h"

#include <spirv/unified1/spirv.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BOUND = 1 << 20 };

/* What is known of an id. */
enum kind {
    UNKNOWN,
    TYPE_32, /* an integer or float type of 32 bits */
    PLAIN,   /* a constant that needs no specialisation, its value not followed */
    WORD,    /* a constant of such a type */
    TRUTH    /* a boolean constant */
};
struct known {
    enum kind kind;
    uint32_t value;
    uint32_t spec_id; /* + 1; 0 = none */
};

struct rewrite {
    struct known *ids;
    uint32_t bound;
    const uint32_t *spec;
    uint32_t nspec;
    uint32_t *out;
    size_t count;
};

static struct known of(const struct rewrite *r, uint32_t id)
{
    return id < r->bound ? r->ids[id] : (struct known){UNKNOWN, 0, 0};
}

static void copy(struct rewrite *r, const uint32_t *w, uint32_t n)
{
    memcpy(r->out + r->count, w, 4 * (size_t)n);
    r->count += n;
}

static bool asked(const struct rewrite *r, uint32_t id, uint32_t *value)
{
    uint32_t spec_id = r->ids[id].spec_id;
    if (!spec_id || spec_id > r->nspec)
        return false;
    *value = r->spec[spec_id - 1];
    return true;
}

static void put_constant(struct rewrite *r, uint32_t type, uint32_t id, enum kind kind,
                         uint32_t value)
{
    uint32_t op = kind == WORD ? SpvOpConstant : value ? SpvOpConstantTrue : SpvOpConstantFalse;
    uint32_t n = kind == WORD ? 4 : 3;
    copy(r, (const uint32_t[]){n << 16 | op, type, id, value}, n);
    r->ids[id].kind = kind;
    r->ids[id].value = value;
}

/* The value of an operation on n known operands; false: it is left to the driver. */
static bool fold(uint32_t op, const struct known *v, uint32_t n, struct known *out)
{
    uint32_t a = v[0].value, b = n > 1 ? v[1].value : 0;
    enum kind kind = TRUTH;
    if (n == 1 && op == SpvOpLogicalNot) {
        *out = (struct known){TRUTH, !a, 0};
        return true;
    }
    if (n == 3 && op == SpvOpSelect) {
        *out = v[0].value ? v[1] : v[2];
        return v[0].kind == TRUTH;
    }
    if (n != 2)
        return false;
    switch (op) {
    case SpvOpIEqual:
    case SpvOpLogicalEqual:
        a = a == b;
        break;
    case SpvOpINotEqual:
    case SpvOpLogicalNotEqual:
        a = a != b;
        break;
    case SpvOpULessThan:
        a = a < b;
        break;
    case SpvOpULessThanEqual:
        a = a <= b;
        break;
    case SpvOpUGreaterThan:
        a = a > b;
        break;
    case SpvOpUGreaterThanEqual:
        a = a >= b;
        break;
    case SpvOpLogicalAnd:
        a = a && b;
        break;
    case SpvOpLogicalOr:
        a = a || b;
        break;
    default:
        kind = WORD;
        switch (op) {
        case SpvOpIAdd:
            a += b;
            break;
        case SpvOpISub:
            a -= b;
            break;
        case SpvOpIMul:
            a *= b;
            break;
        case SpvOpUDiv:
        case SpvOpUMod:
            if (!b)
                return false;
            a = op == SpvOpUDiv ? a / b : a % b;
            break;
        case SpvOpShiftLeftLogical:
        case SpvOpShiftRightLogical:
            if (b > 31)
                return false;
            a = op == SpvOpShiftLeftLogical ? a << b : a >> b;
            break;
        case SpvOpBitwiseAnd:
            a &= b;
            break;
        case SpvOpBitwiseOr:
            a |= b;
            break;
        case SpvOpBitwiseXor:
            a ^= b;
            break;
        default:
            return false;
        }
    }
    *out = (struct known){kind, a, 0};
    return true;
}

/* OpSpecConstantOp: type, result, operation, operands. */
static void operation(struct rewrite *r, const uint32_t *w, uint32_t n)
{
    struct known v[3], result;
    bool all = n >= 5 && n <= 7;
    for (uint32_t i = 4; all && i < n; i++) {
        v[i - 4] = of(r, w[i]);
        all = v[i - 4].kind == WORD || v[i - 4].kind == TRUTH;
    }
    if (all && fold(w[3], v, n - 4, &result) &&
        (result.kind == TRUTH || of(r, w[1]).kind == TYPE_32))
        put_constant(r, w[1], w[2], result.kind, result.value);
    else
        copy(r, w, n);
}

/* OpSpecConstantComposite: type, result, constituents. */
static void composite(struct rewrite *r, const uint32_t *w, uint32_t n)
{
    bool plain = true;
    size_t at = r->count;
    for (uint32_t i = 3; i < n; i++)
        plain = plain && of(r, w[i]).kind >= PLAIN;
    copy(r, w, n);
    if (plain) {
        r->out[at] = n << 16 | SpvOpConstantComposite;
        r->ids[w[2]].kind = PLAIN;
    }
}

/* An instruction that defines id w[2] of type w[1]. */
static void constant(struct rewrite *r, uint32_t op, const uint32_t *w, uint32_t n)
{
    bool word = n == 4 && of(r, w[1]).kind == TYPE_32;
    uint32_t value = op == SpvOpSpecConstantTrue || op == SpvOpConstantTrue;
    switch (op) {
    case SpvOpConstantTrue:
    case SpvOpConstantFalse:
        put_constant(r, w[1], w[2], TRUTH, value);
        break;
    case SpvOpSpecConstantTrue:
    case SpvOpSpecConstantFalse:
        asked(r, w[2], &value);
        put_constant(r, w[1], w[2], TRUTH, value != 0);
        break;
    case SpvOpConstant:
    case SpvOpSpecConstant:
        value = n > 3 ? w[3] : 0;
        if (op == SpvOpSpecConstant && word)
            asked(r, w[2], &value);
        if (word) {
            put_constant(r, w[1], w[2], WORD, value);
            break;
        }
        copy(r, w, n); /* of another width: no kernel has such a specialisation */
        r->ids[w[2]].kind = op == SpvOpConstant ? PLAIN : UNKNOWN;
        break;
    case SpvOpConstantComposite:
    case SpvOpConstantNull:
        copy(r, w, n);
        r->ids[w[2]].kind = PLAIN;
        break;
    case SpvOpSpecConstantComposite:
        composite(r, w, n);
        break;
    default:
        operation(r, w, n);
    }
}

static void instruction(struct rewrite *r, const uint32_t *w, uint32_t n)
{
    uint32_t op = w[0] & 0xffff;
    bool defines = n > 2 && w[2] < r->bound;
    if (op == SpvOpDecorate && n > 3 && w[2] == SpvDecorationSpecId && w[1] < r->bound &&
        w[3] < VK_MAX_SPEC) {
        r->ids[w[1]].spec_id = w[3] + 1;
        return; /* dropped: the constant will be a plain one */
    }
    if ((op == SpvOpTypeInt || op == SpvOpTypeFloat) && n > 2 && w[2] == 32 && w[1] < r->bound)
        r->ids[w[1]].kind = TYPE_32;
    if (op >= SpvOpConstantTrue && op <= SpvOpSpecConstantOp && op != SpvOpConstantSampler &&
        defines)
        constant(r, op, w, n);
    else
        copy(r, w, n);
}

int vk_spirv_specialise(uint32_t **out, size_t *out_words, const uint32_t *code, size_t words,
                        const uint32_t *spec, uint32_t nspec)
{
    struct rewrite r = {.spec = spec, .nspec = nspec};
    int rc = 0;
    *out = NULL;
    *out_words = 0;
    if (words < 5 || code[0] != SpvMagicNumber || !code[3] || code[3] > MAX_BOUND)
        return fv_fail(FV_EFORMAT, "not SPIR-V");
    r.bound = code[3];
    r.ids = calloc(r.bound, sizeof *r.ids);
    r.out = malloc(4 * words); /* instructions become shorter or stay as they are */
    if (!r.ids || !r.out) {
        rc = fv_fail(FV_ENOMEM, "out of memory");
        goto done;
    }
    copy(&r, code, 5);
    for (size_t at = 5; at < words && !rc;) {
        uint32_t n = code[at] >> 16;
        if (!n || n > words - at) {
            rc = fv_fail(FV_EFORMAT, "SPIR-V instruction at word %zu runs past the end", at);
            break;
        }
        instruction(&r, code + at, n);
        at += n;
    }
    if (!rc) {
        *out = r.out;
        *out_words = r.count;
        r.out = NULL;
    }
done:
    free(r.out);
    free(r.ids);
    return rc;
}
