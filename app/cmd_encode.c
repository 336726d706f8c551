/* fovea encode: the frames of a moving scene to a stream. */
#include "app/encode_report.h"
#include "app/scene_in.h"
#include "app/text.h"
#include "neural/neural.h"
#include "vk/base/file.h"
#include "vk/base/thread.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct values {
    const char *output, *cameras, *camera, *report, *plot;
    double psnr, target, fps, seconds;
    int group, clusters, frames, progress, model, latents, decoders;
    bool live, json;
    struct scene_opts scene;
};

enum { MODEL_AUTO, MODEL_DIRECT, MODEL_QUEEN };
static const char *const models[] = {"auto", "direct", "queen", NULL};
enum { DECODERS_LEARNED, DECODERS_DFT };
static const char *const decoders[] = {"learned", "dft", NULL};

#define AT(m) offsetof(struct values, m)
static const struct opt opts[] = {
    {"output", 'o', OPT_STRING, AT(output), .value = "OUT.fvv", .file = OPT_WRITES,
     .help = "the stream"},
    {"fps", 'r', OPT_FLOAT, AT(fps), .def = "30", .min = 0.01, .max = 1000,
     .help = "frames a second"},
    {"seconds", 0, OPT_FLOAT, AT(seconds), .value = "S", .def = "2", .min = 0.01, .max = 86400,
     .help = "length of a .splatv, whose time goes from 0 to 1"},
    {"frames", 'n', OPT_INT, AT(frames), .def = "0", .max = 10e6,
     .help = "only this many; 0 is all"},
    {"live", 0, OPT_FLAG, AT(live),
     .help = "write in place, frame by frame, to be played meanwhile: from a web server's folder"},
    {"report", 0, OPT_STRING, AT(report), .value = "FILE", .file = OPT_WRITES,
     .help = "as JSON: bytes of every kind and section; of each frame bytes, PSNR and SSIM"},
    {"json", 0, OPT_FLAG, AT(json), .rare = true, .help = "the same on standard output"},
    {"plot", 0, OPT_STRING, AT(plot), .value = "FILE.png", .file = OPT_WRITES,
     .help = "PSNR, SSIM, bytes and Gaussians of each frame"},
    {"progress", 0, OPT_ENUM, AT(progress), .def = "auto", .choices = progress_choices,
     .help = "on standard error"},
    {.type = OPT_GROUP, .help = "Quality"},
    {"psnr", 0, OPT_FLOAT, AT(psnr), .def = "40", .min = 15, .max = 80,
     .help = "dB that whole frames reach on the pixels they cover; 45 is hard to tell from the "
             "input"},
    {"target-kb-per-frame", 0, OPT_FLOAT, AT(target), .value = "KB", .def = "0", .max = 1e6,
     .help = "instead: 1000 bytes that a frame takes on average, bases included; 0 is none"},
    {"cameras", 'c', OPT_STRING, AT(cameras), .value = "FILE", .file = true,
     .help = "views in which the error is measured; default eight around the scene"},
    {"camera", 0, OPT_STRING, AT(camera), .value = "NAME|INDEX",
     .help = "of them, where viewers begin; default the first"},
    {"gop", 0, OPT_INT, AT(group), .def = "30", .min = 1, .max = 1000,
     .help = "frames between points of entry"},
    {"clusters", 0, OPT_INT, AT(clusters), .rare = true, .def = "16", .min = 1, .max = 32,
     .help = "most rigid parts that are looked for in a group"},
    {"model", 'm', OPT_ENUM, AT(model), .def = "auto", .choices = models,
     .help = "queen fits its decoders, latents and gates to the frames, which takes more bytes; auto: "
             "what was trained as QUEEN stays so, all else is direct"},
    {"latents", 0, OPT_INT, AT(latents), .rare = true, .def = "0", .max = 45,
     .help = "with --model queen, most of an attribute; 0: as many as are of use"},
    {"decoders", 0, OPT_ENUM, AT(decoders), .rare = true, .def = "learned", .choices = decoders,
     .help = "with --model queen: learned directions, or the fixed ones of QUEEN's dft layers"},
    SCENE_OPTS(struct values, scene),
    {0}};

struct frames {
    struct fv_paths paths; /* in order */
    struct gs_queen_files queen; /* in their place: a model that was trained as QUEEN */
    size_t anchors; /* paths that are models of anchors */
    const struct values *v;
    bool splatv;           /* the one path is evaluated at times */
    uint32_t count;
};

static bool is_scene_file(const char *name)
{
    static const char *const ends[] = {".ply", ".splat", ".ksplat", ".spz", ".sog", ".glb", ".gltf"};
    for (size_t k = 0; k < sizeof ends / sizeof *ends; k++)
        if (fv_ends_with(name, ends[k]))
            return true;
    return false;
}

/* By name, numbers within names by value: frame_9 before frame_10. */
static int by_number(const void *a, const void *b)
{
    return strverscmp(*(char *const *)a, *(char *const *)b);
}

