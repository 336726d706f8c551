/* fovea check: this device and build against reference outputs, quantity by quantity. */
#include "app/check_nn.h"
#include "app/text.h"
#include "vk/base/file.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct values {
    int arch, dtype;
    bool json, trace;
};

/* From ARCH_NETWORKS on: networks, in check_nn.c's tables by name. */
enum { ARCH_AUTO, ARCH_SPLAT, ARCH_FORMATS, ARCH_CAMERAS, ARCH_QUEEN, ARCH_SCAFFOLD,
       ARCH_SAGS, ARCH_SENTENCES, ARCH_CLIP_WORDS, ARCH_PROMPTS, ARCH_NETWORKS };
static const char *const archs[] = {"auto",
                                    "splat",
                                    "formats",
                                    "cameras",
                                    "queen",
                                    "scaffold",
                                    "sags",
                                    "tokenizer_sentencepiece",
                                    "tokenizer_clip",
                                    "opensora12_text",
                                    "osp_odvae_v11",
                                    "osp_odvae_v12",
                                    "cvvae",
                                    "cvvae_sd3",
                                    "opensora12_vae",
                                    "sd_autoencoderkl",
                                    "opensora12_stdit3",
                                    "ondevice_sora",
                                    "opensora12_e2e",
                                    "t5_encoder",
                                    "clip_text_gelu",
                                    "clip_text_quickgelu",
                                    "analytic_init",
                                    "schedulers",
                                    "svdquant",
                                    "nunchaku_pack",
                                    NULL};
static const char *const dtypes[] = {"f32", "f16", "bf16", NULL};
static const enum nn_dtype dtype_values[] = {NN_F32, NN_F16, NN_BF16};

#define AT(m) offsetof(struct values, m)
static const struct opt opts[] = {
    {"arch", 'a', OPT_ENUM, AT(arch), .choices = archs, .def = "auto",
     .help = "what the directories hold; auto looks into them"},
    {"dtype", 0, OPT_ENUM, AT(dtype), .choices = dtypes, .def = "f32",
     .help = "of networks: storage of weights and activations"},
    {"trace", 0, OPT_FLAG, AT(trace), .help = "of networks: intermediate values too"},
    {"json", 0, OPT_FLAG, AT(json), .help = "as JSON"},
    {0}};

/* ---- measuring -------------------------------------------------------------------------- */

void check_measure(struct check_error *e, const double *got, const double *want,
                   const double *slack, size_t n, const struct check_bounds *b)
{
    size_t far = 0;
    double sum = 0;
    *e = (struct check_error){.least_good = b->least_good};
    for (size_t i = 0; i < n; i++) {
        if (isnan(want[i]))
            continue;
        double d = got[i] == want[i] ? 0 : fabs(got[i] - want[i]);
        d = isnan(d) ? INFINITY : d;
        double tolerance = b->absolute + b->relative * fabs(want[i]) + (slack ? slack[i] : 0);
        if (!(d <= tolerance) && e->bad++ == 0) {
            e->first = i;
            e->got = got[i];
            e->want = want[i];
        }
        far += b->least_good > 0 && !(d <= b->most * fmax(1, fabs(want[i])));
        e->count++;
        e->max = fmax(e->max, d);
        sum += d;
    }
    e->mean = e->count ? sum / (double)e->count : 0;
    double good = e->count ? 1 - (double)e->bad / (double)e->count : 0;
    e->ok = e->count && (b->least_good > 0 ? good >= b->least_good && !far : !e->bad) &&
            (b->most_mean <= 0 || e->mean <= b->most_mean);
}

/* ---- rows ------------------------------------------------------------------------------- */

void check_place(struct check *c, const char *dir)
{
    snprintf(c->place, sizeof c->place, "%s", dir);
    c->group[0] = 0;
}

void check_group(struct check *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char group[sizeof c->group];
    vsnprintf(group, sizeof group, fmt, ap);
    va_end(ap);
    if (strcmp(group, c->group))
        c->group_shown = false;
    memcpy(c->group, group, sizeof group);
}

static void show_group(struct check *c)
{
    if (!c->json && strcmp(c->place, c->place_shown))
        printf("%s\n", c->place);
    memcpy(c->place_shown, c->place, sizeof c->place);
    if (!c->json && !c->group_shown)
        printf("%s\n", c->group);
    c->group_shown = true;
}

static cJSON *json_row(struct check *c, const char *quantity, const char *verdict)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "directory", c->place);
    cJSON_AddStringToObject(o, "case", c->group);
    cJSON_AddStringToObject(o, "quantity", quantity);
    cJSON_AddStringToObject(o, "verdict", verdict);
    cJSON_AddItemToArray(c->rows, o);
    return o;
}

static const char *verdict_text(const struct check *c, bool ok)
{
    if (!c->app->color)
        return ok ? "ok" : "FAIL";
    return ok ? "\033[32mok\033[0m" : "\033[1;31mFAIL\033[0m";
}

