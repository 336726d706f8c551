/* See clip_player.h. Seeking backwards opens the file anew: clips are short. */
#include "app/clip_player.h"
#include "app/video.h"
#include "vk/base/thread.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 3, NONE = -1 };

struct clip_player {
    struct clip_player_opts opts;
    char *path;

    /* the thread's */
    struct video_in *in;
    uint32_t next; /* frame that is read next */
    uint32_t shown_frame;
    float *rgb;
    uint8_t *rgba, *scaled;
    size_t scaled_bytes;

    struct fv_worker worker;
    bool sought, resized;
    uint32_t target; /* of a seek, else the frame wanted last */
    uint32_t width, height;
    double began; /* when frame `from` was due */
    uint32_t from;
    struct clip_player_state state;
    struct picture slots[SLOTS];
    int shown, ready; /* slots; NONE */
};

/* --- frames --- */

static int open_video(struct clip_player *p)
{
    video_in_close(&p->in);
    p->next = 0;
    FV_TRY(video_in_open(&p->in, p->path));
    return 0;
}

static void keep_frame(struct clip_player *p)
{
    const struct video_info *i = video_in_info(p->in);
    size_t n = (size_t)i->width * i->height;
    int red = p->opts.bgra ? 2 : 0;
    for (size_t k = 0; k < n; k++)
        for (int c = 0; c < 4; c++)
            p->rgba[4 * k + (size_t)(c == 0 ? red : c == 2 ? 2 - red : c)] =
                c == 3 ? 255 : (uint8_t)(fminf(fmaxf(p->rgb[3 * k + (size_t)c], 0), 1) * 255 + 0.5f);
}

/* Decodes up to frame `wanted`. 1: it is there; 0: the video ends before, frames are counted now. */
static int read_to(struct clip_player *p, uint32_t wanted, uint32_t *frames)
{
    if (wanted < p->next)
        FV_TRY(open_video(p));
    while (p->next <= wanted) {
        int rc = video_in_read(p->in, p->rgb);
        if (rc < 0)
            return rc;
        if (!rc) {
            *frames = p->next;
            return p->next ? 0 : fv_fail(FV_EFORMAT, "%s: holds no picture", p->path);
        }
        p->next++;
    }
    p->shown_frame = wanted;
    keep_frame(p);
    return 1;
}

/* --- pictures --- */

static int compose(struct clip_player *p, struct picture *out, uint32_t width, uint32_t height)
{
    const struct video_info *i = video_in_info(p->in);
    double scale = fmin((double)width / i->width, (double)height / i->height);
    uint32_t w = (uint32_t)fmax(1, fmin(width, round(i->width * scale)));
    uint32_t h = (uint32_t)fmax(1, fmin(height, round(i->height * scale)));
    uint32_t left = (width - w) / 2, top = (height - h) / 2;
    uint64_t bytes = (uint64_t)width * height * 4;
    if (out->pixels.size < bytes) {
        vk_buf_destroy(&out->pixels);
        FV_TRY(vk_buf_create(&out->pixels, p->opts.screen, bytes, VK_BUF_UPLOAD, "viewer clip"));
    }
    if (p->scaled_bytes < 4 * (size_t)w * h) {
        free(p->scaled);
        p->scaled = malloc(4 * (size_t)w * h);
        p->scaled_bytes = p->scaled ? 4 * (size_t)w * h : 0;
        if (!p->scaled)
            return fv_fail(FV_ENOMEM, "%s: out of memory", p->path);
    }
    FV_TRY(picture_enlarge(p->scaled, w, h, p->rgba, i->width, i->height));
    FV_TRY(vk_buf_settle(&out->pixels));
    uint8_t *to = out->pixels.map;
    memset(to, 16, bytes);
    for (uint32_t y = 0; y < h; y++)
        memcpy(to + 4 * ((size_t)(top + y) * width + left), p->scaled + 4 * (size_t)y * w, 4 * (size_t)w);
    out->width = width;
    out->height = height;
    out->bgra = p->opts.bgra;
    return vk_buf_flush(&out->pixels, 0, bytes);
}

static int free_slot(const struct clip_player *p)
{
    for (int i = 0; i < SLOTS; i++)
        if (i != p->shown && i != p->ready)
            return i;
    return NONE;
}

/* --- the thread --- */

/* The lock is held. Infinite: nothing is due. */
static double next_due(const struct clip_player *p)
{
    if (!p->state.playing)
        return INFINITY;
    return p->began + (double)(p->shown_frame + 1 - p->from) / p->state.fps;
}

/* The frame to be shown now. The lock is held. */
static uint32_t due_frame(struct clip_player *p)
{
    double now = fv_now(), late = (now - p->began) * p->state.fps;
    uint32_t wanted = p->sought ? p->target : p->shown_frame;
    if (!p->sought && p->state.playing)
        wanted = p->from + (uint32_t)fmax(0, late);
    if (p->state.frames && wanted >= p->state.frames)
        wanted = p->sought ? p->state.frames - 1 : 0;
    if (p->sought || wanted < p->shown_frame) { /* the clock begins anew there */
        p->began = now;
        p->from = wanted;
    }
    p->sought = p->resized = false;
    p->target = wanted;
    return wanted;
}

static int show_frame(struct clip_player *p, uint32_t wanted, uint32_t width, uint32_t height, int slot)
{
    uint32_t frames = 0;
    int rc = wanted == p->shown_frame && p->next == wanted + 1 ? 1 : read_to(p, wanted, &frames);
    if (rc == 0) { /* from its start again */
        pthread_mutex_lock(&p->worker.lock);
        p->state.frames = frames;
        p->began = fv_now();
        p->from = 0;
        pthread_mutex_unlock(&p->worker.lock);
        rc = read_to(p, 0, &frames);
    }
    return rc > 0 ? compose(p, &p->slots[slot], width, height) : rc < 0 ? rc : FV_EFORMAT;
}

