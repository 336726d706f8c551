/* fovea generate: a prompt to a video, by the stages of generator.h. */
#include "app/batch_journal.h"
#include "app/clip.h"
#include "app/cmd.h"
#include "app/generate_clip.h"
#include "app/generate_held.h"
#include "app/generate_jobs.h"
#include "app/generate_report.h"
#include "app/generator.h"
#include "app/latents.h"
#include "app/pipe_in.h"
#include "app/progress.h"
#include "app/text.h"
#include "vk/base/file.h"
#include "vk/base/hash.h"
#include "vk/base/log.h"
#include "vk/base/thread.h"
#include "vk/device.h"
#include "vk/mem.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

struct values {
    struct model_paths paths;
    const char *output, *prompt_file, *negative, *size, *aspect, *frames, *camera, *latents, *from, *report;
    const char *image, *last_image, *references, *lora, *strategy, *extend, *analytic, *checkpoint, *preview;
    int steps, count, merge, leap, leap_from, method, rounds, repeat, preview_every, format, dtype, activations, codec, crf, progress;
    uint64_t memory;
    double cache, seed, guidance, shift, start, renorm, seconds, aesthetic, motion;
    bool replace, joint, dry_run, json;
    struct opt_rate fps;
};

static const char *const activations[] = {"16", "8", NULL};
static const char *const dtypes[] = {"f32", "f16", "bf16", NULL};
static const enum nn_dtype dtype_values[] = {NN_F32, NN_F16, NN_BF16};
/* The model's own, then those of enum df_leap_by. */
static const char *const leaps[] = {"model", "never", "fixed", "rows", "whole", NULL};
enum { LEAP_OF_MODEL };
/* Captions of a batch's later jobs that are encoded with the first one's. */
enum { MOST_COMING = 256 };
static const char *const methods[] = {"euler", "heun", "unipc", "dpmpp", NULL};

