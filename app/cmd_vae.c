/* fovea vae: clips to latents and back, a round trip with its quality, moments of latents, what a
 * model is. */
#include "app/clip.h"
#include "app/cmd.h"
#include "app/latents.h"
#include "app/progress.h"
#include "app/text.h"
#include "vk/base/file.h"
#include "vk/base/log.h"
#include "vk/base/thread.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct values {
    const char *model, *output;
    int format, dtype, window, tile, passes, frames, progress, codec, crf;
    uint64_t memory;
    double seed;
    bool carry, whole, sample, scaled, json;
    struct opt_rate fps;
    struct opt_size size;
};

static const char *const dtypes[] = {"f32", "f16", "bf16", NULL};
static const enum nn_dtype dtype_values[] = {NN_F32, NN_F16, NN_BF16};

#define AT(m) offsetof(struct values, m)
static const struct opt opts[] = {
    {"model", 'm', OPT_STRING, AT(model), .value = "DIR", .file = OPT_MODEL,
     .help = "folder or weight file of the autoencoder; config.json is looked for beside it"},
    {"output", 'o', OPT_STRING, AT(output), .value = "OUT", .file = OPT_WRITES,
     .help = "encode, moments: .safetensors; decode, roundtrip: .mp4 .mkv .webm, .png (frame_%04d.png), "
             ".npy, a folder/"},
    {"format", 'f', OPT_ENUM, AT(format), .rare = true, .def = "auto", .choices = output_choices,
     .help = "decode, roundtrip: when the name does not say it"},
    {"dtype", 0, OPT_ENUM, AT(dtype), .choices = dtypes, .def = "f32",
     .help = "storage of weights and activations; arithmetic is f32"},
    {"frames", 'n', OPT_INT, AT(frames), .def = "0", .max = 1e9,
     .help = "frames of the input to take; 0 is all"},
    {.type = OPT_GROUP, .help = "Memory"},
    {"memory", 0, OPT_BYTES, AT(memory), .value = "BYTES",
     .help = "device memory to use at most: 4G; default what the device reports free"},
    {"window", 0, OPT_INT, AT(window), .def = "0", .max = 1e5, .value = "FRAMES",
     .help = "frames at once; 0 is 17 or the model's own, fewer when memory is short"},
    {"tile", 0, OPT_INT, AT(tile), .def = "0", .max = 16384, .value = "PIXELS",
     .help = "side of tiles; 0 is none until memory is short"},
    {"whole", 0, OPT_FLAG, AT(whole), .rare = true, .help = "the clip in one window"},
    {"carry", 0, OPT_FLAG, AT(carry),
     .help = "windows go on where the last ended, with the past of every convolution; not with "
             "tiles, which take its place when memory is short"},
    {"passes", 0, OPT_INT, AT(passes), .def = "1", .min = 1, .max = 1000,
     .help = "2: normalise all windows and tiles by statistics of the whole clip, gathered first"},
    {.type = OPT_GROUP, .help = "Latents"},
    {"sample", 0, OPT_FLAG, AT(sample), .help = "encode: sample the posterior, not its mean"},
    {"seed", 0, OPT_FLOAT, AT(seed), .def = "0", .max = 9e15, .help = "of --sample"},
    {"scaled", 0, OPT_FLAG, AT(scaled),
     .help = "decode, moments: the latents are a diffusion model's, (z - shift) * scale"},
    {.type = OPT_GROUP, .help = "Video"},
    {"fps", 'r', OPT_RATE, AT(fps), .help = "frame rate; default the source's, else 24"},
    {"codec", 0, OPT_ENUM, AT(codec), .rare = true, .def = "auto", .choices = video_codec_names,
     .help = "auto is H.264, VP9 in .webm"},
    {"crf", 0, OPT_INT, AT(crf), .def = "-1", .min = -1, .max = 63,
     .help = "quality, 0 best; -1 is the codec's usual"},
    {.type = OPT_GROUP, .help = "Other"},
    {"size", 's', OPT_SIZE, AT(size), .help = "info: what memory clips of this size take"},
    {"json", 0, OPT_FLAG, AT(json), .help = "what was done, as JSON"},
    {"progress", 0, OPT_ENUM, AT(progress), .rare = true, .def = "auto",
     .choices = progress_choices, .help = "on standard error"},
    {0}};

enum action { ENCODE, DECODE, ROUNDTRIP, MOMENTS, INFO };
static const char *const actions[] = {"encode", "decode", "roundtrip", "moments", "info",
                                      NULL};

