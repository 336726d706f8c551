/* Frames that are given (diffusion.h): mask strategies of Open-Sora 1.2 done to a sample's noise,
 * and long clips in rounds. */
#include "diffusion/diffusion.h"

#include <string.h>

/* The nearest multiple of `align` from which on there is a whole group, as the authors round. */
static int64_t aligned(int64_t at, uint32_t align, uint32_t frames)
{
    if (!align)
        return at;
    int64_t group = at / align;
    if (2 * (at % align) > align && group + 1 < frames / align)
        group++;
    return group * align;
}

/* A place in so many frames; negative ones count from the end. */
static int place(int64_t *out, int at, uint32_t align, uint32_t frames, const char *what)
{
    int64_t from = at < 0 ? (int64_t)frames + at : at;
    if (from < 0 || from >= frames)
        return fv_fail(FV_EINVALID, "mask strategy: latent %d of %s, which has %u", at, what,
                       frames);
    *out = aligned(from, align, frames);
    return 0;
}

int df_give_frames(const struct df_mask_rule *rules, size_t count, uint32_t round, uint32_t align,
                   const struct df_reference *references, size_t reference_count,
                   const struct df_size *size, uint32_t channels, float *z, float *mask,
                   size_t *used)
{
    size_t plane = (size_t)size->height * size->width;
    *used = 0;
    for (uint32_t t = 0; t < size->frames; t++)
        mask[t] = 1;
    for (size_t i = 0; i < count; i++) {
        const struct df_mask_rule *r = &rules[i];
        int64_t from = 0, to = 0, length = r->length;
        if (r->round < 0 || (uint32_t)r->round != round)
            continue;
        int64_t number = r->reference < 0 ? (int64_t)reference_count + r->reference : r->reference;
        if (number < 0 || (size_t)number >= reference_count)
            return fv_fail(FV_EINVALID, "mask strategy: reference %d, there are %zu", r->reference,
                           reference_count);
        const struct df_reference *ref = &references[number];
        FV_TRY(place(&from, r->from, align, ref->frames, "the reference"));
        FV_TRY(place(&to, r->to, align, size->frames, "the clip"));
        if (length < 1)
            return fv_fail(FV_EINVALID, "mask strategy: %d latents", r->length);
        if (!(r->edit >= 0 && r->edit <= 1))
            return fv_fail(FV_EINVALID, "mask strategy: edit ratio %g, expected 0 to 1", r->edit);
        length = length > ref->frames - from ? ref->frames - from : length;
        length = length > size->frames - to ? size->frames - to : length;
        for (uint32_t c = 0; c < channels; c++)
            memcpy(z + (c * (size_t)size->frames + (size_t)to) * plane,
                   ref->latents + (c * (size_t)ref->frames + (size_t)from) * plane,
                   (size_t)length * plane * sizeof *z);
        for (int64_t t = to; t < to + length; t++)
            mask[t] = (float)r->edit;
        ++*used;
    }
    return 0;
}

int df_round_of(struct df_round *out, const struct df_packing *p, uint32_t frames, uint32_t latents,
                uint32_t round, uint32_t reference, double edit)
{
    uint32_t each = p->group ? (p->group + p->time - 1) / p->time : 1;
    if (!latents || latents % each)
        return fv_fail(FV_EINVALID, "%u latents are to be repeated: multiples of %u are possible",
                       latents, each);
    uint64_t repeated = p->group ? (uint64_t)latents / each * p->group
                                 : 1 + (latents - UINT64_C(1)) * p->time;
    if (repeated >= frames)
        return fv_fail(FV_EINVALID, "%llu of %u frames are to be repeated: none is left to make",
                       (unsigned long long)repeated, frames);
    uint32_t drop = (uint32_t)repeated;
    *out = (struct df_round){
        .encode = p->group ? frames : drop,
        .rule = {(int)round, (int)reference, p->group ? -(int)latents : 0, 0, (int)latents, edit},
        .drop = drop};
    return 0;
}
