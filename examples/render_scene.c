/* Draws one picture of a scene, from in front of it, as a PPM file.
 *
 *     render_scene garden.spz garden.ppm
 *
 * The way of every picture: scene on the host, scene on the device, renderer, frame.
 * Functions return 0 or a negative code and keep a sentence that says what is wrong: fv_error(). */
#include "gs/gs.h"
#include "vk/device.h"

#include <stdio.h>

enum { WIDTH = 640, HEIGHT = 360 };

/* RGBA rows, of which a PPM takes the first three. */
static int write_ppm(const char *path, const struct gs_frame *f)
{
    struct fv_writer w;
    char header[64];
    const unsigned char *p = f->pixels;
    FV_TRY(fv_writer_open(&w, path)); /* a file beside it, which takes its name when all is there */
    fv_write(&w, header, (size_t)snprintf(header, sizeof header, "P6\n%u %u\n255\n", f->width, f->height));
    for (size_t i = 0; i < (size_t)f->width * f->height; i++)
        fv_write(&w, p + 4 * i, 3);
    return fv_writer_commit(&w);
}

static int draw(struct vk_device *dev, const struct gs_scene *scene, const char *path)
{
    struct gs_gpu_scene *gpu = NULL;
    struct gs_renderer *renderer = NULL;
    struct gs_frame *frame = NULL;
    struct gs_bounds around;
    struct gs_camera camera;
    gs_scene_bounds(scene, &around);
    gs_camera_orbit(&camera, scene, &around, WIDTH, HEIGHT, 0); /* of a full turn, the beginning */

    int rc = gs_gpu_scene_create(&gpu, dev, scene, NULL);
    if (rc >= 0)
        rc = gs_renderer_create(&renderer, dev);
    if (rc >= 0)
        rc = gs_frame_create(&frame, renderer);
    if (rc >= 0)
        rc = gs_frame_submit(frame, gpu, &camera, &(struct gs_render_opts){.mode = GS_MODE_AUTO});
    if (rc >= 0)
        rc = gs_frame_wait(frame); /* two frames in turn would draw while the other is written */
    if (rc >= 0)
        rc = write_ppm(path, frame);
    gs_frame_destroy(&frame);
    gs_renderer_destroy(&renderer);
    gs_gpu_scene_destroy(&gpu);
    return rc;
}

int main(int argc, char **argv)
{
    struct vk_device *dev = NULL;
    struct gs_scene scene = {0};
    if (argc != 3) {
        fputs("usage: render_scene SCENE OUT.ppm\n", stderr);
        return 2;
    }
    int rc = gs_scene_load(&scene, argv[1], NULL); /* NULL: usual options */
    if (rc >= 0)
        rc = vk_device_create(&dev, &(struct vk_device_opts){.select = NULL});
    if (rc >= 0)
        rc = draw(dev, &scene, argv[2]);
    if (rc >= 0)
        printf("%s: %zu Gaussians, drawn by %s\n", argv[2], scene.count, dev->caps.name);
    else
        fprintf(stderr, "render_scene: %s\n", fv_error());
    gs_scene_finish(&scene);
    vk_device_destroy(&dev);
    return rc < 0;
}