/* All there is to tear down. */
struct work {
    struct app *app;
    const struct values *v;
    enum action action;
    const char *input; /* the first of `inputs` */
    const char *const *inputs;
    size_t input_count;
    struct vae *vae;
    struct clip_in in;
    struct clip_out out;
    struct sink_stats sink;
    struct latents latents;
    struct progress progress;
    struct vae_plan plan[2];
    struct vae_stats stats[2];
    double psnr, ssim, squares; /* sums over the frames; of all differences */
    float *planes, *source;     /* a frame of the source: roundtrip */
    cJSON *doc;
    char *kept;
};

/* ---- callbacks of vae_run ---------------------------------------------------------------- */

static int on_progress(void *ud, const struct fv_progress *p)
{
    struct work *w = ud;
    struct fv_progress mine = *p;
    mine.what = w->progress.what ? w->progress.what : p->what;
    return progress_update(&w->progress, &mine);
}

static int read_clip(void *ud, uint32_t first, uint32_t count, float *out)
{
    struct work *w = ud;
    return clip_in_read(&w->in, first, count, out);
}

static int keep_latents(void *ud, const struct vae_part *p)
{
    struct work *w = ud;
    return latents_append(&w->latents, p);
}

static int read_latents(void *ud, uint32_t first, uint32_t count, float *out)
{
    struct work *w = ud;
    const struct latents *l = &w->latents;
    size_t frame = (size_t)l->channels * l->height * l->width;
    uint32_t n = first >= l->frames ? 0 : l->frames - first < count ? l->frames - first : count;
    if (n)
        memcpy(out, l->data + first * frame, n * frame * sizeof *out);
    return (int)n;
}

/* Numbers of the frame's or latent's own: the same however the clip is cut. */
static int draw(void *ud, enum vae_noise which, uint32_t index, size_t n, float *out)
{
    const struct work *w = ud;
    uint64_t stream = which == VAE_NOISE_SPATIAL ? UINT64_C(1) << 40 : 0;
    nn_normal(out, (uint64_t)w->v->seed, stream + (uint64_t)index * (1 << 20), n);
    return 0;
}

/* The source's next frame, read again in step with what is decoded: 1, 0 at its end. */
static int source_frame(struct work *w)
{
    int got = clip_in_read(&w->in, (uint32_t)w->out.count, 1, w->planes);
    FV_TRY(got);
    if (!got)
        return 0;
    for (uint32_t y = 0; y < w->in.source_height; y++)
        for (uint32_t x = 0; x < w->in.source_width; x++)
            for (uint32_t c = 0; c < 3; c++)
                w->source[((size_t)y * w->in.source_width + x) * 3 + c] =
                    w->planes[((size_t)c * w->in.height + y) * w->in.width + x] * 0.5f + 0.5f;
    return 1;
}

/* PSNR and SSIM of the frame just written. */
static int compare(struct work *w)
{
    double ssim;
    uint32_t width = w->in.source_width, height = w->in.source_height;
    size_t n = (size_t)width * height * 3;
    w->psnr += fmin(gs_psnr(w->source, w->out.rgb, n), 100);
    for (size_t i = 0; i < n; i++) {
        double d = (double)w->source[i] - (double)w->out.rgb[i];
        w->squares += d * d / (double)n;
    }
    FV_TRY(gs_ssim(&ssim, w->source, w->out.rgb, width, height, 3, NULL));
    w->ssim += ssim;
    return 0;
}

static int write_frames(void *ud, const struct vae_part *p)
{
    struct work *w = ud;
    size_t frame = (size_t)3 * p->height * p->width;
    for (uint32_t i = 0; i < p->count; i++) {
        uint32_t most = w->latents.source_frames;
        if (most && w->out.count >= most)
            return 0; /* filled up when it was encoded */
        int got = w->action == ROUNDTRIP ? source_frame(w) : 0;
        FV_TRY(got);
        FV_TRY(clip_out_write(&w->out, p->data + i * frame, p->height, p->width));
        if (got)
            FV_TRY(compare(w));
    }
    return 0;
}

/* ---- steps ------------------------------------------------------------------------------- */

static int open_model(struct work *w)
{
    struct vk_device *dev = NULL;
    bool info = w->action == INFO || w->action == MOMENTS;
    struct vae_opts o = {.dtype = dtype_values[w->v->dtype],
                         .skip = {w->action == DECODE, w->action == ENCODE},
                         .on_progress = progress_update,
                         .ud = &w->progress};
    if (!info)
        FV_TRY(app_nn_device(w->app, &dev));
    return vae_open(&w->vae, dev, w->v->model, &o);
}

