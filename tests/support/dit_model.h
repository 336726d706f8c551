/* A tiny STDiT3 of random weights under the authors' names: for tests that need a model but no reference. */
#ifndef TEST_DIT_MODEL_H
#define TEST_DIT_MODEL_H

#include "diffusion/diffusion.h"
#include "support/vae_model.h"

enum {
    DIT_WIDTH = 48,
    DIT_HEADS = 2,
    DIT_TEXT = 20,
    DIT_TOKENS = 6,
    DIT_CHANNELS = 4,
    DIT_OUT = 8,
    DIT_DEPTH = 5,
};

/* All tensors; tests may change them before they are written. */
void test_dit_make(struct test_model *m);
void test_dit_write(const struct test_model *m, const char *dir);
/* Written to the folder "dit" of the test's own (test_tmp_path), and opened. */
struct df_dit *test_dit_open(void);
/* Normal numbers; free() them. */
float *test_numbers(size_t n, uint64_t seed);

#endif
