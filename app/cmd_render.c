/* fovea render: a scene along cameras to video, pictures or arrays. */
#include "app/keep.h"
#include "app/neural_in.h"
#include "app/progress.h"
#include "app/render_loop.h"
#include "app/scene_in.h"
#include "app/stream_in.h"
#include "app/text.h"
#include "vk/base/file.h"
#include "vk/base/hash.h"
#include "vk/base/log.h"
#include "vk/base/thread.h"
#include "vk/mem.h"
#include "vk/device.h"

#include <cjson/cJSON.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PIX_YUV420P, PIX_YUV444P, PIX_YUV420P10, PIX_RGBA };
enum { AOV_COLOR, AOV_ALPHA, AOV_DEPTH };
enum { STEREO_NONE, STEREO_SBS };

struct values {
    const char *output, *cameras, *camera;
    int format, aov, progress;
    struct opt_size size;
    int frames, supersample, mode, stereo, appearance;
    double live, seconds, splat_scale, eye_distance;
    struct opt_rate fps;
    struct opt_vec3 bg;
    struct opt_box crop;
    bool exact, orbit, json;
    struct scene_opts scene;
    int codec, crf, pix_fmt;
    uint64_t bitrate;
    const char *preset, *title;
};

static const char *const modes[] = {"auto", "classic", "antialiased", NULL};
static const char *const aovs[] = {"color", "alpha", "depth", NULL};
static const char *const stereos[] = {"none", "sbs", NULL};
static const char *const pix_fmts[] = {"yuv420p", "yuv444p", "yuv420p10le", "rgba", NULL};

#define AT(m) offsetof(struct values, m)
static const struct opt opts[] = {
    {"output", 'o', OPT_STRING, AT(output), .value = "OUT", .file = OPT_WRITES,
     .help = ".mp4 .mkv .webm .mov; .png or .npy (frame_%04d.png, a folder/ for many); .y4m; - "
             "for standard output"},
    {"format", 'f', OPT_ENUM, AT(format), .rare = true, .def = "auto", .choices = output_choices,
     .help = "when the name does not say it"},
    {"progress", 0, OPT_ENUM, AT(progress), .rare = true, .def = "auto",
     .choices = progress_choices, .help = "on standard error; json writes a line per step"},
    {"json", 0, OPT_FLAG, AT(json), .rare = true, .help = "say what was made as JSON"},
    {.type = OPT_GROUP, .help = "Cameras"},
    {"cameras", 'c', OPT_STRING, AT(cameras), .value = "FILE", .file = true,
     .help = "camera list, path, cameras.json, transforms.json, COLMAP folder, poses_bounds.npy"},
    {"camera", 0, OPT_STRING, AT(camera), .value = "NAME|INDEX", .help = "only this one"},
    {"orbit", 0, OPT_FLAG, AT(orbit), .rare = true,
     .help = "a turn around the scene (default without --cameras)"},
    {"size", 's', OPT_SIZE, AT(size), .help = "picture size; default the camera's, else 1280x720"},
    {"frames", 'n', OPT_INT, AT(frames), .def = "0", .max = 10e6,
     .help = "number of frames; a list of cameras is then a smooth path; 0 is by the path"},
    {"seconds", 0, OPT_FLOAT, AT(seconds), .rare = true, .def = "0", .max = 1e6,
     .help = "length instead of --frames; the orbit takes 4"},
    {"fps", 'r', OPT_RATE, AT(fps), .help = "frame rate: 25, 29.97, 30000/1001; default 30"},
    {"stereo", 0, OPT_ENUM, AT(stereo), .def = "none", .choices = stereos,
     .help = "two eyes side by side, each of --size"},
    {"eye-distance", 0, OPT_FLOAT, AT(eye_distance), .rare = true, .def = "0", .max = 1e9,
     .help = "in scene units; 0 is by the scene's size"},
    {.type = OPT_GROUP, .help = "Picture"},
    {"bg", 'b', OPT_COLOR, AT(bg), .help = "background: r,g,b from 0 to 1, or rrggbb"},
    {"mode", 'm', OPT_ENUM, AT(mode), .def = "auto", .choices = modes,
     .help = "pixel filter the scene was trained with; auto is as the file says"},
    {"aov", 0, OPT_ENUM, AT(aov), .rare = true, .def = "color", .choices = aovs,
     .help = "what is drawn; depth needs .npy"},
    {"supersample", 0, OPT_INT, AT(supersample), .def = "1", .min = 1, .max = 4,
     .help = "samples a pixel side"},
    {"splat-scale", 0, OPT_FLOAT, AT(splat_scale), .rare = true, .def = "1", .min = 0.001,
     .max = 1000, .help = "factor on the size of every Gaussian"},
    {"crop", 0, OPT_BOX, AT(crop), .rare = true,
     .help = "draw only centres inside x0,y0,z0,x1,y1,z1"},
    {"exact", 0, OPT_FLAG, AT(exact), .rare = true,
     .help = "reference arithmetic; always on for .npy"},
    SCENE_OPTS(struct values, scene),
    {"appearance", 0, OPT_INT, AT(appearance), .rare = true, .def = "0", .max = 1048575,
     .help = "of anchors (Scaffold-GS): the training picture whose light is taken"},
    {"live", 0, OPT_FLOAT, AT(live), .rare = true, .def = "0", .max = 86400,
     .help = "a stream that is still written: wait until nothing was added for so many seconds"},
    {.type = OPT_GROUP, .help = "Video"},
    {"codec", 0, OPT_ENUM, AT(codec), .rare = true, .def = "auto", .choices = video_codec_names,
     .help = "auto is H.264, VP9 in .webm"},
    {"crf", 0, OPT_INT, AT(crf), .def = "-1", .min = -1, .max = 63,
     .help = "quality, 0 best; -1 is the codec's usual (H.264: 18)"},
    {"bitrate", 0, OPT_BYTES, AT(bitrate), .rare = true,
     .help = "bits a second instead of --crf: 8M"},
    {"preset", 0, OPT_STRING, AT(preset), .rare = true,
     .help = "encoder speed: ultrafast .. veryslow, or a number"},
    {"pix-fmt", 0, OPT_ENUM, AT(pix_fmt), .rare = true, .def = "yuv420p", .choices = pix_fmts,
     .help = "of video; rgba for --format raw"},
    {"title", 0, OPT_STRING, AT(title), .rare = true,
     .help = "title in the file; default the scene's name"},
    {0}};

