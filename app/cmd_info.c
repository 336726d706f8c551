/* fovea info: what a file is. Scenes, cameras, pictures and arrays, videos; weights are told by
 * info_weights.c. */
#include "app/image_io.h"
#include "app/info_model.h"
#include "app/info_weights.h"
#include "app/neural_in.h"
#include "app/pipe_in.h"
#include "app/scene_in.h"
#include "app/stream_in.h"
#include "app/text.h"
#include "app/video.h"
#include "vk/base/file.h"
#include "vk/base/npy.h"
#include "vk/device.h"

#include <cjson/cJSON.h>
#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct values {
    bool json, tensors;
    struct opt_size size;
    struct scene_opts scene;
    int progress;
};

#define AT(m) offsetof(struct values, m)
static const struct opt opts[] = {
    {"json", 0, OPT_FLAG, AT(json), .help = "as JSON"},
    {"size", 's', OPT_SIZE, AT(size),
     .help = "of pictures: what drawing takes, what generating takes, and cameras whose "
             "file holds no size; default 1280x720, or the model's"},
    {"tensors", 0, OPT_FLAG, AT(tensors), .help = "of weights: every tensor"},
    SCENE_OPTS(struct values, scene),
    {"progress", 0, OPT_ENUM, AT(progress), .def = "auto", .choices = progress_choices,
     .help = "on standard error"},
    {0}};

/* A line "name  value" for people, or a member for JSON: each fact is written once. */
struct report {
    bool json, titled;
    const char *file;
    cJSON *object;
};

/* The file's name stands above its facts; not at all when there are none. */
static void title(struct report *r)
{
    if (!r->titled)
        puts(pipe_in_shown(r->file));
    r->titled = true;
}

static void say_text(struct report *r, const char *key, const char *label, const char *value)
{
    if (r->json)
        cJSON_AddStringToObject(r->object, key, value);
    else if (label)
        title(r), printf("  %-14s %s\n", label, value);
}

static void say_number(struct report *r, const char *key, const char *label, double value,
                       const char *shown)
{
    if (r->json)
        cJSON_AddNumberToObject(r->object, key, value);
    else if (label)
        title(r), printf("  %-14s %s\n", label, shown);
}

static void say_count(struct report *r, const char *key, const char *label, uint64_t n)
{
    char text[32];
    count_text(text, n);
    say_number(r, key, label, (double)n, text);
}

static void say_bytes(struct report *r, const char *key, const char *label, uint64_t n)
{
    char text[32];
    bytes_text(text, n);
    say_number(r, key, label, (double)n, text);
}

static void say_vec3(struct report *r, const char *key, const char *label, const float v[3])
{
    char text[96];
    if (r->json) {
        cJSON_AddItemToObject(r->object, key, cJSON_CreateFloatArray(v, 3));
        return;
    }
    snprintf(text, sizeof text, "%.6g %.6g %.6g", (double)v[0], (double)v[1], (double)v[2]);
    printf("  %-14s %s\n", label, text);
}

static uint64_t folder_bytes;

static int add_file(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)path, (void)ftw;
    if (flag == FTW_F)
        folder_bytes += (uint64_t)st->st_size;
    return 0;
}

/* Size of a file, or of all files in a folder. */
static uint64_t disk_bytes(const char *path)
{
    folder_bytes = 0;
    nftw(path, add_file, 16, FTW_PHYS);
    return folder_bytes;
}

/* An unbundled .sog is named by its meta.json, a streaming one by its lod-meta.json. */
static uint64_t scene_bytes(const char *path, enum gs_format format)
{
    char *folder =
        format == GS_FORMAT_SOG && fv_ends_with(path, ".json") ? fv_path_dir(path) : NULL;
    uint64_t bytes = disk_bytes(folder ? folder : path);
    free(folder);
    return bytes;
}

/* ---- scenes ----------------------------------------------------------------------------- */

