/* Interface of the convolution kernels, included by C and GLSL: push constants. After params.h. */
#ifndef NN_CONV_PARAMS_H
#define NN_CONV_PARAMS_H

/* conv_direct.comp. Three values in one word: T, H, W, 10 bits each. */
#define NN_CONV_PACK(t, h, w) ((t) | (h) << 10 | (w) << 20)
#define NN_CONV_MAX           1023
struct nn_conv_direct_push {
    NN_UINT from[3], to[3];                          /* T, H, W of x and of the result */
    NN_UINT x_stride[NN_RANK];                       /* elements */
    NN_UINT kernel, stride, dilation, upsample, pad; /* packed as above; pad: before */
    NN_UINT modes; /* NN_CONV_ZERO ... of T, H, W, two bits each */
    NN_UINT in_channels, out_channels; /* of a group */
    NN_UINT groups;
    NN_UINT base[4];      /* elements before x, w, bias, residual in their bindings */
    NN_UINT begin, count; /* element of the result that this dispatch starts at; fours to do */
    float a, b;           /* of the activation */
};
#define NN_CONV_ZERO      0
#define NN_CONV_REPLICATE 1
#define NN_CONV_REFLECT   2

/* conv_tile.comp. Fours are of channels; packed words are NN_CONV_PACK(T, H, W). */
struct nn_conv_tile_push {
    NN_UINT from[3], to[3];     /* T, H, W of x and of the result */
    NN_UINT x_stride[3];        /* of T, H, W, elements */
    NN_UINT before_stride[3];   /* of the frames before x */
    NN_UINT kernel, stride, dilation, upsample, pad;
    NN_UINT modes;              /* NN_CONV_ZERO ... of T, H, W, two bits each */
    NN_UINT in_fours, out_fours;
    NN_UINT begin, count;       /* position of the sample that this dispatch starts at; how many */
    NN_UINT x_base, before_base, bias_base, residual_base, out_base; /* elements */
    float act_a, act_b;
};

/* conv_pack.comp */
struct nn_conv_pack_push {
    NN_UINT in_channels, out_channels, taps;
    NN_UINT depth;        /* fours of channels of a tap, with those of zeros */
    NN_UINT base;         /* elements before w in its binding */
    NN_UINT first, count; /* fours to write: where this dispatch starts, how many */
};

#endif