static void index_text(char *out, size_t size, const struct check_error *e)
{
    if (e->width)
        snprintf(out, size, "[%zu][%zu]", e->first / e->width, e->first % e->width);
    else
        snprintf(out, size, "[%zu]", e->first);
}

void check_row(struct check *c, const char *quantity, const struct check_error *e)
{
    char index[48];
    double good = e->count ? 100 * (1 - (double)e->bad / (double)e->count) : 0;
    show_group(c);
    c->passed += e->ok;
    c->failed += !e->ok;
    index_text(index, sizeof index, e);
    if (c->json) {
        cJSON *o = json_row(c, quantity, e->ok ? "ok" : "fail");
        cJSON_AddNumberToObject(o, "count", (double)e->count);
        cJSON_AddNumberToObject(o, "max_abs", e->max);
        cJSON_AddNumberToObject(o, "mean_abs", e->mean);
        cJSON_AddNumberToObject(o, "percent_good", good);
        if (e->bad) {
            cJSON_AddStringToObject(o, "first", index);
            cJSON_AddNumberToObject(o, "got", e->got);
            cJSON_AddNumberToObject(o, "want", e->want);
        }
        return;
    }
    printf("  %-22s %9zu  max %-9.3g mean %-9.3g %8.4f %%  %s", quantity, e->count, e->max, e->mean,
           good, verdict_text(c, e->ok));
    if (e->bad && e->least_good > 0)
        printf(" (needs %.2f %%)", 100 * e->least_good);
    if (e->bad && !e->ok)
        printf("  first %s: %.8g, expected %.8g", index, e->got, e->want);
    else if (!e->count)
        fputs("  nothing to compare", stdout);
    putchar('\n');
}

void check_norms_measure(struct check_norms *e, const float *got, const float *want, size_t n)
{
    double sum = 0, errors = 0, most = -1;
    bool finite = true;
    for (size_t i = 0; i < n; i++) {
        double d = (double)got[i] - (double)want[i], w = want[i];
        sum += w * w;
        errors += d * d;
        finite = finite && isfinite(d);
        if (fabs(d) > most || !isfinite(d)) {
            most = isfinite(d) ? fabs(d) : INFINITY;
            e->worst = i;
            e->got = got[i];
            e->want = want[i];
        }
    }
    /* Of something that is all zeros the error itself counts. */
    double rms = n && sum > 0 ? sqrt(sum / (double)n) : 1;
    e->count = n;
    e->max = finite ? most / rms : INFINITY;
    e->relative = finite ? sqrt(errors / (sum > 0 ? sum : 1)) : INFINITY;
    e->ok = n && (e->by_max ? e->max : e->relative) <= e->limit;
}

void check_norms_row(struct check *c, const char *quantity, const struct check_norms *e)
{
    show_group(c);
    c->passed += e->ok;
    c->failed += !e->ok;
    if (c->json) {
        cJSON *o = json_row(c, quantity, e->ok ? "ok" : "fail");
        cJSON_AddNumberToObject(o, "count", (double)e->count);
        cJSON_AddNumberToObject(o, "max_over_rms", e->max);
        cJSON_AddNumberToObject(o, "relative_l2", e->relative);
        cJSON_AddStringToObject(o, "criterion", e->by_max ? "max_over_rms" : "relative_l2");
        cJSON_AddNumberToObject(o, "tolerance", e->limit);
        return;
    }
    printf("  %-32s %9zu  max/rms %-9.2e  relative L2 %-9.2e %s", quantity, e->count, e->max,
           e->relative, verdict_text(c, e->ok));
    if (!e->ok)
        printf(" (%s <= %g)  worst [%zu]: %.8g, expected %.8g",
               e->by_max ? "max/rms" : "relative L2", e->limit, e->worst, e->got, e->want);
    putchar('\n');
}

void check_note(struct check *c, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (c->json)
        cJSON_AddStringToObject(json_row(c, "", "note"), "detail", text);
    else
        printf("  %s\n", text);
}

void check_fact(struct check *c, const char *quantity, bool ok, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    show_group(c);
    c->passed += ok;
    c->failed += !ok;
    if (c->json)
        cJSON_AddStringToObject(json_row(c, quantity, ok ? "ok" : "fail"), "detail", text);
    else
        printf("  %-22s %s  %s\n", quantity, verdict_text(c, ok), text);
}

void check_skip(struct check *c, const char *quantity, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    show_group(c);
    c->skipped++;
    if (c->json)
        cJSON_AddStringToObject(json_row(c, quantity, "skipped"), "detail", text);
    else
        printf("  %-22s skipped: %s\n", quantity, text);
}

void check_failure(struct check *c, const char *quantity)
{
    char text[512];
    snprintf(text, sizeof text, "%s", fv_error());
    check_fact(c, quantity, false, "%s", text);
}

/* ---- command ---------------------------------------------------------------------------- */

static int look_into(const char *dir)
{
    if (!fv_exists_in(dir, "scene.ply"))
        return ARCH_CAMERAS;
    return fv_exists_in(dir, "cameras.json") ? ARCH_SPLAT : ARCH_FORMATS;
}

