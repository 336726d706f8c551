/* Private to vk/: what the device object carries, and functions between the room's files. */
#ifndef VK_PRIVATE_H
#define VK_PRIVATE_H

#include "vk/mem.h"
#include "vk/pipe.h"
#include "vk/shader_table.h"

#include <pthread.h>

struct vk_submit_sync;

struct vk_device_private {
    VkDebugUtilsMessengerEXT messenger; /* with validation only */
    PFN_vkSetDebugUtilsObjectNameEXT set_name;
    VkPhysicalDeviceMemoryProperties memory;
    bool full_subgroups;    /* computeFullSubgroups is enabled */
    uint32_t max_subgroups; /* maxComputeWorkgroupSubgroups */
    uint64_t timestamp_mask;
    uint64_t uniform_align, max_uniform_range;
    bool has_budget; /* VK_EXT_memory_budget */
    char *cache_dir, *shader_dir;

    pthread_mutex_t queue_lock; /* the queue, and `submitted` */
    VkSemaphore timeline;
    uint64_t submitted;        /* the last ticket given out */
    atomic_uint_fast64_t done; /* the highest ticket seen finished */

    struct vk_mem *mem;
    struct vk_pipes *pipes;
    struct vk_xfer *xfer;
};

/* 0, or FV_EDEVICE with a sentence once the device is lost. Every entry point asks. */
int vk_alive(const struct vk_device *dev);
/* A name for validation messages; does nothing without validation. */
void vk_set_name(struct vk_device *dev, VkObjectType type, uint64_t handle, const char *name);
/* Bytes of this heap the process may still expect to get; the heap's size when unknown. */
uint64_t vk_heap_budget(const struct vk_device *dev, uint32_t heap);

/* mem.c */
struct vk_view {
    VkBufferView handle;
    VkFormat format;
    uint64_t offset, range;
    struct vk_view *next;
};
struct vk_buf_private {
    struct vk_slab *slab;
    uint64_t offset, alloc_size; /* in the slab */
    uint64_t whole;              /* size of the VkBuffer: asked, rounded up to 16 */
    bool cached;                 /* the host reads it at memory speed */
    char label[48];
    pthread_mutex_t view_lock;
    struct vk_view *views;
    atomic_uint_fast64_t last_ticket; /* of the last submission that uses it */
};
int vk_mem_create(struct vk_device *dev);
void vk_mem_destroy(struct vk_device *dev);
/* Tests: the allocation after `count` more ones fails as if the device were full; < 0 = off. */
void vk_mem_test_fail_after(struct vk_device *dev, int count);
/* 0, or FV_EINVALID when [offset, offset+size) is not inside the buffer. */
int vk_buf_check(const struct vk_buf *b, uint64_t offset, uint64_t size);
/* A texel view of the range, cached with the buffer. */
int vk_buf_view(VkBufferView *out, const struct vk_buf *b, VkFormat format, uint64_t offset,
                uint64_t range);
/* Bytes of a texel; 0 for formats that are not uncompressed colour of 1..16 bytes. */
uint32_t vk_format_bytes(VkFormat format);

/* queue.c */
int vk_queue_create(struct vk_device *dev);
void vk_queue_destroy(struct vk_device *dev);
int vk_queue_submit(struct vk_device *dev, VkCommandBuffer cb, const struct vk_submit_sync *sync,
                    uint64_t *ticket);
/* Waits for all that was submitted until now. */
int vk_queue_drain(struct vk_device *dev);

/* pipe.c */
struct vk_pipes;
int vk_pipes_create(struct vk_device *dev);
void vk_pipes_destroy(struct vk_device *dev);

/* xfer.c */
int vk_xfer_create(struct vk_device *dev);
void vk_xfer_destroy(struct vk_device *dev);

#endif
