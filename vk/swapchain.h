/* Presenting to a surface: a picture from a device buffer scaled over the whole window, and an
 * overlay drawn on top of it in a render pass. Resizing, minimised windows and out-of-date
 * swapchains are handled here.
 *
 *     struct vk_swapchain *sc;
 *     FV_TRY(vk_swapchain_create(&sc, dev, surface));
 *     int ready = vk_swapchain_begin(sc, width, height);       // < 0 failed, 0 nothing to show on
 *     if (ready > 0) {
 *         vk_swapchain_picture(sc, &pixels, width, height, true);
 *         VkCommandBuffer cb = vk_swapchain_overlay_begin(sc);
 *         ... draw in sc->render_pass ...
 *         vk_swapchain_overlay_end(sc);
 *         FV_TRY(vk_swapchain_end(sc));
 *     }
 */
#ifndef VK_SWAPCHAIN_H
#define VK_SWAPCHAIN_H

#include "vk/mem.h"

struct vk_swapchain {
    struct vk_device *dev;
    VkFormat format;
    bool bgra;                /* pictures are to be given in this order, else RGBA */
    VkRenderPass render_pass; /* one colour attachment, loaded; the same through all resizes */
    uint32_t width, height;   /* of the images; 0 before the first begin */
    uint32_t image_count;
    struct vk_swapchain_private *p;
};

/* The surface is borrowed and must outlive the swapchain; the device must have been made with
 * .swapchain. Returns 0, FV_ENOMEM, or FV_EDEVICE when the device cannot present to it. */
int vk_swapchain_create(struct vk_swapchain **out, struct vk_device *dev, VkSurfaceKHR surface);
/* Waits for what is being shown. */
void vk_swapchain_destroy(struct vk_swapchain **sc);

/* Takes the next image, remaking the swapchain when the window's size (pixels) has changed.
 * Returns 1 when an image is ready to be drawn on, 0 when there is none now (minimised window,
 * or none became free in a tenth of a second: ask again later), FV_EDEVICE. */
int vk_swapchain_begin(struct vk_swapchain *sc, uint32_t width, uint32_t height);
/* Covers the image with a picture of w x h pixels of 4 bytes (in the order bgra tells; alpha is not
 * used), scaled. changed: false when it is the one given last, which then is not scaled again. Once
 * between begin and end, this or vk_swapchain_clear. Before the buffer is written again vk_buf_settle must
 * have waited for what copies from it. */
void vk_swapchain_picture(struct vk_swapchain *sc, const struct vk_buf *pixels, uint32_t w,
                          uint32_t h, bool changed);
void vk_swapchain_clear(struct vk_swapchain *sc, const float rgb[3]);
/* Enters render_pass, after the picture. The command buffer is valid until overlay_end; NULL
 * after a failure, which vk_swapchain_end will return. */
VkCommandBuffer vk_swapchain_overlay_begin(struct vk_swapchain *sc);
void vk_swapchain_overlay_end(struct vk_swapchain *sc);
/* Submits and presents. Returns 0 or FV_EDEVICE. */
int vk_swapchain_end(struct vk_swapchain *sc);
/* Waits until everything submitted here has been drawn: buffers shown may then be freed. */
int vk_swapchain_settle(struct vk_swapchain *sc);

#endif
