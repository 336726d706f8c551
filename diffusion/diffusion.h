/* Latent video diffusion: prompts, tokenizers and text encoders (T5, CLIP), the STDiT3 transformer of
 * Open-Sora 1.2 and its rectified-flow sampler.
 *
 * Zheng et al., "Open-Sora: Democratizing Efficient Video Production for All" (2024), code of v1.2;
 * Liu et al., "Flow Straight and Fast" (ICLR 2023) for the flow. Checkpoints keep their authors'
 * tensor names; config.json beside them says what names do not.
 *
 *     struct df_dit *dit;
 *     FV_TRY(df_dit_open(&dit, dev, "OpenSora-STDiT-v3/", NULL));
 *     FV_TRY(df_sample(dit, &(struct df_sampling){.size = {...}, .text = {...}, .guidance = 7,
 *                                                 .schedule = {.steps = 30, .transform = true, ...}},
 *                      z, NULL));
 *     df_dit_close(&dit);
 *
 * Latents are normalised as the model was trained; host arrays are [B][C][T][H][W] in f32. */
#ifndef DIFFUSION_DIFFUSION_H
#define DIFFUSION_DIFFUSION_H

#include "vk/nn/nn.h"

/* ---- text: prompts ----------------------------------------------------------------------- */

/* A prompt as Open-Sora's text encoder was trained on it: cleaned twice (docs/TEXT.md); `once` for
 * one round. *out is malloc'd. Returns 0, FV_EINVALID (not UTF-8), FV_ENOMEM. */
int df_clean_caption(char **out, const char *text, bool once);
/* What is done to those of models without cleaning: lower case, no white space around. */
int df_plain_caption(char **out, const char *text);

/* What stands behind a prompt, unless it speaks of it; NAN and NULL: nothing. */
struct df_scores {
    double aesthetic, motion;
    const char *camera;
};
int df_append_scores(char **out, const char *prompt, const struct df_scores *s);

/* "|0|a beach|2|a city": what is shown from which round on. Without such marks one part, from 0. */
struct df_prompt_part {
    char *text;
    uint32_t from;
};
int df_split_prompt(struct df_prompt_part **out, size_t *count, const char *prompt);
void df_prompt_parts_free(struct df_prompt_part *parts, size_t count);
/* The prompt of a round, as it stands there. */
int df_prompt_of_round(char **out, const char *prompt, uint32_t round);
/* A prompt and the JSON that may end it: {"reference_path": ..., "mask_strategy": ...}; NULL where
 * it has none. All malloc'd. FV_EINVALID: other JSON. */
int df_prompt_json(const char *prompt, char **text, char **reference, char **strategy);

/* Which frames of a reference go where: "round,reference,from,to,length,edit;..." */
struct df_mask_rule {
    int round, reference, from, to, length;
    double edit;
};
int df_parse_mask_strategy(struct df_mask_rule **out, size_t *count, const char *text);
/* Frames of so many latents of Open-Sora's VAE; -1: of no whole groups. */
int df_latents_to_frames(int latents);

/* ---- text: words ------------------------------------------------------------------------- */

/* Texts as numbers of words: SentencePiece models (T5: spiece.model, tokenizer.json) and CLIP's
 * byte pairs (merges.txt and vocab.json, bpe_simple_vocab_16e6.txt.gz, tokenizer.json). All texts
 * are UTF-8; what is none is FV_EINVALID. docs/TEXT.md. */
struct df_tokenizer;

struct df_tokenizer_info {
    uint32_t words;   /* numbers are less than this */
    int32_t begin;    /* stands before every text; -1: nothing does */
    int32_t end, pad; /* behind it; behind that, to a fixed length */
};
/* path: such a file, or a folder that holds one. Returns 0, FV_EIO, FV_EFORMAT, FV_EUNSUPPORTED. */
int df_tokenizer_open(struct df_tokenizer **out, const char *path);
void df_tokenizer_close(struct df_tokenizer **t);
const struct df_tokenizer_info *df_tokenizer_info(const struct df_tokenizer *t);
/* The words of a text without begin and end -> *ids, malloc'd. Words that are special (</s>,
 * <extra_id_0>) are recognised if `special`, as transformers does in tokenizers that were loaded by
 * name, else are text as any. */
