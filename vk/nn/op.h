/* Private to vk/nn/: what operators are written with.
 *
 * An op checks shapes (nn_fail), brings operands into a form its kernel reads (nn_dense), makes its
 * result (nn_out) and dispatches, in parts if an operand is larger than one binding:
 *
 *     nn_tensor nn_scale(struct nn_rec *r, nn_tensor x, float mul, float add)
 *     {
 *         if (!nn_op(r, "nn_scale", 1, &x))
 *             return (nn_tensor){0};
 *         x = nn_dense(r, x);
 *         nn_tensor y = nn_out(r, x.dtype, x.rank, x.shape);
 *         nn_dispatch(r, &(struct nn_call){.shader = "nn/scale", ...});
 *         return nn_op_end(r, y);
 *     }
 *
 * In a dry run all of this happens but the dispatch. */
#ifndef NN_OP_H
#define NN_OP_H

#include "vk/cmd.h"
#include "vk/nn/nn.h"

enum { NN_ALIGN = 256, NN_MAX_BINDS = 12 };

/* Begins an op: sets its name for errors and profiles, opens a scope for its temporaries. false if
 * the recorder has failed or one of the n operands is null (which is a failure); then return a null
 * tensor and do not call nn_op_end. Ops may call other ops inside. */
bool nn_op(struct nn_rec *r, const char *name, uint32_t n, const nn_tensor *operands);
/* Ends it: gives back the temporaries except t. Returns t, or a null tensor after a failure. */
nn_tensor nn_op_end(struct nn_rec *r, nn_tensor t);

/* The op's result: a new tensor, or what nn_into asked for. Call it once, for the last result. */
nn_tensor nn_out(struct nn_rec *r, enum nn_dtype dtype, uint32_t rank, const uint32_t *shape);
/* Like t in shape and order of axes in memory. */
nn_tensor nn_out_like(struct nn_rec *r, enum nn_dtype dtype, nn_tensor t);
/* Packed, its offset a multiple of NN_ALIGN, f32 or f16: t itself or a copy. bf16 becomes f32. */
nn_tensor nn_dense(struct nn_rec *r, nn_tensor t);
/* The same but bf16 stays. */
nn_tensor nn_dense_any(struct nn_rec *r, nn_tensor t);
/* x.dtype unless another is asked for. */
static inline enum nn_dtype nn_result_dtype(nn_tensor x, enum nn_dtype asked)
{
    return asked == NN_SAME ? x.dtype : asked;
}
/* The same elements under another shape; t packed, counts equal. */
nn_tensor nn_as(nn_tensor t, uint32_t rank, const uint32_t *shape);
/* A view of the given rank: axes of length 1 are put before axis `at`. */
nn_tensor nn_lead(nn_tensor t, uint32_t at, uint32_t rank);
/* Whether an optional operand is null or has n elements; else the failure names it. */
bool nn_fits(struct nn_rec *r, const char *name, nn_tensor t, uint64_t n);
/* Row-major strides for a shape. */
void nn_pack_strides(nn_tensor *t);

/* One binding of a kernel. Reads are texel buffers in a shader's `.tex` form and storage in its
 * `.ssbo` form; shaders/nn/common.glsl declares both. */
enum nn_access {
    NN_READ4,      /* four elements: RGBA32F, RGBA16F, RGBA16_UINT (bf16), RGBA32_UINT (i32) */
    NN_READ1,      /* one element: R32F, R16F, R16_UINT, R32_UINT */
    NN_WORDS4,     /* four elements as bits: RGBA32_UINT, RG32_UINT of 16-bit types (NN_WORDS) */
    NN_WORDS1,     /* one element as bits: R32_UINT, R16_UINT */
    NN_READ_UVEC4, /* 16 bytes as RGBA32_UINT, whatever the elements */
    NN_STORAGE     /* a storage buffer, read or written */
};
struct nn_binding {
    nn_tensor t;
    enum nn_access how;
    uint64_t first, count; /* elements in memory from t's first on; count 0 = to its end */
};
/* A binding begins at a multiple of NN_ALIGN bytes; this is how many elements that is before
 * element `first` of t (0 of a null t): kernels get it as a push constant where it can be other
 * than 0. */
