/* Slabs and buffers (mem.h).
 *
 * A slab is one VkDeviceMemory, mapped for its whole life where the host can see it. Its free
 * ranges are kept sorted by offset; the best fit among all slabs of the type is taken, and
 * neighbours merge when they are given back. A request above half a slab's usual size gets a
 * slab of exactly its own size. Empty slabs are freed at once.
 *
 * On lavapipe memory is malloc'ed address space, so an unused part of a slab costs nothing. */
#include "vk/mem.h"
#include "vk/base/log.h"
#include "vk/cmd.h"
#include "vk/private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLAB_BYTES = 64 << 20, MIN_ALIGN = 64, TEXEL_ROUND = 16 };

struct range {
    uint64_t offset, size;
};

struct vk_slab {
    VkDeviceMemory memory;
    uint32_t type;
    uint64_t size;
    unsigned char *map;
    struct range *ranges; /* free, sorted by offset, never adjacent */
    size_t range_count, range_room, live;
    struct vk_slab *next;
};

struct vk_mem {
    pthread_mutex_t lock;
    struct vk_slab *slabs;
    uint64_t reserved, used, peak;
    int fail_after; /* tests; -1 = off */
};

int vk_mem_create(struct vk_device *dev)
{
    struct vk_mem *m = calloc(1, sizeof *m);
    if (!m)
        return fv_fail(FV_ENOMEM, "out of memory");
    pthread_mutex_init(&m->lock, NULL);
    m->fail_after = -1;
    dev->p->mem = m;
    return 0;
}

static void free_slab(struct vk_device *dev, struct vk_slab *s)
{
    dev->p->mem->reserved -= s->size;
    vkFreeMemory(dev->handle, s->memory, NULL); /* unmaps too */
    free(s->ranges);
    free(s);
}

void vk_mem_destroy(struct vk_device *dev)
{
    struct vk_mem *m = dev->p->mem;
    if (!m)
        return;
    if (m->used)
        fv_log(FV_WARN, "device destroyed while %llu bytes of buffers were in use",
               (unsigned long long)m->used);
    for (struct vk_slab *s = m->slabs, *next; s; s = next) {
        next = s->next;
        free_slab(dev, s);
    }
    pthread_mutex_destroy(&m->lock);
    free(m);
    dev->p->mem = NULL;
}

void vk_mem_test_fail_after(struct vk_device *dev, int count)
{
    pthread_mutex_lock(&dev->p->mem->lock);
    dev->p->mem->fail_after = count;
    pthread_mutex_unlock(&dev->p->mem->lock);
}

void vk_mem_usage(const struct vk_device *dev, uint64_t *reserved, uint64_t *used, uint64_t *peak)
{
    struct vk_mem *m = dev->p->mem;
    pthread_mutex_lock(&m->lock);
    if (reserved)
        *reserved = m->reserved;
    if (used)
        *used = m->used;
    if (peak)
        *peak = m->peak;
    pthread_mutex_unlock(&m->lock);
}

void vk_mem_restart_peak(struct vk_device *dev)
{
    struct vk_mem *m = dev->p->mem;
    pthread_mutex_lock(&m->lock);
    m->peak = m->used;
    pthread_mutex_unlock(&m->lock);
}

/* --- ranges of a slab --- */

static uint64_t align_up(uint64_t v, uint64_t a)
{
    return (v + a - 1) & ~(a - 1);
}

/* Room for one more free range than can arise from one more live allocation, so that giving
 * back never needs memory. */
static bool reserve_ranges(struct vk_slab *s)
{
    if (s->range_room >= s->live + 3)
        return true;
    size_t room = s->range_room ? s->range_room * 2 : 16;
    struct range *r = realloc(s->ranges, room * sizeof *r);
    if (!r)
        return false;
    s->ranges = r;
    s->range_room = room;
    return true;
}

static void erase_range(struct vk_slab *s, size_t i)
{
    memmove(s->ranges + i, s->ranges + i + 1, (s->range_count - i - 1) * sizeof *s->ranges);
    s->range_count--;
}

static void insert_range(struct vk_slab *s, size_t i, struct range r)
{
    memmove(s->ranges + i + 1, s->ranges + i, (s->range_count - i) * sizeof *s->ranges);
    s->ranges[i] = r;
    s->range_count++;
}