int df_tokenizer_words(const struct df_tokenizer *t, const char *text, bool special, int32_t **ids,
                       size_t *count);
/* Exactly n: begin, as many words as there is room for, end, padding. mask (NULL: not wanted) tells
 * all but the padding. *left_out (NULL too): words there was no room for. */
int df_tokenizer_encode(const struct df_tokenizer *t, const char *text, bool special, uint32_t n,
                        int32_t *ids, bool *mask, size_t *left_out);

/* ---- text: encoders ---------------------------------------------------------------------- */

struct df_encoder_opts {
    enum nn_dtype dtype; /* of matrices on the device: NN_F32 (0 too), NN_F16, NN_BF16; what they work
                            on is f32, as f16 overflows in the largest models */
};
struct df_encoder_run {
    uint32_t batch, tokens;
    const int32_t *ids; /* [batch][tokens] */
    const bool *mask;   /* [batch][tokens]: which are of the text; NULL: all, as CLIP was trained */
    nn_trace_fn on_trace;
    fv_progress_fn on_progress; /* of T5, in layers */
    void *ud;
};

/* T5: Raffel et al., "Exploring the Limits of Transfer Learning with a Unified Text-to-Text
 * Transformer" (JMLR 2020), in its 1.1 form (gated GELU). Weights under the names of transformers
 * or of GGUF files, in one file or several. They stay in the file: a layer at a time comes to the
 * device, into the memory of the one before, so the device holds one layer however large the model.
 */
struct df_t5;

struct df_t5_info {
    uint32_t layers, width, heads, head, ff_width, words;
    uint64_t parameters;
    uint64_t layer_bytes; /* on the device */
};
/* dev NULL: for information and df_t5_cost; then config.json alone is enough. Returns 0, FV_EIO,
 * FV_EFORMAT, FV_EUNSUPPORTED. o may be NULL. */
int df_t5_open(struct df_t5 **out, struct vk_device *dev, const char *path,
               const struct df_encoder_opts *o);
void df_t5_close(struct df_t5 **t);
const struct df_t5_info *df_t5_info(const struct df_t5 *t);
/* -> out [batch][tokens][width]; padding gets values too. Returns 0, FV_EINVALID (no such word),
 * FV_EFORMAT (a layer's tensors), FV_EGPUMEM, FV_EDEVICE, FV_ECANCELLED. */
int df_t5_encode(struct df_t5 *t, const struct df_encoder_run *run, float *out);

/* CLIP, under the names of transformers; config.json beside the weights tells heads and activation.
 */
struct df_clip;

struct df_clip_info {
    uint32_t layers, width, heads, ff_width, words, tokens; /* tokens: most of a text */
    uint64_t parameters, weight_bytes;
};
/* dev NULL: for information. Returns 0, FV_EIO, FV_EFORMAT, FV_EUNSUPPORTED, FV_EGPUMEM. o may be
 * NULL. */
int df_clip_open(struct df_clip **out, struct vk_device *dev, const char *path,
                 const struct df_encoder_opts *o);
void df_clip_close(struct df_clip **t);
const struct df_clip_info *df_clip_info(const struct df_clip *t);
/* -> out [batch][tokens][width] behind the last norm, pooled [batch][width]: its row at the end of
 * each text; NULL: not wanted. Returns 0, FV_EINVALID (no such word, too many), FV_EGPUMEM,
 * FV_EDEVICE. */
int df_clip_encode(struct df_clip *t, const struct df_encoder_run *run, float *out, float *pooled);

/* ---- the transformer ----------------------------------------------------------------------- */

struct df_dit;

