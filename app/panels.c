/* The panels over the picture: what they show and change. Only ui.h draws. */
#include "app/text.h"
#include "app/viewer.h"
#include "vk/base/thread.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const float edge = 10, panel_width = 300;

/* What is taken by a stream's panel at the bottom, in points. */
static float timeline(struct viewer *v)
{
    return v->panels && (v->studio.player || viewer_stream(v).file) ? panel_stream_height + 6 : 0;
}

/* The path's editor is there. */
static bool shows_curves(const struct viewer *v)
{
    return v->panels && v->curves && v->scene && !v->studio.player;
}

/* What is taken by both. */
static float bottom(struct viewer *v)
{
    return timeline(v) + (shows_curves(v) ? panel_curves_height + 6 : 0);
}

/* Height left for a side panel. */
static float room(struct viewer *v)
{
    return (float)v->height / v->window->scale - 2 * edge - 34 - bottom(v);
}

/* --- the scene and how it is drawn --- */

static void scene_info(struct viewer *v)
{
    const struct loaded *s = v->scene;
    char count[32], file[32], device[32];
    count_text(count, s->info.count);
    bytes_text(file, s->file_bytes);
    bytes_text(device, s->device_bytes);
    ui_row("File", "%s", s->name);
    if (!http_is_url(s->path))
        ui_tip(s->path);
    ui_row("Format", "%s%s%s", s->info.detail[0] ? s->info.detail : gs_format_name(s->info.format),
           s->file_bytes ? ", " : "", s->file_bytes ? file : "");
    if (s->play)
        ui_row("Frames", "%u at %.6g/s, %.2f s", v->play.frame_count, v->play.fps,
               v->play.frame_count / v->play.fps);
    ui_row("Gaussians", "%s, SH degree %d", count, s->info.sh_degree);
    if (s->info.dropped)
        ui_row("Left out", "%zu unusable", s->info.dropped);
    if (s->play)
        ui_row("On device", "%s a frame", device);
    else
        ui_row("On device", "%s, loaded in %.2f s", device, s->seconds);
    ui_row("Radius", "%.4g", s->bounds.radius);
}

static void movement(struct viewer *v)
{
    static const char *const modes[] = {"Orbit", "Turntable", "Fly"};
    int mode = v->control.mode;
    if (ui_choice("Move", &mode, modes, 3))
        v->control.mode = mode;
    ui_tip("M: the next one");
    float fov = (float)viewer_fov(v), speed = (float)v->control.speed;
    if (ui_sliders("Field of view", &fov, 1, 10, 120, "%.0f°", false))
        viewer_set_fov(v, fov);
    if (ui_sliders("Speed", &speed, 1, 0.01f, 10, "%.2f", true))
        v->control.speed = speed;
    ui_tip("Of W A S D Q E, in scene radii a second");
    if (ui_button("Frame scene", 0, 2))
        viewer_frame_scene(v);
    ui_tip("F");
    if (ui_button("Reset view", 1, 2))
        viewer_reset(v);
    ui_tip("R");
}