/* Takes [at, at+size) out of free range i. */
static void take_range(struct vk_slab *s, size_t i, uint64_t at, uint64_t size)
{
    struct range before = {s->ranges[i].offset, at - s->ranges[i].offset};
    struct range after = {at + size, s->ranges[i].offset + s->ranges[i].size - at - size};
    erase_range(s, i);
    if (after.size)
        insert_range(s, i, after);
    if (before.size)
        insert_range(s, i, before);
    s->live++;
}

static void give_range(struct vk_slab *s, uint64_t offset, uint64_t size)
{
    size_t i = 0;
    while (i < s->range_count && s->ranges[i].offset < offset)
        i++;
    insert_range(s, i, (struct range){offset, size});
    if (i + 1 < s->range_count && offset + size == s->ranges[i + 1].offset) {
        s->ranges[i].size += s->ranges[i + 1].size;
        erase_range(s, i + 1);
    }
    if (i && s->ranges[i - 1].offset + s->ranges[i - 1].size == offset) {
        s->ranges[i - 1].size += s->ranges[i].size;
        erase_range(s, i);
    }
    s->live--;
}

static struct vk_slab *find_fit(struct vk_mem *m, uint32_t type, uint64_t size, uint64_t align,
                                size_t *index)
{
    struct vk_slab *best = NULL;
    uint64_t best_size = UINT64_MAX;
    for (struct vk_slab *s = m->slabs; s; s = s->next) {
        for (size_t i = 0; s->type == type && i < s->range_count; i++) {
            const struct range *r = &s->ranges[i];
            uint64_t skip = align_up(r->offset, align) - r->offset;
            if (r->size >= skip && r->size - skip >= size && r->size < best_size) {
                best = s;
                best_size = r->size;
                *index = i;
            }
        }
    }
    return best;
}

/* --- memory types --- */

static bool coherent(const struct vk_device *dev, uint32_t type)
{
    return dev->p->memory.memoryTypes[type].propertyFlags & VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
}

/* How well a type serves; negative = not at all. */
static int score(const struct vk_device *dev, uint32_t type, enum vk_buf_kind kind)
{
    const VkMemoryPropertyFlags plain =
        VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT | VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT |
        VK_MEMORY_PROPERTY_HOST_COHERENT_BIT | VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
    VkMemoryPropertyFlags f = dev->p->memory.memoryTypes[type].propertyFlags;
    bool local = f & VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
    bool visible = f & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT;
    bool cached = f & VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
    if (f & ~plain) /* protected, lazily allocated, vendors' uncached ones */
        return -1;
    switch (kind) {
    case VK_BUF_DEVICE:
    case VK_BUF_TEXELS:
        /* On a card without a whole window onto its memory the small window stays free. */
        if (dev->caps.unified)
            return 8 * local + 4 * (visible && coherent(dev, type)) + 2 * cached;
        return 8 * local + 4 * !visible;
    case VK_BUF_UPLOAD:
        return visible ? 4 * coherent(dev, type) + 2 * !cached + (local == dev->caps.unified) : -1;
    case VK_BUF_READBACK:
        return visible ? 4 * cached + 2 * coherent(dev, type) + (local == dev->caps.unified) : -1;
    }
    return -1;
}

/* The best type among bits, which loses it; -1 when none is left. Device memory never falls
 * back to the host's across the bus: that would be slower by an order of magnitude unseen. */
static int next_type(const struct vk_device *dev, uint32_t *bits, enum vk_buf_kind kind)
{
    int best = -1, best_score = -1;
    for (uint32_t i = 0; i < dev->p->memory.memoryTypeCount; i++) {
        int s = *bits & 1u << i ? score(dev, i, kind) : -1;
        if ((kind == VK_BUF_DEVICE || kind == VK_BUF_TEXELS) && s < 8)
            s = -1;
        if (s > best_score) {
            best = (int)i;
            best_score = s;
        }
    }
    if (best >= 0)
        *bits &= ~(1u << best);
    return best;
}

/* --- slabs --- */

/* SwiftShader says 1 GiB and refuses exactly that much (its own header comes on top), so stay a
 * little below what is said. */
