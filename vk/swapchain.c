/* Acquire, draw, present (swapchain.h).
 *
 * Two command objects in turn, each with the semaphore its acquire signals: beginning one waits
 * for its last submission, so the semaphore is free again. The semaphores presents wait for
 * belong to the images: an image handed out again has left its last present.
 *
 * A picture of the window's size goes from the buffer to the window's image. Another one goes by way
 * of an image of its own size and a blit to the backdrop, which is kept: with CPU drivers a blit
 * to a large window takes longer than all panels, and is to be done once a picture.
 */
#include "vk/swapchain.h"
#include "vk/cmd.h"
#include "vk/private.h"

#include <stdlib.h>
#include <string.h>

enum { IN_FLIGHT = 2, MAX_IMAGES = 8 };
static const uint64_t acquire_ns = 100000000;

struct image {
    VkImage handle;
    VkDeviceMemory memory;
    uint32_t width, height;
};

struct target {
    VkImage image; /* the swapchain's */
    VkImageView view;
    VkFramebuffer framebuffer;
    VkSemaphore drawn;
};

struct vk_swapchain_private {
    VkSurfaceKHR surface;
    VkSurfaceFormatKHR surface_format;
    VkSwapchainKHR handle;
    struct target targets[MAX_IMAGES];
    struct vk_cmd *cmds[IN_FLIGHT];
    VkSemaphore acquired[IN_FLIGHT];
    uint64_t tickets[IN_FLIGHT];
    uint32_t slot, index;    /* of the frame between begin and end */
    VkCommandBuffer overlay; /* between overlay_begin and overlay_end */
    bool stale;              /* the surface says the swapchain should be remade */
    bool linear;             /* blits can filter */
    VkFormat pixels;         /* of the pictures given */
    struct image picture, backdrop;
    bool covered; /* backdrop holds the last picture */
};

/* --- what lasts --- */

static int choose_format(struct vk_swapchain *sc)
{
    struct vk_swapchain_private *p = sc->p;
    VkSurfaceFormatKHR list[64];
    uint32_t n = 64;
    VkResult r = vkGetPhysicalDeviceSurfaceFormatsKHR(sc->dev->phys, p->surface, &n, list);
    if (r != VK_INCOMPLETE)
        FV_TRY(vk_check(sc->dev, r, "vkGetPhysicalDeviceSurfaceFormatsKHR"));
    if (!n)
        return fv_fail(FV_EDEVICE, "the window's surface offers no pixel format");
    /* Pictures are display-referred already: a format without sRGB conversion. */
    const VkFormat wanted[] = {VK_FORMAT_B8G8R8A8_UNORM, VK_FORMAT_R8G8B8A8_UNORM,
                               VK_FORMAT_A8B8G8R8_UNORM_PACK32};
    p->surface_format = list[0];
    for (int w = 2; w >= 0; w--)
        for (uint32_t i = 0; i < n; i++)
            if (list[i].format == wanted[w] &&
                list[i].colorSpace == VK_COLOR_SPACE_SRGB_NONLINEAR_KHR)
                p->surface_format = list[i];
    sc->format = p->surface_format.format;
    sc->bgra = sc->format == VK_FORMAT_B8G8R8A8_UNORM;
    p->pixels = sc->bgra ? sc->format : VK_FORMAT_R8G8B8A8_UNORM;

    VkFormatProperties from, to;
    vkGetPhysicalDeviceFormatProperties(sc->dev->phys, p->pixels, &from);
    vkGetPhysicalDeviceFormatProperties(sc->dev->phys, sc->format, &to);
    if (!(from.optimalTilingFeatures & VK_FORMAT_FEATURE_BLIT_SRC_BIT) ||
        !(to.optimalTilingFeatures & VK_FORMAT_FEATURE_BLIT_DST_BIT))
        return fv_fail(FV_EDEVICE, "%s cannot copy pictures to the window's pixel format %d",
                       sc->dev->caps.name, (int)sc->format);
    p->linear = from.optimalTilingFeatures & VK_FORMAT_FEATURE_SAMPLED_IMAGE_FILTER_LINEAR_BIT;
    return 0;
}