#define AT(m) offsetof(struct values, m)
static const struct opt opts[] = {
    {"output", 'o', OPT_STRING, AT(output), .value = "OUT", .file = OPT_WRITES,
     .help = "video, frame_%04d.png, .npy, .safetensors (latents)"},
    {"format", 'f', OPT_ENUM, AT(format), .rare = true, .def = "auto", .choices = output_choices,
     .help = "when the name does not say it"},
    {"prompt-file", 0, OPT_STRING, AT(prompt_file), .value = "FILE", .file = true,
     .help = "a prompt a line; not empty lines and those from # on"},
    {"negative", 0, OPT_STRING, AT(negative), .value = "PROMPT",
     .help = "what the clip is led away from"},
    {"count", 'n', OPT_INT, AT(count), .def = "1", .min = 1, .max = 10000,
     .help = "clips of each prompt, seeds from --seed on"},
    {"seed", 0, OPT_FLOAT, AT(seed), .def = "-1", .min = -1, .max = 999999999999, .value = "N",
     .help = "of the noise; -1 is another each time, printed"},
    {"from", 0, OPT_STRING, AT(from), .value = "VIDEO", .file = true,
     .help = "prompt and settings of an earlier one"},
    {.type = OPT_GROUP, .help = "Clip (default: the model's)"},
    {"size", 's', OPT_STRING, AT(size), .value = "WxH|NAME",
     .help = "320x240, or 144p 240p 360p 480p 720p 1080p"},
    {"aspect", 0, OPT_STRING, AT(aspect), .rare = true, .value = "H:W",
     .help = "height to width, as Open-Sora has it: 9:16 lies, 16:9 stands"},
    {"frames", 0, OPT_STRING, AT(frames), .value = "N",
     .help = "or Open-Sora's 2s 4s 8s 16s: 51, 102 ..; 1: a picture"},
    {"seconds", 0, OPT_FLOAT, AT(seconds), .rare = true, .def = "0", .min = 0, .max = 1000,
     .help = "instead of --frames, filled up to what the autoencoder takes whole"},
    {"fps", 'r', OPT_RATE, AT(fps), .help = "told to the model, and of the file"},
    {.type = OPT_GROUP, .help = "Given pictures"},
    {"image", 'i', OPT_STRING, AT(image), .value = "FILE", .file = true, .help = "first picture of the clip"},
    {"last-image", 0, OPT_STRING, AT(last_image), .rare = true, .value = "FILE", .file = true, .help = "and the last"},
    {"extend", 0, OPT_STRING, AT(extend), .value = "VIDEO", .file = true,
     .help = "go on from its end; it comes first in OUT"},
    {"loop", 0, OPT_INT, AT(rounds), .rare = true, .def = "1", .min = 1, .max = 1000, .value = "ROUNDS",
     .help = "a longer clip in rounds, each going on from the one before; \"|0|a beach|2|a city\" is a prompt for "
             "some"},
    {"repeat", 0, OPT_INT, AT(repeat), .rare = true, .def = "0", .max = 1000, .value = "LATENTS",
     .help = "that a round takes from the end of the one before; 0 is 5, half of them in short clips"},
    {"reference", 0, OPT_STRING, AT(references), .rare = true, .value = "FILES", .file = true,
     .help = "pictures and videos with ; between, for --mask-strategy"},
    {"mask-strategy", 0, OPT_STRING, AT(strategy), .rare = true, .value = "RULES",
     .help = "round,reference,from,to,length,edit;...: which latents of references go where, as Open-Sora has it"},
    {"frame-replacement", 0, OPT_FLAG, AT(replace), .rare = true,
     .help = "the model sees given frames as of each step's time (STIV)"},
    {"joint-guidance", 0, OPT_FLAG, AT(joint), .rare = true,
     .help = "without the prompt also means without given frames (STIV)"},
    {"renorm", 0, OPT_FLOAT, AT(renorm), .rare = true, .def = "0", .min = 0, .max = 1,
     .help = "how far the guided velocity keeps the length of the one with the prompt"},
    {.type = OPT_GROUP, .help = "Sampling (default: the model's)"},
    {"steps", 0, OPT_INT, AT(steps), .def = "0", .max = 10000, .help = "from noise to clip"},
    {"guidance", 'g', OPT_FLOAT, AT(guidance), .def = "-1", .min = -1, .max = 100,
     .help = "how far the prompt leads; 1 is the model alone"},
    {"method", 0, OPT_ENUM, AT(method), .rare = true, .choices = methods, .def = "euler",
     .help = "way along the velocity; heun asks the model twice a step"},
    {"shift", 0, OPT_FLOAT, AT(shift), .rare = true, .def = "0", .min = 0, .max = 100,
     .help = "moves steps towards noise; 0 is as the model was trained: by size and length, or not"},
    {"start", 0, OPT_FLOAT, AT(start), .rare = true, .def = "0", .min = 0, .max = 1, .value = "SHARE",
     .help = "of noise to begin at, for --analytic-init; 0 is 1"},
    {"analytic-init", 0, OPT_STRING, AT(analytic), .rare = true, .value = "FILE", .file = true,
     .help = "mean and variance of training's latents, which a sampling from --start on begins with"},
    {"leap", 0, OPT_ENUM, AT(leap), .choices = leaps, .def = "model",
     .help = "one step all the way, at a step or once the velocity settles (LPL)"},
    {"leap-from", 0, OPT_INT, AT(leap_from), .rare = true, .def = "0", .max = 10000, .value = "STEP",
     .help = "no leap before; 0 is half of the steps"},
    {"merge-steps", 0, OPT_INT, AT(merge), .def = "-1", .min = -1, .max = 10000, .value = "N",
     .help = "whose attention sees frames in twos (TDTM)"},
    {"cache", 0, OPT_FLOAT, AT(cache), .def = "0", .min = 0, .max = 10, .value = "THRESHOLD",
     .help = "TeaCache: 0.1 is careful, 0.2 fast, 0 off"},
    {.type = OPT_GROUP, .help = "Scores put behind the prompt, as captions of training had them"},
    {"aesthetic", 0, OPT_FLOAT, AT(aesthetic), .rare = true, .def = "-1", .min = -1, .max = 100,
     .help = "4 to 7; 0 is none, -1 the model's usual"},
    {"motion", 0, OPT_FLOAT, AT(motion), .rare = true, .def = "-1", .min = -1, .max = 1000, .help = "likewise; from 0 to 20 or so"},
    {"camera-motion", 0, OPT_STRING, AT(camera), .rare = true, .value = "TEXT", .help = "\"pan left\", \"zoom in\", \"static\""},
    {.type = OPT_GROUP, .help = "Model"},
    {"model", 'm', OPT_STRING, AT(paths.model), .value = "DIR", .file = OPT_MODEL,
     .help = "its folder; default the bundled one"},
    {"dit", 0, OPT_STRING, AT(paths.dit), .rare = true, .value = "PATH", .file = OPT_MODEL, .help = "transformer alone: OpenSora-STDiT-v3/"},
    {"t5", 0, OPT_STRING, AT(paths.text), .rare = true, .value = "PATH", .file = OPT_MODEL,
     .help = "text encoder alone: t5-v1_1-xxl/, t5xxl_fp16.safetensors, a GGUF"},
    {"tokenizer", 0, OPT_STRING, AT(paths.tokenizer), .rare = true, .value = "PATH", .file = OPT_MODEL,
     .help = "spiece.model or tokenizer.json; default beside the text encoder"},
    {"vae", 0, OPT_STRING, AT(paths.vae), .rare = true, .value = "PATH", .file = OPT_MODEL, .help = "autoencoder alone: OpenSora-VAE-v1.2/"},
    {"dtype", 0, OPT_ENUM, AT(dtype), .rare = true, .choices = dtypes, .def = "f32",
     .help = "storage of weights and activations on the device"},
    {"lora", 0, OPT_STRING, AT(lora), .value = "FILE:SCALE;...", .file = OPT_MODEL,
     .help = "low-rank changes to the transformer, times SCALE (1 if left out)"},
    {"activations", 0, OPT_ENUM, AT(activations), .rare = true, .choices = activations, .def = "16",
     .help = "8: what goes into 4-bit layers is rounded to 8 bits"},
    {"memory", 0, OPT_BYTES, AT(memory), .value = "BYTES",
     .help = "of the device at most: 4G; default what is free"},
    {.type = OPT_GROUP, .help = "Output"},
    {"latents", 0, OPT_STRING, AT(latents), .rare = true, .value = "FILE", .file = OPT_WRITES,
     .help = "write the latents too, as .safetensors for fovea vae decode"},
    {"codec", 0, OPT_ENUM, AT(codec), .rare = true, .def = "auto", .choices = video_codec_names,
     .help = "auto is H.264, VP9 in .webm"},
    {"crf", 0, OPT_INT, AT(crf), .rare = true, .def = "-1", .min = -1, .max = 63, .help = "quality, 0 best; -1 is the codec's usual"},
    {"checkpoint", 0, OPT_STRING, AT(checkpoint), .value = "FILE", .file = OPT_RESUMES,
     .help = "go on from here when interrupted; removed at the end"},
    {"preview", 0, OPT_STRING, AT(preview), .value = "FILE", .file = OPT_SHOWS,
     .help = "what it is going to be: .png (cheap) or a video"},
    {"preview-every", 0, OPT_INT, AT(preview_every), .rare = true, .def = "5", .min = 1, .max = 10000, .value = "STEPS",
     .help = "between previews"},
    {"dry-run", 0, OPT_FLAG, AT(dry_run), .help = "say what it would take: FLOPs, memory, time"},
    {"report", 0, OPT_STRING, AT(report), .rare = true, .value = "FILE", .file = OPT_WRITES,
     .help = "what it took, or would take, as JSON; - is standard output"},
    {"json", 0, OPT_FLAG, AT(json), .rare = true, .help = "the same as --report -"},
    {"progress", 0, OPT_ENUM, AT(progress), .rare = true, .def = "auto", .choices = progress_choices,
     .help = "on standard error"},
    {0}};

/* All there is to tear down. */
struct work {
    struct app *app;
    struct values v; /* settled: what the clips are made with */
    struct opt_args prompts;
    struct generate_held *held;
    struct generator *g; /* of it */
    struct vk_device *dev;
    struct progress progress;
    struct generate_jobs jobs;
    struct generator_clip clip;
    char **captions;              /* of each different text, the negative one last */
    struct generator_text *texts;
    struct df_scores scores;
    char hash[17];
    char *references, *strategy; /* of all clips, but where a prompt has its own */
    struct generator_cost cost;
    size_t begin;                /* number of the first clip that is not there yet, as the checkpoint says */
    struct batch_journal journal; /* of several clips: which are there */
    size_t made;
    struct cmd_cost *estimate; /* is filled, and nothing said */
    /* of the clip being made */
    const struct generate_job *job;
    struct generate_clip making;
    struct clip_out out;
    struct sink_stats sink;
    double started;
};

