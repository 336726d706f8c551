/* Mean and variance of latents in files, as generate --analytic-init takes them. */
#include "app/latents.h"
#include "diffusion/diffusion.h"

#include <stdlib.h>
#include <string.h>

/* One clip as the diffusion model has it -> out [C][T][h][w]. */
static void scale_to(float *out, const struct latents *l, const struct vae_info *info)
{
    size_t plane = (size_t)l->height * l->width;
    for (size_t t = 0; t < l->frames; t++)
        for (size_t c = 0; c < l->channels; c++)
            for (size_t i = 0; i < plane; i++)
                out[(c * l->frames + t) * plane + i] =
                    (l->data[(t * l->channels + c) * plane + i] - info->shift[c]) * info->scale[c];
}

static int add(float **all, size_t number, size_t files, struct latents *first, const char *path,
               const struct vae_info *info, bool scaled)
{
    struct latents l;
    int rc = latents_load(&l, path, info, scaled);
    size_t n = (size_t)l.channels * l.frames * l.height * l.width;
    if (rc >= 0 && !number) {
        *all = calloc(files, n * sizeof **all);
        rc = *all ? 0 : fv_fail(FV_ENOMEM, "out of memory");
        *first = l;
        first->data = NULL;
    }
    if (rc >= 0 &&
        (l.frames != first->frames || l.height != first->height || l.width != first->width))
        rc = fv_fail(FV_EINVALID, "%s: %u latents of %ux%u, the first file has %u of %ux%u", path,
                     l.frames, l.width, l.height, first->frames, first->width, first->height);
    if (rc >= 0)
        scale_to(*all + number * n, &l, info);
    latents_finish(&l);
    return rc;
}

int latents_moments(const char *const *paths, size_t count, const struct vae_info *info,
                    bool scaled, const char *out)
{
    struct latents first = {0};
    struct df_analytic a = {0};
    float *all = NULL;
    int rc = 0;
    for (size_t i = 0; i < count && rc >= 0; i++)
        rc = add(&all, i, count, &first, paths[i], info, scaled);
    const uint64_t shape[5] = {1, first.channels, first.frames, first.height, first.width};
    size_t n = (size_t)(shape[1] * shape[2] * shape[3] * shape[4]);
    if (rc >= 0)
        rc = df_analytic_estimate(&a, all, count, n);
    if (rc >= 0)
        rc = df_analytic_write(&a, out, 5, shape);
    df_analytic_finish(&a);
    free(all);
    return rc;
}
