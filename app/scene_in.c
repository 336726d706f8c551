/* Loading scenes for commands (scene_in.h). */
#include "app/scene_in.h"

/* rub: right-up-back, the format's own, or what the file's extension says. */
enum { SPZ_AXES_RUB, SPZ_AXES_RAW };
const char *const spz_axes_choices[] = {"rub", "raw", NULL};

struct gs_load_opts scene_load_opts(const struct scene_opts *opts)
{
    return (struct gs_load_opts){.lod = opts->lod,
                                 .time = opts->time,
                                 .spz_raw_axes = opts->spz_axes == SPZ_AXES_RAW};
}

int scene_in_load(struct gs_scene *out, const char *path, const struct scene_opts *opts,
                  struct progress *progress)
{
    struct gs_load_opts load = scene_load_opts(opts);
    if (progress) {
        load.on_progress = progress_update;
        load.ud = progress;
    }
    FV_TRY(gs_scene_load(out, path, &load));
    int rc = opts->sh >= 0 && opts->sh < out->sh_degree ? gs_scene_cut_sh(out, opts->sh) : 0;
    if (rc < 0)
        gs_scene_finish(out);
    return rc;
}
