/* Latents in files: a safetensors file with one tensor "latents" [1, C, T, h, w] and where it comes
 * from; reading also takes [C, T, h, w], [T, C, h, w], [C, h, w] and .npy. */
#ifndef LATENTS_H
#define LATENTS_H

#include "vae/vae.h"

struct latents {
    uint32_t channels, frames, height, width;
    float *data; /* [T][C][h][w] */
    /* metadata; zeros and "" when the file does not say */
    char model[32];
    uint32_t source_width, source_height, source_frames, fps_num, fps_den;
    bool scaled; /* as a diffusion model has them: (z - shift) * scale */
};

/* Appends what an encoder gives (a vae_io.write's part). */
int latents_append(struct latents *l, const struct vae_part *p);
int latents_save(const struct latents *l, const char *path, const struct vae_info *info);
/* For a model: the file's channels and name are checked against it, scaled latents are brought
 * back. Returns 0, FV_EIO, FV_EFORMAT, FV_EINVALID (another model's). */
int latents_load(struct latents *l, const char *path, const struct vae_info *info, bool scaled);
void latents_finish(struct latents *l);
/* latents_moments.c: mean and variance of clips of one size, as a diffusion model has them, to a
 * file. Returns 0, FV_EIO, FV_EFORMAT, FV_EINVALID (of another model, of different sizes). */
int latents_moments(const char *const *paths, size_t count, const struct vae_info *info,
                    bool scaled, const char *out);

#endif
