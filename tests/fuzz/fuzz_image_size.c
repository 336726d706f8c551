/* Any bytes as a picture whose size is asked for. */
#include "fuzz.h"
#include "gs/camera.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t width = 0, height = 0;
    if (gs_image_size(data, size, &width, &height))
        fuzz_check(width && height);
    return 0;
}
