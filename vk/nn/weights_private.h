/* Private to the readers of weight files: what they report tensors to, and the pieces of
 * PyTorch's format. */
#ifndef NN_WEIGHTS_PRIVATE_H
#define NN_WEIGHTS_PRIVATE_H

#include "vk/base/arena.h"
#include "vk/base/file.h"
#include "vk/nn/weights.h"

enum {
    NN_FILE_MAX_TENSORS = 1 << 20,
    NN_FILE_MAX_NAME = 512,
    NN_FILE_MAX_META = 1 << 16,
    NN_FILE_MAX_PARTS = 1024,
};

struct nn_file_private {
    struct fv_arena arena; /* names, metadata, parts */
    struct fv_map *maps;   /* one a part; empty after nn_file_parse */
    uint32_t *sorted;      /* tensors by name */
    size_t tensor_room, meta_room;
};

/* The bytes of the part being read. */
struct nn_part {
    const uint8_t *data;
    size_t size;
    const char *name; /* for messages */
    unsigned index;
};

/* Adds a tensor whose name, type, rank, shape and offset in the part are set (stride too when
 * contiguous is false). Copies the name, computes the rest, refuses what reaches beyond the part,
 * overflows or is named badly. */
int nn_file_add(struct nn_file *f, const struct nn_part *part, const struct nn_file_tensor *t);
/* Elements and bytes of a shape; fails on overflow, on a rank above the limit and on rows that
 * are no whole number of blocks. Sets t->count, t->bytes. */
int nn_file_measure(struct nn_file_tensor *t, const char *file);
/* Value is cut at 64 KiB. A key that is there already is kept. */
int nn_file_add_meta(struct nn_file *f, const char *key, size_t key_len, const char *value,
                     size_t value_len);
int nn_file_add_metaf(struct nn_file *f, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Refuses tensors from `first` on that share bytes. */
int nn_file_check_overlaps(const struct nn_file *f, size_t first, const char *file);

/* An empty file object; then room for its parts. On failure *out may need nn_file_close. */
int nn_file_create(struct nn_file **out, const char *name);
int nn_file_make_parts(struct nn_file *f, size_t n);
/* Maps a file as the next part and lists its tensors. */
int nn_file_open_part(struct nn_file *f, const char *path, const struct nn_file_opts *opts);
/* Wrappers off, names sorted for nn_file_find, duplicates refused. */
int nn_file_seal(struct nn_file *f);
/* Whether the first bytes are those of a format read here. */
bool nn_file_begins(const uint8_t *p, size_t n);

int nn_safetensors_read(struct nn_file *f, const struct nn_part *part);
int nn_gguf_read(struct nn_file *f, const struct nn_part *part);
int nn_torch_read(struct nn_file *f, const struct nn_part *part, const struct nn_file_opts *opts);

/* Expands n blocks of a quantised type: out[n * nn_data_block(type)]. */
void nn_dequantize(enum nn_data type, const uint8_t *blocks, size_t n, float *out);

#endif