static int check_present(struct vk_swapchain *sc)
{
    VkBool32 can = VK_FALSE;
    VkQueueFamilyProperties families[32];
    uint32_t n = 32;
    vkGetPhysicalDeviceQueueFamilyProperties(sc->dev->phys, &n, families);
    VK_TRY(sc->dev, vkGetPhysicalDeviceSurfaceSupportKHR(sc->dev->phys, sc->dev->queue_family,
                                                         sc->p->surface, &can));
    bool graphics = sc->dev->queue_family < n &&
                    families[sc->dev->queue_family].queueFlags & VK_QUEUE_GRAPHICS_BIT;
    if (!can || !graphics)
        return fv_fail(FV_EDEVICE,
                       "%s cannot present to this window; choose another device with --device",
                       sc->dev->caps.name);
    return 0;
}

static int create_render_pass(struct vk_swapchain *sc)
{
    VkAttachmentDescription colour = {
        .format = sc->format,
        .samples = VK_SAMPLE_COUNT_1_BIT,
        .loadOp = VK_ATTACHMENT_LOAD_OP_LOAD,
        .storeOp = VK_ATTACHMENT_STORE_OP_STORE,
        .stencilLoadOp = VK_ATTACHMENT_LOAD_OP_DONT_CARE,
        .stencilStoreOp = VK_ATTACHMENT_STORE_OP_DONT_CARE,
        .initialLayout = VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL,
        .finalLayout = VK_IMAGE_LAYOUT_PRESENT_SRC_KHR,
    };
    VkAttachmentReference reference = {0, VK_IMAGE_LAYOUT_COLOR_ATTACHMENT_OPTIMAL};
    VkSubpassDescription subpass = {.pipelineBindPoint = VK_PIPELINE_BIND_POINT_GRAPHICS,
                                    .colorAttachmentCount = 1,
                                    .pColorAttachments = &reference};
    VkSubpassDependency dependencies[] = {
        {.srcSubpass = VK_SUBPASS_EXTERNAL,
         .srcStageMask = VK_PIPELINE_STAGE_TRANSFER_BIT,
         .srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT,
         .dstStageMask = VK_PIPELINE_STAGE_COLOR_ATTACHMENT_OUTPUT_BIT,
         .dstAccessMask =
             VK_ACCESS_COLOR_ATTACHMENT_READ_BIT | VK_ACCESS_COLOR_ATTACHMENT_WRITE_BIT},
        {.dstSubpass = VK_SUBPASS_EXTERNAL,
         .srcStageMask = VK_PIPELINE_STAGE_COLOR_ATTACHMENT_OUTPUT_BIT,
         .srcAccessMask = VK_ACCESS_COLOR_ATTACHMENT_WRITE_BIT,
         .dstStageMask = VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT},
    };
    VkRenderPassCreateInfo info = {.sType = VK_STRUCTURE_TYPE_RENDER_PASS_CREATE_INFO,
                                   .attachmentCount = 1,
                                   .pAttachments = &colour,
                                   .subpassCount = 1,
                                   .pSubpasses = &subpass,
                                   .dependencyCount = 2,
                                   .pDependencies = dependencies};
    VK_TRY(sc->dev, vkCreateRenderPass(sc->dev->handle, &info, NULL, &sc->render_pass));
    return 0;
}

static int create_semaphore(struct vk_device *dev, VkSemaphore *out)
{
    VkSemaphoreCreateInfo info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO};
    VK_TRY(dev, vkCreateSemaphore(dev->handle, &info, NULL, out));
    return 0;
}

int vk_swapchain_create(struct vk_swapchain **out, struct vk_device *dev, VkSurfaceKHR surface)
{
    *out = NULL;
    int rc = 0;
    struct vk_swapchain *sc = calloc(1, sizeof *sc);
    struct vk_swapchain_private *p = calloc(1, sizeof *p);
    if (!sc || !p) {
        free(sc);
        free(p);
        return fv_fail(FV_ENOMEM, "out of memory for the window's images");
    }
    sc->dev = dev;
    sc->p = p;
    p->surface = surface;
    FV_GOTO(check_present(sc));
    FV_GOTO(choose_format(sc));
    FV_GOTO(create_render_pass(sc));
    for (int i = 0; i < IN_FLIGHT; i++) {
        FV_GOTO(vk_cmd_create(&p->cmds[i], dev));
        FV_GOTO(create_semaphore(dev, &p->acquired[i]));
    }
    *out = sc;
    sc = NULL;
done:
    vk_swapchain_destroy(&sc);
    return rc;
}

