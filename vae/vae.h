/* Video autoencoders: clips to latents and back, of any length and size in bounded device memory.
 *
 * Understands the checkpoints of Open-Sora-Plan's OD-VAE (1.1, 1.2), CV-VAE (for SD 2.1 and SD 3),
 * the Open-Sora 1.2 VAE, Stable Diffusion's AutoencoderKL and the tiny TAESD family, under their
 * authors' tensor names; which one it is follows from the names alone. config.json beside them adds
 * what names do not tell (norm groups, window sizes).
 *
 *     struct vae *v;
 *     struct vae_plan plan;
 *     FV_TRY(vae_open(&v, dev, "OD-VAE/", NULL));
 *     FV_TRY(vae_plan_make(&plan, v, VAE_ENCODE, height, width, NULL));
 *     struct vae_io io = {.height = height, .width = width, .read = next_frames, .write = keep};
 *     FV_TRY(vae_run(v, VAE_ENCODE, &plan, &io));
 *     vae_close(&v);
 *
 * Pixels are RGB in -1 .. 1. Latents are the model's own, before the scale a diffusion model wants:
 * that takes (latent - shift) * scale (vae_info). Host arrays are frames first: [T][C][H][W]. */
#ifndef VAE_VAE_H
#define VAE_VAE_H

#include "vk/nn/nn.h"

enum vae_family { VAE_KL, VAE_ODVAE, VAE_CVVAE, VAE_OPENSORA, VAE_TINY };
enum vae_way { VAE_ENCODE, VAE_DECODE };
enum { VAE_MAX_CHANNELS = 64, VAE_TEXT = 256 };

struct vae;

struct vae_info {
    enum vae_family family;
    const char *name;      /* "OD-VAE 1.2 (Open-Sora-Plan)" */
    const char *arch;      /* one word: "osp_odvae_v12" */
    uint32_t channels;     /* of a latent */
    uint32_t time_factor;  /* frames of a latent: T frames give 1 + (T - 1) / 4 latents; 1 */
    uint32_t space_factor; /* pixels of a latent: 8 */
    bool has_encoder, has_decoder;
    bool has_variance;   /* the encoder gives a distribution */
    bool carries[2];     /* the encoder, the decoder can carry its past: see vae_plan */
    uint32_t norms[2];   /* statistics over time and space, in encoder and decoder */
    uint32_t window;     /* frames the authors take at once; 0 = the whole clip */
    enum nn_dtype dtype; /* of matrices and activations */
    uint64_t parameters, weight_bytes;
    float scale[VAE_MAX_CHANNELS], shift[VAE_MAX_CHANNELS];
};

struct vae_opts {
    enum nn_dtype dtype; /* storage of weights and activations: NN_F32 (0 too), NN_F16, NN_BF16 */
    bool skip[2];        /* do not load the encoder, the decoder */
    fv_progress_fn on_progress;
    void *ud;
};

/* Loads a model onto the device.
 *
 * path  a weight file, or a folder of one. A tiny autoencoder in two files is named by either, or by
 *       a folder that holds one pair.
 * dev   NULL: nothing is loaded, for vae_plan_make and information.
 *
 * Returns 0, FV_EIO, FV_EFORMAT (missing or wrong tensors, NaN: named), FV_EUNSUPPORTED (no model
 * known here), FV_EGPUMEM, FV_ECANCELLED. */
int vae_open(struct vae **out, struct vk_device *dev, const char *path, const struct vae_opts *o);
/* The same model with random weights, for tests and benchmarks. */
int vae_open_synthetic(struct vae **out, struct vk_device *dev, const char *path, uint64_t seed,
                       const struct vae_opts *o);
void vae_close(struct vae **v);
const struct vae_info *vae_info(const struct vae *v);
/* Latents of a clip, frames of so many latents, as the model cuts it up by itself. */
uint32_t vae_latent_count(const struct vae *v, uint32_t frames);
uint32_t vae_frame_count(const struct vae *v, uint32_t latents);

/* How a clip is cut up. All numbers are in units of what goes in: frames and pixels for encoding,
 * latents for decoding. */
struct vae_tiles {
    uint32_t size; /* side of a square tile; 0 = the picture whole */
    uint32_t step; /* from one tile to the next */
    uint32_t fade; /* cross-fade of a tile into the one before it, in units of what comes out */
    uint32_t keep; /* of a tile, the rest is only faded; in units of what comes out */
    bool rest;     /* tiles go on until a step passes the edge, as Open-Sora-Plan's do */
};
struct vae_plan {
    uint32_t window; /* frames or latents at once; 0 = the clip whole */
    /* A later window begins with the last frame of the one before it and its first result is
     * dropped (the authors' way), or it goes on where that ended, with every convolution's past
     * carried over: then windows of `window` frames, later ones one frame shorter. */
    bool carry;
    /* Group normalisation takes its statistics over time and space of what it is given, so pieces
     * are normalised differently. 1: by their own (the authors' way). n: n - 1 times through the
     * clip to gather statistics of all of it, each time with those of the time before, then once
     * with fixed ones: no seams. After 1 + norms with `carry` and no tiles the result is that of
     * the clip whole, up to rounding. */
    uint32_t passes;
    struct vae_tiles tiles;
    uint64_t bytes; /* device memory with it: weights, activations, buffers */
};

