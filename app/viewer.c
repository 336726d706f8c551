/* The viewer's life and loop (viewer.h). This thread, the window's, takes input, asks for pictures
 * and draws the panels over the newest one; pictures are drawn, scenes loaded and videos exported
 * beside it. It waits for none of them. Nothing is drawn while nothing changes. */
#include "app/viewer.h"
#include "vk/base/log.h"
#include "vk/base/thread.h"
#include "vk/cmd.h"
#include "vk/pipe.h"

#include <malloc.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Several times what one way of drawing takes: a driver that compiles for a processor needs 1.7 MB for each. */
enum { MOST_PIPELINES = 48 };
static const double idle_seconds = 0.25, busy_seconds = 0.1, notice_seconds = 4;
static const double pi = 3.14159265358979323846;

/* --- messages --- */

void viewer_failed(struct viewer *v)
{
    snprintf(v->error, sizeof v->error, "%s", fv_error());
    v->redraws = SETTLE_DRAWS;
}

void viewer_notice(struct viewer *v, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(v->notice, sizeof v->notice, fmt, ap);
    va_end(ap);
    v->notice_until = fv_now() + notice_seconds;
    v->redraws = SETTLE_DRAWS;
}

/* --- the view --- */

struct gs_camera viewer_camera(const struct viewer *v)
{
    struct gs_camera c = v->lens;
    gs_camera_resize(&c, v->width, v->height);
    camera_control_get(&v->control, &c);
    return c;
}

/* As it is drawn: half as wide where there are two views. */
static struct gs_camera seen_camera(const struct viewer *v)
{
    struct gs_camera c = v->lens;
    gs_camera_resize(&c, viewer_halves(v) && v->width > 1 ? v->width / 2 : v->width, v->height);
    camera_control_get(&v->control, &c);
    return c;
}

struct picture_request viewer_request(const struct viewer *v)
{
    struct picture_request r = {.scene = v->gpu,
                                .stream = v->scene->play ? v->scene : NULL,
                                .frame = v->scene->play ? v->held : 0,
                                .camera = seen_camera(v),
                                .kind = v->kind,
                                .profile = v->profile,
                                .opts = {.mode = v->mode,
                                         .sh_bands = v->sh_bands,
                                         .has_bg = v->has_bg,
                                         .splat_scale = v->splat_scale,
                                         .stereo = v->stereo && !v->other.gpu,
                                         .has_crop = v->crop}};
    memcpy(r.opts.bg, v->bg, sizeof v->bg);
    const struct comparison *other = &v->other;
    if (other->gpu)
        r.beside = (struct picture_side){.scene = other->gpu,
                                         .stream = other->scene->play ? other->scene : NULL,
                                         .frame = other->play.held,
                                         .split = other->split,
                                         .line = other->line,
                                         .swapped = other->swapped};
    for (int k = 0; v->crop && k < 3; k++) {
        /* an end of the slider means no limit: the slider leaves far outliers out */
        float low = v->crop_range[k][0], high = v->crop_range[k][1];
        const struct gs_bounds *b = &v->scene->bounds, *d = other->gpu ? &other->scene->bounds : b;
        r.opts.crop_min[k] = low <= v->crop_ends[k][0] ? fminf(b->min[k], d->min[k]) : low;
        r.opts.crop_max[k] = high >= v->crop_ends[k][1] ? fmaxf(b->max[k], d->max[k]) : high;
    }
    return r;
}

void viewer_look(struct viewer *v, const struct gs_camera *camera)
{
    v->lens = *camera;
    camera_control_set(&v->control, camera);
}

void viewer_jump(struct viewer *v, int i)
{
    int count = (int)v->scene->cameras.count;
    if (!count)
        return;
    v->camera = (i % count + count) % count;
    v->playing = false;
    viewer_look(v, &v->scene->cameras.items[v->camera]);
}

void viewer_reset(struct viewer *v)
{
    v->playing = false;
    viewer_look(v, &v->home);
}

double viewer_fov(const struct viewer *v)
{
    struct gs_camera c = viewer_camera(v);
    return 2 * atan(v->height / 2.0 / c.fy) * 180 / pi;
}

void viewer_set_fov(struct viewer *v, double degrees)
{
    struct gs_camera c = viewer_camera(v);
    c.fx = c.fy = v->height / 2.0 / tan(degrees * pi / 360);
    v->lens = c;
}

