/* What generating takes: before, counted, and after, measured; as lines and as JSON. */
#ifndef GENERATE_REPORT_H
#define GENERATE_REPORT_H

#include "app/generator.h"

struct cJSON;

/* What a counted cost becomes a time by. */
struct generate_times {
    double captions, clips;  /* of how many */
    double flops_per_second; /* 0 = not known: no times */
};
/* Multiplications and additions a second of a product of matrices of the transformer's sizes, measured for
 * some tenths of a second. */
int generate_measure(double *flops_per_second, struct vk_device *dev, enum nn_dtype dtype,
                     fv_progress_fn on_progress, void *ud);
void generate_say_cost(const struct generator_cost *c, const struct generate_times *t);
void generate_cost_json(struct cJSON *object, const struct generator_cost *c, const struct generate_times *t);

void generate_say_stages(const struct generator_stats *s);
void generate_stats_json(struct cJSON *object, const struct generator_stats *s);

#endif
