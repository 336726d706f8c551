/* fovea quantize: a model of 16 bits to one of 4 (docs/QUANT.md). */
#include "app/calibrate.h"
#include "app/cmd.h"
#include "app/generate_jobs.h"
#include "app/model_in.h"
#include "app/progress.h"
#include "app/quantize.h"
#include "app/text.h"
#include "vk/base/file.h"
#include "vk/base/thread.h"
#include "vk/device.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct values {
    const char *output, *keep, *report, *plot, *prompts, *calibration;
    int method, rank, text, grids, activations, rows, samples, steps, frames, dtype, progress, gptq;
    double seed;
    uint64_t memory;
    struct opt_size size;
    bool link, json;
};

static const char *const texts[] = {"16", "8", "4", NULL};
/* Host memory for what calibration keeps, by itself. */
static const size_t MOST_ROOM = 1500000000;

static const char *const activations[] = {"16", "8", "4", NULL};
static const unsigned activation_bits[] = {16, 8, 4};
static const char *const dtypes[] = {"f32", "f16", "bf16", NULL};
static const enum nn_dtype dtype_values[] = {NN_F32, NN_F16, NN_BF16};

#define AT(m) offsetof(struct values, m)
static const struct opt opts[] = {
    {"output", 'o', OPT_STRING, AT(output), .value = "OUT", .file = OPT_WRITES,
     .help = "folder of the new model; of one weight file its name, .gguf too"},
    {"method", 0, OPT_ENUM, AT(method), .choices = qt_method_names, .def = "svdquant",
     .help = "the others only round, to compare with"},
    {"text", 0, OPT_ENUM, AT(text), .choices = texts, .def = "16",
     .help = "bits of the text encoder; 16 copies it"},
    {"keep", 0, OPT_STRING, AT(keep), .value = "NAME,..",
     .help = "layers whose names contain one of these stay as they are"},
    {"link", 0, OPT_FLAG, AT(link), .help = "files that stay as they are become symbolic links"},
    {.type = OPT_GROUP, .help = "SVDQuant"},
    {"rank", 'r', OPT_INT, AT(rank), .def = "0", .max = 1024,
     .help = "of the branch of 16 bits; 0 is 32, or 16 for layers up to 512"},
    {"gptq", 0, OPT_ENUM, AT(gptq), .choices = quantize_gptq_names, .def = "small",
     .help = "layers whose rounding errors move on to what is not rounded yet: nearer, slower; small: up to 512"},
    {"grids", 0, OPT_INT, AT(grids), .rare = true, .def = "10", .min = 1, .max = 100,
     .help = "steps of alpha that smoothing tries; 1: no smoothing"},
    {"activations", 0, OPT_ENUM, AT(activations), .rare = true, .choices = activations, .def = "8",
     .help = "bits of inputs that errors are judged with"},
    {.type = OPT_GROUP, .help = "Calibration, by clips of the model of 16 bits"},
    {"prompts", 'p', OPT_STRING, AT(prompts), .value = "FILE", .file = true,
     .help = "a prompt a line; default some of a small grammar"},
    {"samples", 'n', OPT_INT, AT(samples), .def = "8", .min = 1, .max = 10000, .help = "clips"},
    {"steps", 0, OPT_INT, AT(steps), .def = "8", .min = 1, .max = 1000, .help = "of each"},
    {"size", 's', OPT_SIZE, AT(size), .rare = true, .help = "of clips; default the model's usual, or half of it and so on"},
    {"frames", 0, OPT_INT, AT(frames), .rare = true, .def = "0", .max = 10000, .help = "of clips; 0 likewise"},
    {"rows", 0, OPT_INT, AT(rows), .rare = true, .def = "0", .max = 65536,
     .help = "inputs of each layer that are kept; 0 is 2048 where --gptq is at work and they take no more than 1.5 GB, else 128"},
    {"seed", 0, OPT_FLOAT, AT(seed), .def = "1", .min = 0, .max = 999999999999, .value = "N",
     .help = "of clips and of what is kept of them"},
    {"dtype", 0, OPT_ENUM, AT(dtype), .rare = true, .choices = dtypes, .def = "f32",
     .help = "storage of weights and activations on the device"},
    {"memory", 0, OPT_BYTES, AT(memory), .value = "BYTES", .help = "of the device at most; default what is free"},
    {"calibration", 0, OPT_STRING, AT(calibration), .rare = true, .value = "FILE", .file = OPT_RESUMES,
     .help = "kept here, and taken from here when it is there"},
    {.type = OPT_GROUP, .help = "What came of it"},
    {"report", 0, OPT_STRING, AT(report), .value = "FILE", .file = OPT_WRITES,
     .help = "layer by layer, as JSON; - is standard output"},
    {"json", 0, OPT_FLAG, AT(json), .help = "the same as --report -"},
    {"plot", 0, OPT_STRING, AT(plot), .value = "FILE", .file = OPT_WRITES, .help = "errors layer by layer, as a PNG"},
    {"progress", 0, OPT_ENUM, AT(progress), .rare = true, .def = "auto", .choices = progress_choices,
     .help = "on standard error"},
    {0}};