void viewer_frame_scene(struct viewer *v)
{
    struct gs_camera c = seen_camera(v);
    double half = fmin(atan(c.width / 2.0 / c.fx), atan(c.height / 2.0 / c.fy));
    v->playing = false;
    camera_control_frame(&v->control, v->control.centre, v->control.radius, half);
}

/* --- scenes --- */

/* The file's up; else the mean of the cameras' (captures are mostly held upright); else -y. */
static void scene_up(const struct loaded *s, double up[3])
{
    double length = 0;
    for (int k = 0; k < 3; k++)
        length += fabs((double)(up[k] = s->info.up[k]));
    if (length > 0)
        return;
    for (size_t i = 0; i < s->cameras.count; i++)
        for (int k = 0; k < 3; k++)
            up[k] -= s->cameras.items[i].view[4 + k];
    for (int k = 0; k < 3; k++)
        length += up[k] * up[k];
    if (!(sqrt(length) > 0.5 * (double)s->cameras.count) || s->cameras.count < 2)
        memcpy(up, (double[3]){0, -1, 0}, 3 * sizeof *up);
}

/* Where the view starts and reset returns to: the first camera, or an orbit's start. */
static void find_home(struct viewer *v, int camera)
{
    struct loaded *s = v->scene;
    v->camera = -1;
    if (s->cameras.count) {
        v->camera = camera;
        v->home = s->cameras.items[camera];
    } else {
        gs_camera_orbit(&v->home, &s->info, &s->bounds, v->width, v->height, 0);
    }
    viewer_look(v, &v->home);
}

static void set_crop_ends(struct viewer *v)
{
    const struct gs_bounds *b = &v->scene->bounds;
    for (int k = 0; k < 3; k++) {
        v->crop_ends[k][0] = fmaxf(b->min[k], b->centre[k] - 4 * b->radius);
        v->crop_ends[k][1] = fminf(b->max[k], b->centre[k] + 4 * b->radius);
        memcpy(v->crop_range[k], v->crop_ends[k], sizeof v->crop_range[k]);
    }
    v->crop = false;
}

static int take_cameras(struct viewer *v)
{
    struct gs_cameras *c = &v->scene->cameras;
    if (!c->is_path)
        return 0;
    viewer_path_keep(v);
    gs_cameras_finish(&v->path);
    v->path_time = 0;
    return path_from_cameras(&v->path, c);
}

static void set_names(struct viewer *v)
{
    snprintf(v->stem, sizeof v->stem, "%.200s", v->scene->name);
    char *dot = strrchr(v->stem, '.');
    if (dot && dot > v->stem)
        *dot = 0;
    snprintf(v->path_file, sizeof v->path_file, "%s-path.json", v->stem);
    viewer_export_name(v);
    if (v->window) {
        char title[320];
        snprintf(title, sizeof title, "%s - fovea", v->scene->name);
        window_set_title(v->window, title);
    }
}

/* The loaded scene takes the place of the old one, which may still be being drawn. Its last
 * picture stays until there is one of the new. */
static int take_scene(struct viewer *v, const char *camera)
{
    struct loaded *s = loader_take(v->loader);
    int first = 0;
    if (camera) {
        first = gs_cameras_find(&s->cameras, camera);
        if (first < 0) {
            loaded_destroy(&s);
            return first;
        }
    }
    viewer_close_clip(v);
    if (v->scene)
        render_thread_retire(v->render, v->scene);
    v->sketching = v->sketching == v->scene ? NULL : v->sketching;
    v->scene = s;
    v->gpu = s->gpu;
    v->held = 0;
    v->other.next = NULL;
    v->play = (struct play_state){0};
    v->load.play.at = 0; /* told of the first only, as is: */
    v->load.appearance = 0;
    v->thumb_count = 0;
    v->asked = v->drawn = (struct picture_request){0};
    v->ever_loaded = true;
    v->playing = false;
    v->sh_bands = v->sh_bands > s->info.sh_degree + 1 ? 0 : v->sh_bands;

    if (v->relights) { /* the view stays */
        v->relights = false;
        pace_forget(&v->pace);
        return 0;
    }
    double centre[3], up[3];
    for (int k = 0; k < 3; k++)
        centre[k] = s->bounds.centre[k];
    scene_up(s, up);
    bool had = v->control.radius > 0;
    enum camera_mode mode = had ? v->control.mode : (enum camera_mode)v->settings.movement;
    double speed = had ? v->control.speed : v->settings.speed;
    camera_control_init(&v->control, centre, s->bounds.radius, up);
    v->control.mode = mode;
    v->control.speed = speed;
    find_home(v, first);
    set_crop_ends(v);
    set_names(v);
    v->mark = 0;
    settings_remember(&v->settings.recent, s->path);
    snprintf(v->scene_file, sizeof v->scene_file, "%s", v->settings.recent.count ? v->settings.recent.items[0] : "");
    viewer_remember(v);
    v->appearance = s->appearance;
    pace_forget(&v->pace);
    if (s->notice[0])
        viewer_notice(v, "%s", s->notice);
    return take_cameras(v);
}

