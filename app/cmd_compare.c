/* fovea compare: PSNR and SSIM of two pictures, videos or folders, frame by frame. */
#include "app/cmd.h"
#include "app/frames_in.h"
#include "app/plot.h"
#include "app/progress.h"
#include "app/text.h"
#include "gs/gs.h"
#include "vk/base/file.h"
#include "vk/base/array.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct values {
    bool json, csv, covered;
    const char *heatmap, *plot;
    double heat_max, min_psnr, min_ssim;
    int progress;
};

#define AT(m) offsetof(struct values, m)
static const struct opt opts[] = {
    {"heatmap", 0, OPT_STRING, AT(heatmap), .value = "OUT.png", .file = OPT_WRITES,
     .help = "picture of the absolute difference, mean over frames and channels"},
    {"heat-max", 0, OPT_FLOAT, AT(heat_max), .def = "0", .max = 1e6,
     .help = "difference shown brightest; 0 is the greatest there is"},
    {"plot", 0, OPT_STRING, AT(plot), .value = "OUT.png", .file = OPT_WRITES,
     .help = "curves of PSNR and SSIM over the frames"},
    {"min-psnr", 0, OPT_FLOAT, AT(min_psnr), .def = "0", .max = 1000, .value = "DB",
     .help = "exit 1 when the mean is lower"},
    {"min-ssim", 0, OPT_FLOAT, AT(min_ssim), .def = "0", .max = 1,
     .help = "exit 1 when the mean is lower"},
    {"covered", 0, OPT_FLAG, AT(covered),
     .help = "PSNR of the pixels only that are not black in A"},
    {"json", 0, OPT_FLAG, AT(json), .help = "as JSON"},
    {"csv", 0, OPT_FLAG, AT(csv), .help = "as comma-separated values"},
    {"progress", 0, OPT_ENUM, AT(progress), .def = "auto", .choices = progress_choices,
     .help = "on standard error"},
    {0}};

struct result {
    double psnr, ssim, most;
};

struct work {
    struct frames_in a, b;
    struct result *results;
    size_t count, room;
    bool covered;
    float *heat; /* [height][width] sums of |a-b| over frames */
    uint32_t width, height;
};

/* One channel against three: the one is repeated. */
static int same_channels(struct image *a, struct image *b)
{
    struct image *grey = a->channels < b->channels ? a : b;
    if (a->channels == b->channels)
        return 0;
    size_t n = (size_t)grey->width * grey->height;
    float *rgb = malloc(n * 3 * sizeof *rgb);
    if (!rgb)
        return fv_fail(FV_ENOMEM, "out of memory");
    for (size_t i = 0; i < 3 * n; i++)
        rgb[i] = grey->data[i / 3];
    free(grey->data);
    grey->data = rgb;
    grey->channels = 3;
    return 0;
}

static int add_heat(struct work *w, const struct image *a, const struct image *b)
{
    size_t n = (size_t)a->width * a->height;
    if (!w->heat) {
        w->heat = calloc(n, sizeof *w->heat);
        w->width = a->width;
        w->height = a->height;
    }
    if (!w->heat)
        return fv_fail(FV_ENOMEM, "out of memory");
    if (w->width != a->width || w->height != a->height)
        return fv_fail(FV_EINVALID, "--heatmap: the frames are not all of one size");
    for (size_t i = 0; i < n * a->channels; i++)
        w->heat[i / a->channels] += fabsf(a->data[i] - b->data[i]) / (float)a->channels;
    return 0;
}

/* Leaves only pixels that are not black in a: of more than 1/255 in some channel. Returns how many
 * values stay. */
static size_t keep_covered(float *a, float *b, size_t pixels, unsigned channels)
{
    size_t kept = 0;
    for (size_t i = 0; i < pixels; i++) {
        const float *pixel = a + i * channels;
        float most = pixel[0];
        for (unsigned c = 1; c < channels; c++)
            most = fmaxf(most, pixel[c]);
        if (!(most > 1 / 255.f))
            continue;
        memmove(a + kept, pixel, channels * sizeof *a);
        memmove(b + kept, b + i * channels, channels * sizeof *b);
        kept += channels;
    }
    return kept;
}

