/* Reflection (vk/spirv.c): the embedded probes, modules assembled here for what glslc does not
 * write any more, and malformed words. */
#include "support/spirv_module.h"
#include "support/test.h"
#include "vk/shader_table.h"
#include "vk/spirv.h"

#include <spirv/unified1/spirv.h>

static const struct vk_shader *shader(const char *name)
{
    for (unsigned i = 0; i < vk_shader_count; i++)
        if (!strcmp(vk_shader_table[i].name, name))
            return &vk_shader_table[i];
    fail_msg("no shader %s", name);
    return NULL;
}

static struct vk_reflection reflect(const char *name, const uint32_t *spec, uint32_t nspec)
{
    struct vk_reflection r;
    const struct vk_shader *s = shader(name);
    uint32_t *code;
    assert_ok(vk_shader_code(&code, s));
    assert_ok(vk_spirv_reflect(&r, code, s->words, spec, nspec));
    free(code);
    return r;
}

/* --- what glslc writes --- */

static void probe_interface(void **state)
{
    struct vk_reflection r = reflect("vk/probe", (uint32_t[]){96}, 1);
    (void)state;
    assert_int_equal(r.binding_count, 2);
    assert_int_equal(r.binding[0].type, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER);
    assert_true(r.binding[0].used && !r.binding[0].writes);
    assert_true(r.binding[1].used && r.binding[1].writes);
    assert_int_equal(r.push_bytes, 8);
    assert_int_equal(r.shared_bytes, 0);
    assert_false(r.uses_subgroups);
    assert_int_equal(r.local_size[0], 96);
    assert_int_equal(r.local_size[1], 1);
    assert_int_equal(reflect("vk/probe", NULL, 0).local_size[0], 1); /* the constant's default */
}

static void texel_and_uniform_bindings(void **state)
{
    struct vk_reflection r = reflect("vk/probe_texel", NULL, 0);
    (void)state;
    assert_int_equal(r.binding_count, 3); /* the unused one is optimised away */
    assert_int_equal(r.binding[0].type, VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER);
    assert_false(r.binding[0].writes);
    assert_int_equal(r.binding[1].type, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER);
    assert_true(r.binding[1].writes);
    assert_int_equal(r.binding[2].type, VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER);
    assert_false(r.binding[2].writes);
    assert_int_equal(r.push_bytes, 0);
}

static void storage_texel_binding(void **state)
{
    struct vk_reflection r = reflect("vk/probe_image", NULL, 0);
    (void)state;
    assert_int_equal(r.binding_count, 1);
    assert_int_equal(r.binding[0].type, VK_DESCRIPTOR_TYPE_STORAGE_TEXEL_BUFFER);
    assert_true(r.binding[0].writes);
}

static void subgroups_and_shared_memory_by_constant(void **state)
{
    struct vk_reflection r = reflect("vk/probe_subgroup", (uint32_t[]){32, 100}, 2);
    (void)state;
    assert_true(r.uses_subgroups);
    assert_int_equal(r.local_size[0], 32);
    assert_int_equal(r.shared_bytes, 800); /* uint[SHARED * 2] */
}

static void every_embedded_shader_reflects(void **state)
{
    (void)state;
    for (unsigned i = 0; i < vk_shader_count; i++)
        reflect(vk_shader_table[i].name, NULL, 0);
}

/* --- assembled --- */

/* A buffer block %2 {uint[]} at binding 0, variable %3, in the given storage class. */
static void buffer(struct module *m, uint32_t storage, bool buffer_block)
{
    OP(m, SpvOpDecorate, 2, buffer_block ? SpvDecorationBufferBlock : SpvDecorationBlock);
    OP(m, SpvOpMemberDecorate, 2, 0, SpvDecorationOffset, 0);
    OP(m, SpvOpDecorate, 3, SpvDecorationDescriptorSet, 0);
    OP(m, SpvOpDecorate, 3, SpvDecorationBinding, 0);
    OP(m, SpvOpTypeInt, 1, 32, 0);
    OP(m, SpvOpTypeRuntimeArray, 4, 1);
    OP(m, SpvOpTypeStruct, 2, 4);
    OP(m, SpvOpTypePointer, 5, storage, 2);
    OP(m, SpvOpVariable, 5, 3, storage);
}

static int run(struct vk_reflection *r, const struct module *m)
{
    return vk_spirv_reflect(r, m->words, m->count, NULL, 0);
}