void viewer_open(struct viewer *v, const char *path, const char *cameras)
{
    loader_destroy(&v->loader);
    v->error[0] = 0;
    v->relights = false;
    struct loader_opts o = v->load;
    o.cameras = cameras;
    o.wake = v->window ? window_wake : NULL;
    if (loader_start(&v->loader, v->dev, path, &o) < 0)
        viewer_failed(v);
    v->redraws = SETTLE_DRAWS;
}

/* The scene's file once more, with another appearance. */
static void relight(struct viewer *v)
{
    struct loaded *s = v->scene;
    if (!s || v->loader || v->appearance == s->appearance)
        return;
    struct loader_opts o = v->load;
    o.cameras = s->cameras_path;
    o.appearance = v->appearance;
    o.wake = v->window ? window_wake : NULL;
    v->relights = loader_start(&v->loader, v->dev, s->path, &o) >= 0;
    if (!v->relights) {
        v->appearance = s->appearance;
        viewer_failed(v);
    }
}

static void drop_cameras(struct viewer *v, const char *path)
{
    struct gs_cameras fresh;
    if (gs_cameras_load(&fresh, path, &v->load.picture) < 0) {
        viewer_failed(v);
        return;
    }
    struct loaded *s = v->scene;
    gs_cameras_finish(&s->cameras);
    free(s->cameras_path);
    s->cameras = fresh;
    s->cameras_path = strdup(path);
    find_home(v, 0);
    if (take_cameras(v) < 0)
        viewer_failed(v);
    else
        viewer_notice(v, "%zu cameras from %s", s->cameras.count, fv_path_base(path));
}

void viewer_drop(struct viewer *v, const char *path)
{
    if (v->scene && looks_like_cameras(path))
        drop_cameras(v, path);
    else
        viewer_open(v, path, NULL);
}

/* Moves a finished load into place. Negative: this scene could not be loaded. */
static int poll_loader(struct viewer *v, const char *camera)
{
    if (!v->loader)
        return 0;
    int rc = loader_poll(v->loader, &v->loading);
    if (rc > 0) {
        rc = take_scene(v, camera);
    } else if (rc == 0) {
        v->redraws = v->redraws ? v->redraws : 1;
        return 0;
    }
    if (v->relights)
        v->appearance = v->scene->appearance; /* which stays */
    v->relights = false;
    loader_destroy(&v->loader);
    v->redraws = SETTLE_DRAWS;
    return rc;
}

/* --- streams --- */

static bool is_drawn(void *ud, const struct gs_gpu_scene *scene)
{
    const struct viewer *v = ud;
    return scene == v->gpu || scene == v->other.next || render_thread_uses(v->render, scene);
}

void viewer_tick(struct viewer *v, struct loaded *file, struct play_state *now)
{
    bool waiting = now->waiting, damaged = now->damage[0];
    play_set_sh_bands(file->play, v->sh_bands);
    unsigned changes = now->changes;
    play_tick(file->play, v->now, now);
    if (changes != now->changes)
        viewer_notice(v, "The stream is another one at the server now: from its start.");
    bool ahead = now == viewer_stream(v).now && now->ahead != v->ahead;
    if (ahead || waiting != now->waiting || damaged != (bool)now->damage[0])
        v->redraws = v->redraws ? v->redraws : 1;
}

/* The small pictures of the timeline: from where the view starts, when playing has begun. */
static void ask_sketch(struct viewer *v)
{
    struct viewer_stream t = viewer_stream(v);
    struct loaded *s = t.file;
    if (!s || !s->thumbs || !v->gpu || v->sketching || *t.thumb_count == THUMBS_MOST)
        return;
    uint32_t frame;
    const struct gs_gpu_scene *scene = thumbs_next(s->thumbs, &frame);
    if (!scene)
        return;
    struct picture_request r = viewer_request(v);
    r = (struct picture_request){
        .scene = scene, .stream = s, .frame = frame, .camera = v->home, .opts = r.opts};
    r.opts.has_crop = r.opts.stereo = false;
    r.opts.splat_scale = 1;
    gs_camera_resize(&r.camera, UI_THUMB_WIDTH, UI_THUMB_HEIGHT);
    render_thread_sketch(v->render, &r, (int)frame);
    v->sketching = s;
}

