/* See peek.h. */
#include "app/peek.h"
#include "app/image_io.h"
#include "app/video.h"
#include "vk/base/thread.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { NICE = 10, ROOM = 96 };

struct ask {
    char path[1024];
    int tag;
};

struct peek {
    void (*wake)(void);
    struct fv_worker worker;
    struct ask asks[ROOM];
    size_t ask_count;
    struct peeked *got[ROOM];
    size_t got_count;
};

/* --- shrinking --- */

/* The rest of the thumb stays dark. */
static void shrink(struct ui_thumb *t, const struct image_part *in)
{
    double scale = fmin((double)UI_THUMB_WIDTH / in->width, (double)UI_THUMB_HEIGHT / in->height);
    uint32_t w = (uint32_t)fmax(1, floor(in->width * scale)), h = (uint32_t)fmax(1, floor(in->height * scale));
    uint32_t left = (UI_THUMB_WIDTH - w) / 2, top = (UI_THUMB_HEIGHT - h) / 2;
    for (uint32_t i = 0; i < UI_THUMB_WIDTH * UI_THUMB_HEIGHT; i++)
        memcpy(t->rgba[i / UI_THUMB_WIDTH][i % UI_THUMB_WIDTH], (uint8_t[4]){14, 15, 18, 255}, 4);
    image_shrink(in, t->rgba[top][left], w, h, 4, sizeof t->rgba[0]);
}

/* --- files --- */

static int read_picture(struct peeked *p)
{
    struct image i;
    FV_TRY(image_load(&i, p->path));
    p->width = i.width;
    p->height = i.height;
    p->count = i.width >= 3 * i.height ? PEEK_THUMBS : 1;
    uint32_t part = i.width / (uint32_t)p->count;
    for (int k = 0; k < p->count; k++)
        shrink(&p->thumbs[k], &(struct image_part){.data = i.data + (size_t)k * part * i.channels,
                                                   .width = part,
                                                   .height = i.height,
                                                   .stride = i.width,
                                                   .channels = i.channels});
    image_finish(&i);
    return 0;
}

static int read_video(struct peeked *p)
{
    struct video_in *in;
    FV_TRY(video_in_open(&in, p->path));
    const struct video_info *info = video_in_info(in);
    p->width = info->width;
    p->height = info->height;
    p->frames = (uint32_t)info->frames;
    p->seconds = info->seconds;
    snprintf(p->prompt, sizeof p->prompt, "%s", info->title ? info->title : "");
    float *rgb = malloc((size_t)p->width * p->height * 3 * sizeof *rgb);
    uint32_t middle = p->frames < 240 ? p->frames / 2 : 0; /* not far into long ones */
    int rc = rgb ? 1 : fv_fail(FV_ENOMEM, "out of memory");
    for (uint32_t k = 0; k <= middle && rc > 0; k++)
        rc = video_in_read(in, rgb);
    if (rc > 0) {
        shrink(&p->thumbs[0], &(struct image_part){rgb, p->width, p->height, p->width, 3});
        p->count = 1;
    }
    free(rgb);
    video_in_close(&in);
    return rc < 0 ? rc : p->count ? 0 : FV_EFORMAT;
}

/* --- the thread --- */

static void *run(void *ud)
{
    struct peek *p = ud;
    setpriority(PRIO_PROCESS, 0, NICE); /* of this thread, on Linux */
    pthread_mutex_lock(&p->worker.lock);
    while (!p->worker.stop) {
        if (!p->ask_count || p->got_count == ROOM) {
            pthread_cond_wait(&p->worker.changed, &p->worker.lock);
            continue;
        }
        struct ask ask = p->asks[0];
        memmove(p->asks, p->asks + 1, --p->ask_count * sizeof *p->asks);
        pthread_mutex_unlock(&p->worker.lock);
        struct peeked *got = calloc(1, sizeof *got);
        if (got) {
            strcpy(got->path, ask.path);
            got->tag = ask.tag;
            got->found = (image_has_suffix(ask.path) ? read_picture(got) : read_video(got)) >= 0;
        }
        pthread_mutex_lock(&p->worker.lock);
        if (got)
            p->got[p->got_count++] = got;
        if (p->wake && !p->worker.stop)
            p->wake();
    }
    pthread_mutex_unlock(&p->worker.lock);
    return NULL;
}

int peek_start(struct peek **out, void (*wake)(void))
{
    *out = NULL;
    struct peek *p = calloc(1, sizeof *p);
    if (!p)
        return fv_fail(FV_ENOMEM, "out of memory");
    p->wake = wake;
    if (fv_worker_start(&p->worker, run, p) < 0) {
        free(p);
        return fv_fail(FV_ENOMEM, "no thread for small pictures of clips");
    }
    *out = p;
    return 0;
}

void peek_stop(struct peek **p_)
{
    struct peek *p = *p_;
    if (!p)
        return;
    fv_worker_stop(&p->worker);
    for (size_t i = 0; i < p->got_count; i++)
        free(p->got[i]);
    free(p);
    *p_ = NULL;
}

bool peek_ask(struct peek *p, const char *path, int tag)
{
    pthread_mutex_lock(&p->worker.lock);
    bool room = p->ask_count < ROOM && strlen(path) < sizeof p->asks[0].path;
    if (room) {
        struct ask *a = &p->asks[p->ask_count++];
        strcpy(a->path, path);
        a->tag = tag;
        pthread_cond_signal(&p->worker.changed);
    }
    pthread_mutex_unlock(&p->worker.lock);
    return room;
}

bool peek_poll(struct peek *p, struct peeked *out)
{
    pthread_mutex_lock(&p->worker.lock);
    struct peeked *got = p->got_count ? p->got[0] : NULL;
    if (got) {
        memmove(p->got, p->got + 1, --p->got_count * sizeof *p->got);
        pthread_cond_signal(&p->worker.changed);
    }
    pthread_mutex_unlock(&p->worker.lock);
    if (got)
        *out = *got;
    free(got);
    return got != NULL;
}
