/* Tensors on the device and the operators over them: value tensors, a recorder, every op with its
 * shapes.
 *
 *     struct nn_rec *r;
 *     FV_TRY(nn_rec_create(&r, dev, NULL));
 *     nn_begin(r);
 *     nn_tensor h = nn_linear(r, x, w, &(struct nn_linear_opts){.bias = b, .act = {NN_SILU}});
 *     nn_tensor y = nn_add(r, x, h);
 *     FV_TRY(nn_end(r));                     // the first failure of any op above
 *     FV_TRY(nn_run(r));                     // as often as wanted, with new contents of x
 *     FV_TRY(nn_fetch_f32(out, y));
 *     nn_rec_destroy(&r);
 *
 * CONVENTIONS, which hold for every op below unless it says otherwise
 * - Shapes are PyTorch's: the last axis runs fastest. [..., C] means any number of leading axes;
 *   N batch, C channels, T H W frames, rows, columns; a Linear weight is [out, in], a convolution's
 *   [out, in / groups, kT, kH, kW]. Rank 1 to 5.
 * - Operands may be views with any strides; an op copies what its kernel cannot read in place.
 *   Results are new tensors of the recorder's pool, row-major, unless the op says "layout kept":
 *   then operands that share one dense order of axes (for instance channels last) give that order.
 * - Storage is f32, f16 or bf16 and arithmetic f32. A result has x's dtype, x being the first
 *   operand, or the one asked for where options have a `dtype`; other operands may be of any of the
 *   three. NN_I32 is for indices only.
 * - Optional operands are null tensors (a zeroed nn_tensor); options are zero by default and the
 *   pointer to them may be NULL.
 * - Broadcasting is NumPy's: shapes are aligned at their last axis and an axis of 1 repeats.
 * - Failure is sticky: the first bad shape or allocation is stored with the op's name, the scopes
 *   it is in and the shapes; that op and all later ones return a null tensor and record nothing;
 *   nn_end returns it. So a forward function checks nothing.
 * - A tensor lies within one buffer: at most nn_tensor_max(dev) bytes, which may be more than one
 *   binding (maxStorageBufferRange); ops split such work over several dispatches.
 * - The bytes behind a tensor up to the next multiple of 16 belong to it and are undefined. */
#ifndef NN_NN_H
#define NN_NN_H

#include "vk/mem.h"

enum { NN_MAX_RANK = 5 };

enum nn_dtype {
    NN_SAME, /* in options: x's; never a tensor's */
    NN_F32,
    NN_F16,
    NN_BF16,
    NN_I32,
    NN_DTYPES,
};

/* A value: copy it freely. Owns nothing; valid as long as the storage it names (for results of
 * ops: until their scope is popped, else until the next nn_begin). */
typedef struct nn_tensor {
    const struct vk_buf *buf; /* NULL in a dry run */
    uint64_t offset;          /* bytes, of element 0 */
    enum nn_dtype dtype;
    uint32_t rank;                /* 0 = null tensor */
    uint32_t shape[NN_MAX_RANK];  /* every axis >= 1; entries beyond rank are 0 */
    uint32_t stride[NN_MAX_RANK]; /* elements; 0 = repeated */
} nn_tensor;

struct nn_rec;
struct nn_cache;

/* ---- tensors (tensor.c) ------------------------------------------------------------------ */

static inline bool nn_is_null(nn_tensor t)
{
    return t.rank == 0;
}
/* Bytes of one element; 0 for NN_SAME. */
uint32_t nn_dtype_bytes(enum nn_dtype d);
const char *nn_dtype_name(enum nn_dtype d); /* "f32" ... */
uint64_t nn_count(nn_tensor t);             /* elements; 1 for rank 0 */
uint64_t nn_bytes(nn_tensor t);             /* of its elements if they were packed */
/* Largest tensor on this device, in bytes. */
uint64_t nn_tensor_max(const struct vk_device *dev);
bool nn_same_shape(nn_tensor a, nn_tensor b);
/* Row-major without gaps. */
bool nn_is_packed(nn_tensor t);
/* Without gaps or repeats in some order of its axes, e.g. channels last. */
bool nn_is_dense(nn_tensor t);
/* "f32 [2, 3, 4]", in a buffer of NN_TEXT characters; returns text. */
enum { NN_TEXT = 96 };
const char *nn_text(char text[NN_TEXT], nn_tensor t);
/* A row-major tensor over bytes of a buffer that the caller keeps. offset: a multiple of 256. */
nn_tensor nn_over(const struct vk_buf *buf, uint64_t offset, enum nn_dtype dtype, uint32_t rank,
                  const uint32_t *shape);
