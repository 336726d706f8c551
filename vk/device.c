/* Instance, choice of a physical device, features, the queue (device.h).
 *
 * Drivers this was tried with, and what they do that one would not guess:
 *  - lavapipe (Mesa 22.3): one heap of 2 GiB, one memory type that is everything at once;
 *    maxStorageBufferRange is 128 MiB; subgroup size 4, 8 or 16 by LP_NATIVE_VECTOR_WIDTH, which
 *    the driver reads when the first instance is made.
 *  - SwiftShader (Debian's chromium ships it): its manifest says api_version 1.0.5, which the
 *    loader only warns about when it is asked to; the driver itself is 1.3. No int64, no
 *    float16, no 8/16-bit storage, 65536 texels in a texel buffer, offsets to multiples of 256,
 *    256 invocations, subgroups of 4, no push descriptors, no memory budget.
 *  - Mesa's implicit device-select layer writes "XDG_RUNTIME_DIR is invalid" to standard error
 *    when that variable is unset; the line is not ours. */
#include "vk/device.h"
#include "vk/base/file.h"
#include "vk/base/log.h"
#include "vk/private.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define VALIDATION_LAYER "VK_LAYER_KHRONOS_validation"
#define NO_DEVICE                                                                                  \
    "no Vulkan device found; install a driver (on Debian: apt install mesa-vulkan-drivers), and "  \
    "check that VK_DRIVER_FILES or VK_ICD_FILENAMES, if set, names an existing file"

enum { MAX_DEVICES = 32 };

/* The feature structs in one chain: asked of a physical device, then handed back trimmed. */
struct features {
    VkPhysicalDeviceFeatures2 core;
    VkPhysicalDeviceVulkan11Features v11;
    VkPhysicalDeviceVulkan12Features v12;
    VkPhysicalDeviceVulkan13Features v13;
};

static void chain_features(struct features *f)
{
    memset(f, 0, sizeof *f);
    f->core.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
    f->core.pNext = &f->v11;
    f->v11.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES;
    f->v11.pNext = &f->v12;
    f->v12.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES;
    f->v12.pNext = &f->v13;
    f->v13.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES;
}

/* What is enabled: all of these that the device has. Only timeline semaphores and
 * synchronization2 are required. */
static void trim_features(struct features *want, const struct features *have)
{
    chain_features(want);
    want->core.features.shaderInt64 = have->core.features.shaderInt64;
    want->core.features.shaderInt16 = have->core.features.shaderInt16;
    want->v11.storageBuffer16BitAccess = have->v11.storageBuffer16BitAccess;
    want->v12.storageBuffer8BitAccess = have->v12.storageBuffer8BitAccess;
    want->v12.shaderFloat16 = have->v12.shaderFloat16;
    want->v12.shaderInt8 = have->v12.shaderInt8;
    want->v12.shaderSubgroupExtendedTypes = have->v12.shaderSubgroupExtendedTypes;
    want->v12.scalarBlockLayout = have->v12.scalarBlockLayout;
    want->v12.timelineSemaphore = have->v12.timelineSemaphore;
    want->v13.synchronization2 = have->v13.synchronization2;
    want->v13.subgroupSizeControl = have->v13.subgroupSizeControl;
    want->v13.computeFullSubgroups = have->v13.computeFullSubgroups;
    want->v13.maintenance4 = have->v13.maintenance4;
    want->v13.shaderIntegerDotProduct = have->v13.shaderIntegerDotProduct;
}

/* --- messages of the validation layer --- */

static VKAPI_ATTR VkBool32 VKAPI_CALL on_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
                                                 VkDebugUtilsMessageTypeFlagsEXT types,
                                                 const VkDebugUtilsMessengerCallbackDataEXT *data,
                                                 void *ud)
{
    struct vk_device *dev = ud;
    (void)types;
    if (severity & VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT)
        atomic_fetch_add(&dev->validation_errors, 1);
    fv_log(FV_WARN, "validation: %s", data->pMessage ? data->pMessage : "(no text)");
    return VK_FALSE;
}

