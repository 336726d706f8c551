/* See play.h. One lock guards the player and what is told; it is not held while a frame is decoded. */
#include "app/play.h"
#include "app/stream_in.h"
#include "vk/base/array.h"
#include "vk/base/thread.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SLOTS = 8 };
static const uint64_t default_room = 512ull << 20;
static const double look = 0.05;       /* seconds a frame's bytes are waited for at a time */
static const double look_around = 0.2; /* seconds between looks at what has come from afar */
static const double want_seconds = 20; /* that are loaded ahead */

struct play {
    struct stream_in in;                   /* the thread's, once it runs */
    struct stream_slot slot[GS_PLAYER_MOST]; /* his whose state the player's slot is in */
    struct gs_camera begins; /* zeros: not said */
    uint64_t room;
    void (*wake)(void);

    struct fv_worker worker; /* changed: there may be something to decode */
    int sh; /* highest degree wanted; -1: by the network, else all */
    struct gs_player player;
    uint32_t *groups;
    size_t group_count, group_room;
    uint32_t listed; /* frames whose groups are in there */
    char why[GS_PLAYER_MOST][1024]; /* of slots that failed */
    struct play_state now;          /* what is not the player's */
};

/* --- the thread --- */

/* How many scenes of so many bytes there may be. */
static unsigned slots_for(const struct play *p, uint64_t bytes)
{
    uint64_t n = p->room / (bytes ? bytes : 1);
    return n < MOST_SLOTS ? (unsigned)n : MOST_SLOTS;
}

static void note_damage(struct play *p, uint32_t from, uint32_t to)
{
    struct play_state *s = &p->now;
    for (unsigned i = 0; i < s->damaged_count; i++)
        if (s->damaged[i].from <= from && from < s->damaged[i].to)
            return; /* known from an earlier loop */
    if (s->damaged_count < PLAY_SPANS)
        s->damaged[s->damaged_count++] = (struct play_span){from, to};
}

/* The lock is held. */
static void take_frame(struct play *p, int slot, int rc, double seconds)
{
    struct gs_player *pl = &p->player;
    uint32_t frame = pl->slot[slot].frame;
    bool wanted;
    if (rc < 0) {
        uint32_t resume = gs_stream_next_group(p->in.stream, frame);
        wanted = gs_player_failed(pl, slot, resume);
        snprintf(p->why[slot], sizeof p->why[slot], "%s", fv_error());
        note_damage(p, frame, resume);
    } else {
        wanted = gs_player_decoded(pl, slot);
        double ms = seconds * 1000;
        p->now.decode_ms += p->now.decode_ms > 0 ? 0.2 * (ms - p->now.decode_ms) : ms;
        pl->decoding = p->now.decode_ms / 1000;
        gs_player_limit(pl, slots_for(p, gs_gpu_scene_held(p->slot[slot].gpu)));
    }
    bool due = wanted && (double)pl->slot[slot].turn <= pl->at;
    if (due && p->wake)
        p->wake();
}

/* Scenes beyond the number there may be, of when there were smaller ones. The lock is held. */
static void free_spare(struct play *p)
{
    for (unsigned i = p->player.slots; i < GS_PLAYER_MOST; i++)
        if (p->player.slot[i].state == GS_SLOT_FREE)
            gs_gpu_scene_destroy(&p->slot[i].gpu);
}

/* The groups of frames that were not there before. The lock is held, or nobody else is there yet. */
static int list_groups(struct play *p)
{
    const struct gs_stream_info *info = p->in.info;
    for (; p->listed < info->frame_count; p->listed++)
        if (info->frame[p->listed].entry == p->listed) {
            FV_TRY(fv_grow(&p->groups, &p->group_room, p->group_count, sizeof *p->groups));
            p->groups[p->group_count++] = p->listed;
        }
    return 0;
}

/* What has changed at the other end: frames that were written meanwhile, what came over the network.
 * The lock is not held. */