/* --- what a resize remakes --- */

/* Also waits for presents, which no ticket covers: their semaphores are about to go. */
static void wait_idle(struct vk_swapchain *sc)
{
    pthread_mutex_lock(&sc->dev->p->queue_lock);
    vkQueueWaitIdle(sc->dev->queue);
    pthread_mutex_unlock(&sc->dev->p->queue_lock);
}

static void drop_targets(struct vk_swapchain *sc)
{
    VkDevice d = sc->dev->handle;
    for (uint32_t i = 0; i < MAX_IMAGES; i++) {
        struct target *t = &sc->p->targets[i];
        vkDestroyFramebuffer(d, t->framebuffer, NULL);
        vkDestroyImageView(d, t->view, NULL);
        vkDestroySemaphore(d, t->drawn, NULL);
        *t = (struct target){0};
    }
}

static void drop_image(struct vk_swapchain *sc, struct image *i)
{
    vkDestroyImage(sc->dev->handle, i->handle, NULL);
    vkFreeMemory(sc->dev->handle, i->memory, NULL);
    *i = (struct image){0};
}

void vk_swapchain_destroy(struct vk_swapchain **sc_)
{
    struct vk_swapchain *sc = *sc_;
    if (!sc)
        return;
    struct vk_swapchain_private *p = sc->p;
    VkDevice d = sc->dev->handle;
    wait_idle(sc);
    drop_targets(sc);
    drop_image(sc, &p->picture);
    drop_image(sc, &p->backdrop);
    vkDestroySwapchainKHR(d, p->handle, NULL);
    for (int i = 0; i < IN_FLIGHT; i++) {
        vk_cmd_destroy(&p->cmds[i]);
        vkDestroySemaphore(d, p->acquired[i], NULL);
    }
    vkDestroyRenderPass(d, sc->render_pass, NULL);
    free(p);
    free(sc);
    *sc_ = NULL;
}

static int create_target(struct vk_swapchain *sc, struct target *t)
{
    VkImageViewCreateInfo view = {
        .sType = VK_STRUCTURE_TYPE_IMAGE_VIEW_CREATE_INFO,
        .image = t->image,
        .viewType = VK_IMAGE_VIEW_TYPE_2D,
        .format = sc->format,
        .subresourceRange = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, 1},
    };
    VK_TRY(sc->dev, vkCreateImageView(sc->dev->handle, &view, NULL, &t->view));
    VkFramebufferCreateInfo framebuffer = {.sType = VK_STRUCTURE_TYPE_FRAMEBUFFER_CREATE_INFO,
                                           .renderPass = sc->render_pass,
                                           .attachmentCount = 1,
                                           .pAttachments = &t->view,
                                           .width = sc->width,
                                           .height = sc->height,
                                           .layers = 1};
    VK_TRY(sc->dev, vkCreateFramebuffer(sc->dev->handle, &framebuffer, NULL, &t->framebuffer));
    return create_semaphore(sc->dev, &t->drawn);
}

static int create_targets(struct vk_swapchain *sc)
{
    VkImage images[MAX_IMAGES];
    sc->image_count = MAX_IMAGES;
    VkResult r = vkGetSwapchainImagesKHR(sc->dev->handle, sc->p->handle, &sc->image_count, images);
    if (r == VK_INCOMPLETE)
        return fv_fail(FV_EDEVICE, "the window's surface wants more than %d images", MAX_IMAGES);
    FV_TRY(vk_check(sc->dev, r, "vkGetSwapchainImagesKHR"));
    for (uint32_t i = 0; i < sc->image_count; i++) {
        sc->p->targets[i].image = images[i];
        FV_TRY(create_target(sc, &sc->p->targets[i]));
    }
    return 0;
}