static const enum gs_output pix_outputs[] = {GS_OUT_YUV420P, GS_OUT_YUV444P, GS_OUT_YUV420P10,
                                             GS_OUT_RGBA8};

/* All there is to tear down, so that every failure takes one way out. */
struct work {
    const struct values *v;
    const char *scene_path;
    struct output output;
    enum gs_output kind;
    bool exact;
    struct shots shots;
    struct sink *sink;
    struct gs_scene scene;
    struct stream_in moving; /* in place of the scene, of a stream */
    struct neural_in neural; /* or of anchors */
    struct gs_gpu_scene *gpu;
    struct gs_renderer *renderer;
    uint64_t key; /* of the scene, where it is kept for the next job */
    struct progress progress;
    struct render_stats stats;
};

/* ---- what the options ask for ----------------------------------------------------------- */

static int choose_kind(struct work *w)
{
    const struct values *v = w->v;
    enum output_format f = w->output.format;
    if (f == OUTPUT_NPY) {
        w->kind = v->aov == AOV_ALPHA   ? GS_OUT_ALPHA_F32
                  : v->aov == AOV_DEPTH ? GS_OUT_DEPTH_F32
                                        : GS_OUT_RGB_F32;
        return 0;
    }
    if (v->aov == AOV_DEPTH)
        return fv_fail(CMD_USAGE, "--aov depth: %s cannot hold it; write .npy", v->output);
    if (f == OUTPUT_PNG) {
        w->kind = v->aov == AOV_ALPHA ? GS_OUT_ALPHA_F32 : GS_OUT_RGBA8;
        return 0;
    }
    if (v->aov == AOV_ALPHA)
        return fv_fail(CMD_USAGE, "--aov alpha: %s cannot hold it; write .png or .npy", v->output);
    if (v->pix_fmt == PIX_RGBA && f != OUTPUT_RAW)
        return fv_fail(CMD_USAGE, "--pix-fmt rgba: only --format raw takes it");
    w->kind = pix_outputs[v->pix_fmt];
    return 0;
}

static int open_stream(struct work *w)
{
    struct scene_opts how = w->v->scene;
    how.live = w->v->live;
    how.on_wait = stream_in_progress;
    how.wait_ud = &w->progress;
    FV_TRY(stream_in_open(&w->moving, w->scene_path, &how));
    w->moving.view.camera = (uint32_t)w->v->appearance;
    return stream_in_whole(&w->moving);
}

