/* Runs jobs in workers, as many at a time as are asked for and memory allows, and writes down what becomes of
 * them. */
#ifndef BATCH_RUN_H
#define BATCH_RUN_H

#include "app/batch_jobs.h"
#include "app/batch_journal.h"
#include "app/progress.h"

struct batch_run_opts {
    struct batch_shard shard;
    unsigned workers;   /* at a time at most; 0: 2 where there are 4 processors, else 1 */
    uint64_t memory;    /* of all workers; 0: what is free at the beginning */
    double timeout;     /* seconds of a job; 0: none */
    unsigned retries;   /* of a job, where another attempt may help */
    enum progress_mode progress;
};

struct batch_totals {
    size_t jobs, before; /* of the shard; done by an earlier run */
    size_t done, failed; /* now */
    double seconds;
};

/* Whether the shard has the job. */
bool batch_in_shard(const struct batch_shard *s, const struct batch_job *j);
/* The journal knows that the job was done, with these inputs, and its results are there. */
bool batch_was_done(const struct batch_journal *journal, const struct batch_job *j, uint64_t inputs);
/* Returns 0 whatever jobs did; FV_ECANCELLED after Ctrl-C, when all workers have ended; FV_EIO when the journal
 * cannot be written. */
int batch_run(struct app *app, struct batch_jobs *jobs, struct batch_journal *journal, const struct batch_run_opts *o,
              struct batch_totals *totals);

#endif
