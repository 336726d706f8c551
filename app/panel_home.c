/* Opening files, and what is remembered: the empty window, files opened lately, bookmarks. */
#include "app/viewer.h"
#include "vk/base/file.h"

#include <stdio.h>
#include <string.h>

/* A path typed in, and the files opened lately. */
void panel_open(struct viewer *v, size_t most)
{
    const struct settings_paths *p = &v->settings.recent;
    char line[SETTINGS_PATH + 16];
    bool go = ui_entry("File or URL", v->open_file, sizeof v->open_file);
    ui_tip("A scene, a folder of one, a stream, or the URL of a stream.\nDropping a file on the window opens it too.");
    /* of another name than the part of the panel it is in: that would take its clicks */
    go = ui_button("Open##file", 0, 1) || go;
    if (go && v->open_file[0])
        viewer_open(v, v->open_file, NULL);
    if (p->count)
        ui_note("Opened lately:");
    for (size_t i = 0; i < p->count && i < most; i++) {
        const char *path = p->items[i];
        snprintf(line, sizeof line, "%s##recent%zu", fv_path_base(path), i);
        bool picked = ui_line(line, v->scene && !strcmp(path, v->scene_file));
        ui_tip(path);
        if (picked) {
            viewer_open(v, path, NULL);
            return; /* the list may be another now */
        }
    }
}

void panel_welcome(struct viewer *v)
{
    struct ui_place place = {.ax = 0.5f, .ay = 0.5f, .width = 400, .flags = UI_NO_TITLE};
    if (ui_panel_begin("welcome", &place, NULL)) {
        ui_text("Drop a scene of Gaussian splats here, or a stream of them.");
        ui_note(".ply  .spz  .sog  .splat  .splatv  .ksplat  .glb  .gltf, or a stream: .fvv");
        panel_open(v, 8);
        ui_note("Or make a clip of a sentence:");
        if (ui_button("Generate a clip", 0, 1)) {
            v->tab = TAB_GENERATE;
            v->panels = true;
        }
        ui_tip("G");
        ui_note("H: all keys");
    }
    ui_panel_end();
}

void panel_bookmarks(struct viewer *v)
{
    struct settings *s = &v->settings;
    char line[sizeof s->marks[0].camera.name + 32];
    size_t shown = 0;
    if (ui_button("Add bookmark", 0, 1))
        viewer_bookmark(v);
    ui_tip("B: keeps the present view of this file, for the next time too");
    for (size_t i = 0; i < s->mark_count; i++) {
        struct bookmark *m = &s->marks[i];
        if (!viewer_marks(v, i))
            continue;
        shown++;
        snprintf(line, sizeof line, "%s##mark%zu", m->camera.name, i);
        if (ui_line(line, v->mark == i + 1)) {
            v->mark = i + 1;
            viewer_go_to_mark(v, i);
        }
        if (v->mark != i + 1)
            continue;
        if (ui_input("Name", m->camera.name, sizeof m->camera.name))
            viewer_remember(v);
        if (ui_button("Delete bookmark", 0, 1)) {
            settings_unmark(s, i);
            v->mark = 0;
            viewer_remember(v);
            return;
        }
    }
    if (!shown)
        ui_note("None of this file yet.");
}