static void old_storage_buffers(void **state)
{
    struct module m;
    struct vk_reflection r;
    (void)state;
    begin(&m);
    buffer(&m, SpvStorageClassUniform, true);
    assert_ok(run(&r, &m));
    assert_int_equal(r.binding[0].type, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER);
    assert_true(r.binding[0].writes);
    begin(&m);
    OP(&m, SpvOpDecorate, 3, SpvDecorationNonWritable); /* on the variable, not the member */
    buffer(&m, SpvStorageClassStorageBuffer, false);
    assert_ok(run(&r, &m));
    assert_false(r.binding[0].writes);
}

static void local_size_by_composite_and_by_literal(void **state)
{
    struct module m;
    struct vk_reflection r;
    (void)state;
    begin(&m);
    OP(&m, SpvOpExecutionMode, 9, SpvExecutionModeLocalSize, 1, 2, 3);
    assert_ok(run(&r, &m));
    assert_int_equal(r.local_size[0], 1);
    assert_int_equal(r.local_size[2], 3);
    OP(&m, SpvOpDecorate, 6, SpvDecorationBuiltIn, SpvBuiltInWorkgroupSize);
    OP(&m, SpvOpDecorate, 3, SpvDecorationSpecId, 1);
    OP(&m, SpvOpTypeInt, 1, 32, 0);
    OP(&m, SpvOpTypeVector, 2, 1, 3);
    OP(&m, SpvOpSpecConstant, 1, 3, 7);
    OP(&m, SpvOpConstant, 1, 4, 5);
    OP(&m, SpvOpSpecConstantComposite, 2, 6, 3, 4, 4);
    OP(&m, SpvOpSpecConstantComposite, 2, 7, 4, 4, 4); /* some other vector */
    assert_ok(vk_spirv_reflect(&r, m.words, m.count, (uint32_t[]){0, 128}, 2));
    assert_int_equal(r.local_size[0], 128);
    assert_int_equal(r.local_size[1], 5);
}

/* struct { uint a; mat3 m (stride 16); float v[3] (stride 8); } with the offsets out of order. */
static void push_size_follows_strides(void **state)
{
    struct module m;
    struct vk_reflection r;
    (void)state;
    begin(&m);
    OP(&m, SpvOpDecorate, 6, SpvDecorationArrayStride, 8);
    OP(&m, SpvOpMemberDecorate, 7, 2, SpvDecorationOffset, 64);
    OP(&m, SpvOpMemberDecorate, 7, 1, SpvDecorationOffset, 16);
    OP(&m, SpvOpMemberDecorate, 7, 1, SpvDecorationMatrixStride, 16);
    OP(&m, SpvOpMemberDecorate, 7, 0, SpvDecorationOffset, 0);
    OP(&m, SpvOpTypeInt, 1, 32, 0);
    OP(&m, SpvOpTypeFloat, 2, 32);
    OP(&m, SpvOpTypeVector, 3, 2, 3);
    OP(&m, SpvOpTypeMatrix, 4, 3, 3);
    OP(&m, SpvOpConstant, 1, 5, 3);
    OP(&m, SpvOpTypeArray, 6, 2, 5);
    OP(&m, SpvOpTypeStruct, 7, 1, 4, 6);
    OP(&m, SpvOpTypePointer, 8, SpvStorageClassPushConstant, 7);
    OP(&m, SpvOpVariable, 8, 9, SpvStorageClassPushConstant);
    assert_ok(run(&r, &m));
    assert_int_equal(r.push_bytes, 64 + 3 * 8);
}

static void texel_buffer_in_a_sampled_image(void **state)
{
    struct module m;
    struct vk_reflection r;
    (void)state;
    begin(&m);
    OP(&m, SpvOpDecorate, 5, SpvDecorationBinding, 2);
    OP(&m, SpvOpTypeFloat, 1, 32);
    OP(&m, SpvOpTypeImage, 2, 1, SpvDimBuffer, 0, 0, 0, 1, SpvImageFormatUnknown);
    OP(&m, SpvOpTypeSampledImage, 3, 2);
    OP(&m, SpvOpTypePointer, 4, SpvStorageClassUniformConstant, 3);
    OP(&m, SpvOpVariable, 4, 5, SpvStorageClassUniformConstant);
    assert_ok(run(&r, &m));
    assert_int_equal(r.binding_count, 3);
    assert_false(r.binding[0].used);
    assert_int_equal(r.binding[2].type, VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER);
}

