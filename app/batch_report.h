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
/* "index-2of8.html" of a shard, "index.html" of all. */
enum { BATCH_NAME = 64 };
void batch_report_name(char out[BATCH_NAME], const char *stem, const char *suffix, const struct batch_shard *shard);
/* Writes both, "report" .json and "index" .html, into the journal's folder. */
int batch_report(const struct batch_jobs *jobs, const struct batch_journal *journal, const struct batch_shard *shard);

#endif
