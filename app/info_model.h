/* What `fovea info` tells of a folder of a text-to-video model: parts, what is usual, what a clip takes. */
#ifndef INFO_MODEL_H
#define INFO_MODEL_H

#include "app/model_in.h"
#include "app/opt.h"

struct cJSON;

/* Fills object, or prints lines when it is NULL. size: of pictures; unset: the model's usual. Errors as
 * model_in_find, generator_open, generator_plan. */
int info_model(struct cJSON *object, const char *path, const struct opt_size *size);

#endif
