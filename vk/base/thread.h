/* Threads: a parallel loop for loading and converting, and a small job queue for pipelines.
 *
 *     static int rows(void *ud, size_t begin, size_t end) { ... return 0; }
 *     FV_TRY(fv_parallel(count, 4096, rows, &state));
 */
#ifndef FV_THREAD_H
#define FV_THREAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* Processors this process may use, at least 1. */
unsigned fv_cpu_count(void);

/* Calls fn over [0,count) in pieces of about `grain` from several threads; the caller's
 * thread takes part. The first negative result stops the rest and is returned, its error
 * text moved to the calling thread. */
int fv_parallel(size_t count, size_t grain, int (*fn)(void *ud, size_t begin, size_t end),
                void *ud);

/* A condition for waiting until a time of fv_now's clock. */
void fv_cond_init(pthread_cond_t *c);
/* As pthread_cond_wait; false when the time has come. */
bool fv_cond_wait_until(pthread_cond_t *c, pthread_mutex_t *lock, double until);

/* A thread with the lock and the condition that it and its owner talk by. */
struct fv_worker {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* of fv_cond_init */
    bool stop;              /* it is to end: looked at under the lock */
};

/* Starts fn(ud). FV_ENOMEM, without text: there is no thread, and nothing to stop. */
int fv_worker_start(struct fv_worker *w, void *(*fn)(void *ud), void *ud);
/* Tells it to end, wakes it and waits until it has. */
void fv_worker_stop(struct fv_worker *w);

/* A bounded queue of pointers between threads. */
struct fv_queue {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    void **items;
    size_t room, head, count;
    bool closed;
};

int fv_queue_init(struct fv_queue *q, size_t room);
void fv_queue_finish(struct fv_queue *q);
/* Waits for room. false when the queue was closed. */
bool fv_queue_push(struct fv_queue *q, void *item);
/* Waits for an item. NULL when the queue is closed and empty. */
void *fv_queue_pop(struct fv_queue *q);
/* Never waits; NULL when empty. */
void *fv_queue_try_pop(struct fv_queue *q);
void fv_queue_close(struct fv_queue *q);

/* Seconds of a clock that never goes back; CPU seconds of the whole process. */
double fv_now(void);
double fv_cpu_time(void);

#endif
