/* Progress of long work on standard error: a bar with rate and time left on a terminal,
 * JSON lines with --progress json, nothing otherwise.
 *
 *     struct progress p;
 *     progress_start(&p, PROGRESS_AUTO, "frames", app->quiet);
 *     struct gs_load_opts o = {.on_progress = progress_update, .ud = &p};
 *     ...
 *     progress_done(&p);
 *
 * JSON lines: {"what":"rendering","done":12,"total":120,"fps":29.1,"eta":3.7,"elapsed":0.4},
 * the last one of each work with done == total; "memory":bytes where it is told, "part":2,"parts":3 where the
 * same work comes several times.
 */
#ifndef PROGRESS_H
#define PROGRESS_H

#include "vk/base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* Values of --progress, in the order of progress_choices. */
enum progress_mode { PROGRESS_AUTO, PROGRESS_BAR, PROGRESS_JSON, PROGRESS_NONE };
extern const char *const progress_choices[];

struct progress {
    enum progress_mode mode;  /* BAR, JSON or NONE once started */
    const char *unit;         /* "frames": rates are shown as frames/s; NULL = percent only */
    const char *what;         /* of the last update */
    double start, last;       /* seconds: when the present work began, when it was last shown */
    double done, total, from; /* from: done at the start of this work */
    bool shown;
    double left;     /* seconds, where more is known than the rate; 0 = by the rate */
    uint64_t memory; /* of the device, to be shown; 0 = not */
    uint32_t part, parts; /* which of works of one name this is, from 1 on; shown where parts > 1 */
};

/* AUTO becomes BAR when standard error is a terminal and quiet is false. */
void progress_start(struct progress *p, enum progress_mode mode, const char *unit, bool quiet);
/* An fv_progress_fn over a struct progress: shows at most 10 times a second, returns non-zero
 * after Ctrl-C. A new `what` starts the clock anew. */
int progress_update(void *ud, const struct fv_progress *now);
/* Every update of this process goes there, too, whatever its mode; NULL: no more. */
void progress_listen(void (*fn)(const struct fv_progress *now));
/* Removes the bar, or writes the last JSON line. */
void progress_done(struct progress *p);
/* Clears the bar's line before something else is printed; the next update draws it again. */
void progress_hide(void);

#endif
