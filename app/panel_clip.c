/* The panel at the bottom while a clip plays in the window. */
#include "app/viewer.h"
#include "vk/base/file.h"

static const float edge = 10;

void panel_clip(struct viewer *v)
{
    struct studio *s = &v->studio;
    const struct clip_player_state *p = &s->playing;
    struct ui_place place = {.ay = 1,
                             .x = edge,
                             .y = -edge,
                             .width = (float)v->width / v->window->scale - 2 * edge,
                             .flags = UI_NO_TITLE};
    bool close = false;
    if (ui_panel_begin("clip", &place, NULL)) {
        if (ui_icon_button("##start", UI_START, true, false))
            clip_player_seek(s->player, 0);
        ui_tip("First frame: Home");
        if (ui_icon_button("##play", p->playing ? UI_PAUSE : UI_PLAY, false, false))
            clip_player_set_playing(s->player, !p->playing);
        ui_tip(p->playing ? "Pause: Space" : "Play: Space");
        close = ui_icon_button("##close", UI_CROSS, false, false);
        ui_tip("Back to the scene: Esc");
        if (p->width && !ui_right("%s   %ux%u   frame %u of %u   %.2f s", fv_path_base(s->playing_path), p->width,
                                  p->height, p->frame, p->frames, p->frame / p->fps))
            ui_right("%u / %u", p->frame, p->frames);
        const struct ui_timeline t = {.frames = p->frames ? p->frames : p->frame + 1, .at = p->frame, .fps = p->fps};
        uint32_t to;
        if (ui_scrub(&t, &to) && to != p->frame) {
            clip_player_set_playing(s->player, false);
            clip_player_seek(s->player, to);
        }
    }
    ui_panel_end();
    if (close)
        viewer_close_clip(v);
}
