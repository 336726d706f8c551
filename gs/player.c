/* See player.h.
 *
 * The clock runs at the stream's rate times the speed, whatever decoding and drawing take: a frame
 * that comes late is shown if nothing newer is there, and one that is overtaken is left out. Two
 * things hold the clock: after a seek it waits for the frame that was sought, and it never runs more
 * than `patience` ahead of what was decoded, so that a pause of the network ends where it began. */
#include "gs/gs.h"

#include <math.h>
#include <string.h>

static const double patience = 0.5; /* seconds */
static const double whisker = 1e-6; /* of a frame: k / fps seconds is frame k */

static int64_t turn_now(const struct gs_player *p)
{
    return (int64_t)floor(p->at + whisker);
}

/* Of what plays once, whose turns are its frames. */
static int64_t last_turn(const struct gs_player *p)
{
    return p->loop ? INT64_MAX : (int64_t)p->frame_count - 1;
}

static double rate(const struct gs_player *p)
{
    return p->fps * p->speed;
}

void gs_player_init(struct gs_player *p, const struct gs_player_opts *opts)
{
    *p = (struct gs_player){.frame_count = opts->frame_count,
                            .fps = opts->fps,
                            .speed = opts->speed > 0 ? opts->speed : 1,
                            .playing = !opts->paused,
                            .loop = !opts->once,
                            .now = -1,
                            .shown = -1,
                            .bad = -1};
    gs_player_limit(p, opts->slots);
    gs_player_seek(p, opts->frame);
}

void gs_player_limit(struct gs_player *p, unsigned slots)
{
    p->slots = slots < GS_PLAYER_LEAST  ? GS_PLAYER_LEAST
               : slots > GS_PLAYER_MOST ? GS_PLAYER_MOST
                                        : slots;
}

/* ---- another place ---- */

static void drop(struct gs_slot *s)
{
    if (s->state == GS_SLOT_DECODING)
        s->state = GS_SLOT_STALE;
    else if (s->state == GS_SLOT_READY || s->state == GS_SLOT_FAILED)
        s->state = GS_SLOT_FREE;
    s->turn = GS_NO_TURN;
}

/* What holds the frame, or will, since the last seek; the earliest. NULL if nothing does. */
static const struct gs_slot *holder(const struct gs_player *p, uint32_t frame)
{
    const struct gs_slot *found = NULL;
    for (int i = 0; i < GS_PLAYER_MOST; i++) {
        const struct gs_slot *s = &p->slot[i];
        bool has = s->state == GS_SLOT_DECODING || s->state == GS_SLOT_READY ||
                   s->state == GS_SLOT_SHOWN || s->state == GS_SLOT_FAILED;
        if (has && s->frame == frame && s->turn != GS_NO_TURN && (!found || s->turn < found->turn))
            found = s;
    }
    return found;
}

/* Moves the clock to a frame of the first play. What is decoded from that frame on is kept, as its
 * turn is counted now, or none of it. */
static void move_to(struct gs_player *p, double at, bool keep)
{
    int64_t turn = (int64_t)floor(at + whisker);
    struct gs_slot *shown = p->shown >= 0 ? &p->slot[p->shown] : NULL;
    const struct gs_slot *from = keep ? holder(p, (uint32_t)turn) : NULL;
    int64_t first = from ? from->turn : INT64_MAX, moved = turn - first;
    p->at = at;
    p->now = -1;
    p->queued = from ? p->queued + moved : turn - 1;
    p->covered = from && p->covered >= first ? p->covered + moved : turn - 1;
    p->passed = GS_NO_TURN;
    for (int i = 0; i < GS_PLAYER_MOST; i++) {
        struct gs_slot *s = &p->slot[i];
        if (s->turn != GS_NO_TURN && s->turn >= first && s->turn + moved <= last_turn(p)) {
            s->turn += moved;
            s->until += moved;
        } else {
            drop(s);
        }
    }
    if (keep && !from && shown && shown->frame == (uint32_t)turn) /* it was there all along */
        shown->turn = p->queued = p->covered = turn;
    if (p->queued > last_turn(p))
        p->queued = last_turn(p);
    p->arrived = shown && shown->turn == turn;
    if (p->arrived)
        p->passed = turn;
}

