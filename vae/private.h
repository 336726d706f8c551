/* Private to vae/: the networks as structs of weights, and what their forward passes are written
 * with. Activations are [1, C, T, H, W], channels last in memory. */
#ifndef VAE_PRIVATE_H
#define VAE_PRIVATE_H

#include "vae/vae.h"
#include "vk/nn/weights.h"

enum { VAE_MAX_LEVELS = 6, VAE_MAX_BLOCKS = 8, VAE_TINY_LAYERS = 24 };

/* ---- weights ----------------------------------------------------------------------------- */

/* A convolution with the padding its module does. Weights of rank 4 work on each frame alone. */
struct vae_conv {
    nn_tensor weight, bias;
    bool causal;   /* all padding of time in front; else as much on both sides */
    bool pad_less; /* in front kernel - stride frames, not kernel - 1 */
    enum nn_pad_mode time, space;
    uint32_t time_stride, space_stride; /* 0 = 1 */
    uint32_t upsample;                  /* of space, nearest, before padding; 0 = 1 */
    bool pad_end;                       /* one row and column behind instead of around */
};

struct vae_norm {
    nn_tensor weight, bias;
    bool flat; /* statistics of each frame alone */
};

struct vae_resnet {
    struct vae_norm norm1, norm2;
    struct vae_conv conv1, conv2, shortcut; /* shortcut: when the width changes */
};

/* One head over the positions of a frame; then, where there are such weights, over time. */
struct vae_attention {
    struct vae_norm norm;
    nn_tensor q, q_bias, k, k_bias, v, v_bias, out, out_bias;
    nn_tensor norm_t, norm_t_bias, q_t, q_t_bias, k_t, k_t_bias, v_t, v_t_bias, out_t, out_t_bias;
};

enum vae_sample {
    VAE_SAMPLE_NONE,
    VAE_SAMPLE_CONV,    /* the convolution alone: strided, or after its nearest upsampling */
    VAE_SAMPLE_LINEAR,  /* space and time doubled linearly, the first frame in space only */
    VAE_SAMPLE_SHUFFLE, /* channels (n c) become frames; with n = 2 the first is dropped */
};

struct vae_level {
    struct vae_resnet block[VAE_MAX_BLOCKS];
    uint32_t blocks, width;
    enum vae_sample sample;
    struct vae_conv conv;
    /* Time halved or doubled by both averaging (interpolating) and a convolution, mixed. */
    struct vae_conv time_conv;
    nn_tensor mix;
};

/* Names of traced values; NULL: not traced. %d: level (then block). */
struct vae_names {
    const char *first, *conv_in, *block, *sample, *time, *level, *mid1, *attn, *mid2, *norm_out,
        *conv_out;
};

/* One half of an autoencoder of the usual form. Levels in order of their names. */
struct vae_half {
    struct vae_conv conv_in, conv_out, quant; /* quant: after the encoder, before the decoder */
    struct vae_level level[VAE_MAX_LEVELS];
    uint32_t levels;
    bool deepest_first; /* decoder: up_blocks.0 is the one with the fewest pixels */
    struct vae_resnet mid1, mid2;
    struct vae_attention attn;
    bool has_attention;
    struct vae_norm norm_out;
    uint32_t groups;
    float eps;
    struct vae_names names;
};

/* Open-Sora's temporal halves. */
struct vae_temporal {
    struct vae_conv conv_in, conv_out, quant;
    struct vae_level level[VAE_MAX_LEVELS]; /* block_res_blocks[L], conv_blocks[L] (time) */
    uint32_t levels;
    struct vae_resnet res[VAE_MAX_BLOCKS];
    uint32_t res_count;
    struct vae_norm norm_out;
    uint32_t groups;
    float eps;
};

struct vae_tiny_layer {
    bool block; /* else one convolution */
    struct vae_conv conv[3], skip;
    nn_tensor pool_in, pool_norm, pool_bias, pool_out; /* of blocks with one */
    bool relu;                                         /* after a convolution */
};
struct vae_tiny {
    struct vae_tiny_layer layer[VAE_TINY_LAYERS];
    uint32_t layers;
};

