/* Weights: files of tensors on the host, and the tensors a model wants from them on the device.
 *
 * Files: safetensors (one, or several behind an index.json), PyTorch zip checkpoints and GGUF,
 * memory-mapped and listed under their own names; nothing is converted or copied until asked for.
 * Their contents are never trusted: what does not add up is refused with a sentence that names
 * file, tensor, expected and found.
 *
 *     struct nn_file *f;
 *     FV_TRY(nn_file_open(&f, "taesd_decoder.safetensors", NULL));
 *     const struct nn_file_tensor *t = nn_file_find(f, "1.weight");
 *     if (t && t->count == n)
 *         rc = nn_file_read(t, NN_DATA_F32, 0, n, out);     // any source type
 *
 * Models: tables of what they want drive loading, shape checks and synthetic weights.
 *
 *     static const struct nn_weight_row rows[] = {
 *         {offsetof(struct block, q), "attn.q.weight", {NN_DIM(0), NN_DIM(0)}},
 *         {offsetof(struct block, b), "attn.q.bias", {NN_DIM(0)}, .flags = NN_WEIGHT_OPTIONAL}};
 *     nn_wants_push(wants, "blocks.%d.", i);
 *     nn_wants_rows(wants, &model->block[i], rows, 2, (uint32_t[]){dim});
 *     nn_wants_pop(wants);
 *     FV_TRY(nn_weights_load(&weights, dev, wants, f, &(struct nn_weights_opts){.dtype = NN_F16}));
 */
#ifndef NN_WEIGHTS_H
#define NN_WEIGHTS_H

#include "vk/base/err.h"
#include "vk/nn/matrix.h"

enum { NN_FILE_MAX_RANK = 8 };

/* What a file's elements are. From Q4_0 on: ggml's blocks along the last dimension. */
enum nn_data {
    NN_DATA_F64,
    NN_DATA_F32,
    NN_DATA_F16,
    NN_DATA_BF16,
    NN_DATA_F8_E4M3, /* the "fn" form: no infinities, NaN is 0x7f and 0xff */
    NN_DATA_F8_E5M2,
    NN_DATA_I64,
    NN_DATA_I32,
    NN_DATA_I16,
    NN_DATA_I8,
    NN_DATA_U64,
    NN_DATA_U32,
    NN_DATA_U16,
    NN_DATA_U8,
    NN_DATA_BOOL,
    NN_DATA_Q4_0,
    NN_DATA_Q4_1,
    NN_DATA_Q5_0,
    NN_DATA_Q5_1,
    NN_DATA_Q8_0,
    NN_DATA_Q2_K,
    NN_DATA_Q3_K,
    NN_DATA_Q4_K,
    NN_DATA_Q5_K,
    NN_DATA_Q6_K,
    NN_DATA_IQ4_NL,
    NN_DATA_IQ4_XS,
    NN_DATA_COUNT
};

/* "F32", "Q4_K" ...; "?" outside the list. */
const char *nn_data_name(enum nn_data type);
/* Elements of one block (1 for plain types) and its bytes. */
uint32_t nn_data_block(enum nn_data type);
uint32_t nn_data_block_bytes(enum nn_data type);
bool nn_data_is_integer(enum nn_data type); /* booleans too */

struct nn_file_tensor {
    const char *name;
    enum nn_data type;
    unsigned rank;                     /* 0: one value */
    uint64_t shape[NN_FILE_MAX_RANK];  /* slowest first, as PyTorch prints it */
    uint64_t stride[NN_FILE_MAX_RANK]; /* elements from one index to the next */
    bool contiguous;                   /* row-major without gaps; always so but for PyTorch's */
    uint64_t count;                    /* product of shape */
    uint64_t bytes;                    /* of count elements, row-major, in this type */
    const uint8_t *data;               /* first element, any alignment; into the map */
    uint64_t span;                     /* bytes from data to the last element's end */
    uint64_t offset;                   /* of data in its file */
    unsigned part;                     /* index into nn_file.parts */
};

enum nn_file_kind { NN_FILE_SAFETENSORS, NN_FILE_TORCH, NN_FILE_GGUF };

/* One fact beside the tensors, as text: safetensors' __metadata__, GGUF's key-value pairs, numbers
 * and texts at the top of a PyTorch checkpoint. */
struct nn_file_text {
    const char *key, *value;
};

struct nn_file {
    enum nn_file_kind kind;
    const char *name;               /* of the file, or of the index of several */
    struct nn_file_tensor *tensors; /* in the order of the file */
    size_t count;
    struct nn_file_text *meta;
    size_t meta_count;
    const char **parts; /* paths of the files that hold the bytes */
    size_t part_count;
    struct nn_file_private *p;
};

