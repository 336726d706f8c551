/* Text to video: prompts to states, noise to latents, latents to frames. The device holds what one
 * stage needs: the text encoder a layer at a time, then the transformer, then the autoencoder.
 *
 *     struct generator *g;
 *     FV_TRY(generator_open(&g, &model, &(struct generator_opts){.dtype = NN_F16}));
 *     generator_use(g, dev);
 *     FV_TRY(generator_caption(g, &caption, "a red ball", &scores));
 *     FV_TRY(generator_encode(g, (const char *const[]){caption}, 1, &text));
 *     FV_TRY(generator_size(g, &clip));
 *     generator_noise(g, &clip, 0, z);
 *     FV_TRY(generator_sample(g, &clip, &(struct generator_run){.text = &text}, z));
 *     FV_TRY(generator_decode(g, &clip, z, write, ud));
 *     generator_close(&g);
 */
#ifndef GENERATOR_H
#define GENERATOR_H

#include "app/model_in.h"
#include "vae/vae.h"

/* Whether layers of codes are kept as 16-bit numbers while a clip is sampled (df_dit_opts.expand): where
 * steps have so few tokens that making them anew costs time, and there is room; or in any case; or not. */
enum generator_expand { EXPAND_AUTO, EXPAND_ALWAYS, EXPAND_NEVER };

struct generator_opts {
    enum nn_dtype dtype; /* storage of weights and activations on the device */
    bool int8;           /* as of df_dit_opts */
    enum generator_expand expand;
    struct nn_lora *const *lora;
    size_t lora_count;
    bool stay;           /* between clips models stay on the device */
    bool padding;        /* generator_encode gives states of padding too; nothing reads them */
    /* What is going on: "text" in layers, "encoding" in frames, "sampling" in steps, "decoding" in latents;
     * non-zero stops. */
    fv_progress_fn on_progress;
    nn_trace_fn on_trace; /* every named value of the text encoder and the transformer; slower */
    void *ud;
};

/* All that a clip depends on but its captions, the model and the device's arithmetic. */
struct generator_clip {
    uint32_t width, height, frames;
    float fps;
    uint64_t seed;
    uint32_t steps;
    float guidance;
    bool transform;
    float shift, start; /* see df_schedule */
    enum df_method method;
    uint32_t merge_steps;
    struct df_leap leap;
    struct df_cache cache;
    bool replace, joint; /* of given frames: see df_sampling */
    float renorm;
    struct df_size size; /* of the latents: generator_size */
};

/* A caption as the transformer takes it. */
struct generator_text {
    uint32_t words;  /* with its end */
    size_t left_out; /* words there was no room for */
    float *states;   /* [text_tokens][text_width] */
    bool *mask;      /* [text_tokens] */
    int32_t *ids;    /* [text_tokens] */
};

enum generator_stage { STAGE_TEXT, STAGE_ENCODE, STAGE_SAMPLE, STAGE_DECODE, STAGES };
extern const char *const generator_stage_names[STAGES];

/* What was done since the generator was opened. */
struct generator_stats {
    double seconds[STAGES], load_seconds[STAGES];
    uint64_t peak_bytes[STAGES]; /* of device memory */
    struct df_sampled sampled;   /* sums over clips */
    uint32_t planned;            /* evaluations without a leap */
    struct df_loading loading;
    double decode_flops;
};

struct generator;

/* Looks at the files of all parts, and whether they are of one model; nothing is loaded. m is borrowed.
 * Returns 0, FV_EIO, FV_EFORMAT, FV_EUNSUPPORTED, FV_EINVALID (parts that do not fit). */
int generator_open(struct generator **out, const struct model_in *m, const struct generator_opts *o);
void generator_close(struct generator **g);
/* For another clip: other callbacks, stats from zero; what is on the device stays. o is of the same storage and
 * low-rank changes. */
void generator_renew(struct generator *g, const struct generator_opts *o);
/* What the stages run on; borrowed. */
void generator_use(struct generator *g, struct vk_device *dev);
const struct df_dit_info *generator_dit(const struct generator *g);
const struct df_t5_info *generator_t5(const struct generator *g);
const struct vae_info *generator_vae(const struct generator *g);
struct df_packing generator_packing(const struct generator *g);
const struct generator_stats *generator_stats(const struct generator *g);

