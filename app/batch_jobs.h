/* Jobs of `fovea batch` from a file: a command of the table each, with its arguments and options by name.
 *
 *     struct batch_jobs jobs;
 *     FV_TRY(batch_jobs_open(&jobs, "jobs.jsonl"));
 *     for (size_t i = 0; i < jobs.error_count; i++) puts(jobs.errors[i]);
 *     for (size_t i = 0; i < jobs.count; i++) ... jobs.items[i].cmd->run(&app, jobs.items[i].values, ...) ...
 *     batch_jobs_finish(&jobs);
 *
 * docs/BATCH.md describes the files. */
#ifndef BATCH_JOBS_H
#define BATCH_JOBS_H

#include "app/cmd.h"

/* A file that a job reads or writes. */
struct batch_file {
    const struct opt *opt; /* of the values; NULL: an argument */
    const char *path;      /* as it was written */
    const char *full;      /* from the root, without . and // */
    bool folder;           /* of a result: its name ends in /, or is a folder */
};

struct batch_job {
    size_t line;             /* in the file, from 1 */
    const char *name;        /* "name" of the line; else made of command and first result or argument */
    const struct cmd *cmd;   /* NULL: the line is wrong */
    void *values;            /* of cmd's options */
    struct app globals;      /* of the options all commands share; no device */
    struct opt_args args;
    double timeout;          /* seconds; 0 = not said */
    int retries;             /* -1 = not said */
    char *settings;          /* {"command":..,"args":[..],"options":{..}}: the same when the job is the same */
    uint64_t hash;           /* of settings; of the second job with the same ones another */
    uint64_t model;          /* of device, command and what is worth keeping open: equal ones follow each other */
    uint64_t part;           /* number of the jobs that hang together, from 0: which shard it falls to */
    struct batch_file *reads, *writes; /* writes: OPT_WRITES, without - */
    size_t read_count, write_count;
    size_t *needs;           /* numbers of the jobs whose results it reads, all earlier ones */
    size_t need_count;
    bool settled; /* by the batch: it is done, or will not be */
};

struct batch_jobs {
    char *path;
    struct batch_job *items;
    size_t count, room;
    char **errors; /* sentences: file, line, field, what to do */
    size_t error_count, error_room;
    size_t bad; /* jobs with an error */
    struct fv_arena arena;
};

/* Reads all lines, by the suffix as .csv or else as JSON lines; "-" is standard input. Lines that are wrong are
 * told in errors and kept with cmd NULL. Returns 0 or FV_EIO, FV_EFORMAT (nothing in it), FV_ENOMEM. */
int batch_jobs_open(struct batch_jobs *b, const char *path);
/* The same from memory. */
int batch_jobs_parse(struct batch_jobs *b, const char *text, size_t size, const char *name, bool csv);
void batch_jobs_finish(struct batch_jobs *b);
/* What is there in files that the job reads now: their names, sizes and times of change. */
uint64_t batch_inputs_hash(const struct batch_job *j);
/* All of them are there. */
bool batch_inputs_there(const struct batch_job *j);
/* Of a path from the root, without . and //; in the arena. */
const char *batch_full_path(const char *path, struct fv_arena *arena);

#endif