struct vae_plan_opts {
    uint64_t memory; /* bytes on the device that may be used in all; 0 = what it reports free */
    uint32_t window; /* frames; 0 = the usual, fewer if memory is short */
    uint32_t tile;   /* pixels; 0 = only if memory is short */
    uint32_t passes; /* 0 = 1 */
    bool carry;      /* where the model can and no tiles are needed */
    bool whole;      /* never in windows */
};
/* Chooses by dry runs. height, width: of the input. Returns 0, FV_EGPUMEM (nothing fits: the text
 * says what the least would be), FV_EINVALID. o may be NULL. */
int vae_plan_make(struct vae_plan *out, struct vae *v, enum vae_way way, uint32_t height,
                  uint32_t width, const struct vae_plan_opts *o);
/* What the authors' code does when it is not told otherwise. */
int vae_plan_usual(struct vae_plan *out, const struct vae *v, enum vae_way way);
/* The authors' settings of tiling, as they name them. 0 = not in that direction. */
struct vae_tiling {
    uint32_t tile_sample_min_size, tile_latent_min_size;     /* pixels, latents */
    uint32_t tile_sample_min_size_t, tile_latent_min_size_t; /* frames, latents */
    double tile_overlap_factor;
};
int vae_plan_tiled(struct vae_plan *out, const struct vae *v, enum vae_way way,
                   const struct vae_tiling *t);
/* "windows of 17 frames, 2 tiles of 256 ...", for the user; returns out. height, width: of input. */
const char *vae_plan_text(char out[VAE_TEXT], const struct vae *v, enum vae_way way,
                          const struct vae_plan *p, uint32_t height, uint32_t width);

struct vae_clip_size {
    uint32_t height, width, length; /* of the input: pixels and frames, or latents */
    uint32_t frames;                /* decoding: how many to make, as in vae_io; 0 = as the model goes */
};
/* FLOPs of a clip under a plan, without running it; a device is not needed. */
int vae_plan_flops(double *out, struct vae *v, enum vae_way way, const struct vae_plan *p,
                   const struct vae_clip_size *size);

/* A part of the result: count frames from first on. */
struct vae_part {
    uint32_t first, count;
    uint32_t channels, height, width;
    const float *data;   /* [count][channels][height][width]: pixels, or the posterior's mean or a
                            sample of it */
    const float *logvar; /* of the posterior, clamped to -30 .. 20; NULL when there is none */
};
enum vae_noise { VAE_NOISE_LATENT, VAE_NOISE_SPATIAL };
struct vae_io {
    uint32_t height, width; /* of the input: pixels (multiples of space_factor) or latents */
    /* Fills frames first .. first + count - 1, fewer at the end of the clip; in order, but with
     * passes > 1 again from 0. Returns how many, or a code. */
    int (*read)(void *ud, uint32_t first, uint32_t count, float *out);
    int (*write)(void *ud, const struct vae_part *p);
    /* Standard normal numbers, to sample the posterior; NULL: its mean. index: of the frame
     * (VAE_NOISE_SPATIAL, Open-Sora's 2D half) or of the first latent of what n numbers
     * [T][C][H][W] are for. */
    int (*noise)(void *ud, enum vae_noise which, uint32_t index, size_t n, float *out);
    uint32_t length; /* frames or latents there are to read, for progress; 0 = unknown */
    uint32_t frames; /* decoding: how many to make of the latents, where the model leaves it open
                        (Open-Sora); 0 = all */
    nn_trace_fn on_trace;       /* every named value of the forward passes */
    bool check;                 /* look for NaN and infinity at every named value */
    fv_progress_fn on_progress; /* in frames or latents read */
    void *ud;                   /* of all of these */
};
struct vae_stats {
    uint32_t frames_in, frames_out;
    double seconds, device_seconds; /* in all, in nn_run */
    double flops;
    uint64_t peak_bytes; /* of device memory while running */
};
/* A clip through one half. Frames beyond the last whole latent are filled up with copies of the
 * last one. Returns 0, the failure of a callback, FV_EINVALID (size; a value that is not finite,
 * named), FV_EFORMAT (nothing to read), FV_EGPUMEM, FV_EDEVICE, FV_ECANCELLED. stats may be NULL. */
int vae_run(struct vae *v, enum vae_way way, const struct vae_plan *p, const struct vae_io *io,
            struct vae_stats *stats);

#endif