static int on_progress(void *ud, const struct fv_progress *p)
{
    struct work *w = ud;
    uint64_t used = 0;
    if (w->dev)
        vk_mem_usage(w->dev, NULL, &used, NULL);
    w->progress.memory = used;
    w->progress.part = w->making.round + 1;
    w->progress.parts = strcmp(p->what, "text") ? w->making.rounds : 0;
    w->progress.unit = !strcmp(p->what, "sampling") ? "steps" : !strcmp(p->what, "decoding") ? "latents" : NULL;
    return progress_update(&w->progress, p);
}

/* ---- settings of a video made before ----------------------------------------------------- */

/* Our own comment in a video, of this command. */
static int read_comment(struct fv_json *doc, const char *path)
{
    struct video_in *in;
    FV_TRY(video_in_open(&in, path));
    const char *comment = video_in_info(in)->comment;
    int rc = comment && *comment == '{' ? fv_json_parse(doc, comment, strlen(comment), path)
                                        : fv_fail(FV_EFORMAT, "--from %s: holds no settings of fovea generate", path);
    if (rc == 0 && strcmp(fv_json_string_or(doc, doc->root, "command", ""), "generate")) {
        rc = fv_fail(FV_EFORMAT, "--from %s: was not made by fovea generate", path);
        fv_json_close(doc);
    }
    video_in_close(&in);
    return rc;
}

/* The file's settings, with those of the command line over them. */
static int take_settings(struct work *w, const struct values *given)
{
    struct fv_json doc, mine;
    struct opt_args none;
    struct values v = {.steps = 0};
    const struct opt_set set = {opts, &v};
    struct fv_arena *arena = &w->app->arena;
    char *options = opt_to_json(opts, given);
    if (!options)
        return fv_fail(FV_ENOMEM, "out of memory");
    int rc = opt_defaults(opts, &v);
    if (rc == 0)
        rc = read_comment(&doc, given->from);
    if (rc == 0) {
        const char *prompt = fv_json_string(&doc, doc.root, "prompt");
        rc = opt_from_json(&set, 1, &none, &doc, fv_json_object(&doc, doc.root, "options"), arena);
        snprintf(w->hash, sizeof w->hash, "%s", fv_json_string_or(&doc, doc.root, "model_hash", ""));
        if (rc == 0 && !w->prompts.count && !given->prompt_file) {
            w->prompts.items = fv_arena_alloc(arena, sizeof *w->prompts.items);
            if (w->prompts.items)
                w->prompts.items[w->prompts.count++] = fv_arena_strndup(arena, prompt, strlen(prompt));
        }
        rc = rc == 0 && doc.failed ? FV_EFORMAT : rc;
        fv_json_close(&doc);
    }
    if (rc == 0)
        rc = fv_json_parse(&mine, options, strlen(options), "options");
    if (rc == 0) {
        rc = opt_from_json(&set, 1, &none, &mine, mine.root, arena);
        fv_json_close(&mine);
    }
    free(options);
    w->v = v;
    return rc;
}

/* {"fovea":"0.1.0","command":"generate","prompt":...,"model":...,"options":{...}}: all it takes to make this
 * clip again, and nothing that differs when it is. */
static char *comment(const struct work *w, const struct generate_job *job)
{
    struct values v = w->v;
    v.output = v.prompt_file = v.latents = v.from = v.report = v.checkpoint = v.preview = NULL;
    v.count = 1;
    v.preview_every = 5;
    v.dry_run = false;
    v.json = false;
    v.format = OUTPUT_AUTO;
    v.progress = PROGRESS_AUTO;
    v.seed = (double)job->seed;
    char *options = opt_to_json(opts, &v), *text = NULL;
    cJSON *root = cJSON_CreateObject();
    if (root && options) {
        cJSON_AddStringToObject(root, "fovea", FOVEA_VERSION);
        cJSON_AddStringToObject(root, "command", "generate");
        cJSON_AddStringToObject(root, "prompt", job->prompt->whole);
        cJSON_AddStringToObject(root, "model", w->held->model.usual.name);
        cJSON_AddStringToObject(root, "model_hash", w->hash);
        cJSON_AddStringToObject(root, "device", w->dev->caps.name);
        cJSON_AddStringToObject(root, "driver", w->dev->caps.driver);
        cJSON_AddRawToObject(root, "options", options);
        text = cJSON_PrintUnformatted(root);
    }
    if (text)
        pipe_in_reword(text);
    cJSON_Delete(root);
    free(options);
    return text;
}

/* ---- settling what is made --------------------------------------------------------------- */

static bool latents_only(const struct work *w)
{
    return w->v.output ? fv_ends_with(w->v.output, ".safetensors") : w->v.latents != NULL;
}

static int check_options(struct work *w)
{
    const struct values *v = &w->v;
    if (w->prompts.count && v->prompt_file)
        return fv_fail(CMD_USAGE, "a prompt and --prompt-file do not go together");
    if (!w->prompts.count && !v->prompt_file)
        return fv_fail(CMD_USAGE, "needs a prompt: fovea generate \"a red ball rolls to the left\" -o out.mp4");
    if (!v->output && !v->latents && !v->dry_run)
        return fv_fail(CMD_USAGE, "needs -o OUT, such as -o out.mp4");
    if (v->frames && v->seconds > 0)
        return fv_fail(CMD_USAGE, "--frames and --seconds do not go together");
    if (v->latents && strcmp(v->latents, "-") && !fv_ends_with(v->latents, ".safetensors"))
        return fv_fail(CMD_USAGE, "--latents %s: they are written as .safetensors", v->latents);
    if (v->image && v->extend)
        return fv_fail(CMD_USAGE, "--image and --extend do not go together: both say how the clip begins");
    if (!v->strategy != !v->references)
        return fv_fail(CMD_USAGE, "--reference and --mask-strategy go together");
    if (!v->analytic != (v->start <= 0))
        return fv_fail(CMD_USAGE, "--analytic-init FILE and --start SHARE go together");
    if (v->negative && strlen(v->negative) > 4000)
        return fv_fail(FV_EINVALID, "--negative has %zu bytes, more than 4000", strlen(v->negative));
    if (v->leap_from && v->leap == LEAP_OF_MODEL + 1 + DF_LEAP_NEVER)
        return fv_fail(CMD_USAGE, "--leap-from needs --leap fixed, rows or whole");
    return 0;
}

