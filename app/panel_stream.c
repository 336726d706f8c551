/* The panel of a stream: what plays it, where it is, what is decoded and damaged. */
#include "app/text.h"
#include "app/viewer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const float panel_stream_height = 80;
static const float edge = 10;

static void buttons(const struct viewer_stream *t)
{
    const struct play_state *s = t->now;
    struct play *p = t->file->play;
    if (ui_icon_button("##start", UI_START, true, false))
        play_seek(p, 0);
    ui_tip("First frame: Home");
    if (ui_icon_button("##back", UI_BACK, false, false))
        play_step(p, -1);
    ui_tip("One frame back: Left");
    if (ui_icon_button("##play", s->playing ? UI_PAUSE : UI_PLAY, false, false))
        play_set_playing(p, !s->playing);
    ui_tip(s->playing ? "Pause: Space" : "Play: Space");
    if (ui_icon_button("##on", UI_ON, false, false))
        play_step(p, 1);
    ui_tip("One frame on: Right");
    if (ui_icon_button("##end", UI_END, false, false))
        play_seek(p, s->frame_count - 1);
    ui_tip("Last frame: End");
    if (ui_icon_button("##loop", UI_LOOP, false, s->loop))
        play_set_loop(p, !s->loop);
    ui_tip(s->loop ? "Again and again: L" : "Once: L");
    float speed = (float)s->speed;
    if (ui_knob("##speed", &speed, PLAY_SLOWEST, PLAY_FASTEST, "%.2fx", 62))
        play_set_speed(p, speed);
    ui_tip("Speed: - and =");
}

/* How much of the colours that change with the view is decoded: the levels a stream has. */
static void quality(struct viewer *v, const struct play_state *s)
{
    static const char *const degrees[] = {NULL, "SH 0", "SH 1", "SH 2", "SH 3"};
    const char *names[5] = {s->remote ? "Auto" : "All"}, *notes[5] = {s->remote ? "by the network" : ""};
    char needs[4][32], shown[32];
    int count = s->sh_most + 2;
    if (s->sh_most < 1)
        return; /* one level only */
    for (int d = 0; d <= s->sh_most; d++) {
        bytes_text(needs[d], (uint64_t)fmax(s->needs[d], 0));
        strcat(needs[d], "/s");
        names[d + 1] = degrees[d + 1];
        notes[d + 1] = needs[d];
    }
    snprintf(shown, sizeof shown, v->sh_bands ? "SH %d" : s->remote ? "Auto: SH %d" : "All: SH %d", s->sh);
    int bands = v->sh_bands < count ? v->sh_bands : 0;
    if (ui_pick("##quality", &bands, names, notes, count, shown, 106))
        v->sh_bands = bands;
    ui_tip("Quality: how much of the colours that change with the view is decoded,\n"
           "and what that takes of the network or file");
}

/* What the network does: its trouble, else what it brings and has to bring. */
static void network(char out[300], const struct play_state *s)
{
    char rate[32], needs[32];
    out[0] = 0;
    if (!s->remote)
        return;
    bytes_text(rate, (uint64_t)s->net.bandwidth);
    bytes_text(needs, (uint64_t)fmax(s->needs[s->sh], 0));
    if (s->net.text[0])
        snprintf(out, 300, "%s   ", s->net.text);
    else if (s->net.bandwidth > 0)
        snprintf(out, 300, "%s/s (%s/s needed)   ", rate, needs);
}

static void where(const struct play_state *s)
{
    char state[64] = "", net[300], buffer[48] = "";
    network(net, s);
    if (s->remote && s->loaded >= s->frame_count - s->frame && !s->growing)
        snprintf(buffer, sizeof buffer, "all loaded   ");
    else if (s->remote)
        snprintf(buffer, sizeof buffer, "buffer %.1f s   ", s->loaded / s->fps);
    if (s->waiting)
        snprintf(state, sizeof state, "waiting   ");
    else if (s->drops)
        snprintf(state, sizeof state, "%llu left out   ", (unsigned long long)s->drops);
    double end = s->frame_count / s->fps, now = s->frame / s->fps;
    if (!ui_right("%s%s%s%u ahead   frame %u of %u   %.2f / %.2f s", net, buffer, state, s->ahead, s->frame,
                  s->frame_count, now, end) &&
        !ui_right("%s%u / %u   %.2f / %.2f s", buffer, s->frame, s->frame_count, now, end))
        ui_right("%.2f s", now);
}

/* What is decoded ahead, round the end where it loops. */
static size_t ahead(const struct play_state *s, struct ui_span out[2])
{
    double from = s->frame, to = from + s->reach + 1;
    out[0] = (struct ui_span){from, fmin(to, s->frame_count), UI_AHEAD};
    out[1] = (struct ui_span){0, fmin(to - s->frame_count, s->frame_count), UI_AHEAD};
    return to > s->frame_count && s->loop ? 2 : 1;
}

static void timeline(const struct viewer_stream *of)
{
    const struct play_state *s = of->now;
    enum { MOST_TICKS = 1024 }; /* more would not be told apart */
    struct ui_span spans[PLAY_SPANS + 3];
    uint32_t ticks[MOST_TICKS];
    const struct ui_thumb *thumbs[THUMBS_MOST];
    size_t n = 0;
    if (s->remote)
        spans[n++] = (struct ui_span){s->frame, s->frame + s->loaded, UI_LOADED};
    n += ahead(s, spans + n);
    for (unsigned i = 0; i < s->damaged_count; i++)
        spans[n++] = (struct ui_span){s->damaged[i].from, s->damaged[i].to, UI_DAMAGED};
    struct ui_timeline t = {.frames = s->frame_count,
                            .at = s->frame,
                            .fps = s->fps,
                            .spans = spans,
                            .span_count = n};
    t.tick_count = play_groups(of->file->play, ticks, MOST_TICKS);
    t.ticks = ticks;
    t.tick_count = t.tick_count > MOST_TICKS ? 0 : t.tick_count;
    for (size_t i = 0; i < *of->thumb_count; i++)
        thumbs[i] = &of->thumbs[i];
    t.thumbs = thumbs;
    t.thumb_count = *of->thumb_count;
    uint32_t to;
    if (ui_scrub(&t, &to) && to != s->frame)
        play_seek(of->file->play, to);
}

static void damage(const struct viewer *v, const struct play_state *s)
{
    bool narrow = (float)v->width / v->window->scale < 900; /* then beside the left panel */
    struct ui_place place = {.ax = narrow ? 1 : 0.5f,
                             .ay = 1,
                             .x = narrow ? -edge : 0,
                             .y = -edge - panel_stream_height - 40,
                             .width = narrow ? 300 : 440,
                             .flags = UI_NO_TITLE | UI_NO_INPUT};
    if (ui_panel_begin("damage", &place, NULL)) {
        ui_text("Frames %u to %u cannot be shown.", s->damage_span.from,
                s->damage_span.to - 1);
        ui_note("%s", s->damage);
    }
    ui_panel_end();
}

void panel_stream(struct viewer *v)
{
    struct viewer_stream stream = viewer_stream(v);
    if (!stream.now->frame_count)
        return; /* in the next round */
    struct ui_place place = {.ay = 1,
                             .x = edge,
                             .y = -edge,
                             .width = (float)v->width / v->window->scale - 2 * edge,
                             .flags = UI_NO_TITLE};
    if (ui_panel_begin("stream", &place, NULL)) {
        buttons(&stream);
        quality(v, stream.now);
        where(stream.now);
        timeline(&stream);
    }
    ui_panel_end();
    if (stream.now->damage[0])
        damage(v, stream.now);
}
