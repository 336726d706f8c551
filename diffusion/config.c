/* What models of several kinds share (private.h): config.json, vectors of words, tensors that are kept. */
#include "diffusion/private.h"
#include "vk/base/file.h"
#include "vk/base/json.h"

#include <stdlib.h>

/* Where storage-less tensors are said to lie: in no piece of a pool. */
#define NOWHERE (UINT64_C(1) << 62)

int df_keep(nn_tensor *out, struct df_kept *k, enum nn_dtype dtype, uint32_t rank, const uint32_t *shape,
            const char *label)
{
    if (k->store)
        FV_TRY(nn_store_tensor(out, k->store, dtype, rank, shape, label));
    else
        *out = nn_over(NULL, NOWHERE, dtype, rank, shape);
    k->bytes += (nn_bytes(*out) + 255) / 256 * 256;
    return 0;
}

int df_config_open(struct fv_json *out, const char *path)
{
    char *folder = fv_is_dir(path) ? NULL : fv_path_dir(path);
    int rc = folder || fv_is_dir(path) ? fv_json_open_in(out, folder ? folder : path, "config.json")
                                       : fv_fail(FV_ENOMEM, "out of memory");
    free(folder);
    return rc;
}

int df_word_vectors(float *out, const struct nn_file_tensor *table, const int32_t *ids, size_t n)
{
    uint64_t words = table->shape[0], width = table->shape[1];
    for (size_t k = 0; k < n; k++) {
        if (ids[k] < 0 || (uint64_t)ids[k] >= words)
            return fv_fail(FV_EINVALID, "word %d of a text: the encoder knows %llu; is the tokenizer its own?",
                           ids[k], (unsigned long long)words);
        FV_TRY(nn_file_read(table, NN_DATA_F32, (uint64_t)ids[k] * width, width, out + k * width));
    }
    return 0;
}
