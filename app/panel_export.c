/* The panel that exports: a video or pictures along the camera path, or the scene in another format. */
#include "app/video.h"
#include "app/viewer.h"

#include <math.h>
#include <stdio.h>

static void exporting(struct viewer *v)
{
    const struct exporter *e = v->exporter;
    char text[64];
    if (e->total > 10000) /* bytes, Gaussians */
        snprintf(text, sizeof text, "%.0f %%", 100 * e->done / e->total);
    else if (e->total > 0)
        snprintf(text, sizeof text, "%.0f of %.0f, %.0f s left", e->done, e->total, e->eta);
    else
        snprintf(text, sizeof text, "starting");
    ui_progress(e->total > 0 ? (float)(e->done / e->total) : 0, text);
    ui_note("%s", e->output);
    if (ui_button("Cancel export", 0, 1))
        exporter_cancel(v->exporter);
}

static void size(struct viewer *v)
{
    static const struct {
        const char *name;
        double width, height;
    } rows[] = {{"720p", 1280, 720}, {"1080p", 1920, 1080}, {"4K", 3840, 2160}};
    if (ui_number("Width", &v->export_width, "%.0f"))
        v->export_width = isfinite(v->export_width) ? fmin(fmax(v->export_width, 16), 8192) : 1280;
    if (ui_number("Height", &v->export_height, "%.0f"))
        v->export_height = isfinite(v->export_height) ? fmin(fmax(v->export_height, 16), 8192) : 720;
    for (int i = 0; i < 3; i++)
        if (ui_button(rows[i].name, i, 3)) {
            v->export_width = rows[i].width;
            v->export_height = rows[i].height;
        }
}

static void pictures(struct viewer *v)
{
    double fps = viewer_export_fps(v);
    if (v->path.count < 2) {
        ui_note("A turn around the scene; a path of two keys or more (Camera) is taken instead.");
        if (ui_number("Seconds", &v->export_seconds, "%.3g"))
            v->export_seconds = isfinite(v->export_seconds) ? fmin(fmax(v->export_seconds, 0.1), 3600) : 4;
    } else {
        ui_note("Along the camera path: %zu keys, %.2f s.", v->path.count, gs_cameras_duration(&v->path));
    }
    size(v);
    if (ui_number("Frames/s", &fps, "%.6g"))
        v->path.fps = isfinite(fps) ? fmin(fmax(fps, 1), 240) : 30;
    if (v->export_kind == EXPORTS_VIDEO) {
        ui_sliders("Quality", &v->export_crf, 1, 0, 51, v->export_crf < 1 ? "usual" : "%.0f", false);
        ui_tip("Less is better and larger: 18 looks lossless; 0 is the codec's usual");
    }
    ui_checkbox("Two eyes", &v->export_stereo);
    ui_tip("Side by side, each of this size");
}

void panel_export(struct viewer *v)
{
    static const char *const kinds[] = {"Video", "Pictures", "Scene"};
    static const char *const tips[] = {".mp4, .mkv, .webm or .mov", "%04d is the number; .png or .npy",
                                       ".spz .sog .ply .splat .glb; .fvv of a .splatv"};
    if (v->exporter) {
        exporting(v);
        return;
    }
    bool other = ui_choice("What", &v->export_kind, kinds, 3);
    if (other || !v->export_file[0])
        viewer_export_name(v);
    if (v->export_kind == EXPORTS_SCENE)
        ui_note(v->scene->play ? "The frame that is shown, cut to the crop box." : "The scene, cut to the crop box.");
    else
        pictures(v);
    ui_input("File", v->export_file, sizeof v->export_file);
    ui_tip(tips[v->export_kind]);
    if (ui_button("Export", 0, 1))
        viewer_export(v);
    if (v->export_problem[0])
        ui_warn("%s", v->export_problem);
    if (v->exported[0]) {
        ui_note("Saved %s", v->exported);
        if (video_is_container(v->exported) && ui_button("Play it here", 0, 1)) {
            viewer_studio(v);
            viewer_play_clip(v, v->exported);
        }
    }
}
