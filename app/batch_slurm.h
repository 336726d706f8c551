/* A batch as a job array of Slurm: a task a shard, and a job behind them that merges what they did. */
#ifndef BATCH_SLURM_H
#define BATCH_SLURM_H

#include "app/batch_jobs.h"

struct batch_slurm {
    const char *dir;     /* of the batch: scripts and what the tasks print go there */
    unsigned shards;     /* 0: as many as there are jobs that can run apart, at most 16 */
    const char *args;    /* more words for sbatch, "--partition=gpu --time=8:00:00"; NULL: none */
    const char *options; /* of fovea batch for every task, " --retries 2"; quoted */
};

/* Submits both and says their numbers. FV_EIO: there is no sbatch, or it refused: its own words. */
int batch_slurm_submit(const struct app *app, const struct batch_jobs *jobs, const struct batch_slurm *s);

#endif
