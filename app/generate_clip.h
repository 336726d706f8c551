/* One clip of `fovea generate`: given pictures, rounds, previews, and a checkpoint that it goes on from.
 *
 *     struct generate_clip c = {.g = g, .clip = clip, .texts = texts, .rounds = 1, .write = write, .ud = ud};
 *     int rc = generate_clip_make(&c);
 *     ... c.latents ...
 *     generate_clip_finish(&c);
 */
#ifndef GENERATE_CLIP_H
#define GENERATE_CLIP_H

#include "app/generator.h"

struct generate_clip {
    struct generator *g;
    struct generator_clip clip;
    const struct generator_text *const *texts; /* of each round */
    const struct generator_text *without;      /* NULL: nothing */
    uint32_t rounds, repeat; /* repeat: latents that a round takes from the one before; 0 = usual */
    /* Pictures and videos with ; between, and where their frames go (df_parse_mask_strategy); NULL: none. */
    const char *references, *strategy;
    const char *analytic; /* file of df_analytic_read: what the sampling begins with at clip.start; NULL: noise */
    const char *extend; /* a video that comes first, whose end the clip goes on from */
    const char *checkpoint, *settings; /* settings: JSON that is the same when it is the same clip */
    uint64_t first_seed;               /* of the run's clips */
    const char *preview;
    uint32_t preview_every; /* steps */
    /* Frames of -1 .. 1 in order; NULL: latents only. */
    int (*write)(void *ud, const float *planes, uint32_t height, uint32_t width);
    void *ud;
    /* out */
    float *latents; /* [rounds][C][T][H][W]; NULL until they are there */
    uint32_t frames; /* of all rounds, with those of `extend` */
    uint32_t round;  /* the one being made */
    struct generate_clip_private *p;
};

/* Frames of a clip of so many rounds. FV_EINVALID: no frame is left to make in a round. */
int generate_clip_frames(const struct generate_clip *c, uint32_t *frames);
/* What a checkpoint says of its clip, as JSON (malloc'd), and the first seed of its run; 1 when there is no
 * such file, FV_EFORMAT. */
int generate_checkpoint_settings(char **settings, uint64_t *seed, const char *path);
/* Returns 0, FV_ECANCELLED (the text says how to go on), what its stages return. */
int generate_clip_make(struct generate_clip *c);
void generate_clip_finish(struct generate_clip *c);

#endif