static VkDebugUtilsMessengerCreateInfoEXT messenger_info(struct vk_device *dev)
{
    return (VkDebugUtilsMessengerCreateInfoEXT){
        .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
        .messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT |
                           VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT,
        .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT |
                       VK_DEBUG_UTILS_MESSAGE_TYPE_PERFORMANCE_BIT_EXT,
        .pfnUserCallback = on_message,
        .pUserData = dev,
    };
}

void vk_set_name(struct vk_device *dev, VkObjectType type, uint64_t handle, const char *name)
{
    if (dev->p->set_name)
        dev->p->set_name(dev->handle,
                         &(VkDebugUtilsObjectNameInfoEXT){
                             .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_OBJECT_NAME_INFO_EXT,
                             .objectType = type,
                             .objectHandle = handle,
                             .pObjectName = name});
}

/* --- instance --- */

static bool has_layer(const char *name)
{
    VkLayerProperties list[64];
    uint32_t n = 64;
    VkResult r = vkEnumerateInstanceLayerProperties(&n, list);
    for (uint32_t i = 0; (r == VK_SUCCESS || r == VK_INCOMPLETE) && i < n; i++)
        if (!strcmp(list[i].layerName, name))
            return true;
    return false;
}

static int instance_result(VkResult r)
{
    switch (r) {
    case VK_SUCCESS:
        return 0;
    case VK_ERROR_INCOMPATIBLE_DRIVER:
    case VK_ERROR_INITIALIZATION_FAILED:
        return fv_fail(FV_EDEVICE, NO_DEVICE);
    case VK_ERROR_EXTENSION_NOT_PRESENT:
        return fv_fail(FV_EDEVICE, "the Vulkan loader or driver lacks an instance extension that "
                                   "was asked for (a window needs VK_KHR_surface)");
    case VK_ERROR_LAYER_NOT_PRESENT:
        return fv_fail(FV_EDEVICE, "a Vulkan layer that was asked for is not installed");
    case VK_ERROR_OUT_OF_HOST_MEMORY:
        return fv_fail(FV_ENOMEM, "out of memory");
    default:
        return fv_fail(FV_EDEVICE, "vkCreateInstance failed (VkResult %d)", (int)r);
    }
}

/* dev is NULL for a mere listing; else the receiver of validation messages. */
static int create_instance(VkInstance *out, const struct vk_device_opts *opts,
                           struct vk_device *dev)
{
    const char *extensions[32];
    uint32_t count = 0, version = 0;
    if (vkEnumerateInstanceVersion(&version) != VK_SUCCESS || version < VK_API_VERSION_1_3)
        return fv_fail(FV_EDEVICE,
                       "the Vulkan loader is %u.%u and 1.3 is needed; upgrade libvulkan1",
                       VK_API_VERSION_MAJOR(version), VK_API_VERSION_MINOR(version));
    if (opts->instance_extension_count > 30)
        return fv_fail(FV_EINVALID, "more than 30 instance extensions asked for");
    for (uint32_t i = 0; i < opts->instance_extension_count; i++)
        extensions[count++] = opts->instance_extensions[i];

    VkApplicationInfo app = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                             .pApplicationName = "fovea",
                             .pEngineName = "fovea",
                             .apiVersion = VK_API_VERSION_1_3};
    VkInstanceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                 .pApplicationInfo = &app};
    VkDebugUtilsMessengerCreateInfoEXT messages;
    VkValidationFeatureEnableEXT sync = VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT;
    VkValidationFeaturesEXT features = {.sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT,
                                        .enabledValidationFeatureCount = 1,
                                        .pEnabledValidationFeatures = &sync};
    const char *layer = VALIDATION_LAYER;
    if (opts->validation) {
        if (!has_layer(layer))
            return fv_fail(FV_EDEVICE,
                           "validation was asked for but " VALIDATION_LAYER " is not "
                           "installed (on Debian: apt install vulkan-validationlayers)");
        extensions[count++] = VK_EXT_DEBUG_UTILS_EXTENSION_NAME;
        messages = messenger_info(dev);
        features.pNext = &messages;
        info.pNext = &features;
        info.enabledLayerCount = 1;
        info.ppEnabledLayerNames = &layer;
    }
    info.enabledExtensionCount = count;
    info.ppEnabledExtensionNames = extensions;
    return instance_result(vkCreateInstance(&info, NULL, out));
}

