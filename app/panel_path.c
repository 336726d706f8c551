/* The camera path: its part of the Camera panel, and its editor over time at the bottom of the window. */
#include "app/viewer.h"

#include <math.h>
#include <stdio.h>

const float panel_curves_height = 186;
static const float edge = 10, axis_height = 112;

/* --- edits, each of which can be undone --- */

static void swap(struct viewer *v, size_t i, size_t j)
{
    viewer_path_keep(v);
    path_swap(&v->path, i, j);
}

static void replace(struct viewer *v, size_t i)
{
    struct gs_camera now = viewer_camera(v);
    viewer_path_keep(v);
    if (path_add(&v->path, &now, v->path.items[i].time) < 0)
        viewer_failed(v);
}

static void erase(struct viewer *v, size_t i)
{
    viewer_path_keep(v);
    path_remove(&v->path, i);
}

/* The time is that of a key. */
static bool is_here(const struct viewer *v, size_t i)
{
    return fabs(v->path.items[i].time - v->path_time) < 5e-4;
}

/* --- in the panel --- */

/* One key: its line, and when it is the one scrubbed to, what can be done with it. */
static void path_key(struct viewer *v, size_t i)
{
    struct gs_cameras *p = &v->path;
    char line[64];
    bool here = is_here(v, i);
    snprintf(line, sizeof line, "Key %zu at %.2f s##key", i + 1, p->items[i].time);
    if (ui_line(line, here)) {
        v->playing = false;
        viewer_scrub(v, p->items[i].time);
    }
    if (!here)
        return;
    double time = p->items[i].time;
    if (ui_number("Time (s)", &time, "%.2f")) {
        viewer_path_keep(v);
        int moved = path_retime(p, i, time);
        if (moved < 0)
            viewer_failed(v);
        else
            viewer_scrub(v, p->items[moved].time);
        return;
    }
    if (ui_button("Up", 0, 4) && i > 0)
        swap(v, i, i - 1);
    ui_tip("Exchange with the key before");
    if (ui_button("Down", 1, 4) && i + 1 < p->count)
        swap(v, i, i + 1);
    ui_tip("Exchange with the key after");
    if (ui_button("Set", 2, 4))
        replace(v, i);
    ui_tip("Replace by the present view");
    if (ui_button("Delete", 3, 4))
        erase(v, i);
}

static void path_keys(struct viewer *v)
{
    struct gs_cameras *p = &v->path;
    if (!p->count) {
        ui_note("Move to a view and add it as a key; two keys or more make a path.");
        return;
    }
    float time = (float)v->path_time, end = (float)path_end(p);
    if (end > 0 && ui_sliders("Scrub", &time, 1, 0, end, "%.2f s", false)) {
        v->playing = false;
        viewer_scrub(v, time);
    }
    for (size_t i = 0; i < p->count; i++)
        path_key(v, i);
}

void panel_path(struct viewer *v)
{
    struct gs_cameras *p = &v->path;
    if (ui_button("Add key", 0, 3))
        viewer_add_key(v);
    ui_tip("K: the present view becomes a key");
    if (ui_button(v->playing ? "Pause" : "Play", 1, 3) && p->count > 1)
        viewer_path_play(v);
    ui_tip(viewer_stream(v).file ? "P" : "Space or P");
    if (ui_button("Clear", 2, 3)) {
        viewer_path_keep(v);
        gs_cameras_finish(p);
        *p = (struct gs_cameras){.is_path = true};
        v->playing = false;
        v->path_time = 0;
    }
    ui_checkbox("Curves", &v->curves);
    ui_tip("N: keys and curves over time, at the bottom of the window");
    path_keys(v);
    if (!p->count)
        return;
    ui_checkbox("Loop", &p->loop);
    ui_input("Path file", v->path_file, sizeof v->path_file);
    if (ui_button("Save path", 0, 1)) {
        if (gs_cameras_save_path(p, v->path_file) < 0)
            viewer_failed(v);
        else
            viewer_notice(v, "Saved %s", v->path_file);
    }
}

/* --- over time --- */

enum { SAMPLES = 160 };

/* The key at the time that is scrubbed to; -1: there is none. */
static int key_here(const struct viewer *v)
{
    for (size_t i = 0; i < v->path.count; i++)
        if (is_here(v, i))
            return (int)i;
    return -1;
}

