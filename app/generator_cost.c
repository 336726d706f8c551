/* What a clip takes, and how it keeps to a budget of device memory (generator.h). */
#include "app/generator_private.h"

#include <stdlib.h>
#include <string.h>

/* Beside what dry runs count: buffers of transfers both ways; small tensors share buffers; temporaries of the
 * text encoder and the transformer come in pieces, of which the last is not full. */
static const uint64_t transfers = UINT64_C(64) << 20, shared = UINT64_C(12) << 20, piece = UINT64_C(32) << 20;

static uint64_t with_room(const struct df_cost *c)
{
    return c->peak_bytes + transfers + shared + (c->pool_bytes / 4 > piece ? c->pool_bytes / 4 : piece);
}

static int too_little(const char *stage, uint64_t least, uint64_t memory, const char *cure)
{
    return fv_fail(FV_EGPUMEM, "%s takes at least %.0f MB of device memory, there are %.0f MB (--memory, or what the "
                               "device has): %s", stage, 1e-6 * (double)least, 1e-6 * (double)memory, cure);
}

static int text_cost(struct generator *g, uint64_t memory, struct generator_cost *out)
{
    struct df_t5 *t = NULL;
    struct df_cost c;
    FV_TRY(df_t5_open(&t, NULL, g->m->text, &(struct df_encoder_opts){.dtype = g->o.dtype}));
    int rc = df_t5_cost(&c, t, 1, g->dit_info.text_tokens);
    df_t5_close(&t);
    FV_TRY(rc);
    out->parameters[STAGE_TEXT] = c.parameters;
    out->weight_bytes[STAGE_TEXT] = c.weight_bytes;
    out->peak_bytes[STAGE_TEXT] = with_room(&c);
    out->flops[STAGE_TEXT] = c.flops;
    if (memory && with_room(&c) > memory)
        return too_little("the text encoder", with_room(&c), memory, "--dtype bf16 takes half for weights");
    return 0;
}

/* Tokens of a step up to which layers of codes are kept as numbers by themselves: making the numbers of a
 * weight takes as long as some fifty tokens' products with it. */
enum { FEW_TOKENS = 2048 };

/* As numbers, where that is to be. out->sampling: what it takes where it is not. */
static int expand(struct generator *g, struct df_dit *d, const struct df_sampling *s, uint64_t memory,
                  struct generator_cost *out)
{
    struct df_cost with, *c = &out->sampling;
    bool always = g->o.expand == EXPAND_ALWAYS;
    if (!df_dit_info(d)->coded || g->o.int8 || g->o.expand == EXPAND_NEVER ||
        (!always && df_sampling_tokens(d, &s->size) > FEW_TOKENS))
        return 0;
    FV_TRY(df_sampling_cost(&with, d, s, 0, true));
    if (with.packed_bytes <= c->packed_bytes) /* so few rows that codes are multiplied as they are */
        return 0;
    if (memory && with_room(&with) > memory)
        return always ? too_little("sampling", with_room(&with), memory, "without --expand always it takes less") : 0;
    out->expand = true;
    out->expanded_bytes = with.packed_bytes - c->packed_bytes;
    *c = with;
    return 0;
}

/* All stay, or else as many pairs of blocks as there is room for; two places are the least. Only where all
 * stay are they kept in the order of kernels besides, so what else there is, is counted where they do not. */
static int keep_to(struct generator *g, struct df_dit *d, const struct df_sampling *s, uint64_t memory, struct generator_cost *out)
{
    struct df_cost *c = &out->sampling;
    uint64_t depth = df_dit_info(d)->depth;
    FV_TRY(df_sampling_cost(c, d, s, 0, false));
    FV_TRY(expand(g, d, s, memory, out));
    if (!memory || with_room(c) <= memory)
        return 0;
    if (depth > 2)
        FV_TRY(df_sampling_cost(c, d, s, 2 * c->pair_bytes, false));
    if (with_room(c) > memory)
        return too_little("sampling", with_room(c), memory,
                          "a smaller --size, fewer --frames, or --dtype f16 take less");
    uint64_t pair = c->pair_bytes, more = (memory - with_room(c)) / pair;
    out->weight_memory = (2 + (more < depth - 3 ? more : depth - 3)) * pair;
    return df_sampling_cost(c, d, s, out->weight_memory, false);
}

