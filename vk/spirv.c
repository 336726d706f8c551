/* SPIR-V reflection (spirv.h): one pass over the words collects decorations and types, a
 * second derives the interface. Word layouts: SPIR-V specification 1.6, section 2.3 and 3. */
#include "vk/spirv.h"
#include "vk/base/err.h"

#include <spirv/unified1/spirv.h>
#include <stdlib.h>
#include <string.h>

struct id {
    uint16_t op;
    uint32_t type, storage, constant; /* meaning by op: see fill() */
    uint32_t binding, set, spec_id;
    bool has_binding, has_spec_id, non_writable, buffer_block;
    const uint32_t *words; /* of the defining instruction */
    uint32_t word_count;
    uint32_t last_member_offset, last_member_type;
    bool all_members_non_writable;
    uint32_t non_writable_members;
};

static void decorate(struct id *t, const uint32_t *w, uint32_t n)
{
    switch (w[0]) {
    case SpvDecorationBinding:
        t->binding = n > 1 ? w[1] : 0;
        t->has_binding = true;
        break;
    case SpvDecorationDescriptorSet:
        t->set = n > 1 ? w[1] : 0;
        break;
    case SpvDecorationNonWritable:
        t->non_writable = true;
        break;
    case SpvDecorationSpecId:
        t->spec_id = n > 1 ? w[1] : 0;
        t->has_spec_id = true;
        break;
    default:
        break;
    }
}

static uint32_t constant_value(const struct id *ids, uint32_t bound, uint32_t id,
                               const uint32_t *spec, uint32_t nspec)
{
    if (id >= bound || !ids[id].words)
        return 0;
    if (ids[id].has_spec_id && ids[id].spec_id < nspec)
        return spec[ids[id].spec_id];
    return ids[id].word_count > 3 ? ids[id].words[3] : 0;
}

/* Bytes of a push-constant member's type: scalars, vectors, matrices, arrays of them. */
static uint32_t type_bytes(const struct id *ids, uint32_t bound, uint32_t id, int depth)
{
    if (id >= bound || !ids[id].words || depth > 8)
        return 0;
    const uint32_t *w = ids[id].words;
    switch (ids[id].op) {
    case SpvOpTypeInt:
    case SpvOpTypeFloat:
        return w[2] / 8;
    case SpvOpTypeVector:
    case SpvOpTypeMatrix:
        return w[3] * type_bytes(ids, bound, w[2], depth + 1);
    case SpvOpTypeArray:
        return constant_value(ids, bound, w[3], NULL, 0) * type_bytes(ids, bound, w[2], depth + 1);
    case SpvOpTypeStruct:
        return ids[id].word_count > 2
                   ? ids[id].last_member_offset +
                         type_bytes(ids, bound, w[ids[id].word_count - 1], depth + 1)
                   : 0;
    default:
        return 0;
    }
}

static int add_variable(struct vk_reflection *out, const struct id *ids, uint32_t bound,
                        const struct id *v)
{
    uint32_t storage = v->words[3], pointer = v->words[1];
    if (pointer >= bound || ids[pointer].op != SpvOpTypePointer)
        return fv_fail(FV_EFORMAT, "shader variable without a pointer type");
    uint32_t type = ids[pointer].words[3];
    if (type >= bound || !ids[type].words)
        return fv_fail(FV_EFORMAT, "shader variable of unknown type");
    if (storage == SpvStorageClassPushConstant) {
        out->push_bytes = type_bytes(ids, bound, type, 0);
        return 0;
    }
    if (!v->has_binding || v->set != 0)
        return 0;
    if (v->binding >= VK_MAX_BINDINGS)
        return fv_fail(FV_EFORMAT, "shader binding %u is beyond %d", v->binding, VK_MAX_BINDINGS);
    struct vk_binding_info *b = &out->binding[v->binding];
    b->used = true;
    if (storage == SpvStorageClassStorageBuffer) {
        uint32_t members = ids[type].word_count - 2;
        b->type = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
        b->writes = !(v->non_writable || (members && ids[type].non_writable_members == members));
    } else if (storage == SpvStorageClassUniformConstant && ids[type].op == SpvOpTypeImage) {
        b->type = VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER;
    } else if (storage == SpvStorageClassUniform) {
        b->type = VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER;
    } else {
        return fv_fail(FV_EFORMAT, "shader binding %u has an unsupported kind", v->binding);
    }
    if (v->binding + 1 > out->binding_count)
        out->binding_count = v->binding + 1;
    return 0;
}