/* Opening may take a while: the thread does it. */
static int prepare(struct clip_player *p)
{
    FV_TRY(open_video(p));
    const struct video_info *i = video_in_info(p->in);
    size_t n = (size_t)i->width * i->height;
    p->rgb = malloc(n * 3 * sizeof *p->rgb);
    p->rgba = malloc(n * 4);
    if (!p->rgb || !p->rgba)
        return fv_fail(FV_ENOMEM, "%s: out of memory", p->path);
    pthread_mutex_lock(&p->worker.lock);
    p->state.width = i->width;
    p->state.height = i->height;
    p->state.frames = (uint32_t)i->frames;
    p->state.fps = i->fps_num ? (double)i->fps_num / i->fps_den : 25;
    p->state.playing = p->state.playing && i->frames != 1;
    pthread_mutex_unlock(&p->worker.lock);
    return 0;
}

static void *run(void *ud)
{
    struct clip_player *p = ud;
    int ready = prepare(p);
    pthread_mutex_lock(&p->worker.lock);
    if (ready < 0) {
        snprintf(p->state.error, sizeof p->state.error, "%s", fv_error());
        if (p->opts.wake && !p->worker.stop)
            p->opts.wake();
    }
    while (!p->worker.stop) {
        double due = next_due(p);
        if (!p->width || !p->height || p->state.error[0] || (!p->sought && !p->resized && due == INFINITY)) {
            pthread_cond_wait(&p->worker.changed, &p->worker.lock);
            continue;
        }
        if (!p->sought && !p->resized && fv_now() < due) {
            fv_cond_wait_until(&p->worker.changed, &p->worker.lock, due);
            continue;
        }
        uint32_t wanted = due_frame(p), width = p->width, height = p->height;
        int slot = free_slot(p);
        pthread_mutex_unlock(&p->worker.lock);
        int rc = show_frame(p, wanted, width, height, slot);
        pthread_mutex_lock(&p->worker.lock);
        if (rc < 0)
            snprintf(p->state.error, sizeof p->state.error, "%s", fv_error());
        else
            p->ready = slot;
        p->state.frame = p->shown_frame;
        if (p->opts.wake && !p->worker.stop)
            p->opts.wake();
    }
    pthread_mutex_unlock(&p->worker.lock);
    return NULL;
}

/* --- life --- */

static void destroy(struct clip_player *p)
{
    video_in_close(&p->in);
    for (int i = 0; i < SLOTS; i++)
        picture_finish(&p->slots[i]);
    free(p->path);
    free(p->rgb);
    free(p->rgba);
    free(p->scaled);
    free(p);
}

int clip_player_start(struct clip_player **out, const char *path, const struct clip_player_opts *opts)
{
    *out = NULL;
    struct clip_player *p = calloc(1, sizeof *p);
    if (!p)
        return fv_fail(FV_ENOMEM, "out of memory");
    p->opts = *opts;
    p->shown = p->ready = NONE;
    p->sought = true;
    p->path = strdup(path);
    p->state.fps = 25;
    p->state.playing = !p->opts.paused;
    int rc = p->path ? 0 : fv_fail(FV_ENOMEM, "out of memory");
    if (rc >= 0 && fv_worker_start(&p->worker, run, p) < 0)
        rc = fv_fail(FV_ENOMEM, "%s: no thread to play it", path);
    if (rc < 0) {
        destroy(p);
        return rc;
    }
    *out = p;
    return 0;
}

void clip_player_stop(struct clip_player **p_)
{
    struct clip_player *p = *p_;
    if (!p)
        return;
    fv_worker_stop(&p->worker);
    destroy(p);
    *p_ = NULL;
}

/* --- what it is told --- */

void clip_player_fit(struct clip_player *p, uint32_t width, uint32_t height)
{
    pthread_mutex_lock(&p->worker.lock);
    if (width != p->width || height != p->height) {
        p->width = width;
        p->height = height;
        p->resized = true;
        pthread_cond_signal(&p->worker.changed);
    }
    pthread_mutex_unlock(&p->worker.lock);
}

void clip_player_set_playing(struct clip_player *p, bool playing)
{
    pthread_mutex_lock(&p->worker.lock);
    p->state.playing = playing;
    p->began = fv_now();
    p->from = p->state.frame;
    pthread_cond_signal(&p->worker.changed);
    pthread_mutex_unlock(&p->worker.lock);
}

void clip_player_seek(struct clip_player *p, uint32_t frame)
{
    pthread_mutex_lock(&p->worker.lock);
    p->target = frame;
    p->sought = true;
    pthread_cond_signal(&p->worker.changed);
    pthread_mutex_unlock(&p->worker.lock);
}

void clip_player_step(struct clip_player *p, int frames)
{
    pthread_mutex_lock(&p->worker.lock);
    int64_t count = p->state.frames ? p->state.frames : (int64_t)p->state.frame + 1;
    int64_t to = (int64_t)p->target + frames;
    p->state.playing = false;
    p->target = (uint32_t)((to % count + count) % count);
    p->sought = true;
    pthread_cond_signal(&p->worker.changed);
    pthread_mutex_unlock(&p->worker.lock);
}

const struct picture *clip_player_poll(struct clip_player *p, struct clip_player_state *out)
{
    pthread_mutex_lock(&p->worker.lock);
    const struct picture *picture = NULL;
    if (p->ready != NONE) {
        p->shown = p->ready;
        p->ready = NONE;
        picture = &p->slots[p->shown];
    }
    *out = p->state;
    pthread_mutex_unlock(&p->worker.lock);
    return picture;
}
