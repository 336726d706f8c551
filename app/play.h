/* A stream being played, from a file or a web server: decoded ahead on the device in a thread of its own, into a ring of scenes
 * whose number and bytes are bounded. What is shown when is gs/player.h's.
 *
 *     struct play *p;
 *     FV_TRY(play_start(&p, dev, "talk.fvv", &(struct play_opts){.wake = window_wake}, &first));
 *     struct play_state now;
 *     play_tick(p, fv_now(), &now);              // every round of the window's loop
 *     if (now.scene) ... draw it; it stays until a tick returns another one and play_settle ...
 *     play_settle(p, is_drawn, ud);              // what was shown before may be written over
 *     play_stop(&p);
 *
 * All functions but play_start are called by one thread, the window's, and do not wait for frames. */
#ifndef APP_PLAY_H
#define APP_PLAY_H

#include "app/http_source.h"

struct play;

struct play_opts {
    bool paused, once;  /* once: ends at the last frame, else begins again */
    double speed;       /* default 1 */
    double at;          /* seconds to begin at */
    int sh_bands;       /* bands of spherical harmonics decoded, 1..4; 0 = all, or of a URL what the
                           network brings */
    uint32_t appearance; /* of anchors: row of the embedding */
    double live;        /* a stream without an index may still be written: until nothing came for so
                           many seconds; 0: it is as it is */
    fv_progress_fn on_wait; /* of play_start, while bytes are waited for; non-zero cancels. NULL: none */
    void *wait_ud;
    uint64_t room;      /* bytes of device memory for scenes, at least three are made; default 512 Mi */
    void (*wake)(void); /* called from the thread when there is something new to show; NULL */
};

enum { PLAY_SPANS = 64 };
#define PLAY_SLOWEST 0.25 /* speeds */
#define PLAY_FASTEST 4.0
struct play_span {
    uint32_t from, to; /* frames; to is not part of it */
};

struct play_state {
    const struct gs_gpu_scene *scene; /* to draw; NULL before the first. Borrowed */
    uint32_t held;                    /* frame it holds */
    uint32_t frame, frame_count;      /* frame the clock is at */
    double fps, speed;
    bool playing, loop;
    bool waiting; /* for a frame that is not decoded yet */
    bool growing; /* more frames will come */
    unsigned changes; /* times another stream was found in its place, which begins at its start */
    int sh;       /* highest degree that is decoded now */
    int sh_most;  /* that the stream has */
    double needs[4]; /* bytes a second that it takes at each degree, as of the group that was decoded last */
    bool remote;  /* from a web server: the next two are filled */
    struct http_stats net;
    uint32_t loaded; /* frames from the clock's on that could be decoded without waiting */
    unsigned ahead, slots; /* scenes decoded and not shown yet; scenes there may be */
    uint32_t reach;        /* frames from the clock's to the last of them */
    uint64_t shows, drops;
    double decode_ms;     /* of a frame, lately: decoding and bringing it to the device */
    char damage[1024]; /* why the frame the clock is at cannot be shown; "" = it can */
    struct play_span damage_span; /* the frames that cannot */
    struct play_span damaged[PLAY_SPANS]; /* frames found damaged so far */
    unsigned damaged_count;
};

/* Opens the stream and decodes its first frame into the zeroed `first`, then begins. Waits for both. */
int play_start(struct play **out, struct vk_device *dev, const char *path,
               const struct play_opts *opts, struct gs_scene *first);
/* Ends the thread, frees the scenes: nothing may be drawing them. Accepts NULL. */
void play_stop(struct play **p);

/* Tells the time. True: what is to be drawn has changed. */
bool play_tick(struct play *p, double now, struct play_state *out);
/* Seconds from the last tick to the next one needed; infinite while the thread will wake. */
double play_wait(struct play *p);
/* Gives back scenes that were shown and are not drawn any more. */
void play_settle(struct play *p, bool (*drawn)(void *ud, const struct gs_gpu_scene *scene),
                 void *ud);
/* Seconds drawing takes; pictures asked for that another overtook. */
void play_drew(struct play *p, double seconds);
void play_overtaken(struct play *p);

void play_set_playing(struct play *p, bool playing);
void play_set_loop(struct play *p, bool loop);
void play_set_speed(struct play *p, double speed); /* limited to 0.25 .. 4 */
void play_set_sh_bands(struct play *p, int bands);
void play_seek(struct play *p, uint32_t frame);
void play_step(struct play *p, int frames);

/* Groups: frames at which decoding enters, at most `room` of them. Returns how many there are. */
size_t play_groups(struct play *p, uint32_t *out, size_t room);

/* Where the stream says that a viewer begins; NULL when it does not. */
const struct gs_camera *play_begins(const struct play *p);

#endif
