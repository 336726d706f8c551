/* Times of the steps of a sampling (diffusion.h). */
#include "diffusion/private.h"

#include <math.h>

/* Open-Sora 1.2: large and long clips hide more of the noise, so times move towards it. */
static double moved(const struct df_schedule *s, double time)
{
    double space = sqrt((double)s->pixel_height * (double)s->pixel_width / (512.0 * 512.0));
    double length = s->frames / 17 * 5; /* latents; a picture and what is less than a group count as one */
    double ratio = space * sqrt(fmax(length, 1)), t = time / DF_TIME;
    return DF_TIME * ratio * t / (1 + (ratio - 1) * t);
}

void df_times(const struct df_schedule *s, float *out)
{
    for (uint32_t i = 0; i < s->steps; i++) {
        double time = (1 - (double)i / s->steps) * DF_TIME;
        time = s->whole ? nearbyint(time) : time;
        out[i] = (float)(s->transform ? moved(s, time) : time);
    }
}
