/* Private to gs/: what queen.c and queen_gpu.c share. */
#ifndef GS_QUEEN_PRIVATE_H
#define GS_QUEEN_PRIVATE_H

#include "gs/gs.h"

/* Whether a frame can follow a scene of `before` Gaussians: FV_EINVALID says what does not fit.
 * Until this holds, nothing of a frame but its sizes may be relied on. */
int gs_queen_check_frame(const struct gs_queen_frame *f, size_t before, int sh_degree);
int gs_queen_check_decoder(const struct gs_queen_decoder *d, uint32_t latents, uint32_t width);
/* "f_dc" ..., as QUEEN calls them. */
const char *gs_queen_attribute_name(enum gs_queen_attribute a);
/* Latents of a change's decoder; 0 without one. */
uint32_t gs_queen_latent_width(const struct gs_queen_change *c);
/* Whether the rows stay what they are. */
bool gs_queen_same_rows(const struct gs_queen_frame *f, size_t before);
/* Where an attribute stands: its first float, and floats from one Gaussian to the next. */
float *gs_queen_place(const struct gs_scene *s, enum gs_queen_attribute a, size_t *stride);

#endif