void gs_player_seek(struct gs_player *p, uint32_t frame)
{
    move_to(p, frame < p->frame_count ? frame : p->frame_count - 1, true);
}

void gs_player_step(struct gs_player *p, int frames)
{
    int64_t n = p->frame_count, to = (turn_now(p) + frames) % n;
    p->playing = false;
    gs_player_seek(p, (uint32_t)(to < 0 ? to + n : to));
}

uint32_t gs_player_frame(const struct gs_player *p)
{
    return (uint32_t)(turn_now(p) % p->frame_count);
}

void gs_player_discard(struct gs_player *p)
{
    move_to(p, fmod(p->at, p->frame_count), false);
}

void gs_player_play(struct gs_player *p, bool playing)
{
    if (playing && !p->playing && turn_now(p) == last_turn(p) && !p->growing)
        gs_player_seek(p, 0);
    p->playing = playing;
    p->now = -1; /* time did not pass while it stood */
}

void gs_player_loop(struct gs_player *p, bool loop)
{
    p->loop = loop;
    move_to(p, fmod(p->at, p->frame_count), true);
}

void gs_player_grow(struct gs_player *p, uint32_t frame_count, bool growing)
{
    double at = fmod(p->at, p->frame_count);
    p->growing = growing;
    if (frame_count <= p->frame_count)
        return;
    p->frame_count = frame_count;
    move_to(p, at, true);
}

void gs_player_replace(struct gs_player *p, uint32_t frame_count, double fps)
{
    p->frame_count = frame_count;
    p->fps = fps;
    move_to(p, 0, false);
}

/* ---- showing ---- */

static void run_clock(struct gs_player *p, double seconds)
{
    double to = p->at + seconds * rate(p);
    double front = (double)p->covered + 1 + patience * rate(p);
    if (!p->loop) {
        double end = (double)last_turn(p) + 1;
        if (to >= end && p->covered >= last_turn(p) && !p->growing) {
            p->playing = false;
            to = end - 1;
        }
        front = fmin(front, end - 2 * whisker);
    }
    if (to > front)
        to = front;
    if (to > p->at || !p->playing)
        p->at = to;
}

/* A failed frame's time has come. */
static void pass(struct gs_player *p, int i)
{
    struct gs_slot *s = &p->slot[i];
    p->bad = i;
    p->arrived = true;
    if (s->until - 1 > p->passed)
        p->passed = s->until - 1;
    s->state = GS_SLOT_FREE;
}

static void show(struct gs_player *p, int i)
{
    struct gs_slot *s = &p->slot[i];
    for (int k = 0; k < GS_PLAYER_MOST; k++)
        if (p->slot[k].state == GS_SLOT_READY && p->slot[k].turn < s->turn)
            p->slot[k].state = GS_SLOT_FREE;
    if (p->passed != GS_NO_TURN && s->turn > p->passed + 1)
        p->drops += (uint64_t)(s->turn - p->passed - 1);
    if (p->shown >= 0)
        p->slot[p->shown].state = GS_SLOT_LEAVING;
    s->state = GS_SLOT_SHOWN;
    p->passed = s->turn;
    p->arrived = true;
    p->shown = i;
    p->shows++;
}

bool gs_player_tick(struct gs_player *p, double now)
{
    if (p->playing && p->arrived && p->now >= 0 && now > p->now)
        run_clock(p, now - p->now);
    p->now = now;
    int64_t turn = turn_now(p);
    int newest = -1;
    for (int i = 0; i < GS_PLAYER_MOST; i++) {
        const struct gs_slot *s = &p->slot[i];
        if (s->state == GS_SLOT_FAILED && s->turn <= turn)
            pass(p, i);
        else if (s->state == GS_SLOT_READY && s->turn <= turn &&
                 (newest < 0 || s->turn > p->slot[newest].turn))
            newest = i;
    }
    if (newest < 0)
        return false;
    show(p, newest);
    return true;
}

