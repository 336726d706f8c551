/* Any bytes as a file with layers of Nunchaku's: found, refused or read. */
#include "weights.h"
#include "quant/quant.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nn_file *f;
    if (nn_file_parse(&f, data, size, "fuzz", NULL) < 0)
        return 0;
    for (size_t i = 0; i < f->count; i++) {
        struct qt_nunchaku l;
        struct qt_layer out;
        char name[600];
        const char *end = strstr(f->tensors[i].name, ".qweight");
        if (!end)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)(end - f->tensors[i].name), f->tensors[i].name);
        int rc = qt_nunchaku_find(&l, f, name);
        fuzz_check(rc >= 0 || *fv_error());
        if (rc != 0)
            continue;
        fuzz_check(l.n * l.k / 2 <= size); /* nothing is larger than what it is read from */
        float *bias = malloc(l.n * sizeof *bias);
        for (int eight = 0; eight < 2 && bias; eight++)
            if (qt_nunchaku_read(&out, bias, &l, eight) == 0) {
                for (size_t k = 0; k < out.n * out.padded; k++)
                    fuzz_check(out.method == QT_RTN8 || (out.codes[k] >= -8 && out.codes[k] <= 7));
                qt_layer_finish(&out);
            }
        free(bias);
    }
    nn_file_close(&f);
    return 0;
}
