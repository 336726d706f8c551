/* What decoding an .fvv costs (bench_stream.h):
 *
 *   base       the first base, from nothing to the device, a few times
 *   frames     each next frame after it, by kind: decoded, and what changed written in the device's
 *              scenes, which take turns as when a stream is played
 *   seeks      the same to frames all over the stream
 *   picture    a frame of it drawn
 *   playing    decoded, uploaded and drawn in their order, as `render` does without encoding */
#include "app/bench_stream.h"
#include "app/shots.h"
#include "app/spread.h"
#include "app/stream_in.h"
#include "app/text.h"
#include "vk/base/thread.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>

enum { BASES = 5, SEEKS = 24, MOST_FRAMES = 300 };

struct times {
    double *wall, *cpu; /* ms */
    size_t count;
};

struct work {
    const struct bench_stream *o;
    struct stream_in in;
    struct progress progress;
    uint32_t frames; /* that are looked at */
    struct times base, entry, residual, seek, picture;
    struct opt_size size;
    double playing_fps;
    struct gs_renderer *renderer;
    struct gs_frame *frame;
};

static int tell(struct work *w, const char *what, uint32_t done, uint32_t total)
{
    struct fv_progress p = {what, done, total};
    return progress_update(&w->progress, &p) ? fv_fail(FV_ECANCELLED, "cancelled") : 0;
}

static void note(struct times *t, double wall, double cpu)
{
    t->wall[t->count] = 1e3 * (fv_now() - wall);
    t->cpu[t->count++] = 1e3 * (fv_cpu_time() - cpu);
}

static int measure_bases(struct work *w, struct vk_device *dev)
{
    for (uint32_t k = 0; k < BASES; k++) {
        struct stream_in in = {0};
        FV_TRY(tell(w, "first frames", k, BASES));
        int rc = stream_in_open(&in, w->o->path, &(struct scene_opts){.sh = w->o->sh});
        if (rc == 0) {
            stream_in_start(&in, dev, false);
            double wall = fv_now(), cpu = fv_cpu_time();
            rc = stream_in_put(&in, &in.slot[0], 0);
            note(&w->base, wall, cpu);
        }
        stream_in_finish(&in);
        FV_TRY(rc);
    }
    return 0;
}

static int put(struct work *w, uint32_t frame, struct times *t)
{
    struct stream_slot *slot = &w->in.slot[w->in.turn];
    w->in.turn = (w->in.turn + 1) % RENDER_IN_FLIGHT;
    double wall = fv_now(), cpu = fv_cpu_time();
    FV_TRY(stream_in_put(&w->in, slot, frame));
    if (t)
        note(t, wall, cpu);
    return 0;
}

static int measure_decoding(struct work *w)
{
    const struct gs_stream_info *i = w->in.info;
    for (int k = 0; k < RENDER_IN_FLIGHT; k++) /* every scene is there */
        FV_TRY(put(w, 0, NULL));
    for (uint32_t f = 1; f < w->frames; f++) {
        enum gs_stream_frame_kind kind = i->frame[f].kind;
        FV_TRY(tell(w, "decoding", f, w->frames));
        FV_TRY(put(w, f,
                   kind == GS_FRAME_BASE    ? NULL
                   : kind == GS_FRAME_ENTRY ? &w->entry
                                            : &w->residual));
    }
    uint32_t at = i->frame_count / 2;
    for (uint32_t k = 0; k < SEEKS; k++) {
        FV_TRY(tell(w, "seeking", k, SEEKS));
        at = (uint32_t)((at + 0.6180339887 * i->frame_count)) % i->frame_count;
        FV_TRY(put(w, at, &w->seek));
    }
    return 0;
}

static int play(struct work *w, struct vk_device *dev)
{
    static const struct gs_render_opts opts = {.output = GS_OUT_RGBA8};
    struct gs_bounds bounds;
    struct gs_camera camera;
    const struct gs_gpu_scene *gpu;
    FV_TRY(stream_in_first(&w->in));
    gs_scene_bounds(&w->in.scene, &bounds);
    FV_TRY(gs_renderer_create(&w->renderer, dev));
    FV_TRY(gs_frame_create(&w->frame, w->renderer));
    gs_frame_keep_on_device(w->frame, true);
    double start = 0;
    for (uint32_t f = 0; f < w->frames; f++) {
        FV_TRY(tell(w, "playing", f, w->frames));
        FV_TRY(stream_in_at(&w->in, f / w->in.info->fps, &gpu));
        gs_camera_orbit(&camera, &w->in.scene, &bounds, w->size.width, w->size.height,
                        f / (double)w->frames);
        double wall = fv_now(), cpu = fv_cpu_time();
        FV_TRY(gs_frame_submit(w->frame, gpu, &camera, &opts));
        FV_TRY(gs_frame_wait(w->frame));
        if (f)
            note(&w->picture, wall, cpu);
        else /* pipelines are made by the first one */
            start = fv_now();
    }
    w->playing_fps = w->frames > 1 ? (w->frames - 1) / (fv_now() - start) : 0;
    return 0;
}

