/* fovea quantize: a model of 16 bits to one of 4 (docs/QUANT.md). */
#include "app/cmd.h"
#include "app/model_in.h"
#include "app/progress.h"
#include "app/quantize.h"
#include "app/text.h"
#include "vk/base/file.h"
#include "vk/base/thread.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct values {
    const char *output, *keep, *report, *plot;
    int method, rank, text, progress;
    bool link;
};

static const char *const texts[] = {"16", "8", "4", NULL};

#define AT(m) offsetof(struct values, m)
static const struct opt opts[] = {
    {"output", 'o', OPT_STRING, AT(output), .value = "OUT", .file = true,
     .help = "folder of the new model; of one weight file: its name"},
    {"method", 0, OPT_ENUM, AT(method), .choices = qt_method_names, .def = "rtn4",
     .help = "rtn4 and rtn8 round, nf4 to a normal distribution's values"},
    {"keep", 0, OPT_STRING, AT(keep), .value = "NAME,..",
     .help = "layers whose names contain one of these stay as they are"},
    {"text", 0, OPT_ENUM, AT(text), .choices = texts, .def = "16",
     .help = "bits of the text encoder; 16 copies it"},
    {"link", 0, OPT_FLAG, AT(link), .help = "files that stay as they are become symbolic links"},
    {.type = OPT_GROUP, .help = "What came of it"},
    {"report", 0, OPT_STRING, AT(report), .value = "FILE", .file = true,
     .help = "layer by layer, as JSON; - is standard output"},
    {"plot", 0, OPT_STRING, AT(plot), .value = "FILE", .file = true, .help = "errors layer by layer, as a PNG"},
    {"progress", 0, OPT_ENUM, AT(progress), .rare = true, .def = "auto", .choices = progress_choices,
     .help = "on standard error"},
    {0}};

