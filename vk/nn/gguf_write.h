/* Writing GGUF 3 files: weights for other programs.
 *
 *     struct nn_gguf_tensor t = {"fc1.weight", NN_DATA_Q8_0, 2, {4608, 1152}};
 *     FV_TRY(nn_gguf_save("model.gguf", "stdit3", &t, 1, fill, ud));
 */
#ifndef NN_GGUF_WRITE_H
#define NN_GGUF_WRITE_H

#include "vk/nn/weights.h"

struct nn_gguf_tensor {
    const char *name;
    enum nn_data type; /* F32, F16, BF16; Q4_0, Q8_0 with rows of whole blocks of 32 */
    unsigned rank;
    uint64_t shape[NN_FILE_MAX_RANK]; /* slowest first; of more than four the first ones are flattened, with what
                                         they were under comfy.gguf.orig_shape.NAME */
};

/* fill: elements [first, first + count) of a tensor, row-major. Blocks are rounded as ggml's reference does.
 * The file takes its name when it is complete. Returns 0, FV_EIO, FV_EINVALID (types, shapes; numbers that
 * are not finite), what fill returns. */
int nn_gguf_save(const char *path, const char *architecture, const struct nn_gguf_tensor *list, size_t n,
                 int (*fill)(void *ud, size_t tensor, uint64_t first, uint64_t count, float *out), void *ud);

#endif