static VkExtent2D fit_extent(const VkSurfaceCapabilitiesKHR *caps, uint32_t w, uint32_t h)
{
    VkExtent2D e = caps->currentExtent;
    if (e.width != UINT32_MAX)
        return e;
    VkExtent2D lo = caps->minImageExtent, hi = caps->maxImageExtent;
    e.width = w < lo.width ? lo.width : w > hi.width ? hi.width : w;
    e.height = h < lo.height ? lo.height : h > hi.height ? hi.height : h;
    return e;
}

/* Returns 1 when made, 0 when the surface has no area now. */
static int remake(struct vk_swapchain *sc, uint32_t width, uint32_t height)
{
    struct vk_swapchain_private *p = sc->p;
    VkSurfaceCapabilitiesKHR caps;
    VK_TRY(sc->dev, vkGetPhysicalDeviceSurfaceCapabilitiesKHR(sc->dev->phys, p->surface, &caps));
    VkExtent2D extent = fit_extent(&caps, width, height);
    if (!extent.width || !extent.height)
        return 0;
    if (!(caps.supportedUsageFlags & VK_IMAGE_USAGE_TRANSFER_DST_BIT))
        return fv_fail(FV_EDEVICE, "%s does not let pictures be copied to its windows",
                       sc->dev->caps.name);

    uint32_t count = caps.minImageCount < 2 ? 2 : caps.minImageCount;
    if (caps.maxImageCount && count > caps.maxImageCount)
        count = caps.maxImageCount;
    VkCompositeAlphaFlagBitsKHR alpha = VK_COMPOSITE_ALPHA_OPAQUE_BIT_KHR;
    if (!(caps.supportedCompositeAlpha & alpha)) /* the lowest bit that is there */
        alpha = caps.supportedCompositeAlpha & -caps.supportedCompositeAlpha;
    VkSwapchainCreateInfoKHR info = {
        .sType = VK_STRUCTURE_TYPE_SWAPCHAIN_CREATE_INFO_KHR,
        .surface = p->surface,
        .minImageCount = count,
        .imageFormat = p->surface_format.format,
        .imageColorSpace = p->surface_format.colorSpace,
        .imageExtent = extent,
        .imageArrayLayers = 1,
        .imageUsage = VK_IMAGE_USAGE_COLOR_ATTACHMENT_BIT | VK_IMAGE_USAGE_TRANSFER_DST_BIT,
        .imageSharingMode = VK_SHARING_MODE_EXCLUSIVE,
        .preTransform = caps.currentTransform,
        .compositeAlpha = alpha,
        .presentMode = VK_PRESENT_MODE_FIFO_KHR,
        .clipped = VK_TRUE,
        .oldSwapchain = p->handle,
    };
    wait_idle(sc);
    drop_targets(sc);
    VkSwapchainKHR fresh = VK_NULL_HANDLE;
    VkResult r = vkCreateSwapchainKHR(sc->dev->handle, &info, NULL, &fresh);
    vkDestroySwapchainKHR(sc->dev->handle, p->handle, NULL);
    p->handle = fresh;
    sc->width = sc->height = 0;
    FV_TRY(vk_check(sc->dev, r, "vkCreateSwapchainKHR"));
    sc->width = extent.width;
    sc->height = extent.height;
    p->stale = false;
    FV_TRY(create_targets(sc));
    return 1;
}

/* --- a frame --- */

int vk_swapchain_begin(struct vk_swapchain *sc, uint32_t width, uint32_t height)
{
    struct vk_swapchain_private *p = sc->p;
    FV_TRY(vk_alive(sc->dev));
    if (!width || !height)
        return 0;
    for (int attempt = 0; attempt < 3; attempt++) {
        if (!sc->width || p->stale || sc->width != width || sc->height != height) {
            int made = remake(sc, width, height);
            if (made <= 0)
                return made;
        }
        if (p->tickets[p->slot])
            FV_TRY(vk_wait(sc->dev, p->tickets[p->slot]));
        VkResult r = vkAcquireNextImageKHR(sc->dev->handle, p->handle, acquire_ns,
                                           p->acquired[p->slot], VK_NULL_HANDLE, &p->index);
        if (r == VK_TIMEOUT || r == VK_NOT_READY)
            return 0;
        if (r == VK_SUCCESS || r == VK_SUBOPTIMAL_KHR) {
            p->stale = r == VK_SUBOPTIMAL_KHR;
            vk_cmd_begin(p->cmds[p->slot]);
            return 1;
        }
        if (r != VK_ERROR_OUT_OF_DATE_KHR)
            return vk_check(sc->dev, r, "vkAcquireNextImageKHR");
        p->stale = true;
    }
    return 0; /* it is being resized faster than it can be followed */
}