struct work {
    struct app *app;
    const struct values *v;
    struct model_in model;
    struct progress progress;
    struct calibration calibration;
    struct opt_args prompts; /* of the file */
    char more[80], **keep;   /* keep: ended by NULL */
    cJSON *report;
    bool plotted;
};

/* ---- options ------------------------------------------------------------------------------ */

static int split_names(struct work *w, const char *list)
{
    size_t n = 1;
    for (const char *p = list; p && *p; p++)
        n += *p == ',';
    w->keep = fv_arena_alloc(&w->app->arena, (n + 1) * sizeof *w->keep);
    if (!w->keep)
        return FV_ENOMEM;
    n = 0;
    for (const char *p = list; p && *p;) {
        size_t size = strcspn(p, ",");
        if (size && !(w->keep[n++] = fv_arena_strndup(&w->app->arena, p, size)))
            return FV_ENOMEM;
        p += size + (p[size] == ',');
    }
    return 0;
}

static struct quantize_settings settings(const struct work *w, enum qt_method method)
{
    const struct values *v = w->v;
    struct quantize_settings s = {.opts = qt_usual(method),
                                  .own_rank = v->rank > 0,
                                  .keep = (const char *const *)w->keep,
                                  .more = *w->more ? w->more : NULL};
    s.gptq = (enum quantize_gptq)v->gptq;
    s.opts.grids = (unsigned)v->grids;
    s.opts.activations = activation_bits[v->activations];
    s.opts.seed = (uint64_t)v->seed;
    if (v->rank)
        s.opts.rank = (unsigned)v->rank;
    return s;
}

static int check_values(const struct values *v, const char *from)
{
    char *x = v->output ? realpath(v->output, NULL) : NULL, *y = realpath(from, NULL);
    bool same = x && y && !strcmp(x, y);
    free(x);
    free(y);
    if (!v->output)
        return fv_fail(CMD_USAGE, "-o OUT says where the quantised model goes");
    if (same)
        return fv_fail(CMD_USAGE, "%s is the model itself: -o another name", v->output);
    if (v->method != QT_SVDQUANT && (v->gptq || v->rank))
        return fv_fail(CMD_USAGE, "--%s is of --method svdquant", v->rank ? "rank" : "gptq");
    return 0;
}

/* ---- one file ----------------------------------------------------------------------------- */

static int tell(struct work *w, const struct quantize_file *q, const char *what)
{
    bool part = !strcmp(what, "transformer") || !strcmp(what, "text_encoder"); /* else a file's name */
    cJSON *o = cJSON_AddObjectToObject(w->report, part ? what : "weights");
    quantize_report_json(o, q);
    progress_hide();
    if (app_talks(w->app))
        quantize_say(q, what);
    if (!w->v->plot || w->plotted)
        return 0;
    w->plotted = true;
    return quantize_plot(w->v->plot, q);
}

