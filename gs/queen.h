/* Part of gs.h: QUEEN, a scene whose frames are learned residuals (Girish et al. 2024; what is
 * read, and the equations, in docs/STREAM.md).
 *
 * A frame changes the scene before it: Gaussians are dropped or copied from a parent, each
 * attribute gets what a small decoder makes of integer latents, a few positions move. gs_queen
 * keeps the scene on the device, in full precision and in the renderer's form:
 *
 *     FV_TRY(gs_queen_find(&files, "sear_steak"));
 *     FV_TRY(gs_scene_load(&first, files.frames[0], NULL));
 *     FV_TRY(gs_queen_create(&q, dev, &first, NULL));
 *     FV_TRY(gs_queen_read(&f, files.frames[1]));
 *     FV_TRY(gs_queen_advance(q, &f));
 *     gs_queen_frame_finish(&f);
 *     FV_TRY(gs_frame_submit(frame, gs_queen_scene(q), &camera, &opts));
 */
#ifndef GS_QUEEN_H
#define GS_QUEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gs_scene;
struct gs_gpu_scene;
struct gs_upload_opts;
struct vk_device;

enum { GS_QUEEN_MAX_LAYERS = 4, GS_QUEEN_MAX_WIDTH = 256, GS_QUEEN_MAX_LATENTS = 64 };

/* ---- decoders ---- */

enum gs_queen_activation {
    GS_QUEEN_LINEAR, /* the numbers are specialisation constants of queen_layer.comp */
    GS_QUEEN_RELU,
    GS_QUEEN_SIGMOID,
    GS_QUEEN_TANH,
};

/* y = activation((x W) * scale + shift). QUEEN's learned layers are W alone; its "dft" ones have a
 * fixed W (gs_queen_dft) and a learned scale. */
struct gs_queen_layer {
    uint32_t in, out;
    const float *w;     /* [in][out] */
    const float *scale; /* [out]; NULL = 1 */
    const float *shift; /* [out]; NULL = 0. For every Gaussian, also one whose latents are 0 */
    enum gs_queen_activation activation;
};

/* Layers one after the other over latent / div. */
struct gs_queen_decoder {
    uint32_t layer_count;
    const float *div; /* [layer[0].in]; NULL = 1 */
    struct gs_queen_layer layer[GS_QUEEN_MAX_LAYERS];
};

/* cos(pi/out (i + 1/2) j) / sqrt(out), times sqrt(2) where j > 0: w[in][out]. */
void gs_queen_dft(float *w, uint32_t in, uint32_t out);
/* To the nearest integer, ties to even; beyond int32 the nearest there is, NaN 0. */
void gs_queen_round(int32_t *out, const float *latent, size_t n);
/* What a decoder makes of rows of latents, added to base ([rows][out], or NULL): out[rows][out].
 * On the CPU, the twin of the next. Returns 0, FV_EINVALID, FV_ENOMEM. */
int gs_queen_decode_reference(const struct gs_queen_decoder *d, const int32_t *latent, size_t rows,
                              const float *base, float *out);
/* The same on the device, by the kernel of gs_queen_advance, from latents that are not rounded yet.
 * Returns FV_EGPUMEM too. */
int gs_queen_decode(struct vk_device *dev, const struct gs_queen_decoder *d, const float *latent,
                    size_t rows, const float *base, float *out);

/* ---- gates ---- */

/* Hard-concrete (Louizos et al. 2018), without noise: z = clamp(sigmoid(log_alpha / temperature)
 * (high - low) + low, 0, 1). */
struct gs_queen_gate {
    float temperature, low, high;
};
/* z[rows]; xyz[rows][3] = before + z (free - before). z or xyz may be NULL. On the CPU ... */
void gs_queen_gate_reference(const struct gs_queen_gate *g, const float *log_alpha, size_t rows,
                             const float *before, const float *free, float *z, float *xyz);
/* ... and on the device, rounded as floats there. */
int gs_queen_gate(struct vk_device *dev, const struct gs_queen_gate *g, const float *log_alpha,
                  size_t rows, const float *before, const float *free, float *z, float *xyz);
/* log_alpha of the probability that a gate is open, as training starts from. */
float gs_queen_gate_start(const struct gs_queen_gate *g, float probability);

/* ---- frames ---- */

/* What has a decoder. Positions move by themselves. */
enum gs_queen_attribute {
    GS_QUEEN_DC,
    GS_QUEEN_REST, /* [coefficient from 1][rgb] */
    GS_QUEEN_SCALE,
    GS_QUEEN_ROTATION,
    GS_QUEEN_OPACITY,
    GS_QUEEN_ATTRIBUTES
};
/* Floats of one Gaussian's attribute. */
uint32_t gs_queen_width(enum gs_queen_attribute a, int sh_degree);

enum gs_queen_kind {
    GS_QUEEN_KEPT,     /* as its parent's */
    GS_QUEEN_PLAIN,    /* the values themselves */
    GS_QUEEN_ABSOLUTE, /* of latents ("sq") */
    GS_QUEEN_RESIDUAL, /* parent's + of latents ("sq_res") */
};

struct gs_queen_change {
    enum gs_queen_kind kind;
    struct gs_queen_decoder decoder;
    const int32_t *latent; /* [count][decoder.layer[0].in] */
    bool accumulate;       /* latent is added to the parent's of the frame just before; to 0 where
                              that had none */
    const float *values;   /* [count][width] if plain */
    uint32_t width;        /* of values */
};

