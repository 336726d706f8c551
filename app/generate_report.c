/* Costs of generating as text and JSON (generate_report.h). */
#include "app/generate_report.h"
#include "app/text.h"
#include "vk/nn/bench.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>

/* ---- before ------------------------------------------------------------------------------ */

int generate_measure(double *flops_per_second, struct vk_device *dev, enum nn_dtype dtype,
                     fv_progress_fn on_progress, void *ud)
{
    const char *row = dtype == NN_F16    ? "linear 1024x1152x1152 f16"
                      : dtype == NN_BF16 ? "linear 1024x1152x1152 bf16"
                                         : "linear 1024x1152x1152 f32";
    struct nn_bench_result r = {.seconds = 0};
    struct nn_bench_ceiling top;
    size_t n = 0;
    const struct nn_bench_opts o = {
        .filters = &row, .filter_count = 1, .rounds = 2, .alone = true, .on_progress = on_progress, .ud = ud};
    FV_TRY(nn_bench(&r, 1, &n, &top, dev, &o));
    *flops_per_second = n && r.seconds > 0 ? r.flops / r.seconds : 0;
    return 0;
}

static double seconds_of(const struct generator_cost *c, const struct generate_times *t, enum generator_stage stage)
{
    double times = stage == STAGE_TEXT ? t->captions : t->clips;
    return t->flops_per_second > 0 ? c->flops[stage] * times / t->flops_per_second : 0;
}

static void time_text(char out[32], double seconds)
{
    if (seconds < 60)
        snprintf(out, 32, "%.1f s", seconds);
    else if (seconds < 3600)
        snprintf(out, 32, "%.1f min", seconds / 60);
    else
        snprintf(out, 32, "%.1f h", seconds / 3600);
}

static void flops_text(char out[32], double flops)
{
    static const char *const units[] = {"M", "G", "T", "P"};
    int u = 0;
    for (flops *= 1e-6; flops >= 999.5 && u < 3; u++)
        flops /= 1000;
    snprintf(out, 32, "%.3g %sFLOP", flops, units[u]);
}

void generate_say_cost(const struct generator_cost *c, const struct generate_times *t)
{
    static const enum generator_stage stages[] = {STAGE_TEXT, STAGE_SAMPLE, STAGE_DECODE};
    const struct df_cost *s = &c->sampling;
    char parameters[32], weights[32], flops[32], peak[32], time[32] = "", step[32], pair[32];
    double sum = 0;
    printf("%-10s %15s %10s %12s %14s%s\n", "", "parameters", "weights", "", "device memory",
           t->flops_per_second > 0 ? "    time, at least" : "");
    for (int i = 0; i < 3; i++) {
        count_text(parameters, c->parameters[stages[i]]);
        bytes_text(weights, c->weight_bytes[stages[i]]);
        bytes_text(peak, c->peak_bytes[stages[i]]);
        flops_text(flops, c->flops[stages[i]]);
        sum += seconds_of(c, t, stages[i]);
        if (t->flops_per_second > 0)
            time_text(time, seconds_of(c, t, stages[i]));
        printf("%-10s %15s %10s %12s %14s%s%s\n", generator_stage_names[stages[i]], parameters, weights, flops, peak,
               *time ? "    " : "", time);
    }
    flops_text(step, s->step_flops);
    printf("sampling: %u evaluations of %s", s->evaluations, step);
    if (s->merged_flops > 0) {
        flops_text(step, s->merged_flops);
        printf(", with merged frames of %s", step);
    }
    printf("; before leaps and cached steps, which show only as it runs\n");
    if (c->weight_memory) {
        bytes_text(pair, s->pair_bytes);
        printf("sampling: blocks of %s each come from the file in turn, those that %.0f MB hold stay\n", pair,
               1e-6 * (double)c->weight_memory);
    }
    if (c->expand) {
        bytes_text(pair, c->expanded_bytes);
        printf("sampling: layers of codes are kept as 16-bit numbers, which take %s\n", pair);
    }
    printf("decoding: %s\n", c->plan_text);
    if (t->flops_per_second <= 0)
        return;
    time_text(time, sum);
    printf("%s at least for %.0f %s: as fast as this device multiplies matrices, %.0f GFLOP/s, measured now\n",
           time, t->clips, t->clips == 1 ? "clip" : "clips", 1e-9 * t->flops_per_second);
}