static void take_sketch(struct viewer *v, const struct picture *p, int frame)
{
    struct comparison *other = &v->other;
    const struct loaded *of = v->sketching;
    bool second = of && of == other->scene;
    size_t *count = second ? &other->thumb_count : &v->thumb_count;
    v->sketching = NULL;
    if (!of || !of->thumbs)
        return;
    thumbs_done(of->thumbs);
    if (p->width != UI_THUMB_WIDTH || p->height != UI_THUMB_HEIGHT || *count == THUMBS_MOST)
        return;
    struct ui_thumb *t = &(second ? other->thumbs : v->thumbs)[(*count)++];
    t->frame = (uint32_t)frame;
    memcpy(t->rgba, p->pixels.map, sizeof t->rgba);
    for (uint8_t *c = t->rgba[0][0]; p->bgra && c < (uint8_t *)(t + 1); c += 4) {
        uint8_t red = c[2];
        c[2] = c[0];
        c[0] = red;
    }
    v->redraws = v->redraws ? v->redraws : 1;
}

/* Frames that nothing shows any more can be written over. */
static void settle_stream(struct viewer *v)
{
    if (v->scene && v->scene->play)
        play_settle(v->scene->play, is_drawn, v);
    if (v->other.scene && v->other.scene->play)
        play_settle(v->other.scene->play, is_drawn, v);
}

/* --- camera path --- */

void viewer_scrub(struct viewer *v, double time)
{
    struct gs_camera c;
    v->path_time = time;
    if (v->path.count && gs_cameras_eval(&v->path, time, &c) >= 0)
        viewer_look(v, &c);
}

static void play(struct viewer *v, double dt)
{
    double end = path_end(&v->path), length = gs_cameras_duration(&v->path), time = v->path_time + fmin(dt, 0.25);
    if (time > end && v->path.loop && length > 0)
        time = end - length + fmod(time - end, length);
    v->playing = time <= end;
    viewer_scrub(v, fmin(time, end));
}

void viewer_path_keep(struct viewer *v)
{
    if (path_keep(&v->edits, &v->path) < 0)
        viewer_notice(v, "%s", fv_error());
}

void viewer_path_undo(struct viewer *v, bool redo)
{
    v->playing = v->moving_key = false;
    if (!(redo ? path_redo(&v->edits, &v->path) : path_undo(&v->edits, &v->path))) {
        viewer_notice(v, redo ? "There is nothing to do again." : "There is nothing to undo.");
        return;
    }
    v->path_time = fmin(v->path_time, path_end(&v->path));
    viewer_notice(v, "%s: %zu keys", redo ? "Done again" : "Undone", v->path.count);
}

void viewer_path_play(struct viewer *v)
{
    if (v->path.count < 2) {
        viewer_notice(v, "Add at least two keys to the path first (K).");
        return;
    }
    v->playing = !v->playing;
    if (v->playing && !v->path.loop && v->path_time >= path_end(&v->path))
        v->path_time = 0;
}

void viewer_add_key(struct viewer *v)
{
    struct gs_camera key = viewer_camera(v);
    double time = path_next_time(&v->path), end = v->path.count ? time - 2 : 0;
    if (v->path_time > 0 && v->path_time < end)
        time = v->path_time;
    viewer_path_keep(v);
    v->path.is_path = true;
    if (path_add(&v->path, &key, time) < 0) {
        viewer_failed(v);
        return;
    }
    v->path_time = time;
    viewer_notice(v, "Key at %.2f s: %zu in all", time, v->path.count);
}

/* --- pictures --- */

void viewer_shoot(struct viewer *v)
{
    char name[560];
    if (v->saving || v->lost[0] || !v->gpu)
        return;
    snprintf(name, sizeof name, "%s", v->stem);
    size_t stem = strlen(name);
    for (int i = 1; i < 10000; i++) {
        snprintf(name + stem, sizeof name - stem, "-%03d.png", i);
        if (!fv_exists(name))
            break;
    }
    struct picture_request r = viewer_request(v);
    if (render_thread_save(v->render, &r, name) < 0)
        viewer_failed(v);
    else
        v->saving = true;
}