static uint32_t list_physical(VkInstance instance, VkPhysicalDevice *out)
{
    uint32_t n = MAX_DEVICES;
    VkResult r = vkEnumeratePhysicalDevices(instance, &n, out);
    return r == VK_SUCCESS || r == VK_INCOMPLETE ? n : 0;
}

/* --- capabilities --- */

static bool has_extension(VkPhysicalDevice phys, const char *name)
{
    uint32_t n = 0;
    bool found = false;
    if (vkEnumerateDeviceExtensionProperties(phys, NULL, &n, NULL) != VK_SUCCESS || !n)
        return false;
    VkExtensionProperties *list = calloc(n, sizeof *list);
    if (!list)
        return false;
    VkResult r = vkEnumerateDeviceExtensionProperties(phys, NULL, &n, list);
    for (uint32_t i = 0; (r == VK_SUCCESS || r == VK_INCOMPLETE) && i < n; i++)
        found |= !strcmp(list[i].extensionName, name);
    free(list);
    return found;
}

static VkPhysicalDeviceMemoryProperties memory_of(VkPhysicalDevice phys,
                                                  VkPhysicalDeviceMemoryBudgetPropertiesEXT *budget)
{
    VkPhysicalDeviceMemoryProperties2 m = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2, .pNext = budget};
    if (budget)
        *budget = (VkPhysicalDeviceMemoryBudgetPropertiesEXT){
            .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT};
    vkGetPhysicalDeviceMemoryProperties2(phys, &m);
    return m.memoryProperties;
}

