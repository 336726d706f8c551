/* fovea devices: what Vulkan offers here, in the order --device counts. */
#include "app/cmd.h"
#include "app/text.h"
#include "vk/device.h"

#include <cjson/cJSON.h>
#include <stdio.h>

struct values {
    bool json;
};

static const struct opt opts[] = {
    {"json", 0, OPT_FLAG, offsetof(struct values, json), .help = "as JSON"}, {0}};

static const char *type_name(VkPhysicalDeviceType t)
{
    switch (t) {
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
        return "integrated GPU";
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
        return "GPU";
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
        return "virtual GPU";
    case VK_PHYSICAL_DEVICE_TYPE_CPU:
        return "CPU";
    default:
        return "other";
    }
}

static void print_device(const struct vk_caps *c, size_t i)
{
    printf("%zu  %s\n", i, c->name);
    printf("   %s, %s, Vulkan %u.%u.%u\n", type_name(c->type), c->driver,
           VK_API_VERSION_MAJOR(c->api_version), VK_API_VERSION_MINOR(c->api_version),
           VK_API_VERSION_PATCH(c->api_version));
    char heap[32], most[32], range[32];
    bytes_text(heap, c->heap_bytes);
    bytes_text(most, c->max_allocation);
    bytes_text(range, c->max_storage_range);
    printf("   memory %s, largest allocation %s, largest binding %s\n", heap, most, range);
    printf("   subgroups of %u", c->subgroup_size);
    if (c->subgroup_min != c->subgroup_max)
        printf(" (%u to %u)", c->subgroup_min, c->subgroup_max);
    printf(", %u invocations a workgroup, shared %u bytes\n", c->max_invocations, c->shared_bytes);
}

static void print_json(const struct vk_caps *caps, size_t count)
{
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; i < count; i++) {
        const struct vk_caps *c = &caps[i];
        cJSON *d = cJSON_CreateObject();
        char version[32];
        snprintf(version, sizeof version, "%u.%u.%u", VK_API_VERSION_MAJOR(c->api_version),
                 VK_API_VERSION_MINOR(c->api_version), VK_API_VERSION_PATCH(c->api_version));
        cJSON_AddNumberToObject(d, "index", (double)i);
        cJSON_AddStringToObject(d, "name", c->name);
        cJSON_AddStringToObject(d, "type", type_name(c->type));
        cJSON_AddStringToObject(d, "driver", c->driver);
        cJSON_AddStringToObject(d, "vulkan", version);
        cJSON_AddNumberToObject(d, "memory_bytes", (double)c->heap_bytes);
        cJSON_AddNumberToObject(d, "max_allocation_bytes", (double)c->max_allocation);
        cJSON_AddNumberToObject(d, "max_binding_bytes", (double)c->max_storage_range);
        cJSON_AddNumberToObject(d, "subgroup_size", c->subgroup_size);
        cJSON_AddNumberToObject(d, "max_invocations", c->max_invocations);
        cJSON_AddNumberToObject(d, "shared_bytes", c->shared_bytes);
        cJSON_AddBoolToObject(d, "f16", c->f16);
        cJSON_AddBoolToObject(d, "storage16", c->storage16);
        cJSON_AddBoolToObject(d, "timestamps", c->timestamps);
        cJSON_AddItemToArray(list, d);
    }
    print_cjson(list);
}

static int run(struct app *app, const void *values, const struct opt_args *args)
{
    const struct values *v = values;
    struct vk_caps caps[16];
    size_t count = 0;
    (void)app, (void)args;
    FV_TRY(vk_device_list(caps, 16, &count));
    if (count > 16)
        count = 16;
    if (v->json) {
        print_json(caps, count);
        return 0;
    }
    if (!count)
        return fv_fail(FV_EDEVICE, "no Vulkan device; install a driver (on Debian without a GPU: "
                                   "apt install mesa-vulkan-drivers)");
    for (size_t i = 0; i < count; i++)
        print_device(&caps[i], i);
    return 0;
}

const struct cmd cmd_devices = {
    .name = "devices",
    .summary = "list the Vulkan devices --device can choose",
    .usage = "[--json]",
    .examples = "fovea devices\tnumbers, names, memory and limits\n"
                "fovea render scene.ply -o out.mp4 --device 1\tuse the second one",
    .opts = opts,
    .size = sizeof(struct values),
    .run = run,
};