int vk_spirv_reflect(struct vk_reflection *out, const uint32_t *code, size_t words,
                     const uint32_t *spec, uint32_t nspec)
{
    *out = (struct vk_reflection){.local_size = {1, 1, 1}};
    if (words < 5 || code[0] != SpvMagicNumber || code[3] > 1u << 20)
        return fv_fail(FV_EFORMAT, "not SPIR-V");
    uint32_t bound = code[3];
    uint32_t size_ids[3] = {0};
    bool by_id = false;
    int rc = 0;
    struct id *ids = calloc(bound, sizeof *ids);
    if (!ids)
        return fv_fail(FV_ENOMEM, "out of memory");

    for (size_t at = 5; at < words;) {
        const uint32_t *w = code + at;
        uint32_t op = w[0] & 0xffff, n = w[0] >> 16;
        if (!n || n > words - at) {
            rc = fv_fail(FV_EFORMAT, "SPIR-V instruction runs past the end");
            goto done;
        }
        uint32_t result = 0;
        switch (op) {
        case SpvOpCapability:
            if (n > 1 && w[1] >= SpvCapabilityGroupNonUniform &&
                w[1] <= SpvCapabilityGroupNonUniformQuad)
                out->uses_subgroups = true;
            break;
        case SpvOpDecorate:
            if (n > 2 && w[1] < bound)
                decorate(&ids[w[1]], w + 2, n - 2);
            break;
        case SpvOpMemberDecorate:
            if (n > 3 && w[1] < bound) {
                if (w[3] == SpvDecorationNonWritable)
                    ids[w[1]].non_writable_members++;
                if (w[3] == SpvDecorationOffset && n > 4)
                    ids[w[1]].last_member_offset = w[4];
            }
            break;
        case SpvOpExecutionMode:
            if (n > 5 && w[2] == SpvExecutionModeLocalSize)
                memcpy(out->local_size, w + 3, 12);
            break;
        case SpvOpExecutionModeId:
            if (n > 5 && w[2] == SpvExecutionModeLocalSizeId) {
                memcpy(size_ids, w + 3, 12);
                by_id = true;
            }
            break;
        case SpvOpTypeInt:
        case SpvOpTypeFloat:
        case SpvOpTypeVector:
        case SpvOpTypeMatrix:
        case SpvOpTypeImage:
        case SpvOpTypeSampledImage:
        case SpvOpTypeArray:
        case SpvOpTypeRuntimeArray:
        case SpvOpTypeStruct:
        case SpvOpTypePointer:
            result = n > 1 ? w[1] : 0;
            break;
        case SpvOpConstant:
        case SpvOpSpecConstant:
        case SpvOpConstantComposite:
        case SpvOpSpecConstantComposite:
        case SpvOpVariable:
            result = n > 2 ? w[2] : 0;
            break;
        default:
            break;
        }
        if (result && result < bound && n >= 3) {
            ids[result].op = (uint16_t)op;
            ids[result].words = w;
            ids[result].word_count = n;
            if ((op == SpvOpConstantComposite || op == SpvOpSpecConstantComposite) && n == 6) {
                /* gl_WorkGroupSize, when the size is by specialisation constants */
                struct id *t = w[1] < bound ? &ids[w[1]] : NULL;
                if (!by_id && op == SpvOpSpecConstantComposite && t && t->op == SpvOpTypeVector) {
                    memcpy(size_ids, w + 3, 12);
                }
            }
        }
        at += n;
    }
    if (by_id || size_ids[0])
        for (int i = 0; i < 3; i++)
            out->local_size[i] = constant_value(ids, bound, size_ids[i], spec, nspec);
    for (uint32_t i = 0; i < bound; i++)
        if (ids[i].op == SpvOpVariable && ids[i].word_count >= 4)
            FV_GOTO(add_variable(out, ids, bound, &ids[i]));
done:
    free(ids);
    return rc;
}
