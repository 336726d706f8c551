/* Loading scenes for commands (scene_in.h). */
#include "app/scene_in.h"
#include "vk/base/log.h"

int scene_in_load(struct gs_scene *out, const char *path, const struct scene_opts *opts,
                  struct progress *progress)
{
    struct gs_load_opts load = {.lod = opts->lod, .on_progress = progress_update, .ud = progress};
    FV_TRY(gs_scene_load(out, path, &load));
    if (out->dropped)
        fv_log(FV_WARN, "%s: %zu of %zu Gaussians left out (not finite, or no rotation)", path,
               out->dropped, out->dropped + out->count);
    int rc = 0;
    if (!out->count)
        rc = fv_fail(
            FV_EFORMAT,
            out->dropped ? "%s: none of its Gaussians is usable" : "%s: holds no Gaussians", path);
    else if (opts->sh >= 0 && opts->sh < out->sh_degree)
        rc = gs_scene_cut_sh(out, opts->sh);
    if (rc < 0)
        gs_scene_finish(out);
    return rc;
}
