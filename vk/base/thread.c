/* Parallel loop, queue and clocks (thread.h). */
#include "vk/base/thread.h"
#include "vk/base/err.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_THREADS = 64 };

unsigned fv_cpu_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        int n = CPU_COUNT(&set);
        if (n > 0)
            return (unsigned)n;
    }
    return 1;
}

struct loop {
    size_t count, grain;
    int (*fn)(void *ud, size_t begin, size_t end);
    void *ud;
    atomic_size_t next;
    atomic_int rc;
    pthread_mutex_t lock;
    char error[1024];
};

static void *loop_run(void *arg)
{
    struct loop *l = arg;
    while (!atomic_load(&l->rc)) {
        size_t begin = atomic_fetch_add(&l->next, l->grain);
        if (begin >= l->count)
            break;
        size_t end = l->count - begin < l->grain ? l->count : begin + l->grain;
        int rc = l->fn(l->ud, begin, end);
        if (rc < 0) {
            pthread_mutex_lock(&l->lock);
            if (!atomic_load(&l->rc)) {
                snprintf(l->error, sizeof l->error, "%s", fv_error());
                atomic_store(&l->rc, rc);
            }
            pthread_mutex_unlock(&l->lock);
        }
    }
    return NULL;
}

int fv_parallel(size_t count, size_t grain, int (*fn)(void *ud, size_t begin, size_t end), void *ud)
{
    if (!count)
        return 0;
    if (!grain)
        grain = 1;
    struct loop l = {.count = count, .grain = grain, .fn = fn, .ud = ud};
    pthread_t threads[MAX_THREADS];
    unsigned extra = fv_cpu_count() - 1, started = 0;
    size_t pieces = (count - 1) / grain + 1;
    if (extra > MAX_THREADS)
        extra = MAX_THREADS;
    if (extra > pieces - 1)
        extra = (unsigned)(pieces - 1);
    pthread_mutex_init(&l.lock, NULL);
    while (started < extra && !pthread_create(&threads[started], NULL, loop_run, &l))
        started++;
    loop_run(&l);
    for (unsigned i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    pthread_mutex_destroy(&l.lock);
    int rc = atomic_load(&l.rc);
    return rc < 0 ? fv_fail(rc, "%s", l.error) : 0;
}

int fv_queue_init(struct fv_queue *q, size_t room)
{
    *q = (struct fv_queue){.room = room, .items = calloc(room, sizeof(void *))};
    if (!q->items)
        return fv_fail(FV_ENOMEM, "out of memory");
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->changed, NULL);
    return 0;
}

void fv_queue_finish(struct fv_queue *q)
{
    if (!q->items)
        return;
    pthread_cond_destroy(&q->changed);
    pthread_mutex_destroy(&q->lock);
    free(q->items);
    memset(q, 0, sizeof *q);
}

bool fv_queue_push(struct fv_queue *q, void *item)
{
    pthread_mutex_lock(&q->lock);
    while (q->count == q->room && !q->closed)
        pthread_cond_wait(&q->changed, &q->lock);
    bool ok = !q->closed;
    if (ok) {
        q->items[(q->head + q->count++) % q->room] = item;
        pthread_cond_broadcast(&q->changed);
    }
    pthread_mutex_unlock(&q->lock);
    return ok;
}

static void *take(struct fv_queue *q)
{
    void *item = NULL;
    if (q->count) {
        item = q->items[q->head];
        q->head = (q->head + 1) % q->room;
        q->count--;
        pthread_cond_broadcast(&q->changed);
    }
    return item;
}

void *fv_queue_pop(struct fv_queue *q)
{
    pthread_mutex_lock(&q->lock);
    while (!q->count && !q->closed)
        pthread_cond_wait(&q->changed, &q->lock);
    void *item = take(q);
    pthread_mutex_unlock(&q->lock);
    return item;
}

void *fv_queue_try_pop(struct fv_queue *q)
{
    pthread_mutex_lock(&q->lock);
    void *item = take(q);
    pthread_mutex_unlock(&q->lock);
    return item;
}

void fv_queue_close(struct fv_queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    pthread_cond_broadcast(&q->changed);
    pthread_mutex_unlock(&q->lock);
}

void fv_cond_init(pthread_cond_t *c)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(c, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

bool fv_cond_wait_until(pthread_cond_t *c, pthread_mutex_t *lock, double until)
{
    until = until < 1e9 ? until : 1e9; /* decades: a time_t holds it */
    time_t whole = (time_t)until;
    struct timespec t = {whole, (long)((until - (double)whole) * 1e9)};
    return pthread_cond_timedwait(c, lock, &t) == 0;
}

int fv_worker_start(struct fv_worker *w, void *(*fn)(void *ud), void *ud)
{
    w->stop = false;
    pthread_mutex_init(&w->lock, NULL);
    fv_cond_init(&w->changed);
    if (pthread_create(&w->thread, NULL, fn, ud) == 0)
        return 0;
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    return FV_ENOMEM;
}

void fv_worker_stop(struct fv_worker *w)
{
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
}

double fv_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double fv_cpu_time(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
