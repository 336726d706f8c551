/* A command of fovea as a process of its own: what started it stays fluid, a failure stays there, and
 * cancelling (Ctrl-C) lets it end what it writes.
 *
 *     struct process_line line = {0};
 *     process_arg(&line, "render");
 *     process_arg(&line, "--output=%s", path);
 *     process_arg(&line, "--progress=json");
 *     FV_TRY(process_start(&p, &line, &(struct process_opts){.what = "export"}));
 *     while ((rc = process_poll(p)) == 0) ... p->done of p->total ...
 *     process_destroy(&p);
 */
#ifndef APP_PROCESS_H
#define APP_PROCESS_H

#include "vk/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PROCESS_ARGS = 64, PROCESS_BYTES = 16384 };

/* A command line that is being put together, without the program's name. Zeroed: empty. */
struct process_line {
    char *items[PROCESS_ARGS];
    size_t count, used;
    char text[PROCESS_BYTES];
    bool full; /* something did not fit */
};
void process_arg(struct process_line *line, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

struct process_opts {
    const char *program; /* fovea; NULL = the running program */
    const char *what;    /* for messages: "export" */
    const char *work;    /* the progress that counts; NULL = all of it */
    size_t output;       /* bytes of its standard output that are kept; 0 = it is dropped */
    int niceness;        /* it gives way to others by so much */
};

struct process {
    char work[32];      /* what it is doing: "rendering" */
    double done, total; /* of that; total 0 until known */
    double fps, eta;    /* a second; seconds left; 0 until known */
    uint64_t memory;    /* of the device; 0 = not told */
    char message[1024]; /* the last line it wrote on standard error that is not progress */
    char *output;       /* its standard output so far; NULL when it is dropped */
    size_t output_size;
    struct process_private *p;
};

/* Returns 0, FV_EIO (it cannot be started), FV_EINVALID (the line is too long). */
int process_start(struct process **out, const struct process_line *line, const struct process_opts *opts);
/* Never waits. 0: running; 1: it ended well; negative: it failed, with its own sentence, or was cancelled. */
int process_poll(struct process *p);
/* Asks it to finish what it has; process_poll tells when it did. */
void process_cancel(struct process *p);
/* Cancels, waits a few seconds at most, then ends it. Accepts NULL. */
void process_destroy(struct process **p);

#endif
