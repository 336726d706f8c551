/* Loading scenes for commands (scene_in.h). */
#include "app/scene_in.h"

int scene_in_load(struct gs_scene *out, const char *path, const struct scene_opts *opts,
                  struct progress *progress)
{
    struct gs_load_opts load = {.lod = opts->lod,
                                .spz_raw_axes = opts->spz_raw,
                                .on_progress = progress_update,
                                .ud = progress};
    FV_TRY(gs_scene_load(out, path, &load));
    int rc = opts->sh >= 0 && opts->sh < out->sh_degree ? gs_scene_cut_sh(out, opts->sh) : 0;
    if (rc < 0)
        gs_scene_finish(out);
    return rc;
}
