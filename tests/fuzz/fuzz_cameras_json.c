/* Any bytes as a camera file: every JSON form, lines of numbers, poses_bounds.npy. */
#include "fuzz.h"
#include "gs/camera.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct gs_camera_hints hints = {.width = size & 1 ? 64 : 0, .height = 48};
    struct gs_cameras c;
    if (gs_cameras_parse(&c, data, size, "fuzz", &hints) < 0) {
        fuzz_check(!c.items && !c.count && *fv_error());
        return 0;
    }
    fuzz_check(c.count > 0);
    for (size_t i = 0; i < c.count; i++) {
        fuzz_check(!gs_camera_problem(&c.items[i]));
        fuzz_check(gs_cameras_find(&c, c.items[i].name) >= 0);
    }
    gs_cameras_finish(&c);
    return 0;
}
