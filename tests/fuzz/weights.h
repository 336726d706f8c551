/* What must hold of any bytes as a file of weights. */
#ifndef FUZZ_WEIGHTS_H
#define FUZZ_WEIGHTS_H

#include "fuzz.h"
#include "vk/nn/weights.h"

#include <string.h>

/* The first and the last elements of a tensor, in several types. */
static inline void fuzz_elements(const struct nn_file_tensor *t)
{
    static const enum nn_data as[] = {NN_DATA_F32, NN_DATA_F16, NN_DATA_F64, NN_DATA_I64};
    double out[700];
    uint64_t n = t->count < 700 ? t->count : 700;
    for (size_t i = 0; i < 4; i++) {
        int rc = nn_file_read(t, as[i], 0, n, out);
        fuzz_check(rc == 0 || as[i] == NN_DATA_I64);
        fuzz_check(nn_file_read(t, as[i], t->count - n, n, out) == rc);
    }
}

/* A file that was opened; `data` if it is one part. */
static inline void fuzz_tensors(const struct nn_file *f, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < f->count; i++) {
        const struct nn_file_tensor *t = &f->tensors[i];
        uint64_t count = 1;
        for (unsigned d = 0; d < t->rank; d++)
            count *= t->shape[d];
        fuzz_check(count == t->count);
        fuzz_check(!data || (t->offset <= size && t->span <= size - t->offset &&
                             t->data == data + t->offset));
        fuzz_check(nn_file_find(f, t->name) == t);
        fuzz_elements(t);
    }
    for (size_t i = 0; i < f->meta_count; i++)
        fuzz_check(nn_file_meta(f, f->meta[i].key) != NULL);
}

static inline void fuzz_weights(const uint8_t *data, size_t size)
{
    struct nn_file *f;
    if (nn_file_parse(&f, data, size, "fuzz", NULL) < 0) {
        fuzz_check(!f && *fv_error());
        return;
    }
    fuzz_tensors(f, data, size);
    nn_file_close(&f);
}

#endif
