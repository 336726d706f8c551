/* The table of pipelines and the cache on disk (pipe.h): what vkGetPipelineCacheData gave, as a file
 * of the device (disk.h). One that is damaged or another driver's is ignored and replaced. */
#include "vk/pipe.h"
#include "vk/base/file.h"
#include "vk/base/log.h"
#include "vk/base/thread.h"
#include "vk/disk.h"
#include "vk/pipe_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- cache file --- */

static const char cache_kind[] = "pipeline";

/* Whether the driver's data begin with a header of this device; drivers are only asked to check
 * that themselves. */
static bool is_of(const struct vk_device *dev, const uint8_t *data, size_t size)
{
    struct fv_cursor c = fv_cursor_over(data, size);
    uint32_t length = fv_get_u32(&c), version = fv_get_u32(&c);
    uint32_t vendor = fv_get_u32(&c), device = fv_get_u32(&c);
    const uint8_t *uuid = fv_get_bytes(&c, VK_UUID_SIZE);
    return !c.failed && length >= 32 && version == VK_PIPELINE_CACHE_HEADER_VERSION_ONE &&
           vendor == dev->caps.vendor_id && device == dev->caps.device_id &&
           !memcmp(uuid, dev->caps.cache_uuid, VK_UUID_SIZE);
}

static int create_cache(struct vk_device *dev, struct vk_pipes *t)
{
    VkPipelineCacheCreateInfo info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO};
    int found = vk_disk_read(dev, cache_kind, &t->loaded, &t->loaded_size);
    FV_TRY(found);
    if (found && is_of(dev, t->loaded, t->loaded_size)) {
        info.pInitialData = t->loaded;
        info.initialDataSize = t->loaded_size;
    } else if (found) {
        vk_disk_refuse(dev, cache_kind);
        t->loaded_size = 0;
    }
    VkResult r = vkCreatePipelineCache(dev->handle, &info, NULL, &t->cache);
    if (r < 0 && info.pInitialData) { /* the driver did not like it: start empty */
        info.pInitialData = NULL;
        info.initialDataSize = 0;
        r = vkCreatePipelineCache(dev->handle, &info, NULL, &t->cache);
    }
    return vk_check(dev, r, "vkCreatePipelineCache");
}

static void save_cache(struct vk_device *dev, struct vk_pipes *t)
{
    size_t size = 0;
    if (!dev->p->cache_dir || !t->cache || atomic_load(&dev->failed) ||
        vkGetPipelineCacheData(dev->handle, t->cache, &size, NULL) < 0 || !size)
        return;
    uint8_t *data = calloc(1, size);
    if (data && vkGetPipelineCacheData(dev->handle, t->cache, &size, data) == VK_SUCCESS &&
        (size != t->loaded_size || memcmp(data, t->loaded, size)))
        vk_disk_write(dev, cache_kind, data, size);
    free(data);
}

/* --- making one --- */

static int check_limits(const struct vk_device *dev, const struct vk_pipe *p)
{
    const struct vk_caps *c = &dev->caps;
    uint64_t total = 1;
    for (int i = 0; i < 3; i++) {
        uint32_t n = p->info.local_size[i];
        if (!n || n > c->max_group_size[i])
            return fv_fail(FV_EDEVICE,
                           "shader \"%s\": local size %u in dimension %d; %s allows 1 to %u "
                           "(maxComputeWorkGroupSize)",
                           p->name, n, i, c->name, c->max_group_size[i]);
        total *= n;
    }
    if (total > c->max_invocations)
        return fv_fail(FV_EDEVICE,
                       "shader \"%s\": %llu invocations a workgroup; %s allows %u "
                       "(maxComputeWorkGroupInvocations)",
                       p->name, (unsigned long long)total, c->name, c->max_invocations);
    if (p->info.push_bytes > c->max_push_bytes)
        return fv_fail(FV_EDEVICE,
                       "shader \"%s\": %u bytes of push constants; %s allows %u "
                       "(maxPushConstantsSize)",
                       p->name, p->info.push_bytes, c->name, c->max_push_bytes);
    if (p->info.shared_bytes > c->shared_bytes)
        return fv_fail(FV_EDEVICE,
                       "shader \"%s\": %u bytes of shared memory; %s allows %u "
                       "(maxComputeSharedMemorySize)",
                       p->name, p->info.shared_bytes, c->name, c->shared_bytes);
    return 0;
}

