/* Part of gs.h: which frame of a stream is shown when, and which are decoded ahead of it. A clock and
 * the book of a ring of scenes; it knows neither threads nor devices nor what time it is. The caller
 * tells the time, keeps a scene for each slot and, where several threads do this, holds a lock.
 *
 *     gs_player_init(&p, &(struct gs_player_opts){.frame_count = n, .fps = 30, .slots = 6});
 *     // who decodes, until there is nothing to do:
 *     int slot = gs_player_next(&p, &frame);
 *     if (slot >= 0) ... decode frame into the scene of that slot, unlocked ...
 *     gs_player_decoded(&p, slot);                       // or gs_player_failed
 *     // who shows, every round:
 *     if (gs_player_tick(&p, now)) ... show the scene of slot p.shown ...
 *     gs_player_release(&p, slot);                       // one shown before that nothing draws now
 *
 * Time is kept in frames since the first, and does not go back to 0 where a loop begins again: play
 * number 2 of a stream of 100 frames is 100 to 200. These numbers are called turns. */
#ifndef GS_PLAYER_H
#define GS_PLAYER_H

#include <stdbool.h>
#include <stdint.h>

enum { GS_PLAYER_MOST = 16, GS_PLAYER_LEAST = 3 }; /* slots: one shown, one going, one to decode into */

enum gs_slot_state {
    GS_SLOT_FREE,
    GS_SLOT_DECODING,
    GS_SLOT_STALE,   /* the same, but nobody wants it any more */
    GS_SLOT_READY,
    GS_SLOT_SHOWN,
    GS_SLOT_LEAVING, /* was shown; the caller may still draw it */
    GS_SLOT_FAILED,  /* frame cannot be decoded; kept until its time, to be told then */
};
struct gs_slot {
    enum gs_slot_state state;
    uint32_t frame;
    int64_t turn;  /* GS_NO_TURN: of before a seek */
    int64_t until; /* failed: first turn that can be decoded again */
};
#define GS_NO_TURN INT64_MIN

struct gs_player_opts {
    uint32_t frame_count; /* at least 1 */
    double fps;
    double speed;   /* default 1 */
    unsigned slots; /* GS_PLAYER_LEAST .. GS_PLAYER_MOST */
    bool paused, once; /* once: ends at its last frame, else begins again */
    uint32_t frame; /* to begin at */
};

struct gs_player {
    uint32_t frame_count;
    double fps, speed;
    bool playing, loop;
    bool growing;    /* more frames will come: waits at the last one */
    double at;       /* the clock, in turns */
    double now;      /* of the last tick, seconds; negative before the first */
    double picture;  /* seconds a picture takes, 0 if unknown: what comes faster is not decoded */
    double decoding; /* seconds a frame takes, 0 if unknown: one that would come late is left out */
    bool arrived;    /* a frame was shown, or failed, since the last seek: the clock runs */
    int64_t queued;  /* greatest turn given out to decode since the last seek */
    int64_t covered; /* all up to this turn was decoded, failed or left out */
    int64_t passed;  /* all up to this turn was shown, failed or left out */
    unsigned slots;
    struct gs_slot slot[GS_PLAYER_MOST];
    int shown; /* slot; -1 before the first */
    int bad;   /* slot of the failed frame whose time has come; -1 if it was told or is none */
    uint64_t shows, drops; /* frames shown; frames left out because there was no time for them */
};

void gs_player_init(struct gs_player *p, const struct gs_player_opts *opts);

/* ---- what the person does ---- */

/* At the end of what plays once, begins at its start. */
void gs_player_play(struct gs_player *p, bool playing);
void gs_player_loop(struct gs_player *p, bool loop);
/* Exactly this frame is shown next; what is decoded ahead is discarded unless it is ahead of this
 * frame too. */
void gs_player_seek(struct gs_player *p, uint32_t frame);
/* Stops at the frame so many on, round the ends. */
void gs_player_step(struct gs_player *p, int frames);
/* Frame that the clock is at: what is shown, or will be as soon as it is there. */
uint32_t gs_player_frame(const struct gs_player *p);

/* ---- showing ---- */

/* Tells the time. True: p->shown is another slot; the one before is GS_SLOT_LEAVING. */
bool gs_player_tick(struct gs_player *p, double now);
/* Seconds to the next tick at which something may change; infinite while nothing can. */
double gs_player_wait(const struct gs_player *p);
/* A slot that was shown is not used any more. */
void gs_player_release(struct gs_player *p, int slot);
/* Frames there are from the clock on. */
unsigned gs_player_ahead(const struct gs_player *p);

/* ---- decoding ---- */

/* The frame to decode next, and the slot for it, which is GS_SLOT_DECODING then. -1: nothing to do
 * until something else happens. */
int gs_player_next(struct gs_player *p, uint32_t *frame);
/* It is there. False: nobody wants it any more. */
bool gs_player_decoded(struct gs_player *p, int slot);
/* It is damaged; frames can be decoded again from `resume` on (frame_count: none after it). */
bool gs_player_failed(struct gs_player *p, int slot, uint32_t resume);
/* Other frames are wanted in place of all that are decoded: of another quality. */
void gs_player_discard(struct gs_player *p);
/* There are so many frames now; growing: and more will come. */
void gs_player_grow(struct gs_player *p, uint32_t frame_count, bool growing);
/* Another stream has taken the place of this one: begins at its start. */
void gs_player_replace(struct gs_player *p, uint32_t frame_count, double fps);
/* Uses only the first so many slots from now on. */
void gs_player_limit(struct gs_player *p, unsigned slots);

#endif
