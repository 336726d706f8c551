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

/* codes and nearest [n][k] of w, whose scales [n][groups] are given, rounding errors moved on by the
 * inputs' gram [k][k] / rows; levels as qt_rows'. gram is changed. FV_ENOMEM, FV_EINVALID. */
int qt_gptq(float *w, size_t n, size_t k, const float *scales, int levels, double *gram, int8_t *codes,
            float *nearest);

#endif