static void look_afar(struct play *p)
{
    int more = 0;
    while (p->in.info->growing && (more = stream_in_follow(&p->in)) > 0)
        ;
    pthread_mutex_lock(&p->worker.lock);
    struct play_state *s = &p->now;
    list_groups(p); /* without memory for it the new ones are not marked */
    s->growing = p->in.info->growing;
    gs_player_grow(&p->player, p->in.info->frame_count, s->growing);
    uint32_t frame = gs_player_frame(&p->player), all = p->in.info->frame_count;
    bool loop = p->player.loop;
    pthread_mutex_unlock(&p->worker.lock);
    stream_in_want(&p->in, frame, (uint32_t)ceil(want_seconds * p->in.info->fps), loop);
    uint32_t loaded = gs_stream_ahead(p->in.stream, frame, all, p->in.sh);
    struct http_stats net = {0};
    bool remote = stream_in_stats(&p->in, &net);
    pthread_mutex_lock(&p->worker.lock);
    s->loaded = loaded;
    s->remote = remote;
    s->net = net;
    pthread_mutex_unlock(&p->worker.lock);
}

/* Whether something may happen at the other end. */
static bool is_afar(const struct play *p)
{
    return p->in.http || p->in.info->growing;
}

static int ask_stop(void *ud, const struct fv_progress *now)
{
    struct play *p = ud;
    struct http_stats net = {0};
    (void)now;
    stream_in_stats(&p->in, &net);
    pthread_mutex_lock(&p->worker.lock);
    p->now.net = net;
    bool stop = p->worker.stop;
    pthread_mutex_unlock(&p->worker.lock);
    return stop;
}

/* The file at the server is another one: opens that. */
static int reopen(struct play *p)
{
    p->in.patience = INFINITY;
    p->in.opts.on_wait = ask_stop;
    p->in.opts.wait_ud = p;
    int rc = stream_in_reopen(&p->in);
    p->in.opts.on_wait = NULL;
    p->in.patience = look;
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&p->worker.lock);
    p->listed = 0;
    p->group_count = 0;
    p->now.damaged_count = 0;
    p->now.changes++;
    rc = list_groups(p);
    gs_player_replace(&p->player, p->in.info->frame_count, p->in.info->fps);
    p->player.growing = p->now.growing = p->in.info->growing;
    pthread_mutex_unlock(&p->worker.lock);
    return rc;
}

/* Decodes into a slot; what has not come yet is waited for, unless it is not wanted any more. */
static void decode(struct play *p, int slot, uint32_t frame)
{
    double start = fv_now(), seconds;
    int rc;
    pthread_mutex_lock(&p->worker.lock);
    int sh = p->sh;
    pthread_mutex_unlock(&p->worker.lock);
    bool enters = p->in.info->frame[frame].entry == frame;
    double needs[4] = {0};
    if (enters)
        stream_in_rates(&p->in, frame, needs);
    p->in.adapts = sh < 0;
    if (sh >= 0 || !p->in.http)
        p->in.sh = sh < 0 ? 3 : sh;
    else if (enters)
        stream_in_adapt(&p->in, frame);
    for (;;) {
        rc = stream_in_put(&p->in, &p->slot[slot], frame);
        seconds = fv_now() - start;
        if (rc < 0 && rc != FV_EAGAIN && stream_in_changed(&p->in))
            rc = reopen(p) < 0 ? FV_EIO : rc; /* this frame is not wanted any more */
        pthread_mutex_lock(&p->worker.lock);
        bool wanted = p->player.slot[slot].state == GS_SLOT_DECODING && !p->worker.stop;
        if (rc != FV_EAGAIN || !wanted)
            break;
        pthread_mutex_unlock(&p->worker.lock);
        look_afar(p);
        start = fv_now(); /* waiting is not decoding */
    }
    p->now.sh = p->in.sh < p->in.info->sh_degree ? p->in.sh : p->in.info->sh_degree;
    p->now.sh_most = p->in.info->sh_degree;
    if (enters)
        memcpy(p->now.needs, needs, sizeof needs);
    take_frame(p, slot, rc, seconds);
    pthread_mutex_unlock(&p->worker.lock);
}

/* Until there may be something to do. The lock is held. */
static void rest(struct play *p)
{
    if (is_afar(p))
        fv_cond_wait_until(&p->worker.changed, &p->worker.lock, fv_now() + look_around);
    else
        pthread_cond_wait(&p->worker.changed, &p->worker.lock);
}

