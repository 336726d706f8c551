/* Quantising linear layers, offline and on the host: y = W x + b, W [n][k] row-major.
 *
 *     struct qt_opts o = qt_usual(QT_SVDQUANT);
 *     struct qt_layer l;
 *     FV_TRY(qt_quantise(&l, "blocks.0.fc1", w, n, k, &(struct qt_seen){x, rows, absmax}, &o));
 *     ... write l.codes, l.scales, l.smooth, l.down, l.up ...
 *     qt_layer_finish(&l);
 *
 * A quantised layer is y = dequant(codes, scales) (x / smooth) + up (down x) + b. docs/QUANT.md has
 * the mathematics with the papers' sections, and the formats byte by byte.
 *
 * Everything computes the same bits on every processor and with any number of threads. */
#ifndef QUANT_H
#define QUANT_H

#include "vk/nn/matrix.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { QT_GROUP = NN_CODE_GROUP }; /* inputs that share a scale */

/* In the order of qt_method_names. */
enum qt_method {
    QT_SVDQUANT, /* smoothing, low-rank branch, 4 bits: arXiv 2411.05007 */
    QT_RTN4,     /* nearest of -7..7 */
    QT_RTN8,     /* nearest of -127..127 */
    QT_NF4,      /* nearest of 16 values that lie as a normal distribution's do */
};
extern const char *const qt_method_names[]; /* NULL last */
struct qt_opts {
    enum qt_method method;
    unsigned rank;        /* of the branch beside the quantised one; 0: none */
    unsigned grids;       /* alpha = 1/grids .. (grids-1)/grids; 0 or 1: no smoothing */
    unsigned iterations;  /* refinements of branch and residual at most; stops when one is worse */
    unsigned activations; /* bits of x errors are judged at: 4, 8, or 16: x as it is */
    bool plain_smooth;    /* smoothing is chosen without the branch */
    bool gptq;            /* rounding errors move on to inputs still to be rounded */
    bool exact;           /* scales and branch stay f32: the paper's arithmetic, not the files' */
    unsigned passes;      /* of the subspace iteration at most, from random directions */
    unsigned more_passes; /* ... and from those of the last, similar matrix */
    double tolerance;     /* ... it ends when a pass changes what it holds by less, relatively */
    size_t search_rows, search_outputs; /* that smoothing (and of rows refinement) is judged by; 0: all */
    double shift;         /* added to x before it is quantised to 0..15 (activations 4); 0: signed */
    uint64_t seed;
    /* Told what is tried; NULL: not. stage 0: smoothing (alpha, beta), 1: refinement. scales [k]. */
    void (*on_try)(void *ud, int stage, double alpha, double beta, const float *scales, double error);
    void *ud;
};
struct qt_opts qt_usual(enum qt_method method);

/* What goes into a layer, as calibration saw it. */
struct qt_seen {
    const float *x; /* [rows][k]; some of all rows */
    size_t rows;
    const float *absmax; /* [k] over all rows; NULL: over these */
    const float *judge;  /* [judge_rows][k]: others, for the figures alone; NULL: x again */
    size_t judge_rows;
};

struct qt_layer {
    enum qt_method method;
    size_t n, k, padded; /* padded: k up to a multiple of QT_GROUP */
    unsigned rank;
    int8_t *codes;      /* [n][padded]; of NF4 indices 0..15; padding is 0 (NF4: 7) */
    float *scales;      /* [n][padded / QT_GROUP]; representable in f16 unless exact */
    float *smooth;      /* [k]; NULL: ones */
    float *down, *up;   /* [rank][k] of the x as it is, [n][rank]; NULL without a branch; likewise */
    double alpha, beta; /* of the smoothing taken */
    unsigned refined;   /* refinements made */
    /* Sums of squares over the sample, of W x and of the differences: plain 4 bits, before
     * refinement, at the end. 0 without a sample. */
    double signal, plain_error, first_error, error;
    /* The same over the rows for the figures. */
    double judged_signal, judged_plain, judged_error;
    double range, range_left; /* mean of the groups' largest: of the smoothed W, of the residual */
};

/* Sentences begin with name. Returns 0, FV_ENOMEM, FV_EINVALID (NaN or infinities in weights or
 * calibration; weights beyond what scales in f16 hold; no rows for SVDQuant). */
int qt_quantise(struct qt_layer *out, const char *name, const float *w, size_t n, size_t k,
                const struct qt_seen *seen, const struct qt_opts *o);
void qt_layer_finish(struct qt_layer *l);
/* The matrix that stands for W: [n][k]; the smoothing is undone. */
void qt_layer_matrix(const struct qt_layer *l, float *w);

/* ---- parts, for checks and formats ---- */