static int plan(struct work *w)
{
    const struct values *v = w->v;
    if (!v->output)
        return fv_fail(CMD_USAGE, "needs -o OUT, such as -o scene.mp4");
    int rc = output_parse(&w->output, v->output, (enum output_format)v->format);
    if (rc < 0)
        return rc == FV_EINVALID ? CMD_USAGE : rc;
    FV_TRY(choose_kind(w));
    w->exact = v->exact || w->output.format == OUTPUT_NPY;
    if (v->orbit && v->cameras)
        return fv_fail(CMD_USAGE, "--orbit and --cameras do not go together");
    if (v->camera && !v->cameras)
        return fv_fail(CMD_USAGE, "--camera needs --cameras FILE");
    if (v->frames && v->seconds > 0)
        return fv_fail(CMD_USAGE, "--frames and --seconds do not go together");
    if (!output_takes_several(&w->output) && (v->frames > 1 || v->seconds > 0))
        return fv_fail(CMD_USAGE, "%s: several frames need a numbered name, such as frame_%%04d%s",
                       v->output, w->output.format == OUTPUT_NPY ? ".npy" : ".png");
    if (stream_in_is(w->scene_path))
        FV_TRY(open_stream(w));
    struct shots_opts o = {.file = v->cameras,
                           .camera = v->camera,
                           .size = v->size,
                           .frames = v->frames,
                           .seconds = v->seconds,
                           .fps = v->fps,
                           .several = output_takes_several(&w->output),
                           .same_size = !output_is_sequence(&w->output)};
    if (w->moving.stream) {
        o.scene_fps = w->moving.info->fps;
        o.scene_seconds = w->moving.info->frame_count / o.scene_fps;
    }
    return shots_open(&w->shots, &o);
}

/* {"fovea":"0.1.0","command":"render","scene":"a.ply","options":{...}}: nothing that differs when it is made
 * again. */
static char *comment(const struct work *w)
{
    struct values v = *w->v;
    v.output = NULL;
    v.progress = PROGRESS_AUTO;
    return output_settings("render", opts, &v, (const char *const[]){"scene", fv_path_base(w->scene_path), NULL});
}

/* Before the scene is loaded, so that a wrong name or codec costs no wait. */
static int open_sink(struct work *w)
{
    const struct values *v = w->v;
    FV_TRY(output_prepare_folder(&w->output));
    char *text = comment(w);
    struct sink_opts o = {.format = w->output.format,
                          .container = w->output.container,
                          .path = w->output.path,
                          .output = w->kind,
                          .width = w->shots.width * (v->stereo == STEREO_SBS ? 2 : 1),
                          .height = w->shots.height,
                          .fps_num = w->shots.fps_num,
                          .fps_den = w->shots.fps_den,
                          .codec = (enum video_codec)v->codec,
                          .crf = v->crf,
                          .bitrate = v->bitrate,
                          .preset = v->preset,
                          .title = v->title ? v->title : fv_path_base(w->scene_path),
                          .comment = text};
    int rc = sink_open(&w->sink, &o);
    free(text);
    return rc;
}

static int load_anchors(struct app *app, struct work *w)
{
    struct vk_device *dev;
    struct nl_gpu_opts how = {.exact = w->exact, .camera = (uint32_t)w->v->appearance};
    FV_TRY(app_device(app, &dev));
    FV_TRY(neural_in_load(&w->neural, dev, w->scene_path, &how));
    shots_place(&w->shots, &w->neural.around);
    gs_scene_finish(&w->neural.around);
    return gs_renderer_create(&w->renderer, dev);
}

/* A scene that stands still, on the device, with what the next job of a batch must know of it. */
struct held {
    struct gs_gpu_scene *gpu;
    struct gs_renderer *renderer;
    struct gs_bounds bounds;
    float up[3];
};

static void close_held(void *thing)
{
    struct held *h = thing;
    gs_renderer_destroy(&h->renderer);
    gs_gpu_scene_destroy(&h->gpu);
    free(h);
}

