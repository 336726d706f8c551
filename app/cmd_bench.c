/* fovea bench render: how long a frame takes, in all and by pass (bench ops: bench_ops.c).
 *
 * Frames are first drawn one at a time (submit, wait): wall time is then a frame's latency and
 * process CPU time what it costs, which is the figure that does not depend on other programs.
 * Then the same frames with three in flight, as rendering a video does, give frames a second.
 * Last, a few frames with every pass alone. Scenes of anchors are decoded in every frame: each is of
 * another camera than the one before, also between the profiled ones. */
#include "app/bench_dit.h"
#include "app/bench_ops.h"
#include "app/bench_quant.h"
#include "app/bench_queen.h"
#include "app/bench_stream.h"
#include "app/neural_in.h"
#include "app/progress.h"
#include "app/scene_in.h"
#include "app/shots.h"
#include "app/spread.h"
#include "app/text.h"
#include "vk/base/file.h"
#include "vk/base/thread.h"
#include "vk/device.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IN_FLIGHT = 3, PROFILED = 5, MOST_PASSES = 24 };
#define WARM_SECONDS  0.5
#define LEAST_SECONDS 1.0
#define LEAST_FRAMES  8

struct values {
    const char *cameras, *camera;
    struct opt_size size;
    int frames, mode, supersample, raster, rounds, steps, dtype, progress;
    uint64_t memory;
    struct scene_opts scene;
    bool exact, json, csv, ssbo, alone;
};

static const char *const modes[] = {"auto", "classic", "antialiased", NULL};
static const char *const dtypes[] = {"f32", "f16", "bf16", NULL};
static const enum nn_dtype dtype_values[] = {NN_F32, NN_F16, NN_BF16};
static const char *const rasters[] = {"auto", "lanes", "wide", NULL};

#define AT(m) offsetof(struct values, m)
static const struct opt opts[] = {
    {"cameras", 'c', OPT_STRING, AT(cameras), .value = "FILE", .file = true,
     .help = "draw these in turn; default eight positions around the scene"},
    {"camera", 0, OPT_STRING, AT(camera), .value = "NAME|INDEX", .help = "only this one"},
    {"size", 's', OPT_SIZE, AT(size), .help = "picture size; default the cameras', else 1280x720 (dit: 426x240)"},
    {"frames", 'n', OPT_INT, AT(frames), .def = "0", .max = 1e6,
     .help = "frames to measure; 0 is at least 8 and one second; dit: of a clip, 0 is 16"},
    {"exact", 0, OPT_FLAG, AT(exact), .help = "reference arithmetic"},
    {"mode", 'm', OPT_ENUM, AT(mode), .def = "auto", .choices = modes, .help = "pixel filter"},
    {"supersample", 0, OPT_INT, AT(supersample), .rare = true, .def = "1", .min = 1, .max = 4,
     .help = "samples a pixel side"},
    {"raster", 0, OPT_ENUM, AT(raster), .rare = true, .def = "auto", .choices = rasters,
     .help = "design: for CPU drivers (lanes) or GPUs (wide)"},
    SCENE_OPTS(struct values, scene),
    {"ssbo", 0, OPT_FLAG, AT(ssbo), .rare = true, .help = "ops, quant: read storage buffers, not texel buffers"},
    {"rounds", 0, OPT_INT, AT(rounds), .def = "3", .min = 1, .max = 1000,
     .help = "ops, quant: runs over all rows, of which the fastest counts"},
    {"alone", 0, OPT_FLAG, AT(alone), .rare = true, .help = "ops: no ratios to copies and matrix products"},
    {"steps", 0, OPT_INT, AT(steps), .def = "2", .min = 1, .max = 1000, .help = "dit: of the sampler"},
    {"memory", 0, OPT_BYTES, AT(memory), .value = "BYTES",
     .help = "dit: what weights may take of the device's; others are loaded in every step"},
    {"dtype", 0, OPT_ENUM, AT(dtype), .choices = dtypes, .def = "f32",
     .help = "dit: storage of weights and activations"},
    {"json", 0, OPT_FLAG, AT(json), .help = "as JSON"},
    {"csv", 0, OPT_FLAG, AT(csv), .help = "as comma-separated values, one row a scene"},
    {"progress", 0, OPT_ENUM, AT(progress), .def = "auto", .choices = progress_choices,
     .help = "on standard error"},
    {0}};

