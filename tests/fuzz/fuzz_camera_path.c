/* Any bytes as a camera path, then walked along: whatever is accepted gives cameras that can be
 * drawn with, unless its numbers are so large that sums of them overflow. */
#include "fuzz.h"
#include "gs/camera.h"

#include <math.h>

static bool tame(const struct gs_cameras *c)
{
    for (size_t i = 0; i < c->count; i++) {
        const struct gs_camera *k = &c->items[i];
        for (int j = 0; j < 16; j++)
            if (fabs(k->view[j]) > 1e15)
                return false;
        if (fabs(k->time) > 1e12 || k->fx > 1e15 || k->fx < 1e-15 || k->fy > 1e15 ||
            k->fy < 1e-15 || fabs(k->cx) > 1e15 || fabs(k->cy) > 1e15)
            return false;
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct gs_camera_hints hints = {0};
    struct gs_cameras c;
    if (gs_cameras_parse(&c, data, size, "fuzz", &hints) < 0)
        return 0;
    double begin = c.is_path ? c.items[0].time : 0, length = gs_cameras_duration(&c);
    for (int i = -2; i <= 22; i++) {
        struct gs_camera out;
        double time = begin + length * i / 20;
        if (gs_cameras_eval(&c, time, &out) < 0)
            fuzz_check(!isfinite(time));
        else if (tame(&c))
            fuzz_check(!gs_camera_problem(&out));
    }
    gs_cameras_finish(&c);
    return 0;
}