static int get_inputs(void *ud, const struct quantize_layer *l, struct qt_seen *out)
{
    return calibration_get(ud, l->name, out);
}

static int write_one(struct work *w, struct quantize_file *q, const char *to, const char *what)
{
    const struct quantize_inputs in = {get_inputs, &w->calibration, calibration_hash(&w->calibration)};
    FV_TRY(quantize_write(q, to, w->calibration.count ? &in : NULL, progress_update, &w->progress));
    return tell(w, q, what);
}

static int want_inputs(struct work *w, const struct quantize_file *q)
{
    size_t rows = (size_t)w->v->rows, wide = 0;
    bool gptq = false;
    for (size_t i = 0; i < q->count; i++) {
        gptq |= q->layers[i].gptq;
        wide += q->layers[i].k * sizeof(float);
    }
    if (!rows && gptq) /* which is the better the more there are */
        for (rows = 2048; rows > 512 && rows * wide > MOST_ROOM;)
            rows /= 2;
    rows = rows ? rows : 128;
    if (!w->calibration.arena)
        FV_TRY(calibration_create(&w->calibration, rows, (uint64_t)w->v->seed));
    for (size_t i = 0; i < q->count; i++)
        FV_TRY(calibration_want(&w->calibration, q->layers[i].name, q->layers[i].k));
    return 0;
}

/* A weight file alone: what goes into its layers can only come from a file. */
static int one_file(struct work *w, const char *from)
{
    struct quantize_settings s = settings(w, (enum qt_method)w->v->method);
    struct quantize_file q;
    FV_TRY(quantize_look(&q, from, &s));
    int rc = 0;
    if (q.foreign) {
        rc = 0; /* all is there */
    } else if (w->v->calibration) {
        rc = want_inputs(w, &q);
        if (rc == 0)
            rc = calibration_read(&w->calibration, w->v->calibration);
    } else if (w->v->method == QT_SVDQUANT) {
        rc = fv_fail(CMD_USAGE, "%s is not a whole model, so nothing can be sampled with it: --calibration FILE that was "
                                "kept of one, or another --method", from);
    }
    if (rc == 0)
        rc = write_one(w, &q, w->v->output, fv_path_base(from));
    if (rc == 0)
        quantize_settle(w->v->output);
    quantize_finish(&q);
    return rc;
}

/* Its transformer, of a whole model. */
static int to_gguf(struct work *w, const char *from)
{
    struct quantize_settings s = settings(w, (enum qt_method)w->v->method);
    struct quantize_file q;
    if (w->v->method != QT_RTN4 && w->v->method != QT_RTN8)
        return fv_fail(CMD_USAGE, "GGUF has codes of --method rtn4 (Q4_0) and rtn8 (Q8_0)");
    FV_TRY(quantize_look(&q, from, &s));
    int rc = q.foreign ? fv_fail(FV_EUNSUPPORTED, "%s: GGUF has no codes of SVDQuant", from)
                       : quantize_gguf(&q, w->v->output, progress_update, &w->progress);
    if (rc == 0)
        rc = tell(w, &q, fv_path_base(from));
    quantize_finish(&q);
    return rc;
}

/* ---- a whole model ------------------------------------------------------------------------ */

/* The part's folder with its texts; *file in it is what is written. */
static int part_folder(struct work *w, const char *from, const char *name, char **file)
{
    char *folder = fv_path_join(w->v->output, name), *beside = fv_is_dir(from) ? strdup(from) : fv_path_dir(from);
    char *config = beside ? fv_path_join(beside, "config.json") : NULL;
    *file = folder ? fv_path_join(folder, "model.safetensors") : NULL;
    int rc = *file && config ? fv_make_dirs(folder) : fv_fail(FV_ENOMEM, "out of memory");
    if (rc == 0 && fv_is_dir(from))
        rc = quantize_copy(from, folder, quantize_is_not_weights, w->v->link);
    else if (rc == 0 && fv_exists(config))
        rc = quantize_copy(config, folder, NULL, w->v->link);
    free(folder);
    free(beside);
    free(config);
    return rc;
}

