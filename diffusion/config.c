/* What models of several kinds take from their files (private.h): config.json, vectors of words. */
#include "diffusion/private.h"
#include "vk/base/file.h"
#include "vk/base/json.h"

#include <stdlib.h>

int df_config_open(struct fv_json *out, const char *path)
{
    char *folder = fv_is_dir(path) ? NULL : fv_path_dir(path);
    char *file = folder || fv_is_dir(path) ? fv_path_join(folder ? folder : path, "config.json") : NULL;
    int rc = !file ? fv_fail(FV_ENOMEM, "out of memory") : fv_exists(file) ? fv_json_open(out, file) : 1;
    free(file);
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