static uint64_t largest_allocation(const struct vk_device *dev)
{
    return dev->caps.max_allocation - 65536;
}

static uint64_t usual_slab(const struct vk_device *dev, uint32_t type)
{
    uint64_t size = SLAB_BYTES;
    uint64_t heap = dev->p->memory.memoryHeaps[dev->p->memory.memoryTypes[type].heapIndex].size;
    if (size > heap / 16)
        size = align_up(heap / 16, MIN_ALIGN);
    return size > largest_allocation(dev) ? largest_allocation(dev) : size;
}

static int new_slab(struct vk_slab **out, struct vk_device *dev, uint32_t type, uint64_t size)
{
    VkMemoryAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                 .allocationSize = size,
                                 .memoryTypeIndex = type};
    void *map = NULL;
    int rc = 0;
    if (size > dev->p->memory.memoryHeaps[dev->p->memory.memoryTypes[type].heapIndex].size)
        return FV_EGPUMEM;
    struct vk_slab *s = calloc(1, sizeof *s);
    if (!s || !reserve_ranges(s)) {
        free(s);
        return fv_fail(FV_ENOMEM, "out of memory");
    }
    FV_GOTO(
        vk_check(dev, vkAllocateMemory(dev->handle, &info, NULL, &s->memory), "vkAllocateMemory"));
    if (dev->p->memory.memoryTypes[type].propertyFlags & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT)
        FV_GOTO(vk_check(dev, vkMapMemory(dev->handle, s->memory, 0, VK_WHOLE_SIZE, 0, &map),
                         "vkMapMemory"));
    s->map = map;
    s->type = type;
    s->size = size;
    s->ranges[s->range_count++] = (struct range){0, size};
    s->next = dev->p->mem->slabs;
    dev->p->mem->slabs = s;
    dev->p->mem->reserved += size;
    *out = s;
    return 0;
done:
    vkFreeMemory(dev->handle, s->memory, NULL);
    free(s->ranges);
    free(s);
    return rc;
}

static void drop_slab(struct vk_device *dev, struct vk_slab *s)
{
    struct vk_slab **link = &dev->p->mem->slabs;
    while (*link != s)
        link = &(*link)->next;
    *link = s->next;
    free_slab(dev, s);
}

/* From a slab of this type, an old one or a new one. The lock is held. */
static int allocate(struct vk_buf_private *b, struct vk_device *dev, uint32_t type, uint64_t size,
                    uint64_t align)
{
    struct vk_mem *m = dev->p->mem;
    size_t index = 0;
    if (!coherent(dev, type)) {
        /* so that flushing whole atoms touches no neighbour */
        align = align > dev->caps.atom_size ? align : dev->caps.atom_size;
        size = align_up(size, dev->caps.atom_size);
    }
    struct vk_slab *s = find_fit(m, type, size, align, &index);
    if (!s) {
        uint64_t usual = usual_slab(dev, type), want = size > usual / 2 ? size : usual;
        int rc = new_slab(&s, dev, type, want);
        if (rc == FV_EGPUMEM && want > size) /* the slab may be what is too much */
            rc = new_slab(&s, dev, type, size);
        FV_TRY(rc);
        index = 0;
    }
    if (!reserve_ranges(s))
        return fv_fail(FV_ENOMEM, "out of memory");
    uint64_t at = align_up(s->ranges[index].offset, align);
    take_range(s, index, at, size);
    b->slab = s;
    b->offset = at;
    b->alloc_size = size;
    m->used += size;
    if (m->used > m->peak)
        m->peak = m->used;
    return 0;
}

static void give_back(struct vk_device *dev, struct vk_buf_private *b)
{
    struct vk_mem *m = dev->p->mem;
    if (!b->slab)
        return;
    pthread_mutex_lock(&m->lock);
    give_range(b->slab, b->offset, b->alloc_size);
    m->used -= b->alloc_size;
    if (!b->slab->live)
        drop_slab(dev, b->slab);
    pthread_mutex_unlock(&m->lock);
    b->slab = NULL;
}

