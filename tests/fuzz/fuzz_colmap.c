/* A COLMAP model: one byte for text (even) or binary (odd), four for the length of cameras,
 * then cameras and images. */
#include "fuzz.h"
#include "gs/camera.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t n;
    if (size < 5)
        return 0;
    memcpy(&n, data + 1, 4);
    size_t cameras = n < size - 5 ? n : size - 5;
    struct gs_colmap m = {.binary = data[0] & 1,
                          .cameras = data + 5,
                          .cameras_size = cameras,
                          .cameras_name = "cameras",
                          .images = data + 5 + cameras,
                          .images_size = size - 5 - cameras,
                          .images_name = "images"};
    struct gs_cameras c = {0};
    int rc = gs_cameras_parse_colmap(&c, &m);
    fuzz_check(rc >= 0 || *fv_error());
    for (size_t i = 1; rc >= 0 && i < c.count; i++) /* a failed one is for the caller to free */
        fuzz_check(strcmp(c.items[i - 1].name, c.items[i].name) <= 0);
    for (size_t i = 0; i < c.count; i++)
        gs_camera_problem(&c.items[i]);
    gs_cameras_finish(&c);
    return 0;
}