struct df_dit_info {
    uint32_t depth;              /* spatial blocks, and as many temporal ones */
    uint32_t width, heads;       /* features of a token; of a head: width / heads */
    uint32_t mlp_width;
    uint32_t channels;           /* of a latent */
    uint32_t out_channels;       /* those and, where the model predicts it, as many of variance */
    uint32_t patch[3];           /* T, H, W */
    uint32_t text_width;         /* of the text encoder's tokens */
    uint32_t text_tokens;        /* most of a caption */
    uint32_t input_size;         /* side of the pictures that positions are scaled for */
    enum nn_dtype dtype;         /* of matrices and activations */
    uint64_t parameters, weight_bytes;
    bool coded; /* layers of blocks are of codes of 4 or 8 bits, if not all */
};

struct nn_lora;
struct df_dit_opts {
    enum nn_dtype dtype;    /* storage: NN_F32 (0 too), NN_F16, NN_BF16 */
    uint64_t weight_memory; /* bytes on the device for the blocks' weights; those that do not fit are
                               read from the file in every step, while the one before runs. 0 = all
                               stay */
    bool int8; /* where weights are of 4-bit codes: inputs of layers are rounded to 8 bits */
    bool expand; /* layers of codes are kept as 16-bit numbers too, made at the first step instead of at each;
                    of blocks that all stay */
    struct nn_lora *const *lora; /* vk/nn/lora.h: changes to its layers; they outlive the model.
                                    FV_EFORMAT: one does not fit it */
    size_t lora_count;
    fv_progress_fn on_progress;
    void *ud;
};

/* Loads a model onto the device. path: a weight file, or a folder of one. dev NULL: nothing is
 * loaded, for information and df_sampling_cost; then config.json alone is enough. Returns 0,
 * FV_EIO, FV_EFORMAT (missing or wrong tensors: named), FV_EUNSUPPORTED (no model known here),
 * FV_EGPUMEM (also where weight_memory is less than two pairs of blocks take), FV_ECANCELLED. */
int df_dit_open(struct df_dit **out, struct vk_device *dev, const char *path,
                const struct df_dit_opts *o);
void df_dit_close(struct df_dit **d);
const struct df_dit_info *df_dit_info(const struct df_dit *d);
/* What was read from the file since the model was opened. */
struct df_loading {
    uint32_t resident;   /* pairs of blocks that stay */
    uint32_t pairs;      /* loads of others */
    uint64_t pair_bytes; /* on the device */
    uint64_t bytes;      /* of all loads */
    double seconds;      /* in loads; the device works meanwhile but for the first of each prompt */
    double waited;       /* for the device, after a load was done: then loading costs nothing */
};
struct df_loading df_dit_loading(const struct df_dit *d);
/* Of the caption "nothing", as trained: f32 [text_tokens][text_width]. */
int df_dit_null_text(const struct df_dit *d, float *out);

/* What a run is of. */
struct df_size {
    uint32_t batch;                 /* samples */
    uint32_t frames, height, width; /* of latents; need not be whole patches */
    float pixel_height, pixel_width;
    float fps; /* 120 for single pictures */
};
/* Captions, one a sample. */
struct df_text {
    uint32_t tokens;     /* a caption, with padding */
    const float *states; /* [batch][tokens][text_width]: the text encoder's result */
    const bool *mask;    /* [batch][tokens]: which are of the caption; NULL: all */
};

/* Steps without their blocks: TeaCache (Liu et al., "Timestep Embedding Tells: It's Time to Cache
 * for Video Diffusion Model", CVPR 2025). How far the first block's input changed (mean |now -
 * before| / mean |before|) through a polynomial, added up since blocks last ran: where that is less
 * than the threshold, what they added then is added again. */
struct df_cache {
    float threshold;          /* 0 = off; the authors' 0.1 is careful, 0.2 fast */
    const double *polynomial; /* 5 coefficients, x^4 first; NULL = the authors' for Open-Sora 1.2 */
};