static int make_plan(struct work *w, enum vae_way way, uint32_t height, uint32_t width)
{
    char text[VAE_TEXT];
    struct vae_plan_opts o = {.memory = w->v->memory,
                              .window = (uint32_t)w->v->window,
                              .tile = (uint32_t)w->v->tile,
                              .passes = (uint32_t)w->v->passes,
                              .carry = w->v->carry,
                              .whole = w->v->whole};
    FV_TRY(vae_plan_make(&w->plan[way], w->vae, way, height, width, &o));
    vae_plan_text(text, w->vae, way, &w->plan[way], height, width);
    const char *what = way == VAE_ENCODE ? "encoding" : "decoding";
    if (w->v->json)
        cJSON_AddStringToObject(w->doc, way == VAE_ENCODE ? "encode_plan" : "decode_plan", text);
    else if (app_talks(w->app) && w->action != INFO) {
        progress_hide();
        printf("%s: %s\n", what, text);
        fflush(stdout);
    }
    return 0;
}

static int encode(struct work *w)
{
    const struct vae_info *info = vae_info(w->vae);
    FV_TRY(clip_in_open(&w->in, w->input, info->space_factor, (uint32_t)w->v->frames));
    FV_TRY(make_plan(w, VAE_ENCODE, w->in.height, w->in.width));
    struct vae_io io = {.height = w->in.height,
                        .width = w->in.width,
                        .length = w->in.length,
                        .read = read_clip,
                        .write = keep_latents,
                        .noise = w->v->sample ? draw : NULL,
                        .check = true,
                        .on_progress = on_progress,
                        .ud = w};
    w->progress.what = "encoding";
    FV_TRY(vae_run(w->vae, VAE_ENCODE, &w->plan[VAE_ENCODE], &io, &w->stats[VAE_ENCODE]));
    struct latents *l = &w->latents;
    l->source_width = w->in.source_width;
    l->source_height = w->in.source_height;
    l->source_frames = w->stats[VAE_ENCODE].frames_in;
    l->fps_num = w->v->fps.set ? w->v->fps.num : w->in.fps_num;
    l->fps_den = w->v->fps.set ? w->v->fps.den : w->in.fps_den;
    return 0;
}

/* {"fovea":"0.1.0","command":"vae","model":"...","input":"..."} */
static char *comment(const struct work *w)
{
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "fovea", FOVEA_VERSION);
    cJSON_AddStringToObject(root, "command", "vae");
    cJSON_AddStringToObject(root, "model", vae_info(w->vae)->arch);
    cJSON_AddStringToObject(root, "input", fv_path_base(w->input));
    char *text = cJSON_PrintUnformatted(root);
    cJSON_Delete(root);
    return text;
}

static int open_out(struct work *w)
{
    struct latents *l = &w->latents;
    bool rate = w->v->fps.set || l->fps_num;
    char *text = comment(w);
    struct clip_out_opts o = {.path = w->v->output,
                              .format = (enum output_format)w->v->format,
                              .width = l->source_width,
                              .height = l->source_height,
                              .fps_num = !rate           ? 24
                                         : w->v->fps.set ? w->v->fps.num
                                                         : l->fps_num,
                              .fps_den = !rate           ? 1
                                         : w->v->fps.set ? w->v->fps.den
                                                         : l->fps_den,
                              .codec = (enum video_codec)w->v->codec,
                              .crf = w->v->crf,
                              .title = fv_path_base(w->input),
                              .comment = text};
    int rc = clip_out_open(&w->out, &o);
    w->out.opts.title = w->out.opts.comment = NULL; /* the sink has its own */
    free(text);
    return rc;
}

static int decode(struct work *w)
{
    const struct latents *l = &w->latents;
    FV_TRY(make_plan(w, VAE_DECODE, l->height, l->width));
    FV_TRY(open_out(w));
    struct vae_io io = {.height = l->height,
                        .width = l->width,
                        .length = l->frames,
                        .frames = l->source_frames,
                        .read = read_latents,
                        .write = write_frames,
                        .check = true,
                        .on_progress = on_progress,
                        .ud = w};
    w->progress.what = "decoding";
    w->progress.unit = vae_info(w->vae)->time_factor > 1 ? "latents" : "frames";
    return vae_run(w->vae, VAE_DECODE, &w->plan[VAE_DECODE], &io, &w->stats[VAE_DECODE]);
}