/* The scene files of a folder. */
static int add_folder(struct fv_paths *p, const char *folder)
{
    size_t first = p->count;
    FV_TRY(fv_paths_add_dir(p, folder, is_scene_file));
    if (p->count == first)
        return fv_fail(FV_EFORMAT, "%s: holds no scene files (.ply, .spz, .splat ...)", folder);
    qsort(p->items + first, p->count - first, sizeof *p->items, by_number);
    return 0;
}

static int load_frame(void *ud, uint32_t frame, struct gs_scene *out)
{
    struct frames *f = ud;
    if (f->splatv) {
        struct scene_opts at = f->v->scene;
        at.time = f->count > 1 ? frame / (double)(f->count - 1) : 0;
        return scene_in_load(out, f->paths.items[0], &at, NULL);
    }
    return scene_in_load(out, f->paths.items[frame], &f->v->scene, NULL);
}

static int load_model(void *ud, uint32_t frame, struct nl_model *out)
{
    const struct frames *f = ud;
    return nl_open(out, f->paths.items[frame], NULL);
}

/* A folder without scenes may be a QUEEN model: its frames are found in the place of paths. */
static int add_input(struct frames *f, const struct opt_args *args, size_t i)
{
    const char *path = args->items[i];
    bool anchors = nl_is(path);
    f->anchors += anchors;
    if (anchors || !fv_is_dir(path))
        return fv_paths_add(&f->paths, strdup(path));
    int rc = add_folder(&f->paths, path);
    if (rc == 0 || args->count > 1)
        return rc;
    rc = gs_queen_find(&f->queen, path);
    char *frames = rc < 0 ? fv_path_join(path, "frames") : NULL;
    if (frames && !fv_is_dir(frames)) /* nor one that lacks something */
        rc = add_folder(&f->paths, path);
    free(frames);
    return rc;
}

static void summary(const struct values *v, const struct encode_report *report)
{
    const struct gs_stream_report *r = &report->sums;
    double mean, worst;
    char size[32], each[32], whole[48];
    uint32_t frames = r->bases + r->entries + r->residuals;
    bytes_text(size, r->bytes);
    bytes_text(each, r->bytes / frames);
    snprintf(whole, sizeof whole, r->psnr > 0 ? "%u whole at %.1f dB" : "%u whole, all bits kept",
             r->bases, r->psnr);
    printf("%s: %u frames, %s, %s a frame (%.2f Mbit/s); %s, %.2f s a frame\n", v->output, frames,
           size, each, 8e-6 * (double)r->bytes * v->fps / frames, whole, report->wall / frames);
    if (encode_report_psnr(report, &mean, &worst))
        printf("%.2f dB, the worst frame %.2f\n", mean, worst);
    if (v->target > 0)
        printf("%.1f %% of the size asked for\n", 0.1 * (double)r->bytes / frames / v->target);
}

/* What the input does not go with. */
static int check_input(const struct values *v, const struct frames *f)
{
    if (f->queen.count && v->model == MODEL_DIRECT)
        return fv_fail(CMD_USAGE, "--model direct takes scenes: encode the QUEEN model without it, then "
                                  "its frames (convert --frame)");
    if (f->queen.count && (v->target > 0 || v->plot))
        return fv_fail(CMD_USAGE, "a QUEEN model is kept as it is: no --target-kb-per-frame, no --plot");
    if (f->anchors && f->anchors < f->paths.count)
        return fv_fail(CMD_USAGE, "anchors (Scaffold-GS, SAGS) and Gaussians do not go into one stream: bake "
                                  "the anchors first (convert)");
    if (f->anchors && v->model != MODEL_AUTO)
        return fv_fail(CMD_USAGE, "--model %s takes scenes: anchors (Scaffold-GS, SAGS) stay anchors, or are "
                                  "baked first (convert)", models[v->model]);
    if (f->anchors && v->target > 0)
        return fv_fail(CMD_USAGE, "anchors (Scaffold-GS, SAGS) are encoded by --psnr: no --target-kb-per-frame");
    return 0;
}

static int encode(struct frames *f, struct vk_device *dev, uint32_t count, const struct gs_stream_opts *o,
                  struct gs_stream_report *report)
{
    const char *path = f->v->output;
    if (f->queen.count)
        return gs_stream_import_queen(path, &f->queen, count, o, report);
    if (f->anchors)
        return nl_stream_encode(dev, path, count, load_model, f, o, report);
    return gs_stream_encode(dev, path, count, load_frame, f, o, report);
}

