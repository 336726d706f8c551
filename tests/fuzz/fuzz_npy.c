/* Any bytes as a .npy array. */
#include "fuzz.h"
#include "vk/base/npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fv_npy a;
    if (fv_npy_parse(&a, data, size, "fuzz") < 0) {
        fuzz_check(!a.data && !a.count && *fv_error());
        return 0;
    }
    fuzz_check(a.count <= size && a.rank <= FV_NPY_MAX_RANK);
    double *values = malloc((a.count + 1) * sizeof *values);
    float *singles = malloc((a.count + 1) * sizeof *singles);
    fuzz_check(values && singles);
    fv_npy_get_f64(&a, values);
    fv_npy_get_f32(&a, singles);
    free(values);
    free(singles);
    fv_npy_close(&a);
    return 0;
}