static int create_image(struct vk_swapchain *sc, struct image *out, uint32_t w, uint32_t h,
                        VkFormat format)
{
    VkDevice d = sc->dev->handle;
    VkImageCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO,
        .imageType = VK_IMAGE_TYPE_2D,
        .format = format,
        .extent = {w, h, 1},
        .mipLevels = 1,
        .arrayLayers = 1,
        .samples = VK_SAMPLE_COUNT_1_BIT,
        .tiling = VK_IMAGE_TILING_OPTIMAL,
        .usage = VK_IMAGE_USAGE_TRANSFER_DST_BIT | VK_IMAGE_USAGE_TRANSFER_SRC_BIT,
        .sharingMode = VK_SHARING_MODE_EXCLUSIVE,
        .initialLayout = VK_IMAGE_LAYOUT_UNDEFINED,
    };
    VK_TRY(sc->dev, vkCreateImage(d, &info, NULL, &out->handle));
    VkMemoryRequirements need;
    vkGetImageMemoryRequirements(d, out->handle, &need);
    const VkPhysicalDeviceMemoryProperties *memory = &sc->dev->p->memory;
    uint32_t type = UINT32_MAX;
    for (uint32_t i = memory->memoryTypeCount; i-- > 0;)
        if (need.memoryTypeBits >> i & 1 &&
            (type == UINT32_MAX ||
             memory->memoryTypes[i].propertyFlags & VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT))
            type = i;
    VkMemoryAllocateInfo alloc = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                  .allocationSize = need.size,
                                  .memoryTypeIndex = type};
    VK_TRY(sc->dev, vkAllocateMemory(d, &alloc, NULL, &out->memory));
    VK_TRY(sc->dev, vkBindImageMemory(d, out->handle, out->memory, 0));
    out->width = w;
    out->height = h;
    return 0;
}

/* An image of this size. Another one may be in use by the other frame in flight. */
static int need_image(struct vk_swapchain *sc, struct image *i, uint32_t w, uint32_t h,
                      VkFormat format)
{
    if (i->width == w && i->height == h)
        return 0;
    FV_TRY(vk_swapchain_settle(sc));
    drop_image(sc, i);
    int rc = create_image(sc, i, w, h, format);
    if (rc < 0)
        drop_image(sc, i);
    return rc;
}

static void to_layout(VkCommandBuffer cb, VkImage image, VkImageLayout from, VkImageLayout to)
{
    VkImageMemoryBarrier2 barrier = {
        .sType = VK_STRUCTURE_TYPE_IMAGE_MEMORY_BARRIER_2,
        .srcStageMask = VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT,
        .srcAccessMask = VK_ACCESS_2_MEMORY_WRITE_BIT,
        .dstStageMask = VK_PIPELINE_STAGE_2_ALL_TRANSFER_BIT,
        .dstAccessMask = VK_ACCESS_2_TRANSFER_READ_BIT | VK_ACCESS_2_TRANSFER_WRITE_BIT,
        .oldLayout = from,
        .newLayout = to,
        .srcQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
        .dstQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
        .image = image,
        .subresourceRange = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, 1},
    };
    vkCmdPipelineBarrier2(cb, &(VkDependencyInfo){.sType = VK_STRUCTURE_TYPE_DEPENDENCY_INFO,
                                                  .imageMemoryBarrierCount = 1,
                                                  .pImageMemoryBarriers = &barrier});
}

static const VkImageSubresourceLayers all_layers = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1};

