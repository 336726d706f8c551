/* Weight files: tensors in safetensors files (single, or several behind an index.json), PyTorch
 * zip checkpoints and GGUF, memory-mapped and listed under their own names. Nothing is converted
 * or copied until nn_file_read asks for elements. File contents are never trusted: whatever does
 * not add up is refused with a sentence that names file, tensor, expected and found.
 *
 *     struct nn_file *f;
 *     FV_TRY(nn_file_open(&f, "taesd_decoder.safetensors", NULL));
 *     const struct nn_file_tensor *t = nn_file_find(f, "1.weight");
 *     if (t && t->count == n)
 *         rc = nn_file_read(t, NN_DATA_F32, 0, n, out);     // any source type
 *     nn_file_close(&f);
 */
#ifndef NN_WEIGHTS_H
#define NN_WEIGHTS_H

#include "vk/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
/* Whether a path looks like something nn_file_open takes: by its first bytes, or for a folder by
 * what is in it. Reads no more than that. */
bool nn_file_is_weights(const char *path);

/* Exact name; NULL when there is none. */
const struct nn_file_tensor *nn_file_find(const struct nn_file *f, const char *name);
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

#endif