static void *run(void *ud)
{
    struct play *p = ud;
    uint32_t frame;
    double looked = 0;
    pthread_mutex_lock(&p->worker.lock);
    while (!p->worker.stop) {
        int slot = gs_player_next(&p->player, &frame);
        free_spare(p);
        bool afar = is_afar(p) && fv_now() > looked + look_around;
        if (slot < 0 && !afar) {
            rest(p);
            continue;
        }
        pthread_mutex_unlock(&p->worker.lock);
        if (afar) {
            look_afar(p);
            looked = fv_now();
        }
        if (slot >= 0)
            decode(p, slot, frame);
        pthread_mutex_lock(&p->worker.lock);
    }
    pthread_mutex_unlock(&p->worker.lock);
    return NULL;
}

/* --- its life --- */

static int start(struct play *p, struct vk_device *dev, const char *path,
                 const struct play_opts *opts, struct gs_scene *first)
{
    FV_TRY(stream_in_open(&p->in, path,
                          &(struct scene_opts){.sh = 3,
                                               .live = opts->live,
                                               .on_wait = opts->on_wait,
                                               .wait_ud = opts->wait_ud}));
    p->in.adapts = p->sh < 0;
    if (p->sh >= 0)
        p->in.sh = p->sh;
    p->in.view.camera = opts->appearance;
    FV_TRY(stream_in_first(&p->in));
    *first = p->in.scene;
    p->in.scene = (struct gs_scene){0};
    p->in.opts.on_wait = NULL; /* the caller's is gone; the thread looks often */
    p->in.patience = look;
    if (p->in.info->has_start)
        p->begins = p->in.info->start;
    FV_TRY(list_groups(p));
    p->now.growing = p->in.info->growing;
    p->now.remote = p->in.http != NULL;
    stream_in_start(&p->in, dev, false);
    const struct gs_stream_info *info = p->in.info;
    double at = floor(opts->at * info->fps + 1e-6);
    gs_player_init(&p->player,
                   &(struct gs_player_opts){.frame_count = info->frame_count,
                                            .fps = info->fps,
                                            .speed = opts->speed,
                                            .slots = slots_for(p, gs_gpu_scene_bytes(first->count, first->sh_degree, false)),
                                            .paused = opts->paused,
                                            .once = opts->once,
                                            .frame = (uint32_t)fmin(fmax(at, 0), UINT32_MAX)});
    p->player.growing = p->now.growing;
    if (fv_worker_start(&p->worker, run, p) < 0)
        return fv_fail(FV_ENOMEM, "%s: no thread to decode it in", path);
    return 0;
}

static void finish(struct play *p)
{
    for (int i = 0; i < GS_PLAYER_MOST; i++)
        gs_gpu_scene_destroy(&p->slot[i].gpu);
    stream_in_finish(&p->in);
    free(p->groups);
    free(p);
}

int play_start(struct play **out, struct vk_device *dev, const char *path,
               const struct play_opts *opts, struct gs_scene *first)
{
    *out = NULL;
    struct play *p = calloc(1, sizeof *p);
    if (!p)
        return fv_fail(FV_ENOMEM, "out of memory");
    p->room = opts->room ? opts->room : default_room;
    p->wake = opts->wake;
    p->sh = opts->sh_bands - 1;
    int rc = start(p, dev, path, opts, first);
    if (rc < 0)
        finish(p);
    else
        *out = p;
    return rc;
}

void play_stop(struct play **p_)
{
    struct play *p = *p_;
    if (!p)
        return;
    fv_worker_stop(&p->worker);
    finish(p);
    *p_ = NULL;
}

/* --- what the window's thread calls --- */

static void fill(const struct play *p, struct play_state *out)
{
    const struct gs_player *pl = &p->player;
    *out = p->now;
    if (pl->shown >= 0) {
        out->scene = p->slot[pl->shown].gpu;
        out->held = pl->slot[pl->shown].frame;
    }
    out->frame = gs_player_frame(pl);
    out->frame_count = pl->frame_count;
    out->fps = pl->fps;
    out->speed = pl->speed;
    out->playing = pl->playing;
    out->loop = pl->loop;
    out->waiting = !pl->arrived || (pl->playing && pl->at >= (double)pl->covered + 1);
    out->ahead = gs_player_ahead(pl);
    out->slots = pl->slots;
    int64_t reach = pl->covered - (int64_t)pl->at;
    out->reach = reach > 0 ? (uint32_t)reach : 0;
    out->shows = pl->shows;
    out->drops = pl->drops;
}

