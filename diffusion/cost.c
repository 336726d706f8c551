/* What a sampling costs before it is begun (diffusion.h), from dry runs. */
#include "diffusion/private.h"
#include "diffusion/scheduler.h"

/* Bytes of weights on the device within a budget, as df_dit_open lays them out; *streamed: not all
 * stay. */
static int weights(const struct df_dit *d, uint64_t pair, uint64_t all, uint64_t rest, uint64_t memory,
                   uint64_t *bytes, bool *streamed)
{
    *streamed = memory && all > memory;
    if (*streamed && 2 * pair > memory)
        return fv_fail(
            FV_EGPUMEM,
            "two pairs of blocks take %.0f MB, more than the %.0f MB that weights may take",
            1e-6 * 2 * (double)pair, 1e-6 * (double)memory);
    *bytes = rest + (*streamed ? 2 * pair : all);
    for (uint32_t n = 0; *streamed && n < memory / pair - 2; n++)
        *bytes += d->plan[n].bytes;
    return 0;
}

uint64_t df_sampling_tokens(const struct df_dit *d, const struct df_size *size)
{
    const uint32_t *patch = d->info.patch;
    return UINT64_C(2) * size->batch * size->frames * ((size->height + patch[1] - 1) / patch[1]) *
           ((size->width + patch[2] - 1) / patch[2]);
}

int df_sampling_cost(struct df_cost *out, struct df_dit *d, const struct df_sampling *s, uint64_t weight_memory,
                     bool expand)
{
    struct df_size size = s->size;
    struct df_dry plain, merged = {0};
    uint64_t pair, pairs, rest;
    bool streamed;
    uint32_t evaluations = df_evaluations(s->method, s->schedule.steps);
    uint32_t merges = s->merge_steps < evaluations ? s->merge_steps : evaluations;
    const struct df_run_opts o = {.masked = s->frame_mask && !s->replace,
                                  .time_count = s->schedule.steps,
                                  .cache = s->cache,
                                  .on_progress = s->on_progress};
    *out = (struct df_cost){.parameters = d->info.parameters, .evaluations = evaluations};
    size.batch *= 2;
    FV_TRY(df_weight_bytes(d, &pair, &pairs, &rest));
    FV_TRY(weights(d, pair, pairs, rest, weight_memory, &out->weight_bytes, &streamed));
    FV_TRY(df_run_dry(&plain, d, &size, s->text.tokens, &o, streamed, expand, false));
    if (merges)
        FV_TRY(df_run_dry(&merged, d, &size, s->text.tokens, &o, streamed, expand, true));
    out->pair_bytes = pair;
    out->caption_flops = plain.captions.flops;
    out->step_flops = plain.step.flops;
    out->merged_flops = merged.step.flops;
    out->cached_flops = plain.cached.flops;
    out->flops = plain.captions.flops + (evaluations - merges) * plain.step.flops +
                 merges * merged.step.flops;
    out->bytes = plain.captions.bytes + (evaluations - merges) * plain.step.bytes +
                 merges * merged.step.bytes;
    out->dispatches = plain.step.dispatches;
    out->kept_bytes = plain.kept_bytes;
    out->packed_bytes = plain.captions.packed_bytes + plain.step.packed_bytes;
    /* the captions' recorder is gone before the steps' is made; a pool of both kinds of steps is
     * the larger's */
    uint64_t step = plain.step.peak_bytes > merged.step.peak_bytes ? plain.step.peak_bytes
                                                                   : merged.step.peak_bytes;
    out->pool_bytes = step > plain.captions.peak_bytes ? step : plain.captions.peak_bytes;
    out->peak_bytes = out->weight_bytes + out->kept_bytes + out->packed_bytes + out->pool_bytes;
    return 0;
}
