/* Matrices of a test model turned into codes, by rounding to the nearest, and their numbers as a
 * reference has them. */
#ifndef TEST_QUANTISED_H
#define TEST_QUANTISED_H

#include "ref/ref.h"
#include "support/vae_model.h"
#include "vk/nn/matrix.h"

struct test_codes {
    enum nn_code code;
    uint32_t rank; /* of the low-rank branch, which takes some random part of the matrix */
    bool smooth;
};

/* NAME.weight (f32 [N, K]) of the model becomes NAME.qweight and so on. One kind of 4-bit codes a model. */
void test_quantise(struct test_model *m, const char *name, const struct test_codes *how);
/* What they stand for; columns: K. */
struct ref test_dequantise(struct test_model *m, const char *name, uint32_t columns);
/* To the nearest halfs. */
void test_round_halves(struct ref *t);
/* Those numbers, as f32, in place of the codes: what products of few rows take. */
void test_restore(struct test_model *m, const char *name, uint32_t columns);

#endif
