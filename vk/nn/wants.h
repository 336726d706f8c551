/* Private to vk/nn/: a list of wanted tensors as weights.c reads it. */
#ifndef NN_WANTS_H
#define NN_WANTS_H

#include "vk/base/arena.h"
#include "vk/nn/weights.h"

enum { NN_WANTS_MAX_NAMES = 16 }; /* alternatives of one tensor */

struct nn_want {
    nn_tensor *dst;
    const char **names; /* the first that is there is taken */
    uint32_t name_count;
    unsigned flags;
    enum nn_dtype dtype;
    uint32_t rank, shape[NN_MAX_RANK];
    const struct nn_weight_layout *layout;
};

struct nn_wants {
    struct nn_want *items;
    size_t count, room;
    struct fv_arena arena;
    struct nn_wants_prefix *prefix; /* innermost; NULL = none */
    int failed;
    char error[512];
};

/* Where one wanted tensor's bytes come from and go to. */
struct nn_place {
    const struct nn_want *want;        /* NULL: an optional one that is absent */
    const char *name;                  /* as found, or the first of its names */
    const struct nn_file_tensor *file; /* NULL when contents are made up */
    nn_tensor from, to;                /* in the table's shape; as stored. No buffers yet */
    uint64_t offset;                   /* in its slab */
    uint32_t slab;
    uint32_t same; /* stored once with this earlier place; its own number when it is the first */
};

/* All of a list, slab by slab. */
struct nn_plan {
    const struct nn_wants *wants;
    const struct nn_file *f;
    struct nn_place *places; /* one for each want, in order */
    uint64_t *slab_bytes;
    size_t slab_count;
    uint64_t bytes, file_bytes, parameters;
};

/* Finds everything, checks shapes, lays it out in slabs of at most slab_max bytes (larger tensors
 * have one each). The report of opts is filled. f NULL: everything is there. */
int nn_plan_make(struct nn_plan *p, const struct nn_wants *wants, const struct nn_file *f,
                 uint64_t slab_max, const struct nn_weights_opts *opts);
void nn_plan_finish(struct nn_plan *p);

#endif
