/* Goes through a stream frame by frame, tells how each is stored and where its Gaussians are, and
 * writes one of them as a scene of its own. No device is needed.
 *
 *     decode_stream talk.fvv                   # a line a frame
 *     decode_stream talk.fvv 12 twelve.ply     # frame 12 as a scene
 *
 * Frames in order cost one residual each; any other is found by itself, from where its group begins. */
#include "gs/gs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int list(struct gs_stream *s)
{
    static const char *const kinds[] = {"whole", "entry", "residual"};
    const struct gs_stream_info *info = gs_stream_info(s);
    struct gs_scene scene = {0}; /* used again for every frame */
    int rc = 0;
    printf("%u frames, %g a second\n", info->frame_count, info->fps);
    for (uint32_t i = 0; i < info->frame_count && rc >= 0; i++) {
        struct gs_bounds b;
        rc = gs_stream_decode(s, i, 3, &scene);
        if (rc < 0)
            break;
        gs_scene_bounds(&scene, &b);
        printf("%4u  %-8s %7u bytes  %zu Gaussians around %.3f %.3f %.3f\n", i, kinds[info->frame[i].kind],
               info->frame[i].size, scene.count, (double)b.centre[0], (double)b.centre[1], (double)b.centre[2]);
    }
    gs_scene_finish(&scene);
    return rc;
}

static int write_frame(struct gs_stream *s, uint32_t frame, const char *path)
{
    struct gs_scene scene = {0};
    int rc = gs_stream_decode(s, frame, 3, &scene);
    if (rc >= 0)
        rc = gs_scene_save(&scene, path, NULL); /* the format follows the name */
    gs_scene_finish(&scene);
    return rc;
}

int main(int argc, char **argv)
{
    struct gs_stream *s = NULL;
    if (argc != 2 && argc != 4) {
        fputs("usage: decode_stream STREAM [FRAME OUT.ply]\n", stderr);
        return 2;
    }
    int rc = gs_stream_open(&s, argv[1]);
    if (rc >= 0)
        rc = argc == 4 ? write_frame(s, (uint32_t)strtoul(argv[2], NULL, 10), argv[3]) : list(s);
    if (rc < 0)
        fprintf(stderr, "decode_stream: %s\n", fv_error());
    gs_stream_close(&s);
    return rc < 0;
}