struct result {
    const char *scene, *device;
    size_t gaussians, frames;
    size_t anchors; /* that gaussians were made of, in the last frame; 0: they were given */
    uint32_t width, height;
    double load_seconds, upload_seconds;
    uint64_t scene_bytes, foreseen_bytes; /* the latter: gs_memory_needed */
    struct spread wall, cpu;              /* ms a frame, one at a time */
    double frames_per_second;             /* with three in flight */
    double pairs_per_second;              /* of CPU-or-GPU frame time: mean pairs / mean wall */
    struct gs_frame_stats stats;          /* of the last frame */
    size_t pass_count;
    struct gs_pass_time pass[MOST_PASSES]; /* medians of the profiled frames */
};

struct work {
    const struct values *v;
    struct gs_scene scene;
    struct gs_gpu_scene *gpu;
    struct neural_in neural; /* or of anchors */
    struct gs_renderer *renderer;
    struct gs_frame *frames[IN_FLIGHT];
    struct shots shots;
    struct progress progress;
    struct gs_render_opts opts;
};

/* ---- measuring -------------------------------------------------------------------------- */

static int submit(struct work *w, struct gs_frame *f, size_t i)
{
    struct gs_camera camera;
    FV_TRY(shots_camera(&w->shots, i % w->shots.count, &camera));
    return gs_frame_submit(f, w->neural.gpu ? nl_gpu_scene(w->neural.gpu) : w->gpu, &camera, &w->opts);
}

static int one_frame(struct work *w, size_t i)
{
    FV_TRY(submit(w, w->frames[0], i));
    return gs_frame_wait(w->frames[0]);
}

static int step(struct work *w, const char *what, size_t done, size_t total)
{
    struct fv_progress p = {what, (double)done, (double)total};
    return progress_update(&w->progress, &p) ? fv_fail(FV_ECANCELLED, "cancelled") : 0;
}

/* Buffers have grown and caches are warm after this: every camera once, and half a second. */
static int warm_up(struct work *w, double *frame_seconds)
{
    double start = fv_now(), least = INFINITY;
    for (size_t i = 0; i < w->shots.count + 1 || fv_now() - start < WARM_SECONDS; i++) {
        double t = fv_now();
        FV_TRY(one_frame(w, i));
        least = fmin(least, fv_now() - t);
        FV_TRY(step(w, "warming up", i + 1, 0));
    }
    *frame_seconds = least;
    return 0;
}

static size_t frame_count(const struct work *w, double frame_seconds)
{
    if (w->v->frames)
        return (size_t)w->v->frames;
    double n = fmin(fmax(LEAST_SECONDS / fmax(frame_seconds, 1e-6), LEAST_FRAMES), 1000);
    size_t turns = (size_t)ceil(n / (double)w->shots.count);
    return turns * w->shots.count; /* every camera as often */
}

static int one_at_a_time(struct work *w, struct result *r)
{
    double *wall = calloc(2 * r->frames, sizeof *wall), *cpu = wall + r->frames, pairs = 0, sum = 0;
    int rc = wall ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    for (size_t i = 0; i < r->frames && rc >= 0; i++) {
        double t = fv_now(), c = fv_cpu_time();
        rc = one_frame(w, i);
        wall[i] = 1e3 * (fv_now() - t);
        cpu[i] = 1e3 * (fv_cpu_time() - c);
        pairs += (double)w->frames[0]->stats.pairs;
        sum += 1e-3 * wall[i];
        if (rc >= 0)
            rc = step(w, "measuring", i + 1, r->frames);
    }
    if (rc >= 0) {
        r->wall = spread_of(wall, r->frames);
        r->cpu = spread_of(cpu, r->frames);
        r->pairs_per_second = sum > 0 ? pairs / sum : 0;
        r->stats = w->frames[0]->stats;
        r->width = w->frames[0]->width;
        r->height = w->frames[0]->height;
    }
    free(wall);
    return rc;
}

