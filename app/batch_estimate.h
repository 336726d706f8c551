/* What jobs would take, told before any of them runs: by the commands' own counts and samples, or by what the same
 * or like jobs took before. */
#ifndef BATCH_ESTIMATE_H
#define BATCH_ESTIMATE_H

#include "app/batch_jobs.h"
#include "app/batch_journal.h"

struct batch_estimate {
    size_t jobs, done, failing, unknown; /* done before; that would fail; of which no time is known */
    double seconds;                      /* of those that are known */
    double most_bytes;                   /* of one job */
};

/* Prints a line a job and a sum. */
int batch_estimate(struct app *app, const struct batch_jobs *jobs, const struct batch_journal *journal,
                   const struct batch_shard *shard, struct batch_estimate *sum);

#endif