double gs_player_wait(const struct gs_player *p)
{
    double next = INFINITY;
    if (!p->playing || !p->arrived)
        return next;
    for (int i = 0; i < GS_PLAYER_MOST; i++) {
        const struct gs_slot *s = &p->slot[i];
        if (s->state == GS_SLOT_READY || s->state == GS_SLOT_FAILED)
            next = fmin(next, (double)s->turn);
    }
    if (!p->loop && p->covered >= last_turn(p) && !p->growing)
        next = fmin(next, (double)last_turn(p) + 1);
    return fmax(next - p->at, 0) / rate(p);
}

void gs_player_release(struct gs_player *p, int slot)
{
    if (p->slot[slot].state == GS_SLOT_LEAVING)
        p->slot[slot].state = GS_SLOT_FREE;
}

unsigned gs_player_ahead(const struct gs_player *p)
{
    unsigned n = 0;
    for (int i = 0; i < GS_PLAYER_MOST; i++)
        n += p->slot[i].state == GS_SLOT_READY;
    return n;
}

/* ---- decoding ---- */

/* Frames from one that is decoded to the next: more than 1 where pictures take longer than that. */
static int64_t stride(const struct gs_player *p)
{
    double frames = p->playing ? p->picture * rate(p) : 0;
    return frames < 2 ? 1 : frames > 1000 ? 1000 : (int64_t)frames;
}

/* The turn to decode next: one after the other, but none that the clock will have left behind when
 * it is decoded. */
static int64_t next_turn(const struct gs_player *p)
{
    double late = p->playing && p->arrived ? p->decoding * rate(p) : 0;
    int64_t now = turn_now(p), soonest = now + (int64_t)fmin(late, 1000);
    int64_t next = p->queued < now ? now : p->queued + stride(p);
    return next > soonest ? next : soonest;
}

int gs_player_next(struct gs_player *p, uint32_t *frame)
{
    int64_t turn = next_turn(p);
    int free = -1;
    for (int i = 0; i < (int)p->slots && free < 0; i++)
        free = p->slot[i].state == GS_SLOT_FREE ? i : -1;
    if (turn > last_turn(p) && p->queued < last_turn(p))
        turn = last_turn(p); /* the end is shown, whatever the stride */
    if (free < 0 || turn > last_turn(p) || (p->frame_count == 1 && p->covered >= 0))
        return -1;
    struct gs_slot *s = &p->slot[free];
    s->frame = *frame = (uint32_t)(turn % p->frame_count);
    s->turn = p->queued = turn;
    s->state = GS_SLOT_DECODING;
    return free;
}

static bool wanted(struct gs_slot *s)
{
    if (s->state == GS_SLOT_DECODING)
        return true;
    s->state = GS_SLOT_FREE;
    return false;
}

bool gs_player_decoded(struct gs_player *p, int slot)
{
    struct gs_slot *s = &p->slot[slot];
    if (!wanted(s))
        return false;
    s->state = GS_SLOT_READY;
    p->covered = s->turn > p->covered ? s->turn : p->covered;
    return true;
}

bool gs_player_failed(struct gs_player *p, int slot, uint32_t resume)
{
    struct gs_slot *s = &p->slot[slot];
    if (!wanted(s))
        return false;
    int64_t skip = resume > s->frame && resume < p->frame_count ? resume - s->frame
                                                                : p->frame_count - s->frame;
    s->state = GS_SLOT_FAILED;
    s->until = s->turn + skip;
    p->queued = s->until - 1 > p->queued ? s->until - 1 : p->queued;
    p->covered = s->until - 1 > p->covered ? s->until - 1 : p->covered;
    return true;
}