void generate_cost_json(cJSON *object, const struct generator_cost *c, const struct generate_times *t)
{
    static const enum generator_stage stages[] = {STAGE_TEXT, STAGE_SAMPLE, STAGE_DECODE};
    const struct df_cost *s = &c->sampling;
    cJSON *list = cJSON_AddObjectToObject(object, "stages");
    for (int i = 0; i < 3; i++) {
        cJSON *o = cJSON_AddObjectToObject(list, generator_stage_names[stages[i]]);
        cJSON_AddNumberToObject(o, "parameters", (double)c->parameters[stages[i]]);
        cJSON_AddNumberToObject(o, "weight_bytes", (double)c->weight_bytes[stages[i]]);
        cJSON_AddNumberToObject(o, "peak_bytes", (double)c->peak_bytes[stages[i]]);
        cJSON_AddNumberToObject(o, "flops", c->flops[stages[i]]);
        if (t->flops_per_second > 0)
            cJSON_AddNumberToObject(o, "least_seconds", seconds_of(c, t, stages[i]));
    }
    cJSON_AddNumberToObject(object, "evaluations", s->evaluations);
    cJSON_AddNumberToObject(object, "step_flops", s->step_flops);
    cJSON_AddNumberToObject(object, "merged_step_flops", s->merged_flops);
    cJSON_AddNumberToObject(object, "sampling_bytes", s->bytes);
    cJSON_AddNumberToObject(object, "weight_memory", (double)c->weight_memory);
    cJSON_AddNumberToObject(object, "expanded_bytes", (double)c->expanded_bytes);
    cJSON_AddStringToObject(object, "decode_plan", c->plan_text);
    if (t->flops_per_second > 0)
        cJSON_AddNumberToObject(object, "flops_per_second", t->flops_per_second);
}

/* ---- after ------------------------------------------------------------------------------- */

void generate_say_stages(const struct generator_stats *s)
{
    uint64_t peak = 0;
    uint32_t done = s->sampled.evaluations + s->sampled.skipped;
    char text[32];
    for (int i = 0, shown = 0; i < STAGES; i++) {
        peak = s->peak_bytes[i] > peak ? s->peak_bytes[i] : peak;
        if (s->seconds[i] > 0)
            printf("%s%s %.1f s", shown++ ? ", " : "", generator_stage_names[i], s->seconds[i]);
    }
    bytes_text(text, peak);
    printf("; at most %s of device memory\n", text);
    if (done < s->planned)
        printf("leap: %u of %u evaluations of the model saved\n", s->planned - done, s->planned);
    if (s->sampled.skipped)
        printf("cache: %u evaluations more without their blocks\n", s->sampled.skipped);
    if (s->sampled.merged)
        printf("merging: frames two by two in %u of %u evaluations\n", s->sampled.merged, s->sampled.evaluations);
    if (s->loading.pairs) {
        bytes_text(text, s->loading.bytes);
        printf("weights: %s read from the file in %.1f s, %u pairs of blocks stayed; the device was waited for %.1f s "
               "after reads\n", text, s->loading.seconds, s->loading.resident, s->loading.waited);
    }
}

void generate_stats_json(cJSON *root, const struct generator_stats *s)
{
    cJSON *stages = cJSON_AddObjectToObject(root, "stages");
    for (int i = 0; i < STAGES; i++) {
        cJSON *o = cJSON_AddObjectToObject(stages, generator_stage_names[i]);
        cJSON_AddNumberToObject(o, "seconds", s->seconds[i]);
        cJSON_AddNumberToObject(o, "load_seconds", s->load_seconds[i]);
        cJSON_AddNumberToObject(o, "peak_bytes", (double)s->peak_bytes[i]);
    }
    uint32_t done = s->sampled.evaluations + s->sampled.skipped;
    cJSON_AddNumberToObject(root, "planned_evaluations", s->planned);
    cJSON_AddNumberToObject(root, "evaluations", s->sampled.evaluations);
    cJSON_AddNumberToObject(root, "evaluations_saved", s->planned - done);
    cJSON_AddNumberToObject(root, "cached_evaluations", s->sampled.skipped);
    cJSON_AddNumberToObject(root, "merged_evaluations", s->sampled.merged);
    cJSON_AddNumberToObject(root, "sampling_flops", s->sampled.flops);
    cJSON_AddNumberToObject(root, "decoding_flops", s->decode_flops);
    cJSON_AddNumberToObject(root, "resident_pairs", s->loading.resident);
    cJSON_AddNumberToObject(root, "streamed_bytes", (double)s->loading.bytes);
    cJSON_AddNumberToObject(root, "streaming_seconds", s->loading.seconds);
    cJSON_AddNumberToObject(root, "waited_for_device_seconds", s->loading.waited);
}