static int three_in_flight(struct work *w, struct result *r)
{
    double start = fv_now();
    size_t submitted = 0;
    for (size_t done = 0; done < r->frames; done++) {
        for (; submitted < r->frames && submitted < done + IN_FLIGHT; submitted++)
            FV_TRY(submit(w, w->frames[submitted % IN_FLIGHT], submitted));
        FV_TRY(gs_frame_wait(w->frames[done % IN_FLIGHT]));
        FV_TRY(step(w, "in flight", done + 1, r->frames));
    }
    r->frames_per_second = (double)r->frames / (fv_now() - start);
    return 0;
}

static double pass_median(const struct gs_frame_stats *s, size_t n, size_t pass, int which)
{
    double v[PROFILED];
    for (size_t i = 0; i < n; i++) {
        const struct gs_pass_time *t = &s[i].pass[pass];
        v[i] = which == 0 ? t->wall_ms : which == 1 ? t->cpu_ms : t->gpu_ms;
    }
    return spread_of(v, n).median;
}

/* All profiled frames draw the first camera, so that their passes are the same. */
static int by_pass(struct work *w, struct result *r)
{
    struct gs_frame_stats s[PROFILED];
    for (size_t i = 0; i < PROFILED; i++) {
        if (w->neural.gpu) /* who comes back looks anew */
            FV_TRY(one_frame(w, 1));
        gs_frame_profile(w->frames[0], true);
        FV_TRY(one_frame(w, 0));
        gs_frame_profile(w->frames[0], false);
        s[i] = w->frames[0]->stats;
        FV_TRY(step(w, "passes", i + 1, PROFILED));
    }
    r->pass_count = s[0].pass_count;
    for (size_t p = 0; p < r->pass_count && p < MOST_PASSES; p++)
        r->pass[p] = (struct gs_pass_time){.name = s[0].pass[p].name,
                                           .wall_ms = pass_median(s, PROFILED, p, 0),
                                           .cpu_ms = pass_median(s, PROFILED, p, 1),
                                           .gpu_ms = pass_median(s, PROFILED, p, 2)};
    return 0;
}

/* Working memory at the largest picture, as told before drawing. */
static int foresee(struct work *w, struct vk_device *dev, int sh_degree, struct result *r)
{
    for (size_t i = 0; i < w->shots.count; i++) {
        struct gs_camera c;
        struct gs_memory m;
        FV_TRY(shots_camera(&w->shots, i, &c));
        FV_TRY(gs_memory_needed(&m, dev, r->gaussians, sh_degree, c.width, c.height, &w->opts));
        if (m.renderer > r->foreseen_bytes)
            r->foreseen_bytes = m.renderer;
    }
    return 0;
}

static int load_anchors(struct work *w, struct vk_device *dev, const char *path, struct result *r)
{
    double start = fv_now();
    FV_TRY(neural_in_load(&w->neural, dev, path, &(struct nl_gpu_opts){.exact = w->v->exact}));
    r->load_seconds = fv_now() - start;
    shots_place(&w->shots, &w->neural.around);
    r->anchors = w->neural.around.count;
    return 0;
}

static int load_scene(struct work *w, struct vk_device *dev, const char *path, struct result *r)
{
    double start = fv_now();
    FV_TRY(scene_in_load(&w->scene, path, &w->v->scene, &w->progress));
    r->load_seconds = fv_now() - start;
    shots_place(&w->shots, &w->scene);
    r->gaussians = w->scene.count;
    r->scene_bytes = gs_gpu_scene_bytes(w->scene.count, w->scene.sh_degree, w->v->exact);
    start = fv_now();
    FV_TRY(gs_gpu_scene_create(&w->gpu, dev, &w->scene, &(struct gs_upload_opts){.exact = w->v->exact}));
    r->upload_seconds = fv_now() - start;
    FV_TRY(foresee(w, dev, w->scene.sh_degree, r));
    gs_scene_finish(&w->scene);
    return 0;
}

