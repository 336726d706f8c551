/* What the viewer remembers between runs (settings.h): files, bookmarks, how it was left. */
#include "app/viewer.h"
#include "vk/base/file.h"
#include "vk/base/thread.h"

#include <string.h>

static const double save_seconds = 1; /* after a change, so that many at once are one file */

void viewer_remember(struct viewer *v)
{
    if (!v->settings_due)
        v->settings_due = fv_now() + save_seconds;
}

static void take_values(struct viewer *v)
{
    struct settings *s = &v->settings;
    viewer_keep_generation(v);
    s->reduce = v->reduce;
    if (v->control.radius > 0) {
        s->movement = v->control.mode;
        s->speed = v->control.speed;
    }
    s->export_width = (uint32_t)v->export_width;
    s->export_height = (uint32_t)v->export_height;
}

void viewer_settings_start(struct viewer *v, bool kept)
{
    settings_load(&v->settings, kept ? app_folder(v->app, "XDG_CONFIG_HOME", ".config") : NULL);
    v->reduce = v->settings.reduce;
    v->export_width = v->settings.export_width;
    v->export_height = v->settings.export_height;
    if (v->settings.notice[0])
        viewer_notice(v, "%s", v->settings.notice);
}

void viewer_settings_save(struct viewer *v, bool now)
{
    if (!v->settings.file[0] || (!now && (!v->settings_due || v->now < v->settings_due)))
        return;
    v->settings_due = 0;
    take_values(v);
    if (settings_save(&v->settings) >= 0)
        return;
    viewer_notice(v, "%s", fv_error()); /* once: it is not tried again */
    v->settings.file[0] = 0;
}

/* --- bookmarks --- */

bool viewer_marks(const struct viewer *v, size_t i)
{
    const struct settings *s = &v->settings;
    return v->scene && i < s->mark_count && s->recent.count && !strcmp(s->marks[i].scene, v->scene_file);
}

void viewer_bookmark(struct viewer *v)
{
    struct gs_camera c = viewer_camera(v);
    size_t before = 0;
    for (size_t i = 0; i < v->settings.mark_count; i++)
        before += viewer_marks(v, i);
    snprintf(c.name, sizeof c.name, "View %zu", before + 1);
    settings_mark(&v->settings, v->scene->path, &c, v->scene->play ? v->play.frame : 0);
    viewer_remember(v);
    viewer_notice(v, "Bookmark \"%s\" of this view", c.name);
}

void viewer_go_to_mark(struct viewer *v, size_t i)
{
    const struct bookmark *m = &v->settings.marks[i];
    v->playing = false;
    v->camera = -1;
    viewer_look(v, &m->camera);
    if (v->scene->play) {
        play_set_playing(v->scene->play, false);
        play_seek(v->scene->play, m->frame < v->play.frame_count ? m->frame : 0);
    }
}
