/* The one queue and its timeline semaphore: ticket n is done when the semaphore has reached n.
 * Tickets are given out under the queue's lock, so they finish in order. */
#include "vk/cmd.h"
#include "vk/private.h"

int vk_queue_create(struct vk_device *dev)
{
    VkSemaphoreTypeCreateInfo type = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
                                      .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE};
    VkSemaphoreCreateInfo info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO, .pNext = &type};
    VK_TRY(dev, vkCreateSemaphore(dev->handle, &info, NULL, &dev->p->timeline));
    return 0;
}

void vk_queue_destroy(struct vk_device *dev)
{
    vkDestroySemaphore(dev->handle, dev->p->timeline, NULL);
}

static VkSemaphoreSubmitInfo semaphore(VkSemaphore s, uint64_t value, VkPipelineStageFlags2 stage)
{
    return (VkSemaphoreSubmitInfo){.sType = VK_STRUCTURE_TYPE_SEMAPHORE_SUBMIT_INFO,
                                   .semaphore = s,
                                   .value = value,
                                   .stageMask = stage};
}

int vk_queue_submit(struct vk_device *dev, VkCommandBuffer cb, const struct vk_submit_sync *sync,
                    uint64_t *ticket)
{
    struct vk_device_private *p = dev->p;
    VkSemaphoreSubmitInfo wait, signal[2];
    VkCommandBufferSubmitInfo buffer = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_SUBMIT_INFO,
                                        .commandBuffer = cb};
    VkSubmitInfo2 info = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO_2,
                          .pWaitSemaphoreInfos = &wait,
                          .commandBufferInfoCount = 1,
                          .pCommandBufferInfos = &buffer,
                          .signalSemaphoreInfoCount = 1,
                          .pSignalSemaphoreInfos = signal};
    FV_TRY(vk_alive(dev));
    if (sync && sync->wait_binary) {
        wait =
            semaphore(sync->wait_binary, 0,
                      sync->wait_stage ? sync->wait_stage : VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT);
        info.waitSemaphoreInfoCount = 1;
    }
    if (sync && sync->signal_binary)
        signal[info.signalSemaphoreInfoCount++] =
            semaphore(sync->signal_binary, 0, VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT);

    pthread_mutex_lock(&p->queue_lock);
    signal[0] = semaphore(p->timeline, p->submitted + 1, VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT);
    VkResult r = vkQueueSubmit2(dev->queue, 1, &info, VK_NULL_HANDLE);
    if (r == VK_SUCCESS)
        *ticket = ++p->submitted;
    pthread_mutex_unlock(&p->queue_lock);
    return vk_check(dev, r, "vkQueueSubmit2");
}

static void saw(struct vk_device *dev, uint64_t value)
{
    uint_fast64_t old = atomic_load(&dev->p->done);
    while (old < value && !atomic_compare_exchange_weak(&dev->p->done, &old, value))
        ;
}

static uint64_t last_ticket(struct vk_device *dev)
{
    pthread_mutex_lock(&dev->p->queue_lock);
    uint64_t last = dev->p->submitted;
    pthread_mutex_unlock(&dev->p->queue_lock);
    return last;
}

int vk_wait(struct vk_device *dev, uint64_t ticket)
{
    VkSemaphoreWaitInfo info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
                                .semaphoreCount = 1,
                                .pSemaphores = &dev->p->timeline,
                                .pValues = &ticket};
    FV_TRY(vk_alive(dev));
    if (ticket <= atomic_load(&dev->p->done))
        return 0;
    if (ticket > last_ticket(dev))
        return fv_fail(FV_EINVALID, "waiting for a ticket that was never given out");
    /* In slices, since another thread may be the one that learns of the device's loss. */
    for (;;) {
        VkResult r = vkWaitSemaphores(dev->handle, &info, UINT64_C(500000000));
        FV_TRY(vk_check(dev, r, "vkWaitSemaphores"));
        FV_TRY(vk_alive(dev));
        if (r == VK_SUCCESS)
            break;
    }
    saw(dev, ticket);
    return 0;
}

bool vk_done(struct vk_device *dev, uint64_t ticket)
{
    uint64_t value = 0;
    /* A lost device finishes nothing more: vk_wait then tells the reason. */
    if (atomic_load(&dev->failed) || ticket <= atomic_load(&dev->p->done))
        return true;
    if (vk_check(dev, vkGetSemaphoreCounterValue(dev->handle, dev->p->timeline, &value),
                 "vkGetSemaphoreCounterValue"))
        return atomic_load(&dev->failed);
    saw(dev, value);
    return value >= ticket;
}

int vk_queue_drain(struct vk_device *dev)
{
    return vk_wait(dev, last_ticket(dev));
}