static void record_upload(VkCommandBuffer cb, VkImage onto, uint32_t w, uint32_t h,
                          const struct vk_buf *pixels)
{
    VkBufferImageCopy copy = {.imageSubresource = all_layers, .imageExtent = {w, h, 1}};
    to_layout(cb, onto, VK_IMAGE_LAYOUT_UNDEFINED, VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL);
    vkCmdCopyBufferToImage(cb, pixels->handle, onto, VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL, 1,
                           &copy);
}

/* The backdrop from the picture's pixels. */
static void record_backdrop(struct vk_swapchain *sc, VkCommandBuffer cb,
                            const struct vk_buf *pixels)
{
    const struct image *from = &sc->p->picture, *to = &sc->p->backdrop;
    bool same = from->width == to->width && from->height == to->height;
    VkImageBlit blit = {
        .srcSubresource = all_layers,
        .srcOffsets = {{0, 0, 0}, {(int32_t)from->width, (int32_t)from->height, 1}},
        .dstSubresource = all_layers,
        .dstOffsets = {{0, 0, 0}, {(int32_t)to->width, (int32_t)to->height, 1}},
    };
    record_upload(cb, from->handle, from->width, from->height, pixels);
    to_layout(cb, from->handle, VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL,
              VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL);
    to_layout(cb, to->handle, VK_IMAGE_LAYOUT_UNDEFINED, VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL);
    vkCmdBlitImage(cb, from->handle, VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL, to->handle,
                   VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL, 1, &blit,
                   sc->p->linear && !same ? VK_FILTER_LINEAR : VK_FILTER_NEAREST);
    to_layout(cb, to->handle, VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL,
              VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL);
}

static void record_copy(VkCommandBuffer cb, const struct image *from, VkImage onto)
{
    VkImageCopy copy = {.srcSubresource = all_layers,
                        .dstSubresource = all_layers,
                        .extent = {from->width, from->height, 1}};
    to_layout(cb, onto, VK_IMAGE_LAYOUT_UNDEFINED, VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL);
    vkCmdCopyImage(cb, from->handle, VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL, onto,
                   VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL, 1, &copy);
}

/* The scaled picture as the backdrop, if it is not that already. */
static int need_backdrop(struct vk_swapchain *sc, const struct vk_buf *pixels, uint32_t w,
                         uint32_t h, bool changed)
{
    struct vk_swapchain_private *p = sc->p;
    struct vk_cmd *cmd = p->cmds[p->slot];
    const struct image *back = &p->backdrop;
    if (!changed && p->covered && back->width == sc->width && back->height == sc->height)
        return 0;
    FV_TRY(need_image(sc, &p->picture, w, h, p->pixels));
    FV_TRY(need_image(sc, &p->backdrop, sc->width, sc->height, sc->format));
    VkCommandBuffer cb = vk_cmd_raw_begin(cmd);
    if (cb) {
        vk_cmd_uses(cmd, pixels);
        record_backdrop(sc, cb, pixels);
        p->covered = true;
    }
    vk_cmd_raw_end(cmd);
    return 0;
}

void vk_swapchain_picture(struct vk_swapchain *sc, const struct vk_buf *pixels, uint32_t w,
                          uint32_t h, bool changed)
{
    struct vk_swapchain_private *p = sc->p;
    struct vk_cmd *cmd = p->cmds[p->slot];
    VkImage onto = p->targets[p->index].image;
    bool straight = w == sc->width && h == sc->height && p->pixels == sc->format;
    int rc = 0;
    if (pixels->size < (uint64_t)w * h * 4)
        rc = fv_fail(FV_EINVALID, "a picture of %ux%u in a buffer of %llu bytes", w, h,
                     (unsigned long long)pixels->size);
    else if (!straight)
        rc = need_backdrop(sc, pixels, w, h, changed);
    vk_cmd_fail(cmd, rc);
    VkCommandBuffer cb = vk_cmd_raw_begin(cmd);
    if (!cb)
        return;
    if (straight) {
        vk_cmd_uses(cmd, pixels);
        record_upload(cb, onto, w, h, pixels);
        p->covered = false; /* should the window be resized, it is another picture's */
    } else {
        record_copy(cb, &p->backdrop, onto);
    }
    vk_cmd_raw_end(cmd);
}