/* A prompt with its scores, cleaned as the model's captions were; malloc'd. FV_EINVALID: nothing is left
 * of it, it is too long, not UTF-8. */
int generator_caption(const struct generator *g, char **out, const char *prompt, const struct df_scores *s);
/* States of captions, one after the other: each depends on its own text alone, to the bit. Filled in
 * order; what was not reached stays zero. */
int generator_encode(struct generator *g, const char *const *captions, size_t count,
                     struct generator_text *out);
void generator_text_finish(struct generator_text *t);

/* Fills clip->size. FV_EINVALID: the model cannot make this. */
int generator_size(const struct generator *g, struct generator_clip *clip);
/* What a clip takes, counted by dry runs: no device, no weights are needed. Peaks are no less than what is
 * taken, and at most a quarter of temporaries and 120 MB more. */
struct generator_cost {
    struct df_cost sampling;
    struct vae_plan plan; /* of decoding */
    char plan_text[VAE_TEXT];
    uint64_t parameters[STAGES], weight_bytes[STAGES], peak_bytes[STAGES]; /* on the device, at once */
    double flops[STAGES]; /* of one caption; of one clip of one round */
    uint64_t weight_memory; /* of the transformer's blocks; 0 = all stay */
    bool expand;            /* as of df_dit_opts */
    uint64_t expanded_bytes; /* what that takes */
};
/* How a clip keeps to `memory` bytes of the device (0 = no bound): blocks of the transformer come from the
 * file where they do not fit, the autoencoder takes smaller windows and tiles. What is made from then on does
 * so. given: with pictures that are given. Returns 0, FV_EGPUMEM: what the least would be, of which stage. */
int generator_plan(struct generator *g, const struct generator_clip *clip, uint64_t memory, bool given,
                   struct generator_cost *out);
/* Numbers of a clip's latents [C][T][H][W]. */
size_t generator_count(const struct generator *g, const struct generator_clip *clip);
/* Its times, of which generator_size knows the pixels. */
struct df_schedule generator_schedule(const struct generator_clip *clip);
/* The noise a seed stands for, the same on every device. Rounds of one clip have their own. */
void generator_noise(const struct generator *g, const struct generator_clip *clip, uint32_t round, float *z);

/* Frames [3][height][width] of -1 .. 1, of the size generator_picture tells, to the model's latents:
 * read fills `count` frames from `first` on and returns how many there were, in order.
 * *latents [C][T][H][W] is malloc'd, *frames its T. */
int generator_reference(struct generator *g, const struct generator_clip *clip,
                        int (*read)(void *ud, uint32_t first, uint32_t count, float *planes), void *ud,
                        float **latents, uint32_t *frames);

struct generator_run {
    const struct generator_text *text, *without; /* without NULL: led away from nothing, as trained */
    const float *frame_mask;                     /* [T], as df_sampling's; NULL: all are made */
    uint32_t round;                              /* for the noise of frames */
    const void *state;                           /* of df_sampler_save: goes on from there */
    size_t state_bytes;
    /* Behind each step: rc is its result, 0 or 1, or why it failed. A failure ends the sampling. */
    int (*on_step)(void *ud, struct df_sampler *k, int rc);
    void *ud;
};
/* Noise and given frames in, the model's latents out. */
int generator_sample(struct generator *g, const struct generator_clip *clip, const struct generator_run *r,
                     float *z);
/* Latents to frames [3][height][width] of -1 .. 1, clip->frames of them at most, in order. */
int generator_decode(struct generator *g, const struct generator_clip *clip, const float *z,
                     int (*write)(void *ud, const float *planes, uint32_t height, uint32_t width), void *ud);
/* The same within a sampling, whose transformer stays on the device. */
int generator_preview(struct generator *g, const struct generator_clip *clip, const float *z,
                      int (*write)(void *ud, const float *planes, uint32_t height, uint32_t width), void *ud);
/* Latents as the autoencoder itself has them, frames first: [count][C][H][W] from `first` on. Returns how
 * many there are. */
uint32_t generator_latents(const struct generator *g, const struct generator_clip *clip, const float *z,
                           uint32_t first, uint32_t count, float *out);
/* Of pictures that come out: whole latents. */
void generator_picture(const struct generator *g, const struct generator_clip *clip, uint32_t *width,
                       uint32_t *height);

#endif
