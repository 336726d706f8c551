/* A worker of `fovea batch`: a process of its own that runs one job after the other and keeps the device, models
 * and scenes open between them. What a job does to it, a crash too, is that job's alone.
 *
 * The batch writes "NUMBER ATTEMPT\n" for each job; the worker answers in lines of JSON: {"done":3,"total":60,
 * "what":"rendering"} as it goes, then {"end":0,...}, with the results, which are complete and on the disk but not
 * in their places. */
#ifndef BATCH_WORK_H
#define BATCH_WORK_H

#include "app/batch_jobs.h"

/* Runs until `in` ends; the exit status of the process. */
int batch_work(struct app *app, const struct batch_jobs *jobs, const char *dir, int in, int out);
/* Name in the batch's folder of a job's log: "logs/0007.log". */
void batch_log_name(char out[32], const struct batch_job *j);

#endif