/* --- refused --- */

static void rejects_images(void **state)
{
    static const uint32_t kinds[][2] = {{SpvDim2D, 1}, {SpvDimBuffer, 0}};
    struct vk_reflection r;
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct module m;
        begin(&m);
        OP(&m, SpvOpDecorate, 5, SpvDecorationBinding, 2);
        OP(&m, SpvOpTypeFloat, 1, 32);
        OP(&m, SpvOpTypeImage, 2, 1, kinds[i][0], 0, 0, 0, kinds[i][1], SpvImageFormatR32f);
        OP(&m, SpvOpTypePointer, 4, SpvStorageClassUniformConstant, 2);
        OP(&m, SpvOpVariable, 4, 5, SpvStorageClassUniformConstant);
        assert_fails(run(&r, &m), FV_EFORMAT, "binding 2 is an image");
    }
}

static void rejects_other_sets_and_high_bindings(void **state)
{
    struct module m;
    struct vk_reflection r;
    (void)state;
    begin(&m);
    buffer(&m, SpvStorageClassStorageBuffer, false);
    OP(&m, SpvOpDecorate, 3, SpvDecorationDescriptorSet, 1);
    assert_fails(run(&r, &m), FV_EFORMAT, "descriptor set 1");
    begin(&m);
    buffer(&m, SpvStorageClassStorageBuffer, false);
    OP(&m, SpvOpDecorate, 3, SpvDecorationBinding, VK_MAX_BINDINGS);
    assert_fails(run(&r, &m), FV_EFORMAT, "binding 16");
}

static void buffers_may_share_a_binding(void **state)
{
    struct module m;
    struct vk_reflection r;
    (void)state;
    begin(&m);
    buffer(&m, SpvStorageClassStorageBuffer, false);
    OP(&m, SpvOpDecorate, 8, SpvDecorationBinding, 0);
    OP(&m, SpvOpVariable, 5, 8, SpvStorageClassStorageBuffer);
    assert_ok(run(&r, &m));
    assert_int_equal(r.binding_count, 1);
    assert_true(r.binding[0].writes);
}

static void rejects_two_kinds_at_one_binding(void **state)
{
    struct module m;
    struct vk_reflection r;
    (void)state;
    begin(&m);
    buffer(&m, SpvStorageClassStorageBuffer, false);
    OP(&m, SpvOpDecorate, 12, SpvDecorationBinding, 0);
    OP(&m, SpvOpTypeFloat, 8, 32);
    OP(&m, SpvOpTypeImage, 9, 8, SpvDimBuffer, 0, 0, 0, 1, SpvImageFormatUnknown);
    OP(&m, SpvOpTypePointer, 11, SpvStorageClassUniformConstant, 9);
    OP(&m, SpvOpVariable, 11, 12, SpvStorageClassUniformConstant);
    assert_fails(run(&r, &m), FV_EFORMAT, "declared twice");
}

static void rejects_arrays_of_buffers(void **state)
{
    struct module m;
    struct vk_reflection r;
    (void)state;
    begin(&m);
    OP(&m, SpvOpDecorate, 7, SpvDecorationBinding, 0);
    OP(&m, SpvOpTypeInt, 1, 32, 0);
    OP(&m, SpvOpTypeStruct, 2, 1);
    OP(&m, SpvOpConstant, 1, 3, 4);
    OP(&m, SpvOpTypeArray, 4, 2, 3);
    OP(&m, SpvOpTypePointer, 5, SpvStorageClassStorageBuffer, 4);
    OP(&m, SpvOpVariable, 5, 7, SpvStorageClassStorageBuffer);
    assert_fails(run(&r, &m), FV_EFORMAT, "array of buffers");
}

static void rejects_what_is_not_spirv(void **state)
{
    struct vk_reflection r;
    uint32_t copy[5], *code;
    (void)state;
    assert_ok(vk_shader_code(&code, shader("vk/probe")));
    assert_fails(vk_spirv_reflect(&r, code, 0, NULL, 0), FV_EFORMAT, "not SPIR-V");
    assert_fails(vk_spirv_reflect(&r, code, 4, NULL, 0), FV_EFORMAT, "not SPIR-V");
    memcpy(copy, code, sizeof copy);
    copy[0] = 0x03022307; /* the other byte order */
    assert_fails(vk_spirv_reflect(&r, copy, 5, NULL, 0), FV_EFORMAT, "not SPIR-V");
    memcpy(copy, code, sizeof copy);
    copy[3] = 0;
    assert_fails(vk_spirv_reflect(&r, copy, 5, NULL, 0), FV_EFORMAT, "bound");
    copy[3] = UINT32_MAX;
    assert_fails(vk_spirv_reflect(&r, copy, 5, NULL, 0), FV_EFORMAT, "bound");
    free(code);
}