/* Of the file as it is now, and how it is read; 0: it is not kept. */
static uint64_t scene_key(const struct app *app, const struct work *w)
{
    const struct scene_opts *o = &w->v->scene;
    struct stat st;
    if (!app->keep || stat(w->scene_path, &st) < 0 || !S_ISREG(st.st_mode))
        return 0;
    const int64_t numbers[] = {st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec, (int64_t)st.st_ino, o->lod, o->spz_axes,
                               o->sh, w->exact, (int64_t)(o->time * 1e9)};
    return fv_hash(fv_hash(FV_HASH_BEGIN, numbers, sizeof numbers), w->scene_path, strlen(w->scene_path));
}

static bool take_held(struct app *app, struct work *w)
{
    struct held *h = keep_take(app->keep, KEEP_SCENE, w->key);
    if (!w->key || !h)
        return false;
    w->gpu = h->gpu;
    w->renderer = h->renderer;
    w->shots.bounds = h->bounds;
    memcpy(w->shots.up, h->up, sizeof h->up);
    free(h);
    return true;
}

static void give_held(struct app *app, struct work *w)
{
    struct held *h = w->key && w->gpu ? malloc(sizeof *h) : NULL;
    if (!h)
        return;
    *h = (struct held){w->gpu, w->renderer, w->shots.bounds, {w->shots.up[0], w->shots.up[1], w->shots.up[2]}};
    keep_give(app->keep, KEEP_SCENE, w->key, h, close_held);
    w->gpu = NULL;
    w->renderer = NULL;
}

static int load(struct app *app, struct work *w)
{
    struct vk_device *dev;
    if (nl_is(w->scene_path))
        return load_anchors(app, w);
    if (w->moving.stream) {
        FV_TRY(stream_in_first(&w->moving));
        w->moving.opts.on_wait = NULL; /* frames are counted from here on */
        shots_place(&w->shots, &w->moving.scene);
        FV_TRY(app_device(app, &dev));
        stream_in_start(&w->moving, dev, w->exact);
        return gs_renderer_create(&w->renderer, dev);
    }
    w->key = scene_key(app, w);
    if (take_held(app, w))
        return 0;
    FV_TRY(scene_in_load(&w->scene, w->scene_path, &w->v->scene, &w->progress));
    shots_place(&w->shots, &w->scene);
    FV_TRY(app_device(app, &dev));
    struct gs_upload_opts up = {
        .exact = w->exact, .on_progress = progress_update, .ud = &w->progress};
    FV_TRY(gs_gpu_scene_create(&w->gpu, dev, &w->scene, &up));
    gs_scene_finish(&w->scene); /* the device has it now */
    return gs_renderer_create(&w->renderer, dev);
}

static struct gs_render_opts render_opts(const struct work *w)
{
    const struct values *v = w->v;
    struct gs_render_opts o = {.mode = (enum gs_mode)v->mode,
                               .output = w->kind,
                               .exact = w->exact,
                               .has_bg = v->bg.set,
                               .splat_scale = (float)v->splat_scale,
                               .has_crop = v->crop.set,
                               .supersample = (uint32_t)v->supersample,
                               .stereo = v->stereo == STEREO_SBS,
                               .eye_distance = (float)v->eye_distance};
    memcpy(o.bg, v->bg.v, sizeof o.bg);
    memcpy(o.crop_min, v->crop.min, sizeof o.crop_min);
    memcpy(o.crop_max, v->crop.max, sizeof o.crop_max);
    return o;
}

/* What a stream shows at the time of a shot. */
static int moving_at(void *ud, size_t shot, const struct gs_gpu_scene **out)
{
    struct work *w = ud;
    double seconds = (double)shot * w->shots.fps_den / w->shots.fps_num;
    return stream_in_at(&w->moving, seconds, out);
}

static int draw(struct work *w)
{
    struct render_job job = {.renderer = w->renderer,
                             .scene = w->neural.gpu ? nl_gpu_scene(w->neural.gpu) : w->gpu,
                             .opts = render_opts(w),
                             .shots = &w->shots,
                             .output = &w->output,
                             .sink = w->sink,
                             .on_progress = progress_update,
                             .ud = &w->progress};
    if (w->moving.stream) {
        job.scene_at = moving_at;
        job.scene_ud = w;
    }
    return render_frames(&job, &w->stats);
}

/* ---- what is said about it -------------------------------------------------------------- */