void vk_swapchain_clear(struct vk_swapchain *sc, const float rgb[3])
{
    struct vk_swapchain_private *p = sc->p;
    VkCommandBuffer cb = vk_cmd_raw_begin(p->cmds[p->slot]);
    VkImage onto = p->targets[p->index].image;
    if (!cb)
        return;
    VkClearColorValue value = {.float32 = {rgb[0], rgb[1], rgb[2], 1}};
    to_layout(cb, onto, VK_IMAGE_LAYOUT_UNDEFINED, VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL);
    vkCmdClearColorImage(cb, onto, VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL, &value, 1,
                         &(VkImageSubresourceRange){VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, 1});
    vk_cmd_raw_end(p->cmds[p->slot]);
}

VkCommandBuffer vk_swapchain_overlay_begin(struct vk_swapchain *sc)
{
    struct vk_swapchain_private *p = sc->p;
    p->overlay = vk_cmd_raw_begin(p->cmds[p->slot]);
    if (!p->overlay)
        return NULL;
    VkRenderPassBeginInfo info = {.sType = VK_STRUCTURE_TYPE_RENDER_PASS_BEGIN_INFO,
                                  .renderPass = sc->render_pass,
                                  .framebuffer = p->targets[p->index].framebuffer,
                                  .renderArea = {{0, 0}, {sc->width, sc->height}}};
    vkCmdBeginRenderPass(p->overlay, &info, VK_SUBPASS_CONTENTS_INLINE);
    return p->overlay;
}

void vk_swapchain_overlay_end(struct vk_swapchain *sc)
{
    struct vk_swapchain_private *p = sc->p;
    if (!p->overlay)
        return;
    vkCmdEndRenderPass(p->overlay);
    vk_cmd_raw_end(p->cmds[p->slot]);
    p->overlay = NULL;
}

int vk_swapchain_end(struct vk_swapchain *sc)
{
    struct vk_swapchain_private *p = sc->p;
    uint32_t slot = p->slot;
    VkSemaphore drawn = p->targets[p->index].drawn;
    struct vk_submit_sync sync = {.wait_binary = p->acquired[slot],
                                  .signal_binary = drawn,
                                  .wait_stage = VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT};
    vk_swapchain_overlay_end(sc);
    int rc = vk_cmd_submit_sync(p->cmds[slot], &sync, &p->tickets[slot]);
    if (rc < 0) {
        /* The image stays acquired and its semaphore signalled: only a new swapchain and a new
         * semaphore get out of that. */
        p->stale = true;
        p->covered = false;
        wait_idle(sc);
        vkDestroySemaphore(sc->dev->handle, p->acquired[slot], NULL);
        p->acquired[slot] = VK_NULL_HANDLE;
        int again = create_semaphore(sc->dev, &p->acquired[slot]);
        return again < 0 ? again : rc;
    }
    p->slot = (slot + 1) % IN_FLIGHT;
    VkPresentInfoKHR info = {.sType = VK_STRUCTURE_TYPE_PRESENT_INFO_KHR,
                             .waitSemaphoreCount = 1,
                             .pWaitSemaphores = &drawn,
                             .swapchainCount = 1,
                             .pSwapchains = &p->handle,
                             .pImageIndices = &p->index};
    pthread_mutex_lock(&sc->dev->p->queue_lock);
    VkResult r = vkQueuePresentKHR(sc->dev->queue, &info);
    pthread_mutex_unlock(&sc->dev->p->queue_lock);
    if (r == VK_ERROR_OUT_OF_DATE_KHR || r == VK_SUBOPTIMAL_KHR) {
        p->stale = true;
        return 0;
    }
    return vk_check(sc->dev, r, "vkQueuePresentKHR");
}

int vk_swapchain_settle(struct vk_swapchain *sc)
{
    for (int i = 0; i < IN_FLIGHT; i++)
        if (sc->p->tickets[i])
            FV_TRY(vk_wait(sc->dev, sc->p->tickets[i]));
    return 0;
}
