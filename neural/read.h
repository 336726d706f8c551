/* Private to neural/: tensors of several files under the names of one, into a model. */
#ifndef NEURAL_READ_H
#define NEURAL_READ_H

#include "neural/neural_private.h"
#include "vk/nn/weights.h"

enum { NL_MAX_FILES = 8 };

struct nl_reader {
    const char *name; /* of the whole, for messages */
    struct nn_file *file[NL_MAX_FILES];
    const char *prefix[NL_MAX_FILES]; /* before its tensors' names; "" none */
    size_t files;
    struct nl_model *m;
};

/* Adds a file; the reader closes it. */
int nl_reader_add(struct nl_reader *r, const char *path, const char *prefix);
void nl_reader_close(struct nl_reader *r);
/* Anchors from tensors of the reader: anchor, anchor_feat ... or xyz, feats ... */
int nl_read_anchors(struct nl_reader *r);
/* Anchors from a .ply's bytes. */
int nl_read_ply(struct nl_model *m, const void *data, size_t size, const char *name);
/* Networks, embedding, hash grid; after the anchors. */
int nl_read_weights(struct nl_reader *r, const struct nl_open_opts *opts);

#endif
