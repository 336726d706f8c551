/* Tiny autoencoders of every family as weight files, under the authors' names, with random weights:
 * for tests that need a model but no reference. Width 8, four norm groups. */
#ifndef TEST_VAE_MODEL_H
#define TEST_VAE_MODEL_H

#include "vk/nn/safetensors_write.h"

enum test_vae {
    TEST_KL,
    TEST_KL_LDM, /* the same network under the older names */
    TEST_ODVAE_11,
    TEST_ODVAE_12,
    TEST_CVVAE,
    TEST_CVVAE_SD3,
    TEST_OPENSORA,
    TEST_TINY_DIFFUSERS
};

struct test_model {
    struct nn_save_tensor *list;
    size_t count, room;
    uint64_t seed;
    struct nn_file_text meta; /* of the file, where there is a key */
};

/* All tensors; tests may change them before they are written. */
void test_model_make(struct test_model *m, enum test_vae kind);
/* One more tensor of random numbers. */
void test_model_add(struct test_model *m, const char *name, unsigned rank, const uint64_t *shape);
struct nn_save_tensor *test_model_find(struct test_model *m, const char *name);
/* One tensor taken out. */
void test_model_drop(struct test_model *m, const char *name);
/* dir/model.safetensors and dir/config.json; dir is made. */
void test_model_write(const struct test_model *m, const char *dir);
void test_model_finish(struct test_model *m);
/* All of it at once; the folder, in static storage. */
const char *test_vae_folder(enum test_vae kind);

#endif