static int check_dir(struct check *c, int arch, const char *dir)
{
    if (!fv_is_dir(dir))
        return fv_fail(FV_EIO, "%s: %s", dir,
                       fv_exists(dir) ? "is a file, not a directory" : "no such directory");
    check_place(c, dir);
    if (arch == ARCH_AUTO)
        arch = look_into(dir);
    size_t before = c->passed + c->failed;
    FV_TRY(arch == ARCH_SPLAT     ? check_splat(c, dir)
           : arch == ARCH_FORMATS ? check_formats(c, dir)
           : arch == ARCH_QUEEN   ? check_queen(c, dir)
           : arch == ARCH_SCAFFOLD || arch == ARCH_SAGS ? check_neural(c, dir)
           : arch == ARCH_PROMPTS ? check_prompts(c, dir)
           : arch == ARCH_SENTENCES || arch == ARCH_CLIP_WORDS ? check_tokenizer(c, dir)
                                  : check_cameras(c, dir));
    if (c->passed + c->failed == before)
        return fv_fail(FV_EFORMAT, "%s: nothing in it to check with --arch %s", dir, archs[arch]);
    return app_cancelled() ? fv_fail(FV_ECANCELLED, "cancelled") : 0;
}

static int run(struct app *app, const void *values, const struct opt_args *args)
{
    const struct values *v = values;
    struct check c = {.app = app, .json = v->json};
    int rc = 0;
    c.rows = cJSON_CreateArray();
    if (v->arch >= ARCH_NETWORKS)
        rc = check_networks(&c, check_arch_find(archs[v->arch]), args->items[0],
                            (const char *const *)args->items + 1, args->count - 1,
                            dtype_values[v->dtype], v->trace);
    for (size_t i = 0; i < args->count && rc >= 0 && v->arch < ARCH_NETWORKS; i++) {
        rc = check_dir(&c, v->arch, args->items[i]);
        fflush(stdout);
    }
    if (v->json)
        print_cjson(c.rows);
    else
        cJSON_Delete(c.rows);
    if (rc < 0)
        return rc;
    if (!v->json)
        printf("%zu hold, %zu do not, %zu skipped\n", c.passed, c.failed, c.skipped);
    if (c.failed)
        return fv_fail(FV_EFORMAT, "%zu of %zu quantities are out of tolerance", c.failed,
                       c.passed + c.failed);
    return 0;
}

const struct cmd cmd_check = {
    .name = "check",
    .summary = "compare this device and build with reference outputs",
    .usage = "[--arch NAME] DIR... | MODEL_DIR [CASE]... [OPTION]...",
    .examples = "fovea check --arch splat golden/01_forward/*\tprojection and pictures\n"
                "fovea check --arch formats golden/03_formats/*\treaders and writers\n"
                "fovea check --arch queen golden/05_queen/*\tQUEEN's decoders, gates, coder, frames\n"
                "fovea check --arch sags golden/04_scaffold_sags/sags*\tanchors into Gaussians\n"
        "fovea check --arch cvvae golden/nn/cvvae --trace\ta network, layer by layer",
    .details =
        "Exit status 0 only when every quantity holds. A directory is one case: scene.ply, "
        "cameras.json and CAMERA_IMPLEMENTATION folders of .npy arrays (splat); scene.ply, encoded "
        "files and decoded_*.ply (formats); camera files with expected.json, here or one level "
        "down (cameras); config.json, NAME.json or coded_*, frame* and NAME.safetensors "
        "(queen); config.json, camera.json, inputs, weights, intermediate and outputs.safetensors, "
        "render_*.npy (scaffold, sags); texts with what is to become of them, and the tokenizer (tokenizer_*), which for "
        "tokenizer_clip may be in ../../../data/tokenizers/clip; prompts (opensora12_text).\n\n"
        "opensora12_e2e goes from prompts to frames with the models of ../opensora12_stdit3, "
        "../opensora12_vae and ../tokenizer_sentencepiece.\n\n"
        "Networks: the first argument is the model's folder, the others are cases, files with "
        "in.*, "
        "out* and mid.*; without any, all case_*.safetensors in the folder. In f32 the largest "
        "error "
        "may be 1e-4 of the rms of what is expected; in f16 the relative 2-norm 1e-2.\n\n"
        "Tolerances. Pictures: mean difference at most 2e-5, 99.5 % of the values within 1e-4, "
        "the rest within 2e-2. The references are float32 too: where their own values are more "
        "than 1e-4 from a double-precision rendering, twice that share is allowed on top of the "
        "0.5 %. Projected quantities: 1e-4 relative and a small absolute part; conics and "
        "compensated opacity also what their conditioning makes of float32. "
        "Decoded files: float rounding. Written files: the format's quantisation step, and a "
        "second trip that changes nothing.",
    .opts = opts,
    .size = sizeof(struct values),
    .least_args = 1,
    .most_args = 4096,
    .arg = "directories",
    .args = (const struct cmd_arg[]){{"dir", .file = OPT_READS, .many = true}, {0}},
    .run = run,
};