/* Asks for a picture if anything has changed since the last one asked for. */
static void ask_picture(struct viewer *v)
{
    if (!v->gpu || !v->width || !v->height || v->lost[0] || v->studio.player)
        return;
    struct picture_request r = viewer_request(v);
    bool resized =
        r.camera.width != v->asked.camera.width || r.camera.height != v->asked.camera.height;
    bool changed = resized || !picture_same(&r, &v->asked);
    int step = pace_choose(&v->pace, changed, v->now);
    if (!v->reduce)
        step = 0;
    if (!changed && step >= v->asked_step)
        return;
    bool next = r.frame != v->asked.frame || r.beside.frame != v->asked.beside.frame;
    v->asked = r;
    v->asked_step = step;
    double part = pace_factor(step);
    picture_scale(&r.camera, (uint32_t)fmax(16, round(r.camera.width * part)),
                  (uint32_t)fmax(16, round(r.camera.height * part)));
    /* a CPU driver takes longer to scale than the host, and would hold up the panels */
    if (v->screen && v->screen->caps.is_cpu) {
        r.fill_width = v->width;
        r.fill_height = v->height;
    }
    struct viewer_stream stream = viewer_stream(v);
    if (render_thread_ask(v->render, &r, step) && next && stream.file && stream.now->playing)
        play_overtaken(stream.file->play);
}

static void take_picture(struct viewer *v, const struct render_news *news)
{
    double since = v->now - v->drawn_at;
    v->picture = news->picture;
    v->pictures++;
    v->worst_picture_ms = fmax(v->worst_picture_ms, v->picture->ms);
    v->drawn = news->drawn;
    v->drawn_step = news->step;
    v->drawn_at = v->now;
    v->fresh = true;
    v->rate = since > 0 && since < 0.5 ? 0.9 * v->rate + 0.1 / since : 1000 / v->picture->ms;
    pace_measured(&v->pace, news->step, v->picture->ms);
    if (news->step == 0) /* at rest: its statistics may have changed the panels' layout */
        v->redraws = SETTLE_DRAWS;
    struct viewer_stream stream = viewer_stream(v);
    struct loaded *s = stream.file;
    if (!s)
        return;
    play_drew(s->play, v->picture->ms / 1000);
    bool there = stream.now->fps > 0 && !stream.now->remote && !stream.now->growing; /* not loaded twice over the network */
    if (!s->thumbs && there && v->window && thumbs_start(&s->thumbs, v->dev, s->path, window_wake) < 0)
        viewer_failed(v);
}

/* What the render thread has to tell. Negative: there is nobody to show it to. */
static int take_news(struct viewer *v)
{
    struct render_news news;
    render_thread_poll(v->render, &news);
    if (news.picture)
        take_picture(v, &news);
    if (news.sketch)
        take_sketch(v, news.sketch, news.tag);
    if (news.picked)
        viewer_picked(v, &news);
    if (news.saved || news.failed)
        v->saving = false;
    if (news.saved)
        viewer_notice(v, "Saved %s", news.path);
    if (news.shaders_told) {
        memcpy(v->shaders, news.shader_log, sizeof v->shaders);
        v->redraws = SETTLE_DRAWS;
    }
    if (!news.failed || v->lost[0])
        return 0;
    int rc = fv_fail(news.failed, "%s", news.error);
    if (!v->window || v->frames)
        return rc;
    if (atomic_load(&v->dev->failed))
        memcpy(v->lost, news.error, sizeof v->lost);
    viewer_failed(v);
    return 0;
}

/* --- the window --- */

/* The font is made for the monitor's scale: at the start, and when the window moves on. */
static int fit_scale(struct viewer *v)
{
    int rc = 0;
    if (v->ui_scale == v->window->scale && v->ui_density == v->window->density)
        return 0;
    FV_TRY(vk_swapchain_settle(v->swapchain));
    v->ui_scale = v->window->scale;
    v->ui_density = v->window->density;
    if (!ui_set_scale(v->ui, v->ui_scale, v->ui_density))
        return 0;
    struct vk_cmd *cmd;
    uint64_t ticket;
    FV_TRY(vk_cmd_create(&cmd, v->screen));
    vk_cmd_begin(cmd);
    VkCommandBuffer cb = vk_cmd_raw_begin(cmd);
    if (cb)
        ui_upload(v->ui, cb);
    vk_cmd_raw_end(cmd);
    FV_GOTO(vk_cmd_submit(cmd, &ticket));
    FV_GOTO(vk_wait(v->screen, ticket));
    ui_upload(v->ui, NULL);
done:
    vk_cmd_destroy(&cmd);
    return rc;
}

