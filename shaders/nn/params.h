/* Interface of the tensor kernels, included by C (vk/nn/) and GLSL: push constants. Only 32-bit
 * members. */
#ifndef NN_PARAMS_H
#define NN_PARAMS_H

#ifdef VULKAN /* defined by glslc */
#define NN_UINT uint
#else
#include <stdint.h>
#define NN_UINT uint32_t
#endif

/* Element types, as specialisation constants of kernels (enum nn_dtype). */
#define NN_TYPE_F32 1
#define NN_TYPE_F16 2
#define NN_TYPE_BF16 3
#define NN_TYPE_I32 4

/* Activations (enum nn_act). */
#define NN_ACT_IDENTITY 0
#define NN_ACT_SILU 1
#define NN_ACT_GELU_TANH 2
#define NN_ACT_GELU_ERF 3
#define NN_ACT_QUICK_GELU 4
#define NN_ACT_RELU 5
#define NN_ACT_LEAKY_RELU 6
#define NN_ACT_TANH 7
#define NN_ACT_TANH_SCALE 8
#define NN_ACT_SIGMOID 9
#define NN_ACT_CLAMP 10

/* elementwise.comp: what is computed of operands x, y, z and numbers a, b. */
#define NN_EW_ADD 0
#define NN_EW_SUB 1
#define NN_EW_MUL 2
#define NN_EW_DIV 3
#define NN_EW_MIN 4
#define NN_EW_MAX 5
#define NN_EW_FMA 6      /* x y + z */
#define NN_EW_GATED 7    /* x + y z */
#define NN_EW_LERP 8     /* x + (y - x) z */
#define NN_EW_MODULATE 9 /* x (1 + z) + y */
#define NN_EW_SCALE 10   /* x a + b */
#define NN_EW_ACT 11
#define NN_EW_EXP 12
#define NN_EW_SQRT 13
/* How an operand is read for four results in a row. */
#define NN_EW_FLAT 0   /* the four at the same place */
#define NN_EW_FOUR 1   /* four in a row elsewhere */
#define NN_EW_SPLAT 2  /* one for all four */
#define NN_EW_SINGLE 3 /* each where its own index says */
#define NN_EW_NONE 4

#define NN_RANK 5
struct nn_elementwise_push {
    NN_UINT shape[NN_RANK]; /* axes after merging, last fastest */
    NN_UINT stride[3 * NN_RANK];
    NN_UINT base[3];
    NN_UINT begin, count; /* element of the result that this dispatch starts at; fours to do */
    float a, b;
};

/* copy.comp: how results are written. */
#define NN_COPY_PACKED 0 /* four in a row, one after the other */
#define NN_COPY_FOUR 1   /* four in a row, rows elsewhere */
#define NN_COPY_PAIR 2   /* two 16-bit elements of one word */
#define NN_COPY_WORD 3   /* one 32-bit element */
#define NN_COPY_HALF 4   /* one 16-bit element, by atomics on its word */
#define NN_COPY_RANK 8
#define NN_COPY_UNROLL 4 /* units an invocation writes, GROUP apart */
struct nn_copy_push {
    NN_UINT shape[NN_COPY_RANK]; /* axes after merging, last fastest */
    NN_UINT from[NN_COPY_RANK], to[NN_COPY_RANK]; /* strides, elements */
    NN_UINT from_base, to_base;
    NN_UINT begin, count; /* elements: where this dispatch starts, how many it does */
};

/* turn.comp: as nn_copy_push, the two axes in squares. */
struct nn_turn_push {
    NN_UINT shape[NN_COPY_RANK];
    NN_UINT from[NN_COPY_RANK], to[NN_COPY_RANK];
    NN_UINT from_base, to_base, count;
    NN_UINT from_step, to_step; /* from line to line of a square */
};

/* pad.comp */
#define NN_PADDING_VALUE 0
#define NN_PADDING_REPLICATE 1
#define NN_PADDING_REFLECT 2
struct nn_pad_push {
    NN_UINT shape[NN_RANK], from[NN_RANK], before[NN_RANK]; /* leading axes 1 */
    NN_UINT begin, count; /* element this dispatch starts at; fours to do */
    NN_UINT value;        /* bits of an element */
};

/* check.comp: words of a result (NaN, infinities, index of the first, unused), fours a lane. */
#define NN_CHECK_WORDS 4
#define NN_CHECK_RUN 16
struct nn_check_push {
    NN_UINT begin, count, slot; /* elements; slot: word the result starts at */
};

/* noise.comp and vk/nn/noise.c: 2 ln 2 in 30 fractional bits; (pi/2)^(2k+1) / (2k+1)! in 31. */
#define NN_NOISE_2LN2 0x58b90bfcu
#define NN_NOISE_S0 0xc90fdaa2u
#define NN_NOISE_S1 0x52aef399u
#define NN_NOISE_S2 0xa335e34u
#define NN_NOISE_S3 0x996966u
#define NN_NOISE_S4 0x541e1u
#define NN_NOISE_S5 0x1e30u
#define NN_NOISE_S6 0x7au
struct nn_noise_push {
    NN_UINT seed_low, seed_high;
    NN_UINT first_low, first_high, skip; /* counter and place in it of the first element */
    NN_UINT count;                       /* fours */
};

struct nn_embed_push {
    NN_UINT features, all_rows;
    NN_UINT row, rows;            /* of the table, bound here */
    NN_UINT base, id_base;        /* elements before them in their bindings */
    NN_UINT begin, count, last;   /* element of the result, fours to do, its last element */
};

struct nn_timestep_push {
    NN_UINT dim, count, t_base, sin_first;
    float scale;
};

struct nn_rope_push {
    NN_UINT d, rotated, t, h;
    NN_UINT stride_b, stride_h, stride_t, base, table_base; /* elements */
    NN_UINT begin, count, last; /* element of the result, fours to do, its last element */
};

struct nn_softmax_push {
    NN_UINT rows, n;
    float scale;
};

/* How resample.comp finds four results in a row. */
#define NN_RESAMPLE_ANY 0
#define NN_RESAMPLE_FOURS 1
#define NN_RESAMPLE_LINE 2
struct nn_resample_push {
    NN_UINT from, to, inner;    /* lengths of the axis, elements after it */
    NN_UINT begin, count, last; /* element of the result, fours to do, its last element */
};

struct nn_pool_push {
    NN_UINT from_t, from_h, from_w, to_t, to_h, to_w, pad_t, pad_h, pad_w;
    NN_UINT begin, count, last;
};

struct nn_mean_push {
    NN_UINT n, run, runs, inner;
    NN_UINT begin, count, last;
    float scale;
};

#endif