static int compare_frame(struct work *w, struct image *a, struct image *b, bool heat)
{
    if (a->width != b->width || a->height != b->height)
        return fv_fail(FV_EINVALID, "frame %zu: %ux%u against %ux%u; sizes must be equal", w->count,
                       a->width, a->height, b->width, b->height);
    FV_TRY(same_channels(a, b));
    FV_TRY(fv_grow(&w->results, &w->room, w->count, sizeof *w->results));
    struct result *r = &w->results[w->count];
    size_t n = (size_t)a->width * a->height * a->channels;
    r->psnr = gs_psnr(a->data, b->data, n);
    r->most = 0;
    for (size_t i = 0; i < n; i++)
        r->most = fmax(r->most, fabs((double)a->data[i] - (double)b->data[i]));
    FV_TRY(gs_ssim(&r->ssim, a->data, b->data, a->width, a->height, a->channels, NULL));
    w->count++;
    if (heat)
        FV_TRY(add_heat(w, a, b));
    if (w->covered) /* last: the pictures are used up by it */
        r->psnr = gs_psnr(a->data, b->data,
                          keep_covered(a->data, b->data, n / a->channels, a->channels));
    return 0;
}

static int compare_all(struct work *w, const char *const *paths, bool heat, struct progress *p)
{
    for (;;) {
        int more_a = frames_in_next(&w->a), more_b = 0;
        FV_TRY(more_a);
        FV_TRY(more_b = frames_in_next(&w->b));
        if (more_a != more_b)
            return fv_fail(FV_EINVALID, "%s ends after %zu frames, %s goes on",
                           paths[more_a ? 1 : 0], w->count, paths[more_a ? 0 : 1]);
        if (!more_a)
            return w->count ? 0 : fv_fail(FV_EFORMAT, "%s: no frames", paths[0]);
        FV_TRY(compare_frame(w, &w->a.frame, &w->b.frame, heat));
        if (progress_update(p, &(struct fv_progress){"comparing", (double)w->count, 0}))
            return fv_fail(FV_ECANCELLED, "cancelled");
    }
}

/* PSNR of the mean error would weigh bad frames more; this is the mean of the decibels, in
 * which equal frames (infinite) count as 100 dB. */
static struct result mean_of(const struct work *w)
{
    struct result m = {0};
    bool equal = true;
    for (size_t i = 0; i < w->count; i++) {
        m.psnr += fmin(w->results[i].psnr, 100) / (double)w->count;
        m.ssim += w->results[i].ssim / (double)w->count;
        m.most = fmax(m.most, w->results[i].most);
        equal = equal && isinf(w->results[i].psnr);
    }
    if (equal)
        m.psnr = INFINITY;
    return m;
}

static void add_result(cJSON *to, const struct result *r)
{
    if (isinf(r->psnr))
        cJSON_AddNullToObject(to, "psnr"); /* equal: JSON has no infinity */
    else
        cJSON_AddNumberToObject(to, "psnr", r->psnr);
    cJSON_AddNumberToObject(to, "ssim", r->ssim);
    cJSON_AddNumberToObject(to, "max_abs", r->most);
}

static void print_json(const struct work *w, const struct result *mean)
{
    cJSON *root = cJSON_CreateObject(), *m = cJSON_AddObjectToObject(root, "mean");
    cJSON *list = cJSON_AddArrayToObject(root, "frames");
    add_result(m, mean);
    for (size_t i = 0; i < w->count; i++) {
        cJSON *r = cJSON_CreateObject();
        add_result(r, &w->results[i]);
        cJSON_AddItemToArray(list, r);
    }
    print_cjson(root);
}

static void print_results(const struct work *w, const struct values *v, const struct result *mean)
{
    if (v->json) {
        print_json(w, mean);
        return;
    }
    puts(v->csv ? "frame,psnr,ssim,max_abs" : "frame     PSNR dB    SSIM       max |a-b|");
    const char *row = v->csv ? "%s,%.4f,%.6f,%.6g\n" : "%-9s %7.3f    %.6f   %.6g\n";
    for (size_t i = 0; i < w->count; i++) {
        char name[24];
        snprintf(name, sizeof name, "%zu", i);
        printf(row, name, w->results[i].psnr, w->results[i].ssim, w->results[i].most);
    }
    if (w->count > 1 || v->csv)
        printf(row, "mean", mean->psnr, mean->ssim, mean->most);
}

