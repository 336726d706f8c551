/* fovea bench quant (bench_quant.h): measuring is vk/nn/bench.c's; this compares the rows of a size. */
#include "app/bench_quant.h"
#include "app/text.h"
#include "vk/device.h"
#include "vk/nn/bench.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 256, MOST_FILTERS = 16 };

/* A row "1024x1152x4608 int4 r32": its size, FLOPs of the layer alone, the time ratios are of. */
struct line {
    const struct nn_bench_result *r;
    int size; /* characters of it */
    double flops, time;
};

static struct line line_of(const struct nn_bench_result *r, const struct vk_device *dev)
{
    unsigned rows = 0, depth = 0, columns = 0;
    struct line l = {.r = r, .size = (int)strcspn(r->size, " "), .time = r->seconds};
    if (sscanf(r->size, "%ux%ux%u", &rows, &depth, &columns) == 3)
        l.flops = 2.0 * rows * depth * columns;
    if (dev->caps.is_cpu && r->cpu_seconds > 0)
        l.time = r->cpu_seconds;
    return l;
}

/* Time over that of the size's first row, f32. */
static double ratio(const struct line *all, size_t i)
{
    size_t k = i;
    while (k > 0 && all[k - 1].size == all[i].size && !strncmp(all[k - 1].r->size, all[i].r->size, (size_t)all[i].size))
        k--;
    return all[i].time / all[k].time;
}

static void print_text(const struct line *l, size_t n, const char *device)
{
    printf("%s; rows x inputs x outputs\n%-16s %-16s %9s %9s %8s %8s\n", device, "size", "weights", "ms", "cpu ms",
           "GFLOP/s", "of f32");
    for (size_t i = 0; i < n; i++)
        printf("%-16.*s %-16s %9.3f %9.3f %8.2f %7.2fx\n", l[i].size, l[i].r->size, l[i].r->size + l[i].size + 1,
               1e3 * l[i].r->seconds, 1e3 * l[i].r->cpu_seconds, 1e-9 * l[i].flops / l[i].r->seconds, ratio(l, i));
}

static void print_csv(const struct line *l, size_t n, const char *device)
{
    puts("device,size,weights,ms,cpu_ms,gflops,time_of_f32");
    for (size_t i = 0; i < n; i++)
        printf("\"%s\",%.*s,\"%s\",%.6g,%.6g,%.6g,%.4g\n", device, l[i].size, l[i].r->size,
               l[i].r->size + l[i].size + 1, 1e3 * l[i].r->seconds, 1e3 * l[i].r->cpu_seconds,
               1e-9 * l[i].flops / l[i].r->seconds, ratio(l, i));
}

static void print_as_json(const struct line *l, size_t n, const char *device)
{
    cJSON *o = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(o, "layers");
    cJSON_AddStringToObject(o, "device", device);
    for (size_t i = 0; i < n; i++) {
        cJSON *row = cJSON_CreateObject();
        char size[64];
        snprintf(size, sizeof size, "%.*s", l[i].size, l[i].r->size);
        cJSON_AddStringToObject(row, "size", size);
        cJSON_AddStringToObject(row, "weights", l[i].r->size + l[i].size + 1);
        cJSON_AddNumberToObject(row, "ms", 1e3 * l[i].r->seconds);
        cJSON_AddNumberToObject(row, "cpu_ms", 1e3 * l[i].r->cpu_seconds);
        cJSON_AddNumberToObject(row, "gflops", 1e-9 * l[i].flops / l[i].r->seconds);
        cJSON_AddNumberToObject(row, "time_of_f32", ratio(l, i));
        cJSON_AddItemToArray(list, row);
    }
    print_cjson(o);
}

int bench_quant(struct app *app, const struct bench_quant *o)
{
    struct vk_device *dev;
    struct nn_bench_ceiling top;
    struct progress progress;
    char text[MOST_FILTERS][80];
    const char *filters[MOST_FILTERS] = {"codes "};
    size_t n = 0, filter_count = o->filter_count ? o->filter_count : 1;
    if (o->filter_count > MOST_FILTERS)
        return fv_fail(CMD_USAGE, "more than %d sizes", MOST_FILTERS);
    for (size_t i = 0; i < o->filter_count; i++) {
        snprintf(text[i], sizeof text[i], "codes %s", o->filters[i]);
        filters[i] = text[i];
    }
    FV_TRY(app_nn_device(app, &dev));
    struct nn_bench_result *r = calloc(MOST, sizeof *r);
    struct line *lines = calloc(MOST, sizeof *lines);
    int rc = r && lines ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    progress_start(&progress, o->progress, "rows", app->quiet);
    if (rc >= 0)
        rc = nn_bench(r, MOST, &n, &top, dev,
                      &(struct nn_bench_opts){.filters = filters, .filter_count = filter_count, .rounds = o->rounds,
                                              .ssbo = o->ssbo, .alone = true, .on_progress = progress_update,
                                              .ud = &progress});
    progress_done(&progress);
    if (rc >= 0 && !n)
        rc = fv_fail(FV_EINVALID, "no size begins with \"%s\"; see: fovea bench quant", o->filters[0]);
    n = n < MOST ? n : MOST;
    for (size_t i = 0; rc >= 0 && i < n; i++)
        lines[i] = line_of(&r[i], dev);
    if (rc >= 0 && o->json)
        print_as_json(lines, n, dev->caps.name);
    else if (rc >= 0 && o->csv)
        print_csv(lines, n, dev->caps.name);
    else if (rc >= 0)
        print_text(lines, n, dev->caps.name);
    free(lines);
    free(r);
    return rc;
}