static void summary_json(const struct app *app, const struct work *w, const struct sink_stats *s)
{
    cJSON *o = cJSON_CreateObject();
    bool video = !output_is_sequence(&w->output);
    uint32_t width = w->shots.width * (w->v->stereo == STEREO_SBS ? 2 : 1);
    cJSON_AddStringToObject(o, "output", s->kept ? s->kept : w->output.path);
    cJSON_AddStringToObject(o, "format", output_choices[w->output.format]);
    cJSON_AddNumberToObject(o, "frames", (double)s->frames);
    cJSON_AddNumberToObject(o, "bytes", (double)s->bytes);
    if (video) { /* pictures may differ in size */
        cJSON_AddNumberToObject(o, "width", width);
        cJSON_AddNumberToObject(o, "height", w->shots.height);
        cJSON_AddNumberToObject(o, "fps", (double)w->shots.fps_num / w->shots.fps_den);
        cJSON_AddNumberToObject(o, "length_seconds", (double)s->frames * w->shots.fps_den / w->shots.fps_num);
    }
    if (*s->encoder)
        cJSON_AddStringToObject(o, "encoder", s->encoder);
    cJSON_AddNumberToObject(o, "damaged_frames", w->moving.held);
    cJSON_AddNumberToObject(o, "seconds", w->stats.seconds);
    cJSON_AddNumberToObject(o, "device_seconds", w->stats.device_seconds);
    cJSON_AddStringToObject(o, "device", app->dev->caps.name);
    print_cjson(o);
}

static void summary(const struct app *app, const struct work *w, const struct sink_stats *s)
{
    char size[32];
    double rate = w->stats.seconds > 0 ? (double)s->frames / w->stats.seconds : 0;
    bytes_text(size, s->bytes);
    fv_log(FV_INFO,
           "%.2f s in all: waited %.2f s for the device and %.2f s for the encoder, which was busy "
           "for %.2f s beside it",
           w->stats.seconds, w->stats.device_seconds, s->waited_seconds, s->busy_seconds);
    if (w->v->json) {
        summary_json(app, w, s);
        return;
    }
    if (!app_talks(app))
        return;
    if (s->kept)
        printf("%s: %llu frames, %.2f s, %s%s%s; %.1f frames/s\n", s->kept,
               (unsigned long long)s->frames,
               (double)s->frames * w->shots.fps_den / w->shots.fps_num, size,
               *s->encoder ? ", " : "", s->encoder, rate);
    else
        printf("%s: %llu %s, %s; %.1f frames/s\n", w->output.path, (unsigned long long)s->frames,
               s->frames == 1 ? "picture" : "pictures", size, rate);
}

/* The failure again, with what is left of the output. */
static int explain(const struct work *w, const struct sink_stats *s, int rc)
{
    char cause[512];
    unsigned long long n = s->frames;
    snprintf(cause, sizeof cause, "%s", fv_error());
    if (s->kept)
        return fv_fail(rc, "%s; the first %llu frames are in %s", cause, n, s->kept);
    if (w->output.to_stdout)
        return fv_fail(rc, "%s; %llu frames went to standard output", cause, n);
    if (n && !output_is_sequence(&w->output))
        return fv_fail(rc, "%s; nothing could be kept", cause);
    if (n)
        return fv_fail(rc, "%s; %llu pictures were written", cause, n);
    return rc;
}

static void finish(struct work *w)
{
    gs_renderer_destroy(&w->renderer);
    gs_gpu_scene_destroy(&w->gpu);
    neural_in_finish(&w->neural);
    stream_in_finish(&w->moving);
    gs_scene_finish(&w->scene);
    shots_finish(&w->shots);
}

static int run(struct app *app, const void *values, const struct opt_args *args)
{
    struct work w = {.v = values, .scene_path = args->items[0]};
    struct sink_stats stats = {0};
    int rc;
    FV_TRY(app_mute(app, w.v->output, w.v->json));
    progress_start(&w.progress, (enum progress_mode)w.v->progress, "frames", app->quiet);
    if ((rc = plan(&w)) >= 0 && (rc = open_sink(&w)) >= 0 && (rc = load(app, &w)) >= 0)
        rc = draw(&w);
    progress_done(&w.progress);
    if (w.sink) {
        char cause[512];
        snprintf(cause, sizeof cause, "%s", fv_error());
        int end = sink_finish(&w.sink, rc >= 0, &stats);
        if (rc < 0)
            fv_fail(rc, "%s", cause);
        else
            rc = end;
        if (rc < 0)
            rc = explain(&w, &stats, rc);
        else
            summary(app, &w, &stats);
        if (rc >= 0 && w.moving.held)
            rc = fv_fail(FV_EFORMAT, "%s; %u of %zu pictures show an earlier frame", w.moving.damage,
                         w.moving.held, w.stats.frames);
    }
    sink_stats_finish(&stats);
    if (rc >= 0)
        give_held(app, &w);
    finish(&w);
    return rc;
}

