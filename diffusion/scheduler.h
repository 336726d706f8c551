/* What a scheduler remembers from step to step (scheduler.c), for who writes it down, and how often
 * it asks the model, without one. */
#ifndef DIFFUSION_SCHEDULER_H
#define DIFFUSION_SCHEDULER_H

#include "diffusion/diffusion.h"

/* The numbers, borrowed; returns how many. */
size_t df_scheduler_memory(const struct df_scheduler *s, float **out);
uint32_t df_evaluations(enum df_method method, uint32_t steps);

#endif
