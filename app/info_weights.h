/* What `fovea info` tells of files of weights. */
#ifndef INFO_WEIGHTS_H
#define INFO_WEIGHTS_H

#include "vk/nn/weights.h"

struct cJSON;

/* Fills object, or prints lines when it is NULL. tensors: lists every one. Errors as nn_file_open. */
int info_weights(struct cJSON *object, const char *path, bool tensors);

#endif
