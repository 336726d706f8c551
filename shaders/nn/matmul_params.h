/* Interface of the kernels of linear layers, matrix products and attention: push constants.
 * After params.h. */
#ifndef NN_MATMUL_PARAMS_H
#define NN_MATMUL_PARAMS_H

/* Elements, unless said otherwise. Three leading (batch) axes, slowest first. */
struct nn_matmul_push {
    NN_UINT rows, columns, depth;      /* columns and depth in fours */
    NN_UINT row, batch, panel;         /* what the first workgroup does */
    NN_UINT batch_shape[2];            /* of the two faster batch axes */
    NN_UINT a_batch[3], b_batch[3];    /* strides; b's and b_base in fours */
    NN_UINT add_batch[3];
    NN_UINT a_row, add_row;            /* strides */
    NN_UINT gate_run;                  /* rows that share a row of the gate */
    NN_UINT a_base, b_base, add_base, gate_base, residual_base, out_base;
    float scale, act_a, act_b;
    NN_UINT head_columns, head_run; /* HEADS, fours: what is normalised, what the first weight is of */
    float head_eps;
};

/* head_norm.comp: columns in fours, of a row and of its heads; bases in fours. */
struct nn_head_norm_push {
    NN_UINT rows, columns, head_columns, head_run;
    NN_UINT base, weight_base, weight2_base;
    float eps;
};

/* Fours of k that a step of matmul.comp's register tiles takes of 16-bit panels; of f32 one. */
#define NN_PAIRS_STEP 2

/* matmul_pack.comp: panels of columns, each depth x lanes fours. */
struct nn_matmul_pack_push {
    NN_UINT columns, depth;        /* of the source */
    NN_UINT padded_depth, panels;  /* of the packed form */
    NN_UINT batch_shape[2], batch_stride[3];
    NN_UINT column_stride, depth_stride;
    NN_UINT base, first, count;    /* first: four of the packed form that this dispatch starts at */
};

/* matrix.comp: codes into panels. NN_CODED_*: as enum nn_code. */
#define NN_CODED_NONE 0 /* panels of plain numbers */
#define NN_CODED_INT4 1
#define NN_CODED_NF4 2
#define NN_CODED_INT8 3
/* The quantiles of a normal distribution that QLoRA's 4-bit type has (arXiv 2305.14314, appendix E). */
#define NN_NF4_VALUES                                                                              \
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,    \
        -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, \
        0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,         \
        0.7229568362236023, 1.0
struct nn_matrix_push {
    NN_UINT fours, depth; /* of columns; rows of a panel */
    NN_UINT groups;       /* of 64 inputs */
    NN_UINT rank;         /* in fours */
    NN_UINT last;         /* input */
    NN_UINT panel;        /* what the first workgroup does */
};

/* quantise_rows.comp: fours of a row of x, groups of 64; base in fours. */
struct nn_quantise_rows_push {
    NN_UINT rows, fours, groups, base;
};

/* matrix_int8.comp: columns, rank and bases in fours. */
struct nn_matrix_int8_push {
    NN_UINT rows, columns, groups, rank;
    NN_UINT row, gate_run; /* the first row; rows that share a row of the gate */
    NN_UINT t_base, add_base, gate_base, residual_base, out_base;
    float act_a, act_b;
};

/* matrix_few.comp: columns, fours (of a row of x), rank and bases in fours; groups of 64; last: input. */
struct nn_matrix_few_push {
    NN_UINT rows, columns, fours, groups, rank, last;
    NN_UINT gate_run; /* rows that share a row of the gate */
    NN_UINT x_base, add_base, gate_base, residual_base, out_base;
    float act_a, act_b;
};

/* attention.comp: strides of batch, head and token, in fours; token stride of the mask too. */
struct nn_attention_push {
    NN_UINT queries, keys;
    NN_UINT q[3], k[3], v[3], mask[3], to[3];
    NN_UINT k_group, v_group; /* query heads to a head of k, of v */
    NN_UINT q_base, k_base, v_base, mask_base, out_base;
    NN_UINT batch, head, query; /* what the first workgroup does */
    NN_UINT block;
    int window; /* in blocks; negative: no limit */
    int shift;  /* of a query's position against its index; used when causal */
    float scale; /* with log2 e */
};

/* attention_softmax.comp */
struct nn_attention_softmax_push {
    NN_UINT rows, row_fours, base; /* base in fours */
    NN_UINT query, keys, block;    /* query: index of the first row */
    int window, shift;             /* as above */
};

#endif
