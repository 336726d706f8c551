/* Matrices of linear layers: plain tensors, or codes of 4 or 8 bits with a scale for each 64 inputs,
 * as docs/QUANT.md says.
 *
 *     W x = plain x                                        or
 *     W x = (code scale) (x / smooth) + up (down x)
 *
 * A model's struct holds a struct nn_matrix where a linear layer stands, its table a row with
 * NN_WEIGHT_MATRIX (weights.h), and nn_linear_matrix multiplies by either: a checkpoint alone decides
 * which layers are of codes. */
#ifndef NN_MATRIX_H
#define NN_MATRIX_H

#include "vk/nn/nn.h"

enum { NN_CODE_GROUP = 64, NN_MAX_LOW_RANK = 4096 };

/* What a code says, its scale aside. */
enum nn_code {
    NN_CODE_NONE,
    NN_CODE_INT4, /* -8 to 7, stored as 0 to 15; element k in byte k / 2, even k in its low half */
    NN_CODE_NF4,  /* one of nn_nf4, stored likewise */
    NN_CODE_INT8, /* -128 to 127 */
    NN_CODES,
};
extern const float nn_nf4[16];
/* "int4" ...; bits of a code. */
const char *nn_code_name(enum nn_code code);
uint32_t nn_code_bits(enum nn_code code);

/* [rows, columns], inputs along columns. Where there are codes, `plain` is null. On the device inputs
 * are filled up to whole groups and rows to fours, four rows' words side by side. */
struct nn_matrix {
    uint32_t rows, columns;
    nn_tensor plain;
    enum nn_code code;
    nn_tensor codes;  /* i32 words [rows / 4, words of a row, 4] */
    nn_tensor scales; /* f16 [rows / 4, groups, 4] */
    nn_tensor smooth; /* f32 [columns, filled up to eights]: 1 / smooth; or null */
    nn_tensor down;   /* f16 [columns, rank], rank a multiple of 8; or null */
    nn_tensor up;     /* f16 [rows / 4, rank, 4] */
};

static inline uint32_t nn_low_rank(const struct nn_matrix *m)
{
    return nn_is_null(m->down) ? 0 : m->down.shape[1];
}

/* On the host: n values of a row from its first on. codes: of the row, as files have them; scales: f16,
 * its groups'. */
void nn_decode_row(float *out, enum nn_code code, const uint8_t *codes, const uint16_t *scales,
                   uint32_t n);

/* nn_linear with either kind of matrix. Codes are turned into numbers (halfs) at every run, smoothing and
 * the low-rank branch with them: a pass over the codes, and storage for one layer. With nn_rec_opts.expand
 * once, and the numbers stay: to the bit the same results. For few rows codes are multiplied as they are. */
nn_tensor nn_linear_matrix(struct nn_rec *r, nn_tensor x, const struct nn_matrix *w,
                           const struct nn_linear_opts *o);

#endif