/* One kind of arithmetic: the scene's memory under key and label, the renderer's beside it. */
static int say_memory(struct report *r, struct vk_device *dev, const struct gs_scene *s,
                      const struct opt_size *size, bool exact)
{
    struct gs_memory m;
    char scene[32], work[32], frame[32], text[160];
    bytes_text(scene, gs_gpu_scene_bytes(s->count, s->sh_degree, exact));
    snprintf(text, sizeof text, "%s", scene);
    if (dev) {
        const struct gs_render_opts o = {.exact = exact};
        FV_TRY(gs_memory_needed(&m, dev, s->count, s->sh_degree, size->width, size->height, &o));
        bytes_text(work, m.renderer);
        bytes_text(frame, m.frame);
        snprintf(text, sizeof text, "%s, and %s to draw %ux%u, and %s a picture in flight", scene,
                 work, size->width, size->height, frame);
        say_number(r, exact ? "working_bytes_exact" : "working_bytes", NULL, (double)m.renderer,
                   NULL);
        say_number(r, exact ? "frame_bytes_exact" : "frame_bytes", NULL, (double)m.frame, NULL);
    }
    say_number(r, exact ? "device_bytes_exact" : "device_bytes",
               exact ? "with --exact" : "on the device",
               (double)gs_gpu_scene_bytes(s->count, s->sh_degree, exact), text);
    return 0;
}

/* Working memory depends on the device that draws; without one only the scene's is known. */
static int say_device_memory(struct app *app, struct report *r, const struct gs_scene *s,
                             const struct opt_size *size)
{
    struct vk_device *dev = NULL;
    bool none = app_device(app, &dev) < 0;
    if (none && app->device)
        return FV_EDEVICE; /* the one asked for */
    if (none)
        say_text(r, "device_error", "to draw it", fv_error());
    else
        say_text(r, "device", NULL, dev->caps.name);
    FV_TRY(say_memory(r, dev, s, size, false));
    return say_memory(r, dev, s, size, true);
}

static int info_scene(struct app *app, struct report *r, const char *path, const struct values *v,
                      struct progress *p)
{
    struct gs_scene s;
    struct gs_bounds b;
    char text[160];
    int rc = scene_in_load(&s, path, &v->scene, p);
    progress_done(p);
    FV_TRY(rc);
    gs_scene_bounds(&s, &b);
    uint64_t disk = scene_bytes(path, s.format);
    say_text(r, "kind", NULL, "scene");
    snprintf(text, sizeof text, "Gaussian-splat scene, %s", s.detail);
    if (r->json)
        say_text(r, "detail", NULL, s.detail);
    else
        say_text(r, "", "what", text);
    say_text(r, "format", NULL, gs_format_name(s.format));
    say_count(r, "gaussians", "Gaussians", s.count);
    if (s.dropped || r->json)
        say_count(r, "dropped", "left out", s.dropped);
    snprintf(text, sizeof text, "%d", s.sh_degree);
    say_number(r, "sh_degree", "SH degree", s.sh_degree, text);
    static const char *const modes[] = {"unstated", "classic", "antialiased"};
    say_text(r, "mode", "mode",
             s.mode == GS_MODE_AUTO && !r->json ? "not stated; classic is taken" : modes[s.mode]);
    say_vec3(r, "min", "from", b.min);
    say_vec3(r, "max", "to", b.max);
    say_vec3(r, "centre", "centre", b.centre);
    snprintf(text, sizeof text, "%.6g (holds 90 %% of the centres)", (double)b.radius);
    say_number(r, "radius", "radius", (double)b.radius, text);
    if (s.up[0] != 0 || s.up[1] != 0 || s.up[2] != 0)
        say_vec3(r, "up", "up", s.up);
    say_bytes(r, "bytes", "on disk", disk);
    struct opt_size size = v->size.set ? v->size : (struct opt_size){true, 1280, 720};
    rc = say_device_memory(app, r, &s, &size);
    gs_scene_finish(&s);
    return rc;
}

/* ---- streams ---------------------------------------------------------------------------- */

/* What is wrong with it, frame by frame; of one on a server only its list is read. */
static int say_damage(struct report *r, struct stream_in *in)
{
    enum { SHOWN = 8 };
    uint32_t bad = 0;
    char text[64];
    cJSON *list = r->json ? cJSON_AddArrayToObject(r->object, "damage") : NULL;
    if (in->info->damage[0] && list)
        cJSON_AddItemToArray(list, cJSON_CreateString(in->info->damage));
    else if (in->info->damage[0])
        say_text(r, "", "damage", in->info->damage);
    for (uint32_t f = 0; f < in->info->frame_count && !in->http; f++) {
        int rc = gs_stream_verify(in->stream, f);
        if (rc == 0)
            continue;
        if (rc != FV_EFORMAT)
            return rc;
        size_t name = strlen(in->name) + 2; /* which stands above */
        const char *what = strlen(fv_error()) > name ? fv_error() + name : fv_error();
        if (list)
            cJSON_AddItemToArray(list, cJSON_CreateString(what));
        else if (bad < SHOWN)
            say_text(r, "", bad || in->info->damage[0] ? "" : "damage", what);
        bad++;
    }
    snprintf(text, sizeof text, "%u frames in all; others play", bad);
    if (bad && !r->json)
        say_text(r, "", "", text);
    return 0;
}

