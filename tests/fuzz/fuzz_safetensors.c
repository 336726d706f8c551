/* Any bytes as a safetensors file; when they begin like JSON they are its header, of the length
 * that they have, before 64 bytes of data. */
#include "weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t length = size;
    if (!size || data[0] != '{') {
        fuzz_weights(data, size);
        return 0;
    }
    uint8_t *whole = calloc(1, 8 + size + 64);
    fuzz_check(whole);
    memcpy(whole, &length, 8);
    memcpy(whole + 8, data, size);
    fuzz_weights(whole, 8 + size + 64);
    free(whole);
    return 0;
}