struct work {
    struct app *app;
    const struct values *v;
    struct model_in model;
    struct progress progress;
    char hash[17];
    char **keep;      /* ended by NULL */
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

static struct quantize_settings settings(const struct work *w, enum qt_method method, const char *more)
{
    return (struct quantize_settings){.opts = qt_usual(method), .keep = (const char *const *)w->keep, .more = more};
}

/* ---- one file ----------------------------------------------------------------------------- */

static int tell(struct work *w, const struct quantize_file *q, const char *what)
{
    cJSON *o = cJSON_AddObjectToObject(w->report, what);
    quantize_report_json(o, q);
    progress_hide();
    if (!w->v->report || strcmp(w->v->report, "-") != 0)
        quantize_say(q, what);
    if (!w->v->plot || w->plotted)
        return 0;
    w->plotted = true;
    return quantize_plot(w->v->plot, q);
}

static int quantize_one(struct work *w, const char *from, const char *to, const char *what,
                        const struct quantize_settings *s)
{
    struct quantize_file q;
    FV_TRY(quantize_look(&q, from, s));
    int rc = quantize_write(&q, to, NULL, progress_update, &w->progress);
    if (rc == 0)
        rc = tell(w, &q, what);
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
    int rc = *file && config ? quantize_make_folder(folder) : fv_fail(FV_ENOMEM, "out of memory");
    if (rc == 0 && fv_is_dir(from))
        rc = quantize_copy(from, folder, quantize_is_not_weights, w->v->link);
    else if (rc == 0 && fv_exists(config))
        rc = quantize_copy(config, folder, NULL, w->v->link);
    free(folder);
    free(beside);
    free(config);
    return rc;
}

static int one_part(struct work *w, const char *from, const char *name, const struct quantize_settings *s)
{
    char *file = NULL;
    int rc = part_folder(w, from, name, &file);
    if (rc == 0)
        rc = quantize_one(w, from, file, name, s);
    free(file);
    return rc;
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

static int whole_model(struct work *w)
{
    static const enum qt_method text_methods[] = {[1] = QT_RTN8, [2] = QT_RTN4};
    const struct values *v = w->v;
    char more[64];
    FV_TRY(model_in_hash(&w->model, w->hash));
    snprintf(more, sizeof more, "\"source\":\"%s\"", w->hash);
    struct quantize_settings s = settings(w, (enum qt_method)v->method, more);
    FV_TRY(one_part(w, w->model.dit, "transformer", &s));
    if (v->text) {
        s = settings(w, text_methods[v->text], more);
        s.keep = NULL;
        FV_TRY(one_part(w, w->model.text, "text_encoder", &s));
    } else {
        FV_TRY(copy_part(w, w->model.text, "text_encoder", NULL));
    }
    FV_TRY(copy_part(w, w->model.tokenizer, "tokenizer", fv_is_dir(w->model.tokenizer) ? quantize_is_tokenizer : NULL));
    FV_TRY(copy_part(w, w->model.vae, "vae", NULL));
    return quantize_copy(w->model.model, v->output, is_usual, v->link);
}

/* ---- command ------------------------------------------------------------------------------ */

static bool same_place(const char *a, const char *b)
{
    char *x = realpath(a, NULL), *y = realpath(b, NULL);
    bool same = x && y && !strcmp(x, y);
    free(x);
    free(y);
    return same;
}

static int write_report(struct work *w)
{
    struct fv_writer out;
    const char *path = w->v->report;
    if (!path)
        return 0;
    char *text = cJSON_Print(w->report);
    if (!text)
        return fv_fail(FV_ENOMEM, "out of memory");
    int rc = fv_writer_open(&out, path);
    if (rc == 0) {
        fv_write(&out, text, strlen(text));
        fv_write(&out, "\n", 1);
        rc = fv_writer_commit(&out);
    }
    free(text);
    return rc;
}

static int run(struct app *app, const void *values, const struct opt_args *args)
{
    struct work w = {.app = app, .v = values};
    const char *from = args->items[0];
    double start = fv_now();
    if (!w.v->output)
        return fv_fail(CMD_USAGE, "-o OUT says where the quantised model goes");
    if (same_place(from, w.v->output))
        return fv_fail(CMD_USAGE, "%s is the model itself: -o another folder", w.v->output);
    FV_TRY(split_names(&w, w.v->keep));
    w.report = cJSON_CreateObject();
    progress_start(&w.progress, (enum progress_mode)w.v->progress, NULL, app->quiet);
    bool whole = model_in_is(from);
    int rc = whole ? model_in_find(&w.model, &(struct model_paths){.model = from}) : 0;
    if (rc == 0 && whole)
        rc = whole_model(&w);
    else if (rc == 0) {
        struct quantize_settings s = settings(&w, (enum qt_method)w.v->method, NULL);
        rc = quantize_one(&w, from, w.v->output, fv_path_base(from), &s);
    }
    progress_done(&w.progress);
    cJSON_AddNumberToObject(w.report, "seconds", fv_now() - start);
    if (rc == 0)
        rc = write_report(&w);
    cJSON_Delete(w.report);
    model_in_finish(&w.model);
    return rc;
}

const struct cmd cmd_quantize = {
    .name = "quantize",
    .summary = "weights of 4 or 8 bits from a model of 16",
    .usage = "MODEL -o OUT [OPTION]...",
    .examples = "fovea quantize Open-Sora/ -o Open-Sora-4bit/\tthe transformer's blocks in 4 bits\n"
                "fovea quantize Open-Sora/ -o small/ --text 8\tthe text encoder, too\n"
                "fovea quantize model.safetensors -o out.safetensors --method nf4\tone weight file",
    .details = "MODEL is a folder as fovea generate takes it, or one weight file. Linear layers of the "
               "transformer's blocks are quantised; embedders, the final layer, tables and norms stay as "
               "they are. Interrupted, the same command goes on where it was (OUT/*.part).\n\n"
               "What is written, byte by byte, is in docs/QUANT.md.",
    .opts = opts,
    .size = sizeof(struct values),
    .least_args = 1,
    .most_args = 1,
    .arg = "a model",
    .run = run,
};
