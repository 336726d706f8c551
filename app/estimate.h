/* What a clip would take, and what each switch would change of that: by the dry runs of app/generator.h in a
 * thread of its own, which need no device. The newest question counts; answers come when they are there.
 *
 *     FV_TRY(estimate_start(&e, &(struct estimate_opts){.budget = bytes, .wake = window_wake}));
 *     estimate_ask(e, &generation);          // whenever it has changed
 *     if (estimate_poll(e, &answer)) ... answer.now.flops ...
 *     estimate_stop(&e);
 */
#ifndef APP_ESTIMATE_H
#define APP_ESTIMATE_H

#include "app/generation.h"
#include "app/model_in.h"

/* Of a whole clip; times come by a speed the caller knows. */
struct estimate_cost {
    bool known;
    double text_flops, sampling_flops, decode_flops;
    uint64_t bytes; /* of the device at most */
    uint32_t evaluations; /* of the transformer, before leaps */
};

enum estimate_switch { SWITCH_QUANTISED, SWITCH_MERGE, SWITCH_LEAP, SWITCHES };

struct estimate {
    char error[512];   /* why it cannot be made; "" = it can. The others then are those of before */
    char name[64];     /* of the model */
    struct model_usual usual; /* its scores' text is not valid any more */
    char folder[1024]; /* the model's, the bundled one's too */
    char other[1024];  /* the same model quantised, or plain where this one is; "" = there is none beside it */
    bool quantised;    /* this one is of 4- or 8-bit layers */
    uint32_t width, height, frames, steps; /* of the clip */
    double fps;
    uint32_t merge_steps;          /* that are merged now */
    struct estimate_cost now, without[SWITCHES]; /* and with each switch turned over. With leaps, at the least:
                                                    they show only as it runs */
    bool leaps;
};

struct estimator;
struct estimate_opts {
    uint64_t budget;    /* bytes of the device there are */
    void (*wake)(void); /* called from the thread when there is an answer; NULL */
};

int estimate_start(struct estimator **out, const struct estimate_opts *opts);
/* Waits for the dry run that is going on. Accepts NULL. */
void estimate_stop(struct estimator **e);
void estimate_ask(struct estimator *e, const struct generation *g);
/* Never waits. True: *out is a new answer. */
bool estimate_poll(struct estimator *e, struct estimate *out);
/* A question has not been answered yet. */
bool estimate_busy(struct estimator *e);

#endif
