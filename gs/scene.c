/* The host scene's storage (gs.h, scene.h). */
#include "gs/scene.h"

#include <stdlib.h>

int gs_scene_alloc(struct gs_scene *out, size_t count, int sh_degree)
{
    size_t coefs = (size_t)gs_sh_coefs(sh_degree);
    *out = (struct gs_scene){.count = count, .sh_degree = sh_degree};
    size_t n = count ? count : 1;
    if (n > SIZE_MAX / (coefs * 3 * sizeof(float)))
        return fv_fail(FV_ENOMEM, "%zu Gaussians do not fit in memory", count);
    out->position = malloc(n * 3 * sizeof(float));
    out->scale = malloc(n * 3 * sizeof(float));
    out->rotation = malloc(n * 4 * sizeof(float));
    out->opacity = malloc(n * sizeof(float));
    out->sh = malloc(n * coefs * 3 * sizeof(float));
    if (!out->position || !out->scale || !out->rotation || !out->opacity || !out->sh) {
        gs_scene_finish(out);
        return fv_fail(FV_ENOMEM, "out of memory for %zu Gaussians", count);
    }
    return 0;
}

void gs_scene_finish(struct gs_scene *s)
{
    free(s->position);
    free(s->scale);
    free(s->rotation);
    free(s->opacity);
    free(s->sh);
    *s = (struct gs_scene){0};
}
