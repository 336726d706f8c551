/* Private to vk/nn/: a list of wanted tensors as weights.c reads it. */
#ifndef NN_WANTS_H
#define NN_WANTS_H

#include "vk/base/arena.h"
#include "vk/nn/weights.h"

enum { NN_WANTS_MAX_NAMES = 16 }; /* alternatives of one tensor */

/* Tensors of a matrix, in this order one after the other in the list. */
enum nn_matrix_part { NN_PART_NONE, NN_PART_PLAIN, NN_PART_CODES, NN_PART_SCALES, NN_PART_SMOOTH, NN_PART_DOWN,
                      NN_PART_UP };

struct nn_want {
    nn_tensor *dst;
    enum nn_matrix_part part;
    struct nn_matrix *matrix; /* that it is a part of; shape: the matrix's */
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
    uint32_t lora_rank; /* of the low-rank parts: beside what the file has */
    enum nn_code code; /* of NN_PART_CODES */
    const struct nn_weight_layout *layout; /* the want's, or of a part */
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
    bool nf4; /* 4-bit codes of f are */
};

/* Finds everything, checks shapes, lays it out in slabs of at most slab_max bytes (larger tensors
 * have one each). The report of opts is filled. f NULL: everything is there. */
int nn_plan_make(struct nn_plan *p, const struct nn_wants *wants, const struct nn_file *f,
                 uint64_t slab_max, const struct nn_weights_opts *opts);
void nn_plan_finish(struct nn_plan *p);

/* ---- weights_matrix.c: parts of matrices --------------------------------------------------- */

int nn_codes_are_nf4(bool *out, const struct nn_file *f);
const struct nn_weight_layout *nn_part_layout(enum nn_matrix_part part);
/* Sets what a part that is in the file is from, and checks it. plain: the matrix's first place. */
int nn_part_place(struct nn_plan *p, struct nn_place *at, const struct nn_place *plain);
/* lora.c: rows that changes add to a matrix's low-rank branch; those rows of down [rank, K], or columns of
 * up [N, rank], from number `first` on. */
struct nn_lora_pair {
    const struct nn_file_tensor *down, *up;
    uint32_t rank;
    float strength;
};
int nn_lora_rank(uint32_t *out, const struct nn_weights_opts *o, const struct nn_want *plain);
int nn_lora_fill(const struct nn_weights_opts *o, const struct nn_want *plain, bool up, uint32_t first, uint32_t rank,
                 uint16_t *out);
/* Whether a part (or what is none) is missed when it is not there; files of all parts are known. */
bool nn_part_is_needed(const struct nn_place *at, const struct nn_place *plain, enum nn_matrix_part part);

#endif