static int prepare(struct app *app, struct work *w, const char *path, struct result *r)
{
    struct vk_device *dev;
    FV_TRY(app_device(app, &dev));
    r->scene = path;
    r->device = dev->caps.name;
    w->opts = (struct gs_render_opts){.mode = (enum gs_mode)w->v->mode,
                                      .exact = w->v->exact,
                                      .supersample = (uint32_t)w->v->supersample,
                                      .raster = w->v->raster};
    FV_TRY(nl_is(path) ? load_anchors(w, dev, path, r) : load_scene(w, dev, path, r));
    FV_TRY(gs_renderer_create(&w->renderer, dev));
    for (int i = 0; i < IN_FLIGHT; i++)
        FV_TRY(gs_frame_create(&w->frames[i], w->renderer));
    return 0;
}

static int measure(struct work *w, struct result *r)
{
    double frame_seconds;
    FV_TRY(warm_up(w, &frame_seconds));
    r->frames = frame_count(w, frame_seconds);
    FV_TRY(one_at_a_time(w, r));
    FV_TRY(three_in_flight(w, r));
    if (r->anchors) {
        r->gaussians = r->stats.made;
        r->scene_bytes = gs_gpu_scene_held(nl_gpu_scene(w->neural.gpu));
    }
    return by_pass(w, r);
}

static int bench_scene(struct app *app, const struct values *v, const char *path, struct result *r)
{
    struct work w = {.v = v};
    struct shots_opts o = {.file = v->cameras,
                           .camera = v->camera,
                           .size = v->size,
                           .frames = v->cameras ? 0 : 8,
                           .several = true};
    progress_start(&w.progress, (enum progress_mode)v->progress, "frames", app->quiet);
    int rc = shots_open(&w.shots, &o);
    if (rc >= 0 && (rc = prepare(app, &w, path, r)) >= 0)
        rc = measure(&w, r);
    progress_done(&w.progress);
    for (int i = 0; i < IN_FLIGHT; i++)
        gs_frame_destroy(&w.frames[i]);
    gs_renderer_destroy(&w.renderer);
    gs_gpu_scene_destroy(&w.gpu);
    neural_in_finish(&w.neural);
    gs_scene_finish(&w.scene);
    shots_finish(&w.shots);
    return rc;
}

/* ---- reporting -------------------------------------------------------------------------- */

/* Every figure once, for CSV and JSON: name and value. */
struct figure {
    char name[64];
    double value;
};

enum { FIXED = 20 };

static size_t figures(const struct result *r, struct figure *out)
{
    const struct figure fixed[FIXED] = {{"gaussians", (double)r->gaussians},
                                        {"anchors", (double)r->anchors},
                                        {"width", r->width},
                                        {"height", r->height},
                                        {"frames", (double)r->frames},
                                        {"wall_ms_median", r->wall.median},
                                        {"wall_ms_p95", r->wall.p95},
                                        {"wall_ms_min", r->wall.min},
                                        {"cpu_ms_median", r->cpu.median},
                                        {"cpu_ms_p95", r->cpu.p95},
                                        {"cpu_ms_min", r->cpu.min},
                                        {"frames_per_second", r->frames_per_second},
                                        {"pairs", (double)r->stats.pairs},
                                        {"pairs_per_second", r->pairs_per_second},
                                        {"visible", r->stats.visible},
                                        {"load_ms", 1e3 * r->load_seconds},
                                        {"upload_ms", 1e3 * r->upload_seconds},
                                        {"scene_bytes", (double)r->scene_bytes},
                                        {"working_bytes", (double)r->stats.device_bytes},
                                        {"working_bytes_foreseen", (double)r->foreseen_bytes}};
    size_t n = FIXED;
    memcpy(out, fixed, sizeof fixed);
    for (size_t p = 0; p < r->pass_count; p++) {
        const double v[3] = {r->pass[p].wall_ms, r->pass[p].cpu_ms, r->pass[p].gpu_ms};
        static const char *const what[3] = {"wall_ms", "cpu_ms", "gpu_ms"};
        for (int k = 0; k < 3; k++) {
            snprintf(out[n].name, sizeof out[n].name, "%s_%s", r->pass[p].name, what[k]);
            out[n++].value = v[k];
        }
    }
    return n;
}

