#include "app/bench_dit.h"
#include "app/text.h"
#include "diffusion/diffusion.h"
#include "vk/base/hash.h"
#include "vk/base/thread.h"
#include "vk/device.h"
#include "vk/mem.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { WORDS = 60, SEED = 1 };
/* As Open-Sora 1.2's VAE packs clips, and usual settings; neither changes what a step costs. */
static const struct df_packing packing = {17, 4, 8};
static const float guidance = 7, usual_fps = 24;

struct work {
    const struct bench_dit *o;
    struct progress progress;
    struct df_dit *dit;
    struct df_size size;
    float *states, *z;
    bool *mask;
    size_t values; /* of z */
    double open_seconds, seconds, cpu_seconds;
    uint64_t peak;
    struct df_sampled done;
    struct df_loading loading;
};

static int sample(struct work *w)
{
    const struct df_dit_info *i = df_dit_info(w->dit);
    size_t text = (size_t)i->text_tokens * i->text_width;
    w->values = (size_t)i->channels * w->size.frames * w->size.height * w->size.width;
    w->states = malloc(text * sizeof *w->states);
    w->z = malloc(w->values * sizeof *w->z);
    w->mask = calloc(i->text_tokens, sizeof *w->mask);
    if (!w->states || !w->z || !w->mask)
        return fv_fail(FV_ENOMEM, "out of memory");
    nn_normal(w->states, SEED, 0, text);
    for (uint32_t n = 0; n < WORDS && n < i->text_tokens; n++)
        w->mask[n] = true;
    nn_normal(w->z, SEED + 1, 0, w->values);
    const struct df_sampling s = {
        .size = w->size,
        .text = {.tokens = i->text_tokens, .states = w->states, .mask = w->mask},
        .schedule = {.steps = w->o->steps, .transform = true, .pixel_height = w->size.pixel_height,
                     .pixel_width = w->size.pixel_width, .frames = w->o->frames},
        .guidance = guidance,
        .on_progress = progress_update,
        .ud = &w->progress};
    double start = fv_now(), cpu = fv_cpu_time();
    FV_TRY(df_sample(w->dit, &s, w->z, &w->done));
    w->seconds = fv_now() - start;
    w->cpu_seconds = fv_cpu_time() - cpu;
    for (size_t n = 0; n < w->values; n++)
        if (!isfinite(w->z[n]))
            return fv_fail(FV_EFORMAT, "%s: value %zu of the result is %f", w->o->model, n,
                           (double)w->z[n]);
    return 0;
}

static int measure(struct work *w, struct vk_device *dev)
{
    const struct bench_dit *o = w->o;
    uint64_t reserved, used;
    struct opt_size px = o->size.width ? o->size : (struct opt_size){.width = 426, .height = 240};
    const struct df_clip_size clip = {(uint32_t)px.width, (uint32_t)px.height, o->frames, usual_fps};
    FV_TRY(df_size_of(&w->size, &packing, &clip));
    double start = fv_now();
    FV_TRY(df_dit_open(&w->dit, dev, o->model,
                       &(struct df_dit_opts){.dtype = o->dtype, .weight_memory = o->memory,
                                             .on_progress = progress_update, .ud = &w->progress}));
    w->open_seconds = fv_now() - start;
    FV_TRY(sample(w));
    w->loading = df_dit_loading(w->dit);
    vk_mem_usage(dev, &reserved, &used, &w->peak);
    return 0;
}

/* FNV-1a, 64 bits. */
static void print_json(const struct work *w, const char *device)
{
    char sum[32];
    const struct df_dit_info *i = df_dit_info(w->dit);
    cJSON *o = cJSON_CreateObject();
    const struct {
        const char *name;
        double value;
    } numbers[] = {{"parameters", (double)i->parameters},
                   {"frames", w->size.frames},
                   {"height", w->size.height},
                   {"width", w->size.width},
                   {"steps", w->done.evaluations},
                   {"open_seconds", w->open_seconds},
                   {"seconds", w->seconds},
                   {"cpu_seconds", w->cpu_seconds},
                   {"flops", w->done.flops},
                   {"weight_bytes", (double)i->weight_bytes},
                   {"peak_bytes", (double)w->peak},
                   {"resident_pairs", w->loading.resident},
                   {"loaded_pairs", w->loading.pairs},
                   {"loaded_bytes", (double)w->loading.bytes},
                   {"load_seconds", w->loading.seconds},
                   {"waited_seconds", w->loading.waited}};
    cJSON_AddStringToObject(o, "model", w->o->model);
    cJSON_AddStringToObject(o, "device", device);
    for (size_t n = 0; n < sizeof numbers / sizeof *numbers; n++)
        cJSON_AddNumberToObject(o, numbers[n].name, numbers[n].value);
    snprintf(sum, sizeof sum, "%016llx",
             (unsigned long long)fv_hash(FV_HASH_BEGIN, w->z, w->values * sizeof *w->z));
    cJSON_AddStringToObject(o, "digest", sum);
    print_cjson(o);
}

static void print_text(const struct work *w, const char *device)
{
    const struct df_dit_info *i = df_dit_info(w->dit);
    const struct df_loading *l = &w->loading;
    char count[32], weights[32], peak[32], loaded[32];
    count_text(count, i->parameters);
    bytes_text(weights, i->weight_bytes);
    bytes_text(peak, w->peak);
    bytes_text(loaded, l->bytes);
    printf("%s: %s parameters, %u pairs of blocks; latents %ux%ux%u; %s\n", w->o->model, count, i->depth,
           w->size.frames, w->size.height, w->size.width, device);
    printf("  opened in %.1f s; %u steps in %.1f s: %.1f s and %.2f TFLOP each, %.1f GFLOP/s\n",
           w->open_seconds, w->done.evaluations, w->seconds, w->seconds / w->done.evaluations,
           1e-12 * w->done.flops / w->done.evaluations, 1e-9 * w->done.flops / w->seconds);
    printf("  CPU time %.1f s; weights on the device %s, peak device memory %s\n", w->cpu_seconds, weights,
           peak);
    if (l->pairs)
        printf("  %u of %u pairs stay; %u loads, %s in %.2f s while the device worked, which was waited "
               "for %.2f s more\n",
               l->resident, i->depth, l->pairs, loaded, l->seconds, l->waited);
    printf("  digest of the result %016llx\n",
           (unsigned long long)fv_hash(FV_HASH_BEGIN, w->z, w->values * sizeof *w->z));
}

int bench_dit(struct app *app, const struct bench_dit *o)
{
    struct work w = {.o = o};
    struct vk_device *dev;
    FV_TRY(app_nn_device(app, &dev));
    progress_start(&w.progress, o->progress, NULL, app->quiet);
    int rc = measure(&w, dev);
    progress_done(&w.progress);
    if (rc == 0 && o->json)
        print_json(&w, dev->caps.name);
    else if (rc == 0)
        print_text(&w, dev->caps.name);
    df_dit_close(&w.dit);
    free(w.states);
    free(w.z);
    free(w.mask);
    return rc;
}
