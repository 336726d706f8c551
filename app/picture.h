/* The viewer's picture: what a request asks for, drawn by the same frame functions as `render`,
 * kept on the device as RGBA8 for the window, read back only to be saved.
 *
 *     struct picture *p;
 *     FV_TRY(picture_create(&p, dev));
 *     FV_TRY(picture_draw(p, &request));
 *     vk_swapchain_picture(sc, p->rgba, p->width, p->height, NULL);
 *     FV_TRY(picture_save(p, "shot.png"));
 */
#ifndef APP_PICTURE_H
#define APP_PICTURE_H

#include "gs/gs.h"
#include "vk/mem.h"

enum picture_kind { PICTURE_COLOUR, PICTURE_ALPHA, PICTURE_DEPTH };

struct picture_request {
    const struct gs_gpu_scene *scene;
    struct gs_camera camera;    /* its size is the picture's */
    struct gs_render_opts opts; /* output is chosen by kind */
    enum picture_kind kind;
    bool profile; /* measure every pass alone; slower */
};

struct picture {
    const struct vk_buf *rgba; /* rows of width*4 bytes; NULL before the first draw. Valid until
                                  the next draw. */
    uint32_t width, height;
    double ms; /* what the last draw took */
    struct gs_frame_stats stats;
    struct picture_private *p;
};

int picture_create(struct picture **out, struct vk_device *dev);
void picture_destroy(struct picture **p);
/* Draws and waits. Nothing may be reading rgba on the device. On failure the picture before is
 * gone: rgba is NULL. */
int picture_draw(struct picture *p, const struct picture_request *r);
/* The last picture as an opaque PNG, written atomically. FV_EINVALID when there is none. */
int picture_save(struct picture *p, const char *path);
/* World point seen at pixel (x, y) of the request: 1, or 0 where nothing solid is. Draws a small
 * picture of its own; rgba stays. */
int picture_pick(struct picture *p, const struct picture_request *r, double x, double y,
                 double world[3]);

/* Whether two requests would draw the same but for the size of the picture. */
bool picture_same(const struct picture_request *a, const struct picture_request *b);
/* The camera for another picture size, the same field of view. */
void picture_scale(struct gs_camera *c, uint32_t width, uint32_t height);

#endif
