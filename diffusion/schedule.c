/* Times of the steps of a sampling (diffusion.h). */
#include "diffusion/private.h"

#include <math.h>

/* Open-Sora 1.2: large and long clips hide more of the noise, so shares move towards it. */
static double ratio_of(const struct df_schedule *s)
{
    double space = sqrt((double)s->pixel_height * (double)s->pixel_width / (512.0 * 512.0));
    double length =
        s->frames / 17 * 5; /* latents; a picture and what is less than a group count as one */
    return space * sqrt(fmax(length, 1));
}

static double moved(double share, double ratio)
{
    return ratio * share / (1 + (ratio - 1) * share);
}

void df_times(const struct df_schedule *s, float *out)
{
    double ratio = s->shift > 0 ? (double)s->shift : s->transform ? ratio_of(s) : 1;
    double start =
        s->start > 0 && s->start < 1 ? moved((double)s->start, 1 / ratio) : 1; /* moved back */
    for (uint32_t i = 0; i < s->steps; i++) {
        double share = start * (1 - (double)i / s->steps);
        if (s->least > 0 && s->steps > 1)
            share = start + ((double)s->least - start) * i / (s->steps - 1);
        double time = s->whole ? nearbyint(share * DF_TIME) : share * DF_TIME;
        out[i] = (float)(ratio == 1 ? time : DF_TIME * moved(time / DF_TIME, ratio));
    }
}
