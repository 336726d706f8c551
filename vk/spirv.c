/* SPIR-V reflection (spirv.h): one pass over the words notes decorations, types, constants and
 * variables by result id; the interface is then read off the variables. Nothing is trusted: ids
 * are below the bound, operands are within their instruction, nesting is limited. Word layouts:
 * SPIR-V specification 1.6, sections 2.3 and 3. */
#include "vk/spirv.h"
#include "vk/base/err.h"

#include <spirv/unified1/spirv.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 16, MAX_BOUND = 1 << 20, MAX_STEPS = 1 << 16 };

struct id {
    const uint32_t *words; /* of the defining instruction; NULL = none */
    uint16_t op, word_count;
    uint32_t binding, set, spec_id, array_stride;
    bool has_binding, has_spec_id, non_writable, buffer_block, workgroup_size;
    /* of a struct's members */
    uint32_t non_writable_members;
    uint32_t last_member, last_offset, matrix_stride; /* the member of the largest offset */
};

struct module {
    struct id *ids;
    uint32_t bound;
    const uint32_t *spec;
    uint32_t nspec;
    uint32_t size_ids[3]; /* of LocalSizeId */
    uint32_t steps;       /* of the recursions below: ids may refer to one another in any way */
};

/* Operand i of an id's instruction, 0 when it has fewer. */
static uint32_t operand(const struct id *t, uint32_t i)
{
    return i < t->word_count ? t->words[i] : 0;
}

/* A defined id, or NULL. */
static const struct id *get(const struct module *m, uint32_t id)
{
    return id < m->bound && m->ids[id].words ? &m->ids[id] : NULL;
}

/* --- first pass --- */

static void decorate(struct id *t, const uint32_t *w, uint32_t n)
{
    uint32_t value = n > 1 ? w[1] : 0;
    switch (w[0]) {
    case SpvDecorationBinding:
        t->binding = value;
        t->has_binding = true;
        break;
    case SpvDecorationDescriptorSet:
        t->set = value;
        break;
    case SpvDecorationNonWritable:
        t->non_writable = true;
        break;
    case SpvDecorationBufferBlock:
        t->buffer_block = true;
        break;
    case SpvDecorationArrayStride:
        t->array_stride = value;
        break;
    case SpvDecorationSpecId:
        t->spec_id = value;
        t->has_spec_id = true;
        break;
    case SpvDecorationBuiltIn:
        t->workgroup_size = value == SpvBuiltInWorkgroupSize;
        break;
    default:
        break;
    }
}

static void decorate_member(struct id *t, const uint32_t *w, uint32_t n)
{
    uint32_t member = w[0], value = n > 2 ? w[2] : 0;
    if (w[1] == SpvDecorationNonWritable)
        t->non_writable_members++;
    if (w[1] == SpvDecorationOffset && value >= t->last_offset) {
        t->last_offset = value;
        t->last_member = member;
    }
    if (w[1] == SpvDecorationMatrixStride)
        t->matrix_stride = value;
}

static bool is_subgroup_capability(uint32_t c)
{
    return (c >= SpvCapabilityGroupNonUniform && c <= SpvCapabilityGroupNonUniformQuad) ||
           c == SpvCapabilitySubgroupBallotKHR || c == SpvCapabilitySubgroupVoteKHR;
}

static bool defines_type(uint32_t op)
{
    return op == SpvOpTypeInt || op == SpvOpTypeFloat || op == SpvOpTypeVector ||
           op == SpvOpTypeMatrix || op == SpvOpTypeImage || op == SpvOpTypeSampledImage ||
           op == SpvOpTypeArray || op == SpvOpTypeRuntimeArray || op == SpvOpTypeStruct ||
           op == SpvOpTypePointer;
}

static bool defines_value(uint32_t op)
{
    return op == SpvOpConstant || op == SpvOpSpecConstant || op == SpvOpConstantComposite ||
           op == SpvOpSpecConstantComposite || op == SpvOpSpecConstantOp || op == SpvOpVariable;
}

static int define(struct module *m, uint32_t result, const uint32_t *w, uint32_t n)
{
    if (!result || result >= m->bound)
        return fv_fail(FV_EFORMAT, "SPIR-V id %u is outside the bound %u", result, m->bound);
    m->ids[result].words = w;
    m->ids[result].op = (uint16_t)(w[0] & 0xffff);
    m->ids[result].word_count = (uint16_t)n;
    return 0;
}

