/* See thumbs.h. */
#include "app/thumbs.h"
#include "app/stream_in.h"
#include "vk/base/thread.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { NICE = 10 }; /* playing comes first */

struct thumbs {
    struct vk_device *dev;
    char *path;
    void (*wake)(void);

    struct fv_worker worker;
    bool ready; /* slot is to be drawn */
    struct stream_slot slot;
};

/* The lock is not held. False: it is to stop. */
static bool hand_out(struct thumbs *t)
{
    pthread_mutex_lock(&t->worker.lock);
    t->ready = !t->worker.stop;
    pthread_mutex_unlock(&t->worker.lock);
    if (t->wake)
        t->wake();
    pthread_mutex_lock(&t->worker.lock);
    while (t->ready && !t->worker.stop)
        pthread_cond_wait(&t->worker.changed, &t->worker.lock);
    bool go_on = !t->worker.stop;
    pthread_mutex_unlock(&t->worker.lock);
    return go_on;
}

/* Starts of groups, at most THUMBS_MOST: those nearest to evenly spread places. */
static size_t choose(const struct gs_stream_info *info, uint32_t out[THUMBS_MOST])
{
    size_t n = 0;
    uint32_t before = 0; /* the last start of a group */
    for (uint32_t f = 0, slot = 0; f < info->frame_count && slot < THUMBS_MOST; f++) {
        if (info->frame[f].entry != f)
            continue;
        for (double due; (due = (double)slot * info->frame_count / THUMBS_MOST) <= f && slot < THUMBS_MOST; slot++) {
            uint32_t nearest = due - before < f - due ? before : f;
            if (!n || out[n - 1] < nearest)
                out[n++] = nearest;
        }
        before = f;
    }
    if (n && n < THUMBS_MOST && out[n - 1] < before)
        out[n++] = before;
    return n;
}

static void *run(void *ud)
{
    struct thumbs *t = ud;
    struct stream_in in;
    uint32_t frames[THUMBS_MOST];
    setpriority(PRIO_PROCESS, 0, NICE); /* of this thread, on Linux */
    if (stream_in_open(&in, t->path, &(struct scene_opts){.sh = 0}) < 0)
        return NULL; /* whoever plays it tells why */
    stream_in_start(&in, t->dev, false);
    size_t n = choose(in.info, frames);
    for (size_t i = 0; i < n; i++) {
        int rc = stream_in_put(&in, &t->slot, frames[i]);
        if (rc == FV_ECANCELLED || (rc >= 0 && !hand_out(t)))
            break;
    }
    stream_in_finish(&in);
    return NULL;
}

int thumbs_start(struct thumbs **out, struct vk_device *dev, const char *path, void (*wake)(void))
{
    *out = NULL;
    struct thumbs *t = calloc(1, sizeof *t);
    if (!t)
        return fv_fail(FV_ENOMEM, "out of memory");
    t->dev = dev;
    t->wake = wake;
    t->path = strdup(path);
    if (!t->path || fv_worker_start(&t->worker, run, t) < 0) {
        free(t->path);
        free(t);
        return fv_fail(FV_ENOMEM, "%s: no thread for its small pictures", path);
    }
    *out = t;
    return 0;
}

void thumbs_stop(struct thumbs **t_)
{
    struct thumbs *t = *t_;
    if (!t)
        return;
    fv_worker_stop(&t->worker);
    gs_gpu_scene_destroy(&t->slot.gpu);
    free(t->path);
    free(t);
    *t_ = NULL;
}

const struct gs_gpu_scene *thumbs_next(struct thumbs *t, uint32_t *frame)
{
    pthread_mutex_lock(&t->worker.lock);
    const struct gs_gpu_scene *scene = t->ready ? t->slot.gpu : NULL;
    *frame = t->slot.frame;
    pthread_mutex_unlock(&t->worker.lock);
    return scene;
}

void thumbs_done(struct thumbs *t)
{
    pthread_mutex_lock(&t->worker.lock);
    t->ready = false;
    pthread_cond_signal(&t->worker.changed);
    pthread_mutex_unlock(&t->worker.lock);
}