static int info_stream(struct report *r, const char *path, struct progress *p)
{
    static const char *const kinds[] = {"base", "entry", "residual"};
    struct stream_in in;
    char text[160], size[32];
    uint64_t bytes[3] = {0};
    uint32_t count[3] = {0};
    FV_TRY(stream_in_open(&in, path, &(struct scene_opts){.sh = 3, .on_wait = stream_in_progress,
                                                          .wait_ud = p}));
    int rc = stream_in_whole(&in);
    progress_done(p);
    if (rc < 0) {
        stream_in_finish(&in);
        return rc;
    }
    const struct gs_stream_info *i = in.info;
    for (uint32_t k = 0; k < i->frame_count; k++) {
        bytes[i->frame[k].kind] += i->frame[k].size;
        count[i->frame[k].kind]++;
    }
    say_text(r, "kind", NULL, "stream");
    if (!r->json)
        say_text(r, "", "what",
                 i->complete ? "Gaussian-splat stream"
                             : "Gaussian-splat stream, cut or still being written");
    else
        cJSON_AddBoolToObject(r->object, "complete", i->complete);
    static const char *const models[] = {"direct", "queen", "anchors"};
    say_text(r, "model", "model", models[i->model]);
    say_count(r, "frames", "frames", i->frame_count);
    snprintf(text, sizeof text, "%.6g frames/s", i->fps);
    say_number(r, "fps", "rate", i->fps, text);
    snprintf(text, sizeof text, "%.3f s", i->frame_count / i->fps);
    say_number(r, "seconds", "length", i->frame_count / i->fps, text);
    if (i->model == GS_STREAM_ANCHORS)
        say_count(r, "anchors", "anchors", i->count);
    else
        say_count(r, "gaussians", "Gaussians", i->count);
    snprintf(text, sizeof text, "%d", i->sh_degree);
    if (i->model != GS_STREAM_ANCHORS)
        say_number(r, "sh_degree", "SH degree", i->sh_degree, text);
    say_bytes(r, "bytes", in.http ? "on server" : "on disk", i->bytes);
    bytes_text(size, i->bytes / i->frame_count);
    snprintf(text, sizeof text, "%s, %.3f Mbit/s", size,
             8e-6 * (double)i->bytes / i->frame_count * i->fps);
    say_number(r, "bytes_per_frame", "a frame", (double)i->bytes / i->frame_count, text);
    for (int k = 0; k < 3; k++) {
        char key[32];
        bytes_text(size, bytes[k]);
        snprintf(text, sizeof text, "%s in %u", size, count[k]);
        snprintf(key, sizeof key, "%s_bytes", kinds[k]);
        say_number(r, key, k == 0 ? "whole frames" : k == 1 ? "entries" : "residuals",
                   (double)bytes[k], text);
    }
    cJSON *list = r->json ? cJSON_AddArrayToObject(r->object, "list") : NULL;
    for (uint32_t k = 0; list && k < i->frame_count; k++) {
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "kind", kinds[i->frame[k].kind]);
        cJSON_AddNumberToObject(o, "bytes", i->frame[k].size);
        cJSON_AddItemToArray(list, o);
    }
    rc = say_damage(r, &in);
    stream_in_finish(&in);
    return rc;
}

/* ---- anchors ---------------------------------------------------------------------------- */