/* The shape as a literal: nn_over(&b, 0, NN_F32, NN_SHAPE(2, 3, 4)). */
#define NN_SHAPE(...)                                                                              \
    (uint32_t)(sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t)), ((uint32_t[]){__VA_ARGS__})

/* Views: no work is recorded. A wrong argument fails the recorder. */
/* Same elements in row-major order under another shape; one axis may be NN_REST (deduced). A view
 * if the strides allow it, else a packed copy. */
#define NN_REST UINT32_MAX
nn_tensor nn_reshape(struct nn_rec *r, nn_tensor t, uint32_t rank, const uint32_t *shape);
/* Elements [first, first + count) of an axis; negative axes count from the end everywhere. */
nn_tensor nn_slice(struct nn_rec *r, nn_tensor t, int axis, uint32_t first, uint32_t count);
/* Every step-th element, of an axis, from first on. */
nn_tensor nn_slice_step(struct nn_rec *r, nn_tensor t, int axis, uint32_t first, uint32_t step);
/* Axis i of the result is axis order[i] of t. */
nn_tensor nn_permute(struct nn_rec *r, nn_tensor t, const int *order);
#define NN_ORDER(...) ((int[]){__VA_ARGS__})
nn_tensor nn_transpose(struct nn_rec *r, nn_tensor t, int a, int b);
/* An axis of length 1 put before `axis`, or taken away. */
nn_tensor nn_unsqueeze(struct nn_rec *r, nn_tensor t, int axis);
nn_tensor nn_squeeze(struct nn_rec *r, nn_tensor t, int axis);
/* Broadcast to a shape by strides of 0. */
nn_tensor nn_expand(struct nn_rec *r, nn_tensor t, uint32_t rank, const uint32_t *shape);

/* Storage that outlives recordings: weights, inputs, caches of chunks. */
struct nn_store;
int nn_store_create(struct nn_store **out, struct vk_device *dev);
void nn_store_destroy(struct nn_store **s);
/* A row-major tensor, contents undefined, 256-byte aligned, freed with the store. Returns 0,
 * FV_EGPUMEM, FV_EINVALID (too large: the text names label and sizes). Not thread-safe. */
int nn_store_tensor(nn_tensor *out, struct nn_store *s, enum nn_dtype dtype, uint32_t rank,
                    const uint32_t *shape, const char *label);
uint64_t nn_store_bytes(const struct nn_store *s);

/* Whole tensors between host and device, row-major on the host, blocking; t must be packed.
 * data is of the tensor's dtype. The _f32 forms convert to and from f16 and bf16. */
int nn_upload(nn_tensor t, const void *data);
int nn_upload_f32(nn_tensor t, const float *data);
int nn_fetch(void *out, nn_tensor t);
int nn_fetch_f32(float *out, nn_tensor t);

/* ---- recorder (rec.c) -------------------------------------------------------------------- */

/* Called by nn_run, after the work, with the values of a trace as f32, row-major. A failure (< 0)
 * ends nn_run with it. */
typedef int (*nn_trace_fn)(void *ud, const char *name, nn_tensor shape, const float *data);

/* Designs of matrix products and convolutions: registers and subgroup shuffles, or tiles in shared
 * memory. */
enum nn_kernel { NN_KERNEL_MEASURED, NN_KERNEL_REGISTERS, NN_KERNEL_SHARED };

/* Measures which of them, reading through texel or storage buffers, is fastest on this device, for
 * less than a second, or takes it from the device's cache directory where an earlier run left it.
 * Without this, what is usual for the device's kind is used. Results differ by rounding. Call it
 * before any recorder of the device records. Returns 0, FV_ENOMEM, FV_EGPUMEM, FV_EDEVICE. */
int nn_tune(struct vk_device *dev);

