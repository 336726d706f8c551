/* What became of jobs, written down so that nothing is done twice whatever happens: lines of JSON that are only
 * ever added, each on the disk before the next thing is done.
 *
 *     struct batch_journal j;
 *     FV_TRY(batch_journal_open(&j, "night.batch", NULL, true));
 *     const struct batch_past *was = batch_journal_find(&j, hash);
 *     FV_TRY(batch_journal_start(&j, hash, inputs, line, attempt, NULL));
 *     batch_journal_close(&j);
 *
 * A job is begun ("start"); its results lie complete beside their places ("made"); they are in their places
 * ("done"); or it "failed". Between "made" and "done" results are moved: what a crash left of that is finished
 * when the journal is opened again. */
#ifndef BATCH_JOURNAL_H
#define BATCH_JOURNAL_H

#include "vk/base/file.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A file that a job made: where it lies first, and its place. */
struct batch_result {
    char *from, *to;
    uint64_t bytes;
};

struct batch_results {
    struct batch_result *items;
    size_t count, room;
};

enum batch_event { BATCH_NEVER, BATCH_START, BATCH_MADE, BATCH_DONE, BATCH_FAILED };

/* The last that is known of a job. */
struct batch_past {
    uint64_t hash, inputs;
    enum batch_event state;
    bool own; /* as this journal says, not another shard's */
    unsigned attempts, times_made; /* since it was last begun anew; in all */
    double seconds, at;            /* it took; Unix time */
    uint64_t host_bytes, device_bytes;
    char *error, *log;
    struct batch_results results;
    struct fv_paths beside; /* where it was being made */
};

struct batch_shard {
    unsigned index, count; /* from 1; count 0: all jobs */
};

struct batch_journal {
    char *dir, *path;
    int fd, lock;
    struct batch_past *items; /* by hash */
    size_t count, room;
    bool failed;
};

/* Reads all journals of the folder. write: takes the lock, makes the shard's own journal, and finishes what it
 * says is half done. FV_EIO: it cannot be written, or another batch is at work in the folder. */
int batch_journal_open(struct batch_journal *j, const char *dir, const struct batch_shard *shard, bool write);
void batch_journal_close(struct batch_journal *j);
/* Nothing is left to go on with: the folder goes, if nothing else is in it. Closes. */
void batch_journal_remove(struct batch_journal *j);
/* NULL: nothing is known. */
const struct batch_past *batch_journal_find(const struct batch_journal *j, uint64_t hash);

/* beside: folders and files that are in the way if the job is never gone on with; NULL: none. */
int batch_journal_start(struct batch_journal *j, uint64_t hash, uint64_t inputs, size_t line, unsigned attempt,
                        const struct fv_paths *beside);
/* Takes over results. log: name in the folder. */
int batch_journal_made(struct batch_journal *j, uint64_t hash, const struct batch_past *how);
int batch_journal_done(struct batch_journal *j, uint64_t hash);
int batch_journal_failed(struct batch_journal *j, uint64_t hash, const struct batch_past *how);

/* Files go to their places; folders are made, and synced. Files that are there already are left. */
int batch_results_move(const struct batch_results *r);
int batch_results_add(struct batch_results *r, const char *from, const char *to, uint64_t bytes);
/* All are in their places, as long as they were. */
bool batch_results_there(const struct batch_results *r);
void batch_results_finish(struct batch_results *r);

#endif