/* The window's next image: the newest picture with the panels on it. Returns 1, or 0 when there is
 * no window to draw on at the moment. */
static int show(struct viewer *v)
{
    static const float empty[3] = {0.07f, 0.075f, 0.085f};
    FV_TRY(fit_scale(v));
    int ready = vk_swapchain_begin(v->swapchain, v->width, v->height);
    if (ready <= 0)
        return ready;
    ui_begin(v->ui);
    panels_draw(v);
    v->ahead = viewer_stream(v).file ? viewer_stream(v).now->ahead : 0;
    if (v->studio.player) {
        const struct picture *p = v->studio.picture;
        if (p)
            vk_swapchain_picture(v->swapchain, &p->pixels, p->width, p->height, v->fresh);
        else
            vk_swapchain_clear(v->swapchain, empty);
    } else if (v->scene && v->picture)
        vk_swapchain_picture(v->swapchain, &v->picture->pixels, v->picture->width,
                             v->picture->height, v->fresh);
    else
        vk_swapchain_clear(v->swapchain, empty);
    VkResult r = ui_draw(v->ui, vk_swapchain_overlay_begin(v->swapchain));
    vk_swapchain_overlay_end(v->swapchain);
    FV_TRY(vk_check(v->screen, r, "drawing the interface"));
    FV_TRY(vk_swapchain_end(v->swapchain));
    v->shown_at = v->now;
    v->show_ms = (fv_now() - v->now) * 1000;
    v->images++;
    v->fresh = false;
    return 1;
}

/* The picture is of the scene there is, and not of the one before. */
static bool shows_scene(const struct viewer *v)
{
    return v->scene && v->picture && picture_of(&v->drawn, v->scene) && !v->other.loader &&
           !v->other.gpu == !v->drawn.beside.scene;
}

/* Seconds to wait for input. */
static double patience(const struct viewer *v)
{
    double now = fv_now(), wait = v->loader || v->other.loader || v->exporter || viewer_studio_busy(v) ? busy_seconds : idle_seconds;
    if (!v->width) /* minimised */
        return wait;
    if (v->fresh || (v->frames && shows_scene(v)))
        return 0;
    if (v->redraws)
        wait = fmin(wait, v->shown_at + v->frame_seconds - now);
    if (v->playing || viewer_moving(v))
        wait = fmin(wait, v->before + v->frame_seconds - now);
    if (v->scene && v->asked_step > 0)
        wait = fmin(wait, pace_settle(&v->pace, now));
    if (v->scene && v->scene->play)
        wait = fmin(wait, play_wait(v->scene->play) - (now - v->now));
    if (v->other.scene && v->other.scene->play)
        wait = fmin(wait, play_wait(v->other.scene->play) - (now - v->now));
    return fmax(wait, 0);
}

static bool finished(const struct viewer *v)
{
    return app_cancelled() || (v->frames && v->shown >= v->frames) ||
           (v->window && window_closing(v->window));
}

/* Whether the window is to be drawn now. */
static bool due(const struct viewer *v)
{
    return v->fresh || (v->frames && shows_scene(v)) ||
           (v->redraws && v->now - v->shown_at >= v->frame_seconds);
}

/* A round without a window: the picture is waited for. */
static int step_headless(struct viewer *v)
{
    for (int i = 0; i < 2; i++) {
        const struct play_state *s = i ? &v->other.play : &v->play;
        if (s->damage[0])
            return fv_fail(FV_EFORMAT, "%s", s->damage);
    }
    ask_picture(v);
    render_thread_wait(v->render);
    FV_TRY(take_news(v));
    settle_stream(v);
    bool whole = v->gpu && !v->other.loader && (!v->other.scene || v->other.gpu);
    v->shown += whole;
    if (!whole)
        usleep(2000); /* it is being loaded, or decoded */
    return 0;
}

