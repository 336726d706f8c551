/* fovea quantize: weight files layer by layer into ones of codes, calibration, folders, reports.
 *
 *     struct quantize_file q;
 *     FV_TRY(quantize_look(&q, "OpenSora-STDiT-v3/", &settings));
 *     rc = quantize_write(&q, "out/transformer/model.safetensors", &seen, on_progress, ud);
 *     quantize_finish(&q);
 */
#ifndef QUANTIZE_H
#define QUANTIZE_H

#include "quant/quant.h"
#include "vk/nn/safetensors_write.h"

/* Where rounding errors move on: in layers whose shorter side is small (and whose branch is, too), or in all. */
enum quantize_gptq { QUANTIZE_GPTQ_SMALL, QUANTIZE_GPTQ_ALL, QUANTIZE_GPTQ_NONE };
extern const char *const quantize_gptq_names[]; /* NULL last */

struct quantize_settings {
    struct qt_opts opts;
    enum quantize_gptq gptq;
    bool own_rank;          /* of the user: small layers get it, too */
    const char *const *keep; /* NULL-ended: layers whose names contain one of these stay as they are; or NULL */
    const char *more;       /* further members of the JSON in the metadata, `"source":"..."`; or NULL */
};

/* One linear layer of a file. */
struct quantize_layer {
    char *name; /* "spatial_blocks.0.attn.qkv": of its weight without ".weight" */
    const struct nn_file_tensor *weight;
    size_t n, k;
    unsigned rank;
    bool gptq;
    bool foreign; /* Nunchaku's: `from` */
    struct qt_nunchaku from;
    size_t first; /* of its tensors in what is written: codes, scales, then smooth, down, up of SVDQuant */
    /* what came of it */
    bool done;
    double alpha, beta;
    /* Relative 2-norms, NaN where not known: of weights; of outputs over rows that nothing was fitted to, with
     * plain rounding and at the end; over those it was, after the first decomposition and at the end. */
    double weight_error, plain_error, error, first_error, fitted_error;
    double range, range_left;
    unsigned refined;
    double seconds;
};

struct quantize_file {
    struct quantize_settings s;
    struct nn_file *file;
    struct quantize_layer *layers;
    size_t count, kept; /* kept: linear layers of blocks that stay as they are */
    size_t resumed;     /* layers that were done before */
    bool foreign;       /* layers of Nunchaku's, in another order and, FP4, of other codes: not computed anew */
    struct nn_save_tensor *out;
    const struct nn_file_tensor **from; /* of out[i], where it is only copied */
    size_t out_count;
    uint64_t bytes_before, bytes_after; /* of all tensors */
    uint64_t layer_weights, layer_bytes; /* of the layers that are quantised */
    struct fv_arena *arena;
};

/* What is to be done with a weight file, or folder of one; nothing is computed. FV_EINVALID: quantised
 * already (not by Nunchaku), nothing to quantise, a name of `keep` that is in no layer's. */
int quantize_look(struct quantize_file *q, const char *path, const struct quantize_settings *s);
void quantize_finish(struct quantize_file *q);
/* Whether a name is a weight of a linear layer that is quantised: of the transformer's and the text
 * encoder's blocks. */
bool quantize_takes(const struct nn_file_tensor *t);

/* What goes into a layer; x NULL: not known. Borrowed until the next call. */
struct quantize_inputs {
    int (*get)(void *ud, const struct quantize_layer *l, struct qt_seen *out);
    void *ud;
    uint64_t hash; /* other inputs, another number */
};
/* Goes on where PATH.part and PATH.journal end, of the same settings, weights and inputs; q->resumed tells how many
 * layers were there. The journal stays, and with it a file that is whole is not made again: quantize_settle. */
int quantize_write(struct quantize_file *q, const char *path, const struct quantize_inputs *in,
                   fv_progress_fn on_progress, void *ud);
/* The file at path is done for good. */
void quantize_settle(const char *path);

/* As GGUF: layers as Q4_0, with QT_RTN8 as Q8_0, where rows are whole blocks of 32, all else as it is.
 * (quantize_gguf.c) */
int quantize_gguf(struct quantize_file *q, const char *path, fv_progress_fn on_progress, void *ud);

/* ---- folders (quantize_folder.c) ---- */

/* Copies the regular files of a folder (or this file) into another that `wanted` takes (NULL: all);
 * link: symbolic links instead. */
int quantize_copy(const char *from, const char *to, bool (*wanted)(const char *name), bool link);
bool quantize_is_not_weights(const char *name);
bool quantize_is_tokenizer(const char *name);

/* ---- reports (quantize_report.c) ---- */

struct cJSON;
void quantize_report_json(struct cJSON *object, const struct quantize_file *q);
/* A panel each for errors, alpha and what the branch takes of the range, over the layers in order. */
int quantize_plot(const char *path, const struct quantize_file *q);
void quantize_say(const struct quantize_file *q, const char *what);

#endif
