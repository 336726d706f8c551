/* Any bytes as a .splatv. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_scene(data, size, GS_FORMAT_SPLATV);
}
