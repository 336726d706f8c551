/* Weights as GGUF, for other programs (quantize.h). */
#include "app/quantize.h"
#include "vk/nn/gguf_write.h"

#include <stdlib.h>
#include <string.h>

struct source {
    const struct quantize_file *q;
    fv_progress_fn on_progress;
    void *ud;
};

static int fill(void *ud, size_t tensor, uint64_t first, uint64_t count, float *out)
{
    const struct source *s = ud;
    const struct nn_file *f = s->q->file;
    struct fv_progress p = {"writing", (double)tensor, (double)f->count};
    if (s->on_progress && s->on_progress(s->ud, &p))
        return fv_fail(FV_ECANCELLED, "cancelled");
    return nn_file_read(&f->tensors[tensor], NN_DATA_F32, first, count, out);
}

static bool is_layer(const struct quantize_file *q, const struct nn_file_tensor *t)
{
    for (size_t i = 0; i < q->count; i++)
        if (q->layers[i].weight == t)
            return true;
    return false;
}

int quantize_gguf(struct quantize_file *q, const char *path, fv_progress_fn on_progress, void *ud)
{
    const struct nn_file *f = q->file;
    enum nn_data codes = q->s.opts.method == QT_RTN8 ? NN_DATA_Q8_0 : NN_DATA_Q4_0;
    struct nn_gguf_tensor *list = calloc(f->count + 1, sizeof *list);
    struct source s = {q, on_progress, ud};
    if (!list)
        return fv_fail(FV_ENOMEM, "out of memory");
    q->bytes_after = q->layer_bytes = 0;
    for (size_t i = 0; i < f->count; i++) {
        const struct nn_file_tensor *t = &f->tensors[i];
        bool layer = is_layer(q, t), whole = layer && t->shape[1] % nn_data_block(codes) == 0;
        list[i] = (struct nn_gguf_tensor){.name = t->name, .rank = t->rank,
                                          .type = whole                       ? codes
                                                  : t->type == NN_DATA_BF16 ? NN_DATA_BF16
                                                  : t->type == NN_DATA_F16  ? NN_DATA_F16
                                                                            : NN_DATA_F32};
        memcpy(list[i].shape, t->shape, sizeof list[i].shape);
        uint64_t bytes = t->count / nn_data_block(list[i].type) * nn_data_block_bytes(list[i].type);
        q->bytes_after += bytes;
        q->layer_bytes += layer ? bytes : 0;
    }
    int rc = nn_gguf_save(path, strstr(q->layers[0].name, "spatial_blocks.") || strstr(q->layers[0].name, "temporal_blocks.")
                                    ? "stdit3" : "t5encoder", list, f->count, fill, &s);
    free(list);
    return rc;
}