static int info_anchors(struct report *r, const char *path)
{
    struct nl_model m;
    struct nl_part part[NL_PARTS];
    struct gs_scene around;
    struct gs_bounds b;
    char text[160];
    uint64_t sum = 0;
    FV_TRY(nl_open(&m, path, NULL));
    int rc = nl_around(&m, &around);
    if (rc < 0) {
        nl_finish(&m);
        return rc;
    }
    gs_scene_bounds(&around, &b);
    gs_scene_finish(&around);
    say_text(r, "kind", NULL, "anchors");
    snprintf(text, sizeof text, "%s, decoded for each view",
             m.arch == NL_SAGS ? "SAGS points" : "Scaffold-GS anchors");
    if (!r->json)
        say_text(r, "", "what", text);
    say_text(r, "arch", NULL, nl_arch_name(m.arch));
    say_count(r, "anchors", m.arch == NL_SAGS ? "points" : "anchors", m.count);
    say_count(r, "offsets", "Gaussians each", m.offsets);
    say_count(r, "feature", "feature", m.feature);
    if (m.arch == NL_SAGS)
        say_count(r, "neighbours", "neighbours", m.neighbours);
    if (m.midpoints)
        say_count(r, "midpoint_count", "of them between", m.midpoints);
    if (m.appearance)
        say_count(r, "appearances", "appearances", m.cameras);
    say_vec3(r, "min", "from", b.min);
    say_vec3(r, "max", "to", b.max);
    nl_parts(&m, part);
    for (int i = 0; part[i].name; i++) {
        snprintf(text, sizeof text, "%s_bytes", part[i].name);
        for (char *c = text; *c; c++)
            *c = *c == ' ' ? '_' : *c;
        say_bytes(r, text, part[i].name, part[i].bytes);
        sum += part[i].bytes;
    }
    say_bytes(r, "bytes", "in all", sum);
    nl_finish(&m);
    return 0;
}

/* ---- cameras ---------------------------------------------------------------------------- */

static int info_cameras(struct report *r, const char *path, const struct opt_size *size)
{
    static const char *const formats[] = {"unknown",          "camera list",  "INRIA cameras.json",
                                          "transforms.json",  "COLMAP model", "LLFF poses_bounds",
                                          "fovea camera path"};
    struct gs_cameras c;
    char text[160];
    FV_TRY(gs_cameras_load(&c, path, &(struct gs_cameras_opts){size->width, size->height}));
    say_text(r, "kind", NULL, "cameras");
    say_text(r, "format", "what", formats[c.format]);
    say_count(r, "cameras", c.is_path ? "keyframes" : "cameras", c.count);
    if (c.is_path) {
        double seconds = gs_cameras_duration(&c);
        snprintf(text, sizeof text, "%.3f s%s", seconds, c.loop ? ", closed" : "");
        say_number(r, "seconds", "length", seconds, text);
    }
    float min[3] = {INFINITY, INFINITY, INFINITY}, max[3] = {-INFINITY, -INFINITY, -INFINITY};
    cJSON *list = r->json ? cJSON_AddArrayToObject(r->object, "list") : NULL;
    for (size_t i = 0; i < c.count; i++) {
        const struct gs_camera *k = &c.items[i];
        double centre[3];
        gs_camera_centre(k, centre);
        for (int a = 0; a < 3; a++) {
            min[a] = fminf(min[a], (float)centre[a]);
            max[a] = fmaxf(max[a], (float)centre[a]);
        }
        if (list) {
            cJSON *o = gs_camera_json(k);
            if (c.is_path)
                cJSON_AddNumberToObject(o, "time", k->time);
            cJSON_AddItemToObject(o, "centre", cJSON_CreateDoubleArray(centre, 3));
            cJSON_AddItemToArray(list, o);
        } else if (i < 8) {
            printf("  %-14s %s%s%ux%u, f %.2f %.2f, centre %.4g %.4g %.4g\n", i ? "" : "list",
                   k->name, *k->name ? ": " : "", k->width, k->height, k->fx, k->fy, centre[0],
                   centre[1], centre[2]);
        }
    }
    if (!list && c.count > 8)
        printf("  %-14s and %zu more (--json lists them)\n", "", c.count - 8);
    say_vec3(r, "min", "from", min);
    say_vec3(r, "max", "to", max);
    gs_cameras_finish(&c);
    return 0;
}

/* ---- pictures and videos ---------------------------------------------------------------- */

