/* Any bytes as a PyTorch checkpoint whose checksums are put right; when they do not begin like an
 * archive, as its pickle, beside three storages and a second pickle of constants. */
#include "mend.h"
#include "vk/base/zip.h"
#include "weights.h"

static void as_archive(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size);
    fuzz_check(copy);
    memcpy(copy, data, size);
    mend_zip(copy, size);
    fuzz_weights(copy, size);
    free(copy);
}

static void as_pickle(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"a/data/0", "a/data/1", "a/data/2", "a/constants/0"};
    static const uint8_t bytes[64] = {0, 0, 128, 63, 1, 2, 3, 4};
    char *zip = NULL;
    size_t zip_size = 0;
    struct fv_writer w = {.file = open_memstream(&zip, &zip_size)};
    struct fv_zip_writer z = {.w = &w};
    fuzz_check(w.file);
    fuzz_check(fv_zip_add(&z, "a/data.pkl", data, size) == 0);
    for (size_t i = 0; i < 4; i++)
        fuzz_check(fv_zip_add(&z, names[i], bytes, sizeof bytes) == 0);
    fuzz_check(fv_zip_add(&z, "a/constants.pkl", data, size) == 0);
    fuzz_check(fv_zip_end(&z) == 0);
    fv_zip_writer_free(&z);
    fclose(w.file);
    fuzz_weights((const uint8_t *)zip, zip_size);
    free(zip);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size >= 2 && !memcmp(data, "PK", 2))
        as_archive(data, size);
    else
        as_pickle(data, size);
    return 0;
}
