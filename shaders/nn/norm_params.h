/* Interface of the kernels of norms, included by C and GLSL: push constants. After params.h. */
#ifndef NN_NORM_PARAMS_H
#define NN_NORM_PARAMS_H

/* group_moments.comp, group_norm.comp: how a block's elements lie. A unit is a sample's span of
 * frames; a block is a run of a unit's positions, for all channels or one. */
#define NN_GROUP_SINGLE    0 /* one element at a time, any dense layout */
#define NN_GROUP_CHANNELS  1 /* four channels at a time of channels last */
#define NN_GROUP_POSITIONS 2 /* four positions at a time of row-major */
struct nn_group_push {
    NN_UINT channels, positions; /* of a unit */
    NN_UINT units;               /* of a sample */
    NN_UINT run, runs;           /* positions of a run; runs of a unit */
    NN_UINT begin, count;        /* first block (SINGLE: element), how many */
    NN_UINT first;               /* element both bindings start at */
    NN_UINT base[2];             /* elements before it in x's and in the result's binding */
    NN_UINT stride[3];           /* of samples, channels, positions */
    float a, b;
};
/* group_merge.comp */
struct nn_merge_push {
    NN_UINT channels, positions, run, runs; /* of what is merged */
    NN_UINT per, count;                     /* runs merged into one; results */
    NN_UINT group;                          /* channels merged: the last step; 0 = none */
};
/* group_table.comp: stats, weight, bias -> mean, factor, addend of each channel. */
struct nn_table_push {
    NN_UINT channels, groups, count;
    NN_UINT base[3]; /* elements before stats, weight, bias */
    float eps;
};
/* group_stats_merge.comp */
struct nn_stats_push {
    NN_UINT count, base[2];
};
/* row_norm.comp, row_norm_lanes.comp, row_moments.comp, row_apply.comp */
struct nn_row_push {
    NN_UINT width;       /* elements of a row */
    NN_UINT rows, begin; /* rows to do; the first */
    NN_UINT modulated;   /* rows that share a shift and scale */
    NN_UINT base[5];     /* elements before x, weight, bias, shift, scale */
    float eps, a, b;
};

#endif