/* A recording for one size. Weights stay the model's. */
struct df_run;
struct df_run_opts {
    bool masked;          /* frames may be kept: df_run_step takes `kept` */
    const float *fps;     /* [batch], where samples differ; NULL: the size's */
    const float *times;   /* [time_count][batch]: all that steps will have, for which modulation is made at once;
                             NULL: at each step */
    uint32_t time_count;
    struct df_cache cache;
    bool check;           /* look for NaN and infinity at every named value */
    nn_trace_fn on_trace; /* every named value; slower, since less is fused */
    fv_progress_fn on_progress; /* asked within steps that take long: between pairs of blocks */
    void *ud;
};
/* Projects the captions and makes keys and values of all cross attentions, once. Returns 0,
 * FV_EINVALID, FV_EGPUMEM, FV_EDEVICE. o may be NULL. */
int df_run_create(struct df_run **out, struct df_dit *d, const struct df_size *size,
                  const struct df_text *text, const struct df_run_opts *o);
void df_run_destroy(struct df_run **r);
struct df_step {
    const float *z;    /* [batch][channels][T][H][W] */
    const float *time; /* [batch]: 0 (data) .. 1000 (noise) */
    const bool *kept;  /* [batch][T] (with `masked`; else NULL): frames that are data already, modulated
                          as at time 0 */
    bool last;         /* no other will follow: nothing is read ahead for it */
    bool compute;      /* with a cache: blocks run whatever it says */
    bool merge;        /* attentions see frames two by two, as their means: temporal dimension token
                          merging (Kim et al., "On-device Sora", 2025, section 3.2) */
};
/* -> out [batch][out_channels][T][H][W]: the velocity, then the variance if there is one. Returns
 * 0, FV_EGPUMEM, FV_EDEVICE, FV_ECANCELLED. Steps that merge and steps that do not are different
 * recordings: they are best not mixed. */
int df_run_step(struct df_run *r, const struct df_step *step, float *out);
struct nn_cost df_run_cost(const struct df_run *r); /* of the last step */
bool df_run_skipped(const struct df_run *r); /* whether it left blocks out */

/* ---- sizes (sizes.c) ---------------------------------------------------------------------- */

/* Pixels of a picture. size: a name of Open-Sora 1.2 (144p, 240p, 360p, 480p, 720p, 1080p, 2k, 4k),
 * of which it was trained on each aspect's own width and height, or "WIDTHxHEIGHT". aspect: height
 * to width, as the authors have it, so that "9:16" is a wide picture and "16:9" a high one, or
 * their key for it, "0.56"; NULL: 9:16, and for WIDTHxHEIGHT there is none else. FV_EINVALID: not
 * known, not possible; the text names what is. */
int df_picture_size(uint32_t *width, uint32_t *height, const char *size, const char *aspect);
/* Frames of a clip: a number, or Open-Sora's names: 1x, 2x .. 16x (51, 102 .. 816 frames) and
 * 2s, 4s .. 32s, which are the same. */
int df_frame_count(uint32_t *frames, const char *text);

/* How a VAE makes latents of a clip (vae_info). */
struct df_packing {
    uint32_t group; /* frames that are coded on their own: 17 with Open-Sora's VAE; 0: all together, the
                       first one by itself, as the causal VAEs do */
    uint32_t time, space; /* frames, pixels of a latent: 4, 8 */
};
/* Latents of so many frames: 51 frames are 15 in groups of 17, 14 of a causal VAE. */
uint32_t df_latent_frames(const struct df_packing *p, uint32_t frames);
/* The least count from `frames` on that fills its last latent, or group: others are filled up with
 * copies of the last frame by the VAE. */
uint32_t df_whole_frames(const struct df_packing *p, uint32_t frames);

struct df_clip_size {
    uint32_t width, height, frames;
    float fps;
};
/* What the transformer is to make for a clip: a batch of one. Sides that are no whole latents lose
 * what is left over (426 pixels are 53 latents, which are 424). A single frame counts as a picture:
 * 120 frames/s. FV_EINVALID: not possible. */
int df_size_of(struct df_size *out, const struct df_packing *p, const struct df_clip_size *c);

/* ---- given frames (reference.c) ------------------------------------------------------------ */

