/* Writing safetensors files: latents, caches, test models.
 *
 *     struct nn_save_tensor t = {"latents", NN_DATA_F32, 5, {1, 4, n, h, w}, data};
 *     struct nn_file_text meta[] = {{"model", "osp_odvae_v12"}};
 *     FV_TRY(nn_safetensors_save("clip.safetensors", &t, 1, meta, 1));
 */
#ifndef NN_SAFETENSORS_WRITE_H
#define NN_SAFETENSORS_WRITE_H

#include "vk/nn/weights.h"

struct nn_save_tensor {
    const char *name;
    enum nn_data type; /* a plain one: no blocks */
    unsigned rank;
    uint64_t shape[NN_FILE_MAX_RANK];
    const void *data; /* row-major, of this type */
};

/* Of its data. */
uint64_t nn_save_bytes(const struct nn_save_tensor *t);

/* Writes a whole file, which takes its name only when it is complete. Data begins at a multiple of
 * 64 bytes. Returns 0, FV_EIO, FV_EINVALID (a type without a name in this format, a name twice),
 * FV_ENOMEM. */
int nn_safetensors_save(const char *path, const struct nn_save_tensor *list, size_t n,
                        const struct nn_file_text *meta, size_t meta_count);
/* The same in memory; *data is the caller's to free. */
int nn_safetensors_bytes(void **data, size_t *size, const struct nn_save_tensor *list, size_t n,
                         const struct nn_file_text *meta, size_t meta_count);

/* The same tensor by tensor, in any order, for what does not fit memory or takes long: PATH.part until
 * it is complete. Room on the disk is taken at once.
 *
 *     FV_TRY(nn_saver_open(&s, path, list, n, meta, meta_count, &resumed));    // data of list: not read
 *     for (...)
 *         FV_GOTO(nn_saver_write(s, i, bytes));
 *     rc = nn_saver_commit(&s);
 */
struct nn_saver;
/* resumed: PATH.part is there of the same tensors and texts, with whatever was written to it. Returns 0,
 * FV_EIO, FV_EINVALID, FV_ENOMEM. */
int nn_saver_open(struct nn_saver **out, const char *path, const struct nn_save_tensor *list, size_t n,
                  const struct nn_file_text *meta, size_t meta_count, bool *resumed);
int nn_saver_write(struct nn_saver *s, size_t tensor, const void *data);
/* What was written is on the disk. */
int nn_saver_flush(struct nn_saver *s);
/* Flushes and gives the file its name. Closes either way. */
int nn_saver_commit(struct nn_saver **s);
/* PATH.part stays, for another time. */
void nn_saver_close(struct nn_saver **s);

#endif