static void print_csv(const struct result *r, bool header)
{
    struct figure f[FIXED + 3 * MOST_PASSES];
    size_t n = figures(r, f);
    if (header) {
        fputs("scene,device", stdout);
        for (size_t i = 0; i < n; i++)
            printf(",%s", f[i].name);
        putchar('\n');
    }
    printf("\"%s\",\"%s\"", fv_path_base(r->scene), r->device);
    for (size_t i = 0; i < n; i++)
        printf(",%.10g", f[i].value);
    putchar('\n');
}

static cJSON *json_of(const struct result *r)
{
    struct figure f[FIXED + 3 * MOST_PASSES];
    size_t n = figures(r, f);
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "scene", r->scene);
    cJSON_AddStringToObject(o, "device", r->device);
    for (size_t i = 0; i < n; i++)
        cJSON_AddNumberToObject(o, f[i].name, f[i].value);
    return o;
}

static void print_text(const struct result *r)
{
    char count[32], visible[32], bytes[32], work[32], foreseen[32];
    count_text(count, r->gaussians);
    count_text(visible, r->stats.visible);
    bytes_text(bytes, r->scene_bytes);
    bytes_text(work, r->stats.device_bytes);
    bytes_text(foreseen, r->foreseen_bytes);
    printf("%s: %s Gaussians (%s visible)", r->scene, count, visible);
    count_text(count, r->anchors);
    if (r->anchors)
        printf(" of %s anchors", count);
    printf(", %ux%u, %s\n  loaded in %.0f ms", r->width, r->height, r->device, 1e3 * r->load_seconds);
    if (r->anchors)
        printf("; scene %s, working memory %s\n", bytes, work);
    else
        printf(", uploaded in %.0f ms; scene %s, working memory %s (%s foreseen)\n",
               1e3 * r->upload_seconds, bytes, work, foreseen);
    printf("  %zu frames     median      p95      min\n", r->frames);
    printf("  wall ms     %9.2f %8.2f %8.2f\n", r->wall.median, r->wall.p95, r->wall.min);
    printf("  cpu ms      %9.2f %8.2f %8.2f\n", r->cpu.median, r->cpu.p95, r->cpu.min);
    printf("  three in flight: %.1f frames/s; %.1f M pairs/s\n", r->frames_per_second,
           1e-6 * r->pairs_per_second);
    printf("  pass               wall ms    cpu ms    gpu ms\n");
    for (size_t p = 0; p < r->pass_count; p++)
        printf("  %-16s %9.3f %9.3f %9.3f\n", r->pass[p].name, r->pass[p].wall_ms,
               r->pass[p].cpu_ms, r->pass[p].gpu_ms);
}