static int write_part(struct work *w, struct quantize_file *q, const char *from, const char *name)
{
    char *file = NULL;
    int rc = part_folder(w, from, name, &file);
    if (rc == 0)
        rc = write_one(w, q, file, name);
    free(file);
    return rc;
}

static int calibrate(struct work *w)
{
    const struct values *v = w->v;
    struct vk_device *dev;
    struct calibration_opts o = {.samples = (size_t)v->samples,
                                 .steps = (unsigned)v->steps,
                                 .width = v->size.width,
                                 .height = v->size.height,
                                 .frames = (uint32_t)v->frames,
                                 .dtype = dtype_values[v->dtype],
                                 .on_progress = progress_update,
                                 .ud = &w->progress};
    FV_TRY(app_nn_device(w->app, &dev));
    o.memory = v->memory ? v->memory : dev->caps.budget_bytes;
    if (v->prompts) {
        FV_TRY(generate_prompts(&w->prompts, v->prompts, &w->app->arena));
        const char **list = fv_arena_alloc(&w->app->arena, (w->prompts.count + 1) * sizeof *list);
        if (!list)
            return FV_ENOMEM;
        for (size_t i = 0; i < w->prompts.count; i++)
            list[i] = w->prompts.items[i];
        o.prompts = list;
    }
    char *own = fv_path_join(v->output, "calibration.safetensors");
    o.own = !v->calibration;
    int rc = own ? calibration_run(&w->calibration, &w->model, dev, &o, v->calibration ? v->calibration : own)
                 : fv_fail(FV_ENOMEM, "out of memory");
    free(own);
    if (rc == 0 && w->calibration.resumed && app_talks(w->app)) {
        progress_hide();
        printf("calibration: %zu of %d clips were there\n", w->calibration.resumed, v->samples);
    }
    return rc;
}

/* All is there: nothing is gone on with any more. */
static void settle_part(struct work *w, const char *name)
{
    char *folder = fv_path_join(w->v->output, name), *file = folder ? fv_path_join(folder, "model.safetensors") : NULL;
    if (file)
        quantize_settle(file);
    free(folder);
    free(file);
}

/* What is there twice, but for the weights. */
static int copy_part(struct work *w, const char *from, const char *name, bool (*wanted)(const char *))
{
    char *to = fv_path_join(w->v->output, name);
    int rc = to ? quantize_copy(from, to, wanted, w->v->link) : fv_fail(FV_ENOMEM, "out of memory");
    free(to);
    return rc;
}

static bool is_usual(const char *name)
{
    return !strcmp(name, "generate.json");
}

/* What is not quantised. */
static int copy_rest(struct work *w)
{
    const struct model_in *m = &w->model;
    if (!w->v->text)
        FV_TRY(copy_part(w, m->text, "text_encoder", NULL));
    FV_TRY(copy_part(w, m->tokenizer, "tokenizer", fv_is_dir(m->tokenizer) ? quantize_is_tokenizer : NULL));
    FV_TRY(copy_part(w, m->vae, "vae", NULL));
    return quantize_copy(m->model, w->v->output, is_usual, w->v->link);
}

static int write_model(struct work *w, struct quantize_file *dit, struct quantize_file *text)
{
    const struct values *v = w->v;
    bool samples = v->method == QT_SVDQUANT || v->calibration;
    FV_TRY(fv_make_dirs(v->output));
    if (samples)
        FV_TRY(want_inputs(w, dit));
    if (samples && text)
        FV_TRY(want_inputs(w, text));
    if (samples)
        FV_TRY(calibrate(w));
    FV_TRY(write_part(w, dit, w->model.dit, "transformer"));
    if (text)
        FV_TRY(write_part(w, text, w->model.text, "text_encoder"));
    FV_TRY(copy_rest(w));
    char *own = fv_path_join(v->output, "calibration.safetensors");
    if (own)
        unlink(own);
    free(own);
    settle_part(w, "transformer");
    settle_part(w, "text_encoder");
    return 0;
}