/* One instruction of n words, the first at w. */
static int read_instruction(struct module *m, struct vk_reflection *out, const uint32_t *w,
                            uint32_t n)
{
    uint32_t op = w[0] & 0xffff;
    bool decorates = n > 2 && w[1] < m->bound;
    if (op == SpvOpCapability && n > 1)
        out->uses_subgroups |= is_subgroup_capability(w[1]);
    else if (op == SpvOpDecorate && decorates)
        decorate(&m->ids[w[1]], w + 2, n - 2);
    else if (op == SpvOpMemberDecorate && decorates && n > 3)
        decorate_member(&m->ids[w[1]], w + 2, n - 2);
    else if (op == SpvOpExecutionMode && n > 5 && w[2] == SpvExecutionModeLocalSize)
        memcpy(out->local_size, w + 3, 12);
    else if (op == SpvOpExecutionModeId && n > 5 && w[2] == SpvExecutionModeLocalSizeId)
        memcpy(m->size_ids, w + 3, 12);
    else if (defines_type(op) && n > 1)
        return define(m, w[1], w, n);
    else if (defines_value(op) && n > 2)
        return define(m, w[2], w, n);
    return 0;
}

/* --- constants and sizes --- */

/* A 32-bit constant with specialisation applied; 0 for what cannot be known. Arithmetic is what
 * array sizes are made of: `shared uint x[LANES * 4]`. */
static uint32_t constant(struct module *m, uint32_t id, int depth)
{
    const struct id *t = get(m, id);
    if (!t || depth > MAX_DEPTH || m->steps++ > MAX_STEPS)
        return 0;
    if (t->op == SpvOpConstant)
        return operand(t, 3);
    if (t->op == SpvOpSpecConstant)
        return t->has_spec_id && t->spec_id < m->nspec ? m->spec[t->spec_id] : operand(t, 3);
    if (t->op != SpvOpSpecConstantOp)
        return 0;
    uint32_t a = constant(m, operand(t, 4), depth + 1), b = constant(m, operand(t, 5), depth + 1);
    switch (operand(t, 3)) {
    case SpvOpIAdd:
        return a + b;
    case SpvOpISub:
        return a - b;
    case SpvOpIMul:
        return a * b;
    case SpvOpUDiv:
    case SpvOpSDiv:
        return b ? a / b : 0;
    case SpvOpShiftLeftLogical:
        return b < 32 ? a << b : 0;
    case SpvOpShiftRightLogical:
        return b < 32 ? a >> b : 0;
    default:
        return 0;
    }
}

/* Bytes a type takes in memory: with its layout decorations where it has them (blocks), packed
 * where not (shared memory). Saturates. */
static uint64_t type_bytes(struct module *m, uint32_t id, uint32_t matrix_stride, int depth)
{
    const struct id *t = get(m, id);
    uint64_t count, each, sum = 0;
    if (!t || depth > MAX_DEPTH || m->steps++ > MAX_STEPS)
        return 0;
    switch (t->op) {
    case SpvOpTypeInt:
    case SpvOpTypeFloat:
        return operand(t, 2) / 8;
    case SpvOpTypeVector:
    case SpvOpTypeMatrix:
        each = type_bytes(m, operand(t, 2), 0, depth + 1);
        if (t->op == SpvOpTypeMatrix && matrix_stride)
            each = matrix_stride;
        return operand(t, 3) * each;
    case SpvOpTypeArray:
        count = constant(m, operand(t, 3), 0);
        each = t->array_stride ? t->array_stride
                               : type_bytes(m, operand(t, 2), matrix_stride, depth + 1);
        return each > UINT32_MAX ? UINT32_MAX : count * each;
    case SpvOpTypeStruct:
        if (t->word_count < 3)
            return 0;
        if (t->last_offset || t->word_count == 3)
            return t->last_offset +
                   type_bytes(m, operand(t, 2 + t->last_member), t->matrix_stride, depth + 1);
        for (uint32_t i = 2; i < t->word_count && sum <= UINT32_MAX; i++)
            sum += type_bytes(m, operand(t, i), 0, depth + 1);
        return sum;
    default:
        return 0;
    }
}

static uint32_t clamp_bytes(uint64_t v)
{
    return v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
}

/* --- the interface --- */

static int buffer_binding(struct vk_binding_info *b, const struct id *v, const struct id *type,
                          bool storage)
{
    uint32_t members = type->word_count > 2 ? type->word_count - 2u : 0;
    if (type->op != SpvOpTypeStruct)
        return fv_fail(FV_EFORMAT, "shader binding %u is an array of buffers", v->binding);
    b->type = storage ? VK_DESCRIPTOR_TYPE_STORAGE_BUFFER : VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER;
    b->writes = storage && !v->non_writable && (!members || type->non_writable_members < members);
    return 0;
}

/* samplerBuffer: OpTypeImage of Dim Buffer, sampled 1; inside an OpTypeSampledImage before
 * SPIR-V 1.6. imageBuffer: sampled 2. */
static int texel_binding(const struct module *m, struct vk_binding_info *b, const struct id *v,
                         const struct id *type)
{
    if (type->op == SpvOpTypeSampledImage)
        type = get(m, operand(type, 2));
    uint32_t sampled = type ? operand(type, 7) : 0;
    if (!type || type->op != SpvOpTypeImage || operand(type, 3) != SpvDimBuffer ||
        (sampled != 1 && sampled != 2))
        return fv_fail(FV_EFORMAT,
                       "shader binding %u is an image; only storage buffers, uniform "
                       "buffers, samplerBuffers and imageBuffers are bound",
                       v->binding);
    b->type = sampled == 1 ? VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER
                           : VK_DESCRIPTOR_TYPE_STORAGE_TEXEL_BUFFER;
    b->writes = sampled == 2 && !v->non_writable;
    return 0;
}