static const char *keep_text(struct work *w, const char *fmt, double a, double b)
{
    char text[64];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    int n = snprintf(text, sizeof text, fmt, a, b);
#pragma GCC diagnostic pop
    return fv_arena_strndup(&w->app->arena, text, (size_t)n);
}

static int settle_size(struct work *w)
{
    struct values *v = &w->v;
    const struct model_usual *u = &w->held->model.usual;
    struct generator_clip *c = &w->clip;
    struct df_packing packing = generator_packing(w->g);
    c->width = u->width;
    c->height = u->height;
    c->frames = u->frames;
    if (v->aspect && !v->size)
        return fv_fail(CMD_USAGE, "--aspect needs --size with a name, such as 240p");
    if (v->size && df_picture_size(&c->width, &c->height, v->size, v->aspect) < 0)
        return fv_wrap(CMD_USAGE, "--size: ");
    if (!v->fps.set)
        v->fps = (struct opt_rate){true, (uint32_t)lround(u->fps * 1000), 1000};
    while (v->fps.den > 1 && v->fps.num % 10 == 0 && v->fps.den % 10 == 0)
        v->fps.num /= 10, v->fps.den /= 10;
    c->fps = (float)v->fps.num / (float)v->fps.den;
    if (v->frames && df_frame_count(&c->frames, v->frames) < 0)
        return fv_wrap(CMD_USAGE, "--frames: ");
    if (v->seconds > 0)
        c->frames = df_whole_frames(&packing, (uint32_t)fmax(1, round(v->seconds * (double)c->fps)));
    v->size = keep_text(w, "%.0fx%.0f", c->width, c->height);
    v->frames = keep_text(w, "%.0f", c->frames, 0);
    v->aspect = NULL;
    v->seconds = 0;
    return v->size && v->frames ? generator_size(w->g, c) : FV_ENOMEM;
}

/* Scores of 0 are none; those not given are the model's. */
static double settle_score(double *given, double usual)
{
    if (*given < 0)
        *given = isnan(usual) ? 0 : usual;
    return *given > 0 ? *given : NAN;
}

static bool several(const struct work *w)
{
    return w->prompts.count * (size_t)w->v.count > 1;
}

/* All that is asked for but the seed. */
static int run_hash(const struct work *w, uint64_t *hash)
{
    struct values v = w->v;
    v.report = v.preview = NULL;
    v.preview_every = 5;
    v.progress = PROGRESS_AUTO;
    v.seed = -1;
    char *options = opt_to_json(opts, &v);
    if (!options)
        return fv_fail(FV_ENOMEM, "out of memory");
    *hash = fv_hash(FV_HASH_BEGIN, options, strlen(options));
    for (size_t i = 0; i < w->prompts.count; i++)
        *hash = fv_hash(*hash, w->prompts.items[i], strlen(w->prompts.items[i]) + 1);
    free(options);
    return 0;
}

/* Clips of several are written down as they are done, in .NAME.fovea beside them: after kill -9, too, the same
 * command goes on with the next, and with the seed that it drew. */
static int open_journal(struct work *w)
{
    uint64_t hash;
    char *dir = NULL, *parent, *whole = strdup(w->v.output);
    for (size_t n = whole ? strlen(whole) : 0; n > 1 && whole[n - 1] == '/'; n--)
        whole[n - 1] = 0;
    parent = whole ? fv_path_dir(whole) : NULL;
    if (parent && asprintf(&dir, "%s/.%s.fovea", parent, fv_path_base(whole)) < 0)
        dir = NULL;
    int rc = dir ? batch_journal_open(&w->journal, dir, NULL, true) : fv_fail(FV_ENOMEM, "out of memory");
    free(dir);
    free(parent);
    free(whole);
    FV_TRY(rc);
    FV_TRY(run_hash(w, &hash));
    const struct batch_past *was = batch_journal_find(&w->journal, hash);
    if (w->v.seed < 0 && was)
        w->v.seed = (double)was->inputs;
    return 0;
}

static int draw_seed(struct work *w)
{
    uint32_t random = 0;
    uint64_t hash;
    if (getrandom(&random, sizeof random, 0) != sizeof random)
        return fv_fail(FV_EIO, "no random seed is to be had; give --seed N");
    w->v.seed = random;
    if (w->journal.fd < 0)
        return 0;
    FV_TRY(run_hash(w, &hash));
    return batch_journal_start(&w->journal, hash, random, 0, 1, NULL);
}

/* A run that is taken up again goes on with the seed it began with. */
static int settle_seed(struct work *w)
{
    char *settings;
    uint64_t seed;
    if (several(w) && w->v.output && !w->v.dry_run)
        FV_TRY(open_journal(w));
    if (w->v.seed >= 0)
        return 0;
    if (w->v.checkpoint) {
        int rc = generate_checkpoint_settings(&settings, &seed, w->v.checkpoint);
        free(settings);
        FV_TRY(rc);
        if (rc == 0) {
            w->v.seed = (double)seed;
            return 0;
        }
    }
    return draw_seed(w);
}

/* "a;b" and "0;0,1,0,-1,1" of the options that are short for them. */
static int join_references(struct work *w)
{
    const struct values *v = &w->v;
    const char *files[3] = {v->references, v->image, v->last_image}, *rules[3] = {v->strategy, NULL, NULL};
    char image[32], last[32];
    size_t count = 0;
    for (const char *at = v->references; at && *at; at++)
        count += at == v->references || *at == ';';
    snprintf(image, sizeof image, "0,%zu,0,0,1,0", count);
    snprintf(last, sizeof last, "0,%zu,0,-1,1,0", count + (v->image != NULL));
    rules[1] = v->image ? image : NULL;
    rules[2] = v->last_image ? last : NULL;
    for (int i = 1; i < 3; i++)
        if (files[i] && strchr(files[i], ';'))
            return fv_fail(FV_EINVALID, "%s: a name with ; cannot be given", files[i]);
    for (int i = 0; i < 3; i++) {
        char *more, *rule;
        if (!files[i])
            continue;
        if (asprintf(&more, "%s%s%s", w->references ? w->references : "", w->references ? ";" : "", files[i]) < 0)
            return fv_fail(FV_ENOMEM, "out of memory");
        free(w->references);
        w->references = more;
        if (asprintf(&rule, "%s%s%s", w->strategy ? w->strategy : "", w->strategy ? ";" : "", rules[i]) < 0)
            return fv_fail(FV_ENOMEM, "out of memory");
        free(w->strategy);
        w->strategy = rule;
    }
    return 0;
}