static int measure(struct app *app, struct work *w)
{
    struct vk_device *dev;
    FV_TRY(shots_check_size("--size", w->size.width, w->size.height));
    FV_TRY(app_device(app, &dev));
    stream_in_start(&w->in, dev, false);
    FV_TRY(measure_bases(w, dev));
    FV_TRY(measure_decoding(w));
    return play(w, dev);
}

/* ---- results ---- */

static void say(cJSON *doc, const char *what, const struct times *t, uint64_t bytes)
{
    if (!t->count)
        return;
    struct spread wall = spread_of(t->wall, t->count), cpu = spread_of(t->cpu, t->count);
    if (doc) {
        cJSON *o = cJSON_AddObjectToObject(doc, what);
        cJSON_AddNumberToObject(o, "count", (double)t->count);
        cJSON_AddNumberToObject(o, "wall_ms_median", wall.median);
        cJSON_AddNumberToObject(o, "wall_ms_p95", wall.p95);
        cJSON_AddNumberToObject(o, "cpu_ms_median", cpu.median);
        if (bytes)
            cJSON_AddNumberToObject(o, "bytes_mean", (double)bytes / (double)t->count);
        return;
    }
    char size[32] = "";
    if (bytes)
        bytes_text(size, bytes / t->count);
    printf("  %-10s %5zu %11.2f %10.2f %10.2f   %s\n", what, t->count, wall.median, wall.p95,
           cpu.median, size);
}

static double median(double *v, size_t count)
{
    return spread_of(v, count).median;
}

static void results(struct work *w)
{
    const struct gs_stream_info *i = w->in.info;
    uint64_t bytes[3] = {0};
    for (uint32_t f = 0; f < w->frames; f++)
        bytes[i->frame[f].kind] += i->frame[f].size;
    bytes[GS_FRAME_BASE] = (uint64_t)i->frame[0].size * w->base.count;
    cJSON *doc = w->o->json ? cJSON_CreateObject() : NULL;
    if (doc) {
        cJSON_AddStringToObject(doc, "stream", w->o->path);
        cJSON_AddNumberToObject(doc, "frames", w->frames);
        cJSON_AddNumberToObject(doc, "gaussians", i->count);
    } else {
        char count[32];
        count_text(count, i->count);
        printf("%s: %u frames of %s Gaussians, SH %d\n", w->o->path, i->frame_count, count,
               i->sh_degree);
        printf("  %-10s %5s %11s %10s %10s   %s\n", "decoding", "", "wall ms", "p95", "cpu ms",
               "bytes each");
    }
    say(doc, "base", &w->base, bytes[GS_FRAME_BASE]);
    say(doc, "entry", &w->entry, bytes[GS_FRAME_ENTRY]);
    say(doc, "residual", &w->residual, bytes[GS_FRAME_RESIDUAL]);
    say(doc, "seek", &w->seek, 0);
    say(doc, "picture", &w->picture, 0);
    double share = w->residual.count && w->picture.count
                       ? 100 * median(w->residual.cpu, w->residual.count) /
                             median(w->picture.cpu, w->picture.count)
                       : 0;
    if (doc) {
        cJSON_AddNumberToObject(doc, "width", w->size.width);
        cJSON_AddNumberToObject(doc, "height", w->size.height);
        cJSON_AddNumberToObject(doc, "residual_percent_of_picture", share);
        cJSON_AddNumberToObject(doc, "playing_fps", w->playing_fps);
        print_cjson(doc);
        return;
    }
    if (share > 0)
        printf("  a residual takes %.1f %% of the CPU time of a picture of %ux%u\n", share,
               w->size.width, w->size.height);
    printf("  playing    %.1f frames/s decoded, uploaded and drawn\n", w->playing_fps);
}

static int make_times(struct times *t, size_t room)
{
    t->wall = calloc(room + 1, sizeof *t->wall);
    t->cpu = calloc(room + 1, sizeof *t->cpu);
    return t->wall && t->cpu ? 0 : fv_fail(FV_ENOMEM, "out of memory");
}

int bench_stream(struct app *app, const struct bench_stream *o)
{
    struct work w = {.o = o};
    struct times *const all[] = {&w.base, &w.entry, &w.residual, &w.seek, &w.picture};
    enum { TIMES = sizeof all / sizeof *all };
    w.size = o->size.set ? o->size : (struct opt_size){true, 1280, 720};
    FV_TRY(stream_in_open(&w.in, o->path, &(struct scene_opts){.sh = o->sh}));
    int rc = stream_in_whole(&w.in);
    w.frames = w.in.info->frame_count < MOST_FRAMES ? w.in.info->frame_count : MOST_FRAMES;
    progress_start(&w.progress, o->progress, "frames", app->quiet);
    for (int k = 0; k < TIMES && rc == 0; k++)
        rc = make_times(all[k], w.frames > SEEKS ? w.frames : SEEKS);
    rc = rc == 0 ? measure(app, &w) : rc;
    progress_done(&w.progress);
    if (rc == 0)
        results(&w);
    for (int k = 0; k < TIMES; k++) {
        free(all[k]->wall);
        free(all[k]->cpu);
    }
    gs_frame_destroy(&w.frame);
    gs_renderer_destroy(&w.renderer);
    stream_in_finish(&w.in);
    return rc;
}