struct nn_file_opts {
    /* PyTorch checkpoints that hold several sets of tensors: the one to list ("ema"). NULL: the
     * first of state_dict, ema, model, module, params_ema, params that is there. */
    const char *root;
};

/* Opens a file, recognised by its contents, or a folder: the one weight file in it, or the one
 * with a usual name (model.safetensors, diffusion_pytorch_model.safetensors, weights.safetensors,
 * pytorch_model.bin, each also as NAME.index.json). opts may be NULL.
 *
 * Names under a common "module." or "_orig_mod." (wrappers of training) are listed without it.
 * Returns 0, FV_EIO, FV_EFORMAT (damaged), FV_EUNSUPPORTED (another format, type or class). */
int nn_file_open(struct nn_file **out, const char *path, const struct nn_file_opts *opts);
/* The same from bytes that outlive the file; name is for messages. */
int nn_file_parse(struct nn_file **out, const void *data, size_t size, const char *name,
                  const struct nn_file_opts *opts);
void nn_file_close(struct nn_file **f);
/* Whether a path is named or begins like something nn_file_open takes; of a folder, whether it
 * would find one file in it. */
bool nn_file_is_weights(const char *path);

/* Exact name; NULL when there is none. */
const struct nn_file_tensor *nn_file_find(const struct nn_file *f, const char *name);
/* The tensor NAME.weight of a linear layer, or its codes, NAME.qweight, which have as many rows. */
const struct nn_file_tensor *nn_file_find_matrix(const struct nn_file *f, const char *name);
/* NULL when there is none. */
const char *nn_file_meta(const struct nn_file *f, const char *key);
/* "safetensors", "PyTorch checkpoint", "GGUF". */
const char *nn_file_kind_name(enum nn_file_kind kind);
/* "[64, 4, 3, 3]"; "[]" for one value. */
void nn_shape_text(char out[160], const uint64_t *shape, unsigned rank);

/* Elements [first, first + n) in row-major order, converted.
 *
 * as   F64, F32, F16, BF16 from any type (rounded to nearest even; out of range becomes
 *      infinity); I64, I32 from integers and booleans. Quantised blocks are expanded with ggml's
 *      arithmetic in f32.
 *
 * Returns 0, FV_EINVALID (range, or a conversion not listed; integers that do not fit I32). */
int nn_file_read(const struct nn_file_tensor *t, enum nn_data as, uint64_t first, uint64_t n,
                 void *out);
/* Tells the system that a tensor's pages are not needed again soon. */
void nn_file_forget(const struct nn_file *f, const struct nn_file_tensor *t);

/* ---- what a model wants (wants.c) ---- */

/* Another order or shape on the device, made while loading on whole tensors in host memory. */
struct nn_weight_layout {
    /* Changes rank and shape of the row-major t to what is stored; may be more elements. */
    void (*shape)(nn_tensor *t);
    /* to, from: the stored tensor and the one of the table; both of the stored dtype. */
    void (*pack)(void *out, nn_tensor to, const void *in, nn_tensor from);
};

enum nn_weight_flags {
    NN_WEIGHT_OPTIONAL = 1, /* absent: a null tensor */
    NN_WEIGHT_ONES = 2,     /* axes of length 1 do not count: [C, C, 1, 1] is taken for [C, C] */
    /* the field is a struct nn_matrix. Names end in ".weight"; in its place there may be ".qweight",
     * ".qscale" and, not needed, ".smooth", ".lora_down", ".lora_up" (docs/QUANT.md) */
    NN_WEIGHT_MATRIX = 4,
};

/* One tensor of a model's struct. */
struct nn_weight_row {
    size_t field;               /* offsetof the nn_tensor, or struct nn_matrix */
    const char *name;           /* "q.weight"; "q.weight|to_q.weight": the first that is there */
    int32_t shape[NN_MAX_RANK]; /* up to the first 0; NN_DIM(i) is element i of `dims` */
    unsigned flags;
    enum nn_dtype dtype; /* NN_SAME: as nn_weights_opts says */
    const struct nn_weight_layout *layout;
};
#define NN_DIM(i) (-1 - (i))

/* A list of wanted tensors. Failure is sticky: nn_weights_load and _plan return the first. Keeps
 * pointers to the tensors of the model, which they fill. */