static void fill_memory(VkPhysicalDevice phys, struct vk_caps *c)
{
    const VkMemoryPropertyFlags all = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT |
                                      VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT |
                                      VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    bool budgeted = has_extension(phys, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
    VkPhysicalDeviceMemoryBudgetPropertiesEXT budget;
    VkPhysicalDeviceMemoryProperties m = memory_of(phys, budgeted ? &budget : NULL);
    uint32_t largest = 0;
    for (uint32_t i = 0; i < m.memoryHeapCount; i++)
        if (m.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT &&
            m.memoryHeaps[i].size > c->heap_bytes) {
            c->heap_bytes = m.memoryHeaps[i].size;
            largest = i;
        }
    c->budget_bytes = budgeted ? budget.heapBudget[largest] : c->heap_bytes;
    /* A 256 MiB window onto a card's memory (no resizable BAR) does not count: the type must
     * reach the whole of the largest heap. */
    for (uint32_t i = 0; i < m.memoryTypeCount; i++)
        if ((m.memoryTypes[i].propertyFlags & all) == all && m.memoryTypes[i].heapIndex == largest)
            c->unified = true;
}

/* Graphics and compute in one family if there is one, so that a window can use the queue. */
static bool pick_family(VkPhysicalDevice phys, uint32_t *family, uint32_t *timestamp_bits)
{
    VkQueueFamilyProperties list[32];
    uint32_t n = 32;
    vkGetPhysicalDeviceQueueFamilyProperties(phys, &n, list);
    for (int graphics = 1; graphics >= 0; graphics--)
        for (uint32_t i = 0; i < n; i++) {
            VkQueueFlags want = VK_QUEUE_COMPUTE_BIT | (graphics ? VK_QUEUE_GRAPHICS_BIT : 0);
            if (list[i].queueCount && (list[i].queueFlags & want) == want) {
                *family = i;
                *timestamp_bits = list[i].timestampValidBits;
                return true;
            }
        }
    return false;
}

struct properties {
    VkPhysicalDeviceProperties2 core;
    VkPhysicalDeviceVulkan11Properties v11;
    VkPhysicalDeviceVulkan12Properties v12;
    VkPhysicalDeviceVulkan13Properties v13;
};

static void get_properties(VkPhysicalDevice phys, struct properties *p)
{
    memset(p, 0, sizeof *p);
    p->core.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2;
    vkGetPhysicalDeviceProperties(phys, &p->core.properties);
    if (p->core.properties.apiVersion < VK_API_VERSION_1_3)
        return; /* the newer structs may not be known to the driver */
    p->core.pNext = &p->v11;
    p->v11.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_PROPERTIES;
    p->v11.pNext = &p->v12;
    p->v12.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_PROPERTIES;
    p->v12.pNext = &p->v13;
    p->v13.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_PROPERTIES;
    vkGetPhysicalDeviceProperties2(phys, &p->core);
}

static void fill_limits(const struct properties *p, struct vk_caps *c)
{
    const VkPhysicalDeviceLimits *l = &p->core.properties.limits;
    c->subgroup_size = p->v11.subgroupSize;
    c->subgroup_ops = p->v11.subgroupSupportedStages & VK_SHADER_STAGE_COMPUTE_BIT
                          ? p->v11.subgroupSupportedOperations
                          : 0;
    c->max_invocations = l->maxComputeWorkGroupInvocations;
    memcpy(c->max_group_size, l->maxComputeWorkGroupSize, sizeof c->max_group_size);
    memcpy(c->max_group_count, l->maxComputeWorkGroupCount, sizeof c->max_group_count);
    c->shared_bytes = l->maxComputeSharedMemorySize;
    c->max_storage_range = l->maxStorageBufferRange;
    c->max_allocation = p->v11.maxMemoryAllocationSize;
    c->max_buffer = p->v13.maxBufferSize;
    c->max_texel_elements = l->maxTexelBufferElements;
    c->max_push_bytes = l->maxPushConstantsSize;
    c->storage_align = l->minStorageBufferOffsetAlignment;
    c->texel_align = l->minTexelBufferOffsetAlignment;
    c->atom_size = l->nonCoherentAtomSize;
    c->timestamp_ns = l->timestampPeriod;
}

static void fill_features(const struct properties *p, const struct features *f, struct vk_caps *c)
{
    c->f16 = f->v12.shaderFloat16;
    c->i8 = f->v12.shaderInt8;
    c->dot8 = f->v13.shaderIntegerDotProduct;
    c->i16 = f->core.features.shaderInt16;
    c->i64 = f->core.features.shaderInt64;
    c->storage8 = f->v12.storageBuffer8BitAccess;
    c->storage16 = f->v11.storageBuffer16BitAccess;
    c->subgroup_control = f->v13.subgroupSizeControl &&
                          p->v13.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT;
    c->subgroup_min = c->subgroup_control ? p->v13.minSubgroupSize : c->subgroup_size;
    c->subgroup_max = c->subgroup_control ? p->v13.maxSubgroupSize : c->subgroup_size;
}

static void fill_caps(VkPhysicalDevice phys, struct vk_caps *c, struct features *have,
                      struct properties *p)
{
    memset(c, 0, sizeof *c);
    chain_features(have);
    get_properties(phys, p);
    const VkPhysicalDeviceProperties *core = &p->core.properties;
    snprintf(c->name, sizeof c->name, "%s", core->deviceName);
    c->type = core->deviceType;
    c->is_cpu = core->deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU;
    c->vendor_id = core->vendorID;
    c->device_id = core->deviceID;
    c->api_version = core->apiVersion;
    c->driver_version = core->driverVersion;
    memcpy(c->cache_uuid, core->pipelineCacheUUID, VK_UUID_SIZE);
    if (core->apiVersion < VK_API_VERSION_1_3)
        return;
    snprintf(c->driver, sizeof c->driver, "%s%s%s", p->v12.driverName,
             *p->v12.driverInfo ? " " : "", p->v12.driverInfo);
    vkGetPhysicalDeviceFeatures2(phys, &have->core);
    fill_limits(p, c);
    fill_features(p, have, c);
    fill_memory(phys, c);
    uint32_t family, bits;
    c->timestamps = pick_family(phys, &family, &bits) && bits && c->timestamp_ns > 0;
}

/* --- choice --- */

struct candidate {
    VkPhysicalDevice phys;
    struct vk_caps caps;
    struct features have;
    struct properties props;
};

/* Stores what the device lacks; 0 if it will do. */
static int suitable(const struct candidate *d)
{
    uint32_t family, bits;
    if (d->caps.api_version < VK_API_VERSION_1_3)
        return fv_fail(FV_EDEVICE,
                       "%s offers Vulkan %u.%u and 1.3 is needed; update its driver or choose "
                       "another device (\"cpu\" for a software one)",
                       d->caps.name, VK_API_VERSION_MAJOR(d->caps.api_version),
                       VK_API_VERSION_MINOR(d->caps.api_version));
    const char *lacks = !d->have.v12.timelineSemaphore          ? "timelineSemaphore"
                        : !d->have.v13.synchronization2         ? "synchronization2"
                        : !pick_family(d->phys, &family, &bits) ? "a compute queue"
                                                                : NULL;
    if (lacks)
        return fv_fail(FV_EDEVICE, "%s lacks %s; update its driver or choose another device",
                       d->caps.name, lacks);
    return 0;
}

static int rank(VkPhysicalDeviceType t)
{
    switch (t) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
        return 4;
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
        return 3;
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
        return 2;
    case VK_PHYSICAL_DEVICE_TYPE_CPU:
        return 1;
    default:
        return 0;
    }
}

