/* fovea generate: a prompt to a video, by the stages of generator.h. */
#include "app/generate_report.h"
#include "app/generate_work.h"
#include "app/text.h"
#include "vk/base/file.h"
#include "vk/base/log.h"
#include "vk/base/thread.h"
#include "vk/device.h"
#include "vk/mem.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const activations[] = {"16", "8", NULL};
static const char *const expand[] = {"auto", "always", "never", NULL}; /* enum generator_expand */
static const char *const dtypes[] = {"f32", "f16", "bf16", NULL};
static const enum nn_dtype dtype_values[] = {NN_F32, NN_F16, NN_BF16};
static const char *const methods[] = {"euler", "heun", "unipc", "dpmpp", NULL};

#define AT(m) offsetof(struct generate_values, m)
const struct opt generate_opts[] = {
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
    {"leap", 0, OPT_ENUM, AT(leap), .choices = leap_choices, .def = "model",
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
    {"expand", 0, OPT_ENUM, AT(expand), .rare = true, .choices = expand, .def = "auto",
     .help = "4-bit layers once into 16-bit numbers that stay; auto: of small clips, where there is room"},
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
static int on_progress(void *ud, const struct fv_progress *p)
{
    struct generate_work *w = ud;
    uint64_t used = 0;
    if (w->dev)
        vk_mem_usage(w->dev, NULL, &used, NULL);
    w->progress.memory = used;
    w->progress.part = w->making.round + 1;
    w->progress.parts = strcmp(p->what, "text") ? w->making.rounds : 0;
    w->progress.unit = !strcmp(p->what, "sampling") ? "steps" : !strcmp(p->what, "decoding") ? "latents" : NULL;
    return progress_update(&w->progress, p);
}

/* ---- what is said ------------------------------------------------------------------------ */

static int say_plan(const struct generate_work *w)
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

static int other_settings(struct generate_work *w, const char *settings)
{
    char *text = generate_settings_json(w, &w->jobs.items[0]), what[256] = "it is of another clip";
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
static int find_begin(struct generate_work *w)
{
    char *settings;
    uint64_t seed;
    int rc = w->v.checkpoint ? generate_checkpoint_settings(&settings, &seed, w->v.checkpoint) : 1;
    if (rc != 0)
        return rc < 0 ? rc : 0;
    for (w->begin = 0; w->begin < w->jobs.count; w->begin++) {
        char *text = generate_settings_json(w, &w->jobs.items[w->begin]);
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

static int check_hash(struct generate_work *w)
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

static bool gives_frames(const struct generate_work *w)
{
    bool some = w->strategy || w->v.extend || w->v.rounds > 1;
    for (size_t i = 0; i < w->jobs.prompt_count; i++)
        some = some || w->jobs.prompts[i].strategy;
    return some;
}

static int write_report(const struct generate_work *w)
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
static int say_cost(struct generate_work *w)
{
    double clips = (double)w->jobs.count * w->v.rounds, speed;
    struct generate_times t = {.captions = (double)generate_caption_count(w), .clips = clips};
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
static int mute(const struct generate_work *w)
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

static int make(struct generate_work *w)
{
    struct generate_values *v = &w->v;
    if (v->json && !v->report)
        v->report = "-";
    FV_TRY(generate_check_options(w));
    FV_TRY(mute(w));
    if (v->prompt_file)
        FV_TRY(generate_prompts(&w->prompts, v->prompt_file, &w->app->arena));
    const struct generator_opts o = {.dtype = dtype_values[v->dtype],
                                     .int8 = v->activations == 1,
                                     .expand = (enum generator_expand)v->expand,
                                     .stay = (size_t)v->count * w->prompts.count > 1 || w->app->keep,
                                     .on_progress = on_progress,
                                     .ud = w};
    FV_TRY(generate_hold(&w->held, w->app->keep, &v->paths, v->lora, &o));
    w->g = w->held->g;
    FV_TRY(generate_settle(w));
    FV_TRY(check_hash(w));
    FV_TRY(generate_join_references(w));
    FV_TRY(generate_jobs_make(&w->jobs, &w->prompts, (uint32_t)v->rounds, (uint32_t)v->count, (uint64_t)v->seed,
                              v->output));
    if (v->latents && w->jobs.count > 1)
        return fv_fail(CMD_USAGE, "--latents is of one clip; -o clip_%%04d.safetensors writes those of several");
    if ((v->latents || generate_latents_only(w)) && v->rounds > 1)
        return fv_fail(CMD_USAGE, "latents are of one round; --loop makes several");
    if (!v->dry_run)
        FV_TRY(generate_check_names(w));
    FV_TRY(generate_captions(w));
    FV_TRY(say_plan(w));
    FV_TRY(app_nn_device(w->app, &w->dev));
    FV_TRY(generator_plan(w->g, &w->clip, v->memory ? v->memory : w->dev->caps.budget_bytes, gives_frames(w),
                          &w->cost));
    if (v->dry_run)
        return say_cost(w);
    FV_TRY(find_begin(w));
    FV_TRY(generate_encode(w));
    for (size_t i = w->begin; i < w->jobs.count; i++) {
        FV_TRY(generate_make_or_find(w, i));
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

static int run_or_estimate(struct app *app, const struct generate_values *given, const struct opt_args *args,
                           struct cmd_cost *estimated)
{
    struct generate_work w = {.app = app, .v = *given, .prompts = *args, .started = fv_now(), .estimate = estimated,
                     .journal = {.fd = -1, .lock = -1}};
    progress_start(&w.progress, (enum progress_mode)given->progress, NULL, app->quiet);
    int rc = given->from ? generate_take_settings(&w, given) : 0;
    if (rc >= 0)
        rc = make(&w);
    progress_done(&w.progress);
    for (size_t i = 0; w.captions && i < generate_caption_count(&w); i++)
        free(w.captions[i]);
    free(w.texts);
    free(w.captions);
    free(w.references);
    free(w.strategy);
    (w.journal_new && !w.made ? batch_journal_remove : batch_journal_close)(&w.journal); /* wrong from the start */
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
    struct generate_values v = *(const struct generate_values *)values;
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
    .opts = generate_opts,
    .size = sizeof(struct generate_values),
    .least_args = 0,
    .most_args = 1,
    .arg = "a prompt",
    .args = (const struct cmd_arg[]){{.name = "prompt"}, {0}},
    .run = run,
    .estimate = estimate,
};