struct nn_wants;
int nn_wants_create(struct nn_wants **out);
void nn_wants_destroy(struct nn_wants **w);
/* Words before every name that follows, until popped; alternatives as in rows:
 * "mid.attn_1.|mid_block.attentions.0.". */
void nn_wants_push(struct nn_wants *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void nn_wants_pop(struct nn_wants *w);
void nn_wants_add(struct nn_wants *w, nn_tensor *dst, const char *name, unsigned flags,
                  uint32_t rank, const uint32_t *shape);
/* A table over the struct at base. */
void nn_wants_rows(struct nn_wants *w, void *base, const struct nn_weight_row *rows, size_t n,
                   const uint32_t *dims);
/* A table over `count` structs `stride` bytes apart; "%d" in a name is the number of the struct,
 * counted from `first`. */
void nn_wants_blocks(struct nn_wants *w, void *base, size_t stride, uint32_t first, uint32_t count,
                     const struct nn_weight_row *rows, size_t n, const uint32_t *dims);
size_t nn_wants_count(const struct nn_wants *w);

/* ---- on the device (weights.c) ---- */

/* What became of a list; filled also when loading fails. Texts are the report's own. */
struct nn_weights_report {
    const char *prefix;                  /* of nn_weights_opts.prefixes, the one taken */
    const char **missing;                /* wanted, not optional, not there; the first 1000 */
    const char **unknown;                /* there, not wanted, not ignored; the first 1000 */
    size_t missing_count, unknown_count; /* all */
    uint64_t parameters;                 /* elements loaded */
    uint64_t file_bytes, device_bytes;
    double seconds;
    struct fv_arena *arena;
};
void nn_weights_report_finish(struct nn_weights_report *r);

struct nn_lora;
struct nn_weights_opts {
    /* Storage of matrices and kernels. NN_SAME: the file's own type if it is F32, F16 or BF16, F16
     * for quantised ones, else F32. Vectors (rank 1) are always f32 unless their row says. */
    enum nn_dtype dtype;
    const char *const
        *prefixes; /* NULL-ended, before all names: the one under which most are found */
    const char *const *ignore; /* NULL-ended: what begins so (after the prefix) is not unknown */
    bool strict;               /* unknown tensors are an error */
    bool allow_bad; /* do not look for NaN, infinities and values the dtype cannot hold */
    fv_progress_fn on_progress;
    void *ud;
    uint64_t room; /* bytes at least, of the first slab: for refills that take more than these */
    uint64_t base; /* nn_weights_plan: added to where tensors are said to lie, that several plans stay
                      apart */
    struct nn_lora *const *lora; /* lora.h: added to the low-rank branches of matrices */
    size_t lora_count;
    struct nn_weights_report *report; /* NULL = not wanted; the caller finishes it */
};

/* Loaded tensors: a few large buffers, none above the device's binding limit but for a tensor that is
 * so by itself. */
struct nn_weights {
    struct vk_buf *slabs;
    size_t slab_count;
    uint64_t bytes; /* of all slabs */
};

/* Finds every wanted tensor, checks shapes, uploads. A tensor wanted twice is stored once. All
 * tensors of the list are null after a failure.
 *
 * Returns 0, FV_EFORMAT (missing tensors, wrong shapes, NaN: all named), FV_EGPUMEM, FV_ECANCELLED.
 * The file may be closed afterwards. opts may be NULL. */
int nn_weights_load(struct nn_weights **out, struct vk_device *dev, const struct nn_wants *wants,
                    const struct nn_file *f, const struct nn_weights_opts *opts);
/* Other tensors of the same shapes and types into the same memory: the next block of a model that
 * is not held whole. Waits for work that reads it. Returns FV_EINVALID when they do not fit. */
int nn_weights_refill(struct nn_weights *w, const struct nn_wants *wants, const struct nn_file *f,
                      const struct nn_weights_opts *opts);
/* Repeatable random contents for tests and benchmarks: matrices and kernels of variance 1 / fan-in,
 * vectors about 1, biases about 0; depends on seed and names alone. */
int nn_weights_synthetic(struct nn_weights **out, struct vk_device *dev,
                         const struct nn_wants *wants, uint64_t seed,
                         const struct nn_weights_opts *opts);
/* For dry runs: tensors without storage; *bytes on the device. f may be NULL: then everything
 * optional is there, and NN_SAME is f32. */
int nn_weights_plan(uint64_t *bytes, const struct vk_device *dev, const struct nn_wants *wants,
                    const struct nn_file *f, const struct nn_weights_opts *opts);
/* The tensors become invalid. Waits for work that uses them. */
void nn_weights_destroy(struct nn_weights **w);

#endif