struct gs_queen_frame {
    uint32_t count;
    const uint32_t *parent; /* [count] rows of the frame before; NULL = the same ones */
    struct gs_queen_change change[GS_QUEEN_ATTRIBUTES];
    const float *position;     /* [count][3], or NULL: as the parents', and */
    uint32_t moved;            /* so many of them */
    const uint32_t *moved_row; /* [moved], ascending */
    const float *moved_by;     /* [moved][3] */
    void *memory;              /* of gs_queen_read; NULL in frames that are the caller's own */
};

/* The frame after scene s on the CPU, in place: the twin of gs_queen_advance. A frame that does not
 * fit leaves s as it was. latents: of the frames before, where a change accumulates.
 * Returns 0, FV_EINVALID (says what does not fit), FV_ENOMEM. */
struct gs_queen_latents {
    int32_t *latent[GS_QUEEN_ATTRIBUTES]; /* [s->count][width]; NULL = none yet */
    uint32_t width[GS_QUEEN_ATTRIBUTES];
};
int gs_queen_apply(struct gs_scene *s, struct gs_queen_latents *latents,
                   const struct gs_queen_frame *f);
void gs_queen_latents_finish(struct gs_queen_latents *l);

/* Reads one frame of QUEEN's own, frames/NNNN/compressed/point_cloud.pkl: a Python pickle, of which
 * nothing is executed. Returns 0, FV_EIO, FV_EFORMAT, FV_EUNSUPPORTED (names what was refused),
 * FV_ENOMEM; on failure *out is zeroed. */
int gs_queen_read(struct gs_queen_frame *out, const char *path);
int gs_queen_parse(struct gs_queen_frame *out, const void *data, size_t size, const char *name);
void gs_queen_frame_finish(struct gs_queen_frame *f);

/* The frames of a trained model, FOLDER/frames/NNNN or FOLDER/NNNN. Returns 0, FV_EIO, FV_EFORMAT
 * (no frames, or one is missing in between: says which), FV_ENOMEM; on failure *out is zeroed. */
struct gs_queen_files {
    char **frames; /* the first is for gs_scene_load, the others for gs_queen_read */
    size_t count;
};
int gs_queen_find(struct gs_queen_files *out, const char *folder);
void gs_queen_files_finish(struct gs_queen_files *f);

/* ---- playing ---- */

struct gs_queen;
/* The first frame; opts as of gs_gpu_scene_create. Packed scenes are in the Morton order of the
 * first frame, copies beside their parents, unless that is nearly its own order: then they keep
 * that, which updates in less time. Returns 0, FV_ENOMEM, FV_EGPUMEM, FV_EUNSUPPORTED (more
 * Gaussians than fit a binding of this device). */
int gs_queen_create(struct gs_queen **out, struct vk_device *dev, const struct gs_scene *first,
                    const struct gs_upload_opts *opts);
void gs_queen_destroy(struct gs_queen **q);
/* The next frame; f may be freed afterwards. Work is submitted, not waited for: pictures submitted
 * before show the frame before, later ones this. Returns 0, FV_EINVALID (does not fit: the scene is
 * as before), FV_EGPUMEM (where the renderer's buffers could not grow, nothing is drawn until a
 * frame that fits), FV_EDEVICE. */
int gs_queen_advance(struct gs_queen *q, const struct gs_queen_frame *f);
/* Waits until the frame at hand is in place. */
int gs_queen_wait(const struct gs_queen *q);
/* Borrowed; what gs_frame_submit draws. The same object for all frames. */
const struct gs_gpu_scene *gs_queen_scene(const struct gs_queen *q);
/* The frame at hand in full precision, in its own order; caller finishes it. */
int gs_queen_fetch(struct gs_queen *q, struct gs_scene *out);

/* ---- entropy coding ---- */

struct gs_queen_tail {
    int32_t value;
    uint32_t at; /* index into rows * width */
};
/* Integers [rows][width] as QUEEN codes them: a range coder over one static histogram, rare values
 * apart. */
struct gs_queen_coded {
    uint32_t rows, width;
    uint32_t symbols;     /* 1..32768 */
    const float *cdf;     /* [symbols + 1], 0 to 1 */
    const int32_t *value; /* [symbols] */
    const uint8_t *bytes;
    size_t size;
    const struct gs_queen_tail *tail;
    size_t tails;
    void *memory; /* of gs_queen_compress */
};
/* out[rows * width]. Returns 0, FV_EFORMAT, FV_ENOMEM. */
int gs_queen_uncompress(const struct gs_queen_coded *c, int32_t *out);
/* round(value * scale), ties to even. Returns 0, FV_ENOMEM, FV_EUNSUPPORTED (too many values). */
int gs_queen_compress(struct gs_queen_coded *out, const float *values, uint32_t rows,
                      uint32_t width, float scale);
void gs_queen_coded_finish(struct gs_queen_coded *c);

/* Bits of n integers, `stride` apart, by their own histogram: the figure papers report. */
int gs_queen_entropy(double *bits, const int32_t *v, size_t n, size_t stride);

/* A learned cumulative distribution of each channel (Ballé et al. 2018): layers - 1 of
 * x = x softplus(h) + b, x + tanh(x) tanh(a), then sigmoid(x softplus(h) + b). */
struct gs_queen_estimator {
    uint32_t channels, layers; /* layers 1..4; arrays [layers], the last without a */
    const float *h[4], *b[4], *a[4];
};
double gs_queen_estimate_cdf(const struct gs_queen_estimator *e, uint32_t channel, double x);
/* Sum over latents of -log2(cdf(x + 1/2) - cdf(x - 1/2) + 1e-10), each within 0..50; x is latent +
 * noise, or with noise NULL the rounded latent. */
double gs_queen_estimate_bits(const struct gs_queen_estimator *e, const float *latent,
                              const float *noise, size_t rows);

#endif
