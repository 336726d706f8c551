/* Devices: instance, choice of a physical device, its capabilities, the one queue.
 *
 *     struct vk_device *dev;
 *     FV_TRY(vk_device_create(&dev, &(struct vk_device_opts){.select = "cpu"}));
 *     ...
 *     vk_device_destroy(&dev);
 */
#ifndef VK_DEVICE_H
#define VK_DEVICE_H

#include "vk/base/err.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vulkan/vulkan.h>

struct vk_caps {
    char name[VK_MAX_PHYSICAL_DEVICE_NAME_SIZE];
    char driver[VK_MAX_DRIVER_NAME_SIZE + VK_MAX_DRIVER_INFO_SIZE + 4]; /* "llvmpipe Mesa 22.3.6" */
    VkPhysicalDeviceType type;
    uint32_t vendor_id, device_id, api_version, driver_version;
    uint8_t cache_uuid[VK_UUID_SIZE];
    uint32_t subgroup_size;              /* what kernels get unless another is required */
    uint32_t subgroup_min, subgroup_max; /* equal when it cannot be required */
    bool subgroup_control;               /* a size can be required for compute */
    VkSubgroupFeatureFlags subgroup_ops; /* in compute */
    uint32_t max_invocations, max_group_size[3], max_group_count[3], shared_bytes;
    uint64_t max_storage_range, max_allocation, max_buffer, heap_bytes, budget_bytes;
    uint32_t max_texel_elements, max_push_bytes;
    uint64_t storage_align, texel_align, atom_size;
    bool f16, i8, i16, i64, storage8, storage16; /* usable (and enabled) */
    bool dot8; /* products of four bytes a word (SPV_KHR_integer_dot_product), fast or not */
    bool unified;                                /* device memory that the host can map, coherent */
    bool timestamps;
    double timestamp_ns; /* per tick */
    bool is_cpu; /* a software driver: few wide lanes, no dispatch parallelism to speak of */
};

struct vk_device_opts {
    const char *select;     /* NULL/"" = best; index, part of the name, or "cpu" */
    bool validation;        /* Khronos layer with synchronisation validation; error if absent */
    const char *cache_dir;  /* pipeline cache; NULL = none */
    const char *shader_dir; /* hot reload from here (builds with it); NULL = embedded only */
    const char *const *instance_extensions; /* a window's */
    uint32_t instance_extension_count;
    bool swapchain; /* enable VK_KHR_swapchain */
};

struct vk_device {
    VkInstance instance;
    VkPhysicalDevice phys;
    VkDevice handle;
    VkQueue queue; /* graphics+compute where there is one, else compute */
    uint32_t queue_family;
    struct vk_caps caps;
    atomic_int failed;             /* device lost: later calls return FV_EDEVICE at once */
    atomic_uint validation_errors; /* messages of the layer; tests want 0 */
    atomic_uint kernel_choice;     /* of vk/nn/tune.c; 0 = none */
    struct vk_device_private *p;
};

/* Fills up to room entries; *count is the number of devices. Works with no device (count 0). */
int vk_device_list(struct vk_caps *out, size_t room, size_t *count);
/* Returns 0 or FV_EDEVICE (none, unknown name, Vulkan 1.3 or a needed feature missing: the text
 * says which and what to do), FV_ENOMEM. */
int vk_device_create(struct vk_device **out, const struct vk_device_opts *opts);
/* Waits for the device, writes the pipeline cache, frees. All buffers, commands and pipelines
 * of the device must be gone (pipelines are the device's own). */
void vk_device_destroy(struct vk_device **dev);

/* Turns a VkResult into a code and a sentence naming the call; marks the device on loss. */
int vk_check(struct vk_device *dev, VkResult r, const char *call);
#define VK_TRY(dev, x) FV_TRY(vk_check(dev, (x), #x))

#endif
