/* Where a job's results are made: a folder beside each one's place, on the same file system, so that they take
 * their places by a rename once all are complete. What a crash leaves there is never taken for a result.
 *
 *     FV_TRY(batch_stage_begin(job, values, &arena));       // values now write there
 *     rc = job->cmd->run(&app, values, &job->args);
 *     if (rc >= 0) FV_TRY(batch_stage_results(job, &results));   // listed and on the disk
 *     ... batch_results_move(&results) ...
 *     batch_stage_remove(job, true);
 */
#ifndef BATCH_STAGE_H
#define BATCH_STAGE_H

#include "app/batch_jobs.h"
#include "app/batch_journal.h"

/* Empty folders, and names in them in values, a copy of the job's. A checkpoint that an interrupted attempt left, or
 * its folder, is gone on from, if the command can. */
int batch_stage_begin(const struct batch_job *j, void *values, struct fv_arena *arena);
int batch_stage_results(const struct batch_job *j, struct batch_results *out);
/* All that batch_stage_begin may make. */
int batch_stage_paths(const struct batch_job *j, struct fv_paths *out);
/* One of those, of a job that is in no job file any more; other names are left alone. */
void batch_stage_remove_path(const char *path);
/* checkpoint: that too, or the folder that stands for it. */
void batch_stage_remove(const struct batch_job *j, bool checkpoint);
/* The job's own names in place of those in a text file. Files that are no text are left. */
int batch_stage_restore_names(const struct batch_job *j, const char *path);
/* The same of malloc'd memory, which it takes over; NULL without memory. */
char *batch_stage_restored(const struct batch_job *j, char *text);
/* The job on a command line of its own, quoted for a shell; malloc'd, NULL without memory. */
char *batch_command_line(const struct batch_job *j);

#endif
