/* fovea bench ops (bench_ops.h): measuring is vk/nn/bench.c's, this prints. */
#include "app/bench_ops.h"
#include "app/text.h"
#include "vk/device.h"
#include "vk/nn/bench.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST = 256 };

static double gflops(const struct nn_bench_result *r)
{
    return 1e-9 * r->flops / r->seconds;
}

static double gigabytes(const struct nn_bench_result *r)
{
    return 1e-9 * r->bytes / r->seconds;
}

static void print_text(const struct nn_bench_result *r, size_t n,
                       const struct nn_bench_ceiling *top, const char *device)
{
    printf("%s", device);
    if (top->bytes > 0)
        printf(": copies at %.2f GB/s (read and written)", 1e-9 * top->bytes);
    if (top->flops > 0)
        printf("; multiplies at %.1f GFLOP/s (%s)", 1e-9 * top->flops, top->flops_op);
    printf("\n%-16s %-28s %9s %9s %8s %6s %7s %6s\n", "op", "size", "ms", "cpu ms", "GFLOP/s",
           "of top", "GB/s", "of top");
    for (size_t i = 0; i < n; i++, r++)
        printf("%-16s %-28s %9.3f %9.3f %8.2f %5.0f%% %7.2f %5.0f%%\n", r->op, r->size,
               1e3 * r->seconds, 1e3 * r->cpu_seconds, gflops(r), 100 * r->of_arithmetic,
               gigabytes(r), 100 * r->of_streaming);
}

static void print_csv(const struct nn_bench_result *r, size_t n, const char *device)
{
    puts("device,op,size,ms,cpu_ms,gflops,gbytes_per_second,of_arithmetic,of_streaming,dispatches");
    for (size_t i = 0; i < n; i++, r++)
        printf("\"%s\",\"%s\",\"%s\",%.6g,%.6g,%.6g,%.6g,%.4g,%.4g,%u\n", device, r->op, r->size,
               1e3 * r->seconds, 1e3 * r->cpu_seconds, gflops(r), gigabytes(r), r->of_arithmetic,
               r->of_streaming, r->dispatches);
}

static void print_as_json(const struct nn_bench_result *r, size_t n,
                          const struct nn_bench_ceiling *top, const char *device)
{
    cJSON *o = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(o, "ops");
    cJSON_AddStringToObject(o, "device", device);
    cJSON_AddNumberToObject(o, "copy_gbytes_per_second", 1e-9 * top->bytes);
    cJSON_AddNumberToObject(o, "top_gflops", 1e-9 * top->flops);
    for (size_t i = 0; i < n; i++, r++) {
        cJSON *row = cJSON_CreateObject();
        cJSON_AddStringToObject(row, "op", r->op);
        cJSON_AddStringToObject(row, "size", r->size);
        cJSON_AddNumberToObject(row, "ms", 1e3 * r->seconds);
        cJSON_AddNumberToObject(row, "cpu_ms", 1e3 * r->cpu_seconds);
        cJSON_AddNumberToObject(row, "gflops", gflops(r));
        cJSON_AddNumberToObject(row, "gbytes_per_second", gigabytes(r));
        cJSON_AddNumberToObject(row, "of_arithmetic", r->of_arithmetic);
        cJSON_AddNumberToObject(row, "of_streaming", r->of_streaming);
        cJSON_AddNumberToObject(row, "dispatches", r->dispatches);
        cJSON_AddItemToArray(list, row);
    }
    print_cjson(o);
}

int bench_ops(struct app *app, const struct bench_ops *o)
{
    struct vk_device *dev;
    struct nn_bench_ceiling top;
    struct progress progress;
    size_t n = 0;
    FV_TRY(app_nn_device(app, &dev));
    struct nn_bench_result *r = calloc(MOST, sizeof *r);
    if (!r)
        return fv_fail(FV_ENOMEM, "out of memory");
    progress_start(&progress, o->progress, "rows", app->quiet);
    int rc = nn_bench(
        r, MOST, &n, &top, dev,
        &(struct nn_bench_opts){
            .filters = o->filters, .filter_count = o->filter_count, .rounds = o->rounds,
            .ssbo = o->ssbo, .alone = o->alone, .on_progress = progress_update, .ud = &progress});
    progress_done(&progress);
    if (rc >= 0 && !n)
        rc = fv_fail(FV_EINVALID, "no op matches \"%s\"%s; see: fovea bench ops", o->filters[0],
                     o->filter_count > 1 ? " or the others" : "");
    n = n < MOST ? n : MOST;
    if (rc >= 0 && o->json)
        print_as_json(r, n, &top, dev->caps.name);
    else if (rc >= 0 && o->csv)
        print_csv(r, n, dev->caps.name);
    else if (rc >= 0)
        print_text(r, n, &top, dev->caps.name);
    free(r);
    return rc;
}