/* What was left to the model becomes what it says, so that it can be written down. */
static int settle(struct work *w)
{
    struct values *v = &w->v;
    const struct model_usual *u = &w->held->model.usual;
    struct generator_clip *c = &w->clip;
    FV_TRY(settle_size(w));
    v->steps = v->steps ? v->steps : (int)u->steps;
    v->guidance = v->guidance < 0 ? u->guidance : v->guidance;
    v->merge = v->merge < 0 ? (int)u->merge_steps : v->merge;
    if (v->leap == LEAP_OF_MODEL) {
        v->leap = LEAP_OF_MODEL + 1 + (int)u->leap.by;
        v->leap_from = v->leap_from ? v->leap_from : (int)u->leap.from;
    }
    if (!v->camera && u->scores.camera)
        v->camera = u->scores.camera;
    w->scores.aesthetic = settle_score(&v->aesthetic, u->scores.aesthetic);
    w->scores.motion = settle_score(&v->motion, u->scores.motion);
    w->scores.camera = v->camera && *v->camera ? v->camera : NULL;
    FV_TRY(settle_seed(w));
    if (v->seed != floor(v->seed))
        return fv_fail(CMD_USAGE, "--seed: %g is not a whole number", v->seed);
    c->steps = (uint32_t)v->steps;
    c->guidance = (float)v->guidance;
    c->transform = u->transform;
    c->merge_steps = (uint32_t)v->merge;
    c->cache = (struct df_cache){.threshold = (float)v->cache};
    c->method = (enum df_method)v->method;
    c->shift = (float)v->shift;
    c->start = (float)v->start;
    c->replace = v->replace;
    c->joint = v->joint;
    c->renorm = (float)v->renorm;
    c->leap = (struct df_leap){.by = (enum df_leap_by)(v->leap - 1), .from = (uint32_t)v->leap_from};
    return 0;
}

/* ---- what is said ------------------------------------------------------------------------ */

static int say_plan(const struct work *w)
{
    const struct generator_clip *c = &w->clip;
    const struct generate_clip all = {.g = w->g, .clip = *c, .rounds = (uint32_t)w->v.rounds,
                                      .repeat = (uint32_t)w->v.repeat, .extend = w->v.extend};
    static const char *const how[] = {"", ", leap at a fixed step", ", leap by rows", ", leap by the whole clip"};
    uint32_t width, height, frames;
    char merge[64] = "", cache[64] = "";
    FV_TRY(generate_clip_frames(&all, &frames));
    if (!app_talks(w->app) || w->estimate)
        return 0;
    generator_picture(w->g, c, &width, &height);
    if (c->merge_steps)
        snprintf(merge, sizeof merge, ", frames merged in the first %u", c->merge_steps);
    if (c->cache.threshold > 0)
        snprintf(cache, sizeof cache, ", cache below %g", (double)c->cache.threshold);
    printf("%s: %u frames of %ux%u at %g frames/s, %u steps, guidance %g%s%s%s\n", w->held->model.usual.name, frames,
           width, height, (double)c->fps, c->steps, (double)c->guidance, merge, how[c->leap.by],
           cache);
    fflush(stdout);
    return 0;
}

static void say_clip(const struct work *w)
{
    char size[32];
    const char *path = w->sink.kept ? w->sink.kept : w->job->output ? w->job->output : w->v.latents;
    if (!app_talks(w->app))
        return;
    bytes_text(size, w->sink.bytes);
    if (latents_only(w))
        printf("%s: latents, seed %llu\n", path, (unsigned long long)w->job->seed);
    else
        printf("%s: %llu frames, %s, seed %llu\n", path, (unsigned long long)w->sink.frames, size,
               (unsigned long long)w->job->seed);
    fflush(stdout);
}

/* ---- making ------------------------------------------------------------------------------ */

/* What is wrong with a prompt is told before anything is loaded. */
static int make_captions(struct work *w)
{
    size_t n = w->jobs.text_count;
    w->captions = calloc(n + 1, sizeof *w->captions);
    w->texts = calloc(n + 1, sizeof *w->texts);
    if (!w->captions || !w->texts)
        return fv_fail(FV_ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        int rc = generator_caption(w->g, &w->captions[i], w->jobs.texts[i], &w->scores);
        if (rc < 0)
            return n > 1 ? fv_wrap(rc, "prompt %zu: ", i + 1) : rc;
        fv_log(FV_INFO, "caption: %s", w->captions[i]);
    }
    const struct df_scores none = {NAN, NAN, NULL};
    if (w->v.negative && generator_caption(w->g, &w->captions[n], w->v.negative, &none) < 0)
        return fv_wrap(FV_EINVALID, "--negative: ");
    return 0;
}

static size_t caption_count(const struct work *w)
{
    return w->jobs.text_count + (w->v.negative != NULL);
}

/* Captions of later jobs, of the same model: what is wrong with one is told when its turn comes. */
static size_t coming_captions(const struct work *w, char **list, size_t room)
{
    const struct model_usual *u = &w->held->model.usual;
    const struct batch_job *j;
    size_t n = 0, at = 0;
    while (w->app->keep && n < room && (j = keep_coming(w->app->keep, &at))) {
        const struct values *v = j->values;
        struct df_scores s;
        char *text, *references, *strategy;
        double aesthetic = v->aesthetic, motion = v->motion;
        if (j->cmd != &cmd_generate || v->prompt_file || v->from || v->rounds > 1 || j->args.count != 1 ||
            df_prompt_json(j->args.items[0], &text, &references, &strategy) < 0)
            continue;
        s.aesthetic = settle_score(&aesthetic, u->scores.aesthetic);
        s.motion = settle_score(&motion, u->scores.motion);
        s.camera = v->camera ? v->camera : u->scores.camera;
        s.camera = s.camera && *s.camera ? s.camera : NULL;
        char *part = NULL;
        if (df_prompt_of_round(&part, text, 0) == 0 && generator_caption(w->g, &list[n], part, &s) == 0)
            n++;
        free(part);
        free(text);
        free(references);
        free(strategy);
    }
    return n;
}