static int roundtrip(struct work *w)
{
    FV_TRY(encode(w));
    size_t frame = (size_t)3 * w->in.height * w->in.width;
    w->planes = malloc(frame * sizeof *w->planes);
    w->source = malloc(frame * sizeof *w->source);
    if (!w->planes || !w->source)
        return fv_fail(FV_ENOMEM, "out of memory");
    return decode(w);
}

/* ---- what is said ------------------------------------------------------------------------ */

static void say_stats(struct work *w, enum vae_way way)
{
    const struct vae_stats *s = &w->stats[way];
    char peak[32];
    const char *what = way == VAE_ENCODE ? "encode" : "decode";
    if (w->v->json) {
        cJSON *o = cJSON_AddObjectToObject(w->doc, what);
        cJSON_AddNumberToObject(o, "frames_in", s->frames_in);
        cJSON_AddNumberToObject(o, "frames_out", s->frames_out);
        cJSON_AddNumberToObject(o, "seconds", s->seconds);
        cJSON_AddNumberToObject(o, "device_seconds", s->device_seconds);
        cJSON_AddNumberToObject(o, "gflops", s->flops / 1e9);
        cJSON_AddNumberToObject(o, "peak_bytes", (double)s->peak_bytes);
        cJSON_AddNumberToObject(o, "planned_bytes", (double)w->plan[way].bytes);
        return;
    }
    if (!app_talks(w->app))
        return;
    bytes_text(peak, s->peak_bytes);
    printf("%s: %u to %u, %.2f s, %.1f GFLOP/s, %s of device memory\n", what, s->frames_in,
           s->frames_out, s->seconds,
           s->device_seconds > 0 ? s->flops / s->device_seconds / 1e9 : 0, peak);
}

static void say_latents(struct work *w)
{
    const struct latents *l = &w->latents;
    char size[32];
    double n = (double)l->channels * l->frames * l->height * l->width;
    double pixels = (double)l->source_frames * l->source_width * l->source_height;
    double bits = pixels > 0 ? 16 * n / pixels : 0;
    if (w->v->json) {
        cJSON *o = cJSON_AddObjectToObject(w->doc, "latents");
        cJSON_AddItemToObject(
            o, "shape",
            cJSON_CreateIntArray(
                (int[]){(int)l->channels, (int)l->frames, (int)l->height, (int)l->width}, 4));
        cJSON_AddNumberToObject(o, "bits_per_pixel", bits);
        return;
    }
    if (!app_talks(w->app))
        return;
    bytes_text(size, (uint64_t)(2 * n));
    printf("latents: %u x %u x %u x %u, %s in f16, %.3f bits a pixel\n", l->channels, l->frames,
           l->height, l->width, size, bits);
}

static void say_quality(struct work *w)
{
    size_t n = w->out.count < w->latents.source_frames ? w->out.count : w->latents.source_frames;
    double frames = n ? (double)n : 1, mse = w->squares / frames;
    double psnr = mse > 0 ? -10 * log10(mse) : 100;
    if (w->v->json) {
        cJSON_AddNumberToObject(w->doc, "psnr", psnr);
        cJSON_AddNumberToObject(w->doc, "psnr_mean_of_frames", w->psnr / frames);
        cJSON_AddNumberToObject(w->doc, "ssim", w->ssim / frames);
        cJSON_AddNumberToObject(w->doc, "frames", (double)n);
    } else if (!w->app->mute) {
        printf("PSNR %.2f dB (mean of frames %.2f), SSIM %.4f over %zu frames\n", psnr,
               w->psnr / frames, w->ssim / frames, n);
    }
}

static void say_output(struct work *w)
{
    const char *path = w->sink.kept ? w->sink.kept : w->v->output;
    char size[32];
    if (!path || w->action == ENCODE)
        return;
    bytes_text(size, w->sink.bytes);
    if (w->v->json) {
        cJSON_AddStringToObject(w->doc, "output", path);
        cJSON_AddNumberToObject(w->doc, "output_bytes", (double)w->sink.bytes);
    } else if (app_talks(w->app)) {
        printf("%s: %llu frames, %s\n", path, (unsigned long long)w->sink.frames, size);
    }
}

static int report(struct work *w)
{
    if (w->action != DECODE)
        say_stats(w, VAE_ENCODE);
    if (w->action != DECODE)
        say_latents(w);
    if (w->action == ENCODE) {
        FV_TRY(latents_save(&w->latents, w->v->output, vae_info(w->vae)));
        if (w->v->json)
            cJSON_AddStringToObject(w->doc, "output", w->v->output);
        return 0;
    }
    say_stats(w, VAE_DECODE);
    if (w->action == ROUNDTRIP)
        say_quality(w);
    say_output(w);
    return 0;
}

