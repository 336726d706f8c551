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

/* Writes a whole file, which takes its name only when it is complete. Data begins at a multiple of
 * 64 bytes. Returns 0, FV_EIO, FV_EINVALID (a type without a name in this format, a name twice),
 * FV_ENOMEM. */
int nn_safetensors_save(const char *path, const struct nn_save_tensor *list, size_t n,
                        const struct nn_file_text *meta, size_t meta_count);

#endif