/* The size to require explicitly; 0 = none, the only size there is comes by itself.
 * SPIR-V 1.6 lets the driver vary the size by shader (Intel: 8, 16 or 32), so where there is a
 * choice shaders that use subgroups always get an explicit one. */
static int subgroup_to_require(uint32_t *out, const struct vk_device *dev, const struct vk_pipe *p,
                               uint32_t asked)
{
    const struct vk_caps *c = &dev->caps;
    uint64_t total =
        (uint64_t)p->info.local_size[0] * p->info.local_size[1] * p->info.local_size[2];
    bool choice = c->subgroup_control && c->subgroup_min != c->subgroup_max;
    *out = 0;
    if (asked && asked != c->subgroup_size &&
        (!choice || asked & (asked - 1) || asked < c->subgroup_min || asked > c->subgroup_max))
        return fv_fail(FV_EDEVICE, "shader \"%s\" wants subgroups of %u; %s has %u to %u", p->name,
                       asked, c->name, c->subgroup_min, c->subgroup_max);
    if (!choice || (!asked && !p->info.uses_subgroups))
        return 0;
    *out = asked ? asked : c->subgroup_size;
    if (total > (uint64_t)*out * dev->p->max_subgroups)
        return fv_fail(FV_EDEVICE,
                       "shader \"%s\": %llu invocations are more than %u subgroups of %u "
                       "(maxComputeWorkgroupSubgroups of %s)",
                       p->name, (unsigned long long)total, dev->p->max_subgroups, *out, c->name);
    return 0;
}

static int create_layouts(struct vk_device *dev, struct vk_pipe *p)
{
    VkDescriptorSetLayoutBinding bindings[VK_MAX_BINDINGS];
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->info.binding_count; i++)
        if (p->info.binding[i].used)
            bindings[n++] =
                (VkDescriptorSetLayoutBinding){.binding = i,
                                               .descriptorType = p->info.binding[i].type,
                                               .descriptorCount = 1,
                                               .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT};
    VkDescriptorSetLayoutCreateInfo set = {.sType =
                                               VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
                                           .bindingCount = n,
                                           .pBindings = bindings};
    VK_TRY(dev, vkCreateDescriptorSetLayout(dev->handle, &set, NULL, &p->set_layout));
    VkPushConstantRange push = {.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
                                .size = (p->info.push_bytes + 3) & ~3u};
    VkPipelineLayoutCreateInfo layout = {.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                         .setLayoutCount = 1,
                                         .pSetLayouts = &p->set_layout,
                                         .pushConstantRangeCount = push.size ? 1 : 0,
                                         .pPushConstantRanges = &push};
    VK_TRY(dev, vkCreatePipelineLayout(dev->handle, &layout, NULL, &p->layout));
    return 0;
}

static int create_pipeline(struct vk_device *dev, struct vk_pipe_entry *e, VkShaderModule module)
{
    struct vk_pipe *p = &e->pipe;
    VkPipelineShaderStageRequiredSubgroupSizeCreateInfo size = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO};
    FV_TRY(subgroup_to_require(&size.requiredSubgroupSize, dev, p, e->subgroup));
    VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                  .pNext = size.requiredSubgroupSize ? &size : NULL,
                  .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                  .module = module,
                  .pName = "main"},
        .layout = p->layout};
    /* With full subgroups the x size must be a multiple of the (largest) subgroup size. */
    uint32_t multiple =
        size.requiredSubgroupSize ? size.requiredSubgroupSize : dev->caps.subgroup_max;
    if (p->info.uses_subgroups && dev->p->full_subgroups && p->info.local_size[0] % multiple == 0)
        info.stage.flags |= VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT;
    VkResult r =
        vkCreateComputePipelines(dev->handle, dev->p->pipes->cache, 1, &info, NULL, &p->handle);
    FV_TRY(vk_check(dev, r, "vkCreateComputePipelines"));
    vk_set_name(dev, VK_OBJECT_TYPE_PIPELINE, (uint64_t)p->handle, p->name);
    return 0;
}