static int whole_model(struct work *w)
{
    const struct values *v = w->v;
    enum qt_method four = v->method == QT_RTN8 ? QT_RTN4 : (enum qt_method)v->method;
    struct quantize_file dit, text = {0};
    char hash[17];
    FV_TRY(model_in_hash(&w->model, hash));
    snprintf(w->more, sizeof w->more, "\"source\":\"%s\"", hash);
    struct quantize_settings s = settings(w, (enum qt_method)v->method), t = settings(w, v->text == 1 ? QT_RTN8 : four);
    t.keep = NULL;
    FV_TRY(quantize_look(&dit, w->model.dit, &s));
    int rc = v->text ? quantize_look(&text, w->model.text, &t) : 0;
    if (rc == 0)
        rc = write_model(w, &dit, v->text ? &text : NULL);
    quantize_finish(&dit);
    quantize_finish(&text);
    return rc;
}

/* ---- command ------------------------------------------------------------------------------ */

static int run(struct app *app, const void *values, const struct opt_args *args)
{
    struct work w = {.app = app, .v = values};
    const char *from = args->items[0];
    double start = fv_now();
    FV_TRY(check_values(w.v, from));
    FV_TRY(split_names(&w, w.v->keep));
    FV_TRY(app_mute(app, NULL, w.v->json || (w.v->report && !strcmp(w.v->report, "-"))));
    w.report = cJSON_CreateObject();
    progress_start(&w.progress, (enum progress_mode)w.v->progress, NULL, app->quiet);
    bool whole = model_in_is(from);
    int rc = whole ? model_in_find(&w.model, &(struct model_paths){.model = from}) : 0;
    if (rc == 0 && fv_ends_with(w.v->output, ".gguf"))
        rc = to_gguf(&w, whole ? w.model.dit : from);
    else if (rc == 0)
        rc = whole ? whole_model(&w) : one_file(&w, from);
    progress_done(&w.progress);
    cJSON_AddNumberToObject(w.report, "seconds", fv_now() - start);
    if (rc == 0 && w.v->report)
        rc = write_cjson(w.report, w.v->report);
    else if (rc == 0 && w.v->json)
        print_cjson(w.report);
    else
        cJSON_Delete(w.report);
    calibration_finish(&w.calibration);
    model_in_finish(&w.model);
    return rc;
}

const struct cmd cmd_quantize = {
    .name = "quantize",
    .summary = "weights of 4 or 8 bits from a model of 16",
    .usage = "MODEL -o OUT [OPTION]...",
    .examples = "fovea quantize Open-Sora/ -o Open-Sora-4bit/\tthe transformer's blocks in 4 bits\n"
                "fovea quantize Open-Sora/ -o best/ --gptq all --text 8\tslower and nearer; the text encoder, too\n"
                "fovea quantize model.safetensors -o out.safetensors --method nf4\tone weight file\n"
                "fovea quantize Open-Sora/ -o transformer.gguf --method rtn8\tfor other programs\n"
                "fovea quantize svdq-int4.safetensors -o out.safetensors\tNunchaku's order to ours",
    .details = "MODEL is a folder as fovea generate takes it, or one weight file. Linear layers of the "
               "transformer's blocks are quantised; embedders, the final layer, tables and norms stay as "
               "they are. Interrupted or killed, the same command goes on where it was: clips and layers that are done "
               "are kept in OUT (*.part, *.journal) until all is.\n\n"
               "What is written, byte by byte, is in docs/QUANT.md.",
    .opts = opts,
    .size = sizeof(struct values),
    .least_args = 1,
    .most_args = 1,
    .arg = "a model",
    .goes_on = true,
    .args = (const struct cmd_arg[]){{"model", .file = OPT_MODEL}, {0}},
    .run = run,
};