/* ---- info -------------------------------------------------------------------------------- */

static void add_plan(struct work *w, enum vae_way way, uint32_t height, uint32_t width)
{
    char text[VAE_TEXT];
    const char *what = way == VAE_ENCODE ? "encoding" : "decoding";
    if (make_plan(w, way, height, width) < 0)
        snprintf(text, sizeof text, "%s", fv_error());
    else
        vae_plan_text(text, w->vae, way, &w->plan[way], height, width);
    if (!w->v->json)
        printf("%s %ux%u: %s\n", what, w->v->size.width, w->v->size.height, text);
}

static int show_info(struct work *w)
{
    const struct vae_info *i = vae_info(w->vae);
    char weights[32], parameters[32];
    uint32_t f = i->space_factor;
    bytes_text(weights, i->weight_bytes);
    count_text(parameters, i->parameters);
    if (w->v->json) {
        cJSON_AddNumberToObject(w->doc, "channels", i->channels);
        cJSON_AddNumberToObject(w->doc, "time_factor", i->time_factor);
        cJSON_AddNumberToObject(w->doc, "space_factor", i->space_factor);
        cJSON_AddBoolToObject(w->doc, "encoder", i->has_encoder);
        cJSON_AddBoolToObject(w->doc, "decoder", i->has_decoder);
        cJSON_AddNumberToObject(w->doc, "parameters", (double)i->parameters);
        cJSON_AddNumberToObject(w->doc, "weight_bytes", (double)i->weight_bytes);
        cJSON_AddNumberToObject(w->doc, "scale", (double)i->scale[0]);
        cJSON_AddNumberToObject(w->doc, "shift", (double)i->shift[0]);
    } else {
        printf("%s (%s)\n", i->name, i->arch);
        printf("latents of %u channels, 1/%u of the frames, 1/%u of width and height\n",
               i->channels, i->time_factor, f);
        printf("%s%s%s, %s parameters, %s in %s\n", i->has_encoder ? "encoder" : "",
               i->has_encoder && i->has_decoder ? " and " : "", i->has_decoder ? "decoder" : "",
               parameters, weights, nn_dtype_name(i->dtype));
        printf("a diffusion model takes (z - %g) * %g\n", (double)i->shift[0], (double)i->scale[0]);
    }
    if (!w->v->size.set)
        return 0;
    uint32_t height = (w->v->size.height + f - 1) / f, width = (w->v->size.width + f - 1) / f;
    if (i->has_encoder)
        add_plan(w, VAE_ENCODE, height * f, width * f);
    if (i->has_decoder)
        add_plan(w, VAE_DECODE, height, width);
    return 0;
}

/* ---- command ----------------------------------------------------------------------------- */

static int check_options(struct work *w, const struct opt_args *args)
{
    const struct values *v = w->v;
    int a = 0;
    while (actions[a] && strcmp(actions[a], args->items[0]))
        a++;
    if (!actions[a]) {
        const char *near = opt_nearest(args->items[0], actions);
        return fv_fail(
            CMD_USAGE, "no action \"%s\"%s%s%s; there are encode, decode, roundtrip, moments, info",
            args->items[0], near ? ", did you mean " : "", near ? near : "", near ? "?" : "");
    }
    w->action = (enum action)a;
    w->input = args->count > 1 ? args->items[1] : NULL;
    w->inputs = (const char *const *)args->items + 1;
    w->input_count = args->count - 1;
    if (w->action != INFO && !w->input)
        return fv_fail(CMD_USAGE, "%s needs an input: fovea vae %s INPUT --model DIR", actions[a],
                       actions[a]);
    if (!v->model)
        return fv_fail(CMD_USAGE, "needs --model DIR");
    if (w->input_count > 1 && w->action != MOMENTS)
        return fv_fail(CMD_USAGE, "%s takes one input", actions[a]);
    if (w->action != ROUNDTRIP && w->action != INFO && !v->output)
        return fv_fail(CMD_USAGE, "needs -o OUT, such as -o %s",
                       w->action == DECODE ? "clip.mp4" : "clip.safetensors");
    FV_TRY(app_mute(w->app, v->output, v->json));
    if ((w->action == ENCODE || w->action == MOMENTS) && strcmp(v->output, "-") && !fv_ends_with(v->output, ".safetensors"))
        return fv_fail(CMD_USAGE, "-o %s: latents are written as .safetensors", v->output);
    return 0;
}