static int add_binding(const struct module *m, struct vk_reflection *out, const struct id *v,
                       const struct id *type)
{
    uint32_t storage = operand(v, 3);
    if (v->set)
        return fv_fail(FV_EFORMAT, "shader binding %u is in descriptor set %u; only set 0 is bound",
                       v->binding, v->set);
    if (v->binding >= VK_MAX_BINDINGS)
        return fv_fail(FV_EFORMAT, "shader binding %u; bindings are 0 to %d", v->binding,
                       VK_MAX_BINDINGS - 1);
    struct vk_binding_info *b = &out->binding[v->binding], first = *b;
    b->used = true;
    if (v->binding >= out->binding_count)
        out->binding_count = v->binding + 1;
    int rc;
    if (storage == SpvStorageClassStorageBuffer)
        rc = buffer_binding(b, v, type, true);
    else if (storage == SpvStorageClassUniform)
        rc = buffer_binding(b, v, type, type->buffer_block);
    else if (storage == SpvStorageClassUniformConstant)
        rc = texel_binding(m, b, v, type);
    else
        rc = fv_fail(FV_EFORMAT, "shader binding %u has storage class %u", v->binding, storage);
    /* two views of one buffer's contents may share a binding */
    if (!rc && first.used && first.type != b->type)
        rc = fv_fail(FV_EFORMAT, "shader binding %u is declared twice, as two kinds", v->binding);
    b->writes |= first.writes;
    return rc;
}

static int add_variable(struct module *m, struct vk_reflection *out, const struct id *v)
{
    const struct id *pointer = get(m, operand(v, 1));
    if (v->word_count < 4 || !pointer || pointer->op != SpvOpTypePointer || pointer->word_count < 4)
        return fv_fail(FV_EFORMAT, "shader variable without a pointer type");
    if (operand(v, 3) == SpvStorageClassPushConstant)
        out->push_bytes = clamp_bytes(type_bytes(m, operand(pointer, 3), 0, 0));
    if (operand(v, 3) == SpvStorageClassWorkgroup)
        out->shared_bytes =
            clamp_bytes(out->shared_bytes + type_bytes(m, operand(pointer, 3), 0, 0));
    if (!v->has_binding)
        return 0;
    const struct id *type = get(m, operand(pointer, 3));
    return type ? add_binding(m, out, v, type)
                : fv_fail(FV_EFORMAT, "shader binding %u has an unknown type", v->binding);
}

static int read_interface(struct module *m, struct vk_reflection *out)
{
    for (uint32_t i = 1; i < m->bound; i++) {
        const struct id *t = &m->ids[i];
        if (!t->words)
            continue;
        if (t->op == SpvOpVariable)
            FV_TRY(add_variable(m, out, t));
        /* gl_WorkGroupSize overrides the execution mode (before SPIR-V 1.6) */
        if (t->workgroup_size && t->word_count == 6 && !m->size_ids[0])
            memcpy(m->size_ids, t->words + 3, 12);
    }
    for (int i = 0; m->size_ids[0] && i < 3; i++)
        out->local_size[i] = constant(m, m->size_ids[i], 0);
    return m->steps > MAX_STEPS ? fv_fail(FV_EFORMAT, "SPIR-V types are nested without end") : 0;
}

int vk_spirv_reflect(struct vk_reflection *out, const uint32_t *code, size_t words,
                     const uint32_t *spec, uint32_t nspec)
{
    struct module m = {.spec = spec, .nspec = nspec};
    int rc = 0;
    *out = (struct vk_reflection){.local_size = {1, 1, 1}};
    if (words < 5 || code[0] != SpvMagicNumber)
        return fv_fail(FV_EFORMAT, "not SPIR-V");
    m.bound = code[3];
    if (!m.bound || m.bound > MAX_BOUND)
        return fv_fail(FV_EFORMAT, "SPIR-V id bound %u; at most %d are read", m.bound, MAX_BOUND);
    m.ids = calloc(m.bound, sizeof *m.ids);
    if (!m.ids)
        return fv_fail(FV_ENOMEM, "out of memory");
    for (size_t at = 5; at < words && !rc;) {
        uint32_t n = code[at] >> 16;
        if (!n || n > words - at) {
            rc = fv_fail(FV_EFORMAT, "SPIR-V instruction at word %zu runs past the end", at);
            break;
        }
        rc = read_instruction(&m, out, code + at, n);
        at += n;
    }
    if (!rc)
        rc = read_interface(&m, out);
    free(m.ids);
    return rc;
}