/* A picture or clip as latents, of the size that is made: [channels][frames][H][W]. */
struct df_reference {
    const float *latents;
    uint32_t frames;
};
/* What rules of a mask strategy say of a round, done to one sample's noise: z [channels][T][H][W]
 * gets the frames, mask [T] what becomes of each (df_sampling.frame_mask): 1 made, 0 kept, between:
 * changed from that share of the noise on. Later rules win. References and places below 0 count
 * from the end; align (0: not; the authors': 5) moves places to whole groups of the VAE. What is
 * too long is cut. *used: rules of this round; none: nothing is given. FV_EINVALID: no such
 * reference or place. */
int df_give_frames(const struct df_mask_rule *rules, size_t count, uint32_t round, uint32_t align,
                   const struct df_reference *references, size_t reference_count, const struct df_size *size,
                   uint32_t channels, float *z, float *mask, size_t *used);

/* Long clips in rounds: each begins with what the one before ended with. */
struct df_round {
    uint32_t encode;          /* last frames of the round before, which are made a reference */
    struct df_mask_rule rule; /* that gives them */
    uint32_t drop;            /* first frames of this round, which repeat them */
};
/* latents: that are repeated (the authors': 5); reference: number of the new one; edit: 0 keeps
 * them. Groups are encoded with the whole clip, as the authors do; frames of causal VAEs as a clip
 * of their own, which begins with a latent of one frame as the round does. FV_EINVALID: not whole
 * groups, or no frame is left to make. */
int df_round_of(struct df_round *out, const struct df_packing *p, uint32_t frames, uint32_t latents,
                uint32_t round, uint32_t reference, double edit);

/* ---- rectified flow ------------------------------------------------------------------------ */

/* Times of `steps` steps, 1000 first, evenly or moved towards noise, by `shift` or for what is
 * large and long (transform; `frames`: of pixels); whole: rounded. */
struct df_schedule {
    uint32_t steps;
    float start; /* share of noise that the first step begins at, for what is not all noise; 0 = 1 */
    float least; /* share, before it is moved, that the last step begins at: 0 = start / steps, as Open-Sora's */
    float shift; /* a share s is moved to shift s / (1 + (shift - 1) s); 0 = 1, or as transform says */
    bool transform, whole;
    float pixel_height, pixel_width;
    uint32_t frames;
};
void df_times(const struct df_schedule *s, float *out);

/* Ways along a velocity. Each asks the model once a step, Heun twice but for the last. */
enum df_method {
    DF_EULER,
    DF_HEUN,
    DF_UNIPC, /* Zhao et al., 2023: predictor and corrector of order 2, B(h) = e^h - 1 */
    DF_DPMPP, /* DPM-Solver++ 2M: Lu et al., 2022 */
};
/* A way over given shares of noise, falling, the first step's first, data behind the last.
 * Velocities point from noise to data, as Open-Sora's models give them (others': negated). */
struct df_scheduler;
int df_scheduler_create(struct df_scheduler **out, enum df_method method, const float *share, uint32_t steps,
                        size_t n);
void df_scheduler_destroy(struct df_scheduler **s);
uint32_t df_scheduler_evaluations(const struct df_scheduler *s); /* of the model */
uint32_t df_scheduler_place(const struct df_scheduler *s, uint32_t evaluation); /* at which of the shares */
/* What the model said of z [n] at this evaluation, in order from 0 on -> z at the next one. */
void df_scheduler_step(struct df_scheduler *s, uint32_t evaluation, const float *v, float *z);

/* Analytic-Init (Zhao et al., "Identifying and Solving Conditional Image Leakage in Image-to-Video
 * Diffusion Model", 2024): where noise still tells of the image, models copy it instead of moving
 * it. So a sampling begins a little later, from the normal distribution nearest to what training
 * had there. */
struct df_analytic {
    size_t count;    /* numbers of a sample's latents */
    float *mean;     /* of the data */
    double variance; /* trace of its covariance, per number */
};
/* Of `samples` latents of n numbers, one after the other. */
int df_analytic_estimate(struct df_analytic *out, const float *latents, size_t samples, size_t n);
/* From a file: Expectation_X0 and Tr_Cov_d, or the authors' other names (Expectation_x_0, trCov_d).
 * Returns 0, FV_EIO, FV_EFORMAT. */