/* One round of the loop: what happened, the picture, the window. */
static int step(struct viewer *v, const struct viewer_opts *opts)
{
    bool events = v->window ? window_wait(v->window, patience(v)) : false;
    v->now = fv_now();
    double dt = v->now - v->before;
    v->before = v->now;
    int rc = poll_loader(v, v->ever_loaded ? NULL : opts->camera);
    if (rc < 0 && (!v->window || v->frames))
        return rc;
    if (rc < 0 && rc != FV_ECANCELLED)
        viewer_failed(v);
    rc = viewer_compare_poll(v);
    if (rc < 0 && (!v->window || v->frames))
        return rc;
    if (rc < 0 && rc != FV_ECANCELLED)
        viewer_notice(v, "%s", v->other.problem); /* where it happens may not be to be seen */
    viewer_export_step(v);
    viewer_settings_save(v, false);
    viewer_studio_step(v);
    if (v->scene && v->scene->play)
        viewer_tick(v, v->scene, &v->play);
    relight(v);
    viewer_compare_step(v);
    if (!v->window)
        return step_headless(v);
    if (v->notice[0] && v->now > v->notice_until) {
        v->notice[0] = 0;
        v->redraws = SETTLE_DRAWS;
    }
    v->width = (uint32_t)v->window->width;
    v->height = (uint32_t)v->window->height;
    viewer_input(v, dt);
    bool typing, over;
    ui_wants(&over, &typing);
    if ((events && !v->drag) || (typing && v->window->input.typed))
        v->redraws = SETTLE_DRAWS; /* moving the view changes the picture only */
    if (v->playing)
        play(v, dt);
    ask_picture(v);
    FV_TRY(take_news(v));
    settle_stream(v);
    ask_sketch(v);
    if (!due(v))
        return 0;
    int shown = show(v);
    v->redraws -= shown > 0 && v->redraws > 0;
    v->shown += shown > 0 && shows_scene(v);
    return shown;
}

/* --- life --- */

static int open_window(struct viewer *v, const struct viewer_opts *opts)
{
    struct window_opts w = {.title = "fovea",
                            .width = opts->width ? (int)opts->width : 1280,
                            .height = opts->height ? (int)opts->height : 720,
                            .scale_size = !opts->width};
    FV_TRY(window_create(&v->window, &w));
    uint32_t count;
    const char *const *extensions = window_extensions(&count);
    FV_TRY(app_window_device(v->app, extensions, count, &v->screen));
    if (v->screen->caps.is_cpu) /* the time is the pictures' */
        v->frame_seconds = 1.0 / 30;
    FV_TRY(window_surface(v->window, v->screen, &v->surface));
    FV_TRY(vk_swapchain_create(&v->swapchain, v->screen, v->surface));
    v->ui = ui_create(&(struct ui_device){.instance = v->screen->instance,
                                          .phys = v->screen->phys,
                                          .device = v->screen->handle,
                                          .queue = v->screen->queue,
                                          .queue_family = v->screen->queue_family,
                                          .render_pass = v->swapchain->render_pass,
                                          .window = window_handle(v->window),
                                          .places = getenv("FOVEA_WIDGETS")});
    return v->ui ? 0 : fv_fail(FV_EGPUMEM, "no memory for the interface");
}

/* A window may be open for days. By itself glibc keeps a heap for every thread there has been at a time, and takes as
 * an example whatever large piece was given back: pieces as large come from those heaps from then on, where they leave
 * holes. Neither is what a program is for that loads scenes again and again (docs/VIEWER.md). */
static void give_memory_back(void)
{
#ifdef __GLIBC__
    mallopt(M_ARENA_MAX, 2);
    mallopt(M_MMAP_THRESHOLD, 1 << 20); /* larger pieces are the system's again as soon as they are free */
    mallopt(M_TRIM_THRESHOLD, 2 << 20);
#endif
}