uint32_t nn_bind_skip(nn_tensor t, uint64_t first);
/* Most bytes of a storage binding, a multiple of NN_ALIGN. */
uint64_t nn_storage_max(const struct nn_rec *r);

struct nn_call {
    const char *shader;  /* "nn/elementwise" */
    const char *variant; /* NULL, or "gelu": shader "nn/elementwise.gelu" */
    bool plain;          /* has no .tex and .ssbo forms */
    bool ssbo;           /* take the .ssbo form (tests, GPUs where it is faster) */
    uint32_t spec[VK_MAX_SPEC], nspec;
    uint32_t subgroup; /* 0 = the device's */
    struct nn_binding bind[NN_MAX_BINDS];
    uint32_t nbind;
    const void *push;
    uint32_t push_size;
    uint64_t groups; /* spread over x and y where there are more than a dimension holds: GROUP_ID */
    uint32_t groups_y, groups_z; /* 0: as said. Else groups is x alone */
    double flops, bytes;         /* for nn_cost */
};
/* Records one dispatch into the recording, or into the packing of weights (nn_cached). */
void nn_dispatch(struct nn_rec *r, const struct nn_call *c);

/* All words of a packed tensor of the pool (its end rounded up to 4 bytes) = value. */
void nn_fill_words(struct nn_rec *r, nn_tensor t, uint32_t value);

/* A small packed tensor of the pool with these contents, copied into the recording. */
nn_tensor nn_constant(struct nn_rec *r, enum nn_dtype dtype, uint32_t rank, const uint32_t *shape,
                      const void *data);

/* A packed form of weight w under a key of the op's (kernel, tile sizes ...): looked up, or made.
 * When *fresh is set, the op records how to fill it (dispatches go to the recorder's preparation,
 * run once before the next nn_run) and then calls nn_cached_end. */
nn_tensor nn_cached(struct nn_rec *r, nn_tensor w, uint32_t key, enum nn_dtype dtype, uint32_t rank,
                    const uint32_t *shape, bool *fresh);
void nn_cached_end(struct nn_rec *r);

/* The device (NULL in a dry run without one), and what ops choose kernels by. */
struct vk_device *nn_device(const struct nn_rec *r);
bool nn_on_cpu(const struct nn_rec *r); /* true without a device */
/* Lanes of kernels that are built for 4, 8 and 16: the device's subgroup or less; 8 without one. */
uint32_t nn_lanes(const struct nn_rec *r);
enum nn_kernel nn_kernel_asked(const struct nn_rec *r);
bool nn_int8_asked(const struct nn_rec *r);
bool nn_expand_asked(const struct nn_rec *r);

/* Rows of `fovea bench ops`: each op file defines a table nn_bench_<file>[], ended by a row without
 * a name and listed in bench.c. */
enum nn_bench_how {
    NN_BENCH_GEMM = 1,  /* part of what the arithmetic ceiling is measured by */
    NN_BENCH_APART = 2, /* measured only where a filter names it */
    NN_BENCH_INT8 = 4,  /* with nn_rec_opts.int8 */
};
struct nn_bench_row {
    const char *op, *size; /* "linear", "1024x1152x4608 f16" */
    /* Records the work once. Inputs come from nn_bench_input. */
    void (*record)(struct nn_rec *r, const struct nn_bench_row *row);
    uint32_t p[8];
    enum nn_dtype dtype;
    unsigned how; /* of enum nn_bench_how */
};
/* A tensor of the pool with contents (small numbers), for benchmarks. */
nn_tensor nn_bench_input(struct nn_rec *r, enum nn_dtype dtype, uint32_t rank,
                         const uint32_t *shape);

#endif