int df_analytic_read(struct df_analytic *out, const char *path);
/* As such a safetensors file; shape of the mean. */
int df_analytic_write(const struct df_analytic *a, const char *path, unsigned rank, const uint64_t *shape);
void df_analytic_finish(struct df_analytic *a);
enum df_analytic_way {
    DF_ANALYTIC_FLOW, /* x = (1 - at) data + at noise: give the same share as df_schedule.start */
    DF_ANALYTIC_VP,   /* x = sqrt(at) data + sqrt(1 - at) noise: at is the product of alphas there */
    DF_ANALYTIC_VE,   /* x = data + at noise */
};
/* Latents to begin with. FV_EINVALID: n is not that of the mean, no such place. */
int df_analytic_start(const struct df_analytic *a, enum df_analytic_way way, double at, const float *noise,
                      float *out, size_t n);

/* Linear proportional leap (On-device Sora, section 3.1): once the velocity hardly turns any more,
 * one step goes all the way to the data. How it turns: the cosine between one step's velocity and
 * the last one's. */
enum df_leap_by {
    DF_LEAP_NEVER,
    DF_LEAP_FIXED, /* at step `from` */
    DF_LEAP_ROWS,  /* the authors' code: mean over the rows of channel 0 of frame 0 */
    DF_LEAP_WHOLE, /* over all of the latents */
};
struct df_leap {
    enum df_leap_by by;
    uint32_t from;     /* evaluations before it is looked for; 0 = half of them, the authors take 14 of 30 */
    float gain;        /* less than this over the best so far counts as none; 0 = 0.001 */
    uint32_t patience; /* leaps after so many steps without gain; 0 = 3 */
};

enum df_event { DF_INPUT, DF_OUTPUT, DF_FRAMES, DF_COSINE, DF_LEAP };
struct df_sampling {
    struct df_size size; /* of what is wanted: each sample is run with its caption and without */
    struct df_text text;
    struct df_text without; /* captions to be led away from, of the same tokens; states NULL: of nothing, as
                               trained */
    struct df_schedule schedule;
    enum df_method method; /* those that remember steps take no frame_mask between 0 and 1 */
    float guidance;       /* v = without + guidance (with - without) */
    uint32_t merge_steps; /* so many first evaluations merge frames */
    struct df_leap leap;
    struct df_cache cache; /* the first and last step, and one that leaps, are computed */
    /* [batch][T]: 0 a frame that is kept, 1 one that is made, between: one that is changed from
     * that share of the noise on; NULL: all are made. Then noise fills n normal numbers, the same
     * for the same step; step `steps` is for `joint`. */
    const float *frame_mask;
    /* STIV (Lin et al., "STIV: Scalable Text and Image Conditioned Video Generation", 2024):
     * `replace`: kept frames are shown to the model clean at every step, but as of the step's time
     * like all others (frame replacement); else as of time 0, as Open-Sora's. `joint`: without the
     * caption also means without the kept frames, which there are made from noise like all others
     * (JIT-CFG; two runs of the model as ever). renorm, 0 to 1: how far the guided velocity gets
     * the length of the one with the caption. */
    bool replace, joint;
    float renorm;
    int (*noise)(void *ud, uint32_t step, size_t n, float *out);
    /* Values at a step: z as the model gets it, the model's result for both halves, with a mask
     * which frames are made (1) for both halves; the cosine a leap goes by (0 where it goes by
     * none), whether this step leaps. May be NULL. */
    int (*on_step)(void *ud, uint32_t step, enum df_event what, const float *data, size_t n);
    fv_progress_fn on_progress; /* in steps; of large models asked within them too, between blocks */
    nn_trace_fn on_trace;       /* every named value of every step, and of captions; slower */
    void *ud;
};
struct df_sampled {
    uint32_t evaluations; /* of the model, both halves at once; fewer than steps after a leap */
    uint32_t merged;      /* of them with merged frames */
    uint32_t skipped;     /* steps beside them that the cache stood in for */
    double flops;         /* of all of them */
};
/* z [batch][channels][T][H][W]: noise (and given frames) in, a sample out. Returns 0, a code of
 * df_run_create and df_run_step, FV_ECANCELLED: z then is as the last whole step left it. what may
 * be NULL. */