static int start(struct viewer *v, const struct viewer_opts *opts)
{
    give_memory_back();
    v->width = opts->width ? opts->width : 1280;
    v->height = opts->height ? opts->height : 720;
    v->frames = opts->frames ? opts->frames : opts->headless ? 1 : 0;
    v->mode = opts->mode;
    v->sh_bands = opts->sh_bands;
    v->load.scene = opts->load;
    v->load.play = opts->play;
    v->load.appearance = opts->appearance;
    v->load.picture = (struct gs_cameras_opts){opts->width, opts->height};
    v->has_bg = opts->has_bg;
    memcpy(v->bg, opts->bg, sizeof v->bg);
    v->frame_seconds = 1.0 / 60;
    v->splat_scale = 1;
    v->other.line = 0.5;
    v->other.split = opts->split;
    v->stereo = opts->stereo;
    v->export_seconds = 4;
    v->camera = -1;
    v->panels = true;
    v->tab = TAB_SCENE;
    v->path.is_path = true;
    viewer_settings_start(v, !opts->headless && !opts->frames);
    if (opts->scene && !http_is_url(opts->scene) && !fv_exists(opts->scene)) /* before a window flashes up */
        return fv_fail(FV_EIO, "%s: no such file or folder", opts->scene);
    if (opts->compare && !http_is_url(opts->compare) && !fv_exists(opts->compare))
        return fv_fail(FV_EIO, "%s: no such file or folder", opts->compare);
    if (!opts->headless)
        FV_TRY(open_window(v, opts));
    FV_TRY(app_device(v->app, &v->dev));
    vk_pipe_keep(v->dev, MOST_PIPELINES);
    struct render_thread_opts render = {.dev = v->dev,
                                        .screen = v->window ? v->screen : v->dev,
                                        .bgra = v->window && v->swapchain->bgra,
                                        .watch_shaders = v->app->shader_dir != NULL,
                                        .wake = v->window ? window_wake : NULL};
    FV_TRY(render_thread_start(&v->render, &render));
    if (opts->scene)
        viewer_open(v, opts->scene, opts->cameras);
    if (opts->compare)
        viewer_compare(v, opts->compare);
    v->before = fv_now();
    v->redraws = SETTLE_DRAWS;
    return 0;
}

static void finish(struct viewer *v)
{
    if (v->window)
        fv_log(FV_INFO,
               "%d pictures, the longest took %.1f ms; %d images of the window, no round of input "
               "and panels longer than %.1f ms",
               v->pictures, v->worst_picture_ms, v->images, v->worst_round_ms);
    if (v->swapchain)
        vk_swapchain_settle(v->swapchain);
    viewer_settings_save(v, true);
    viewer_studio_stop(v);
    exporter_destroy(&v->exporter);
    loader_destroy(&v->loader);
    loader_destroy(&v->other.loader);
    ui_destroy(v->ui);
    vk_swapchain_destroy(&v->swapchain);
    render_thread_stop(&v->render);
    loaded_destroy(&v->scene);
    loaded_destroy(&v->other.scene);
    gs_cameras_finish(&v->path);
    path_forget(&v->edits);
    if (v->surface)
        vkDestroySurfaceKHR(v->screen->instance, v->surface, NULL);
    window_destroy(&v->window);
}

/* The present view at full size, whatever was shown last. */
static int last_shot(struct viewer *v, const char *path)
{
    struct render_news news;
    if (!v->gpu)
        return fv_fail(FV_EINVALID, "%s: there is no picture to save yet", path);
    struct picture_request r = viewer_request(v);
    render_thread_wait(v->render);
    render_thread_poll(v->render, &news); /* what was on its way */
    FV_TRY(render_thread_save(v->render, &r, path));
    render_thread_wait(v->render);
    render_thread_poll(v->render, &news);
    return news.failed ? fv_fail(news.failed, "%s", news.error) : 0;
}

int viewer_run(struct app *app, const struct viewer_opts *opts)
{
    int rc = 0;
    struct viewer *v = calloc(1, sizeof *v);
    if (!v)
        return fv_fail(FV_ENOMEM, "out of memory");
    v->app = app;
    FV_GOTO(start(v, opts));
    while (!finished(v)) {
        FV_GOTO(step(v, opts));
        if (v->images > SETTLE_DRAWS) /* the driver makes its pipelines in the first ones */
            v->worst_round_ms = fmax(v->worst_round_ms, (fv_now() - v->now) * 1000);
    }
    if (app_cancelled())
        FV_GOTO(fv_fail(FV_ECANCELLED, "stopped"));
    if (opts->scene && !v->ever_loaded && v->error[0])
        FV_GOTO(fv_fail(FV_EFORMAT, "%s", v->error));
    if (v->lost[0])
        FV_GOTO(fv_fail(FV_EDEVICE, "%s", v->lost));
    if (opts->screenshot)
        FV_GOTO(last_shot(v, opts->screenshot));
done:
    snprintf(v->error, sizeof v->error, "%s", fv_error()); /* finishing may fail and say so */
    finish(v);
    rc = rc < 0 ? fv_fail(rc, "%s", v->error) : 0;
    free(v);
    return rc;
}