static int run(struct app *app, const void *values, const struct opt_args *args)
{
    const struct values *v = values;
    if (!strcmp(args->items[0], "ops"))
        return bench_ops(app,
                         &(struct bench_ops){.filters = args->items + 1,
                                             .filter_count = args->count - 1,
                                             .rounds = (uint32_t)v->rounds,
                                             .json = v->json,
                                             .csv = v->csv,
                                             .ssbo = v->ssbo,
                                             .alone = v->alone,
                                             .progress = (enum progress_mode)v->progress});
    if (!strcmp(args->items[0], "quant"))
        return bench_quant(app, &(struct bench_quant){.filters = args->items + 1,
                                                      .filter_count = args->count - 1,
                                                      .rounds = (uint32_t)v->rounds,
                                                      .json = v->json,
                                                      .csv = v->csv,
                                                      .ssbo = v->ssbo,
                                                      .progress = (enum progress_mode)v->progress});
    if (!strcmp(args->items[0], "stream")) {
        if (args->count != 2)
            return fv_fail(CMD_USAGE, "stream needs a file: fovea bench stream STREAM.fvv");
        return bench_stream(app, &(struct bench_stream){.path = args->items[1],
                                                        .size = v->size,
                                                        .sh = v->scene.sh,
                                                        .json = v->json,
                                                        .progress = (enum progress_mode)v->progress});
    }
    if (!strcmp(args->items[0], "dit")) {
        if (args->count != 2)
            return fv_fail(CMD_USAGE, "dit needs a model: fovea bench dit MODEL");
        return bench_dit(app, &(struct bench_dit){.model = args->items[1],
                                                  .size = v->size,
                                                  .frames = v->frames ? (uint32_t)v->frames : 16,
                                                  .steps = (uint32_t)v->steps,
                                                  .memory = v->memory,
                                                  .dtype = dtype_values[v->dtype],
                                                  .json = v->json,
                                                  .progress = (enum progress_mode)v->progress});
    }
    bool queen = !strcmp(args->items[0], "queen");
    if (!queen && strcmp(args->items[0], "render"))
        return fv_fail(CMD_USAGE,
                       "no benchmark \"%s\"; there are: fovea bench render SCENE, fovea bench "
                       "stream STREAM, fovea bench queen SCENE, fovea bench dit MODEL, fovea bench ops, "
                       "fovea bench quant",
                       args->items[0]);
    if (args->count < 2)
        return fv_fail(CMD_USAGE, "%s needs a scene file: fovea bench %s SCENE", args->items[0],
                       args->items[0]);
    if (queen)
        return bench_queen(app, &(struct bench_queen){.scene = args->items[1],
                                                      .frames = v->frames,
                                                      .json = v->json});
    cJSON *list = cJSON_CreateArray();
    int rc = 0;
    for (size_t i = 1; i < args->count && rc >= 0; i++) {
        struct result r = {0};
        rc = bench_scene(app, v, args->items[i], &r);
        if (rc < 0)
            break;
        if (v->json)
            cJSON_AddItemToArray(list, json_of(&r));
        else if (v->csv)
            print_csv(&r, i == 1);
        else
            print_text(&r);
        fflush(stdout);
    }
    if (v->json && rc >= 0)
        print_cjson(list);
    else
        cJSON_Delete(list);
    return rc;
}

const struct cmd cmd_bench = {
    .name = "bench",
    .summary = "measure rendering, streams, networks and tensor ops",
    .usage = "render SCENE... [OPTION]...",
    .examples = "fovea bench render scene.ply\ttime a frame, by pass\n"
                "fovea bench render a.ply b.ply --size 1920x1080 --csv\tone row a scene\n"
                "fovea bench render garden_sags/ --cameras turn.json\tanchors, decoded for every frame\n"
                "fovea bench stream talk.fvv\tdecoding, seeking and playing a stream\n"
                "fovea bench queen scene.ply\tdecode and update a frame of a QUEEN stream\n"
                "fovea bench dit OpenSora-STDiT-v3 --memory 1G\tsteps of a transformer, weights beyond 1 GB from the disk\n"
                "fovea bench ops linear\tops whose name or size contains \"linear\"\n"
                "fovea bench quant 1024x1152x1152\tlinear layers of 4-bit weights against plain ones",
    .details = "Wall and CPU time are of frames drawn one at a time, after half a second of "
               "warming up; CPU time is the whole process's. Passes are medians of five frames "
               "with every pass submitted alone, so their sum exceeds a frame's time. Anchors are decoded where "
               "a frame's camera is another than the one's before.\n\n"
               "bench ops [TEXT]... runs the tensor ops whose rows contain a TEXT, and compares their "
               "rates with those of a copy of 64 MiB and of the fastest matrix product: by CPU time "
               "where the device is a CPU driver.\n\n"
               "bench quant [SIZE]... runs linear layers, rows x inputs x outputs, of f32, f16 and 4-bit "
               "weights, with a low-rank branch (r32) and with inputs rounded to 8 bits (x8), and compares "
               "their times; GFLOP/s are the layer's own, without the branch's.",
    .opts = opts,
    .size = sizeof(struct values),
    .least_args = 1,
    .most_args = 64,
    .arg = "a benchmark",
    .args = (const struct cmd_arg[]){{.name = "what"}, {"of", .many = true}, {0}},
    .run = run,
};