int df_sample(struct df_dit *d, const struct df_sampling *s, float *z, struct df_sampled *what);

/* The same a step at a time, to be looked at, written down and taken up again later.
 *
 *     FV_TRY(df_sampler_create(&k, dit, &sampling, z));
 *     if (interrupted_before)
 *         FV_TRY(df_sampler_restore(k, bytes, n));
 *     while ((rc = df_sampler_step(k)) == 0)
 *         ;
 *     if (rc == FV_ECANCELLED)
 *         df_sampler_save(k, &bytes, &n);
 *     else if (rc == 1)
 *         df_sampler_latents(k, z);
 *     df_sampler_destroy(&k);
 */
struct df_sampler;
/* What s points to must last as long. A code of df_run_create. */
int df_sampler_create(struct df_sampler **out, struct df_dit *d, const struct df_sampling *s, const float *z);
void df_sampler_destroy(struct df_sampler **k);
/* 0: there is more to do; 1: done. A failure, and FV_ECANCELLED, leave all as it was before the
 * step. */
int df_sampler_step(struct df_sampler *k);
uint32_t df_sampler_at(const struct df_sampler *k); /* the next step, in evaluations */
struct df_sampled df_sampler_done(const struct df_sampler *k);
void df_sampler_latents(const struct df_sampler *k, float *out);
/* What the sample would be if the last velocity were right to the end, for previews: z before the
 * first. */
void df_sampler_guess(const struct df_sampler *k, float *out);
/* All that the steps so far have left: *out is malloc'd. Going on from it in a sampler of the same
 * model, device, captions, settings and noise gives the same bytes as if nothing had been.
 * FV_ENOMEM. */
int df_sampler_save(const struct df_sampler *k, void **out, size_t *bytes);
/* FV_EFORMAT (no such state, damaged), FV_EUNSUPPORTED (of another version), FV_EINVALID (of other
 * settings: told); k then is as it was. */
int df_sampler_restore(struct df_sampler *k, const void *state, size_t bytes);

/* What a sampling would cost: from dry runs, without a device if the model was opened without one.
 */
struct df_cost {
    uint64_t parameters;
    uint32_t evaluations;  /* of the model, both halves at once: without a leap or cached steps, which only show
                              when it runs */
    uint32_t dispatches;   /* of one */
    double flops, bytes;   /* of all of them and of the captions; read and written on the device */
    double caption_flops;  /* keys and values of the captions, once */
    double step_flops;     /* of one evaluation */
    double merged_flops;   /* of one with merged frames; 0: there is none */
    double cached_flops;   /* of a step that leaves its blocks out; 0: there is none */
    uint64_t pair_bytes;   /* weights of a pair of blocks */
    uint64_t weight_bytes; /* weights on the device */
    uint64_t kept_bytes;   /* what lives as long as the sampling: keys and values, latents, cache */
    uint64_t pool_bytes;   /* temporaries, most at once */
    uint64_t packed_bytes; /* weights in another order */
    uint64_t peak_bytes;   /* on the device, all of it together */
};
/* s: as for df_sample; captions' states may be NULL, `tokens` of each are counted. weight_memory, expand:
 * as in df_dit_opts. FV_EINVALID (sizes), FV_EGPUMEM (too little weight_memory). */
int df_sampling_cost(struct df_cost *out, struct df_dit *d, const struct df_sampling *s, uint64_t weight_memory,
                     bool expand);
/* Tokens of a step, both halves of the guidance. */
uint64_t df_sampling_tokens(const struct df_dit *d, const struct df_size *size);

/* The same of texts (step_flops: of a layer, which there is one of on the device). */
int df_t5_cost(struct df_cost *out, struct df_t5 *t, uint32_t batch, uint32_t tokens);

#endif