static bool contains(const char *text, const char *part)
{
    size_t n = strlen(part);
    for (; *text; text++)
        if (!strncasecmp(text, part, n))
            return true;
    return false;
}

/* The index chosen, or -1. Among several that match, the best that is suitable. */
static int match(const struct candidate *list, uint32_t count, const char *select)
{
    int best = -1, best_rank = -1;
    bool cpu = !strcasecmp(select, "cpu");
    size_t digits = strspn(select, "0123456789");
    if (digits && digits < 4 && !select[digits] && (uint32_t)atoi(select) < count)
        return atoi(select);
    for (uint32_t i = 0; i < count; i++) {
        if (cpu ? !list[i].caps.is_cpu : !contains(list[i].caps.name, select))
            continue;
        int r = rank(list[i].caps.type) + (suitable(&list[i]) ? 0 : 10);
        if (r > best_rank) {
            best = (int)i;
            best_rank = r;
        }
    }
    return best;
}

static int choose(const struct candidate **out, const struct candidate *list, uint32_t count,
                  const char *select)
{
    char names[768] = "";
    if (!count)
        return fv_fail(FV_EDEVICE, NO_DEVICE);
    int i = match(list, count, select ? select : "");
    for (uint32_t k = 0; k < count; k++) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%u: %s", k ? ", " : "", k,
                 list[k].caps.name);
    }
    if (i < 0)
        return fv_fail(FV_EDEVICE, "no device matches \"%.64s\"; available: %s", select, names);
    *out = &list[i];
    return suitable(&list[i]);
}

static struct candidate *candidates(VkInstance instance, uint32_t *count)
{
    VkPhysicalDevice phys[MAX_DEVICES];
    *count = list_physical(instance, phys);
    struct candidate *list = calloc(*count + 1, sizeof *list);
    for (uint32_t i = 0; list && i < *count; i++) {
        list[i].phys = phys[i];
        fill_caps(phys[i], &list[i].caps, &list[i].have, &list[i].props);
    }
    return list;
}

int vk_device_list(struct vk_caps *out, size_t room, size_t *count)
{
    VkInstance instance = NULL;
    struct candidate *list;
    uint32_t n = 0;
    *count = 0;
    int rc = create_instance(&instance, &(struct vk_device_opts){0}, NULL);
    if (rc == FV_EDEVICE)
        return 0;
    FV_TRY(rc);
    list = candidates(instance, &n);
    for (uint32_t i = 0; list && i < n && i < room; i++)
        out[i] = list[i].caps;
    *count = n;
    rc = list ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    free(list);
    vkDestroyInstance(instance, NULL);
    return rc;
}

/* --- creation --- */

static int create_handle(struct vk_device *dev, const struct candidate *c,
                         const struct vk_device_opts *opts)
{
    const char *extensions[2];
    uint32_t count = 0, bits = 0;
    float priority = 1;
    struct features want;
    trim_features(&want, &c->have);
    pick_family(c->phys, &dev->queue_family, &bits);
    if (dev->p->has_budget)
        extensions[count++] = VK_EXT_MEMORY_BUDGET_EXTENSION_NAME;
    if (opts->swapchain) {
        if (!has_extension(c->phys, VK_KHR_SWAPCHAIN_EXTENSION_NAME))
            return fv_fail(FV_EDEVICE,
                           "%s cannot show windows (no VK_KHR_swapchain); choose another "
                           "device",
                           c->caps.name);
        extensions[count++] = VK_KHR_SWAPCHAIN_EXTENSION_NAME;
    }
    VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                     .queueFamilyIndex = dev->queue_family,
                                     .queueCount = 1,
                                     .pQueuePriorities = &priority};
    VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                               .pNext = &want.core,
                               .queueCreateInfoCount = 1,
                               .pQueueCreateInfos = &queue,
                               .enabledExtensionCount = count,
                               .ppEnabledExtensionNames = extensions};
    VK_TRY(dev, vkCreateDevice(c->phys, &info, NULL, &dev->handle));
    vkGetDeviceQueue(dev->handle, dev->queue_family, 0, &dev->queue);
    dev->p->timestamp_mask = bits >= 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
    return 0;
}

