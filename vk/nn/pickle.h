/* Private to vk/nn/: Python pickles as far as PyTorch's checkpoints need them (pickle.c). Nothing
 * is ever executed: classes and functions are looked up in a table of the few that make tensors and
 * containers, every other is refused by name. */
#ifndef NN_PICKLE_H
#define NN_PICKLE_H

#include "vk/base/arena.h"
#include "vk/nn/weights.h"

enum pickle_type {
    PICKLE_NONE, /* also whatever has no meaning here: devices, layouts */
    PICKLE_BOOL,
    PICKLE_INT,
    PICKLE_FLOAT,
    PICKLE_TEXT, /* and bytes */
    PICKLE_TUPLE,
    PICKLE_LIST,    /* and sets */
    PICKLE_DICT,    /* items: key, value, key, value ... */
    PICKLE_OBJECT,  /* of a TorchScript class: items as a dict's, its attributes */
    PICKLE_GLOBAL,  /* a class or function of the table */
    PICKLE_STORAGE, /* bytes of tensors, in a member of the archive */
    PICKLE_TENSOR,
};

struct pickle_storage {
    enum nn_data type;
    bool untyped; /* count is in bytes */
    const char *key;
    size_t key_length;
    uint64_t count; /* elements */
};

struct pickle_tensor {
    const struct pickle_storage *storage;
    enum nn_data type;
    uint64_t offset; /* elements */
    unsigned rank;
    uint64_t shape[NN_FILE_MAX_RANK], stride[NN_FILE_MAX_RANK];
};

struct pickle_value {
    enum pickle_type type;
    uint32_t count, room; /* items; count alone: bytes of text */
    union {
        int64_t integer; /* and booleans */
        double real;
        const char *text; /* into the pickle, not ended by NUL */
        struct pickle_value **items;
        const struct pickle_global *global;
        const struct pickle_storage *storage;
        const struct pickle_tensor *tensor;
    };
};

/* Reads one pickle, protocols 2 to 5. Values live in the arena, whose cap bounds them, and refer to
 * data. They may share parts and, in hostile files, form cycles. name is for messages.
 * Returns 0, FV_EFORMAT, FV_EUNSUPPORTED (a refused class: named), FV_ENOMEM. */
int pickle_read(const struct pickle_value **out, struct fv_arena *arena, const uint8_t *data,
                size_t size, const char *name);
/* The value of a dict or object under a key; NULL when there is none. */
const struct pickle_value *pickle_get(const struct pickle_value *dict, const char *key);

#endif