/* Each different one once. */
static int encode_captions(struct work *w)
{
    size_t n = caption_count(w), coming = 0;
    char **list = calloc(n + MOST_COMING, sizeof *list);
    struct generator_text *texts = calloc(n + MOST_COMING, sizeof *texts);
    int rc = list && texts ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    bool known = true;
    generator_use(w->g, w->dev);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        list[i] = w->captions[i];
        known = known && generate_held_knows(w->held, list[i]);
    }
    if (rc == 0 && !known)
        coming = coming_captions(w, list + n, MOST_COMING);
    if (rc == 0)
        rc = generate_held_texts(w->held, (const char *const *)list, n + coming, texts);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        w->texts[i] = texts[i];
        if (texts[i].left_out)
            fv_log(FV_WARN, "the model reads %u words of a prompt; %zu at the end of \"%.40s\" are left out",
                   generator_dit(w->g)->text_tokens, texts[i].left_out, w->captions[i]);
    }
    for (size_t i = 0; i < coming; i++)
        free(list[n + i]);
    free(list);
    free(texts);
    return rc;
}

static int save_latents(struct work *w, const char *path)
{
    const struct generator_clip *c = &w->clip;
    struct latents l = {.channels = generator_dit(w->g)->channels,
                        .frames = c->size.frames,
                        .height = c->size.height,
                        .width = c->size.width,
                        .source_frames = c->frames,
                        .fps_num = w->v.fps.num,
                        .fps_den = w->v.fps.den};
    generator_picture(w->g, c, &l.source_width, &l.source_height);
    l.data = malloc(generator_count(w->g, c) * sizeof *l.data);
    if (!l.data)
        return fv_fail(FV_ENOMEM, "out of memory");
    generator_latents(w->g, c, w->making.latents, 0, l.frames, l.data);
    int rc = latents_save(&l, path, generator_vae(w->g));
    latents_finish(&l);
    return rc;
}

static int write_frame(void *ud, const float *planes, uint32_t height, uint32_t width)
{
    struct work *w = ud;
    return clip_out_write(&w->out, planes, height, width);
}

/* Names of no video, and several frames into the name of one picture, are told before anything is computed. */
static int check_names(const struct work *w)
{
    if (w->jobs.count > 1 && w->v.output && output_is_folder(w->v.output))
        FV_TRY(output_prepare_folder(&(struct output){.path = w->v.output, .directory = true}));
    for (size_t i = 0; i < w->jobs.count && w->v.output && !latents_only(w); i++) {
        struct output o;
        FV_TRY(output_parse(&o, w->jobs.items[i].output, (enum output_format)w->v.format));
        if (w->clip.frames > 1 && !output_takes_several(&o))
            return fv_fail(FV_EINVALID, "%s: several frames need a numbered name, such as frame_%%04d.png", o.path);
    }
    return 0;
}

static int open_out(struct work *w)
{
    char *text = comment(w, w->job), title[128];
    uint32_t width, height;
    generator_picture(w->g, &w->clip, &width, &height);
    snprintf(title, sizeof title, "%.120s", w->job->prompt->whole);
    const struct clip_out_opts o = {.path = w->job->output,
                                    .format = (enum output_format)w->v.format,
                                    .width = width,
                                    .height = height,
                                    .fps_num = w->v.fps.num,
                                    .fps_den = w->v.fps.den,
                                    .codec = (enum video_codec)w->v.codec,
                                    .crf = w->v.crf,
                                    .title = title,
                                    .comment = text};
    int rc = text ? clip_out_open(&w->out, &o) : fv_fail(FV_ENOMEM, "out of memory");
    w->out.opts.title = w->out.opts.comment = NULL; /* the sink has its own */
    free(text);
    return rc;
}

/* With what there is of it after a failure. */
static int close_out(struct work *w, int rc)
{
    char cause[512];
    snprintf(cause, sizeof cause, "%s", fv_error());
    int end = clip_out_finish(&w->out, rc >= 0, &w->sink);
    return rc >= 0 ? end : fv_fail(rc, "%s", cause);
}

static int make_latents_and_frames(struct work *w)
{
    const struct generate_prompt *p = w->job->prompt;
    const struct generator_text **texts = calloc((size_t)w->v.rounds, sizeof *texts);
    char *settings = comment(w, w->job);
    int rc = texts && settings ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    for (int r = 0; r < w->v.rounds && rc == 0; r++)
        texts[r] = &w->texts[p->text[r]];
    w->making = (struct generate_clip){.g = w->g,
                                       .clip = w->clip,
                                       .texts = texts,
                                       .without = w->v.negative ? &w->texts[w->jobs.text_count] : NULL,
                                       .rounds = (uint32_t)w->v.rounds,
                                       .repeat = (uint32_t)w->v.repeat,
                                       .references = p->references ? p->references : w->references,
                                       .strategy = p->strategy ? p->strategy : w->strategy,
                                       .analytic = w->v.analytic,
                                       .extend = w->v.extend,
                                       .checkpoint = w->v.checkpoint,
                                       .settings = settings,
                                       .first_seed = (uint64_t)w->v.seed,
                                       .preview = w->v.preview,
                                       .preview_every = (uint32_t)w->v.preview_every,
                                       .write = latents_only(w) ? NULL : write_frame,
                                       .ud = w};
    if (rc == 0)
        rc = generate_clip_make(&w->making);
    if (rc >= 0 && latents_only(w) && w->job->output)
        rc = save_latents(w, w->job->output);
    if (rc >= 0 && w->v.latents)
        rc = save_latents(w, w->v.latents);
    generate_clip_finish(&w->making);
    free(settings);
    free(texts);
    return rc;
}

/* The file is opened before anything is computed, so that a wrong name or codec costs no wait. */
static int make_clip(struct work *w, size_t i)
{
    w->job = &w->jobs.items[i];
    w->clip.seed = w->job->seed;
    w->out = (struct clip_out){0};
    sink_stats_finish(&w->sink);
    int rc = latents_only(w) ? 0 : open_out(w);
    if (rc >= 0)
        rc = make_latents_and_frames(w);
    rc = close_out(w, rc);
    progress_hide();
    if (rc >= 0)
        say_clip(w);
    return rc;
}

/* ---- which are there --------------------------------------------------------------------- */

static int clip_hash(const struct work *w, size_t i, uint64_t *hash)
{
    char *text = comment(w, &w->jobs.items[i]);
    if (!text)
        return fv_fail(FV_ENOMEM, "out of memory");
    *hash = fv_hash(fv_hash(FV_HASH_BEGIN, text, strlen(text)), w->jobs.items[i].output, strlen(w->jobs.items[i].output));
    free(text);
    return 0;
}

