/* Making clips beside the window: each is a process of its own, costs are estimated and files looked at by
 * threads (studio.h). Nothing here waits. */
#include "app/viewer.h"
#include "vk/base/file.h"
#include "vk/base/json.h"
#include "vk/base/thread.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NICE_ON_CPU = 10 }; /* a CPU's device is the window's too */

/* --- beginning, when the panel is opened first --- */

/* Where clips go unless the person says otherwise: videos' folder, else home. */
static void set_folder(struct viewer *v)
{
    const char *home = getenv("HOME");
    char *out = v->settings.clip_folder;
    if (*out)
        return;
    home = home && *home == '/' ? home : "";
    snprintf(out, sizeof v->settings.clip_folder, "%s/Videos", home);
    bool videos = *home && fv_is_dir(out);
    snprintf(out, sizeof v->settings.clip_folder, *home ? "%s%s/fovea" : "%s%sfovea-clips", home,
             videos ? "/Videos" : "");
}

static int start(struct viewer *v)
{
    struct studio *s = &v->studio;
    const struct estimate_opts e = {.budget = v->dev->caps.budget_bytes, .wake = window_wake};
    const struct queue_opts q = {.device = v->app->device,
                                 .niceness = v->dev->caps.is_cpu ? NICE_ON_CPU : 0};
    s->started = true;
    s->count = 1;
    generation_defaults(&s->g);
    if (v->settings.generation[0])
        generation_read(&s->g, v->settings.generation);
    if (s->g.memory)
        snprintf(s->memory, sizeof s->memory, "%.0fM", (double)s->g.memory / 1e6);
    set_folder(v);
    FV_TRY(estimate_start(&s->estimator, &e));
    FV_TRY(queue_create(&s->queue, &q));
    return peek_start(&s->peek, window_wake);
}

/* A dry run measures it; only the number is taken. */
static void measure(struct viewer *v)
{
    struct studio *s = &v->studio;
    struct process_line *line = calloc(1, sizeof *line);
    struct generation one;
    if (!line)
        return;
    generation_defaults(&one);
    strcpy(one.prompt, "a ball");
    strcpy(one.model, s->g.model);
    generation_line(&one, line, &(struct generation_files){.report = "-", .device = v->app->device});
    process_start(&s->measure, line, &(struct process_opts){.what = "measurement", .output = 16384, .niceness = 5});
    free(line);
}

void viewer_studio(struct viewer *v)
{
    if (v->studio.started)
        return;
    if (start(v) < 0)
        viewer_failed(v);
    measure(v);
}

void viewer_studio_stop(struct viewer *v)
{
    struct studio *s = &v->studio;
    process_destroy(&s->measure);
    queue_destroy(&s->queue);
    estimate_stop(&s->estimator);
    peek_stop(&s->peek);
    for (size_t i = 0; i < s->clip_count; i++)
        free(s->clips[i]);
    clip_player_stop(&s->player);
}

void viewer_keep_generation(struct viewer *v)
{
    char *text = v->studio.started ? generation_write(&v->studio.g) : NULL;
    if (text && strlen(text) < sizeof v->settings.generation)
        strcpy(v->settings.generation, text);
    free(text);
}

/* --- actions --- */

void viewer_generate(struct viewer *v)
{
    struct studio *s = &v->studio;
    struct generation g = s->g;
    int rc = 0;
    s->problem[0] = 0;
    for (int i = 0; i < (int)s->count && rc >= 0; i++) {
        rc = queue_add(s->queue, &g, v->settings.clip_folder);
        if (rc >= 0)
            g.seed = s->queue->items[s->queue->count - 1]->g.seed + 1;
    }
    if (rc < 0)
        snprintf(s->problem, sizeof s->problem, "%s", fv_error());
    else if (g.model[0])
        settings_remember(&v->settings.models, g.model);
    v->studio.worst_round_ms = 0;
    viewer_remember(v);
}

void viewer_reuse(struct viewer *v, const char *path)
{
    struct studio *s = &v->studio;
    s->problem[0] = 0;
    if (generation_of_video(&s->g, path) < 0) {
        snprintf(s->problem, sizeof s->problem, "%s", fv_error());
        return;
    }
    snprintf(s->memory, sizeof s->memory, s->g.memory ? "%.0fM" : "", (double)s->g.memory / 1e6);
    viewer_notice(v, "Settings of %s", fv_path_base(path));
    viewer_remember(v);
}

void viewer_play_clip(struct viewer *v, const char *path)
{
    struct studio *s = &v->studio;
    viewer_close_clip(v);
    const struct clip_player_opts o = {
        .screen = v->screen, .bgra = v->swapchain->bgra, .wake = window_wake};
    if (clip_player_start(&s->player, path, &o) < 0)
        viewer_failed(v);
    snprintf(s->playing_path, sizeof s->playing_path, "%s", path);
    v->playing = false;
    struct viewer_stream stream = viewer_stream(v);
    if (stream.file)
        play_set_playing(stream.file->play, false);
}

