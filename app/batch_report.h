/* What became of a batch's jobs, for programs (report.json) and for people (index.html: a contact sheet that needs
 * no other file, with thumbnails of videos and pictures). Both are made of the job file and the journals alone. */
#ifndef BATCH_REPORT_H
#define BATCH_REPORT_H

#include "app/batch_jobs.h"
#include "app/batch_journal.h"

struct batch_counts {
    size_t jobs, done, failed, waiting; /* waiting: interrupted, or not begun */
};

/* Of the shard's jobs. */
struct batch_counts batch_count(const struct batch_jobs *jobs, const struct batch_journal *journal,
                                const struct batch_shard *shard);
/* Writes both into the journal's folder; of a shard they are report-2of8.json and index-2of8.html. */
int batch_report(const struct batch_jobs *jobs, const struct batch_journal *journal, const struct batch_shard *shard);

#endif
