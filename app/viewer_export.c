/* Exporting beside the window (exporter.h): what is written, how far it is, what it became. */
#include "app/viewer.h"
#include "vk/base/file.h"

#include <math.h>
#include <string.h>

double viewer_export_fps(const struct viewer *v)
{
    return v->path.fps > 0 ? v->path.fps : v->scene->play ? v->play.fps : 30;
}

void viewer_export_name(struct viewer *v)
{
    static const char *const suffixes[] = {".mp4", "_%04d.png", ".spz"};
    bool stream = v->export_kind == EXPORTS_SCENE && fv_ends_with(v->scene->path, ".splatv");
    snprintf(v->export_file, sizeof v->export_file, "%s%s", v->stem, stream ? ".fvv" : suffixes[v->export_kind]);
}

void viewer_export(struct viewer *v)
{
    bool path = v->path.count > 1;
    double length = path ? gs_cameras_duration(&v->path) : v->export_seconds;
    struct exporter_opts o = {.scene = v->scene->path,
                              .kind = v->export_kind != EXPORTS_SCENE ? EXPORT_PICTURES
                                      : fv_ends_with(v->export_file, ".fvv") ? EXPORT_STREAM
                                                                             : EXPORT_SCENE,
                              .output = v->export_file,
                              .device = v->app->device,
                              .path = path ? &v->path : NULL,
                              .width = (uint32_t)v->export_width & ~1u,
                              .height = (uint32_t)v->export_height & ~1u,
                              .fps = viewer_export_fps(v),
                              .crf = v->export_kind == EXPORTS_VIDEO ? (int)v->export_crf : 0,
                              .stereo = v->export_stereo,
                              .frame = v->scene->play ? v->play.frame : 0,
                              /* a stream has a length of its own */
                              .seconds = v->scene->play || !path ? length : 0,
                              .render = viewer_request(v).opts};
    exporter_destroy(&v->exporter);
    v->export_problem[0] = v->exported[0] = 0;
    if (exporter_start(&v->exporter, &o) < 0)
        snprintf(v->export_problem, sizeof v->export_problem, "%s", fv_error());
}

void viewer_export_step(struct viewer *v)
{
    if (!v->exporter)
        return;
    int rc = exporter_poll(v->exporter);
    v->redraws = v->redraws ? v->redraws : 1;
    if (!rc)
        return;
    v->redraws = SETTLE_DRAWS; /* the panel gets another height */
    if (rc > 0) {
        snprintf(v->exported, sizeof v->exported, "%s", v->exporter->output);
        viewer_notice(v, "Saved %s", v->exporter->output);
    } else if (rc == FV_ECANCELLED) {
        viewer_notice(v, "%s", fv_error());
    } else {
        snprintf(v->export_problem, sizeof v->export_problem, "%s", fv_error());
        if (!v->panels || v->tab != TAB_EXPORT)
            viewer_failed(v); /* where it happens is not to be seen */
    }
    exporter_destroy(&v->exporter);
}
