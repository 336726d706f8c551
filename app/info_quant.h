/* What is quantised in a weight file (docs/QUANT.md): layers of codes, their bits, matrices that stay as
 * they were. */
#ifndef INFO_QUANT_H
#define INFO_QUANT_H

#include "vk/nn/weights.h"

struct cJSON;

enum { INFO_QUANT_NAMES = 64 };

struct info_quant {
    uint64_t layers, weights, bytes; /* of codes; with their scales, smoothing, low-rank branches */
    uint64_t parameters;             /* of the file, codes counted one by one */
    uint64_t most_rank;
    uint64_t plain, plain_weights, plain_bytes; /* matrices that are none */
    /* Of those, with numbers of blocks as "*"; the first INFO_QUANT_NAMES. */
    char name[INFO_QUANT_NAMES][96];
    uint64_t count[INFO_QUANT_NAMES];
    size_t names;
};

void info_quant_look(struct info_quant *q, const struct nn_file *f);
/* Nothing where no layer is of codes. */
void info_quant_print(const struct info_quant *q);
void info_quant_json(struct cJSON *o, const struct info_quant *q);

#endif