static int sampling_cost(struct generator *g, const struct generator_clip *clip, uint64_t memory, bool given,
                         struct generator_cost *out)
{
    struct df_dit *d = NULL;
    struct df_sampling s = generator_sampling(g, clip);
    float *mask = calloc(clip->size.frames, sizeof *mask);
    s.frame_mask = given ? mask : NULL;
    s.replace = given && clip->replace;
    int rc = mask ? df_dit_open(&d, NULL, g->m->dit, &(struct df_dit_opts){.dtype = g->o.dtype, .int8 = g->o.int8, .lora = g->o.lora,
                                                                       .lora_count = g->o.lora_count})
                  : fv_fail(FV_ENOMEM, "out of memory");
    if (rc >= 0)
        rc = keep_to(g, d, &s, memory, out);
    df_dit_close(&d);
    free(mask);
    const struct df_cost *c = &out->sampling;
    out->parameters[STAGE_SAMPLE] = g->dit_info.parameters;
    out->weight_bytes[STAGE_SAMPLE] = c->weight_bytes;
    out->peak_bytes[STAGE_SAMPLE] = with_room(c);
    out->flops[STAGE_SAMPLE] = c->flops;
    return rc;
}

uint64_t generator_vae_memory(uint64_t memory)
{
    return memory > transfers + shared ? memory - transfers - shared : memory ? 1 : 0;
}

static int decoding_cost(struct generator *g, const struct generator_clip *clip, uint64_t memory,
                         struct generator_cost *out)
{
    struct vae *v = NULL;
    const struct df_size *z = &clip->size;
    const struct vae_clip_size size = {z->height, z->width, z->frames, clip->frames};
    FV_TRY(vae_open(&v, NULL, g->m->vae, &(struct vae_opts){.dtype = g->o.dtype, .skip = {[VAE_ENCODE] = true}}));
    int rc = vae_plan_make(&out->plan, v, VAE_DECODE, z->height, z->width,
                           &(struct vae_plan_opts){.memory = generator_vae_memory(memory)});
    if (rc >= 0)
        rc = vae_plan_flops(&out->flops[STAGE_DECODE], v, VAE_DECODE, &out->plan, &size);
    if (rc >= 0) {
        vae_plan_text(out->plan_text, v, VAE_DECODE, &out->plan, z->height, z->width);
        out->parameters[STAGE_DECODE] = vae_info(v)->parameters;
        out->weight_bytes[STAGE_DECODE] = vae_info(v)->weight_bytes;
        out->peak_bytes[STAGE_DECODE] = out->plan.bytes + transfers + shared;
    }
    vae_close(&v);
    return rc;
}

int generator_plan(struct generator *g, const struct generator_clip *clip, uint64_t memory, bool given,
                   struct generator_cost *out)
{
    *out = (struct generator_cost){.weight_memory = 0};
    FV_TRY(text_cost(g, memory, out));
    FV_TRY(sampling_cost(g, clip, memory, given, out));
    FV_TRY(decoding_cost(g, clip, memory, out));
    if (memory && out->peak_bytes[STAGE_SAMPLE] + out->plan.bytes > memory)
        g->o.stay = false;
    if (g->dit && (out->weight_memory != g->weight_memory || out->expand != g->expand)) { /* of an earlier clip, which left it more or less */
        df_dit_close(&g->dit);
        g->loading_before = (struct df_loading){0};
    }
    g->memory = memory;
    g->weight_memory = out->weight_memory;
    g->expand = out->expand;
    return 0;
}