static void drawing(struct viewer *v)
{
    static const char *const kinds[] = {"Colour", "Alpha", "Depth"};
    static const char *const modes[] = {"Auto", "Classic", "AA"};
    static const char *const degrees[] = {"0", "1", "2", "3"};
    static const char *const qualities[] = {"Auto", "0", "1", "2", "3"};
    int kind = v->kind, mode = v->mode;
    if (ui_choice("Show", &kind, kinds, 3))
        v->kind = kind;
    if (ui_choice("Mode", &mode, modes, 3))
        v->mode = mode;
    ui_tip("How the scene was trained. Auto: as the file says.\n"
           "AA: antialiased (Mip-Splatting). Classic: 3DGS of 2023.");
    int most = v->scene->info.sh_degree, degree = v->sh_bands ? v->sh_bands - 1 : most;
    if (v->scene->play && most > 0) {
        ui_choice("SH degree", &v->sh_bands, qualities, most + 2);
        ui_tip("How much of the colours that change with the view is decoded.\n"
               "Auto: all, or what the network brings");
    } else if (most > 0 && ui_choice("SH degree", &degree, degrees, most + 1)) {
        v->sh_bands = degree == most ? 0 : degree + 1;
    }
    if (v->scene->appearances > 1) {
        double wanted = v->appearance;
        if (ui_number("Appearance", &wanted, "%.0f"))
            v->appearance = (uint32_t)fmin(fmax(wanted, 0), v->scene->appearances - 1);
        ui_tip("The training picture whose light is taken, from 0");
    }
    ui_sliders("Splat scale", &v->splat_scale, 1, 0.05f, 2, "%.2f", false);
    const struct gs_camera *c = &v->lens;
    float bg[3] = {0};
    if (v->has_bg || c->has_bg)
        memcpy(bg, v->has_bg ? v->bg : c->bg, sizeof bg);
    if (ui_colour("Background", bg)) {
        v->has_bg = true;
        memcpy(v->bg, bg, sizeof bg);
    }
    if (!v->other.scene)
        ui_checkbox("Two eyes", &v->stereo);
    ui_tip("Y: stereo, side by side");
    ui_checkbox("Adaptive", &v->reduce);
    ui_tip("Draw at a lower resolution while the view moves\nwhen the device is too slow for it");
}

static void crop_box(struct viewer *v)
{
    static const char *const axes[] = {"x", "y", "z"};
    ui_checkbox("Cut to box", &v->crop);
    for (int k = 0; k < 3; k++) {
        float *r = v->crop_range[k], before[2] = {r[0], r[1]};
        float low = v->crop_ends[k][0], high = v->crop_ends[k][1];
        if (!ui_sliders(axes[k], r, 2, low, high, "%.3g", false))
            continue;
        v->crop = true;
        if (r[0] > r[1]) /* the one that moved takes the other along */
            r[r[0] != before[0]] = r[r[0] == before[0]];
    }
    if (ui_button("Reset box", 0, 1)) {
        memcpy(v->crop_range, v->crop_ends, sizeof v->crop_range);
        v->crop = false;
    }
}

static void passes(const struct viewer *v, const struct gs_frame_stats *s)
{
    for (size_t i = 0; i < s->pass_count; i++) {
        const struct gs_pass_time *p = &s->pass[i];
        if (v->drawn.profile)
            ui_row(p->name, "%.2f ms, CPU %.2f ms", p->wall_ms, p->cpu_ms);
        else
            ui_row(p->name, "%.2f ms", p->gpu_ms);
    }
}

static void statistics(struct viewer *v)
{
    static const struct picture none;
    const struct picture *p = v->picture ? v->picture : &none;
    const struct gs_frame_stats *s = &p->stats;
    char visible[32], pairs[32], used[32], work[32];
    uint64_t reserved = 0, window = 0, in_use = 0, peak = 0;
    vk_mem_usage(v->dev, &reserved, &in_use, &peak);
    vk_mem_usage(v->screen, &window, &in_use, &peak);
    count_text(visible, s->visible);
    count_text(pairs, s->pairs);
    bytes_text(used, reserved + window);
    bytes_text(work, s->device_bytes);
    ui_row("Device", "%s", v->dev->caps.name);
    if (v->pace.moving)
        ui_row("Rate", "%.1f fps", v->rate);
    else
        ui_row("Rate", "at rest");
    ui_row("Picture", "%.2f ms at %ux%u", p->ms, v->drawn.camera.width, v->drawn.camera.height);
    ui_row("Window", "%.1f ms, at most %.1f ms", v->show_ms, v->worst_round_ms);
    ui_tip("What drawing the panels takes. The picture is drawn beside them.");
    if (v->scene->play) {
        ui_row("Decoding", "%.2f ms a frame", v->play.decode_ms);
        ui_tip("Decoding and bringing it to the device, beside drawing");
        if (v->play.remote) {
            char size[32], came[32], rate[32];
            bytes_text(size, v->play.net.size);
            bytes_text(came, v->play.net.received);
            bytes_text(rate, (uint64_t)v->play.net.bandwidth);
            ui_row("Network", "%s/s, SH degree %d", rate, v->play.sh);
            ui_row("Buffer", "%.1f s loaded, %u frames decoded", v->play.loaded / v->play.fps, v->play.ahead);
            ui_row("Loaded", "%s of %s", came, v->play.net.size ? size : "?");
        }
        ui_row("Left out", "%llu of %llu frames", (unsigned long long)v->play.drops,
               (unsigned long long)(v->play.drops + v->play.shows));
        ui_tip("Frames there was no time to draw");
    }
    ui_row("Visible", "%s", visible);
    ui_row("Pairs", "%s", pairs);
    ui_row("Memory", "%s, %s of it for drawing", used, work);
    ui_checkbox("Profile", &v->profile);
    ui_tip("Run every pass alone to measure it: wall and CPU time; slower");
    passes(v, s);
}

