/* The viewer's pictures: what a request asks for, drawn by the same frame functions as `render`
 * and kept in memory that the host reads and the window's device copies from.
 *
 *     struct painter *p;
 *     struct picture picture = {0};
 *     FV_TRY(painter_create(&p, dev, screen, sc->bgra));
 *     FV_TRY(painter_draw(p, &request, &picture));
 *     vk_swapchain_picture(sc, &picture.pixels, picture.width, picture.height, true);
 *     FV_TRY(picture_save(&picture, "shot.png"));
 */
#ifndef APP_PICTURE_H
#define APP_PICTURE_H

#include "gs/gs.h"
#include "vk/mem.h"

enum picture_kind { PICTURE_COLOUR, PICTURE_ALPHA, PICTURE_DEPTH };

/* How two scenes share a picture: each on its side of a line, with the same view; each whole in a
 * half; what differs between them, eightfold. */
enum picture_split { PICTURE_WIPE, PICTURE_BESIDE, PICTURE_DIFFERENCE };

struct loaded;

/* A second scene, drawn at the right of the first with the same camera and options. */
struct picture_side {
    const struct gs_gpu_scene *scene; /* NULL: there is none */
    const struct loaded *stream;      /* these two as of the request */
    uint32_t frame;
    enum picture_split split;
    double line;  /* of a wipe: where the second begins, a share of the width */
    bool swapped; /* the second at the left */
};

struct picture_request {
    const struct gs_gpu_scene *scene;
    const struct loaded *stream; /* of whose frames scene holds one; NULL: it stands still */
    uint32_t frame;              /* the one it holds: another is another picture */
    struct picture_side beside;
    struct gs_camera camera;    /* its size is the picture's; half of it in width for two beside one another,
                                   scenes or eyes */
    struct gs_render_opts opts; /* output is chosen by kind */
    enum picture_kind kind;
    bool profile;                     /* measure every pass alone; slower */
    uint32_t fill_width, fill_height; /* enlarged to this when smaller; 0 = left as drawn */
};

/* A zeroed one is empty: width 0. */
struct picture {
    struct vk_buf pixels; /* mapped, on the window's device; rows of width*4 bytes, at least */
    bool bgra;            /* their order; else RGBA */
    uint32_t width, height;
    double ms; /* what drawing took */
    double psnr; /* dB between two scenes, infinite when equal; 0 where it was not measured: by a wipe, of depth */
    struct gs_frame_stats stats;
};

void picture_finish(struct picture *p);
/* As an opaque PNG, written atomically. FV_EINVALID when it is empty. */
int picture_save(const struct picture *p, const char *path);

/* Draws with dev; not thread-safe. */
struct painter;
/* screen: the device that shows the pictures, may be dev. Both must outlive the painter. bgra: the
 * order of the pixels the window wants. */
int painter_create(struct painter **out, struct vk_device *dev, struct vk_device *screen,
                   bool bgra);
void painter_destroy(struct painter **p);
/* Draws and waits; waits too for what still copies from out->pixels. On failure out is empty. */
int painter_draw(struct painter *p, const struct picture_request *r, struct picture *out);
/* World point seen at pixel (x, y) of the request: 1, or 0 where nothing solid is. Draws a small
 * picture of its own. */
int painter_pick(struct painter *p, const struct picture_request *r, double x, double y,
                 double world[3]);

/* Whether two requests would draw the same but for the size of the picture. */
bool picture_same(const struct picture_request *a, const struct picture_request *b);
/* The camera for another picture size, the same field of view. */
void picture_scale(struct gs_camera *c, uint32_t width, uint32_t height);
/* Bilinear, 4 bytes a pixel, edges continued. Neither size may be 0. Returns 0 or FV_ENOMEM. */
int picture_enlarge(uint8_t *out, uint32_t out_width, uint32_t out_height, const uint8_t *in,
                    uint32_t width, uint32_t height);

#endif
