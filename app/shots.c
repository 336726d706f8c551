/* Frames to cameras (shots.h). */
#include "app/shots.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_PIXELS_A_SIDE = 16384, ORBIT_WIDTH = 1280, ORBIT_HEIGHT = 720 };
#define ORBIT_SECONDS 4.0
#define MOST_FRAMES   10e6

int shots_check_size(const char *what, uint32_t width, uint32_t height)
{
    if (width < 1 || height < 1 || width > MOST_PIXELS_A_SIDE || height > MOST_PIXELS_A_SIDE)
        return fv_fail(FV_EINVALID, "%s: %ux%u is not a picture size; each side is 1 to %d pixels",
                       what, width, height, MOST_PIXELS_A_SIDE);
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct gs_camera *const *)a)->name,
                  (*(const struct gs_camera *const *)b)->name);
}

static bool names_are_unique(const struct gs_cameras *c)
{
    const struct gs_camera **order = malloc((c->count + 1) * sizeof *order);
    bool unique = order != NULL;
    for (size_t i = 0; order && i < c->count; i++) {
        order[i] = &c->items[i];
        unique = unique && c->items[i].name[0];
    }
    if (unique)
        qsort(order, c->count, sizeof *order, by_name);
    for (size_t i = 1; unique && i < c->count; i++)
        unique = strcmp(order[i - 1]->name, order[i]->name) != 0;
    free(order);
    return unique;
}

static int load_cameras(struct shots *s, const struct shots_opts *o)
{
    FV_TRY(gs_cameras_load(&s->cameras, o->file,
                           &(struct gs_cameras_opts){o->size.width, o->size.height}));
    if (!s->cameras.count)
        return fv_fail(FV_EFORMAT, "%s: holds no cameras", o->file);
    s->kind = s->cameras.is_path ? SHOTS_PATH : SHOTS_LIST;
    if (!o->camera)
        return 0;
    int i = gs_cameras_find(&s->cameras, o->camera);
    if (i < 0)
        return fv_wrap(i, "%s: ", o->file);
    s->cameras.items[0] = s->cameras.items[i];
    s->cameras.count = 1;
    s->kind = SHOTS_LIST;
    return 0;
}

/* A list not drawn one frame each is a path with a second between its cameras; one camera
 * stands still. */
static void list_to_path(struct shots *s)
{
    s->kind = SHOTS_PATH;
    s->cameras.is_path = true;
    s->cameras.loop = false;
    for (size_t i = 0; i < s->cameras.count; i++)
        s->cameras.items[i].time = (double)i;
}

static int count_frames(struct shots *s, const struct shots_opts *o)
{
    double fps = (double)s->fps_num / s->fps_den, count;
    if (!o->several)
        count = 1;
    else if (o->frames)
        count = o->frames;
    else if (o->seconds > 0)
        count = fmax(1, round(o->seconds * fps));
    else if (o->scene_seconds > 0)
        count = fmax(1, round(o->scene_seconds * fps));
    else if (s->kind == SHOTS_ORBIT)
        count = round(ORBIT_SECONDS * fps);
    else if (s->kind == SHOTS_PATH)
        count = floor(gs_cameras_duration(&s->cameras) * fps + 1e-6) + !s->cameras.loop;
    else
        count = (double)s->cameras.count;
    if (!(count <= MOST_FRAMES))
        return fv_fail(FV_EINVALID, "%.0f frames are too many; use --frames or --seconds", count);
    s->count = count < 1 ? 1 : (size_t)count;
    if (s->kind == SHOTS_LIST && s->count != s->cameras.count && o->several)
        list_to_path(s);
    return 0;
}

static int settle_size(struct shots *s, const struct shots_opts *o)
{
    char what[160];
    if (o->size.set) {
        s->width = o->size.width;
        s->height = o->size.height;
        return 0;
    }
    if (s->kind == SHOTS_ORBIT) {
        s->width = ORBIT_WIDTH;
        s->height = ORBIT_HEIGHT;
        return 0;
    }
    size_t used = o->several && !o->same_size && s->kind == SHOTS_LIST ? s->cameras.count : 1;
    for (size_t i = 0; i < used; i++) {
        const struct gs_camera *c = &s->cameras.items[i];
        snprintf(what, sizeof what, "%s: camera %zu (%.40s)", o->file, i, c->name);
        FV_TRY(shots_check_size(what, c->width, c->height));
    }
    if (used == 1) {
        s->width = s->cameras.items[0].width;
        s->height = s->cameras.items[0].height;
    }
    return 0;
}

static void settle_rate(struct shots *s, const struct shots_opts *o)
{
    double fps = o->scene_fps > 0 ? o->scene_fps : s->kind == SHOTS_PATH ? s->cameras.fps : 0;
    s->fps_num = 30;
    s->fps_den = 1;
    if (o->fps.set) {
        s->fps_num = o->fps.num;
        s->fps_den = o->fps.den;
    } else if (fps > 0.001 && fps <= 1000) {
        s->fps_num = (uint32_t)lround(fps * 1000);
        s->fps_den = 1000;
        if (s->fps_num % 1000 == 0) {
            s->fps_num /= 1000;
            s->fps_den = 1;
        }
    }
}

int shots_open(struct shots *s, const struct shots_opts *o)
{
    *s = (struct shots){.kind = SHOTS_ORBIT};
    int rc = 0;
    if (o->size.set)
        rc = shots_check_size("--size", o->size.width, o->size.height);
    if (rc >= 0 && o->file)
        rc = load_cameras(s, o);
    if (rc >= 0) {
        settle_rate(s, o);
        rc = settle_size(s, o);
    }
    if (rc >= 0)
        rc = count_frames(s, o);
    if (rc < 0)
        return shots_finish(s), rc;
    s->unique_names = s->kind == SHOTS_LIST && names_are_unique(&s->cameras);
    return 0;
}

void shots_place(struct shots *s, const struct gs_scene *scene)
{
    gs_scene_bounds(scene, &s->bounds);
    memcpy(s->up, scene->up, sizeof s->up);
}

/* Frame i of a path: from its first keyframe to its last; a loop ends one step before. */
static double path_time(const struct shots *s, size_t i)
{
    double length = gs_cameras_duration(&s->cameras);
    size_t steps = s->cameras.loop ? s->count : s->count - 1;
    return s->cameras.items[0].time + (steps ? length * (double)i / (double)steps : 0);
}

int shots_camera(const struct shots *s, size_t i, struct gs_camera *out)
{
    switch (s->kind) {
    case SHOTS_ORBIT: {
        struct gs_scene scene = {.up = {s->up[0], s->up[1], s->up[2]}};
        gs_camera_orbit(out, &scene, &s->bounds, s->width, s->height, (double)i / (double)s->count);
        return 0;
    }
    case SHOTS_PATH:
        FV_TRY(gs_cameras_eval(&s->cameras, path_time(s, i), out));
        break;
    case SHOTS_LIST:
        *out = s->cameras.items[i];
        break;
    }
    if (s->width && (out->width != s->width || out->height != s->height))
        gs_camera_resize(out, s->width, s->height);
    return 0;
}

const char *shots_name(const struct shots *s, size_t i)
{
    return s->unique_names ? s->cameras.items[i].name : NULL;
}

void shots_finish(struct shots *s)
{
    gs_cameras_finish(&s->cameras);
    *s = (struct shots){0};
}
