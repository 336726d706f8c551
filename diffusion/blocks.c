/* Weights of blocks beyond what the device may hold: concurrent inference with dynamic loading (Kim et
 * al., "On-device Sora", 2025, section 3.3). As many pairs stay as the budget allows, a number that is
 * fixed when the model is opened; two places more take the others in turn. While the device works on
 * one, the next is read from the file. */
#include "diffusion/private.h"
#include "vk/base/thread.h"

enum { NOTHING = UINT32_MAX };

int df_plan_pairs(struct df_dit *d, uint64_t memory)
{
    uint64_t pair = 0, all = 0;
    d->resident = d->info.depth;
    d->slot[0].number = d->slot[1].number = NOTHING;
    if (!memory)
        return 0;
    for (uint32_t n = 0; n < d->info.depth; n++) {
        pair = d->plan[n].bytes > pair ? d->plan[n].bytes : pair;
        all += d->plan[n].bytes;
    }
    d->loading.pair_bytes = pair;
    if (all <= memory)
        return 0;
    if (2 * pair > memory)
        return fv_fail(FV_EGPUMEM,
                       "%s: two pairs of blocks take %.0f MB, more than the %.0f MB that weights may take",
                       d->path, 2e-6 * (double)pair, 1e-6 * (double)memory);
    d->resident = (uint32_t)(memory / pair - 2);
    for (uint32_t n = d->resident; n < d->info.depth; n++)
        d->info.parameters += d->plan[n].parameters;
    d->info.weight_bytes = 2 * pair;
    return 0;
}

static int load_slot(struct df_dit *d, struct df_slot *s, uint32_t number)
{
    struct nn_wants *w = NULL;
    const struct nn_weights_opts o = {.dtype = d->info.dtype, .room = d->loading.pair_bytes,
                                      .lora = d->lora, .lora_count = d->lora_count};
    double start = fv_now();
    s->number = NOTHING;
    FV_TRY(nn_wants_create(&w));
    df_want_pair(w, d, &s->pair, number);
    int rc = s->weights ? nn_weights_refill(s->weights, w, d->file, &o)
                        : nn_weights_load(&s->weights, d->dev, w, d->file, &o);
    nn_wants_destroy(&w);
    if (rc < 0)
        return rc;
    s->number = number;
    d->loading.pairs++;
    d->loading.bytes += d->plan[number].bytes;
    d->loading.seconds += fv_now() - start;
    return 0;
}

int df_get_pair(struct df_dit *d, uint32_t number, const struct df_pair **out)
{
    if (number < d->resident) {
        *out = &d->pair[number];
        return 0;
    }
    struct df_slot *s = &d->slot[d->slot[0].number == number ? 0 : 1];
    if (s->number != number) {
        s = &d->slot[d->next_slot];
        d->next_slot = !d->next_slot;
        FV_TRY(load_slot(d, s, number));
    }
    *out = &s->pair;
    return 0;
}

void df_drop_pairs(struct df_dit *d)
{
    for (int k = 0; k < 2; k++)
        nn_weights_destroy(&d->slot[k].weights);
}
