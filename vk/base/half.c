/* Arrays of halfs (half.h). */
#include "vk/base/half.h"

void fv_f32_to_f16_array(uint16_t *restrict out, const float *restrict in, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = fv_f32_to_f16(in[i]);
}

void fv_f16_to_f32_array(float *restrict out, const uint16_t *restrict in, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = fv_f16_to_f32(in[i]);
}
