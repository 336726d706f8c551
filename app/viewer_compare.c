/* A second file in the window, seen by the same camera: each on its side of a line, in halves, or what differs
 * between them. Of two streams the first is the clock, and the second is sent after it: a frame of the first is
 * drawn when the second has the one that belongs to it. Meanwhile the frame before stays, and a second that does
 * not keep up holds the first one back, whose ring of decoded frames is not emptied. */
#include "app/viewer.h"
#include "vk/base/file.h"

#include <math.h>
#include <string.h>

void viewer_compare(struct viewer *v, const char *path)
{
    struct comparison *c = &v->other;
    loader_destroy(&c->loader);
    c->problem[0] = 0;
    c->open = true;
    struct loader_opts o = v->load;
    o.play.at = 0;
    o.wake = v->window ? window_wake : NULL;
    if (loader_start(&c->loader, v->dev, path, &o) < 0)
        snprintf(c->problem, sizeof c->problem, "%s", fv_error());
    v->redraws = SETTLE_DRAWS;
}

/* The one there is, which may still be being drawn. */
static void retire(struct viewer *v)
{
    struct comparison *c = &v->other;
    if (!c->scene)
        return;
    v->sketching = v->sketching == c->scene ? NULL : v->sketching;
    render_thread_retire(v->render, c->scene);
    c->thumb_count = 0;
}

void viewer_compare_end(struct viewer *v)
{
    struct comparison *c = &v->other;
    loader_destroy(&c->loader);
    c->loader = NULL;
    retire(v);
    c->scene = NULL;
    c->gpu = c->next = NULL;
    c->play = (struct play_state){0};
    c->problem[0] = 0;
    c->dragging = false;
    v->redraws = SETTLE_DRAWS;
}

static void take(struct viewer *v)
{
    struct comparison *c = &v->other;
    struct loaded *s = loader_take(c->loader);
    retire(v);
    c->scene = s;
    c->gpu = s->gpu;
    c->next = NULL;
    c->led = false;
    c->play = (struct play_state){0};
    settings_remember(&v->settings.recent, s->path);
    viewer_remember(v);
}

int viewer_compare_poll(struct viewer *v)
{
    struct comparison *c = &v->other;
    if (!c->loader)
        return 0;
    int rc = loader_poll(c->loader, &c->loading);
    if (rc == 0) {
        v->redraws = v->redraws ? v->redraws : 1;
        return 0;
    }
    if (rc > 0)
        take(v);
    else
        snprintf(c->problem, sizeof c->problem, "%s", fv_error());
    loader_destroy(&c->loader);
    v->redraws = SETTLE_DRAWS;
    return rc < 0 ? fv_fail(rc, "%s", c->problem) : 0;
}

/* --- streams --- */

struct viewer_stream viewer_stream(struct viewer *v)
{
    struct comparison *c = &v->other;
    if (v->scene && v->scene->play)
        return (struct viewer_stream){v->scene, &v->play, v->thumbs, &v->thumb_count};
    if (v->scene && c->scene && c->scene->play)
        return (struct viewer_stream){c->scene, &c->play, c->thumbs, &c->thumb_count};
    return (struct viewer_stream){0};
}

/* The second's frame at the time of the first's; a shorter one holds its last. */
static uint32_t partner(const struct play_state *b, uint32_t frame, double fps)
{
    uint32_t last = b->frame_count - 1;
    double at = floor(frame / fps * b->fps + 1e-6);
    return at < last ? (uint32_t)at : last;
}

/* Draws the pair that was waited for if it is complete. */
static bool complete(struct viewer *v)
{
    struct comparison *c = &v->other;
    if (!c->next || !c->play.scene || c->play.waiting)
        return false;
    v->gpu = c->next;
    v->held = c->next_frame;
    c->gpu = c->play.scene;
    c->next = NULL;
    return true;
}

/* The frame the first is at becomes the one that is waited for. */
static void send_on(struct viewer *v)
{
    struct comparison *c = &v->other;
    const struct play_state *a = &v->play;
    c->next = a->scene;
    c->next_frame = a->held;
    play_seek(c->scene->play, partner(&c->play, a->held, a->fps));
    play_tick(c->scene->play, v->now, &c->play);
}

static void keep_step(struct viewer *v)
{
    struct comparison *c = &v->other;
    const struct play_state *a = &v->play;
    bool none = !v->gpu || !c->gpu;
    complete(v);
    bool drawn = !none && a->scene == v->gpu && a->held == v->held;
    bool waits = c->next && (a->playing || (a->scene == c->next && a->held == c->next_frame));
    if (!a->scene || !c->play.frame_count || waits || (drawn && !c->next))
        return;
    send_on(v);
    complete(v);
}

void viewer_compare_step(struct viewer *v)
{
    struct comparison *c = &v->other;
    bool follows = c->scene && c->scene->play && v->scene && v->scene->play;
    if (!follows) { /* a stream beside a scene that stands still plays by itself */
        v->gpu = v->scene && v->scene->play ? v->play.scene : v->gpu;
        v->held = v->play.held;
    }
    if (!c->scene || !c->scene->play)
        return;
    struct play *p = c->scene->play;
    if (follows != c->led)
        play_set_playing(p, !follows);
    c->led = follows;
    if (follows && c->play.loop != v->play.loop)
        play_set_loop(p, v->play.loop);
    viewer_tick(v, c->scene, &c->play);
    if (follows)
        keep_step(v);
    else
        c->gpu = c->play.scene;
}

/* --- what it changes of the view --- */

bool viewer_halves(const struct viewer *v)
{
    return v->other.gpu ? v->other.split == PICTURE_BESIDE : v->stereo;
}

void viewer_pick(struct viewer *v, double x, double y)
{
    struct picture_request r = viewer_request(v);
    const struct picture_side b = r.beside;
    double line = viewer_halves(v) ? r.camera.width : b.line * r.camera.width;
    bool divided = viewer_halves(v) || (b.scene && b.split == PICTURE_WIPE), right = divided && x >= line;
    if (viewer_halves(v) && right)
        x -= line;
    if (b.scene && divided && right != b.swapped) {
        r.scene = b.scene;
        r.stream = b.stream;
        r.frame = b.frame;
    }
    r.beside = (struct picture_side){0};
    r.opts.stereo = false;
    render_thread_pick(v->render, &r, x, y);
}

bool viewer_drag_line(struct viewer *v, bool taken)
{
    struct comparison *c = &v->other;
    const struct window_input *in = &v->window->input;
    const double reach = 7 * v->window->scale;
    bool wipes = c->gpu && c->split == PICTURE_WIPE;
    if (wipes && !taken && !v->drag && in->pressed == BUTTON_LEFT && fabs(in->went_at[0][0] - c->line * v->width) <= reach)
        c->dragging = true;
    bool was = c->dragging;
    if (was) {
        c->line = fmin(fmax(in->mouse[0] / v->width, 0), 1);
        v->redraws = v->redraws ? v->redraws : 1;
    }
    c->dragging = was && wipes && in->buttons & BUTTON_LEFT;
    return was;
}