static void buttons(struct viewer *v)
{
    int here = key_here(v);
    if (ui_button(v->playing ? "Pause##path" : "Play##path", 0, 6))
        viewer_path_play(v);
    ui_tip("P");
    if (ui_button("Add##path", 1, 6))
        viewer_add_key(v);
    ui_tip("K: the present view becomes a key, at the line or after the last one");
    if (ui_button("Set##path", 2, 6) && here >= 0)
        replace(v, (size_t)here);
    ui_tip("The key at the line becomes the present view");
    if (ui_button("Delete##path", 3, 6) && here >= 0)
        erase(v, (size_t)here);
    ui_tip("The key at the line");
    if (ui_button("Undo##path", 4, 6))
        viewer_path_undo(v, false);
    ui_tip("Ctrl + Z");
    if (ui_button("Redo##path", 5, 6))
        viewer_path_undo(v, true);
    ui_tip("Ctrl + Y");
}

/* A key is moved between its neighbours; the view stays with it. */
static void move_key(struct viewer *v, size_t i, double time)
{
    const double apart = 0.01;
    const struct gs_cameras *p = &v->path;
    double low = i ? p->items[i - 1].time + apart : 0;
    double high = i + 1 < p->count ? p->items[i + 1].time - apart : time;
    if (!v->moving_key)
        viewer_path_keep(v);
    v->moving_key = true;
    time = round(fmax(low, fmin(time, high)) * 100) / 100;
    if (time > low - apart / 2 && (i + 1 == p->count || time < high + apart / 2))
        v->path.items[i].time = time;
    viewer_scrub(v, p->items[i].time);
}

static void held(struct viewer *v, const struct ui_hold *h)
{
    v->playing = false;
    if (h->key < 0)
        viewer_scrub(v, fmin(h->time, path_end(&v->path)));
    else if ((size_t)h->key < v->path.count && h->dragged)
        move_key(v, (size_t)h->key, h->time);
    else if ((size_t)h->key < v->path.count && key_here(v) != h->key)
        viewer_scrub(v, v->path.items[h->key].time);
}

static void axis(struct viewer *v)
{
    static const struct {
        const char *unit;
        enum path_curve first;
        int count;
        const char *names[3];
    } groups[] = {{"", PATH_X, 3, {"x", "y", "z"}},
                  {"°", PATH_YAW, 3, {"right", "up", "roll"}},
                  {"°", PATH_FOV, 1, {"field of view"}}};
    enum { MOST_KEYS = 1024 }; /* more would not be told apart */
    const struct gs_cameras *p = &v->path;
    float values[PATH_CURVES][SAMPLES], *out[PATH_CURVES];
    struct ui_curve curves[3];
    double keys[MOST_KEYS];
    for (int k = 0; k < PATH_CURVES; k++)
        out[k] = values[k];
    if (!v->moving_key) /* else it would grow away under the mouse */
        v->axis = fmax(path_end(p) * 1.15, 2);
    if (path_curves(p, v->axis, SAMPLES, out) < 0)
        return;
    for (int k = 0; k < groups[v->curve_group].count; k++)
        curves[k] = (struct ui_curve){groups[v->curve_group].names[k], values[groups[v->curve_group].first + k]};
    size_t count = p->count < MOST_KEYS ? p->count : MOST_KEYS;
    for (size_t i = 0; i < count; i++)
        keys[i] = p->items[i].time;
    struct ui_axis a = {.seconds = v->axis,
                        .at = v->path_time,
                        .keys = keys,
                        .key_count = count,
                        .curves = curves,
                        .curve_count = groups[v->curve_group].count,
                        .samples = SAMPLES,
                        .unit = groups[v->curve_group].unit};
    struct ui_hold h;
    if (ui_keys(&a, axis_height, &h))
        held(v, &h);
    else
        v->moving_key = false;
}

void panel_curves(struct viewer *v, float above)
{
    static const char *const groups[] = {"Position", "Rotation", "Field of view"};
    struct ui_place place = {.ay = 1,
                             .x = edge,
                             .y = -edge - above,
                             .width = (float)v->width / v->window->scale - 2 * edge,
                             .flags = UI_NO_TITLE};
    if (ui_panel_begin("path", &place, NULL)) {
        buttons(v);
        ui_tabs(&v->curve_group, groups, 3);
        if (v->path.count)
            axis(v);
        else
            ui_note("Move to a view and add it as a key (K); two keys or more make a path.");
    }
    ui_panel_end();
}