struct nn_rec_opts {
    bool dry;              /* NN_DRY: nothing is recorded, only counted; dev may be NULL */
    bool check;            /* nn_trace looks for NaN and infinity: see nn_run */
    bool profile;          /* time by op: nn_times */
    bool ssbo;             /* read through storage buffers even where texel buffers serve */
    enum nn_kernel kernel; /* 0: nn_tune's, or the usual; results differ by rounding */
    bool int8;           /* where matrices are of 4-bit codes (matrix.h), rows of x are rounded to 8 bits in
                            groups of 64 */
    bool expand;         /* matrices of codes are kept as the numbers that products take, made once as those
                            of plain weights are (nn_cache), not at every run */
    bool weights_vary;   /* weights change between runs (nn_weights_refill): what ops need in another
                            order is put so in every run instead of kept */
    uint64_t pool_bytes; /* first piece of the pool, e.g. peak_bytes of a dry run; 0 = as needed */
    uint64_t memory_limit;  /* of the pool; 0 = the device's. Beyond it: FV_EGPUMEM */
    struct nn_cache *cache; /* of packed weights, shared by recorders; NULL = the recorder's own */
    nn_trace_fn on_trace;   /* NULL: traces cost nothing */
    void *ud;
};

/* Returns 0, FV_ENOMEM, FV_EDEVICE. One recorder is used by one thread at a time. */
int nn_rec_create(struct nn_rec **out, struct vk_device *dev, const struct nn_rec_opts *o);
void nn_rec_destroy(struct nn_rec **r);
/* Starts anew: waits for the last run; every tensor of the pool is gone. */
void nn_begin(struct nn_rec *r);
/* Ends recording. Returns the first failure since nn_begin. */
int nn_end(struct nn_rec *r);
/* Runs what was recorded and waits; may be called again. With traces their sinks are called; with
 * `check`, FV_EINVALID names the first trace that holds a NaN or an infinity and where. */
int nn_run(struct nn_rec *r);
/* The same without traces and checks, not waiting; ticket for vk_wait. */
int nn_submit(struct nn_rec *r, uint64_t *ticket);

/* What a recording costs; also of a dry run. */
struct nn_cost {
    uint64_t peak_bytes;   /* most of the pool in use at once, with its gaps */
    uint64_t packed_bytes; /* weights that ops keep in another order (nn_cache) */
    double flops;          /* multiply and add are two */
    double bytes;          /* read and written by kernels, operands once each */
    uint32_t dispatches;
};
struct nn_cost nn_cost_of(const struct nn_rec *r);
/* Device memory the pool holds now. */
uint64_t nn_pool_bytes(const struct nn_rec *r);
struct nn_op_time {
    const char *op;
    double ms;
};
/* After nn_run with `profile`: time by op, at most room entries; returns the count. */
size_t nn_times(struct nn_rec *r, struct nn_op_time *out, size_t room);

/* Scopes: what was allocated since nn_push is given back by nn_pop (the device runs in order, so
 * the space may be used again at once), except what was kept for the scope around it.
 *
 *     nn_scope s = nn_push(r);
 *     nn_tensor h = nn_group_norm(r, x, ...);
 *     h = nn_conv(r, h, w, ...);
 *     return nn_pop_keep(r, s, h);                                                          */