static int info_picture(struct report *r, const char *path)
{
    struct image i;
    char text[96];
    FV_TRY(image_load(&i, path));
    size_t n = (size_t)i.width * i.height * i.channels;
    float least = INFINITY, most = -INFINITY;
    for (size_t k = 0; k < n; k++) {
        least = fminf(least, i.data[k]);
        most = fmaxf(most, i.data[k]);
    }
    say_text(r, "kind", NULL, "picture");
    snprintf(text, sizeof text, "%s, %ux%u, %u %s",
             fv_ends_with(path, ".npy") ? "array as a picture" : "picture", i.width, i.height,
             i.channels, i.channels == 1 ? "channel" : "channels");
    if (!r->json)
        say_text(r, "", "what", text);
    say_number(r, "width", NULL, i.width, NULL);
    say_number(r, "height", NULL, i.height, NULL);
    say_number(r, "channels", NULL, i.channels, NULL);
    snprintf(text, sizeof text, "%g to %g", (double)least, (double)most);
    if (!r->json)
        say_text(r, "", "values", text);
    say_number(r, "least", NULL, (double)least, NULL);
    say_number(r, "most", NULL, (double)most, NULL);
    say_bytes(r, "bytes", "on disk", disk_bytes(path));
    image_finish(&i);
    return 0;
}

/* What a generated clip is of, above all that its comment holds. */
static void say_generated(struct report *r, const cJSON *ours)
{
    static const char *const keys[][2] = {{"prompt", "prompt"}, {"model", "model"}, {"model_hash", "weights"},
                                          {"device", "device"}};
    const cJSON *command = cJSON_GetObjectItem(ours, "command"), *options = cJSON_GetObjectItem(ours, "options");
    const cJSON *seed = cJSON_GetObjectItem(options, "seed");
    char text[32];
    if (!cJSON_IsString(command) || strcmp(command->valuestring, "generate"))
        return;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char *value = cJSON_GetStringValue(cJSON_GetObjectItem(ours, keys[i][0]));
        if (value)
            say_text(r, keys[i][0], keys[i][1], value);
    }
    if (!cJSON_IsNumber(seed))
        return;
    snprintf(text, sizeof text, "%.0f", seed->valuedouble);
    say_text(r, "seed", "seed", text);
}

/* Our own comment is JSON: shown as it is, nested in --json. */
static void say_comment(struct report *r, const char *comment)
{
    cJSON *ours = comment && *comment == '{' ? cJSON_Parse(comment) : NULL;
    if (ours && !r->json)
        say_generated(r, ours);
    if (r->json && ours)
        cJSON_AddItemToObject(r->object, "comment", ours);
    else
        cJSON_Delete(ours);
    if (comment && !(r->json && ours))
        say_text(r, "comment", "comment", comment);
}

static int info_video(struct report *r, const char *path)
{
    struct video_in *in;
    char text[160];
    FV_TRY(video_in_open(&in, path));
    const struct video_info *i = video_in_info(in);
    double fps = i->fps_den ? (double)i->fps_num / i->fps_den : 0;
    say_text(r, "kind", NULL, "video");
    snprintf(text, sizeof text, "video, %s %s in %s", i->codec, i->pixel_format, i->container);
    if (!r->json)
        say_text(r, "", "what", text);
    else
        say_text(r, "codec", NULL, i->codec);
    say_text(r, "pixel_format", NULL, i->pixel_format);
    say_text(r, "container", NULL, i->container);
    snprintf(text, sizeof text, "%ux%u", i->width, i->height);
    say_number(r, "width", "size", i->width, text);
    say_number(r, "height", NULL, i->height, NULL);
    snprintf(text, sizeof text, "%.6g frames/s", fps);
    say_number(r, "fps", "rate", fps, text);
    if (i->frames)
        say_count(r, "frames", "frames", i->frames);
    snprintf(text, sizeof text, "%.3f s", i->seconds);
    if (i->seconds > 0) /* what went through a pipe does not say */
        say_number(r, "seconds", "length", i->seconds, text);
    snprintf(text, sizeof text, "primaries %s, transfer %s, matrix %s, range %s", i->primaries,
             i->transfer, i->matrix, i->range);
    if (!r->json)
        say_text(r, "", "colour", text);
    say_text(r, "primaries", NULL, i->primaries);
    say_text(r, "transfer", NULL, i->transfer);
    say_text(r, "matrix", NULL, i->matrix);
    say_text(r, "range", NULL, i->range);
    if (i->title)
        say_text(r, "title", "title", i->title);
    say_comment(r, i->comment);
    say_bytes(r, "bytes", "on disk", disk_bytes(path));
    video_in_close(&in);
    return 0;
}