static void rejects_broken_instructions(void **state)
{
    struct module m;
    struct vk_reflection r;
    (void)state;
    begin(&m);
    m.words[m.count++] = 0; /* no length */
    assert_fails(run(&r, &m), FV_EFORMAT, "runs past the end");
    begin(&m);
    m.words[m.count++] = 3u << 16 | SpvOpTypeInt; /* cut */
    assert_fails(run(&r, &m), FV_EFORMAT, "runs past the end");
    begin(&m);
    OP(&m, SpvOpTypeInt, 64, 32, 0); /* id = bound */
    assert_fails(run(&r, &m), FV_EFORMAT, "outside the bound");
    begin(&m);
    OP(&m, SpvOpDecorate, 3, SpvDecorationBinding, 0);
    OP(&m, SpvOpVariable, 60, 3, SpvStorageClassStorageBuffer);
    assert_fails(run(&r, &m), FV_EFORMAT, "pointer type");
}

static void types_that_contain_themselves_end(void **state)
{
    struct module m;
    struct vk_reflection r;
    (void)state;
    begin(&m);
    OP(&m, SpvOpTypeStruct, 2, 2, 2, 2, 2);
    OP(&m, SpvOpTypePointer, 5, SpvStorageClassPushConstant, 2);
    OP(&m, SpvOpVariable, 5, 3, SpvStorageClassPushConstant);
    OP(&m, SpvOpSpecConstantOp, 1, 8, SpvOpIMul, 8, 8);
    OP(&m, SpvOpTypeArray, 9, 2, 8);
    OP(&m, SpvOpTypePointer, 10, SpvStorageClassWorkgroup, 9);
    OP(&m, SpvOpVariable, 10, 11, SpvStorageClassWorkgroup);
    assert_fails(run(&r, &m), FV_EFORMAT, "without end");
}

/* Cut anywhere and with words changed at random: an error or a reflection, never a fault. The
 * copy is exactly as long as the words, so that a sanitizer sees one step too far. */
static void survives_mutations(void **state)
{
    uint64_t seed = 7;
    (void)state;
    for (unsigned i = 0; i < vk_shader_count && i < 8; i++) {
        const struct vk_shader *s = &vk_shader_table[i];
        struct vk_reflection r;
        uint32_t *code;
        assert_ok(vk_shader_code(&code, s));
        for (int round = 0; round < 3000; round++) {
            size_t n = round % 3 ? s->words : test_rand(&seed) % (s->words + 1);
            uint32_t *copy = malloc(4 * n + 1);
            memcpy(copy, code, 4 * n);
            for (int k = 0; n && k < 1 + round % 4; k++) {
                size_t at = test_rand(&seed) % n;
                copy[at] = round & 8    ? copy[at] ^ 1u << test_rand(&seed) % 32
                           : round & 16 ? test_rand(&seed) % 64
                                        : test_rand(&seed) * 2 + 1;
            }
            vk_spirv_reflect(&r, copy, n, NULL, 0);
            free(copy);
        }
        free(code);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(probe_interface),
        cmocka_unit_test(texel_and_uniform_bindings),
        cmocka_unit_test(storage_texel_binding),
        cmocka_unit_test(subgroups_and_shared_memory_by_constant),
        cmocka_unit_test(every_embedded_shader_reflects),
        cmocka_unit_test(old_storage_buffers),
        cmocka_unit_test(local_size_by_composite_and_by_literal),
        cmocka_unit_test(push_size_follows_strides),
        cmocka_unit_test(texel_buffer_in_a_sampled_image),
        cmocka_unit_test(rejects_images),
        cmocka_unit_test(rejects_other_sets_and_high_bindings),
        cmocka_unit_test(buffers_may_share_a_binding),
        cmocka_unit_test(rejects_two_kinds_at_one_binding),
        cmocka_unit_test(rejects_arrays_of_buffers),
        cmocka_unit_test(rejects_what_is_not_spirv),
        cmocka_unit_test(rejects_broken_instructions),
        cmocka_unit_test(types_that_contain_themselves_end),
        cmocka_unit_test(survives_mutations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