static void megabytes(char *out, size_t room, uint64_t bytes)
{
    if (bytes >= 10 << 20)
        snprintf(out, room, "%.0f MiB", (double)bytes / 1048576);
    else
        snprintf(out, room, "%.1f MiB", (double)bytes / 1048576);
}

static int out_of_memory(const struct vk_device *dev, const struct vk_buf_private *b, uint64_t size)
{
    char asked[32], used[32], heap[32], budget[64] = "";
    const VkPhysicalDeviceMemoryProperties *m = &dev->p->memory;
    uint32_t h = 0;
    for (uint32_t i = 0; i < m->memoryHeapCount; i++)
        if (m->memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT &&
            m->memoryHeaps[i].size == dev->caps.heap_bytes)
            h = i;
    megabytes(asked, sizeof asked, size);
    megabytes(used, sizeof used, dev->p->mem->used);
    megabytes(heap, sizeof heap, dev->caps.heap_bytes);
    if (dev->p->has_budget) {
        char left[32];
        megabytes(left, sizeof left, vk_heap_budget(dev, h));
        snprintf(budget, sizeof budget, " and now has %s left", left);
    }
    return fv_fail(
        FV_EGPUMEM,
        "out of device memory: %s for \"%s\" asked while %s are in use; %s has %s in all%s "
        "(close other programs, reduce the size of the work, or choose another device)",
        asked, b->label, used, dev->caps.name, heap, budget);
}

static int allocate_any(struct vk_buf_private *b, struct vk_device *dev,
                        const VkMemoryRequirements *need, enum vk_buf_kind kind)
{
    struct vk_mem *m = dev->p->mem;
    uint64_t align = need->alignment > MIN_ALIGN ? need->alignment : MIN_ALIGN;
    uint32_t bits = need->memoryTypeBits;
    int rc = FV_EGPUMEM, type;
    pthread_mutex_lock(&m->lock);
    bool injected = m->fail_after >= 0 && m->fail_after-- == 0;
    while (!injected && rc == FV_EGPUMEM && (type = next_type(dev, &bits, kind)) >= 0)
        rc = allocate(b, dev, (uint32_t)type, need->size, align);
    if (rc == FV_EGPUMEM)
        rc = out_of_memory(dev, b, need->size);
    pthread_mutex_unlock(&m->lock);
    return rc;
}

/* --- buffers --- */

uint64_t vk_buf_max_large(const struct vk_device *dev)
{
    uint64_t max = largest_allocation(dev);
    max = dev->caps.max_buffer < max ? dev->caps.max_buffer : max;
    return max & ~(uint64_t)255;
}

uint64_t vk_buf_max(const struct vk_device *dev)
{
    uint64_t max = vk_buf_max_large(dev), range = dev->caps.max_storage_range & ~(uint64_t)255;
    return range < max ? range : max;
}

static int bind_memory(struct vk_buf *b, enum vk_buf_kind kind)
{
    struct vk_device *dev = b->dev;
    VkMemoryRequirements need;
    vkGetBufferMemoryRequirements(dev->handle, b->handle, &need);
    FV_TRY(allocate_any(b->p, dev, &need, kind));
    struct vk_slab *s = b->p->slab;
    VK_TRY(dev, vkBindBufferMemory(dev->handle, b->handle, s->memory, b->p->offset));
    b->map = s->map ? s->map + b->p->offset : NULL;
    b->coherent = coherent(dev, s->type);
    b->p->cached =
        dev->p->memory.memoryTypes[s->type].propertyFlags & VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
    return 0;
}

