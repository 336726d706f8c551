/* Private to quant/. */
#ifndef QUANT_PRIVATE_H
#define QUANT_PRIVATE_H

#include "quant/quant.h"

/* malloc of a matrix; sets the sentence when it fails. */
void *qt_room(size_t rows, size_t columns, size_t size);
/* Sum of squares of a - b (b NULL: of a). */
double qt_distance(const float *a, const float *b, size_t count);
/* An equal distribution over -1..1 that depends on seed and place alone. */
double qt_random(uint64_t seed, uint64_t at);

/* Rounding whose errors move on to inputs still to be rounded: begun from the inputs' gram [k][k], which is
 * changed, for any number of matrices. FV_ENOMEM, FV_EINVALID. Finish it also after a failure. */
struct qt_gptq {
    size_t k;
    float *u; /* [k][k], in order: upper, gram^-1 = u^T u */
    uint32_t *order;
};
int qt_gptq_begin(struct qt_gptq *g, double *gram, size_t k);
void qt_gptq_finish(struct qt_gptq *g);
/* codes [n][padded] and nearest [n][k] of w [n][k], whose scales [n][groups] are given; levels as qt_rows'. */
int qt_gptq_round(const struct qt_gptq *g, float *w, size_t n, const float *scales, int levels, int8_t *codes,
                  float *nearest);

#endif