/* --- cameras and path --- */

static bool camera_name(void *ud, int i, const char **name)
{
    const struct gs_cameras *c = ud;
    *name = c->items[i].name[0] ? c->items[i].name : "(no name)";
    return true;
}

static void camera_list(struct viewer *v)
{
    const struct gs_cameras *c = &v->scene->cameras;
    if (!c->count) {
        ui_note("None. Drop a cameras.json, a transforms.json, a COLMAP folder or a camera path "
                "on the window.");
        return;
    }
    const char *path = v->scene->cameras_path;
    ui_note("%s", path ? fv_path_base(path) : "The stream's own.");
    int picked = v->camera;
    if (ui_list("##cameras", &picked, camera_name, (void *)c, (int)c->count,
                c->count < 8 ? (int)c->count : 8))
        viewer_jump(v, picked);
}

static void camera_sections(struct viewer *v)
{
    if (ui_section("Cameras", true))
        camera_list(v);
    if (ui_section("Bookmarks", false))
        panel_bookmarks(v);
    if (ui_section("Path", true))
        panel_path(v);
}

/* Whether two side panels would leave too little of the picture: then one holds everything. */
static bool narrow(const struct viewer *v)
{
    return (float)v->width / v->window->scale < 3 * panel_width;
}

static void scene_sections(struct viewer *v)
{
    if (ui_section("File", true))
        scene_info(v);
    if (ui_section("Open", false))
        panel_open(v, 10);
    if (ui_section("View", true)) {
        movement(v);
        drawing(v);
    }
    if (ui_section("Comparison", v->other.open))
        panel_compare(v);
    if (ui_section("Crop box", false))
        crop_box(v);
    if (ui_section("Statistics", true))
        statistics(v);
}

/* What belongs to the tab; in narrow windows the scene's own panel is one of them. */
static void tab_sections(struct viewer *v)
{
    static const char *const tabs[] = {"Camera", "Export", "Generate", "Scene"};
    if (v->scene) {
        v->tab = !narrow(v) && v->tab == TAB_SCENE ? TAB_CAMERA : v->tab;
        ui_tabs(&v->tab, tabs, narrow(v) ? 4 : 3);
    }
    if (v->tab == TAB_GENERATE || !v->scene)
        panel_generate(v);
    else if (v->tab == TAB_CAMERA)
        camera_sections(v);
    else if (v->tab == TAB_EXPORT)
        panel_export(v);
    else
        scene_sections(v);
}

static void left_panel(struct viewer *v)
{
    struct ui_place place = {.x = edge, .y = edge, .width = panel_width, .max_height = room(v)};
    if (ui_panel_begin("Scene", &place, NULL)) {
        if (narrow(v))
            tab_sections(v);
        else
            scene_sections(v);
    }
    ui_panel_end();
}

static void right_panel(struct viewer *v)
{
    struct ui_place place = {
        .ax = 1, .x = -edge, .y = edge, .width = panel_width, .max_height = room(v)};
    const char *title = v->tab == TAB_GENERATE || !v->scene ? "Generate a clip"
                        : v->tab == TAB_EXPORT             ? "Export"
                                                           : "Camera path";
    if (ui_panel_begin(title, &place, NULL))
        tab_sections(v);
    ui_panel_end();
}

/* --- middle and bottom --- */