typedef struct nn_scope {
    uint32_t depth;
} nn_scope;
nn_scope nn_push(struct nn_rec *r);
/* With a name for errors: "decoder/up 3/block 0". */
nn_scope nn_push_named(struct nn_rec *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void nn_pop(struct nn_rec *r, nn_scope s);
nn_tensor nn_pop_keep(struct nn_rec *r, nn_scope s, nn_tensor t);
/* t's storage belongs to the scope around s; for several results, before nn_pop. */
void nn_keep(struct nn_rec *r, nn_scope s, nn_tensor t);
/* Gives back a temporary at once. Views of it are gone too. */
void nn_free(struct nn_rec *r, nn_tensor t);
/* An uninitialised tensor of the pool. */
nn_tensor nn_new(struct nn_rec *r, enum nn_dtype dtype, uint32_t rank, const uint32_t *shape);
/* The next op's result is written here instead of to a new tensor: a cache that outlives the
 * recording, a packed slice of a larger one. dst: the result's dtype and shape, packed, offset a
 * multiple of 16 bytes. It may be the op's `residual`, else none of its operands. */
void nn_into(struct nn_rec *r, nn_tensor dst);
/* Names a value for on_trace and checks ("mid.conv_in"); returns t. The name is copied. */
nn_tensor nn_trace(struct nn_rec *r, const char *name, nn_tensor t);
/* Stores a failure of the caller's own; returns a null tensor. */
nn_tensor nn_fail(struct nn_rec *r, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
bool nn_failed(const struct nn_rec *r);
bool nn_is_dry(const struct nn_rec *r);

/* Weights in the order that kernels want, made on first use and kept until destroyed, so longer
 * than any recorder over it. The weights must not change or move in between. */
int nn_cache_create(struct nn_cache **out, struct vk_device *dev);
void nn_cache_destroy(struct nn_cache **c);
uint64_t nn_cache_bytes(const struct nn_cache *c);

/* ---- activations ------------------------------------------------------------------------- */

enum nn_act {
    NN_IDENTITY,
    NN_SILU,       /* x sigmoid(x) */
    NN_GELU_TANH,  /* 0.5 x (1 + tanh(0.79788456 (x + 0.044715 x^3))) */
    NN_GELU_ERF,   /* 0.5 x (1 + erf(x / sqrt 2)) */
    NN_QUICK_GELU, /* x sigmoid(1.702 x) */
    NN_RELU,
    NN_LEAKY_RELU, /* x < 0 ? a x : x */
    NN_TANH,
    NN_TANH_SCALE, /* a tanh(x / a), as TAESD clamps its input with a = 3 */
    NN_SIGMOID,
    NN_CLAMP, /* between a and b */
    NN_ACTS,
};
/* An activation and its parameters; {0} is the identity. */
struct nn_activation {
    enum nn_act act;
    float a, b;
};

/* ---- linear algebra (matmul.c, attention.c) ---------------------------------------------- */

/* RMS norm, as nn_rms_norm has it, of heads of D columns that lie side by side in a layer's result: of
 * the first `run` columns by weight[0], of the next by weight[1], if that is not null. */
struct nn_head_norm {
    nn_tensor weight[2]; /* [D]; null: no norm */
    uint32_t run;        /* a multiple of D */
    float eps;           /* 0 = 1e-6 */
    bool apart;          /* by a pass of its own even where the product can end with it */
};

struct nn_linear_opts {
    nn_tensor bias;           /* [N] */
    struct nn_activation act; /* of x w^T + bias */
    nn_tensor gate;      /* [N], or [G, N] (or any shape of G*N elements): rows in G equal runs */
    nn_tensor residual;  /* [..., N]: result = residual + gate * act(...) */
    struct nn_head_norm heads; /* last of all; then there is no activation, gate or residual */
    enum nn_dtype dtype; /* of the result */
};
/* x [..., K], w [N, K] -> act(x w^T + bias) [..., N]. */
nn_tensor nn_linear(struct nn_rec *r, nn_tensor x, nn_tensor w, const struct nn_linear_opts *o);

struct nn_matmul_opts {
    bool trans_a, trans_b; /* a is [..., K, M], b is [..., N, K] */
    float scale;           /* of the product; 0 = 1 */
    nn_tensor add;         /* broadcast to the result */
    enum nn_dtype dtype;
};
/* a [..., M, K], b [..., K, N] -> [..., M, N]; leading axes broadcast. */
nn_tensor nn_matmul(struct nn_rec *r, nn_tensor a, nn_tensor b, const struct nn_matmul_opts *o);

struct nn_attention_opts {
    float scale;      /* of q k^T; 0 = D^-0.5 */
    nn_tensor mask;   /* added to the scaled scores; broadcast to [B, H, T, S]; -INFINITY hides */
    bool causal;      /* query i stands at i + S - T instead of i and sees no key after it */
    uint32_t block;   /* positions count in blocks of so many tokens (frames); 0 = 1 */
    uint32_t window;  /* |query - key| <= window only; 0 = no limit */
    bool heads_apart; /* result [B, H, T, E] instead of [B, T, H * E] */
};
/* q [B, H, T, D], k [B, H or 1 or a divisor of H, S, D], v [.., S, E] -> softmax(q k^T scale + mask)
 * v as [B, T, H * E], ready for the output projection. Views with D contiguous are read in place.
 * A row that sees nothing gives 0. No T x S matrix is made. */
nn_tensor nn_attention(struct nn_rec *r, nn_tensor q, nn_tensor k, nn_tensor v,
                       const struct nn_attention_opts *o);

/* ---- convolution (conv.c) ---------------------------------------------------------------- */

enum nn_pad_mode { NN_PAD_ZERO, NN_PAD_REPLICATE, NN_PAD_REFLECT };

/* Axes are always T, H, W: of [N, C, H, W] only the last two count, of [N, C, W] the last. */
struct nn_conv {
    uint32_t stride[3], dilation[3]; /* 0 = 1 */
    uint32_t pad[3][2];              /* before and after */
    enum nn_pad_mode mode[3];        /* per axis */
    uint32_t groups;                 /* 0 = 1 */
    uint32_t upsample[3];            /* nearest, of x, before padding; 0 = 1 */
    nn_tensor before;         /* [N, C, pad[0][0], H, W]: the frames before x, for pad[0][0] */
    nn_tensor bias;           /* [out] */
    struct nn_activation act; /* of the convolution with its bias */
    nn_tensor residual;       /* the result's shape; added last */
};
/* Causal in time: kernel kt, the first frame repeated (or zeros) kt - 1 times in front. */
#define NN_CAUSAL(kt, how) .pad[0] = {(kt)-1, 0}, .mode[0] = (how)
/* k x k in space with (k - 1) / 2 zeros on each side. */
#define NN_SAME_HW(k) .pad[1] = {((k)-1) / 2, ((k)-1) / 2}, .pad[2] = {((k)-1) / 2, ((k)-1) / 2}
/* x [N, C, T, H, W], [N, C, H, W] or [N, C, W]; w [O, C / groups, kernel...]. A w of one axis less
 * than x works on each frame alone (kT = 1). Result length: (L * upsample + pads - dilation *
 * (k - 1) - 1) / stride + 1. Layout kept (row-major and channels last). */
nn_tensor nn_conv(struct nn_rec *r, nn_tensor x, nn_tensor w, const struct nn_conv *o);

struct nn_conv_transpose {
    uint32_t stride[3], pad[3], output_pad[3],
        dilation[3]; /* as PyTorch's; stride, dilation 0 = 1 */
    uint32_t groups; /* 0 = 1 */
    nn_tensor bias;
};
/* x [N, C, ...], w [C, O / groups, kernel...] -> [N, O, (L - 1) stride - 2 pad + dilation (k - 1) +
 * output_pad + 1]. */
nn_tensor nn_conv_transpose(struct nn_rec *r, nn_tensor x, nn_tensor w,
                            const struct nn_conv_transpose *o);

/* ---- normalisation (norm.c) -------------------------------------------------------------- */

struct nn_group_norm_opts {
    uint32_t groups;          /* 0 = 32 */
    float eps;                /* 0 = 1e-6 */
    nn_tensor weight, bias;   /* [C] */
    struct nn_activation act; /* of the result: SiLU */
    uint32_t span;            /* statistics over so many frames of T, which it divides; 0 = all */
    nn_tensor stats;          /* use these instead, as from nn_group_stats */
    enum nn_dtype dtype;
};
/* x [N, C, T, H, W] or [N, C, ...]: normalised over (C / groups, ...) per sample, group and span of
 * frames (span only for rank 5). Layout kept (row-major and channels last). */
nn_tensor nn_group_norm(struct nn_rec *r, nn_tensor x, const struct nn_group_norm_opts *o);
/* -> f32 [N, T / span, groups, 3]: count, mean, sum of squared deviations from it. */
nn_tensor nn_group_stats(struct nn_rec *r, nn_tensor x, uint32_t groups, uint32_t span);
/* Statistics of two sets from those of each (same shapes): chunks of a clip, tiles of a map. */
nn_tensor nn_group_stats_merge(struct nn_rec *r, nn_tensor a, nn_tensor b);

struct nn_norm_opts {
    float eps;                /* 0 = 1e-6 */
    nn_tensor weight, bias;   /* [C] */
    nn_tensor shift, scale;   /* y (1 + scale) + shift; [C], or [G, C]: rows in G equal runs */
    struct nn_activation act; /* last */
    bool channels;            /* over axis 1 of [N, C, ...], each position alone, instead */
    enum nn_dtype dtype;
};
/* x [..., C] over C: (x - mean) / sqrt(var + eps), respectively x / sqrt(mean(x^2) + eps). */
nn_tensor nn_layer_norm(struct nn_rec *r, nn_tensor x, const struct nn_norm_opts *o);
nn_tensor nn_rms_norm(struct nn_rec *r, nn_tensor x, const struct nn_norm_opts *o);

/* ---- elementwise (elementwise.c), all with the layout kept ------------------------------- */

nn_tensor nn_add(struct nn_rec *r, nn_tensor x, nn_tensor y);
nn_tensor nn_sub(struct nn_rec *r, nn_tensor x, nn_tensor y);
nn_tensor nn_mul(struct nn_rec *r, nn_tensor x, nn_tensor y);
nn_tensor nn_div(struct nn_rec *r, nn_tensor x, nn_tensor y);
nn_tensor nn_min(struct nn_rec *r, nn_tensor x, nn_tensor y);
nn_tensor nn_max(struct nn_rec *r, nn_tensor x, nn_tensor y);
/* x * y + z; x + y * gate; x + (y - x) * t; x * (1 + scale) + shift: all broadcast to one shape. */
nn_tensor nn_fma(struct nn_rec *r, nn_tensor x, nn_tensor y, nn_tensor z);
nn_tensor nn_add_gated(struct nn_rec *r, nn_tensor x, nn_tensor y, nn_tensor gate);
nn_tensor nn_lerp(struct nn_rec *r, nn_tensor x, nn_tensor y, nn_tensor t);
nn_tensor nn_modulate(struct nn_rec *r, nn_tensor x, nn_tensor shift, nn_tensor scale);
/* x * mul + add. */
nn_tensor nn_scale(struct nn_rec *r, nn_tensor x, float mul, float add);
nn_tensor nn_activate(struct nn_rec *r, nn_tensor x, struct nn_activation act);
nn_tensor nn_exp(struct nn_rec *r, nn_tensor x);
nn_tensor nn_sqrt(struct nn_rec *r, nn_tensor x);
/* act(a) * b of x [..., 2C] = [a | b] -> [..., C]; swap: a * act(b). */
nn_tensor nn_glu(struct nn_rec *r, nn_tensor x, struct nn_activation act, bool swap);
/* Round to nearest even, infinities for what is too large; x itself if it has this dtype. */
nn_tensor nn_cast(struct nn_rec *r, nn_tensor x, enum nn_dtype dtype);
/* softmax(scale * x) along the last axis; scale 0 = 1. */
nn_tensor nn_softmax(struct nn_rec *r, nn_tensor x, float scale);

/* ---- layout (layout.c) ------------------------------------------------------------------- */

/* x itself if it is packed and 16-byte aligned, else a packed copy. */
nn_tensor nn_pack(struct nn_rec *r, nn_tensor x);
/* [N, C, ...] with C running fastest in memory (same shape); x itself if it is so. */
nn_tensor nn_channels_last(struct nn_rec *r, nn_tensor x);
/* dst (any view) = x broadcast to it, converted. */
void nn_copy(struct nn_rec *r, nn_tensor dst, nn_tensor x);
void nn_zero(struct nn_rec *r, nn_tensor dst);
nn_tensor nn_concat(struct nn_rec *r, int axis, const nn_tensor *list, uint32_t n);
/* before[i], after[i] elements of axis i of x; value for NN_PAD_ZERO. */
nn_tensor nn_pad(struct nn_rec *r, nn_tensor x, const uint32_t *before, const uint32_t *after,
                 enum nn_pad_mode mode, float value);
/* Each element `times` times in a row along an axis. */
nn_tensor nn_repeat(struct nn_rec *r, nn_tensor x, int axis, uint32_t times);
/* Channels to space and back, f = factors of T, H, W of [N, C, T, H, W] or [N, C, H, W] (f[0] = 1).
 * Channel of the deep side: ((c fT + t) fH + h) fW + w as PyTorch's pixel_shuffle, or with
 * c_last ((t fH + h) fW + w) C + c. */
nn_tensor nn_depth_to_space(struct nn_rec *r, nn_tensor x, const uint32_t f[3], bool c_last);
nn_tensor nn_space_to_depth(struct nn_rec *r, nn_tensor x, const uint32_t f[3], bool c_last);
/* [N, C, T, H, W] -> [N, tokens, C pT pH pW], tokens frame-major, then rows, then columns; features
 * (c, t, h, w) like a convolution's weight, or (t, h, w, c) with c_last. And back: size of the
 * result's T, H, W. */
nn_tensor nn_patchify(struct nn_rec *r, nn_tensor x, const uint32_t p[3], bool c_last);
nn_tensor nn_unpatchify(struct nn_rec *r, nn_tensor x, const uint32_t p[3], const uint32_t size[3],
                        bool c_last);

/* ---- resampling (resample.c): [N, C, T, H, W], [N, C, H, W] or [N, C, W] ------------------- */

enum nn_filter { NN_NEAREST, NN_LINEAR, NN_CUBIC, NN_AREA };
/* Whole factors of T, H, W (those of absent axes 1); linear as align_corners=False. */
nn_tensor nn_upsample(struct nn_rec *r, nn_tensor x, enum nn_filter filter, const uint32_t f[3]);
/* To any size of H, W (x of rank 4 or 5); as PyTorch's interpolate with align_corners=False. Cubic
 * has a = -0.75. With antialias, linear and cubic widen by the scale when shrinking, their weights
 * sum to 1 at the edges too, and cubic has a = -0.5 (as Pillow). NN_AREA averages the pixels under
 * each. */
nn_tensor nn_resize(struct nn_rec *r, nn_tensor x, enum nn_filter filter, uint32_t height,
                    uint32_t width, bool antialias);
struct nn_pool {
    uint32_t kernel[3], stride[3]; /* 0 = 1, stride 0 = kernel */
    uint32_t pad[3][2];
    enum nn_pad_mode mode[3]; /* padded zeros count in the mean */
};
nn_tensor nn_avg_pool(struct nn_rec *r, nn_tensor x, const struct nn_pool *o);
/* Mean over an axis, which becomes 1. */
nn_tensor nn_mean(struct nn_rec *r, nn_tensor x, int axis);

/* ---- embeddings (embed.c) ---------------------------------------------------------------- */

/* ids NN_I32 [...], table [V, D] -> [..., D]; an id outside 0 .. V - 1 gives NaN. */
nn_tensor nn_embed(struct nn_rec *r, nn_tensor ids, nn_tensor table);

struct nn_sinusoid {
    uint32_t dim;     /* even or odd (odd: a zero last) */
    float max_period; /* 0 = 10000 */
    bool sin_first;   /* [sin | cos] instead of [cos | sin] */
    float shift;      /* frequency j of n = dim / 2: max_period^(-j / (n - shift)) */
    float scale;      /* of t; 0 = 1 */
};
/* t f32 [n] -> f32 [n, dim]. Frequencies and angles as PyTorch computes them in f32. */
nn_tensor nn_timestep(struct nn_rec *r, nn_tensor t, const struct nn_sinusoid *o);

/* Angles of rotary embeddings, made on the host in double and uploaded by the caller. */
struct nn_rope_axes {
    uint32_t axes;    /* 1, 2 or 3 */
    uint32_t dim[3];  /* even; consecutive parts of the head, first axis first */
    uint32_t size[3]; /* tokens run over size[0] x size[1] x size[2], last fastest */
    double theta;     /* 0 = 10000; frequency j of an axis: theta^(-2 j / dim) */
    double first[3];  /* position of the first token */
    double step[3];   /* between tokens; 0 = 1 */
};
/* out: tokens x sum(dim) / 2 pairs (cos, sin). */
void nn_rope_table(float *out, const struct nn_rope_axes *o);
/* x [B, H, T, D], table f32 [T, R / 2, 2] with R <= D: the first R features of a head are rotated in
 * pairs (2 j, 2 j + 1), or (j, j + R / 2) with halves. Others are copied. */
nn_tensor nn_rope(struct nn_rec *r, nn_tensor x, nn_tensor table, bool halves);

/* ---- noise (noise.c) --------------------------------------------------------------------- */

/* Standard normal f32: element i depends on seed and first + i only and has the same bits on every
 * device and from nn_normal below (Philox4x32-10, Box-Muller in exactly specified arithmetic). */
nn_tensor nn_randn(struct nn_rec *r, uint64_t seed, uint64_t first, uint32_t rank,
                   const uint32_t *shape);
void nn_normal(float *out, uint64_t seed, uint64_t first, size_t n);
/* The generator itself: one block of four words. */
void nn_philox(uint32_t out[4], const uint32_t counter[4], uint64_t seed);

/* ---- checks (check.c) -------------------------------------------------------------------- */

/* Looks for NaN and infinity in t whenever the recording runs; name for the report (copied). */
void nn_check(struct nn_rec *r, const char *name, nn_tensor t);
struct nn_check_result {
    const char *name; /* borrowed until nn_begin */
    uint32_t nans, infs;
    uint64_t first; /* row-major index of the first of either; UINT64_MAX = none */
};
/* After a run, in the order recorded; returns how many there are, fills at most room. */
size_t nn_checks(struct nn_rec *r, struct nn_check_result *out, size_t room);

#endif