static int open_device(struct vk_device *dev, const struct vk_device_opts *opts)
{
    const struct candidate *chosen = NULL;
    uint32_t count;
    struct candidate *list = candidates(dev->instance, &count);
    int rc = 0;
    if (!list)
        return fv_fail(FV_ENOMEM, "out of memory");
    FV_GOTO(choose(&chosen, list, count, opts->select));
    dev->phys = chosen->phys;
    dev->caps = chosen->caps;
    dev->p->has_budget = has_extension(dev->phys, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
    dev->p->memory = memory_of(dev->phys, NULL);
    dev->p->full_subgroups = chosen->have.v13.computeFullSubgroups;
    dev->p->max_subgroups = chosen->props.v13.maxComputeWorkgroupSubgroups;
    dev->p->uniform_align = chosen->props.core.properties.limits.minUniformBufferOffsetAlignment;
    dev->p->max_uniform_range = chosen->props.core.properties.limits.maxUniformBufferRange;
    FV_GOTO(create_handle(dev, chosen, opts));
done:
    free(list);
    return rc;
}

static int start_messages(struct vk_device *dev)
{
    PFN_vkCreateDebugUtilsMessengerEXT create =
        (PFN_vkCreateDebugUtilsMessengerEXT)(void *)vkGetInstanceProcAddr(
            dev->instance, "vkCreateDebugUtilsMessengerEXT");
    dev->p->set_name = (PFN_vkSetDebugUtilsObjectNameEXT)(void *)vkGetInstanceProcAddr(
        dev->instance, "vkSetDebugUtilsObjectNameEXT");
    VkDebugUtilsMessengerCreateInfoEXT info = messenger_info(dev);
    if (!create)
        return fv_fail(FV_EDEVICE, "the validation layer has no VK_EXT_debug_utils");
    return vk_check(dev, create(dev->instance, &info, NULL, &dev->p->messenger),
                    "vkCreateDebugUtilsMessengerEXT");
}

static void stop_messages(struct vk_device *dev)
{
    PFN_vkDestroyDebugUtilsMessengerEXT destroy =
        (PFN_vkDestroyDebugUtilsMessengerEXT)(void *)vkGetInstanceProcAddr(
            dev->instance, "vkDestroyDebugUtilsMessengerEXT");
    if (dev->p->messenger && destroy)
        destroy(dev->instance, dev->p->messenger, NULL);
}

static int copy_text(char **out, const char *text)
{
    *out = text && *text ? strdup(text) : NULL;
    return text && *text && !*out ? fv_fail(FV_ENOMEM, "out of memory") : 0;
}

int vk_device_create(struct vk_device **out, const struct vk_device_opts *opts)
{
    static const struct vk_device_opts defaults;
    int rc = 0;
    *out = NULL;
    opts = opts ? opts : &defaults;
#ifndef FOVEA_HOT_RELOAD
    if (opts->shader_dir)
        return fv_fail(FV_EUNSUPPORTED, "shader reload is not in this build; configure with "
                                        "-DFOVEA_HOT_RELOAD=ON");
#else
    if (opts->shader_dir && !fv_is_dir(opts->shader_dir))
        return fv_fail(FV_EIO, "%s: no such folder of shaders", opts->shader_dir);
#endif
    struct vk_device *dev = calloc(1, sizeof *dev);
    if (!dev || !(dev->p = calloc(1, sizeof *dev->p))) {
        free(dev);
        return fv_fail(FV_ENOMEM, "out of memory");
    }
    pthread_mutex_init(&dev->p->queue_lock, NULL);
    FV_GOTO(copy_text(&dev->p->cache_dir, opts->cache_dir));
    FV_GOTO(copy_text(&dev->p->shader_dir, opts->shader_dir));
    FV_GOTO(create_instance(&dev->instance, opts, dev));
    if (opts->validation)
        FV_GOTO(start_messages(dev));
    FV_GOTO(open_device(dev, opts));
    FV_GOTO(vk_queue_create(dev));
    FV_GOTO(vk_mem_create(dev));
    FV_GOTO(vk_pipes_create(dev));
    FV_GOTO(vk_xfer_create(dev));
done:
    if (rc < 0)
        vk_device_destroy(&dev);
    *out = dev;
    return rc;
}

void vk_device_destroy(struct vk_device **out)
{
    struct vk_device *dev = *out;
    if (!dev)
        return;
    *out = NULL;
    if (dev->handle) {
        vkDeviceWaitIdle(dev->handle);
        vk_xfer_destroy(dev);
        vk_pipes_destroy(dev);
        vk_mem_destroy(dev);
        vk_queue_destroy(dev);
        vkDestroyDevice(dev->handle, NULL);
    }
    if (dev->instance) {
        stop_messages(dev);
        vkDestroyInstance(dev->instance, NULL);
    }
    pthread_mutex_destroy(&dev->p->queue_lock);
    free(dev->p->cache_dir);
    free(dev->p->shader_dir);
    free(dev->p);
    free(dev);
}

/* --- results --- */

int vk_alive(const struct vk_device *dev)
{
    if (!atomic_load(&dev->failed))
        return 0;
    return fv_fail(FV_EDEVICE,
                   "device lost: %s stopped working; start the program again, and if it "
                   "recurs use a smaller size or another device",
                   dev->caps.name);
}

uint64_t vk_heap_budget(const struct vk_device *dev, uint32_t heap)
{
    VkPhysicalDeviceMemoryBudgetPropertiesEXT budget;
    VkPhysicalDeviceMemoryProperties m = memory_of(dev->phys, dev->p->has_budget ? &budget : NULL);
    if (heap >= m.memoryHeapCount)
        return 0;
    if (!dev->p->has_budget)
        return m.memoryHeaps[heap].size;
    uint64_t total = budget.heapBudget[heap], used = budget.heapUsage[heap];
    return total > used ? total - used : 0;
}

static const char *result_name(VkResult r)
{
    switch (r) {
    case VK_ERROR_INITIALIZATION_FAILED:
        return "initialisation failed";
    case VK_ERROR_EXTENSION_NOT_PRESENT:
        return "extension not present";
    case VK_ERROR_FEATURE_NOT_PRESENT:
        return "feature not present";
    case VK_ERROR_TOO_MANY_OBJECTS:
        return "too many objects";
    case VK_ERROR_FORMAT_NOT_SUPPORTED:
        return "format not supported";
    case VK_ERROR_MEMORY_MAP_FAILED:
        return "memory could not be mapped";
    case VK_ERROR_SURFACE_LOST_KHR:
        return "the window is gone";
    case VK_ERROR_OUT_OF_DATE_KHR:
        return "the window has changed";
    default:
        return "unexpected result";
    }
}

int vk_check(struct vk_device *dev, VkResult r, const char *call)
{
    int n = (int)strcspn(call, "("); /* VK_TRY hands over the whole expression */
    if (r >= 0)
        return 0;
    if (r == VK_ERROR_DEVICE_LOST) {
        atomic_store(&dev->failed, 1);
        return vk_alive(dev);
    }
    if (r == VK_ERROR_OUT_OF_HOST_MEMORY)
        return fv_fail(FV_ENOMEM, "%.*s: out of memory", n, call);
    if (r == VK_ERROR_OUT_OF_DEVICE_MEMORY || r == VK_ERROR_OUT_OF_POOL_MEMORY ||
        r == VK_ERROR_FRAGMENTED_POOL)
        return fv_fail(FV_EGPUMEM, "%.*s: out of device memory", n, call);
    return fv_fail(FV_EDEVICE, "%.*s: %s (VkResult %d)", n, call, result_name(r), (int)r);
}