static int act(struct work *w)
{
    FV_TRY(open_model(w));
    const struct vae_info *i = vae_info(w->vae);
    if (w->v->json) {
        cJSON_AddStringToObject(w->doc, "model", i->arch);
        cJSON_AddStringToObject(w->doc, "name", i->name);
    } else if (app_talks(w->app) && w->action != INFO) {
        progress_hide();
        printf("model: %s\n", i->name);
    }
    switch (w->action) {
    case ENCODE:
        return encode(w);
    case DECODE:
        FV_TRY(latents_load(&w->latents, w->input, i, w->v->scaled));
        return decode(w);
    case ROUNDTRIP:
        return roundtrip(w);
    case MOMENTS:
        return latents_moments(w->inputs, w->input_count, i, w->v->scaled, w->v->output);
    default:
        return show_info(w);
    }
}

/* Ends the output file; after a failure with what is in it. */
static int finish_out(struct work *w, int rc)
{
    char cause[512];
    snprintf(cause, sizeof cause, "%s", fv_error());
    int end = clip_out_finish(&w->out, rc >= 0, &w->sink);
    if (rc >= 0)
        return end;
    if (w->sink.kept)
        return fv_fail(rc, "%s; the first %llu frames are in %s", cause,
                       (unsigned long long)w->sink.frames, w->sink.kept);
    return fv_fail(rc, "%s", cause);
}

static int run(struct app *app, const void *values, const struct opt_args *args)
{
    struct work w = {.app = app, .v = values};
    FV_TRY(check_options(&w, args));
    w.doc = cJSON_CreateObject();
    progress_start(&w.progress, (enum progress_mode)w.v->progress, "frames", app->quiet);
    int rc = act(&w);
    progress_done(&w.progress);
    rc = finish_out(&w, rc);
    if (rc >= 0 && w.action != INFO && w.action != MOMENTS)
        rc = report(&w);
    if (w.v->json && rc >= 0)
        print_cjson(w.doc);
    else
        cJSON_Delete(w.doc);
    sink_stats_finish(&w.sink);
    clip_in_finish(&w.in);
    latents_finish(&w.latents);
    vae_close(&w.vae);
    free(w.planes);
    free(w.source);
    return rc;
}

const struct cmd cmd_vae = {
    .name = "vae",
    .summary = "video autoencoders: clips to latents and back",
    .usage = "ACTION [INPUT]... --model DIR [-o OUT] [OPTION]...",
    .examples = "fovea vae roundtrip clip.mp4 --model OD-VAE/ -o back.mp4\tthere and back, with "
                "its quality\n"
                "fovea vae encode clip.mp4 --model OD-VAE/ -o clip.safetensors\tlatents\n"
                "fovea vae decode clip.safetensors --model OD-VAE/ -o clip.mp4\tand back\n"
                "fovea vae info --model OD-VAE/ --size 1280x720\twhat it is, what memory it takes",
    .details =
        "The action is encode, decode, roundtrip, moments or info. Moments are the mean and the "
        "variance of latents of one size, from files that encode wrote, as generate "
        "--analytic-init takes them.\n\n"
        "Models are told by their tensors' names: Open-Sora-Plan's OD-VAE 1.1 and 1.2, CV-VAE for "
        "SD 2.1 and SD 3, the Open-Sora 1.2 VAE, Stable Diffusion's AutoencoderKL, the TAESD "
        "family. Weights are safetensors, PyTorch or GGUF; norm groups and window sizes come from "
        "config.json.\n\n"
        "Clips of any length go through in windows, pictures of any size in tiles when memory is "
        "short; what was chosen is printed. The input is a video, a picture or a folder of them; "
        "sizes are filled up to whole latents with the last row and column, and cut back.\n\n"
        "Latents are the model's own; their file says in its metadata what a diffusion model wants "
        "(scale, shift), the frame rate and the source's size.\n\n"
        "After Ctrl-C the frames decoded so far are kept, as by fovea render; latents are written "
        "whole or not at all.",
    .opts = opts,
    .size = sizeof(struct values),
    .least_args = 1,
    .most_args = 65536,
    .arg = "encode, decode, roundtrip, moments or info",
    .args = (const struct cmd_arg[]){{.name = "action"}, {"input", .file = OPT_READS, .many = true}, {0}},
    .run = run,
};
