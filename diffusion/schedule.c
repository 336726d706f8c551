/* Times of the steps of a sampling (diffusion.h). */
#include "diffusion/private.h"

#include <math.h>

/* In single precision and in the authors' order: a time that is one bit off turns the fastest
 * sinusoid that the model sees of it by 1e-4. */

/* Open-Sora 1.2: large and long clips hide more of the noise, so shares move towards it. */
static float ratio_of(const struct df_schedule *s)
{
    float space = sqrtf(s->pixel_height * s->pixel_width / (512.0f * 512.0f));
    uint32_t length = s->frames / 17 * 5; /* latents; what is less than a group counts as one */
    return space * sqrtf((float)(length ? length : 1));
}

static float moved(float share, float ratio)
{
    return ratio * share / (1 + (ratio - 1) * share);
}

void df_times(const struct df_schedule *s, float *out)
{
    float ratio = s->shift > 0 ? s->shift : s->transform ? ratio_of(s) : 1;
    double start = s->start > 0 && s->start < 1 ? (double)moved(s->start, 1 / ratio) : 1;
    for (uint32_t i = 0; i < s->steps; i++) {
        double share = start * (1 - (double)i / s->steps);
        if (s->least > 0 && s->steps > 1)
            share = start + ((double)s->least - start) * i / (s->steps - 1);
        double time = s->whole ? nearbyint(share * DF_TIME) : share * DF_TIME;
        out[i] = ratio == 1 ? (float)time : moved((float)time / DF_TIME, ratio) * DF_TIME;
    }
}
