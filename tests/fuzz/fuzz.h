/* What the fuzz targets share. */
#ifndef FUZZ_H
#define FUZZ_H

#include "gs/scene.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Stops the run, as a failed property must. */
#define fuzz_check(x)                                                                              \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

/* Parses as one format; what is accepted must be fit to render. */
static inline int fuzz_scene(const uint8_t *data, size_t size, enum gs_format format)
{
    struct gs_load_opts opts = {.format = format};
    struct gs_scene s;
    if (gs_scene_parse(&s, data, size, "fuzz", &opts) < 0) {
        fuzz_check(!s.position && !s.count && *fv_error());
        return 0;
    }
    fuzz_check(s.count > 0 && s.sh_degree >= 0 && s.sh_degree <= 3 && !gs_scene_has_bad(&s));
    struct gs_bounds b;
    gs_scene_bounds(&s, &b);
    gs_scene_finish(&s);
    return 0;
}

#endif