/* What config.json adds to the names; 0: not said. */
struct vae_config {
    uint32_t groups, temporal_groups;
    float eps, scaling_factor, shift_factor;
    uint32_t micro_frames; /* Open-Sora's chunk; CV-VAE's en_de_n_frames_a_time */
    bool no_windows;       /* said to be null */
    uint32_t tile_size;    /* CV-VAE's, pixels */
    double tile_overlap;
};

struct vae {
    struct vk_device *dev;
    struct vae_info info;
    struct vae_config config;
    struct vae_half half[2];
    struct vae_temporal temporal[2];
    struct vae_tiny tiny[2];
    float scale[VAE_MAX_CHANNELS], shift[VAE_MAX_CHANNELS]; /* Open-Sora's buffers */
    struct nn_weights *weights[2];
    struct nn_cache *cache;
    char path[512];
};

/* ---- recognising and loading (open.c, recognise.c) --------------------------------------- */

/* Which model the names of f (encoder, decoder or both) are of, and under which prefix. Fills
 * info.family, info.name, info.arch. Returns 0 or FV_EUNSUPPORTED. */
int vae_recognise(struct vae *v, const struct nn_file *f, const char **prefix);
/* Builds one half from the names and shapes in f and lists what it wants. Returns 0, FV_EFORMAT,
 * FV_EUNSUPPORTED; nothing when f does not hold that half. */
int vae_build(struct vae *v, enum vae_way way, struct nn_wants *w, const struct nn_file *f,
              const char *prefix);

/* ---- forward passes ---------------------------------------------------------------------- */

/* Tensors that live from one piece of a clip to the next, numbered in order of use. */
struct vae_kept {
    struct nn_store *store; /* NULL in a dry run */
    nn_tensor *items;
    uint32_t count, room;
    uint64_t bytes;
};

struct vae_ctx {
    struct nn_rec *r;
    uint32_t groups;
    float eps;
    bool first, last;      /* the piece begins, ends the clip */
    struct vae_kept *past; /* of causal convolutions and interpolations; NULL: pieces stand alone */
    struct vae_kept *statistics,
        *fixed;                /* gathered now, used instead of the piece's own; or NULL */
    uint32_t past_at, norm_at; /* next number */
    bool named;                /* values are named, for traces or checks */
    bool unfused;              /* also those inside a fused operator */
};

/* The next of a numbered set, made when it is new. */
nn_tensor vae_keep(struct vae_ctx *c, struct vae_kept *k, uint32_t number, enum nn_dtype dtype,
                   uint32_t rank, const uint32_t *shape);
void vae_kept_finish(struct vae_kept *k);

/* blocks.c */
/* What follows from a value that is not needed any more: its storage is given back. */
static inline nn_tensor vae_then(struct vae_ctx *c, nn_tensor old, nn_tensor now)
{
    nn_free(c->r, old);
    return now;
}
void vae_trace(struct vae_ctx *c, const char *fmt, uint32_t a, uint32_t b, nn_tensor t);
nn_tensor vae_convolve(struct vae_ctx *c, const struct vae_conv *w, nn_tensor x, nn_tensor residual,
                       struct nn_activation act);
nn_tensor vae_normalise(struct vae_ctx *c, const struct vae_norm *w, nn_tensor x, enum nn_act act,
                        const char *name);
nn_tensor vae_resnet_block(struct vae_ctx *c, const struct vae_resnet *w, nn_tensor x);
nn_tensor vae_attend(struct vae_ctx *c, const struct vae_attention *w, nn_tensor x);
/* These two give back x. */
nn_tensor vae_downsample(struct vae_ctx *c, const struct vae_level *w, nn_tensor x,
                         const struct vae_names *names, uint32_t level);
nn_tensor vae_upsample(struct vae_ctx *c, const struct vae_level *w, nn_tensor x,
                       const struct vae_names *names, uint32_t level);