/* Rows of x, in groups of QT_GROUP along k, to the nearest of -levels..levels (0..levels with
 * has_sign false) times a scale of the group's largest / levels. Each of codes [rows][padded], scales
 * [rows][padded / QT_GROUP] and nearest [rows][k] may be NULL. half: scales in f16. */
void qt_rows(const float *x, size_t rows, size_t k, int levels, bool has_sign, bool half,
             int8_t *codes, float *scales, float *nearest);
/* largest^alpha / weights'^beta per channel; 1 where that is 0, all 1 where one is not finite. */
void qt_smooth_scale(float *out, const float *x_absmax, const float *w_absmax, size_t k,
                     double alpha, double beta);
/* Largest |x| of each column. */
void qt_column_absmax(float *out, const float *x, size_t rows, size_t k);

/* c [m][n] = a b (+ c with add). Element (i, j) of a is a[i * rows_a + j * columns_a] ...
 * Returns 0 or FV_ENOMEM. */
struct qt_strides {
    size_t row, column;
};
int qt_product(float *c, const float *a, struct qt_strides sa, const float *b, struct qt_strides sb,
               size_t m, size_t n, size_t k, bool add);
int qt_product_f64(double *c, const double *a, struct qt_strides sa, const double *b,
                   struct qt_strides sb, size_t m, size_t n, size_t k, bool add);
/* y [rows][n] = x [rows][k] w^T. */
int qt_linear(float *y, const float *x, const float *w, size_t rows, size_t n, size_t k);

/* The best approximation of a by a product of this rank: up [n][rank] has orthogonal columns, down
 * [rank][k] orthonormal rows. basis [rank + QT_OVERSAMPLE][k]: where the iteration begins and ends,
 * random before the first of several similar ones (started false). */
enum { QT_OVERSAMPLE = 8 };
struct qt_basis {
    double *rows;
    unsigned count;
    size_t k;
    bool started;
    struct qt_space *space; /* what the iteration works in, of the last one's size */
};
int qt_basis_create(struct qt_basis *b, unsigned rank, size_t n, size_t k);
void qt_basis_finish(struct qt_basis *b);
int qt_low_rank(float *up, float *down, const float *a, size_t n, size_t k, unsigned rank,
                struct qt_basis *b, const struct qt_opts *o);

/* ---- Nunchaku's order in memory (nunchaku.c) ---- */

enum qt_nunchaku_part {
    QT_NUNCHAKU_INT4, /* codes -8..7 */
    QT_NUNCHAKU_FP4,  /* codes of E2M1: sign * 8 + magnitude's */
};
/* n and k multiples of 128. words: n * k / 2 bytes; codes: int8 [n][k]. */
void qt_nunchaku_codes(const uint8_t *words, int8_t *codes, size_t n, size_t k, enum qt_nunchaku_part part);
void qt_nunchaku_pack_codes(uint8_t *words, const int8_t *codes, size_t n, size_t k);
/* Where element n of group g is among groups * n: scales of INT4; bias and smoothing with one group. */
size_t qt_nunchaku_scale_at(size_t n, size_t g, size_t groups);
/* The same of FP4's scales, groups of 16 inputs. */
size_t qt_nunchaku_fp4_scale_at(size_t n, size_t g, size_t groups);
/* Where element (i, r) of the branch's factors is: lora_up with i = n; lora_down with i = k. */
size_t qt_nunchaku_up_at(size_t n, size_t r, size_t rank);
size_t qt_nunchaku_down_at(size_t k, size_t r, size_t rank);
/* Value of a code of E2M1. */
float qt_fp4(int code);

/* A quantised layer of such a file: P.qweight, P.wscales ... */
struct nn_file;
struct nn_file_tensor;
struct qt_nunchaku {
    const struct nn_file_tensor *codes, *scales, *bias, *smooth, *down, *up, *whole, *rows;
    size_t n, k;
    unsigned rank;
    bool fp4;   /* E2M1 codes, scales of E4M3 for 16 inputs, times `whole` (one) and `rows` (n) */
    bool shift; /* its codes take GELU's result plus 0.171875, by its name */
};
/* name: P. Returns 0, 1 (no layer of this kind), FV_EFORMAT (tensors that do not fit each other: named). */
int qt_nunchaku_find(struct qt_nunchaku *out, const struct nn_file *f, const char *name);
/* As a layer here: codes of INT4 as they are, those of FP4 rounded anew, to 4 bits or (eight) to 8. bias [n]:
 * of the x as it is. Returns 0, FV_ENOMEM, FV_EFORMAT (NaN, infinities). */
int qt_nunchaku_read(struct qt_layer *out, float *bias, const struct qt_nunchaku *l, bool eight);

#endif