static int make_or_find_clip(struct work *w, size_t i)
{
    const char *output = w->jobs.items[i].output;
    struct batch_past now = {0};
    double begun = fv_now();
    struct stat st;
    uint64_t hash = 0;
    if (w->journal.fd < 0) {
        w->made++;
        return make_clip(w, i);
    }
    FV_TRY(clip_hash(w, i, &hash));
    const struct batch_past *was = batch_journal_find(&w->journal, hash);
    if (was && was->state == BATCH_DONE && batch_results_there(&was->results)) {
        if (app_talks(w->app))
            printf("%s: is there\n", output);
        return 0;
    }
    if (was && was->state == BATCH_START)
        fv_remove_torn(output);
    FV_TRY(batch_journal_start(&w->journal, hash, 0, i + 1, 1, NULL));
    w->made++;
    FV_TRY(make_clip(w, i));
    if (stat(output, &st) < 0 || !S_ISREG(st.st_mode))
        return 0;
    now.seconds = fv_now() - begun;
    int rc = batch_results_add(&now.results, output, output, (uint64_t)st.st_size);
    if (rc == 0)
        rc = batch_journal_made(&w->journal, hash, &now);
    batch_results_finish(&now.results);
    return rc < 0 ? rc : batch_journal_done(&w->journal, hash);
}

/* ---- going on from a checkpoint ---------------------------------------------------------- */

/* The first member that differs: "steps is 30 there, 20 now". */
static bool differs(const cJSON *was, const cJSON *now, char *out, size_t size)
{
    const cJSON *lists[2] = {was, now}, *e;
    for (int k = 0; k < 2; k++)
        cJSON_ArrayForEach(e, lists[k])
        {
            const cJSON *a = cJSON_GetObjectItem(was, e->string), *b = cJSON_GetObjectItem(now, e->string);
            if (cJSON_IsObject(a) && cJSON_IsObject(b)) {
                if (differs(a, b, out, size))
                    return true;
            } else if (!a || !b || !cJSON_Compare(a, b, true)) {
                char *x = a ? cJSON_PrintUnformatted(a) : NULL, *y = b ? cJSON_PrintUnformatted(b) : NULL;
                snprintf(out, size, "%s is %.80s there, %.80s now", e->string, x ? x : "not given",
                         y ? y : "not given");
                free(x);
                free(y);
                return true;
            }
        }
    return false;
}

static int other_settings(struct work *w, const char *settings)
{
    char *text = comment(w, &w->jobs.items[0]), what[256] = "it is of another clip";
    cJSON *was = cJSON_Parse(settings), *now = text ? cJSON_Parse(text) : NULL;
    if (was && now)
        differs(was, now, what, sizeof what);
    cJSON_Delete(was);
    cJSON_Delete(now);
    free(text);
    return fv_fail(FV_EINVALID, "--checkpoint %s: is of other settings: %s; give the same, or delete it to begin anew",
                   w->v.checkpoint, what);
}

/* Clips before the one that was interrupted are there. */
static int find_begin(struct work *w)
{
    char *settings;
    uint64_t seed;
    int rc = w->v.checkpoint ? generate_checkpoint_settings(&settings, &seed, w->v.checkpoint) : 1;
    if (rc != 0)
        return rc < 0 ? rc : 0;
    for (w->begin = 0; w->begin < w->jobs.count; w->begin++) {
        char *text = comment(w, &w->jobs.items[w->begin]);
        bool same = text && !strcmp(text, settings);
        free(text);
        if (same)
            break;
    }
    if (w->begin == w->jobs.count)
        rc = other_settings(w, settings);
    else if (app_talks(w->app))
        printf("%s: going on%s\n", w->v.checkpoint, w->begin ? "; the clips before are there" : "");
    free(settings);
    return rc;
}

static int check_hash(struct work *w)
{
    char was[17];
    memcpy(was, w->hash, sizeof was);
    FV_TRY(generate_held_hash(w->held));
    memcpy(w->hash, w->held->hash, sizeof w->hash);
    if (*was && strcmp(was, w->hash))
        return fv_fail(FV_EINVALID, "--from %s: was made with another model (hash %s, this one's is %s); name it by "
                                    "--model", w->v.from, was, w->hash);
    return 0;
}

static bool gives_frames(const struct work *w)
{
    bool some = w->strategy || w->v.extend || w->v.rounds > 1;
    for (size_t i = 0; i < w->jobs.prompt_count; i++)
        some = some || w->jobs.prompts[i].strategy;
    return some;
}

static int write_report(const struct work *w)
{
    cJSON *doc = cJSON_CreateObject();
    generate_stats_json(doc, generator_stats(w->g));
    cJSON_AddNumberToObject(doc, "seconds", fv_now() - w->started);
    cJSON_AddNumberToObject(doc, "clips", (double)w->made);
    cJSON_AddStringToObject(doc, "model_hash", w->hash);
    cJSON_AddStringToObject(doc, "device", w->dev->caps.name);
    return write_cjson(doc, w->v.report);
}

/* Time at the speed of matrix products, which is measured. */
static int say_cost(struct work *w)
{
    double clips = (double)w->jobs.count * w->v.rounds, speed;
    struct generate_times t = {.captions = (double)caption_count(w), .clips = clips};
    if (!w->held->speed)
        FV_TRY(generate_measure(&w->held->speed, w->dev, dtype_values[w->v.dtype], progress_update, &w->progress));
    speed = w->held->speed;
    if (w->estimate) {
        for (int i = 0; i < STAGES; i++) {
            const double times = i == STAGE_TEXT ? t.captions : clips, peak = (double)w->cost.peak_bytes[i];
            w->estimate->seconds += speed > 0 ? w->cost.flops[i] * times / speed : 0;
            w->estimate->bytes = peak > w->estimate->bytes ? peak : w->estimate->bytes;
        }
        return 0;
    }
    t.flops_per_second = speed;
    progress_done(&w->progress);
    if (!w->app->mute)
        generate_say_cost(&w->cost, &t);
    if (!w->v.report)
        return 0;
    cJSON *doc = cJSON_CreateObject();
    generate_cost_json(doc, &w->cost, &t);
    cJSON_AddStringToObject(doc, "device", w->dev->caps.name);
    return write_cjson(doc, w->v.report);
}