static void status_line(struct viewer *v)
{
    static const char *const modes[] = {"Orbit", "Turntable", "Fly"};
    struct ui_place place = {
        .ay = 1, .x = edge, .y = -edge - bottom(v), .width = 390, .flags = UI_NO_TITLE | UI_NO_INPUT};
    char reduced[48] = "";
    if (v->drawn_step > 0)
        snprintf(reduced, sizeof reduced, "   at %ux%u", v->drawn.camera.width,
                 v->drawn.camera.height);
    double ms = v->picture ? v->picture->ms : 0;
    if (ui_panel_begin("status", &place, NULL))
        ui_text("%s   %.1f ms%s   Tab: hide panels   H: help", modes[v->control.mode], ms, reduced);
    ui_panel_end();
}

static void notice(struct viewer *v)
{
    struct ui_place place = {
        .ax = 0.5f, .ay = 1, .y = -edge - 40 - bottom(v), .flags = UI_NO_TITLE | UI_NO_INPUT};
    if (ui_panel_begin("notice", &place, NULL))
        ui_text("%s", v->notice);
    ui_panel_end();
}

static void loading(struct viewer *v)
{
    struct ui_place place = {
        .ax = 0.5f, .ay = 0.5f, .width = 380, .flags = UI_NO_TITLE | UI_IN_FRONT};
    const struct fv_progress *p = &v->loading;
    bool cancel = false;
    float part = p->total > 0 ? (float)(p->done / p->total) : 0;
    if (ui_panel_begin("loading", &place, NULL)) {
        ui_text("Loading %s", loader_name(v->loader));
        char text[64];
        snprintf(text, sizeof text, "%s %.0f %%", p->what ? p->what : "reading", part * 100);
        ui_progress(part, text);
        cancel = ui_button("Cancel", 0, 1);
    }
    ui_panel_end();
    if (cancel)
        loader_destroy(&v->loader);
}

static void error_panel(struct viewer *v)
{
    struct ui_place place = {.ax = 0.5f, .ay = 0.5f, .width = 440, .flags = UI_IN_FRONT};
    bool open = true;
    if (ui_panel_begin("That did not work", &place, &open)) {
        ui_text("%s", v->error);
        if (ui_button("OK", 0, 1))
            open = false;
    }
    ui_panel_end();
    if (!open)
        v->error[0] = 0;
}

/* Stays until the shader compiles: what is drawn until then is the last that did. */
static void shader_panel(struct viewer *v)
{
    struct ui_place place = {
        .ax = 0.5f, .ay = 1, .y = -edge - 80 - bottom(v), .width = 620, .max_height = 260};
    if (ui_panel_begin("Shader error: what compiled last is in use", &place, NULL))
        ui_text("%s", v->shaders);
    ui_panel_end();
}

static void help_sheet(struct viewer *v)
{
    struct ui_place place = {
        .ax = 0.5f, .ay = 0.5f, .width = 470, .max_height = room(v) + 34 + bottom(v), .flags = UI_IN_FRONT};
    bool open = true;
    if (ui_panel_begin("Keys", &place, &open))
        for (int i = 0; viewer_help[i][0]; i++)
            ui_row(viewer_help[i][0], "%s", viewer_help[i][1]);
    ui_panel_end();
    v->help = open;
}

void panels_draw(struct viewer *v)
{
    panel_line(v);
    if (v->scene && v->panels) {
        left_panel(v);
        if (!narrow(v))
            right_panel(v);
        status_line(v);
        if (viewer_stream(v).file && !v->studio.player)
            panel_stream(v);
    } else if (v->panels && v->tab == TAB_GENERATE) {
        right_panel(v);
    }
    if (shows_curves(v))
        panel_curves(v, timeline(v));
    if (v->studio.player && v->panels)
        panel_clip(v);
    if (v->loader)
        loading(v);
    else if (!v->scene && !v->error[0] && !v->studio.player && !(narrow(v) && v->tab == TAB_GENERATE))
        panel_welcome(v);
    if (v->shaders[0])
        shader_panel(v);
    if (v->notice[0])
        notice(v);
    if (v->help)
        help_sheet(v);
    if (v->error[0])
        error_panel(v);
}