bool play_tick(struct play *p, double now, struct play_state *out)
{
    pthread_mutex_lock(&p->worker.lock);
    struct gs_player *pl = &p->player;
    bool changed = gs_player_tick(pl, now);
    if (pl->bad >= 0) {
        const struct gs_slot *s = &pl->slot[pl->bad];
        memcpy(p->now.damage, p->why[pl->bad], sizeof p->now.damage);
        p->now.damage_span =
            (struct play_span){s->frame, s->frame + (uint32_t)(s->until - s->turn)};
        pl->bad = -1;
    }
    uint32_t frame = gs_player_frame(pl);
    if (frame < p->now.damage_span.from || frame >= p->now.damage_span.to)
        p->now.damage[0] = 0;
    fill(p, out);
    pthread_cond_signal(&p->worker.changed);
    pthread_mutex_unlock(&p->worker.lock);
    return changed;
}

double play_wait(struct play *p)
{
    pthread_mutex_lock(&p->worker.lock);
    double seconds = gs_player_wait(&p->player);
    pthread_mutex_unlock(&p->worker.lock);
    return seconds;
}

void play_settle(struct play *p, bool (*drawn)(void *ud, const struct gs_gpu_scene *scene), void *ud)
{
    pthread_mutex_lock(&p->worker.lock);
    for (int i = 0; i < GS_PLAYER_MOST; i++)
        if (p->player.slot[i].state == GS_SLOT_LEAVING && !drawn(ud, p->slot[i].gpu))
            gs_player_release(&p->player, i);
    pthread_cond_signal(&p->worker.changed);
    pthread_mutex_unlock(&p->worker.lock);
}

/* Something of the player's is changed, and the thread looks at it anew. */
#define CHANGE(p, what)                                                                            \
    pthread_mutex_lock(&(p)->worker.lock);                                                         \
    what;                                                                                          \
    pthread_cond_signal(&(p)->worker.changed);                                                     \
    pthread_mutex_unlock(&(p)->worker.lock)

void play_drew(struct play *p, double seconds)
{
    double *picture = &p->player.picture;
    seconds = fmin(seconds, 0.25); /* the first ones compile their kernels */
    CHANGE(p, *picture += *picture > 0 ? 0.3 * (seconds - *picture) : seconds);
}

void play_overtaken(struct play *p)
{
    CHANGE(p, p->player.drops++);
}

void play_set_playing(struct play *p, bool playing)
{
    CHANGE(p, gs_player_play(&p->player, playing));
}

void play_set_loop(struct play *p, bool loop)
{
    CHANGE(p, gs_player_loop(&p->player, loop));
}

void play_set_speed(struct play *p, double speed)
{
    CHANGE(p, p->player.speed = fmin(fmax(speed, PLAY_SLOWEST), PLAY_FASTEST));
}

void play_set_sh_bands(struct play *p, int bands)
{
    pthread_mutex_lock(&p->worker.lock);
    if (p->sh != bands - 1) {
        p->sh = bands - 1;
        gs_player_discard(&p->player);
        pthread_cond_signal(&p->worker.changed);
    }
    pthread_mutex_unlock(&p->worker.lock);
}

void play_seek(struct play *p, uint32_t frame)
{
    CHANGE(p, gs_player_seek(&p->player, frame));
}

void play_step(struct play *p, int frames)
{
    CHANGE(p, gs_player_step(&p->player, frames));
}

size_t play_groups(struct play *p, uint32_t *out, size_t room)
{
    pthread_mutex_lock(&p->worker.lock);
    size_t n = p->group_count;
    memcpy(out, p->groups, (n < room ? n : room) * sizeof *out);
    pthread_mutex_unlock(&p->worker.lock);
    return n;
}

const struct gs_camera *play_begins(const struct play *p)
{
    return p->begins.width ? &p->begins : NULL;
}