/* [1, n C, T, H, W] -> [1, C, n T, H, W]: channel n_outer ? (n c) : (c n). */
nn_tensor vae_time_shuffle(struct vae_ctx *c, nn_tensor x, uint32_t n, bool n_outer);

/* A forward pass over one piece: x [1, C, T, H, W] -> [1, C', T', H', W'] of the same dtype. */
typedef nn_tensor (*vae_forward)(struct vae_ctx *c, const struct vae *v, nn_tensor x);
nn_tensor vae_half_encode(struct vae_ctx *c, const struct vae *v, nn_tensor x);
nn_tensor vae_half_decode(struct vae_ctx *c, const struct vae *v, nn_tensor x);
nn_tensor vae_temporal_encode(struct vae_ctx *c, const struct vae *v, nn_tensor x);
nn_tensor vae_temporal_decode(struct vae_ctx *c, const struct vae *v, nn_tensor x);
nn_tensor vae_tiny_encode(struct vae_ctx *c, const struct vae *v, nn_tensor x);
nn_tensor vae_tiny_decode(struct vae_ctx *c, const struct vae *v, nn_tensor x);

/* ---- running (session.c, tile.c, run.c, plan.c) ------------------------------------------ */

/* One network over pieces of a clip. */
struct vae_stage {
    vae_forward forward;
    bool shrinks, grows; /* space by the model's factor; neither: it stays */
    bool flat;           /* takes one frame at a time */
    const char *name;    /* for failures */
};

/* What a recording depends on. */
struct vae_shape {
    const struct vae_stage *stage;
    uint32_t frames, channels, height, width;
    bool first, last;
};

/* Runs stages; keeps a recording while pieces have the same shape. */
struct vae_session {
    struct vae *v;
    struct nn_rec *r;
    struct nn_store *io;
    nn_tensor room, in, out; /* storage of inputs; f32 [T, C, H, W] in it; the result, likewise */
    struct vae_kept past, statistics[2];
    uint32_t bank;             /* statistics[bank] are gathered, the other set is used */
    bool carry, gather, fixed; /* which of these are in use */
    bool recorded;
    struct vae_shape shape; /* of the recording */
    const struct vae_io *job;
    struct vae_stats *stats;
    double from, to, total; /* of the input, for progress: the present work */
};

/* A piece of a clip on the host. */
struct vae_piece {
    uint32_t frames, channels, height, width;
    float *data; /* [T][C][H][W] */
    size_t room; /* values there is memory for */
};

int vae_piece_resize(struct vae_piece *p, uint32_t frames, uint32_t channels, uint32_t height,
                     uint32_t width);
void vae_piece_finish(struct vae_piece *p);

/* Reports that part (0 .. 1) of from .. to is done. FV_ECANCELLED when asked to stop. */
int vae_session_tick(const struct vae_session *s, double part);
int vae_session_open(struct vae_session *s, struct vae *v, const struct vae_io *job,
                     struct vae_stats *stats);
void vae_session_close(struct vae_session *s);
/* The second and later passes: what was gathered is used, the other set is emptied. */
int vae_session_turn(struct vae_session *s);
/* One piece; out is resized. The first (last) piece begins (ends) the clip. */
int vae_session_run(struct vae_session *s, const struct vae_stage *stage,
                    const struct vae_piece *in, bool first, bool last, struct vae_piece *out);
/* Device memory a shape takes beside the weights, from a dry run. */
int vae_session_cost(struct vae *v, const struct vae_shape *shape, bool carry, bool gather,
                     struct nn_cost *cost, uint64_t *bytes);
/* The same in tiles. */
int vae_tiles_run(struct vae_session *s, const struct vae_stage *stage,
                  const struct vae_tiles *tiles, const struct vae_piece *in, bool first, bool last,
                  struct vae_piece *out);
/* Tiles along an axis. */
uint32_t vae_tile_count(const struct vae_tiles *t, uint32_t length);

/* The only stage of a family, or Open-Sora's spatial one; its temporal ones. */
const struct vae_stage *vae_stage_of(const struct vae *v, enum vae_way way);
extern const struct vae_stage vae_temporal_stages[2];

#endif
