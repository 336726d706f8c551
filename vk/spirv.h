/* What a compute shader's SPIR-V says of its interface, and its specialisation. */
#ifndef VK_SPIRV_H
#define VK_SPIRV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vulkan/vulkan.h>

enum { VK_MAX_BINDINGS = 16, VK_MAX_SPEC = 16 };

struct vk_binding_info {
    VkDescriptorType type; /* STORAGE_ or UNIFORM_BUFFER, STORAGE_ or UNIFORM_TEXEL_BUFFER */
    bool used;             /* declared in the shader */
    bool writes;           /* not decorated NonWritable */
};

struct vk_reflection {
    uint32_t binding_count; /* highest binding + 1 */
    struct vk_binding_info binding[VK_MAX_BINDINGS];
    uint32_t push_bytes;
    uint32_t shared_bytes;  /* of shared variables; sizes by constants are followed */
    uint32_t local_size[3]; /* literal, or the specialised value if by constant */
    bool uses_subgroups;
};

/* spec overrides local sizes given by specialisation constants. 0 or FV_EFORMAT. */
int vk_spirv_reflect(struct vk_reflection *out, const uint32_t *code, size_t words,
                     const uint32_t *spec, uint32_t nspec);
/* A copy in which constant_id i is a plain constant of value spec[i], or of its default from nspec
 * on, and what follows from them is computed; specialisation constants that are not of 32 bits
 * stay. The caller frees *out. 0, FV_EFORMAT or FV_ENOMEM. */
int vk_spirv_specialise(uint32_t **out, size_t *out_words, const uint32_t *code, size_t words,
                        const uint32_t *spec, uint32_t nspec);

#endif
