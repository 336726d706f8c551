/* A sampling between two steps (sample.c), and how it is written down (sample_state.c). */
#ifndef DIFFUSION_SAMPLE_H
#define DIFFUSION_SAMPLE_H

#include "diffusion/scheduler.h"

/* What a step starts from and leaves behind: all that is written down. */
struct df_place {
    uint32_t step;     /* the next one */
    uint32_t ended;    /* 1: none is left */
    uint32_t patience; /* of the leap */
    double best;       /* cosine between the velocities of two steps so far */
    struct df_sampled done;
};

struct df_sampler {
    struct df_dit *d;
    struct df_sampling s;
    struct df_run *run;
    size_t n, plane, out_n; /* numbers of a sample, of a frame of a channel, of a sample's result */
    size_t all;             /* of all samples */
    struct df_scheduler *way;
    float *times;         /* of the way's places */
    uint32_t evaluations; /* until the end */
    size_t parts; /* 2 with `joint`: kept frames go a way of their own, made from noise, as the half
                             without sees them; else 1 */
    struct df_place at;
    float *z;     /* [parts][all]: latents as they are before the next step */
    float *last;  /* the step before's velocity; nothing before the first */
    bool *noised; /* [batch][T]: frames that have had their noise */

    /* of one step */
    float *v;            /* guided, and with `joint` without the caption */
    float *input;        /* z, with noise in the frames that begin to change */
    float *z2, *v2;      /* both halves: with the caption, without */
    float *noise;        /* of masked frames */
    float *made;         /* [2][batch][T]: 1, kept: 0 */
    bool *active, *kept; /* [batch][T], kept of both halves */
};

#endif
