/* A video played in the window: decoded by a thread of its own, each frame scaled into the middle of a picture
 * of the window's size.
 *
 *     FV_TRY(clip_player_start(&p, "out.mp4", &opts));
 *     clip_player_fit(p, width, height);                  // every round of the window's loop
 *     const struct picture *picture = clip_player_poll(p, &state);
 *     if (picture) ... show it until the next one comes ...
 *     clip_player_stop(&p);
 *
 * All functions are called by one thread, the window's; only stop waits. */
#ifndef APP_CLIP_PLAYER_H
#define APP_CLIP_PLAYER_H

#include "app/picture.h"

struct clip_player;

struct clip_player_opts {
    struct vk_device *screen; /* shows the pictures */
    bool bgra;
    void (*wake)(void); /* called from the thread when there is something to poll; NULL */
    bool paused;
};

struct clip_player_state {
    uint32_t frame, frames; /* frames 0: not known yet */
    uint32_t width, height; /* of the video */
    double fps;
    bool playing;
    char error[512]; /* it cannot be played, or not further; "" = it can */
};

int clip_player_start(struct clip_player **out, const char *path, const struct clip_player_opts *opts);
/* Its pictures must not be in use any more. Accepts NULL. */
void clip_player_stop(struct clip_player **p);
void clip_player_fit(struct clip_player *p, uint32_t width, uint32_t height);
void clip_player_set_playing(struct clip_player *p, bool playing); /* it begins again at its end */
void clip_player_seek(struct clip_player *p, uint32_t frame);
/* So many frames on or back, around its ends; pauses. */
void clip_player_step(struct clip_player *p, int frames);
/* The newest picture, or NULL when none is newer than the one polled before. */
const struct picture *clip_player_poll(struct clip_player *p, struct clip_player_state *out);

#endif
