/* Clips to be generated one after the other, each by `fovea generate` as a process of its own (process.h).
 *
 *     FV_TRY(queue_create(&q, &(struct queue_opts){.folder = "clips"}));
 *     FV_TRY(queue_add(q, &generation));
 *     while (queue_poll(q, &ended)) ... q->items[ended] is done, failed or cancelled ...
 *     queue_destroy(&q);
 */
#ifndef APP_QUEUE_H
#define APP_QUEUE_H

#include "app/generation.h"

enum queue_state { QUEUE_WAITING, QUEUE_RUNNING, QUEUE_DONE, QUEUE_FAILED, QUEUE_CANCELLED };

struct queue_item {
    unsigned id; /* of this run of the viewer, from 1 */
    struct generation g; /* its seed is settled */
    char output[1024];   /* its file; "" before it runs */
    enum queue_state state;
    char error[1024];    /* of QUEUE_FAILED */
};

enum { QUEUE_MOST = 64 };
struct queue {
    struct queue_item *items[QUEUE_MOST]; /* in order; those that are over are taken out by queue_remove */
    size_t count;
    /* of the one that runs */
    const char *work;   /* "sampling"; "" before it says */
    double done, total; /* of that */
    double eta;         /* seconds to the end of that */
    double seconds;     /* since it began */
    uint64_t memory;    /* of the device; 0 = not told */
    unsigned previews;  /* times the preview was written anew */
    char preview[1024]; /* its file */
    /* of the last that was done: what the device does; 0 = not known yet */
    double sampling_speed, decode_speed; /* multiplications and additions a second */
    struct queue_private *p;
};

struct queue_opts {
    const char *device;  /* as --device; NULL = best */
    const char *program; /* fovea; NULL = the running program */
    int niceness;        /* clips give way to others by so much */
};

/* Returns 0, FV_EIO (no room for temporary files), FV_ENOMEM. */
int queue_create(struct queue **out, const struct queue_opts *opts);
/* Cancels what runs, waits some seconds at most. Accepts NULL. */
void queue_destroy(struct queue **q);
/* Into a folder, made when absent, under the first free name of its prompt. Returns 0, FV_EINVALID (nothing to be
 * made of this; too many), FV_EIO (folder). */
int queue_add(struct queue *q, const struct generation *g, const char *folder);
/* One that runs is cancelled first, and stays until that is done. */
void queue_remove(struct queue *q, size_t i);
/* Earlier (-1) or later (1) than its neighbour, both waiting. */
void queue_move(struct queue *q, size_t i, int by);
/* Begins, follows and ends. True: item *ended is over. */
bool queue_poll(struct queue *q, size_t *ended);
/* Number of the item that runs, or -1. */
int queue_running(const struct queue *q);
size_t queue_waiting(const struct queue *q);

#endif
