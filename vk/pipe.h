/* Compute pipelines by shader name and specialisation constants, made once, kept by the
 * device, cached on disk. Layouts come from reflecting the SPIR-V (vk/spirv.h): set 0 only,
 * bindings 0..n-1 that are buffers or texel buffers, uniform or storage. */
#ifndef VK_PIPE_H
#define VK_PIPE_H

#include "vk/device.h"
#include "vk/spirv.h"

struct vk_pipe {
    VkPipeline handle;
    VkPipelineLayout layout;
    VkDescriptorSetLayout set_layout;
    struct vk_reflection info;
    const char *name;
};

/* From now on at most so many are kept: for one more the one goes that was asked for the longest ago and is in no
 * recording; asked for again, it is made again. 0, as at the beginning: all are kept. Where drivers are compilers a
 * pipeline is megabytes, and a program that runs for hours may come by hundreds. */
void vk_pipe_keep(struct vk_device *dev, uint32_t most);

/* spec[i] is the value of constant_id i (nspec may be 0). subgroup: size to require, 0 = the
 * device's default; full subgroups are required whenever the shader uses them.
 * *out is borrowed; valid until the device is destroyed (hot reload swaps its insides), or with vk_pipe_keep for one
 * dispatch.
 * Returns 0, FV_EINVALID (no such shader), FV_EDEVICE. Thread-safe. */
int vk_pipe_get(const struct vk_pipe **out, struct vk_device *dev, const char *name,
                const uint32_t *spec, uint32_t nspec, uint32_t subgroup);

#endif