int vk_pipe_build(struct vk_device *dev, struct vk_pipe_entry *e, const uint32_t *code,
                  size_t words)
{
    VkShaderModuleCreateInfo info = {.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO};
    VkShaderModule module = VK_NULL_HANDLE;
    struct vk_pipe *p = &e->pipe;
    uint32_t *special = NULL;
    size_t count;
    int rc = vk_spirv_reflect(&p->info, code, words, e->spec, e->nspec);
    if (rc < 0)
        return fv_wrap(rc, "shader \"%s\": ", p->name);
    FV_TRY(check_limits(dev, p));
    FV_GOTO(vk_spirv_specialise(&special, &count, code, words, e->spec, e->nspec));
    info.pCode = special;
    info.codeSize = 4 * count;
    FV_GOTO(create_layouts(dev, p));
    FV_GOTO(vk_check(dev, vkCreateShaderModule(dev->handle, &info, NULL, &module),
                     "vkCreateShaderModule"));
    rc = create_pipeline(dev, e, module);
done:
    vkDestroyShaderModule(dev->handle, module, NULL);
    free(special);
    if (rc < 0) {
        vk_pipe_clear(dev, p);
        if (!strstr(fv_error(), p->name))
            fv_wrap(rc, "shader \"%s\": ", p->name);
    }
    return rc;
}

void vk_pipe_clear(struct vk_device *dev, struct vk_pipe *p)
{
    vkDestroyPipeline(dev->handle, p->handle, NULL);
    vkDestroyPipelineLayout(dev->handle, p->layout, NULL);
    vkDestroyDescriptorSetLayout(dev->handle, p->set_layout, NULL);
    p->handle = VK_NULL_HANDLE;
    p->layout = VK_NULL_HANDLE;
    p->set_layout = VK_NULL_HANDLE;
}

/* --- the table --- */

int vk_pipes_create(struct vk_device *dev)
{
    struct vk_pipes *t = calloc(1, sizeof *t);
    if (!t)
        return fv_fail(FV_ENOMEM, "out of memory");
    pthread_mutex_init(&t->lock, NULL);
    dev->p->pipes = t;
    return create_cache(dev, t);
}

static void free_entry(struct vk_device *dev, struct vk_pipe_entry *e)
{
    vk_pipe_clear(dev, &e->pipe);
#ifdef FOVEA_HOT_RELOAD
    vk_reload_forget(e);
#endif
    free(e);
}

void vk_pipes_destroy(struct vk_device *dev)
{
    struct vk_pipes *t = dev->p->pipes;
    if (!t)
        return;
    save_cache(dev, t);
    for (struct vk_pipe_entry *e = t->entries, *next; e; e = next) {
        next = e->next;
        free_entry(dev, e);
    }
    vkDestroyPipelineCache(dev->handle, t->cache, NULL);
    free(t->loaded);
    pthread_mutex_destroy(&t->lock);
    free(t);
    dev->p->pipes = NULL;
}

void vk_pipe_release(const struct vk_pipe *p)
{
    _Static_assert(offsetof(struct vk_pipe_entry, pipe) == 0, "one is found by the other");
    struct vk_pipe_entry *e = (struct vk_pipe_entry *)(uintptr_t)p;
    atomic_fetch_sub(&e->held, 1);
}