static int create(struct vk_buf *out, struct vk_device *dev, uint64_t size, enum vk_buf_kind kind,
                  uint64_t most, const char *label)
{
    int rc = 0;
    *out = (struct vk_buf){0};
    label = label ? label : "buffer";
    FV_TRY(vk_alive(dev));
    if (!size)
        return fv_fail(FV_EINVALID, "buffer \"%s\" of size 0", label);
    if (size > most)
        return fv_fail(FV_EINVALID,
                       "buffer \"%s\" of %llu bytes is above this device's limit of %llu", label,
                       (unsigned long long)size, (unsigned long long)most);
    struct vk_buf_private *p = calloc(1, sizeof *p);
    if (!p)
        return fv_fail(FV_ENOMEM, "out of memory");
    pthread_mutex_init(&p->view_lock, NULL);
    snprintf(p->label, sizeof p->label, "%s", label);
    p->whole = align_up(size, TEXEL_ROUND); /* so that views of any texel reach the last element */
    VkBufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
        .size = p->whole,
        .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_UNIFORM_BUFFER_BIT |
                 VK_BUFFER_USAGE_UNIFORM_TEXEL_BUFFER_BIT | VK_BUFFER_USAGE_INDIRECT_BUFFER_BIT |
                 VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT |
                 (kind == VK_BUF_TEXELS ? VK_BUFFER_USAGE_STORAGE_TEXEL_BUFFER_BIT : 0u)};
    *out = (struct vk_buf){.dev = dev, .size = size, .kind = kind, .p = p};
    FV_GOTO(
        vk_check(dev, vkCreateBuffer(dev->handle, &info, NULL, &out->handle), "vkCreateBuffer"));
    vk_set_name(dev, VK_OBJECT_TYPE_BUFFER, (uint64_t)out->handle, p->label);
    FV_GOTO(bind_memory(out, kind));
done:
    if (rc < 0)
        vk_buf_destroy(out);
    return rc == FV_ENOMEM ? fv_wrap(rc, "buffer \"%s\": ", label) : rc;
}

int vk_buf_create(struct vk_buf *out, struct vk_device *dev, uint64_t size, enum vk_buf_kind kind,
                  const char *label)
{
    return create(out, dev, size, kind, vk_buf_max(dev), label);
}

int vk_buf_create_large(struct vk_buf *out, struct vk_device *dev, uint64_t size,
                        enum vk_buf_kind kind, const char *label)
{
    return create(out, dev, size, kind, vk_buf_max_large(dev), label);
}

int vk_buf_settle(const struct vk_buf *b)
{
    return b->p ? vk_wait(b->dev, atomic_load(&b->p->last_ticket)) : 0;
}

void vk_buf_destroy(struct vk_buf *b)
{
    struct vk_buf_private *p = b->p;
    if (!p) {
        *b = (struct vk_buf){0};
        return;
    }
    struct vk_device *dev = b->dev;
    uint64_t ticket = atomic_load(&p->last_ticket);
    if (ticket && !vk_done(dev, ticket))
        vk_wait(dev, ticket);
    for (struct vk_view *v = p->views, *next; v; v = next) {
        next = v->next;
        vkDestroyBufferView(dev->handle, v->handle, NULL);
        free(v);
    }
    vkDestroyBuffer(dev->handle, b->handle, NULL);
    give_back(dev, p);
    pthread_mutex_destroy(&p->view_lock);
    free(p);
    *b = (struct vk_buf){0};
}

/* --- host caches --- */

static bool mapped_range(VkMappedMemoryRange *out, const struct vk_buf *b, uint64_t offset,
                         uint64_t size)
{
    if (!b->map || b->coherent || !size)
        return false;
    uint64_t atom = b->dev->caps.atom_size, begin = b->p->offset + offset, end = begin + size;
    begin -= begin % atom;
    end = align_up(end, atom); /* the allocation is in whole atoms */
    *out = (VkMappedMemoryRange){.sType = VK_STRUCTURE_TYPE_MAPPED_MEMORY_RANGE,
                                 .memory = b->p->slab->memory,
                                 .offset = begin,
                                 .size = end - begin};
    if (end >= b->p->slab->size)
        out->size = VK_WHOLE_SIZE;
    return true;
}

int vk_buf_check(const struct vk_buf *b, uint64_t offset, uint64_t size)
{
    if (!b || !b->p)
        return fv_fail(FV_EINVALID, "no buffer");
    if (offset > b->size || size > b->size - offset)
        return fv_fail(FV_EINVALID, "range %llu+%llu is outside buffer \"%s\" of %llu bytes",
                       (unsigned long long)offset, (unsigned long long)size, b->p->label,
                       (unsigned long long)b->size);
    return 0;
}

int vk_buf_flush(const struct vk_buf *b, uint64_t offset, uint64_t size)
{
    VkMappedMemoryRange range;
    FV_TRY(vk_buf_check(b, offset, size));
    FV_TRY(vk_alive(b->dev));
    if (mapped_range(&range, b, offset, size))
        VK_TRY(b->dev, vkFlushMappedMemoryRanges(b->dev->handle, 1, &range));
    return 0;
}

