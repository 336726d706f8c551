/* Drawing many frames with everything overlapping: two or three frames are on the device
 * while earlier ones are copied to the sink, whose threads encode them. */
#ifndef RENDER_LOOP_H
#define RENDER_LOOP_H

#include "app/output.h"
#include "app/shots.h"
#include "app/sink.h"
#include "gs/gs.h"

enum { RENDER_IN_FLIGHT = 3 }; /* frames on the device at once */

struct render_job {
    struct gs_renderer *renderer;
    const struct gs_gpu_scene *scene; /* what all shots show; or, of a scene that moves, */
    int (*scene_at)(void *ud, size_t shot, const struct gs_gpu_scene **out); /* what each shows: it
                       stays as it is while RENDER_IN_FLIGHT - 1 more are asked for */
    void *scene_ud;
    struct gs_render_opts opts;
    const struct shots *shots;
    const struct output *output;
    struct sink *sink;
    fv_progress_fn on_progress;
    void *ud;
};

struct render_stats {
    size_t frames;         /* given to the sink */
    double seconds;        /* of the whole loop */
    double device_seconds; /* spent waiting for the device */
    uint64_t device_bytes; /* working memory of the renderer */
};

/* Draws shots 0..count-1 in order. Returns 0, FV_ECANCELLED when on_progress asks (frames in
 * flight are still written), or the first failure. */
int render_frames(const struct render_job *job, struct render_stats *stats);

#endif