/* ---- which of them ---------------------------------------------------------------------- */

/* LLFF poses are an .npy too: N rows of 17. */
static bool is_poses(const char *path)
{
    struct fv_npy a;
    if (!fv_ends_with(path, ".npy") || fv_npy_open(&a, path) < 0)
        return false;
    bool yes = a.rank == 2 && a.dims[1] == 17;
    fv_npy_close(&a);
    return yes;
}

static bool is_video_name(const char *path)
{
    static const char *const more[] = {".y4m", ".avi", ".ivf", ".m4v", ".ts", ".ogv", ".gif"};
    for (size_t i = 0; i < sizeof more / sizeof *more; i++)
        if (fv_ends_with(path, more[i]))
            return true;
    return video_is_container(path);
}

static int info_any(struct app *app, struct report *r, const char *path, const struct values *v,
                    struct progress *p)
{
    if (!fv_is_dir(path)) {
        if (nl_is(path))
            return info_anchors(r, path);
        if (nn_file_is_weights(path))
            return info_weights(r->object, path, v->tensors);
        if (stream_in_is(path))
            return info_stream(r, path, p);
        if (is_video_name(path))
            return info_video(r, path);
        if (is_poses(path))
            return info_cameras(r, path, &v->size);
        if (image_has_suffix(path))
            return info_picture(r, path);
    }
    if (fv_is_dir(path) && nl_is(path))
        return info_anchors(r, path);
    if (model_in_is(path))
        return info_model(r->object, path, &v->size);
    bool maybe_cameras = fv_is_dir(path) || fv_ends_with(path, ".json") ||
                         fv_ends_with(path, ".txt") || fv_ends_with(path, ".bin") ||
                         fv_ends_with(path, ".cams");
    int rc = info_scene(app, r, path, v, p);
    if (rc >= 0 || rc == FV_ECANCELLED || !maybe_cameras || !fv_exists(path))
        return rc;
    if (fv_is_dir(path) && nn_file_is_weights(path))
        return info_weights(r->object, path, v->tensors);
    char as_scene[512];
    snprintf(as_scene, sizeof as_scene, "%s", fv_error());
    int cameras = info_cameras(r, path, &v->size);
    if (cameras < 0 && fv_is_dir(path))
        return fv_fail(rc, "%s; nor cameras: %.400s", as_scene, fv_error());
    return cameras;
}

static int run(struct app *app, const void *values, const struct opt_args *args)
{
    const struct values *v = values;
    struct report r = {.json = v->json};
    struct progress p;
    int rc = 0;
    cJSON *list = v->json && args->count > 1 ? cJSON_CreateArray() : NULL;
    for (size_t i = 0; i < args->count && rc >= 0; i++) {
        progress_start(&p, (enum progress_mode)v->progress, NULL, app->quiet);
        r.object = v->json ? cJSON_CreateObject() : NULL;
        r.file = args->items[i];
        r.titled = false;
        if (v->json)
            cJSON_AddStringToObject(r.object, "file", pipe_in_shown(r.file));
        rc = info_any(app, &r, args->items[i], v, &p);
        progress_done(&p);
        if (list)
            cJSON_AddItemToArray(list, r.object);
        else if (v->json && rc >= 0)
            print_cjson(r.object);
        else
            cJSON_Delete(r.object);
    }
    if (list && rc >= 0)
        print_cjson(list);
    else
        cJSON_Delete(list);
    return rc;
}

const struct cmd cmd_info = {
    .name = "info",
    .summary = "what a scene, camera file, picture, video or model holds",
    .usage = "FILE... [OPTION]...",
    .examples = "fovea info scene.spz\tcounts, bounds, memory\n"
                "fovea info --json out.mp4\tsettings a video was made with\n"
                "fovea info Open-Sora/ --size 426x240\ta text-to-video model, and what a clip takes\n"
                "fovea info --tensors model.safetensors\tnames, types and shapes",
    .opts = opts,
    .size = sizeof(struct values),
    .least_args = 1,
    .most_args = 4096,
    .arg = "a file",
    .args = (const struct cmd_arg[]){{"file", .file = OPT_MODEL, .many = true}, {0}},
    .run = run,
};