static int run(struct app *app, const void *values, const struct opt_args *args)
{
    const struct values *v = values;
    struct frames frames = {.v = v};
    struct gs_cameras cameras = {0};
    struct encode_report report = {0};
    struct progress p;
    struct vk_device *dev = NULL;
    int rc = 0;
    if (!v->output)
        return fv_fail(CMD_USAGE, "needs -o OUT, such as -o talk.fvv");
    FV_TRY(app_mute(app, v->output, v->json || (v->report && !strcmp(v->report, "-"))));
    for (size_t i = 0; i < args->count && rc == 0; i++)
        rc = add_input(&frames, args, i);
    size_t count = frames.queen.count ? frames.queen.count : frames.paths.count;
    frames.splatv = frames.paths.count == 1 && fv_ends_with(frames.paths.items[0], ".splatv");
    if (frames.splatv)
        count = (size_t)fmax(1, floor(v->seconds * v->fps + 0.5));
    frames.count = (uint32_t)count;
    if (v->frames && (size_t)v->frames < count)
        count = (size_t)v->frames;
    rc = rc == 0 ? check_input(v, &frames) : rc;
    if (rc == 0 && v->cameras)
        rc = gs_cameras_load(&cameras, v->cameras, NULL);
    int start_at = 0;
    if (rc == 0 && v->camera)
        rc = start_at = v->cameras ? gs_cameras_find(&cameras, v->camera)
                                   : fv_fail(CMD_USAGE, "--camera needs --cameras FILE");
    rc = rc > 0 ? 0 : rc;
    if (rc == 0 && !frames.queen.count)
        rc = app_device(app, &dev);
    progress_start(&p, (enum progress_mode)v->progress, "frames", app->quiet);
    const struct gs_stream_opts o = {.psnr = v->psnr,
                                     .fps = v->fps,
                                     .group = (uint32_t)v->group,
                                     .model = v->model == MODEL_QUEEN ? GS_STREAM_QUEEN
                                                                      : GS_STREAM_DIRECT,
                                     .clusters = (uint32_t)v->clusters,
                                     .latents = (uint32_t)v->latents,
                                     .dft = v->decoders == DECODERS_DFT,
                                     .views = v->cameras ? &cameras : NULL,
                                     .live = v->live,
                                     .start = cameras.count ? &cameras.items[start_at] : NULL,
                                     .on_progress = progress_update,
                                     .ud = &p,
                                     .frame_bytes = 1000 * v->target,
                                     .on_frame = v->report || v->plot || v->json ? encode_report_add : NULL,
                                     .frame_ud = &report};
    double start = fv_now(), cpu = fv_cpu_time();
    if (rc == 0)
        rc = encode(&frames, dev, (uint32_t)count, &o, &report.sums);
    progress_done(&p);
    report.wall = fv_now() - start;
    report.cpu = fv_cpu_time() - cpu;
    uint32_t done = report.sums.bases + report.sums.entries + report.sums.residuals;
    if (rc == FV_ECANCELLED && done)
        fv_fail(rc, "cancelled; the first %u frames are in %s", done, v->output);
    else if (rc < 0 && v->live && done) {
        char why[512];
        snprintf(why, sizeof why, "%s", fv_error());
        fv_fail(rc, "%s; the first %u frames are in %s", why, done, v->output);
    }
    if (rc == 0 && v->report)
        rc = encode_report_json(&report, v->report, 1000 * v->target);
    if (rc == 0 && v->json)
        rc = encode_report_json(&report, "-", 1000 * v->target);
    if (rc == 0 && v->plot)
        rc = encode_report_plot(&report, v->plot, v->output);
    if (rc == 0 && app_talks(app))
        summary(v, &report);
    encode_report_finish(&report);
    fv_paths_finish(&frames.paths);
    gs_queen_files_finish(&frames.queen);
    gs_cameras_finish(&cameras);
    return rc;
}

const struct cmd cmd_encode = {
    .name = "encode",
    .summary = "moving scenes to streams that play while they download",
    .usage = "FRAME... -o OUT.fvv [OPTION]...",
    .examples = "fovea encode frames/*.ply -o talk.fvv\tfrom files in this order\n"
                "fovea encode frames -o talk.fvv --psnr 45 --fps 25\tfrom a folder, finer\n"
                "fovea encode sear_steak -o steak.fvv\ta model trained as QUEEN, as it is\n"
                "fovea encode garden_scaffold -o garden.fvv\tanchors (Scaffold-GS, SAGS), as anchors\n"
                "fovea render talk.fvv -o talk.mp4\tplayed along a camera",
    .details =
        "Every frame is a scene file, or a moment of one .splatv. Gaussians are found again in the next "
        "frame by their order, else by what they look like and where; others end and begin there. Where "
        "too little carries over, a frame is stored whole.\n\n"
        "A folder of QUEEN's files (frames/NNNN/compressed/point_cloud.pkl) keeps its latents and "
        "decoders: every frame plays as trained, to the last bit. Of the options only --fps, --gop, "
        "--frames, --live, --report and, for where viewers begin, --cameras and --camera are used; "
        "entries are long, so a larger --gop saves much.\n\n"
        "Training folders of anchors, and .safetensors made of them, are a frame each and stay anchors, decoded for "
        "each view where the stream plays. Their numbers are rounded as coarsely as --psnr allows. Of the options "
        "only --fps, --frames, --live, --report, --json, --plot, --psnr, --cameras and --camera are used.\n\n"
        "After Ctrl-C the frames so far are a stream that plays. With --live others can play it while "
        "it is made: fovea render --live 10 takes what there is and waits for more.",
    .opts = opts,
    .size = sizeof(struct values),
    .least_args = 1,
    .most_args = 1u << 24,
    .arg = "a scene file, a folder of them, of a QUEEN model or of anchors, or one .splatv",
    .args = (const struct cmd_arg[]){{"frame", .file = OPT_READS, .many = true}, {0}},
    .run = run,
};
