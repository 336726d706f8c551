/* Python pickles as far as files of tensors need them (pickle.c): PyTorch's checkpoints, QUEEN's
 * frames. Nothing is ever executed: classes and functions are looked up in a table of the few that
 * make tensors and containers, every other is refused by name.
 *
 *     struct fv_arena arena = {.cap = 128 * size + (1 << 20)};
 *     const struct fv_pickle_value *v;
 *     rc = fv_pickle_read(&v, &arena, data, size, "a.pkl", &(struct fv_pickle_opts){0});
 *     const struct fv_pickle_value *epoch = rc < 0 ? NULL : fv_pickle_get(v, "epoch");
 *     ...
 *     fv_arena_finish(&arena);
 */
#ifndef FV_PICKLE_H
#define FV_PICKLE_H

#include "vk/base/arena.h"

#include <stdbool.h>
#include <stdint.h>

enum { FV_PICKLE_MAX_RANK = 8 };

/* What the elements of a storage are. */
enum fv_element {
    FV_ELEMENT_F64,
    FV_ELEMENT_F32,
    FV_ELEMENT_F16,
    FV_ELEMENT_BF16,
    FV_ELEMENT_F8_E4M3,
    FV_ELEMENT_F8_E5M2,
    FV_ELEMENT_I64,
    FV_ELEMENT_I32,
    FV_ELEMENT_I16,
    FV_ELEMENT_I8,
    FV_ELEMENT_U64,
    FV_ELEMENT_U32,
    FV_ELEMENT_U16,
    FV_ELEMENT_U8,
    FV_ELEMENT_BOOL,
    FV_ELEMENT_COUNT
};
/* Bytes of one. */
uint32_t fv_element_size(enum fv_element e);

enum fv_pickle_type {
    FV_PICKLE_NONE, /* also whatever has no meaning here: devices, layouts */
    FV_PICKLE_BOOL,
    FV_PICKLE_INT,
    FV_PICKLE_FLOAT,
    FV_PICKLE_TEXT, /* and bytes */
    FV_PICKLE_TUPLE,
    FV_PICKLE_LIST,    /* and sets */
    FV_PICKLE_DICT,    /* items: key, value, key, value ... */
    FV_PICKLE_OBJECT,  /* of a class that only holds attributes: items as a dict's */
    FV_PICKLE_GLOBAL,  /* a class or function of the table */
    FV_PICKLE_STORAGE, /* bytes of tensors */
    FV_PICKLE_TENSOR,  /* and numpy's arrays */
};

struct fv_pickle_storage {
    enum fv_element type;
    bool untyped; /* count is in bytes */
    const char *key; /* of the archive's member that holds the bytes */
    size_t key_length;
    const uint8_t *data; /* the bytes where they stand in the pickle itself, else NULL */
    uint64_t count;      /* elements; data holds them all */
};

struct fv_pickle_tensor {
    const struct fv_pickle_storage *storage;
    enum fv_element type;
    uint64_t offset; /* elements */
    unsigned rank;
    uint64_t shape[FV_PICKLE_MAX_RANK], stride[FV_PICKLE_MAX_RANK];
};

struct fv_pickle_value {
    enum fv_pickle_type type;
    uint32_t count, room; /* items; count alone: bytes of text */
    union {
        int64_t integer; /* and booleans */
        double real;
        const char *text; /* into the pickle, not ended by NUL */
        struct fv_pickle_value **items;
        const struct fv_pickle_global *global;
        const struct fv_pickle_storage *storage;
        const struct fv_pickle_tensor *tensor;
    };
};

struct fv_pickle_opts {
    /* "module.Name" of further classes taken as objects that hold attributes; ends with NULL. */
    const char *const *classes;
    /* Bytes of tensors may stand in the pickle itself, as pickle.dump writes them: numpy's arrays,
     * and torch's storages, which are pickles of their own in a byte string. */
    bool in_band;
    const char *advice; /* ends the sentence that refuses a class: "; save the state dict alone" */
};

/* Reads one pickle, protocols 2 to 5. Values live in the arena, whose cap bounds them, and refer to
 * data. They may share parts and, in hostile files, form cycles. name is for messages.
 * Returns 0, FV_EFORMAT, FV_EUNSUPPORTED (a refused class: named), FV_ENOMEM. */
int fv_pickle_read(const struct fv_pickle_value **out, struct fv_arena *arena, const uint8_t *data,
                   size_t size, const char *name, const struct fv_pickle_opts *opts);
/* The value of a dict or object under a key; NULL when there is none. */
const struct fv_pickle_value *fv_pickle_get(const struct fv_pickle_value *dict, const char *key);
/* Whether v is this text. */
bool fv_pickle_is(const struct fv_pickle_value *v, const char *text);
/* Whether elements offset + [0, last] of a tensor lie within so many; false on overflow too. */
bool fv_pickle_inside(const struct fv_pickle_tensor *t, uint64_t elements);

#endif