int vk_buf_invalidate(const struct vk_buf *b, uint64_t offset, uint64_t size)
{
    VkMappedMemoryRange range;
    FV_TRY(vk_buf_check(b, offset, size));
    FV_TRY(vk_alive(b->dev));
    if (mapped_range(&range, b, offset, size))
        VK_TRY(b->dev, vkInvalidateMappedMemoryRanges(b->dev->handle, 1, &range));
    return 0;
}

/* --- texel views --- */

uint32_t vk_format_bytes(VkFormat f)
{
    if (f >= VK_FORMAT_R8_UNORM && f <= VK_FORMAT_R8_SRGB)
        return 1;
    if (f >= VK_FORMAT_R8G8_UNORM && f <= VK_FORMAT_R8G8_SRGB)
        return 2;
    if (f >= VK_FORMAT_R8G8B8A8_UNORM && f <= VK_FORMAT_A2B10G10R10_SINT_PACK32)
        return 4;
    if (f >= VK_FORMAT_R16_UNORM && f <= VK_FORMAT_R16_SFLOAT)
        return 2;
    if (f >= VK_FORMAT_R16G16_UNORM && f <= VK_FORMAT_R16G16_SFLOAT)
        return 4;
    if (f >= VK_FORMAT_R16G16B16A16_UNORM && f <= VK_FORMAT_R16G16B16A16_SFLOAT)
        return 8;
    if (f >= VK_FORMAT_R32_UINT && f <= VK_FORMAT_R32_SFLOAT)
        return 4;
    if (f >= VK_FORMAT_R32G32_UINT && f <= VK_FORMAT_R32G32_SFLOAT)
        return 8;
    if (f >= VK_FORMAT_R32G32B32A32_UINT && f <= VK_FORMAT_R32G32B32A32_SFLOAT)
        return 16;
    return f == VK_FORMAT_B10G11R11_UFLOAT_PACK32 || f == VK_FORMAT_E5B9G9R9_UFLOAT_PACK32 ? 4 : 0;
}

static int new_view(struct vk_view **out, const struct vk_buf *b,
                    const VkBufferViewCreateInfo *info)
{
    struct vk_device *dev = b->dev;
    VkFormatProperties props;
    vkGetPhysicalDeviceFormatProperties(dev->phys, info->format, &props);
    VkFormatFeatureFlags needed =
        VK_FORMAT_FEATURE_UNIFORM_TEXEL_BUFFER_BIT |
        (b->kind == VK_BUF_TEXELS ? VK_FORMAT_FEATURE_STORAGE_TEXEL_BUFFER_BIT : 0u);
    if ((props.bufferFeatures & needed) != needed)
        return fv_fail(FV_EUNSUPPORTED, "%s cannot use texels of VkFormat %d in a buffer",
                       dev->caps.name, (int)info->format);
    struct vk_view *v = calloc(1, sizeof *v);
    if (!v)
        return fv_fail(FV_ENOMEM, "out of memory");
    int rc = vk_check(dev, vkCreateBufferView(dev->handle, info, NULL, &v->handle),
                      "vkCreateBufferView");
    if (rc < 0) {
        free(v);
        return rc;
    }
    *v = (struct vk_view){v->handle, info->format, info->offset, info->range, b->p->views};
    b->p->views = v;
    *out = v;
    return 0;
}

int vk_buf_view(VkBufferView *out, const struct vk_buf *b, VkFormat format, uint64_t offset,
                uint64_t range)
{
    VkBufferViewCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_VIEW_CREATE_INFO,
                                   .buffer = b->handle,
                                   .format = format,
                                   .offset = offset,
                                   .range = range};
    int rc = 0;
    pthread_mutex_lock(&b->p->view_lock);
    struct vk_view *v = b->p->views;
    while (v && (v->format != format || v->offset != offset || v->range != range))
        v = v->next;
    if (!v)
        rc = new_view(&v, b, &info);
    if (!rc)
        *out = v->handle;
    pthread_mutex_unlock(&b->p->view_lock);
    return rc;
}