/* ---- what it would take ------------------------------------------------------------------ */

enum { SAMPLE_FRAMES = 3 };

/* Some frames, drawn and encoded as the others would be, into a folder that is removed again. */
static int draw_sample(struct app *app, struct work *w, const char *dir, struct cmd_cost *out)
{
    struct sink_stats stats = {0};
    uint64_t peak = 0;
    const char *base = w->output.directory ? "" : fv_path_base(w->output.path);
    size_t count = w->shots.count;
    double start = fv_now(), loaded;
    char *path = fv_path_join(dir, base);
    int rc = path ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    w->shots.count = count < SAMPLE_FRAMES ? count : SAMPLE_FRAMES;
    w->output.path = path;
    if (rc == 0)
        rc = open_sink(w);
    if (rc == 0)
        rc = load(app, w);
    loaded = fv_now();
    if (rc >= 0)
        rc = draw(w);
    int end = sink_finish(&w->sink, rc >= 0, &stats);
    rc = rc < 0 ? rc : end;
    sink_stats_finish(&stats);
    out->seconds = loaded - start + (fv_now() - loaded) * (double)count / (double)w->shots.count;
    if (app->dev)
        vk_mem_usage(app->dev, NULL, NULL, &peak);
    out->bytes = (double)peak;
    free(path);
    return rc;
}

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static int estimate(struct app *app, const void *values, const struct opt_args *args, struct cmd_cost *out)
{
    struct work w = {.v = values, .scene_path = args->items[0]};
    const char *tmp = getenv("TMPDIR");
    char dir[512];
    snprintf(dir, sizeof dir, "%s/fovea-sample-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    progress_start(&w.progress, PROGRESS_NONE, NULL, true);
    int rc = plan(&w);
    if (rc >= 0 && !mkdtemp(dir))
        rc = fv_fail(FV_EIO, "%s: no sample can be drawn there", dir);
    else if (rc >= 0) {
        rc = draw_sample(app, &w, dir, out);
        nftw(dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    }
    if (rc >= 0)
        give_held(app, &w);
    finish(&w);
    return rc;
}

const struct cmd cmd_render = {
    .name = "render",
    .summary = "draw a scene to a video, pictures or arrays",
    .usage = "SCENE -o OUT [OPTION]...",
    .examples =
        "fovea render scene.ply -o scene.mp4\ta turn around the scene\n"
        "fovea render scene.spz -o walk.mp4 --cameras path.json --size 1920x1080\ta camera path\n"
        "fovea render scene.ply -o views/ --cameras sparse/0\tone PNG for each COLMAP camera\n"
        "fovea render talk.fvv -o talk.mp4\ta stream, seen from a camera that goes around it\n"
        "fovea render scene.ply -o - -f y4m | ffmpeg -colorspace bt709 -i - out.avi\tinto another "
        "program",
    .details =
        "The scene is any file fovea info understands. Without --cameras the camera makes one "
        "turn around it. A camera path gives its own length; a list of cameras gives one frame "
        "for each, or a smooth path through them with --frames or --seconds.\n\n"
        "A stream (.fvv) plays once at its own rate while the camera moves, and again from its "
        "start when --frames or --seconds ask for more. It may be on a web server: "
        "https://host/talk.fvv. Where it is damaged the frame before is shown until a group begins "
        "that is whole, and the exit status is 1.\n\n"
        "The output takes its name only when it is complete. After Ctrl-C or an error the frames "
        "so far are kept: under the output's name if there was no such file, else as "
        "NAME.partial.EXT.\n\n"
        "Video is BT.709, limited range, and tagged so; .y4m and raw streams have no place for "
        "the tag: tell the program that reads them.\n\n"
        "Progress lines with --progress json are objects with what, done, total, fps, eta and "
        "elapsed, on standard error.",
    .opts = opts,
    .size = sizeof(struct values),
    .least_args = 1,
    .most_args = 1,
    .arg = "a scene file",
    .args = (const struct cmd_arg[]){{"scene", .file = OPT_MODEL}, {0}},
    .run = run,
    .estimate = estimate,
};