void viewer_close_clip(struct viewer *v)
{
    struct studio *s = &v->studio;
    if (!s->player)
        return;
    if (vk_swapchain_settle(v->swapchain) < 0)
        viewer_failed(v);
    clip_player_stop(&s->player);
    s->picture = NULL;
    v->fresh = v->picture != NULL;
    v->redraws = v->redraws ? v->redraws : 6;
}

/* --- every round --- */

struct peeked *viewer_clip(struct viewer *v, const char *path)
{
    struct studio *s = &v->studio;
    for (size_t i = 0; i < s->clip_count; i++)
        if (!strcmp(s->clips[i]->path, path))
            return s->clips[i];
    struct peeked *c = s->clip_count < SETTINGS_PATHS ? calloc(1, sizeof *c) : NULL;
    if (!c)
        return NULL;
    c->found = true; /* until it is known better */
    snprintf(c->path, sizeof c->path, "%s", path);
    s->clips[s->clip_count++] = c;
    peek_ask(s->peek, path, 0);
    return c;
}

static void take_peeks(struct viewer *v)
{
    struct studio *s = &v->studio;
    static struct peeked got; /* large */
    while (peek_poll(s->peek, &got)) {
        v->redraws = SETTLE_DRAWS;
        if (got.tag) {
            if (got.found)
                s->preview = got;
            continue;
        }
        for (size_t i = 0; i < s->clip_count; i++)
            if (!strcmp(s->clips[i]->path, got.path))
                *s->clips[i] = got;
    }
}

static void take_estimate(struct viewer *v)
{
    struct studio *s = &v->studio;
    if (memcmp(&s->g, &s->estimated_for, sizeof s->g)) {
        s->estimated_for = s->g;
        estimate_ask(s->estimator, &s->g);
        viewer_remember(v);
    }
    if (estimate_poll(s->estimator, &s->estimate)) {
        s->estimated = true;
        v->redraws = SETTLE_DRAWS; /* the panel may get another height */
    }
    int rc = s->measure ? process_poll(s->measure) : 0;
    if (!rc)
        return;
    struct fv_json doc;
    if (rc > 0 && fv_json_parse(&doc, s->measure->output, s->measure->output_size, "measurement") == 0) {
        s->speed = fv_json_number_or(&doc, doc.root, "flops_per_second", 0);
        fv_json_close(&doc);
    }
    process_destroy(&s->measure);
    v->redraws = v->redraws ? v->redraws : 1;
}

/* A clip has been made, or will not be. */
static void end_item(struct viewer *v, size_t i)
{
    struct studio *s = &v->studio;
    struct queue_item *item = s->queue->items[i];
    s->preview.count = 0;
    if (item->state == QUEUE_DONE) {
        settings_remember(&v->settings.clips, item->output);
        viewer_remember(v);
        viewer_notice(v, "Made %s", fv_path_base(item->output));
        if (!v->scene && !s->player)
            viewer_play_clip(v, item->output);
        queue_remove(s->queue, i);
    } else if (item->state == QUEUE_CANCELLED) {
        queue_remove(s->queue, i);
    } else {
        snprintf(s->problem, sizeof s->problem, "%s", item->error);
    }
    v->redraws = SETTLE_DRAWS;
}

static void follow_queue(struct viewer *v)
{
    struct studio *s = &v->studio;
    size_t ended;
    if (!queue_waiting(s->queue) && queue_running(s->queue) < 0)
        return;
    if (queue_poll(s->queue, &ended))
        end_item(v, ended);
    if (s->queue->previews != s->previews && queue_running(s->queue) >= 0)
        peek_ask(s->peek, s->queue->preview, 1);
    s->previews = s->queue->previews;
    if (v->images > 3)
        s->worst_round_ms = fmax(s->worst_round_ms, v->show_ms);
    v->redraws = v->redraws ? v->redraws : 1;
}

static void follow_clip(struct viewer *v)
{
    struct studio *s = &v->studio;
    if (!s->player)
        return;
    clip_player_fit(s->player, v->width, v->height);
    const struct picture *picture = clip_player_poll(s->player, &s->playing);
    if (picture) {
        s->picture = picture;
        v->fresh = true;
    }
    if (!s->playing.error[0])
        return;
    char cause[sizeof s->playing.error];
    strcpy(cause, s->playing.error);
    viewer_close_clip(v);
    fv_fail(FV_EFORMAT, "%s", cause);
    viewer_failed(v);
}

void viewer_studio_step(struct viewer *v)
{
    if (!v->studio.queue || !v->studio.estimator || !v->studio.peek)
        return;
    take_estimate(v);
    take_peeks(v);
    follow_queue(v);
    follow_clip(v);
}

bool viewer_studio_busy(const struct viewer *v)
{
    const struct studio *s = &v->studio;
    return s->measure || (s->queue && (queue_waiting(s->queue) || queue_running(s->queue) >= 0));
}
