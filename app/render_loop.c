/* The overlapped loop (render_loop.h): frame i is submitted before frame i-RENDER_IN_FLIGHT+1 is waited
 * for, so the device always has work while pixels are handed on. */
#include "app/render_loop.h"
#include "vk/base/thread.h"

#include <stdlib.h>

struct loop {
    const struct render_job *job;
    struct gs_frame *frames[RENDER_IN_FLIGHT];
    size_t submitted, taken;
    struct render_stats stats;
};

static int submit_next(struct loop *l)
{
    struct gs_camera camera;
    FV_TRY(shots_camera(l->job->shots, l->submitted, &camera));
    const struct gs_gpu_scene *scene = l->job->scene;
    if (l->job->scene_at)
        FV_TRY(l->job->scene_at(l->job->scene_ud, l->submitted, &scene));
    FV_TRY(gs_frame_submit(l->frames[l->submitted % RENDER_IN_FLIGHT], scene, &camera,
                           &l->job->opts));
    l->submitted++;
    return 0;
}

static int take_next(struct loop *l)
{
    const struct render_job *j = l->job;
    struct gs_frame *f = l->frames[l->taken % RENDER_IN_FLIGHT];
    double start = fv_now();
    FV_TRY(gs_frame_wait(f));
    l->stats.device_seconds += fv_now() - start;
    char *path = output_is_sequence(j->output)
                     ? output_name(j->output, l->taken, shots_name(j->shots, l->taken))
                     : NULL;
    int rc = 0;
    if (output_is_sequence(j->output) && !path)
        rc = fv_fail(FV_ENOMEM, "out of memory");
    if (rc >= 0)
        rc = sink_push(j->sink, path, f->width, f->height, f->pixels, f->size);
    free(path);
    if (rc < 0)
        return rc;
    l->taken++;
    l->stats.frames = l->taken;
    if (f->stats.device_bytes > l->stats.device_bytes)
        l->stats.device_bytes = f->stats.device_bytes;
    return 0;
}

static int report(const struct loop *l)
{
    const struct render_job *j = l->job;
    struct fv_progress p = {"rendering", (double)l->taken, (double)j->shots->count};
    if (j->on_progress && j->on_progress(j->ud, &p))
        return fv_fail(FV_ECANCELLED, "cancelled");
    return 0;
}

int render_frames(const struct render_job *job, struct render_stats *stats)
{
    struct loop l = {.job = job};
    size_t count = job->shots->count;
    double start = fv_now();
    int rc = 0;
    for (int i = 0; i < RENDER_IN_FLIGHT && rc >= 0; i++)
        rc = gs_frame_create(&l.frames[i], job->renderer);
    while (rc >= 0 && l.taken < count) {
        while (rc >= 0 && l.submitted < count && l.submitted - l.taken < RENDER_IN_FLIGHT)
            rc = submit_next(&l);
        if (rc >= 0)
            rc = take_next(&l);
        if (rc >= 0)
            rc = report(&l);
    }
    while (rc == FV_ECANCELLED && l.taken < l.submitted) /* the last of them are almost there */
        if (take_next(&l) < 0)
            break;
    if (rc == FV_ECANCELLED)
        fv_fail(rc, "cancelled");
    for (int i = 0; i < RENDER_IN_FLIGHT; i++)
        gs_frame_destroy(&l.frames[i]);
    l.stats.seconds = fv_now() - start;
    *stats = l.stats;
    return rc;
}