/* Those that are too many and that nothing holds, the longest unused first. The lock is held. */
static void drop_unused(struct vk_device *dev)
{
    struct vk_pipes *t = dev->p->pipes;
    while (t->most && t->count > t->most) {
        struct vk_pipe_entry **oldest = NULL;
        for (struct vk_pipe_entry **at = &t->entries; *at; at = &(*at)->next)
            if (!atomic_load(&(*at)->held) && (!oldest || (*at)->used < (*oldest)->used))
                oldest = at;
        if (!oldest)
            return;
        struct vk_pipe_entry *e = *oldest;
        *oldest = e->next;
        t->count--;
        fv_log(FV_DEBUG, "%s: pipeline dropped", e->pipe.name);
        free_entry(dev, e);
    }
}

void vk_pipe_keep(struct vk_device *dev, uint32_t most)
{
    struct vk_pipes *t = dev->p->pipes;
    pthread_mutex_lock(&t->lock);
    t->most = most;
    drop_unused(dev);
    pthread_mutex_unlock(&t->lock);
}

static const struct vk_shader *find_shader(const char *name)
{
    for (unsigned i = 0; i < vk_shader_count; i++)
        if (!strcmp(vk_shader_table[i].name, name))
            return &vk_shader_table[i];
    return NULL;
}

static struct vk_pipe_entry *find_entry(struct vk_pipes *t, const struct vk_pipe_entry *key,
                                        const char *name)
{
    struct vk_pipe_entry *e = t->entries;
    while (e && (e->nspec != key->nspec || e->subgroup != key->subgroup ||
                 memcmp(e->spec, key->spec, sizeof e->spec) || strcmp(e->pipe.name, name)))
        e = e->next;
    return e;
}

static int build(struct vk_device *dev, struct vk_pipe_entry *e)
{
#ifdef FOVEA_HOT_RELOAD
    if (dev->p->shader_dir)
        return vk_reload_build(dev, e);
#endif
    uint32_t *code;
    FV_TRY(vk_shader_code(&code, e->shader));
    int rc = vk_pipe_build(dev, e, code, e->shader->words);
    free(code);
    return rc;
}

/* The lock is held. */
static int add_entry(struct vk_pipe_entry **out, struct vk_device *dev,
                     const struct vk_pipe_entry *key, const char *name)
{
    const struct vk_shader *shader = find_shader(name);
    if (!shader)
        return fv_fail(FV_EINVALID, "no shader named \"%.80s\"", name);
    struct vk_pipe_entry *e = calloc(1, sizeof *e);
    if (!e)
        return fv_fail(FV_ENOMEM, "out of memory");
    memcpy(e->spec, key->spec, sizeof e->spec);
    e->nspec = key->nspec;
    e->subgroup = key->subgroup;
    e->shader = shader;
    e->pipe.name = shader->name;
    double start = fv_now();
    int rc = build(dev, e);
    fv_log(FV_DEBUG, "%s: pipeline made in %.0f ms", name, 1e3 * (fv_now() - start));
    if (rc < 0) {
        free(e);
        return rc;
    }
    e->next = dev->p->pipes->entries;
    dev->p->pipes->entries = e;
    dev->p->pipes->count++;
    *out = e;
    return 0;
}

int vk_pipe_get(const struct vk_pipe **out, struct vk_device *dev, const char *name,
                const uint32_t *spec, uint32_t nspec, uint32_t subgroup)
{
    struct vk_pipe_entry key = {.nspec = nspec, .subgroup = subgroup};
    int rc = 0;
    *out = NULL;
    FV_TRY(vk_alive(dev));
    if (nspec > VK_MAX_SPEC)
        return fv_fail(FV_EINVALID, "shader \"%.80s\": %u specialisation constants; at most %d",
                       name, nspec, VK_MAX_SPEC);
    if (nspec)
        memcpy(key.spec, spec, 4 * nspec);
    pthread_mutex_lock(&dev->p->pipes->lock);
    struct vk_pipe_entry *e = find_entry(dev->p->pipes, &key, name);
    if (!e)
        rc = add_entry(&e, dev, &key, name);
    if (!rc) {
        *out = &e->pipe;
        atomic_fetch_add(&e->held, 1);
        e->used = ++dev->p->pipes->clock;
        drop_unused(dev);
    }
    pthread_mutex_unlock(&dev->p->pipes->lock);
    return rc;
}