static int save_plot(const struct work *w, const struct values *v, const char *const *paths)
{
    double *y = malloc(2 * w->count * sizeof *y);
    char title[200];
    if (!y)
        return fv_fail(FV_ENOMEM, "out of memory");
    for (size_t i = 0; i < w->count; i++) {
        y[i] = w->results[i].psnr;
        y[w->count + i] = w->results[i].ssim;
    }
    snprintf(title, sizeof title, "%.90s / %.90s", fv_path_base(paths[0]), fv_path_base(paths[1]));
    struct plot_series s[] = {{"PSNR dB", y, w->count}, {"SSIM", y + w->count, w->count}};
    int rc = plot_lines(v->plot, title, s, 2);
    free(y);
    return rc;
}

static int finish(struct work *w, const struct values *v, const char *const *paths)
{
    struct result mean = mean_of(w);
    print_results(w, v, &mean);
    if (v->heatmap) {
        for (size_t i = 0; i < (size_t)w->width * w->height; i++)
            w->heat[i] /= (float)w->count;
        FV_TRY(plot_heat(v->heatmap, w->heat, w->width, w->height, v->heat_max));
    }
    if (v->plot)
        FV_TRY(save_plot(w, v, paths));
    if (mean.psnr < v->min_psnr)
        return fv_fail(FV_EFORMAT, "mean PSNR %.3f dB is below %.3f", mean.psnr, v->min_psnr);
    if (mean.ssim < v->min_ssim)
        return fv_fail(FV_EFORMAT, "mean SSIM %.6f is below %.6f", mean.ssim, v->min_ssim);
    return 0;
}

/* The mistake that is likely with the names of these. */
static int check_name(const char *path)
{
    if (gs_format_of_name(path) == GS_FORMAT_AUTO && !fv_ends_with(path, ".gltf") && !fv_ends_with(path, ".fvv"))
        return 0;
    return fv_fail(FV_EINVALID, "%s: is a scene, and what is compared here are pictures of them: fovea render draws it, "
                                "fovea view A --compare B shows two beside one another", path);
}

static int run(struct app *app, const void *values, const struct opt_args *args)
{
    const struct values *v = values;
    FV_TRY(check_name(args->items[0]));
    FV_TRY(check_name(args->items[1]));
    struct work w = {.covered = v->covered};
    struct progress p;
    progress_start(&p, (enum progress_mode)v->progress, "frames", app->quiet);
    int rc = frames_in_open(&w.a, args->items[0]);
    if (rc >= 0)
        rc = frames_in_open(&w.b, args->items[1]);
    if (rc >= 0)
        rc = compare_all(&w, args->items, v->heatmap != NULL, &p);
    progress_done(&p);
    if (rc >= 0)
        rc = finish(&w, v, args->items);
    frames_in_finish(&w.a);
    frames_in_finish(&w.b);
    free(w.results);
    free(w.heat);
    return rc;
}

const struct cmd cmd_compare = {
    .name = "compare",
    .summary = "PSNR and SSIM of two pictures, videos or folders",
    .usage = "A B [OPTION]...",
    .examples = "fovea compare a.mp4 b.mp4\tframe by frame\n"
                "fovea compare a.png b.png --heatmap difference.png\twhere they differ\n"
                "fovea compare a.mp4 b.mp4 --plot quality.png\ta plot over time",
    .details = "Pictures, .npy arrays of [H,W] or [H,W,3], videos, or folders of pictures in "
               "order of their names. Values are taken as 0..1; PSNR is over all channels, alpha "
               "left out. The mean PSNR is the mean of the frames' decibels; equal frames count "
               "as 100.",
    .opts = opts,
    .size = sizeof(struct values),
    .least_args = 2,
    .most_args = 2,
    .arg = "two files to compare",
    .args = (const struct cmd_arg[]){{"a", .file = OPT_READS}, {"b", .file = OPT_READS}, {0}},
    .forward = true,
    .run = run,
};
