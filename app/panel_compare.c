/* The part of the Scene panel that compares with a second file, and the line between the two in the window. */
#include "app/viewer.h"
#include "vk/base/file.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void choose(struct viewer *v)
{
    struct comparison *c = &v->other;
    const struct settings_paths *p = &v->settings.recent;
    char line[SETTINGS_PATH + 16];
    size_t shown = 0;
    bool go = ui_entry("Second file", c->file, sizeof c->file);
    ui_tip("A scene, a stream or a URL to be seen by the same camera, at the right of this one");
    go = ui_button("Compare", 0, 1) || go;
    if (c->problem[0])
        ui_warn("%s", c->problem);
    for (size_t i = 0; i < p->count && shown < 6; i++) {
        const char *path = p->items[i];
        if (!strcmp(path, v->scene_file))
            continue;
        if (!shown++)
            ui_note("Or with one opened lately:");
        snprintf(line, sizeof line, "%s##other%zu", fv_path_base(path), i);
        bool picked = ui_line(line, false);
        ui_tip(path);
        if (picked) {
            snprintf(c->file, sizeof c->file, "%s", path);
            go = true;
        }
    }
    if (go && c->file[0])
        viewer_compare(v, c->file);
}

static void loads(struct viewer *v)
{
    struct comparison *c = &v->other;
    float part = c->loading.total > 0 ? (float)(c->loading.done / c->loading.total) : 0;
    ui_note("Loading %s", loader_name(c->loader));
    ui_progress(part, c->loading.what ? c->loading.what : "reading");
    if (ui_button("Cancel loading", 0, 1))
        loader_destroy(&c->loader);
}

/* dB between the two, or why there is no number. */
static void measure(const struct viewer *v)
{
    const struct picture *p = v->picture;
    if (!p || !v->drawn.beside.scene || v->drawn.kind == PICTURE_DEPTH)
        return;
    if (v->other.split == PICTURE_WIPE)
        ui_note("Side by side, and as a difference, their PSNR is measured.");
    else if (isinf(p->psnr))
        ui_row("PSNR", "no difference");
    else if (p->psnr > 0)
        ui_row("PSNR", "%.2f dB of this view", p->psnr);
}

void panel_compare(struct viewer *v)
{
    static const char *const splits[] = {"Line", "Halves", "Diff"};
    struct comparison *c = &v->other;
    if (c->loader) {
        loads(v);
        return;
    }
    if (!c->scene) {
        choose(v);
        return;
    }
    ui_row(c->swapped ? "Right" : "Left", "%s", v->scene->name);
    ui_row(c->swapped ? "Left" : "Right", "%s", c->scene->name);
    ui_tip(c->scene->path);
    ui_choice("As", &c->split, splits, 3);
    ui_tip("T: both sides of a line that can be dragged, side by side, or what differs (eight times as bright)");
    measure(v);
    if (c->play.damage[0])
        ui_warn("%s", c->play.damage);
    if (ui_button("Exchange", 0, 2))
        c->swapped = !c->swapped;
    ui_tip("X: the left one to the right");
    if (ui_button("Stop comparing", 1, 2))
        viewer_compare_end(v);
}

void panel_line(const struct viewer *v)
{
    const struct comparison *c = &v->other;
    bool wipe = c->split == PICTURE_WIPE;
    if (!c->gpu || !v->gpu || v->studio.player || c->split == PICTURE_DIFFERENCE || (!v->panels && !wipe))
        return;
    const char *names[2] = {v->panels ? v->scene->name : "", v->panels ? c->scene->name : ""};
    ui_divider(wipe ? (float)c->line : 0.5f, wipe, names[c->swapped], names[!c->swapped]);
}