/* One thing at most goes to standard output. */
static int mute(const struct work *w)
{
    const char *const outputs[] = {w->v.output, w->v.latents, w->v.report};
    int piped = 0;
    for (int i = 0; i < 3; i++)
        piped += outputs[i] && !strcmp(outputs[i], "-");
    if (piped > 1)
        return fv_fail(CMD_USAGE, "standard output takes one of -o -, --latents - and --report - (--json)");
    if (outputs[0] && !strcmp(outputs[0], "-") && (w->v.count > 1 || w->v.prompt_file))
        return fv_fail(CMD_USAGE, "-o -: standard output takes one clip; name a folder/ for several");
    return app_mute(w->app, w->v.latents && !strcmp(w->v.latents, "-") ? "-" : w->v.output,
                    w->v.report && !strcmp(w->v.report, "-"));
}

static int make(struct work *w)
{
    struct values *v = &w->v;
    if (v->json && !v->report)
        v->report = "-";
    FV_TRY(check_options(w));
    FV_TRY(mute(w));
    if (v->prompt_file)
        FV_TRY(generate_prompts(&w->prompts, v->prompt_file, &w->app->arena));
    const struct generator_opts o = {.dtype = dtype_values[v->dtype],
                                     .int8 = v->activations == 1,
                                     .stay = (size_t)v->count * w->prompts.count > 1 || w->app->keep,
                                     .on_progress = on_progress,
                                     .ud = w};
    FV_TRY(generate_hold(&w->held, w->app->keep, &v->paths, v->lora, &o));
    w->g = w->held->g;
    FV_TRY(settle(w));
    FV_TRY(check_hash(w));
    FV_TRY(join_references(w));
    FV_TRY(generate_jobs_make(&w->jobs, &w->prompts, (uint32_t)v->rounds, (uint32_t)v->count, (uint64_t)v->seed,
                              v->output));
    if (v->latents && w->jobs.count > 1)
        return fv_fail(CMD_USAGE, "--latents is of one clip; -o clip_%%04d.safetensors writes those of several");
    if ((v->latents || latents_only(w)) && v->rounds > 1)
        return fv_fail(CMD_USAGE, "latents are of one round; --loop makes several");
    if (!v->dry_run)
        FV_TRY(check_names(w));
    FV_TRY(make_captions(w));
    FV_TRY(say_plan(w));
    FV_TRY(app_nn_device(w->app, &w->dev));
    FV_TRY(generator_plan(w->g, &w->clip, v->memory ? v->memory : w->dev->caps.budget_bytes, gives_frames(w),
                          &w->cost));
    if (v->dry_run)
        return say_cost(w);
    FV_TRY(find_begin(w));
    FV_TRY(encode_captions(w));
    for (size_t i = w->begin; i < w->jobs.count; i++) {
        FV_TRY(make_or_find_clip(w, i));
        if (v->checkpoint)
            unlink(v->checkpoint);
    }
    progress_done(&w->progress);
    if (w->journal.fd >= 0)
        batch_journal_remove(&w->journal);
    if (app_talks(w->app))
        generate_say_stages(generator_stats(w->g));
    return v->report ? write_report(w) : 0;
}

static int run_or_estimate(struct app *app, const struct values *given, const struct opt_args *args,
                           struct cmd_cost *estimated)
{
    struct work w = {.app = app, .v = *given, .prompts = *args, .started = fv_now(), .estimate = estimated,
                     .journal = {.fd = -1, .lock = -1}};
    progress_start(&w.progress, (enum progress_mode)given->progress, NULL, app->quiet);
    int rc = given->from ? take_settings(&w, given) : 0;
    if (rc >= 0)
        rc = make(&w);
    progress_done(&w.progress);
    for (size_t i = 0; w.captions && i < caption_count(&w); i++)
        free(w.captions[i]);
    free(w.texts);
    free(w.captions);
    free(w.references);
    free(w.strategy);
    batch_journal_close(&w.journal);
    sink_stats_finish(&w.sink);
    generate_jobs_finish(&w.jobs);
    generate_release(&w.held, app->keep, w.held && w.held->g && (rc >= 0 || rc == FV_EINVALID || rc == CMD_USAGE));
    return rc;
}

static int run(struct app *app, const void *values, const struct opt_args *args)
{
    return run_or_estimate(app, values, args, NULL);
}

static int estimate(struct app *app, const void *values, const struct opt_args *args, struct cmd_cost *out)
{
    struct values v = *(const struct values *)values;
    v.dry_run = true;
    v.report = NULL;
    return run_or_estimate(app, &v, args, out);
}

const struct cmd cmd_generate = {
    .name = "generate",
    .summary = "make a video of a prompt",
    .usage = "PROMPT -o OUT [OPTION]...",
    .examples = "fovea generate \"a red ball rolls to the left\" -o out.mp4\twith the bundled model\n"
                "fovea generate \"a cat\" -o cat.mp4 --model Open-Sora/ --size 240p\ta model of your own\n"
                "fovea generate --from out.mp4 --seed 8 -o other.mp4\tits settings, another seed",
    .details =
        "The model's folder holds transformer/, text_encoder/, tokenizer/ and vae/ (other names: docs/GENERATE.md), "
        "with config.json and weights as they are published; generate.json there says what is usual for it. --dit, "
        "--t5, --tokenizer and --vae name parts one by one, of one model or beside --model.\n\n"
        "--merge-steps -1 is as the model says. --leap fixed ends at a step; rows and whole once the velocity turns no more, by one frame or all of the clip. "
        "Blocks of the transformer that do not fit --memory come from the file as they are needed. Of several clips "
        "the files are numbered.\n\n"
        "The stages run one after the other, and only the weights of one of them are on the device: the text "
        "encoder a layer at a time, then the transformer, then the autoencoder. Noise is the same on every device "
        "for a seed; clips differ between devices by rounding.\n\n"
        "With --checkpoint the same command goes on where it was stopped, to the same bytes. Given pictures "
        "(--image, --last-image, --extend, --loop) are cut to the clip's shape and kept as they are.\n\n"
        "Prompt, settings, seed, a hash of the weights, version and device are in the video's comment: fovea info "
        "shows them, --from makes the clip again, byte for byte on the same device.",
    .opts = opts,
    .size = sizeof(struct values),
    .least_args = 0,
    .most_args = 1,
    .arg = "a prompt",
    .args = (const struct cmd_arg[]){{.name = "prompt"}, {0}},
    .run = run,
    .estimate = estimate,
};
